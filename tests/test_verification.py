"""What is cut, altered or replaced in a store is told when it is read, and mended by a run that verifies."""

from __future__ import annotations

import json

import cloudpickle
import pytest

import bemsweep as bs
from alterations import cuts, flips, read_all, read_plainly, same
from bemsweep import results
from bemsweep.cube_metadata import SEAL, STATE, seal_of
from bemsweep.errors import RecordError, StoreError
from bemsweep.faults import Fault
from bemsweep.record_file import from_bytes, to_bytes
from bemsweep.reproduction import reproduce
from bemsweep.sealed_json import sealed, unsealed
from bemsweep.store import Store
from bemsweep.studystate import StudyState
from bemsweep.testing import FakeEngine
from bemsweep.verification import Verification, Verified, why_record_bad
from small_studies import contents, filled, local_client, run_study, small_study

CUBE = "studies/small/results.zarr"
ROOT, SHARD, COLUMN = f"{CUBE}/zarr.json", f"{CUBE}/monthly/temperature/c/0/0/0", f"{CUBE}/status/c/0"
TIMINGS = ["engine_s", "cpu_s", "total_s", "memory_bytes", "moved_bytes", "worker"]


@pytest.fixture(scope="module")
def client():
    with local_client() as opened:
        yield opened


@pytest.fixture(scope="module")
def made(client, tmp_path_factory):
    """All objects of a small study, and what its results hold."""
    store = Store(tmp_path_factory.mktemp("made") / "store")
    run_study(small_study(), store, FakeEngine(), client=client)
    return contents(store), read_all(store)


@pytest.fixture
def store(made, tmp_path):
    return filled(Store(tmp_path / "store"), made[0])


@pytest.fixture
def engine(tmp_path):
    return FakeEngine(counter=tmp_path / "starts")


def verified(store, client, engine=None):
    return run_study(small_study(), store, engine or FakeEngine(), client=client, verify=True)


def values(found):
    """Leave out what differs from run to run."""
    return {
        path: node.drop_vars(TIMINGS, errors="ignore").assign_attrs({STATE: "", SEAL: ""})
        for path, node in found.items()
    }


def first_record(store):
    variant = StudyState.load(store, "small").variant_ids[2]
    return variant, Store.record_name(variant)


def test_every_object_cut_or_flipped_is_told_or_changes_nothing(store, made):
    objects, expected = made
    loud = []
    for number, (name, data) in enumerate(objects.items()):
        changed = [*cuts(data).values(), *flips(data, name, 3).values()][number % 6]
        store.put(name, changed)
        try:
            assert same(read_all(store), expected), name
        except (bs.BemsweepError, ValueError) as error:
            loud.append((name, error))
        store.put(name, data)
    assert all(isinstance(error, bs.BemsweepError) or "checksum" in str(error) for _, error in loud), loud
    assert {name for name, _ in loud} == {name for name in objects if "/c/" in name or name == ROOT}


def test_plain_xarray_refuses_an_altered_chunk_too(store, made):
    assert same(read_plainly(store), made[1])
    for name in (SHARD, COLUMN, f"{CUBE}/monthly/time/c/0", f"{CUBE}/monthly/zone/c/0"):
        for changed in (*cuts(made[0][name]).values(), *flips(made[0][name], name, 3).values()):
            store.put(name, changed)
            with pytest.raises(ValueError, match="checksum"):
                read_plainly(store)
        store.put(name, made[0][name])


def test_an_intact_study_runs_nothing_and_writes_nothing(store, made, client, engine):
    run = verified(store, client, engine)
    assert (engine.starts, contents(store)) == (0, made[0])
    assert run.verification == Verification(records=6, blocks=1, inputs=2)
    told = "verified 6 records, 1 block of the results and 2 inputs: all are as they were written"
    assert str(run.verification) == told


def test_bad_records_run_again(store, made, client, engine):
    ids = StudyState.load(store, "small").variant_ids
    names = [Store.record_name(variant) for variant in ids]
    other_schema = to_bytes(from_bytes(made[0][names[3]])).replace(b'"schema":2', b'"schema":9')
    store.put(names[0], made[0][names[0]][:-1])
    store.put(names[1], next(iter(flips(made[0][names[1]], "seed", 1).values())))
    store.put(names[2], made[0][names[4]])
    store.put(names[3], other_schema)
    run = verified(store, client, engine)
    assert list(run.verification.bad) == names[:4]
    assert "of another variant" in run.verification.bad[names[2]]
    assert (engine.starts, run.progress.done, run.progress.cached) == (4, 4, 2)
    assert same(values(read_all(store)), values(made[1]))
    assert verified(store, client).verification.bad == {}


