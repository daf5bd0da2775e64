"""Opening an EnergyPlus build as an `Engine` that many threads can use at once.

`HostEngine` talks to one warm, forking host (`bemsweep.warm_host`); `FreshEngine` starts a child for each run where
there is no fork. Both count time-outs by the clock and kill whole process groups. The calling process never loads
EnergyPlus, and nothing here judges a run. While `kept_warm` lasts, engines that are opened one after the other share a
host.
"""

from __future__ import annotations

import logging
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Self

import cloudpickle

from bemsweep.energyplus import Build, build_at, find_builds
from bemsweep.engine import EngineRun, Job
from bemsweep.errors import EngineDiedError, EngineNotFoundError, InfrastructureError
from bemsweep.heartbeat import where
from bemsweep.host_process import KILL_TIMEOUT_S, KILLED, HostProcess
from bemsweep.log_lines import tell_warning
from bemsweep.memory import WATCH_INTERVAL_S
from bemsweep.simulate import read_run
from bemsweep.warm_host import HUNG, End, Spares, Waiting, WarmHost, how_it_ended, import_path

__all__ = ["FreshEngine", "HostEngine", "find_engines", "kept_warm", "open_engine"]

_log = logging.getLogger(__name__)

_START_TIMEOUT_S = 120.0
_ASK_INTERVAL_S = 10.0
"""How often a host is asked for a sign of life while runs last."""

_MOST_SILENT = 6
"""How often in a row it may not answer: what keeps it from answering, parsing a large model, takes a second."""

_HAS_FORK = sys.platform == "linux"
"""macOS forks too, but no one has proven yet that its frameworks survive it."""

_SPARES = Spares()
"""Of this process; see `kept_warm`."""


def open_engine(spec: str | Path | None = None, *, can_fork: bool | None = None) -> HostEngine | FreshEngine:
    """Return the engine that `spec` names; it starts at its first use.

    Parameters
    ----------
    spec
        Path of an ``energyplus`` executable or of its folder; None for the library of the wheel
        ``pyenergyplus-lbnl``, else ``ENERGYPLUS_DIR``, else ``energyplus`` on ``PATH``.
    can_fork
        False to start a fresh process for each run; None to decide by the system.

    Raises
    ------
    EngineNotFoundError
        There is no such build.

    Examples
    --------
    >>> with open_engine() as engine:  # doctest: +SKIP
    ...     engine.version
    'EnergyPlus, Version 25.2.0-cf7368216c (No OpenGL)'
    """
    build = build_at(spec)
    return HostEngine(build) if (_HAS_FORK if can_fork is None else can_fork) else FreshEngine(build)


def find_engines() -> dict[str, Path]:
    """Return the engines of this machine: the string that each reports -> its file, the preferred one first.

    Side effects
    ------------
    Starts each build once to ask it; one that does not answer is logged and left out.
    """
    engines: dict[str, Path] = {}
    for build in find_builds():
        try:
            with FreshEngine(build) as engine:
                engines.setdefault(engine.version, build.path)
        except (EngineNotFoundError, InfrastructureError) as error:
            _log.warning("leaving out the EnergyPlus at %s: %s", build.path, error)
    return engines


@contextmanager
def kept_warm(spec: str | Path | None = None) -> Iterator[None]:
    """Start an engine's host now, and have engines of this process share it one after the other until the block ends.

    A host takes half a second to start, during which a command can import what it needs. Blocks of one build do
    not lie within each other.

    Parameters
    ----------
    spec
        As for `open_engine`; without such a build, or where there is no fork, nothing is done.
    """
    build: Build | None = None
    if _HAS_FORK:
        with suppress(EngineNotFoundError):  # whoever opens it says so
            build = build_at(spec)
    if build is None:
        yield
        return
    _SPARES.start(build)
    try:
        yield
    finally:
        _SPARES.end(build)


