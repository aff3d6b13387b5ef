"""Tables of a user's own: every kind of file, column and time, what is dropped, and each error in one line."""

import datetime
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmm4rec_lite.data import import_tables, load_dataset, order_only, union
from mmm4rec_lite.data.tabular import LONGEST, report
from mmm4rec_lite.data.times import read_times
from mmm4rec_lite.study import cli
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.utils.errors import InputError
from tests.support import toy as make_toy

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
T = 1_700_000_000  # 2023-11-14 22:13:20 UTC
NEXT = datetime.date.today().year + 1


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def items(*ids, **columns):
    return pd.DataFrame({"item": list(ids), "title": [f"Thing {one}" for one in ids], **columns})


def rows(*lines, columns=("user", "item", "timestamp")):
    return pd.DataFrame(list(lines), columns=list(columns))


def triples(dataset):
    return list(dataset.interactions.itertuples(index=False, name=None))


def dropped(dataset, part="interactions"):
    return {reason: n for reason, n in dataset.info["import"][part]["dropped"].items() if n}


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


# --- kinds of files ---


def save_as(frame, path):
    """The frame in the kind of file that the name says."""
    kind = path.name.removesuffix(".gz").split(".", 1)[1]
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(
            path,
            sep={"tsv": "\t", "semicolon.csv": ";", "pipe.txt": "|"}.get(kind, ","),
            index=False,
            encoding="utf-8-sig" if kind == "bom.csv" else "utf-8",
        )
    return path


@pytest.mark.parametrize(
    "kind", ["csv", "csv.gz", "tsv", "tsv.gz", "semicolon.csv", "pipe.txt", "bom.csv", "jsonl", "jsonl.gz", "parquet"]
)
def test_the_toy_comes_back_from_every_kind_of_file(toy, tmp_path, kind):
    goods = toy.items.assign(title=toy.items["title"] + ' | a; b, "c"\nd')
    dataset = import_tables(
        save_as(toy.interactions, tmp_path / f"log.{kind}"),
        save_as(goods, tmp_path / f"goods.{kind}"),
        images=make_toy.FOLDER,
        k=1,
    )
    pd.testing.assert_frame_equal(dataset.interactions, toy.interactions.drop_duplicates(ignore_index=True))
    assert dataset.items["title"].tolist() == goods["title"].tolist()
    assert dataset.items[["item", "text", "domain"]].equals(toy.items[["item", "text", "domain"]])
    assert dataset.items["image"].notna().tolist() == toy.items["image"].notna().tolist()
    assert dropped(dataset) == {"exact repeats of user, item and time": 3} and not dropped(dataset, "items")
    assert dataset.info["times"] == "seconds"


def test_saved_checked_and_extracted_on_the_command_line(toy, tmp_path):
    log, goods = (
        save_as(frame, tmp_path / name)
        for frame, name in ((toy.interactions, "log.csv"), (toy.items.drop(columns="image"), "goods.csv"))
    )
    out = tmp_path / "own"
    command = "data", "import", log, goods, "--images", make_toy.FOLDER / "images", "--k", 1, "--out", out
    text = run(*command)
    assert "log.csv: 1035 interactions read, 1032 kept\n  columns: user = user, item = item, time = timestamp" in text
    assert "with a picture: 48" in text and "own" in text.splitlines()[-1]
    first = (out / "dataset.json").read_bytes(), (out / "interactions.parquet").read_bytes()
    found = json.loads(run(*command, "--json"))
    assert found["import"] == load_dataset(out).info["import"] and found["rows"][0]["images"] == 48
    assert first == ((out / "dataset.json").read_bytes(), (out / "interactions.parquet").read_bytes())
    assert json.loads(run("data", "check", out, "--json"))["rows"][0]["interactions"] == 1032
    made = run("features", "--data", out, "--encoder", "random", "--out", tmp_path / "f.safetensors")
    assert "60 items" in made and "48 pictures" in made


