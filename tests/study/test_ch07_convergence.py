"""Curves of training: the published logs, kept runs, and how long each takes."""

import pandas as pd
import pytest

from mmm4rec_lite import published
from mmm4rec_lite.study import ch07_convergence as ch07
from mmm4rec_lite.study.ch07_convergence import (
    measured_curves,
    measured_table4,
    passes,
    printed_table4,
    published_curves,
    reached,
    waiting,
)
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.utils.errors import InputError


def kept(values, system="mmm4rec+id", seed=0, epochs=None, **more):
    """ "figure4" lines as ``paper.convergence`` gives them."""
    epochs = epochs or range(1, len(values) + 1)
    best = max(values)
    return pd.DataFrame(
        [
            {
                "experiment": "figure4",
                "dataset": "shop",
                "system": system,
                "stage": "scratch",
                "protocol": "matched",
                "scale": "quick",
                "seed": seed,
                "run_id": f"{system}{seed}",
                "epoch": epoch,
                "ndcg@10": value,
                "recall@10": 2 * value,
                "recall@50": 3 * value,
                "ndcg@50": 1.5 * value,
                "training_seconds": 10.0 * epoch,
                "best": value == best,
                **more,
            }
            for epoch, value in zip(epochs, values)
        ]
    )


def test_published_curves_are_the_logs_with_their_best_epochs():
    curves = published_curves()
    assert len(curves) == len(published.logs()) and list(curves) == ch07.COLUMNS
    best = curves[curves["best"]].set_index(["panel", "curve"])["epoch"]
    ends = published.log_tests().set_index(["dataset", "with_id"])["best_epoch"]
    assert best["arts", "MMM4Rec + ID"] == ends["arts", True] == 5
    assert best["office", "MMM4Rec"] == ends["office", False] == 99 and len(best) == 10
    cut = curves[curves["cut"]][["panel", "curve"]].drop_duplicates()
    assert cut.to_numpy().tolist() == [["office", "MMM4Rec"]]  # it ran into the cap of 100 epochs
    one = published.logs(dataset="arts", with_id=True)
    last = curves[(curves["panel"] == "arts") & (curves["curve"] == "MMM4Rec + ID")]["seconds"].iloc[-1]
    assert last == pytest.approx(one["train_seconds"].sum())


def test_measured_curves_keep_every_epoch_once_and_know_where_training_was_cut():
    runs = pd.concat(
        [kept([0.1, 0.3, 0.2, 0.2, 0.2]), kept([0.1, 0.2, 0.3], "mmm4rec"), kept([0.1], "mmm4rec", seed=1)]
    )
    curves = measured_curves(pd.concat([runs, runs]))  # the same run kept twice
    assert len(curves) == len(runs) and set(curves["panel"]) == {"shop\nfrom scratch, matched, quick"}
    cut = curves.groupby(["curve", "seed"])["cut"].first()
    assert cut.to_dict() == {("MMM4Rec", 0): True, ("MMM4Rec", 1): True, ("MMM4Rec + ID", 0): False}


@pytest.mark.parametrize(
    "runs", [kept([0.1]).assign(experiment="table4"), kept([0.1]).assign(experiment="table5").drop(columns="epoch")]
)
def test_without_kept_curves_there_are_none(runs):
    curves = measured_curves(runs)
    assert curves.empty and reached(curves).empty and waiting(reached(curves)).empty and passes(curves).empty


def test_reached_counts_epochs_and_seconds_to_the_first_epoch_with_the_share():
    curves = measured_curves(kept([0.5, 0.89, 0.96, 0.9, 1.0]))
    table = reached(curves).set_index("share")
    assert table["epochs"].to_dict() == {0.9: 3, 0.95: 3, 0.99: 5, 1.0: 5}
    assert table["seconds"].to_dict() == {0.9: 30, 0.95: 30, 0.99: 50, 1.0: 50}
    assert table["level"][0.95] == pytest.approx(0.95) and table["cut"].all()
    assert waiting(table.reset_index()).iloc[0].to_dict() == {"90%": "3+", "95%": "3+", "99%": "5+", "100%": "5+"}


