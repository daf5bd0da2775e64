"""Copying stores and studies: complete, verified, in an order that never shows half a study."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import uuid
from pathlib import Path

import pytest
import xarray as xr
from fsspec.implementations.memory import MemoryFileSystem

import bemsweep as bs
from bemsweep import host_client
from bemsweep.errors import BemsweepError, ConflictError, StoreError, StudyBusyError
from bemsweep.lease import lease_for, take_lease
from bemsweep.object_names import kind_of, study_of
from bemsweep.store import Store
from bemsweep.studystate import definition_bytes, read_definition
from bemsweep.sync import sync
from bemsweep.testing import FakeEngine
from small_studies import FEW, contents, filled, run_study, small_study, two_studies

GROWN = {**small_study().parameters, "lighting": bs.Field("Lights", "watts_per_floor_area", values=[None, 8, 6, 4])}


def memory():
    return Store(f"memory://{uuid.uuid4()}")


def tree(store, name="small"):
    return bs.open_results(store, name).load()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with two studies that share variants, one of which failed; never written to by a test."""
    store = Store(tmp_path_factory.mktemp("made"))
    two_studies(store)
    return store


def copy_of(store):
    """Return a store of one's own with the same objects."""
    return filled(memory(), contents(store))


def writes(monkeypatch):
    """Return a list that every later write or deletion adds its object's name to, but for leases."""

    class Seen(list):
        def append(self, name):
            if kind_of(name.removeprefix("-")) != "lease":
                super().append(name)

    seen = Seen()
    real_put, real_upload, real_delete = Store.put, Store.upload, Store.delete
    monkeypatch.setattr(Store, "put", lambda self, name, data: (seen.append(name), real_put(self, name, data))[1])
    monkeypatch.setattr(Store, "upload", lambda self, path, name: (seen.append(name), real_upload(self, path, name))[1])
    monkeypatch.setattr(Store, "delete", lambda self, name: (seen.append(f"-{name}"), real_delete(self, name))[1])
    return seen


# What arrives


def test_a_whole_store_arrives_and_nothing_of_it_is_copied_twice(made, tmp_path):
    source, target = copy_of(made), Store(tmp_path / "target")
    source.put("notes.txt", b"mine")
    source.put("records/00/.x.parquet-1-ab.tmp", b"half")
    source.put("probe-1-ab", b"left")
    told = []
    done = sync(source, target, tell=told.append)
    expected = {name: data for name, data in contents(source).items() if kind_of(name) != "leftover"}
    assert contents(target) == expected
    assert (done.copied, done.copied_bytes) == (len(expected), sum(map(len, expected.values())))
    assert (done.total, done.skipped, done.deleted, done.changed) == (len(expected), 0, 0, ())
    assert told[-1] == done
    again = sync(source, target)
    assert (again.copied, again.skipped, again.skipped_bytes) == (0, done.copied, done.copied_bytes)


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_study_goes_there_and_back_and_runs_nothing_again(made, tmp_path, request, where):
    if where == "s3":
        s3 = request.getfixturevalue("s3")
        away = Store(f"{s3.new_bucket()}/store", s3.options)
    else:
        away = Store(tmp_path / "away")
    before, engine = tree(made), FakeEngine(counter=tmp_path / "starts")
    sync(made, away, study="small")
    assert away.names("studies") == ["small"]
    xr.testing.assert_identical(tree(away), before)
    run_study(small_study(), away, engine)
    back = Store(tmp_path / "back")
    done = sync(away, back, study="small")
    assert (done.copied, done.skipped) == (done.total, 0)
    xr.testing.assert_identical(tree(back), before)
    run_study(small_study(), back, engine)
    assert engine.starts == 0
    xr.testing.assert_identical(tree(back), before)


@pytest.mark.engine
def test_results_of_the_real_engine_go_to_s3_and_are_not_run_again(s3, tmp_path, monkeypatch):
    meter = bs.Meter("Electricity:Facility", frequency="annual", as_="electricity")
    study = small_study(run="design_day", parameters=FEW, outputs=[meter])
    here, away = Store(tmp_path / "here"), Store(f"{s3.new_bucket()}/store", s3.options)
    bs.run(bs.plan(study, store=here))
    sync(here, away, study="small")
    for engine in (host_client.HostEngine, host_client.FreshEngine):
        monkeypatch.setattr(engine, "run", None)
    bs.run(bs.plan(study, store=away))
    xr.testing.assert_identical(tree(away), tree(here))


def test_one_study_brings_all_that_is_its_own_and_nothing_else(made):
    target = memory()
    sync(made, target, study="few")
    names = set(contents(target))
    assert {study_of(name) for name in names} == {"few", None}
    assert target.stored(bs.open_results(made, "small")["variant_id"].values) == target.stored(
        bs.open_results(made, "few")["variant_id"].values
    )
    kinds = [kind_of(name) for name in names]
    assert {kind: kinds.count(kind) for kind in ("input", "probe", "cost", "record", "raw")} == {
        "input": 2, "probe": 1, "cost": 1, "record": 2, "raw": 0,
    }  # fmt: skip
    raw = memory()
    sync(made, raw, study="small")
    assert [kind_of(name) for name in contents(raw)].count("raw") == 2


