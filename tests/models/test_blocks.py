"""The parts of the paper's section 3, one by one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.blocks import ComplexLinear, FourierFilter, MaskedLayerNorm, TimeDifferences
from mmm4rec_lite.models.config import ModelConfig, Quirks


def test_fitted_gaps_have_mean_0_and_deviation_1():
    times = TimeDifferences(ModelConfig())
    gaps = torch.exp(11.4 + 1.5 * torch.randn(4, 50)).long()
    times.fit(gaps)
    stamps = F.pad(gaps, (1, 0)).cumsum(1)
    standard = times.log_gaps(stamps, torch.ones(stamps.shape))
    assert (standard[:, 0] == 0).all()
    assert standard[:, 1:].mean().abs() < 1e-5 and (standard[:, 1:].std() - 1).abs() < 1e-5


def test_equal_gaps_or_a_single_one_can_be_fitted():
    times = TimeDifferences(ModelConfig())
    times.fit(torch.full((9,), 60))
    assert times.log_std == pytest.approx(0.1) and times.log_mean.exp() == pytest.approx(61)
    before = times.log_mean.clone()
    times.fit(torch.tensor([5]))
    assert times.log_mean == before


def test_masked_layer_norm_is_layer_norm_under_a_full_mask_and_blind_to_the_rest():
    norm, plain = MaskedLayerNorm(9, 1e-5), nn.LayerNorm(9, 1e-5)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    plain.load_state_dict(norm.state_dict())
    x = torch.randn(4, 3, 9)
    assert torch.allclose(norm(x, torch.ones(4, 1, 9)), plain(x), atol=1e-6)
    mask = (torch.arange(9) < 5).float().expand(4, 1, 9)
    short = F.layer_norm(x[..., :5], (5,), norm.weight[:5], norm.bias[:5], 1e-5)
    assert torch.allclose(norm(x, mask)[..., :5], short, atol=1e-6) and (norm(x, mask)[..., 5:] == 0).all()


@pytest.mark.parametrize("twice", [False, True])
def test_complex_linear_is_a_complex_matrix_with_the_bias_of_eq_15_or_the_public_codes(twice):
    linear = ComplexLinear(5, ModelConfig(quirks=Quirks(filter_bias_twice=twice))).double()
    s = torch.randn(2, 5, dtype=torch.complex128)
    W = torch.complex(linear.real.weight, linear.imag.weight)
    b, c = linear.real.bias, linear.imag.bias
    bias = torch.complex(b - c, b + c) if twice else torch.complex(b, c)
    assert torch.allclose(linear(s), s @ W.T + bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 7, 8])
def test_the_filter_with_both_parts_off_is_the_sum_of_the_signals(length):
    off = FourierFilter(ModelConfig(max_len=length, adaptive_filter=False, learnable_filter=False))
    a, b = torch.randn(2, 4, length), torch.randn(2, 4, length)
    rfft = lambda x: torch.fft.rfft(x, norm="ortho")
    assert torch.allclose(off(a, b), torch.fft.irfft(rfft(a) + rfft(b), n=length, norm="ortho"), atol=1e-6)
    assert torch.allclose(off(a, b), a + b, atol=1e-5) and not list(off.parameters())
