"""Amazon Reviews 2018: every kind of mess in made-up files, the real format, counts of a real domain."""

import csv
import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from mmm4rec_lite import InputError
from mmm4rec_lite.data import Dataset, load_dataset
from mmm4rec_lite.data.amazon import (
    AMAZON_SOURCES,
    LONGEST_TEXT,
    amazon,
    clean,
    differences,
    domain,
    field_text,
    image_url,
    lines,
    record,
    table_1,
    union_domains,
)
from mmm4rec_lite.data.download import save_with_urls
from mmm4rec_lite.study.cli.commands import app

SHARED = Path(__file__).parents[3] / "shared" / "data"
GRID = [(f"B{item}", f"U{user}", 5.0, 86_400 * (100 + (user * item) % 3)) for user in range(6) for item in range(6)]


def shared(folder):
    if not (SHARED / folder).is_dir():
        pytest.skip(f"no ../shared/data/{folder} beside the project")
    return SHARED / folder


def gz(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass")))


def product(item, **more):
    return {"asin": item, "title": f"Thing {item}", "category": ["Things", "Small"], "brand": "Acme", **more}


def raw(folder, rows=GRID, products=None, name="Test"):
    """A ratings file and metadata; ``rows`` are tuples, or lines as they are."""
    text = [row if isinstance(row, str) else ",".join(map(str, row)) for row in rows]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.csv").write_bytes(b"".join(one.encode("utf-8", "surrogateescape") + b"\n" for one in text))
    products = [product(f"B{item}") for item in range(6)] if products is None else products
    gz(folder / f"meta_{name}.json.gz", [one if isinstance(one, str) else json.dumps(one) for one in products])
    return folder


def prepare(folder, rows=GRID, products=None, name="Test", **kwargs):
    return amazon(name, raw(folder, rows, products, name), progress=False, **kwargs)


def test_the_real_format_is_read():
    dataset, urls = amazon("Gift_Cards", shared("amazon-2018-raw"), progress=False)
    with gzip.open(SHARED / "amazon-2018-raw/Gift_Cards/Gift_Cards_5.json.gz", "rt") as file:
        reviews = pd.DataFrame(map(json.loads, file))
    left = reviews.drop_duplicates(["reviewerID", "asin", "overall", "unixReviewTime"])
    counts = dataset.info["interactions"]
    assert (counts["lines"], counts["exact repeats"]) == (len(reviews), len(reviews) - len(left))
    while True:  # an own 5-core, by another road
        fewer = left[
            left.groupby("asin")["asin"].transform("size").ge(5)
            & left.groupby("reviewerID")["asin"].transform("size").ge(5)
        ]
        if len(fewer) == len(left):
            break
        left = fewer
    left = left.sort_values(["reviewerID", "unixReviewTime"], kind="stable")  # ties keep the file's order
    wanted = left[["reviewerID", "asin", "unixReviewTime"]].to_numpy().tolist()
    assert dataset.interactions.to_numpy().tolist() == wanted
    assert not dataset.items["text"].str.contains("[<>]|&amp;|\n").any()
    assert len(urls) == dataset.info["items"]["with image URL"] > 0 and urls["url"].str.startswith("https://").all()


@pytest.mark.slow
def test_scientific_has_the_papers_counts_and_text_form(tmp_path):
    source = shared("amazon-2018-scientific")
    with gzip.open(source / "interactions.csv.gz", "rt") as file:
        rows = [(row["item_id"], row["user_id"], 5.0, int(row["position"])) for row in csv.DictReader(file)]
    with gzip.open(source / "items.csv.gz", "rt") as file:
        items = [product(row["item_id"], title=row["text"]) for row in csv.DictReader(file)]
    folder = raw(tmp_path / "Scientific", rows, items, "Industrial_and_Scientific").parent
    dataset, _ = amazon("Scientific", folder, progress=False)
    table = table_1([dataset]).iloc[0]
    for column in ("users", "items", "interactions"):
        assert table[column] == table[f"paper_{column}"]
    assert differences(dataset)[0] == "Scientific: users, items and interactions equal Table 1."
    assert amazon("Industrial_and_Scientific", folder, progress=False)[0].name == "Scientific"


def test_every_line_is_counted_once_and_only_for_its_reason(tmp_path):
    broken = [
        "B0,U0",
        "B0,U0,x,100",
        "B0,U0,5.0,",
        "B0,U0,5.0,1.5",
        "B0,U0,nan,100",
        "B0,U0,5.0,nan",
        "",
        "B0,U0,5.0,-100",
        "B0,U0,5.0,1529193600000",
        ",U0,5.0,100",
        "B 0,U0,5.0,100",
        'B0,"U',
        '0",5.0,100',
        "B0,U\x000,5.0,100",
        "item,user,rating,timestamp",
        "B0,Ü,5.0,100",
        "B0," + "U" * 65 + ",5.0,100",
        "B0,U\udcff,5.0,100",
    ]
    again = [GRID[0], GRID[7], GRID[7]]
    other = [(GRID[0][0], GRID[0][1], 4.0, GRID[0][3])]  # another rating: not a repeat
    unknown, rare = [("B99", f"U{user}", 5.0, 100) for user in range(6)], [("B5", "Rare", 5.0, 100)]
    dataset, _ = prepare(tmp_path, broken + GRID + again + other + unknown + rare)
    assert dataset.info["interactions"] == {
        "lines": len(broken) + 36 + 3 + 1 + 6 + 1,
        "unreadable": len(broken),
        "exact repeats": 3,
        "item without metadata": 6,
        "outside the 5-core": 1,
        "kept": 37,
    }
    assert (
        "18 were unreadable, 3 exact repeats, 6 of items without metadata; the 5-core took 1 more"
        in differences(dataset)[1]
    )


@pytest.mark.parametrize("first", ["", "B0", "B0,U0", "a,b,c,d,e,f,g", "x" * 100_000, '"'])
def test_any_first_line(tmp_path, first):
    dataset, _ = prepare(tmp_path, [first, *GRID])
    assert dataset.info["interactions"]["unreadable"] == 1 and len(dataset.interactions) == 36


def test_the_core_is_a_fixed_point(tmp_path):
    # each user of the chain hangs on an item that falls with the user before: one pass would keep all but one
    chain = [(f"B{item}", f"C{n}", 5.0, 100) for n in range(8) for item in range(4)]
    chain += [(f"L{n}", f"C{n}", 5.0, 100) for n in range(8)]
    chain += [(f"L{n}", f"C{n + 1}", 5.0, 100) for n in range(7)]
    links = [product(f"L{n}") for n in range(8)]
    dataset, _ = prepare(tmp_path, GRID + chain, [product(f"B{item}") for item in range(6)] + links)
    assert len(dataset.interactions) == 36 and set(dataset.items["item"]) == {f"B{item}" for item in range(6)}
    dataset, _ = prepare(tmp_path / "k", GRID + chain, [product(f"B{item}") for item in range(6)] + links, k=2)
    assert len(dataset.interactions) == 36 + len(chain) - 1  # L7 has one user only
    with pytest.raises(InputError, match="nothing is left of its 7-core"):
        prepare(tmp_path / "k", k=7)


def test_metadata_of_every_kind(tmp_path):
    products = [
        repr(product("B0", title='It\'s "so"', price=None)),  # a Python literal
        product("B1", title="<b>Red</b> &amp;quot;mug&amp;quot;<script>var a = '<i>';</script>", brand=None),
        product("B1", title="a repeat"),
        {"asin": "B2", "categories": [["Deep", "Down"], ["Deep", "Nested"]], "imUrl": "http://host/b2.jpg"},
        product("B3", title="var aPageStart = (new Date()).getTime();", category=[], brand=""),
        product("B4", title="x" * 10_000_000, brand="by\n    \n    Ember"),
        product(
            "B5", title="bad \ud800 half\x00 char", imageURLHighRes=["https://host/big.jpg"], imageURL=["http://s"]
        ),
        "{'asin': 'B6'",
        "not json",
        "[1, 2]",
        '{"title": "no id"}',
        '{"asin": 5}',
        '{"asin": "a b"}',
        "",
    ]
    dataset, urls = prepare(tmp_path, products=products)
    assert dataset.info["metadata"] == {"lines": 14, "Python literals": 1, "unreadable": 7, "repeated items": 1}
    titles, texts = (dataset.items.set_index("item")[column] for column in ("title", "text"))
    assert texts["B0"] == 'It\'s "so". Things Small. Acme.'
    assert texts["B1"] == 'Red "mug". Things Small.'
    assert (titles["B2"], texts["B2"]) == ("B2", "Deep Down Nested.")
    assert (titles["B3"], texts["B3"]) == ("B3", "")
    assert texts["B4"] == "x" * LONGEST_TEXT + ". Things Small. Ember."
    kinds = dataset.items.set_index("item")["categories"]
    assert kinds[["B0", "B2", "B3"]].tolist() == ["Things|Small", "Deep|Down|Nested", ""]
    assert texts["B5"].startswith("bad") and texts["B5"].encode()
    assert dict(urls.to_numpy()) == {"B2": "http://host/b2.jpg", "B5": "https://host/big.jpg"}
    assert dataset.info["items"] == {"without title": 2, "without text": 1, "with image URL": 2}
    assert "7 unreadable lines of metadata" in differences(dataset)[1]


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').system('touch {}')",
        "{{'asin': __import__('pathlib').Path('{}').touch()}}",
        "{{'asin': 'B9', 'title': open('{}', 'w')}}",
        "[x for x in [open('{}', 'w')]]",
        "(lambda: open('{}', 'w'))()",
    ],
)
def test_nothing_is_executed(tmp_path, code):
    mark = tmp_path / "executed"
    line = code.format(mark)
    assert record(line.encode()) == (None, False)
    dataset, _ = prepare(tmp_path / "raw", products=[product(f"B{item}") for item in range(6)] + [line])
    assert dataset.info["metadata"]["unreadable"] == 1 and not mark.exists()
    gz(tmp_path / "raw" / "Mail_5.json.gz", [line])
    gz(tmp_path / "raw" / "meta_Mail.json.gz", [line])
    with pytest.raises(InputError, match="none of its 1 lines"):
        amazon("Mail", tmp_path / "raw", progress=False)
    assert not mark.exists()


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b"(" * 100_000,
        b"-" * 100_000 + b"1",
        b"9" * 100_000,
        b"'\0'",
        b"{1: 2, **{}}",
        b"\xff\xfe{}",
        b"{[]: 1}",
        b"{" + b'"a":' * 50_000,
    ],
)
def test_lines_made_to_break_a_reader(line):
    assert record(line) == (None, False)


