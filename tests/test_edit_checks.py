from __future__ import annotations

import time
from pathlib import Path

import pytest
from idfkit import new_document
from pyenergyplus.dataset import ref_models

from bemsweep.edit_checks import StudyEdits, edit_problems
from bemsweep.editing import apply_edits
from bemsweep.edits import FieldEdit
from bemsweep.model import read_model

DENSITY = "watts_per_floor_area"
FLOW = "flow_rate_per_exterior_surface_area"
METHOD = "design_level_calculation_method"
SURFACE = "BuildingSurface:Detailed"
INFILTRATION = "ZoneInfiltration:DesignFlowRate"


@pytest.fixture(scope="module")
def office():
    return read_model(Path(ref_models["small_office"]))


def edit(object_type="Lights", field=DENSITY, operation="set", value=6, **rest):
    return FieldEdit(object_type, field, operation, value, **rest)


@pytest.mark.parametrize(
    "right",
    [
        edit(),
        edit("lights", "Watts per Floor Area", name="perimeter*"),
        edit(operation="multiply", value=0),
        edit(field="schedule_name", value="bldg_light_sch"),
        edit(field="end_use_subcategory", value="Task"),
        edit("Building", "north_axis", "add", 90),
        edit("Building", "terrain", value="CITY"),
        edit("SimulationControl", "do_zone_sizing_calculation", value=False),
        edit("Sizing:Zone", "zone_cooling_sizing_factor", value=1.1, where=(("zone_or_zonelist_name", "core*"),)),
        edit("AirTerminal:SingleDuct:ConstantVolume:NoReheat", "maximum_air_flow_rate", value="autosize"),
        edit("AirTerminal:SingleDuct:ConstantVolume:NoReheat", "maximum_air_flow_rate", value=1),
        edit(SURFACE, "vertex_3_z_coordinate", value=3, where=(("surface_type", "Wall"),)),
        edit("FenestrationSurface:Detailed", "construction_name", value="Window Non-res Fixed"),
        edit(
            INFILTRATION, FLOW, "multiply", 0.5, where=(("design_flow_rate_calculation_method", "Flow/ExteriorArea"),)
        ),
    ],
)
def test_what_is_right_passes(office, right):
    assert edit_problems(office, [right]) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (edit("Ligths"), "EnergyPlus has no object type 'Ligths' (did you mean 'Lights'?)."),
        (edit("SteamEquipment"), "The model has no object of type SteamEquipment"),
        (edit(name="Core_ZN_Ligts"), "named 'Core_ZN_Ligts' (did you mean 'Core_ZN_Lights'?)."),
        (edit(name="nobody"), "is named 'nobody'; there are 'Core_ZN_Lights'"),
        (edit("Sizing:Zone", "zone_cooling_sizing_factor", name="core*"), "have no name; choose among them with where"),
        (edit(field="watts_per_floor_aera"), "(did you mean 'watts_per_floor_area'?)."),
        (edit(SURFACE, "vertex_1_w_coordinate"), "has no field 'vertex_1_w_coordinate'"),
        (edit(field="name", value="x"), "The name of Lights cannot be edited"),
        (edit(where=(("colour", "red"),)), "Lights has no field 'colour'"),
        (edit(SURFACE, "view_factor_to_ground", where=(("surface_type", "Wal"),)), "(did you mean 'Wall'?)"),
        (edit(SURFACE, "view_factor_to_ground", where=(("number_of_vertices", 77),)), "there it is 4.0"),
        (edit(value="six"), "takes a number, not the text 'six'"),
        (edit(value="6"), "takes a number, not the text '6'"),
        (edit(value=True), "takes a number, not True"),
        (edit(value=float("nan")), "takes a number, not nan"),
        (edit(value=float("inf")), "takes a number, not inf"),
        (edit(operation="multiply", value=float("nan")), "Cannot multiply"),
        (edit(value="Autosize"), "EnergyPlus does not size it"),
        (edit(value=-1), "cannot be -1 W/m2: it must be at least 0"),
        (edit(field="fraction_radiant", value=1.1), "it must be at most 1"),
        (edit("Building", "loads_convergence_tolerance_value", value=0), "it must be greater than 0"),
        (edit("Timestep", "number_of_timesteps_per_hour", value=4.5), "takes a whole number"),
        (edit("Building", "terrain", value="suburb"), "(did you mean 'Suburbs'?); it takes City, Country"),
        (edit("Building", "terrain", value=3), "takes one of City"),
        (edit(field="end_use_subcategory", value=3), "takes text, not 3"),
        (edit(field="end_use_subcategory", value="a,b"), "cannot hold ','"),
        (edit(field="schedule_name", value="bldg_lite_sch"), "has no such object (did you mean 'BLDG_LIGHT_SCH'?)."),
        (edit("FenestrationSurface:Detailed", "construction_name", value="air"), "has no such object"),
        (edit("Zone", "multiplier", "multiply", 0.5), "takes a whole number"),
        (edit(operation="multiply", value=-1), "that is what multiply -1 makes of 10.76"),
        (edit("Fan:ConstantVolume", "maximum_flow_rate", "add", 1), "it is AUTOSIZE, not a number; set it instead"),
        (edit("Building", "terrain", "multiply", 2), "nothing to multiply"),
        (edit(SURFACE, "vertex_9_z_coordinate"), "has 4 groups"),
    ],
)
def test_what_is_wrong_is_told(office, wrong, message):
    found = edit_problems(office, [wrong])
    assert any(message in problem for problem in found), found
    assert all(problem.endswith(".") for problem in found)


def test_a_blank_field_cannot_be_multiplied_and_its_default_is_told(office):
    document = new_document((25, 2, 0))
    document.add("Pump:VariableSpeed", "pump", validate=False)
    (problem,) = edit_problems(document, [edit("Pump:VariableSpeed", "motor_efficiency", "multiply", 0.9)])
    assert "is blank and EnergyPlus uses its default 0.9" in problem
    filled = edit("Pump:VariableSpeed", "motor_efficiency", value=0.8)
    halved = edit("Pump:VariableSpeed", "motor_efficiency", "multiply", 0.9)
    assert edit_problems(document, [halved], all_edits=StudyEdits([filled, halved], document.schema)) == []


def test_a_required_field_cannot_be_left_blank(office):
    found = edit_problems(office, [edit("Material", "thickness", value="")])
    assert found == ["thickness of Material is required and cannot be left blank."]


def test_a_field_that_the_method_ignores_is_refused(office):
    (problem,) = edit_problems(office, [edit(field="watts_per_person")])
    assert "would change nothing, because design_level_calculation_method is Watts/Area" in problem
    assert "edit watts_per_floor_area, or also set design_level_calculation_method to Watts/Person" in problem


def test_a_field_that_the_method_ignores_passes_if_the_method_is_set_too(office):
    ignored = edit(field="watts_per_person")
    assert (
        edit_problems(
            office, [ignored], all_edits=StudyEdits([edit(field=METHOD, value="watts/person")], office.schema)
        )
        == []
    )
    assert (
        edit_problems(
            office, [ignored], all_edits=StudyEdits([edit(field=METHOD, value="LightingLevel")], office.schema)
        )
        != []
    )
    partly = edit(field=METHOD, value="Watts/Person", name="Core*")
    (problem,) = edit_problems(office, [ignored], all_edits=StudyEdits([partly], office.schema))
    assert "and 3 more" in problem


def test_each_problem_is_told_once_however_many_values_there_are(office):
    assert len(edit_problems(office, [edit("Ligths", value=value) for value in range(5)])) == 1
    assert len(edit_problems(office, [edit(field="watts_per_person", value=value) for value in range(5)])) == 1
    assert len(edit_problems(office, [edit(value=-1.0), edit(value=-2.0), edit(value=3.0)])) == 2


def test_many_values_are_checked_in_little_time(office):
    edits = [edit(value=number / 1000) for number in range(20_000)]
    begin = time.perf_counter()
    assert edit_problems(office, edits, all_edits=StudyEdits(edits, office.schema)) == []
    assert time.perf_counter() - begin < 5


def test_the_model_is_left_as_it_was(office):
    before = [obj.to_dict() for obj in office.all_objects]
    edit_problems(office, [edit(), edit(SURFACE, "vertex_9_z_coordinate"), edit(field="watts_per_person")])
    assert [obj.to_dict() for obj in office.all_objects] == before


def test_what_passes_can_be_applied(office):
    document = read_model(Path(ref_models["small_office"]))
    edits = [edit(value=4), edit(INFILTRATION, FLOW, "multiply", 2, name="perimeter*")]
    assert edit_problems(document, edits) == []
    apply_edits(document, edits, {})
    assert {obj.data[DENSITY] for obj in document["Lights"]} == {4.0}


def test_an_object_without_a_name_is_known_by_what_it_belongs_to(office):
    (problem,) = edit_problems(office, [edit("Sizing:Zone", "cooling_design_air_flow_rate", value=1)])
    assert "of Sizing:Zone 'Core_ZN' and" in problem


@pytest.mark.parametrize("name", ["small_office", "hospital"])
def test_what_stands_in_a_model_that_runs_is_never_refused_for_its_value(name):
    document = read_model(Path(ref_models[name]))
    told = set()
    for obj in document.all_objects:
        for field, value in obj.data.items():
            if obj.obj_type != "Version" and not isinstance(value, list) and value != "":
                told.update(edit_problems(document, [edit(obj.obj_type, field, value=value, name=obj.name or "*")]))
    assert [problem for problem in told if "would change nothing" not in problem] == []
