"""Chapter 4: are the two streams aligned, what does the filter pass, what does each modality give to the score?

Asked of the rug shop without item tables, of rhythms planted by hand, and of the first notebook's model of films.
"""

import textwrap
from collections.abc import Iterable
from itertools import product
from typing import Any, cast

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from mmm4rec_lite import analysis
from mmm4rec_lite.data import Batch, Dataset
from mmm4rec_lite.data.synthetic import DAY, HOUR, StoreConfig, make_store
from mmm4rec_lite.evaluation import model_scorer
from mmm4rec_lite.models.blocks import FourierFilter
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec, TiCoSSD
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.study.shop import DOMAIN, NO_ID, scale, world
from mmm4rec_lite.utils.typing import Float, Int, Tensor
from mmm4rec_lite.viz.spectra import period_axis
from mmm4rec_lite.viz.style import COLOURS, captioned, empty_figure, grouped_bars, legend_beside, panel, panels, styled

FORMS: dict[str, dict[str, Any]] = {"one shared TiSSD": {}, "one TiSSD each": dict(shared=False)}
FILTERS: dict[str, dict[str, Any]] = {
    "both filters": {},
    "w/o AF": dict(adaptive_filter=False),
    "w/o LF": dict(learnable_filter=False),
    "neither": dict(adaptive_filter=False, learnable_filter=False),
}

Models = dict[str, MMM4Rec]
Signals = dict[str, Float[Tensor, " L"]]


def fresh(seed: int = 0, **changes: bool) -> MMM4Rec:
    """The store's model before any training, with ``changes`` of its config."""
    return world(seed).fresh(NO_ID.replace(**changes))


def trained(seed: int = 0, **changes: bool) -> MMM4Rec:
    """The same model trained from scratch, or read from ``runs/`` if it is there."""
    return world(seed).trained(NO_ID.replace(**changes), scale()[0])


def caption() -> str:
    """What numbers from several seeds of the store are, for the titles of figures."""
    return presets.caption("rug shop", f"{scale()[1]} seeds")


def alignment_table(seeds: int | None = None) -> pd.DataFrame:
    """`analysis.alignment` of the test users' last steps, where items come in and where the sequence comes out.

    Columns: form, seed, when (fresh, trained), expected_ndcg@10 (of the whole model), place, own, others, cka.
    """
    lines, places = [], {"items going in": "_in", "sequences coming out": ""}
    makers = {"fresh": fresh, "trained": trained}
    for seed, form, when in product(range(seeds or scale()[1]), FORMS, makers):
        one, model = world(seed).histories(), makers[when](seed, **FORMS[form])
        seen, last = analysis.activations(model, one)[-1], (torch.arange(len(one.lengths)), one.lengths - 1)
        known = {
            "form": form,
            "seed": seed,
            "when": when,
            "expected_ndcg@10": world(seed).accuracy(model_scorer(model)),
        }
        for place, end in places.items():
            found = analysis.alignment(seen["text" + end].cpu()[last], seen["image" + end].cpu()[last])
            lines.append({**known, "place": place, **found})
    return pd.DataFrame(lines)


@styled
def plot_alignment_bars(table: pd.DataFrame, title: str = "") -> Figure:
    """Cosines of users' text and image vectors, one panel per place; a frame of `alignment_table`.

    Bars: means over seeds; dots: the seeds.
    """
    kinds = {"own": "with the own image", "others": "with others' images"}
    long = table.melt(["form", "when", "place", "seed"], list(kinds), "text compared", "cosine")
    label = lambda form, when: f"{textwrap.fill(form, 10)}\n{when}"
    labels = list(map(label, long["form"], long["when"]))
    long = long.assign(**{"text compared": long["text compared"].map(kinds), "": labels})
    order = [label(form, when) for when in table["when"].unique() for form in table["form"].unique()]
    figure, drawn = panels(long, "place", 7.5, 2.6, size=10)
    for axis, _, rows in drawn:
        given = dict(data=rows, x="", y="cosine", hue="text compared", order=order, ax=axis)
        sns.barplot(**given, palette=COLOURS[:2], saturation=1, errorbar=None, legend=axis is drawn[-1][0])
        sns.stripplot(**given, dodge=True, palette=["black"] * 2, size=3, jitter=False, legend=False)
        axis.axhline(0, color="black", lw=1)
        axis.set(ylabel="mean cosine (-1 to 1)")
        axis.tick_params(axis="x", labelsize=7)
    sns.move_legend(drawn[-1][0], "upper left", bbox_to_anchor=(1, 1), title="a user's text", frameon=False)
    return captioned(figure, title)


