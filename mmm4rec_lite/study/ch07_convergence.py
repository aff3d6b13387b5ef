"""Curves of training, published and measured, and how long each takes: what notebook 07 looks at.

A curve is a line per epoch: panel (the data), curve (the system), numbers ("published" or "measured"), seed, epoch,
seconds (of training up to its end), validation metrics, best (was this epoch kept), cut (did training end before its
patience ran out, so that the best epoch may not be the best).
"""

from dataclasses import replace

import pandas as pd

from mmm4rec_lite import published
from mmm4rec_lite.models.config import METRICS
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.study.protocol.experiments import FULL, convergence
from mmm4rec_lite.study.protocol.results import TITLES, cut, tidy
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.style import COLOURS, empty_figure, log_axis, styled

SHARES = (0.9, 0.95, 0.99, 1.0)
COLUMNS = ["panel", "curve", "numbers", "seed", "epoch", "seconds", *METRICS, "best", "cut"]
PAPER_PATIENCE = 10  # of the authors' fine-tuning (section 4.1.4)


def published_curves(with_id=None):
    """The authors' ten logs as curves, on the validation rows; both forms, or the one ``with_id`` names."""
    logs = published.logs(**({} if with_id is None else {"with_id": with_id}))
    ends = published.log_tests().set_index(["dataset", "with_id"])
    known = ends.loc[list(zip(logs["dataset"], logs["with_id"]))].reset_index()
    seconds = logs.groupby(["dataset", "with_id"])["train_seconds"].cumsum()
    form = logs["with_id"].map({True: TITLES[FULL], False: TITLES["mmm4rec"]})
    return logs.assign(
        panel=logs["dataset"],
        curve=form,
        numbers="published",
        seed=0,
        seconds=seconds,
        best=logs["epoch"] == known["best_epoch"],
        cut=known["epochs_run"] - known["best_epoch"] < PAPER_PATIENCE,
    )[COLUMNS]


def measured_curves(runs):
    """The "figure4" lines of ``gathered.stored`` as curves, a panel per dataset, setting and stage."""
    rows = tidy(runs)
    rows = rows[rows["experiment"] == "figure4"]
    if not len(rows):
        return pd.DataFrame(columns=COLUMNS)
    stage = rows["stage"].map({"scratch": "from scratch", "finetune": "pre-trained"}).fillna("")
    panel = rows["dataset"] + "\n" + stage + ", " + rows["setting"] + ", " + rows["scale"]
    return _cut(rows.assign(panel=panel, curve=rows["label"], numbers="measured", seconds=rows["training_seconds"]))[
        COLUMNS
    ]


def live_curves(systems=("sasrec", "sasrec_t", "unisrec+id", "unisrec")):
    """Curves trained on the spot: systems with and without ids on ``live.films()``, from scratch, by ``live.how()``."""
    frame = convergence(replace(presets.film_task(), sources=None), systems, **presets.sweep_options())
    return measured_curves(frame.assign(experiment="figure4"))


def _cut(rows):
    """Adds ``cut`` to the epochs of many runs."""
    by = rows.groupby(["panel", "curve", "seed"], sort=False)
    runs = by.agg(epochs=("epoch", "max"), scale=("scale", "first")).reset_index()
    best = rows[rows["best"].astype(bool)].groupby(["panel", "curve", "seed"])["epoch"].first()
    runs["best_epoch"] = best.loc[list(zip(runs["panel"], runs["curve"], runs["seed"]))].to_numpy()
    return rows.merge(runs.assign(cut=cut(runs))[["panel", "curve", "seed", "cut"]], on=["panel", "curve", "seed"])


def reached(curves, shares=SHARES, metric="ndcg@10", of="own"):
    """Epochs and seconds until a curve first has a share of the best: a line per panel, curve, seed and share.

    ``of``: the best of the curve itself ("own"), or of the curve of its panel whose best is lowest ("weakest"), which
    all of them reach: one's own best is soon reached by who does not get far. Columns: panel, curve, numbers, seed,
    share, level (of the metric), epochs, seconds, cut.
    """
    if of not in ("own", "weakest"):
        raise InputError(f"reached: of 'own' or 'weakest', not {of!r}")
    bests = curves.groupby(["panel", "seed", "curve"])[metric].max()
    if of == "weakest":
        bests = bests.groupby(["panel", "seed"]).transform("min")
    lines = []
    for (panel, curve, seed), rows in curves.groupby(["panel", "curve", "seed"], sort=False):
        rows, best = rows.sort_values("epoch"), bests[panel, seed, curve]
        for share in shares:
            first = rows[rows[metric] >= share * best].iloc[0]
            lines.append(
                {
                    "panel": panel,
                    "curve": curve,
                    "numbers": first["numbers"],
                    "seed": seed,
                    "share": share,
                    "level": share * best,
                    "epochs": first["epoch"],
                    "seconds": first["seconds"],
                    "cut": first["cut"],
                }
            )
    columns = ["panel", "curve", "numbers", "seed", "share", "level", "epochs", "seconds", "cut"]
    return pd.DataFrame(lines, columns=columns)


