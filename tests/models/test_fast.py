"""Fast forms against plain ones: convolution, drop-out, rows by length for every model."""

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite.data import Batch
from mmm4rec_lite.models import fast
from mmm4rec_lite.models.fast import Dropout, causal_conv, group, ladder
from tests.support.models import NAMES, STAGED, drawn, made


def test_the_convolution_is_torchs_and_so_are_its_gradients(double):
    torch.manual_seed(0)
    groups = [(3, 1), (2, 2), (4, 5), (1, 9)]
    x = torch.randn(sum(n * w for n, w in groups), 6, requires_grad=True)
    weight, bias = torch.randn(6, 4, requires_grad=True), torch.randn(6, requires_grad=True)

    def plain(x, weight, bias):
        parts = [p.unflatten(0, shape) for p, shape in zip(x.split([n * w for n, w in groups]), groups)]
        conv = lambda p: F.conv1d(F.pad(p.mT, (3, 0)), weight.unsqueeze(1), bias, groups=6).mT
        return F.silu(torch.cat([conv(p).flatten(0, 1) for p in parts]))

    given, grad = (x, weight, bias), torch.randn_like(x)
    torch.testing.assert_close(causal_conv(*given, groups), plain(*given))
    ours, theirs = (torch.autograd.grad(y, given, grad) for y in (causal_conv(*given, groups), plain(*given)))
    torch.testing.assert_close(ours, theirs)


def test_unit_vectors_are_torchs_and_so_are_their_gradients(double):
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4)
    x[0, 0] = 0
    x.requires_grad_()
    ours, theirs = fast.unit(x), F.normalize(x, dim=-1)
    torch.testing.assert_close(ours, theirs)
    grad = torch.randn_like(x)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, grad)[0] for y in (ours, theirs)))


def test_kept_memory_changes_nothing_but_the_allocator():
    with fast.kept_memory():
        assert torch.ones(2**23).sum() == 2**23


def test_drop_out_keeps_the_mean_and_the_share():
    torch.manual_seed(0)
    drop, ones = Dropout(0.4), torch.ones(200, 500, requires_grad=True)
    dropped = drop(ones)
    dropped.sum().backward()
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.4, abs=0.01)
    assert torch.equal(ones.grad, dropped) and drop.eval()(ones) is ones


def test_groups_hold_every_row_once_and_are_wide_enough():
    lengths = torch.randint(1, 51, (200,), generator=torch.Generator().manual_seed(0))
    order, groups = group(lengths, ladder(4, 50, 2))
    assert sorted(order.tolist()) == list(range(200)) and [w for _, w in groups] == [4, 8, 16, 32, 50]
    for rows, (count, width) in zip(lengths[order].split([n for n, _ in groups]), groups):
        assert len(rows) == count and width / 2 < rows.max() <= width
    assert ladder(4, 3, 2) == [3] and ladder(1, 1, 2) == [1]


def test_a_batch_in_parts_comes_back_in_order_and_stays_whole_where_parts_save_little():
    lengths = torch.tensor([20, 3, 7, 1, 20, 4, 2, 2])
    taken = []
    halves = fast.in_parts(lambda rows, width: taken.append(width) or lengths[rows] / 2, lengths, 20)
    assert torch.equal(halves, lengths / 2) and taken == [4, 8, 20]
    assert fast.parts(torch.tensor([20, 7, 18, 17, 16]), 20) == [(slice(None), 20)]


def histories(window, lengths, items=61):
    """A batch with these lengths of history."""
    g = torch.Generator().manual_seed(1)
    real = torch.arange(window) < lengths.unsqueeze(1)
    items = torch.randint(1, items, (len(lengths), window), generator=g) * real
    times = (torch.arange(window) * 7200 + 1_500_000_000) * real
    return Batch(items, lengths, times, torch.arange(1, len(lengths) + 1), times.max(1).values)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_the_same_alone_and_beside_longer_ones(name, double):
    """Rows by length are computed apart, so nothing may hang on the width that a row is given."""
    model = made(name, drawn(61)).double().eval()
    batch = histories(model.window, torch.tensor([1, 3, model.window, 2, 5]))
    users = model.users(batch)
    for i in range(5):
        alone = batch.take(slice(i, i + 1))
        torch.testing.assert_close(model.users(alone)[0], users[i])


@pytest.mark.parametrize("name, stage", STAGED)
def test_losses_and_gradients_of_parts_are_those_of_the_whole(name, stage, double, monkeypatch):
    """Users, losses and gradients, draws alike; no system is left out, MMM4Rec's packed form included."""
    model = made(name, drawn(61), stage).double().train()
    batch = histories(model.window, torch.tensor([1, 3, model.window, 2, 5, 1, 1, 2, 4, 3, 2, 1]))
    model.begin_epoch(0, stage)

    def values():
        torch.manual_seed(3)
        users, losses = model.users(batch), model.losses(batch, stage)
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(sum(losses.values()), list(parameters.values()), allow_unused=True)
        known = {name: gradient for name, gradient in zip(parameters, gradients) if gradient is not None}
        return {"users": users.detach(), **{name: term.detach() for name, term in losses.items()}, **known}

    cut = values()
    monkeypatch.setattr(fast, "parts", lambda lengths, window: [(slice(None), window)])
    if hasattr(model, "plain_users"):
        monkeypatch.setattr(model, "users", model.plain_users)
    whole = values()
    assert cut.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(
            cut[name], value, rtol=1e-10, atol=1e-10 * float(value.abs().max()) + 1e-15, msg=name
        )
