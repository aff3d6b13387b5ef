"""A look at data and features before any model: numbers about them as frames, without figures (``plots`` has these)."""

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite import published
from mmm4rec_lite.data.dataset import dataset_statistics, tie_share
from mmm4rec_lite.utils.errors import InputError

DAY = 86400
PER_DECADE = 4  # bins of positive gaps per factor of ten
ROWS = 1024  # of a table of cosines, held at once


def beside_paper(datasets):
    """`statistics` of datasets but for ties, "measured", and below it the paper's Table 1, "published"."""
    paper = published.paper(1).pivot(index="dataset", columns="column", values="value")
    paper = paper.loc[published.paper(1)["dataset"].unique()].reset_index()
    both = {"measured": dataset_statistics(datasets).drop(columns="ties %"), "published": paper}
    table = pd.concat(both, names=["numbers"]).reset_index("numbers").reset_index(drop=True)
    counts = ["users", "items", "images", "interactions"]
    return table.astype(dict.fromkeys(counts, "int64"))[["numbers", *both["measured"].columns]]


def gaps(dataset):
    """Seconds between neighbouring interactions of one user, all users one after another: int64 [G].

    InputError when no user has two interactions.
    """
    user, time = (dataset.interactions[column].to_numpy() for column in ("user", "timestamp"))
    found = np.diff(time)[user[1:] == user[:-1]]
    if not len(found):
        raise InputError(f"{dataset.name}: no user has two interactions, so there are no gaps to look at")
    return found


