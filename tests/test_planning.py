from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pyenergyplus.dataset import ref_models, weather_files

import bemsweep as bs
from bemsweep.errors import ConflictError, EngineNotFoundError, StudyError
from bemsweep.testing import FakeEngine
from engine_jobs import write_launcher
from small_studies import CHICAGO, grid_of, small_study

VERSION_25 = b'{"Version": {"V": {"version_identifier": "25.2"}}'
SMALL_OFFICE = Path(ref_models["small_office"])


@pytest.fixture
def fake(tmp_path: Path) -> FakeEngine:
    return FakeEngine(counter=tmp_path / "starts")


def problems_of(study: bs.Study, tmp_path: Path, engine: FakeEngine) -> list[str]:
    with pytest.raises(StudyError) as caught:
        bs.plan(study, store=tmp_path / "store", engine=engine)
    assert not (tmp_path / "store" / "studies").exists()
    return [str(problem) for problem in caught.value.problems]


def own_model(tmp_path: Path, name: str, *changes: tuple[str, str]) -> Path:
    text = SMALL_OFFICE.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / name
    path.write_text(text)
    return path


def test_counts_and_tables(tmp_path: Path, fake: FakeEngine) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=fake)
    assert plan.counts()["variants"] == 6
    assert len(set(plan.variant_ids)) == 6
    assert plan.counts()["hours_per_variant"] == 8760
    assert plan.bytes_per_variant == 8 * 12 * 3, "a meter and two zones, monthly"
    assert "6: 0 stored, 6 to run" in str(plan)
    frame = plan.to_frame()
    assert list(frame.columns) == ["baseline", "weather", "lighting", "north", "variant_id", "is_stored"]
    assert "lighting" in plan._repr_html_()
    assert json.dumps(plan.counts())


def test_planning_twice_asks_the_engine_once(tmp_path: Path, fake: FakeEngine) -> None:
    for _ in range(2):
        bs.plan(small_study(), store=tmp_path / "store", engine=fake)
    assert fake.starts == 1


def test_problems_of_all_parts_are_told_at_once(tmp_path: Path, fake: FakeEngine) -> None:
    study = small_study(
        weather={"here": str(tmp_path / "none.epw")},
        parameters={
            "a": bs.Field("Ligths", "watts_per_floor_area", values=[6]),
            "b": bs.Field("Lights", "wats_per_floor_area", values=[6]),
            "c": bs.Field("Lights", "watts_per_floor_area", values=[-6]),
            "d": bs.Field("Lights", "watts_per_person", values=[6]),
            "e": bs.Field("Lights", "lighting_level", multiply=[2]),
            "f": bs.Field("Lights", "watts_per_floor_area", values=["much"]),
            "g": bs.Call("no_such_module:edit", values=[1]),
        },
        exclude=["a == 6 and nothing"],
    )
    told = problems_of(study, tmp_path, fake)
    expected = {
        "none.epw": "weather.here",
        "'Lights'": "parameters.a",
        "watts_per_floor_area": "parameters.b",
        "-6": "parameters.c",
        "watts_per_person": "parameters.d",
        "lighting_level": "parameters.e",
        "much": "parameters.f",
        "no_such_module": "parameters.g",
        "nothing": "exclude.0",
    }
    for word, path in expected.items():
        assert any(word in problem and path in problem for problem in told), (word, told)
    assert fake.starts == 0


