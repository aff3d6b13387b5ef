"""Every size and switch of the models, with the paper's symbol, and how they are trained."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from mmm4rec_lite.utils.errors import refuse

S = TypeVar("S", bound="Settings")
STAGES = ("scratch", "pretrain", "finetune")
FUSIONS = ("sum", "shared", "item")
OPTIMIZERS = ("nadam", "adam", "adamw")
PRECISIONS = ("32-true", "bf16-mixed")  # as Lightning Fabric calls them
SUPERVISE = ("last_position", "all_positions")
METRICS = ("recall@10", "ndcg@10", "recall@50", "ndcg@50")  # what validation computes


@dataclass(frozen=True)
class Settings:
    """Base of all configs."""

    def replace(self: S, **changes: Any) -> S:
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Quirks:
    """What the public code (AlwaysFHao/MMM4Rec at e0bc248) does and a user would not want, each off by default.

    What each one changes is measured by ``mmm4rec-lite audit --only quirks`` and shown in notebooks/10_audit.ipynb.

    Examples
    --------
    >>> Quirks(pad_item=True).pad_item, Quirks().pad_item, Quirks.all().target_time
    (True, False, True)
    """

    target_time: bool = False  # the target's own time stamp stands in the input (a leak)
    padded_times: bool = False  # padded times of 0 count as gaps and enter the LayerNorm of eq. 5
    dropout_on_gaps: bool = False  # drop-out hits raw gaps, before they are normalised
    pad_item: bool = False  # row 0 (padding) competes in losses and rankings
    copies_compete: bool = False  # in-batch loss: other rows' copies of the own target count as negatives
    skip_scaled: bool = False  # the direct path is D dt x; Mamba-2 has D x
    filter_bias_twice: bool = False  # filter bias (b_r - b_i) + i (b_r + b_i) instead of eq. 15's
    no_image_ffn: bool = False  # eq. 11's feed-forward exists for text only: P^v = H^v
    published_init: bool = False  # N(0, 0.02) and zero biases throughout: the time branch never wakes

    @classmethod
    def all(cls) -> "Quirks":
        """Every quirk at once."""
        return cls(**{f.name: True for f in fields(cls)})


@dataclass(frozen=True)
class ModelConfig(Settings):
    """MMM4Rec's sizes and switches. The defaults suit two cores; ``paper()`` has the published sizes.

    Examples
    --------
    >>> ModelConfig.paper(n_layers=2).n_heads
    8
    """

    # sizes
    d_model: int = 64  # N, width of items and users
    d_ff: int = 64  # inner width of the feed-forward layers
    d_state: int = 16  # D, SSD state size
    d_conv: int = 4  # K, causal convolution width
    expand: int = 2  # inner width of the SSD block over N
    head_dim: int = 16  # P, width of one SSD head
    n_groups: int = 1  # groups of heads with B and C of their own
    n_layers: int = 1  # stacked TiSSD + TiCoSSD ("2L" of Table 5: 2)
    max_len: int = 20  # L, the window: the latest interactions that the model sees
    # regularisation
    dropout: float = 0.2  # on item vectors and on every block's output
    time_dropout: float = 0.2  # inside the time branch
    norm_eps: float = 1e-5  # of every norm
    temperature: float = 0.8  # tau, eq. 21 and 22
    # variants
    item_bias: bool = True  # E^v, E^t of section 3.2.3; False is "w/o ID" (Table 3)
    time: bool = True  # False is "w/o Time": no time stamp is read at all
    shared: bool = True  # one TiSSD for both modalities (eq. 10); False is "w/o Shared"
    adaptive_filter: bool = True  # K^v, K^t of eq. 13, 14; False is "w/o AF"
    learnable_filter: bool = True  # the transform of eq. 16; False is "w/o LF"
    gaps: str = "log"  # D: "log" = standardised log-gaps, "seconds" = eq. 5's LayerNorm of seconds
    ffn: bool = True  # the feed-forward layers of eq. 11 and 19
    gate_per_step: bool = False  # the gate of the enhanced D-hat: one number per step instead of one per head
    fusion: str = "sum"  # eq. 20's two scores: "sum", or weighed by softmax, "shared" or per "item"
    gap_vector: bool = True  # (with time) extension, not in the paper: log-gap x a learned vector on each item
    query_time: bool = False  # (with time) extension: the moment of the request is known and used
    quirks: Quirks = field(default_factory=Quirks)

    def __post_init__(self):
        _check_sizes(self, "d_model d_ff d_state d_conv expand head_dim n_groups n_layers max_len")
        inside = 0 <= self.dropout < 1 and 0 <= self.time_dropout < 1 and self.temperature > 0 and self.norm_eps > 0
        refuse(not inside, "config: drop-outs must be in [0, 1), the temperature and norm_eps above 0")
        P, G = self.head_dim, self.n_groups
        refuse(self.d_inner % P, f"config: head_dim {P} does not divide expand * d_model = {self.d_inner}")
        refuse(self.n_heads % G, f"config: n_groups {G} does not divide the {self.n_heads} heads")
        blind = self.query_time and not self.time
        refuse(blind, "config: query_time needs time=True; it reads the gap up to the request")
        refuse(self.gaps not in ("log", "seconds"), f"config: gaps must be 'log' or 'seconds', not {self.gaps!r}")
        refuse(self.fusion not in FUSIONS, f"config: fusion must be 'sum', 'shared' or 'item', not {self.fusion!r}")

    @property
    def d_inner(self) -> int:
        """Channels inside the state space block."""
        return self.expand * self.d_model

    @property
    def n_heads(self) -> int:
        """H, heads of a scan."""
        return self.d_inner // self.head_dim

    @classmethod
    def paper(cls, **changes: Any) -> "ModelConfig":
        """Section 4.1.4's sizes; what the text leaves open (heads, groups, window) as in the public configs."""
        sizes = dict(d_model=256, d_ff=256, d_state=64, head_dim=64, n_groups=8)
        return cls(**sizes | dict(dropout=0.4, time_dropout=0.4, gap_vector=False) | changes)

    @classmethod
    def official(cls, **changes: Any) -> "ModelConfig":
        """``paper()`` as the public code computes it, quirks and all."""
        return cls.paper(**{**dict(gaps="seconds", norm_eps=1e-12, quirks=Quirks.all()), **changes})


