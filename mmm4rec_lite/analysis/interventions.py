"""What changes when something does: another item, another gap, no memory."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.analysis.scans import FIRST, Items, Lengths, require_one_history, step_table
from mmm4rec_lite.models.base import Batch, Recommender
from mmm4rec_lite.models.blocks import CausalConv
from mmm4rec_lite.models.mmm4rec import MMM4Rec, StateSpace
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Float, Tensor


def relative_change(before: Float[Tensor, "B N"], after: Float[Tensor, "B N"]) -> float:
    """How far user vectors moved, over their length: the mean of the rows."""
    return ((after - before).norm(dim=1) / before.norm(dim=1)).mean().item()


@torch.no_grad()
def influence(model: MMM4Rec, items: Items, lengths: Lengths, times: Items) -> Float[Tensor, " l"]:
    """How far one user's vector moves, over its length, when a past item is another: the mean over the catalogue."""
    require_one_history(items)
    model.eval()
    device = next(model.parameters()).device
    items, lengths, times = (v.to(device) for v in (items, lengths, times))
    others = torch.arange(1, len(model.text_features), device=device)
    rows = lambda v: v.expand(len(others), *v.shape[1:])
    before, found = model(items, lengths, times), []
    for s in range(int(lengths)):
        changed = rows(items).clone()
        changed[:, s] = others
        after = model(changed, lengths.expand(len(others)), rows(times))[others != items[0, s]]
        found.append(relative_change(before.expand_as(after), after))
    return torch.tensor(found)


@torch.no_grad()
def contributions(model: Recommender, one: Batch) -> Float[Tensor, "l K"]:
    """Leave-one-out: every item's score less its score without past item s (its line and time go, the rest stays).

    Of any model and one history of two items or more; the score is no sum of these, since items act together.
    """
    require_one_history(one.items)
    n, width = int(one.lengths), one.items.shape[1]
    refuse(n < 2, "leave-one-out: a history of one item has nothing to leave out; take one of two or more")
    model.eval()
    one = one.to(next(model.parameters()).device)
    kept = (torch.arange(n - 1) + (torch.arange(n - 1) >= torch.arange(n).unsqueeze(1))).to(one.items.device)  # [n,n-1]
    short = lambda row: F.pad(row[0, kept], (0, width - n + 1))
    lengths = one.lengths.expand(n)
    without = Batch(short(one.items), lengths - 1, short(one.times), one.targets.expand(n), one.requests.expand(n))
    return model.score(model.users(one)) - model.score(model.users(without))


def without_memory(model: MMM4Rec) -> MMM4Rec:
    """A copy of the model whose states forget everything at every step; convolutions and direct paths remain."""
    bare = copy.deepcopy(model)
    for core in (module for module in bare.modules() if isinstance(module, StateSpace)):
        core.A_log.data.fill_(30)  # A = -1e13
    return bare


@torch.no_grad()
def without_convolutions(model: MMM4Rec) -> MMM4Rec:
    """A copy of the model whose causal convolutions, those of the time branch too, see the step itself alone."""
    bare = copy.deepcopy(model)
    for conv in (module for module in bare.modules() if isinstance(module, CausalConv)):
        conv.weight[..., :-1] = 0
    return bare


def with_gap(times: Items, step: int, gap: int) -> Items:
    """The times with ``gap`` seconds before item ``step`` (counted from 1, 2 or more), all later ones shifted."""
    refuse(not 2 <= step <= times.shape[1], f"with_gap: step must be in 2..{times.shape[1]}, not {step}")
    shift = gap - (times[:, step - 1] - times[:, step - 2])
    return times + shift.unsqueeze(1) * (torch.arange(times.shape[1], device=times.device) >= step - 1)


def gap_response(
    model: MMM4Rec, items: Items, lengths: Lengths, times: Items, step: int, gaps: Sequence[int], place: str = FIRST
) -> pd.DataFrame:
    """The gap before item ``step`` (from 1) set to each of ``gaps`` (seconds), all else kept: a row per gap and head
    with dt (of that item) and kept (of everything before it, over the gap)."""
    tables = [step_table(model, items, lengths, with_gap(times, step, gap), place) for gap in gaps]
    rows = pd.concat([table[table["step"] == step] for table in tables], ignore_index=True)
    return rows[["gap", "head", "dt", "kept"]]


def other_gaps(one: Batch) -> Batch:
    """A batch with all gaps inside its histories exchanged among rows and steps; what is padding stays."""
    steps = torch.arange(one.times.shape[1], device=one.times.device)
    real = steps < one.lengths.unsqueeze(1)
    gaps, inner = F.pad(one.times.diff(dim=1), (1, 0)), (steps > 0) & real
    own = gaps[inner]
    gaps[inner] = own[torch.randperm(len(own), generator=torch.Generator().manual_seed(0)).to(own.device)]
    return replace(one, times=(one.times[:, :1] + gaps.cumsum(1)).where(real, one.times))


def other_target_times(one: Batch) -> Batch:
    """The batch with every target's time at another row's delay after the last interaction, where it is given."""
    there = (one.lengths < one.times.shape[1]).nonzero().squeeze(1)  # rows with a column for it
    place = there, one.lengths[there]
    last, times = one.times[there, one.lengths[there] - 1], one.times.clone()
    mixed = torch.randperm(len(last), generator=torch.Generator().manual_seed(0))
    times[place] = last + (times[place] - last)[mixed]
    return replace(one, times=times)
