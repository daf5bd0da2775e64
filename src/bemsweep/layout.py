"""Where each value of a study has its place in the cube.

Decides the cube's arrays, their dims and key axes, the variant table's columns and the sizes of shards
and chunks. Pure: never touches a store, and never looks at a value.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from bemsweep.errors import ConflictError, Problem, StudyError
from bemsweep.outputs import FIXED_LABELS, FREQUENCIES, Frequency
from bemsweep.periods import Calendar
from bemsweep.records import KeyKind, Method, Series
from bemsweep.reductions import is_reduced, source_array

__all__ = [
    "BLOCK_ROWS",
    "CHUNK_BYTES",
    "RESERVED_NAMES",
    "SHARD_BYTES",
    "TABLE_COLUMNS",
    "Array",
    "Layout",
    "Parameter",
    "ParameterKind",
    "Place",
    "chunks",
]

BLOCK_ROWS = 256
"""Rows of the variant table that are packed together."""

SHARD_BYTES = 256_000_000
"""Most that one object of the cube holds, raw."""

CHUNK_BYTES = 2_000_000
"""Most that must be decoded to read one value, raw."""

_KEYS_TO_GROW = 8
"""Key axes are chunked for at least as many keys, so that a zone that comes later finds room."""

TABLE_COLUMNS: Mapping[str, str] = {
    "variant_id": "text",
    "status": "text",
    "message": "text",
    "warnings": "count",
    "severe_errors": "count",
    "engine_s": "number",
    "cpu_s": "number",
    "total_s": "number",
    "memory_bytes": "count",
    "moved_bytes": "count",
    "worker": "text",
    "timeout_s": "number",
    "utc_offset": "number",
    "outputs_sha256": "text",
}
"""Columns of the variant table besides the parameters, and what they hold."""

_KEY_DIMS: tuple[KeyKind, ...] = ("zone", "space", "surface", "node", "schedule")

RESERVED_NAMES = frozenset(
    {
        *TABLE_COLUMNS,
        *_KEY_DIMS,
        *FREQUENCIES,
        *FIXED_LABELS,
        "variant",
        "time",
        "time_bounds",
        "bounds",
        "run_period",
        "design_day",
        "design_day_name",
        "design_day_date",
        "coordinates",
    }
)
"""What neither a parameter nor an output can be called, whatever the case of its letters."""

_NOT_IN_A_NAME = frozenset('/:\\*?"<>|')

ParameterKind = Literal["number", "text"]


@dataclass(frozen=True)
class Parameter:
    """One column of the variant table that the study varies."""

    name: str
    """The parameter's name in the study."""
    kind: ParameterKind
    """``number``: null is NaN; ``text``: null is ``""``."""
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the results tell of it, such as ``long_name`` and ``units``; JSON values only."""


@dataclass(frozen=True)
class Array:
    """One output variable or meter at one reporting frequency, or single numbers of a run."""

    name: str
    """Name of the array in its group."""
    frequency: Frequency
    """Reporting frequency, the name of the group."""
    long_name: str
    """EnergyPlus's exact name."""
    units: str
    """EnergyPlus's own unit."""
    method: Method
    """How a value stands for its interval."""
    key_dim: str = ""
    """Dim of the key values; ``""`` if there are none."""
    fixed_dims: str = ""
    """Dims whose labels are the same in every study, separated by blanks; only without time."""

    @property
    def has_time(self) -> bool:
        """False if there is one number, or one for each fixed label or design day, for the whole run."""
        return self.method in ("mean", "sum")


@dataclass(frozen=True)
class Place:
    """Where one series stands."""

    array: Array
    """The array that holds the series."""
    key: int | None
    """Position along the key axis; None if the array has none."""


