"""Chapter 11: first answers to what the paper leaves open. Missing pictures, time, a third modality, memory.

Stored runs (``benchmarks/results``) stand beside what is computed here on the rug shop, whose truth is known.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmm4rec_lite.analysis import decay_masks, half_lives, steps, without_memory
from mmm4rec_lite.data import Batch, Dataset, leave_one_out, statistics
from mmm4rec_lite.data.synthetic import Truth
from mmm4rec_lite.evaluation import counting, model_scorer, rank_rows, recommend_after, user_history
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.protocol.results import display_name, tidy
from mmm4rec_lite.study.shop import FORMS, NO_ID, SHORTEST, STORE, TIME, Table, World, scale, shown, train, world
from mmm4rec_lite.study.shop_report import pooled
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.viz.style import COLOURS, MARKERS, captioned, empty_figure, legend_beside, panel, panels, span, styled

SHARES = (0, 0.25, 0.5, 0.75, 1.0)  # of the items that lose their picture
TICKS = [100 * share for share in SHARES]
COLOUR = slice(4, 8)  # its columns in the features of `shop.shown`
JOINED = {  # where the third vector goes: (to the text, to the picture)
    "not given": (False, False),
    "joined to the text": (True, False),
    "joined to the picture": (False, True),
    "joined to both": (True, True),
}
WITHOUT, LEARNED = "not given", "not given, a learned vector per item"
HALF_LIVES = ["half_life_q25_steps", "half_life_median_steps", "half_life_q75_steps"]
States = dict[str, dict[str, MMM4Rec]]  # data -> (when, "start" or "trained" -> model)
TIMED = [name for name in FORMS if "time branch" in name or "gap" in name]  # of the rug shop's forms
LONG = TIME.replace(max_len=12)  # no convolution: what the model remembers it remembers in its states


def missing(runs: pd.DataFrame) -> pd.DataFrame:
    """Stored runs ranked with pictures taken away: dataset, name, seed, missing_share, ndcg@10, kept_share.

    missing_share: of the items. kept_share: of the same run's NDCG@10 with all its pictures.
    """
    rows = tidy(runs).query("experiment == 'missing-modality'")
    rows = rows[["dataset", "name", "seed", "missing_share", "ndcg@10"]].sort_values("missing_share", kind="stable")
    whole = rows.groupby(["dataset", "name", "seed"])["ndcg@10"].transform("first")
    return rows.assign(kept_share=rows["ndcg@10"] / whole).sort_values(["dataset", "name", "seed"], ignore_index=True)


def lost_where(shares: Sequence[float] = SHARES, seed: int = 0) -> pd.DataFrame:
    """The rug shop's model when pictures are lost: given (where), missing_share (of items), expected_ndcg@10.

    "trained without pictures" is the same model that never had any.
    """
    shop, training = world(seed), scale()[0]
    model = shop.trained(NO_ID, training)
    order = torch.rand(len(shop.dataset.items) + 1, generator=torch.Generator().manual_seed(seed)).argsort().argsort()
    never = train(shop, NO_ID, training.replace(seed=seed), off=("picture",))[0].cpu()
    lines = []
    for share in shares:
        poor = copy.deepcopy(model)
        poor.drop_images(order < round(share * len(order)))
        ways = {"lost in the history": (poor, model), "lost in the shop": (model, poor), "lost in both": (poor, poor)}
        for name, (asks, offers) in ways.items():
            candidates = offers.candidates().detach()
            score = lambda rows, asks=asks, candidates=candidates: model.score(asks.users(rows), candidates).detach()
            lines.append((name, share, shop.accuracy(score)))
    lines += [("trained without pictures", share, shop.accuracy(model_scorer(never))) for share in shares]
    return pd.DataFrame(lines, columns=["given", "missing_share", "expected_ndcg@10"])


@torch.no_grad()
def without_images(model: MMM4Rec, dataset: Dataset, user: str | None = None, k: int = 10) -> dict[str, pd.DataFrame]:
    """``recommend_after`` one user (default: the first) with all pictures, none in the history, none in the shop."""
    history = user_history(dataset, user or dataset.interactions["user"].iloc[0])
    poor = copy.deepcopy(model)
    poor.drop_images(torch.ones(len(dataset.items) + 1, dtype=torch.bool))
    ways = {"all pictures": (model, model), "none in the history": (poor, model), "none in the shop": (model, poor)}
    shown_to = lambda asks, offers: recommend_after(asks, dataset, history, k, candidates=offers.candidates())
    return {name: shown_to(*models) for name, models in ways.items()}


def time_gains(runs: pd.DataFrame, pairs: pd.DataFrame | None, stored: pd.DataFrame) -> pd.DataFrame:
    """What the time branch adds to NDCG@10: data, system, difference, standard_error, n_seeds, form (data and system).

    From the pairs of "time-benefit" and "table5" on data that were run, and from rug shops' lines ``stored``.
    """
    worlds = pooled(stored[(stored["part"] == "gaps") & stored["system"].isin(TIMED)])
    about = dict(data="store, " + worlds["world"], standard_error=worlds["error"], n_seeds=worlds["seeds"])
    frames = [worlds.assign(**about)]
    if pairs is not None:
        pairs = pairs.assign(data=pairs["dataset"], system=pairs["system"].map(display_name))
        own = pairs["system"] == pairs["against_system"].map(display_name)
        benefit = pairs[own & (pairs["experiment"] == "time-benefit")]
        ablated = pairs.query("experiment == 'table5' and variant == 'w/o Time'")
        ablated = ablated[ablated["dataset"].isin(tidy(runs)["dataset"])]
        ablated = ablated.assign(system=ablated["system"] + " (Table 5)", difference=-ablated["difference"])
        frames = [ablated, benefit, *frames]
    table = pd.concat(frames, ignore_index=True)[["data", "system", "difference", "standard_error", "n_seeds"]]
    return table.assign(form=table["data"] + ": " + table["system"])


def gap_worlds(effects: Sequence[float] = (1.0, 0.0)) -> dict[str, Dataset]:
    """The store's dataset where gaps tell all that they can (effect 1) and where they tell nothing (effect 0)."""
    return {f"store, gap effect {effect:g}": World(STORE.replace(gap_effect=effect)).dataset for effect in effects}


