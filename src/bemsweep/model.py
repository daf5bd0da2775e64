"""Telling what stands against running a model, and preparing it for one run.

Decides which of the model's own objects a run keeps, and when the model reports. Starts no engine and
reads no file but a model's. Everything here is also used inside the engine host.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from idfkit import MINIMUM_VERSION, IDFDocument, IDFObject

from bemsweep.design_days import DESIGN_DAY, SIZING_PERIODS
from bemsweep.edits import is_blank
from bemsweep.engine_files import ask_for_files
from bemsweep.errors import ModelError
from bemsweep.key_labels import KeyLabels
from bemsweep.model_file import NOT_IN_IDF, read_model, read_version
from bemsweep.model_text import write_model
from bemsweep.outputs import Frequency, Output, RunKind
from bemsweep.periods import WEEKDAYS, Calendar, Period, year_starting_on
from bemsweep.tables import own_tables_wanted, request_tables

__all__ = [
    "KeyLabels",
    "external_files",
    "is_file_field",
    "model_calendar",
    "model_problems",
    "prepare_run",
    "read_model",
    "version_problem",
    "write_model",
]

_WHEELS = ("23.2", "25.1", "25.2")
"""Versions of EnergyPlus that pip can install on Linux; the wheel 26.1 carries 25.2."""

_SHOWN = 3


def version_problem(model: IDFDocument[bool] | Path, engines: Sequence[str]) -> str | None:
    """Return what to do if no engine at hand is of the model's version, else None.

    Parameters
    ----------
    model
        The model, or its file, of which only the version is read.
    engines
        What the engines at hand report of themselves, for example ``EnergyPlus, Version 25.2.0-cf7368216c``.

    Raises
    ------
    ModelError
        The file names no version.
    """
    version = read_version(model) if isinstance(model, Path) else model.version
    wanted = f"{version[0]}.{version[1]}"
    at_hand = [match[1] for match in (re.search(r"(\d+\.\d+)", engine) for engine in engines) if match]
    if wanted in at_hand:
        return None
    known = f"the engine at hand is {', '.join(engines)}" if engines else "there is no engine at hand"
    ways = [f"install EnergyPlus {wanted} and name its folder with `engine:` in the study file or in ENERGYPLUS_DIR"]
    if wanted in _WHEELS:
        wheel = f"`pip install --target FOLDER 'pyenergyplus-lbnl=={wanted}.*'` and name FOLDER with `engine:`"
        ways.insert(0, f"get the engine of that version from PyPI, {wheel}")
    newest = max(at_hand, key=_as_numbers, default="")
    if newest and _as_numbers(wanted) < _as_numbers(newest):
        # Neither comes with a wheel: the programs that convert are part of an installed EnergyPlus.
        by = "IDFVersionUpdater" + (" or idfkit.migrate" if version >= MINIMUM_VERSION else "")
        ways.append(f"bring the model to {newest} with {by}, which need an installed EnergyPlus {newest}")
    return f"the model is of EnergyPlus {wanted}, but {known}: {'; or '.join(ways)}"


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


_REFUSED = {
    "PythonPlugin:": "Python plugins do not run here: do the same with EnergyManagementSystem objects",
    "ExternalInterface": "co-simulation with FMUs or other programs does not run here: remove these objects",
    "Parametric:": "write these variants as parameters of the study and remove the Parametric objects",
    "GroundHeatTransfer:": "run EnergyPlus's Slab or Basement on the model first and use its temperatures",
    "HVACTemplate:": "this engine cannot expand templates: run ExpandObjects on the model first, "
    "or install EnergyPlus and set ENERGYPLUS_DIR to its folder",
}


def model_problems(document: IDFDocument[bool], *, can_expand: bool) -> list[str]:
    """Return everything that stands against running this model, each with what to do.

    Parameters
    ----------
    document
        The model.
    can_expand
        True if the engine comes with ExpandObjects.
    """
    problems = []
    for prefix, advice in _REFUSED.items():
        found = [name for name, objects in document.items() if name.startswith(prefix) and objects]
        if found and not (can_expand and prefix == "HVACTemplate:"):
            shown = ", ".join(found[:_SHOWN]) + (" and others" if len(found) > _SHOWN else "")
            problems.append(f"the model has {shown}; {advice}")
    return problems


_FILE_FIELDS = {
    "Schedule:File": "file_name",
    "Schedule:File:Shading": "file_name",
    "Construction:WindowDataFile": "file_name",
    "Coil:DX:ASHRAE205:Performance": "representation_file_name",
    "Chiller:Electric:ASHRAE205": "representation_file_name",
    "Table:IndependentVariable": "external_file_name",
    "Table:Lookup": "external_file_name",
}
_DEFAULT_FILES = {"Construction:WindowDataFile": "Window5DataFile.dat"}


def external_files(document: IDFDocument[bool]) -> tuple[str, ...]:
    """Return every file that the model reads, as the model spells it, each once."""
    return tuple(dict.fromkeys(name for _, _, name in _named_files(document)))


def is_file_field(object_type: str, field: str) -> bool:
    """Return True if the field names an external file, whose content is part of the baseline's identity."""
    return _FILE_FIELDS.get(object_type) == field


