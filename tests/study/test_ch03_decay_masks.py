"""The rug shop of notebook 03, small: pictures, chosen customers, influence, what states are worth."""

import pytest

from mmm4rec_lite import InputError
from mmm4rec_lite.analysis import without_memory
from mmm4rec_lite.evaluation import user_history
from mmm4rec_lite.study import ch03_decay_masks as ch03


@pytest.fixture(scope="module")
def shop():
    return ch03.shop(users=150)


def test_pictures_are_made_once_and_belong_to_the_same_items(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM4REC_CACHE", str(tmp_path))
    pictured = ch03.shop(users=40).pictured
    assert list(pictured.items["item"]) == list(ch03.shop(users=40).dataset.items["item"])
    assert all((pictured.folder / image).is_file() for image in pictured.items["image"])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert ch03.shop(users=40).pictured.items.equals(pictured.items)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before


@pytest.mark.parametrize("step", [3, 5, 7])
def test_an_interrupted_customer_was_away_once(shop, step):
    own = user_history(shop.dataset, shop.interrupted(step), hide=1).tail(8)
    gaps = own["timestamp"].diff().tolist()
    assert [i + 1 for i, gap in enumerate(gaps) if gap > ch03.ABSENCE] == [step] and len(own) == 8


def test_a_shop_without_such_customers_says_so():
    small = ch03.shop(users=20, absence=0.0)
    with pytest.raises(InputError, match="absence"):
        small.interrupted()
    with pytest.raises(InputError, match="one absence"):
        small.influences(small.fresh())


def test_influences_of_a_fresh_model(shop):
    table = shop.influences(shop.fresh(), users=3)
    assert table["history"].unique().tolist() == ["the absence", "2 hours instead"] and len(table) == 16
    assert (table["influence"] > 0).all() and (table["se"] >= 0).all()
    plain = shop.influences(shop.fresh(ch03.NO_TIME), users=3)["influence"].tolist()
    assert plain[:8] == plain[8:]


def test_worth_knows_the_bests(shop):
    model = shop.fresh()
    table = shop.worth({"fresh": model, "wiped": without_memory(model)}).set_index("system")["expected_ndcg@10"]
    assert table["the best with gaps"] > table["the best without gaps"] > table["fresh"]
    assert list(table.index[:2]) == ["fresh", "wiped"] and table["wiped"] != table["fresh"]
