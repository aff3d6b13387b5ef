"""The published numbers against their own totals, spot values and the authors' logs."""

import pytest

from mmm4rec_lite import published


def test_table_1_adds_up():
    counts = published.paper(1).pivot(index="dataset", columns="column", values="value")
    sources = counts.drop(["sources", *published.TARGETS])
    assert len(sources) == 5
    for column in ("users", "items", "images", "interactions"):
        assert sources[column].sum() == counts.loc["sources", column]
    assert (counts["images"] / counts["items"] * 100 - counts["coverage_percent"]).abs().max() < 0.01


@pytest.mark.parametrize("table, cells", [(1, 66), (4, 30), (5, 56), (6, 24)])
def test_no_cell_is_missing_or_twice(table, cells):
    frame = published.paper(table)
    assert len(frame) == cells and not frame.duplicated(["dataset", "row", "column"]).any()


@pytest.mark.parametrize("table, systems", [(2, 12), (3, 9)])
def test_the_comparisons_are_complete(table, systems):
    frame = published.paper(table).query("column != 'improvement %'")
    assert frame["column"].nunique() == systems and len(frame) == systems * 5 * 4
    assert frame["value"].between(0, 0.3).all()
    wide = frame.pivot(index=["dataset", "column"], columns="row", values="value")
    assert (wide["recall@50"] > wide["recall@10"]).all() and (wide["ndcg@50"] > wide["ndcg@10"]).all()
    assert (wide["recall@10"] > wide["ndcg@10"]).all()


@pytest.mark.parametrize(
    "where, value",
    [
        (dict(table=2, dataset="pantry", row="ndcg@10", column="MMM4Rec"), 0.0481),
        (dict(table=2, dataset="scientific", row="recall@10", column="S3-Rec"), 0.0525),
        (dict(table=3, dataset="office", row="ndcg@50", column="MMSRec"), 0.1013),
        (dict(table=3, dataset="arts", row="recall@50", column="SASRec_T"), 0.1916),
        (dict(table=4, dataset="office", row="epochs", column="MISSRec"), 153),
        (dict(table=4, dataset="arts", row="seconds_per_epoch", column="MMM4Rec"), 14.92),
        (dict(table=5, dataset="office", row="recall@50", column="w/o LF"), 0.2090),
        (dict(table=6, dataset="office (all with image)", row="ndcg@10", column="ATHWE"), 0.1009),
    ],
)
def test_spot_values(where, value):
    cell = published.paper(**where)
    assert cell["value"].tolist() == [value] and cell["source"].item() == f"arXiv 2506.02916v4, Table {where['table']}"


def test_table_5s_full_model_is_table_2s():
    full = published.paper(5, column="MMM4Rec").merge(published.paper(2, column="MMM4Rec"), on=["dataset", "row"])
    assert len(full) == 8 and (full["value_x"] == full["value_y"]).all()


def test_the_logs_end_where_their_summaries_say():
    logs, tests = published.logs(), published.log_tests()
    assert len(tests) == 10 and set(tests["dataset"]) == set(published.TARGETS)
    for line in tests.itertuples():
        one = logs[(logs["dataset"] == line.dataset) & (logs["with_id"] == line.with_id)]
        assert one["epoch"].tolist() == list(range(1, line.epochs_run + 1))
        best = one.set_index("epoch")[line.valid_metric]
        assert best[line.best_epoch] == pytest.approx(best.max(), abs=1e-6)
        assert one["train_seconds"].mean() == pytest.approx(line.mean_train_seconds, abs=0.01)


def test_the_caller_gets_a_copy():
    frame = published.logs()
    frame["loss"] = 0
    assert published.logs()["loss"].min() > 1
