from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

import pytest
from idfkit import new_document
from idfkit.writers import write_epjson
from pyenergyplus.dataset import ashrae_models, ref_models

from bemsweep.errors import ModelError
from bemsweep.model import prepare_run, read_model, write_model
from bemsweep.model_file import read_version
from bemsweep.outputs import Output
from direct_engine import run_energyplus, values

SMALL_OFFICE = Path(ref_models["small_office"])
BUNDLED = [Path(path) for path in (*ref_models.values(), *ashrae_models.values())]
SMALL = "Version, 25.2;\nBuilding, Tower, 0, City;\nZone, One;\n"


def write(folder: Path, content: str | bytes, name: str = "model.idf") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def content(document) -> list[tuple]:
    """Return all that is not blank in a model."""
    return [
        (obj.obj_type, obj.name, {field: value for field, value in obj.data.items() if value not in ("", None)})
        for obj in document.all_objects
    ]


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_every_bundled_model_survives_reading_and_writing(path, tmp_path):
    document = read_model(path)
    digest = write_model(document, tmp_path / "a.idf")
    assert digest == hashlib.sha256((tmp_path / "a.idf").read_bytes()).hexdigest()
    again = read_model(tmp_path / "a.idf")
    assert sorted(content(again), key=str) == sorted(content(document), key=str)
    assert write_model(again, tmp_path / "b.idf") == digest


@pytest.mark.parametrize("name", ["model.IDF", "model.idf"])
def test_a_suffix_in_any_case(tmp_path, name):
    assert read_model(write(tmp_path, SMALL, name))["Zone"][0].name == "One"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.imf", "run EnergyPlus's EPMacro"),
        ("model.osm", "export it from OpenStudio"),
        ("model.txt", "must end in .idf or .epJSON"),
    ],
)
def test_other_suffixes_say_what_to_do(tmp_path, name, message):
    with pytest.raises(ModelError, match=message):
        read_model(write(tmp_path, SMALL, name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("! only a comment\n", "holds no object"),
        ("Dear Sir,\nthis is a letter.\n", "'Dear Sir, this is a letter.' in line 1 has no ';'"),
        ("PK\x03\x04\x00;;", "is no IDF"),
        ("Zone, One;\n", "has no Version object"),
        ("! Version, 9.1;\nZone, One;\n", "has no Version object"),
        (SMALL + "Zone, Two,\n  0\n", "'Zone, Two, 0' in line 4 has no ';'"),
        (SMALL + "Zone, Two, 0\nZone, Three;\n", "line 5: Field 'x_origin' expects a number, got 'Three'"),
        (SMALL + "Zoen, Two;\nLihgts, Three;\n", "line 4: Unknown object type 'Zoen'; line 5: Unknown object type"),
        (SMALL + "Zone, one;\n", "line 4: .*Duplicate Zone object with name 'one'"),
        (SMALL + "Timestep, 4, 5, 6;\n", "line 4: .*extra field"),
        (SMALL + "Building, B, north;\n", "line 4: Field 'north_axis' expects a number, got 'north'"),
        (SMALL + "stray words;\n", "line 4 has 'stray words' for an object"),
        (SMALL + "##include other.idf\nZone, Two;", "EPMacro commands, line 4"),
        ("Version, 7.0;\n", "is of EnergyPlus 7.0, which is not known here"),
    ],
)
def test_a_broken_idf_is_told_with_its_line(tmp_path, text, message):
    with pytest.raises(ModelError, match=message) as caught:
        read_model(write(tmp_path, text))
    assert "model.idf" in str(caught.value)


def test_sizing_words_and_comments_are_no_fault(tmp_path):
    text = "!- a;b,c\n" + SMALL + "Zone, Two, !- Name; with, marks\n  ,,,,, 1, 1, autocalculate, AUTOSIZE; ! end\n"
    assert len(read_model(write(tmp_path, text))["Zone"]) == 2


