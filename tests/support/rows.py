"""Rows written out by hand, for the tests of models and of the study."""

import torch

from mmm4rec_lite.data import Batch


def rows_of(*histories, targets=None, columns=8, gap=0):
    """A batch of lists of item ids; times are ``gap`` seconds times the id, targets 1, 2, ... unless given."""
    items = torch.tensor([h + [0] * (columns - len(h)) for h in histories])
    lengths = torch.tensor([len(h) for h in histories])
    targets = torch.arange(1, len(histories) + 1) if targets is None else torch.tensor(targets)
    return Batch(items, lengths, items * gap, targets, targets * 0)


def store_row(**given):
    """A line of a frame of ``study.shop``, without its provenance."""
    blank = dict(part="gaps", world="w", seed=0, system="gap vector", kept=8, against="no time", against_kept=8)
    numbers = ("difference", "standard_error", "drawn_difference", "drawn_standard_error", "closed", "seconds")
    value = given.get("expected_ndcg@10", 0.4)
    return {**blank, **dict.fromkeys(numbers, 0.0), "expected_ndcg@10": value, "ndcg@10": value, **given}
