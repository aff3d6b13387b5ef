"""Training: it learns, repeats itself, survives a kill, stops in time and decays only what it should."""

import pandas as pd
import pytest
import torch
from torch.optim import NAdam

from mmm4rec_lite import training
from mmm4rec_lite.data import batch, load_dataset
from mmm4rec_lite.data.batches import batch_of_sequences, whole_sequences
from mmm4rec_lite.evaluation import metrics, model_scorer, popularity, rank_rows
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.training import STATE, TrainConfig, fit, parameter_groups
from mmm4rec_lite.utils import devices, tensorfile
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import load_tensors
from tests.support import toy as make_toy
from tests.support.models import QUIET, drawn, made

SHORT = TrainConfig(epochs=4, batch_size=256, lr=5e-3, patience=9)


@pytest.fixture(scope="module")
def run(toy_model, toy_split, small):
    """A function that trains a new toy model on the toy (or on ``rows`` of it): (model, history)."""

    def start(config=SHORT, model_seed=0, rows=None, valid=toy_split.valid, folder=None, **changes):
        model = toy_model(small.replace(**changes), model_seed)
        rows = toy_split.train if rows is None else rows
        return model, fit(model, toy_split.sequences, rows, config, valid, folder, progress=False)

    return start


@pytest.fixture(scope="module")
def whole(run):
    """The run that nothing disturbs: (model, history). Only read."""
    return run()


def same_weights(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def without_seconds(history):
    return history.drop(columns=["train_seconds", "valid_seconds"])


def no_epoch(*_):
    raise AssertionError("an epoch was run")


def killed_in(epoch):
    """``_one_epoch``, but killed at the end of epoch ``epoch`` (from 1), before anything is kept of it."""
    original = training._one_epoch

    def one_epoch(*arguments):
        loss = original(*arguments)
        if arguments[5] == epoch - 1:
            raise KeyboardInterrupt
        return loss

    return one_epoch


# --- the toy ---


def test_the_toy_is_what_its_generator_makes(toy, tmp_path):
    made = make_toy.make_toy(tmp_path)
    pd.testing.assert_frame_equal(made.interactions, toy.interactions)
    pd.testing.assert_frame_equal(made.items, toy.items)
    assert (made.name, made.info) == (toy.name, toy.info)
    made.save(tmp_path / "saved")
    pd.testing.assert_frame_equal(load_dataset(tmp_path / "saved").items, toy.items)


def test_the_toy_is_small_and_has_what_tests_need(toy):
    files = [file for file in toy.folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 300_000
    assert toy.domains == ["lamps", "mugs"] and len(toy.items) == 60 and toy.interactions["user"].nunique() == 80
    assert toy.items["image"].isna().sum() == 12
    times = toy.interactions.groupby("user")["timestamp"]
    assert 0.05 < (times.diff() == 0).mean() < 0.2
    assert all(len(toy.select(domain).items) > 25 for domain in toy.domains)


# --- it learns ---


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["scratch", "pretrain"])
def test_the_loss_falls(run, whole, stage):
    history = (whole if stage == "scratch" else run(SHORT.replace(stage=stage)))[1]
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["loss"].is_monotonic_decreasing and history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0]


@pytest.mark.slow
def test_32_rows_can_be_learnt_by_heart(run, toy_split):
    rows = toy_split.train[::25][:32]
    config = TrainConfig(epochs=70, batch_size=32, lr=2e-2, weight_decay=0)
    model, history = run(config, rows=rows, valid=None, dropout=0, time_dropout=0, temperature=0.2)
    assert len(rows) == 32 and history["loss"].iloc[-1] < 0.02
    ranks = rank_rows(model_scorer(model), toy_split.sequences, rows, model.config.max_len)
    assert (ranks == 1).all()


