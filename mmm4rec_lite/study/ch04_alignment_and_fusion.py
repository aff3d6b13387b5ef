"""Alignment, filters and fusion on the demo store and on planted rhythms: what notebook 04 looks at.

Store, features and sizes as in ``experiments.store`` (pictures and texts tell the same, each in its own features), no
item tables, some seconds of training per model. ``$MMM4REC_SCALE``: "quick" or "full", seeds and length of training.
"""

from functools import cache

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from torch.nn import functional as F

from mmm4rec_lite.analysis import (
    activations,
    alignment,
    filter_gain,
    filter_state,
    frequency_map,
    receptive_field,
    score_parts,
)
from mmm4rec_lite.data import batch
from mmm4rec_lite.data.synthetic import DAY, HOUR, StoreConfig, store
from mmm4rec_lite.evaluation import model_scorer
from mmm4rec_lite.models.blocks import FourierFilter
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.config import scale as asked
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.stages import finetune, fit_gaps, split
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.study.shop import DOMAIN, MODEL, STORE, TRAINING, World, expected_ndcg, shown, train
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.spectra import period_axis
from mmm4rec_lite.viz.style import COLOURS, captioned, empty_figure, styled

CONFIG = MODEL.replace(item_bias=False)
FORMS = {"one shared TiSSD": {}, "one TiSSD each": dict(shared=False)}
FILTERS = {
    "both filters": {},
    "w/o AF": dict(adaptive_filter=False),
    "w/o LF": dict(learnable_filter=False),
    "neither": dict(adaptive_filter=False, learnable_filter=False),
}
SCALES = {"quick": (TRAINING.replace(epochs=4, rows_per_epoch=8192), 3), "full": (TRAINING, 6)}


def scale(name=None):
    """(training, number of seeds) of ``name``, by default of ``$MMM4REC_SCALE`` or quick."""
    name = name or asked()
    if name not in SCALES:
        raise InputError(f"scale: {name!r} is not known; one of {', '.join(SCALES)}")
    return SCALES[name]


def caption():
    """What numbers from several seeds of the store are, for the titles of figures."""
    return f"measured: demo store, {asked()} settings, {scale()[1]} seeds"


@cache
def world(seed=0):
    """The store with ``seed``, made once."""
    return World(STORE.replace(seed=seed))


def fresh(config=CONFIG, seed=0):
    """The model as it stands before any training, the scale of its gaps fitted."""
    torch.manual_seed(seed)
    shop = world(seed)
    model = MMM4Rec(config, *shown(shop.truth, shop.dataset).align(shop.dataset.items["item"]))
    fit_gaps(model, shop.split)
    return model.eval()


def trained(config=CONFIG, seed=0):
    """The model trained from scratch, or read from ``runs/`` if it is there."""
    training, _ = scale()
    return train(world(seed), config, training.replace(seed=seed))[0].cpu()


def histories(seed=0, full=False):
    """The test users' histories; ``full``: of those whose history fills the window, whose signals have no padding."""
    rows, flat = world(seed).split.test, world(seed).split.sequences
    return batch(flat, rows[rows - flat.first[rows] >= CONFIG.max_len] if full else rows, CONFIG.max_len)


def accuracy(model, seed=0):
    """Expected NDCG@10 of the test users."""
    return expected_ndcg(model_scorer(model), world(seed), CONFIG.max_len).mean().item()


def alignment_table(seeds=None):
    """``analysis.alignment`` of the test users' last steps, where items come in and where the sequence comes out.

    Columns: form, seed, when (fresh, trained), place, own, others, cka, ndcg@10 (expected, of the whole model).
    """
    lines = []
    for seed in range(seeds or scale()[1]):
        one = histories(seed)
        for form, changes in FORMS.items():
            config = CONFIG.replace(**changes)
            for when, model in (("fresh", fresh(config, seed)), ("trained", trained(config, seed))):
                lines += _aligned(model, one, form=form, seed=seed, when=when, **{"ndcg@10": accuracy(model, seed)})
    return pd.DataFrame(lines)