def long_store(users: int = 2000, length: float = 40) -> Dataset:
    """A store with histories long enough for a spectrum of 20 steps; its gaps are drawn one by one, without rhythm."""
    return make_store(None, StoreConfig(users=users, length=length), [DOMAIN])


def rhythm(period: int, length: int, short: int = HOUR, long: int = 60 * DAY) -> Int[Tensor, " L"]:
    """Gaps [length] in seconds: every ``period``-th is ``long``, the others ``short``; period 1: all of them long."""
    steps = torch.arange(1, length + 1)
    return torch.full((length,), short).where(steps % period > 0, long)


def signal(gaps: Int[Tensor, "... L"]) -> Float[Tensor, "... L"]:
    """The time signal of gaps in seconds: log-gaps, their mean off, unit variance; 0 where all are alike."""
    return F.layer_norm(torch.log1p(gaps.double()).float(), gaps.shape[-1:])


def rhythm_table(rhythms: dict[str, Int[Tensor, " L"]]) -> pd.DataFrame:
    """Spectra (orthonormal, bin 0 left out) of planted rhythms (name -> gaps): customer, bin, period, amplitude."""
    lines = []
    for name, gaps in rhythms.items():
        amplitudes = torch.fft.rfft(signal(gaps), norm="ortho").abs().tolist()
        lines += [(name, k, len(gaps) / k, amplitude) for k, amplitude in enumerate(amplitudes) if k]
    return pd.DataFrame(lines, columns=["customer", "bin", "period", "amplitude"])


@styled
def plot_planted_rhythms(rhythms: dict[str, Int[Tensor, " L"]], table: pd.DataFrame) -> Figure:
    """Planted gaps (name -> seconds) and the spectra of their signals; a frame of `rhythm_table`."""
    figure = empty_figure(7, 0.5 + 1.05 * len(rhythms))
    grid = figure.subplots(len(rhythms), 2, sharex="col", squeeze=False)
    for (name, gaps), (left, right) in zip(rhythms.items(), grid):
        rows = table[table["customer"] == name]
        left.bar(range(1, len(gaps) + 1), gaps.tolist(), color=COLOURS[0])
        left.set(yscale="log", ylim=(10, 1e8), ylabel="gap")
        left.set_yticks([60, HOUR, DAY, 60 * DAY], ["1 min", "1 h", "1 d", "60 d"], fontsize=7)
        left.minorticks_off()
        left.set_title(name, fontsize=9, loc="left")
        right.bar(rows["bin"], rows["amplitude"], color=COLOURS[1], width=0.6)
        right.set(ylim=(0, 1.08 * max(table["amplitude"].max(), 1e-9)), ylabel="amplitude")
        right.grid(False, axis="x")
    grid[-1, 0].set(xlabel="step of the history")
    grid[-1, 0].locator_params("x", integer=True)
    period_axis(grid[-1, 1], table)
    return figure


@torch.no_grad()
def pass_bins(bins: Iterable[int], length: int = 20) -> FourierFilter:
    """A filter set by hand: K^t + K^v is 1 at ``bins`` (cycles per window) and 0 elsewhere, the learnable one idle."""
    layer = FourierFilter(ModelConfig(max_len=length))
    for parameter in layer.parameters():
        parameter.zero_()
    for channel in (layer.text, layer.image):
        channel.real.bias[list(bins)] = 0.5
    layer.learnable.real.weight.fill_diagonal_(1)
    return layer


