"""What the store knows of a study: its definition as run, its amendments and its variant table.

Decides what growing a study means: rows keep their place, new ones come at the end, a variant whose
identity changed is told anew. Only another baseline, run kind or edit under an old name conflicts.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq

from bemsweep.design import Points
from bemsweep.errors import ConflictError, StoreError
from bemsweep.faults import Fault
from bemsweep.object_names import is_variant_id
from bemsweep.outputs import Output
from bemsweep.parts import Value
from bemsweep.redaction import redacted
from bemsweep.sealed_json import sealed, unsealed
from bemsweep.store import Store
from bemsweep.study import Study
from bemsweep.studyfile import shown
from bemsweep.wanted import Keep, kept_files

__all__ = ["STUDY_SCHEMA", "StudyState", "definition_bytes", "read_definition"]

STUDY_SCHEMA = 1
"""Version of what ``study.json`` and the variant table hold and how."""

_ROW, _ID = "row", "variant_id"
_CRC32 = b"bemsweep_crc32:"
"""Begins the name under which a part tells the checksum of one of its columns."""


@dataclass(frozen=True)
class StudyState:
    """A study as the store has it; empty if it is new."""

    name: str
    """The study's name."""
    definition: Mapping[str, Any] = field(default_factory=dict)
    """``study.json``."""
    names: tuple[str, ...] = ()
    """Columns of the variant table."""
    rows: tuple[tuple[Value, ...], ...] = ()
    """Its rows."""
    variant_ids: tuple[str, ...] = ()
    """Of each row."""
    parts: int = 0
    """How many parts the table has."""

    @property
    def engine(self) -> str | None:
        """The string of the engine that ran the study last; None if it is new."""
        amendments = self.definition.get("amendments", ())
        return str(amendments[-1]["engine"]) if amendments else None

    @property
    def uses(self) -> frozenset[str] | None:
        """Names of all inputs, probes and costs of the study and its amendments; None if it does not tell."""
        return frozenset(self.definition["uses"]) if "uses" in self.definition else None

    @classmethod
    def load(cls, store: Store, name: str) -> StudyState:
        """Read a study's definition and variant table.

        Raises
        ------
        StoreError
            They cannot be read.
        """
        definition = read_definition(store, name)
        if definition is None:
            return cls(name)
        parts = store.names(Store.study_name(name, "variants"))
        if parts != [_part_name(number) for number in range(max(len(parts), definition["parts"]))]:
            where = store.url_of(Store.study_name(name, "variants"))
            raise StoreError(f"{where} has lost a part: {_start_over(name)}", fault=Fault.RUINED)
        tables = [_read_part(store, name, part) for part in parts]
        names = tuple(
            dict.fromkeys(column for table in tables for column in table.column_names if column.startswith("="))
        )
        table: dict[int, tuple[str, tuple[Value, ...]]] = {}
        for part in tables:
            columns = [
                part.column(column).to_pylist() if column in part.column_names else ["null"] * len(part)
                for column in names
            ]
            ids = part.column(_ID).to_pylist()
            for number, row in enumerate(part.column(_ROW).to_pylist()):
                table[row] = (ids[number], tuple(json.loads(column[number]) for column in columns))
        if table.keys() != set(range(len(table))):  # a part that stands where another belongs
            where = store.url_of(Store.study_name(name, "variants"))
            raise StoreError(f"{where} has lost rows: {_start_over(name)}", fault=Fault.RUINED)
        ordered = [table[row] for row in range(len(table))]
        if wrong := [variant for variant, _ in ordered if not is_variant_id(variant)]:  # they name objects
            where = store.url_of(Store.study_name(name, "variants"))
            told = f"{where} is altered, {shown(wrong[0])} is no variant_id: {_start_over(name)}"
            raise StoreError(told, fault=Fault.RUINED)
        return cls(
            name=name,
            definition=definition,
            names=tuple(column[1:] for column in names),
            rows=tuple(values for _, values in ordered),
            variant_ids=tuple(variant for variant, _ in ordered),
            parts=len(tables),
        )

    @property
    def is_new(self) -> bool:
        """True if the store knows no study of this name."""
        return not self.definition

    def check_compatible(self, study: Study, baselines: Mapping[str, str]) -> None:
        """Refuse a definition that is not a growth of the stored one.

        Parameters
        ----------
        study
            The study as asked for now.
        baselines
            Label -> sha256 of the baseline's content.

        Raises
        ------
        ConflictError
            Another baseline, run kind or edit under an old parameter name; tells all of them.
        """
        if self.is_new:
            return
        differences = [
            f"{key} was {self.definition[key]!r} and is now {getattr(study, key)!r}"
            for key in ("run", "keep_model_outputs")
            if self.definition[key] != getattr(study, key)
        ]
        for label, digest in self.definition["baselines"].items():
            if label in baselines and baselines[label] != digest:
                differences.append(f"baseline {label!r} has another content")
        for name, parameter in study.parameters.items():
            old, new = self.definition["parameters"].get(name), parameter.definition()
            if old is not None and _conflicts(old, new):
                differences.append(f"parameter {name!r} was {old} and is now {new}")
        if differences:
            told = "; ".join(differences)
            raise ConflictError(
                f"the store has a study {self.name!r} with another definition: {told}. "
                "Give this one another name, or change it back: a study grows, it does not change"
            )

    def merged_outputs(self, study: Study) -> tuple[Output, ...]:
        """Return the outputs asked for now and those of before, so that leaving one out runs nothing again."""
        before = (Output.from_dict(output) for output in self.definition.get("outputs", ()))
        now = study.resolved_outputs()
        spelled = {output.what: (output.array, output.optional) for output in now}
        # What is asked for under another name, or as optional, takes the place of what was.
        kept = (old for old in before if spelled.get(old.what, (old.array, old.optional)) == (old.array, old.optional))
        return tuple(dict.fromkeys((*kept, *now)))

    def whole_beside_reduced(self, study: Study) -> tuple[str, ...]:
        """Return arrays that `merged_outputs` keeps whole although the study asks for their reductions only now."""
        now = study.resolved_outputs()
        only_reduced = {output.what for output in now if output.reduce} - {out.what for out in now if not out.reduce}
        merged = self.merged_outputs(study)
        return tuple(output.array for output in merged if not output.reduce and output.what in only_reduced)

    def merge(self, points: Points, variant_ids: Sequence[str]) -> tuple[Points, tuple[str, ...], tuple[bool, ...]]:
        """Return the table with `points` in it, the variants of each row, and which rows are asked for.

        Rows of before keep their place; a new parameter is null in them.
        """
        names = (*self.names, *(name for name in points.names if name not in self.names))
        rows = [(*row, *[None] * (len(names) - len(row))) for row in self.rows]
        ids, wanted = list(self.variant_ids), [False] * len(rows)
        place = {_row_key(row): number for number, row in enumerate(rows)}
        order = [points.names.index(name) if name in points.names else None for name in names]
        for point, variant in zip(points.rows, variant_ids, strict=True):
            row = tuple(None if position is None else point[position] for position in order)
            number = place.setdefault(_row_key(row), len(rows))
            if number == len(rows):
                rows.append(row)
                ids.append(variant)
                wanted.append(True)
            else:
                ids[number], wanted[number] = variant, True
        return Points(names, tuple(rows)), tuple(ids), tuple(wanted)

    def growth_warnings(
        self, variant_ids: Sequence[str], is_wanted: Sequence[bool], outputs: Sequence[Output]
    ) -> Iterator[str]:
        """Yield what a reader of the grown table must know of the rows that are kept.

        Parameters
        ----------
        variant_ids, is_wanted
            What `merge` returned.
        outputs
            What `merged_outputs` returned.
        """
        if not (kept := is_wanted.count(False)):
            return
        yield f"{kept} rows of earlier amendments are kept as they are"
        pairs = zip(self.variant_ids, variant_ids, strict=False)
        renewed = sum(before != now for before, now in pairs)
        is_asked_the_same = {Output.from_dict(output) for output in self.definition.get("outputs", ())} == set(outputs)
        if renewed and is_asked_the_same:
            yield (
                f"{renewed} rows stand for other variants than before, as something has changed that no column tells: "
                "a weather file or its design days, a file or a function that a parameter names, the parameters' "
                "order, the engine or bemsweep. The rows that are kept are of before: ask for them too to compare them"
            )

    def new_raw_files(self, study: Study) -> tuple[str, ...]:
        """Return the raw files that the study as it was run last did not keep; none if it has not been run."""
        amendments = self.definition.get("amendments", ())
        if not amendments:
            return ()
        before = kept_files(Keep(**entry) for entry in amendments[-1]["definition"].get("keep", ()))
        return tuple(name for name in study.kept_files() if name not in before)

    def save(
        self,
        store: Store,
        study: Study,
        *,
        points: Points,
        variant_ids: Sequence[str],
        outputs: Sequence[Output],
        baselines: Mapping[str, str],
        engine: str,
        uses: Iterable[str] = (),
    ) -> None:
        """Write a part with the rows that are new or have another variant, then the definition.

        Parameters
        ----------
        store
            Where the study lives.
        study
            The study as asked for now.
        points, variant_ids
            The table as `merge` returned it.
        outputs
            What `merged_outputs` returned.
        baselines
            Label -> sha256 of the baseline's content.
        engine
            The string that the engine reports itself.
        uses
            Names of the inputs, probes and costs that the study needs, so that nobody takes them for unused.

        Raises
        ------
        ConflictError
            Somebody else has grown the study since it was loaded.
        StoreError
            The store cannot be read or written.

        Side effects
        ------------
        Writes at most one part and ``study.json``; neither if nothing has changed.
        """
        changed = [
            number
            for number, variant in enumerate(variant_ids)
            if number >= len(self.variant_ids) or self.variant_ids[number] != variant
        ]
        has_part = bool(changed) or points.names != self.names
        if has_part:
            self._create_part(store, _part_bytes(points, variant_ids, changed))
        definition: dict[str, Any] = {
            "schema": STUDY_SCHEMA,
            "name": self.name,
            "run": study.run,
            "keep_model_outputs": study.keep_model_outputs,
            "baselines": {**self.definition.get("baselines", {}), **baselines},
            "parameters": {
                **self.definition.get("parameters", {}),
                **{
                    name: _united(self.definition.get("parameters", {}).get(name, {}), parameter.definition())
                    for name, parameter in study.parameters.items()
                },
            },
            "outputs": [output.to_dict() for output in outputs],
            "parts": self.parts + has_part,
            "amendments": list(self.definition.get("amendments", ())),
        }
        if self.is_new or self.uses is not None:  # a list that lacks what came before would be taken for whole
            definition["uses"] = sorted({*(self.uses or ()), *uses})
        amendment = {"definition": study.to_dict(), "engine": engine, "versions": _versions()}
        last = definition["amendments"][-1] if definition["amendments"] else {}
        if {key: last.get(key) for key in amendment} != amendment:
            definition["amendments"].append({"at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), **amendment})
        if definition != self.definition:  # last: it tells how many parts there are
            store.put(Store.study_name(self.name, "study.json"), definition_bytes(definition))

    def _create_part(self, store: Store, data: bytes) -> None:
        """Write the next part of the table, never over another's."""
        part = Store.study_name(self.name, "variants", _part_name(self.parts))
        if store.create(part, data):
            return
        if not self.is_new:
            raise ConflictError(f"the study {self.name!r} has grown since it was planned: plan it again")
        store.put(part, data)  # in place of what a first run left that was cut short before it said what the study is


def definition_bytes(definition: Mapping[str, Any]) -> bytes:
    """Return the bytes of ``study.json``, with a checksum."""
    return sealed(definition, indent=1)


def read_definition(store: Store, name: str) -> dict[str, Any] | None:
    """Return a study's ``study.json``, or None if there is none.

    Raises
    ------
    StoreError
        It cannot be read: it is cut, altered, of another schema or of another study.
    """
    key = Store.study_name(name, "study.json")
    data = store.get(key)
    if data is None:
        return None
    where = redacted(store.url_of(key))
    try:
        definition = unsealed(data)
    except (ValueError, RecursionError) as error:
        told = f"{where} cannot be read, it is cut or altered ({error}): {_start_over(name)}"
        raise StoreError(told, fault=Fault.RUINED) from error
    if definition.get("schema") != STUDY_SCHEMA:
        raise StoreError(
            f"{where} cannot be read: it has schema {definition.get('schema')!r}, this bemsweep reads schema "
            f"{STUDY_SCHEMA}. Use the bemsweep that wrote it, or {_start_over(name)}",
            fault=Fault.RUINED,
        )
    called = str(definition.get("name"))
    if called != name and called.casefold() == name.casefold():  # a disk that does not tell capital letters from small
        raise StoreError(
            f"{where} is that of the study {called!r}: call it so, or give the other one a name that differs in more "
            "than the case of its letters"
        )
    if called != name:
        told = f"{where} is that of another study, {definition.get('name')!r}: {_start_over(name)}"
        raise StoreError(told, fault=Fault.RUINED)
    return definition


def _start_over(name: str) -> str:
    return f"`bemsweep studies delete {name}`, then run it again; its records are kept"


def _conflicts(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return True if two definitions under one name are of different edits; further options are growth."""
    if old.keys() == new.keys() == {"options"}:
        common = old["options"].keys() & new["options"].keys()
        return any(old["options"][label] != new["options"][label] for label in common)
    return old != new


def _united(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the definition with the options of before, too."""
    return {"options": {**old["options"], **new["options"]}} if "options" in old and "options" in new else new


def _part_name(number: int) -> str:
    return f"{number:06d}.parquet"


def _row_key(row: Sequence[Value]) -> tuple[tuple[bool, Value], ...]:
    return tuple((isinstance(value, bool), value) for value in row)  # True is not 1


def _part_bytes(points: Points, variant_ids: Sequence[str], numbers: Sequence[int]) -> bytes:
    """Return a part: values as JSON, because a parameter may hold numbers, texts and null."""
    columns: dict[str, Any] = {_ROW: pa.array(numbers, pa.int64()), _ID: [variant_ids[n] for n in numbers]}
    for position, name in enumerate(points.names):
        columns[f"={name}"] = pa.array([json.dumps(points.rows[n][position]) for n in numbers], pa.string())
    table = pa.table(columns)
    checksums = {_CRC32 + name.encode(): _checksum(table, name) for name in table.column_names}
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(checksums), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def _read_part(store: Store, name: str, part: str) -> pa.Table:
    """Return a part of the table, each column compared with its checksum: Parquet has none of what tells its pages."""
    key = Store.study_name(name, "variants", part)
    data = store.get(key)
    try:
        file = pq.ParquetFile(io.BytesIO(data or b""), page_checksum_verification=True)
        table = file.read()
        told = {key for key in file.schema_arrow.metadata or {} if key.startswith(_CRC32)}
        is_whole = told == {_CRC32 + column.encode() for column in file.schema_arrow.names}
        if not is_whole or any(
            table.schema.metadata[_CRC32 + column.encode()] != _checksum(table, column) for column in table.column_names
        ):
            raise pa.ArrowInvalid("its columns do not match their checksums")
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        where = redacted(store.url_of(key))
        told_so = f"{where} cannot be read, it is cut or altered ({_first_line(error)}): {_start_over(name)}"
        raise StoreError(told_so, fault=Fault.RUINED) from error
    return table


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _checksum(table: pa.Table, column: str) -> bytes:
    return str(crc32(json.dumps(table.column(column).to_pylist()).encode())).encode()


def _versions() -> dict[str, str]:
    names = ("bemsweep", "idfkit", "distributed", "zarr", "xarray", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
