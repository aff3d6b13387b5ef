"""TiM4Rec's own class, which is not what the MMM4Rec repository's copy and ours are: every difference by its name."""

from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.blocks import CausalConv
from tests.support.goldens import Golden, check_padding_competes, check_ranking
from tests.support.goldens.tim4rec import build as copy


class HardConv(CausalConv):
    """With a Hardswish behind it."""

    def forward(self, x):
        return F.hardswish(nn.Conv1d.forward(self, F.pad(x, (self.kernel_size[0] - 1, 0))))


def build(golden: Golden, **quirks: bool) -> Recommender:
    """Our model without the Tanhshrink, and with Hardswish for SiLU where the heads are no multiple of 8."""
    model = copy(golden, **quirks)
    for layer in model.encoder.tissd:
        layer.core.step.scale[-1] = nn.Identity()
    for conv in [module for module in model.modules() if isinstance(module, CausalConv)]:
        conv.__class__ = HardConv if model.config.n_heads % 8 else CausalConv
    return model


def check_what_it_does_otherwise(golden: Golden) -> None:
    """One group, no step size in its skip, and those two; its times are padded with 0, too, which counts."""
    released = build(golden, padded_times=True)
    assert released.config.n_groups == 1
    check_ranking(golden, released)
    check_ranking(golden, build(golden), ["full"])
    golden.close(released.candidates(), "candidates")
    released.rank_padding = True
    check_padding_competes(golden, released)
