"""Times of any usual form as seconds since 1970; what a value means is decided by years that are plausible."""

import datetime
import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from mmm4rec_lite.utils.errors import InputError

Reader = Callable[[pd.Series, str, tuple[int, int]], tuple[pd.Series, str]]

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # numbers per second, since 1970
SMALL = 10**8  # seconds: March 1973; numbers below count something else than time since 1970
DAYS = {"days": 0, "excel": 25_569}  # numbers of days: what 1970-01-01 is
STAMPS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # digits -> pattern
CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<part>\d+))?)?"
DATE = r"(?P<one>\d{1,2})[-/.](?P<two>\d{1,2})[-/.](?P<year>\d{4})"
HALF = r"\s*(?P<half>[AaPp][Mm])?"
DAY_MONTH = rf"{DATE}(?:[T, ]+{CLOCK})?{HALF}"
WEEKDAY, ZONE = r"(?:[A-Za-z]{3},? )?", r"(?: ?(?P<zone>Z|[+-]\d{2}:?\d{2}))?"
NAMED = (
    rf"{WEEKDAY}(?P<one>\d{{1,2}})[ -](?P<two>[A-Za-z]{{3,9}})\.?[ -](?P<year>\d{{4}})(?:[T, ]+{CLOCK})?{HALF}{ZONE}"
)
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
FORMS = "unix time in s, ms, us or ns, ISO 8601, day.month.year, day/month/year, month/day/year (AM/PM, too), yyyymmdd"
TAKEN = f"taken are {FORMS}; for others say --time-format with a pattern such as '%d.%m.%y'"
ASK = "say --time-format: s, ms, us, ns, days, excel, iso or a pattern such as '%d/%m/%Y %H:%M'"


def plausible_years(text: str | None = None) -> tuple[int, int]:
    """The first and the last year that times may be of: "FROM-TO", by default 1990 to next year."""
    years = re.fullmatch(r"(\d{4})-(\d{4})", text or f"1990-{datetime.date.today().year + 1}")
    if years is None or not 1 <= int(years[1]) <= int(years[2]) <= 5000:
        raise InputError(f"years: {text!r} is no span of years; say it as 1950-2030")
    return int(years[1]), int(years[2])


def within(seconds: pd.Series, years: tuple[int, int]) -> pd.Series:
    """Which times (seconds since 1970) are of these years."""
    first, end = (pd.Timestamp(year, 1, 1).timestamp() for year in (years[0], years[1] + 1))
    return (seconds >= first) & (seconds < end)


def read_times(
    values: pd.Series, form: str | None = None, where: str = "times", years: tuple[int, int] | None = None
) -> tuple[pd.Series, str]:
    """Seconds since 1970 (float64, NaN where unreadable) of texts, and in words what they were taken for.

    ``form`` is a unit of numbers ("s", "ms", "us", "ns", "days" since 1970, "excel"), "iso" or a strftime pattern.
    Without it every value is of the form that it has: a number of the unit that makes its year one of ``years`` (from,
    to; None: `plausible_years`), or a date (20241231); ISO 8601 without a zone is UTC; of days and months the column
    itself must show which stands first. InputError where it cannot be told.
    """
    years, said = years or plausible_years(), values
    if form is None or form == "iso":
        values = values.str.strip().str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)
    if form is None:
        found, names, rest = pd.Series(np.nan, values.index), [], values.dropna()
        for shape, reader in SHAPES.items():
            fits = rest.str.fullmatch(shape)
            if fits.any():
                seconds, name = reader(rest[fits], where, years)
                found[seconds.index], rest = seconds, rest[~fits]
                names.append(name)
        name = " and ".join(names)
    elif form in UNITS:
        found, name = pd.to_numeric(values, errors="coerce") / UNITS[form], f"unix time in {form}"
    elif form in DAYS:
        found, name = (pd.to_numeric(values, errors="coerce") - DAYS[form]) * 86400, f"numbers of days ({form})"
    elif form == "iso":
        found, name = _iso(values, where, years)
    elif "%" in form:
        found, name = _stamps(values, form), f"pattern {form}"
    else:
        raise InputError(f"time format {form!r} is not known: {ASK}")
    out = found.astype(float).replace([np.inf, -np.inf], np.nan).reindex(values.index)
    lost = said[out.isna()]
    if 2 * len(lost) > len(out):
        count = f"{len(lost)} of {len(out)} values"
        raise InputError(f"{where}: {count} cannot be read, such as {lost.iloc[0][:60]!r}; {TAKEN}")
    return out, name


