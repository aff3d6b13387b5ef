"""First answers to what the paper leaves open: pictures that are missing, gaps that pay, a third modality, memory.

Each is a frame. Stored runs (``gathered.stored``, ``benchmarks/results/store.csv`` and ``third-modality.csv``) stand
beside what a moment computes on the demo store, whose truth is known.
"""

import copy
import hashlib
from dataclasses import replace
from functools import cache

import pandas as pd
import torch

from mmm4rec_lite.analysis import half_lives, steps, without_memory
from mmm4rec_lite.baselines import counting
from mmm4rec_lite.data import batch, look
from mmm4rec_lite.evaluate import model_scorer, rank_rows
from mmm4rec_lite.experiments import fusion, masks
from mmm4rec_lite.experiments.gathered import tidy
from mmm4rec_lite.experiments.store import MODEL, SHORTEST, STORE, Table, World, expected_gains, pooled, shown, train
from mmm4rec_lite.model import MMM4Rec
from mmm4rec_lite.recommend import recommend_after, user_history
from mmm4rec_lite.stages import fit_gaps, split

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
    """What a third vector is worth, by where it is joined: a frame as those of ``experiments.store``.

    No gaps are at issue here, so all else is as in its modality part: no item tables (but in one form), short training.
    Bounds: the store's own best, judging items by their shape alone, and knowing all.
    """
    lines = []
    for seed in range(seeds):
        world = World(STORE.but(seed=seed))
        table = Table("third modality", "colours in a third vector", world, MODEL.max_len)
        forms = {name: (to, False) for name, to in JOINED.items()} | {LEARNED: (JOINED[WITHOUT], True)}
        for name, (to, learned) in forms.items():
            features = third_features(world.truth, world.dataset, *to)
            trained, notes = train(world, MODEL.but(item_bias=learned), SHORTEST.but(seed=seed), features=features)
            table.add(name, model_scorer(trained), **notes)
        table.add("best by shapes alone", world.best(knows="shape"))
        table.add("best", world.best())
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
    """The store's model (``fusion.trained``) when pictures are lost: given, missing (share of items), ndcg@10.

    Expected NDCG@10. given: lost in the history alone, among the candidates alone, in both; and "trained without
    pictures", the same model that never had any.
    """
    world, model = fusion.world(seed), fusion.trained(seed=seed)
    order = torch.rand(len(model.image_features), generator=torch.Generator().manual_seed(seed)).argsort().argsort()
    lines = []
    for share in shares:
        poor = fusion.trained(seed=seed)
        poor.lose_pictures(order < round(share * len(order)))
        for given, asks, shelf in (
            ("lost in the history", poor, model),
            ("lost in the shop", model, poor),
            ("lost in both", poor, poor),
        ):
            candidates = shelf.candidates().detach()
            score = lambda rows, asks=asks, candidates=candidates: model.score(asks.users(rows), candidates).detach()
            value = expected_gains(score, world, model.config.max_len).mean().item()
            lines.append({"given": given, "missing": share, "ndcg@10": value})
    training = fusion.scale()[0].but(seed=seed)
    never = train(world, fusion.CONFIG, training, off=("picture",))[0].cpu()
    value = expected_gains(model_scorer(never), world, never.config.max_len).mean().item()
    lines += [{"given": "trained without pictures", "missing": share, "ndcg@10": value} for share in shares]
    return pd.DataFrame(lines)


