"""Half-lives, effective weights, step tables, influence: read off a model, and true of it."""

import math

import pytest
import torch

from mmm4rec_lite import InputError, analysis
from mmm4rec_lite.data import batch
from mmm4rec_lite.models.ssd import ssd_state


@pytest.fixture
def model(toy_model, small):
    return toy_model(small).eval()


@pytest.fixture(scope="module")
def one(toy_split):
    """One history of five items in a window of eight."""
    rows = toy_split.train[toy_split.train - toy_split.sequences.first[toy_split.train] == 5][:1]
    found = batch(toy_split.sequences, rows, 8)
    assert found.lengths.tolist() == [5]
    return found.items, found.lengths, found.times


def test_half_lives_of_equal_steps_are_those_of_one_step():
    dt, A = torch.full((2, 6, 3), 0.2), torch.tensor([-1.0, -2.0, -0.1])
    half = analysis.half_lives(dt, A, torch.tensor([6, 4]))
    torch.testing.assert_close(half, (math.log(2) / (-A * 0.2)).expand(2, 3))


def test_half_lives_know_neither_the_first_step_nor_padding():
    dt, A = torch.rand(1, 6, 2) + 0.1, -torch.rand(2) - 0.1
    changed = dt.clone()
    changed[:, 0], changed[:, 4:] = 9, 9
    lengths = torch.tensor([4])
    assert torch.equal(analysis.half_lives(dt, A, lengths), analysis.half_lives(changed, A, lengths))
    left = (A * dt[:, 1:4].sum(1)).exp()  # over three steps
    torch.testing.assert_close(left, 0.5 ** (3 / analysis.half_lives(dt, A, lengths)))


def test_a_single_item_has_no_half_life():
    assert analysis.half_lives(torch.ones(1, 3, 2), -torch.ones(2), torch.tensor([1])).isnan().all()


def test_effective_weights_are_what_the_state_holds():
    """With inputs that are unit vectors the state after the last step shows each item's weight by itself."""
    dt, A = torch.rand(1, 5, 1, dtype=torch.float64), torch.tensor([-0.7], dtype=torch.float64)
    x, B = torch.eye(5, dtype=torch.float64)[None, :, None], torch.ones(1, 5, 1, 1, dtype=torch.float64)
    held = ssd_state(x, dt, A, B)[0, 0, :, 0]
    torch.testing.assert_close(analysis.effective_weights(dt, A, torch.tensor([5]))[0, 0], held / held.sum())


def test_effective_weights_are_shares_and_padding_has_none():
    dt, A = torch.rand(3, 6, 4) + 0.01, -torch.rand(4)
    weights = analysis.effective_weights(dt, A, torch.tensor([6, 3, 1]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))
    assert (weights[1, :, 3:] == 0).all() and (weights[2, :, 0] == 1).all() and (weights[0] > 0).all()


@pytest.mark.parametrize("place", ["layer 1, text", "layer 1, image", "layer 1, fusion"])
def test_a_step_table_tells_what_ran(model, one, place):
    table = analysis.step_table(model, *one, place=place)
    (dt, A), n = analysis.steps(model, *one)[place], one[1].item()
    assert len(table) == n * model.config.n_heads
    cell = lambda step, head, name: table.query("step == @step and head == @head")[name].item()
    for step, head in ((1, 1), (4, 2), (5, 1)):
        assert cell(step, head, "dt") == pytest.approx(dt[0, step - 1, head - 1].item())
        assert cell(step, head, "kept") == pytest.approx((A * dt)[0, step - 1, head - 1].exp().item())
        left = (A[head - 1] * dt[0, step:n, head - 1].sum()).exp().item()
        assert cell(step, head, "left") == pytest.approx(left)
    assert table.groupby("head")["weight"].sum().tolist() == pytest.approx([1] * model.config.n_heads)
    own = one[2][0, 1:n] - one[2][0, : n - 1]
    assert table.query("head == 1")["gap"].tolist() == [0, *own.tolist()]
    assert not table.isna().any().any()


