"""The paper's figures and tables as functions of a ``Task``: frames with a row per run (or per epoch, per share).

All stand on ``sweep``, so a second call is instant, a killed one goes on, and experiments share their runs. ``how`` is
what ``sweep`` takes besides: seeds, protocol, backend, jobs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import pandas as pd
import torch

from mmm4rec_lite.data import k_core, statistics
from mmm4rec_lite.evaluation import counting, metrics, rank_model, rank_rows
from mmm4rec_lite.models.registry import MODELS, get_model
from mmm4rec_lite.published import paper
from mmm4rec_lite.runs import Run, Task
from mmm4rec_lite.study.protocol.modality import modality_worth
from mmm4rec_lite.study.protocol.orders import two_orders
from mmm4rec_lite.study.protocol.runner import sweep
from mmm4rec_lite.study.protocol.timing import step_seconds
from mmm4rec_lite.study.protocol.tuning import WITHOUT_TIME, Tuned, join_variants, settings, usual_form
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.errors import InputError, refuse

FULL = "mmm4rec+id"  # the model of Tables 2, 4 and 5
BASELINES = {"popularity": "popularity", "markov_chain": "Markov chain"}
_TITLES = {spec.title: spec for spec in MODELS.values()}
COLUMNS = {  # table -> the systems built here, in its order, and its names of them; with ids where Table 2 allows it
    table: {
        f"{_TITLES[name].name}{'+id' * (table == 2 and _TITLES[name].ids is not None)}": name
        for name in paper(table)["column"].unique()
        if name in _TITLES
    }
    for table in (2, 3, 6)
}
VARIANTS: dict[str, dict[str, Any]] = {  # Table 5's rows ("" is the whole model) but for w/o PT, which needs sources
    "": {},
    WITHOUT_TIME: dict(time=False),
    "w/o Shared": dict(shared=False),
    "w/o LF": dict(learnable_filter=False),
    "w/o AF": dict(adaptive_filter=False),
    "2L": dict(n_layers=2),
}
WITHOUT_PRETRAINING = "w/o PT"
WINDOWS = (5, 10, 15, 20)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
TRANSFERABLE = ("mmsrec", "missrec", "missrec+id", "mmm4rec", FULL)


def dataset_table(task: Task, **_: Any) -> pd.DataFrame:
    """Table 1: counts of the dataset and its domains, measured, above the paper's, published."""
    whole = task.dataset
    domains = [whole.select(name) for name in whole.domains] if len(whole.domains) > 1 else []
    return statistics.beside_paper([whole, *domains])


def comparison(
    task: Task, systems: Sequence[str] | None = None, tuned: Tuned = False, pretrained: bool = False, **how: Any
) -> pd.DataFrame:
    """Tables 2, 3: every system built (or ``systems``), below popularity and a Markov chain.

    ``tuned``: in settings that ``tuning.tune`` chooses (attrs["trials"]); ``pretrained``: on the sources, what can be.
    """
    names = list(systems or dict.fromkeys(name for table in (2, 3) for name in COLUMNS[table]))
    own, trials = settings(task, names, tuned, how)
    forms = [(name, *usual_form(task, name)) for name in names]
    first = lambda name: dict(pretrained=True) if pretrained and _transferable(name) else {}
    frame = sweep(task, [(name, form, more | first(name) | own.get(name, {})) for name, form, more in forms], **how)
    out = pd.concat([_baselines(task), frame], ignore_index=True)
    out.attrs.update(frame.attrs, **trials)
    return out


def full_modality(task: Task, **how: Any) -> pd.DataFrame:
    """Table 6: the comparison on the items that have an image of their own, 5-core anew; subset "with_images"."""
    has = dict(zip(task.features.items, task.features.has_image.tolist()))
    whole = task.dataset
    items = whole.items[whole.items["item"].map(has)]
    if items.empty:
        raise InputError(f"{whole.name}: no item has a picture, so there is no full-modality part of it")
    rows = whole.interactions[whole.interactions["item"].isin(items["item"])]
    subset = k_core(replace(whole, items=items, interactions=rows))
    return comparison(replace(task, dataset=subset, subset="with_images"), systems=list(COLUMNS[6]), **how)


