"""How many variants go into one task: one, unless they are so short and so many that the scheduler could not follow.

Decides from how long variants take; never submits anything.
"""

from __future__ import annotations

import math

__all__ = ["MOST_TASKS_PER_S", "MOST_TOGETHER", "Pace"]

MOST_TASKS_PER_S = 1000.0
"""About what Dask's scheduler can handle, which takes a millisecond for each."""

MOST_TOGETHER = 16
"""So that a task's arguments and answer stay small, and what is lost with a worker little."""

_WEIGHT = 0.02
"""Of the variant that has finished last."""


class Pace:
    """How long variants have taken lately."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def take(self, seconds: float) -> None:
        """Note how long a variant has taken on its worker."""
        before = seconds if self._seconds is None else self._seconds
        self._seconds = before + _WEIGHT * (seconds - before)

    @property
    def seconds(self) -> float | None:
        """How long one takes; None before any has finished."""
        return self._seconds

    def together(self, threads: int) -> int:
        """Return how many variants to put into one task.

        Parameters
        ----------
        threads
            How many tasks run at once.

        Examples
        --------
        >>> pace = Pace()
        >>> pace.take(0.5)
        >>> pace.together(threads=100), pace.together(threads=2000)
        (1, 4)
        """
        if self._seconds is None:
            return 1
        rate = threads / max(self._seconds, 1e-6)
        return max(1, min(MOST_TOGETHER, math.ceil(rate / MOST_TASKS_PER_S)))
