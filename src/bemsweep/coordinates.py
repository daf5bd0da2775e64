"""The axes and attributes of the cube as CF conventions want them.

Decides every variable of the cube that is known before anything has run. Pure: never touches a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bemsweep.layout import Array, Layout
from bemsweep.outputs import FIXED_LABELS, Frequency
from bemsweep.reductions import cell_method
from bemsweep.units import udunits

__all__ = [
    "CONVENTIONS",
    "GROUP_COLUMNS",
    "Variable",
    "array_attributes",
    "axes",
    "column_attributes",
    "design_day_texts",
    "group_attributes",
    "row_coordinates",
]

CONVENTIONS = "CF-1.11"

GROUP_COLUMNS = ("variant_id", "status", "utc_offset")
"""Columns of the variant table that every group repeats beside the parameters."""

_COLUMN_ATTRIBUTES: dict[str, dict[str, str]] = {
    "variant_id": {"long_name": "sha256 of all that decides the variant's result"},
    "status": {"long_name": "pending, succeeded, failed, timed_out or out_of_memory"},
    "message": {"long_name": "first fatal or severe message"},
    "warnings": {"long_name": "number of EnergyPlus warnings", "units": "1"},
    "severe_errors": {"long_name": "number of EnergyPlus severe errors", "units": "1"},
    "engine_s": {"long_name": "time in the engine", "units": "s"},
    "cpu_s": {"long_name": "processor time of the run's processes", "units": "s"},
    "total_s": {"long_name": "time from the start of the task to the record", "units": "s"},
    "memory_bytes": {"long_name": "peak resident memory of the engine", "units": "byte"},
    "moved_bytes": {"long_name": "inputs fetched, raw files and record put for the variant", "units": "byte"},
    "worker": {"long_name": "machine, and Dask worker, that ran the variant"},
    "timeout_s": {"long_name": "time limit in force", "units": "s"},
    "utc_offset": {"long_name": "offset of local standard time from UTC", "units": "h"},
    "outputs_sha256": {"long_name": "sha256 of all outputs as the engine reported them"},
}


_SINCE_1970 = {"units": "minutes since 1970-01-01 00:00:00", "calendar": "proleptic_gregorian"}

_FIXED_ATTRIBUTES: dict[str, dict[str, str]] = {
    "fuel": {"long_name": "fuel, as EnergyPlus's end use tables spell it"},
    "end_use": {"long_name": "end use, as EnergyPlus's end use tables spell it"},
}


@dataclass(frozen=True)
class Variable:
    """A small variable that is written whole."""

    name: str
    """Name in the group."""
    dims: tuple[str, ...]
    """Names of its dims; none for a scalar."""
    values: npt.NDArray[Any]
    """Texts have dtype object."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """CF attributes."""


def axes(layout: Layout, frequency: Frequency) -> list[Variable]:
    """Return the coordinate variables of one group that do not run along `variant`.

    For weather runs `time` counts minutes since 1970 in local standard time; for design days it is a time
    of day, and `design_day` an ordinal. Key axes hold the model's labels, fixed ones EnergyPlus's.
    """
    calendar = layout.calendar
    axis = calendar.axis(frequency)
    bounds = np.stack([axis.start, axis.end], axis=1)
    if calendar.design_days:
        # xarray decodes a duration without a warning only if `dtype` says that it is one.
        duration = {"units": "minutes", "dtype": "timedelta64[ns]"}
        long_name = "start of interval, local standard time of day"
        attributes = {"long_name": long_name, "axis": "T", "bounds": "time_bounds", **duration}
        ordinals = np.arange(calendar.design_days, dtype=np.int64)
        found = [
            Variable("time", ("time",), axis.start, attributes),
            Variable("time_bounds", ("time", "bounds"), bounds, duration),
            Variable("design_day", ("design_day",), ordinals, {"long_name": "design day, in the model's order"}),
        ]
    else:
        attributes = {
            "standard_name": "time",
            "long_name": "start of interval, local standard time",
            **_SINCE_1970,
            "axis": "T",
            "bounds": "time_bounds",
        }
        found = [
            Variable("time", ("time",), axis.start, attributes),
            Variable("time_bounds", ("time", "bounds"), bounds),
        ]
        if len(calendar.periods) > 1:
            names = np.array([period.name for period in calendar.periods], dtype=object)[axis.period]
            found.append(Variable("run_period", ("time",), names, {"long_name": "name of the RunPeriod"}))
    for dim, labels in layout.key_axes_of(frequency).items():
        found.append(Variable(dim, (dim,), np.array(labels, dtype=object), {"long_name": f"key value: {dim}"}))
    fixed = {dim for array in layout.arrays_of(frequency) for dim in array.fixed_dims.split()}
    for dim in sorted(fixed):
        found.append(Variable(dim, (dim,), np.array(FIXED_LABELS[dim], dtype=object), _FIXED_ATTRIBUTES[dim]))
    return found


def design_day_texts(layout: Layout) -> dict[str, dict[str, str]]:
    """Return the attributes of the texts along ``(variant, design_day)``, by name; none for weather runs."""
    if not layout.calendar.design_days:
        return {}
    return {
        "design_day_name": {"long_name": "name of the design day"},
        "design_day_date": {"long_name": "date of the design day, month-day"},
    }


def row_coordinates(layout: Layout) -> tuple[str, ...]:
    """Return the columns of the variant table that are coordinates in every group."""
    return (*GROUP_COLUMNS, *(parameter.name for parameter in layout.parameters))


def array_attributes(layout: Layout, array: Array) -> dict[str, Any]:
    """Return the CF attributes of one output's array."""
    if not array.has_time:
        units = _SINCE_1970 if array.method == "moment" else {"units": udunits(array.units)}
        method = {"cell_methods": f"time: {word}"} if (word := cell_method(array.method)) else {}
        days = design_day_texts(layout) if layout.has_design_days(array) else ()
        coordinates = " ".join((*row_coordinates(layout), *days))
        return {"long_name": array.long_name, **units, **method, "coordinates": coordinates}
    return {
        "long_name": array.long_name,
        "units": udunits(array.units),
        "cell_methods": f"time: {array.method}",
        "coordinates": " ".join((*row_coordinates(layout), *_time_coordinates(layout))),
    }


def _time_coordinates(layout: Layout) -> tuple[str, ...]:
    """Return the coordinates of what has time, but for time itself and its bounds."""
    has_periods = not layout.calendar.design_days and len(layout.calendar.periods) > 1
    return (*design_day_texts(layout), *(("run_period",) if has_periods else ()))


def column_attributes(layout: Layout, name: str, *, is_root: bool) -> dict[str, Any]:
    """Return the attributes of a column of the variant table; in the root, some are data, not coordinates."""
    of_parameters = {parameter.name: parameter.attributes for parameter in layout.parameters}
    attributes: dict[str, Any] = {**_COLUMN_ATTRIBUTES.get(name, {}), **of_parameters.get(name, {})}
    if is_root and name not in row_coordinates(layout):
        attributes["coordinates"] = " ".join(row_coordinates(layout))
    return attributes


def group_attributes(layout: Layout, attributes: dict[str, Any], frequency: Frequency) -> dict[str, Any]:
    """Return the attributes of one group; they repeat the root's because a group is opened alone, too."""
    # No array can name its time bounds as a coordinate in CF; on the group, xarray takes them for one. So it does
    # with what runs along time or design days where no array does, beside single numbers.
    coordinates = " ".join(("time_bounds", *_time_coordinates(layout)))
    return {"Conventions": CONVENTIONS, **attributes, "frequency": frequency, "coordinates": coordinates}
