"""Your own interactions and items, from tables as shops and logs have them, as a dataset.

What is dropped is counted by its reason, in ``info["import"]``; the user sees it through `report`.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmm4rec_lite.data.dataset import Dataset, k_core
from mmm4rec_lite.data.reading import as_text, find_column, list_columns, read_any
from mmm4rec_lite.data.schema import LATEST
from mmm4rec_lite.data.times import read_times
from mmm4rec_lite.utils.errors import InputError

ORDER_ONLY = "order only"
ORDER_HINT = "; for data that have an order only say --order COLUMN, or --order file for the order of the lines"
LONGEST = 10_000  # characters kept of a title or text: more than any encoder reads
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TEXTS = ("title", "category", "brand", "description")  # the text, where no column is called text


def import_tables(
    interactions: pd.DataFrame | Path | str,
    items: pd.DataFrame | Path | str,
    images: Path | str | None = None,
    name: str = "imported",
    k: int = 5,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    order: str | None = None,
    time_format: str | None = None,
    title: str | None = None,
    text: str | Sequence[str] | None = None,
    domain: str | None = None,
    image: str | None = None,
) -> Dataset:
    """A `Dataset` from two tables.

    Parameters
    ----------
    interactions, items : paths (csv, tsv, txt, jsonl, these also with .gz, or parquet), or frames
    images : folder of pictures: named ``<item id>.<jpg, png, webp...>``, or as the image column says
    name : of the dataset; also the domain where there is no domain column
    k : the k-core; 1 keeps every user and item, also items that nobody took
    user, item, time, title, domain, image : column names; None finds the usual ones (`reading.NAMES`). Image
        paths are relative to ``images``, or to the folder of the items' table
    text : columns (list, or str with commas) that make the text; None takes a column called text, or
        else title, category, brand and description, those that are there
    order : for data without times: the column of numbers that gives each user's order, or ``"file"``
        for the order of the lines. Timestamps are then 0, 1, 2... and no times: see `order_only`
    time_format : as in `times.read_times`; None finds it out

    Returns
    -------
    ``info["times"]`` is "seconds", "days" or "order only"; ``info["import"]`` holds the report.

    Raises
    ------
    InputError : an unreadable table, a column that is not there or cannot be told, or nothing left

    Examples
    --------
    >>> log = pd.DataFrame({"customer": ["a", "a"], "sku": [7, 8], "date": ["2024-01-31", "2024-02-01"]})
    >>> import_tables(log, pd.DataFrame({"sku": [7, 8], "name": ["Cup", "Mug"]}), k=1)
    Dataset imported: 1 users, 2 items, 2 interactions
    """
    if time and order:
        raise InputError("both a time and an order column: take one; the order is for data without times")
    log, goods = _Table(interactions, "interactions"), _Table(items, "items")
    if item is not None and not (item in log.rows or item in goods.rows):
        raise InputError(
            f"neither {log.name} nor {goods.name} has a column {item!r} for the item; they have: "
            f"{list_columns(log.rows)}; and: {list_columns(goods.rows)}"
        )
    log.find("user", user)
    log.find("item", item if item in log.rows else None)
    if order is None:
        log.find("time", time)
    elif order != "file":
        log.find("order", order)
    goods.find("item", item if item in goods.rows else None, more=("id",))
    goods.find("title", title)
    goods.columns["text"] = _texts(goods, text)
    _all_found(log, goods)
    goods.find("domain", domain)
    goods.find("image", image)
    shelf = _shelf(goods, name)
    beside = Path(items).parent if isinstance(items, (str, Path)) else None
    shelf["image"], folder = _pictures(goods, shelf["item"], images, beside)
    rows, times = _clean(log, set(shelf["item"]), time_format)
    if not len(rows):
        gone = ", ".join(f"{reason}: {count}" for reason, count in log.dropped.items() if count)
        raise InputError(
            f"{log.name}: nothing is left of {len(log.rows)} interactions ({gone}); check the columns "
            f"({_pairs(log.columns)}) and the items' ids"
        )
    info = {"source": f"imported from {log.name} and {goods.name}", "core": k, "times": times}
    whole = dataset = Dataset.from_frames(name, rows, shelf, folder, info)
    if k > 1:
        dataset = k_core(whole, k)
        log.dropped[f"outside the {k}-core"] = len(whole.interactions) - len(dataset.interactions)
        goods.dropped[f"outside the {k}-core"] = len(whole.items) - len(dataset.items)
    goods.notes = {"with a picture": int(dataset.items["image"].notna().sum()), **goods.notes}
    used, by_id = goods.columns, images and "files named by the item's id"
    named = {"title": used["title"] or "the text", "domain": used["domain"] or f"all {name}"}
    about = goods.report(len(dataset.items), **named, image=used["image"] or by_id)
    dataset.info["import"] = {"interactions": log.report(len(dataset.interactions)), "items": about}
    return dataset


def order_only(dataset: Dataset) -> bool:
    """Whether ``dataset``, or a part of a union, has an order but no times: no model may then read gaps."""

    def found(info):
        return info.get("times") == ORDER_ONLY or any(found(part) for part in info.get("parts", {}).values())

    return found(dataset.info)


def report(dataset: Dataset) -> list[str]:
    """What an import read, took, dropped and why, as lines of words."""
    lines = []
    for part, about in dataset.info["import"].items():
        lines += [f"{about['table']}: {about['read']} {part} read, {about['kept']} kept"]
        lines += [f"  columns: {_pairs(about['columns'])}"]
        lines += [f"  not used: {', '.join(about['not used'])}"] if about.get("not used") else []
        lines += [f"  {note}: {value}" for note, value in about["notes"].items() if value]
        lines += [f"  dropped, {reason}: {count}" for reason, count in about["dropped"].items() if count]
    return lines


class _Table:
    """A table, which column of it is what, and what was dropped of it, and why."""

    def __init__(self, source, word):
        self.name = Path(source).name if isinstance(source, (str, Path)) else word
        self.rows = read_any(source)
        self.columns, self.dropped, self.notes = {}, {}, {}

    def find(self, what, wanted=None, more=()):
        self.columns[what] = find_column(self.rows, what, wanted, self.name, must=False, more=more)

    def keep(self, frame, mask, reason):
        """The rows of ``frame`` that may stay; the others are counted."""
        self.dropped[reason] = int((~mask).sum())
        return frame[mask]

    def report(self, kept, **named):
        taken = np.hstack([name for name in self.columns.values() if name]).tolist()
        unused = [column for column in self.rows if column not in taken]
        about = {"table": self.name, "read": len(self.rows), "kept": kept, "columns": {**self.columns, **named}}
        return {**about, "not used": unused, "dropped": self.dropped, "notes": self.notes}


def _clean(log, known, form):
    """Rows [user, item, timestamp], and what their times are."""
    rows = pd.DataFrame({what: as_text(log.rows[column]) for what, column in log.columns.items()})
    for what in log.columns:
        rows = log.keep(rows, rows[what].notna(), f"no {what}")
    if "time" in rows:
        where = f"{log.name}, column {log.columns['time']!r}"
        values, log.notes["times"] = read_times(rows["time"], form, where) if len(rows) else (np.nan, "")
        rows = rows.assign(at=values)
        rows = log.keep(rows, rows["at"].notna(), "unreadable time")
        rows = log.keep(rows, rows["at"].between(0, LATEST), "time before 1970 or after the year 5138")
    elif "order" in rows:
        log.notes["times"] = "none; a column gives the order"
        rows = rows.assign(at=pd.to_numeric(rows["order"], errors="coerce"))
        rows = log.keep(rows, np.isfinite(rows["at"]), "unreadable order (no number)")
    else:
        log.notes["times"] = "none; the lines give the order"
        rows = rows.assign(at=np.arange(len(rows)))
    rows = log.keep(rows, rows["item"].isin(known), "item not among the items")
    rows = rows.sort_values("at", kind="stable")  # before the fractions of seconds go
    if "time" in rows:
        rows["timestamp"] = np.floor(rows["at"]).astype("int64")
        times = "days" if (rows["timestamp"] % 86400 == 0).all() else "seconds"
    else:
        rows["timestamp"] = (rows.groupby("user")["at"].rank("dense") - 1).astype("int64")
        times = ORDER_ONLY
    repeats = rows.duplicated(["user", "item", "timestamp"])
    return log.keep(rows, ~repeats, "exact repeats of user, item and time"), times


def _texts(goods, text):
    """The columns of the text: those that are said, or the usual ones; none where there is not even a title."""
    if text:
        named = map(str.strip, text.split(",")) if isinstance(text, str) else text
        return [find_column(goods.rows, "text", column, goods.name) for column in named]
    usual = {what: find_column(goods.rows, what, None, goods.name, must=False) for what in ("text", *TEXTS)}
    found = [usual["text"]] if usual["text"] else [usual[what] for what in TEXTS if usual[what]]
    return found or [column for column in [goods.columns["title"]] if column]


def _all_found(log, goods):
    """InputError that names every column that neither was given nor could be recognised, of both tables."""
    lost = {what: f"--{what} COLUMN" for what, column in log.columns.items() if column is None}
    lost_items = {} if goods.columns["item"] else {"item": "--item COLUMN"}
    if not goods.columns["text"]:
        lost_items["title and no text"] = "--title COLUMN or --text COLUMN,COLUMN"
    faults = []
    for table, options in ((log, lost), (goods, lost_items)):
        if options:
            lacking, there = " and no ".join(options), list_columns(table.rows)
            say = ", ".join(options.values()) + (ORDER_HINT if "time" in options else "")
            faults.append(f"{table.name}: no {lacking} column was recognised among: {there}; say {say}")
    if faults:
        raise InputError("; ".join(faults))


def _shelf(goods, name):
    """The items but for their pictures, with the table's index."""
    ids = as_text(goods.rows[goods.columns["item"]])
    ids = goods.keep(ids, ids.notna(), "no item")
    ids = goods.keep(ids, ~ids.duplicated(), "repeated item, the first line was kept")

    def text_of(column):
        return as_text(goods.rows[column][ids.index])

    parts = [text_of(column).fillna("").str[:LONGEST] for column in goods.columns["text"]]
    joined = [". ".join(part.rstrip(".") for part in row if part) for row in zip(*parts)] if parts[1:] else parts[0]
    table = pd.DataFrame({"item": ids, "text": pd.Series(joined, ids.index, dtype=str)})
    table["title"] = table["text"].str[:200].map(lambda text: textwrap.shorten(text, 80, placeholder="...") or None)
    table["title"] = table["title"].astype(str).fillna(ids)
    if goods.columns["title"]:
        table["title"] = text_of(goods.columns["title"]).str[:LONGEST].fillna(table["title"])
    table["domain"] = name
    if goods.columns["domain"]:  # a comma parts the names of domains on the command line
        domains = text_of(goods.columns["domain"]).str.replace(r"\s*,\s*", " & ", regex=True)
        table["domain"] = domains.fillna("unknown")
    goods.notes["without text"] = int((table["text"] == "").sum())
    goods.notes[f"texts cut at {LONGEST} characters"] = int((table["text"].str.len() >= LONGEST).sum())
    table["text"] = table["text"].str[:LONGEST]
    return table