def hits_by_gap(datasets: dict[str, Dataset], parts: int = 4) -> pd.DataFrame:
    """Does what comes next depend on the gap before it? A Markov chain's recall@10 by the gap up to the target.

    The last two targets of each user, in ``parts`` of equal size by gap (part 1: the shortest); the chain is counted on
    earlier ones. Columns: data, part, gap_median_s, hit_share, standard_error, n_rows.
    """
    frames = []
    for name, dataset in datasets.items():
        rows = leave_one_out(dataset)
        flat, targets = rows.sequences, torch.cat([rows.valid, rows.test])
        gap = flat.times[targets] - flat.times[targets - 1]
        hits = rank_rows(counting(rows)["Markov chain"], flat, targets, 1) <= 10
        frame = pd.DataFrame({"gap": gap, "hit": hits.double()})
        part = pd.qcut(frame["gap"].rank(method="first"), parts, labels=False).rename("part") + 1
        found = {"hit_share": ("hit", "mean"), "standard_error": ("hit", "sem"), "n_rows": ("hit", "size")}
        frames.append(frame.groupby(part).agg(gap_median_s=("gap", "median"), **found).reset_index().assign(data=name))
    return pd.concat(frames, ignore_index=True)


def gap_table(runs: pd.DataFrame, datasets: dict[str, Dataset]) -> pd.DataFrame:
    """``statistics.gap_statistics`` of the datasets, and above them those of others kept with stored runs."""
    here = pd.concat([statistics.gap_statistics([dataset]).assign(dataset=name) for name, dataset in datasets.items()])
    kept = tidy(runs).query("experiment == 'time-benefit'").drop_duplicates("dataset").reindex(columns=here.columns)
    kept = kept[~kept["dataset"].isin(datasets) & kept["n_gaps"].notna()]
    return pd.concat([kept, here] if len(kept) else [here], ignore_index=True)


