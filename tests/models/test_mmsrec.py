"""MMSRec: its equations one sequence at a time, what it may not see, its losses, what each stage trains."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite import training
from mmm4rec_lite.data import Batch
from mmm4rec_lite.evaluation import model_scorer, rank_rows
from mmm4rec_lite.models import fast
from mmm4rec_lite.models import mmsrec as module
from mmm4rec_lite.models.base import Catalogue, count_parameters
from mmm4rec_lite.models.mmsrec import MMSRec, MMSRecConfig
from mmm4rec_lite.training import TrainConfig, fit
from tests.support.rows import rows_of

K = 30
SMALL = MMSRecConfig(d_model=16, d_ff=32, n_heads=4, max_len=8, dropout=0.0, token_dropout=0.0)


def drawn(rows=K, width=12, seed=0, missing=3):
    """A catalogue of noise in which every ``missing``-th item has no picture."""
    g = torch.Generator().manual_seed(seed)
    has_image = torch.arange(rows) % missing > 0
    return Catalogue(torch.randn(rows, width, generator=g), torch.randn(rows, width, generator=g), has_image)


def made(config=SMALL, catalogue=None, scale=10):
    """A model with larger start weights than its own, so that nothing is hidden by being near zero."""
    torch.manual_seed(0)
    model = MMSRec(config, catalogue or drawn())
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p * scale if p.dim() > 1 else p + 0.1 * torch.randn_like(p))
    return model


BATCH = rows_of([3, 4, 5, 6, 7, 8, 9], [10, 3], [11], [12, 12, 13], columns=7)


def test_what_attention_compares_and_sums_starts_wider_than_the_rest():
    """As in torch's MultiheadAttention, whose one matrix for all three no initialiser of linear maps reaches."""
    attention = MMSRec(SMALL.replace(d_model=64), drawn()).blocks[1].attention
    limit = nn.MultiheadAttention(64, 4).in_proj_weight.abs().max().item()
    for part in (attention.query, attention.key, attention.value):
        assert part.weight.abs().max().item() == pytest.approx(limit, rel=0.01) and (part.bias == 0).all()
    assert attention.out.weight.std().item() == pytest.approx(0.02, rel=0.1)


def plain(model, catalogue, sequence):
    """The page's equations for one sequence of items or "mask": only the tokens that are there, torch's own encoder.

    Returns the state of the last slot, of length 1.
    """
    d, config = model.config.d_model, model.config
    layer = nn.TransformerEncoderLayer(d, config.n_heads, 2 * d, 0.0, "gelu", batch_first=True)
    encoder = nn.TransformerEncoder(layer, config.n_layers, nn.LayerNorm(d), enable_nested_tensor=False)
    for own, block in zip(encoder.layers, model.blocks):
        attention, feed_forward = block.attention, block.feed_forward
        parts = attention.query, attention.key, attention.value
        own.load_state_dict(
            {
                "self_attn.in_proj_weight": torch.cat([p.weight for p in parts]),
                "self_attn.in_proj_bias": torch.cat([p.bias for p in parts]),
                **{f"self_attn.out_proj.{k}": v for k, v in attention.out.state_dict().items()},
                **{f"linear1.{k}": v for k, v in feed_forward.inner.state_dict().items()},
                **{f"linear2.{k}": v for k, v in feed_forward.outer.state_dict().items()},
                **{f"norm1.{k}": v for k, v in attention.norm.state_dict().items()},
                **{f"norm2.{k}": v for k, v in feed_forward.norm.state_dict().items()},
            }
        )
    encoder.norm.load_state_dict(model.last_norm.state_dict())
    tokens, at = [], []
    for slot, item in enumerate(sequence):
        for m, table in enumerate((catalogue.image, catalogue.text)):
            if item == "mask":
                token = model.mask.weight[0]
            elif m == 0 and not catalogue.has_image[item]:
                continue
            else:
                token = model.feature_norms[m](model.features[m].linear(table[item]))
            tokens.append(model.norm(token + model.positions.weight[slot] + model.types.weight[m]))
            at.append((slot, m))
    states = encoder(torch.stack(tokens)[None])[0]
    last = [model.heads[m](states[i]) for i, (slot, m) in enumerate(at) if slot == len(sequence) - 1]
    return F.normalize(torch.stack(last).max(0).values, dim=0)


