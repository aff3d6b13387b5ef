"""Figures as functions: frames or arrays in, a matplotlib Figure out. One style, safe for colour-blind readers."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from PIL import Image

STYLE = {"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 100, "font.size": 10}
COLOURS = sns.color_palette("colorblind")


def _figure(width, height):
    """An empty figure that notebooks show when it is returned, and only then."""
    figure = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(figure)
    return figure


def history_curves(history, metric="ndcg@10"):
    """Training loss and a validation metric by epoch; a history of ``train.fit``, the kept epoch marked."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        panels = ["loss", metric] if metric in history else ["loss"]
        figure = _figure(4 * len(panels), 2.8)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, column, colour in zip(axes, panels, COLOURS):
            axis.plot(history["epoch"], history[column], marker="o", color=colour)
            best = history[history["best"]]
            axis.plot(best["epoch"], best[column], marker="o", ms=11, mfc="none", color="black", ls="", label="kept")
            axis.set(xlabel="epoch", ylabel="training loss (nats)" if column == "loss" else f"validation {column}")
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False)
    return figure


def metric_bars(table, metric="ndcg@10"):
    """Systems compared: a frame of ``evaluate.compare``; one bar per system and seen-item policy."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = _figure(6, 2.8)
        axis = figure.subplots()
        sns.barplot(table, x=metric, y="system", hue="seen items", palette="colorblind", ax=axis)
        for bars in axis.containers:
            axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
        axis.set(ylabel="", xlabel=f"test {metric}", xlim=(0, table[metric].max() * 1.18))
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="seen items", frameon=False)
    return figure


def differences(table, label="form", reference="no difference", title=""):
    """Paired differences in NDCG@10 with two standard errors, one line per form; a frame of ``audit.trials.paired``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        table = table[table["standard error"] > 0]
        figure = _figure(7, 1.2 + 0.34 * len(table))
        axis = figure.subplots()
        sure = table["difference"].abs() > 2 * table["standard error"]
        for colour, rows in ((COLOURS[7], table[~sure]), (COLOURS[0], table[sure])):
            places = [table.index.get_loc(i) for i in rows.index]
            axis.errorbar(rows["difference"], places, xerr=2 * rows["standard error"], fmt="o", color=colour, capsize=3)
        axis.axvline(0, color="black", lw=1)
        axis.set_yticks(range(len(table)), table[label])
        axis.invert_yaxis()
        axis.set(xlabel=f"difference in test NDCG@10 to {reference} (bars: 2 standard errors)", title=title)
    return figure


def epochs_to_best(table):
    """Epochs to the best validation epoch per domain; the table of the audit's ``epochs-to-converge``."""
    columns = {"MMSRec (printed)": "MMSRec, no ID", "MISSRec with ID, log": "MISSRec, with ID",
               "MISSRec without ID, log": "MISSRec, no ID", "MMM4Rec with ID, best epoch": "MMM4Rec, with ID",
               "MMM4Rec without ID, best epoch": "MMM4Rec, no ID"}
    long = table.rename(columns=columns).melt("dataset", list(columns.values()), "system", "epochs")
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = _figure(8, 3.2)
        axis = figure.subplots()
        sns.barplot(long, x="dataset", y="epochs", hue="system", palette=[COLOURS[i] for i in (7, 9, 1, 0, 3)], ax=axis)
        axis.set(xlabel="", ylabel="epochs to the best one (published)")
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False)
    return figure


def movement(table):
    """How far other time stamps move a user, fresh and trained, log scale; the table of ``dead-branch``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = _figure(7, 2.6)
        axis = figure.subplots()
        sns.stripplot(table, x="users moved by other gaps", y="form", hue="when", palette=COLOURS[:2], size=9,
                      jitter=False, dodge=True, log_scale=True, ax=axis)
        axis.axvline(6e-8, color="black", ls=":", lw=1)
        axis.text(6e-8, -0.55, "float32 rounds here", ha="center", va="bottom", fontsize=8)
        axis.set(ylabel="", xlabel="movement of user vectors over their length (log scale)")
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False)
    return figure


def time_signals(table):
    """The gaps of one history and what the time signal D makes of them; a frame of ``audit.times.example_signals``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = _figure(8, 2.8)
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
        figure = _figure(size + 1.6, size)
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
        figure = _figure(7, 1.2 + 0.26 * len(labels))
        axis = figure.subplots()
        height = 0.8 / len(weights)
        for i, (name, values) in enumerate(weights.items()):
            places = [place + i * height for place in range(len(labels))]
            axis.barh(places, values.tolist(), height, label=name, color=COLOURS[i])
        titles = [textwrap.shorten(label, 34, placeholder="...") for label in labels]
        names = [f"{title}  (+{_span(gap)})" for title, gap in zip(titles, gaps)]
        axis.set_yticks([place + 0.4 - height / 2 for place in range(len(labels))], names, fontsize=8)
        axis.invert_yaxis()
        axis.set(xlabel="what is left of the item at the last step (mean over heads, 0 to 1)", ylim=(len(labels), -0.3))
        axis.legend(frameon=False, fontsize=8)
    return figure


def strip(items, folder=None, title="", marked=()):
    """Items in a row: their pictures, or cards with the title. ``items``: frame with item, title, image.

    ``marked``: item ids that get a frame of another colour.
    """
    with plt.rc_context(STYLE):
        figure = _figure(1.25 * max(len(items), 1), 2.1)
        axes = figure.subplots(1, max(len(items), 1), squeeze=False)[0]
        for axis, row in zip(axes, items.itertuples()):
            axis.set_xticks([])
            axis.set_yticks([])
            name = "\n".join(textwrap.wrap(row.title, 15)[:4])
            if isinstance(row.image, str):
                with Image.open(Path(folder, row.image)) as picture:
                    axis.imshow(picture.convert("RGB"), aspect="auto")
                axis.set_xlabel(name, fontsize=6.5)
            else:
                axis.set_facecolor("#eef1f5")
                axis.text(0.5, 0.5, name, ha="center", va="center", fontsize=7.5, transform=axis.transAxes)
            axis.spines[:].set_visible(True)
            axis.spines[:].set(color=COLOURS[3] if row.item in marked else "#b8c0cc", lw=3 if row.item in marked else 1)
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _span(seconds):
    """A gap in the unit a reader would use."""
    for size, unit in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
