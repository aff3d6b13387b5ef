"""Right-padded batches cut from flat sequences by tensor indexing, and reproducible epochs of rows."""

from collections.abc import Iterator

import numpy as np
import torch

from mmm4rec_lite.data.split import Sequences
from mmm4rec_lite.models.base import Batch
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Int, Tensor


def batch(sequences: Sequences, rows: Int[Tensor, " B"], max_len: int, target_time: bool = False) -> Batch:
    """The last ``max_len`` history items of every row (target position), L = ``max_len``.

    ``target_time``: do as the authors' public code, where the target's own time stamp stands right after the
    history whenever both fit into the window. It tells the model when the target happens; off by default.
    """
    if max_len < 1:
        raise InputError(f"max_len is {max_len}; it must be at least 1")
    start = torch.maximum(sequences.first[rows], rows - max_len)
    lengths = rows - start
    column = torch.arange(max_len, device=rows.device)
    index = (start[:, None] + column).clamp(max=len(sequences.items) - 1)
    timed = lengths + 1 if target_time else lengths  # a full window has no column left for it
    items = sequences.items[index] * (column < lengths[:, None])
    times = sequences.times[index] * (column < timed[:, None])
    return Batch(items, lengths, times, targets=sequences.items[rows], requests=sequences.times[rows])


def sample_rows(rows: Int[Tensor, " R"], count: int, seed: int = 0) -> Int[Tensor, " n"]:
    """At most ``count`` of the rows, drawn without replacement."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:count]]


def epoch(rows: Int[Tensor, " R"], batch_size: int, seed: int, epoch: int) -> Iterator[Int[Tensor, " B"]]:
    """Iterate over ``rows`` in shuffled chunks of ``batch_size`` (the last may be smaller).

    The order depends on (seed, epoch) alone, so a resumed run meets the same batches.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; it must be at least 1")
    state = np.random.SeedSequence([seed, epoch]).generate_state(1)
    shuffle = torch.randperm(len(rows), generator=torch.Generator().manual_seed(int(state[0])))
    return iter(rows[shuffle].split(batch_size))
