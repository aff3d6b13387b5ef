"""How much of a history is worth keeping (the paper's Figure 2): lengths in the data, quality, weights in the states.

A history here is what stands before a test target (leave-one-out); "n kept" is its latest n items.
"""

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite.analysis import effective_weights, steps
from mmm4rec_lite.data import batch, leave_one_out
from mmm4rec_lite.evaluation import model_scorer, ndcg_per_row, rank_rows
from mmm4rec_lite.study.protocol.experiments import WINDOWS
from mmm4rec_lite.study.protocol.results import tidy
from mmm4rec_lite.study.shop import pooled
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.style import COLOURS, empty_figure, styled

MARKERS = "osD^vP*X"
WORDS = {"share (%)": "NDCG@10, % of that with the most kept", "gained (%)": "gain in NDCG@10 that is reached (%)"}

DAY = 86400


def history_lengths(datasets):
    """dataset, items (1, 2, ...), histories (%): the share of test histories that have more items than that."""
    parts = []
    for dataset in datasets:
        lengths = _lengths(leave_one_out(dataset))
        items = np.arange(lengths.max() + 1)
        parts.append(
            pd.DataFrame(
                {"dataset": dataset.name, "items": items, "histories (%)": 100 * (lengths[:, None] > items).mean(0)}
            )
        )
    return pd.concat(parts, ignore_index=True)


def thrown_away(datasets, windows=WINDOWS):
    """What a window leaves out of the test histories, a line per dataset and window.

    histories: how many; cut (%) of them; dropped (%) of their items; how old what is dropped is, in days before the
    oldest item kept: median and quartiles over the dropped items (nan where nothing is dropped).
    """
    lines = []
    for dataset in datasets:
        rows = leave_one_out(dataset)
        lengths, times = _lengths(rows), rows.sequences.times.numpy()
        test, first = rows.test.numpy(), rows.sequences.first[rows.test].numpy()
        for kept in windows:
            cut = [times[t - kept] - times[f : t - kept] for t, f, n in zip(test, first, lengths) if n > kept]
            ages = np.concatenate(cut) / DAY if cut else np.array([np.nan])
            low, middle, high = np.quantile(ages, (0.25, 0.5, 0.75))
            lines.append(
                {
                    "dataset": dataset.name,
                    "kept": kept,
                    "histories": len(lengths),
                    "cut (%)": 100 * (lengths > kept).mean(),
                    "dropped (%)": 100 * np.clip(lengths - kept, 0, None).sum() / lengths.sum(),
                    "older by, lower quartile (days)": low,
                    "older by, median (days)": middle,
                    "older by, upper quartile (days)": high,
                }
            )
    return pd.DataFrame(lines)


def _lengths(rows):
    return (rows.test - rows.sequences.first[rows.test]).numpy()


def curves(runs):
    """Runs of ``paper.truncation`` (or of ``gathered.stored``) as curves: a line per dataset, system and kept items.

    Columns: dataset, system, kept, seeds, ndcg@10 (mean), share (%) of what the same seed has with the longest
    window, spread (standard deviation of that share over seeds; nan with one).
    """
    if "experiment" in runs:
        runs = tidy(runs[runs["experiment"] == "figure2"])
    if not len(runs):
        raise InputError("no run of figure2 among these; make some with `mmm4rec-lite reproduce figure2`")
    runs = runs.assign(**{"system": runs["label"].str.partition(", ")[0], "kept": runs["window"].astype(int)})
    keys = ["dataset", "system", "seed"]
    whole = runs.sort_values("kept").groupby(keys)["ndcg@10"].transform("last")
    runs = runs.assign(share=100 * runs["ndcg@10"] / whole)
    return (
        runs.groupby(["dataset", "system", "kept"], sort=False)
        .agg(
            **{
                "seeds": ("seed", "nunique"),
                "ndcg@10": ("ndcg@10", "mean"),
                "share (%)": ("share", "mean"),
                "spread": ("share", "std"),
            }
        )
        .reset_index()
    )


