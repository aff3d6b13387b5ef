"""Figures of alignment, filters and fusion: each draws what its frame says, with labelled axes."""

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from mmm4rec_lite import viz
from mmm4rec_lite.study import ch04_alignment_and_fusion as ch04
from tests.viz.test_figures import drawn

BINS = pd.DataFrame({"bin": [1, 2, 3], "period": [6.0, 3.0, 2.0]})


def words(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def periods(axis):
    return [tick.get_text() for tick in axis.get_xticklabels()] == ["6", "3", "2"] and "steps" in axis.get_xlabel()


def test_alignment_bars_have_a_panel_per_place_and_a_bar_per_form_and_state():
    table = pd.DataFrame(
        [
            {
                "form": form,
                "when": when,
                "place": place,
                "seed": seed,
                "own": 0.2 + 0.1 * seed,
                "others": 0.1,
                "cka": 0.5,
            }
            for form in ("one", "each")
            for when in ("fresh", "trained")
            for place in ("in", "out")
            for seed in (0, 1)
        ]
    )
    into, out = drawn(ch04.plot_alignment_bars(table))
    assert [axis.get_title(loc="left") for axis in (into, out)] == ["in", "out"]
    own, others = out.containers
    assert [bar.get_height() for bar in own] == pytest.approx([0.25] * 4) and len(others) == 4
    assert "cosine" in into.get_ylabel() and words(out) == ["with the own image", "with others' images"]


def test_planted_rhythms_show_gaps_and_spectrum_side_by_side():
    rhythms = {"a": torch.tensor([60, 60, 3600, 60, 60, 3600]), "b": torch.full((6,), 60)}
    table = pd.concat([BINS.assign(customer=name, amplitude=[0, 2, 0.5]) for name in rhythms])
    axes = drawn(ch04.plot_planted_rhythms(rhythms, table))
    assert len(axes) == 4 and [bar.get_height() for bar in axes[0].patches] == rhythms["a"].tolist()
    assert [bar.get_height() for bar in axes[1].patches] == [0, 2, 0.5] and periods(axes[3])


def test_gap_spectra_show_a_line_per_dataset_beside_chance():
    table = pd.concat(
        [
            BINS.assign(dataset=name, users=n, ratio=[1.5, 1, 0.8], **{"standard_error": 0.1})
            for name, n in (("a", 10), ("b", 20))
        ]
    )
    (axis,) = drawn(viz.gap_spectra(table))
    assert set(words(axis)) == {"a, 10 users", "b, 20 users", "the same gaps in any order"} and periods(axis)
    assert [list(line[0].get_ydata()) for line in axis.containers] == [[1.5, 1, 0.8]] * 2


def test_filter_gain_has_a_panel_per_data_and_leaves_bin_0_out():
    rows = pd.concat([pd.DataFrame({"bin": [0], "period": [float("inf")]}), BINS]).assign(gain=[9.0, 2, 1, 2])
    table = pd.concat([rows.assign(data=data, when=when) for data in "xy" for when in ("fresh", "trained")])
    left, right = drawn(viz.filter_gain(table))
    assert list(left.lines[0].get_ydata()) == [2, 1, 2] and periods(left) and words(right) == ["fresh", "trained"]
    assert "gain" in left.get_ylabel()


def test_filter_in_out_has_a_row_per_signal_and_a_column_per_filter():
    table = pd.concat(
        [
            pd.DataFrame({"filter": f, "signal": s, "step": [1, 2, 3], "in": [0, 1, 0], "out": [0, 2, 0]})
            for f in ("f", "g", "h")
            for s in ("s", "t")
        ]
    )
    axes = drawn(ch04.plot_filter_in_out(table))
    assert [axis.get_title(loc="left") for axis in axes] == ["f", "g", "h", "", "", ""]
    assert [axis.get_ylabel().split()[0] for axis in axes[::3]] == ["s", "t"]
    assert [[bar.get_height() for bar in bars] for bars in axes[0].containers] == [[0, 1, 0], [0, 2, 0]]


def test_adaptive_gain_shows_each_signal_from_1():
    (axis,) = drawn(ch04.plot_adaptive_gain(pd.concat([BINS.assign(signal=s, K=[1, 2, 1.5]) for s in ("a", "b")])))
    assert words(axis) == ["a", "b"] and periods(axis)
    assert [bar.get_y() + bar.get_height() for bar in axis.containers[0]] == [1, 2, 1.5]


def test_frequency_maps_share_one_scale():
    figure = viz.frequency_maps({"a": torch.eye(3), "b": 2 * torch.eye(3)})
    first, second, bar = drawn(figure)
    assert isinstance(figure, Figure) and first.images[0].get_clim() == second.images[0].get_clim() == (0, 2)
    assert "in" in first.get_ylabel() and "out" in first.get_xlabel() and bar.get_ylabel()


def test_reach_bars_tell_an_exact_zero_from_a_small_number():
    table = pd.DataFrame(
        [
            {"stream": s, "back": b, "moved": v, "when": when}
            for when in ("fresh", "trained")
            for s, values in (("image", [0.5, 0]), ("text", [0.7, 0.002]))
            for b, v in enumerate(values)
        ]
    )
    left, right = drawn(ch04.plot_reach_bars(table))
    assert [text.get_text() for text in left.texts] == ["50", "0", "70", "0.2"]
    assert words(right) == ["image", "text"] and "%" in left.get_ylabel() and "steps" in left.get_xlabel()
    assert left.get_xlim()[0] > left.get_xlim()[1]  # the last step on the right


def test_score_bars_show_both_parts_and_their_sum():
    table = pd.DataFrame({"item": ["A", "B"], "text": [2.0, 1.0], "image": [0.5, -1.0], "score": [2.5, 0.0]})
    (axis,) = drawn(ch04.plot_score_bars(table))
    assert [bar.get_width() for bar in axis.patches] == [2, 1, 0.5, -1] and len(words(axis)) == 3
    (total,) = [line for line in axis.lines if line.get_marker() == "D"]
    assert list(total.get_xdata()) == [2.5, 0]
