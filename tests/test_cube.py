"""The cube as its readers see it: plain xarray, and nothing of bemsweep."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.memory import MemoryFileSystem
from zarr.storage import FsspecStore, LocalStore, MemoryStore, WrapperStore

from bemsweep import cube as cube_module
from bemsweep.cube import TABLE_CHUNK_ROWS, Cube
from bemsweep.errors import StoreError
from bemsweep.layout import Layout, Parameter
from bemsweep.packing import pack
from bemsweep.periods import Calendar, Period
from cube_study import (
    DESIGN_DAYS,
    TEN_DAYS,
    electricity,
    layout_of,
    opener,
    pack_rows,
    record,
    table,
    temperature,
    variant_id,
    whole_cube,
)

ROWS = 3
TWO_PERIODS = Calendar(
    periods=(
        Period("winter", dt.date(2017, 1, 1), dt.date(2017, 1, 2)),
        Period("July", dt.date(2017, 7, 1), dt.date(2017, 7, 1)),
    )
)


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "results.zarr")


def expected_temperature(calendar, rows, shape):
    return np.stack([[series.values for series in temperature(calendar, row)] for row in rows]).reshape(shape)


def assert_same_bits(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


def test_plain_xarray_opens_one_group(url):
    whole_cube(LocalStore(url))
    ds = xr.open_zarr(url, group="hourly")
    assert dict(ds.sizes) == {"variant": ROWS, "zone": 2, "time": 240, "bounds": 2}
    assert list(ds.data_vars) == ["temperature"]
    assert set(ds.coords) == {
        *("time", "time_bounds", "zone", "variant_id", "status", "utc_offset", "lighting", "glazing")
    }
    assert "variant" not in ds.indexes
    assert_same_bits(ds.temperature.values, expected_temperature(TEN_DAYS, range(ROWS), (ROWS, 2, 240)))
    assert ds.zone.values.tolist() == ["South", "Core"]
    assert ds.variant_id.values.tolist() == [variant_id(row) for row in range(ROWS)]
    assert ds.status.values.tolist() == ["succeeded"] * ROWS
    assert ds.utc_offset.values.tolist() == [-6.0] * ROWS
    np.testing.assert_array_equal(ds.lighting.values, [np.nan, 1, 2])
    assert ds.glazing.values.tolist() == ["", "glass 1", "glass 2"]


def test_time_follows_cf(url):
    whole_cube(LocalStore(url))
    ds = xr.open_zarr(url, group="hourly")
    assert ds.time.values[[0, -1]].tolist() == np.array(["2017-01-25T00", "2017-02-03T23"], "M8[ns]").tolist()
    assert ds.time.attrs["standard_name"] == "time"
    assert (ds.time.attrs["axis"], ds.time.attrs["bounds"]) == ("T", "time_bounds")
    np.testing.assert_array_equal(ds.time_bounds[:, 0], ds.time)
    np.testing.assert_array_equal(ds.time_bounds[:, 1] - ds.time_bounds[:, 0], np.timedelta64(1, "h"))
    raw = xr.open_zarr(url, group="hourly", decode_times=False).time
    assert raw.attrs["units"] == "minutes since 1970-01-01 00:00:00"
    assert raw.attrs["calendar"] == "proleptic_gregorian"
    assert raw.dtype == np.int64
    daily = ds.temperature.resample(time="D").mean()
    assert daily.sizes["time"] == 10
    monthly = xr.open_zarr(url, group="monthly")
    assert monthly.time_bounds.values[0].tolist() == np.array(["2017-01-25", "2017-02-01"], "M8[ns]").tolist()


def test_attributes_name_quantity_unit_and_method(url):
    whole_cube(LocalStore(url))
    temperature = xr.open_zarr(url, group="hourly").temperature
    assert temperature.attrs == {
        "long_name": "Zone Mean Air Temperature",
        "units": "degC",
        "cell_methods": "time: mean",
    }
    meter = xr.open_zarr(url, group="monthly").electricity
    assert meter.attrs == {"long_name": "Electricity:Facility", "units": "J", "cell_methods": "time: sum"}
    assert_same_bits(meter.values, np.stack([electricity(TEN_DAYS, row).values for row in range(ROWS)]))
    for group in (None, "hourly"):
        attributes = xr.open_zarr(url, group=group).attrs
        assert attributes["Conventions"].startswith("CF-1.")
        assert (attributes["title"], attributes["study"]) == ("A study", "a-study")


def test_plain_xarray_opens_the_tree(url):
    whole_cube(LocalStore(url))
    tree = xr.open_datatree(url, engine="zarr")
    assert sorted(tree.children) == ["hourly", "monthly"]
    root = tree.to_dataset()
    assert root.warnings.values.tolist() == [0, 1, 2]
    assert root.memory_bytes.values.tolist() == [2**33] * ROWS
    assert root.engine_s.values.tolist() == [0.5, 1.5, 2.5]
    assert set(root.coords) == {"variant_id", "status", "utc_offset", "lighting", "glazing"}
    hourly = tree["hourly"].to_dataset()
    assert "lighting" in hourly.coords
    assert_same_bits(hourly.temperature.values, expected_temperature(TEN_DAYS, range(ROWS), (ROWS, 2, 240)))


def test_pending_rows_are_missing_values(url):
    cube = Cube.create(LocalStore(url), layout_of(TEN_DAYS))
    cube.resize(ROWS)
    packed = pack_rows(LocalStore(url), TEN_DAYS, range(ROWS), missing={1})
    cube.commit(table(ROWS, [packed.facts]), {})
    ds = xr.open_zarr(url, group="hourly")
    assert ds.temperature.isnull().all(["zone", "time"]).values.tolist() == [False, True, False]
    assert ds.status.values.tolist() == ["succeeded", "pending", "succeeded"]
    root = xr.open_zarr(url)
    np.testing.assert_array_equal(root.engine_s, [0.5, np.nan, 2.5])
    assert root.warnings.values.tolist() == [0, 0, 2]
    assert root.message.values.tolist() == ["", "", ""]


def test_design_days(url):
    whole_cube(LocalStore(url), DESIGN_DAYS)
    ds = xr.open_zarr(url, group="hourly")
    assert ds.temperature.dims == ("variant", "zone", "design_day", "time")
    assert_same_bits(ds.temperature.values, expected_temperature(DESIGN_DAYS, range(ROWS), (ROWS, 2, 2, 24)))
    assert ds.design_day.values.tolist() == [0, 1]
    assert ds.time.dtype == "timedelta64[ns]"
    assert ds.time.values[:2].tolist() == np.array([0, 60], "m8[m]").astype("m8[ns]").tolist()
    assert ds.design_day_name.dims == ds.design_day_date.dims == ("variant", "design_day")
    assert ds.design_day_name.values.tolist() == [["cold é", "hot"]] * ROWS
    assert ds.design_day_date.values.tolist() == [["01-21", "07-21"]] * ROWS
    assert {"design_day_name", "design_day_date", "time_bounds"} <= set(ds.coords)
    assert ds.temperature.sel(time="13:00:00", design_day=1).sizes == {"variant": ROWS, "zone": 2}


def test_several_run_periods_are_told_apart(url):
    whole_cube(LocalStore(url), TWO_PERIODS)
    ds = xr.open_zarr(url, group="hourly")
    assert ds.run_period.values.tolist() == ["winter"] * 48 + ["July"] * 24
    assert "run_period" in ds.coords
    july = ds.temperature[:, :, (ds.run_period == "July").values]
    assert_same_bits(july.values, expected_temperature(TWO_PERIODS, range(ROWS), (ROWS, 2, 72))[:, :, 48:])


def test_float32_if_the_study_asks_for_it(url):
    whole_cube(LocalStore(url), dtype="float32")
    found = xr.open_zarr(url, group="hourly").temperature
    assert_same_bits(found.values, expected_temperature(TEN_DAYS, range(ROWS), (ROWS, 2, 240)).astype("float32"))


@pytest.mark.parametrize("calendar", [TEN_DAYS, DESIGN_DAYS], ids=["weather", "design_day"])
def test_netcdf(url, tmp_path, calendar):
    whole_cube(LocalStore(url), calendar)
    for group in (None, "hourly"):
        ds = xr.open_zarr(url, group=group)
        ds.to_netcdf(tmp_path / "copy.nc", engine="h5netcdf")
        with xr.open_dataset(tmp_path / "copy.nc", engine="h5netcdf") as copy:
            assert set(copy.coords) == set(ds.coords)
            for name, variable in ds.variables.items():
                if name != "time_bounds":
                    assert copy[name].attrs == variable.attrs
                    np.testing.assert_array_equal(copy[name].values.astype(variable.dtype), variable.values)
    tree = xr.open_datatree(url, engine="zarr")
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as copy:
        np.testing.assert_array_equal(copy["hourly/temperature"], tree["hourly/temperature"])
        assert copy["hourly/time"].dtype == tree["hourly/time"].dtype


def stores(tmp_path):
    return {
        "local": LocalStore(tmp_path / "results.zarr"),
        "memory": MemoryStore(),
        "fsspec": FsspecStore(AsyncFileSystemWrapper(MemoryFileSystem(), asynchronous=True), path=str(tmp_path)),
    }


@pytest.mark.parametrize("kind", ["local", "memory", "fsspec"])
def test_any_zarr_store(tmp_path, kind):
    store = stores(tmp_path)[kind]
    whole_cube(store)
    ds = xr.open_zarr(store, group="hourly")
    assert_same_bits(ds.temperature.values, expected_temperature(TEN_DAYS, range(ROWS), (ROWS, 2, 240)))
    cube = Cube.open(store)
    cube.grow(cube.layout.grow(temperature(TEN_DAYS, 0, ("Attic",))))
    cube.resize(300)
    pack_rows(store, TEN_DAYS, range(256, 300))
    cube.commit(table(300), {1: "x"})
    assert xr.open_zarr(store, group="hourly").temperature.shape == (300, 3, 240)


def test_an_empty_cube_can_be_read(url):
    Cube.create(LocalStore(url), layout_of(TEN_DAYS), attributes={"title": "A study"})
    assert xr.open_zarr(url, group="hourly").temperature.shape == (0, 2, 240)
    assert xr.open_datatree(url, engine="zarr")["monthly"].sizes["variant"] == 0
    assert Cube.open(LocalStore(url)).rows == 0


def test_create_replaces_what_was_there(url):
    whole_cube(LocalStore(url))
    Cube.create(LocalStore(url), Layout(TEN_DAYS))
    tree = xr.open_datatree(url, engine="zarr")
    assert not tree.children
    assert "lighting" not in tree


def test_open_knows_layout_and_blocks_of_the_last_commit(url):
    cube = whole_cube(LocalStore(url))
    found = Cube.open(LocalStore(url))
    assert found.layout == cube.layout
    assert found.blocks == {0: "digest"}
    assert found.attributes == {"title": "A study", "study": "a-study"}
    assert found.rows == ROWS


def test_there_is_no_cube_to_open(url):
    assert Cube.open(LocalStore(url)) is None
    assert Cube.open(MemoryStore()) is None
    zarr.create_group(LocalStore(url))
    assert Cube.open(LocalStore(url)) is None
    with pytest.raises(StoreError, match="no cube"):
        pack(LocalStore(url), 0, [None])


READ_ROWS = """
import sys, xarray as xr
tree = xr.open_datatree(sys.argv[1], engine="zarr")
one = xr.open_zarr(sys.argv[1], group="hourly")
assert dict(tree["hourly"].sizes) == dict(one.sizes)
print(one.sizes["variant"], one.sizes["zone"], sorted(tree.children), "wall" in one.coords)
"""


def seen_elsewhere(url):
    """Return what a reader in another process sees; it has no bemsweep."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_ROWS, url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_readers_elsewhere_see_the_old_cube_until_the_commit(url):
    store = LocalStore(url)
    cube = whole_cube(store)
    old = "3 2 ['hourly', 'monthly'] False"
    assert seen_elsewhere(url) == old
    new = [*temperature(TEN_DAYS, 0, ("Attic",)), *temperature(TEN_DAYS, 0, frequency="daily")]
    cube.grow(cube.layout.grow(new).grow_parameters([Parameter("wall", "text")]))
    cube.resize(300)
    pack_rows(store, TEN_DAYS, range(256, 300))
    pack_rows(store, TEN_DAYS, range(256))
    assert seen_elsewhere(url) == old
    cube.commit(table(300, wall="brick"), {})
    assert seen_elsewhere(url) == "300 3 ['daily', 'hourly', 'monthly'] True"


