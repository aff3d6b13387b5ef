"""Streams, alignment, filters and fusion: against values known by hand and against the model's own."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from mmm4rec_lite import InputError, analysis
from mmm4rec_lite.data import Dataset, batch, statistics
from mmm4rec_lite.study import ch04_alignment_and_fusion as ch04

L = 20


@pytest.fixture(params=[{}, dict(shared=False), dict(n_layers=2), dict(time=False)], ids=str)
def model(toy_model, small, request):
    return toy_model(small.replace(**request.param)).eval()


@pytest.fixture(scope="module")
def one(toy_split):
    return batch(toy_split.sequences, toy_split.test[:6], 8)


@pytest.fixture(scope="module")
def tones():
    angle = 2 * math.pi * torch.outer(torch.arange(L // 2 + 1), torch.arange(L)) / L
    return angle.cos()


def test_streams_are_what_the_layers_pass_on(model, one):
    found = analysis.activations(model, one)
    assert len(found) == model.config.n_layers and not any(m._forward_hooks for m in model.modules())
    for layer, seen in zip(model.layers, found):
        d = [seen.get(f"d_{name}") for name in ("text", "image", "fused")]
        assert all(v is None for v in d) if not model.config.time else all(v.shape[2] == 8 for v in d)
        with torch.no_grad():
            torch.testing.assert_close(layer.ticossd(seen["text"], seen["image"], d[2]), seen["fused"])
            if model.config.time:
                torch.testing.assert_close(layer.filter(*d[:2]), d[2])
    assert len(found) == 1 or torch.equal(found[1]["text_in"], found[0]["text"])


def test_the_two_time_signals_are_one_only_with_a_shared_tissd(toy_model, small, one):
    seen = [analysis.activations(toy_model(small.replace(shared=shared)), one)[0] for shared in (True, False)]
    assert torch.equal(seen[0]["d_text"], seen[0]["d_image"])
    assert (seen[1]["d_text"] - seen[1]["d_image"]).abs().max() > 0.01


def test_alignment_of_equal_rotated_and_unrelated_vectors():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, 16, generator=g)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=g)).Q
    same, turned = analysis.alignment(x, 3 * x), analysis.alignment(x, x @ turn)
    apart = analysis.alignment(x, torch.randn(200, 16, generator=g))
    assert same["own"] == pytest.approx(1) and same["cka"] == pytest.approx(1) and abs(same["others"]) < 0.05
    assert turned["cka"] == pytest.approx(1) and abs(turned["own"]) < 0.4  # one geometry, other coordinates
    assert abs(apart["own"]) < 0.1 and apart["cka"] < 0.2
    both = analysis.alignment(x + 5, x @ turn + 5)  # a common direction is no alignment
    assert both["others"] > 0.9 and both["own"] - both["others"] < 0.05


def test_alignment_needs_two_users():
    with pytest.raises(InputError, match="1 user"):
        analysis.alignment(torch.ones(1, 4), torch.ones(1, 4))


def test_the_gain_of_a_filter_set_by_hand_is_one_where_it_passes_and_zero_elsewhere(tones):
    layer = ch04.pass_bins([4, 7], L)
    table = analysis.filter_gain(layer, tones, tones).set_index("bin")
    assert table["gain"][[4, 7]].tolist() == pytest.approx([1, 1], abs=1e-5)
    assert table["gain"].drop([4, 7]).abs().max() < 1e-5
    assert table["K"][4] == pytest.approx(0.5) and table["period"][[0, 4]].tolist() == [math.inf, 5]
    diagonal = torch.zeros(L // 2 + 1).index_fill(0, torch.tensor([4, 7]), 1).diag()
    torch.testing.assert_close(analysis.frequency_map(layer), diagonal, atol=1e-5, rtol=0)


def test_no_gain_is_told_where_nothing_comes_in(tones):
    table = analysis.filter_gain(ch04.fresh_filter(L), tones[[3, 5]], tones[[3, 5]])
    assert table["bin"][table["gain"].notna()].tolist() == [3, 5]


def test_a_frequency_map_shows_what_a_learnable_filter_moves(tones):
    layer = ch04.pass_bins(range(11), L)
    with torch.no_grad():
        layer.learnable.real.weight.copy_(torch.eye(11).roll(1, 0))  # bin k comes out at k + 1
    table = analysis.frequency_map(layer)
    assert table[2:9].argmax(1).tolist() == list(range(3, 10))
    out = layer(tones[4], tones[4])
    torch.testing.assert_close(out.detach(), tones[5], atol=1e-5, rtol=0)


def test_images_reach_the_fused_last_step_from_the_convolution_alone(toy_model, small, one):
    model = toy_model(small.replace(d_conv=3))
    seen = analysis.activations(model, one)[0]
    table = analysis.receptive_field(model.layers[0].ticossd, seen["text"], seen["image"], seen["d_fused"])
    moved = table.pivot(index="back", columns="stream", values="moved")
    assert (moved["image"][3:] == 0).all() and (moved["image"][:3] > 0).all() and (moved["text"] > 0).all()
    with pytest.raises(InputError, match="two users"):
        analysis.receptive_field(model.layers[0].ticossd, *(seen[name][:1] for name in ("text", "image", "d_fused")))


def test_the_parts_of_a_score_add_up_to_it(toy_model, small, one):
    model = toy_model(small).eval()
    with torch.no_grad():
        users = model.users(one)
        items = torch.tensor([1, 7, 30])
        parts = analysis.score_parts(model, users, items)
        torch.testing.assert_close(sum(parts), model.score(users)[:, items])
    with pytest.raises(InputError, match="fusion='item'"):
        analysis.score_parts(toy_model(small.replace(fusion="item")), users, items)


def _dataset(gaps):
    """A dataset with a user per row of gaps [U, G]."""
    times = np.cumsum(np.pad(gaps, ((0, 0), (1, 0))), axis=1)
    users, steps = np.indices(times.shape)
    rows = pd.DataFrame(
        {
            "user": [f"u{u:03}" for u in users.ravel()],
            "item": [f"i{s}" for s in steps.ravel()],
            "timestamp": times.ravel().astype("int64"),
        }
    )
    items = pd.DataFrame(
        {"item": sorted(rows["item"].unique()), "title": "x", "text": "x", "image": None, "domain": "d"}
    )
    return Dataset.from_frames("planted", rows, items)


def test_a_gap_spectrum_finds_a_planted_rhythm_and_none_in_shuffled_gaps():
    rng = np.random.default_rng(0)
    gaps = np.stack([np.roll(ch04.rhythm(5, L).numpy(), k) for k in range(40)])
    planted = statistics.gap_spectrum([_dataset(gaps)], L).set_index("bin")
    assert planted["ratio"][[4, 8]].min() > 4 and planted["ratio"].drop([4, 8]).max() < 1e-6
    assert planted["period"][4] == 5 and (planted["users"] == 40).all()
    shuffled = statistics.gap_spectrum([_dataset(rng.permuted(np.tile(gaps, (10, 1)), axis=1))], L)
    assert ((shuffled["ratio"] - 1).abs() < 4 * shuffled["standard_error"]).all()


def test_a_gap_spectrum_says_when_histories_are_too_short(toy):
    with pytest.raises(InputError, match="fewer than two users have 500 gaps"):
        statistics.gap_spectrum([toy], 500)
