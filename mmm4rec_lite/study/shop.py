"""What the model finds of the demo store's truth: gaps, modalities, memory. Each part is a tidy frame.

One domain, trained from scratch, a new store and new start values for every seed. A line is one system on one store:

* ``ndcg@10`` on the test users' next items, and ``expected_ndcg@10``: the mean over what each user could have bought
  next, with the store's true probabilities in place of the one item that was drawn. It measures the same with
  less noise, for the store's scorers and the models alike.
* ``difference`` and ``se``: of the expected NDCG@10 against the system in ``against``, on the same users, with the
  standard error over users; ``drawn_difference``, ``drawn_se``: the same of ``ndcg@10``.
* ``closed``: that difference as a share of the distance from ``against`` to the store's own best.
* ``moved``: how far user vectors move when all gaps are drawn anew (mean relative distance).

Item features are not an encoder's: they are the attributes that pictures show and texts name, one-hot, beside
numbers that tell nothing (`shown`). That isolates what the sequence model learns.
"""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from importlib.metadata import version

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.analysis import other_gaps, relative_change
from mmm4rec_lite.data import batch, leave_one_out
from mmm4rec_lite.data.synthetic import StoreConfig, best, store, truth_of
from mmm4rec_lite.evaluation import metrics, model_scorer, ndcg_per_row, rank_rows
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.stages import finetune
from mmm4rec_lite.training import TrainConfig
from mmm4rec_lite.utils.files import workspace

DOMAIN = "rugs"
# one thing at a time: no taste and no drift, and what is shown is true, but where it is the thing looked at
STORE = StoreConfig(users=3000, items=64, absence=0.15, taste=0, drift=0, picture=1, text=1, missing=0)
MODEL = ModelConfig(d_model=32, d_ff=32, d_state=8, expand=1, max_len=8, dropout=0.0, time_dropout=0.0)
TRAINING = TrainConfig(epochs=10, batch_size=256, rows_per_epoch=20_480, lr=1e-2, weight_decay=1e-4, patience=5)
SHORTER = TRAINING.replace(epochs=5)
SHORTEST = SHORTER.replace(rows_per_epoch=10_240)
NUISANCE = 0.3  # size of what differs between pictures (texts) of one kind
PUBLISHED = dict(quirks=Quirks(published_init=True))
FORMS = {  # name -> (changes of MODEL, changes of TRAINING, the form without time that it is compared with)
    "no time": (dict(time=False), {}, "no time"),
    "revived time branch": (dict(gap_vector=False), {}, "no time"),
    "gap vector": ({}, {}, "no time"),
    # the published start and weight decay act on the whole model: they need a control of their own
    "no time, published start": (dict(time=False, **PUBLISHED), dict(decay_all=True), "no time, published start"),
    "published time branch": (
        dict(gaps="seconds", gap_vector=False, **PUBLISHED),
        dict(decay_all=True),
        "no time, published start",
    ),
}
TELLING = {"picture": dict(picture=0.95, text=0.25), "text": dict(picture=0.25, text=0.95)}
MEMORIES = {  # the decay knob (half-life of an interest, days), and interests that come back
    "half-life 2 days, short memory": dict(half_life=2.0),
    "half-life 10 days, short memory": dict(),
    "half-life 60 days, short memory": dict(half_life=60.0),
    "long memory": dict(seasons=2),
}


@dataclass(frozen=True)
class World:
    """One store of one domain, split, with its truth."""

    config: StoreConfig

    @cached_property
    def dataset(self):
        return store(None, self.config, [DOMAIN])

    @cached_property
    def truth(self):
        return truth_of(self.dataset)

    @cached_property
    def split(self):
        return leave_one_out(self.dataset)

    def best(self, **kinds):
        return best(self.truth, self.dataset, **kinds)


