"""One way to build, train, rank, save and load any model.

A ``Task`` is what a model is trained for, a ``Protocol`` how models are sized and trained, a ``Run`` what comes of it.
The folder of a finished run holds ``model.safetensors`` (weights, config, where they come from, record, ranks) and
``history.csv``; that of a killed one ``training.safetensors``, from which the same call goes on.
"""

import json
import platform
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mmm4rec_lite.data import Dataset, Split, global_time, leave_one_out, order_only, prefixes
from mmm4rec_lite.data.dataset import category_table
from mmm4rec_lite.evaluation import metrics, rank_model
from mmm4rec_lite.features import Features
from mmm4rec_lite.kept import FILE, VERSION, NotTrained, read_history, read_run
from mmm4rec_lite.models.base import Catalogue, Recommender, count_parameters
from mmm4rec_lite.models.blocks import TimeDifferences
from mmm4rec_lite.models.config import BaselineConfig, ModelConfig, Quirks, TrainConfig
from mmm4rec_lite.models.protocol import Protocol
from mmm4rec_lite.models.registry import get_model, missing_inputs
from mmm4rec_lite.training import STATE, fit
from mmm4rec_lite.utils import processes
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.files import atomic, lock, sweep, workspace
from mmm4rec_lite.utils.tensorfile import Allocating, save_tensors
from mmm4rec_lite.utils.typing import Int, Tensor

SPLITS = {"leave_one_out": leave_one_out, "global_time": global_time}


@dataclass(frozen=True, eq=False)
class Task:
    """What a model is trained for: a dataset, its items' features, and a split into rows to train, select and test on.

    Parameters
    ----------
    dataset, features : every item of the dataset has a row in the features
    sources : what to pre-train on, by the same encoder
    augmented_text : features of the same items whose texts lost some words; UniSRec and MISSRec pre-train with them
    split : "leave_one_out" or "global_time"
    subset : what part of the data this is, for the record: "all", or "with_images"

    Examples
    --------
    >>> import mmm4rec_lite as m4r
    >>> toy = m4r.load_dataset("data_samples/toy")
    >>> Task(toy, m4r.extract(toy, m4r.load_encoder("random"), "toy.safetensors", progress=False)).inputs
    ('text', 'image', 'time', 'category')
    """

    dataset: Dataset
    features: Features
    sources: "Task | None" = None
    augmented_text: Features | None = None
    split: str = "leave_one_out"
    subset: str = "all"

    def __post_init__(self) -> None:
        refuse(self.split not in SPLITS, f"split: {self.split!r} is not known; one of {', '.join(SPLITS)}")
        timeless = self.split == "global_time" and order_only(self.dataset)
        refuse(timeless, f"{self.dataset.name} has no times, only an order; split it by leave_one_out")

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """What these data can feed: of "text", "image", "time", "category"."""
        has = dict(text=self.catalogue.text.any(), image=self.catalogue.has_image.any())
        timed, known = not order_only(self.dataset), self.catalogue.categories is not None
        return tuple(name for name, there in {**has, "time": timed, "category": known}.items() if there)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The items' features and categories in the dataset's order, row 0 for padding."""
        features = self.features.catalogue(self.dataset.items["item"], self.augmented_text)
        return replace(features, categories=category_table(self.dataset.items))

    @cached_property
    def rows(self) -> Split:
        """The rows to train, select and test on."""
        return SPLITS[self.split](self.dataset)

    @cached_property
    def digest(self) -> str:
        """Of everything here that a run depends on, the sources and what few models read apart."""
        rows = pd.util.hash_pandas_object(self.dataset.interactions, index=False).to_numpy().tobytes()
        tables = [table for name, table in vars(self.catalogue).items() if table is not None and name != "categories"]
        return digest(rows, list(self.dataset.items["item"]), self.split, *tables)

    def lacks(self, model: str, zeros: bool = False, **changes: Any) -> str:
        """What a model with these changes of its config reads and these data do not have, in one line; "" if nothing.

        ``zeros``: they stand for texts and images, where the model can do without; a comparison leaves it out.
        """
        without = ("time",) if changes.get("time") is False else ()
        return missing_inputs(get_model(model), (*self.inputs, *without), zeros)


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: record (results and provenance, plain values), history (as ``fit`` gives it), model, folder.

    ``ranks``: of the test rows' targets, with the user's history among the candidates; ``ranks_filtered``: without it.
    Both are empty after pre-training, which holds no rows out.
    """

    record: dict[str, Any]
    history: pd.DataFrame
    ranks: Int[Tensor, " R"]
    ranks_filtered: Int[Tensor, " R"]
    model: Recommender
    folder: Path

    def saw(self, task: Task) -> bool:
        """Whether it was trained on a domain of these data; if not, to rank them without training is zero-shot."""
        own = set(task.dataset.domains)
        return bool(own & set(read_run(self.folder)[1].get("domains", own)))


