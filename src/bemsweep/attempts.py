"""How often something was tried, and what follows from how it ended: again, given up, or all of it hopeless.

Decides by counting, and by how long it has gone on. Three kinds are kept apart: a machine's fault, an engine that died
under a variant, and a worker that was lost, for which nobody who ran there is to blame. Never runs or submits anything.
"""

from __future__ import annotations

import time
from collections import Counter

from bemsweep.errors import EngineDiedError, RecordError, WorkerLostError

__all__ = ["MOST_LOSSES", "MOST_TRIES", "Attempts"]

MOST_TRIES = 4
"""How often a variant or a block is tried that fails by the machine's fault, or whose engine dies."""

MOST_LOSSES = 10
"""How often one may lose its worker."""

_LEAST_FAULTS = 8
"""So many variants that all fail by the machine's fault, none in between that does not, are no accident; on larger
clusters two for each thread."""

_LEAST_S = 10.0
"""Faults go on for so long before they are hopeless: what runs elsewhere is told only every few seconds."""


class Attempts:
    """The failed tries of a run's variants, by variant_id, and blocks, by number."""

    def __init__(self) -> None:
        self._tries: Counter[str | int] = Counter()
        self._deaths: Counter[str | int] = Counter()
        self._losses: Counter[str | int] = Counter()
        self._faulty: set[str | int] = set()
        """What has failed by the machine's fault since something went well."""
        self._faulty_since = 0.0
        """When the first of it failed, monotonic."""
        self._last = ""

    def deaths(self, item: str | int) -> int:
        """Return how often the engine has died under a variant."""
        return self._deaths[item]

    def finish(self) -> None:
        """Note that something has gone well: the machine is not altogether at fault."""
        self._faulty.clear()

    def fail(self, item: str | int, error: BaseException) -> str:
        """Note a failed try.

        Parameters
        ----------
        item
            A variant or a block.
        error
            What it failed by.

        Returns
        -------
        str
            Why it is given up; ``""`` if it is to be tried again.
        """
        if isinstance(error, WorkerLostError):
            self._losses[item] += 1
            is_last = self._losses[item] >= MOST_LOSSES
        else:
            self._tries[item] += 1
            is_last = self._tries[item] >= MOST_TRIES
            if isinstance(error, EngineDiedError):
                self._deaths[item] += 1
            elif not isinstance(error, RecordError):  # what another run has written says nothing of these machines
                self._faulty_since = self._faulty_since if self._faulty else time.monotonic()
                self._faulty.add(item)
        self._last = f"{type(error).__name__}: {error}"
        return self._last if is_last else ""

    def why_hopeless(self, threads: int, longest_s: float = 0.0) -> str:
        """Return why trying on is in vain; ``""`` if it is not.

        Parameters
        ----------
        threads
            How many variants run at once.
        longest_s
            For how long the one that has been under way for the longest has been so, seconds, as told a few seconds
            ago: one that began when the faults did, or before, may be on a machine that has none.
        """
        lasted_s = time.monotonic() - self._faulty_since
        if len(self._faulty) < max(_LEAST_FAULTS, 2 * threads) or lasted_s < _LEAST_S or longest_s > lasted_s / 2:
            return ""
        return f"{len(self._faulty)} variants in a row failed by the machine's fault, the last by {self._last}"
