"""What no study refers to is found and deleted; everything else stays, and so does what is young."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
import uuid

import pytest
import xarray as xr

import bemsweep as bs
from bemsweep.errors import StoreError
from bemsweep.store import Store
from bemsweep.studies import delete_study, find_deletion
from bemsweep.studystate import definition_bytes, read_definition
from bemsweep.testing import FakeEngine
from bemsweep.unused import delete_unused, find_unused
from small_studies import FEW, contents, filled, run_study, small_study

TOMORROW = dt.datetime.now(dt.UTC) + dt.timedelta(hours=30)


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path):
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        return Store(f"{s3.new_bucket()}/store", s3.options)
    return Store(tmp_path / "store" if request.param == "local" else f"memory://{uuid.uuid4()}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The objects of a store with one study."""
    store = Store(tmp_path_factory.mktemp("made"))
    run_study(small_study(parameters=FEW), store, FakeEngine())
    return contents(store)


def names(store):
    return set(contents(store))


def found(store, **how):
    return {kind.kind: kind for kind in find_unused(store, **{"now": TOMORROW, **how}).kinds}


def test_what_a_deleted_study_left_goes_and_the_rest_stays(store, tmp_path):
    home = Store(tmp_path / "home")
    failing = FakeEngine(faults=lambda job, _: "fail" if len(job.edits) == 2 else None)
    run_study(small_study(name="few", parameters=FEW), home, failing)
    kept = names(home)
    run_study(small_study(weather={"denver": "bundled:usa_co_golden"}), home, failing)
    filled(store, contents(home))
    store.put("notes.txt", b"mine")
    assert found(store) == {}
    delete_study(store, find_deletion(store, "small"))
    left = names(store) - kept - {"notes.txt"}
    unused = find_unused(store, now=TOMORROW)
    assert {kind.kind: len(kind.names) for kind in unused.kinds} == {"raw files": 2, "records": 6, "inputs": 1}
    assert [kind.kind for kind in unused.kinds] == ["raw files", "records", "inputs"]
    assert {name for kind in unused.kinds for name in kind.names} == left
    assert unused.size_bytes == sum(one.size_bytes for one in store.objects() if one.name in left)
    assert names(store) == kept | left | {"notes.txt"}, "finding deletes nothing"
    before = bs.open_results(store, "few").load()
    delete_unused(store, unused)
    assert names(store) == kept | {"notes.txt"}
    engine = FakeEngine(counter=tmp_path / "starts")
    run_study(small_study(name="few", parameters=FEW), store, engine)
    assert engine.starts == 0
    xr.testing.assert_identical(bs.open_results(store, "few").load(), before)


def test_leftovers_and_parts_of_no_study_are_unused(tmp_path):
    store = Store(tmp_path / "store")
    left = {
        "records/00/.x.parquet-1-ab.tmp": "leftovers",
        "probe-1-ab": "leftovers",
        "studies/cut/variants/000000.parquet": "parts of no study",
        "studies/cut/results.zarr/zarr.json": "parts of no study",
        f"records/00/{'0' * 64}.parquet": "records",
        f"raw/{'0' * 64}/eplusout.err": "raw files",
        "probes/00/00.json": "probes",
        "costs/00/00.json": "costs",
        "inputs/00/00.idf": "inputs",
    }
    for name in left:
        store.put(name, b"x")
    for name in ("records/00/notes.parquet", "raw/notes.txt", "weather/x.epw", "README.md"):
        store.put(name, b"somebody's own")
    assert {name: kind.kind for kind in found(store).values() for name in kind.names} == left


def test_what_is_young_is_left_alone(tmp_path):
    store = Store(tmp_path / "store")
    old, young = (f"records/{digit * 2}/{digit * 64}.parquet" for digit in "01")
    parts = [f"studies/new/variants/00000{n}.parquet" for n in range(2)]
    for name in (old, young, *parts):
        store.put(name, b"xy")
    for name in (old, parts[0]):
        os.utime(store.path(name), (time.time() - 25 * 3600,) * 2)
    unused = find_unused(store)
    assert [kind.names for kind in unused.kinds] == [(old,)]
    assert unused.young == 3, "one young part keeps those of the same study"
    assert find_unused(store, older_than_h=26).kinds == ()
    with pytest.raises(ValueError, match="23 is too little"):
        find_unused(store, older_than_h=23)


