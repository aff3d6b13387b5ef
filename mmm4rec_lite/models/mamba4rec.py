"""Mamba4Rec: a selective state space over item ids (Liu et al., 2024, arXiv 2403.03900, section 3), and its text form.

The block is Mamba-1 (Gu & Dao, arXiv 2312.00752, algorithm 2) in plain torch: no CUDA kernel, whose versions move the
results. Letters: B rows, L steps, d width, D = expand d channels, N = d_state numbers of state per channel, r = rank of
the step size. No positions: the recurrence carries the order. The release starts all linear maps anew after building
Mamba, which zeroes the bias of the step size: steps then begin at softplus(0) = 0.69, where Mamba wants 0.001 to 0.1.
Here Mamba's own bias stays (``published_dt``: as released).
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, last_state
from mmm4rec_lite.models.blocks import CausalConv
from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.fast import Dropout
from mmm4rec_lite.models.layers import FeedForward, next_item
from mmm4rec_lite.utils.typing import Float, Tensor

Steps = Float[Tensor, "B L D"]
Maps = Float[Tensor, "B L N"]

DT_MIN, DT_MAX = 1e-3, 0.1  # step sizes at the start, as in Mamba
ROWS = {"cpu": 8}  # scanned at a time, so that their states stay in a core's cache; elsewhere 512


@dataclass(frozen=True)
class Mamba4RecConfig(BaselineConfig):
    """The MMM4Rec repository's settings."""

    dropout: float = 0.4
    max_len: int = 20
    d_state: int = 32  # N
    d_conv: int = 4  # width of the convolution over steps
    expand: int = 2  # D / d
    published_dt: bool = False  # the release's start of the step sizes (docstring of this file)


class MambaEncoder(nn.Module):
    """LN(Drop(items)), then layers; the last real step is the user."""

    not_causal = ""

    def __init__(self, config: Mamba4RecConfig):
        super().__init__()
        self.dropout, self.norm = Dropout(config.dropout), nn.LayerNorm(config.d_model, config.norm_eps)
        self.layers = nn.Sequential(*(MambaLayer(config) for _ in range(config.n_layers)))

    def forward(self, x: Float[Tensor, "B L d"], batch: Batch) -> Float[Tensor, "B d"]:
        return last_state(self.states(x, batch), batch.lengths)

    def states(self, x: Float[Tensor, "B L d"], batch: Batch) -> Float[Tensor, "B L d"]:
        """Every step's."""
        return self.layers(self.norm(self.dropout(x)))


class MambaMixer(nn.Module):
    """LN(x + Drop(Mamba(x))). A layer alone has no skip over Mamba."""

    def __init__(self, config: Mamba4RecConfig):
        super().__init__()
        self.mamba, self.skip = MambaBlock(config), config.n_layers > 1
        self.norm, self.dropout = nn.LayerNorm(config.d_model, config.norm_eps), Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B L d"]) -> Float[Tensor, "B L d"]:
        y = self.dropout(self.mamba(x))
        return self.norm(x + y if self.skip else y)


class MambaLayer(MambaMixer):
    """The same, then feed-forward."""

    def __init__(self, config: Mamba4RecConfig):
        super().__init__(config)
        self.feed_forward = FeedForward(config, inner_dropout=True)

    def forward(self, x: Float[Tensor, "B L d"]) -> Float[Tensor, "B L d"]:
        return self.feed_forward(super().forward(x))


