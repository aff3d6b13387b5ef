"""First answers to what the paper leaves open: pictures that are missing, gaps that pay, a third modality, memory.

Each is a frame. Stored runs (``gathered.stored``, ``benchmarks/results/store.csv`` and ``third-modality.csv``) stand
beside what a moment computes on the demo store, whose truth is known.
"""

import copy
import hashlib
from dataclasses import replace
from functools import cache

import matplotlib.pyplot as plt
import pandas as pd
import torch

from mmm4rec_lite.analysis import half_lives, steps, without_memory
from mmm4rec_lite.data import statistics
from mmm4rec_lite.evaluation import counting, model_scorer, rank_rows, recommend_after, user_history
from mmm4rec_lite.stages import split
from mmm4rec_lite.study.protocol.results import tidy
from mmm4rec_lite.study.shop import NO_ID, SHORTEST, STORE, TIME, Table, World, scale, shown, train, world
from mmm4rec_lite.study.shop_report import pooled
from mmm4rec_lite.viz.style import COLOURS, empty_figure, span, styled

MARKERS = "osD^Pv"

COLOUR = slice(4, 8)  # its columns in the features of ``store.shown``
JOINED = {  # where the third vector goes: (to the text, to the picture)
    "not given": (False, False),
    "joined to the text": (True, False),
    "joined to the picture": (False, True),
    "joined to both": (True, True),
}
WITHOUT, LEARNED = "not given", "not given, a learned vector per item"


# a third modality


def third_features(truth, dataset, text=False, picture=False):
    """Features of a shop whose pictures and texts show shapes alone; colours come as a third vector, one-hot.

    ``text``, ``picture``: whether the third vector is joined to the text's, to the picture's. As ``store.shown`` else.
    """
    plain = shown(truth, dataset)
    colour = plain.text[:, COLOUR].clone()
    tables = {}
    for name, joined in (("text", text), ("image", picture)):
        bare = getattr(plain, name).clone()
        bare[:, COLOUR] = 0
        tables[name] = torch.cat([bare, colour], 1) if joined else bare
    source = hashlib.sha256(torch.cat([tables["text"], tables["image"]], 1).numpy().tobytes()).hexdigest()
    encoder = {**plain.encoder, "fingerprint": f"one-hot shape, third to text {text}, to picture {picture}"}
    return replace(plain, **tables, encoder=encoder, source=source)


def third_modality(seeds=2):
    """What a third vector is worth, by where it is joined: a frame as those of `shop`.

    No gaps are at issue here, so all else is as in its modality part: no item tables (but in one form), short training.
    Bounds: the store's own best, judging items by their shape alone, and knowing all.
    """
    lines = []
    for seed in range(seeds):
        shop = World(STORE.replace(seed=seed))
        table = Table("third modality", "colours in a third vector", shop)
        forms = {name: (to, False) for name, to in JOINED.items()} | {LEARNED: (JOINED[WITHOUT], True)}
        for name, (to, learned) in forms.items():
            features = third_features(shop.truth, shop.dataset, *to)
            trained, notes = train(
                shop, NO_ID.replace(item_bias=learned), SHORTEST.replace(seed=seed), features=features
            )
            table.add(name, model_scorer(trained), **notes)
        table.add("best by shapes alone", shop.best(knows="shape"))
        table.add("best", shop.best())
        lines += table.compared(WITHOUT)
    return pd.DataFrame(lines)


