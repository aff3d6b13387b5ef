"""Explorers: a changed control changes numbers and picture, in the right direction, and faults are shown."""

import math
import re

import nbformat
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch.nn.functional import softplus

from mmm4rec_lite.analysis import capture_scans, filter_state, steps
from mmm4rec_lite.analysis.decay import explore, left_over
from mmm4rec_lite.evaluation import as_batch, moved_ranks, recommend, recommend_after, user_history
from mmm4rec_lite.models.blocks import StepSize, TimeDifferences
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.ssd import ssd_scan
from mmm4rec_lite.study import site
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.explorers import filter_explorer, mask_explorer, modality_dial, what_if
from mmm4rec_lite.viz.explorers.tiles import FRAME, GREY, Tile, Tiles, _words

USER, GAPS = "user07", [0, 3600, 86400, 60, 864000]
CONFIG = ModelConfig(d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=8, item_bias=False)


@pytest.fixture(scope="module")
def model(toy_model):
    return toy_model(CONFIG)


@pytest.fixture(scope="module")
def features(toy, random_features):
    return random_features(toy.items["item"])


def numbers(explorer):
    """The first numbers told; no error is."""
    assert explorer.error.value == ""
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", explorer.numbers.value)]


def changes(explorer, control, value):
    """Whether picture and numbers both change with this control; figure and axes must stay the same objects."""
    before = explorer.image.value, explorer.numbers.value
    kept = explorer.figure, [*explorer.figure.axes], [*explorer.figure.findobj(match=lambda a: a.get_animated())]
    getattr(explorer, control).value = value
    assert explorer.error.value == ""
    now = explorer.figure, [*explorer.figure.axes], [*explorer.figure.findobj(match=lambda a: a.get_animated())]
    assert now[0] is kept[0] and now[1] == kept[1] and now[2] == kept[2]
    changed = explorer.image.value != before[0], explorer.numbers.value != before[1]
    assert changed[0] == changed[1]
    return changed[0]


# --- the closed form ---


def test_the_time_signal_and_the_steps_are_the_models():
    config = ModelConfig(time=False, d_model=16, head_dim=32)
    times = torch.tensor(GAPS).cumsum(0)[None]
    state = explore(GAPS, -4, 1.5, 0.05)
    np.testing.assert_allclose(state["d"], TimeDifferences(config).log_gaps(times, torch.ones(1, 5))[0], atol=1e-6)
    step = StepSize(config)
    step.bias.data = torch.tensor([math.log(math.expm1(0.05))])
    dt, _ = step(torch.tensor(1.5 * state["d"]).float()[None, :, None])
    np.testing.assert_allclose(state["dt"], dt[0, :, 0].detach(), rtol=1e-5)
    dt, _ = step(torch.full((1, 5, 1), 1.5))
    np.testing.assert_allclose(explore(GAPS, -4, 1.5, 0.05, time=False)["dt"], dt[0, :, 0].detach(), rtol=1e-5)


def test_the_weights_are_what_the_recurrence_holds():
    """Impulses through ``ssd_scan`` with B = C = 1: what the last output has of each item."""
    state = explore(GAPS, -4, 1, 0.2)
    dt, one = torch.tensor(state["dt"]), torch.ones(5, 5, 1, 1, dtype=torch.float64)
    y = ssd_scan(
        torch.eye(5, dtype=torch.float64)[:, :, None, None],
        dt.expand(5, 5)[..., None],
        torch.tensor([-4.0], dtype=torch.float64),
        one,
        one,
    )[:, -1, 0, 0]
    np.testing.assert_allclose(state["left"] * state["dt"], y)
    np.testing.assert_allclose(state["weight"], y / y.sum())


@pytest.mark.parametrize("A", [-0.5, -3])
def test_equal_gaps_have_the_half_life_of_their_decay(A):
    state = explore([0, 3600, 3600, 3600, 3600], A, 0, 0.1)
    steps = state["half_life_steps"]
    assert math.exp(A * state["dt"][1] * steps) == pytest.approx(0.5)
    assert state["half_life_seconds"] == pytest.approx(3600 * steps)
    assert math.isnan(explore([0], A, 0, 0.1)["half_life_steps"])


