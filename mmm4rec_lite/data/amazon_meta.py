"""Amazon's metadata, line by line: JSON or Python literals, HTML in the texts, repeated and half-empty items.

Nothing in a file is executed: what is not JSON is offered to `ast.literal_eval`, which knows constants only.
"""

import ast
import gzip
import html
import json
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.optional import extra

with extra("data"):
    from bs4 import BeautifulSoup

# What a text can be made of, and the files' own keys where they differ, the newer dump's first
FIELDS = ("title", "categories", "brand", "description", "features", "main_category")
KEYS = {"categories": ("category", "categories"), "features": ("feature",), "main_category": ("main_cat",)}
IMAGES = ("imageURLHighRes", "imageURL", "image", "imUrl")  # by size, the older dump's last
ID = "[!-~]{1,64}"  # no white space, no line breaks: ids become names of files and lines of tables
LONGEST_LINE = 32 * 2**20  # bytes; the longest line of a real file has some 100 kB
LONGEST_LITERAL = 2**20  # bytes; Python's parser takes a hundred times the line's memory
LONGEST_RAW = 20_000  # characters of one value before its HTML is read
LONGEST_TEXT = 2_000  # and after; UniSRec's preparing empties texts of this length, here they are cut


def metadata(
    path: Path, wanted: Set[str], fields: Sequence[str], progress: bool = True
) -> tuple[pd.DataFrame, set[str], dict[str, int]]:
    """The ``wanted`` items [item, title, text, url] of a file ``meta_NAME.json.gz``, all ids in it, and counts.

    The first line of an item counts. One without a title has its id as title, and not in its text; without URL, "".
    """
    rows, seen, counts = [], set[str](), dict.fromkeys(("lines", "Python literals", "unreadable", "repeated items"), 0)
    for line in tqdm(lines(path), desc=path.name, unit=" lines", mininterval=1, disable=not progress):
        data, literal = record(line)
        item = data.get("asin") if data else None
        counts["lines"] += 1
        if not (data and isinstance(item, str) and re.fullmatch(ID, item)):
            counts["unreadable"] += 1
            continue
        counts["Python literals"] += literal
        counts["repeated items"] += item in seen
        if item in wanted and item not in seen:
            found = {field: field_text(data, field) for field in ("title", *fields)}
            text = " ".join(found[field].rstrip(". ") + "." for field in fields if found[field])
            rows.append((item, found["title"] or item, text, image_url(data)))
        seen.add(item)
    return pd.DataFrame(rows, columns=["item", "title", "text", "url"], dtype=str), seen, counts


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a gzip file; one that is too long to be real comes as b"". InputError for a cut file."""
    try:
        with gzip.open(path) as file:
            while line := file.readline(LONGEST_LINE):
                whole = line
                while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    line, whole = file.readline(LONGEST_LINE), b""
                yield whole
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); download it again") from None


def record(line: bytes) -> tuple[dict[Any, Any] | None, bool]:
    """(the mapping a line holds, whether as a Python literal); (None, False) if it holds none."""
    data, literal = None, False
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        faults = ValueError, SyntaxError, TypeError, MemoryError, RecursionError
        with suppress(*faults), warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # escapes like "\/"
            if len(line) <= LONGEST_LITERAL:
                data, literal = ast.literal_eval(line.decode("utf-8", "replace").strip()), True
    return (data, literal) if isinstance(data, dict) else (None, False)


def field_text(data: Mapping[Any, Any], field: str) -> str:
    """A field of an item as clean text, "" if it has none; list entries are joined, repeats left out."""
    parts = _strings(next((data[key] for key in KEYS.get(field, (field,)) if data.get(key)), ""))
    if field == "brand":  # some are the page's own line, "by", a break, the brand
        parts = (re.sub(r"^\s*by\s*\n", "", part) for part in parts)
    text = " ".join(part for part in dict.fromkeys(map(clean, parts)) if part)[:LONGEST_TEXT]
    return "" if "getTime()" in text else text  # a page's script was taken for the value


def clean(text: str) -> str:
    """Plain text: entities resolved, tags and scripts left out, white space single, at most 2,000 characters."""
    text = html.unescape(text[:LONGEST_RAW])
    if re.search(r"</?[a-zA-Z][^<>]*>", text):  # not for "<5 mm" or "a < b"
        text = BeautifulSoup(text, "html.parser").get_text(" ")
    text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())[:LONGEST_TEXT]


def image_url(data: Mapping[Any, Any]) -> str:
    """The item's first picture, the largest kind first, or ""."""
    urls = (url.strip() for key in IMAGES for url in _strings(data.get(key)))
    return next((url for url in urls if re.fullmatch(r"https?://[!-~]{1,2000}", url)), "")


def _strings(value):
    """The texts and numbers in a value: itself, or those in its (nested) lists, in order."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, list | tuple):
            todo += reversed(value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield str(value)
