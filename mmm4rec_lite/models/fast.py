"""Fast forms that the models stand on, each equal to a plain one: drop-out, causal convolution, rows by length.

``groups`` says how steps lie in a buffer [T, ...]: for each group how many rows, and how many steps each of them has.
"""

import ctypes
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmm4rec_lite.utils.typing import Float, Int, Tensor

Groups = list[tuple[int, int]]
Rows = Any  # which of a batch: indices, or a slice


@contextmanager
def kept_memory() -> Iterator[None]:
    """Freed memory stays with the process in here: glibc hands back large blocks, and new ones come page by page."""
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt"):
        yield
        return
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    set_both = lambda trim, mmap: (libc.mallopt(M_TRIM_THRESHOLD, trim), libc.mallopt(M_MMAP_THRESHOLD, mmap))
    set_both(2**30, 2**30)
    try:
        yield
    finally:
        set_both(2**26, 2**25)  # as high as glibc itself raises them
        libc.malloc_trim(0)


@contextmanager
def fast_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 in here: optimisers make many of rare items, at a hundred cycles each."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class Dropout(nn.Dropout):
    """Drop-out by 16 random bits a number: on a CPU many times as fast as torch's own draws, whose seed they take."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        source = np.random.SFC64(int(torch.randint(2**62, ())))
        bits = torch.from_numpy(source.random_raw(-(-x.numel() // 4)).view(np.int16))[: x.numel()].view(x.shape)
        return x * (bits >= round((self.p - 0.5) * 2**16)).to(x.dtype).mul_(1 / (1 - self.p))


def unit(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """``F.normalize(x, dim=-1)`` in half as many passes over x, both ways."""
    return _Unit.apply(x)


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12)
        unit = x / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        unit, length = ctx.saved_tensors
        along = (grad * unit).sum(-1, keepdim=True)
        return torch.addcmul(grad, unit, along, value=-1).div_(length)


def group(lengths: Int[Tensor, " B"], widths: Sequence[int]) -> tuple[Int[Tensor, " B"], Groups]:
    """Rows of similar length together: their order, and the groups, each of one of the rising ``widths``."""
    which = torch.bucketize(lengths.contiguous(), torch.tensor(widths))
    counts = which.bincount(minlength=len(widths)).tolist()
    return which.argsort(stable=True), [(count, width) for count, width in zip(counts, widths) if count]


def ladder(least: int, window: int, growth: float) -> list[int]:
    """Widths from ``least`` to ``window``, each so many times the one before."""
    widths = [least]
    while widths[-1] < window:
        widths.append(math.ceil(growth * widths[-1]))
    return [width for width in widths if width < window] + [window]


def parts(lengths: Int[Tensor, " B"], window: int) -> list[tuple[Rows, int]]:
    """Rows of similar length, and the width that holds them; the whole batch, where that saves less than a fifth.

    On a GPU, where many small parts cost more than padding, always the whole.
    """
    if lengths.device.type == "cpu":
        order, groups = group(lengths, ladder(4, window, 2))
        if sum(count * width for count, width in groups) <= 0.8 * len(lengths) * window:
            return list(zip(order.split([count for count, _ in groups]), (width for _, width in groups)))
    return [(slice(None), window)]


def in_parts(compute: Callable[[Rows, int], Any], lengths: Int[Tensor, " B"], window: int) -> Any:
    """``compute(rows, width)``, one or several tensors, of a batch in ``parts``.

    For rows that see neither each other nor their padding.
    """
    taken = parts(lengths, window)
    found = [compute(*part) for part in taken]
    if len(found) == 1:
        return found[0]
    back = torch.cat([rows for rows, _ in taken]).argsort()
    joined = lambda values: torch.cat(values)[back]
    return tuple(map(joined, zip(*found))) if isinstance(found[0], tuple) else joined(found)


def by_length(
    embed: Callable[[Int[Tensor, "..."]], Tensor], encode: Callable[[Tensor, Any], Float[Tensor, "b d"]], batch: Any
) -> Float[Tensor, "B d"]:
    """``encode(embed(batch.items), batch)`` with each item embedded once and rows in ``parts``; whole on a GPU."""
    if batch.items.device.type != "cpu":
        return encode(embed(batch.items.flatten()).unflatten(0, batch.items.shape), batch)
    known, where = once(batch.items)
    vectors, placed = embed(known), replace(batch, items=where)

    def users(rows, width):
        part = placed.take(rows, width)
        return encode(F.embedding(part.items, vectors), part)

    return in_parts(users, batch.lengths, batch.items.shape[1])


def once(ids: Int[Tensor, "*n"]) -> tuple[Int[Tensor, " m"], Int[Tensor, "*n"]]:
    """Items, each once, and where the ids stand among them; all on a GPU, which would have to wait for their number."""
    if ids.device.type == "cpu":
        return ids.unique(return_inverse=True)
    return ids.flatten(), torch.arange(ids.numel(), device=ids.device).view(ids.shape)


def causal_conv(
    x: Float[Tensor, "T C"], weight: Float[Tensor, "C K"], bias: Float[Tensor, " C"] | None, groups: Groups
) -> Float[Tensor, "T C"]:
    """SiLU(bias_c + sum_k weight_{c, K - 1 - k} x_{t - k, c}) within each row: ``CausalConv`` in a buffer of steps."""
    return _Conv.apply(x, weight, bias, groups)


class _Conv(torch.autograd.Function):
    """One node for all taps and groups: as ordinary operations every tap would copy the buffer, twice going back."""

    @staticmethod
    def forward(ctx, x, weight, bias, groups):
        taps = weight.flip(1).T.contiguous()  # [K, C], row k for what is k steps back
        y = torch.addcmul(bias, x, taps[0])
        for width, (x_, y_) in _rows(groups, x, y):
            for k in range(1, min(len(taps), width)):
                y_[:, k:].addcmul_(x_[:, : width - k], taps[k])
        ctx.save_for_backward(x, y, taps)
        ctx.groups = groups
        return F.silu(y)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, y, taps = ctx.saved_tensors
        dy = torch.ops.aten.silu_backward(grad, y)
        dx, dtaps = dy * taps[0], torch.zeros_like(taps)
        dtaps[0] = (dy * x).sum(0)
        for width, (x_, dy_, dx_) in _rows(ctx.groups, x, dy, dx):
            for k in range(1, min(len(taps), width)):
                dx_[:, : width - k].addcmul_(dy_[:, k:], taps[k])
                dtaps[k] += (dy_[:, k:] * x_[:, : width - k]).sum((0, 1))
        return dx, dtaps.flip(0).T, dy.sum(0), None


def _rows(groups: Groups, *buffers: Tensor) -> Iterator[tuple[int, list[Tensor]]]:
    """Each group's width and parts [rows, steps, C] of some buffers."""
    start = 0
    for count, width in groups:
        yield width, [buffer[start : start + count * width].unflatten(0, (count, width)) for buffer in buffers]
        start += count * width
