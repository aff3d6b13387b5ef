"""One way to build, train, rank, save and load any model.

A ``Task`` is what a model is trained for, a ``Protocol`` how models are sized and trained, a ``Run`` what comes of it:

>>> done = run(Task(dataset, features), "sasrec", Protocol("small"), "runs/mine")  # doctest: +SKIP
>>> done.record["ndcg@10"], done.model  # doctest: +SKIP

The folder of a finished run holds ``model.safetensors`` (weights, config, where they come from, record, ranks) and
``history.csv``; that of a killed one ``training.safetensors``, from which the same call goes on.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mmm4rec_lite.data import Dataset, Split, global_time, leave_one_out, order_only, prefixes
from mmm4rec_lite.evaluation import metrics, rank_model
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.base import Catalogue, Recommender, count_parameters
from mmm4rec_lite.models.blocks import TimeDifferences
from mmm4rec_lite.models.config import BaselineConfig, ModelConfig, Quirks, TrainConfig
from mmm4rec_lite.models.registry import ModelSpec, get_model, missing_inputs
from mmm4rec_lite.training import STATE, fit
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import atomic, workspace
from mmm4rec_lite.utils.tensorfile import load_tensors, save_tensors
from mmm4rec_lite.utils.typing import Int, Tensor

FILE, AGAIN = "model.safetensors", "train one with the commands `pretrain` or `finetune`"
SPLITS = {"leave_one_out": leave_one_out, "global_time": global_time}
SMALL = TrainConfig()
MATCHED = TrainConfig(optimizer="nadam", epochs=100, batch_size=256, lr=2e-3, weight_decay=0.0, patience=10)
PROTOCOLS = ("small", "matched", "paper")
SCALES = {
    "quick": dict(epochs=6, rows_per_epoch=7_680, patience=3),
    "longer": dict(epochs=30, rows_per_epoch=7_680, patience=10),
    "full": {},
}


@dataclass(frozen=True, eq=False)
class Task:
    """What a model is trained for: a dataset, its items' features, and a split into rows to train, select and test on.

    Parameters
    ----------
    dataset, features
        Every item of the dataset has a row in the features.
    sources
        What to pre-train on, by the same encoder.
    augmented_text
        Features of the same items whose texts lost some words; UniSRec and MISSRec pre-train with them.
    split
        "leave_one_out" or "global_time".
    subset
        What part of the data this is, for the record: "all", or "with_images".

    Examples
    --------
    >>> from mmm4rec_lite.data import load_dataset
    >>> from mmm4rec_lite.features import extract, load_encoder
    >>> toy = load_dataset("data_samples/toy")
    >>> features = extract(toy, load_encoder("random"), "toy.safetensors", progress=False)
    >>> Task(toy, features).inputs
    ('text', 'image', 'time')
    """

    dataset: Dataset
    features: Features
    sources: "Task | None" = None
    augmented_text: Features | None = None
    split: str = "leave_one_out"
    subset: str = "all"

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(f"split: {self.split!r} is not known; one of {', '.join(SPLITS)}")
        if self.split == "global_time" and order_only(self.dataset):
            raise InputError(f"{self.dataset.name} has no times, only an order; split it by leave_one_out")

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """What these data can feed: of "text", "image", "time"."""
        has = dict(text=self.catalogue.text.any(), image=self.catalogue.has_image.any())
        return tuple(name for name, there in {**has, "time": not order_only(self.dataset)}.items() if there)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The items' features in the dataset's order, row 0 for padding."""
        return self.features.catalogue(self.dataset.items["item"], self.augmented_text)

    @cached_property
    def rows(self) -> Split:
        """The rows to train, select and test on."""
        return SPLITS[self.split](self.dataset)

    @cached_property
    def digest(self) -> str:
        """Of everything here that a run depends on, the sources apart."""
        rows = pd.util.hash_pandas_object(self.dataset.interactions, index=False).to_numpy().tobytes()
        tables = [table for table in vars(self.catalogue).values() if table is not None]
        return digest(rows, list(self.dataset.items["item"]), self.split, *tables)

    def lacks(self, model: str, **changes: Any) -> str:
        """Why these data cannot feed a model with these changes of its config, in one line; "" where they can."""
        without = ("time",) if changes.get("time") is False else ()
        return missing_inputs(get_model(model), (*self.inputs, *without))


