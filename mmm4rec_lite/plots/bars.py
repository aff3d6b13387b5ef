"""Figures of how much history is kept (Figure 2) and of ablations (Table 5)."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from mmm4rec_lite.plots.style import COLOURS, STYLE, empty_figure

MARKERS = "osD^vP*X"
WORDS = {"share (%)": "NDCG@10, % of that with the most kept", "gained (%)": "gain in NDCG@10 that is reached (%)"}


def length_curves(lengths, dropped):
    """How long histories are, what windows drop of them and how old that is, a colour per dataset.

    Frames of ``experiments.truncated``: ``history_lengths`` and ``thrown_away`` (bars on the right: quartiles).
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(11, 3.6)
        left, middle, right = figure.subplots(1, 3)
        names = list(dropped["dataset"].unique())
        for i, name in enumerate(names):
            look = dict(color=COLOURS[i], marker=MARKERS[i])
            own, kept = (table[table["dataset"] == name] for table in (lengths, dropped))
            left.plot(own["items"].clip(lower=1), own["histories (%)"], color=COLOURS[i])
            middle.plot(kept["kept"], kept["dropped (%)"], label=name, **look)
            low, age, high = (
                kept[f"older by, {which} (days)"] for which in ("lower quartile", "median", "upper quartile")
            )
            right.errorbar(
                kept["kept"] + 0.5 * (i - (len(names) - 1) / 2),
                age,
                yerr=[age - low, high - age],
                ls="",
                capsize=3,
                **look,
            )
        windows = sorted(dropped["kept"].unique())
        for window in windows:
            left.axvline(window, color="black", ls=":", lw=1)
        left.set(
            xscale="log",
            xlabel="n items (log scale; dotted: the windows)",
            ylim=(0, 102),
            ylabel="histories longer than n (%)",
        )
        left.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
        left.set_xlim(1, lengths["items"].max())
        middle.set(xlabel="latest items kept", ylabel="items dropped (% of all)", ylim=(0, 100), xticks=windows)
        right.set(
            yscale="log",
            xlabel="latest items kept",
            xticks=windows,
            ylabel="age of dropped items\n(before the oldest one kept)",
        )
        right.set_yticks([1 / 1440, 1 / 24, 1, 30, 365], ["1 minute", "1 hour", "1 day", "1 month", "1 year"])
        right.minorticks_off()
        figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def kept_curves(table, value, line="system", panel="dataset", error=None, mark=None, title=""):
    """Quality by the number of items kept, a line per ``line``, a panel per ``panel``; a frame with a column ``kept``.

    error: the column with half the length of the bars; mark: (value, label) of a line across.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        panels, lines = (list(table[column].unique()) for column in (panel, line))
        figure = empty_figure(2.4 + 3.2 * len(panels), 3.4)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, panels):
            for i, one in enumerate(lines):
                rows = table[(table[panel] == name) & (table[line] == one)].sort_values("kept")
                bars = rows[error] if error and rows[error].notna().any() else None
                axis.errorbar(
                    rows["kept"], rows[value], yerr=bars, marker=MARKERS[i], color=COLOURS[i], capsize=3, label=one
                )
            if mark:
                axis.axhline(mark[0], color="black", ls=":", lw=1.5, label=mark[1])
            axis.set(xlabel="latest items kept", xticks=sorted(table["kept"].unique()))
            axis.set_title(name, fontsize=10)
        axes[0].set_ylabel(WORDS.get(value, value))
        axes[-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
        figure.suptitle(title, fontsize=10)
    return figure


def weight_curves(table):
    """Share of the states' weight on the latest n items: a panel per place, a colour per model, thin lines for heads.

    A frame of ``experiments.truncated.weights_kept`` with a column ``model`` more. Dotted: all items alike.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        places, models = (list(table[column].unique()) for column in ("place", "model"))
        figure = empty_figure(2.2 + 3 * len(places), 3.2)
        axes = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
        for axis, place in zip(axes, places):
            for model, colour in zip(models, COLOURS):
                own = table[(table["place"] == place) & (table["model"] == model)]
                for head, rows in own.groupby("head", sort=False):
                    look = dict(lw=3, label=f"{model}, mean") if head == "mean" else dict(lw=0.8, alpha=0.6)
                    axis.plot(rows["kept"], rows["weight (%)"], color=colour, **look)
            window = table["kept"].max()
            axis.plot([0, window], [0, 100], color="black", ls=":", lw=1, label="all items alike")
            axis.set(xlabel="latest n items", xlim=(0, window), ylim=(0, 102))
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.set_title(f"layer 1, {place}", fontsize=10)
        axes[0].set_ylabel("weight in the state (%)")
        axes[-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    return figure


def ablation_bars(table, value="change (%)", error="error (%)", band=None, whole="MMM4Rec", title=""):
    """Changes against the whole model, a group of bars per variant; tables of ``experiments.ablations``, concatenated.

    Published sources are hatched, measured ones plain with two standard errors (column ``error``). band: half the width
    of a grey band around 0, and its label.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        rows = table[table["variant"] != whole]
        variants, sources = (list(rows[column].unique()) for column in ("variant", "source"))
        height = 0.84 / len(sources)
        figure = empty_figure(9.5, 1 + len(variants) * (0.22 + 0.16 * len(sources)))
        axis = figure.subplots()
        if band:
            axis.axvspan(-band[0], band[0], color="black", alpha=0.13, lw=0, label=band[1])
        for i, source in enumerate(sources):
            own = rows[rows["source"] == source].set_index("variant").reindex(variants)
            places = np.arange(len(variants)) + (i + 0.5) * height - 0.42
            printed = source.startswith("published")
            bars = 2 * own[error].to_numpy() if not printed and error in own else None
            axis.barh(
                places,
                own[value],
                height * 0.92,
                xerr=bars,
                ecolor="black",
                capsize=2,
                label=source,
                color=COLOURS[i],
                hatch="///" if printed else None,
                edgecolor="white",
                lw=0,
            )
        axis.axvline(0, color="black", lw=1)
        axis.set_yticks(range(len(variants)), variants)
        axis.set(ylim=(len(variants) - 0.5, -0.5), xlabel=f"{value} of NDCG@10 against the whole model", title=title)
        axis.title.set_fontsize(10)
        axis.grid(False, axis="y")
        axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    return figure
