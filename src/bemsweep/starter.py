"""The first study of someone's own model: a commented study file that runs as it stands.

Decides what is worth varying in a model, with which levels, and what to report. Every suggestion is checked
against the model by what `plan` checks with. Writes no file itself.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idfkit import IDFDocument, IDFObject
from idfkit.schema import EpJSONSchema

from bemsweep.description import in_a_line, method_of
from bemsweep.edit_checks import edit_problems
from bemsweep.edits import field_spec, read_field
from bemsweep.engine import Engine
from bemsweep.errors import ModelError, Problem, StudyError
from bemsweep.inventory import Examined, Inventory, examine
from bemsweep.model import model_calendar
from bemsweep.model_file import texts_of
from bemsweep.outputs import RunKind
from bemsweep.parameters import Field, Schedule
from bemsweep.places import label_of
from bemsweep.schedules import schedule_problems
from bemsweep.weather_checks import has_foreign_days

__all__ = ["write_study"]

_ACTIVE = 2
"""Suggestions that are left in force: so many parameters give a first answer soon."""

_RUNS: Mapping[RunKind, str] = {
    "annual": "1 January to 31 December",
    "run_period": "the model's own run periods",
    "design_day": "sizing days, a quick look",
}
"""Kinds of runs, the most telling first, and what they are."""

_FUELS = (
    "Electricity", "NaturalGas", "DistrictCooling", "DistrictHeatingWater", "DistrictHeatingSteam", "FuelOilNo1",
    "FuelOilNo2", "Propane", "Coal", "Diesel", "Gasoline", "OtherFuel1", "OtherFuel2",
)  # fmt: skip
_ARRAYS = {"NaturalGas": "gas"}
_END_USES = (
    "Heating:Electricity", "Heating:NaturalGas", "Heating:DistrictHeatingWater", "Cooling:Electricity",
    "Cooling:DistrictCooling", "Fans:Electricity", "InteriorLights:Electricity", "InteriorEquipment:Electricity",
)  # fmt: skip


@dataclass(frozen=True)
class _Wanted:
    """A field that is worth varying where a model has it."""

    parameter: str
    object: str
    fields: tuple[str, ...]
    """Alternatives, of which the objects' own method uses one."""
    factors: tuple[float, ...]


_GAINS = ("watts_per_floor_area", "watts_per_person")
_FLOWS = ("flow_rate_per_exterior_surface_area", "air_changes_per_hour", "flow_rate_per_floor_area", "design_flow_rate")
_FIRST = (
    _Wanted("lighting", "Lights", ("lighting_level", *_GAINS), (0.8, 0.6)),
    _Wanted("infiltration", "ZoneInfiltration:DesignFlowRate", _FLOWS, (0.5,)),
    _Wanted("infiltration", "ZoneInfiltration:EffectiveLeakageArea", ("effective_air_leakage_area",), (0.5,)),
    _Wanted("infiltration", "ZoneInfiltration:FlowCoefficient", ("flow_coefficient",), (0.5,)),
)
"""In force before all others; of one name the first that the model has."""

