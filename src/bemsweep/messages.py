"""The private pipe between an engine's client and its host: pickles with their length in front.

Only for the two ends of one pipe on one machine; nothing that comes from a store passes here.
"""

from __future__ import annotations

import os
import pickle
import struct
from typing import Any

__all__ = ["receive", "send"]

_LENGTH = struct.Struct(">Q")


def send(fd: int, message: object) -> None:
    """Write `message` to the pipe `fd`.

    Raises
    ------
    OSError
        The other end is closed.
    """
    body = pickle.dumps(message)
    rest = memoryview(_LENGTH.pack(len(body)) + body)
    while rest:
        rest = rest[os.write(fd, rest) :]


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
