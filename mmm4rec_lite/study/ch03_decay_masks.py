"""A small shop with pictures where gaps matter, and models trained on it: what notebook 03 looks at.

The demo store's rugs as in ``experiments.store`` (gap effect 1: an interest's half-life is 10 days, absences last 60,
give or take a factor of 2, other gaps 2 hours, give or take a factor of 4), features of what pictures show and texts
name, two seconds-small models that differ in time-awareness alone. No gap vector: gaps act by step sizes only.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import seaborn as sns
import torch

from mmm4rec_lite.analysis import influence, with_gap
from mmm4rec_lite.data import batch, load_dataset
from mmm4rec_lite.data.synthetic import DAY, HOUR, save_store
from mmm4rec_lite.evaluation import model_scorer
from mmm4rec_lite.models.config import Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.stages import fit_gaps
from mmm4rec_lite.study.shop import DOMAIN, MODEL, SHORTER, STORE, World, expected_ndcg, shown, train
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import cache_dir
from mmm4rec_lite.viz.style import COLOURS, empty_figure, styled

TIME = MODEL.replace(gap_vector=False, d_conv=1)
NO_TIME = TIME.replace(time=False)
CONVOLVED = TIME.replace(d_conv=4)  # the paper's width
PUBLISHED = CONVOLVED.replace(gaps="seconds", quirks=Quirks(published_init=True))
ABSENCE = 5 * DAY  # no other gap is that long, and hardly an absence shorter


@dataclass(frozen=True)
class Shop(World):
    """The world with its pictures: ``pictured`` is the dataset with a folder, made once, in the user's cache."""

    @cached_property
    def pictured(self):
        knobs = json.dumps(asdict(self.config), sort_keys=True)
        folder = cache_dir("store") / f"{DOMAIN}-{hashlib.sha256(knobs.encode()).hexdigest()[:8]}"
        if not folder.exists():
            save_store(folder, self.config, [DOMAIN])
        return load_dataset(folder)

    def trained(self, config=TIME):
        """A model of ``config``, 5 epochs from scratch (20 s on a core; kept in ``runs/``)."""
        return train(self, config, SHORTER.replace(seed=self.config.seed))[0]

    def fresh(self, config=TIME):
        """The model before any training, the scale of its gaps fitted."""
        torch.manual_seed(self.config.seed)
        model = MMM4Rec(config, *shown(self.truth, self.dataset).align(self.dataset.items["item"]))
        fit_gaps(model, self.split)
        return model.eval()

    def interrupted(self, step=5, length=8):
        """The first user whose last ``length`` items, the test item aside, hold one absence: before item ``step``."""
        for user, rows in self.dataset.interactions.groupby("user", sort=False):
            gaps = rows["timestamp"].iloc[:-1].tail(length).diff().to_numpy()
            if len(gaps) == length and [i + 1 for i in range(length) if gaps[i] > ABSENCE] == [step]:
                return user
        raise InputError(f"no user of this shop has one absence, before item {step} of the last {length}")

    def influences(self, model, step=7, users=30):
        """``analysis.influence`` in the mean over ``users`` test users with one absence, before item ``step``.

        Once with their own gaps and once with 2 hours in the absence's place. Returns a frame: history,
        item (from 1), influence, se (over users).
        """
        one = batch(self.split.sequences, self.split.test, model.config.max_len)
        absent = (one.times.diff(dim=1) > ABSENCE) & (one.lengths == model.config.max_len).unsqueeze(1)
        rows = torch.where((absent.sum(1) == 1) & absent[:, step - 2])[0][:users]
        if len(rows) < 2:
            raise InputError(f"{len(rows)} users have one absence, before item {step}; at least 2 are needed")
        frames = []
        for name, times in (("the absence", one.times), ("2 hours instead", with_gap(one.times, step, 2 * HOUR))):
            given = one.items, one.lengths, times
            found = torch.stack([influence(model, *(v[i : i + 1] for v in given)) for i in rows])
            frames.append(
                pd.DataFrame(
                    {
                        "history": name,
                        "item": range(1, found.shape[1] + 1),
                        "influence": found.mean(0),
                        "se": found.std(0) / len(rows) ** 0.5,
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def worth(self, models):
        """Expected NDCG@10 on the test users (as in ``experiments.store``) of models, and the best that can be had."""
        systems = {name: model_scorer(model) for name, model in models.items()}
        systems |= {"the best without gaps": self.best(gaps=False), "the best with gaps": self.best()}
        gained = {name: expected_ndcg(score, self, TIME.max_len) for name, score in systems.items()}
        return pd.DataFrame(
            {
                "system": list(gained),
                "expected_ndcg@10": [v.mean().item() for v in gained.values()],
                "se": [(v.std() / len(v) ** 0.5).item() for v in gained.values()],
            }
        )


def shop(**knobs):
    """The shop, with other knobs of ``StoreConfig`` where given."""
    return Shop(STORE.replace(**knobs))


@styled
def plot_step_chain(table, heads):
    """Gap, time signal, step size and what is left at the end, step by step; a frame of ``analysis.step_table``.

    ``heads``: the heads to show (as in the column), at most five. Gaps and step sizes are on log scales, where a gap
    of 0 stands at 1 s.
    """
    figure = empty_figure(7.2, 5.2)
    axes = figure.subplots(4, sharex=True)
    gaps = table.drop_duplicates("step")
    axes[0].bar(gaps["step"][1:], gaps["gap"][1:].clip(lower=1), color=COLOURS[7])
    axes[0].set(yscale="log", ylabel="gap\nbefore it")
    axes[0].set_yticks([1, 60, 3600, 86400, 86400 * 30], ["1 s", "1 min", "1 h", "1 d", "30 d"])
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
    axes[3].xaxis.get_major_locator().set_params(integer=True)
    axes[2].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.align_ylabels(axes)
    return figure


@styled
def plot_gap_response(table, truth=None, title=""):
    """What one gap does, head by head: the step size of the item after it, and what is kept of all before it.

    ``table``: a frame of ``analysis.gap_response``, with a column "place" to have a line style per place.
    ``truth``: seconds -> what should be kept.
    """
    figure = empty_figure(8, 2.8)
    left, right = figure.subplots(1, 2)
    table = table.assign(head="head " + table["head"].astype(str))
    hue = {"hue": "head", "palette": COLOURS[: table["head"].nunique()]}
    if "place" in table:
        hue |= {"style": "place", "markers": True}
    for axis, column in ((left, "dt"), (right, "kept")):
        sns.lineplot(table, x="gap", y=column, ax=axis, legend=axis is right, **hue)
        axis.set(xscale="log", xlabel="length of the gap")
        axis.set_xticks([60, 3600, 86400, 86400 * 30, 86400 * 365], ["1 min", "1 h", "1 d", "30 d", "1 y"])
        axis.minorticks_off()
    left.set(yscale="log", ylabel="step size dt of the item after it")
    right.set(ylabel="kept of what was held (0 to 1)", ylim=(-0.05, 1.05))
    if truth is not None:
        gaps = np.geomspace(table["gap"].min(), table["gap"].max(), 200)
        right.plot(gaps, [truth(gap) for gap in gaps], color="black", ls=":", label="the truth")
    right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle(title, fontsize=10)
    return figure


@styled
def plot_influence_bars(table, marked=None):
    """How far the user's vector moves when one item is another; frame: item (1..L), influence, se, history (hue).

    ``marked``: the item before which the gap differs.
    """
    figure = empty_figure(6.8, 2.6)
    axis = figure.subplots()
    kinds = table["history"].unique()
    width = 0.8 / len(kinds)
    for i, kind in enumerate(kinds):
        rows = table[table["history"] == kind]
        axis.bar(
            rows["item"] + (i + 0.5) * width - 0.4,
            rows["influence"],
            width,
            yerr=2 * rows["se"],
            color=COLOURS[i],
            label=kind,
            error_kw={"elinewidth": 1},
        )
    if marked is not None:
        axis.axvline(marked - 0.5, color="black", ls="--", lw=1, label="the gap in question")
    axis.set(xlabel="item of the history, oldest first", ylabel="movement of the user\n(relative; bars: 2 s.e.)")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
