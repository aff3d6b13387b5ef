"""How much history is kept: lengths of made-up histories, curves of made-up runs, weights in small models."""

import pandas as pd
import pytest
import torch

from mmm4rec_lite.analysis import without_memory
from mmm4rec_lite.evaluation import metrics, model_scorer, rank_rows
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study import ch06_truncation as ch06
from mmm4rec_lite.study.protocol.results import annotate_runs
from mmm4rec_lite.utils.errors import InputError
from tests.support.rows import store_row

DAY = 86400


def runs(values, seeds=(0, 1)):
    rows = [
        {
            "dataset": "d",
            "system": "sasrec",
            "protocol": "matched",
            "scale": "quick",
            "seed": seed,
            "ndcg@10": value * (1 + 0.1 * seed * (kept == 5)),
            "max_len": kept,
            "run_id": f"{kept}{seed}",
        }
        for kept, value in values.items()
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def test_curves_are_shares_of_the_same_seeds_longest_window():
    frame = runs({20: 0.2, 5: 0.1})
    for given in (frame, annotate_runs("figure2", frame)):
        table = ch06.curves(given).set_index("kept")
        assert table["ndcg_share"].to_dict() == pytest.approx({5: 0.525, 20: 1}) and set(table["n_seeds"]) == {2}
        assert table["ndcg_share_spread"][5] == pytest.approx(0.05 * 2**-0.5) and table["ndcg_share_spread"][20] == 0
    one = ch06.curves(runs({20: 0.2, 5: 0.1}, seeds=(0,)))
    assert one["ndcg_share_spread"].isna().all()
    with pytest.raises(InputError, match="figure2"):
        ch06.curves(annotate_runs("table5", frame))


def test_differences_to_the_longest_window_are_within_a_system():
    pair = dict(experiment="figure2", dataset="d", scale="quick", difference=0.1, n_seeds=3, standard_error=0.01)
    pairs = pd.DataFrame(
        [
            {**pair, "system": "sasrec", "max_len": 5, "against_system": "sasrec", "against_max_len": 20},
            {**pair, "system": "mmm4rec+id", "max_len": 5, "against_system": "sasrec", "against_max_len": 20},
            {**pair, "system": "sasrec", "max_len": 20, "against_system": "mmm4rec+id", "against_max_len": 20},
            {**pair, "system": "sasrec", "max_len": 5, "against_system": "sasrec", "against_max_len": 10},
        ]
    )
    assert ch06.against_whole(pairs)["form"].tolist() == ["d: SASRec, 5 kept"]


@pytest.fixture(scope="module")
def model(toy, small, random_features):
    torch.manual_seed(0)
    return MMM4Rec.from_catalogue(small, random_features(toy.items["item"]).catalogue(toy.items["item"])).eval()


def test_shown_less_a_model_ranks_as_with_a_shorter_batch(model, toy_split):
    table = ch06.ndcg_by_kept(model, toy_split, (8, 2)).set_index("kept")
    for kept in (2, 8):
        ranks = rank_rows(model_scorer(model), toy_split.sequences, toy_split.test, kept)
        assert table["ndcg@10"][kept] == pytest.approx(metrics(ranks)["ndcg@10"])
    assert table["difference"][8] == 0 and table["standard_error"][2] > 0
    assert table["difference"][2] == pytest.approx(table["ndcg@10"][2] - table["ndcg@10"][8])


def test_weights_add_up_to_everything_and_grow(model, toy_split):
    table = ch06.state_weights(model, toy_split, users=5)
    assert table["place"].unique().tolist() == ["text", "image", "fusion"]
    whole = table[table["kept"] == model.config.max_len]["weight_share"]
    assert whole.tolist() == pytest.approx([1] * len(whole))
    own = table[(table["place"] == "text") & (table["head"] == "mean")]["weight_share"]
    assert own.is_monotonic_increasing and own.iloc[0] > 0
    assert len(table) == 3 * (model.config.n_heads + 1) * model.config.max_len


def test_forgetting_at_every_step_leaves_the_latest_item_alone(model, toy_split):
    table = ch06.state_weights(without_memory(model), toy_split, users=5, places=("text", "fusion"))
    assert len(table["place"].unique()) == 2 and table[table["kept"] == 1]["weight_share"].min() > 0.999


def test_planted_says_how_many_items_are_needed():
    values = {"best": (0.1, 0.29, 0.3), "gap vector": (0.1, 0.12, 0.2)}
    rows = [
        store_row(part="memory", seed=seed, system=name, kept=kept, **{"expected_ndcg@10": value})
        for name, found in values.items()
        for kept, value in zip((1, 5, 12), found)
        for seed in (0, 1)
    ]
    table = ch06.planted(pd.DataFrame(rows))
    assert table.groupby("system")["needed"].first().to_dict() == {"best": 5, "gap vector": 12}
    assert table.set_index(["system", "kept"])["gained_share"]["best", 5] == pytest.approx(0.95)
