"""Weather files and .ddy files that tests make, from a bundled EPW and from the numbers of published days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from direct_engine import CHICAGO

LINES = CHICAGO.read_text(encoding="latin-1").splitlines()
HEADER, HOURS = LINES[:8], LINES[8:]
FIRST_OF_MARCH = 24 * 59

BOX = """
Version, 25.2;
SimulationControl, No, No, No, No, Yes;
Building, Box, 0, City, 0.04, 0.4, MinimalShadowing, 25, 6;
Timestep, 1;
GlobalGeometryRules, UpperLeftCorner, Counterclockwise, World;
RunPeriod, Year, 1, 1, , 12, 31, , Sunday, No, No, No, Yes, Yes;
Schedule:Constant, On, , 1;
Exterior:Lights, Lamp, On, 100, ScheduleNameOnly;
"""
"""A model without zones, whose year takes the engine a moment; its lamp needs 100 W."""


def leap_hours() -> list[str]:
    """Return Chicago's year with a 29 February like its 28th, 10 K warmer."""
    day = []
    for line in HOURS[FIRST_OF_MARCH - 24 : FIRST_OF_MARCH]:
        fields = line.split(",")
        fields[2], fields[6] = "29", f"{float(fields[6]) + 10:.1f}"
        day.append(",".join(fields))
    return [*HOURS[:FIRST_OF_MARCH], *day, *HOURS[FIRST_OF_MARCH:]]


def of_year(hours: Iterable[str], year: int) -> list[str]:
    """Return `hours` as those of one year."""
    return [f"{year},{line.split(',', 1)[1]}" for line in hours]


def write_epw(
    path: Path,
    hours: Sequence[str] = HOURS,
    *,
    leap: str = "No",
    weekday: str = "Sunday",
    days: tuple[str, str] = ("1/ 1", "12/31"),
) -> Path:
    """Write an EPW with Chicago's header but for what is given."""
    header = list(HEADER)
    header[4] = f"HOLIDAYS/DAYLIGHT SAVINGS,{leap},0,0,0"
    header[7] = f"DATA PERIODS,1,1,Data,{weekday},{','.join(days)}"
    path.write_text("\n".join([*header, *hours]) + "\n", encoding="latin-1")
    return path


def ddy_day(name: str, numbers: Sequence[float], *, solar: str, kind: str, **changes: str) -> str:
    """Return a design day as a .ddy has it: month, dry bulb, range, wet bulb, pressure, wind speed and direction."""
    month, dry_bulb, spread, wet_bulb, pressure, wind, direction = map(str, numbers)
    fields = {
        "name": name, "month": month, "day": "21", "kind": kind, "dry_bulb": dry_bulb, "range": spread,
        "modifier": "DefaultMultipliers", "modifier_schedule": "", "humidity": "Wetbulb", "wet_bulb": wet_bulb,
        "humidity_schedule": "", "ratio": "", "enthalpy": "", "wet_bulb_range": "", "pressure": pressure,
        "wind": wind, "direction": direction, "rain": "No", "snow": "No", "saving": "No", "solar": solar,
    }  # fmt: skip
    return f"SizingPeriod:DesignDay,\n {', '.join({**fields, **changes}.values())};\n"
