"""Table 5 taken apart: counts of built models, printed cells, made-up runs whose noise and needs are known."""

from pathlib import Path

import pandas as pd
import pytest

from mmm4rec_lite.study import audit
from mmm4rec_lite.study import ch08_ablations as ch08
from mmm4rec_lite.study.protocol.results import lines
from mmm4rec_lite.study.shop import NO_TIME, STORE, World
from mmm4rec_lite.utils.errors import InputError
from tests.support.rows import store_row


def test_what_each_variant_lacks(small):
    table = ch08.anatomy(small, features=12).set_index("variant")
    more = table["against the whole"]
    assert more["w/o PT"] == 0 and more["w/o Shared"] > 0 and more["2L"] > more["w/o Shared"]
    assert more["w/o Time"] < more["w/o AF"] < more["w/o LF"] < 0  # the time branch has the filters
    L = small.max_len // 2 + 1  # a complex linear map over the bins has two real ones
    assert more["w/o LF"] == -2 * (L * L + L) and table["config"]["w/o Time"] == "time=False"


def test_printed_changes_are_those_of_the_paper():
    table = ch08.printed().set_index(["source", "variant"])
    assert table["value"]["published: Scientific", "w/o Time"] == 0.0696
    assert table["difference"]["published: Office", "2L"] == pytest.approx(0.0926 - 0.0906)
    assert table["change (%)"]["published: Scientific", "w/o PT"] == pytest.approx(100 * (0.0647 / 0.0724 - 1))
    wide = ch08.side_by_side(ch08.printed("recall@50"))
    assert list(wide.index) == ["w/o PT", "w/o Time", "w/o Shared", "w/o LF", "w/o AF", "2L"] and wide.shape == (6, 2)


def stored(seeds=(0, 1, 2), error=0.005):
    """Runs and pairs: w/o Time loses 0.01 of 0.1 and swings by 0.001 from seed to seed; 1000 users."""
    rows = [
        {
            "dataset": "films",
            "label": label,
            "system": "mmm4rec+id",
            "stage": "finetune",
            "setting": "matched",
            "scale": "quick",
            "seed": seed,
            "ndcg@10": value + 0.001 * (seed - 1) * (label != "MMM4Rec"),
            "n_test_rows": 1000,
            "config": f"{label}{seed}",
        }
        for label, value in {"MMM4Rec": 0.1, "w/o Time": 0.09}.items()
        for seed in seeds
    ]
    pairs = pd.DataFrame(
        [
            {
                "experiment": "table5",
                "dataset": "films",
                "form": "w/o Time",
                "against": "MMM4Rec",
                "difference": -0.01,
                "standard_error": error,
                "seeds": len(seeds),
            }
        ]
    )
    return lines("table5", pd.DataFrame(rows)), pairs


def test_measured_changes_stand_beside_the_printed_ones():
    runs, pairs = stored()
    own = ch08.measured(runs, pairs).set_index("variant")
    assert own["source"].unique().tolist() == ["measured: films, pre-trained"] and set(own["seeds"]) == {3}
    assert own["change (%)"]["w/o Time"] == pytest.approx(-10) and own["error (%)"]["w/o Time"] == pytest.approx(5)
    (line,) = ch08.beside(runs, pairs).to_dict(orient="records")
    assert line["published, Scientific (%)"] == pytest.approx(-3.867, abs=1e-3)
    assert line["measured - published"] == pytest.approx(-10 + 3.867, abs=1e-3)
    assert line["2 standard errors"] == pytest.approx(10) and line["measured on"] == "films, pre-trained"
    with pytest.raises(InputError, match="table5"):
        ch08.measured(runs.assign(experiment="figure2"), pairs)
    with pytest.raises(InputError, match="paired"):
        ch08.measured(runs, pairs.iloc[:0])


def test_what_it_takes_follows_from_both_parts_of_the_error():
    (line,) = ch08.detectable(*stored()).to_dict(orient="records")
    wanted = 0.1 * 0.0028 / 0.0724 / 2.8
    assert line["can be told (%)"] == pytest.approx(2.8 * 5)
    assert line["seeds"] == pytest.approx(0.001**2 / wanted**2)
    assert line["users"] == pytest.approx(1000 * (0.005**2 - 0.001**2 / 3) / wanted**2, abs=1)
    (alone,) = ch08.detectable(*stored(seeds=(0,))).to_dict(orient="records")
    assert pd.isna(alone["seeds"]) and alone["users"] == pytest.approx(1000 * 0.005**2 / wanted**2, abs=1)


def test_noise_is_that_of_a_difference_between_two_runs():
    orders = pd.DataFrame(
        {
            "order": ["order of the file", "order by chance"] * 2,
            "seed": [0, 0, 1, 1],
            "ndcg@10": [0.10, 0.20, 0.10, 0.202],
        }
    )
    table = ch08.noise(orders).set_index("what differs")
    assert table["two runs differ by"]["the seed"] == 0 and table["runs"].tolist() == [2, 2]
    assert table["two runs differ by"]["the seed and the order inside a day"] == pytest.approx(0.002)
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
    assert table["change (%)"]["MMM4Rec"] == 0 and table["change (%)"]["the best with gaps"] > 0
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
    assert line["gap effect"] == 1 and line["seeds"] == 2 and line["change (%)"] == pytest.approx(-100 * 0.11 / 0.51)
    assert line["error (%)"] == pytest.approx(100 * 0.01 / 0.51)  # over seeds: the larger one