def test_a_study_that_does_not_tell_its_inputs_brings_them_all(made):
    source, target = copy_of(made), memory()
    definition = read_definition(source, "few")
    del definition["uses"]
    source.put("studies/few/study.json", definition_bytes(definition))
    source.put("probes/00/other.json", b"{}")
    sync(source, target, study="few")
    assert target.has("probes/00/other.json")


def test_what_has_grown_is_added(made, tmp_path):
    source, target = copy_of(made), memory()
    engine = FakeEngine(counter=tmp_path / "starts")
    sync(source, target)
    before = tree(target)
    more = small_study(parameters=GROWN)
    run_study(more, source, engine)
    grown = tree(source)
    assert grown.sizes["variant"] == before.sizes["variant"] + 2
    done = sync(source, target)
    assert 0 < done.copied < done.total / 2
    xr.testing.assert_identical(tree(target), grown)
    starts = engine.starts
    run_study(more, target, engine)
    assert engine.starts == starts


def test_what_the_source_no_longer_has_goes_from_the_cube(made):
    source, target = copy_of(made), memory()
    sync(source, target)
    stale = "studies/small/results.zarr/monthly/temperature/c/0/0/7"
    target.put(stale, b"stale")
    target.put("studies/small/variants/.x.tmp", b"half")
    target.put("studies/other/study.json", b"another's")
    done = sync(source, target)
    assert done.deleted == 1
    assert not target.has(stale)
    assert target.has("studies/other/study.json")
    xr.testing.assert_identical(tree(target), tree(source))


def test_a_chunk_that_differs_is_copied_although_its_size_does_not(made):
    source, target = copy_of(made), memory()
    sync(source, target)
    name = next(name for name in contents(source) if "/monthly/temperature/c/" in name)
    target.put(name, bytes(len(source.get(name))))
    done = sync(source, target)
    assert done.copied == 1
    assert target.get(name) == source.get(name)


# In which order


def test_whoever_reads_meanwhile_sees_a_whole_study_or_none(made, monkeypatch):
    monkeypatch.setattr("bemsweep.sync._THREADS", 1)
    target, seen = memory(), writes(monkeypatch)
    sync(made, target)
    names = [name for name in seen if not name.startswith("-")]
    kinds = [kind_of(name) for name in names]
    shared = [kind for kind in kinds if kind != "study"]
    assert shared == sorted(shared, key=["input", "probe", "cost", "raw", "record"].index)
    assert kinds[len(shared) :] == ["study"] * (len(kinds) - len(shared))
    for study in ("small", "few"):
        own = [name for name in names if study_of(name) == study]
        assert own[-2:] == [f"studies/{study}/results.zarr/zarr.json", f"studies/{study}/study.json"]


def test_a_cube_that_is_cut_another_way_is_not_shown_in_between(made, monkeypatch):
    """Its chunks would be read under the old metadata."""
    source, target = copy_of(made), memory()
    sync(source, target)
    root = "studies/small/results.zarr/zarr.json"
    for name in (root, "studies/small/results.zarr/monthly/temperature/zarr.json"):
        text = target.get(name)
        target.put(name, text.replace(b'"little"', b'"big"'))
        assert target.get(name) != text
    seen = writes(monkeypatch)
    sync(source, target)
    assert seen[0] == f"-{root}"
    assert seen[-1] == root
    seen.clear()
    sync(source, target)
    assert seen == []


def test_a_study_that_is_written_meanwhile_arrives_as_it_was(made, monkeypatch):
    source, target = copy_of(made), memory()
    before, real = tree(source), Store.download
    grown = small_study(parameters=GROWN)
    copies = []

    def run_once(self, name, path):
        if self.url == source.url and not copies:
            copies.append(name)
            run_study(grown, source, FakeEngine())
        return real(self, name, path)

    monkeypatch.setattr("bemsweep.sync._THREADS", 1)
    monkeypatch.setattr(Store, "download", run_once)
    assert sync(source, target).changed == ("small",)
    xr.testing.assert_equal(tree(target)["monthly"].to_dataset(), before["monthly"].to_dataset())
    assert sync(source, target).changed == ()
    xr.testing.assert_identical(tree(target), tree(source))


@pytest.mark.parametrize("stop", [1, 4, 9, 20, 40])
def test_a_sync_that_was_killed_is_carried_on(made, monkeypatch, stop):
    target, real, left = memory(), Store.upload, [stop]

    def upload(self, path, name):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(self, path, name)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "upload", upload)
        with pytest.raises(KeyboardInterrupt):
            sync(made, target, study="small")
    assert not target.has("studies/small/study.json")
    done = sync(made, target, study="small")
    assert done.skipped >= stop - 1
    xr.testing.assert_identical(tree(target), tree(made))