@dataclass(frozen=True)
class Layout:
    """Everything about the cube but its values and its length."""

    calendar: Calendar
    """The instants that all variants share."""
    parameters: tuple[Parameter, ...] = ()
    """Columns of the variant table that the study varies, in order."""
    arrays: tuple[Array, ...] = ()
    """Outputs in all groups, in order of appearance."""
    keys: Mapping[tuple[Frequency, str], tuple[str, ...]] = field(default_factory=dict)
    """Labels of each key axis, by frequency and dim, in the model's spelling."""
    dtype: Literal["float64", "float32"] = "float64"
    """Type of the outputs' values."""

    def __post_init__(self) -> None:
        problems = [Problem(text) for text in _name_problems(self)]
        if problems:
            raise StudyError(problems)

    @property
    def frequencies(self) -> tuple[Frequency, ...]:
        """Reporting frequencies that have outputs, finest first."""
        used = {array.frequency for array in self.arrays}
        return tuple(frequency for frequency in FREQUENCIES if frequency in used)

    def arrays_of(self, frequency: Frequency) -> tuple[Array, ...]:
        """Return the arrays of one group."""
        return tuple(array for array in self.arrays if array.frequency == frequency)

    def key_axes_of(self, frequency: Frequency) -> dict[str, tuple[str, ...]]:
        """Return the labels of each key dim of one group."""
        return {dim: labels for (group, dim), labels in self.keys.items() if group == frequency}

    def key_labels(self, array: Array) -> tuple[str, ...] | None:
        """Return the labels along the array's key axis; None if it has none."""
        return self.keys[array.frequency, array.key_dim] if array.key_dim else None

    def dims(self, array: Array) -> tuple[str, ...]:
        """Return the names of the array's dims, `variant` first."""
        days = ("design_day",) if self.has_design_days(array) else ()
        time = ("time",) if array.has_time else ()
        return ("variant", *((array.key_dim,) if array.key_dim else ()), *days, *time, *array.fixed_dims.split())

    def has_design_days(self, array: Array) -> bool:
        """Return True if the array has a value of its own for each design day."""
        return bool(self.calendar.design_days) and (array.has_time or is_reduced(array.method))

    def shape(self, array: Array) -> tuple[int, ...]:
        """Return the lengths of the array's dims without `variant`."""
        labels = self.key_labels(array)
        return (*(() if labels is None else (len(labels),)), *self.inner_shape(array))

    def inner_shape(self, array: Array) -> tuple[int, ...]:
        """Return the lengths of the array's last dims: those of days and time, or the fixed ones; none of a number."""
        if array.has_time:
            return self.calendar.shape(array.frequency)
        if self.has_design_days(array):
            return (self.calendar.design_days,)
        return tuple(len(FIXED_LABELS[dim]) for dim in array.fixed_dims.split())

    def dtype_of(self, array: Array) -> Literal["float64", "float32"]:
        """Return the type of the array's values; minutes since 1970 do not fit into float32."""
        return "float64" if array.method == "moment" else self.dtype

    def find(self, series: Series) -> Place | None:
        """Return where `series` stands, or None if it has no place yet; its values are ignored.

        Raises
        ------
        ConflictError
            The array of that name holds something else.
        """
        array = self._by_name.get((series.frequency, series.output))
        if array is None:
            return None
        _refuse_conflict(array, series)
        if not array.key_dim:
            return Place(array, None)
        position = self._key_positions[array.frequency, array.key_dim].get(series.key.casefold())
        return None if position is None else Place(array, position)

    def grow(self, series: Iterable[Series]) -> Layout:
        """Return the layout with every array and key that `series` need, added at the end.

        An array's key dim is what its keys are when it first appears (``zone``, ``space``, ``surface``,
        ``node``, ``schedule``), or ``<array>_key`` if they are of no or mixed kind; all reductions of a series have
        that of the series. Later keys of another kind still go to that axis. Keys are compared without
        regard to case and never sorted.

        Parameters
        ----------
        series
            What variants report; values are ignored.

        Raises
        ------
        ConflictError
            Two different things under one array name.
        StudyError
            An array has the name of something else in its group.
        """
        members: dict[tuple[Frequency, str], list[Series]] = {}
        for one in series:
            members.setdefault((one.frequency, one.output), []).append(one)
        arrays = dict(self._by_name)
        labels: dict[tuple[Frequency, str], dict[str, str]] = {
            axis: {label.casefold(): label for label in names} for axis, names in self.keys.items()
        }
        for name, group in members.items():
            array = arrays.setdefault(name, _array(group))
            for one in group:
                _refuse_conflict(array, one)
                if array.key_dim:
                    labels.setdefault((array.frequency, array.key_dim), {}).setdefault(one.key.casefold(), one.key)
        keys = {axis: tuple(names.values()) for axis, names in labels.items()}
        return dataclasses.replace(self, arrays=tuple(arrays.values()), keys=keys)

    def grow_to(self, wanted: Layout, series: Iterable[Series]) -> Layout:
        """Return this layout with a place for all that another expects.

        Parameters
        ----------
        wanted
            The other.
        series
            What is reported there, without values.

        Raises
        ------
        ConflictError
            It cannot grow to that: another calendar, number format, or kind of parameter.
        """
        calendar, other = self.calendar, wanted.calendar
        if calendar.steps_per_hour is None or other.steps_per_hour is None:
            steps = calendar.steps_per_hour or other.steps_per_hour
            calendar, other = (
                dataclasses.replace(calendar, steps_per_hour=steps),
                dataclasses.replace(other, steps_per_hour=steps),
            )
        if calendar != other or self.dtype != wanted.dtype:
            raise ConflictError("it has another calendar or number format")
        return dataclasses.replace(self, calendar=calendar).grow(series).grow_parameters(wanted.parameters)

    def grow_parameters(self, parameters: Iterable[Parameter]) -> Layout:
        """Return the layout with the columns of new `parameters` added at the end.

        Raises
        ------
        ConflictError
            A parameter holds another kind of value than the cube's column of that name.
        StudyError
            A parameter has the name of something else in the cube.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for parameter in parameters:
            kind = known.get(parameter.name, parameter).kind
            known[parameter.name] = parameter
            if kind != parameter.kind:
                raise ConflictError(
                    f"parameter {parameter.name!r} holds {parameter.kind} values, but the study's cube has it "
                    f"as {kind}; give the parameter or the study another name"
                )
        return dataclasses.replace(self, parameters=tuple(known.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as plain values for JSON."""
        return {
            "calendar": self.calendar.to_dict(),
            "parameters": [[one.name, one.kind, dict(one.attributes)] for one in self.parameters],
            "arrays": [list(dataclasses.astuple(array)) for array in self.arrays],
            "keys": [[frequency, dim, list(labels)] for (frequency, dim), labels in self.keys.items()],
            "dtype": self.dtype,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Layout:
        """Return the layout that `to_dict` wrote."""
        return cls(
            calendar=Calendar.from_dict(data["calendar"]),
            parameters=tuple(Parameter(*parameter) for parameter in data["parameters"]),
            arrays=tuple(Array(*array) for array in data["arrays"]),
            keys={(frequency, dim): tuple(labels) for frequency, dim, labels in data["keys"]},
            dtype=data["dtype"],
        )

    @cached_property
    def _by_name(self) -> dict[tuple[Frequency, str], Array]:
        return {(array.frequency, array.name): array for array in self.arrays}

    @cached_property
    def _key_positions(self) -> dict[tuple[Frequency, str], dict[str, int]]:
        return {
            axis: {label.casefold(): number for number, label in enumerate(labels)}
            for axis, labels in self.keys.items()
        }


def chunks(inner: Sequence[int], keys: int | None, *, itemsize: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of a shard and of the inner chunks that divide it.

    A shard takes a whole block of rows and as many keys as fit; an inner chunk as many rows as fit, then
    keys. The last dim is cut only if a block of a single series does not fit into a shard.

    Parameters
    ----------
    inner
        Lengths of the last dims: ``(time,)``, ``(design_day, time)``, or the fixed ones of what has no time.
    keys
        Number of keys so far; None if the array has no key dim.
    itemsize
        Bytes of one value.

    Returns
    -------
    tuple
        The shard's shape and the inner chunk's, each ``(variant, [key], *inner)``.

    Examples
    --------
    >>> chunks((8760,), 119, itemsize=8)
    ((256, 8, 8760), (16, 1, 8760))
    """
    row_bytes = math.prod(inner) * itemsize
    if BLOCK_ROWS * row_bytes > SHARD_BYTES:
        longest = max(1, SHARD_BYTES // (BLOCK_ROWS * itemsize * math.prod(inner[:-1])))
        pieces = math.ceil(inner[-1] / longest)
        inner = (*inner[:-1], math.ceil(inner[-1] / pieces))
        row_bytes = math.prod(inner) * itemsize
    rows = _power_of_two_up_to(CHUNK_BYTES // row_bytes, most=BLOCK_ROWS)
    if keys is None:
        return (BLOCK_ROWS, *inner), (rows, *inner)
    most = 1 << (max(keys, _KEYS_TO_GROW) - 1).bit_length()
    shard_keys = _power_of_two_up_to(SHARD_BYTES // (BLOCK_ROWS * row_bytes), most=most)
    chunk_keys = _power_of_two_up_to(CHUNK_BYTES // (rows * row_bytes), most=shard_keys)
    return (BLOCK_ROWS, shard_keys, *inner), (rows, chunk_keys, *inner)


def _power_of_two_up_to(number: int, *, most: int) -> int:
    """Return the largest power of two that exceeds neither `number` nor `most`, at least 1."""
    return 1 << (max(1, min(number, most)).bit_length() - 1)


def _array(series: Sequence[Series]) -> Array:
    """Return the array for all `series` of one output, seen for the first time."""
    kinds = {one.key_kind for one in series}
    kind = kinds.pop() if len(kinds) == 1 else "other"
    first = series[0]
    is_fixed = kind != "" and set(kind.split()) <= set(FIXED_LABELS)
    source = source_array(first.output, first.method)  # all reductions of one series share its axis
    return Array(
        name=first.output,
        frequency=first.frequency,
        long_name=first.name,
        units=first.units,
        method=first.method,
        key_dim="" if is_fixed else kind if kind in ("", *_KEY_DIMS) else f"{source}_key",
        fixed_dims=kind if is_fixed else "",
    )


def _refuse_conflict(array: Array, series: Series) -> None:
    where = f"array {array.name!r} at {array.frequency} frequency"
    has = (array.long_name.casefold(), array.units, array.method)
    wants = (series.name.casefold(), series.units, series.method)
    if has != wants:
        raise ConflictError(
            f"{where} holds {array.long_name!r} [{array.units}] ({array.method}), but a variant reports "
            f"{series.name!r} [{series.units}] ({series.method}) under that name; name one of them with 'as:'"
        )
    if series.key and not array.key_dim:
        raise ConflictError(
            f"{where} has no key axis, but a variant reports {series.name!r} for the key {series.key!r}; "
            "give that output another name with 'as:'"
        )


def _name_problems(layout: Layout) -> Iterator[str]:
    """Yield what is wrong with names; those of one group must differ even where case is ignored."""
    parameters = [parameter.name for parameter in layout.parameters]
    for name in parameters:
        if any(character.isspace() for character in name):
            yield f"parameter {name!r} has a blank in its name; write it with '_'"
    yield from _clashes("parameter", parameters, RESERVED_NAMES)
    for frequency in layout.frequencies:
        arrays = layout.arrays_of(frequency)
        names = [array.name for array in arrays]
        dims = sorted({array.key_dim for array in arrays} - {"", *_KEY_DIMS})
        yield from _clashes("output", names, (*RESERVED_NAMES, *parameters))
        yield from _clashes("key axis", dims, (*RESERVED_NAMES, *parameters, *names))


def _clashes(what: str, names: Iterable[str], taken: Iterable[str]) -> Iterator[str]:
    seen = {name.casefold() for name in taken}
    for name in names:
        if not name.strip(".") or name.startswith("__") or not _NOT_IN_A_NAME.isdisjoint(name):
            yield f"{what} {name!r} cannot name an array of the cube; use letters, digits and '_'"
        elif name.casefold() in seen:
            yield f"{what} {name!r} has the name of something else in the cube; give it another name"
        seen.add(name.casefold())
