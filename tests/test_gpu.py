"""The same calls on an accelerator, where there is one, with no flag."""

import pytest
import torch

from mmm4rec_lite import analysis
from mmm4rec_lite.evaluation import as_batch, recommend, user_history
from mmm4rec_lite.runs import Task, as_changes, pretrain, run
from mmm4rec_lite.utils import devices
from tests.support.models import STAGED, trains_ranks_and_loses_pictures

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]


@pytest.fixture(autouse=True)
def accelerator(monkeypatch):
    monkeypatch.setattr(devices, "ACCELERATOR", "auto")


def test_both_stages_train_on_the_gpu_and_come_near_the_cpu_result(toy, small, random_features, tmp_path):
    lamps, mugs = toy.select("lamps"), toy.select("mugs")
    features, own = random_features(toy.items["item"]), as_changes(small.replace(dropout=0.0, time_dropout=0.0))
    losses = {}
    for place in ("auto", "cpu"):
        devices.ACCELERATOR = place
        first = pretrain(Task(lamps, features), out=tmp_path / place / "a", progress=False, epochs=1, **own)
        again = dict(out=tmp_path / place / "b", start=first, progress=False, epochs=2)
        done = run(Task(mugs, features), "mmm4rec+id", **again, **own)
        assert next(done.model.parameters()).is_cuda == (place == "auto")
        losses[place] = done.history["loss"].to_numpy()
    assert losses["auto"] == pytest.approx(losses["cpu"], rel=1e-2)


def test_bfloat16_on_the_gpu_comes_near_float32(toy, small, random_features, tmp_path):
    task, own = Task(toy, random_features(toy.items["item"])), as_changes(small.replace(dropout=0.0, time_dropout=0.0))
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        done = run(task, out=tmp_path / precision, progress=False, epochs=2, precision=precision, **own)
        losses[precision] = done.history["loss"].to_numpy()
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=2e-2)


@pytest.mark.parametrize("name, stage", STAGED)
def test_every_system_trains_ranks_and_loses_pictures_on_the_gpu(toy, toy_split, name, stage):
    trains_ranks_and_loses_pictures(name, stage, "cuda", toy, toy_split)


def test_inputs_may_lie_on_the_cpu(toy, toy_model, small):
    model, user = toy_model(small).cuda(), toy.interactions["user"].iloc[0]
    history = user_history(toy, user)
    assert len(recommend(model, toy, user, 3)) == 3
    assert analysis.decay_masks(model, *as_batch(toy, history, small.max_len))["layer 1, text"].is_cuda


def test_a_captured_step_trains_as_the_ordinary_one(toy, small, random_features, tmp_path):
    task, own = Task(toy, random_features(toy.items["item"])), as_changes(small.replace(dropout=0.0, time_dropout=0.0))
    losses = {}
    for captured in (False, True):
        done = run(
            task, out=tmp_path / str(captured), progress=False, epochs=3, batch_size=32, captured=captured, **own
        )
        losses[captured] = done.history["loss"].to_numpy()
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)
