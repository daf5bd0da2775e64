"""What a file of values must be like that replaces a schedule.

Accepts what EnergyPlus reads as the same numbers and nothing that it reads as others: it takes ``nan`` for a value
and goes on where rows are missing. Never opens a file.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["SUFFIXES", "WANTED_ROWS", "ScheduleValues", "hours_and_minutes", "read_schedule_values"]

WANTED_ROWS = (
    "give one for each hour of a year, 8760, or 8784 with 29 February, "
    "or as many times that as there are equal parts of an hour, up to 60"
)
"""What to do if the number of values is wrong."""

SUFFIXES = (".csv", ".txt")
"""Of files that EnergyPlus reads schedules from; case does not matter."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_SHOWN = 40
"""How much of a text a message shows."""


@dataclass(frozen=True)
class ScheduleValues:
    """What a file of schedule values holds."""

    values: tuple[float, ...] = field(repr=False)
    """One value for each hour of a year, or several equally long ones for each; in the schedule's own unit."""
    has_heading: bool
    """True if the file's first line is a heading."""

    @cached_property
    def extremes(self) -> tuple[float, ...]:
        """The smallest and the largest value."""
        return min(self.values), max(self.values)


def read_schedule_values(content: bytes) -> ScheduleValues:
    """Return the values in a file that shall replace a schedule: one column, a row for each value.

    Parameters
    ----------
    content
        The file's content, with its line ends; its first line may be a heading.

    Raises
    ------
    ValueError
        What is wrong, and in which line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not encoded as UTF-8") from None
    if "\r" in text.replace("\r\n", "\n"):
        raise ValueError("its lines end in a single carriage return: save it with line ends of Windows or Linux")
    lines = text.rstrip(" \r\n").split("\n")
    has_heading = bool(lines[0].strip()) and not any(_is_number(cell) for cell in lines[0].split(","))
    values = tuple(_read_value(line, number) for number, line in enumerate(lines[has_heading:], start=1 + has_heading))
    if hours_and_minutes(len(values)) is None:
        heading = f"below the heading {_shown(lines[0])}" if has_heading else "without a heading"
        raise ValueError(f"it has {len(values)} values {heading}: {WANTED_ROWS}")
    return ScheduleValues(values, has_heading)


def hours_and_minutes(rows: int) -> tuple[int, int] | None:
    """Return the hours of the year and the minutes of a row, or None if `rows` are no year.

    Examples
    --------
    >>> hours_and_minutes(8760), hours_and_minutes(4 * 8784), hours_and_minutes(8000)
    ((8760, 60), (8784, 15), None)
    """
    for hours in (8760, 8784):
        if rows and rows % hours == 0 and 60 % (rows // hours) == 0:
            return hours, 60 * hours // rows
    return None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip(" \r")) is not None


def _read_value(line: str, number: int) -> float:
    cell = line.strip(" \r")
    if _is_number(cell):
        value = float(cell)
        if not math.isfinite(value):
            raise ValueError(f"line {number}: {_shown(cell)} is too large")
        return value
    if not cell:
        raise ValueError(f"line {number} is blank")
    if any(separator in cell for separator in ",;\t"):
        raise ValueError(
            f"line {number}: {_shown(cell)} is more than one column, or a number with a decimal comma: "
            "give a single column of numbers with a decimal point"
        )
    raise ValueError(f"line {number}: {_shown(cell)} is no number")


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
