"""Chapter 9: all systems beside one another: who reads what, who ranks where, what it costs, whether orders agree."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import matplotlib.pyplot as plt
import pandas as pd
import torch
from adjustText import adjust_text
from matplotlib.figure import Figure

from mmm4rec_lite import published
from mmm4rec_lite.data import batch, global_time, leave_one_out
from mmm4rec_lite.evaluation import counting, metrics, model_scorer, rank_rows, sampled_candidates, user_history
from mmm4rec_lite.models.registry import get_model, list_models
from mmm4rec_lite.runs import Protocol, Task, run
from mmm4rec_lite.study.protocol.experiments import BASELINES, COLUMNS
from mmm4rec_lite.study.protocol.results import display_name, stopped_early, tidy, with_columns
from mmm4rec_lite.utils.files import workspace
from mmm4rec_lite.viz.style import COLOURS, captioned, legend_beside, panel, panels, styled

BASELINE_LINES = {"popularity": ":", "markov_chain": "--"}
COUNTS = "counts"
READS = {  # what a system knows items by -> (colour, marker), the same in every figure
    "ids": (COLOURS[0], "o"),
    "texts": (COLOURS[1], "s"),
    "ids + texts": (COLOURS[2], "D"),
    "texts + pictures": (COLOURS[3], "^"),
    "ids + texts + pictures": (COLOURS[4], "P"),
}
WORDS = {"id": "ids", "text": "texts", "image": "pictures"}
FAMILIES = {
    **dict.fromkeys(("sasrec", "sasrec_t", "fdsa"), "attention"),
    **{f"{name}{end}": "Mamba" for name in ("mamba4rec", "tim4rec") for end in ("", "_t")},
    "bsarec": "frequency",
    "m3rec": "Mamba, multi-modal",
    **dict.fromkeys(("hm4sr", "athwe"), "attention, multi-modal"),
    **dict.fromkeys(("s3rec", "zesrec", "unisrec", "vqrec"), "pre-trained"),
    **{name: "pre-trained, multi-modal" for name in ("mmsrec", "missrec")},
    "mmm4rec": "Mamba, pre-trained, multi-modal",
}


def reads(system: str) -> str:
    """What a system knows items by, for legends: "ids", "texts", "ids + texts", ... (times are not said)."""
    if system in BASELINES:
        return COUNTS
    return " + ".join(word for part, word in WORDS.items() if part in get_model(system).reads)


def family(widths: Sequence[int] = (64, 256)) -> pd.DataFrame:
    """A row per system: name, family, reads, with_id (has it a form with ids too), stages, n_parameters_..., paper."""
    counts, rows = [f"n_parameters_{width}" for width in widths], []
    for s in list_models(widths):
        about = s["title"], FAMILIES.get(s["name"], "other"), ", ".join(s["modalities"]), s["with ids too"]
        rows.append((*about, ", ".join(s["stages"]), *(s["parameters"][str(width)] for width in widths), s["paper"]))
    table = pd.DataFrame(rows, columns=["name", "family", "reads", "with_id", "stages", *counts, "paper"])
    return table.sort_values("family", kind="stable", ignore_index=True)


def choices(
    task: Task, system: str = "sasrec", others: int = 20, seed: int = 0, protocol: Protocol | None = None
) -> pd.DataFrame:
    """One choice of the protocol changed at a time, nobody trained anew: choice, name, ndcg@10, n_rows.

    Of popularity, a Markov chain and ``system``; split by time, of the baselines alone, which are counted anew.
    """
    rows, lines = leave_one_out(task.dataset), []
    trained = run(task, system, protocol, seed=seed, progress=False).model
    scorers = {**counting(rows), display_name(system): model_scorer(trained)}
    ways = {
        "as here: all items, history kept": (False, None),
        "history removed": (True, None),
        f"against {others} random items": (False, others),
    }
    for choice, (filter_seen, few) in ways.items():
        for name, score in scorers.items():
            score = sampled_candidates(score, few, seed) if few else score
            ranks = rank_rows(score, rows.sequences, rows.test, trained.window, filter_seen)
            lines.append((choice, name, metrics(ranks)["ndcg@10"], len(ranks)))
    late = global_time(task.dataset)
    for name, score in counting(late).items():
        ranks = rank_rows(score, late.sequences, late.test, 1)
        lines.append(("split by time, not by user", name, metrics(ranks)["ndcg@10"], len(ranks)))
    return pd.DataFrame(lines, columns=["choice", "name", "ndcg@10", "n_rows"])


def suggestions(
    task: Task, systems: Sequence[str], user: str, k: int = 8, seed: int = 0, protocol: Protocol | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame]]:
    """(history, what came next, name -> the k best unseen) for one test user, each with item, title and image."""
    dataset, lists = task.dataset, {}
    rows, own = leave_one_out(dataset), user_history(dataset, user)
    starts = rows.sequences.first.unique()  # a user each
    users = torch.searchsorted(starts, rows.sequences.first[rows.test]).tolist()
    row = rows.test[[rows.sequences.users[number] == user for number in users]]
    seen = torch.tensor(dataset.items["item"].isin(own["item"].iloc[:-1]).tolist())
    for system in systems:
        model = run(task, system, protocol, seed=seed, progress=False).model
        scores = model_scorer(model)(batch(rows.sequences, row, model.window))[0, 1:].cpu()
        best = scores.masked_fill(seen, -torch.inf).topk(k).indices.tolist()
        lists[display_name(system)] = dataset.items.iloc[best][["item", "title", "image"]]
    return own.iloc[:-1], own.tail(1), lists


def _runs_of(runs, experiment="comparison", baselines=False):
    own = tidy(runs)
    own = own[own["experiment"] == experiment]
    return own if baselines else own[own["seed"].notna()]


def leaderboard(runs: pd.DataFrame, experiment: str = "comparison") -> pd.DataFrame:
    """Systems and counting baselines, best first within a dataset.

    Columns: dataset, system, name, ndcg@10 (mean over seeds), least, most, n_seeds, reads, scales (of the dataset),
    place (none for baselines).
    """
    own = _runs_of(runs, experiment, baselines=True)
    by = own.groupby(["dataset", "system", "name"], sort=False)["ndcg@10"]
    names = {"mean": "ndcg@10", "min": "least", "max": "most", "size": "n_seeds"}
    table = by.agg(list(names)).rename(columns=names).reset_index()
    table["reads"] = table["system"].map(reads)
    scales = (
        with_columns(own, "scale").groupby("dataset")["scale"].agg(lambda names: ", ".join(names.dropna().unique()))
    )
    table["scales"] = table["dataset"].map(scales)
    trained = table[table["reads"] != COUNTS]
    table["place"] = trained.groupby("dataset")["ndcg@10"].rank(ascending=False, method="min")
    parts = [part.sort_values("ndcg@10", ascending=False) for _, part in table.groupby("dataset", sort=False)]
    return pd.concat(parts, ignore_index=True)


def beside_published(runs: pd.DataFrame, tables: Sequence[int] = (2, 3)) -> pd.DataFrame:
    """NDCG@10 printed and measured, where both are: table, dataset, name, published, measured, difference, places.

    published_place, measured_place: among the systems of this table and dataset that both have.
    """
    measured, rows = leaderboard(runs).set_index(["dataset", "system"])["ndcg@10"], []
    for table in tables:
        printed = published.paper(table, row="ndcg@10").set_index(["dataset", "column"])["value"]
        rows += [
            (table, dataset, display_name(system), printed[dataset, column], measured[dataset, system])
            for dataset in printed.index.unique("dataset")
            for system, column in COLUMNS[table].items()
            if (dataset, system) in measured.index and (dataset, column) in printed.index
        ]
    out = pd.DataFrame(rows, columns=["table", "dataset", "name", "published", "measured"])
    places = out.groupby(["table", "dataset"])[["published", "measured"]].rank(ascending=False, method="min")
    out["difference"] = out["measured"] - out["published"]
    return out.join(places.astype(int).add_suffix("_place"))


def agreement(runs: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlation of NDCG@10 between data sets, between seeds, and between the paper and here.

    Columns: between, one, other, n_systems (at least 4), correlation, chance_deviation: the standard deviation of the
    correlation of unrelated orders, 1 / sqrt(n_systems - 1).
    """
    own, rows = _runs_of(runs), []
    sets = own.pivot_table(index="system", columns="dataset", values="ndcg@10")
    pairs = [("data sets", a, b, sets[a], sets[b]) for a, b in combinations(sets, 2)]
    for name, part in own.groupby("dataset", sort=False):
        seeds = part.pivot_table(index="system", columns="seed", values="ndcg@10")
        told = "{}, seed {:g}".format
        pairs += [("seeds", told(name, a), f"seed {b:g}", seeds[a], seeds[b]) for a, b in combinations(seeds, 2)]
    for (table, name), part in beside_published(runs).groupby(["table", "dataset"], sort=False):
        pairs.append(("paper and here", f"Table {table}, {name}", "measured", part["published"], part["measured"]))
    for kind, one, other, a, b in pairs:
        both = pd.DataFrame({"a": a, "b": b}).dropna()
        if len(both) >= 4:
            rows.append((kind, one, other, len(both), both.rank().corr().loc["a", "b"], (len(both) - 1) ** -0.5))
    return pd.DataFrame(rows, columns=["between", "one", "other", "n_systems", "correlation", "chance_deviation"])


