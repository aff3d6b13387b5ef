"""Imports of other people's tables: the ids that join, times of every unit, pictures in cells; and the shared cases."""

import base64
import datetime
import io
import json
import os
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmm4rec_lite.data import import_tables, load_dataset, union
from mmm4rec_lite.data.ids import spelled
from mmm4rec_lite.data.tabular import report
from mmm4rec_lite.data.times import plausible_years, read_times
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.utils.errors import InputError
from tests.support.fuzz_readers import attempt, attempt_picture, pictures, tables

CASES = Path(__file__).resolve().parents[3] / "shared/cases/import"
T = 1_700_000_000  # 2023-11-14 22:13:20 UTC
NEXT = datetime.date.today().year + 1


def log(ids, users=None, **more):
    return pd.DataFrame({"user": users or "u", "item": ids, "time": T + np.arange(len(ids)), **more})


def goods(ids, **more):
    return pd.DataFrame({"item": ids, "title": [f"Thing {n}" for n in range(len(ids))], **more})


def taken(dataset):
    """The titles of the interactions' items, in order: what a wrong join would change."""
    return dataset.interactions["item"].map(dataset.items.set_index("item")["title"]).tolist()


def notes(dataset, part="interactions"):
    return dataset.info["import"][part]["notes"]


# --- the pair of columns that join ---


def test_the_columns_that_match_are_taken_and_told():
    rows = log(["v0", "b1", "v2"], asin=["v0", "b1", "v2"], parent_asin=["b0", "b1", "b2"]).drop(columns="item")
    shelf = goods(["b0", "b1", "b2"]).rename(columns={"item": "parent_asin"})
    dataset = import_tables(rows, shelf, k=1)
    assert taken(dataset) == ["Thing 0", "Thing 1", "Thing 2"]
    assert dataset.info["import"]["interactions"]["columns"]["item"] == "parent_asin"
    assert notes(dataset)["joined with an item"] == "3 of 3 (100.0%)"
    assert notes(dataset)["other columns that join"] == "asin = parent_asin: 1 of 3"


def test_two_pairs_that_join_equally_to_other_items_are_asked_about():
    rows = log(["1", "2"], sku=["2", "1"])
    shelf = goods(["1", "2"], sku=["1", "2"])
    with pytest.raises(
        InputError, match="join equally by item = item: 2 of 2 and by .* say --item COLUMN .*--items-id"
    ):
        import_tables(rows, shelf, k=1)
    for one in ("item", "sku"):
        dataset = import_tables(rows, shelf, k=1, item=one)
        assert taken(dataset) == ["Thing 0", "Thing 1"][:: 1 if one == "item" else -1]
    assert taken(import_tables(rows, shelf, k=1, item="sku", items_id="item")) == ["Thing 1", "Thing 0"]
    same = import_tables(log(["1", "2"], sku=["a", "b"]), goods(["1", "2"], sku=["a", "b"]), k=1)  # to the same items
    assert taken(same) == ["Thing 0", "Thing 1"]


def test_of_two_columns_of_one_name_the_one_that_joins_is_taken():
    rows = pd.DataFrame([["u", "v0", "b0", T]], columns=["user", "item", "item", "time"])
    assert taken(import_tables(rows, goods(["b0"]), k=1)) == ["Thing 0"]


def test_columns_of_one_name_go_before_numbers_of_lines():
    shelf = pd.DataFrame({"id": range(4), "movie_id": [3, 2, 1, 9], "title": list("abcd")})
    rows = log([1, 2, 3]).rename(columns={"item": "movie_id"})
    assert taken(import_tables(rows, shelf, k=1)) == ["c", "b", "a"]


def test_few_that_join_are_warned_about_with_other_candidates():
    rows = log(["a", "x", "y", "z"], code=["a", "b", "c", "d"])
    shelf = goods(["a", "b", "c", "d"])
    with pytest.warns(
        UserWarning,
        match=r"only 1 of 4 lines \(25%\) join an item, by item = item; other columns "
        r"that join: code = item \(100%\) \(--item COLUMN, --items-id COLUMN\)",
    ):
        dataset = import_tables(rows, shelf, k=1)
    assert len(dataset.interactions) == 1 and any("  warning: only 1 of 4" in line for line in report(dataset))
    with warnings.catch_warnings(action="error"):
        import_tables(log(["a", "b", "c", "d", "x"]), shelf, k=1)  # 80 %
        import_tables(log(["a", None, None]), shelf, k=1)  # lines without an id are no failed joins


