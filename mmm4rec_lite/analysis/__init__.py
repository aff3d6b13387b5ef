"""What goes on inside a model: read off its modules while it runs, with no switch in the model's own code."""

import copy
import math
from dataclasses import replace

import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.base import Modalities
from mmm4rec_lite.models.ssd import decay_mask
from mmm4rec_lite.utils.errors import InputError


def steps(model, items, lengths, times):
    """The step sizes dt [B,L,H] of every scan of one forward pass and its decay rates A [H].

    Returns a dict ("layer 1, text", "layer 1, image", "layer 1, fusion") -> (dt, A).
    """
    found = capture_scans(model, items, lengths, times)
    return {name: (dt, -core.A_log.exp().detach()) for name, (core, _, dt) in found.items()}


@torch.no_grad()
def capture_scans(model, items, lengths, times):
    """Every scan of one forward pass: dict as ``steps`` -> (its ``StateSpace``, what its ``StepSize`` was given, dt).

    Given are Delta [B,L,H] and the time signal D [B,H,L], or None.
    """
    found = {}

    def watch(name, core):
        def keep(_, given, output):
            # a shared TiSSD runs for the text first, then for the images
            place = f"{name}, image" if f"{name}, text" in found else f"{name}, text"
            found[name if name.endswith("fusion") else place] = (core, given, output[0])

        return core.step.register_forward_hook(keep)

    hooks = []
    for i, layer in enumerate(model.layers, 1):
        hooks += [watch(f"layer {i}", tissd.core) for tissd in layer.tissd]
        hooks.append(watch(f"layer {i}, fusion", layer.ticossd.core))
    device = next(model.parameters()).device
    try:
        model.eval()
        model(items.to(device), lengths.to(device), times.to(device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


@torch.no_grad()
def filter_state(layer, d_text, d_image):
    """What a ``blocks.FourierFilter`` does with two time signals [L] (its length), as NumPy arrays.

    Returns a dict: ``bins`` [F] cycles per window (F = L // 2 + 1); amplitudes of the spectra, orthonormal,
    ``text``, ``image`` (before) and ``fused`` (after) [F]; ``gain_text``, ``gain_image`` [F], the size |K| of what
    eq. 13 and 14 multiply the spectra with (1 without adaptive filters); ``signal`` [L], the fused time signal.
    """
    given = {"text": torch.fft.rfft(d_text, norm="ortho"), "image": torch.fft.rfft(d_image, norm="ortho")}
    signal = layer(d_text, d_image)
    state = {
        "bins": torch.arange(len(given["text"])),
        "signal": signal,
        "fused": torch.fft.rfft(signal, norm="ortho").abs(),
    }
    for name, spectrum in given.items():
        gain = getattr(layer, name)(spectrum).abs() if hasattr(layer, name) else torch.ones_like(spectrum.abs())
        state |= {name: spectrum.abs(), f"gain_{name}": gain}
    return {name: values.cpu().numpy() for name, values in state.items()}


def decay_masks(model, items, lengths, times):
    """The decay masks (eq. 8) of every scan: dict as ``steps`` -> [B,H,L,L] over the whole window."""
    return {name: decay_mask((A * dt).mT) for name, (dt, A) in steps(model, items, lengths, times).items()}


def half_lives(dt, A, lengths):
    """Half-life of what each head holds, in steps, at the mean decay of its own history: [B,H].

    dt [B,L,H], A [H], lengths [B] -> (l - 1) ln 2 / -(A dt_2 + .. + A dt_l); the first step has nothing to forget.
    nan for a history of one item.
    """
    inner = torch.arange(dt.shape[1], device=dt.device) < lengths.to(dt.device).unsqueeze(1)
    inner[:, 0] = False
    decay = (-A * dt * inner.unsqueeze(-1)).sum(1)
    return inner.sum(1, keepdim=True) * math.log(2) / decay


def effective_weights(dt, A, lengths):
    """How much of each past item is in the state after the last step, as shares: [B,H,L], 0 at padding.

    Item s enters with weight dt_s (eq. 7) and M_ls of it is left (eq. 8): M_ls dt_s over their sum. What the items
    say, C B^T of eq. 9, is left out.
    """
    last = (lengths.to(dt.device) - 1)[:, None, None, None].expand(-1, len(A), 1, dt.shape[1])
    left = decay_mask((A * dt).mT).gather(2, last).squeeze(2)  # [B,H,L], 0 after the last step
    weight = left * dt.mT
    return weight / weight.sum(-1, keepdim=True)


def weights_by_head(model, items, lengths, times, places=("text", "image")):
    """``effective_weights`` of one history in layer 1: "text, head 1" and so on -> [l]."""
    if len(items) != 1:
        raise InputError(f"weights_by_head: one history at a time, not {len(items)}")
    found = steps(model, items, lengths, times)
    return {
        f"{place}, head {h}": weights[: lengths.item()]
        for place in places
        for h, weights in enumerate(effective_weights(*found[f"layer 1, {place}"], lengths)[0], 1)
    }


def without_memory(model):
    """A copy of the model whose states forget everything at every step; convolutions and direct paths remain."""
    bare = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in bare.named_parameters():
            if name.endswith("A_log"):
                parameter.fill_(30)  # A = -1e13
    return bare


@torch.no_grad()
def step_table(model, items, lengths, times, place="layer 1, text"):
    """Eq. 5 to 9 of one history, step by step: a frame with a row per step and head, both counted from 1.

    Columns: step, head, gap (seconds before the item; 0 at the first), D, alpha, D-hat (nan without time), dt,
    kept (exp(A dt): what one step leaves of what was held), left (M_ls: what the last step has of the item),
    weight (``effective_weights``).
    """
    if len(items) != 1:
        raise InputError(f"step_table: one history at a time, not {len(items)}")
    core, (delta, D), dt = capture_scans(model, items, lengths, times)[place]
    A, n = -core.A_log.exp(), lengths.item()
    nothing = torch.full_like(dt.mT, torch.nan)
    alpha, d_hat = (nothing, nothing) if D is None else (core.step.scale(D), core.step(delta, D)[1])
    own = lambda v: v[0, :, :n].T.flatten().tolist()  # [B,H,L] -> a row per step and head
    return pd.DataFrame(
        {
            "step": torch.arange(1, n + 1).repeat_interleave(len(A)).tolist(),
            "head": torch.arange(1, len(A) + 1).repeat(n).tolist(),
            "gap": F.pad(times.diff(dim=1), (1, 0))[0, :n].repeat_interleave(len(A)).tolist(),
            "D": own(nothing if D is None else D),
            "alpha": own(alpha),
            "D-hat": own(d_hat),
            "dt": own(dt.mT),
            "kept": own((A * dt).exp().mT),
            "left": own(decay_mask((A * dt).mT)[:, :, n - 1]),
            "weight": own(effective_weights(dt, A, lengths)),
        }
    )


@torch.no_grad()
def influence(model, items, lengths, times):
    """How far the user's vector moves, over its length, when one past item is another: the mean over the catalogue.

    One history (batch size 1), times kept. Returns [l]: the whole model's dependence on each item, by whatever way:
    decay, match, convolution and skip.
    """
    if len(items) != 1:
        raise InputError(f"influence: one history at a time, not {len(items)}")
    model.eval()
    device = next(model.parameters()).device
    items, lengths, times = items.to(device), lengths.to(device), times.to(device)
    others = torch.arange(1, len(model.text_features), device=device)
    rows = lambda v: v.expand(len(others), *v.shape[1:])
    before, found = model(items, lengths, times), []
    for s in range(lengths.item()):
        changed = rows(items).clone()
        changed[:, s] = others
        after = model(changed, lengths.expand(len(others)), rows(times))[others != items[0, s]]
        found.append(relative_change(before.expand_as(after), after))
    return torch.tensor(found)


def with_gap(times, step, gap):
    """The times [B,L] with ``gap`` seconds before item ``step`` (counted from 1, 2 or more), all later ones shifted."""
    if not 2 <= step <= times.shape[1]:
        raise InputError(f"with_gap: step must be in 2..{times.shape[1]}, not {step}")
    shift = gap - (times[:, step - 1] - times[:, step - 2])
    later = torch.arange(times.shape[1], device=times.device) >= step - 1
    return times + shift.unsqueeze(1) * later


def gap_response(model, items, lengths, times, step, gaps, place="layer 1, text"):
    """What one gap does: the gap before item ``step`` (from 1) is set to each of ``gaps`` (seconds), all else kept.

    Returns a frame: gap, head, dt (of that item), kept (of everything before it, over the gap).
    """
    tables = [step_table(model, items, lengths, with_gap(times, step, gap), place) for gap in gaps]
    rows = pd.concat([table[table["step"] == step] for table in tables], ignore_index=True)
    return rows[["gap", "head", "dt", "kept"]]


@torch.no_grad()
def activations(model, one):
    """What runs through every layer for a ``data.Batch``: a list, per layer a dict of tensors over the whole window.

    ``text_in``, ``image_in`` enter TiSSD (X of eq. 10); ``text``, ``image`` come out of the alignment (P of eq. 11),
    ``fused`` out of TiCoSSD (M of eq. 18): [B,L,N]. ``d_text``, ``d_image`` enter the filter, ``d_fused`` leaves it
    (eq. 12-16): [B,H,L], absent without time.
    """
    found, hooks = [{} for _ in model.layers], []

    def watch(module, keep):
        hooks.append(module.register_forward_hook(keep))

    for layer, seen in zip(model.layers, found):
        watch(layer, lambda _, given, __, seen=seen: seen.update(text_in=given[0].text, image_in=given[0].image))
        watch(layer.ticossd, lambda _, given, out, seen=seen: seen.update(text=given[0], image=given[1], fused=out))
        if layer.filter:
            watch(
                layer.filter,
                lambda _, given, out, seen=seen: seen.update(d_text=given[0], d_image=given[1], d_fused=out),
            )
    try:
        model.eval()
        model.users(one.to(next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def alignment(text, image):
    """How alike the text and image vectors [U,N] of the same U users are: a dict of three numbers.

    ``own``: mean cosine of a user's two vectors. ``others``: of a user's text with other users' images, what the two
    streams have in common whoever it is. ``cka``: linear CKA (Kornblith et al. 2019), 1 where both hold the same
    geometry, in whatever coordinates. InputError for fewer than two users.
    """
    if len(text) < 2:
        raise InputError(f"alignment: {len(text)} user; it takes two to compare a user's own image with another's")
    cosines = F.normalize(text, dim=1) @ F.normalize(image, dim=1).T
    own = cosines.diagonal().mean()
    others = (cosines.sum() - cosines.diagonal().sum()) / (cosines.numel() - len(cosines))
    t, v = text - text.mean(0), image - image.mean(0)
    cka = (t.T @ v).square().sum() / ((t.T @ t).norm() * (v.T @ v).norm())
    return {"own": own.item(), "others": others.item(), "cka": cka.item()}


@torch.no_grad()
def filter_gain(layer, d_text, d_image):
    """What a ``blocks.FourierFilter`` does with real signals [..., L], bin by bin: a frame with a row per bin.

    bin, period (steps), in, out (amplitudes: root of the mean square over the signals), gain (out / in; nan where
    next to nothing comes in), K and K spread (|K^t| of eq. 14: mean and standard deviation over the signals).
    """
    spectrum, out = (torch.fft.rfft(v, norm="ortho") for v in (d_text, layer(d_text, d_image)))
    K = (layer.text(spectrum) if hasattr(layer, "text") else torch.ones_like(spectrum)).abs()
    rms = lambda v: v.abs().square().flatten(0, -2).mean(0).sqrt()
    coming, going = rms(spectrum), rms(out)
    gain = (going / coming).where(coming > 0.1 * coming.max(), torch.nan)
    columns = {
        "in": coming,
        "out": going,
        "gain": gain,
        "K": K.flatten(0, -2).mean(0),
        "K spread": K.flatten(0, -2).std(0),
    }
    bins = range(len(coming))
    return pd.DataFrame(
        {
            "bin": bins,
            "period": [layer.length / k if k else math.inf for k in bins],
            **{name: values.tolist() for name, values in columns.items()},
        }
    )


@torch.no_grad()
def frequency_map(layer):
    """What a ``blocks.FourierFilter`` makes of pure tones: amplitude out over amplitude in, [F in, F out].

    The tones are cosines and sines of unit variance, one bin at a time, in both channels alike; the answer to no
    signal at all is taken off. A filter in the strict sense, a factor per frequency, has a diagonal map.
    """
    L, device = layer.length, next(layer.parameters(), torch.empty(0)).device
    angle = 2 * math.pi * torch.outer(torch.arange(L // 2 + 1), torch.arange(L)).double() / L
    tones = torch.stack([angle.cos(), angle.sin()])  # [phase, in, L]
    tones = (F.normalize(tones, dim=-1, eps=1e-3) * L**0.5).float().to(device)  # sines of bins 0 and L/2 are nothing
    answer = layer(tones, tones) - layer(torch.zeros_like(tones), torch.zeros_like(tones))
    power = lambda v: torch.fft.rfft(v, norm="ortho").abs().square().sum(0)
    return (power(answer) / power(tones).sum(1, keepdim=True)).sqrt()


@torch.no_grad()
def receptive_field(layer, text, image, d):
    """How far M's last step (eq. 18) moves, over its length, when one step of one stream is another user's.

    ``layer``: a ``model.TiCoSSD``; text, image [B,L,N], d [B,H,L] or None: full windows of two users or more.
    Returns a frame: stream, back (steps before the last), moved (mean over users).
    """
    if len(text) < 2:
        raise InputError("reach: two users with full windows, or more, are needed")
    before, lines = layer(text, image, d)[:, -1], []
    for stream, given in (("image", image), ("text", text)):
        for back in range(text.shape[1]):
            other = given.clone()
            other[:, -1 - back] = given[:, -1 - back].roll(1, 0)
            after = layer(*((text, other) if stream == "image" else (other, image)), d)[:, -1]
            lines.append({"stream": stream, "back": back, "moved": relative_change(before, after)})
    return pd.DataFrame(lines)


@torch.no_grad()
def score_parts(model, users, items):
    """Eq. 20's two dot products, over tau: users [B,N], item ids [n] -> text [B,n], image [B,n]; fusion "sum" alone.

    Their sum is ``model.score(users)[:, items]``.
    """
    if model.config.fusion != "sum":
        raise InputError(
            f"score_parts: this model weighs the two (fusion={model.config.fusion!r}); its score is no sum"
        )
    vectors = model.embed(torch.as_tensor(items))
    return Modalities(*(users @ F.normalize(v, dim=-1).T / model.config.temperature for v in vectors))


def relative_change(before, after):
    """How far user vectors [B,N] moved, over their length: the mean of the rows."""
    return ((after - before).norm(dim=1) / before.norm(dim=1)).mean().item()


def other_gaps(one):
    """A ``data.Batch`` with all gaps inside its histories exchanged among rows and steps; what is padding stays."""
    steps = torch.arange(one.times.shape[1], device=one.times.device)
    inner = (steps > 0) & (steps < one.lengths.unsqueeze(1))
    gaps = F.pad(one.times.diff(dim=1), (1, 0))
    own = gaps[inner]
    gaps[inner] = own[torch.randperm(len(own), generator=torch.Generator().manual_seed(0)).to(own.device)]
    times = one.times[:, :1] + gaps.cumsum(1)
    return replace(one, times=times.where(steps < one.lengths.unsqueeze(1), one.times))