def test_a_typo_in_an_output_costs_no_variant(tmp_path: Path) -> None:
    engine = FakeEngine(
        reports=["Zone Mean Air Temperature", "Electricity:Facility"],
        counter=tmp_path / "starts",
        keys=["CORE_ZN", "ATTIC"],
    )
    outputs = [
        bs.Variable("Zone Mean Air Temprature", frequency="monthly"),
        bs.Variable("Zone Mean Air Temperature", key="COER_ZN", frequency="monthly"),
        bs.Meter("Electricity:Facilty", frequency="monthly"),
        bs.Meter("NaturalGas:Facility", frequency="monthly", optional=True),
    ]
    told = problems_of(small_study(outputs=outputs), tmp_path, engine)
    assert len(told) == 3
    assert "did you mean 'Zone Mean Air Temperature'" in told[0]
    assert "outputs.0" in told[0]
    assert "CORE_ZN" in told[1]
    assert "did you mean 'Electricity:Facility'" in told[2]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("Version,25.2", "Version,9.6")], ["9.6", "ENERGYPLUS_DIR"]),
        ([("  Timestep,6", "  Timestep,6")], []),
    ],
)
def test_a_model_of_another_version_is_refused(
    tmp_path: Path, fake: FakeEngine, changes: list[tuple[str, str]], told: list[str]
) -> None:
    text = SMALL_OFFICE.read_text()
    path = tmp_path / "own.idf"
    path.write_text(re.sub(r"Version,\s*25\.2", "Version,9.6", text) if told else text)
    study = small_study(baseline=str(path))
    if not told:
        bs.plan(study, store=tmp_path / "store", engine=fake)
        return
    messages = problems_of(study, tmp_path, fake)
    assert len(messages) == 1
    assert all(word in messages[0] for word in told), messages


def test_a_broken_model_is_told_with_its_line(tmp_path: Path, fake: FakeEngine) -> None:
    path = own_model(tmp_path, "own.idf", ("  SimulationControl,", "  SimulationCtrl,"))
    line = path.read_text().splitlines().index("  SimulationCtrl,") + 1
    (told,) = problems_of(small_study(baseline=str(path)), tmp_path, fake)
    assert f"own.idf:{line}" in told or f"line {line}" in told


@pytest.mark.engine
def test_a_baseline_that_the_engine_rejects_is_refused(tmp_path: Path) -> None:
    path = own_model(tmp_path, "own.idf", ("    1IN Stucco,              !- Outside Layer", "    Nowhere to be found,"))
    with pytest.raises(StudyError, match=r"does not run as it stands.*(?i:nowhere)"):
        bs.plan(small_study(baseline=str(path)), store=tmp_path / "store")


def test_weather_must_hold_a_year(tmp_path: Path, fake: FakeEngine) -> None:
    lines = Path(weather_files["usa_il_chicago"]).read_text(encoding="latin-1").splitlines()
    january = [*lines[:7], lines[7].replace("12/31", "1/31"), *lines[8 : 8 + 31 * 24]]
    path = tmp_path / "january.epw"
    path.write_text("\n".join(january), encoding="latin-1")
    (told,) = problems_of(small_study(weather=str(path)), tmp_path, fake)
    assert "whole year" in told
    bs.plan(small_study(weather=str(path), run="design_day"), store=tmp_path / "store", engine=fake)


def test_models_without_a_common_time_axis_are_refused(tmp_path: Path, fake: FakeEngine) -> None:
    other = own_model(tmp_path, "other.idf", ("Timestep,6;", "Timestep,4;"))
    both = {"one": "bundled:ref/small_office", "two": str(other)}
    bs.plan(small_study(baseline=both), store=tmp_path / "store", engine=fake)
    outputs = [bs.Meter("Electricity:Facility", frequency="timestep")]
    (told,) = problems_of(small_study(name="steps", baseline=both, outputs=outputs), tmp_path / "other", fake)
    assert "no common time axis" in told


def test_other_weekdays_are_allowed_with_a_warning(tmp_path: Path, fake: FakeEngine) -> None:
    other = own_model(
        tmp_path,
        "other.idf",
        ("    Sunday,                  !- Day of Week", "    Monday,                  !- Day of Week"),
    )
    plan = bs.plan(
        small_study(baseline={"one": "bundled:ref/small_office", "two": str(other)}),
        store=tmp_path / "store",
        engine=fake,
    )
    assert any("weekday" in warning for warning in plan.warnings)
    assert "warning" in str(plan)


