"""A proxy before an S3 server that fails by plan: errors, cut connections, silence, answers that are lost.

Decides by seed and number which request meets which fault, and counts them. It never changes a byte of what it hands
on, so signatures stay valid: the Host header is the client's, and the server signs what the proxy was asked.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Self

__all__ = ["KINDS", "FaultPlan", "FaultyProxy"]

KINDS = ("500", "503", "reset", "truncated", "silence", "lost answer")
"""Errors that the server never hears of, a connection reset before it does, an answer of which half arrives, no answer
at all, and work that is done but never answered for."""

_ERRORS = {"500": ("Internal Server Error", "InternalError"), "503": ("Service Unavailable", "SlowDown")}


@dataclass(frozen=True)
class FaultPlan:
    """Which requests fail, and how."""

    seed: int
    """The same seed gives the same fault to the request of the same number."""
    share: float
    """Of the requests that meet a fault, 0 to 1."""
    kinds: tuple[str, ...] = KINDS
    """Kinds to choose from, each as often."""
    silence_s: float = 30.0
    """How long a silent connection stays open, seconds."""

    def fault_of(self, number: int) -> str | None:
        """Return the fault of the request of that number, counted from 0; None to let it pass."""
        chance = random.Random(f"{self.seed}:{number}")
        return chance.choice(self.kinds) if chance.random() < self.share else None


class FaultyProxy:
    """A loopback HTTP/1.1 proxy in a thread of its own, one request for each connection.

    Parameters
    ----------
    port
        The server's, on 127.0.0.1.
    plan
        Which requests fail.
    """

    def __init__(self, port: int, plan: FaultPlan) -> None:
        self._server_port, self.plan = port, plan
        self.is_on = False
        """False to let all requests pass; they are numbered only while it is True."""
        self.injected: Counter[str] = Counter()
        """How often each kind was injected."""
        self.requests = 0
        """Requests that came while it was on."""
        self.port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_ready, self._ended = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="faulty-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(10), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    @property
    def endpoint_url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        self._is_ready.set()
        await self._ended.wait()
        server.close()  # connections that are still open end with the loop

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head, body = await _request(reader)
            await self._answer_with(self._next_fault(), head, body, writer)
        # The client or the server went away, as in a storm they do, or the proxy ends.
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            _reset(writer)
        finally:
            writer.close()

    def _next_fault(self) -> str | None:
        if not self.is_on:
            return None
        fault = self.plan.fault_of(self.requests)
        self.requests += 1
        if fault is not None:
            self.injected[fault] += 1
        return fault

    async def _answer_with(self, fault: str | None, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if fault in _ERRORS:
            writer.write(_error(fault, has_body=not head.startswith(b"HEAD ")))
            await writer.drain()
            return
        if fault == "silence":
            await asyncio.sleep(self.plan.silence_s)
        if fault in ("reset", "silence"):
            _reset(writer)
            return
        answer = await self._forward(head, body)
        if fault == "lost answer":
            _reset(writer)
            return
        if fault == "truncated":
            end_of_head = answer.find(b"\r\n\r\n") + 4
            kept = end_of_head + (len(answer) - end_of_head) // 2
            answer = answer[: kept if kept > end_of_head else end_of_head // 2]
        writer.write(answer)
        await writer.drain()

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        """Return the server's whole answer, after which it closes the connection, as it is told to."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            writer.write(head + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return head and body of a request, its Connection header being "close"."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    headers = {line.partition(b":")[0].strip().lower(): line.partition(b":")[2].strip() for line in lines}
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() != b"connection"]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""]), body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Return a chunked body as it came."""
    found = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        chunk = await reader.readexactly(int(size.partition(b";")[0], 16) + 2)
        found += size + chunk
        if chunk == b"\r\n":
            return found


def _error(status: str, *, has_body: bool) -> bytes:
    reason, code = _ERRORS[status]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>injected</Message></Error>'.encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + (body if has_body else b"")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, whereupon the client sees a reset and no proper end."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
