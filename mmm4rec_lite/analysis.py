"""What goes on inside a model: read off its modules while it runs, with no switch in the model's own code."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from mmm4rec_lite.ssd import decay_mask


@torch.no_grad()
def steps(model, items, lengths, times):
    """The step sizes dt [B,L,H] of every scan of one forward pass and its decay rates A [H].

    Returns a dict ("layer 1, text", "layer 1, image", "layer 1, fusion") -> (dt, A).
    """
    found = {}

    def watch(name, core):
        def keep(_, __, output):
            # a shared TiSSD runs for the text first, then for the images
            place = f"{name}, image" if f"{name}, text" in found else f"{name}, text"
            found[name if name.endswith("fusion") else place] = (output[0], -core.A_log.exp())

        return core.step.register_forward_hook(keep)

    hooks = []
    for i, layer in enumerate(model.layers, 1):
        hooks += [watch(f"layer {i}", tissd.core) for tissd in layer.tissd]
        hooks.append(watch(f"layer {i}, fusion", layer.ticossd.core))
    device = next(model.parameters()).device
    try:
        model.eval()
        model(items.to(device), lengths.to(device), times.to(device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def decay_masks(model, items, lengths, times):
    """The decay masks (eq. 8) of every scan: dict as ``steps`` -> [B,H,L,L] over the whole window."""
    return {name: decay_mask((A * dt).mT) for name, (dt, A) in steps(model, items, lengths, times).items()}


def moved(before, after):
    """How far user vectors [B,N] moved, over their length: the mean of the rows."""
    return ((after - before).norm(dim=1) / before.norm(dim=1)).mean().item()


def other_gaps(one):
    """A ``data.Batch`` with all gaps inside its histories exchanged among rows and steps; what is padding stays."""
    steps = torch.arange(one.times.shape[1], device=one.times.device)
    inner = (steps > 0) & (steps < one.lengths.unsqueeze(1))
    gaps = F.pad(one.times.diff(dim=1), (1, 0))
    own = gaps[inner]
    gaps[inner] = own[torch.randperm(len(own), generator=torch.Generator().manual_seed(0)).to(own.device)]
    times = one.times[:, :1] + gaps.cumsum(1)
    return replace(one, times=times.where(steps < one.lengths.unsqueeze(1), one.times))
