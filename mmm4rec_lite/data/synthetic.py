"""The demo store: a made-up shop with ten domains whose truth is known and adjustable. Nothing is downloaded.

* An item has a *kind*, a shape and a colour (16 kinds), and a popularity. Its picture shows shape and colour, its
  text names them, and each of the four is wrong now and then, on its own: modalities complement one another.
* A user has a favourite colour, the *taste*, which drifts, and at any time one kind as *interest*. Purchases are of
  that kind (share ``focus``) or impulses; popularity decides within both.
* Over a gap the interest lasts with probability 2^(-gap / half_life), else it gives way to a new one, mostly of the
  favourite colour, or, with ``seasons`` above 1, to the one that is due to come round again.
* Both form a Markov chain, so the next item's distribution given a history is exact (forward filtering).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import product
from math import erf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite.data import assets
from mmm4rec_lite.data.assets import COLOURS, SHAPES
from mmm4rec_lite.data.batches import Batch
from mmm4rec_lite.data.dataset import Dataset
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.files import scratch, writing
from mmm4rec_lite.utils.typing import Float, Tensor

SOURCES = ("lamps", "mugs", "chairs", "bags", "clocks")
TARGETS = ("rugs", "plates", "vases", "cushions", "scarves")
DOMAINS = SOURCES + TARGETS
KINDS = len(SHAPES) * len(COLOURS)  # kind = shape * 4 + colour
HOUR, DAY, YEAR, START = 3600, 86400, 365 * 86400, 1_600_000_000
SHORTEST = 5  # purchases of a user
QUANTILES = np.linspace(-4, 4, 4001)  # of the normal distribution, by a table: the same on every machine
NORMAL = np.array([(1 + erf(z / 2**0.5)) / 2 for z in QUANTILES])  # its distribution function
SHARES = ("focus", "absence", "gap_effect", "taste", "recall", "picture", "text", "missing")
LEAST = {"users": 1, "items": KINDS, "length": SHORTEST, "popularity": 0, "drift": 0, "seed": 0}
KNOWS = ("all", "both", "picture", "text", "shape", "colour")
Scorer = Callable[[Batch], Float[Tensor, "B K"]]
STREAMS = {"items": (0, 0), "words": (0, 1), "users": (1, 0), "pictures": (2, 0)}  # of random numbers, per domain


@dataclass(frozen=True)
class StoreConfig:
    """The store's parameters. Shares and probabilities are in [0, 1]; InputError for impossible values.

    >>> StoreConfig(users=1000).replace(gap_effect=0).users
    1000
    """

    users: int = 300  # per domain
    items: int = 120  # per domain
    length: float = 16  # purchases per user on average (5 at least)
    popularity: float = 0.6  # exponent a of Zipf's law: the r-th item of a domain sells like r^-a; 0: all alike
    focus: float = 0.7  # share of purchases that follow the interest; the others know only popularity
    absence: float = 0.25  # share of gaps that are absences (60 days, give or take a factor of 2); others 2 h
    half_life: float = 10.0  # days after which an interest is gone in one case of two: how fast it decays
    gap_effect: float = 1.0  # 1: as half_life and drift say; 0: gaps tell nothing, at the same average rates
    taste: float = 0.5  # probability that a new interest is drawn from the favourite colour alone
    drift: float = 0.5  # times a year that the favourite colour is drawn anew
    seasons: int = 1  # 2, 3: so many interests come round in turn (a long memory); 1: none comes back
    recall: float = 0.9  # with seasons: probability that the interest due really comes, not a new one
    picture: float = 0.8  # probability that a picture shows the true shape (or colour), not any of four
    text: float = 0.8  # the same for the words
    missing: float = 0.2  # share of items without a picture
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            rules = {
                "in [0, 1]": name not in SHARES or 0 <= value <= 1,
                "a whole number": field.type is float or isinstance(value, int),
                "a finite number": isfinite(value),
                f"at least {LEAST.get(name)}": name not in LEAST or value >= LEAST[name],
                "above 0 days": name != "half_life" or value > 0,
                "1, 2 or 3": name != "seasons" or value in (1, 2, 3),
            }
            if broken := [wanted for wanted, kept in rules.items() if not kept]:
                raise InputError(f"store: {name} must be {broken[0]}, not {value!r}")

    def replace(self, **changes: Any) -> "StoreConfig":
        """A copy with some parameters changed."""
        return replace(self, **changes)


def read_parameters(words: Sequence[str]) -> StoreConfig:
    """A `StoreConfig` from words such as "users=1000"."""
    types: dict[str, Any] = {field.name: field.type for field in fields(StoreConfig)}
    known = {}
    for word in words:
        name, _, value = word.partition("=")
        refuse(name not in types, f"store: no parameter {name!r}; there are {', '.join(types)}")
        try:
            known[name] = types[name](value)
        except ValueError:
            sort = "whole number" if types[name] is int else "number"
            raise InputError(f"store: {name} must be a {sort}, not {value!r}") from None
    return StoreConfig(**known)


class Truth:
    """What the store knows, from its config alone: `items`, and the chain of tastes and interests.

    A state is (taste, interest, with seasons the next interests); tables of states have the shape [4, 16, ...]. Over a
    gap the taste may be drawn anew (probability d) and the interest give way (s), independently given the gap.
    """

    def __init__(self, config: StoreConfig | None = None, domains: Sequence[str] = DOMAINS) -> None:
        self.config = config = config or StoreConfig()
        if lost := [name for name in domains if name not in DOMAINS]:
            raise InputError(f"store: no domain {lost[0]!r}; there are {', '.join(DOMAINS)}")
        self.domains, self.recall = tuple(domains), config.recall if config.seasons > 1 else 0.0
        favourite = (np.arange(KINDS) % len(COLOURS) == np.arange(len(COLOURS))[:, None]) * len(COLOURS) / KINDS
        self.fresh = config.taste * favourite + (1 - config.taste) / KINDS  # a new interest, given the taste [4, 16]

    @cached_property
    def items(self) -> pd.DataFrame:
        """Item, domain, shape, colour, kind, weight (share of the domain's popularity), picture_shape and so on (what
        picture and text say, 0 to 3), has_picture."""
        config, n, shelves = self.config, self.config.items, []
        for domain in self.domains:
            rng = _random(config, domain, "items")
            kind = rng.permutation(np.arange(n) % KINDS)
            weight = (1 + rng.permutation(n)) ** -float(config.popularity)
            shelf = pd.DataFrame(dict(item=[f"{domain}-{i:04}" for i in range(n)], domain=domain))
            shelf = shelf.assign(shape=kind // 4, colour=kind % 4, kind=kind, weight=weight / weight.sum())
            for modality, attribute in product(("picture", "text"), ("shape", "colour")):
                right = rng.random(n) < getattr(config, modality)
                shelf[f"{modality}_{attribute}"] = np.where(right, shelf[attribute], (4 * rng.random(n)).astype(int))
            shelves.append(shelf.assign(has_picture=rng.permutation(n) >= round(config.missing * n)))
        return pd.concat(shelves, ignore_index=True)

    def gaps(self, uniform: np.ndarray) -> np.ndarray:
        """Gaps in whole seconds for numbers in [0, 1) [..., 2]: absence or not, how long."""
        spread = np.interp(uniform[..., 1], NORMAL, QUANTILES)
        absent = uniform[..., 0] < self.config.absence
        return np.rint(np.where(absent, 60 * DAY * 2**spread, 2 * HOUR * 4**spread)).astype(np.int64)

    def events(self, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(s, d): probabilities [...] that the interest gives way, the taste changes, over ``gaps`` [...] seconds."""
        (grid, share), w = self._grid, self.config.gap_effect
        s, all_s = (1 - 2.0 ** (-time / (self.config.half_life * DAY)) for time in (gaps, grid))
        d, all_d = (1 - np.exp(-self.config.drift * time / YEAR) for time in (gaps, grid))
        return w * s + (1 - w) * (share @ all_s), w * d + (1 - w) * (share @ all_d)

    @cached_property
    def _grid(self):
        """Gaps [2 * 2000] at the midpoints of equal shares of both sorts, and their probabilities."""
        sorts = [self.gaps(np.stack([np.full(2000, side), (np.arange(2000) + 0.5) / 2000], -1)) for side in (-1.0, 1.0)]
        return np.concatenate(sorts), np.repeat([self.config.absence, 1 - self.config.absence], 2000) / 2000

    def odds(self, gaps: np.ndarray | None = None) -> np.ndarray:
        """Probabilities [..., 4] of (nothing, interest, taste, both) changing; ``gaps`` None: over a gap unknown."""
        if gaps is None:
            grid, share = self._grid
            return share @ self.odds(grid)
        s, d = self.events(gaps)
        return np.stack([(1 - s) * (1 - d), s * (1 - d), (1 - s) * d, s * d], -1)

    def step(self, states: Float[Tensor, "B ..."], odds: Float[Tensor, "#B 4"]) -> Float[Tensor, "B ..."]:
        """The distribution over states [B, 4, 16, ...] one gap later, for ``odds`` [B, 4] (torch, float64)."""
        odds = odds.T.reshape(4, -1, *[1] * (states.dim() - 1))
        moved = states.mean(1, keepdim=True).expand_as(states)
        turned = (odds[1] * states + odds[3] * moved).movedim(2, -1)  # to the next of the round, or to a fresh one
        fresh = torch.from_numpy(self.fresh).reshape(1, 4, KINDS, *[1] * (states.dim() - 3))
        turned = self.recall * turned + (1 - self.recall) * turned.sum(2, keepdim=True) * fresh
        return odds[0] * states + odds[2] * moved + turned

    @cached_property
    def start(self) -> Float[Tensor, "4 16 ..."]:
        """The stationary distribution, in which users are met first."""
        states = torch.full((1, 4, *[KINDS] * self.config.seasons), 1.0, dtype=torch.float64)
        states, odds = states / states.sum(), torch.from_numpy(self.odds())[None]
        for _ in range(10_000):
            states, before = self.step(states, odds), states
            if (states - before).abs().max() < 1e-15:
                break
        return states[0]


