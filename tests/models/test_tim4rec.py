"""TiM4Rec and its text form: what times do and do not, padding, the stack out of tested blocks."""

from dataclasses import replace

import pytest
import torch

from mmm4rec_lite.data import Batch
from mmm4rec_lite.models.base import Catalogue
from mmm4rec_lite.models.tim4rec import CONFIG, tim4rec, tim4rec_t

K, DAY = 20, 86_400
SMALL = CONFIG.replace(d_model=16, d_ff=64, d_state=4, head_dim=8, max_len=8, dropout=0.0, time_dropout=0.0)
BUILDERS = (tim4rec, tim4rec_t)


def made(build, **changes):
    g = torch.Generator().manual_seed(0)
    catalogue = Catalogue(*torch.randn(2, K, 12, generator=g), torch.ones(K, dtype=torch.bool))
    torch.manual_seed(0)
    model = build(SMALL.replace(**changes), catalogue).eval()
    for table in (m for m in model.modules() if isinstance(m, torch.nn.Embedding)):
        torch.nn.init.normal_(table.weight)  # larger than its start, so that nothing hides near zero
    return model


def made_batch():
    g = torch.Generator().manual_seed(1)
    lengths = torch.tensor([8, 5, 2, 1])
    real = torch.arange(8) < lengths.unsqueeze(1)
    times = (torch.rand(4, 8, generator=g) * 30 * DAY).long().cumsum(1) + 1_700_000_000
    items = torch.randint(1, K, (4, 8), generator=g)
    return Batch(items * real, lengths, times * real, torch.tensor([1, 2, 3, 4]), torch.zeros(4, dtype=torch.long))


BATCH = made_batch()
REAL = BATCH.items > 0


@pytest.mark.parametrize("gaps", ["seconds", "log"])
@pytest.mark.parametrize("build", BUILDERS)
def test_other_gaps_give_other_users_and_without_time_they_do_not(build, gaps):
    permuted = BATCH.times.clone()
    permuted[0, 1:] = BATCH.times[0, 0] + BATCH.times[0].diff().flip(0).cumsum(0)  # the same gaps, last first
    other, later = replace(BATCH, times=permuted), replace(BATCH, times=(BATCH.times + 9 * DAY) * REAL)
    timed, timeless = made(build, gaps=gaps), made(build, gaps=gaps, time=False)
    change = (timed.users(other) - timed.users(BATCH)).abs().amax(1)
    assert change[0] > 1e-3 and change[1:].max() == 0  # only the row whose gaps changed
    torch.testing.assert_close(timed.users(later), timed.users(BATCH))  # gaps count, not the calendar
    assert torch.equal(timeless.users(other), timeless.users(BATCH))
    assert not any("scale" in key or "enhance" in key for key in timeless.state_dict())


@pytest.mark.parametrize("gaps", ["seconds", "log"])
@pytest.mark.parametrize("build", BUILDERS)
def test_neither_padding_nor_the_targets_time_nor_other_rows_reach_a_user(build, gaps):
    model = made(build, gaps=gaps)
    users = model.users(BATCH)
    junk = replace(
        BATCH,
        items=torch.where(REAL, BATCH.items, 3),
        requests=BATCH.requests + DAY,
        times=torch.where(REAL, BATCH.times, BATCH.times.max() + DAY * torch.arange(8)),
    )
    torch.testing.assert_close(model.users(junk), users)
    for row in range(4):
        alone = BATCH.take(slice(row, row + 1))
        torch.testing.assert_close(model.users(alone)[0], users[row])


@pytest.mark.parametrize("build", BUILDERS)
def test_every_earlier_item_reaches_the_user(build):
    model = made(build)
    for step in range(8):
        items = BATCH.items.clone()
        items[0, step] = items[0, step] % (K - 1) + 1
        assert (model.users(replace(BATCH, items=items)) - model.users(BATCH))[0].abs().max() > 1e-5


def test_text_equals_ids_when_features_are_one_hot():
    hot = Catalogue(torch.eye(K), torch.eye(K), torch.ones(K, dtype=torch.bool))
    ids, text = made(tim4rec), tim4rec_t(SMALL, hot).eval()
    text.encoder.load_state_dict(ids.encoder.state_dict())
    with torch.no_grad():
        text.items.linear.weight.copy_(ids.items.ids.weight.T)
        text.items.linear.bias.zero_()
    torch.testing.assert_close(text.candidates(), ids.candidates())
    torch.testing.assert_close(text.users(BATCH), ids.users(BATCH))


def test_the_stack_hands_the_time_signal_from_layer_to_layer():
    """The released order, of blocks that test_equations.py checks: LN, then (TiSSD, add, LN, feed-forward) twice."""
    model = made(tim4rec)
    encoder, mask = model.encoder, REAL.float()
    d, d_mask = encoder.times(BATCH.times, mask)
    d, d_mask = d[:, None].repeat(1, SMALL.n_heads, 1), d_mask[:, None]
    x = encoder.norm(model.items.ids.weight[BATCH.items])
    for layer in range(2):
        y, d = encoder.tissd[layer](x, d, d_mask)
        x = encoder.norms[layer](y + x)
        block = encoder.feed_forward[layer]
        inner = block.inner(x)
        inner = inner * (inner + 3).clamp(0, 6) / 6  # hardswish
        x = block.norm(x + block.outer(inner))
    own = torch.stack([x[row, n - 1] for row, n in enumerate(BATCH.lengths)])
    torch.testing.assert_close(model.users(BATCH), own)
    torch.testing.assert_close(model.score(own)[:, 1:], own @ model.items.ids.weight[1:].T)


def test_its_time_branch_is_alive_at_the_start():
    """The published start values, N(0, 0.02) throughout, leave the time branch at nothing."""
    for build in BUILDERS:
        model = made(build)
        sum(model.losses(BATCH, "scratch").values()).backward()
        for layer in model.encoder.tissd:
            assert layer.core.step.scale[3].bias.abs().max() > 1
            assert layer.core.step.scale[1].weight.grad.abs().max() > 1e-6
