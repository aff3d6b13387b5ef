"""Times whose date and time of day stand in columns apart: which columns these are, and all of them as one text."""

from collections.abc import Sequence

import pandas as pd

from mmm4rec_lite.data.columns import plain
from mmm4rec_lite.data.reading import as_text
from mmm4rec_lite.utils.errors import InputError

NAMES = {  # usual names, the commonest first, as `columns.NAMES` has them
    "year": "year",
    "month": "month",
    "date": "date purchasedate orderdate eventdate day bestelldatum datum",
    "clock": "time eventtime purchasetime ordertime hour hours clock timeofday hourofday uhrzeit stunde",
    "minute": "minute minutes min",
    "second": "second seconds sec",
}
CLOCK = r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::(?P<second>\d{2}(?:\.\d+)?))?\s*(?:h|Uhr)?"
CLOCK += r"(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?"


def columns_of_time(table: pd.DataFrame, found: str) -> list[str]:
    """``found``, the column of times, or those that together make one: (year, month,) date, clock (, minute...)."""
    by = {part: [c for name in names.split() for c in table if plain(c) == name] for part, names in NAMES.items()}
    first = {part: columns[0] for part, columns in by.items() if columns}
    day, clock = first.get("date"), first.get("clock")
    if day is None or found not in (day, clock) or (found == clock and _are_whole(as_text(table[clock]))):
        return [found]
    dates = _days(table[day]).dropna()
    if dates.str.contains(r"\d:\d").any():
        return [day]
    apart = {"year", "month"} <= set(first) and dates.str.fullmatch(r"\d{1,2}").all()
    more = ["clock", "minute", "second"][: 3 if "minute" in first else 1] if clock else []
    return [first[part] for part in [*(["year", "month"] if apart else []), "date", *more] if part in first]


def _days(values):
    """Dates as text, without the midnights that types add."""
    return as_text(values).str.replace(r"[T ]00:00(?::00)?(?:\.0+)?(?:Z|\+00:00)?$", "", regex=True)


def _are_whole(values):
    """Whether most are times with their date."""
    return (~values.str.fullmatch(CLOCK).astype(bool) & (values.str.count(r"\d") >= 8))[values.notna()].mean() > 0.5


def join_times(table: pd.DataFrame, columns: Sequence[str], where: str, raw: bool = False) -> pd.Series:
    """Texts such as "2024-01-31 14:05:00"; ``raw``: all as they are, with blanks between, for a pattern."""
    date, *clock = [as_text(table[name]) for name in columns]
    if raw or not clock:
        return date.str.cat(clock, " ") if clock else date
    date = _days(date)
    if plain(columns[0]) == "year":
        date = date.str.cat([part.str.zfill(2) for part in clock[:2]], "-")
        clock, columns = clock[2:], columns[2:]
    date = date.str.replace(r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3", regex=True)
    if not clock:
        return date
    parts = (first := clock[0]).str.extract(f"^{CLOCK}$")
    if 2 * (odd := first.notna() & parts["hour"].isna()).sum() > first.notna().sum():
        told = f"{columns[0]} and {columns[1]} are a date and a time of day apart"
        told += f", which {first[odd].iloc[0][:40]!r} is not (taken are 14:05:30, 14:05, 2:05 PM, and hours)"
        raise InputError(f"{where}: {told}; make one column of both, or say --time {columns[0]} for days alone")
    for name, more in zip(("minute", "second"), clock[1:]):
        parts[name] = parts[name].fillna(more.str.zfill(2))
    hour, half = parts["hour"].astype(float), parts["half"].str[0].str.upper().map({"A": 0, "P": 12})
    hour = (hour % 12 + half).fillna(hour).map("{:02.0f}".format, na_action="ignore")
    time = hour.str.cat([parts["minute"].fillna("00"), parts["second"].fillna("00")], ":") + parts["zone"].fillna("")
    return date.str.cat(time.fillna(first), " ")
