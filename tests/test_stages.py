"""Both stages on the toy, from a dataset and its features to a run folder, and the transfer between its domains."""

from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch

from mmm4rec_lite import stages, training
from mmm4rec_lite.checkpoint import load_model
from mmm4rec_lite.data import batch, prefixes
from mmm4rec_lite.stages import finetune, pretrain, split
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.training import TrainConfig
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import load_tensors

PER_ITEM = ("bias_image", "bias_text")
IN_BATCH = TrainConfig(stage="pretrain", epochs=1, batch_size=128, lr=5e-3)
FULL = TrainConfig(epochs=2, batch_size=128, lr=5e-3)


@pytest.fixture(scope="module")
def lamps(toy):
    return toy.select("lamps")


@pytest.fixture(scope="module")
def mugs(toy):
    return toy.select("mugs")


@pytest.fixture(scope="module")
def features(toy, random_features):
    return random_features(toy.items["item"])


@pytest.fixture(scope="module")
def source(lamps, features, small, tmp_path_factory):
    """(run folder, model, history) of pre-training on the lamps. Only read."""
    out = tmp_path_factory.mktemp("source") / "run"
    return out, *pretrain(lamps, features, out, small, IN_BATCH, progress=False)


@pytest.fixture
def untrained(monkeypatch):
    """``fit`` does nothing; the list holds what it was called with and the weights it found."""
    calls = []

    def fit(model, sequences, rows, config, valid, folder, progress):
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        calls.append(dict(rows=rows, valid=valid, config=config, weights=weights))
        return pd.DataFrame({"epoch": [1]})

    monkeypatch.setattr(stages, "fit", fit)
    return calls


def saved(out):
    return load_tensors(out / "model.safetensors", "model", "")


def test_a_run_folder_holds_the_model_and_its_history(source, lamps, features, small):
    out, model, history = source
    assert sorted(file.name for file in out.iterdir()) == ["history.csv", "model.safetensors", "training.safetensors"]
    pd.testing.assert_frame_equal(pd.read_csv(out / "history.csv"), history)
    again, notes = load_model(out / "model.safetensors", features, lamps.items["item"])
    assert again.config == small.replace(item_bias=False)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    assert (notes["stage"], notes["dataset"], notes["training"]) == ("pretrain", "toy-lamps", asdict(IN_BATCH))
    assert notes["encoder"] == features.encoder and notes["torch"] == torch.__version__


def test_a_second_call_returns_the_finished_run_at_once(source, lamps, mugs, features, small, tmp_path, monkeypatch):
    out, model, history = source
    start = out / "model.safetensors"
    tuned, tuned_history = finetune(mugs, features, tmp_path, start, small, FULL, progress=False)

    def no_epoch(*_):
        raise AssertionError("an epoch was run")

    monkeypatch.setattr(training, "_one_epoch", no_epoch)
    for first, first_history, (again, again_history) in (
        (model, history, pretrain(lamps, features, out, small, IN_BATCH, progress=False)),
        (tuned, tuned_history, finetune(mugs, features, tmp_path, start, small, FULL, progress=False)),
    ):
        pd.testing.assert_frame_equal(first_history, again_history)
        assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items())
    with pytest.raises(InputError, match="belongs to another run"):
        finetune(mugs, features, tmp_path, None, small, FULL, progress=False)


def test_pre_training_takes_every_prefix_and_fine_tuning_the_training_part(lamps, features, small, tmp_path, untrained):
    pretrain(lamps, features, tmp_path / "p", small, IN_BATCH)
    finetune(lamps, features, tmp_path / "f", None, small, FULL)
    first, second = untrained
    rows = split(lamps)
    assert torch.equal(first["rows"], prefixes(lamps).train) and first["valid"] is None
    assert torch.equal(second["rows"], rows.train) and torch.equal(second["valid"], rows.valid)
    assert (first["config"], second["config"]) == (IN_BATCH, FULL)
    assert len(first["rows"]) == len(rows.train) + len(rows.valid) + len(rows.test)


def test_pre_training_has_no_per_item_tables(source):
    assert not set(PER_ITEM) & saved(source[0])[0].keys()


@pytest.mark.parametrize("item_bias", [True, False])
def test_fine_tuning_starts_from_the_pre_trained_weights(source, mugs, features, small, tmp_path, untrained, item_bias):
    finetune(mugs, features, tmp_path, source[0] / "model.safetensors", small.replace(item_bias=item_bias), FULL)
    before, pretrained = untrained[0]["weights"], saved(source[0])[0]
    assert before.keys() - pretrained.keys() == (set(PER_ITEM) if item_bias else set())
    assert all(torch.equal(before[name], tensor) for name, tensor in pretrained.items())
    assert all(before[name].shape == (30, 16) and not before[name].any() for name in PER_ITEM if item_bias)


def test_a_start_of_other_sizes_is_refused_before_anything_is_written(source, mugs, features, small, tmp_path):
    with pytest.raises(InputError, match="use the same preset"):
        finetune(mugs, features, tmp_path / "run", source[0] / "model.safetensors", small.replace(d_state=8), FULL)
    assert not list(tmp_path.iterdir())