_LAST = (
    _Wanted("plug_loads", "ElectricEquipment", ("design_level", *_GAINS), (0.8,)),
    _Wanted("window_u_factor", "WindowMaterial:SimpleGlazingSystem", ("u_factor",), (0.7,)),
    _Wanted("window_solar_gain", "WindowMaterial:SimpleGlazingSystem", ("solar_heat_gain_coefficient",), (0.7,)),
    _Wanted(
        "outdoor_air", "DesignSpecification:OutdoorAir",
        ("outdoor_air_flow_per_zone_floor_area", "outdoor_air_flow_per_person", "outdoor_air_flow_per_zone",
         "outdoor_air_flow_air_changes_per_hour"), (0.8,),
    ),
    _Wanted("cooling_cop", "Coil:Cooling:DX:SingleSpeed", ("gross_rated_cooling_cop",), (1.2,)),
    _Wanted("cooling_cop", "Coil:Cooling:DX:TwoSpeed", ("high_speed_gross_rated_cooling_cop",), (1.2,)),
    _Wanted("cooling_cop", "Chiller:Electric:EIR", ("reference_cop",), (1.2,)),
    _Wanted("cooling_cop", "Chiller:Electric:ReformulatedEIR", ("reference_cop",), (1.2,)),
    _Wanted("heating_efficiency", "Coil:Heating:Fuel", ("burner_efficiency",), (1.1,)),
    _Wanted("heating_efficiency", "Boiler:HotWater", ("nominal_thermal_efficiency",), (1.1,)),
    _Wanted("heating_cop", "Coil:Heating:DX:SingleSpeed", ("gross_rated_heating_cop",), (1.2,)),
    _Wanted("fan_pressure", "Fan:VariableVolume", ("pressure_rise",), (0.8,)),
    _Wanted("fan_pressure", "Fan:ConstantVolume", ("pressure_rise",), (0.8,)),
    _Wanted("fan_pressure", "Fan:OnOff", ("pressure_rise",), (0.8,)),
)  # fmt: skip

_SETPOINTS = {
    "heating_setpoint": (
        [None, -1],
        ("ThermostatSetpoint:DualSetpoint", "heating_setpoint_temperature_schedule_name"),
        ("ThermostatSetpoint:SingleHeating", "setpoint_temperature_schedule_name"),
    ),
    "cooling_setpoint": (
        [None, 1],
        ("ThermostatSetpoint:DualSetpoint", "cooling_setpoint_temperature_schedule_name"),
        ("ThermostatSetpoint:SingleCooling", "setpoint_temperature_schedule_name"),
    ),
}
"""Parameter -> summands, and where a thermostat names its schedule."""


@dataclass(frozen=True)
class _Suggestion:
    """One parameter as the study file has it."""

    parameter: str
    setting: Mapping[str, Any]
    comment: str

    def line(self, *, is_active: bool) -> str:
        return f"  {'' if is_active else '# '}{self.parameter}: {in_a_line(self.setting)}  # {self.comment}"


def write_study(
    model: str | Path, epw: str | Path, *, file: Path = Path("study.yaml"), engine: Engine | str | None = None
) -> str:
    """Return the text of a study file for a model, with suggestions found in it, that runs as it stands.

    Parameters
    ----------
    model
        Path, URL or ``bundled:`` name of an IDF or epJSON; paths start from the current folder.
    epw
        The same of an EPW.
    file
        Where it will stand: its paths start from there. Nothing is written.
    engine
        Path of an installed EnergyPlus; None for the one that was installed with bemsweep.

    Raises
    ------
    InputError
        A file is not there, or cannot be had.
    ModelError
        A file is no model or no EPW.
    StudyError
        The model cannot be run as it is; says what to do, as a plan would.
    InfrastructureError
        The machine's fault.

    Side effects
    ------------
    Two engine runs of one day, if the model is not known yet; what they tell is kept in the user's cache folder.
    """
    found = examine(str(model), weather=str(epw), folder=Path.cwd(), engine=engine)
    problems = [*found.problems]
    if not problems and not _facility_meters(found.inventory) and not _zones(found):
        problems = [Problem(f"{model} reports neither energy nor zone temperatures: there is nothing to look at")]
    if problems:
        raise StudyError(problems)
    folder = file.resolve().parent
    return "\n".join(_lines(found, _seen_from(folder, str(model)), _seen_from(folder, str(epw)), file.name)) + "\n"


def _seen_from(folder: Path, spec: str) -> str:
    """Return a path as it is written in a file of `folder`; URLs and ``bundled:`` names as they are."""
    if spec.startswith("bundled:") or ("://" in spec and not spec.startswith("file://")):
        return spec
    path = Path(spec.removeprefix("file://")).expanduser().resolve()
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()


