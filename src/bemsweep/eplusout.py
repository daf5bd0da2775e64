"""Reading what EnergyPlus leaves in a run's folder: ``eplusout.sql``, the dictionaries, the texts.

Decides whether the engine reported every instant that the study's calendar has. Values are handed
on as the very bits that SQLite holds; nothing here converts or fills, and only what the study asks for is reduced.

Source: EnergyPlus Output Details and Examples, "eplusout.sql".
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bemsweep.errors import InfrastructureError, ModelError
from bemsweep.outputs import Frequency, Output, RunKind
from bemsweep.periods import Calendar
from bemsweep.records import KeyKind, Series
from bemsweep.reductions import reduced_series, why_not_reducible
from bemsweep.tables import Cell, read_cells, read_scalars

__all__ = ["Report", "read_dictionary", "read_report", "read_text"]

_FREQUENCIES: dict[str, Frequency] = {
    "Zone Timestep": "timestep",
    "Hourly": "hourly",
    "Daily": "daily",
    "Monthly": "monthly",
    "Run Period": "annual",
}
_ENVIRONMENT_TYPES: dict[RunKind, int] = {"design_day": 1, "annual": 3, "run_period": 3}
_MINUTES_PER_DAY = 1440
_ROW = np.dtype([("series", np.int32), ("time", np.int32), ("value", np.float64)])

Label = Callable[[str, str], tuple[str, KeyKind]]
"""Takes a variable's name and a key as the engine spells it; returns the model's spelling and the key's kind."""


@dataclass(frozen=True)
class Report:
    """What one run reported."""

    series: tuple[Series, ...]
    """In the order of the outputs asked for, then of the engine."""
    design_day_names: tuple[str, ...] = ()
    """As the engine spells them."""
    design_day_dates: tuple[str, ...] = ()
    """As ``MM-DD``, or ``""`` if no output tells the day."""
    cells: tuple[Cell, ...] = ()
    """Of a probe: all of the reports whose cells are asked for."""


@dataclass(frozen=True)
class _Entry:
    """One row of the engine's ReportDataDictionary that a study asked for."""

    index: int
    output: Output
    key: str
    name: str
    units: str
    kind: str
    words: dict[str, None] = field(default_factory=dict)
    """What is kept of it, as `Output.words`, of all outputs that it matches."""


@dataclass(frozen=True)
class _Times:
    """The instants of the run, without warm-up and other environments; arrays are indexed by TimeIndex."""

    is_kept: npt.NDArray[np.bool_]
    month: npt.NDArray[np.int16]
    day: npt.NDArray[np.int16]
    minute: npt.NDArray[np.int16]
    """End of the interval, minutes of the day; 1440 for its end."""


def read_report(
    path: Path, outputs: Iterable[Output], run: RunKind, calendar: Calendar | None, *, label: Label
) -> Report:
    """Return the series that `outputs` ask for.

    Parameters
    ----------
    path
        The run's ``eplusout.sql``.
    outputs
        What the study asks for; of two that match the same series of the engine the first one names it.
    run
        Which environments count; others, and warm-up, are left out.
    calendar
        What must have been reported; None to learn only which series there are, without values.
    label
        Gives a key its spelling and kind.

    Returns
    -------
    Report
        Each series of shape ``(time,)``, or ``(design_day * time,)``, or what is kept of it; then the summary
        and cells.

    Raises
    ------
    ModelError
        The model reports other instants than the study's calendar has, lacks an output that is not optional, or
        reports one that cannot be reduced as the study asks.
    InfrastructureError
        The file is damaged, or ends before the calendar does.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            outputs = tuple(outputs)
            timed = tuple(output for output in outputs if output.kind in ("variable", "meter"))
            entries = _find_entries(database, timed, is_strict=calendar is not None)
            if calendar is None:
                nothing = np.empty(0)
                series = tuple(one for entry in entries for one in _series(entry, nothing, label))
                return Report(series, cells=read_cells(database, outputs))
            environments = _find_environments(database, run)
            _check_count(len(environments), calendar)
            times = _read_times(database, [index for index, _ in environments])
            values = _read_values(database, entries, times, calendar)
            days = calendar.design_days
            found = zip(entries, values, strict=True)
            series = tuple(one for entry, row in found for one in _series(entry, row, label, design_days=days))
            series += read_scalars(database, outputs)
            if run != "design_day":
                return Report(series)
            names = tuple(name for _, name in environments)
            return Report(series, names, _design_day_dates(database, [index for index, _ in environments]))
    except sqlite3.Error as error:
        raise InfrastructureError(f"{path.name} of the run cannot be read, is the disk full? {error}") from error


def _series(entry: _Entry, values: npt.NDArray[np.float64], label: Label, *, design_days: int = 0) -> Iterator[Series]:
    """Yield what is kept of a series of the engine's: itself, its reductions, or both."""
    output = entry.output
    key, key_kind = label(entry.name, entry.key) if output.kind == "variable" else ("", "")
    series = Series(
        output=output.array,
        frequency=output.frequency,
        key=key,
        key_kind=key_kind,
        name=entry.name,
        units=entry.units,
        method="sum" if entry.kind == "Sum" else "mean",
        values=values,
    )
    if why := why_not_reducible(series, entry.words):
        raise ModelError(why)
    for word in entry.words:
        yield reduced_series(series, word, design_days=design_days) if word else series


