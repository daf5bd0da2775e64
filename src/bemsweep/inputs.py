"""Inputs: the models and weather files that a study names, found, hashed and checked.

Turns what a person wrote - a path, a glob, a URL, ``bundled:…`` - into local files. Never edits a model.
"""

from __future__ import annotations

import datetime as dt
import glob
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import fsspec
import numpy as np
from idfkit.weather.epw import WeatherFile, parse_epw

from bemsweep.cache import cache_folder
from bemsweep.design_days import DesignDay, days_of_ddy, days_of_header
from bemsweep.errors import ModelError, Problem, StudyError, nearest
from bemsweep.model_file import read_ddy
from bemsweep.store import replace_file
from bemsweep.study import DdyDays, Study

__all__ = [
    "Input",
    "WeatherFacts",
    "WeatherInput",
    "find_input",
    "read_all_weather",
    "read_design_days",
    "read_weather",
    "resolve_baselines",
    "resolve_weather",
]


@dataclass(frozen=True)
class Input:
    """One file of a study, on this machine."""

    path: Path
    """Where it can be read now."""
    sha256: str
    """Of its content."""
    source: str
    """As the study names it."""

    @property
    def suffix(self) -> str:
        """Its file name's suffix, which tells its format."""
        return self.path.suffix

    @classmethod
    def of(cls, path: Path, source: str) -> Input:
        """Return the input for a file, hashed.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        return cls(path, hashlib.sha256(path.read_bytes()).hexdigest(), source)


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


def resolve_baselines(study: Study) -> dict[str, Input]:
    """Return the baselines by label, globs expanded.

    Raises
    ------
    StudyError
        Files that do not exist or cannot be read; all are told.
    """
    return _resolve(study, "baseline", study.baseline)


def resolve_weather(study: Study) -> dict[str, Input]:
    """Return the weather files by label, globs expanded.

    Raises
    ------
    StudyError
        Files that do not exist or cannot be read; all are told.
    """
    return _resolve(study, "weather", {label: weather.epw for label, weather in study.weather.items()})


def find_input(spec: str, folder: Path) -> Input:
    """Return the one file that `spec` names, outside of any study.

    Parameters
    ----------
    spec
        A path, a URL or ``bundled:…``.
    folder
        Where relative paths start from.

    Raises
    ------
    ModelError
        There is no such file, or there are several.
    """
    try:
        found = [Input.of(path, spec) for _, path in _find(folder, "", spec)]
    except (OSError, ValueError, ImportError, RuntimeError) as error:  # RuntimeError: no such ~user
        raise ModelError(f"{spec}: {error}") from error
    if len(found) > 1:
        raise ModelError(f"{spec}: {len(found)} files match, name one of them")
    return found[0]


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


def read_all_weather(study: Study, found: Mapping[str, Input]) -> tuple[dict[str, WeatherInput], list[Problem]]:
    """Read the weather files that `resolve_weather` found; also return what is wrong with those left out, or with all.

    Parameters
    ----------
    study
        What is wanted.
    found
        The files by label.
    """
    weather: dict[str, WeatherInput] = {}
    problems: list[Problem] = []
    for label, source in found.items():
        try:
            facts = read_weather(source.path)
        except (ValueError, OSError) as error:
            problems.append(study.problem(f"{source.source} is no whole EPW: {error}", "weather", label))
            continue
        if study.run == "annual" and not facts.is_whole_year:
            told = f"{source.source} does not hold a whole year, which `run: annual` needs"
            problems.append(study.problem(told, "weather", label))
        try:
            weather[label] = WeatherInput(source, facts, read_design_days(study, label, source, facts))
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


def read_design_days(study: Study, label: str, source: Input, facts: WeatherFacts) -> tuple[DesignDay, ...]:
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
    if not isinstance(wanted, DdyDays):
        is_url = "://" in source.source
        beside = source.path.with_suffix(".ddy")
        wanted = DdyDays(ddy=_with_suffix(source.source, ".ddy") if is_url else str(beside))
    try:
        (_, path), *_ = _find(study.folder, label, wanted.ddy)
        return days_of_ddy(read_ddy(path), wanted.heating, wanted.cooling)
    except (ValueError, OSError, ImportError, RuntimeError, ModelError) as error:
        raise ValueError(f"no design days from {wanted.ddy}: {error}") from error


def _with_suffix(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=str(PurePosixPath(parts.path).with_suffix(suffix))).geturl()


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


def _resolve(study: Study, part: str, specs: Mapping[str, str]) -> dict[str, Input]:
    found: dict[str, Input] = {}
    problems: list[Problem] = []
    for label, spec in specs.items():
        try:
            for own_label, path in _find(study.folder, label, spec):
                if own_label in found:
                    problems.append(study.problem(f"two files are called {own_label!r}: give them labels", part))
                found[own_label] = Input.of(path, spec)
        except (OSError, ValueError, ImportError, RuntimeError) as error:  # RuntimeError: no such ~user
            problems.append(study.problem(f"{spec}: {error}", part, label))
    if problems:
        raise StudyError(problems)
    return found


def _find(folder: Path, label: str, spec: str) -> Iterator[tuple[str, Path]]:
    if spec.startswith("bundled:"):
        yield label, _find_bundled(spec.removeprefix("bundled:"))
        return
    if "://" in spec and not spec.startswith("file://"):
        yield label, _download(spec)
        return
    path = (folder / Path(spec.removeprefix("file://")).expanduser()).resolve()
    if path.is_file():
        yield label, path
    elif glob.has_magic(spec):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207 - has a folder
        files = [file for file in found if file.is_file()]
        if not files:
            raise FileNotFoundError(f"no file matches {path}")
        yield from ((file.stem, file) for file in files)
    elif path.exists():
        raise IsADirectoryError(f"{path} is no file; for all files of a folder give a pattern such as {spec}/*")
    else:
        near = nearest(path.name, [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else [])
        raise FileNotFoundError(f"no such file{near}: looked for {path}")


def _find_bundled(name: str) -> Path:
    """Return a model (``ref/small_office``) or weather file of the engine's wheel."""
    try:
        from pyenergyplus import dataset  # noqa: PLC0415 - absent where an installed EnergyPlus is used
    except ImportError:
        raise FileNotFoundError("no bundled files: pip install pyenergyplus-lbnl") from None
    files: dict[str, str] = {
        **{f"ref/{key}": value for key, value in dataset.ref_models.items()},
        **{f"ashrae/{key}": value for key, value in dataset.ashrae_models.items()},
        **dataset.weather_files,
    }
    if name not in files:
        raise FileNotFoundError(f"no bundled file {name!r}{nearest(name, files)}")
    return Path(files[name])


def _download(url: str) -> Path:
    """Return a local copy of a remote file, named by its content."""
    with fsspec.open(url, "rb") as file:
        data: bytes = file.read()
    name = PurePosixPath(urlsplit(url).path).name  # without ?query: the suffix tells the format
    path = cache_folder() / "downloads" / hashlib.sha256(data).hexdigest() / name
    if not path.exists():
        replace_file(path, data)
    return path
