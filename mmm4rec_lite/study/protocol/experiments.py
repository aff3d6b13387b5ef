"""The paper's figures and tables as functions of a ``trials.Task``: tidy frames, every number labelled.

All stand on ``trials.sweep``, so a second call is instant, a killed one goes on, and experiments share their runs.
Each returns one line per run (or per epoch, per rate) with its provenance; ``summary`` averages over seeds and
``differences`` compares on the same users.
"""

from dataclasses import replace
from inspect import signature

import pandas as pd
import torch

from mmm4rec_lite import data, published
from mmm4rec_lite.data import statistics
from mmm4rec_lite.evaluation import counting, metrics, model_scorer, ndcg_per_row, paired, rank_rows
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.stages import split
from mmm4rec_lite.study.protocol.runner import Task, ranks, sweep
from mmm4rec_lite.study.protocol.timing import step_seconds
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.errors import InputError

FULL = "mmm4rec+id"  # the model of Tables 2, 4 and 5
COLUMNS = {  # table -> the systems built here, and the paper's names of its columns
    2: {
        "sasrec": "SASRec",
        "mamba4rec": "Mamba4Rec",
        "tim4rec": "TiM4Rec",
        "bsarec": "BSARec",
        "unisrec+id": "UniSRec",
        "missrec+id": "MISSRec",
        FULL: "MMM4Rec",
    },
    3: {
        "sasrec_t": "SASRec_T",
        "mamba4rec_t": "Mamba4Rec_T",
        "tim4rec_t": "TiM4Rec_T",
        "unisrec": "UniSRec",
        "mmsrec": "MMSRec",
        "missrec": "MISSRec",
        "mmm4rec": "MMM4Rec",
    },
    6: {"unisrec": "UniSRec", "mmsrec": "MMSRec", "missrec": "MISSRec", "mmm4rec": "MMM4Rec"},
}
VARIANTS = {  # Table 5's rows but for w/o PT, which needs source domains
    "MMM4Rec": {},
    "w/o Time": dict(time=False),
    "w/o Shared": dict(shared=False),
    "w/o LF": dict(learnable_filter=False),
    "w/o AF": dict(adaptive_filter=False),
    "2L": dict(n_layers=2),
}
WINDOWS = (5, 10, 15, 20)
RATES = (0.0, 0.25, 0.5, 0.75, 1.0)


def dataset_table(task, **_):
    """Table 1: counts of the dataset and its domains, measured, above the paper's, published."""
    whole = task.dataset
    domains = [whole.select(name) for name in whole.domains] if len(whole.domains) > 1 else []
    return statistics.beside_paper([whole, *domains])


def comparison(task, systems=None, **how):
    """Tables 2, 3: every system built (or ``systems``), and popularity and a Markov chain as the floor.

    ``how``: seeds, setting, backend and jobs of ``sweep``; systems that the data cannot feed are left out, with the
    reason in ``attrs["left_out"]``.
    """
    names = systems or [*dict.fromkeys(name for table in (2, 3) for name in COLUMNS[table])]
    frame = sweep(task, [(get_model(name).title, name, {}) for name in names], **how)
    out = pd.concat([_floor(task), frame], ignore_index=True)
    out.attrs.update(frame.attrs)
    return out


def full_modality(task, **how):
    """Table 6: the comparison on the items that have a picture of their own, 5-core anew."""
    has = dict(zip(task.features.items, task.features.has_image.tolist()))
    whole = task.dataset
    items = whole.items[whole.items["item"].map(has)]
    if items.empty:
        raise InputError(f"{whole.name}: no item has a picture, so there is no full-modality part of it")
    rows = whole.interactions[whole.interactions["item"].isin(items["item"])]
    pictured = data.k_core(replace(whole, name=f"{whole.name}-pictured", items=items, interactions=rows))
    return comparison(replace(task, dataset=pictured), systems=list(COLUMNS[6]), **how)


def _floor(task):
    rows, lines = split(task.dataset), []
    for name, score in counting(rows).items():
        kept, removed = (metrics(rank_rows(score, rows.sequences, rows.test, 1, seen)) for seen in (False, True))
        lines.append(
            {
                "label": name,
                "dataset": task.dataset.name,
                "system": name,
                **kept,
                **{f"{key}_filtered": value for key, value in removed.items()},
                "n_test_rows": len(rows.test),
                "parameters": 0,
            }
        )
    return pd.DataFrame(lines)


def truncation(task, systems=("sasrec", FULL), windows=WINDOWS, **how):
    """Figure 2: trained and tested with the latest 5, 10, 15, 20 interactions of each history alone.

    A shorter window changes what is seen, not how many rows there are.
    """
    wanted = [
        (f"{get_model(name).title}, {kept} kept", name, dict(max_len=kept)) for name in systems for kept in windows
    ]
    frame = sweep(task, wanted, **how)
    return frame.assign(kept=frame["window"])


def ablation(task, variants=None, **how):
    """Table 5: MMM4Rec with ids and its variants (or some); "w/o PT" beside them where there are source domains."""
    first = dict(pretrained=True) if task.sources else {}
    known = {label: {**first, **changes} for label, changes in VARIANTS.items()} | ({"w/o PT": {}} if first else {})
    if lost := [label for label in variants or () if label not in known]:
        raise InputError(f"ablation: {lost[0]!r} is not among the variants that these data allow: {', '.join(known)}")
    return sweep(task, [(label, FULL, known[label]) for label in variants or known], **how)


