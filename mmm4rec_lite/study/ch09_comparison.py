"""The whole field beside one another: who reads what, who stands where, what it costs, and whether orders agree.

From kept runs (``gathered.stored``) and, live, from a ``trials.Task``. Every function returns a frame.
"""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from adjustText import adjust_text

from mmm4rec_lite import published
from mmm4rec_lite.data import batch
from mmm4rec_lite.evaluation import counting, metrics, model_scorer, rank_rows, user_history
from mmm4rec_lite.models.registry import get_model, list_models
from mmm4rec_lite.stages import split
from mmm4rec_lite.study.protocol.experiments import COLUMNS
from mmm4rec_lite.study.protocol.results import TITLES, cut, tidy
from mmm4rec_lite.study.protocol.runner import trial
from mmm4rec_lite.viz.style import COLOURS, empty_figure, styled

FLOORS = {"popularity": ":", "Markov chain": "--"}
READS = {  # what a system knows items by -> (colour, marker), the same in every figure
    "ids": (COLOURS[0], "o"),
    "texts": (COLOURS[1], "s"),
    "ids + texts": (COLOURS[2], "D"),
    "texts + pictures": (COLOURS[3], "^"),
    "ids + texts + pictures": (COLOURS[4], "P"),
}

FAMILIES = {
    "sasrec": "attention",
    "sasrec_t": "attention",
    "mamba4rec": "Mamba",
    "mamba4rec_t": "Mamba",
    "tim4rec": "Mamba",
    "tim4rec_t": "Mamba",
    "bsarec": "frequency",
    "unisrec": "pre-trained",
    "mmsrec": "pre-trained, multi-modal",
    "missrec": "pre-trained, multi-modal",
    "mmm4rec": "Mamba, pre-trained, multi-modal",
}
FLOOR = ("popularity", "Markov chain")
WORDS = {"id": "ids", "text": "texts", "image": "pictures"}


def reads(name):
    """What a system knows items by, for legends: "ids", "texts", "ids + texts", ... (times are not said)."""
    return " + ".join(word for part, word in WORDS.items() if part in get_model(name).reads)


def family(widths=(64, 256)):
    """A line per system: family, what it reads, whether there is a form with ids, stages, parameters, paper."""
    return pd.DataFrame(
        [
            {
                "system": s["title"],
                "family": FAMILIES[s["name"]],
                "reads": ", ".join(s["modalities"]),
                "+ ID": "yes" if s["with ids too"] else "",
                "stages": ", ".join(s["stages"]),
                **{f"parameters at {w}": s["parameters"][str(w)] for w in widths},
                "published": s["paper"],
            }
            for s in list_models(widths)
        ]
    ).sort_values("family", kind="stable", ignore_index=True)


def choices(task, name="sasrec", others=20, seed=0, **setting):
    """One protocol choice changed at a time, nobody trained anew: choice, system, ndcg@10, rows ranked.

    Systems: popularity, a Markov chain, and ``name`` as ``trial`` keeps it. Choices: as here; history taken out; only
    ``others`` random items compete; users and the items to find cut by time instead (the counting baselines alone:
    they are counted anew).
    """
    rows = split(task.dataset)
    trained = trial(task, name, seed, **setting).model
    scorers = {**counting(rows), get_model(name).title: model_scorer(trained)}
    ways = {
        "as here: all items, history kept": (False, None),
        "history removed": (True, None),
        f"against {others} random items": (False, others),
    }
    lines = []
    for choice, (filter_seen, few) in ways.items():
        for system, score in scorers.items():
            score = sampled_candidates(score, few, seed) if few else score
            ranks = rank_rows(score, rows.sequences, rows.test, trained.window, filter_seen)
            lines.append({"choice": choice, "system": system, "ndcg@10": metrics(ranks)["ndcg@10"], "rows": len(ranks)})
    late = split(task.dataset, "global_time")
    for system, score in counting(late).items():
        ranks = rank_rows(score, late.sequences, late.test, 1)
        lines.append(
            {
                "choice": "split by time, not by user",
                "system": system,
                "ndcg@10": metrics(ranks)["ndcg@10"],
                "rows": len(ranks),
            }
        )
    return pd.DataFrame(lines)


def sampled_candidates(score, others, seed=0):
    """A scorer that lets the target compete with ``others`` items drawn at random, all else at -inf."""
    generator = torch.Generator().manual_seed(seed)

    def sampled(rows):
        scores = score(rows).clone()
        draw = torch.rand(scores.shape, generator=generator)
        draw[:, 0] = 2  # padding never
        draw = draw.scatter(1, rows.targets.unsqueeze(1), -1.0)  # the target always
        return scores.masked_fill((draw.argsort(1).argsort(1) > others).to(scores.device), -torch.inf)

    return sampled