def beats_baselines(runs: pd.DataFrame) -> pd.DataFrame:
    """Which systems are better than counting: dataset, baseline, baseline_ndcg@10, n_systems, n_better, not_better.

    stopped_early_share: of the runs of those not better, how many ended before their patience had run out.
    """
    table, own, rows = leaderboard(runs), _runs_of(runs), []
    early = stopped_early(own).groupby([own["dataset"], own["system"]]).mean()
    for dataset, part in table.groupby("dataset", sort=False):
        baselines, systems = (part[(part["reads"] == COUNTS) == kind] for kind in (True, False))
        for name, level in zip(baselines["name"], baselines["ndcg@10"]):
            below = systems[systems["ndcg@10"] <= level]
            share = early.loc[[(dataset, system) for system in below["system"]]].mean() if len(below) else None
            counts = len(systems), len(systems) - len(below), ", ".join(below["name"])
            rows.append((dataset, name, level, *counts, share))
    columns = ["n_systems", "n_better", "not_better", "stopped_early_share"]
    return pd.DataFrame(rows, columns=["dataset", "baseline", "baseline_ndcg@10", *columns])


def left_out(runs: pd.DataFrame) -> pd.DataFrame:
    """What has no numbers here: where (a data set, or a table of the paper), why, and the names of the systems."""
    rows = runs[runs["left_out"].notna() & (runs["experiment"] == "comparison")].drop_duplicates(["dataset", "system"])
    lines = list(zip(rows["dataset"], rows["left_out"], rows["system"].map(display_name)))
    for table, built in COLUMNS.items():
        names = published.paper(table)["column"].unique()
        unbuilt = [name for name in names if name not in (*built.values(), "improvement %")]
        lines += [(f"Table {table}", "not built here", name) for name in unbuilt]
    table = pd.DataFrame(lines, columns=["where", "why", "names"])
    return table.groupby(["where", "why"], sort=False)["names"].agg(", ".join).reset_index()


