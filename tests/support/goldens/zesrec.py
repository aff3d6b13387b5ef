"""ZESRec: no public class of its own; MMM4Rec's SASRec_T with two linear maps."""

from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.losses import in_batch
from mmm4rec_lite.models.zesrec import ZESRec
from tests.support.goldens import TRANSFORMER, Golden, check_padding_competes, check_ranking, filled, recbole, renamed

COUNTS = {"zesrec": (156_672, 1_855_488)}
OURS = {r"^adapter\.0\.": "items.linear.", r"^adapter\.1\.": "items.second."}


def build(golden: Golden, **changes: object) -> ZESRec:
    """Our model, sized and filled as the file says."""
    model = ZESRec(BaselineConfig(**recbole(golden)).replace(**changes), golden.catalogue)
    return filled(model, renamed(golden.values["state"], TRANSFORMER | OURS))


def check_ranks_as_released(golden: Golden) -> None:
    """Users, candidates, scores and cross-entropy of full, short and repeated rows."""
    model = build(golden)
    check_ranking(golden, model)
    golden.close(model.candidates(), "candidates")


def check_padding_competes_as_released(golden: Golden) -> None:
    """The loss with padding among the rivals."""
    model = build(golden)
    model.rank_padding = True
    check_padding_competes(golden, model)


def check_pre_training_contrasts_the_targets_of_a_batch(golden: Golden) -> None:
    """Repeated targets out of it, and among the rivals."""
    model = build(golden)
    for name, one in golden.batches.items():
        golden.close(model.losses(one, "pretrain")["in_batch"], "losses", name, "in-batch, twins out")
        logits = model.users(one) @ model.candidates(one.targets).T
        golden.close(in_batch(logits, one.targets, True), "losses", name, "in-batch, twins are rivals")
