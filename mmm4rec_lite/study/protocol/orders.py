"""The same interactions in two orders: how far another public preprocessing of the same data moves every system."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.runs import Task
from mmm4rec_lite.study.protocol.runner import sweep
from mmm4rec_lite.study.protocol.tuning import Tuned, join_variants, settings, usual_form
from mmm4rec_lite.utils.errors import InputError, refuse

OTHER, COMPARED = "another order", ("sasrec", "mamba4rec", "sasrec_t", "unisrec", "mmm4rec")


def in_order_of(dataset: Dataset, other: Dataset) -> Dataset:
    """The interactions of ``dataset``, each user's in the order and with the time stamps that ``other`` has.

    InputError where ``other`` lacks one of them; what it has besides is left out.
    """
    rows, keys = dataset.interactions, ["user", "item"]
    count = lambda frame: frame.assign(nth=frame.groupby(keys).cumcount())
    found = count(other.interactions).merge(count(rows)[[*keys, "nth"]])
    lost = len(rows) - len(found)
    told = f"{other.name}: lacks {lost} of the {len(rows)} interactions of {dataset.name}; take the same data"
    refuse(lost > 0, told)
    return replace(dataset, interactions=found[rows.columns].reset_index(drop=True))


def changed_targets(dataset: Dataset, other: Dataset) -> dict[str, float]:
    """Shares of the users with another order, and with another last item (the test target)."""
    own, moved = (one.interactions.groupby("user")["item"].agg(list) for one in (dataset, other))
    ends = (own.str[-1] != moved.str[-1]).mean()
    return {"reordered_share": float((own != moved).mean()), "retargeted_share": float(ends)}


def two_orders(
    task: Task, systems: Iterable[str] = COMPARED, tuned: Tuned = False, beside: Dataset | None = None, **how: Any
) -> pd.DataFrame:
    """Every system on both orders of the same interactions; ``beside``: data that have them in the other one.

    ``tuned``: as of ``comparison``, chosen on the first order.
    """
    if beside is None:
        raise InputError("orders: give a dataset with the same interactions in another order; say --beside")
    names, other = list(systems), replace(task, dataset=in_order_of(task.dataset, beside))
    own, trials = settings(task, names, tuned, how)
    forms = [(name, *usual_form(task, name)) for name in names]
    wanted = lambda order: [(n, join_variants(form, order), first | own.get(n, {})) for n, form, first in forms]
    frames = [sweep(one, wanted(order), **how) for one, order in ((task, ""), (other, OTHER))]
    out = pd.concat(frames, ignore_index=True).assign(**changed_targets(task.dataset, other.dataset))
    out.attrs.update(frames[0].attrs, **trials)
    return out
