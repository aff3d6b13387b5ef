"""The standard small experiment on MovieLens-100K that the tour and the notebooks share, sized for two cores.

The paper's sizes where ``$MMM4REC_SCALE`` is "full". Each step keeps its result and returns it when called again.
"""

import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, TypeVar

import pandas as pd
import torch

from mmm4rec_lite import data
from mmm4rec_lite.evaluation import compare, counting, model_scorer
from mmm4rec_lite.features import Features, extract, load_encoder
from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.config import Quirks, TrainConfig
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.runs import Protocol, Run, Task, initial_model, pretrain, run
from mmm4rec_lite.study.protocol.scale import scale
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import cache_dir

TARGET, MODEL = data.TARGETS[0], "mmm4rec+id"
PRETRAINING, FINETUNING = dict(epochs=2, rows_per_epoch=12_000, lr=2e-3), dict(epochs=3, batch_size=256, lr=1e-3)
Changes = dict[str, Any]
SCALES: dict[str, tuple[Protocol, Changes, Changes]] = {  # protocol, changes of pre-training and of fine-tuning
    "quick": (Protocol("small"), PRETRAINING, FINETUNING),
    "full": (Protocol("paper"), {}, {}),
}
SMALL, PAPER = Protocol("matched", "quick", width=32), Protocol("paper")
SWEEPS = {
    "quick": (dict(seeds=(0,), protocol=SMALL), "width 32, seed 0: one run decides nothing"),
    "full": (dict(seeds=(0, 1, 2), protocol=PAPER), "protocol paper, seeds 0 to 2"),
}
Choice = TypeVar("Choice")


def by_scale(choices: Mapping[str, Choice], name: str | None = None) -> Choice:
    """The one of ``choices`` for the scale ``name``, by default that of ``$MMM4REC_SCALE`` ("quick" where not set)."""
    name = name or scale()
    if name not in choices:
        raise InputError(f"scale: {name!r} is not known; one of {', '.join(choices)}")
    return choices[name]


def environment() -> pd.DataFrame:
    """What the numbers below were measured with: versions, device and seed, as a one-column frame."""
    versions = dict(mmm4rec_lite=version("mmm4rec-lite"), torch=torch.__version__, python=platform.python_version())
    rows = versions | dict(device=str(device()), threads=torch.get_num_threads(), seed=0)
    return pd.Series(rows, name="measured with").to_frame()


def caption(data: str | None = None, seeds: str = "seed 0") -> str:
    """What the numbers of a figure are, for its title: data (the films by default), scale, seeds."""
    films = f"MovieLens-100K {'with' if os.environ.get('MMM4REC_POSTERS') else 'without'} posters"
    return f"measured: {data or films}, {scale()} settings, {seeds}"


def sweep_caption() -> str:
    """The same of a sweep by ``sweep_options``."""
    return caption(seeds=by_scale(SWEEPS)[1])


def dataset() -> data.Dataset:
    """MovieLens-100K, with posters from the folder ``$MMM4REC_POSTERS`` where that is set."""
    return data.movielens_100k(os.environ.get("MMM4REC_POSTERS") or None)


def source_domains(films: data.Dataset) -> data.Dataset:
    """The union of the source domains; users are kept apart per domain."""
    return data.union([films.select(name) for name in data.SOURCES], "sources")


def features(films: data.Dataset, encoder: str = "packaged") -> Features:
    """The films' features by an encoder, kept in the user's cache."""
    kind = "posters" if films.items["image"].notna().any() else "text"
    path = cache_dir("features") / f"{films.name}-{kind}-{encoder}.safetensors"
    return extract(films, load_encoder(encoder, device()), path)


def settings(stage: str = "finetune", model: str = MODEL) -> tuple[Any, TrainConfig]:
    """Config and training of the quickstart's model in a stage."""
    protocol, first, own = by_scale(SCALES)
    return protocol.settings(get_model(model), stage, **(first if stage == "pretrain" else own))


def pretrained(films: data.Dataset, rows: Features) -> Run:
    """Pre-training on the source domains with features ``rows``."""
    protocol, changes, _ = by_scale(SCALES)
    return pretrain(Task(source_domains(films), rows), MODEL, protocol, **changes)


def finetuned(
    target: data.Dataset, rows: Features, start: Run | None = None, model: str = MODEL, **changes: Any
) -> Run:
    """Fine-tuning on ``target``, from the run ``start`` or from scratch; ``changes``: as of ``run``."""
    protocol, _, own = by_scale(SCALES)
    return run(Task(target, rows), model, protocol, start=start, **own | changes)


def untrained(
    target: data.Dataset, rows: Features, start: Run | None = None, model: str = MODEL, **changes: Any
) -> Recommender:
    """The model from which ``finetuned`` starts."""
    return initial_model(Task(target, rows), model, by_scale(SCALES)[0], start=start, **changes)


def comparison(target: data.Dataset, models: Mapping[str, Recommender]) -> pd.DataFrame:
    """Test metrics by full ranking of ``models`` beside popularity and a Markov chain."""
    rows = data.leave_one_out(target)
    systems = counting(rows) | {name: model_scorer(model) for name, model in models.items()}
    return compare(systems, rows.sequences, rows.test, max(model.window for model in models.values()))


@cache
def film_task() -> Task:
    """The quickstart's target domain of MovieLens-100K, its sources behind it; images from ``$MMM4REC_POSTERS``."""
    whole = dataset()
    rows = features(whole)
    return Task(whole.select(TARGET), rows, Task(source_domains(whole), rows))


@cache
def film_models() -> dict[str, Recommender]:
    """The model of the first notebook by when: "as published, fresh", "fresh", "trained" (made if it is not there)."""
    films = dataset()
    target, rows = films.select(TARGET), features(films)
    published = untrained(target, rows, quirks=Quirks(published_init=True))
    trained = finetuned(target, rows, pretrained(films, rows)).model.cpu().eval()
    return {"as published, fresh": published, "fresh": untrained(target, rows), "trained": trained}


def film_batch() -> data.Batch:
    """The test users of the target domain whose history fills the window."""
    rows, window = data.leave_one_out(dataset().select(TARGET)), settings()[0].max_len
    return data.batch(rows.sequences, rows.test[rows.test - rows.sequences.first[rows.test] >= window], window)


def sweep_options() -> dict[str, Any]:
    """Seeds and protocol of a sweep: one seed at width 32 when quick; three, each system's own sizes, when full."""
    return dict(by_scale(SWEEPS)[0])
