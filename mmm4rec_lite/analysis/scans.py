"""The scans inside MMM4Rec: step sizes, decay masks and what they leave of a history, by hooks on its modules."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.blocks import Signal
from mmm4rec_lite.models.mmm4rec import MMM4Rec, StateSpace
from mmm4rec_lite.models.ssd import Rates, Steps, decay_mask
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Items = Int[Tensor, "B L"]  # or times
Lengths = Int[Tensor, " B"]


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
    if len(items) != 1:
        raise InputError(f"items: one history at a time, not {len(items)}")


def steps(model: MMM4Rec, items: Items, lengths: Lengths, times: Items) -> dict[str, tuple[Steps, Rates]]:
    """The step sizes dt of every scan of one forward pass and its decay rates A.

    Keys are "layer 1, text", "layer 1, image", "layer 1, fusion" and so on.
    """
    found = capture_scans(model, items, lengths, times)
    return {name: (scan.dt, scan.A) for name, scan in found.items()}


@torch.no_grad()
def capture_scans(model: MMM4Rec, items: Items, lengths: Lengths, times: Items) -> dict[str, Scan]:
    """Every scan of one forward pass; keys as of ``steps``."""
    found: dict[str, Scan] = {}

    def watch(name, core):
        def keep(_, given, output):
            # a shared TiSSD runs for the text first, then for the images
            place = f"{name}, image" if f"{name}, text" in found else f"{name}, text"
            found[name if name.endswith("fusion") else place] = Scan(core, *given, output[0])

        return core.step.register_forward_hook(keep)

    hooks = []
    for path, core in model.named_modules():
        if isinstance(core, StateSpace):
            _, number, kind, *_ = path.split(".")
            hooks.append(watch(f"layer {int(number) + 1}{', fusion' if kind == 'ticossd' else ''}", core))
    device = next(model.parameters()).device
    try:
        model.eval()
        model(items.to(device), lengths.to(device), times.to(device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def decay_masks(model: MMM4Rec, items: Items, lengths: Lengths, times: Items) -> dict[str, Float[Tensor, "B H L L"]]:
    """The decay masks (eq. 8) of every scan over the whole window; keys as of ``steps``."""
    return {name: decay_mask((A * dt).mT) for name, (dt, A) in steps(model, items, lengths, times).items()}


def half_lives(dt: Steps, A: Rates, lengths: Lengths) -> Float[Tensor, "B H"]:
    """Half-life of what each head holds, in steps, at the mean decay of its own history.

    (l - 1) ln 2 / -(A dt_2 + .. + A dt_l): the first step has nothing to forget. nan for a history of one item.

    >>> half_lives(torch.ones(1, 5, 1), torch.tensor([-math.log(2)]), torch.tensor([5]))
    tensor([[1.]])
    """
    inner = torch.arange(dt.shape[1], device=dt.device) < lengths.to(dt.device).unsqueeze(1)
    inner[:, 0] = False
    decay = (-A * dt * inner.unsqueeze(-1)).sum(1)
    return inner.sum(1, keepdim=True) * math.log(2) / decay


def effective_weights(dt: Steps, A: Rates, lengths: Lengths) -> Float[Tensor, "B H L"]:
    """How much of each past item is in the state after the last step, as shares; 0 at padding.

    Item s enters with weight dt_s (eq. 7) and M_ls of it is left (eq. 8): M_ls dt_s over their sum. What the items
    say, C B^T of eq. 9, is left out.
    """
    last = (lengths.to(dt.device) - 1)[:, None, None, None].expand(-1, len(A), 1, dt.shape[1])
    left = decay_mask((A * dt).mT).gather(2, last).squeeze(2)  # [B,H,L], 0 after the last step
    weight = left * dt.mT
    return weight / weight.sum(-1, keepdim=True)


def weights_by_head(
    model: MMM4Rec, items: Items, lengths: Lengths, times: Items, places: Sequence[str] = ("text", "image")
) -> dict[str, Float[Tensor, " l"]]:
    """``effective_weights`` of one history in layer 1: "text, head 1" and so on."""
    require_one_history(items)
    found = steps(model, items, lengths, times)
    return {
        f"{place}, head {h}": weights[: lengths.item()]
        for place in places
        for h, weights in enumerate(effective_weights(*found[f"layer 1, {place}"], lengths)[0], 1)
    }


@torch.no_grad()
def step_table(
    model: MMM4Rec, items: Items, lengths: Lengths, times: Items, place: str = "layer 1, text"
) -> pd.DataFrame:
    """Eq. 5 to 9 of one history, step by step: a frame with a row per step and head, both counted from 1.

    Columns: step, head, gap (seconds before the item; 0 at the first), D, alpha, D-hat (nan without time), dt,
    kept (exp(A dt): what one step leaves of what was held), left (M_ls: what the last step has of the item),
    weight (``effective_weights``).
    """
    require_one_history(items)
    core, delta, D, dt = scan = capture_scans(model, items, lengths, times)[place]
    A, n = scan.A, int(lengths)
    nothing = torch.full_like(dt.mT, torch.nan)
    alpha, d_hat = (nothing, nothing) if D is None else (core.step.scale(D), core.step(delta, D)[1])
    own = lambda v: v[0, :, :n].T.flatten().tolist()  # [B,H,L] -> a row per step and head
    return pd.DataFrame(
        {
            "step": torch.arange(1, n + 1).repeat_interleave(len(A)).tolist(),
            "head": torch.arange(1, len(A) + 1).repeat(n).tolist(),
            "gap": F.pad(times.diff(dim=1), (1, 0))[0, :n].repeat_interleave(len(A)).tolist(),
            "D": own(nothing if D is None else D),
            "alpha": own(alpha),
            "D-hat": own(d_hat),
            "dt": own(dt.mT),
            "kept": own((A * dt).exp().mT),
            "left": own(decay_mask((A * dt).mT)[:, :, n - 1]),
            "weight": own(effective_weights(dt, A, lengths)),
        }
    )
