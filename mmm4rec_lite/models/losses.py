"""Cross-entropies and contrastive losses of user vectors and the indices of their target items."""

from typing import Any

import torch
from torch.nn import functional as F

from mmm4rec_lite.utils.processes import gather
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Targets = Int[Tensor, " B"]


def full_loss(
    model: Any, users: Float[Tensor, "B d"], targets: Targets, candidates: Float[Tensor, "K d"] | None = None
) -> Float[Tensor, ""]:
    """Eq. 22 of a dot-product ``Recommender``: every item competes (the printed index is a slip: u_k meets all)."""
    candidates = model.candidates() if candidates is None else candidates
    if not model.rank_padding:
        candidates, targets = candidates[1:], targets - 1
    users, candidates = (v.float() if v.dtype == torch.bfloat16 else v for v in (users, candidates))  # autocast's
    if not hasattr(F, "linear_cross_entropy"):  # torch < 2.13
        return F.cross_entropy(F.linear(users, candidates), targets)
    # in chunks of rows, so that no [B, I] logits are kept for the backward pass
    chunks = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=128, chunking_method=None)
    return F.linear_cross_entropy(users, candidates, targets, options=chunks)


def in_batch(
    logits: Float[Tensor, "B A"], targets: Targets, copies_compete: bool = False, muted: float = -torch.inf
) -> Float[Tensor, ""]:
    """InfoNCE; others' copies of a row's own target are no negatives, unless ``copies_compete``.

    Columns are the rows of all processes, as ``gather`` puts them; of one process alone its own, the diagonal. Those
    behind them are further negatives.
    ``muted``: the copies' logit; 0 in several releases, where each so adds e^0 to the denominator.
    """
    everyone, start = gather(targets)
    own = torch.arange(start, start + len(targets), device=logits.device)
    if not copies_compete:
        copies = (targets.unsqueeze(1) == everyone).scatter(1, own.unsqueeze(1), False)
        logits = logits.masked_fill(F.pad(copies, (0, logits.shape[1] - len(everyone))), muted)
    return F.cross_entropy(logits, own)


def in_batch_loss(model: Any, users: Float[Tensor, "B d"], targets: Targets) -> Float[Tensor, ""]:
    """Eq. 21, ``in_batch`` on the model's own scores."""
    return in_batch(users @ gather(model.candidates(targets))[0].T, targets, model.config.quirks.copies_compete)


LOSSES = {"full": full_loss, "in_batch": in_batch_loss}
