"""S3-Rec: what its pre-training draws, that it reads nothing else, and its switches."""

from dataclasses import replace

import pytest
import torch

from mmm4rec_lite.data import batch
from mmm4rec_lite.models import s3rec
from mmm4rec_lite.models.base import Catalogue
from mmm4rec_lite.models.s3rec import S3Rec, S3RecConfig
from mmm4rec_lite.utils.errors import InputError

SMALL = S3RecConfig(d_model=16, d_ff=32, max_len=8, dropout=0.0)


def made(rows, **changes):
    torch.manual_seed(0)
    text = torch.randn(rows, 12)
    return S3Rec(SMALL.replace(**changes), Catalogue(text, text, torch.ones(rows, dtype=torch.bool)))


@pytest.fixture
def model(toy_split):
    return made(toy_split.sequences.item_count + 1)


@pytest.fixture
def one(toy_split):
    """A batch with rows of one item up to the window."""
    return batch(toy_split.sequences, toy_split.train[::5], SMALL.max_len)


def test_what_is_drawn_is_a_share_masked_and_a_span_of_at_most_half(model, one):
    torch.manual_seed(1)
    shares, lengths, starts = [], set(), set()
    for _ in range(20):
        given = model.exercise(one.items)
        assert torch.equal(given.items, one.items) and all(((part > 0) == (one.items > 0)).all() for part in given)
        masked = given.shown == model.mask
        assert torch.equal(given.shown[~masked], one.items[~masked]) and not masked[one.items == 0].any()
        shares.append(masked.sum() / (one.items > 0).sum())
        held = (given.rivals.unsqueeze(2) == one.items.unsqueeze(1)).any(2)
        assert not held[masked].any() and torch.equal(given.rivals[~masked], one.items[~masked])
        assert given.rivals.max() < model.mask
        for row, n in enumerate(one.lengths.tolist()):
            span = (given.context[row] == model.mask).nonzero().flatten().tolist()
            lengths.add((n, len(span)))
            if n == 1:
                assert torch.equal(given.context[row], one.items[row]) and not span
                assert torch.equal(given.segment[row], one.items[row]) and torch.equal(given.other[row], one.items[row])
                continue
            starts.add((n, span[0]))
            assert span == list(range(span[0], span[-1] + 1))
            around = [step for step in range(n) if step not in span]
            assert torch.equal(given.segment[row, span], one.items[row, span])
            for part in (given.segment, given.other):
                assert (part[row, around] == model.mask).all() and (part[row, span] < model.mask).all()
    assert sum(shares) / len(shares) == pytest.approx(SMALL.mask_share, abs=0.03)
    assert {length for n, length in lengths if n == 8} == {1, 2, 3, 4}
    assert {start for n, start in starts if n == 8} == set(range(8))


def test_the_other_span_stands_somewhere_in_the_batch(model, one):
    text = ",".join(map(str, one.items[one.items > 0].tolist()))
    given = model.exercise(one.items)
    for row in (one.lengths > 1).nonzero().flatten().tolist():
        span = given.other[row][given.context[row] == model.mask].tolist()
        assert f",{','.join(map(str, span))}," in f",{text},"


def test_targets_take_no_part_in_pre_training(model, one):
    losses = []
    for targets in (one.targets, one.targets.flip(0)):
        torch.manual_seed(1)
        losses.append(model.losses(replace(one, targets=targets), "pretrain"))
    assert losses[0].keys() == losses[1].keys() and all(
        torch.equal(losses[0][task], losses[1][task]) for task in losses[0]
    )


def test_weights_are_the_configs(one):
    rows, terms = int(one.items.max()) + 30, []
    for changes in ({}, dict(associated_attribute=3.0, masked_item=0.0, segment=1.0)):
        torch.manual_seed(1)
        terms.append(made(rows, **changes).losses(one, "pretrain"))
    own, other = terms
    assert other["masked_item"] == 0 and torch.equal(own["masked_attribute"], other["masked_attribute"])
    torch.testing.assert_close(other["associated_attribute"], 3 * own["associated_attribute"])
    torch.testing.assert_close(other["segment"], 2 * own["segment"])


def test_attributes_may_be_scored_a_few_steps_at_a_time(model, one, monkeypatch):
    given = model.exercise(one.items)

    def found(steps):
        monkeypatch.setattr(s3rec, "STEPS", steps)
        model.zero_grad()
        terms = model.tasks(given, one.items)
        sum(terms.values()).backward()
        return [*terms.values(), *(parameter.grad for parameter in model.parameters())]

    torch.testing.assert_close([part.clone() for part in found(7)], found(10**6), rtol=1e-4, atol=1e-4)


def test_the_mask_is_no_candidate_and_never_ranked(model, one):
    assert len(model.candidates()) == model.mask and model.score(model.users(one)).shape == (len(one.items), model.mask)


def test_features_overwritten_are_kept_with_the_weights():
    lost, again = made(30, features_overwritten=True), made(30, features_overwritten=True)
    again.texts.features.zero_()
    again.load_state_dict(lost.state_dict())
    assert torch.equal(again.texts.features, lost.texts.features) and lost.texts.features[0].any()
    assert "texts.features" not in made(30).state_dict()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(InputError, match="mask_share must be"):
        SMALL.replace(mask_share=share)
