from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

import pytest

from bemsweep.messages import receive, send


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        with suppress(OSError):
            os.close(fd)


def test_messages_keep_their_borders(pipe):
    reader, writer = pipe
    send(writer, ("run", 1))
    send(writer, {"b": b"x" * 1000})
    assert receive(reader) == ("run", 1)
    assert receive(reader) == {"b": b"x" * 1000}


def test_message_larger_than_the_pipe(pipe):
    reader, writer = pipe
    thread = threading.Thread(target=send, args=(writer, b"x" * 5_000_000))
    thread.start()
    assert len(receive(reader)) == 5_000_000
    thread.join()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes cannot be asked there")
def test_an_end_that_does_not_read_is_given_up(pipe):
    _, writer = pipe
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="has read nothing"):
        send(writer, b"x" * 5_000_000, timeout_s=0.2)
    assert time.monotonic() - begin < 5


def test_an_end_that_reads_slowly_gets_all(pipe):
    reader, writer = pipe
    thread = threading.Thread(target=send, args=(writer, b"x" * 5_000_000), kwargs={"timeout_s": 10.0})
    thread.start()
    assert len(receive(reader)) == 5_000_000
    thread.join()


@pytest.mark.parametrize("rest", [b"", b"\0\0", b"\0\0\0\0\0\0\0\5ab"])
def test_end_of_file_also_within_a_message(pipe, rest):
    reader, writer = pipe
    os.write(writer, rest)
    os.close(writer)
    with pytest.raises(EOFError):
        receive(reader)
