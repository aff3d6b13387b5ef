"""Runs of several experiments in one frame, and their paired differences: what verdicts and pages are made from.

Both frames survive csv, so what is made from them can be made again without training.
"""

import os

import pandas as pd

from mmm4rec_lite.errors import KitError
from mmm4rec_lite.evaluate import paired
from mmm4rec_lite.experiments.paper import COLUMNS, FULL, VARIANTS, gains_by_row
from mmm4rec_lite.experiments.trials import MATCHED, SCALES, Setting, scale
from mmm4rec_lite.systems import SYSTEMS, find

TITLES = {name: find(name).title for base, system in SYSTEMS.items()
          for name in (base, *([f"{base}+id"] if system.ids else []))}
NAMES = {"table2": "comparison", "table3": "comparison"}        # one experiment, called by either table
PAIRED = {                         # experiment -> (label, name, changes) of its runs, and what they are compared with
    "comparison": ([(TITLES[name], name, {}) for name in dict.fromkeys([*COLUMNS[2], *COLUMNS[3]])],
                   (TITLES[FULL], "MMM4Rec", "SASRec", "SASRec_T", "Mamba4Rec", "TiM4Rec")),
    "figure2": ([(f"SASRec, {kept} kept", "sasrec", dict(max_len=kept)) for kept in (5, 20)], ("SASRec, 20 kept",)),
    "table5": ([(label, FULL, changes) for label, changes in VARIANTS.items()], ("MMM4Rec",)),
}


def lines(experiment, frame, material=None):
    """The runs of an experiment, for ``verdicts`` and for csv.

    Added: which experiment, this machine's ``cores``, with ``material`` how many ``items`` the catalogue has, and for
    each system left out a line with the reason and no numbers.
    """
    about = dict(experiment=NAMES.get(experiment, experiment), cores=os.cpu_count())
    if material:
        about["items"] = len(material.dataset.items)
    left = frame.attrs.get("left out", {})
    name = material.dataset.name if material else frame["dataset"].iloc[0] if len(frame) else "?"
    out = [frame, pd.DataFrame([{"dataset": name, "label": label, "left out": why} for label, why in left.items()])]
    return pd.concat([part for part in out if len(part)] or [frame], ignore_index=True).assign(**about)


def compared(experiment, material, seeds=(0, 1, 2), setting=None):
    """``evaluate.paired`` over the trials of an experiment in ``PAIRED``; those not there yet are trained.

    Columns: experiment, dataset, setting, scale, form, against, ndcg@10, difference, standard error, seeds. Empty
    when the data cannot feed anything that the others are compared with.
    """
    experiment = NAMES.get(experiment, experiment)
    wanted, references = PAIRED[experiment]
    if experiment == "table5" and material.sources:
        wanted = [*((label, name, {**more, "pretrained": True}) for label, name, more in wanted), ("w/o PT", FULL, {})]
    setting = setting or Setting(scale=scale())
    scores = gains_by_row(material, wanted, seeds, setting)
    out = [paired(scores, label).assign(against=label) for label in references if label in scores]
    if not out:
        return pd.DataFrame(columns=["experiment", "dataset", "form", "against"])
    table = pd.concat(out, ignore_index=True).query("form != against")
    about = {"dataset": material.dataset.name, "setting": setting.name, "scale": setting.scale}
    return table.assign(experiment=experiment, seeds=len(seeds), **about).reset_index(drop=True)


def tidy(runs):
    """The lines that have numbers, each once, labelled by the titles of their systems where no variant is meant."""
    if lost := [name for name in ("experiment", "dataset", "label", "system", "seed", "ndcg@10") if name not in runs]:
        raise KitError(f"the frame of runs has no column {lost[0]!r}; make it with gathered.lines")
    runs = runs[runs["ndcg@10"].notna()]
    own = runs["experiment"].isin(["table5", "figure2", "time-benefit"])
    runs = runs.assign(label=runs["label"].where(own, runs["system"].map(TITLES).fillna(runs["label"])))
    same = ("experiment", "dataset", "label", "seed", "config", "missing")
    runs = runs.drop_duplicates([column for column in same if column in runs])
    where = runs["dataset"].astype(str)
    for column in ("setting", "scale"):
        where = where + ", " + runs[column].fillna("-") if column in runs else where
    return runs.assign(where=where)


def cut(runs):
    """Which runs ended before their patience had run out: their best epoch is not known to be the best."""
    patience = [SCALES.get(scale, {}).get("patience", MATCHED.patience) for scale in runs["scale"]]
    return runs["epochs"] - runs["best epoch"] < patience
