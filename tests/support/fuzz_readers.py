"""Tables and pictures by chance: of every form that a reader should know, whole or with damaged bytes.

A whole table must come back as it was meant, or be asked about; a damaged one may give anything but a traceback, and
its report must add up.
"""

import csv
import datetime
import gzip
import io
import json
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mmm4rec_lite.data import import_tables
from mmm4rec_lite.data.pictures import picture_format
from mmm4rec_lite.utils.errors import InputError

SEPARATORS = ",", ";", "\t", "|", "::", "^"
TITLES = ["Cup", "Red cup, large", "Café", 'The "best" mug', '"Rear Window', 'Harbour"', '5" nail', "$5", "a;b"]
TITLES += [
    "c|d",
    "NA",
    "None",
    "x\ny",
    "😀",
    "<3",
    "a b",
    "'s",
    "\\",
    "=1+1",
    "Tea\tpot",
    "#1",
    "-",
    "日本",
    "0",
    "Cup: new",
]
USERS = "user", "user_id", "UserID", "reviewerID", "customer", "uid"
ITEMS = "item", "item_id", "asin", "sku", "productId", "parent_asin"
TIMES = "timestamp", "time", "date", "created_at", "unixReviewTime"


@dataclass
class Case:
    """Two files, and the rows (user, title of the item, second) that they mean; None where bytes were damaged."""

    files: tuple[tuple[str, bytes], tuple[str, bytes]]
    rows: list[tuple[str, str, int]] | None


def tables(seed: int, count: int = 5_000) -> Iterator[Case]:
    """``count`` cases, about half of them damaged."""
    for number in range(count):
        draw = np.random.default_rng([seed, number])
        case = _case(draw)
        if draw.random() < 0.5:
            which = draw.random() < 0.5
            files = [
                (name, damaged(content, draw) if which == place else content)
                for place, (name, content) in enumerate(case.files)
            ]
            case = Case((files[0], files[1]), None)
        yield case


def attempt(case: Case, folder: Path) -> str:
    """ "read" or "asked" (an InputError in one line); AssertionError where something was lost in silence."""
    for name, content in case.files:
        (folder / name).write_bytes(content)
    try:
        with warnings.catch_warnings(action="ignore"):
            dataset = import_tables(*(folder / name for name, _ in case.files), k=1)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2_000, str(error)[:3_000]
        return "asked"
    finally:
        for name, _ in case.files:
            (folder / name).unlink()
    for about in dataset.info["import"].values():
        assert about["read"] == about["kept"] + sum(about["dropped"].values()), about
    if case.rows is not None:
        titles = dataset.items.set_index("item")["title"]
        rows = dataset.interactions
        found = zip(rows["user"], rows["item"].map(titles).str.split().str.join(" "), rows["timestamp"])
        assert sorted(found) == sorted(set(case.rows)), (sorted(found), case.rows)
    return "read"


def damaged(content: bytes, draw: np.random.Generator) -> bytes:
    """With bytes changed, lost, doubled or put in."""
    for _ in range(draw.integers(1, 4)):
        place, length = int(draw.integers(0, len(content) + 1)), int(draw.integers(1, 20))
        new = (draw.bytes(length), b"", content[place : place + length] * 2, b'"', b"\n", b",", b"\0", b"\xff")
        put = new[draw.integers(len(new))]
        content = content[:place] + put + content[place + int(draw.integers(0, length)) :]
        content = content[: max(place, 1)] if draw.random() < 0.1 else content
    return content


def _pick(draw, options):
    return options[draw.integers(len(options))]


def _case(draw):
    users, items, n = int(draw.integers(1, 5)), int(draw.integers(1, 8)), int(draw.integers(2, 30))
    spell = _pick(draw, SPELLINGS)
    titles = [f"{_pick(draw, TITLES)} {place}" for place in range(items)]
    start = int(draw.integers(700_000_000, 1_750_000_000))
    rows = [(f"u{draw.integers(users)}", int(draw.integers(items)), start + 90 * step) for step in range(n)]
    form = _pick(draw, FORMS)
    item, user, time = _pick(draw, ITEMS), _pick(draw, USERS), _pick(draw, TIMES)
    log = [{user: who, item: spell(what, False), time: form(when)} for who, what, when in rows]
    more = {"rating": str(draw.integers(1, 6))} if draw.random() < 0.5 else {}
    log = [row | more for row in log]
    goods = [
        {item if draw.random() < 2 else "id": spell(place, True), "title": title} for place, title in enumerate(titles)
    ]
    goods = [row | {"price": "3"} for row in goods] if draw.random() < 0.5 else goods
    meant = [(who, " ".join(titles[what].split()), _meant(form, when)) for who, what, when in rows]
    return Case((_file("log", log, draw), _file("items", goods, draw)), meant)


