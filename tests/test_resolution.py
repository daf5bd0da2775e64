from __future__ import annotations

import pickle
import sys
import textwrap
from pathlib import Path

import pytest

import bemsweep as bs
from bemsweep.design import design_points
from bemsweep.edit_checks import StudyEdits
from bemsweep.edits import CallEdit, FieldEdit, InsertEdit, ScheduleEdit
from bemsweep.errors import StudyError
from bemsweep.input_files import InputFiles
from bemsweep.inputs import resolve_baselines
from bemsweep.model_file import read_model
from bemsweep.parameters import Insert
from bemsweep.resolution import import_functions, overruling, resolve_edits
from bemsweep.schedules import schedule_problems
from small_studies import small_study

EXAMPLES = Path(__file__).parent.parent / "examples"
OCCUPANCY, TIMBER = str(EXAMPLES / "hybrid_occupancy.csv"), str(EXAMPLES / "timber_wall.idf")
TIMBER_WALLS = {
    "object": "BuildingSurface:Detailed",
    "where": {"surface_type": "Wall"},
    "field": "construction_name",
    "set": "Timber Wall",
}


LIGHTS = ("Lights", "watts_per_floor_area")
SET = {"object": "Lights", "field": "watts_per_floor_area", "set": 8}
DIMMED = {"object": "Lights", "field": "watts_per_floor_area", "multiply": 0.5}


@pytest.fixture(scope="module")
def office():
    return read_model(resolve_baselines(small_study(), InputFiles(Path.cwd()))["small_office"].path)


def resolved(office, study, labels=("office",)):
    points = design_points(study, {"baseline": list(labels), "weather": ["chicago"]}, most=None)
    return resolve_edits(study, dict.fromkeys(labels, office), points, can_expand=False, files=InputFiles(study.folder))


def told(office, **changes):
    with pytest.raises(StudyError) as caught:
        resolved(office, small_study(**changes))
    return [str(problem) for problem in caught.value.problems]


def test_every_value_of_every_kind_stands_for_its_edits(office):
    found = resolved(office, small_study(parameters={
        "lighting": bs.Field("LIGHTS", "Watts per Floor Area", multiply=[None, 0.5],
                             also=[{"object": "ElectricEquipment"}, {"name": "Core*", "field": "fraction_visible"}]),
        "setpoint": bs.Schedule("clgsetp_sch", add=[0, 1.5]),
        "occupancy": bs.Schedule("BLDG_OCC_SCH", replace=[None, 0.5, OCCUPANCY]),
        "walls": bs.Options({"as built": [], "timber": [{"insert": TIMBER}, TIMBER_WALLS]}),
        "solar": {"insert": [None, str(EXAMPLES / "solar.idf")]},
    }))  # fmt: skip
    of = {name: {v: e for (_, n, v), e in found.edits.items() if n == name} for _, name, _ in found.edits}
    assert of["lighting"] == {0.5: (
        FieldEdit("Lights", "watts_per_floor_area", "multiply", 0.5),
        FieldEdit("ElectricEquipment", "watts_per_floor_area", "multiply", 0.5),
        FieldEdit("Lights", "fraction_visible", "multiply", 0.5, "Core*"),
    )}  # fmt: skip
    assert of["setpoint"][1.5] == (ScheduleEdit("clgsetp_sch", "add", 1.5),)
    assert of["occupancy"][0.5] == (ScheduleEdit("bldg_occ_sch", "replace", 0.5),)
    (by_file,) = of["occupancy"][OCCUPANCY]
    assert found.files[by_file.file.sha256].path == Path(OCCUPANCY).resolve()
    assert of["walls"]["as built"] == ()
    insert, walls = of["walls"]["timber"]
    assert isinstance(insert, InsertEdit)
    assert walls.value == "Timber Wall"
    assert len(found.files) == 3


def test_the_same_content_is_the_same_edit_whatever_the_file_is_called(office, tmp_path):
    other = tmp_path / "renamed.csv"
    other.write_bytes(Path(OCCUPANCY).read_bytes())
    edits = [
        resolved(office, small_study(parameters={"o": bs.Schedule("BLDG_OCC_SCH", replace=[file])})).edits
        for file in (OCCUPANCY, str(other))
    ]
    assert list(edits[0].values()) == list(edits[1].values())


