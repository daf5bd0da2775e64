"""The bytes of a record: one Parquet file, a row per series, the outcome as JSON in its metadata.

Decides how a record is written and what counts as a sound one. Whatever is cut, altered or of another
schema is refused; nothing read from a record is ever executed or unpickled. Where records are kept is
the store's affair. Kept apart from `bemsweep.records` because the engine's host imports that one, and
pyarrow starts threads, which a process that forks must not have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bemsweep.errors import RecordError
from bemsweep.records import RECORD_SCHEMA, Record, Series

__all__ = ["RecordFile", "from_bytes", "to_bytes"]

_FACTS = b"bemsweep"
_FACTS_CRC32 = b"bemsweep_crc32"
_FACT_NAMES = tuple(f.name for f in dataclasses.fields(Record) if f.name != "series")
_DESCRIPTIONS = tuple(f.name for f in dataclasses.fields(Series) if f.name != "values")
_ARROW_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in _DESCRIPTIONS),
        pa.field("values", pa.list_(pa.field("element", pa.float64(), nullable=False)), nullable=False),
    ]
)
_ROW_GROUP_BYTES = 600_000
"""Raw bytes after which a row group ends: eight hourly series of a year, what one shard of the cube takes."""
_NO_VALUES = np.empty(0, dtype=np.float64)


def to_bytes(record: Record) -> bytes:
    """Return `record` as the bytes of a Parquet file.

    Parameters
    ----------
    record
        What is known of the variant. Its provenance holds JSON values only, its texts are valid Unicode.

    Raises
    ------
    ValueError, TypeError
        The provenance or a number cannot be written as JSON, or a text not as UTF-8.
    """
    facts = {name: getattr(record, name) for name in _FACT_NAMES}
    facts["lengths"] = [len(series.values) for series in record.series]
    text = _canonical_json({"schema": RECORD_SCHEMA, **facts})
    metadata = {_FACTS: text, _FACTS_CRC32: str(zlib.crc32(text)).encode()}
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        _ARROW_SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        column_encoding={"values.list.element": "BYTE_STREAM_SPLIT"},
        write_page_checksum=True,
        write_statistics=False,
        store_schema=False,
    ) as writer:
        for group in _row_groups(record.series):
            writer.write_table(_table(group), row_group_size=len(group))
        writer.add_key_value_metadata(metadata)
    return sink.getvalue()


def from_bytes(data: bytes, variant_id: str = "") -> Record:
    """Return the record whose file holds `data`, values and all.

    Parameters
    ----------
    data
        The bytes of the file.
    variant_id
        As for `RecordFile`.

    Raises
    ------
    RecordError
        The file is cut, altered, of another schema or of another variant.
    """
    file = RecordFile(io.BytesIO(data), variant_id)
    record = file.header()
    values = dict(file.values(range(len(record.series))))
    series = (dataclasses.replace(one, values=values[n]) for n, one in enumerate(record.series))
    return dataclasses.replace(record, series=tuple(series))


class RecordFile:
    """A record's file, read in parts.

    Parameters
    ----------
    file
        Seekable and open for reading; it stays the caller's to close.
    variant_id
        Whose record it is to be, as its name tells; ``""`` for anybody's.

    Raises
    ------
    RecordError
        The file is no sound record. Errors of `file` itself, such as a broken connection, pass unchanged.
    """

    def __init__(self, file: BinaryIO, variant_id: str = "") -> None:
        self._file = _WatchedFile(file)
        self._variant_id = variant_id
        with self._refusing():
            self._parquet = pq.ParquetFile(self._file, page_checksum_verification=True)
            self._groups = [self._parquet.metadata.row_group(n).num_rows for n in range(self._parquet.num_row_groups)]
        self._facts = self._read_facts()

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self._file.seek(0, io.SEEK_END)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of values of each series."""
        return tuple(self._facts["lengths"])

    def header(self) -> Record:
        """Return the record with the descriptions of its series, whose values are left out (empty).

        Raises
        ------
        RecordError
            The file is no sound record.
        """
        with self._refusing():
            rows = self._parquet.read(list(_DESCRIPTIONS), use_threads=False).to_pylist()
        self._check_count(len(rows), len(self.lengths))
        series = tuple(Series(**row, values=_NO_VALUES) for row in rows)
        # Facts that this version does not know are passed over, those that another did not know have their default.
        facts = {name: self._facts[name] for name in _FACT_NAMES if name in self._facts}
        for name in ("design_day_names", "design_day_dates"):
            facts[name] = tuple(facts[name])
        return Record(**facts, series=series)

    def values(self, positions: Sequence[int]) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Yield the position and values of each wanted series, in the order of the file.

        Only the row groups that hold a wanted series are read, one after the other.

        Parameters
        ----------
        positions
            Positions in ``header().series``.

        Raises
        ------
        RecordError
            The file is no sound record.
        """
        wanted = sorted(set(positions))
        first = 0
        for number, rows in enumerate(self._groups):
            here = [position for position in wanted if first <= position < first + rows]
            if here:
                with self._refusing():
                    column = self._parquet.read_row_group(number, ["values"], use_threads=False).column(0)
                    lists = column.combine_chunks()
                    offsets = lists.offsets.to_numpy()
                    flat = lists.values.to_numpy(zero_copy_only=True)
                self._check_count(len(lists), rows)
                for position in here:
                    begin, end = offsets[position - first : position - first + 2]
                    self._check_count(end - begin, self.lengths[position], of=f"values of series {position}")
                    yield position, flat[begin:end]
            first += rows

    def _read_facts(self) -> dict[str, Any]:
        metadata = self._parquet.metadata.metadata or {}
        if _FACTS not in metadata:
            raise RecordError("this Parquet file is not a record: it has no 'bemsweep' metadata")
        text = metadata[_FACTS]
        if metadata.get(_FACTS_CRC32) != str(zlib.crc32(text)).encode():
            raise RecordError("altered: its metadata does not match its checksum")
        facts: dict[str, Any] = json.loads(text)
        if facts.get("schema") != RECORD_SCHEMA:
            raise RecordError(
                f"of schema {facts.get('schema')!r}; this bemsweep reads schema {RECORD_SCHEMA}. "
                "Run the study again, or use the bemsweep that wrote it"
            )
        if not self._parquet.schema_arrow.equals(_ARROW_SCHEMA, check_metadata=False):
            raise RecordError(f"altered: its columns are {self._parquet.schema_arrow.names}")
        if self._variant_id not in ("", facts.get("variant_id")):
            raise RecordError(f"of another variant, {facts.get('variant_id')!r}")
        self._check_count(sum(self._groups), len(facts["lengths"]))
        return facts

    @staticmethod
    def _check_count(found: int, expected: int, *, of: str = "series") -> None:
        if found != expected:
            raise RecordError(f"altered: it holds {found} {of}, not {expected}")

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn pyarrow's complaints about the bytes into RecordError, but not those of the file itself."""
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if self._file.error is not None:
                raise self._file.error from None
            raise RecordError(f"cut or altered: {error}") from error


class _WatchedFile:
    """Passes reads on and keeps the error of a failed one: pyarrow raises OSError for bad bytes, too."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    @property
    def closed(self) -> bool:
        return self._file.closed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            self.error = error
            raise

    def close(self) -> None:
        """Leave the file to its owner."""


def _canonical_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _row_groups(series: Sequence[Series]) -> Iterator[Sequence[Series]]:
    """Yield runs of series that hold about `_ROW_GROUP_BYTES` together."""
    first, size = 0, 0
    for number, one in enumerate(series):
        if size and size + one.values.nbytes > _ROW_GROUP_BYTES:
            yield series[first:number]
            first, size = number, 0
        size += one.values.nbytes
    if series:
        yield series[first:]


def _table(series: Sequence[Series]) -> pa.Table:
    offsets = np.cumsum([0, *(len(one.values) for one in series)], dtype=np.int32)
    flat = np.concatenate([np.asarray(one.values, dtype=np.float64) for one in series])
    element = _ARROW_SCHEMA.field("values").type
    values = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), type=element)
    texts = [pa.array([getattr(one, name) for one in series], pa.string()) for name in _DESCRIPTIONS]
    return pa.Table.from_arrays([*texts, values], schema=_ARROW_SCHEMA)
