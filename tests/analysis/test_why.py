"""Why an item is recommended: leave-one-out by hand, parts that add up, clear lines for what cannot be said."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from mmm4rec_lite.analysis import compare_runs, contributions, reasons
from mmm4rec_lite.data import batch
from mmm4rec_lite.evaluation import ndcg_per_row, recommend, recommend_after, request, user_history
from mmm4rec_lite.features import extract, load_encoder
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.runs import Protocol, Task, pretrain, run
from mmm4rec_lite.utils.errors import InputError
from tests.support.models import NAMES, drawn, made

USER = "user07"


@pytest.fixture(scope="module")
def task(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    return Task(toy, extract(toy, load_encoder("random"), folder / "f.safetensors", progress=False))


@pytest.fixture(scope="module")
def model(task, small):
    torch.manual_seed(0)
    return MMM4Rec.from_catalogue(small.replace(item_bias=True), task.catalogue)


@pytest.mark.parametrize("name", NAMES)
def test_an_effect_is_the_score_less_that_of_the_history_without_the_item(name, toy):
    model = made(name, drawn(len(toy.items) + 1))
    past = user_history(toy, USER).tail(6)
    effects = contributions(model, request(model, toy, past))
    assert effects.shape == (6, len(toy.items) + 1)
    scores = lambda rows: recommend_after(model, toy, rows, 100, seen=True).set_index("item")["score"]
    for s in (0, 3, 5):
        expected = scores(past) - scores(past.drop(index=past.index[s]))
        torch.testing.assert_close(
            effects[s, 1:], torch.tensor(expected[toy.items["item"]].to_numpy()), rtol=1e-4, atol=1e-5
        )


def test_the_best_recommendation_is_explained_by_default(model, task, toy):
    best, found = recommend(model, toy, USER, k=1).iloc[0], reasons(model, task, USER)
    assert (found.item, found.title, found.rank) == (best["item"], best["title"], 1)
    assert found.score == pytest.approx(best["score"]) == pytest.approx(sum(found.parts.values()))
    past = user_history(toy, USER)
    assert found.history["item"].tolist() == past["item"].tail(8).tolist()
    assert found.candidates == len(toy.items) - past["item"].nunique()
    assert found.history["share"].abs().sum() == pytest.approx(1) and found.history["days_before"].iloc[-1] == 0
    assert f"latest 8 of {len(past)}" in found.notes[0]


def test_another_items_rank_is_that_of_recommend(model, task, toy):
    wanted = recommend(model, toy, USER, k=20).iloc[16]
    found = reasons(model, task, USER, wanted["item"])
    assert (found.rank, found.score) == (17, pytest.approx(wanted["score"]))
    without = user_history(toy, USER).tail(8)
    without = without.drop(index=without.index[2])
    left = recommend_after(model, toy, without, 100, seen=True)
    own = set(user_history(toy, USER)["item"])
    rest = left[~left["item"].isin(own)]["item"].tolist()
    assert found.history["rank_without"][2] == rest.index(wanted["item"]) + 1


def test_the_nearest_item_is_that_of_the_frozen_features(model, task, toy):
    pictured = toy.items["item"][task.catalogue.has_image[1:].numpy()].iloc[3]
    found = reasons(model, task, USER, pictured)
    rows = {item: i + 1 for i, item in enumerate(toy.items["item"])}
    text, image = task.catalogue.text, task.catalogue.image
    for kind, table in (("text", text), ("image", image)):
        cosines = torch.cosine_similarity(table[[rows[i] for i in found.history["item"]]], table[[rows[found.item]]])
        assert found.history[f"{kind}_cosine"].dropna().tolist() == pytest.approx(
            cosines[~found.history[f"{kind}_cosine"].isna().to_numpy()].tolist()
        )
        assert found.nearest(kind)[f"{kind}_cosine"] == found.history[f"{kind}_cosine"].max()


def test_what_cannot_be_said_is_said_in_a_line(model, task, toy, small):
    bare = toy.items["item"][~task.catalogue.has_image[1:].numpy()].iloc[0]
    found = reasons(model, task, "user00", bare)
    assert found.nearest("image") is None and "This item has no picture" in " ".join(found.notes)
    assert found.nearest("text") is not None

    single = reasons(model, task, USER, hide=len(user_history(toy, USER)) - 1)
    assert len(single.history) == 1 and "nothing to leave out" in " ".join(single.notes)
    assert single.history[["effect", "share", "rank_without"]].isna().all(axis=None)
    with pytest.raises(InputError, match="one of two or more"):
        contributions(model, request(model, toy, user_history(toy, USER).head(1)))

    seen = user_history(toy, USER)["item"].iloc[-1]
    assert "in the user's history" in " ".join(reasons(model, task, USER, seen).notes)
    sasrec = made("sasrec", drawn(len(toy.items) + 1))
    found = reasons(sasrec, task, USER)
    assert found.parts == {} and "no sum" in found.notes[-1]
    weighted = MMM4Rec.from_catalogue(small.replace(fusion="shared"), task.catalogue)
    assert "weighs text and picture" in reasons(weighted, task, USER).notes[-1]


@pytest.mark.parametrize("user, item, told", [("nobody", None, "no user 'nobody'"), (USER, "x9", "no item 'x9'")])
def test_unknown_users_and_items_are_named(model, task, user, item, told):
    with pytest.raises(InputError, match=told):
        reasons(model, task, user, item)


def test_a_history_of_one_row_alone(model, toy_split):
    with pytest.raises(InputError, match="one history at a time"):
        contributions(model, batch(toy_split.sequences, toy_split.test[:2], 8))


# --- two runs ---


@pytest.fixture(scope="module")
def two(task, tmp_path_factory):
    """Folders of two runs, and of one on the lamps alone."""
    folder, short = tmp_path_factory.mktemp("runs"), dict(epochs=1, progress=False)
    lamps = replace(task, dataset=task.dataset.select("lamps"))
    made = [("sasrec", task), ("mmm4rec", task), ("sasrec", lamps)]
    return [run(of, name, Protocol("small"), folder / f"{i}", **short) for i, (name, of) in enumerate(made)]


@pytest.mark.slow
def test_runs_are_compared_user_by_user(two, task, tmp_path):
    first, second, lamps = two
    table = compare_runs([first.folder, second.folder]).set_index("metric")
    for done, column in ((first, "reference"), (second, "value")):
        assert table[column].to_dict() == pytest.approx({name: done.record[name] for name in table.index})
    change = ndcg_per_row(second.ranks) - ndcg_per_row(first.ranks)
    row = table.loc["ndcg@10"]
    assert row["difference"] == pytest.approx(change.mean().item())
    assert row["standard_error"] == pytest.approx((change.var() / len(change)).sqrt().item())
    assert row["better"] == int((second.ranks < first.ranks).sum()) and row["n_users"] == 80
    same = compare_runs([first.folder, first.folder], filtered=True)
    assert (same["difference"] == 0).all() and not same["significant"].any()
    assert same["value"].iloc[0] == pytest.approx(first.record["recall@10_filtered"])
    with pytest.raises(InputError, match="not of the same test rows.*dataset"):
        compare_runs([first.folder, lamps.folder])
    with pytest.raises(InputError, match="two runs or more"):
        compare_runs([first.folder])
    early = pretrain(task, "mmm4rec", Protocol("small"), tmp_path / "early", epochs=1, progress=False)
    with pytest.raises(InputError, match="no test ranks"):
        compare_runs([first.folder, early.folder])


def test_the_frame_is_one_row_per_metric(two):
    assert isinstance(table := compare_runs([done.folder for done in two[:2]]), pd.DataFrame)
    assert table["metric"].tolist() == ["recall@10", "ndcg@10", "recall@50", "ndcg@50"]
