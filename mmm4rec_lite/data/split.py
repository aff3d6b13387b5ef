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


def sequences(dataset: Dataset | Sequences) -> Sequences:
    """The dataset's interactions as flat tensors; sequences as they are."""
    if isinstance(dataset, Sequences):
        return dataset
    items = pd.Index(dataset.items["item"]).get_indexer(dataset.interactions["item"]) + 1
    user, users = pd.factorize(dataset.interactions["user"])
    return flat_sequences(user, items, dataset.interactions["timestamp"].to_numpy(), list(users), len(dataset.items))


def flat_sequences(
    user: np.ndarray, items: np.ndarray, times: np.ndarray, users: list[str], item_count: int
) -> Sequences:
    """Interactions [M each] in total order as flat tensors; ``user``: whose they are, rising from 0 without gaps."""
    arrays = {"items": items, "times": times, "first": np.flatnonzero(np.diff(user, prepend=-1))[user]}
    flat = {name: torch.tensor(array, dtype=torch.int64) for name, array in arrays.items()}
    return Sequences(**flat, users=users, item_count=item_count)


def leave_one_out(dataset: Dataset | Sequences) -> Split:
    """Test: a user's last interaction; valid: the last but one; train: every earlier one with a history.

    Parameters
    ----------
    dataset : in which some user has four interactions or more (InputError if a part of the split is empty), or its
        sequences

    Examples
    --------
    >>> from mmm4rec_lite.data import load_dataset
    >>> split = leave_one_out(load_dataset("data_samples/toy"))
    >>> len(split.test), split.sequences.item_count
    (80, 60)
    """
    flat = sequences(dataset)
    last = torch.cat([flat.first[1:] != flat.first[:-1], torch.tensor([True])])  # of a user
    last_but_one = ~last & last.roll(-1)
    return _split(dataset, flat, train=~(last | last_but_one), valid=last_but_one, test=last)


def global_time(dataset: Dataset | Sequences, valid: float = 0.1, test: float = 0.1) -> Split:
    """Train before a moment t1, valid up to t2, test from t2 on: the moments that leave these shares of all rows."""
    if not (valid > 0 and test > 0 and valid + test < 1):
        raise InputError(f"shares valid={valid} and test={test}: both must be positive, their sum below 1")
    flat = sequences(dataset)
    count, ordered = len(flat.times), flat.times.sort().values
    t1, t2 = (ordered[min(round(count * (1 - share)), count - 1)] for share in (valid + test, test))
    early, late = flat.times < t1, flat.times >= t2
    return _split(dataset, flat, train=early, valid=~early & ~late, test=late)


def prefixes(dataset: Dataset | Sequences) -> Split:
    """Every interaction with a history as a training target (pre-training); valid and test are empty."""
    flat = sequences(dataset)
    rows = _with_history(flat).nonzero().squeeze(1)
    return Split(flat, rows, rows[:0], rows[:0])


def _split(dataset, flat, **parts):
    history = _with_history(flat)
    found = {part: (mask & history).nonzero().squeeze(1) for part, mask in parts.items()}
    if empty := [part for part in found if not len(found[part])]:
        name = getattr(dataset, "name", "sequences")
        raise InputError(f"{name}: no {empty[0]} targets in this split; take more data or other shares")
    return Split(flat, **found)


def _with_history(flat):
    return torch.arange(len(flat.items)) > flat.first