def pair_parts(model):
    """Where a model is built for two modalities: part, equation, parameters (of this model), what a third one asks."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    count = lambda *parts: sum(n for name, n in sizes.items() if any(part in name for part in parts))
    outside = lambda *parts: sum(n for name, n in sizes.items() if name.startswith(parts))  # of the layers
    rows = [
        (
            "adapters, item tables, norms",
            "2",
            outside("adapter_", "bias_", "norm_", "gap_", "request_"),
            "one more of each; nothing to decide",
        ),
        ("TiSSD", "10", count(".tissd."), "shared: run it a third time; apart: one more"),
        ("feed-forward and norm", "11", count(".ffn_text.", ".ffn_image."), "one more"),
        (
            "Fourier filter, adaptive part",
            "12-14",
            count(".filter.text", ".filter.image"),
            "one more; the sum of eq. 16 grows",
        ),
        (
            "TiCoSSD",
            "17, 18",
            count(".ticossd."),
            "open: one asks (C), one answers (B, X, Delta); three have six such pairs",
        ),
        ("sum behind it", "19", 0, "one more addend"),
        ("what the next layer gets", "-", 0, "open: the fused stream takes the pictures' place, texts stay texts"),
        ("score", "20", outside("fusion"), "one more unit vector in the sum"),
    ]
    return pd.DataFrame(rows, columns=["part", "equation", "parameters here", "for a third modality"])


# pictures that are missing


def missing(runs):
    """Stored runs ranked with pictures taken away: dataset, label, seed, missing (share of the items), ndcg@10, kept
    (over that of the same run with all its pictures)."""
    rows = tidy(runs).query("experiment == 'missing-modality'")
    rows = rows[["dataset", "label", "seed", "missing", "ndcg@10"]].sort_values("missing", kind="stable")
    whole = rows.groupby(["dataset", "label", "seed"])["ndcg@10"].transform("first")
    return rows.assign(kept=rows["ndcg@10"] / whole).sort_values(["dataset", "label", "seed"], ignore_index=True)


def lost_where(shares=(0, 0.25, 0.5, 0.75, 1.0), seed=0):
    """The store's model (its model at this scale) when pictures are lost: given, missing (share of items), ndcg@10.

    Expected NDCG@10. given: lost in the history alone, among the candidates alone, in both; and "trained without
    pictures", the same model that never had any.
    """
    shop, training = world(seed), scale()[0]
    model = shop.trained(NO_ID, training)
    order = torch.rand(len(model.image_features), generator=torch.Generator().manual_seed(seed)).argsort().argsort()
    lines = []
    for share in shares:
        poor = shop.trained(NO_ID, training)
        poor.drop_images(order < round(share * len(order)))
        for given, asks, shelf in (
            ("lost in the history", poor, model),
            ("lost in the shop", model, poor),
            ("lost in both", poor, poor),
        ):
            candidates = shelf.candidates().detach()
            score = lambda rows, asks=asks, candidates=candidates: model.score(asks.users(rows), candidates).detach()
            value = shop.accuracy(score)
            lines.append({"given": given, "missing": share, "ndcg@10": value})
    never = train(shop, NO_ID, training.replace(seed=seed), off=("picture",))[0].cpu()
    value = shop.accuracy(model_scorer(never))
    lines += [{"given": "trained without pictures", "missing": share, "ndcg@10": value} for share in shares]
    return pd.DataFrame(lines)


@torch.no_grad()
def dialled(model, dataset, user=None, k=10):
    """The k best for one user (default: the first) with all pictures, with none in the history, with none in the shop.

    The settings of ``widgets.modality_dial`` as frames: name -> item, title, image. Seen items are left out.
    """
    user = user or dataset.interactions["user"].iloc[0]
    history, poor = user_history(dataset, user), copy.deepcopy(model)
    poor.drop_images(slice(None))
    ways = {"all pictures": (model, model), "none in the history": (poor, model), "none in the shop": (model, poor)}
    return {
        name: recommend_after(asks, dataset, history, k, candidates=shelf.candidates())
        for name, (asks, shelf) in ways.items()
    }


# gaps that pay


def time_gains(runs, pairs, made_up):
    """What the time branch adds to NDCG@10: data, system, gain, standard error, seeds, difference (= gain), form.

    From the stored pairs of "time-benefit" and "table5" (with time against without, same users), and from the demo
    store's frame ``made_up`` (expected NDCG@10; the larger of the users' and the seeds' standard error).
    """
    lines, known = [], tidy(runs)["dataset"].unique()
    pairs = pd.DataFrame() if pairs is None else pairs
    for row in pairs.to_dict(orient="records"):
        name, timeless = row["form"], f"{row['form']}, w/o Time"
        if row["experiment"] == "time-benefit" and row["against"] == timeless:
            lines.append((row["dataset"], name, row["difference"], row["standard_error"], row["seeds"]))
        if row["experiment"] == "table5" and name == "w/o Time" and row["dataset"] in known:
            lines.append(
                (row["dataset"], "MMM4Rec + ID (Table 5)", -row["difference"], row["standard_error"], row["seeds"])
            )
    table = pooled(made_up[made_up["part"] == "gaps"])
    for row in table[table["system"].isin(["revived time branch", "gap vector", "published time branch"])].to_dict(
        orient="records"
    ):
        lines.append((f"store, {row['world']}", row["system"], row["difference"], row["error"], row["seeds"]))
    out = pd.DataFrame(lines, columns=["data", "system", "gain", "standard_error", "seeds"])
    return out.assign(difference=out["gain"], form=out["data"] + ": " + out["system"])


def store_worlds(effects=(1.0, 0.0)):
    """The store's dataset where gaps tell all that they can (knob 1) and where they tell nothing (knob 0)."""
    return {f"store, gap effect {effect:g}": World(STORE.replace(gap_effect=effect)).dataset for effect in effects}


