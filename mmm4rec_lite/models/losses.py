"""Cross-entropies and contrastive losses of user vectors and the indices of their target items."""

from typing import Any

import torch
from torch.nn import functional as F

from mmm4rec_lite.utils.typing import Float, Int, Tensor


def full_loss(model: Any, users: Float[Tensor, "B d"], targets: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """Eq. 22, every item of the catalogue a candidate (the printed sum's index is a slip: u_k meets all items).

    ``model``: a ``Recommender`` whose score is a dot product with ``model.candidates()``.
    """
    candidates = model.candidates()
    if not model.rank_padding:
        candidates, targets = candidates[1:], targets - 1
    if not hasattr(F, "linear_cross_entropy"):  # torch < 2.13
        return F.cross_entropy(F.linear(users, candidates), targets)
    # in chunks of rows, so that no [B, I] logits are kept for the backward pass
    chunks = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=128, chunking_method=None)
    return F.linear_cross_entropy(users, candidates, targets, options=chunks)


def in_batch(
    logits: Float[Tensor, "B B"], targets: Int[Tensor, " B"], copies_compete: bool = False
) -> Float[Tensor, ""]:
    """InfoNCE with the targets of the batch as candidates, each row's own on the diagonal.

    Another row's copy of the own target is no negative: it gets -inf, where some published code gives it the
    score 0, which still counts. ``copies_compete``: it stays a negative.
    """
    if not copies_compete:
        copies = (targets.unsqueeze(1) == targets).fill_diagonal_(False)
        logits = logits.masked_fill(copies, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(targets), device=logits.device))


def in_batch_loss(model: Any, users: Float[Tensor, "B d"], targets: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """Eq. 21, ``in_batch`` on the model's own scores."""
    return in_batch(users @ model.candidates(targets).T, targets, model.config.quirks.copies_compete)


LOSSES = {"full": full_loss, "in_batch": in_batch_loss}
