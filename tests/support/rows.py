"""Batches written out by hand, for the tests of systems."""

import torch

from mmm4rec_lite.data import Batch


def rows_of(*histories, targets=None, columns=8, gap=0):
    """A batch of lists of item ids; times are ``gap`` seconds times the id, targets 1, 2, ... unless given."""
    items = torch.tensor([h + [0] * (columns - len(h)) for h in histories])
    lengths = torch.tensor([len(h) for h in histories])
    targets = torch.arange(1, len(histories) + 1) if targets is None else torch.tensor(targets)
    return Batch(items, lengths, items * gap, targets, targets * 0)
