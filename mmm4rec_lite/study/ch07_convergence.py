"""Chapter 7: how fast does training converge? Curves, published and measured, and how long each takes.

A curve is a line per epoch (``COLUMNS``): panel (the data), curve (the system), seconds of training up to its end, best
(was this epoch kept), cut (did training end before its patience ran out, so that the best may come later).
"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from mmm4rec_lite import published
from mmm4rec_lite.models.config import METRICS
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.study.protocol.experiments import FULL, convergence
from mmm4rec_lite.study.protocol.results import TITLES, stopped_early, tidy
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.style import COLOURS, MARKERS, captioned, legend_beside, log_axis, panel_row, styled

SHARES = (0.9, 0.95, 0.99, 1.0)
COLUMNS = ["panel", "curve", "numbers", "seed", "epoch", "seconds", *METRICS, "best", "cut"]
PAPER_PATIENCE = 10  # of the authors' fine-tuning (section 4.1.4)


def published_curves() -> pd.DataFrame:
    """The authors' ten logs as curves, on the validation rows."""
    logs, ends, key = published.logs(), published.log_tests(), ["dataset", "with_id"]
    logs = logs.merge(ends[[*key, "best_epoch", "epochs_run"]], on=key, validate="many_to_one")
    form = logs["with_id"].map({True: TITLES[FULL], False: TITLES["mmm4rec"]})
    logs = logs.assign(panel=logs["dataset"], curve=form, numbers="published", seed=0)
    early = logs["epochs_run"] - logs["best_epoch"] < PAPER_PATIENCE
    seconds = logs.groupby(key)["train_seconds"].cumsum()
    return logs.assign(seconds=seconds, best=logs["epoch"] == logs["best_epoch"], cut=early)[COLUMNS]


def measured_curves(runs: pd.DataFrame) -> pd.DataFrame:
    """The "figure4" lines of stored runs as curves, a panel per dataset, stage, protocol and scale."""
    rows = tidy(runs)
    rows = rows[rows["experiment"] == "figure4"]
    if not len(rows):
        return pd.DataFrame(columns=COLUMNS)
    stage = rows["stage"].map({"scratch": "from scratch", "finetune": "pre-trained"}).fillna("")
    panel = rows["dataset"] + "\n" + stage + ", " + rows["protocol"] + ", " + rows["scale"]
    rows = rows.assign(panel=panel, curve=rows["name"], numbers="measured", seconds=rows["training_seconds"])
    by = rows.groupby(["panel", "curve", "seed"])
    epochs, best = by["epoch"].transform("max"), rows["epoch"].where(rows["best"].astype(bool))
    best = best.groupby([rows["panel"], rows["curve"], rows["seed"]]).transform("first")
    return rows.assign(cut=stopped_early(rows.assign(epochs=epochs, best_epoch=best)))[COLUMNS]


def live_curves(systems: Sequence[str] = ("sasrec", "sasrec_t", "unisrec+id", "unisrec")) -> pd.DataFrame:
    """Curves trained on the spot: systems with and without ids, from scratch, on the films of ``presets``."""
    frame = convergence(replace(presets.film_task(), sources=None), systems, **presets.sweep_options())
    return measured_curves(frame.assign(experiment="figure4"))


def reached(
    curves: pd.DataFrame, shares: Sequence[float] = SHARES, metric: str = "ndcg@10", of: str = "own"
) -> pd.DataFrame:
    """Epochs and seconds until a curve first has a share of the best: a line per panel, curve, seed and share.

    ``of``: the best of the curve itself ("own"), or of the curve of its panel whose best is lowest ("weakest"), which
    all of them reach. Columns: panel, curve, numbers, seed, share, level (of the metric), epochs, seconds, cut.
    """
    if of not in ("own", "weakest"):
        raise InputError(f"reached: of 'own' or 'weakest', not {of!r}")
    bests = curves.groupby(["panel", "seed", "curve"])[metric].max()
    if of == "weakest":
        bests = bests.groupby(["panel", "seed"]).transform("min")
    lines = []
    for (panel, curve, seed), rows in curves.groupby(["panel", "curve", "seed"], sort=False):
        rows = rows.sort_values("epoch")
        for share in shares:
            level = share * bests[panel, seed, curve]
            first = rows[rows[metric] >= level].iloc[0]
            lines.append((panel, curve, first["numbers"], seed, share, level, *first[["epoch", "seconds", "cut"]]))
    columns = ["panel", "curve", "numbers", "seed", "share", "level", "epochs", "seconds", "cut"]
    return pd.DataFrame(lines, columns=columns)


