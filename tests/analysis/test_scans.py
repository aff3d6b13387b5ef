"""Looking inside: the decay masks are those of the scans that ran, and looking changes nothing."""

import pytest
import torch

from mmm4rec_lite import InputError
from mmm4rec_lite.analysis import decay_masks, steps
from mmm4rec_lite.data import batch

VARIANTS = {
    "plain": {},
    "two TiSSDs": dict(shared=False),
    "two layers": dict(n_layers=2),
    "two of both": dict(shared=False, n_layers=2),
    "no time": dict(time=False),
}


@pytest.fixture(params=VARIANTS)
def model(toy_model, small, request):
    return toy_model(small.replace(**VARIANTS[request.param])).eval()


@pytest.fixture(scope="module")
def inputs(toy_split):
    one = batch(toy_split.sequences, toy_split.test[:5], 8)
    return one.items, one.lengths, one.times


def test_there_is_a_mask_per_layer_for_text_images_and_fusion(model, inputs):
    masks = decay_masks(model, *inputs)
    layers = range(1, model.config.n_layers + 1)
    assert set(masks) == {f"layer {i}, {part}" for i in layers for part in ("text", "image", "fusion")}
    for mask in masks.values():
        assert mask.shape == (5, model.config.n_heads, 8, 8)
        assert (mask.triu(1) == 0).all() and (mask.diagonal(dim1=2, dim2=3) == 1).all()
        assert ((mask >= 0) & (mask <= 1)).all() and 0 < mask[..., -1, -2].max() < 1


def test_a_mask_is_what_is_left_after_the_steps_between(model, inputs):
    found, masks = steps(model, *inputs), decay_masks(model, *inputs)
    assert found.keys() == masks.keys()
    for name, (dt, A) in found.items():
        assert (dt > 0).all() and (A < 0).all()
        for t, s in ((7, 0), (7, 6), (5, 2), (3, 3)):
            left = (A * dt[:, s + 1 : t + 1].sum(1)).exp()
            torch.testing.assert_close(masks[name][:, :, t, s], left)


def test_names_tell_the_modality_and_the_layer(model, inputs):
    """Other pictures leave the text's steps of layer 1 alone, and other texts the pictures'."""
    before = steps(model, *inputs)
    for part, other in (("image", "text"), ("text", "image")):
        features = getattr(model, f"{part}_features")
        kept = features.clone()
        features += 1
        after = steps(model, *inputs)
        features.copy_(kept)
        assert torch.equal(after[f"layer 1, {other}"][0], before[f"layer 1, {other}"][0])
        assert not torch.equal(after[f"layer 1, {part}"][0], before[f"layer 1, {part}"][0])
    for i, layer in enumerate(model.layers, 1):
        for part, core in (
            ("text", layer.tissd[0].core),
            ("image", layer.tissd[-1].core),
            ("fusion", layer.ticossd.core),
        ):
            assert torch.equal(before[f"layer {i}, {part}"][1], -core.A_log.exp())


def test_looking_changes_no_user_vector_and_leaves_no_hooks(model, inputs):
    with torch.no_grad():
        before = model(*inputs)
        decay_masks(model, *inputs)
        assert torch.equal(model(*inputs), before)
    assert not any(module._forward_hooks for module in model.modules())


def test_hooks_are_removed_also_after_an_error(model, inputs):
    items, lengths, times = inputs
    with pytest.raises(InputError):
        decay_masks(model, items + 1000, lengths, times)
    assert not any(module._forward_hooks for module in model.modules())
