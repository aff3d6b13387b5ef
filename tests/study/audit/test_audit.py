"""The audit: its findings follow from their numbers, and its small runs are kept and paired."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mmm4rec_lite import runs
from mmm4rec_lite.models.config import Quirks
from mmm4rec_lite.runs import Task
from mmm4rec_lite.study import audit
from mmm4rec_lite.study.audit.quirks import AT_ONCE
from mmm4rec_lite.study.audit.trials import FORMS, QUIRKS, SMALL, trial
from mmm4rec_lite.utils.errors import InputError


@pytest.mark.slow
def test_every_finding_on_data_is_made_and_kept(lamps, tmp_path):
    findings = audit.audit(replace(lamps, seeds=(0,)), [*audit.ON_DATA], progress=False)
    assert [f.name for f in findings] == list(audit.ON_DATA)
    assert all(f.claim and f.evidence and len(f.table) and "lamps" in f.data for f in findings)
    audit.save(findings, tmp_path / "a.json")
    again, origin = audit.load(tmp_path / "a.json")
    pd.testing.assert_frame_equal(audit.summary(again), audit.summary(findings))
    pd.testing.assert_frame_equal(again[0].table, findings[0].table, check_dtype=False)
    assert origin["device"] == "cpu" and "date" in origin
    table = findings[-1].table.set_index("quirk")
    assert set(table.index) == {"none", "all", *vars(Quirks())}
    assert table.loc["none", ["difference", *AT_ONCE]].tolist() == [0, 0, 0, 0]
    at_once = table["relative_change"]
    assert at_once[["filter_bias_twice", "skip_scaled"]].min() > 0 == at_once["pad_item"]
    assert table.loc["pad_item", "loss_change"] > 0 and table.loc["copies_compete", "in_batch_loss_change"] > 0


def test_a_trial_is_kept_and_is_its_own(lamps, monkeypatch):
    model, ranks = trial(lamps, FORMS["no time"], 0)
    monkeypatch.setattr(runs, "fit", lambda *_, **__: pytest.fail("trained again"))
    again, same = trial(lamps, FORMS["no time"], 0)
    assert torch.equal(ranks, same) and all(map(torch.equal, model.state_dict().values(), again.state_dict().values()))
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        trial(lamps.shuffled(5), FORMS["no time"], 0)


def test_bad_input_is_one_line(toy, tmp_path, random_features):
    with pytest.raises(InputError, match="no finding is called nonsense; there are: cells-and-logs"):
        audit.audit(None, ["nonsense"])
    with pytest.raises(InputError, match="scale: 'huge' is not known; one of quick, full"):
        audit.bench(scale="huge")
    ordered = replace(toy, info={"times": "order only"})
    with pytest.raises(InputError, match="has no times, only an order"):
        audit.bench(Task(ordered, random_features(toy.items["item"])))
    (tmp_path / "no.json").write_text(json.dumps({"findings": [{"what": 1}]}))
    for path, told in ((tmp_path / "absent.json", "no such audit"), (tmp_path / "no.json", "not an audit file")):
        with pytest.raises(InputError, match=told):
            audit.load(path)


def test_quirk_trials_change_one_switch_each():
    base = SMALL.replace(**QUIRKS["none"][0])
    for name, (changes, decay_all) in QUIRKS.items():
        config = SMALL.replace(**changes)
        on = [quirk for quirk, value in vars(config.quirks).items() if value]
        assert config.replace(quirks=Quirks()) == base
        assert on == ([] if name == "none" else list(vars(Quirks())) if name == "all" else [name])
        assert decay_all == (name in ("published_init", "all"))


def test_the_table_of_the_documents_is_the_stored_audit():
    root = Path(__file__).parents[3]
    findings, _ = audit.load(root / "benchmarks" / "results" / "audit-instruments.json")
    assert {f.name for f in findings} >= audit.BY_ITSELF.keys()
    assert audit.short(findings) in (root / "docs" / "audit.md").read_text(encoding="utf-8")
