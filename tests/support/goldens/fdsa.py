"""FDSA: the class of the UniSRec repository, its features loaded after construction."""

from torch.nn import functional as F

from mmm4rec_lite.models.config import RecBoleConfig
from mmm4rec_lite.models.fdsa import FDSA
from tests.support.goldens import (
    TRANSFORMER,
    Golden,
    check_features_overwritten,
    check_padding_competes,
    check_ranking,
    filled,
    recbole,
    renamed,
)

COUNTS = {"fdsa": (260_736, 3_500_544)}
OURS = {
    r"^item_trm_encoder\.layer\.": "encoder.blocks.",
    r"^feature_trm_encoder\.layer\.": "text_blocks.",
    r"^adapter\.mlp_layers\.1\.": "texts.linear.",
    r"^item_embedding\.": "items.ids.",
    r"^concat_layer\.": "join.",
}


def build(golden: Golden, **changes: object) -> FDSA:
    """Our model, sized and filled as the file says, whose texts take the place of noise, too."""
    model = FDSA(RecBoleConfig(**recbole(golden), **changes), golden.catalogue)
    texts = {"texts.features": golden.catalogue.text} if model.config.features_overwritten else {}
    return filled(model, texts | renamed(golden.values["state"], OURS | TRANSFORMER))


def check_ranks_as_released(golden: Golden) -> None:
    """Users, scores and cross-entropy of full, short and repeated rows."""
    check_ranking(golden, build(golden))


def check_candidates_and_the_texts_on_their_way_in(golden: Golden) -> None:
    """Ids alone are candidates; texts go through a map and a ReLU."""
    model = build(golden)
    golden.close(model.candidates(), "candidates")
    for name, one in golden.batches.items():
        golden.close(F.relu(model.texts(one.items)), "parts", name, "feature stream's input, before positions")


def check_padding_competes_as_released(golden: Golden) -> None:
    """The loss with padding among the rivals."""
    check_padding_competes(golden, build(golden, pad_item=True))


def check_texts_are_overwritten_as_released(golden: Golden) -> None:
    """The table after construction is noise of the file's spread; with the texts back in it all is as ever."""
    config = RecBoleConfig(**recbole(golden), features_overwritten=True)
    check_features_overwritten(golden, FDSA(config, golden.catalogue).texts.features)
    check_ranking(golden, build(golden, features_overwritten=True))