def run(
    task: Task,
    model: str = "mmm4rec",
    protocol: Protocol | None = None,
    out: Path | str | None = None,
    *,
    stage: str | None = None,
    start: Run | Path | str | None = None,
    pretrained: bool = False,
    seed: int = 0,
    progress: bool = True,
    train: bool = True,
    **changes: Any,
) -> Run:
    """Build a model, train it, rank the test rows, and keep all that; what is kept already comes back at once.

    Parameters
    ----------
    model : a name of ``list_models()``, with ``+id`` for the form with a learned vector per item
    protocol : ``Protocol("small")`` by default
    out : the run's folder; by default one below ``runs/`` whose name depends on everything that the run depends on
    stage : "pretrain" as ``pretrain`` does; by default "finetune" where there is a start, else "scratch"
    start : a run of ``pretrain``, or its folder, to fine-tune
    pretrained : pre-train first, on the task's sources (S3-Rec: on its own training part)
    train : False raises NotTrained where nothing is kept
    changes : fields of the model's config or of ``TrainConfig``

    Returns
    -------
    The run, its model in evaluation mode as it was in its best epoch on the validation rows.

    Raises
    ------
    InputError : where data and model do not go together, and where ``out`` holds another run

    Examples
    --------
    >>> import mmm4rec_lite as m4r
    >>> toy = m4r.load_dataset("data_samples/toy")
    >>> task = m4r.Task(toy, m4r.extract(toy, m4r.load_encoder("random"), "features.safetensors", progress=False))
    >>> done = m4r.run(task, "sasrec", epochs=1, progress=False)
    >>> done.record["system"], done.record["n_test_rows"]
    ('sasrec', 80)
    """
    spec, protocol = get_model(model), protocol or Protocol()
    if task.augmented_text is not None and not spec.augments:  # what a model does not read makes no other run
        task = replace(task, augmented_text=None)
    stage = stage or ("finetune" if pretrained or start is not None else "scratch")
    refuse(stage not in spec.stages, f"{model}: this model has no pre-training")
    if lacks := task.lacks(model, zeros=True, **changes):
        blind = "time" in spec.reads and "time" not in task.inputs and hasattr(spec.config, "time")
        raise InputError(f"{task.dataset.name}: {lacks}; {'train with time=False, or ' * blind}take another model")
    if pretrained:
        sources = task if spec.own_domain else task.sources
        if sources is None:
            raise InputError(f"{model}: these data have no source domains")
        first = None if out is None else Path(out, "pretraining")
        start = pretrain(sources, model, protocol, first, seed=seed, progress=progress, train=train, **changes)
    config, training = protocol.settings(spec, stage, **changes)
    training = training.replace(seed=seed)
    weights, origin = (None, {}) if start is None else _weights_of(start, task, spec, config)
    more = [task.catalogue.categories] if "category" in spec.reads else []
    known = (task.digest, model, config, training, origin.get("run_id"), device().type, *more)
    run_id = digest(*map(digest, known))[:12]
    folder = _folder(stage, task.dataset.name, model, run_id) if out is None else Path(out)
    tables = [getattr(task.catalogue, name)[1:] for name in ("text", "image") if name in spec.reads]
    if tables and "id" not in spec.reads and not any((table.amax(0) != table.amin(0)).any() for table in tables):
        print(f"note: all items have the same features, such as zeros; {model} learns nothing of them", file=sys.stderr)
    if (folder / FILE).is_file():
        return _kept(folder, run_id, task)
    if not train:
        raise NotTrained(f"{folder}: not trained yet")
    built, rows = _initial(task, spec, config, stage, seed, weights)
    with lock(folder, "training", run_id) if processes.rank() == 0 else nullcontext():
        processes.wait()
        if (folder / FILE).is_file():  # another process has made it meanwhile
            return _kept(folder, run_id, task)
        valid = None if stage == "pretrain" else rows.valid
        history = fit(built, rows.sequences, rows.train, training, valid, folder, progress)
        ranks = filtered = rows.test  # none after pre-training
        if stage != "pretrain":
            ranks, filtered = (
                rank_model(built, rows.sequences, rows.test, without, training.precision) for without in (False, True)
            )
        record = dict(dataset=task.dataset.name, subset=task.subset, split=task.split, n_items=len(task.dataset.items))
        record |= dict(system=model, variant="", max_len=built.window, missing_share=0.0, stage=stage)
        record |= dict(protocol=protocol.name, scale=protocol.scale, seed=seed, run_id=run_id)
        record |= dict(changes=json.dumps(changes, default=asdict), date=f"{datetime.now(UTC):%Y-%m-%d}")
        for suffix, found in zip(("", "_filtered"), (ranks, filtered)):
            record |= {f"{name}{suffix}": value for name, value in metrics(found).items()} if len(found) else {}
        spent = history.filter(regex="^(train|valid)_seconds$").to_numpy().sum()
        record |= dict(best_epoch=int(history.loc[history["best"], "epoch"].iloc[0]), epochs=len(history))
        record |= dict(seconds_per_epoch=float(history["train_seconds"].median()), seconds=float(spent))
        record |= dict(sources=origin.get("dataset", ""), pretraining_seconds=origin.get("seconds", 0.0))
        record |= dict(n_parameters=count_parameters(built))
        record |= dict(n_test_rows=len(rows.test), d_model=config.d_model, device=str(device()))
        record |= dict(threads=torch.get_num_threads(), machine=platform.machine(), torch=torch.__version__)
        done = Run(record, history, ranks, filtered, built, folder)
        if processes.rank() == 0:
            save(done, task, training=asdict(training), start=origin.get("run_id"), data=task.digest, library=VERSION)
        processes.wait()
    return done


