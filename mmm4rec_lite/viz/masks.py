"""Figures of decay masks: the masks themselves, what is left, half-lives."""

import textwrap

import numpy as np

from mmm4rec_lite.viz.style import COLOURS, empty_figure, span, styled


@styled(grid=False)
def mask_map(mask, labels, title):
    """A decay mask [L,L] of one head: how much of each past item (column) is left at each step (row)."""
    size = 1.6 + 0.24 * len(labels)
    figure = empty_figure(size + 1.6, size)
    axis = figure.subplots()
    image = axis.imshow(np.asarray(mask.tolist()), vmin=0, vmax=1, cmap="viridis")
    names = [textwrap.shorten(label, 22, placeholder="...") for label in labels]
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set(xlabel="past item s", ylabel="read at step t", title=title)
    figure.colorbar(image, ax=axis, label=r"what is left: $M_{ts}$ (0 to 1)", shrink=0.8)
    return figure


@styled
def weight_bars(weights, labels, gaps):
    """What the last step still has of each past item, one bar per item; ``weights``: name -> [L] (0 to 1)."""
    figure = empty_figure(7, 1.2 + 0.26 * len(labels))
    axis = figure.subplots()
    height = 0.8 / len(weights)
    for i, (name, values) in enumerate(weights.items()):
        places = [place + i * height for place in range(len(labels))]
        axis.barh(places, values.tolist(), height, label=name, color=COLOURS[i])
    titles = [textwrap.shorten(label, 34, placeholder="...") for label in labels]
    names = [f"{title}  (+{span(gap)})" for title, gap in zip(titles, gaps)]
    axis.set_yticks([place + 0.4 - height / 2 for place in range(len(labels))], names, fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel="what is left of the item at the last step (mean over heads, 0 to 1)", ylim=(len(labels), -0.3))
    axis.legend(frameon=False, fontsize=8)
    return figure


@styled(grid=False)
def mask_difference(before, after, labels, names=("before", "after")):
    """Two decay masks [L,L] of one history and what the second has more (+) or less (-) than the first."""
    figure = empty_figure(9.5, 2.6 + 0.03 * len(labels))
    axes = figure.subplots(1, 3)
    before, after = (np.asarray(mask.tolist()) for mask in (before, after))
    titles = [textwrap.shorten(label, 22, placeholder="...") for label in labels]
    for axis, values, name in zip(axes, (before, after, after - before), (*names, "difference (right - left)")):
        change = axis is axes[2]
        places = (0.5, len(titles) + 0.5, len(titles) + 0.5, 0.5)
        image = axis.imshow(
            values, vmin=-1 if change else 0, vmax=1, cmap="PuOr_r" if change else "viridis", extent=places
        )
        axis.set(yticks=[], xlabel="past item s", title=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if axis is not axes[0]:  # it has the second one's scale
            figure.colorbar(image, ax=axis, label="change" if change else "what is left (0 to 1)", shrink=0.8)
    names = [f"{title}  {i}" for i, title in enumerate(titles, 1)]
    axes[0].set_yticks(range(1, len(titles) + 1), names, fontsize=6.5)
    axes[0].set_ylabel("read at step t")
    return figure


@styled
def half_life_bars(half_lives, window=None):
    """Half-lives in steps, a bar per head from one step up or down, log scale; ``half_lives``: name -> [H].

    ``window``: how many steps there are, a line.
    """
    figure = empty_figure(7.5, 2.8)
    axis = figure.subplots()
    width = 0.8 / len(half_lives)
    for i, (name, values) in enumerate(half_lives.items()):
        values = values.tolist()
        places = [head + (i + 0.5) * width - 0.4 for head in range(1, len(values) + 1)]
        axis.bar(places, [value - 1 for value in values], width, bottom=1, color=COLOURS[i], label=name)
    if window is not None:
        axis.axhline(window, color="black", lw=1, ls="--", label=f"the window, {window} steps")
    axis.axhline(1, color="black", lw=1, label="one step")
    axis.set(yscale="log", xlabel="head", ylabel="half-life (steps)")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
