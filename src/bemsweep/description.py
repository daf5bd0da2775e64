"""What there is in a model to vary and to ask for: `describe`, and the tables that it returns.

Decides what is told of a model, and spells it as a study file wants it. The runs that tell what a model can
report are those of `bemsweep.inventory`; nothing here changes a model.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from idfkit import IDFDocument, IDFObject
from idfkit.schema import EpJSONSchema

from bemsweep.edits import FieldSpec, field_labels, field_spec, is_blank, read_field
from bemsweep.engine import Engine
from bemsweep.inventory import Examined, examine
from bemsweep.markup import text_table
from bemsweep.methods import methods_of

__all__ = ["Description", "describe", "in_a_line", "method_of"]

_WIDTH = 116
_MOST = {"objects": 8, "fields": 16, "schedules": 6, "variables": 10, "meters": 8, "tables": 6}
"""Lines of each table that are printed."""

_APART = 3
"""More values of one field than these are printed in one line, from the lowest to the highest."""

_TABLES = ("objects", "fields", "schedules", "variables", "meters", "tables")
_SEARCHED = {
    "fields": ("object", "name", "field"),
    "schedules": ("schedule", "object", "used_by"),
    "variables": ("variable", "key"),
    "meters": ("meter",),
    "tables": ("report", "for", "name", "row", "column"),
}
_COLUMNS = {
    "objects": ("object", "group", "count", "names"),
    "fields": (
        "object", "name", "field", "value", "units", "minimum", "maximum", "choices", "default", "method", "is_ignored",
        "shared", "of",
    ),
    "schedules": ("schedule", "object", "lowest", "highest", "uses", "used_by"),
    "variables": ("variable", "key", "key_kind", "units"),
    "meters": ("meter", "units"),
    "tables": ("report", "for", "name", "row", "column", "units"),
}  # fmt: skip

_SCHEDULES_OF_NUMBERS = {"Schedule:Compact", "Schedule:Constant", "Schedule:Day:Hourly", "Schedule:Day:Interval"}
"""Schedules all of whose numbers are values."""

_PLAIN = re.compile(r"[A-Za-z_][\w ./()%+-]*(?<! )")
_WORDS_OF_YAML = {"null", "true", "false"}


@dataclass(frozen=True, eq=False, repr=False)
class Description:
    """What a model has and can report, as tables; `find` narrows them.

    Prints itself on a screen and shows itself as tables in Jupyter.
    """

    model: str
    """As it was named."""
    version: str
    """Version of EnergyPlus that it is written for."""
    objects: pd.DataFrame
    """A row per object type: ``object``, ``group`` of the schema, ``count``, ``names`` with commas between."""
    fields: pd.DataFrame
    """A row per object and field, those of extensible groups left out: ``object``, ``name``, ``field``, ``value``
    (``""`` if blank), ``units``, ``minimum``, ``maximum``, ``choices``, ``default``; the ``method`` of the object
    that decides whether the field counts, or ``""``, and whether it ``is_ignored`` therefore; ``shared``, how many
    objects of the type have this value, ``of`` how many."""
    schedules: pd.DataFrame
    """A row per schedule: ``schedule``, ``object`` type, ``lowest`` and ``highest`` value, number of ``uses``,
    ``used_by``."""
    variables: pd.DataFrame
    """A row per output variable and key: ``variable``, ``key``, ``key_kind``, ``units``."""
    meters: pd.DataFrame
    """A row per meter: ``meter``, ``units``."""
    tables: pd.DataFrame
    """A row per cell of the summary tables: ``report``, ``for``, ``name``, ``row``, ``column``, ``units``."""
    note: str = ""
    """Why it is not known what the model can report, or ``""``."""
    words: str = ""
    """What the tables were narrowed to."""

    def find(self, text: str) -> Description:
        """Return what has every word of `text`, in any order and in any case.

        Looks in object types, names and fields, schedules and who uses them, names and keys of outputs, and
        table cells.
        """
        words = text.casefold().split()
        narrowed: dict[str, Any] = {
            table: _having(getattr(self, table), columns, words) for table, columns in _SEARCHED.items()
        }
        objects = _objects_having(self.objects, words)
        return replace(self, objects=objects, words=f"{self.words} {text}".strip(), **narrowed)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON, each table as a list of its rows."""
        told: dict[str, Any] = {"model": self.model, "version": self.version, "note": self.note}
        for table in _TABLES:
            rows = getattr(self, table).to_dict(orient="records")
            told[table] = [{name: _plain(value) for name, value in row.items()} for row in rows]
        return told

    def __str__(self) -> str:
        lines = _narrowed_lines(self) if self.words else _overview_lines(self)
        return "\n".join([*lines, *([f"note: {self.note}"] if self.note else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = [line for line in str(self).splitlines() if not line.endswith(":")]
        told = [f"<p>{escape(line)}</p>" for line in lines if not line.startswith("  ") or line.startswith("  nothing")]
        groups = [line.strip().split(": ", 1) for line in lines if line.startswith("  ") and not self.words]
        for name, pairs, more in _found(self) if self.words else [("objects", groups, 0)]:
            cut = text_table(pd.DataFrame([(what, _cut(comment)) for what, comment in pairs]), has_heads=False)
            told.append(f"<h4>{name}</h4>{cut}{f'<p>… {more:,} more</p>' if more else ''}")
        return "".join(told)


def describe(
    model: str | Path,
    *,
    find: str | None = None,
    weather: str | Path | None = None,
    engine: Engine | str | None = None,
) -> Description:
    """Tell what a model has that can be varied, and what it can report.

    Parameters
    ----------
    model
        Path, URL or ``bundled:`` name of an IDF or epJSON.
    find
        Words to look for; None for everything.
    weather
        The EPW for the two short runs that tell what the model can report; None for one that comes with
        EnergyPlus, which does as well.
    engine
        Path of an installed EnergyPlus; None for the one that was installed with bemsweep.

    Returns
    -------
    Description
        Tables; its `note` says if the model cannot be run and outputs are therefore unknown.

    Raises
    ------
    InputError
        A file is not there, or cannot be had.
    ModelError
        A file is no model or no EPW.
    InfrastructureError
        The machine's fault.

    Side effects
    ------------
    Two engine runs of one day, if the model is not known yet; what they tell is kept in the user's cache folder.
    """
    named = None if weather is None else str(weather)
    found = examine(str(model), weather=named, folder=Path.cwd(), engine=engine)
    description = _described(found)
    return description if find is None else description.find(find)


def method_of(schema: EpJSONSchema, obj: IDFObject, field: str) -> tuple[str, str, bool]:
    """Return the field and the value of the method by which `obj` uses or ignores `field`, and whether it ignores it.

    Parameters
    ----------
    schema
        Schema of the model's version.
    obj
        An object of the model.
    field
        Field name, in the schema's spelling.

    Returns
    -------
    tuple
        Such as ``("design_level_calculation_method", "Watts/Area", False)``; ``("", "", False)`` if nothing is
        known to decide.
    """
    deciding = "", "", False
    for method in methods_of(obj.obj_type, field):
        choice = field_spec(schema, obj.obj_type, method.field)
        value = None if choice is None else read_field(obj, choice)
        if choice is not None and is_blank(value):
            value = choice.default
        used = None if is_blank(value) else method.fields_used(str(value))
        if used is not None and not deciding[2]:
            deciding = method.field, str(value), field not in used
    return deciding


def in_a_line(value: Any) -> str:
    """Return `value` as a study file may have it in one line.

    Parameters
    ----------
    value
        A mapping, a list, a text, a number or None.

    Examples
    --------
    >>> in_a_line({"object": "Lights", "where": {"name": "5"}, "multiply": [None, 0.5]})
    '{object: Lights, where: {name: "5"}, multiply: [null, 0.5]}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {in_a_line(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(in_a_line, value)) + "]"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.casefold() not in _WORDS_OF_YAML:
        return value
    return json.dumps(value, ensure_ascii=False)


def _described(found: Examined) -> Description:
    document, inventory = found.document, found.inventory
    rows: dict[str, Iterable[Sequence[Any]]] = {
        "objects": _object_rows(document),
        "fields": _field_rows(document),
        "schedules": _schedule_rows(document),
        "variables": inventory.variables,
        "meters": inventory.meters,
        "tables": inventory.cells,
    }
    tables: dict[str, Any] = {name: pd.DataFrame(list(rows[name]), columns=list(_COLUMNS[name])) for name in _TABLES}
    version = ".".join(map(str, document.version[:2]))
    note = "; ".join(problem.message for problem in found.problems)
    return Description(found.source.source, version, **tables, note=note)


def _object_rows(document: IDFDocument[bool]) -> Iterator[tuple[Any, ...]]:
    for object_type, objects in document.items():
        if objects:
            group = (document.schema.get_object_schema(object_type) or {}).get("group", "")
            yield object_type, group, len(objects), ", ".join(obj.name for obj in objects if obj.name)


def _field_rows(document: IDFDocument[bool]) -> Iterator[tuple[Any, ...]]:
    schema: EpJSONSchema = document.schema
    for object_type, objects in document.items():
        fields = dict.fromkeys(field_labels(schema, object_type).values())
        specs = [spec for field in fields if (spec := field_spec(schema, object_type, field)) is not None]
        counts = {spec.name: Counter(_value(obj, spec) for obj in objects) for spec in specs}
        for obj in objects:
            for spec in specs:
                value = _value(obj, spec)
                choice, chosen, is_ignored = method_of(schema, obj, spec.name)
                yield (
                    object_type, obj.name, spec.name, value, spec.units, _finite(spec.minimum), _finite(spec.maximum),
                    ", ".join(dict.fromkeys(spec.choices.values())), spec.default,
                    f"{choice}: {chosen}" if choice else "", is_ignored, counts[spec.name][value],
                    len(objects),
                )  # fmt: skip


def _value(obj: IDFObject, spec: FieldSpec) -> Any:
    value = read_field(obj, spec)
    return "" if value is None else value


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _schedule_rows(document: IDFDocument[bool]) -> Iterator[tuple[Any, ...]]:
    for object_type in document.schema.get_types_providing_reference("ScheduleNames"):
        for schedule in document[object_type]:
            numbers = list(_numbers(schedule)) if object_type in _SCHEDULES_OF_NUMBERS else []
            uses = Counter(_uses(document, schedule.name))
            used_by = ", ".join(f"{use} ({count})" if count > 1 else use for use, count in sorted(uses.items()))
            yield (
                schedule.name, object_type, min(numbers, default=None), max(numbers, default=None), uses.total(),
                used_by,
            )  # fmt: skip


def _numbers(obj: IDFObject) -> Iterator[float]:
    for value in obj.data.values():
        for number in (one for group in value for one in group.values()) if isinstance(value, list) else [value]:
            if isinstance(number, (int, float)):
                yield float(number)


def _uses(document: IDFDocument[bool], schedule: str) -> Iterator[str]:
    """Yield object type and field of everything that names the schedule."""
    for obj in document.get_referencing(schedule):
        for field, value in obj.data.items():
            spec = field_spec(document.schema, obj.obj_type, field)
            is_schedule = spec is not None and "ScheduleNames" in spec.object_lists
            if is_schedule and isinstance(value, str) and value.casefold() == schedule.casefold():
                yield f"{obj.obj_type}.{field}"


def _having(table: pd.DataFrame, columns: Sequence[str], words: Sequence[str]) -> pd.DataFrame:
    """Return the rows that have every word in one of the columns."""
    if table.empty:
        return table
    first, *rest = (table[column].astype(str) for column in columns)
    for part in rest:
        first = first.str.cat(part, sep=" ")
    text = first.str.casefold()
    is_found = pd.Series(data=True, index=table.index)
    for word in words:
        is_found &= text.str.contains(word, regex=False)
    return table[is_found].reset_index(drop=True)


def _objects_having(objects: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    """Return the types that have every word themselves, or with the names that bring the words that are missing."""
    rows = []
    for row in objects.to_dict(orient="records"):
        missing = [word for word in words if word not in row["object"].casefold()]
        if missing:
            names = [name for name in row["names"].split(", ") if all(word in name.casefold() for word in missing)]
            if not any(names):
                continue
            row |= {"count": len(names), "names": ", ".join(names)}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(objects.columns))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


# What is printed


def _headline(description: Description) -> str:
    narrowed = f", what has {description.words!r}" if description.words else ""
    return f"{description.model}: EnergyPlus {description.version}{narrowed}"


def _overview_lines(description: Description) -> Iterator[str]:
    objects, schedules = description.objects, description.schedules
    yield f"{_headline(description)}, {objects['count'].sum():,} objects of {len(objects)} types"
    for group, types in objects.groupby("group", sort=False):
        counted = zip(types["object"], types["count"], strict=True)
        told = ", ".join(name if count == 1 else f"{count} {name}" for name, count in counted)
        yield _cut(f"  {group}: {told}")
    yield _cut(f"{len(schedules)} schedules: {', '.join(schedules['schedule'])}")
    if not description.note:
        yield (
            f"{description.variables['variable'].nunique():,} output variables, {len(description.meters):,} meters, "
            f"{len(description.tables):,} table cells in {description.tables['report'].nunique()} reports"
        )
    yield "Look for what you want to vary or to know: --find lights, --find 'air temperature', or .find(...) in Python"


def _narrowed_lines(description: Description) -> Iterator[str]:
    yield _headline(description)
    found = list(_found(description))
    for table, pairs, left_out in found:
        yield f"{table}:"
        yield from _aligned(pairs)
        if left_out:
            yield f"  … {left_out:,} more"
    if not found:
        yield "  nothing has all of these words"


def _found(description: Description) -> Iterator[tuple[str, list[tuple[str, str]], int]]:
    """Yield of each table that has any its name, its first lines in two parts, and how many more there are."""
    objects = _rows(description.objects)
    for table, lines in {
        "objects": ((name, f"{count}: {names}" if names else f"{count}") for name, _, count, names in objects),
        "fields": _field_lines(description),
        "schedules": _schedule_lines(description),
        "variables": _variable_lines(description),
        "meters": ((in_a_line({"meter": meter}), units) for meter, units in _rows(description.meters)),
        "tables": _table_lines(description),
    }.items():
        pairs = list(lines)
        if pairs:
            yield table, pairs[: _MOST[table]], max(len(pairs) - _MOST[table], 0)


def _rows(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    yield from table.itertuples(index=False, name=None)


def _aligned(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = min(max(len(what) for what, _ in pairs), 72)
    for what, comment in pairs:
        begin = f"  {what:<{width}}  # "
        yield begin + _cut(comment, max(_WIDTH - len(begin), 30)) if comment else f"  {what}"


def _cut(line: str, width: int = _WIDTH) -> str:
    return line if len(line) <= width else line[: width - 2].rstrip(" ,;") + " …"


def _field_lines(description: Description) -> Iterator[tuple[str, str]]:
    """Yield object and field with what the baseline has, what can be varied before what cannot."""
    words = description.words.casefold().split()
    groups = list(_alike(description.fields))
    ignored = {(rows[0]["object"], rows[0]["field"]) for rows in groups if rows[0]["is_ignored"]}
    found: list[tuple[tuple[bool, ...], str, str]] = []
    for rows in groups:
        first, total = rows[0], rows[0]["of"]
        edit = {"object": first["object"], "field": first["field"]}
        if len(rows) == 1 and first["name"] and total > 1:
            edit, total = {"object": first["object"], "name": first["name"], "field": first["field"]}, 1
        elif (first["object"], first["field"]) in ignored and not first["is_ignored"]:
            choice, _, chosen = first["method"].partition(": ")
            edit = {"object": first["object"], "where": {choice: chosen}, "field": first["field"]}
        order = (
            not all(word in f"{first['object']} {first['field']}".casefold() for word in words),
            first["is_ignored"],
            not first["method"],
            not any(_is_number(row["value"]) for row in rows),
            not first["choices"],
            is_blank(first["value"]),
        )
        found.append((order, in_a_line(edit), _field_comment(rows, total)))
    for _, what, comment in sorted(found, key=lambda line: line[0]):
        yield what, comment


def _alike(fields: pd.DataFrame) -> Iterator[list[dict[str, Any]]]:
    """Yield rows of one object type, field and method together; values apart if they are few numbers."""
    alike: dict[tuple[str, str, str], dict[Any, list[dict[str, Any]]]] = {}
    rows_of: list[dict[str, Any]] = fields.to_dict(orient="records")  # type: ignore[assignment]
    for row in rows_of:
        values = alike.setdefault((row["object"], row["field"], row["method"]), {})
        values.setdefault(row["value"], []).append(row)
    for values in alike.values():
        if len(values) <= _APART and all(_is_number(value) or is_blank(value) for value in values):
            yield from values.values()
        else:
            yield [row for rows in values.values() for row in rows]


def _field_comment(rows: Sequence[Mapping[str, Any]], total: int) -> str:
    first, values = rows[0], list(dict.fromkeys(row["value"] for row in rows))
    numbers = sorted(value for value in values if _is_number(value))
    units = f" {first['units']}" if first["units"] else ""
    if len(values) > 1 and len(numbers) == len(values):
        told = f"{numbers[0]:g} to {numbers[-1]:g}{units}"
    else:
        told = ", ".join(f"{value:g}{units}" if _is_number(value) else str(value) or "blank" for value in values)
    if values == [""] and not (is_blank(first["default"]) or pd.isna(first["default"])):
        told = f"blank, so {first['default']}{units}"
    which = "" if total == 1 else f"all {total}: " if len(rows) == total else f"{len(rows)} of {total}: "
    if first["is_ignored"]:
        return f"{which}ignored, as {first['method'].replace(': ', ' is ')}"
    return which + "; ".join(text for text in (told, _range(first), first["choices"]) if text)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _range(row: Mapping[str, Any]) -> str:
    has_low, has_high = pd.notna(row["minimum"]), pd.notna(row["maximum"])
    if has_low and has_high:
        return f"{row['minimum']:g} to {row['maximum']:g} allowed"
    return f"from {row['minimum']:g}" if has_low else f"up to {row['maximum']:g}" if has_high else ""


def _schedule_lines(description: Description) -> Iterator[tuple[str, str]]:
    for name, object_type, lowest, highest, _, used_by in _rows(description.schedules):
        values = f", {lowest:g} to {highest:g}" if pd.notna(lowest) else ""
        yield in_a_line({"schedule": name}), f"{object_type}{values}; {used_by or 'used by nothing'}"


def _variable_lines(description: Description) -> Iterator[tuple[str, str]]:
    for name, keys in description.variables.groupby("variable", sort=False):
        told = ", ".join(keys["key"])
        units = keys["units"].iloc[0]
        kind = keys["key_kind"].iloc[0] if keys["key_kind"].nunique() == 1 else "other"
        kind = {"": "", "other": "key"}.get(kind, kind)
        count = f"{len(keys)} {kind}s: " if len(keys) > 1 and kind else ""
        yield in_a_line({"variable": name}), "; ".join(part for part in (units, f"{count}{told}") if part)


def _table_lines(description: Description) -> Iterator[tuple[str, str]]:
    by = ["report", "for", "name"]
    for (report, facility, name), cells in description.tables.groupby(by, sort=False):
        first = cells.iloc[0]
        cell = {"report": report, "for": facility, "name": name, "row": first["row"], "column": first["column"]}
        rows, columns = cells["row"].nunique(), cells["column"].nunique()
        comment = first["units"] if len(cells) == 1 else f"{rows} rows, {columns} columns"
        yield in_a_line({"table": cell}), comment