def test_a_step_table_follows_eq_5_and_6(model, one):
    table = analysis.step_table(model, *one)
    step = model.layers[0].tissd[0].core.step
    D = torch.zeros(1, model.config.n_heads, 8)
    D[0, :, :5] = torch.tensor(table.pivot(index="head", columns="step", values="D").to_numpy())
    alpha = torch.tensor(table.pivot(index="head", columns="step", values="alpha").to_numpy(), dtype=torch.float32)
    torch.testing.assert_close(step.scale(D)[0, :, :5], alpha)
    d_hat = step.conv2(step.conv1(D * step.scale(D)))[0, :, :5].detach().numpy()
    assert table.pivot(index="head", columns="step", values="D-hat").to_numpy() == pytest.approx(d_hat, abs=1e-6)


def test_without_time_the_signals_are_missing_and_the_steps_are_not(toy_model, small, one):
    table = analysis.step_table(toy_model(small.replace(time=False)), *one)
    assert table[["D", "alpha", "D-hat"]].isna().all().all() and (table["dt"] > 0).all()


def test_weights_by_head_are_the_effective_weights(model, one):
    found = analysis.weights_by_head(model, *one, places=("text", "fusion"))
    H = model.config.n_heads
    assert list(found) == [f"{place}, head {h}" for place in ("text", "fusion") for h in range(1, H + 1)]
    dt, A = analysis.steps(model, *one)["layer 1, fusion"]
    assert torch.equal(found["fusion, head 2"], analysis.effective_weights(dt, A, one[1])[0, 1, :5])


@pytest.mark.slow
def test_influence_is_the_mean_movement_over_the_catalogue(model, one):
    items, lengths, times = one
    found = analysis.influence(model, *one)
    assert found.shape == (5,) and (found > 0).all()
    with torch.no_grad():
        before, moved = model(*one), []
        for other in range(1, len(model.text_features)):
            if other != items[0, 2]:
                changed = items.clone()
                changed[0, 2] = other
                moved.append(((model(changed, lengths, times) - before).norm() / before.norm()).item())
    assert found[2].item() == pytest.approx(sum(moved) / len(moved), rel=1e-4)


def test_without_memory_only_the_convolutions_reach_back(toy_model, small, one):
    model = toy_model(small.replace(d_conv=1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bare = analysis.influence(analysis.without_memory(model), *one)
    assert (bare[:-1] < 1e-6).all() and bare[-1] > 0.01
    assert (analysis.influence(model, *one)[:-1] > 1e-6).all()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_convolutions_and_memory_the_latest_item_alone_counts(toy_model, small, one):
    model = toy_model(small.replace(d_conv=3, time=False))
    bare = analysis.influence(analysis.without_convolutions(analysis.without_memory(model)), *one)
    assert (bare[:-1] < 1e-6).all() and bare[-1] > 0.01
    assert (analysis.influence(analysis.without_memory(model), *one)[-3:] > 1e-6).all()


def test_with_gap_changes_one_gap_alone():
    times = torch.tensor([[10, 20, 50, 60], [0, 5, 5, 7]])
    assert analysis.with_gap(times, 3, 100).tolist() == [[10, 20, 120, 130], [0, 5, 105, 107]]
    assert analysis.with_gap(times, 3, 100).diff()[0].tolist() == [10, 100, 10]
    for step in (1, 5):
        with pytest.raises(InputError, match="step"):
            analysis.with_gap(times, step, 1)


def test_gap_response_at_the_own_gap_is_the_own_step(model, one):
    own = (one[2][0, 3] - one[2][0, 2]).item()
    found = analysis.gap_response(model, *one, step=4, gaps=[own, own + 10**7])
    table = analysis.step_table(model, *one).query("step == 4")
    assert found.query("gap == @own")["dt"].tolist() == pytest.approx(table["dt"].tolist())
    assert found["gap"].tolist() == [own] * model.config.n_heads + [own + 10**7] * model.config.n_heads
    assert found.query("gap == @own")["kept"].tolist() != found.query("gap != @own")["kept"].tolist()


def test_one_history_at_a_time(model, toy_split):
    two = batch(toy_split.sequences, toy_split.test[:2], 8)
    for look in (analysis.step_table, analysis.influence, analysis.weights_by_head):
        with pytest.raises(InputError, match="one history"):
            look(model, two.items, two.lengths, two.times)