@pytest.mark.parametrize("share", [0, 0.2, 0.6])
@pytest.mark.parametrize("typed", [str, int])
def test_other_columns_that_join_are_named_whatever_their_names(share, typed):
    """With their shares, at none joined, too; also beside usual ones that join."""
    ids, count = [typed(n) for n in range(10, 20)], int(share * 10)
    rows = log([typed(n + 100) for n in range(10)], mark=ids[:count] + [None] * (10 - count), ref=ids)
    shelf = goods([f"x{n}" for n in range(10)], asin=ids, nr=[f"0{n}" for n in ids], text=["long " * 30] * 10, kind="k")
    rows["item"] = ids[:count] + rows["item"].tolist()[count:]
    words = r"other columns that join: ref = asin \(100%\); ref = nr \(100%\)"
    with (
        pytest.warns(UserWarning, match=words)
        if share
        else pytest.raises(InputError, match=f"nothing is left.*{words}")
    ):
        import_tables(rows, shelf, k=1)


def test_the_warning_goes_to_standard_error(tmp_path):
    log(["a", "x", "y"]).to_csv(tmp_path / "log.csv", index=False)
    goods(["a"]).to_csv(tmp_path / "goods.csv", index=False)
    command = [
        "data",
        "import",
        tmp_path / "log.csv",
        tmp_path / "goods.csv",
        "--k",
        1,
        "--out",
        tmp_path / "o",
        "--json",
    ]
    result = CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
    assert "warning: only 1 of 3" in result.stderr and json.loads(result.stdout)["rows"][0]["interactions"] == 1


# --- one spelling of an id ---


@pytest.mark.parametrize(
    "there, here",
    [
        (["1", "2"], [1, 2]),
        (["1", "2"], [1.0, 2.0]),
        (["1", "2"], ["1.0", "2.0"]),
        (["1", "2"], ["1.0", "2"]),
        (["001", "010"], [1, 10]),
        (["1", "10"], ["001", "010"]),
        (["0001", "0010"], ["001", "010"]),
        (["1", "2"], ["１", "２"]),
        (["B1", "B2"], ["Ｂ１", "Ｂ２"]),
        (["Café", "Jäger"], [unicodedata.normalize("NFD", name) for name in ("Café", "Jäger")]),
        ([unicodedata.normalize("NFD", name) for name in ("Café", "Jäger")], ["Café", "Jäger"]),
        (["a", "b"], ["a ", "\tb"]),
        (["a", "b"], ["a\u00a0", "\ufeffb\u200b"]),
        ([" a", "b "], ["a", "b"]),
        (["a b", "c"], ["a b", "c"]),
        ([9007199254740993, 2], ["9007199254740993", "2"]),
    ],
)
def test_one_id_has_one_spelling(there, here):
    dataset = import_tables(log(here, users=here), goods(there), k=1)
    assert sorted(taken(dataset)) == ["Thing 0", "Thing 1"] and len(dataset.items) == 2
    assert dataset.interactions.sort_values("timestamp")["item"].tolist() == dataset.items["item"].tolist()
    assert set(dataset.interactions["item"]) == set(dataset.items["item"])
    assert notes(dataset)["joined with an item"].startswith("2 of 2")


def test_ids_that_differ_stay_apart():
    ids = ["1", "01", "1.5", "1.0", "a", "A", "x²", "x2", "ﬁ", "fi", "-1", "+1", "1e3", "1000"]
    dataset = import_tables(log(ids, users=ids), goods(ids), k=1)
    assert dataset.items["item"].tolist() == ids and dataset.interactions["user"].nunique() == len(ids)
    assert taken(dataset.__class__.from_frames("d", dataset.interactions, dataset.items)) == taken(dataset)
    lost = import_tables(log(["001", "2"]), goods(["1", "01", "2"]), k=1)  # which of two is meant, nothing says
    assert taken(lost) == ["Thing 2"]


