"""Figures of chapter 1: gaps, popularity, and what the neighbours by an encoder's features have in common."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mmm4rec_lite.viz.style import COLOURS, empty_figure, legend_beside, panel, styled

_UNITS = ((1, "s"), (60, "min"), (3600, "h"), (86400, "d"), (30 * 86400, "month"), (365 * 86400, "y"))


@styled
def plot_gap_histogram(table: pd.DataFrame) -> Figure:
    """How long gaps are, one panel per dataset, zeros apart on the left; a frame of ``statistics.gap_histogram``."""
    names = list(table["dataset"].unique())
    figure = empty_figure(8, 0.6 + 1.6 * len(names))
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, names):
        rows = table[table["dataset"] == name]
        zero, rest = rows[rows["to_s"] == 0], rows[rows["to_s"] > 0]
        bar = axis.bar([0.15], 100 * zero["share"], width=[0.15], align="edge", color=COLOURS[1])
        axis.bar_label(bar, fmt="%.0f %%", fontsize=8, padding=1)
        widths = rest["to_s"] - rest["from_s"]
        axis.bar(rest["from_s"], 100 * rest["share"], widths, align="edge", color=COLOURS[0])
        axis.axvline(0.55, color="black", ls=":", lw=1)
        axis.set(xscale="log", ylabel="share of gaps (%)", ylim=(0, 115 * rows["share"].max()))
        axis.set_title(name, fontsize=10, loc="left")
        axis.grid(False, axis="x")
    ticks = {0.21: "0"} | {size: f"1 {unit}" for size, unit in _UNITS if size <= table["to_s"].max()}
    axes[-1].set_xticks(list(ticks), list(ticks.values()))
    axes[-1].minorticks_off()
    axes[-1].set_xlabel("gap between two neighbouring interactions of a user (log scale; zero apart)")
    return figure


@styled
def plot_popularity_curve(table: pd.DataFrame) -> Figure:
    """Share of interactions on the most popular items, a line per dataset; a frame of ``statistics.popularity``."""
    figure, axis = panel(6, 3.4)
    x, y, lines = 100 * table["item_share"], 100 * table["interaction_share"], dict(hue="dataset", style="dataset")
    sns.lineplot(table, x=x, y=y, **lines, palette="colorblind", estimator=None, ax=axis)
    axis.plot([0, 100], [0, 100], color="black", ls=":", lw=1, label="all items alike")
    axis.set(xlabel="items, most popular first (% of all items)", ylabel="their interactions (% of all)")
    axis.set(xlim=(0, 100), ylim=(0, 102))
    legend_beside(axis, fontsize=10)
    return figure


@styled
def plot_match_bars(table: pd.DataFrame) -> Figure:
    """How many neighbours have the item's own shape, colour... and what chance gives; ``statistics.matches``."""
    figure, axis = panel(7.5, 3)
    modalities, attributes = (list(table[column].unique()) for column in ("modality", "attribute"))
    width, groups = 0.8 / len(modalities), np.arange(len(attributes))
    for i, modality in enumerate(modalities):
        rows = table[table["modality"] == modality].set_index("attribute").loc[attributes]
        look = dict(color=COLOURS[i], label=f"by {modality}", yerr=200 * rows["standard_error"], ecolor="#555555")
        bars = axis.bar(groups + i * width, 100 * rows["match_share"], width * 0.95, align="edge", **look)
        axis.bar_label(bars, fmt="%.0f", fontsize=8, padding=1)
    chance = 100 * table.drop_duplicates("attribute")["chance_share"]
    axis.hlines(chance, groups - 0.05, groups + 0.85, color="black", lw=2, label="by chance")
    axis.set_xticks(groups + 0.4, [f"same {name}" for name in attributes])
    axis.set(ylabel="share of neighbours (%)\n(thin bars: 2 s.e.)", ylim=(0, 100))
    axis.grid(False, axis="x")
    legend_beside(axis, fontsize=10)
    return figure
