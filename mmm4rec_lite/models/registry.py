"""Every model by name: ``get_model``, ``list_models``, ``build_model``.

A name with ``+id`` is the model with a learned vector per item on top of its features ("T + ID"), where it has both.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from mmm4rec_lite.models.athwe import ATHWE, ATHWEConfig
from mmm4rec_lite.models.base import Batch, Catalogue, Recommender, count_parameters
from mmm4rec_lite.models.bsarec import BSARecConfig, bsarec
from mmm4rec_lite.models.config import STAGES, BaselineConfig, Config, ModelConfig, RecBoleConfig, TrainConfig
from mmm4rec_lite.models.fdsa import FDSA
from mmm4rec_lite.models.hm4sr import HM4SR, HM4SRConfig
from mmm4rec_lite.models.m3rec import M3Rec, M3RecConfig
from mmm4rec_lite.models.mamba4rec import Mamba4RecConfig, mamba4rec, mamba4rec_t
from mmm4rec_lite.models.missrec import MISSRec, MISSRecConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.models.mmsrec import MMSRec, MMSRecConfig
from mmm4rec_lite.models.s3rec import S3Rec, S3RecConfig
from mmm4rec_lite.models.sasrec import sasrec, sasrec_t
from mmm4rec_lite.models.tim4rec import CONFIG as TIM4REC
from mmm4rec_lite.models.tim4rec import tim4rec, tim4rec_t
from mmm4rec_lite.models.unisrec import UniSRec, UniSRecConfig
from mmm4rec_lite.models.vqrec import VQRec, VQRecConfig
from mmm4rec_lite.models.zesrec import ZESRec
from mmm4rec_lite.utils.errors import InputError, refuse


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a model before it is built. Sizes and training are those of the paper setting."""

    name: str
    title: str  # in tables
    reads: tuple[str, ...]  # of "id", "text", "image", "time", "category"
    build: Callable[..., Recommender]  # (config, catalogue) -> model
    config: Config
    training: TrainConfig
    paper: str  # who published it
    stages: tuple[str, ...] = ("scratch",)
    ids: str | None = None  # the config's switch for "+id"; None where there is no choice
    inner: int = 4  # the feed-forward's inner width over the width
    pretraining: Mapping[str, Any] = field(default_factory=dict)  # how the config differs while pre-training
    pretrained_by: TrainConfig | None = None  # None: pre-trained as trained
    own_domain: bool = False  # it pre-trains on the training part of its own domain and keeps all weights
    exact: str = "equal to the authors' class, 1e-9"  # users, scores and losses in float64: tests/support/goldens
    augments: bool = False  # its pre-training reads texts that lost some words, too
    needs: tuple[str, ...] = ("time", "category")  # of what it reads, what zeros cannot stand for
    unread: tuple[str, ...] = ()  # of the config's switches for released behaviour

    def sized(self, width: int, window: int | None = None, **changes: Any) -> Config:
        """The paper setting's config at another width (and window)."""
        sizes = dict(d_model=width, d_ff=self.inner * width, max_len=window or self.config.max_len)
        if isinstance(self.config, ModelConfig) and width < self.config.head_dim * self.config.n_groups:
            sizes |= dict(head_dim=2 * width // self.config.n_groups)  # as many groups, so narrower heads
        return self.config.replace(**{**sizes, **changes})

    def with_ids(self) -> "ModelSpec":
        """The same with a learned vector per item."""
        if self.ids is None:
            raise InputError(f"{self.name}: there is no +id form of it (it has ids always, or never)")
        config, pretraining = self.config.replace(**{self.ids: True}), {**self.pretraining, self.ids: False}
        name, title, reads = f"{self.name}+id", f"{self.title} + ID", ("id", *self.reads)
        return replace(self, name=name, title=title, reads=reads, config=config, ids=None, pretraining=pretraining)

    def count_parameters(self, width: int, features: int = 768) -> int:
        """Without per-item tables, at a width and the paper's window, over features of a length and 50 categories."""
        return count_parameters(self.build(self.sized(width), _one_item(features)))

    def losses(self) -> dict[str, tuple[str, ...]]:
        """Every stage's terms of the loss by name, as a small model computes them."""
        model, pair = self.build(self.sized(16, 8), _one_item(8)), torch.ones(2, dtype=torch.long)
        batch = Batch(pair.expand(2, 2), 2 * pair, pair.expand(2, 2), pair, pair)
        return {stage: tuple(model.losses(batch, stage)) for stage in self.stages}

    @property
    def quirks(self) -> tuple[str, ...]:
        """The config's switches for what public code does and a user would not want."""
        known = self.config.quirks if isinstance(self.config, ModelConfig) else self.config
        named = (f.name for f in fields(known) if f.type is bool and f.default is False)
        return tuple(name for name in named if name not in ("item_ids", *self.unread))


def _one_item(features: int) -> Catalogue:
    """A catalogue of an item that nothing is known of."""
    none = torch.zeros(2, features)
    return Catalogue(none, none, none[:, 0] == 0, none, torch.zeros(2, 50).bool())


_OWN = "MMM4Rec's own variant, Table 3"
_ID, _TEXT, _BOTH, _ALL = ("id",), ("text",), ("text", "image"), ("text", "image", "time")
_PAIR, _EACH, _FIVE = ("id", "text"), ("id", *_BOTH), ("id", *_ALL, "category")
_WIDE = BaselineConfig(d_model=256, d_ff=1024, n_heads=4, dropout=0.4)
_MAMBA, _UNI, _MISS = Mamba4RecConfig(), UniSRecConfig(d_model=300, d_ff=256), MISSRecConfig(d_model=300, d_ff=256)
_M3, _VQ = M3RecConfig(d_model=256, d_ff=1024), VQRecConfig(d_model=300, d_ff=256)
_HM, _AT = (kind(d_model=256, d_ff=1024, dropout=0.4) for kind in (HM4SRConfig, ATHWEConfig))
_ZES, _FDSA, _S3 = (kind(d_model=300, d_ff=256) for kind in (BaselineConfig, RecBoleConfig, S3RecConfig))
_MM, _MMM = MMSRecConfig(d_model=512, d_ff=1024), ModelConfig.paper(item_bias=False)
_ADAM = TrainConfig(optimizer="adam", epochs=100, batch_size=2048, lr=1e-3, weight_decay=0.0, patience=10)
_ADAM_1024 = _ADAM.replace(batch_size=1024)
_VQ_FIRST, _VQREC = _ADAM.replace(epochs=300, batch_size=8192), _ADAM.replace(lr=3e-3)
_ADAM_512 = _ADAM.replace(batch_size=512)
_M3REC = _ADAM_512.replace(accumulate=4, patience=5)
# published beside a sum of 8 gradients, where ours is their mean: to Adam the same but for the decay
_SASREC_T = _ADAM_512.replace(accumulate=8, lr=2.5e-4, weight_decay=1e-3 / 8, decay_all=True)
_BSAREC = _ADAM.replace(weight_decay=1e-4, decay_all=True, metric="recall@10")
_ADAMW = _ADAM.replace(optimizer="adamw", epochs=500, batch_size=1024, weight_decay=0.01, decay_all=True)
_MMSREC = _ADAMW.replace(accumulate=8, clip=1.0, metric="recall@10")
_NADAM, _FIRST = TrainConfig.paper("finetune").replace(stage="scratch"), TrainConfig.paper("pretrain")
_KANG, _HOU = "Kang & McAuley, ICDM 2018, arXiv 1808.09781", "Hou et al., KDD 2022, arXiv 2206.05941"
_FAN, _ZHANG = "Fan et al., 2024, arXiv 2409.16182", "Zhang et al., WWW 2025, arXiv 2501.14269"
_DING = "Ding et al., 2021, arXiv 2105.08318"
_WANG, _HERE = "Wang et al., ACM MM 2023, arXiv 2308.11175", "arXiv 2506.02916"
_ZHOU, _CODES = "Zhou et al., CIKM 2020, arXiv 2008.07873", "Hou et al., WWW 2023, arXiv 2210.12316"
_WHOSE = ("RecBole's", "UniSRec's", "MMM4Rec's copy of the")
_RECBOLE, _UNISREC, _COPY = (f"equal to {whose} class, 1e-9" for whose in _WHOSE)
_MISSING: dict[str, Any] = dict(needs=("image",), augments=True)
_S3_MORE: dict[str, Any] = dict(pretrained_by=_ADAM_1024.replace(epochs=300), own_domain=True, exact=_UNISREC)
_TIM: dict[str, Any] = dict(unread=("pad_item", "copies_compete", "filter_bias_twice", "no_image_ffn"))
_FEWER, _BLIND = dict(clusters=0.02), dict(query_time=False)
_SPECS = (
    ModelSpec("sasrec", "SASRec", _ID, sasrec, BaselineConfig(), _ADAM_512, _KANG, exact=_RECBOLE),
    ModelSpec("sasrec_t", "SASRec_T", _TEXT, sasrec_t, _WIDE, _SASREC_T, _OWN),
    ModelSpec("mamba4rec", "Mamba4Rec", _ID, mamba4rec, _MAMBA, _ADAM, "Liu et al., 2024, arXiv 2403.03900"),
    ModelSpec("mamba4rec_t", "Mamba4Rec_T", _TEXT, mamba4rec_t, _MAMBA, _ADAM, _OWN),
    ModelSpec("tim4rec", "TiM4Rec", ("id", "time"), tim4rec, TIM4REC, _ADAM, _FAN, exact=_COPY, **_TIM),
    ModelSpec("tim4rec_t", "TiM4Rec_T", ("text", "time"), tim4rec_t, TIM4REC.replace(n_groups=1), _ADAM, _OWN, **_TIM),
    ModelSpec("bsarec", "BSARec", _ID, bsarec, BSARecConfig(), _BSAREC, "Shin et al., AAAI 2024, arXiv 2312.10325"),
    ModelSpec("m3rec", "M3Rec", _EACH, M3Rec, _M3, _M3REC, "Guo et al., ICASSP 2025"),
    ModelSpec("hm4sr", "HM4SR", _FIVE, HM4SR, _HM, _ADAM_1024, _ZHANG, exact=_COPY),
    ModelSpec("athwe", "ATHWE", _FIVE, ATHWE, _AT, _ADAM_1024, "Liu et al., ACM TOIS 2026", exact=_COPY),
    ModelSpec("fdsa", "FDSA", _PAIR, FDSA, _FDSA, _ADAM, "Zhang et al., IJCAI 2019", exact=_UNISREC),
    ModelSpec("s3rec", "S3-Rec", _PAIR, S3Rec, _S3, _ADAM, _ZHOU, STAGES, **_S3_MORE),
    ModelSpec("zesrec", "ZESRec", _TEXT, ZESRec, _ZES, _ADAM, _DING, STAGES, exact="no public class"),
    ModelSpec("unisrec", "UniSRec", _TEXT, UniSRec, _UNI, _ADAM, _HOU, STAGES, "item_ids", augments=True),
    ModelSpec("vqrec", "VQRec", _TEXT, VQRec, _VQ, _VQREC, _CODES, STAGES, pretrained_by=_VQ_FIRST),
    ModelSpec("mmsrec", "MMSRec", _BOTH, MMSRec, _MM, _MMSREC, "Song et al., 2023, arXiv 2304.13277", STAGES, None, 2),
    ModelSpec("missrec", "MISSRec", _BOTH, MISSRec, _MISS, _ADAM_512, _WANG, STAGES, "item_ids", 4, _FEWER, **_MISSING),
    ModelSpec(
        "mmm4rec", "MMM4Rec", _ALL, MMM4Rec.from_catalogue, _MMM, _NADAM, _HERE, STAGES, "item_bias", 1, _BLIND, _FIRST
    ),
)
MODELS = {spec.name: spec for spec in _SPECS}


def get_model(name: str) -> ModelSpec:
    """The model called ``name``, with ``+id`` behind it for the form with a learned vector per item.

    Parameters
    ----------
    name : as in ``list_models()``

    Examples
    --------
    >>> get_model("unisrec+id").reads
    ('id', 'text')
    """
    base = name.removesuffix("+id")
    refuse(base not in MODELS, f"model: {name!r} is not built here; one of {', '.join(MODELS)}")
    return MODELS[base] if base == name else MODELS[base].with_ids()


def build_model(name: str, catalogue: Catalogue, config: Config | None = None) -> Recommender:
    """A new model over a catalogue, with random start weights.

    Parameters
    ----------
    name : as in ``get_model``
    catalogue : what ``features.catalogue(item_ids)`` made
    config : sizes; None: those of the paper, ``get_model(name).sized(width)`` for others

    Examples
    --------
    >>> catalogue = Catalogue(torch.randn(9, 12), torch.randn(9, 10), torch.ones(9, dtype=torch.bool))
    >>> build_model("sasrec_t", catalogue, get_model("sasrec_t").sized(16)).candidates().shape
    torch.Size([9, 16])
    """
    spec = get_model(name)
    return spec.build(spec.config if config is None else config, catalogue)


def missing_inputs(spec: ModelSpec, available: Collection[str], zeros: bool = False) -> str:
    """Why data with what is ``available`` of ``ModelSpec.reads`` cannot feed the model; "" where they can.

    ``zeros``: they may stand for what is not among ``ModelSpec.needs``.
    """
    wanted = set(spec.needs if zeros else spec.reads)
    lost = [name for name in spec.reads if name in wanted and name not in ("id", *available)]
    return f"{spec.name} reads {', '.join(spec.reads)}; these data have no {' and no '.join(lost)}" if lost else ""


def list_models(widths: Collection[int] = (64, 256)) -> list[dict[str, Any]]:
    """Every model as a plain record: name, modalities, stages, paper, losses, quirks, exact, parameters by width.

    Parameters
    ----------
    widths : at which parameters are counted

    Examples
    --------
    >>> [model["name"] for model in list_models(widths=[])][:3]
    ['sasrec', 'sasrec_t', 'mamba4rec']
    """
    known = lambda m: dict(name=m.name, title=m.title, modalities=list(m.reads)) | {"with ids too": m.ids is not None}
    origin = lambda m: dict(stages=list(m.stages), paper=m.paper, quirks=list(m.quirks), exact=m.exact)
    terms = lambda m: dict(losses={stage: list(names) for stage, names in m.losses().items()})
    counts = lambda m: dict(parameters={str(width): m.count_parameters(width) for width in widths})
    return [known(model) | origin(model) | terms(model) | counts(model) for model in MODELS.values()]
