"""Results of a remote store: few requests, read once if asked, and never of another commit."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import uuid
from functools import partial

import numpy as np
import pytest
import xarray as xr
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore

import bemsweep as bs
from bemsweep.cube import Cube
from bemsweep.errors import BemsweepError, StoreError
from bemsweep.layout import Layout
from bemsweep.packing import pack
from bemsweep.results_cache import CommittedStore
from bemsweep.store import Store
from cube_study import PARAMETERS, TEN_DAYS, opener, record, table, temperature, whole_cube

ZONES = [f"Zone {number}" for number in range(8)]  # two inner chunks in a shard


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store():
    return Store(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def requests(monkeypatch):
    """Collect what is asked of any remote Zarr store: keys, with ``*`` for a part."""
    asked = []
    real = FsspecStore.get

    async def get(self, key, prototype, byte_range=None):
        asked.append(key + ("*" if byte_range else ""))
        return await real(self, key, prototype, byte_range)

    monkeypatch.setattr(FsspecStore, "get", get)
    return asked


def record_of(row, offset=0.0):
    one = record(TEN_DAYS, row, *temperature(TEN_DAYS, row, ZONES))
    for series in one.series:
        series.values[:] += offset
    return one


def write(store, cube=None, *, offset=0.0, commits=True):
    """Write a cube of three rows, or write its values anew; the driver's digests tell no difference."""
    if cube is None:
        layout = Layout(TEN_DAYS).grow(record_of(0).series).grow_parameters(PARAMETERS)
        cube = Cube.create(store.zarr("cube"), layout, attributes={"study": "cube"})
        cube.resize(3)
    packed = pack(store.zarr("cube"), 0, [opener(record_of(row, offset)) for row in range(3)])
    if commits:
        cube.commit(table(3, [packed.facts]), {0: "digest"})
    return cube


def hourly(store, **options):
    return bs.open_results(store, "cube", **options)["hourly"].temperature


def plain(store):
    return hourly(store).load()


# Requests


@pytest.fixture
def calls(monkeypatch):
    """Collect what is asked of the S3 server."""
    from aiobotocore.client import AioBaseClient

    real, asked = AioBaseClient._make_api_call, []

    async def call(self, operation, parameters):
        asked.append((operation, parameters.get("Key", "").partition("results.zarr/")[2]))
        return await real(self, operation, parameters)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", call)
    return asked


def test_opening_and_reading_cost_few_requests_on_a_real_server(s3, calls):
    store = Store(s3.new_bucket(), s3.options)
    whole_cube(store.zarr("cube"))
    calls.clear()
    tree = bs.open_results(store, "cube")
    indexes = sum(len(group.to_dataset(inherit=False).indexes) for group in tree.subtree)
    assert indexes == 3
    assert len(calls) <= 4 + 3 * indexes, "what is promised"
    assert sorted(calls) == [
        ("GetObject", key)
        for key in (
            "hourly/time/c/0", "hourly/time_bounds/c/0/0", "hourly/zone/c/0", "monthly/time/c/0",
            "monthly/time_bounds/c/0/0", "zarr.json",
        )
    ], "what is kept"  # fmt: skip
    calls.clear()
    series = tree["hourly"].temperature.isel(variant=1, zone=0)
    expected = temperature(TEN_DAYS, 1)[0].values
    np.testing.assert_array_equal(series, expected)
    assert calls == [("GetObject", "hourly/temperature/c/0/0/0")] * 2, "the shard's index, and the part"
    for asked in (8, 1):  # at first nothing is there; the second time, the commit alone is asked for
        calls.clear()
        cached = bs.open_results(store, "cube", cache=True)["hourly"].temperature
        np.testing.assert_array_equal(cached.isel(variant=1, zone=0), expected)
        assert len(calls) == asked


def test_everything_is_read_once(store, requests):
    write(store)
    expected = plain(store)
    requests.clear()
    xr.testing.assert_identical(hourly(store, cache=True).load(), expected)
    assert requests
    requests.clear()
    xr.testing.assert_identical(hourly(store, cache=True).load(), expected)
    assert requests == []


