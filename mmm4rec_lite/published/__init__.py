"""Published numbers as tidy frames, none measured here: as printed (coverage and improvements in percent), seconds.

Corrected: Table 1's "59.203" items of Movies are 59,203. Functions take wanted values, e.g. ``dataset="office"``."""

from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

METRICS = ("recall@10", "recall@50", "ndcg@10", "ndcg@50")
TARGETS = ("scientific", "pantry", "instruments", "arts", "office")


def paper(table: int | None = None, **where: Any) -> pd.DataFrame:
    """Tables 1 to 6: table, dataset, row (a metric), column (a system, variant or count), value, source; by cell."""
    cells = _read("paper").assign(source=lambda f: "arXiv 2506.02916v4, Table " + f["table"].astype(str))
    return _select(cells, **({} if table is None else {"table": table}), **where)


def logs(**where: Any) -> pd.DataFrame:
    """The authors' ten fine-tuning logs (AlwaysFHao/MMM4Rec at e0bc248), a line per epoch: dataset, with_id, epoch,
    loss, recall@10 .. ndcg@50 on the validation rows, train_seconds, valid_seconds."""
    return _select(_read("logs"), **where)


def log_tests(**where: Any) -> pd.DataFrame:
    """One line per log: valid_metric (it selects), best_epoch, epochs_run, steps_per_epoch, mean_train_seconds,
    test metrics, users, items."""
    return _select(_read("log_tests"), **where)


def elsewhere(**where: Any) -> pd.DataFrame:
    """The same cells where others published them first: system, with_id, dataset, row (a metric, or "epochs": the first
    best one, from 1), value, source."""
    return _select(_read("elsewhere"), **where)


def _select(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame.reset_index(drop=True)


@cache
def _read(name):
    with (files(__package__) / f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