def test_reached_of_the_weakest_measures_all_by_the_level_that_all_reach():
    curves = measured_curves(pd.concat([kept([0.2, 0.4, 0.5]), kept([0.2, 0.1, 0.1], "mmm4rec")]))
    own, common = (reached(curves, (1.0,), of=of).set_index("curve")["epochs"] for of in ("own", "weakest"))
    assert own.to_dict() == {"MMM4Rec + ID": 3, "MMM4Rec": 1}
    assert common.to_dict() == {"MMM4Rec + ID": 1, "MMM4Rec": 1}
    with pytest.raises(InputError, match="'own' or 'weakest'"):
        reached(curves, of="others")


def test_passes_tells_when_one_curve_is_beyond_all_others():
    curves = measured_curves(pd.concat([kept([0.2, 0.4, 0.5]), kept([0.3, 0.1, 0.1], "mmm4rec")]))
    table = passes(curves).set_index("curve")
    assert table["epochs"]["MMM4Rec + ID"] == 2 and pd.isna(table["epochs"]["MMM4Rec"])
    published_ = passes(published_curves()).set_index(["panel", "curve"])["epochs"]
    assert published_["arts", "MMM4Rec + ID"] == 4 and published_["instruments", "MMM4Rec"] == 28
    assert pd.isna(published_["instruments", "MMM4Rec + ID"])


def test_table_4_as_printed_and_beside_it_the_run_without_ids():
    table = printed_table4().set_index(["dataset", "system"])
    assert table.loc[("arts", "MMSRec"), "seconds"] == pytest.approx(67 * 33.81)
    assert table.loc[("office", "MISSRec"), "epochs_ratio"] == pytest.approx(153 / 5)
    assert table.loc[("pantry", "MMM4Rec without ID (log)"), "epochs"] == 53
    without, rival = (table.xs(name, level="system") for name in ("MMM4Rec without ID (log)", "MMSRec"))
    assert (without["epochs"] > rival["epochs"]).all()  # what notebook 10's summary says of epochs, and of seconds
    assert set(without.index[without["seconds"] < rival["seconds"]]) == {"scientific", "instruments", "arts"}
    assert list(dict.fromkeys(table.index.get_level_values(0))) == list(published.TARGETS) and len(table) == 20


def test_table_4_measured_averages_over_seeds_and_counts_what_was_cut():
    line = {
        "experiment": "table4",
        "dataset": "shop",
        "protocol": "matched",
        "scale": "quick",
        "stage": "scratch",
        "system": "mmsrec",
        "epochs": 6,
        "ndcg@10": 0.1,
        "seconds_per_epoch": 2.0,
        "seconds_per_step": 0.1,
    }
    runs = pd.DataFrame(
        [
            {**line, "seed": seed, "run_id": f"{seed}", "best_epoch": best, "seconds_to_best": 2.0 * best}
            for seed, best in ((0, 6), (1, 2))
        ]
    )
    (row,) = measured_table4(runs).to_dict(orient="records")
    assert row["system"] == "MMSRec" and row["best_epoch"] == 4 and row["n_cut"] == 1 and row["n_seeds"] == 2
    assert measured_table4(runs.assign(experiment="comparison")).empty


def test_live_curves_train_from_scratch_by_the_live_setting(toy, random_features, monkeypatch, tmp_path):
    from mmm4rec_lite.models.protocol import SCALES, Protocol
    from mmm4rec_lite.runs import Task

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SCALES, "quick", dict(epochs=2, rows_per_epoch=64, patience=3))
    features = random_features(toy.items["item"])
    monkeypatch.setattr(presets, "film_task", lambda: Task(toy, features, Task(toy, features)))
    monkeypatch.setattr(
        presets,
        "sweep_options",
        lambda: dict(
            seeds=(0,), protocol=Protocol("matched", "quick", width=16, window=8), backend="threading", jobs=1
        ),
    )
    curves = ch07.live_curves(("sasrec", "sasrec_t"))
    assert curves["curve"].tolist() == ["SASRec"] * 2 + ["SASRec_T"] * 2 and curves["cut"].all()
    assert (curves["seconds"] > 0).all() and curves["panel"].str.contains("from scratch").all()
