"""SASRec and SASRec_T: RecBole's class, and MMM4Rec's own variant over texts."""

from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.registry import get_model
from tests.support.goldens import TRANSFORMER, Golden, check_ranking, filled, renamed

ITEMS = {r"^item_embedding\.": "items.ids.", r"^adapter\.0\.": "items.linear."}


def build(golden: Golden, **changes: object) -> Recommender:
    """Our model, sized and filled as the file says."""
    given = golden.config
    sizes = dict(d_model=given["hidden_size"], d_ff=given["inner_size"], n_layers=given["n_layers"])
    config = BaselineConfig(**sizes, n_heads=given["n_heads"], max_len=golden.window, dropout=0.0)
    model = get_model(golden.values["system"]).build(config.replace(**changes), golden.catalogue)
    return filled(model, renamed(golden.values["state"], TRANSFORMER | ITEMS))


def check_ranks_as_released(golden: Golden) -> None:
    """Users, scores and cross-entropy of full, short and repeated rows."""
    check_ranking(golden, build(golden))
