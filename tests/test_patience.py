"""What passes is tried again, for a while, and not for longer than anybody wants."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
import time

import pytest
import tenacity

from bemsweep import patience as module
from bemsweep.patience import Patience


class Flaky:
    """Fails so many times, then returns."""

    def __init__(self, failures, error=None):
        self.failures, self.error, self.calls = failures, error or ConnectionResetError("reset"), 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"

    async def coroutine(self):
        return self()


class Silent:
    """Lets wait whoever asks."""

    def __init__(self):
        self.answer = threading.Event()

    def __call__(self):
        self.answer.wait(30)

    async def coroutine(self):
        while not self.answer.is_set():
            await asyncio.sleep(0.05)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_WAIT_S", 0.01)


@pytest.fixture(params=["call", "acall"])
def attempt(request):
    def of(patience, flaky):
        if request.param == "call":
            return patience.call(flaky)
        return asyncio.run(patience.acall(flaky.coroutine))

    return of


def test_what_passes_is_tried_until_it_is_done(attempt):
    flaky = Flaky(5)
    assert attempt(Patience(30), flaky) == "done"
    assert flaky.calls == 6


def test_without_patience_a_fault_is_told_at_once(attempt):
    flaky = Flaky(1)
    with pytest.raises(ConnectionResetError):
        attempt(Patience(), flaky)
    assert flaky.calls == 1


def test_what_does_not_pass_is_told_at_once(attempt):
    flaky = Flaky(1, PermissionError("no"))
    with pytest.raises(PermissionError):
        attempt(Patience(30), flaky)
    assert flaky.calls == 1


def test_patience_ends(attempt):
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        attempt(Patience(0.2), Flaky(10**9))
    assert 0.2 <= time.monotonic() - began < 10


def test_a_stop_ends_every_wait(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_WAIT_S", 1e6)
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_fixed(1e6))
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        Patience(1e6, stop).call(Flaky(10**9))
    assert time.monotonic() - began < 10


def test_a_wait_is_told_once_and_without_a_word_too_much(caplog, attempt):
    caplog.set_level(logging.WARNING)
    assert attempt(Patience(30), Flaky(8)) == "done"
    (record,) = caplog.records
    assert record.getMessage().startswith("the store fails, trying again for up to 30 s: no answer from the server")


def test_a_moment_is_not_told(caplog, attempt):
    assert attempt(Patience(30), Flaky(2)) == "done"
    assert not caplog.records


def test_it_travels():
    again = pickle.loads(pickle.dumps(Patience(7.0, threading.Event())))
    assert again.limit_s == 7.0
    assert not again.stop.is_set()


def test_a_stop_leaves_a_server_that_is_silent(monkeypatch, attempt):
    monkeypatch.setattr(module, "_GRACE_S", 0.2)
    stop, silent = threading.Event(), Silent()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="stopped"):
        attempt(Patience(1e6, stop), silent)
    assert time.monotonic() - began < 10
    silent.answer.set()


def test_what_is_begun_after_a_stop_has_its_time(attempt):
    stop = threading.Event()
    stop.set()
    assert attempt(Patience(1e6, stop), Flaky(0)) == "done"


# What comes before every try


def test_a_guard_comes_before_every_try_and_ends_them():
    asked = []

    def guard():
        asked.append(len(asked))
        if len(asked) == 3:
            raise KeyError("no longer ours")

    action = Flaky(10)
    with pytest.raises(KeyError):
        Patience(30, guard=guard).call(action)
    assert (len(asked), action.calls) == (3, 2)
    asked.clear()
    action = Flaky(10)
    with pytest.raises(KeyError):
        asyncio.run(Patience(30, guard=guard).acall(action.coroutine))
    assert (len(asked), action.calls) == (3, 2)
    asked[:] = [0, 1]
    with pytest.raises(KeyError):
        Patience(guard=guard).call(lambda: pytest.fail("it was done"))
