"""Figures of the operator and its masks: what is drawn is what was given, with labelled axes."""

import pandas as pd
import pytest
import torch
from PIL import Image

from mmm4rec_lite import viz
from mmm4rec_lite.models.ssd import decay_mask
from mmm4rec_lite.study import ch02_ssd as ch02
from mmm4rec_lite.study import ch03_decay_masks as ch03
from tests.support.figures import drawn, legend

LABELS = ["Red desk lamp", "A title that is far too long for an axis and has to be cut somewhere", "Blue $5 mug"]
MASK = decay_mask(torch.tensor([-0.1, -0.2, -0.3]))


def test_memory_curves_draw_every_curve_from_the_impulse_on():
    (axis,) = drawn(ch02.plot_memory_curves({"a": torch.tensor([1, 0.5, 0.25]), "b": torch.tensor([1, 0.9, 0.81])}))
    assert axis.lines[0].get_ydata().tolist() == [1, 0.5, 0.25] and axis.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert legend(axis) == ["a", "b"] and "steps" in axis.get_xlabel() and axis.get_ylabel()


def test_matrix_row_is_white_at_zero_and_counts_from_one():
    signed = torch.tensor([[1.0, -3], [0, 2]])
    left, right, *bars = drawn(ch02.plot_matrix_row({"M": MASK, "signed": signed}))
    assert right.images[0].get_array().tolist() == signed.tolist()
    assert right.images[0].get_clim() == (-3, 3) and right.get_xlim() == (0.5, 2.5)
    assert [axis.get_title() for axis in (left, right)] == ["M", "signed"] and "t" in left.get_ylabel()
    assert bars[0].get_ylim() == (0, 1) and bars[1].get_ylim() == (-3, 3)


@pytest.mark.parametrize("chunk, squares", [(2, 2), (3, 1), (1, 3)])
def test_chunk_map_has_a_square_per_chunk_and_a_strip_before_all_but_the_first(chunk, squares):
    (axis,) = drawn(ch02.plot_chunk_map(MASK, chunk))
    assert sum(not patch.get_fill() for patch in axis.patches) == squares
    strips = [patch for patch in axis.patches if patch.get_fill()]
    assert [strip.get_width() for strip in strips] == [chunk * k for k in range(1, squares)]


def test_half_life_lines_follow_the_formula():
    (axis,) = drawn(ch02.plot_half_life_lines([-1, -2], [0.1, 1.0], fresh=(0.01, 0.1)))
    assert axis.lines[1].get_ydata() == pytest.approx([0.6931 / 0.2, 0.6931 / 2], rel=1e-3)
    assert axis.get_xscale() == axis.get_yscale() == "log" and "steps" in axis.get_ylabel()
    assert "A = -2" in legend(axis)


def test_half_life_bars_go_up_or_down_from_one_step():
    (axis,) = drawn(viz.half_life_bars({"text": torch.tensor([4.0, 0.5]), "image": torch.tensor([2.0, 20])}, window=20))
    tops = [bar.get_y() + bar.get_height() for bar in axis.patches]
    assert tops == pytest.approx([4, 0.5, 2, 20]) and all(bar.get_y() == 1 for bar in axis.patches)
    assert {"text", "image"} < set(legend(axis)) and any("20" in text for text in legend(axis))


def test_scaling_curves_draw_medians_on_log_scales():
    table = pd.DataFrame(
        {
            "form": ["scan", "scan", "masked", "masked"],
            "length": [64, 128] * 2,
            "seconds": [1.0, 2, 0.5, 2.5],
            "fastest": [0.9, 1.9, 0.4, 2],
            "slowest": [1.1, 2.5, 0.7, 3],
        }
    )
    (axis,) = drawn(ch02.plot_scaling_curves(table))
    assert axis.lines[1].get_ydata().tolist() == [0.5, 2.5] and legend(axis)[:2] == ["scan", "masked"]
    assert axis.get_xscale() == axis.get_yscale() == "log"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["64", "128"]
    guides = [line.get_ydata() for line in axis.lines[2:]]
    assert [ends[1] / ends[0] for ends in guides] == pytest.approx([8, 64])  # slopes 1 and 2 over a factor of 8


def test_mask_difference_shows_both_and_what_changed():
    after = decay_mask(torch.tensor([-0.1, -2.0, -0.3]))
    left, middle, right, *_ = drawn(viz.mask_difference(MASK, after, LABELS, ("own", "other")))
    change = torch.tensor(right.images[0].get_array().tolist(), dtype=torch.float32)
    torch.testing.assert_close(change, after - MASK)
    assert left.get_title() == "own" and middle.get_title() == "other"
    assert right.images[0].get_clim() == (-1, 1) and left.images[0].get_clim() == (0, 1)
    names = [tick.get_text() for tick in left.get_yticklabels()]
    assert names[0] == "Red desk lamp  1" and len(names[1]) < 30