def film_alignment(seeds=3):
    """The same for MovieLens-100K's target domain with the posters of ``$MMM4REC_POSTERS``, trained as in notebook 00.

    From scratch, without item tables; ndcg@10 is the best one on the validation rows. InputError without posters.
    """
    films = presets.dataset()
    if not films.items["image"].notna().any():
        raise InputError("film_alignment: these films have no pictures; set MMM4REC_POSTERS to a folder of posters")
    target, features, lines = films.select(presets.TARGET), presets.features(films), []
    rows = split(target)
    one = batch(rows.sequences, rows.test, presets.CONFIG.max_len)
    for seed in range(seeds):
        for form, changes in FORMS.items():
            config = presets.CONFIG.replace(item_bias=False, **changes)
            torch.manual_seed(seed)
            start = MMM4Rec(config, *features.align(target.items["item"]))
            fit_gaps(start, rows)
            training = presets.FINETUNE.replace(seed=seed)
            out = presets.run_folder("finetune", target, features, config, training)
            model, history = finetune(target, features, out, config=config, training=training, progress=False)
            for when, state in (("fresh", start), ("trained", model)):
                lines += _aligned(state, one, form=form, seed=seed, when=when, **{"ndcg@10": history["ndcg@10"].max()})
    return pd.DataFrame(lines)


def filter_accuracy(seeds=3):
    """Expected NDCG@10 with and without the filters, trained: variant, seed, ndcg@10."""
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "ndcg@10": accuracy(trained(CONFIG.replace(**changes), seed), seed)}
            for seed in range(seeds)
            for name, changes in FILTERS.items()
        ]
    )


@cache
def film_models():
    """The first notebook's model on MovieLens-100K: when ("as published, fresh", "fresh", "trained") -> model.

    The fresh ones have its sizes and start values of their own. The trained one is made if it is not there.
    """
    films = presets.dataset()
    target, features = films.select(presets.TARGET), presets.features(films)
    start, _, _ = presets.pretrained(films, features)
    models = {"trained": presets.finetuned(target, features, start)[1].cpu().eval()}
    for when, quirks in (("fresh", Quirks()), ("as published, fresh", Quirks(published_init=True))):
        torch.manual_seed(0)
        models[when] = MMM4Rec(presets.CONFIG.replace(quirks=quirks), *features.align(target.items["item"])).eval()
        fit_gaps(models[when], split(target))
    return dict(reversed(models.items()))


def film_batch():
    """The test users of MovieLens-100K's target domain whose history fills the window."""
    rows = split(presets.dataset().select(presets.TARGET))
    full = rows.test[rows.test - rows.sequences.first[rows.test] >= presets.CONFIG.max_len]
    return batch(rows.sequences, full, presets.CONFIG.max_len)


def long_store(users=2000, length=40):
    """A store with histories long enough for a spectrum of 20 steps; its gaps are drawn one by one, without rhythm."""
    return store(None, StoreConfig(users=users, length=length), [DOMAIN])


def rhythm(period, length, short=HOUR, long=60 * DAY):
    """Gaps [length] in seconds: every ``period``-th is ``long``, the others ``short``; period 1: all of them long."""
    steps = torch.arange(1, length + 1)
    return torch.full((length,), short).where(steps % period > 0, long)


def signal(gaps):
    """The time signal of gaps [..., L] in seconds: log-gaps, their mean off, unit variance; 0 where all are alike."""
    return F.layer_norm(torch.log1p(gaps.double()).float(), gaps.shape[-1:])


def rhythm_table(rhythms):
    """Planted rhythms, name -> gaps [L]: customer, days from first to last, then the spectrum of their signals.

    A row per customer and bin: bin, period (steps), amplitude (orthonormal, of the signal with unit variance).
    """
    lines = []
    for name, gaps in rhythms.items():
        amplitudes = torch.fft.rfft(signal(gaps), norm="ortho").abs()
        lines += [
            {"customer": name, "bin": k, "period": len(gaps) / k, "amplitude": amplitudes[k].item()}
            for k in range(1, len(amplitudes))
        ]
    return pd.DataFrame(lines)


