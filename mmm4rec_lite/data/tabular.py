"""Your own interactions and items, from tables as shops and logs have them, as a dataset.

What is dropped is counted by its reason, in ``info["import"]``; the user sees it through `report`.
"""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from mmm4rec_lite.data.dataset import Dataset, k_core
from mmm4rec_lite.data.reading import as_text, find_column, list_columns, read_any
from mmm4rec_lite.data.tables import LATEST
from mmm4rec_lite.data.times import read_times
from mmm4rec_lite.utils.errors import InputError

ORDER_ONLY = "order only"
LONGEST = 10_000  # characters kept of a title or text: more than any encoder reads
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TEXTS = ("title", "category", "brand", "description")  # the text, where no column is called text


def import_tables(
    interactions,
    items,
    images=None,
    name="imported",
    k=5,
    *,
    user=None,
    item=None,
    time=None,
    order=None,
    time_format=None,
    title=None,
    text=None,
    domain=None,
    image=None,
):
    """A `Dataset` from two tables.

    Args:
        interactions, items: paths (csv, tsv, txt, jsonl, these also with .gz, or parquet), or frames.
        images: folder of pictures: named ``<item id>.<jpg, png, webp...>``, or as the image column says.
        name: of the dataset; also the domain where there is no domain column.
        k: the k-core; 1 keeps every user and item, also items that nobody took.
        user, item, time, title, domain, image: column names; None finds the usual ones (`reading.NAMES`). Image
            paths are relative to ``images``, or to the folder of the items' table.
        text: columns (list, or str with commas) that make the text; None takes a column called text, or
            else title, category, brand and description, those that are there.
        order: for data without times: the column of numbers that gives each user's order, or ``"file"``
            for the order of the lines. Timestamps are then 0, 1, 2... and no times: see `order_only`.
        time_format: as in `times.read_times`; None finds it out.

    ``info["times"]`` is "seconds", "days" or "order only"; ``info["import"]`` holds the report.

    Raises:
        InputError: an unreadable table, a column that is not there or cannot be told, or nothing left.
    """
    if time and order:
        raise InputError("both a time and an order column: take one; the order is for data without times")
    where, where_items = _name(interactions, "interactions"), _name(items, "items")
    rows, table = read_any(interactions), read_any(items)
    if item is not None and not (item in rows or item in table):
        raise InputError(
            f"neither {where} nor {where_items} has a column {item!r} for the item; they have: "
            f"{list_columns(rows)}; and: {list_columns(table)}"
        )
    columns = {
        "user": find_column(rows, "user", user, where, must=False),
        "item": find_column(rows, "item", item if item in rows else None, where, must=False),
    }
    if order is None:
        columns["time"] = find_column(rows, "time", time, where, must=False)
    elif order != "file":
        columns["order"] = find_column(rows, "order", order, where)
    key = find_column(table, "item", item if item in table else None, where_items, must=False, more=("id",))
    title, texts = _texts(table, where_items, title, text)
    _all_found(rows, where, columns, table, where_items, key, texts)
    domain = find_column(table, "domain", domain, where_items, must=False)
    goods, columns_items, gone_items, notes = _items(table, name, key, title, texts, domain)
    image = find_column(table, "image", image, where_items, must=False)
    listed = as_text(table[image])[goods.index] if image else pd.Series(np.nan, goods.index, dtype=str)
    beside = Path(items).parent if isinstance(items, (str, Path)) else None
    goods["image"], folder, lost = _pictures(goods["item"], listed, images, beside, where_items)
    columns_items["image"] = image or (images and "files named by the item's id")
    read = len(rows), len(table)
    unused = rows.columns.difference([*columns.values()], sort=False).tolist()
    unused_items = table.columns.difference([key, title, *texts, domain, image], sort=False).tolist()
    rows = pd.DataFrame({what: as_text(rows[column]) for what, column in columns.items()})
    rows, times, taken, gone = _clean(rows, set(goods["item"]), time_format, f"{where}, column {columns.get('time')!r}")
    if not len(rows):
        raise InputError(
            f"{where}: nothing is left of {read[0]} interactions ({_counts(gone)}); check the columns "
            f"({_pairs(columns)}) and the items' ids"
        )
    info = {"source": f"imported from {where} and {where_items}", "core": k, "times": times}
    whole = Dataset.from_frames(name, rows, goods, folder, info)
    dataset = k_core(whole, k) if k > 1 else whole
    if k > 1:
        gone[f"outside the {k}-core"] = len(whole.interactions) - len(dataset.interactions)
        gone_items[f"outside the {k}-core"] = len(whole.items) - len(dataset.items)
    pictures = int(dataset.items["image"].notna().sum())
    dataset.info["import"] = {
        "interactions": {
            "table": where,
            "read": read[0],
            "kept": len(dataset.interactions),
            "columns": columns,
            "not used": unused,
            "dropped": gone,
            "notes": {"times": taken},
        },
        "items": {
            "table": where_items,
            "read": read[1],
            "kept": len(dataset.items),
            "columns": columns_items,
            "not used": unused_items,
            "dropped": gone_items,
            "notes": {"with a picture": pictures, **lost, **notes},
        },
    }
    return dataset


