"""Right-padded batches cut from flat sequences by tensor indexing, and reproducible epochs of rows."""

from dataclasses import dataclass

import numpy as np
import torch

from mmm4rec_lite.utils.errors import InputError


@dataclass(frozen=True, eq=False)
class Batch:
    """items [B, L] int64 (0 = padding, on the right), lengths [B], times [B, L] int64 seconds (padding: 0),
    targets [B] int64, requests [B] int64 seconds: when the target happened, which only a model with
    ``query_time`` may read."""

    items: torch.Tensor
    lengths: torch.Tensor
    times: torch.Tensor
    targets: torch.Tensor
    requests: torch.Tensor

    def to(self, device):
        """The same batch on ``device``."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def batch(sequences, rows, max_len, target_time=False):
    """The last ``max_len`` history items of every row (target position), L = ``max_len``.

    target_time: do as the authors' public code, where the target's own time stamp stands right after the
    history whenever both fit into the window. It tells the model when the target happens; off by default.
    """
    if max_len < 1:
        raise InputError(f"max_len is {max_len}; it must be at least 1")
    start = torch.maximum(sequences.first[rows], rows - max_len)
    lengths = rows - start
    column = torch.arange(max_len, device=rows.device)
    index = (start[:, None] + column).clamp(max=len(sequences.items) - 1)
    timed = lengths + 1 if target_time else lengths  # a full window has no column left for it
    return Batch(
        items=sequences.items[index] * (column < lengths[:, None]),
        lengths=lengths,
        times=sequences.times[index] * (column < timed[:, None]),
        targets=sequences.items[rows],
        requests=sequences.times[rows],
    )


def epoch(rows, batch_size, seed, epoch):
    """Iterate over ``rows`` in shuffled chunks of ``batch_size`` (the last may be smaller).

    The order depends on (seed, epoch) alone, so a resumed run meets the same batches.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; it must be at least 1")
    state = np.random.SeedSequence([seed, epoch]).generate_state(1)
    shuffle = torch.randperm(len(rows), generator=torch.Generator().manual_seed(int(state[0])))
    return iter(rows[shuffle].split(batch_size))