def suggestions(task, names, user, k=8, seed=0, **setting):
    """(history, what came next, title -> the k best) for one test user, by trained systems; all frames with item,
    title, image. What the user has seen is left out of the lists."""
    dataset = task.dataset
    rows = split(dataset)
    own = user_history(dataset, user)
    row = rows.test[[rows.sequences.users[u] == user for u in _user_of(rows)]]
    lists = {}
    for name in names:
        model = trial(task, name, seed, **setting).model
        scores = model_scorer(model)(batch(rows.sequences, row, model.window))[0, 1:].cpu()
        scores[torch.tensor(dataset.items["item"].isin(own["item"].iloc[:-1]).tolist())] = -torch.inf
        lists[get_model(name).title] = dataset.items.iloc[scores.topk(k).indices.tolist()][["item", "title", "image"]]
    return own.iloc[:-1], own.tail(1), lists


def _user_of(rows):
    """The number of the user of every test row."""
    starts = rows.sequences.first.unique()
    return torch.searchsorted(starts, rows.sequences.first[rows.test]).tolist()


def leaderboard(runs, experiment="comparison"):
    """dataset, system, label, reads, ndcg@10 (mean over seeds), least, most, seeds, place (1: best), and the counting
    baselines; best first within a dataset. ``reads`` of these: "counts"."""
    own = tidy(runs).query("experiment == @experiment")
    by = own.groupby(["dataset", "system", "label"], sort=False)["ndcg@10"]
    table = by.agg(["mean", "min", "max", "size"]).reset_index()
    table.columns = ["dataset", "system", "label", "ndcg@10", "least", "most", "seeds"]
    table["reads"] = ["counts" if name in FLOOR else reads(name) for name in table["system"]]
    trained = table[~table["system"].isin(FLOOR)]
    table["place"] = trained.groupby("dataset")["ndcg@10"].rank(ascending=False, method="min")
    order = {name: i for i, name in enumerate(table["dataset"].unique())}
    return table.sort_values(
        ["dataset", "ndcg@10"], key=lambda c: c.map(order) if c.name == "dataset" else -c, ignore_index=True
    )


def caption(runs, experiment="comparison"):
    """What kind of numbers the runs of an experiment are, for titles: scale, setting, width, seeds."""
    own = tidy(runs).query("experiment == @experiment and seed == seed")
    each = lambda column: ", ".join(
        f"{value:g}" if isinstance(value, float) else str(value) for value in sorted(own[column].dropna().unique())
    )
    return (
        f"measured: {each('scale')} scale, {each('setting')} setting, width {each('width')}, "
        f"seed{'s' * (own['seed'].nunique() > 1)} {each('seed')}"
    )


def beside_published(runs, tables=(2, 3)):
    """NDCG@10 printed and measured, where both are: table, dataset, system, published, measured, difference,
    published place, measured place (among the systems of this line's table and dataset that both have)."""
    measured = leaderboard(runs).set_index(["dataset", "system"])["ndcg@10"]
    lines = []
    for table in tables:
        printed = published.paper(table, row="ndcg@10").set_index(["dataset", "column"])["value"]
        lines += [
            {
                "table": table,
                "dataset": dataset,
                "system": TITLES[name],
                "published": printed[dataset, column],
                "measured": measured[dataset, name],
            }
            for dataset in printed.index.unique("dataset")
            for name, column in COLUMNS[table].items()
            if (dataset, name) in measured.index and (dataset, column) in printed.index
        ]
    out = pd.DataFrame(lines, columns=["table", "dataset", "system", "published", "measured"])
    out["difference"] = out["measured"] - out["published"]
    places = out.groupby(["table", "dataset"])[["published", "measured"]].rank(ascending=False, method="min")
    return out.assign(**{f"{name} place": places[name].astype(int) for name in places})


