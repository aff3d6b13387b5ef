"""MISSRec, with ids or not, with one phi or one per item: the authors' class, and one step of its pre-training."""

import torch

from mmm4rec_lite.models.base import drop_items
from mmm4rec_lite.models.missrec import MISSRec, MISSRecConfig
from tests.support.goldens import Golden, check_padding_competes, check_ranking, filled, recbole, renamed, views

COUNTS = {"missrec": (218_753, 2_251_265)}  # the closed form: tests/models/test_missrec.py
FROZEN = {"finetune": ("transformer.", "positions.")}
OURS = {
    r"^fusion_factor$": "phi",
    r"^interest_embeddings$": "centroids",
    r"^trm_model\.": "transformer.",
    r"^position_embedding\.": "positions.",
    r"^LayerNorm\.": "norm.",
    r"^text_adaptor\.": "text.linear.",
    r"^img_adaptor\.": "image.linear.",
    r"^item_embedding\.": "ids.ids.",
}
FUSIONS = {"dynamic_shared": "shared", "dynamic_instance": "item"}


def build(golden: Golden, **changes: object) -> MISSRec:
    """Our model, sized and filled as the file says; interests of texts and images stand in one table."""
    given, weights = golden.config, renamed(golden.values["state"], OURS)
    found = [weights.pop(f"{kind}_interest_lookup_table") for kind in ("plm", "img")]
    sizes = dict(temperature=given["temperature"], sequence_weight=given["lambda"], penalty_weight=given["gamma"])
    sizes |= dict(fusion=FUSIONS[given["item_mm_fusion"]], item_ids="ids.ids.weight" in weights)
    model = MISSRec(MISSRecConfig(**recbole(golden), **sizes).replace(**changes), golden.catalogue)
    model.centroids = torch.zeros_like(weights["centroids"])  # as many as the file has
    return filled(model, weights | {"interests": torch.stack(found, 1)})


def check_ranks_as_released(golden: Golden) -> None:
    """Users, scores and cross-entropy of all rows; without padding among the rivals, and with it."""
    model = build(golden)
    check_ranking(golden, model)
    model.rank_padding = True
    check_padding_competes(golden, model)


def check_penalty(golden: Golden) -> None:
    """A mean over rows of real interests; as released a sum over rows, of all states times the share of real ones."""
    ours, released = build(golden), build(golden, batch_penalty=True)
    for name, one in golden.batches.items():
        golden.close(ours.encode(one)[1], "penalty", name, "per row, real interests alone")
        golden.close(released.encode(one)[1].sum(), "penalty", name, "as released, of the batch")
        golden.close(ours.losses(one, "scratch")["norm_penalty"], "losses", name, "norm penalty")
        golden.close(released.losses(one, "scratch")["norm_penalty"], "losses", name, "norm penalty, as released")


def check_pre_training(golden: Golden) -> None:
    """All terms with given views; items dropped, copies counted and the penalty as released and as meant."""
    for place, one, drop, swap, other in views(golden):
        dropped = "as released" in place
        if "item drop" in place:
            assert torch.equal(drop_items(one, drop, dropped).items, other.items)
        for compete, suffix in ((False, ""), (True, ", twins are rivals")):
            model = build(golden, copies_compete=compete, batch_penalty=True)
            model.view = lambda batch, view=(other, swap, one.items if dropped else None): view
            golden.close(model.users(one), "pretraining", place, "users")
            golden.close(model.encode(*model.view(one))[0], "pretraining", place, "other users")
            terms = model.losses(one, "pretrain")
            golden.close(terms["sequence_item"], "pretraining", place, f"sequence-item{suffix}")
            views_term = terms["sequence_sequence"] / model.config.sequence_weight
            golden.close(views_term, "pretraining", place, f"sequence-sequence (weight 1){suffix}")
            golden.close(terms["norm_penalty"], "pretraining", place, "norm penalty, as released")
        if "whole loss, as released" in golden.values["pretraining"][place]:
            golden.close(sum(terms.values()), "pretraining", place, "whole loss, as released")