def test_the_commit_is_one_last_write(url):
    store = Recording(LocalStore(url))
    cube = whole_cube(store)
    cube.resize(300)
    store.written.clear()
    cube.commit(table(300), {})
    assert store.written[-1] == "zarr.json"
    assert not any(key.endswith("zarr.json") for key in store.written[:-2])


def test_readers_never_lose_the_consolidated_metadata(url):
    store = Recording(LocalStore(url))
    cube = whole_cube(store)
    store.roots.clear()
    cube.resize(300)
    cube.grow(cube.layout.grow(temperature(TEN_DAYS, 0, ("Attic",))))
    cube.commit(table(300), {})
    assert len(store.roots) == 2
    assert all(json.loads(root)["consolidated_metadata"] for root in store.roots)


def test_a_commit_writes_only_what_changed(url, monkeypatch):
    monkeypatch.setattr("bemsweep.cube.TABLE_CHUNK_ROWS", 100)
    store = Recording(LocalStore(url))
    cube = Cube.create(store, layout_of(TEN_DAYS))
    cube.resize(250)
    rows = table(250)
    cube.commit(rows, {})
    store.written.clear()
    cube.commit(rows, {})
    assert [key for key in store.written if not key.endswith("zarr.json")] == []
    rows.loc[120, "status"] = "failed"
    cube.commit(rows, {})
    chunks = {key for key in store.written if not key.endswith("zarr.json")}
    assert chunks == {"status/c/1", "hourly/status/c/1", "monthly/status/c/1"}
    assert xr.open_zarr(url, group="hourly").status.values[[119, 120]].tolist() == ["pending", "failed"]