def agreement(runs):
    """Do orders agree? Spearman's rank correlation of NDCG@10: between, one, other, correlation, systems, by chance.

    Between data sets (means over seeds), between seeds of one data set, and between the paper and here (per table and
    data set). ``by chance``: the standard deviation of the correlation of orders that have nothing to do with each
    other, 1 / sqrt(systems - 1). Pairs with fewer than 4 systems in common are left out.
    """
    own = tidy(runs).query("experiment == 'comparison' and seed == seed")
    sets = own.pivot_table(index="system", columns="dataset", values="ndcg@10")
    pairs = [("data sets", a, b, sets[a], sets[b]) for a, b in combinations(sets, 2)]
    for name, rows in own.groupby("dataset", sort=False):
        seeds = rows.pivot_table(index="system", columns="seed", values="ndcg@10")
        pairs += [
            ("seeds", f"{name}, seed {a:g}", f"seed {b:g}", seeds[a], seeds[b]) for a, b in combinations(seeds, 2)
        ]
    for (table, name), rows in beside_published(runs).groupby(["table", "dataset"], sort=False):
        pairs.append(("paper and here", f"Table {table}, {name}", "measured", rows["published"], rows["measured"]))
    lines = []
    for kind, one, other, a, b in pairs:
        both = pd.DataFrame({"a": a, "b": b}).dropna()
        if len(both) >= 4:
            lines.append(
                {
                    "between": kind,
                    "one": one,
                    "other": other,
                    "systems": len(both),
                    "correlation": both.rank().corr().loc["a", "b"],
                    "by chance": (len(both) - 1) ** -0.5,
                }
            )
    return pd.DataFrame(lines, columns=["between", "one", "other", "systems", "correlation", "by chance"])


def beats_baselines(runs):
    """Who beats counting: dataset, floor, its ndcg@10, systems, above it, not above it (names), cut short.

    ``cut short``: of the runs of those not above it, the share (%) that ended before their patience had run out, so
    that longer training may still lift them.
    """
    table = leaderboard(runs)
    own = tidy(runs).query("experiment == 'comparison' and seed == seed")
    short = cut(own).groupby([own["dataset"], own["system"]]).mean()
    lines = []
    for floor in table[table["system"].isin(FLOOR)].itertuples():
        level = table["ndcg@10"][floor.Index]
        rows = table[(table["dataset"] == floor.dataset) & ~table["system"].isin(FLOOR)]
        below = rows[rows["ndcg@10"] <= level]
        shares = [short[floor.dataset, name] for name in below["system"]]
        lines.append(
            {
                "dataset": floor.dataset,
                "floor": floor.label,
                "its ndcg@10": level,
                "systems": len(rows),
                "above it": len(rows) - len(below),
                "not above it": ", ".join(below["label"]),
                "cut short (%)": round(100 * sum(shares) / len(shares)) if shares else None,
            }
        )
    return pd.DataFrame(lines).astype({"cut short (%)": "Int64"})


def left_out(runs):
    """What has no numbers here, and why: where (a data set, or a table of the paper), why, system (names)."""
    rows = runs[runs["ndcg@10"].isna() & (runs["experiment"] == "comparison")]
    missing = rows[rows["left_out"].notna()][["dataset", "label", "left_out"]].drop_duplicates()
    lines = [{"where": where, "system": label, "why": why.split("; ")[-1]} for where, label, why in missing.to_numpy()]
    for table, built in COLUMNS.items():
        names = published.paper(table)["column"].unique()
        lines += [
            {"where": f"Table {table}", "system": name, "why": "not built here"}
            for name in names
            if name not in (*built.values(), "improvement %")
        ]
    return pd.DataFrame(lines).groupby(["where", "why"], sort=False)["system"].agg(", ".join).reset_index()


def cost(runs):
    """NDCG@10 and what it took: dataset, label, reads, ndcg@10, seconds (training and validation, pre-training too),
    parameters without per-item tables; means over seeds. Seconds of one machine, so they compare among themselves."""
    own = tidy(runs).query("experiment == 'comparison' and seed == seed")
    own = own.assign(seconds=own["seconds"] + own["pretraining_seconds"].fillna(0))
    columns = ["ndcg@10", "seconds", "parameters"]
    table = own.groupby(["dataset", "system", "label"], sort=False)[columns].mean().reset_index()
    return table.assign(reads=[reads(name) for name in table["system"]])


def early_losses(runs, first=6):
    """Training loss over that of guessing, ln(items), by epoch: a row per data set and system, mean over seeds.

    From the stored "figure4", runs from scratch. 1 is guessing; systems minimise different things, so compare a row
    with itself.
    """
    own = runs.query("experiment == 'figure4' and stage == 'scratch' and epoch <= @first")
    own = own.assign(share=own["loss"] / np.log(own["items"]), epoch=own["epoch"].astype(int))
    return own.pivot_table(index=["dataset", "label"], columns="epoch", values="share")