def cost(runs: pd.DataFrame) -> pd.DataFrame:
    """NDCG@10 and what it took, means over seeds: dataset, system, name, reads, ndcg@10, seconds, n_parameters.

    ``seed_spread``: the standard deviation of NDCG@10. Seconds of all training and validation, on the device of most
    runs of a dataset; parameters without per-item tables.
    """
    own = _runs_of(with_columns(runs, "device"))
    usual = own.groupby("dataset")["device"].transform(lambda names: names.mode().max())
    own = own[own["device"].isna() | (own["device"] == usual)]
    own = own.assign(seconds=own["seconds"] + own["pretraining_seconds"].fillna(0))
    columns = ["ndcg@10", "seconds", "n_parameters"]
    by = own.groupby(["dataset", "system", "name"], sort=False)
    table = by[columns].mean().assign(seed_spread=by["ndcg@10"].std()).reset_index()
    return table.assign(reads=table["system"].map(reads))


@styled
def plot_leaderboard(table: pd.DataFrame, title: str = "") -> Figure:
    """Systems by test NDCG@10, means over seeds and their range, with what counting reaches; ``leaderboard``."""
    most = table[table["reads"] != COUNTS].groupby("dataset").size().max()
    figure, drawn = panels(table, "dataset", 1.2, 1.5 + 0.26 * most, each=3.6, sharey=False)
    for axis, name, rows in drawn:
        own = rows[rows["reads"] != COUNTS].reset_index(drop=True)
        for kind, (colour, marker) in READS.items():
            part = own[own["reads"] == kind]
            ends = [part["ndcg@10"] - part["least"], part["most"] - part["ndcg@10"]]
            bars = ends if (own["n_seeds"] > 1).any() else None
            axis.errorbar(part["ndcg@10"], part.index, xerr=bars, fmt=marker, color=colour, ms=6, lw=1.5)
        for system, value in zip(rows["system"], rows["ndcg@10"]):
            if system in BASELINE_LINES:
                axis.axvline(value, color="black", ls=BASELINE_LINES[system], lw=1)
        low, high = rows[["ndcg@10", "least"]].min().min(), rows[["ndcg@10", "most"]].max().max()
        axis.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))  # lines at the rim, too
        axis.set_yticks(range(len(own)), own["name"], fontsize=8)
        axis.set(ylim=(len(own) - 0.5, -0.5), xlabel="test NDCG@10")
        seeds = " to ".join(str(n) for n in sorted({own["n_seeds"].min(), own["n_seeds"].max()}))
        told = rows["scales"].iloc[0], "one seed" if seeds == "1" else f"{seeds} seeds"
        axis.set_title(f"{name}\n{', '.join(filter(None, told))}", fontsize=10, loc="left")
    _legend(figure, table["reads"], baselines=True)
    return captioned(figure, title, 10)