def test_a_domain_too_small_for_its_core_does_not_end_the_check(tmp_path, toy):
    goods = toy.items.drop(columns="image").replace({"domain": {"mugs": "mugs, large"}})
    goods.loc[0, "domain"] = "single"
    import_tables(toy.interactions, goods, k=5).save(tmp_path / "own")
    names = [row["dataset"] for row in json.loads(run("data", "check", tmp_path / "own", "--json"))["rows"]]
    assert names == ["imported", "imported-lamps", "imported-mugs & large"]


# --- columns ---


@pytest.mark.parametrize(
    "user, item, time",
    [
        ("user_id", "item_id", "timestamp"),
        ("User ID", "ASIN", "Date"),
        ("customer", "sku", "time"),
        ("uid", "product_id", "created_at"),
        ("reviewerID", "asin", "unixReviewTime"),
        ("Kundennummer", "Artikelnummer", "Bestelldatum"),
        ("user", "item", "Zeitstempel"),
        ("user", "item", "Datum"),
    ],
)
def test_usual_names_are_known(user, item, time):
    dataset = import_tables(rows(("a", "x", T), columns=(user, item, time)), items("x"), k=1)
    assert triples(dataset) == [("a", "x", T)]
    assert dataset.info["import"]["interactions"]["columns"] == {"user": user, "item": item, "time": time}


def test_named_columns_go_before_usual_ones():
    log = pd.DataFrame({"user": ["no"], "who": ["a"], "item": ["no"], "what": ["x"], "time": [5], "when": [T]})
    goods = pd.DataFrame({"id": ["x"], "name": ["No"], "head": ["Yes"], "body": ["B."], "more": ["M"], "kind": ["k"]})
    dataset = import_tables(
        log, goods, k=1, user="who", item="what", time="when", title="head", text="body, more", domain="kind"
    )
    assert triples(dataset) == [("a", "x", T)]
    assert dataset.items.loc[0].tolist() == ["x", "Yes", "B. M", None, "k", ""]


@pytest.mark.parametrize("one", ["Garden, Hoses", " Garden ;Hoses ", ["Garden", "Hoses"], "Garden> Hoses"])
def test_categories_of_every_form(one):
    goods = pd.DataFrame({"item": ["x", "y"], "title": ["T", "U"], "genres": [one, None], "shelf": ["A", "B"]})
    log = rows(("a", "x", T), ("a", "y", T))
    assert import_tables(log, goods, k=1).items["categories"].tolist() == ["Garden|Hoses", ""]
    assert import_tables(log, goods, k=1, category="shelf").items["categories"].tolist() == ["A", "B"]


@pytest.mark.parametrize(
    "columns, text, title",
    [
        ({"title": ["T"], "text": ["All"], "brand": ["B"]}, "All", "T"),
        ({"description": ["D."], "brand": ["B"], "categories": [["c", "d"]], "name": ["T."]}, "T. c, d. B. D", "T."),
        ({"Bezeichnung": ["T"], "Beschreibung": ["D"], "Kategorie": ["K"], "Marke": ["M"]}, "T. K. M. D", "T"),
        ({"Bezeichnung": ["T"], "Warengruppe": ["W"]}, "T. W", "T"),
        ({"text": ["word " * 40]}, ("word " * 40).strip(), "word " * 15 + "..."),
        ({"title": [None], "brand": ["B"]}, "B", "B"),
        ({"title": [""], "brand": [np.nan]}, "", "x"),
    ],
)
def test_text_and_title(columns, text, title):
    dataset = import_tables(rows(("a", "x", T)), pd.DataFrame({"item": ["x"], **columns}), k=1)
    assert dataset.items[["text", "title"]].loc[0].tolist() == [text, title.replace("word ...", "word...")]
    assert dataset.info["import"]["items"]["notes"]["without text"] == (text == "")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_ids_survive(tmp_path, kind):
    ids = ["0739", "739", "1e5", "a b", "é\nü", "../x", "9007199254740993"]
    log = rows(*((one, one, T + n) for n, one in enumerate(ids)))
    dataset = import_tables(save_as(log, tmp_path / f"log.{kind}"), save_as(items(*ids), tmp_path / f"it.{kind}"), k=1)
    assert dataset.items["item"].tolist() == ids and sorted(dataset.interactions["user"]) == sorted(ids)


