"""SASRec and SASRec_T: RecBole's class, and MMM4Rec's own variant over texts."""

from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.sasrec import sasrec, sasrec_t
from tests.support.goldens import TRANSFORMER, Golden, check_released, filled, recbole, renamed

COUNTS = {"sasrec": (103_296, 1_592_832), "sasrec_t": (152_512, 1_789_696)}
ITEMS = {r"^item_embedding\.": "items.ids.", r"^adapter\.0\.": "items.linear."}


def build(golden: Golden, **changes: object) -> Recommender:
    """Our model, sized and filled as the file says."""
    weights = renamed(golden.values["state"], TRANSFORMER | ITEMS)
    model = sasrec if "items.ids.weight" in weights else sasrec_t
    return filled(model(BaselineConfig(**recbole(golden)).replace(**changes), golden.catalogue), weights)


def check_ranks_as_released(golden: Golden) -> None:
    """Users, candidates, scores and cross-entropy of all rows; without padding among the rivals, and with it."""
    check_released(golden, build(golden))