def order_only(dataset):
    """Whether ``dataset``, or a part of a union, has an order but no times: no model may then read gaps."""

    def found(info):
        return info.get("times") == ORDER_ONLY or any(found(part) for part in info.get("parts", {}).values())

    return found(dataset.info)


def report(dataset):
    """What an import read, took, dropped and why, as lines of words."""
    lines = []
    for part, about in dataset.info["import"].items():
        lines += [
            f"{about['table']}: {about['read']} {part} read, {about['kept']} kept",
            f"  columns: {_pairs(about['columns'])}",
        ]
        lines += [f"  not used: {', '.join(about['not used'])}"] if about.get("not used") else []
        lines += [f"  {note}: {value}" for note, value in about["notes"].items() if value]
        lines += [f"  dropped, {reason}: {count}" for reason, count in about["dropped"].items() if count]
    return lines


def _clean(rows, known, form, where):
    """Rows as user, item, timestamp; what the times are; what they were taken for; counts of what was dropped."""
    gone = {}

    def keep(mask, reason):
        nonlocal rows
        gone[reason] = int((~mask).sum())
        rows = rows[mask]

    for what in rows.columns:
        keep(rows[what].notna(), f"no {what}")
    if "time" in rows:
        values, taken = read_times(rows["time"], form, where) if len(rows) else (np.nan, "")
        rows = rows.assign(at=values)
        keep(rows["at"].notna(), "unreadable time")
        keep(rows["at"].between(0, LATEST), "time before 1970 or after the year 5138")
    elif "order" in rows:
        taken = "none; a column gives the order"
        rows = rows.assign(at=pd.to_numeric(rows["order"], errors="coerce"))
        keep(np.isfinite(rows["at"]), "unreadable order (no number)")
    else:
        taken = "none; the lines give the order"
        rows = rows.assign(at=np.arange(len(rows)))
    keep(rows["item"].isin(known), "item not among the items")
    rows = rows.sort_values("at", kind="stable")  # before the fractions of seconds go
    if "time" in rows:
        rows["timestamp"] = np.floor(rows["at"]).astype("int64")
        times = "days" if (rows["timestamp"] % 86400 == 0).all() else "seconds"
    else:
        rows["timestamp"] = (rows.groupby("user")["at"].rank("dense") - 1).astype("int64")
        times = ORDER_ONLY
    keep(~rows.duplicated(["user", "item", "timestamp"]), "exact repeats of user, item and time")
    return rows, times, taken, gone


def _texts(goods, where, title, text):
    """The column of titles, or None, and those of the text; [None] where there is neither."""
    title = find_column(goods, "title", title, where, must=False)
    if isinstance(text, str):
        text = [column.strip() for column in text.split(",")]
    if text:
        texts = [find_column(goods, "text", column, where) for column in text]
    else:
        usual = {what: find_column(goods, what, None, where, must=False) for what in ("text", *TEXTS)}
        texts = [usual["text"]] if usual["text"] else [usual[what] for what in TEXTS if usual[what]] or [title]
    return title, texts