def shown(truth, dataset, off=()):
    """Features of what pictures show and texts name, for each 16 wide; zeros where there is no picture.

    Shape and colour one-hot, and 8 numbers from N(0, 0.3^2) that tell nothing but one item from another. Made from
    the truth, not by an encoder. ``off``: modalities ("picture", "text") whose features are all zero.
    """
    draw = torch.Generator().manual_seed(truth.config.seed)
    shelf = truth.items.set_index("item").loc[dataset.items["item"]]
    has_image = torch.tensor(shelf["has_picture"].to_numpy())
    tables = {}
    for name in ("picture", "text"):
        says = [torch.tensor(shelf[f"{name}_{attribute}"].to_numpy()) for attribute in ("shape", "colour")]
        own = NUISANCE * torch.randn(len(shelf), 8, generator=draw)
        tables[name] = torch.cat([*(F.one_hot(values, 4) for values in says), own], 1) * (name not in off)
    encoder = {"name": "attributes shown", "fingerprint": "one-hot shape and colour", "missing": "zeros"}
    text, image = tables["text"], tables["picture"] * has_image[:, None]
    source = hashlib.sha256(torch.cat([text, image], 1).numpy().tobytes()).hexdigest()
    return Features(list(dataset.items["item"]), text, image, has_image, encoder, source)


@torch.no_grad()
def expected_ndcg(score, world, max_len, kept=None):
    """NDCG@10 of ``score`` [users] in the mean over the next item's true distribution, given ``max_len`` items.

    The truth is given the last ``max_len`` items, the scorer the last ``kept`` of them (default: all).
    """
    truth, flat = world.best(), world.split.sequences
    value = ndcg_per_row(torch.arange(1, 11))
    parts = []
    for rows in world.split.test.split(512):
        top = score(batch(flat, rows, kept or max_len)).topk(10, dim=1).indices.cpu()
        parts.append(truth(batch(flat, rows, max_len)).gather(1, top) @ value)
    return torch.cat(parts)


@torch.no_grad()
def moved_by_gaps(model, world):
    """Mean relative distance that test users' vectors move when the gaps of the histories change places."""
    one = batch(world.split.sequences, world.split.test, model.config.max_len)
    device = next(model.parameters()).device
    model.eval()
    return relative_change(*(model.users(b.to(device)) for b in (one, other_gaps(one))))


def train(world, config, training, off=(), features=None):
    """(model, what was measured with) of one run below ``runs/``: made, continued, or read if it is there.

    ``features``: others than those ``shown`` (then ``off`` says nothing).
    """
    features = features or shown(world.truth, world.dataset, off)
    known = json.dumps([*(asdict(c) for c in (world.config, config, training)), features.source], sort_keys=True)
    folder = workspace("runs", f"store-{hashlib.sha256(known.encode()).hexdigest()[:12]}")
    model, history = finetune(world.dataset, features, folder, config=config, training=training, progress=False)
    seconds = history["train_seconds"].sum() + history["valid_seconds"].sum()
    return model, {
        "run": folder.name,
        "epochs": len(history),
        "seconds": round(seconds, 1),
        "device": str(next(model.parameters()).device),
        "model": json.dumps(asdict(config)),
        "training": json.dumps(asdict(training)),
    }


def gap_part(seeds=3, effects=(1.0, 0.0), forms=tuple(FORMS)):
    """Every form of time-awareness where gaps tell much (knob 1) and nothing (knob 0), against no time."""
    lines = []
    for effect in effects:
        for seed in range(seeds):
            world = World(STORE.replace(gap_effect=effect, seed=seed))
            table = Table("gaps", f"gap effect {effect:g}", world, MODEL.max_len)
            for name in forms:
                model, changes, _ = FORMS[name]
                trained, notes = train(world, MODEL.replace(**model), TRAINING.replace(seed=seed, **changes))
                reads = moved_by_gaps(trained, world) if trained.config.time else 0.0
                table.add(name, model_scorer(trained), moved=reads, **notes)
            table.add("best without gaps", world.best(gaps=False))
            table.add("best", world.best())
            lines += table.compared("no time", {name: FORMS[name][2] for name in forms})
    return pd.DataFrame(lines)


def modality_part(seeds=3):
    """Both modalities, image off, text off, where the picture or where the text tells; no item tables."""
    lines = []
    for telling, knobs in TELLING.items():
        for seed in range(seeds):
            world = World(STORE.replace(**knobs, seed=seed))
            table = Table("modality", f"the {telling} tells", world, MODEL.max_len)
            for name, off in (("both", ()), ("image off", ("picture",)), ("text off", ("text",))):
                trained, notes = train(world, MODEL.replace(item_bias=False), SHORTEST.replace(seed=seed), off)
                table.add(name, model_scorer(trained), **notes)
            for knows in ("both", "picture", "text"):
                table.add(f"judged from {knows}", world.best(knows=knows))
            table.add("best", world.best())
            lines += table.compared("both")
    return pd.DataFrame(lines)


