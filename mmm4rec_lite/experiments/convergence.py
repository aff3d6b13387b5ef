"""Curves of training, published and measured, and how long each takes: what notebook 07 looks at.

A curve is a line per epoch: panel (the data), curve (the system), numbers ("published" or "measured"), seed, epoch,
seconds (of training up to its end), validation metrics, best (was this epoch kept), cut (did training end before its
patience ran out, so that the best epoch may not be the best).
"""

from dataclasses import replace

import pandas as pd

from mmm4rec_lite import published
from mmm4rec_lite.errors import KitError
from mmm4rec_lite.experiments import live
from mmm4rec_lite.experiments.gathered import TITLES, cut, tidy
from mmm4rec_lite.experiments.paper import FULL, convergence
from mmm4rec_lite.train import METRICS

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
    return _cut(rows.assign(panel=panel, curve=rows["label"], numbers="measured", seconds=rows["training seconds"]))[
        COLUMNS
    ]


def live_curves(systems=("sasrec", "sasrec_t", "unisrec+id", "unisrec")):
    """Curves trained on the spot: systems with and without ids on ``live.films()``, from scratch, by ``live.how()``."""
    frame = convergence(replace(live.films(), sources=None), systems, **live.how())
    return measured_curves(frame.assign(experiment="figure4"))


def _cut(rows):
    """Adds ``cut`` to the epochs of many runs."""
    by = rows.groupby(["panel", "curve", "seed"], sort=False)
    runs = by.agg(epochs=("epoch", "max"), scale=("scale", "first")).reset_index()
    best = rows[rows["best"].astype(bool)].groupby(["panel", "curve", "seed"])["epoch"].first()
    runs["best epoch"] = best.loc[list(zip(runs["panel"], runs["curve"], runs["seed"]))].to_numpy()
    return rows.merge(runs.assign(cut=cut(runs))[["panel", "curve", "seed", "cut"]], on=["panel", "curve", "seed"])


def reached(curves, shares=SHARES, metric="ndcg@10", of="own"):
    """Epochs and seconds until a curve first has a share of the best: a line per panel, curve, seed and share.

    ``of``: the best of the curve itself ("own"), or of the curve of its panel whose best is lowest ("weakest"), which
    all of them reach: one's own best is soon reached by who does not get far. Columns: panel, curve, numbers, seed,
    share, level (of the metric), epochs, seconds, cut.
    """
    if of not in ("own", "weakest"):
        raise KitError(f"reached: of 'own' or 'weakest', not {of!r}")
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
    logs = logs.rename(columns={"best_epoch": "epochs", "mean_train_seconds": "seconds per epoch"})
    table = pd.concat([cells, logs[list(cells)]]).rename(columns={"column": "system"})
    order = [*published.TARGETS, "MMM4Rec", logs["column"].iloc[0], "MMSRec", "MISSRec"]
    place = {name: i for i, name in enumerate(order)}
    table = table.sort_values(["dataset", "system"], key=lambda names: names.map(place)).reset_index(drop=True)
    table["seconds"] = table["epochs"] * table["seconds per epoch"]
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
    numbers = ["best epoch", "epochs", "cut", "seconds per step", "seconds per epoch", "seconds to the best", "ndcg@10"]
    rows = tidy(runs)
    rows = rows[rows["experiment"] == "table4"].reindex(columns=list({*rows, *numbers}))
    if not len(rows):
        return pd.DataFrame(columns=[*keys[:2], "system", *numbers, "seeds"])
    by = rows.assign(cut=cut(rows)).groupby(keys, sort=False)
    table = by[numbers].mean().assign(cut=by["cut"].sum(), seeds=by["seed"].nunique()).reset_index()
    return table.rename(columns={"label": "system"})
