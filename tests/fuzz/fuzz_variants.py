"""Whether the variants of a study, and the models written for them, are those that another reading of its text gives.

The models are those of `bemsweep reproduce`, which checks them against their records; idfkit alone reads them here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import idfkit
import xarray as xr
from fuzz_readings import FieldChange, Value, Wanted

from bemsweep.reproduction import reproduce
from bemsweep.store import Store

__all__ = ["differences_of_variants"]

_PREPARED = re.compile(r"Output|SimulationControl|RunPeriod|Version|SizingPeriod", re.IGNORECASE)
"""Types of objects that a study's run kind and outputs decide."""


def differences_of_variants(wanted: Wanted, folder: Path, tree: xr.DataTree) -> Iterator[str]:
    """Yield how a study's variants and models differ from those `wanted`.

    Parameters
    ----------
    wanted
        What the text says.
    folder
        Where the study ran, with its store and its baseline.
    tree
        Its results.
    """
    variants = tree.to_dataset()
    if variants.sizes["variant"] != len(wanted.rows):
        yield f"there are {variants.sizes['variant']} variants and not {len(wanted.rows)}"
        return
    for number, row in enumerate(wanted.rows):
        for name, value in row.items():
            found = variants[name].values[number]
            if not _is_value(found, value):
                yield f"variant {number} has {name} {found} and not {value}"
        yield from _differences_of_model(wanted, folder, str(variants["variant_id"].values[number]), row)


def _is_value(found: Any, value: Value) -> bool:
    if isinstance(found, str):
        return found == ("" if value is None else str(value)) or _as_number(found) == _as_number(value)
    return math.isnan(found) if value is None else bool(found == _as_number(value))


def _as_number(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _differences_of_model(wanted: Wanted, folder: Path, variant: str, row: dict[str, Value]) -> Iterator[str]:
    made = folder / f"model-{variant[:16]}"
    if not made.exists():  # several rows may be one variant
        reproduce(Store(folder / "store"), variant, to=made)
    found, due = idfkit.load_idf(made / "in.idf"), idfkit.load_idf(folder / "room.idf")
    for name, value in row.items():
        for change in wanted.changes[name].get(value, []) if value is not None else []:
            _apply(due, change, value if change.value is None else change.value)
    for object_type in {*found, *due}:
        if not _PREPARED.match(object_type):
            one, other = (_fields(document, object_type) for document in (found, due))
            if one != other:
                differing = [pair for pair in zip(one, other, strict=False) if pair[0] != pair[1]]
                yield f"{object_type} of {row} is written as {differing[:1] or len(one)}"


def _apply(document: Any, change: FieldChange, value: Value) -> None:
    field = re.sub(r"\W+", "_", change.field).lower()
    (object_type,) = [known for known in document if known.casefold() == change.object.casefold()]
    objects = [obj for obj in document[object_type] if fnmatchcase(obj.name.casefold(), change.name.casefold())]
    if not objects:
        raise ValueError(f"no {change.object} {change.name}")
    for obj in objects:
        now = obj.data.get(field)
        match change.operation:
            case "multiply":
                obj.data[field] = now * value
            case "add":
                obj.data[field] = now + value
            case _:
                obj.data[field] = value


def _fields(document: Any, object_type: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (obj.name, {name: _as_number(value) for name, value in obj.data.items() if value not in (None, "")})
        for obj in document[object_type]
    ]
