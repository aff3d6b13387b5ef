"""The dataset folder, order and cores, splits and batches, each against brute force where there is any."""

import json
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from mmm4rec_lite.cli import app
from mmm4rec_lite.data import (
    Dataset,
    augmented_text,
    batch,
    dataset_statistics,
    epoch,
    global_time,
    k_core,
    leave_one_out,
    load_dataset,
    order,
    prefixes,
    sequences,
    tie_share,
    union,
)
from mmm4rec_lite.data.dataset import category_table, distinct_ids, some_users
from mmm4rec_lite.utils.errors import InputError


def frames(rows=600, users=20, items=15, seed=0, prefix="i"):
    """Random tables with many ties; items alternate between domains x and y."""
    draw = np.random.default_rng(seed)
    interactions = pd.DataFrame(
        {
            "user": [f"u{n}" for n in draw.integers(users, size=rows)],
            "item": [f"{prefix}{n}" for n in draw.zipf(1.3, size=rows) % items],
            "timestamp": draw.integers(1000, 1000 + rows // 4, size=rows),
        }
    )
    films = pd.DataFrame({"item": [f"{prefix}{n}" for n in range(items)]})
    films["title"] = films["text"] = "film " + films["item"]
    films["image"] = None
    films["domain"] = ["xy"[n % 2] for n in range(items)]
    films["categories"] = [["", "drama", "war|drama"][n % 3] for n in range(items)]
    return interactions, films


def make(name="toy", **options):
    return Dataset.from_frames(name, *frames(**options))


def one_user(items="abcde", times=(10, 20, 30, 40, 50)):
    films = pd.DataFrame({"item": list("edcba"), "title": "t", "text": "t", "image": None, "domain": "x"})
    rows = pd.DataFrame({"user": "u", "item": list(items), "timestamp": list(times)})
    return Dataset.from_frames("one", rows, films)


def by_user(dataset):
    """user -> [(item index, time)] in total order, by plain Python."""
    index = {item: n + 1 for n, item in enumerate(dataset.items["item"])}
    found = {}
    for user, item, time in dataset.interactions.itertuples(index=False):
        found.setdefault(user, []).append((index[item], time))
    return found


def rows_as_tuples(split, rows):
    """The targets as (user, history, target), read off the flat arrays one by one."""
    flat, found = split.sequences, []
    names = dict(zip(flat.first.unique().tolist(), flat.users, strict=True))
    for row in rows.tolist():
        first = int(flat.first[row])
        items, times = (array[first : row + 1].tolist() for array in (flat.items, flat.times))
        events = list(zip(items, times, strict=True))
        found.append((names[first], tuple(events[:-1]), events[-1]))
    return found


# order, ties, cores


def test_order_is_by_user_then_time_then_line():
    interactions, _ = frames()
    expected = sorted(interactions.itertuples(index=False), key=lambda row: (row.user, row.timestamp))
    assert list(order(interactions).itertuples(index=False, name=None)) == [tuple(row) for row in expected]


def test_shuffled_ties_move_only_among_equals():
    interactions, _ = frames()
    line, shuffled = order(interactions), order(interactions, "shuffle", seed=1)
    assert shuffled.equals(order(interactions, "shuffle", seed=1))
    assert not shuffled["item"].equals(line["item"])
    assert not shuffled["item"].equals(order(interactions, "shuffle", seed=2)["item"])
    assert shuffled[["user", "timestamp"]].equals(line[["user", "timestamp"]])
    a, b = (frame.sort_values(["user", "timestamp", "item"], ignore_index=True) for frame in (line, shuffled))
    assert a.equals(b)


def test_unknown_tie_rule():
    with pytest.raises(InputError, match="tie rule 'rating'.*'line' or 'shuffle'"):
        order(frames()[0], "rating")


def test_tie_share():
    rows = pd.DataFrame({"user": list("aaabb"), "timestamp": [1, 1, 2, 2, 2]})
    assert tie_share(rows) == pytest.approx(2 / 3)  # a: tie, step; b: tie; from a to b is no neighbour
    assert tie_share(rows[:1]) == 0


def test_k_core_against_brute_force():
    dataset = make(rows=300, users=40, items=40, seed=3)
    rows, rounds = list(dataset.interactions.itertuples(index=False, name=None)), 0
    while True:
        users, items = (pd.Series([row[n] for row in rows]).value_counts() for n in (0, 1))
        kept = [row for row in rows if users[row[0]] >= 5 and items[row[1]] >= 5]
        if kept == rows:
            break
        rows, rounds = kept, rounds + 1
    assert rounds > 1 and 0 < len(rows) < 300  # one pass would not do
    core = k_core(dataset)
    assert list(core.interactions.itertuples(index=False, name=None)) == rows
    left = {row[1] for row in rows}
    assert core.items["item"].tolist() == [item for item in dataset.items["item"] if item in left]


def test_k_core_of_nothing():
    with pytest.raises(InputError, match="toy: nothing is left of its 1000-core"):
        k_core(make(), 1000)


# domains, union, statistics


def test_select():
    dataset = make()
    assert dataset.domains == ["x", "y"]
    part = dataset.select("x", k=2)
    assert part.name == "toy-x" and set(part.items["domain"]) == {"x"}
    assert set(part.interactions["item"]) == set(part.items["item"])
    assert part.interactions["user"].value_counts().min() >= 2
    with pytest.raises(InputError, match="no domain 'z'; it has: x, y"):
        dataset.select("z")
    with pytest.raises(InputError, match="toy-y: nothing is left"):
        dataset.select("y", k=500)


def test_union_keeps_users_apart_and_items_as_they_are():
    a, b = make("a"), make("b", prefix="j", seed=1)
    both = union([a, b], "both")
    assert both.name == "both" and len(both.interactions) == 1200
    assert both.items["item"].tolist() == [*a.items["item"], *b.items["item"]]
    for part in (a, b):
        rows = both.interactions[both.interactions["user"].str.startswith(part.name + "/")]
        assert rows["item"].tolist() == part.interactions["item"].tolist()
        assert rows["timestamp"].tolist() == part.interactions["timestamp"].tolist()
    assert both.interactions.equals(order(both.interactions))
    assert both.info["parts"]["a"] == a.info


def test_union_refuses_shared_items_and_names():
    with pytest.raises(InputError, match="item 'i0' is in two datasets"):
        union([make("a"), make("b")], "both")
    with pytest.raises(InputError, match="different names, got: a, a"):
        union([make("a"), make("a", prefix="j")], "both")
    with pytest.raises(InputError, match="got: none"):
        union([], "none")


def test_distinct_ids_names_the_items_that_two_share_after_their_dataset():
    a, b = make("a"), make("b", seed=1)
    b = replace(b, items=pd.concat([b.items, b.items.tail(1).assign(item="only")], ignore_index=True))
    both = union(distinct_ids([a, b]), "both")
    assert {"a/i0", "b/i0", "only"} <= set(both.items["item"]) and "i0" not in set(both.items["item"])
    for part in (a, b):
        rows = both.interactions[both.interactions["user"].str.startswith(part.name + "/")]
        assert rows["item"].tolist() == (part.name + "/" + part.interactions["item"]).tolist()
    one, other = make("a"), make("b", prefix="j")
    assert all(new.items.equals(old.items) for old, new in zip((one, other), distinct_ids([one, other])))


def test_some_users_are_whole_and_drawn_by_seed():
    whole = make()
    part, again, other = some_users(whole, 0.25), some_users(whole, 0.25), some_users(whole, 0.25, seed=1)
    users = set(part.interactions["user"])
    assert len(users) == round(0.25 * whole.interactions["user"].nunique())
    assert part.interactions.equals(again.interactions) and users != set(other.interactions["user"])
    mine = whole.interactions[whole.interactions["user"].isin(users)].reset_index(drop=True)
    assert part.interactions.equals(mine) and set(part.items["item"]) == set(mine["item"])
    assert part.select("x").interactions["item"].isin(part.items["item"]).all()  # no core of it is asked
    for share in (0, 1.5):
        with pytest.raises(InputError, match="of the users; take a number above 0"):
            some_users(whole, share)


def test_union_command_makes_a_folder_of_several(tmp_path):
    names = ("a", "b")
    for seed, name in enumerate(names):
        make(name, seed=seed).save(tmp_path / name)
    call = ["data", "union", *(str(tmp_path / name) for name in names), "--share", "0.5", "--k", "2"]
    done = CliRunner().invoke(app, [*call, "--out", str(tmp_path / "both")], catch_exceptions=False)
    both = load_dataset(tmp_path / "both")
    assert not done.exit_code and both.name == "both" and both.domains == ["x", "y"]
    assert {user.partition("/")[0] for user in both.interactions["user"]} == set(names)
    assert both.info["parts"]["a"]["share of users"] == 0.5


def test_statistics():
    rows = pd.DataFrame({"user": list("aaab"), "item": list("xyxx"), "timestamp": [1, 1, 5, 5]})
    films = pd.DataFrame({"item": list("xyzw"), "title": "t", "text": "t", "image": None, "domain": "d"})
    small = Dataset.from_frames("small", rows, films)
    table = dataset_statistics([small, make()])
    assert table["dataset"].tolist() == ["small", "toy"]
    assert table.drop(columns="dataset").iloc[0].to_dict() == {
        "users": 2,
        "items": 4,
        "images": 0,
        "coverage_percent": 0,
        "interactions": 4,
        "average_length": 2,
        "tie_share": 0.5,
    }


# the folder


@pytest.fixture
def pictured(tmp_path):
    """A dataset folder whose first two items have an image; every test may break its own."""
    interactions, films = frames()
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    for n in range(2):
        (source / "images" / f"{n}.jpg").write_bytes(bytes([n]))
        films.loc[n, "image"] = f"images/{n}.jpg"
    Dataset.from_frames("toy", interactions, films, source, {"source": "dice"}).save(tmp_path / "toy")
    return tmp_path / "toy"


def test_categories_become_columns_the_commonest_first():
    items = frames(items=7)[1]
    expected = [[False, False], [False, False], [True, False], [True, True]]
    assert category_table(items)[:4].tolist() == expected and len(category_table(items)) == 8
    assert category_table(items, most=1)[:4].tolist() == [row[:1] for row in expected]
    assert category_table(items[items["categories"] == ""]) is None


def test_a_folder_without_categories_is_read(tmp_path):
    make().save(tmp_path / "old")
    file = tmp_path / "old" / "items.parquet"
    pd.read_parquet(file).drop(columns="categories").to_parquet(file)
    assert set(load_dataset(tmp_path / "old").items["categories"]) == {""}


def test_save_and_load_give_the_same(pictured, tmp_path):
    loaded = load_dataset(pictured)
    assert loaded.interactions.equals(order(frames()[0]))
    assert loaded.items.drop(columns="image").equals(frames()[1].drop(columns="image"))
    assert loaded.items["image"].tolist() == ["images/0.jpg", "images/1.jpg"] + [None] * 13
    assert (loaded.folder / "images/1.jpg").read_bytes() == b"\1"
    assert (loaded.name, loaded.info) == ("toy", {"ties": "line", "source": "dice"})
    assert dataset_statistics([loaded])["images"].item() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "toy"]  # nothing left behind