def gap_tells(datasets, parts=4):
    """Does what comes next depend on the gap before it? A Markov chain's recall@10 by the gap up to the target.

    datasets: name -> dataset. The last two targets of each user, in ``parts`` of equal size by gap; the chain is
    counted on earlier ones. Columns: data, part (1: the shortest gaps), gap (median, seconds), found (share), se, rows.
    Needs no model; where the shares are alike, knowing how long a user was away says little about what is next.
    """
    lines = []
    for name, dataset in datasets.items():
        rows = split(dataset)
        flat, targets = rows.sequences, torch.cat([rows.valid, rows.test])
        gap = flat.times[targets] - flat.times[targets - 1]
        hits = rank_rows(counting(rows)["Markov chain"], flat, targets, 1) <= 10
        frame = pd.DataFrame({"gap": gap, "hit": hits.double()})
        frame["part"] = pd.qcut(frame["gap"].rank(method="first"), parts, labels=False) + 1
        found = (
            frame.groupby("part")
            .agg(gap=("gap", "median"), found=("hit", "mean"), se=("hit", "sem"), rows=("hit", "size"))
            .reset_index()
        )
        lines.append(found.assign(data=name))
    return pd.concat(lines, ignore_index=True)[["data", "part", "gap", "found", "se", "rows"]]


def gap_table(runs, datasets):
    """``statistics.gap_statistics`` of ``datasets`` (name -> dataset), and above them those kept with stored runs."""
    own = tidy(runs).query("experiment == 'time-benefit'")
    here = pd.concat([statistics.gap_statistics([dataset]).assign(dataset=name) for name, dataset in datasets.items()])
    kept = own[[name for name in here if name in own]].drop_duplicates("dataset") if "n_gaps" in own else own[:0]
    kept = kept[~kept["dataset"].isin(list(datasets))].reindex(columns=here.columns)
    return pd.concat([kept, here] if len(kept) else [here], ignore_index=True)


# memory

LONG = TIME.replace(max_len=12)  # no convolution: what the model remembers it remembers in its states


@cache
def memory_worlds():
    """Two shops with long histories: interests gone for good after 10 days' half-life, and two that come round."""
    return {
        "interests do not return": World(STORE.replace(length=24)),
        "interests return": World(STORE.replace(length=24, seasons=2)),
    }


def memory_models():
    """Shop -> (when -> model): "start" and "trained" (10 s each on a core, kept), without convolution."""
    out = {}
    for name, shop in memory_worlds().items():
        out[name] = {"start": shop.fresh(LONG), "trained": shop.trained(LONG, SHORTEST)}
    return out


def half_life_table(models, batches):
    """Half-lives of every head, over the test users: data, place, head, when, low, median, high (quartiles, in steps).

    models: data -> (when -> model); batches: data -> ``data.Batch``. Each user's at the mean decay of their history.
    """
    lines = []
    for name, states in models.items():
        one = batches[name]
        for when, model in states.items():
            for place, (dt, A) in steps(model, one.items, one.lengths, one.times).items():
                low, middle, high = half_lives(dt, A, one.lengths).nanquantile(torch.tensor([0.25, 0.5, 0.75]), dim=0)
                lines += [
                    {"data": name, "place": place, "head": head, "when": when, "low": a, "median": b, "high": c}
                    for head, (a, b, c) in enumerate(zip(low.tolist(), middle.tolist(), high.tolist()), 1)
                ]
    return pd.DataFrame(lines)


def memory_batches():
    """Shop -> the test users' histories, as ``half_life_table`` wants them."""
    return {name: shop.histories(LONG.max_len) for name, shop in memory_worlds().items()}


