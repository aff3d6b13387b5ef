"""Experiments as functions: tidy frames that carry where and how each number was measured.

trials        one training run of one system under the protocol, kept, and sweeps over many
paper         the paper's figures and tables; gathered, verdicts, results_page: what follows from them
store         what the model finds of the demo store's truth
ssd           what the operator's three forms cost
masks         a shop of rugs, to look at decay masks
fusion        alignment of the two streams, the Fourier filter, fusion: planted rhythms and small trained models
"""