def third_features(truth: Truth, dataset: Dataset, text: bool = False, picture: bool = False) -> Features:
    """`shop.shown` without colours; these come as a third vector, joined to the text's, the picture's or none."""
    plain, tables = shown(truth, dataset), []
    for table, joined in ((plain.text, text), (plain.image, picture)):
        bare = table.clone()
        bare[:, COLOUR] = 0
        tables.append(torch.cat([bare, plain.text[:, COLOUR]], 1) if joined else bare)
    encoder = {**plain.encoder, "fingerprint": f"one-hot shape, third to text {text}, to picture {picture}"}
    return replace(plain, text=tables[0], image=tables[1], encoder=encoder, source=digest(torch.cat(tables, 1)))


def third_modality(seeds: int = 2) -> pd.DataFrame:
    """What a third vector is worth, by where it is joined: a frame as those of `shop`, trained as its modality part.

    Bounds: the store's own best, judging items by their shape alone, and knowing all.
    """
    lines = []
    for seed in range(seeds):
        shop, training = World(STORE.replace(seed=seed)), SHORTEST.replace(seed=seed)
        table = Table("third modality", "colours in a third vector", shop)
        for name, joined in (JOINED | {LEARNED: JOINED[WITHOUT]}).items():
            features = third_features(shop.truth, shop.dataset, *joined)
            trained, notes = train(shop, NO_ID.replace(item_bias=name == LEARNED), training, features=features)
            table.add(name, model_scorer(trained), **notes)
        table.add("best by shapes alone", shop.best(knows="shape"))
        table.add("best", shop.best())
        lines += table.compared(WITHOUT)
    return pd.DataFrame(lines)


def pair_parts(model: MMM4Rec) -> pd.DataFrame:
    """Where a model is built for two modalities: part, equation, n_parameters (here), third_modality (what it asks)."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    count = lambda pattern: sum(size for name, size in sizes.items() if re.search(pattern, name))
    outside = "^(adapter|bias|norm|gap|request)_"  # of the layers
    asks = "open: one asks (C), one answers (B, X, Delta); three have six such pairs"
    rows = [
        ("adapters, item tables, norms", "2", outside, "one more of each; nothing to decide"),
        ("TiSSD", "10", r"\.tissd\.", "shared: run it a third time; apart: one more"),
        ("feed-forward and norm", "11", r"\.ffn_(text|image)\.", "one more"),
        ("Fourier filter, adaptive part", "12-14", r"\.filter\.(text|image)", "one more; the sum of eq. 16 grows"),
        ("TiCoSSD", "17, 18", r"\.ticossd\.", asks),
        ("sum behind it", "19", "^$", "one more addend"),
        ("what the next layer gets", "-", "^$", "open: the fused stream takes the pictures' place, texts stay texts"),
        ("score", "20", "^fusion", "one more unit vector in the sum"),
    ]
    table = pd.DataFrame(rows, columns=["part", "equation", "n_parameters", "third_modality"])
    return table.assign(n_parameters=table["n_parameters"].map(count))


@cache
def memory_worlds() -> dict[str, World]:
    """Two shops with long histories: interests gone for good after 10 days' half-life, and two that come round."""
    seasons = {"interests do not return": STORE.seasons, "interests return": 2}
    return {name: World(STORE.replace(length=24, seasons=count)) for name, count in seasons.items()}


def memory_models() -> States:
    """The models of ``memory_worlds``, untrained and trained (10 s each on a core, kept), without convolution."""
    shops = memory_worlds().items()
    return {name: {"start": shop.fresh(LONG), "trained": shop.trained(LONG, SHORTEST)} for name, shop in shops}


def memory_batches() -> dict[str, Batch]:
    """Shop -> the test users' histories, as ``half_life_table`` wants them."""
    return {name: shop.histories(LONG.max_len) for name, shop in memory_worlds().items()}


def composition_error(model: MMM4Rec, one: Batch, users: int = 50) -> float:
    """How far M_12,2 / M_12,6 is from M_6,2, relative to it: the largest, layer 1, text, full histories."""
    full = (one.lengths == 12).nonzero()[:users, 0]
    M = decay_masks(model, one.items[full], one.lengths[full], one.times[full])["layer 1, text"].double()
    return (M[:, :, 11, 1] / M[:, :, 11, 5] / M[:, :, 5, 1] - 1).abs().max().item()


