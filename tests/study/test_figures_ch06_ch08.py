"""Figures of kept history and of ablations: what is drawn is what was given."""

import pandas as pd
import pytest

from mmm4rec_lite import viz
from mmm4rec_lite.data import statistics
from mmm4rec_lite.study import ch06_truncation as ch06
from tests.support.figures import drawn, legend


def test_length_curves_draw_lengths_drops_and_ages(toy):
    dropped = statistics.dropped_items([toy], (2, 5))
    left, middle, right = drawn(ch06.plot_length_curves(statistics.history_lengths([toy]), dropped))
    assert middle.lines[0].get_ydata().tolist() == (100 * dropped["dropped_share"]).tolist()
    assert [line.get_xdata()[0] for line in left.lines[1:]] == [2, 5]  # the windows
    assert right.lines[0].get_ydata().tolist() == dropped["age_median_days"].tolist()
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in (left, middle, right))


@pytest.mark.parametrize("spread, bars", [([0.01, 0.02, 0.005, 0.0], True), ([None] * 4, False)])
def test_kept_curves_have_a_panel_per_dataset_and_bars_only_where_there_is_a_spread(spread, bars):
    table = pd.DataFrame(
        {
            "dataset": ["a", "a", "b", "b"],
            "system": "SASRec",
            "kept": [5, 20, 5, 20],
            "ndcg_share": [0.9, 1.0, 0.95, 1.0],
            "ndcg_share_spread": spread,
        }
    )
    figure = ch06.plot_kept_curves(table, mark=(0.97, "97 %"), title="made up")
    a, b = drawn(figure)
    assert [axis.get_title(loc="left") for axis in (a, b)] == ["a", "b"] and figure.get_suptitle() == "made up"
    assert b.lines[0].get_ydata().tolist() == [95, 100] and legend(b) == ["97 %", "SASRec"]
    assert bool(a.collections) == bars and a.get_ylabel() == "NDCG@10, % of that with the most kept"


def test_weight_curves_draw_heads_thin_and_their_mean_thick():
    table = pd.DataFrame(
        [
            {"place": "text", "head": head, "kept": kept, "model": model, "weight_share": 0.5}
            for model in ("fresh", "trained")
            for head in (1, 2, "mean")
            for kept in (1, 2)
        ]
    )
    (axis,) = drawn(ch06.plot_weight_curves(table))
    assert [line.get_linewidth() for line in axis.lines] == [0.8, 0.8, 3, 0.8, 0.8, 3, 1]
    assert legend(axis) == ["fresh, mean", "trained, mean", "all items alike"]


def test_ablation_bars_hatch_what_is_published_and_give_errors_to_what_is_measured():
    table = pd.DataFrame(
        {
            "numbers": ["published"] * 3 + ["measured"] * 2,
            "data": ["A"] * 3 + ["b"] * 2,
            "variant": ["MMM4Rec", "w/o PT", "w/o Time"] + ["MMM4Rec", "w/o Time"],
            "change": [0, -0.1, -0.04, 0, -0.02],
            "change_error": [None] * 4 + [0.01],
        }
    )
    (axis,) = drawn(viz.ablation_bars(table, band=(3, "noise")))
    assert [label.get_text() for label in axis.get_yticklabels()] == ["w/o PT", "w/o Time"]
    published, measured = axis.containers[0], axis.containers[-1]
    assert [bar.get_width() for bar in published] == pytest.approx([-10, -4]) and published[0].get_hatch()
    assert measured[1].get_width() == -2 and not measured[1].get_hatch()
    ((start, end),) = [part.tolist() for part in measured.errorbar.lines[2][0].get_segments() if len(part)][-1:]
    assert (start[0], end[0]) == (-4, 0)  # two standard errors
    assert legend(axis) == ["noise", "published: A", "measured: b"]
