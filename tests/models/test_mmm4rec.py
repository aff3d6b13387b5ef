"""The model: shapes, switches, what may and may not reach a user vector, and a time branch that works."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mmm4rec_lite.data import Sequences, batch
from mmm4rec_lite.models.blocks import StepSize
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.losses import full_loss
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils.errors import InputError

ITEMS, DAY = 60, 86400
SWITCHES = {
    "default": ModelConfig(),
    "w/o Time": ModelConfig(time=False),
    "w/o Time, no gap vector": ModelConfig(time=False, gap_vector=False),
    "w/o Shared": ModelConfig(shared=False),
    "w/o AF": ModelConfig(adaptive_filter=False),
    "w/o LF": ModelConfig(learnable_filter=False),
    "w/o filters": ModelConfig(adaptive_filter=False, learnable_filter=False),
    "2L": ModelConfig(n_layers=2),
    "w/o ID": ModelConfig(item_bias=False),
    "seconds": ModelConfig(gaps="seconds"),
    "no gap vector": ModelConfig(gap_vector=False),
    "a group per head": ModelConfig(n_groups=8),
    "odd window": ModelConfig(max_len=7),
    "even window": ModelConfig(max_len=8),
    "paper": ModelConfig.paper(),
    "paper in seconds": ModelConfig.paper(gaps="seconds", norm_eps=1e-12),
}
GAPS = {
    "days, lognormal": lambda *shape: torch.exp(11.4 + 1.5 * torch.randn(*shape)),
    "uniform up to 1e6 s": lambda *shape: torch.rand(*shape) * 1e6,
}


def make(config=None, seed=0, items=ITEMS):
    torch.manual_seed(seed)
    return MMM4Rec(config or ModelConfig(), torch.randn(items + 1, 12), torch.randn(items + 1, 10)).eval()


def draw(config, rows=32, seed=1, shortest=1, gaps="days, lognormal"):
    """Random right-padded histories: items, lengths, times."""
    torch.manual_seed(seed)
    L = config.max_len
    lengths = torch.randint(shortest, L + 1, (rows,))
    mask = torch.arange(L) < lengths.unsqueeze(1)
    times = 1_700_000_000 + GAPS[gaps](rows, L).long().cumsum(1)
    return torch.randint(1, ITEMS + 1, (rows, L)) * mask, lengths, times * mask


def moved(before, after):
    """How far user vectors moved, over their length: the mean of the rows."""
    return ((after - before).norm(dim=1) / before.norm(dim=1)).mean().item()


def other_gaps_move(model, gaps="days, lognormal"):
    items, lengths, times = draw(model.config, 64, shortest=2, gaps=gaps)
    other = 1_700_000_000 + GAPS[gaps](*items.shape).long().cumsum(1)
    with torch.no_grad():
        return moved(model(items, lengths, times), model(items, lengths, other))


def names(model):
    return {name for name, _ in model.named_parameters()}


def one_loss(model, config, rows=64):
    items, lengths, times = draw(config, rows)
    loss = full_loss(model, model(items, lengths, times), torch.randint(1, ITEMS + 1, (rows,)))
    loss.backward()
    return loss


# --- shapes and switches ---


@pytest.mark.parametrize("switch", SWITCHES)
def test_users_and_scores_have_their_shapes_and_only_padding_scores_minus_infinity(switch):
    model = make(SWITCHES[switch])
    users = model(*draw(model.config, 5))
    scores = model.score(users)
    assert users.shape == (5, model.config.d_model) and scores.shape == (5, ITEMS + 1)
    assert (scores[:, 0] == -torch.inf).all() and torch.isfinite(scores[:, 1:]).all()
    assert torch.equal(scores, model.score(users, model.candidates()))


def test_the_quirk_pad_item_lets_padding_compete():
    scores = (model := make(ModelConfig(quirks=Quirks(pad_item=True)))).score(model(*draw(model.config, 5)))
    assert torch.isfinite(scores).all()


def test_scores_are_the_two_dot_products_with_unit_vectors_over_tau():
    model = make()
    nn.init.normal_(model.bias_image), nn.init.normal_(model.bias_text)
    users = torch.randn(3, 64)
    image = model.adapter_image(model.image_features[7]) + model.bias_image[7]
    text = model.adapter_text(model.text_features[7]) + model.bias_text[7]
    expected = (users @ (image / image.norm()) + users @ (text / text.norm())) / 0.8
    assert torch.allclose(model.score(users)[:, 7], expected, atol=1e-5)
    assert torch.allclose(model.candidates(torch.tensor([7, 2])), model.candidates()[[7, 2]], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("switch", SWITCHES)
def test_gradient_reaches_every_parameter_and_is_finite(switch):
    model = make(SWITCHES[switch]).train()
    assert torch.isfinite(one_loss(model, model.config))
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().max() > 0, name


@pytest.mark.parametrize("gaps", ["log", "seconds"])
def test_a_window_of_one_has_no_gaps_but_works(gaps):
    model = make(ModelConfig(max_len=1, gaps=gaps)).train()
    assert torch.isfinite(one_loss(model, model.config))
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    idle = [n for n, p in model.named_parameters() if p.grad.abs().max() == 0]
    # one step decays nothing and has a gap of 0: only A and what is multiplied by a gap may rest
    may = ("A_log", "gap_", "times.norm.weight", ".step.", ".enhance.", ".filter.")
    assert idle and all(any(part in n for part in may) for n in idle)


def test_without_time_there_is_no_time_branch_and_time_stamps_are_not_wanted():
    model = make(SWITCHES["w/o Time, no gap vector"])
    time_branch = [n for n in names(model) if any(part in n for part in ("step.", "enhance", "filter", "gap_"))]
    assert sorted(time_branch) == ["layers.0.ticossd.core.step.bias", "layers.0.tissd.0.core.step.bias"]
    items, lengths, times = draw(model.config)
    assert torch.equal(model(items, lengths), model(items, lengths, times))


def test_without_sharing_there_is_exactly_one_more_tissd():
    shared, apart = make(), make(SWITCHES["w/o Shared"])
    extra = names(apart) - names(shared)
    assert names(shared) < names(apart)
    assert {n.removeprefix("layers.0.tissd.1.") for n in extra} == {
        n.removeprefix("layers.0.tissd.0.") for n in names(shared) if "tissd" in n
    }


@pytest.mark.parametrize(
    "switch, parts",
    {
        "w/o AF": ("layers.0.filter.text", "layers.0.filter.image"),
        "w/o LF": ("layers.0.filter.learnable",),
        "w/o filters": ("layers.0.filter",),
        "w/o ID": ("bias_image", "bias_text"),
        "no gap vector": ("gap_",),
    }.items(),
)
def test_each_switch_takes_away_its_own_parameters(switch, parts):
    full = names(make())
    mine = {n for n in full if n.startswith(parts)}
    assert mine and full - names(make(SWITCHES[switch])) == mine


def test_two_layers_are_the_same_layer_twice():
    layers = make(SWITCHES["2L"]).layers
    assert len(layers) == 2 and names(layers[0]) == names(layers[1]) == names(make().layers[0])


# --- padding and batch mates ---


@pytest.mark.parametrize("switch", ["default", "seconds", "2L", "w/o Time", "w/o filters", "odd window"])
def test_what_stands_beyond_a_rows_length_never_counts(switch):
    model = make(SWITCHES[switch])
    items, lengths, times = draw(model.config)
    beyond = torch.arange(items.shape[1]) >= lengths.unsqueeze(1)
    assert beyond.any() and (lengths == 1).any()
    junk = torch.where(beyond, torch.randint(1, ITEMS + 1, items.shape), items)
    late = torch.where(beyond, torch.randint(0, 10**12, times.shape), times)
    users = model(items, lengths, times)
    assert torch.equal(users, model(junk, lengths, late))
    assert not torch.equal(users, model(items, (lengths - 1).clamp(min=1), times))


@pytest.mark.parametrize("switch", ["default", "seconds", "w/o Time"])
def test_shorter_inputs_count_as_padded_ones(switch):
    model = make(SWITCHES[switch])
    items, lengths, times = draw(model.config)
    lengths = lengths.clamp(max=5)
    assert torch.equal(model(items[:, :5], lengths, times[:, :5]), model(items, lengths, times))


@pytest.mark.slow
@pytest.mark.parametrize("switch", ["default", "seconds", "w/o Shared"])
def test_rows_of_a_batch_do_not_see_each_other(switch, double):
    model = make(SWITCHES[switch])
    rows = draw(model.config, 12)
    users = model(*rows)
    alone = torch.cat([model(*(v[i : i + 1] for v in rows)) for i in range(12)])
    assert torch.allclose(alone, users, rtol=0, atol=1e-12)
    shuffled = torch.randperm(12)
    assert torch.allclose(model(*(v[shuffled] for v in rows)), users[shuffled], rtol=0, atol=1e-12)


def test_without_time_the_window_does_not_matter_to_histories_that_fit_it():
    wide, narrow = (make(ModelConfig(time=False, gap_vector=False, max_len=L)) for L in (20, 9))
    narrow.load_state_dict(wide.state_dict())
    items, lengths, _ = draw(narrow.config)
    assert torch.allclose(wide(items, lengths), narrow(items, lengths), rtol=0, atol=1e-6)
    full = items[lengths == 9]
    assert torch.allclose(narrow(full, torch.full((len(full),), 9)), wide(items, lengths)[lengths == 9], atol=1e-6)


# --- the target ---


def flat(max_len):
    """One user's 30 interactions as flat sequences, and rows with short, full and overfull windows."""
    torch.manual_seed(3)
    sequences = Sequences(
        torch.randint(1, ITEMS + 1, (30,)),
        GAPS["days, lognormal"](30).long().cumsum(0),
        torch.zeros(30, dtype=torch.int64),
        ["u"],
        ITEMS,
    )
    return sequences, [1, 2, max_len - 1, max_len, max_len + 1, 27]


