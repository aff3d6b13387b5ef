"""Alignment, filters and fusion on the demo store and on planted rhythms: what notebook 04 looks at.

Store, features and sizes as in ``experiments.store`` (pictures and texts tell the same, each in its own features), no
item tables, some seconds of training per model. ``$MMM4REC_SCALE``: "quick" or "full", seeds and length of training.
"""

from functools import cache

import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite import quickstart
from mmm4rec_lite.analysis import alignment, filter_gain, filter_state, frequency_map, reach, score_parts, streams
from mmm4rec_lite.blocks import FourierFilter
from mmm4rec_lite.config import ModelConfig, Quirks
from mmm4rec_lite.config import scale as asked
from mmm4rec_lite.data import batch
from mmm4rec_lite.data.store import DAY, HOUR, StoreConfig, store
from mmm4rec_lite.errors import KitError
from mmm4rec_lite.evaluate import model_scorer
from mmm4rec_lite.experiments.store import DOMAIN, MODEL, STORE, TRAINING, World, expected_gains, shown, train
from mmm4rec_lite.model import MMM4Rec
from mmm4rec_lite.stages import finetune, fit_gaps, split

CONFIG = MODEL.but(item_bias=False)
FORMS = {"one shared TiSSD": {}, "one TiSSD each": dict(shared=False)}
FILTERS = {
    "both filters": {},
    "w/o AF": dict(adaptive_filter=False),
    "w/o LF": dict(learnable_filter=False),
    "neither": dict(adaptive_filter=False, learnable_filter=False),
}
SCALES = {"quick": (TRAINING.but(epochs=4, rows_per_epoch=8192), 3), "full": (TRAINING, 6)}


def scale(name=None):
    """(training, number of seeds) of ``name``, by default of ``$MMM4REC_SCALE`` or quick."""
    name = name or asked()
    if name not in SCALES:
        raise KitError(f"scale: {name!r} is not known; one of {', '.join(SCALES)}")
    return SCALES[name]


def caption():
    """What numbers from several seeds of the store are, for the titles of figures."""
    return f"measured: demo store, {asked()} settings, {scale()[1]} seeds"


@cache
def world(seed=0):
    """The store with ``seed``, made once."""
    return World(STORE.but(seed=seed))


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
    return train(world(seed), config, training.but(seed=seed))[0].cpu()


def histories(seed=0, full=False):
    """The test users' histories; ``full``: of those whose history fills the window, whose signals have no padding."""
    rows, flat = world(seed).split.test, world(seed).split.sequences
    return batch(flat, rows[rows - flat.first[rows] >= CONFIG.max_len] if full else rows, CONFIG.max_len)


def accuracy(model, seed=0):
    """Expected NDCG@10 of the test users."""
    return expected_gains(model_scorer(model), world(seed), CONFIG.max_len).mean().item()


def alignment_table(seeds=None):
    """``analysis.alignment`` of the test users' last steps, where items come in and where the sequence comes out.

    Columns: form, seed, when (fresh, trained), place, own, others, cka, ndcg@10 (expected, of the whole model).
    """
    lines = []
    for seed in range(seeds or scale()[1]):
        one = histories(seed)
        for form, changes in FORMS.items():
            config = CONFIG.but(**changes)
            for when, model in (("fresh", fresh(config, seed)), ("trained", trained(config, seed))):
                lines += _aligned(model, one, form=form, seed=seed, when=when, **{"ndcg@10": accuracy(model, seed)})
    return pd.DataFrame(lines)


def film_alignment(seeds=3):
    """The same for MovieLens-100K's target domain with the posters of ``$MMM4REC_POSTERS``, trained as in notebook 00.

    From scratch, without item tables; ndcg@10 is the best one on the validation rows. KitError without posters.
    """
    films = quickstart.dataset()
    if not films.items["image"].notna().any():
        raise KitError("film_alignment: these films have no pictures; set MMM4REC_POSTERS to a folder of posters")
    target, features, lines = films.select(quickstart.TARGET), quickstart.features(films), []
    rows = split(target)
    one = batch(rows.sequences, rows.test, quickstart.CONFIG.max_len)
    for seed in range(seeds):
        for form, changes in FORMS.items():
            config = quickstart.CONFIG.but(item_bias=False, **changes)
            torch.manual_seed(seed)
            start = MMM4Rec(config, *features.align(target.items["item"]))
            fit_gaps(start, rows)
            training = quickstart.FINETUNE.but(seed=seed)
            out = quickstart.run_folder("finetune", target, features, config, training)
            model, history = finetune(target, features, out, config=config, training=training, progress=False)
            for when, state in (("fresh", start), ("trained", model)):
                lines += _aligned(state, one, form=form, seed=seed, when=when, **{"ndcg@10": history["ndcg@10"].max()})
    return pd.DataFrame(lines)


def filter_accuracy(seeds=3):
    """Expected NDCG@10 with and without the filters, trained: variant, seed, ndcg@10."""
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "ndcg@10": accuracy(trained(CONFIG.but(**changes), seed), seed)}
            for seed in range(seeds)
            for name, changes in FILTERS.items()
        ]
    )


@cache
def film_models():
    """The first notebook's model on MovieLens-100K: when ("as published, fresh", "fresh", "trained") -> model.

    The fresh ones have its sizes and start values of their own. The trained one is made if it is not there.
    """
    films = quickstart.dataset()
    target, features = films.select(quickstart.TARGET), quickstart.features(films)
    start, _, _ = quickstart.pretrained(films, features)
    models = {"trained": quickstart.finetuned(target, features, start)[1].cpu().eval()}
    for when, quirks in (("fresh", Quirks()), ("as published, fresh", Quirks(published_init=True))):
        torch.manual_seed(0)
        models[when] = MMM4Rec(quickstart.CONFIG.but(quirks=quirks), *features.align(target.items["item"])).eval()
        fit_gaps(models[when], split(target))
    return dict(reversed(models.items()))


def film_batch():
    """The test users of MovieLens-100K's target domain whose history fills the window."""
    rows = split(quickstart.dataset().select(quickstart.TARGET))
    full = rows.test[rows.test - rows.sequences.first[rows.test] >= quickstart.CONFIG.max_len]
    return batch(rows.sequences, full, quickstart.CONFIG.max_len)


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
            seen = streams(model, one)[0]
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
    """``analysis.reach`` of the first layer on full windows; models: when -> model. Its columns, and when."""
    parts = []
    for when, model in models.items():
        seen = streams(model, histories(seed, full=True))[0]
        table = reach(model.layers[0].ticossd, seen["text"], seen["image"], seen["d_fused"])
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
    seen, lines = streams(model, one)[-1], []
    last = lambda values: values[torch.arange(len(values)), one.lengths.to(values.device) - 1]
    for place, end in (("items going in", "_in"), ("sequences coming out", "")):
        found = alignment(last(seen["text" + end]), last(seen["image" + end]))
        lines.append({**known, "place": place, **found})
    return lines
