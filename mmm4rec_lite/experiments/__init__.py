"""Experiments as functions: tidy frames that carry where and how each number was measured.

store  what the model finds of the demo store's truth
fusion  alignment of the two streams, the Fourier filter, fusion: planted rhythms and small trained models
"""
