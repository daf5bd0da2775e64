"""`contrast`: what one level of a parameter does against another, all else equal.

Decides which variants are pairs: those that differ in nothing but one parameter. Never reads an output's
values before they are used, and never fills in for a variant that is missing or failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from bemsweep.errors import BemsweepError, nearest
from bemsweep.layout import TABLE_COLUMNS
from bemsweep.lazy_arrays import Pick, lazy_variable
from bemsweep.levels import Column, group_dataset, level_text, read_columns

__all__ = ["contrast"]

Level = float | str | None

Results = TypeVar("Results", xr.Dataset, xr.DataTree)
"""What is given and what is returned."""


def contrast(results: Results, parameter: str, first: Level, second: Level) -> Results:
    """Return the differences, `second` minus `first`, of variants that differ in nothing but `parameter`.

    Parameters
    ----------
    results
        A group of results, or the tree that `open_results` returns.
    parameter
        The parameter to compare levels of, or ``"weather"`` or ``"baseline"``.
    first
        The level to compare with; None for null, "as in the baseline".
    second
        The other level.

    Returns
    -------
    xarray.Dataset or xarray.DataTree
        What was given, lazy as it was, with a row per pair. Coordinates are the other parameters,
        ``variant_id_first``, ``variant_id_second``, ``status_first`` and ``status_second``. The attributes
        ``contrast_column`` and ``contrast_values`` say what is compared; ``unpaired`` names, a line each, the
        variants with one of the two levels that have no partner, ``""`` if there are none. NaN in either variant
        is NaN in the difference.

    Raises
    ------
    BemsweepError
        There is no such parameter or level, no pair, or two variants are the same point.

    Shape
    -----
    ``(pair, ...)`` in the place of ``(variant, ...)``.

    Units
    -----
    Those of the outputs; a difference of temperatures is in K.

    Examples
    --------
    >>> ds = xr.Dataset(
    ...     {"gas": ("variant", [4.0, 3.0, 2.0])},
    ...     {"lighting": ("variant", [8.0, 6.0, 8.0]), "glazing": ("variant", ["double", "double", "triple"])},
    ... )
    >>> found = contrast(ds, "glazing", "double", "triple")
    >>> found.gas.values, found.lighting.values, found.unpaired
    (array([-2.]), array([8.]), 'glazing=double, lighting=6')
    """
    if isinstance(results, xr.Dataset):
        return _contrast(group_dataset(results), parameter, first, second)
    nodes = {node.path: node.to_dataset(inherit=not results.children) for node in results.subtree}
    groups = {path: ds for path, ds in nodes.items() if "variant" in ds.dims}
    if not groups:
        raise BemsweepError("no group has a dim 'variant'; pass the tree that open_results returns")
    found = {path: _contrast(group_dataset(ds), parameter, first, second) for path, ds in groups.items()}
    return xr.DataTree.from_dict(found) if results.children else xr.DataTree(found[results.path])


def _contrast(ds: xr.Dataset, parameter: str, first: Level, second: Level) -> xr.Dataset:
    columns = {column.name: column for column in read_columns(ds)}
    if parameter not in columns:
        names = ", ".join(columns) or "none"
        raise BemsweepError(f"there is no parameter {parameter!r}{nearest(parameter, columns)}; there are: {names}")
    column = columns.pop(parameter)
    others = list(columns.values())
    one, two = (_by_point(others, np.flatnonzero(column.rows_at(level)), parameter) for level in (first, second))
    words = level_text(first), level_text(second)
    if one == two:
        raise BemsweepError(f"{words[0]} and {words[1]} are the same level of {parameter!r}; give two different ones")
    points = [point for point in one if point in two]
    lonely = [*((words[0], one[point]) for point in one if point not in two)]
    lonely += [(words[1], two[point]) for point in two if point not in one]
    unpaired = [_name(ds, others, parameter, word, row) for word, row in sorted(lonely, key=lambda pair: pair[1])]
    if not points:
        listed = "\n".join(f"  {name}" for name in unpaired[:5])
        raise BemsweepError(
            f"no two variants differ in nothing but {parameter}, {words[0]} and {words[1]}; "
            f"without a partner:\n{listed}"
        )
    rows = _Rows(np.array([one[point] for point in points]), np.array([two[point] for point in points]))
    found = _differences(ds, rows, " minus ".join(reversed(words)))
    pairs = _coordinates(ds, rows, [other.name for other in others], parameter)
    told = {"contrast_column": parameter, "contrast_values": list(words), "unpaired": "\n".join(unpaired)}
    return xr.Dataset(found, pairs, {**ds.attrs, **told})


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of all pairs."""

    first: npt.NDArray[np.intp]
    """Rows that hold the first level."""
    second: npt.NDArray[np.intp]
    """Their partners."""