@pytest.mark.parametrize("name", [ROOT, SHARD, COLUMN, f"{CUBE}/monthly/zarr.json"])
def test_a_bad_part_of_the_results_is_packed_again_without_the_engine(store, made, client, engine, name):
    store.put(name, made[0][name][: len(made[0][name]) // 2])
    run = verified(store, client, engine)
    (told,) = run.verification.bad
    assert told == (f"{CUBE}, rows 0 to 5" if name == SHARD else CUBE)
    assert engine.starts == 0
    assert same(values(read_all(store)), values(made[1]))


def test_a_whole_chunk_of_another_place_is_found_by_comparing(store, made, client):
    changed = small_study(
        name="other", parameters={"north": bs.Field("Building", "north_axis", values=[1, 2, 3, 4, 5])}
    )
    run_study(changed, store, FakeEngine(), client=client)
    store.put(SHARD, store.get(SHARD.replace("small", "other")))
    assert not same(read_all(store), made[1])  # sound in itself: no reader can tell
    run = verified(store, client)
    assert "temperature has other values" in run.verification.bad[f"{CUBE}, rows 0 to 5"]
    assert same(values(read_all(store)), values(made[1]))


def test_a_column_of_other_values_is_found(store, made, client):
    status = f"{CUBE}/monthly/weather/c/0"
    store.put(status, store.get(f"{CUBE}/monthly/baseline/c/0"))
    assert "monthly/weather has other values" in verified(store, client).verification.bad[CUBE]
    store.put(f"{CUBE}/timeout_s/c/0", store.get(f"{CUBE}/utc_offset/c/0"))
    assert "tells something else than the records" in str(verified(store, client).verification)
    assert same(values(read_all(store)), values(made[1]))


def test_an_altered_input_is_put_again(store, made, client):
    name = next(name for name in made[0] if name.endswith(".epw"))
    store.put(name, made[0][name] + b"\n")
    assert verified(store, client).verification.bad == {name: "altered"}
    assert store.get(name) == made[0][name]


def test_limit_bounds_what_runs_again(store, client, engine):
    for variant in StudyState.load(store, "small").variant_ids[:3]:
        store.put(Store.record_name(variant), b"")
    run = run_study(small_study(), store, engine, client=client, verify=True, limit=1)
    assert (len(run.verification.bad), engine.starts) == (3, 1)
    assert results.status(store, "small")["status"].tolist().count("pending") == 2


def test_other_schemas_are_told(store, made):
    definition = unsealed(made[0]["studies/small/study.json"])
    store.put("studies/small/study.json", sealed({**definition, "schema": 7}))
    with pytest.raises(StoreError, match=r"study.json cannot be read: it has schema 7.*studies delete small"):
        StudyState.load(store, "small")
    root = json.loads(made[0][ROOT])
    state = json.loads(root["attributes"][STATE])
    root["attributes"][STATE] = json.dumps({**state, "schema": 7})
    root["attributes"][SEAL] = seal_of(root)
    store.put(ROOT, json.dumps(root).encode())
    with pytest.raises(StoreError, match=r"results.zarr/zarr.json cannot be read, it has schema 7"):
        bs.open_results(store, "small")


def test_objects_in_anothers_place_are_told(store, made, client):
    run_study(small_study(name="other"), store, FakeEngine(), client=client)
    store.put("studies/other/study.json", made[0]["studies/small/study.json"])
    with pytest.raises(StoreError, match=r"other/study.json is that of another study, 'small'"):
        StudyState.load(store, "other")


@pytest.mark.parametrize("name", ["study.json", "variants/000000.parquet"])
def test_a_definition_that_is_cut_or_altered_says_what_to_do(store, made, name):
    key, expected = f"studies/small/{name}", StudyState.load(store, "small")
    told = []
    for changed in (*cuts(made[0][key]).values(), *flips(made[0][key], name, 100).values()):
        store.put(key, changed)
        try:
            assert StudyState.load(store, "small") == expected
        except StoreError as error:
            told.append(error)
    assert {error.fault for error in told} == {Fault.RUINED}
    assert all(key in str(error) and "bemsweep studies delete small" in str(error) for error in told)


def test_a_bad_record_is_told_with_its_key(store, tmp_path):
    variant, name = first_record(store)
    store.put(name, store.get(name)[:-9])
    with pytest.raises(RecordError, match=rf"{name} cannot be read: cut or altered: .*--verify"):
        reproduce(store, variant, to=tmp_path / "again")


def test_every_flip_of_a_record_is_bad_or_changes_nothing(store, tmp_path):
    variant, name = first_record(store)
    data = store.get(name)
    path, expected = tmp_path / "record", from_bytes(data)
    for changed in flips(data, name, 300).values():
        path.write_bytes(changed)
        if not why_record_bad(path, variant):
            assert from_bytes(changed).outputs_sha256 == expected.outputs_sha256
            assert from_bytes(changed).provenance == expected.provenance


def test_what_a_task_tells_is_small():
    whys = dict.fromkeys(range(10), "cut or altered: " + "x" * 74)
    told = Verified(0, 256, "f" * 64, whys, "y" * 90, "z" * 64)
    assert len(told.bad_rows()) == 256
    assert told.bad_rows()[200] == "cut or altered"
    assert len(cloudpickle.dumps(told)) < 2000


def test_on_s3(s3, client):
    store = Store(f"{s3.new_bucket()}/store", s3.options)
    run_study(small_study(), store, FakeEngine(), client=client)
    before = read_all(store)
    _, record = first_record(store)
    store.put(record, store.get(record)[:-1])
    store.put(SHARD, store.get(SHARD)[:-1])
    with pytest.raises(ValueError, match="checksum"):
        read_all(store)
    run = verified(store, client)
    assert (next(iter(run.verification.bad)), run.progress.done) == (record, 1)
    assert same(values(read_all(store)), values(before))
