"""What is done to a schedule of a model: its numbers changed, or all of it replaced.

Decides which of a schedule's fields are its numbers, and what is wrong with a change, told before any run. A change
is done in place and touches no other schedule. Never reads or writes a file.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from idfkit import IDFDocument, IDFObject

from bemsweep.errors import ModelError, nearest
from bemsweep.references import Reference, references_of
from bemsweep.schedule_values import SUFFIXES, WANTED_ROWS, ScheduleValues, hours_and_minutes

__all__ = [
    "Arithmetic",
    "ScheduleOperation",
    "change_schedule",
    "find_schedule",
    "replace_schedule",
    "replace_schedule_by_file",
    "schedule_problems",
    "schedule_units",
    "schedule_users",
]

Arithmetic = Literal["add", "multiply"]
ScheduleOperation = Literal["add", "multiply", "replace"]

_SCHEDULES = ("Schedule:Compact", "Schedule:Constant", "Schedule:Year", "Schedule:File")
_DAYS = ("Schedule:Day:Hourly", "Schedule:Day:Interval", "Schedule:Day:List")
_WEEKS = ("Schedule:Week:Daily", "Schedule:Week:Compact")

_GROUPED_NUMBER = {"Schedule:Day:Interval": "value_until_time", "Schedule:Day:List": "value"}
_HOURS = tuple(f"hour_{number}" for number in range(1, 25))

_COMPACT_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?")

_SENSOR_KEY = "output_variable_or_output_meter_index_key_name"

_UNITS_OF_TYPES = {
    "temperature": "C",
    "deltatemperature": "deltaC",
    "angle": "deg",
    "activitylevel": "W/person",
    "power": "W",
    "capacity": "W",
    "velocity": "m/s",
    "precipitationrate": "m/hr",
    "convectioncoefficient": "W/m2-K",
    "percent": "%",
    "availability": "",
}
"""Unit type of ScheduleTypeLimits -> unit; ``Dimensionless``, the default, says nothing."""

_TOLERANCE = 1e-7
"""By how much EnergyPlus 25.2 lets a value leave the range of its ScheduleTypeLimits."""


def find_schedule(document: IDFDocument[bool], name: str) -> IDFObject:
    """Return the schedule of that name, a thing that zones, setpoints and so on name.

    Parameters
    ----------
    document
        The model.
    name
        Name of the schedule; case does not matter.

    Raises
    ------
    ModelError
        There is none, or the name is that of a part of schedules, a day or a week.
    """
    found = _find(document, _SCHEDULES, name)
    if found is not None:
        return found
    part = _find(document, (*_DAYS, *_WEEKS), name)
    if part is not None:
        whole = _years_with(document, part)
        advice = f"name {_quoted(whole)} instead" if whole else "no schedule of the model uses it"
        raise ModelError(f"{part.obj_type} {part.name!r} is a part of schedules and no schedule itself: {advice}")
    names = [obj.name for object_type in _SCHEDULES for obj in document[object_type]]
    raise ModelError(f"the model has no schedule {name!r}{nearest(name, names)}")


def schedule_users(document: IDFDocument[bool], name: str) -> list[Reference]:
    """Return the fields of the model that name the schedule, in the model's order."""
    return [found for found in _references(document, "ScheduleNames") if found.name.casefold() == name.casefold()]


def schedule_units(document: IDFDocument[bool], name: str) -> str | None:
    """Return EnergyPlus's unit of a schedule's numbers, or None if nothing tells it.

    Its ScheduleTypeLimits may tell; else a schedule that is named as a temperature's is one, and numbers from 0 to 1
    are a fraction.

    Raises
    ------
    ModelError
        There is no such schedule.
    """
    schedule = find_schedule(document, name)
    limits = _find(document, ("ScheduleTypeLimits",), str(schedule.data.get("schedule_type_limits_name") or ""))
    told = {} if limits is None else limits.data
    if (unit := _UNITS_OF_TYPES.get(str(told.get("unit_type") or "").casefold())) is not None:
        return unit
    if any("temperature" in user.field for user in schedule_users(document, name)):
        return "C"
    return "" if (told.get("lower_limit_value"), told.get("upper_limit_value")) == (0.0, 1.0) else None


