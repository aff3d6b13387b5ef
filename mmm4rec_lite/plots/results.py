"""Figures of results: histories, systems compared, paired differences."""

import matplotlib.pyplot as plt
import seaborn as sns

from mmm4rec_lite.plots.style import COLOURS, STYLE, captioned, empty_figure


def history_curves(history, metric="ndcg@10", title=""):
    """Training loss and a validation metric by epoch; a history of ``train.fit``, the kept epoch marked."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        panels = ["loss", metric] if metric in history else ["loss"]
        figure = empty_figure(4 * len(panels), 2.8)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, column, colour in zip(axes, panels, COLOURS):
            axis.plot(history["epoch"], history[column], marker="o", color=colour)
            best = history[history["best"]]
            axis.plot(best["epoch"], best[column], marker="o", ms=11, mfc="none", color="black", ls="", label="kept")
            axis.set(xlabel="epoch", ylabel="training loss (nats)" if column == "loss" else f"validation {column}")
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False)
    return captioned(figure, title)


def metric_bars(table, metric="ndcg@10", title=""):
    """Systems compared: a frame of ``evaluate.compare``; one bar per system and seen-item policy."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6, 2.8)
        axis = figure.subplots()
        sns.barplot(table, x=metric, y="system", hue="seen items", palette="colorblind", saturation=1, ax=axis)
        for bars in axis.containers:
            axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
        axis.set(ylabel="", xlabel=f"test {metric}", xlim=(0, table[metric].max() * 1.18))
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="seen items", frameon=False)
    return captioned(figure, title)


def differences(table, label="form", reference="no difference", title=""):
    """Paired differences in NDCG@10 with two standard errors, one line per form; a frame of ``audit.trials.paired``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        table = table[table["standard error"] > 0]
        figure = empty_figure(7, 1.2 + 0.34 * len(table))
        axis = figure.subplots()
        sure = table["difference"].abs() > 2 * table["standard error"]
        for colour, rows in ((COLOURS[7], table[~sure]), (COLOURS[0], table[sure])):
            places = [table.index.get_loc(i) for i in rows.index]
            axis.errorbar(rows["difference"], places, xerr=2 * rows["standard error"], fmt="o", color=colour, capsize=3)
        axis.axvline(0, color="black", lw=1)
        axis.set_yticks(range(len(table)), table[label])
        axis.set_ylim(len(table) - 0.5, -0.5)
        axis.set(xlabel=f"difference in test NDCG@10 to {reference} (bars: 2 standard errors)", title=title)
    return figure


def epochs_to_best(table):
    """Epochs to the best validation epoch per domain; the table of the audit's ``epochs-to-converge``."""
    columns = {
        "MMSRec (printed)": "MMSRec, no ID",
        "MISSRec with ID, log": "MISSRec, with ID",
        "MISSRec without ID, log": "MISSRec, no ID",
        "MMM4Rec with ID, best epoch": "MMM4Rec, with ID",
        "MMM4Rec without ID, best epoch": "MMM4Rec, no ID",
    }
    long = table.rename(columns=columns).melt("dataset", list(columns.values()), "system", "epochs")
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(8, 3.2)
        axis = figure.subplots()
        sns.barplot(long, x="dataset", y="epochs", hue="system", palette=[COLOURS[i] for i in (7, 9, 1, 0, 3)], ax=axis)
        axis.set(xlabel="", ylabel="epochs to the best one (published)")
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False)
    return figure
