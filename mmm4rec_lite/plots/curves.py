"""Figures of training: curves by epoch and by seconds, how long they take, what pre-training and fine-tuning do."""

import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.ticker import LogLocator

from mmm4rec_lite.plots.style import COLOURS, STYLE, captioned, empty_figure

TIMES = {"epoch": "epoch", "seconds": "seconds of training", "seconds in all": "seconds, pre-training counted"}


def convergence_curves(curves, by=("epoch", "seconds"), metric="ndcg@10", log=False, title=""):
    """Validation metric by epoch and by seconds, a panel per data; a frame of ``experiments.convergence``.

    Lines: means over seeds, as far as all seeds got; bands: from the lowest seed to the highest. Rings: the best epoch
    (its mean over seeds). Published and measured numbers never share a panel, for they share no scale.
    """
    panels = list(curves["panel"].unique())
    names = list(curves["curve"].unique())
    one = len(panels) == 1
    rows, columns = (1, len(by)) if one else (len(by), len(panels))
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(max(min(3.2 * columns, 10), 5), 0.8 + 2.0 * rows + (0.3 if title else 0))
        axes = figure.subplots(rows, columns, squeeze=False, sharey="row" if one else "col")
        for i, panel in enumerate(panels):
            own = curves[curves["panel"] == panel]
            for j, time in enumerate(by):
                axis = axes[(0, j) if one else (j, i)]
                for name, runs in own.groupby("curve", sort=False):
                    _line(axis, runs, time, metric, names.index(name), name)
                axis.set(xlabel=TIMES[time], ylabel=f"validation {metric}" if i + j * one == 0 else "")
                if log:
                    _log(axis)
                elif time == "epoch":
                    axis.xaxis.get_major_locator().set_params(integer=True)
                if one or not j:
                    axis.set_title("" if one and j else f"{panel}\n({own['numbers'].iloc[0]})", fontsize=9, loc="left")
        handles = {label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels())}
        ring = plt.Line2D([], [], marker="o", ms=9, mfc="none", color="black", ls="")
        figure.legend(
            [*handles.values(), ring],
            [*handles, "best epoch"],
            frameon=False,
            fontsize=8,
            loc="outside lower center",
            ncols=min(len(handles) + 1, 6),
        )
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _line(axis, runs, time, metric, place, name):
    """One curve: its seeds' mean and band, up to the epoch that all of them reached."""
    best = runs.loc[runs["best"].astype(bool), "epoch"].mean()
    runs = runs[runs["epoch"] <= runs.groupby("seed")["epoch"].max().min()]
    by = runs.groupby("epoch")
    x, values = by[time].mean(), by[metric]
    colour = COLOURS[place % len(COLOURS)]
    marker = "os^Dv<>"[place % 7] if len(x) <= 30 else None
    axis.plot(x, values.mean(), color=colour, marker=marker, ms=3.5, lw=1.4, label=name)
    if runs["seed"].nunique() > 1:
        axis.fill_between(x, values.min(), values.max(), color=colour, alpha=0.2, lw=0)
    if not math.isnan(best):
        axis.plot(
            np.interp(best, x.index, x),
            np.interp(best, x.index, values.mean()),
            marker="o",
            ms=9,
            mfc="none",
            color="black",
            ls="",
        )