def change_schedule(document: IDFDocument[bool], name: str, *, operation: Arithmetic, number: float) -> None:
    """Add to all numbers of a schedule, or multiply them, in place.

    Times, dates and kinds of days stay. Days that a Schedule:Compact does not name are 0 to EnergyPlus and stay 0.
    Weeks and days of a Schedule:Year that others use too are copied before.

    Parameters
    ----------
    document
        The model.
    name
        Name of the schedule; case does not matter.
    operation
        What to do with `number`.
    number
        Summand, in the schedule's own unit, or factor.

    Raises
    ------
    ModelError
        There is no such schedule, its numbers are in a file, or something in it is no number.
    """
    schedule = find_schedule(document, name)
    days = _own_days(document, schedule) if schedule.obj_type == "Schedule:Year" else [schedule]
    places = [place for day in days for place in _places(day)]
    calculate = _arithmetic(operation, number)
    for place, result in [(place, calculate(place.number)) for place in places]:
        if not math.isfinite(result):
            raise ModelError(f"cannot {operation} {number!r}: a number of {_named(schedule)} becomes too large")
        place.write(result)


def replace_schedule(document: IDFDocument[bool], name: str, value: float) -> None:
    """Replace a schedule by a Schedule:Constant of the same name and type limits, in place.

    Raises
    ------
    ModelError
        There is no such schedule, or `value` is not finite.
    """
    if not math.isfinite(value):
        raise ModelError(f"schedule {name!r} cannot be {value!r}: that is not a number")
    _replace(document, find_schedule(document, name), "Schedule:Constant", {"hourly_value": float(value)})


def replace_schedule_by_file(
    document: IDFDocument[bool], name: str, *, file_name: str, rows: int, has_heading: bool
) -> None:
    """Replace a schedule by a Schedule:File of the same name and type limits, in place.

    Parameters
    ----------
    document
        The model.
    name
        Name of the schedule; case does not matter.
    file_name
        The file as the model shall spell it.
    rows
        Number of values in the file.
    has_heading
        True if the file's first line is a heading.

    Raises
    ------
    ModelError
        There is no such schedule, the number of rows is not that of a year, or EnergyPlus does not read files
        of this suffix.
    """
    shape = hours_and_minutes(rows)
    if shape is None:
        raise ModelError(f"{file_name} has {rows} values: {WANTED_ROWS}")
    if not file_name.lower().endswith(SUFFIXES):
        raise ModelError(f"EnergyPlus does not read schedules from {file_name!r}: it must end in .csv or .txt")
    hours, minutes = shape
    fields = {
        "file_name": file_name,
        "column_number": 1,
        "rows_to_skip_at_top": int(has_heading),
        "number_of_hours_of_data": float(hours),
        "minutes_per_item": minutes,
    }
    _replace(document, find_schedule(document, name), "Schedule:File", fields)


def schedule_problems(
    document: IDFDocument[bool],
    name: str,
    *,
    operation: ScheduleOperation,
    values: Iterable[float | str | bool | ScheduleValues],
) -> list[str]:
    """Return everything that is wrong with changing a schedule of this model, each as a full sentence, each once.

    Parameters
    ----------
    document
        The baseline.
    name
        Name of the schedule.
    operation
        What to do with each of `values`.
    values
        Summands, factors, or what replaces the schedule: numbers or the content of files.

    Returns
    -------
    list of str
        Empty if the changes can be made.
    """
    try:
        known = _known(document, find_schedule(document, name), operation)
    except ModelError as error:
        return [_sentence(str(error))]
    problems: dict[str, None] = {}
    for value in values:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number and not (operation == "replace" and isinstance(value, ScheduleValues)):
            problems[f"Cannot {operation} {_named(known.schedule)} by {value!r}: that is not a number."] = None
            continue
        found = _replace_problems(known, value) if operation == "replace" else _change_problems(known, operation, value)
        problems.update(dict.fromkeys(found))
    return list(problems)


