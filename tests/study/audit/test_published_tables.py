"""The audit of the paper's tables: findings follow from the printed and logged numbers."""

import pytest

from mmm4rec_lite import published
from mmm4rec_lite.study.audit import published_tables
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, PARTLY, SUPPORTED, graded


def test_the_papers_cells_and_their_logs():
    finding = published_tables.cells_and_logs()
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
    assert published_tables.cells_and_logs().verdict == SUPPORTED
    assert [graded(n, 3) for n in (0, 1, 3)] == [CONTRADICTED, PARTLY, SUPPORTED]


def test_the_papers_arithmetic():
    table = published_tables.arithmetic().table.set_index("dataset")
    wrong = (table["recomputed_length"] - table["average_length"]).abs() > 0.0101
    assert sorted(table.index[wrong]) == ["cds", "sources"]
    assert table.loc["office", "logged_users"] == 87_346 != table.loc["office", "users"]
    given = published_tables.improvements().table.dropna(subset="printed_percent")
    assert (given["printed_percent"] - given["recomputed_percent"]).abs().max() < 0.05


def test_convergence_turns_round_without_id():
    table = published_tables.epochs_to_converge().table
    assert (table["mmm4rec_with_id"] < table["mmsrec_printed"]).all()
    assert (table["mmm4rec_without_id"] > table["mmsrec_printed"]).all()
    assert table["mmm4rec_printed"].tolist() == [13, 10, 7, 5, 5]


def test_quoted_columns():
    equal = published_tables.quoted_columns().table.set_index(["table", "column"])["n_equal"]
    assert equal.loc[[(2, "MISSRec"), (3, "MISSRec"), (3, "VQRec")]].tolist() == [20, 20, 20] and equal.sum() == 60
