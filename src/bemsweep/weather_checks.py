"""What stands against, or deserves a look, when models meet weather of another place or year.

Decides which weather is foreign to a model and what of the model stays its old city's; the plan tells it, once
for a study. Never reads a file and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from idfkit import IDFDocument

from bemsweep.design_days import SIZING_PERIODS, distance_km, has_conditions
from bemsweep.errors import Problem
from bemsweep.inputs import WeatherInput
from bemsweep.periods import Calendar
from bemsweep.study import Study

__all__ = ["NEARBY_KM", "design_day_counts", "edited_days_problems", "has_foreign_days", "weather_warnings"]

NEARBY_KM = 50.0
"""Within this a weather station is taken for the model's own.

O'Hare's old and new coordinates lie 27 km apart and two stations of Denver 37 km, with design temperatures that
differ by about 1 K; the next city with a climate of its own is farther.
"""
_SHOWN = 3

_Place = tuple[str, tuple[float, float]]


def weather_warnings(
    documents: Iterable[IDFDocument[bool]], weather: Mapping[str, WeatherInput], calendar: Calendar
) -> Iterator[str]:
    """Tell what of the models does not fit the weather: design days, ground and water temperatures, weekdays.

    Parameters
    ----------
    documents
        The baselines.
    weather
        By label.
    calendar
        What is simulated.
    """
    by_place: dict[_Place, list[IDFDocument[bool]]] = {}
    for document in documents:
        if (place := _place(document)) is not None:
            by_place.setdefault(place, []).append(document)
    for (city, position), models in by_place.items():
        far = {label: distance_km(position, entry.facts.position) for label, entry in weather.items()}
        far = {label: km for label, km in far.items() if km > NEARBY_KM}
        yield from _foreign_days(
            city, {label: km for label, km in far.items() if not weather[label].design_days}, weather
        )
        kept = sorted({name for model in models for name in _local_objects(model)})
        if far and kept:
            yield (
                f"{_listed(kept, shown=len(kept))} of the model {_are(kept)} those of {city} under weather"
                f" {_quoted(far)} too: nothing changes them with the weather but a parameter"
            )
    yield from _other_weekdays(weather, calendar)


def has_foreign_days(document: IDFDocument[bool], weather: WeatherInput) -> bool:
    """Return True if the model's design days are of another city than `weather`, whose header describes its own."""
    place = _place(document)
    is_far = place is not None and distance_km(place[1], weather.facts.position) > NEARBY_KM
    return is_far and has_conditions(weather.facts.design_conditions)


def design_day_counts(study: Study, weather: Mapping[str, WeatherInput]) -> list[int]:
    """Return how many design days the study's runs have under its weather, each number once; 0 for the model's own.

    Parameters
    ----------
    study
        What is wanted.
    weather
        By label.
    """
    if study.run != "design_day":
        return [0]
    return sorted({len(entry.design_days) for entry in weather.values()} or {0})


def edited_days_problems(
    study: Study, parameter: str, object_type: str, weather: Mapping[str, WeatherInput]
) -> Iterator[Problem]:
    """Tell a parameter that edits design days of a model which the study replaces.

    Parameters
    ----------
    study
        What is wanted.
    parameter
        The parameter's name.
    object_type
        What it edits.
    weather
        By label.
    """
    replaced = [label for label, entry in weather.items() if entry.design_days]
    if replaced and object_type.casefold() in (name.casefold() for name in SIZING_PERIODS):
        told = f"{object_type} is replaced by `design_days` under weather {_quoted(replaced)}: leave one of both out"
        yield study.problem(told, "parameters", parameter)


def _place(document: IDFDocument[bool]) -> _Place | None:
    location = document["Site:Location"].first()
    if location is None:
        return None
    latitude, longitude = (location.data.get(field) for field in ("latitude", "longitude"))
    if not isinstance(latitude, (int, float)) or not isinstance(longitude, (int, float)):
        return None
    return location.name, (float(latitude), float(longitude))


def _foreign_days(city: str, far: Mapping[str, float], weather: Mapping[str, WeatherInput]) -> Iterator[str]:
    if not far:
        return
    has_header = all(has_conditions(weather[label].facts.design_conditions) for label in far)
    way = "design_days: epw" if has_header else "design_days: {ddy: FILE}"
    kilometres = " to ".join(dict.fromkeys(f"{km:,.0f}" for km in (min(far.values()), max(far.values()))))
    yield (
        f"weather {_quoted(far)} {_are(far)} {kilometres} km from the city of the model's design days, {city}:"
        f" sizing follows these days, so what is autosized has the wrong size; use {way}"
    )


def _local_objects(document: IDFDocument[bool]) -> Iterator[str]:
    """Return the types of objects that hold a place's temperatures."""
    for object_type, objects in document.items():
        if object_type.startswith("Site:GroundTemperature:") and objects:
            yield object_type
    for mains in document["Site:WaterMainsTemperature"]:
        if str(mains.data.get("calculation_method")).casefold() != "correlationfromweatherfile":
            yield "Site:WaterMainsTemperature"


def _other_weekdays(weather: Mapping[str, WeatherInput], calendar: Calendar) -> Iterator[str]:
    if len(calendar.periods) != 1 or (calendar.periods[0].begin.month, calendar.periods[0].begin.day) != (1, 1):
        return
    begin = calendar.periods[0].begin
    for label, entry in weather.items():
        year = entry.facts.actual_year
        if year is not None and begin.replace(year=year).weekday() != begin.weekday():
            yield (
                f"weather {label!r} is the year {year}, which began on a {begin.replace(year=year):%A}, and the model's"
                f" year begins on a {begin:%A}: schedules follow the model's (RunPeriod, day_of_week_for_start_day)"
            )


def _quoted(labels: Iterable[str]) -> str:
    return _listed([repr(label) for label in labels])


def _listed(words: Sequence[str], *, shown: int = _SHOWN) -> str:
    words = [*words[:shown], f"{len(words) - shown} more"] if len(words) > shown else list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _are(several: Iterable[str]) -> str:
    return "are" if len(list(several)) > 1 else "is"