def test_the_table_has_large_chunks(url):
    whole_cube(LocalStore(url))
    assert zarr.open_array(url, path="hourly/lighting", mode="r").chunks == (TABLE_CHUNK_ROWS,) == (16384,)


def test_a_table_that_does_not_fit_is_refused(url):
    cube = whole_cube(LocalStore(url))
    with pytest.raises(ValueError, match="4 rows, but the cube 3"):
        cube.commit(table(4), {})
    with pytest.raises(ValueError, match="glazing"):
        cube.commit(table(3).drop(columns="glazing"), {})


def test_growth_by_rows_repacks_the_open_block(url):
    store = LocalStore(url)
    cube = whole_cube(store, rows=300)
    cube.resize(600)
    for rows in (range(512, 600), range(256, 512)):
        pack_rows(store, TEN_DAYS, rows)
    cube.commit(table(600), {})
    found = xr.open_zarr(url, group="hourly").temperature
    assert_same_bits(found[256:].values, expected_temperature(TEN_DAYS, range(256, 600), (344, 2, 240)))


def test_resize_never_shrinks(url):
    cube = whole_cube(LocalStore(url))
    cube.resize(1)
    assert cube.rows == ROWS
    assert xr.open_zarr(url, group="hourly").sizes["variant"] == ROWS


