"""Packing: the records of one block of rows become one block of the cube.

Streams: at any time it holds the rows of a few shards, never those of a whole variable, and of a record only
the series that go there. Never decides what stands where, and never commits: readers see a block only
after `bemsweep.cube.Cube.commit`. Blocks can be packed in any order and by several processes at once,
each block by one of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from zarr.abc.store import Store

from bemsweep.coordinates import design_day_texts
from bemsweep.cube import open_array, read_layout, why_differs
from bemsweep.errors import ConflictError, RecordError, StoreError
from bemsweep.layout import BLOCK_ROWS, TABLE_COLUMNS, Array, Layout, Place
from bemsweep.record_file import RecordFile
from bemsweep.records import Record

__all__ = ["OpenRecord", "Packed", "compare", "pack"]

OpenRecord = Callable[[], BinaryIO]
"""Opens a record's file for reading; it is closed after use."""

_WHY_LENGTH = 60
"""What is told of a record that cannot be read; the answer of a task stays small."""

_MOST_NAMED = 16

_BUFFER_BYTES = 256_000_000
"""What is held at a time, raw, while it is put together; at least one shard."""


@dataclass(frozen=True)
class Packed:
    """What became of a block."""

    unknown: tuple[str, ...]
    """variant_ids, at most 16, with series that have no place in the cube yet; if any, nothing was written."""
    unreadable: Mapping[int, str]
    """Rows, at most 16, whose record cannot be read or does not fit the calendar, and why; they were packed as
    missing."""
    facts: pd.DataFrame
    """A line per finished row: ``row`` and the columns of `TABLE_COLUMNS`."""


@dataclass(frozen=True)
class _Source:
    """One row's record, and where its series go."""

    offset: int
    """Row, counted from the block's first."""
    open_record: OpenRecord
    record: Record
    """Without its series, and with its own size among the bytes moved."""
    places: Sequence[Place]
    """Of each series, in the order of the record."""


@dataclass(frozen=True)
class _Tile:
    """What one shard holds of an array."""

    array: Array
    keys: slice
    """Along the key dim; the first and only one if the array has none."""
    last: slice
    """Along the last dim, of time or of fixed labels; the first and only one if there is none."""
    shape: tuple[int, ...]
    """Lengths of the tile: keys and last dims."""

    def holds(self, place: Place) -> bool:
        """Return True if the values at `place` belong here."""
        return place.array == self.array and self.keys.start <= (place.key or 0) < self.keys.stop

    def put(self, place: Place, values: npt.NDArray[np.float64], row: npt.NDArray[Any]) -> None:
        """Copy a series into one row of the tile's buffer."""
        row[(place.key or 0) - self.keys.start] = values.reshape(*self.shape[1:-1], -1)[..., self.last]

    def write(self, target: zarr.Array[Any], rows: slice, buffer: npt.NDArray[Any]) -> None:
        """Write the rows of a block into the live array."""
        where, values = self._at(target, rows, buffer)
        target[where] = values

    def why_differs(self, target: zarr.Array[Any], rows: slice, buffer: npt.NDArray[Any]) -> str:
        """Return ``""`` if the live array holds just these bits in these rows."""
        return why_differs(target, *self._at(target, rows, buffer))

    def _at(self, target: zarr.Array[Any], rows: slice, buffer: npt.NDArray[Any]) -> tuple[Any, npt.NDArray[Any]]:
        """Return where the rows stand in the live array and their values, without the dims that it lacks."""
        keys = (self.keys,) if self.array.key_dim else ()
        has_last = target.ndim > 1 + len(keys)
        inner = (*[slice(None)] * len(self.shape[1:-1]), self.last) if has_last else ()
        values = buffer if has_last else buffer[..., 0]
        return (rows, *keys, *inner), values if keys else values[:, 0]


def pack(
    store: Store,
    first_row: int,
    open_records: Sequence[OpenRecord | None],
    *,
    variant_ids: Sequence[str] | None = None,
) -> Packed:
    """Write the records of the rows from `first_row` on into the cube.

    Parameters
    ----------
    store
        The cube's, created and long enough.
    first_row
        A multiple of `BLOCK_ROWS`.
    open_records
        For each row of the block what opens its record; None for a variant that is not finished, which
        becomes missing values.
    variant_ids
        Whose records these are to be; one of another variant cannot be read. None not to ask.

    Returns
    -------
    Packed
        If `unknown` is not empty, grow the cube and pack again; if `unreadable` is not empty, delete those
        records, run the variants and pack again.

    Raises
    ------
    ValueError
        These rows are no block.
    StoreError
        There is no cube, or it is shorter than the block needs.
    ConflictError
        A record reports another variable under the name of one of the cube's arrays.

    Side effects
    ------------
    Writes whole shards of all arrays for these rows. Opens each record once, and once more for every
    256 MB of the block.
    """
    rows = slice(first_row, first_row + len(open_records))
    if first_row % BLOCK_ROWS or not 0 < len(open_records) <= BLOCK_ROWS:
        raise ValueError(f"rows {rows.start} to {rows.stop} are no block of {BLOCK_ROWS} rows or the start of one")
    layout = read_layout(store)
    expected = [""] * len(open_records) if variant_ids is None else list(variant_ids)
    sources, unknown, unreadable = _read_headers(layout, open_records, expected)
    if not unknown:
        group = zarr.open_group(store, mode="r+", zarr_format=3, use_consolidated=False)
        for name, texts in _design_days(layout, len(open_records), sources).items():
            open_array(group, name)[rows] = texts
        for tile, target, buffer in _shards(group, layout, rows, sources, unreadable):
            tile.write(target, rows, buffer)
    return Packed(
        unknown=tuple(unknown[:_MOST_NAMED]),
        unreadable={first_row + offset: unreadable[offset] for offset in sorted(unreadable)[:_MOST_NAMED]},
        facts=_facts(first_row, [source for source in sources if source.offset not in unreadable]),
    )


