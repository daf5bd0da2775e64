"""What runs that are under way are at, so that a long one can be told from one that hangs.

EnergyPlus prints the simulated date once a week of it, line by line, into a file of the run's folder; whoever wants
to know reads the end of that file. Nothing here touches a run, and a run does nothing for it but print.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["CONSOLE_NAME", "MOST_TOLD", "STAGE_NAME", "Running", "longest", "where"]

CONSOLE_NAME = "bemsweep.console"
"""File in a run's folder for what the run prints."""

STAGE_NAME = "bemsweep.stage"
"""File in a run's folder that holds the stage it has reached."""

MOST_TOLD = 8
"""How many runs are told of, those that have been under way for the longest: the others are not of interest."""

_TAIL_BYTES = 4096
_STAGES = {"": "starting", "start": "starting", "edit": "editing", "read": "reading results", "done": "reading results"}
_WORDS = re.compile(
    rb"^(?:(?:Starting|Continuing) Simulation at (?P<date>\d\d/\d\d)|"
    rb"(?P<sizing>Performing Zone Sizing|Calculating System sizing|Adjusting .*Sizing)|"
    rb"(?P<writing>Writing (?:tabular output|final SQL)))",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Running:
    """One variant under way."""

    variant_id: str
    """Which variant."""
    at: str
    """The simulated date as ``07/21``, or in words what it is at."""
    seconds: float
    """How long it has been under way."""
    worker: str = ""
    """Address of the Dask worker that runs it."""

    def __str__(self) -> str:
        minutes, seconds = divmod(int(self.seconds), 60)
        return f"{self.variant_id[:8]} at {self.at}, {f'{minutes} min' if minutes else f'{seconds} s'}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"seconds": round(self.seconds, 1)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Running:
        """Return what `to_dict` made."""
        return cls(str(values["variant_id"]), str(values["at"]), float(values["seconds"]), str(values["worker"]))


def longest(running: Iterable[Running]) -> tuple[Running, ...]:
    """Return those that have been under way for the longest, the longest first, at most `MOST_TOLD`."""
    return tuple(heapq.nlargest(MOST_TOLD, running, key=lambda one: one.seconds))


def where(scratch: Path) -> str:
    """Return what the run in the folder `scratch` is at: a simulated date as ``07/21``, or words.

    Source: EnergyPlus, DisplayString, which every build prints to its standard output and flushes.
    """
    stage = _tail(scratch / STAGE_NAME).decode(errors="replace")
    if stage != "engine":
        return _STAGES.get(stage, stage)
    found = list(_WORDS.finditer(_tail(scratch / CONSOLE_NAME)))
    if not found:
        return "starting"
    last = found[-1]
    if last["date"]:
        return last["date"].decode()
    return "sizing" if last["sizing"] else "writing results"


def _tail(path: Path) -> bytes:
    """Return the last bytes of a file; none if it is not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES)
    except OSError:
        return b""
