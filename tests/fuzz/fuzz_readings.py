"""Other readings of the texts of a study, a table and a file of schedule values: what they say, without bemsweep.

Knows only what the valid inputs of `fuzz_seeds` use, and raises ValueError at anything else: a success that this cannot
follow is not believed.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

__all__ = ["FieldChange", "Wanted", "expected_schedule", "expected_study", "expected_table"]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TOP = {
    "name", "baseline", "weather", "run", "timeout_s", "design", "parameters", "exclude", "reference", "dtype",
    "outputs", "keep", "keep_model_outputs", "design_days", "engine", "storage_options",
}  # fmt: skip
_OF_PARAMETER = {"object", "field", "name", "values", "multiply", "add", "operation", "where"}

Value = float | int | str | bool | None


@dataclass(frozen=True)
class FieldChange:
    """What a parameter does to a model."""

    object: str
    field: str
    name: str = "*"
    operation: str = "set"
    value: Value = None
    """What to do it with; None for the parameter's own value."""


@dataclass(frozen=True)
class Wanted:
    """What a study asks for."""

    name: str
    """Its own."""
    rows: list[dict[str, Value]]
    """Parameter -> value, in the order of the variants."""
    changes: dict[str, dict[Value, list[FieldChange]]]
    """Parameter -> value -> what it does; for each value that occurs."""


def expected_schedule(content: bytes) -> np.ndarray:
    """Return the values of a file of schedule values."""
    lines = content.decode("utf-8-sig").splitlines()
    rows = lines if _NUMBER.fullmatch(lines[0].strip()) else lines[1:]
    while rows and not rows[-1].strip():
        rows = rows[:-1]
    if not all(_NUMBER.fullmatch(row.strip()) for row in rows):
        raise ValueError("a row is no number")
    values = np.array([float(row) for row in rows])
    if len(values) != 8760:
        raise ValueError(f"{len(values)} rows")
    return values


def expected_table(text: str) -> Wanted:
    """Return what the study of `fuzz_seeds` asks for with this table."""
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if any(cell.strip() for cell in row)]
    names = [name.strip() for name in rows[0]]
    if sorted(names) != ["lighting", "north", "wall"] or any(len(row) != 3 for row in rows):
        raise ValueError("the table is not three columns")
    points = [
        {name: _cell(cell, is_number=name != "wall") for name, cell in zip(names, row, strict=True)} for row in rows[1:]
    ]
    brick = FieldChange("Material", "thickness", "Brick")
    thickness = {"thin": 0.1, "thick": 0.3}
    fields = {
        "lighting": FieldChange("Lights", "watts_per_floor_area"),
        "north": FieldChange("Building", "north_axis"),
    }
    changes: dict[str, dict[Value, list[FieldChange]]] = {
        name: {point[name]: [change] for point in points} for name, change in fields.items()
    }
    changes["wall"] = {
        label: [FieldChange(brick.object, brick.field, brick.name, "set", value)] for label, value in thickness.items()
    }
    return Wanted("points", _with_reference(points, ["lighting", "north", "wall"]), changes)


def _cell(text: str, *, is_number: bool) -> Value:
    if not (text := text.strip()):
        return None
    if is_number and not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return float(text) if is_number else text


def _with_reference(points: list[dict[str, Value]], names: list[str]) -> list[dict[str, Value]]:
    keys = dict.fromkeys(tuple(point[name] for name in names) for point in [dict.fromkeys(names), *points])
    return [dict(zip(names, key, strict=True)) for key in keys]


def expected_study(text: str, folder: Path) -> Wanted:
    """Return what a mutated study of `fuzz_seeds` asks for."""
    data = YAML(typ="safe", pure=True).load(text.removeprefix("\ufeff"))
    if unknown := set(data) - _TOP:
        raise ValueError(f"the keys {sorted(map(str, unknown))}")
    _check_files(data, folder)
    parameters = data.get("parameters") or {}
    names = list(parameters)
    levels, changes = {}, {}
    for name, spec in parameters.items():
        if unknown := set(spec) - _OF_PARAMETER:
            raise ValueError(f"the keys {sorted(map(str, unknown))} of {name}")
        levels[name], operation = _levels(spec)
        changes[name] = FieldChange(spec["object"], spec["field"], spec.get("name", "*"), operation)
    design = data.get("design", "grid")
    if design == "grid":
        points = [dict(zip(names, point, strict=True)) for point in itertools.product(*levels.values())]
    else:
        (columns,) = design.values()
        if set(columns) != set(names):
            raise ValueError("the table's columns are not the parameters")
        points = [dict(zip(columns, point, strict=True)) for point in zip(*columns.values(), strict=True)]
    points = [point for point in points if not any(_is_met(condition, point) for condition in data.get("exclude", []))]
    rows = _with_reference(points, names)
    if not data.get("reference", True) and all(any(v is not None for v in point.values()) for point in points):
        rows = rows[1:]
    by_value = {name: {row[name]: [changes[name]] for row in rows} for name in names}
    return Wanted(data["name"], rows, by_value)


def _check_files(data: dict[str, Any], folder: Path) -> None:
    baseline = data["baseline"]
    files = list(baseline.values()) if isinstance(baseline, dict) else [baseline]
    if len(files) != 1 or not (folder / files[0]).is_file():
        raise ValueError(f"the baselines {files}")


def _levels(spec: dict[str, Any]) -> tuple[list[Value], str]:
    given = [(word, spec[word]) for word in ("values", "multiply", "add") if spec.get(word) is not None]
    if not given:
        return [None], spec.get("operation", "set")
    ((word, levels),) = given
    return list(levels), {"values": "set"}.get(word, word)


def _is_met(condition: str, point: dict[str, Value]) -> bool:
    try:
        return bool(eval(condition, {"__builtins__": {}}, dict(point)))
    except TypeError:  # null compared
        return False
