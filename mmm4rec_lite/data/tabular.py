"""Your own interactions and items, from tables as shops and logs have them, as a dataset."""

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmm4rec_lite.data.apart import columns_of_time, join_times
from mmm4rec_lite.data.columns import find_column, list_columns, usual_columns
from mmm4rec_lite.data.dataset import Dataset, k_core
from mmm4rec_lite.data.ids import ENOUGH, candidates, pairs, spelled
from mmm4rec_lite.data.item_pictures import find_pictures
from mmm4rec_lite.data.markup import ENTITY, TAG, clean
from mmm4rec_lite.data.reading import as_text, read_any
from mmm4rec_lite.data.times import plausible_years, read_times, within
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.names import names

ORDER_ONLY = "order only"
HINTS = {"text": "--title COLUMN or --text COLUMN,COLUMN"}  # where more is to be said than --<what> COLUMN
HINTS["time"] = "--time COLUMN; without times: --order COLUMN, or --order file for the order of the lines"
LONGEST = 10_000  # characters kept of a title or text: more than any encoder reads
MISSING = ["null", "none", "nan", "n/a", "na", "nil", "undefined"]  # words that may stand for nothing
MOVIELENS = {"interactions": ["user", "item", "rating", "timestamp"], "items": ["item", "title", "genres"]}


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
    items_id: str | None = None,
    years: str | None = None,
    min_rating: float | None = None,
    rating: str | None = None,
    encoding: str | None = None,
    quotes: bool | None = None,
    missing: Sequence[str] = (),
    need_text: bool = False,
) -> Dataset:
    """A `Dataset` from two tables, with a report in its ``info["import"]``; InputError says what to name or mend.

    Parameters
    ----------
    interactions, items : paths (files or folders of parts, of the kinds that `reading` knows), or frames
    images : folder of pictures: named ``<item id>.<jpg, png, webp...>``, or as the image column says
    name : of the dataset; also the domain where there is no domain column
    k : the k-core; 1 keeps every user and item, also items that nobody took
    user, item, time, title, domain, category, image, rating : column names, or numbers from 1 where the first line
        names none; None finds the usual ones (`columns.NAMES`), of ids the pair that joins best; a time may be
        "DATE,CLOCK", two columns; several categories have "|", ",", ";" or ">" between; images are relative to
        ``images``, or to the items' table
    items_id : the column of ids in the items' table where it is not ``item``
    text : columns that make the text (list, or str with commas); None: text, or title, category, brand, description
    order : for data without times (`order_only`): a column of numbers, or ``"file"`` for the order of the lines
    time_format : as in `times.read_times`; None finds it out
    years : "FROM-TO": times of others are dropped; None: 1990 to next year
    min_rating : interactions with a lower rating, or none, are dropped
    encoding, quotes, missing : of text files, as `reading.read_any` has them
    need_text : items without text are left out, and what was done with them

    Examples
    --------
    >>> log = pd.DataFrame({"customer": ["a", "a"], "sku": [7, 8], "date": ["2024-01-31", "2024-02-01"]})
    >>> import_tables(log, pd.DataFrame({"sku": [7, 8], "name": ["Cup", "Mug"]}), k=1)
    Dataset imported: 1 users, 2 items, 2 interactions
    """
    refuse(time and order, "both a time and an order column: take one; the order is for data without times")
    form, span = dict(encoding=encoding, quotes=quotes, missing=missing), plausible_years(years)
    texts = names(text) if isinstance(text, str) else list(text or ())
    log = _Table(interactions, "interactions", form, user, item, *names(time or ""), order, rating)
    goods = _Table(items, "items", form, items_id or item, title, *texts, domain, category, image)
    if item is not None and not (item in log.rows or item in goods.rows):
        there = f"{list_columns(log.rows)}; and: {list_columns(goods.rows)}"
        raise InputError(f"neither {log.name} nor {goods.name} has a column {item!r} for the item; they have: {there}")
    apart = names(time) if time and time not in log.rows else [time]
    clock = {"time": apart[0]} if order is None else {} if order == "file" else {"order": order}
    log.find(user=user, item=item if item in log.rows else None, **clock)
    if at := log.columns.get("time"):
        parts = apart if time else columns_of_time(log.rows, at)
        log.columns["time"] = (
            [find_column(log.rows, "time", part, log.name) for part in parts] if parts[1:] else parts[0]
        )
    goods.find(more=("id",), item=items_id or (item if item in goods.rows else None))
    goods.find(title=title)
    goods.columns["text"] = _texts(goods, texts)
    if faults := log.lacks(*log.columns) + goods.lacks("item", "text"):
        raise InputError("; ".join(faults))
    if min_rating is not None:
        log.columns["rating"] = find_column(log.rows, "rating", rating, log.name)
    goods.find(domain=domain, category=category, image=image)
    pair = _join(log, goods, item, items_id)
    shelf = _shelf(goods, pair.known, name)
    if need_text:
        shelf = goods.keep(shelf, shelf["text"] != "", "without text")
        pair.known = pair.known[pair.known.isin(shelf["item"])]
    cells = goods.rows.loc[shelf.index, goods.columns["image"]].dropna() if goods.columns["image"] else pd.Series()
    shelf["image"], folder, seen = find_pictures(goods.name, goods.folder, cells, shelf["item"], images)
    goods.notes.update(seen)
    rows, times = _clean(log, pair, time_format, span, min_rating)
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

    def __init__(self, source, word, form, *wanted):
        path = Path(word if isinstance(source, pd.DataFrame) else source)
        self.name, self.folder, self.rows = path.name, path.parent, read_any(source, **form)
        self.columns, self.dropped, self.notes = {}, {}, {}
        self.hints = HINTS | ({"item": "--items-id COLUMN"} if word == "items" else {})
        numbers = [name for name in wanted if name and name.isdecimal() and name not in self.rows]
        if numbers and self.rows.attrs.get("names") == "unsure":
            self.rows = read_any(source, **form, named=False)
        self.named, order = self.rows.attrs.get("names"), MOVIELENS[word]
        if self.named == "none" and self.rows.attrs["movielens"] and len(order) == self.rows.shape[1]:
            if not any(name in self.rows for name in wanted):
                self.rows.columns, self.notes["columns, which have no names"] = order, "those of MovieLens' files"

    def find(self, more=(), **wanted):
        for what, column in wanted.items():
            self.columns[what] = find_column(self.rows, what, column, self.name, must=False, more=more)

    def lacks(self, *wanted):
        """What to say, if anything, of wanted columns that neither were given nor could be recognised."""
        lost = [what for what in wanted if not self.columns[what]]
        lacking = " and no ".join(lost).replace("text", "title and no text")
        say = ", ".join(self.hints.get(what, f"--{what} COLUMN") for what in lost)
        there = list_columns(self.rows)
        if self.named == "none":
            there += f" (its first line names no columns: {', '.join(map(str, self.rows.iloc[0]))[:80]})"
            say = say.replace("COLUMN", "NUMBER")
        elif self.named == "unsure" and self.rows.shape[1] == 1:
            there += " (one column: its lines hold no separator that is known, or not the same number of words)"
        elif self.named == "unsure":
            say += "; if its first line names no columns, say them as numbers from 1"
        return [f"{self.name}: no {lacking} column was recognised among: {there}; say {say}"] if lost else []

    def keep(self, frame, mask, reason):
        """The rows of ``frame`` that may stay; the others are counted."""
        self.dropped[reason] = int((~mask).sum())
        return frame[mask]

    def text(self, column, index):
        """A column as plain text; missing where there is no such column."""
        if not column:
            return pd.Series(np.nan, index, dtype=str)
        out = as_text(self.rows.loc[index, column])
        if (odd := out.str.contains(f"{TAG}|{ENTITY}").fillna(False).astype(bool)).any():
            cleaned = [clean(text, LONGEST) or np.nan for text in out[odd]]
            out = pd.concat([out[~odd], pd.Series(cleaned, out[odd].index, dtype=str)]).reindex(index)
        return out

    def suspect(self, what, values):
        """Note the words that may stand for nothing."""
        if (odd := values.str.lower().isin(MISSING)).any():
            told = f"{', '.join(values[odd].unique()[:3])}: {int(odd.sum())}"
            self.notes[f"{what}s that may stand for none, kept"] = f"{told} (--missing takes them for nothing)"

    def report(self, kept, k, **otherwise):
        if k > 1:
            self.dropped[f"outside the {k}-core"] = len(self.rows) - kept - sum(self.dropped.values())
        taken = np.hstack([name for name in self.columns.values() if name]).tolist()
        unused = [column for column in self.rows if column not in taken]
        columns = {what: name or otherwise.get(what) for what, name in self.columns.items()}
        about = {"table": self.name, "read": len(self.rows), "kept": kept, "columns": columns}
        return {**about, "not used": unused, "dropped": self.dropped, "notes": self.notes}