@torch.no_grad()
def dialled(model, dataset, user=None, k=10):
    """The k best for one user (default: the first) with all pictures, with none in the history, with none in the shop.

    The settings of ``widgets.modality_dial`` as frames: name -> item, title, image. Seen items are left out.
    """
    user = user or dataset.interactions["user"].iloc[0]
    history, poor = user_history(dataset, user), copy.deepcopy(model)
    poor.lose_pictures(slice(None))
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
            lines.append((row["dataset"], name, row["difference"], row["standard error"], row["seeds"]))
        if row["experiment"] == "table5" and name == "w/o Time" and row["dataset"] in known:
            lines.append(
                (row["dataset"], "MMM4Rec + ID (Table 5)", -row["difference"], row["standard error"], row["seeds"])
            )
    table = pooled(made_up[made_up["part"] == "gaps"])
    for row in table[table["system"].isin(["revived time branch", "gap vector", "published time branch"])].to_dict(
        orient="records"
    ):
        error = max(row["se"], row["seed se"] if row["seeds"] > 1 else 0)
        lines.append((f"store, {row['world']}", row["system"], row["difference"], error, row["seeds"]))
    out = pd.DataFrame(lines, columns=["data", "system", "gain", "standard error", "seeds"])
    return out.assign(difference=out["gain"], form=out["data"] + ": " + out["system"])


def store_worlds(effects=(1.0, 0.0)):
    """The store's dataset where gaps tell all that they can (knob 1) and where they tell nothing (knob 0)."""
    return {f"store, gap effect {effect:g}": World(STORE.but(gap_effect=effect)).dataset for effect in effects}


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
    """``look.gap_statistics`` of ``datasets`` (name -> dataset), and above them those kept with stored runs."""
    own = tidy(runs).query("experiment == 'time-benefit'")
    here = pd.concat([look.gap_statistics([dataset]).assign(dataset=name) for name, dataset in datasets.items()])
    kept = own[[name for name in here if name in own]].drop_duplicates("dataset") if "gaps" in own else own[:0]
    kept = kept[~kept["dataset"].isin(list(datasets))].reindex(columns=here.columns)
    return pd.concat([kept, here] if len(kept) else [here], ignore_index=True)


# memory

LONG = masks.TIME.but(max_len=12)  # no convolution: what the model remembers it remembers in its states


@cache
def memory_worlds():
    """Two shops with long histories: interests gone for good after 10 days' half-life, and two that come round."""
    return {
        "interests do not return": World(STORE.but(length=24)),
        "interests return": World(STORE.but(length=24, seasons=2)),
    }


def memory_models():
    """Shop -> (when -> model): "start" and "trained" (10 s each on a core, kept), without convolution."""
    out = {}
    for name, world in memory_worlds().items():
        torch.manual_seed(0)
        start = MMM4Rec(LONG, *shown(world.truth, world.dataset).align(world.dataset.items["item"]))
        fit_gaps(start, world.split)
        out[name] = {"start": start.eval(), "trained": train(world, LONG, SHORTEST)[0].cpu().eval()}
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
    return {
        name: batch(world.split.sequences, world.split.test, LONG.max_len) for name, world in memory_worlds().items()
    }


def memory_worth(models, few=3):
    """What memory is worth: data, system, ndcg@10 (expected): trained, its states wiped, told the last ``few`` items
    alone, and the best that can be had from so many and from all twelve."""
    lines = []
    for name, world in memory_worlds().items():
        model, best = models[name]["trained"], world.best()
        given = {
            "trained": (model_scorer(model), None),
            f"trained, last {few} items": (model_scorer(model), few),
            "trained, states wiped": (model_scorer(without_memory(model)), None),
            "the best": (best, None),
            f"the best, last {few} items": (best, few),
        }
        lines += [
            {"data": name, "system": system, "ndcg@10": expected_gains(score, world, LONG.max_len, kept).mean().item()}
            for system, (score, kept) in given.items()
        ]
    return pd.DataFrame(lines)


def memory_curves(made_up):
    """Stored expected NDCG@10 by how many items are kept: world, who ("best", "trained"), kept, ndcg@10."""
    table = pooled(made_up[made_up["part"] == "memory"])
    who = table["system"].str.startswith("best").map({True: "best", False: "trained"})
    return table.assign(who=who, **{"ndcg@10": table["expected ndcg@10"]})[["world", "who", "kept", "ndcg@10"]]
