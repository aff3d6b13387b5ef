"""MISSRec: its equations row by row, interests and their lifetime, its losses, what each stage trains."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite import training
from mmm4rec_lite.evaluation import model_scorer, rank_rows
from mmm4rec_lite.models.base import Catalogue, count_parameters
from mmm4rec_lite.models.layers import k_means
from mmm4rec_lite.models.missrec import MISSRec, MISSRecConfig, distinct
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils.errors import InputError
from tests.support.rows import rows_of

K = 30
SMALL = MISSRecConfig(d_model=16, d_ff=24, max_len=8, dropout=0.0)


def drawn(rows=K, width=12, seed=0):
    """A catalogue of noise in which every third item has no image; its image row is no zero."""
    g = torch.Generator().manual_seed(seed)
    text, image, augmented_text = torch.randn(3, rows, width, generator=g)
    return Catalogue(text, image, torch.arange(rows) % 3 > 0, augmented_text)


def made(config=SMALL, catalogue=None):
    """A model with larger start values than its own, phi and biases among them, so that nothing hides near zero."""
    torch.manual_seed(0)
    model = MISSRec(config, catalogue or drawn())
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p + 0.3 * torch.randn_like(p))
    model.begin_epoch()
    return model.eval()


HISTORIES = [[3, 4, 5, 6, 7, 8, 9, 10], [10, 3], [12], [12, 12, 13]]
BATCH = rows_of(*HISTORIES)


# --- equations ---


def plain_attention(module, q, kv):
    heads, d = module.num_heads, len(q[0])
    wq, wk, wv = module.in_proj_weight.chunk(3)
    bq, bk, bv = module.in_proj_bias.chunk(3)
    q, k, v = q @ wq.T + bq, kv @ wk.T + bk, kv @ wv.T + bv
    parts = []
    for h in range(heads):
        cut = slice(h * d // heads, (h + 1) * d // heads)
        parts.append((q[:, cut] @ k[:, cut].T / math.sqrt(d / heads)).softmax(-1) @ v[:, cut])
    return torch.cat(parts, 1) @ module.out_proj.weight.T + module.out_proj.bias


def plain_feed_forward(layer, x):
    hidden = F.gelu(x @ layer.linear1.weight.T + layer.linear1.bias)
    return hidden @ layer.linear2.weight.T + layer.linear2.bias


def plain_vectors(model, catalogue, item):
    image = catalogue.image[item] if catalogue.has_image[item] else torch.zeros_like(catalogue.image[item])
    own = [
        model.text.linear.weight @ catalogue.text[item] + model.text.linear.bias,
        model.image.linear.weight @ image + model.image.linear.bias,
    ]
    return own + ([] if model.ids is None else [model.ids.ids.weight[item]])


def plain_user(model, catalogue, history):
    """One history without any padding: (u, R)."""
    own = sorted({int(i) for item in history for i in model.interests[item] if i > 0})
    m = model.centroids[own]
    for layer in model.transformer.encoder.layers:
        m = layer.norm1(m + plain_attention(layer.self_attn, m, m))
        m = layer.norm2(m + plain_feed_forward(layer, m))
    m = model.transformer.encoder.norm(m)
    x = torch.stack([sum(plain_vectors(model, catalogue, item)) for item in history])
    x = model.norm(x + model.positions.weight[: len(x)])
    for layer in model.transformer.decoder.layers:
        x = layer.norm1(x + plain_attention(layer.self_attn, x, x))
        x = layer.norm2(x + plain_attention(layer.multihead_attn, x, m))
        x = layer.norm3(x + plain_feed_forward(layer, x))
    u = model.transformer.decoder.norm(x)[-1]
    return u / u.norm(), m.sum(0).square().sum() / model.config.d_model


def plain_score(model, catalogue, u, item):
    text, image, *ids = (u @ v / v.norm() for v in plain_vectors(model, catalogue, item))
    phi = model.phi if model.phi.dim() == 0 else model.phi[item]
    a, b = torch.exp(phi * text), torch.exp(phi * image)
    s = (a * text + b * image) / (a + b)
    return ((ids[0] + 2 * s) / 3 if ids else s) / model.config.temperature


@pytest.mark.parametrize("changes", [{}, {"item_ids": True, "fusion": "item"}, {"n_layers": 4}])
def test_users_penalty_scores_and_losses_are_the_pages(double, changes):
    catalogue = drawn()
    model = made(SMALL.replace(**changes), catalogue)
    batch = replace(BATCH, targets=torch.tensor([5, 6, 5, 9]))
    with torch.no_grad():
        users, penalty = zip(*(plain_user(model, catalogue, h) for h in HISTORIES))
        u, r = model.encode(batch)
        torch.testing.assert_close(u, torch.stack(users))
        torch.testing.assert_close(r, torch.stack(penalty))
        scores = torch.stack([torch.stack([plain_score(model, catalogue, u, i) for i in range(1, K)]) for u in users])
        torch.testing.assert_close(model.score(u)[:, 1:], scores)
        assert (model.score(u, model.candidates())[:, 0] == -torch.inf).all()

        terms = model.losses(batch, "scratch")
        wanted = [scores[i].logsumexp(0) - scores[i, t - 1] for i, t in enumerate(batch.targets)]
        torch.testing.assert_close(terms["cross_entropy"], torch.stack(wanted).mean())
        torch.testing.assert_close(terms["norm_penalty"], 1e-4 * r.mean())

        torch.manual_seed(1)
        terms, wanted = model.losses(batch, "pretrain"), []
        for i, t in enumerate(batch.targets):
            rivals = [scores[i, o - 1] for j, o in enumerate(batch.targets) if j == i or o != t]
            wanted.append(torch.stack(rivals).logsumexp(0) - scores[i, t - 1])
        torch.testing.assert_close(terms["sequence_item"], torch.stack(wanted).mean())


def test_a_reworded_text_replaces_the_text_alone(double):
    catalogue = drawn()
    model, swap = made(catalogue=catalogue), torch.zeros(4, 8, dtype=torch.bool)
    assert torch.equal(model.encode(BATCH, swap)[0], model.encode(BATCH)[0])
    swap[1] = True
    other = made(catalogue=replace(catalogue, text=catalogue.augmented_text))
    other.centroids, other.interests = model.centroids, model.interests
    users = model.encode(BATCH, swap)[0]
    torch.testing.assert_close(users[[0, 2, 3]], model.users(BATCH)[[0, 2, 3]])
    torch.testing.assert_close(users[1], other.users(BATCH)[1])
    assert not torch.allclose(users[1], model.users(BATCH)[1])


# --- interests ---


def test_k_means_is_the_running_mean_vector_by_vector(double):
    vectors = torch.randn(50, 3)
    torch.manual_seed(3)
    centroids, near = k_means(vectors, 6, passes=3, batch_size=20)
    torch.manual_seed(3)
    own = vectors[torch.randperm(50)[:6]].clone()
    seen = [0] * 6
    for _ in range(3):
        for chunk in torch.randperm(50).split(20):
            chosen = [min(range(6), key=lambda c, r=row: (vectors[r] - own[c]).norm()) for row in chunk]
            for row, c in zip(chunk, chosen):
                seen[c] += 1
                own[c] += (vectors[row] - own[c]) / seen[c]
    torch.testing.assert_close(centroids, own)
    assert torch.equal(near, torch.cdist(vectors, own).argmin(1))
    assert not torch.equal(k_means(vectors, 6)[0], k_means(vectors, 6)[0])


def test_as_many_clusters_as_vectors_are_the_vectors():
    vectors = torch.randn(12, 3)
    centroids, near = k_means(vectors, 12)
    torch.testing.assert_close(centroids[near], vectors)


def test_distinct_ids_of_rows():
    ids = torch.randint(0, 6, (40, 7), generator=torch.Generator().manual_seed(0))
    found = distinct(ids)
    assert [sorted(i for i in row if i) for row in found.tolist()] == [sorted({*row} - {0}) for row in ids.tolist()]
    assert found.shape[1] == max(len({*row} - {0}) for row in ids.tolist())


def test_an_item_without_an_image_brings_no_image_interest():
    catalogue = drawn()
    model = made(catalogue=catalogue)
    assert (model.interests[0] == 0).all() and (model.centroids[0] == 0).all() and (model.interests[1:, 0] > 0).all()
    assert torch.equal(model.interests[1:, 1] > 0, catalogue.has_image[1:])
    assert len(model.centroids) == 1 + math.ceil(0.5 * (29 + 20))
    bias = F.normalize(model.image.linear.bias, dim=0)
    torch.testing.assert_close(model.candidates()[1, 3], bias)
    vectors = torch.cat([model.text()[1:], model.image()[catalogue.has_image]])
    ids = torch.cat([model.interests[1:, 0], model.interests[catalogue.has_image, 1]])
    assert torch.equal(ids - 1, torch.cdist(vectors, model.centroids[1:]).argmin(1))


def test_interests_change_the_user():
    model = made()
    before = model.users(BATCH)
    model.centroids[1:] += 1
    assert not torch.allclose(before, model.users(BATCH), atol=1e-3)


def test_a_transfer_brings_maps_and_finds_interests_anew():
    source, target = made(SMALL.replace(clusters=0.1)), drawn(rows=50, seed=1)
    torch.manual_seed(5)
    model = MISSRec(SMALL.replace(item_ids=True), target)
    ids = model.ids.ids.weight.clone()
    model.transfer(source.state_dict())
    assert torch.equal(model.text.linear.weight, source.text.linear.weight) and torch.equal(model.phi, source.phi)
    assert torch.equal(model.ids.ids.weight, ids)
    near = torch.cdist(model.text()[1:], model.centroids[1:]).argmin(1)
    assert torch.equal(model.interests[1:, 0] - 1, near)
    own = MISSRec(SMALL.replace(fusion="item"), target)
    own.transfer(made(SMALL.replace(fusion="item")).state_dict())
    assert (own.phi == 0).all()


# --- padding and company ---


def test_padding_and_other_rows_reach_no_user(double):
    model = made(SMALL.replace(item_ids=True))
    users, penalty = model.encode(BATCH)
    steps = torch.arange(8) < BATCH.lengths.unsqueeze(1)
    filled = replace(BATCH, items=torch.where(steps, BATCH.items, 7))
    torch.testing.assert_close(model.encode(filled), (users, penalty))
    for i, history in enumerate(HISTORIES):
        alone = model.encode(rows_of(history, columns=len(history)))
        torch.testing.assert_close(alone, (users[[i]], penalty[[i]]))


# --- losses and stages ---


@pytest.mark.parametrize(
    "stage,terms",
    [
        ("scratch", {"cross_entropy", "norm_penalty"}),
        ("finetune", {"cross_entropy", "norm_penalty"}),
        ("pretrain", {"sequence_item", "sequence_sequence", "norm_penalty"}),
    ],
)
@pytest.mark.parametrize("fusion", ["shared", "item"])
def test_losses_are_named_and_reach_what_trains(stage, terms, fusion):
    model = made(SMALL.replace(item_ids=True, fusion=fusion)).train()
    frozen = ("transformer.", "positions.") if stage == "finetune" else ()
    assert model.frozen(stage) == frozen
    for name, p in model.named_parameters():
        p.requires_grad_(not name.startswith(frozen))
    losses = model.losses(BATCH, stage)
    assert losses.keys() == terms and all(math.isfinite(v.item()) and v.item() > 0 for v in losses.values())
    sum(losses.values()).backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) if name.startswith(frozen) else (p.grad.abs().sum() > 0), name
    assert losses["norm_penalty"].requires_grad == (stage != "finetune")


def test_it_says_what_it_needs():
    with pytest.raises(InputError, match="augmented_text"):
        made(catalogue=replace(drawn(), augmented_text=None)).losses(BATCH, "pretrain")
    with pytest.raises(InputError, match="no item has an image"):
        MISSRec(SMALL, replace(drawn(), has_image=torch.zeros(K, dtype=torch.bool)))
    for wrong in ({"n_layers": 3}, {"n_layers": 0}, {"clusters": 0.0}, {"fusion": "sum"}, {"n_heads": 3}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SMALL.replace(**wrong)


@pytest.mark.parametrize("d,known", [(64, 218_753), (256, 2_251_265), (300, 1_873_113)])
def test_parameters_are_as_many_as_its_page_says(d, known):
    h = 256 if d == 300 else 4 * d  # the release's inner width beside its width of 300
    model = MISSRec(MISSRecConfig(d_model=d, d_ff=h, clusters=0.01, item_ids=True), drawn(rows=40, width=768))
    adapters, positions, norms, phi = 2 * (768 + 1) * d, 50 * d, 8 * 2 * d, 1
    attention, feed_forward = 3 * 4 * (d * d + d), 2 * (2 * d * h + h + d)
    assert count_parameters(model) == known == adapters + positions + norms + phi + attention + feed_forward
    if d == 300:  # that number is for features of width 512
        assert known - 2 * (768 - 512) * d == 1_719_513


# --- training ---


@pytest.fixture(scope="module")
def toy_catalogue(toy, random_features):
    own = random_features(toy.items["item"]).catalogue(toy.items["item"])
    has_image = F.pad(torch.tensor(toy.items["image"].notna().tolist()), (1, 0))
    return replace(own, has_image=has_image, augmented_text=own.text + 0.1)


def fresh(toy_catalogue, **changes):
    torch.manual_seed(0)
    return MISSRec(SMALL.replace(**changes), toy_catalogue)


@pytest.mark.slow
@pytest.mark.parametrize("item_ids", [False, True])
def test_32_rows_can_be_learnt_by_heart(toy_split, toy_catalogue, item_ids):
    rows = toy_split.train[::25][:32]
    model = fresh(toy_catalogue, item_ids=item_ids, d_model=32, clusters=1.0)
    config = TrainConfig(epochs=60, batch_size=32, lr=1e-2, weight_decay=0)
    history = fit(model, toy_split.sequences, rows, config, progress=False)
    assert len(rows) == 32 and history["loss"].iloc[-1] < 0.05
    assert (rank_rows(model_scorer(model), toy_split.sequences, rows, model.window) == 1).all()
    assert (history["loss_norm_penalty"] > 0).all()


@pytest.mark.slow
def test_interests_are_found_every_epoch_and_a_killed_run_goes_on(toy_split, toy_catalogue, tmp_path, monkeypatch):
    config = TrainConfig(epochs=3, batch_size=64, lr=5e-3, stage="pretrain")
    run = lambda folder=None: (
        model := fresh(toy_catalogue, dropout=0.2),
        fit(model, toy_split.sequences, toy_split.train[::5], config, toy_split.valid, folder, progress=False),
    )
    whole, history = run()
    start = fresh(toy_catalogue, dropout=0.2)
    assert not torch.allclose(whole.centroids, start.centroids)
    once, seen = training._one_epoch, []

    def killed(model, *rest):
        seen.append(model.centroids.clone())
        if len(seen) == 3:
            raise KeyboardInterrupt
        return once(model, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_one_epoch", killed)
        run(tmp_path)
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])
    torch.randn(3)
    resumed, history_resumed = run(tmp_path)
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())
    assert history["loss"].tolist() == history_resumed["loss"].tolist()
    assert (history["loss_sequence_sequence"] > 0).all()