def test_nothing_is_kept_unless_asked(store, cache, requests):
    write(store)
    for _ in range(2):
        requests.clear()
        plain(store)
        assert [key for key in requests if key.startswith("hourly/temperature")]
    assert not cache.exists()


def test_a_local_store_is_read_where_it_is(tmp_path, cache):
    store = Store(tmp_path / "store")
    write(store)
    xr.testing.assert_identical(hourly(store, cache=True).load(), plain(store))
    assert not cache.exists()


# Commits


def test_a_new_commit_never_meets_old_chunks(store):
    cube = write(store)
    old = hourly(store, cache=True)
    before = old.load().copy()
    write(store, cube, offset=7.0)
    now = hourly(store, cache=True).load()
    np.testing.assert_array_equal(now, plain(store))
    assert (now != before).all()


def test_no_two_commits_look_alike(store):
    cube = write(store)
    roots = [store.get("studies/cube/results.zarr/zarr.json")]
    write(store, cube)
    roots.append(store.get("studies/cube/results.zarr/zarr.json"))
    assert roots[0] != roots[1]
    states = [json.loads(json.loads(root)["attributes"]["bemsweep"]) for root in roots]
    assert states[0]["blocks"] == states[1]["blocks"]


def test_a_shard_written_anew_without_a_commit_is_told_and_read_the_next_time(store):
    cube = write(store)
    read = hourly(store, cache=True)
    first = read.isel(zone=0).load()
    write(store, cube, offset=1000.0, commits=False)
    xr.testing.assert_identical(read.isel(zone=0).load(), first)
    with pytest.raises(StoreError, match="hourly/temperature/c/0/0/0 of the results was written anew"):
        read.isel(zone=7).load()
    np.testing.assert_array_equal(read.isel(zone=7), plain(store).isel(zone=7))
    np.testing.assert_array_equal(read.isel(zone=0), plain(store).isel(zone=0))


def test_a_kept_index_is_checked_before_more_of_its_shard_is_read(store, requests):
    write(store)
    expected = plain(store).isel(zone=7)
    hourly(store, cache=True).isel(zone=0).load()
    requests.clear()
    xr.testing.assert_identical(hourly(store, cache=True).isel(zone=7).load(), expected)
    assert requests == ["hourly/temperature/c/0/0/0*"] * 2, "the index and the other part"


def test_parts_of_a_shard_are_kept_for_their_own_index(store):
    """Where one part stood, another of the same length may stand later."""
    store.put("studies/cube/results.zarr/a/c/0", b"AAAABBBB" + b"i1")
    committed = CommittedStore(store.zarr("cube"), b"root", url=store.url)

    async def read():
        index, part = SuffixByteRequest(2), RangeByteRequest(0, 4)
        return [(await committed.get("a/c/0", default_buffer_prototype(), one)).to_bytes() for one in (index, part)]

    assert sync(read()) == sync(read()) == [b"i1", b"AAAA"]
    store.put("studies/cube/results.zarr/a/c/0", b"BBBBAAAA" + b"i2")
    assert sync(read()) == [b"i1", b"AAAA"], "all of the commit is here"

    async def read_more():
        await committed.get("a/c/0", default_buffer_prototype(), SuffixByteRequest(2))
        return await committed.get("a/c/0", default_buffer_prototype(), RangeByteRequest(4, 8))

    with pytest.raises(StoreError, match="written anew"):
        sync(read_more())
    assert sync(read()) == [b"i2", b"BBBB"]


def test_what_was_missing_is_asked_for_again(store):
    write(store)
    name = "studies/cube/results.zarr/hourly/temperature/c/0/0/0"
    data = store.get(name)
    store.delete(name)
    assert hourly(store, cache=True).load().isnull().all()
    store.put(name, data)
    np.testing.assert_array_equal(hourly(store, cache=True), plain(store))


