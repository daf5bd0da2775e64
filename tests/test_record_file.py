"""The bytes of a record: exact, readable in parts, and refused when they are not sound."""

from __future__ import annotations

import dataclasses
import io
import json
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bemsweep import record_file
from bemsweep.errors import RecordError
from bemsweep.record_file import RecordFile, from_bytes, to_bytes
from bemsweep.records import Record, Series

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
ANY_DOUBLE = hnp.arrays(np.uint64, st.integers(0, 40)).map(lambda bits: bits.view(np.float64))
SERIES = st.builds(
    Series,
    output=TEXTS,
    frequency=st.sampled_from(["hourly", "annual"]),
    key=TEXTS,
    key_kind=st.sampled_from(["", "zone", "other"]),
    name=TEXTS,
    units=TEXTS,
    method=st.sampled_from(["mean", "sum"]),
    values=ANY_DOUBLE,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.builds(
    Record,
    variant_id=st.text("0123456789abcdef", min_size=64, max_size=64),
    status=st.sampled_from(["succeeded", "failed", "timed_out"]),
    message=TEXTS,
    warnings=st.integers(0, 10**6),
    engine_s=st.floats(0, 1e6),
    memory_bytes=st.integers(0, 2**45),
    timeout_s=st.none() | st.floats(0, 1e6),
    utc_offset_h=st.floats(-12, 14),
    design_day_names=st.lists(TEXTS, max_size=3).map(tuple),
    provenance=st.dictionaries(TEXTS, JSON, max_size=3),
    series=st.lists(SERIES, max_size=5).map(tuple),
)


def facts(record):
    return dataclasses.replace(record, series=())


def descriptions(record):
    return [dataclasses.replace(series, values=None) for series in record.series]


def is_same(one, other):
    return (
        facts(one) == facts(other)
        and descriptions(one) == descriptions(other)
        and all(a.values.tobytes() == b.values.tobytes() for a, b in zip(one.series, other.series, strict=True))
    )


def hourly(count, *, length=8760):
    rng = np.random.default_rng(1)
    return tuple(
        Series(
            "t", "hourly", f"ZONE {number}", "zone", "Zone Mean Air Temperature", "C", "mean", rng.normal(size=length)
        )
        for number in range(count)
    )


RECORD = Record("ab" * 32, "succeeded", message="é", timeout_s=60.0, provenance={"a": [1, None]}, series=hourly(20))


@given(RECORDS)
@settings(max_examples=60, deadline=None)
def test_round_trip_is_exact_to_the_bit(record):
    data = to_bytes(record)
    assert is_same(from_bytes(data), record)
    assert to_bytes(record) == data


def test_special_values_keep_their_bits():
    payload = np.array([0x7FF8DEADBEEF0001, 0xFFF0000000000001], dtype=np.uint64).view(np.float64)
    values = np.concatenate([payload, [np.inf, -np.inf, -0.0, 5e-324, np.nan]])
    series = dataclasses.replace(hourly(1)[0], values=values)
    found = from_bytes(to_bytes(Record("0" * 64, "succeeded", series=(series,))))
    assert found.series[0].values.tobytes() == values.tobytes()


def test_facts_of_a_run_come_and_go_without_another_schema(monkeypatch):
    known = record_file._FACT_NAMES
    told = dataclasses.replace(RECORD, cpu_s=1.5, moved_bytes=7, worker="here/0")
    monkeypatch.setattr(record_file, "_FACT_NAMES", [name for name in known if name not in ("cpu_s", "worker")])
    older, read_by_older = to_bytes(told), from_bytes(to_bytes(told))
    monkeypatch.setattr(record_file, "_FACT_NAMES", known)
    found = from_bytes(older)
    assert (found.cpu_s, found.moved_bytes, found.worker) == (None, 7, "")
    assert facts(found) == facts(read_by_older)
    assert facts(dataclasses.replace(found, cpu_s=1.5, worker="here/0")) == facts(told)


def test_an_older_version_passes_over_what_it_does_not_know(monkeypatch):
    data = to_bytes(dataclasses.replace(RECORD, worker="here/0"))
    monkeypatch.setattr(record_file, "_FACT_NAMES", [name for name in record_file._FACT_NAMES if name != "worker"])
    assert is_same(from_bytes(data), RECORD)


def test_header_describes_series_without_their_values():
    file = RecordFile(io.BytesIO(to_bytes(RECORD)))
    header = file.header()
    assert facts(header) == facts(RECORD)
    assert descriptions(header) == descriptions(RECORD)
    assert all(len(series.values) == 0 for series in header.series)
    assert file.lengths == (8760,) * 20


class CountingFile(io.BytesIO):
    count = 0

    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data


def test_chosen_series_are_read_without_the_rest():
    data = to_bytes(Record("0" * 64, "succeeded", series=hourly(119)))
    file = CountingFile(data)
    found = dict(RecordFile(file).values([100, 3]))
    assert list(found) == [3, 100]
    for position, values in found.items():
        np.testing.assert_array_equal(values, hourly(119)[position].values)
    assert file.count < len(data) / 4


def test_other_tools_read_it():
    table = pq.read_table(io.BytesIO(to_bytes(RECORD)))
    assert table.column_names == ["output", "frequency", "key", "key_kind", "name", "units", "method", "values"]
    assert table.to_pandas()["key"][3] == "ZONE 3"
    np.testing.assert_array_equal(table.to_pandas()["values"][3], RECORD.series[3].values)
    metadata = json.loads(pq.read_metadata(io.BytesIO(to_bytes(RECORD))).metadata[b"bemsweep"])
    assert (metadata["schema"], metadata["variant_id"]) == (record_file.RECORD_SCHEMA, RECORD.variant_id)


def test_values_are_packed_well():
    hours = np.arange(8760)
    values = np.round(20 + 5 * np.sin(hours / 24), 3)
    data = to_bytes(Record("0" * 64, "succeeded", series=(dataclasses.replace(hourly(1)[0], values=values),)))
    column = pq.read_metadata(io.BytesIO(data)).row_group(0).column(7)
    assert "BYTE_STREAM_SPLIT" in column.encodings
    assert column.compression == "ZSTD"


def test_provenance_that_is_not_json_is_refused():
    with pytest.raises(TypeError):
        to_bytes(Record("0" * 64, "failed", provenance={"a": object()}))
    with pytest.raises(ValueError, match="JSON"):
        to_bytes(Record("0" * 64, "failed", provenance={"a": float("nan")}))


SMALL = Record("cd" * 32, "succeeded", message="x", series=hourly(3, length=24))
SMALL_BYTES = to_bytes(SMALL)


@given(st.integers(0, len(SMALL_BYTES) - 1))
@settings(max_examples=150, deadline=None)
def test_a_cut_record_is_refused(length):
    with pytest.raises(RecordError):
        from_bytes(SMALL_BYTES[:length])


@pytest.mark.parametrize("mask", [1, 64])
def test_no_altered_byte_alters_the_record(monkeypatch, mask):
    monkeypatch.setattr(record_file, "_ROW_GROUP_BYTES", 400)
    whole = to_bytes(SMALL)
    refused = 0
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= mask
        try:
            assert is_same(from_bytes(bytes(data)), SMALL)
        except RecordError:
            refused += 1
    assert refused > 0.7 * len(whole)


def test_an_altered_value_is_refused():
    column = pq.read_metadata(io.BytesIO(SMALL_BYTES)).row_group(0).column(7)
    data = bytearray(SMALL_BYTES)
    data[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    with pytest.raises(RecordError, match="CRC"):
        from_bytes(bytes(data))


def rewritten(metadata, table=None):
    """Return a Parquet file like a record's, with other metadata."""
    sink = io.BytesIO()
    table = pq.read_table(io.BytesIO(SMALL_BYTES)) if table is None else table
    text = json.dumps(metadata).encode()
    crc = str(zlib.crc32(text)).encode()
    pq.write_table(table.replace_schema_metadata({b"bemsweep": text, b"bemsweep_crc32": crc}), sink)
    return sink.getvalue()


def metadata_of_small():
    return json.loads(pq.read_metadata(io.BytesIO(SMALL_BYTES)).metadata[b"bemsweep"])


def test_an_unknown_schema_is_named():
    with pytest.raises(RecordError, match="schema 99; this bemsweep reads schema 2"):
        from_bytes(rewritten({**metadata_of_small(), "schema": 99}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut or altered"),
        (b"no record at all", "cut or altered"),
        (rewritten({**metadata_of_small(), "lengths": [24, 24]}), "3 series, not 2"),
        (rewritten(metadata_of_small(), pa.table({"a": [1]})), "columns are"),
    ],
)
def test_what_is_no_record_is_refused(data, message):
    with pytest.raises(RecordError, match=message):
        RecordFile(io.BytesIO(data))


def test_a_series_of_another_length_than_stated_is_refused():
    data = rewritten({**metadata_of_small(), "lengths": [24, 24, 23]})
    with pytest.raises(RecordError, match="24 values of series 2, not 23"):
        from_bytes(data)


def test_a_parquet_file_of_others_is_refused():
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(RecordError, match="is not a record"):
        from_bytes(sink.getvalue())


class BrokenConnection(io.BytesIO):
    """Fails at the second read, as a network can."""

    reads = 0

    def read(self, size=-1):
        self.reads += 1
        if self.reads > 1:
            raise ConnectionResetError("connection reset by peer")
        return super().read(size)


def test_a_broken_connection_is_not_taken_for_a_broken_record():
    with pytest.raises(ConnectionResetError):
        dict(RecordFile(BrokenConnection(to_bytes(RECORD))).values([0]))