def test_an_object_of_no_age_is_young(monkeypatch):
    store = Store(f"memory://{uuid.uuid4()}")
    store.put("probe-1-ab", b"x")
    monkeypatch.setattr("bemsweep.store._modified", lambda info: None)
    assert find_unused(store, now=TOMORROW).young == 1


def test_inputs_of_every_amendment_are_kept(tmp_path):
    store = Store(tmp_path / "store")
    run_study(small_study(parameters=FEW), store, FakeEngine())
    run_study(small_study(parameters=FEW, weather={"denver": "bundled:usa_co_golden"}), store, FakeEngine())
    assert found(store) == {}
    assert len([name for name in names(store) if name.startswith("inputs/")]) == 3
    uses = json.loads(store.get("studies/small/study.json"))["uses"]
    assert set(uses) == {name for name in names(store) if name.startswith(("inputs/", "probes/", "costs/"))}


def test_a_study_that_tells_no_inputs_keeps_them_all(tmp_path):
    store = Store(tmp_path / "store")
    run_study(small_study(parameters=FEW), store, FakeEngine())
    definition = read_definition(store, "small")
    del definition["uses"]
    store.put("studies/small/study.json", definition_bytes(definition))
    for name in ("inputs/00/00.idf", "probes/00/00.json", "costs/00/00.json", "probe-1-ab"):
        store.put(name, b"x")
    unused = find_unused(store, now=TOMORROW)
    assert [kind.names for kind in unused.kinds] == [("probe-1-ab",)]
    assert unused.notes == (
        "all inputs, probes and costs are kept, because the definitions of these studies name none: small",
    )
    run_study(small_study(parameters=FEW, timeout_s=5), store, FakeEngine())
    assert find_unused(store, now=TOMORROW).notes == unused.notes, "a later amendment does not know the earlier ones"


@pytest.mark.parametrize("name", ["study.json", "variants/000000.parquet"])
@pytest.mark.parametrize("data", [b"{", b"{}", b"[]", None])
def test_a_study_that_cannot_be_read_stops_everything(made, name, data):
    store = filled(Store(f"memory://{uuid.uuid4()}"), made)
    if data is None and name == "study.json":
        return  # a study that is not there
    if data is None:
        store.delete(f"studies/small/{name}")
    else:
        store.put(f"studies/small/{name}", data)
    with pytest.raises(StoreError, match=r"cannot be read|lost a part"):
        find_unused(store, now=TOMORROW)


def test_records_go_before_what_they_point_to(tmp_path, monkeypatch):
    store, asked = Store(tmp_path / "store"), []
    for name in ("inputs/00/00.idf", f"records/00/{'0' * 64}.parquet", f"raw/{'0' * 64}/eplusout.err"):
        store.put(name, b"x")
    monkeypatch.setattr(Store, "delete_all", lambda self, some: asked.extend(some))
    delete_unused(store, find_unused(store, now=TOMORROW))
    assert [name.partition("/")[0] for name in asked] == ["raw", "records", "inputs"]


def test_a_study_in_a_folder_that_may_not_be_read_stops_everything(made, tmp_path, monkeypatch):
    """What walks a disk passes over such a folder, as if there were no study; its name still is in the folder above."""
    store = filled(Store(tmp_path / "store"), made | {"studies/few/study.json": b"{}"})
    objects, get = Store.objects, Store.get

    def refuse(self, name):
        if name.startswith("studies/few/"):
            raise StoreError("you may not read that", fault="forbidden")
        return get(self, name)

    monkeypatch.setattr(Store, "get", refuse)  # and not the disk, as root may read everything
    monkeypatch.setattr(
        Store, "objects", lambda self, *given: (one for one in objects(self, *given) if "/few/" not in one.name)
    )
    for look in (lambda: find_unused(store, now=TOMORROW), lambda: find_deletion(store, "small", records=True)):
        with pytest.raises(StoreError, match="you may not read that"):
            look()


def test_a_lease_of_no_study_goes_and_others_stay(tmp_path):
    store = Store(tmp_path / "store")
    run_study(small_study(parameters=FEW), store, FakeEngine())
    store.put("studies/gone/lease/00000003.json", b"{}")
    kinds = found(store)
    assert list(kinds) == ["leases of no study"]
    assert kinds["leases of no study"].names == ("studies/gone/lease/00000003.json",)
