"""Results as data: the runs of all experiments in one frame, their paired differences in another; both survive csv.

Columns have one meaning each; what a reader sees of system, variant and max_len is made by ``display_name``.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite import published
from mmm4rec_lite.data.schema import read_csv
from mmm4rec_lite.evaluation import ndcg_per_row
from mmm4rec_lite.models.protocol import MATCHED, SCALES
from mmm4rec_lite.models.registry import MODELS, get_model
from mmm4rec_lite.runs import Task, kept_ranks
from mmm4rec_lite.significance import paired
from mmm4rec_lite.study.protocol.experiments import BASELINES, FULL, WINDOWS, WITHOUT_PRETRAINING
from mmm4rec_lite.study.protocol.modality import READERS
from mmm4rec_lite.study.protocol.orders import COMPARED
from mmm4rec_lite.study.protocol.tuning import WITHOUT_TIME, join_variants
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import workspace

NAMES = [name for base, spec in MODELS.items() for name in (base, *([f"{base}+id"] if spec.ids else []))]
TITLES = {name: get_model(name).title for name in NAMES} | BASELINES
ALIASES = {"table2": "comparison", "table3": "comparison"}  # one experiment, called by either table
PLACE = ["dataset", "subset", "split", "protocol", "scale"]  # what a comparison is made within
FORM = ["system", "variant", "max_len"]
PAIRS = ["experiment", *PLACE, *FORM, *(f"against_{name}" for name in FORM)]
PAIRS += ["ndcg@10", "seed_spread", "difference", "standard_error", "n_seeds"]
TEXTS = dict(subset="all", split="leave_one_out", variant="", against_variant="")  # what csv does not keep: empty texts


class Form(NamedTuple):
    """What is compared: a system, its variant ("" is the whole), and how many latest items it is given (None: any)."""

    system: str
    variant: str = ""
    max_len: int | None = None

    def rows(self, frame: pd.DataFrame, prefix: str = "") -> pd.Series:
        """Which rows of a frame are of this form; ``prefix``: "against_" for the other side of a pair."""
        own = (frame[f"{prefix}system"] == self.system) & (frame[f"{prefix}variant"] == self.variant)
        return own if self.max_len is None else own & (frame[f"{prefix}max_len"] == self.max_len)


WHOLE = "", WITHOUT_TIME  # the latter where there are no times
CLAIMED = ("sasrec", "sasrec_t", "mamba4rec", "tim4rec", "unisrec", "vqrec", "missrec")  # by a claim
AGAINST = {  # experiment -> the forms with which its others are compared
    "comparison": [Form(name, v) for name in (FULL, "mmm4rec") for v in WHOLE] + list(map(Form, CLAIMED)),
    "figure2": [Form(name, max_len=max(WINDOWS)) for name in ("sasrec", FULL)],
    "table5": [Form(FULL)],
    "table6": [Form("mmm4rec")],
    "transfer": [
        Form(n, join_variants(v, WITHOUT_PRETRAINING))
        for n in NAMES
        if "pretrain" in get_model(n).stages
        for v in WHOLE
    ],
    "orders": [Form(name, v) for name in COMPARED for v in WHOLE],
    "modality-worth": [Form(name, v) for name in READERS for v in WHOLE],
    "time-benefit": [Form(name, "w/o Time") for name in (FULL, "tim4rec")],
}


def display_name(system: str, variant: str = "", max_len: float | None = None) -> str:
    """How figures and tables call a form: "SASRec", "MMM4Rec + ID, w/o Time", "SASRec, 5 kept"."""
    kept = "" if max_len is None else f"{max_len:.0f} kept"
    return ", ".join(filter(None, (TITLES.get(system, system), variant, kept)))


def with_columns(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The frame, with empty columns for those of ``names`` that it lacks."""
    return frame.reindex(columns=list(dict.fromkeys([*frame, *names])))


def display_names(frame: pd.DataFrame) -> list[str]:
    """``display_name`` of every row; max_len is told where one system has several of them in an experiment."""
    keys = ["experiment", *PLACE, *FORM[:2]]
    frame = with_columns(frame, *keys, "max_len")
    several = frame.groupby(keys, dropna=False)["max_len"].transform("nunique") > 1
    forms = zip(*(frame[name] for name in FORM), several)
    return [display_name(system, variant, max_len if told else None) for system, variant, max_len, told in forms]


def listed(runs: pd.DataFrame, column: str) -> str:
    """The values of a column, each once, in order and in words."""
    values = sorted(runs[column].dropna().unique()) if column in runs else []
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values) or "not said"


def caption(runs: pd.DataFrame, experiment: str = "comparison") -> str:
    """What kind of numbers the runs of an experiment are, for titles: scale, protocol, width, seeds."""
    own = tidy(runs).query("experiment == @experiment")
    own, seeds = own[own["seed"].notna()], f"seed{'s' * (own['seed'].nunique() > 1)} {listed(own, 'seed')}"
    scale, protocol, width = (listed(own, column) for column in ("scale", "protocol", "d_model"))
    return f"measured: {scale} scale, {protocol} protocol, width {width}, {seeds}"


