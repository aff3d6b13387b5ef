"""The demo store as a test bench: worlds whose truth is known, models trained on them, and what these find of it.

One domain, trained from scratch, a new store and new start values for every seed. Item features are the attributes that
pictures show and texts name (`shown`), which isolates what the sequence model learns. Each part is a frame of one line
per system and store, given the latest ``kept`` items:

* ``ndcg@10`` on the test users' next items, and ``expected_ndcg@10``: the mean over what each user could have bought
  next, by the store's true probabilities; the same with less noise.
* ``difference`` and ``standard_error`` (over users): of the expected NDCG@10 against the system ``against``, given
  ``against_kept`` items, on the same users; ``drawn_difference``, ``drawn_standard_error``: the same of ``ndcg@10``.
* ``closed``: that difference as a share of the distance from ``against`` to the store's own best.
* ``relative_change``: how far user vectors move when all gaps are drawn anew (mean relative distance).
"""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache, cached_property
from importlib.metadata import version
from itertools import product
from typing import Any, NamedTuple, cast

import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.analysis import other_gaps, relative_change
from mmm4rec_lite.data import Batch, Dataset, Split, batch, leave_one_out, load_dataset
from mmm4rec_lite.data.synthetic import StoreConfig, Truth, make_store, oracle_scorer, save_store, truth_of
from mmm4rec_lite.evaluation import Scorer, metrics, model_scorer, ndcg_per_row, rank_rows
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.runs import Task, as_changes, initial_model, run
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.training import TrainConfig
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.files import cache_dir
from mmm4rec_lite.utils.typing import Float, Tensor

DOMAIN = "rugs"
# one thing at a time: no taste and no drift, and what is shown is true, but where it is the thing looked at
STORE = StoreConfig(users=3000, items=64, absence=0.15, taste=0, drift=0, picture=1, text=1, missing=0)
MODEL = ModelConfig(d_model=32, d_ff=32, d_state=8, expand=1, max_len=8, dropout=0.0, time_dropout=0.0)
NO_ID = MODEL.replace(item_bias=False)  # "w/o ID": what is learnt of an item, its features say
TIME = MODEL.replace(gap_vector=False, d_conv=1)  # gaps act by step sizes alone, and nothing mixes neighbours
NO_TIME = TIME.replace(time=False)
TRAINING = TrainConfig(epochs=10, batch_size=256, rows_per_epoch=20_480, lr=1e-2, weight_decay=1e-4, patience=5)
SHORTER = TRAINING.replace(epochs=5)
SHORTEST = SHORTER.replace(rows_per_epoch=10_240)
SCALES = {"quick": (TRAINING.replace(epochs=4, rows_per_epoch=8192), 3), "full": (TRAINING, 6)}
NUISANCE = 0.3  # size of what differs between pictures (texts) of one kind


class Form(NamedTuple):
    """A form of time-awareness: changes of MODEL and of TRAINING, and the form without time to compare it with."""

    model: dict[str, Any]
    training: dict[str, Any] = {}
    against: str = "no time"


