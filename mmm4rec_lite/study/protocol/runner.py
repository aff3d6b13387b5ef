"""One training run of one system under the protocol, kept, and sweeps over many: what all experiments stand on.

Protocol (the same for every system): leave-one-out by a total order; every prefix of the training part is a row, its
last step supervised, rows shuffled; the whole catalogue is ranked, padding never, ties against the target; the user's
own history is kept in the ranking, and a second set of columns takes it out; the best epoch by validation NDCG@10
(in the paper setting by the metric of the system's page).

``matched``: one width, window, optimiser, learning rate, drop-out and number of rows for all. ``paper``: sizes and
training as each system's page states them. Either at a scale: "quick" cuts epochs and rows so that a run takes
one minute, give or take a factor of three (nobody is trained to the end; compare with care), "longer" has five times
as many epochs, "full" does not cut.
"""

import hashlib
import json
import os
import platform
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property

import joblib
import pandas as pd
import torch
from tqdm.auto import tqdm

from mmm4rec_lite import data
from mmm4rec_lite.evaluation import metrics, model_scorer, rank_rows
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.base import count_parameters
from mmm4rec_lite.models.registry import get_model, missing_inputs
from mmm4rec_lite.stages import fit_gaps, split
from mmm4rec_lite.study.protocol.scale import scale
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import atomic, workspace
from mmm4rec_lite.utils.tensorfile import load_tensors, save_tensors


@dataclass(frozen=True, eq=False)
class Task:
    """What a trial runs on: a dataset and its features; ``sources`` (of the same encoder) to pre-train on.

    ``augmented_text``: features of the same items whose texts lost some words, for systems that pre-train with them.
    ``subset``: what part of the data this is, for the record: "all", or "with_images".
    """

    dataset: data.Dataset
    features: Features
    sources: "Task | None" = None
    augmented_text: Features | None = None
    subset: str = "all"

    @property
    def has(self):
        """What these data can feed: of "text", "image", "time"."""
        catalogue = self.catalogue
        found = {
            "text": catalogue.text.any(),
            "image": catalogue.has_image.any(),
            "time": not data.order_only(self.dataset),
        }
        return tuple(name for name, there in found.items() if there)

    @cached_property
    def catalogue(self):
        return self.features.catalogue(self.dataset.items["item"], self.augmented_text)

    @cached_property
    def digest(self):
        """Of everything that a trial's data hold."""
        rows = pd.util.hash_pandas_object(self.dataset.interactions, index=False).to_numpy().tobytes()
        tables = [table for table in vars(self.catalogue).values() if table is not None]
        return hashlib.sha256(b"".join([rows, *(table.numpy().tobytes() for table in tables)])).hexdigest()


@dataclass(frozen=True)
class Protocol:
    """How all systems of an experiment are trained. ``name``: "matched" or "paper" (then width and window are None)."""

    name: str = "matched"
    scale: str = "quick"
    width: int | None = 64
    window: int | None = 20

    def __post_init__(self):
        if self.name not in ("matched", "paper") or self.scale not in SCALES:
            raise InputError(
                f"setting: 'matched' or 'paper', and a scale of {', '.join(SCALES)}, not {self.name!r}, {self.scale!r}"
            )

    def of(self, system, stage, **changes):
        """(config, training) of a system in a stage, with ``changes`` of its config."""
        if self.name == "paper":
            config, training = system.config, system.training
        else:
            config = system.sized(self.width, self.window, dropout=0.2)
            if hasattr(config, "d_state"):
                config = config.replace(d_state=16)
            if hasattr(config, "time_dropout"):
                config = config.replace(time_dropout=0.2)
            training = MATCHED
        config = config.replace(**{**changes, **(system.pretraining if stage == "pretrain" else {})})
        return config, training.replace(stage=stage, **SCALES[self.scale])


