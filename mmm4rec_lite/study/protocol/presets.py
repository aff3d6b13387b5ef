"""The standard small experiment on MovieLens-100K that the tour and the first notebook share.

Sized for two cores: about 24,000 rows of pre-training, a few epochs of fine-tuning; the paper's sizes where
``$MMM4REC_SCALE`` is "full" (set before this module is loaded). Each step keeps its result and returns it at once when
called again; a killed step goes on.
"""

import hashlib
import json
import os
import platform
from dataclasses import asdict
from functools import cache
from importlib.metadata import version

import pandas as pd
import torch

from mmm4rec_lite import data
from mmm4rec_lite.evaluation import compare, counting, model_scorer
from mmm4rec_lite.features import extract, load_encoder
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.stages import finetune, fit_gaps, pretrain, split
from mmm4rec_lite.study.protocol.runner import Protocol, Task
from mmm4rec_lite.study.protocol.scale import scale
from mmm4rec_lite.training import TrainConfig
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import cache_dir, workspace

TARGET = data.TARGETS[0]
SETTINGS = {  # scale -> sizes, pre-training, fine-tuning
    "quick": (
        ModelConfig(),
        TrainConfig(stage="pretrain", epochs=2, rows_per_epoch=12_000, lr=2e-3),
        TrainConfig(epochs=3, batch_size=256, lr=1e-3),
    ),
    "full": (ModelConfig.paper(), TrainConfig.paper("pretrain"), TrainConfig.paper("finetune")),
}
SCALE = scale()
if SCALE not in SETTINGS:
    raise InputError(
        f"scale: tour and notebooks know {' and '.join(SETTINGS)}; $MMM4REC_SCALE is {SCALE!r}, which is "
        "for `mmm4rec-lite reproduce` alone"
    )
CONFIG, PRETRAIN, FINETUNE = SETTINGS[SCALE]


def environment():
    """What the numbers below were measured with: versions, device and seed, as a one-column frame."""
    rows = {
        "mmm4rec_lite": version("mmm4rec-lite"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(device()),
        "threads": torch.get_num_threads(),
        "seed": FINETUNE.seed,
    }
    return pd.Series(rows, name="measured with").to_frame()


def caption():
    """What the quickstart's numbers are, for the titles of figures."""
    posters = "with" if os.environ.get("MMM4REC_POSTERS") else "without"
    return f"measured: MovieLens-100K {posters} posters, {SCALE} settings, seed {FINETUNE.seed}"


def dataset():
    """MovieLens-100K, with posters from the folder ``$MMM4REC_POSTERS`` where that is set."""
    return data.movielens_100k(os.environ.get("MMM4REC_POSTERS") or None)


def source_domains(films):
    """The union of the source domains; users are kept apart per domain."""
    return data.union([films.select(name) for name in data.SOURCES], "sources")


def features(films, encoder="packaged"):
    """The films' features by an encoder, kept in the user's cache."""
    kind = "posters" if films.items["image"].notna().any() else "text"
    path = cache_dir("features") / f"{films.name}-{kind}-{encoder}.safetensors"
    return extract(films, load_encoder(encoder, device()), path)


def pretrained(films, rows):
    """(run folder, model, history) of pre-training on the source domains with features ``rows``."""
    sources = source_domains(films)
    out = run_folder("pretrain", sources, rows, CONFIG, PRETRAIN)
    return out, *pretrain(sources, rows, out, CONFIG, PRETRAIN)


def finetuned(target, rows, start=None):
    """(run folder, model, history) of fine-tuning on ``target``, from run folder ``start`` or from scratch."""
    out = run_folder("finetune", target, rows, CONFIG, FINETUNE, start and start.name)
    checkpoint = start and start / "model.safetensors"
    return out, *finetune(target, rows, out, checkpoint, CONFIG, FINETUNE)


def comparison(target, models):
    """Test metrics by full ranking of ``models`` (name -> model) beside popularity and a Markov chain."""
    rows = split(target)
    systems = counting(rows) | {name: model_scorer(model) for name, model in models.items()}
    return compare(systems, rows.sequences, rows.test, CONFIG.max_len)


def run_folder(stage, films, rows, *settings):
    """A run folder of its own for every combination of data, features and settings."""
    settings = [asdict(s) if hasattr(s, "__dataclass_fields__") else s for s in settings]
    known = json.dumps([films.name, films.info, settings], sort_keys=True, default=str)
    digest = hashlib.sha256(known.encode())
    for table in (rows.text, rows.image):  # their values: another machine's encoder rounds otherwise
        digest.update(table.numpy())
    return workspace("runs", f"{stage}-{films.name}-{digest.hexdigest()[:8]}")


@cache
def film_task():
    """The quickstart's target domain of MovieLens-100K, its sources behind it; pictures from ``$MMM4REC_POSTERS``.

    Without posters, what reads pictures is left out of a sweep, with the reason.
    """
    whole = dataset()
    rows = features(whole)
    return Task(whole.select(TARGET), rows, Task(source_domains(whole), rows))


@cache
def film_models() -> dict[str, MMM4Rec]:
    """The first notebook's model: when ("as published, fresh", "fresh", "trained") -> model.

    The fresh ones have its sizes and start values of their own. The trained one is made if it is not there.
    """
    films = dataset()
    target, rows = films.select(TARGET), features(films)
    start, _, _ = pretrained(films, rows)
    models = {"trained": finetuned(target, rows, start)[1].cpu().eval()}
    catalogue = rows.catalogue(target.items["item"])
    for when, quirks in (("fresh", Quirks()), ("as published, fresh", Quirks(published_init=True))):
        torch.manual_seed(0)
        models[when] = MMM4Rec.from_catalogue(CONFIG.replace(quirks=quirks), catalogue).eval()
        fit_gaps(models[when], split(target))
    return dict(reversed(models.items()))


def film_batch() -> data.Batch:
    """The test users of the target domain whose history fills the window."""
    rows = split(dataset().select(TARGET))
    full = rows.test[rows.test - rows.sequences.first[rows.test] >= CONFIG.max_len]
    return data.batch(rows.sequences, full, CONFIG.max_len)


def sweep_options():
    """Seeds and setting of a sweep: one seed at width 32 when quick; three, each system's own setting, when full."""
    if scale() == "full":
        return dict(seeds=(0, 1, 2), setting=Protocol("paper", "full", None, None))
    return dict(seeds=(0,), setting=Protocol(width=32, scale=scale()))


def sweep_caption():
    """What kind of numbers a live sweep gives, for the titles of figures."""
    if scale() == "full":
        return "measured on this machine, full scale, paper setting, seeds 0 to 2"
    return "measured on this machine, quick scale, width 32, seed 0: one run decides nothing"