def test_a_fault_is_not_remembered(store, monkeypatch):
    write(store)
    read = hourly(store, cache=True)
    with monkeypatch.context() as patch:

        async def fail(*args):
            raise ConnectionResetError("connection reset")

        patch.setattr(FsspecStore, "get", fail)
        with pytest.raises((ConnectionResetError, StoreError)):
            read.load()
    np.testing.assert_array_equal(hourly(store, cache=True), plain(store))


# The cache on disk


def test_a_damaged_chunk_is_read_again(store, cache):
    write(store)
    expected = hourly(store, cache=True).load()
    files = [path for path in cache.glob("results/*/*") if path.stat().st_size > 10_000]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:-1] + b"X")
    xr.testing.assert_identical(hourly(store, cache=True).load(), expected)


def test_a_cache_that_cannot_be_written_costs_downloads_only(store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "file"))
    write(store)
    np.testing.assert_array_equal(hourly(store, cache=True), plain(store))


def test_a_wrong_limit_is_told_when_results_are_opened(store, monkeypatch):
    write(store)
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "many")
    with pytest.raises(BemsweepError, match="BEMSWEEP_CACHE_SIZE='many'"):
        bs.open_results(store, "cube", cache=True)
    plain(store)


# Elsewhere


def test_dask_threads_share_it(store, requests):
    write(store)
    read = hourly(store, cache=True).chunk({"variant": 1, "zone": 1})
    np.testing.assert_array_equal(read.compute(scheduler="threads", num_workers=4), plain(store))
    requests.clear()
    read.compute(scheduler="threads", num_workers=4)
    assert requests == []


def test_it_travels_and_reads_with_the_cache_at_hand(store, requests):
    write(store)
    expected = plain(store).isel(zone=3)
    for asks in (True, False):
        there = pickle.loads(pickle.dumps(hourly(store, cache=True).isel(zone=3)))
        requests.clear()
        xr.testing.assert_identical(there.load(), expected)
        assert bool(requests) is asks


def test_another_process_has_its_own_cache(s3, tmp_path, cache):
    store = Store(s3.new_bucket(), s3.options)
    write(store)
    (tmp_path / "tree").write_bytes(pickle.dumps(hourly(store, cache=True)))
    script = (
        "import pathlib, pickle, sys\n"
        "print(float(pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()).isel(variant=2, zone=5).sum()))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "tree")],
        env={**os.environ, "BEMSWEEP_CACHE_DIR": str(tmp_path / "there")},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert float(said) == pytest.approx(float(plain(store).isel(variant=2, zone=5).sum()))
    assert len([*(tmp_path / "there").glob("results/*/*")]) == 2
    assert not [path for path in cache.glob("results/*/*") if path.stat().st_size > 10_000]


def test_results_cannot_be_written(store):
    write(store)
    committed = CommittedStore(store.zarr("cube"), b"root")
    assert committed.with_read_only(read_only=True) is committed
    for change in (partial(committed.delete, "zarr.json"), partial(committed.set, "x", None)):
        with pytest.raises(ValueError, match="read-only"):
            sync(change())
    with pytest.raises(ValueError, match="read only"):
        committed.with_read_only(read_only=False)


def test_commits_are_told_apart(store):
    zarr_store = store.zarr("cube")
    one = CommittedStore(zarr_store, b"one", url=store.url)
    assert one == CommittedStore(zarr_store, b"one", url=store.url)
    assert one != CommittedStore(zarr_store, b"two", url=store.url)
    assert one != CommittedStore(zarr_store, b"one", url="s3://elsewhere")
    assert one != zarr_store


def test_many_parts_are_kept_too(store, requests):
    write(store)
    root = store.get("studies/cube/results.zarr/zarr.json")
    committed = CommittedStore(store.zarr("cube"), root, url=store.url)
    wanted = [("hourly/zone/c/0", None), ("variant_id/c/0", None), ("nothing/c/0", None)]
    for asked in (3, 1):
        requests.clear()
        values = sync(committed.get_partial_values(default_buffer_prototype(), wanted))
        assert [value is None for value in values] == [False, False, True]
        assert len(requests) == asked
        with committed.opening():  # from here on memory does not answer
            pass
