"""The study: its shape, what it makes of short forms, and every problem told at once."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path

import pandas as pd
import pytest

import bemsweep as bs
from bemsweep.errors import StudyError
from bemsweep.layout import RESERVED_NAMES
from bemsweep.outputs import Output
from bemsweep.study import DdyDays, ListedDesign, Study, Weather

HEAD = """\
name: office
baseline: bundled:ref/small_office
weather: bundled:usa_il_chicago
outputs: [{meter: "Electricity:Facility"}]
"""
SETTINGS = {
    "name": "office",
    "baseline": "bundled:ref/small_office",
    "weather": "bundled:usa_il_chicago",
    "outputs": [{"meter": "Electricity:Facility"}],
}
LIGHTING = {"object": "Lights", "field": "watts_per_floor_area", "values": [6, 8]}


def study(**changes):
    return Study(**{**SETTINGS, **changes})


@pytest.fixture
def from_text(tmp_path):
    def read(text):
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return Study.from_yaml(path, allow_python=True)

    return read


def problems_of(make, *args, **settings):
    with pytest.raises(StudyError) as caught:
        make(*args, **settings)
    return [str(problem) for problem in caught.value.problems]


# Whole studies


def test_a_study_in_python_and_the_same_as_a_file(from_text):
    text = (
        HEAD
        + """\
run: design_day
parameters:
  lighting: {object: Lights, field: watts_per_floor_area, values: [null, 6]}
  wwr: {call: "mypackage.edits:set_wwr", values: [0.4], version: "1"}
exclude: ["wwr == 0.4"]
reference: false
dtype: float32
timeout_s: 60
keep_model_outputs: true
"""
    )
    made = Study(
        name="office",
        baseline="bundled:ref/small_office",
        weather="bundled:usa_il_chicago",
        outputs=[bs.Meter("Electricity:Facility")],
        run="design_day",
        parameters={
            "lighting": bs.Field("Lights", "watts_per_floor_area", values=[None, 6]),
            "wwr": bs.Call("mypackage.edits:set_wwr", values=[0.4], version="1"),
        },
        exclude=["wwr == 0.4"],
        reference=False,
        dtype="float32",
        timeout_s=60,
        keep_model_outputs=True,
    )
    assert from_text(text).parameters == made.parameters
    assert from_text(text).resolved_outputs() == made.resolved_outputs()
    assert from_text(text).to_dict() == made.to_dict()


def test_defaults():
    plain = study()
    assert (plain.run, plain.design, plain.reference, plain.dtype, plain.timeout_s) == (
        "annual",
        "grid",
        True,
        "float64",
        3600,
    )
    assert plain.resolved_outputs() == (Output("meter", "Electricity:Facility", "hourly", "Electricity_Facility", ""),)


@pytest.mark.parametrize("operation", ["values", "multiply", "add"])
def test_the_stored_definition_reads_back(operation):
    field = bs.Field("Lights", "watts_per_floor_area", name="Core*", where={"a": 1}, **{operation: [None, 2]})
    one = study(
        parameters={"lighting": field, "wwr": bs.Call("a:b", values=["x"])},
        outputs=[bs.Variable("Zone Mean Air Temperature", key="*_ZN", as_="t", frequency="Monthly", optional=True)],
        timeout_s=5,
    )
    assert Study(**one.to_dict()) == one


def test_a_study_can_be_pickled_and_copied(from_text):
    one = from_text(HEAD)
    for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert other == one
        assert other.folder == one.folder
        assert other.problem("x", "baseline") == one.problem("x", "baseline")


def test_a_study_shows_itself_as_a_table():
    one = study(parameters={"lighting": LIGHTING, "wwr": {"call": "a:b", "values": ["<b>"]}})
    assert list(one.to_frame().columns) == ["part", "name", "setting"]
    assert list(one.to_frame()["name"]) == [
        "office",
        "small_office",
        "usa_il_chicago",
        "lighting",
        "wwr",
        "Electricity_Facility",
    ]
    assert "&lt;b&gt;" in one._repr_html_()


# Problems


def test_everything_wrong_in_a_file_is_told_at_once_with_lines_in_their_order(from_text):
    text = """\