MATCHED = TrainConfig(optimizer="nadam", epochs=100, batch_size=256, lr=2e-3, weight_decay=0.0, patience=10)
BACKENDS = ("loky", "threading", "ray", "dask")
SCALES = {
    "quick": dict(epochs=6, rows_per_epoch=7_680, patience=3),
    "longer": dict(epochs=30, rows_per_epoch=7_680, patience=10),
    "full": {},
}


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: ``line`` (results and provenance), ``history``, ranks [R] of the test rows with the history
    kept and removed, and the trained ``model``."""

    line: dict
    history: pd.DataFrame
    ranks: torch.Tensor
    removed: torch.Tensor
    model: torch.nn.Module


def refused(task, name, changes):
    """Why the data cannot feed a system with these changes of its config, in one line; "" where they can."""
    without = ("time",) if changes.get("time") is False else ()
    return missing_inputs(get_model(name), (*task.has, *without))


def trial(task, name, seed=0, setting=None, pretrained=False, progress=False, **changes):
    """One system trained and ranked; the kept result when it was asked for before, and going on after a kill.

    ``pretrained``: first on the task's sources. ``changes``: of the system's config (an ablation).
    """
    system, setting = get_model(name), setting or Protocol(scale=scale())
    if why := refused(task, name, changes):
        raise InputError(why)
    if pretrained and (task.sources is None or "pretrain" not in system.stages):
        raise InputError(
            f"{name}: "
            + ("these data have no source domains" if task.sources is None else "this system has no pre-training")
        )
    if pretrained and (why := refused(task.sources, name, changes)):
        raise InputError(f"source domains: {why}")
    config, training = setting.of(system, "finetune" if pretrained else "scratch", **changes)
    first = setting.of(system, "pretrain", **changes) if pretrained else None
    about = {"protocol": setting.name, "scale": setting.scale, "changes": json.dumps(changes)}
    return run(task, name, config, training.replace(seed=seed), first, about, progress)


def run(task, name, config, training, first=None, about=None, progress=False):
    """The run behind ``trial``: a system of ``config`` trained by ``training``, kept, whatever the data.

    ``first``: (config, training) of pre-training on the task's sources. ``about``: what else its line tells.
    """
    system = get_model(name)
    known = [task.digest, name, asdict(config), asdict(training), str(device())]
    if first:
        known += [task.sources.digest, asdict(first[0]), asdict(first[1])]
    digest = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]
    folder = _folder(task.dataset.name, name, digest)
    torch.manual_seed(training.seed)
    model = system.build(config, task.catalogue)
    rows = split(task.dataset)
    fit_gaps(model, rows)
    done = folder / "trial.safetensors"
    if done.is_file():
        tensors, notes = load_tensors(done, "trial", "delete it")
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        history = pd.read_csv(folder / "history.csv")
        return Run(notes["line"], history, tensors["ranks"], tensors["removed"], model.eval())
    began = time.perf_counter()
    if first:
        model.transfer(_pretrained(task.sources, system, first, training.seed, folder, progress))
    spent = time.perf_counter() - began
    history = fit(model, rows.sequences, rows.train, training, rows.valid, folder, progress)
    ranked = [
        rank_rows(
            model_scorer(model), rows.sequences, rows.test, model.window, seen, target_time=model.leaks_target_time
        )
        for seen in (False, True)
    ]
    best = history[history["best"]].iloc[0]
    line = {
        "dataset": task.dataset.name,
        "subset": task.subset,
        "n_items": len(task.dataset.items),
        "system": name,
        "variant": "",
        "max_len": model.window,
        "missing_share": 0.0,
        "stage": training.stage,
        "seed": training.seed,
        **(about or {}),
        **metrics(ranked[0]),
        **{f"{key}_filtered": value for key, value in metrics(ranked[1]).items()},
        "best_epoch": int(best["epoch"]),
        "epochs": len(history),
        "seconds_per_epoch": history["train_seconds"].median(),
        "seconds": history[["train_seconds", "valid_seconds"]].to_numpy().sum(),
        "pretraining_seconds": spent,
        "n_parameters": count_parameters(model),
        "n_test_rows": len(rows.test),
        "d_model": config.d_model,
        "device": str(device()),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "run_id": digest,
    }
    with atomic(folder / "history.csv") as temporary:
        history.to_csv(temporary, index=False)
    weights = {f"model.{k}": v.cpu() for k, v in model.state_dict().items()}
    save_tensors(done, "trial", {**weights, "ranks": ranked[0], "removed": ranked[1]}, line=line)
    (folder / "training.safetensors").unlink(missing_ok=True)  # what only a killed run needs
    shutil.rmtree(folder / "pretraining", ignore_errors=True)
    return Run(line, history, *ranked, model)


def ranks(line):
    """Ranks [R] of the test rows, history kept, of a run that a frame has as ``line``; None where it is not kept here.

    A cluster's machines keep their own runs.
    """
    done = _folder(line["dataset"], line["system"], line["run_id"]) / "trial.safetensors"
    return load_tensors(done, "trial", "delete it")[0]["ranks"] if done.is_file() else None


def _folder(dataset, name, digest):
    return workspace("runs", "bench", f"{dataset}-{name}-{digest}")


def _pretrained(sources, system, settings, seed, folder, progress):
    """Weights after pre-training on ``sources``; kept inside the trial's folder until that is done."""
    config, training = settings
    torch.manual_seed(seed)
    model = system.build(config, sources.catalogue)
    rows = data.prefixes(sources.dataset)
    fit_gaps(model, rows)
    fit(model, rows.sequences, rows.train, training.replace(seed=seed), None, folder / "pretraining", progress)
    return model.state_dict()


