"""Runs of several experiments in one frame, and their paired differences: what verdicts and pages are made from.

Both frames survive csv, so what is made from them can be made again without training.
"""

import os

import pandas as pd

from mmm4rec_lite.evaluation import paired
from mmm4rec_lite.models.registry import MODELS, get_model
from mmm4rec_lite.study.protocol.experiments import FULL, WINDOWS, ndcg_by_row
from mmm4rec_lite.study.protocol.runner import MATCHED, SCALES
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import workspace

TITLES = {
    name: get_model(name).title
    for base, system in MODELS.items()
    for name in (base, *([f"{base}+id"] if system.ids else []))
}
NAMES = {"table2": "comparison", "table3": "comparison"}  # one experiment, called by either table
AGAINST = {  # experiment -> the labels with which its others are compared
    "comparison": (TITLES[FULL], "MMM4Rec", "SASRec", "SASRec_T", "Mamba4Rec", "TiM4Rec"),
    "figure2": (f"SASRec, {max(WINDOWS)} kept", f"{TITLES[FULL]}, {max(WINDOWS)} kept"),
    "table5": ("MMM4Rec",),
    "table6": ("MMM4Rec",),
    "time-benefit": tuple(f"{TITLES[name]}, w/o Time" for name in (FULL, "tim4rec")),
}


def lines(experiment, frame, task=None):
    """The runs of an experiment, for ``verdicts`` and for csv.

    Added: which experiment ("longer" for any at that scale, to keep it apart), this machine's ``cores``, with
    ``task`` how many ``items`` the catalogue has, and for each system left out a line with the reason and no
    numbers.
    """
    longer = "scale" in frame and set(frame["scale"].dropna()) == {"longer"}
    about = dict(experiment="longer" if longer else NAMES.get(experiment, experiment), cores=os.cpu_count())
    if task:
        about["items"] = len(task.dataset.items)
    left = frame.attrs.get("left_out", {})
    name = task.dataset.name if task else frame["dataset"].iloc[0] if len(frame) else "?"
    out = [frame, pd.DataFrame([{"dataset": name, "label": label, "left_out": why} for label, why in left.items()])]
    return pd.concat([part for part in out if len(part)] or [frame], ignore_index=True).assign(**about)


def compared(experiment, frame):
    """``evaluate.paired`` over the runs of an experiment, against those that ``AGAINST`` names.

    Columns: experiment, dataset, setting, scale, form, against, ndcg@10, difference, standard error, seeds. Empty
    where nothing that the others are compared with was run (or kept on this machine).
    """
    experiment = NAMES.get(experiment, experiment)
    out = []
    scores = ndcg_by_row(frame) if experiment in AGAINST and "label" in frame else {}
    for label in AGAINST.get(experiment, ()):
        if label in scores:
            table = paired(scores, label).query("form != @label")
            out.append(table.assign(against=label, experiment=experiment, seeds=len(scores[label])))
    if not out or not len(found := pd.concat(out, ignore_index=True)):
        return pd.DataFrame(columns=["experiment", "dataset", "form", "against"])
    return found.assign(**frame.dropna(subset="config").iloc[0][["dataset", "setting", "scale"]])


def read(paths):
    """(runs, pairs) of csv files, told apart by their columns: pairs have ``against``."""
    runs, pairs = [], []
    for path in paths:
        try:
            frame = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a csv of runs ({error})") from None
        if not {"experiment", "dataset"} <= set(frame):
            raise InputError(f"{path}: no columns experiment and dataset; it is not a csv of runs or pairs")
        (pairs if "against" in frame else runs).append(frame)
    if not runs:
        raise InputError("no csv of runs among the files given; without runs there is no page")
    return pd.concat(runs, ignore_index=True), pd.concat(pairs, ignore_index=True) if pairs else None


def stored():
    """(runs, pairs) of the comparison kept in ``benchmarks/results``: what the notebooks show of larger runs."""
    folder = workspace("benchmarks", "results")
    return read([folder / "comparison.csv", folder / "comparison-pairs.csv"])


def tidy(runs):
    """The lines that have numbers, each once, labelled by the titles of their systems where no variant is meant."""
    if lost := [name for name in ("experiment", "dataset", "label", "system", "seed", "ndcg@10") if name not in runs]:
        raise InputError(f"the frame of runs has no column {lost[0]!r}; make it with gathered.lines")
    runs = runs[runs["ndcg@10"].notna()]
    own = runs["experiment"].isin(["table5", "figure2", "time-benefit"])
    runs = runs.assign(label=runs["label"].where(own, runs["system"].map(TITLES).fillna(runs["label"])))
    same = ("experiment", "dataset", "label", "seed", "config", "missing", "epoch")
    runs = runs.drop_duplicates([column for column in same if column in runs])
    where = runs["dataset"].astype(str)
    for column in ("setting", "scale"):
        where = where + ", " + runs[column].fillna("-") if column in runs else where
    return runs.assign(where=where)


def cut(runs):
    """Which runs ended before their patience had run out: their best epoch is not known to be the best."""
    patience = [SCALES.get(scale, {}).get("patience", MATCHED.patience) for scale in runs["scale"]]
    return runs["epochs"] - runs["best_epoch"] < patience
