"""Packing: exact, streaming, in any order, and never silent about what it cannot place."""

from __future__ import annotations

import dataclasses
import io
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from zarr.storage import LocalStore, WrapperStore

from bemsweep import packing
from bemsweep.cube import Cube
from bemsweep.errors import StoreError
from bemsweep.layout import TABLE_COLUMNS, Layout
from bemsweep.packing import pack
from bemsweep.record_file import to_bytes
from bemsweep.records import Record, Series
from cube_study import (
    DESIGN_DAYS,
    PARAMETERS,
    TEN_DAYS,
    electricity,
    layout_of,
    opener,
    pack_rows,
    record,
    table,
    temperature,
    variant_id,
)


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "results.zarr")


def cube_of(url, rows, calendar=TEN_DAYS):
    cube = Cube.create(LocalStore(url), layout_of(calendar))
    cube.resize(rows)
    return cube


def committed(cube, url, group="hourly"):
    cube.commit(table(cube.rows), {})
    return xr.open_zarr(url, group=group, chunks=None)


def pack_elsewhere(url, first, stop):
    return pack_rows(LocalStore(url), TEN_DAYS, range(first, stop)).unknown


def test_blocks_are_packed_in_any_order_by_several_processes(url):
    cube = cube_of(url, 600)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(pack_elsewhere, url, *rows) for rows in ((512, 600), (0, 256), (256, 512))]
        assert [job.result() for job in jobs] == [(), (), ()]
    ds = committed(cube, url)
    for row in (0, 255, 256, 511, 512, 599):
        for zone, series in enumerate(temperature(TEN_DAYS, row)):
            assert ds.temperature[row, zone].values.tobytes() == series.values.tobytes()
    meter = committed(cube, url, "monthly").electricity.values
    assert meter.tobytes() == np.stack([electricity(TEN_DAYS, row).values for row in range(600)]).tobytes()


def test_keys_are_placed_by_label_whatever_their_order_and_case(url):
    cube = cube_of(url, 2)
    swapped = [dataclasses.replace(series, key=series.key.upper()) for series in temperature(TEN_DAYS, 1)[::-1]]
    pack(LocalStore(url), 0, [opener(record(TEN_DAYS, 0)), opener(record(TEN_DAYS, 1, *swapped))])
    found = committed(cube, url).temperature.sel(zone="South")[1].values
    assert found.tobytes() == temperature(TEN_DAYS, 1)[0].values.tobytes()


def test_facts_tell_what_became_of_finished_rows(url):
    cube_of(url, 4)
    failed = Record(variant_id(2), "failed", message="** Severe  ** no", severe_errors=2)
    records = [None, opener(record(TEN_DAYS, 1)), opener(failed), None]
    facts = pack(LocalStore(url), 0, records).facts
    assert list(facts.columns) == ["row", *TABLE_COLUMNS]
    assert facts["row"].tolist() == [1, 2]
    assert facts["status"].tolist() == ["succeeded", "failed"]
    assert facts["message"].tolist() == ["", "** Severe  ** no"]
    assert facts["utc_offset"].tolist() == [-6.0, 0.0]
    assert facts["timeout_s"].isna().tolist() == [False, True]
    assert facts["memory_bytes"].tolist() == [2**33, 0]
    assert facts["moved_bytes"].tolist() == [0, 0], "nobody has told"
    assert facts["cpu_s"].isna().all()
    assert pack(LocalStore(url), 0, [None] * 4).facts.dtypes.to_dict() == facts.dtypes.to_dict()
    assert pd.api.types.is_integer_dtype(facts["warnings"])


def test_series_without_a_place_are_told_and_nothing_is_written(url):
    cube = cube_of(url, 20)
    attic = [opener(record(TEN_DAYS, row, *temperature(TEN_DAYS, row, ("Attic",)))) for row in range(19)]
    recording = Recording(LocalStore(url))
    packed = pack(recording, 0, [opener(record(TEN_DAYS, 19)), *attic])
    assert packed.unknown == tuple(variant_id(row) for row in range(16))
    assert recording.written == []
    cube.grow(cube.layout.grow(temperature(TEN_DAYS, 0, ("Attic",))))
    assert pack(recording, 0, [opener(record(TEN_DAYS, 19)), *attic]).unknown == ()
    assert (
        committed(cube, url).temperature.sel(zone="Attic").isnull().all("time").values.tolist() == [True] + [False] * 19
    )