@dataclass(frozen=True)
class _Known:
    """What the model says about a schedule."""

    schedule: IDFObject
    limits: IDFObject | None
    numbers: tuple[float, ...]
    switch: Reference | None


def _known(document: IDFDocument[bool], schedule: IDFObject, operation: ScheduleOperation) -> _Known:
    # Of a Schedule:Year its own limits count; those of its days only make EnergyPlus warn.
    limits = _find(document, ("ScheduleTypeLimits",), str(schedule.data.get("schedule_type_limits_name") or ""))
    if operation == "replace":
        return _Known(schedule, limits, (), None)
    return _Known(schedule, limits, tuple(_numbers(document, schedule)), _switch(document, schedule))


def _switch(document: IDFDocument[bool], schedule: IDFObject) -> Reference | None:
    """Return a user of the schedule if all of them only ask whether it is above 0, as of an availability."""
    users = schedule_users(document, schedule.name)
    sensors = {str(sensor.data.get(_SENSOR_KEY)).casefold() for sensor in document["EnergyManagementSystem:Sensor"]}
    if not users or schedule.name.casefold() in sensors:
        return None
    return users[0] if all(user.field.endswith("availability_schedule_name") for user in users) else None


def _replace_problems(known: _Known, value: Any) -> Iterator[str]:
    extremes = value.extremes if isinstance(value, ScheduleValues) else (float(value),)
    values = value.values if isinstance(value, ScheduleValues) else extremes
    yield from _limit_problems(known, zip(extremes, extremes, strict=True), how="")
    yield from _discrete_problems(known, zip(values, values, strict=True), how="")


def _change_problems(known: _Known, operation: Arithmetic, value: Any) -> Iterator[str]:
    calculate, named = _arithmetic(operation, float(value)), _named(known.schedule)
    pairs = [(number, calculate(number)) for number in dict.fromkeys(known.numbers)]
    if not all(math.isfinite(result) for _, result in pairs):
        yield f"Cannot {operation} {named} by {value!r}: a number becomes too large."
        return
    how = f"{operation} {value:g}"
    yield from _limit_problems(known, pairs, how=how)
    if all(number.is_integer() for number in known.numbers):
        yield from _discrete_problems(known, pairs, how=how)
    if all(result == number for number, result in pairs):
        if operation == "multiply" and value != 1:
            yield f"{_capitalised(how)} would change nothing: all numbers of {named} are 0."
    elif known.switch is not None and all((number > 0) == (result > 0) for number, result in pairs):
        yield (
            f"{_capitalised(how)} would change nothing: {named} is {known.switch.field} of "
            f"{_named(known.switch.user)}, which only asks whether it is above 0."
        )


def _limit_problems(known: _Known, pairs: Iterable[tuple[float, float]], *, how: str) -> Iterator[str]:
    """Yield the worst that leaves the range: EnergyPlus stops at it before the run begins."""
    limits = known.limits
    low, high = (limits.data.get(f"{side}_limit_value") if limits else None for side in ("lower", "upper"))
    # EnergyPlus looks at the range only if it has both ends.
    if limits is None or not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return
    outside = [(max(low - result, result - high), number, result) for number, result in pairs]
    excess, number, result = max(outside, default=(0.0, 0.0, 0.0))
    if excess > _TOLERANCE:
        made = f", and that is what {how} makes of {number:g}" if how else ""
        yield (
            f"{_named(known.schedule)} cannot be {result:g}: its ScheduleTypeLimits {limits.name!r} "
            f"go from {low:g} to {high:g}{made}."
        )