@torch.no_grad()
def pass_bins(bins, length=20):
    """A filter set by hand: K^t + K^v is 1 at ``bins`` (cycles per window) and 0 elsewhere, the learnable one idle."""
    layer = FourierFilter(ModelConfig(max_len=length))
    for parameter in layer.parameters():
        parameter.zero_()
    for channel in (layer.text, layer.image):
        channel.real.bias[list(bins)] = 0.5
    layer.learnable.real.weight.fill_diagonal_(1)
    return layer


def fresh_filter(length=20, seed=0, published=False, **changes):
    """A filter with the start values of ``model.initialise`` (``published``: of the public code)."""
    torch.manual_seed(seed)
    config = ModelConfig(max_len=length, quirks=Quirks(published_init=published), **changes)
    return MMM4Rec(config, torch.zeros(2, 1), torch.zeros(2, 1)).layers[0].filter  # items do not matter to it


@torch.no_grad()
def passed(filters, signals):
    """What filters (name -> layer) make of signals (name -> [L]), in both channels: a row per filter, signal and step.

    Columns: filter, signal, step (from 1), in, out.
    """
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "filter": name,
                    "signal": kind,
                    "step": range(1, len(values) + 1),
                    "in": values.tolist(),
                    "out": filter_state(layer, values, values)["signal"],
                }
            )
            for name, layer in filters.items()
            for kind, values in signals.items()
        ],
        ignore_index=True,
    )