def _named_files(document: IDFDocument[bool]) -> Iterator[tuple[IDFObject, str, str]]:
    for object_type, field in _FILE_FIELDS.items():
        for obj in document[object_type]:
            name = obj.data.get(field) or _DEFAULT_FILES.get(object_type, "")
            if name:
                yield obj, field, name


def model_calendar(
    document: IDFDocument[bool], run: RunKind, *, is_leap: bool, has_timestep: bool, design_days: int = 0
) -> Calendar:
    """Return when the model reports in a run of this kind.

    Parameters
    ----------
    document
        The model.
    run
        What is simulated.
    is_leap
        True if the weather has a 29 February.
    has_timestep
        True if something is asked for at that frequency.
    design_days
        How many were chosen instead of the model's own; 0 if none were.

    Raises
    ------
    ModelError
        The model has nothing of that kind to simulate, or it cannot be put on one time axis.
    """
    steps = _steps_per_hour(document) if has_timestep else None
    if run == "design_day":
        return Calendar(design_days=design_days or _count_design_days(document), steps_per_hour=steps)
    if run == "annual":
        name, fields = _annual_run_period(document)
        year = _year_of(fields, is_leap=is_leap)
        period = Period(name, dt.date(year, 1, 1), dt.date(year, 12, 31))
        return Calendar((period,), steps_per_hour=steps, is_leap=is_leap)
    _check_weather_runs(document)
    periods = tuple(_period(obj) for obj in document["RunPeriod"])
    _check_overlap(document, periods)
    return Calendar(periods, steps_per_hour=steps, is_leap=is_leap)


def _steps_per_hour(document: IDFDocument[bool]) -> int:
    timestep = document["Timestep"].first()
    if timestep is None:
        return 4  # the engine's own default, unlike the field's
    value = timestep.data.get("number_of_timesteps_per_hour")
    wanted = 6 if is_blank(value) else value
    # As the engine does: the nearest number that divides 60 minutes, the larger one of two.
    divisors = [number for number in range(1, 61) if 60 % number == 0]
    return min(divisors, key=lambda number: (abs(number - wanted), -number))


def _count_design_days(document: IDFDocument[bool]) -> int:
    for other in SIZING_PERIODS[1:]:
        if document[other]:
            raise ModelError(
                f"the model has {other}, whose days differ in number from design days: "
                "use run: run_period with RunPeriod objects for these days, or remove it"
            )
    count = len(document[DESIGN_DAY])
    if count == 0:
        raise ModelError(
            f"the model has no {DESIGN_DAY}: add design days, take the weather's with design_days: epw, "
            "or use run: annual"
        )
    return count


def _check_weather_runs(document: IDFDocument[bool]) -> None:
    control = document["SimulationControl"].first()
    if control is not None and str(control.data.get("run_simulation_for_weather_file_run_periods")).lower() == "no":
        raise ModelError(
            "the model's SimulationControl switches weather runs off, so its run periods are not simulated: "
            "use run: annual for the whole year, or set run_simulation_for_weather_file_run_periods to Yes"
        )
    if not document["RunPeriod"]:
        raise ModelError("the model has no RunPeriod: add one, or use run: annual for the whole year")


def _period(obj: IDFObject) -> Period:
    """Return the days of one RunPeriod; without a year of its own, in the year that EnergyPlus takes."""
    data = obj.data
    try:
        begin_month, begin_day, end_month, end_day = (
            int(data[field]) for field in ("begin_month", "begin_day_of_month", "end_month", "end_day_of_month")
        )
        begin_year, end_year = (_year(data.get(field)) for field in ("begin_year", "end_year"))
        if begin_year is None:
            if (2, 29) in {(begin_month, begin_day), (end_month, end_day)} or end_year is not None:
                raise ModelError(
                    f"RunPeriod {obj.name!r} ends in a year of its own or on 29 February: give it a begin year too"
                )
            begin_year = _year_with(begin_month, begin_day, str(data.get("day_of_week_for_start_day") or ""))
        begin = dt.date(begin_year, begin_month, begin_day)
        if end_year is None:
            end_year = begin_year + ((end_month, end_day) < (begin_month, begin_day))
        end = dt.date(end_year, end_month, end_day)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"RunPeriod {obj.name!r} has no valid begin and end: {error}") from error
    if end < begin:
        raise ModelError(f"RunPeriod {obj.name!r} ends on {end}, before it begins on {begin}")
    return Period(obj.name, begin, end)


