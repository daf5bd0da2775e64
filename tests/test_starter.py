"""The study file that `bemsweep init` writes: it runs as it stands, and so does what it suggests."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest
from pyenergyplus import dataset

import bemsweep as bs
from bemsweep.errors import InputError, StudyError
from bemsweep.input_files import InputFiles
from bemsweep.starter import write_study
from bemsweep.testing import FakeEngine

MODELS = [*(f"bundled:ref/{name}" for name in dataset.ref_models)]
MODELS += [f"bundled:ashrae/{name}" for name in dataset.ashrae_models]
CHICAGO = "bundled:usa_il_chicago"
REPORTS = ["Electricity:Facility", "Cooling:Electricity", "Zone Mean Air Temperature"]
REPORTS += ["Site Outdoor Air Drybulb Temperature"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))


def written(model=None, epw=CHICAGO, *, text="", **how):
    """Return the study file for a bundled model, or for an IDF of `text` in the current folder."""
    if model is None:
        Path("own.idf").write_text(text)
        model = "own.idf"
    return write_study(model, epw, engine=FakeEngine(reports=REPORTS), **how)


def study_of(text: str, folder: Path) -> bs.Study:
    (folder / "study.yaml").write_text(text)
    return bs.Study.from_yaml(folder / "study.yaml")


def all_in_force(text: str) -> str:
    """Take the ``# `` from every suggestion."""
    return re.sub(r"^  # (?=\w+: \{|- )", "  ", text, flags=re.MULTILINE)


@pytest.mark.matrix
@pytest.mark.parametrize("model", MODELS)
def test_every_bundled_models_study_can_be_planned(model, tmp_path):
    check_written(model, tmp_path)


@pytest.mark.parametrize("number", range(4))
def test_some_bundled_models_studies_can_be_planned(number, tmp_path):
    """Others each time, by the seed that pytest-randomly prints."""
    check_written(random.choice(MODELS[number::4]), tmp_path)


def check_written(model, tmp_path):
    text = written(model)
    study, engine = study_of(text, tmp_path), FakeEngine(reports=REPORTS)
    assert study.run == "annual"
    assert 2 <= len(study.parameters) <= 3
    if model in MODELS[::4]:  # the one below has all that this one has
        plan = bs.plan(study, store=tmp_path / "store", engine=engine)
        assert 4 <= len(plan.to_run) <= 12
        assert all("are those of" in warning for warning in plan.warnings), "ground temperatures of another city"
    more = study_of(all_in_force(text).replace(f"name: {study.name}", "name: more"), tmp_path)
    assert set(more.parameters) > {*study.parameters, "orientation", "plug_loads", "wall_insulation"}
    assert len(more.outputs) > len(study.outputs)
    assert bs.plan(more, store=tmp_path / "store", engine=engine).points.names[2:] == tuple(more.parameters)


@pytest.mark.engine
@pytest.mark.parametrize(
    "model",
    [
        "ref/quick_service_restaurant",
        "ashrae/retail_strip_mall",
        pytest.param("ref/warehouse", marks=pytest.mark.matrix),
        pytest.param("ashrae/restaurant_fast_food", marks=pytest.mark.matrix),
    ],
)
def test_what_is_suggested_can_be_planned_with_the_real_engine(model, tmp_path):
    text = write_study(f"bundled:{model}", CHICAGO)
    assert bs.plan(study_of(text, tmp_path), store=tmp_path / "store").to_run
    more = all_in_force(text).replace(f"name: {model.partition('/')[2]}", "name: more")
    assert bs.plan(study_of(more, tmp_path), store=tmp_path / "store").to_run


@pytest.mark.engine
@pytest.mark.heavy
@pytest.mark.parametrize("model", ["ref/small_office", "ashrae/office_small"])
def test_it_runs_and_every_suggestion_does_something(model, tmp_path):
    """As it stands but on design days, one parameter varied at a time."""
    text = all_in_force(write_study(f"bundled:{model}", CHICAGO)).replace("run: annual", "run: design_day", 1)
    text = text.replace("  - summary", "  # - summary")
    text = re.sub(r"^# run: .*\n", "", text, flags=re.MULTILINE)
    levels = {name: parameter.levels[1] for name, parameter in study_of(text, tmp_path).parameters.items()}
    kinds = {"values": "set", "multiply": "multiply", "add": "add"}
    listed = re.sub(r", (values|multiply|add): \[[^\]]*\]", lambda found: f", operation: {kinds[found[1]]}", text)
    columns = {name: [value if other == name else None for other in levels] for name, value in levels.items()}
    design = re.sub("None", "null", f"design: {{table: {columns}}}")
    study = study_of(f"{listed}{design}\n", tmp_path)
    run = bs.run(bs.plan(study, store=tmp_path / "store"))
    assert run.progress.failed == 0
    results = bs.open_results(tmp_path / "store", study.name)["hourly"].to_dataset().load()
    energy = (results.electricity + results.gas).sum(["design_day", "time"])
    changed = dict(zip(levels, abs(energy.values[1:] / energy.values[0] - 1), strict=True))
    # A heat pump is off on a winter design day.
    assert {name for name, change in changed.items() if not change > 1e-4} - {"heating_cop"} == set()


