"""Figures: each function returns one with labelled axes that can be saved, with and without pictures."""

import io

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mmm4rec_lite import viz
from mmm4rec_lite.study import ch01_data_and_features as ch01

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [4.0, 3.0, 2.5],
        "ndcg@10": [0.1, 0.3, 0.2],
        "recall@10": [0.2, 0.5, 0.4],
        "best": [False, True, False],
    }
)
LABELS = ["Red desk lamp", "A title that is far too long for an axis and has to be cut somewhere", "Blue $5 mug"]


def drawn(figure):
    """The figure's axes, once it is known to be a figure that draws and that pyplot does not keep."""
    assert isinstance(figure, Figure) and not plt.get_fignums()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    with Image.open(file) as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
        assert len(picture.convert("L").getcolors()) > 5  # not blank
    return figure.axes


def ticks(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


@pytest.mark.parametrize("metric", ["ndcg@10", "recall@10"])
def test_history_curves_show_loss_and_metric_and_mark_the_kept_epoch(metric):
    loss, second = drawn(viz.history_curves(HISTORY, metric))
    assert loss.get_xlabel() == second.get_xlabel() == "epoch"
    assert "loss" in loss.get_ylabel() and metric in second.get_ylabel()
    for axis, column in ((loss, "loss"), (second, metric)):
        curve, kept = axis.lines
        assert curve.get_ydata().tolist() == HISTORY[column].tolist()
        assert kept.get_xdata().tolist() == [2] and kept.get_ydata().tolist() == [HISTORY[column][1]]


def test_history_curves_of_a_run_without_validation_show_the_loss_alone():
    axes = drawn(viz.history_curves(HISTORY[["epoch", "loss", "best"]]))
    assert len(axes) == 1 and "loss" in axes[0].get_ylabel()


def test_metric_bars_show_every_system_and_policy_with_its_number():
    table = pd.DataFrame(
        {"system": ["a", "a", "b", "b"], "filter_seen": [False, True] * 2, "ndcg@10": [0.1, 0.2, 0.3, 0.4]}
    )
    (axis,) = drawn(viz.metric_bars(table))
    assert "ndcg@10" in axis.get_xlabel() and ticks(axis) == ["a", "b"]
    assert sorted(text.get_text() for text in axis.texts) == ["0.100", "0.200", "0.300", "0.400"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["history kept", "history filtered"]


def test_a_mask_map_shows_the_mask_between_0_and_1_and_names_the_items():
    mask = torch.tensor([[1, 0, 0], [0.5, 1, 0], [0.2, 0.4, 1]])
    axis, bar = drawn(viz.mask_map(mask, LABELS, "head 1"))
    (image,) = axis.images
    assert image.get_clim() == (0, 1) and torch.equal(torch.tensor(image.get_array().filled(0).tolist()), mask)
    assert image.get_array().mask.tolist() == [
        [s > t for s in range(3)] for t in range(3)
    ]  # the future has a colour of its own
    assert axis.get_xlabel() and axis.get_ylabel() and bar.get_ylabel() and axis.get_title() == "head 1"
    assert ticks(axis)[0] == LABELS[0] and len(ticks(axis)[1]) <= 22


def test_weight_bars_have_a_bar_per_item_and_name_and_tell_the_gaps():
    weights = {"real": torch.tensor([0.1, 0.5, 1]), "slow": torch.tensor([0.0, 0.2, 1])}
    (axis,) = drawn(viz.weight_bars(weights, LABELS, [0, 90, 3 * 86400]))
    widths = [[bar.get_width() for bar in bars] for bars in axis.containers]
    assert widths == [values.tolist() for values in weights.values()]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["real", "slow"]
    assert axis.get_xlabel() and [tick[-8:].split("(")[1] for tick in ticks(axis)] == ["+0 s)", "+2 min)", "+3 d)"]


def test_a_strip_shows_pictures_where_there_are_some_and_titles_elsewhere(toy):
    items = pd.concat([toy.items[toy.items["image"].notna()][:2], toy.items[toy.items["image"].isna()][:2]])
    first, second, *cards = drawn(viz.strip(items, toy.folder, "four", marked={items["item"].iloc[1]}))
    assert first.images and second.images and not any(card.images for card in cards)
    words = [axis.get_xlabel() for axis in (first, second)] + [card.texts[0].get_text() for card in cards]
    assert [word.replace("\n", " ") for word in words] == items["title"].tolist()
    frames = [to_hex(axis.spines["top"].get_edgecolor()) for axis in (first, second, *cards)]
    assert len(set(frames)) == 2 and frames.count(frames[1]) == 1


@pytest.mark.parametrize("count", [0, 1, 12])
def test_a_strip_without_pictures_needs_no_folder(toy, count):
    items = toy.items[toy.items["image"].isna()][:count]
    axes = drawn(viz.strip(items, title="cards"))
    assert len(axes) == max(count, 1) and sum(len(axis.texts) for axis in axes) == count


@pytest.mark.parametrize(
    "seconds, text", [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (86400, "1 d"), (2 * 86400 * 365, "2 y")]
)
def test_gaps_are_told_in_the_unit_that_a_reader_would_use(seconds, text):
    assert viz.style.span(seconds) == text


def test_a_gap_histogram_has_a_panel_per_dataset_and_zeros_apart():
    table = pd.DataFrame(
        {
            "dataset": ["one"] * 3 + ["two"] * 2,
            "from_s": [0, 1, 10, 0, 1],
            "to_s": [0, 10, 100, 0, 10],
            "share": [0.5, 0.2, 0.3, 0, 1],
        }
    )
    one, two = drawn(ch01.plot_gap_histogram(table))
    assert [axis.get_title(loc="left") for axis in (one, two)] == ["one", "two"]
    assert [bar.get_height() for bar in one.patches] == pytest.approx([50, 20, 30])
    zero, first = one.patches[:2]
    assert zero.get_x() + zero.get_width() < first.get_x() == 1 and one.texts[0].get_text() == "50 %"
    assert two.get_xscale() == "log" and "%" in one.get_ylabel() and "gap" in two.get_xlabel()
    assert [tick.get_text() for tick in two.get_xticklabels()] == ["0", "1 s", "1 min"]


def test_a_popularity_curve_has_a_line_per_dataset_beside_the_diagonal():
    table = pd.DataFrame(
        {"dataset": ["a"] * 3 + ["b"] * 2, "item_share": [0, 0.5, 1, 0, 1], "interaction_share": [0, 0.8, 1, 0, 1]}
    )
    (axis,) = drawn(ch01.plot_popularity_curve(table))
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["a", "b", "all items alike"] and "%" in axis.get_xlabel() and "%" in axis.get_ylabel()
    assert [0, 80, 100] in [list(line.get_ydata()) for line in axis.lines]


def test_a_contact_sheet_has_a_row_per_domain_and_grey_where_there_is_no_picture(toy):
    (axis,) = drawn(viz.contact_sheet(toy.items, toy.folder, columns=7, title="toys"))
    assert ticks(axis) == ["lamps", "mugs"] and axis.get_title(loc="left") == "toys" and "grey" in axis.get_xlabel()
    sheet = axis.images[0].get_array()
    shelf = toy.items[toy.items["domain"] == "mugs"].head(7)
    places = range(sheet.shape[1] // 14, sheet.shape[1], sheet.shape[1] // 7)
    grey = [(sheet[-sheet.shape[0] // 4 - 20, place] == (213, 218, 225)).all() for place in places]
    assert grey == shelf["image"].isna().tolist() and any(grey) and not all(grey)


def test_a_neighbour_grid_shows_who_is_near_by_what_and_frames_those_of_the_same_sort(toy):
    a, b, c, d = toy.items["item"][:4]
    items = toy.items.assign(kind=["x" if item in (a, d) else "y" for item in toy.items["item"]])
    near = {
        name: pd.DataFrame({"item": [a, a], "rank": [1, 2], "neighbour": found, "cosine": [0.9, 0.25]})
        for name, found in (("text", [b, c]), ("picture", [d, b]))
    }
    axes = drawn(viz.neighbour_grid(near, items, toy.folder, "kind"))
    assert len(axes) == 5 and [axis.get_ylabel() for axis in axes] == ["", "by text", "", "by picture", ""]
    assert [axis.get_xlabel().splitlines()[-1] for axis in axes[1:]] == ["cosine 0.90", "cosine 0.25"] * 2
    frames = [axis.spines["top"].get_linewidth() for axis in axes]
    assert frames.index(max(frames)) == 3 and frames.count(max(frames)) == 1  # d alone is of a's kind
    plain = drawn(viz.neighbour_grid(near, items, toy.folder))
    assert len({axis.spines["top"].get_linewidth() for axis in plain}) == 1


def test_match_bars_show_every_modality_and_chance():
    table = pd.DataFrame(
        {
            "modality": ["text", "text", "both", "both"],
            "attribute": ["shape", "colour"] * 2,
            "match_share": [0.4, 0.3, 0.7, 0.5],
            "standard_error": 0.02,
            "chance_share": [0.25, 0.2, 0.25, 0.2],
        }
    )
    (axis,) = drawn(ch01.plot_match_bars(table))
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["by chance", "by text", "by both"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["same shape", "same colour"]
    assert [bar.get_height() for bar in axis.patches] == pytest.approx([40, 30, 70, 50]) and "%" in axis.get_ylabel()
    (chance,) = [lines for lines in axis.collections if lines.get_label() == "by chance"]
    assert [start[1] for start, _ in chance.get_segments()] == [25, 20]


DOLLARS = ["Ba$$in", "$5_$10", "Was $40 & now $20", r"a $\frac{ b$ c", "$^{$"]


@pytest.mark.parametrize(
    "draw", ["strip", "strips", "weight_strip", "contact_sheet", "mask_map", "picture_mask", "bars"]
)
def test_dollars_in_titles_are_dollars(draw):
    items = pd.DataFrame({"item": DOLLARS, "title": DOLLARS, "image": None, "domain": DOLLARS})
    n, mask = len(DOLLARS), torch.eye(len(DOLLARS))
    figure = {
        "strip": lambda: viz.strip(items, title=DOLLARS[3]),
        "strips": lambda: viz.strips({DOLLARS[2]: items}),
        "weight_strip": lambda: viz.weight_strip(items, {"a": torch.ones(n)}, [0] * n),
        "contact_sheet": lambda: viz.contact_sheet(items, None),
        "mask_map": lambda: viz.mask_map(mask, DOLLARS, "head 1"),
        "picture_mask": lambda: viz.picture_mask(mask.numpy(), items, gaps=[0] * n),
        "bars": lambda: viz.weight_bars({"a": torch.ones(n)}, DOLLARS, [0] * n),
    }[draw]()
    drawn(figure)
    shown = [text for text in figure.findobj(Text) if "$" in text.get_text() and "M_{ts}" not in text.get_text()]
    assert shown and not any(text.get_parse_math() for text in shown)


def test_a_broken_picture_is_a_card_and_a_warning(tmp_path):
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0")
    items = pd.DataFrame({"item": ["x"], "title": ["Lamp"], "image": ["x.png"], "domain": ["d"]})
    for draw in (viz.strip, viz.contact_sheet):
        with pytest.warns(UserWarning, match="x.png' cannot be read: no picture of a known format"):
            draw(items, tmp_path)


def test_a_figure_says_in_words_what_it_shows():
    """Notebooks keep the words beside the picture: its title, each panel's title, axes and legend."""
    figure = viz.history_curves(HISTORY, title="one run")
    data, metadata = figure._repr_mimebundle_()
    told = metadata["image/png"]["alt"]
    assert data["text/plain"] == told and "x: epoch" in told and "$" not in told and "\n" not in told
    mask = viz.mask_map(torch.eye(3), LABELS, "head 1")._repr_mimebundle_()[0]["text/plain"]
    assert "head 1; x: past item s (grey: the future); y: read at step t" in mask


def test_strict_differences_are_blue_only_where_significant_among_all_rows_and_over_seeds():
    table = pd.DataFrame({"form": list("abcde"), "difference": [0.022, 0.04, 0, -0.01, 0], "standard_error": 0.01})
    blue = lambda rows, strict: (
        drawn(viz.differences(rows, strict=strict))[0].containers[1].lines[0].get_xdata().tolist()
    )
    assert blue(table, False) == [0.022, 0.04] and blue(table, True) == [0.04]
    assert blue(table.assign(seed_spread=0.001), True) == [0.04]
    assert blue(table.assign(seed_spread=float("nan")), True) == []  # one seed
