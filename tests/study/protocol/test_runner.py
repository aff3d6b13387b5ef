"""Trials and sweeps on the toy: kept, the same again, going on after a kill, pre-trained, refused."""

import json
import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch

from mmm4rec_lite import training
from mmm4rec_lite.data import leave_one_out
from mmm4rec_lite.data.tabular import ORDER_ONLY
from mmm4rec_lite.evaluation import metrics, popularity, rank_rows
from mmm4rec_lite.study.protocol import runner
from mmm4rec_lite.study.protocol.runner import Protocol, Task, sweep, trial
from mmm4rec_lite.utils.errors import InputError

SETTING = Protocol(width=16, window=8)


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """Two short epochs, and runs below this test's own folder."""
    monkeypatch.setattr(runner, "SCALES", {"quick": dict(epochs=2, rows_per_epoch=128, patience=3), "full": {}})
    monkeypatch.setattr(runner, "MATCHED", runner.MATCHED.replace(batch_size=64, lr=1e-2))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def task(toy, random_features):
    """Mugs, with lamps to pre-train on."""
    lamps, mugs = (toy.select(domain) for domain in ("lamps", "mugs"))
    part = lambda dataset, **more: Task(dataset, random_features(dataset.items["item"]), **more)
    source = part(lamps, augmented_text=random_features(lamps.items["item"], seed=1))
    return part(mugs, sources=source)


@pytest.fixture
def epochs(monkeypatch):
    """A list that grows by (stage, number) with every epoch trained."""
    done, original = [], training._one_epoch

    def one_epoch(*arguments):
        losses = original(*arguments)
        done.append((arguments[5].stage, arguments[6]))
        return losses

    monkeypatch.setattr(training, "_one_epoch", one_epoch)
    return done


def run_folders(tmp_path):
    return sorted(tmp_path.glob("runs/bench/*"))


def without_seconds(frame):
    return frame[[column for column in frame if "seconds" not in column]]


def test_a_second_call_reads_what_the_first_one_kept(task, epochs, tmp_path):
    first = trial(task, "sasrec", setting=SETTING)
    assert epochs == [("scratch", 0), ("scratch", 1)]
    (folder,) = run_folders(tmp_path)
    files = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    assert set(files) == {"history.csv", "trial.safetensors"}
    again = trial(task, "sasrec", setting=SETTING)
    assert len(epochs) == 2 and again.line == first.line
    assert files == {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    pd.testing.assert_frame_equal(again.history, first.history)
    assert torch.equal(again.ranks, first.ranks) and torch.equal(again.removed, first.removed)
    weights = first.model.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in again.model.state_dict().items())
    assert not again.model.training


def test_what_differs_is_another_run(task, epochs, random_features, tmp_path):
    other = replace(task, features=random_features(task.dataset.items["item"], seed=5))
    runs = [
        (task, "sasrec_t", {}),
        (task, "sasrec_t", dict(seed=1)),
        (task, "sasrec_t", dict(n_layers=1)),
        (task, "sasrec_t", dict(setting=replace(SETTING, window=5))),
        (other, "sasrec_t", {}),
    ]
    lines = [trial(of, name, **{"setting": SETTING, **more}).line for of, name, more in runs]
    assert len(run_folders(tmp_path)) == 5 and len(epochs) == 10
    assert len({line["run_id"] for line in lines}) == 5
    assert json.loads(lines[2]["changes"]) == {"n_layers": 1} and lines[2]["n_parameters"] < lines[0]["n_parameters"]
    assert lines[3]["max_len"] == 5