def half_life_table(models: States, batches: dict[str, Batch]) -> pd.DataFrame:
    """Half-lives over the test users, at the mean decay of each history: data, place, head, when, ``HALF_LIVES``."""
    quartiles, lines = torch.tensor([0.25, 0.5, 0.75]), []
    for name, states in models.items():
        one = batches[name]
        for when, model in states.items():
            for place, (dt, A) in steps(model, one.items, one.lengths, one.times).items():
                found = half_lives(dt, A, one.lengths).nanquantile(quartiles, dim=0).T.tolist()
                lines += [(name, place, head, when, *values) for head, values in enumerate(found, 1)]
    return pd.DataFrame(lines, columns=["data", "place", "head", "when", *HALF_LIVES])


def memory_worth(models: States, few: int = 3) -> pd.DataFrame:
    """What memory is worth: data, system (trained or the best, given all or ``few`` items), expected_ndcg@10."""
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
        worth = {system: shop.accuracy(score, LONG.max_len, kept) for system, (score, kept) in given.items()}
        lines += [(name, *found) for found in worth.items()]
    return pd.DataFrame(lines, columns=["data", "system", "expected_ndcg@10"])


def memory_curves(stored: pd.DataFrame) -> pd.DataFrame:
    """Stored lines of rug shops: world, system ("best", "trained"), kept (latest items), expected_ndcg@10."""
    table = pooled(stored[stored["part"] == "memory"])
    table = table.assign(system=table["system"].replace("gap vector", "trained"))
    return table[["world", "system", "kept", "expected_ndcg@10"]]


@styled
def plot_missing_curves(table: pd.DataFrame, title: str = "") -> Figure:
    """NDCG@10, and the share that is kept, by pictures lost: means over seeds and their range; ``missing``."""
    groups, looks = table.groupby("dataset", sort=False), dict(zip(table["name"].unique(), zip(COLOURS, MARKERS)))
    figure = empty_figure(8.2, 0.4 + 2.3 * len(groups))
    for row, (dataset, own) in zip(figure.subplots(len(groups), 2, squeeze=False), groups):
        for axis, column, factor in zip(row, ("ndcg@10", "kept_share"), (1, 100)):
            for name, rows in own.groupby("name"):
                colour, marker = looks[name]
                by = factor * rows.groupby("missing_share")[column].agg(["mean", "min", "max"])
                ends = by["mean"] - by["min"], by["max"] - by["mean"]
                axis.errorbar(100 * by.index, by["mean"], ends, marker=marker, color=colour, label=name, capsize=3)
            axis.set(xlabel="items that lost their picture (%)", xticks=TICKS)
        row[0].set(ylabel="test NDCG@10", ylim=(0, None))
        row[0].set_title(dataset, fontsize=9, loc="left")
        row[1].set(ylabel="kept of its own\nNDCG@10 (%)")
        row[1].axhline(100, color="black", lw=1)
        legend_beside(row[1])
    return captioned(figure, title)


@styled
def plot_lost_curves(table: pd.DataFrame, title: str = "") -> Figure:
    """Expected NDCG@10 of one model by the share of pictures lost, a line per place; a frame of ``lost_where``."""
    figure, axis = panel(7, 3)
    for (given, rows), colour, marker in zip(table.groupby("given", sort=False), COLOURS, MARKERS):
        constant = rows["expected_ndcg@10"].nunique() == 1
        look = dict(color="black", ls="--") if constant else dict(color=colour, marker=marker)
        axis.plot(100 * rows["missing_share"], rows["expected_ndcg@10"], label=given, **look)
    axis.set(xlabel="items that lost their picture (%)", ylabel="expected NDCG@10", xticks=TICKS)
    legend_beside(axis, fontsize=9)
    return captioned(figure, title)