# --- the equations ---


@pytest.mark.parametrize("width, features, page", [(64, 768, 176_000), (256, 768, 1_588_736), (512, 512, 5_274_624)])
def test_the_parameters_are_the_specifications_less_the_vector_that_nothing_uses(width, features, page):
    config = MMSRecConfig(d_model=width, d_ff=2 * width)
    assert count_parameters(MMSRec(config, drawn(4386, features))) == page - width  # the released "prompt" vector


def test_users_and_candidates_are_those_of_one_sequence_at_a_time(double):
    catalogue = drawn()
    model = made(catalogue=catalogue).eval()
    users, candidates = model.users(BATCH), model.candidates()
    for row, (items, n) in enumerate(zip(BATCH.items.tolist(), BATCH.lengths.tolist())):
        assert torch.allclose(users[row], plain(model, catalogue, items[:n] + ["mask"]), atol=1e-12)
    for item in range(1, K):
        assert torch.allclose(candidates[item], plain(model, catalogue, [item]), atol=1e-12)
    some = torch.tensor([7, 3, 7])
    assert torch.allclose(model.candidates(some), candidates[some], atol=1e-12)
    scores = model.score(users)
    assert scores.shape == (4, K) and (scores[:, 0] == -torch.inf).all()
    assert torch.allclose(scores[:, 1:], F.cosine_similarity(users[:, None], candidates[None, 1:], dim=-1))


def test_the_cloze_loss_at_the_last_slot_is_the_cross_entropy_of_cosines(double):
    model = made(SMALL.replace(mask_share=0.0)).eval()
    logits = model.score(model.users(BATCH))[:, 1:] / 0.05
    own = [row[target - 1] - row.exp().sum().log() for row, target in zip(logits, BATCH.targets)]
    losses = model.losses(BATCH, "scratch")
    assert list(losses) == ["cloze"] and torch.allclose(losses["cloze"], -sum(own) / 4)


def test_the_cloze_loss_is_one_mean_over_all_slots_asked_for(double, monkeypatch):
    monkeypatch.setattr(fast, "parts", lambda lengths, window: [(slice(None), window)])
    model = made(SMALL.replace(mask_share=1.0)).eval()
    torch.manual_seed(5)
    loss = model.losses(BATCH, "finetune")["cloze"]
    seen, encode = [], model.encode
    model.encode = lambda ids, *rest, **named: seen.append((ids, *rest)) or encode(ids, *rest, **named)
    torch.manual_seed(5)
    model.losses(BATCH, "finetune")
    ids, masked = seen[0]
    states, logs = F.normalize(encode(ids, masked), dim=-1), []
    for row, n in enumerate(BATCH.lengths.tolist()):
        for slot in range(n + 1):
            answer = BATCH.targets[row] if slot == n else BATCH.items[row, slot]
            logs.append(torch.log_softmax(model.candidates()[1:] @ states[row, slot] / 0.05, 0)[answer - 1])
    assert len(logs) == 7 + 2 + 1 + 3 + 4 and torch.allclose(loss, -sum(logs) / len(logs))


