"""Amazon Reviews 2018 (the paper's) and 2023: the published files into a dataset, and Table 1 beside the paper's.

Ratings are read, freed of exact repeats, joined and 5-cored by polars in streaming mode, on integer codes; metadata
pass by line by line, JSON or Python literals. The order of work is the public code's: repeats, metadata, 5-core.
"""

import ast
import difflib
import gzip
import itertools
import json
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from mmm4rec_lite import published
from mmm4rec_lite.data.dataset import Dataset, distinct_ids, in_core, union
from mmm4rec_lite.data.markup import LONGEST_TEXT, clean
from mmm4rec_lite.data.schema import LATEST
from mmm4rec_lite.data.statistics import COUNTS, dataset_statistics
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.optional import extra

with extra("data"):
    import polars as pl

_NAMES = """
Food=Grocery_and_Gourmet_Food CDs=CDs_and_Vinyl Kindle=Kindle_Store Movies=Movies_and_TV Home=Home_and_Kitchen
Scientific=Industrial_and_Scientific Pantry=Prime_Pantry Instruments=Musical_Instruments
Arts=Arts_Crafts_and_Sewing Office=Office_Products
"""
CATEGORIES = dict(pair.split("=") for pair in _NAMES.split())  # the paper's name of a domain -> Amazon's of its files
AMAZON_SOURCES = ("Food", "CDs", "Kindle", "Movies", "Home")
HOME = "https://nijianmo.github.io/amazon/index.html"
INFO = {
    "source": f"Amazon Reviews 2018, {HOME}",
    "terms": "research use; not to be redistributed",
    "citation": "Ni, Li and McAuley (2019), Justifying Recommendations using Distantly-Labeled Reviews and "
    "Fine-Grained Aspects, https://doi.org/10.18653/v1/D19-1018",
}
INFO_2023 = {
    "source": "Amazon Reviews 2023, https://amazon-reviews-2023.github.io",
    "terms": INFO["terms"],
    "citation": "Hou et al. (2024), Bridging Language and Items for Retrieval and Recommendation, "
    "https://arxiv.org/abs/2403.03952",
}
EDITIONS = (  # ends of the names of ratings or reviews, and of metadata
    ((".csv", ".json.gz", "_5.json.gz"), (".json.gz",)),
    ((".csv", ".csv.gz", ".jsonl.gz", ".jsonl"), (".jsonl.gz", ".jsonl")),
)
KEYS_2023 = {"parent_asin": "item", "user_id": "user", "rating": "rating", "timestamp": "timestamp"}
RATINGS = {"item": pl.String, "user": pl.String, "rating": pl.Float32, "timestamp": pl.Int64}
# What a text can be made of (by default of the first three), and the files' own keys where they differ, the newer first
FIELDS = ("title", "categories", "brand", "description", "features", "main_category")
KEYS = {"categories": ("category", "categories"), "features": ("feature", "features"), "brand": ("brand", "store")}
KEYS |= {"main_category": ("main_cat", "main_category")}
IMAGES = ("imageURLHighRes", "imageURL", "image", "imUrl")  # by size, the older dump's last; 2023's:
SIZES = ("hi_res", "large", "thumb")
ID = "[!-~]{1,64}"  # no white space, no line breaks: ids become names of files and lines of tables
LONGEST_LINE = 32 * 2**20  # bytes; the longest line of a real file has some 100 kB


