"""SASRec and its text form: torch's own encoder layers, causality, padding, one-hot texts."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.data import Batch
from mmm4rec_lite.models.base import Catalogue, last_state
from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.sasrec import sasrec, sasrec_t
from mmm4rec_lite.utils.errors import InputError

K = 20
SMALL = BaselineConfig(d_model=16, d_ff=24, max_len=8, dropout=0.0)
LENGTHS = torch.tensor([8, 5, 2, 1])
REAL = torch.arange(8) < LENGTHS.unsqueeze(1)
ITEMS = torch.randint(1, K, (4, 8), generator=torch.Generator().manual_seed(1)) * REAL
BATCH = Batch(ITEMS, LENGTHS, ITEMS * 0, torch.tensor([1, 2, 3, 4]), LENGTHS * 0)


def made(build=sasrec, features=None, config=SMALL):
    """A model with larger start values than its own, so that nothing hides near zero."""
    features = torch.randn(K, 12, generator=torch.Generator().manual_seed(0)) if features is None else features
    torch.manual_seed(0)
    model = build(config, Catalogue(features, features, torch.ones(K, dtype=torch.bool)))
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn_like(p)
    return model.eval()


def plain_layer(block):
    """torch's own encoder layer with the weights of ours."""
    layer = nn.TransformerEncoderLayer(16, 2, 24, 0.0, F.gelu, SMALL.norm_eps, batch_first=True, norm_first=False)
    attention, inner = block.attention, block.feed_forward
    maps = (attention.query, attention.key, attention.value)
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([m.weight for m in maps]),
            "self_attn.in_proj_bias": torch.cat([m.bias for m in maps]),
            **{f"self_attn.out_proj.{k}": v for k, v in attention.out.state_dict().items()},
            **{f"linear1.{k}": v for k, v in inner.inner.state_dict().items()},
            **{f"linear2.{k}": v for k, v in inner.outer.state_dict().items()},
            **{f"norm1.{k}": v for k, v in attention.norm.state_dict().items()},
            **{f"norm2.{k}": v for k, v in inner.norm.state_dict().items()},
        }
    )
    return layer.train()  # eval would take torch's fused path; there is no drop-out


def test_it_equals_torchs_own_encoder():
    model = made()
    encoder = model.encoder
    x = F.layer_norm(
        model.items.ids.weight[ITEMS] + encoder.positions.weight,
        (16,),
        encoder.norm.weight,
        encoder.norm.bias,
        SMALL.norm_eps,
    )
    for block in encoder.blocks:
        x = plain_layer(block)(x, src_mask=nn.Transformer.generate_square_subsequent_mask(8), is_causal=True)
    users = torch.stack([x[row, n - 1] for row, n in enumerate(LENGTHS)])
    torch.testing.assert_close(model.users(BATCH), users)
    scores = users @ model.items.ids.weight.T
    torch.testing.assert_close(model.score(users)[:, 1:], scores[:, 1:])
    wanted = sum(scores[i, 1:].logsumexp(0) - scores[i, t] for i, t in enumerate(BATCH.targets)) / 4
    torch.testing.assert_close(model.losses(BATCH, "scratch"), {"cross_entropy": wanted})


def test_a_step_sees_itself_and_what_came_before():
    model = made()
    states = lambda items: model.encoder.states(model.items(items), BATCH)[0]
    before = states(ITEMS)
    for step in range(8):
        items = ITEMS.clone()
        items[0, step] = items[0, step] % (K - 1) + 1
        change = (states(items) - before).abs().amax(1)
        assert change[:step].max() == 0 if step else True
        assert (change[step:] > 1e-4).all()


@pytest.mark.parametrize("build", [sasrec, sasrec_t])
def test_neither_padding_nor_other_rows_reach_a_user(build):
    model = made(build)
    users = model.users(BATCH)
    torch.testing.assert_close(model.users(replace(BATCH, items=torch.where(REAL, ITEMS, 3))), users)
    for row, n in enumerate(LENGTHS):  # alone and without padding
        alone = BATCH.take(slice(row, row + 1))
        torch.testing.assert_close(
            model.users(replace(alone, items=alone.items[:, :n], times=alone.times[:, :n]))[0], users[row]
        )


def test_text_equals_ids_when_features_are_one_hot():
    ids, text = made(), made(sasrec_t, torch.eye(K))
    text.encoder.load_state_dict(ids.encoder.state_dict())
    with torch.no_grad():
        text.items.linear.weight.copy_(ids.items.ids.weight.T)
        text.items.linear.bias.zero_()
    torch.testing.assert_close(text.candidates(), ids.candidates())
    torch.testing.assert_close(text.users(BATCH), ids.users(BATCH))
    one, other = (model.losses(BATCH, "scratch")["cross_entropy"] for model in (ids, text))
    torch.testing.assert_close(one, other)


def test_features_are_no_weights():
    features = torch.randn(K, 12)
    model = made(sasrec_t, features)
    assert torch.equal(model.items.features, features)  # no start value touched them
    assert "items.features" not in model.state_dict() and not model.items.features.requires_grad


def test_drop_out_is_for_training_alone():
    model = made(config=SMALL.replace(dropout=0.5))
    assert torch.equal(model.users(BATCH), model.users(BATCH))
    model.train()
    assert not torch.equal(model.users(BATCH), model.users(BATCH))


def test_the_user_is_the_last_real_step():
    states = torch.arange(24.0).view(4, 3, 2)
    assert last_state(states, torch.tensor([1, 2, 3, 1])).tolist() == [[0, 1], [8, 9], [16, 17], [18, 19]]


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(InputError, match="^config: n_heads 3 [^\n]*$"):
        BaselineConfig(n_heads=3)
