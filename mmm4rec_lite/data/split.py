"""Flat sequences and the rows (target positions) to train, validate and test on.

A row is a position r in the flat arrays: the target is ``items[r]``, its history ``items[first[r]:r]``.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite.data.dataset import Dataset
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Int, Tensor


@dataclass(frozen=True, eq=False)
class Sequences:
    """All users' interactions, one user after another, each in total order."""

    items: Int[Tensor, " M"]  # item indices, from 1
    times: Int[Tensor, " M"]  # seconds since 1970
    first: Int[Tensor, " M"]  # position of the first interaction of the same user
    users: list[str]  # in that order
    item_count: int


@dataclass(frozen=True, eq=False)
class Split:
    """Target positions in ``sequences``; every target has at least one history item."""

    sequences: Sequences
    train: Int[Tensor, " T"]
    valid: Int[Tensor, " V"]
    test: Int[Tensor, " R"]


def sequences(dataset: Dataset) -> Sequences:
    """The dataset's interactions as flat tensors."""
    interactions = dataset.interactions
    items = pd.Index(dataset.items["item"]).get_indexer(interactions["item"]) + 1
    user, users = pd.factorize(interactions["user"])
    first = np.flatnonzero(np.diff(user, prepend=-1))[user]
    arrays = {"items": items, "times": interactions["timestamp"].to_numpy(), "first": first}
    flat = {name: torch.tensor(array, dtype=torch.int64) for name, array in arrays.items()}
    return Sequences(**flat, users=list(users), item_count=len(dataset.items))


def leave_one_out(dataset: Dataset) -> Split:
    """Test: a user's last interaction; valid: the last but one; train: every earlier one with a history.

    Parameters
    ----------
    dataset : in which some user has four interactions or more

    Returns
    -------
    Split
        Rows of targets, one per user to test on and one to validate on.

    Raises
    ------
    InputError : a part is empty

    Examples
    --------
    >>> from mmm4rec_lite.data import load_dataset
    >>> split = leave_one_out(load_dataset("data_samples/toy"))
    >>> len(split.test), split.sequences.item_count
    (80, 60)
    """
    flat = sequences(dataset)
    position = torch.arange(len(flat.items))
    starts, user = flat.first.unique(return_inverse=True)
    last = torch.cat([starts[1:], torch.tensor([len(position)])])[user] - 1
    left, history = last - position, position > flat.first
    return _split(dataset, flat, history & (left > 1), history & (left == 1), history & (left == 0))


def global_time(dataset: Dataset, valid: float = 0.1, test: float = 0.1) -> Split:
    """Cut all targets at two moments t1 <= t2: train before t1, valid in [t1, t2), test from t2 on.

    The moments are the time quantiles that leave the shares ``valid`` and ``test`` of all interactions
    after them. A history is always everything of that user before the target.
    """
    if not (valid > 0 and test > 0 and valid + test < 1):
        raise InputError(f"shares valid={valid} and test={test}: both must be positive, their sum below 1")
    flat = sequences(dataset)
    count, ordered = len(flat.times), flat.times.sort().values
    t1, t2 = (ordered[min(round(count * (1 - share)), count - 1)] for share in (valid + test, test))
    history = torch.arange(count) > flat.first
    early, late = flat.times < t1, flat.times >= t2
    return _split(dataset, flat, history & early, history & ~early & ~late, history & late)


def prefixes(dataset: Dataset) -> Split:
    """Every interaction with a history as a training target (pre-training); valid and test are empty."""
    flat = sequences(dataset)
    rows = torch.arange(len(flat.items))
    return Split(flat, rows[rows > flat.first], rows[:0], rows[:0])


def _split(dataset, flat, *masks):
    for part, mask in zip(("train", "valid", "test"), masks, strict=True):
        if not mask.any():
            raise InputError(f"{dataset.name}: no {part} targets in this split; take more data or other shares")
    return Split(flat, *(mask.nonzero().squeeze(1) for mask in masks))