def memory_part(seeds=3, kept=(1, 2, 3, 5, 8, 12)):
    """NDCG@10 given only the last n items, for interests that are gone for good and for some that come back."""
    lines = []
    config = MODEL.replace(max_len=max(kept))
    for memory, knobs in MEMORIES.items():
        for seed in range(seeds):
            world = World(STORE.replace(**knobs, length=24, seed=seed))
            table = Table("memory", memory, world, config.max_len)
            trained, notes = train(world, config, SHORTER.replace(seed=seed))
            for n in kept:
                table.add(f"gap vector, {n} kept", model_scorer(trained), kept=n, **notes)
                table.add(f"best, {n} kept", world.best(), kept=n)
            lines += table.compared(f"gap vector, {kept[0]} kept", ideal=f"best, {max(kept)} kept")
    return pd.DataFrame(lines)


PARTS = {"gaps": gap_part, "modality": modality_part, "memory": memory_part}


class Table:
    """The lines of one world, and their paired differences."""

    def __init__(self, part, name, world, max_len):
        self.world, self.max_len, self.lines, self.values = world, max_len, [], {}
        self.about = {"part": part, "world": name, "seed": world.config.seed}

    def add(self, system, score, kept=None, **notes):
        kept = kept or self.max_len
        ranks = rank_rows(score, self.world.split.sequences, self.world.split.test, kept)
        expected = expected_ndcg(score, self.world, self.max_len, kept)
        self.values[system] = expected, ndcg_per_row(ranks)
        self.lines.append(
            {
                **self.about,
                "system": system,
                "kept": kept,
                "users": len(ranks),
                "expected_ndcg@10": expected.mean().item(),
                "ndcg@10": metrics(ranks)["ndcg@10"],
                "recall@10": metrics(ranks)["recall@10"],
                **notes,
                "store": json.dumps(asdict(self.world.config)),
                "torch": torch.__version__,
                "mmm4rec_lite": version("mmm4rec-lite"),
                "threads": torch.get_num_threads(),
                "machine": f"{platform.system()} {platform.machine()}",
                "date": date.today().isoformat(),
            }
        )

    def compared(self, against, others=None, ideal="best"):
        """The lines with their differences to the system ``against``, or to the one named in ``others``."""
        for line in self.lines:
            base = (others or {}).get(line["system"], against)
            differences = [a - b for a, b in zip(self.values[line["system"]], self.values[base])]
            (mean, se), (drawn, drawn_se) = ((d.mean().item(), (d.std() / len(d) ** 0.5).item()) for d in differences)
            distance = (self.values[ideal][0] - self.values[base][0]).mean().item()
            line |= {
                "against": base,
                "difference": mean,
                "se": se,
                "closed": mean / distance,
                "drawn_difference": drawn,
                "drawn_se": drawn_se,
            }
        return self.lines


def pooled(frame):
    """Means over seeds per part, world and system; ``seeds``: how many.

    ``se`` is the standard error over the users of all seeds, ``seed_se`` over the seeds, whose stores and trainings
    differ.
    """
    frame = frame.assign(moved=frame.get("moved", np.nan))  # not every part has it
    groups = frame.groupby(["part", "world", "system", "kept", "against"], sort=False)
    root = lambda se: (se.pow(2).sum() ** 0.5) / len(se)
    return groups.agg(
        **{
            "seeds": ("seed", "nunique"),
            "expected_ndcg@10": ("expected_ndcg@10", "mean"),
            "ndcg@10": ("ndcg@10", "mean"),
            "difference": ("difference", "mean"),
            "se": ("se", root),
            "seed_se": ("difference", "sem"),
            "least": ("difference", "min"),
            "most": ("difference", "max"),
            "drawn_difference": ("drawn_difference", "mean"),
            "drawn_se": ("drawn_se", root),
            "closed": ("closed", "mean"),
            "moved": ("moved", "mean"),
            "seconds": ("seconds", "mean"),
        }
    ).reset_index()


