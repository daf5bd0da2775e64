"""Values as pictures need them: one for each variant or instant, in the unit that is drawn.

Decides how outputs are reduced over time and scaled. Never draws anything, and never fills in what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bemsweep.errors import BemsweepError, nearest

__all__ = ["as_power", "by_month", "output_of", "per_variant", "scaled", "step_hours"]

_LARGER = {
    "J": ((3.6e6, "kW h"), (3.6e9, "MW h"), (3.6e12, "GW h")),
    "J m-2": ((3.6e6, "kW h m-2"),),
    "GJ": ((3.6e-3, "kW h"), (3.6, "MW h"), (3.6e3, "GW h")),
    "MJ m-2": ((3.6, "kW h m-2"),),
    "W": ((1.0, "W"), (1e3, "kW"), (1e6, "MW")),
}
"""What energies and powers are drawn in: a factor and its unit, the largest that leaves numbers above 10."""


def output_of(ds: xr.Dataset, name: str, *, kept: Sequence[str] = ()) -> xr.DataArray:
    """Return an output along ``time`` and what is `kept`; other dims must have one label.

    Raises
    ------
    BemsweepError
        There is no such output, it holds no numbers, or another dim has several labels.
    """
    names = [str(known) for known in ds.data_vars]
    if name not in names:
        told = ", ".join(names) or "none"
        raise BemsweepError(f"there is no output {name!r}{nearest(name, names)}; there are: {told}")
    if ds[name].dtype.kind not in "fiu":
        raise BemsweepError(f"{name!r} holds no numbers but {'times' if ds[name].dtype.kind in 'mM' else 'texts'}")
    others = [dim for dim in ds[name].dims if dim not in ("time", *kept)]
    if wide := [dim for dim in others if ds.sizes[dim] != 1]:
        told = ", ".join(f"{dim} ({ds.sizes[dim]})" for dim in wide)
        raise BemsweepError(
            f"{name!r} still has the dims {told}; choose one of each, for example "
            f"ds.isel({wide[0]}=0), or take the mean: ds.mean({str(wide[0])!r}, keep_attrs=True)"
        )
    return ds[name].squeeze(others)


def per_variant(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return one value for each variant: sums added up over time, the rest averaged; missing if any is.

    Raises
    ------
    BemsweepError
        As `output_of`.
    """
    output = output_of(ds, name, kept=["variant"])
    if "time" not in output.dims:
        has_time = "time" in str(output.attrs.get("cell_methods", ""))
        # What EnergyPlus calls a cell of its reports is longer than a label has room for.
        return output if has_time else output.assign_attrs(long_name=name.replace("_", " "))
    is_sum = "sum" in str(output.attrs.get("cell_methods", ""))
    whole = output.sum("time", skipna=False) if is_sum else output.mean("time", skipna=False)
    return whole.assign_attrs(output.attrs)


def by_month(output: xr.DataArray, *, frequency: str = "") -> xr.DataArray:
    """Return an output added up over each month that it has, the earliest first; missing if any value is.

    Parameters
    ----------
    output
        Along ``time``.
    frequency
        That of its group, if it is known.

    Raises
    ------
    BemsweepError
        It has no dates, or one only, which may be that of a year.
    """
    has_dates = "time" in output.dims and output["time"].dtype.kind == "M"
    if not has_dates or (output.sizes["time"] < 2 and frequency != "monthly"):
        raise BemsweepError(f"{output.name!r} has no months; take the group 'monthly' of a study of weather runs")
    # Not resampled: between two run periods there may be years without a value.
    months = output["time"].astype("datetime64[M]").astype("datetime64[ns]")
    return output.groupby(months).sum(skipna=False).assign_attrs(output.attrs)


def as_power(output: xr.DataArray, hours: float) -> xr.DataArray:
    """Return energy of intervals as its mean power; anything else as it is."""
    if output.attrs.get("units") not in ("J", "J m-2"):
        return output
    units = output.attrs["units"].replace("J", "W")
    return (output / (3600 * hours)).assign_attrs({**output.attrs, "units": units})


def scaled(output: xr.DataArray) -> xr.DataArray:
    """Return an output in the unit it is drawn in: energy in kWh, MWh or GWh, power in W, kW or MW.

    Parameters
    ----------
    output
        With its ``units`` attribute; other units than J, J m-2, GJ, MJ m-2 and W stay.
    """
    units = output.attrs.get("units", "1")
    if units not in _LARGER:
        return output
    sizes = np.abs(output.values[np.isfinite(output.values)])
    largest = float(sizes.max()) if sizes.size else 0.0
    choices = _LARGER[units]
    factor, larger = next((choice for choice in reversed(choices) if largest >= 10 * choice[0]), choices[0])
    return (output / factor).assign_attrs({**output.attrs, "units": larger})


def step_hours(ds: xr.Dataset) -> float:
    """Return the length of a group's intervals in hours.

    Raises
    ------
    BemsweepError
        There is no time, intervals differ, or there is one only, so that it cannot be known.
    """
    if "time" not in ds.dims:
        raise BemsweepError("there is no dim 'time'; pass a group, such as tree['hourly'].to_dataset()")
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
