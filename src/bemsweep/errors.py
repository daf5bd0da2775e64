"""Every exception bemsweep raises on purpose, in one tree.

::

    BemsweepError
    ├── StudyError            the study cannot run as written; carries every problem found
    ├── ClusterError          no worker of a Dask cluster can run the study as they are; nothing was run
    ├── ClusterFileError      a cluster file cannot be used as written; carries every problem found
    ├── ConflictError         a study of that name exists and its definition conflicts
    ├── InputError            a file that a study names cannot be had: missing, forbidden, unreachable or broken
    ├── ModelError            a baseline or a variant's model: the model's fault
    ├── EngineNotFoundError   no EnergyPlus build at hand, or not the one asked for
    ├── InfrastructureError   the machine's fault, worth a retry: disk, network, a killed process
    │   ├── EngineDiedError   the engine's process, or its host, was killed or died
    │   ├── LeaseLostError    another run has taken over the study; what is finished is kept
    │   ├── SchedulerLostError  the Dask scheduler cannot be reached any more
    │   ├── StoreError        the store cannot be read or written
    │   ├── StudyBusyError    somebody else is at work on the study
    │   ├── UnfitWorkerError  the Dask worker is not what the run needs; what came to it is run elsewhere
    │   └── WorkerLostError   the Dask worker was lost; who ran there is not to blame
    ├── CostLimitError        what a run may cost is spent; what was finished is kept
    ├── RecordError           a record that cannot be read: cut, altered or of another schema
    ├── TooManyFailuresError  a run that was hopeless was ended early; what was finished is kept
    └── RunCancelledError     the run was stopped on request; what was finished is kept

A model's fault and a machine's fault never share a class: the first is data about a variant,
the second is retried. All of them can be pickled, so they cross process borders unharmed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bemsweep.redaction import redacted

__all__ = [
    "BemsweepError",
    "ClusterError",
    "ClusterFileError",
    "ConflictError",
    "CostLimitError",
    "EngineDiedError",
    "EngineNotFoundError",
    "InfrastructureError",
    "InputError",
    "LeaseLostError",
    "ModelError",
    "Problem",
    "RecordError",
    "RunCancelledError",
    "SchedulerLostError",
    "StoreError",
    "StudyBusyError",
    "StudyError",
    "TooManyFailuresError",
    "UnfitWorkerError",
    "WorkerLostError",
    "nearest",
    "shortened",
]

_LONG_WORD = re.compile(r"\S{300,}")


class BemsweepError(Exception):
    """Base of all errors that bemsweep raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a study, and where."""

    message: str
    """What is wrong, with the value, and what to do."""
    path: str = ""
    """Where in the study, for example ``parameters.lighting.field``."""
    line: int | None = None
    """Line of the study file, counted from 1."""

    def __str__(self) -> str:
        where = self.path
        if self.line is not None:
            where = f"{where}, line {self.line}" if where else f"line {self.line}"
        message = redacted(
            shortened(self.message)
        )  # it may show a value that is a URL with a password, where none belongs
        return f"{message} @ {where}" if where else message


class _ProblemsError(BemsweepError):
    """Something that a user wrote has problems, all of which are told at once."""

    _what = ""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"{self._what} has {head}:", *(f"  {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[type[_ProblemsError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class StudyError(_ProblemsError):
    """The study cannot run as written; nothing was run.

    Parameters
    ----------
    problems
        Everything that is wrong, in the order of the file.
    """

    _what = "the study"


class ClusterFileError(_ProblemsError):
    """A cluster file cannot be used as written; nothing was started.

    Parameters
    ----------
    problems
        Everything that is wrong, in the order of the file.
    """

    _what = "the cluster file"


class ClusterError(BemsweepError):
    """No worker of the Dask cluster can run the study as they are; nothing was run."""


class ConflictError(BemsweepError):
    """A study of that name exists in the store and its definition conflicts with this one."""


class InputError(BemsweepError):
    """A file that a study names cannot be had: it is missing, forbidden, unreachable or broken."""


class ModelError(BemsweepError):
    """A model cannot be read, edited or written: the model's fault, not the machine's."""


class EngineNotFoundError(BemsweepError):
    """No EnergyPlus build was found, or none of the version that is needed."""


class InfrastructureError(BemsweepError):
    """The machine's fault, not the model's: worth another try."""


class LeaseLostError(InfrastructureError):
    """Another run has taken over the study meanwhile; this one writes no more of it."""


class StudyBusyError(InfrastructureError):
    """Somebody else is at work on the study, which only one may change at a time."""


class StoreError(InfrastructureError):
    """The store cannot be read or written.

    Parameters
    ----------
    message
        What cannot be done, where, and what to do.
    fault
        Which of `bemsweep.faults.Fault` it was; None if it was none of a filesystem's.
    """

    def __init__(self, message: str, *, fault: str | None = None) -> None:
        super().__init__(message)
        self.fault = fault

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), fault=self.fault), self.args, self.__dict__


class EngineDiedError(InfrastructureError):
    """The engine's process, or the host that all runs of a worker share, was killed or died under a run."""


class SchedulerLostError(InfrastructureError):
    """The Dask scheduler cannot be reached any more; what was finished is kept."""


class UnfitWorkerError(InfrastructureError):
    """The Dask worker is not what the run needs, such as one with another engine; nothing was tried there."""


class WorkerLostError(InfrastructureError):
    """The Dask worker was lost while it had the task; nothing that ran there is to blame."""


class RecordError(BemsweepError):
    """A record that cannot be read: cut short, altered or written by an unknown schema."""


class TooManyFailuresError(BemsweepError):
    """So many variants failed that the run was ended early; what was finished is kept and committed."""


class CostLimitError(BemsweepError):
    """What the run may cost is spent, and variants are left; what was finished is kept and committed."""


class RunCancelledError(BemsweepError):
    """The run was stopped on request; what was finished is kept and committed."""


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the candidate most like `word`, or ``""``.

    Parameters
    ----------
    word
        What was written.
    candidates
        The right names; compared without regard to case.

    Examples
    --------
    >>> nearest("Ligths", ["Lights", "People"])
    " (did you mean 'Lights'?)"
    >>> nearest("xyz", ["Lights", "People"])
    ''
    """
    by_fold = {candidate.casefold(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return f" (did you mean {by_fold[matches[0]]!r}?)" if matches else ""


def shortened(message: str) -> str:
    """Return `message` without the rest of words of 300 and more letters, which no name has, but a broken file may.

    Examples
    --------
    >>> len(shortened("line 7 holds " + 100_000 * "x"))
    214
    """
    return _LONG_WORD.sub(lambda word: f"{word[0][:200]}…", message)
