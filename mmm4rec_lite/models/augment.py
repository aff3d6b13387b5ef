"""Another view of the same histories, for sequence-to-sequence contrast (UniSRec, section 2.3.2; MISSRec too)."""

from dataclasses import replace

import torch

from mmm4rec_lite.utils.errors import InputError


def another_view(batch, catalogue, items=0.9, share=0.2):
    """(a ``Batch``, which of its items [B, L] are described by the augmented_text text).

    One coin per batch: with probability ``items`` every item but a history's first is dropped with probability
    ``share``; otherwise every item's text is, with probability ``share``, the one that lost some words.
    """
    if catalogue.augmented_text is None:
        raise InputError(
            "pre-training this system contrasts texts with copies that lost some words: give their features "
            "(Catalogue.augmented_text)"
        )
    swap = torch.rand(batch.items.shape, device=batch.items.device) < share
    if torch.rand(()) < items:
        return drop_items(batch, swap), torch.zeros_like(swap)
    return batch, swap


def drop_items(batch, drop):
    """The batch without the items where ``drop`` [B, L] holds (a history's first one stays), closed up."""
    steps = torch.arange(batch.items.shape[1], device=batch.items.device)
    keep = (~drop | (steps == 0)) & (steps < batch.lengths.unsqueeze(1))
    order = (~keep).int().argsort(dim=1, stable=True)
    kept = keep.gather(1, order)
    return replace(
        batch, items=batch.items.gather(1, order) * kept, times=batch.times.gather(1, order) * kept, lengths=keep.sum(1)
    )