def _number(values, where, years):
    """Every number by the unit, or the form of date, that puts it into the years; others by the commonest of them."""
    numbers, found, taken = pd.to_numeric(values, errors="coerce"), pd.Series(np.nan, values.index), {}
    readings = {"dates such as 20241231": _compact(values)}
    readings[".NET ticks"] = numbers / 1e7 - 62_135_596_800  # before ns, whose first months of 1990 look alike
    readings |= {f"unix time in {unit}": numbers / factor for unit, factor in UNITS.items()}
    for name, seconds in readings.items():
        if (fits := found.isna() & within(seconds, years)).any():
            found, taken[name] = found.where(~fits, seconds), int(fits.sum())
    if 2 * sum(taken.values()) < len(values):
        if numbers.max() < SMALL:
            remedy = "for an order, say --order COLUMN; of days, --time-format days or, a spreadsheet's, excel"
            raise InputError(f"{where}: the numbers end at {numbers.max():g}, too small for times; {remedy}; {TAKEN}")
        few = f"{sum(taken.values())} of {len(values)} numbers are times of the years {years[0]} to {years[1]}"
        raise InputError(f"{where}: only {few}, such as {values.iloc[0]!r} is not; say --years FROM-TO, or {ASK[4:]}")
    common = max(taken, key=lambda name: taken[name])
    found = found.fillna(readings["unix time in s" if common.startswith("dates") else common])
    return found, " and ".join(f"{name} ({n} values)" if taken.keys() - {name} else name for name, n in taken.items())


def _compact(values):
    """Seconds of 20241231, 202412312359 or 20241231235959, each if all of its length are such; NaN otherwise."""
    found, length = pd.Series(np.nan, values.index), values.str.len()
    for digits, pattern in STAMPS.items():
        if len(fit := values[(length == digits) & values.str.isdecimal()]):
            stamps = _stamps(fit, pattern)
            found[fit.index] = stamps if stamps.notna().all() else np.nan
    return found


def _iso(values, where, years):
    zoned = values.str.contains(r"(?:Z|[+-]\d{2}:?\d{2}|:\d{2}.*[+-]\d{2})$").all()
    return _stamps(values, "ISO8601"), "ISO 8601" + ("" if zoned else ", UTC where no zone is given")


def _day_month(values, where, years):
    """12/31/2024 23:59: a number above 12 must show, somewhere in the column, which is the day."""
    parts = values.str.extract(DAY_MONTH)
    one, two = (parts[name].astype(int) > 12 for name in ("one", "two"))
    day_first, month_first = (one & ~two).any(), (two & ~one).any()
    if day_first == month_first:
        unknown = "does not show whether the day or the month stands first"
        fault = "has days before months and months before days" if day_first else unknown
        say = "say --time-format '%d/%m/%Y' or '%m/%d/%Y' (with ' %H:%M' or ' %H:%M:%S' where there is a time of day)"
        raise InputError(f"{where}: {fault} (such as {values.iloc[0]!r}); {say}")
    day, month = ("one", "two") if day_first else ("two", "one")
    return _assembled(parts, day, month), f"dates with the {'day' if day_first else 'month'} first, UTC"


def _named(values, where, years):
    """22 Mar 2017 11:37:04 +0100, with or without the day of the week."""
    parts = values.str.extract(NAMED)
    parts["two"] = parts["two"].str[:3].str.lower().map({name: str(n) for n, name in enumerate(MONTHS, 1)}).fillna("0")
    return _assembled(parts, "one", "two"), "dates with the month's name, UTC where no zone is given"


def _assembled(parts, day, month):
    """Seconds of the columns of `DAY_MONTH` or `NAMED`."""
    zone = parts["zone"].fillna("Z").to_numpy() if "zone" in parts else "Z"
    filled = parts.fillna(dict.fromkeys(["hour", "minute", "second", "part"], "0"))
    text = filled[day].str.cat(filled[[month, "year", "hour", "minute", "second"]], " ") + "." + filled["part"].str[:9]
    text = text + " " + zone
    halves = _stamps(text + " " + parts["half"], "%d %m %Y %I %M %S.%f %z %p")
    return _stamps(text, "%d %m %Y %H %M %S.%f %z").where(parts["half"].isna(), halves)


def _stamps(values, form):
    try:
        stamps = pd.to_datetime(values, format=form, errors="coerce", utc=True)
    except ValueError as error:
        raise InputError(f"time format {form!r} cannot be used ({error}): {ASK}") from None
    return (stamps - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(seconds=1)


SHAPES: dict[str, Reader] = {  # the whole of a value -> who reads a column of such
    r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?": _number,
    r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T ]\d{1,2}.*)?|\d{8}T\d{4,6}(?:[.Z+-].*)?": _iso,
    DAY_MONTH: _day_month,
    NAMED: _named,
}