@dataclass(frozen=True)
class Protocol:
    """How models are sized and trained.

    Parameters
    ----------
    name
        "small" suits two cores. "matched": one width, window, optimiser, learning rate and drop-out for all, to compare
        them. "paper": each model's published sizes and training.
    scale
        "full" trains as the protocol says; "quick" cuts epochs and rows to a minute or so (nobody is trained to the
        end), "longer" has five times as many epochs.
    width, window
        Other ones than the protocol's own (64 and 20; in "paper" each model's).

    Examples
    --------
    >>> config, training = Protocol("matched", scale="quick").settings(get_model("sasrec"), "scratch")
    >>> config.d_model, training.epochs
    (64, 6)
    """

    name: str = "small"
    scale: str = "full"
    width: int | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        for what, value, known in (("protocol", self.name, PROTOCOLS), ("scale", self.scale, SCALES)):
            if value not in known:
                raise InputError(f"{what}: {value!r} is not known; one of {', '.join(known)}")

    def settings(self, spec: ModelSpec, stage: str, **changes: Any) -> tuple[ModelConfig | BaselineConfig, TrainConfig]:
        """Config and training of a model in a stage; ``changes`` are fields of either."""
        if self.name == "paper":
            config, training = spec.config if self.width is None else spec.sized(self.width), spec.training
            config = config if self.window is None else config.replace(max_len=self.window)
            if stage == "pretrain" and isinstance(config, ModelConfig):
                training = TrainConfig.paper("pretrain")
        else:
            config = spec.sized(self.width or 64, self.window or 20, dropout=0.2)
            own = dict(d_state=16, time_dropout=0.2)
            config = config.replace(**{name: value for name, value in own.items() if hasattr(config, name)})
            training = MATCHED
            if self.name == "small":
                training = SMALL.replace(epochs=2, lr=1e-3) if stage == "pretrain" else SMALL
                config = config.replace(n_groups=1, gap_vector=True) if isinstance(config, ModelConfig) else config
        of_training = {field.name for field in fields(TrainConfig)} & changes.keys()
        of_config = {name: value for name, value in changes.items() if name not in of_training}
        if unknown := [name for name in of_config if not hasattr(config, name)]:
            raise InputError(f"{spec.name}: neither its config nor its training has {unknown[0]!r}")
        config = config.replace(**of_config | (spec.pretraining if stage == "pretrain" else {}))
        own = {name: changes[name] for name in of_training}
        return config, training.replace(**dict(stage=stage) | SCALES[self.scale] | own)


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Attributes
    ----------
    record
        Results and provenance, plain values (the names are those of the tables in ``benchmarks/results``).
    history
        A line per epoch, as ``fit`` gives it.
    ranks, ranks_filtered
        Of the test rows' targets, with the user's history kept among the candidates, and without it; empty after
        pre-training, which holds no rows out.
    """

    record: dict[str, Any]
    history: pd.DataFrame
    ranks: Int[Tensor, " R"]
    ranks_filtered: Int[Tensor, " R"]
    model: Recommender
    folder: Path


def run(
    task: Task,
    model: str = "mmm4rec",
    protocol: Protocol | None = None,
    out: Path | str | None = None,
    *,
    start: Run | Path | str | None = None,
    pretrained: bool = False,
    seed: int = 0,
    progress: bool = True,
    **changes: Any,
) -> Run:
    """Build a model, train it, rank the test rows, and keep all that; what is kept already comes back at once.

    Parameters
    ----------
    model
        A name of ``list_models()``, with ``+id`` for the form with a learned vector per item.
    protocol
        ``Protocol("small")`` by default.
    out
        The run's folder; by default one below ``runs/`` whose name hangs on everything that the run does.
    start
        A run of ``pretrain`` (or its folder) to fine-tune; None: from scratch.
    pretrained
        Pre-train on the task's sources first.
    changes
        Fields of the model's config or of ``TrainConfig``.

    Raises
    ------
    InputError
        Where data and model do not go together, and where ``out`` holds another run.

    Examples
    --------
    >>> from mmm4rec_lite.data import load_dataset
    >>> from mmm4rec_lite.features import extract, load_encoder
    >>> toy = load_dataset("data_samples/toy")
    >>> features = extract(toy, load_encoder("random"), "toy.safetensors", progress=False)
    >>> done = run(Task(toy, features), "sasrec", out="mine", epochs=2, progress=False)
    >>> len(done.history), len(done.ranks)
    (2, 80)
    """
    if why := task.lacks(model, **changes):
        raise InputError(why)
    if pretrained:
        if task.sources is None:
            raise InputError(f"{model}: these data have no source domains")
        if why := task.sources.lacks(model, **changes):
            raise InputError(f"source domains: {why}")
        first = None if out is None else Path(out, "pretraining")
        start = pretrain(task.sources, model, protocol, first, seed=seed, progress=progress, **changes)
    stage = "scratch" if start is None else "finetune"
    return _carry_out(task, model, protocol, stage, start, out, seed, progress, changes)


def pretrain(
    task: Task,
    model: str = "mmm4rec",
    protocol: Protocol | None = None,
    out: Path | str | None = None,
    *,
    seed: int = 0,
    progress: bool = True,
    **changes: Any,
) -> Run:
    """Pre-train a model on every prefix of every user, without validation; arguments as of ``run``.

    All interactions are used, as in the paper, also those later than a target domain's test interactions. What has a
    row per item and what belongs to one way of serving is left to fine-tuning.

    Parameters
    ----------
    task, model, protocol, out, seed, progress, changes : as of ``run``

    Examples
    --------
    >>> from mmm4rec_lite.data import load_dataset
    >>> from mmm4rec_lite.features import extract, load_encoder
    >>> toy = load_dataset("data_samples/toy")
    >>> features = extract(toy, load_encoder("random"), "toy.safetensors", progress=False)
    >>> source = Task(toy.select("mugs"), features)
    >>> target = Task(toy.select("lamps"), features)
    >>> first = pretrain(source, out="mugs", epochs=1, batch_size=64, progress=False)
    >>> run(target, out="lamps", start=first, epochs=1, progress=False).record["stage"]
    'finetune'
    """
    if "pretrain" not in get_model(model).stages:
        raise InputError(f"{model}: this model has no pre-training")
    if why := task.lacks(model, **changes):
        raise InputError(why)
    return _carry_out(task, model, protocol, "pretrain", None, out, seed, progress, changes)


def initial_model(
    task: Task,
    model: str = "mmm4rec",
    protocol: Protocol | None = None,
    *,
    start: Run | Path | str | None = None,
    stage: str = "scratch",
    seed: int = 0,
    **changes: Any,
) -> Recommender:
    """The model as training finds it: start values by ``seed`` or the weights of ``start``; arguments as of ``run``."""
    spec = get_model(model)
    config, _ = (protocol or Protocol()).settings(spec, stage, **changes)
    weights = None if start is None else _weights_of(start, task, spec, config)[0]
    return _initial(task, spec, config, _rows(task, stage), seed, weights).eval()


def fit_gaps(model: Recommender, rows: Split) -> None:
    """Fit the scale of a model's log-gaps on the training rows alone."""
    times = rows.sequences.times
    for part in (module for module in model.modules() if isinstance(module, TimeDifferences)):
        part.fit(times[rows.train] - times[rows.train - 1])


