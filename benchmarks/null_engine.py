"""Everything around the engine, at scale: an engine that returns canned series at once, on two worker processes.

Prints milliseconds of wall-clock and of processor time a variant, what memory grew by, and then how fast the cube is
opened and read, beside how fast this disk reads a file of the same size. ``python benchmarks/null_engine.py 1000
100000`` runs studies of these sizes; ``--hourly`` has hourly series instead of daily ones, ``--s3`` a SeaweedFS server
as the store.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from distributed import Client
from machine import describe

import bemsweep as bs
from bemsweep.blocks import pack_block, put_rows
from bemsweep.cluster import open_local_client
from bemsweep.engine import COMPLETED, EngineRun, Job
from bemsweep.layout import BLOCK_ROWS
from bemsweep.memory import peak_bytes
from bemsweep.records import Series
from bemsweep.run_context import context_of
from bemsweep.store import Store
from bemsweep.task import Workplace

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from s3_servers import SeaweedServer

OUTPUTS = 10
ROWS_READ = {"daily": 4096, "hourly": 1024}
"""Variants that Dask takes at once."""
CANNED = 64
"""So many different sets of series: one that repeats more often would be compressed to nothing."""


class NullEngine:
    """An `Engine` that has done everything already."""

    version = "EnergyPlus, Version 25.2.0-null"
    can_expand = False

    def __init__(self) -> None:
        self._canned: dict[int, tuple[Series, ...]] = {}

    def __reduce__(self) -> tuple[type[NullEngine], tuple[()]]:
        return NullEngine, ()

    def run(self, job: Job, scratch: Path, *, timeout_s: float) -> EngineRun:  # noqa: ARG002 - the protocol's
        """Return series that differ between most variants."""
        if job.calendar is None:
            names = [output.name for output in job.outputs]
            return EngineRun(0, "done", end=COMPLETED, dictionary={"meter": names}, series=_series(job, 0, length=0))
        number = int(job.run_id[:8], 16) % CANNED
        if number not in self._canned:
            (length,) = job.calendar.shape(job.outputs[0].frequency)
            self._canned[number] = _series(job, number, length=length)
        return EngineRun(0, "done", end=COMPLETED, series=self._canned[number], memory_bytes=1)

    def kill(self, run_id: str) -> None:
        """Nothing runs for so long."""

    def running(self) -> dict[str, str]:
        """Nothing runs for so long."""
        return {}

    def close(self) -> None:
        """There is nothing to end."""


def _series(job: Job, number: int, *, length: int) -> tuple[Series, ...]:
    """Return a year of made-up energy: seasons and noise."""
    chance = np.random.default_rng(number)
    seasons = 2 + np.cos(np.linspace(0, 2 * np.pi, length))
    return tuple(
        Series(
            output=output.array,
            frequency=output.frequency,
            key="",
            key_kind="",
            name=output.name,
            units="J",
            method="sum",
            values=1e8 * seasons * (1 + 0.1 * chance.random(length)),
        )
        for output in job.outputs
    )


def study(variants: int, frequency: str) -> bs.Study:
    """Return a grid of so many variants, a multiple of 100, with ten series each."""
    lightings = [float(n + 1) for n in range(variants // 100)]
    return bs.Study(
        name="null",
        baseline="bundled:ref/small_office",
        weather={"chicago": "bundled:usa_il_chicago"},
        parameters={
            "lighting": bs.Field("Lights", "watts_per_floor_area", values=lightings),
            "north": bs.Field("Building", "north_axis", values=[float(n) for n in range(100)]),
        },
        outputs=[bs.Meter(f"Made:Up{n}", frequency=frequency, as_=f"made_up_{n}") for n in range(OUTPUTS)],
        reference=False,
    )


class Processes:
    """What processes hold, looked at every half second, and the processor time that they take."""

    def __init__(self, **pids: int) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.held: dict[str, list[int]] = {name: [] for name in pids}
        self._over = threading.Event()

    def look(self) -> None:
        """Note what they hold now."""
        for name, process in self._processes.items():
            self.held[name].append(process.memory_info().rss)

    def busy_s(self) -> dict[str, float]:
        """Return the seconds of processor time that each has taken."""
        return {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look as long as the block lasts."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self.look()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.look()


def run(variants: int, frequency: str, store: str, options: Mapping[str, Any]) -> None:
    """Run a study and print what it cost."""
    began = time.perf_counter()
    plan = bs.plan(study(variants, frequency), store=store, storage_options=options, engine=NullEngine())
    planned = time.perf_counter()
    with open_local_client(2, processes=2) as client:  # as bemsweep makes it: Dask's own would watch the GIL, too
        first_s = warm_up(client)
        workers = {f"worker {n}": int(pid) for n, pid in enumerate(client.run(os.getpid).values())}
        processes = Processes(driver=os.getpid(), **workers)
        processes.look()
        before, started = processes.busy_s(), time.perf_counter()
        with processes.watched():
            done = bs.run(plan, client=client)
        seconds, busy = time.perf_counter() - started, processes.busy_s()
    if done.progress.statuses != {"succeeded": variants}:
        raise SystemExit(f"not all succeeded: {done!r}")
    print(f"{variants:,} variants with {OUTPUTS} {frequency} series: {1000 * seconds / variants:.2f} ms a variant")
    print(f"  (a hundred before them, the first of their cluster: {first_s:.1f} s, most of it imports)")
    print(f"  planned in {planned - began:.1f} s, {1000 * (planned - began) / variants:.2f} ms a variant")
    spent = done.account
    print(
        f"  of core time {1000 * spent.storing_s / variants:.2f} ms a variant for records, "
        f"{1000 * spent.packing_s / variants:.2f} ms for packing; alone, {packed_per_s(plan):,.0f} are packed a second"
    )
    for name, held in processes.held.items():
        most, grown = max(held) / 1e6, (max(held) - held[0]) / variants
        each = 1000 * (busy[name] - before[name]) / variants
        print(
            f"  {name:9}{most:.0f} MB at most, {grown:,.0f} B a variant more than before; {each:.2f} ms busy a variant"
        )


def packed_per_s(plan: bs.Plan) -> float:
    """Pack the first block once more, while nothing else is done; return variants a second."""
    ids = plan.variant_ids[:BLOCK_ROWS]
    rows = put_rows(plan.store, plan.study.name, 0, ids)
    workplace = Workplace(context_of(plan))
    return len(ids) / median_s(lambda: pack_block(0, rows, workplace))


def warm_up(client: Client) -> float:
    """Run a hundred variants in another store, so that all processes have imported what they need; return seconds."""
    with tempfile.TemporaryDirectory() as folder:
        plan = bs.plan(study(100, "daily"), store=f"{folder}/store", engine=NullEngine())
        began = time.perf_counter()
        bs.run(plan, client=client)
        return time.perf_counter() - began


def read(variants: int, frequency: str, store: str, options: Mapping[str, Any]) -> None:
    """Print how fast the results of `run` are read."""
    opening = median_s(lambda: bs.open_results(store, "null", storage_options=options))
    tree = bs.open_results(store, "null", storage_options=options)
    array = tree[frequency].to_dataset()["made_up_3"]
    one = median_s(lambda: array[variants // 2].values)
    instant = median_s(lambda: array[:, 100].values, repetitions=1)
    print(f"  opened in {1000 * opening:.0f} ms; one variant's series in {1000 * one:.1f} ms; ", end="")
    print(f"one instant of all variants in {instant:.2f} s")
    if options:
        return
    shards = Path(store, "studies/null/results.zarr", frequency, "made_up_3", "c").rglob("*")
    files = [path for path in shards if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    os.sync()  # else what the run has written is written meanwhile
    rows = ROWS_READ[frequency]
    whole, same, few = [], [], []
    for _ in range(3):
        disk = sequential_bytes_per_s(Path(store), size)
        plain = evicted_s(files, lambda: [path.read_bytes() for path in files])
        took = evicted_s(files, lambda: array.chunk({"variant": rows}).sum("time").compute())
        few.append(evicted_s(files, lambda: array.chunk({"variant": 256}).sum("time").compute()) / took)
        whole.append(size / took / disk)
        same.append(plain / took)
    print(
        f"  sums over time of one meter for all variants, {size / 1e6:.0f} MB in {len(files)} files: "
        f"{statistics.median(same):.2f} of the speed at which these files can be read,\n"
        f"    {statistics.median(whole):.2f} of that of one file of this size ({disk / 1e6:,.0f} MB/s); "
        f"256 variants at a time take {statistics.median(few):.1f} times as long as {rows}; "
        f"peak {peak_bytes() / 1e6:.0f} MB"
    )


def evicted_s(files: list[Path], action: Callable[[], object]) -> float:
    """Return the seconds that something takes with files that are in no memory."""
    evict(files)
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def median_s(action: Callable[[], object], *, repetitions: int = 5) -> float:
    """Return the median of the seconds that something takes."""
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def sequential_bytes_per_s(folder: Path, size: int) -> float:
    """Return how fast a file is read that is in no memory."""
    path = folder / "sequential.tmp"
    path.write_bytes(os.urandom(size))
    evict([path])
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.read(2**22):
            pass
    seconds = time.perf_counter() - began
    path.unlink()
    return size / seconds


def evict(files: list[Path]) -> None:
    """Have the system forget what it has read of these files."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def one_size(variants: int, frequency: str, *, on_s3: bool) -> None:
    """Run and read a study in an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        if not on_s3:
            run(variants, frequency, f"{folder}/store", {})
            read(variants, frequency, f"{folder}/store", {})
            return
        server = SeaweedServer(f"{folder}/seaweed").start()
        try:
            home = Store(f"{server.new_bucket()}/store", server.options)
            run(variants, frequency, home.url, server.options)
            read(variants, frequency, home.url, server.options)
        finally:
            server.stop()


def main() -> None:
    """Print a paragraph for each size, each from a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[1_000, 10_000])
    parser.add_argument("--hourly", action="store_true")
    parser.add_argument("--s3", action="store_true")
    options = parser.parse_args()
    if len(options.sizes) == 1:
        one_size(options.sizes[0], "hourly" if options.hourly else "daily", on_s3=options.s3)
        return
    print(describe(), flush=True)
    flags = [flag for flag, is_set in (("--hourly", options.hourly), ("--s3", options.s3)) if is_set]
    for size in options.sizes:
        subprocess.run([sys.executable, __file__, str(size), *flags], check=True)


if __name__ == "__main__":
    main()
