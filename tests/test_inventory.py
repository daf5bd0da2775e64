"""What a model can report in full, and that it is asked once."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bemsweep.errors import InfrastructureError, InputError, ModelError
from bemsweep.input_files import InputFiles
from bemsweep.inventory import Inventory, MeterUnits, VariableKey, examine
from bemsweep.testing import FakeEngine

OFFICE = "bundled:ref/small_office"
REPORTS = ["Electricity:Facility", "Zone Mean Air Temperature", "Site Outdoor Air Drybulb Temperature"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def look(engine=None, *, model=OFFICE, weather=None, folder=None):
    return examine(model, weather=weather, folder=folder or Path.cwd(), engine=engine)


def fake(**changes):
    return FakeEngine(**{"keys": ["Core_ZN", "Attic"], "reports": REPORTS, **changes})


def own_model(folder: Path, *, added: str = "") -> str:
    """Write a copy of the small office with something added, and return its name."""
    text = InputFiles(folder).find_one(OFFICE).path.read_text(encoding="latin-1")
    (folder / "own.idf").write_text(text + added, encoding="latin-1")
    return "own.idf"


def test_it_knows_variables_with_their_keys_and_meters():
    found = look(fake()).inventory
    assert found.variables == (
        VariableKey("Site Outdoor Air Drybulb Temperature", "", "", "C"),
        VariableKey("Zone Mean Air Temperature", "Core_ZN", "zone", "C"),
        VariableKey("Zone Mean Air Temperature", "Attic", "zone", "C"),
    )
    assert found.meters == (MeterUnits("Electricity:Facility", "J"),)


def test_it_is_asked_once_by_content(tmp_path, cache):
    engine = fake()
    first = look(engine).inventory
    own_model(tmp_path)
    copied = look(engine, model="own.idf", folder=tmp_path, weather="bundled:usa_co_denver").inventory
    assert engine.starts == 2
    assert copied == first
    look(engine, model=own_model(tmp_path, added="\n  Zone, another;\n"), folder=tmp_path)
    assert engine.starts == 4
    look(fake(version="EnergyPlus, Version 25.2.0-other", counter=tmp_path / "n"))
    assert len((tmp_path / "n").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "damage",
    [b"", b"x", gzip.compress(b"{"), gzip.compress(b"[]"), gzip.compress(b"{}")],
    ids=["nothing", "no gzip", "cut", "list", "empty"],
)
def test_what_was_kept_and_cannot_be_read_is_asked_again(cache, damage):
    first = look(fake()).inventory
    (path,) = cache.rglob("*.json.gz")
    path.write_bytes(damage)
    engine = fake()
    assert look(engine).inventory == first
    assert engine.starts == 2


def test_what_cannot_be_kept_is_told_all_the_same(cache):
    cache.write_text("a file where the folder should be")
    assert look(fake()).inventory.meters


def test_a_model_that_does_not_run_is_told_and_not_kept():
    engine = fake(faults={2: "fail"})
    failed = look(engine)
    assert "does not run as it stands: " in failed.problems[0].message
    assert "Expected number greater than or equal to 0" in failed.problems[0].message
    assert failed.inventory == Inventory()
    assert look(engine).inventory.meters


def test_a_machines_fault_is_raised():
    with pytest.raises(InfrastructureError):
        look(fake(faults={1: "full_disk"}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Version, 22.1; Zone, z;", "the model is of EnergyPlus 22.1, but the engine at hand is"),
        ("Version, 25.2; Zone, z; HVACTemplate:Thermostat, all, , 20, , 24;", "this engine cannot expand templates"),
        (
            "Version, 25.2; Zone, z; Schedule:File, f, , loads.csv, 1, 0;",
            "names the file loads.csv: no such file",
        ),
    ],
    ids=["version", "template", "file"],
)
def test_what_stands_against_running_is_told_as_by_a_plan(tmp_path, text, told):
    engine = fake()
    (tmp_path / "own.idf").write_text(text)
    found = look(engine, model="own.idf", folder=tmp_path)
    (problem,) = found.problems
    assert problem.message.startswith("own.idf")
    assert told in problem.message
    assert len(found.document["Zone"]) == 1
    assert engine.starts == 0


def test_without_an_engine_the_file_is_read_all_the_same(tmp_path):
    found = look(str(tmp_path))
    assert "EnergyPlus" in found.problems[0].message
    assert found.document["Lights"]


@pytest.mark.parametrize(
    ("model", "weather", "told"),
    [
        ("own.idff", None, r"own\.idff: no such file \(did you mean 'own\.idf'\?\)"),
        ("*.idf", None, "2 files match, name one of them"),
        ("own.idf", "bundled:usa_il_chicago2", "did you mean 'usa_il_chicago'"),
        ("own.idf", "own.idf", r"own\.idf is no whole EPW"),
        ("broken.idf", None, r"^broken\.idf is no IDF"),
    ],
)
def test_files_that_are_none_are_told(tmp_path, model, weather, told):
    own_model(tmp_path)
    (tmp_path / "broken.idf").write_text("<xml/>")
    with pytest.raises((InputError, ModelError), match=told):
        look(fake(), model=model, weather=weather, folder=tmp_path)


@pytest.mark.engine
def test_the_real_engine_tells_keys_units_and_cells(cache):
    found = look().inventory
    temperature = [one for one in found.variables if one.variable == "Zone Mean Air Temperature"]
    assert {one.key for one in temperature} == {"Attic", "Core_ZN", *(f"Perimeter_ZN_{n}" for n in range(1, 5))}
    assert {(one.key_kind, one.units) for one in temperature} == {("zone", "C")}
    assert MeterUnits("NaturalGas:Facility", "J") in found.meters
    abups = [cell for cell in found.cells if cell.report == "AnnualBuildingUtilityPerformanceSummary"]
    (total,) = [
        cell
        for cell in abups
        if (cell.name, cell.row, cell.column) == ("Site and Source Energy", "Total Site Energy", "Total Energy")
    ]
    assert (total.for_, total.units) == ("Entire Facility", "GJ")
    assert any(cell.report == "COOLING PART LOAD PERFORMANCE" for cell in found.cells), "the model's own tables"
    assert len(set(found.cells)) == len(found.cells)
    (kept,) = cache.rglob("*.json.gz")
    assert kept.stat().st_size < 1_000_000