name: ../x
baseline: bundled:ref/small_office
wether: bundled:usa_il_chicago
run: anual
parameters:
  lighting: {object: Lights, field: watts_per_floor_area, values: [6, .nan]}
  glazing: {objct: Window, field: u, values: [1]}
  "two words": {object: Lights, field: x, values: [1]}
  orientation: {object: Building, field: north_axis, multiply: [north]}
  empty: {object: Building, field: north_axis}
outputs:
  - {meter: "Electricity:Facility", frequency: detailed}
  - {variabel: Zone Mean Air Temperature}
  - {variable: Zone Mean Air Temperature, frequency: huorly}
timeout_s: .nan
"""
    assert problems_of(from_text, text) == [
        "'../x' is no study name: up to 100 letters, digits, '.', '_' and '-' @ name, line 1",
        "'weather' is missing @ weather, line 1",
        "unknown key 'wether' (did you mean 'weather'?) @ wether, line 3",
        "'anual' is none of 'annual', 'design_day' or 'run_period' (did you mean 'annual'?) @ run, line 4",
        "nan is no number to work with; null means as in the baseline @ parameters.lighting.values.1, line 6",
        "'object' is missing @ parameters.glazing.object, line 7",
        "unknown key 'objct' (did you mean 'object'?) @ parameters.glazing.objct, line 7",
        (
            "'two words' is no parameter name: letters, digits and '_', not beginning with a digit"
            " @ parameters.two words, line 8"
        ),
        "'north' is not a number to calculate with @ parameters.orientation.multiply.0, line 9",
        "there are no levels: a grid needs values, multiply or add @ parameters.empty, line 10",
        "`detailed` has no common time axis across variants: ask for `timestep` @ outputs.0.frequency, line 12",
        (
            "an output is {meter: NAME}, {variable: NAME}, {table: {report: …}, as: NAME} or summary,"
            " not {'variabel': 'Zone Mean Air Temperature'}"
            " (did you mean 'variable'?) @ outputs.1, line 13"
        ),
        (
            "no reporting frequency 'huorly' (did you mean 'hourly'?); known: timestep, hourly, daily, monthly, annual"
            " @ outputs.2.frequency, line 14"
        ),
        "this takes a finite number, not nan @ timeout_s, line 15",
    ]


def test_a_missing_or_unreadable_file_is_told(tmp_path):
    assert "cannot read the study file" in problems_of(Study.from_yaml, tmp_path / "none.yaml")[0]
    assert "cannot read the study file" in problems_of(Study.from_yaml, tmp_path)[0]
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: \xff\xfe\x00")
    assert "cannot read the study file" in problems_of(Study.from_yaml, binary)[0]


@pytest.mark.parametrize("text", ["", "- a\n", "just text", "5"])
def test_a_file_that_holds_no_mapping_is_told(from_text, text):
    assert "holds no mapping of name, baseline" in problems_of(from_text, text)[0]


def test_duplicate_keys_are_told(from_text):
    assert problems_of(from_text, HEAD + "name: other\n") == ["'name' is given twice, first on line 1 @ line 5"]


@pytest.mark.parametrize(
    "name", ["../x", "", ".", ".hidden", "-x", "a/b", "a" * 101, "a b", "ä", "a\n", "a\x00", "C:x"]
)
def test_hostile_study_names_are_refused(name):
    assert "is no study name" in problems_of(study, name=name)[0]


@pytest.mark.parametrize("name", ["a", "a" * 100, "Office-2.1_b", "2024"])
def test_study_names_that_are_all_right(name):
    assert study(name=name).name == name


@pytest.mark.parametrize("name", [5, None, True, ["a"]])
def test_a_study_name_is_a_text(name):
    assert problems_of(study, name=name) == [f"this takes a text, not {name!r} @ name"]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("run", "ANNUAL", "'ANNUAL' is none of"),
        ("dtype", "float16", "'float16' is none of 'float64' or 'float32' (did you mean 'float64'?)"),
        ("timeout_s", 0, "greater than 0"),
        ("timeout_s", -5, "greater than 0"),
        ("timeout_s", math.inf, "this takes a finite number"),
        ("timeout_s", "60", "this takes a number, not '60'"),
        ("timeout_s", True, "this takes a number, not True"),
        ("max_memory", "2 gb", "'2 gb' has no unit of sizes, did you mean GB?"),
        ("max_memory", "much", "'much' is no size: a number of bytes, or one with a unit, such as 2 GiB"),
        ("max_memory", 2, "no run of EnergyPlus fits into 2, which is 2 bytes: write 2 GiB"),
        ("max_memory", True, "True is no size"),
        ("max_memory", -5, "-5 is no size"),
        ("reference", "Yes", "this takes true or false, not 'Yes'"),
        ("keep_model_outputs", 1, "this takes true or false, not 1"),
        ("exclude", "wwr == 1", "this takes a list, not 'wwr == 1'"),
        ("exclude", [5], "this takes a text, not 5 @ exclude.0"),
        ("parameters", [LIGHTING], "this takes a mapping"),
        ("design", "gird", "no design 'gird' (did you mean 'grid'?)"),
        ("design", None, "no design None"),
        ("design", {"tabel": "a.csv"}, "'table' is missing"),
        ("outputs", [], "no output is asked for"),
        ("outputs", {}, "this takes a list"),
        ("samplers", {"sobol": 5}, "unknown key 'samplers'"),
    ],
)
def test_settings_that_are_wrong(setting, value, message):
    assert message in problems_of(study, **{setting: value})[0]


def test_a_long_value_is_not_told_whole():
    assert len(problems_of(study, parameters={"x": list(range(10_000))})[0]) < 300


# Inputs and their labels


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ("models/office.v2.idf", ["office.v2"]),
        (Path("models/office.idf"), ["office"]),
        (["a.idf", "b.epJSON"], ["a", "b"]),
        ({"asbuilt": "a.idf", "code": Path("b.idf")}, ["asbuilt", "code"]),
        ("bundled:ref/small_office", ["small_office"]),
        ("https://example.org/models/a.idf?raw=1", ["a"]),
        ("models/*.idf", ["models/*.idf"]),
        (["a/*.idf", "b/*.idf"], ["a/*.idf", "b/*.idf"]),
        ({2004: "a.idf"}, ["2004"]),
    ],
)
def test_every_baseline_has_a_label(given, labels):
    made = study(baseline=given)
    assert list(made.baseline) == labels
    assert all(isinstance(spec, str) for spec in made.baseline.values())


@pytest.mark.parametrize(
    ("written", "heating", "cooling"),
    [
        ({}, 99.6, 1.0),
        ({"heating": "99.6%", "cooling": "1%"}, 99.6, 1.0),
        ({"heating": "99 %", "cooling": ".4%"}, 99.0, 0.4),
        ({"heating": 99, "cooling": 2.0}, 99.0, 2.0),
    ],
)
def test_percents_of_a_ddy(written, heating, cooling):
    made = study(weather={"epw": "den.epw", "design_days": {"ddy": "den.ddy", **written}}).weather["den"]
    assert made.design_days == DdyDays(ddy="den.ddy", heating=heating, cooling=cooling)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("modle", "no design days 'modle' (did you mean 'model'?): model, epw, ddy or {ddy: FILE, heating: 99.6%}"),
        (5, "no design days 5: model, epw, ddy or {ddy: FILE, heating: 99.6%}"),
        ({"ddy": "d", "heating": "98%"}, "a .ddy has no heating days at '98%': 99.6%, 99%"),
        ({"ddy": "d", "cooling": True}, "a .ddy has no cooling days at True: 1%, 0.4%, 2%"),
        ({"ddy": "d", "hearing": 99}, "unknown key 'hearing' (did you mean 'heating'?)"),
        ({"heating": 99}, "'ddy' is missing"),
    ],
    ids=["word", "number", "percent", "truth", "key", "no file"],
)
def test_design_days_that_there_are_not(given, message):
    (told,) = problems_of(study, weather={"den": {"epw": "den.epw", "design_days": given}})
    assert told.startswith(f"{message} @ weather.den.design_days")


def test_design_days_of_all_weather():
    assert study().design_days == "model"
    assert study(design_days="ddy").to_dict()["design_days"] == "ddy"
    assert problems_of(study, design_days="epv")[0].startswith("'epv' is none of 'model', 'epw' or 'ddy'")


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ("den.epw", ["den"]),
        ({"epw": "den.epw"}, ["den"]),
        (Weather(epw="den.epw"), ["den"]),
        (["den.epw", {"epw": "chi.epw"}, Path("phx.epw")], ["den", "chi", "phx"]),
        ({"denver": "den.epw", "chicago": {"epw": "chi.epw"}}, ["denver", "chicago"]),
    ],
)
def test_every_weather_has_a_label(given, labels):
    made = study(weather=given)
    assert list(made.weather) == labels
    assert all(isinstance(weather, Weather) for weather in made.weather.values())


def test_files_of_one_name_need_labels():
    told = problems_of(study, baseline=["a/m.idf", "b/m.idf", "a/n.idf", "b/n.idf"], weather=["x.epw", "y/x.epw"])
    assert told == [
        "two inputs are called 'm', 'n': give them labels, as in {label: file} @ baseline",
        "two inputs are called 'x': give them labels, as in {label: file} @ weather",
    ]


@pytest.mark.parametrize("nothing", [None, [], {}, 5])
def test_an_input_must_be_given(nothing):
    assert problems_of(study, baseline=nothing)[0].startswith("no baseline is given")
    assert problems_of(study, weather=nothing)[0].startswith("no weather is given")


def test_inputs_that_are_no_text_are_told_at_their_labels():
    assert problems_of(study, baseline={"a": 5}, weather={"b": None, "c": {"epw": 5}, "d": {"epv": "x"}}) == [
        "this takes a text, not 5 @ baseline.a",
        "this takes a mapping, not None @ weather.b",
        "this takes a text, not 5 @ weather.c.epw",
        "'epw' is missing @ weather.d.epw",
        "unknown key 'epv' (did you mean 'epw'?) @ weather.d.epv",
    ]


# Parameters


@pytest.mark.parametrize("name", ["two words", "2nd", "", "a-b", "ä", "x" * 101, "a.b", "../x"])
def test_parameter_names_are_identifiers(name):
    assert f"{name!r} is no parameter name" in problems_of(study, parameters={name: LIGHTING})[0]


@pytest.mark.parametrize("name", ["baseline", "weather", "Time", *sorted(RESERVED_NAMES)])
def test_parameter_names_that_the_results_use_are_refused(name):
    assert "is a name that the results use" in problems_of(study, parameters={name: LIGHTING})[0]


def test_parameters_that_differ_only_in_case_are_refused():
    """Each is an array, which is a folder: a disk that knows no case would have one for both."""
    (told,) = problems_of(study, parameters={"Lamps": LIGHTING, "lamps": LIGHTING})
    assert "'Lamps' and 'lamps' differ only in case" in told


@pytest.mark.parametrize("name", ["Field", "Call", "Meter", "ListedDesign", "x"])
def test_problems_are_told_at_the_right_parameter_whatever_its_name(name, from_text):
    parameters = f"  a: {{object: L, field: x, values: [1]}}\n  {name}: {{object: L, field: x, values: [.nan]}}\n"
    assert problems_of(from_text, f"{HEAD}parameters:\n{parameters}")[0].endswith(
        f"@ parameters.{name}.values.0, line 7"
    )


@pytest.mark.parametrize("parameter", [5, [6, 8], None, "Lights", {}, {"values": [1]}])
def test_what_is_no_parameter_is_told(parameter):
    kinds = "{object: …, field: …, values: […]}, {schedule: …}, {options: …}, {insert: …} or {call: …}"
    told = problems_of(study, parameters={"x": parameter})
    assert told == [f"a parameter is {kinds}, not {parameter!r} @ parameters.x"]


def test_levels_must_fit_the_design():
    no_levels = {"a": {"call": "m:f"}, "b": {"object": "L", "field": "x"}}
    assert problems_of(study, parameters=no_levels) == [
        "there are no levels: a grid needs values @ parameters.a",
        "there are no levels: a grid needs values, multiply or add @ parameters.b",
    ]
    table = {"table": {"x": [1]}}
    assert problems_of(study, design=table, parameters={"x": LIGHTING}) == [
        "there are levels: with a table they stand in its column @ parameters.x"
    ]
    assert study(design=table, parameters={"b": {"object": "L", "field": "x"}}).parameters["b"].levels is None


# Raw files


def test_raw_files_by_pattern_and_compressed_if_asked():
    keep = ["eplusout.*", {"files": "*.SQL", "compress": True}, "in.idf"]
    kept = study(keep=keep).kept_files()
    assert [name for name, is_compressed in kept.items() if is_compressed] == ["eplusout.sql"], "in whatever order"
    assert kept == study(keep=keep[::-1]).kept_files()
    assert {"eplusout.eso", "in.idf"} <= kept.keys()
    assert "eplustbl.htm" not in kept
    assert study().kept_files() == {}
    assert Study(**study(keep=keep).to_dict()).kept_files() == kept


def test_what_there_is_no_file_of_is_refused():
    keep = ["*.html", {"files": "*.sql", "compres": True}, {"compress": True}, {"files": "in.idf", "compress": "yes"}]
    first, *others = problems_of(study, keep=keep)
    assert first.startswith("no file of a run fits '*.html' (did you mean '*.htm'?)")
    assert first.endswith("@ keep.0")
    assert others == [
        "unknown key 'compres' (did you mean 'compress'?) @ keep.1.compres",
        "'files' is missing @ keep.2.files",
        "this takes true or false, not 'yes' @ keep.3.compress",
    ]
    assert problems_of(study, keep="*.sql") == ["this takes a list, not '*.sql' @ keep"]
    assert problems_of(study, keep=[5])[0].endswith("@ keep.0")


# Tables


def test_tables_of_all_kinds(tmp_path):
    frame = pd.DataFrame({"x": [1, 2]})
    assert study(design={"table": frame}).design.table is frame
    assert study(design=ListedDesign(table="a.csv")).design.table == "a.csv"
    assert study(design={"table": {"x": (1, 2)}}).design.table == {"x": [1, 2]}
    assert study(design={"table": frame}).to_dict()["design"] == {"table": "DataFrame of 2 points"}
    assert study(design={"table": tmp_path}).to_dict()["design"] == {"table": str(tmp_path)}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x": [1, 2], "y": [1]}, "the columns are of unequal length: x has 2, y has 1"),
        ({"x": "abc"}, "column 'x' is no list of values: 'abc'"),
        ({"x": 5}, "column 'x' is no list of values: 5"),
        ({"x": {"a": 1}}, "column 'x' is no list of values"),
        ({"x": [1, math.nan]}, "column 'x': nan is no number to work with; null means as in the baseline"),
        ({"x": [1, [2]]}, "column 'x': [2] is no number, text, true, false or null"),
        (5, "a table is the path of a CSV, a mapping of columns or a DataFrame"),
        ([1, 2], "a table is the path of a CSV, a mapping of columns or a DataFrame"),
    ],
)
def test_tables_that_are_none(table, message):
    assert problems_of(study, design={"table": table})[0].startswith(message)


# Outputs


@pytest.mark.parametrize("frequency", ["timestep", "Hourly", "DAILY", "mOnThLy", "Annual"])
def test_frequencies_in_any_case(frequency):
    assert bs.Meter("x", frequency=frequency).frequency == frequency.lower()


@pytest.mark.parametrize(
    ("frequency", "message"),
    [
        ("detailed", "ask for `timestep`"),
        ("Detailed", "ask for `timestep`"),
        ("Each Call", "ask for `timestep`"),
        ("RunPeriod", "ask for `annual`"),
        ("environment", "ask for `annual`"),
        ("yearly", "no reporting frequency 'yearly'"),
        ("dayly", "did you mean 'daily'?"),
        (5, "5 is none of"),
    ],
)
def test_frequencies_that_are_none(frequency, message):
    assert message in problems_of(bs.Meter, "x", frequency=frequency)[0]


def test_outputs_as_plain_values():
    outputs = [
        bs.Meter("Electricity:Facility", frequency="annual", as_="e"),
        bs.Variable("Zone Mean Air Temperature", key="Core*", optional=True),
        {"variable": "Site Outdoor Air Drybulb Temperature", "as": "outdoor"},
        {"variable": "Site Outdoor Air Drybulb Temperature", "as": "outdoor"},
    ]
    assert study(outputs=outputs).resolved_outputs() == (
        Output("meter", "Electricity:Facility", "annual", "e", ""),
        Output("variable", "Zone Mean Air Temperature", "hourly", "Zone Mean Air Temperature", "Core*", optional=True),
        Output("variable", "Site Outdoor Air Drybulb Temperature", "hourly", "outdoor", "*"),
    )


@pytest.mark.parametrize(
    "name", ["a/b", "a:b", "a\\b", "a*", "", " ", ".", "..", "__x", "a\nb", "a\x00", '"a"', "<a>", "a|b", "a?"]
)
def test_names_of_arrays_that_no_store_can_have(name):
    assert f"{name!r} cannot name an array" in problems_of(study, outputs=[{"meter": "m", "as": name}])[0]


@pytest.mark.parametrize("name", ["time", "zone", "Status", "variant", "baseline", "weather", "hourly", "LIGHTING"])
def test_names_of_arrays_that_are_taken(name):
    told = problems_of(study, parameters={"lighting": LIGHTING}, outputs=[{"meter": "m"}, {"meter": "n", "as": name}])
    assert told == [f"{name!r} is the name of something else in the results: give another one with `as` @ outputs.1"]


@pytest.mark.parametrize("name", ["", "  ", "a,b", "a;", "a!b", "a\nOutput:Meter"])
def test_names_that_would_break_the_model_are_refused(name):
    for output in ({"meter": name}, {"variable": name}, {"variable": "v", "key": name}):
        assert "is no name that EnergyPlus can have" in problems_of(study, outputs=[output])[0]


def test_two_outputs_under_one_name_and_one_output_under_two():
    told = problems_of(
        study,
        outputs=[
            {"meter": "Gas:Facility", "as": "x"},
            {"meter": "Electricity:Facility", "as": "X"},
            {"variable": "T", "as": "t1"},
            {"variable": "t", "as": "t2"},
            {"variable": "H"},
            {"variable": "H", "optional": True},
        ],
    )
    assert told == [
        (
            "'Gas:Facility' and 'Electricity:Facility' have one name, 'X': use `as`; "
            "'t' is asked for twice, with another `as` or `optional`; "
            "'H' is asked for twice, with another `as` or `optional` @ outputs"
        )
    ]


def test_one_output_may_be_asked_for_at_several_frequencies_and_keys():
    outputs = [
        {"variable": "T", "key": "A"},
        {"variable": "T", "key": "B"},
        {"variable": "T", "frequency": "daily"},
        {"meter": "m", "frequency": "daily", "as": "x"},
        {"variable": "Q", "frequency": "hourly", "as": "x"},
    ]
    assert len(study(outputs=outputs).resolved_outputs()) == 5


@pytest.mark.parametrize("output", ["sumary", 5, None, {}, {"metre": "x"}])
def test_what_is_no_output_is_told(output):
    (told,) = problems_of(study, outputs=[output])
    assert told.startswith("an output is {meter: NAME}, {variable: NAME}, {table: {report: …}, as: NAME} or summary")
    assert ("did you mean 'summary'" in told) is (output == "sumary")


def test_a_key_is_for_variables_only():
    assert problems_of(bs.Meter, "x", key="*") == ["unknown key 'key' @ key"]


def test_parts_made_in_python_raise_our_error():
    assert problems_of(bs.Meter) == ["'meter' is missing @ meter"]
    assert problems_of(bs.Variable, "x", keys="*") == ["unknown key 'keys' (did you mean 'key'?) @ keys"]
    assert problems_of(Study) == [
        f"'{name}' is missing @ {name}" for name in ("name", "baseline", "weather", "outputs")
    ]


# Places


def test_relative_paths_start_from_the_files_folder(from_text, tmp_path, monkeypatch):
    assert from_text(HEAD).folder == tmp_path.resolve()
    monkeypatch.chdir(tmp_path.parent)
    assert study().folder == Path.cwd()


def test_a_problem_found_later_has_its_line(from_text):
    one = from_text(HEAD + "parameters:\n  lighting:\n    object: Lights\n    field: x\n    values: [1]\n")
    assert str(one.problem("wrong", "parameters", "lighting", "field")) == "wrong @ parameters.lighting.field, line 8"
    assert str(one.problem("wrong", "parameters", "lighting", "name")) == "wrong @ parameters.lighting.name, line 6"
    assert str(one.problem("wrong", "timeout_s")) == "wrong @ timeout_s"
    assert str(study().problem("wrong", "name")) == "wrong @ name"


# Storage options

WITH_SECRETS = """\
name: s
baseline: s3://AKIA:hunter2@b/x.idf
weather: ["https://h/x.epw?X-Amz-Signature=hunter2"]
storage_options:
  s3: {key: hunter2, client_kwargs: {aws_secret_access_key: hunter2}}
  gs: {token: anon}
