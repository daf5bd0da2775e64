"""What tables of results look like: their columns and their rows, a few variants at a time.

Decides names, types and order of the columns of wide and long tables. Writes nothing (`bemsweep.export`
does), and never holds more of a study than one piece and the labels of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xarray as xr

from bemsweep.layout import BLOCK_ROWS, TABLE_COLUMNS

__all__ = ["Table", "long_table", "tiles", "variants_table", "wide_table"]

_TILE_BYTES = 32_000_000
"""Most that is read at once, but at least one variant."""

_BATCH_CELLS = 2_000_000
"""Cells of a table that are written at once."""

_ROW_DIMS = ("variant", "design_day", "time")
"""Dims that become rows of a wide table; all others become columns."""

_LEFT_OUT = frozenset({"variant_id", "utc_offset"})
"""Coordinates that stand in the table of variants only: long, or of no use in every row."""

_NUMBERS = "fiub"
"""numpy's kinds of what a long table has in its column ``value``; all else is in ``text``."""

_VALUES = ("value", "text")
"""Columns of a long table that hold the values."""


@dataclass(frozen=True)
class _Label:
    """A column that says what a row is: a dim's labels, a parameter, a status."""

    dims: tuple[str, ...]
    """Dims of the coordinate."""
    shape: tuple[int, ...]
    """Their lengths."""
    values: pa.Array
    """The values, flat."""

    def at(self, places: Mapping[str, npt.NDArray[np.intp]], first: int) -> pa.Array:
        """Return the values of rows, given by their place along each dim; null if the rows lack one.

        Places along `variant` are counted from `first`.
        """
        if not set(self.dims) <= places.keys():
            return pa.nulls(len(places["variant"]), self.values.type)
        found = [places[dim] + first if dim == "variant" else places[dim] for dim in self.dims]
        return self.values.take(pa.array(np.ravel_multi_index(found, self.shape)))


@dataclass(frozen=True)
class Table:
    """A table that is made as it is written."""

    schema: pa.Schema
    """Names, types and units of the columns."""
    batches: Callable[[], Iterator[pa.RecordBatch]]
    """Yields the rows, in order."""


