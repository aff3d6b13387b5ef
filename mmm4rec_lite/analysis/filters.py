"""What the Fourier filter (eq. 12-16) does with time signals and with pure tones. F = L // 2 + 1 bins."""

import math
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.blocks import FourierFilter
from mmm4rec_lite.utils.typing import Float, Tensor

Signal = Float[Tensor, " L"]
spectrum = partial(torch.fft.rfft, norm="ortho")


@torch.no_grad()
def filter_state(layer: FourierFilter, d_text: Signal, d_image: Signal) -> dict[str, np.ndarray]:
    """``bins`` [F] (cycles per window), ``signal`` [L] (the fused one), amplitudes of the orthonormal spectra before
    (``text``, ``image``) and after (``fused``) [F], ``gain_text``, ``gain_image`` [F]: |K| of eq. 14, 13, else 1."""
    signal, given = layer(d_text, d_image), dict(text=spectrum(d_text), image=spectrum(d_image))
    state = dict(bins=torch.arange(len(given["text"])), signal=signal, fused=spectrum(signal).abs())
    for name, values in given.items():
        gain = getattr(layer, name)(values).abs() if hasattr(layer, name) else torch.ones_like(values.abs())
        state |= {name: values.abs(), f"gain_{name}": gain}
    return {name: values.cpu().numpy() for name, values in state.items()}


@torch.no_grad()
def filter_gain(layer: FourierFilter, d_text: Float[Tensor, "*B L"], d_image: Float[Tensor, "*B L"]) -> pd.DataFrame:
    """A row per bin: period (steps), in, out (amplitudes: root mean square over the signals), gain (out / in; nan where
    next to nothing comes in), K and K spread (|K^t| of eq. 14: mean and standard deviation over the signals)."""
    coming, going = spectrum(d_text), spectrum(layer(d_text, d_image))
    K = (layer.text(coming) if hasattr(layer, "text") else torch.ones_like(coming)).abs().flatten(0, -2)
    before, after = (v.abs().square().flatten(0, -2).mean(0).sqrt() for v in (coming, going))
    gain = (after / before).where(before > 0.1 * before.max(), torch.nan)
    bins = range(len(before))
    known = dict(bin=bins, period=[layer.length / k if k else math.inf for k in bins])
    columns = {"in": before, "out": after, "gain": gain, "K": K.mean(0), "K spread": K.std(0)}
    return pd.DataFrame(known | {name: values.tolist() for name, values in columns.items()})


@torch.no_grad()
def frequency_map(layer: FourierFilter) -> Float[Tensor, "F F"]:
    """What a filter makes of pure tones, in both channels alike: amplitude out (column) over amplitude in (row), less
    the answer to no signal at all. A filter in the strict sense, a factor per frequency, has a diagonal map."""
    L, device = layer.length, next(layer.parameters(), torch.empty(0)).device
    angle = 2 * math.pi * torch.outer(torch.arange(L // 2 + 1), torch.arange(L)).double() / L
    tones = torch.stack([angle.cos(), angle.sin()])  # [phase, in, L]
    tones = (F.normalize(tones, dim=-1, eps=1e-3) * L**0.5).float().to(device)  # sines of bins 0 and L/2 are nothing
    answer = layer(tones, tones) - layer(torch.zeros_like(tones), torch.zeros_like(tones))
    power = lambda v: spectrum(v).abs().square().sum(0)
    return (power(answer) / power(tones).sum(1, keepdim=True)).sqrt()
