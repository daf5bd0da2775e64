"""Patience: trying again, with growing and uneven waits, what a server refuses for a while.

Decides how long and how often; `bemsweep.faults` decides what passes. It never tries a second time without
a limit of its own, so that at the start of a run a fault is told at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import tenacity

from bemsweep.faults import is_passing, told

__all__ = ["DEFAULT_PATIENCE_S", "Patience"]

DEFAULT_PATIENCE_S = 300.0
"""How long a run that is going tries to reach its store, seconds, unless ``$BEMSWEEP_PATIENCE`` says otherwise."""

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 10.0
_SILENCE_S = 30.0
"""Waits are told once in so long."""
_GRACE_S = 5.0
"""So long a request may still last once all is to stop; a silent server would hold it for minutes."""
_POLL_S = 0.2
_STOPPED = f"stopped, and no answer for {_GRACE_S:.0f} s more"


class Patience:
    """Tries again what passes, until a limit.

    Parameters
    ----------
    limit_s
        How long, seconds; 0 to try once.
    stop
        Once it is set nothing is tried again, waits end, and what is under way has five seconds more.
    guard
        Called before every try; what it raises ends all of them.
    """

    def __init__(
        self,
        limit_s: float = 0.0,
        stop: threading.Event | None = None,
        guard: Callable[[], object] | None = None,
    ) -> None:
        self.limit_s = limit_s
        self.stop = stop or threading.Event()
        self.guard = guard
        self._told_at = -_SILENCE_S

    def __reduce__(self) -> tuple[type[Patience], tuple[float]]:
        return Patience, (self.limit_s,)  # an event belongs to its process

    def call(self, action: Callable[[], _T], *, can_hang: bool = True) -> _T:
        """Return what `action` returns, tried again while its fault passes.

        Parameters
        ----------
        action
            What to do.
        can_hang
            False for what a disk does, which is done at once, in the caller's thread.

        Raises
        ------
        Exception
            What `action` raised last.
        TimeoutError
            It did not end in time after `stop` was set; it is left to itself.
        """
        if not self.limit_s:
            self._check()
            return action()
        wait = tenacity.sleep_using_event(self.stop)
        return tenacity.Retrying(**self._rules(), sleep=wait)(lambda: self._attempt(action, can_hang=can_hang))

    async def acall(self, action: Callable[[], Awaitable[_T]]) -> _T:
        """Do the same with a coroutine."""
        if not self.limit_s:
            await self._acheck()
            return await action()

        async def attempt() -> _T:  # tenacity awaits only what it sees to be a coroutine function
            await self._acheck()
            return await self._aattempt(action)

        return await tenacity.AsyncRetrying(**self._rules(), sleep=self._asleep)(attempt)

    def _attempt(self, action: Callable[[], _T], *, can_hang: bool) -> _T:
        """Do it in a thread of its own if it can hang: nothing else can leave a call that waits for a silent server."""
        self._check()
        if not can_hang:
            return action()
        done: Future[_T] = Future()
        threading.Thread(target=_fulfil, args=(done, action), name="bemsweep-store", daemon=True).start()
        end = time.monotonic() + _GRACE_S
        while True:
            try:
                return done.result(_POLL_S)
            except TimeoutError:
                if done.done():
                    return done.result()
                end = end if self.stop.is_set() else time.monotonic() + _GRACE_S
                if time.monotonic() > end:
                    raise TimeoutError(_STOPPED) from None

    async def _aattempt(self, action: Callable[[], Awaitable[_T]]) -> _T:
        task = asyncio.ensure_future(action())
        end = time.monotonic() + _GRACE_S
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_POLL_S)
                end = end if self.stop.is_set() else time.monotonic() + _GRACE_S
                if not task.done() and time.monotonic() > end:
                    raise TimeoutError(_STOPPED)
            return task.result()
        finally:
            task.cancel()

    def _check(self) -> None:
        if self.guard is not None:
            self.guard()

    async def _acheck(self) -> None:
        if self.guard is not None:
            await asyncio.to_thread(self.guard)  # it may ask the store itself

    async def _asleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.stop.is_set():
            await asyncio.sleep(min(left, _POLL_S))

    def _rules(self) -> dict[str, Any]:
        return {
            "retry": tenacity.retry_if_exception(is_passing),
            "wait": tenacity.wait_random_exponential(multiplier=0.2, max=_LONGEST_WAIT_S),
            "stop": tenacity.stop_after_delay(self.limit_s) | tenacity.stop_when_event_set(self.stop),
            "before_sleep": self._tell,
            "reraise": True,
        }

    def _tell(self, state: tenacity.RetryCallState) -> None:
        """Say that there is a wait, once it is more than a moment."""
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number < 3 or error is None or time.monotonic() < self._told_at + _SILENCE_S:
            return
        self._told_at = time.monotonic()
        _log.warning("the store fails, trying again for up to %.0f s: %s", self.limit_s, told(error))


def _fulfil(done: Future[_T], action: Callable[[], _T]) -> None:
    try:
        done.set_result(action())
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        done.set_exception(error)
