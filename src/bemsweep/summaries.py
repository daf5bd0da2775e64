"""The summary of a study as one table: a row per variant, its parameters first, the reference's difference beside.

Reads what the output ``summary`` left in the cube; converts energies to the units asked for and never runs,
writes or estimates anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bemsweep.design import LABELS
from bemsweep.errors import BemsweepError, nearest
from bemsweep.levels import group_dataset, parameter_names, read_columns, reference_rows
from bemsweep.outputs import SUMMARY_NAMES

__all__ = ["summary"]

_PER_GJ = {"GJ": 1.0, "MJ": 1e3, "kWh": 1e9 / 3.6e6, "MWh": 1e9 / 3.6e9, "kBtu": 1e9 / 1055055.85262}
_PER_M2 = {"m2": 1.0, "ft2": 1 / 0.3048**2}
_UNITS = (*_PER_GJ, *(f"{energy}/{area}" for area in _PER_M2 for energy in _PER_GJ))
_DIFFERENCE = "difference"
_NOTHING = 1e-6
"""Share of a variant's site energy below which an end use is none: EnergyPlus leaves traces of idle pumps."""

_Numbers = npt.NDArray[np.float64]


def summary(tree: xr.DataTree | xr.Dataset, units: str | None = None) -> pd.DataFrame:
    """Return areas, energy, peak demand and unmet hours of every variant as a table.

    Parameters
    ----------
    tree
        What `open_results` returns, or its group ``annual``.
    units
        Of energies: ``GJ``, ``MJ``, ``kWh``, ``MWh`` or ``kBtu``, or one of them ``/m2`` or ``/ft2`` of the
        total building area; None for what EnergyPlus prints, GJ.

    Returns
    -------
    pandas.DataFrame
        A row per variant in the order of the study, NaN where it has not succeeded. Columns have two levels. The
        first names the quantity as the cube does, end uses as ``Heating, Electricity`` and peaks as
        ``peak_demand, Electricity``. An end use is left out if it is less than a millionth of the site energy in all
        variants, and the net site energy if it is the total. The second
        level is the unit, or ``difference`` from the reference (the variant of the same baseline and weather
        that has no parameter set), if there is one, or ``time`` of a peak. Parameters and ``status`` come first.

    Raises
    ------
    BemsweepError
        The results hold no summary, or the units are unknown.

    Examples
    --------
    >>> table = summary(open_results("bemsweep-store", "office"), units="kWh/m2")  # doctest: +SKIP
    >>> table["site_energy", "kWh/m2"], table["site_energy", "difference"]  # doctest: +SKIP
    """
    if units is not None and units not in _UNITS:
        hint = nearest(str(units), _UNITS)
        raise BemsweepError(f"no units {units!r}{hint} for a summary; known: {', '.join(_UNITS)}")
    annual = _annual(tree)
    parameters = parameter_names(annual)
    table: dict[tuple[str, str], Any] = {(name, ""): annual[name].values for name in (*parameters, "status")}
    reference = _references(annual)
    for name, unit, values, has_difference in _quantities(annual, units):
        table[name, unit] = values
        if has_difference and (reference >= 0).any():
            table[name, _DIFFERENCE] = np.where(reference >= 0, values - values[reference], np.nan)
    frame = pd.DataFrame(table).rename_axis("variant")
    frame.columns.names = ["quantity", "unit"]
    return frame


def _annual(tree: xr.DataTree | xr.Dataset) -> xr.Dataset:
    """Return the summary's arrays, loaded."""
    annual = tree if isinstance(tree, xr.Dataset) else tree.children.get("annual", tree).to_dataset()
    if missing := [name for name in SUMMARY_NAMES if name not in annual]:
        raise BemsweepError(
            f"these results hold no summary (no {missing[0]!r}): add `summary` to the study's outputs and run it again"
        )
    return group_dataset(annual)[list(SUMMARY_NAMES)].load()


def _references(annual: xr.Dataset) -> npt.NDArray[np.int64]:
    """Return for each row the row of its reference, or -1 if there is none."""
    columns = read_columns(annual)
    places = list(zip(*(column.values.tolist() for column in columns if column.name in LABELS), strict=True))
    rows: dict[tuple[str, ...], int] = {}
    for number in reference_rows(columns):
        rows.setdefault(places[number], int(number))
    return np.array([rows.get(place, -1) for place in places], dtype=np.int64)


def _quantities(annual: xr.Dataset, units: str | None) -> Iterator[tuple[str, str, _Numbers | npt.NDArray[Any], bool]]:
    """Yield name, unit and values of each column, and whether it has a difference."""
    area = annual["building_area"].values
    energy, _, per = (units or "GJ").partition("/")
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = _PER_GJ[energy] / (area * _PER_M2[per] if per else np.ones_like(area))
    unit = units or "GJ"
    for name in ("building_area", "conditioned_area"):
        yield name, "m2", annual[name].values, False
    site = annual["site_energy"].values
    yield "site_energy", unit, site * factor, True
    net = annual["net_site_energy"].values
    if not np.allclose(net, site, rtol=_NOTHING, atol=0.0, equal_nan=True):
        yield "net_site_energy", unit, net * factor, True
    yield "source_energy", unit, annual["source_energy"].values * factor, True
    if not per:
        intensity = annual["site_energy_per_area"].values
        own = energy == "GJ"
        scale = 1.0 if own else _PER_GJ[energy] / _PER_GJ["MJ"]
        yield "site_energy_per_area", "MJ/m2" if own else f"{energy}/m2", intensity * scale, True
    for end_use in annual["end_use"].values:
        for fuel in annual["fuel"].values:
            used = annual["end_uses"].sel(fuel=fuel, end_use=end_use).values
            if (used > _NOTHING * site).any():
                yield f"{end_use}, {fuel}", unit, used * factor, True
    for fuel in annual["fuel"].values:
        peak = annual["peak_demand"].sel(fuel=fuel).values
        if (peak > 0).any():
            yield f"peak_demand, {fuel}", "W", peak, True
            yield f"peak_demand, {fuel}", "time", annual["peak_demand_time"].sel(fuel=fuel).values, False
    for name in ("unmet_heating_hours", "unmet_cooling_hours"):
        yield name, "h", annual[name].values, True