def _pictures(goods, ids, images, beside):
    """Each item's picture (or None) as a path below a folder, and that folder.

    An item's entry in the image column goes before a file in ``images`` named by its id.
    """
    if images is not None and not Path(images).is_dir():
        raise InputError(f"{images}: there is no such folder of pictures")
    root = (Path(images) if images is not None else beside or Path()).resolve()
    # Looked up in a list, so that no id is ever taken for a path.
    files = [] if images is None else sorted(path.name for path in root.iterdir() if path.suffix.lower() in PICTURES)
    named = {Path(file).stem: file for file in reversed(files)}
    column = goods.columns["image"]
    listed = as_text(goods.rows[column])[ids.index] if column else pd.Series(np.nan, ids.index, dtype=str)
    web, inside = listed.str.match(r"\w+://").astype(bool), {}
    for path in listed[~web].dropna().unique():
        if Path(path).is_absolute() or ".." in Path(path).parts or "\0" in path:
            raise InputError(
                f"{goods.name}: the picture {path[:80]!r} does not lie below {root.name}; give paths relative to "
                "--images, or to the items' table"
            )
        inside[path] = (root / path).is_file()
    own = listed.map(lambda path: inside.get(path, False)).astype(bool)
    found = listed.where(own, ids.map(named)) if len(listed) else listed
    if images is not None and found.isna().all():
        raise InputError(
            f"{images}: no picture of any item; expected files named <item id>.jpg (png, webp...), or an "
            "image column with paths relative to this folder"
        )
    lost = listed.notna() & ~own & ~web
    goods.notes["pictures that the image column names and that are not there"] = int(lost.sum())
    goods.notes["web addresses in the image column, not fetched"] = int(web.sum())
    paths = [f"{root.name}/{path}" if isinstance(path, str) else None for path in found]
    return pd.Series(paths, ids.index, dtype=object), root.parent


def _pairs(columns):
    words = {what: " + ".join(name) if isinstance(name, list) else name for what, name in columns.items()}
    return ", ".join(f"{what} = {name}" for what, name in words.items() if name)
