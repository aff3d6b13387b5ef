"""Figures of items: strips, sheets and neighbours, with pictures where there are any."""

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image

from mmm4rec_lite.viz.style import COLOURS, empty_figure, span, styled


@styled(grid=False)
def strip(items, folder=None, title="", marked=()):
    """Items in a row: their pictures, or cards with the title. ``items``: frame with item, title, image.

    ``marked``: item ids that get a frame of another colour.
    """
    figure = empty_figure(1.25 * max(len(items), 1), 2.1)
    axes = figure.subplots(1, max(len(items), 1), squeeze=False)[0]
    for axis, row in zip(axes, items.itertuples()):
        _tile(axis, row, folder, row.item in marked)
    if items.empty:
        axes[0].set(xticks=[], yticks=[])
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


@styled(grid=False)
def strips(rows, folder=None, marked=(), title=""):
    """Several rows of items, one under the other, such as what systems recommend: name -> frame as for ``strip``."""
    most = max(len(items) for items in rows.values())
    figure = empty_figure(1.15 * most + 1.1, 1.55 * len(rows) + 0.3)
    axes = figure.subplots(len(rows), most, squeeze=False)
    for line, (name, items) in zip(axes, rows.items()):
        for axis, row in zip(line, items.itertuples()):
            _tile(axis, row, folder, row.item in marked)
            for picture in axis.images:
                picture.set_interpolation("nearest")  # smoothed, the file is half as large again
        for axis in line[len(items) :]:
            axis.set_axis_off()
        line[0].set_ylabel("\n".join(textwrap.wrap(name, 14)), fontsize=9)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _tile(axis, item, folder, marked=False, below=""):
    """One item: its picture with the title below, or a card with the title; ``below``: a further line."""
    name = "\n".join(textwrap.wrap(item.title, 15)[:4])
    if isinstance(item.image, str):
        with Image.open(Path(folder, item.image)) as picture:
            axis.imshow(picture.convert("RGB"), aspect="auto")
    else:
        axis.set_facecolor("#eef1f5")
        axis.text(0.5, 0.5, name, ha="center", va="center", fontsize=7.5, transform=axis.transAxes)
        name = ""
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel("\n".join(filter(None, (name, below))), fontsize=6.5)
    axis.spines[:].set_visible(True)
    axis.spines[:].set(color=COLOURS[3] if marked else "#b8c0cc", lw=3 if marked else 1)


@styled(grid=False)
def weight_strip(items, weights, gaps, folder=None, title=""):
    """A history's pictures, oldest first, with bars of each item's weight above and the gap before it below.

    ``items``: frame with item, title, image; ``weights``: name -> [L] shares (0 to 1); ``gaps``: [L] seconds.
    """
    figure = empty_figure(max(0.95 * len(items), 4) + 1.8, 3.3)
    grid = figure.add_gridspec(2, len(items), height_ratios=(1.4, 1))
    axis, width = figure.add_subplot(grid[0, :]), 0.8 / len(weights)
    for i, (name, values) in enumerate(weights.items()):
        axis.bar(
            [place + (i + 0.5) * width - 0.4 for place in range(len(items))],
            values.tolist(),
            width,
            color=COLOURS[i],
            label=name,
        )
    axis.set(xlim=(-0.5, len(items) - 0.5), xticks=[], ylabel="share of what is held\nafter the last step")
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    for place, (row, gap) in enumerate(zip(items.itertuples(), gaps)):
        below = f"{span(gap)} later" if place else "first"
        tile = figure.add_subplot(grid[1, place])
        _tile(tile, row, folder, below=below)
        for picture in tile.images:
            picture.set_interpolation("nearest")  # smoothed, the file is half as large again
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


@styled(grid=False)
def contact_sheet(items, folder, columns=12, title=""):
    """The first items of every domain, a row each, small; grey: no picture. ``items``: frame with domain, image."""
    shelves = {name: rows["image"].head(columns) for name, rows in items.groupby("domain", sort=False)}
    edge, room = 64, 70  # pixels: a picture, and with the gap around it
    sheet = Image.new("RGB", (room * columns, room * len(shelves)), "white")
    for y, images in enumerate(shelves.values()):
        for x, image in enumerate(images):
            place = (room * x + 3, room * y + 3)
            if isinstance(image, str):
                with Image.open(Path(folder, image)) as picture:
                    sheet.paste(picture.convert("RGB").resize((edge, edge)), place)
            else:
                sheet.paste("#d5dae1", (*place, place[0] + edge, place[1] + edge))
    figure = empty_figure(1.0 + 0.6 * columns, 0.4 + 0.6 * len(shelves))
    axis = figure.subplots()
    axis.imshow(np.asarray(sheet), interpolation="nearest")  # smoothed, the file is three times as large
    axis.set_yticks([room * (y + 0.5) for y in range(len(shelves))], list(shelves))
    axis.set(xticks=[], xlabel="grey: no picture")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=10, loc="left")
    return figure


@styled(grid=False)
def neighbour_grid(near, items, folder, same=None):
    """Items on the left, their nearest neighbours beside them, a row per modality, with the cosine below.

    near: modality -> a frame of ``data.look.neighbours``. items: frame with item, title, image. same: a column of
    ``items``; neighbours that have the item's own value there get a frame of another colour.
    """
    shelf = items.set_index("item", drop=False)
    queries = list(dict.fromkeys(item for frame in near.values() for item in frame["item"]))
    k = max(frame["rank"].max() for frame in near.values())
    figure = empty_figure(1.15 * (k + 1) + 0.5, 1.6 * len(near) * len(queries) + 0.3)
    grid = figure.add_gridspec(len(near) * len(queries), k + 1)
    for i, query in enumerate(queries):
        axis = figure.add_subplot(grid[i * len(near), 0])
        _tile(axis, shelf.loc[query], folder)
        axis.set_title("near this item:", fontsize=8)
        for j, (modality, frame) in enumerate(near.items()):
            for row in frame[frame["item"] == query].itertuples():
                axis = figure.add_subplot(grid[i * len(near) + j, row.rank])
                alike = same is not None and shelf[same][query] == shelf[same][row.neighbour]
                _tile(axis, shelf.loc[row.neighbour], folder, alike, f"cosine {row.cosine:.2f}")
                if row.rank == 1:
                    axis.set_ylabel(f"by {modality}", fontsize=9)
    if same is not None:
        figure.supxlabel(f"framed: the same {same} as the item on the left", fontsize=8)
    return figure
