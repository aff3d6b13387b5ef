"""The printed equations beside the model: where they agree, and where the print cannot be meant."""

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite import ModelConfig
from mmm4rec_lite.models import equations
from mmm4rec_lite.models.blocks import CausalConv, FourierFilter, StepSize, TimeDifferences
from mmm4rec_lite.models.mmm4rec import Layer, Streams, TiCoSSD, TiSSD
from mmm4rec_lite.models.ssd import decay_mask, ssd

L, N, D = 12, 8, 4
ONE_HEAD = ModelConfig(
    d_model=N,
    d_ff=N,
    d_state=D,
    expand=1,
    head_dim=N,
    max_len=L,
    dropout=0,
    time_dropout=0,
    gaps="seconds",
    gap_vector=False,
)
close = lambda a, b: torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_eq_3_is_the_models_projection_without_its_gate():
    block, X = TiSSD(ONE_HEAD), torch.randn(L, N)
    z, x, b, c, delta = block.project(X).split([N, N, D, D, 1], dim=-1)
    order = [N + N + D, N + N, N, N + N + 2 * D]  # where C, B, X, Delta start among z, X, B, C, Delta
    rows = torch.cat([torch.arange(start, start + n) for start, n in zip(order, (D, D, N, 1))])
    W, bias = block.project.weight[rows].T, block.project.bias[rows]
    for printed, ours in zip(equations.project(X, W, bias, D), (c, b, x, delta.squeeze(-1))):
        close(printed, ours)


def test_eq_4_agrees_once_the_kernel_lies_inside_the_history():
    conv, P = CausalConv(N, 4), torch.randn(L, N)
    omega = conv.weight.squeeze(1).flip(1).T  # a framework's kernel runs the other way
    printed = F.silu(equations.causal_conv(P, omega) + conv.bias)
    ours = conv(P.T.unsqueeze(0))[0].T
    close(printed[3:], ours[3:])
    assert (printed[:3] - ours[:3]).abs().max() > 1e-3  # the print repeats the first step, Mamba has zeros


def test_eq_5s_gaps_are_the_models_in_a_full_window():
    times = torch.randint(1, 10**6, (L,)).cumsum(0)
    ours, _ = TimeDifferences(ONE_HEAD.replace(norm_eps=1e-5))(times.unsqueeze(0), torch.ones(1, L))
    close(equations.time_differences(times), ours[0])


def test_eq_5s_signal_has_the_scale_after_the_convolution_and_the_model_before_it():
    D_, omega = torch.randn(L), torch.tensor([1.0, 0, 0, 0])
    # with a scale of 1 and a kernel that passes the step itself, each side is its activations alone
    printed = equations.time_signal(D_, torch.ones_like, omega)
    step = StepSize(ONE_HEAD)
    with torch.no_grad():
        for conv in (step.conv1, step.conv2):
            conv.weight[:] = omega.flip(0)
            conv.bias.zero_()
    close(F.silu(printed), step.conv2(step.conv1(D_.view(1, 1, L))).flatten())
    # with the signal itself as its scale, they part: D silu(D) in print, silu(silu(D D)) in the model
    step.scale = torch.nn.Identity()
    _, ours = step(torch.zeros(1, L, 1), D_.view(1, 1, L))
    close(ours.flatten(), F.silu(F.silu(D_ * D_)))
    close(equations.time_signal(D_, lambda d: d, omega), D_ * F.silu(D_))
    assert (ours.flatten() - D_ * F.silu(D_)).abs().max() > 0.1


def test_eq_6_agrees_without_its_bias_and_can_step_backwards_with_it():
    delta, d_hat, step = torch.randn(L), torch.randn(L), StepSize(ONE_HEAD.replace(time=False))
    torch.nn.init.zeros_(step.bias)
    ours = step((delta * d_hat).view(1, L, 1))[0].flatten()
    close(equations.step_size(delta, d_hat, torch.zeros(())), ours)
    assert (equations.step_size(delta, d_hat, torch.tensor(-0.5)) < 0).any()
    torch.nn.init.constant_(step.bias, -0.5)
    assert (step((delta * d_hat).view(1, L, 1))[0] > 0).all()


def test_eq_8_with_exp_and_a_unit_diagonal_is_the_decay_mask():
    steps = -torch.rand(L) * 3
    a = steps.exp()
    a[0] = 1  # a_0 stands on the whole diagonal and nowhere else
    close(equations.mask(a), decay_mask(steps))