def test_all_levels_of_a_schedule_are_checked_at_once(office, monkeypatch):
    """Who uses it is looked up in the whole model."""
    calls = []

    def check(*how, **more):
        calls.append(more["values"])
        return schedule_problems(*how, **more)

    monkeypatch.setattr("bemsweep.resolution.schedule_problems", check)
    resolved(office, small_study(parameters={"x": bs.Schedule("CLGSETP_SCH", add=[0.5, 1, 1.5, 2])}))
    assert calls == [[0.5, 1, 1.5, 2]]


def test_a_study_of_many_parameters_is_read_once_for_each_baseline(office, monkeypatch):
    """And not once for each parameter or option: 30 parameters with 1,000 values each took half a minute."""
    made = []

    def gather(edits, schema):
        made.append(len(edits))
        return StudyEdits(edits, schema)

    monkeypatch.setattr("bemsweep.resolution.StudyEdits", gather)
    monkeypatch.setattr("bemsweep.edit_checks.StudyEdits", gather)
    parameters = {f"p{n}": bs.Field(*LIGHTS, values=[5, 6]) for n in range(4)}
    resolved(office, small_study(parameters={**parameters, "o": bs.Options({"a": [SET], "b": [SET, DIMMED]})}))
    assert made == [4 * 2 + 3]


def test_one_content_under_two_suffixes_is_one_file(office, tmp_path):
    """A store has it once: a worker that asked for the other suffix would not find it."""
    for name in ("hours.csv", "hours.txt"):
        (tmp_path / name).write_bytes(Path(OCCUPANCY).read_bytes())
    levels = [str(tmp_path / "hours.csv"), str(tmp_path / "hours.txt")]
    found = resolved(office, small_study(parameters={"o": bs.Schedule("BLDG_OCC_SCH", replace=levels)}))
    (file,) = found.files.values()
    assert {edit.file.name for edits in found.edits.values() for edit in edits} == {file.sha256 + file.suffix}


def test_one_change_of_a_schedule_written_in_two_ways(office):
    one, other = (
        list(resolved(office, small_study(parameters={"x": bs.Schedule(name, add=[value])})).edits.values())
        for name, value in [("CLGSETP_SCH", 1), ("ClgSetP_Sch", 1.0)]
    )
    assert repr(one) == repr(other)