@pytest.mark.slow
def test_it_beats_popularity_on_test_rows(run, toy_split):
    models = [run(TrainConfig(epochs=12, batch_size=128, lr=1e-2), seed)[0] for seed in range(3)]
    flat, test = toy_split.sequences, toy_split.test
    result = lambda score: metrics(rank_rows(score, flat, test, models[0].config.max_len))["ndcg@10"]
    ours = sum(result(model_scorer(model)) for model in models) / 3  # 80 users: one seed's error is a tenth of it
    assert ours > 1.5 * result(popularity(flat, toy_split.train, flat.item_count))


# --- it repeats itself ---


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_and_another_one_another(run, whole):
    model, history = whole
    again, history_again = run()
    other, _ = run(SHORT.replace(seed=1))
    assert same_weights(model, again) and not same_weights(model, other)
    pd.testing.assert_frame_equal(without_seconds(history), without_seconds(history_again))


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_never_stopped(run, whole, tmp_path, monkeypatch):
    model, history = whole
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_one_epoch", killed_in(epoch=3))
        run(folder=tmp_path)
    torch.randn(3)
    resumed, history_resumed = run(folder=tmp_path)
    assert same_weights(model, resumed)
    pd.testing.assert_frame_equal(without_seconds(history), without_seconds(history_resumed))


def test_a_call_after_the_end_returns_at_once(run, tmp_path, monkeypatch):
    config = SHORT.replace(epochs=2)
    first, history = run(config, folder=tmp_path)
    monkeypatch.setattr(training, "_one_epoch", no_epoch)
    again, history_again = run(config, folder=tmp_path)
    assert same_weights(first, again) and not again.training
    pd.testing.assert_frame_equal(history, history_again)


def test_a_call_after_early_stopping_returns_at_once(run, tmp_path, monkeypatch):
    config = SHORT.replace(lr=1e-12, patience=1)
    _, history = run(config, folder=tmp_path)
    assert len(history) == 2
    monkeypatch.setattr(training, "_one_epoch", no_epoch)
    assert len(run(config, folder=tmp_path)[1]) == 2


@pytest.mark.parametrize(
    "change",
    [
        dict(config=SHORT.replace(lr=1e-3)),
        dict(model_seed=1),
        dict(rows=torch.arange(1, 5)),
        dict(valid=None),
        dict(dropout=0.1),
    ],
)
def test_the_folder_of_another_run_is_refused(run, tmp_path, monkeypatch, change):
    run(SHORT.replace(epochs=1), folder=tmp_path)
    monkeypatch.setattr(training, "_one_epoch", no_epoch)
    with pytest.raises(InputError, match="training.safetensors: belongs to another run [^\n]*$"):
        run(**{"config": SHORT.replace(epochs=1), **change}, folder=tmp_path)