def without_the_future(sequences, row):
    """The same sequences with other items and times from ``row`` on."""
    items, times = sequences.items.clone(), sequences.times.clone()
    items[row:] = items[row:] % ITEMS + 1
    times[row:] += torch.arange(1, len(times) - row + 1) * 12345
    return Sequences(items, times, sequences.first, sequences.users, ITEMS)


@pytest.mark.slow
@pytest.mark.parametrize("switch", ["default", "seconds", "2L", "odd window"])
def test_neither_the_target_nor_its_time_nor_anything_later_reaches_the_model(switch):
    model = make(SWITCHES[switch])
    sequences, rows = flat(L := model.config.max_len)
    for row in rows:
        one = batch(sequences, torch.tensor([row]), L)
        other = batch(without_the_future(sequences, row), torch.tensor([row]), L)
        assert one.targets != other.targets
        assert torch.equal(one.items, other.items) and torch.equal(one.times, other.times)
        assert one.requests != other.requests and torch.equal(model.users(one), model.users(other))
        past = batch(without_the_future(sequences, row - 1), torch.tensor([row]), L)
        assert not torch.equal(model.users(one), model.users(past))


def test_the_quirks_of_the_public_code_let_the_targets_time_in():
    model = make(ModelConfig(gaps="seconds", gap_vector=False, quirks=Quirks(target_time=True, padded_times=True)))
    sequences, _ = flat(L := model.config.max_len)
    row = torch.tensor([L - 3])
    one, other = (batch(s, row, L, target_time=True) for s in (sequences, without_the_future(sequences, L - 3)))
    users = [model.users(b) for b in (one, other)]
    assert torch.equal(one.items, other.items) and not torch.equal(one.times, other.times)
    assert moved(*users) > 1e-4