def _all_found(rows, where, columns, goods, where_items, key, texts):
    """InputError that names every column that neither was given nor could be recognised, of both tables."""
    lost = [what for what, column in columns.items() if column is None]
    faults = []
    if lost:
        hint = (
            "; for data that have an order only say --order COLUMN, or --order file for the order of the lines"
            if "time" in lost
            else ""
        )
        faults.append(
            f"{where}: no {' and no '.join(lost)} column was recognised among: {list_columns(rows)}; say "
            + ", ".join(f"--{what} COLUMN" for what in lost)
            + hint
        )
    wanted = {"item": "--item COLUMN"} if key is None else {}
    if texts == [None]:
        wanted["title and no text"] = "--title COLUMN or --text COLUMN,COLUMN"
    if wanted:
        faults.append(
            f"{where_items}: no {' and no '.join(wanted)} column was recognised among: "
            f"{list_columns(goods)}; say {', '.join(wanted.values())}"
        )
    if faults:
        raise InputError("; ".join(faults))


def _items(goods, name, key, title, texts, domain):
    """The items but for their pictures, with the table's index; columns used; counts of drops, and of other things."""
    ids = as_text(goods[key])
    first = ids.notna() & ~ids.duplicated()
    gone = {
        "no item": int(ids.isna().sum()),
        "repeated item, the first line was kept": int((ids.notna() & ~first).sum()),
    }
    goods, ids = goods[first], ids[first]
    parts = [as_text(goods[column]).fillna("").str[:LONGEST] for column in texts]
    joined = [". ".join(part.rstrip(".") for part in row if part) for row in zip(*parts)] if parts[1:] else parts[0]
    table = pd.DataFrame({"item": ids, "text": pd.Series(joined, ids.index, dtype=str)})
    short = table["text"].str[:200].map(lambda words: textwrap.shorten(words, 80, placeholder="...") or None)
    titles = as_text(goods[title]).str[:LONGEST] if title else pd.Series(np.nan, ids.index, dtype=str)
    table["title"] = titles.fillna(short.astype(str)).fillna(ids)
    # A comma parts the names of domains on the command line.
    table["domain"] = (
        as_text(goods[domain]).str.replace(r"\s*,\s*", " & ", regex=True).fillna("unknown") if domain else name
    )
    notes = {
        "without text": int((table["text"] == "").sum()),
        f"texts cut at {LONGEST} characters": int((table["text"].str.len() >= LONGEST).sum()),
    }
    table["text"] = table["text"].str[:LONGEST]
    used = {"item": key, "title": title or "the text", "text": texts, "domain": domain or f"all {name}"}
    return table, used, gone, notes


def _pictures(ids, listed, images, beside, where):
    """Each item's picture (or None) as a path below a folder, that folder, and counts of what was not there.

    An item's entry in its image column, ``listed``, goes before a file in ``images`` named by its id.
    """
    if images is not None and not Path(images).is_dir():
        raise InputError(f"{images}: there is no such folder of pictures")
    root = (Path(images) if images is not None else beside or Path()).resolve()
    # Looked up in a list_models, so that no id is ever taken for a path.
    files = [] if images is None else sorted(path.name for path in root.iterdir() if path.suffix.lower() in PICTURES)
    named = {Path(file).stem: file for file in reversed(files)}
    web, inside = listed.str.match(r"\w+://").astype(bool), {}
    for path in listed[~web].dropna().unique():
        if Path(path).is_absolute() or ".." in Path(path).parts or "\0" in path:
            raise InputError(
                f"{where}: the picture {path[:80]!r} does not lie below {root.name}; give paths relative to "
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
    paths = [f"{root.name}/{path}" if isinstance(path, str) else None for path in found]
    return (
        pd.Series(paths, ids.index, dtype=object),
        root.parent,
        {
            "pictures that the image column names and that are not there": int((listed.notna() & ~own & ~web).sum()),
            "web addresses in the image column, not fetched": int(web.sum()),
        },
    )


def _name(source, word):
    return Path(source).name if isinstance(source, (str, Path)) else word


def _pairs(columns):
    words = {what: " + ".join(name) if isinstance(name, list) else name for what, name in columns.items()}
    return ", ".join(f"{what} = {name}" for what, name in words.items() if name)


def _counts(gone):
    return ", ".join(f"{reason}: {count}" for reason, count in gone.items() if count)
