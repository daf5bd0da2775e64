"""A warm host process from its parent's side, the runs that wait for it, and hosts that wait for an engine.

Knows the messages that go through the pipe (`bemsweep.host` is at its other end); whether a host is given up that does
not answer is decided elsewhere (`bemsweep.host_client`).
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bemsweep.energyplus import Build
from bemsweep.engine import Job
from bemsweep.errors import EngineDiedError, EngineNotFoundError, InfrastructureError
from bemsweep.heartbeat import where
from bemsweep.host_process import KILL_TIMEOUT_S, KILLED, HostProcess
from bemsweep.outcome import signal_name

__all__ = ["HUNG", "End", "Spares", "Waiting", "WarmHost", "how_it_ended", "import_path"]

_log = logging.getLogger(__name__)

HUNG = "the engine's host does not answer any more and was killed"


class End(NamedTuple):
    """How a run's process ended."""

    returncode: int
    """As `subprocess` tells it: less than zero for a signal."""
    memory_bytes: int = 0
    """Its peak."""
    cpu_s: float | None = None
    """Processor seconds; None if it could not tell."""
    exceeded_bytes: int = 0
    """What it held if it was killed for its memory."""


@dataclass
class Waiting:
    """A run that a thread waits for."""

    job: Job
    """What is run."""
    scratch: Path
    """Where."""
    ended: Future[End] = field(default_factory=Future)
    """How it has ended."""
    is_timed_out: bool = False
    """True once it is to be killed for its time."""
    is_cancelled: bool = False
    """True once it is to be killed on request."""


class WarmHost:
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
        self._waiting: dict[int, Waiting] = {}
        self._listener = threading.Thread(target=self._listen, name="bemsweep-engine", daemon=True)
        self._listener.start()

    def start(self, waiting: Waiting, pickled: bytes) -> int:
        """Ask for a run and return its serial number; `waiting` is told of its end.

        Raises
        ------
        InfrastructureError
            The host has ended.
        """
        with self._lock:
            if self.is_dead:
                raise InfrastructureError("the engine's host has ended")
            serial = next(self._serials)
            self._waiting[serial] = waiting
            job, where_to = waiting.job, (str(waiting.scratch), import_path())
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
                        waiting.ended.set_result(End(*end))
        with self._lock:
            has_hung = self.is_dead or self._child.is_deaf  # we killed it, so no run is to blame
            self.is_dead = True
            last_words = self._child.end()
            left, self._waiting = self._waiting, {}
        died = EngineDiedError(f"the engine's host {how_it_ended(self._child.returncode, last_words)}")
        error = broken or (InfrastructureError(HUNG) if has_hung else died)
        if not self.version.done():
            self.version.set_exception(error)
        for waiting in left.values():
            if waiting.is_cancelled:
                waiting.ended.set_result(End(KILLED))
            else:
                waiting.ended.set_exception(error)


class Spares:
    """Hosts without an engine, at most one of each build that is to be kept warm."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: set[Build] = set()
        self._hosts: dict[Build, WarmHost] = {}

    def start(self, build: Build) -> None:
        """Start a host, and keep those that engines of this build are done with."""
        with self._lock:
            self._kept.add(build)
            self._hosts[build] = WarmHost(build)

    def take(self, build: Build) -> WarmHost | None:
        """Return the host that waits for an engine; None if there is none."""
        with self._lock:
            host = self._hosts.pop(build, None)
        return None if host is None or host.is_dead else host

    def give(self, build: Build, host: WarmHost) -> bool:
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


def import_path() -> list[str]:
    """Return ``sys.path`` as absolute paths: what can be imported here can be imported in the run."""
    return [str(Path(path).absolute()) for path in sys.path]


def how_it_ended(returncode: int | None, last_words: str) -> str:
    """Return what became of a process, as the end of a sentence."""
    how = f"was killed by {signal_name(-returncode)}" if returncode is not None and returncode < 0 else "has died"
    return f"{how}, its last words: {last_words}" if last_words else how
