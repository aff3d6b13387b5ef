"""Mamba4Rec and Mamba4Rec_T: the scan and its gradient, the block, padding, parameter counts, learning."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite.data import Batch, batch
from mmm4rec_lite.models import mamba4rec as file
from mmm4rec_lite.models.base import Catalogue, count_parameters
from mmm4rec_lite.models.mamba4rec import Mamba4RecConfig, MambaBlock, mamba4rec, mamba4rec_t, selective_scan
from mmm4rec_lite.training import TrainConfig, fit

SMALL = Mamba4RecConfig(d_model=16, d_ff=64, d_state=4, max_len=8, dropout=0)


def catalogue(rows, width=64):
    torch.manual_seed(0)
    return Catalogue(torch.randn(rows, width), torch.randn(rows, width), torch.ones(rows, dtype=torch.bool))


@pytest.fixture(params=[mamba4rec, mamba4rec_t])
def model(request, toy_split):
    shop = catalogue(toy_split.sequences.item_count + 1)
    torch.manual_seed(0)
    return request.param(SMALL, shop).eval()


@pytest.fixture
def scanned():
    """(a, dt, A, B, C) in float64: more rows than are scanned at a time."""
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    rows, L, D, N = file.ROWS["cpu"] + 3, 5, 3, 2
    values = draw(rows, L, D), F.softplus(draw(rows, L, D)), -draw(D, N).exp(), draw(rows, L, N), draw(rows, L, N)
    return [v.requires_grad_() for v in values]


def step_by_step(a, dt, A, B, C):
    """The recurrence for one row, channel and number at a time."""
    rows, L, D = a.shape
    out = []
    for b in range(rows):
        for d in range(D):
            h = torch.zeros(A.shape[1], dtype=a.dtype)
            for t in range(L):
                h = torch.stack(
                    [
                        torch.exp(dt[b, t, d] * A[d, n]) * h[n] + dt[b, t, d] * a[b, t, d] * B[b, t, n]
                        for n in range(A.shape[1])
                    ]
                )
                out.append((h * C[b, t]).sum())
    return torch.stack(out).view(rows, D, L).transpose(1, 2)


def test_the_scan_and_its_gradients_are_those_of_the_recurrence(scanned):
    ours, theirs = selective_scan(*scanned), step_by_step(*scanned)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    weight = torch.randn_like(ours)
    for mine, its in zip(*(torch.autograd.grad((y * weight).sum(), scanned) for y in (ours, theirs))):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-11)


def test_the_scan_passes_gradcheck_also_for_one_step(scanned):
    a, dt, A, B, C = (v.detach() for v in scanned)
    for steps in (1, 3):
        cut = [v[:2, :steps] for v in (a, dt, B, C)]
        inputs = [v.clone().requires_grad_() for v in (cut[0], cut[1], A, cut[2], cut[3])]
        assert torch.autograd.gradcheck(selective_scan, inputs)


def test_the_block_is_its_equations():
    torch.manual_seed(0)
    block, x = MambaBlock(SMALL).double(), torch.randn(2, 5, 16, dtype=torch.float64)
    a, z = (x @ block.W_in.weight.T).split(32, -1)
    conv = torch.zeros_like(a)
    for t in range(5):
        for k in range(4):  # tap 3 is the step itself
            if t - 3 + k >= 0:
                conv[:, t] += block.conv.weight[:, 0, k] * a[:, t - 3 + k]
    a = F.silu(conv + block.conv.bias)
    dt, B, C = (a @ block.W_x.weight.T).split([1, 4, 4], -1)
    dt = F.softplus(dt @ block.W_dt.weight.T + block.b_dt)
    y = step_by_step(a, dt, -block.A_log.exp(), B, C) + block.D_skip * a
    torch.testing.assert_close(block(x), (y * F.silu(z)) @ block.W_out.weight.T, rtol=0, atol=1e-12)


def test_start_values_are_mambas_and_the_published_ones_if_wanted():
    shop = catalogue(7)
    for published in (False, True):
        for layer in mamba4rec(SMALL.replace(published_dt=published), shop).encoder.layers:
            start = F.softplus(layer.mamba.b_dt)
            low, high = (0.693, 0.694) if published else (0.9e-3, 0.101)
            assert start.min() > low and start.max() < high and (published or start.std() > 0)
            torch.testing.assert_close(layer.mamba.A_log.exp(), torch.arange(1.0, 5).repeat(32, 1))
            assert (layer.mamba.D_skip == 1).all()
            assert 0.01 < layer.mamba.W_in.weight.std() < 0.03


def test_a_single_layer_has_no_skip():
    torch.manual_seed(0)
    x, one = torch.randn(2, 8, 16), file.MambaLayer(SMALL.replace(n_layers=1))
    two = file.MambaLayer(SMALL)
    two.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(x), one.feed_forward(one.norm(one.mamba(x))))
    torch.testing.assert_close(two(x), two.feed_forward(two.norm(x + two.mamba(x))))


def test_text_equals_ids_when_features_are_one_hot():
    rows = 9
    hot = replace(catalogue(rows), text=torch.eye(rows))
    ids, text = mamba4rec(SMALL, hot), mamba4rec_t(SMALL, hot)
    text.encoder.load_state_dict(ids.encoder.state_dict())
    with torch.no_grad():
        text.items.linear.weight.copy_(ids.items.ids.weight.T)
    torch.testing.assert_close(text.eval().candidates(), ids.eval().candidates())
    x = torch.randint(1, rows, (3, 8))
    one = batch_of(x, torch.tensor([8, 3, 1]))
    torch.testing.assert_close(text.users(one), ids.users(one))


def batch_of(items, lengths):
    return Batch(items, lengths, torch.zeros_like(items), torch.ones_like(lengths), torch.zeros_like(lengths))


def test_neither_padding_nor_other_rows_reach_a_user(model, toy_split):
    one = batch(toy_split.sequences, toy_split.train[::20][:12], SMALL.max_len)
    users = model.users(one)
    hidden = torch.arange(SMALL.max_len) >= one.lengths[:, None]
    assert hidden.any()
    junk = replace(one, items=torch.where(hidden, 3, one.items))
    longer = replace(one, items=F.pad(one.items, (0, 5)), times=F.pad(one.times, (0, 5)))
    for other in (junk, longer):
        torch.testing.assert_close(model.users(other), users)
    alone = type(one)(**{name: value[4:5] for name, value in vars(one).items()})
    torch.testing.assert_close(model.users(alone), users[4:5])
    assert (model.score(users)[:, 0] == -torch.inf).all() and model.score(users)[:, 1:].isfinite().all()


def test_every_parameter_has_a_gradient(model, toy_split):
    one = batch(toy_split.sequences, toy_split.train[:32], SMALL.max_len)
    sum(model.losses(one, "scratch").values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.slow
def test_32_rows_can_be_learnt_by_heart(model, toy_split):
    config = TrainConfig(epochs=60, batch_size=32, lr=2e-2, weight_decay=0)
    history = fit(model, toy_split.sequences, toy_split.train[::25][:32], config, progress=False)
    assert history["loss"].iloc[-1] < 0.02 < history["loss"].iloc[0]


@pytest.mark.parametrize(
    "build, width, count",
    [(mamba4rec, 64, 144_384), (mamba4rec, 256, 1_978_368), (mamba4rec_t, 64, 193_600), (mamba4rec_t, 256, 2_175_232)],
)
def test_parameter_counts_are_the_pages(build, width, count):
    config = Mamba4RecConfig(d_model=width, d_ff=4 * width)
    assert count_parameters(build(config, catalogue(4386, 768))) == count