def _year(value: Any) -> int | None:
    return None if is_blank(value) else int(value)


def _year_with(month: int, day: int, weekday: str) -> int:
    """Return the latest year up to 2017, none of them a leap year, in which that day is that weekday."""
    year = 2017
    while weekday and (dt.date(year, month, day).strftime("%A") != weekday.capitalize() or year % 4 == 0):
        year -= 1
    return year


def _check_overlap(document: IDFDocument[bool], periods: Sequence[Period]) -> None:
    has_years = all(not is_blank(obj.data.get("begin_year")) for obj in document["RunPeriod"])
    seen: dict[object, str] = {}
    for period in periods:
        days = [period.begin + dt.timedelta(number) for number in range((period.end - period.begin).days + 1)]
        for day in days:
            other = seen.get(day if has_years else (day.month, day.day))
            if other is not None:
                raise ModelError(
                    f"the run periods {other!r} and {period.name!r} both have {day:%d %B}: "
                    "they would share places on the time axis; change one of them, or use run: annual"
                )
        seen |= {day if has_years else (day.month, day.day): period.name for day in days}


def _annual_run_period(document: IDFDocument[bool]) -> tuple[str, dict[str, Any]]:
    """Return name and fields of the one RunPeriod of a whole year, with the settings of the model's first."""
    first = document["RunPeriod"].first()
    kept: dict[str, Any] = {} if first is None else dict(first.data)
    year = kept.pop("begin_year", None)
    kept.pop("end_year", None)
    if not is_blank(year):
        # The year decided the weekday; the weekday alone keeps the schedules in step.
        kept["day_of_week_for_start_day"] = WEEKDAYS[dt.date(int(year), 1, 1).weekday()]
    # Weather can only be that of an actual year if the year is known.
    kept.pop("treat_weather_as_actual", None)
    kept |= {"begin_month": 1, "begin_day_of_month": 1, "end_month": 12, "end_day_of_month": 31}
    return (first.name if first is not None else "") or "Annual", kept


def _year_of(fields: Mapping[str, Any], *, is_leap: bool) -> int:
    return year_starting_on(str(fields.get("day_of_week_for_start_day", "")), is_leap=is_leap)


_ALWAYS_REPLACED = (
    "Output:Variable",
    "Output:Meter",
    "Output:Meter:MeterFileOnly",
    "Output:Meter:Cumulative",
    "Output:Meter:Cumulative:MeterFileOnly",
    "Output:SQLite",
    "Output:JSON",
    "OutputControl:Files",
    "OutputControl:Timestamp",
    "Output:VariableDictionary",
    "Output:EnergyManagementSystem",
    "Output:Schedules",
    "Output:Constructions",
    "Output:Surfaces:List",
    "Output:Surfaces:Drawing",
    "OutputControl:SurfaceColorScheme",
    "Output:DebuggingData",
    "Output:Table:SummaryReports",
    "Output:Table:TimeBins",
    "Output:Table:Monthly",
    "Output:Table:Annual",
    "Output:Table:ReportPeriod",
)
_FREQUENCY_WORDS: dict[Frequency, str] = {
    "timestep": "Timestep",
    "hourly": "Hourly",
    "daily": "Daily",
    "monthly": "Monthly",
    "annual": "RunPeriod",  # one value for each environment, whatever is run; in a year's run it equals Annual
}


