"""EnergyPlus's units in the spelling of UDUNITS, the one that CF conventions and xarray's tools read; sizes as texts.

Decides the ``units`` attribute of every array in the cube. Never changes a value: only the spelling differs.
"""

from __future__ import annotations

import re

__all__ = ["duration_text", "money_text", "read_size", "size_text", "udunits"]

_WHOLE = {
    "": "1",
    "fraction": "1",
    "C": "degC",
    "ach": "h-1",
}
"""Units that read differently alone than as a factor: alone, ``C`` is a point on the Celsius scale."""

_FACTORS = {
    "C": "K",
    "deltaC": "K",
    "K": "K",
    "A": "A",
    "Ah": "A h",
    "Btu": "Btu",
    "GJ": "GJ",
    "HOURS": "h",
    "Hours": "h",
    "J": "J",
    "L": "L",
    "MJ": "MJ",
    "Pa": "Pa",
    "V": "V",
    "W": "W",
    "cd": "cd",
    "clo": "clo",
    "deg": "degree",
    "h": "h",
    "hr": "h",
    "hrs": "h",
    "kW": "kW",
    "kWh": "kW h",
    "kg": "kg",
    "kgDryAir": "kg",
    "kgWater": "kg",
    "kmol": "kmol",
    "lum": "lm",
    "lux": "lux",
    "m": "m",
    "min": "min",
    "mm": "mm",
    "pa": "Pa",
    "ppm": "ppm",
    "rad": "rad",
    "rev": "revolution",
    "s": "s",
    "umol": "umol",
    "%": "%",
}
"""A difference of temperatures is in kelvin: UDUNITS has no name for a Celsius interval."""

_BYTES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z]*)")

_FACTOR = re.compile(r"(?P<name>[A-Za-z%]+)(?P<power>[0-9]*)")


def udunits(unit: str) -> str:
    """Return EnergyPlus's `unit` as UDUNITS spells it.

    EnergyPlus writes a quotient as ``a/b-c``, meaning a / (b c). What is no such product of known units,
    such as the free text of an EnergyManagementSystem output variable, is returned unchanged.

    Parameters
    ----------
    unit
        As it stands in the engine's SQLite or data dictionary, without brackets.

    Source
    ------
    EnergyPlus Input Output Reference, "Standard EnergyPlus Units"; UDUNITS-2 unit database.

    Examples
    --------
    >>> udunits("C"), udunits("deltaC"), udunits("W/m2-K"), udunits("")
    ('degC', 'K', 'W m-2 K-1', '1')
    """
    if unit in _WHOLE:
        return _WHOLE[unit]
    numerator, *denominators = unit.split("/")
    if len(denominators) > 1:
        return unit
    factors = [_factor(part, sign=1) for part in numerator.split("-")]
    factors += [_factor(part, sign=-1) for text in denominators for part in text.split("-")]
    known = [factor for factor in factors if factor is not None]
    return " ".join(known) if len(known) == len(factors) else unit


def _factor(text: str, *, sign: int) -> str | None:
    """Return one factor raised to `sign` times its power, or None if it is not known."""
    match = _FACTOR.fullmatch(text)
    if match is None or match["name"] not in _FACTORS:
        return None
    power = sign * int(match["power"] or 1)
    names = _FACTORS[match["name"]].split()
    return " ".join(name if power == 1 else f"{name}{power}" for name in names)


def size_text(size_bytes: float) -> str:
    """Return a size as people read it.

    Examples
    --------
    >>> size_text(999), size_text(2_500_000)
    ('999 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def read_size(given: object) -> int:
    """Return the number of bytes that `given` means: a whole number, or a text such as ``2 GiB`` or ``500 MB``.

    Raises
    ------
    ValueError
        It is no size.

    Examples
    --------
    >>> read_size("2 GiB"), read_size("1.5 kB"), read_size(4096)
    (2147483648, 1500, 4096)
    """
    text = given.strip() if isinstance(given, str) else str(given) if type(given) is int else ""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{given!r} is no size: a number of bytes, or one with a unit, such as 2 GiB or 500 MB")
    if match["unit"] not in _BYTES:
        known = [unit for unit in _BYTES if unit]
        meant = next((unit for unit in known if unit.lower().startswith(match["unit"].lower()[:1])), "GiB")
        raise ValueError(f"{given!r} has no unit of sizes, did you mean {meant}? Known are {', '.join(known)}")
    return round(float(match["number"]) * _BYTES[match["unit"]])


def duration_text(seconds: float) -> str:
    """Return a duration as people read it.

    Examples
    --------
    >>> duration_text(42.3), duration_text(3720), duration_text(200_000)
    ('42 s', '1 h 2 min', '2 days 7 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"{hours // 24} days {hours % 24} h"


def money_text(usd: float) -> str:
    """Return a sum of money as people read it.

    Examples
    --------
    >>> money_text(0.004), money_text(4.1), money_text(12345.6)
    ('$0.0040', '$4.10', '$12,346')
    """
    if 0 < usd < 0.1:
        return f"${usd:.4f}"
    return f"${usd:.2f}" if usd < 100 else f"${usd:,.0f}"
