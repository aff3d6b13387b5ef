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
        axis.set_ylim(len(table) - 0.5, -0.5)
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
            _tile(axis, row, folder, row.item in marked)
        if items.empty:
            axes[0].set(xticks=[], yticks=[])
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _span(seconds):
    """A gap in the unit a reader would use."""
    for size, unit in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _tile(axis, item, folder, marked=False, below=""):
    """One item: its picture with the title below, or a card with the title; ``below``: a further line."""
    name = "\n".join(textwrap.wrap(item.title, 15)[:4])
    if isinstance(item.image, str):
        with Image.open(Path(folder, item.image)) as picture:
            axis.imshow(picture.convert("RGB"), aspect="auto")
    else:
        axis.set_facecolor("#eef1f5")
        axis.text(0.5, 0.5, name, ha="center", va="center", fontsize=7.5, transform=axis.transAxes)
        name = ""
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel("\n".join(filter(None, (name, below))), fontsize=6.5)
    axis.spines[:].set_visible(True)
    axis.spines[:].set(color=COLOURS[3] if marked else "#b8c0cc", lw=3 if marked else 1)


def gap_histogram(table):
    """How long gaps are, one panel per dataset, zeros apart on the left; a frame of ``data.look.gap_histogram``."""
    names = list(table["dataset"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = _figure(8, 0.6 + 1.6 * len(names))
        axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for axis, name in zip(axes, names):
            rows = table[table["dataset"] == name]
            zero, rest = rows[rows["to"] == 0], rows[rows["to"] > 0]
            bar = axis.bar([0.15], 100 * zero["share"], width=[0.15], align="edge", color=COLOURS[1])
            axis.bar_label(bar, fmt="%.0f %%", fontsize=8, padding=1)
            axis.bar(rest["from"], 100 * rest["share"], rest["to"] - rest["from"], align="edge", color=COLOURS[0])
            axis.axvline(0.55, color="black", ls=":", lw=1)
            axis.set(xscale="log", ylabel="share of gaps (%)", ylim=(0, 115 * rows["share"].max()))
            axis.set_title(name, fontsize=10, loc="left")
            axis.grid(False, axis="x")
        ticks = {0.21: "0"} | {size: f"1 {unit}" for size, unit in _UNITS if size <= table["to"].max()}
        axes[-1].set_xticks(list(ticks), list(ticks.values()))
        axes[-1].minorticks_off()
        axes[-1].set_xlabel("gap between two neighbouring interactions of a user (log scale; zero apart)")
    return figure


def popularity_curve(table):
    """Share of interactions on the most popular items, a line per dataset; a frame of ``data.look.popularity``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = _figure(6, 3.4)
        axis = figure.subplots()
        sns.lineplot(table, x="items (%)", y="interactions (%)", hue="dataset", style="dataset", palette="colorblind",
                     estimator=None, ax=axis)
        axis.plot([0, 100], [0, 100], color="black", ls=":", lw=1, label="all items alike")
        axis.set(xlabel="items, most popular first (% of all items)", ylabel="their interactions (% of all)",
                 xlim=(0, 100), ylim=(0, 102))
        axis.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def contact_sheet(items, folder, columns=12, title=""):
    """The first items of every domain, a row each, small; grey: no picture. ``items``: frame with domain, image."""
    shelves = {name: rows["image"].head(columns) for name, rows in items.groupby("domain", sort=False)}
    edge, room = 64, 70                                                # pixels: a picture, and with the gap around it
    sheet = Image.new("RGB", (room * columns, room * len(shelves)), "white")
    for y, images in enumerate(shelves.values()):
        for x, image in enumerate(images):
            place = (room * x + 3, room * y + 3)
            if isinstance(image, str):
                with Image.open(Path(folder, image)) as picture:
                    sheet.paste(picture.convert("RGB").resize((edge, edge)), place)
            else:
                sheet.paste("#d5dae1", (*place, place[0] + edge, place[1] + edge))
    with plt.rc_context(STYLE):
        figure = _figure(1.0 + 0.6 * columns, 0.4 + 0.6 * len(shelves))
        axis = figure.subplots()
        axis.imshow(np.asarray(sheet), interpolation="nearest")          # smoothed, the file is three times as large
        axis.set_yticks([room * (y + 0.5) for y in range(len(shelves))], list(shelves))
        axis.set(xticks=[], xlabel="grey: no picture")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_title(title, fontsize=10, loc="left")
    return figure


def neighbour_grid(near, items, folder, same=None):
    """Items on the left, their nearest neighbours beside them, a row per modality, with the cosine below.

    near: modality -> a frame of ``data.look.neighbours``. items: frame with item, title, image. same: a column of
    ``items``; neighbours that have the item's own value there get a frame of another colour.
    """
    shelf = items.set_index("item", drop=False)
    queries = list(dict.fromkeys(item for frame in near.values() for item in frame["item"]))
    k = max(frame["rank"].max() for frame in near.values())
    with plt.rc_context(STYLE):
        figure = _figure(1.15 * (k + 1) + 0.5, 1.6 * len(near) * len(queries) + 0.3)
        grid = figure.add_gridspec(len(near) * len(queries), k + 1)
        for i, query in enumerate(queries):
            axis = figure.add_subplot(grid[i * len(near), 0])
            _tile(axis, shelf.loc[query], folder)
            axis.set_title("near this item:", fontsize=8)
            for j, (modality, frame) in enumerate(near.items()):
                for row in frame[frame["item"] == query].itertuples():
                    axis = figure.add_subplot(grid[i * len(near) + j, row.rank])
                    alike = same is not None and shelf[same][query] == shelf[same][row.neighbour]
                    _tile(axis, shelf.loc[row.neighbour], folder, alike, f"cosine {row.cosine:.2f}")
                    if row.rank == 1:
                        axis.set_ylabel(f"by {modality}", fontsize=9)
        if same is not None:
            figure.supxlabel(f"framed: the same {same} as the item on the left", fontsize=8)
    return figure


def match_bars(table):
    """How many neighbours have the item's own shape, colour...; a frame of ``data.look.matches``.

    Thin lines: two standard errors; the black line across each group: what chance gives.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = _figure(7.5, 3)
        axis = figure.subplots()
        modalities, attributes = (list(table[column].unique()) for column in ("modality", "attribute"))
        width = 0.8 / len(modalities)
        for i, modality in enumerate(modalities):
            rows = table[table["modality"] == modality].set_index("attribute").loc[attributes]
            places = np.arange(len(attributes)) + i * width
            bars = axis.bar(places, rows["found (%)"], width * 0.95, align="edge", color=COLOURS[i],
                            label=f"by {modality}", yerr=2 * rows["standard error"], ecolor="#555555")
            axis.bar_label(bars, fmt="%.0f", fontsize=8, padding=1)
        chance = table.drop_duplicates("attribute")["by chance (%)"]
        axis.hlines(chance, np.arange(len(attributes)) - 0.05, np.arange(len(attributes)) + 0.85, color="black", lw=2,
                    label="by chance")
        axis.set_xticks(np.arange(len(attributes)) + 0.4, [f"same {name}" for name in attributes])
        axis.set(ylabel="share of neighbours (%)", ylim=(0, 100))
        axis.grid(False, axis="x")
        axis.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


_UNITS = ((1, "s"), (60, "min"), (3600, "h"), (86400, "d"), (30 * 86400, "month"), (365 * 86400, "y"))
