"""Your own interactions and items, from tables as shops and logs have them, as a dataset."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmm4rec_lite.data.columns import find_column, list_columns
from mmm4rec_lite.data.dataset import Dataset, k_core
from mmm4rec_lite.data.reading import as_text, read_any, read_times
from mmm4rec_lite.data.schema import LATEST
from mmm4rec_lite.utils.errors import InputError, refuse

ORDER_ONLY = "order only"
HINTS = {"text": "--title COLUMN or --text COLUMN,COLUMN"}  # where more is to be said than --<what> COLUMN
HINTS["time"] = "--time COLUMN; without times: --order COLUMN, or --order file for the order of the lines"
LONGEST = 10_000  # characters kept of a title or text: more than any encoder reads
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


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
    category: str | None = None,
    image: str | None = None,
) -> Dataset:
    """A `Dataset` from two tables, with a report in its ``info["import"]``; InputError says what to name or mend.

    Parameters
    ----------
    interactions, items : paths (csv, tsv, txt, jsonl, these also with .gz, or parquet), or frames
    images : folder of pictures: named ``<item id>.<jpg, png, webp...>``, or as the image column says
    name : of the dataset; also the domain where there is no domain column
    k : the k-core; 1 keeps every user and item, also items that nobody took
    user, item, time, title, domain, category, image : column names; None finds the usual ones (`columns.NAMES`);
        several categories have "|", ",", ";" or ">" between; images are relative to ``images``, or to the items' table
    text : columns that make the text (list, or str with commas); None: text, or title, category, brand, description
    order : for data without times (`order_only`): a column of numbers, or ``"file"`` for the order of the lines
    time_format : as in `reading.read_times`; None finds it out

    Examples
    --------
    >>> log = pd.DataFrame({"customer": ["a", "a"], "sku": [7, 8], "date": ["2024-01-31", "2024-02-01"]})
    >>> import_tables(log, pd.DataFrame({"sku": [7, 8], "name": ["Cup", "Mug"]}), k=1)
    Dataset imported: 1 users, 2 items, 2 interactions
    """
    refuse(time and order, "both a time and an order column: take one; the order is for data without times")
    log, goods = _Table(interactions, "interactions"), _Table(items, "items")
    if item is not None and not (item in log.rows or item in goods.rows):
        there = f"{list_columns(log.rows)}; and: {list_columns(goods.rows)}"
        raise InputError(f"neither {log.name} nor {goods.name} has a column {item!r} for the item; they have: {there}")
    clock = {"time": time} if order is None else {} if order == "file" else {"order": order}
    log.find(user=user, item=item if item in log.rows else None, **clock)
    goods.find(more=("id",), item=item if item in goods.rows else None)
    goods.find(title=title)
    goods.columns["text"] = _texts(goods, text)
    if faults := log.lacks(*log.columns) + goods.lacks("item", "text"):
        raise InputError("; ".join(faults))
    goods.find(domain=domain, category=category, image=image)
    shelf = _shelf(goods, name)
    shelf["image"], folder = _pictures(goods, shelf["item"], images)
    rows, times = _clean(log, shelf["item"], time_format)
    if rows.empty:
        gone = ", ".join(f"{reason}: {count}" for reason, count in log.dropped.items() if count)
        remedy = f"check the columns ({_pairs(log.columns)}) and the items' ids"
        raise InputError(f"{log.name}: nothing is left of {len(log.rows)} interactions ({gone}); {remedy}")
    info = {"source": f"imported from {log.name} and {goods.name}", "core": k, "times": times}
    dataset = Dataset.from_frames(name, rows, shelf, folder, info)
    dataset = k_core(dataset, k) if k > 1 else dataset
    goods.notes = {"with a picture": int(dataset.items["image"].notna().sum()), **goods.notes}
    by_id = images and "files named by the item's id"
    about = goods.report(len(dataset.items), k, title="the text", domain=f"all {name}", image=by_id)
    dataset.info["import"] = {"interactions": log.report(len(dataset.interactions), k), "items": about}
    return dataset


def order_only(dataset: Dataset) -> bool:
    """Whether ``dataset``, or a part of a union, has an order but no times: no model may then read gaps."""
    infos = [dataset.info]
    for info in infos:  # which grows by the parts
        infos.extend(info.get("parts", {}).values())
    return any(info.get("times") == ORDER_ONLY for info in infos)


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
        path = Path(word if isinstance(source, pd.DataFrame) else source)
        self.name, self.folder, self.rows = path.name, path.parent, read_any(source)
        self.columns, self.dropped, self.notes = {}, {}, {}

    def find(self, more=(), **wanted):
        for what, column in wanted.items():
            self.columns[what] = find_column(self.rows, what, column, self.name, must=False, more=more)

    def lacks(self, *wanted):
        """What to say, if anything, of wanted columns that neither were given nor could be recognised."""
        lost = [what for what in wanted if not self.columns[what]]
        lacking = " and no ".join(lost).replace("text", "title and no text")
        say = ", ".join(HINTS.get(what, f"--{what} COLUMN") for what in lost)
        there = list_columns(self.rows)
        return [f"{self.name}: no {lacking} column was recognised among: {there}; say {say}"] if lost else []

    def keep(self, frame, mask, reason):
        """The rows of ``frame`` that may stay; the others are counted."""
        self.dropped[reason] = int((~mask).sum())
        return frame[mask]

    def text(self, column, index):
        """A column as text; missing where there is no such column."""
        return as_text(self.rows.loc[index, column]) if column else pd.Series(np.nan, index, dtype=str)

    def report(self, kept, k, **otherwise):
        if k > 1:
            self.dropped[f"outside the {k}-core"] = len(self.rows) - kept - sum(self.dropped.values())
        taken = np.hstack([name for name in self.columns.values() if name]).tolist()
        unused = [column for column in self.rows if column not in taken]
        columns = {what: name or otherwise.get(what) for what, name in self.columns.items()}
        about = {"table": self.name, "read": len(self.rows), "kept": kept, "columns": columns}
        return {**about, "not used": unused, "dropped": self.dropped, "notes": self.notes}


def _clean(log, known, form):
    """Rows [user, item, timestamp], and what their times are."""
    rows = pd.DataFrame({what: as_text(log.rows[column]) for what, column in log.columns.items()})
    for what in log.columns:
        rows = log.keep(rows, rows[what].notna(), f"no {what}")
    if timed := "time" in rows:
        at, log.notes["times"] = read_times(rows["time"], form, f"{log.name}, column {log.columns['time']!r}")
        rows = log.keep(rows.assign(at=at), at.notna(), "unreadable time")
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
    at = rows["at"] if timed else rows.groupby("user")["at"].rank("dense") - 1
    rows["timestamp"] = np.floor(at).astype("int64")
    times = ORDER_ONLY if not timed else "days" if (rows["timestamp"] % 86400 == 0).all() else "seconds"
    once = ~rows.duplicated(["user", "item", "timestamp"])
    return log.keep(rows, once, "exact repeats of user, item and time"), times


def _texts(goods, text):
    """The columns of the text: those that are said, or the usual ones; none where there is not even a title."""
    if text:
        named = map(str.strip, text.split(",")) if isinstance(text, str) else text
        return [find_column(goods.rows, "text", column, goods.name) for column in named]
    sorts = ("text", "title", "category", "brand", "description")
    usual = [find_column(goods.rows, what, None, goods.name, must=False) for what in sorts]
    found = usual[:1] if usual[0] else usual[1:] if any(usual) else [goods.columns["title"]]
    return [column for column in found if column]


def _shelf(goods, name):
    """The items but for their pictures, with the table's index."""
    ids = as_text(goods.rows[goods.columns["item"]])
    ids = goods.keep(ids, ids.notna(), "no item")
    ids = goods.keep(ids, ~ids.duplicated(), "repeated item, the first line was kept")
    parts = [goods.text(column, ids.index).fillna("").str[:LONGEST] for column in goods.columns["text"]]
    joined = [". ".join(part.rstrip(".") for part in row if part) for row in zip(*parts)] if parts[1:] else parts[0]
    text = pd.Series(joined, ids.index, dtype=str)
    short = text.str[:200].map(lambda words: textwrap.shorten(words, 80, placeholder="..."))
    title = goods.text(goods.columns["title"], ids.index).str[:LONGEST].fillna(short.where(short != "", ids))
    domain = goods.text(goods.columns["domain"], ids.index).str.replace(r"\s*,\s*", " & ", regex=True)  # see --domain
    domain = domain.fillna("unknown" if goods.columns["domain"] else name)
    goods.notes["without text"] = int((text == "").sum())
    goods.notes[f"texts cut at {LONGEST} characters"] = int((text.str.len() >= LONGEST).sum())
    kinds = goods.text(goods.columns["category"], ids.index).fillna("").str.replace(r"\s*[|,;>]\s*", "|", regex=True)
    return pd.DataFrame(dict(item=ids, title=title, text=text.str[:LONGEST], domain=domain, categories=kinds))


