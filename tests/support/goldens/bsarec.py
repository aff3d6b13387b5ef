"""BSARec: the authors' modules."""

from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.bsarec import BSARecConfig, bsarec
from tests.support.goldens import TRANSFORMER, Golden, check_padding_competes, check_ranking, filled, renamed

COUNTS = {"bsarec": (103_680, 1_594_368)}
OURS = {
    r"^trm_encoder\.blocks\.": "encoder.blocks.",
    r"layer\.filter_layer\.sqrt_beta": "filter.s",
    r"layer\.(filter|attention)_layer\.LayerNorm": r"\1.norm",
    r"layer\.attention_layer\.dense": "attention.out",
    r"layer\.attention_layer": "attention",
    r"^item_embedding\.": "items.ids.",
}


def build(golden: Golden, **changes: object) -> Recommender:
    """Our model, sized and filled as the file says."""
    given = golden.config
    sizes = dict(d_model=given["hidden_size"], d_ff=4 * given["hidden_size"], n_layers=given["n_layers"])
    sizes |= {name: given[name] for name in ("n_heads", "alpha", "c")}
    config = BSARecConfig(**sizes, max_len=golden.window, dropout=0.0, attention_dropout=0.0)
    weights = renamed(golden.values["state"], OURS | TRANSFORMER)
    weights = {name: value.flatten() if name.endswith("filter.s") else value for name, value in weights.items()}
    return filled(bsarec(config.replace(**changes), golden.catalogue), weights)


def check_ranks_as_released(golden: Golden) -> None:
    """All rows with padding in the filter as released; without it, full rows alone."""
    released, ours = build(golden, padding_in_filter=True), build(golden)
    check_ranking(golden, released)
    check_ranking(golden, ours, ["full"])
    golden.close(ours.candidates(), "candidates")
    released.rank_padding = True
    check_padding_competes(golden, released)


def check_padding_stays_out_of_the_filter(golden: Golden) -> None:
    """The authors' class with padded steps set to 0 before the transform."""
    ours, meant = build(golden), golden.below("padding_zeroed")
    check_ranking(meant, ours)
    ours.rank_padding = True
    check_padding_competes(meant, ours)
