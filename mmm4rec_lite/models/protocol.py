"""How the models of a study are sized and trained, all alike or each as published."""

from dataclasses import dataclass, fields
from typing import Any

from mmm4rec_lite.models.config import Config, ModelConfig, TrainConfig
from mmm4rec_lite.models.registry import ModelSpec
from mmm4rec_lite.utils.errors import refuse

SMALL = TrainConfig()
MATCHED = TrainConfig(optimizer="nadam", epochs=100, batch_size=256, lr=2e-3, weight_decay=0.0, patience=10)
PRETRAINING = {"converged": dict(epochs=5)}  # which has no validation to end it
PROTOCOLS = ("small", "matched", "paper")
SCALES = {
    "quick": dict(epochs=6, rows_per_epoch=7_680, patience=3),
    "converged": dict(epochs=200, batch_size=1024, patience=10),
    "full": {},
}


@dataclass(frozen=True)
class Protocol:
    """How models are sized and trained.

    Parameters
    ----------
    name : "small" suits two cores; "matched" has one width, window, optimiser, learning rate and drop-out for all, to
        compare them; "paper" each model's published sizes and training. Start values are each model's own in all three:
        linear maps of MMM4Rec and TiM4Rec N(0, 1 / inputs), of the others mostly N(0, 0.02^2)
    scale : "full" trains as the protocol says; "quick" cuts epochs and rows to a minute or so (nobody is trained to the
        end), "converged" ends by its patience
    width, window : other ones than the protocol's own (64 and 20; in "paper" each model's)

    Examples
    --------
    >>> from mmm4rec_lite.models.registry import get_model
    >>> config, training = Protocol("matched", scale="quick").settings(get_model("sasrec"), "scratch")
    >>> config.d_model, training.epochs
    (64, 6)
    """

    name: str = "small"
    scale: str = "full"
    width: int | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        for what, value, known in (("protocol", self.name, PROTOCOLS), ("scale", self.scale, SCALES)):
            refuse(value not in known, f"{what}: {value!r} is not known; one of {', '.join(known)}")

    def settings(self, spec: ModelSpec, stage: str, **changes: Any) -> tuple[Config, TrainConfig]:
        """Config and training of a model in a stage; ``changes`` are fields of either."""
        if self.name == "paper":
            config = spec.config if self.width is None else spec.sized(self.width)
            config = config if self.window is None else config.replace(max_len=self.window)
            training = spec.pretrained_by if stage == "pretrain" and spec.pretrained_by else spec.training
        else:
            config = spec.sized(self.width or 64, self.window or 20, dropout=0.2)
            own = dict(d_state=16, time_dropout=0.2)
            config = config.replace(**{name: value for name, value in own.items() if hasattr(config, name)})
            training = MATCHED
            if self.name == "small":
                training = SMALL.replace(epochs=2, lr=1e-3) if stage == "pretrain" else SMALL
                config = config.replace(n_groups=1, gap_vector=True) if isinstance(config, ModelConfig) else config
        of_training = {field.name for field in fields(TrainConfig)} & changes.keys()
        of_config = {name: value for name, value in changes.items() if name not in of_training}
        for name in of_config:
            refuse(not hasattr(config, name), f"{spec.name}: neither its config nor its training has {name!r}")
        config = config.replace(**of_config | (dict(spec.pretraining) if stage == "pretrain" else {}))
        own = {name: changes[name] for name in of_training}
        first = PRETRAINING.get(self.scale, {}) if stage == "pretrain" else {}
        return config, training.replace(**dict(stage=stage) | SCALES[self.scale] | first | own)
