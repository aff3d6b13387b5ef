"""What runs through the layers: both modalities' sequences, how alike they are, how far the fusion looks back."""

from collections.abc import Sequence
from contextlib import ExitStack

import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.analysis.interventions import relative_change
from mmm4rec_lite.models.base import Batch, Modalities
from mmm4rec_lite.models.blocks import Signal
from mmm4rec_lite.models.mmm4rec import MMM4Rec, TiCoSSD
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Sequences = Float[Tensor, "B L N"]


@torch.no_grad()
def activations(model: MMM4Rec, one: Batch) -> list[dict[str, Tensor]]:
    """Per layer [B,L,N]: ``text_in``, ``image_in`` enter TiSSD (X of eq. 10), ``text``, ``image`` leave the alignment
    (P of eq. 11), ``fused`` TiCoSSD (M of eq. 18); with time [B,H,L]: ``d_text``, ``d_image`` enter the filter,
    ``d_fused`` leaves it (eq. 12-16)."""
    found: list[dict[str, Tensor]] = [{} for _ in model.layers]
    with ExitStack() as hooks:
        watch = lambda module, keep: hooks.enter_context(module.register_forward_hook(keep))
        for layer, seen in zip(model.layers, found):
            watch(layer, lambda _, given, __, seen=seen: seen.update(text_in=given[0].text, image_in=given[0].image))
            watch(layer.ticossd, lambda _, given, out, seen=seen: seen.update(text=given[0], image=given[1], fused=out))
            if layer.filter:
                keep = lambda _, given, out, seen=seen: seen.update(d_text=given[0], d_image=given[1], d_fused=out)
                watch(layer.filter, keep)
        model.eval()
        model.plain_users(one.to(next(model.parameters()).device))
    return found


def alignment(text: Float[Tensor, "U N"], image: Float[Tensor, "U N"]) -> dict[str, float]:
    """Mean cosine of a user's text with the ``own`` image and with ``others``'; ``cka``: linear CKA (Kornblith et al.
    2019), 1 where both hold the same geometry, in whatever coordinates."""
    refuse(len(text) < 2, f"alignment: {len(text)} user; it takes two to compare a user's own image with another's")
    cosines = F.normalize(text, dim=1) @ F.normalize(image, dim=1).T
    own = cosines.diagonal()
    others = (cosines.sum() - own.sum()) / (cosines.numel() - len(cosines))
    t, v = text - text.mean(0), image - image.mean(0)
    cka = (t.T @ v).square().sum() / ((t.T @ t).norm() * (v.T @ v).norm())
    return {"own": own.mean().item(), "others": others.item(), "cka": cka.item()}


@torch.no_grad()
def receptive_field(layer: TiCoSSD, text: Sequences, image: Sequences, d: Signal | None) -> pd.DataFrame:
    """How far M's last step (eq. 18) moves, over its length, when one step of one stream is another user's: stream,
    back (steps before the last), moved (mean over users); for full windows of two users or more."""
    refuse(len(text) < 2, "reach: two users with full windows, or more, are needed")
    before, lines = layer(text, image, d)[:, -1], []
    for stream, given in (("image", image), ("text", text)):
        for back in range(text.shape[1]):
            other = given.clone()
            other[:, -1 - back] = given[:, -1 - back].roll(1, 0)
            after = layer(*((text, other) if stream == "image" else (other, image)), d)[:, -1]
            lines.append((stream, back, relative_change(before, after)))
    return pd.DataFrame(lines, columns=["stream", "back", "moved"])


@torch.no_grad()
def score_parts(model: MMM4Rec, users: Float[Tensor, "B N"], items: Sequence[int] | Int[Tensor, " n"]) -> Modalities:
    """Eq. 20's two dot products [B, n] over tau, for the fusion "sum"; their sum is the score."""
    fusion = model.config.fusion
    refuse(fusion != "sum", f"score_parts: this model weighs the two (fusion={fusion!r}); its score is no sum")
    vectors = model.embed(torch.as_tensor(items))
    return Modalities(*(users @ F.normalize(v, dim=-1).T / model.config.temperature for v in vectors))
