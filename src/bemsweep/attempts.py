"""How often something was tried, and what follows from how it ended: again, given up, or all of it hopeless.

Decides by counting alone. Three kinds are kept apart: a machine's fault, an engine that died under a variant, and
a worker that was lost, for which nobody who ran there is to blame. Never runs or submits anything.
"""

from __future__ import annotations

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


class Attempts:
    """The failed tries of a run's variants, by variant_id, and blocks, by number."""

    def __init__(self) -> None:
        self._tries: Counter[str | int] = Counter()
        self._deaths: Counter[str | int] = Counter()
        self._losses: Counter[str | int] = Counter()
        self._faulty: set[str | int] = set()
        """What has failed by the machine's fault since something went well."""
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
                self._faulty.add(item)
        self._last = f"{type(error).__name__}: {error}"
        return self._last if is_last else ""

    def why_hopeless(self, threads: int) -> str:
        """Return why trying on is in vain on a cluster of so many threads; ``""`` if it is not."""
        if len(self._faulty) < max(_LEAST_FAULTS, 2 * threads):
            return ""
        return f"{len(self._faulty)} variants in a row failed by the machine's fault, the last by {self._last}"