def fresh_filter(length: int = 20, seed: int = 0, published: bool = False, **changes: Any) -> FourierFilter:
    """A filter with this library's start values (``published``: of the public code)."""
    torch.manual_seed(seed)
    config = ModelConfig(max_len=length, quirks=Quirks(published_init=published), **changes)
    layer: Any = MMM4Rec(config, torch.zeros(2, 1), torch.zeros(2, 1)).layers[0]  # items do not matter to it
    return layer.filter


@torch.no_grad()
def passed(filters: dict[str, FourierFilter], signals: Signals) -> pd.DataFrame:
    """What filters make of signals, in both channels, step by step: filter, signal, step (from 1), in, out."""
    tables = []
    for name, layer in filters.items():
        for kind, values in signals.items():
            out = analysis.filter_state(layer, values, values)["signal"]
            about = {"filter": name, "signal": kind, "step": range(1, len(values) + 1)}
            tables.append(pd.DataFrame({**about, "in": values.tolist(), "out": out}))
    return pd.concat(tables, ignore_index=True)


@styled
def plot_filter_in_out(table: pd.DataFrame) -> Figure:
    """Signals before and after filters: rows signals, columns filters; a frame of `passed`."""
    kinds, names = list(table["signal"].unique()), list(table["filter"].unique())
    figure = empty_figure(0.8 + len(names) * min(2.8, 8.8 / len(names)), 0.5 + 1.25 * len(kinds))
    grid = figure.subplots(len(kinds), len(names), sharex=True, sharey=True, squeeze=False)
    for axes, kind in zip(grid, kinds):
        for axis, name in zip(axes, names):
            rows = table[(table["signal"] == kind) & (table["filter"] == name)]
            axis.bar(rows["step"], rows["in"], 0.9, color="#bbbbbb", label="in")
            axis.bar(rows["step"], rows["out"], 0.4, color=COLOURS[0], label="out")
            axis.grid(False, axis="x")
        axes[0].set(ylabel=f"{kind}\n(no unit)")
    for top, bottom, name in zip(grid[0], grid[-1], names):
        top.set_title(name, fontsize=9, loc="left")
        bottom.set(xlabel="step of the history")
    legend_beside(grid[0, -1])
    return figure


