"""Stand-ins, for tests of studies and of what is built on bemsweep: an engine that only pretends, and Coiled's service.

`FakeEngine` follows the calendar, the outputs and the edits it is given, counts its runs and fails
on script; it never starts a process. `coiled_stand_in` lets what asks Coiled for machines run on this one.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import itertools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from bemsweep.engine import COMPLETED, EngineRun, Job
from bemsweep.engine_files import needs_asking
from bemsweep.errors import InfrastructureError
from bemsweep.outputs import END_USES, FUELS, Output
from bemsweep.records import Series
from bemsweep.reductions import reduced_series
from bemsweep.scratch import open_scratch
from bemsweep.tables import SUMMARY_SERIES, Cell, cell_series, cells_meant

__all__ = ["FakeEngine", "Fault", "coiled_stand_in"]

Fault = Literal[
    "fail", "crash", "bad_edit", "other_axis", "hang", "out_of_memory", "infrastructure", "killed", "full_disk"
]
"""``fail``, ``crash``, ``bad_edit`` and ``other_axis`` are the model's fault; ``hang`` runs into the time-out;
``out_of_memory`` needs more than the study's ``max_memory``, whatever it is, and nothing happens without one;
``infrastructure`` raises; ``killed`` and ``full_disk`` are what a machine does to a run."""

_FATAL = """   ** Severe  ** <root>[Lights][L][design_level] - "-5" - Expected number greater than or equal to 0.000000
   **  Fatal  ** Errors occurred on processing input file. Preceding condition(s) cause termination.