def test_every_baseline_has_edits_of_its_own(office):
    found = resolved(office, small_study(baseline={"a": "x.idf", "b": "y.idf"}), labels=("a", "b"))
    assert {label for label, _, _ in found.edits} == {"a", "b"}


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (bs.Schedule("CLGSETP_SCHED", add=[1]), "no schedule 'CLGSETP_SCHED' (did you mean 'CLGSETP_SCH'?)"),
        (bs.Schedule("BLDG_OCC_SCH", replace=["nowhere.csv"]), "cannot read nowhere.csv"),
        (bs.Schedule("BLDG_OCC_SCH", replace=[TIMBER]), "timber_wall.idf cannot replace schedule 'BLDG_OCC_SCH': "),
        (bs.Schedule("BLDG_OCC_SCH", multiply=[3]), "BLDG_OCC_SCH"),
        ({"insert": [None, "nowhere.idf"]}, "cannot read nowhere.idf"),
        ({"insert": ["no\0where.idf"]}, "holds a character that results cannot: NUL"),
        ({"insert": [OCCUPANCY]}, "hybrid_occupancy.csv cannot be inserted: "),
        (bs.Field("Lights", "watts_per_floor_area", values=[6], also=[{"object": "Ligths"}]), "type 'Ligths'"),
        (bs.Options({"a": [TIMBER_WALLS]}), "option 'a': construction_name of BuildingSurface:Detailed cannot be"),
        (bs.Options({"a": [{"insert": TIMBER}, {**TIMBER_WALLS, "set": "Timbre Wall"}]}), "did you mean 'Timber Wall'"),
        (bs.Options({"a": [{"schedule": "NOWHERE", "add": 1}]}), "option 'a': The model has no schedule 'NOWHERE'"),
        (bs.Options({"a": [{"insert": TIMBER}, {"insert": TIMBER}, TIMBER_WALLS]}), "Inserting would change nothing"),
        (bs.Options({"a": [{"call": "nowhere:edit", "value": 1}]}), "cannot import nowhere:edit"),
        (bs.Field("Lights", "watts_per_floor_area", multiply=[2], also=[{}]), "would be changed twice"),
        (
            bs.Field("Lights", "watts_per_floor_area", add=[2], also=[{"name": "core*"}]),
            "Lights 'Core_ZN_Lights' would",
        ),
        (bs.Options({"a": [{**DIMMED, "also": [{"object": "LIGHTS"}]}]}), "would be changed twice"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_told_at_its_parameter(office, parameter, message):
    problems = told(office, parameters={"mine": parameter})
    assert any(message in problem and problem.endswith("@ parameters.mine") for problem in problems), problems


def test_targets_apart_are_calculated_with_once_each(office):
    also = [{"name": "Perimeter*"}, {"object": "ElectricEquipment"}]
    resolved(office, small_study(parameters={"x": bs.Field(**{**DIMMED, "multiply": [2]}, name="Core*", also=also)}))
    resolved(office, small_study(parameters={"x": bs.Field("Lights", "fraction_visible", values=[0.2], also=[{}])}))


def test_line_ends_that_the_engine_does_not_read(office, tmp_path):
    """Python reads a single carriage return as a line's end, and EnergyPlus a file of one line."""
    (tmp_path / "old.csv").write_bytes(b"0.5\r" * 8760)
    problems = told(office, parameters={"x": bs.Schedule("BLDG_OCC_SCH", replace=[str(tmp_path / "old.csv")])})
    assert "its lines end in a single carriage return" in problems[0]


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (
            bs.Field(**{**DIMMED, "multiply": [None, 0.5]}),
            bs.Field(*LIGHTS, values=[8]),
            "watts_per_floor_area of Lights",
        ),
        (
            bs.Field(*LIGHTS, values=[6]),
            bs.Options({"a": [{**SET, "name": "Core*"}]}),
            "watts_per_floor_area of Lights",
        ),
        (
            bs.Schedule("BLDG_OCC_SCH", multiply=[0.5]),
            bs.Schedule("Bldg_Occ_Sch", replace=[0.5]),
            "schedule 'bldg_occ_sch'",
        ),
        (bs.Field(*LIGHTS, values=[6]), bs.Field(**{**DIMMED, "multiply": [0.5]}), ""),
        (bs.Field(*LIGHTS, values=[6], name="Core*"), bs.Field(*LIGHTS, values=[6], name="Perimeter*"), ""),
        (bs.Schedule("BLDG_OCC_SCH", replace=[0.5]), bs.Schedule("BLDG_OCC_SCH", multiply=[0.5]), ""),
        (bs.Field(*LIGHTS, values=[None]), bs.Field(*LIGHTS, values=[6]), ""),
    ],
    ids=["set after multiply", "set by an option", "schedule", "multiply after set", "others", "changed", "never both"],
)
def test_a_parameter_that_sets_what_one_before_it_changes(office, first, second, what):
    study = small_study(parameters={"first": first, "second": second})
    points = design_points(study, {"baseline": ["office"], "weather": ["chicago"]}, most=None)
    found = list(overruling(resolved(office, study), {"office": office}, points))
    told_of = f"second sets {what}, which first changes too: where both have a value, what first does to it is lost"
    assert found == ([told_of] if what else [])


@pytest.mark.parametrize("name", ["hours.dat", "hours"])
def test_a_schedule_from_a_file_of_another_suffix(office, tmp_path, name):
    """The engine would stop at it, in every variant."""
    (tmp_path / name).write_bytes(Path(OCCUPANCY).read_bytes())
    (problem,) = told(office, parameters={"x": bs.Schedule("BLDG_OCC_SCH", replace=[str(tmp_path / name)])})
    assert "EnergyPlus reads schedules from files whose name ends in .csv or .txt. @ parameters.x" in problem


