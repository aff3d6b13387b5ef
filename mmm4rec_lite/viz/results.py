"""Figures and tables of results: curves of training, systems compared, paired differences, ablations."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from mmm4rec_lite.significance import STANDARD_ERRORS, holm, significant
from mmm4rec_lite.viz import style
from mmm4rec_lite.viz.items import Names
from mmm4rec_lite.viz.style import COLOURS, captioned, empty_figure, legend_beside, panel, panel_row, styled

Band = tuple[float, str]  # half its width around 0, and its label
CELL = {"white-space": "pre-line", "text-align": "left", "vertical-align": "top"}  # of a table of text
RING: dict[str, Any] = dict(marker="o", mfc="none", color="black", ls="")  # around the epoch that was kept
TIMES = dict(epoch="epoch", seconds="seconds of training", seconds_with_pretraining="seconds, pre-training counted")


@styled
def ablation_bars(
    table: pd.DataFrame, value: str = "change", band: Band | None = None, whole: str = "MMM4Rec", title: str = ""
) -> Figure:
    """Changes against the whole model, a group of bars per variant.

    Parameters
    ----------
    table : numbers ("published", hatched, or "measured", plain with two standard errors), data, variant, ``value``:
        "change" (a share, drawn in %, with change_error) or "difference" (with standard_error)
    band : half the width of a grey band around 0, and its label
    whole : the variant that is the whole model

    Examples
    --------
    >>> row = dict(numbers="measured", data="toy", variant="w/o Time", change=-0.02, change_error=0.01)
    >>> figure = ablation_bars(pd.DataFrame([row]))
    """
    scale, error, unit = (100, "change_error", " (%)") if value == "change" else (1, "standard_error", "")
    rows = table[table["variant"] != whole]
    variants, sources = list(rows["variant"].unique()), rows.groupby(["numbers", "data"], sort=False)
    places, height = np.arange(len(variants)), 0.84 / len(sources)
    figure, axis = panel(9.5, 1 + len(variants) * (0.22 + 0.16 * len(sources)))
    if band:
        axis.axvspan(-band[0], band[0], color="black", alpha=0.13, lw=0, label=band[1])
    for i, ((numbers, data), own) in enumerate(sources):
        own = own.set_index("variant").reindex(variants)
        look: dict[str, Any] = dict(color=COLOURS[i], edgecolor="white", lw=0, label=f"{numbers}: {data}")
        look |= dict(hatch="///") if numbers == "published" else {}
        look |= dict(xerr=STANDARD_ERRORS * scale * own[error], capsize=2) if numbers == "measured" else {}
        axis.barh(places + (i + 0.5) * height - 0.42, scale * own[value], height * 0.92, ecolor="black", **look)
    axis.axvline(0, color="black", lw=1)
    axis.set_yticks(places, variants)
    axis.set(ylim=(len(variants) - 0.5, -0.5), xlabel=f"{value}{unit} of NDCG@10 against the whole model")
    axis.set_title(title, fontsize=10)
    axis.grid(False, axis="y")
    legend_beside(axis, fontsize=9)
    return figure


@styled
def convergence_curves(
    curves: pd.DataFrame, by: Names = ("epoch", "seconds"), metric: str = "ndcg@10", log: bool = False, title: str = ""
) -> Figure:
    """Validation metric by epoch and by seconds, a panel per data.

    Lines: means over seeds, as far as all seeds got; bands: from the lowest seed to the highest. Rings: the best epoch
    (its mean over seeds). Published and measured numbers never share a panel, for they share no scale.

    Parameters
    ----------
    curves : a row per epoch of a run: panel, numbers ("published", ...), curve, seed, epoch, best, the columns of
        ``by`` (they are in `TIMES`), the metric
    log : whether time stands on a logarithmic axis

    Examples
    --------
    >>> run = dict(panel="toy", numbers="measured", curve="MMM4Rec", seed=0, epoch=[1, 2], best=[False, True])
    >>> figure = convergence_curves(pd.DataFrame({**run, "seconds": [9, 18], "ndcg@10": [0.1, 0.2]}))
    """
    panels, names = curves.groupby("panel", sort=False), list(curves["curve"].unique())
    one = len(panels) == 1
    rows, columns = (1, len(by)) if one else (len(by), len(panels))
    figure = empty_figure(max(min(3.2 * columns, 10), 5), 0.8 + 2.0 * rows + (0.3 if title else 0))
    axes = figure.subplots(rows, columns, squeeze=False, sharey="row" if one else "col")
    for axis in axes[:, 0]:
        axis.set_ylabel(f"validation {metric}")
    for column, (panel_name, own) in zip(axes.reshape(len(by), -1).T, panels):
        column[0].set_title(f"{panel_name}\n({own['numbers'].iloc[0]})", fontsize=9, loc="left")
        for axis, time in zip(column, by):
            for name, runs in own.groupby("curve", sort=False):
                _line(axis, runs, time, metric, names.index(name), name)
            axis.set_xlabel(TIMES[time])
            if log:
                style.log_axis(axis)
            elif time == "epoch":
                axis.locator_params("x", integer=True)
    handles = {label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels())}
    handles["best epoch"] = plt.Line2D([], [], ms=9, **RING)
    beside = min(len(handles), int(figure.get_figwidth() / 1.6))
    figure.legend(handles.values(), handles, loc="outside lower center", fontsize=8, ncols=beside)
    return captioned(figure, title, 10)


def _line(axis, runs, time, metric, place, name):
    """One curve: its seeds' mean and band, up to the epoch that all of them reached."""
    best = runs.loc[runs["best"].astype(bool), "epoch"].mean()
    by = runs[runs["epoch"] <= runs.groupby("seed")["epoch"].max().min()].groupby("epoch")
    x, y, values = by[time].mean(), by[metric].mean(), by[metric]
    colour, marker = COLOURS[place % len(COLOURS)], style.MARKERS[place % len(style.MARKERS)]
    axis.plot(x, y, color=colour, marker=marker if len(x) <= 30 else None, ms=3.5, lw=1.4, label=name)
    if runs["seed"].nunique() > 1:
        axis.fill_between(x, values.min(), values.max(), color=colour, alpha=0.2, lw=0)
    axis.plot(np.interp(best, x.index, x), np.interp(best, x.index, y), ms=9, **RING)  # nowhere if none was best


