"""The choice of settings on the toy: by validation alone, the same trials for all, kept for a later call."""

import json

import pandas as pd
import pytest

from mmm4rec_lite.models import protocol
from mmm4rec_lite.runs import Protocol, Task
from mmm4rec_lite.study.protocol import experiments, tuning
from mmm4rec_lite.utils.errors import InputError

GRID = (dict(lr=1e-2, dropout=0.2, width=16), dict(lr=1e-6, dropout=0.5, width=8))
HOW = dict(protocol=Protocol("matched", "quick", window=8), jobs=1, backend="threading")


@pytest.fixture
def task(toy, random_features, monkeypatch, tmp_path):
    """The toy; trainings take two short epochs, the grid has a good setting and one that learns nothing."""
    monkeypatch.setitem(protocol.SCALES, "quick", dict(epochs=2, rows_per_epoch=256, batch_size=64, patience=2))
    monkeypatch.setattr(tuning, "GRID", GRID)
    monkeypatch.chdir(tmp_path)
    return Task(toy, random_features(toy.items["item"]))


def test_each_system_gets_the_setting_that_is_best_on_validation(task):
    trials = tuning.tune(task, ["sasrec", "s3rec"], **HOW)
    assert trials.groupby("system").size().tolist() == [2, 2] and trials["seed"].eq(0).all()
    assert trials.groupby("system")["chosen"].sum().tolist() == [1, 1]
    best = trials.loc[trials.groupby("system")["valid"].idxmax()]
    assert best["chosen"].all() and not {"ndcg@10", "recall@10"} & set(trials)
    assert tuning.choices(trials)["sasrec"] == GRID[0]


def test_a_tuned_comparison_trains_every_seed_with_the_choice_and_a_later_call_reads_it(task):
    frame = experiments.comparison(task, ["sasrec"], tuned=True, seeds=(0, 1), **HOW)
    own = frame[frame["system"] == "sasrec"]
    assert own["seed"].tolist() == [0, 1] and own["d_model"].eq(16).all()
    assert [json.loads(changes)["lr"] for changes in own["changes"]] == [1e-2, 1e-2]
    again = experiments.comparison(task, ["sasrec", "bsarec"], tuned=True, kept=True, seeds=(0, 1), **HOW)
    assert set(again["system"]) == {"popularity", "markov_chain", "sasrec"}
    assert again.attrs["trials"]["system"].unique().tolist() == ["sasrec"]
    pd.testing.assert_frame_equal(own.reset_index(drop=True), again[again["system"] == "sasrec"].reset_index(drop=True))


@pytest.mark.parametrize("tuned", [True, pd.DataFrame()])
def test_only_the_comparison_is_tuned(task, tuned):
    with pytest.raises(InputError, match="table5 takes no --tuned"):
        experiments.reproduce("table5", task, tuned=tuned)


def test_a_choice_made_before_is_taken_from_its_file_and_only_what_it_lacks_is_tried(task, tmp_path, monkeypatch):
    trials = tuning.tune(task, ["sasrec"], **HOW).assign(chosen=[False, True])  # not what validation says: it is read
    trials.to_csv("tuning.csv", index=False)
    tried = []
    tune = tuning.tune
    monkeypatch.setattr(
        tuning, "tune", lambda task, systems, **how: tried.extend(systems) or tune(task, systems, **how)
    )
    known = tuning.read_trials("tuning.csv")
    frame = experiments.comparison(task, ["sasrec", "s3rec"], tuned=known, seeds=(0,), **HOW)
    assert tried == ["s3rec"] and frame.loc[frame["system"] == "sasrec", "d_model"].tolist() == [GRID[1]["width"]]
    assert frame.attrs["trials"]["system"].value_counts().to_dict() == {"sasrec": 2, "s3rec": 2}
    full = HOW | dict(protocol=Protocol("matched", "full", window=8))
    tuning.settings(task, ["sasrec"], known, full | dict(kept=True))
    assert tried == ["s3rec", "sasrec"]  # of another scale


@pytest.mark.parametrize(
    ("written", "told"), [(None, "not a csv of trials"), ("system\nsasrec", "no column dataset, ")]
)
def test_a_file_that_holds_no_trials_is_told(written, told, tmp_path):
    path = tmp_path / "tuning.csv"
    if written:
        path.write_text(written)
    with pytest.raises(InputError, match=told):
        tuning.read_trials(path)


def test_half_of_all_settings_let_every_two_levels_meet():
    table = pd.DataFrame(tuning.GRID)
    for one, other in (("lr", "dropout"), ("lr", "width"), ("dropout", "width")):
        assert len(table[[one, other]].drop_duplicates()) == 4