def amazon(
    name: str, raw: Path | str, fields: Sequence[str] = FIELDS[:3], k: int = 5, progress: bool = True
) -> tuple[Dataset, pd.DataFrame]:
    """One domain from its published files, k-cored to a fixed point, and a frame [item, url] of its pictures.

    ``name``: the paper's (`CATEGORIES`) or Amazon's. ``raw`` or a folder ``name`` in it holds ``meta_NAME.json.gz``
    and ratings ``NAME.csv`` (item, user, rating, seconds; no header) or else reviews ``NAME.json.gz`` or
    ``NAME_5.json.gz``; or, of 2023, ``meta_NAME.jsonl`` and ``NAME.csv`` or ``NAME.jsonl`` (also with .gz). Times of
    2018 are whole days, so ties are common: they keep the file's order. Items are sorted by id.
    """
    if (unknown := [field for field in fields if field not in FIELDS]) or not fields:
        raise InputError(f"fields: {', '.join(unknown) or 'none given'}; choose from {', '.join(FIELDS)}")
    name, ratings_file, metadata_file = _find(name, Path(raw))
    rows, read = _ratings(ratings_file)
    found = len(rows)
    rows = rows.lazy().unique(list(RATINGS), keep="first", maintain_order=True).collect(engine="streaming")
    distinct = len(rows)
    enough = rows.group_by("item").len().filter(pl.col("len") >= k)["item"]
    items, known, meta = _metadata(metadata_file, set(enough.cast(pl.String)), fields, progress)
    rows = rows.filter(pl.col("item").is_in(pl.Series(list(known), dtype=rows["item"].dtype).implode()))
    if rows.is_empty():
        fault = f"none of its {read['lines']} lines is an interaction with an item of {metadata_file.name}"
        raise InputError(f"{ratings_file}: {fault}; expected item, user, rating, seconds since 1970")
    core = rows.filter(in_core([rows[side].to_physical().to_numpy() for side in ("user", "item")], k))
    refuse(core.is_empty(), f"{ratings_file}: nothing is left of its {k}-core")
    read |= {"exact repeats": found - distinct, "item without metadata": distinct - len(rows)}
    read |= {f"outside the {k}-core": len(rows) - len(core), "kept": len(core)}
    interactions = core.select(pl.col("user", "item").cast(pl.String), "timestamp").to_pandas()
    del rows, core
    items = items[items["item"].isin(interactions["item"].unique())]
    items = items.sort_values("item", ignore_index=True).assign(image=None, domain=name)
    urls = items.loc[items["url"] != "", ["item", "url"]].reset_index(drop=True)
    kept = {"without title": int((items["title"] == items["item"]).sum())}
    kept |= {"without text": int((items["text"] == "").sum()), "with image URL": len(urls)}
    files = {"files": [ratings_file.name, metadata_file.name], "fields": list(fields), "core": k}
    about = INFO_2023 if ".jsonl" in metadata_file.suffixes else INFO
    info = {**about, **files, "interactions": read, "metadata": meta, "items": kept}
    return Dataset.from_frames(name, interactions, items.drop(columns="url"), info=info), urls


def domain(name: str) -> str:
    """A domain's name as datasets have it: the paper's, in any case, where it has one. InputError for what is none."""
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"'{name}' is no category; take {', '.join(CATEGORIES)} or a file's name, as Gift_Cards")
    papers = {word.lower(): paper for paper, file in CATEGORIES.items() for word in (paper, file)}
    return papers.get(name.lower(), name)


def union_domains(parts: Sequence[tuple[Dataset, pd.DataFrame]], name: str) -> tuple[Dataset, pd.DataFrame]:
    """`union` of domains and of their image URLs; an item id that two domains share becomes ``<domain>/<item>``."""
    datasets = distinct_ids([dataset for dataset, _ in parts])
    ids = [dict(zip(old.items["item"], new.items["item"])) for (old, _), new in zip(parts, datasets)]
    urls = pd.concat([urls.assign(item=urls["item"].map(own)) for (_, urls), own in zip(parts, ids)], ignore_index=True)
    whole, shared = union(datasets, name), len({old for own in ids for old, new in own.items() if old != new})
    return replace(whole, info={**INFO, **whole.info, "items shared by domains": shared}), urls


def table_1(datasets: Sequence[Dataset]) -> pd.DataFrame:
    """`dataset_statistics` of datasets of `amazon` or `union_domains`, with image_urls, and paper_users... beside."""
    table = dataset_statistics(datasets)
    table.insert(3, "image_urls", [_urls(dataset) for dataset in datasets])
    return table.join(pd.DataFrame(map(_paper, datasets), columns=COUNTS, dtype="Int64").add_prefix("paper_"))


def differences(dataset: Dataset) -> list[str]:
    """Sentences: how the counts differ from the paper's Table 1, and what was dropped on the way."""
    name, counts, paper = dataset.name, dataset_statistics([dataset]).iloc[0], _paper(dataset)
    dropped = [] if "parts" in dataset.info else [_dropped(**dataset.info)]
    if dataset.info.get("source") == INFO_2023["source"]:
        return [f"{name}: these are the reviews of 2023; the paper's Table 1 counts those of 2018.", *dropped]
    if None in paper:
        return [f"{name} is not in the paper's Table 1.", *dropped]
    off = {column: int(counts[column] - wanted) for column, wanted in zip(COUNTS, paper)}
    images = off.pop("images")
    words = ", ".join(f"{abs(n):,} {column} {'more' if n > 0 else 'fewer'}" for column, n in off.items() if n)
    equal = f"{name}: users, items and interactions equal Table 1."
    said = [f"{name}: {words} than Table 1.", *dropped] if words else [equal]
    if off["users"] and counts["users"] in published.log_tests(dataset=name.lower())["users"].to_list():
        said.append(f"{name}'s {counts['users']:,} users are those of the authors' log, unlike Table 1's.")
    if images:
        here = f"{name}: {counts['images']:,} pictures are here, the paper had {counts['images'] - images:,}"
        said.append(f"{here}; {_urls(dataset):,} items have an image URL (`data images` fetches them).")
    return said