@pytest.mark.parametrize(
    ("edited", "outputs_at"), [(bs.Field("Timestep", "number_of_timesteps_per_hour", values=[4]), "timestep")]
)
def test_edits_that_move_the_time_axis_are_refused(
    tmp_path: Path, fake: FakeEngine, edited: bs.Field, outputs_at: Any
) -> None:
    hourly = small_study(parameters={"steps": edited})
    bs.plan(hourly, store=tmp_path / "store", engine=fake)
    outputs = [bs.Meter("Electricity:Facility", frequency=outputs_at)]
    told = problems_of(
        small_study(name="other", parameters={"steps": edited}, outputs=outputs), tmp_path / "other", fake
    )
    assert "different time axes" in told[0]


def test_more_than_a_million_variants_need_yes(tmp_path: Path, fake: FakeEngine) -> None:
    (told,) = problems_of(small_study(parameters=grid_of(1001, 1000)), tmp_path, fake)
    assert "1,001,000" in told
    assert "--yes" in told


def test_a_conflicting_study_of_that_name_is_refused(tmp_path: Path, fake: FakeEngine) -> None:
    bs.run(bs.plan(small_study(), store=tmp_path / "store", engine=fake))
    for change, told in (
        ({"run": "design_day"}, "run was 'annual'"),
        (
            {"baseline": {"small_office": str(own_model(tmp_path, "b.idf", ("Timestep,6;", "Timestep,4;")))}},
            "another content",
        ),
        (
            {"parameters": {"lighting": bs.Field("Lights", "watts_per_floor_area", multiply=[2])}},
            "parameter 'lighting'",
        ),
    ):
        with pytest.raises(ConflictError, match=told):
            bs.plan(small_study(**change), store=tmp_path / "store", engine=fake)


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path, fake: FakeEngine) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot write"):
        bs.plan(small_study(), store=tmp_path / "file" / "store", engine=fake)
    assert fake.starts == 0


def test_no_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineNotFoundError, match="nowhere"):
        bs.plan(small_study(), store=tmp_path / "store", engine=str(tmp_path / "nowhere" / "energyplus"))


def test_external_files_are_found_and_part_of_the_identity(tmp_path: Path, fake: FakeEngine) -> None:
    hours = "\n".join(["0.5"] * 8760)
    extra = "Schedule:File,Measured,Fraction,hours.csv,1,0,8760,Comma,No,60;\n"
    path = own_model(tmp_path, "own.idf", ("  SimulationControl,", f"  {extra}\n  SimulationControl,"))
    (told,) = problems_of(small_study(baseline=str(path)), tmp_path, fake)
    assert "hours.csv" in told
    (tmp_path / "hours.csv").write_text(hours)
    first = bs.plan(small_study(baseline=str(path)), store=tmp_path / "store", engine=fake)
    (tmp_path / "hours.csv").write_text(hours.replace("0.5", "0.6"))
    second = bs.plan(small_study(baseline=str(path)), store=tmp_path / "store", engine=fake)
    assert not set(first.variant_ids) & set(second.variant_ids)


def test_labels_and_names_do_not_change_a_variant(tmp_path: Path, fake: FakeEngine) -> None:
    one = bs.plan(small_study(), store=tmp_path / "store", engine=fake)
    parameters = small_study().parameters
    other = bs.plan(
        small_study(
            name="other", weather={"elsewhere": CHICAGO["chicago"]}, baseline={"b": "bundled:ref/small_office"},
            parameters={
                "x": bs.Field("LIGHTS", "Watts per Floor Area", values=[None, 8.0, 6.0]),
                "y": parameters["north"],
            },
            timeout_s=5,
        ),
        store=tmp_path / "store", engine=fake,
    )  # fmt: skip
    assert one.variant_ids == other.variant_ids