def _baselines(task):
    rows, records = task.rows, []
    data = dict(dataset=task.dataset.name, subset=task.subset, split=task.split, n_items=len(task.dataset.items))
    for name, score in zip(BASELINES, counting(rows).values()):
        kept, removed = (metrics(rank_rows(score, rows.sequences, rows.test, 1, seen)) for seen in (False, True))
        removed = {f"{metric}_filtered": value for metric, value in removed.items()}
        about = dict(system=name, variant="", missing_share=0.0, n_parameters=0, n_test_rows=len(rows.test))
        records.append({**data, **about, **kept, **removed})
    return pd.DataFrame(records)


def _sweep(task, systems, changes=None, **how):
    forms = [(name, *usual_form(task, name)) for name in systems]
    return sweep(task, [(name, variant, own | (changes or {})) for name, variant, own in forms], **how)


def truncation(
    task: Task, systems: Iterable[str] = ("sasrec", FULL), windows: Sequence[int] = WINDOWS, **how: Any
) -> pd.DataFrame:
    """Figure 2: trained and tested with the latest ``max_len`` interactions of each history alone."""
    return sweep(task, [(name, "", dict(max_len=kept)) for name in systems for kept in windows], **how)


def ablation(task: Task, variants: Iterable[str] | None = None, **how: Any) -> pd.DataFrame:
    """Table 5: MMM4Rec with ids (""), its variants (or some), and "w/o PT" where there are source domains."""
    first = _pretraining(task)
    known = {variant: {**first, **changes} for variant, changes in VARIANTS.items()}
    known |= {WITHOUT_PRETRAINING: {}} if first else {}
    wanted = list(known) if variants is None else ["" if name == "MMM4Rec" else name for name in variants]
    if lost := [name for name in wanted if name not in known]:
        names = ", ".join(name or "MMM4Rec" for name in known)
        raise InputError(f"ablation: {lost[0]!r} is not among the variants that these data allow: {names}")
    return sweep(task, [(FULL, variant, known[variant]) for variant in wanted], **how)


def _pretraining(task):
    return dict(pretrained=True) if task.sources else {}


def _transferable(system):
    """Whether it can be pre-trained on other data than its own."""
    return "pretrain" in get_model(system).stages and not get_model(system).own_domain


def convergence(task: Task, systems: Iterable[str] = TRANSFERABLE, **how: Any) -> pd.DataFrame:
    """Figures 4 to 8: validation metrics by epoch and by seconds of training, a row per epoch."""
    return _sweep(task, systems, _pretraining(task), reads=_epochs, **how)


def transfer(task: Task, systems: Iterable[str] = TRANSFERABLE, tuned: Tuned = False, **how: Any) -> pd.DataFrame:
    """What pre-training is worth: each system fine-tuned, from scratch ("w/o PT"), and those without such a stage.

    ``tuned``: as of ``comparison``, chosen from scratch, so that both have the same.
    """
    names = list(systems)
    own, trials = settings(task, names, tuned, how)
    wanted = []
    for name in names:
        variant, first = usual_form(task, name)
        changes = first | own.get(name, {})
        if _transferable(name):
            refuse(task.sources is None, f"transfer: {name} needs source domains to pre-train on; say --sources")
            where = task.sources.dataset.name if task.sources else ""
            trained = join_variants(variant, f"pre-trained on {where}")
            wanted += [(name, trained, changes | dict(pretrained=True))]
            variant = join_variants(variant, WITHOUT_PRETRAINING)
        wanted += [(name, variant, changes)]
    frame = sweep(task, wanted, **how)
    frame.attrs.update(trials)
    return frame


def _epochs(run: Run) -> list[dict[str, Any]]:
    names = "dataset subset n_items system variant max_len stage protocol scale seed device run_id".split()
    history = run.history.assign(training_seconds=run.history["train_seconds"].cumsum())
    return history.assign(**{name: run.record[name] for name in names}).to_dict(orient="records")


