"""Tables as people have them: separators, quotes, names or none, missing words, encodings, parts, broken bytes."""

import bz2
import codecs
import csv
import gzip
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from mmm4rec_lite.data import load_dataset, open_sequences
from mmm4rec_lite.data.reading import as_text, read_any
from mmm4rec_lite.utils.errors import InputError

zstd = lambda content: pa.compress(content, "zstd", asbytes=True)
ROWS = [["u", "x", "1700000000"], ["v", "y", "1700000060"]]


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(sep, names=("user", "item", "time"), rows=ROWS):
    return "".join(sep.join(row) + "\n" for row in ([list(names)] if names else []) + list(rows))


# --- separators and names ---


@pytest.mark.parametrize("sep", [",", ";", "\t", "|", "::", "\x01", "^", "~", " ", "   "])
@pytest.mark.parametrize("suffix", ["csv", "txt", "dat"])
def test_any_separator(tmp_path, sep, suffix):
    table = read_any(put(tmp_path / f"log.{suffix}", lines(sep)))
    assert list(table) == ["user", "item", "time"] and table.to_numpy().tolist() == ROWS
    assert table.attrs["names"] == "known"


@pytest.mark.parametrize("sep", [",", ";", "\t", "|", "::"])
def test_a_table_without_names_is_told_as_such(tmp_path, sep):
    table = read_any(put(tmp_path / "log.csv", lines(sep, None)))
    assert list(table) == ["1", "2", "3"] and table.to_numpy().tolist() == ROWS and table.attrs["names"] == "none"


def test_commas_in_texts_are_no_separators(tmp_path):
    text = "item;title\n1;Cup, white, big\n2;Mug, blue\n"
    assert read_any(put(tmp_path / "a.csv", text))["title"].tolist() == ["Cup, white, big", "Mug, blue"]
    assert read_any(put(tmp_path / "b.csv", "sep=;\r\n" + text)).shape == (2, 2)