@styled
def plot_leaderboard(table, title=""):
    """Systems by test NDCG@10, a panel per data set, best on top; a frame of ``experiments.standings.standings``.

    A mark is the mean over seeds, a bar goes from the lowest to the highest seed (no bar with one seed). Lines: what
    counting reaches.
    """
    names = list(table["dataset"].unique())
    most = table[table["reads"] != "counts"].groupby("dataset").size().max()
    figure = empty_figure(3.6 * len(names) + 1.2, 1.5 + 0.26 * most)
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names):
        rows = table[table["dataset"] == name]
        own = rows[rows["reads"] != "counts"].reset_index(drop=True)
        for kind, (colour, marker) in READS.items():
            part = own[own["reads"] == kind]
            ends = [part["ndcg@10"] - part["least"], part["most"] - part["ndcg@10"]]
            axis.errorbar(
                part["ndcg@10"],
                part.index,
                xerr=ends if (own["seeds"] > 1).any() else None,
                fmt=marker,
                color=colour,
                ms=6,
                lw=1.5,
            )
        for label, style in FLOORS.items():
            for value in rows.loc[rows["label"] == label, "ndcg@10"]:
                axis.axvline(value, color="black", ls=style, lw=1)
        low, high = rows[["ndcg@10", "least"]].min().min(), rows[["ndcg@10", "most"]].max().max()
        axis.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))  # lines at the rim, too
        axis.set_yticks(range(len(own)), own["label"], fontsize=8)
        axis.set(ylim=(len(own) - 0.5, -0.5), xlabel="test NDCG@10")
        axis.set_title(f"{name}, {_seeds(own)}", fontsize=10, loc="left")
    _legend(figure, table["reads"], floors=True)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _legend(figure, kinds, floors=False):
    marks = [
        plt.Line2D([], [], color=colour, marker=marker, ls="", label=f"reads {kind}")
        for kind, (colour, marker) in READS.items()
        if kind in set(kinds)
    ]
    lines = [plt.Line2D([], [], color="black", ls=style, lw=1, label=name) for name, style in FLOORS.items()]
    figure.legend(handles=marks + lines * floors, loc="outside lower center", ncols=4, frameon=False, fontsize=8)


def _seeds(rows):
    least, most = rows["seeds"].min(), rows["seeds"].max()
    return ("one seed" if most == 1 else f"{most} seeds") if least == most else f"{least} to {most} seeds"


@styled
def plot_accuracy_cost(table, title=""):
    """Test NDCG@10 against seconds of training (log scale), a panel per data set; a frame of
    ``experiments.standings.cost``. The line: nobody left of it is better."""
    names = list(table["dataset"].unique())
    figure = empty_figure(3.8 * len(names) + 1.2, 4.6)
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names):
        rows = table[table["dataset"] == name].sort_values("seconds")
        front = rows[rows["ndcg@10"] >= rows["ndcg@10"].cummax()]
        axis.step(front["seconds"], front["ndcg@10"], where="post", color="#999999", lw=1, zorder=1)
        for kind, (colour, marker) in READS.items():
            part = rows[rows["reads"] == kind]
            axis.scatter(part["seconds"], part["ndcg@10"], color=[colour], marker=marker, s=36, zorder=2)
        axis.set(xscale="log", xlabel="seconds of training and validation", ylabel="test NDCG@10")
        ticks = [
            t
            for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
            if rows["seconds"].min() / 2 < t < 2 * rows["seconds"].max()
        ]
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        axis.margins(x=0.35)
        axis.set_title(name, fontsize=10, loc="left")
    _legend(figure, table["reads"])
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.draw_without_rendering()  # names go where nothing else is
    for axis, name in zip(axes, names):
        rows = table[table["dataset"] == name]
        x, y = rows["seconds"].tolist(), rows["ndcg@10"].tolist()
        texts = [axis.text(*place, label, fontsize=6.5) for *place, label in zip(x, y, rows["label"])]
        adjust_text(
            texts, x, y, ax=axis, expand=(1.25, 1.9), arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.5}
        )
    return figure


@styled
def plot_order_agreement(table, title=""):
    """Rank correlations, a mark per pair, by what is compared; a frame of ``experiments.standings.agreement``.

    Grey: one standard deviation of what unrelated orders of as many systems give.
    """
    table = table.reset_index(drop=True)
    figure = empty_figure(8, 1.2 + 0.28 * len(table))
    axis = figure.subplots()
    axis.barh(
        table.index,
        2 * table["by chance"],
        left=-table["by chance"],
        color="#cccccc",
        height=0.7,
        label="unrelated orders, one standard deviation",
    )
    for (kind, rows), colour in zip(table.groupby("between", sort=False), COLOURS):
        axis.plot(rows["correlation"], rows.index, "o", color=colour, label=f"between {kind}")
    names = [f"{row.one} and {row.other} ({row.systems} systems)" for row in table.itertuples()]
    axis.set_yticks(table.index, names, fontsize=8)
    axis.axvline(0, color="black", lw=1)
    axis.set(xlim=(-1.05, 1.05), ylim=(len(table) - 0.5, -0.5), xlabel="Spearman's rank correlation of NDCG@10")
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axis.set_title(title, fontsize=10, loc="left")
    return figure
