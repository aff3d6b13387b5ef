"""The verdict's numbers, from made-up runs whose order is known."""

import pandas as pd
import pytest

from mmm4rec_lite.models.protocol import MATCHED
from mmm4rec_lite.study import ch14_verdict as ch14
from mmm4rec_lite.study.protocol.results import PAIRS

PLACE = {"experiment": "comparison", "subset": "all", "split": "leave_one_out"}
PLACE |= {"protocol": "matched", "scale": "converged"}


def runs(dataset, means, best=3):
    """Two seeds of each system (name -> NDCG@10), the second a hundredth higher, 10 epochs after the ``best``."""
    return pd.DataFrame(
        [
            PLACE
            | {"dataset": dataset, "system": name, "seed": float(seed), "ndcg@10": mean + 0.01 * seed}
            | {
                "best_epoch": best,
                "epochs": 3 + MATCHED.patience,
                "n_test_rows": 100,
                "run_id": f"{dataset}{name}{seed}",
            }
            for name, mean in means.items()
            for seed in (0, 1)
        ]
        + [PLACE | {"dataset": dataset, "system": "markov_chain", "ndcg@10": 0.9}]
    )


def pair(dataset, difference, error, system="mmm4rec", against="fdsa"):
    line = PLACE | {"dataset": dataset, "system": system, "variant": "", "against_system": against}
    line |= {"against_variant": "", "difference": difference, "standard_error": error, "n_seeds": 2}
    return pd.DataFrame([line]).reindex(columns=PAIRS)


SHOP = runs("shop", {"mmm4rec": 0.3, "fdsa": 0.4, "sasrec": 0.2})


def test_only_data_whose_runs_all_ended_by_patience_count():
    cut = runs("cut", {"mmm4rec": 0.3, "sasrec": 0.2}, best=4)
    without = runs("without", {"fdsa": 0.3, "sasrec": 0.2})
    assert set(ch14.finished(pd.concat([SHOP, cut, without]))["dataset"]) == {"shop"}
    assert ch14.finished(SHOP.assign(experiment="table5")).empty


def test_mmm4rec_stands_beside_the_strongest_and_beside_sasrec():
    table = ch14.standing(SHOP, pair("shop", -0.1, 0.02))
    assert [*table["against"]] == ["FDSA", "SASRec"]  # neither itself nor what only counts
    first, second = table.iloc[0], table.iloc[1]
    assert (first["difference"], first["standard_error"], first["significant"]) == (-0.1, 0.02, True)
    assert first["would_have_shown"] == pytest.approx(2.8416 * 0.02, rel=1e-4)
    assert second["difference"] == pytest.approx(0.1) and second["standard_error"] > 0.04  # a bound: no users paired
    assert first["ndcg@10"] == pytest.approx(0.305) and second["against_ndcg@10"] == pytest.approx(0.205)


def test_sasrec_as_the_strongest_stands_there_once():
    table = ch14.standing(runs("shop", {"mmm4rec+id": 0.3, "sasrec": 0.2}), pair("other", 0, 1))
    assert table[["name", "against"]].values.tolist() == [["MMM4Rec + ID", "SASRec"]]
