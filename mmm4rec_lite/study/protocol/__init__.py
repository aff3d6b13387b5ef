"""Experiments as functions: tidy frames that carry where and how each number was measured.

trials        one training run of one system under the protocol, kept, and sweeps over many
paper         the paper's figures and tables; gathered, verdicts, results_page: what follows from them
store         what the model finds of the demo store's truth
ssd           what the operator's three forms cost
masks         a shop of rugs, to look at decay masks
fusion        alignment of the two streams, the Fourier filter, fusion: planted rhythms and small trained models
transfer      what moves to another catalogue, what the two losses see, what fine-tuning changes
costs         seconds of a training step, fit to compare
convergence   curves of training, published and measured, and how long each takes
truncated     how much of a history is worth keeping
ablations     Table 5's variants, the noise beside them, what it takes to tell
standings     the whole field: who reads what, who stands where, what it costs, whether orders agree
questions     missing pictures, gaps that pay, a third modality, memory: first answers
"""