@pytest.mark.parametrize("one", ["Version, 25.2;", "Building, Other;", "Timestep, 4;\nTimestep, 6;"])
def test_two_of_what_a_model_has_one_are_told(tmp_path, one):
    """EnergyPlus refuses it; of two Versions the IDF that is written for it would have one."""
    name = one.partition(",")[0].partition(";")[0]
    with pytest.raises(ModelError, match=f"it has 2 objects {name}, and a model has one"):
        read_model(write(tmp_path, SMALL + one))


def test_two_objects_of_one_name_are_told_once(tmp_path):
    with pytest.raises(ModelError, match=r"model.idf is broken: line 4: Duplicate Zone object with name 'ONE'$"):
        read_model(write(tmp_path, SMALL + "Zone, ONE;"))


def epjson(**rest: object) -> dict[str, object]:
    return {"Version": {"Version 1": {"version_identifier": "25.2"}}, "Zone": {"One": {"x_origin": 1.5}}} | rest


@pytest.mark.parametrize("name", ["model.epJSON", "model.json", "MODEL.EPJSON"])
def test_epjson_is_read(tmp_path, name):
    document = read_model(
        write(tmp_path, json.dumps(epjson(Timestep={"t": {"number_of_timesteps_per_hour": 4}})), name)
    )
    assert document.version == (25, 2, 0)
    assert document["Zone"]["one"].x_origin == 1.5
    write_model(document, tmp_path / "out.idf")
    assert read_model(tmp_path / "out.idf")["Timestep"][0].data == {"number_of_timesteps_per_hour": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{", "line 1, column 2: "),
        ('{"Zone":\n{"One": {,}}}', "line 2, column"),
        ("[1, 2]", "must be an object of object types"),
        (json.dumps({"Zone": {"One": {}}}), "has no Version object"),
        (json.dumps(epjson(Zoen={"One": {}}), indent=1), "line 12: EnergyPlus has no object type 'Zoen' .did you mean"),
        (json.dumps(epjson(Zone={"One": {"x_orign": 1}})), "has no field 'x_orign' .did you mean 'x_origin'"),
        (json.dumps(epjson(Zone={"One": 3})), "Zone 'One' is no object"),
        (json.dumps(epjson(Zone={"One": {}, "Twin": {}})).replace("Twin", "One"), "'One' is there twice"),
        (json.dumps(epjson(ZONE={})), "no object type 'ZONE' .did you mean 'Zone'"),
        (json.dumps(epjson(Zone={" ": {}})), "Zone ' ' has a blank name"),
        (json.dumps(epjson(Zone={"One": {"x_origin": math.nan}})), "NaN is no number of JSON"),
    ],
)
def test_a_broken_epjson_is_told_with_its_line(tmp_path, text, message):
    with pytest.raises(ModelError, match=message):
        read_model(write(tmp_path, text, "model.epJSON"))


def test_a_key_that_is_there_twice_is_told_with_its_line(tmp_path):
    text = """{"Zone": {
    "One }": {"x_origin": 1, "y_origin": 2},
    "Two": {"x_origin": 1,
            "type": 1,
            "x_origin": 2},
    "Three": {"x_origin": 3}}}"""
    with pytest.raises(ModelError, match=r"model.epJSON is broken: line 5: 'x_origin' is there twice"):
        read_model(write(tmp_path, text, "model.epJSON"))


