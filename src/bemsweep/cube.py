"""The cube: one Zarr store with the labelled results of a study.

Creates the cube, grows it and commits it; `bemsweep.packing` fills it. Readers see a commit, and only a
commit: the one write of the root's metadata, consolidated. Never decides what stands where
(`bemsweep.layout`) or how axes look (`bemsweep.coordinates`), and never opens a store itself.

Three rules keep the commit atomic. Whoever writes reads live metadata (``use_consolidated=False``), for the
consolidated copy is the readers'. An array is opened anew after every resize, for one opened before
accepts writes beyond its old shape and drops them. The root's attributes are written together with the
consolidated metadata that stands there, for without it readers fall back to live metadata.

Everything has a checksum: chunks by the codec ``crc32c``, so that whoever reads one that was altered is told, and
the root's metadata by one among its attributes, which `bemsweep.results` compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from bemsweep.coordinates import (
    CONVENTIONS,
    GROUP_COLUMNS,
    Variable,
    array_attributes,
    axes,
    column_attributes,
    design_day_texts,
    group_attributes,
    row_coordinates,
)
from bemsweep.cube_metadata import CUBE_SCHEMA, ROOT, SEAL, STATE, has_same_chunks, seal_of, why_unsound
from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.layout import BLOCK_ROWS, TABLE_COLUMNS, Array, Layout, chunks

__all__ = ["TABLE_CHUNK_ROWS", "Cube", "open_array", "read_layout", "why_differs"]

TABLE_CHUNK_ROWS = 16_384
"""Rows of the variant table in one object: a column of 100,000 rows takes seven requests."""

_AXIS_CHUNK = 1024
"""Least length of an axis's chunk, so that a key axis that grows stays in one object."""

_LENGTH = "variant_id"
"""Column of the root whose length is the cube's."""

_COMPRESSORS = (ZstdCodec(level=0, checksum=False), Crc32cCodec())
"""Of axes and columns: zarr's own default, with a checksum."""

_UNREADABLE = (ValueError, RuntimeError, LookupError, TypeError)
"""What zarr and its codecs raise of bytes that are not what they were."""

_DTYPES = {"text": "str", "number": "float64", "count": "int64"}
_FILL_VALUES: dict[str, Any] = {"text": "", "number": np.nan, "count": 0}


