"""MMM4Rec on packed steps: the users of ``MMM4Rec.forward``, from real steps alone.

Histories fill three to four of twenty steps on average, and of the last fusion one step is read. Here the steps of a
batch lie in one buffer [T, N], rows of similar length together: linear maps and norms run once over it, convolution and
operator group by group, both modalities in one call, and the last layer's fusion at the last steps only. The time
signals are small and mixed over the whole window: they stay [B, H, L] and pass section 3's own modules.

``mmm4rec.py`` is the form to read; ``tests/models/test_packed.py`` holds the two together, gradients included. Drop-out
falls on other places.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from mmm4rec_lite.models.blocks import CausalConv
from mmm4rec_lite.models.fast import Groups, causal_conv, group, ladder
from mmm4rec_lite.models.ssd import choose, decay_mask, ssd
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Flat = Float[Tensor, "T ..."]


@dataclass(frozen=True)
class Steps:
    """Where steps lie in a buffer: groups of rows, of which row each is, and which of its steps."""

    groups: Groups
    row: Int[Tensor, " T"]
    step: Int[Tensor, " T"]

    @classmethod
    def of(cls, groups: Groups, kinds: int = 1) -> "Steps":
        """Rows one after another; with ``kinds`` each group so many times, the rows of the next kind numbered on."""
        total, start, row, step = sum(count for count, _ in groups), 0, [], []
        for count, width in groups:
            rows = (torch.arange(kinds).unsqueeze(1) * total + torch.arange(start, start + count)).flatten()
            row.append(rows.repeat_interleave(width))
            step.append(torch.arange(width).repeat(len(rows)))
            start += count
        return cls([(kinds * count, width) for count, width in groups], torch.cat(row), torch.cat(step))

    def split(self, *buffers: Flat) -> list[list[Tensor]]:
        """For each group the parts [rows, steps, ...] of some buffers."""
        parts = zip(*(buffer.split([count * width for count, width in self.groups]) for buffer in buffers))
        return [[part.unflatten(0, shape) for part in own] for shape, own in zip(self.groups, parts)]


def users(model: Any, items: Tensor, lengths: Tensor, times: Tensor | None, requests: Tensor | None) -> Tensor:
    """What ``model(items, lengths, times, requests)`` gives, [B, N]."""
    given, L = (lengths, requests, *model.checked(items, lengths, times)), model.config.max_len
    order, groups = group(lengths, [1, 2, *ladder(3, L, 1.4)] if L > 3 else [*range(1, L + 1)])
    parts: Any = (v if v is None else v[order] for v in given)
    lengths, requests, items, times, mask = parts
    one, both = Steps.of(groups), Steps.of(groups, kinds=2)
    last = (one.step + 1 == lengths[one.row]).nonzero().squeeze(1)
    streams, d_mask = model.streams(items, lengths, times, mask, requests, at=(one.row, one.step))
    for layer in model.layers[:-1]:
        streams = _layer(layer, streams, d_mask, one, both)
    fused = _layer(model.layers[-1], streams, d_mask, one, both, last).image
    return fused[order.argsort()]


def _layer(layer, streams, mask, one, both, last=None):
    """``Layer.forward``; with ``last``, the places of last steps, its fusion there alone."""
    text, image, d_text, d_image = streams
    if len(layer.tissd) == 1:
        sizes = [count * width for count, width in one.groups]
        x = torch.cat([part for pair in zip(text.split(sizes), image.split(sizes)) for part in pair])
        d, mask = (None, None) if d_text is None else (torch.cat([d_text, d_image]), mask.repeat(2, 1, 1))
        y, d = _tissd(layer.tissd[0], x, d, mask, both)
        parts = y.split([size for size in sizes for _ in range(2)])
        y_text, y_image = torch.cat(parts[::2]), torch.cat(parts[1::2])
        d_text, d_image = (None, None) if d is None else d.chunk(2)
    else:
        y_text, d_text = _tissd(layer.tissd[0], text, d_text, mask, one)
        y_image, d_image = _tissd(layer.tissd[1], image, d_image, mask, one)
    text = layer.ffn_text(layer.norm_text(layer.dropout(y_text) + text))
    image = layer.ffn_image(layer.norm_image(layer.dropout(y_image) + image))
    d_fused = layer.filter(d_text, d_image) if layer.filter else None
    m = _ticossd(layer.ticossd, text, image, d_fused, one, last)
    text, image = (text, image) if last is None else (text[last], image[last])
    return type(streams)(text, layer.ffn_fused(layer.norm_fused(layer.dropout(m) + image + text)), d_text, d_image)


def _tissd(part, x, d, mask, steps):
    """``TiSSD.forward``."""
    z, xbc, delta = _split(part.project, x, part.sizes)
    X, B, C = _conv(part.conv, xbc, steps).split(part.sizes_conv, dim=-1)
    dt, d_hat = _step_size(part.core.step, delta, d, steps)
    y = torch.cat([_operator(part.core, *own).flatten(0, 1) for own in steps.split(X, B, C, dt)])
    return _output(part.core, y, z), None if part.enhance is None else part.enhance(d, d_hat, mask)


def _ticossd(part, text, image, d, steps, last):
    """``TiCoSSD.forward``; at ``last`` alone a state is asked once, and no mask is needed."""
    C = _conv(part.conv_c, part.project_c(image), steps)
    xb, delta = _split(part.project_bx, text, part.sizes)
    X, B = _conv(part.conv_bx, xb, steps).split(part.sizes_conv, dim=-1)
    dt, _ = _step_size(part.core.step, delta, d, steps)
    if last is None:
        y = torch.cat([_operator(part.core, *own).flatten(0, 1) for own in steps.split(X, B, C, dt)])
        return _output(part.core, y, part.project_z(image + text))
    real = (steps.step <= steps.step[last][steps.row]).unsqueeze(1)
    asked = C[last].split([count for count, _ in steps.groups])
    y = torch.cat([_last(part.core, c, *own) for c, own in zip(asked, steps.split(X, B, dt * real))])
    skip = part.core.D * dt[last] if part.core.config.quirks.skip_scaled else part.core.D
    y = y + (skip.unsqueeze(-1) * X[last].unflatten(-1, (-1, part.core.config.head_dim))).flatten(1)
    return _output(part.core, y, part.project_z(image[last] + text[last]))


def _split(linear, x, sizes):
    """Parts of a linear map's output by parts of its weights, which are smaller than the output."""
    return [F.linear(x, W, b) for W, b in zip(linear.weight.split(sizes), linear.bias.split(sizes))]