def annotate_runs(experiment: str, frame: pd.DataFrame, task: Task | None = None) -> pd.DataFrame:
    """The runs of an experiment as they are kept: with its name, ``cores``, and what was left out.

    Of each system left out there is a row with the reason and no numbers.
    """
    about = dict(experiment=ALIASES.get(experiment, experiment), cores=os.cpu_count())
    dataset = task.dataset.name if task else frame["dataset"].iloc[0] if len(frame) else "?"
    left = [(dataset, *form, why) for form, why in frame.attrs.get("left_out", {}).items()]
    out = [frame, pd.DataFrame(left, columns=["dataset", "system", "variant", "left_out"])]
    return _by_split(pd.concat([part for part in out if len(part)] or [frame], ignore_index=True).assign(**about))


def paired_differences(experiment: str, frame: pd.DataFrame, against: Sequence[Form] | None = None) -> pd.DataFrame:
    """NDCG@10 of the runs of an experiment ``against`` some of them (those of ``AGAINST``), same users and seeds.

    The columns are ``PAIRS``; no rows where nothing that the others are compared with is kept on this machine.
    """
    experiment = ALIASES.get(experiment, experiment)
    wanted = AGAINST.get(experiment, ()) if against is None else against
    scores, out = _ndcg_by_row(frame) if wanted else {}, []
    forms = pd.DataFrame(list(scores), columns=FORM)
    for i in forms.index[np.logical_or.reduce([side.rows(forms) for side in wanted])] if scores else ():
        reference = Form(*forms.loc[i])
        for form, own in scores.items():
            seeds = sorted(own.keys() & scores[reference].keys())
            if form != reference and seeds:
                sides = dict(own=own, other=scores[reference])
                both = {side: torch.stack([rows[seed] for seed in seeds]) for side, rows in sides.items()}
                line = paired(both, "other").iloc[0].drop("form").to_dict()
                names = form._asdict() | {f"against_{name}": value for name, value in reference._asdict().items()}
                out.append({**names, **line, "n_seeds": len(seeds)})
    place = frame.dropna(subset="run_id").iloc[0].reindex(PLACE) if out else {}
    return _by_split(pd.DataFrame(out).assign(experiment=experiment, **place).reindex(columns=PAIRS))


def _by_split(frame):
    """Data split by time are other data: nobody's numbers there stand beside those of leave-one-out."""
    late = with_columns(frame, "split")["split"] == "global_time"
    return frame.assign(dataset=frame["dataset"].mask(late, frame["dataset"].astype(str) + ", split by time"))


def _ndcg_by_row(frame):
    """NDCG@10 of every test row, form -> seed -> [R], of runs kept on this machine."""
    found = {}
    for row in with_columns(frame, "run_id").dropna(subset="run_id").to_dict(orient="records"):
        if (ranks := kept_ranks(row)) is not None:
            found.setdefault(Form(*(row[name] for name in FORM)), {})[row["seed"]] = ndcg_per_row(ranks)
    return found


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of the paper's four metrics, a row per form, and per share of missing images where there are
    several; ``seed_spread``: the standard deviation."""
    frame = with_columns(frame, "seed", "missing_share")
    shares = ["missing_share"] if frame["missing_share"].nunique() > 1 else []
    by = frame.assign(name=display_names(frame)).groupby(["name", *shares], sort=False)
    table = by[list(published.METRICS)].mean()
    return table.assign(seed_spread=by["ndcg@10"].std(), n_seeds=by["seed"].nunique()).reset_index()


def read_results(paths: Iterable[Path | str]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """(runs, pairs) of csv files; pairs are those with a column ``against_system``."""
    runs: list[pd.DataFrame] = []
    pairs: list[pd.DataFrame] = []
    for path in paths:
        frame = read_csv(path, "runs or pairs", ("experiment", "dataset", "system"))
        texts = {name: frame[name].astype(object).fillna(text) for name, text in TEXTS.items() if name in frame}
        frame = frame.assign(**texts)
        (pairs if "against_system" in frame else runs).append(frame)
    if not runs:
        raise InputError("no csv of runs among the files given; without runs there is no page")
    return pd.concat(runs, ignore_index=True), pd.concat(pairs, ignore_index=True) if pairs else None


def stored_results() -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """(runs, pairs) of the comparison kept in ``benchmarks/results``: what the notebooks show of larger runs."""
    folder = workspace() / "benchmarks" / "results"
    return read_results([folder / "comparison.csv", folder / "comparison-pairs.csv"])


def tidy(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows that have numbers, each once; added: ``name`` (``display_name``) and ``where`` (``PLACE`` in words)."""
    needed = ("experiment", "dataset", "system", "seed", "ndcg@10")
    if lost := [name for name in needed if name not in runs]:
        raise InputError(f"the frame of runs has no column {lost[0]!r}; make it with results.annotate_runs")
    same = ["experiment", "dataset", "subset", "split", *FORM, "seed", "run_id", "missing_share", "epoch"]
    runs = with_columns(runs[runs["ndcg@10"].notna()], *PLACE, *same, "stage")
    runs = runs.assign(
        **{name: runs[name].astype(object).fillna(TEXTS[name]) for name in ("subset", "split", "variant")}
    )
    runs = runs.drop_duplicates(same)
    where = runs["dataset"].astype(str) + runs["subset"].map({"with_images": ", items with images"}).fillna("")
    where += ", " + runs["protocol"].astype(object).fillna("-") + ", " + runs["scale"].astype(object).fillna("-")
    return runs.assign(where=where, name=display_names(runs))


def stopped_early(runs: pd.DataFrame) -> pd.Series:
    """Which runs ended before their patience had run out: their best epoch is not known to be the best."""
    patience = [SCALES.get(scale, {}).get("patience", MATCHED.patience) for scale in runs["scale"]]
    return runs["epochs"] - runs["best_epoch"] < patience