def test_numbers_as_ids_meet_across_tables(tmp_path):
    log = save_as(pd.DataFrame({"user": [1, 2, None], "item": [7.0, 8.0, np.nan], "time": T}), tmp_path / "log.csv")
    assert "7.0" in log.read_text()
    goods = save_as(items(7, 8), tmp_path / "goods.jsonl")
    dataset = import_tables(log, goods, k=1)
    assert triples(dataset) == [("1", "7", T), ("2", "8", T)] and dropped(dataset) == {"no user": 1}
    big = pd.DataFrame({"user": ["a"], "item": [2**53 + 1], "time": [T]})
    big = import_tables(big, save_as(items(2**53 + 1, 2), tmp_path / "big.parquet"), k=1)
    assert big.items["item"].tolist() == ["9007199254740993", "2"]


# --- times ---


@pytest.mark.parametrize(
    "values, expected, name",
    [
        ([T, T + 1], [T, T + 1], "unix time in s"),
        ([T * 1000 + 999, "x", T * 1000], [T + 0.999, None, T], "unix time in ms"),
        ([T * 10**6, T * 10**6], [T, T], "unix time in us"),
        ([T * 10**9, T * 10**9], [T, T], "unix time in ns"),
        (["1700000000.5", "1.7e9"], [T + 0.5, T], "unix time in s"),
        ([20231114, 20231115], [T - 80000, T + 6400], "dates such as 20241231"),
        (["2023-11-14T22:13:20Z", "2023-11-14 23:13:20+01:00"], [T, T], "ISO 8601"),
        (
            ["2023-11-14 22:13:20", "2023/11/14 22:13:20 UTC", "2023-11-14"],
            [T, T, T - 80000],
            "ISO 8601, UTC where no zone is given",
        ),
        (["2023-11-14", "2023-02-30", "today"][:2], [T - 80000, None], "ISO 8601, UTC where no zone is given"),
        (
            ["11/14/2023 22:13", "11/2/2023 22:13:20.5"],
            [T - 20, T - 12 * 86400 + 0.5],
            "dates with the month first, UTC",
        ),
        (
            ["14.11.2023 22:13:20", "2-11-2023 24:00", "01/12/2023"],
            [T, None, T + 17 * 86400 - 80000],
            "dates with the day first, UTC",
        ),
        (
            ["11/14/2023 10:13 PM", "11/14/2023 12:13 am"],
            [T - 20, T - 20 - 22 * 3600],
            "dates with the month first, UTC",
        ),
    ],
)
def test_times_are_found_out(values, expected, name):
    found, taken = read_times(pd.Series([str(value) for value in values], dtype=str))
    assert taken == name
    assert found.tolist() == pytest.approx([np.nan if t is None else t for t in expected], nan_ok=True, abs=1e-6)


@pytest.mark.parametrize(
    "form, value, expected",
    [
        ("s", "12", 12),
        ("ms", "12000", 12),
        ("us", "12000000", 12),
        ("ns", "12e9", 12),
        ("iso", "1970-01-01T00:00", 0),
        ("%d/%m/%Y %H:%M", "02/01/1970 00:01", 86460),
        ("%m/%d/%Y %H:%M", "02/01/1970 00:01", 31 * 86400 + 60),
        ("%b %d %Y", "Jan 02 1970", 86400),
        ("%Y-%m-%d %z", "1970-01-02 +0100", 82800),
    ],
)
def test_a_named_time_format_decides(form, value, expected):
    assert read_times(pd.Series([value]), form)[0].tolist() == [expected]


