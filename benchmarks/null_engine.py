"""Everything around the engine, at scale: an engine that returns canned series at once, on two worker processes.

Prints milliseconds of wall-clock a variant, what memory grew by, how fast blocks were packed, and how fast the cube
is opened and read. ``python benchmarks/null_engine.py 1000 100000`` runs studies of these sizes;
``--hourly`` has hourly series instead of daily ones, ``--s3`` a SeaweedFS server as the store.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from distributed import Client

import bemsweep as bs
from bemsweep.engine import COMPLETED, EngineRun, Job
from bemsweep.records import Series

OUTPUTS = 10
CANNED = 64
"""So many different sets of series; one that repeats more often would be compressed to nothing."""


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
    """Return a year of made-up energy: seasons, days and noise."""
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
    return bs.Study(
        name=f"null-{variants}",
        baseline="bundled:ref/small_office",
        weather={"chicago": "bundled:usa_il_chicago"},
        parameters={
            "lighting": bs.Field(
                "Lights", "watts_per_floor_area", values=[float(n + 1) for n in range(variants // 100)]
            ),
            "north": bs.Field("Building", "north_axis", values=[float(n) for n in range(100)]),
        },
        outputs=[bs.Meter(f"Made:Up{n}", frequency=frequency, as_=f"made_up_{n}") for n in range(OUTPUTS)],
        reference=False,
    )


class Memory:
    """What processes hold, looked at every half second."""

    def __init__(self, **processes: int) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in processes.items()}
        self.held: dict[str, list[int]] = {name: [] for name in processes}
        self._over = threading.Event()

    def look(self) -> None:
        """Note what they hold now."""
        for name, process in self._processes.items():
            self.held[name].append(process.memory_info().rss)

    def busy_s(self) -> dict[str, float]:
        """Return the seconds of processor time that each has taken."""
        return {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look as long as the block lasts."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.look()


def measure(variants: int, frequency: str, store: str, client: Client) -> float:
    """Run a study, print what it cost and return its milliseconds a variant."""
    began = time.perf_counter()
    plan = bs.plan(study(variants, frequency), store=store, engine=NullEngine())
    planned = time.perf_counter()
    workers = {f"worker {n}": int(pid) for n, pid in enumerate(client.run(os.getpid).values())}
    memory = Memory(driver=os.getpid(), **workers)
    memory.look()
    busy = memory.busy_s()
    with memory.watching():
        run = bs.run(plan, client=client)
    done = time.perf_counter()
    memory.look()
    busy = {name: seconds - busy[name] for name, seconds in memory.busy_s().items()}
    each = 1000 * (done - planned) / variants
    print(
        f"{variants:7,} variants with {OUTPUTS} {frequency} series: plan {1000 * (planned - began) / variants:.2f}, "
        f"run {each:.2f} ms a variant"
    )
    for name, held in memory.held.items():
        grown = (max(held) - held[0]) / variants
        print(
            f"        {name}: from {held[0] / 1e6:.0f} to {max(held) / 1e6:.0f} MB, {grown:.0f} B a variant; "
            f"{1000 * busy[name] / variants:.2f} ms of processor time a variant"
        )
    if run.progress.statuses != {"succeeded": variants}:
        raise SystemExit(f"not all succeeded: {run!r}")
    return each


def main() -> None:
    """Print a paragraph for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[1_000, 10_000])
    parser.add_argument("--hourly", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            with Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as client:
                measure(size, "hourly" if options.hourly else "daily", f"{folder}/{size}", client)


if __name__ == "__main__":
    main()
