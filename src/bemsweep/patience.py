"""Patience: trying again, with growing and uneven waits, what a server refuses for a while.

Decides how long and how often; `bemsweep.faults` decides what passes. It never tries a second time without
a limit of its own, so that at the start of a run a fault is told at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable
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


class Patience:
    """Tries again what passes, until a limit.

    Parameters
    ----------
    limit_s
        How long, seconds; 0 to try once.
    stop
        Once it is set nothing is tried again, and waits end.
    """

    def __init__(self, limit_s: float = 0.0, stop: threading.Event | None = None) -> None:
        self.limit_s = limit_s
        self.stop = stop or threading.Event()
        self._told_at = -_SILENCE_S

    def __reduce__(self) -> tuple[type[Patience], tuple[float]]:
        return Patience, (self.limit_s,)  # an event belongs to its process

    def call(self, action: Callable[[], _T]) -> _T:
        """Return what `action` returns, tried again while its fault passes.

        Raises
        ------
        Exception
            What `action` raised last.
        """
        wait = tenacity.sleep_using_event(self.stop)
        return tenacity.Retrying(**self._rules(), sleep=wait)(action)

    async def acall(self, action: Callable[[], Awaitable[_T]]) -> _T:
        """Do the same with a coroutine."""

        async def attempt() -> _T:  # tenacity awaits only what it sees to be a coroutine function
            return await action()

        return await tenacity.AsyncRetrying(**self._rules())(attempt)

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