@pytest.mark.parametrize(
    "values, form, fault",
    [
        (["01/02/2024", "03/04/2024 10:00"], None, "does not show whether the day or the month.*--time-format"),
        (["13/02/2024", "03/14/2024"], None, "has days before months and months before days.*--time-format"),
        (["0", "1", "2"], None, "end at 2, too small for times.*--order COLUMN.*--time-format with"),
        (["45355.5", "45356"], None, "end at 45356, too small.*of days, --time-format days or, .*excel; taken"),
        (
            ["31.12.24", "01.01.25"],
            None,
            "cannot be read, such as '31.12.24'; taken are unix time in s, ms, us or ns, ISO "
            "8601, day.month.year, .*yyyymmdd; for others say --time-format with a pattern such as '%d.%m.%y'",
        ),
        (
            ["soon", "2024-01-01", "later"],
            None,
            "2 of 3 values cannot be read, such as 'soon'; taken.*say --time-format",
        ),
        (["soon"], None, "1 of 1 values cannot be read"),
        (["2024-01-01"], "%d/%m/%Y", "1 of 1 values cannot be read"),
        (["2024-01-01"], "weeks", "time format 'weeks' is not known: say --time-format"),
        (["2024-01-01"], "%Q", "time format '%Q' cannot be used"),
    ],
)
def test_times_that_cannot_be_told(values, form, fault):
    with pytest.raises(InputError, match=f"^(?:t: .*)?{fault}") as error:
        read_times(pd.Series(values, dtype=str), form, "t")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(pd.Series(["2023-11-14 22:13:20", None])),
        pd.to_datetime(pd.Series(["2023-11-14 23:13:20", None])).dt.tz_localize("Europe/Berlin"),
        pd.Series([float(T), np.nan]),
    ],
)
@pytest.mark.parametrize("through", ["frame", "parquet"])
def test_typed_times(values, through, tmp_path):
    log = pd.DataFrame({"user": ["a", "b"], "item": "x", "time": values})
    dataset = import_tables(log if through == "frame" else save_as(log, tmp_path / "log.parquet"), items("x"), k=1)
    assert triples(dataset) == [("a", "x", T)] and dropped(dataset) == {"no time": 1}


def test_fractions_of_a_second_still_order_and_lines_decide_ties():
    log = rows(("a", "z", T * 1000 + 900), ("a", "y", T * 1000 + 100), ("a", "w", T * 1000 + 900))
    assert triples(import_tables(log, items(*"wyz"), k=1)) == [("a", "y", T), ("a", "z", T), ("a", "w", T)]


# --- order only ---


def test_order_by_a_column_or_by_the_lines(tmp_path):
    log = rows(
        ("a", "x", 30),
        ("b", "x", 1),
        ("a", "y", 20),
        ("a", "z", 30),
        ("a", "x", 30),
        ("a", "y", "?"),
        columns=("user", "item", "position"),
    )
    by_column = import_tables(log, items(*"xyz"), k=1, order="position")
    assert triples(by_column) == [("a", "y", 0), ("a", "x", 1), ("a", "z", 1), ("b", "x", 0)]
    assert dropped(by_column) == {"unreadable order (no number)": 1, "exact repeats of user, item and time": 1}
    by_line = import_tables(log, items(*"xyz"), k=1, order="file")
    assert triples(by_line) == [("a", item, n) for n, item in enumerate("xyzxy")] + [("b", "x", 0)]
    for dataset in (by_column, by_line):
        assert dataset.info["times"] == "order only" and order_only(dataset)
        dataset.save(tmp_path / "own")
        assert order_only(load_dataset(tmp_path / "own"))
    timed = import_tables(rows(("a", "q", T)), items("q"), k=1, name="timed")
    assert not order_only(timed) and order_only(union([timed, by_line], "both"))


def test_whole_days_are_noted():
    log = rows(("a", "x", "2024-01-01"), ("a", "y", "2024-01-02"))
    assert import_tables(log, items("x", "y"), k=1).info["times"] == "days"