@pytest.mark.engine
def test_a_weather_file_of_one_month_serves_run_periods_within_it(tmp_path: Path) -> None:
    """The look at a baseline simulates a day that the weather file has."""
    lines = Path(weather_files["usa_il_chicago"]).read_text(encoding="latin-1").splitlines()
    july = [row for row in lines[8:] if row.split(",")[1] == "7"]
    header = lines[7].replace(" 1/ 1", " 7/ 1").replace("12/31", " 7/31")
    assert header != lines[7]
    path = tmp_path / "july.epw"
    path.write_text("\n".join([*lines[:7], header, *july]), encoding="latin-1")
    text = re.sub(r"(?s)(RunPeriod,\s*Annual,[^\n]*\n)\s*1,([^\n]*\n\s*1,)", r"\1 7,\2", SMALL_OFFICE.read_text())
    text = re.sub(r"(?m)^\s*12,(\s*!- End Month)\n\s*31,", r"7,\1\n31,", text)
    text = re.sub(r"NO,(\s*!- Run Simulation for Weather File Run Periods)", r"YES,\1", text)
    own = tmp_path / "own.idf"
    own.write_text(text)
    outputs = [bs.Meter("Electricity:Facility", frequency="daily")]
    study = small_study(baseline=str(own), weather=str(path), run="run_period", outputs=outputs, parameters={})
    plan = bs.plan(study, store=tmp_path / "store")
    assert plan.layout.calendar.shape("daily") == (31,)


def test_a_broken_baseline_does_not_make_its_label_unknown(tmp_path: Path, fake: FakeEngine) -> None:
    (tmp_path / "bad.idf").write_text("Version,25.2;\nnonsense")
    study = small_study(
        baseline={"bad": str(tmp_path / "bad.idf")},
        design={"table": {"baseline": ["bad"], "lighting": [6]}},
        parameters={"lighting": bs.Field("Lights", "watts_per_floor_area")},
    )
    (told,) = problems_of(study, tmp_path, fake)
    assert "bad.idf" in told


def test_two_functions_of_one_name_are_refused(tmp_path: Path, fake: FakeEngine) -> None:
    def make(factor: int) -> Any:
        namespace: dict[str, Any] = {}
        exec(f"def edit(document, value):\n    return {factor}", namespace)  # as a redefinition in a notebook
        namespace["edit"].__module__ = "notebook"
        return namespace["edit"]

    one, other = (bs.Call(make(factor), values=[1], version=str(factor)) for factor in (1, 2))
    (told,) = problems_of(small_study(parameters={"a": one, "b": other}), tmp_path, fake)
    assert "two functions are called notebook:edit" in told