def test_a_line_says_where_its_numbers_come_from(task):
    done = trial(task, "tim4rec", seed=3, setting=SETTING)
    line, rows = done.line, leave_one_out(task.dataset)
    known = {
        "dataset": "toy-mugs",
        "system": "tim4rec",
        "stage": "scratch",
        "protocol": "matched",
        "scale": "quick",
        "seed": 3,
        "d_model": 16,
        "max_len": 8,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "changes": "{}",
        "n_test_rows": len(rows.test),
        "epochs": 2,
    }
    assert known.items() <= line.items()
    assert {"machine", "date", "run_id", "n_parameters", "best_epoch", "seconds_per_epoch"} <= set(line)
    assert line["seconds"] == pytest.approx(done.history[["train_seconds", "valid_seconds"]].to_numpy().sum())
    assert metrics(done.ranks).items() <= line.items() and len(done.ranks) == len(rows.test)
    assert {f"{key}_filtered": value for key, value in metrics(done.removed).items()}.items() <= line.items()
    assert (done.removed <= done.ranks).all() and (done.removed < done.ranks).any()
    assert line["best_epoch"] == done.history["ndcg@10"].idxmax() + 1
    assert json.loads(json.dumps(line)) == line


def test_a_killed_trial_goes_on_where_it_was(task, tmp_path, monkeypatch, epochs):
    whole = trial(task, "sasrec", setting=SETTING)
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    counted = training._one_epoch

    def killed(*arguments):
        if arguments[6] == 1:
            raise KeyboardInterrupt
        return counted(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_one_epoch", killed)
        trial(task, "sasrec", setting=SETTING)
    (folder,) = run_folders(tmp_path / "b")
    assert [file.name for file in folder.iterdir()] == ["training.safetensors"]
    epochs.clear()
    resumed = trial(task, "sasrec", setting=SETTING)
    assert epochs == [("scratch", 1)]
    pd.testing.assert_frame_equal(without_seconds(resumed.history), without_seconds(whole.history))
    assert torch.equal(resumed.ranks, whole.ranks)
    assert sorted(file.name for file in folder.iterdir()) == ["history.csv", "trial.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unisrec+id", "missrec+id", "mmsrec", "mmm4rec+id"])
def test_a_pre_trained_trial_differs_from_scratch(name, task, epochs):
    scratch = trial(task, name, setting=SETTING)
    tuned = trial(task, name, setting=SETTING, pretrained=True)
    assert epochs == [
        ("scratch", 0),
        ("scratch", 1),
        ("pretrain", 0),
        ("pretrain", 1),
        ("finetune", 0),
        ("finetune", 1),
    ]
    assert (scratch.line["stage"], tuned.line["stage"]) == ("scratch", "finetune")
    assert tuned.line["pretraining_seconds"] > 0.01 > scratch.line["pretraining_seconds"]
    assert tuned.history["loss"].iloc[0] != scratch.history["loss"].iloc[0]
    assert trial(task, name, setting=SETTING, pretrained=True).line == tuned.line and len(epochs) == 6


