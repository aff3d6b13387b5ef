"""One loop for both stages: seeded, early stopping, resumable after a kill, with a history to plot.

Several processes each compute a share of every batch and add their gradients: the steps are those of one process.
"""

import math
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.optim import Adam, AdamW, NAdam
from tqdm.auto import tqdm

from mmm4rec_lite.data import Sequences, batch, epoch
from mmm4rec_lite.data.batches import batch_of_sequences, whole_sequences
from mmm4rec_lite.evaluation import metrics, rank_model
from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.config import TrainConfig
from mmm4rec_lite.models.fast import fast_denormals, kept_memory
from mmm4rec_lite.utils import processes
from mmm4rec_lite.utils.capture import CapturedStep
from mmm4rec_lite.utils.devices import autocast, fabric
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.files import inside, lock
from mmm4rec_lite.utils.tensorfile import finite, load_tensors, save_tensors
from mmm4rec_lite.utils.typing import Int, Tensor

STATE = "training.safetensors"  # what a killed run needs, in its folder
FORM = {"identity": str, "history": list, "random": (torch.uint8, 1)}
AGAIN = "delete it to train anew"
GAP_VECTOR_LR = 5  # gap and request vectors start at zero and learn this much faster than the rest
TIME_BRANCH = (".step.", ".enhance.", ".filter.")
OPTIMIZERS = {"nadam": NAdam, "adam": Adam, "adamw": AdamW}


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """The optimiser's groups, without what is frozen.

    No decay for norms, biases, A (a matrix in Mamba-1), D, the time branch and the gap vectors, unless ``decay_all``.
    What is small and many steps together (``foreach``), which large tensors on a CPU are the slower for.
    """
    decayed, free, gaps = [], [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if name.startswith(("gap_", "request_")):
            gaps.append(p)
        elif config.decay_all or (p.dim() > 1 and not any(part in name for part in (*TIME_BRANCH, "A_log"))):
            decayed.append(p)
        else:
            free.append(p)
    groups = [dict(params=decayed, weight_decay=config.weight_decay), dict(params=free, weight_decay=0.0, foreach=True)]
    decay = config.weight_decay if config.decay_all else 0.0
    groups.append(dict(params=gaps, weight_decay=decay, lr=config.lr * GAP_VECTOR_LR, foreach=True))
    return [g for g in groups if g["params"]]


def fit(
    model: Recommender,
    sequences: Sequences,
    rows: Int[Tensor, " R"],
    config: TrainConfig,
    valid: Int[Tensor, " V"] | None = None,
    folder: Path | str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train ``model`` in place on the targets at ``rows``; returns the history.

    ``valid``: rows to select the best epoch by ``config.metric`` and to stop early; None trains all epochs and keeps
    the last; epochs that only prepare the model (``Recommender.preparatory_epochs``) neither count nor are selected.
    ``folder``: where weights, optimiser and history go after each epoch; the same call after a kill goes on
    from there and ends as if it had never stopped, and after the end it returns at once. History, a line per epoch:
    epoch, loss, [loss_TERM for each of several terms], [metrics], train_seconds, valid_seconds, best (is it kept).
    """
    refuse(len(rows) == 0, "training: no rows; no user has two interactions or more in the training part")
    refuse(valid is not None and len(valid) == 0, "training: no validation rows; pass valid=None to train without")
    places = () if folder is None else (Path(folder), *Path(folder).parents)
    if files := [place for place in places if place.is_file()]:
        raise InputError(f"{files[0]}: a file, where a run folder should go; choose another place")
    accelerator = fabric()
    share, several = min(len(rows), config.batch_size), processes.count()
    refuse(share < several, f"training: {several} processes share batches of {share} rows; use fewer")
    model.to(accelerator.device)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(model.frozen(config.stage)))
    run = _Run(model, sequences, rows, valid, config, folder)
    feed = _Feed(model, sequences, rows, config, accelerator.device)
    told = "the processes differ in data, settings or start weights; seed each alike before it builds"
    refuse(not processes.alike(run.identity), f"training: {told}")
    torch.manual_seed(config.seed)
    groups, on_gpu = parameter_groups(model, config), accelerator.device.type == "cuda"
    recorded = config.captured and on_gpu
    more = dict(capturable=True) if recorded else {}
    optimizer = OPTIMIZERS[config.optimizer](groups, lr=config.lr, foreach=on_gpu, **more)
    step = CapturedStep(lambda one: model.losses(one, config.stage), optimizer) if recorded else None
    writes = folder is not None and processes.rank() == 0  # for all
    with lock(folder or "", "training", run.identity) if writes else nullcontext(), run.left_well():
        run.resume(optimizer)
        while not run.finished:
            began = time.perf_counter()
            with fast_denormals(), kept_memory():
                losses = _one_epoch(model, optimizer, accelerator, feed, config, run.epoch, progress, step)
            line = {"epoch": run.epoch + 1, **losses, "train_seconds": time.perf_counter() - began}
            if valid is not None:
                began = time.perf_counter()
                line |= metrics(rank_model(model, sequences, valid, precision=config.precision))
                line["valid_seconds"] = time.perf_counter() - began
            run.record(processes.agree(line), optimizer)
    return run.finish()


def _one_epoch(model, optimizer, accelerator, feed, config, number, progress, step=None):
    with torch.no_grad(), processes.draws_alike(config.seed, number):
        model.begin_epoch(number, config.stage)
    model.train()
    if step is not None:
        step.renew()
    chunks = list(epoch(feed.rows, config.batch_size, config.seed, number))
    if config.rows_per_epoch is not None:
        chunks = chunks[: math.ceil(config.rows_per_epoch / config.batch_size)]
    least = max(2 if config.stage == "pretrain" else 1, processes.count())  # one row alone has no negatives
    chunks = [chunk for chunk in chunks if len(chunk) >= least]
    totals: dict[str, Any] = {}
    bar = tqdm(chunks, desc=f"epoch {number + 1}", leave=False, disable=not progress or processes.rank() > 0)
    for i, chunk in enumerate(bar):
        own = chunk[processes.rank() :: processes.count()]
        taken = step is not None and len(own) == config.batch_size
        with feed.admitted(model, own) as one, autocast(config.precision):
            one = one.to(accelerator.device)
            terms = step(one) if taken else model.losses(one, config.stage)
        loss = sum(terms.values())
        each = {f"loss_{name}": term for name, term in terms.items()} if len(terms) > 1 else {}
        for name, value in {"loss": loss, **each}.items():  # added up on the device, which nobody waits for
            totals[name] = totals.get(name, 0) + value.detach().double() * feed.targets(own)
        if processes.count() == 1 and (i % 16 == 0 or loss.device.type == "cpu"):
            _watch(model, optimizer, totals, number, i, config, thorough=i % 16 == 0)
        if not taken:
            share, start = feed.targets(own) / feed.targets(chunk), i - i % config.accumulate
            accelerator.backward(loss * share / min(config.accumulate, len(chunks) - start))
            if (i + 1) % config.accumulate == 0 or i + 1 == len(chunks):
                processes.add_gradients(model)
                if config.clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                optimizer.step()
                optimizer.zero_grad()
        if i % 16 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    sums = processes.total(torch.stack(list(totals.values())))
    _watch(model, optimizer, dict(zip(totals, sums)), number, len(chunks), config)
    return {name: value / sum(map(feed.targets, chunks)) for name, value in zip(totals, sums.tolist())}


def _watch(model, optimizer, totals, number, steps, config, thorough=True):
    """InputError with what is not finite after ``steps`` of an epoch, weights first: they make losses so.

    Sums keep what once was not finite; ``thorough``: look at the weights, too, where the losses are finite.
    """
    lost = [name for name, value in totals.items() if not value.isfinite()]
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad] if lost or thorough else []
    named = [(name, p) for name, p in trained if not finite(p.detach())]
    if named or lost:
        name, parameter = named[0] if named else (lost[-1].removeprefix("loss_"), None)
        state = [v for v in optimizer.state.get(parameter, {}).values() if isinstance(v, Tensor)]
        what = "the loss" if name == "loss" else f"the term {name} of the loss" if parameter is None else name
        why = (
            "" if parameter is None else ", its gradient first" if not all(map(finite, state)) else ", by its last step"
        )
        where = f"in epoch {number + 1}, step {steps}{why}"
        raise InputError(f"training: {what} is not finite {where}; lower lr ({config.lr}). The epochs before are kept")


class _Feed:
    """What epochs are cut from: rows, or whole sequences where all their positions are supervised."""

    def __init__(self, model, sequences, rows, config, device):
        self.device = device if config.supervise == "last_position" else torch.device("cpu")
        flat = {name: getattr(sequences, name).to(self.device) for name in ("items", "times", "first")}
        sequences = replace(sequences, **flat)  # so that batches are cut where they are read
        known = (sequences.items >= 1) & (sequences.items < (model.rows or 2**62))
        refuse(not known.all(), "items: ids must be those of the catalogue's rows, from 1 on")
        self.sequences, self.rows, self.window, self.told = sequences, rows, model.window, model.leaks_target_time
        self.counts = None
        if config.supervise == "all_positions":
            why = model.not_causal or ("pre-training contrasts rows" if config.stage == "pretrain" else "")
            refuse(bool(why), f"training: all_positions is not for this model: {why}")
            self.ends, self.counts = whole_sequences(sequences, rows, model.window)
            self.rows = torch.arange(len(self.ends))

    def batch(self, rows):
        if self.counts is None:
            return batch(self.sequences, rows.to(self.device), self.window, self.told)
        return batch_of_sequences(self.sequences, self.ends[rows], self.counts[rows], self.window)

    @contextmanager
    def admitted(self, model, rows):
        """A batch, checked where it is cut; a device's own is not waited for: all of it was looked at before."""
        cut = self.batch(rows)
        if self.device.type == "cpu":
            with model.admitted(cut) as one:
                yield one
            return
        model.admits = True
        try:
            yield cut
        finally:
            model.admits = False

    def targets(self, rows):
        """How many there are in these rows."""
        return len(rows) if self.counts is None else int(self.counts[rows].sum())


class _Run:
    """What survives a kill: weights, best weights, optimiser, random state and history."""

    def __init__(self, model, sequences, rows, valid, config, folder):
        self.model, self.config, self.selects = model, config, valid is not None
        self.folder = None if folder is None else Path(folder)
        self.lines, self.best, self.first = [], _copy(model), model.preparatory_epochs(config.stage)
        tensors = [sequences.items, sequences.times, sequences.first, rows, *([valid] if self.selects else [])]
        tensors += [*dict(model.named_buffers()).values(), *model.state_dict().values()]
        shapes = [list(tensor.shape) for tensor in tensors]
        self.identity = digest([model.config, config, self.selects, shapes], *tensors)

    @property
    def epoch(self):
        return len(self.lines)

    @property
    def best_line(self):
        """Index of the first best epoch behind those that prepare; without validation, and in those, the latest."""
        scores = [line[self.config.metric] for line in self.lines] if self.selects else range(self.epoch)
        return max(range(min(self.first, self.epoch - 1), self.epoch), key=lambda i: (scores[i], -i))

    @property
    def finished(self):
        waited = self.epoch and self.selects and self.epoch - 1 - self.best_line >= self.config.patience
        return self.epoch >= self.first + self.config.epochs or bool(waited)

    @contextmanager
    def left_well(self):
        """Whatever ends the training, the model is left as its best epoch made it."""
        try:
            yield
        except BaseException as error:
            self.model.zero_grad()
            self.restore()
            if isinstance(error, KeyboardInterrupt):
                told = (
                    f"the same call goes on after epoch {self.epoch}"
                    if self.folder
                    else "no folder keeps what was done"
                )
                raise KeyboardInterrupt(f"training stopped in epoch {self.epoch + 1}; {told}") from None
            raise

    def record(self, line, optimizer):
        self.lines.append(line)
        if self.best_line == self.epoch - 1:
            self.best = _copy(self.model)
        if self.folder is None or processes.rank():
            return
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        tensors["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        save_tensors(self.folder / STATE, "training", tensors, identity=self.identity, history=self.lines)

    def resume(self, optimizer):
        file = None if self.folder is None else self.folder / STATE
        if file is None or not file.exists():
            return
        tensors, notes = load_tensors(inside(self.folder, STATE), "training", AGAIN, FORM)
        if notes.get("identity") != self.identity:
            told = "belongs to another run (data, settings or start weights differ)"
            raise InputError(f"{file}: {told}; choose another folder or delete this one")
        part = lambda head: {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}
        known, state, columns = {k: v.shape for k, v in self.best.items()}, {}, {"epoch", "loss", "train_seconds"}
        fits = all({k: v.shape for k, v in part(head).items()} == known for head in ("model.", "best."))
        columns |= {self.config.metric} if self.selects else set()
        number = lambda value: isinstance(value, (int, float))
        of_numbers = lambda line: isinstance(line, dict) and all(number(line.get(name)) for name in columns)
        fits = fits and all(map(of_numbers, notes["history"]))
        refuse(not fits, f"{file}: does not fit this model; {AGAIN}")
        try:
            for key, value in part("optimizer.").items():
                i, name = key.split(".")
                state.setdefault(int(i), {})[name] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
            torch.set_rng_state(tensors["random"])
            if "random.cuda" in tensors and torch.cuda.is_available():
                torch.cuda.set_rng_state(tensors["random.cuda"])
        except Exception as error:
            raise InputError(f"{file}: no state of this training ({first_line(error)}); {AGAIN}") from None
        self.lines, self.best = notes["history"], part("best.")
        self.model.load_state_dict(part("model."))

    def restore(self):
        self.model.load_state_dict(self.best)
        self.model.eval()

    def finish(self):
        self.restore()
        return pd.DataFrame(self.lines).assign(best=lambda history: history.index == self.best_line)


def _copy(model):
    return {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