def compare(
    store: Store, first_row: int, open_records: Sequence[OpenRecord | None], *, variant_ids: Sequence[str]
) -> tuple[str, pd.DataFrame]:
    """Compare the records of the rows from `first_row` on with what the cube holds, to the last bit.

    Parameters
    ----------
    store, first_row, open_records, variant_ids
        As for `pack`.

    Returns
    -------
    tuple
        What differs or cannot be read, ``""`` if nothing; and the `Packed.facts` of the block.

    Raises
    ------
    StoreError
        There is no cube that can be read, or it cannot be reached.
    """
    rows = slice(first_row, first_row + len(open_records))
    layout = read_layout(store)
    sources, unknown, unreadable = _read_headers(layout, open_records, variant_ids)
    facts = _facts(first_row, sources)
    if unknown or unreadable:
        return "its records are not those that were packed", facts
    group = zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)
    for name, texts in _design_days(layout, len(open_records), sources).items():
        if why := why_differs(open_array(group, name), rows, texts):
            return f"{name} {why}", facts
    for tile, target, buffer in _shards(group, layout, rows, sources, unreadable):
        for first in range(0, len(buffer), step := target.chunks[0]):
            part = slice(first_row + first, min(first_row + first + step, rows.stop))
            if why := tile.why_differs(target, part, buffer[first : first + step]):
                return f"{target.path} {why}", facts
    return ("its records are not those that were packed" if unreadable else ""), facts


def _shards(
    group: zarr.Group, layout: Layout, rows: slice, sources: Sequence[_Source], unreadable: dict[int, str]
) -> Iterator[tuple[_Tile, zarr.Array[Any], npt.NDArray[Any]]]:
    """Yield each shard of the block with its array and its values; enter into `unreadable` what cannot be read."""
    count = rows.stop - rows.start
    targets = {array: _open_target(group, layout, array, rows.stop) for array in layout.arrays}
    for tiles in _passes(_tiles(layout, targets), row_bytes=count * np.dtype(layout.dtype).itemsize):
        buffers = [np.full((count, *tile.shape), np.nan, dtype=layout.dtype_of(tile.array)) for tile in tiles]
        unreadable |= _fill(tiles, buffers, [source for source in sources if source.offset not in unreadable])
        for tile, buffer in zip(tiles, buffers, strict=True):
            is_moment = tile.array.method == "moment"
            yield tile, targets[tile.array], layout.calendar.place(buffer) if is_moment else buffer


def _read_headers(
    layout: Layout, open_records: Sequence[OpenRecord | None], variant_ids: Sequence[str]
) -> tuple[list[_Source], list[str], dict[int, str]]:
    """Return every record's places, the variants that have series without one, and why rows cannot be read."""
    sources: list[_Source] = []
    unknown: list[str] = []
    unreadable: dict[int, str] = {}
    # Most variants of a study report the same series: one list of places serves them all.
    shared: dict[tuple[Place | None, ...], tuple[Place, ...]] = {}
    for offset, open_record in enumerate(open_records):
        if open_record is None:
            continue
        try:
            with contextlib.closing(open_record()) as file:
                reader = RecordFile(file, variant_ids[offset])
                record, size_bytes = reader.header(), reader.size_bytes
            found = tuple(layout.find(series) for series in record.series)
        except (RecordError, ConflictError) as error:
            unreadable[offset] = _why(error)
            continue
        places = shared.setdefault(found, tuple(place for place in found if place is not None))
        if len(places) < len(found):
            unknown.append(record.variant_id)
        elif not _fits(layout, record, places, reader.lengths):
            unreadable[offset] = "it does not fit the study's calendar"
        else:
            sources.append(_Source(offset, open_record, _as_moved(record, size_bytes), places))
    return sources, unknown, unreadable


def _as_moved(record: Record, size_bytes: int) -> Record:
    """Return a record without its series, whose own size is among the bytes moved, which it cannot tell itself."""
    moved_bytes = None if record.moved_bytes is None else record.moved_bytes + size_bytes
    return dataclasses.replace(record, series=(), moved_bytes=moved_bytes)