def waiting(table, what="epochs"):
    """A frame of ``reached`` to read: a row per curve, a column per share, means over seeds; + where a run was cut.

    "+" says that training ended before its patience ran out, so that a later epoch might have been better.
    """
    if not len(table):
        return pd.DataFrame()
    table = table.assign(panel=table["panel"].str.replace("\n", ", "))
    by = table.groupby(["panel", "curve", "share"], sort=False)
    text = by[what].mean().map("{:.3g}".format) + by["cut"].any().map({True: "+", False: ""})
    return text.unstack("share").rename(columns="{:.0%}".format)


def passes(curves, metric="ndcg@10"):
    """For every panel with two curves or more: the first epoch at which each is better than any epoch of the others.

    Columns: panel, curve, best, rivals' best, epochs, seconds (both nan where it never is).
    """
    lines = []
    for panel, rows in curves.groupby("panel", sort=False):
        for curve, own in rows.groupby("curve", sort=False):
            theirs = rows.loc[rows["curve"] != curve, metric].max()
            over = own[own[metric] > theirs]
            first = over.iloc[0] if len(over) else {"epoch": float("nan"), "seconds": float("nan")}
            lines.append(
                {
                    "panel": panel,
                    "curve": curve,
                    "best": own[metric].max(),
                    "rivals' best": theirs,
                    "epochs": first["epoch"],
                    "seconds": first["seconds"],
                }
            )
    return pd.DataFrame(lines, columns=["panel", "curve", "best", "rivals' best", "epochs", "seconds"])


def printed_table4():
    """Table 4 as printed, with the product of both rows and MMM4Rec's run without ids from the logs: a row per system.

    Columns: dataset, system, epochs, seconds per epoch, seconds, and how many times MMM4Rec's (with ids).
    """
    cells = published.paper(4).pivot(index=["dataset", "column"], columns="row", values="value").reset_index()
    logs = published.log_tests(with_id=False).assign(column="MMM4Rec without ID (log)")
    logs = logs.rename(columns={"best_epoch": "epochs", "mean_train_seconds": "seconds_per_epoch"})
    table = pd.concat([cells, logs[list(cells)]]).rename(columns={"column": "system"})
    order = [*published.TARGETS, "MMM4Rec", logs["column"].iloc[0], "MMSRec", "MISSRec"]
    place = {name: i for i, name in enumerate(order)}
    table = table.sort_values(["dataset", "system"], key=lambda names: names.map(place)).reset_index(drop=True)
    table["seconds"] = table["epochs"] * table["seconds_per_epoch"]
    ours = table[table["system"] == "MMM4Rec"].set_index("dataset")
    for column in ("epochs", "seconds"):
        table[f"{column}, times MMM4Rec's"] = table[column] / table["dataset"].map(ours[column])
    return table


def measured_table4(runs):
    """The "table4" lines of ``gathered.stored``, a row per dataset, stage and system, means over seeds.

    Columns: where, stage, system, best epoch, epochs, cut (runs that ended before their patience ran out), seconds per
    step (fit to compare), seconds per epoch, seconds to the best (of a shared machine), ndcg@10, seeds.
    """
    keys = ["where", "stage", "label"]
    numbers = ["best_epoch", "epochs", "cut", "seconds_per_step", "seconds_per_epoch", "seconds_to_best", "ndcg@10"]
    rows = tidy(runs)
    rows = rows[rows["experiment"] == "table4"].reindex(columns=list({*rows, *numbers}))
    if not len(rows):
        return pd.DataFrame(columns=[*keys[:2], "system", *numbers, "seeds"])
    by = rows.assign(cut=cut(rows)).groupby(keys, sort=False)
    table = by[numbers].mean().assign(cut=by["cut"].sum(), seeds=by["seed"].nunique()).reset_index()
    return table.rename(columns={"label": "system"})


@styled
def plot_reach_lines(table, title=""):
    """When each curve has a share of the best, in epochs and in seconds; a frame of ``convergence.reached``.

    Markers: means over seeds, one per share; hollow: a run was cut before its patience ran out.
    """
    table = table.assign(name=table["curve"] + ", " + table["panel"].str.replace("\n", ", "))
    names, shares = list(table["name"].unique()), sorted(table["share"].unique())
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
            log_axis(axis)
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    axes[1].legend(frameon=False, title="share of the best", bbox_to_anchor=(1, 1), loc="upper left", fontsize=8)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure
