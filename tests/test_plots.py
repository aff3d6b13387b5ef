"""Figures: each function returns one with labelled axes that can be saved, with and without pictures."""

import io

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from mmm4rec_lite import plots

HISTORY = pd.DataFrame({"epoch": [1, 2, 3], "loss": [4.0, 3.0, 2.5], "ndcg@10": [0.1, 0.3, 0.2],
                        "recall@10": [0.2, 0.5, 0.4], "best": [False, True, False]})
LABELS = ["Red desk lamp", "A title that is far too long for an axis and has to be cut somewhere", "Blue $5 mug"]


def drawn(figure):
    """The figure's axes, once it is known to be a figure that draws and that pyplot does not keep."""
    assert isinstance(figure, Figure) and not plt.get_fignums()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    with Image.open(file) as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
        assert len(picture.convert("L").getcolors()) > 5                         # not blank
    return figure.axes


def ticks(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


@pytest.mark.parametrize("metric", ["ndcg@10", "recall@10"])
def test_history_curves_show_loss_and_metric_and_mark_the_kept_epoch(metric):
    loss, second = drawn(plots.history_curves(HISTORY, metric))
    assert loss.get_xlabel() == second.get_xlabel() == "epoch"
    assert "loss" in loss.get_ylabel() and metric in second.get_ylabel()
    for axis, column in ((loss, "loss"), (second, metric)):
        curve, kept = axis.lines
        assert curve.get_ydata().tolist() == HISTORY[column].tolist()
        assert kept.get_xdata().tolist() == [2] and kept.get_ydata().tolist() == [HISTORY[column][1]]


def test_history_curves_of_a_run_without_validation_show_the_loss_alone():
    axes = drawn(plots.history_curves(HISTORY[["epoch", "loss", "best"]]))
    assert len(axes) == 1 and "loss" in axes[0].get_ylabel()


def test_metric_bars_show_every_system_and_policy_with_its_number():
    table = pd.DataFrame({"system": ["a", "a", "b", "b"], "seen items": ["kept", "removed"] * 2,
                          "ndcg@10": [0.1, 0.2, 0.3, 0.4]})
    axis, = drawn(plots.metric_bars(table))
    assert "ndcg@10" in axis.get_xlabel() and ticks(axis) == ["a", "b"]
    assert sorted(text.get_text() for text in axis.texts) == ["0.100", "0.200", "0.300", "0.400"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["kept", "removed"]


def test_a_mask_map_shows_the_mask_between_0_and_1_and_names_the_items():
    mask = torch.tensor([[1, 0, 0], [0.5, 1, 0], [0.2, 0.4, 1]])
    axis, bar = drawn(plots.mask_map(mask, LABELS, "head 1"))
    image, = axis.images
    assert image.get_clim() == (0, 1) and torch.equal(torch.tensor(image.get_array().tolist()), mask)
    assert axis.get_xlabel() and axis.get_ylabel() and bar.get_ylabel() and axis.get_title() == "head 1"
    assert ticks(axis)[0] == LABELS[0] and len(ticks(axis)[1]) <= 22


def test_weight_bars_have_a_bar_per_item_and_name_and_tell_the_gaps():
    weights = {"real": torch.tensor([0.1, 0.5, 1]), "slow": torch.tensor([0.0, 0.2, 1])}
    axis, = drawn(plots.weight_bars(weights, LABELS, [0, 90, 3 * 86400]))
    widths = [[bar.get_width() for bar in bars] for bars in axis.containers]
    assert widths == [values.tolist() for values in weights.values()]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["real", "slow"]
    assert axis.get_xlabel() and [tick[-8:].split("(")[1] for tick in ticks(axis)] == ["+0 s)", "+2 min)", "+3 d)"]


def test_a_strip_shows_pictures_where_there_are_some_and_titles_elsewhere(toy):
    items = pd.concat([toy.items[toy.items["image"].notna()][:2], toy.items[toy.items["image"].isna()][:2]])
    first, second, *cards = drawn(plots.strip(items, toy.folder, "four", marked={items["item"].iloc[1]}))
    assert first.images and second.images and not any(card.images for card in cards)
    words = [axis.get_xlabel() for axis in (first, second)] + [card.texts[0].get_text() for card in cards]
    assert [word.replace("\n", " ") for word in words] == items["title"].tolist()
    frames = [to_hex(axis.spines["top"].get_edgecolor()) for axis in (first, second, *cards)]
    assert len(set(frames)) == 2 and frames.count(frames[1]) == 1


@pytest.mark.parametrize("count", [0, 1, 12])
def test_a_strip_without_pictures_needs_no_folder(toy, count):
    items = toy.items[toy.items["image"].isna()][:count]
    axes = drawn(plots.strip(items, title="cards"))
    assert len(axes) == max(count, 1) and sum(len(axis.texts) for axis in axes) == count


@pytest.mark.parametrize("seconds, text", [
    (0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (86400, "1 d"), (2 * 86400 * 365, "2 y"),
])
def test_gaps_are_told_in_the_unit_that_a_reader_would_use(seconds, text):
    assert plots._span(seconds) == text