def test_a_store_that_is_away_for_a_while_is_waited_for(made, monkeypatch):
    target, real, failing = memory(), MemoryFileSystem.put_file, [3]

    def put_file(self, *given, **how):
        failing[0] -= 1
        if failing[0] >= 0:
            raise ConnectionError("scripted")
        return real(self, *given, **how)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    monkeypatch.setenv("BEMSWEEP_PATIENCE", "0")
    with pytest.raises(StoreError, match="no answer from the server"):
        sync(made, target)
    failing[0] = 3
    monkeypatch.setenv("BEMSWEEP_PATIENCE", "30")
    done = sync(made, target)
    assert done.copied + done.skipped == done.total


# What is refused


def test_what_arrives_altered_is_told(made, monkeypatch):
    real = Store.upload

    def spoil(self, path, name):
        if kind_of(name) == "record":
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        real(self, path, name)

    monkeypatch.setattr(Store, "upload", spoil)
    with pytest.raises(StoreError, match=r"records/.* does not hold what was written"):
        sync(made, memory())


def test_an_altered_input_is_told(made):
    source = copy_of(made)
    name = next(name for name in contents(source) if kind_of(name) == "input")
    assert hashlib.sha256(source.get(name)).hexdigest() in name
    source.put(name, b"another")
    with pytest.raises(StoreError, match=rf"{name} is altered"):
        sync(source, memory())


@pytest.mark.parametrize("other", ["edit", "baseline", "rows"])
def test_another_study_of_that_name_is_not_written_over(made, other):
    target = memory()
    changes = {
        "edit": {"parameters": {"lighting": bs.Field("Lights", "watts_per_floor_area", multiply=[None, 8, 6])}},
        "baseline": {"baseline": "bundled:ref/medium_office"},
        "rows": {"parameters": FEW},
    }[other]
    run_study(small_study(**changes), target, FakeEngine())
    before = contents(target)
    with pytest.raises(ConflictError, match="no earlier state of the one in"):
        sync(made, target)
    assert contents(target) == before


def test_a_study_that_has_grown_further_is_not_taken_back(made):
    source, target = copy_of(made), copy_of(made)
    grown = small_study(parameters=GROWN)
    run_study(grown, target, FakeEngine())
    with pytest.raises(ConflictError, match="or has grown further"):
        sync(source, target, study="small")


def test_a_store_is_not_copied_into_itself(tmp_path):
    store = Store(tmp_path / "store")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    for one, other in [("store", "store"), ("store", "store/in"), ("store/in", "store"), ("store", "link")]:
        with pytest.raises(BemsweepError, match="one lies in the other"):
            sync(Store(tmp_path / one), Store(tmp_path / other))
    for source, target in [(store, Store(tmp_path / "store2")), (Store("memory://a-b"), Store("memory://a-b2"))]:
        source.put("notes.txt", b"x")
        assert sync(source, target).copied == 1


def test_buckets_of_one_server_are_told_apart(s3):
    bucket = s3.new_bucket()
    one = Store(f"{bucket}/a", s3.options)
    one.put("notes.txt", b"x")
    with pytest.raises(BemsweepError, match="one lies in the other"):
        sync(one, Store(f"{bucket.replace('s3:', 's3a:')}/a/b", s3.read_only_options))
    assert sync(one, Store(f"{bucket}/b", s3.options)).copied == 1


def test_an_unknown_study_is_told_with_the_nearest_name(made):
    with pytest.raises(BemsweepError, match=r"no study 'smal' .*did you mean 'small'.*studies there: few, small"):
        sync(made, memory(), study="smal")


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_a_large_object_is_not_held_in_memory(tmp_path, s3):
    def peak_kb():
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])

    source, size = Store(tmp_path / "source"), 150_000_000
    path = tmp_path / "source" / "raw" / ("a" * 64) / "eplusout.eso"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for _ in range(size // 10**6):
            file.write(os.urandom(10**6))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak_kb()
    done = sync(source, Store(f"{s3.new_bucket()}/store", s3.options))
    assert done.copied_bytes == size
    assert peak_kb() - before < 100_000


def test_a_store_without_anything_is_taken_for_a_mistyped_one(made, tmp_path):
    with pytest.raises(BemsweepError, match=f"nothing to copy in {tmp_path}/typo"):
        sync(Store(tmp_path / "typo"), copy_of(made))


def test_a_run_that_begins_while_records_are_copied_is_left_alone(made):
    target = memory()
    taken = []

    def begin(_):
        if not taken:
            taken.append(take_lease(target, "small"))

    with pytest.raises(StudyBusyError):
        sync(made, target, tell=begin)
    taken[0].release()
    assert target.get("studies/small/study.json") is None


def test_a_study_on_which_somebody_is_at_work_is_left_alone(made):
    target = memory()
    with lease_for(target, "small"), pytest.raises(StudyBusyError, match="at work on the study 'small' in memory:"):
        sync(made, target)
    assert contents(target) == {}
    with lease_for(made, "small"):  # reading needs no lease
        assert sync(made, target).total == sum(kind_of(one.name) != "lease" for one in made.objects())
    assert contents(target) == contents(made)
