"""The demo store as a test bench: what is shown, what is measured, what the page says."""

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from mmm4rec_lite import runs
from mmm4rec_lite.study import shop
from mmm4rec_lite.study.cli.experiments import experiment_app
from mmm4rec_lite.study.shop_report import pooled, report
from mmm4rec_lite.utils.errors import InputError
from tests.support.rows import store_row


def test_pictures_are_made_once_and_belong_to_the_same_items(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM4REC_CACHE", str(tmp_path))
    config = shop.STORE.replace(users=40)
    pictured = shop.World(config).pictured
    assert list(pictured.items["item"]) == list(shop.World(config).dataset.items["item"])
    assert all((pictured.folder / image).is_file() for image in pictured.items["image"])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert shop.World(config).pictured.items.equals(pictured.items)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


def test_the_stored_page_is_what_the_stored_lines_say():
    stored = Path(__file__).parents[2] / "benchmarks" / "results" / "store.csv"
    assert stored.with_suffix(".md").read_text(encoding="utf-8") == report(pd.read_csv(stored))


def test_over_seeds_the_larger_error_counts():
    rows = [store_row(seed=seed, difference=0.03 + 0.02 * seed, standard_error=0.003) for seed in (0, 1)]
    (line,) = pooled(pd.DataFrame(rows)).to_dict(orient="records")
    assert line["seeds"] == 2 and line["difference"] == pytest.approx(0.04)
    assert line["standard_error"] == pytest.approx(0.003 / 2**0.5) and line["error"] == pytest.approx(0.01)
    (line,) = pooled(pd.DataFrame(rows[:1])).to_dict(orient="records")
    assert line["error"] == 0.003  # one seed has no spread


def test_scales_are_known_by_name(monkeypatch):
    monkeypatch.setenv("MMM4REC_SCALE", "full")
    assert shop.scale() == shop.SCALES["full"] != shop.scale("quick")
    with pytest.raises(InputError, match="'huge' is not known"):
        shop.scale("huge")


@pytest.mark.slow
def test_the_experiment_writes_its_frame_and_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shop, "STORE", shop.StoreConfig(users=50, items=20, length=8))
    short = shop.TRAINING.replace(epochs=1, rows_per_epoch=256)
    monkeypatch.setattr(shop, "TRAINING", short)
    monkeypatch.setattr(shop, "SHORTER", short)
    # a few of all the runs, in which the same things happen
    gaps = partial(shop.gap_part, effects=(1.0,), forms=("no time", "gap vector", *list(shop.FORMS)[-2:]))
    monkeypatch.setitem(shop.PARTS, "gaps", gaps)
    monkeypatch.setitem(shop.PARTS, "memory", partial(shop.memory_part, kept=(1, 3)))
    monkeypatch.delitem(shop.TELLING, "text")
    monkeypatch.setattr(shop, "MEMORIES", {"long memory": dict(seasons=2)})
    call = ["store", "--out", "store.csv", "--seeds", "1", "--json"]
    done = CliRunner().invoke(experiment_app, call)
    assert done.exit_code == 0, done.output
    frame = pd.read_csv("store.csv")
    assert set(frame["part"]) == {"gaps", "modality", "memory"}
    kept = {"run_id", "device", "torch", "mmm4rec_lite", "store", "date", "machine", "standard_error", "closed"}
    assert kept <= set(frame)
    gaps = frame[frame["part"] == "gaps"]
    best = gaps[gaps["system"] == "best"]
    assert (best["closed"] == 1).all() and (gaps["expected_ndcg@10"] <= best["expected_ndcg@10"].item() + 1e-12).all()
    moved = gaps.set_index("system")["relative_change"]
    assert moved["published time branch"] < 1e-5 and moved["gap vector"] > 1e-3
    text = Path("store.md").read_text()
    assert "the branch is dead" in text and "The picture tells" in text

    monkeypatch.setattr(runs, "fit", lambda *_: pytest.fail("trained again"))
    assert CliRunner().invoke(experiment_app, call).exit_code == 0
    assert CliRunner().invoke(experiment_app, [*call[:2], "part.csv", *call[3:], "--part", "modality"]).exit_code == 0
    failed = CliRunner().invoke(experiment_app, [*call, "--part", "sound"])
    assert failed.exit_code and "one of gaps, modality, memory" in str(failed.exception)
    again = pd.read_csv("store.csv")
    pd.testing.assert_frame_equal(again.drop(columns="date"), frame.drop(columns="date"))