@torch.no_grad()
def traits(filters: dict[str, FourierFilter]) -> pd.DataFrame:
    """What sort of map each filter is: filter, gain, elsewhere, superposition, twice.

    gain: mean amplitude that a pure tone keeps at its own bin. elsewhere: share of the power that comes out at other
    bins. superposition: |r(a + b) - r(a) - r(b)| over |r(a + b)|, mean over all pairs of tones, r without its answer
    to nothing; 0 for a linear map. twice: |r(2a)| over |r(a)|, 2 for a linear map.
    """
    lines = []
    for name, layer in filters.items():
        L = layer.length
        bins = torch.arange(1, (L + 1) // 2)
        tones = (2 * torch.pi * torch.outer(bins, torch.arange(L)) / L).cos() * 2**0.5
        one, (i, j) = _answer(layer, tones), torch.triu_indices(len(bins), len(bins), 1)
        both = _answer(layer, tones[i] + tones[j])
        amplitudes = analysis.frequency_map(layer)[1 : (L + 1) // 2]
        own = amplitudes[torch.arange(len(bins)), bins]
        elsewhere = 1 - own.square() / amplitudes.square().sum(1)
        superposition = (both - one[i] - one[j]).norm(dim=1) / both.norm(dim=1)
        twice = _answer(layer, 2 * tones).norm(dim=1) / one.norm(dim=1)
        lines.append((name, *(values.mean().item() for values in (own, elsewhere, superposition, twice))))
    return pd.DataFrame(lines, columns=["filter", "gain", "elsewhere", "superposition", "twice"])


def _answer(layer, signals):
    """What a filter makes of signals in both channels, its answer to nothing taken off."""
    return layer(signals, signals) - layer(*2 * (torch.zeros_like(signals),))


def adaptive_table(layer: FourierFilter, signals: Signals) -> pd.DataFrame:
    """|K^t| of eq. 14 for each of the signals: signal, bin, period (steps), K; bin 0 is left out."""
    states = {name: analysis.filter_state(layer, values, values) for name, values in signals.items()}
    parts = [pd.DataFrame(dict(signal=name, bin=s["bins"], K=s["gain_text"])).iloc[1:] for name, s in states.items()]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(period=layer.length / table["bin"])


@styled
def plot_adaptive_gain(table: pd.DataFrame) -> Figure:
    """|K| of one filter for different signals, by period, as bars from 1; a frame of `adaptive_table`."""
    figure, axis = panel(7, 2.5)
    above = {name: rows["K"] - 1 for name, rows in table.groupby("signal", sort=False)}
    grouped_bars(axis, above, first=int(table["bin"].min()), bottom=1)
    axis.axhline(1, color="black", lw=1)
    axis.set(ylabel=r"$|K^t|$ (no unit)")
    period_axis(axis, table)
    legend_beside(axis)
    return figure


def gain_table(models: dict[str, tuple[Batch, Models]]) -> pd.DataFrame:
    """`analysis.filter_gain` of the first layer; models: data -> (batch of full windows, when -> model).

    Its columns, and data, when, n_users, channels_apart (the largest difference between the two signals coming in).
    """
    parts = []
    for name, (one, states) in models.items():
        for when, model in states.items():
            layer: Any = model.layers[0]
            seen = analysis.activations(model, one)[0]
            table = analysis.filter_gain(layer.filter, seen["d_text"], seen["d_image"])
            apart = (seen["d_text"] - seen["d_image"]).abs().max().item()
            parts.append(table.assign(data=name, when=when, n_users=len(one.items), channels_apart=apart))
    return pd.concat(parts, ignore_index=True)


def removal_table(seeds: int | None = None) -> pd.DataFrame:
    """The trained models when a modality's features are set to zero afterwards: given, seed, expected_ndcg@10.

    The models never met that in training; `shop.modality_part` trains anew instead.
    """
    lines = []
    ways = {"both": "", "no pictures": "image", "no texts": "text"}
    for seed, (given, off) in product(range(seeds or scale()[1]), ways.items()):
        model = trained(seed)
        if off:
            getattr(model, f"{off}_features").zero_()
        lines.append((given, seed, world(seed).accuracy(model_scorer(model))))
    return pd.DataFrame(lines, columns=["given", "seed", "expected_ndcg@10"])


def reach_table(models: Models, seed: int = 0) -> pd.DataFrame:
    """`analysis.receptive_field` of the first layer on full windows; models: when -> model. Its columns, and when."""
    parts = []
    for when, model in models.items():
        layer: Any = model.layers[0]
        seen = analysis.activations(model, world(seed).histories(full=True))[0]
        field = analysis.receptive_field(layer.ticossd, seen["text"], seen["image"], seen["d_fused"])
        parts.append(field.assign(when=when))
    return pd.concat(parts, ignore_index=True)


def picture_table(models: Models, seed: int = 0) -> pd.DataFrame:
    """The same before the alignment: how far M's last step moves if one picture vector that enters TiSSD is another
    user's; when, back, moved."""
    lines, one = [], world(seed).histories(full=True)
    for when, model in models.items():
        fused = lambda model=model: analysis.activations(model, one)[0]["fused"][:, -1]
        before = fused()
        for back in range(model.config.max_len):

            def exchange(_, given, step=-1 - back):
                image = given[0].image.clone()
                image[:, step] = image[:, step].roll(1, 0)
                return given[0]._replace(image=image), *given[1:]

            hook = model.layers[0].register_forward_pre_hook(exchange)
            lines.append((when, back, analysis.relative_change(before, fused())))
            hook.remove()
    return pd.DataFrame(lines, columns=["when", "back", "moved"])


@torch.no_grad()
def query_and_gate(models: Models, seed: int = 0) -> pd.DataFrame:
    """How far M's last step moves if the current P^v is another user's in one place alone: when, place, moved."""
    lines, one = [], world(seed).histories(full=True)
    for when, model in models.items():
        seen, block = analysis.activations(model, one)[0], cast(TiCoSSD, model.layers[0].ticossd)
        other = seen["image"].clone()
        other[:, -1] = other[:, -1].roll(1, 0)
        fused = lambda seen=seen, block=block: block(seen["text"], seen["image"], seen["d_fused"])[:, -1]
        before = fused()
        places = {"query C": (block.project_c, other), "gate": (block.project_z, other + seen["text"])}
        for place, (part, given) in places.items():
            hook = part.register_forward_pre_hook(lambda *_, given=given: (given,))
            lines.append((when, place, analysis.relative_change(before, fused())))
            hook.remove()
    return pd.DataFrame(lines, columns=["when", "place", "moved"])


@styled
def plot_reach_bars(table: pd.DataFrame, title: str = "") -> Figure:
    """How far M's last step moves by one step of one stream, a panel per ``when``; a frame of `reach_table`."""
    table = table.assign(**{"moved (%)": 100 * table["moved"]})
    shorten = lambda percent: "0" if percent == 0 else f"{percent:.2g}" if percent < 1 else f"{percent:.0f}"
    figure, drawn = panels(table, "when", 8.5, 3, size=10)
    for axis, _, rows in drawn:
        look = dict(hue_order=["text", "image"], palette=COLOURS[:2], saturation=1, legend=axis is drawn[-1][0])
        sns.barplot(rows, x="back", y="moved (%)", hue="stream", ax=axis, **look)
        for bars in axis.containers:
            axis.bar_label(bars, fmt=shorten, fontsize=8, rotation=90, padding=2)  # type: ignore[arg-type]
        axis.set_ylim(0, 1.2 * table["moved (%)"].max())
        axis.set(xlabel="steps before the last", ylabel="M's last step moves by\n(% of its length)")
        axis.invert_xaxis()
    sns.move_legend(drawn[-1][0], "upper left", bbox_to_anchor=(1, 1), title="changed", frameon=False)
    return captioned(figure, title)


@torch.no_grad()
def best_scores(model: MMM4Rec, dataset: Dataset, one: Batch, k: int = 6) -> pd.DataFrame:
    """The k best items of the first user of a batch, and what each modality adds: item, text, image, score."""
    user = model.eval().users(one)[:1]
    score, items = model.score(user)[0].topk(k)
    text, image = analysis.score_parts(model, user, items)
    names = dataset.items["title"].iloc[(items - 1).tolist()].tolist()
    return pd.DataFrame({"item": names, "text": text[0].tolist(), "image": image[0].tolist(), "score": score.tolist()})


@styled
def plot_score_bars(table: pd.DataFrame) -> Figure:
    """Eq. 20's two dot products of one user's best items (over tau); a frame of `best_scores`."""
    figure, axis = panel(6.5, 0.9 + 0.22 * len(table))
    places = np.arange(len(table))
    for i, part in enumerate(("text", "image")):
        axis.barh(places - 0.2 + 0.4 * i, table[part], 0.38, color=COLOURS[i], label=f"user times {part} / tau")
    axis.plot(table["text"] + table["image"], places, "kD", ms=4, label="sum: the score")
    axis.axvline(0, color="black", lw=1)
    axis.set_yticks(places, table["item"], fontsize=8, parse_math=False)
    axis.invert_yaxis()
    axis.set(xlabel="score (nats)")
    legend_beside(axis)
    return figure
