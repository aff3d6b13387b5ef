"""The field beside one another, from made-up runs whose order is known, and live on the toy."""

from itertools import product

import pandas as pd
import pytest

from mmm4rec_lite import published
from mmm4rec_lite.models.protocol import SCALES, Protocol
from mmm4rec_lite.models.registry import MODELS
from mmm4rec_lite.runs import Task
from mmm4rec_lite.study import ch09_comparison as ch09
from mmm4rec_lite.study.protocol import hybrids
from mmm4rec_lite.study.protocol.experiments import BASELINES
from mmm4rec_lite.study.protocol.results import annotate_runs, caption
from mmm4rec_lite.viz.explorers import block_exchange

NAMES = ["sasrec", "mamba4rec", "bsarec", "sasrec_t", "mmsrec", "mmm4rec+id"]


def runs(means, dataset="scientific", seeds=(0, 1), floors=(0.03, 0.06), best=6, reasons=None):
    """Comparison runs, name -> NDCG@10, the second seed 0.002 higher; ``floors``: popularity, Markov chain."""
    rows = [
        {
            "dataset": dataset,
            "system": name,
            "ndcg@10": mean + 0.002 * seed,
            "seed": float(seed),
            "scale": "quick",
            "protocol": "matched",
            "d_model": 64.0,
            "epochs": 6,
            "best_epoch": best,
            "seconds": 10.0,
            "pretraining_seconds": 5.0,
            "n_parameters": 100,
            "run_id": f"{name}{seed}{dataset}",
        }
        for name, mean in means.items()
        for seed in seeds
    ]
    rows += [{"dataset": dataset, "system": name, "ndcg@10": value} for name, value in zip(BASELINES, floors)]
    frame = pd.DataFrame(rows)
    frame.attrs["left_out"] = {(name, ""): why for name, why in (reasons or {}).items()}
    return annotate_runs("comparison", frame)


FIRST = dict(zip(NAMES, (0.05, 0.04, 0.02, 0.07, 0.01, 0.065)))


def test_every_system_has_a_family_and_says_what_it_reads():
    table = ch09.family((16,))
    assert set(table["name"]) == {s.title for s in MODELS.values()} and set(ch09.FAMILIES) <= set(MODELS)
    assert (table["n_parameters_16"] > 0).all() and table["family"].is_monotonic_increasing
    assert [ch09.reads(name) for name in ("sasrec", "tim4rec_t", "mmm4rec+id")] == [
        "ids",
        "texts",
        "ids + texts + pictures",
    ]


def test_standings_are_means_over_seeds_in_order_with_the_floor_between():
    table = ch09.leaderboard(pd.concat([runs(FIRST), runs(FIRST, "office", seeds=(0,))]))
    assert list(table["dataset"].unique()) == ["scientific", "office"]
    here = table[table["dataset"] == "scientific"]
    assert here["ndcg@10"].is_monotonic_decreasing and list(here["name"].head(3)) == [
        "SASRec_T",
        "MMM4Rec + ID",
        "Markov chain",
    ]
    top = here.iloc[0]
    assert (top["ndcg@10"], top["least"], top["most"], top["n_seeds"]) == pytest.approx((0.071, 0.07, 0.072, 2))
    assert top["place"] == 1 and here.loc[here["reads"] == "counts", "place"].isna().all()
    assert set(table.loc[table["dataset"] == "office", "n_seeds"]) == {1}
    assert caption(runs(FIRST)) == "measured: quick scale, matched protocol, width 64, seeds 0, 1"
    assert caption(runs(FIRST, seeds=(0,))).endswith("width 64, seed 0")


def test_published_and_measured_stand_side_by_side_where_both_are():
    table = ch09.beside_published(runs(FIRST), tables=(2,)).set_index("name")
    cell = published.paper(2, dataset="scientific", row="ndcg@10", column="SASRec")["value"].item()
    assert set(table.index) == {"SASRec", "Mamba4Rec", "BSARec", "MMM4Rec + ID"}
    assert table["published"]["SASRec"] == cell
    assert table["difference"]["SASRec"] == pytest.approx(0.051 - cell)
    assert table["measured_place"].to_dict() == {"MMM4Rec + ID": 1, "SASRec": 2, "Mamba4Rec": 3, "BSARec": 4}
    assert ch09.beside_published(runs(FIRST, "no such set")).empty


def test_orders_agree_with_themselves_and_not_with_their_reverse():
    upside = {name: 0.1 - value for name, value in FIRST.items()}
    table = ch09.agreement(pd.concat([runs(FIRST), runs(upside, "office", seeds=(0,))])).set_index("between")
    assert table["correlation"]["data sets"] == pytest.approx(-1)
    assert table["correlation"]["seeds"] == pytest.approx(1)
    assert table["n_systems"]["seeds"] == 6 and table["chance_deviation"]["seeds"] == pytest.approx(5**-0.5)
    few = ch09.agreement(runs(dict(list(FIRST.items())[:3])))
    assert few.empty  # three systems are no order