@pytest.mark.slow
def test_a_pre_trained_trial_that_was_killed_does_not_pre_train_again(task, epochs, tmp_path, monkeypatch):
    """MISSRec, whose transfer draws: interests are found anew with the maps that came."""
    whole = trial(task, "missrec", setting=SETTING, pretrained=True)
    epochs.clear()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    counted = training._one_epoch

    def killed(*arguments):
        if (arguments[5].stage, arguments[6]) == ("finetune", 1):
            raise KeyboardInterrupt
        return counted(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_one_epoch", killed)
        trial(task, "missrec", setting=SETTING, pretrained=True)
    assert epochs == [("pretrain", 0), ("pretrain", 1), ("finetune", 0)]
    resumed = trial(task, "missrec", setting=SETTING, pretrained=True)
    assert epochs[3:] == [("finetune", 1)]
    pd.testing.assert_frame_equal(without_seconds(resumed.history), without_seconds(whole.history))
    (folder,) = run_folders(tmp_path / "b")
    assert sorted(file.name for file in folder.iterdir()) == ["history.csv", "trial.safetensors"]


def test_what_cannot_be_pre_trained_is_refused(task, tmp_path):
    with pytest.raises(InputError, match="^sasrec: this system has no pre-training$"):
        trial(task, "sasrec", setting=SETTING, pretrained=True)
    with pytest.raises(InputError, match="^mmsrec: these data have no source domains$"):
        trial(replace(task, sources=None), "mmsrec", setting=SETTING, pretrained=True)
    with pytest.raises(InputError, match="^model: 'nosuch' is not built here[^\n]*$"):
        trial(task, "nosuch", setting=SETTING)
    lamps = task.sources.dataset
    timeless = replace(task.sources, dataset=replace(lamps, info={**lamps.info, "times": ORDER_ONLY}))
    with pytest.raises(InputError, match="^source domains: mmm4rec reads [^\n]* no time$"):
        trial(replace(task, sources=timeless), "mmm4rec", setting=SETTING, pretrained=True)
    assert run_folders(tmp_path) == []


@pytest.mark.slow
def test_a_sweep_has_a_line_per_seed_and_system_and_says_what_it_left_out(task, epochs):
    dataset = task.dataset
    timeless = replace(task, dataset=replace(dataset, info={**dataset.info, "times": ORDER_ONLY}))
    wanted = [
        ("sasrec", "", {}),
        ("sasrec", "thin", dict(n_layers=1)),
        ("tim4rec", "", {}),
        ("tim4rec", "w/o Time", dict(time=False)),
        ("mmsrec", "", dict(pretrained=True)),
    ]
    frame = sweep(timeless, wanted, seeds=(0, 1), setting=SETTING, jobs=1)
    forms = [("sasrec", ""), ("sasrec", "thin"), ("tim4rec", "w/o Time"), ("mmsrec", "")]
    assert list(zip(frame["system"], frame["variant"], frame["seed"])) == [(*f, seed) for seed in (0, 1) for f in forms]
    assert frame.attrs["left_out"] == {("tim4rec", ""): "tim4rec reads id, time; these data have no time"}
    assert frame["run_id"].nunique() == len(frame)
    count = len(epochs)
    pd.testing.assert_frame_equal(sweep(timeless, wanted, seeds=(0, 1), setting=SETTING, jobs=1), frame)
    one = trial(timeless, "sasrec", seed=1, setting=SETTING, n_layers=1).line
    assert {**one, "variant": "thin"} == frame.loc[5].to_dict() and len(epochs) == count


def test_a_sweep_without_anything_it_can_run_is_empty(task):
    blind = replace(task, features=replace(task.features, has_image=torch.zeros_like(task.features.has_image)))
    frame = sweep(blind, [("missrec", "", {})], seeds=(0,), setting=SETTING, jobs=1)
    assert frame.empty and list(frame.attrs["left_out"]) == [("missrec", "")]


def test_a_backend_that_is_not_there_is_named(task, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.util.joblib", None)
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    told_of = {"ray": "ray is not installed", "dask": "dask is not installed", "spark": "'spark' is not known"}
    for name, told in told_of.items():
        with pytest.raises(InputError, match=f"^backend: {told}[^\n]*$"):
            sweep(task, [("sasrec", "", {})], seeds=(0,), setting=SETTING, backend=name)


def test_settings():
    for wrong in (dict(name="other"), dict(scale="huge")):
        with pytest.raises(InputError, match="^setting: [^\n]*$"):
            Protocol(**wrong)
    system = runner.get_model("missrec+id")
    config, training = SETTING.of(system, "scratch")
    assert (config.d_model, config.d_ff, config.max_len, config.dropout) == (16, 64, 8, 0.2)
    assert config.item_ids and (training.stage, training.epochs, training.rows_per_epoch) == ("scratch", 2, 128)
    config, training = SETTING.of(system, "pretrain")
    assert (config.item_ids, config.clusters) == (False, 0.02) and training.stage == "pretrain"
    config, training = Protocol("paper", "full", None, None).of(system, "finetune")
    assert config == system.config and training == system.training.replace(stage="finetune")


@pytest.mark.slow
def test_trials_learn(task, monkeypatch):
    """With more epochs than the other tests allow, a system beats popularity on the test rows."""
    monkeypatch.setattr(runner, "SCALES", {"quick": dict(epochs=12, patience=12), "full": {}})
    line = trial(task, "tim4rec", setting=SETTING).line
    rows = leave_one_out(task.dataset)
    floor = popularity(rows.sequences, rows.train, rows.sequences.item_count)
    assert line["ndcg@10"] > 1.2 * metrics(rank_rows(floor, rows.sequences, rows.test, 8))["ndcg@10"]
