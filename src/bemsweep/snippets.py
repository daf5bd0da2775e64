"""Objects that a study inserts into a model: what a file of them holds, and how they get into the model.

Decides what counts as the same object twice, and what is wrong with inserting, told before any run. Never changes
or removes an object that the model has.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from idfkit import IDFDocument, IDFObject
from idfkit.validation import validate_object

from bemsweep.errors import ModelError, nearest
from bemsweep.model_file import read_objects
from bemsweep.references import names_listed, references_of, types_listed

__all__ = ["insert_snippet", "read_snippet", "snippet_problems"]

_ONE_NAME = ("ConstructionNames", "DayScheduleNames", "MaterialName", "ScheduleNames", "WeekScheduleNames")
"""Lists of objects in which every name must be there once, whatever the types; elsewhere once for each type.

EnergyPlus stops at a second one, but for constructions: of two it would silently take one.
"""

_ONLY_WARNED = "ScheduleTypeLimitsNames"
"""A list of objects that EnergyPlus can do without: it warns and does not check the schedule."""

_SIZED = ("autosize", "autocalculate")
"""What EnergyPlus takes for many a number, although its schema names but one of the two."""


def read_snippet(path: Path, version: tuple[int, int, int]) -> IDFDocument[bool]:
    """Return the objects in a file that shall be inserted into a model.

    Parameters
    ----------
    path
        IDF or epJSON, with or without a Version object.
    version
        Version of EnergyPlus that the model is written for.

    Returns
    -------
    IDFDocument
        The objects, without a Version.

    Raises
    ------
    ModelError
        The file holds no object, those of another version, or broken ones; says where.
    OSError
        The file cannot be read.
    """
    snippet = read_objects(path, version)
    if not any(snippet.all_objects):
        raise ModelError(f"{path.name} holds no object to insert")
    return snippet


def insert_snippet(document: IDFDocument[bool], snippet: IDFDocument[bool]) -> None:
    """Add the objects of `snippet` to `document`, in place; those that it has already, field by field, are left out.

    Raises
    ------
    ModelError
        The model has another object in the place of one of them.
    """
    for obj in snippet.all_objects:
        other = _same_place(document, obj)
        if other is None:
            document.add(obj.obj_type, obj.name, copy.deepcopy(dict(obj.data)), validate=False)
        elif not _is_identical(obj, other):
            raise ModelError(_clash(obj, other))


def snippet_problems(document: IDFDocument[bool], snippet: IDFDocument[bool]) -> list[str]:
    """Return everything that is wrong with inserting `snippet` into this model, each as a full sentence, each once.

    Parameters
    ----------
    document
        The baseline.
    snippet
        What `read_snippet` returned.

    Returns
    -------
    list of str
        Empty if the objects can be inserted.
    """
    problems: list[str] = []
    others = [(obj, _same_place(document, obj)) for obj in snippet.all_objects]
    if all(other is not None and _is_identical(obj, other) for obj, other in others):
        problems.append("Inserting would change nothing: the model has all of these objects already.")
    for obj, other in others:
        if other is not None and not _is_identical(obj, other):
            problems.append(f"Cannot insert: {_clash(obj, other)}.")
        twin = _same_place(snippet, obj)
        if twin is not None and twin is not obj:
            problems.append(f"Two of the objects to insert are named {obj.name!r}: {obj.obj_type} and {twin.obj_type}.")
        problems += _invalid_fields(obj, document.schema)
    problems += _unknown_names(document, snippet)
    return list(dict.fromkeys(problems))


def _same_place(document: IDFDocument[bool], obj: IDFObject) -> IDFObject | None:
    """Return the object of `document` beside which EnergyPlus does not take `obj`."""
    if (document.schema.get_object_schema(obj.obj_type) or {}).get("maxProperties") == 1:
        only: IDFObject | None = document[obj.obj_type].first()
        return only
    if not obj.name:
        return None
    listed = [types_listed(document.schema).get(object_list, ()) for object_list in _ONE_NAME]
    families = [[object_type for object_type, _ in types] for types in listed]
    object_types = next((types for types in families if obj.obj_type in types), [obj.obj_type])
    others = (other for object_type in object_types for other in document[object_type] if other is not obj)
    return next((other for other in others if other.name.casefold() == obj.name.casefold()), None)


def _is_identical(obj: IDFObject, other: IDFObject) -> bool:
    return obj.obj_type == other.obj_type and _filled(obj.data) == _filled(other.data)


def _filled(data: Any) -> dict[str, Any]:
    return {field: value for field, value in data.items() if value is not None and value != ""}


def _clash(obj: IDFObject, other: IDFObject) -> str:
    if obj.name.casefold() != other.name.casefold() or not obj.name:
        return f"the model has its {other.obj_type} already, and takes one only; change its fields instead"
    if obj.obj_type == other.obj_type:
        return f"the model has another {_named(other)}; give the one to insert a name of its own"
    return f"the model has {_named(other)}, so {obj.obj_type} {obj.name!r} must have a name of its own"


def _invalid_fields(obj: IDFObject, schema: Any) -> Iterator[str]:
    for error in validate_object(obj, schema):
        value = obj.data.get(error.field) if error.field else None
        if not (isinstance(value, str) and value.casefold() in _SIZED):
            yield f"{_named(obj)} is not valid: {error.field}: {error.message}."


def _unknown_names(document: IDFDocument[bool], snippet: IDFDocument[bool]) -> Iterator[str]:
    names: dict[tuple[str, ...], list[str] | None] = {(_ONLY_WARNED,): None}
    known: dict[tuple[str, ...], set[str]] = {}
    for found in (found for obj in snippet.all_objects for found in references_of(obj, document.schema)):
        if found.object_lists not in names:
            names[found.object_lists] = names_listed([document, snippet], found.object_lists)
            known[found.object_lists] = {name.casefold() for name in names[found.object_lists] or ()}
        candidates = names[found.object_lists]
        if candidates is not None and found.name.casefold() not in known[found.object_lists]:
            yield (
                f"{found.field} of {_named(found.user)} is {found.name!r}, which neither the model nor what is "
                f"inserted has{nearest(found.name, candidates)}."
            )


def _named(obj: IDFObject) -> str:
    return f"{obj.obj_type} {obj.name!r}" if obj.name else obj.obj_type
