"""Fast forms against plain ones: convolution, drop-out, rows by length for every model."""

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite.data import Batch
from mmm4rec_lite.models.fast import Dropout, causal_conv, group, ladder
from tests.support.models import NAMES, drawn, made


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


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_the_same_alone_and_beside_longer_ones(name, toy_split, double):
    """Rows by length are computed apart, so nothing may hang on the width that a row is given."""
    model = made(name, drawn(61)).double().eval()
    L = model.window
    lengths = torch.tensor([1, 3, L, 2, 5])
    real = torch.arange(L) < lengths.unsqueeze(1)
    items = torch.randint(1, 61, (5, L), generator=torch.Generator().manual_seed(1)) * real
    times = (torch.arange(L) * 7200 + 1_500_000_000) * real
    batch = Batch(items, lengths, times, torch.arange(1, 6), times.max(1).values)
    users = model.users(batch)
    for i in range(5):
        alone = batch.take(slice(i, i + 1))
        torch.testing.assert_close(model.users(alone)[0], users[i])