def _check_sizes(config, names):
    for name in names.split():
        size = getattr(config, name)
        whole = isinstance(size, int) and size >= 1
        refuse(not whole, f"config: {name} must be a whole number of at least 1, not {size}")


@dataclass(frozen=True)
class BaselineConfig(Settings):
    """Sizes that most compared models share; one with more of them has a config of its own below this one."""

    d_model: int = 64  # d, width of items and users
    d_ff: int = 256  # inner width of the feed-forward layers
    n_layers: int = 2
    n_heads: int = 2  # of attention
    dropout: float = 0.5
    max_len: int = 50  # L, the window
    norm_eps: float = 1e-12  # of every LayerNorm, as in BERT

    def __post_init__(self):
        _check_sizes(self, "d_model d_ff n_layers n_heads max_len")
        inside = 0 <= self.dropout < 1 and self.norm_eps > 0
        refuse(not inside, "config: the drop-out must be in [0, 1), norm_eps above 0")
        refuse(self.d_model % self.n_heads, f"config: n_heads {self.n_heads} does not divide d_model {self.d_model}")


@dataclass(frozen=True)
class RecBoleConfig(BaselineConfig):
    """With what two baselines of the UniSRec repository do and a user would not want, each off by default."""

    features_overwritten: bool = False  # initialisation overwrites the texts with noise N(0, 0.02)
    pad_item: bool = False  # row 0 (padding) competes


Config = BaselineConfig | ModelConfig


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How to train. The defaults suit fine-tuning on two cores; section 4.1.4's settings are ``paper()``.

    Examples
    --------
    >>> TrainConfig(lr=1e-3).replace(epochs=2).epochs, TrainConfig.paper("finetune").batch_size
    (2, 1024)
    """

    stage: str = "scratch"  # "scratch", "pretrain" or "finetune": the system has its losses for each
    epochs: int = 20  # at most
    batch_size: int = 512  # rows (one history and its target) per step of the loss
    supervise: str = "last_position"  # "all_positions": a row is a whole sequence, every step's next item its target
    rows_per_epoch: int | None = None  # a fresh sample each epoch, in whole batches; None: all
    accumulate: int = 1  # batches per step of the optimiser; their mean gradient is used (public code: the sum)
    optimizer: str = "nadam"  # "nadam" (the paper), "adam" or "adamw"
    lr: float = 2e-3
    weight_decay: float = 5e-3  # L2 in the gradient; decoupled with adamw
    clip: float | None = None  # largest norm of the whole gradient
    decay_all: bool = False  # True: on every parameter, as in public code (it kills MMM4Rec's time branch)
    patience: int = 3  # epochs without a better metric before stopping
    metric: str = "ndcg@10"  # on the validation rows
    seed: int = 0  # of drop-out and of the rows' order; start weights are the caller's
    captured: bool = False  # on a GPU: record the step as a CUDA graph and replay it (not every model can)
    precision: str = "32-true"  # or "bf16-mixed": products in bfloat16; weights, sums and ranks' scores in float32

    def __post_init__(self):
        choices = dict(stage=STAGES, supervise=SUPERVISE, optimizer=OPTIMIZERS, metric=METRICS, precision=PRECISIONS)
        for name, known in choices.items():
            value = getattr(self, name)
            refuse(value not in known, f"training: {name} must be one of {', '.join(known)}, not {value!r}")
        mixed = self.captured and (self.accumulate > 1 or self.clip is not None or self.precision != "32-true")
        refuse(mixed, "training: a captured step takes no accumulate, clip or other precision")
        whole = self.captured and self.supervise == "all_positions"
        refuse(whole, "training: a captured step takes batches of one shape; supervise the last_position")
        single = self.stage == "pretrain" and self.batch_size < 2
        refuse(single, "training: pre-training's in-batch loss needs batch_size of 2 or more")
        least = dict(epochs=1, batch_size=1, rows_per_epoch=1, accumulate=1, patience=1, seed=0)
        for name, low in least.items():
            value = getattr(self, name)
            refuse(value is not None and value < low, f"training: {name} must be at least {low}, not {value}")
        inside = self.lr > 0 and self.weight_decay >= 0 and (self.clip is None or self.clip > 0)
        refuse(not inside, "training: lr and clip must be above 0 and weight_decay at least 0")

    @classmethod
    def paper(cls, stage: str, **changes: Any) -> "TrainConfig":
        """Section 4.1.4 for ``stage`` "pretrain" or "finetune"; what it leaves open as in the public configs."""
        own = dict(pretrain=dict(lr=2.5e-4, epochs=40), finetune=dict(lr=1e-4, epochs=100))
        return cls(**{**dict(stage=stage, batch_size=1024, accumulate=8, patience=10), **own[stage], **changes})
