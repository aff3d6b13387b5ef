"""Right-padded batches cut from flat sequences by tensor indexing, and reproducible epochs of rows."""

from collections.abc import Iterator

import numpy as np
import torch

from mmm4rec_lite.data.split import Sequences
from mmm4rec_lite.models.base import Batch, WholeBatch
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Int, Tensor

Rows = Int[Tensor, " B"]


def batch(sequences: Sequences, rows: Int[Tensor, " B"], max_len: int, target_time: bool = False) -> Batch:
    """The last ``max_len`` history items of every row (target position), L = ``max_len``.

    ``target_time``: as in the authors' public code, the target's own time stamp stands right after the history
    whenever both fit into the window: it tells the model when the target happens.
    """
    refuse(max_len < 1, f"max_len is {max_len}; it must be at least 1")
    lengths = (rows - sequences.first[rows]).clamp(max=max_len)
    column = torch.arange(max_len, device=rows.device)
    index = ((rows - lengths)[:, None] + column).clamp(max=len(sequences.items) - 1)
    items = sequences.items[index] * (column < lengths[:, None])
    times = sequences.times[index] * (column < lengths[:, None] + target_time)  # a full window has no column left
    return Batch(items, lengths, times, targets=sequences.items[rows], requests=sequences.times[rows])


def whole_sequences(sequences: Sequences, rows: Int[Tensor, " R"], max_len: int) -> tuple[Rows, Rows]:
    """Rows as whole sequences: the last row of each, and how many rows it stands for.

    A user's rows are cut from the latest one backwards into sequences of at most ``max_len``. Within the window every
    row keeps its whole history; of a longer one the rows of a sequence see what stands in that sequence.
    """
    rows = rows.sort().values
    owner = sequences.first[rows]
    gap = (rows.diff() > 1) & (owner.diff() == 0)
    refuse(bool(gap.any()), "training: rows of a user are missing in between; supervise their last_position")
    _, which, counts = owner.unique_consecutive(return_inverse=True, return_counts=True)
    behind = counts.cumsum(0)[which] - 1 - torch.arange(len(rows))  # how many of the user's rows follow
    ends = behind % max_len == 0
    return rows[ends], (counts[which] - behind)[ends].clamp(max=max_len)


def batch_of_sequences(sequences: Sequences, ends: Rows, counts: Rows, max_len: int) -> WholeBatch:
    """Sequences of ``whole_sequences`` with what comes after every step."""
    column, most = torch.arange(max_len), len(sequences.items) - 1
    index, real = (ends - counts)[:, None] + column, column < counts[:, None]
    items, nexts = (sequences.items[at.clamp(max=most)] * real for at in (index, index + 1))
    times = sequences.times[index.clamp(max=most)] * real
    return WholeBatch(items, counts, times, sequences.items[ends], sequences.times[ends], nexts)


def sample_rows(rows: Int[Tensor, " R"], count: int, seed: int = 0) -> Int[Tensor, " n"]:
    """At most ``count`` of the rows, drawn without replacement."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:count]]


def epoch(rows: Int[Tensor, " R"], batch_size: int, seed: int, epoch: int) -> Iterator[Int[Tensor, " B"]]:
    """``rows`` in shuffled chunks of ``batch_size``; the order depends on (seed, epoch) alone, so runs can resume."""
    refuse(batch_size < 1, f"batch_size is {batch_size}; it must be at least 1")
    state = np.random.SeedSequence([seed, epoch]).generate_state(1)
    return iter(sample_rows(rows, len(rows), int(state[0])).split(batch_size))
