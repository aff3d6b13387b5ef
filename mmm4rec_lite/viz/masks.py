"""Figures of decay masks: the masks themselves, what is left, half-lives."""

from collections.abc import Mapping
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmm4rec_lite.utils.typing import Float, Tensor
from mmm4rec_lite.viz.items import CARD, EDGE, Folder, Names, Numbers, Shares, load_picture
from mmm4rec_lite.viz.style import (
    WORDS,
    gridless,
    grouped_bars,
    legend_beside,
    panel,
    panel_row,
    shortened,
    span,
    styled,
)

Mask = Float[Tensor | np.ndarray, "L L"]
LEFT = r"what is left: $M_{ts}$ (0 to 1)"
FUTURE = "#d5dae1"  # what a step cannot see, another colour than what it has forgotten


@gridless
def mask_map(mask: Mask, labels: Names, title: str) -> Figure:
    """A decay mask [L,L] of one head: how much of each past item (column) is left at each step (row).

    Parameters
    ----------
    mask : how much of item s (column) is left at step t (row), 0 to 1
    labels : of the L items
    title : of the figure

    Examples
    --------
    >>> import torch
    >>> figure = mask_map(torch.eye(2).numpy(), ["a lamp", "a mug"], "no memory")
    """
    size, names = 1.6 + 0.24 * len(labels), shortened(labels)
    figure, axis = panel(size + 1.6, size)
    image = axis.imshow(past(mask), vmin=0, vmax=1, cmap=mask_colours())
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7, **WORDS)
    axis.set_yticks(range(len(names)), names, fontsize=7, **WORDS)
    axis.set(xlabel="past item s (grey: the future)", ylabel="read at step t", title=title)
    figure.colorbar(image, ax=axis, label=LEFT, shrink=0.8)
    return figure


@gridless
def picture_mask(
    mask: Mask, items: pd.DataFrame, folder: Folder = None, title: str = "", gaps: Numbers | None = None
) -> Figure:
    """A decay mask [L,L] of one head with the items' pictures along both axes, oldest first.

    Parameters
    ----------
    mask : as of ``mask_map``
    items, folder : as of ``strip``
    title : of the figure
    gaps : [L] seconds before each item, told below the pictures

    Examples
    --------
    >>> items = pd.DataFrame({"item": ["x", "y"], "title": ["Lamp", "Mug"], "image": [None, None]})
    >>> figure = picture_mask(np.tril(np.ones((2, 2))), items, title="nothing fades", gaps=[0, 60])
    """
    n, edge = len(items), 0.5  # inches of a picture
    figure, axis = panel(edge * (n + 1.2) + 1.3, edge * (n + 1.2) + 0.9)
    image = axis.imshow(past(mask), vmin=0, vmax=1, cmap=mask_colours(), extent=(0, n, n, 0))
    figure.colorbar(image, ax=axis, label=LEFT, shrink=0.6)
    for i, row in enumerate(items.itertuples()):
        picture = load_picture(folder, row.image, 64)
        for x, y in ((-1.1, i), (i, n + 0.1)):  # left of its row, below its column
            axis.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fc=CARD, ec=EDGE))
            if picture:
                axis.imshow(picture, extent=(x + 0.06, x + 0.94, y + 0.94, y + 0.06), zorder=2)
            else:
                words = "\n".join(wrap(row.title, 9)[:4])
                axis.text(x + 0.5, y + 0.5, words, ha="center", va="center", fontsize=5, **WORDS)
    for i, gap in enumerate([] if gaps is None else gaps):
        axis.text(i + 0.5, n + 1.2, f"+{span(gap)}" if i else "first", ha="center", va="top", fontsize=7)
    axis.set(xlim=(-1.1, n), ylim=(n + 1.1, 0), xticks=[], yticks=[], ylabel="read at step t", title=title)
    below = "past item s" if gaps is None else "past item s, and the time since the one before"
    axis.set_xlabel(f"{below} (grey: the future)", labelpad=14)
    axis.spines[:].set_visible(False)
    return figure


@styled
def weight_bars(weights: Shares, labels: Names, gaps: Numbers) -> Figure:
    """What the last step still has of each past item: a bar per item and name of ``weights``; ``gaps``: seconds."""
    figure, axis = panel(7, 1.2 + 0.26 * len(labels))
    grouped_bars(axis, weights, flat=True)
    names = [f"{title}  (+{span(gap)})" for title, gap in zip(shortened(labels, 34), gaps)]
    axis.set_yticks(range(len(labels)), names, fontsize=8, **WORDS)
    axis.set_xlabel("what is left of the item at the last step (mean over heads, 0 to 1)")
    half = 0.4 / len(weights)  # a bar
    axis.set_ylim(len(labels) - 0.4 + half, half - 0.7)
    axis.legend(fontsize=8)
    return figure


@gridless
def mask_difference(before: Mask, after: Mask, labels: Names, names: tuple[str, str] = ("before", "after")) -> Figure:
    """Two decay masks [L,L] of one history and what the second has more (+) or less (-) than the first.

    Parameters
    ----------
    before, after : as of ``mask_map``
    labels : of the L items
    names : of the two

    Examples
    --------
    >>> figure = mask_difference(np.tril(np.ones((2, 2))), np.eye(2), ["a lamp", "a mug"])
    """
    n, masks = len(labels), np.array([past(before), past(after)])
    figure, axes = panel_row(3, 9.5, 2.6 + 0.03 * n, sharey=False)
    for axis, values, name in zip(axes, (*masks, masks[1] - masks[0]), (*names, "difference (right - left)")):
        change = axis is axes[2]
        least, colours = (-1, "PuOr_r") if change else (0, "viridis")
        image = axis.imshow(values, vmin=least, vmax=1, cmap=mask_colours(colours), extent=(0.5, n + 0.5, n + 0.5, 0.5))
        axis.set(yticks=[], xlabel="past item s (grey: the future)", title=name)
        axis.locator_params("x", integer=True)
        if axis is not axes[0]:  # it has the second one's scale
            figure.colorbar(image, ax=axis, label="change" if change else "what is left (0 to 1)", shrink=0.8)
    numbered = [f"{title}  {i}" for i, title in enumerate(shortened(labels), 1)]
    axes[0].set_yticks(range(1, n + 1), numbered, fontsize=6.5, **WORDS)
    axes[0].set_ylabel("read at step t")
    return figure


@styled
def half_life_bars(half_lives: Mapping[str, Float[Tensor, " H"]], window: int | None = None) -> Figure:
    """Half-lives in steps, a bar per head from one step up or down, log scale; ``window``: a line at so many steps."""
    figure, axis = panel(7.5, 2.8)
    grouped_bars(axis, {name: values - 1 for name, values in half_lives.items()}, first=1, bottom=1)
    if window is not None:
        axis.axhline(window, color="black", lw=1, ls="--", label=f"the window, {window} steps")
    axis.axhline(1, color="black", lw=1, label="one step")
    axis.set(yscale="log", xlabel="head", ylabel="half-life (steps)")
    axis.locator_params("x", integer=True)
    legend_beside(axis, fontsize=9)
    return figure


def past(mask: Mask) -> np.ndarray:
    """A mask with nan above its diagonal."""
    return np.where(np.tri(len(mask), dtype=bool), np.asarray(mask.tolist()), np.nan)


def mask_colours(name: str = "viridis") -> Colormap:
    """The colours of a mask, with one of its own for the future."""
    return colormaps[name].with_extremes(bad=FUTURE)