@pytest.mark.parametrize(
    "given, fault",
    [
        (([], -1, 1, 0.1), "one or more finite"),
        (([0, -5], -1, 1, 0.1), "negative"),
        (([0, 5], 0, 1, 0.1), "A must be"),
        (([0, 5], -1, 1, 0), "base"),
        (([0, math.inf], -1, 1, 0.1), "finite"),
        (([0, 5], -1, math.nan, 0.1), "finite"),
    ],
)
def test_bad_numbers_are_refused(given, fault):
    with pytest.raises(InputError, match=fault):
        explore(*given)


def test_gaps_and_steps_must_be_as_many():
    with pytest.raises(InputError, match="2 gaps but 3"):
        left_over([0, 1], [1, 1, 1], -1)


# --- the decay mask ---


def turned(explorer, **values):
    """The numbers behind the widget with other values of its controls; the figure has them too."""
    explorer.values = explorer.values | values
    mask = explorer.figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(mask, explorer.state["mask"])
    return explorer.state


def test_faster_decay_larger_steps_and_longer_gaps_shorten_the_half_life(toy):
    explorer = mask_explorer(toy, user=USER)
    life = turned(explorer)["half_life_steps"]
    assert turned(explorer, A=-8.0)["half_life_steps"] == pytest.approx(life / 2)
    for control, value in (("A", -4.0), ("base", 0.2), ("scale", 100.0)):
        shorter = turned(explorer, **{control: value})["half_life_steps"]
        assert shorter < life or control == "A"
        life = shorter


def test_the_explorers_numbers_are_the_closed_forms(toy):
    explorer = mask_explorer(toy, user=USER)
    gaps = user_history(toy, USER).tail(12)["timestamp"].diff().fillna(0).tolist()
    np.testing.assert_allclose(turned(explorer)["mask"], explore(gaps, -4, 1, 0.05)["mask"])
    gaps[4] = 7200
    state = turned(explorer, place=4, gap=7200, A=-2.0)
    np.testing.assert_allclose(state["mask"], explore(gaps, -2, 1, 0.05)["mask"])
    state = turned(explorer, time=False)
    np.testing.assert_allclose(state["mask"], explore(gaps, -2, 1, 0.05, False)["mask"])


def test_a_longer_gap_leaves_less_of_what_was_before_it(toy):
    explorer = mask_explorer(toy, user=USER)
    left = [turned(explorer, place=6, gap=3600 * hours)["mask"][-1, 5] for hours in (1, 100, 10_000)]
    assert left[0] > left[1] > left[2]


def test_another_user_has_another_history_and_true_gaps_again(toy):
    explorer = mask_explorer(toy, user=USER)
    before = turned(explorer, scale=5.0, place=2, gap=1.0)["mask"]
    explorer.user = next(user for user in explorer.users if user != USER)
    assert explorer.values["scale"] == 1 and explorer.history["name"].startswith(f"{explorer.user}: ")
    own = user_history(toy, explorer.user).tail(12)
    assert explorer.gaps.tolist() == own["timestamp"].diff().fillna(0).tolist()
    assert explorer.state["mask"].shape != before.shape or not np.allclose(explorer.state["mask"], before)


def test_with_a_model_the_mask_is_the_models_own(toy, model):
    explorer, rows = mask_explorer(toy, model, USER), user_history(toy, USER)
    for place, (scan, head) in {"layer 1, text": (0, 2), "layer 1, fusion": (2, 3)}.items():
        dt, A = steps(model, *as_batch(toy, rows, 8))[place]
        base = softplus(capture_scans(model, *as_batch(toy, rows, 8))[place].core.step.bias[head]).item()
        own = left_over(rows["timestamp"].tail(8).diff().fillna(0), dt[0, :, head].numpy(), A[head].item())
        state = turned(explorer, head=scan * model.config.n_heads + head, A=A[head].item(), base=base)
        np.testing.assert_allclose(state["mask"], own["mask"], atol=1e-4)
    assert turned(explorer, A=2 * A[head].item())["left"][0] < own["left"][0]
    assert not np.allclose(turned(explorer, scale=20.0)["mask"], turned(explorer, time=False)["mask"])


