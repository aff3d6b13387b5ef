"""What the audit trains, from scratch on one dataset: forms of time-awareness, single quirks, orders; paired."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch

from mmm4rec_lite.data import Dataset, order
from mmm4rec_lite.evaluation import ndcg_per_row
from mmm4rec_lite.models.config import ModelConfig, Quirks, TrainConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.runs import Task, as_changes, initial_model, run
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.typing import Float, Int, Tensor

MODEL = "mmm4rec+id"
Form = tuple[dict[str, Any], bool]  # changes of the config, weight decay on everything
SMALL = ModelConfig(d_model=32, d_ff=32, d_state=8, head_dim=8)
TRAINING = TrainConfig(epochs=4, patience=2, lr=3e-3)

_AS_PUBLISHED = dict(target_time=True, padded_times=True, dropout_on_gaps=True)
_SECONDS = dict(gaps="seconds", gap_vector=False)
FORMS: dict[str, Form] = {  # name -> (changes of the config, weight decay on everything)
    "no time": (dict(time=False), False),
    "no time, published start": (dict(time=False, quirks=Quirks(published_init=True)), True),
    "published": (dict(**_SECONDS, quirks=Quirks(published_init=True, **_AS_PUBLISHED)), True),
    "revived": (dict(**_SECONDS, quirks=Quirks(**_AS_PUBLISHED)), False),
    "revived, real gaps only": (_SECONDS, False),
    "log-gaps and gap vector": ({}, False),
    "the same, told the time of the request": (dict(query_time=True), False),
}
QUIRKS: dict[str, Form] = (
    {"none": (_SECONDS, False)}
    | {f.name: (dict(**_SECONDS, quirks=Quirks(**{f.name: True})), f.name == "published_init") for f in fields(Quirks)}
    | {"all": (dict(**_SECONDS, quirks=Quirks.all()), True)}
)


@dataclass(frozen=True, eq=False)
class Bench:
    """What the audit works on; ``options``: of the command line that makes the same bench."""

    task: Task
    training: TrainConfig = TRAINING
    seeds: tuple[int, ...] = (0, 1, 2)
    config: ModelConfig = SMALL
    options: str = ""

    def __str__(self) -> str:
        t, users = self.training, self.dataset.interactions["user"].nunique()
        amount = f"{t.rows_per_epoch:,} rows" if t.rows_per_epoch else "all rows"
        seeds = ", ".join(map(str, self.seeds))
        return (
            f"{self.dataset.name}, {users:,} users, features {self.task.features.encoder['name']}; {device()}, "
            f"d_model {self.config.d_model}, at most {t.epochs} epochs of {amount}, seeds {seeds}"
        )

    @property
    def dataset(self) -> Dataset:
        return self.task.dataset

    @property
    def origin(self) -> tuple[str, str]:
        """What a ``Finding`` says of its data: in words, and as options of the command line."""
        return str(self), self.options

    def shuffled(self, seed: int) -> "Bench":
        """The same with interactions of one user at the same time in random order."""
        mixed = order(self.dataset.interactions, "shuffle", seed)
        return replace(self, task=replace(self.task, dataset=replace(self.dataset, interactions=mixed)))


def trial(bench: Bench, form: Form, seed: int) -> tuple[MMM4Rec, Int[Tensor, " R"]]:
    """(model, ranks of the test rows) of one run; ``form`` is a value of ``FORMS`` or ``QUIRKS``."""
    changes, decay_all = form
    training = bench.training.replace(decay_all=decay_all, seed=seed)
    done = run(bench.task, MODEL, progress=False, **as_changes(bench.config.replace(**changes), training))
    return cast(MMM4Rec, done.model), done.ranks


def fresh(bench: Bench, form: Form, seed: int) -> MMM4Rec:
    """The model of ``trial`` before its first step."""
    return cast(MMM4Rec, initial_model(bench.task, MODEL, seed=seed, **as_changes(bench.config.replace(**form[0]))))


def trials(bench: Bench, forms: Mapping[str, Form]) -> dict[str, Float[Tensor, "seeds R"]]:
    """NDCG@10 of every test row, per form."""
    over_seeds = lambda form: torch.stack([ndcg_per_row(trial(bench, form, seed)[1]) for seed in bench.seeds])
    return {name: over_seeds(form) for name, form in forms.items()}
