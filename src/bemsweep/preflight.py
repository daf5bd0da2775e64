"""What is checked of a cluster's workers before the first variant, and of those that come later.

Decides which workers can do what a run needs, and what deserves a word although they can. A worker tells plain
values, so that one with another bemsweep can be asked, too. It never talks to a cluster (`bemsweep.roll_call` does),
and closes no worker itself.
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

from distributed.system import MEMORY_LIMIT

from bemsweep.errors import ClusterError, InfrastructureError
from bemsweep.scratch import open_scratch
from bemsweep.units import size_text

__all__ = [
    "SAME_EVERYWHERE",
    "UNKNOWN_ENGINE_BYTES",
    "Facts",
    "Workers",
    "look",
    "memory_warning",
    "own_versions",
    "why_other_versions",
]

UNKNOWN_ENGINE_BYTES = 300_000_000
"""What an engine takes as long as none like it has run: a year of an office takes 220 to 270 MB."""

_MOST_NAMED = 3
_MANY = 8
"""So many workers that are unfit, and none between that has done something, are no accident if it goes on for long."""
_LEAST_S = 60.0
SAME_EVERYWHERE = "install the same packages everywhere"
"""What is to be done about workers with other versions."""

Facts = Mapping[str, object]
"""What a worker tells of itself; see `look`."""


@cache  # it takes milliseconds to look up
def own_versions() -> Mapping[str, str]:
    """Return the versions of this process that all processes of a run must share."""
    return {"bemsweep": version("bemsweep"), "Python": ".".join(platform.python_version_tuple()[:2])}


def why_other_versions(theirs: object, *, instead_of: Mapping[str, str]) -> str:
    """Return why a process with other versions cannot work for a run; ``""`` if it has the same.

    Parameters
    ----------
    theirs
        What `own_versions` returns there.
    instead_of
        The same of the run's driver.
    """
    told = theirs if isinstance(theirs, Mapping) else {}
    differing = [
        f"{name} {told.get(name, 'of an unknown version')} instead of {mine}"
        for name, mine in instead_of.items()
        if told.get(name) != mine
    ]
    return f"{', '.join(differing)}; {SAME_EVERYWHERE}" if differing else ""


def look() -> Facts:
    """Return what this process has for a run: versions, machine, process, memory and what is wrong with its scratch.

    Side effects
    ------------
    Writes a megabyte of scratch, and deletes it.
    """
    why_no_scratch = ""
    try:
        with open_scratch():
            pass
    except InfrastructureError as error:
        why_no_scratch = str(error)
    return {
        "versions": dict(own_versions()),
        "machine": platform.node(),
        "pid": os.getpid(),
        "memory_bytes": int(MEMORY_LIMIT),
        "why_no_scratch": why_no_scratch,
    }


def memory_warning(facts: Mapping[str, Facts], threads: Mapping[str, int], engine_bytes: int) -> str:
    """Return which machines have less memory than their engines take if all run at once; ``""`` if none has.

    Parameters
    ----------
    facts, threads
        By worker: what it tells, and how many variants it runs at once.
    engine_bytes
        What an engine takes.
    """
    engines: Counter[str] = Counter()
    memory: dict[str, int] = {}
    for worker, told in facts.items():
        machine, held = str(told.get("machine")), told.get("memory_bytes")
        engines[machine] += threads.get(worker, 0)
        if isinstance(held, int):
            memory[machine] = min(held, memory.get(machine, held))
    short = [machine for machine in engines if engines[machine] * engine_bytes > memory.get(machine, float("inf"))]
    if not short:
        return ""
    first = short[0]
    return (
        f"{_names(short, 'machine')} may run out of memory: {first} has {size_text(memory[first])} and runs "
        f"{engines[first]} engines at once, of which one takes up to {size_text(engine_bytes)}; give its workers fewer "
        "threads, or the study a max_memory"
    )


class Workers:
    """Which workers of a run's cluster can do nothing for it, and why."""

    def __init__(self) -> None:
        self._whys: dict[str, str] = {}
        """By worker, all that ever were."""
        self._in_a_row, self._since = 0, 0.0
        """Workers that have turned out to be unfit since one has done something, and when the first of them did."""

    def __bool__(self) -> bool:
        return bool(self._whys)

    def take(self, facts: Mapping[str, Facts | BaseException]) -> list[str]:
        """Note what workers have told before the run, or the error instead; return those that are unfit.

        Raises
        ------
        ClusterError
            None of them is fit; something is to be installed.
        InfrastructureError
            None is fit, by the fault of disks.
        """
        unfit: dict[str, str] = {}
        for worker, told in facts.items():
            if isinstance(told, BaseException):
                unfit[worker] = f"{type(told).__name__}: {told}; {SAME_EVERYWHERE}"
            else:
                why = why_other_versions(told.get("versions"), instead_of=own_versions())
                unfit[worker] = why or str(told.get("why_no_scratch") or "")
        return self.note_all(unfit)

    def note_all(self, whys: Mapping[str, str]) -> list[str]:
        """Note why workers are unfit, all that there are before the run; return those that are.

        Parameters
        ----------
        whys
            By worker; ``""`` if it is fit.

        Raises
        ------
        ClusterError, InfrastructureError
            As for `take`.
        """
        unfit = [worker for worker, why in whys.items() if why and self.note(worker, why)]
        if unfit and all(whys.values()):
            told = f"no worker can run the study: {self}"
            if any(SAME_EVERYWHERE in why for why in whys.values()):
                raise ClusterError(told)
            raise InfrastructureError(told)
        self.finish()  # the others are fit
        return unfit

    def note(self, worker: str, why: str) -> bool:
        """Note that a worker is unfit, and why; return False if that was known."""
        is_new = worker not in self._whys
        self._since = self._since if self._in_a_row else time.monotonic()
        self._whys[worker] = why
        self._in_a_row += is_new
        return is_new

    def finish(self) -> None:
        """Note that a worker has done something: not all are unfit."""
        self._in_a_row = 0

    def why_hopeless(self, *, is_deserted: bool, longest_s: float) -> str:
        """Return why no worker will do anything any more; ``""`` if one may.

        Parameters
        ----------
        is_deserted
            True if the cluster has had no workers for a while.
        longest_s
            For how long the variant has been under way that has been so for the longest, seconds: one that was before
            may be on a worker that is fit.
        """
        lasted_s = time.monotonic() - self._since
        # A cluster that replaces workers that close would do so for ever.
        is_in_vain = self._in_a_row >= _MANY and lasted_s >= _LEAST_S and longest_s <= lasted_s / 2
        return str(self) if self._whys and (is_deserted or is_in_vain) else ""

    def __str__(self) -> str:
        groups: dict[str, list[str]] = {}
        for worker, why in self._whys.items():
            groups.setdefault(why, []).append(worker)
        return "; ".join(
            f"{_names(workers, 'worker')} run{'' if len(workers) > 1 else 's'} nothing: {why}"
            for why, workers in groups.items()
        )


def _names(names: list[str], noun: str) -> str:
    """Return how many of something there are, with some of their names."""
    told, more = ", ".join(names[:_MOST_NAMED]), len(names) - _MOST_NAMED
    return f"{len(names)} {noun}{'s' if len(names) > 1 else ''} ({told}{f' and {more} more' if more > 0 else ''})"