def test_a_models_explorer_begins_at_its_first_head_and_holds_what_the_browser_needs(toy, model):
    explorer = mask_explorer(toy, model, USER)
    core = capture_scans(model, *as_batch(toy, user_history(toy, USER), 8))["layer 1, text"].core
    assert explorer.values["A"] == pytest.approx(-core.A_log[0].exp().item())
    assert explorer.values["base"] == pytest.approx(softplus(core.step.bias[0]).item(), rel=1e-5)
    items = explorer.weights["tensors"]["items.text"]["shape"][0]
    assert items == len(set(explorer.history["items"])) == 1 + max(explorer.history["rows"])


def test_time_aware_off_is_the_models_step_without_time(toy, model):
    state = turned(mask_explorer(toy, model, USER), time=False)
    core, delta, _, _ = capture_scans(model, *as_batch(toy, user_history(toy, USER), 8))["layer 1, text"]
    dt, _ = core.step(delta)
    own = left_over([0] * 8, dt[0, :, 0].detach().numpy(), -core.A_log[0].exp().item())
    np.testing.assert_allclose(state["mask"], own["mask"], atol=1e-4)


@pytest.mark.parametrize("size, said", [((37, 37), "7"), ((80, 37), "Bram Stoker's\nDracula"), ((80, 20), "7")])
def test_a_card_has_its_title_in_whole_words_or_its_number(size, said):
    assert _words("Bram Stoker's Dracula", 7, *size) == said


@pytest.mark.parametrize("strength", [0, 1])
def test_twenty_narrow_cards_without_pictures_can_be_told_apart(strength):
    row = Tiles(Figure((5.2, 1)).add_axes([0, 0, 1, 1]), lambda item, edge: None)
    row.show([Tile("item", "Bram Stoker's Dracula", strength=strength, number=i + 1) for i in range(20)])
    cards = [row.image.get_array()[1:21, 26 * i + 3 : 26 * i + 23] for i in range(20)]
    assert all(card.min() < 130 for card in cards) and len({card.tobytes() for card in cards}) == 20


def test_more_tiles_than_have_room_are_thinned_and_none_is_cut_off():
    row = Tiles(Figure((5.2, 1)).add_axes([0, 0, 1, 1]), lambda item, edge: None)
    row.show([Tile("item", "a title", number=i + 1) for i in range(50)])
    frames = (row.image.get_array()[0] == GREY).all(-1)  # the upper edges of the cards
    parts = [len(part) for part in "".join(".#"[int(frame)] for frame in frames).split(".") if part]
    assert len(parts) == 16 and len(set(parts)) == 1 and not frames[0] and not frames[-1]


# --- what if ---


def titles(explorer):
    return re.findall(r"\d+\. (.*?) \(", explorer.numbers.value)


def test_the_start_is_what_recommend_says_and_nothing_moved(toy, model):
    explorer = what_if(model, toy, USER)
    assert titles(explorer) == recommend(model, toy, USER)["title"].tolist()
    assert explorer.numbers.value.count("(same)") == 10


def test_dropping_adding_and_moving_are_seen_by_the_model(toy, model):
    explorer = what_if(model, toy, USER)
    rows = user_history(toy, USER)
    explorer.drop.click()  # the latest one is chosen
    assert titles(explorer) == recommend(model, toy, USER, hide=1)["title"].tolist()
    explorer.reset.click()
    explorer.earlier.click()
    order = [*range(len(rows) - 2), len(rows) - 1, len(rows) - 2]
    turned = rows.iloc[order].assign(timestamp=rows["timestamp"].to_numpy())
    assert titles(explorer) == recommend_after(model, toy, turned)["title"].tolist()
    explorer.later.click()
    assert explorer.numbers.value.count("(same)") == 10
    assert changes(explorer, "gap", 5000.0)
    best = titles(explorer)[0]
    explorer.search.value = best.lower()
    explorer.add.click()
    assert explorer.error.value == "" and best in explorer.item.label and best not in titles(explorer)