def _pictures(goods, ids, images):
    """Each item's picture or None, by the image column or else by its id, as a path below a folder; and that folder."""
    refuse(images is not None and not Path(images).is_dir(), f"{images}: there is no such folder of pictures")
    root = Path(goods.folder if images is None else images).resolve()
    # Looked up in a list, so that no id is ever taken for a path.
    files = [] if images is None else sorted(path.name for path in root.iterdir() if path.suffix.lower() in PICTURES)
    named = pd.Series({Path(file).stem: file for file in reversed(files)}, dtype=str)
    listed = goods.text(goods.columns["image"], ids.index).dropna()
    web = listed.str.match(r"\w+://")
    local = listed[~web]
    if outside := [path for path in local if Path(path).is_absolute() or ".." in Path(path).parts or "\0" in path]:
        remedy = "give paths relative to --images, or to the items' table"
        raise InputError(f"{goods.name}: the picture {outside[0][:80]!r} does not lie below {root.name}; {remedy}")
    own = local[[(root / path).is_file() for path in local]]
    found = own.reindex(ids.index).fillna(ids.map(named).astype(object))
    if images is not None and found.isna().all():
        wanted = "files named <item id>.jpg (png, webp...), or an image column with paths relative to this folder"
        raise InputError(f"{images}: no picture of any item; expected {wanted}")
    goods.notes["pictures that the image column names and that are not there"] = len(local) - len(own)
    goods.notes["web addresses in the image column, not fetched"] = int(web.sum())
    return (root.name + "/" + found).astype(object).where(found.notna(), None), root.parent


def _pairs(columns):
    return ", ".join(f"{what} = {' + '.join(np.atleast_1d(name))}" for what, name in columns.items() if name)
