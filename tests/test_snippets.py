from __future__ import annotations

import json
from pathlib import Path

import pytest
from idfkit import new_document
from pyenergyplus.dataset import ashrae_models, ref_models

from bemsweep.editing import apply_edits
from bemsweep.edits import FieldEdit
from bemsweep.errors import ModelError
from bemsweep.model_file import read_model
from bemsweep.snippets import insert_snippet, read_snippet, snippet_problems
from short_runs import is_fatal, run, series, short_model

SMALL_OFFICE = ref_models["small_office"]
VERSION = (25, 2, 0)

WALL = """
! A wall that lets little heat through.
Material, Thick wool, Rough, 0.4, 0.035, 30, 840;
Construction, Warm wall,
    Thick wool,   !- outside layer
    thick WOOL;
"""
EQUIPMENT = """
Schedule:Constant, Always used, Fraction, 1;
ElectricEquipment, Core server, Core_ZN, Always used, EquipmentLevel, 1000, , , 0, 0, 0, Servers;
"""


@pytest.fixture
def office():
    return read_model(Path(SMALL_OFFICE))


@pytest.fixture
def snippet(tmp_path):
    def read(text, name="snippet.idf"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return read_snippet(path, VERSION)

    return read


def objects(document):
    return [(obj.obj_type, obj.name) for obj in document.all_objects]


def test_an_idf_without_a_version(snippet):
    assert objects(snippet(WALL)) == [("Material", "Thick wool"), ("Construction", "Warm wall")]


@pytest.mark.parametrize("version", ["Version, 25.2;", "Version,\n  25.2.0;"])
def test_a_version_is_left_out(snippet, version):
    assert objects(snippet(version + WALL)) == [("Material", "Thick wool"), ("Construction", "Warm wall")]


def test_an_epjson(snippet):
    found = snippet({"Schedule:Constant": {"b": {"hourly_value": 0.1}}, "Zone": {"a": {}}}, "s.epJSON")
    assert objects(found) == [("Schedule:Constant", "b"), ("Zone", "a")]
    assert found["Schedule:Constant"]["b"].data == {"hourly_value": 0.1}
    version = {"Version": {"Version 1": {"version_identifier": "25.2"}}}
    assert objects(snippet({**version, "Zone": {"a": {}}}, "s.json")) == [("Zone", "a")]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "s.idf", "s.idf is empty"),
        ("! nothing\n", "s.idf", "holds no object"),
        ("Version, 25.2;\n", "s.idf", "s.idf holds no object to insert"),
        ("{}", "s.epJSON", "s.epJSON holds no object to insert"),
        ("Version, 9.6;\nZone, a;\n", "s.idf", r"s.idf is of EnergyPlus 9.6 and the model of 25.2"),
        ('{"Version": {"v": {"version_identifier": "9.6"}}}', "s.json", r"s.json is of EnergyPlus 9.6 and the model"),
        ("Zone, a;\nZoen, b;\n", "s.idf", "line 2: Unknown object type 'Zoen'"),
        ("Zone, a;\nZone, A;\n", "s.idf", "line 2: .*Duplicate Zone object"),
        ("Zone, a;\nZone, b, north;\n", "s.idf", "line 2: .*expects a number, got 'north'"),
        ("Timestep, 4, 5;\n", "s.idf", "line 1: .*extra field"),
        ("Zone, a;\nZone, b\n", "s.idf", "in line 2 has no ';'"),
        ('{"Zoen": {"a": {}}}', "s.epJSON", r"line 1: .*no object type 'Zoen' \(did you mean 'Zone'\?\)"),
        ('{"Zone":\n {"a": {"nort": 1}}}', "s.epJSON", "line 2: .*has no field 'nort'"),
        ("Zone, a;\n", "s.txt", r"must end in .idf or .epJSON"),
    ],
)
def test_a_broken_snippet_is_told_with_its_line(snippet, text, name, message):
    with pytest.raises(ModelError, match=message):
        snippet(text, name)


@pytest.mark.parametrize("text", [WALL, EQUIPMENT, "Schedule:Constant, s, No such limits, 1;"])
def test_what_is_right_passes_and_is_inserted(office, snippet, text):
    before, inserted = objects(office), snippet(text)
    assert snippet_problems(office, inserted) == []
    assert objects(office) == before
    insert_snippet(office, inserted)
    assert sorted(objects(office)) == sorted([*before, *objects(inserted)])
    assert snippet_problems(office, inserted) == [
        "Inserting would change nothing: the model has all of these objects already."
    ]


def test_an_inserted_object_is_not_the_snippets_own(office, snippet):
    inserted = snippet("Schedule:Compact, s, , Through: 12/31, For: AllDays, Until: 24:00, 1;")
    insert_snippet(office, inserted)
    office["Schedule:Compact"]["s"].extensible_items()[3]["field"] = 2.0
    assert inserted["Schedule:Compact"]["s"].extensible_items()[3]["field"] == 1.0


