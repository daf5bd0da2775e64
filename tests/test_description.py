"""What `describe` tells of a model, and that it can be written into a study as it is told."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import bemsweep as bs
from bemsweep.description import describe, in_a_line
from bemsweep.edits import FieldEdit, selected
from bemsweep.input_files import InputFiles
from bemsweep.model_file import read_model
from bemsweep.studyfile import parse_yaml
from bemsweep.testing import FakeEngine

OFFICE = "bundled:ref/small_office"
REPORTS = ["Electricity:Facility", "InteriorLights:Electricity", "Zone Mean Air Temperature", "Zone Lights Heat"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def office():
    return describe(OFFICE, engine=FakeEngine(keys=["Core_ZN", "Attic"], reports=REPORTS))


def row(table: pd.DataFrame, **wanted: object) -> dict[str, object]:
    (found,) = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)].to_dict(orient="records")
    return found


# Tables


def test_objects_are_counted_and_named(office):
    lights = row(office.objects, object="Lights")
    assert (lights["count"], lights["group"]) == (5, "Internal Gains")
    assert lights["names"].split(", ")[0] == "Core_ZN_Lights"
    assert office.objects["count"].sum() == len(
        list(read_model(InputFiles(Path.cwd()).find_one(OFFICE).path).all_objects)
    )


def test_fields_tell_value_unit_limits_and_how_many_share_it(office):
    power = row(office.fields, object="Lights", name="Core_ZN_Lights", field="watts_per_floor_area")
    assert (power["value"], power["units"], power["minimum"]) == (10.76, "W/m2", 0)
    assert (power["shared"], power["of"]) == (5, 5)
    assert pd.isna(power["maximum"])
    infiltration = office.fields.query("field == 'flow_rate_per_exterior_surface_area'")
    assert sorted(infiltration["shared"]) == [2, 2, 4, 4, 4, 4]
    terrain = row(office.fields, object="Building", field="terrain")
    assert "City" in terrain["choices"].split(", ")


def test_what_an_objects_method_ignores_is_said(office):
    ignored = row(office.fields, object="Lights", name="Core_ZN_Lights", field="lighting_level")
    assert (ignored["is_ignored"], ignored["method"]) == (True, "design_level_calculation_method: Watts/Area")
    used = row(office.fields, object="Lights", name="Core_ZN_Lights", field="watts_per_floor_area")
    assert (used["is_ignored"], used["method"]) == (False, ignored["method"])
    free = row(office.fields, object="Lights", name="Core_ZN_Lights", field="fraction_radiant")
    assert (free["is_ignored"], free["method"]) == (False, "")


def test_schedules_tell_their_range_and_who_uses_them(office):
    cooling = row(office.schedules, schedule="CLGSETP_SCH")
    assert (cooling["lowest"], cooling["highest"]) == (24, 26.7)
    assert cooling["used_by"] == "ThermostatSetpoint:DualSetpoint.cooling_setpoint_temperature_schedule_name (5)"
    assert cooling["uses"] == 5


def test_outputs_are_those_of_the_inventory(office):
    assert list(office.meters["meter"]) == ["Electricity:Facility", "InteriorLights:Electricity"]
    assert list(office.variables.columns) == ["variable", "key", "key_kind", "units"]
    assert len(office.variables) == 4
    assert list(office.tables.columns) == ["report", "for", "name", "row", "column", "units"]


# Finding


@pytest.mark.parametrize("words", ["lights watts floor", "FLOOR Watts lights", "watts_per_floor_area lights"])
def test_words_are_found_in_any_order_and_case(office, words):
    found = office.find(words)
    assert set(found.fields["field"]) == {"watts_per_floor_area"}
    assert set(found.fields["object"]) == {"Lights"}


def test_finding_looks_at_names_keys_and_outputs(office):
    assert list(office.find("attic").variables["key"]) == ["Attic", "Attic"]
    assert list(office.find("mean core_zn").variables["variable"]) == ["Zone Mean Air Temperature"]
    assert list(office.find("interiorlights").meters["meter"]) == ["InteriorLights:Electricity"]
    assert "HTGSETP_SCH" in list(office.find("heating_setpoint dualsetpoint").schedules["schedule"])
    lights = row(office.find("lights core").objects, object="Lights")
    assert (lights["count"], lights["names"]) == (1, "Core_ZN_Lights")
    assert row(office.find("lights").objects, object="Lights")["count"] == 5


def test_finding_narrows_what_was_found(office):
    twice = office.find("lights").find("core")
    assert twice.words == "lights core"
    pd.testing.assert_frame_equal(twice.fields, office.find("core lights").fields)


def test_nothing_found_is_said(office):
    assert str(office.find("xyzzy")).endswith("nothing has all of these words")
    assert str(describe(OFFICE, find="xyzzy", engine=FakeEngine(reports=REPORTS))) == str(office.find("xyzzy"))


# Printing


def test_the_overview_fits_a_screen(office):
    lines = str(office).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    assert "  Internal Gains: 5 People, 5 Lights, 5 ElectricEquipment" in lines
    assert "2 output variables, 2 meters" in str(office)


@pytest.mark.parametrize("words", ["lights", "infiltration", "sizing", "zone", "e"])
def test_what_is_found_fits_a_screen_too(office, words):
    assert len(str(office.find(words)).splitlines()) <= 65


def test_every_field_that_is_printed_selects_what_it_says(office):
    document = read_model(InputFiles(Path.cwd()).find_one(OFFICE).path)
    lines = re.findall(r"^  (\{object: .*\})  +# (.*)$", str(office.find("infiltration")), re.MULTILINE)
    assert any("where" in edit for edit, _ in lines)
    assert any("name" in edit for edit, _ in lines)
    for text, comment in lines:
        edit = parse_yaml(text)[0]
        where = tuple(edit.get("where", {}).items())
        objects = selected(document, FieldEdit(edit["object"], edit["field"], "set", 0, edit.get("name", "*"), where))
        told = re.match(r"(?:all )?(\d+)(?: of \d+)?: ", comment)
        assert len(objects) == (int(told[1]) if told else 1) or "ignored" in comment


def test_what_is_printed_can_be_planned(office):
    line, _ = re.findall(r"^  (\{object: .*surface_area\}) ", str(office.find("infiltration exterior")), re.MULTILINE)
    edit = parse_yaml(line)[0]
    kind, name = edit.pop("object"), edit.pop("field")
    study = bs.Study(
        name="as-told", baseline=OFFICE, weather="bundled:usa_il_chicago",
        parameters={"it": bs.Field(kind, name, multiply=[0.5], **edit)}, outputs=[bs.Meter("Electricity:Facility")],
    )  # fmt: skip
    assert bs.plan(study, store="memory://as-told", engine=FakeEngine(reports=REPORTS)).to_run


def test_in_jupyter_it_is_tables(office):
    assert office._repr_html_().count("<table") == 1
    found = office.find("lights watts floor")._repr_html_()
    assert "{object: Lights, field: watts_per_floor_area}" in found
    assert "all 5: 10.76 W/m2; from 0" in found
    assert "nothing has all of these words" in office.find("no such thing")._repr_html_()
    assert "<h4>fields</h4>" in office.find("lights")._repr_html_()
    assert "&lt;" in describe(OFFICE, find="<b>", engine=FakeEngine(reports=REPORTS))._repr_html_()


def test_for_programs_it_is_plain(office):
    import json

    told = office.find("lights").to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["fields"][0]["object"] in ("Lights", "RunPeriodControl:DaylightSavingTime")


def test_a_model_that_cannot_be_run_is_described_with_a_note(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("old.idf").write_text("Version,22.1; Lights, L, Z, S, LightingLevel, 100;")
    old = describe("old.idf", engine=FakeEngine())
    assert "the model is of EnergyPlus 22.1" in old.note
    assert old.note in str(old)
    assert "output variables" not in str(old)
    assert row(old.fields, object="Lights", field="lighting_level")["value"] == 100
    assert "{object: Lights, field: lighting_level}" in str(old.find("lights"))


@pytest.mark.parametrize(
    "value",
    [
        {"object": "ZoneInfiltration:DesignFlowRate", "name": "Perimeter*", "values": [None, 0.000151, 1e-05, 8.0]},
        {"name": "a: b"}, {"name": "#1"}, {"name": "null"}, {"name": "True"}, {"name": "5"}, {"name": "- x"},
        {"name": "Zone, 1"}, {"name": "{x}"}, {"name": "it's \"so\""}, {"name": "é"}, {"name": " x "}, {"name": ""},
        {"add": [0, -1, True]}, {"name": "Watts/Area"}, {"name": "@x"}, {"name": "1e3"}, {"name": "a #b"},
    ],
    ids=str,
)  # fmt: skip
def test_a_line_is_read_back_as_it_was(value):
    assert parse_yaml(in_a_line(value))[0] == value


@pytest.mark.engine
def test_the_real_engine_is_asked():
    found = bs.describe(OFFICE, find="interior lighting power density")
    assert found.note == ""
    assert set(found.tables["report"]) >= {"LightingSummary"}
    everything = bs.describe(OFFICE)
    assert everything.variables["variable"].nunique() == 737
    assert len(everything.meters) == 179
