"""What the rows along ``variant`` are: their parameters, and the levels these have.

Decides which coordinates of a group are parameters, what null stands for and which rows hold a level. Reads
coordinates only: never looks at an output's values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from bemsweep.design import LABELS
from bemsweep.errors import BemsweepError, nearest
from bemsweep.layout import TABLE_COLUMNS

__all__ = [
    "BASELINE",
    "Column",
    "coded_levels",
    "computed_names",
    "design_rows",
    "group_dataset",
    "level_text",
    "parameter_names",
    "read_columns",
    "reference_rows",
]

BASELINE = "baseline"
"""What the null level is called where no value is known for it."""

_STATE = "bemsweep"
"""Attribute of the root that only who writes the cube needs; see `bemsweep.cube`."""

_NULL_OF = {"multiply": 1.0, "add": 0.0}
"""What null means where levels are factors or summands, whatever the field's own value is."""


@dataclass(frozen=True)
class Column:
    """One parameter of the variant table, or the labels of baselines or weather files."""

    name: str
    """Its name in the study."""
    values: npt.NDArray[Any]
    """A value per row: float64, or texts of dtype object."""
    is_null: npt.NDArray[np.bool_]
    """True where the row leaves the parameter as in the baseline."""
    null_value: float | str | None
    """The level that null is equal to; None if it is not known."""

    @property
    def is_number(self) -> bool:
        """Whether levels are numbers."""
        return self.values.dtype.kind == "f"

    @property
    def null_label(self) -> str:
        """What the null level is called if `null_value` is not known: a label that no other level has."""
        return BASELINE if BASELINE not in self.values.tolist() else f"{BASELINE} (null)"

    def levels(self) -> list[Any]:
        """Return the levels but null: numbers ascending, texts in order of appearance."""
        given = dict.fromkeys(self.values[~self.is_null].tolist())
        return sorted(given) if self.is_number else list(given)

    def rows_at(self, level: float | str | None) -> npt.NDArray[np.bool_]:
        """Return which rows hold `level`.

        Parameters
        ----------
        level
            A level as the study gives it; None or NaN for null, which its value or label names, too, unless
            rows hold that explicitly.

        Raises
        ------
        BemsweepError
            No row holds it.
        """
        is_null = level is None or level == "" or (isinstance(level, float) and math.isnan(level))
        found = self.is_null if is_null else _equals(self.values, level) & ~self.is_null
        if not is_null and not found.any() and level in (self.null_value, self.null_label):
            found = self.is_null
        if not found.any():
            texts = [*([self.null_label] if self.is_null.any() else []), *map(level_text, self.levels())]
            hint = nearest(level_text(level), texts)
            raise BemsweepError(f"no variant has {self.name}={level_text(level)}{hint}; its levels: {', '.join(texts)}")
        return found


