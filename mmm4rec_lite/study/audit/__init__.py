"""The audit: what the paper claims, what running code and the authors' own logs say, and a verdict.

``published_tables`` needs no data, ``weight_sharing`` no training; ``time_stamps``, ``time_branch`` and ``quirks``
train small models on data with time stamps (``trials``). ``save`` keeps what takes longer than a notebook can wait.
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from mmm4rec_lite.data import order_only
from mmm4rec_lite.runs import Task
from mmm4rec_lite.study.audit import published_tables, quirks, time_branch, time_stamps, weight_sharing
from mmm4rec_lite.study.audit.finding import Finding, page, short, summary
from mmm4rec_lite.study.audit.trials import TRAINING, Bench
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.study.protocol.scale import scale as asked
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import atomic

BY_ITSELF = {
    "cells-and-logs": published_tables.cells_and_logs,
    "arithmetic": published_tables.arithmetic,
    "improvements": published_tables.improvements,
    "epochs-to-converge": published_tables.epochs_to_converge,
    "quoted-columns": published_tables.quoted_columns,
    "dual-channel": weight_sharing.dual_channel,
    "shared-weights": weight_sharing.shared_weights,
    "two-orders": time_stamps.two_orders,
}
ON_DATA = {
    "time-leak": time_stamps.time_leak,
    "padded-times": time_stamps.padded_times,
    "dead-branch": time_branch.dead_branch,
    "revived": time_branch.revived,
    "same-day-order": time_stamps.same_day_order,
    "request-time": time_branch.request_time,
    "pad-item": quirks.pad_item,
    "quirks": quirks.quirks,
}
SCALES = {"quick": (TRAINING.replace(epochs=2, rows_per_epoch=4_000), (0,)), "full": (TRAINING, (0, 1, 2))}


def bench(task: Task | None = None, scale: str | None = None, seeds: int | None = None, options: str = "") -> Bench:
    """What to audit on: data with times, by default MovieLens-100K's target domain.

    ``scale``: "quick" (about a minute in all; shows the machinery) or "full" (for numbers to keep);
    ``$MMM4REC_SCALE`` or quick by default. ``seeds``: how many, instead of the scale's own. ``options``: of the
    command line that gives these data, for ``Finding.rerun``.
    """
    scale = scale or asked()
    training, own = presets.by_scale(SCALES, scale)
    task = task or presets.film_task()
    if order_only(task.dataset):
        raise InputError(f"audit: {task.dataset.name} has no times, only an order; give a dataset with time stamps")
    own = own if seeds is None else tuple(range(seeds))
    options += "" if scale == "quick" and seeds is None else f" --scale {scale} --seeds {len(own)}"
    return Bench(task, training, own, options=options)


def chosen(only: Collection[str] = ()) -> list[str]:
    """The names of findings among ``only`` (all by default); InputError for others."""
    known = [*BY_ITSELF, *ON_DATA]
    if unknown := sorted(set(only) - {*known}):
        raise InputError(f"audit: no finding is called {', '.join(unknown)}; there are: {', '.join(known)}")
    return [name for name in known if not only or name in only]


def audit(where: Bench | None, only: Collection[str] = (), progress: bool = True) -> list[Finding]:
    """The findings called ``only`` (names; all by default); those on data are made on ``where``."""
    known: dict[str, Callable[..., Finding]] = BY_ITSELF | ON_DATA
    bar = tqdm(chosen(only), desc="audit", disable=not progress)
    findings = []
    for name in bar:
        bar.set_postfix_str(name)
        findings.append(known[name](where) if name in ON_DATA else known[name]())
    return findings


def save(findings: Iterable[Finding], path: Path | str) -> None:
    """Keep findings with their tables and origin (date, versions, device) as a JSON file."""
    origin = presets.environment()["measured with"].drop("seed").to_dict()
    lines = [{**asdict(replace(f, table=None)), "table": _plain(f.table)} for f in findings]
    with atomic(path) as temporary:
        text = json.dumps({"date": f"{datetime.now(UTC):%Y-%m-%d}", **origin, "findings": lines}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(table):
    """A frame as lists, floats in full (``to_json`` cuts what is below 1e-15), NaN as null."""
    values = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    return {"columns": table.columns.tolist(), "data": json.loads(json.dumps(values, default=lambda v: v.item()))}


def load(path: Path | str) -> tuple[list[Finding], dict[str, Any]]:
    """(findings, origin) of a file by ``save``."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such audit; make one with `mmm4rec-lite audit --out {path}`")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        findings = [Finding(**{**line, "table": pd.DataFrame(**line["table"])}) for line in content.pop("findings")]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not an audit file; make it anew with `mmm4rec-lite audit --out {path}`") from None
    return findings, content


__all__ = ["Bench", "Finding", "audit", "bench", "chosen", "load", "page", "save", "short", "summary"]