@pytest.mark.parametrize(
    ("object_type", "fields", "message"),
    [
        ("Zone", {"x_origin": ""}, 'x_origin takes a number, not ""'),
        ("Zone", {"x_origin": "8"}, 'x_origin takes a number, not "8"'),
        ("Zone", {"x_origin": None}, "x_origin takes a number, not null"),
        ("Zone", {"x_origin": True}, "x_origin takes a number, not true"),
        ("Zone", {"x_origin": [1]}, "x_origin takes a number, not [1]"),
        ("Zone", {"multiplier": 1.0}, "multiplier takes a whole number, not 1.0"),
        ("Zone", {"volume": "big"}, "volume has no choice 'big': Autocalculate"),
        ("Zone", {"volume": "autocalculate"}, "volume has no choice 'autocalculate' (did you mean 'Autocalculate'?)"),
        ("Zone", {"volume": None}, "volume takes a number or a text, not null"),
        ("Lights", {"design_level_calculation_method": "watts/area"}, "(did you mean 'Watts/Area'?)"),
        ("Lights", {"end_use_subcategory": 5}, "end_use_subcategory takes a text, not 5"),
        ("BuildingSurface:Detailed", {"vertices": {"x": 1}}, 'vertices takes a list, not {"x": 1}'),
        ("BuildingSurface:Detailed", {"vertices": [1]}, "vertices, entry 1 is no object but 1"),
        (
            "BuildingSurface:Detailed",
            {"vertices": [{}, {"vertex_x_coordinate": "1"}]},
            'vertices, entry 2, vertex_x_coordinate takes a number, not "1"',
        ),
    ],
)
def test_a_value_that_energyplus_refuses_in_an_epjson_is_told(tmp_path, object_type, fields, message):
    """The IDF that is written for EnergyPlus would hide that it is of another kind: there all are texts."""
    field = next(iter(fields))
    text = json.dumps(epjson(**{object_type: {"Good": {}, "Bad": fields}}), indent=1)
    line = next(number for number, one in enumerate(text.splitlines(), 1) if f'"{field}"' in one)
    with pytest.raises(ModelError, match=f"line {line}: {object_type} 'Bad': .*{re.escape(message)}"):
        read_model(write(tmp_path, text, "model.epJSON"))


@pytest.mark.parametrize(
    "fields",
    [{"volume": ""}, {"volume": "Autocalculate"}, {"volume": 3}, {"x_origin": 2}, {"part_of_total_floor_area": ""}],
)
def test_values_that_energyplus_takes_in_an_epjson_are_taken(tmp_path, fields):
    document = read_model(write(tmp_path, json.dumps(epjson(Zone={"One": fields})), "model.epJSON"))
    assert dict(document["Zone"][0].data) == fields


def test_epjson_that_is_not_utf8_is_told_with_its_line(tmp_path):
    with pytest.raises(ModelError, match="line 2 is not encoded as UTF-8"):
        read_model(write(tmp_path, b'{"Zone":\n"\xe9"}', "model.epJSON"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_names_in_any_encoding_are_kept(tmp_path, encoding):
    path = write(tmp_path, SMALL.replace("One", "Büro Süd").encode(encoding))
    document = read_model(path)
    assert document["Zone"][0].name == "Büro Süd"
    write_model(document, path)
    assert "Büro Süd" in path.read_text("utf-8")
    assert read_model(path)["Zone"][0].name == "Büro Süd"


@pytest.mark.parametrize(("name", "text"), [("m.idf", SMALL), ("m.epJSON", json.dumps(epjson()))])
def test_the_version_alone(tmp_path, name, text):
    assert read_version(write(tmp_path, text, name)) == (25, 2, 0)


@pytest.mark.parametrize("text", ["a, b", "a;b", "what!", "two\nlines"])
def test_what_an_idf_cannot_hold_is_refused(tmp_path, text):
    document = new_document((25, 2, 0))
    document.add("Zone", text, validate=False)
    with pytest.raises(ModelError, match="cannot hold"):
        write_model(document, tmp_path / "out.idf")


@pytest.mark.engine
def test_an_epjson_gives_what_energyplus_makes_of_it(tmp_path):
    document = read_model(SMALL_OFFICE)
    prepare_run(document, "design_day", [Output("variable", "Zone Mean Air Temperature", "hourly", "t")])
    # The first design day would now be the last one by name.
    document["SizingPeriod:DesignDay"][0].name = "Z winter"
    path = write(tmp_path, write_epjson(document), "model.epJSON")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    write_model(read_model(path), tmp_path / "model.idf")
    run_energyplus(tmp_path / "model.idf", ours)
    run_energyplus(path, theirs)
    assert values(ours) == values(theirs) != {}