def test_the_seed_draws_the_start_weights(mugs, features, small, tmp_path, untrained):
    for seed in (0, 0, 1):
        finetune(mugs, features, tmp_path, None, small, FULL.replace(seed=seed))
    first, again, other = (call["weights"]["adapter_text.weight"] for call in untrained)
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    "split_name, part, moves",
    [
        ("leave_one_out", "test", False),
        ("leave_one_out", "valid", False),
        ("leave_one_out", "train", True),
        ("global_time", "test", False),
        ("global_time", "valid", False),
        ("global_time", "train", True),
    ],
)
def test_the_scale_of_gaps_is_fitted_on_the_training_part_alone(
    mugs, features, small, tmp_path, untrained, split_name, part, moves
):
    """Each user's first interaction of a part, and with it all later ones, comes a million seconds later."""
    rows = split(mugs, split_name)
    latest = {"train": [rows.train, rows.valid, rows.test], "valid": [rows.valid, rows.test], "test": [rows.test]}
    later = mugs.interactions.copy()
    later.loc[torch.cat(latest[part]).numpy(), "timestamp"] += 1_000_000
    for interactions in (mugs.interactions, later):
        dataset = replace(mugs, interactions=interactions)
        finetune(dataset, features, tmp_path, None, small, FULL, split_name)
    (mean, std), (mean_later, std_later) = (
        [call["weights"][f"times.log_{k}"] for k in ("mean", "std")] for call in untrained
    )
    gaps = rows.sequences.times[rows.train] - rows.sequences.times[rows.train - 1]
    torch.testing.assert_close(mean, gaps.double().log1p().mean().float())
    assert (mean == mean_later and std == std_later) is not moves


def test_the_global_time_split_works_end_to_end(mugs, features, small, tmp_path):
    _, history = finetune(mugs, features, tmp_path, None, small, FULL, "global_time", progress=False)
    assert history["epoch"].tolist() == [1, 2] and history["ndcg@10"].between(0, 1).all()
    notes = saved(tmp_path)[1]
    assert (notes["split"], notes["start"], notes["stage"]) == ("global_time", None, "finetune")


def test_a_transfer_to_the_other_domain_gives_a_model_that_ranks_it(source, lamps, mugs, features, small, tmp_path):
    assert not set(lamps.items["item"]) & set(mugs.items["item"])
    start = source[0] / "model.safetensors"
    model, history = finetune(mugs, features, tmp_path, start, small, FULL, progress=False)
    rows = split(mugs)
    one = batch(rows.sequences, rows.test, small.max_len)
    with torch.no_grad():
        scores = model.score(model(one.items, one.lengths, one.times))
    assert scores.shape == (40, 30) and scores[:, 1:].isfinite().all()
    assert history["loss"].iloc[1] < history["loss"].iloc[0] and saved(tmp_path)[1]["start"] == str(start)
    assert model.bias_text.any()
    assert not torch.equal(model.adapter_text.weight, saved(source[0])[0]["adapter_text.weight"])


def test_an_unknown_split_is_refused_before_anything_is_written(mugs, features, small, tmp_path, untrained):
    with pytest.raises(InputError, match="^split: 'random' is not known; one of leave_one_out, global_time$"):
        finetune(mugs, features, tmp_path / "run", None, small, FULL, "random")
    assert not untrained and not (tmp_path / "run").exists()


def test_features_of_other_items_or_another_encoder_are_refused(source, mugs, small, tmp_path, random_features):
    with pytest.raises(InputError, match="features of other items"):
        finetune(mugs, random_features(["x0"]), tmp_path / "run", None, small, FULL)
    others = random_features(mugs.items["item"], fingerprint="e" * 16)
    with pytest.raises(InputError, match="cannot be mixed"):
        finetune(mugs, others, tmp_path / "run", source[0] / "model.safetensors", small, FULL)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", [pretrain, finetune])
def test_data_without_times_turn_time_awareness_off(stage, lamps, features, small, tmp_path, untrained):
    ordered = replace(lamps, info={"times": "order only"})
    training = IN_BATCH if stage is pretrain else FULL
    model, _ = stage(ordered, features, tmp_path, config=small, training=training)
    assert not model.config.time and model.config == small.replace(time=False, item_bias=model.config.item_bias)
    with pytest.raises(InputError, match="has no times, only an order; a model with query_time needs"):
        finetune(ordered, features, tmp_path / "no", None, small.replace(query_time=True), FULL)
    with pytest.raises(InputError, match="split it by leave_one_out"):
        split(ordered, "global_time")


def test_query_time_starts_with_fine_tuning(source, mugs, features, small, tmp_path):
    told, _ = finetune(
        mugs,
        features,
        tmp_path / "told",
        source[0] / "model.safetensors",
        small.replace(query_time=True),
        FULL,
        progress=False,
    )
    assert told.config.query_time and told.request_text.abs().max() > 0
    assert not any(name.startswith("request_") for name in saved(source[0])[0])
    rows = split(mugs)
    one = batch(rows.sequences, rows.test, told.config.max_len)
    with torch.no_grad():
        later = told.users(replace(one, requests=one.requests + 10**8))
        assert not torch.allclose(told.users(one), later, atol=1e-4)


def test_the_quickstarts_runs_have_a_folder_for_every_features_and_settings(lamps, features, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rounded = replace(features, text=features.text + 1e-6)  # by the encoder on another machine
    given = [(features, FULL), (rounded, FULL), (features, FULL.replace(lr=1e-4))]
    folders = [presets.run_folder("finetune", lamps, *one) for one in given]
    assert len(set(folders)) == 3 and presets.run_folder("finetune", lamps, *given[0]) == folders[0]
