"""What storms run: studies of made-up or real variants whose starts are counted and some of which kill.

Decides only what a variant does; neither how it is run nor what befalls it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import bemsweep as bs
from bemsweep.testing import FakeEngine
from small_studies import CHICAGO, small_study

__all__ = ["STARTS", "Work", "study_of"]

STARTS = "CHAOS_STARTS"
"""Environment variable that names the file in which starts are counted, a line for each."""

_LEVELS = 20
"""Of the second parameter."""


@dataclass(frozen=True)
class Work:
    """A study, and how long it takes."""

    variants: int
    """How many; of made-up ones a multiple of 20."""
    engine: Literal["fake", "real"] = "fake"
    """Made-up variants for volume, design days of a small office for truth."""
    longest_s: float = 0.0
    """Made-up variants take a random part of this, seconds."""
    poison: Literal["", "engine", "host"] = ""
    """What the last variant kills each time it runs; real ones only."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def opened_engine(self) -> FakeEngine | None:
        """Return the engine to plan with; None for the real one."""
        if self.engine == "real":
            return None
        return FakeEngine(longest_s=self.longest_s, counter=Path(os.environ[STARTS]))


def study_of(work: Work) -> bs.Study:
    """Return the study of `work`, without a reference."""
    if work.engine == "fake":
        first, rest = divmod(work.variants, _LEVELS)
        assert not rest, f"{work.variants} is no multiple of {_LEVELS}"
        lights = bs.Field("Lights", "watts_per_floor_area", values=[float(n) for n in range(1, first + 1)])
        norths = bs.Field("Building", "north_axis", values=[float(n) for n in range(_LEVELS)])
        return small_study(parameters={"lighting": lights, "north": norths}, reference=False)
    values: list[str] = [f"{number}" for number in range(work.variants)]
    if work.poison:
        values[-1] = f"{values[-1]} kills its {work.poison}"
    return bs.Study(
        name="small",
        baseline="bundled:ref/small_office",
        weather=CHICAGO,
        run="design_day",
        parameters={"case": bs.Call(turn, values=values)},
        outputs=[
            bs.Variable("Zone Mean Air Temperature", frequency="hourly", as_="temperature"),
            bs.Meter("Electricity:Facility", frequency="hourly", as_="electricity"),
        ],
        reference=False,
        timeout_s=120.0,
    )


def turn(document: Any, value: str) -> None:
    """Count a start and turn the building, in the process that runs the engine; poison kills."""
    number, _, killed = value.partition(" kills its ")
    file = os.open(os.environ["CHAOS_STARTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, f"{number} {os.getpid()}\n".encode())
    os.close(file)
    if killed == "engine":
        os.kill(os.getpid(), signal.SIGKILL)
    if killed == "host":
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()
    next(iter(document["Building"])).north_axis = float(number)