def _conv(conv: CausalConv, x: Flat, steps: Steps) -> Flat:
    return causal_conv(x, conv.weight.squeeze(1), conv.bias, steps.groups)


def _step_size(part, delta, d, steps):
    """``StepSize.forward`` with Delta in the buffer and the time signal over the window."""
    d_hat = None if d is None else part.signal(d)
    at_steps = 1 if d is None else d_hat.mT[steps.row, steps.step]
    return F.softplus(delta * at_steps + part.bias), d_hat


def _operator(core, X, B, C, dt):
    """``ssd`` of one group, [rows, steps, channels]; a mask has step sizes and direct path folded into its weights."""
    X, B, C = _heads(core.config, X, B, C)
    skip = core.D * dt if core.config.quirks.skip_scaled else core.D.expand_as(dt)
    if choose(X.shape[1], B.shape[-1], X.shape[-1], len(X) * X.shape[2])[0] != "masked":
        return ssd(X, dt, -core.A_log.exp(), B, C, skip).flatten(2)
    mask = decay_mask((-core.A_log.exp() * dt).mT).unflatten(1, (B.shape[2], -1))
    scores = torch.einsum("btgn,bsgn->bgts", C, B).unsqueeze(2)
    weights = (mask * scores).flatten(1, 2) * dt.mT.unsqueeze(2) + torch.diag_embed(skip.mT)
    return torch.einsum("bhts,bshp->bthp", weights, X).flatten(2)


def _last(core, C, X, B, dt):
    """The operator's last step of each row, asked by C [rows, GD]; steps of size 0 count for nothing."""
    X, B, C = _heads(core.config, X, B, C)
    steps = -core.A_log.exp() * dt
    later = F.pad(steps.flip(1).cumsum(1)[:, :-1], (0, 0, 1, 0)).flip(1)  # sum over k > t
    scores = (B * C.unsqueeze(1)).sum(-1).repeat_interleave(X.shape[2] // B.shape[2], dim=2)
    return ((later.exp() * dt * scores).unsqueeze(-1) * X).sum(1).flatten(1)


def _heads(config, X, B, C):
    return X.unflatten(-1, (-1, config.head_dim)), *(v.unflatten(-1, (config.n_groups, -1)) for v in (B, C))


def _output(core, y, z):
    return core.out(core.norm(y * F.silu(z)))