def sweep(task, wanted, seeds=(0, 1, 2), setting=None, backend=None, jobs=None, reads=None):
    """Lines of many trials as a frame: ``wanted`` is a list of (system, variant, arguments of ``trial``).

    ``reads``: what to take from each ``Run``, a list of records (its ``line`` by default; in other processes, so a
    function of a module). Runs through joblib: on this machine by default, one thread per run; ``backend`` names a
    Ray or Dask cluster. What is already there is read, so a killed sweep goes on. A system that the data cannot feed
    gives no line; it stands, with the reason, in the frame's ``attrs["left_out"]``
    under (system, variant).
    """
    setting = setting or Protocol(scale=scale())
    left = {(name, variant): why for name, variant, more in wanted if (why := refused(task, name, more))}
    tasks = [(*form, seed, more) for seed in seeds for *form, more in wanted if tuple(form) not in left]
    jobs = jobs or (1 if device().type == "cuda" else os.cpu_count())
    if backend is not None:
        _cluster(backend)
    with joblib.parallel_config(backend=backend or "loky", **({} if backend else {"inner_max_num_threads": 1})):
        returned = "list" if backend == "ray" else "generator"  # Ray hands all over at the end
        runs = joblib.Parallel(n_jobs=jobs, return_as=returned)(
            joblib.delayed(_read)(task, name, variant, seed, setting, more, reads or _line)
            for name, variant, seed, more in tasks
        )
        bar = tqdm(runs, total=len(tasks), desc=task.dataset.name, leave=False)
        lines = [line for run in bar for line in run]
    frame = pd.DataFrame(lines)
    frame.attrs["left_out"] = left
    return frame


def _cluster(backend):
    """Make a Ray or Dask cluster known to joblib: that of $RAY_ADDRESS or $DASK_SCHEDULER_ADDRESS, else a local one."""
    if backend not in BACKENDS:
        raise InputError(f"backend: {backend!r} is not known; one of {', '.join(BACKENDS)}")
    try:
        if backend == "ray":
            from ray.util.joblib import register_ray

            register_ray()
        if backend == "dask":
            from dask.distributed import Client

            Client(set_as_default=True)
    except ImportError:
        package = {"ray": "ray", "dask": "'dask[distributed]'"}[backend]
        raise InputError(f"backend: {backend} is not installed; pip install {package}, or leave it out") from None


def _line(run):
    return [run.line]


def _read(task, name, variant, seed, setting, more, reads):
    return [{**line, "variant": variant} for line in reads(trial(task, name, seed, setting, **more))]
