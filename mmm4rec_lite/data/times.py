"""Times as people write them, to seconds since 1970 in UTC."""

import numpy as np
import pandas as pd

from mmm4rec_lite.data.tables import LATEST
from mmm4rec_lite.utils.errors import InputError

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SMALL = 10**8  # seconds: March 1973; a column that stays below counts something else than time since 1970
NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
ISO = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T ]\d{1,2}.*)?"
DAY_MONTH = (
    r"(?P<first>\d{1,2})[-/.](?P<second>\d{1,2})[-/.](?P<year>\d{4})"
    r"(?:[T, ]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<sec>\d{2}(?:\.\d+)?))?)?\s*(?P<half>[AaPp][Mm])?"
)
TAKEN = (
    "taken are unix time in s, ms, us or ns, ISO 8601, day.month.year, day/month/year and month/day/year (these "
    "also with AM/PM), and yyyymmdd; for others say --time-format with a pattern such as '%d.%m.%y'"
)
ASK = "say --time-format: s, ms, us, ns, iso or a pattern such as '%d/%m/%Y %H:%M'"


def read_times(values, form=None, where="times"):
    """Seconds since 1970 of ``values``, a Series of text without missing ones.

    Numbers are seconds, milliseconds, microseconds or nanoseconds by the size of their median, or dates
    (20241231); else ISO 8601, where no zone means UTC; else days and months, when the column itself shows
    which stands first. ``form`` ("s", "ms", "us", "ns", "iso" or a strftime pattern) decides instead.

    Returns:
        float64 Series, NaN where a value cannot be read; and in words what the values were taken for.

    Raises:
        InputError: an unknown ``form``, day or month first cannot be told, most values cannot be read, or the
            numbers are too small for times since 1970.
    """
    values = values.str.strip().str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)
    if form is None:
        shapes = {_number: NUMBER, _iso: ISO, _day_month: DAY_MONTH}
        read = max(shapes, key=lambda reader: int(values.str.fullmatch(shapes[reader]).sum()))
        fitting = values[values.str.fullmatch(shapes[read])]
        found, name = read(fitting, where) if len(fitting) else (pd.Series(dtype=float), "")
    elif form in UNITS:
        found, name = pd.to_numeric(values, errors="coerce") / UNITS[form], f"unix time in {form}"
    elif form == "iso":
        found, name = _iso(values, where)
    elif "%" in form:
        found, name = _stamps(values, form), f"pattern {form}"
    else:
        raise InputError(f"time format {form!r} is not known: {ASK}")
    out = found.astype(float).replace([np.inf, -np.inf], np.nan).reindex(values.index)
    if 2 * out.isna().sum() > len(out):
        example = str(values[out.isna()].iloc[0])[:60]
        raise InputError(
            f"{where}: {out.isna().sum()} of {len(out)} values cannot be read, such as {example!r}; {TAKEN}"
        )
    return out, name


def _number(values, where):
    numbers = pd.to_numeric(values, errors="coerce")
    if values.str.fullmatch(r"(?:19|20)\d{6}").all():
        dates = _stamps(values, "%Y%m%d")
        if dates.notna().all():
            return dates, "dates such as 20241231"
    size = numbers.abs().median()
    unit = next((unit for unit, factor in UNITS.items() if size <= LATEST * factor), "ns")
    seconds = numbers / UNITS[unit]
    if seconds.max() < SMALL:
        raise InputError(
            f"{where}: the numbers end at {numbers.max():g}, too small for times since 1970; if they only "
            "give the order, say --order COLUMN; if they are a spreadsheet's numbers of days, export them "
            f"as dates; {TAKEN}"
        )
    return seconds, f"unix time in {unit}"


def _iso(values, where):
    name = "ISO 8601"
    if not values.str.contains(r"(?:Z|[+-]\d{2}:?\d{2}|:\d{2}.*[+-]\d{2})$").all():
        name += ", UTC where no zone is given"
    return _stamps(values, "ISO8601"), name


def _day_month(values, where):
    """12/31/2024 23:59: a number above 12 must show, somewhere in the column, which is the day."""
    parts = values.str.extract(DAY_MONTH)
    first, second = pd.to_numeric(parts["first"]), pd.to_numeric(parts["second"])
    day_first, month_first = ((first > 12) & (second <= 12)).any(), ((second > 12) & (first <= 12)).any()
    if day_first == month_first:
        fault = (
            "has days before months and months before days"
            if day_first
            else "does not show whether the day or the month stands first"
        )
        raise InputError(
            f"{where}: {fault} (such as {values.iloc[0]!r}); say --time-format '%d/%m/%Y' or '%m/%d/%Y' "
            "(with ' %H:%M' or ' %H:%M:%S' where there is a time of day)"
        )
    day, month = (first, second) if day_first else (second, first)
    date = pd.to_datetime(
        pd.DataFrame({"year": pd.to_numeric(parts["year"]), "month": month, "day": day}), errors="coerce", utc=True
    )
    hour, minute, sec = (pd.to_numeric(parts[name]).fillna(0) for name in ("hour", "minute", "sec"))
    half = parts["half"].str.lower()
    possible = (hour < 24) & (minute < 60) & (sec < 60) & (half.isna() | hour.between(1, 12))
    hour = hour.where(half.isna(), hour % 12 + 12 * (half == "pm"))
    seconds = _seconds(date) + 3600 * hour + 60 * minute + sec
    return seconds.where(possible), f"dates with the {'day' if day_first else 'month'} first, UTC"


def _stamps(values, form):
    try:
        return _seconds(pd.to_datetime(values, format=form, errors="coerce", utc=True))
    except ValueError as error:
        raise InputError(f"time format {form!r} cannot be used ({error}): {ASK}") from None


def _seconds(stamps):
    return (stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