@torch.no_grad()
def traits(filters):
    """What sort of map each filter (name -> layer) is: filter, gain, elsewhere, superposition, twice.

    gain: mean amplitude that a pure tone keeps at its own bin. elsewhere: share of the power that comes out at other
    bins. superposition: |r(a + b) - r(a) - r(b)| over |r(a + b)|, mean over all pairs of tones, r without its answer
    to nothing; 0 for a linear map. twice: |r(2a)| over |r(a)|, 2 for a linear map.
    """
    lines = []
    for name, layer in filters.items():
        L = layer.length
        bins = torch.arange(1, L // 2 + L % 2)
        tones = (2 * torch.pi * torch.outer(bins, torch.arange(L)) / L).cos() * 2**0.5
        one, (i, j) = _answer(layer, tones), torch.triu_indices(len(bins), len(bins), 1)
        both = _answer(layer, tones[i] + tones[j])
        table = frequency_map(layer)[1 : L // 2 + L % 2]
        own = table[torch.arange(len(bins)), bins]
        lines.append(
            {
                "filter": name,
                "gain": own.mean().item(),
                "elsewhere": (1 - own.square() / table.square().sum(1)).mean().item(),
                "superposition": ((both - one[i] - one[j]).norm(dim=1) / both.norm(dim=1)).mean().item(),
                "twice": (_answer(layer, 2 * tones).norm(dim=1) / one.norm(dim=1)).mean().item(),
            }
        )
    return pd.DataFrame(lines)


def adaptive_table(layer, signals):
    """|K^t| of eq. 14 for each of the signals (name -> [L]): signal, bin, period (steps), K."""
    parts = []
    for name, values in signals.items():
        state = filter_state(layer, values, values)
        parts.append(pd.DataFrame({"signal": name, "bin": state["bins"], "K": state["gain_text"]}).iloc[1:])
    table = pd.concat(parts, ignore_index=True)
    return table.assign(period=layer.length / table["bin"])


def _answer(layer, signals):
    """What a filter makes of signals in both channels, its answer to nothing taken off."""
    return layer(signals, signals) - layer(*2 * (torch.zeros_like(signals),))


def gain_table(models):
    """``analysis.filter_gain`` of the first layer; models: data -> (batch of full windows, when -> model).

    Its columns, and data, when, users, channels apart (the largest difference between the two signals coming in).
    """
    parts = []
    for name, (one, states) in models.items():
        for when, model in states.items():
            seen = activations(model, one)[0]
            table = filter_gain(model.layers[0].filter, seen["d_text"], seen["d_image"])
            apart = (seen["d_text"] - seen["d_image"]).abs().max().item()
            parts.append(table.assign(**{"data": name, "when": when, "users": len(one.items), "channels apart": apart}))
    return pd.concat(parts, ignore_index=True)


def removal_table(seeds=None):
    """The trained models when a modality's features are set to zero afterwards: given, seed, ndcg@10 (expected).

    The models never met that in training; ``experiments.store.modality_part`` trains anew instead.
    """
    lines = []
    for seed in range(seeds or scale()[1]):
        for given, off in {"both": (), "no pictures": ("image",), "no texts": ("text",)}.items():
            model = trained(seed=seed)
            for name in off:
                getattr(model, f"{name}_features").zero_()
            lines.append({"given": given, "seed": seed, "ndcg@10": accuracy(model, seed)})
    return pd.DataFrame(lines)


def reach_table(models, seed=0):
    """``analysis.receptive_field`` of the first layer on full windows; models: when -> model. Its columns, and when."""
    parts = []
    for when, model in models.items():
        seen = activations(model, histories(seed, full=True))[0]
        table = receptive_field(model.layers[0].ticossd, seen["text"], seen["image"], seen["d_fused"])
        parts.append(table.assign(when=when))
    return pd.concat(parts, ignore_index=True)


@torch.no_grad()
def best_scores(model, dataset, one, k=6):
    """The k best items of the first user of a batch, and what each modality adds: item, text, image, score."""
    user = model.eval().users(one)[:1]
    score, items = model.score(user)[0].topk(k)
    text, image = score_parts(model, user, items)
    names = dataset.items["title"].iloc[(items - 1).tolist()].tolist()
    return pd.DataFrame({"item": names, "text": text[0].tolist(), "image": image[0].tolist(), "score": score.tolist()})


def _aligned(model, one, **known):
    """Two lines of `alignment_table`: where items come in, and where the sequence comes out, at the last step."""
    seen, lines = activations(model, one)[-1], []
    last = lambda values: values[torch.arange(len(values)), one.lengths.to(values.device) - 1]
    for place, end in (("items going in", "_in"), ("sequences coming out", "")):
        found = alignment(last(seen["text" + end]), last(seen["image" + end]))
        lines.append({**known, "place": place, **found})
    return lines


@styled
def plot_alignment_bars(table, title=""):
    """Cosines of users' text and image vectors, one panel per place; a frame of ``experiments.fusion.alignment_table``.

    Bars: means over seeds; dots: the seeds.
    """
    kinds = {"own": "with the own image", "others": "with others' images"}
    long = table.melt(["form", "when", "place", "seed"], list(kinds), "text compared", "cosine")
    labels = [_label(*pair) for pair in zip(long["form"], long["when"])]
    long = long.assign(**{"text compared": long["text compared"].map(kinds), "": labels})
    order = [_label(form, when) for when in table["when"].unique() for form in table["form"].unique()]
    places = list(table["place"].unique())
    figure = empty_figure(7.5, 2.6)
    axes = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
    for axis, place in zip(axes, places):
        rows = long[long["place"] == place]
        given = dict(data=rows, x="", y="cosine", hue="text compared", order=order, ax=axis)
        sns.barplot(**given, palette=COLOURS[:2], saturation=1, errorbar=None, legend=place == places[-1])
        sns.stripplot(**given, dodge=True, palette=["black"] * 2, size=3, jitter=False, legend=False)
        axis.axhline(0, color="black", lw=1)
        axis.set(ylabel="mean cosine (-1 to 1)")
        axis.set_title(place, fontsize=10, loc="left")
        axis.tick_params(axis="x", labelsize=7)
    sns.move_legend(axes[-1], "upper left", bbox_to_anchor=(1, 1), title="a user's text", frameon=False)
    return captioned(figure, title)


def _label(form, when):
    """Two words of the form, the rest, and when, each on a line of its own."""
    words = form.split()
    return "\n".join(filter(None, (" ".join(words[:2]), " ".join(words[2:]), when)))


@styled
def plot_planted_rhythms(rhythms, table):
    """Planted gaps (name -> [L] seconds) and the spectra of their signals; a frame of ``fusion.rhythm_table``."""
    figure = empty_figure(7, 0.5 + 1.05 * len(rhythms))
    grid = figure.subplots(len(rhythms), 2, sharex="col", squeeze=False)
    for (name, gaps), (left, right) in zip(rhythms.items(), grid):
        rows = table[table["customer"] == name]
        left.bar(range(1, len(gaps) + 1), gaps.tolist(), color=COLOURS[0])
        left.set(yscale="log", ylim=(10, 1e8), ylabel="gap")
        left.set_yticks([60, 3600, 86400, 60 * 86400], ["1 min", "1 h", "1 d", "60 d"], fontsize=7)
        left.minorticks_off()
        left.set_title(name, fontsize=9, loc="left")
        right.bar(rows["bin"], rows["amplitude"], color=COLOURS[1], width=0.6)
        right.set(ylim=(0, 1.08 * max(table["amplitude"].max(), 1e-9)), ylabel="amplitude")
        right.grid(False, axis="x")
    grid[-1, 0].set(xlabel="step of the history")
    grid[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    period_axis(grid[-1, 1], table)
    return figure


@styled
def plot_filter_in_out(table):
    """Signals before and after filters: rows signals, columns filters; a frame of ``experiments.fusion.passed``."""
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
    for axis, name in zip(grid[0], names):
        axis.set_title(name, fontsize=9, loc="left")
    for axis in grid[-1]:
        axis.set(xlabel="step of the history")
    grid[0, -1].legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


@styled
def plot_adaptive_gain(table):
    """|K| of one filter for different signals, by period, as bars from 1; columns signal, bin, period, K."""
    figure = empty_figure(7, 2.5)
    axis = figure.subplots()
    width = 0.8 / table["signal"].nunique()
    for i, (name, rows) in enumerate(table.groupby("signal", sort=False)):
        places = rows["bin"] + (i + 0.5) * width - 0.4
        axis.bar(places, rows["K"] - 1, width, bottom=1, color=COLOURS[i], label=name)
    axis.axhline(1, color="black", lw=1)
    axis.set(ylabel=r"$|K^t|$ (no unit)")
    period_axis(axis, table)
    axis.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left", fontsize=8)
    return figure


@styled
def plot_reach_bars(table, title=""):
    """How far M's last step moves by one step of one stream, a panel per ``when``; ``receptive_field``."""
    states = list(table["when"].unique())
    figure = empty_figure(7.5, 2.6)
    axes = figure.subplots(1, len(states), sharey=True, squeeze=False)[0]
    for axis, state in zip(axes, states):
        rows = table[table["when"] == state].assign(**{"moved (%)": 100 * table["moved"]})
        sns.barplot(
            rows,
            x="back",
            y="moved (%)",
            hue="stream",
            palette=COLOURS[:2],
            saturation=1,
            ax=axis,
            legend=state == states[-1],
        )
        for bars in axis.containers:
            axis.bar_label(bars, fmt=lambda v: "0" if v == 0 else f"{v:.2g}" if v < 1 else f"{v:.0f}", fontsize=6)
        axis.set(xlabel="steps before the last", ylabel="M's last step moves by\n(% of its length)")
        axis.set_title(state, fontsize=10, loc="left")
        axis.invert_xaxis()
    sns.move_legend(axes[-1], "upper left", bbox_to_anchor=(1, 1), title="changed", frameon=False)
    return captioned(figure, title)


@styled
def plot_score_bars(table):
    """Eq. 20's two dot products of one user's best items; columns item (a name), text, image (over tau)."""
    figure = empty_figure(6.5, 0.9 + 0.22 * len(table))
    axis = figure.subplots()
    places = np.arange(len(table))
    for i, part in enumerate(("text", "image")):
        axis.barh(places - 0.2 + 0.4 * i, table[part], 0.38, color=COLOURS[i], label=f"user times {part} / tau")
    axis.plot(table["text"] + table["image"], places, "kD", ms=4, label="sum: the score")
    axis.axvline(0, color="black", lw=1)
    axis.set_yticks(places, table["item"], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel="score (nats)")
    axis.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    return figure