@pytest.mark.parametrize("gaps", [None, [0, 60, 86400 * 45]])
def test_a_picture_mask_has_every_item_along_both_axes(gaps, tmp_path):
    Image.new("RGB", (8, 4), "red").save(tmp_path / "a.png")
    items = pd.DataFrame({"item": ["a", "b", "c"], "title": LABELS, "image": ["a.png", None, None]})
    axis, bar = drawn(viz.picture_mask(MASK.double().numpy(), items, tmp_path, "one head", gaps))
    heat, *pictures = axis.images
    assert heat.get_clim() == (0, 1) and list(heat.get_extent()) == [0, 3, 3, 0] and bar.get_ylabel()
    torch.testing.assert_close(torch.tensor(heat.get_array().tolist()), MASK)
    left, below = (picture.get_extent() for picture in pictures)
    assert left[1] < 0 < left[3] < 1 and 0 < below[0] < 1 and below[3] > 3  # beside row 1, below column 1
    words = [text.get_text().replace("\n", " ") for text in axis.texts]
    assert words.count("Blue $5 mug") == 2 and len(axis.patches) == 6 and axis.get_title() == "one head"
    assert words[4:] == (["first", "+1 min", "+45 d"] if gaps else []) and axis.get_xlabel() and axis.get_ylabel()


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "step": [1, 1, 2, 2, 3, 3],
            "head": [1, 2] * 3,
            "gap": [0, 0, 60, 60, 0, 0],
            "D": 0.5,
            "dt": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
            "left": [0.1, 0.2, 0.5, 0.6, 1, 1],
        }
    )


def test_step_chain_shows_gaps_signal_steps_and_what_is_left(table):
    gap, signal, dt, left = drawn(ch03.plot_step_chain(table, [2]))
    assert [bar.get_height() for bar in gap.patches] == [60, 1]  # a gap of 0 stands at 1 s
    assert signal.lines[0].get_ydata().tolist() == [0.5, 0.5, 0.5]
    assert dt.lines[0].get_ydata().tolist() == [0.2, 0.4, 0.6] and legend(dt) == ["head 2"]
    assert left.lines[0].get_ydata().tolist() == [0.2, 0.6, 1]
    assert all(axis.get_ylabel() for axis in (gap, signal, dt, left)) and left.get_xlabel()


@pytest.mark.parametrize("places", [False, True])
def test_gap_response_draws_a_line_per_head_and_the_truth(places):
    table = pd.DataFrame(
        {"gap": [60, 3600] * 2, "head": [1, 1, 2, 2], "dt": [0.1, 0.2, 0.3, 0.4], "kept": [0.9, 0.8, 0.7, 0.6]}
    )
    table = table.assign(place="text") if places else table
    left, right = drawn(ch03.plot_gap_response(table, truth=lambda gap: 0.25))
    assert left.lines[1].get_ydata().tolist() == [0.3, 0.4] and right.lines[0].get_ydata().tolist() == [0.9, 0.8]
    assert any(set(line.get_ydata()) == {0.25} for line in right.lines)
    assert "the truth" in legend(right) and "head 2" in legend(right)


def test_influence_bars_show_both_histories_and_their_errors():
    table = pd.DataFrame(
        {
            "history": ["a", "a", "b", "b"],
            "item": [1, 2, 1, 2],
            "influence": [0.1, 0.2, 0.3, 0.4],
            "standard_error": 0.05,
        }
    )
    (axis,) = drawn(ch03.plot_influence_bars(table, marked=2))
    assert [bar.get_height() for bar in axis.patches] == [0.1, 0.2, 0.3, 0.4]
    assert {"a", "b", "the gap in question"} == set(legend(axis))


@pytest.mark.parametrize("pictures", [False, True])
def test_weight_strip_has_bars_above_and_items_with_gaps_below(pictures, tmp_path):
    items = pd.DataFrame({"item": ["a", "b", "c"], "title": LABELS, "image": None})
    if pictures:
        Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
        items.loc[0, "image"] = "a.png"
    weights = {"head 1": torch.tensor([0.1, 0.2, 0.7]), "head 2": torch.tensor([0.3, 0.3, 0.4])}
    bars, *tiles = drawn(viz.weight_strip(items, weights, [0, 60, 86400 * 45], tmp_path, "title"))
    assert [bar.get_height() for bar in bars.patches] == pytest.approx([0.1, 0.2, 0.7, 0.3, 0.3, 0.4])
    below = [axis.get_xlabel() for axis in tiles]
    assert "first" in below[0] and "1 min later" in below[1] and "45 d later" in below[2]
    assert bool(tiles[0].images) == pictures and legend(bars) == ["head 1", "head 2"]