def test_a_line_without_end_costs_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("mmm4rec_lite.data.amazon.LONGEST_LINE", 100)
    gz(tmp_path / "a.gz", ["x" * 99, "y" * 1000, "z" * 100, "end"])
    assert list(lines(tmp_path / "a.gz")) == [b"x" * 99 + b"\n", b"", b"", b"end\n"]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("a < b & c <5 mm", "a < b & c <5 mm"),
        ("Caf&eacute;\n\n bar\u200b\x07", "Café bar"),
        ("</span></span>", ""),
        ("x<style>p {color: red}</style>y", "x y"),
        ("<b>" * 5000 + "deep", "deep"),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold"),
    ],
)
def test_clean(text, wanted):
    assert clean(text) == wanted


def test_fields_and_urls_of_odd_types():
    assert field_text({"brand": "by the sea"}, "brand") == "by the sea"
    assert field_text({"title": {"a": "b"}}, "title") == field_text({"title": True}, "title") == ""
    assert field_text({"category": "One", "title": 7}, "title") == "7"
    assert field_text({"category": ["A", ["B", None, 3], "A"]}, "categories") == "A B 3"
    assert (
        image_url({"imageURLHighRes": [], "image": ["file:///etc/passwd", "//x", " https://h/i.jpg "]})
        == "https://h/i.jpg"
    )
    assert image_url({"imageURL": None, "imUrl": 5}) == ""


