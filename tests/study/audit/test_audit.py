"""The audit: its findings follow from their numbers, and its small runs are kept and paired."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mmm4rec_lite import published
from mmm4rec_lite.analysis import other_gaps
from mmm4rec_lite.data import batch
from mmm4rec_lite.evaluation import paired
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.stages import split
from mmm4rec_lite.study import audit
from mmm4rec_lite.study.audit import mechanics, prints, times
from mmm4rec_lite.study.audit.trials import FORMS, QUIRKS, Task, fresh, trial
from mmm4rec_lite.study.protocol import runner as runs
from mmm4rec_lite.study.protocol.verdict import INCONCLUSIVE, PARTLY, SUPPORTED
from mmm4rec_lite.training import TrainConfig
from mmm4rec_lite.utils.errors import InputError

TINY = ModelConfig(d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=16)


@pytest.fixture(scope="module")
def lamps(toy, random_features, tmp_path_factory):
    """A small shop to audit; its runs go to a folder of their own."""
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("audit"))
    training = TrainConfig(epochs=1, rows_per_epoch=64, batch_size=64)
    yield Task(toy.select("lamps"), random_features(toy.items["item"]), training, (0, 1), TINY)
    patch.undo()


def test_the_papers_cells_and_their_logs():
    finding = prints.cells_and_logs()
    odd = finding.table[~finding.table["agrees"]]
    assert sorted(zip(odd["dataset"], odd["row"])) == [
        ("arts", "seconds_per_epoch"),
        ("pantry", "seconds_per_epoch"),
        ("scientific", "ndcg@50"),
    ]
    assert odd.set_index("dataset").loc["arts", "without_id"] == pytest.approx(14.92, abs=0.02)
    assert finding.verdict == PARTLY and "0.0929 printed, 0.0944 logged" in finding.evidence


def test_a_verdict_follows_the_numbers(monkeypatch):
    logs = published.log_tests()
    logs.loc[(logs["dataset"] == "scientific") & ~logs["with_id"], "ndcg@50"] = 0.0929
    for dataset, seconds in (("arts", 14.92), ("pantry", 5.58)):
        logs.loc[(logs["dataset"] == dataset) & logs["with_id"], "mean_train_seconds"] = seconds
    monkeypatch.setattr(published, "log_tests", lambda **_: logs)
    assert prints.cells_and_logs().verdict == SUPPORTED


def test_the_papers_arithmetic():
    finding = prints.arithmetic()
    table = finding.table.set_index("dataset")
    wrong = (table["recomputed length"] - table["average_length"]).abs() > 0.0101
    assert sorted(table.index[wrong]) == ["cds", "sources"]
    assert table.loc["office", "users in the logs"] == 87_346 != table.loc["office", "users"]
    given = prints.improvements().table.dropna(subset="printed %")
    assert (given["printed %"] - given["recomputed %"]).abs().max() < 0.05


def test_convergence_turns_round_without_id():
    table = prints.epochs_to_converge().table
    assert (table["MMM4Rec with ID, best epoch"] < table["MMSRec (printed)"]).all()
    assert (table["MMM4Rec without ID, best epoch"] > table["MMSRec (printed)"]).all()
    assert table["MMM4Rec (printed)"].tolist() == [13, 10, 7, 5, 5]


def test_quoted_columns():
    table = prints.quoted_columns().table.set_index(["table", "column"])
    assert table.loc[[(2, "MISSRec"), (3, "MISSRec"), (3, "VQRec")], "equal"].tolist() == [20, 20, 20]
    assert table["equal"].sum() == 60


def test_two_channels_are_one_unless_weights_are_not_shared():
    table = mechanics.dual_channel().table.set_index("model")
    same = table["signals bit-equal in evaluation"]
    assert not same["w/o Shared"] and same.drop("w/o Shared").all()
    moved = table["users moved by exchanging the filters"]
    assert moved["w/o Shared"] > 0.01 and (moved.drop("w/o Shared") < 1e-6).all()
    assert (table["largest difference in training"] > 0.01).all()


def test_shared_weights_are_counted():
    table = mechanics.shared_weights().table
    for _, form in table.groupby("form"):
        parts = form.set_index("part")["parameters"]
        whole = parts.pop("whole model without item tables")
        assert 0 <= whole - parts.sum() < 50  # the affine weights of eq. 5's LayerNorm
    assert table.query("form == 'public code' and `for` == 'image'")["parameters"].item() == 0


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
    assert table.loc["none", ["difference", "users moved", "loss changed"]].tolist() == [0, 0, 0]
    at_once = table["users moved"]
    assert at_once[["filter_bias_twice", "skip_scaled"]].min() > 0 == at_once["pad_item"]
    assert table.loc["pad_item", "loss changed"] > 0 and table.loc["copies_compete", "in-batch loss changed"] > 0


def test_a_trial_is_kept_and_is_its_own(lamps, monkeypatch):
    model, ranks = trial(lamps, FORMS["no time"], 0)
    monkeypatch.setattr(runs, "fit", lambda *_, **__: pytest.fail("trained again"))
    again, same = trial(lamps, FORMS["no time"], 0)
    assert torch.equal(ranks, same) and all(map(torch.equal, model.state_dict().values(), again.state_dict().values()))
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        trial(lamps.shuffled(5), FORMS["no time"], 0)


def test_differences_are_paired():
    base = torch.tensor([[0.0, 1, 0, 1], [0, 1, 1, 1]])
    table = paired({"base": base, "more": base + 0.25, "other": base.flip(1)}, "base").set_index("form")
    assert table.loc["more", ["difference", "standard_error"]].tolist() == [0.25, 0]
    assert table.loc["other", "difference"] == 0 and table.loc["other", "standard_error"] > 0.1
    assert table.loc["base", "seed_spread"] == pytest.approx(torch.tensor([0.5, 0.75]).std().item())


def test_only_the_targets_time_is_exchanged(lamps):
    rows = split(lamps.dataset)
    one = batch(rows.sequences, rows.test, TINY.max_len, target_time=True)
    other = times._other_target_times(one)
    changed = other != one.times
    assert changed.any() and (changed.nonzero()[:, 1] == one.lengths[changed.nonzero()[:, 0]]).all()
    gaps = other_gaps(one).times
    real = torch.arange(TINY.max_len) < one.lengths.unsqueeze(1)
    assert (gaps[~real] == one.times[~real]).all() and (gaps.diff(dim=1) >= 0)[real[:, 1:]].all()
    assert torch.equal(gaps[:, 0], one.times[:, 0]) and not torch.equal(gaps, one.times)


def test_the_published_branch_is_dead_and_ours_is_not(lamps):
    rows = split(lamps.dataset)
    found = {
        name: times._branch(fresh(lamps, FORMS[name], 0), rows, lamps.training.replace(decay_all=FORMS[name][1]))
        for name in ("published", "log-gaps and gap vector")
    }
    dead, live = found.values()
    assert dead["users moved by other gaps"] < 1e-6 < 1e-2 < live["users moved by other gaps"]
    assert dead["gradient of the scale"] < 1e-6 * dead["L2 term of the scale"]
    assert live["L2 term of the scale"] == 0 < live["gradient of the scale"]


def test_one_seed_decides_nothing(lamps):
    one = replace(lamps, seeds=(0,))
    assert times.revived(one).verdict == times.same_day_order(one).verdict == INCONCLUSIVE


def test_bad_input_is_one_line(toy, tmp_path, random_features):
    with pytest.raises(InputError, match="no finding is called nonsense; there are: cells-and-logs"):
        audit.audit(None, ["nonsense"])
    with pytest.raises(InputError, match="scale: 'huge' is not known; one of quick, full"):
        audit.task(toy, None, "huge")
    ordered = replace(toy, info={"times": "order only"})
    with pytest.raises(InputError, match="has no times, only an order"):
        audit.task(ordered, random_features(toy.items["item"]))
    (tmp_path / "no.json").write_text(json.dumps({"findings": [{"what": 1}]}))
    for path, told in ((tmp_path / "absent.json", "no such audit"), (tmp_path / "no.json", "not an audit file")):
        with pytest.raises(InputError, match=told):
            audit.load(path)


def test_quirk_trials_change_one_switch_each():
    base = TINY.replace(**QUIRKS["none"][0])
    for name, (changes, decay_all) in QUIRKS.items():
        config = TINY.replace(**changes)
        on = [quirk for quirk, value in vars(config.quirks).items() if value]
        assert config.replace(quirks=Quirks()) == base
        assert on == ([] if name == "none" else list(vars(Quirks())) if name == "all" else [name])
        assert decay_all == (name in ("published_init", "all"))


def test_the_table_of_the_documents_is_the_stored_audit():
    root = Path(__file__).parents[3]
    findings, _ = audit.load(root / "benchmarks" / "results" / "audit-instruments.json")
    assert {f.name for f in findings} >= audit.BY_ITSELF.keys()
    assert audit.short(findings) in (root / "docs" / "audit.md").read_text(encoding="utf-8")
