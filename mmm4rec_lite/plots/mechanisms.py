"""Figures of what goes on inside: time signals, decay masks, weights of past items."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from mmm4rec_lite.plots.style import COLOURS, STYLE, empty_figure, span


def movement(table):
    """How far other time stamps move a user, fresh and trained, log scale; the table of ``dead-branch``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(7, 2.6)
        axis = figure.subplots()
        sns.stripplot(table.dropna(), x="users moved by other gaps", y="form", hue="when", palette=COLOURS[:2], size=9,
                      jitter=False, dodge=True, log_scale=True, ax=axis)
        axis.axvline(6e-8, color="black", ls=":", lw=1)
        axis.text(6e-8, -0.55, "float32 rounds here", ha="center", va="bottom", fontsize=8)
        axis.set(ylabel="", xlabel="movement of user vectors over their length (log scale)")
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False)
    return figure


def time_signals(table):
    """The gaps of one history and what the time signal D makes of them; a frame of ``audit.times.example_signals``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(8, 2.8)
        left, right = figure.subplots(1, 2)
        gaps = table.drop_duplicates("step")
        left.bar(gaps["step"], gaps["gap in days"], color=COLOURS[7])
        left.set(xlabel="step of the history", ylabel="gap before it (days)")
        sns.lineplot(table, x="step", y="D", hue="time signal", style="time signal", markers=True, dashes=False,
                     palette=COLOURS[:3], ax=right)
        right.set(xlabel="step of the history", ylabel="time signal D (no unit)")
        sns.move_legend(right, "upper center", bbox_to_anchor=(0.5, -0.22), title="", frameon=False, fontsize=8)
    return figure


def mask_map(mask, labels, title):
    """A decay mask [L,L] of one head: how much of each past item (column) is left at each step (row)."""
    with plt.rc_context(STYLE):
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


def weight_bars(weights, labels, gaps):
    """What the last step still has of each past item, one bar per item; ``weights``: name -> [L] (0 to 1)."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
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