def test_unreadable_records_are_told_and_packed_as_missing(url):
    cube = cube_of(url, 5)
    data = to_bytes(record(TEN_DAYS, 1))
    middle = bytearray(data)
    middle[len(data) // 2] ^= 1
    short = record(TEN_DAYS, 3, dataclasses.replace(electricity(TEN_DAYS, 3), values=np.zeros(3)))
    records = [opener(record(TEN_DAYS, 0)), opener(data[:-9]), opener(bytes(middle)), opener(short), None]
    packed = pack(LocalStore(url), 0, records)
    assert packed.unreadable.keys() == {1, 2, 3}
    assert packed.facts["row"].tolist() == [0]
    missing = committed(cube, url).temperature.isnull().all(["zone", "time"])
    assert missing.values.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(("broken", "buffer_bytes"), [(2, 10**9), (0, 1)], ids=["same pass", "earlier pass"])
def test_nothing_is_left_of_a_record_that_breaks_half_way(url, monkeypatch, broken, buffer_bytes):
    monkeypatch.setattr("bemsweep.record_file._ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(packing, "_BUFFER_BYTES", buffer_bytes)
    cube = cube_of(url, 1)
    data = bytearray(to_bytes(record(TEN_DAYS, 0)))
    column = pq.read_metadata(io.BytesIO(data)).row_group(broken).column(7)
    data[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    packed = pack(LocalStore(url), 0, [opener(bytes(data))])
    assert packed.unreadable.keys() == {0}
    assert packed.facts.empty
    assert committed(cube, url).temperature.isnull().all()
    assert committed(cube, url, "monthly").electricity.isnull().all()


def test_a_record_of_other_design_days_is_unreadable(url):
    cube_of(url, 1, DESIGN_DAYS)
    other = dataclasses.replace(record(DESIGN_DAYS, 0), design_day_names=("a", "b", "c"))
    assert pack(LocalStore(url), 0, [opener(other)]).unreadable.keys() == {0}


def test_a_conflicting_record_costs_its_own_row_only(url):
    cube_of(url, 2)
    other = dataclasses.replace(electricity(TEN_DAYS, 0), units="W")
    sound = opener(record(TEN_DAYS, 1, electricity(TEN_DAYS, 1)))
    packed = pack(LocalStore(url), 0, [opener(record(TEN_DAYS, 0, other)), sound])
    assert packed.unreadable.keys() == {0}
    assert list(packed.facts.row) == [1]


def test_a_broken_connection_passes_unchanged(url):
    cube_of(url, 1)

    def broken():
        raise ConnectionResetError("reset")

    with pytest.raises(ConnectionResetError):
        pack(LocalStore(url), 0, [broken])


def test_a_cube_too_short_is_refused(url):
    cube = cube_of(url, 256)
    with pytest.raises(StoreError, match="resize the cube"):
        pack_rows(LocalStore(url), TEN_DAYS, range(256, 260))
    cube.resize(258)
    with pytest.raises(StoreError, match=r"shape \(258, 2, 240\), the block needs \(260, 2, 240\)"):
        pack_rows(LocalStore(url), TEN_DAYS, range(256, 260))


@pytest.mark.parametrize(("first", "count"), [(1, 1), (0, 257), (0, 0)])
def test_what_is_no_block_is_refused(url, first, count):
    with pytest.raises(ValueError, match="no block"):
        pack(LocalStore(url), first, [None] * count)


def test_packing_again_replaces_what_was_there(url):
    cube = cube_of(url, 2)
    pack_rows(LocalStore(url), TEN_DAYS, range(2))
    pack_rows(LocalStore(url), TEN_DAYS, range(2), missing={0})
    found = committed(cube, url).temperature
    assert found[0].isnull().all()
    assert found[1, 0].values.tobytes() == temperature(TEN_DAYS, 1)[0].values.tobytes()


@pytest.mark.parametrize(("buffer_bytes", "passes"), [(1, 4), (20_000, 3), (10**9, 1)])
def test_the_result_does_not_depend_on_the_passes(url, monkeypatch, buffer_bytes, passes):
    monkeypatch.setattr("bemsweep.layout.SHARD_BYTES", 256 * 240 * 8 * 4)
    monkeypatch.setattr(packing, "_BUFFER_BYTES", buffer_bytes)
    zones = [f"Z{number}" for number in range(11)]
    series = temperature(TEN_DAYS, 0, zones)
    cube = Cube.create(LocalStore(url), Layout(TEN_DAYS).grow([*series, electricity(TEN_DAYS, 0)]))
    cube.resize(2)
    opened = []

    def open_record():
        opened.append(1)
        return io.BytesIO(to_bytes(record(TEN_DAYS, 0, *series, electricity(TEN_DAYS, 0))))

    pack(LocalStore(url), 0, [open_record, None])
    found = committed(cube, url).temperature
    assert found[0].values.tobytes() == np.stack([one.values for one in series]).tobytes()
    assert found[1].isnull().all()
    assert len(opened) == 1 + passes


@pytest.mark.parametrize("calendar", [TEN_DAYS, DESIGN_DAYS], ids=["weather", "design_day"])
def test_time_cut_into_several_shards(url, monkeypatch, calendar):
    monkeypatch.setattr("bemsweep.layout.SHARD_BYTES", 256 * 8 * 20)
    monkeypatch.setattr("bemsweep.layout.CHUNK_BYTES", 8 * 20)
    cube = cube_of(url, 2, calendar)
    pack_rows(LocalStore(url), calendar, range(2))
    found = committed(cube, url).temperature
    assert found.encoding["shards"][-1] <= 20
    values = np.stack([[one.values for one in temperature(calendar, row)] for row in range(2)])
    assert found.values.tobytes() == values.tobytes()


def test_each_shard_is_written_once_and_whole(url):
    cube_of(url, 300)
    recording = Recording(LocalStore(url))
    pack_rows(recording, TEN_DAYS, range(256))
    pack_rows(recording, TEN_DAYS, range(256, 300))
    arrays = ("hourly/temperature/c/{}/0/0", "monthly/electricity/c/{}/0")
    assert sorted(recording.written) == sorted(name.format(block) for name in arrays for block in range(2))


class Recording(WrapperStore):
    """Notes every key that is written."""

    def __init__(self, store):
        super().__init__(store)
        self.written = []

    async def set(self, key, value, **options):
        self.written.append(key)
        await super().set(key, value, **options)


PACK_A_LARGE_BLOCK = """
import datetime as dt, io, sys
import numpy as np
from zarr.storage import LocalStore
from bemsweep.cube import Cube
from bemsweep.layout import Layout
from bemsweep.memory import peak_bytes
from bemsweep.packing import pack
from bemsweep.periods import Calendar, Period
from bemsweep.record_file import to_bytes
from bemsweep.records import Record, Series

calendar = Calendar(periods=(Period("year", dt.date(2017, 1, 1), dt.date(2017, 12, 31)),))
days = np.repeat(np.arange(365.0), 24)
series = tuple(
    Series("temperature", "hourly", f"ZONE {n}", "zone", "Zone Mean Air Temperature", "C", "mean", days + n)
    for n in range(119)
)
data = to_bytes(Record("0" * 64, "succeeded", series=series))
store = LocalStore(sys.argv[1])
cube = Cube.create(store, Layout(calendar).grow(series))
cube.resize(256)
packed = pack(store, 0, [lambda: io.BytesIO(data)] * 256)
facts = packed.facts.drop(columns="row")
cube.commit(facts, {})
print(peak_bytes())
"""

OPEN_ONE_SERIES = """
import sys, time
import numpy as np, xarray as xr
times = []
for row in (0, 100, 255):
    begin = time.perf_counter()
    values = xr.open_zarr(sys.argv[1], group="hourly", chunks=None).temperature[row, row % 119].values
    times.append(time.perf_counter() - begin)
    assert np.array_equal(values, np.repeat(np.arange(365.0), 24) + row % 119)
print(min(times))
"""


@pytest.mark.heavy
def test_a_year_of_119_zones_packs_in_a_gigabyte_and_opens_at_once(url):
    def run(code):
        command = [sys.executable, "-W", "error", "-c", code, url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    peak_bytes, seconds = run(PACK_A_LARGE_BLOCK), run(OPEN_ONE_SERIES)
    sys.stdout.write(f"peak {peak_bytes / 1e6:.0f} MB; one series of one variant {1000 * seconds:.1f} ms\n")
    assert peak_bytes < 1e9
    assert seconds < 0.050


def test_records_are_closed(url):
    cube_of(url, 1)
    files = []

    def open_record():
        files.append(io.BytesIO(to_bytes(record(TEN_DAYS, 0))))
        return files[-1]

    pack(LocalStore(url), 0, [open_record])
    assert files
    assert all(file.closed for file in files)


def test_a_file_on_disk_will_do(url, tmp_path):
    cube = cube_of(url, 1)
    path = tmp_path / "record"
    path.write_bytes(to_bytes(record(TEN_DAYS, 0)))
    pack(LocalStore(url), 0, [partial(path.open, "rb")])
    assert committed(cube, url).temperature.notnull().all()


@pytest.mark.parametrize("calendar", [TEN_DAYS, DESIGN_DAYS], ids=["weather", "design_day"])
def test_numbers_without_time_stand_beside_series(url, calendar):
    def numbers(row):
        uses = np.arange(13.0 * 14) + row
        moments = np.full(13, np.nan)
        moments[2] = 27 * 1440 + 15 * 60 + row  # 28 January
        return (
            Series("load", "annual", "", "", "HVACSizingSummary", "W", "scalar", np.array([row / 3])),
            Series("end_uses", "annual", "", "fuel end_use", "End Uses", "GJ", "scalar", uses),
            Series("peak_demand_time", "annual", "", "fuel", "Time of Peak", "min", "moment", moments),
        )

    records = [record(calendar, row, electricity(calendar, row), *numbers(row)) for row in range(3)]
    layout = Layout(calendar, dtype="float32").grow(records[0].series).grow_parameters(PARAMETERS)
    cube = Cube.create(LocalStore(url), layout)
    cube.resize(4)
    packed = pack(LocalStore(url), 0, [*map(opener, records), None])
    assert (packed.unknown, packed.unreadable) == ((), {})
    cube.commit(table(4, [packed.facts]), {0: "digest"})
    found = xr.open_zarr(url, group="annual", chunks=None).load()
    np.testing.assert_array_equal(found["load"], np.array([0, 1 / 3, 2 / 3, np.nan], "float32"))
    assert found["load"].dims == ("variant",)
    assert found.end_uses.sel(fuel="Natural Gas", end_use="Cooling")[2] == 14 + 1 + 2
    assert found.end_uses[3].isnull().all()
    moments = found.peak_demand_time
    assert moments.dtype.kind == "M"
    if calendar is TEN_DAYS:
        assert str(moments.sel(fuel="Gasoline").values[1])[:16] == "2017-01-28T15:01"
    assert moments.isnull().sum() == 4 * 13 - (3 if calendar is TEN_DAYS else 0)


@pytest.mark.parametrize("calendar", [TEN_DAYS, DESIGN_DAYS], ids=["weather", "design_day"])
def test_what_is_reduced_stands_at_its_key_and_design_day(url, calendar, monkeypatch):
    monkeypatch.setattr("bemsweep.layout._KEYS_TO_GROW", 1)
    days = max(1, calendar.design_days)

    def peaks(row, zones):
        values = [100.0 * row + 10 * len(zone) + np.arange(days) for zone in zones]
        return [
            Series("t_max", "annual", zone, "zone", "T, maximum", "C", "run max", value)
            for zone, value in zip(zones, values, strict=True)
        ]

    rows = [peaks(0, ["A", "BB", "CCC"]), peaks(1, ["CCC", "A"])]
    cube = Cube.create(LocalStore(url), Layout(calendar).grow([*rows[0], *rows[1]]).grow_parameters(PARAMETERS))
    cube.resize(3)
    records = [opener(record(calendar, row, *some)) for row, some in enumerate(rows)]
    packed = pack(LocalStore(url), 0, [*records, None])
    assert (packed.unknown, packed.unreadable) == ((), {})
    cube.commit(table(3, [packed.facts]), {0: "digest"})
    found = xr.open_zarr(url, group="annual", chunks=None).load().t_max
    assert found.dims == ("variant", "zone", *("design_day",) * (calendar is DESIGN_DAYS))
    expected = np.array([[10.0, 20, 30], [110, np.nan, 130], [np.nan] * 3])[..., None] + np.arange(days)
    np.testing.assert_array_equal(found.values.reshape(3, 3, days), expected)


def test_a_record_with_too_few_numbers_is_unreadable(url):
    uses = Series("end_uses", "annual", "", "fuel end_use", "End Uses", "GJ", "scalar", np.arange(13.0 * 14))
    cube = Cube.create(LocalStore(url), Layout(TEN_DAYS).grow([uses]).grow_parameters(PARAMETERS))
    cube.resize(2)
    short = dataclasses.replace(uses, values=uses.values[:-1])
    packed = pack(LocalStore(url), 0, [opener(record(TEN_DAYS, row, one)) for row, one in enumerate((uses, short))])
    assert packed.unreadable.keys() == {1}
