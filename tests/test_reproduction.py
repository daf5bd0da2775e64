"""Promise: one variant can be had again from its record alone, bit for bit."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bemsweep as bs
from bemsweep.record_file import from_bytes, to_bytes
from bemsweep.reproduction import reproduce
from bemsweep.resolution import import_functions
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import run_study, small_study

pytestmark = pytest.mark.engine

EXAMPLES = Path(__file__).parent.parent / "examples"


def dim(document, value):
    """A function of the tests' own."""
    for lights in document["Lights"]:
        lights.watts_per_floor_area = value


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Variants with every kind of edit, on design days."""
    folder = tmp_path_factory.mktemp("reproduction")
    study = small_study(
        run="design_day",
        design={"table": {
            "lighting": [None, 6.0, None, None], "dimmed": [None, None, 5.0, None],
            "occupancy": [None, str(EXAMPLES / "hybrid_occupancy.csv"), None, None],
            "walls": [None, "timber", None, None], "thick": [None, None, None, 2.9],
        }},
        parameters={
            "lighting": bs.Field("Lights", "watts_per_floor_area"),
            "dimmed": bs.Call(dim),
            "occupancy": bs.Schedule("BLDG_OCC_SCH"),
            "walls": bs.Options({"timber": [
                {"insert": str(EXAMPLES / "timber_wall.idf")},
                {"object": "BuildingSurface:Detailed", "where": {"surface_type": "Wall"}, "field": "construction_name",
                 "set": "Timber Wall", "name": "*_wall_*"},
            ]}),
            "thick": bs.Field("Material", "thickness", name="1IN Stucco"),
        },
        outputs=[bs.Meter("Electricity:Facility", as_="electricity"),
                 bs.Variable("Zone Mean Air Temperature", as_="temperature")],
    )  # fmt: skip
    plan = bs.plan(study, store=folder / "store")
    run = bs.run(plan)
    assert list(run.status()["status"]) == ["succeeded", "succeeded", "succeeded", "failed"]
    return plan


def record_of(plan, row):
    return from_bytes(plan.store.get(Store.record_name(plan.variant_ids[row])))


@pytest.mark.parametrize("row", range(4), ids=["reference", "files", "call", "failed"])
def test_the_same_model_and_the_same_bits(plan, row, tmp_path):
    record = record_of(plan, row)
    functions = import_functions(plan.study)
    done = reproduce(plan.store, record.variant_id[:10], to=tmp_path / "again", functions=functions, run=True)
    assert done.differences == ()
    assert done.record.variant_id == record.variant_id
    assert done.model_sha256 == record.provenance["model_sha256"]
    assert done.model_sha256 == hashlib.sha256((tmp_path / "again" / "in.idf").read_bytes()).hexdigest()
    if record.status == "succeeded":
        assert len(done.run.series) == 7
        for ours, theirs in zip(done.run.series, record.series, strict=True):
            assert np.array_equal(ours.values.view(np.uint64), theirs.values.view(np.uint64))
    else:
        assert "highly conductive" in done.run.err
    assert not any(path.is_symlink() for path in (tmp_path / "again").iterdir()), "it can be sent to others"


def test_the_script_runs_without_bemsweep(plan, tmp_path):
    reproduce(plan.store, plan.variant_ids[1], to=tmp_path / "again")
    moved = (tmp_path / "again").rename(tmp_path / "elsewhere")
    subprocess.run([sys.executable, moved / "run.py"], cwd="/", check=True, capture_output=True, timeout=120)
    assert (moved / "eplusout.end").read_text().startswith("EnergyPlus Completed Successfully")
    assert (moved / "eplusout.sql").exists()


def test_other_numbers_are_told(plan, tmp_path):
    """A record that was altered in one bit is not what the engine gives."""
    record = record_of(plan, 0)
    other = Store(tmp_path / "store")
    for ref in ("baseline", "weather"):
        name = Store.input_name(**record.provenance[ref])
        other.put(name, plan.store.get(name))
    values = record.series[3].values.copy()
    values[30] = np.nextafter(values[30], 0)
    series = [*record.series[:3], dataclasses.replace(record.series[3], values=values), *record.series[4:]]
    other.put(Store.record_name(record.variant_id), to_bytes(dataclasses.replace(record, series=tuple(series))))
    done = reproduce(other, record.variant_id, to=tmp_path / "again", run=True)
    assert done.differences == (f"temperature hourly {record.series[3].key}",)


def test_another_model_is_refused(plan, tmp_path):
    def dim_differently(document, value):
        dim(document, value + 1)

    name = next(iter(import_functions(plan.study)))
    with pytest.raises(bs.BemsweepError, match="is not that of the record"):
        reproduce(plan.store, plan.variant_ids[2], to=tmp_path / "again", functions={name: dim_differently})


def test_a_function_that_raises(plan, tmp_path):
    def burst(document, value):
        raise ValueError(f"no {value}")

    name = next(iter(import_functions(plan.study)))
    with pytest.raises(bs.BemsweepError, match=r"raised ValueError: no 5\.0; its record says"):
        reproduce(plan.store, plan.variant_ids[2], to=tmp_path / "again", functions={name: burst})


def test_no_code_is_taken_from_a_store(plan, tmp_path):
    with pytest.raises(bs.BemsweepError, match=r"calls .*:dim, and no code is taken from a store"):
        reproduce(plan.store, plan.variant_ids[2], to=tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("given", ["", "ab", "wxyz", "../../x", "0000000000"])
def test_what_names_no_record(plan, given, tmp_path):
    with pytest.raises(bs.BemsweepError, match=r"no variant_id|no single record"):
        reproduce(plan.store, given, to=tmp_path / "again")


def test_a_prefix_of_two_records_is_told(plan, tmp_path):
    store = Store(tmp_path / "store")
    for end in "ab":
        store.put(Store.record_name(f"12345{end}".ljust(64, "0")), b"")
    with pytest.raises(bs.BemsweepError, match=r"2 records begin so: 12345a0+, 12345b0+"):
        reproduce(store, "12345", to=tmp_path / "again")


def altered(plan, folder, **changes):
    """A store with one record, altered by someone who can write to it."""
    record, store = record_of(plan, 0), Store(folder)
    for ref in ("baseline", "weather"):
        name = Store.input_name(**record.provenance[ref])
        store.put(name, plan.store.get(name))
    store.put(Store.record_name(record.variant_id), to_bytes(dataclasses.replace(record, **changes)))
    return store, record


def test_an_altered_record_brings_no_code_into_the_script(plan, tmp_path):
    code = '"""\nopen("intruder", "w")\n"""'
    store, record = altered(plan, tmp_path / "store", engine=code)
    reproduce(store, record.variant_id, to=tmp_path / "again")
    script = ast.parse((tmp_path / "again" / "run.py").read_text())
    names = {node.id for node in ast.walk(script) if isinstance(node, ast.Name)}
    assert "open" not in names
    assert "api" in names


def test_an_altered_record_under_the_name_of_another(plan, tmp_path):
    store, record = altered(plan, tmp_path / "store", variant_id="../mine")
    with pytest.raises(bs.BemsweepError, match=r"cannot be read: of another variant, '\.\./mine'"):
        reproduce(store, record.variant_id, to=tmp_path / "again")


def test_a_record_whose_model_brings_code(plan, tmp_path):
    """No study can write it, and an installed EnergyPlus would run it."""
    record = record_of(plan, 0)
    plugin = b"PythonPlugin:Instance, intruder, No, file-1, Intruder;"
    digest = hashlib.sha256(plugin).hexdigest()
    insert = {"kind": "InsertEdit", "file": {"sha256": digest, "suffix": ".idf"}}
    provenance = {**record.provenance, "edits": [insert], "model_sha256": ""}
    store, _ = altered(plan, tmp_path / "store", provenance=provenance)
    store.put(Store.input_name(digest, ".idf"), plugin)
    with pytest.raises(bs.BemsweepError, match="PythonPlugin:Instance"):
        reproduce(store, record.variant_id, to=tmp_path / "again", run=True)


def test_a_folder_in_use_is_left_alone(plan, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(bs.BemsweepError, match="not an empty folder"):
        reproduce(plan.store, plan.variant_ids[0], to=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_another_engine_is_refused(tmp_path):
    run = run_study(small_study(), tmp_path / "store", FakeEngine())
    variant = run.plan.variant_ids[0]
    with pytest.raises(bs.BemsweepError, match=r"the record was made by .*, this engine is 'EnergyPlus, Version 25"):
        reproduce(run.plan.store, variant, to=tmp_path / "again", run=True)