def test_a_file_cannot_vary_by_its_name(tmp_path: Path, fake: FakeEngine) -> None:
    extra = "Schedule:File,Measured,Fraction,hours.csv,1,0,8760,Comma,No,60;"
    (tmp_path / "hours.csv").write_text("\n".join(["0.5"] * 8760))
    path = own_model(tmp_path, "own.idf", ("  SimulationControl,", f"  {extra}\n\n  SimulationControl,"))
    parameters = {"file": bs.Field("Schedule:File", "file_name", values=["other.csv"])}
    (told,) = problems_of(small_study(baseline=str(path), parameters=parameters), tmp_path, fake)
    assert "make each a baseline of its own" in told


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("model.osm", b"OS:Version,\n  1;", "OpenStudio"),
        ("model.imf", b"##include x", "EPMacro"),
        ("model", b"Version,25.2;", "must end in .idf"),
        ("model.idf", b"", "is empty"),
        ("model.idf", b"\x7fELF\x02\x01", "is no IDF"),
        ("model.idf", b"<html></html>", "is no IDF"),
        ("model.epJSON", b"[" * 100_000, "nested too deeply"),
        (
            "model.epJSON",
            b'{"Version": {"V": {"version_identifier": "25.2"}}, "Zone": {"\\ud800": {}}}',
            "no character",
        ),
        ("model.epJSON", b"[]", "is no epJSON"),
    ],
)
def test_what_is_no_model_is_told_as_what_it_is(
    tmp_path: Path, fake: FakeEngine, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (message,) = problems_of(small_study(baseline={"own": str(tmp_path / name)}), tmp_path, fake)
    assert told in message, message


def test_an_external_file_that_is_no_file_is_not_read(tmp_path: Path, fake: FakeEngine) -> None:
    extra = "Schedule:File,Measured,Fraction,/dev/zero,1,0,8760,Comma,No,60;"
    path = own_model(tmp_path, "own.idf", ("  SimulationControl,", f"  {extra}\n\n  SimulationControl,"))
    (told,) = problems_of(small_study(baseline=str(path)), tmp_path, fake)
    assert "/dev/zero" in told


# The study's own engine

OFFICE = """\
name: office
baseline: {baseline}
weather: bundled:usa_il_chicago
run: design_day
engine: {engine}
outputs: [{{meter: "Electricity:Facility", frequency: annual}}]
"""


def written(tmp_path: Path, engine: object, baseline: object = "bundled:ref/small_office") -> bs.Study:
    file = tmp_path / "study" / "office.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(OFFICE.format(engine=engine, baseline=baseline))
    return bs.Study.from_yaml(file, allow_python=True)


@pytest.mark.engine
@pytest.mark.parametrize("way", ["absolute", "folder", "relative", "home"])
def test_a_study_names_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    home = tmp_path / "study" / "EnergyPlus"
    home.mkdir(parents=True)
    program = write_launcher(home)
    monkeypatch.setenv("HOME", str(home.parent))
    monkeypatch.setenv("ENERGYPLUS_DIR", str(tmp_path / "not here"))
    named = {"absolute": program, "folder": home, "relative": "EnergyPlus/energyplus", "home": "~/EnergyPlus"}[way]
    plan = bs.plan(written(tmp_path, named), store=tmp_path / "store")
    assert Path(str(plan.engine)) in (program, home), "as the workers get it"
    if way == "relative":
        assert bs.run(plan).progress.statuses == {"succeeded": 1}


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ("EnergyPlus-22-1-0", "no EnergyPlus at {study}/EnergyPlus-22-1-0"),
        (".", "no `energyplus` in the folder {study}"),
        ("office.yaml", "{study}/office.yaml is not executable"),
        ("liar", "{study}/liar is not EnergyPlus: it calls itself"),
    ],
)
def test_a_wrong_engine_is_told_with_its_line(tmp_path: Path, engine: str, told: str) -> None:
    study = written(tmp_path, engine)
    liar = tmp_path / "study" / "liar"
    liar.write_text("#!/bin/sh\necho something else\n")
    liar.chmod(0o755)
    with pytest.raises(StudyError) as caught:
        bs.plan(study, store=tmp_path / "store")
    (problem,) = map(str, caught.value.problems)
    assert told.format(study=tmp_path / "study") in problem
    assert problem.endswith(" @ engine, line 5")
    assert not (tmp_path / "store" / "studies").exists()


def test_an_argument_wins_over_the_studys_engine(tmp_path: Path, fake: FakeEngine) -> None:
    study = written(tmp_path, "nowhere")
    assert bs.plan(study, store=tmp_path / "store", engine=fake).engine_version == fake.version
    with pytest.raises(EngineNotFoundError, match=r"no EnergyPlus at .*elsewhere"):
        bs.plan(study, store=tmp_path / "store", engine="elsewhere")


@pytest.mark.parametrize("version", ["9.6", "22.1", "24.1"])
def test_a_model_of_another_version_says_which_engine_to_get(tmp_path: Path, fake: FakeEngine, version: str) -> None:
    model = own_model(tmp_path, "old.idf", ("25.2;", f"{version};"))
    (problem,) = problems_of(small_study(baseline=str(model)), tmp_path, fake)
    assert f"the model is of EnergyPlus {version}, but the engine at hand is {fake.version}" in problem
    assert f"install EnergyPlus {version} and name its folder with `engine:`" in problem
    assert problem.endswith("@ baseline.old")
    assert not fake.starts


def test_another_engine_is_told_and_runs_all_again(tmp_path: Path, fake: FakeEngine) -> None:
    bs.run(bs.plan(small_study(), store=tmp_path / "store", engine=fake))
    assert not bs.plan(small_study(), store=tmp_path / "store", engine=fake).warnings
    other = FakeEngine(version="EnergyPlus, Version 25.2.0-other")
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=other)
    assert len(plan.to_run) == 6
    (warning,) = plan.warnings
    assert warning == f"the study has been run with {fake.version}: {other.version} runs all variants again"
