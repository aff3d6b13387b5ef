"""The paper's tables and figures as files: printed cells all there, nothing invented where nothing was measured."""

import pandas as pd
import pytest

from mmm4rec_lite import published
from mmm4rec_lite.study import figures
from mmm4rec_lite.study.claims_page import claim_cells, claim_rows
from mmm4rec_lite.study.protocol.claims import CLAIMS
from mmm4rec_lite.study.protocol.results import stored_results
from mmm4rec_lite.utils.files import workspace

RUNS, PAIRS = stored_results()


@pytest.mark.parametrize("table", figures.TABLES)
def test_every_printed_cell_is_there_once(table):
    cells, printed = figures.table_cells(table, RUNS), published.paper(table)
    own = cells[cells["published"].notna()]
    assert sorted(own["published"]) == sorted(printed["value"]) and len(own) == len(printed)
    assert not cells.duplicated(["dataset", "row", "column"]).any()
    assert own["published_source"].str.contains(f"Table {table}").all()


def test_a_measured_cell_is_the_mean_of_the_most_thorough_runs():
    runs = RUNS.query("experiment == 'comparison' and dataset == 'scientific' and system == 'sasrec'")
    short = runs.assign(scale="quick", run_id=runs["run_id"] + "-quick", **{"ndcg@10": 0.01})
    cells = figures.table_cells(2, pd.concat([short, RUNS])).set_index(["dataset", "row", "column"])
    cell = cells.loc[("scientific", "ndcg@10", "SASRec")]
    assert cell["measured"] == pytest.approx(runs["ndcg@10"].mean()) and cell["status"] == "measured"
    assert cell["difference"] == pytest.approx(cell["measured"] - cell["published"])
    assert cell["scale"] == "converged" and cell["n_seeds"] == runs["seed"].nunique() == 3


def test_what_was_not_measured_has_no_number():
    cells = figures.table_cells(3, RUNS[RUNS["dataset"] != "scientific"])
    assert (cells.loc[cells["dataset"] == "scientific", "status"] == figures.NOT_HERE).all()
    assert cells.loc[cells["status"] != figures.MEASURED, ["measured", "difference"]].isna().all(axis=None)
    more = RUNS.assign(stage="finetune", **{"ndcg@10": 0.5}).query("system == 'unisrec' and dataset == 'scientific'")
    other = figures.table_cells(3, pd.concat([RUNS, more.assign(run_id="x")])).set_index(["dataset", "row", "column"])
    assert other.loc[("scientific", "ndcg@10", "UniSRec"), "measured"] == 0.5  # pre-trained before from scratch


def test_runs_that_were_cut_have_no_best_epoch_and_variants_stand_for_no_whole_system():
    done = RUNS.query("experiment == 'table4'").assign(dataset="instruments")
    cells = figures.table_cells(4, done.assign(epochs=done["best_epoch"] + 1)).set_index(["dataset", "row", "column"])
    cut = cells[cells.index.get_level_values("row") == "epochs"].loc["instruments"]
    assert (cut["status"] == figures.CUT).all() and cut["measured"].isna().all() and cut["published"].notna().all()
    steps = done.query("system == 'mmsrec'")["seconds_per_step"]
    assert cells.loc[("instruments", "seconds_per_step", "MMSRec"), "measured"] == pytest.approx(steps.mean())
    own = figures.table_cells(4, done).query("row == 'epochs' and dataset == 'instruments'")
    assert (own["measured"] > 0).all()
    more = RUNS.query("system == 'mmm4rec' and experiment == 'comparison'").assign(variant="w/o Time", scale="full")
    other = figures.table_cells(3, pd.concat([RUNS, more.assign(run_id="x", **{"ndcg@10": 0.5})]))
    assert not (other["measured"] == 0.5).any()


@pytest.mark.slow
def test_all_files_are_written_with_where_they_come_from(tmp_path):
    index = figures.write_figures(tmp_path, RUNS)
    assert {"table1", "table6", "figure2", "figure4", "figure8"} <= set(index["name"])
    drawn = index.loc[index["status"] == "drawn anew", "name"]
    assert list(drawn) == ["figure1", "figure3"] and all((tmp_path / f"{name}.svg").is_file() for name in drawn)
    for name in set(index["name"]) - set(drawn):
        assert {p.suffix for p in tmp_path.glob(f"{name}.*")} == {".pdf", ".svg", ".csv"}, name
        assert "arXiv 2506.02916" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "made_by" in pd.read_csv(tmp_path / f"{name}.csv", nrows=1)
    share = pd.read_csv(tmp_path / "figure2.csv").set_index("numbers")["ndcg_share"]
    assert share["published"] == 0.97 and len(share) > 1
    assert "not to be had here" in (tmp_path / "table2.svg").read_text(encoding="utf-8")
    assert "not to be had here" in index.set_index("name").loc["figure5", "title"]
    again = tmp_path / "again"
    figures.write_figures(again, RUNS)
    assert (again / "table4.svg").read_bytes() == (tmp_path / "table4.svg").read_bytes()


def test_every_claim_has_a_row_with_what_is_printed_and_a_cell():
    cells = claim_cells(sorted((workspace() / "notebooks").glob("*.ipynb")))
    table = claim_rows(RUNS, PAIRS, cells)
    assert table["claim"].tolist() == [claim.text for claim in CLAIMS]
    assert table["published"].ne("").all() and table["link"].ne("").sum() >= 20
    ranks = table[table["claim"] == "MMM4Rec with ids ranks best of all"].iloc[0]
    assert ranks["published"].startswith("scientific: MMM4Rec 0.0724, best rival MISSRec 0.0753;")
    layer = table[table["claim"].str.contains("larger Office")].iloc[0]
    assert layer["published"] == "office MMM4Rec 0.0906, 2L 0.0926" and layer["scale"] == "-"
