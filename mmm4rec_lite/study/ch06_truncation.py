"""Chapter 6: how much of a history is worth keeping (the paper's Figure 2)? Lengths in the data, quality, weights.

A history here is what stands before a test target (leave-one-out); "n kept" is its latest n items.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from mmm4rec_lite.analysis import effective_weights, steps
from mmm4rec_lite.data import Split, batch
from mmm4rec_lite.data.statistics import AGES
from mmm4rec_lite.evaluation import model_scorer, ndcg_per_row, rank_rows
from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.protocol.experiments import WINDOWS
from mmm4rec_lite.study.protocol.results import display_name, tidy
from mmm4rec_lite.study.shop_report import pooled
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.style import COLOURS, captioned, legend_beside, panel_row, panels, styled

MARKERS = "osD^vP*X"
SHARES = {"ndcg_share": "NDCG@10, % of that with the most kept", "gained_share": "gain in NDCG@10 that is reached (%)"}


def curves(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of ``experiments.truncation`` (or all stored ones): dataset, system, kept, n_seeds, ndcg@10, ndcg_share.

    ndcg_share: of what the same seed has with the longest window; ndcg_share_spread: its standard deviation over seeds.
    """
    if "experiment" in runs:
        runs = tidy(runs[runs["experiment"] == "figure2"])
    if not len(runs):
        raise InputError("no run of figure2 among these; make some with `mmm4rec-lite reproduce figure2`")
    runs = runs.assign(system=runs["system"].map(display_name), kept=runs["max_len"].astype(int))
    whole = runs.sort_values("kept").groupby(["dataset", "system", "seed"])["ndcg@10"].transform("last")
    by = runs.assign(share=runs["ndcg@10"] / whole).groupby(["dataset", "system", "kept"], sort=False)
    table = by.agg(**{"n_seeds": ("seed", "nunique"), "ndcg@10": ("ndcg@10", "mean"), "ndcg_share": ("share", "mean")})
    return table.assign(ndcg_share_spread=by["share"].std()).reset_index()


def against_whole(pairs: pd.DataFrame, kept: int = WINDOWS[-1]) -> pd.DataFrame:
    """Stored differences of shorter windows to ``kept``: dataset, form, difference, standard_error, n_seeds."""
    own = pairs.query("experiment == 'figure2' and against_max_len == @kept and system == against_system")
    form = [f"{row.dataset}: {display_name(row.system, max_len=row.max_len)}" for row in own.itertuples()]
    return own.assign(form=form)[["dataset", "form", "difference", "standard_error", "n_seeds"]].reset_index(drop=True)


def ndcg_by_kept(model: Recommender, rows: Split, kept: Sequence[int] = WINDOWS) -> pd.DataFrame:
    """One trained model, shown the latest n items alone when it is tested: nothing is trained anew.

    Columns: kept, ndcg@10, ndcg_share (of that with the most kept), difference to that, standard_error over users.
    """
    found = {n: ndcg_per_row(rank_rows(model_scorer(model), rows.sequences, rows.test, n)) for n in sorted(kept)}
    whole, lines = found[max(found)], []
    for n, values in found.items():
        change, share = values - whole, (values.mean() / whole.mean()).item()
        error = (change.std() / len(values) ** 0.5).item()
        lines.append((n, values.mean().item(), share, change.mean().item(), error))
    return pd.DataFrame(lines, columns=["kept", "ndcg@10", "ndcg_share", "difference", "standard_error"])


@torch.no_grad()
def state_weights(
    model: MMM4Rec, rows: Split, users: int = 200, places: Sequence[str] = ("text", "image", "fusion")
) -> pd.DataFrame:
    """How much of a state is about the latest n items: place, head (or "mean"), kept, weight_share.

    Sums of ``analysis.effective_weights``, the mean over the first ``users`` test users with a full window.
    """
    window = model.config.max_len
    full = rows.test[rows.test - rows.sequences.first[rows.test] >= window][:users]
    if not len(full):
        raise InputError(f"no test history fills the window of {window}")
    one = batch(rows.sequences, full, window)
    lines, found = [], steps(model, one.items, one.lengths, one.times)
    for place in places:
        dt, A = found[f"layer 1, {place}"]
        weight = effective_weights(dt, A, one.lengths).flip(-1).cumsum(-1).mean(0).cpu()  # [H, L]
        for head, values in [*enumerate(weight, 1), ("mean", weight.mean(0))]:
            lines += [(place, head, n, value) for n, value in enumerate(values.tolist(), 1)]
    return pd.DataFrame(lines, columns=["place", "head", "kept", "weight_share"])