def _dropped(files, core, interactions, metadata, **_):
    """What the preparing dropped, in words, and what of it makes a difference to the paper plain."""
    read, unreadable, repeats, foreign, outside, _ = (f"{count:,}" for count in interactions.values())
    said = f"Of {read} lines of {files[0]}, {unreadable} were unreadable, {repeats} exact repeats, "
    said += f"{foreign} of items without metadata; the {core}-core took {outside} more."
    if not files[0].endswith(".csv"):
        said += " The paper started from the ratings (.csv): they hold more lines than the reviews"
        said += ", of which this file is a 5-core already." if files[0].endswith("_5.json.gz") else "."
    if core != 5:
        said += f" The paper took the 5-core, not the {core}-core."
    if unread := metadata["unreadable"]:
        said += f" {unread:,} unreadable lines of metadata may count as items without metadata."
    return said


def _paper(dataset):
    """The paper's `COUNTS` of a dataset (of the pre-training union, too), or Nones."""
    united = set(dataset.info.get("parts", ())) == set(AMAZON_SOURCES)
    table = published.paper(1, dataset="sources" if united else dataset.name.lower())
    return [dict(zip(table["column"], table["value"])).get(column) for column in COUNTS]


def _urls(dataset):
    return sum(info["items"]["with image URL"] for info in dataset.info.get("parts", {"": dataset.info}).values())


def _find(name, raw):
    """(the domain's name, its ratings or reviews, its metadata)."""
    short = domain(name)
    file, lost = CATEGORIES.get(short, short), []
    for ratings, metadata in EDITIONS:
        found = []
        for wanted in ([f"{file}{end}" for end in ratings], [f"meta_{file}{end}" for end in metadata]):
            places = (folder / one for one in wanted for folder in (raw, raw / file, raw / short))
            there = next(filter(Path.is_file, places), None)
            found, lost = [*found, there], lost if there else [*lost, wanted]
        if None not in found:
            return short, *found
    near = {known.lower(): f"; did you mean {known}?" for known in (*CATEGORIES, *CATEGORIES.values())}
    close = [] if short in CATEGORIES else difflib.get_close_matches(name.lower(), near, 1)
    fault = f"{raw}: no {' or '.join(lost[0])} there or in {raw / name}; get it from {HOME}, or check the name"
    hint = "".join(map(near.get, close))
    raise InputError(f"{fault}: {', '.join(CATEGORIES)}, or that of Amazon's files{hint}")


