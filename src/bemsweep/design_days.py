"""Design days for sizing, chosen for a weather file instead of the model's own.

Decides which days these are, from the DESIGN CONDITIONS of an EPW's header or from a .ddy, and how they
replace those of a model. Never reads a file and never starts an engine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from idfkit import IDFDocument, IDFObject
from idfkit.schema import EpJSONSchema, get_schema

from bemsweep.edits import FieldEdit, FieldSpec, Scalar, field_spec, is_blank, normalised
from bemsweep.model_file import NOT_IN_IDF

__all__ = [
    "COOLING_PERCENTS",
    "DESIGN_DAY",
    "HEATING_PERCENTS",
    "SIZING_PERIODS",
    "DesignDay",
    "days_of_ddy",
    "days_of_header",
    "distance_km",
    "has_conditions",
    "replace_design_days",
]

HEATING_PERCENTS = (99.6, 99.0)
"""How much of a year is warmer than a heating design day, percent; the first one is the default."""
COOLING_PERCENTS = (1.0, 0.4, 2.0)
"""How much of a year is warmer than a cooling design day, percent; the first one is the default."""

DESIGN_DAY = "SizingPeriod:DesignDay"
SIZING_PERIODS = (DESIGN_DAY, "SizingPeriod:WeatherFileDays", "SizingPeriod:WeatherFileConditionType")
"""Everything that EnergyPlus sizes by."""

_VERSION = (25, 2, 0)
"""Whose schema spells the fields; they have been the same since 8.0."""
_REQUIRED = (
    "month",
    "day_of_month",
    "day_type",
    "maximum_dry_bulb_temperature",
    "humidity_condition_type",
    "wetbulb_or_dewpoint_at_maximum_dry_bulb",
    "wind_speed",
    "wind_direction",
    "solar_model_indicator",
)
"""Fields that a day by dry bulb must have, though EnergyPlus has defaults for some of them."""
_NUMBERS_READ = {"Heating": 15, "Cooling": 16}
_SHOWN = 3
_EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True)
class DesignDay:
    """One SizingPeriod:DesignDay, written in the one way that stands for all that mean the same."""

    name: str
    """The object's name."""
    fields: tuple[tuple[str, Scalar], ...]
    """Its fields that are not blank, sorted by name; EnergyPlus's units."""


def days_of_header(conditions: str, city: str, elevation_m: float) -> tuple[DesignDay, DesignDay]:
    """Return the heating day at 99.6 % and the cooling day at 1 % that an EPW's header describes.

    Both are by dry bulb, and what a .ddy of the same handbook has under the same name but for one thing: the header
    does not tell the optical depths of the sky, so the cooling day has ASHRAE's older clear sky, clearness 1.

    Parameters
    ----------
    conditions
        The header's DESIGN CONDITIONS, without these words.
    city
        Where this is, for the names.
    elevation_m
        Height above the sea, which gives the pressure; m.

    Raises
    ------
    ValueError
        The header holds no design conditions, or not in the form of ASHRAE's handbooks since 2005.

    Source
    ------
    EnergyPlus Auxiliary Programs, EnergyPlus Weather File (EPW) Data Dictionary, "DESIGN CONDITIONS"; ASHRAE
    Handbook of Fundamentals, "Climatic Design Information" and, for the pressure, "Psychrometrics".
    """
    if not has_conditions(conditions):
        raise ValueError(
            "its header holds no DESIGN CONDITIONS to make design days from: name a .ddy, design_days: {ddy: FILE}"
        )
    words = [word.strip() for word in conditions.split(",")]
    heating, cooling = _numbers_after(words, "Heating"), _numbers_after(words, "Cooling")
    pressure = round(101325 * (1 - 2.25577e-5 * elevation_m) ** 5.2559)
    place = "".join(" " if character in NOT_IN_IDF else character for character in city).strip() or "EPW"
    common: dict[str, Scalar] = {
        "day_of_month": 21,
        "dry_bulb_temperature_range_modifier_type": "DefaultMultipliers",
        "humidity_condition_type": "Wetbulb",
        "barometric_pressure": pressure,
        "rain_indicator": "No",
        "snow_indicator": "No",
        "daylight_saving_time_indicator": "No",
        "solar_model_indicator": "ASHRAEClearSky",
    }
    winter: dict[str, Scalar] = {
        "day_type": "WinterDesignDay",
        "month": heating[0],
        "maximum_dry_bulb_temperature": heating[1],
        "daily_dry_bulb_temperature_range": 0.0,
        "wetbulb_or_dewpoint_at_maximum_dry_bulb": heating[1],
        "wind_speed": heating[13],
        "wind_direction": heating[14],
        "sky_clearness": 0.0,
    }
    summer: dict[str, Scalar] = {
        "day_type": "SummerDesignDay",
        "month": cooling[0],
        "maximum_dry_bulb_temperature": cooling[4],
        "daily_dry_bulb_temperature_range": cooling[1],
        "wetbulb_or_dewpoint_at_maximum_dry_bulb": cooling[5],
        "wind_speed": cooling[14],
        "wind_direction": cooling[15],
        "sky_clearness": 1.0,
    }
    schema = get_schema(_VERSION)
    return (
        _design_day(f"{place} Ann Htg 99.6% Condns DB", {**common, **winter}, schema),
        _design_day(f"{place} Ann Clg 1% Condns DB=>MWB", {**common, **summer}, schema),
    )