def test_line_ends_of_any_machine(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        table = read_any(put(tmp_path / "log.csv", lines(",").replace("\n", end)))
        assert table.to_numpy().tolist() == ROWS


def test_columns_of_one_name_and_of_none(tmp_path):
    table = read_any(put(tmp_path / "a.csv", ",item,title,title\n0,x,T,U\n"))
    assert list(table) == ["column 1", "item", "title", "title.1"] and table["title"].tolist() == ["T"]
    frame = pd.DataFrame([["x", "T", "U"]], columns=["item", "title", "title"])
    assert list(read_any(frame)) == ["item", "title", "title.1"]
    twice = pa.table([["x"], ["T"], ["U"]], names=["item", "title", "title"])
    pa.parquet.write_table(twice, tmp_path / "a.parquet")
    assert list(read_any(tmp_path / "a.parquet")) == ["item", "title", "title.1"]


def test_recboles_atomic_files(tmp_path):
    text = 'item_id:token\ttitle:token_seq\tgenre:token_seq\tyear:float\n1\t"Quoted film\tDrama War\t1990.0\n'
    table = read_any(put(tmp_path / "a.item", text))
    assert table.iloc[0].tolist() == ["1", '"Quoted film', "Drama War", "1990.0"]
    assert list(table) == ["item_id", "title", "genre", "year"] and table.attrs["sequences"] == ["title", "genre"]
    assert list(read_any(put(tmp_path / "a.csv", text))) == list(table)  # under another name


# --- quotes ---

TITLES = ['"Rear Window', 'Harbour"', '"Weird" Kit', '5" nail', "Plain", '""', '"']


@pytest.mark.parametrize("end", ['Blue Harbour"', "Plain"])
def test_quotes_of_tsv_may_belong_to_the_text(tmp_path, end):
    titles = [*TITLES[:5], end]
    text = lines("\t", ("item", "title", "kind"), [[str(n), one, "k"] for n, one in enumerate(titles)])
    assert read_any(put(tmp_path / "a.tsv", text))["title"].tolist() == titles


@pytest.mark.parametrize("sep", [",", ";", "|"])
def test_quotes_of_csv_that_do_not_close_are_asked_about(tmp_path, sep):
    text = lines(sep, ("item", "title", "kind"), [[str(n), one, "k"] for n, one in enumerate(TITLES)])
    path = put(tmp_path / "a.csv", text)
    with pytest.raises(
        InputError, match=r"a.csv: line 4 has a quote that opens .*--quotes none where quotes belong to"
    ):
        read_any(path)
    assert read_any(path, quotes=False)["title"].tolist() == TITLES
    swallowed = lines(sep, ("item", "title", "kind"), [["1", '"One', "k"], ["2", 'Two"', "k"], ["3", "Three", "k"]])
    path = put(tmp_path / "b.csv", swallowed)
    with pytest.raises(InputError, match="quotes over several whole lines; say --quotes none"):
        read_any(path)
    assert len(read_any(path, quotes=False)) == 3 and len(read_any(path, quotes=True)) == 2


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("how", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_a_csv_writer_quotes_comes_back(tmp_path, sep, how):
    titles = [*TITLES, "a\nb", f"a{sep}b", f'"a{sep}\n"b"', "\\", 'x\\"y']
    file = io.StringIO()
    csv.writer(file, delimiter=sep, quoting=how).writerows(
        [["item", "title"], *([f"i{n}", t] for n, t in enumerate(titles))]
    )
    assert read_any(put(tmp_path / "a.csv", file.getvalue()))["title"].tolist() == titles


def test_quotes_escaped_by_backslashes(tmp_path):
    text = 'item,title\n1,"He said \\"hi\\", twice"\n2,Mug\n'
    assert read_any(put(tmp_path / "a.csv", text))["title"].tolist() == ['He said "hi", twice', "Mug"]


# --- missing ---


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_words_are_words_and_nothing_is_nothing(tmp_path, kind):
    words = ["NA", "null", "None", "nan", "N/A", "NaN", "-", "#N/A"]
    frame = pd.DataFrame({"item": [*words, None], "title": [*reversed(words), None]})
    path = tmp_path / f"a.{kind}"
    {"csv": lambda: frame.to_csv(path, index=False), "parquet": lambda: frame.to_parquet(path)}.get(
        kind, lambda: frame.to_json(path, orient="records", lines=True)
    )()
    found = read_any(path)
    assert as_text(found["item"]).tolist()[:-1] == words and found["item"].isna().tolist() == [False] * 8 + [True]


def test_words_for_nothing_can_be_named(tmp_path):
    path = put(tmp_path / "a.csv", "item,title\nNA,x\n\\N,y\nb,null\n")
    assert read_any(path)["item"].isna().tolist() == [False, True, False]
    found = read_any(path, missing=["NA", "null"])
    assert found["item"].isna().tolist() == [True, True, False] and found["title"].isna().tolist() == [
        False,
        False,
        True,
    ]


# --- encodings ---


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_of_any_width(tmp_path, kind, encoding):
    text = "item,title\nx,Käse 芝士 😀\n" if kind == "csv" else '{"item": "x", "title": "Käse 芝士 😀"}\n'
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    for mark in (b"", marks.get(encoding, b"")):
        table = read_any(put(tmp_path / f"a.{kind}", mark + text.encode(encoding)))
        assert table.to_numpy().tolist() == [["x", "Käse 芝士 😀"]] and list(table) == ["item", "title"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1251", "shift_jis"])
def test_other_encodings_are_asked_for(tmp_path, encoding):
    word = {"latin-1": "Café", "cp1251": "Чашка", "shift_jis": "カップ"}[encoding]
    path = put(tmp_path / "a.csv", f"item,title\nx,{word}\n".encode(encoding))
    with pytest.raises(InputError, match="save it as UTF-8, or say --encoding"):
        read_any(path)
    assert read_any(path, encoding=encoding)["title"].tolist() == [word]
    with pytest.raises(InputError, match=r"unknown encoding: klingon\); save it"):
        read_any(path, encoding="klingon")


def test_movielens_files_are_latin_1(tmp_path):
    for encoding in ("latin-1", "utf-8"):
        table = read_any(put(tmp_path / "movies.dat", '1::"Great" Café (1994)::Drama|War\n'.encode(encoding)))
        assert table.to_numpy().tolist() == [["1", '"Great" Café (1994)', "Drama|War"]]


def test_halves_of_characters_are_replaced(tmp_path):
    text = (
        '{"item": "x", "title": "cut \\ud83d", "tags": ["\\udc00"]}\n{"item": "\\ud83d\\ude00", "title": "\\\\ud83d"}\n'
    )
    table = read_any(put(tmp_path / "a.jsonl", text))
    assert table["item"].tolist() == ["x", "😀"] and table["title"].tolist() == ["cut \ufffd", "\\ud83d"]
    assert as_text(table["tags"])[0] == "\ufffd"
    assert as_text(pd.Series(["cut \ud83d", "b"], dtype=object)).tolist() == ["cut \ufffd", "b"]


# --- packed, and in parts ---


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst", ""])
@pytest.mark.parametrize("pack", ["gz", "bz2", "zst"])
def test_packed_files_are_known_by_their_bytes(tmp_path, kind, suffix, pack):
    text = (lines(",") if kind == "csv" else "".join(json.dumps(dict(zip("abc", row))) + "\n" for row in ROWS)).encode()
    packed = {"gz": gzip.compress, "bz2": bz2.compress}.get(pack, zstd)(text)
    if pack == "gz":
        packed = gzip.compress(text[:10]) + gzip.compress(text[10:])  # members
    assert read_any(put(tmp_path / f"a.{kind}{suffix}", packed)).to_numpy().tolist() == ROWS


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet", "bare"])
def test_folders_of_parts(tmp_path, kind):
    folder = tmp_path / ("log.csv" if kind == "bare" else "log")
    for n, row in enumerate(ROWS):
        frame = pd.DataFrame([row], columns=["user", "item", "time"])
        path = folder / (f"part-0000{n}" if kind == "bare" else f"part-0000{n}-aa.{kind}")
        if kind == "parquet":
            folder.mkdir(exist_ok=True)
            frame.to_parquet(path)
        elif kind == "jsonl":
            put(path, frame.to_json(orient="records", lines=True))
        else:
            put(path, gzip.compress(lines(",", rows=[row]).encode()) if "gz" in kind else lines(",", rows=[row]))
    for note in ("_SUCCESS", "._SUCCESS.crc", ".part.crc", "_delta_log/0.json"):
        put(folder / note, b"x")
    put(folder / f"part-00009.{'csv' if kind == 'bare' else kind}", b"")  # a worker without rows
    assert as_rows(read_any(folder)) == ROWS


def as_rows(table):
    return table.apply(as_text).to_numpy().tolist()


def test_columns_in_the_names_of_folders(tmp_path):
    put(tmp_path / "log/year=2023/shop=a%2Fb/1.csv", lines(",", rows=ROWS[:1]))
    put(tmp_path / "log/year=2024/shop=c/1.csv", lines(",", rows=ROWS[1:]))
    table = read_any(tmp_path / "log")
    assert table[["year", "shop"]].to_numpy().tolist() == [["2023", "a/b"], ["2024", "c"]]


@pytest.mark.parametrize(
    "files, fault",
    [
        ({}, "no file with a table"),
        ({"a.csv": "user,item\nu,x\n", "b.csv": "item,title\nx,T\n"}, r"b.csv: its columns \(item, title\) are not"),
        ({"a.csv": "user,item\nu,x\n", "b.csv": "u,y\n"}, r"b.csv: its columns \(u, y\) are not those of a.csv"),
        ({"a.jsonl": '{"user": 1}', "b.jsonl": '{"title": 1}'}, "a folder holds the parts of one table"),
        ({"a.csv": "user,item\nu,x\n", "read.me": "x"}, "read.me: no table of a known kind"),
    ],
)
def test_folders_that_hold_no_one_table(tmp_path, files, fault):
    (tmp_path / "log").mkdir()
    for name, text in files.items():
        put(tmp_path / "log" / name, text)
    with pytest.raises(InputError, match=fault):
        read_any(tmp_path / "log")


def test_one_json_array(tmp_path):
    records = [{"item": "x", "title": "T"}, {"item": "y"}]
    assert len(read_any(put(tmp_path / "a.json", json.dumps(records, indent=1)))) == 2


# --- broken files ---


@pytest.mark.parametrize(
    "name, content, fault",
    [
        ("a.jsonl", '{"a":' * 10**5, "line 1 is not one JSON object"),
        ("a.json", "[" * 10**5, "cannot be read as json"),
        ("a.csv", b"PK\3\4rest", "a zip archive or a spreadsheet; unpack it, or export it as csv"),
        ("a.csv", b"item,title\nx,a\0b\n", "it holds NUL bytes"),
        ("a.csv.zst", b"\x28\xb5\x2f\xfdno", "cannot be read as csv"),
        ("a.csv.bz2", b"BZhno", "cannot be read as csv"),
        ("a.csv", "\n \n", "the file is empty"),
        ("a.csv", "user,item\n", "no rows"),
        ("a.jsonl", "\n", "no rows"),
        ("a.csv", "# notes\nuser,item\nx,1\n", r"line 2 has 2 values .*, line 1 names 1; .*remove lines above"),
        ("a.csv", '"a\nb",item\nx,1\n"y\n",2,3\n', r"line 4 has 3 values \('y ,2,3'\), line 1 names 2; put values"),
        ("a.tsv", "user\titem\nx\t1\nx\t1\t2\n", r"line 3 has 3 values \('x 1 2'\), line 1 names 2; .*hold '\\t' in"),
        ("a.csv", "sep=;\nuser;item\nx;1\nx;1;2;3\n", "line 4 has 4 values .*, line 2 names 2"),
        ("a.csv", "x,1\nx,1\nx,1,,\n", "line 3 has 4 values .*, line 1 has 2; put values that hold ',' in quotes"),
        ("a.dat", "1::2\n1::2::3\n", r"line 2 has 3 values \('1::2::3'\), line 1 has 2; put values that hold '::'"),
    ],
)
def test_faults_take_one_line(tmp_path, name, content, fault):
    with pytest.raises(InputError, match=fault) as caught:
        read_any(put(tmp_path / name, content))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600 + len(str(tmp_path))


def test_a_quote_that_never_closes_is_told_with_its_line(tmp_path):
    path = put(tmp_path / "a.csv", 'item,title\n1,"One\nand"\n2,"Two\n3,Three\n')
    for quotes, fault in ((None, "line 4 has a quote that opens"), (True, "quote that opens in line 4 is not closed")):
        with pytest.raises(InputError, match=f"{fault}.*; say --quotes none"):
            read_any(path, quotes=quotes)


@pytest.mark.parametrize("kind, pack", [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", zstd)])
def test_packed_files_that_unfold_without_end_are_refused(tmp_path, monkeypatch, kind, pack):
    monkeypatch.setattr("mmm4rec_lite.data.reading.UNFOLDED", 10**6)
    path = put(tmp_path / f"a.csv.{kind}", pack(b"user,item\n" + b"u,i\n" * 2_000_000))
    with pytest.raises(
        InputError, match=r"a.csv.*: unfolds to more than [\d,]+ bytes, 200 times its size, as no table"
    ):
        read_any(path)
    several = put(tmp_path / f"b.csv.{kind}", pack(b"user,item\n" + b"u,i\n" * 100) + pack(b"u,i\n" * 100))
    assert len(read_any(several)) == 200  # of several members, one after the other


def test_parquet_of_more_rows_than_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mmm4rec_lite.data.schema.MOST_ROWS", 0.01)
    frame = pd.DataFrame({"user": ["u"] * 10_000_001})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(
        InputError, match=r"cannot be read as parquet \(10,000,001 rows in [\d,]+ bytes, as no table has"
    ):
        read_any(tmp_path / "a.parquet")


def test_parquet_with_flipped_bytes(tmp_path):
    frame = pd.DataFrame({"user": [f"u{n}" for n in range(50)], "item": "ü", "time": range(50), "c": [["a"]] * 50})
    whole = frame.to_parquet()
    draw, read = np.random.default_rng(0), 0
    for _ in range(150):
        content = np.frombuffer(whole, np.uint8).copy()
        content[draw.integers(0, len(content), 3)] = draw.integers(0, 256, 3)
        try:
            read_any(put(tmp_path / "a.parquet", content.tobytes())).apply(as_text)
            read += 1
        except InputError as error:
            assert "\n" not in str(error)
    assert read < 150


@pytest.mark.parametrize("text", ["[]", "[" * 10**5, '{"name":' * 10**5, '{"name": 3}', "null", b"\xff"])
def test_dataset_json_of_any_nonsense(tmp_path, toy, text):
    toy.save(tmp_path / "toy")
    put(tmp_path / "toy/dataset.json", text)
    with pytest.raises(InputError, match="dataset.json: expected"):
        load_dataset(tmp_path / "toy")


@pytest.mark.parametrize("table", ["items", "interactions"])
def test_tables_of_a_dataset_with_flipped_bytes(tmp_path, toy, table):
    toy.save(tmp_path / "toy")
    path, draw, faults = tmp_path / f"toy/{table}.parquet", np.random.default_rng(1), 0
    whole = path.read_bytes()
    for _ in range(40):
        content = np.frombuffer(whole, np.uint8).copy()
        content[draw.integers(0, len(content), 3)] = draw.integers(0, 256, 3)
        path.write_bytes(content.tobytes())
        for open_folder in (load_dataset, lambda folder: open_sequences(folder, tmp_path / "flat")):
            try:
                open_folder(tmp_path / "toy")
            except InputError as error:
                faults += 1
                assert "\n" not in str(error)
    assert faults > 20