@styled
def plot_gap_dependence(table: pd.DataFrame, title: str = "") -> Figure:
    """How often a Markov chain finds the next item, by the gap before it, with two standard errors; ``hits_by_gap``."""
    figure, drawn = panels(table, "data", 0.6, 2.9, each=2.7)
    for (axis, _, rows), colour in zip(drawn, COLOURS):
        look = dict(fmt="o-", color=colour, capsize=3)
        axis.errorbar(rows["part"], rows["hit_share"], yerr=2 * rows["standard_error"], **look)
        axis.set_xticks(rows["part"], [span(gap) for gap in rows["gap_median_s"]], fontsize=8)
        axis.set(xlim=(0.5, rows["part"].max() + 0.5))
    drawn[0][0].set(ylabel="Recall@10 of a Markov chain", ylim=(0, 1.15 * table["hit_share"].max()))
    figure.supxlabel("gap before the item to find: median of each quarter of the targets", fontsize=9)
    return captioned(figure, title)


@styled
def plot_third_modality(table: pd.DataFrame, title: str = "") -> Figure:
    """Expected NDCG@10 by where a third vector goes, between the store's own bounds; `shop_report.pooled`."""
    trained = table["system"].isin([*JOINED, LEARNED])
    forms, bounds = table[trained].reset_index(drop=True), table[~trained]
    figure, axis = panel(8, 1.1 + 0.36 * len(forms))
    look = dict(fmt="o", color=COLOURS[0], capsize=3)
    axis.errorbar(forms["expected_ndcg@10"], forms.index, xerr=2 * forms["error"], **look)
    for name, value, style in zip(bounds["system"], bounds["expected_ndcg@10"], (":", "--", "-.")):
        axis.axvline(value, color="black", ls=style, lw=1, label=name)
    axis.set_yticks(forms.index, forms["system"])
    axis.set(ylim=(len(forms) - 0.5, -0.5), xlabel="expected NDCG@10 (bars: 2 s.e., over users or stores)")
    legend_beside(axis, fontsize=9)
    return captioned(figure, title)


@styled
def plot_half_life_change(table: pd.DataFrame, windows: dict[str, int], title: str = "") -> Figure:
    """Half-lives of heads at the start (hollow) and trained (filled), median over users; ``half_life_table``.

    The thin line spans the users' quartiles when trained. ``windows``: data -> how many steps there are, a dashed line.
    """
    low, median, high = HALF_LIVES
    height = 1.3 + 0.105 * table.groupby("data").size().max()
    figure, drawn = panels(table, "data", 0.6, height, each=3.4, sharey=False)
    for axis, name, rows in drawn:
        start, end = (rows[rows["when"] == when].set_index(["place", "head"]) for when in ("start", "trained"))
        shorter = end[median] < start[median]
        for which, colour, own in (("shorter", COLOURS[0], shorter), ("longer", COLOURS[1], ~shorter)):
            places, told = np.flatnonzero(own), f"trained, {which} (line: quartiles of users)"
            axis.hlines(places, end[low][own], end[high][own], color=colour, lw=1, alpha=0.6)
            axis.plot(start[median][own], places, "o", mfc="white", color=colour, label=f"start, then {which}")
            axis.plot(end[median][own], places, "o", color=colour, label=told)
        labels = [f"{place.removeprefix('layer 1, ')} {head}" for place, head in end.index]
        axis.set_yticks(range(len(labels)), labels, fontsize=8)
        axis.axvline(windows[name], color="black", lw=1, ls="--", label="the window")
        axis.set(xscale="log", ylim=(len(labels) - 0.5, -0.5), xlabel="half-life (steps)")
    handles = drawn[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return captioned(figure, title)


@styled
def plot_history_worth(table: pd.DataFrame, title: str = "") -> Figure:
    """Expected NDCG@10 by how many of the latest items are told, the best and a trained model; ``memory_curves``."""
    figure, drawn = panels(table.replace({"world": {", ": ",\n"}}, regex=True), "world", 0.6, 3, each=2.3)
    looks = dict(best=("the best there is", "black", "--"), trained=("trained model", COLOURS[0], "-"))
    for axis, _, rows in drawn:
        for system, (label, colour, line) in looks.items():
            own = rows[rows["system"] == system]
            axis.plot(own["kept"], own["expected_ndcg@10"], marker="o", ms=4, label=label, color=colour, ls=line)
        axis.set(xlabel="latest items told", xticks=[1, 5, 8, 12])
    drawn[0][0].set(ylabel="expected NDCG@10")
    drawn[-1][0].legend(frameon=False, fontsize=8, loc="lower right")
    return captioned(figure, title)