@dataclass
class Cube:
    """A study's cube, held by its only writer.

    Workers pack blocks meanwhile; everything else about the cube is written here.
    """

    store: Store
    """Where the cube's bytes live."""
    layout: Layout
    """Includes what has grown since the last commit."""
    attributes: dict[str, Any]
    """Global attributes, such as title, study and source."""
    blocks: dict[int, str] = field(default_factory=dict)
    """Digest of each block's content at the last commit, by number of the block."""
    lacks_columns: bool = False
    """True if an earlier version has committed it last, which knew fewer of `TABLE_COLUMNS`; `grow` adds the others."""
    _table_sha256: str = ""
    """Of the table at the last commit, with its statuses and timings: variants that are run again leave the same
    blocks, and no two commits may look alike to who keeps chunks."""
    _rows: int | None = field(default=None, repr=False)
    """Length of `variant` as this writer left it; None before it has looked."""
    _written: dict[tuple[str, int], bytes] = field(default_factory=dict, repr=False)
    """Digests of the table's chunks as written, so that a commit writes only what has changed."""

    @classmethod
    def create(cls, store: Store, layout: Layout, *, attributes: Mapping[str, Any] | None = None) -> Cube:
        """Write an empty cube, in place of whatever the store holds, and commit it.

        Parameters
        ----------
        store
            Where the cube lives; nothing else may.
        layout
            The arrays, axes and columns.
        attributes
            Global attributes: texts and numbers.

        Side effects
        ------------
        Deletes everything in `store`.
        """
        cube = cls(store, layout, dict(attributes or {}))
        zarr.create_group(store, overwrite=True, zarr_format=3)
        cube._write_structure(rows=0)
        cube._write_root(is_commit=True)
        return cube

    @classmethod
    def open(cls, store: Store) -> Cube | None:
        """Return the cube in `store` as it grew last, or None if there is none that is as it was written."""
        root = _read_root(store)
        if root is None or why_unsound(root):
            return None
        told = json.loads(root)
        state = json.loads(told["attributes"][STATE])
        lacks_columns = not told["consolidated_metadata"]["metadata"].keys() >= TABLE_COLUMNS.keys()
        blocks = {int(number): digest for number, digest in state["blocks"].items()}
        layout = Layout.from_dict(state["layout"])
        return cls(store, layout, state["attributes"], blocks, lacks_columns, _table_sha256=state.get("table", ""))

    @property
    def rows(self) -> int:
        """Length of `variant` as it is live; readers see that of the last commit."""
        if self._rows is None:
            self._rows = int(open_array(_open_live(self.store), _LENGTH).shape[0])
        return self._rows

    def table(self) -> pd.DataFrame:
        """Return the columns of `TABLE_COLUMNS` as of the last commit, read whole: a few requests in all.

        Those that an earlier version did not know are null.
        """
        root = zarr.open_group(self.store, mode="r", zarr_format=3, use_consolidated=True)
        rows = open_array(root, _LENGTH).shape[0]
        return pd.DataFrame(
            {
                name: np.asarray(open_array(root, name)[:]) if name in root else [_FILL_VALUES[kind]] * rows
                for name, kind in TABLE_COLUMNS.items()
            }
        )

    def why_wrong(self, table: pd.DataFrame) -> str:
        """Return what is wrong with metadata, axes and columns as they were committed; ``""`` if nothing is.

        Parameters
        ----------
        table
            What the parameters of the first rows are to be, in their own columns.
        """
        root = json.loads(_read_root(self.store) or b"{}")
        try:
            live = json.loads(json.dumps(self._consolidated()))
        except _UNREADABLE as error:
            return f"its metadata cannot be read: {error!r}"
        if live != root.get("consolidated_metadata"):
            return "its metadata differ from those of the last commit"
        return next(self._wrong(table), "")

    def _wrong(self, table: pd.DataFrame) -> Iterator[str]:
        """Yield what is wrong with each axis and column."""
        live = _open_live(self.store, mode="r")
        expected: dict[str, npt.NDArray[Any]] = {}
        for frequency in self.layout.frequencies:
            expected |= {f"{frequency}/{axis.name}": axis.values for axis in axes(self.layout, frequency)}
        for parameter in self.layout.parameters:
            if parameter.name in table:
                rows = table[parameter.name].iloc[: self.rows]
                expected[parameter.name] = _column_values(rows, parameter.kind)
        for name in (name for name in self._columns() if name in live):  # else an earlier version did not know it
            array = open_array(live, name)
            if why := why_differs(array, slice(len(expected.get(name, ()))), expected.get(name)):
                yield f"{name} {why}"
                return
            if name in row_coordinates(self.layout):
                expected |= {f"{group}/{name}": np.asarray(array[:]) for group in self.layout.frequencies}
        for name, values in expected.items():
            if "/" in name and (why := why_differs(open_array(live, name), ..., values)):
                yield f"{name} {why}"

    def grow(self, layout: Layout, *, attributes: Mapping[str, Any] | None = None) -> None:
        """Give every array, key and column of `layout` its place; packed values stay where they are.

        Parameters
        ----------
        layout
            Grown from the cube's own layout.
        attributes
            What the cube tells of itself from now on; None for what it told before.

        Side effects
        ------------
        Writes metadata and coordinates only. Readers see the old cube until the next commit; packing uses the
        new layout at once.
        """
        rows = self.rows
        self.layout = layout
        self.attributes = dict(self.attributes if attributes is None else attributes)
        self._write_structure(rows=rows)
        self._write_root(is_commit=False)

    def resize(self, rows: int) -> None:
        """Make everything along `variant` at least `rows` long.

        Side effects
        ------------
        Writes metadata only, of every array, or nothing if it is as long. Readers see the old length until the
        next commit.
        """
        if self.rows < rows:
            self._write_structure(rows=rows)

    def commit(self, table: pd.DataFrame, blocks: Mapping[int, str]) -> None:
        """Show readers the variant table and all blocks packed so far.

        Parameters
        ----------
        table
            Every row of the study in order, with the columns of `TABLE_COLUMNS` and the parameters. Null is
            missing: NaN in a number, 0 in a count, ``""`` in a text.
        blocks
            Digest of each packed block's content, kept for `open`.

        Raises
        ------
        ValueError
            The table lacks a column, or has another length than the cube.

        Side effects
        ------------
        Writes the changed parts of the table, then the root's metadata.
        """
        columns = self._columns()
        if missing := [name for name in columns if name not in table]:
            raise ValueError(f"the variant table lacks the columns {missing}; grow the cube by new parameters first")
        if len(table) != (rows := self.rows):
            raise ValueError(f"the variant table has {len(table)} rows, but the cube {rows}; resize the cube first")
        root = _open_live(self.store)
        for name, kind in columns.items():
            has_copies = name in row_coordinates(self.layout)
            groups = self.layout.frequencies if has_copies else ()
            self._write_column(
                root, [name, *(f"{group}/{name}" for group in groups)], _column_values(table[name], kind)
            )
        self.blocks = dict(blocks)
        self._table_sha256 = hashlib.sha256(b"".join(digest for _, digest in sorted(self._written.items()))).hexdigest()
        self._write_root(is_commit=True)

    def _columns(self) -> dict[str, str]:
        return {**TABLE_COLUMNS, **{parameter.name: parameter.kind for parameter in self.layout.parameters}}

    def _write_structure(self, *, rows: int) -> None:
        """Bring live metadata and axes up to the layout and `rows`; what is there already stays."""
        root = _open_live(self.store)
        columns = self._columns()
        for name, kind in columns.items():
            if name != _LENGTH:
                self._require_column(root, name, kind, rows=rows)
        for frequency in self.layout.frequencies:
            told = group_attributes(self.layout, self.attributes, frequency)
            group = root.get(frequency)
            if not isinstance(group, zarr.Group):
                group = root.create_group(frequency, attributes=told)
            elif dict(group.attrs) != told:
                group.attrs.put(told)
            for name in (*GROUP_COLUMNS, *(parameter.name for parameter in self.layout.parameters)):
                self._require_column(group, name, columns[name], rows=rows)
            for variable in axes(self.layout, frequency):
                _write_axis(group, variable)
            for name, attributes in design_day_texts(self.layout).items():
                days = self.layout.calendar.design_days
                _require(
                    group,
                    name,
                    shape=(rows, days),
                    dtype="str",
                    fill_value="",
                    chunks=(BLOCK_ROWS, days),
                    dims=("variant", "design_day"),
                    attributes=attributes,
                )
            for array in self.layout.arrays_of(frequency):
                self._require_array(group, array, rows=rows)
        # Last: were we killed before, `rows` tells the old length and the next resize does the rest.
        self._require_column(root, _LENGTH, columns[_LENGTH], rows=rows)
        self._rows = max(rows, self._rows or 0)

    def _require_column(self, group: zarr.Group, name: str, kind: str, *, rows: int) -> None:
        _require(
            group,
            name,
            shape=(rows,),
            dtype=_DTYPES[kind],
            fill_value=_FILL_VALUES[kind],
            chunks=(TABLE_CHUNK_ROWS,),
            dims=("variant",),
            attributes=column_attributes(self.layout, name, is_root=not group.path),
        )

    def _require_array(self, group: zarr.Group, array: Array, *, rows: int) -> None:
        labels = self.layout.key_labels(array)
        shard, inner = chunks(
            self.layout.inner_shape(array),
            None if labels is None else len(labels),
            itemsize=np.dtype(self.layout.dtype_of(array)).itemsize,
        )
        _require(
            group,
            array.name,
            shape=(rows, *self.layout.shape(array)),
            dtype=self.layout.dtype_of(array),
            fill_value=np.nan,
            chunks=inner,
            shards=None if shard == inner else shard,
            dims=self.layout.dims(array),
            attributes=array_attributes(self.layout, array),
            compressors=(BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()),
        )

    def _write_column(self, root: zarr.Group, paths: Sequence[str], values: npt.NDArray[Any]) -> None:
        """Write the chunks of a column that have changed into all of its copies."""
        for number, first in enumerate(range(0, len(values), TABLE_CHUNK_ROWS)):
            part = values[first : first + TABLE_CHUNK_ROWS]
            content = json.dumps(part.tolist()).encode() if part.dtype == object else part.tobytes()
            digest = hashlib.sha256(content).digest()
            for path in paths:
                if self._written.get((path, number)) != digest:
                    open_array(root, path)[first : first + len(part)] = part
                    self._written[path, number] = digest

    def _write_root(self, *, is_commit: bool) -> None:
        """Write the root's metadata: with the live metadata of all else, or with what readers see now.

        Raises
        ------
        StoreError
            The live metadata of an array are not what the array was made with.
        """
        data = _read_root(self.store)
        root: dict[str, Any] = {} if data is None else json.loads(data)
        state = {
            "schema": CUBE_SCHEMA,
            "layout": self.layout.to_dict(),
            "attributes": self.attributes,
            "blocks": {str(number): digest for number, digest in sorted(self.blocks.items())},
            "table": self._table_sha256,
        }
        # One text, not nested JSON: an attribute of that kind cannot be written to netCDF.
        text = json.dumps(state, separators=(",", ":"))
        root["attributes"] = {"Conventions": CONVENTIONS, **self.attributes, STATE: text}
        if is_commit:
            root["consolidated_metadata"] = self._consolidated()
        content = json.loads(json.dumps(root))  # as it will be read
        content["attributes"][SEAL] = seal_of(content)
        new = json.dumps(content, indent=2).encode()
        if not has_same_chunks(data, new):
            told = f"the metadata of an array of {self.store} are altered: run the study with --verify to pack it anew"
            raise StoreError(told, fault=Fault.ALTERED)
        prototype = default_buffer_prototype()
        sync(self.store.set(ROOT, prototype.buffer.from_bytes(new)))

    def _consolidated(self) -> dict[str, Any]:
        """Return all live metadata below the root, in the form that zarr-python and xarray share."""
        members = sorted(_open_live(self.store).members(max_depth=None), key=lambda one: (one[0].count("/"), one[0]))
        found = {path: node.metadata.to_dict() for path, node in members}
        for node in found.values():
            if node["node_type"] == "group":  # none of its own, which it must say
                node["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": {}}
        return {"kind": "inline", "must_understand": False, "metadata": found}