"""
_ENDS: dict[Fault, EngineRun] = {
    "fail": EngineRun(1, "engine", err=_FATAL, end="EnergyPlus Terminated--Fatal Error Detected."),
    "crash": EngineRun(-11, "engine"),
    "bad_edit": EngineRun(1, "edit", error="ValueError: scripted (edits.py, line 1, in edit)"),
    "other_axis": EngineRun(0, "read", end=COMPLETED, error="ModelError: time axis differs from the study's: scripted"),
    "killed": EngineRun(-9, "engine"),
    "full_disk": EngineRun(1, "engine", sqlite_err="SQLite3 message, open\ndatabase disk image is malformed\n"),
}

_PIECE_BYTES = 1_000_000
_PID_DIGITS = 7
"""Of the largest there is: lines of the counter are equally long, because they are counted by their length."""


class FakeEngine:
    """An `Engine` whose values are computed from the variant: the same one agrees, others differ.

    Parameters
    ----------
    keys
        Key values of every variable, or a function that returns them for a job. Meters and variables whose
        names begin with ``Site`` have none.
    reports
        Names of the variables and meters that the model can report; None for whatever is asked for.
    cells
        The cells that its tabular reports have; their texts only tell numbers from what is none.
    faults
        Number of the run, counted from 1 -> its fault; or a function that takes the job and how often this
        variant was started, this time included, and returns a fault or None. So ``lambda job, attempt:
        "crash" if attempt == 1 else None`` acts once on each variant.
    raw_files
        Files that EnergyPlus would write -> their sizes in bytes; as there, some must be asked for.
    longest_s
        Runs last a random part of this, which puts their ends out of order.
    seed
        Of the durations.
    counter
        A file in which starts are counted across processes, each with the id of its process; None counts them in this
        object.
    version
        The string that the engine reports.

    Examples
    --------
    >>> engine = FakeEngine(keys=["CORE_ZN"], faults={2: "crash"})
    >>> engine.starts
    0
    """

    def __init__(
        self,
        *,
        keys: Sequence[str] | Callable[[Job], Sequence[str]] = ("Zone 1", "Zone 2"),
        reports: Collection[str] | None = None,
        cells: Sequence[Cell] = (),
        faults: Mapping[int, Fault] | Callable[[Job, int], Fault | None] | None = None,
        raw_files: Mapping[str, int] | None = None,
        longest_s: float = 0.0,
        seed: int = 0,
        counter: Path | None = None,
        version: str = "EnergyPlus, Version 25.2.0-fake",
    ) -> None:
        self._settings: dict[str, Any] = {
            "keys": keys,
            "reports": reports,
            "cells": cells,
            "faults": faults,
            "raw_files": raw_files,
            "longest_s": longest_s,
            "seed": seed,
            "counter": counter,
            "version": version,
        }
        self._keys, self._reports, self._cells, self._faults = keys, reports, tuple(cells), faults or {}
        self._raw_files = dict(raw_files or {})
        self._longest_s, self._seed, self._counter = longest_s, seed, counter
        self.version = version
        self._lock = threading.Lock()
        self._started: list[str] = []
        self._killed: dict[str, threading.Event] = {}
        self._under_way: dict[str, tuple[float, float]] = {}
        """Of each run the begin, monotonic, and how long it lasts."""

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], FakeEngine], tuple[dict[str, Any]]]:
        return _rebuild, (self._settings,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def can_expand(self) -> bool:
        """True if it expands HVACTemplate objects; it does not."""
        return False

    @property
    def starts(self) -> int:
        """Number of runs started, by all processes that share the counter."""
        return len(self._log())

    def run(self, job: Job, scratch: Path, *, timeout_s: float) -> EngineRun:
        """Pretend to simulate `job`; `scratch` gets the raw files of the script only.

        Raises
        ------
        InfrastructureError
            The script says so.
        """
        variant = _digest(_name_content(job.baseline), _name_content(job.weather), [asdict(edit) for edit in job.edits])
        with self._lock:
            number, attempt = self._count(variant)
        fault = self._faults(job, attempt) if callable(self._faults) else self._faults.get(number)
        if fault == "infrastructure":
            raise InfrastructureError(f"scripted fault of run {number}")
        duration_s = _random(variant, self._seed).random() * self._longest_s
        is_hanging = fault == "hang" or duration_s > timeout_s
        killed = threading.Event()
        with self._lock:
            self._killed[job.run_id] = killed
            self._under_way[job.run_id] = time.monotonic(), timeout_s if is_hanging else duration_s
        try:
            was_killed = killed.wait(timeout_s if is_hanging else duration_s)
        finally:
            with self._lock:
                self._killed.pop(job.run_id, None)
                self._under_way.pop(job.run_id, None)
        for name, size in self._raw_files.items():
            if name in job.raw_files or not needs_asking(name):
                _write_raw_file(scratch / name, size, variant)
        if was_killed or is_hanging:
            return EngineRun(-9, "engine", is_cancelled=was_killed, is_timed_out=not was_killed, engine_s=timeout_s)
        if fault == "out_of_memory" and job.max_memory_bytes is not None:
            limit = job.max_memory_bytes
            return EngineRun(-9, "engine", memory_limit_bytes=limit, memory_bytes=limit + 1, engine_s=duration_s)
        if fault not in (None, "out_of_memory"):
            return _ENDS[fault]
        days = job.calendar.design_days if job.calendar else 0
        run = EngineRun(
            returncode=0,
            stage="done",
            end=COMPLETED,
            series=self._series(job, variant),
            design_day_names=tuple(f"DAY {number}" for number in range(1, days + 1)),
            design_day_dates=tuple(f"01-{number:02}" for number in range(1, days + 1)),
            model_sha256=variant,
            engine_s=duration_s,
            memory_bytes=1,
        )
        return run if job.calendar else replace(run, dictionary=self._dictionary(job), cells=self._cells)

    def kill(self, run_id: str) -> None:
        """End a run that another thread waits for; unknown ids are ignored."""
        with self._lock:
            killed = self._killed.get(run_id)
        if killed is not None:
            killed.set()

    def running(self) -> dict[str, str]:
        """Return a made-up date for each run under way."""
        with self._lock:
            under_way = dict(self._under_way)
        now = time.monotonic()
        shares = {run_id: (now - begin) / max(length, now - begin) for run_id, (begin, length) in under_way.items()}
        return {run_id: f"{1 + int(share * 11):02}/01" for run_id, share in shares.items()}

    def close(self) -> None:
        """End all runs."""
        with self._lock:
            for killed in self._killed.values():
                killed.set()

    def _count(self, variant: str) -> tuple[int, int]:
        """Note a start; return its number, and its number among those of the same variant."""
        if self._counter is None:
            self._started.append(variant)
            number = len(self._started)
        else:
            line = f"{variant} {os.getpid():{_PID_DIGITS}}\n".encode()
            file = os.open(self._counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            os.write(file, line)
            # Where this line ended, whatever other processes have appended since.
            number = os.lseek(file, 0, os.SEEK_CUR) // len(line)
            os.close(file)
        return number, self._log()[:number].count(variant)

    def _log(self) -> list[str]:
        if self._counter is None:
            return self._started
        lines = self._counter.read_text(encoding="ascii").splitlines() if self._counter.exists() else []
        return [line.partition(" ")[0] for line in lines]

    def _series(self, job: Job, variant: str) -> tuple[Series, ...]:
        found: dict[tuple[str, ...], Series] = {}
        for output in (output for output in job.outputs if output.kind in ("variable", "meter")):
            if self._reports is None or output.name in self._reports:
                for key, word in itertools.product(self._keys_of(output, job), output.words):
                    place = output.name.upper(), output.frequency, key.upper(), word
                    found.setdefault(place, _one_series(output, key, job, variant, word))
        return (*found.values(), *(self._scalars(job, variant) if job.calendar else ()))

    def _scalars(self, job: Job, variant: str) -> list[Series]:
        found: list[Series] = []
        for output in job.outputs:
            meant = cells_meant(self._cells, output)[0] if output.kind == "table" else []
            found += [cell_series(output, cell, _random(_digest(variant, cell), 0).random(1)) for cell in meant]
            found += _summary(variant) if output.kind == "summary" else []
        return found

    def _keys_of(self, output: Output, job: Job) -> list[str]:
        if output.kind == "meter" or output.name.startswith("Site"):
            return [""]
        keys = self._keys(job) if callable(self._keys) else self._keys
        return [key for key in keys if output.is_wanted(key)]

    def _dictionary(self, job: Job) -> dict[str, list[str]]:
        kinds = {output.name: output.kind for output in job.outputs if output.kind in ("variable", "meter")}
        names = sorted(kinds if self._reports is None else self._reports)
        meters = [name for name in names if kinds.get(name, "meter" if ":" in name else "variable") == "meter"]
        reports = sorted({cell.report for cell in self._cells})
        return {"variable": [name for name in names if name not in meters], "meter": meters, "report": reports}


def _rebuild(settings: dict[str, Any]) -> FakeEngine:
    return FakeEngine(**settings)


def _write_raw_file(path: Path, size: int, variant: str) -> None:
    """Write bytes that cannot be compressed, a piece at a time."""
    piece = _random(_digest(variant, path.name), 0).bytes(min(size, _PIECE_BYTES))
    with path.open("wb") as file:
        for begin in range(0, size, _PIECE_BYTES):
            file.write(piece[: size - begin])


def _one_series(output: Output, key: str, job: Job, variant: str, word: str) -> Series:
    length = int(np.prod(job.calendar.shape(output.frequency))) if job.calendar else 0
    seed = _digest(variant, output.name.upper(), output.frequency, key.upper())
    is_meter = output.kind == "meter"
    series = Series(
        output=output.array,
        frequency=output.frequency,
        key=key,
        key_kind="zone" if key else "",
        name=output.name,
        units="J" if is_meter else "C",
        method="sum" if is_meter else "mean",
        values=_random(seed, 0).random(length),
    )
    days = job.calendar.design_days if job.calendar else 0
    return reduced_series(series, word, design_days=days) if word else series


def _summary(variant: str) -> list[Series]:
    """Return a summary whose end uses add up to its site energy."""
    found = []
    uses = _random(_digest(variant, "end_uses"), 0).random(len(FUELS) * len(END_USES))
    for one in SUMMARY_SERIES:
        values = _random(_digest(variant, one.output), 0).random(len(FUELS) if one.key_kind == "fuel" else 1)
        if one.output == "end_uses":
            values = uses
        elif one.output in ("site_energy", "net_site_energy"):
            values = uses.sum(keepdims=True)
        elif one.method == "moment":
            values = np.floor(values * 365 * 1440)
        found.append(replace(one, values=values))
    return found


def _name_content(path: Path) -> str:
    """Return what names the file's content, so that copies agree; its name if there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else path.name


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _random(digest: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([int(digest[:16], 16), seed])


@contextmanager
def coiled_stand_in() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Have one worker of this process in the place of Coiled's machines: to try, for free, what will run there.

    While the block lasts, a cluster of Coiled is a `distributed.LocalCluster` with the threads of one machine. It needs
    Coiled's package, whose signatures every call has to fit, but no account and no network.

    Returns
    -------
    context manager of list
        The calls, as they come: ``("Cluster", arguments)``, ``("send_private_envs", {name: value})`` and
        ``("close", {})``.

    Raises
    ------
    ImportError
        Coiled's package is not installed.
    """
    import dask  # noqa: PLC0415 - takes a moment, and only this needs it
    from distributed import LocalCluster  # noqa: PLC0415 - as above

    coiled: Any = importlib.import_module("coiled")  # an extra, without types
    asked = inspect.signature(coiled.Cluster.__init__)
    sent = inspect.signature(coiled.Cluster.send_private_envs)
    calls: list[tuple[str, dict[str, Any]]] = []

    class StandIn(LocalCluster):
        def __init__(self, **arguments: Any) -> None:
            asked.bind(self, **arguments)
            calls.append(("Cluster", arguments))
            threads = arguments["worker_options"]["nthreads"]
            addresses = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
            options = {"n_workers": 1, "threads_per_worker": threads, "processes": False, "memory_limit": None}
            super().__init__(**options, **addresses)  # type: ignore[no-untyped-call]

        def send_private_envs(self, env: Mapping[str, str], **how: Any) -> None:
            sent.bind(self, env, **how)
            calls.append(("send_private_envs", dict(env)))

        def close(self, *arguments: Any) -> Any:
            calls.append(("close", {}))
            return super().close(*arguments)

    real = coiled.Cluster
    coiled.Cluster = StandIn
    try:
        with (
            open_scratch() as folder,
            dask.config.set({"coiled.token": "of-no-account", "temporary-directory": str(folder)}),
        ):
            yield calls  # Dask leaves its own folder behind
    finally:
        coiled.Cluster = real
