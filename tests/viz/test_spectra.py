"""Figures of spectra and filters: what is drawn is what was given, bins told as periods."""

import pandas as pd
import torch
from matplotlib.figure import Figure

from mmm4rec_lite import viz
from tests.support.figures import drawn
from tests.support.figures import legend as words

BINS = pd.DataFrame({"bin": [1, 2, 3], "period": [6.0, 3.0, 2.0]})


def periods(axis):
    return [tick.get_text() for tick in axis.get_xticklabels()] == ["6", "3", "2"] and "steps" in axis.get_xlabel()


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


def test_frequency_maps_share_one_scale():
    figure = viz.frequency_maps({"a": torch.eye(3), "b": 2 * torch.eye(3)})
    first, second, bar = drawn(figure)
    assert isinstance(figure, Figure) and first.images[0].get_clim() == second.images[0].get_clim() == (0, 2)
    assert "in" in first.get_ylabel() and "out" in first.get_xlabel() and bar.get_ylabel()