def _find_entries(database: sqlite3.Connection, outputs: tuple[Output, ...], *, is_strict: bool) -> list[_Entry]:
    by_name: dict[tuple[bool, str, Frequency], list[tuple[int, str, str, str, str]]] = {}
    for index, is_meter, kind, key, name, frequency, units in database.execute(
        "SELECT ReportDataDictionaryIndex, IsMeter, Type, KeyValue, Name, ReportingFrequency, Units"
        " FROM ReportDataDictionary ORDER BY ReportDataDictionaryIndex"
    ):
        if frequency in _FREQUENCIES:
            place = bool(is_meter), name.upper(), _FREQUENCIES[frequency]
            by_name.setdefault(place, []).append((index, key or "", name, units or "", kind))
    # By what it is, not by its index: the engine may report a key twice if two patterns ask for it.
    entries: dict[tuple[bool, str, Frequency, str], _Entry] = {}
    for output in outputs:
        place = output.kind == "meter", output.name.upper(), output.frequency
        rows = by_name.get(place, [])
        wanted = [row for row in rows if output.kind == "meter" or output.is_wanted(row[1])]
        if not wanted and is_strict and not output.optional:
            key = f" of {output.key!r}" if output.kind == "variable" else ""
            raise ModelError(
                f"the model does not report {output.name!r}{key} ({output.frequency}), which the study asks for:"
                " if only some variants have it, give that output `optional: true`"
            )
        for index, key, name, units, kind in wanted:
            entry = entries.setdefault((*place, key), _Entry(index, output, key, name, units, kind))
            entry.words.update(dict.fromkeys(output.words))
    return list(entries.values())


def _find_environments(database: sqlite3.Connection, run: RunKind) -> list[tuple[int, str]]:
    return database.execute(
        "SELECT EnvironmentPeriodIndex, EnvironmentName FROM EnvironmentPeriods"
        " WHERE EnvironmentType = ? ORDER BY EnvironmentPeriodIndex",
        [_ENVIRONMENT_TYPES[run]],
    ).fetchall()


def _read_times(database: sqlite3.Connection, environments: list[int]) -> _Times:
    (last,) = database.execute("SELECT coalesce(max(TimeIndex), 0) FROM Time").fetchone()
    rows = np.fromiter(
        database.execute(
            "SELECT TimeIndex, coalesce(Month, 0), coalesce(Day, 0), coalesce(60 * Hour + Minute, 0) FROM Time"
            " WHERE coalesce(WarmupFlag, 0) = 0 AND EnvironmentPeriodIndex IN (SELECT value FROM json_each(?))",
            [json.dumps(environments)],
        ),
        dtype=[("time", np.int32), ("month", np.int16), ("day", np.int16), ("minute", np.int16)],
    )
    columns = {}
    for name in ("month", "day", "minute"):
        columns[name] = np.zeros(last + 1, np.int16)
        columns[name][rows["time"]] = rows[name]
    is_kept = np.zeros(last + 1, np.bool_)
    is_kept[rows["time"]] = True
    return _Times(is_kept=is_kept, **columns)


def _read_values(
    database: sqlite3.Connection, entries: list[_Entry], times: _Times, calendar: Calendar
) -> list[npt.NDArray[np.float64]]:
    rows = np.fromiter(
        database.execute(
            "SELECT ReportDataDictionaryIndex, TimeIndex, Value FROM ReportData"
            " WHERE ReportDataDictionaryIndex IN (SELECT value FROM json_each(?)) ORDER BY ReportDataIndex",
            [json.dumps([entry.index for entry in entries])],
        ),
        dtype=_ROW,
    )
    rows = rows[times.is_kept[rows["time"]]]
    rows = rows[np.argsort(rows["series"], kind="stable")]
    indices = np.array([entry.index for entry in entries], np.int32)
    begins = np.searchsorted(rows["series"], indices, side="left")
    ends = np.searchsorted(rows["series"], indices, side="right")
    checked: dict[Frequency, npt.NDArray[np.int32]] = {}
    values = []
    for entry, begin, end in zip(entries, begins, ends, strict=True):
        frequency, instants = entry.output.frequency, rows["time"][begin:end]
        if frequency not in checked or not np.array_equal(checked[frequency], instants):
            _check_axis(times, instants, calendar, frequency)
            checked[frequency] = instants
        values.append(np.ascontiguousarray(rows["value"][begin:end]))
    return values


