"""The own shop: shipped files are what the program writes; the chapter says what was measured."""

import filecmp

import pytest

from mmm4rec_lite.analysis import reasons
from mmm4rec_lite.data import import_tables
from mmm4rec_lite.evaluation import metrics, rank_model
from mmm4rec_lite.runs import Task, run
from mmm4rec_lite.study import ch13_own_shop as ch13
from mmm4rec_lite.utils.files import workspace
from tests.support import own_shop


@pytest.fixture(scope="module")
def task(random_features):
    shop = import_tables(ch13.shop_folder() / "orders.csv", ch13.shop_folder() / "articles.csv", name="own_shop")
    return Task(shop, random_features(shop.items["item"]))


@pytest.fixture(scope="module")
def done(task, tmp_path_factory):
    return run(task, "mmm4rec", out=tmp_path_factory.mktemp("shop") / "run", epochs=1, progress=False)


def test_the_shipped_files_are_those_that_the_program_writes(tmp_path):
    own_shop.make_shop(tmp_path)
    names = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")]
    assert len(names) == 64 and workspace() / "data_samples" / "own_shop" == ch13.shop_folder()
    assert filecmp.cmpfiles(tmp_path, ch13.shop_folder(), names, shallow=False)[1:] == ([], [])


def test_the_import_says_what_it_dropped(task):
    told = task.dataset.info["import"]
    assert "'item not among the items': 6" in str(told) and "'no time': 3" in str(told)
    assert (task.dataset.interactions["user"].nunique(), len(task.dataset.items)) == (240, 72)


def test_the_table_has_the_runs_own_number_and_signed_differences(task, done):
    table = ch13.beside_counting(done, task).set_index("system")
    assert table.loc["this run", "ndcg@10"] == pytest.approx(done.record["ndcg@10"])
    for name in ("popularity", "Markov chain"):
        row = table.loc[name]
        assert row["difference"] == pytest.approx(done.record["ndcg@10"] - row["ndcg@10"])
    assert set(table["reading"]) <= {"ahead", "behind", "inconclusive", "-"}


def test_the_figure_shows_a_bar_per_past_item_and_per_part(task, done):
    found = reasons(done.model, task, "C100")
    parts, effects = ch13.plot_reasons(found).axes
    assert len(effects.patches) == len(found.history) and len(parts.patches) == 2
    assert [bar.get_width() for bar in effects.patches] == pytest.approx(found.history["effect"].tolist())


def test_the_shipped_model_is_small_and_ranks_as_its_record_says():
    done, task = ch13.trained()
    sizes = [path.stat().st_size for path in (ch13.shop_folder() / "trained").iterdir()]
    assert sum(sizes) < 700_000 and done.record["ndcg@10"] > 0.55
    again = metrics(rank_model(done.model, task.rows.sequences, task.rows.test))
    assert again["ndcg@10"] == pytest.approx(done.record["ndcg@10"], abs=0.005)
