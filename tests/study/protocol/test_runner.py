"""Sweeps on the toy: a row per seed and form, the same again, and what was left out."""

import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch

from mmm4rec_lite import training
from mmm4rec_lite.data.tabular import ORDER_ONLY
from mmm4rec_lite.models import protocol
from mmm4rec_lite.runs import Protocol, Task, run
from mmm4rec_lite.study.protocol.runner import sweep
from mmm4rec_lite.utils.errors import InputError

HOW = dict(protocol=Protocol("matched", "quick", width=16, window=8), jobs=1)


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """Two short epochs, and runs below this test's own folder."""
    monkeypatch.setitem(protocol.SCALES, "quick", dict(epochs=2, rows_per_epoch=128, patience=3))
    monkeypatch.setattr(protocol, "MATCHED", protocol.MATCHED.replace(batch_size=64, lr=1e-2))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def task(toy, random_features):
    """Mugs, with lamps to pre-train on."""
    features = random_features(toy.items["item"])
    return Task(toy.select("mugs"), features, sources=Task(toy.select("lamps"), features))


def test_a_sweep_has_a_row_per_seed_and_form_and_says_what_it_left_out(task, monkeypatch):
    dataset = task.dataset
    timeless = replace(task, dataset=replace(dataset, info={**dataset.info, "times": ORDER_ONLY}))
    wanted = [
        ("sasrec", "", {}),
        ("sasrec", "thin", dict(n_layers=1)),
        ("tim4rec", "", {}),
        ("tim4rec", "w/o Time", dict(time=False)),
        ("mmsrec", "tuned", dict(pretrained=True)),
    ]
    frame = sweep(timeless, wanted, seeds=(0, 1), **HOW)
    forms = [("sasrec", ""), ("sasrec", "thin"), ("tim4rec", "w/o Time"), ("mmsrec", "tuned")]
    assert list(zip(frame["system"], frame["variant"], frame["seed"])) == [(*f, seed) for seed in (0, 1) for f in forms]
    assert frame.attrs["left_out"] == {("tim4rec", ""): "tim4rec reads id, time; these data have no time"}
    assert frame["run_id"].nunique() == len(frame) and set(frame["stage"]) == {"scratch", "finetune"}
    monkeypatch.setattr(training, "_one_epoch", lambda *_: pytest.fail("trained again"))
    pd.testing.assert_frame_equal(sweep(timeless, wanted, seeds=(0, 1), **HOW), frame)
    one = run(timeless, "sasrec", HOW["protocol"], seed=1, n_layers=1).record
    assert one | dict(variant="thin") == frame.loc[5].to_dict()


def test_a_sweep_without_anything_it_can_run_is_empty(task):
    blind = replace(task, features=replace(task.features, has_image=torch.zeros_like(task.features.has_image)))
    frame = sweep(blind, [("missrec", "", {})], seeds=(0,), **HOW)
    assert frame.empty and list(frame.attrs["left_out"]) == [("missrec", "")]


def test_a_backend_that_is_not_there_is_named(task, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.util.joblib", None)
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    told_of = {"ray": "ray is not installed", "dask": "dask is not installed", "spark": "'spark' is not known"}
    for name, told in told_of.items():
        with pytest.raises(InputError, match=f"^backend: {told}[^\n]*$"):
            sweep(task, [("sasrec", "", {})], seeds=(0,), backend=name)