def against_whole(pairs, kept=WINDOWS[-1]):
    """Paired differences of shorter windows to ``kept``, each within its system; of pairs (``gathered.compared``).

    Columns: dataset, form, difference, standard error, seeds.
    """
    own = pairs[(pairs["experiment"] == "figure2") & pairs["against"].str.endswith(f", {kept} kept")]
    system = {side: own[side].str.partition(", ")[0] for side in ("form", "against")}
    columns = ["dataset", "form", "difference", "standard_error", "seeds"]
    return own.loc[system["form"] == system["against"], columns].reset_index(drop=True)


@torch.no_grad()
def shown(model, rows, kept=WINDOWS):
    """One trained model, shown the latest n items alone when it is tested: nothing is trained anew.

    ``rows``: a ``data.Split``. Columns: kept, ndcg@10, share (%) of the last, difference to the last and its
    standard error over users.
    """
    found = {n: ndcg_per_row(rank_rows(model_scorer(model), rows.sequences, rows.test, n)) for n in sorted(kept)}
    whole = found[max(found)]
    return pd.DataFrame(
        [
            {
                "kept": n,
                "ndcg@10": values.mean().item(),
                "share (%)": 100 * (values.mean() / whole.mean()).item(),
                "difference": (values - whole).mean().item(),
                "standard_error": ((values - whole).std() / len(values) ** 0.5).item(),
            }
            for n, values in found.items()
        ]
    )


@torch.no_grad()
def weights_kept(model, rows, users=200, places=("text", "image", "fusion")):
    """How much of a state is about the latest n items: place, head, kept, weight (%), the mean over users.

    The first ``users`` test users with a full window; sums of ``analysis.effective_weights`` over the latest n.
    Head "mean" is the mean over heads. ``places``: which scans of the first layer.
    """
    window = model.config.max_len
    full = rows.test[rows.test - rows.sequences.first[rows.test] >= window][:users]
    if not len(full):
        raise InputError(f"no test history fills the window of {window}")
    one = batch(rows.sequences, full, window)
    lines, found = [], steps(model, one.items, one.lengths, one.times)
    for place in places:
        dt, A = found[f"layer 1, {place}"]
        weight = 100 * effective_weights(dt, A, one.lengths).flip(-1).cumsum(-1).mean(0).cpu()  # [H, L]
        for head, values in [*enumerate(weight, 1), ("mean", weight.mean(0))]:
            lines.append(
                pd.DataFrame(
                    {"place": place, "head": head, "kept": range(1, window + 1), "weight (%)": values.tolist()}
                )
            )
    return pd.concat(lines, ignore_index=True)


def planted(lines, share=0.95):
    """Kept items in the demo store, where the best possible is known; of the lines in ``benchmarks/results/store.csv``.

    Columns: world, system ("gap vector", trained; "best", of any model that knows the store), kept, expected ndcg@10,
    gained (%) of the way from the fewest items to the most, needed: the fewest that gain ``share`` of it.
    """
    table = pooled(lines[lines["part"] == "memory"])
    table = table.assign(system=table["system"].str.partition(",")[0]).sort_values("kept", kind="stable")
    out = []
    for (world, system), rows in table.groupby(["world", "system"], sort=False):
        value = rows["expected_ndcg@10"]
        gained = (value - value.iloc[0]) / (value.iloc[-1] - value.iloc[0])
        out.append(
            pd.DataFrame(
                {
                    "world": world,
                    "system": system,
                    "kept": rows["kept"],
                    "expected_ndcg@10": value,
                    "gained (%)": 100 * gained,
                    "needed": rows["kept"][gained >= share].min(),
                }
            )
        )
    return pd.concat(out, ignore_index=True)


