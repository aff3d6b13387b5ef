"""Open questions on small stores: what is hidden stays hidden, gaps tell where they should, memory is measured."""

import pandas as pd
import pytest
import torch

from mmm4rec_lite.evaluation import metrics, rank_rows
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study import ch11_open_questions as ch11
from mmm4rec_lite.study import shop
from mmm4rec_lite.study.protocol.results import annotate_runs
from mmm4rec_lite.study.shop import STORE, World, shown
from mmm4rec_lite.utils.errors import InputError
from tests.support.rows import store_row

SMALL = STORE.replace(users=400)


@pytest.fixture(scope="module")
def world():
    return World(SMALL)


@pytest.fixture
def short(monkeypatch, tmp_path):
    """Stores of 150 customers and one epoch of training, kept below this test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ch11, "STORE", STORE.replace(users=150))
    monkeypatch.setattr(ch11, "SHORTEST", ch11.SHORTEST.replace(epochs=1, rows_per_epoch=256))
    monkeypatch.setattr(shop, "SCALES", {"quick": (shop.TRAINING.replace(epochs=1, rows_per_epoch=256), 1)})
    tiny = {}
    monkeypatch.setattr(ch11, "world", lambda seed=0: tiny.setdefault(seed, World(STORE.replace(users=150, seed=seed))))
    ch11.memory_worlds.cache_clear()
    yield
    ch11.memory_worlds.cache_clear()


def test_a_third_vector_holds_the_colour_that_the_others_hide(world):
    given = world.truth, world.dataset
    plain, bare = shown(*given), ch11.third_features(*given)
    colour = plain.text[:, ch11.COLOUR]
    for name in ("text", "image"):
        assert getattr(bare, name)[:, ch11.COLOUR].abs().sum() == 0 < getattr(plain, name)[:, :4].sum()
        keep = [i for i in range(16) if not 4 <= i < 8]
        assert torch.equal(getattr(bare, name)[:, keep], getattr(plain, name)[:, keep])
    both = ch11.third_features(*given, text=True, picture=True)
    assert torch.equal(both.text[:, 16:], colour) and torch.equal(both.image[:, 16:], colour)
    assert (colour.sum(1) == 1).all() and len({bare.source, both.source, plain.source}) == 3


def test_shapes_alone_tell_less_than_all_and_more_than_nothing(world):
    rows = world.split
    value = {
        knows: metrics(rank_rows(world.best(knows=knows), rows.sequences, rows.test, 8))["ndcg@10"]
        for knows in ("all", "shape", "colour")
    }
    plain = metrics(rank_rows(world.best(knows="picture"), rows.sequences, rows.test, 8))["ndcg@10"]
    assert value["all"] == pytest.approx(plain)  # pictures show both, truly
    assert max(value["shape"], value["colour"]) < value["all"] - 0.05
    with pytest.raises(InputError, match="shape, colour, not 'smell'"):
        world.best(knows="smell")


@pytest.mark.slow
def test_the_third_modality_is_measured_in_every_form_against_not_given(short):
    table = ch11.third_modality(seeds=1).set_index("system")
    assert list(table.index) == [*ch11.JOINED, ch11.LEARNED, "best by shapes alone", "best"]
    assert table["difference"][ch11.WITHOUT] == 0 and table["closed"]["best"] == pytest.approx(1)
    assert table["run_id"].nunique() == 5 and table["expected_ndcg@10"].max() == table["expected_ndcg@10"]["best"]


def test_parts_for_two_are_counted_on_the_model():
    model = MMM4Rec(
        ModelConfig(d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=8), torch.zeros(5, 6), torch.zeros(5, 7)
    )
    table = ch11.pair_parts(model).set_index("part")
    cross = sum(p.numel() for name, p in model.named_parameters() if ".ticossd." in name)
    assert table["n_parameters"]["TiCoSSD"] == cross > 0
    assert table["n_parameters"].sum() < sum(p.numel() for p in model.parameters())
    assert table["third_modality"].str.startswith("open").sum() == 2


def test_missing_keeps_each_runs_own_share():
    frame = pd.DataFrame(
        [
            {
                "dataset": "films",
                "system": "mmm4rec",
                "seed": seed,
                "missing_share": share,
                "ndcg@10": (1 + seed) * (0.1 - 0.05 * share),
                "run_id": f"c{seed}",
            }
            for seed in (0, 1)
            for share in (1.0, 0.0)
        ]
    )
    table = ch11.missing(annotate_runs("missing-modality", frame))
    assert table["missing_share"].tolist() == [0, 1, 0, 1] and table["kept_share"].tolist() == pytest.approx(
        [1, 0.5, 1, 0.5]
    )


@pytest.mark.slow
def test_losing_nothing_costs_nothing_wherever(short):
    table = ch11.lost_where(shares=(0, 1)).set_index(["given", "missing_share"])["expected_ndcg@10"]
    whole = table.xs(0.0, level="missing_share").drop("trained without pictures")
    assert whole.nunique() == 1
    lost = table.xs(1.0, level="missing_share")
    assert lost["lost in the history"] != whole.iloc[0] != lost["lost in the shop"]
    tiny = ch11.world()
    rows = ch11.without_images(tiny.trained(shop.NO_ID, shop.scale()[0]), tiny.dataset, k=4)
    assert [len(items) for items in rows.values()] == [4, 4, 4]


@pytest.mark.slow
def test_gaps_tell_in_the_store_where_they_should_and_not_in_the_other():
    sets = {f"{effect:g}": World(STORE.replace(users=1500, gap_effect=effect)).dataset for effect in (1.0, 0.0)}
    table = ch11.hits_by_gap(sets)
    assert table.groupby("data")["n_rows"].sum().tolist() == [3000, 3000] and table["gap_median_s"].min() > 0
    wide = table.pivot(index="part", columns="data", values="hit_share")
    error = 2 * table["standard_error"].max() * 2**0.5
    fall = wide.loc[1] - wide.loc[4]
    assert fall["1"] > 0.1 > error > abs(fall["0"])
    statistics = ch11.gap_table(
        annotate_runs(
            "time-benefit",
            pd.DataFrame(
                [{"dataset": "kept", "system": "tim4rec", "seed": 0, "ndcg@10": 0.1, "run_id": "c", "n_gaps": 7}]
            ),
        ),
        sets,
    )
    assert statistics["dataset"].tolist() == ["kept", "1", "0"] and statistics["n_gaps"].iloc[0] == 7
    assert statistics.iloc[1, 1:].equals(statistics.iloc[2, 1:])


def test_time_gains_have_one_sign_whoever_is_compared_with_whom():
    runs = annotate_runs(
        "table5", pd.DataFrame([{"dataset": "films", "system": "mmm4rec+id", "seed": 0, "ndcg@10": 0.1, "run_id": "c"}])
    )
    pairs = pd.DataFrame(
        [
            {
                "experiment": "table5",
                "dataset": "films",
                "system": "mmm4rec+id",
                "variant": "w/o Time",
                "against_system": "mmm4rec+id",
                "difference": -0.01,
                "standard_error": 0.002,
                "n_seeds": 3,
            },
            {
                "experiment": "time-benefit",
                "dataset": "films",
                "system": "tim4rec",
                "against_system": "tim4rec",
                "difference": 0.02,
                "standard_error": 0.002,
                "n_seeds": 3,
            },
            {
                "experiment": "time-benefit",
                "dataset": "films",
                "system": "mmm4rec+id",
                "against_system": "tim4rec",
                "difference": 0.5,
                "standard_error": 0.002,
                "n_seeds": 3,
            },
        ]
    )
    made = pd.DataFrame(
        [
            store_row(world="gap effect 1", seed=seed, difference=0.03 + seed * 0.02, standard_error=0.001)
            for seed in (0, 1)
        ]
    )
    table = ch11.time_gains(runs, pairs, made)
    assert table["difference"].tolist() == pytest.approx([0.01, 0.02, 0.04])
    assert table["standard_error"].iloc[2] == pytest.approx(0.01)  # the seeds', which is the larger
    assert ch11.time_gains(runs, None, made)["data"].tolist() == ["store, gap effect 1"]


@pytest.mark.slow
def test_memory_is_measured_from_start_to_trained(short):
    models, told = ch11.memory_models(), ch11.memory_batches()
    assert all(set(states) == {"start", "trained"} for states in models.values())
    half, (low, median, _) = ch11.half_life_table(models, told), ch11.HALF_LIVES
    assert len(half) == 2 * 2 * 3 * 2 and (half[low] <= half[median]).all() and (half[low] > 0).all()
    start = half[half["when"] == "start"].groupby("data")["head"].size()
    assert start.tolist() == [6, 6]
    worth = ch11.memory_worth(models).pivot(index="data", columns="system", values="expected_ndcg@10")
    assert (worth["the best"] > worth["the best, last 3 items"]).all()
    assert (worth["trained, states wiped"] != worth["trained"]).all()


def test_memory_curves_tell_the_best_from_the_trained():
    made = pd.DataFrame(
        [
            store_row(part="memory", system=who, kept=n, **{"expected_ndcg@10": n / 10})
            for who in ("best", "gap vector")
            for n in (1, 2)
        ]
    )
    table = ch11.memory_curves(made)
    assert table["system"].tolist() == ["best", "best", "trained", "trained"]
    assert table["expected_ndcg@10"].tolist() == [0.1, 0.2, 0.1, 0.2]