def test_eq_8_without_exp_cannot_be_meant():
    A, dt = -2.0, torch.full((L,), 0.8)
    a_bar, _ = equations.discretise(A, dt, torch.randn(L, D))
    printed, meant = equations.mask(a_bar), decay_mask(A * dt)
    last = printed[-1, :-1].flip(0)  # what the last step has of the items, latest first
    assert (last.sign() == torch.tensor([-1.0, 1.0]).repeat(L)[: L - 1]).all()  # alternating signs
    assert (last.abs().diff() > 0).all() and last.abs().max() > 50  # older items count more
    assert (meant[-1].flip(0).diff() < 0).all() and meant.max() == 1 and meant.min() >= 0


def test_eq_7_9_and_18_are_the_operator_with_one_head():
    X, B, C = torch.randn(L, N), torch.randn(L, D), torch.randn(L, D)
    dt, A = torch.rand(L), torch.tensor(-1.5)
    mask = decay_mask(A * dt)
    _, B_bar = equations.discretise(A, dt, B)
    batch = lambda v: v.unsqueeze(0).unsqueeze(2)
    ours = ssd(batch(X), dt.view(1, L, 1), A.view(1), batch(B), batch(C))[0, :, 0]
    close(equations.tissd(mask, C, B_bar, X), ours)
    close(equations.ticossd(mask, C, B, dt, X), ours)


@pytest.mark.parametrize("length", [12, 13])
def test_eq_12_to_16_are_the_models_filter_on_its_half_spectrum(length):
    filters = FourierFilter(ONE_HEAD.replace(max_len=length)).requires_grad_(False)
    alone = [0, length // 2] if length % 2 == 0 else [0]  # bins without a mirror image
    for linear in (filters.text, filters.image, filters.learnable):
        for part in (linear.real, linear.imag):
            part.weight.normal_(std=0.3)
            part.bias.normal_()
            part.weight[alone], part.weight[:, alone] = 0, 0  # there the print's result is not real
        linear.imag.bias[alone] = 0
    d_image, d_text = torch.randn(2, length)
    printed = equations.fourier_filter(
        d_text, d_image, *(_mirrored(f, length) for f in (filters.text, filters.image, filters.learnable))
    )
    # the model's transform is orthonormal, so the quadratic adaptive filters see a spectrum sqrt(L) smaller
    scaled = filters(d_text.view(1, 1, -1) * length**0.5, d_image.view(1, 1, -1) * length**0.5).flatten()
    close(printed.imag, torch.zeros(length))
    close(printed.real, scaled / length**0.5)


def _mirrored(linear, length):
    """(W, b) over all bins of the map that a half-spectrum one means for real signals."""
    W, b = torch.zeros(2, length, length).unbind(0), torch.zeros(length, dtype=torch.complex128)
    W = torch.complex(*W)
    half = torch.complex(linear.real.weight, linear.imag.weight)
    bias = torch.complex(linear.real.bias, linear.imag.bias)
    bins = torch.arange(len(bias))
    mirror = -bins % length
    W[mirror.unsqueeze(1), mirror], b[mirror] = half.conj(), bias.conj()
    W[bins.unsqueeze(1), bins], b[bins] = half, bias
    return W, b


def test_eq_17_is_the_cross_projection():
    block, image, text = TiCoSSD(ONE_HEAD), torch.randn(L, N), torch.randn(L, N)
    X, B, delta = block.project_bx(text).split([N, D, 1], dim=-1)
    rows = torch.cat([torch.arange(N, N + D), torch.arange(N), torch.tensor([N + D])])
    printed = equations.cross_project(
        text,
        image,
        (block.project_c.weight.T, block.project_c.bias),
        (block.project_bx.weight[rows].T, block.project_bx.bias[rows]),
        D,
    )
    for theirs, ours in zip(printed, (block.project_c(image), B, X, delta.squeeze(-1))):
        close(theirs, ours)


def test_eq_19_closes_the_layer():
    layer = Layer(ONE_HEAD.replace(time=False)).eval()
    seen = {}
    layer.ticossd.register_forward_hook(lambda _, inputs, out: seen.update(text=inputs[0], image=inputs[1], m=out))
    fused = layer(Streams(torch.randn(1, L, N), torch.randn(1, L, N), None, None), None).image
    ffn = layer.ffn_fused
    inner = lambda o: ffn.outer(F.hardswish(ffn.inner(o)))
    close(equations.output(seen["m"][0], seen["text"][0], seen["image"][0], inner), fused[0])
