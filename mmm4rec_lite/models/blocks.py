"""The parts of the paper's section 3 below the level of a block. Letters: B batch, L steps, H heads, N width."""

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.fast import Dropout, causal_conv
from mmm4rec_lite.utils.typing import Complex, Float, Int, Tensor

Rows = Float[Tensor, "B L"]  # a number per step
Steps = Float[Tensor, "B L H"]
Signal = Float[Tensor, "B H W"]  # a number per step of the window and head

LOG_MEAN, LOG_STD = 11.4, 3.0  # of log-seconds, until data are seen: a day, give or take a factor of e^3


class CausalConv(nn.Conv1d):
    """Depthwise causal convolution, then SiLU (eq. 4); zeros go first, as in Mamba (the print: the first step)."""

    def __init__(self, channels: int, width: int):
        super().__init__(channels, channels, width, groups=channels)

    def forward(self, x: Float[Tensor, "B C L"]) -> Float[Tensor, "B C L"]:
        rows, _, steps = x.shape
        y = causal_conv(x.mT.flatten(0, 1), self.weight.squeeze(1), self.bias, [(rows, steps)])
        return y.unflatten(0, (rows, steps)).mT


class MaskedLayerNorm(nn.LayerNorm):
    """LayerNorm over the steps that ``mask`` calls real; the others come out as 0."""

    def forward(self, x: Float[Tensor, "*B L"], mask: Float[Tensor, "*#B L"]) -> Float[Tensor, "*B L"]:  # type: ignore[override]
        mean = lambda v: v.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True)
        centred = (x - mean(x * mask)) * mask
        return (centred * torch.rsqrt(mean(centred.square()) + self.eps) * self.weight + self.bias) * mask