def make_store(
    folder: Path | str | None = None, config: StoreConfig | None = None, domains: Sequence[str] = DOMAINS
) -> Dataset:
    """The demo store's `Dataset`; its ``info`` holds the parameters, from which `truth_of` makes the `Truth` again.

    Parameters
    ----------
    folder : where pictures are drawn, PNG, below ``images/``; None: none are, all else the same
    config : its sizes and parameters
    domains : some of its ten; each comes out the same whichever others are made with it

    Examples
    --------
    >>> make_store(config=StoreConfig(users=20, items=16), domains=["mugs"])
    Dataset store: 20 users, 16 items, 384 interactions
    """
    truth = Truth(config, domains)
    items = truth.items
    image = ("images/" + items["item"] + ".png").astype(object).where(items["has_picture"] & (folder is not None), None)
    rows, words = [], []
    for name in truth.domains:
        shelf, number = items[items["domain"] == name], DOMAINS.index(name)
        rows.append(_purchases(truth, shelf, _random(truth.config, name, "users")))
        words.append(assets.words(shelf, number, _random(truth.config, name, "words")))
        if folder is not None:
            assets.draw(shelf, image[shelf.index], Path(folder), number, _random(truth.config, name, "pictures"))
    about = {"source": "made up by mmm4rec_lite.data.synthetic", "terms": "free for any use"}
    info = {**about, "store": asdict(truth.config), "domains": list(truth.domains)}
    department = np.array(assets.SHAPES)[items["shape"], 0]  # the true one, as a shop knows where a thing stands
    items = items.assign(image=image, categories=department, **pd.concat(words))
    return Dataset.from_frames("store", pd.concat(rows, ignore_index=True), items, folder, info)


def save_store(out: Path | str, config: StoreConfig | None = None, domains: Sequence[str] = DOMAINS) -> None:
    """`make_store` with its pictures as the dataset folder ``out``; the same config gives the same bytes."""
    with scratch() as work, writing(out):
        make_store(work, config, domains).save(out)


def truth_of(dataset: Dataset) -> Truth:
    """The `Truth` behind a store's dataset, or behind a part of it; InputError for other datasets."""
    try:
        return Truth(StoreConfig(**dataset.info["store"]), dataset.info["domains"])
    except (TypeError, KeyError):
        raise InputError(f"{dataset.name} is not the demo store: its info lacks the store's parameters") from None


def _random(config, domain, stream):
    """A stream of random numbers of its own for every seed, domain and purpose."""
    return np.random.default_rng([config.seed, DOMAINS.index(domain), *STREAMS[stream]])


def _purchases(truth, shelf, rng):
    """A domain's interactions: user, item, timestamp."""
    config, n = truth.config, truth.config.users
    mean = max(config.length - SHORTEST, 1e-9)
    more = np.log1p(-rng.random(n)) / np.log1p(-1 / (1 + mean))
    length = (SHORTEST + np.floor(more)).clip(max=int(SHORTEST + 4 * mean)).astype(int)
    table = truth.start.numpy()
    state = np.stack(np.unravel_index(_draw(table.ravel(), rng.random(n)), table.shape))  # [1 + seasons, n]
    weight, kind = shelf["weight"].to_numpy(), shelf["kind"].to_numpy()
    within = weight * (kind == np.arange(KINDS)[:, None])
    time = START + (2 * YEAR * rng.random(n)).astype(np.int64)
    steps = []
    for t in range(length.max()):
        u = rng.random((n, 8))
        if t:
            gaps = truth.gaps(u[:, :2])
            time, (s, d) = time + gaps, truth.events(gaps)
            state[0] = np.where(u[:, 2] < d, np.minimum(4 * u[:, 2] / np.maximum(d, 1e-9), 3).astype(int), state[0])
            due = np.roll(state[1:], -1, axis=0)
            due[0] = np.where(u[:, 5] < truth.recall, due[0], _draw(truth.fresh[state[0]], u[:, 4]))
            state[1:] = np.where(u[:, 3] < s, due, state[1:])
        steps.append((np.where(u[:, 6] < config.focus, _draw(within[state[1]], u[:, 7]), _draw(weight, u[:, 7])), time))
    item, time = (np.stack(part, 1) for part in zip(*steps))
    real = np.arange(item.shape[1]) < length[:, None]
    user = np.repeat([f"{shelf['domain'].iloc[0]}-u{i:05}" for i in range(n)], length)
    return pd.DataFrame({"user": user, "item": shelf["item"].to_numpy()[item[real]], "timestamp": time[real]})


def _draw(weights, uniform):
    """One index for each of ``uniform`` [n], drawn by ``weights`` [m] or [n, m]."""
    total = np.cumsum(weights, -1)
    if total.ndim == 1:
        return np.minimum(np.searchsorted(total, uniform * total[-1], side="right"), len(total) - 1)
    return np.minimum((total <= (uniform * total[:, -1])[:, None]).sum(1), total.shape[1] - 1)


def oracle_scorer(truth: Truth, dataset: Dataset, gaps: bool = True, knows: str = "all") -> Scorer:
    """The scorer batch -> probabilities of the next item that knows the truth, for `rank_rows`.

    It knows the parameters, all popularities and the history, not the time of the request: over the last gap it
    averages (``gaps`` False: over every gap), and it learns nothing about an item from other users. ``knows``: "all",
    or what an item's kind is judged from, "both" modalities, its "picture", its "text", its true "shape" or "colour".
    """
    refuse(knows not in KNOWS, f"store: knows must be one of {', '.join(KNOWS)}, not {knows!r}")
    shelf = truth.items.set_index("item").reindex(dataset.items["item"])
    refuse(shelf["kind"].isna().any(), f"{dataset.name} has items that are not of this store")
    if shelf["domain"].nunique() > 1:
        raise InputError(f"{dataset.name} has several domains; a user buys in one, take it with dataset.select(domain)")
    weight = torch.tensor(shelf["weight"].to_numpy())
    sold = weight * torch.from_numpy(_judged(truth.config, shelf, knows)).T  # [16, I]
    sold = truth.config.focus * sold / sold.sum(1, keepdim=True) + (1 - truth.config.focus) * weight / weight.sum()
    sold = torch.cat([torch.zeros(KINDS, 1, dtype=torch.float64), sold], 1)  # [16, I + 1]
    unknown = torch.from_numpy(truth.odds())[None]
    order = 1 - 1e-9 * torch.arange(sold.shape[1], dtype=torch.float64)  # no ties

    @torch.no_grad()
    def score(batch):
        batch, rows = batch.to("cpu"), len(batch.items)
        states = truth.start.expand(rows, *truth.start.shape)
        passed = batch.times.diff(dim=1).clamp(min=0).numpy()
        odds = torch.from_numpy(truth.odds(passed)) if gaps else unknown[:, None].expand(*passed.shape, 4)
        for t in range(int(batch.lengths.max())):
            new = truth.step(states, odds[:, t - 1]) if t else states
            new = new * sold[:, batch.items[:, t]].T.reshape(rows, 1, KINDS, *[1] * (states.dim() - 3))
            new = new / new.sum(tuple(range(1, new.dim())), keepdim=True)
            states = torch.where((t < batch.lengths).reshape(rows, *[1] * (states.dim() - 1)), new, states)
        scores = truth.step(states, unknown).sum([1, *range(3, states.dim())]) @ sold * order
        scores[:, 0] = -torch.inf
        return scores

    return score


def _judged(config, shelf, knows):
    """P(kind | what is shown) of every item [I, 16]; kinds are equally frequent."""
    kinds = np.arange(KINDS)
    values = {"kind": kinds, "shape": kinds // len(COLOURS), "colour": kinds % len(COLOURS)}
    column = {column: shelf[column].to_numpy()[:, None] for column in shelf}
    if (seen := knows.replace("all", "kind")) in values:
        odds, modalities = (column[seen] == values[seen]).astype(float), []
    else:
        odds, modalities = np.ones((len(shelf), KINDS)), ["picture", "text"] if knows == "both" else [knows]
    for modality, attribute in product(modalities, ("shape", "colour")):
        right, same = getattr(config, modality), column[f"{modality}_{attribute}"] == values[attribute]
        shown = column["has_picture"] | (modality == "text")
        odds *= np.where(shown, right * same + (1 - right) / 4, 1)
    return odds / odds.sum(1, keepdims=True)