@pytest.mark.parametrize(
    ("name", "content", "parameter"),
    [("hours.CSV", OCCUPANCY, lambda path: bs.Schedule("BLDG_OCC_SCH", replace=[path])),
     ("wall.idf", TIMBER, lambda path: Insert([path]))],
    ids=["schedule", "snippet"],
)  # fmt: skip
def test_a_link_is_known_by_its_own_name(office, tmp_path, name, content, parameter):
    (tmp_path / "0a1b2c").write_bytes(Path(content).read_bytes())
    (tmp_path / name).symlink_to(tmp_path / "0a1b2c")
    found = resolved(office, small_study(parameters={"x": parameter(str(tmp_path / name))}))
    ((edit,),) = found.edits.values()
    assert edit.file.suffix == Path(name).suffix


def test_all_problems_at_once(office):
    problems = told(office, parameters={
        "a": bs.Schedule("NONE_SUCH", add=[1]), "b": {"insert": ["nowhere.idf"]},
        "c": bs.Field("Lights", "watts", values=[1]), "d": bs.Options({"x": [{"object": "L", "field": "f", "set": 1}]}),
    })  # fmt: skip
    assert [problem.rpartition(".")[2] for problem in problems] == ["b", "a", "c", "d"]


def test_a_table_can_only_name_options_that_there_are(office):
    options = {"walls": bs.Options({"timber": [{"insert": TIMBER}]})}
    problems = told(office, parameters=options, design={"table": {"walls": ["timber", "timbre", None]}})
    assert problems == ["there is no option 'timbre' (did you mean 'timber'?) @ parameters.walls"]


def test_editing_a_copy_leaves_the_baseline_alone(office):
    before = len(office["Material"])
    resolved(office, small_study(parameters={"walls": bs.Options({"timber": [{"insert": TIMBER}, TIMBER_WALLS]})}))
    assert len(office["Material"]) == before
    assert "Timber Wall" not in [wall.construction_name for wall in office["BuildingSurface:Detailed"]]


def test_functions_beside_the_study_file(tmp_path, office):
    (tmp_path / "my_measures.py").write_text("def dim(document, value):\n    pass\n")
    (tmp_path / "study.yaml").write_text(
        textwrap.dedent("""\
        name: mine
        baseline: bundled:ref/small_office
        weather: {chicago: bundled:usa_il_chicago}
        parameters: {dim: {call: "my_measures:dim", values: [1]}}
        outputs: [{meter: "Electricity:Facility"}]
        """)
    )
    path = list(sys.path)
    try:
        study = bs.Study.from_yaml(tmp_path / "study.yaml", allow_python=True)
        found = resolved(office, study)
        assert sys.path == path
        (edit,) = found.edits["office", "dim", 1]
        assert edit == CallEdit("my_measures:dim", 1, "def dim(document, value):\n    pass\n")
        again = import_functions(study)
        assert {name: function.__code__ for name, function in again.items()} == {
            name: function.__code__ for name, function in found.functions.items()
        }
    finally:
        sys.modules.pop("my_measures", None)


@pytest.fixture
def measures(office, tmp_path, monkeypatch):
    """Returns what a study with a module beside it would run, after the module was written to a folder."""

    def write_and_resolve(folder, text, module="our_measures"):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / f"{module}.py").write_text(f"def dim(document, value):\n    return {text}\n")
        monkeypatch.chdir(place)
        study = small_study(parameters={"dim": bs.Call(f"{module}:dim", values=[1])})
        found = resolved(office, study)
        (edit,) = found.edits["office", "dim", 1]
        return found.functions[edit.function](None, 1), edit.source

    yield write_and_resolve
    sys.modules.pop("our_measures", None)


def test_modules_of_one_name_beside_two_studies(measures):
    assert measures("one", "1")[0] == 1
    assert measures("two", "2") == (2, "def dim(document, value):\n    return 2\n")
    assert measures("one", "1")[0] == 1