class _Engine:
    """What both engines share."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def can_expand(self) -> bool:
        """True if it expands HVACTemplate objects."""
        return self._build.can_expand

    def __reduce__(self) -> NoReturn:
        raise TypeError("an engine cannot be pickled: open one in each process with open_engine()")

    def close(self) -> None:
        raise NotImplementedError


class HostEngine(_Engine):
    """A build behind one warm host, which forks for each run.

    Parameters
    ----------
    build
        Where it lies.
    """

    def __init__(self, build: Build) -> None:
        super().__init__(build)
        self._lock = threading.Lock()
        self._host: WarmHost | None = None
        self._is_closed = False

    @property
    def version(self) -> str:
        """The string that the engine reports itself; asking starts the host."""
        return self._version_of(self._living_host())

    def run(self, job: Job, scratch: Path, *, timeout_s: float) -> EngineRun:
        """Simulate `job` in the empty folder `scratch`, which the caller deletes afterwards.

        Parameters
        ----------
        job
            What to simulate.
        scratch
            Where; when this returns or raises, no process works there any more.
        timeout_s
            Limit by the clock, seconds.

        Raises
        ------
        EngineNotFoundError
            The build is not an EnergyPlus.
        EngineDiedError
            The host has died under the run.
        InfrastructureError
            The host cannot be started or does not answer.

        Side effects
        ------------
        Starts the host if there is none. Writes to `scratch`.
        """
        pickled = _pickle(job)
        if isinstance(pickled, EngineRun):
            return pickled
        host = self._living_host()
        self._version_of(host)
        waiting = Waiting(job, scratch.absolute())
        begin = time.monotonic()
        serial = host.start(waiting, pickled)
        try:
            end = self._wait(host, serial, waiting, timeout_s)
        except KeyboardInterrupt:
            host.kill(serial)
            with suppress(TimeoutError, InfrastructureError):
                waiting.ended.result(timeout=KILL_TIMEOUT_S)
            raise
        return _read(waiting, end, begin)

    def kill(self, run_id: str) -> None:
        """End a run that another thread waits for; unknown ids are ignored."""
        with self._lock:
            host = self._host
        if host is not None:
            host.cancel(run_id)

    def running(self) -> dict[str, str]:
        """Return what each run under way is at, by its id; never waits."""
        return {} if (host := self._host) is None else host.running()

    def close(self) -> None:
        """End all runs, which are reported as cancelled, and the host, unless it is kept warm for the next engine."""
        with self._lock:
            host, self._host, self._is_closed = self._host, None, True
        if host is not None and not _SPARES.give(self._build, host):
            host.close()

    def _living_host(self) -> WarmHost:
        with self._lock:
            if self._is_closed:
                raise InfrastructureError("the engine is closed")
            if self._host is None or self._host.is_dead:
                if self._host is not None:
                    tell_warning("the engine's host is dead and has another in its place")
                self._host = _SPARES.take(self._build) or WarmHost(self._build)
            return self._host

    @staticmethod
    def _version_of(host: WarmHost) -> str:
        try:
            return host.version.result(timeout=_START_TIMEOUT_S)
        except TimeoutError:
            host.kill_host()
            raise InfrastructureError(f"the engine's host did not start within {_START_TIMEOUT_S:.0f} s") from None

    @staticmethod
    def _wait(host: WarmHost, serial: int, waiting: Waiting, timeout_s: float) -> End:
        deadline = time.monotonic() + timeout_s
        # Counted in questions, not by the clock: of a machine that slept, both ends have slept.
        silent, answers = 0, host.answers
        while (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                return waiting.ended.result(timeout=min(left, _ASK_INTERVAL_S))
            silent, answers = (silent + 1 if host.answers == answers else 0), host.answers
            if silent > _MOST_SILENT:
                break
            host.ask()
        else:
            waiting.is_timed_out, answers = True, host.answers
            host.kill(serial)
            host.ask()
            with suppress(TimeoutError):
                return waiting.ended.result(timeout=KILL_TIMEOUT_S)
            if host.answers > answers:
                raise InfrastructureError("the run was killed at its time-out and does not end: is its disk gone?")
        host.kill_host()
        raise InfrastructureError(HUNG)


class FreshEngine(_Engine):
    """A build for which each run starts a process of its own, for systems without fork.

    Parameters
    ----------
    build
        Where it lies.
    """

    def __init__(self, build: Build) -> None:
        super().__init__(build)
        self._lock = threading.Lock()
        self._version: str | None = None
        self._under_way: list[tuple[Waiting, HostProcess]] = []
        self._is_closed = False

    @property
    def version(self) -> str:
        """The string that the engine reports itself; the first question starts it once."""
        with self._lock:
            if self._version is None:
                child = HostProcess(self._build, "--version")
                try:
                    self._version = _reported_version(child)
                finally:
                    child.end()
            return self._version

    def run(self, job: Job, scratch: Path, *, timeout_s: float) -> EngineRun:
        """Simulate `job` in the empty folder `scratch`; as `HostEngine.run`."""
        pickled = _pickle(job)
        if isinstance(pickled, EngineRun):
            return pickled
        waiting = Waiting(job, scratch.absolute())
        begin = time.monotonic()
        with self._lock:
            if self._is_closed:
                raise InfrastructureError("the engine is closed")
            child = HostProcess(self._build, "--once")
            self._under_way.append((waiting, child))
        try:
            child.send(("run", 0, str(job.baseline), pickled, str(waiting.scratch), import_path(), None))
            returncode, exceeded = self._wait(child, waiting, timeout_s)
            child.kill_group()  # what the run left behind, which may hold the pipe open
            memory_bytes, cpu_s = _reported_usage(child)
        finally:
            with self._lock:
                self._under_way = [entry for entry in self._under_way if entry[0] is not waiting]
            last_words = child.end()
        run = _read(waiting, End(returncode, memory_bytes, cpu_s, exceeded), begin)
        if run.stage == "start" and not (run.is_timed_out or run.is_cancelled or run.memory_limit_bytes):
            raise EngineDiedError(f"the engine's process {how_it_ended(child.returncode, last_words)}")
        return run

    @staticmethod
    def _wait(child: HostProcess, waiting: Waiting, timeout_s: float) -> tuple[int, int]:
        """Return the child's return code, and what it held if it was killed for its memory."""
        limit = waiting.job.max_memory_bytes
        deadline, exceeded = time.monotonic() + timeout_s, 0
        while not exceeded and (left := deadline - time.monotonic()) > 0:
            returncode = child.wait(left if limit is None else min(left, WATCH_INTERVAL_S))
            if returncode is not None:
                return returncode, 0
            if limit is not None and (held := child.resident_bytes()) > limit:
                exceeded = held
        waiting.is_timed_out = not exceeded
        child.kill_group()
        if (returncode := child.wait(KILL_TIMEOUT_S)) is None:
            raise InfrastructureError("the run was killed and does not end: is its disk gone?")
        return returncode, exceeded

    def running(self) -> dict[str, str]:
        """Return what each run under way is at, by its id; never waits."""
        return {waiting.job.run_id: where(waiting.scratch) for waiting, _ in self._under_way.copy()}

    def kill(self, run_id: str) -> None:
        """End a run that another thread waits for; unknown ids are ignored."""
        self._kill(run_id)

    def close(self) -> None:
        """End all runs, which are reported as cancelled."""
        with self._lock:
            self._is_closed = True
        for child in self._kill(None):
            child.wait(KILL_TIMEOUT_S)

    def _kill(self, run_id: str | None) -> list[HostProcess]:
        with self._lock:
            matching = [entry for entry in self._under_way if run_id in (None, entry[0].job.run_id)]
            for waiting, child in matching:
                waiting.is_cancelled = True
                child.kill_group()
        return [child for _, child in matching]