TRANSFERABLE = ("mmsrec", "missrec", "missrec+id", "mmm4rec", FULL)


def convergence(task, systems=TRANSFERABLE, **how):
    """Figures 4 to 8: validation metrics by epoch and by seconds of training, a line per epoch."""
    first = dict(pretrained=True) if task.sources else {}
    return sweep(task, [(get_model(name).title, name, first) for name in systems], reads=_epochs, **how)


def _epochs(run):
    names = ("dataset", "system", "stage", "setting", "scale", "seed", "device", "config")
    keep = {name: run.line[name] for name in names}
    history = run.history.assign(**{"training_seconds": run.history["train_seconds"].cumsum()}, **keep)
    return history.to_dict(orient="records")


def efficiency(task, systems=TRANSFERABLE, **how):
    """Table 4: epochs to the best one, seconds per epoch and in all, on the machine of each line.

    The column "seconds_per_step" is fit to compare systems (``costs.step_seconds``); the others are of shared machines.
    """
    first = dict(pretrained=True) if task.sources else {}
    frame = sweep(task, [(get_model(name).title, name, first) for name in systems], **how)
    if frame.empty:
        return frame
    own = {key: value for key, value in how.items() if key in ("seeds", "setting")}
    steps = step_seconds(task, list(frame["system"].unique()), **own).set_index(["system", "seed"])
    return frame.assign(
        **{
            "seconds_per_step": steps.loc[[*zip(frame["system"], frame["seed"])], "seconds_per_step"].to_numpy(),
            "seconds_to_best": frame["best_epoch"] * frame["seconds_per_epoch"],
        }
    )


def missing_modality(task, systems=("mmsrec", "missrec", "mmm4rec", FULL), rates=RATES, **how):
    """Trained with the pictures there are, ranked with a share of them taken away (the same items for all)."""
    return sweep(
        task, [(get_model(name).title, name, {}) for name in systems], reads=_Missing(task, tuple(rates)), **how
    )


class _Missing:
    """Reads a trial at several rates of missing pictures; a class because other processes need to get it whole."""

    def __init__(self, task, rates):
        self.task, self.rates = task, sorted(rates)

    def __call__(self, run):
        catalogue, lines = self.task.catalogue, []
        generator = torch.Generator().manual_seed(run.line["seed"])
        order = torch.rand(len(catalogue), generator=generator).argsort().argsort()
        rows = split(self.task.dataset)
        run.model.to(device())
        for rate in self.rates:
            run.model.drop_images((order < round(rate * len(catalogue))).to(device()))
            ranked = rank_rows(model_scorer(run.model), rows.sequences, rows.test, run.model.window)
            lines.append({**run.line, "missing": rate, **metrics(ranked)})
        return lines


def time_benefit(task, systems=(FULL, "tim4rec"), **how):
    """When time-awareness pays: each system with and without its time branch, beside the gaps of the data."""
    wanted = [
        (f"{get_model(name).title}{'' if time else ', w/o Time'}", name, {} if time else dict(time=False))
        for name in systems
        for time in (True, False)
    ]
    frame = sweep(task, wanted, **how)
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
    "missing-modality": missing_modality,
    "time-benefit": time_benefit,
}
METRICS = list(published.METRICS)


def reproduce(what, task, only=None, **how):
    """The frame of one figure or table, called by its name in ``EXPERIMENTS``; ``only`` some of its rows, by name."""
    if what not in EXPERIMENTS:
        raise InputError(f"reproduce: {what!r} is not known; one of {', '.join(EXPERIMENTS)}")
    choice = {"systems", "variants"} & set(signature(EXPERIMENTS[what]).parameters)
    if only and not choice:
        raise InputError(f"reproduce: {what} has no choice of rows; leave it out")
    if what in ("table2", "table3"):
        only = only or list(COLUMNS[int(what[-1])])
    how |= {name: only for name in choice if only}
    return EXPERIMENTS[what](task, **how)


def summary(frame):
    """Means over seeds and their spread (standard deviation), a line per label, the paper's four metrics."""
    by = frame.groupby("label", sort=False)
    table = by[METRICS].mean()
    table["spread ndcg@10"] = by["ndcg@10"].std()
    table["seeds"] = by["seed"].nunique() if "seed" in frame else 1
    return table.reset_index()


def ndcg_by_row(frame):
    """NDCG@10 of every test row of the runs in ``frame``, label -> [seeds, R].

    Runs that are not kept on this machine are left out. Only the seeds that all labels have, so that rows and seeds
    are the same for all.
    """
    runs = frame.dropna(subset="config") if "config" in frame else frame[:0]
    found = {
        (line["label"], line["seed"]): known
        for line in runs.to_dict(orient="records")
        if (known := ranks(line)) is not None
    }
    labels = dict.fromkeys(label for label, _ in found)
    seeds = sorted(seed for seed in {seed for _, seed in found} if all((label, seed) in found for label in labels))
    return {label: torch.stack([ndcg_per_row(found[label, seed]) for seed in seeds]) for label in labels if seeds}


def differences(frame, reference):
    """``evaluate.paired`` over the runs of a frame: NDCG@10 against the label ``reference``, same users and seeds."""
    scores = ndcg_by_row(frame)
    if reference not in scores:
        raise InputError(f"differences: no kept runs of {reference!r}; there are {', '.join(scores) or 'none'}")
    return paired(scores, reference).assign(seeds=len(scores[reference]))


__all__ = ["EXPERIMENTS", "Task", "differences", "reproduce", "summary"]