parameters:
  x: {insert: ["https://h/x.idf?sig=hunter2"]}
  y: {schedule: S, replace: ["ftp://me:hunter2@h/x.csv"]}
  z: {options: {a: [{insert: "https://h/x.idf?sig=hunter2"}]}}
outputs: [{meter: m}]
"""


def test_a_study_file_holds_no_secrets_and_all_are_told_with_their_lines(tmp_path):
    (tmp_path / "study.yaml").write_text(WITH_SECRETS)
    with pytest.raises(StudyError) as caught:
        bs.Study.from_yaml(tmp_path / "study.yaml")
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [
        ("baseline", 2),
        ("weather", 3),
        ("storage_options.s3.key", 5),
        ("storage_options.s3.client_kwargs.aws_secret_access_key", 5),
        ("parameters.x.insert.0", 8),
        ("parameters.y.replace.0", 9),
        ("parameters.z.options.a.0.insert", 10),
    ]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "part",
    [
        {"baseline": {"a": "https://h/x.idf?sig=hunter2"}},
        {"weather": {"a": {"epw": "a.epw", "design_days": {"ddy": "https://h/x.ddy?sig=hunter2"}}}},
        {"design": {"table": "https://h/x.csv?sig=hunter2"}},
    ],
    ids=["baseline", "ddy", "table"],
)
def test_urls_with_secrets_are_refused_in_code_too(part):
    settings = {"name": "s", "baseline": "a.idf", "weather": "a.epw", "outputs": [bs.Meter("m")], **part}
    with pytest.raises(StudyError, match="carries a secret") as caught:
        bs.Study(**settings)
    assert "hunter2" not in str(caught.value)


def test_options_given_in_code_may_be_secret_and_are_never_shown_or_stored():
    options = {"s3": {"key": "AKIA", "secret": "hunter2"}}
    study = bs.Study(name="s", baseline="a.idf", weather="b.epw", outputs=[bs.Meter("m")], storage_options=options)
    assert study.storage_options == options
    shown = [repr(study), str(study), str(study.to_dict()), study.model_dump_json(), study._repr_html_()]
    assert not any("hunter2" in text or "storage_options" in text for text in shown)


def test_inputs_of_urls_and_archives_are_labelled_by_their_names():
    study = bs.Study(
        name="s",
        baseline=["s3://b/m/office.idf", "zip://a/school.idf::m.zip", "gs://b/*.idf"],
        weather=["https://h/USA%20IL.epw.gz?raw=1", "w/denver.zip"],
        outputs=[bs.Meter("m")],
    )
    assert list(study.baseline) == ["office", "school", "gs://b/*.idf"]
    assert list(study.weather) == ["USA IL", "denver"]


def test_a_study_file_that_is_not_utf8_is_told_with_its_line(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes("name: x\n# Zürich\n".encode("latin-1"))
    with pytest.raises(
        StudyError, match=r"cannot read the study file .*study.yaml: it is not encoded as UTF-8.* @ line 2"
    ):
        Study.from_yaml(path)


def test_a_key_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(HEAD + "parameters:\n  lamps: {8: 1, object: Lights, field: watts_per_floor_area, values: [1]}\n")
    with pytest.raises(StudyError, match=r"this takes a text for a key, not 8 @ parameters.lamps.8, line 6"):
        Study.from_yaml(path)


@pytest.mark.parametrize(("given", "size"), [(None, None), ("2 GiB", 2**31), ("500MB", 500_000_000), (2**30, 2**30)])
def test_the_limit_of_memory_is_a_number_of_bytes(given, size):
    one = study(max_memory=given)
    assert one.max_memory == size
    assert one.to_dict().get("max_memory") == size
    assert study(max_memory=one.to_dict().get("max_memory")).max_memory == size