def test_growth_by_an_output_a_zone_and_a_parameter_keeps_what_is_packed(url):
    store = LocalStore(url)
    cube = whole_cube(store)
    humid = [type(one)(**{**vars(one), "output": "humidity", "units": "%"}) for one in temperature(TEN_DAYS, 0)]
    cube.grow(
        cube.layout.grow([*temperature(TEN_DAYS, 0, ("Attic", "CORE")), *humid]).grow_parameters(
            [Parameter("wall", "text")]
        )
    )
    cube.commit(table(ROWS, wall=["brick", None, "wood"]), {})
    ds = xr.open_zarr(url, group="hourly")
    assert ds.zone.values.tolist() == ["South", "Core", "Attic"]
    assert_same_bits(ds.temperature[:, :2].values, expected_temperature(TEN_DAYS, range(ROWS), (ROWS, 2, 240)))
    assert ds.temperature[:, 2].isnull().all()
    assert ds.humidity.isnull().all()
    assert ds.humidity.attrs["units"] == "%"
    assert ds.temperature.wall.values.tolist() == ["brick", "", "wood"]
    three = [opener(record(TEN_DAYS, row, *temperature(TEN_DAYS, row, ("Attic", "South")))) for row in range(ROWS)]
    pack(store, 0, three)
    ds = xr.open_zarr(url, group="hourly")
    assert ds.temperature.isnull().all(["variant", "time"]).values.tolist() == [False, True, False]


