"""Figures of the field: systems by accuracy, and by what accuracy costs."""

import matplotlib.pyplot as plt
import seaborn as sns
from adjustText import adjust_text

from mmm4rec_lite.plots.style import COLOURS, STYLE, empty_figure

READS = {  # what a system knows items by -> (colour, marker), the same in every figure
    "ids": (COLOURS[0], "o"),
    "texts": (COLOURS[1], "s"),
    "ids + texts": (COLOURS[2], "D"),
    "texts + pictures": (COLOURS[3], "^"),
    "ids + texts + pictures": (COLOURS[4], "P"),
}
FLOORS = {"popularity": ":", "Markov chain": "--"}


def system_standings(table, title=""):
    """Systems by test NDCG@10, a panel per data set, best on top; a frame of ``experiments.standings.standings``.

    A mark is the mean over seeds, a bar goes from the lowest to the highest seed (no bar with one seed). Lines: what
    counting reaches.
    """
    names = list(table["dataset"].unique())
    most = table[table["reads"] != "counts"].groupby("dataset").size().max()
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(3.6 * len(names) + 1.2, 1.5 + 0.26 * most)
        axes = figure.subplots(1, len(names), squeeze=False)[0]
        for axis, name in zip(axes, names):
            rows = table[table["dataset"] == name]
            own = rows[rows["reads"] != "counts"].reset_index(drop=True)
            for kind, (colour, marker) in READS.items():
                part = own[own["reads"] == kind]
                ends = [part["ndcg@10"] - part["least"], part["most"] - part["ndcg@10"]]
                axis.errorbar(
                    part["ndcg@10"],
                    part.index,
                    xerr=ends if (own["seeds"] > 1).any() else None,
                    fmt=marker,
                    color=colour,
                    ms=6,
                    lw=1.5,
                )
            for label, style in FLOORS.items():
                for value in rows.loc[rows["label"] == label, "ndcg@10"]:
                    axis.axvline(value, color="black", ls=style, lw=1)
            low, high = rows[["ndcg@10", "least"]].min().min(), rows[["ndcg@10", "most"]].max().max()
            axis.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))  # lines at the rim, too
            axis.set_yticks(range(len(own)), own["label"], fontsize=8)
            axis.set(ylim=(len(own) - 0.5, -0.5), xlabel="test NDCG@10")
            axis.set_title(f"{name}, {_seeds(own)}", fontsize=10, loc="left")
        _legend(figure, table["reads"], floors=True)
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def accuracy_cost(table, title=""):
    """Test NDCG@10 against seconds of training (log scale), a panel per data set; a frame of
    ``experiments.standings.cost``. The line: nobody left of it is better."""
    names = list(table["dataset"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(3.8 * len(names) + 1.2, 4.6)
        axes = figure.subplots(1, len(names), squeeze=False)[0]
        for axis, name in zip(axes, names):
            rows = table[table["dataset"] == name].sort_values("seconds")
            front = rows[rows["ndcg@10"] >= rows["ndcg@10"].cummax()]
            axis.step(front["seconds"], front["ndcg@10"], where="post", color="#999999", lw=1, zorder=1)
            for kind, (colour, marker) in READS.items():
                part = rows[rows["reads"] == kind]
                axis.scatter(part["seconds"], part["ndcg@10"], color=[colour], marker=marker, s=36, zorder=2)
            axis.set(xscale="log", xlabel="seconds of training and validation", ylabel="test NDCG@10")
            ticks = [
                t
                for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
                if rows["seconds"].min() / 2 < t < 2 * rows["seconds"].max()
            ]
            axis.set_xticks(ticks, [str(t) for t in ticks])
            axis.minorticks_off()
            axis.margins(x=0.35)
            axis.set_title(name, fontsize=10, loc="left")
        _legend(figure, table["reads"])
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
        figure.draw_without_rendering()  # names go where nothing else is
        for axis, name in zip(axes, names):
            rows = table[table["dataset"] == name]
            x, y = rows["seconds"].tolist(), rows["ndcg@10"].tolist()
            texts = [axis.text(*place, label, fontsize=6.5) for *place, label in zip(x, y, rows["label"])]
            adjust_text(
                texts, x, y, ax=axis, expand=(1.25, 1.9), arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.5}
            )
    return figure


def order_agreement(table, title=""):
    """Rank correlations, a mark per pair, by what is compared; a frame of ``experiments.standings.agreement``.

    Grey: one standard deviation of what unrelated orders of as many systems give.
    """
    table = table.reset_index(drop=True)
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(8, 1.2 + 0.28 * len(table))
        axis = figure.subplots()
        axis.barh(
            table.index,
            2 * table["by chance"],
            left=-table["by chance"],
            color="#cccccc",
            height=0.7,
            label="unrelated orders, one standard deviation",
        )
        for (kind, rows), colour in zip(table.groupby("between", sort=False), COLOURS):
            axis.plot(rows["correlation"], rows.index, "o", color=colour, label=f"between {kind}")
        names = [f"{row.one} and {row.other} ({row.systems} systems)" for row in table.itertuples()]
        axis.set_yticks(table.index, names, fontsize=8)
        axis.axvline(0, color="black", lw=1)
        axis.set(xlim=(-1.05, 1.05), ylim=(len(table) - 0.5, -0.5), xlabel="Spearman's rank correlation of NDCG@10")
        axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        axis.set_title(title, fontsize=10, loc="left")
    return figure


def _seeds(rows):
    least, most = rows["seeds"].min(), rows["seeds"].max()
    return ("one seed" if most == 1 else f"{most} seeds") if least == most else f"{least} to {most} seeds"


def _legend(figure, kinds, floors=False):
    marks = [
        plt.Line2D([], [], color=colour, marker=marker, ls="", label=f"reads {kind}")
        for kind, (colour, marker) in READS.items()
        if kind in set(kinds)
    ]
    lines = [plt.Line2D([], [], color="black", ls=style, lw=1, label=name) for name, style in FLOORS.items()]
    figure.legend(handles=marks + lines * floors, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