@styled
def history_curves(history: pd.DataFrame, metric: str = "ndcg@10", title: str = "") -> Figure:
    """Training loss and a validation metric by epoch; a history of ``training.fit``, the kept epoch marked."""
    columns = history.columns.intersection(["loss", metric], sort=False)
    figure, axes = panel_row(len(columns), 4 * len(columns), 2.8, sharey=False)
    best = history[history["best"]]
    for axis, column, colour in zip(axes, columns, COLOURS):
        axis.plot(history["epoch"], history[column], marker="o", color=colour)
        axis.plot(best["epoch"], best[column], ms=11, label="kept", **RING)
        axis.set(xlabel="epoch", ylabel="training loss (nats)" if column == "loss" else f"validation {column}")
        axis.locator_params("x", integer=True)
    axes[-1].legend()
    return captioned(figure, title)


@styled
def metric_bars(table: pd.DataFrame, metric: str = "ndcg@10", title: str = "") -> Figure:
    """Systems compared: a frame of ``evaluation.compare``; one bar per system and treatment of the history."""
    figure, axis = panel(6, 2.8)
    table = table.assign(history=table["filter_seen"].map({False: "history kept", True: "history filtered"}))
    sns.barplot(table, x=metric, y="system", hue="history", palette="colorblind", saturation=1, ax=axis)
    for bars in axis.containers:
        axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)  # type: ignore[arg-type]
    axis.set(ylabel="", xlabel=f"test {metric}", xlim=(0, table[metric].max() * 1.18))
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="")
    return captioned(figure, title)


@styled
def differences(
    table: pd.DataFrame, label: str = "form", reference: str = "no difference", title: str = "", strict: bool = False
) -> Figure:
    """Paired differences in NDCG@10 (``significance.paired``), rows named by ``label``, grey where not significant;
    ``strict``: where not so among all rows together (Holm), and with one seed."""
    table = table[table["standard_error"] > 0]
    figure, axis = panel(7, 1.2 + 0.34 * len(table))
    sure = significant(table["difference"], table["standard_error"])
    if strict:
        ratios = table["difference"] / table["standard_error"]
        sure = table.get("seed_spread", ratios).notna() & np.array(holm(ratios.tolist()))
    for colour, chosen in ((COLOURS[7], ~sure), (COLOURS[0], sure)):
        rows, places = table[chosen], np.flatnonzero(chosen)
        error = STANDARD_ERRORS * rows["standard_error"]
        axis.errorbar(rows["difference"], places, xerr=error, fmt="o", color=colour, capsize=3)
    axis.axvline(0, color="black", lw=1)
    axis.set(yticks=range(len(table)), yticklabels=table[label], ylim=(len(table) - 0.5, -0.5), title=title)
    axis.set_xlabel(f"difference in NDCG@10 to {reference} (bars: {STANDARD_ERRORS} standard errors)")
    return figure


def plain_table(table: pd.DataFrame, precision: int = 3) -> Styler:
    """A frame with words in it: cells wrapped, line breaks kept, to the left, no index, nothing where one is empty."""
    styler = table.style.hide(axis="index").format(precision=precision, thousands=",", na_rep="")
    return styler.set_properties(**CELL).set_table_styles([{"selector": "th", "props": "text-align: left"}])


def text_table(
    table: pd.DataFrame, verdicts: str, inks: Mapping[str, str], wide: Names = (), width: str = "30em"
) -> Styler:
    """The same with the column ``verdicts`` in bold, coloured by ``inks``; columns ``wide``: at least ``width``."""
    ink = lambda verdict: f"color: {inks.get(verdict, 'inherit')}; font-weight: bold"
    return plain_table(table).set_properties(subset=list(wide), **{"min-width": width}).map(ink, subset=verdicts)