LONGER: dict[str, Any] = dict(epochs=40, rows_per_epoch=None, batch_size=512, lr=5e-3, patience=5)  # to its end
CAREFUL = "no time, drop-out"  # trained to its patience: without drop-out that learns its items by heart
START, DECAY, CONTROL = Quirks(published_init=True), dict(decay_all=True), "no time, published start"
FORMS = {
    "no time": Form(dict(time=False)),
    "revived time branch": Form(dict(gap_vector=False)),
    "gap vector": Form({}),
    CAREFUL: Form(dict(time=False, dropout=0.4), LONGER, CAREFUL),
    "revived time branch, drop-out": Form(dict(gap_vector=False, dropout=0.4), LONGER, CAREFUL),
    "gap vector, drop-out": Form(dict(dropout=0.4), LONGER, CAREFUL),
    # the published start and weight decay act on the whole model: they need a control of their own
    CONTROL: Form(dict(time=False, quirks=START), DECAY, CONTROL),
    "published time branch": Form(dict(gaps="seconds", gap_vector=False, quirks=START), DECAY, CONTROL),
}
TELLING = {"picture": dict(picture=0.95, text=0.25), "text": dict(picture=0.25, text=0.95)}
MEMORIES: dict[str, dict[str, Any]] = {  # how long an interest lasts (half-life, days), and interests that come back
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
    def dataset(self) -> Dataset:
        return make_store(None, self.config, [DOMAIN])

    @cached_property
    def pictured(self) -> Dataset:
        """The same dataset with pictures, drawn once, in the user's cache."""
        folder = cache_dir("store") / f"{DOMAIN}-{digest(self.config)[:8]}"
        if not folder.exists():
            save_store(folder, self.config, [DOMAIN])
        return load_dataset(folder)

    @cached_property
    def truth(self) -> Truth:
        return truth_of(self.dataset)

    @cached_property
    def split(self) -> Split:
        return leave_one_out(self.dataset)

    def best(self, gaps: bool = True, knows: str = "all") -> Scorer:
        """The scorer that knows the truth (`data.synthetic.oracle_scorer`)."""
        return oracle_scorer(self.truth, self.dataset, gaps, knows)

    def histories(self, max_len: int = MODEL.max_len, full: bool = False) -> Batch:
        """The test users' histories; ``full``: of those alone whose history fills the window."""
        rows, flat = self.split.test, self.split.sequences
        return batch(flat, rows[rows - flat.first[rows] >= max_len] if full else rows, max_len)

    def fresh(self, config: ModelConfig = TIME) -> MMM4Rec:
        """The model before any training, the scale of its gaps fitted."""
        task = Task(self.dataset, shown(self.truth, self.dataset))
        return cast(MMM4Rec, initial_model(task, _name(config), seed=self.config.seed, **as_changes(config)))

    def trained(self, config: ModelConfig = TIME, training: TrainConfig = SHORTER) -> MMM4Rec:
        """The model trained from scratch (20 s on a core), or read from ``runs/`` if it is there; on the CPU."""
        return train(self, config, training.replace(seed=self.config.seed))[0].cpu().eval()

    def accuracy(self, score: Scorer, max_len: int = MODEL.max_len, kept: int | None = None) -> float:
        """The mean of `expected_ndcg` over the test users."""
        return expected_ndcg(score, self, max_len, kept).mean().item()


@cache
def world(seed: int = 0, **changes: float) -> World:
    """The store with ``seed`` and ``changes`` of its parameters, made once."""
    return World(STORE.replace(seed=seed, **changes))


def scale(name: str | None = None) -> tuple[TrainConfig, int]:
    """(training, number of seeds) of ``name``, by default of ``$MMM4REC_SCALE`` or quick."""
    return presets.by_scale(SCALES, name)


def shown(truth: Truth, dataset: Dataset, off: Sequence[str] = ()) -> Features:
    """Features from the truth, 16 wide: shape and colour one-hot, and 8 numbers that tell but one item from another.

    All zero where there is no picture, and for modalities ("picture", "text") that are ``off``.
    """
    draw = torch.Generator().manual_seed(truth.config.seed)
    items = truth.items.set_index("item").loc[dataset.items["item"]]
    has_image = torch.tensor(items["has_picture"].to_numpy())
    tables = {}
    for name in ("picture", "text"):
        says = [torch.tensor(items[f"{name}_{attribute}"].to_numpy()) for attribute in ("shape", "colour")]
        own = NUISANCE * torch.randn(len(items), 8, generator=draw)
        tables[name] = torch.cat([*(F.one_hot(values, 4) for values in says), own], 1) * (name not in off)
    encoder = {"name": "attributes shown", "fingerprint": "one-hot shape and colour", "missing": "zeros"}
    text, image = tables["text"], tables["picture"] * has_image[:, None]
    return Features(list(dataset.items["item"]), text, image, has_image, encoder, digest(torch.cat([text, image], 1)))


@torch.no_grad()
def expected_ndcg(score: Scorer, world: World, max_len: int, kept: int | None = None) -> Float[Tensor, " R"]:
    """NDCG@10 of ``score`` per test user in the mean over the next item's true distribution.

    The truth is given the last ``max_len`` items, the scorer the last ``kept`` of them (default: all).
    """
    truth, flat, parts = world.best(), world.split.sequences, []
    value = ndcg_per_row(torch.arange(1, 11))
    for rows in world.split.test.split(512):
        top = score(batch(flat, rows, kept or max_len)).topk(10, dim=1).indices.cpu()
        parts.append(truth(batch(flat, rows, max_len)).gather(1, top) @ value)
    return torch.cat(parts)


@torch.no_grad()
def moved_by_gaps(model: MMM4Rec, world: World) -> float:
    """Mean relative distance that test users' vectors move when the gaps of the histories change places."""
    one = world.histories(model.config.max_len).to(next(model.eval().parameters()).device)
    return relative_change(model.users(one), model.users(other_gaps(one)))


def train(
    world: World, config: ModelConfig, training: TrainConfig, off: Sequence[str] = (), features: Features | None = None
) -> tuple[MMM4Rec, dict[str, Any]]:
    """(model, what was measured with) of one run below ``runs/``; ``features``: others than those ``shown``."""
    task = Task(world.dataset, features or shown(world.truth, world.dataset, off))
    done = run(task, _name(config), progress=False, **as_changes(config, training))
    notes = {name: done.record[name] for name in ("run_id", "epochs", "device")}
    notes |= dict(seconds=round(done.record["seconds"], 1), model=json.dumps(asdict(config)))
    return cast(MMM4Rec, done.model), notes | dict(training=json.dumps(asdict(training)))


def _name(config):
    return "mmm4rec+id" if config.item_bias else "mmm4rec"


class Table:
    """The lines of one world, one per system and number of items kept, and their paired differences."""

    def __init__(self, part: str, name: str, world: World, max_len: int = MODEL.max_len):
        self.about = {"part": part, "world": name, "seed": world.config.seed}
        self.world, self.max_len = world, max_len
        self.lines: list[dict[str, Any]] = []
        self.values: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}  # expected and drawn NDCG@10, user by user

    def add(self, system: str, score: Scorer, kept: int | None = None, **notes: Any) -> None:
        """Rank the test users by ``score``, given their last ``kept`` items (default: all of the window)."""
        kept = kept or self.max_len
        ranks = rank_rows(score, self.world.split.sequences, self.world.split.test, kept)
        expected, drawn = expected_ndcg(score, self.world, self.max_len, kept), metrics(ranks)
        self.values[system, kept] = expected, ndcg_per_row(ranks)
        line = {**self.about, "system": system, "kept": kept, "n_users": len(ranks)}
        line |= {"expected_ndcg@10": expected.mean().item(), "ndcg@10": drawn["ndcg@10"]}
        line |= {"recall@10": drawn["recall@10"], **notes, "store": json.dumps(asdict(self.world.config))}
        line |= {"torch": torch.__version__, "mmm4rec_lite": version("mmm4rec-lite")}
        line |= {"threads": torch.get_num_threads(), "machine": f"{platform.system()} {platform.machine()}"}
        self.lines.append({**line, "date": date.today().isoformat()})

    def compared(
        self, against: str, others: Mapping[str, str] | None = None, kept: int | None = None
    ) -> list[dict[str, Any]]:
        """The lines with their differences to ``against``, or to the one in ``others``, given ``kept`` items or all."""
        kept = kept or self.max_len
        for line in self.lines:
            base = (others or {}).get(line["system"], against)
            pairs = zip(self.values[line["system"], line["kept"]], self.values[base, kept])
            (mean, error), (drawn, drawn_error) = (mean_and_error(own - other) for own, other in pairs)
            distance = (self.values["best", self.max_len][0] - self.values[base, kept][0]).mean().item()
            line |= {"against": base, "against_kept": kept, "difference": mean, "standard_error": error}
            line |= {"closed": mean / distance, "drawn_difference": drawn, "drawn_standard_error": drawn_error}
        return self.lines