def waiting(table: pd.DataFrame, what: str = "epochs") -> pd.DataFrame:
    """A frame of ``reached`` to read: a row per curve, a column per share, means over seeds; + where a run was cut."""
    if not len(table):
        return pd.DataFrame()
    by = table.assign(panel=_one_line(table["panel"])).groupby(["panel", "curve", "share"], sort=False)
    text = by[what].mean().map("{:.3g}".format) + by["cut"].any().map({True: "+", False: ""})
    return text.unstack("share").rename(columns="{:.0%}".format)


def _one_line(panels):
    return panels.str.replace("\n", ", ")


def passes(curves: pd.DataFrame, metric: str = "ndcg@10") -> pd.DataFrame:
    """When a curve beats every epoch of its panel's others: panel, curve, best, rivals_best, epochs, seconds."""
    lines = []
    for (panel, curve), own in curves.groupby(["panel", "curve"], sort=False):
        theirs = curves.loc[(curves["panel"] == panel) & (curves["curve"] != curve), metric].max()
        first = own.loc[own[metric] > theirs, ["epoch", "seconds"]].head(1).reset_index(drop=True).reindex([0])
        lines.append((panel, curve, own[metric].max(), theirs, *first.iloc[0]))
    return pd.DataFrame(lines, columns=["panel", "curve", "best", "rivals_best", "epochs", "seconds"])


def printed_table4() -> pd.DataFrame:
    """Table 4 as printed, with the product of both rows and MMM4Rec's run without ids from the logs: a row per system.

    Columns: dataset, system, epochs, seconds_per_epoch, seconds; epochs_ratio, seconds_ratio: how many times those of
    MMM4Rec (with ids).
    """
    cells = published.paper(4).pivot(index=["dataset", "column"], columns="row", values="value").reset_index()
    logs = published.log_tests(with_id=False).assign(column="MMM4Rec without ID (log)")
    logs = logs.rename(columns={"best_epoch": "epochs", "mean_train_seconds": "seconds_per_epoch"})
    table = pd.concat([cells, logs[list(cells)]]).rename(columns={"column": "system"})
    order = [*published.TARGETS, "MMM4Rec", "MMM4Rec without ID (log)", "MMSRec", "MISSRec"]
    table = table.sort_values(["dataset", "system"], key=lambda names: names.map(order.index)).reset_index(drop=True)
    table["seconds"] = table["epochs"] * table["seconds_per_epoch"]
    ours = table[table["system"] == "MMM4Rec"].set_index("dataset")
    ratio = {f"{column}_ratio": table[column] / table["dataset"].map(ours[column]) for column in ("epochs", "seconds")}
    return table.assign(**ratio)


def measured_table4(runs: pd.DataFrame) -> pd.DataFrame:
    """The "table4" lines of stored runs, means over seeds; n_cut: runs that ended before their patience ran out.

    seconds_per_step is fit to compare; seconds_per_epoch and seconds_to_best are of a shared machine.
    """
    keys = ["where", "stage", "system"]
    numbers = ["best_epoch", "epochs", "seconds_per_step", "seconds_per_epoch", "seconds_to_best", "ndcg@10"]
    rows = tidy(runs)
    rows = rows[rows["experiment"] == "table4"].reindex(columns=list({*rows, *numbers}))
    if not len(rows):
        return pd.DataFrame(columns=[*keys, *numbers, "n_cut", "n_seeds"])
    by = rows.assign(cut=stopped_early(rows), system=rows["name"]).groupby(keys, sort=False)
    return by[numbers].mean().assign(n_cut=by["cut"].sum(), n_seeds=by["seed"].nunique()).reset_index()


@styled
def plot_reach_lines(table: pd.DataFrame, title: str = "") -> Figure:
    """When each curve has a share of the best, in epochs and in seconds; a frame of ``reached``.

    Markers: means over seeds, one per share; hollow: a run was cut before its patience ran out.
    """
    table = table.assign(name=table["curve"] + ", " + _one_line(table["panel"]))
    names, shares = list(table["name"].unique()), sorted(table["share"].unique())
    figure, axes = panel_row(2, 9, 1.0 + 0.24 * len(names) + (0.3 if title else 0))
    for axis, what in zip(axes, ("epochs", "seconds")):
        for y, name in enumerate(names):
            rows = table[table["name"] == name]
            means, hollow = rows.groupby("share")[what].mean(), rows["cut"].any()
            axis.plot([means.min(), means.max()], [y, y], color="#bbbbbb", lw=2, zorder=1)
            for i, share in enumerate(shares):
                look = dict(color=COLOURS[i], mfc="none" if hollow else COLOURS[i], ms=6 + 1.5 * i, mew=1.4)
                look |= dict(zorder=4 - i, label=None if y else f"{share:.0%}")
                axis.plot(means[share], y, MARKERS[i % 5], **look)
        axis.set(xlabel=f"{what} to the share")
        if table[what].max() > 10 * table[what].min() > 0:
            log_axis(axis)
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    legend_beside(axes[1], title="share of the best")
    return captioned(figure, title)
