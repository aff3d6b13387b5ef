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

# Usual names in lower case, letters and digits only; the first that a table has is taken. Others: their own name.
NAMES = {
    "user": "userid user uid customerid customer reviewerid visitorid visitor memberid member buyerid buyer "
    "accountid account clientid client userno customerno kundennummer kundenid kunde",
    "item": "itemid item asin parentasin sku productid product articleid article iid movieid movie bookid book "
    "trackid songid videoid newsid contentid artikelnummer artikelid artikel",
    "time": "timestamp unixreviewtime unixtime time datetime ts eventtime createdat purchasedat orderedat "
    "purchasetime ordertime created date purchasedate orderdate eventdate day zeitstempel bestelldatum datum",
    "title": "title name itemname productname producttitle bezeichnung",
    "category": "categories category genres genre tags kategorie warengruppe",
    "brand": "brand manufacturer marke",
    "description": "description beschreibung",
    "image": "image imagepath imagefile picture photo",
}
KINDS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet")
FAULTS = OSError, EOFError, ValueError, zlib.error, RecursionError, pd.errors.ParserWarning  # of files


def read_any(source: pd.DataFrame | Path | str) -> pd.DataFrame:
    """A table (a path, or a frame as it is) with text for column names; missing is what pandas takes for it (NA...)."""
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True).rename(columns=str)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    zipped, kind = path.suffix.lower() == ".gz", Path(path.name.lower().removesuffix(".gz")).suffix
    if kind not in KINDS or (kind == ".parquet" and zipped):
        raise InputError(f"{path}: no table of a known kind; take csv, tsv, txt or jsonl (also with .gz), or parquet")
    try:
        if kind == ".parquet":  # text is made by Arrow, where integers with gaps stay integers
            table = pa.parquet.read_table(path).to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
            table = table.apply(as_text)
        else:
            with (gzip.open if zipped else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
                table = _read_jsonl(file) if "js" in kind else _read_csv(file)
    except FAULTS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else "check the file or export it again"
        raise InputError(f"{path}: cannot be read as {kind[1:]} ({reason}); {remedy}") from None
    if table.empty:
        raise InputError(f"{path}: no rows")
    return table


def find_column(
    table: pd.DataFrame, what: str, wanted: str | None, where: str, must: bool = True, more: Sequence[str] = ()
) -> str | None:
    """The column that holds ``what``: the wanted one (InputError if it is not there), or else the first with a usual
    name (`NAMES`, or in ``more``); where none is recognised None, or an InputError if there ``must`` be one."""
    if wanted is not None and wanted not in table:
        raise InputError(f"{where} has no column {wanted!r} for the {what}; it has: {list_columns(table)}")
    names = {re.sub(r"[^a-z0-9]", "", str(column).lower()): column for column in reversed(table.columns)}
    usual = *NAMES.get(what, what).split(), *more
    found = wanted if wanted is not None else next((names[name] for name in usual if name in names), None)
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
        cells = pa.array(map(_cell, values), pa.string())
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        cells = pd.to_datetime(cells.to_pandas(), utc=True).astype(str).replace("NaT", np.nan)
    elif pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type):
        cells = [_cell(value) for value in cells.to_pylist()]
    else:
        if pa.types.is_floating(cells.type):
            known = cells.to_pandas().dropna()
            if ((known % 1 == 0) & (known.abs() < 2**53)).all():
                cells = cells.cast(pa.int64())
        cells = cells.cast(pa.string()).to_pandas()
    out = pd.Series(cells, dtype=str).set_axis(values.index).str.strip()
    out = out.where(out != "")
    # 17.0 is what is left of 17 when a table with gaps was written.
    return out.str[:-2] if out.dropna().str.fullmatch(r"\d+\.0").all() else out


def _cell(value):
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, (list, tuple, np.ndarray)):
        return ", ".join(filter(None, map(_cell, value))) or None
    return json.dumps(value, default=str) if isinstance(value, dict) else str(value)


def _read_csv(file):
    head = next(filter(str.strip, file), "")  # the names of the columns
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # lines longer than the header
        return pd.read_csv(file, sep=max(",;\t|", key=head.count), dtype=str, index_col=False)


def _read_jsonl(file):
    records = []
    for number, line in enumerate(file, 1):
        try:
            records += [{**json.loads(line)}] if line.strip() else []
        except (TypeError, ValueError):
            raise ValueError(f"line {number} is not one JSON object; expected one on each line") from None
    return pd.DataFrame(records, dtype=object)