def test_growth_that_was_cut_short_is_done_again(url, monkeypatch):
    store = LocalStore(url)
    cube = whole_cube(store)
    grown = cube.layout.grow(temperature(TEN_DAYS, 0, ("Attic",), frequency="daily"))
    with monkeypatch.context() as patched:
        patched.setattr(Cube, "_write_root", lambda self, **_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            cube.grow(grown)
    found = Cube.open(store)
    assert "daily" not in found.layout.frequencies
    found.grow(grown)
    found.commit(table(ROWS), {})
    assert xr.open_zarr(url, group="daily").temperature.shape == (ROWS, 1, 10)


class Recording(WrapperStore):
    """Notes every key that is written, and the root's metadata."""

    def __init__(self, store):
        super().__init__(store)
        self.written = []
        self.roots = []

    async def set(self, key, value, **options):
        self.written.append(key)
        if key == "zarr.json":
            self.roots.append(value.to_bytes())
        await super().set(key, value, **options)


@pytest.mark.parametrize("moment", range(0, 30, 3))
def test_a_resize_that_was_cut_short_is_done_again(url, monkeypatch, moment):
    """Whoever is killed in the middle must not leave arrays of two lengths for good."""
    cube = Cube.create(LocalStore(url), layout_of(TEN_DAYS))
    calls = 0

    def dying(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls > moment:
            raise KeyboardInterrupt
        return require(*args, **kwargs)

    require = cube_module._require
    with monkeypatch.context() as patch:
        patch.setattr(cube_module, "_require", dying)
        with contextlib.suppress(KeyboardInterrupt):
            cube.resize(ROWS)
    again = Cube.open(LocalStore(url))
    if again.rows < ROWS:
        again.resize(ROWS)
    lengths = {
        name: array.shape[0]
        for name, array in zarr.open_group(url, use_consolidated=False).members(max_depth=None)
        if isinstance(array, zarr.Array) and array.metadata.dimension_names[0] == "variant"
    }
    assert set(lengths.values()) == {ROWS}, lengths


def test_a_cube_whose_root_was_altered_is_none(url):
    whole_cube(LocalStore(url))
    (Path(url) / "zarr.json").write_text("{")
    assert Cube.open(LocalStore(url)) is None