def prepare_run(
    document: IDFDocument[bool],
    run: RunKind | None,
    outputs: Iterable[Output],
    *,
    keep_model_outputs: bool = False,
    files: Mapping[str, str] | None = None,
    probe_day: tuple[int, int] = (1, 1),
    is_leap: bool = False,
    raw_files: Collection[str] = (),
) -> None:
    """Make `document` simulate what `run` says and report what `outputs` say, in place.

    Objects that change results or meanings stay: Output:Diagnostics, OutputControl:ReportingTolerances,
    Output:EnvironmentalImpactFactors (reported once per run) and Meter:*; so do tables of which a cell is wanted.

    Parameters
    ----------
    document
        The model, edited.
    run
        What is simulated; None for a probe: one day, with the names of all outputs listed.
    outputs
        What the study asks for.
    keep_model_outputs
        True to add to the model's own outputs instead of replacing them.
    files
        External files as the model spells them -> what they are called beside the model.
    probe_day
        Month and day that a probe simulates.
    is_leap
        True if a whole year is to have a 29 February, which the weather must have too.
    raw_files
        What EnergyPlus is to write besides; it changes none of the values.

    Raises
    ------
    ModelError
        A path cannot be written into a model.
    """
    _set_run(document, run, probe_day, is_leap=is_leap)
    outputs = tuple(outputs)
    if not keep_model_outputs:
        kept = own_tables_wanted(document, outputs)
        for object_type in _ALWAYS_REPLACED:
            _remove_all(document, object_type, but=kept)
        for style in document["OutputControl:Table:Style"]:
            style["unit_conversion"] = "None"
        for factors in document["Output:EnvironmentalImpactFactors"]:
            factors["reporting_frequency"] = "RunPeriod"
    if run is None:
        _remove_all(document, "Output:VariableDictionary")
        document.add("Output:VariableDictionary", fields={"key_field": "regular"}, validate=False)
    if not document["Output:SQLite"]:
        document.add("Output:SQLite", fields={"option_type": "Simple"}, validate=False)
    _switch_files(document, is_probe=run is None)
    timed = (output for output in outputs if output.kind in ("variable", "meter"))
    for fields in dict.fromkeys(_request(output) for output in timed):
        document.add(fields[0], fields=dict(fields[1:]), validate=False)
    request_tables(document, outputs)
    ask_for_files(document, raw_files)
    _set_files(document, files or {})


def _remove_all(document: IDFDocument[bool], object_type: str, *, but: Collection[str] = ()) -> None:
    is_table = object_type.startswith("Output:Table:")
    for obj in document[object_type].to_list():
        if not (is_table and obj.name.casefold() in but):
            document.removeidfobject(obj)


def _set_run(document: IDFDocument[bool], run: RunKind | None, probe_day: tuple[int, int], *, is_leap: bool) -> None:
    if run == "run_period":
        return
    is_weather = run != "design_day"
    control = document["SimulationControl"].first() or document.add("SimulationControl", validate=False)
    control["run_simulation_for_weather_file_run_periods"] = "Yes" if is_weather else "No"
    control["run_simulation_for_sizing_periods"] = "No" if is_weather else "Yes"
    if is_weather:
        name, fields = _annual_run_period(document)
        if run is None:
            month, day = probe_day
            fields |= {"begin_month": month, "begin_day_of_month": day, "end_month": month, "end_day_of_month": day}
        elif is_leap:  # or EnergyPlus takes a year that has no 29 February
            fields["begin_year"] = _year_of(fields, is_leap=True)
        _remove_all(document, "RunPeriod")
        document.add("RunPeriod", name, fields, validate=False)


def _switch_files(document: IDFDocument[bool], *, is_probe: bool) -> None:
    wanted = {"output_sqlite", "output_end"} | ({"output_rdd", "output_mdd"} if is_probe else set())
    switches = document["OutputControl:Files"].first()
    if switches is None and document.schema.get_object_schema("OutputControl:Files") is not None:
        names = document.schema.get_all_field_names("OutputControl:Files")
        switches = document.add("OutputControl:Files", fields=dict.fromkeys(names, "No"), validate=False)
    for name in sorted(wanted) if switches is not None else ():
        switches[name] = "Yes"


def _request(output: Output) -> tuple[Any, ...]:
    """Return object type and fields that ask for `output`, hashable."""
    frequency = ("reporting_frequency", _FREQUENCY_WORDS[output.frequency])
    if output.kind == "meter":
        return ("Output:Meter", ("key_name", output.name), frequency)
    return ("Output:Variable", ("key_value", _key_value(output.key)), ("variable_name", output.name), frequency)


def _key_value(pattern: str) -> str:
    """Return a key value that EnergyPlus understands as `pattern`.

    It takes a key value as a regular expression (RE2, whole keys, case does not matter) once there is one of
    its special characters in it: in ``Zone (1)`` they must be escaped. A lone ``*`` stands for all keys.
    """
    if pattern == "*":
        return pattern
    wild = {"*": ".*", "?": "."}
    return "".join(wild.get(char) or (f"\\{char}" if char in r"\.+()|[]{}^$" else char) for char in pattern)


def _set_files(document: IDFDocument[bool], files: Mapping[str, str]) -> None:
    for obj, field, name in list(_named_files(document)):
        placed = files.get(name)
        if placed is None:
            continue
        if set(placed) & set(NOT_IN_IDF):
            raise ModelError(f"{name} cannot be written into a model: its suffix holds a comma, ';', '!' or a new line")
        obj[field] = placed