def _pickle(job: Job) -> bytes | EngineRun:
    """Return the job's bytes; a function that cannot be sent is an edit that fails."""
    try:
        pickled: bytes = cloudpickle.dumps(job)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        message = f"{type(error).__name__}: a function of the study cannot be sent to the engine's process: {error}"
        return EngineRun(returncode=1, stage="edit", error=" ".join(message.split()))
    return pickled


def _reported_version(child: HostProcess) -> str:
    try:
        kind, text = child.receive()
    except EOFError:
        last_words = child.end()
        told = f"the engine's process {how_it_ended(child.returncode, last_words)}"
        raise InfrastructureError(told) from None
    if kind == "broken":
        raise EngineNotFoundError(text)
    return str(text)


def _reported_usage(child: HostProcess) -> tuple[int, float | None]:
    """Return what a process that has ended said last, its memory and processor seconds; 0 and None if it could not."""
    try:
        message = child.receive()
    except EOFError:
        return 0, None
    if message[0] == "broken":
        raise EngineNotFoundError(message[1])
    return int(message[2]), float(message[3])


def _read(waiting: Waiting, end: End, begin: float) -> EngineRun:
    """Return what the run left; one that ended by itself was neither timed out, cancelled nor out of memory."""
    was_killed = end.returncode == KILLED
    is_out_of_memory = was_killed and end.exceeded_bytes > 0 and not waiting.is_cancelled
    run = read_run(
        waiting.scratch,
        end.returncode,
        memory_bytes=max(end.memory_bytes, end.exceeded_bytes),
        cpu_s=end.cpu_s,
        is_timed_out=was_killed and waiting.is_timed_out and not waiting.is_cancelled and not is_out_of_memory,
        is_cancelled=was_killed and waiting.is_cancelled,
        memory_limit_bytes=(waiting.job.max_memory_bytes or 0) if is_out_of_memory else 0,
    )
    return replace(run, engine_s=time.monotonic() - begin) if was_killed else run