def test_levels_follow_what_the_model_has():
    text = written("bundled:ref/small_office")
    assert (
        "lighting: {object: Lights, field: watts_per_floor_area, values: [null, 8.61, 6.46]}  # now 10.76 W/m2" in text
    )
    assert "where: {design_flow_rate_calculation_method: Flow/ExteriorArea}, values: [null, 0.000151]}" in text
    assert "# wall_insulation: {object: Material, name: Mass NonRes Wall Insulation, field: conductivity" in text
    assert "roof_insulation" not in text, "the roof is that of an attic"
    assert "# cooling_setpoint: {schedule: CLGSETP_SCH, add: [null, 1]}  # K; set point of 5 thermostats\n" in text
    assert "multiply: [null, 0.8, 0.6]}  # factors; now 4.3 to 29.05 W/m2" in written("bundled:ref/hospital")
    assert "watts_per_floor_area: 9.584185835}, values" in written("bundled:ashrae/retail_strip_mall"), "some are blank"


def test_a_foreign_city_brings_its_own_design_days():
    line = "design_days: epw  # sized by days of this weather's header"
    assert line in written("bundled:ref/small_office", "bundled:usa_az_phoenix")
    assert line not in written("bundled:ref/small_office")


def test_a_zone_with_a_thermostat_comes_first():
    engine = FakeEngine(keys=["Attic", "Core_ZN"], reports=REPORTS)
    assert "key: Core_ZN, frequency: hourly" in write_study("bundled:ref/small_office", CHICAGO, engine=engine)


def test_paths_start_from_where_the_file_will_stand(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "studies").mkdir()
    shutil.copy(InputFiles(tmp_path).find_one("bundled:ref/small_office").path, tmp_path / "models" / "my office.idf")
    shutil.copy(InputFiles(tmp_path).find_one(CHICAGO).path, tmp_path / "models" / "w.epw")
    monkeypatch.chdir(tmp_path / "models")
    text = written("my office.idf", "w.epw", file=Path("../studies/s.yaml"))
    study = study_of(text, tmp_path / "studies")
    assert study.baseline == {"my office": "../models/my office.idf"}
    assert study.weather["w"].epw == "../models/w.epw"
    assert study.name == "my-office"
    assert "bemsweep plan s.yaml" in text
    assert "bemsweep describe '../models/my office.idf' --find" in text
    assert bs.plan(study, store=tmp_path / "store", engine=FakeEngine(reports=REPORTS)).to_run


BARE = "Version, 25.2; Building, B, 30; GlobalGeometryRules, UpperLeftCorner, Counterclockwise, World; Zone, z;"


@pytest.mark.parametrize(
    ("added", "parameters"),
    [
        ("", {"orientation"}),
        ("Lights, l, z, s, LightingLevel, 500;", {"lighting", "orientation"}),
        ("Lights, l, z, s, Watts/Area, , 0;", {"orientation"}),
        ("Lights, l, z, s, Watts/Person, , , 40; Lights, m, z, s, LightingLevel, 0;", {"lighting", "orientation"}),
    ],
    ids=["nothing", "level", "zero", "person"],
)
def test_a_poor_model_gets_what_there_is(tmp_path, monkeypatch, added, parameters):
    monkeypatch.chdir(tmp_path)
    text = written(text=BARE + added)
    study = study_of(text, tmp_path)
    assert set(study.parameters) == parameters
    assert "# run: run_period" not in text
    assert bs.plan(study, store=tmp_path / "store", engine=FakeEngine(reports=REPORTS)).to_run


def test_a_part_of_a_year_is_run_as_the_model_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = InputFiles(tmp_path).find_one(CHICAGO).path.read_text(encoding="latin-1").splitlines(keepends=True)
    january = [line.replace("12/31", "1/31") if line.startswith("DATA PERIODS") else line for line in lines[:8]]
    Path("january.epw").write_text("".join([*january, *lines[8 : 8 + 744]]), encoding="latin-1")
    with pytest.raises(StudyError, match="no whole year, and the model has nothing else to run"):
        written(text=BARE, epw="january.epw")
    text = written(text=f"{BARE} RunPeriod, r, 1, 1, , 1, 31;", epw="january.epw")
    assert study_of(text, tmp_path).run == "run_period"
    assert "annual" not in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Version, 22.1; Zone, z;", "own.idf: the model is of EnergyPlus 22.1"),
        (f"{BARE} HVACTemplate:Thermostat, all, , 20, , 24;", "run ExpandObjects on the model first"),
        (f"{BARE} Schedule:File, f, , loads.csv, 1, 0;", "own.idf names the file loads.csv"),
    ],
    ids=["version", "template", "file"],
)
def test_what_cannot_be_run_is_told_as_by_a_plan(tmp_path, monkeypatch, text, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=re.escape(told)):
        written(text=text)


def test_a_model_without_anything_to_look_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.idf").write_text(BARE)
    with pytest.raises(StudyError, match="neither energy nor zone temperatures"):
        write_study("own.idf", CHICAGO, engine=FakeEngine(reports=["Site Outdoor Air Drybulb Temperature"]))


def test_files_that_are_not_there():
    with pytest.raises(InputError, match="did you mean 'ref/small_office'"):
        written("bundled:ref/small_ofice")
    with pytest.raises(InputError, match="did you mean 'usa_il_chicago'"):
        written("bundled:ref/small_office", "bundled:usa_il_chigaco")