def test_what_is_asked_for_and_what_stands_there_instead(monkeypatch):
    model, n = made(SMALL.replace(max_len=20)).eval(), 19
    g = torch.Generator().manual_seed(1)
    items = torch.randint(1, K, (1000, n), generator=g)
    one = Batch(items, torch.full((1000,), n), items * 0, torch.ones(1000, dtype=torch.int64), items[:, 0] * 0)
    seen, answers = [], []
    monkeypatch.setattr(model, "encode", lambda ids, masked: seen.append((ids, masked)) or torch.zeros(*ids.shape, 1))
    monkeypatch.setattr(module, "full_loss", lambda model, users, targets: answers.append(targets) or users.sum())
    torch.manual_seed(0)
    model.cloze(one)
    (ids, masked), (targets,) = seen[0], answers
    asked = len(targets) - 1000
    assert masked[:, n].all() and abs(asked / 19_000 - 0.2) < 0.01
    assert abs(masked[:, :n].sum() / asked - 0.8) < 0.03
    swapped = ~masked[:, :n] & (ids[:, :n] != items)
    assert abs(swapped.sum() / asked - 0.1 * (K - 2) / (K - 1)) < 0.03
    assert set(ids[:, :n][swapped].tolist()) == set(range(1, K))  # the last item too


def test_the_terms_of_pre_training_are_the_formulas(double):
    catalogue = drawn()
    model = made(catalogue=catalogue).eval()
    batch = rows_of([1], [2], [4], [5], [6], targets=[7, 9, 3, 8, 7])  # 3 and 9 have no picture
    without_images = Catalogue(catalogue.text, catalogue.image, torch.zeros(K, dtype=torch.bool))

    def text_only(items):
        twin = made(catalogue=without_images).eval()
        return torch.stack([plain(twin, without_images, [i]) for i in items])

    def vision_only(items):
        masked_text = []
        for i in items:
            x = model.feature_norms[0](model.features[0].linear(catalogue.image[i]))
            x = model.norm(x + model.positions.weight[0] + model.types.weight[0])[None, None]
            for block in model.blocks:
                x = block(x, torch.ones(1, 1, 1, 1, dtype=torch.bool))
            masked_text.append(F.normalize(model.heads[0](model.last_norm(x))[0, 0], dim=0))
        return torch.stack(masked_text)

    def nce(a, b):
        total = 0
        for i in range(len(a)):
            rows, columns = (a[i] @ b.T / 0.05).exp(), (b[i] @ a.T / 0.05).exp()
            total -= (rows[i] / rows.sum()).log() + (columns[i] / columns.sum()).log()
        return total / len(a) / 4

    every, pictured = [3, 7, 8, 9], [7, 8]
    text, both = text_only(every), torch.stack([plain(model, catalogue, [i]) for i in every])
    vision = vision_only(pictured)
    expected = {
        "image_and_image": nce(vision, vision),
        "text_and_image": nce(vision, text[[1, 2]]),
        "text_and_text": nce(text, text),
        "both_and_both": nce(both, both),
    }
    losses = model.losses(batch, "pretrain")
    assert list(losses) == list(expected)
    assert all(torch.allclose(losses[name], value) for name, value in expected.items())


def test_the_second_view_is_another_pass_of_drop_out():
    model = made(SMALL.replace(dropout=0.5, token_dropout=0.2)).train()
    batch = rows_of([1], [2], [4], targets=[7, 8, 10])
    quiet = model.eval().losses(batch, "pretrain")
    noisy = model.train().losses(batch, "pretrain")
    assert all(noisy[name] > quiet[name] for name in ("image_and_image", "text_and_text", "both_and_both"))


def test_items_without_pictures_still_pre_train_by_their_texts():
    losses = made().losses(rows_of([1], [2], targets=[3, 9]), "pretrain")
    assert list(losses) == ["text_and_text", "both_and_both"] and all(v.isfinite() for v in losses.values())


# --- what it may not see ---


def test_padding_and_batch_mates_change_nothing(double):
    model = made().eval()
    users = model.users(BATCH)
    column = torch.arange(7)
    garbage = torch.where(column < BATCH.lengths[:, None], BATCH.items, torch.randint(1, K, BATCH.items.shape))
    wider = F.pad(garbage, (0, 3), value=5)
    for items in (garbage, wider):
        assert torch.allclose(model.users(replace(BATCH, items=items, times=items * 0)), users, atol=1e-12)
    for row in range(4):
        alone = BATCH.take(slice(row, row + 1))
        assert torch.allclose(model.users(alone)[0], users[row], atol=1e-12)


