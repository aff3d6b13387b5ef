"""Mamba4Rec and Mamba4Rec_T: the authors' class, and MMM4Rec's own variant over texts."""

from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.mamba4rec import Mamba4RecConfig, mamba4rec, mamba4rec_t
from tests.support.goldens import MAMBA, Golden, check_padding_competes, check_ranking, filled, renamed

OURS = {
    r"^mamba_layers\.": "encoder.layers.",
    r"\.ffn\.": ".feed_forward.",
    r"^LayerNorm\.": "encoder.norm.",
    r"^item_embedding\.": "items.ids.",
    r"^adapter\.0\.": "items.linear.",
}


def build(golden: Golden, **changes: object) -> Recommender:
    """Our model, sized and filled as the file says."""
    given = golden.config
    sizes = {name: given[name] for name in ("d_state", "d_conv", "expand")}
    sizes |= dict(d_model=given["hidden_size"], d_ff=4 * given["hidden_size"], n_layers=given["num_layers"])
    config = Mamba4RecConfig(**sizes, max_len=golden.window, dropout=0.0).replace(**changes)
    weights = renamed(golden.values["state"], MAMBA | OURS)
    model = mamba4rec if "items.ids.weight" in weights else mamba4rec_t
    return filled(model(config, golden.catalogue), weights)


def check_ranks_as_released(golden: Golden) -> None:
    """Users, candidates, scores and cross-entropy of all rows; without padding among the rivals, and with it."""
    model = build(golden)
    check_ranking(golden, model)
    golden.close(model.candidates(), "candidates")
    model.rank_padding = True
    check_padding_competes(golden, model)
