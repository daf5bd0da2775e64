"""Opening an EnergyPlus build as an `Engine` that many threads can use at once.

`HostEngine` talks to one warm, forking host (`bemsweep.host`); `FreshEngine` starts a child for each
run where there is no fork. Both count time-outs by the clock and kill whole process groups. The
calling process never loads EnergyPlus, and nothing here judges a run. While `kept_warm` lasts, engines that
are opened one after the other share a host.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

import cloudpickle

from bemsweep.energyplus import Build, build_at, find_builds
from bemsweep.engine import EngineRun, Job
from bemsweep.errors import EngineDiedError, EngineNotFoundError, InfrastructureError
from bemsweep.heartbeat import where
from bemsweep.host_process import KILL_TIMEOUT_S, KILLED, HostProcess
from bemsweep.log_lines import tell_warning
from bemsweep.memory import WATCH_INTERVAL_S
from bemsweep.outcome import signal_name
from bemsweep.simulate import read_run

__all__ = ["FreshEngine", "HostEngine", "find_engines", "kept_warm", "open_engine"]

_log = logging.getLogger(__name__)

_START_TIMEOUT_S = 120.0
_ASK_INTERVAL_S = 10.0
"""How often a host is asked for a sign of life while runs last."""

_MOST_SILENT = 6
"""How often in a row it may not answer: what keeps it from answering, parsing a large model, takes a second."""

_HUNG = "the engine's host does not answer any more and was killed"

_HAS_FORK = sys.platform == "linux"
"""macOS forks too, but no one has proven yet that its frameworks survive it."""


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


class _End(NamedTuple):
    """How a run's process ended."""

    returncode: int
    memory_bytes: int = 0
    """Its peak."""
    cpu_s: float | None = None
    """Processor seconds; None if it could not tell."""
    exceeded_bytes: int = 0
    """What it held if it was killed for its memory."""


@dataclass
class _Waiting:
    """A run that a thread waits for."""

    job: Job
    scratch: Path
    ended: Future[_End] = field(default_factory=Future)
    is_timed_out: bool = False
    is_cancelled: bool = False


class _Host:
    """One host process, the thread that listens to it, and the runs that wait for it."""

    def __init__(self, build: Build) -> None:
        self.version: Future[str] = Future()
        self.is_dead = False
        """True if no run can be asked of it any more."""
        self.answers = 0
        """How often it has given a sign of life."""
        self._child = HostProcess(build)
        self._lock = threading.Lock()
        self._serials = itertools.count()
        self._waiting: dict[int, _Waiting] = {}
        self._listener = threading.Thread(target=self._listen, name="bemsweep-engine", daemon=True)
        self._listener.start()

    def start(self, waiting: _Waiting, pickled: bytes) -> int:
        """Ask for a run and return its serial number; `waiting` is told of its end."""
        with self._lock:
            if self.is_dead:
                raise InfrastructureError("the engine's host has ended")
            serial = next(self._serials)
            self._waiting[serial] = waiting
            job, where_to = waiting.job, (str(waiting.scratch), _import_path())
            self._child.send(("run", serial, str(job.baseline), pickled, *where_to, job.max_memory_bytes))
        return serial

    @property
    def is_idle(self) -> bool:
        """True if it has started, lives, and nobody waits for a run of it."""
        has_started = self.version.done() and self.version.exception() is None
        return has_started and not self.is_dead and not self._waiting

    def ask(self) -> None:
        """Ask for a sign of life, which `answers` will count."""
        with self._lock:
            self._child.send(("ask",))

    def running(self) -> dict[str, str]:
        """Return what each run is at; without the lock, which a full pipe could hold."""
        return {one.job.run_id: where(one.scratch) for one in self._waiting.copy().values()}

    def kill(self, serial: int) -> None:
        """Ask the host to kill the run's process group."""
        with self._lock:
            self._child.send(("kill", serial))

    def cancel(self, run_id: str) -> None:
        """Kill the runs of that name."""
        with self._lock:
            serials = [serial for serial, waiting in self._waiting.items() if waiting.job.run_id == run_id]
            for serial in serials:
                self._waiting[serial].is_cancelled = True
                self._child.send(("kill", serial))

    def kill_host(self) -> None:
        """End a host that does not answer any more; even if it does not end, the next run has another."""
        self.is_dead = True
        self._child.kill_group()

    def close(self) -> None:
        """End the host and its runs, and wait until they are gone."""
        with self._lock:
            for waiting in self._waiting.values():
                waiting.is_cancelled = True
            if not self.is_dead:
                self._child.send(("close",))
                self._child.hang_up()
        self._listener.join(KILL_TIMEOUT_S)
        if self._listener.is_alive():
            self.kill_host()
            self._listener.join(KILL_TIMEOUT_S)
        if self._listener.is_alive():
            _log.warning("the engine's host was killed and does not end")

    def _listen(self) -> None:
        broken: Exception | None = None
        with suppress(EOFError):
            while True:
                match self._child.receive():
                    case "ready", version:
                        self.version.set_result(version)
                    case "broken", message:
                        broken = EngineNotFoundError(message)
                    case "unable", message:
                        broken = InfrastructureError(message)
                    case ("alive",):
                        self.answers += 1
                    case "ended", serial, *end:
                        with self._lock:
                            waiting = self._waiting.pop(serial)
                        waiting.ended.set_result(_End(*end))
        with self._lock:
            has_hung = self.is_dead or self._child.is_deaf  # we killed it, so no run is to blame
            self.is_dead = True
            last_words = self._child.end()
            left, self._waiting = self._waiting, {}
        died = EngineDiedError(f"the engine's host {_how_it_ended(self._child.returncode, last_words)}")
        error = broken or (InfrastructureError(_HUNG) if has_hung else died)
        if not self.version.done():
            self.version.set_exception(error)
        for waiting in left.values():
            if waiting.is_cancelled:
                waiting.ended.set_result(_End(KILLED))
            else:
                waiting.ended.set_exception(error)


