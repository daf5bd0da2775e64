"""Compare formats for records on what EnergyPlus reports for a year of the small office.

Prints a table of bytes and milliseconds; `docs/decisions/002-record-format.md` rests on it. Run it with
``python benchmarks/record_formats.py``; it takes about ten seconds of engine time.
"""

from __future__ import annotations

import io
import multiprocessing
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from pyenergyplus import dataset

from bemsweep.energyplus import build_at, load
from bemsweep.record_file import RecordFile, from_bytes, to_bytes
from bemsweep.records import Record, Series

MODEL = Path(dataset.modeldir) / "RefBldgSmallOfficeNew2004_Chicago.idf"
OUTPUTS = {
    "Zone Mean Air Temperature": 6,
    "Zone Air Relative Humidity": 5,
    "Zone Lights Electricity Energy": 5,
    "Fan Electricity Energy": 2,
    "Site Outdoor Air Drybulb Temperature": 1,
    "Facility Total Purchased Electricity Energy": 1,
}
"""Twenty hourly series: how many keys of each variable."""

REPEATS = 15


def main() -> None:
    """Simulate once, then time every format on the same series."""
    record = Record("0" * 64, "succeeded", series=simulate())
    raw = sum(series.values.nbytes for series in record.series)
    print(f"{len(record.series)} hourly series of a year, {raw / 1e3:,.0f} kB raw; {platform.machine()}, ", end="")
    print(f"Python {platform.python_version()}, pyarrow {pa.__version__}, numpy {np.__version__}\n")
    print("| format | kB | write, ms | read all, ms | read one series, ms |")
    print("|---|--:|--:|--:|--:|")
    values = {str(number): series.values for number, series in enumerate(record.series)}
    for name, write, read, read_one in FORMATS:
        data = write(values)
        found = read(data)
        if any(not np.array_equal(found[key].view(np.int64), values[key].view(np.int64)) for key in values):
            raise SystemExit(f"{name} altered a value")
        print_row(name, data, partial(write, values), partial(read, data), partial(read_one, data))
    data = to_bytes(record)
    print_row(
        "**record: Parquet, byte-stream-split, zstd, checksums**",
        data,
        lambda: to_bytes(record),
        lambda: from_bytes(data),
        lambda: dict(RecordFile(io.BytesIO(data)).values([7])),
    )


def print_row(name: str, data: bytes, *actions: Callable[[], object]) -> None:
    times = " | ".join(f"{milliseconds(action):.1f}" for action in actions)
    print(f"| {name} | {len(data) / 1e3:,.0f} | {times} |")


def milliseconds(action: Callable[[], object]) -> float:
    """Return the median time of an action after a first, untimed call."""
    action()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def simulate() -> tuple[Series, ...]:
    """Return twenty hourly series of the engine's own SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        text = MODEL.read_text(encoding="utf-8").replace(
            "NO,                      !- Run Simulation for Weather File Run Periods", "YES,"
        )
        text += "".join(f"\nOutput:Variable,*,{name},hourly;" for name in OUTPUTS)
        model = Path(folder) / "in.idf"
        model.write_text(text, encoding="utf-8")
        process = multiprocessing.get_context("spawn").Process(target=run_engine, args=(model,))
        process.start()
        process.join()
        database = sqlite3.connect(Path(folder) / "eplusout.sql")
        series = [one for name, count in OUTPUTS.items() for one in read_series(database, name, count)]
        database.close()
    return tuple(series)


def run_engine(model: Path) -> None:
    weather = next(Path(dataset.weatherdir).glob("USA_IL_Chicago*.epw"))
    load(build_at()).simulate(model, weather)


def read_series(database: sqlite3.Connection, name: str, count: int) -> list[Series]:
    found = database.execute(
        "SELECT ReportDataDictionaryIndex, KeyValue, Units FROM ReportDataDictionary "
        "WHERE Name = ? AND ReportingFrequency = 'Hourly' LIMIT ?",
        (name, count),
    ).fetchall()
    series = []
    for index, key, units in found:
        rows = database.execute(
            "SELECT Value FROM ReportData NATURAL JOIN Time NATURAL JOIN EnvironmentPeriods "
            "WHERE ReportDataDictionaryIndex = ? AND EnvironmentType = 3 ORDER BY TimeIndex",
            (index,),
        )
        values = np.fromiter((value for (value,) in rows), dtype=np.float64)
        series.append(Series(name, "hourly", key, "other", name, units, "mean", values))
    return series


Arrays = dict[str, np.ndarray]


def write_npz(arrays: Arrays) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)  # type: ignore[arg-type]
    return sink.getvalue()


def write_npz_deflate(arrays: Arrays) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, **arrays)  # type: ignore[arg-type]
    return sink.getvalue()


def read_npz(data: bytes) -> Arrays:
    with np.load(io.BytesIO(data)) as file:
        return dict(file)


def read_npz_one(data: bytes) -> object:
    with np.load(io.BytesIO(data)) as file:
        return file["7"]


def write_ipc(arrays: Arrays) -> bytes:
    table = pa.table(arrays)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def read_ipc(data: bytes) -> Arrays:
    table = pa.ipc.open_file(io.BytesIO(data)).read_all()
    return {name: table[name].to_numpy() for name in table.column_names}


def read_ipc_one(data: bytes) -> object:
    options = pa.ipc.IpcReadOptions(included_fields=[7])
    return pa.ipc.open_file(io.BytesIO(data), options=options).read_all().column(0).to_numpy()


def write_parquet(arrays: Arrays) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink, compression="zstd")
    return sink.getvalue()


def read_parquet(data: bytes) -> Arrays:
    table = pq.read_table(io.BytesIO(data))
    return {name: table[name].to_numpy() for name in table.column_names}


def read_parquet_one(data: bytes) -> object:
    return pq.read_table(io.BytesIO(data), columns=["7"])["7"].to_numpy()


def write_zarr(arrays: Arrays) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        with zarr.storage.ZipStore(file.name, mode="w") as store:
            group = zarr.create_group(store)
            for name, values in arrays.items():
                group.create_array(name, data=values, chunks=values.shape)
        return Path(file.name).read_bytes()


def read_zarr(data: bytes) -> Arrays:
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        Path(file.name).write_bytes(data)
        with zarr.storage.ZipStore(file.name, mode="r") as store:
            return {name: np.asarray(array[...]) for name, array in zarr.open_group(store, mode="r").arrays()}


def read_zarr_one(data: bytes) -> object:
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        Path(file.name).write_bytes(data)
        with zarr.storage.ZipStore(file.name, mode="r") as store:
            return zarr.open_array(store, path="7", mode="r")[...]


FORMATS: tuple[tuple[str, Callable[[Arrays], bytes], Callable[[bytes], Arrays], Callable[[bytes], object]], ...] = (
    ("npz", write_npz, read_npz, read_npz_one),
    ("npz, deflate", write_npz_deflate, read_npz, read_npz_one),
    ("Arrow IPC, zstd", write_ipc, read_ipc, read_ipc_one),
    ("Parquet, a column per series, zstd", write_parquet, read_parquet, read_parquet_one),
    ("Zarr, zip", write_zarr, read_zarr, read_zarr_one),
)

if __name__ == "__main__":
    main()
