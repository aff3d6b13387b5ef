"""VQ-Rec: codes of texts, fake codes, the alignment of the table and the epochs that it takes."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmm4rec_lite import training
from mmm4rec_lite.data import batch
from mmm4rec_lite.models.base import count_parameters
from mmm4rec_lite.models.layers import product_codes
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.models.vqrec import VQRec, VQRecConfig, codes_of, one_to_one
from mmm4rec_lite.training import TrainConfig, fit
from tests.support.models import drawn
from tests.support.rows import rows_of

K, C = 30, 5
SMALL = VQRecConfig(d_model=16, d_ff=24, max_len=8, dropout=0.0, digits=4, values=C, alignment_epochs=2)
BATCH = rows_of([3, 4, 5, 6, 7, 8, 9, 10], [10, 3], [12], [12, 12, 13], targets=[5, 6, 5, 9])


def made(config=SMALL, catalogue=None):
    """A model with larger start values than its own, so that nothing hides near zero."""
    torch.manual_seed(0)
    model = VQRec(config, catalogue or drawn(K))
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn_like(p)
    return model.eval()


# --- codes ---


def test_every_vector_has_the_value_whose_mean_is_nearest():
    """For one digit, which no rotation changes, once the passes have settled."""
    torch.manual_seed(0)
    vectors = torch.randn(200, 4).repeat(2, 1)
    codes = product_codes(vectors, 1, 7, passes=200)
    means = torch.stack([vectors[codes[:, 0] == value].mean(0) for value in range(7)])
    assert torch.equal(torch.cdist(vectors, means).argmin(1), codes[:, 0])
    assert torch.equal(codes[:200], codes[200:])


def test_the_rotation_loses_less_than_none_would():
    """Nearly all spread lies in the first of four parts: without a rotation the other three digits say nothing."""
    torch.manual_seed(0)
    vectors = torch.randn(600, 16) * torch.tensor([1.0] * 4 + [0.01] * 12)
    fits = []
    for codes in (product_codes(vectors, 4, 8), product_codes(vectors[:, :4], 1, 8)):
        shown = F.one_hot(codes, 8).float().flatten(1)  # the best sum of a vector per digit and value: least squares
        rest = vectors - shown @ torch.linalg.lstsq(shown, vectors, driver="gelsd").solution
        fits.append((rest.square().sum() / vectors.square().sum()).item())
    assert fits[0] < 0.6 * fits[1]


def test_codes_repeat_with_the_random_state_and_never_leave_their_values():
    for width, digits in ((12, 4), (10, 4), (3, 8)):  # of which two do not divide
        vectors = torch.randn(40, width)
        runs = []
        for _ in range(2):
            torch.manual_seed(1)
            runs.append(product_codes(vectors, digits, 6))
        assert torch.equal(*runs) and runs[0].shape == (40, digits)
        assert runs[0].min() == 0 and runs[0].max() == 5
    assert product_codes(torch.randn(1, 8), 4, 1).tolist() == [[0] * 4]
    assert (product_codes(torch.zeros(9, 8), 4, 2) == 0).all()


def test_codes_are_a_catalogues_whatever_the_seed_and_made_once(monkeypatch):
    catalogue, passes = drawn(K), []
    torch.manual_seed(3)
    codes, after = codes_of(catalogue, 4, C), torch.rand(())
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(()))  # they take nothing from the run's random numbers
    monkeypatch.setattr("mmm4rec_lite.models.vqrec.product_codes", lambda *given: passes.append(given) or codes)
    rows = VQRec(SMALL, catalogue).codes[1:]
    assert torch.equal(codes, rows - 1 - torch.arange(4) * (C + 1)) and passes == []
    codes_of(drawn(K), 4, C)
    assert len(passes) == 1
    monkeypatch.undo()
    assert torch.equal(codes_of(drawn(K), 4, C), codes)


def test_codes_are_of_texts_alone_and_stay_with_the_weights():
    catalogue = drawn(K)
    model, rows = made(catalogue=catalogue), torch.arange(4) * (C + 1)
    assert (model.codes[0] == 0).all()
    assert ((model.codes[1:] > rows) & (model.codes[1:] <= rows + C)).all()
    other = made(catalogue=replace(catalogue, image=catalogue.image + 1))
    assert torch.equal(other.codes, model.codes)
    other = made(catalogue=replace(catalogue, text=catalogue.text.flip(0)))
    assert not torch.equal(other.codes, model.codes)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.candidates(), model.candidates())


def test_an_item_is_the_mean_of_its_digits_rows():
    model = made()
    for item in (1, 17):
        mean = sum(model.table.weight[row] for row in model.codes[item]) / 4
        torch.testing.assert_close(model.candidates()[item], mean / mean.norm() / SMALL.temperature)


def test_it_has_as_many_parameters_as_the_release():
    """At its own width of 300 and inner width of 256: table, permutation, encoder."""
    spec = get_model("vqrec")
    model = spec.build(spec.config, drawn(3))
    assert count_parameters(model) == 2_467_200 + 2_113_568 + 1_048_712


def test_few_items_share_values():
    model = made(SMALL.replace(values=256), drawn(22))
    assert model.distinct == 5 and model.table.weight.shape == (4 * 257, 16)
    assert all(len(digit.unique()) <= 5 for digit in model.codes[1:].T)


# --- pre-training ---


def test_fake_codes_have_some_digits_drawn_anew():
    model, items = made(), torch.randint(1, K, (4000,))
    fakes, own, rows = model.fake_codes(items), model.codes[items], torch.arange(4) * (C + 1)
    assert ((fakes > rows) & (fakes <= rows + C)).all()
    assert (fakes != own).float().mean().item() == pytest.approx(0.75 * (1 - 1 / C), abs=0.02)
    drawn_values = (fakes - rows)[fakes != own]
    assert torch.equal(drawn_values.unique(), torch.arange(1, C + 1))
    assert torch.equal(made(SMALL.replace(fake_share=0.0)).fake_codes(items), own)


def test_a_fake_code_is_a_rival_of_its_own_row_alone(double):
    model = made()
    users, fakes = model.users(BATCH), model.fake_codes(BATCH.targets)
    fake = F.normalize(model.table.weight[fakes].mean(1), dim=1) / SMALL.temperature
    wanted, targets = 0, BATCH.targets.tolist()
    for i, user in enumerate(users):
        rivals = [user @ model.candidates()[t] for j, t in enumerate(targets) if j == i or t != targets[i]]
        rivals = torch.stack([*rivals, user @ fake[i]])
        wanted = wanted + rivals.logsumexp(0) - user @ model.candidates()[targets[i]]
    torch.testing.assert_close(model.contrast(users, BATCH.targets, fakes), wanted / 4)
    assert list(model.losses(BATCH, "pretrain")) == ["sequence_item"]


# --- alignment ---


def test_one_to_one_takes_the_best_pair_that_is_left():
    torch.manual_seed(0)
    scores = torch.rand(3, 9, 9)
    for matrix, chosen in zip(scores.clone(), one_to_one(scores)):
        wanted = {}
        for _ in range(9):
            row, column = divmod(int(matrix.argmax()), 9)
            wanted[row] = column
            matrix[row], matrix[:, column] = -1, -1
        assert chosen.tolist() == [wanted[row] for row in range(9)]
    assert one_to_one(torch.zeros(2, 6, 6)).sort(1).values.tolist() == [[*range(6)]] * 2


def test_every_value_takes_a_row_of_its_own_digit_and_padding_stays():
    model = made()
    old, new = (table.unflatten(0, (4, C + 1)) for table in (model.table.weight, model.aligned()))
    assert torch.equal(new[:, 0], old[:, 0]) and not torch.equal(new, old)
    for digit in range(4):
        found = [(old[digit, 1:] == row).all(1).nonzero().item() for row in new[digit, 1:]]
        assert sorted(found) == [*range(C)]
    released = made(SMALL.replace(published_alignment=True))
    chosen = released.chosen(released.soft(released.drawn()))
    assert chosen.shape == (4, C + 1) and any(len(row.unique()) <= C for row in chosen)


def test_gradients_of_the_permutation_are_those_of_the_soft_one(double):
    """Straight through: the loss of the hard permutation, its derivative passed on to the soft one."""
    model, uniform = made(), None
    model.begin_epoch(0, "finetune")
    model.train().drawn = lambda: uniform
    uniform = torch.rand(4, C, C)
    model.losses(BATCH, "finetune")["cross_entropy"].backward()
    table = model.aligned(uniform).detach().requires_grad_()
    users = model.users(BATCH, table)
    loss = F.cross_entropy((users @ model.candidates(table=table).T)[:, 1:], BATCH.targets - 1)
    slope = torch.autograd.grad(loss, table)[0].unflatten(0, (4, C + 1))[:, 1:]
    rows = model.table.weight.detach().unflatten(0, (4, C + 1))[:, 1:]
    wanted = torch.autograd.grad((model.soft(uniform) * (slope @ rows.mT)).sum(), model.permutation)[0]
    torch.testing.assert_close(model.permutation.grad, wanted)
    assert wanted.norm() > 1e-3 and (wanted[:, 0] == 0).all() and (wanted[:, :, 0] == 0).all()


def test_many_steps_of_sinkhorn_make_rows_and_columns_sum_to_one():
    soft = made(SMALL.replace(sinkhorn_steps=100)).soft()
    torch.testing.assert_close(soft.sum(1), torch.ones(4, C))
    torch.testing.assert_close(soft.sum(2), torch.ones(4, C))


# --- its epochs ---

TRAIN = TrainConfig(stage="finetune", epochs=2, batch_size=64, lr=1e-2, weight_decay=0, patience=1)


@pytest.fixture
def trained(toy_split, monkeypatch):
    """A function that fine-tunes and keeps the weights as every epoch left them: (model, history, weights)."""

    def start(config=TRAIN, killed=None, folder=None, **changes):
        model, states, original = made(SMALL.replace(**changes), drawn(61)), [], training._one_epoch

        def one_epoch(*arguments):
            losses = original(*arguments)
            if killed == arguments[5]:
                raise KeyboardInterrupt
            states.append({name: value.clone() for name, value in model.state_dict().items()})
            return losses

        with monkeypatch.context() as patch:
            patch.setattr(training, "_one_epoch", one_epoch)
            before = {name: value.clone() for name, value in model.state_dict().items()}
            rows, valid = toy_split.train[:128], toy_split.valid[:40]
            history = fit(model, toy_split.sequences, rows, config, valid, folder, progress=False)
        return model, history, [before, *states]

    return start


def moved(before, after):
    return {
        name.split(".")[0] if "norm" not in name else name for name in before if not before[name].equal(after[name])
    }


def test_first_the_permutation_trains_then_the_table(trained):
    _, history, states = trained()
    norm = {"encoder.norm.weight", "encoder.norm.bias"}
    assert [moved(*pair) for pair in zip(states, states[1:])] == [
        {"permutation"},
        {"permutation"},
        *[{"table", *norm}] * 2,
    ]
    assert len(history) == 4 and not history["best"].iloc[:2].any() and history["best"].sum() == 1


def test_the_permutation_is_written_into_the_table_once(trained):
    model, _, states = trained(TRAIN.replace(lr=1e-9))
    fresh = made(SMALL, drawn(61))
    fresh.load_state_dict(states[2])
    torch.testing.assert_close(states[3]["table.weight"], fresh.aligned(), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.table.weight, fresh.aligned(), atol=1e-5, rtol=0)
    assert not torch.allclose(states[0]["table.weight"], fresh.aligned(), atol=1e-2) and not model.aligning


def test_as_released_the_epochs_of_alignment_train_nothing(trained):
    _, _, states = trained(published_alignment=True)
    assert [moved(*pair) for pair in zip(states[:2], states[1:3])] == [set(), set()]
    assert "table" in moved(*states[2:4])


def test_with_its_gradient_the_alignment_finds_a_better_permutation(trained, toy_split):
    more = dict(values=12, alignment_epochs=20)
    _, _, states = trained(TRAIN.replace(lr=5e-2), **more)
    model, rows = made(SMALL.replace(**more), drawn(61)), toy_split.train[:128]
    model.begin_epoch(0, "finetune")
    losses = []
    for state in (states[0], states[20]):
        model.load_state_dict(state)
        losses.append(model.losses(batch(toy_split.sequences, rows, 8), "finetune")["cross_entropy"].item())
    assert losses[1] < losses[0] - 0.5, losses


def test_without_epochs_of_alignment_or_fine_tuning_the_table_trains_at_once(trained):
    assert "permutation" not in moved(*trained(alignment_epochs=0)[2][:2])
    _, history, states = trained(TRAIN.replace(stage="scratch"))
    assert len(history) <= 2 and moved(*states[:2]) > {"table"} and "permutation" not in moved(*states[:2])


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_kill_before_or_after_the_permutation_is_written_changes_nothing(trained, tmp_path, epoch):
    model, history, _ = trained()
    with pytest.raises(KeyboardInterrupt):
        trained(killed=epoch, folder=tmp_path)
    torch.rand(3)
    again, resumed, _ = trained(folder=tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert history["loss"].equals(resumed["loss"]) and history["best"].equals(resumed["best"])
