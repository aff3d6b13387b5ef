"""Chapter 3: what does a gap do to the memory of what came before it, and do the rankings gain by that?

Asked of one history of films, and of the rug shop (`shop.STORE`), where an interest's half-life is 10 days,
absences last about 60 and other gaps about 2 hours, with two models that differ in time-awareness alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

from mmm4rec_lite.analysis import decay_masks, gap_response, influence, weights_by_head, with_gap
from mmm4rec_lite.data.synthetic import DAY, HOUR
from mmm4rec_lite.evaluation import model_scorer
from mmm4rec_lite.models.config import Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.drawings import pencil
from mmm4rec_lite.study.shop import TIME, World, expected_ndcg, mean_and_error
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Float, Int, Tensor
from mmm4rec_lite.viz.style import COLOURS, captioned, empty_figure, legend_beside, panel, panel_row, styled

CONVOLVED = TIME.replace(d_conv=4)  # the paper's width
PUBLISHED = CONVOLVED.replace(gaps="seconds", quirks=Quirks(published_init=True))
ABSENCE = 5 * DAY  # no other gap is that long, and hardly an absence shorter
GAP_TICKS = {60: "1 min", HOUR: "1 h", DAY: "1 d", 30 * DAY: "30 d", 365 * DAY: "1 y"}  # seconds -> on an axis

History = tuple[Int[Tensor, "1 L"], Int[Tensor, " 1"], Int[Tensor, "1 L"]]  # items, lengths, times of one user


def by_hand(gaps: Sequence[float]) -> pd.DataFrame:
    """`drawings.pencil` in columns of the symbols, two digits: gap (seconds), D, D-hat, dt, kept; a row per step."""
    found = {name: values.tolist() for name, values in pencil(gaps).items()}
    table = pd.DataFrame(found, index=pd.RangeIndex(1, len(gaps) + 1, name="step"))
    return table.rename(columns={"D_hat": "D-hat"}).round(2) + 0.0  # no -0 of rounding


def interrupted(shop: World, step: int = 5, length: int = 8) -> str:
    """The first user whose last ``length`` items, the test item aside, hold one absence: before item ``step``."""
    for user, rows in shop.dataset.interactions.groupby("user", sort=False):
        gaps = rows["timestamp"].iloc[:-1].tail(length).diff().to_numpy()
        if len(gaps) == length and [i + 1 for i in range(length) if gaps[i] > ABSENCE] == [step]:
            return user
    raise InputError(f"no user of this shop has one absence, before item {step} of the last {length}")


def head_weights(models: dict[str, MMM4Rec], history: History) -> dict[str, Float[Tensor, " L"]]:
    """What the alignment layer's states hold of each item: "name, text, head 1" and so on -> shares."""
    weights = {name: weights_by_head(model, *history, places=["text"]) for name, model in models.items()}
    return {f"{name}, {head}": share for name, heads in weights.items() for head, share in heads.items()}


def mask_change(model: MMM4Rec, before: History, after: History) -> float:
    """The largest change of an entry of any decay mask from one history to another."""
    masks = (decay_masks(model, *history).values() for history in (before, after))
    return max((a - b).abs().max().item() for a, b in zip(*masks))


def gap_responses(model: MMM4Rec, history: History, step: int, gaps: Sequence[int]) -> pd.DataFrame:
    """`analysis.gap_response` of both modalities in the alignment layer; its columns, and place (text, image)."""
    places = ("text", "image")
    found = (gap_response(model, *history, step=step, gaps=gaps, place=f"layer 1, {place}") for place in places)
    return pd.concat([table.assign(place=place) for place, table in zip(places, found)])


def influences(shop: World, model: MMM4Rec, step: int = 7, users: int = 30) -> pd.DataFrame:
    """`analysis.influence` in the mean over test users with one absence, before item ``step``, and 2 hours instead.

    Columns: history, item (from 1), influence, standard_error (over users).
    """
    one = shop.histories(model.config.max_len)
    absent = (one.times.diff(dim=1) > ABSENCE) & (one.lengths == model.config.max_len).unsqueeze(1)
    rows = torch.where((absent.sum(1) == 1) & absent[:, step - 2])[0][:users]
    if len(rows) < 2:
        raise InputError(f"{len(rows)} users have one absence, before item {step}; at least 2 are needed")
    frames = []
    for name, times in (("the absence", one.times), ("2 hours instead", with_gap(one.times, step, 2 * HOUR))):
        given = one.items, one.lengths, times
        found = torch.stack([influence(model, *(v[i : i + 1] for v in given)) for i in rows])
        columns = dict(influence=found.mean(0), standard_error=found.std(0) / len(rows) ** 0.5)
        frames.append(pd.DataFrame(dict(history=name, item=range(1, found.shape[1] + 1), **columns)))
    return pd.concat(frames, ignore_index=True)


