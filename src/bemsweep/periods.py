"""The calendar of a study: which instants each reporting frequency has.

Decides the time axes of the cube from run periods and the timestep, by arithmetic alone, so that
what the engine reports can be checked against what it must report. Never reads a file.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bemsweep.outputs import Frequency

__all__ = ["Axis", "Calendar", "Period", "year_starting_on"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAY = dt.timedelta(days=1)
_MINUTES_PER_DAY = 1440
_LEAP_YEAR = 2000


@cache
def year_starting_on(weekday: str, *, is_leap: bool) -> int:
    """Return the latest year up to 2017 whose 1 January is `weekday`.

    EnergyPlus's weather years have no number of their own. This one makes the weekdays of the time
    axis those that the engine's schedules saw.

    Parameters
    ----------
    weekday
        English name of the day, as in RunPeriod; anything else counts as Sunday, EnergyPlus's default.
    is_leap
        True if the weather year has a 29 February.

    Examples
    --------
    >>> year_starting_on("Sunday", is_leap=False)
    2017
    """
    index = WEEKDAYS.index(weekday.capitalize()) if weekday.capitalize() in WEEKDAYS else 6
    year = 2017
    while dt.date(year, 1, 1).weekday() != index or _is_leap_year(year) != is_leap:
        year -= 1
    return year


def _is_leap_year(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@dataclass(frozen=True)
class Period:
    """One run period: whole days, both ends included."""

    name: str
    """The RunPeriod's name."""
    begin: dt.date
    """First day."""
    end: dt.date
    """Last day."""