def test_a_picture_that_an_item_lacks_is_never_looked_at():
    catalogue = drawn()
    image = catalogue.image.clone()
    image[::3] = 1e3
    one, other = made(catalogue=catalogue).eval(), made(catalogue=Catalogue(catalogue.text, image, catalogue.has_image))
    other.eval()
    assert torch.equal(one.users(BATCH), other.users(BATCH)) and torch.equal(one.candidates(), other.candidates())
    assert torch.isfinite(one.candidates()).all()


def test_both_directions_are_looked_at(double):
    model = made().eval()
    ids, last = module.history(rows_of([3, 4, 5]))
    changed = ids.clone()
    changed[0, 2] = 7
    before, after = model.encode(ids, last), model.encode(changed, last)
    assert all(not torch.allclose(before[0, slot], after[0, slot]) for slot in range(4))


# --- what trains ---


@pytest.mark.parametrize("stage", ["scratch", "pretrain", "finetune"])
def test_gradients_reach_all_that_the_stage_trains_and_nothing_else(stage):
    model = made(SMALL.replace(dropout=0.1)).train()
    for name, p in model.named_parameters():
        p.requires_grad_(not name.startswith(model.frozen(stage)))
    torch.manual_seed(0)
    losses = model.losses(BATCH, stage)
    assert all(v.item() > 0 for v in losses.values()) and len(losses) == (4 if stage == "pretrain" else 1)
    sum(losses.values()).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == (["mask.weight"] if stage == "pretrain" else [])
    assert "features.0.features" not in model.state_dict()


def test_a_transfer_keeps_all_but_the_positions():
    source, target = made(catalogue=drawn(50, seed=1)), made(scale=1)
    own = target.positions.weight.clone()
    target.transfer(source.state_dict())
    assert torch.equal(target.positions.weight, own)
    moved = {k: v for k, v in target.state_dict().items() if not k.startswith("positions.")}
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in moved.items()) and len(moved) > 40


@pytest.fixture(scope="module")
def run(toy, toy_split, random_features):
    """A function (config, epochs, folder) -> (model, history, ranks) of training on 32 rows of the toy."""
    catalogue, flat = random_features(toy.items["item"]).catalogue(toy.items["item"]), toy_split.sequences
    catalogue = replace(catalogue, has_image=torch.arange(len(catalogue)) % 4 > 0)
    rows = toy_split.train[toy_split.train - flat.first[toy_split.train] >= 3]
    rows = rows[:: len(rows) // 32][:32]

    def start(config, epochs, folder=None):
        torch.manual_seed(0)
        model = MMSRec(config, catalogue)
        training = TrainConfig(epochs=epochs, batch_size=32, lr=2e-3, weight_decay=0, optimizer="adamw", clip=1.0)
        history = fit(model, flat, rows, training, folder=folder, progress=False)
        return model, history, rank_rows(model_scorer(model), flat, rows, model.window)

    return start


@pytest.mark.slow
def test_32_rows_can_be_learnt_by_heart(run):
    _, history, ranks = run(SMALL.replace(d_model=32, d_ff=64, mask_share=0.0), 70)
    assert len(ranks) == 32 and history["loss"].iloc[-1] < 0.02 and (ranks == 1).all()


@pytest.mark.slow
def test_they_can_while_items_inside_the_history_are_asked_for(run):
    """Told by the ranks, as not everything under a random mask can be known and the loss stays above zero."""
    _, history, ranks = run(SMALL.replace(d_model=32), 200)
    assert (ranks == 1).all()


def test_a_killed_run_draws_the_same_masks(run, tmp_path, monkeypatch):
    whole = run(SMALL.replace(dropout=0.3), 3)[1]["loss"].tolist()
    original = training._one_epoch
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_one_epoch", lambda *a: killed() if a[5] == 2 else original(*a))
        run(SMALL.replace(dropout=0.3), 3, tmp_path)
    torch.randn(3)
    assert run(SMALL.replace(dropout=0.3), 3, tmp_path)[1]["loss"].tolist() == whole


def killed():
    raise KeyboardInterrupt
