"""The private pipe between an engine's client and its host: pickles with their length in front.

Only for the two ends of one pipe on one machine; nothing that comes from a store passes here.
"""

from __future__ import annotations

import os
import pickle
import select
import struct
from typing import Any

__all__ = ["receive", "send"]

_LENGTH = struct.Struct(">Q")


def send(fd: int, message: object, *, timeout_s: float | None = None) -> None:
    """Write `message` to the pipe `fd`.

    Parameters
    ----------
    fd
        The pipe.
    message
        What can be pickled.
    timeout_s
        How long the other end may leave a full pipe unread; None for ever, as always on Windows.

    Raises
    ------
    TimeoutError
        The other end does not read.
    OSError
        The other end is closed.
    """
    body = pickle.dumps(message)
    rest = memoryview(_LENGTH.pack(len(body)) + body)
    is_limited = timeout_s is not None and hasattr(select, "poll")
    while rest:
        if is_limited and timeout_s is not None and not _is_writable(fd, timeout_s):
            raise TimeoutError(f"the other end of the pipe has read nothing for {timeout_s:.0f} s")
        # What a pipe that is not full surely takes: more of it could block.
        rest = rest[os.write(fd, rest[: select.PIPE_BUF] if is_limited else rest) :]


def _is_writable(fd: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(timeout_s * 1000))


def receive(fd: int) -> Any:
    """Wait for one message from the pipe `fd` and return it.

    Raises
    ------
    EOFError
        The other end is closed.
    """
    (length,) = _LENGTH.unpack(_read_exactly(fd, _LENGTH.size))
    return pickle.loads(_read_exactly(fd, length))  # noqa: S301 - a private pipe between our own two ends


def _read_exactly(fd: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError("the pipe was closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
