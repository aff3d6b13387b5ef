"""ATHWE beside its golden numbers: wavelets by their definition, bands by a loop, experts, clusters, quirks."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.athwe import ATHWE, DB4, NONE, ATHWEConfig, clusters, wavelets, whitened
from tests.support.models import drawn
from tests.support.rows import rows_of

K, DAY = 12, 86_400
CONFIG = ATHWEConfig(d_model=8, d_ff=16, max_len=8, dropout=0.0, n_clusters=4)
ROWS = rows_of([1, 2, 3, 4, 5, 6, 7], [1, 8, 9], [5], gap=DAY)


def made(**changes):
    torch.manual_seed(0)
    return ATHWE(CONFIG.replace(**changes), drawn(K)).eval()


def test_the_filter_is_daubechies_of_four_vanishing_moments(double):
    low, at = torch.tensor(DB4), torch.arange(8.0)
    high = low.flip(0) * torch.tensor([1.0, -1] * 4)
    assert low.sum() == pytest.approx(2**0.5)
    for shift in range(0, 8, 2):
        assert low[shift:] @ low[: 8 - shift] == pytest.approx(float(shift == 0), abs=1e-12)
        assert low @ F.pad(high[: 8 - shift], (shift, 0)) == pytest.approx(0, abs=1e-12)
    for moment in range(5):
        assert (abs(high @ at**moment) < 1e-9) == (moment < 4)


@pytest.mark.parametrize("length", [1, 2, 5, 8, 20, 21, 50])
def test_wavelets_rebuild_any_signal_and_halve_its_steps(length, double):
    bands = wavelets(length, 4)
    whole = torch.cat(bands)
    torch.testing.assert_close(whole.T @ whole, torch.eye(length))
    sizes = [length]
    for _ in range(4):
        sizes.append((sizes[-1] + 7) // 2)
    assert [len(band) for band in bands] == [sizes[4], *sizes[1:]]


def test_alignment_by_a_loop():
    align, x = made().align, torch.randn(2, 8, 3, 8)
    bands, found = wavelets(8, 4), x.clone()
    for m in range(3):
        rebuilt = torch.zeros(2, 8, 8)
        for j, band in enumerate(bands):
            y = [band @ x[:, :, s] for s in range(3)]
            rebuilt += band.T @ sum((one @ align.maps[j, m, s].T).sigmoid() * one for s, one in enumerate(y))
        found[:, :, m] += align.weights[m] * (rebuilt - x[:, :, m])
    torch.testing.assert_close(align(x), found)


def test_a_batch_may_be_narrower_than_the_window_unless_padding_counts():
    narrow = replace(ROWS, items=ROWS.items[:, :7], times=ROWS.times[:, :7])
    torch.testing.assert_close(made().users(narrow), made().users(ROWS))
    assert (made(padded_wavelets=True).users(narrow) - made(padded_wavelets=True).users(ROWS)).abs().max() > 1e-4


def test_experts_of_time_by_a_loop():
    experts, x = made().time_experts, torch.randn(3, 8, 3, 8)
    time = experts.embed(ROWS)
    code = round(200 * (1 - 2.718281828459045 ** (-DAY / 1.5e7)))
    assert torch.equal(time[0, 1], experts.gaps.weight[code]) and torch.equal(time[0, 0], experts.gaps.weight[0])
    gate = experts.gate(experts.route(time).relu()).softmax(-1)
    for b, t in ((0, 0), (0, 5), (2, 3)):
        top = gate[b, t].argsort(descending=True)[:6]
        scale = sum(gate[b, t, k] * experts.vectors[k] for k in top) / gate[b, t, top].sum() + experts.vectors[8]
        torch.testing.assert_close(experts(x, time)[b, t].flatten(), x[b, t].flatten() * scale)
    outputs = F.normalize((x.flatten(2).unsqueeze(2) * experts.vectors[:8]).movedim(2, 0).flatten(1), dim=-1)
    torch.testing.assert_close(experts.likeness(x), ((outputs @ outputs.T).sum() - 8) / 56)


def test_clusters_are_of_what_is_there_and_the_same_in_every_run():
    g = torch.Generator().manual_seed(1)
    centres = torch.randn(3, 2, generator=g)
    features = centres.repeat(20, 1) + 0.01 * torch.randn(60, 2, generator=g)
    there = torch.arange(60) % 5 > 0
    state = torch.random.get_rng_state()
    found = clusters(features, there, 5)
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing is drawn from the run's numbers
    assert (found[~there] == NONE).all() and found[there].min() >= 0 and found.max() < 5
    kinds = [set(found[there & (torch.arange(60) % 3 == kind)].tolist()) for kind in range(3)]
    assert sum(map(len, kinds)) == len(set.union(*kinds))  # none holds items of two sorts
    assert clusters(features, torch.arange(60) < 3, 5)[:4].tolist() == [0, 1, 2, NONE]


def test_whitened_features_are_uncorrelated_even_where_there_are_few():
    x = torch.randn(5, 8).double()
    covariance = whitened(x).T @ whitened(x) / 5
    assert torch.linalg.eigvalsh(covariance).round(decimals=6).tolist() == [0] * 4 + [1] * 4
    assert (whitened(torch.ones(3, 2)) == 0).all()


def test_items_without_an_image_have_no_image_cluster():
    model, shop = made(), drawn(K)
    assert ((model.clusters[1] == NONE) == ~(shop.has_image & (torch.arange(K) > 0))).all()
    assert model.clusters[0].tolist()[0] == NONE and (model.clusters[0, 1:] >= 0).all()
    bare = replace(ROWS, items=ROWS.items.clamp(max=1) * 4)  # every fourth item has none
    assert model.losses(bare, "scratch")["clusters"].isfinite()


def test_the_release_masks_nothing():
    assert made().masked(ROWS).sum(1).tolist() == [1, 0, 0] and not made(nothing_masked=True).masked(ROWS).any()


def test_a_score_is_the_weighed_sum_of_three():
    model = made()
    with torch.no_grad():
        model.fusion += torch.tensor([0.5, -1, 2])
    users, p = model.users(ROWS), model.fusion.softmax(0)
    each = [one() for one in (model.items, model.text, model.image)]
    parts = [w * u @ items.T for w, u, items in zip(p, users.chunk(3, 1), each)]
    torch.testing.assert_close(model.score(users)[:, 1:], sum(parts)[:, 1:])
