"""UniSRec and UniSRec + ID: the authors' class, and one step of its pre-training."""

import torch

from mmm4rec_lite.models.base import drop_items
from mmm4rec_lite.models.unisrec import UniSRec, UniSRecConfig
from tests.support.goldens import TRANSFORMER, Golden, check_released, filled, recbole, renamed, views

COUNTS = {"unisrec": (514_944, 3_184_128)}
FROZEN = {"finetune": ("encoder.positions.", "encoder.blocks.")}
OURS = {r"^moe_adaptor\.w_": "adaptor.", r"^item_embedding\.": "ids.ids."}


def build(golden: Golden, **changes: object) -> UniSRec:
    """Our model, sized and filled as the file says; all experts stand in one table."""
    given, weights = golden.config, renamed(golden.values["state"], OURS | TRANSFORMER)
    taken = lambda what: [weights.pop(f"moe_adaptor.experts.{k}.{what}") for k in range(given["n_exps"])]
    weights |= {"adaptor.weight": torch.stack(taken("lin.weight")).permute(2, 0, 1)}
    weights |= {"adaptor.shift": torch.stack(taken("bias"))}
    sizes = dict(experts=given["n_exps"], temperature=given["temperature"], sequence_weight=given["lambda"])
    config = UniSRecConfig(**recbole(golden), **sizes, item_ids="ids.ids.weight" in weights, adaptor_dropout=0.0)
    return filled(UniSRec(config.replace(**changes), golden.catalogue), weights)


def check_ranks_as_released(golden: Golden) -> None:
    """Users, candidates, scores and cross-entropy of all rows; without padding among the rivals, and with it."""
    model = build(golden)
    check_released(golden, model, model.config.temperature)


def check_pre_training(golden: Golden) -> None:
    """Both contrasts with given views; items dropped, and copies counted, as released and as meant."""
    for place, one, drop, swap, other in views(golden):
        if "item drop" in place:
            assert torch.equal(drop_items(one, drop, "as released" in place).items, other.items)
        for released, suffix in ((False, ""), (True, ", as released")):
            model = build(golden, copies_as_zero=released)
            model.view = lambda batch, other=other, swap=swap: (other, swap)
            golden.close(model.users(one), "pretraining", place, "users")
            golden.close(model.users(other, swap), "pretraining", place, "other users")
            terms = model.losses(one, "pretrain")
            golden.close(terms["sequence_item"], "pretraining", place, f"sequence-item{suffix}")
            views_term = terms["sequence_sequence"] / model.config.sequence_weight
            golden.close(views_term, "pretraining", place, f"sequence-sequence{suffix} (weight 1)")
