"""Figures of open questions: missing pictures, gaps that tell, a third modality, memory."""

import matplotlib.pyplot as plt
import seaborn as sns

from mmm4rec_lite.plots.style import COLOURS, STYLE, empty_figure, span

MARKERS = "osD^Pv"


def missing_curves(table, title=""):
    """NDCG@10 and the share of it that is kept, by how many items lost their picture; ``questions.missing``.

    A line per system, the mean over seeds; the band goes from the lowest to the highest seed (none with one seed).
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(8.6, 3.4)
        axes = figure.subplots(1, 2)
        for axis, column, factor in zip(axes, ("ndcg@10", "kept"), (1, 100)):
            for (label, rows), colour, marker in zip(table.groupby("label", sort=True), COLOURS, MARKERS):
                by = factor * rows.groupby("missing")[column].agg(["mean", "min", "max"])
                axis.plot(100 * by.index, by["mean"], marker=marker, color=colour, label=label)
                axis.fill_between(100 * by.index, by["min"], by["max"], color=colour, alpha=0.15, lw=0)
            axis.set(xlabel="items that lost their picture (%)", xticks=[0, 25, 50, 75, 100])
        axes[0].set(ylabel="test NDCG@10", ylim=(0, None))
        axes[1].set(ylabel="kept of its own NDCG@10 (%)")
        axes[1].axhline(100, color="black", lw=1)
        axes[1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def lost_curves(table, title=""):
    """Expected NDCG@10 of one model by the share of pictures lost, a line per place; ``questions.lost_where``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(7, 3)
        axis = figure.subplots()
        for (given, rows), colour, marker in zip(table.groupby("given", sort=False), COLOURS, MARKERS):
            plain = rows["ndcg@10"].nunique() == 1
            axis.plot(
                100 * rows["missing"],
                rows["ndcg@10"],
                color="black" if plain else colour,
                label=given,
                ls="--" if plain else "-",
                marker=None if plain else marker,
            )
        axis.set(xlabel="items that lost their picture (%)", ylabel="expected NDCG@10", xticks=[0, 25, 50, 75, 100])
        axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
        axis.set_title(title, fontsize=10, loc="left")
    return figure


def gap_dependence(table, title=""):
    """How often a Markov chain finds the next item, by the gap before it; ``questions.gap_tells``.

    A panel per data set, its targets in parts of equal size by gap, the median gap below; bars of two standard errors.
    """
    names = list(table["data"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(2.7 * len(names) + 0.6, 2.9)
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axis, name, colour in zip(axes, names, COLOURS):
            rows = table[table["data"] == name]
            axis.errorbar(rows["part"], rows["found"], yerr=2 * rows["se"], fmt="o-", color=colour, capsize=3)
            axis.set_xticks(rows["part"], [span(gap) for gap in rows["gap"]], fontsize=8)
            axis.set(xlim=(0.5, rows["part"].max() + 0.5))
            axis.set_title(name, fontsize=9, loc="left")
        axes[0].set(ylabel="Recall@10 of a Markov chain", ylim=(0, 1.15 * table["found"].max()))
        figure.supxlabel("gap before the item to find: median of each quarter of the targets", fontsize=9)
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def third_modality(table, title=""):
    """Expected NDCG@10 by where a third vector goes; a frame of ``experiments.store.pooled``.

    Lines across: bounds, named "best ..."; a bar is two standard errors of the difference to the form compared with,
    the larger of the users' and the seeds'.
    """
    bounds = table["system"].str.startswith("best")
    forms = table[~bounds].reset_index(drop=True)
    error = 2 * forms[["se", "seed se"]].max(axis=1)
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(8, 1.1 + 0.36 * len(forms))
        axis = figure.subplots()
        axis.errorbar(forms["expected ndcg@10"], forms.index, xerr=error, fmt="o", color=COLOURS[0], capsize=3)
        for row, style in zip(table[bounds].to_dict(orient="records"), (":", "--", "-.")):
            axis.axvline(row["expected ndcg@10"], color="black", ls=style, lw=1, label=row["system"])
        axis.set_yticks(forms.index, forms["system"])
        axis.set(ylim=(len(forms) - 0.5, -0.5), xlabel="expected NDCG@10 (bars: 2 s.e., over users or stores)")
        axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
        axis.set_title(title, fontsize=10, loc="left")
    return figure


def half_life_change(table, window=None, title=""):
    """Half-lives of heads at the start (hollow) and trained (filled), median over users; ``half_life_table``.

    A panel per data set, a row per scan and head, log scale; the thin line spans the users' quartiles when trained.
    ``window``: how many steps there are, a line; a number, or data -> number.
    """
    names = list(table["data"].unique())
    rows = {name: table[table["data"] == name].set_index(["place", "head", "when"]) for name in names}
    most = max(len(own) for own in rows.values()) // 2
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(3.4 * len(names) + 0.6, 1.3 + 0.21 * most)
        axes = figure.subplots(1, len(names), squeeze=False)[0]
        for axis, name in zip(axes, names):
            heads = list(dict.fromkeys((place, head) for place, head, _ in rows[name].index))
            for y, (place, head) in enumerate(heads):
                start, end = (rows[name].loc[(place, head, when)] for when in ("start", "trained"))
                colour = COLOURS[0] if end["median"] < start["median"] else COLOURS[1]
                axis.plot([end["low"], end["high"]], [y, y], color=colour, lw=1, alpha=0.6)
                axis.plot(start["median"], y, "o", mfc="white", color=colour)
                axis.plot(end["median"], y, "o", color=colour)
            axis.set_yticks(range(len(heads)), [f"{place.split(', ')[1]} {head}" for place, head in heads], fontsize=8)
            length = window.get(name) if isinstance(window, dict) else window
            if length:
                axis.axvline(length, color="black", lw=1, ls="--")
            axis.set(xscale="log", ylim=(len(heads) - 0.5, -0.5), xlabel="half-life (steps)")
            axis.set_title(name, fontsize=9, loc="left")
        marks = [
            plt.Line2D([], [], color="#555555", marker="o", ls="", mfc="white", label="start"),
            plt.Line2D([], [], color=COLOURS[0], marker="o", label="trained, shorter (line: quartiles of users)"),
            plt.Line2D([], [], color=COLOURS[1], marker="o", label="trained, longer"),
        ]
        dashed = [plt.Line2D([], [], color="black", ls="--", lw=1, label="the window")] if window else []
        figure.legend(handles=marks + dashed, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def history_worth(table, title=""):
    """Expected NDCG@10 by how many of the latest items are told, the best and a trained model; ``memory_curves``."""
    names = list(table["world"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(2.3 * len(names) + 0.6, 3)
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, names):
            for who, colour, style in (("best", "black", "--"), ("trained", COLOURS[0], "-")):
                rows = table[(table["world"] == name) & (table["who"] == who)]
                axis.plot(
                    rows["kept"],
                    rows["ndcg@10"],
                    ls=style,
                    color=colour,
                    marker="o",
                    ms=4,
                    label="the best there is" if who == "best" else "trained model",
                )
            axis.set(xlabel="latest items told", xticks=[1, 5, 8, 12])
            axis.set_title(name.replace(", ", ",\n"), fontsize=9, loc="left")
        axes[0].set(ylabel="expected NDCG@10")
        axes[-1].legend(frameon=False, fontsize=8, loc="lower right")
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure
