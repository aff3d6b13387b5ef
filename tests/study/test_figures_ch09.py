"""Figures of the field: every system once, marks by what it reads, floors as lines, bars only with several seeds."""

import pandas as pd
import pytest

from mmm4rec_lite import viz
from mmm4rec_lite.study import ch09_comparison as ch09
from tests.support.figures import drawn, ticks

NAMES = ["SASRec", "SASRec_T", "MMSRec"]
READS = ["ids", "texts", "texts + pictures"]


def standing(seeds):
    rows = [
        {
            "dataset": dataset,
            "system": name.lower(),
            "name": name,
            "reads": kind,
            "ndcg@10": value,
            "least": value - 0.01 * (seeds > 1),
            "most": value + 0.01 * (seeds > 1),
            "n_seeds": seeds,
        }
        for dataset in ("films", "tools")
        for name, kind, value in zip(NAMES, READS, (0.3, 0.2, 0.1))
    ]
    rows += [
        {
            "dataset": dataset,
            "system": name,
            "name": name,
            "reads": "counts",
            "ndcg@10": value,
            "least": value,
            "most": value,
            "n_seeds": 1,
        }
        for dataset in ("films", "tools")
        for name, value in (("popularity", 0.15), ("markov_chain", 0.25))
    ]
    return pd.DataFrame(rows).assign(scales="quick")


@pytest.mark.parametrize("seeds, said", [(1, "films\nquick, one seed"), (3, "films\nquick, 3 seeds")])
def test_system_standings_has_a_panel_per_data_set_and_lines_for_counting(seeds, said):
    figure = ch09.plot_leaderboard(standing(seeds), "measured")
    axes = drawn(figure)
    assert len(axes) == 2 and axes[0].get_title(loc="left") == said and figure.get_suptitle() == "measured"
    assert ticks(axes[0]) == NAMES and "NDCG@10" in axes[0].get_xlabel()
    floors = [line.get_xdata()[0] for line in axes[0].lines if line.get_linestyle() in (":", "--")]
    assert floors == [0.15, 0.25]
    assert bool(axes[0].collections) == (seeds > 1)  # error bars
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["reads ids", "reads texts", "reads texts + pictures", "popularity", "Markov chain"]


@pytest.mark.slow
def test_accuracy_cost_names_every_system_and_joins_those_that_no_cheaper_one_beats():
    table = standing(1)[lambda rows: rows["reads"] != "counts"].assign(seconds=[10, 20, 5] * 2, seed_spread=0.01)
    (first, _) = drawn(ch09.plot_accuracy_cost(table))
    assert {text.get_text() for text in first.texts} == set(NAMES)
    assert first.get_xscale() == "log" and "seconds" in first.get_xlabel()
    assert first.lines[0].get_xdata().tolist() == [5, 10]  # SASRec_T pays more for less


def test_order_agreement_shows_what_chance_gives():
    table = pd.DataFrame(
        {
            "between": ["data sets", "seeds"],
            "one": ["a", "b"],
            "other": ["c", "d"],
            "n_systems": [5, 10],
            "correlation": [0.5, 0.9],
            "chance_deviation": [0.5, 1 / 3],
        }
    )
    (axis,) = drawn(ch09.plot_order_agreement(table, "t"))
    assert ticks(axis) == ["a and c (5 systems)", "b and d (10 systems)"]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([1, 2 / 3])
    assert [line.get_xdata()[0] for line in axis.lines[:2]] == [0.5, 0.9]


def test_strips_stand_under_one_another_with_the_wanted_marked(toy):
    items = toy.items[["item", "title", "image"]]
    rows = {"one system": items.head(3), "another": items.iloc[3:5]}
    figure = viz.strips(rows, toy.folder, marked={items["item"].iloc[3]}, title="user 1")
    axes = drawn(figure)
    assert len(axes) == 6 and [axes[i].get_ylabel() for i in (0, 3)] == ["one system", "another"]
    wide = [axis.spines["left"].get_linewidth() > 1 for axis in axes if axis.axison]
    assert wide == [False, False, False, True, False]
