"""Text on axes: units as people write them, names and levels that fit.

Decides the unit in which an output is drawn and how its label reads. Never draws anything.
"""

from __future__ import annotations

import re
import textwrap

import numpy as np
import xarray as xr

from bemsweep.errors import BemsweepError

__all__ = ["label", "readable_units", "scaled", "shortened", "step_hours"]

_SPELLED = {"degC": "°C", "degree": "°", "ohm": "Ω"}
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_TOKEN = re.compile(r"(?P<name>[^\s\d-]+)(?P<power>-?\d+)?")
_NONE = "–"  # noqa: RUF001 - an en dash is how tables show that there is no unit

_LARGER = {
    "J": ((3.6e6, "kW h"), (3.6e9, "MW h"), (3.6e12, "GW h")),
    "J m-2": ((3.6e6, "kW h m-2"),),
    "W": ((1.0, "W"), (1e3, "kW"), (1e6, "MW")),
}
"""What energies and powers are drawn in: a factor and its unit, the largest that leaves numbers above 10."""


def readable_units(units: str) -> str:
    """Return units as people write them, from the spelling of UDUNITS.

    Parameters
    ----------
    units
        As in the ``units`` attribute; what is no product of powers stays as it is.

    Examples
    --------
    >>> readable_units("W m-2 K-1"), readable_units("kW h m-2"), readable_units("degC"), readable_units("1")
    ('W/(m² K)', 'kWh/m²', '°C', '–')
    """
    if units in ("", "1"):
        return _NONE
    tokens = [_TOKEN.fullmatch(token) for token in units.replace("W h", "Wh").split()]
    above, below = [], []
    for token in tokens:
        if token is None:
            return units
        name, power = _SPELLED.get(token["name"], token["name"]), int(token["power"] or 1)
        (above if power > 0 else below).append(name + (str(abs(power)).translate(_RAISED) if abs(power) > 1 else ""))
    numerator = " ".join(above) or "1"
    if not below:
        return numerator
    return f"{numerator}/{below[0]}" if len(below) == 1 else f"{numerator}/({' '.join(below)})"


def scaled(output: xr.DataArray) -> xr.DataArray:
    """Return an output in the unit it is drawn in: energy in kWh, MWh or GWh, power in W, kW or MW.

    Parameters
    ----------
    output
        With its ``units`` attribute; other units than J, J m-2 and W stay.
    """
    units = output.attrs.get("units", "1")
    if units not in _LARGER:
        return output
    sizes = np.abs(output.values[np.isfinite(output.values)])
    largest = float(sizes.max()) if sizes.size else 0.0
    choices = _LARGER[units]
    factor, larger = next((choice for choice in reversed(choices) if largest >= 10 * choice[0]), choices[0])
    return (output / factor).assign_attrs({**output.attrs, "units": larger})


def label(output: xr.DataArray, *, width: int, prefix: str = "") -> str:
    """Return a name with its unit, such as ``Electricity:Facility [kWh]``, in lines of `width` characters.

    Parameters
    ----------
    output
        An output or a parameter: its ``long_name``, else its name, and its ``units``.
    width
        Most characters in a line.
    prefix
        What the values are of the output, such as ``mean of``.
    """
    name = str(output.attrs.get("long_name", output.name))
    unit = readable_units(str(output.attrs.get("units", "1")))
    return "\n".join(textwrap.wrap(f"{prefix} {name} [{unit}]".strip(), max(width, len(unit) + 2, 8)))


def shortened(text: str, *, width: int) -> str:
    """Return `text` if it has at most `width` characters, else its beginning and an ellipsis.

    Examples
    --------
    >>> shortened("triple glazing", width=20), shortened("triple glazing", width=8)
    ('triple glazing', 'triple …')
    """
    return text if len(text) <= width else f"{text[: max(width - 1, 1)]}…"


def step_hours(ds: xr.Dataset) -> float:
    """Return the length of a group's intervals in hours.

    Raises
    ------
    BemsweepError
        Intervals differ, or there is one only, so that it cannot be known.
    """
    if "time_bounds" in ds.coords:
        ends = ds["time_bounds"].values
        steps = (ends[:, 1] - ends[:, 0]) / np.timedelta64(1, "h")
    else:
        steps = np.diff(ds["time"].values) / np.timedelta64(1, "h")
    if not steps.size or steps.min() != steps.max():
        raise BemsweepError(
            "the values are for intervals of different or unknown length; take a timestep, hourly or daily group"
        )
    return float(steps[0])
