"""`to_grid`: a dim for each parameter instead of one for all variants.

Decides which place of a grid each row has. Never reads an output's values before they are used: what is
selected from the grid is read, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bemsweep.design import LABELS
from bemsweep.errors import BemsweepError
from bemsweep.lazy_arrays import Pick, lazy_variable, pick_outer
from bemsweep.levels import Column, coded_levels, computed_names, design_rows, group_dataset, level_text, read_columns

__all__ = ["to_grid"]

_MOST_PLACES_PER_ROW = 10
"""A grid of more places than that times its rows is no grid design: nine tenths of it would be holes."""


def to_grid(results: xr.Dataset | xr.DataTree) -> xr.Dataset:
    """Return results with one dim per parameter in the place of ``variant``.

    Parameters
    ----------
    results
        A group of results, such as ``open_results(...)["hourly"]``, or a selection of its variants.

    Returns
    -------
    xarray.Dataset
        Lazy as `results` are: what is selected is read, and no more. Levels are coordinates, numbers
        ascending and texts in order of appearance. The null level is the baseline's value where the
        results know it (1 for factors, 0 for summands); else all levels of that parameter are texts, and null
        is ``"baseline"``. Where a place is without a variant, numbers are NaN and texts, ``status`` and
        ``variant_id`` among them, are ``""``. A parameter that is computed from others is a coordinate along
        those that it depends on.

    Raises
    ------
    BemsweepError
        `results` are no group with a dim ``variant``, two rows are the same point, or most of the grid would
        be holes, as with a table of samples.

    Shape
    -----
    ``(<parameters>, ...)``, the dims of `results` after those of the parameters. ``baseline`` and ``weather``
    are dims only if there is more than one label.

    Notes
    -----
    A reference, whose parameters are all null, is left out if null is no level of the design: it would add
    a level to each dim with holes but for one place. A row that leaves a parameter null gives way to one
    that sets the same value.

    Examples
    --------
    >>> ds = xr.Dataset(
    ...     {"gas": ("variant", [4.0, 3.0, 2.0])},
    ...     {"lighting": ("variant", [8.0, 6.0, 8.0]), "glazing": ("variant", ["double", "double", "triple"])},
    ... )
    >>> to_grid(ds).gas.sel(glazing="double").values
    array([3., 4.])
    """
    ds = group_dataset(results)
    columns = read_columns(ds)
    if not columns:
        raise BemsweepError("there is no parameter along 'variant', so nothing to make dims of; keep the coordinates")
    rows = design_rows(columns)
    _check_no_repetition(ds, columns, rows)
    axes = [_Axis(column.name, *coded_levels(column, rows), ds[column.name].attrs) for column in columns]
    dims = [axis for axis in axes if axis.name not in LABELS or len(axis.levels) > 1]
    grid = _place(rows, dims, columns)
    on_grid = [name for name, variable in ds.variables.items() if "variant" in variable.dims]
    kept = ds.drop_vars(on_grid)
    scalars = {axis.name: ((), axis.levels[0], axis.attrs) for axis in axes if axis not in dims}
    levels = {axis.name: (axis.name, axis.levels, axis.attrs) for axis in dims}
    computed = {name: _computed_coordinate(ds[name].variable, rows, dims) for name in computed_names(ds)}
    moved = {
        name: _gridded(ds[name].variable, grid, [axis.name for axis in dims])
        for name in on_grid
        if name not in {*computed, *(column.name for column in columns)}
    }
    coords = {name: variable for name, variable in moved.items() if name in ds.coords}
    outputs = {name: variable for name, variable in moved.items() if name in ds.data_vars}
    data = {name: outputs.get(name, ds[name].variable) for name in ds.data_vars}
    coordinates = xr.Coordinates({**levels, **scalars, **dict(kept.coords), **computed, **coords})
    return xr.Dataset(data, coordinates, ds.attrs)


@dataclass(frozen=True, eq=False)
class _Axis:
    """One parameter as a dim."""

    name: str
    """The parameter's name."""
    levels: npt.NDArray[Any]
    """The dim's coordinate."""
    codes: npt.NDArray[np.intp]
    """Position along the dim of each row of the design."""
    attrs: dict[Any, Any]
    """Attributes of the coordinate."""


def _check_no_repetition(ds: xr.Dataset, columns: Sequence[Column], rows: npt.NDArray[np.intp]) -> None:
    """Refuse rows that are the same point: only one of them could stand in the grid."""
    table = pd.DataFrame({column.name: column.values[rows] for column in columns})
    repeated = table.duplicated()
    if not repeated.any():
        return
    later = int(np.flatnonzero(repeated)[0])
    same = np.flatnonzero(table.apply(lambda row: row.equals(table.iloc[later]), axis=1))
    point = ", ".join(f"{column.name}={level_text(column.values[rows[later]])}" for column in columns)
    ids = f" ({', '.join(str(ds.variant_id.values[row])[:12] for row in rows[same])})" if "variant_id" in ds else ""
    raise BemsweepError(
        f"variants {', '.join(str(row) for row in rows[same])}{ids} are the same point: {point}; "
        "grid one study at a time, with all of its parameters as coordinates"
    )