# --- what is dropped ---


def test_everything_dropped_is_counted_once(tmp_path):
    log = write(
        tmp_path / "log.csv",
        "user,item,time\n"
        + "".join(
            f"{line}\n"
            for line in [
                f"a,x,{T}",
                f"a,x,{T}",
                f",x,{T}",
                f"a,,{T}",
                "a,x,",
                "a,x,soon",
                "a,x,-5",
                "a,x,1e300",
                "a,x,inf",
                f"NaN,x,{T}",
                f"a,q,{T}",
                f"b,x,{T}",
                f"b,y,{T + 1}",
                f"a,y,{T + 1}",
                f"c,z,{T}",
                f"c,x,{T}",
                f"d , x ,{T}",
            ]
        ),
    )
    goods = write(tmp_path / "goods.csv", "item,title\nx,X\ny,Y\nz,Z\nx,again\n,nobody\n")
    dataset = import_tables(log, goods, k=2)
    assert triples(dataset) == [("a", "x", T), ("a", "y", T + 1), ("b", "x", T), ("b", "y", T + 1)]
    assert dropped(dataset) == {
        "no user": 1,
        "no item": 1,
        "no time": 1,
        "unreadable time": 2,
        f"time outside the years 1990 to {NEXT} (--years FROM-TO takes others)": 2,
        "item not among the items": 1,
        "exact repeats of user, item and time": 1,
        "outside the 2-core": 4,
    }
    about = dataset.info["import"]["interactions"]
    assert about["read"] == 17 == about["kept"] + sum(about["dropped"].values())
    assert dropped(dataset, "items") == {
        "no item": 1,
        "repeated item, the first line was kept": 1,
        "outside the 2-core": 1,
    }
    assert dataset.items["title"].tolist() == ["X", "Y"]
    lines = report(dataset)
    assert lines[0] == "log.csv: 17 interactions read, 4 kept" and "  dropped, outside the 2-core: 4" in lines


def test_columns_that_were_not_taken_are_told():
    log = rows(("a", "x", T, 5, 2), columns=("user", "item", "time", "stars", "Amount"))
    dataset = import_tables(log, items("x", price=3, description="d", domain="e"), k=1)
    lines = report(dataset)
    assert [line for line in lines if "not used" in line] == ["  not used: stars, Amount", "  not used: price"]
    assert not any("not used" in line for line in report(import_tables(rows(("a", "x", T)), items("x"), k=1)))


def test_k_of_one_keeps_everything():
    dataset = import_tables(rows(("a", "x", T)), items("x", "never taken"), k=1)
    assert len(dataset.items) == 2 and dataset.info["core"] == 1


def test_long_texts_are_cut():
    goods = pd.DataFrame({"item": ["x", "y"], "title": ["t" * 10**7, "short"]})
    dataset = import_tables(rows(("a", "x", T)), goods, k=1)
    assert dataset.items["title"].str.len().tolist() == [LONGEST, 5] == dataset.items["text"].str.len().tolist()
    assert dataset.info["import"]["items"]["notes"][f"texts cut at {LONGEST} characters"] == 1


def test_nothing_in_a_file_is_executed(tmp_path):
    bomb = f"__import__('pathlib').Path({str(tmp_path / 'gone')!r}).touch()"
    lines = [{"item": "x", "title": bomb, "categories": [bomb], "brand": {"k": bomb}}]
    goods = write(tmp_path / "goods.jsonl", "\n".join(map(json.dumps, lines)))
    dataset = import_tables(rows((bomb, "x", T)), goods, k=1)
    assert bomb in dataset.items["text"][0] and not (tmp_path / "gone").exists()


# --- pictures ---


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pics"
    (folder / "sub").mkdir(parents=True)
    for name in ("x.jpg", "y.PNG", "y.webp", "sub/z.png", "a.b.jpeg"):
        Image.new("RGB", (4, 4), "red").save(folder / name)
    write(folder / "w.txt", "no picture")
    return folder


