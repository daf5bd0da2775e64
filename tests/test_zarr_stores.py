"""A cube on a store that fails for a while is written and read as on one that does not."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import zarr

from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.store import Store


@pytest.fixture(params=["memory", "s3"])
def store(request, tmp_path):
    if request.param == "memory":
        return Store(f"memory://zarr-stores/{tmp_path.name}")
    server = request.getfixturevalue("s3")
    return Store(f"{server.new_bucket()}/store", server.options)


def flaky(store, method, monkeypatch, *, failures):
    """Have the first calls of a coroutine of the filesystem fail; return the list of calls."""
    calls = []
    zarr_store = store.zarr("study")
    fs = zarr_store._store.fs
    real = getattr(fs, method)

    async def fail(*args, **kwargs):
        calls.append(args)
        if len(calls) <= failures:
            raise ConnectionResetError("reset by peer")
        return await real(*args, **kwargs)

    monkeypatch.setattr(fs, method, fail)
    return zarr_store, calls


def test_arrays_come_back_as_they_were(store):
    root = zarr.create_group(store.zarr("study"), zarr_format=3)
    root.create_array("x", shape=(100,), chunks=(10,), dtype="f8")[:] = np.arange(100.0)
    again = zarr.open_group(pickle.loads(pickle.dumps(store)).zarr("study"), mode="r", zarr_format=3)
    np.testing.assert_array_equal(again["x"][:], np.arange(100.0))
    assert list(again.array_keys()) == ["x"]
    zarr.create_group(store.zarr("study"), overwrite=True, zarr_format=3)
    assert [one.name for one in store.objects() if "/x/" in one.name] == []


@pytest.mark.parametrize(("method", "is_write"), [("_pipe_file", True), ("_cat_file", False)])
def test_what_passes_is_tried_again(store, method, is_write, monkeypatch):
    root = zarr.create_group(store.zarr("study"), zarr_format=3)
    root.create_array("x", shape=(4,), dtype="f8")[:] = 1.0
    patient, calls = flaky(store.patient(30), method, monkeypatch, failures=2)
    x = zarr.open_group(patient, mode="r+", zarr_format=3)["x"]
    if is_write:
        x[:] = 2.0
    np.testing.assert_array_equal(x[:], 2.0 if is_write else 1.0)
    assert len(calls) > 2


def test_without_patience_it_is_told_with_where(store, monkeypatch):
    zarr.create_group(store.zarr("study"), zarr_format=3)
    impatient, _ = flaky(store, "_cat_file", monkeypatch, failures=10**9)
    with pytest.raises(StoreError, match=r"zarr.json of .*results.zarr: no answer") as told:
        zarr.open_group(impatient, mode="r", zarr_format=3)
    assert told.value.fault == Fault.UNREACHABLE


def test_what_is_not_there_is_no_fault(store):
    with pytest.raises(FileNotFoundError):
        zarr.open_group(store.zarr("none"), mode="r", zarr_format=3)


def test_a_bucket_that_vanished_is_no_missing_chunk(other_s3):
    store = Store(other_s3.new_bucket(), other_s3.options)
    x = zarr.create_group(store.zarr("study"), zarr_format=3).create_array("x", shape=(4,), dtype="f8")
    x[:] = 1.0
    store.delete_folder("")
    assert np.isnan(x[:]).all() or (x[:] == 0).all()
    store.fs.rmdir(store.path())
    with pytest.raises(StoreError, match="no such bucket"):
        x[:]


def test_nobody_is_warned_of_loops(s3):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Store(s3.new_bucket(), s3.options).zarr("study")


def test_options_are_not_shown(s3):
    told = repr(Store(s3.new_bucket(), s3.options).zarr("study"))
    assert s3.options["secret"] not in told
