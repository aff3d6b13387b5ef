"""Numbers about data and features before any model, as frames (shares: 0 to 1): counts, gaps, images, neighbours."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite import published
from mmm4rec_lite.data.dataset import Dataset, tie_share
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Float, Tensor

Ids = Iterable[Any]
DAY, QUARTILES = 86400, (0.25, 0.5, 0.75)
COUNTS = ["users", "items", "images", "interactions"]
PER_DECADE = 4  # bins of positive gaps per factor of ten
ROWS = 1024  # of a table of cosines, held at once


def dataset_statistics(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """The columns of the paper's Table 1, and ``tie_share``: one row per dataset."""
    table = []
    for dataset in datasets:
        pictured, rows = dataset.items["image"].notna(), dataset.interactions
        users, images, coverage = rows["user"].nunique(), int(pictured.sum()), 100 * pictured.mean()
        numbers = users, len(pictured), images, coverage, len(rows), len(rows) / users, tie_share(rows)
        table.append((dataset.name, *numbers))
    columns = "dataset users items images coverage_percent interactions average_length tie_share".split()
    return pd.DataFrame(table, columns=columns)


def beside_paper(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """`dataset_statistics` without ties, ``numbers`` = "measured", and below it the paper's Table 1, "published"."""
    paper = published.paper(1).pivot(index="dataset", columns="column", values="value")
    paper = paper.loc[published.paper(1)["dataset"].unique()].reset_index()
    both = {"measured": dataset_statistics(datasets).drop(columns="tie_share"), "published": paper}
    table = pd.concat(both, names=["numbers"]).reset_index("numbers").reset_index(drop=True)
    return table.astype(dict.fromkeys(COUNTS, "int64"))[["numbers", *both["measured"].columns]]


def gaps(dataset: Dataset) -> np.ndarray:
    """Seconds between neighbouring interactions of one user, all users one after another: int64 [G]."""
    user, time = (dataset.interactions[column].to_numpy() for column in ("user", "timestamp"))
    found = np.diff(time)[user[1:] == user[:-1]]
    if not len(found):
        raise InputError(f"{dataset.name}: no user has two interactions, so there are no gaps to look at")
    return found


def gap_histogram(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """How long gaps are: dataset, from_s, to_s (from_s <= gap < to_s), share (adds up to 1).

    A dataset's first row is for gaps of zero (both ends 0); the others are equally wide in log(gap).
    """
    parts = []
    for dataset in datasets:
        lengths = gaps(dataset)
        edges = 10 ** (np.arange(int(np.log10(max(lengths.max(), 1)) * PER_DECADE) + 2) / PER_DECADE)
        counts = np.r_[(lengths == 0).sum(), np.histogram(lengths[lengths > 0], edges)[0]]
        ends = dict(from_s=np.r_[0, edges[:-1]], to_s=np.r_[0, edges[1:]])
        parts.append(pd.DataFrame(dict(dataset=dataset.name, **ends, share=counts / len(lengths))))
    return pd.concat(parts, ignore_index=True)


def gap_statistics(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """What a model that reads time has to go on, one row per dataset.

    Spans are from a user's first to the last interaction; the entropy is that of the gaps' lengths over the bins of
    `gap_histogram`: 0 bits when all are alike, 1 as for a fair coin between two lengths, and so on.
    """
    columns = "dataset n_gaps zero_gap_share gap_q25_s gap_median_s gap_q75_s span_q25_days span_median_days "
    columns += "span_q75_days median_history_length log_gap_entropy_bits"
    table = []
    for dataset in datasets:
        lengths, users = gaps(dataset), dataset.interactions.groupby("user")["timestamp"]
        share = gap_histogram([dataset])["share"].loc[lambda share: share > 0]
        spans = (users.max() - users.min()).quantile(QUARTILES) / DAY
        numbers = len(lengths), tie_share(dataset.interactions), *np.quantile(lengths, QUARTILES), *spans
        table.append((dataset.name, *numbers, users.size().median(), abs(-(share * np.log2(share)).sum())))
    return pd.DataFrame(table, columns=columns.split())


def gap_spectrum(datasets: Iterable[Dataset], length: int = 20) -> pd.DataFrame:
    """How regular the order of gaps is: the spectrum of every user's latest ``length`` log-gaps, mean over users.

    Columns: dataset, users (those with so many gaps), bin (cycles per window), period (steps, not days), power,
    chance_power (of the same gaps in any other order, exact), ratio of the two, its standard_error over users.
    """
    parts = []
    for dataset in datasets:
        logs = dataset.interactions.groupby("user", sort=False)["timestamp"].agg(lambda t: np.log1p(np.diff(t)))
        latest = [values[-length:] for values in logs if len(values) >= length]
        if len(latest) < 2:
            raise InputError(f"{dataset.name}: fewer than two users have {length} gaps; take a smaller length")
        signals = np.stack(latest) - np.mean(latest, axis=1, keepdims=True)  # so that bin 0 is empty
        power = np.abs(np.fft.rfft(signals, norm="ortho")[:, 1:]) ** 2  # [users, length // 2]
        mean, chance, bins = power.mean(0), (signals**2).sum(1).mean() / (length - 1), np.arange(1, power.shape[1] + 1)
        about = dict(dataset=dataset.name, users=len(power), bin=bins, period=length / bins, power=mean)
        table = pd.DataFrame(about | dict(chance_power=chance, ratio=mean / chance))
        parts.append(table.assign(standard_error=power.std(0, ddof=1) / len(power) ** 0.5 / chance))
    return pd.concat(parts, ignore_index=True)


def popularity(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """Items by popularity, the most popular first, after a row of zeros: cumulative item_share, interaction_share."""
    parts = []
    for dataset in datasets:
        counts = _counts(dataset)
        sold, place = np.r_[0, counts.cumsum()] / counts.sum(), np.arange(len(counts) + 1) / len(counts)
        parts.append(pd.DataFrame(dict(dataset=dataset.name, item_share=place, interaction_share=sold)))
    return pd.concat(parts, ignore_index=True)


def popularity_statistics(datasets: Iterable[Dataset], percents: Sequence[int] = (1, 10, 50)) -> pd.DataFrame:
    """Shares of the interactions on the most popular 1, 10, 50 % of items (rounded up), and Gini (0: all alike)."""
    table = []
    for dataset in datasets:
        counts = _counts(dataset)
        n, total = len(counts), counts.sum()
        top = [counts[: int(np.ceil(percent * n / 100))].sum() / total for percent in percents]
        table.append((dataset.name, n, *top, ((n + 1 - 2 * np.arange(1, n + 1)) * counts).sum() / (n * total)))
    columns = ["dataset", "items", *(f"top_{percent}_percent_share" for percent in percents), "gini"]
    return pd.DataFrame(table, columns=columns)


def image_coverage(dataset: Dataset) -> pd.DataFrame:
    """domain, items, images, image_share of the items and of the interactions: per domain, and of "all"."""
    items = dataset.items.assign(pictured=dataset.items["image"].notna())[["item", "domain", "pictured"]]
    items = pd.concat([items, items.assign(domain="all")])
    table = items.groupby("domain")["pictured"].agg(items="size", images="sum", item_image_share="mean")
    bought = dataset.interactions.merge(items, on="item").groupby("domain")["pictured"].mean()
    return table.assign(interaction_image_share=bought).loc[[*dataset.domains, "all"]].reset_index()


def neighbours(
    items: Ids, vectors: Float[Tensor, "I D"], k: int = 5, among: Ids | None = None, of: Ids | None = None
) -> pd.DataFrame:
    """The k nearest items by cosine: item, rank (from 1), neighbour (not the item itself), cosine; ties in any order.

    ``among``: ids of the items that can be found (None: all); ``of``: of those to look from (None: the same).
    InputError when one has a vector of length 0, as items without an image may, or there are not k others.
    """
    items, vectors, shape = list(items), vectors.float(), list(vectors.shape)
    if len(shape) != 2 or shape[0] != len(items):
        raise InputError(f"neighbours: expected one vector for each of {len(items)} items, not an array {shape}")
    among = items if among is None else list(among)
    of, known = among if of is None else list(of), set(items)
    if unknown := [item for item in (*among, *of) if item not in known]:
        raise InputError(f"neighbours: no item {unknown[0]!r} among {len(items)}; check the ids")
    pool, start = (torch.from_numpy(pd.Index(items).get_indexer(ids)) for ids in (among, of))
    if not 1 <= k < len(pool):
        raise InputError(f"neighbours: k must be from 1 to {len(pool) - 1} among {len(pool)} items, not {k}")
    used = torch.cat([pool, start])
    if (lost := vectors[used].norm(dim=1) == 0).any():
        fault = "has a vector of length 0 (has it no picture?); leave such items out of among and of"
        raise InputError(f"neighbours: item {items[used[lost][0]]!r} {fault}")
    unit, parts = F.normalize(vectors, dim=1), []
    for rows in start.split(ROWS):
        cosine = unit[rows] @ unit[pool].T
        parts.append(cosine.masked_fill(rows[:, None] == pool, -torch.inf).topk(k, dim=1))
    cosine, near = (torch.cat(part).flatten() for part in zip(*parts))
    ids, item = np.array(items, dtype=object), start.repeat_interleave(k)
    found = dict(item=ids[item], rank=np.tile(np.arange(1, k + 1), len(start)), neighbour=ids[pool[near]])
    return pd.DataFrame(found | dict(cosine=cosine.clamp(-1, 1).numpy()))


def agreement(one: pd.DataFrame, other: pd.DataFrame, candidates: int) -> pd.Series:
    """How far two frames of `neighbours`, found among ``candidates`` items, agree: shared (0 to 1), and by chance."""
    if set(one["item"]) != set(other["item"]) or (k := one["rank"].max()) != other["rank"].max():
        raise InputError("agreement: the two are neighbours of different items, or of another number k; look again")
    shared = one.merge(other, on=["item", "neighbour"])
    return pd.Series({"shared": len(shared) / len(one), "chance": k / (candidates - 1)})


def matches(near: Mapping[str, pd.DataFrame], items: pd.DataFrame, attributes: Sequence[str]) -> pd.DataFrame:
    """Whether neighbours (modality -> a frame of `neighbours`, found among ``items``) are of one sort.

    Columns: modality, attribute, match_share (of neighbours with the item's own value), its standard_error over items,
    and chance_share, what random others of ``items`` would have.
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


def without_image(vectors: Float[Tensor, "I D"], has_image: Iterable[bool], k: int = 5) -> pd.Series:
    """What image vectors say of the items that have no image (``has_image`` False).

    Their cosines to one another and to images (a vector of length 0 has cosine 0); how many items tie as their
    nearest one, and as that of an item with an image (medians); the share of images with one among their k nearest.
    """
    vectors, has = vectors.float(), torch.as_tensor(has_image, dtype=torch.bool)
    bare, n = (~has).nonzero()[:, 0], len(has)
    if len(vectors) != n or len(bare) < 2 or n - len(bare) < 1 or not 1 <= k < n:
        wanted = f"vectors of {n} items, two of them or more without a picture, and k below {n}"
        got = f"{len(vectors)} vectors, {len(bare)} items without a picture, k = {k}"
        raise InputError(f"without_image: expected {wanted}; got {got}")
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


def _counts(dataset):
    """Interactions per item, most first [I]."""
    counts = dataset.interactions["item"].value_counts().reindex(dataset.items["item"], fill_value=0)
    return np.sort(counts.to_numpy())[::-1]
