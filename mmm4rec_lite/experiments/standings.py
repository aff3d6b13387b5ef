"""The whole field beside one another: who reads what, who stands where, what it costs, and whether orders agree.

From kept runs (``gathered.stored``) and, live, from a ``trials.Material``. Every function returns a frame.
"""

from itertools import combinations

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite import published
from mmm4rec_lite.baselines import counting
from mmm4rec_lite.data import batch
from mmm4rec_lite.evaluate import metrics, model_scorer, rank_rows
from mmm4rec_lite.experiments.gathered import TITLES, cut, tidy
from mmm4rec_lite.experiments.paper import COLUMNS
from mmm4rec_lite.experiments.trials import trial
from mmm4rec_lite.recommend import user_history
from mmm4rec_lite.stages import split
from mmm4rec_lite.systems import find, listing

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
    return " + ".join(word for part, word in WORDS.items() if part in find(name).reads)


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
            for s in listing(widths)
        ]
    ).sort_values("family", kind="stable", ignore_index=True)


def choices(material, name="sasrec", others=20, seed=0, **setting):
    """One protocol choice changed at a time, nobody trained anew: choice, system, ndcg@10, rows ranked.

    Systems: popularity, a Markov chain, and ``name`` as ``trial`` keeps it. Choices: as here; history taken out; only
    ``others`` random items compete; users and the items to find cut by time instead (the counting baselines alone:
    they are counted anew).
    """
    rows = split(material.dataset)
    trained = trial(material, name, seed, **setting).model
    scorers = {**counting(rows), find(name).title: model_scorer(trained)}
    ways = {
        "as here: all items, history kept": ("kept", None),
        "history removed": ("removed", None),
        f"against {others} random items": ("kept", others),
    }
    lines = []
    for choice, (seen, few) in ways.items():
        for system, score in scorers.items():
            score = among(score, few, seed) if few else score
            ranks = rank_rows(score, rows.sequences, rows.test, trained.window, seen)
            lines.append({"choice": choice, "system": system, "ndcg@10": metrics(ranks)["ndcg@10"], "rows": len(ranks)})
    late = split(material.dataset, "global_time")
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


def among(score, others, seed=0):
    """A scorer that lets the target compete with ``others`` items drawn at random, all else at -inf."""
    generator = torch.Generator().manual_seed(seed)

    def sampled(rows):
        scores = score(rows).clone()
        draw = torch.rand(scores.shape, generator=generator)
        draw[:, 0] = 2  # padding never
        draw = draw.scatter(1, rows.targets.unsqueeze(1), -1.0)  # the target always
        return scores.masked_fill((draw.argsort(1).argsort(1) > others).to(scores.device), -torch.inf)

    return sampled


def suggestions(material, names, user, k=8, seed=0, **setting):
    """(history, what came next, title -> the k best) for one test user, by trained systems; all frames with item,
    title, image. What the user has seen is left out of the lists."""
    dataset = material.dataset
    rows = split(dataset)
    own = user_history(dataset, user)
    row = rows.test[[rows.sequences.users[u] == user for u in _user_of(rows)]]
    lists = {}
    for name in names:
        model = trial(material, name, seed, **setting).model
        scores = model_scorer(model)(batch(rows.sequences, row, model.window))[0, 1:].cpu()
        scores[torch.tensor(dataset.items["item"].isin(own["item"].iloc[:-1]).tolist())] = -torch.inf
        lists[find(name).title] = dataset.items.iloc[scores.topk(k).indices.tolist()][["item", "title", "image"]]
    return own.iloc[:-1], own.tail(1), lists


def _user_of(rows):
    """The number of the user of every test row."""
    starts = rows.sequences.first.unique()
    return torch.searchsorted(starts, rows.sequences.first[rows.test]).tolist()


def standings(runs, experiment="comparison"):
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
    measured = standings(runs).set_index(["dataset", "system"])["ndcg@10"]
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


def above_the_floor(runs):
    """Who beats counting: dataset, floor, its ndcg@10, systems, above it, not above it (names), cut short.

    ``cut short``: of the runs of those not above it, the share (%) that ended before their patience had run out, so
    that longer training may still lift them.
    """
    table = standings(runs)
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
    missing = rows[rows["left out"].notna()][["dataset", "label", "left out"]].drop_duplicates()
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
    own = own.assign(seconds=own["seconds"] + own["pre-training seconds"].fillna(0))
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