def mean_and_error(values: Float[Tensor, " R"]) -> tuple[float, float]:
    """The mean over users and its standard error."""
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


def gap_part(seeds: int = 3, effects: Sequence[float] = (1.0, 0.0), forms: Iterable[str] = FORMS) -> pd.DataFrame:
    """Every form of time-awareness where gaps tell much (effect 1) and nothing (effect 0), against no time."""
    lines = []
    for effect, seed in product(effects, range(seeds)):
        one = World(STORE.replace(gap_effect=effect, seed=seed))
        table = Table("gaps", f"gap effect {effect:g}", one)
        for name in forms:
            form = FORMS[name]
            model, notes = train(one, MODEL.replace(**form.model), TRAINING.replace(seed=seed, **form.training))
            moved = moved_by_gaps(model, one) if model.config.time else 0.0
            table.add(name, model_scorer(model), relative_change=moved, **notes)
        table.add("best without gaps", one.best(gaps=False))
        table.add("best", one.best())
        lines += table.compared(FORMS[next(iter(forms))].against, {name: FORMS[name].against for name in forms})
    return pd.DataFrame(lines)


def modality_part(seeds: int = 3) -> pd.DataFrame:
    """Both modalities, image off, text off, where the picture or where the text tells; no item tables."""
    lines = []
    for telling, seed in product(TELLING, range(seeds)):
        one = World(STORE.replace(**TELLING[telling], seed=seed))
        table = Table("modality", f"the {telling} tells", one)
        for name, off in (("both", ()), ("image off", ("picture",)), ("text off", ("text",))):
            model, notes = train(one, NO_ID, SHORTEST.replace(seed=seed), off)
            table.add(name, model_scorer(model), **notes)
        for knows in ("both", "picture", "text"):
            table.add(f"judged from {knows}", one.best(knows=knows))
        table.add("best", one.best())
        lines += table.compared("both")
    return pd.DataFrame(lines)


def memory_part(seeds: int = 3, kept: Sequence[int] = (1, 2, 3, 5, 8, 12)) -> pd.DataFrame:
    """NDCG@10 given only the last n items, for interests that are gone for good and for some that come back."""
    lines = []
    config = MODEL.replace(max_len=max(kept))
    for memory, seed in product(MEMORIES, range(seeds)):
        one = World(STORE.replace(**MEMORIES[memory], length=24, seed=seed))
        table = Table("memory", memory, one, config.max_len)
        model, notes = train(one, config, SHORTER.replace(seed=seed))
        for n in kept:
            table.add("gap vector", model_scorer(model), kept=n, **notes)
            table.add("best", one.best(), kept=n)
        lines += table.compared("gap vector", kept=kept[0])
    return pd.DataFrame(lines)


PARTS = {"gaps": gap_part, "modality": modality_part, "memory": memory_part}