def test_other_fields_are_recorded(tmp_path):
    products = [product(f"B{item}", description=["Long &amp; wide.", "Blue"]) for item in range(6)]
    dataset, _ = prepare(tmp_path, products=products, fields=("brand", "description"))
    assert dataset.items["text"][0] == "Acme. Long & wide. Blue." and dataset.info["fields"] == ["brand", "description"]
    for fields in (("prize",), ()):
        with pytest.raises(InputError, match="choose from title, categories"):
            prepare(tmp_path, fields=fields)


def test_reviews_are_read_as_ratings_are(tmp_path):
    first, _ = prepare(tmp_path / "csv")
    names = ("asin", "reviewerID", "overall", "unixReviewTime")
    reviews = [dict(zip(names, row)) for row in GRID]
    odd = [
        {**reviews[0], key: value}
        for key, value in (
            ("overall", "5"),
            ("unixReviewTime", 1.5),
            ("unixReviewTime", -1),
            ("unixReviewTime", 10**40),
            ("asin", None),
            ("overall", float("nan")),
            ("reviewerID", "U\n0"),
            ("reviewerID", "\ud800"),
            ("overall", 10**400),
        )
    ]
    texts = [json.dumps(review) for review in odd + reviews[:20]] + [repr(review) for review in reviews[20:]] + ["{"]
    raw(tmp_path / "json").joinpath("Test.csv").unlink()
    gz(tmp_path / "json" / "Test_5.json.gz", texts)
    second, _ = amazon("Test", tmp_path / "json", progress=False)
    pd.testing.assert_frame_equal(first.interactions, second.interactions)
    assert second.info["interactions"]["unreadable"] == len(odd) + 1
    assert "a 5-core already" in differences(second)[1]
    gz(tmp_path / "json" / "Test.json.gz", texts[:-1])  # the full reviews go before the 5-core
    third, _ = amazon("Test", tmp_path / "json", progress=False)
    assert third.info["files"] == ["Test.json.gz", "meta_Test.json.gz"]


