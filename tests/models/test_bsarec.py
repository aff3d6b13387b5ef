"""BSARec: the filter against sums of cosines, the block, padding, parameter counts, learning."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite.data import batch
from mmm4rec_lite.models.base import Catalogue, count_parameters
from mmm4rec_lite.models.bsarec import BSABlock, BSARecConfig, FrequencyMix, bsarec
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils.errors import InputError

SMALL = BSARecConfig(d_model=16, d_ff=64, max_len=8, dropout=0, attention_dropout=0)


def build(config, rows, width=10):
    features = torch.zeros(rows, width)
    torch.manual_seed(0)
    return bsarec(config, Catalogue(features, features, torch.ones(rows, dtype=torch.bool)))


@pytest.fixture
def model(toy_split):
    return build(SMALL, toy_split.sequences.item_count + 1).eval()


@pytest.fixture
def one(toy_split):
    """A batch with rows shorter than the window."""
    return batch(toy_split.sequences, toy_split.train[::20][:12], SMALL.max_len)


def low_pass(x, highest):
    """Frequencies 0..highest of x [L], from the definition: projections on cosines and sines."""
    L = len(x)
    out = torch.zeros(L, dtype=x.dtype)
    for k in range(highest + 1):
        for wave in (math.cos, math.sin):
            basis = torch.tensor([wave(2 * math.pi * k * t / L) for t in range(L)], dtype=x.dtype)
            size = (basis**2).sum()
            out += (x @ basis) / size * basis if size > 1e-9 else 0
    return out


@pytest.mark.parametrize("window, c, length", [(8, 3, 8), (8, 3, 5), (7, 1, 4), (7, 4, 7), (6, 20, 6)])
def test_the_filter_is_its_equation(window, c, length):
    torch.manual_seed(0)
    mix = FrequencyMix(SMALL.replace(max_len=window, c=c)).double()
    x = torch.randn(1, window, 16, dtype=torch.float64)
    real = (torch.arange(window) < length)[None, :, None]
    kept = (x * real)[0]
    low = torch.stack([low_pass(kept[:, i], min(c // 2, window // 2)) for i in range(16)], dim=1)
    expected = F.layer_norm(x[0] + low + mix.s**2 * (kept - low), (16,), eps=SMALL.norm_eps)
    torch.testing.assert_close(mix(x, real)[0], expected, rtol=0, atol=1e-10)


def test_the_block_mixes_filter_and_attention():
    torch.manual_seed(0)
    block, x = BSABlock(SMALL.replace(alpha=0.7)), torch.randn(2, 8, 16)
    allowed, real = torch.ones(1, 1, 8, 8).tril().bool(), torch.ones(2, 8, 1, dtype=torch.bool)
    h = 0.7 * block.filter(x, real) + 0.3 * block.attention(x, allowed)
    torch.testing.assert_close(block(x, allowed, real), block.feed_forward(h))


def test_attention_has_a_dropout_of_its_own():
    torch.manual_seed(0)
    block, x = BSABlock(SMALL.replace(attention_dropout=0.5)).train(), torch.randn(2, 8, 16)
    allowed, real = torch.ones(1, 1, 8, 8).tril().bool(), torch.ones(2, 8, 1, dtype=torch.bool)
    assert not torch.equal(block(x, allowed, real), block(x, allowed, real))
    block.attention.dropout_rate = 0
    assert torch.equal(block(x, allowed, real), block(x, allowed, real))


def test_neither_padding_nor_other_rows_reach_a_user(model, one):
    users = model.users(one)
    hidden = torch.arange(SMALL.max_len) >= one.lengths[:, None]
    assert hidden.any()
    torch.testing.assert_close(model.users(replace(one, items=torch.where(hidden, 3, one.items))), users)
    for i in range(len(users)):  # alone and without padding
        row = type(one)(**{name: value[i : i + 1] for name, value in vars(one).items()})
        row = replace(row, items=row.items[:, : row.lengths], times=row.times[:, : row.lengths])
        torch.testing.assert_close(model.users(row), users[i : i + 1])
    assert (model.score(users)[:, 0] == -torch.inf).all() and model.score(users)[:, 1:].isfinite().all()


def test_an_earlier_item_reaches_the_user_by_the_filter_alone(one, toy_split):
    model = build(SMALL.replace(alpha=1.0, n_layers=1), toy_split.sequences.item_count + 1).eval()
    row = int(one.lengths.argmax())
    items = one.items.clone()
    items[row, 0] = items[row, 0] % 50 + 1
    assert (model.users(replace(one, items=items)) - model.users(one))[row].abs().max() > 1e-3


def test_every_parameter_has_a_gradient(model, one):
    sum(model.losses(one, "scratch").values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.slow
def test_32_rows_can_be_learnt_by_heart(model, toy_split):
    config = TrainConfig(epochs=60, batch_size=32, lr=2e-2, weight_decay=0)
    history = fit(model, toy_split.sequences, toy_split.train[::25][:32], config, progress=False)
    assert history["loss"].iloc[-1] < 0.02 < history["loss"].iloc[0]


@pytest.mark.parametrize("width, count", [(64, 103_680), (256, 1_594_368)])
def test_parameter_counts_are_the_pages(width, count):
    assert count_parameters(build(BSARecConfig(d_model=width, d_ff=4 * width), 4386)) == count


def test_shares_outside_0_and_1_are_refused():
    with pytest.raises(InputError, match="^config: alpha must lie in [^\n]*$"):
        BSARecConfig(alpha=1.2)
