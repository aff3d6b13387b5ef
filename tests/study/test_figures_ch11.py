"""Figures of open questions: what is drawn is what the frames say."""

import pandas as pd
import pytest

from mmm4rec_lite.study import ch11_open_questions as ch11
from tests.support.figures import drawn, ticks


@pytest.mark.parametrize("seeds", [1, 2])
def test_missing_curves_have_a_line_per_system_and_bars_and_a_row_per_data_set(seeds):
    table = pd.DataFrame(
        [
            {
                "dataset": dataset,
                "name": name,
                "seed": seed,
                "missing_share": share,
                "ndcg@10": (0.1 - 0.05 * share) * (2 if dataset == "shop" else 1),
                "kept_share": 1 - 0.5 * share,
            }
            for dataset in ("films", "shop")
            for name in "AB"
            for seed in range(seeds)
            for share in (0, 1)
        ]
    )
    left, right, below, _ = drawn(ch11.plot_missing_curves(table, "t"))
    assert left.lines[0].get_xdata().tolist() == [0, 100] and right.lines[0].get_ydata().tolist() == [100, 50]
    assert "lost their picture (%)" in left.get_xlabel() and "%" in right.get_ylabel()
    assert len(left.collections) == 2
    ends = [axis.lines[0].get_ydata().tolist() for axis in (left, below)]  # data sets are never averaged
    assert ends == [pytest.approx([0.1, 0.05]), pytest.approx([0.2, 0.1])]
    assert [axis.get_title(loc="left") for axis in (left, below)] == ["films", "shop"]


def test_lost_curves_draw_what_does_not_depend_on_the_dial_as_a_dashed_line():
    table = pd.DataFrame(
        {
            "given": ["lost in the shop"] * 2 + ["trained without pictures"] * 2,
            "missing_share": [0, 1] * 2,
            "expected_ndcg@10": [0.4, 0.2, 0.3, 0.3],
        }
    )
    (axis,) = drawn(ch11.plot_lost_curves(table))
    assert [line.get_linestyle() for line in axis.lines] == ["-", "--"]


def test_gap_dependence_labels_gaps_in_units_and_shows_all_panels_on_one_scale():
    table = pd.DataFrame(
        [
            {"data": name, "part": part, "gap_median_s": gap, "hit_share": found, "standard_error": 0.01}
            for name, found in (("films", 0.2), ("store", 0.6))
            for part, gap in ((1, 30), (2, 7200))
        ]
    )
    first, second = drawn(ch11.plot_gap_dependence(table, "t"))
    assert [text.get_text() for text in first.get_xticklabels()] == ["30 s", "2 h"]
    assert first.get_ylim() == second.get_ylim() and second.get_ylim()[1] > 0.62


def test_third_modality_has_bounds_as_lines():
    table = pd.DataFrame(
        {
            "system": ["not given", "joined to the text", "best by shapes alone", "best"],
            "expected_ndcg@10": [0.3, 0.35, 0.25, 0.4],
            "error": [0, 0.01, 0, 0],
        }
    )
    (axis,) = drawn(ch11.plot_third_modality(table, "t"))
    assert ticks(axis) == ["not given", "joined to the text"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["best by shapes alone", "best"]


def test_half_life_change_has_a_row_per_head_and_the_window():
    lines = [
        ("store", "layer 1, text", head, when, m / 2, m, 2 * m)
        for head in (1, 2)
        for when, m in (("start", 4.0), ("trained", 1.0 if head == 1 else 9.0))
    ]
    table = pd.DataFrame(lines, columns=["data", "place", "head", "when", *ch11.HALF_LIVES])
    figure = ch11.plot_half_life_change(table, {"store": 12}, "t")
    (axis,) = drawn(figure)
    assert ticks(axis) == ["text 1", "text 2"] and axis.get_xscale() == "log" and "steps" in axis.get_xlabel()
    colours = [line.get_color() for line in axis.lines if line.get_marker() == "o"]
    assert colours[0] == colours[1] != colours[2] == colours[3]  # shorter, longer
    assert figure.legends[0].get_texts()[-1].get_text() == "the window"


def test_history_worth_has_a_panel_per_store():
    table = pd.DataFrame(
        [
            {"world": world, "system": who, "kept": n, "expected_ndcg@10": 0.3 + n / 100}
            for world in ("half-life 2 days, short memory", "long memory")
            for who in ("best", "trained")
            for n in (1, 12)
        ]
    )
    axes = drawn(ch11.plot_history_worth(table, "t"))
    assert len(axes) == 2 and len(axes[0].lines) == 2 and "items" in axes[0].get_xlabel()