def test_save_over_itself(pictured):
    loaded = load_dataset(pictured)
    loaded.select("x").save(pictured)
    again = load_dataset(pictured)
    assert 0 < len(again.interactions) < len(loaded.interactions)
    assert (pictured / "images/0.jpg").read_bytes() == b"\0"  # of domain x; the other image is of y
    assert not (pictured / "images/1.jpg").exists()


def test_a_failed_save_leaves_the_old_dataset(pictured, tmp_path, monkeypatch):
    loaded = load_dataset(pictured)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            loaded.save(pictured)
    assert load_dataset(pictured).items.equals(loaded.items)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "toy"]


def test_a_failed_exchange_puts_the_old_dataset_back(pictured, monkeypatch):
    loaded, rename = load_dataset(pictured), os.rename

    def fail(source, target):
        if target.name == "toy" and source.suffix != ".old":
            raise OSError("busy")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", fail)
        patch.setattr("mmm4rec_lite.utils.files._exchange", lambda *_: False)  # a system that exchanges no names
        with pytest.raises(OSError, match="busy"):
            loaded.save(pictured)
    assert load_dataset(pictured).items.equals(loaded.items)


def test_save_does_not_replace_other_things(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not a dataset folder"):
        make().save(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_union_of_two_folders_finds_all_images(pictured, tmp_path):
    interactions, films = frames(prefix="j")
    films.loc[0, "image"] = "1.jpg"
    other = Dataset.from_frames("other", interactions, films, pictured / "images")
    both = union([load_dataset(pictured), other], "both")
    images = both.items["image"].dropna()
    assert [(both.folder / image).read_bytes() for image in images] == [b"\0", b"\1", b"\1"]
    both.save(tmp_path / "both")
    assert len(load_dataset(tmp_path / "both").items["image"].dropna()) == 3


@pytest.mark.parametrize("file", ["dataset.json", "interactions.parquet", "items.parquet"])
def test_a_missing_or_broken_file(pictured, file):
    (pictured / file).write_bytes(b"[ not this")
    with pytest.raises(InputError, match=file):
        load_dataset(pictured)
    (pictured / file).unlink()
    with pytest.raises(InputError, match=f"toy: {file} is missing"):
        load_dataset(pictured)


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such dataset folder"):
        load_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("about", [[], {}, {"name": 3}, {"name": "toy", "info": "none"}])
def test_a_wrong_dataset_json(pictured, about):
    (pictured / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="dataset.json: expected"):
        load_dataset(pictured)


def put(column, value, row=3):
    def change(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame.infer_objects()

    return change


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("interactions", lambda f: f.drop(columns="timestamp"), "column 'timestamp' is missing; expected user"),
        ("items", lambda f: f.drop(columns="domain"), "column 'domain' is missing; expected item, title"),
        ("interactions", lambda f: f[:0], "no rows"),
        ("items", lambda f: f[:0], "no rows"),
        ("interactions", put("user", None), r"column 'user' has 1 null values, the first in row 3"),
        ("interactions", put("timestamp", float("nan")), "column 'timestamp' has 1 null values"),
        ("items", put("text", None), "column 'text' has 1 null values"),
        ("interactions", lambda f: f.astype({"timestamp": float}), "'timestamp' is of type float64"),
        ("interactions", lambda f: f.astype({"timestamp": "datetime64[s]"}), "'timestamp' is of type datetime64"),
        ("interactions", lambda f: f.assign(user=7), "'user' is of type int64; expected strings"),
        ("items", lambda f: f.assign(image=1.5), "'image' is of type float64; expected strings"),
        ("interactions", lambda f: f.assign(timestamp=1_600_000_000_000), "16.* looks like milliseconds"),
        ("interactions", lambda f: f.assign(timestamp=-f["timestamp"]), "timestamp -1149 is negative"),
        ("interactions", put("item", "ghost"), "1 interactions with unknown items, such as 'ghost'"),
        ("items", put("item", "i0"), "1 repeated item ids, such as 'i0'"),
        ("items", put("image", "images/9.jpg"), "image 'images/9.jpg' is not in"),
        ("items", put("image", "../source/images/0.jpg"), "must be a path below"),
        ("items", put("image", "/etc/hostname"), "must be a path below"),
        ("items", put("image", ""), "image '' is not in"),
    ],
)
def test_every_fault_of_the_tables_is_named(pictured, table, change, message):
    path = pictured / f"{table}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(pictured)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_frames_are_checked_as_well():
    interactions, films = frames()
    with pytest.raises(InputError, match="the table items: column 'text' is missing"):
        Dataset.from_frames("toy", interactions, films.drop(columns="text"))
    with pytest.raises(InputError, match="must be a path below the dataset's folder"):
        Dataset.from_frames("toy", interactions, films.assign(image="1.jpg"))  # without a folder


# splits


def test_sequences():
    dataset = make()
    flat = sequences(dataset)
    expected = by_user(dataset)
    assert flat.users == list(expected) and flat.item_count == 15
    assert list(zip(flat.items.tolist(), flat.times.tolist(), strict=True)) == [
        event for events in expected.values() for event in events
    ]
    assert {flat.items.dtype, flat.times.dtype, flat.first.dtype} == {torch.int64}
    first = 0
    for events in expected.values():
        assert flat.first[first : first + len(events)].eq(first).all()
        first += len(events)
    assert sequences(one_user()).items.tolist() == [5, 4, 3, 2, 1]  # an index is the row of items + 1


def test_leave_one_out_against_brute_force():
    interactions, films = frames()
    few = pd.DataFrame({"user": ["one", "two", "two"], "item": "i1", "timestamp": 5})  # too few for all parts
    dataset = Dataset.from_frames("toy", pd.concat([interactions, few]), films)
    expected = {"train": [], "valid": [], "test": []}
    for user, events in by_user(dataset).items():
        for n in range(1, len(events)):
            part = "test" if n == len(events) - 1 else "valid" if n == len(events) - 2 else "train"
            expected[part].append((user, tuple(events[:n]), events[n]))
    split = leave_one_out(dataset)
    for part, rows in expected.items():
        assert rows_as_tuples(split, getattr(split, part)) == rows
    whole = leave_one_out(make())
    assert len(whole.train) == 600 - 3 * len(whole.sequences.users)


def test_global_time_against_brute_force():
    dataset = make()
    times = sorted(dataset.interactions["timestamp"])
    t1, t2 = times[round(600 * 0.7)], times[round(600 * 0.9)]
    expected = {"train": [], "valid": [], "test": []}
    for user, events in by_user(dataset).items():
        for n in range(1, len(events)):
            part = "train" if events[n][1] < t1 else "valid" if events[n][1] < t2 else "test"
            expected[part].append((user, tuple(events[:n]), events[n]))
    split = global_time(dataset, valid=0.2, test=0.1)
    for part, rows in expected.items():
        assert rows_as_tuples(split, getattr(split, part)) == rows


def test_global_time_cuts_at_the_quantiles():
    split = global_time(one_user("abcdeabcde", range(10)), valid=0.2, test=0.3)
    parts = [rows.tolist() for rows in (split.train, split.valid, split.test)]
    assert parts == [[1, 2, 3, 4], [5, 6], [7, 8, 9]]


def test_prefixes_are_all_targets_with_a_history():
    split = prefixes(make())
    assert len(split.train) == 600 - len(split.sequences.users) and not len(split.valid) + len(split.test)
    assert (split.sequences.first[split.train] < split.train).all()


@pytest.mark.parametrize(("valid", "test"), [(0, 0.1), (0.1, 0), (0.6, 0.4), (0.1, float("nan"))])
def test_nonsensical_shares(valid, test):
    with pytest.raises(InputError, match="both must be positive"):
        global_time(make(), valid, test)


def test_splits_without_targets():
    with pytest.raises(InputError, match="one: no train targets"):
        leave_one_out(one_user("abc", (1, 2, 3)))
    with pytest.raises(InputError, match="one: no train targets"):
        global_time(one_user(times=[7] * 5))
    with pytest.raises(InputError, match="one: no valid targets"):
        global_time(one_user(), 0.001, 0.001)


# batches


@pytest.mark.parametrize("target_time", [False, True])
@pytest.mark.parametrize("max_len", [1, 4, 200])
def test_batch_against_brute_force(max_len, target_time):
    split = prefixes(make())
    got = batch(split.sequences, split.train, max_len, target_time)
    assert got.items.shape == got.times.shape == (len(split.train), max_len)
    for n, (_, history, target) in enumerate(rows_as_tuples(split, split.train)):
        shown = history[-max_len:]
        times = [time for _, time in shown]
        if target_time and len(history) + 1 <= max_len:
            times.append(target[1])
        assert got.items[n].tolist() == [item for item, _ in shown] + [0] * (max_len - len(shown))
        assert got.times[n].tolist() == times + [0] * (max_len - len(times))
        assert (got.lengths[n], got.targets[n]) == (len(shown), target[0])


def test_a_batch_shows_nothing_of_the_target_or_after():
    plain, changed = one_user(), one_user("abcdd", (10, 20, 30, 44, 55))
    a, b = (batch(sequences(d), torch.tensor([3]), 5) for d in (plain, changed))
    assert torch.equal(a.items, b.items) and torch.equal(a.times, b.times)
    a, b = (batch(sequences(d), torch.tensor([3]), 5, target_time=True) for d in (plain, changed))
    assert (a.times[0, 3], b.times[0, 3]) == (40, 44)


def test_batch_to_device():
    moved = batch(sequences(one_user()), torch.tensor([1, 2]), 3).to("meta")
    assert {tensor.device.type for tensor in vars(moved).values()} == {"meta"}


def test_an_epoch_is_a_permutation_fixed_by_seed_and_epoch():
    rows = torch.arange(1000, 1107)
    first = list(epoch(rows, 25, seed=1, epoch=0))
    assert [len(part) for part in first] == [25, 25, 25, 25, 7]
    assert torch.equal(torch.cat(first).sort().values, rows)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert torch.equal(torch.cat(first), torch.cat(list(epoch(rows, 10, 1, 0))))
    assert torch.equal(before, torch.get_rng_state())  # it draws from its own generator
    for seed, number in [(1, 1), (2, 0), (0, 1)]:
        assert not torch.equal(torch.cat(first), torch.cat(list(epoch(rows, 25, seed, number))))


def test_sizes_below_one():
    with pytest.raises(InputError, match="max_len is 0"):
        batch(sequences(one_user()), torch.tensor([1]), 0)
    with pytest.raises(InputError, match="batch_size is 0"):
        epoch(torch.arange(3), 0, 0, 0)


def test_augmented_texts_lose_some_words_and_never_all(toy):
    fewer = augmented_text(toy, share=0.5, seed=3)
    words = toy.items["text"].str.split().str.len().sum()
    left = fewer.items["text"].str.split()
    assert 0.4 * words < left.str.len().sum() < 0.65 * words and (left.str.len() >= 1).all()
    assert all(set(new) <= set(old.split()) for new, old in zip(left, toy.items["text"]))
    assert fewer.items.drop(columns="text").equals(toy.items.drop(columns="text"))
    assert augmented_text(toy, 0.5, 3).items.equals(fewer.items)
    with pytest.raises(InputError, match="^share: 1 of the words"):
        augmented_text(toy, share=1)