def test_pictures_by_id_and_by_column(pictures, tmp_path):
    log, goods = rows(("a", "x", T)), items("x", "y", "z", "w", "a.b", "../pics/x")
    by_id = import_tables(log, goods, pictures, k=1)
    assert by_id.items["image"].tolist() == ["pics/x.jpg", "pics/y.PNG", None, None, "pics/a.b.jpeg", None]
    listed = ["sub/z.png", None, "lost.png", "http://x.org/1.jpg", "", "x.jpg"]
    both = import_tables(log, goods.assign(image=listed), pictures, k=1)
    assert both.items["image"].tolist() == ["pics/sub/z.png", "pics/y.PNG", None, None, "pics/a.b.jpeg", "pics/x.jpg"]
    notes = both.info["import"]["items"]["notes"]
    assert notes["with a picture"] == 4 and notes["web addresses in the image column, not fetched"] == 1
    assert notes["pictures that the image column names and that are not there"] == 1
    beside = save_as(goods.assign(pic=listed), pictures / "goods.csv")
    own = import_tables(log, beside, image="pic", k=1)
    assert own.items["image"].tolist() == ["pics/sub/z.png", None, None, None, None, "pics/x.jpg"]
    own.save(tmp_path / "own")
    assert (tmp_path / "own/pics/sub/z.png").is_file() and load_dataset(tmp_path / "own").items.equals(own.items)


# --- errors ---


@pytest.mark.parametrize(
    "name, content, fault",
    [
        ("log.csv", "", "cannot be read as csv|first line"),
        ("log.csv", "user,item,time\n", "no rows"),
        ("log.csv", "user,item,time\na,x,1,2\n", "log.csv: line 2 has 4 values .*, line 1 names 3; put values"),
        ("log.csv", "user,item,time\na,x,1\na,x,1,2\n", "log.csv: line 3 has 4 values .*, line 1 names 3; put values"),
        ("log.csv", 'user,item,time\na,"x,1\n', "line 2 has a quote that opens a value and does not close it"),
        ("log.csv", b"user,item,time\n\xff\xfe,x,1\n", "cannot be read as csv .*utf-8.*; save it as UTF-8, or say"),
        (
            "log.csv",
            b"user,item,time\n" + b"a,x,1\n" * 10**5 + "ü,x,1\n".encode("cp1252"),
            "; save it as UTF-8, or say",
        ),
        ("log.jsonl", '{"user": "ü"}\n'.encode("cp1252"), "; save it as UTF-8, or say"),
        ("log.csv.gz", b"user,item,time", "cannot be read as csv .*gzip"),
        ("log.csv.gz", gzip.compress(b"user,item,time\n" * 9, mtime=0)[:-9], "cannot be read as csv"),
        ("log.jsonl", '{"user": "a"}\nnot json\n', "line 2 is not one JSON object"),
        ("log.jsonl", '[{"user": "a"}]\n', "line 1 is not one JSON object"),
        ("log.jsonl", "[" * 10**5, "cannot be read as jsonl|line 1"),
        ("log.parquet", b"PAR1 and so on", "cannot be read as parquet"),
        ("log.xlsx", "", "no table of a known kind; take csv"),
        ("log.parquet.gz", "", "no table of a known kind; take csv"),
    ],
)
def test_unreadable_files(tmp_path, name, content, fault):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=fault) as error:
        import_tables(path, items("x"))
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options, fault",
    [
        (dict(user="who"), "interactions has no column 'who' for the user; it has: user, item, timestamp$"),
        (dict(item="it"), "neither interactions nor items has a column 'it' for the item"),
        (dict(text="title,body"), "items has no column 'body' for the text"),
        (dict(time="timestamp", order="item"), "both a time and an order column"),
        (dict(order="position"), "no column 'position' for the order"),
        (dict(images="nowhere"), "nowhere: there is no such folder of pictures"),
        (dict(images=str(make_toy.FOLDER)), "no picture of any item; expected files named <item id>.jpg"),
        (dict(k=5), "nothing is left of its 5-core"),
    ],
)
def test_wrong_options(options, fault):
    with pytest.raises(InputError, match=fault):
        import_tables(rows(("a", "x", T)), items("x"), **options)