@styled
def plot_length_curves(lengths, dropped):
    """How long histories are, what windows drop of them and how old that is, a colour per dataset.

    Frames of ``experiments.truncated``: ``history_lengths`` and ``thrown_away`` (bars on the right: quartiles).
    """
    figure = empty_figure(11, 3.6)
    left, middle, right = figure.subplots(1, 3)
    names = list(dropped["dataset"].unique())
    for i, name in enumerate(names):
        look = dict(color=COLOURS[i], marker=MARKERS[i])
        own, kept = (table[table["dataset"] == name] for table in (lengths, dropped))
        left.plot(own["items"].clip(lower=1), own["histories (%)"], color=COLOURS[i])
        middle.plot(kept["kept"], kept["dropped (%)"], label=name, **look)
        low, age, high = (kept[f"older by, {which} (days)"] for which in ("lower quartile", "median", "upper quartile"))
        right.errorbar(
            kept["kept"] + 0.5 * (i - (len(names) - 1) / 2), age, yerr=[age - low, high - age], ls="", capsize=3, **look
        )
    windows = sorted(dropped["kept"].unique())
    for window in windows:
        left.axvline(window, color="black", ls=":", lw=1)
    left.set(
        xscale="log",
        xlabel="n items (log scale; dotted: the windows)",
        ylim=(0, 102),
        ylabel="histories longer than n (%)",
    )
    left.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    left.set_xlim(1, lengths["items"].max())
    middle.set(xlabel="latest items kept", ylabel="items dropped (% of all)", ylim=(0, 100), xticks=windows)
    right.set(
        yscale="log",
        xlabel="latest items kept",
        xticks=windows,
        ylabel="age of dropped items\n(before the oldest one kept)",
    )
    right.set_yticks([1 / 1440, 1 / 24, 1, 30, 365], ["1 minute", "1 hour", "1 day", "1 month", "1 year"])
    right.minorticks_off()
    figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


@styled
def plot_kept_curves(table, value, line="system", panel="dataset", error=None, mark=None, title=""):
    """Quality by the number of items kept, a line per ``line``, a panel per ``panel``; a frame with a column ``kept``.

    error: the column with half the length of the bars; mark: (value, label) of a line across.
    """
    panels, lines = (list(table[column].unique()) for column in (panel, line))
    figure = empty_figure(2.4 + 3.2 * len(panels), 3.4)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, panels):
        for i, one in enumerate(lines):
            rows = table[(table[panel] == name) & (table[line] == one)].sort_values("kept")
            bars = rows[error] if error and rows[error].notna().any() else None
            axis.errorbar(
                rows["kept"], rows[value], yerr=bars, marker=MARKERS[i], color=COLOURS[i], capsize=3, label=one
            )
        if mark:
            axis.axhline(mark[0], color="black", ls=":", lw=1.5, label=mark[1])
        axis.set(xlabel="latest items kept", xticks=sorted(table["kept"].unique()))
        axis.set_title(name, fontsize=10)
    axes[0].set_ylabel(WORDS.get(value, value))
    axes[-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


@styled
def plot_weight_curves(table):
    """Share of the states' weight on the latest n items: a panel per place, a colour per model, thin lines for heads.

    A frame of ``experiments.truncated.weights_kept`` with a column ``model`` more. Dotted: all items alike.
    """
    places, models = (list(table[column].unique()) for column in ("place", "model"))
    figure = empty_figure(2.2 + 3 * len(places), 3.2)
    axes = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
    for axis, place in zip(axes, places):
        for model, colour in zip(models, COLOURS):
            own = table[(table["place"] == place) & (table["model"] == model)]
            for head, rows in own.groupby("head", sort=False):
                look = dict(lw=3, label=f"{model}, mean") if head == "mean" else dict(lw=0.8, alpha=0.6)
                axis.plot(rows["kept"], rows["weight (%)"], color=colour, **look)
        window = table["kept"].max()
        axis.plot([0, window], [0, 100], color="black", ls=":", lw=1, label="all items alike")
        axis.set(xlabel="latest n items", xlim=(0, window), ylim=(0, 102))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_title(f"layer 1, {place}", fontsize=10)
    axes[0].set_ylabel("weight in the state (%)")
    axes[-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
    return figure
