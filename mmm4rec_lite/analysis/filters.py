"""What the Fourier filter (eq. 12-16) does with time signals and with pure tones. F = L // 2 + 1 bins."""

import math

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.blocks import FourierFilter
from mmm4rec_lite.utils.typing import Float, Tensor


@torch.no_grad()
def filter_state(
    layer: FourierFilter, d_text: Float[Tensor, " L"], d_image: Float[Tensor, " L"]
) -> dict[str, np.ndarray]:
    """What a filter does with two time signals of its length.

    Returns ``bins`` [F] cycles per window (F = L // 2 + 1); amplitudes of the spectra, orthonormal,
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


@torch.no_grad()
def filter_gain(layer: FourierFilter, d_text: Float[Tensor, "*B L"], d_image: Float[Tensor, "*B L"]) -> pd.DataFrame:
    """What a filter does with real signals, bin by bin: a frame with a row per bin.

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
def frequency_map(layer: FourierFilter) -> Float[Tensor, "F F"]:
    """What a filter makes of pure tones: amplitude out (column) over amplitude in (row).

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