@pytest.mark.slow
def test_a_kill_while_saving_leaves_the_older_file_whole_and_nothing_beside_it(run, whole, tmp_path, monkeypatch):
    original, calls = tensorfile.save_file, []

    def save_file(tensors, path, metadata):
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half a file")
            raise KeyboardInterrupt
        original(tensors, path, metadata)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tensorfile, "save_file", save_file)
        run(folder=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["training.safetensors"]
    assert len(tensorfile.load_tensors(tmp_path / "training.safetensors", "training", "")[1]["history"]) == 2
    assert same_weights(run(folder=tmp_path)[0], whole[0])


# --- it stops in time ---


@pytest.mark.slow
def test_early_stopping_waits_for_patience_and_returns_the_best_epoch(run, toy_split, monkeypatch):
    scores, states = [0.1, 0.3, 0.2, 0.3, 0.25, 0.9], []

    def rank_model(model, sequences, rows, **_):
        states.append({k: v.clone() for k, v in model.state_dict().items()})

    monkeypatch.setattr(training, "rank_model", rank_model)
    monkeypatch.setattr(training, "metrics", lambda ranks: {"ndcg@10": scores[len(states) - 1]})
    model, history = run(SHORT.replace(epochs=9, patience=3))
    assert history["ndcg@10"].tolist() == scores[:5]  # an equal one is no better
    assert history["best"].tolist() == [False, True, False, False, False]
    assert all(torch.equal(v, states[1][k]) for k, v in model.state_dict().items())


def test_the_history_tells_the_metrics_of_the_weights_kept(whole, toy_split):
    model, history = whole
    found = metrics(rank_rows(model_scorer(model), toy_split.sequences, toy_split.valid, model.config.max_len))
    best = history[history["best"]]
    assert len(best) == 1 and best[list(found)].iloc[0].to_dict() == found
    assert best["ndcg@10"].iloc[0] == history["ndcg@10"].max() and not model.training


def test_epochs_that_prepare_come_on_top_and_are_neither_selected_nor_waited_for(run, monkeypatch):
    """Every epoch is worse than the one before it: two that prepare, the first other one, and one of patience."""
    worse = iter(range(9, 0, -1))
    monkeypatch.setattr(MMM4Rec, "preparatory_epochs", lambda model, stage: 2)
    monkeypatch.setattr(training, "metrics", lambda ranks: {"ndcg@10": next(worse) / 10})
    began = []
    monkeypatch.setattr(MMM4Rec, "begin_epoch", lambda model, *now: began.append(now))
    _, history = run(SHORT.replace(epochs=3, patience=1))
    assert history["best"].tolist() == [False, False, True, False]
    assert began == [(epoch, "scratch") for epoch in range(4)]
    assert len(run(SHORT.replace(epochs=1), valid=None)[1]) == 3


def test_without_validation_all_epochs_run_and_the_last_is_kept(run):
    _, history = run(SHORT.replace(patience=1), valid=None)
    assert history["best"].tolist() == [False, False, False, True] and "ndcg@10" not in history


# --- in bfloat16 ---


@pytest.mark.slow
def test_bfloat16_moves_the_metrics_less_than_a_seed_does(run):
    config, found = TrainConfig(epochs=6, batch_size=128, lr=1e-2), {}
    for precision in ("32-true", "bf16-mixed"):
        runs = [run(config.replace(seed=seed, precision=precision), model_seed=seed) for seed in range(3)]
        assert all(p.dtype == torch.float32 for model, _ in runs for p in model.parameters())
        found[precision] = pd.DataFrame([history.iloc[-1] for _, history in runs])
    plain, mixed = found.values()
    assert mixed["loss"].tolist() == pytest.approx(plain["loss"].tolist(), rel=1e-2)
    assert (mixed["loss"] != plain["loss"]).all()
    assert abs((mixed["ndcg@10"] - plain["ndcg@10"]).mean()) < plain["ndcg@10"].std()


def test_bfloat16_is_refused_where_the_device_has_none(run, monkeypatch):
    monkeypatch.setattr(devices, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(InputError, match="^precision: cuda has no bfloat16; train with precision='32-true'$"):
        run(SHORT.replace(precision="bf16-mixed"))


# --- steps and groups ---


@pytest.fixture
def first_gradients(run, toy_split, monkeypatch):
    """A function config -> the gradients at the optimiser's first step, in double precision, without drop-out."""

    def take(config):
        seen = []

        class Recorder(NAdam):
            def step(self, *arguments):
                seen.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
                return super().step(*arguments)

        monkeypatch.setitem(training.OPTIMIZERS, "nadam", Recorder)
        torch.set_default_dtype(torch.float64)
        try:
            run(config, rows=toy_split.train[:32], valid=None, dropout=0, time_dropout=0)
        finally:
            torch.set_default_dtype(torch.float32)
        return seen

    return take


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_batches_have_the_gradient_of_one_large_batch(first_gradients, accumulate):
    config = TrainConfig(epochs=1, batch_size=32)
    one = first_gradients(config)
    parts = first_gradients(config.replace(batch_size=32 // accumulate, accumulate=accumulate))
    assert len(one) == len(parts) == 1 and one[0][0].dtype == torch.float64
    assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(one[0], parts[0]))


def test_the_whole_gradients_norm_is_clipped(first_gradients):
    config = TrainConfig(epochs=1, batch_size=32)
    both = (config, config.replace(clip=0.1))
    whole, clipped = (torch.cat([g.flatten() for g in first_gradients(one)[0]]) for one in both)
    assert whole.norm() > 0.2 and clipped.norm() == pytest.approx(0.1, rel=1e-4)
    assert torch.allclose(clipped / clipped.norm(), whole / whole.norm())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_loss_falls_under_the_other_optimisers(run, name):
    history = run(SHORT.replace(optimizer=name, weight_decay=1e-3), valid=None)[1]
    assert history["loss"].iloc[-1] < 0.95 * history["loss"].iloc[0]


def test_an_epochs_last_accumulation_may_be_short(first_gradients):
    config = TrainConfig(epochs=1, batch_size=8, accumulate=3)
    steps, alone = first_gradients(config), first_gradients(config.replace(accumulate=1))
    assert len(steps) == 2 and len(alone) == 4
    assert all(torch.isfinite(g).all() for g in steps[1])


@pytest.mark.parametrize("decay_all", [False, True])
def test_every_parameter_has_one_group_and_only_matrices_off_the_time_branch_decay(toy_model, small, decay_all):
    model = toy_model(small.replace(shared=False))
    config = TrainConfig(decay_all=decay_all, weight_decay=0.1, lr=1e-3)
    groups = parameter_groups(model, config)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(decay) == len(list(model.parameters()))
    free = ("A_log", ".D", ".bias", "norm", "step.", "enhance", "filter", "gap_")
    for name, p in model.named_parameters():
        expected = 0.1 if decay_all or not any(part in name for part in free) else 0
        assert decay[id(p)] == expected, name
    rates = {id(p): group.get("lr", config.lr) for group in groups for p in group["params"]}
    assert [n for n, p in model.named_parameters() if rates[id(p)] != 1e-3] == ["gap_image", "gap_text"]


def test_padding_and_the_future_stay_out_of_the_steps(run, toy_split, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "batch", lambda *a, **k: seen.append(batch(*a, **k)) or seen[-1])
    run(SHORT.replace(epochs=1), valid=None)
    targets = torch.cat([one.targets for one in seen])
    assert torch.equal(targets.sort().values, toy_split.sequences.items[toy_split.train].sort().values)
    assert all((one.targets > 0).all() and (one.times[one.items == 0] == 0).all() for one in seen)


def test_rows_per_epoch_is_a_fresh_sample_each_epoch(run, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "batch", lambda flat, rows, *a, **k: seen.append(rows) or batch(flat, rows, *a, **k))
    run(TrainConfig(epochs=2, batch_size=32, rows_per_epoch=64), valid=None)
    first, second = (set(torch.cat(seen[i : i + 2]).tolist()) for i in (0, 2))
    assert len(seen) == 4 and len(first) == len(second) == 64 and first != second


@pytest.mark.slow
@pytest.mark.parametrize("wanted, batches", [(1, 1), (32, 1), (33, 2), (10**6, None)])
def test_rows_per_epoch_is_rounded_up_to_batches_and_never_more_than_there_are(
    run, toy_split, monkeypatch, wanted, batches
):
    seen = []
    monkeypatch.setattr(training, "batch", lambda flat, rows, *a, **k: seen.append(rows) or batch(flat, rows, *a, **k))
    run(TrainConfig(epochs=1, batch_size=32, rows_per_epoch=wanted), valid=None)
    rows = torch.cat(seen).tolist()
    assert len(rows) == len(set(rows)) == (len(toy_split.train) if batches is None else 32 * batches)
    assert set(rows) <= set(toy_split.train.tolist())


# --- refusals ---


def test_unknown_names_and_empty_rows_are_refused_in_one_line(run):
    with pytest.raises(InputError, match="^training: stage must be one of scratch, pretrain, finetune, not 'warm'$"):
        TrainConfig(stage="warm")
    with pytest.raises(InputError, match="^training: [^\n]*batch_size of 2[^\n]*$"):
        TrainConfig(stage="pretrain", batch_size=1)
    with pytest.raises(InputError, match="^training: metric must be one of recall@10, [^\n]*'mrr'$"):
        SHORT.replace(metric="mrr")
    with pytest.raises(InputError, match="^training: no rows[^\n]*$"):
        run(rows=torch.tensor([], dtype=torch.int64))


@pytest.mark.parametrize(
    "name, value",
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("accumulate", 0),
        ("patience", 0),
        ("rows_per_epoch", 0),
        ("rows_per_epoch", -1),
        ("lr", 0),
        ("lr", -1e-3),
        ("lr", float("nan")),
        ("weight_decay", -0.1),
    ],
)
def test_settings_that_train_nothing_are_refused_in_one_line(name, value):
    with pytest.raises(InputError, match=f"^training: [^\n]*{name}[^\n]*$"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("more", [dict(accumulate=2), dict(clip=1.0), dict(supervise="all_positions")])
def test_a_captured_step_refuses_what_it_cannot_record(more):
    with pytest.raises(InputError, match="a captured step takes"):
        TrainConfig(captured=True, **more)


def test_a_run_folder_that_is_a_file_is_refused_before_training(run, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_one_epoch", no_epoch)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InputError, match="notes: a file, where a run folder should go[^\n]*$"):
        run(folder=tmp_path / "notes")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("notes", "mine")]


def test_a_run_folder_below_a_file_is_refused_before_training(run, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_one_epoch", no_epoch)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InputError, match="notes[^\n]*$"):
        run(folder=tmp_path / "notes" / "run")


def test_a_diverged_loss_is_told_in_one_line(run, monkeypatch):
    def diverged(model, batch, stage):
        return {"cross_entropy": model.users(batch).sum() * float("nan")}

    monkeypatch.setattr(MMM4Rec, "losses", diverged)
    with pytest.raises(InputError, match="^training: the loss is not finite in epoch 1, step 0; lower lr [^\n]*$"):
        run()


def test_weights_that_the_last_step_made_endless_are_named_and_not_kept(run, tmp_path, monkeypatch):
    original, steps = torch.optim.NAdam.step, []

    def step(self, *arguments):
        original(self, *arguments)
        steps.append(1)
        if len(steps) == last:
            self.param_groups[0]["params"][0].data.view(-1)[3] = torch.inf

    last = 10**9
    monkeypatch.setattr(torch.optim.NAdam, "step", step)
    run(SHORT.replace(epochs=1))
    last = 2 * len(steps)  # the very last one of two epochs
    steps.clear()
    told = rf"^training: \w+\S* is not finite in epoch 2, step {last // 2}, by its last step; lower lr [^\n]*$"
    with pytest.raises(InputError, match=told):
        run(SHORT.replace(epochs=2), folder=tmp_path)
    state, notes = load_tensors(tmp_path / STATE, "training", "")
    assert len(notes["history"]) == 1 and all(v.isfinite().all() for v in state.values() if v.is_floating_point())
    monkeypatch.setattr(torch.optim.NAdam, "step", original)
    assert len(run(SHORT.replace(epochs=2), folder=tmp_path)[1]) == 2  # and goes on


def test_a_gradient_that_is_not_finite_is_told_apart_from_a_step(run, monkeypatch):
    original, seen = MMM4Rec.losses, []

    def losses(model, batch, stage):
        terms, weight = original(model, batch, stage), next(model.parameters())
        seen.append(1)
        if len(seen) == 2:
            weight.register_hook(lambda gradient: gradient * torch.inf)
        return terms

    monkeypatch.setattr(MMM4Rec, "losses", losses)
    with pytest.raises(InputError, match="is not finite in epoch 1, step 2, its gradient first; lower lr"):
        run()


def test_ctrl_c_leaves_the_best_weights_and_says_how_to_go_on(run, whole, tmp_path, monkeypatch):
    original, models = training._one_epoch, []

    def stopped(model, *arguments):
        models.append(model)
        if arguments[4] == 2:
            raise KeyboardInterrupt
        return original(model, *arguments)

    monkeypatch.setattr(training, "_one_epoch", stopped)
    with pytest.raises(KeyboardInterrupt, match="^training stopped in epoch 3; the same call goes on after epoch 2$"):
        run(folder=tmp_path)
    assert not models[-1].training and all(p.grad is None for p in models[-1].parameters())
    monkeypatch.setattr(training, "_one_epoch", original)
    assert same_weights(run(folder=tmp_path)[0], whole[0])


# --- all positions at once ---

CAUSAL = {"sasrec": {}, "sasrec_t": {}, "mamba4rec": {}, "mamba4rec_t": {}, "zesrec": {}}
CAUSAL |= dict.fromkeys(("tim4rec", "mmm4rec", "mmm4rec+id"), dict(time=False))


@pytest.mark.parametrize("name", CAUSAL)
def test_all_positions_at_once_are_the_rows_of_all_prefixes(name, toy_split, double):
    """Loss and gradients of whole sequences, against the mean over the prefix rows that they stand for."""
    window = int((toy_split.train - toy_split.sequences.first[toy_split.train]).max())
    spec = get_model(name)
    known = {key: value for key, value in {**QUIET, **CAUSAL[name]}.items() if hasattr(spec.config, key)}
    torch.manual_seed(0)
    model = spec.build(spec.sized(16, window, **known), drawn(toy_split.sequences.item_count + 1)).double()
    users = toy_split.sequences.first[toy_split.train].unique()[:9]
    rows = toy_split.train[torch.isin(toy_split.sequences.first[toy_split.train], users)]
    ends, counts = whole_sequences(toy_split.sequences, rows, window)
    assert len(ends) == 9 and counts.sum() == len(rows)
    found = []
    for one in (
        batch(toy_split.sequences, rows, window),
        batch_of_sequences(toy_split.sequences, ends, counts, window),
    ):
        loss = model.losses(one, "scratch")["cross_entropy"]
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        found.append([loss.detach(), *(gradient for gradient in gradients if gradient is not None)])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_longer_histories_are_cut_from_the_latest_row_backwards(toy_split):
    rows = toy_split.train[toy_split.sequences.first[toy_split.train] == toy_split.sequences.first[toy_split.train[0]]]
    ends, counts = whole_sequences(toy_split.sequences, rows, 3)
    assert ends.max() == rows.max() and counts.sum() == len(rows) and counts.max() <= 3
    one = batch_of_sequences(toy_split.sequences, ends, counts, 3)
    last = one.lengths.unsqueeze(1) - 1
    assert torch.equal(one.nexts.gather(1, last).squeeze(1), one.targets)
    assert torch.equal(one.items[:, 1:] * (one.nexts[:, 1:] > 0), one.nexts[:, :-1] * (one.nexts[:, 1:] > 0))
    with pytest.raises(InputError, match="missing in between"):
        whole_sequences(toy_split.sequences, rows[[0, 2]], 3)


@pytest.mark.parametrize("name", ["bsarec", "tim4rec", "mmm4rec", "missrec", "mmsrec", "fdsa", "m3rec"])
def test_where_all_positions_are_not_exact_they_are_refused(name, toy_split):
    model = made(name, drawn(toy_split.sequences.item_count + 1))
    config = TrainConfig(epochs=1, supervise="all_positions")
    with pytest.raises(InputError, match="^training: all_positions is not for this model: [^\n]+$"):
        fit(model, toy_split.sequences, toy_split.train, config, progress=False)


def test_all_positions_train_a_model(toy_split):
    model = made("sasrec", drawn(toy_split.sequences.item_count + 1), width=32)
    config = TrainConfig(epochs=12, batch_size=16, lr=1e-2, supervise="all_positions")
    history = fit(model, toy_split.sequences, toy_split.train, config, progress=False)
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
