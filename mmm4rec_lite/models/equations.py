"""Section 3's equations as printed in arXiv 2506.02916v4: one head, one sequence, no batch, nothing repaired.

For reading beside the model and for the tests that tie the two together. Where the print cannot be meant, the docstring
says why and what the model does instead; ``tests/models/test_equations.py`` shows both.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from mmm4rec_lite.utils.typing import Complex, Float, Int, Tensor

Sequence = Float[Tensor, "L N"]
Maps = Float[Tensor, "L D"]
Steps = Float[Tensor, " L"]
Spectrum = Complex[Tensor, " L"]
Projections = tuple[Maps, Maps, Sequence, Steps]  # C, B, X, Delta
Linear = tuple[Float[Tensor, "N _"], Float[Tensor, " _"]]  # W and b of eq. 17
Affine = tuple[Complex[Tensor, "L L"], Spectrum]  # W and b of eq. 15


def project(X: Sequence, W: Float[Tensor, "N M"], b: Float[Tensor, " M"], d_state: int) -> Projections:
    """Eq. 3: [C, B, X, Delta] = X W_1 + b_1, with M = 2 D + N + 1."""
    C, B, X, delta = (X @ W + b).split([d_state, d_state, X.shape[1], 1], dim=-1)
    return C, B, X, delta.squeeze(-1)


def causal_conv(P: Float[Tensor, "L ..."], omega: Float[Tensor, "K ..."]) -> Float[Tensor, "L ..."]:
    """Eq. 4's convolution: the first step is repeated; the model puts zeros there. From step K - 1 on both agree."""
    steps = torch.arange(len(P))
    return sum((P[(steps - m).clamp(min=0)] * w for m, w in enumerate(omega)), start=torch.zeros_like(P))


def time_differences(times: Int[Tensor, " L"]) -> Steps:
    """D of eq. 5: LayerNorm (no weights) over the gaps, the first 0; d_l stands at l + 1: the gap *before* an item."""
    gaps = F.pad(times.diff(), (1, 0)).to(torch.get_default_dtype())
    return F.layer_norm(gaps, gaps.shape)


def time_signal(D: Steps, mlp: Callable[[Tensor], Tensor], omega: Float[Tensor, " K"]) -> Steps:
    """D-hat of eq. 5: alpha sigma(D * omega), alpha = MLP(D). Released and here: sigma(conv(sigma(conv(alpha D))))."""
    return mlp(D) * F.silu(causal_conv(D, omega))


def step_size(delta: Steps, d_hat: Steps, b: Float[Tensor, ""]) -> Steps:
    """Eq. 6: Softplus(Delta D-hat) + b. With b < 0 a step can be negative; the model has b inside the softplus."""
    return F.softplus(delta * d_hat) + b


def discretise(A: float | Float[Tensor, ""], dt: Steps, B: Maps) -> tuple[Steps, Maps]:
    """Eq. 7: A-bar = A dt and B-bar = dt B."""
    return A * dt, dt.unsqueeze(-1) * B


def mask(a: Steps) -> Float[Tensor, "L L"]:
    """Eq. 8: entry (i, j) is a_i a_{i-1} .. a_{j+1} below the diagonal and a_0 on it.

    Eq. 7 puts a = A dt here, which is negative: products of an even number of steps come out positive and of an
    odd number negative, and they grow with the distance when |A dt| > 1. That is no decay. State space duality
    (Dao and Gu 2024) has a = exp(A dt) and 1 on the diagonal, and so has ``ssd.decay_mask``.
    """
    lower = torch.ones(len(a), len(a)).tril(-1).bool()
    steps = a.unsqueeze(1).expand(len(a), len(a)).where(lower, torch.ones(()).to(a))
    return (steps.cumprod(0) * lower) + a[0] * torch.eye(len(a))


def tissd(L: Float[Tensor, "L L"], C: Maps, B_bar: Maps, X: Sequence) -> Sequence:
    """Eq. 9: (L o C B-bar^T) X. No gate, no skip, no output map; the model has Mamba-2's."""
    return (L * (C @ B_bar.T)) @ X


def complex_linear(spectrum: Spectrum, W: Complex[Tensor, "L L"], b: Spectrum) -> Spectrum:
    """Eq. 15: the complex affine map as a real block matrix."""
    block = torch.cat([torch.cat([W.real, -W.imag], 1), torch.cat([W.imag, W.real], 1)])
    re, im = (block @ torch.cat([spectrum.real, spectrum.imag]) + torch.cat([b.real, b.imag])).chunk(2)
    return torch.complex(re, im)


def fourier_filter(d_text: Steps, d_image: Steps, text: Affine, image: Affine, learnable: Affine) -> Spectrum:
    """Eq. 12-16: both signals -> D-hat^f, complex as printed; the model has the real transform, and a real result."""
    spectrum_v, spectrum_t = torch.fft.fft(d_image), torch.fft.fft(d_text)  # eq. 12
    filtered_v = complex_linear(spectrum_v, *image) * spectrum_v  # eq. 13
    filtered_t = complex_linear(spectrum_t, *text) * spectrum_t  # eq. 14
    return torch.fft.ifft(complex_linear(filtered_v + filtered_t, *learnable))  # eq. 16


def cross_project(P_text: Sequence, P_image: Sequence, question: Linear, answer: Linear, d_state: int) -> Projections:
    """Eq. 17: C from the image sequence by (W_2, b_2), [B, X, Delta] from the text sequence by (W_3, b_3)."""
    (W2, b2), (W3, b3) = question, answer
    B, X, delta = (P_text @ W3 + b3).split([d_state, P_text.shape[1], 1], dim=-1)
    return P_image @ W2 + b2, B, X, delta.squeeze(-1)


def ticossd(L: Float[Tensor, "L L"], C: Maps, B: Maps, dt: Steps, X: Sequence) -> Sequence:
    """Eq. 18: (L o C B^T)(dt X); the step on X instead of on B, which is the same as eq. 9."""
    return (L * (C @ B.T)) @ (dt.unsqueeze(-1) * X)


def output(M: Sequence, P_text: Sequence, P_image: Sequence, ffn: Callable[[Tensor], Tensor]) -> Sequence:
    """Eq. 19: O = LN(M + P^v + P^t), Y = LN(FFN(O) + O); LayerNorm without weights."""
    fused = F.layer_norm(M + P_image + P_text, M.shape[-1:])
    return F.layer_norm(ffn(fused) + fused, M.shape[-1:])
