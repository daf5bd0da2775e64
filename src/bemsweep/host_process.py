"""A process of `bemsweep.host` and the pipes to it.

Knows how such a process is started, talked to and ended with all that it started. What is said over
the pipes is the affair of `bemsweep.warm_host` and `bemsweep.host_client`.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import IO, Any, cast

from bemsweep.energyplus import Build
from bemsweep.errors import InfrastructureError
from bemsweep.memory import resident_bytes
from bemsweep.messages import receive, send

__all__ = ["KILLED", "KILL_TIMEOUT_S", "HostProcess"]

_log = logging.getLogger(__name__)

KILLED = 1 if sys.platform == "win32" else -9
"""Return code of a process that was killed."""

KILL_TIMEOUT_S = 30.0
"""How long a process that was killed, or whose pipe was closed, may take to end: the kernel may be writing for it."""

_READ_TIMEOUT_S = 30.0
"""How long a child may leave a full pipe unread: what it does meanwhile, parsing a model, takes a second."""


class HostProcess:
    """A child process of `bemsweep.host` with the pipes to it, in a process group of its own."""

    def __init__(self, build: Build, *options: str) -> None:
        with tempfile.TemporaryFile() as stderr:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "bemsweep.host", build.kind, str(build.path), *options],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    bufsize=0,
                    env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
                    # Ctrl-C in a terminal goes to the whole foreground group; runs are ended by us, in order.
                    process_group=None if sys.platform == "win32" else 0,
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
            except OSError as error:
                raise InfrastructureError(f"the engine's process cannot be started: {error}") from error
            self._stderr = os.dup(stderr.fileno())
        self._last_words = ""
        self.is_deaf = False
        """True if it was killed because it did not read."""
        self._stdin, self._stdout = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)

    def send(self, message: object) -> None:
        """Send a message, unless the process has ended; one that does not read is killed."""
        try:
            if not self._stdin.closed:
                send(self._stdin.fileno(), message, timeout_s=_READ_TIMEOUT_S)
        except TimeoutError as error:
            _log.warning("the engine's process %d is killed: %s", self._process.pid, error)
            self.is_deaf = True
            self.kill_group()
        except OSError:  # who waits for the answer learns of a dead child there
            pass

    def receive(self) -> tuple[Any, ...]:
        """Wait for a message.

        Raises
        ------
        EOFError
            The child has ended.
        """
        message: tuple[Any, ...] = receive(self._stdout.fileno())
        return message

    def hang_up(self) -> None:
        """Close the pipe to the child, whereupon it ends."""
        with suppress(OSError):
            self._stdin.close()

    def wait(self, timeout_s: float) -> int | None:
        """Return the child's return code, or None if it still runs after `timeout_s`."""
        try:
            return self._process.wait(timeout=min(timeout_s, threading.TIMEOUT_MAX))
        except subprocess.TimeoutExpired:
            return None

    def resident_bytes(self) -> int:
        """Return the memory that the child and what it started hold, save what has a group of its own."""
        return resident_bytes([self._process.pid]).get(self._process.pid, 0)

    def kill_group(self) -> None:
        """Kill the child and what it started, save what has a group of its own."""
        if sys.platform == "win32":
            self._process.kill()
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def returncode(self) -> int | None:
        """Return code of the child, negative for a signal; None if it has not ended by itself."""
        return self._process.poll()

    def end(self) -> str:
        """Make sure that the child is gone and return the last line it wrote to its standard error.

        One that not even the kernel can end now is logged and left to end by itself.
        """
        if self._stdout.closed:
            return self._last_words
        self.hang_up()
        self.kill_group()
        if self.wait(KILL_TIMEOUT_S) is None:
            _log.warning("the engine's process %d was killed and does not end", self._process.pid)
        self._stdout.close()
        with os.fdopen(self._stderr, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
        self._last_words = lines[-1] if lines else ""
        return self._last_words
