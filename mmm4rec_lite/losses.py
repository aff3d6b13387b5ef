"""The two stages' cross-entropies (eq. 21, 22). users [B,N], targets [B] item indices -> a scalar."""

import torch
from torch.nn import functional as F


def full_loss(model, users, targets):
    """Eq. 22, every item of the catalogue a candidate (the printed sum's index is a slip: u_k meets all items)."""
    candidates = model.candidates()
    if not model.config.quirks.pad_item:
        candidates, targets = candidates[1:], targets - 1
    if not hasattr(F, "linear_cross_entropy"):                                   # torch < 2.13
        return F.cross_entropy(F.linear(users, candidates), targets)
    # in chunks of rows, so that no [B, I] logits are kept for the backward pass
    chunks = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=128, chunking_method=None)
    return F.linear_cross_entropy(users, candidates, targets, options=chunks)


def in_batch_loss(model, users, targets):
    """Eq. 21, the batch's targets as candidates; another row's copy of the own target is no negative."""
    logits = users @ model.candidates(targets).T
    if not model.config.quirks.copies_compete:
        copies = (targets.unsqueeze(1) == targets).fill_diagonal_(False)
        logits = logits.masked_fill(copies, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(targets), device=users.device))


LOSSES = {"full": full_loss, "in_batch": in_batch_loss}