def _lines(found: Examined, model: str, epw: str, file: str) -> Iterator[str]:
    suggestions = list(_suggestions(found.document))
    look = f"bemsweep describe {shlex.quote(model)} --find"
    yield f"# A first study of {model}, which runs as it stands. Change it to what you want to know."
    yield f"#   bemsweep plan {shlex.quote(file)}             says what there is to run"
    yield f"#   bemsweep run {shlex.quote(file)} --limit 2    tries two variants; without --limit it runs all"
    yield ""
    yield f"name: {_study_name(found.source.source)}"
    yield f"baseline: {_text(model)}  # several: [one.idf, other.idf]"
    yield f"weather: {_text(epw)}  # several: [one.epw, other.epw]"
    if has_foreign_days(found.document, found.weather):
        yield "design_days: epw  # sized by days of this weather's header; model: by the model's own, of another city"
    yield from _run_lines(found)
    yield ""
    yield '# What varies: all combinations are run, and null is "as in the baseline". These were found in the model;'
    yield "# take away a '# ' to vary that too. For more to vary, with its names, values and limits:"
    yield f"#   {look} window"
    yield "parameters:" if suggestions else "parameters: {}"
    yield from (one.line(is_active=place < _ACTIVE) for place, one in enumerate(suggestions))
    yield ""
    yield "# What is kept of every variant. For all that the model reports, with its keys and units:"
    yield f"#   {look} 'air temperature'"
    yield "outputs:"
    yield from _output_lines(found)


def _text(spec: str) -> str:
    return spec if spec.startswith("bundled:") else in_a_line(spec)