def coded_levels(column: Column, rows: npt.NDArray[np.intp]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return the levels that `rows` hold, null as what it stands for, and the number of each row's level.

    Numbers ascend, texts come in order of appearance. Where null is a level and no value is known for it,
    all are texts.
    """
    values, is_null = column.values[rows].tolist(), column.is_null[rows]
    named: list[Any]
    if is_null.any() and column.null_value is None:
        named = [column.null_label if null else level_text(value) for value, null in zip(values, is_null, strict=True)]
        in_order = [column.null_label, *map(level_text, column.levels())] if column.is_number else named
        levels = [level for level in dict.fromkeys(in_order) if level in set(named)]
    else:
        named = [column.null_value if null else value for value, null in zip(values, is_null, strict=True)]
        levels = sorted(set(named)) if column.is_number else list(dict.fromkeys(named))
    number = {level: position for position, level in enumerate(levels)}
    codes = np.array([number[level] for level in named], dtype=np.intp)
    return np.array(levels, dtype=object if isinstance(levels[0], str) else np.float64), codes


def level_text(level: float | str | None) -> str:
    """Return a level in words: ``8`` for 8.0, ``baseline`` for null."""
    if level is None or level == "" or (isinstance(level, float) and math.isnan(level)):
        return BASELINE
    return level if isinstance(level, str) else repr(float(level)).removesuffix(".0")


def group_dataset(results: xr.Dataset | xr.DataTree) -> xr.Dataset:
    """Return one group with variants in rows, as a Dataset without an index along ``variant``.

    Raises
    ------
    BemsweepError
        `results` is a tree of several groups, or has no dim ``variant``, or no variant.
    """
    if isinstance(results, xr.DataTree):
        if results.children:
            groups = ", ".join(f"tree[{name!r}]" for name in results.children)
            raise BemsweepError(f"these are results of several groups; choose one: {groups}")
        results = results.to_dataset()
    if "variant" not in results.dims:
        dims = ", ".join(map(str, results.dims)) or "none"
        raise BemsweepError(
            f"there is no dim 'variant' to tell variants apart by; the dims are: {dims}. "
            "Pass a group as open_results gives it, with variants chosen by isel(variant=[...])"
        )
    if "variant" in results.xindexes:
        results = _without_index(results)
    if not results.sizes["variant"]:
        raise BemsweepError("there are no variants in these results: none was chosen, or none is committed yet")
    # The writer's own state describes the whole cube, not what is made from it.
    attrs = {name: value for name, value in results.attrs.items() if name != _STATE}
    return results.drop_attrs(deep=False).assign_attrs(attrs)


def read_columns(ds: xr.Dataset) -> list[Column]:
    """Return the labels and then the parameters of a group in the study's order, without those computed from others."""
    return [_column(name, ds[name]) for name in parameter_names(ds) if not _is_computed(ds[name])]


def parameter_names(ds: xr.Dataset) -> list[str]:
    """Return the names of the labels, then of all parameters of a group, in the study's order if it is known."""
    # CF's attribute lists them in that order; xarray sorts coordinates by name.
    place = {name: number for number, name in enumerate(dict.fromkeys((*LABELS, *_told_coordinates(ds))))}
    return sorted((str(name) for name, _ in _parameters(ds)), key=lambda name: place.get(name, len(place)))


def computed_names(ds: xr.Dataset) -> list[str]:
    """Return the names of parameters that an expression computes from others."""
    return [str(name) for name, coordinate in _parameters(ds) if _is_computed(coordinate)]


def design_rows(columns: Sequence[Column]) -> npt.NDArray[np.intp]:
    """Return the rows that a design is made of: all, but references that are no point of it.

    A reference, whose parameters are all null, is a point of the design if null is a level of each
    parameter in the other rows, or if there is one parameter only.
    """
    rows = len(columns[0].values) if columns else 0
    others = np.ones(rows, dtype=bool)
    others[reference_rows(columns)] = False
    parameters = [column for column in columns if column.name not in LABELS]
    varied = [column for column in parameters if not column.is_null[others].all()]
    is_point = len(varied) <= 1 or all(_has_null(column, others) for column in varied)
    return np.arange(rows) if is_point else np.flatnonzero(others)


def reference_rows(columns: Sequence[Column]) -> npt.NDArray[np.intp]:
    """Return the rows that are references: all their parameters are null."""
    parameters = [column.is_null for column in columns if column.name not in LABELS]
    return np.flatnonzero(np.logical_and.reduce(parameters)) if parameters else np.array([], dtype=np.intp)


def _has_null(column: Column, rows: npt.NDArray[np.bool_]) -> bool:
    """Return whether null is a level of these rows, by itself or as the value it stands for."""
    return bool(column.is_null[rows].any() or _equals(column.values[rows], column.null_value).any())


def _without_index(ds: xr.Dataset) -> xr.Dataset:
    """Return a group with the coordinate that ``set_index`` made the index under its own name again."""
    ds = ds.reset_index("variant")
    if "variant" not in ds.coords:
        return ds
    missing = [name for name in _told_coordinates(ds) if name not in ds.variables]
    return ds.rename_vars(variant=missing[0]) if len(missing) == 1 else ds.drop_vars("variant")


def _told_coordinates(ds: xr.Dataset) -> list[str]:
    """Return the names of the coordinates as CF's attribute lists them, which xarray keeps with each array."""
    return next((str(text).split() for one in ds.data_vars.values() if (text := one.encoding.get("coordinates"))), [])


def _equals(values: npt.NDArray[Any], level: float | str | None) -> npt.NDArray[np.bool_]:
    return np.array([value in _spellings(level) for value in values.tolist()], dtype=bool)


def _spellings(level: float | str | None) -> tuple[Any, ...]:
    """Return `level` and, as texts have it where some levels are words, its texts."""
    if level is None or isinstance(level, str):
        return (level,)
    return (level, str(level)) if isinstance(level, (bool, np.bool_)) else (level, str(float(level)), level_text(level))


def _parameters(ds: xr.Dataset) -> list[tuple[Any, xr.DataArray]]:
    return [
        (name, coordinate)
        for name, coordinate in ds.coords.items()
        if coordinate.dims == ("variant",) and name not in TABLE_COLUMNS
    ]


def _is_computed(coordinate: xr.DataArray) -> bool:
    return "expression" in coordinate.attrs


def _column(name: str, coordinate: xr.DataArray) -> Column:
    value = coordinate.attrs.get("baseline_value")
    if coordinate.dtype.kind in "fiub":
        numbers = coordinate.values.astype(np.float64)
        null = _NULL_OF.get(coordinate.attrs.get("operation", ""), value)
        return Column(name, numbers, np.isnan(numbers), None if null is None else float(null))
    texts = np.array([str(text) for text in coordinate.values], dtype=object)
    return Column(name, texts, texts == "", value if isinstance(value, str) else None)
