"""Figures of items: strips, sheets and neighbours, with pictures where there are any."""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from mmm4rec_lite.data.pictures import open_picture
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Float, Tensor
from mmm4rec_lite.viz import style
from mmm4rec_lite.viz.style import COLOURS, captioned, empty_figure, gridless, grouped_bars, legend_beside, panel, span

Folder = Path | str | None  # below which pictures lie
Frames = Mapping[str, pd.DataFrame]
Names = Sequence[str]
Numbers = Iterable[Any]  # a row of them: a list, a tensor, a Series
Shares = Mapping[str, Float[Tensor, " L"]]  # of L items, 0 to 1, by name
CARD, EDGE = "#eef1f5", "#b8c0cc"  # an item without a picture; around every item
HELD = "share of what is held\nafter the last step"  # what weights are where nothing else is said


def load_picture(folder: Folder, image: Any, edge: int | None = None) -> Image.Image | None:
    """`open_picture`, or None: without a word where ``image`` is no path, with a warning where it cannot be read."""
    if not isinstance(image, str):
        return None
    try:
        return open_picture(image, folder, edge)
    except InputError as error:
        warnings.warn(str(error), stacklevel=2)
        return None


def _tile(axis, item, folder, marked=False, below="", interpolation=None):
    """One item: its picture over the title, or a card with the title; ``below``: a further line."""
    title, picture = "\n".join(wrap(item.title, 15)[:4]), load_picture(folder, item.image)
    if picture:
        axis.imshow(picture, aspect="auto", interpolation=interpolation)  # "nearest": files a third smaller
        below = f"{title}\n{below}".strip()
    else:
        axis.set_facecolor(CARD)
        axis.set_label(f"{item.title} (no picture)")  # for `style.described`
        axis.text(0.5, 0.5, title, ha="center", va="center", fontsize=7.5, transform=axis.transAxes, **style.WORDS)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(below, fontsize=6.5, **style.WORDS)
    axis.spines[:].set(visible=True, color=COLOURS[3] if marked else EDGE, lw=3 if marked else 1)


@gridless
def strip(items: pd.DataFrame, folder: Folder = None, title: str = "", marked: Collection[str] = ()) -> Figure:
    """Items in a row: their pictures, or cards with the title.

    Parameters
    ----------
    items : columns item, title, image (a path below ``folder``)
    folder : where the pictures lie
    title : of the figure
    marked : ids of items that get a frame of another colour

    Examples
    --------
    >>> figure = strip(pd.DataFrame({"item": ["x"], "title": ["Lamp"], "image": [None]}), title="recommended")
    """
    count = max(len(items), 1)
    figure = empty_figure(1.25 * count, 2.1)
    axes = figure.subplots(1, count, squeeze=False, subplot_kw=dict(xticks=[], yticks=[]))[0]
    for axis, row in zip(axes, items.itertuples()):
        _tile(axis, row, folder, row.item in marked)
    return captioned(figure, title, 10)


@gridless
def strips(rows: Frames, folder: Folder = None, marked: Collection[str] = (), title: str = "") -> Figure:
    """Rows of items, one under the other, such as what several systems recommend; frames as for ``strip`` by name."""
    most = max(map(len, rows.values()))
    figure = empty_figure(1.15 * most + 1.1, 1.55 * len(rows) + 0.3)
    for line, (name, items) in zip(figure.subplots(len(rows), most, squeeze=False), rows.items()):
        for axis, row in zip(line, items.itertuples()):
            _tile(axis, row, folder, row.item in marked, interpolation="nearest")
        for axis in line[len(items) :]:
            axis.set_axis_off()
        line[0].set_ylabel("\n".join(wrap(name, 14)), fontsize=9, **style.WORDS)
    return captioned(figure, title, 10)


@gridless
def weight_strip(
    items: pd.DataFrame, weights: Shares, gaps: Numbers, folder: Folder = None, title: str = "", label: str = HELD
) -> Figure:
    """A history's items, oldest first, each under its weights (``label``) and over the gap before it, in seconds."""
    figure = empty_figure(max(0.95 * len(items), 4) + 1.8, 3.3)
    grid = figure.add_gridspec(2, len(items), height_ratios=(1.4, 1))
    axis = figure.add_subplot(grid[0, :])
    grouped_bars(axis, weights)
    axis.set(xlim=(-0.5, len(items) - 0.5), xticks=[], ylabel=label)
    legend_beside(axis)
    for place, (row, gap) in enumerate(zip(items.itertuples(), gaps)):
        below = f"{span(gap)} later" if place else "first"
        _tile(figure.add_subplot(grid[1, place]), row, folder, below=below, interpolation="nearest")
    return captioned(figure, title, 10)


@gridless
def contact_sheet(items: pd.DataFrame, folder: Folder, columns: int = 12, title: str = "") -> Figure:
    """The first items of every domain, a row each, small; grey: no picture. ``items``: columns domain, image."""
    shelves = {name: rows["image"].head(columns) for name, rows in items.groupby("domain", sort=False)}
    edge, room = 64, 70  # pixels: a picture, and with the gap around it
    sheet = Image.new("RGB", (room * columns, room * len(shelves)), "white")
    for y, images in enumerate(shelves.values()):
        for x, image in enumerate(images):
            picture = load_picture(folder, image) or Image.new("RGB", (edge, edge), "#d5dae1")
            sheet.paste(picture.resize((edge, edge)), (room * x + 3, room * y + 3))
    figure, axis = panel(1.0 + 0.6 * columns, 0.4 + 0.6 * len(shelves))
    axis.imshow(sheet, interpolation="nearest")  # smoothed, the file is three times as large
    axis.set_yticks([room * (y + 0.5) for y in range(len(shelves))], list(shelves), **style.WORDS)
    axis.set(xticks=[], xlabel="grey: no picture", frame_on=False)
    axis.tick_params(length=0)
    axis.set_title(title, fontsize=10, loc="left")
    return figure


@gridless
def neighbour_grid(near: Frames, items: pd.DataFrame, folder: Folder, same: str | None = None) -> Figure:
    """Items, their nearest neighbours (``near``: ``data.statistics.neighbours`` by modality) beside them, with the
    cosine; framed: neighbours with the item's own value in the column ``same``."""
    shelf, pairs = items.set_index("item", drop=False), pd.concat(near, names=["modality"]).reset_index("modality")
    queries, most = list(pairs["item"].unique()), pairs["rank"].max()
    figure = empty_figure(1.15 * (most + 1) + 0.5, 1.6 * len(near) * len(queries) + 0.3)
    grid = figure.add_gridspec(len(near) * len(queries), most + 1)
    for i, query in enumerate(queries):
        axis = figure.add_subplot(grid[i * len(near), 0])
        _tile(axis, shelf.loc[query], folder)
        axis.set_title("near this item:", fontsize=8)
    for row in pairs.itertuples():
        axis = figure.add_subplot(grid[queries.index(row.item) * len(near) + list(near).index(row.modality), row.rank])
        alike = same is not None and shelf[same][row.item] == shelf[same][row.neighbour]
        _tile(axis, shelf.loc[row.neighbour], folder, alike, f"cosine {row.cosine:.2f}")
        if row.rank == 1:
            axis.set_ylabel(f"by {row.modality}", fontsize=9)
    if same is not None:
        figure.supxlabel(f"framed: the same {same} as the item on the left", fontsize=8)
    return figure