def efficiency(task: Task, systems: Iterable[str] = TRANSFERABLE, **how: Any) -> pd.DataFrame:
    """Table 4: epochs to the best one, and seconds; of these seconds_per_step is fit to compare (``step_seconds``)."""
    frame = _sweep(task, systems, _pretraining(task), **how)
    if frame.empty:
        return frame
    own = {key: value for key, value in how.items() if key in ("seeds", "protocol")}
    steps = step_seconds(task, list(frame["system"].unique()), **own).set_index(["system", "seed"])["seconds_per_step"]
    steps = steps.loc[[*zip(frame["system"], frame["seed"])]].to_numpy()
    return frame.assign(seconds_per_step=steps, seconds_to_best=frame["best_epoch"] * frame["seconds_per_epoch"])


def missing_modality(
    task: Task,
    systems: Iterable[str] = ("mmsrec", "missrec", "mmm4rec", FULL),
    shares: Iterable[float] = SHARES,
    **how: Any,
) -> pd.DataFrame:
    """Trained with the images there are, ranked with a share of them taken away (the same items for all)."""
    return _sweep(task, systems, _pretraining(task), reads=_Missing(task, tuple(shares)), **how)


class _Missing:
    """Reads a run at several shares of missing images; a class because other processes need to get it whole."""

    def __init__(self, task, shares):
        self.task, self.shares = task, sorted(shares)

    def __call__(self, run):
        catalogue, records = self.task.catalogue, []
        generator = torch.Generator().manual_seed(run.record["seed"])
        order = torch.rand(len(catalogue), generator=generator).argsort().argsort()
        rows = self.task.rows
        run.model.to(device())
        for share in self.shares:
            run.model.drop_images((order < round(share * len(catalogue))).to(device()))
            ranked = rank_model(run.model, rows.sequences, rows.test)
            records.append({**run.record, "missing_share": share, **metrics(ranked)})
        return records


def time_benefit(task: Task, systems: Iterable[str] = (FULL, "tim4rec"), **how: Any) -> pd.DataFrame:
    """When time-awareness pays: each system with and without its time branch, beside the gaps of the data."""
    forms = {"": {}, WITHOUT_TIME: dict(time=False)}
    frame = sweep(task, [(name, *form) for name in systems for form in forms.items()], **how)
    gaps = statistics.gap_statistics([task.dataset]).iloc[0].drop("dataset").to_dict() if len(frame) else {}
    return frame.assign(**gaps)


EXPERIMENTS = {
    "table1": dataset_table,
    "figure2": truncation,
    "comparison": comparison,
    "table2": comparison,
    "table3": comparison,
    "table4": efficiency,
    "figure4": convergence,
    "table5": ablation,
    "table6": full_modality,
    "transfer": transfer,
    "missing-modality": missing_modality,
    "modality-worth": modality_worth,
    "orders": two_orders,
    "time-benefit": time_benefit,
}
FROM_SCRATCH = "table1", "figure2", "modality-worth", "orders", "time-benefit"


def reproduce(what: str, task: Task, only: Sequence[str] | None = None, **how: Any) -> pd.DataFrame:
    """The frame of one figure or table, called by its name in ``EXPERIMENTS``; ``only`` some of its rows, by name."""
    if what not in EXPERIMENTS:
        raise InputError(f"reproduce: {what!r} is not known; one of {', '.join(EXPERIMENTS)}")
    choice = {"systems", "variants"} & set(signature(EXPERIMENTS[what]).parameters)
    if only and not choice:
        raise InputError(f"reproduce: {what} has no choice of rows; leave it out")
    for name, other in dict(tuned="tune the comparison", beside="orders has a use for it").items():
        if how.get(name, False) is not False and name not in signature(EXPERIMENTS[what]).parameters:
            raise InputError(f"reproduce: {what} takes no --{name}; {other}")
    refuse(task.sources is not None and what in FROM_SCRATCH, f"reproduce: {what} is from scratch; leave --sources out")
    if what in ("table2", "table3"):
        only = only or list(COLUMNS[int(what[-1])])
    how |= {name: only for name in choice if only}
    return EXPERIMENTS[what](task, **how)
