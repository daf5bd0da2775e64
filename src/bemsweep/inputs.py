"""Inputs: the models and weather files that a study names, labelled and checked.

Decides what their labels are and whether weather can be used; `bemsweep.input_files` finds the files. Never
edits a model.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from idfkit.weather.epw import WeatherFile, parse_epw

from bemsweep.design_days import COOLING_PERCENTS, HEATING_PERCENTS, DesignDay, days_of_ddy, days_of_header
from bemsweep.errors import InputError, ModelError, Problem, StudyError
from bemsweep.input_files import DDY, EPW, MODEL, Input, InputFiles
from bemsweep.model_file import read_ddy
from bemsweep.study import DdyDays, Study

__all__ = [
    "WeatherFacts",
    "WeatherInput",
    "read_all_weather",
    "read_design_days",
    "read_weather",
    "resolve_baselines",
    "resolve_weather",
    "weather_facts",
]


@dataclass(frozen=True)
class WeatherFacts:
    """What a study needs to know of a weather file."""

    utc_offset_h: float
    """Offset of its local standard time from UTC, hours."""
    is_leap: bool
    """True if it has a 29 February."""
    is_whole_year: bool
    """True if it holds 1 January to 31 December."""
    first_day: tuple[int, int] = (1, 1)
    """Month and day with which it begins."""
    city: str = ""
    """Where it is."""
    position: tuple[float, float] = (0.0, 0.0)
    """Latitude and longitude, degrees."""
    elevation_m: float = 0.0
    """Height above the sea, m."""
    design_conditions: str = ""
    """What its header says of design conditions."""
    actual_year: int | None = None
    """The year that it is, if it is one year as it was and not one put together from several."""


@dataclass(frozen=True)
class WeatherInput:
    """A weather file and what is known of it."""

    input: Input
    """The file."""
    facts: WeatherFacts
    """What it says of itself."""
    design_days: tuple[DesignDay, ...] = ()
    """What a model is sized by under this weather; empty for the model's own design days."""


def resolve_baselines(study: Study, files: InputFiles) -> dict[str, Input]:
    """Return the baselines by label, globs expanded.

    Parameters
    ----------
    study
        What is wanted.
    files
        Finds its files.

    Raises
    ------
    StudyError
        Files that do not exist or cannot be read; all are told.
    """
    return _resolve(study, files, "baseline", study.baseline, MODEL)


def resolve_weather(study: Study, files: InputFiles) -> dict[str, Input]:
    """Return the weather files by label, globs expanded.

    Parameters
    ----------
    study
        What is wanted.
    files
        Finds its files.

    Raises
    ------
    StudyError
        Files that do not exist or cannot be read; all are told.
    """
    return _resolve(study, files, "weather", {label: weather.epw for label, weather in study.weather.items()}, EPW)


def read_weather(path: Path) -> WeatherFacts:
    """Read and check an EPW file.

    Raises
    ------
    ValueError
        It is no EPW, is cut short, or lacks hours.

    Source
    ------
    EnergyPlus Auxiliary Programs, EnergyPlus Weather File (EPW) Data Dictionary; read by idfkit.
    """
    text = path.read_text(encoding="latin-1")
    try:
        file = parse_epw(text)
    except ValueError as error:
        raise _leap_year_error(text) or error from None
    _check_hours(file)
    period = file.data_period
    days = [part.strip() for text in (period.start_date, period.end_date) for part in text.split("/")[:2]]
    return WeatherFacts(
        utc_offset_h=file.location.time_zone,
        is_leap=(2.0, 29.0) in set(zip(file.hours.month, file.hours.day, strict=True)),
        is_whole_year=days == ["1", "1", "12", "31"],
        first_day=(int(days[0]), int(days[1])),
        city=file.location.city,
        position=(file.location.latitude, file.location.longitude),
        elevation_m=file.location.elevation,
        design_conditions=file.design_conditions,
        actual_year=_actual_year(file),
    )


def weather_facts(source: Input) -> WeatherFacts:
    """Return what `read_weather` does of a file of a study, and raise the same; a process reads each content once."""
    return _facts(source.path, source.sha256)


@lru_cache(maxsize=256)
def _facts(path: Path, sha256: str) -> WeatherFacts:  # noqa: ARG001 - with it a file that has changed is another
    return read_weather(path)


def _leap_year_error(text: str) -> ValueError | None:
    """Return what is wrong with an EPW that would be whole if its header said the other thing of leap years."""
    lines = text.splitlines()
    fields = lines[4].split(",") if len(lines) > 4 else []
    if len(fields) < 2:
        return None
    is_leap = fields[1].strip().lower().startswith("y")
    other = ",".join([fields[0], "No" if is_leap else "Yes", *fields[2:]])
    try:
        _check_hours(parse_epw("\n".join([*lines[:4], other, *lines[5:]])))
    except ValueError:
        return None
    if is_leap:
        return ValueError(
            "its header says Yes to leap years and it has no 29 February, which EnergyPlus would misread:"
            " write No for Yes in its line HOLIDAYS/DAYLIGHT SAVINGS"
        )
    return ValueError(
        "it has a 29 February and its header says No to leap years, so EnergyPlus would pass over that day:"
        " write Yes for No in its line HOLIDAYS/DAYLIGHT SAVINGS, or delete that day's rows"
    )


