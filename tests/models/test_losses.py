"""Losses against the scores that they are made of."""

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.losses import full_loss, in_batch, in_batch_loss
from mmm4rec_lite.models.mmm4rec import MMM4Rec

ITEMS = 60


def make(config=None):
    torch.manual_seed(0)
    return MMM4Rec(config or ModelConfig(), torch.randn(ITEMS + 1, 12), torch.randn(ITEMS + 1, 10)).eval()


def gradients(model, loss, users):
    model.zero_grad()
    catalogue = (p for n, p in model.named_parameters() if n.startswith(("adapter", "bias_")))
    return torch.autograd.grad(loss, [users, *catalogue])


@pytest.mark.parametrize("pad_item", [False, True])
@pytest.mark.parametrize("fallback", [False, True])
def test_full_loss_is_cross_entropy_over_the_scores(fallback, pad_item, monkeypatch):
    if fallback:
        monkeypatch.delattr(F, "linear_cross_entropy", raising=False)
    model = make(ModelConfig(quirks=Quirks(pad_item=pad_item))).double()
    users = torch.randn(300, 64, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(1, ITEMS + 1, (300,))
    loss, scores = full_loss(model, users, targets), model.score(users)
    expected = F.cross_entropy(scores, targets) if pad_item else F.cross_entropy(scores[:, 1:], targets - 1)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-10)
    for a, b in zip(gradients(model, loss, users), gradients(model, expected, users)):
        assert torch.allclose(a, b, rtol=0, atol=1e-10)


def test_in_batch_loss_equals_a_loop_where_copies_of_the_target_are_no_negatives():
    model = make().double()
    users, targets = torch.randn(12, 64, dtype=torch.float64), torch.randint(1, 6, (12,))
    candidates, total = model.candidates(), 0
    for user, target in zip(users, targets):
        wrong = [user @ candidates[other] for other in targets if other != target]
        total -= torch.log_softmax(torch.stack([user @ candidates[target], *wrong]), 0)[0]
    assert len(targets.unique()) < 12
    assert in_batch_loss(model, users, targets).item() == pytest.approx((total / 12).item(), abs=1e-10)


def test_muted_copies_add_what_they_are_given():
    logits, targets = torch.randn(3, 3), torch.tensor([4, 5, 4])
    rows = [
        torch.tensor([logits[0, 0], logits[0, 1], 0]),
        logits[1].roll(-1),
        torch.tensor([logits[2, 2], logits[2, 1], 0]),
    ]
    expected = -torch.stack([row.log_softmax(0)[0] for row in rows]).mean()
    torch.testing.assert_close(in_batch(logits, targets, muted=0.0), expected)


def test_a_batch_of_one_target_only_has_no_loss_and_finite_gradients():
    model = make()
    loss = in_batch_loss(model, torch.randn(4, 64), torch.tensor([3, 3, 3, 3]))
    loss.backward()
    assert loss == 0 and torch.isfinite(model.adapter_text.weight.grad).all()
