"""Dates and times of day in columns of their own."""

import datetime

import numpy as np
import pandas as pd
import pytest

from mmm4rec_lite.data import import_tables
from mmm4rec_lite.utils.errors import InputError

DAYS = ["2024-01-31", "2024-02-01", "2024-02-03"]
DATES = [1_706_659_200, 1_706_745_600, 1_706_918_400]  # their seconds since 1970
HOURS = [14, 9, 0]
AT = [1_706_709_600, 1_706_778_000, 1_706_918_400]


def taken(columns, **options):
    """(columns, times) of an import."""
    rows = pd.DataFrame({"user": "a", "item": [1, 2, 3], **columns})
    dataset = import_tables(rows, pd.DataFrame({"item": [1, 2, 3], "title": "x"}), k=1, **options)
    return dataset.info["import"]["interactions"]["columns"]["time"], dataset.interactions["timestamp"].tolist()


@pytest.mark.parametrize(
    "date, clock",
    [
        (DAYS, HOURS),
        (DAYS, [14.0, 9.0, 0.0]),
        (DAYS, ["14:00", "9:00", "0:00"]),
        (DAYS, ["14:00:00.0", "09:00:00", "00:00:00"]),
        (DAYS, ["2:00 PM", "9:00 am", "12:00 a.m."]),
        (DAYS, ["15:00+01:00", "10:00+01:00", "01:00+01:00"]),
        (DAYS, ["14:00 Uhr", "9 Uhr", "0 h"]),
        (DAYS, [datetime.time(14), datetime.time(9), datetime.time(0)]),
        (DAYS, pd.to_timedelta(HOURS, unit="h")),
        (["31.01.2024", "01.02.2024", "03.02.2024"], ["14:00", "09:00", "00:00"]),
        (["1/31/2024", "2/1/2024", "2/3/2024"], HOURS),
        ([20240131, 20240201, 20240203], HOURS),
        (pd.to_datetime(DAYS), HOURS),
        ([datetime.date.fromisoformat(day) for day in DAYS], ["14:00", "9:00", "0:00"]),
    ],
)
def test_both_are_joined(date, clock):
    for name in ("time", "hour", "Uhrzeit"):
        assert taken({"date": date, name: clock}) == (["date", name], AT)
        assert taken({name: clock, "Datum": date}) == (["Datum", name], AT)


def test_minutes_seconds_years_and_months_apart():
    parts = dict(year=2024, month=[1, 2, 2], day=[31, 1, 3])
    assert taken(parts) == (["year", "month", "day"], DATES)
    assert taken(parts | dict(hour=HOURS)) == (["year", "month", "day", "hour"], AT)
    columns, times = taken(dict(date=DAYS, hour=HOURS, minute=[5, 0, 59], second=[7, 0, 1]))
    assert columns == ["date", "hour", "minute", "second"] and np.subtract(times, AT).tolist() == [307, 0, 3541]


def test_what_is_whole_stays_alone():
    whole = [f"{day} {hour:02}:00" for day, hour in zip(DAYS, HOURS)]
    assert taken(dict(date=whole, hour=HOURS)) == ("date", AT)
    for name in ("timestamp", "time"):
        assert taken({"date": DAYS, name: AT, "hour": 5}) == (name, AT)
        assert taken({"date": DAYS, name: whole}) == (name, AT)


def test_named_columns_are_joined_and_a_pattern_reads_them_as_they_are():
    columns = dict(created=DAYS, at=["14:00", "9:00", "0:00"])
    assert taken(columns, time="created, at") == (["created", "at"], AT)
    odd = dict(d=["31|01|24", "01|02|24", "03|02|24"], t=["14h", "09h", "00h"])
    assert taken(odd, time="d,t", time_format="%d|%m|%y %Hh") == (["d", "t"], AT)
    assert taken(dict(date=DAYS, hour=HOURS), time="date") == ("date", DATES)  # who says so has days alone
    with pytest.raises(InputError, match="no column 'clock' for the time"):
        taken(columns, time="created,clock")


@pytest.mark.parametrize("clock", [[1405, 900, 2359], [50_700, 32_400, 86_399], ["morning", "noon", "night"]])
def test_other_times_of_day_are_asked_about(clock):
    for name in ("time", "hour"):
        with pytest.raises(InputError, match=f"date and {name} are a date and a time of day apart, which '.*' is not"):
            taken({"date": DAYS, name: clock})


def test_lines_that_lack_one_or_hold_nonsense_are_dropped_and_counted():
    rows = pd.DataFrame({"user": "a", "item": 1, "date": [*DAYS, *DAYS], "hour": [14, None, "x", 9, 25, 0]})
    dataset = import_tables(rows, pd.DataFrame({"item": [1], "title": "x"}), k=1)
    assert (
        dataset.info["import"]["interactions"]["dropped"] | {"no time": 1, "unreadable time": 2}
        == (dataset.info["import"]["interactions"]["dropped"])
    )
    assert len(dataset.interactions) == 3