def save(done: Run, task: Task, **notes: Any) -> None:
    """Write a run's folder; ``notes``: what else to keep, as JSON. Frozen features are no part of it."""
    with atomic(done.folder / "history.csv") as temporary:
        done.history.to_csv(temporary, index=False)
    about = dict(model=done.record["system"], config=asdict(done.model.config), encoder=task.features.encoder)
    about |= dict(catalogue=_catalogue(task), record=done.record, **notes)
    tensors = {**done.model.state_dict(), "ranks": done.ranks, "ranks_filtered": done.ranks_filtered}
    save_tensors(done.folder / FILE, "model", tensors, **about)
    (done.folder / STATE).unlink(missing_ok=True)  # what only a killed run needs


def load_run(folder: Path | str, task: Task) -> Run:
    """Read a finished run, its model over the catalogue of ``task``.

    Parameters
    ----------
    folder : made by ``run`` or ``pretrain``
    task : gives the catalogue

    Raises
    ------
    InputError
        Where the file is missing, damaged or another version's, where the features are another encoder's, and where
        tables with a row per item belong to another catalogue.

    Examples
    --------
    >>> from mmm4rec_lite.data import load_dataset
    >>> from mmm4rec_lite.features import extract, load_encoder
    >>> toy = load_dataset("data_samples/toy")
    >>> features = extract(toy, load_encoder("random"), "toy.safetensors", progress=False)
    >>> task = Task(toy, features)
    >>> made = run(task, "sasrec", out="kept", epochs=1, progress=False)
    >>> load_run("kept", task).record == made.record
    True
    """
    file = Path(folder, FILE)
    tensors, notes = _read(folder)
    task.features.require_encoder(notes["encoder"]["fingerprint"], notes["encoder"]["name"])
    spec, values = get_model(notes["model"]), notes["config"]
    try:
        quirks = {"quirks": Quirks(**values["quirks"])} if "quirks" in values else {}
        config = type(spec.config)(**values | quirks)
    except TypeError as error:
        raise InputError(f"{file}: its config is not this library's ({error}); train again with this version") from None
    model = spec.build(config, task.catalogue)
    own, ranks = model.state_dict(), [tensors.pop(name) for name in ("ranks", "ranks_filtered")]
    if notes["catalogue"] != _catalogue(task) and any(_per_item(model, name, len(task.catalogue)) for name in own):
        raise InputError(
            f"{file}: its per-item tables belong to other items (or another order of them); "
            "give the dataset and the domain that it was trained on, or fine-tune it on this one"
        )
    if wrong := [
        k for k in sorted(own.keys() | tensors) if k not in tensors or k not in own or own[k].shape != tensors[k].shape
    ]:
        more = " ..." if len(wrong) > 3 else ""
        raise InputError(
            f"{file}: does not fit its own config: {', '.join(wrong[:3])}{more}; train again with this version"
        )
    model.load_state_dict(tensors)
    history = pd.read_csv(Path(folder, "history.csv"), float_precision="round_trip")
    return Run(notes["record"], history, *ranks, model.to(device()).eval(), Path(folder))


