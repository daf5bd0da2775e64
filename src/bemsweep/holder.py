"""Who holds something in a store: a process of some machine, and whether that process is known to be dead.

Only the same machine can tell, and only what it can prove: of any other, and in doubt, a holder is taken for alive.
Never ends a process.
"""

from __future__ import annotations

import getpass
import os
import platform
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["AT_WORK", "Holder"]

AT_WORK: set[str] = set()
"""Ids of the holders of this process that are at work; others of it have ended, though the process lives on."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_PROCESSES = Path("/proc")
_STATE, _STARTED = 0, 19
"""Fields of a process's stat, counted after its name."""


@dataclass(frozen=True)
class Holder:
    """One who is at work."""

    id: str
    """Unlike that of any other, of the same process too."""
    user: str
    """Login name."""
    host: str
    """Name of the machine."""
    pid: int
    """Number of the process."""
    machine: str
    """What two processes have in common that see each other's pid: host, boot and pid namespace."""
    started: str
    """When the process started, by a clock that nobody sets; ``""`` if it cannot be told."""

    @classmethod
    def here(cls) -> Holder:
        """Return one of this process."""
        pid = os.getpid()
        return cls(uuid.uuid4().hex, _user(), platform.node(), pid, _machine(), _started(pid) or "")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Holder:
        """Return the holder of `to_dict`.

        Raises
        ------
        KeyError, ValueError, TypeError
            It is none.
        """
        texts = {name: str(data[name]) for name in ("id", "user", "host", "machine", "started")}
        return cls(pid=int(data["pid"]), **texts)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @property
    def has_ended(self) -> bool:
        """True if this machine can prove that the holder is no more."""
        if not self.started or self.machine != _machine():
            return False
        started = _started(self.pid)
        is_dead = started is not None and started != self.started
        return is_dead or (self.pid == os.getpid() and self.id not in AT_WORK)

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (pid {self.pid})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        return "somebody"


def _machine() -> str:
    try:
        boot, namespace = _BOOT_ID.read_text().strip(), str(_PID_NAMESPACE.stat().st_ino)
    except OSError:  # no Linux
        boot, namespace = str(round(psutil.boot_time())), ""
    return f"{platform.node()} {boot} {namespace}".rstrip()


def _started(pid: int) -> str | None:
    """Return when a process started; ``""`` if there is none or it has ended, None if that cannot be told.

    On Linux in ticks since the machine's start: the time of day, which psutil makes of it, moves with the clock, and
    a living process would be taken for another.
    """
    try:
        if _PROCESSES.joinpath("self", "stat").exists():
            fields = _PROCESSES.joinpath(str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()
            return "" if fields[_STATE] in ("Z", "X") else fields[_STARTED]
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return ""
    except (OSError, psutil.Error):
        return None