def has_conditions(conditions: str) -> bool:
    """Return True if an EPW's DESIGN CONDITIONS, without these words, say anything."""
    return conditions.split(",", 1)[0].strip() not in ("", "0")


def _numbers_after(words: Sequence[str], title: str) -> list[float]:
    """Return the first 16 numbers of a part of the header; editions differ in what comes after them."""
    try:
        first = [word.casefold() for word in words].index(title.casefold()) + 1
        numbers = [float(word) for word in words[first : first + _NUMBERS_READ[title]]]
    except ValueError:
        numbers = []
    if len(numbers) < _NUMBERS_READ[title] or not all(map(math.isfinite, numbers)):
        raise ValueError(
            f"the DESIGN CONDITIONS of its header have no {title} part as ASHRAE's handbooks define it:"
            " name a .ddy, design_days: {ddy: FILE}"
        )
    return numbers


def days_of_ddy(document: IDFDocument[bool], heating: float, cooling: float) -> tuple[DesignDay, DesignDay]:
    """Return the heating and the cooling day, both by dry bulb, that a .ddy has for these shares of a year.

    Parameters
    ----------
    document
        What the .ddy holds.
    heating, cooling
        One of `HEATING_PERCENTS` and one of `COOLING_PERCENTS`.

    Raises
    ------
    ValueError
        The .ddy has no such days, or not as EnergyPlus has them today.
    """
    winter = _find(document, f"Ann Htg {heating:g}% Condns DB", rf"Ann Htg {heating:g}% Condns DB$")
    digits = re.escape(f"{cooling:g}".lstrip("0"))
    summer = _find(document, f"Ann Clg {cooling:g}% Condns DB=>MWB", rf"Ann Clg 0?{digits}% Condns DB=>MC?WB$")
    return _checked(winter, document), _checked(summer, document)


def _find(document: IDFDocument[bool], title: str, pattern: str) -> IDFObject:
    days: list[IDFObject] = document[DESIGN_DAY].to_list()
    found = [day for day in days if re.search(pattern, " ".join(day.name.split()), re.IGNORECASE)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"it has {len(found)} design days {title!r}")
    named = ", ".join(repr(day.name) for day in days[:_SHOWN]) + (" and others" if len(days) > _SHOWN else "")
    raise ValueError(f"it has no design day {title!r}; it has {named or 'none at all'}")


def _checked(day: IDFObject, document: IDFDocument[bool]) -> DesignDay:
    if document.schema is None:
        raise ValueError("it was read without EnergyPlus's schema")
    for field, value in day.data.items():
        spec = field_spec(document.schema, DESIGN_DAY, field)
        if is_blank(value) or spec is None:
            continue
        if spec.object_lists:
            raise ValueError(f"its day {day.name!r} needs the schedule {value!r}: take a .ddy whose days stand alone")
        if not _is_valid(spec, value):
            raise ValueError(
                f"its day {day.name!r} has {value!r} for {field}: complete it, or, if it is written for EnergyPlus "
                "before 8.0, get a newer one; or use design_days: epw"
            )
    blank = [field for field in _REQUIRED if is_blank(day.data.get(field))]
    if blank:
        raise ValueError(f"its day {day.name!r} has no {blank[0]}: complete it, or use design_days: epw")
    return _design_day(day.name, day.data, document.schema)


def _is_valid(spec: FieldSpec, value: Scalar) -> bool:
    if spec.kind in ("number", "integer"):
        return isinstance(value, (int, float)) and spec.minimum <= value <= spec.maximum
    return not spec.choices or str(value).strip().casefold() in spec.choices


def _design_day(name: str, fields: Mapping[str, Scalar], schema: EpJSONSchema) -> DesignDay:
    edits = (
        normalised(FieldEdit(DESIGN_DAY, field, "set", value), schema)
        for field, value in fields.items()
        if not is_blank(value)
    )
    return DesignDay(name, tuple(sorted((edit.field, edit.value) for edit in edits)))


def replace_design_days(document: IDFDocument[bool], days: Iterable[DesignDay]) -> None:
    """Make `days` all that `document` is sized by, in place.

    SizingPeriod:WeatherFileDays and SizingPeriod:WeatherFileConditionType go too: what was chosen is what counts, and
    a `design_day` run has one day for each of `days`.
    """
    for object_type in SIZING_PERIODS:
        for obj in document[object_type].to_list():
            document.removeidfobject(obj)
    for day in days:
        document.add(DESIGN_DAY, day.name, dict(day.fields), validate=False)


def distance_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance of two places on the globe, given as latitude and longitude in degrees; km.

    Examples
    --------
    >>> round(distance_km((41.98, -87.92), (33.45, -111.98)))
    2309
    """
    (south, west), (north, east) = ((math.radians(angle) for angle in place) for place in (one, other))
    half = math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin((east - west) / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(half))
