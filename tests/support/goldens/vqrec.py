"""VQ-Rec: the authors' class, its pre-training with given fake codes, and one draw of its permutation."""

import torch

from mmm4rec_lite.models.vqrec import VQRec, VQRecConfig
from tests.support.goldens import (
    TRANSFORMER,
    Golden,
    check_padding_competes,
    check_ranking,
    check_released,
    filled,
    recbole,
    renamed,
)

COUNTS = {"vqrec": (2_743_200, 5_811_744)}
FROZEN = {
    "scratch": ("permutation",),
    "pretrain": ("permutation",),
    "finetune": ("encoder.positions.", "encoder.blocks."),
}
ITEMS = {r"^pq_code_embedding\.": "table.", r"^trans_matrix$": "permutation"}


def build(golden: Golden, **changes: object) -> VQRec:
    """Our model, sized and filled as the file says, with its codes."""
    given = golden.config
    sizes = dict(digits=given["code_dim"], values=given["code_cap"], temperature=given["temperature"])
    sizes |= dict(sinkhorn_steps=given["sinkhorn_iter"], alignment_epochs=given["reassign_steps"])
    model = VQRec(VQRecConfig(**recbole(golden) | sizes, **changes), golden.catalogue)
    codes = {"codes": rows(golden.values["codes"], model, padding=True)}
    return filled(model, renamed(golden.values["state"], TRANSFORMER | ITEMS) | codes)


def rows(codes: torch.Tensor, model: VQRec, padding: bool = False) -> torch.Tensor:
    """The table's rows of codes, which begin at 0 in the file; those of the first item are padding's."""
    found = codes + 1 + model.first_rows(codes)
    return torch.cat([0 * found[:1], found[1:]]) if padding else found


def check_ranks_as_released(golden: Golden) -> None:
    """Users, candidates, scores and cross-entropy of all rows; without padding among the rivals, and with it."""
    model = build(golden)
    check_released(golden, model, model.config.temperature)


def check_pre_training(golden: Golden) -> None:
    """The contrast with the batch and given fake codes; copies of a row's own target out of it, and as released."""
    for name, one in golden.batches.items():
        for counted, term in ((False, "sequence-item"), (True, "sequence-item, as released")):
            model = build(golden, copies_as_zero=counted)
            users, fakes = model.users(one), golden.values["pretraining"][name]["fake codes, 0 to cap - 1"]
            golden.close(users, "pretraining", name, "users")
            golden.close(model.contrast(users, one.targets, rows(fakes, model)), "pretraining", name, term)


def check_alignment_as_released(golden: Golden) -> None:
    """One draw: the soft permutation, the hard one, the table that comes of it, and what that ranks."""
    model, drawn = build(golden, published_alignment=True), golden.values["assignment"]["uniform"]
    soft, table = model.soft(drawn), model.aligned(drawn)
    golden.close(soft, "assignment", "soft")
    golden.close(model.chosen(soft), "assignment", "chosen")
    golden.close(table, "assignment", "table")
    model.table.weight.data.copy_(table)
    check_ranking(golden.below("assignment"), model)
    model.rank_padding = True
    check_padding_competes(golden.below("assignment"), model)


def check_alignment_learns_nothing_as_released(golden: Golden) -> None:
    """In its epochs the loss is that of the draw, and the gradient of the logits is 0; not so with the true one."""
    for published in (True, False):
        model = build(golden, published_alignment=published).train()
        model.begin_epoch(0, "finetune")
        if published:
            model.drawn = lambda: golden.values["assignment"]["uniform"]
        for name, one in golden.batches.items():
            loss = model.losses(one, "finetune")["cross_entropy"]
            if published:
                golden.close(loss, "assignment", "losses", name, "cross-entropy")
            model.permutation.grad = None
            loss.backward()
            norm = model.permutation.grad.norm()
            assert norm == golden.values["assignment"]["gradient of the logits, as released"] if published else norm > 0
        assert model.table.weight.grad is None and model.encoder.norm.weight.grad is None
