"""The compared systems and MMM4Rec on one skeleton: ``SYSTEMS`` by name, ``get_model(name)`` with variants.

A name with ``+id`` is the system with a learned vector per item on top of its features ("T + ID"), where it has both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from mmm4rec_lite.models import bsarec, mamba4rec, missrec, mmsrec, sasrec, tim4rec, unisrec
from mmm4rec_lite.models.base import Catalogue, SystemConfig, count_parameters
from mmm4rec_lite.models.config import ModelConfig, TrainConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import InputError


@dataclass(frozen=True)
class System:
    """One entry of the bench.

    name: its page's; title: in tables; reads: of "id", "text", "image", "time"; build(config, catalogue) -> model;
    config: the paper setting's sizes; training: the paper setting's training; ids: the config's switch for "+id"
    (None where there is no choice); inner: the feed-forward's inner width over the width; paper: who published it;
    pretraining: how its stages differ from ``config`` while pre-training.
    """

    name: str
    title: str
    reads: tuple
    build: Callable
    config: SystemConfig | ModelConfig
    training: TrainConfig
    paper: str
    stages: tuple = ("scratch",)
    ids: str | None = None
    inner: int = 4
    pretraining: dict = field(default_factory=dict)

    def sized(self, width, window=None, **changes):
        """The paper setting's config at another width (and window)."""
        inner = "d_ff" if isinstance(self.config, SystemConfig) else "d_ff"
        sizes = {"d_model": width, inner: self.inner * width} | ({} if window is None else {"max_len": window})
        if isinstance(self.config, ModelConfig) and width < self.config.head_dim * self.config.n_groups:
            sizes |= dict(head_dim=2 * width // self.config.n_groups)  # as many groups, so narrower heads
        return self.config.replace(**{**sizes, **changes})

    def with_ids(self):
        """The same with a learned vector per item."""
        if self.ids is None:
            raise InputError(f"{self.name}: there is no +id form of it (it has ids always, or never)")
        return System(
            **{
                **vars(self),
                "name": f"{self.name}+id",
                "title": f"{self.title} + ID",
                "reads": ("id", *self.reads),
                "config": self.config.replace(**{self.ids: True}),
                "ids": None,
                "pretraining": {**self.pretraining, self.ids: False},
            }
        )


def _mmm4rec(config, catalogue):
    return MMM4Rec(config, catalogue.image, catalogue.text)


_ADAM = TrainConfig(optimizer="adam", epochs=100, batch_size=2048, lr=1e-3, weight_decay=0.0, patience=10)
_BOTH = ("scratch", "pretrain", "finetune")

SYSTEMS = {
    system.name: system
    for system in (
        System(
            "sasrec",
            "SASRec",
            ("id",),
            sasrec.sasrec,
            SystemConfig(),
            _ADAM.replace(batch_size=512),
            "Kang & McAuley, ICDM 2018, arXiv 1808.09781",
        ),
        System(
            "sasrec_t",
            "SASRec_T",
            ("text",),
            sasrec.sasrec_t,
            SystemConfig(d_model=256, d_ff=1024, n_heads=4, dropout=0.4),
            _ADAM.replace(batch_size=512, accumulate=8, lr=2.5e-4, weight_decay=1e-3),
            "MMM4Rec's own variant, Table 3",
        ),
        System(
            "mamba4rec",
            "Mamba4Rec",
            ("id",),
            mamba4rec.mamba4rec,
            mamba4rec.Mamba4RecConfig(),
            _ADAM,
            "Liu et al., 2024, arXiv 2403.03900",
        ),
        System(
            "mamba4rec_t",
            "Mamba4Rec_T",
            ("text",),
            mamba4rec.mamba4rec_t,
            mamba4rec.Mamba4RecConfig(),
            _ADAM,
            "MMM4Rec's own variant, Table 3",
        ),
        System(
            "tim4rec",
            "TiM4Rec",
            ("id", "time"),
            tim4rec.tim4rec,
            tim4rec.CONFIG,
            _ADAM,
            "Fan et al., 2024, arXiv 2409.16182",
        ),
        System(
            "tim4rec_t",
            "TiM4Rec_T",
            ("text", "time"),
            tim4rec.tim4rec_t,
            tim4rec.CONFIG.replace(n_groups=1),
            _ADAM,
            "MMM4Rec's own variant, Table 3",
        ),
        System(
            "bsarec",
            "BSARec",
            ("id",),
            bsarec.bsarec,
            bsarec.BSARecConfig(),
            _ADAM.replace(weight_decay=1e-4, metric="recall@10"),
            "Shin et al., AAAI 2024, arXiv 2312.10325",
        ),
        System(
            "unisrec",
            "UniSRec",
            ("text",),
            unisrec.unisrec,
            unisrec.UniSRecConfig(d_model=300, d_ff=256),
            _ADAM,
            "Hou et al., KDD 2022, arXiv 2206.05941",
            _BOTH,
            "item_ids",
        ),
        System(
            "mmsrec",
            "MMSRec",
            ("text", "image"),
            mmsrec.mmsrec,
            mmsrec.MMSRecConfig(d_model=512, d_ff=1024),
            _ADAM.replace(
                optimizer="adamw",
                epochs=500,
                batch_size=1024,
                accumulate=8,
                weight_decay=0.01,
                clip=1.0,
                metric="recall@10",
            ),
            "Song et al., 2023, arXiv 2304.13277",
            _BOTH,
            inner=2,
        ),
        System(
            "missrec",
            "MISSRec",
            ("text", "image"),
            missrec.missrec,
            missrec.MISSRecConfig(d_model=300, d_ff=256),
            _ADAM.replace(batch_size=512),
            "Wang et al., ACM MM 2023, arXiv 2308.11175",
            _BOTH,
            "item_ids",
            pretraining=dict(clusters=0.02),
        ),
        System(
            "mmm4rec",
            "MMM4Rec",
            ("text", "image", "time"),
            _mmm4rec,
            ModelConfig.paper(item_bias=False),
            TrainConfig.paper("finetune").replace(stage="scratch"),
            "arXiv 2506.02916",
            _BOTH,
            "item_bias",
            inner=1,
        ),
    )
}


def get_model(name):
    """The system called ``name``, with ``+id`` behind it for the form with a learned vector per item."""
    base = name.removesuffix("+id")
    if base not in SYSTEMS:
        raise InputError(f"system: {name!r} is not built here; one of {', '.join(SYSTEMS)}")
    return SYSTEMS[base] if base == name else SYSTEMS[base].with_ids()


def missing_inputs(system, has):
    """Why data that has ``has`` (of "text", "image", "time") cannot feed the system, in one line; "" where it can."""
    lost = [name for name in system.reads if name not in ("id", *has)]
    return f"{system.name} reads {', '.join(system.reads)}; these data have no {' and no '.join(lost)}" if lost else ""


def parameters_at(system, width, features=768):
    """Parameters without per-item tables, at a width and the page's window, over features of the given length."""
    blank = torch.zeros(2, features)
    catalogue = Catalogue(blank, blank, torch.ones(2, dtype=torch.bool))
    return count_parameters(system.build(system.sized(width), catalogue))


def list_models(widths=(64, 256)):
    """Every system: name, modalities, stages, paper, parameters by width; a list of plain records."""
    return [
        {
            "name": s.name,
            "title": s.title,
            "modalities": list(s.reads),
            "with ids too": s.ids is not None,
            "stages": list(s.stages),
            "paper": s.paper,
            "parameters": {str(w): parameters_at(s, w) for w in widths},
        }
        for s in SYSTEMS.values()
    ]


__all__ = ["SYSTEMS", "System", "parameters_at", "get_model", "list_models", "missing_inputs"]