def _kept(folder, run_id, task):
    """The run that a folder holds, once it is known to be the one that is asked for."""
    sweep(folder.parent)
    told = "holds another run (data, settings, start or device differ); choose another folder or delete this one"
    refuse(read_run(folder)[1]["record"].get("run_id") != run_id, f"{folder}: {told}")
    (folder / STATE).unlink(missing_ok=True)  # of a kill when all was done
    return load_run(folder, task)


def pretrain(
    task: Task, model: str = "mmm4rec", protocol: Protocol | None = None, out: Path | str | None = None, **more: Any
) -> Run:
    """Pre-train a model on every prefix of every user, without validation; ``more``: what ``run`` takes besides.

    All interactions are used, as in the paper, also those later than a target domain's test interactions. What has a
    row per item and what belongs to one way of serving is left to fine-tuning. S3-Rec alone pre-trains on
    the training part of its own domain, and keeps all weights for fine-tuning there.

    Parameters
    ----------
    task, model, protocol, out, seed, progress, changes : as of ``run``

    Examples
    --------
    >>> first = pretrain(task, out="first", epochs=1, batch_size=64, progress=False)
    >>> run(task, out="second", start=first, epochs=1, progress=False).record["stage"]
    'finetune'
    """
    return run(task, model, protocol, out, stage="pretrain", **more)


def initial_model(
    task: Task,
    model: str = "mmm4rec",
    protocol: Protocol | None = None,
    *,
    stage: str = "scratch",
    start: Run | Path | str | None = None,
    seed: int = 0,
    **changes: Any,
) -> Recommender:
    """The model as training finds it: start values by ``seed``, or the weights of ``start``; the rest as of ``run``."""
    spec = get_model(model)
    config, _ = (protocol or Protocol()).settings(spec, stage, **changes)
    weights = None if start is None else _weights_of(start, task, spec, config)[0]
    return _initial(task, spec, config, stage, seed, weights)[0].eval()


def as_changes(*settings: ModelConfig | BaselineConfig | TrainConfig) -> dict[str, Any]:
    """Whole configs as changes of ``run``, which decides itself what stage it is in."""
    return {name: value for one in settings for name, value in vars(one).items() if name != "stage"}


def fit_gaps(model: Recommender, rows: Split) -> None:
    """Fit the scale of a model's log-gaps on the training rows alone."""
    for part in (module for module in model.modules() if isinstance(module, TimeDifferences)):
        part.fit(rows.sequences.times[rows.train] - rows.sequences.times[rows.train - 1])


def save(done: Run, task: Task, **notes: Any) -> None:
    """Write a run's folder; ``notes``: what else to keep, as JSON. Frozen features are no part of it."""
    with atomic(done.folder / "history.csv") as temporary:
        done.history.to_csv(temporary, index=False)
    about = dict(model=done.record["system"], config=asdict(done.model.config), encoder=task.features.encoder)
    about |= dict(catalogue=_catalogue(task), domains=task.dataset.domains, record=done.record, **notes)
    tensors = {**done.model.state_dict(), "ranks": done.ranks, "ranks_filtered": done.ranks_filtered}
    save_tensors(done.folder / FILE, "model", tensors, **about)
    (done.folder / STATE).unlink(missing_ok=True)  # what only a killed run needs