def gap_histogram(datasets):
    """How long gaps are, on a log scale: dataset, from, to (seconds; from <= gap < to), share (0 to 1; adds up to 1).

    The first row of a dataset is for gaps of zero (from = to = 0), which no log scale has a place for; the others are
    equally wide in log(gap), `PER_DECADE` per factor of ten, from one second to the longest gap.
    """
    parts = []
    for dataset in datasets:
        lengths = gaps(dataset)
        last = int(np.log10(max(lengths.max(), 1)) * PER_DECADE) + 2
        edges = 10 ** (np.arange(last) / PER_DECADE)
        counts = np.histogram(lengths[lengths > 0], edges)[0]
        parts.append(
            pd.DataFrame(
                {
                    "dataset": dataset.name,
                    "from": np.r_[0, edges[:-1]],
                    "to": np.r_[0, edges[1:]],
                    "share": np.r_[(lengths == 0).sum(), counts] / len(lengths),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def gap_statistics(datasets):
    """What a model that reads time has to go on, one row per dataset.

    zero gaps (%); quartiles of the gaps (seconds) and of the users' spans, first to last interaction (days); the
    median length of a history; and the entropy of the gaps' lengths in bits, H = -sum p log2 p over the bins of
    `gap_histogram`: 0 when all gaps are alike in length, 1 bit as for a fair coin between two lengths, and so on.
    """
    rows = []
    for dataset in datasets:
        lengths, users = gaps(dataset), dataset.interactions.groupby("user")["timestamp"]
        share = gap_histogram([dataset])["share"]
        share = share[share > 0]
        low, middle, high = np.quantile(lengths, (0.25, 0.5, 0.75))
        first, half, third = (users.max() - users.min()).quantile([0.25, 0.5, 0.75]) / DAY
        rows.append(
            {
                "dataset": dataset.name,
                "gaps": len(lengths),
                "zero gaps (%)": 100 * tie_share(dataset.interactions),
                "gap, lower quartile (s)": low,
                "gap, median (s)": middle,
                "gap, upper quartile (s)": high,
                "span, lower quartile (days)": first,
                "span, median (days)": half,
                "span, upper quartile (days)": third,
                "median history length": users.size().median(),
                "entropy of log-gaps (bits)": abs(float(-(share * np.log2(share)).sum())),
            }
        )
    return pd.DataFrame(rows)


def gap_spectrum(datasets, length=20):
    """How regular the order of gaps is: the spectrum of every user's latest ``length`` log-gaps, mean over users.

    Columns: dataset, users (those with so many gaps), bin (cycles per window), period (steps, not days), power,
    by chance (the same gaps in any other order, exact), ratio (power / by chance) and its standard error over users.
    Each user's mean is taken off first, so bin 0 is empty and left out. InputError where no two users have enough gaps.
    """
    parts = []
    for dataset in datasets:
        logs = dataset.interactions.groupby("user", sort=False)["timestamp"].agg(lambda t: np.log1p(np.diff(t)))
        latest = [values[-length:] for values in logs if len(values) >= length]
        if len(latest) < 2:
            raise InputError(f"{dataset.name}: fewer than two users have {length} gaps; take a smaller length")
        signals = np.stack(latest) - np.mean(latest, axis=1, keepdims=True)
        power = np.abs(np.fft.rfft(signals, norm="ortho")[:, 1:]) ** 2  # [users, length // 2]
        chance = (signals**2).sum(1).mean() / (length - 1)
        bins = np.arange(1, power.shape[1] + 1)
        parts.append(
            pd.DataFrame(
                {
                    "dataset": dataset.name,
                    "users": len(power),
                    "bin": bins,
                    "period": length / bins,
                    "power": power.mean(0),
                    "by chance": chance,
                    "ratio": power.mean(0) / chance,
                    "standard_error": power.std(0, ddof=1) / len(power) ** 0.5 / chance,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def popularity(datasets):
    """Items by popularity, the most popular first: dataset, items, interactions, both in percent of all, cumulative.

    One row per item, and one of zeros before them. Items without any interaction count as items.
    """
    parts = []
    for dataset in datasets:
        counts = _counts(dataset)
        parts.append(
            pd.DataFrame(
                {
                    "dataset": dataset.name,
                    "items (%)": 100 * np.arange(len(counts) + 1) / len(counts),
                    "interactions (%)": 100 * np.r_[0, counts.cumsum()] / counts.sum(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def popularity_statistics(datasets, shares=(1, 10, 50)):
    """Per dataset: interactions (%) on the most popular 1, 10, 50 % of items (rounded up), and the Gini coefficient.

    Gini: half the mean absolute difference between two items' counts over the mean count; 0 when all items sell
    alike, near 1 when one has everything.
    """
    rows = []
    for dataset in datasets:
        counts = _counts(dataset)
        n = len(counts)
        top = {
            f"top {share} % of items: interactions (%)": 100
            * counts[: int(np.ceil(share * n / 100))].sum()
            / counts.sum()
            for share in shares
        }
        gini = ((n + 1 - 2 * np.arange(1, n + 1)) * counts).sum() / (n * counts.sum())
        rows.append({"dataset": dataset.name, "items": n, **top, "Gini": gini})
    return pd.DataFrame(rows)


def image_coverage(dataset):
    """domain, items, images, items with one (%), interactions with such an item (%): per domain, and of "all"."""
    items = dataset.items.assign(pictured=dataset.items["image"].notna())
    rows = dataset.interactions.merge(items[["item", "domain", "pictured"]], on="item")
    out = []
    for name in [*dataset.domains, "all"]:
        own, bought = (f if name == "all" else f[f["domain"] == name] for f in (items, rows))
        out.append(
            {
                "domain": name,
                "items": len(own),
                "images": int(own["pictured"].sum()),
                "items with an image (%)": 100 * own["pictured"].mean(),
                "interactions with an image (%)": 100 * bought["pictured"].mean(),
            }
        )
    return pd.DataFrame(out)


def neighbours(items, vectors, k=5, among=None, of=None):
    """The k nearest items by cosine: item, rank (from 1), neighbour, cosine. An item is not its own neighbour.

    Args:
        items: item ids [n].
        vectors: their features [n, dim].
        among: ids of the items that can be found; None: all.
        of: ids of the items to look from; None: those of ``among``.

    Ties come in no particular order. InputError when an item is unknown or has a vector of length 0 (as those
    without a picture may: leave them out of ``among`` and ``of``), and when there are not k others.
    """
    items, vectors = list(items), torch.as_tensor(vectors).float()
    if vectors.dim() != 2 or len(vectors) != len(items):
        raise InputError(
            f"neighbours: expected one vector for each of {len(items)} items, got numbers of shape "
            f"{list(vectors.shape)}"
        )
    pool = _places(items, items if among is None else among)
    start = pool if of is None else _places(items, of)
    if not 1 <= k < len(pool):
        raise InputError(f"neighbours: k must be from 1 to {len(pool) - 1} among {len(pool)} items, not {k}")
    lost = vectors.norm(dim=1) == 0
    if lost[pool].any() or lost[start].any():
        example = items[torch.cat([pool, start])[lost[torch.cat([pool, start])]][0]]
        raise InputError(
            f"neighbours: item {example!r} has a vector of length 0 (has it no picture?), which is near "
            "nothing; leave such items out of among and of"
        )
    unit, found = F.normalize(vectors, dim=1), []
    for rows in start.split(ROWS):
        cosine = unit[rows] @ unit[pool].T
        cosine[rows[:, None] == pool] = -torch.inf
        found.append(cosine.topk(k, dim=1))
    cosine, near = (torch.cat(part).flatten() for part in zip(*found))
    ids = np.array(items, dtype=object)
    return pd.DataFrame(
        {
            "item": ids[start.repeat_interleave(k)],
            "rank": np.tile(np.arange(1, k + 1), len(start)),
            "neighbour": ids[pool[near]],
            "cosine": cosine.clamp(-1, 1).numpy(),
        }
    )


def agreement(one, other, candidates):
    """How far two frames of `neighbours` of the same items agree: "shared (%)" beside "by chance (%)".

    candidates: among how many items both looked (the item itself included). By chance: two random sets of k others.
    """
    if set(one["item"]) != set(other["item"]) or (k := one["rank"].max()) != other["rank"].max():
        raise InputError("agreement: the two are neighbours of different items, or of another number k; look again")
    shared = one.merge(other, on=["item", "neighbour"])
    return pd.Series({"shared (%)": 100 * len(shared) / len(one), "by chance (%)": 100 * k / (candidates - 1)})


def matches(near, items, attributes):
    """Whether neighbours are of one sort: modality, attribute, "found (%)" of neighbours with the item's own value, its
    standard error over items, and "by chance (%)", what random others of ``items`` would have.

    near: modality -> a frame of `neighbours`. items: item and the attributes, of exactly the items that could be found.
    """
    known, rows = items.set_index("item"), []
    for modality, frame in near.items():
        if lost := sorted((set(frame["item"]) | set(frame["neighbour"])) - set(known.index)):
            raise InputError(f"matches: {len(lost)} neighbours are not among the items given, such as {lost[0]!r}")
        for attribute in attributes:
            value = known[attribute]
            same = frame["item"].map(value) == frame["neighbour"].map(value)
            each = 100 * same.groupby(frame["item"]).mean()
            chance = (each.index.map(value).map(value.value_counts()) - 1) / (len(known) - 1)
            rows.append(
                {
                    "modality": modality,
                    "attribute": attribute,
                    "found (%)": each.mean(),
                    "standard_error": each.sem(),
                    "by chance (%)": 100 * chance.to_numpy().mean(),
                }
            )
    return pd.DataFrame(rows)


def without_picture(vectors, has_image, k=5):
    """What picture vectors [n, dim] say of the items that have no picture (``has_image`` [n] False), as a series.

    How many there are, how many different vectors they have, their cosines to one another and to the pictures
    (a vector of length 0 has cosine 0 to all), how many items tie as their nearest one beside how many do for items
    with a picture (medians), and how many pictures (%) find one of them among their k nearest.
    """
    vectors, has = torch.as_tensor(vectors).float(), torch.as_tensor(has_image, dtype=torch.bool)
    bare, n = (~has).nonzero()[:, 0], len(has)
    if len(vectors) != n or len(bare) < 2 or n - len(bare) < 1 or not 1 <= k < n:
        raise InputError(
            f"without_picture: expected vectors of {n} items, two of them or more without a picture, and k "
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
    mean = (one / len(bare)) @ unit[has].mean(0)
    among = (one @ one - unit[bare].square().sum()) / (len(bare) * (len(bare) - 1))
    return pd.Series(
        {
            "items": n,
            "without a picture": len(bare),
            "different vectors among these": len(vectors[bare].unique(dim=0)),
            "their cosine to one another": among.item(),
            "their cosine to pictures, mean": mean.item(),
            "their cosine to pictures, highest": highest,
            "items that tie as their nearest": ties[bare].median().item(),
            "the same for items with a picture": ties[has].median().item(),
            f"pictures with one of them among the {k} nearest (%)": 100 * met[has].double().mean().item(),
        }
    )


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
