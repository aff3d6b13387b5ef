"""Tables as frames of text: csv, tsv, txt, jsonl (each also with .gz), and parquet; and times of any usual format."""

import gzip
import json
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from mmm4rec_lite.data.schema import LATEST
from mmm4rec_lite.utils.errors import InputError, refuse

KINDS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet")
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SMALL = 10**8  # seconds: March 1973; a column that stays below counts something else than time since 1970
CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<part>\d+))?)?"
DATE = r"(?P<one>\d{1,2})[-/.](?P<two>\d{1,2})[-/.](?P<year>\d{4})"
DAY_MONTH = rf"{DATE}(?:[T, ]+{CLOCK})?\s*(?P<half>[AaPp][Mm])?"
FORMS = "unix time in s, ms, us or ns, ISO 8601, day.month.year, day/month/year, month/day/year (AM/PM, too), yyyymmdd"
TAKEN = f"taken are {FORMS}; for others say --time-format with a pattern such as '%d.%m.%y'"
ASK = "say --time-format: s, ms, us, ns, iso or a pattern such as '%d/%m/%Y %H:%M'"
FAULTS = OSError, EOFError, ValueError, zlib.error, RecursionError, pd.errors.ParserWarning  # of files


def read_any(source: pd.DataFrame | Path | str) -> pd.DataFrame:
    """A table (a path, or a frame as it is) with text for column names; missing is what pandas takes for it (NA...)."""
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True).rename(columns=str)
    path = Path(source)
    refuse(not path.is_file(), f"{path}: there is no such file")
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
    refuse(table.empty, f"{path}: no rows")
    return table


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


def read_times(values: pd.Series, form: str | None = None, where: str = "times") -> tuple[pd.Series, str]:
    """Seconds since 1970 (float64, NaN where unreadable) of texts, and in words what they were taken for.

    ``form`` is a unit of numbers ("s", "ms", "us", "ns"), "iso" or a strftime pattern. Without it, what most values
    look like decides: numbers are of the unit that fits their median, or dates (20241231); ISO 8601 without a zone is
    UTC; of days and months the column itself must show which stands first. InputError where it cannot be told.
    """
    values = values.str.strip().str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)
    if form is None:
        fitting = {reader: values[values.str.fullmatch(shape)] for shape, reader in SHAPES.items()}
        reader, fit = max(fitting.items(), key=lambda pair: len(pair[1]))
        found, name = reader(fit, where) if len(fit) else (pd.Series(dtype=float), "")
    elif form in UNITS:
        found, name = pd.to_numeric(values, errors="coerce") / UNITS[form], f"unix time in {form}"
    elif form == "iso":
        found, name = _iso(values, where)
    elif "%" in form:
        found, name = _stamps(values, form), f"pattern {form}"
    else:
        raise InputError(f"time format {form!r} is not known: {ASK}")
    out = found.astype(float).replace([np.inf, -np.inf], np.nan).reindex(values.index)
    lost = values[out.isna()]
    if 2 * len(lost) > len(out):
        count = f"{len(lost)} of {len(out)} values"
        raise InputError(f"{where}: {count} cannot be read, such as {lost.iloc[0][:60]!r}; {TAKEN}")
    return out, name


def _number(values, where):
    numbers = pd.to_numeric(values, errors="coerce")
    if values.str.fullmatch(r"(?:19|20)\d{6}").all() and (dates := _stamps(values, "%Y%m%d")).notna().all():
        return dates, "dates such as 20241231"
    size = numbers.abs().median()
    unit = next((unit for unit, factor in UNITS.items() if size <= LATEST * factor), "ns")
    seconds = numbers / UNITS[unit]
    if seconds.max() < SMALL:
        remedy = "if they only give an order, say --order COLUMN; a spreadsheet's numbers of days, export as dates"
        raise InputError(f"{where}: the numbers end at {numbers.max():g}, too small for times; {remedy}; {TAKEN}")
    return seconds, f"unix time in {unit}"


def _iso(values, where):
    zoned = values.str.contains(r"(?:Z|[+-]\d{2}:?\d{2}|:\d{2}.*[+-]\d{2})$").all()
    return _stamps(values, "ISO8601"), "ISO 8601" + ("" if zoned else ", UTC where no zone is given")


def _day_month(values, where):
    """12/31/2024 23:59: a number above 12 must show, somewhere in the column, which is the day."""
    parts = values.str.extract(DAY_MONTH).fillna(dict.fromkeys(["hour", "minute", "second", "part"], "0"))
    one, two = (parts[name].astype(int) > 12 for name in ("one", "two"))
    day_first, month_first = (one & ~two).any(), (two & ~one).any()
    if day_first == month_first:
        unknown = "does not show whether the day or the month stands first"
        fault = "has days before months and months before days" if day_first else unknown
        say = "say --time-format '%d/%m/%Y' or '%m/%d/%Y' (with ' %H:%M' or ' %H:%M:%S' where there is a time of day)"
        raise InputError(f"{where}: {fault} (such as {values.iloc[0]!r}); {say}")
    form = "%d %m %Y %H %M %S.%f" if day_first else "%m %d %Y %H %M %S.%f"
    text = parts["one"].str.cat(parts[["two", "year", "hour", "minute", "second"]], " ") + "." + parts["part"].str[:9]
    halves = _stamps(text + " " + parts["half"], form.replace("%H", "%I") + " %p")
    out = _stamps(text, form).where(parts["half"].isna(), halves)
    return out, f"dates with the {'day' if day_first else 'month'} first, UTC"


def _stamps(values, form):
    try:
        stamps = pd.to_datetime(values, format=form, errors="coerce", utc=True)
    except ValueError as error:
        raise InputError(f"time format {form!r} cannot be used ({error}): {ASK}") from None
    return (stamps - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(seconds=1)


SHAPES = {  # the whole of a value -> who reads a column of such
    r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?": _number,
    r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T ]\d{1,2}.*)?": _iso,
    DAY_MONTH: _day_month,
}
