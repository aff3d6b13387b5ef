"""Times as people write them, to seconds since 1970 in UTC."""

import numpy as np
import pandas as pd

from mmm4rec_lite.data.schema import LATEST
from mmm4rec_lite.utils.errors import InputError

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SMALL = 10**8  # seconds: March 1973; a column that stays below counts something else than time since 1970
CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<part>\d+))?)?"
DATE = r"(?P<one>\d{1,2})[-/.](?P<two>\d{1,2})[-/.](?P<year>\d{4})"
DAY_MONTH = rf"{DATE}(?:[T, ]+{CLOCK})?\s*(?P<half>[AaPp][Mm])?"
FORMS = "unix time in s, ms, us or ns, ISO 8601, day.month.year, day/month/year, month/day/year (AM/PM, too), yyyymmdd"
TAKEN = f"taken are {FORMS}; for others say --time-format with a pattern such as '%d.%m.%y'"
ASK = "say --time-format: s, ms, us, ns, iso or a pattern such as '%d/%m/%Y %H:%M'"


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