def _actual_year(file: WeatherFile) -> int | None:
    """Return the year of all rows, unless the header begins it on another weekday: then it is only a number."""
    years = set(file.hours.year)
    year = int(file.hours.year[0])
    if len(years) > 1 or not dt.MINYEAR <= year <= dt.MAXYEAR:
        return None
    month, day = (int(part) for part in file.data_period.start_date.split("/")[:2])
    weekday = dt.date(year, month, day).strftime("%A")
    return year if file.data_period.start_day_of_week.strip().capitalize() == weekday else None


def read_all_weather(
    study: Study, found: Mapping[str, Input], *, files: InputFiles
) -> tuple[dict[str, WeatherInput], list[Problem]]:
    """Read the weather files that `resolve_weather` found; also return what is wrong with those left out, or with all.

    Parameters
    ----------
    study
        What is wanted.
    found
        The files by label.
    files
        Finds the .ddy files.
    """
    weather: dict[str, WeatherInput] = {}
    problems: list[Problem] = []
    for label, source in found.items():
        try:
            facts = weather_facts(source)
        except (ValueError, OSError) as error:
            problems.append(study.problem(f"{source.source} is no whole EPW: {error}", "weather", label))
            continue
        if study.run == "annual" and not facts.is_whole_year:
            told = f"{source.source} does not hold a whole year, which `run: annual` needs"
            problems.append(study.problem(told, "weather", label))
        try:
            weather[label] = WeatherInput(source, facts, read_design_days(study, label, source, facts, files=files))
        except ValueError as error:
            problems.append(study.problem(f"{source.source}: {error}", "weather", label))
    leap = [label for label, entry in weather.items() if entry.facts.is_leap]
    if study.run != "design_day" and 0 < len(leap) < len(weather):
        told = (
            f"weather with and without a 29 February has no common time axis: {', '.join(leap)} has one;"
            " make two studies of it"
        )
        problems.append(study.problem(told, "weather"))
    return weather, problems


def read_design_days(
    study: Study, label: str, source: Input, facts: WeatherFacts, *, files: InputFiles
) -> tuple[DesignDay, ...]:
    """Return the design days that a study wants with one of its weather files; empty for the model's own.

    Parameters
    ----------
    study
        What is wanted.
    label
        The weather's.
    source
        The EPW.
    facts
        What it says of itself.
    files
        Finds the .ddy.

    Raises
    ------
    ValueError
        There are no such days in the EPW's header or in the .ddy, or the .ddy is broken or cannot be read.
    """
    entry = study.weather.get(label) or next(one for one in study.weather.values() if one.epw == source.source)
    wanted = entry.design_days or study.design_days
    if wanted == "model":
        return ()
    if wanted == "epw":
        return days_of_header(facts.design_conditions, facts.city, facts.elevation_m)
    try:
        if isinstance(wanted, DdyDays):
            ddy, chosen = files.find_one(wanted.ddy, suffixes=DDY), (wanted.heating, wanted.cooling)
        else:
            ddy, chosen = files.find_ddy(source), (HEATING_PERCENTS[0], COOLING_PERCENTS[0])
    except InputError as error:
        raise ValueError(f"no design days from {error}") from error
    try:
        return days_of_ddy(read_ddy(ddy.path), *chosen)
    except (ValueError, OSError, ModelError) as error:
        raise ValueError(f"no design days from {ddy.source}: {error}") from error


def _check_hours(file: WeatherFile) -> None:
    """Refuse rows that are not the hours of the declared period one after the other; years may differ."""
    per_hour = file.data_period.records_per_hour
    month, day = (int(part) for part in file.data_period.start_date.split("/")[:2])
    year = 2004 if file.holidays.leap_year_observed else 2001
    first = np.datetime64(dt.datetime(year, month, day), "h")  # noqa: DTZ001 - local standard time
    expected = first + np.arange(len(file.hours.hour)) // per_hour
    days = expected.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    columns = {
        "month": months.astype(int) % 12 + 1,
        "day": (days - months).astype(int) + 1,
        "hour": (expected - days).astype(int) + 1,
    }
    wrong = np.any([np.asarray(getattr(file.hours, name)) != column for name, column in columns.items()], axis=0)
    if wrong.any():
        row = int(np.argmax(wrong))
        told, due = (
            " ".join(f"{name} {values[name][row]:.0f}" for name in columns)
            for values in ({name: getattr(file.hours, name) for name in columns}, columns)
        )
        raise ValueError(f"row {row + 1} of its hourly table is {told}, which should be {due}")


def _resolve(
    study: Study, files: InputFiles, part: str, specs: Mapping[str, str], suffixes: Sequence[str]
) -> dict[str, Input]:
    found: dict[str, Input] = {}
    problems: list[Problem] = []
    for label, spec in specs.items():
        try:
            for own_label, source in files.find(spec, label=label, suffixes=suffixes):
                if own_label in found:
                    problems.append(study.problem(f"two files are called {own_label!r}: give them labels", part))
                found[own_label] = source
        except InputError as error:
            problems.append(study.problem(str(error), part, label))
    if problems:
        raise StudyError(problems)
    return found