@pytest.mark.slow
def test_many_lines_keep_their_order_and_their_first_copy(tmp_path):
    """More lines than one piece of the streaming reader; times all equal, so that only the order speaks."""
    rows = [
        (f"B{(user * 7 + step * step) % 997}", f"U{user}", float(step % 5), 100)
        for step in range(40)
        for user in range(5000)
    ]
    dataset, _ = prepare(tmp_path, rows + rows[::-1], [product(f"B{item}") for item in range(997)])
    wanted = pd.DataFrame(rows, columns=["item", "user", "rating", "timestamp"]).drop_duplicates()
    wanted = wanted.sort_values("user", kind="stable")
    assert dataset.interactions["item"].tolist() == wanted["item"].tolist()
    assert dataset.info["interactions"]["exact repeats"] == 2 * len(rows) - len(wanted)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    runner, contents = CliRunner(), []
    raw(tmp_path / "raw", GRID + GRID[:5])
    for run in ("one", "two", "two"):  # the last time over what is there
        out = tmp_path / run
        result = runner.invoke(app, ["data", "amazon", "Test", "--raw", str(tmp_path / "raw"), "--out", str(out)])
        assert result.exit_code == 0, result.output
        assert "Test is not in the paper's Table 1." in result.output
        contents.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert contents[0] == contents[1] == contents[2]
    assert set(contents[0]) == {"dataset.json", "interactions.parquet", "items.parquet", "image_urls.parquet"}
    assert str(tmp_path).encode() not in contents[0]["dataset.json"]