def test_who_is_above_the_floor_and_whose_training_was_cut():
    table = ch09.beats_baselines(runs(FIRST)).set_index("baseline")
    assert table["n_better"].to_dict() == {"popularity": 4, "Markov chain": 2}
    assert table["not_better"]["popularity"] == "BSARec, MMSRec"
    assert table["stopped_early_share"]["popularity"] == 1
    done = ch09.beats_baselines(runs(FIRST, best=1)).set_index("baseline")
    assert done["stopped_early_share"]["popularity"] == 0


def test_what_is_left_out_has_a_reason(monkeypatch):
    monkeypatch.setitem(ch09.COLUMNS, 2, {name: title for name, title in ch09.COLUMNS[2].items() if name != "fdsa"})
    table = ch09.left_out(runs(FIRST, reasons={"tim4rec": "no time", "tim4rec_t": "no time"}))
    assert table.iloc[0].to_dict() == {"where": "scientific", "why": "no time", "names": "TiM4Rec, TiM4Rec_T"}
    unbuilt = table[table["where"] == "Table 2"].iloc[0]
    assert "FDSA" in unbuilt["names"] and "MMM4Rec" not in unbuilt["names"] and "improvement" not in unbuilt["names"]


def test_cost_counts_pre_training_on_the_usual_device_with_the_spread_over_seeds():
    table = ch09.cost(runs(FIRST))
    assert set(table["seconds"]) == {15.0} and len(table) == 6
    spread = runs(FIRST).groupby("system")["ndcg@10"].std()
    assert table.set_index("system")["seed_spread"].to_dict() == pytest.approx(spread[table["system"]].to_dict())
    made = runs(FIRST)
    slow = made["system"] == "sasrec"  # one of six, on another device than the rest
    mixed = ch09.cost(made.assign(device=slow.map({True: "cpu", False: "cuda"})))
    assert set(table["system"]) - set(mixed["system"]) == {"sasrec"}


@pytest.fixture(scope="module")
def task(toy, random_features):
    return Task(toy.select("mugs"), random_features(toy.items["item"]))


def test_choices_and_suggestions_of_a_trained_system(task, tmp_path, monkeypatch):
    monkeypatch.setitem(SCALES, "quick", dict(epochs=1, rows_per_epoch=128, patience=3))
    monkeypatch.chdir(tmp_path)
    protocol = Protocol("matched", "quick", width=16, window=8)
    table = ch09.choices(task, others=5, protocol=protocol)
    wide = table.pivot(index="choice", columns="name", values="ndcg@10")
    assert (wide.loc["against 5 random items"] > wide.loc["as here: all items, history kept"]).all()
    assert (wide.loc["history removed"] >= wide.loc["as here: all items, history kept"]).all()
    assert wide["SASRec"].isna().sum() == 1  # nobody is trained anew
    user = task.dataset.interactions["user"].iloc[-1]
    seen, came, lists = ch09.suggestions(task, ["sasrec", "sasrec_t"], user, k=3, protocol=protocol)
    assert list(lists) == ["SASRec", "SASRec_T"] and len(came) == 1
    for items in lists.values():
        assert len(items) == 3 and not set(items["item"]) & (set(seen["item"]) - set(came["item"]))


def exchanged():
    """Two blocks over two encoders, the first of which is the reference."""
    lines = [("a", "x", 0.1, 0.0, 0.0, False), ("a", "y", 0.12, 0.02, 0.005, True), ("b", "x", 0.1, 0.001, 0.01, False)]
    lines.append(("b", "y", 0.2, 0.1, 0.01, True))
    return pd.DataFrame(lines, columns=["sequence", "items", "ndcg@10", "difference", "standard_error", "significant"])


def test_a_block_is_exchanged_and_its_worth_is_told():
    explorer = block_exchange(exchanged())
    assert "<b>a over x</b>: test NDCG@10 0.1000, SASRec itself" in explorer.numbers.value
    first = explorer.image.value
    explorer.sequence.value = "b"
    assert "+0.0010 against SASRec, standard error 0.0100: inconclusive" in explorer.numbers.value
    explorer.items.value = "y"
    assert "+0.1000 against SASRec, standard error 0.0100: significant" in explorer.numbers.value
    assert explorer.image.value != first and not explorer.error.value
    assert [axis.get_title("left") for axis in explorer.figure.axes] == ["over y", "b"]


def test_the_table_of_hybrids_has_all_and_stars_what_is_significant():
    table = ch09.hybrid_table(exchanged())
    assert table.to_dict() == {"a": {"x": "0.100", "y": "0.120 *"}, "b": {"x": "0.100", "y": "0.200 *"}}


def test_the_stored_hybrids_are_all_pairs():
    grid = ch09.stored_hybrids()
    assert [*grid[["sequence", "items"]].itertuples(index=False, name=None)] == [
        *product(hybrids.BLOCKS, hybrids.ITEMS)
    ]
