"""Which objects of a model name which others.

Decides by the schema of the model's version, since idfkit's own index loses the users of an object that is
replaced by another one of its name. Never changes a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from idfkit import IDFDocument, IDFObject
from idfkit.schema import EpJSONSchema

__all__ = ["Reference", "names_listed", "references_of", "types_listed"]


@dataclass(frozen=True)
class Reference:
    """One field of an object that names another object."""

    user: IDFObject
    """The object that has the field."""
    field: str
    """Field name; within an extensible group the name without the group's number."""
    group: int
    """Number of the extensible group from 1; 0 for a field outside of groups."""
    name: str
    """What the field holds."""
    object_lists: tuple[str, ...]
    """Lists of objects, as the schema calls them, that the field may name."""


def references_of(obj: IDFObject, schema: EpJSONSchema) -> Iterator[Reference]:
    """Yield every field of `obj` that may name another object and is not blank.

    Parameters
    ----------
    obj
        An object of a model.
    schema
        Schema of the model's version.
    """
    fields, inner = _naming_fields(schema, obj.obj_type)
    for field, object_lists in fields.items():
        name = obj.data.get(field)
        if isinstance(name, str) and name:
            yield Reference(obj, field, 0, name, object_lists)
    for number, group in enumerate(obj.extensible_items() if inner else (), start=1):
        for field, object_lists in inner.items():
            name = group.get(field)
            if isinstance(name, str) and name:
                yield Reference(obj, field, number, name, object_lists)


def names_listed(documents: Iterable[IDFDocument[bool]], object_lists: Iterable[str]) -> list[str] | None:
    """Return the names that a field may hold which refers to `object_lists`, or None if the schema fills none of them.

    Parameters
    ----------
    documents
        Models of one version, taken together.
    object_lists
        Lists of objects, as the schema calls them.
    """
    documents = tuple(documents)
    listed = types_listed(documents[0].schema)
    if not listed.keys() & set(object_lists):
        return None
    names: list[str] = []
    for object_type, field in (entry for object_list in object_lists for entry in listed.get(object_list, ())):
        if not field:
            names.append(object_type)
            continue
        for document in documents:
            for obj in document[object_type]:
                names += [str(name) for name in _names(obj, field, document.schema) if name]
    return names


@lru_cache(maxsize=8)
def types_listed(schema: EpJSONSchema) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return list of objects -> the types in it, each with the field that names it; ``""``: the type itself."""
    listed: dict[str, list[tuple[str, str]]] = {}
    for object_type in schema.object_types:
        name = (schema.get_object_schema(object_type) or {}).get("name", {})
        for object_list in name.get("reference", ()):
            listed.setdefault(object_list, []).append((object_type, "name"))
        for object_list in name.get("reference-class-name", ()):
            listed.setdefault(object_list, []).append((object_type, ""))
        cache = schema.get_parsing_cache(object_type)
        inner = cache.ext_inner_props if cache else {}
        properties = (schema.get_inner_schema(object_type) or {}).get("properties", {})
        for field, field_schema in (*properties.items(), *inner.items()):
            for object_list in field_schema.get("reference", ()):
                listed.setdefault(object_list, []).append((object_type, field))
    return listed


def _names(obj: IDFObject, field: str, schema: EpJSONSchema) -> list[Any]:
    if field == "name":
        return [obj.name]
    cache = schema.get_parsing_cache(obj.obj_type)
    if cache is not None and field in cache.ext_inner_props:
        return [group.get(field) for group in obj.extensible_items()]
    return [obj.data.get(field)]


@lru_cache(maxsize=4096)
def _naming_fields(
    schema: EpJSONSchema, object_type: str
) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]:
    """Return field -> lists of objects that it may name, outside of extensible groups and within."""
    cache = schema.get_parsing_cache(object_type)
    outer = (schema.get_inner_schema(object_type) or {}).get("properties", {})
    inner = cache.ext_inner_props if cache else {}
    return _with_lists(outer), _with_lists(inner)


def _with_lists(properties: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    return {
        field: tuple(field_schema["object_list"])
        for field, field_schema in properties.items()
        if field_schema.get("object_list")
    }