class _Spares:
    """Hosts without an engine, at most one of each build that is to be kept warm."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: set[Build] = set()
        self._hosts: dict[Build, _Host] = {}

    def start(self, build: Build) -> None:
        """Start a host, and keep those that engines of this build are done with."""
        with self._lock:
            self._kept.add(build)
            self._hosts[build] = _Host(build)

    def take(self, build: Build) -> _Host | None:
        """Return the host that waits for an engine; None if there is none."""
        with self._lock:
            host = self._hosts.pop(build, None)
        return None if host is None or host.is_dead else host

    def give(self, build: Build, host: _Host) -> bool:
        """Keep a host that an engine is done with; return False if it is to be ended."""
        with self._lock:
            is_wanted = build in self._kept and build not in self._hosts and host.is_idle
            if is_wanted:
                self._hosts[build] = host
            return is_wanted

    def end(self, build: Build) -> None:
        """Keep none any more."""
        with self._lock:
            self._kept.discard(build)
            host = self._hosts.pop(build, None)
        if host is not None:
            host.close()


_SPARES = _Spares()


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
        self._host: _Host | None = None
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
        waiting = _Waiting(job, scratch.absolute())
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

    def _living_host(self) -> _Host:
        with self._lock:
            if self._is_closed:
                raise InfrastructureError("the engine is closed")
            if self._host is None or self._host.is_dead:
                if self._host is not None:
                    tell_warning("the engine's host is dead and has another in its place")
                self._host = _SPARES.take(self._build) or _Host(self._build)
            return self._host

    @staticmethod
    def _version_of(host: _Host) -> str:
        try:
            return host.version.result(timeout=_START_TIMEOUT_S)
        except TimeoutError:
            host.kill_host()
            raise InfrastructureError(f"the engine's host did not start within {_START_TIMEOUT_S:.0f} s") from None

    @staticmethod
    def _wait(host: _Host, serial: int, waiting: _Waiting, timeout_s: float) -> _End:
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
        raise InfrastructureError(_HUNG)


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
        self._under_way: list[tuple[_Waiting, HostProcess]] = []
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
        waiting = _Waiting(job, scratch.absolute())
        begin = time.monotonic()
        with self._lock:
            if self._is_closed:
                raise InfrastructureError("the engine is closed")
            child = HostProcess(self._build, "--once")
            self._under_way.append((waiting, child))
        try:
            child.send(("run", 0, str(job.baseline), pickled, str(waiting.scratch), _import_path(), None))
            returncode, exceeded = self._wait(child, waiting, timeout_s)
            child.kill_group()  # what the run left behind, which may hold the pipe open
            memory_bytes, cpu_s = _reported_usage(child)
        finally:
            with self._lock:
                self._under_way = [entry for entry in self._under_way if entry[0] is not waiting]
            last_words = child.end()
        run = _read(waiting, _End(returncode, memory_bytes, cpu_s, exceeded), begin)
        if run.stage == "start" and not (run.is_timed_out or run.is_cancelled or run.memory_limit_bytes):
            raise EngineDiedError(f"the engine's process {_how_it_ended(child.returncode, last_words)}")
        return run

    @staticmethod
    def _wait(child: HostProcess, waiting: _Waiting, timeout_s: float) -> tuple[int, int]:
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


def _import_path() -> list[str]:
    """Return ``sys.path`` as absolute paths: what can be imported here can be imported in the run."""
    return [str(Path(path).absolute()) for path in sys.path]


def _reported_version(child: HostProcess) -> str:
    try:
        kind, text = child.receive()
    except EOFError:
        last_words = child.end()
        told = f"the engine's process {_how_it_ended(child.returncode, last_words)}"
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


def _how_it_ended(returncode: int | None, last_words: str) -> str:
    how = f"was killed by {signal_name(-returncode)}" if returncode is not None and returncode < 0 else "has died"
    return f"{how}, its last words: {last_words}" if last_words else how


def _read(waiting: _Waiting, end: _End, begin: float) -> EngineRun:
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