def _discrete_problems(known: _Known, pairs: Iterable[tuple[float, float]], *, how: str) -> Iterator[str]:
    """Yield the first fraction where whole numbers are wanted.

    EnergyPlus takes it without a word, and what reads such a schedule asks only which number it is, or whether it
    is above 0: the change would not do what it says.
    """
    limits = known.limits
    if limits is None or str(limits.data.get("numeric_type", "")).casefold() != "discrete":
        return
    for number, result in pairs:
        if not result.is_integer():
            made = f", and that is what {how} makes of {number:g}" if how else ""
            yield (
                f"{_named(known.schedule)} cannot be {result:g}: its ScheduleTypeLimits {limits.name!r} "
                f"are discrete, for whole numbers{made}."
            )
            return


@dataclass(frozen=True)
class _Place:
    """Where a number of a schedule stands."""

    holder: dict[str, Any]
    key: str
    number: float

    def write(self, number: float) -> None:
        self.holder[self.key] = number


def _numbers(document: IDFDocument[bool], schedule: IDFObject) -> list[float]:
    if schedule.obj_type != "Schedule:Year":
        return [place.number for place in _places(schedule)]
    parts = (day for week in _weeks(document, schedule) for _, day in _days(document, week))
    days = {id(day): day for day in parts}
    return [place.number for day in days.values() for place in _places(day)]


def _places(schedule: IDFObject) -> list[_Place]:
    """Return where the numbers of a schedule, or of a day of one, stand."""
    if schedule.obj_type == "Schedule:File":
        raise ModelError(
            f"{_named(schedule)} has its numbers in the file {schedule.data.get('file_name')!r}: "
            "write the changed numbers to a CSV file and replace the schedule by it"
        )
    if schedule.obj_type == "Schedule:Compact":
        return list(_compact_places(schedule))
    if schedule.obj_type in _GROUPED_NUMBER:
        key = _GROUPED_NUMBER[schedule.obj_type]
        return [_place(schedule, group, key) for group in schedule.extensible_items()]
    keys = ("hourly_value",) if schedule.obj_type == "Schedule:Constant" else _HOURS
    return [_place(schedule, schedule.data, key) for key in keys]


def _compact_places(schedule: IDFObject) -> Iterator[_Place]:
    groups = schedule.extensible_items()
    words = [str(group.get("field", "")).strip().casefold() for group in groups]
    for number, word in enumerate(words):
        if word.startswith("until"):
            if number + 1 == len(groups):
                raise ModelError(f"{_named(schedule)} ends after {groups[number]['field']!r}, without a number")
            yield _place(schedule, groups[number + 1], "field")


def _place(schedule: IDFObject, holder: dict[str, Any], key: str) -> _Place:
    value = holder.get(key)
    if value is None or value == "":
        return _Place(holder, key, 0.0)  # as EnergyPlus takes a blank
    if isinstance(value, str) and _COMPACT_NUMBER.fullmatch(value.strip()):
        return _Place(holder, key, float(value.strip().lower().replace("d", "e")))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelError(f"{_named(schedule)} has {value!r} where a number must be")
    return _Place(holder, key, float(value))


def _arithmetic(operation: Arithmetic, number: float) -> Callable[[float], float]:
    # Adding zero turns -0.0 into 0.0.
    if operation == "add":
        return lambda old: old + number + 0.0
    return lambda old: old * number + 0.0


def _own_days(document: IDFDocument[bool], year: IDFObject) -> list[IDFObject]:
    """Return the days of a Schedule:Year, after copying those days and weeks that others use too."""
    mine = f" of {year.name}"
    weeks: dict[int, IDFObject] = {}
    users = _users_by_name(document, "WeekScheduleNames")
    for number, week in enumerate(_weeks(document, year)):
        if id(week) not in weeks:
            is_shared = any(user is not year for user in users[week.name.casefold()])
            weeks[id(week)] = _copy(document, week, mine, _WEEKS) if is_shared else week
        year["schedule_weeks"][number]["schedule_week_name"] = weeks[id(week)].name
    own = {id(week) for week in weeks.values()}
    days: dict[int, IDFObject] = {}
    users = _users_by_name(document, "DayScheduleNames")
    for week in weeks.values():
        for reference, day in _days(document, week):
            if id(day) not in days:
                is_shared = any(id(user) not in own for user in users[day.name.casefold()])
                days[id(day)] = _copy(document, day, mine, _DAYS) if is_shared else day
            holder = week["data"][reference.group - 1] if reference.group else week
            holder[reference.field] = days[id(day)].name
    return list(days.values())


