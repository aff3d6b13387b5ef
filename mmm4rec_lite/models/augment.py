"""Another view of the same histories, for sequence-to-sequence contrast (UniSRec, section 2.3.2; MISSRec too)."""

from dataclasses import replace

import torch

from mmm4rec_lite.models.base import Batch, Catalogue
from mmm4rec_lite.utils.typing import Bool, Tensor


def another_view(
    batch: Batch, catalogue: Catalogue, items: float = 0.9, share: float = 0.2
) -> tuple[Batch, Bool[Tensor, "B L"]]:
    """A batch, and which of its items are described by the text that lost some words.

    One coin per batch: with probability ``items`` every item but a history's first is dropped with probability
    ``share``; otherwise every item's text is, with probability ``share``, the one that lost some words.
    """
    catalogue.augmented()  # nothing is drawn where it is missing
    swap = torch.rand(batch.items.shape, device=batch.items.device) < share
    if torch.rand(()) < items:
        return drop_items(batch, swap), torch.zeros_like(swap)
    return batch, swap


def drop_items(batch: Batch, drop: Bool[Tensor, "B L"]) -> Batch:
    """The batch without the items where ``drop`` holds (a history's first one stays), closed up."""
    steps = torch.arange(batch.items.shape[1], device=batch.items.device)
    keep = (~drop | (steps == 0)) & (steps < batch.lengths.unsqueeze(1))
    order = (~keep).int().argsort(dim=1, stable=True)
    kept = keep.gather(1, order)
    items, times = (table.gather(1, order) * kept for table in (batch.items, batch.times))
    return replace(batch, items=items, times=times, lengths=keep.sum(1))