def _legend(figure, kinds, baselines=False):
    handle = partial(plt.Line2D, [], [])
    own = {kind: look for kind, look in READS.items() if kind in set(kinds)}
    marks = [handle(color=colour, marker=mark, ls="", label=f"reads {kind}") for kind, (colour, mark) in own.items()]
    lines = [handle(color="black", ls=ls, lw=1, label=BASELINES[name]) for name, ls in BASELINE_LINES.items()]
    figure.legend(handles=marks + lines * baselines, loc="outside lower center", ncols=4, frameon=False, fontsize=8)


@styled
def plot_accuracy_cost(table: pd.DataFrame, title: str = "") -> Figure:
    """Test NDCG@10 by seconds of training (log scale); a frame of ``cost``. No system left of the line is better.

    Upright bars: a standard deviation over seeds to each side.
    """
    figure, drawn = panels(table, "dataset", 1.2, 5.6, each=3.8, size=10, sharey=False)
    for axis, _, rows in drawn:
        rows = rows.sort_values("seconds")
        front = rows[rows["ndcg@10"] >= rows["ndcg@10"].cummax()]
        axis.step(front["seconds"], front["ndcg@10"], where="post", color="#999999", lw=1, zorder=1)
        for kind, (colour, marker) in READS.items():
            part = rows[rows["reads"] == kind]
            place = part["seconds"], part["ndcg@10"]
            axis.errorbar(*place, yerr=part["seed_spread"].fillna(0), fmt="none", ecolor=colour, lw=0.8, zorder=1)
            axis.scatter(*place, color=[colour], marker=marker, s=36, zorder=2)
        axis.set(xscale="log", xlabel="seconds of training and validation", ylabel="test NDCG@10")
        low, high = rows["seconds"].min() / 2, 2 * rows["seconds"].max()
        ticks = [t for power in (1, 10, 100, 1000, 10000) for t in (power, 2 * power, 5 * power) if low < t < high]
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        axis.margins(x=0.35)
    _legend(figure, table["reads"])
    captioned(figure, title, 10)
    figure.draw_without_rendering()  # names go where nothing else is
    arrows = {"arrowstyle": "-", "color": "#999999", "lw": 0.5}
    for axis, _, rows in drawn:
        x, y = rows["seconds"].tolist(), rows["ndcg@10"].tolist()
        texts = [axis.text(a, b, name, fontsize=6.5) for a, b, name in zip(x, y, rows["name"])]
        adjust_text(texts, x, y, ax=axis, expand=(1.25, 1.6), force_text=(0.3, 0.6), arrowprops=arrows)
    return figure


@styled
def plot_order_agreement(table: pd.DataFrame, title: str = "") -> Figure:
    """Rank correlations, a mark per pair, by what is compared; a frame of ``agreement``."""
    table, chance = table.reset_index(drop=True), table["chance_deviation"]
    figure, axis = panel(8, 1.2 + 0.28 * len(table))
    label = "unrelated orders, one standard deviation"
    axis.barh(table.index, 2 * chance, left=-chance, color="#cccccc", height=0.7, label=label)
    for (kind, rows), colour in zip(table.groupby("between", sort=False), COLOURS):
        axis.plot(rows["correlation"], rows.index, "o", color=colour, label=f"between {kind}")
    names = [f"{row.one} and {row.other} ({row.n_systems} systems)" for row in table.itertuples()]
    axis.set_yticks(table.index, names, fontsize=8)
    axis.axvline(0, color="black", lw=1)
    axis.set(xlim=(-1.05, 1.05), ylim=(len(table) - 0.5, -0.5), xlabel="Spearman's rank correlation of NDCG@10")
    legend_beside(axis)
    axis.set_title(title, fontsize=10, loc="left")
    return figure


def stored_hybrids() -> pd.DataFrame:
    """Every sequence block over every item encoder, as ``benchmarks/hybrids.py`` measured them: ``hybrids.measure``."""
    return pd.read_csv(workspace() / "benchmarks" / "results" / "hybrids.csv")


def hybrid_table(table: pd.DataFrame) -> pd.DataFrame:
    """Test NDCG@10 of hybrids, a line per item encoder; a star: significantly different from the first, SASRec."""
    told = table["ndcg@10"].map("{:.3f}".format) + table["significant"].map({True: " *", False: ""})
    return table.assign(told=told).pivot_table("told", "items", "sequence", "first", sort=False)
