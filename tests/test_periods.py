"""The calendar: which instants each reporting frequency has."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bemsweep.outputs import FREQUENCIES
from bemsweep.periods import WEEKDAYS, Calendar, Period, year_starting_on

YEAR = Calendar(periods=(Period("year", dt.date(2017, 1, 1), dt.date(2017, 12, 31)),), steps_per_hour=6)


def minutes(text):
    return int(np.datetime64(text, "m").astype(int))


@pytest.mark.parametrize("is_leap", [False, True])
@pytest.mark.parametrize("weekday", WEEKDAYS)
def test_year_starts_on_the_weekday(weekday, is_leap):
    year = year_starting_on(weekday, is_leap=is_leap)
    assert dt.date(year, 1, 1).weekday() == WEEKDAYS.index(weekday)
    assert (dt.date(year, 12, 31) - dt.date(year, 1, 1)).days == 364 + is_leap
    assert year <= 2017


def test_unknown_weekday_counts_as_sunday():
    assert year_starting_on("UseWeatherFile", is_leap=False) == year_starting_on("SUNDAY", is_leap=False) == 2017


@pytest.mark.parametrize(
    ("frequency", "length"), [("timestep", 52560), ("hourly", 8760), ("daily", 365), ("monthly", 12), ("annual", 1)]
)
def test_a_year(frequency, length):
    axis = YEAR.axis(frequency)
    assert YEAR.shape(frequency) == (length,)
    assert axis.start[0] == minutes("2017-01-01")
    assert axis.end[-1] == minutes("2018-01-01")
    np.testing.assert_array_equal(axis.start[1:], axis.end[:-1])


def test_hours():
    assert YEAR.hours == 8760
    assert Calendar(design_days=3).hours == 72


@pytest.mark.parametrize(("is_leap", "days"), [(False, 365), (True, 366)])
def test_a_29_february_that_the_weather_lacks_is_skipped(is_leap, days):
    calendar = Calendar(periods=(Period("year", dt.date(2016, 1, 1), dt.date(2016, 12, 31)),), is_leap=is_leap)
    starts = calendar.axis("daily").start
    assert calendar.shape("daily") == (days,)
    assert (minutes("2016-02-29") in starts) is is_leap
    assert calendar.shape("monthly") == (12,)


def test_a_29_february_alone_has_no_instants():
    calendar = Calendar(periods=(Period("day", dt.date(2016, 2, 29), dt.date(2016, 2, 29)),))
    assert [calendar.shape(frequency) for frequency in ("hourly", "monthly", "annual")] == [(0,), (0,), (0,)]


def test_several_periods_follow_each_other():
    calendar = Calendar(
        periods=(
            Period("winter", dt.date(2017, 1, 15), dt.date(2017, 2, 14)),
            Period("summer", dt.date(2017, 7, 1), dt.date(2017, 7, 2)),
        )
    )
    assert calendar.axis("hourly").period.tolist() == [0] * 31 * 24 + [1] * 2 * 24
    assert calendar.axis("annual").end.tolist() == [minutes("2017-02-15"), minutes("2017-07-03")]
    assert calendar.axis("monthly").start.tolist() == [minutes(d) for d in ("2017-01-15", "2017-02-01", "2017-07-01")]


def test_design_days_have_times_of_day():
    calendar = Calendar(design_days=2, steps_per_hour=4)
    assert calendar.shape("timestep") == (2, 96)
    assert calendar.shape("hourly") == (2, 24)
    assert [calendar.shape(frequency) for frequency in ("daily", "monthly", "annual")] == [(2, 1)] * 3
    assert calendar.axis("hourly").start[:2].tolist() == [0, 60]
    assert calendar.axis("daily").end.tolist() == [1440]


def test_without_a_timestep_there_is_no_such_axis():
    with pytest.raises(ValueError, match="no timestep"):
        Calendar(design_days=1).axis("timestep")


def test_an_axis_cannot_be_changed_by_one_of_its_users():
    with pytest.raises(ValueError, match="read-only"):
        YEAR.axis("hourly").start[0] = 0


@given(
    begin=st.dates(dt.date(1990, 1, 1), dt.date(2030, 12, 31)),
    days=st.integers(0, 800),
    is_leap=st.booleans(),
    steps=st.sampled_from([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]),
)
@settings(deadline=None, max_examples=50)
def test_every_frequency_covers_the_same_minutes(begin, days, is_leap, steps):
    end = begin + dt.timedelta(days=days)
    calendar = Calendar(periods=(Period("p", begin, end),), steps_per_hour=steps, is_leap=is_leap)
    assert Calendar.from_dict(json.loads(json.dumps(calendar.to_dict()))) == calendar
    hourly = calendar.axis("hourly")
    simulated = (hourly.end - hourly.start).sum()
    for frequency in FREQUENCIES:
        axis = calendar.axis(frequency)
        assert (axis.end > axis.start).all()
        assert (np.diff(axis.start) > 0).all()
        if frequency in ("timestep", "daily"):
            assert (axis.end - axis.start).sum() == simulated
        if len(hourly):
            assert (axis.start[0], axis.end[-1]) == (hourly.start[0], hourly.end[-1])


def _minutes(text):
    return np.datetime64(text, "m").astype(np.float64)


def _periods(*days, **changes):
    begins_and_ends = [(dt.date.fromisoformat(begin), dt.date.fromisoformat(end)) for begin, end in days]
    return Calendar(tuple(Period(str(begin), begin, end) for begin, end in begins_and_ends), **changes)


@pytest.mark.parametrize(
    ("calendar", "moment", "expected"),
    [
        (YEAR, "2000-07-03T15:10", "2017-07-03T15:10"),
        (YEAR, "2000-02-29T00:00", "2017-03-01T00:00"),  # ends 28 February
        (YEAR, "2001-01-01T00:00", "2018-01-01T00:00"),  # the end of the year is within it
        (YEAR, "2000-02-29T12:00", None),
        (_periods(("2016-02-01", "2016-03-09"), is_leap=True), "2000-02-29T12:00", "2016-02-29T12:00"),
        (_periods(("2016-12-01", "2017-01-31")), "2000-01-09T06:00", "2017-01-09T06:00"),
        (_periods(("2013-01-01", "2013-01-09"), ("2017-07-01", "2017-07-09")), "2000-07-09T06:00", "2017-07-09T06:00"),
        (_periods(("2013-01-01", "2013-01-09")), "2000-07-09T06:00", None),
    ],
)
def test_a_moment_of_no_certain_year_finds_its_own(calendar, moment, expected):
    begin = _minutes("2000-01-01T00:00")
    placed = calendar.place(np.array([[_minutes(moment) - begin, np.nan]]))
    np.testing.assert_array_equal(placed, [[np.nan if expected is None else _minutes(expected), np.nan]])