def read_layout(store: Store) -> Layout:
    """Return the layout of the cube in `store` as it grew last.

    Raises
    ------
    StoreError
        There is no cube.
    """
    root = _read_root(store)
    if root is None:
        raise StoreError(f"there is no cube in {store}; create it before packing")
    if why := why_unsound(root):
        raise StoreError(
            f"there is no cube that can be read in {store}, {why}: run the study again", fault=Fault.ALTERED
        )
    return Layout.from_dict(json.loads(json.loads(root)["attributes"][STATE])["layout"])


def _read_root(store: Store) -> bytes | None:
    data = sync(store.get(ROOT, default_buffer_prototype()))
    return None if data is None else data.to_bytes()


def _open_live(store: Store, *, mode: Any = "r+") -> zarr.Group:
    try:
        # The format is told, or zarr would look for those of other versions too.
        return zarr.open_group(store, mode=mode, zarr_format=3, use_consolidated=False)
    except FileNotFoundError as error:
        raise StoreError(f"the cube in {store} is gone: run again to pack it anew") from error


def open_array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """Return the array at `path` as it is live, if the group is.

    Raises
    ------
    StoreError
        There is no array.
    """
    array = group.get(path)
    if not isinstance(array, zarr.Array):
        raise StoreError(f"there is no array {path!r} in the cube {group.store}; delete the cube to pack it again")
    return array