@dataclass(frozen=True)
class Axis:
    """The instants of one reporting frequency.

    For run periods `start` and `end` are minutes since 1970-01-01 in local standard time; for
    design days they are minutes of the day and the axis is repeated for each design day.
    """

    start: npt.NDArray[np.int64]
    """Start of each interval, shape ``(time,)``, minutes."""
    end: npt.NDArray[np.int64]
    """End of each interval, shape ``(time,)``, minutes."""
    period: npt.NDArray[np.int64]
    """Position of the interval's run period in the calendar, shape ``(time,)``."""

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Calendar:
    """When the variants of a study report.

    Either `periods` (weather runs) or `design_days` (sizing runs) says what is simulated.
    """

    periods: tuple[Period, ...] = ()
    """Run periods in the order in which the engine runs them."""
    design_days: int = 0
    """Number of design days; 0 for weather runs."""
    steps_per_hour: int | None = None
    """Zone timesteps per hour; None if nothing is asked for at that frequency."""
    is_leap: bool = False
    """True if the weather has a 29 February, which is skipped otherwise."""

    def shape(self, frequency: Frequency) -> tuple[int, ...]:
        """Return the lengths of the time dims: ``(time,)``, or ``(design_day, time)``."""
        length = len(self.axis(frequency))
        return (self.design_days, length) if self.design_days else (length,)

    def axis(self, frequency: Frequency) -> Axis:
        """Return the instants of `frequency`.

        Raises
        ------
        ValueError
            `frequency` is ``timestep`` and the calendar does not know the timestep.
        """
        return _axis(self, frequency)

    @property
    def hours(self) -> int:
        """Simulated hours of one variant."""
        return math.prod(self.shape("hourly"))

    def has_same_days(self, other: Calendar) -> bool:
        """Return True if both have the same instants by month, day and hour, whatever the year."""

        def days(calendar: Calendar) -> list[tuple[int, int, int, int]]:
            return [(p.begin.month, p.begin.day, p.end.month, p.end.day) for p in calendar.periods]

        mine = (days(self), self.design_days, self.steps_per_hour, self.is_leap)
        return mine == (days(other), other.design_days, other.steps_per_hour, other.is_leap)

    def place(self, moments: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Put moments of no certain year into the years of the run periods.

        Parameters
        ----------
        moments
            Minutes since the begin of a leap year; NaN for none.

        Returns
        -------
        numpy.ndarray
            Minutes since 1970-01-01, of the same shape; NaN for a moment in none of the run periods.
        """
        placed = {moment: _place(self, moment) for moment in np.unique(moments[np.isfinite(moments)]).tolist()}
        flat = [placed.get(moment, np.nan) for moment in moments.ravel().tolist()]
        return np.array(flat, dtype=np.float64).reshape(moments.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return the calendar as plain values for JSON."""
        return {
            "periods": [[p.name, p.begin.isoformat(), p.end.isoformat()] for p in self.periods],
            "design_days": self.design_days,
            "steps_per_hour": self.steps_per_hour,
            "is_leap": self.is_leap,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calendar:
        """Return the calendar that `to_dict` wrote."""
        return cls(
            periods=tuple(
                Period(name, dt.date.fromisoformat(begin), dt.date.fromisoformat(end))
                for name, begin, end in data["periods"]
            ),
            design_days=data["design_days"],
            steps_per_hour=data["steps_per_hour"],
            is_leap=data["is_leap"],
        )


def _place(calendar: Calendar, moment: float) -> float:
    # A moment ends an interval: midnight is the end of the day before.
    day = math.ceil(moment / _MINUTES_PER_DAY) - 1
    date = dt.date(_LEAP_YEAR, 1, 1) + day * _DAY
    for period in calendar.periods:
        for year in range(period.begin.year, period.end.year + 1):
            is_there = _is_leap_year(year) or (date.month, date.day) != (2, 29)
            if is_there and period.begin <= (there := date.replace(year=year)) <= period.end:
                return (there - dt.date(1970, 1, 1)).days * _MINUTES_PER_DAY + moment - day * _MINUTES_PER_DAY
    return math.nan


@lru_cache(maxsize=64)
def _axis(calendar: Calendar, frequency: Frequency) -> Axis:
    intervals: list[tuple[int, int, int]] = []
    if calendar.design_days:
        step = _step_minutes(calendar, frequency)
        intervals += [(start, end, 0) for start, end in _steps(0, 1, step)]
    for number, period in enumerate(calendar.periods):
        runs = _runs(period, is_leap=calendar.is_leap)
        if not runs:  # a 29 February alone, which the weather does not have
            continue
        if frequency == "annual":
            intervals.append((runs[0][0] * _MINUTES_PER_DAY, runs[-1][1] * _MINUTES_PER_DAY, number))
        elif frequency == "monthly":
            intervals += [(a * _MINUTES_PER_DAY, b * _MINUTES_PER_DAY, number) for a, b in _months(runs)]
        else:
            step = _step_minutes(calendar, frequency)
            intervals += [(a, b, number) for run in runs for a, b in _steps(run[0], run[1], step)]
    columns = np.array(intervals, dtype=np.int64).reshape(-1, 3).T
    columns.flags.writeable = False  # shared by all who ask
    return Axis(start=columns[0], end=columns[1], period=columns[2])


def _step_minutes(calendar: Calendar, frequency: Frequency) -> int:
    """Return the length of an interval in minutes, or one day for all that a design day has only one of."""
    if frequency == "hourly":
        return 60
    if frequency != "timestep":
        return _MINUTES_PER_DAY
    if calendar.steps_per_hour is None:
        raise ValueError("the calendar of this study has no timestep")
    return 60 // calendar.steps_per_hour


def _runs(period: Period, *, is_leap: bool) -> list[tuple[int, int]]:
    """Return the period as stretches of days since 1970, ends excluded, cut at a 29 February that is skipped."""
    epoch = dt.date(1970, 1, 1)
    cuts = [] if is_leap else [y for y in range(period.begin.year, period.end.year + 1) if _is_leap_year(y)]
    runs, begin = [], period.begin
    for day in (dt.date(year, 2, 29) for year in cuts):
        if begin <= day <= period.end:
            if begin < day:
                runs.append(((begin - epoch).days, (day - epoch).days))
            begin = day + _DAY
    if begin <= period.end:
        runs.append(((begin - epoch).days, (period.end + _DAY - epoch).days))
    return runs


def _months(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    epoch = dt.date(1970, 1, 1)
    months: list[tuple[int, int]] = []
    day, last = runs[0][0], runs[-1][1]
    while day < last:
        date = epoch + dt.timedelta(days=day)
        first_of_next = dt.date(date.year + date.month // 12, date.month % 12 + 1, 1)
        following = min((first_of_next - epoch).days, last)
        months.append((day, following))
        day = following
    return months


def _steps(first_day: int, last_day: int, step_minutes: int) -> list[tuple[int, int]]:
    begin, end = first_day * _MINUTES_PER_DAY, last_day * _MINUTES_PER_DAY
    return [(minute, minute + step_minutes) for minute in range(begin, end, step_minutes)]