def tiles(variables: Iterable[xr.Variable]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of variants to read `variables` by."""
    variables = list(variables)
    length = variables[0].sizes["variant"]
    size = sum(variable.nbytes for variable in variables) // max(1, length)
    rows = 1 << (max(1, min(BLOCK_ROWS, _TILE_BYTES // max(1, size))).bit_length() - 1)
    yield from pairwise([*range(0, length, rows), length])


def _read(variable: xr.Variable, first: int, end: int, dims: Sequence[str]) -> npt.NDArray[Any]:
    # Loaded before it is turned: xarray would look up every value of a turned lazy array by itself.
    return variable.isel(variant=slice(first, end)).load().transpose(*dims).to_numpy()


def variants_table(root: xr.Dataset) -> Table:
    """Return the table of variants, whose results have `root` as their root: parameters, status, message, timings."""
    names = [str(name) for name, one in root.variables.items() if one.dims == ("variant",)]
    table = [*(name for name in _in_order(root, names) if name not in TABLE_COLUMNS), *TABLE_COLUMNS]
    columns = {"variant": _arrow(np.arange(root.sizes["variant"]))}
    columns |= {name: _arrow(root[name].to_numpy()) for name in table if name in names}
    fields = [_field(name, values.type, root[name].attrs) for name, values in columns.items() if name != "variant"]
    schema = pa.schema([pa.field("variant", pa.int64()), *fields], _facts(root))
    return Table(schema, lambda: iter([pa.record_batch(list(columns.values()), schema=schema)]))


def wide_table(dataset: xr.Dataset) -> Table:
    """Return a group's table with a row per variant and time and a column per variable and key."""
    variables = {str(name): array.variable for name, array in dataset.data_vars.items()}
    dims = [dim for dim in _ROW_DIMS if any(dim in variable.dims for variable in variables.values())]
    labels = _labels(dataset, dims)
    fields = [pa.field(name, label.values.type) for name, label in labels.items()]
    for name, variable in variables.items():
        kind = _arrow(np.empty(0, variable.dtype)).type
        fields += [_field(column, kind, variable.attrs) for column in _column_names(dataset, name, variable)]
    schema = pa.schema(fields, _facts(dataset))
    return Table(schema, lambda: _wide_batches(dataset, dims, labels, schema))


def _wide_batches(
    dataset: xr.Dataset, dims: Sequence[str], labels: Mapping[str, _Label], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    variables = [array.variable for array in dataset.data_vars.values()]
    along = [[dim for dim in dims if dim in variable.dims] for variable in variables]
    for first, end in tiles(variables):
        arrays = [
            _read(variable, first, end, [*rows, *(str(dim) for dim in variable.dims if dim not in rows)])
            for variable, rows in zip(variables, along, strict=True)
        ]
        shape = (end - first, *(dataset.sizes[dim] for dim in dims[1:]))
        for places in _places(dims, shape, width=len(schema)):
            columns = [label.at(places, first) for label in labels.values()]
            for array, rows in zip(arrays, along, strict=True):
                values = array[tuple(places[dim] for dim in rows)]
                columns += [_arrow(column) for column in values.reshape(len(values), -1).T]
            yield pa.record_batch(columns, schema=schema)


def long_table(dataset: xr.Dataset) -> Table:
    """Return a group's table with a row per value."""
    variables = [array.variable for array in dataset.data_vars.values()]
    keys = dict.fromkeys(str(dim) for one in variables for dim in one.dims if dim not in _ROW_DIMS)
    labels = _labels(dataset, ["variant", *keys, *(dim for dim in _ROW_DIMS[1:] if dim in dataset.sizes)])
    of_variant = [name for name, label in labels.items() if label.dims == ("variant",)]
    numbers = {one.dtype for one in variables if one.dtype.kind in _NUMBERS}
    fields = [
        *(pa.field(name, labels[name].values.type) for name in of_variant),
        *(pa.field(name, pa.string()) for name in ("variable", "units")),
        *(pa.field(name, label.values.type) for name, label in labels.items() if name not in of_variant),
        pa.field("value", pa.float32() if numbers == {np.dtype("float32")} else pa.float64()),
        *([] if len(numbers) == len({one.dtype for one in variables}) else [pa.field("text", pa.string())]),
    ]
    schema = pa.schema(fields, _facts(dataset))
    return Table(schema, lambda: _long_batches(dataset, labels, schema))


def _long_batches(dataset: xr.Dataset, labels: Mapping[str, _Label], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for name, array in dataset.data_vars.items():
        dims = [str(dim) for dim in array.dims]
        value = "value" if array.dtype.kind in _NUMBERS else "text"
        for first, end in tiles([array.variable]):
            values = _read(array.variable, first, end, dims)
            for places in _places(dims, values.shape, width=len(schema)):
                part = values[tuple(places[dim] for dim in dims)]
                found = {column: label.at(places, first) for column, label in labels.items()}
                found |= {
                    column: pa.nulls(len(part), schema.field(column).type)
                    for column in _VALUES
                    if column in schema.names
                }
                found[value] = _arrow(part).cast(schema.field(value).type)
                found["variable"] = pa.repeat(pa.scalar(str(name)), len(part))
                found["units"] = pa.repeat(pa.scalar(array.attrs.get("units"), pa.string()), len(part))
                yield pa.record_batch([found[column] for column in schema.names], schema=schema)


def _places(dims: Sequence[str], shape: Sequence[int], *, width: int) -> Iterator[dict[str, npt.NDArray[np.intp]]]:
    """Yield a few rows at a time: the place of each along every dim, the last dim fastest."""
    step, length = max(1, _BATCH_CELLS // width), int(np.prod(shape))
    for first in range(0, length, step):
        rows = np.arange(first, min(first + step, length))
        yield dict(zip(dims, np.unravel_index(rows, tuple(shape)), strict=True))


def _labels(dataset: xr.Dataset, dims: Sequence[str]) -> dict[str, _Label]:
    """Return the columns that tell what a row is: of each dim its labels, then what else is known along it."""
    found: dict[str, xr.Variable] = {}
    coordinates = {name: dataset.coords[name].variable for name in _in_order(dataset, map(str, dataset.coords))}
    for position, dim in enumerate(dims, start=1):
        found[dim] = coordinates.get(dim, xr.Variable((dim,), np.arange(dataset.sizes[dim])))
        for name, coordinate in coordinates.items():
            if dim in coordinate.dims and set(coordinate.dims) <= set(dims[:position]) and name not in _LEFT_OUT:
                found.setdefault(name, coordinate)
    return {
        name: _Label(tuple(map(str, one.dims)), one.shape, _arrow(one.to_numpy().reshape(-1)))
        for name, one in found.items()
    }


def _in_order(dataset: xr.Dataset, names: Iterable[str]) -> list[str]:
    """Return names in the order that the cube's variables tell, in which the study has its parameters; status last."""
    told = next(
        (one.encoding["coordinates"] for one in dataset.variables.values() if "coordinates" in one.encoding), ""
    )
    order = {name: number for number, name in enumerate(str(told).split())}
    return sorted(names, key=lambda name: (name == "status", order.get(name, -1)))


def _column_names(dataset: xr.Dataset, name: str, variable: xr.Variable) -> list[str]:
    """Return the names of a variable's columns in a wide table, as EnergyPlus's own CSV has them."""
    keys = [dim for dim in variable.dims if dim not in _ROW_DIMS]
    labels = [dataset[dim].to_numpy() for dim in keys]
    units = f" [{variable.attrs['units']}]" if variable.attrs.get("units") else ""
    places = np.ndindex(*(len(one) for one in labels))
    return [":".join([*(str(labels[n][i]) for n, i in enumerate(place)), f"{name}{units}"]) for place in places]


def _arrow(values: npt.NDArray[Any]) -> pa.Array:
    """Return values as Arrow has them: what is missing is null, a duration is a time of day, an empty text is null."""
    if values.dtype.kind == "f":
        return pa.array(np.ascontiguousarray(values), from_pandas=True)
    if values.dtype.kind in "iub":
        return pa.array(np.ascontiguousarray(values))
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[s]"))
    if values.dtype.kind == "m":
        return pa.array(values.astype("timedelta64[s]").astype(np.int32), pa.int32()).cast(pa.time32("s"))
    return pa.array([None if text is None or text == "" else str(text) for text in values.tolist()], pa.string())


def _field(name: str, kind: pa.DataType, attributes: Mapping[Any, Any]) -> pa.Field:
    told = {key: str(attributes[key]) for key in ("long_name", "units", "cell_methods") if key in attributes}
    return pa.field(name, kind, metadata=told or None)


def _facts(dataset: xr.Dataset) -> dict[str, str]:
    return {name: str(dataset.attrs[name]) for name in ("title", "study", "source") if name in dataset.attrs}