def test_query_time_lets_the_time_of_the_request_in_and_nothing_else_of_the_target():
    model = make(ModelConfig(query_time=True))
    nn.init.normal_(model.request_text)
    sequences, rows = flat(L := model.config.max_len)
    row = rows[len(rows) // 2]
    one, other = (batch(s, torch.tensor([row]), L) for s in (sequences, without_the_future(sequences, row)))
    assert not torch.equal(model.users(one), model.users(other))
    told = replace(other, requests=one.requests)
    assert torch.equal(model.users(one), model.users(told))
    for asked, of in ((None, model), (one.requests, make(ModelConfig()))):
        with pytest.raises(InputError, match="requests: a model with query_time needs"):
            of(one.items, one.lengths, one.times, asked)
    with pytest.raises(InputError, match="query_time needs time=True"):
        ModelConfig(query_time=True, time=False)


def test_a_fresh_query_time_model_is_the_default_model():
    fresh, default = (make(ModelConfig(query_time=asked)) for asked in (True, False))
    sequences, rows = flat(L := default.config.max_len)
    one = batch(sequences, torch.tensor(rows), L)
    assert torch.equal(fresh.users(one), default.users(one))


# --- times ---


@pytest.mark.parametrize("switch", ["default", "seconds", "2L", "paper", "paper in seconds"])
@pytest.mark.parametrize("gap", ["zero", "equal", "enormous", "one enormous"])
def test_any_gap_gives_finite_values_and_gradients(switch, gap):
    model = make(SWITCHES[switch])
    items, lengths, times = draw(model.config)
    steps = torch.arange(items.shape[1]).expand_as(items)
    times = {"zero": times * 0, "equal": steps * DAY, "enormous": steps * 10**15, "one enormous": (steps > 3) * 10**15}[
        gap
    ]
    users = model(items, lengths, times)
    full_loss(model, users, torch.randint(1, ITEMS + 1, (len(items),))).backward()
    assert torch.isfinite(users).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_without_time_no_time_stamp_is_read():
    model = make(SWITCHES["w/o Time"]).eval()
    items, lengths, times = draw(model.config)
    assert torch.equal(model(items, lengths), model(items, lengths, times))
    assert not any("gap" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("switch", ["default", "no gap vector"])
def test_missing_times_are_refused_where_they_are_needed(switch):
    model = make(SWITCHES[switch])
    items, lengths, _ = draw(model.config)
    with pytest.raises(InputError, match="^times: [^\n]*$"):
        model(items, lengths)


def test_a_history_longer_than_the_window_is_refused():
    model = make(ModelConfig(max_len=6))
    items, lengths, times = draw(ModelConfig(max_len=7))
    with pytest.raises(InputError, match="7 steps do not fit the window of 6"):
        model(items, lengths, times)


def test_feature_tables_of_different_length_are_refused(unchecked):
    with pytest.raises(InputError, match="61 image rows but 60 text rows"):
        MMM4Rec(ModelConfig(), torch.randn(61, 12), torch.randn(60, 10))


# --- the time branch is alive ---

ALIVE = {
    "small": ModelConfig(gap_vector=False),
    "in seconds": ModelConfig(gap_vector=False, gaps="seconds"),
    "2L": ModelConfig(gap_vector=False, n_layers=2),
    "paper": ModelConfig.paper(),
}


@pytest.mark.slow
@pytest.mark.parametrize("size", ALIVE)
@pytest.mark.parametrize("gaps", GAPS)
def test_in_a_fresh_model_other_gaps_move_the_user_vector_by_one_percent(size, gaps):
    for seed in range(4):
        assert other_gaps_move(make(ALIVE[size], seed), gaps) > 0.01, seed


@pytest.mark.slow
@pytest.mark.parametrize("size", ALIVE)
def test_with_the_published_start_other_gaps_move_nothing(size):
    for seed in range(2):
        model = make(ALIVE[size].replace(quirks=Quirks(published_init=True)), seed)
        assert other_gaps_move(model) < 1e-5


def test_the_published_start_has_an_endless_gradient_where_an_image_lacks():
    """The adapters' biases, which all items without an image have for a vector: 0 there, drawn last here."""
    fresh, published = (make(ModelConfig(quirks=Quirks(published_init=quirk))) for quirk in (False, True))
    assert (published.adapter_image.bias == 0).all()
    for adapter in (fresh.adapter_image, fresh.adapter_text):
        assert 0.5 < adapter.bias.abs().max() * adapter.in_features**0.5 <= 1
    for model, singular in ((fresh, False), (published, True)):
        model.drop_images(torch.arange(ITEMS + 1) % 3 == 0)
        one_loss(model, model.config)
        assert (model.adapter_image.bias.grad.norm() > 1e6) == singular


@pytest.mark.slow
@pytest.mark.parametrize("size", ALIVE)
def test_the_first_gradient_wakes_every_step_size(size):
    model = make(ALIVE[size]).train()
    one_loss(model, model.config)
    steps = [module for module in model.modules() if isinstance(module, StepSize)]
    assert len(steps) == 2 * model.config.n_layers
    for step in steps:
        for part in (step.scale, step.conv1, step.conv2):
            assert max(p.grad.abs().max() for p in part.parameters()) > 1e-6


@pytest.mark.slow
def test_training_leaves_the_time_branch_alive(toy_model, toy_split, small):
    """On average over starts; with the published one it is dead."""
    config, moved = TrainConfig(epochs=6, batch_size=128, lr=1e-2), []
    for quirks, seed in [*((Quirks(), seed) for seed in range(3)), (Quirks(published_init=True), 0)]:
        model = toy_model(small.replace(gap_vector=False, quirks=quirks), seed)
        fit(model, toy_split.sequences, toy_split.train, config, progress=False)
        moved.append(other_gaps_move(model))
    assert sum(moved[:3]) / 3 > 0.01 and moved[3] < 1e-6


def test_the_gap_vector_changes_nothing_at_the_start_and_something_after_one_step():
    model, without = make(), make(SWITCHES["no gap vector"])
    without.load_state_dict({k: v for k, v in model.state_dict().items() if k in without.state_dict()})
    given = draw(model.config)
    assert torch.equal(model(*given), without(*given))
    one_loss(model, model.config)
    with torch.no_grad():
        for p in (model.gap_image, model.gap_text):
            p -= 0.01 * p.grad.sign()
    assert moved(model(*given), without(*given)) > 1e-4
