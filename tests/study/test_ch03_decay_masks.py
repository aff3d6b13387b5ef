"""The rug shop of chapter 3, small: chosen customers, influence, what states are worth."""

import pytest

from mmm4rec_lite import InputError
from mmm4rec_lite.analysis import without_memory
from mmm4rec_lite.evaluation import user_history
from mmm4rec_lite.study import ch03_decay_masks as ch03
from mmm4rec_lite.study.shop import NO_TIME, STORE, World


@pytest.fixture(scope="module")
def shop():
    return World(STORE.replace(users=150))


@pytest.mark.parametrize("step", [3, 5, 7])
def test_an_interrupted_customer_was_away_once(shop, step):
    own = user_history(shop.dataset, ch03.interrupted(shop, step), hide=1).tail(8)
    gaps = own["timestamp"].diff().tolist()
    assert [i + 1 for i, gap in enumerate(gaps) if gap > ch03.ABSENCE] == [step] and len(own) == 8


def test_a_shop_without_such_customers_says_so():
    small = World(STORE.replace(users=20, absence=0.0))
    with pytest.raises(InputError, match="absence"):
        ch03.interrupted(small)
    with pytest.raises(InputError, match="one absence"):
        ch03.influences(small, small.fresh())


def test_influences_of_a_fresh_model(shop):
    table = ch03.influences(shop, shop.fresh(), users=3)
    assert table["history"].unique().tolist() == ["the absence", "2 hours instead"] and len(table) == 16
    assert (table["influence"] > 0).all() and (table["standard_error"] >= 0).all()
    plain = ch03.influences(shop, shop.fresh(NO_TIME), users=3)["influence"].tolist()
    assert plain[:8] == plain[8:]


def test_worth_knows_the_bests(shop):
    model = shop.fresh()
    table = ch03.worth(shop, {"fresh": model, "wiped": without_memory(model)}).set_index("system")["expected_ndcg@10"]
    assert table["the best with gaps"] > table["the best without gaps"] > table["fresh"]
    assert list(table.index[:2]) == ["fresh", "wiped"] and table["wiped"] != table["fresh"]