def _log(axis):
    """A logarithmic axis of plain numbers."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()


def reach_lines(table, title=""):
    """When each curve has a share of the best, in epochs and in seconds; a frame of ``convergence.reached``.

    Markers: means over seeds, one per share; hollow: a run was cut before its patience ran out.
    """
    table = table.assign(name=table["curve"] + ", " + table["panel"].str.replace("\n", ", "))
    names, shares = list(table["name"].unique()), sorted(table["share"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(9, 1.0 + 0.24 * len(names) + (0.3 if title else 0))
        axes = figure.subplots(1, 2, sharey=True)
        for axis, what in zip(axes, ("epochs", "seconds")):
            for y, name in enumerate(names):
                rows = table[table["name"] == name]
                means = rows.groupby("share")[what].mean()
                axis.plot([means.min(), means.max()], [y, y], color="#bbbbbb", lw=2, zorder=1)
                for i, share in enumerate(shares):
                    axis.plot(
                        means[share],
                        y,
                        "os^Dv"[i % 5],
                        color=COLOURS[i],
                        ms=6 + 1.5 * i,
                        mew=1.4,
                        mfc="none" if rows["cut"].any() else COLOURS[i],
                        zorder=4 - i,
                        label=f"{share:.0%}" if not y else None,
                    )
            axis.set(xlabel=f"{what} to the share")
            if table[what].max() > 10 * table[what].min() > 0:
                _log(axis)
        axes[0].set_yticks(range(len(names)), names, fontsize=8)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        axes[1].legend(frameon=False, title="share of the best", bbox_to_anchor=(1, 1), loc="upper left", fontsize=8)
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def candidate_losses(table, title=""):
    """Loss by number of candidates; a frame of ``experiments.transfer.candidate_losses``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6.5, 3)
        axis = figure.subplots()
        inside = table[table["loss"] != "whole catalogue"]
        for i, (name, rows) in enumerate(inside.groupby("model", sort=False)):
            axis.plot(rows["candidates"], rows["nats"], marker="os^"[i], color=COLOURS[i], label=f"{name}, in-batch")
            whole = table[(table["loss"] == "whole catalogue") & (table["model"] == name)]
            axis.plot(
                whole["candidates"],
                whole["nats"],
                marker="*",
                ms=14,
                color=COLOURS[i],
                ls="",
                label=f"{name}, whole catalogue",
            )
        sizes = table["candidates"].drop_duplicates().sort_values()
        axis.plot(sizes, np.log(sizes), color="black", ls=":", label="knows nothing: ln(candidates)")
        axis.set(xscale="log", xlabel="candidates, the right one among them", ylabel="cross-entropy (nats)")
        axis.set_xticks(sizes, [f"{size}" for size in sizes])
        axis.minorticks_off()
        axis.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    return captioned(figure, title)


def negative_counts(table):
    """How often each item is a negative under both losses, by its popularity; ``experiments.transfer.negatives``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6.5, 2.8)
        axis = figure.subplots()
        for i, name in enumerate(("in-batch (eq. 21)", "whole catalogue (eq. 22)")):
            axis.plot(table["popularity"], table[name], "os"[i], ms=3, alpha=0.6, color=COLOURS[i], label=name)
        axis.set(
            xscale="log",
            xlabel="how often the item is a training target",
            ylabel="how often a negative,\nin 1,000 rows",
        )
        axis.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left", markerscale=2)
    return figure


def popularity_pull(table, title=""):
    """Mean place of items in the rankings by their popularity, a panel per model; ``transfer.popularity_pull``."""
    names = list(table["model"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(0.8 + 2.6 * len(names), 2.7)
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axis, (name, rows) in zip(axes, table.groupby("model", sort=False)):
            axis.plot(rows["popularity"], rows["place"], "o", ms=3, alpha=0.7, color=COLOURS[0])
            rho = rows["popularity"].rank().corr(-rows["place"].rank())
            axis.set(xscale="log", xlabel="ratings in the training part")
            axis.set_title(f"{name}\nrank correlation {rho:+.2f}", fontsize=9, loc="left")
        axes[0].invert_yaxis()
        axes[0].set_ylabel("mean place in the ranking\n(% of the catalogue, 0: top)")
    return captioned(figure, title)


def travel_bars(table, title=""):
    """How far each part moved, and what is left when it is put back; a frame of ``experiments.transfer.travelled``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(9.5, 1.0 + 0.3 * len(table) + (0.3 if title else 0))
        left, right = figure.subplots(1, 2, sharey=True)
        places = range(len(table))
        left.barh(places, table["distance"].fillna(0), color=COLOURS[0])
        for place, (distance, length) in enumerate(zip(table["distance"], table["length"])):
            text = f" began at 0, now of length {length:.2g}" if math.isnan(distance) else f" {distance:.2f}"
            left.text(0 if math.isnan(distance) else distance, place, text, va="center", fontsize=8)
        left.set(xlabel="distance moved over length before (no unit)")
        left.set_xlim(0, max(table["distance"].max() * 1.15, 1e-9))
        whole = table.attrs["whole"]
        right.hlines(places, table["put back"], whole, color="#bbbbbb", lw=2)
        right.plot(table["put back"], places, "o", color=COLOURS[1], label="this part as before")
        right.axvline(whole, color="black", ls=":", lw=1, label="nothing put back")
        right.set(xlabel="test NDCG@10")
        right.xaxis.get_major_locator().set_params(nbins=5)
        right.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
        left.set_yticks(places, table["part"], fontsize=8)
        left.invert_yaxis()
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure
