"""Numbers about data and features before any model, as frames: counts, gaps, popularity, images, neighbours.

Shares are 0 to 1; only Table 1's coverage is in percent, as printed there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite import published
from mmm4rec_lite.data.dataset import Dataset, tie_share
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Bool, Float, Tensor

DAY = 86400
PER_DECADE = 4  # bins of positive gaps per factor of ten
ROWS = 1024  # of a table of cosines, held at once
QUARTILES = (0.25, 0.5, 0.75)
COUNTS = ["users", "items", "images", "interactions"]


def dataset_statistics(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """The columns of the paper's Table 1, and ``tie_share``: one row per dataset."""

    def row(dataset):
        pictured, rows = dataset.items["image"].notna(), dataset.interactions
        users, images, coverage = rows["user"].nunique(), int(pictured.sum()), 100 * pictured.mean()
        return dataset.name, users, len(pictured), images, coverage, len(rows), len(rows) / users, tie_share(rows)

    columns = "dataset users items images coverage_percent interactions average_length tie_share".split()
    return pd.DataFrame(map(row, datasets), columns=columns)


def beside_paper(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """`dataset_statistics` without ties, ``numbers`` = "measured", and below it the paper's Table 1, "published"."""
    paper = published.paper(1).pivot(index="dataset", columns="column", values="value")
    paper = paper.loc[published.paper(1)["dataset"].unique()].reset_index()
    both = {"measured": dataset_statistics(datasets).drop(columns="tie_share"), "published": paper}
    table = pd.concat(both, names=["numbers"]).reset_index("numbers").reset_index(drop=True)
    return table.astype(dict.fromkeys(COUNTS, "int64"))[["numbers", *both["measured"].columns]]


def gaps(dataset: Dataset) -> np.ndarray:
    """Seconds between neighbouring interactions of one user, all users one after another: int64 [G].

    InputError when no user has two interactions.
    """
    user, time = (dataset.interactions[column].to_numpy() for column in ("user", "timestamp"))
    found = np.diff(time)[user[1:] == user[:-1]]
    if not len(found):
        raise InputError(f"{dataset.name}: no user has two interactions, so there are no gaps to look at")
    return found


def gap_histogram(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """How long gaps are, on a log scale: dataset, from_s, to_s (from_s <= gap < to_s), share (adds up to 1).

    The first row of a dataset is for gaps of zero (both ends 0), which no log scale has a place for; the others are
    equally wide in log(gap), `PER_DECADE` per factor of ten, from one second to the longest gap.
    """

    def bins(dataset):
        lengths = gaps(dataset)
        edges = 10 ** (np.arange(int(np.log10(max(lengths.max(), 1)) * PER_DECADE) + 2) / PER_DECADE)
        counts = np.r_[(lengths == 0).sum(), np.histogram(lengths[lengths > 0], edges)[0]]
        return dict(from_s=np.r_[0, edges[:-1]], to_s=np.r_[0, edges[1:]], share=counts / len(lengths))

    return _stacked(datasets, bins)


def gap_statistics(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """What a model that reads time has to go on, one row per dataset.

    The number of gaps and the share of zeros; quartiles of the gaps (seconds) and of the users' spans, first to last
    interaction (days); the median length of a history; and the entropy of the gaps' lengths, H = -sum p log2 p over
    the bins of `gap_histogram`: 0 bits when all are alike, 1 as for a fair coin between two lengths, and so on.
    """

    def row(dataset):
        lengths, users = gaps(dataset), dataset.interactions.groupby("user")["timestamp"]
        share = gap_histogram([dataset])["share"]
        share = share[share > 0]
        spans = (users.max() - users.min()).quantile(QUARTILES) / DAY
        numbers = len(lengths), tie_share(dataset.interactions), *np.quantile(lengths, QUARTILES), *spans
        return dataset.name, *numbers, users.size().median(), abs(float(-(share * np.log2(share)).sum()))

    columns = "dataset n_gaps zero_gap_share gap_q25_s gap_median_s gap_q75_s span_q25_days span_median_days "
    columns += "span_q75_days median_history_length log_gap_entropy_bits"
    return pd.DataFrame(map(row, datasets), columns=columns.split())


def gap_spectrum(datasets: Iterable[Dataset], length: int = 20) -> pd.DataFrame:
    """How regular the order of gaps is: the spectrum of every user's latest ``length`` log-gaps, mean over users.

    Columns: dataset, users (those with so many gaps), bin (cycles per window), period (steps, not days), power,
    chance_power (of the same gaps in any other order, exact), ratio (power / chance_power), its standard_error over
    users. Each user's mean is taken off first, so bin 0 is empty and left out. InputError where no two users have
    enough gaps.
    """

    def spectrum(dataset):
        logs = dataset.interactions.groupby("user", sort=False)["timestamp"].agg(lambda t: np.log1p(np.diff(t)))
        latest = [values[-length:] for values in logs if len(values) >= length]
        if len(latest) < 2:
            raise InputError(f"{dataset.name}: fewer than two users have {length} gaps; take a smaller length")
        signals = np.stack(latest) - np.mean(latest, axis=1, keepdims=True)
        power = np.abs(np.fft.rfft(signals, norm="ortho")[:, 1:]) ** 2  # [users, length // 2]
        mean, chance, bins = power.mean(0), (signals**2).sum(1).mean() / (length - 1), np.arange(1, power.shape[1] + 1)
        spread = power.std(0, ddof=1) / len(power) ** 0.5 / chance
        about = dict(users=len(power), bin=bins, period=length / bins, power=mean, chance_power=chance)
        return about | dict(ratio=mean / chance, standard_error=spread)

    return _stacked(datasets, spectrum)


def popularity(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """Items by popularity, the most popular first: dataset, item_share, interaction_share, both cumulative.

    One row per item, and one of zeros before them. Items without any interaction count as items.
    """

    def curve(dataset):
        counts = _counts(dataset)
        shares = np.r_[0, counts.cumsum()] / counts.sum()
        return dict(item_share=np.arange(len(counts) + 1) / len(counts), interaction_share=shares)

    return _stacked(datasets, curve)


def popularity_statistics(datasets: Iterable[Dataset], percents: Sequence[int] = (1, 10, 50)) -> pd.DataFrame:
    """Per dataset: shares of the interactions on the most popular 1, 10, 50 % of items (rounded up), and Gini.

    The Gini coefficient is half the mean absolute difference between two items' counts over the mean count; 0 when
    all items sell alike, near 1 when one has everything.
    """

    def row(dataset):
        counts = _counts(dataset)
        n, total = len(counts), counts.sum()
        top = [counts[: int(np.ceil(percent * n / 100))].sum() / total for percent in percents]
        return dataset.name, n, *top, ((n + 1 - 2 * np.arange(1, n + 1)) * counts).sum() / (n * total)

    columns = ["dataset", "items", *(f"top_{percent}_percent_share" for percent in percents), "gini"]
    return pd.DataFrame(map(row, datasets), columns=columns)


def image_coverage(dataset: Dataset) -> pd.DataFrame:
    """domain, items, images, image_share of the items and of the interactions: per domain, and of "all"."""
    items = dataset.items.assign(pictured=dataset.items["image"].notna())
    rows = dataset.interactions.merge(items[["item", "domain", "pictured"]], on="item")

    def row(name):
        own, bought = (f["pictured"] if name == "all" else f["pictured"][f["domain"] == name] for f in (items, rows))
        return name, len(own), int(own.sum()), own.mean(), bought.mean()

    columns = ["domain", "items", "images", "item_image_share", "interaction_image_share"]
    return pd.DataFrame(map(row, [*dataset.domains, "all"]), columns=columns)


def neighbours(
    items: Iterable[Any],
    vectors: Float[Tensor, "I D"],
    k: int = 5,
    among: Iterable[Any] | None = None,
    of: Iterable[Any] | None = None,
) -> pd.DataFrame:
    """The k nearest items by cosine: item, rank (from 1), neighbour, cosine. An item is not its own neighbour.

    Parameters
    ----------
    items, vectors : item ids, and their features, one row each
    among : ids of the items that can be found; None: all
    of : ids of the items to look from; None: those of ``among``

    Ties come in no particular order. InputError when an item is unknown or has a vector of length 0 (as those
    without an image may: leave them out of ``among`` and ``of``), and when there are not k others.
    """
    items, vectors = list(items), vectors.float()
    if vectors.dim() != 2 or len(vectors) != len(items):
        shape = list(vectors.shape)
        raise InputError(
            f"neighbours: expected one vector for each of {len(items)} items, got numbers of shape {shape}"
        )
    pool = _places(items, items if among is None else among)
    start = pool if of is None else _places(items, of)
    if not 1 <= k < len(pool):
        raise InputError(f"neighbours: k must be from 1 to {len(pool) - 1} among {len(pool)} items, not {k}")
    used = torch.cat([pool, start])
    if (lost := vectors[used].norm(dim=1) == 0).any():
        raise InputError(
            f"neighbours: item {items[used[lost][0]]!r} has a vector of length 0 (has it no picture?), which is near "
            "nothing; leave such items out of among and of"
        )
    unit, found = F.normalize(vectors, dim=1), []
    for rows in start.split(ROWS):
        cosine = unit[rows] @ unit[pool].T
        found.append(cosine.masked_fill(rows[:, None] == pool, -torch.inf).topk(k, dim=1))
    cosine, near = (torch.cat(part).flatten() for part in zip(*found))
    ids, ranks = np.array(items, dtype=object), np.tile(np.arange(1, k + 1), len(start))
    near = ids[pool[near]]
    return pd.DataFrame(
        dict(item=ids[start.repeat_interleave(k)], rank=ranks, neighbour=near, cosine=cosine.clamp(-1, 1).numpy())
    )


def agreement(one: pd.DataFrame, other: pd.DataFrame, candidates: int) -> pd.Series:
    """How far two frames of `neighbours` of the same items agree: shared (0 to 1), and what chance gives.

    ``candidates``: among how many items both looked (the item itself included); ``chance`` is that of two random sets.
    """
    if set(one["item"]) != set(other["item"]) or (k := one["rank"].max()) != other["rank"].max():
        raise InputError("agreement: the two are neighbours of different items, or of another number k; look again")
    shared = one.merge(other, on=["item", "neighbour"])
    return pd.Series({"shared": len(shared) / len(one), "chance": k / (candidates - 1)})


def matches(near: Mapping[str, pd.DataFrame], items: pd.DataFrame, attributes: Sequence[str]) -> pd.DataFrame:
    """Whether neighbours are of one sort.

    Columns: modality, attribute, match_share (of neighbours with the item's own value), its standard_error over items,
    and chance_share, what random others of ``items`` would have.

    Parameters
    ----------
    near : modality -> a frame of `neighbours`
    items : item and the attributes, of exactly the items that could be found
    """
    known, rows = items.set_index("item"), []
    for modality, frame in near.items():
        if lost := sorted((set(frame["item"]) | set(frame["neighbour"])) - set(known.index)):
            raise InputError(f"matches: {len(lost)} neighbours are not among the items given, such as {lost[0]!r}")
        for attribute in attributes:
            value = known[attribute]
            same = frame["item"].map(value) == frame["neighbour"].map(value)
            each = same.groupby(frame["item"]).mean()
            chance = (each.index.map(value).map(value.value_counts()) - 1) / (len(known) - 1)
            rows.append((modality, attribute, each.mean(), each.sem(), chance.to_numpy().mean()))
    return pd.DataFrame(rows, columns=["modality", "attribute", "match_share", "standard_error", "chance_share"])


def without_image(
    vectors: Float[Tensor, "I D"], has_image: Bool[Tensor, " I"] | Sequence[bool], k: int = 5
) -> pd.Series:
    """What image vectors say of the items that have no image (``has_image`` False).

    How many there are and how many different vectors they have; their cosines to one another and to the images (a
    vector of length 0 has cosine 0 to all); how many items tie as their nearest one, and as that of an item with an
    image (medians); and the share of images that find one of them among their k nearest.
    """
    vectors, has = vectors.float(), torch.as_tensor(has_image, dtype=torch.bool)
    bare, n = (~has).nonzero()[:, 0], len(has)
    if len(vectors) != n or len(bare) < 2 or n - len(bare) < 1 or not 1 <= k < n:
        raise InputError(
            f"without_image: expected vectors of {n} items, two of them or more without a picture, and k "
            f"below {n}; got {len(vectors)} vectors, {len(bare)} items without a picture, k = {k}"
        )
    unit = F.normalize(vectors, dim=1)
    ties, met, highest = torch.zeros(n), torch.zeros(n, dtype=torch.bool), -torch.inf
    for rows in torch.arange(n).split(ROWS):
        cosine = unit[rows] @ unit.T
        cosine[torch.arange(len(rows)), rows] = -torch.inf
        best = cosine.topk(k, dim=1)
        ties[rows] = (cosine > best.values[:, :1] - 1e-5).sum(1).float()
        met[rows] = (~has[best.indices]).any(1)
        if not has[rows].all():
            highest = max(highest, cosine[~has[rows]][:, has].max().item())
    one = unit[bare].sum(0)
    among = (one @ one - unit[bare].square().sum()) / (len(bare) * (len(bare) - 1))
    names = "items without_image different_vectors cosine_to_one_another mean_cosine_to_images highest_cosine_to_images"
    names += " nearest_ties nearest_ties_of_images images_near_them_share"
    numbers = n, len(bare), len(vectors[bare].unique(dim=0)), among, (one / len(bare)) @ unit[has].mean(0), highest
    medians = ties[bare].median(), ties[has].median()
    return pd.Series([float(number) for number in (*numbers, *medians, met[has].double().mean())], names.split())


def _stacked(datasets, columns):
    """For each dataset its name and ``columns(dataset)``, name -> values, below one another."""
    parts = [pd.DataFrame({"dataset": dataset.name, **columns(dataset)}) for dataset in datasets]
    return pd.concat(parts, ignore_index=True)


def _counts(dataset):
    """Interactions per item, most first [I]."""
    counts = dataset.interactions["item"].value_counts().reindex(dataset.items["item"], fill_value=0)
    return np.sort(counts.to_numpy())[::-1]


def _places(items, wanted):
    """The rows of ``wanted`` ids, as a tensor."""
    wanted = list(wanted)
    rows = pd.Index(items).get_indexer(wanted)
    if (rows < 0).any():
        raise InputError(f"neighbours: no item {wanted[int((rows < 0).argmax())]!r} among {len(items)}; check the ids")
    return torch.from_numpy(rows)