def memory_worth(models, few=3):
    """What memory is worth: data, system, ndcg@10 (expected): trained, its states wiped, told the last ``few`` items
    alone, and the best that can be had from so many and from all twelve."""
    lines = []
    for name, shop in memory_worlds().items():
        model, best = models[name]["trained"], shop.best()
        given = {
            "trained": (model_scorer(model), None),
            f"trained, last {few} items": (model_scorer(model), few),
            "trained, states wiped": (model_scorer(without_memory(model)), None),
            "the best": (best, None),
            f"the best, last {few} items": (best, few),
        }
        lines += [
            {"data": name, "system": system, "ndcg@10": shop.accuracy(score, LONG.max_len, kept)}
            for system, (score, kept) in given.items()
        ]
    return pd.DataFrame(lines)


def memory_curves(made_up):
    """Stored expected NDCG@10 by how many items are kept: world, who ("best", "trained"), kept, ndcg@10."""
    table = pooled(made_up[made_up["part"] == "memory"])
    table = table.drop(columns="ndcg@10").rename(columns={"expected_ndcg@10": "ndcg@10"})
    return table.assign(who=table["system"].replace("gap vector", "trained"))[["world", "who", "kept", "ndcg@10"]]


@styled
def plot_missing_curves(table, title=""):
    """NDCG@10 and the share of it that is kept, by how many items lost their picture; ``questions.missing``.

    A line per system, the mean over seeds; the band goes from the lowest to the highest seed (none with one seed).
    """
    figure = empty_figure(8.6, 3.4)
    axes = figure.subplots(1, 2)
    for axis, column, factor in zip(axes, ("ndcg@10", "kept"), (1, 100)):
        for (label, rows), colour, marker in zip(table.groupby("label", sort=True), COLOURS, MARKERS):
            by = factor * rows.groupby("missing")[column].agg(["mean", "min", "max"])
            axis.plot(100 * by.index, by["mean"], marker=marker, color=colour, label=label)
            axis.fill_between(100 * by.index, by["min"], by["max"], color=colour, alpha=0.15, lw=0)
        axis.set(xlabel="items that lost their picture (%)", xticks=[0, 25, 50, 75, 100])
    axes[0].set(ylabel="test NDCG@10", ylim=(0, None))
    axes[1].set(ylabel="kept of its own NDCG@10 (%)")
    axes[1].axhline(100, color="black", lw=1)
    axes[1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


@styled
def plot_lost_curves(table, title=""):
    """Expected NDCG@10 of one model by the share of pictures lost, a line per place; ``questions.lost_where``."""
    figure = empty_figure(7, 3)
    axis = figure.subplots()
    for (given, rows), colour, marker in zip(table.groupby("given", sort=False), COLOURS, MARKERS):
        plain = rows["ndcg@10"].nunique() == 1
        axis.plot(
            100 * rows["missing"],
            rows["ndcg@10"],
            color="black" if plain else colour,
            label=given,
            ls="--" if plain else "-",
            marker=None if plain else marker,
        )
    axis.set(xlabel="items that lost their picture (%)", ylabel="expected NDCG@10", xticks=[0, 25, 50, 75, 100])
    axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    axis.set_title(title, fontsize=10, loc="left")
    return figure


@styled
def plot_gap_dependence(table, title=""):
    """How often a Markov chain finds the next item, by the gap before it; ``questions.gap_tells``.

    A panel per data set, its targets in parts of equal size by gap, the median gap below; bars of two standard errors.
    """
    names = list(table["data"].unique())
    figure = empty_figure(2.7 * len(names) + 0.6, 2.9)
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axis, name, colour in zip(axes, names, COLOURS):
        rows = table[table["data"] == name]
        axis.errorbar(rows["part"], rows["found"], yerr=2 * rows["se"], fmt="o-", color=colour, capsize=3)
        axis.set_xticks(rows["part"], [span(gap) for gap in rows["gap"]], fontsize=8)
        axis.set(xlim=(0.5, rows["part"].max() + 0.5))
        axis.set_title(name, fontsize=9, loc="left")
    axes[0].set(ylabel="Recall@10 of a Markov chain", ylim=(0, 1.15 * table["found"].max()))
    figure.supxlabel("gap before the item to find: median of each quarter of the targets", fontsize=9)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


@styled
def plot_third_modality(table, title=""):
    """Expected NDCG@10 by where a third vector goes; a frame of `shop_report.pooled`.

    Lines across: bounds, named "best ..."; a bar is two standard errors of the difference to the form compared with,
    the larger of the users' and the seeds'.
    """
    bounds = table["system"].str.startswith("best")
    forms = table[~bounds].reset_index(drop=True)
    error = 2 * forms["error"]
    figure = empty_figure(8, 1.1 + 0.36 * len(forms))
    axis = figure.subplots()
    axis.errorbar(forms["expected_ndcg@10"], forms.index, xerr=error, fmt="o", color=COLOURS[0], capsize=3)
    for row, style in zip(table[bounds].to_dict(orient="records"), (":", "--", "-.")):
        axis.axvline(row["expected_ndcg@10"], color="black", ls=style, lw=1, label=row["system"])
    axis.set_yticks(forms.index, forms["system"])
    axis.set(ylim=(len(forms) - 0.5, -0.5), xlabel="expected NDCG@10 (bars: 2 s.e., over users or stores)")
    axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    axis.set_title(title, fontsize=10, loc="left")
    return figure


@styled
def plot_half_life_change(table, window=None, title=""):
    """Half-lives of heads at the start (hollow) and trained (filled), median over users; ``half_life_table``.

    A panel per data set, a row per scan and head, log scale; the thin line spans the users' quartiles when trained.
    ``window``: how many steps there are, a line; a number, or data -> number.
    """
    names = list(table["data"].unique())
    rows = {name: table[table["data"] == name].set_index(["place", "head", "when"]) for name in names}
    most = max(len(own) for own in rows.values()) // 2
    figure = empty_figure(3.4 * len(names) + 0.6, 1.3 + 0.21 * most)
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names):
        heads = list(dict.fromkeys((place, head) for place, head, _ in rows[name].index))
        for y, (place, head) in enumerate(heads):
            start, end = (rows[name].loc[(place, head, when)] for when in ("start", "trained"))
            colour = COLOURS[0] if end["median"] < start["median"] else COLOURS[1]
            axis.plot([end["low"], end["high"]], [y, y], color=colour, lw=1, alpha=0.6)
            axis.plot(start["median"], y, "o", mfc="white", color=colour)
            axis.plot(end["median"], y, "o", color=colour)
        axis.set_yticks(range(len(heads)), [f"{place.split(', ')[1]} {head}" for place, head in heads], fontsize=8)
        length = window.get(name) if isinstance(window, dict) else window
        if length:
            axis.axvline(length, color="black", lw=1, ls="--")
        axis.set(xscale="log", ylim=(len(heads) - 0.5, -0.5), xlabel="half-life (steps)")
        axis.set_title(name, fontsize=9, loc="left")
    marks = [
        plt.Line2D([], [], color="#555555", marker="o", ls="", mfc="white", label="start"),
        plt.Line2D([], [], color=COLOURS[0], marker="o", label="trained, shorter (line: quartiles of users)"),
        plt.Line2D([], [], color=COLOURS[1], marker="o", label="trained, longer"),
    ]
    dashed = [plt.Line2D([], [], color="black", ls="--", lw=1, label="the window")] if window else []
    figure.legend(handles=marks + dashed, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


@styled
def plot_history_worth(table, title=""):
    """Expected NDCG@10 by how many of the latest items are told, the best and a trained model; ``memory_curves``."""
    names = list(table["world"].unique())
    figure = empty_figure(2.3 * len(names) + 0.6, 3)
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, names):
        for who, colour, style in (("best", "black", "--"), ("trained", COLOURS[0], "-")):
            rows = table[(table["world"] == name) & (table["who"] == who)]
            axis.plot(
                rows["kept"],
                rows["ndcg@10"],
                ls=style,
                color=colour,
                marker="o",
                ms=4,
                label="the best there is" if who == "best" else "trained model",
            )
        axis.set(xlabel="latest items told", xticks=[1, 5, 8, 12])
        axis.set_title(name.replace(", ", ",\n"), fontsize=9, loc="left")
    axes[0].set(ylabel="expected NDCG@10")
    axes[-1].legend(frameon=False, fontsize=8, loc="lower right")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure
