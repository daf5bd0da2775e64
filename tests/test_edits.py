from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idfkit import new_document
from idfkit.schema import get_schema
from pyenergyplus.dataset import ref_models

from bemsweep.editing import apply_edits
from bemsweep.edits import CallEdit, FieldEdit, field_spec, normalised, read_field
from bemsweep.errors import ModelError
from bemsweep.model import read_model, write_model

SCHEMA = get_schema((25, 2, 0))
SMALL_OFFICE = Path(ref_models["small_office"])


@pytest.fixture
def office():
    return read_model(SMALL_OFFICE)


def lights(document):
    return {obj.name: obj.data["watts_per_floor_area"] for obj in document["Lights"]}


def edit(object_type="Lights", field="watts_per_floor_area", operation="set", value=6, **rest):
    return FieldEdit(object_type, field, operation, value, **rest)


def test_set_multiply_and_add_in_order(office):
    before = lights(office)
    apply_edits(office, [edit(value=4), edit(operation="multiply", value=2), edit(operation="add", value=0.5)], {})
    assert lights(office) == dict.fromkeys(before, 8.5)


def test_types_names_and_fields_are_found_in_any_case_and_as_labels(office):
    apply_edits(office, [edit("LIGHTS", "Watts per Floor Area", name="PERIMETER_zn_?_LIGHTS")], {})
    changed = {name for name, value in lights(office).items() if value == 6}
    assert changed == {f"Perimeter_ZN_{number}_Lights" for number in range(1, 5)}


def test_where_compares_numbers_as_numbers_and_text_as_patterns(office):
    glass = edit(
        "FenestrationSurface:Detailed", "frame_and_divider_name", value="", where=(("surface_type", "glass*"),)
    )
    apply_edits(office, [edit(value=3, where=(("watts_per_floor_area", "10.76"), ("fraction_visible", 0.2)))], {})
    assert set(lights(office).values()) == {3.0}
    apply_edits(office, [glass], {})
    assert glass.where[0][0] == "surface_type"


def test_where_takes_a_blank_field_for_its_default():
    document = new_document((25, 2, 0))
    document.add("Fan:SystemModel", "fan", {"design_maximum_air_flow_rate": 1.0}, validate=False)
    target = edit("Fan:SystemModel", "motor_efficiency", value=0.5, where=(("speed_control_method", "Discrete"),))
    apply_edits(document, [target], {})
    assert document["Fan:SystemModel"][0].data["motor_efficiency"] == 0.5
    with pytest.raises(ModelError, match="matches no object"):
        apply_edits(document, [edit("Fan:SystemModel", "motor_efficiency", where=(("motor_efficiency", ""),))], {})


@pytest.mark.parametrize("field", ["vertex_3_z_coordinate", "vertex_z_coordinate_3", "Vertex 3 Z-coordinate"])
def test_fields_of_groups_are_edited_without_a_warning(office, field):
    name = office["BuildingSurface:Detailed"][0].name
    apply_edits(office, [edit("BuildingSurface:Detailed", field, value=2.5, name=name)], {})
    heights = [group.vertex_z_coordinate for group in office["BuildingSurface:Detailed"][0].vertices]
    assert heights[2] == 2.5
    assert heights.count(2.5) == 1


def test_a_group_that_is_not_there_is_refused(office):
    with pytest.raises(ModelError, match="has 4 groups"):
        apply_edits(office, [edit("BuildingSurface:Detailed", "vertex_9_z_coordinate")], {})


def test_a_field_whose_name_ends_in_an_underscore(office):
    field = "ASHRAE Clear Sky Optical Depth for Beam Irradiance (taub)"
    apply_edits(office, [edit("SizingPeriod:DesignDay", field, value=0.4)], {})
    stored = {
        obj.data["ashrae_clear_sky_optical_depth_for_beam_irradiance_taub_"] for obj in office["SizingPeriod:DesignDay"]
    }
    assert stored == {0.4}


def test_calls_get_the_model_and_the_value(office):
    def dim(document, value):
        for obj in document["Lights"]:
            obj.watts_per_floor_area = value

    apply_edits(office, [CallEdit("mine:dim", 2.0), edit(operation="add", value=1)], {"mine:dim": dim})
    assert set(lights(office).values()) == {3.0}


def test_an_edit_after_a_call_that_left_nothing_to_edit_fails(office):
    def clear(document, value):
        for obj in list(document["Lights"]):
            document.removeidfobject(obj)

    with pytest.raises(ModelError, match="matches no object"):
        apply_edits(office, [CallEdit("mine:clear", 0), edit()], {"mine:clear": clear})


def test_a_call_that_returns_another_model_is_told(office):
    with pytest.raises(ModelError, match="in place"):
        apply_edits(office, [CallEdit("mine:copy", 0)], {"mine:copy": lambda document, value: document.copy()})
    with pytest.raises(ModelError, match="not at hand"):
        apply_edits(office, [CallEdit("mine:gone", 0)], {})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (edit("Ligths"), "did you mean 'Lights'"),
        (edit(field="wats"), "no field 'wats'"),
        (edit(field="name", value="x"), "no field 'name'"),
        (edit(name="nobody"), "matches no object"),
        (edit(where=(("colour", "red"),)), "matches no object"),
        (edit(field="watts_per_person", operation="multiply"), "is blank"),
        (edit(field="schedule_name", operation="add"), "not a number"),
        (edit(operation="multiply", value="two"), "not a number"),
    ],
)
def test_what_cannot_be_done_is_told(office, wrong, message):
    with pytest.raises(ModelError, match=message):
        apply_edits(office, [wrong], {})


def test_equal_edits_have_one_form():
    one = edit("lights", "Watts per Floor Area", value=6, where=(("Design Level Calculation Method", "watts/area"),))
    other = edit(value=6.0, where=(("design_level_calculation_method", "Watts/Area"),))
    assert normalised(one, SCHEMA) == normalised(other, SCHEMA)
    assert str(normalised(one, SCHEMA)) == str(normalised(other, SCHEMA))


@pytest.mark.parametrize(
    ("object_type", "field", "value", "canonical"),
    [
        ("Timestep", "number_of_timesteps_per_hour", 4.0, 4),
        ("Building", "north_axis", -0.0, 0.0),
        ("Building", "terrain", "suburbs", "Suburbs"),
        ("SimulationControl", "do_zone_sizing_calculation", True, "Yes"),
        ("Fan:VariableVolume", "maximum_flow_rate", "AUTOSIZE", "Autosize"),
        ("People", "sensible_heat_fraction", "autosize", "Autocalculate"),
        ("Lights", "end_use_subcategory", " Task ", "Task"),
    ],
)
def test_values_have_one_form(object_type, field, value, canonical):
    found = normalised(edit(object_type, field, value=value), SCHEMA).value
    assert (type(found), str(found)) == (type(canonical), str(canonical))


def test_what_the_schema_does_not_know_is_left():
    unknown = edit("Ligths", "x", value="y")
    assert normalised(unknown, SCHEMA) == unknown
    assert normalised(edit("lights", "x", value=1), SCHEMA) == edit(field="x", value=1)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_reach_the_file_whole(tmp_path_factory, value):
    document = new_document((25, 2, 0))
    apply_edits(document, [edit("Building", "north_axis", value=value)], {})
    path = tmp_path_factory.getbasetemp() / "numbers.idf"
    write_model(document, path)
    stored = read_model(path)["Building"][0].data.get("north_axis")
    assert stored == value
    assert math.copysign(1, stored) == 1 or value != 0


def test_every_field_of_the_schema_is_found_by_its_name_and_label():
    missing = []
    for object_type in SCHEMA.object_types:
        cache = SCHEMA.get_parsing_cache(object_type)
        names = cache.field_names if cache.has_name else cache.all_field_names
        for name in (*names, *cache.ext_field_names):
            info = cache.obj_schema["legacy_idd"]["field_info"].get(name, {})
            for written in (name, info.get("field_name", name)):
                spec = field_spec(SCHEMA, object_type, written)
                if spec is None or spec.key != name:
                    missing.append((object_type, written))
    # One type writes two fields and their groups with the same numbers.
    assert {object_type for object_type, _ in missing} <= {"Site:SpectrumData"}


def test_a_field_beyond_the_last_group_is_blank(office):
    spec = field_spec(SCHEMA, "BuildingSurface:Detailed", "vertex_200_x_coordinate")
    assert read_field(office["BuildingSurface:Detailed"][0], spec) is None