def report(frame):
    """The frame in words and tables (Markdown), every figure and verdict computed from it."""
    table = pooled(frame)
    first = frame.iloc[0]
    trained = frame.dropna(subset="run").drop_duplicates("run")
    parts = [
        "# What the model finds of the demo store's truth",
        f"Made by `mmm4rec-lite experiment store` on {first['date']}: {first['machine']}, "
        f"{', '.join(frame['device'].dropna().unique())}, {first['threads']} thread(s), torch {first['torch']}; "
        f"{len(trained)} trained runs, {trained['seconds'].sum() / 60:.0f} minutes of training and validation in all. "
        "Item features are the attributes shown, not an encoder's. Figures are expected NDCG@10 (the mean over "
        "what a user could have bought next), the mean over seeds; differences are paired over users, with the "
        "standard error over the users of all seeds. In the sentences a difference counts from three standard errors "
        "on, over users or over seeds, whichever is larger. Closed: the share of the way from the system compared with "
        "to the best. Moved: the mean relative distance that user vectors move when the gaps change places.",
    ]
    for part, lines in table.groupby("part", sort=False):
        parts.append(f"## {part.capitalize()}")
        for world, rows in lines.groupby("world", sort=False):
            parts.append(f"**{world.capitalize()}** ({rows['seeds'].iloc[0]} seeds):")
            parts.append(_markdown(rows))
            parts.append("\n".join(f"- {sentence}" for sentence in SENTENCES[part](rows.set_index("system"))))
    return "\n\n".join(parts) + "\n"


def _markdown(rows):
    head = "| system | expected NDCG@10 | NDCG@10 | against | difference | least to most of seeds | closed | moved |"
    lines = [head, "|" + " --- |" * 8]
    for _, r in rows.iterrows():
        moves = "" if pd.isna(r["moved"]) else f"{r['moved']:.2g}"
        closed = f"{r['closed']:.0%}" if r["closed"] > -0.5 else ""  # far below, it is no distance closed
        lines.append(
            f"| {r['system']} | {r['expected_ndcg@10']:.4f} | {r['ndcg@10']:.4f} | {r['against']} | "
            f"{r['difference']:+.4f} +- "
            f"{r['se']:.4f} | {r['least']:+.4f} to {r['most']:+.4f} | {closed} | {moves} |"
        )
    return "\n".join(lines)


def _verdict(row):
    """In words; a difference counts from three standard errors on, the larger of users' and seeds'."""
    if abs(row["difference"]) < 3 * np.nanmax([row["se"], row["seed_se"]]):
        return f"not told apart from {row['against']}"
    return f"{'better' if row['difference'] > 0 else 'worse'} than {row['against']}"


DEAD = (
    ": the branch is dead. Its scale starts as the Tanhshrink of almost nothing, which has no gradient to speak "
    "of, and weight decay keeps it there."
)


def _gap_sentences(rows):
    for name in (name for name in FORMS if name in rows.index and not name.startswith("no time")):
        r = rows.loc[name]
        yield (
            f"{name}: {_verdict(r)} ({r['difference']:+.4f} +- {r['se']:.4f}), closes {r['closed']:.0%} of the way "
            f"to the best; other gaps move a trained user vector by {r['moved']:.1g} of its length"
            + (DEAD if r["moved"] < 1e-4 else ".")
        )
    bound = rows.loc["best", "expected_ndcg@10"] - rows.loc["best without gaps", "expected_ndcg@10"]
    yield f"knowing the gaps is worth {bound:.4f} to the best that any model could reach."


def _modality_sentences(rows):
    for name in ("image off", "text off"):
        r = rows.loc[name]
        yield f"{name}: {r['difference']:+.4f} +- {r['se']:.4f} against both."
    lost = rows.loc[["image off", "text off"], "difference"]
    yield f"the one that loses more: {lost.idxmin()}."


def _memory_sentences(rows):
    for system in ("gap vector", "best"):
        curve = rows[rows.index.str.startswith(f"{system},")].set_index("kept")["expected_ndcg@10"]
        needed = curve.index[curve >= curve.iloc[0] + 0.95 * (curve.iloc[-1] - curve.iloc[0])][0]
        yield (
            f"{system}: {curve.iloc[0]:.4f} with {curve.index[0]} item kept, {curve.iloc[-1]:.4f} with "
            f"{curve.index[-1]}; 95 % of that gain is reached with {needed}."
        )


SENTENCES = {"gaps": _gap_sentences, "modality": _modality_sentences, "memory": _memory_sentences}