def _copy(document: IDFDocument[bool], obj: IDFObject, suffix: str, object_types: Sequence[str]) -> IDFObject:
    name = obj.name + suffix
    while _find(document, object_types, name) is not None:
        name += suffix
    copied: IDFObject = document.add(obj.obj_type, name, copy.deepcopy(dict(obj.data)), validate=False)
    return copied


def _weeks(document: IDFDocument[bool], year: IDFObject) -> list[IDFObject]:
    """Return the week of each period of a Schedule:Year."""
    names = [str(group.get("schedule_week_name", "")) for group in year.extensible_items()]
    return [_part(document, year, _WEEKS, name) for name in names]


def _days(document: IDFDocument[bool], week: IDFObject) -> list[tuple[Reference, IDFObject]]:
    references = [found for found in references_of(week, document.schema) if "DayScheduleNames" in found.object_lists]
    return [(found, _part(document, week, _DAYS, found.name)) for found in references]


def _part(document: IDFDocument[bool], whole: IDFObject, object_types: Sequence[str], name: str) -> IDFObject:
    part = _find(document, object_types, name)
    if part is None:
        raise ModelError(f"{_named(whole)} names {name!r}, which the model does not have")
    return part


def _years_with(document: IDFDocument[bool], part: IDFObject) -> list[IDFObject]:
    """Return the schedules that a day or a week is part of."""
    weeks = {part.name.casefold()}
    if part.obj_type in _DAYS:
        days = _references(document, "DayScheduleNames")
        weeks = {found.user.name.casefold() for found in days if found.name.casefold() == part.name.casefold()}
    years = _references(document, "WeekScheduleNames")
    return list({id(found.user): found.user for found in years if found.name.casefold() in weeks}.values())


def _users_by_name(document: IDFDocument[bool], object_list: str) -> dict[str, list[IDFObject]]:
    users: dict[str, list[IDFObject]] = {}
    for found in _references(document, object_list):
        users.setdefault(found.name.casefold(), []).append(found.user)
    return users


def _references(document: IDFDocument[bool], object_list: str) -> Iterator[Reference]:
    for obj in document.all_objects:
        yield from (found for found in references_of(obj, document.schema) if object_list in found.object_lists)


def _replace(document: IDFDocument[bool], old: IDFObject, object_type: str, fields: dict[str, Any]) -> None:
    limits = old.data.get("schedule_type_limits_name")
    # Removing an object makes idfkit forget who names it.
    edges = document.references.get_referencing_edges(old.name)
    document.removeidfobject(old)
    kept = {"schedule_type_limits_name": limits} if limits else {}
    document.add(object_type, old.name, {**kept, **fields}, validate=False)
    for user, field, group in edges:
        document.references.register(user, field, old.name, group)


def _find(document: IDFDocument[bool], object_types: Sequence[str], name: str) -> IDFObject | None:
    wanted = name.casefold()
    found = (obj for object_type in object_types for obj in document[object_type] if obj.name.casefold() == wanted)
    return next(found, None)


def _named(obj: IDFObject) -> str:
    return f"{obj.obj_type} {obj.name!r}" if obj.name else obj.obj_type


def _quoted(objects: Iterable[IDFObject]) -> str:
    return " or ".join(repr(obj.name) for obj in objects)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(message: str) -> str:
    return f"{_capitalised(message)}."