@pytest.mark.parametrize(
    "log, goods, fault",
    [
        (
            rows(("a", "x", T), columns=("q", "item", "time")),
            items("x"),
            "no user column .*: q, item, time; say --user",
        ),
        (rows(("a", "x", 0), columns=("user", "item", "position")), items("x"), "no time column .*--order COLUMN, or"),
        (
            rows(("a", "x", T), columns=("q", "item", "z")),
            pd.DataFrame({"n": ["x"], "price": [3]}),
            "interactions: no user and no time column .*: q, item, z; "
            "say --user COLUMN, --time COLUMN; .*--order file .*; "
            "items: no item and no title and no text column .*: n, price; say --items-id COLUMN, --title COLUMN or",
        ),
        (
            rows(("a", "x", T)),
            pd.DataFrame({"item": ["x"], "price": [3]}),
            "no title and no text column .*: item, price",
        ),
        (
            rows(("a", "x", T)),
            items("y"),
            r"nothing is left, 0 of 1 lines \(0%\) join an item, by item = item; no other columns join more "
            r"\(--item COLUMN, --items-id COLUMN\); 'x' is not among \['y'\]",
        ),
        (rows((None, "x", T)), items("x"), r"nothing is left of 1 interactions \(no user: 1\)"),
        (rows(("a", "x", T)), items("x", image="/etc/passwd"), "'/etc/passwd' does not lie below"),
        (rows(("a", "x", T)), items("x", image="../x.jpg"), "'../x.jpg' does not lie below"),
    ],
)
def test_unusable_tables(log, goods, fault):
    with pytest.raises(InputError, match=fault):
        import_tables(log, goods, k=1)


def test_a_failed_command_says_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    log = save_as(rows(("a", "x", "01/02/2024")), tmp_path / "log.csv")
    goods = save_as(items("x"), tmp_path / "goods.csv")
    command = "mmm4rec-lite", "data", "import", log, goods, "--out", tmp_path / "out"
    monkeypatch.setattr("sys.argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == "" and re.fullmatch(r"error: log\.csv, column 'timestamp'[^\n]+\n", err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["goods.csv", "log.csv"]


# --- real tables ---


@pytest.mark.parametrize(
    "name, options, counts, times",
    [
        ("instruments", {}, (12_666, 4_924, 93_432), "days"),
        ("scientific", {"order": "position"}, (8_442, 4_385, 59_427), "order only"),
    ],
)
def test_amazon_2018(name, options, counts, times):
    folder = SHARED / f"amazon-2018-{name}"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    dataset = import_tables(folder / "interactions.csv.gz", folder / "items.csv.gz", k=1, name=name, **options)
    assert (dataset.interactions["user"].nunique(), len(dataset.items), len(dataset.interactions)) == counts
    assert dataset.info["times"] == times and not dropped(dataset) and not dropped(dataset, "items")


def test_items_without_text_are_left_out_where_text_is_needed():
    log = pd.DataFrame({"user": list("aabb"), "item": [1, 2, 1, 3], "timestamp": [10**9, 10**9 + 1] * 2})
    goods = pd.DataFrame({"item": [1, 2, 3], "title": ["Cup", None, " "]})
    assert len(import_tables(log, goods, k=1).interactions) == 4
    part = import_tables(log, goods, k=1, need_text=True)
    assert part.items["item"].tolist() == ["1"] and len(part.interactions) == 2
    told = part.info["import"]
    assert told["items"]["dropped"]["without text"] == 2
    assert told["interactions"]["dropped"]["item not among the items"] == 2
