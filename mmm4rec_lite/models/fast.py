"""Fast forms that the models stand on, each equal to a plain one: drop-out, causal convolution, rows by length.

``groups`` says how steps lie in a buffer [T, ...]: for each group how many rows, and how many steps each of them has.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmm4rec_lite.utils.typing import Float, Int, Tensor

Groups = list[tuple[int, int]]


class Dropout(nn.Dropout):
    """Drop-out by comparison of uniform numbers: on a CPU four times as fast as torch's own draws."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        return x * torch.empty_like(x).uniform_().ge_(self.p).mul_(1 / (1 - self.p))


def group(lengths: Int[Tensor, " B"], window: int) -> tuple[Int[Tensor, " B"], Groups]:
    """Rows of similar length together: their order, and the groups, each as wide as its longest row may be.

    Widths are 1, 2, 3, 4 and then grow by a half, so that less than a fifth of the steps is padding.
    """
    widths = [1, 2, 3, 4]
    while widths[-1] < window:
        widths.append(-(-widths[-1] * 3 // 2))
    which = torch.bucketize(lengths, torch.tensor(widths))
    counts = which.bincount(minlength=len(widths)).tolist()
    return which.argsort(stable=True), [(n, min(width, window)) for n, width in zip(counts, widths) if n]


def causal_conv(
    x: Float[Tensor, "T C"], weight: Float[Tensor, "C K"], bias: Float[Tensor, " C"], groups: Groups
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