def test_another_spelling_is_told():
    dataset = import_tables(log(["001", "2"]), goods(["1", "2"]), k=1)
    assert notes(dataset)["ids spelled otherwise than the items'"] == "1 (001 is 1)"


def test_users_of_two_spellings_are_one():
    users = ["Café", unicodedata.normalize("NFD", "Café"), "７", "7", "7.0"]
    assert spelled(pd.Series(users)).tolist() == ["Café", "Café", "7", "7", "7"]
    assert spelled(pd.Series(["7.0", "7.5", None])).tolist()[:2] == ["7.0", "7.5"]


def test_items_listed_twice_keep_the_first_line():
    dataset = import_tables(log(["Café"]), goods(["Café", unicodedata.normalize("NFD", "Café")]), k=1)
    assert dataset.items["title"].tolist() == ["Thing 0"]
    assert dataset.info["import"]["items"]["dropped"]["repeated item, the first line was kept"] == 1


# --- times ---


def seconds(values, form=None, years=None):
    return read_times(pd.Series([str(value) for value in values], dtype=str), form, "t", years)


@pytest.mark.parametrize("first", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("second", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("many", [1, 9])
def test_every_number_has_its_own_unit(first, second, many):
    found, name = seconds([T * first] * many + [(T + 60) * second])
    assert found.tolist() == [T] * many + [T + 60]
    assert (" and " in name) == (first != second)


@pytest.mark.parametrize("form", ["%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d", "%Y-%m-%dT%H:%M:%S", "%d %b %Y %H:%M:%S",
                                  "%a, %d %b %Y %H:%M:%S GMT", "%Y/%m/%d %H:%M", "%d-%B-%Y", "%Y%m%dT%H%M%S",
                                  "%Y-%m-%d %H:%M:%S.%f", "%m/%d/%Y %I:%M %p", "%s", "%s.5"])  # fmt: skip
@pytest.mark.parametrize("year", [1990, 1999, 2001, NEXT])
def test_dates_of_any_plausible_year(form, year):
    dates = [datetime.datetime(year, 3, day, 11, 37, 4, tzinfo=datetime.UTC) for day in (1, 22)]
    text = [date.strftime(form.replace("%s", str(int(date.timestamp())))) for date in dates]
    for given in (None, form) if "%s" not in form else (None,):
        found, _ = seconds(text, given)
        assert [pd.Timestamp(t, unit="s").strftime(form.replace("%s", str(int(t)))) for t in found] == text
        assert [pd.Timestamp(t, unit="s").year for t in found] == [year, year]


@pytest.mark.parametrize(
    "text, offset",
    [("2023-11-14T22:13:20Z", 0), ("2023-11-14 22:13:20+00:00", 0), ("2023-11-14T23:13:20+0100", 0),
     ("2023-11-15T03:43:20+05:30", 0), ("2023-11-14 22:13:20 UTC", 0), ("Tue, 14 Nov 2023 23:13:20 +0100", 0),
     ("14 November 2023 22:13:20", 0), ("2023-11-14 22:13:20", 0), ("2023-11-14T22:13:20.250", 0.25)],
)  # fmt: skip
def test_zones(text, offset):
    assert seconds([text])[0].tolist() == [T + offset]


def test_forms_may_be_mixed():
    found, name = seconds([T, "2023-11-14 22:13:20", "20231114", "14 Nov 2023", T * 1000])
    assert found.tolist() == [T, T, T - 80000, T - 80000, T] and name.count(" and ") == 4


def test_ticks_of_windows_are_no_nanoseconds():
    assert seconds([(T + 62_135_596_800) * 10**7])[0].tolist() == [T]


@pytest.mark.parametrize("form, value", [("days", 19675.5), ("excel", 45244.5)])
def test_numbers_of_days_are_asked_about_and_read(form, value):
    with pytest.raises(InputError, match=r"too small for times; .*--order COLUMN; of days, --time-format days or"):
        seconds([value])
    assert seconds([value], form)[0].tolist() == [T - 80000 + 43200]


@pytest.mark.parametrize("odd", [-5, 0, 1, -T, T * 3, "1e300", "0001-01-01", "9999-12-31", "1970-01-01"])
def test_times_of_no_plausible_year_are_dropped_and_counted(odd):
    rows = log(["x", "y", "z"]).assign(time=[T, T + 1, odd])
    dataset = import_tables(rows, goods(["x", "y", "z"]), k=1)
    gone = {why: n for why, n in dataset.info["import"]["interactions"]["dropped"].items() if n}
    assert gone == {f"time outside the years 1990 to {NEXT} (--years FROM-TO takes others)": 1}
    assert notes(dataset)["first"] == "2023-11-14 22:13:20" and notes(dataset)["last"] == "2023-11-14 22:13:21"


@pytest.mark.parametrize(
    "times, form, fault",
    [
        ([0, 0, T], None, "1 of 3 numbers are times of the years 1990"),
        ([T * 3, T * 3 + 1], None, f"only 0 of 2 .* such as '{T * 3}' is not; say --years FROM-TO, or --time-format"),
        ([T, T], "ms", "2 of 2 times, read as unix time in ms, are outside the years 1990 .* another --time-format"),
        ([T * 1000, T * 1000], "s", "are outside the years 1990"),
        (["1985-01-01", "1986-01-01"], None, "2 of 2 times, read as ISO 8601.*, such as '1985-01-01'; say --years"),
        (["01/02/2024", "03/04/2024"], None, "does not show whether the day or the month"),
    ],
)
def test_implausible_times_are_asked_about(times, form, fault):
    rows = log(["x"] * len(times)).assign(time=times)
    with pytest.raises(InputError, match=fault):
        import_tables(rows, goods(["x"]), k=1, time_format=form)


def test_other_years_can_be_named():
    rows = log(["x", "y"]).assign(time=["1895-12-28", "2150-01-01"])
    dataset = import_tables(rows.assign(time=["1975-12-28", "2150-01-01"]), goods(["x", "y"]), k=1, years="1970-2200")
    assert len(dataset.interactions) == 2 and dataset.interactions["timestamp"].max() > 5e9
    for wrong in ("1990", "2030-1990", "x-y", "1990-9999"):
        with pytest.raises(InputError, match="is no span of years; say it as 1950-2030"):
            plausible_years(wrong)


def test_the_order_of_mixed_units_is_that_of_time():
    rows = log(["a", "b", "c"]).assign(time=[T * 1000, (T + 60) * 1000, T + 120])
    assert taken(import_tables(rows, goods(["a", "b", "c"]), k=1)) == ["Thing 0", "Thing 1", "Thing 2"]


# --- texts, ratings, words ---


def test_markup_is_cleaned_as_amazons_is():
    titles = [
        "Salt &amp; Pepper",
        "<b>Bold</b> cup",
        "a < b > c",
        "<script>alert(1)</script>Mug",
        "R&D",
        "&lt;3",
        "5 &euro;",
    ]
    dataset = import_tables(log(["0"]), goods(list(map(str, range(7)))).assign(title=titles), k=1)
    assert dataset.items["title"].tolist() == ["Salt & Pepper", "Bold cup", "a < b > c", "Mug", "R&D", "<3", "5 €"]
    only = import_tables(
        log(["0"]), goods(["0"]).assign(title="<script>x</script>", categories="Tea &amp; Co|<i>Hot</i>"), k=1
    )
    assert (
        only.items[["title", "categories"]].loc[0].tolist() == ["Tea & Co. Hot", "Tea & Co|Hot"]
        or only.items["title"][0]
    )


def test_ratings_below_a_limit_are_dropped_and_counted():
    rows = log(["x", "y", "z", "w"], stars=["5", "3.5", None, "good"])
    dataset = import_tables(rows, goods(["x", "y", "z", "w"]), k=1, min_rating=3.5)
    dropped = dataset.info["import"]["interactions"]["dropped"]
    assert taken(dataset) == ["Thing 0", "Thing 1"] and dropped["no rating"] == 1 and dropped["rating below 3.5"] == 1
    with pytest.raises(InputError, match="no rating column was recognised"):
        import_tables(log(["x"]), goods(["x"]), min_rating=3)


def test_words_that_may_stand_for_none_are_told():
    dataset = import_tables(log(["x", "x"], users=["null", "ann"]), goods(["x"]).assign(title="None"), k=1)
    assert notes(dataset)["users that may stand for none, kept"].startswith("null: 1 (--missing")
    assert notes(dataset, "items")["titles that may stand for none, kept"].startswith("None: 1")


# --- tables without names ---


def test_columns_without_names_are_numbers(tmp_path):
    (tmp_path / "log.csv").write_text(f"u,x,5,{T}\nv,y,4,{T}\n")
    (tmp_path / "goods.csv").write_text("x,Cup\ny,Mug\n")
    (tmp_path / "named.csv").write_text("item,title\nx,Cup\ny,Mug\n")
    with pytest.raises(
        InputError, match=r"1, 2, 3, 4 \(its first line names no columns: u, x, 5, 17.*say --user NUMBER, --item NUMBER"
    ):
        import_tables(tmp_path / "log.csv", tmp_path / "named.csv", k=1)
    columns = dict(user="1", item="2", time="4")
    assert taken(import_tables(tmp_path / "log.csv", tmp_path / "named.csv", k=1, **columns)) == ["Cup", "Mug"]
    with pytest.raises(InputError, match="if its first line names no columns, say them as numbers from 1"):
        import_tables(tmp_path / "log.csv", tmp_path / "goods.csv", k=1, user="1", time="4")
    with pytest.raises(InputError, match=r"goods.csv: no item .*among: x, Cup; say --items-id COLUMN, --title COLUMN"):
        import_tables(tmp_path / "log.csv", tmp_path / "goods.csv", k=1, user="1", time="4")
    with pytest.raises(InputError, match=r"join an item, by 2 = 2; other columns that join: 2 = 1 \(100%\)"):
        import_tables(tmp_path / "log.csv", tmp_path / "goods.csv", k=1, **columns, title="2")
    both = import_tables(tmp_path / "log.csv", tmp_path / "goods.csv", k=1, **columns, items_id="1", title="2")
    assert taken(both) == ["Cup", "Mug"] and len(both.items) == 2


# --- pictures in cells ---


def png(colour="red"):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(file, "PNG")
    return file.getvalue()


URI = "data:image/png;base64," + base64.b64encode(png()).decode()
LONG = "https://a.example/" + "x" * 5000 + ".jpg"
READ, WEB = "pictures in the image column that cannot be read", "web addresses in the image column, not fetched"
LOST = "pictures that the image column names and that are not there"


@pytest.mark.parametrize(
    "cell, expected",
    [
        ("pics/x.png", "file"),
        ("pics\\x.png", "file"),
        (["lost.png", "pics/x.png"], "file"),
        ('["pics/x.png"]', "file"),
        ({"path": "pics/x.png", "bytes": None}, "file"),
        (png(), "bytes"),
        ({"bytes": png(), "path": "x.png"}, "bytes"),
        ([{"bytes": png(), "path": None}], "bytes"),
        (URI, "bytes"),
        ("data:image/png;base64,AAAA", READ),
        ("data:,", READ),
        ("data:image/png;base64,%%%", READ),
        (b"%!PS-Adobe", READ),
        ({"bytes": b"", "path": None}, READ),
        ("//host.example/x.jpg", WEB),
        ("https://a.example/1.jpg", WEB),
        ("www.example.org/x.jpg", WEB),
        ("s3://bucket/x.jpg", WEB),
        (["https://a.example/1.jpg", "https://a.example/2.jpg"], WEB),
        ([{"large": LONG, "thumb": "https://a.example/t.jpg", "variant": "MAIN"}], WEB),
        (LONG, WEB),
        ("C:\\shop\\pics\\x.png", LOST),
        ("\\\\server\\share\\x.png", LOST),
        ("file:///etc/hostname", LOST),
        ("x" * 5000, LOST),
        ("pics", LOST),
        ("a\nb", LOST),
        (7, LOST),
        ([], None),
        (" ", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("kind", ["frame", "jsonl", "parquet", "csv"])
def test_every_kind_of_cell(tmp_path, cell, expected, kind):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics/x.png").write_bytes(png())
    shelf = goods(["x", "y"]).assign(image=pd.Series([cell, None], dtype=object))
    if kind == "frame":
        source, more = shelf, dict(images=tmp_path)
    else:
        source, more = tmp_path / f"goods.{kind}", {}
        if kind == "parquet" and not isinstance(cell, int):
            shelf.to_parquet(source)
        elif kind == "csv" and isinstance(cell, str):
            shelf.to_csv(source, index=False)
        elif kind == "jsonl" and "b'" not in repr(cell):
            source.write_text(
                "".join(json.dumps(dict(zip(shelf, row))) + "\n" for row in shelf.itertuples(index=False))
            )
        else:
            pytest.skip("not a thing such a file can hold")
    if kind == "frame" and expected not in ("file", "bytes"):
        (tmp_path / "y.png").write_bytes(png())  # else: no picture of any item
    dataset = import_tables(log(["x", "y"]), source, k=1, **more)
    dataset.save(tmp_path / "out")
    image = load_dataset(tmp_path / "out").items["image"][0]
    assert (image is not None) == (expected in ("file", "bytes"))
    if image:
        assert (tmp_path / "out" / image).read_bytes() == png()
    counted = {name: n for name, n in notes(dataset, "items").items() if n and name in (READ, WEB, LOST)}
    assert counted == ({expected: 1} if expected in (READ, WEB, LOST) else {})
    assert all(len(line) < 300 for line in report(dataset))


def test_base64_without_an_address_is_a_picture_or_counted():
    """Also where it looks like a path from the root: a JPEG's begins with /9j/."""
    file = io.BytesIO()
    Image.effect_noise((40, 40), 90).convert("RGB").save(file, "JPEG")
    whole = base64.b64encode(file.getvalue()).decode()
    safe = base64.urlsafe_b64encode(file.getvalue()).decode()
    shelf = goods(list("vwxyz"), image=[whole, safe, whole[:500], whole[:76] + "\n" + whole[76:], None])
    found = import_tables(log(list("vwxyz")), shelf, k=1)
    assert whole.startswith("/9j/") and found.items["image"].notna().tolist() == [True, True, False, True, False]
    assert notes(found, "items")[READ] == 1


def test_pictures_in_cells_and_in_files_come_together(tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics/y.png").write_bytes(png("blue"))
    shelf = goods(["x", "y", "z"]).assign(image=[URI, "y.png", None])
    import_tables(log(["x", "y"]), shelf, images=tmp_path / "pics", k=1).save(tmp_path / "out")
    found = load_dataset(tmp_path / "out").items["image"]
    assert (tmp_path / "out" / found[0]).read_bytes() == png() and found[2] is None
    assert (tmp_path / "out" / found[1]).read_bytes() == png("blue")


def test_files_whose_names_are_no_text_are_those_of_no_item(tmp_path):
    (tmp_path / "x.png").write_bytes(png())
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(png())
    except OSError:
        pytest.skip("this file system takes no such name")
    told = notes(import_tables(log(["x", "y"]), goods(["x", "y"]), tmp_path, k=1), "items")
    assert told["with a picture"] == 1 and told["pictures of no item"] == 1


@pytest.mark.parametrize("through", ["file", "folder", "column"])
def test_links_out_of_the_folder_are_refused(tmp_path, through):
    (tmp_path / "pics").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/x.png").write_bytes(png())
    shelf = goods(["x"])
    if through == "folder":
        (tmp_path / "pics/sub").symlink_to(tmp_path / "secret")
        shelf["image"] = "sub/x.png"
    else:
        (tmp_path / "pics/x.png").symlink_to(tmp_path / "secret/x.png")
        shelf["image"] = "x.png" if through == "column" else None
    with pytest.raises(InputError, match="does not lie below pics"):
        import_tables(log(["x"]), shelf, images=tmp_path / "pics", k=1)


def test_files_that_are_no_pictures_are_counted_and_named_with_their_reasons(tmp_path, monkeypatch):
    jpeg, folder = io.BytesIO(), tmp_path / "pics"
    Image.effect_noise((64, 64), 90).convert("RGB").save(jpeg, "JPEG")
    contents = [png(), jpeg.getvalue(), b"\0\0\0\x18ftypheic" + bytes(90), b"", b"<html>", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"i{number}.jpg").write_bytes(content)
    (folder / "i6.heic").write_bytes(contents[2])
    Image.new("1", (9_000, 9_000)).save(folder / "i7.png")
    ids = [f"i{number}" for number in range(8)]
    known = {"files named by an item that are no picture of a known format": "1, such as i6.heic"}
    for how in (dict(images=folder), dict(image="image", images=folder)):
        column = {"image": [f"i{n}.jpg" for n in range(6)] + [None, "i7.png"]} if "image" in how else {}
        notes = import_tables(log(ids), goods(ids, **column), k=1, **how).info["import"]["items"]["notes"]
        assert notes["with a picture"] == 2 and known.items() <= notes.items()
        told = notes["picture files that cannot be read"]
        assert told.startswith("4, such as i2.jpg: no picture of a known format (JPEG, ")
        assert "; 1, such as i7.png: 9000 x 9000 pixels, the most are 50,000,000" in told
    with pytest.raises(
        InputError, match=r"no picture of any item; .* \(picture files that cannot be read: 1, such as i3"
    ):
        import_tables(log(["i3"]), goods(["i3"]), k=1, images=folder)


def test_what_is_no_file_is_counted_and_a_column_s_pictures_are_no_spare_ones(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    os.mkfifo(tmp_path / "y.jpg")
    (tmp_path / "z.png").symlink_to("/dev/zero")
    (tmp_path / "cup.png").write_bytes(png())
    shelf = goods(["x", "y", "z", "w"], image=[None, None, None, "cup.png"])
    notes = import_tables(log(["x", "y", "z", "w"]), shelf, tmp_path, k=1).info["import"]["items"]["notes"]
    assert notes["with a picture"] == 1 and notes["pictures of no item"] == 0
    assert notes["files named by an item that are no picture of a known format"] == "3, such as x.jpg"


def test_files_named_by_items_in_other_spellings_and_kinds(tmp_path):
    names = {
        "001.jpg": "JPEG",
        "2.JFIF": "JPEG",
        "3.avif": "AVIF",
        unicodedata.normalize("NFD", "Café") + ".png": "PNG",
    }
    for name, kind in (names | {"5.heic": "PNG", "nobody.png": "PNG"}).items():
        Image.new("RGB", (8, 8), "red").save(tmp_path / name, kind)
    dataset = import_tables(log(["1"]), goods(["1", "2", "3", "Café", "5"]), images=tmp_path, k=1)
    assert dataset.items["image"].notna().tolist() == [True] * 4 + [False]
    assert notes(dataset, "items")["pictures of no item"] == 1
    assert (
        notes(dataset, "items")["files named by an item that are no picture of a known format"] == "1, such as 5.heic"
    )


# --- a data set keeps its own core ---


def test_a_domain_keeps_the_core_of_the_whole(toy):
    whole = import_tables(toy.interactions, toy.items.drop(columns="image"), k=1)
    part = whole.select("mugs")
    mugs = whole.items["item"][whole.items["domain"] == "mugs"]
    assert len(part.items) == len(mugs) and len(part.interactions) == whole.interactions["item"].isin(mugs).sum()
    assert len(whole.select("mugs", 5).interactions) < len(part.interactions) or toy.select("mugs").items.equals(
        part.items
    )
    two = union([part, whole.select("lamps")], "both")
    assert len(two.select("mugs").interactions) == len(part.interactions)


# --- by chance ---


@pytest.mark.slow
def test_tables_and_pictures_by_chance(tmp_path):
    assert {attempt(case, tmp_path) for case in tables(0, 150)} == {"read", "asked"}
    assert {attempt_picture(content) for content in pictures(0, 150)} == {"read", "refused"}


# --- the shared cases ---


def case(name, *files, **options):
    if not CASES.is_dir():
        pytest.skip("no ../shared/cases beside the project")
    if "images" in options:
        options["images"] = CASES / name / options["images"]
    return import_tables(*(CASES / name / file for file in files), k=1, **options)


@pytest.mark.parametrize(
    "name, files, rows, count, more",
    [
        ("amazon2023_asin", ("Gift_Cards.jsonl", "meta_Gift_Cards.jsonl"), 36, 8, {}),
        ("recbole_atomic", ("small.inter", "small.item"), 9, 3, {}),
        ("dat_no_header", ("ratings.dat", "movies.dat"), 12, 4, {}),
        ("dat_no_header", ("ratings.txt", "movies8.txt"), 12, 4, {}),
        ("dat_no_header", ("ratings.csv", "items.csv"), 9, 3, dict(user="1", item="2", time="4")),
        ("spark_folder", ("interactions.parquet", "items.csv"), 4, 2, {}),
        ("tsv_quotes", ("log.tsv", "items.tsv"), 18, 6, {}),
        ("na_words", ("log.csv", "items.csv"), 12, 4, {}),
        ("na_words", ("log.jsonl", "items.jsonl"), 12, 4, {}),
        ("mixed_units", ("log.csv", "items.csv"), 24, 6, {}),
        ("mixed_units", ("log2.csv", "items.csv"), 24, 6, {}),
        ("compact_times", ("compact14.csv", "items.csv"), 4, 4, {}),
        ("compact_times", ("compact12.csv", "items.csv"), 4, 4, {}),
        ("gmt_pattern", ("rfc2822.csv", "items.csv"), 4, 4, dict(time_format="%a, %d %b %Y %H:%M:%S GMT")),
        ("jsonl_half_emoji", ("log.jsonl", "items.jsonl"), 6, 3, {}),
        ("nfd", ("log.csv", "items.csv"), 12, 4, dict(images="pics")),
    ],
)
def test_the_shared_cases(name, files, rows, count, more):
    dataset = case(name, *files, **more)
    assert (len(dataset.interactions), len(dataset.items)) == (rows, count)
    assert pd.to_datetime(dataset.interactions["timestamp"], unit="s").dt.year.between(1997, 2023).all()
    if name in ("mixed_units", "tsv_quotes"):  # items in the order of time
        assert all(one == sorted(one) for one in dataset.interactions.groupby("user")["item"].agg(list))
    if name == "nfd":
        assert dataset.items["image"].notna().all()
    if name == "dat_no_header" and "::" in (CASES / name / files[1]).read_text("latin-1"):
        assert dataset.items["title"].str.contains("Café|Señor").sum() == 2
        assert dataset.items["categories"][0] == "Drama|Comedy"
    if name == "recbole_atomic":
        assert dataset.items["categories"][0] == "Drama|Comedy" and dataset.items["title"][0] == "Made-up Film 1"


@pytest.mark.parametrize("table, count", [("hf.parquet", 2), ("datauri.csv", 1), ("protocolrelative.csv", 0),
                                          ("winpath.csv", 1), ("list.jsonl", 0)])  # fmt: skip
def test_the_shared_cells(table, count, tmp_path):
    dataset = case("image_cells", "log.csv", table)
    assert dataset.items["image"].notna().sum() == count and len(dataset.interactions) == 4
    assert all(len(line) < 200 for line in report(dataset))
    dataset.save(tmp_path / "out")


def test_the_shared_case_of_domains(tmp_path):
    dataset = case("k_and_domain", "log.csv", "items.csv")
    dataset.save(tmp_path / "out")
    lamps = load_dataset(tmp_path / "out").select("lamps")
    own = dataset.items.query("domain == 'lamps'")["item"]
    assert len(lamps.items) == len(own) and len(lamps.interactions) == dataset.interactions["item"].isin(own).sum()