def _study_name(source: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", label_of(source)).strip("-._")
    return stem[:100] or "study"


def _run_lines(found: Examined) -> Iterator[str]:
    first, *rest = _possible_runs(found)
    yield f"run: {first}  # {_RUNS[first]}"
    yield from (f"# run: {kind}  # {_RUNS[kind]}" for kind in rest)


def _possible_runs(found: Examined) -> list[RunKind]:
    possible = [kind for kind in _RUNS if _can_run(found, kind)]
    if not possible:
        source = found.source.source
        raise StudyError([Problem(f"{source}: the weather holds no whole year, and the model has nothing else to run")])
    return possible


def _can_run(found: Examined, kind: RunKind) -> bool:
    if kind == "annual" and not found.weather.facts.is_whole_year:
        return False
    try:
        model_calendar(found.document, kind, is_leap=found.weather.facts.is_leap, has_timestep=False)
    except ModelError:
        return False
    return True


def _output_lines(found: Examined) -> Iterator[str]:
    told = "area, energy by end use, peaks and unmet hours; not for run: design_day"
    is_weather_run = _possible_runs(found)[0] != "design_day"
    yield f"  {'' if is_weather_run else '# '}- summary  # {told}"
    for fuel in _facility_meters(found.inventory):
        as_name = _ARRAYS.get(fuel, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", fuel).lower())
        yield f"  - {in_a_line({'meter': f'{fuel}:Facility', 'frequency': 'hourly', 'as': as_name})}  # J in each hour"
    zones = _zones(found)
    if zones:
        temperature = {"variable": "Zone Mean Air Temperature", "key": zones[0], "frequency": "hourly"}
        every = f"; without key: all {len(zones)} zones" if len(zones) > 1 else ""
        yield f"  - {in_a_line({**temperature, 'as': 'temperature'})}  # C{every}"
    yield "  # - {variable: Site Outdoor Air Drybulb Temperature, frequency: hourly, as: outdoor}  # C"
    for use in _END_USES:
        if any(meter.meter == use for meter in found.inventory.meters):
            yield f"  # - {in_a_line({'meter': use, 'frequency': 'monthly'})}  # J in each month"


def _facility_meters(inventory: Inventory) -> list[str]:
    known = {meter.meter for meter in inventory.meters}
    return [fuel for fuel in _FUELS if f"{fuel}:Facility" in known]


def _zones(found: Examined) -> list[str]:
    """Return the zones whose temperature is reported, those with a thermostat first."""
    keys = [one.key for one in found.inventory.variables if one.variable == "Zone Mean Air Temperature"]
    named = {text.casefold() for obj in found.document["ZoneControl:Thermostat"] for text in texts_of(obj)}
    for zone_list in found.document["ZoneList"]:
        if zone_list.name.casefold() in named:
            named |= {text.casefold() for text in texts_of(zone_list)}
    return sorted(keys, key=lambda key: key.casefold() not in named)


# What is worth varying


def _suggestions(document: IDFDocument[bool]) -> Iterator[_Suggestion]:
    """Yield what can be varied in this model, the most telling first, each parameter once."""
    told: set[str] = set()
    candidates = (
        *(one for wanted in _FIRST for one in _scaled(document, wanted)),
        *(_insulation(document, parameter, surface) for parameter, surface in _INSULATED.items()),
        *(_setpoint(document, parameter) for parameter in _SETPOINTS),
        _orientation(document),
        *(one for wanted in _LAST for one in _scaled(document, wanted)),
    )
    for suggestion in candidates:
        is_new = suggestion is not None and suggestion.parameter not in told
        if suggestion is not None and is_new and _is_right(document, suggestion):
            told.add(suggestion.parameter)
            yield suggestion


def _is_right(document: IDFDocument[bool], suggestion: _Suggestion) -> bool:
    """Return True if a plan would accept it."""
    if "schedule" in suggestion.setting:
        schedule = Schedule(**suggestion.setting)
        numbers = [level for level in schedule.levels or () if isinstance(level, (int, float))]
        return not schedule_problems(document, schedule.schedule, operation=schedule.operation, values=numbers)
    field = Field(**suggestion.setting)
    edits = [edit for level in field.levels or () if level is not None for edit in field.edits(level, {})]
    return not edit_problems(document, edits)


def _scaled(document: IDFDocument[bool], wanted: _Wanted) -> Iterator[_Suggestion]:
    """Yield a suggestion for the field that most objects use, then one for those of the commonest value only.

    The second is for models where some of the objects leave the field blank.
    """
    schema: EpJSONSchema = document.schema
    objects = list(document[wanted.object])
    used: dict[str, list[tuple[IDFObject, float]]] = {}
    for field in wanted.fields:
        spec = field_spec(schema, wanted.object, field)
        for obj in objects:
            value = None if spec is None else read_field(obj, spec)
            if isinstance(value, (int, float)) and value > 0 and not method_of(schema, obj, field)[2]:
                used.setdefault(field, []).append((obj, float(value)))
    if not used:
        return
    field = max(used, key=lambda name: len(used[name]))
    setting: dict[str, Any] = {"object": wanted.object, "field": field}
    where: dict[str, Any] = {}
    if len(used[field]) < len(objects):
        choice, chosen, _ = method_of(schema, used[field][0][0], field)
        where = {choice: chosen} if choice else {}
    values = [value for _, value in used[field]]
    every = {**setting, "where": where} if where else setting
    yield _with_levels(document, wanted.parameter, every, values, wanted.factors)
    commonest, _ = Counter(values).most_common(1)[0]
    some = {**setting, "where": {**where, field: commonest}}
    yield _with_levels(document, wanted.parameter, some, [commonest], wanted.factors)


def _with_levels(
    document: IDFDocument[bool],
    parameter: str,
    setting: Mapping[str, Any],
    values: list[float],
    factors: tuple[float, ...],
    *,
    comment: str = "",
) -> _Suggestion:
    """Return the suggestion with values to set if all objects have one, else with factors."""
    spec = field_spec(document.schema, setting["object"], setting["field"])
    units = f" {spec.units}" if spec is not None and spec.units else ""
    low, high = min(values), max(values)
    if low == high:
        levels: dict[str, Any] = {"values": [None, *(float(f"{low * factor:.3g}") for factor in factors)]}
        told = f"now {low:.4g}{units}"
    else:
        levels = {"multiply": [None, *factors]}
        told = f"factors; now {low:.4g} to {high:.4g}{units}"
    return _Suggestion(parameter, {**setting, **levels}, f"{told}{comment}")


_INSULATED = {"wall_insulation": "Wall", "roof_insulation": "Roof"}
_INSULATES = 0.5
"""A layer that resists less, m2-K/W, is no insulation: that of an attic's roof lies on the floor below."""
_SURFACES = {
    "Wall": ("Wall:Exterior",),
    "Roof": ("Roof",),
}
"""Types whose objects are all outdoors."""


def _insulation(document: IDFDocument[bool], parameter: str, surface: str) -> _Suggestion | None:
    """Return the suggestion for the layer that resists most in the construction that most outer surfaces have."""
    outer = [
        obj
        for object_type in ("BuildingSurface:Detailed", "Wall:Detailed", "RoofCeiling:Detailed")
        for obj in document[object_type]
        if str(obj.data.get("outside_boundary_condition", "")).casefold() == "outdoors"
        and str(obj.data.get("surface_type") or ("Wall" if object_type == "Wall:Detailed" else "Roof")).casefold()
        == surface.casefold()
    ]
    outer += [obj for object_type in _SURFACES[surface] for obj in document[object_type]]
    constructions = Counter(str(obj.data.get("construction_name", "")).casefold() for obj in outer)
    layers = [
        (resistance, material)
        for name, _ in constructions.most_common(1)
        for material in _layers(document, name)
        for resistance in [_resistance(material)]
        if resistance is not None
    ]
    resistance, material = max(layers, key=lambda layer: layer[0], default=(0.0, None))
    if material is None or resistance < _INSULATES:
        return None
    comment = f", the {surface.lower()}s' insulation"
    setting = {"object": material.obj_type, "name": material.name}
    if material.obj_type == "Material:NoMass":
        setting["field"] = "thermal_resistance"
        return _with_levels(document, parameter, setting, [resistance], (2.0,), comment=comment)
    setting["field"] = "conductivity"
    return _with_levels(document, parameter, setting, [material.data["conductivity"]], (0.5,), comment=comment)


def _layers(document: IDFDocument[bool], construction: str) -> Iterator[IDFObject]:
    named = {
        obj.name.casefold(): obj for object_type in ("Material", "Material:NoMass") for obj in document[object_type]
    }
    for obj in document["Construction"]:
        if obj.name.casefold() == construction:
            layers = (value.casefold() for value in obj.data.values() if isinstance(value, str))
            yield from (named[layer] for layer in layers if layer in named)


def _resistance(material: IDFObject) -> float | None:
    """Return the thermal resistance of a layer, m2-K/W, or None where it is not given."""
    data = material.data
    if material.obj_type == "Material:NoMass":
        value = data.get("thermal_resistance")
        return value if isinstance(value, (int, float)) else None
    thickness, conductivity = data.get("thickness"), data.get("conductivity")
    if isinstance(thickness, (int, float)) and isinstance(conductivity, (int, float)) and conductivity > 0:
        return thickness / conductivity
    return None


def _orientation(document: IDFDocument[bool]) -> _Suggestion | None:
    building = document["Building"].first()
    if building is None:
        return None
    now = building.data.get("north_axis")
    levels = {"add": [None, 90]} if isinstance(now, (int, float)) else {"values": [None, 90]}
    return _Suggestion(
        "orientation",
        {"object": "Building", "field": "north_axis", **levels},
        f"degrees clockwise; now {now if isinstance(now, (int, float)) else 0:g}",
    )


def _setpoint(document: IDFDocument[bool], parameter: str) -> _Suggestion | None:
    """Return the suggestion for the schedule that most thermostats name."""
    summands, *places = _SETPOINTS[parameter]
    named = Counter(
        str(name) for object_type, field in places for obj in document[object_type] if (name := obj.data.get(field))
    )
    if not named:
        return None
    schedule, count = named.most_common(1)[0]
    others = f", one of {len(named)} such schedules" if len(named) > 1 else ""
    setting = {"schedule": schedule, "add": summands}
    return _Suggestion(parameter, setting, f"K; set point of {count} thermostat{'s' if count > 1 else ''}{others}")