class TimeDifferences(nn.Module):
    """D of eq. 5: time stamps in seconds -> the time signal and its mask of real steps.

    ``gaps="log"``: (log(1 + gap) - mean) / std of the training data (``fit``), so that a rhythm of minutes differs from
    one of months. Eq. 5's LayerNorm, ``gaps="seconds"``, forgets that, gives every history of two items the same D, and
    lets one long gap hide all others. Steps beyond a row's length count for nothing (but ``quirks.padded_times``).
    """

    log_mean: Tensor
    log_std: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.quirks = config.quirks
        seconds = config.time and config.gaps == "seconds"
        self.norm = MaskedLayerNorm(config.max_len, config.norm_eps) if seconds else None
        self.dropout = Dropout(config.time_dropout)
        self.register_buffer("log_mean", torch.tensor(LOG_MEAN))
        self.register_buffer("log_std", torch.tensor(LOG_STD))

    def fit(self, gaps: Int[Tensor, "..."]) -> None:
        """Set mean and std from the gaps (seconds) inside the training histories."""
        log_gaps = torch.log1p(gaps.clamp(min=0).double())
        if log_gaps.numel() > 1:
            self.log_mean.copy_(log_gaps.mean())
            self.log_std.copy_(log_gaps.std().clamp(min=0.1))

    def log_gaps(self, times: Int[Tensor, "B L"], mask: Rows) -> Rows:
        """Standardised log-gaps; 0 at the first step, which has no gap, and at padding."""
        return F.pad(self.standardise(times.diff(dim=1)), (1, 0)) * mask

    def standardise(self, gaps: Int[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Gaps in seconds -> standardised log-gaps; negative ones count as 0."""
        return (torch.log1p(gaps.clamp(min=0).to(self.log_mean.dtype)) - self.log_mean) / self.log_std

    def forward(self, times: Int[Tensor, "B L"], mask: Rows) -> tuple[Rows, Rows]:
        if self.norm is None:
            return self.log_gaps(times, mask), mask
        if self.quirks.padded_times:
            mask = torch.ones_like(mask)
        gaps = F.pad(times.diff(dim=1), (1, 0)).to(mask.dtype)
        if self.quirks.dropout_on_gaps:
            gaps = self.dropout(gaps)
        return self.norm(gaps, mask), mask


class StepSize(nn.Module):
    """The time-aware step size of eq. 5 and 6, one per head.

    alpha = MLP(D) over the window, D-hat = conv(conv(alpha D)), dt = softplus(Delta D-hat + b): the public code's order
    (scale first, two convolutions, b inside), the only one that keeps dt positive. No D w/o Time.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        L, H = config.max_len, config.n_heads
        self.bias = nn.Parameter(torch.empty(H))  # b^Delta
        if config.time:
            dropout, first, second = Dropout(config.time_dropout), nn.Linear(L, L), nn.Linear(L, L)
            self.scale = nn.Sequential(dropout, first, nn.SiLU(), second, nn.Tanhshrink())  # alpha^D
            self.conv1, self.conv2 = CausalConv(H, config.d_conv), CausalConv(H, config.d_conv)  # omega^D

    def forward(self, delta: Steps, d: Signal | None = None) -> tuple[Steps, Signal | None]:
        if d is None:
            return F.softplus(delta + self.bias), None
        d_hat = self.signal(d)
        return F.softplus(delta * d_hat.mT[:, : delta.shape[1]] + self.bias), d_hat

    def signal(self, d: Signal) -> Signal:
        """D-hat of eq. 5."""
        return self.conv2(self.conv1(d * self.scale(d)))


class TimeEnhancement(nn.Module):
    """The enhanced D-hat that eq. 9 hands on: LN(g D + (1 - g) D-hat), g one number per head (or step)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.dropout = Dropout(config.time_dropout)
        self.gate = nn.Linear(config.max_len, config.max_len if config.gate_per_step else 1)
        self.norm = MaskedLayerNorm(config.max_len, config.norm_eps)

    def forward(self, d: Signal, d_hat: Signal, mask: Float[Tensor, "#B 1 W"]) -> Signal:
        g = torch.sigmoid(self.gate(self.dropout(d)))
        return self.norm(g * d + (1 - g) * d_hat, mask)


class ComplexLinear(nn.Module):
    """delta-tilde, a complex linear map of a spectrum (eq. 13-15)."""

    def __init__(self, bins: int, config: ModelConfig):
        super().__init__()
        self.real, self.imag = nn.Linear(bins, bins), nn.Linear(bins, bins)
        self.bias_twice = config.quirks.filter_bias_twice

    def forward(self, s: Complex[Tensor, "... F"]) -> Complex[Tensor, "... F"]:
        (W, b), (V, c) = (self.real.weight, self.real.bias), (self.imag.weight, self.imag.bias)
        real, imag = (b - c, b + c) if self.bias_twice else (b, c)
        real, imag = F.linear(s.real, W) - F.linear(s.imag, V) + real, F.linear(s.real, V) + F.linear(s.imag, W) + imag
        return torch.complex(real, imag)


class FourierFilter(nn.Module):
    """The dual-channel Fourier filter (eq. 12-16), on the L // 2 + 1 bins that hold all of a real signal's spectrum."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.length, bins = config.max_len, config.max_len // 2 + 1
        if config.adaptive_filter:
            self.text, self.image = ComplexLinear(bins, config), ComplexLinear(bins, config)
        if config.learnable_filter:
            self.learnable = ComplexLinear(bins, config)

    def forward(self, d_text: Float[Tensor, "... L"], d_image: Float[Tensor, "... L"]) -> Float[Tensor, "... L"]:
        spectrum_t, spectrum_v = (torch.fft.rfft(d, norm="ortho") for d in (d_text, d_image))  # eq. 12
        if hasattr(self, "text"):
            spectrum_t = self.text(spectrum_t) * spectrum_t  # eq. 14
            spectrum_v = self.image(spectrum_v) * spectrum_v  # eq. 13
        fused = spectrum_t + spectrum_v
        if hasattr(self, "learnable"):
            fused = self.learnable(fused)  # eq. 16
        return torch.fft.irfft(fused, n=self.length, norm="ortho")
