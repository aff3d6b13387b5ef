"""A look at the data: each number against one worked out by hand on a few rows."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmm4rec_lite.data import Dataset, statistics
from mmm4rec_lite.study import ch01_data_and_features as ch01
from mmm4rec_lite.utils.errors import InputError

DAY = 86400


def shop(times, bought=None, items=4, pictured=2, name="shop"):
    """A dataset of users -> their time stamps; ``bought``: item numbers in order (else always item 0)."""
    rows = [(user, stamp) for user, stamps in times.items() for stamp in stamps]
    bought = bought or [0] * len(rows)
    table = pd.DataFrame(
        {
            "user": [user for user, _ in rows],
            "item": [f"i{item}" for item in bought],
            "timestamp": [stamp for _, stamp in rows],
        }
    )
    image = pd.Series([f"{item}.png" if item < pictured else None for item in range(items)], dtype=object)
    shelf = pd.DataFrame(
        {
            "item": [f"i{item}" for item in range(items)],
            "title": "t",
            "text": "t",
            "image": image,
            "domain": ["a" if item % 2 == 0 else "b" for item in range(items)],
        }
    )
    return Dataset(name, table, shelf)  # from_frames would look for the pictures


def line(frame, **where):
    """The one row of a frame with these values."""
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_gaps_are_those_within_users():
    one = shop({"u": [100, 100, 160], "v": [5, 3605], "w": [7]})
    assert statistics.gaps(one).tolist() == [0, 60, 3600]


def test_histogram_has_zeros_apart_and_loses_no_gap():
    table = statistics.gap_histogram([shop({"u": np.cumsum([0, 0, 0, 1, 10, 1000, 1000]).tolist()})])
    zero, rest = table.iloc[0], table[table["to_s"] > 0]
    assert zero["to_s"] == 0 and zero["share"] == pytest.approx(2 / 6)
    assert table["share"].sum() == pytest.approx(1)
    assert np.allclose(np.diff(np.log10(rest["to_s"])), 1 / statistics.PER_DECADE)
    for gap, share in ((1, 1 / 6), (10, 1 / 6), (1000, 2 / 6)):
        assert rest[(rest["from_s"] <= gap) & (gap < rest["to_s"])]["share"].tolist() == [pytest.approx(share)]


@pytest.mark.parametrize(
    "gaps, bits",
    [
        ([0] * 8, 0),
        ([7] * 8, 0),  # all alike
        ([0, 5] * 4, 1),  # a fair coin between zero and something
        ([0, 1, 100, 10_000] * 2, 2),  # four lengths equally often
        ([0, 0, 0, 1000], 0.75 * np.log2(4 / 3) + 0.25 * 2),
    ],
)
def test_entropy_in_bits(gaps, bits):
    table = statistics.gap_statistics([shop({"u": np.cumsum([0, *gaps]).tolist()})])
    assert table["log_gap_entropy_bits"].item() == pytest.approx(bits)


def test_gap_statistics_by_hand():
    one = shop({"u": [0, 0, DAY], "v": [0, 2 * DAY, 4 * DAY, 4 * DAY, 5 * DAY]}, name="one")
    row = line(statistics.gap_statistics([one, shop({"u": [1, 2]})]), dataset="one")
    assert row["n_gaps"] == 6 and row["zero_gap_share"] == pytest.approx(2 / 6)
    assert row["gap_median_s"] == DAY and row["gap_q25_s"] == DAY / 4  # of 0 0 1 1 2 2 days
    assert row["median_history_length"] == 4
    spans = [row[f"span_{part}_days"] for part in ("q25", "median", "q75")]
    assert spans == pytest.approx([2, 3, 4])  # of 1 and 5 days


def test_no_user_with_two_interactions_is_told():
    with pytest.raises(InputError, match="shop: no user has two interactions"):
        statistics.gap_statistics([shop({"u": [1], "v": [2]})])


def test_popularity_by_hand():
    one = shop({"u": range(10)}, bought=[3] * 6 + [1] * 3 + [0])  # counts 6, 3, 1, 0
    curve = statistics.popularity([one])
    assert curve["item_share"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve["interaction_share"].tolist() == [0, 0.6, 0.9, 1, 1]
    row = statistics.popularity_statistics([one]).iloc[0]
    assert [row[f"top_{percent}_percent_share"] for percent in (1, 10, 50)] == [0.6, 0.6, 0.9]
    pairs = np.abs(np.subtract.outer([6, 3, 1, 0], [6, 3, 1, 0]))
    assert row["gini"] == pytest.approx(pairs.mean() / 2 / 2.5)


def test_gini_is_0_for_equals():
    assert statistics.popularity_statistics([shop({"u": range(8)}, [0, 1, 2, 3] * 2)])["gini"].item() == 0


def test_coverage_counts_items_and_what_was_bought():
    table = ch01.image_coverage(shop({"u": range(5)}, bought=[0, 0, 0, 2, 3], pictured=1))  # a: i0, i2; b: i1, i3
    a, b, both = (line(table, domain=name) for name in ("a", "b", "all"))
    assert (a["items"], a["images"], a["item_image_share"]) == (2, 1, 0.5)
    assert a["interaction_image_share"] == 0.75 and b["interaction_image_share"] == 0
    assert both["item_image_share"] == 0.25 and both["interaction_image_share"] == pytest.approx(0.6)


def test_measured_and_published_numbers_are_kept_apart(toy):
    table = statistics.beside_paper([toy])
    assert line(table, numbers="measured")["users"] == toy.interactions["user"].nunique()
    office = line(table, numbers="published", dataset="office")
    assert (office["users"], office["coverage_percent"]) == (87436, 63.99)
    assert (table["numbers"] == "published").sum() == 11


VECTORS = torch.tensor([[2.0, 0], [1, 0.1], [0, 3], [0.1, 1], [-1, 0]])
IDS = list("abcde")


def test_neighbours_go_by_angle_not_length():
    near = statistics.neighbours(IDS, VECTORS, k=2)
    assert near["item"].tolist() == [item for item in IDS for _ in range(2)] and near["rank"].tolist() == [1, 2] * 5
    first = near[near["rank"] == 1].set_index("item")
    assert first["neighbour"].to_dict() == {"a": "b", "b": "a", "c": "d", "d": "c", "e": "c"}
    assert first["cosine"]["a"] == pytest.approx(1 / np.sqrt(1.01)) and first["cosine"]["e"] == 0


def test_neighbours_of_some_among_some():
    near = statistics.neighbours(IDS, VECTORS, k=1, among=["a", "c", "e"], of=["b"])
    assert near[["item", "neighbour"]].to_numpy().tolist() == [["b", "a"]]


def test_neighbours_do_not_depend_on_how_many_are_compared_at_once(monkeypatch):
    vectors = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    whole = statistics.neighbours(range(20), vectors, k=3)
    monkeypatch.setattr(statistics, "ROWS", 7)
    pd.testing.assert_frame_equal(statistics.neighbours(range(20), vectors, k=3), whole)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(k=5), "k must be from 1 to 4"),
        (dict(k=0), "k must be"),
        (dict(of=["x"]), "no item 'x' among 5"),
        (dict(among=["a"]), "among 1 items"),
        (dict(items=IDS[:3]), "one vector for each of 3 items"),
        (dict(vectors=VECTORS * torch.tensor([[1.0], [1], [0], [1], [1]])), "item 'c' has a vector of length 0"),
    ],
)
def test_neighbours_that_cannot_be_are_told(change, words):
    with pytest.raises(InputError, match=words) as error:
        statistics.neighbours(**{"items": IDS, "vectors": VECTORS, "k": 2, **change})
    assert "\n" not in str(error.value)


def near(pairs):
    return pd.DataFrame(
        [(a, i % 2 + 1, b, 0.5) for i, (a, b) in enumerate(pairs)], columns=["item", "rank", "neighbour", "cosine"]
    )


def test_agreement_beside_chance():
    one, other = near(["ab", "ac", "ba", "bc"]), near(["ad", "ab", "bd", "be"])
    assert ch01.agreement(one, one, 5).tolist() == [1, 0.5]
    assert ch01.agreement(one, other, 5)["shared"] == 0.25  # only a-b, at another rank
    with pytest.raises(InputError, match="different items"):
        ch01.agreement(one, near(["ab", "ac"]), 5)


def test_matches_by_hand():
    items = pd.DataFrame({"item": list("abcd"), "colour": ["red", "red", "red", "blue"]})
    table = ch01.matches({"text": near(["ab", "ac", "ba", "bd", "cd", "ca"])}, items, ["colour"])
    row = line(table, modality="text", attribute="colour")
    assert row["match_share"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert row["standard_error"] == pytest.approx(np.std([1, 0.5, 0.5], ddof=1) / np.sqrt(3))
    assert row["chance_share"] == pytest.approx(2 / 3)  # of three others two are red


def test_matches_of_random_neighbours_are_chance():
    g = np.random.default_rng(0)
    items = pd.DataFrame({"item": range(400), "kind": g.integers(0, 4, 400)})
    found = statistics.neighbours(range(400), torch.from_numpy(g.normal(size=(400, 16))), k=10)
    row = ch01.matches({"noise": found}, items, ["kind"]).iloc[0]
    assert abs(row["match_share"] - row["chance_share"]) < 4 * row["standard_error"]


def test_matches_with_unknown_items_are_told():
    with pytest.raises(InputError, match="1 neighbours are not among the items given, such as 'z'"):
        ch01.matches({"text": near(["ab", "az"])}, pd.DataFrame({"item": ["a", "b"], "kind": 1}), ["kind"])


def test_without_a_picture_zeros_tie_with_all():
    vectors, has = torch.cat([VECTORS, torch.zeros(3, 2)]), [True] * 5 + [False] * 3
    told = ch01.without_image(vectors, has, k=2)
    assert told["without_image"] == 3 and told["different_vectors"] == 1
    assert told["nearest_ties"] == 7 and told["nearest_ties_of_images"] == 1
    assert told["cosine_to_one_another"] == told["highest_cosine_to_images"] == 0


def test_without_a_picture_one_vector_for_all_ties_among_these_alone():
    vectors, has = torch.cat([VECTORS, torch.tensor([[1.0, 1.0]]).expand(3, 2)]), [True] * 5 + [False] * 3
    told = ch01.without_image(vectors, has, k=2)
    assert told["nearest_ties"] == 2
    assert told["cosine_to_one_another"] == pytest.approx(1)
    assert told["highest_cosine_to_images"] == pytest.approx(1.1 / np.sqrt(2 * 1.01))
    met = told["images_near_them_share"]
    assert met == 0.8  # a, b, c, d have one nearer picture; e points away from it


@pytest.mark.parametrize("has", [[True] * 5, [False] * 5, [True, False], [True] * 4 + [False]])
def test_without_image_needs_both_sorts(has):
    with pytest.raises(InputError, match="two of them or more without a picture"):
        ch01.without_image(VECTORS, has)


def test_columns_are_in_snake_case(toy):
    frames = [statistics.dataset_statistics([toy]), statistics.beside_paper([toy]), ch01.image_coverage(toy)]
    of_datasets = (statistics.gap_statistics, statistics.gap_histogram, statistics.popularity)
    frames += [table([toy]) for table in (*of_datasets, statistics.popularity_statistics)]
    frames += [statistics.gap_spectrum([toy], 5), statistics.neighbours(IDS, VECTORS, k=1)]
    assert all(column.isidentifier() and column.islower() for frame in frames for column in frame)


@pytest.fixture
def two_users():
    """Histories of 2 and of 4 items (test item apart), one a day."""
    rows = [("a", i, i * DAY) for i in range(3)] + [("b", i, i * DAY) for i in range(5)]
    interactions = pd.DataFrame(rows, columns=["user", "item", "timestamp"]).astype({"item": str})
    items = pd.DataFrame({"item": [str(i) for i in range(5)], "title": "t", "text": "t", "image": None, "domain": "d"})
    return Dataset("two", interactions, items)


def test_lengths_and_what_a_window_drops(two_users):
    lengths = statistics.history_lengths([two_users])
    assert lengths["longer_share"].tolist() == [1, 1, 0.5, 0.5, 0] and lengths["items"].tolist() == [0, 1, 2, 3, 4]
    table = statistics.dropped_items([two_users], (1, 2, 4)).set_index("kept")
    assert table["cut_share"].tolist() == [1, 0.5, 0] and table["n_histories"].tolist() == [2, 2, 2]
    assert table["dropped_share"].tolist() == pytest.approx([4 / 6, 2 / 6, 0])
    assert table["age_median_days"][1] == 1.5  # 1 of the first user; 1, 2, 3 of the second
    assert table["age_median_days"][2] == 1.5 and pd.isna(table["age_median_days"][4])