def test_a_module_that_has_changed_is_read_again(measures):
    """Its new source is in the identity, so its new code must be what runs."""
    assert measures("one", "1")[0] == 1
    assert measures("one", "2") == (2, "def dim(document, value):\n    return 2\n")


@pytest.mark.parametrize("module", ["math", "json"])
def test_a_module_beside_the_study_that_python_passes_over(measures, module):
    with pytest.raises(StudyError, match=f"{module}:dim would be that of .*rename that @ parameters.dim"):
        measures("one", "1", module)


def test_a_module_that_is_a_script(tmp_path, office, monkeypatch):
    (tmp_path / "script_with_exit.py").write_text("raise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    problems = told(office, parameters={"dim": bs.Call("script_with_exit:dim", values=[1])})
    assert problems == ["cannot import script_with_exit:dim: SystemExit: 0 @ parameters.dim"]


def test_functions_reach_workers_that_lack_the_file(tmp_path, office, monkeypatch):
    """Dask's plugin carries them by value: the folder of a study is on the client's disk only."""
    from bemsweep.worker_tasks import ContextPlugin

    (tmp_path / "far_away.py").write_text("def dim(document, value):\n    return 'dimmed'\n")
    monkeypatch.chdir(tmp_path)
    study = small_study(parameters={"dim": bs.Call("far_away:dim", values=[1])})
    functions = resolved(office, study).functions
    try:
        pickled = pickle.dumps(ContextPlugin("run", functions))  # any content: what matters is how it travels
    finally:
        del sys.modules["far_away"]
    monkeypatch.chdir("/")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    plugin = pickle.loads(pickled)
    assert plugin._context["far_away:dim"](None, 1) == "dimmed"


def test_what_the_results_tell_of_each_parameter(office):
    found = resolved(office, small_study(parameters={
        "lighting": bs.Field("Lights", "watts_per_floor_area", values=[6]),
        "walls": bs.Field("Material", "thickness", name="*Insulation", values=[0.1]),
        "factor": bs.Field("Lights", "watts_per_floor_area", multiply=[0.5]),
        "north": bs.Field("Building", "north_axis", add="10 * lighting"),
        "setpoint": bs.Schedule("CLGSETP_SCH", add=[1]),
        "occupancy": bs.Schedule("BLDG_OCC_SCH", replace=[1]),
        "terrain": bs.Field("Building", "terrain", values=["City"]),
    })).attributes  # fmt: skip
    lights = "Lights: watts_per_floor_area"
    assert found == {
        "lighting": {"long_name": lights, "operation": "set", "units": "W m-2", "baseline_value": 10.76},
        "walls": {"long_name": "Material: thickness", "operation": "set", "units": "m"},
        "factor": {"long_name": lights, "operation": "multiply", "units": "1", "baseline_value": 1.0},
        "north": {"long_name": "Building: north_axis", "operation": "add", "expression": "10 * lighting",
                  "units": "degree", "baseline_value": 0.0},
        "setpoint": {"long_name": "schedule CLGSETP_SCH", "operation": "add", "baseline_value": 0.0,
                     "units": "K"},
        "occupancy": {"long_name": "schedule BLDG_OCC_SCH", "operation": "replace", "units": "1"},
        "terrain": {"long_name": "Building: terrain", "operation": "set"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Output:Meter, Electricity:Facility, Hourly;", "ask for outputs under `outputs`"),
        ("RunPeriod, Mine, 1, 1, , 1, 31;", "all variants share one time axis"),
        ("Schedule:File, Mine, Fraction, mine.csv, 1, 0;", "names the file mine.csv"),
        ("PythonPlugin:Instance, Mine, No, mine, Mine;", "It has PythonPlugin:Instance; Python plugins do not run"),
        ("HVACTemplate:Thermostat, Mine, , 20, , 25;", "It has HVACTemplate:Thermostat; this engine cannot expand"),
    ],
    ids=["output", "run period", "file", "plugin", "template"],
)
def test_what_cannot_be_inserted(office, tmp_path, text, message):
    (tmp_path / "mine.idf").write_text(text)
    (problem,) = told(office, parameters={"mine": {"insert": [str(tmp_path / "mine.idf")]}})
    assert message in problem
