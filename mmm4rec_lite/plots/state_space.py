"""Figures of the operator: what a state keeps, the matrices of its dual form, chunks, and what each form costs."""

import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.patches import Patch, Rectangle

from mmm4rec_lite.plots.style import COLOURS, STYLE, empty_figure

MARKERS = "osD^v"


def memory_curves(curves, title=""):
    """What a state still holds of one impulse, step by step; ``curves``: name -> [L] (1 at the impulse)."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6.5, 2.8)
        axis = figure.subplots()
        for (name, values), colour, marker in zip(curves.items(), COLOURS, MARKERS):
            values = np.asarray(values.tolist())
            axis.plot(range(len(values)), values, marker=marker, ms=4, color=colour, label=name)
        axis.axhline(0.5, color="black", lw=1, ls=":")
        axis.text(axis.get_xlim()[1], 0.51, "half", ha="right", va="bottom", fontsize=8)
        axis.set(xlabel="steps after the impulse", ylabel="what is left of it (0 to 1)", ylim=(0, 1.05), title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def matrix_row(matrices, row="read at step t", column="input of step s"):
    """Square matrices side by side, each with a colour bar of its own; white is 0. ``matrices``: name -> [L,L]."""
    with plt.rc_context(STYLE):
        figure = empty_figure(3.1 * len(matrices), 3.0)
        axes = figure.subplots(1, len(matrices), squeeze=False)[0]
        for axis, (name, matrix) in zip(axes, matrices.items()):
            values = np.asarray(matrix.tolist())
            size, L = max(np.abs(values).max(), 1e-12), len(values)
            image = axis.imshow(values, vmin=-size, vmax=size, cmap="PuOr_r", extent=(0.5, L + 0.5, L + 0.5, 0.5))
            axis.set_title(name, fontsize=10)
            axis.set(xlabel=column, ylabel=row if axis is axes[0] else "")
            bar = figure.colorbar(image, ax=axis, shrink=0.8)
            if values.min() >= 0:
                bar.ax.set_ylim(0, size)
    return figure


def chunk_map(mask, chunk):
    """How the chunked form covers a decay mask [L,L]: blocks on the diagonal directly, the rest through states."""
    L = len(mask)
    with plt.rc_context(STYLE):
        figure = empty_figure(6.5, 3.6)
        axis = figure.subplots()
        axis.imshow(np.asarray(mask.tolist()), vmin=0, vmax=1, cmap="Greys", extent=(0.5, L + 0.5, L + 0.5, 0.5))
        for start in range(0, L, chunk):
            end = min(start + chunk, L)
            axis.add_patch(
                Rectangle((start + 0.5, start + 0.5), end - start, end - start, fill=False, lw=2.5, color=COLOURS[1])
            )
            if start:
                axis.add_patch(
                    Rectangle(
                        (0.5, start + 0.5),
                        start,
                        end - start,
                        fill=True,
                        lw=2,
                        alpha=0.25,
                        facecolor=COLOURS[0],
                        edgecolor=COLOURS[0],
                    )
                )
        axis.set(xlabel="input of step s", ylabel="read at step t", xlim=(0.3, L + 0.7), ylim=(L + 0.7, 0.3))
        names = [
            Patch(fill=False, edgecolor=COLOURS[1], lw=2.5, label="within a chunk:\nmasked form"),
            Patch(facecolor=COLOURS[0], alpha=0.35, label="before the chunk:\none state handed over"),
        ]
        axis.legend(
            handles=names,
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(1.05, 1),
            fontsize=9,
            title="darker: more is left\nof step s at step t",
            title_fontsize=9,
            alignment="left",
        )
    return figure


def half_life_lines(rates, dt, fresh=None):
    """Half-life ln 2 / (-A dt) in steps against the step size, both log scale, a line for every decay rate A.

    ``fresh``: pairs (lowest, highest) of step size; the band in which a fresh model starts.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6.5, 3)
        axis = figure.subplots()
        if fresh is not None:
            axis.axvspan(*fresh, color=COLOURS[7], alpha=0.2, label="step sizes of a fresh model")
        for rate, colour in zip(rates, COLOURS):
            axis.plot(dt, [math.log(2) / (-rate * size) for size in dt], color=colour, label=f"A = {rate:g}")
        axis.axhline(1, color="black", lw=1, ls=":")
        axis.set(xscale="log", yscale="log", xlabel="step size dt (no unit)", ylabel="half-life (steps)")
        axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def half_life_bars(half_lives, window=None):
    """Half-lives in steps, a bar per head from one step up or down, log scale; ``half_lives``: name -> [H].

    ``window``: how many steps there are, a line.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
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


def scaling_curves(table):
    """Seconds of every form by length, both log scale, medians with the range of the runs; ``experiments.ssd.scaling``.

    Dotted lines of slope 1 and 2 start at the longest length of the cheapest and the dearest form.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6.5, 3.6)
        axis = figure.subplots()
        for (name, rows), colour, marker in zip(table.groupby("form", sort=False), COLOURS, MARKERS):
            axis.plot(rows["length"], rows["seconds"], marker=marker, color=colour, label=name)
            axis.fill_between(rows["length"], rows["fastest"], rows["slowest"], color=colour, alpha=0.2, lw=0)
        last = table[table["length"] == table["length"].max()]["seconds"]
        lengths = np.array([table["length"].max() / 8, table["length"].max()])
        for slope, end, name in ((1, last.min(), "twice as long, 2 x"), (2, last.max(), "twice as long, 4 x")):
            axis.plot(
                lengths,
                end * (lengths / lengths[-1]) ** slope,
                color="black",
                lw=1,
                label=name,
                ls=":" if slope == 1 else "--",
            )
        axis.set_xscale("log", base=2)
        axis.set(yscale="log", xlabel="length (steps)", ylabel="seconds, median (shade: all runs)")
        axis.set_xticks(sorted(table["length"].unique()), [str(n) for n in sorted(table["length"].unique())])
        axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