def _ratings(path):
    """The usable lines as a frame [item, user: categorical; rating; timestamp] in the file's order, and counts."""
    codes = {column: pl.Categorical(pl.Categories.random()) for column in ("item", "user")}
    if ".csv" in path.suffixes:
        first = next(lines(path), b"").decode("utf-8", "replace").strip().split(",")
        named = "parent_asin" in first  # 2023's files name their columns
        columns = {KEYS_2023.get(name, name): RATINGS.get(KEYS_2023.get(name), pl.String) for name in first}
        # no quotes: a quoted line break then costs the two lines around it, not the rest of the file
        form = dict(has_header=False, quote_char=None, encoding="utf8-lossy", raise_if_empty=False)
        form |= dict(schema=columns if named else RATINGS, skip_rows=int(named))
        form |= dict(ignore_errors=True, truncate_ragged_lines=True, missing_columns="insert", extra_columns="ignore")
        time = pl.col("timestamp")
        table = pl.scan_csv(path, **form)
        table = table.with_columns(pl.when(time > LATEST).then(time // 1000).otherwise(time)) if named else table
    else:
        reviews, chunks = _reviews(path), [pl.DataFrame(schema=RATINGS | codes)]
        while part := list(itertools.islice(reviews, 500_000)):  # held as Python objects at once
            chunks.append(pl.DataFrame(part, schema=RATINGS, orient="row").cast(codes))
        table = pl.concat(chunks).lazy()
    ids = pl.col("item", "user").cast(pl.String).str.contains(f"^{ID}$")
    whole = pl.all_horizontal(ids, pl.col("rating").is_finite(), pl.col("timestamp").is_between(0, LATEST))
    # one pass: an unusable line becomes a row of nulls, so that it is counted without being read again
    table = table.select(pl.when(whole).then(pl.col(*RATINGS))).cast(RATINGS | codes)
    try:
        rows = table.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: not a table of ratings ({' '.join(str(error).split())[:200]})") from None
    count, rows = len(rows), rows.drop_nulls()
    return rows, {"lines": count, "unreadable": count - len(rows)}


def _reviews(path):
    """(item, user, rating, time) of every line of reviews; Nones for one that has not all of them."""
    for line in lines(path):
        review = record(line)[0] or {}
        keys = tuple(KEYS_2023) if "parent_asin" in review else ("asin", "reviewerID", "overall", "unixReviewTime")
        item, user, rating, time = map(review.get, keys)
        if isinstance(time, int) and "parent_asin" in review and time > LATEST:
            time //= 1000
        named = all(isinstance(one, str) and re.fullmatch(ID, one) for one in (item, user))
        rated = isinstance(rating, int | float) and abs(rating) < 1e9
        timed = isinstance(time, int) and 0 <= time <= LATEST
        yield (item, user, float(rating), time) if named and rated and timed else (None,) * 4


def _metadata(path, wanted, fields, progress):
    """The ``wanted`` items [item, title, text, url, categories], by their first lines, all ids, and counts."""
    rows, seen, counts = [], set[str](), dict.fromkeys(("lines", "Python literals", "unreadable", "repeated items"), 0)
    for line in tqdm(lines(path), desc=path.name, unit=" lines", mininterval=1, disable=not progress):
        data, literal = record(line)
        item = data.get("parent_asin", data.get("asin")) if data else None
        counts["lines"] += 1
        if not (data and isinstance(item, str) and re.fullmatch(ID, item)):
            counts["unreadable"] += 1
            continue
        counts["Python literals"] += literal
        counts["repeated items"] += item in seen
        if item in wanted and item not in seen:
            found = {field: field_text(data, field) for field in ("title", *fields)}
            text = " ".join(found[field].rstrip(". ") + "." for field in fields if found[field])
            categories = "|".join(field_parts(data, "categories"))
            rows.append((item, found["title"] or item, text, image_url(data), categories))
        seen.add(item)
    return pd.DataFrame(rows, columns=["item", "title", "text", "url", "categories"], dtype=str), seen, counts


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, gzip or plain; one too long to be real comes as b"". InputError for a cut file."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            while line := file.readline(LONGEST_LINE):
                whole = line
                while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    line, whole = file.readline(LONGEST_LINE), b""
                yield whole
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); download it again") from None


def record(line: bytes) -> tuple[dict[Any, Any] | None, bool]:
    """(the mapping a line holds, whether as a Python literal); (None, False) if it holds none. Nothing is executed."""
    data, literal = None, False
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        faults = ValueError, SyntaxError, TypeError, MemoryError, RecursionError
        with suppress(*faults), warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # escapes like "\/"
            if len(line) <= 2**20:  # Python's parser takes a hundred times the line's memory
                data, literal = ast.literal_eval(line.decode("utf-8", "replace").strip()), True
    return (data, literal) if isinstance(data, dict) else (None, False)


def field_text(data: Mapping[Any, Any], field: str) -> str:
    """A field of an item as clean text, "" if it has none; list entries are joined, repeats left out."""
    text = " ".join(field_parts(data, field))[:LONGEST_TEXT]
    return "" if "getTime()" in text else text  # a page's script was taken for the value


def field_parts(data: Mapping[Any, Any], field: str) -> list[str]:
    """The entries of a field as clean texts, repeats left out."""
    parts = _strings(next((data[key] for key in KEYS.get(field, (field,)) if data.get(key)), ""))
    if field == "brand":  # some are the page's own line, "by", a break, the brand
        parts = (re.sub(r"^\s*by\s*\n", "", part) for part in parts)
    return [part for part in dict.fromkeys(map(clean, parts)) if part]


def image_url(data: Mapping[Any, Any]) -> str:
    """The item's first picture, the largest kind first, or ""."""
    shown = data.get("images")
    shown = [one for one in shown if isinstance(one, dict)] if isinstance(shown, list) else []
    shown = sorted(shown, key=lambda one: one.get("variant") != "MAIN")
    found = [one.get(size) for one in shown for size in SIZES] + [data.get(key) for key in IMAGES]
    urls = (url.strip() for url in _strings(found))
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
