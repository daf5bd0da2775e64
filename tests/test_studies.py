"""Studies of a store: listed with their sizes, deleted and renamed, whatever is killed on the way."""

from __future__ import annotations

import json
import uuid

import pytest
import xarray as xr

import bemsweep as bs
from bemsweep.cube_metadata import SEAL
from bemsweep.errors import BemsweepError, ConflictError, StoreError, StudyBusyError
from bemsweep.lease import lease_for
from bemsweep.object_names import study_of
from bemsweep.store import Store
from bemsweep.studies import delete_study, find_deletion, list_studies, rename_study
from bemsweep.studystate import StudyState
from bemsweep.testing import FakeEngine
from small_studies import contents, filled, read, run_study, small_study, two_studies

STEP = 9
"""Writes between two kills: what a study consists of is many chunks that are all the same to it."""


class Killed(BaseException):
    """Stands for a SIGKILL: nothing cleans up after it."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return two_studies(Store(tmp_path_factory.mktemp("made")))


@pytest.fixture(params=["local", "memory"])
def store(request, made, tmp_path):
    """A store with the studies small and few."""
    return filled(Store(tmp_path / "store" if request.param == "local" else f"memory://{uuid.uuid4()}"), made)


@pytest.fixture
def counter(tmp_path):
    return FakeEngine(counter=tmp_path / "starts")


def tree(store, name):
    return bs.open_results(store, name).load()


def variants(store, name):
    return set(StudyState.load(store, name).variant_ids)


def kill_after(monkeypatch, writes):
    """Let so many more puts, uploads and deletions happen, then kill."""
    left = [writes]
    for method in ("put", "upload", "delete"):
        real = getattr(Store, method)

        def act(self, *given, _real=real):
            if any("/lease/" in str(one) for one in given):  # who was killed is known to be dead
                return _real(self, *given)
            if left[0] <= 0:
                raise Killed
            left[0] -= 1
            return _real(self, *given)

        monkeypatch.setattr(Store, method, act)
    # One by one, so that it can be killed in between.
    monkeypatch.setattr(Store, "delete_all", lambda self, names: [self.delete(name) for name in names] and None)


# Listing


def test_studies_are_listed_with_what_they_share(store):
    few, small = list_studies(store)
    assert (small.name, small.variants, few.variants) == ("small", 6, 2)
    assert dict(small.statuses) == {"succeeded": 4, "failed": 2}
    assert small.records.objects == 6
    assert few.shared == few.records
    assert small.shared.objects == few.records.objects == 2
    assert (small.raw.objects, few.raw.objects) == (2, 0)
    everything = contents(store)
    cube = [data for name, data in everything.items() if name.startswith("studies/small/results.zarr/")]
    assert (small.cube.objects, small.cube.size_bytes) == (len(cube), sum(map(len, cube)))
    records = [len(everything[store.record_name(variant)]) for variant in variants(store, "small")]
    assert small.records.size_bytes == sum(records)
    assert small.changed is not None
    assert not small.problem


def test_listing_asks_for_no_variant(store, monkeypatch, counter):
    asked = []
    real = Store.get
    monkeypatch.setattr(Store, "get", lambda self, name: (asked.append(name), real(self, name))[1])
    list_studies(store)
    names = ("study.json", "variants/000000.parquet")
    tables = [name for name in asked if not name.endswith("results.zarr/zarr.json")]
    assert tables == [f"studies/{study}/{name}" for study in ("few", "small") for name in names]
    assert len(asked) - len(tables) <= 2, "one look at each cube"


def test_a_study_that_cannot_be_read_is_listed_with_why(store, counter):
    store.put("studies/cut/variants/000000.parquet", b"x")
    store.put("studies/bad/study.json", b"{}")
    bad, cut, _, small = list_studies(store)
    assert "studies/bad/study.json cannot be read" in bad.problem
    assert "no study.json" in cut.problem
    assert (small.variants, small.problem) == (6, "")


def test_a_study_without_a_cube_has_no_statuses(store, counter):
    store.delete_folder("studies/small/results.zarr")
    assert [dict(one.statuses) for one in list_studies(store)] == [{"succeeded": 2}, {}]
    assert list_studies(Store(f"memory://{uuid.uuid4()}")) == []


# Deleting


def test_records_stay_and_the_study_again_starts_no_engine(store, counter):
    before = tree(store, "small")
    deletion = find_deletion(store, "small")
    assert not deletion.records
    delete_study(store, deletion)
    assert store.names("studies") == ["few"]
    with pytest.raises(BemsweepError, match="no results of a study 'small'"):
        bs.open_results(store, "small")
    run_study(small_study(), store, counter)
    assert counter.starts == 0
    xr.testing.assert_identical(tree(store, "small"), before)


def test_records_go_if_told_but_not_those_of_others(store):
    kept = tree(store, "few")
    deletion = find_deletion(store, "small", records=True)
    size = sum(one.size_bytes for one in store.objects())
    delete_study(store, deletion)
    assert size - sum(one.size_bytes for one in store.objects()) == deletion.size_bytes
    assert store.stored(variants(store, "few")) == variants(store, "few")
    assert sum(one.name.startswith(("records/", "raw/")) for one in store.objects()) == 2
    xr.testing.assert_identical(tree(store, "few"), kept)


def test_an_unreadable_neighbour_keeps_its_records(store, counter):
    store.put("studies/few/study.json", b"{")
    with pytest.raises(StoreError, match=r"studies/few/study.json cannot be read"):
        find_deletion(store, "small", records=True)
    assert find_deletion(store, "small").own


def test_an_unknown_study_is_told_with_the_nearest_name(store, counter):
    for name in ("smal", "../records", ""):
        with pytest.raises(BemsweepError, match="no study"):
            find_deletion(store, name)
    with pytest.raises(BemsweepError, match=r"did you mean 'small'\?\); studies there: few, small"):
        find_deletion(store, "smal")


@pytest.mark.parametrize("has_records", [False, True])
def test_a_deletion_killed_anywhere_reads_right_and_is_carried_on(monkeypatch, counter, has_records):
    home = Store(f"memory://{uuid.uuid4()}")
    run_study(small_study(outputs=[bs.Meter("Electricity:Facility", frequency="annual")]), home, counter)
    whole, expected, rows = contents(home), tree(home, "small"), StudyState.load(home, "small").rows
    for writes in (*range(4), *range(4, 200, STEP)):
        store = Store(f"memory://{uuid.uuid4()}")
        for name, data in whole.items():
            store.put(name, data)
        with monkeypatch.context() as patch:
            kill_after(patch, writes)
            try:
                delete_study(store, find_deletion(store, "small", records=has_records))
                break
            except Killed:
                pass
        try:
            xr.testing.assert_identical(tree(store, "small"), expected)
            assert writes == 0, "a cube that lacks something is not shown"
        except BemsweepError as error:
            assert "no results of a study" in str(error)  # noqa: PT017 - either is right
        try:
            state = StudyState.load(store, "small")
        except StoreError as error:
            assert "studies delete small" in str(error)  # noqa: PT017 - either is right
        else:
            assert state.rows == rows
        delete_study(store, find_deletion(store, "small"))
        assert not [one.name for one in store.objects() if study_of(one.name) == "small"]
    else:
        pytest.fail("it never ended")
    assert writes > 15


# Renaming


def test_a_renamed_study_reads_the_same_and_runs_nothing_again(store, counter):
    before = tree(store, "small")
    others = {name for name in contents(store) if study_of(name) is None}
    rename_study(store, "small", "new.name")
    assert store.names("studies") == ["few", "new.name"]
    assert {name for name in contents(store) if study_of(name) is None} == others
    after = tree(store, "new.name")
    for node in after.subtree:
        assert node.attrs["study"] == "new.name", node.path
        assert node.attrs["title"] == "bemsweep study new.name"
        node.attrs |= {"study": "small", "title": "bemsweep study small"}
        left, right = dict(node.attrs), dict(before[node.path].attrs)
        assert (left.pop(SEAL, "") != right.pop(SEAL, "")) == (node.path == "/"), "it is of the name, too"
        if "bemsweep" in left:
            told = [json.loads(attributes.pop("bemsweep")) for attributes in (left, right)]
            assert told[0].pop("attributes")["study"] == "new.name"
            told[1].pop("attributes")
            assert told[0] == told[1]
        assert left == right
        xr.testing.assert_equal(node.to_dataset(), before[node.path].to_dataset())
    assert b'small"' not in store.get("studies/new.name/results.zarr/monthly/zarr.json")
    assert json.loads(store.get("studies/new.name/study.json"))["name"] == "new.name"
    run_study(small_study(name="new.name"), store, counter)
    assert counter.starts == 0
    again = tree(store, "new.name")
    assert again.attrs["study"] == again["monthly"].attrs["study"] == "new.name"
    xr.testing.assert_equal(again["monthly"].to_dataset(), before["monthly"].to_dataset())
    xr.testing.assert_equal(read(store, "new.name"), before["monthly"].to_dataset())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("small", "few", "has a study 'few'"),
        ("small", "a/b", "'a/b' is no study name"),
        ("small", "a.tmp", "'a.tmp' is no study name"),
        ("small", "", "'' is no study name"),
        ("small", "small", "is called 'small' already"),
        ("smal", "x", "did you mean 'small'"),
    ],
)
def test_what_cannot_be_renamed_is_told_and_left_alone(store, counter, old, new, told):
    before = contents(store)
    with pytest.raises(BemsweepError, match=told) as error:
        rename_study(store, old, new)
    assert isinstance(error.value, ConflictError) == (new == "few")
    assert contents(store) == before


def test_a_renaming_killed_anywhere_is_carried_on(monkeypatch, counter):
    home = Store(f"memory://{uuid.uuid4()}")
    run_study(small_study(outputs=[bs.Meter("Electricity:Facility", frequency="annual")]), home, counter)
    whole, rows = contents(home), StudyState.load(home, "small").rows
    cube = read(home, group="annual")
    rename_study(home, "small", "new")
    expected = contents(home)
    monkeypatch.setattr("bemsweep.sync._THREADS", 1)
    for writes in (*range(4), *range(4, 200, STEP)):
        store = Store(f"memory://{uuid.uuid4()}")
        for name, data in whole.items():
            store.put(name, data)
        store.put("studies/new/results.zarr/annual/x/c/9", b"of a copy that was cut short")
        with monkeypatch.context() as patch:
            kill_after(patch, writes)
            try:
                rename_study(store, "small", "new")
                break
            except Killed:
                pass
        shown = 0
        for name in ("small", "new"):
            try:
                xr.testing.assert_equal(read(store, name, "annual"), cube)
                shown += 1
            except BemsweepError as error:
                assert "no results of a study" in str(error)  # noqa: PT017 - either is right
        assert shown >= 1, "one of both can be read at any time"
        states = [StudyState.load(store, name) for name in ("new",) if store.has("studies/new/study.json")]
        assert all(state.rows == rows for state in states)
        rename_study(store, "small", "new")
        assert contents(store) == expected
    else:
        pytest.fail("it never ended")
    assert writes > 15


# Somebody is at work


def test_a_study_on_which_somebody_is_at_work_is_left_alone(store):
    before = contents(store)
    with lease_for(store, "small"):
        for change in (
            lambda: delete_study(store, find_deletion(store, "small")),
            lambda: rename_study(store, "small", "other"),
            lambda: rename_study(store, "few", "small"),
        ):
            with pytest.raises(
                (StudyBusyError, ConflictError), match=r"at work on the study 'small'|has a study 'small'"
            ):
                change()
        assert contents(store) == before
        assert {one.name for one in list_studies(store)} == {"few", "small"}
    delete_study(store, find_deletion(store, "small"))
    assert not list(store.objects("studies/small"))


def test_leases_are_no_part_of_a_study(store):
    sizes = list_studies(store)
    with lease_for(store, "small"), lease_for(store, "new"):
        assert list_studies(store) == sizes
        assert not [name for name in find_deletion(store, "small").own if "lease" in name]
    rename_study(store, "small", "other")
    assert not list(store.objects("studies/small"))