def why_differs(array: zarr.Array[Any], where: Any, expected: npt.NDArray[Any] | None) -> str:
    """Return why a part of an array does not hold just these bits; ``""`` if it does.

    Parameters
    ----------
    array
        Of which part.
    where
        Which part.
    expected
        Its values; None for any, if all of it can be read.
    """
    try:
        found = np.asarray(array[where if expected is not None else ...])
    except _UNREADABLE as error:
        return f"cannot be read: {str(error).partition('.')[0]}"
    if expected is None:
        return ""
    if found.dtype.kind == "f":
        found, expected = found.view(f"u{found.itemsize}"), expected.astype(found.dtype).view(f"u{found.itemsize}")
    is_same = found.shape == expected.shape and bool((found == expected).all())
    return "" if is_same else "has other values than it was written with"


def _require(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dims: tuple[str, ...],
    attributes: Mapping[str, Any],
    **creation: Any,
) -> zarr.Array[Any]:
    """Return the array, created if need be, at least as long as `shape` and with just these attributes."""
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        creation = {"compressors": _COMPRESSORS, **creation}
        return group.create_array(name, shape=shape, dimension_names=dims, attributes=dict(attributes), **creation)
    longer = tuple(max(new, old) for new, old in zip(shape, array.shape, strict=True))
    if longer != array.shape:
        array.resize(longer)
    if dict(array.attrs) != attributes:
        array.attrs.put(dict(attributes))
    return array


def _write_axis(group: zarr.Group, variable: Variable) -> None:
    is_text = variable.values.dtype == object
    array = _require(
        group,
        variable.name,
        shape=variable.values.shape,
        dtype="str" if is_text else variable.values.dtype,
        fill_value="" if is_text else 0,
        chunks=(max(variable.values.shape[0], _AXIS_CHUNK), *variable.values.shape[1:]),
        dims=variable.dims,
        attributes=variable.attributes,
    )
    array[...] = variable.values


def _column_values(column: pd.Series[Any], kind: str) -> npt.NDArray[Any]:
    if kind == "text":
        return np.array(column.astype(object).where(column.notna(), "").map(str), dtype=object)
    numbers = pd.to_numeric(column).astype("float64")
    return numbers.to_numpy() if kind == "number" else numbers.fillna(0).to_numpy().astype(np.int64)