def _why(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0][:_WHY_LENGTH]


def _fits(layout: Layout, record: Record, places: Sequence[Place], lengths: Sequence[int]) -> bool:
    """Return True if the record has as many values and design days as the calendar."""
    calendar = layout.calendar
    has_days = max(len(record.design_day_names), len(record.design_day_dates)) <= calendar.design_days
    return has_days and all(
        length == math.prod(layout.inner_shape(place.array)) for place, length in zip(places, lengths, strict=True)
    )


def _open_target(group: zarr.Group, layout: Layout, array: Array, rows: int) -> zarr.Array[Any]:
    """Return the live array; zarr would drop what is written beyond its end without a word."""
    target = open_array(group, f"{array.frequency}/{array.name}")
    needed = (rows, *layout.shape(array))
    if any(length < need for length, need in zip(target.shape, needed, strict=True)):
        raise StoreError(f"array {target.path!r} has shape {target.shape}, the block needs {needed}; resize the cube")
    return target


def _tiles(layout: Layout, targets: Mapping[Array, zarr.Array[Any]]) -> Iterator[_Tile]:
    """Yield the shards of all arrays that one block touches, as the live arrays are cut."""
    for array, target in targets.items():
        shard = target.shards or target.chunks
        *whole, length = layout.inner_shape(array) or (1,)
        labels = layout.key_labels(array)
        count, step = (1, 1) if labels is None else (len(labels), shard[1])
        for key, first in itertools.product(range(0, count, step), range(0, length, shard[-1])):
            keys, last = slice(key, min(key + step, count)), slice(first, min(first + shard[-1], length))
            yield _Tile(array, keys, last, (keys.stop - keys.start, *whole, last.stop - last.start))


def _passes(tiles: Iterator[_Tile], *, row_bytes: int) -> Iterator[list[_Tile]]:
    """Yield runs of tiles that fit into `_BUFFER_BYTES` together."""
    run: list[_Tile] = []
    size = 0
    for tile in tiles:
        tile_bytes = math.prod(tile.shape) * row_bytes
        if run and size + tile_bytes > _BUFFER_BYTES:
            yield run
            run, size = [], 0
        run.append(tile)
        size += tile_bytes
    if run:
        yield run


def _fill(tiles: Sequence[_Tile], buffers: Sequence[npt.NDArray[Any]], sources: Sequence[_Source]) -> dict[int, str]:
    """Put what the records hold for these tiles into the buffers; return why rows cannot be read."""
    unreadable: dict[int, str] = {}
    wanted: dict[int, dict[int, list[int]]] = {}
    for source in sources:
        positions = wanted.get(id(source.places))
        if positions is None:
            positions = wanted[id(source.places)] = _positions(tiles, source.places)
        if not positions:
            continue
        try:
            with contextlib.closing(source.open_record()) as file:
                for position, values in RecordFile(file).values(list(positions)):
                    for number in positions[position]:
                        tiles[number].put(source.places[position], values, buffers[number][source.offset])
        except RecordError as error:
            unreadable[source.offset] = _why(error)
            for buffer in buffers:
                buffer[source.offset] = np.nan
    return unreadable


def _positions(tiles: Sequence[_Tile], places: Sequence[Place]) -> dict[int, list[int]]:
    """Return which tiles each series goes to; series that go to none are left out."""
    found = {
        position: [number for number, tile in enumerate(tiles) if tile.holds(place)]
        for position, place in enumerate(places)
    }
    return {position: numbers for position, numbers in found.items() if numbers}


def _design_days(layout: Layout, count: int, sources: Sequence[_Source]) -> dict[str, npt.NDArray[Any]]:
    """Return the names and dates of the block's design days by the path of their array."""
    texts = {"design_day_name": "design_day_names", "design_day_date": "design_day_dates"}
    found = {}
    for frequency, name in itertools.product(layout.frequencies, design_day_texts(layout)):
        values = np.full((count, layout.calendar.design_days), "", dtype=object)
        for source in sources:
            given = getattr(source.record, texts[name])
            values[source.offset, : len(given)] = given
        found[f"{frequency}/{name}"] = values
    return found


def _facts(first_row: int, sources: Sequence[_Source]) -> pd.DataFrame:
    lines = []
    for source in sources:
        line: dict[str, Any] = {"row": first_row + source.offset}
        for column in TABLE_COLUMNS:
            value = getattr(source.record, "utc_offset_h" if column == "utc_offset" else column)
            line[column] = 0 if value is None and TABLE_COLUMNS[column] == "count" else value
        lines.append(line)
    frame = pd.DataFrame(lines, columns=["row", *TABLE_COLUMNS])
    kinds = {"text": "str", "number": "float64", "count": "int64"}
    return frame.astype({"row": "int64", **{column: kinds[kind] for column, kind in TABLE_COLUMNS.items()}})
