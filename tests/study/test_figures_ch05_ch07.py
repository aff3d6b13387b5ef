"""Figures of training: curves with their seeds' spread, how long they take, what pre-training and fine-tuning do."""

import pandas as pd
import pytest

from mmm4rec_lite import viz
from mmm4rec_lite.study import ch05_pretraining_and_transfer as ch05
from mmm4rec_lite.study import ch07_convergence as ch07
from tests.support.figures import drawn


def curve(name, values, panel="shop", seed=0, best=2, **more):
    epochs = range(1, len(values) + 1)
    return pd.DataFrame(
        {
            "panel": panel,
            "curve": name,
            "numbers": "measured",
            "seed": seed,
            "epoch": epochs,
            "seconds": [10.0 * (1 + seed) * e for e in epochs],
            "ndcg@10": values,
            "best": [e == best for e in epochs],
            "cut": False,
            **more,
        }
    )


def named(axis, label):
    return next(line for line in axis.lines if line.get_label() == label)


def test_convergence_curves_are_means_over_seeds_as_far_as_all_seeds_got():
    runs = pd.concat([curve("A", [0.1, 0.2, 0.3]), curve("A", [0.2, 0.4], seed=1), curve("B", [0.1, 0.1, 0.1])])
    epoch, seconds = drawn(viz.convergence_curves(runs, title="what was run"))
    assert list(named(epoch, "A").get_ydata()) == pytest.approx([0.15, 0.3])
    assert list(named(seconds, "A").get_xdata()) == [15, 30] and list(named(seconds, "B").get_xdata()) == [10, 20, 30]
    (band,) = epoch.collections  # of A alone: B has one seed
    assert band.get_paths()[0].get_extents().bounds == pytest.approx((1, 0.1, 1, 0.3))
    assert epoch.get_xlabel() == "epoch" and "seconds" in seconds.get_xlabel() and "ndcg@10" in epoch.get_ylabel()
    rings = [line for line in epoch.lines if line.get_markersize() == 9]
    assert [(ring.get_xdata()[0], ring.get_ydata()[0]) for ring in rings] == [(2, pytest.approx(0.3)), (2, 0.1)]


def test_each_panel_says_whether_its_numbers_are_published_or_measured():
    runs = pd.concat([curve("A", [0.1, 0.2]), curve("A", [0.1, 0.2], panel="paper").assign(numbers="published")])
    axes = drawn(viz.convergence_curves(runs, log=True))
    assert [axis.get_title(loc="left") for axis in axes] == ["shop\n(measured)", "paper\n(published)", "", ""]
    assert all(axis.get_xscale() == "log" for axis in axes)


def test_reach_lines_have_a_marker_per_share_hollow_where_training_was_cut():
    table = pd.DataFrame(
        [
            {
                "panel": "shop",
                "curve": name,
                "share": share,
                "epochs": epochs,
                "seconds": 2.0 * epochs,
                "cut": name == "B",
            }
            for name in "AB"
            for share, epochs in ((0.9, 2), (1.0, 5))
        ]
    )
    epochs, seconds = drawn(ch07.plot_reach_lines(table))
    dots = [line for line in epochs.lines if len(line.get_xdata()) == 1]
    assert [dot.get_xdata()[0] for dot in dots] == [2, 5, 2, 5]
    assert [dot.get_markerfacecolor() == "none" for dot in dots] == [False, False, True, True]
    assert [tick.get_text() for tick in epochs.get_yticklabels()] == ["A, shop", "B, shop"]
    assert [text.get_text() for text in seconds.get_legend().get_texts()] == ["90%", "100%"]


def test_candidate_losses_stand_beside_the_loss_of_who_knows_nothing():
    lines = [("in_batch", 8, 1.0), ("in_batch", 32, 2.0), ("catalogue", 100, 3.0)]
    table = pd.DataFrame(lines, columns=["loss", "candidates", "nats"]).assign(model="m")
    (axis,) = drawn(ch05.plot_candidate_losses(table))
    assert list(named(axis, "m, in-batch").get_ydata()) == [1, 2]
    blind = named(axis, "knows nothing: ln(candidates)").get_ydata()
    assert list(blind) == pytest.approx([2.079, 3.466, 4.605], abs=0.001)


def test_negative_counts_show_both_losses():
    table = pd.DataFrame({"popularity": [1, 5], "in_batch": [4, 20], "catalogue": [999, 995]})
    (axis,) = drawn(ch05.plot_negative_counts(table))
    assert [list(line.get_ydata()) for line in axis.lines] == [[4, 20], [999, 995]] and axis.get_xscale() == "log"


def test_popularity_pull_tells_the_rank_correlation():
    table = pd.DataFrame(
        {"model": ["a"] * 3 + ["b"] * 3, "popularity": [1, 2, 3] * 2, "place_share": [0.9, 0.5, 0.1, 0.1, 0.5, 0.9]}
    )
    up, down = drawn(ch05.plot_popularity_pull(table))
    assert up.get_title(loc="left") == "a\nrank correlation +1.00" and "-1.00" in down.get_title(loc="left")
    assert up.get_ylim()[0] > up.get_ylim()[1]  # the top of the ranking is on top


def test_parameter_drift_shows_distance_and_what_is_left():
    table = pd.DataFrame(
        {
            "part": ["x", "E"],
            "relative_distance": [0.5, float("nan")],
            "length": [1.0, 2.0],
            "put_back_ndcg@10": [0.2, 0.1],
        }
    ).assign(**{"ndcg@10": 0.25})
    left, right = drawn(ch05.plot_parameter_drift(table))
    assert [bar.get_width() for bar in left.patches] == [0.5, 0] and "began at 0" in left.texts[1].get_text()
    assert list(named(right, "this part as before").get_xdata()) == [0.2, 0.1]
    assert list(named(right, "nothing put back").get_xdata()) == [0.25, 0.25]
