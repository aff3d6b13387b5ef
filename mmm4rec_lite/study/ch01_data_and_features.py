"""Figures of chapter 1: gaps, popularity, and what the neighbours by an encoder's features have in common."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.data.statistics import ROWS
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Float, Tensor
from mmm4rec_lite.viz.style import COLOURS, empty_figure, legend_beside, panel, styled


def image_coverage(dataset: Dataset) -> pd.DataFrame:
    """domain, items, images, image_share of the items and of the interactions: per domain, and of "all"."""
    items = dataset.items.assign(pictured=dataset.items["image"].notna())[["item", "domain", "pictured"]]
    items = pd.concat([items, items.assign(domain="all")])
    table = items.groupby("domain")["pictured"].agg(items="size", images="sum", item_image_share="mean")
    bought = dataset.interactions.merge(items, on="item").groupby("domain")["pictured"].mean()
    return table.assign(interaction_image_share=bought).loc[[*dataset.domains, "all"]].reset_index()


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


_UNITS = ((1, "s"), (60, "min"), (3600, "h"), (86400, "d"), (30 * 86400, "month"), (365 * 86400, "y"))


@styled
def plot_gap_histogram(table: pd.DataFrame) -> Figure:
    """How long gaps are, one panel per dataset, zeros apart on the left; a frame of ``statistics.gap_histogram``."""
    names = list(table["dataset"].unique())
    figure = empty_figure(8, 0.6 + 1.6 * len(names))
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, names):
        rows = table[table["dataset"] == name]
        zero, rest = rows[rows["to_s"] == 0], rows[rows["to_s"] > 0]
        bar = axis.bar([0.15], 100 * zero["share"], width=[0.15], align="edge", color=COLOURS[1])
        axis.bar_label(bar, fmt="%.0f %%", fontsize=8, padding=1)
        widths = rest["to_s"] - rest["from_s"]
        axis.bar(rest["from_s"], 100 * rest["share"], widths, align="edge", color=COLOURS[0])
        axis.axvline(0.55, color="black", ls=":", lw=1)
        axis.set(xscale="log", ylabel="share of gaps (%)", ylim=(0, 115 * rows["share"].max()))
        axis.set_title(name, fontsize=10, loc="left")
        axis.grid(False, axis="x")
    ticks = {0.21: "0"} | {size: f"1 {unit}" for size, unit in _UNITS if size <= table["to_s"].max()}
    axes[-1].set_xticks(list(ticks), list(ticks.values()))
    axes[-1].minorticks_off()
    axes[-1].set_xlabel("gap between two neighbouring interactions of a user (log scale; zero apart)")
    return figure


@styled
def plot_popularity_curve(table: pd.DataFrame) -> Figure:
    """Share of interactions on the most popular items, a line per dataset; a frame of ``statistics.popularity``."""
    figure, axis = panel(6, 3.4)
    x, y, lines = 100 * table["item_share"], 100 * table["interaction_share"], dict(hue="dataset", style="dataset")
    sns.lineplot(table, x=x, y=y, **lines, palette="colorblind", estimator=None, ax=axis)
    axis.plot([0, 100], [0, 100], color="black", ls=":", lw=1, label="all items alike")
    axis.set(xlabel="items, most popular first (% of all items)", ylabel="their interactions (% of all)")
    axis.set(xlim=(0, 100), ylim=(0, 102))
    legend_beside(axis, fontsize=10)
    return figure


@styled
def plot_match_bars(table: pd.DataFrame) -> Figure:
    """How many neighbours have the item's own shape, colour... and what chance gives; `matches`."""
    figure, axis = panel(7.5, 3)
    modalities, attributes = (list(table[column].unique()) for column in ("modality", "attribute"))
    width, groups = 0.8 / len(modalities), np.arange(len(attributes))
    for i, modality in enumerate(modalities):
        rows = table[table["modality"] == modality].set_index("attribute").loc[attributes]
        look = dict(color=COLOURS[i], label=f"by {modality}", yerr=200 * rows["standard_error"], ecolor="#555555")
        bars = axis.bar(groups + i * width, 100 * rows["match_share"], width * 0.95, align="edge", **look)
        axis.bar_label(bars, fmt="%.0f", fontsize=8, padding=1)
    chance = 100 * table.drop_duplicates("attribute")["chance_share"]
    axis.hlines(chance, groups - 0.05, groups + 0.85, color="black", lw=2, label="by chance")
    axis.set_xticks(groups + 0.4, [f"same {name}" for name in attributes])
    axis.set(ylabel="share of neighbours (%)\n(thin bars: 2 s.e.)", ylim=(0, 100))
    axis.grid(False, axis="x")
    legend_beside(axis, fontsize=10)
    return figure