def _join(log, goods, item, items_id):
    """The pair of columns whose ids match; told, with a warning where few do."""
    left = [item] if item in log.rows else usual_columns(log.rows, "item")
    right = usual_columns(goods.rows, "item", ("id",))
    right = [items_id] if items_id else [item] if item in goods.rows else right
    best, *others = pairs(log.rows, goods.rows, left, right)
    for other in others if best.count else ():
        if other.rank() == best.rank() and (other.at != best.at).any():
            fault = f"{log.name} and {goods.name} join equally by {best} and by {other} interactions, to other items"
            raise InputError(f"{fault}; say --item COLUMN (of the interactions) and --items-id COLUMN (of the items)")
    log.columns["item"], goods.columns["item"] = best.left, best.right
    share = best.count / best.rows
    log.notes["joined with an item"] = f"{best.count} of {best.rows} ({share:.1%})"
    log.notes["other columns that join"] = "; ".join(str(other) for other in others if other.count)
    known = best.known.reindex(best.at).set_axis(best.ids.index)
    if (odd := known.notna() & (known != best.ids)).any():
        example = f"{best.ids[odd].iloc[0][:40]} is {known[odd].iloc[0][:40]}"
        log.notes["ids spelled otherwise than the items'"] = f"{int(odd.sum())} ({example})"
    if share < ENOUGH and best.ids.notna().any():
        left_out = np.hstack([log.columns[what] for what in ("user", "time", "order") if log.columns.get(what)])
        others = candidates(log.rows.drop(columns=left_out), goods.rows, best)
        told = f"{best.count} of {best.rows} lines ({share:.0%}) join an item, by {best.left} = {best.right}"
        told += f"; other columns that join: {'; '.join(others)}" if others else "; no other columns join more"
        told += " (--item COLUMN, --items-id COLUMN)"
        if not best.count:
            example = f"{best.ids.dropna().iloc[0][:40]!r} is not among {best.known.dropna().iloc[:3].tolist()}"
            raise InputError(f"{log.name}: nothing is left, {told}; {example[:200]}")
        log.notes["warning"] = f"only {told}"
        warnings.warn(f"{log.name}: only {told}", stacklevel=3)
    return best


