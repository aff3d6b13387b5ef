"""Numbers about data and features before any model, as frames (shares: 0 to 1): counts, gaps, images, neighbours."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite import published
from mmm4rec_lite.data.dataset import Dataset, tie_share
from mmm4rec_lite.data.split import leave_one_out
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.typing import Float, Tensor

Ids = Iterable[Any]
DAY, QUARTILES = 86400, (0.25, 0.5, 0.75)
AGES = ["age_q25_days", "age_median_days", "age_q75_days"]  # by QUARTILES
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
    refuse(not len(found), f"{dataset.name}: no user has two interactions, so there are no gaps to look at")
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
        refuse(len(latest) < 2, f"{dataset.name}: fewer than two users have {length} gaps; take a smaller length")
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
        counts = counts_by_item(dataset)
        sold, place = np.r_[0, counts.cumsum()] / counts.sum(), np.arange(len(counts) + 1) / len(counts)
        parts.append(pd.DataFrame(dict(dataset=dataset.name, item_share=place, interaction_share=sold)))
    return pd.concat(parts, ignore_index=True)


def popularity_statistics(datasets: Iterable[Dataset], percents: Sequence[int] = (1, 10, 50)) -> pd.DataFrame:
    """Shares of the interactions on the most popular 1, 10, 50 % of items (rounded up), and Gini (0: all alike)."""
    table = []
    for dataset in datasets:
        counts = counts_by_item(dataset)
        n, total = len(counts), counts.sum()
        top = [counts[: int(np.ceil(percent * n / 100))].sum() / total for percent in percents]
        table.append((dataset.name, n, *top, ((n + 1 - 2 * np.arange(1, n + 1)) * counts).sum() / (n * total)))
    columns = ["dataset", "items", *(f"top_{percent}_percent_share" for percent in percents), "gini"]
    return pd.DataFrame(table, columns=columns)


def history_lengths(datasets: Iterable[Dataset]) -> pd.DataFrame:
    """dataset, items (0, 1, ...), longer_share: the share of test histories that have more items than that."""
    parts = []
    for dataset in datasets:
        lengths = _lengths(leave_one_out(dataset))
        items = np.arange(lengths.max() + 1)
        longer = (lengths[:, None] > items).mean(0)
        parts.append(pd.DataFrame({"dataset": dataset.name, "items": items, "longer_share": longer}))
    return pd.concat(parts, ignore_index=True)


def dropped_items(datasets: Iterable[Dataset], windows: Sequence[int]) -> pd.DataFrame:
    """What a window of the latest items before a test target leaves out.

    dataset, kept, n_histories, cut_share (of them), dropped_share (of items), ``AGES``: how long before the oldest item
    kept the dropped ones were (nan if none).
    """
    lines = []
    for dataset in datasets:
        rows = leave_one_out(dataset)
        lengths, times = _lengths(rows), rows.sequences.times.numpy()
        test, first = rows.test.numpy(), rows.sequences.first[rows.test].numpy()
        for kept in windows:
            cut = [times[t - kept] - times[f : t - kept] for t, f, n in zip(test, first, lengths) if n > kept]
            days = np.concatenate(cut) / DAY if cut else np.array([np.nan])
            shares = (lengths > kept).mean(), np.clip(lengths - kept, 0, None).sum() / lengths.sum()
            lines.append((dataset.name, kept, len(lengths), *shares, *np.quantile(days, QUARTILES)))
    return pd.DataFrame(lines, columns=["dataset", "kept", "n_histories", "cut_share", "dropped_share", *AGES])


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


def counts_by_item(dataset: Dataset) -> np.ndarray:
    """Interactions per item, most first [I]."""
    counts = dataset.interactions["item"].value_counts().reindex(dataset.items["item"], fill_value=0)
    return np.sort(counts.to_numpy())[::-1]


def _lengths(rows):
    return (rows.test - rows.sequences.first[rows.test]).numpy()