def load_run(folder: Path | str, task: Task) -> Run:
    """Read a finished run, its model over the catalogue of a task; InputError for damaged and other versions' files.

    Parameters
    ----------
    folder : made by ``run`` or ``pretrain``
    task : as it was made for, or another of the same encoder where the model has no table with a row per item

    Returns
    -------
    The run, as ``run`` gave it.

    Examples
    --------
    >>> done = run(task, "sasrec_t", out="mine", epochs=1, progress=False)
    >>> load_run("mine", task).record == done.record
    True
    """
    file, (tensors, notes) = Path(folder, FILE), read_run(folder)
    task.features.require_encoder(notes["encoder"]["fingerprint"], notes["encoder"]["name"])
    spec, values = get_model(notes["model"]), notes["config"]
    try:
        quirks = {"quirks": Quirks(**values["quirks"])} if "quirks" in values else {}
        config = type(spec.config)(**values | quirks)
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: no config of this library ({first_line(error)}); train again with it") from None
    ranks, filtered = (tensors.pop(name) for name in ("ranks", "ranks_filtered"))
    known = sum(v.numel() for v in (*tensors.values(), task.catalogue.text, task.catalogue.image))
    told = f"{file}: its config is of a larger model than its weights; train again"
    large = any(isinstance(value, int) and value > known + 2**20 for value in values.values())
    refuse(large or values.get("n_layers", 0) > len(tensors), told)
    with Allocating(4 * known + 2**24, told):
        model = spec.build(config, task.catalogue)
    own, n_rows = model.state_dict(), len(task.catalogue)
    fresh = {k for k, v in own.items() if v.dim() > 1 and len(v) == n_rows and k.startswith(model.reset_on_transfer)}
    tables = fresh | {k for k in own if k.startswith(model.item_specific)}  # with a row per item
    if tables and notes["catalogue"] != _catalogue(task):
        told = "its per-item tables belong to other items (or another order of them)"
        raise InputError(f"{file}: {told}; give the data and domain that it was trained on, or fine-tune it here")
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in (own, tensors)]
    if wrong := sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()}):
        names = ", ".join(wrong[:3]) + (" ..." if len(wrong) > 3 else "")
        raise InputError(f"{file}: does not fit its own config: {names}; train again with this version")
    model.load_state_dict(tensors)
    return Run(notes["record"], read_history(folder), ranks, filtered, model.to(device()).eval(), Path(folder))


def kept_ranks(record: Mapping[str, Any]) -> Int[Tensor, " R"] | None:
    """The ranks of a run kept below ``runs/``, by its record; None where it is not on this machine."""
    folder = _folder(*(record[name] for name in ("stage", "dataset", "system", "run_id")))
    return read_run(folder)[0]["ranks"] if (folder / FILE).is_file() else None


def read_ranks(folder: Path | str, filtered: bool = False) -> tuple[dict[str, Any], Int[Tensor, " R"]]:
    """(what a run's test rows are of, their ranks), from its folder alone."""
    tensors, notes = read_run(folder)
    about = {name: notes["record"].get(name) for name in ("dataset", "subset", "split", "n_test_rows")}
    return about | {"items": notes["catalogue"]}, tensors["ranks_filtered" if filtered else "ranks"]


def _weights_of(start, task, spec, config):
    """(weights, record) of a run to start from, once it is known to fit."""
    folder = start.folder if isinstance(start, Run) else Path(start)
    tensors, notes = read_run(folder)
    task.features.require_encoder(notes["encoder"]["fingerprint"], notes["encoder"]["name"])
    if spec.own_domain and (notes["catalogue"], notes["record"].get("split")) != (_catalogue(task), task.split):
        raise InputError(f"{folder}: pre-trained on others; {spec.name} goes on on the same items and split")
    free, asked, known = {*spec.pretraining, spec.ids}, asdict(config), notes["config"]
    differ = {name for name in asked.keys() | known if asked.get(name) != known.get(name)} - free
    if differ or notes["model"].removesuffix("+id") != spec.name.removesuffix("+id"):
        told = f"other sizes or switches than asked for here ({', '.join(sorted(differ)) or notes['model']})"
        raise InputError(f"{folder}: pre-trained as another model, or with {told}; take the same in both stages")
    return tensors, notes["record"]


def _initial(task, spec, config, stage, seed, weights):
    """(model, rows) as training finds them."""
    torch.manual_seed(seed)
    model, rows = spec.build(config, task.catalogue), task.rows
    if stage == "pretrain":  # nothing is held out, though only what is not may be seen
        none = rows.test[:0]
        rows = replace(rows, valid=none, test=none) if spec.own_domain else prefixes(task.dataset)
    fit_gaps(model, rows)
    if weights is not None and spec.own_domain:
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
    elif weights is not None:
        model.transfer(weights)
    return model, rows


def _folder(stage, dataset, system, run_id):
    return workspace() / "runs" / f"{stage}-{dataset}-{system}-{run_id}"


def _catalogue(task):
    return digest(list(task.dataset.items["item"]))
