"""MMM4Rec's fast form: what ``MMM4Rec.forward`` computes, from real steps alone.

Histories fill three to four of twenty steps on average, and one step of the last fusion is read. Here the steps of a
batch lie in one buffer [T, N], rows of similar length together: linear maps and norms run once over it, convolution and
operator per group of rows, both modalities in one call, and the last layer's fusion at the last step only. The time
signals, which are small and mixed over the whole window, stay [B, H, L] and pass section 3's own modules.

``mmm4rec.py`` is the form to read; ``tests/models/test_fast.py`` holds the two together. Drop-out draws differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmm4rec_lite.models.base import Modalities
from mmm4rec_lite.models.blocks import CausalConv, Signal
from mmm4rec_lite.models.ssd import ssd
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Flat = Float[Tensor, "T N"]


@dataclass(frozen=True)
class Steps:
    """Where rows' steps lie in a buffer: groups of rows of similar length, each row filled up to its group's width."""

    row: Int[Tensor, " T"]
    step: Int[Tensor, " T"]
    groups: list[tuple[int, int]]  # rows, steps of each

    @classmethod
    def of(cls, groups: Sequence[tuple[int, int]], kinds: int = 1) -> "Steps":
        """Of rows in the order of their groups; ``kinds``: each group so many times, the further rows numbered on."""
        total, start, row, step = sum(count for count, _ in groups), 0, [], []
        for count, width in groups:
            rows = (torch.arange(kinds).unsqueeze(1) * total + torch.arange(start, start + count)).flatten()
            row.append(rows.repeat_interleave(width))
            step.append(torch.arange(width).repeat(len(rows)))
            start += count
        return cls(torch.cat(row), torch.cat(step), [(kinds * count, width) for count, width in groups])

    def split(self, *buffers: Tensor) -> list[list[Tensor]]:
        """For each group the parts [rows, steps, ...] of some buffers."""
        parts = zip(*(buffer.split([count * width for count, width in self.groups]) for buffer in buffers))
        return [[part.unflatten(0, group) for part in own] for group, own in zip(self.groups, parts)]


def group(lengths: Int[Tensor, " B"], window: int) -> tuple[Int[Tensor, " B"], list[tuple[int, int]]]:
    """The order of rows by width, and (rows, width) of each group; widths grow by a half from 4 on."""
    widths = [1, 2, 3, 4]
    while widths[-1] < window:
        widths.append(-(-widths[-1] * 3 // 2))
    which = torch.bucketize(lengths, torch.tensor(widths))
    counts = which.bincount(minlength=len(widths)).tolist()
    return which.argsort(stable=True), [(n, min(w, window)) for n, w in zip(counts, widths) if n]


def users(model: Any, items: Tensor, lengths: Tensor, times: Tensor | None, mask: Tensor) -> Float[Tensor, "B N"]:
    """User vectors of a checked batch (``MMM4Rec._window``)."""
    config, B = model.config, len(items)
    order, groups = group(lengths, config.max_len)
    items, lengths, mask = items[order], lengths[order], mask[order]
    one, two = Steps.of(groups), Steps.of(groups, kinds=2)
    distinct, where = items[one.row, one.step].unique(return_inverse=True)
    vectors = model.embed(distinct)
    text, image = (F.embedding(where, v) for v in vectors)
    image, text = model.norm_image(model.dropout(image)), model.norm_text(model.dropout(text))
    d = d_mask = None
    if config.time:
        times = times[order]
        if config.gap_vector:
            gaps = model.times.log_gaps(times, mask)[one.row, one.step].unsqueeze(1)
            image, text = image + gaps * model.gap_image, text + gaps * model.gap_text
        signals = [model.times(times, mask) for _ in range(2)]
        d = torch.cat([signal for signal, _ in signals])
        d = d.unsqueeze(1).expand(-1, config.n_heads, -1)
        d_mask = signals[0][1].unsqueeze(1)
    last = one_last(one, lengths)
    for i, layer in enumerate(model.layers):
        final = i + 1 == len(model.layers)
        if len(layer.tissd) == 1:
            (y, d) = tissd(layer.tissd[0], merge(text, image, groups), d, None if d is None else d_mask.repeat(2, 1, 1), two)
            y_text, y_image = part(y, groups)
        else:
            d_t, d_v = (None, None) if d is None else d.chunk(2)
            (y_text, d_t), (y_image, d_v) = (
                tissd(layer.tissd[k], v, s, d_mask, one) for k, (v, s) in enumerate(((text, d_t), (image, d_v)))
            )
            d = None if d is None else torch.cat([d_t, d_v])
        text = layer.ffn_text(layer.norm_text(layer.dropout(y_text) + text))
        image = layer.ffn_image(layer.norm_image(layer.dropout(y_image) + image))
        d_fused = layer.filter(*d.chunk(2)) if layer.filter else None
        if final:
            m = ticossd_last(layer.ticossd, text, image, d_fused, one, last)
            text, image = text[last], image[last]
        else:
            m = ticossd(layer.ticossd, text, image, d_fused, one)
        image = layer.ffn_fused(layer.norm_fused(layer.dropout(m) + image + text))
    return torch.empty_like(image).index_copy(0, order, image)


def one_last(steps, lengths):
    return (steps.step + 1 == lengths[steps.row]).nonzero().squeeze(1)


def merge(text, image, groups):
    sizes = [n * w for n, w in groups]
    return torch.cat([v for pair in zip(text.split(sizes), image.split(sizes)) for v in pair])


def part(y, groups):
    parts = y.split([n * w for n, w in groups for _ in range(2)])
    return torch.cat(parts[::2]), torch.cat(parts[1::2])


def tissd(module, x, d, mask, steps):
    z, xbc, delta = split_linear(module.project, x, module.sizes)
    dt, d_hat = step_sizes(module.core.step, delta, d, steps)
    core = module.core
    P, G = core.config.head_dim, core.config.n_groups
    sizes = module.sizes_conv
    scaled = core.config.quirks.skip_scaled

    def f(xbc, z, dt, weight, bias, A_log, D, gain):
        n, w = xbc.shape[:2]
        X, B, C = conv(xbc, weight, bias).split(sizes, dim=-1)
        X = X.unflatten(-1, (-1, P))
        B, C = B.unflatten(-1, (G, -1)), C.unflatten(-1, (G, -1))
        y = ssd(X, dt, -A_log.exp(), B, C, D * dt if scaled else D).flatten(2)
        return F.rms_norm(y * F.silu(z), (y.shape[-1],), gain, core.norm.eps)

    params = module.conv.weight.squeeze(1), module.conv.bias, core.A_log, core.D, core.norm.weight
    y = Blocks.apply(f, steps.groups, 3, xbc, z, dt, *params)
    return core.out(y), None if module.enhance is None else module.enhance(d, d_hat, mask)


def split_linear(linear, x, sizes):
    return [F.linear(x, w, b) for w, b in zip(linear.weight.split(sizes), linear.bias.split(sizes))]


BLOCK = 256


class Blocks(torch.autograd.Function):
    """f of some rows at a time, twice: what is between is never stored, and stays in a core's cache."""

    @staticmethod
    def parts(groups, buffers):
        start = 0
        for n, w in groups:
            each = max(BLOCK // w, 1)
            for first in range(0, n, each):
                count = min(each, n - first)
                a = start + first * w
                yield [v[a : a + count * w].view(count, w, *v.shape[1:]) for v in buffers]
            start += n * w

    @staticmethod
    def forward(ctx, f, groups, flat, *given):
        ctx.save_for_backward(*given)
        ctx.f, ctx.groups, ctx.flat = f, groups, flat
        out = [f(*part, *given[flat:]).flatten(0, 1) for part in Blocks.parts(groups, given[:flat])]
        return torch.cat(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        given, flat = ctx.saved_tensors, ctx.flat
        buffers, params = given[:flat], [v.detach().requires_grad_() for v in given[flat:]]
        grads = [torch.empty_like(v) for v in buffers]
        sums = [torch.zeros_like(v) for v in params]
        for part in Blocks.parts(ctx.groups, [*buffers, grad, *grads]):
            own, g, into = part[:flat], part[flat], part[flat + 1 :]
            with torch.enable_grad():
                own = [v.detach().requires_grad_() for v in own]
                y = ctx.f(*own, *params)
            found = torch.autograd.grad(y, [*own, *params], g, allow_unused=True)
            for v, new in zip([*into, *sums], found):
                pass
            for v, new in zip(into, found):
                v.copy_(new) if new is not None else v.zero_()
            for v, new in zip(sums, found[flat:]):
                if new is not None:
                    v += new
        return None, None, None, *grads, *sums


def step_sizes(step, delta, d, steps):
    if d is None:
        return F.softplus(delta + step.bias), None
    d_hat = step.signal(d)
    return F.softplus(delta * d_hat.transpose(1, 2)[steps.row, steps.step] + step.bias), d_hat


def scan(core, X, B, C, dt, steps):
    config = core.config
    A = -core.A_log.exp()
    X = X.unflatten(-1, (-1, config.head_dim))
    B, C = (v.unflatten(-1, (config.n_groups, -1)) for v in (B, C))
    y = torch.cat([ssd(x, t, A, b, c).flatten(0, 1) for x, t, b, c in steps.split(X, dt, B, C)])
    skip = core.D * dt if config.quirks.skip_scaled else core.D
    return (y + skip.unsqueeze(-1) * X).flatten(1)


def ticossd(module, text, image, d, steps):
    C = gconv(module.conv_c, module.project_c(image), steps)
    xb, delta = module.project_bx(text).split(module.sizes, dim=-1)
    X, B = gconv(module.conv_bx, xb, steps).split(module.sizes_conv, dim=-1)
    dt, _ = step_sizes(module.core.step, delta, d, steps)
    y = scan(module.core, X, B, C, dt, steps)
    return module.core.out(module.core.norm(y * F.silu(module.project_z(image + text))))


def ticossd_last(module, text, image, d, steps, last):
    core, config = module.core, module.core.config
    C = gconv(module.conv_c, module.project_c(image), steps)[last]
    xb, delta = module.project_bx(text).split(module.sizes, dim=-1)
    X, B = gconv(module.conv_bx, xb, steps).split(module.sizes_conv, dim=-1)
    dt, _ = step_sizes(core.step, delta, d, steps)
    A = -core.A_log.exp()
    X = X.unflatten(-1, (-1, config.head_dim))
    B, C = (v.unflatten(-1, (config.n_groups, -1)) for v in (B, C))
    real = torch.zeros(len(steps.row), dtype=torch.bool)
    lengths = steps.step[last]
    real = steps.step <= lengths[steps.row]
    adt = A * dt * real.unsqueeze(1)
    # decay from step s to the last: sum of later steps
    out = []
    for c, x, t, b, a in zip(C.split([n for n, _ in steps.groups]), *zip(*steps.split(X, dt * real.unsqueeze(1), B, adt))):
        later = F.pad(a.flip(1).cumsum(1)[:, :-1], (0, 0, 1, 0)).flip(1)
        scores = (b * c.unsqueeze(1)).sum(-1).repeat_interleave(config.n_heads // config.n_groups, dim=2)
        out.append(((later.exp() * t * scores).unsqueeze(-1) * x).sum(1))
    y = torch.cat(out)
    skip = core.D * dt[last] if config.quirks.skip_scaled else core.D
    y = (y + skip.unsqueeze(-1) * X[last]).flatten(1)
    return core.out(core.norm(y * F.silu(module.project_z(image[last] + text[last]))))


def conv(x, weight, bias):
    return Conv.apply(x, weight, bias)


class Conv(torch.autograd.Function):
    """``CausalConv`` with steps before channels: x [n, w, C]."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        K, w = weight.shape[1], x.shape[1]
        y = torch.addcmul(bias, x, weight[:, K - 1])
        for k in range(1, min(K, w)):
            y[:, k:].addcmul_(x[:, : w - k], weight[:, K - 1 - k])
        ctx.save_for_backward(x, weight, y)
        return F.silu(y)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, y = ctx.saved_tensors
        K, w = weight.shape[1], x.shape[1]
        g = torch.ops.aten.silu_backward(grad, y)
        dx = g * weight[:, K - 1]
        dw = torch.zeros_like(weight)
        dw[:, K - 1] = (g * x).sum((0, 1))
        for k in range(1, min(K, w)):
            dx[:, : w - k].addcmul_(g[:, k:], weight[:, K - 1 - k])
            dw[:, K - 1 - k] = (g[:, k:] * x[:, : w - k]).sum((0, 1))
        return dx, dw, g.sum((0, 1))


def gconv(module, x, steps):
    return torch.cat([conv(v, module.weight.squeeze(1), module.bias).flatten(0, 1) for (v,) in steps.split(x)])
