"""Small training runs that the audit compares: forms of time-awareness, single quirks, tie orders.

All are runs of ``experiments.trials``, from scratch, on one dataset. Comparisons are paired: the same users, the same
seeds.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch

from mmm4rec_lite.data import Dataset, order
from mmm4rec_lite.evaluation import ndcg_per_row
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.stages import fit_gaps, split
from mmm4rec_lite.study.protocol.runner import Task as Bench
from mmm4rec_lite.study.protocol.runner import run
from mmm4rec_lite.training import TrainConfig
from mmm4rec_lite.utils.devices import device

SMALL = ModelConfig(d_model=32, d_ff=32, d_state=8, head_dim=8)
TRAINING = TrainConfig(epochs=4, patience=2, lr=3e-3)

_AS_PUBLISHED = dict(target_time=True, padded_times=True, dropout_on_gaps=True)
_SECONDS = dict(gaps="seconds", gap_vector=False)
FORMS = {  # name -> (changes of the config, weight decay on everything)
    "no time": (dict(time=False), False),
    "no time, published start": (dict(time=False, quirks=Quirks(published_init=True)), True),
    "published": (dict(**_SECONDS, quirks=Quirks(published_init=True, **_AS_PUBLISHED)), True),
    "revived": (dict(**_SECONDS, quirks=Quirks(**_AS_PUBLISHED)), False),
    "revived, real gaps only": (_SECONDS, False),
    "log-gaps and gap vector": ({}, False),
    "the same, told the time of the request": (dict(query_time=True), False),
}
QUIRKS = (
    {"none": (_SECONDS, False)}
    | {f.name: (dict(**_SECONDS, quirks=Quirks(**{f.name: True})), f.name == "published_init") for f in fields(Quirks)}
    | {"all": (dict(**_SECONDS, quirks=Quirks.all()), True)}
)


@dataclass(frozen=True, eq=False)
class Task:
    """What the audit works on: a dataset with times, its features, the sizes and seeds of its trials."""

    dataset: Dataset
    features: Features
    training: TrainConfig = TRAINING
    seeds: tuple = (0, 1, 2)
    config: ModelConfig = SMALL
    options: str = ""  # of the command line that makes the same task

    def __str__(self):
        t = self.training
        amount = f"{t.rows_per_epoch:,} rows" if t.rows_per_epoch else "all rows"
        users = self.dataset.interactions["user"].nunique()
        seeds = ", ".join(map(str, self.seeds))
        encoder = self.features.encoder["name"]
        return (
            f"{self.dataset.name}, {users:,} users, features {encoder}; {device()}, d_model {self.config.d_model}, "
            f"at most {t.epochs} epochs of {amount}, seeds {seeds}"
        )

    @property
    def origin(self):
        """What a ``Finding`` says of its data: in words, and as options of the command line."""
        return str(self), self.options

    def shuffled(self, seed):
        """The same with interactions of one user at the same time in random order."""
        mixed = order(self.dataset.interactions, "shuffle", seed)
        return replace(self, dataset=replace(self.dataset, interactions=mixed))

    @cached_property
    def bench(self):
        """The same for ``experiments.trials``."""
        return Bench(self.dataset, self.features)


def trial(task, form, seed):
    """(model, ranks [R] of the test rows) of one run; ``form`` is a value of ``FORMS`` or ``QUIRKS``."""
    changes, decay_all = form
    done = run(
        task.bench, "mmm4rec", task.config.replace(**changes), task.training.replace(seed=seed, decay_all=decay_all)
    )
    return done.model, done.ranks


def fresh(task, form, seed):
    """The model of ``trial`` before its first step."""
    torch.manual_seed(seed)
    model = MMM4Rec.from_catalogue(task.config.replace(**form[0]), task.features.catalogue(task.dataset.items["item"]))
    fit_gaps(model, split(task.dataset))
    return model.eval()


def trials(task, forms):
    """NDCG@10 of every test row, [seeds, R], per form: name -> tensor."""
    return {
        name: torch.stack([ndcg_per_row(trial(task, form, seed)[1]) for seed in task.seeds])
        for name, form in forms.items()
    }