def kept_ranks(record: Mapping[str, Any]) -> Int[Tensor, " R"] | None:
    """The ranks of a run kept below ``runs/``, by its record; None where it is not on this machine."""
    folder = _folder(*(record[name] for name in ("stage", "dataset", "system", "run_id")))
    return _read(folder)[0]["ranks"] if (folder / FILE).is_file() else None


def _carry_out(task, model, protocol, stage, start, out, seed, progress, changes):
    spec, protocol = get_model(model), protocol or Protocol()
    config, training = protocol.settings(spec, stage, **changes)
    training = training.replace(seed=seed)
    weights, origin = (None, {}) if start is None else _weights_of(start, task, spec, config)
    known = (task.digest, model, config, training, origin.get("run_id"), str(device()))
    run_id = digest(*map(digest, known))[:12]
    folder = _folder(stage, task.dataset.name, model, run_id) if out is None else Path(out)
    if (folder / FILE).is_file():
        if _read(folder)[1]["record"]["run_id"] != run_id:
            raise InputError(
                f"{folder}: holds another run (data, settings, start or device differ); "
                "choose another folder or delete this one"
            )
        return load_run(folder, task)
    rows = _rows(task, stage)
    built = _initial(task, spec, config, rows, seed, weights)
    valid = None if stage == "pretrain" else rows.valid
    history = fit(built, rows.sequences, rows.train, training, valid, folder, progress)
    ranks = (
        [rows.test[:0]] * 2
        if stage == "pretrain"
        else [rank_model(built, rows.sequences, rows.test, filtered) for filtered in (False, True)]
    )
    record = {
        "dataset": task.dataset.name,
        "subset": task.subset,
        "split": task.split,
        "n_items": len(task.dataset.items),
        "system": model,
        "variant": "",
        "max_len": built.window,
        "missing_share": 0.0,
        "stage": stage,
        "protocol": protocol.name,
        "scale": protocol.scale,
        "seed": seed,
        "run_id": run_id,
        "changes": json.dumps(changes, default=asdict),
    }
    if stage != "pretrain":
        record |= metrics(ranks[0]) | {f"{name}_filtered": value for name, value in metrics(ranks[1]).items()}
    record |= {
        "best_epoch": int(history.loc[history["best"], "epoch"].iloc[0]),
        "epochs": len(history),
        "seconds_per_epoch": float(history["train_seconds"].median()),
        "seconds": float(history.filter(regex="^(train|valid)_seconds$").to_numpy().sum()),
        "pretraining_seconds": origin.get("seconds", 0.0),
        "n_parameters": count_parameters(built),
        "n_test_rows": len(rows.test),
        "d_model": config.d_model,
        "device": str(device()),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    done = Run(record, history, *ranks, built, folder)
    save(done, task, training=asdict(training), start=origin.get("run_id"))
    return done


def _weights_of(start, task, spec, config):
    """(weights, record) of a run to start from, once it is known to fit."""
    folder = start.folder if isinstance(start, Run) else Path(start)
    tensors, notes = _read(folder)
    task.features.require_encoder(notes["encoder"]["fingerprint"], notes["encoder"]["name"])
    free, asked, known = {*spec.pretraining, spec.ids}, asdict(config), notes["config"]
    differ = {name for name in asked.keys() | known if asked.get(name) != known.get(name)} - free
    if differ or notes["model"].removesuffix("+id") != spec.name.removesuffix("+id"):
        raise InputError(
            f"{folder}: pre-trained as another model, or with other sizes or switches than asked for here "
            f"({', '.join(sorted(differ)) or notes['model']}); use the same model, preset and changes in both stages"
        )
    return tensors, notes["record"]


def _initial(task, spec, config, rows, seed, weights):
    torch.manual_seed(seed)
    model = spec.build(config, task.catalogue)
    fit_gaps(model, rows)
    if weights is not None:
        model.transfer(weights)
    return model


def _rows(task, stage):
    return prefixes(task.dataset) if stage == "pretrain" else task.rows


def _folder(stage, dataset, system, run_id):
    return workspace("runs") / f"{stage}-{dataset}-{system}-{run_id}"


def _read(folder):
    tensors, notes = load_tensors(Path(folder, FILE), "model", AGAIN)
    if "record" not in notes:
        raise InputError(f"{Path(folder, FILE)}: made by another version; train again with this one")
    return tensors, notes


def _catalogue(task):
    return digest(list(task.dataset.items["item"]))


def _per_item(model, name, rows):
    """Whether a tensor of the model's state has a row per item."""
    tensor = model.state_dict()[name]
    table = name.startswith(model.reset_on_transfer) and tensor.dim() > 1 and len(tensor) == rows
    return table or name.startswith(model.item_specific)