def worth(shop: World, models: dict[str, MMM4Rec]) -> pd.DataFrame:
    """Expected NDCG@10 of models and of the best that can be had: system, expected_ndcg@10, standard_error (users)."""
    systems = {name: model_scorer(model) for name, model in models.items()}
    systems |= {"the best without gaps": shop.best(gaps=False), "the best with gaps": shop.best()}
    rows = [(name, *mean_and_error(expected_ndcg(score, shop, TIME.max_len))) for name, score in systems.items()]
    return pd.DataFrame(rows, columns=["system", "expected_ndcg@10", "standard_error"])


@styled
def plot_step_chain(table: pd.DataFrame, heads: Sequence[int]) -> Figure:
    """Gap (0 stands at 1 s), time signal, step size and what is left at the end, for at most five heads."""
    figure, gaps = empty_figure(7.2, 5.2), table.drop_duplicates("step")
    axes = figure.subplots(4, sharex=True)
    axes[0].bar(gaps["step"][1:], gaps["gap"][1:].clip(lower=1), color=COLOURS[7])
    axes[0].set(yscale="log", ylabel="gap\nbefore it")
    axes[0].set_yticks([1, *list(GAP_TICKS)[:4]], ["1 s", *list(GAP_TICKS.values())[:4]])
    axes[0].minorticks_off()
    axes[1].plot(gaps["step"], gaps["D"], marker="o", color=COLOURS[7])
    axes[1].axhline(0, color="black", lw=1)
    axes[1].set(ylabel="D\n(no unit)")
    for head, colour, marker in zip(heads, COLOURS, "osD^v"):
        rows = table[table["head"] == head]
        for axis, column in ((axes[2], "dt"), (axes[3], "left")):
            axis.plot(rows["step"], rows[column], marker=marker, ms=5, color=colour, label=f"head {head}")
    axes[2].set(yscale="log", ylabel="step size\ndt")
    axes[3].set(ylabel="left at\nthe end", ylim=(-0.05, 1.05), xlabel="step of the history, oldest first")
    axes[3].locator_params("x", integer=True)
    legend_beside(axes[2])
    figure.align_ylabels(axes)
    return figure


@styled
def plot_gap_response(table: pd.DataFrame, truth: Callable[[float], float] | None = None, title: str = "") -> Figure:
    """What one gap does, head by head: the step size of the item after it, and what is kept of all before it.

    ``table``: a frame of `gap_responses`. ``truth``: seconds -> what should be kept.
    """
    figure, (left, right) = panel_row(2, 8, 2.8, sharey=False)
    table = table.assign(head="head " + table["head"].astype(str))
    look = {"hue": "head", "palette": COLOURS[: table["head"].nunique()]}
    if "place" in table:
        look |= {"style": "place", "markers": True}
    for axis, column in ((left, "dt"), (right, "kept")):
        sns.lineplot(table, x="gap", y=column, ax=axis, legend=axis is right, **look)
        axis.set(xscale="log", xlabel="length of the gap")
        axis.set_xticks(list(GAP_TICKS), list(GAP_TICKS.values()))
        axis.minorticks_off()
    left.set(yscale="log", ylabel="step size dt of the item after it")
    right.set(ylabel="kept of what was held (0 to 1)", ylim=(-0.05, 1.05))
    if truth is not None:
        gaps = np.geomspace(table["gap"].min(), table["gap"].max(), 200)
        right.plot(gaps, [truth(gap) for gap in gaps], color="black", ls=":", label="the truth")
    legend_beside(right)
    return captioned(figure, title)


@styled
def plot_influence_bars(table: pd.DataFrame, marked: int | None = None) -> Figure:
    """How far the user's vector moves when one item is another; `influences`; ``marked``: where the gap differs."""
    figure, axis = panel(6.8, 2.6)
    width = 0.8 / table["history"].nunique()
    for i, (kind, rows) in enumerate(table.groupby("history", sort=False)):
        places, look = rows["item"] + (i + 0.5) * width - 0.4, dict(color=COLOURS[i], label=kind)
        axis.bar(places, rows["influence"], width, yerr=2 * rows["standard_error"], error_kw={"elinewidth": 1}, **look)
    if marked is not None:
        axis.axvline(marked - 0.5, color="black", ls="--", lw=1, label="the gap in question")
    axis.set(xlabel="item of the history, oldest first", ylabel="movement of the user\n(relative; bars: 2 s.e.)")
    axis.locator_params("x", integer=True)
    legend_beside(axis)
    return figure
