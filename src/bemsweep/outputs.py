"""What a study asks the engine to report, resolved to plain values.

Decides the name of each array in the cube. Never reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from bemsweep.patterns import matches

__all__ = [
    "END_USES",
    "FIXED_LABELS",
    "FREQUENCIES",
    "FUELS",
    "SUMMARY_NAMES",
    "Frequency",
    "Output",
    "OutputKind",
    "RunKind",
    "array_name",
    "reduced_array",
]

Frequency = Literal["timestep", "hourly", "daily", "monthly", "annual"]
"""EnergyPlus's reporting frequencies that have a common time axis; each is a group of the cube."""

RunKind = Literal["annual", "design_day", "run_period"]
"""What the engine simulates: one whole year, the sizing periods, or the model's own run periods."""

OutputKind = Literal["variable", "meter", "table", "summary"]
"""An output variable, a meter, one cell of a tabular report, or the arrays of `SUMMARY_NAMES`."""

FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)

FUELS = (
    "Electricity",
    "Natural Gas",
    "Gasoline",
    "Diesel",
    "Coal",
    "Fuel Oil No 1",
    "Fuel Oil No 2",
    "Propane",
    "Other Fuel 1",
    "Other Fuel 2",
    "District Cooling",
    "District Heating Water",
    "District Heating Steam",
)
"""As the columns of EnergyPlus 25.2's end use tables are headed; Water, which is no energy, is left out."""

END_USES = (
    "Heating",
    "Cooling",
    "Interior Lighting",
    "Exterior Lighting",
    "Interior Equipment",
    "Exterior Equipment",
    "Fans",
    "Pumps",
    "Heat Rejection",
    "Humidification",
    "Heat Recovery",
    "Water Systems",
    "Refrigeration",
    "Generators",
)
"""As the rows of EnergyPlus 25.2's end use tables are headed."""

FIXED_LABELS: Mapping[str, tuple[str, ...]] = {"fuel": FUELS, "end_use": END_USES}
"""Dims whose labels are the same in every study."""

SUMMARY_NAMES = (
    "building_area",
    "conditioned_area",
    "site_energy",
    "net_site_energy",
    "source_energy",
    "site_energy_per_area",
    "unmet_heating_hours",
    "unmet_cooling_hours",
    "end_uses",
    "peak_demand",
    "peak_demand_time",
)
"""Arrays of the output ``summary``, all in the group ``annual``."""

_NOT_IN_A_NAME = re.compile(r'[:/\\*?"<>|]')


def array_name(name: str) -> str:
    """Return EnergyPlus's `name` made safe as the name of a Zarr array and a file.

    Examples
    --------
    >>> array_name("Electricity:Facility")
    'Electricity_Facility'
    """
    return _NOT_IN_A_NAME.sub("_", name)


def reduced_array(array: str, word: str) -> str:
    """Return the name of the array that holds one reduction of `array`.

    Examples
    --------
    >>> reduced_array("electricity", "max"), reduced_array("electricity", "p99.6")
    ('electricity_max', 'electricity_p99_6')
    """
    return f"{array}_{word.replace('.', '_')}"


@dataclass(frozen=True)
class Output:
    """One output variable or meter at one reporting frequency, one cell of a tabular report, or the summary."""

    kind: OutputKind
    """Output:Variable, Output:Meter, a cell or the summary."""
    name: str
    """EnergyPlus's own name, for example ``Zone Mean Air Temperature``; of a cell, that of its report."""
    frequency: Frequency
    """Reporting frequency; ``annual`` for what has no time."""
    array: str
    """Name of the array in the cube."""
    key: str = "*"
    """Key values wanted, as a pattern with ``*`` and ``?``; meters have none. Of a cell, what the report is for."""
    optional: bool = False
    """True if variants that do not report it are all right."""
    table: str = ""
    """Of a cell: name of the table in its report; this and the next two may be left out where only one fits."""
    row: str = ""
    """Of a cell: heading of its row."""
    column: str = ""
    """Of a cell: heading of its column, with or without the unit in brackets."""
    reduce: tuple[str, ...] = ()
    """Of a variable or meter: the only reductions of its series that are kept; empty to keep the series itself."""

    @property
    def what(self) -> tuple[str, ...]:
        """What is asked of the engine, whatever keys, and whatever it is called in the cube."""
        cell = (self.key, self.table, self.row, self.column) if self.kind == "table" else ()
        return (self.kind, self.frequency, *(text.casefold() for text in (self.name, *cell)))

    @property
    def words(self) -> tuple[str, ...]:
        """What is kept of each series: its reductions, or ``""`` alone for the series itself."""
        return self.reduce or ("",)

    def place(self, word: str) -> tuple[Frequency, str]:
        """Return group and name of the array that holds what `word` of `words` stands for."""
        return ("annual", reduced_array(self.array, word)) if word else (self.frequency, self.array)

    @property
    def described(self) -> str:
        """What is asked for, in a line for people."""
        if self.kind == "table":
            return ", ".join(filter(None, (self.name, self.key, self.table, self.row, self.column)))
        return f"{self.name} ({', '.join((self.frequency, *self.reduce))})"

    def to_dict(self) -> dict[str, Any]:
        """Return the output as plain values for JSON; without `reduce` if the series itself is kept."""
        values = asdict(self)
        return values | {"reduce": list(self.reduce)} if values.pop("reduce") else values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the output that `to_dict` wrote.

        Raises
        ------
        TypeError
            It is no such output.
        """
        return cls(**{**data, "reduce": tuple(map(str, data.get("reduce", ())))})

    def is_wanted(self, key: str) -> bool:
        """Return True if `key` matches the pattern, without regard to case."""
        return matches(self.key, key)