def planted(lines: pd.DataFrame, share: float = 0.95) -> pd.DataFrame:
    """Stored lines of rug shops by items kept: world, system, kept, expected_ndcg@10, gained_share, needed.

    gained_share: of the way from the fewest items to the most; needed: the fewest items that gain ``share`` of it.
    """
    table = pooled(lines[lines["part"] == "memory"]).sort_values("kept", kind="stable")
    by = table.groupby(["world", "system"], sort=False)
    low, high = (by["expected_ndcg@10"].transform(end) for end in ("first", "last"))
    gained = (table["expected_ndcg@10"] - low) / (high - low)
    enough = table["kept"].where(gained >= share).groupby([table["world"], table["system"]]).transform("min")
    columns = ["world", "system", "kept", "expected_ndcg@10", "gained_share", "needed"]
    return table.assign(gained_share=gained, needed=enough)[columns].reset_index(drop=True)


@styled
def plot_length_curves(lengths: pd.DataFrame, dropped: pd.DataFrame) -> Figure:
    """How long histories are, what windows drop of them and how old that is, a colour per dataset."""
    figure, (left, middle, right) = panel_row(3, 11, 3.6, sharey=False)
    windows, names = sorted(dropped["kept"].unique()), list(dropped["dataset"].unique())
    for i, name in enumerate(names):
        look = dict(color=COLOURS[i], marker=MARKERS[i])
        own, kept = (table[table["dataset"] == name] for table in (lengths, dropped))
        left.plot(own["items"].clip(lower=1), 100 * own["longer_share"], color=COLOURS[i])
        middle.plot(kept["kept"], 100 * kept["dropped_share"], label=name, **look)
        low, age, high = (kept[column] for column in AGES)
        beside = kept["kept"] + 0.5 * (i - (len(names) - 1) / 2)
        right.errorbar(beside, age, yerr=[age - low, high - age], ls="", capsize=3, **look)
    for window in windows:
        left.axvline(window, color="black", ls=":", lw=1)
    left.set(xscale="log", xlabel="n items (log scale; dotted: the windows)", ylabel="histories longer than n (%)")
    left.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    left.set(xlim=(1, lengths["items"].max()), ylim=(0, 102))
    middle.set(xlabel="latest items kept", ylabel="items dropped (% of all)", ylim=(0, 100), xticks=windows)
    right.set(yscale="log", xlabel="latest items kept", xticks=windows)
    right.set(ylabel="age of dropped items\n(before the oldest one kept)")
    right.set_yticks([1 / 1440, 1 / 24, 1, 30, 365], ["1 minute", "1 hour", "1 day", "1 month", "1 year"])
    right.minorticks_off()
    figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


@styled
def plot_kept_curves(
    table: pd.DataFrame,
    value: str = "ndcg_share",
    line: str = "system",
    panel: str = "dataset",
    mark: tuple[float, str] | None = None,
    title: str = "",
) -> Figure:
    """Quality by the number of items kept, a line per ``line``, a panel per ``panel``; ``curves`` or ``planted``.

    value: the share to draw; bars: its spread, where the table has one. mark: a share and the label of a line across.
    """
    lines = list(table[line].unique())
    figure, drawn = panels(table, panel, 2.4, 3.4, each=3.2, size=10)
    for axis, _, own in drawn:
        for i, one in enumerate(lines):
            rows = own[own[line] == one].sort_values("kept")
            spread = rows.get(f"{value}_spread", rows[value] * np.nan)
            look = dict(marker=MARKERS[i], color=COLOURS[i], capsize=3, label=one)
            axis.errorbar(rows["kept"], 100 * rows[value], yerr=100 * spread if spread.notna().any() else None, **look)
        if mark:
            axis.axhline(100 * mark[0], color="black", ls=":", lw=1.5, label=mark[1])
        axis.set(xlabel="latest items kept", xticks=sorted(table["kept"].unique()))
    drawn[0][0].set_ylabel(SHARES[value])
    legend_beside(drawn[-1][0], fontsize=9)
    return captioned(figure, title)


@styled
def plot_weight_curves(table: pd.DataFrame) -> Figure:
    """Share of the states' weight on the latest n items, thin lines for heads; ``state_weights`` and a column model."""
    window = table["kept"].max()
    figure, drawn = panels(table.assign(place="layer 1, " + table["place"]), "place", 2.2, 3.2, each=3, size=10)
    for axis, _, place in drawn:
        for (model, own), colour in zip(place.groupby("model", sort=False), COLOURS):
            for head, rows in own.groupby("head", sort=False):
                look = dict(lw=3, label=f"{model}, mean") if head == "mean" else dict(lw=0.8, alpha=0.6)
                axis.plot(rows["kept"], 100 * rows["weight_share"], color=colour, **look)
        axis.plot([0, window], [0, 100], color="black", ls=":", lw=1, label="all items alike")
        axis.set(xlabel="latest n items", xlim=(0, window), ylim=(0, 102))
        axis.locator_params(axis="x", integer=True)
    drawn[0][0].set_ylabel("weight in the state (%)")
    legend_beside(drawn[-1][0], fontsize=9)
    return figure