def _clean(log, pair, form, years, min_rating):
    """Rows [user, item, timestamp], and what their times are."""
    at = np.atleast_1d(log.columns.get("time") or []).tolist()
    where = f"{log.name}, column {' + '.join(map(repr, at))}"
    rows = {
        what: as_text(log.rows[column]) for what, column in log.columns.items() if what not in ("user", "item", "time")
    }
    rows |= {"time": join_times(log.rows, at, where, "%" in (form or ""))} if at else {}
    rows = pd.DataFrame({"user": spelled(log.rows[log.columns["user"]]), "item": pair.ids, **rows})
    log.suspect("user", rows["user"])
    rows["found"] = pair.known.reindex(pair.at).to_numpy()
    for what in log.columns:
        rows = log.keep(rows, rows[what].notna(), f"no {what}")
    if min_rating is not None:
        enough = pd.to_numeric(rows["rating"], errors="coerce") >= min_rating
        rows = log.keep(rows, enough, f"rating below {min_rating:g}")
    if timed := "time" in rows and len(rows):
        at, log.notes["times"] = read_times(rows["time"], form, where, years)
        rows = log.keep(rows.assign(at=at), at.notna(), "unreadable time")
        fits, span = within(rows["at"], years), f"the years {years[0]} to {years[1]}"
        if 2 * fits.sum() < len(rows):
            told = f"{(~fits).sum()} of {len(rows)} times, read as {log.notes['times']}, are outside {span}"
            example = f"such as {rows['time'][~fits].iloc[0]!r}"
            raise InputError(f"{where}: {told}, {example}; say --years FROM-TO, or another --time-format")
        rows = log.keep(rows, fits, f"time outside {span} (--years FROM-TO takes others)")
        ends = rows["at"].agg(["min", "max"]).to_numpy()
        log.notes |= dict(zip(("first", "last"), pd.to_datetime(ends, unit="s").strftime("%Y-%m-%d %H:%M:%S")))
    elif "order" in rows:
        log.notes["times"] = "none; a column gives the order"
        rows = rows.assign(at=pd.to_numeric(rows["order"], errors="coerce"))
        rows = log.keep(rows, np.isfinite(rows["at"]), "unreadable order (no number)")
    else:
        log.notes["times"] = "none; the lines give the order"
        rows = rows.assign(at=np.arange(len(rows)))
    rows = log.keep(rows, rows["found"].notna(), "item not among the items").drop(columns="item")
    rows = rows.rename(columns={"found": "item"})
    rows = rows.sort_values("at", kind="stable")  # before the fractions of seconds go
    at = rows["at"] if timed else rows.groupby("user")["at"].rank("dense") - 1
    rows["timestamp"] = np.floor(at).astype("int64")
    times = ORDER_ONLY if not timed else "days" if (rows["timestamp"] % 86400 == 0).all() else "seconds"
    once = ~rows.duplicated(["user", "item", "timestamp"])
    return log.keep(rows, once, "exact repeats of user, item and time"), times


def _texts(goods, named):
    """The columns of the text: those that are said, or the usual ones; none where there is not even a title."""
    if named:
        return [find_column(goods.rows, "text", column, goods.name) for column in named]
    sorts = ("text", "title", "category", "brand", "description")
    usual = [find_column(goods.rows, what, None, goods.name, must=False) for what in sorts]
    found = usual[:1] if usual[0] else usual[1:] if any(usual) else [goods.columns["title"]]
    return [column for column in found if column]


def _shelf(goods, ids, name):
    """The items but for their pictures, with the table's index."""
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
    goods.suspect("title", title)
    kinds = goods.text(goods.columns["category"], ids.index).fillna("")
    between = r"\s+" if goods.columns["category"] in goods.rows.attrs.get("sequences", ()) else r"\s*[|,;>]\s*"
    kinds = kinds.str.replace(between, "|", regex=True)
    return pd.DataFrame(dict(item=ids, title=title, text=text.str[:LONGEST], domain=domain, categories=kinds))


def _pairs(columns):
    return ", ".join(f"{what} = {' + '.join(np.atleast_1d(name))}" for what, name in columns.items() if name)
