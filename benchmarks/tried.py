"""What could make runs faster, each beside what is done: ratios of wall-clock, on design days of the small office.

The bare engine, two processes at a time:

- ``mimalloc``, ``jemalloc``: another allocator in the place of glibc's, by LD_PRELOAD; where installed (Debian's
  libmimalloc2.0 and libjemalloc2);
- ``epjson``: the model as epJSON instead of IDF;
- ``memory``: it runs in /dev/shm instead of on disk.

A study of 32 variants on two cores:

- ``processes``: two worker processes instead of two threads of one;
- ``third``: a third thread, so that records go to the store while two others simulate; the store takes a tenth of a
  second for each object, as one far away does.

Everything is repeated one after the other, each time another one first: ``python benchmarks/tried.py``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from distributed import Client
from idfkit import load_idf, write_epjson
from machine import describe, told
from yardsticks import CASES, CHICAGO, compiled, study

import bemsweep as bs
from bemsweep.cluster import open_local_client
from bemsweep.store import Store

AT_ONCE = 2
RUNS = 16
"""Of the bare engine, each time."""
CASE = replace(CASES["short"], lightings=8, norths=4)
LATENCY_S = 0.1
ALLOCATORS = {"mimalloc": "libmimalloc.so.2", "jemalloc": "libjemalloc.so.2"}
LIBRARIES = Path("/usr/lib")


def library(name: str) -> Path | None:
    """Return where a shared library is installed, or None."""
    return next(LIBRARIES.rglob(name), None)


class Bare:
    """The bare engine, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._program = folder, compiled(folder)
        self._idf, self._epjson = folder / "in.idf", folder / "in.epJSON"
        self._idf.write_bytes(CASE.model.read_bytes())
        self._epjson.write_text(write_epjson(load_idf(str(CASE.model))), encoding="utf-8")

    def run(self, *, model: Path | None = None, scratch: Path | None = None, preload: Path | None = None) -> None:
        """Run the design days `RUNS` times."""
        environment = {**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {})}

        def one(_: int) -> None:
            with tempfile.TemporaryDirectory(dir=scratch or self._folder) as folder:
                command: list[str | Path] = [self._program, "-D", "-d", folder, "-w", CHICAGO, model or self._idf]
                subprocess.run(command, check=True, capture_output=True, env=environment)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(one, range(RUNS)))

    def ways(self) -> dict[str, Callable[[], None]]:
        """Return all that can be tried here; the first is what is done."""
        allocators = {name: library(file) for name, file in ALLOCATORS.items()}
        return {
            "as it is": self.run,
            **{name: partial(self.run, preload=path) for name, path in allocators.items() if path},
            "epjson": partial(self.run, model=self._epjson),
            "memory": partial(self.run, scratch=Path("/dev/shm")),
        }


@contextmanager
def slow_store() -> Iterator[None]:
    """Let each object that is put or got take a while."""

    def later(do: Callable[..., Any]) -> Callable[..., Any]:
        def slowly(*arguments: Any, **named: Any) -> Any:
            time.sleep(LATENCY_S)
            return do(*arguments, **named)

        return slowly

    with mock.patch.object(Store, "put", later(Store.put)), mock.patch.object(Store, "get", later(Store.get)):
        yield


def run_study(client: Client) -> float:
    """Run the study in a new store and return the seconds that it took, its plan left out."""
    with tempfile.TemporaryDirectory() as folder:
        plan = bs.plan(study(CASE), store=folder)
        began = time.perf_counter()
        run = bs.run(plan, client=client)
        seconds = time.perf_counter() - began
    if run.progress.statuses != {"succeeded": CASE.lightings * CASE.norths}:
        raise SystemExit(f"not all succeeded: {run!r}")
    return seconds


def ratios(ways: dict[str, Callable[[], float]], repetitions: int) -> None:
    """Print how long each way takes beside the first."""
    first, *others = ways
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(repetitions):
        turn = repetition % len(ways)
        for name in [*ways, *ways][turn : turn + len(ways)]:
            seconds[name].append(ways[name]())
    for name in others:
        print(f"  {name:10}{told([a / b for a, b in zip(seconds[name], seconds[first], strict=True)])}", flush=True)


def timed(do: Callable[[], None]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def main() -> None:
    """Print a ratio for each thing that was tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    repetitions = parser.parse_args().repetitions
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        print(f"the bare engine, {RUNS} runs, {AT_ONCE} at a time, {repetitions} repetitions; beside it as it is:")
        ratios({name: partial(timed, way) for name, way in Bare(Path(folder)).ways().items()}, repetitions)
    with open_local_client(AT_ONCE) as threads, open_local_client(AT_ONCE, processes=AT_ONCE) as processes:
        print(f"a study of {CASE.lightings * CASE.norths} variants; beside two threads of one process:")
        ratios({"threads": partial(run_study, threads), "processes": partial(run_study, processes)}, repetitions)
    with open_local_client(AT_ONCE) as two, open_local_client(AT_ONCE + 1) as three, slow_store():
        print(f"the same, each object {LATENCY_S} s away; beside two threads:")
        ratios({"two": partial(run_study, two), "third": partial(run_study, three)}, repetitions)


if __name__ == "__main__":
    main()