def _check_count(environments: int, calendar: Calendar) -> None:
    wanted = calendar.design_days or len(calendar.periods)
    if environments != wanted:
        kind = "design days" if calendar.design_days else "run periods"
        raise _axis_error(f"{environments} {kind} were simulated instead of {wanted}")


def _check_axis(times: _Times, instants: npt.NDArray[np.int32], calendar: Calendar, frequency: Frequency) -> None:
    """Raise unless the engine's `instants` are those of the calendar, in its order."""
    days = max(1, calendar.design_days)
    month, day, minute = _labels(calendar, frequency)
    month, day, minute = np.tile(month, days), np.tile(day, days), np.tile(minute, days)
    is_other = np.zeros(min(len(instants), len(minute)), np.bool_)
    common = instants[: len(is_other)]
    # A label of 0 is one that the engine does not tell at this frequency, or that only the model knows.
    for wanted, reported in ((month, times.month), (day, times.day), (minute, times.minute)):
        expected = wanted[: len(is_other)]
        is_other |= (expected != 0) & (reported[common] != expected)
    if is_other.any():
        place = int(np.argmax(is_other))
        raise _axis_error(
            f"the {frequency} interval {place + 1} ends at {_spelt(times, int(common[place]))}"
            f" instead of {_moment(int(month[place]), int(day[place]), int(minute[place]))}"
        )
    if len(instants) > len(minute):
        raise _axis_error(f"{len(instants)} {frequency} values were reported instead of {len(minute)}")
    if len(instants) < len(minute):
        raise InfrastructureError(
            f"the run reported {len(instants)} {frequency} values instead of {len(minute)}: it was cut short"
        )


@lru_cache(maxsize=16)
def _labels(calendar: Calendar, frequency: Frequency) -> tuple[npt.NDArray[np.int16], ...]:
    """Return month, day and minute at the end of each interval as the engine labels it; 0 where it does not."""
    end = calendar.axis(frequency).end
    blank = np.zeros(len(end), np.int16)
    if frequency == "annual":
        return blank, blank, blank
    days = (end - 1) // _MINUTES_PER_DAY
    minute = (end - days * _MINUTES_PER_DAY).astype(np.int16)
    if calendar.design_days:
        return blank, blank, blank if frequency == "monthly" else minute
    dates = [dt.date(1970, 1, 1) + dt.timedelta(days=int(day)) for day in np.unique(days)]
    position = np.searchsorted(np.unique(days), days)
    month = np.array([date.month for date in dates], np.int16)[position]
    day = np.array([date.day for date in dates], np.int16)[position]
    return (month, blank, blank) if frequency == "monthly" else (month, day, minute)


def _axis_error(difference: str) -> ModelError:
    return ModelError(
        f"time axis differs from the study's: {difference};"
        " variants of one study share one timestep, run period and leap length"
    )


def _spelt(times: _Times, index: int) -> str:
    return _moment(int(times.month[index]), int(times.day[index]), int(times.minute[index]))


def _moment(month: int, day: int, minute: int) -> str:
    date = f"{month:02}-{day:02} " if month and day else f"month {month} " if month else ""
    return f"{date}{minute // 60:02}:{minute % 60:02}"


def _design_day_dates(database: sqlite3.Connection, environments: list[int]) -> tuple[str, ...]:
    # A month's row carries the month's last day.
    dates = {
        index: f"{month:02}-{day:02}"
        for index, month, day in database.execute(
            "SELECT DISTINCT EnvironmentPeriodIndex, Month, Day FROM Time WHERE Month IS NOT NULL AND Interval <= ?",
            [_MINUTES_PER_DAY],
        )
    }
    return tuple(dates.get(index, "") for index in environments)


def read_dictionary(folder: Path) -> dict[str, list[str]]:
    """Return every name that the model can report, from ``eplusout.rdd`` and ``eplusout.mdd``.

    Returns
    -------
    dict
        ``{"variable": [...], "meter": [...]}``, sorted; empty lists without the files.
    """
    return {
        "variable": _read_names(folder / "eplusout.rdd"),
        "meter": _read_names(folder / "eplusout.mdd"),
    }


def _read_names(path: Path) -> list[str]:
    """Return the names of lines such as ``Zone,Average,Zone Mean Air Temperature [C]``, below two of heading."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[2:] if path.is_file() else []
    return sorted({line.split(",", 2)[2].rpartition(" [")[0] for line in lines if line.count(",") > 1})


def read_text(path: Path, *, limit_bytes: int = 65536) -> str:
    """Return the text of `path`, cut in the middle if longer than `limit_bytes`; ``""`` if there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if size <= limit_bytes:
                return file.read().decode("utf-8", errors="replace")
            head = file.read(limit_bytes // 2)
            file.seek(size - limit_bytes // 2)
            tail = file.read()
    except FileNotFoundError:
        return ""
    left_out = size - len(head) - len(tail)
    return f"{head.decode('utf-8', 'replace')}\n... {left_out} bytes left out ...\n{tail.decode('utf-8', 'replace')}"
