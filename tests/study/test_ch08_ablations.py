"""Table 5 taken apart: counts of built models, printed cells, made-up runs whose noise and needs are known."""

from pathlib import Path

import pandas as pd
import pytest

from mmm4rec_lite.study import audit
from mmm4rec_lite.study import ch08_ablations as ch08
from mmm4rec_lite.study.protocol.results import annotate_runs
from mmm4rec_lite.study.shop import NO_TIME, STORE, World
from mmm4rec_lite.utils.errors import InputError
from tests.support.rows import store_row


def test_what_each_variant_lacks(small):
    table = ch08.anatomy(small, features=12).set_index("variant")
    more = table["more_parameters"]
    assert more["w/o PT"] == 0 and more["w/o Shared"] > 0 and more["2L"] > more["w/o Shared"]
    assert more["w/o Time"] < more["w/o AF"] < more["w/o LF"] < 0  # the time branch has the filters
    L = small.max_len // 2 + 1  # a complex linear map over the bins has two real ones
    assert more["w/o LF"] == -2 * (L * L + L) and table["changes"]["w/o Time"] == "time=False"


def test_printed_changes_are_those_of_the_paper():
    table = ch08.printed().set_index(["dataset", "variant"])
    assert table["value"]["scientific", "w/o Time"] == 0.0696 and set(table["numbers"]) == {"published"}
    assert table["difference"]["office", "2L"] == pytest.approx(0.0926 - 0.0906)
    assert table["change"]["scientific", "w/o PT"] == pytest.approx(0.0647 / 0.0724 - 1)
    wide = ch08.side_by_side(ch08.printed("recall@50"))
    assert list(wide.index) == ["w/o PT", "w/o Time", "w/o Shared", "w/o LF", "w/o AF", "2L"]
    assert list(wide) == ["published: Scientific", "published: Office"]


def stored(seeds=(0, 1, 2), error=0.005):
    """Runs and pairs: w/o Time loses 0.01 of 0.1 and swings by 0.001 from seed to seed; 1000 users."""
    rows = [
        {
            "dataset": "films",
            "system": "mmm4rec+id",
            "variant": variant,
            "stage": "finetune",
            "protocol": "matched",
            "scale": "quick",
            "seed": seed,
            "ndcg@10": value + 0.001 * (seed - 1) * (variant != ""),
            "n_test_rows": 1000,
            "run_id": f"{variant}{seed}",
        }
        for variant, value in {"": 0.1, "w/o Time": 0.09}.items()
        for seed in seeds
    ]
    pairs = pd.DataFrame(
        [
            {
                "experiment": "table5",
                "dataset": "films",
                "variant": "w/o Time",
                "against_variant": "",
                "difference": -0.01,
                "standard_error": error,
                "n_seeds": len(seeds),
            }
        ]
    )
    return annotate_runs("table5", pd.DataFrame(rows)), pairs


def test_measured_changes_stand_beside_the_printed_ones():
    runs, pairs = stored()
    own = ch08.measured(runs, pairs).set_index("variant")
    assert (
        set(own["numbers"]) == {"measured"}
        and set(own["data"]) == {"films, pre-trained"}
        and set(own["n_seeds"]) == {3}
    )
    assert own["change"]["w/o Time"] == pytest.approx(-0.1) and own["change_error"]["w/o Time"] == pytest.approx(0.05)
    assert pd.isna(own["change"]["MMM4Rec"])
    (line,) = ch08.beside(runs, pairs).to_dict(orient="records")
    assert line["printed_change"] == pytest.approx(-0.03867, abs=1e-5)
    assert line["measured_minus_printed"] == pytest.approx(-0.1 + 0.03867, abs=1e-5)
    assert line["change_error"] == pytest.approx(0.05) and line["data"] == "films, pre-trained"
    with pytest.raises(InputError, match="table5"):
        ch08.measured(runs.assign(experiment="figure2"), pairs)
    with pytest.raises(InputError, match="paired"):
        ch08.measured(runs, pairs.iloc[:0])


def test_what_it_takes_follows_from_both_parts_of_the_error():
    (line,) = ch08.detectable(*stored()).to_dict(orient="records")
    wanted = 0.1 * 0.0028 / 0.0724 / 2.841621  # 2 + 0.841621 standard errors
    assert line["detectable_change"] == pytest.approx(2.841621 * 0.05)
    assert line["n_seeds"] == pytest.approx(0.001**2 / wanted**2)
    assert line["n_users"] == pytest.approx(1000 * (0.005**2 - 0.001**2 / 3) / wanted**2, abs=1)
    (alone,) = ch08.detectable(*stored(seeds=(0,))).to_dict(orient="records")
    assert pd.isna(alone["n_seeds"]) and alone["n_users"] == pytest.approx(1000 * 0.005**2 / wanted**2, abs=1)


def test_noise_is_that_of_a_difference_between_two_runs():
    orders = pd.DataFrame(
        {
            "order": ["order of the file", "order by chance"] * 2,
            "seed": [0, 0, 1, 1],
            "ndcg@10": [0.10, 0.20, 0.10, 0.202],
        }
    )
    table = ch08.noise(orders).set_index("differs")
    assert table["two_runs_differ"]["the seed"] == 0 and table["n_runs"].tolist() == [2, 2]
    assert table["two_runs_differ"]["the seed and the order inside a day"] == pytest.approx(0.002)
    assert "differ by 0.0020 " in ch08.beyond(orders) and "; 0 of the 10 printed" in ch08.beyond(orders)
    assert "; 2 of the 12 printed" in ch08.beyond(orders, without=())  # w/o PT, both domains
    width, label = ch08.band(orders, "Shoes")
    assert width == pytest.approx(0.004) and "Shoes" in label


def test_the_stored_audit_gives_the_same_count_as_its_own_sentence():
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "audit-instruments.json"
    (finding,) = (f for f in audit.load(path)[0] if f.name == "same-day-order")
    count = ch08.beyond(finding.table).partition("; ")[2].split()[0]
    assert f"{count} are larger than twice that" in finding.evidence


def test_planted_compares_models_on_the_same_customers():
    shop = World(STORE.replace(users=150))
    table = ch08.planted(shop, {"MMM4Rec": shop.fresh(), "w/o Time": shop.fresh(NO_TIME)}).set_index("form")
    assert list(table.index) == ["MMM4Rec", "w/o Time", "the best without gaps", "the best with gaps"]
    assert table["change"]["MMM4Rec"] == 0 and table["change"]["the best with gaps"] > 0
    assert (table["standard_error"].iloc[1:] > 0).all()


def test_time_in_the_stored_runs_of_the_demo_store():
    common = dict(world="gap effect 1", store='{"gap_effect": 1.0}', standard_error=0.001)
    frame = pd.DataFrame(
        [
            store_row(**common, seed=seed, system=name, difference=value - 0.4, **{"expected_ndcg@10": value})
            for seed in (0, 1)
            for name, value in (("no time", 0.4), ("revived time branch", 0.5 + 0.02 * seed))
        ]
    )
    (line,) = ch08.stored_time(frame).to_dict(orient="records")
    assert line["gap_effect"] == 1 and line["n_seeds"] == 2 and line["change"] == pytest.approx(-0.11 / 0.51)
    assert line["change_error"] == pytest.approx(0.01 / 0.51)  # over seeds: the larger one