def _meant(form, when):
    return when // 86_400 * 86_400 if form in DAYS else when // 60 * 60 if form in MINUTES else when


def _stamp(pattern):
    return lambda when: datetime.datetime.fromtimestamp(when, datetime.UTC).strftime(pattern)


DAYS = [_stamp(pattern) for pattern in ("%Y-%m-%d", "%Y%m%d", "%d-%b-%Y")]
MINUTES = [_stamp(pattern) for pattern in ("%Y-%m-%d %H:%M", "%Y%m%d%H%M")]
FORMS: list[Callable[[int], str]] = [
    lambda when, zeros=zeros: f"{when}{zeros}" for zeros in ("", "000", "000000", "000000000", ".0")
]  # type: ignore[misc]
FORMS += [
    *DAYS,
    *MINUTES,
    *map(_stamp, ("%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %H:%M:%S", "%a, %d %b %Y %H:%M:%S GMT", "%Y%m%d%H%M%S")),
]
SPELLINGS: list[Callable[[int, bool], str]] = [
    lambda n, here: f"i{n}",
    lambda n, here: str(n + 1),
    lambda n, here: f"{n + 1}.0" if here else str(n + 1),
    lambda n, here: f"{n + 1:09}" if here else str(n + 1),
    lambda n, here: str(n + 1).translate({48 + k: 0xFF10 + k for k in range(10)}) if here else str(n + 1),
    lambda n, here: unicodedata.normalize("NFD" if here else "NFC", f"é{n}"),
    lambda n, here: f" id {n} " if here else f"id {n}",
    lambda n, here: f"B0{n}-x/y",
]


def _file(name, rows, draw):
    kind = _pick(draw, ("csv", "csv", "tsv", "txt", "jsonl", "parquet", "dat"))
    if kind == "jsonl":
        text = "".join(json.dumps(row, ensure_ascii=bool(draw.random() < 0.5)) + "\n" for row in rows)
    elif kind == "parquet":
        file = io.BytesIO()
        pd.DataFrame(rows).to_parquet(file)
        return f"{name}.parquet", file.getvalue()
    else:
        text = _separated(rows, kind, draw)
    content = text.encode(_pick(draw, ("utf-8", "utf-8", "utf-8-sig", "utf-16")))
    packed = draw.random() < 0.2
    return f"{name}.{kind}{'.gz' if packed else ''}", gzip.compress(content) if packed else content


def _separated(rows, kind, draw):
    sep = "\t" if kind == "tsv" else "::" if kind == "dat" else _pick(draw, SEPARATORS)
    if sep == "::" or (sep == "\t" and draw.random() < 0.5):  # as they are, if that can be
        cells = [list(rows[0]), *(list(row.values()) for row in rows)]
        plain = [
            [
                " ".join(cell.replace(sep, " ").split()) if sep != "::" else cell.replace("::", ":").replace("\n", " ")
                for cell in row
            ]
            for row in cells
        ]
        return "".join(sep.join(row) + "\n" for row in plain)
    file = io.StringIO()
    quoting = _pick(draw, (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    writer = csv.writer(file, delimiter=sep, quoting=quoting, lineterminator=_pick(draw, ("\n", "\r\n")))
    writer.writerows([list(rows[0]), *(row.values() for row in rows)])
    return file.getvalue()


def pictures(seed: int, count: int = 1_000) -> Iterator[bytes]:
    """Files of pictures of every format and mode, damaged."""
    for number in range(count):
        draw = np.random.default_rng([seed, number])
        kind, mode = (
            _pick(draw, ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")),
            _pick(draw, ("RGB", "L", "RGBA", "P", "CMYK", "I;16", "1")),
        )
        width, height = (int(side) for side in draw.integers(1, 40, 2))
        picture, file = Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8)), io.BytesIO()
        try:
            (
                Image.fromarray(draw.integers(0, 65536, (height, width), np.uint16))
                if mode == "I;16"
                else picture.convert(mode)
            ).save(file, kind)
        except (OSError, ValueError, KeyError):  # no such mode in this format
            picture.save(file, kind)
        yield damaged(file.getvalue(), draw) if draw.random() < 0.9 else file.getvalue()


def attempt_picture(content: bytes) -> str:
    """ "read" or "refused"; anything else raises."""
    return "read" if picture_format(content) else "refused"
