"""What is known of one finished variant.

Defines the record and its status. Imports nothing heavy, because the engine's host imports it; the bytes
of a record are the affair of `bemsweep.record_file`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bemsweep.outputs import Frequency

__all__ = ["RECORD_SCHEMA", "KeyKind", "Method", "Record", "Series", "Status", "is_cut_short", "outputs_sha256"]

Status = Literal["pending", "succeeded", "failed", "timed_out", "out_of_memory"]
"""``failed`` is the model's fault; a machine's fault is never a status."""

KeyKind = Literal["", "zone", "space", "surface", "node", "schedule", "other", "fuel", "fuel end_use"]
"""What an output's key value names; ``""`` for meters, the environment's own variables and single numbers.

``fuel`` and ``fuel end_use`` say that the values run along these dims, whose labels are fixed.
"""

Method = str
"""How a value stands for its interval: ``mean`` or ``sum``; ``scalar`` for the whole run, without a time axis.

What a series was reduced to has no time axis either: ``run`` and the word, such as ``run max`` or ``run p95``.
A ``moment`` is a scalar, too: when something happened, in minutes since the begin of a leap year, which the
cube puts into the years of its own calendar.
"""

RECORD_SCHEMA = 2
"""Version of what a record holds and how; part of every variant's identity. Facts of a run that have a default come
and go without it: they are no part of the result."""


@dataclass(frozen=True)
class Series:
    """One output of one key at one reporting frequency, exactly as the engine's SQLite holds it."""

    output: str
    """Name of the array in the cube."""
    frequency: Frequency
    """Reporting frequency; the group of the cube."""
    key: str
    """Key value in the model's spelling; ``""`` if there is none."""
    key_kind: KeyKind
    """What the key names."""
    name: str
    """EnergyPlus's exact name of the variable or meter."""
    units: str
    """EnergyPlus's own unit, for example ``C`` or ``J``."""
    method: Method
    """How a value stands for its interval."""
    values: npt.NDArray[np.float64]
    """Shape ``(time,)``, or ``(design_day * time,)`` with the design days one after the other.

    Reduced: one number, or one for each design day. Of a summary or a cell: one number, or one for each fuel, or for
    each end use of one fuel after the other.
    """


@dataclass(frozen=True)
class Record:
    """One finished variant: its outcome, its provenance and its series."""

    variant_id: str
    """Names the record."""
    status: Status
    """How the variant ended."""
    message: str = ""
    """First fatal or severe message, or what the process died of; ``""`` if it succeeded."""
    warnings: int = 0
    """Number of warnings in the .err."""
    severe_errors: int = 0
    """Number of severe errors in the .err."""
    engine: str = ""
    """The string that the engine reports itself."""
    engine_s: float = 0.0
    """Seconds in the engine."""
    cpu_s: float | None = None
    """Processor seconds of the run's processes, the system's included; None if they are not known."""
    total_s: float = 0.0
    """Seconds from the start of the task to the finished record."""
    memory_bytes: int = 0
    """Peak resident memory of the engine's process."""
    moved_bytes: int | None = None
    """Bytes of inputs that were fetched for it and of raw files that were put, without the record itself; None if they
    are not known."""
    worker: str = ""
    """Where it ran: the machine, and the name of the Dask worker; ``""`` if that is not known."""
    timeout_s: float | None = None
    """The limit that was in force."""
    utc_offset_h: float = 0.0
    """Offset of local standard time from UTC, hours."""
    design_day_names: tuple[str, ...] = ()
    """Names of the design days in the order of the series."""
    design_day_dates: tuple[str, ...] = ()
    """Their dates as ``MM-DD``."""
    outputs_sha256: str = ""
    """Of all its series; equal for variants whose outputs are the same to the last bit."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Edits, hashes of inputs and of the written model, versions, time; JSON values only."""
    series: tuple[Series, ...] = ()
    """Empty unless the variant succeeded."""


def outputs_sha256(series: Iterable[Series]) -> str:
    """Return the sha256 of what a run reported: names, keys and every bit of the values."""
    digest = hashlib.sha256()
    for one in series:
        digest.update(f"{one.output}\0{one.frequency}\0{one.key}\0{len(one.values)}\0".encode())
        digest.update(np.ascontiguousarray(one.values).tobytes())
    return digest.hexdigest()


def is_cut_short(status: Any, timeout_s: Any, memory_bytes: Any, *, limit_s: float, limit_bytes: int | None) -> Any:
    """Return True if a variant was stopped by a limit that is narrower than these, so that it is to run again.

    Parameters
    ----------
    status, timeout_s, memory_bytes
        As in its record; or columns of many, as arrays or series, for an answer of the same kind.
    limit_s
        Limit for one engine run now, seconds.
    limit_bytes
        Limit for its memory now; None for none. What was stopped had reached its `memory_bytes` and would have
        gone on.
    """
    fits = memory_bytes < (float("inf") if limit_bytes is None else limit_bytes)
    return ((status == "timed_out") & (timeout_s < limit_s)) | ((status == "out_of_memory") & fits)