def test_the_sources_are_united_with_users_apart(tmp_path):
    from mmm4rec_lite.data.amazon import CATEGORIES

    for name in AMAZON_SOURCES:  # all have the users U0 to U5; B0 is in every one, the rest are each one's own
        own = [f"B{item}" if item == 0 else f"{name}{item}" for item in range(6)]
        rows = [(own[int(item[1:])], *rest) for item, *rest in GRID]
        raw(
            tmp_path / "raw" / name,
            rows,
            [product(item, imUrl=f"http://h/{item}.jpg") for item in own],
            CATEGORIES[name],
        )
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app,
        [
            "data",
            "amazon",
            *AMAZON_SOURCES,
            "--raw",
            str(tmp_path / "raw"),
            "--out",
            str(out),
            "--union",
            "sources",
            "--fields",
            "title,brand",
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    union = load_dataset(out / "sources")
    assert union.domains == sorted(AMAZON_SOURCES) and union.interactions["user"].nunique() == 30
    assert len(union.items) == 30 and "Food/B0" in set(union.items["item"]) and "B0" not in set(union.items["item"])
    assert told["info"]["sources"]["items shared by domains"] == 1
    urls = pd.read_parquet(out / "sources" / "image_urls.parquet")
    assert set(urls["item"]) == set(union.items["item"])
    assert told["rows"][-1]["paper_users"] == 1_361_408
    assert told["info"]["Home"]["fields"] == ["title", "brand"]
    assert "Food: 115,343 users fewer, 39,664 items fewer, 1,027,377 interactions fewer than Table 1." in told["notes"]
    clash = CliRunner().invoke(app, ["data", "amazon", "Food", "--raw", ".", "--out", str(out), "--union", "Food"])
    assert isinstance(clash.exception, InputError)


def test_differences_tell_of_offices_swapped_digits_and_of_other_cores(tmp_path):
    dataset, _ = prepare(tmp_path, k=6, name="Office_Products")
    said = " ".join(differences(dataset))
    assert "Office: 87,430 users fewer" in said and "The paper took the 5-core, not the 6-core." in said
    assert "0 pictures are here, the paper had 16,628; 0 items have an image URL" in said and "log" not in said
    many = pd.DataFrame({"user": [f"U{n}" for n in range(87_346)], "item": "B0", "timestamp": 5})
    swapped = Dataset.from_frames("Office", many, dataset.items, info=dataset.info)
    assert "87,346 users are those of the authors' log, unlike Table 1's" in " ".join(differences(swapped))


@pytest.mark.parametrize(
    "name, match",
    [
        ("Nothing", "no Nothing.csv or Nothing.json.gz or Nothing_5.json.gz"),
        ("../x", "no category"),
        ("Scientific", "Industrial_and_Scientific.csv"),
        ("Scientifc", "; did you mean Scientific[?]$"),
        ("kindle_stor", "; did you mean Kindle_Store[?]$"),
        ("Gift_Cards", "Amazon's files$"),
    ],
)
def test_absent_files_and_names_that_are_none(tmp_path, name, match):
    with pytest.raises(InputError, match=match):
        amazon(name, tmp_path, progress=False)


def test_cut_empty_and_foreign_files(tmp_path):
    folder = raw(tmp_path)
    meta = folder / "meta_Test.json.gz"
    whole = meta.read_bytes()
    for content in (whole[:-20], b"<html>not found</html>", whole[:40] + b"\0" * 40):
        meta.write_bytes(content)
        with pytest.raises(InputError, match="meta_Test.json.gz: not a whole gzip file"):
            amazon("Test", folder, progress=False)
    meta.write_bytes(whole)
    for rows in ([], [(user, item, rating, time) for item, user, rating, time in GRID]):  # 2014's order of columns
        with pytest.raises(InputError, match="expected item, user, rating"):
            amazon("Test", raw(folder, rows), progress=False)


def test_pictures_and_report_outlive_preparing_again(tmp_path, toy):
    products = [product(f"B{item}", imUrl=f"http://h/{item}.jpg") for item in range(6)]
    dataset, urls = prepare(tmp_path / "raw", products=products)
    out = tmp_path / "out"
    save_with_urls(dataset, urls, out)
    (out / "images").mkdir()
    picture = next(path for path in (toy.folder / "images").iterdir())
    (out / "images" / "B0.png").write_bytes(picture.read_bytes())
    report = [
        {"item": "B0", "url": urls["url"][0], "status": "ok", "tries": 1, "file": "images/B0.png"},
        {"item": "B1", "url": urls["url"][1], "status": "gone", "tries": 1, "file": None},
        {"item": "B2", "url": "http://h/older.jpg", "status": "gone", "tries": 1, "file": None},
    ]
    (out / "image_report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in report))
    save_with_urls(dataset, urls, out)
    assert load_dataset(out).items["image"].tolist() == ["images/B0.png"] + [None] * 5
    assert [json.loads(line)["item"] for line in (out / "image_report.jsonl").read_text().splitlines()] == ["B0", "B1"]


def test_a_union_made_again_keeps_the_pictures_it_fetched(tmp_path, toy):
    picture = next((toy.folder / "images").iterdir()).read_bytes()
    for part, x in (("One", ""), ("Two", "X")):
        raw(
            tmp_path / "raw",
            [(x + i, *r) for i, *r in GRID],
            [product(f"{x}B{n}", imUrl=f"http://h/{x}{n}.jpg") for n in range(6)],
            part,
        )
    out = tmp_path / "out"
    command = ["data", "amazon", "One", "Two", "--raw", str(tmp_path / "raw"), "--out", str(out), "--union", "both"]

    def fetched(folder, *items):
        (out / folder / "images").mkdir()
        lines = []
        for item in items:
            (out / folder / "images" / f"{item}.png").write_bytes(picture + item.encode())
            url = f"http://h/{item.replace('B', '')}.jpg"
            lines.append({"item": item, "url": url, "status": "ok", "tries": 1, "file": f"images/{item}.png"})
        (out / folder / "image_report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert CliRunner().invoke(app, command).exit_code == 0
    fetched("both", "B0", "XB1")
    fetched("One", "B0", "B2")  # an item's own picture goes before the one that the union had
    for _ in range(2):
        assert CliRunner().invoke(app, command).exit_code == 0
        images = load_dataset(out / "both").items.set_index("item")["image"].dropna().to_dict()
        assert images == {"B0": "One/images/B0.png", "B2": "One/images/B2.png", "XB1": "images/XB1.png"}
        assert (out / "both/images/XB1.png").read_bytes() == picture + b"XB1"
        report = (out / "both/image_report.jsonl").read_text().splitlines()
        assert [json.loads(line)["item"] for line in report] == ["XB1"]


@pytest.mark.parametrize("name", ["scientific", "SCIENTIFIC", "industrial_and_scientific", "Scientific"])
def test_the_papers_names_in_any_case(name):
    assert domain(name) == "Scientific" and domain("gift_Cards") == "gift_Cards"


def test_a_union_without_shared_items_keeps_all_ids(tmp_path):
    parts = [
        prepare(tmp_path / "a", name="One"),
        prepare(
            tmp_path / "b", [("X" + i, *r) for i, *r in GRID], [product(f"XB{item}") for item in range(6)], name="Two"
        ),
    ]
    union, _ = union_domains(parts, "both")
    assert union.info["items shared by domains"] == 0 and set(union.items["item"]) == {
        f"{x}B{item}" for x in ("", "X") for item in range(6)
    }


# --- 2023 ---


def edition_2023(folder, kind, name="Gift_Cards"):
    """Reviews (or ratings) and metadata as published in 2023, of `GRID` with times in milliseconds."""
    rows = [(item, user, rating, 1_600_000_000_000 + 1000 * time + 7) for item, user, rating, time in GRID]
    folder.mkdir(parents=True, exist_ok=True)
    if kind.startswith("csv"):
        text = "user_id,parent_asin,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}\n" for i, u, r, t in rows)
    else:
        keys = ("parent_asin", "user_id", "rating", "timestamp")
        text = "".join(json.dumps({"asin": f"V{n}", **dict(zip(keys, row))}) + "\n" for n, row in enumerate(rows))
    content = text.encode()
    (folder / f"{name}.{kind}").write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    images = [{"large": "https://m.example/2.jpg", "variant": "PT01"}]
    images += [
        {"thumb": "https://m.example/t.jpg", "large": "https://m.example/1.jpg", "hi_res": None, "variant": "MAIN"}
    ]
    more = {"store": "Acme", "categories": ["Things", "Small"], "features": ["Redeemable"], "images": images}
    goods = [{"parent_asin": f"B{n}", "title": f"Thing &amp; {n}", **more} for n in range(6)]
    (folder / f"meta_{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in goods))
    return folder


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "jsonl.gz"])
def test_the_files_of_2023(tmp_path, kind):
    fields = ("title", "categories", "brand", "features")
    dataset, urls = amazon("Gift_Cards", edition_2023(tmp_path, kind), fields, progress=False)
    assert len(dataset.interactions) == 36 and dataset.info["interactions"]["unreadable"] == 0
    wanted = sorted(1_600_000_000 + time for item, user, _, time in GRID if user == "U1")
    assert dataset.interactions.query("user == 'U1'")["timestamp"].tolist() == wanted
    assert dataset.items["text"][0] == "Thing & 0. Things Small. Acme. Redeemable."
    assert set(urls["url"]) == {"https://m.example/1.jpg"} and len(urls) == 6
    assert "2023" in dataset.info["source"] and "those of 2018" in differences(dataset)[0]


def test_editions_are_not_mixed(tmp_path):
    edition_2023(tmp_path, "jsonl")
    assert "2023" in amazon("Gift_Cards", tmp_path, progress=False)[0].info["source"]
    raw(tmp_path, name="Gift_Cards")
    found = amazon("Gift_Cards", tmp_path, progress=False)[0]
    assert "2018" in found.info["source"] and found.info["files"] == ["Gift_Cards.csv", "meta_Gift_Cards.json.gz"]


def test_the_shared_case_of_2023():
    folder = SHARED.parent / "cases/import/amazon2023_asin"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    dataset, urls = amazon("Gift_Cards", folder, k=1, progress=False)
    assert len(dataset.interactions) == 36 and dataset.interactions["timestamp"].min() == 1_577_836_800
    assert len(urls) == len(dataset.items) == 8
