"""Tables of any usual kind as frames of text: csv, tsv, txt, jsonl (each also with .gz), and parquet."""

import gzip
import json
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from mmm4rec_lite.utils.errors import InputError

# Usual names in lower case, letters and digits only; the first that a table has is taken.
NAMES = {
    "user": "userid user uid customerid customer reviewerid visitorid visitor memberid member buyerid buyer "
    "accountid account clientid client userno customerno kundennummer kundenid kunde",
    "item": "itemid item asin parentasin sku productid product articleid article iid movieid movie bookid book "
    "trackid songid videoid newsid contentid artikelnummer artikelid artikel",
    "time": "timestamp unixreviewtime unixtime time datetime ts eventtime createdat purchasedat orderedat "
    "purchasetime ordertime created date purchasedate orderdate eventdate day zeitstempel bestelldatum datum",
    "title": "title name itemname productname producttitle bezeichnung",
    "text": "text",
    "category": "categories category genres genre tags kategorie warengruppe",
    "brand": "brand manufacturer marke",
    "description": "description beschreibung",
    "domain": "domain",
    "image": "image imagepath imagefile picture photo",
}


def read_any(source: pd.DataFrame | Path | str) -> pd.DataFrame:
    """A table (a path, or a frame as it is) as a frame with text for column names.

    Empty cells are missing, and so is what pandas takes for missing (NA, null, NaN...); `as_text` makes text
    of the others. InputError when the file is none or cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True).rename(columns=str)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind not in _READERS or (kind == ".parquet" and path.suffix.lower() == ".gz"):
        raise InputError(f"{path}: no table of a known kind; take csv, tsv, txt or jsonl (also with .gz), or parquet")
    try:
        table = _READERS[kind](path)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, RecursionError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else "check the file or export it again"
        raise InputError(f"{path}: cannot be read as {kind[1:]} ({reason}); {remedy}") from None
    if table.empty:
        raise InputError(f"{path}: no rows")
    return table


def find_column(
    table: pd.DataFrame, what: str, wanted: str | None, where: str, must: bool = True, more: Sequence[str] = ()
) -> str | None:
    """The column that holds ``what``: the wanted one, or one with a usual name (`NAMES`, or in ``more``).

    InputError where the wanted one is not there, and, if there ``must`` be one, where none is recognised.
    """
    if wanted is not None:
        if wanted in table:
            return wanted
        raise InputError(f"{where} has no column {wanted!r} for the {what}; it has: {list_columns(table)}")
    names = {re.sub(r"[^a-z0-9]", "", str(column).lower()): column for column in reversed(table.columns)}
    usual = *NAMES.get(what, "").split(), *more
    found = next((names[name] for name in usual if name in names), None)
    if found is None and must:
        raise InputError(f"{where}: no {what} column was recognised among: {list_columns(table)}; say --{what} COLUMN")
    return found


def list_columns(table: pd.DataFrame) -> str:
    """The names of a table's columns, for a message."""
    return ", ".join(map(str, table.columns))[:200]


def as_text(values: pd.Series) -> pd.Series:
    """A column as text, stripped, missing where it is empty."""
    try:
        cells = pa.Array.from_pandas(values)
    except (pa.ArrowException, ValueError, OverflowError):  # of several types, as JSON may be
        cells = pa.array([_cell(value) for value in values], pa.string())
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    kind = cells.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        out = pd.to_datetime(cells.to_pandas(), utc=True).astype(str).replace("NaT", np.nan)
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
        out = pd.Series([_cell(value) for value in cells.to_pylist()], dtype=str)
    else:
        if pa.types.is_floating(kind):
            plain = cells.to_pandas().dropna()
            if (np.isfinite(plain) & (plain % 1 == 0) & (plain.abs() < 2**53)).all():
                cells = cells.cast(pa.int64())
        out = pd.Series(cells.cast(pa.string()).to_pandas(), dtype=str)
    out = out.set_axis(values.index).str.strip()
    known = out[out != ""].dropna()
    # 17.0 is what is left of 17 when a table with gaps was written.
    whole = len(known) and known.str.fullmatch(r"\d+\.0").all()
    return (known.str[:-2] if whole else known).reindex(values.index)


def _cell(value):
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, (list, tuple, np.ndarray)):
        return ", ".join(filter(None, map(_cell, value))) or None
    return json.dumps(value, default=str) if isinstance(value, dict) else str(value)


def _open(path):
    return (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="")


def _read_csv(path):
    with _open(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # lines longer than the header
        head = file.readline(1 << 20)
        if not head.strip():
            raise InputError(f"{path}: the first line must hold the names of the columns")
        file.seek(0)
        return pd.read_csv(file, sep=max(",;\t|", key=head.count), dtype=str, index_col=False)


def _read_jsonl(path):
    records = []
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line) if line.strip() else {}
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise InputError(f"{path}: line {number} is not one JSON object; expected one on each line")
            records += [record] if line.strip() else []
    return pd.DataFrame(records, dtype=object)


def _read_parquet(path):
    # Text is made by Arrow, where integers with gaps stay integers.
    table = pa.parquet.read_table(path).to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    return pd.DataFrame({name: as_text(column) for name, column in table.items()})


_READERS = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _read_csv),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), _read_jsonl),
    ".parquet": _read_parquet,
}