class MambaBlock(nn.Module):
    """Mamba-1:

    [a, z] = x W_in,  a = SiLU(conv(a)),  [dt_r, B, C] = a W_x,  dt = softplus(dt_r W_dt + b_dt)
    y = scan(a, dt, A, B, C) + D_skip a,  A = -exp(A_log);   out = (y SiLU(z)) W_out
    """

    def __init__(self, config: Mamba4RecConfig):
        super().__init__()
        d, D, N, r = config.d_model, config.expand * config.d_model, config.d_state, math.ceil(config.d_model / 16)
        self.widths = (r, N, N)
        self.W_in = nn.Linear(d, 2 * D, bias=False)
        self.conv = CausalConv(D, config.d_conv)
        self.W_x = nn.Linear(D, r + 2 * N, bias=False)
        self.W_dt = nn.Linear(r, D, bias=False)
        start = torch.empty(D).uniform_(math.log(DT_MIN), math.log(DT_MAX)).exp()
        # a parameter of its own, which no initialisation of linear maps can touch; softplus(b_dt) = start
        self.b_dt = nn.Parameter(torch.zeros(D) if config.published_dt else torch.log(torch.expm1(start)))
        self.A_log = nn.Parameter(torch.arange(1.0, N + 1).log().repeat(D, 1))
        self.D_skip = nn.Parameter(torch.ones(D))
        self.W_out = nn.Linear(D, d, bias=False)

    def forward(self, x: Float[Tensor, "B L d"]) -> Float[Tensor, "B L d"]:
        a, z = self.W_in(x).chunk(2, dim=-1)
        a = self.conv(a.mT).mT
        dt, B, C = self.W_x(a).split(self.widths, dim=-1)
        dt = F.softplus(self.W_dt(dt) + self.b_dt)
        y = selective_scan(a, dt, -torch.exp(self.A_log), B, C) + self.D_skip * a
        return self.W_out(y * F.silu(z))


def selective_scan(a: Steps, dt: Steps, A: Float[Tensor, "D N"], B: Maps, C: Maps) -> Steps:
    """h_t = exp(dt_t A) h_{t-1} + dt_t a_t B_t^T, y_t = h_t C_t, with h in R^{D x N} and h_0 = 0; stores no h."""
    dt, u, B, C = (v.transpose(0, 1).to(A.dtype).contiguous() for v in (dt, dt * a, B, C))
    return _Scan.apply(u, dt, A, B, C).transpose(0, 1)


class _Scan(torch.autograd.Function):
    """The scan for u = dt a, a few rows at a time, with steps in front: u [L,B,D]."""

    @staticmethod
    def forward(ctx, u, dt, A, B, C):
        ctx.save_for_backward(u, dt, A, B, C)
        y = [(_states(u, dt, A, B)[1] @ C.unsqueeze(-1)).squeeze(-1) for u, dt, B, C in _chunks(u, dt, B, C)]
        return torch.cat(y, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        u, dt, A, B, C = ctx.saved_tensors
        dA, rest = torch.zeros_like(A), []
        for u, dt, B, C, dy in _chunks(u, dt, B, C, dy.to(u)):  # noqa: B020
            decay, h = _states(u, dt, A, B)
            dh = dy.unsqueeze(-1) * C.unsqueeze(-2)
            for t in range(len(dh) - 1, 0, -1):  # what later steps say of h_t
                dh[t - 1].addcmul_(decay[t], dh[t])
            dC, dB = ((v.unsqueeze(-2) @ w).squeeze(-2) for v, w in ((dy, h), (u, dh)))
            du = (dh @ B.unsqueeze(-1)).squeeze(-1)
            exponent = decay[1:].mul_(h[:-1]).mul_(dh[1:])  # gradient of dt_t A; h_0 = 0
            ddt = F.pad((exponent * A).sum(-1), (0, 0, 0, 0, 1, 0))
            dA += exponent.mul_(dt[1:].unsqueeze(-1)).sum((0, 1))
            rest.append((du, ddt, dB, dC))
        du, ddt, dB, dC = (torch.cat(parts, dim=1) for parts in zip(*rest))
        return du, ddt, dA, dB, dC


def _chunks(*tensors):
    rows = ROWS.get(tensors[0].device.type, 512)
    return zip(*(tensor.split(rows, dim=1) for tensor in tensors))


def _states(u, dt, A, B):
    """exp(dt A) and h, both [L,B,D,N]."""
    decay = (dt.unsqueeze(-1) * A).exp_()
    h = u.unsqueeze(-1) * B.unsqueeze(-2)
    for t in range(1, len(h)):
        h[t].addcmul_(decay[t], h[t - 1])
    return decay, h


mamba4rec = partial(next_item, MambaEncoder, "id")
mamba4rec_t = partial(next_item, MambaEncoder, "text")
