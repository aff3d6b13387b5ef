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
        sns.stripplot(
            table.dropna(),
            x="users moved by other gaps",
            y="form",
            hue="when",
            palette=COLOURS[:2],
            size=9,
            jitter=False,
            dodge=True,
            log_scale=True,
            ax=axis,
        )
        axis.axvline(6e-8, color="black", ls=":", lw=1)
        axis.text(6e-8, -0.55, "float32 rounds here", ha="center", va="bottom", fontsize=8)
        axis.set(ylabel="", xlabel="movement of user vectors over their length (log scale)")
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False)
    return figure


def time_signals(table):
    """The gaps of one history and what the time signal D makes of them; a frame of ``audit.times.example_signals``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(9, 3)
        left, right = figure.subplots(1, 2)
        gaps = table.drop_duplicates("step")
        left.bar(gaps["step"], gaps["gap in days"], color=COLOURS[7])
        left.set(xlabel="step of the history", ylabel="gap before it (days)")
        sns.lineplot(
            table,
            x="step",
            y="D",
            hue="time signal",
            style="time signal",
            markers=True,
            dashes=False,
            palette=COLOURS[:3],
            ax=right,
        )
        right.set(xlabel="step of the history", ylabel="time signal D (no unit)")
        sns.move_legend(right, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False, fontsize=8)
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


def mask_difference(before, after, labels, names=("before", "after")):
    """Two decay masks [L,L] of one history and what the second has more (+) or less (-) than the first."""
    with plt.rc_context(STYLE):
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


def step_chain(table, heads):
    """Gap, time signal, step size and what is left at the end, step by step; a frame of ``analysis.step_table``.

    ``heads``: the heads to show (as in the column), at most five. Gaps and step sizes are on log scales, where a gap
    of 0 stands at 1 s.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(7.2, 5.2)
        axes = figure.subplots(4, sharex=True)
        gaps = table.drop_duplicates("step")
        axes[0].bar(gaps["step"][1:], gaps["gap"][1:].clip(lower=1), color=COLOURS[7])
        axes[0].set(yscale="log", ylabel="gap\nbefore it")
        axes[0].set_yticks([1, 60, 3600, 86400, 86400 * 30], ["1 s", "1 min", "1 h", "1 d", "30 d"])
        axes[0].minorticks_off()
        axes[1].plot(gaps["step"], gaps["D"], marker="o", color=COLOURS[7])
        axes[1].axhline(0, color="black", lw=1)
        axes[1].set(ylabel="D\n(no unit)")
        for head, colour, marker in zip(heads, COLOURS, "osD^v"):
            rows = table[table["head"] == head]
            for axis, column in ((axes[2], "dt"), (axes[3], "left")):
                axis.plot(rows["step"], rows[column], marker=marker, ms=5, color=colour, label=f"head {head}")
        axes[2].set(yscale="log", ylabel="step size\ndt")
        axes[3].set(ylabel="left at\nthe end", ylim=(-0.05, 1.05), xlabel="step of the history, oldest first")
        axes[3].xaxis.get_major_locator().set_params(integer=True)
        axes[2].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        figure.align_ylabels(axes)
    return figure


def gap_response(table, truth=None, title=""):
    """What one gap does, head by head: the step size of the item after it, and what is kept of all before it.

    ``table``: a frame of ``analysis.gap_response``, with a column "place" to have a line style per place.
    ``truth``: seconds -> what should be kept.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(8, 2.8)
        left, right = figure.subplots(1, 2)
        table = table.assign(head="head " + table["head"].astype(str))
        hue = {"hue": "head", "palette": COLOURS[: table["head"].nunique()]}
        if "place" in table:
            hue |= {"style": "place", "markers": True}
        for axis, column in ((left, "dt"), (right, "kept")):
            sns.lineplot(table, x="gap", y=column, ax=axis, legend=axis is right, **hue)
            axis.set(xscale="log", xlabel="length of the gap")
            axis.set_xticks([60, 3600, 86400, 86400 * 30, 86400 * 365], ["1 min", "1 h", "1 d", "30 d", "1 y"])
            axis.minorticks_off()
        left.set(yscale="log", ylabel="step size dt of the item after it")
        right.set(ylabel="kept of what was held (0 to 1)", ylim=(-0.05, 1.05))
        if truth is not None:
            gaps = np.geomspace(table["gap"].min(), table["gap"].max(), 200)
            right.plot(gaps, [truth(gap) for gap in gaps], color="black", ls=":", label="the truth")
        right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        figure.suptitle(title, fontsize=10)
    return figure


def influence_bars(table, marked=None):
    """How far the user's vector moves when one item is another; frame: item (1..L), influence, se, history (hue).

    ``marked``: the item before which the gap differs.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6.8, 2.6)
        axis = figure.subplots()
        kinds = table["history"].unique()
        width = 0.8 / len(kinds)
        for i, kind in enumerate(kinds):
            rows = table[table["history"] == kind]
            axis.bar(
                rows["item"] + (i + 0.5) * width - 0.4,
                rows["influence"],
                width,
                yerr=2 * rows["se"],
                color=COLOURS[i],
                label=kind,
                error_kw={"elinewidth": 1},
            )
        if marked is not None:
            axis.axvline(marked - 0.5, color="black", ls="--", lw=1, label="the gap in question")
        axis.set(xlabel="item of the history, oldest first", ylabel="movement of the user\n(relative; bars: 2 s.e.)")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
