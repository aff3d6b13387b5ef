"""Recommendations: named, ranked as the model scores, without what was seen or held back."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from mmm4rec_lite.evaluation import as_batch, recommend, user_history
from mmm4rec_lite.utils.errors import InputError

USER = "user07"  # one of those who buy both


@pytest.fixture(scope="module")
def model(toy_model, small):
    return toy_model(small).train()


def own(toy, user=USER):
    return toy.interactions[toy.interactions["user"] == user]


def test_a_history_is_named_oldest_first_without_what_is_held_back(toy):
    past, rows = user_history(toy, USER), own(toy)
    assert past["item"].tolist() == rows["item"].tolist() and past["timestamp"].is_monotonic_increasing
    title = toy.items.set_index("item")["title"]
    assert past["title"].tolist() == title[rows["item"]].tolist()
    pd.testing.assert_frame_equal(user_history(toy, USER, hide=3), past.iloc[:-3])
    assert len(user_history(toy, USER, hide=len(past) - 1)) == 1


@pytest.mark.parametrize("length", [3, 8, 12])
def test_the_batch_of_a_history_is_its_latest_items_and_times(toy, length):
    past = user_history(toy, USER).head(length)
    items, lengths, times = as_batch(toy, past, 8)
    latest = past.tail(8)
    assert toy.items["item"][items[0].numpy() - 1].tolist() == latest["item"].tolist()
    assert times[0].tolist() == latest["timestamp"].tolist() and lengths.tolist() == [min(length, 8)]
    assert items.dtype == times.dtype == torch.int64


@pytest.mark.parametrize("seen", [False, True])
def test_items_are_named_and_ranked_by_the_models_own_scores(model, toy, seen):
    best = recommend(model, toy, USER, k=10, seen=seen)
    assert list(best) == ["rank", "item", "title", "score", "image"] and best["rank"].tolist() == list(range(1, 11))
    rows = own(toy)
    index = {item: i + 1 for i, item in enumerate(toy.items["item"])}
    with torch.no_grad():
        user = model.eval()(
            torch.tensor([[index[item] for item in rows["item"].tail(8)]]),
            torch.tensor([8]),
            torch.tensor([rows["timestamp"].tail(8).tolist()]),
        )
        scores = dict(zip(toy.items["item"], model.score(user)[0, 1:].tolist()))
    allowed = [item for item in scores if seen or item not in set(rows["item"])]
    expected = sorted(allowed, key=scores.get, reverse=True)[:10]
    assert best["item"].tolist() == expected
    assert best["score"].tolist() == pytest.approx([scores[item] for item in expected], rel=1e-6)
    named = toy.items.set_index("item").loc[expected]
    assert best["title"].tolist() == named["title"].tolist() and best["image"].tolist() == named["image"].tolist()


def test_seen_items_are_left_out_unless_asked_for_and_k_may_exceed_the_catalogue(model, toy):
    history = set(own(toy)["item"])
    fresh, everything = (recommend(model, toy, USER, k=1000, seen=seen)["item"] for seen in (False, True))
    assert set(fresh) == set(toy.items["item"]) - history and set(everything) == set(toy.items["item"])


def test_hidden_interactions_have_never_happened(model, toy):
    rows = own(toy)
    cut = replace(toy, interactions=toy.interactions.drop(rows.index[-3:]))
    expected = recommend(model, cut, USER, k=60)
    pd.testing.assert_frame_equal(recommend(model, toy, USER, k=60, hide=3), expected)
    assert set(rows["item"].iloc[-3:]) - set(rows["item"].iloc[:-3]) <= set(expected["item"])
    assert not expected.equals(recommend(model, toy, USER, k=60))


def test_what_cannot_be_shown_is_refused_in_one_line(model, toy):
    count = len(own(toy))
    for message, arguments in {
        "toy has no user 'nobody'; one that it has: 'user00'": dict(user="nobody"),
        f"hide: user '{USER}' has {count} interactions, so at most {count - 1} can be hidden": dict(hide=count),
        "hide: user": dict(hide=-1),
        "recommend: nothing to show": dict(k=0),
        "recommend: nothing to": dict(k=-1),
    }.items():
        with pytest.raises(InputError, match=f"^{message}[^\\n]*$"):
            recommend(model, toy, **{"user": USER, **arguments})
    for user in toy.interactions["user"].unique()[:1]:
        everything = pd.DataFrame({"user": user, "item": toy.items["item"], "timestamp": range(60)})
        with pytest.raises(InputError, match="every item is in the history"):
            recommend(model, replace(toy, interactions=everything), user)


def test_a_model_told_the_time_of_the_request_needs_it_and_uses_it(toy_model, small, toy):
    told = toy_model(small.replace(query_time=True))
    torch.nn.init.normal_(told.request_text)
    last = int(own(toy)["timestamp"].max())
    soon, late = (recommend(told, toy, USER, at=last + gap) for gap in (60, 300 * 86400))
    assert not soon.equals(late)
    with pytest.raises(InputError, match="before the user's latest interaction"):
        recommend(told, toy, USER, at=last - 1)
    with pytest.raises(InputError, match="give the time"):
        recommend(told, toy, USER)
    with pytest.raises(InputError, match="leave --at out"):
        recommend(toy_model(small), toy, USER, at=last)
