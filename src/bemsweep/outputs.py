"""What a study asks the engine to report, resolved to plain values.

Decides the name of each array in the cube. Never reads a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from bemsweep.patterns import matches

__all__ = ["FREQUENCIES", "Frequency", "Output", "OutputKind", "RunKind", "array_name"]

Frequency = Literal["timestep", "hourly", "daily", "monthly", "annual"]
"""EnergyPlus's reporting frequencies that have a common time axis; each is a group of the cube."""

RunKind = Literal["annual", "design_day", "run_period"]
"""What the engine simulates: one whole year, the sizing periods, or the model's own run periods."""

OutputKind = Literal["variable", "meter"]

FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)

_NOT_IN_A_NAME = re.compile(r'[:/\\*?"<>|]')


def array_name(name: str) -> str:
    """Return EnergyPlus's `name` made safe as the name of a Zarr array and a file.

    Examples
    --------
    >>> array_name("Electricity:Facility")
    'Electricity_Facility'
    """
    return _NOT_IN_A_NAME.sub("_", name)


@dataclass(frozen=True)
class Output:
    """One output variable or meter at one reporting frequency."""

    kind: OutputKind
    """Output:Variable or Output:Meter."""
    name: str
    """EnergyPlus's own name, for example ``Zone Mean Air Temperature``."""
    frequency: Frequency
    """Reporting frequency."""
    array: str
    """Name of the array in the cube."""
    key: str = "*"
    """Key values wanted, as a pattern with ``*`` and ``?``; meters have none."""
    optional: bool = False
    """True if variants that do not report it are all right."""

    def is_wanted(self, key: str) -> bool:
        """Return True if `key` matches the pattern, without regard to case."""
        return matches(self.key, key)
