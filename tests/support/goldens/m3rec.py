"""M3Rec: the authors' class, with the features loaded after construction, and what it gives no gradient."""

import torch

from mmm4rec_lite.models.m3rec import M3Rec, M3RecConfig
from tests.support.goldens import MAMBA, Golden, check_features_overwritten, check_released, filled, mamba, renamed

COUNTS = {"m3rec": (384_258, 4_609_026)}
ITEMS = {
    r"^img_alpha$": "alpha",
    r"^text_beta$": "beta",
    r"^item_embedding\.": "items.ids.",
    r"^(img|text)_trans\.0\.": r"\1.linear.",
    r"^(img|text)_trans\.2\.": r"\1.outer.",
    r"^(id|img|text)_mamba_ffn\.(\d+)\.": r"\1_stream.experts.\2.",
    r"^(img|text)_LayerNorm\.": r"\1_stream.norm.",
    r"^LayerNorm\.": "id_stream.norm.",
    r"^mamba_block\.": "mixers.",
    r"^img": "image",
}


def build(golden: Golden, **changes: object) -> M3Rec:
    """Our model, sized and filled as the file says."""
    config = M3RecConfig(**mamba(golden), **changes)
    return filled(M3Rec(config, golden.catalogue), renamed(golden.values["state"], ITEMS | MAMBA))


def check_ranks_as_released(golden: Golden) -> None:
    """Users, candidates, scores and cross-entropy of all rows, whatever no_grad hides; with padding a rival, too."""
    for detached in (False, True):
        check_released(golden, build(golden, detach_shared=detached))


def check_gradients_as_released(golden: Golden) -> None:
    """Their norms with ``detach_shared``, which hides what the release never trains; without it all have one."""
    reached = {}
    for detached in (True, False):
        model = build(golden, detach_shared=detached)
        model.losses(golden.batches["short"], "scratch")["cross_entropy"].backward()
        reached[detached] = {name for name, p in model.named_parameters() if p.grad is not None}
        if detached:
            for theirs, norm in golden.values["gradient_norms"].items():
                if theirs != "what" and norm is not None:
                    (ours,) = renamed({theirs: norm}, ITEMS | MAMBA)
                    golden.close(model.get_parameter(ours).grad.norm(), "gradient_norms", theirs)
    unreached = set(renamed(dict.fromkeys(golden.values["unreached"]), ITEMS | MAMBA))
    assert reached[True] == {name for name, _ in model.named_parameters()} - unreached
    assert reached[False] == reached[True] | unreached


def check_features_are_overwritten_as_released(golden: Golden) -> None:
    """The tables are noise behind construction with ``features_overwritten``, and the file's without."""
    ours, released = (
        M3Rec(build(golden).config.replace(features_overwritten=noise), golden.catalogue) for noise in (False, True)
    )
    for name in ("text", "image"):
        check_features_overwritten(golden, getattr(released, name).features)
        assert torch.equal(getattr(ours, name).features, getattr(golden.catalogue, name))
