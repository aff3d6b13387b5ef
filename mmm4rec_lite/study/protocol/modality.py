"""What a modality is worth: systems trained without it, on noise in its place, and on a copy of the other one.

A system that does as well on noise as on pictures has not used the pictures; one that does as well on a copy of the
texts has used that there are two inputs, not what is in the second (arXiv 2508.05377 asks this of many systems).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from mmm4rec_lite.features import Features
from mmm4rec_lite.runs import Task
from mmm4rec_lite.study.protocol.runner import sweep
from mmm4rec_lite.study.protocol.tuning import Tuned, join_variants, settings, usual_form
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Float, Tensor

READERS = ("mmsrec", "missrec", "mmm4rec")  # of text and pictures


def without(rows: Features, modality: str) -> Features:
    """No item has it: zeros, and for pictures also ``has_image``."""
    has = torch.zeros_like(rows.has_image) if modality == "image" else rows.has_image
    return _with(rows, modality, torch.zeros_like(getattr(rows, modality)), has)


def noise(rows: Features, modality: str, seed: int = 0) -> Features:
    """Draws of a normal distribution with the mean and covariance of the vectors that there are."""
    table = getattr(rows, modality)
    own = table[rows.has_image] if modality == "image" else table
    drawn = alike(own, len(table), seed)
    return _with(rows, modality, torch.where(rows.has_image[:, None], drawn, 0) if modality == "image" else drawn)


def alike(table: Float[Tensor, "I D"], count: int, seed: int = 0) -> Float[Tensor, "R D"]:
    """``count`` draws: the table's mean, and centred rows mixed by normal numbers, whose covariance is the table's."""
    mixing = torch.randn(count, len(table), generator=torch.Generator().manual_seed(seed))
    return table.mean(0) + mixing @ (table - table.mean(0)) / len(table) ** 0.5


def copied(rows: Features, modality: str) -> Features:
    """The other modality's vectors in its place, of every item that has it."""
    other = {"image": rows.text, "text": rows.image}[modality]
    return _with(rows, modality, torch.where(rows.has_image[:, None], other, 0))


FORMS: dict[str, tuple[Callable[..., Features], str]] = {  # variant -> (what is done to the features, which modality)
    "": (lambda rows, modality: rows, "image"),
    "no pictures": (without, "image"),
    "pictures are noise": (noise, "image"),
    "pictures are copies of the texts": (copied, "image"),
    "no texts": (without, "text"),
    "texts are noise": (noise, "text"),
    "texts are copies of the pictures": (copied, "text"),
}


def modality_worth(task: Task, systems: Iterable[str] = READERS, tuned: Tuned = False, **how: Any) -> pd.DataFrame:
    """Every system trained and tested on each of ``FORMS``; those that need pictures have no row for "no pictures".

    ``tuned``: as of ``comparison``, chosen for the features as they are.
    """
    refuse(not task.catalogue.has_image.any(), f"{task.dataset.name}: no item has a picture; there is nothing to take")
    names = list(systems)
    own, trials = settings(task, names, tuned, how)
    frames = []
    forms = [(name, *usual_form(task, name)) for name in names]
    for variant, (change, modality) in FORMS.items():
        wanted = [(n, join_variants(form, variant), first | own.get(n, {})) for n, form, first in forms]
        frames.append(sweep(replace(task, features=change(task.features, modality)), wanted, **how | dict(zeros=True)))
    out = pd.concat(frames, ignore_index=True)
    left = {form: why for frame in frames for form, why in frame.attrs.get("left_out", {}).items()}
    out.attrs.update(trials, left_out=left)
    return out


def _with(rows, modality, table, has_image=None):
    return replace(rows, has_image=rows.has_image if has_image is None else has_image, **{modality: table})
