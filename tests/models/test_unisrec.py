"""UniSRec: whitening, losses and augmentation against plain loops, what may swap a text, what it scores."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite.models.base import Catalogue, another_view, drop_items
from mmm4rec_lite.models.unisrec import MoEWhitening, UniSRec, UniSRecConfig
from mmm4rec_lite.utils.errors import InputError
from tests.support.rows import rows_of

K = 30
SMALL = UniSRecConfig(d_model=16, d_ff=24, max_len=8, experts=3, dropout=0.0, adaptor_dropout=0.0)
pytestmark = pytest.mark.usefixtures("double")


def drawn():
    g = torch.Generator().manual_seed(0)
    text, image, augmented_text = torch.randn(3, K, 12, generator=g)
    return Catalogue(text, image, torch.ones(K, dtype=torch.bool), augmented_text)


def made(config=SMALL, catalogue=None):
    """A model with larger start values than its own, so that nothing hides near zero."""
    torch.manual_seed(0)
    model = UniSRec(config, catalogue or drawn())
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn_like(p)
    return model.eval()


BATCH = rows_of([3, 4, 5, 6, 7, 8, 9, 10], [3, 10], [12], [12, 12, 13], targets=[5, 6, 5, 9], gap=7)


def plain_whitening(adaptor, x, noise=None):
    """Section 2.2 for one text: a sum over experts, one at a time."""
    logits = x @ adaptor.gate
    if noise is not None:
        logits = logits + noise * (torch.log1p(torch.exp(x @ adaptor.noise)) + 0.01)
    shares = logits.exp() / logits.exp().sum()
    out = 0
    for k in range(len(shares)):
        W = torch.stack([adaptor.weight[f, k] for f in range(len(x))])
        out = out + shares[k] * ((x - adaptor.shift[k]) @ W)
    return out


def test_whitening_and_gate_are_the_equations():
    torch.manual_seed(0)
    adaptor = MoEWhitening(12, SMALL)
    for p in adaptor.parameters():
        p.data += torch.randn_like(p)
    x = torch.randn(4, 5, 12)
    adaptor.eval()
    torch.testing.assert_close(adaptor(x)[2, 3], plain_whitening(adaptor, x[2, 3]))
    torch.manual_seed(1)
    noisy = adaptor.train()(x)
    torch.manual_seed(1)
    noise = torch.randn(4, 5, SMALL.experts)
    torch.testing.assert_close(noisy[2, 3], plain_whitening(adaptor, x[2, 3], noise[2, 3]))
    assert not torch.allclose(noisy, adaptor.eval()(x), atol=1e-3)


def test_a_new_gate_is_even_and_dropout_hits_the_texts():
    torch.manual_seed(0)
    adaptor, x = MoEWhitening(12, SMALL.replace(adaptor_dropout=0.5)), torch.randn(4, 12)
    even = sum(x @ adaptor.weight[:, k] for k in range(SMALL.experts)) / SMALL.experts
    torch.testing.assert_close(adaptor.eval()(x), even)
    assert not torch.allclose(adaptor.train()(x), even, atol=1e-3)


@pytest.mark.parametrize("item_ids", [False, True])
def test_scores_and_losses_are_those_of_a_plain_loop(item_ids):
    catalogue = drawn()
    model = made(SMALL.replace(item_ids=item_ids), catalogue)
    vectors = [plain_whitening(model.adaptor, text) for text in catalogue.text]
    if item_ids:
        vectors = [v + e for v, e in zip(vectors, model.ids.ids.weight)]
    history = torch.stack([vectors[i] for i in BATCH.items.flatten().tolist()]).view(4, 8, 16)
    users = model.encoder(history, BATCH)
    users = users / users.norm(dim=1, keepdim=True)
    torch.testing.assert_close(model.users(BATCH), users)
    logits = torch.stack([torch.stack([u @ v / v.norm() / 0.07 for v in vectors[1:]]) for u in users])
    torch.testing.assert_close(model.score(users)[:, 1:], logits)

    wanted = sum(logits[i].exp().sum().log() - logits[i, t - 1] for i, t in enumerate(BATCH.targets)) / 4
    for stage in ("scratch", "finetune"):
        terms = model.losses(BATCH, stage)
        assert list(terms) == ["cross_entropy"]
        torch.testing.assert_close(terms["cross_entropy"], wanted)

    torch.manual_seed(3)
    terms = model.losses(BATCH, "pretrain")
    torch.manual_seed(3)
    others = model.users(*another_view(BATCH, catalogue))
    item, sequence = 0, 0
    for i, t in enumerate(BATCH.targets.tolist()):
        rivals = [j for j, o in enumerate(BATCH.targets.tolist()) if j == i or o != t]  # a copy of its target is none
        own = logits[i, BATCH.targets - 1]
        item += (sum(own[j].exp() for j in rivals).log() - own[i]) / 4
        other = users[i] @ others.T / 0.07
        sequence += (sum(other[j].exp() for j in rivals).log() - other[i]) / 4
    assert list(terms) == ["sequence_item", "sequence_sequence"]
    torch.testing.assert_close(terms["sequence_item"], item)
    torch.testing.assert_close(terms["sequence_sequence"], 1e-3 * sequence)


def test_a_batch_of_one_target_has_no_negatives():
    terms = made().losses(replace(BATCH, targets=torch.full((4,), 5)), "pretrain")
    assert all(term.item() == pytest.approx(0, abs=1e-12) for term in terms.values())


def test_a_reworded_text_replaces_the_text_alone():
    catalogue = drawn()
    model, swap = made(SMALL.replace(item_ids=True), catalogue), torch.zeros(4, 8, dtype=torch.bool)
    swap[1] = True
    other = made(SMALL.replace(item_ids=True), replace(catalogue, text=catalogue.augmented_text))
    users = model.users(BATCH, swap)
    torch.testing.assert_close(users[[0, 2, 3]], model.users(BATCH)[[0, 2, 3]])
    torch.testing.assert_close(users[1], other.users(BATCH)[1])
    assert not torch.allclose(users[1], model.users(BATCH)[1])


# --- another view (base.py) ---


def test_dropped_items_leave_a_shorter_history_without_holes():
    drop = torch.zeros(4, 8, dtype=torch.bool)
    drop[0, [1, 2, 5]] = True
    drop[1, 0] = True  # a first item stays
    drop[2] = True  # so do the only one and the padding behind it
    drop[3, [1, 2]] = True
    fewer = drop_items(BATCH, drop)
    assert fewer.lengths.tolist() == [5, 2, 1, 1]
    assert fewer.items.tolist() == rows_of([3, 6, 7, 9, 10], [3, 10], [12], [12]).items.tolist()
    assert torch.equal(fewer.times, fewer.items * 7)  # times went with their items
    assert torch.equal(fewer.targets, BATCH.targets)


def test_dropping_at_random_is_filtering_a_list():
    g = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 9, (200,), generator=g)
    many = rows_of(*([*torch.randint(1, K, (n,), generator=g).tolist()] for n in lengths), targets=[1] * 200)
    drop = torch.rand(200, 8, generator=g) < 0.4
    fewer = drop_items(many, drop)
    for row in range(200):
        history = many.items[row, : lengths[row]].tolist()
        kept = [item for step, item in enumerate(history) if step == 0 or not drop[row, step]]
        assert fewer.lengths[row] == len(kept) and fewer.items[row].tolist() == kept + [0] * (8 - len(kept))


def test_one_coin_decides_between_fewer_items_and_other_texts():
    catalogue = drawn()
    long = rows_of(*[[1] * 8] * 2000)
    fewer, swap = another_view(long, catalogue, items=1.0)
    assert not swap.any() and (fewer.lengths.double().mean() - 1) / 7 == pytest.approx(0.8, abs=0.02)
    same, swap = another_view(long, catalogue, items=0.0)
    assert same is long and swap.double().mean().item() == pytest.approx(0.2, abs=0.02)
    coins = [another_view(BATCH, catalogue)[0] is not BATCH for _ in range(1000)]
    assert sum(coins) / 1000 == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 1000))


def test_without_reworded_texts_there_is_no_other_view():
    with pytest.raises(InputError, match="^pre-training [^\n]*Catalogue.augmented_text[^\n]*$"):
        another_view(BATCH, replace(drawn(), augmented_text=None))


def test_scores_are_cosines():
    model = made()
    scores = model.score(model.users(BATCH))[:, 1:] * SMALL.temperature
    assert scores.abs().max() <= 1 + 1e-12
    cosine = F.cosine_similarity(model.users(BATCH)[1], model.embed(torch.tensor(4)), dim=0)
    torch.testing.assert_close(scores[1, 3], cosine)