def test_faults_are_shown_and_the_next_action_goes_on(toy, model):
    explorer = what_if(model, toy, USER)
    picture = explorer.image.value
    explorer.search.value = "no such thing"
    assert "no title has" in explorer.error.value and explorer.image.value == picture
    explorer.add.click()
    assert "nothing to add" in explorer.error.value
    explorer.later.click()
    assert "first or the last" in explorer.error.value
    explorer.reset.click()
    assert explorer.error.value == "" and explorer.image.value == picture


def test_the_last_item_stays(toy, model):
    shortest = toy.interactions["user"].value_counts().index[-1]
    explorer = what_if(model, toy, shortest)
    for _ in range(len(user_history(toy, shortest)) - 1):
        explorer.drop.click()
    assert explorer.error.value == "" and len(explorer.item.options) == 1
    explorer.drop.click()
    assert "one item at least" in explorer.error.value and len(explorer.item.options) == 1


def test_what_moved_is_told_by_the_ranks_before(toy, model):
    before = recommend(model, toy, USER, k=100)
    after = recommend(model, toy, USER, k=100, hide=2)
    top = moved_ranks(before, after, 5)
    ranks = dict(zip(before["item"], before["rank"]))
    assert top["before"].tolist() == [ranks.get(item, 0) for item in top["item"]] and len(top) == 5


def test_a_long_history_goes_on_in_the_next_row(toy, toy_model):
    history = user_history(toy, USER)
    explorer = what_if(toy_model(CONFIG.replace(max_len=12)), toy, USER)
    past = explorer.figure.axes[0].images[0]
    framed = lambda: np.argwhere((past.get_array() == FRAME).all(-1))
    rows = past.get_array().shape[0] // 2
    explorer.item.value = len(history) - 1
    latest = framed()
    explorer.item.value = max(len(history) - 12, 0)
    oldest = framed()
    assert len(oldest) and oldest[:, 0].max() < rows
    assert len(latest) and latest[:, 0].min() >= rows


# --- the Fourier filter ---


def test_a_planted_period_stands_in_its_bin_and_silence_is_silent():
    explorer = filter_explorer(length=20)
    axes = explorer.figure.axes
    explorer.size2.value = 0
    for period, bin_ in ((10, 2), (4, 5), (2.5, 8)):
        explorer.period1.value = period
        spectrum = axes[1].lines[1].get_ydata()
        assert spectrum.argmax() == bin_ and f"(bin {bin_})" in explorer.numbers.value
    large, limits = axes[4].lines[1].get_ydata().max(), [axis.get_ylim() for axis in axes]
    assert changes(explorer, "size1", 0.5) and axes[4].lines[1].get_ydata().max() < 0.7 * large
    assert [axis.get_ylim() for axis in axes] == limits  # so that sizes can be compared


@pytest.mark.slow
def test_a_channel_without_a_wave_is_flat():
    explorer = filter_explorer()
    explorer.size2.value, explorer.where1.value = 0, "text"
    text, image = (line.get_ydata() for line in explorer.figure.axes[0].lines[1:])
    assert abs(text).max() > 0.9 and abs(image).max() == 0


@pytest.mark.parametrize("changed", [{}, {"adaptive_filter": False}, {"learnable_filter": False}])
def test_the_filters_state_is_the_modules(toy_model, changed):
    model = toy_model(CONFIG.replace(**changed))
    layer, (a, b) = model.layers[0].filter, torch.randn(2, 8)
    state = filter_state(layer, a, b)
    np.testing.assert_allclose(state["signal"], layer(a, b).detach(), atol=1e-6)
    if "learnable_filter" in changed:  # then what comes out is the sum of the filtered channels
        both = sum(
            torch.fft.rfft(x, norm="ortho") * getattr(layer, name)(torch.fft.rfft(x, norm="ortho"))
            for x, name in ((a, "text"), (b, "image"))
        )
        both.imag[[0, -1]] = 0  # what a real signal cannot hold
        np.testing.assert_allclose(state["fused"], both.detach().abs(), atol=1e-5)
    assert (state["gain_text"] == 1).all() == ("adaptive_filter" in changed)
    assert changes(filter_explorer(model), "period1", 3.0)