def test_two_snippets_may_share_an_object(office, snippet):
    insert_snippet(office, snippet(WALL))
    again = snippet(WALL.replace("Warm wall", "Warmer wall"))
    assert snippet_problems(office, again) == []
    insert_snippet(office, again)
    assert len([obj for obj in office["Material"] if obj.name == "Thick wool"]) == 1
    assert "Warmer wall" in {obj.name for obj in office["Construction"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Schedule:Constant, Always_on, Fraction, 1;",
            "the model has Schedule:Compact 'ALWAYS_ON', so Schedule:Constant 'Always_on' must have a name of its own.",
        ),
        (
            "ScheduleTypeLimits, fraction, 0, 2, Continuous;",
            "the model has another ScheduleTypeLimits 'Fraction'; give the one to insert a name of its own.",
        ),
        (
            "Building, Mine, 10;",
            "Cannot insert: the model has its Building already, and takes one only; change its fields instead.",
        ),
        (
            "Timestep, 30;",
            "Cannot insert: the model has its Timestep already, and takes one only; change its fields instead.",
        ),
        (
            "Material:NoMass, a, Rough, 2; Material, A, Rough, 0.1, 1, 1000, 1000;",
            "Two of the objects to insert are named 'a': Material:NoMass and Material.",
        ),
        (
            "Material, a, Rough, 0.1, -1, 1000, 1000;",
            "Material 'a' is not valid: conductivity: ",
        ),
        ("Material, a, Rough, 0.1;", "Material 'a' is not valid: conductivity: Required field"),
        (
            "Construction, c, Thick wol; Material, Thick wool, Rough, 0.4, 0.035, 30, 840;",
            "'c' is 'Thick wol', which neither the model nor what is inserted has (did you mean 'Thick wool'?).",
        ),
        (
            "Construction:AirBoundary, c, None; Material, m, Rough, 0.1, 1, 1000, 1000; Construction, C, m;",
            "Two of the objects to insert are named 'c'",
        ),
        (
            "Schedule:Week:Compact, w, AllDays, nothing;",
            "schedule_day_name of Schedule:Week:Compact 'w' is 'nothing', which neither",
        ),
    ],
    ids=lambda value: value.split(",")[0] if value[-1] == ";" else "",
)
def test_what_is_wrong_is_told(office, snippet, text, message):
    told = snippet_problems(office, snippet(text))
    assert any(message in problem for problem in told), told
    assert all(problem.endswith(".") for problem in told)


def test_another_object_in_its_place_is_not_overwritten(office, snippet):
    with pytest.raises(ModelError, match="the model has another ScheduleTypeLimits 'Fraction'"):
        insert_snippet(office, snippet("ScheduleTypeLimits, fraction, 0, 2, Continuous;"))


@pytest.mark.parametrize("path", [SMALL_OFFICE, ashrae_models["hospital"]], ids=["small_office", "hospital"])
def test_all_objects_of_a_model_can_be_inserted_into_an_empty_one(path):
    whole = read_model(Path(path))
    for obj in whole["Version"].to_list():
        whole.removeidfobject(obj)
    empty = new_document(VERSION)
    for obj in list(empty.all_objects):
        empty.removeidfobject(obj)
    assert snippet_problems(empty, whole) == []
    insert_snippet(empty, whole)
    assert sorted(objects(empty)) == sorted(objects(whole))


@pytest.mark.engine
def test_an_inserted_wall_keeps_the_warmth(office, snippet, tmp_path):
    used = []
    for construction in ("", "Warm wall"):
        outputs = [("meter", "Heating:NaturalGas", "RunPeriod"), ("Surface Outside Face Temperature", "Hourly")]
        document = short_model(SMALL_OFFICE, days=((1, 7), (1, 13)), outputs=outputs)
        insert_snippet(document, snippet(WALL))
        if construction:
            where = (("surface_type", "Wall"), ("outside_boundary_condition", "Outdoors"))
            edit = FieldEdit("BuildingSurface:Detailed", "construction_name", "set", construction, where=where)
            apply_edits(document, [edit], {})
        folder = run(document, tmp_path / f"run{construction}")
        used += series(folder, "Heating:NaturalGas")[None]
    assert 0 < used[1] < used[0]


@pytest.mark.engine
def test_inserted_equipment_draws_what_it_should(snippet, tmp_path):
    drawn = []
    for text in ("", EQUIPMENT):
        outputs = [("meter", "InteriorEquipment:Electricity", "RunPeriod")]
        document = short_model(SMALL_OFFICE, days=((1, 7), (1, 13)), outputs=outputs)
        if text:
            insert_snippet(document, snippet(text))
        drawn += series(run(document, tmp_path / f"run{len(text)}"), "InteriorEquipment:Electricity")[None]
    assert drawn[1] - drawn[0] == pytest.approx(1000 * 7 * 24 * 3600)


@pytest.mark.engine
@pytest.mark.parametrize(
    "text",
    [
        "Schedule:Constant, Always_on, Fraction, 1;",
        "Material:NoMass, a, Rough, 2; Material, A, Rough, 0.1, 1, 1000, 1000;",
        "Schedule:Day:List, d, , No, 60" + ", 1" * 24 + "; Schedule:Day:Interval, D, , No, 24:00, 1;",
        "Schedule:Day:List, d, , No, 60" + ", 1" * 24 + "; Schedule:Week:Daily, w" + ", d" * 12 + "; "
        "Schedule:Week:Compact, W, AllDays, d;",
    ],
    ids=["schedule", "material", "day", "week"],
)
def test_energyplus_stops_at_a_name_that_is_there_twice(snippet, tmp_path, text):
    document, inserted = short_model(SMALL_OFFICE, days=((1, 1), (1, 1)), outputs=[]), snippet(text)
    assert any("name of its own" in told or "are named" in told for told in snippet_problems(document, inserted))
    for obj in inserted.all_objects:
        document.add(obj.obj_type, obj.name, dict(obj.data), validate=False)
    assert is_fatal(document, tmp_path / "run")
