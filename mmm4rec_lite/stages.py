"""The two stages of section 3.5, from a dataset and its features to a run folder with a trained model.

A run folder holds ``model.safetensors`` (weights, config and where they come from), ``history.csv`` and
``training.safetensors`` (what a killed run needs to go on). Calling a stage again with the same arguments
returns the finished run at once.
"""

import platform
from dataclasses import asdict
from pathlib import Path

import torch

from mmm4rec_lite import data
from mmm4rec_lite.checkpoint import load_model, save_model
from mmm4rec_lite.models.blocks import TimeDifferences
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import atomic

SPLITS = {"leave_one_out": data.leave_one_out, "global_time": data.global_time}


def split(dataset, name="leave_one_out"):
    """The split called ``name``; InputError for others."""
    if name not in SPLITS:
        raise InputError(f"split: {name!r} is not known; one of {', '.join(SPLITS)}")
    if name == "global_time" and data.order_only(dataset):
        raise InputError(f"{dataset.name} has no times, only an order; split it by leave_one_out")
    return SPLITS[name](dataset)


def timed(dataset, config):
    """``config`` as the dataset allows: without times, only an order, the model reads none."""
    if not data.order_only(dataset):
        return config
    if config.query_time:
        raise InputError(f"{dataset.name} has no times, only an order; a model with query_time needs times")
    return config.replace(time=False)


def pretrain(dataset, features, out, config=None, training=None, progress=True):
    """In-batch cross-entropy (eq. 21) on every prefix of every user of the source domains, no validation.

    Per-item tables belong to one catalogue, and the request's time to one way of serving: both are left to
    fine-tuning. All of the sources' interactions are
    used, as in the paper, also those later than a target domain's test interactions.
    Returns (model, history).
    """
    config = timed(dataset, config or ModelConfig()).replace(item_bias=False, query_time=False)
    training = training or TrainConfig(stage="pretrain", epochs=2, lr=1e-3)
    rows = data.prefixes(dataset)
    torch.manual_seed(training.seed)
    model = MMM4Rec.from_catalogue(config, features.catalogue(dataset.items["item"]))
    fit_gaps(model, rows)
    return _run("pretrain", model, dataset, features, rows, None, training, out, progress)


def finetune(dataset, features, out, start=None, config=None, training=None, split_name="leave_one_out", progress=True):
    """Full-catalogue cross-entropy (eq. 22) on the target domain, the best epoch by validation.

    ``start``: a checkpoint of ``pretrain``, of the same config but for ``item_bias`` and ``query_time``; None is
    "w/o PT" (from scratch). Returns (model, history).
    """
    config, training = timed(dataset, config or ModelConfig()), training or TrainConfig()
    rows = split(dataset, split_name)
    torch.manual_seed(training.seed)
    items = dataset.items["item"]
    if start is None:
        model = MMM4Rec.from_catalogue(config, features.catalogue(items))
        fit_gaps(model, rows)
    else:
        model, _ = load_model(
            start, features, items, keep_items=False, item_bias=config.item_bias, query_time=config.query_time
        )
        if model.config != config:
            raise InputError(
                f"{start}: pre-trained with other sizes or switches than asked for here; "
                "use the same preset (or config) in both stages"
            )
    return _run(
        "finetune",
        model,
        dataset,
        features,
        rows,
        rows.valid,
        training,
        out,
        progress,
        start=None if start is None else str(start),
        split=split_name,
    )


def fit_gaps(model, rows):
    """The scale of log-gaps, from the training part alone."""
    times = rows.sequences.times
    for part in (module for module in model.modules() if isinstance(module, TimeDifferences)):
        part.fit(times[rows.train] - times[rows.train - 1])


def _run(stage, model, dataset, features, rows, valid, training, out, progress, **notes):
    out = Path(out)
    history = fit(model, rows.sequences, rows.train, training, valid, out, progress)
    where = {"device": str(next(model.parameters()).device), "machine": platform.machine(), "torch": torch.__version__}
    save_model(
        out / "model.safetensors",
        model,
        features.encoder,
        dataset.items["item"],
        stage=stage,
        dataset=dataset.name,
        training=asdict(training),
        **where,
        **notes,
    )
    with atomic(out / "history.csv") as temporary:
        history.to_csv(temporary, index=False)
    return model, history
