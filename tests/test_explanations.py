"""Explanations against what really happens: each failure below is provoked on the real engine."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pyenergyplus
import pytest

from bemsweep.errors import ModelError
from bemsweep.explanations import EXPLANATIONS, explain
from bemsweep.host_client import open_engine
from bemsweep.outcome import judge
from bemsweep.outputs import Output
from bemsweep.scratch import open_scratch
from engine_jobs import calling, job

LIBRARY = Path(pyenergyplus.__file__).parent.parent / "libenergyplusapi.so"


@pytest.fixture(scope="module")
def engine():
    with open_engine() as opened:
        yield opened


def ended(engine, one, *, timeout_s=60.0):
    """Return status and message of a job that the real engine does."""
    with open_scratch() as scratch:
        return judge(engine.run(one, scratch, timeout_s=timeout_s))


def setter(object_type, **fields):
    """Return an edit that writes fields of every object of a type, unchecked."""

    def edit(document, _):
        for obj in document[object_type]:
            obj.data.update(fields)

    return edit


def remover(object_type):
    def edit(document, _):
        for obj in list(document[object_type]):
            document.removeidfobject(obj)

    return edit


def leave_blank(document, _):
    del document["Material"]["1IN Stucco"].data["conductivity"]


def thicken(document, _):
    document["Material"]["1IN Stucco"].data.update(thickness=3.0, conductivity=0.02, density=2000.0)


def swap_setpoints(document, _):
    for thermostat in document["ThermostatSetpoint:DualSetpoint"]:
        heating, cooling = (f"{kind}_setpoint_temperature_schedule_name" for kind in ("heating", "cooling"))
        thermostat.data[heating], thermostat.data[cooling] = thermostat.data[cooling], thermostat.data[heating]


def flatten(document, _):
    for vertex in document["BuildingSurface:Detailed"]["Attic_floor_core"].extensible_items():
        vertex.update(vertex_x_coordinate=0.0, vertex_z_coordinate=0.0)


def cut_schedule(document, _):
    document["Schedule:Compact"]["BLDG_LIGHT_SCH"].extensible_items()[0]["field"] = "Through: 6/30"


def disconnect(document, _):
    document["Fan:ConstantVolume"].first().data["air_inlet_node_name"] = "Elsewhere"


def break_down(_, value):
    raise KeyError(value)


def crash(*_):
    os.kill(os.getpid(), signal.SIGSEGV)


PROVOKED = {
    "out of range": (setter("Lights", watts_per_floor_area=-5.0), "Expected number", "out of the range"),
    "other word": (setter("Building", terrain="Moon"), "enum values", "takes a few words only"),
    "blank": (leave_blank, "Missing required property", "left a required field blank"),
    "text": (setter("Material", thickness="thick"), "not permitted by 'type'", "wrote a text where"),
    "fractions": (setter("Lights", fraction_radiant=0.9, fraction_visible=0.5), "Sum of Fractions", "add up to more"),
    "no schedule": (setter("Lights", schedule_name="NONE"), "item not found", "does not have"),
    "no construction": (
        setter("BuildingSurface:Detailed", construction_name="NONE"),
        'invalid Construction Name="NONE"',
        "does not have",
    ),
    "no wall": (
        setter("FenestrationSurface:Detailed", building_surface_name="NONE"),
        "invalid Building Surf",
        "does not have",
    ),
    "no zone": (
        setter("People", zone_or_zonelist_or_space_or_spacelist_name="NONE"),
        "invalid zone_or_zonelist",
        "does not have",
    ),
    "no material": (setter("Construction", outside_layer="NONE"), "item not found", "does not have"),
    "no curve": (
        setter("Coil:Cooling:DX:SingleSpeed", total_cooling_capacity_function_of_temperature_curve_name="NONE"),
        "Curve Name=",
        "does not have",
    ),
    "half a schedule": (cut_schedule, "missing days", "does not cover every day"),
    "no node": (disconnect, "Node Connection Error", "has no counterpart"),
    "outdoor air": (
        setter("Controller:OutdoorAir", minimum_outdoor_air_flow_rate=50.0, maximum_outdoor_air_flow_rate=1.0),
        "minimum outdoor air flow rate",
        "is above its maximum",
    ),
    "large windows": (
        setter("FenestrationSurface:Detailed", multiplier=200.0),
        "too much area",
        "larger than their wall",
    ),
    "flat surface": (flatten, "Surface Area <= 0.0", "without area"),
    "thick layer": (thicken, "CTF calculation", "Material:NoMass"),
    "great gains": (setter("Lights", watts_per_floor_area=1e7), "out of bounds", "ran away"),
    "setpoints": (swap_setpoints, "set-point", "heating setpoint is above"),
    "no design days": (remover("SizingPeriod:DesignDay"), "no design environments", "has no design days"),
    "no zone sizing": (remover("Sizing:Zone"), "did not request Zone Sizing", "Sizing:Zone"),
    "no system sizing": (remover("Sizing:System"), "system sizing run must be done", "Sizing:System"),
    "no plant sizing": (remover("Sizing:Plant"), "Sizing:Plant", "Sizing:Plant"),
    "Python": (break_down, "KeyError", "Python code raised this"),
    "crash of an edit": (crash, "an edit ended", "crashed the process"),
}


@pytest.mark.engine
@pytest.mark.parametrize(("edit", "said", "advised"), PROVOKED.values(), ids=PROVOKED)
def test_what_really_fails_is_explained(engine, edit, said, advised):
    status, message = ended(engine, calling(edit))
    assert status == "failed"
    assert said in message
    assert advised in explain(status, message)


@pytest.mark.engine
def test_a_missing_output_is_explained(engine):
    gas = Output("meter", "DistrictCooling:Facility", "hourly", "gas")
    status, message = ended(engine, job(outputs=(gas,)))
    assert (status, "does not report" in message) == ("failed", True)
    assert "`optional: true`" in explain(status, message)


@pytest.mark.engine
def test_another_time_axis_is_explained(engine):
    status, message = ended(engine, calling(remover_of_a_day))
    assert (status, "time axis" in message) == ("failed", True)
    assert "keep them the same in all variants" in explain(status, message)


def remover_of_a_day(document, _):
    document.removeidfobject(next(iter(document["SizingPeriod:DesignDay"])))


@pytest.mark.engine
def test_a_time_out_is_explained(engine):
    status, message = ended(engine, job(), timeout_s=0.05)
    assert status == "timed_out"
    assert "raise it and run again" in explain(status, message)


def test_a_crash_is_explained_by_what_came_before():
    assert "defect of EnergyPlus" in explain("failed", "EnergyPlus died of SIGSEGV (signal 11)")
    before = "EnergyPlus died of SIGSEGV (signal 11) after: Lights = CORE Schedule Name = NONE, item not found."
    assert "does not have" in explain("failed", before)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("failed", ""),
        ("failed", "EnergyPlus ended with a fatal error and no message"),
        ("failed", "SimHVAC: something that nobody has seen: Name is unusual"),
        ("succeeded", ""),
    ],
)
def test_what_is_not_known_is_not_explained(status, message):
    assert explain(status, message) == ""


@pytest.mark.skipif(not LIBRARY.is_file(), reason="reads the library of the wheel for Linux")
def test_the_engine_has_every_text_that_patterns_rely_on():
    content = LIBRARY.read_bytes()
    assert [one.source for one in EXPLANATIONS if one.source.encode() not in content] == []


def test_every_explanation_is_one_sentence_that_its_own_text_gets():
    for one in EXPLANATIONS:
        assert one.advice.count(". ") == 0
        assert not one.advice.endswith(".")
        assert one.source or re.search(r"\^|died of", one.pattern)


def test_a_model_error_is_not_taken_for_python():
    error = ModelError("the edit of Lights.watts_per_floor_area matches no object of the model")
    assert explain("failed", str(error)) == ""


def test_a_run_that_outgrew_its_memory_is_explained():
    assert "`max_memory`: raise it" in explain("out_of_memory", "stopped at 2,098 MiB of memory")