def _by_point(others: Sequence[Column], rows: npt.NDArray[np.intp], parameter: str) -> dict[tuple[Any, ...], int]:
    """Return the row at each point of the other parameters."""
    found: dict[tuple[Any, ...], int] = {}
    for row in rows.tolist():
        point = tuple(None if other.is_null[row] else other.values[row] for other in others)
        if point in found:
            raise BemsweepError(
                f"variants {found[point]} and {row}, {_point_text(others, row) or 'without other parameters'}, have "
                f"the same level of {parameter!r}; contrast one study at a time, with all of its parameters"
            )
        found[point] = row
    return found


def _point_text(others: Iterable[Column], row: int) -> str:
    return ", ".join(f"{other.name}={level_text(other.values[row])}" for other in others)


def _name(ds: xr.Dataset, others: Sequence[Column], parameter: str, word: str, row: int) -> str:
    point = _point_text((other for other in others if len(set(other.values.tolist())) > 1), row)
    told = f"{parameter}={word}, {point}" if point else f"{parameter}={word}"
    return f"{told} ({str(ds.variant_id.values[row])[:12]})" if "variant_id" in ds else told


def _differences(ds: xr.Dataset, rows: _Rows, words: str) -> dict[Any, xr.Variable]:
    """Return the difference of each output of numbers; what has no `variant` stays."""
    found = {}
    for name, output in ds.data_vars.items():
        if "variant" not in output.dims:
            found[name] = output.variable
        elif output.dtype.kind in "fiu" and name not in TABLE_COLUMNS:
            attrs = {**output.attrs, "long_name": f"{output.attrs.get('long_name', name)}, {words}"}
            if attrs.get("units") == "degC":
                attrs["units"] = "K"  # a difference is no point on the Celsius scale
            found[name] = _difference(output.variable, rows, attrs)
    return found


def _difference(variable: xr.Variable, rows: _Rows, attrs: dict[Any, Any]) -> xr.Variable:
    if variable.chunks is not None:
        difference: xr.Variable = variable.isel(variant=rows.second) - variable.isel(variant=rows.first)
        renamed = ["pair" if dim == "variant" else dim for dim in variable.dims]
        return xr.Variable(renamed, difference.data, attrs)
    sizes = {"pair" if dim == "variant" else dim: size for dim, size in variable.sizes.items()}
    sizes["pair"] = len(rows.first)
    return lazy_variable(sizes, variable.dtype, partial(_read, variable, rows), attrs=attrs)


def _read(variable: xr.Variable, rows: _Rows, picks: tuple[Pick, ...]) -> npt.NDArray[Any]:
    """Read the part of both sides that is wanted and return the difference."""
    wanted = dict(zip(variable.dims, picks, strict=True))
    pairs = wanted.pop("variant")
    first, second = (
        np.asarray(variable.isel({"variant": side[pairs], **wanted}).values) for side in (rows.first, rows.second)
    )
    difference: npt.NDArray[Any] = np.subtract(second, first)
    return difference


def _coordinates(ds: xr.Dataset, rows: _Rows, others: Sequence[str], parameter: str) -> xr.Coordinates:
    """Return what describes the pairs: other parameters, ids, statuses and whatever both sides share."""
    kept: dict[Any, Any] = {name: value for name, value in ds.coords.items() if "variant" not in value.dims}
    for name, coordinate in ds.coords.items():
        if name == parameter or "variant" not in coordinate.dims:
            continue
        dims = ["pair" if dim == "variant" else dim for dim in coordinate.dims]
        first, second = (
            xr.Variable(dims, coordinate.variable.isel(variant=side).values, coordinate.attrs)
            for side in (rows.first, rows.second)
        )
        if name in ("variant_id", "status"):
            kept |= {f"{name}_first": first, f"{name}_second": second}
        elif name in others or first.equals(second):  # type: ignore[no-untyped-call]
            kept[name] = first
    return xr.Coordinates(kept)
