"""Mamba4Rec and Mamba4Rec_T: the authors' class, and MMM4Rec's own variant over texts."""

from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.mamba4rec import Mamba4RecConfig, mamba4rec, mamba4rec_t
from tests.support.goldens import MAMBA, Golden, check_released, filled, mamba, renamed

COUNTS = {"mamba4rec": (144_384, 1_978_368), "mamba4rec_t": (193_600, 2_175_232)}
OURS = {
    r"^mamba_layers\.": "encoder.layers.",
    r"\.ffn\.": ".feed_forward.",
    r"^LayerNorm\.": "encoder.norm.",
    r"^item_embedding\.": "items.ids.",
    r"^adapter\.0\.": "items.linear.",
}


def build(golden: Golden, **changes: object) -> Recommender:
    """Our model, sized and filled as the file says."""
    config = Mamba4RecConfig(**mamba(golden)).replace(**changes)
    weights = renamed(golden.values["state"], MAMBA | OURS)
    model = mamba4rec if "items.ids.weight" in weights else mamba4rec_t
    return filled(model(config, golden.catalogue), weights)


def check_ranks_as_released(golden: Golden) -> None:
    """Users, candidates, scores and cross-entropy of all rows; without padding among the rivals, and with it."""
    check_released(golden, build(golden))