def _place(rows: npt.NDArray[np.intp], dims: Sequence[_Axis], columns: Sequence[Column]) -> npt.NDArray[np.intp]:
    """Return the row at each place of the grid, -1 where there is none."""
    shape = tuple(len(axis.levels) for axis in dims)
    places = math.prod(shape)
    if places > _MOST_PLACES_PER_ROW * len(rows):
        sizes = " x ".join(f"{len(axis.levels)} {axis.name}" for axis in dims)
        raise BemsweepError(
            f"{len(rows):,} variants are no grid: one would have {places:,} places ({sizes}). "
            "Keep the dim 'variant': select rows with ds.isel(variant=...), compare levels with ds.groupby(...), "
            "or grid a selection that is one"
        )
    flat = np.ravel_multi_index(tuple(axis.codes for axis in dims), shape) if dims else np.zeros(len(rows), np.intp)
    nulls = np.sum([column.is_null[rows] for column in columns], axis=0)
    grid = np.full(places, -1, dtype=np.intp)
    worst_first = np.lexsort((-np.arange(len(rows)), -nulls))  # what is written last stands
    grid[flat[worst_first]] = rows[worst_first]
    return grid.reshape(shape)


def _gridded(variable: xr.Variable, grid: npt.NDArray[np.intp], dims: Sequence[str]) -> xr.Variable:
    """Return a variable with `dims` in the place of ``variant``, as lazy as it was."""
    fill, dtype = _fill(variable.dtype, has_holes=bool((grid < 0).any()))
    others = {dim: size for dim, size in variable.sizes.items() if dim != "variant"}
    sizes: dict[Any, int] = {**dict(zip(dims, grid.shape, strict=True)), **others}
    if variable.chunks is None:
        read = partial(_read, variable, grid, fill, dtype)
        return lazy_variable(sizes, dtype, read, attrs=variable.attrs)
    flat = grid.ravel()
    taken = variable.isel(variant=np.maximum(flat, 0))
    if (flat < 0).any():
        taken = taken.where(xr.Variable("variant", flat >= 0), fill)  # type: ignore[no-untyped-call]
    folded = taken.unstack(variant=dict(zip(dims, grid.shape, strict=True))) if dims else taken.isel(variant=0)
    return folded.transpose(*sizes)


def _fill(dtype: np.dtype[Any], *, has_holes: bool) -> tuple[Any, np.dtype[Any]]:
    """Return what stands in a hole, and the type that holds both it and values of type `dtype`."""
    if dtype.kind in "biu":
        return np.nan, np.dtype(np.float64) if has_holes else dtype
    if dtype.kind in "mM":
        return np.array("NaT", dtype=dtype)[()], dtype
    return (np.nan if dtype.kind in "fc" else ""), dtype


def _read(
    variable: xr.Variable, grid: npt.NDArray[np.intp], fill: Any, dtype: np.dtype[Any], picks: tuple[Pick, ...]
) -> npt.NDArray[Any]:
    """Read the part of a variable that is wanted of the grid; each row once, in their order in the store."""
    places = np.asarray(pick_outer(grid, picks[: grid.ndim]))
    rows, found_at = np.unique(places[places >= 0], return_inverse=True)
    others = dict(zip((dim for dim in variable.dims if dim != "variant"), picks[grid.ndim :], strict=True))
    is_run = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
    wanted: Any = slice(int(rows[0]), int(rows[-1]) + 1) if is_run else rows  # a slice costs less to read
    found = variable.isel({"variant": wanted, **others}).load().transpose("variant", ...).values
    values = np.full((places.size, *found.shape[1:]), fill, dtype=dtype)
    for place, row in zip(np.flatnonzero(places.ravel() >= 0), found_at, strict=True):
        values[place] = found[row]  # one by one: fancy indexing would hold everything twice
    return values.reshape(places.shape + found.shape[1:])


def _computed_coordinate(variable: xr.Variable, rows: npt.NDArray[np.intp], dims: Sequence[_Axis]) -> xr.Variable:
    """Return a computed parameter along only those dims that its values differ along."""
    values = variable.values[rows]
    table = pd.DataFrame(
        {"value": pd.Series(values.tolist(), dtype=object), **{axis.name: axis.codes for axis in dims}}
    )
    needed = list(dims)
    for axis in dims:
        fewer = [other for other in needed if other is not axis]
        names = [other.name for other in fewer]
        counts = table.groupby(names)["value"] if names else table.assign(all=0).groupby("all")["value"]
        if (counts.nunique(dropna=False) <= 1).all():
            needed = fewer
    fill, dtype = _fill(variable.dtype, has_holes=True)
    on_grid = np.full(tuple(len(axis.levels) for axis in needed), fill, dtype=dtype)
    on_grid[tuple(axis.codes for axis in needed)] = values if needed else values[0]
    return xr.Variable(tuple(axis.name for axis in needed), on_grid, variable.attrs)