# --- the modality dial ---


def test_all_there_changes_nothing_and_image_off_is_a_model_without_images(toy, model, features):
    explorer = modality_dial(model, toy, features, USER)
    assert explorer.numbers.value.count("(same)") == 10 and "10 of 10 stay" in explorer.numbers.value
    own = model.image_features
    explorer.setting.value = "image off"
    assert model.image_features is own
    blind = type(model)(CONFIG, torch.zeros_like(own), model.text_features)
    blind.load_state_dict(model.state_dict())
    assert titles(explorer) == recommend(blind, toy, USER)["title"].tolist()
    assert [getattr(explorer, dial).value for dial in ("history_image", "candidate_image")] == [0, 0]
    explorer.history_image.value = 50
    assert explorer.setting.value == "as dialled below"
    explorer.setting.value = "all there"
    assert "10 of 10 stay" in explorer.numbers.value


def test_pictures_are_lost_one_after_another(toy, model, features):
    explorer = modality_dial(model, toy, features, USER)
    left = []
    for share in (100, 60, 20, 0):
        explorer.history_image.value = share
        left.append(int(re.search(r"(\d+) of 8 items", explorer.numbers.value)[1]))
    assert left == sorted(left, reverse=True) and left[0] == 8 and left[-1] == 0 and len(set(left)) == 4


# --- all of them ---


def test_what_does_not_fit_is_refused(toy, model, toy_model, random_features):
    for make in (
        lambda: modality_dial(model, toy, random_features(["a", "b"]), USER),
        lambda: what_if(model, toy.select("lamps")),
    ):
        with pytest.raises(InputError, match="not of the same items"):
            make()
    for make in (lambda: mask_explorer(toy, user="nobody"), lambda: what_if(model, toy, "nobody")):
        with pytest.raises(InputError, match="no user 'nobody'"):
            make()
    timeless = toy_model(CONFIG.replace(time=False))
    for make in (lambda: mask_explorer(toy, timeless), lambda: filter_explorer(timeless)):
        with pytest.raises(InputError, match="time=False"):
            make()
    with pytest.raises(InputError, match="4 or more"):
        filter_explorer(length=2)


def test_whatever_goes_wrong_is_shown(toy, model):
    explorer = what_if(model, toy, USER)
    explorer.do(lambda _: 1 / 0)
    assert "ZeroDivisionError" in explorer.error.value
    explorer.reset.click()
    assert explorer.error.value == ""


@pytest.mark.parametrize("own", [False, True])
def test_without_a_kernel_the_figure_is_shown_and_it_can_be_saved(toy, model, own, tmp_path):
    explorer = mask_explorer(toy, model if own else None, user=USER)
    bundle, metadata = explorer._repr_mimebundle_()
    words, left = metadata["image/png"]["alt"], explorer.state["left"]
    assert f"item 1: {100 * left[0]:.0f} %" in words and words.count("item ") == len(left) and "half-life" in words
    assert "Explorer: the decay mask" in bundle["text/plain"] and len(bundle["image/png"]) > 1000
    assert "export default { render }" in explorer._esm and ".mask-explorer" in explorer._css
    explorer.figure.savefig(tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as saved:
        assert len(np.unique(np.asarray(saved.convert("L")))) > 50  # animated artists are in it


def test_an_explorers_alternative_text_has_its_numbers_as_they_stand():
    explorer = filter_explorer()
    words = lambda: explorer._repr_mimebundle_()[1]["image/png"]["alt"]
    before = words()
    assert "period 10.0 steps (bin 2): amplitude in" in before and "signals in" in before and "<" not in before
    explorer.period1.value = 5.0
    assert "period 5.0 steps (bin 4)" in words() != before


def test_an_executed_notebook_keeps_a_widgets_words_but_no_view(tmp_path):
    cell = nbformat.v4.new_code_cell("import ipywidgets\nipywidgets.IntSlider()")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "one.ipynb")
    notebook = site.execute(tmp_path / "one.ipynb")
    assert set(notebook.cells[0].outputs[-1]["data"]) == {"text/plain"} and "widgets" not in notebook.metadata
