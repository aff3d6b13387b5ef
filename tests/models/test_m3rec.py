"""M3Rec: its equations row by row, items without an image, what each switch of the release hides."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.base import Catalogue
from mmm4rec_lite.models.m3rec import M3Rec, M3RecConfig
from tests.support.models import drawn
from tests.support.rows import rows_of

K = 30
SMALL = M3RecConfig(d_model=16, d_ff=24, d_state=4, max_len=8, dropout=0.0)
HISTORIES = [[3, 4, 5, 6, 7, 8, 9, 10], [10, 3], [12], [12, 12, 13]]
BATCH = rows_of(*HISTORIES, targets=[5, 6, 5, 9])


def made(config=SMALL, catalogue=None):
    """A model with larger start values than its own, so that nothing hides near zero."""
    torch.manual_seed(0)
    model = M3Rec(config, catalogue or drawn(K))
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn_like(p)
    return model.eval()


def plain_adapter(adapter, features):
    hidden = adapter.linear.weight @ features + adapter.linear.bias
    return adapter.outer.weight @ torch.where(hidden > 0, hidden, 0.01 * hidden) + adapter.outer.bias


@pytest.mark.parametrize("layers", [1, 2])
def test_users_and_scores_are_those_of_three_streams_one_after_another(double, layers):
    """The ids' stream alone, then texts', then images', each through the same Mamba and its own experts."""
    catalogue = drawn(K)
    model = made(SMALL.replace(n_layers=layers), catalogue)
    image = catalogue.image * catalogue.has_image.unsqueeze(1)
    with torch.no_grad():
        vectors = [
            torch.stack([plain_adapter(adapter, row) for row in table])
            for adapter, table in ((model.image, image), (model.text, catalogue.text))
        ]
        vectors.append(model.items.ids.weight)
        weights, users = (model.alpha, model.beta, 1), []
        for history in HISTORIES:
            parts = []
            for stream, table in zip((model.image_stream, model.text_stream, model.id_stream), vectors):
                x = F.layer_norm(table[history], (16,), stream.norm.weight, stream.norm.bias, SMALL.norm_eps)
                for mixer, expert in zip(model.mixers, stream.experts):
                    y = mixer.mamba(x[None])[0]
                    x = mixer.norm(x + y if layers > 1 else y)
                    x = expert.norm(x + expert.outer(F.gelu(expert.inner(x))))
                parts.append(x[-1])
            users.append(torch.cat([weight * part for weight, part in zip(weights, parts)]))
        torch.testing.assert_close(model.users(BATCH), torch.stack(users))
        products = sum(
            weight * user @ table.T for weight, user, table in zip(weights, torch.stack(users).split(16, 1), vectors)
        )
        torch.testing.assert_close(model.score(model.users(BATCH))[:, 1:], products[:, 1:])


def test_an_item_without_an_image_has_the_one_vector_of_all_such_items():
    catalogue = drawn(K)
    model = made(catalogue=catalogue)
    blank = model.image(torch.arange(1, K))[~catalogue.has_image[1:]]
    assert len(blank) > 3 and torch.equal(blank, blank[:1].expand_as(blank)) and blank.any()
    full, lost = made(catalogue=replace(catalogue, has_image=torch.ones(K).bool())), torch.arange(K) % 4 == 0
    assert not torch.allclose(full.users(BATCH), model.users(BATCH), atol=1e-3)
    full.drop_images(lost)
    torch.testing.assert_close(full.users(BATCH), model.users(BATCH))
    torch.testing.assert_close(full.candidates()[1:], model.candidates()[1:])


def test_without_gradients_the_shared_blocks_learn_from_ids_alone():
    """The gradient of Mamba, as released, is that of a loss in which texts and images are constants."""
    norms = {}
    for detached in (False, True):
        model = made(SMALL.replace(detach_shared=detached))
        ids = model.users(BATCH)[:, 32:].square().sum()
        norms[detached, "ids"] = torch.autograd.grad(ids, model.mixers[0].mamba.W_in.weight)[0].norm()
        norms[detached, "all"] = torch.autograd.grad(
            model.users(BATCH).square().sum(), model.mixers[0].mamba.W_in.weight
        )[0].norm()
    assert norms[True, "all"] == norms[True, "ids"] == norms[False, "ids"]
    assert abs(norms[False, "all"] / norms[False, "ids"] - 1) > 0.01


def test_overwritten_features_are_noise_that_stays_with_the_weights():
    config, catalogue = SMALL.replace(features_overwritten=True), drawn(K)
    model, other = made(config, catalogue), M3Rec(config, catalogue).eval()
    for adapter in (model.image, model.text):
        assert adapter.features.std() == pytest.approx(0.02, rel=0.15)
    assert not torch.allclose(other.candidates(), model.candidates())
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.candidates(), model.candidates())
    assert {name for name in model.state_dict() if name.startswith(model.item_specific)} == {
        "items.ids.weight",
        "image.features",
        "text.features",
    }
    assert not any("features" in name for name in made().state_dict())


def test_texts_alone_can_be_read():
    blank = Catalogue(torch.randn(K, 12), torch.zeros(K, 10), torch.zeros(K, dtype=torch.bool))
    losses = made(catalogue=blank).losses(BATCH, "scratch")
    assert list(losses) == ["cross_entropy"] and losses["cross_entropy"].isfinite()
