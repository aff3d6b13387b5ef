"""The scans inside MMM4Rec: step sizes, decay masks and what they leave of a history, by hooks on its modules."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.blocks import Signal
from mmm4rec_lite.models.mmm4rec import MMM4Rec, StateSpace
from mmm4rec_lite.models.ssd import Rates, Steps, decay_mask
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Items = Int[Tensor, "B L"]  # or times
Lengths = Int[Tensor, " B"]
FIRST = "layer 1, text"


class Scan(NamedTuple):
    """One scan of a forward pass: its module, Delta and D as its ``StepSize`` was given them, and dt."""

    core: StateSpace
    delta: Steps
    D: Signal | None
    dt: Steps

    @property
    def A(self) -> Rates:
        """The decay rates."""
        return -self.core.A_log.exp().detach()


def require_one_history(items: Items) -> None:
    """InputError for a batch of several."""
    refuse(len(items) != 1, f"items: one history at a time, not {len(items)}")


@torch.no_grad()
def capture_scans(model: MMM4Rec, items: Items, lengths: Lengths, times: Items) -> dict[str, Scan]:
    """Every scan of one forward pass, as they run: "layer 1, text", "layer 1, image", "layer 1, fusion" and so on."""
    found: dict[str, Scan] = {}
    layers = range(1, len(model.layers) + 1)
    places = (f"layer {layer}, {part}" for layer in layers for part in ("text", "image", "fusion"))
    device = next(model.parameters()).device
    with ExitStack() as hooks:
        for core in (module for module in model.modules() if isinstance(module, StateSpace)):
            keep = lambda _, given, out, core=core: found.update({next(places): Scan._make((core, *given, out[0]))})
            hooks.enter_context(core.step.register_forward_hook(keep))
        model.eval()
        model(items.to(device), lengths.to(device), times.to(device))
    return found


def steps(model: MMM4Rec, items: Items, lengths: Lengths, times: Items) -> dict[str, tuple[Steps, Rates]]:
    """The step sizes dt and decay rates A of every scan of one forward pass; keys as of ``capture_scans``."""
    return {name: (scan.dt, scan.A) for name, scan in capture_scans(model, items, lengths, times).items()}


def decay_masks(model: MMM4Rec, items: Items, lengths: Lengths, times: Items) -> dict[str, Float[Tensor, "B H L L"]]:
    """The decay masks (eq. 8) of every scan over the whole window; keys as of ``capture_scans``."""
    return {name: decay_mask((A * dt).mT) for name, (dt, A) in steps(model, items, lengths, times).items()}


def half_lives(dt: Steps, A: Rates, lengths: Lengths) -> Float[Tensor, "B H"]:
    """Half-life in steps of what a head holds, (l - 1) ln 2 / -(A dt_2 + .. + A dt_l); nan for a single item."""
    inner = torch.arange(dt.shape[1], device=dt.device) < lengths.to(dt.device).unsqueeze(1)
    inner[:, 0] = False
    decay = (-A * dt * inner.unsqueeze(-1)).sum(1)
    return inner.sum(1, keepdim=True) * math.log(2) / decay


def effective_weights(dt: Steps, A: Rates, lengths: Lengths) -> Float[Tensor, "B H L"]:
    """Shares of the items in the state after the last step: M_ls dt_s (eq. 7, 8) over the sum; C B^T is left out."""
    last = (lengths.to(dt.device) - 1)[:, None, None, None].expand(-1, len(A), 1, dt.shape[1])
    weight = decay_mask((A * dt).mT).gather(2, last).squeeze(2) * dt.mT  # 0 after the last step
    return weight / weight.sum(-1, keepdim=True)


def weights_by_head(
    model: MMM4Rec, items: Items, lengths: Lengths, times: Items, places: Sequence[str] = ("text", "image")
) -> dict[str, Float[Tensor, " l"]]:
    """``effective_weights`` of one history in layer 1: "text, head 1" and so on."""
    require_one_history(items)
    found, n = steps(model, items, lengths, times), int(lengths)
    heads = {place: effective_weights(*found[f"layer 1, {place}"], lengths)[0, :, :n] for place in places}
    return {f"{place}, head {h}": shares for place in places for h, shares in enumerate(heads[place], 1)}


@torch.no_grad()
def step_table(model: MMM4Rec, items: Items, lengths: Lengths, times: Items, place: str = FIRST) -> pd.DataFrame:
    """Eq. 5 to 9 of one history: a row per step and head, both counted from 1.

    gap (seconds before the item), D, alpha, D-hat (nan without time), dt, kept (exp(A dt): what a step leaves of what
    was held), left (M_ls: what the last step has of the item), weight (``effective_weights``).
    """
    require_one_history(items)
    core, delta, D, dt = scan = capture_scans(model, items, lengths, times)[place]
    A, n, heads, nothing = scan.A, int(lengths), len(scan.A), torch.full_like(dt.mT, torch.nan)
    signals = [nothing] * 3 if D is None else [D, core.step.scale(D), core.step(delta, D)[1]]
    left, weight = decay_mask((A * dt).mT)[:, :, n - 1], effective_weights(dt, A, lengths)
    values = torch.cat([*signals, dt.mT, (A * dt).exp().mT, left, weight])[:, :, :n]  # [columns,H,n]
    names = ["D", "alpha", "D-hat", "dt", "kept", "left", "weight"]
    gaps = F.pad(times.diff(dim=1), (1, 0))[0, :n].repeat_interleave(heads).tolist()
    own = {name: value.T.flatten().tolist() for name, value in zip(names, values)}
    index = pd.MultiIndex.from_product([range(1, n + 1), range(1, heads + 1)], names=["step", "head"])
    return pd.DataFrame({"gap": gaps} | own, index).reset_index()
