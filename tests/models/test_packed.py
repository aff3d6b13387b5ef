"""MMM4Rec on packed steps against the form that one reads: users, losses and gradients, for every switch."""

import pytest
import torch

from mmm4rec_lite.data import Batch
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.losses import full_loss, in_batch_loss
from mmm4rec_lite.models.mmm4rec import MMM4Rec

QUIET = dict(dropout=0.0, time_dropout=0.0)
SWITCHES = {
    "as it is": {},
    "two layers": dict(n_layers=2),
    "weights of its own": dict(shared=False, n_layers=2),
    "no time": dict(time=False, gap_vector=False),
    "seconds": dict(gaps="seconds"),
    "groups": dict(n_groups=4, d_conv=2),
    "no feed-forward": dict(ffn=False),
    "a gate per step": dict(gate_per_step=True, learnable_filter=False),
    "asked when": dict(query_time=True, fusion="item", item_bias=False),
    "a window of one": dict(max_len=1),
    "a long window": dict(max_len=50),
    "a window in chunks": dict(max_len=200, n_layers=2),
    "as released": dict(gaps="seconds", quirks=Quirks(**{**vars(Quirks.all()), "dropout_on_gaps": False})),
}


def made(changes, dtype=torch.float64, rows=33):
    """A model away from its start, and a batch with every length of history, or lengths all over a long window."""
    config = ModelConfig(**QUIET | changes)
    torch.manual_seed(0)
    model = MMM4Rec(config, torch.randn(60, 12), torch.randn(60, 10)).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    L = config.max_len
    lengths = torch.arange(rows) * max(1, L // rows) % L + 1
    real = torch.arange(L) < lengths.unsqueeze(1)
    times = torch.exp(9 + 2 * torch.randn(rows, L)).long().cumsum(1) * real
    items = torch.randint(1, 60, (rows, L)) * real
    targets = torch.randint(1, 60, (rows,))
    return model, Batch(items, lengths, times, targets, times.max(1).values + 60)


def values(model, users, batch, loss):
    """Users, loss and every gradient."""
    found = loss(model, users, batch.targets)
    gradients = torch.autograd.grad(found, list(model.parameters()), allow_unused=True)
    names = [name for name, _ in model.named_parameters()]
    known = {name: gradient for name, gradient in zip(names, gradients) if gradient is not None}
    return {"users": users.detach(), "loss": found.detach(), **known}


def as_trained(model, users, targets):
    """``full_loss`` with the catalogue's vectors shared between histories and candidates."""
    return model.losses(model.batch, "scratch")["cross_entropy"]


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
@pytest.mark.parametrize("loss", [full_loss, in_batch_loss, as_trained])
def test_users_losses_and_gradients_are_the_plain_ones(changes, loss):
    model, batch = made(changes)
    model.batch = batch
    plain = values(model, model.plain_users(batch), batch, full_loss if loss is as_trained else loss)
    packed = values(model, model.users(batch), batch, loss)
    assert plain.keys() == packed.keys()
    for name, value in plain.items():
        torch.testing.assert_close(packed[name], value, rtol=1e-10, atol=1e-10 * float(value.abs().max()), msg=name)


def test_in_single_precision_too():
    model, batch = made({}, torch.float32)
    plain, packed = (values(model, users(batch), batch, full_loss) for users in (model.plain_users, model.users))
    for name, value in plain.items():
        torch.testing.assert_close(packed[name], value, rtol=1e-5, atol=1e-5 * float(value.abs().max()), msg=name)


def test_drop_out_has_the_plain_forms_mean_and_spread():
    """The places differ, the distribution does not: users of one history, drawn 4,000 times by either."""
    model, batch = made(dict(dropout=0.3, time_dropout=0.3), torch.float32)
    model.train()
    many = batch.take(torch.full((4000,), 11))
    with torch.no_grad():
        plain, packed = model.plain_users(many), model.users(many)
    error = (plain.var(0) / 4000).sqrt()
    assert ((plain.mean(0) - packed.mean(0)) / error).abs().mean() < 2
    torch.testing.assert_close(packed.std(0), plain.std(0), rtol=0.1, atol=0)
