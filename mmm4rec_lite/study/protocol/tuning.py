"""Learning rate, drop-out and width of each system, chosen on validation from one grid: the same budget for all.

An untuned rival makes any model win. The grid has two levels of each factor and half of their combinations, so that
every two levels of different factors meet; the seed of the choice is 0, and the test rows take no part in it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from mmm4rec_lite.data.schema import read_csv
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.runs import Run, Task
from mmm4rec_lite.study.protocol.runner import sweep

Setting = Mapping[str, Any]  # lr, dropout, width
Tuned: TypeAlias = bool | pd.DataFrame  # whether to choose settings, or the trials by which they were chosen before
WITHOUT_TIME = "w/o Time"
OF_TASK = ("dataset", "protocol", "scale")  # what a choice holds for
GRID: tuple[Setting, ...] = (
    dict(lr=1e-3, dropout=0.2, width=64),
    dict(lr=1e-3, dropout=0.5, width=128),
    dict(lr=4e-3, dropout=0.5, width=64),
    dict(lr=4e-3, dropout=0.2, width=128),
)


def tune(task: Task, systems: Sequence[str], grid: Sequence[Setting] | None = None, **how: Any) -> pd.DataFrame:
    """A row per system and setting: its lr, dropout, width, best validation NDCG@10 (valid), whether it is chosen.

    ``grid``: ``GRID`` by default; ``how``: as of ``sweep``, less the seeds. Test metrics stand in no column.
    """
    wanted = [(n, setting_name(one), usual_form(task, n)[1] | dict(one)) for n in systems for one in grid or GRID]
    frame = sweep(task, wanted, **how | dict(seeds=(0,), reads=_validation))
    if frame.empty:
        return frame.assign(chosen=False)
    frame["chosen"] = frame.index.isin(frame.groupby("system")["valid"].idxmax())
    return frame


def choices(trials: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """system -> the setting chosen for it, as arguments of ``sweep``."""
    own = trials[trials["chosen"]]
    plain = lambda row: dict(lr=float(row["lr"]), dropout=float(row["dropout"]), width=int(row["width"]))
    return {row["system"]: plain(row) for row in own.to_dict(orient="records")}


def setting_name(setting: Setting) -> str:
    """In words."""
    return f"lr {setting['lr']:g}, drop-out {setting['dropout']:g}, width {setting['width']}"


def settings(
    task: Task, systems: Sequence[str], tuned: Tuned, how: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, pd.DataFrame]]:
    """What to change of each system's settings, and the trials by which that was chosen as ``attrs`` of a frame.

    ``tuned``: trials that ``tune`` made before, of other data and scales as well; systems without any are tried now.
    """
    if tuned is False:
        return {}, {}
    before = _earlier(tuned, task, how) if isinstance(tuned, pd.DataFrame) else pd.DataFrame(columns=["system"])
    before = before[before["system"].isin(systems)]
    left = [name for name in systems if name not in set(before["system"])]
    trials = tune(task, left, **{name: value for name, value in how.items() if name not in ("seeds", "reads")})
    trials = pd.concat([frame for frame in (before, trials) if len(frame)] or [trials], ignore_index=True)
    return choices(trials), {"trials": trials}


def read_trials(path: Path | str) -> pd.DataFrame:
    """Trials that ``tune`` made (NAME-tuning.csv of `reproduce --tuned`); InputError where it is none."""
    return read_csv(path, "trials, as --tuned writes them", (*OF_TASK, *"system lr dropout width chosen".split()))


def _earlier(trials, task, how):
    """Those of this dataset, protocol and scale."""
    own = pd.Series((task.dataset.name, how["protocol"].name, how["protocol"].scale), OF_TASK)
    return trials[(trials[list(OF_TASK)] == own).all(axis=1)]


def usual_form(task: Task, system: str) -> tuple[str, dict[str, Any]]:
    """(variant, what ``run`` takes): pre-trained on its own domain where it is, without time where there are none."""
    spec = get_model(system)
    first = dict(pretrained=True) if spec.own_domain else {}
    timeless = "time" in spec.reads and "time" not in task.inputs and hasattr(spec.config, "time")
    return (WITHOUT_TIME, first | dict(time=False)) if timeless else ("", first)


def join_variants(*variants: str) -> str:
    """The name of all of them together: "w/o Time, w/o PT"; "" is the whole model."""
    return ", ".join(filter(None, variants))


def _validation(run: Run) -> list[dict[str, Any]]:
    about = "dataset subset split n_items system stage protocol scale seed device date run_id epochs best_epoch seconds"
    config, lr = run.model.config, json.loads(run.record["changes"])["lr"]
    own = {name: run.record[name] for name in about.split()}
    best = run.history.loc[run.history["best"], "ndcg@10"].iloc[0]
    return [own | dict(lr=lr, dropout=config.dropout, width=config.d_model, valid=float(best))]
