"""What one variant changes in its baseline, as plain values, and how fields of a model are found and changed.

An edit says which objects, which field and what to do; it never holds a model, and of a file only its
hash. What is wrong with an edit is told beforehand by `bemsweep.edit_checks`; `bemsweep.editing` applies
edits of all kinds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from idfkit import IDFDocument, IDFObject
from idfkit.objects import parse_extensible_index, to_python_name
from idfkit.schema import EpJSONSchema

from bemsweep.errors import ModelError, nearest
from bemsweep.patterns import matches

__all__ = [
    "CallEdit",
    "Edit",
    "FieldEdit",
    "FieldSpec",
    "InputRef",
    "InsertEdit",
    "Operation",
    "Scalar",
    "ScheduleEdit",
    "apply_field_edit",
    "files_of",
    "field_labels",
    "field_spec",
    "is_blank",
    "normalised",
    "read_field",
    "selected",
]

Scalar = float | int | str | bool
"""A value that a field of a model, or a parameter of a study, can take."""

Operation = Literal["set", "multiply", "add"]


@dataclass(frozen=True)
class InputRef:
    """A file by its content; the store has it under that name."""

    sha256: str
    """Of its content."""
    suffix: str
    """Of its file name; tells the format."""

    @property
    def name(self) -> str:
        """Name of a local copy."""
        return f"{self.sha256}{self.suffix}"


@dataclass(frozen=True)
class FieldEdit:
    """Set, multiply or add to one field of some objects of one type."""

    object: str
    """Object type, in EnergyPlus's spelling."""
    field: str
    """Field name as the schema has it; a field of an extensible group carries the group's number from 1,
    as in ``vertex_3_z_coordinate`` or ``vertex_z_coordinate_3``."""
    operation: Operation
    """What to do with `value`."""
    value: Scalar
    """New value, factor or summand, in the field's own unit."""
    name: str = "*"
    """Pattern of object names, with ``*`` and ``?``; case does not matter."""
    where: tuple[tuple[str, Scalar], ...] = ()
    """Further fields and the values (or patterns) that an object must have to be edited."""


@dataclass(frozen=True)
class CallEdit:
    """Call a Python function with the model and a value."""

    function: str
    """``module:qualified_name`` of a function that takes ``(document, value)``."""
    value: Scalar
    """What the function is called with."""
    source: str = ""
    """Source text of the function, part of the variant's identity."""
    version: str = ""
    """Version that its author declares, part of the variant's identity."""


@dataclass(frozen=True)
class ScheduleEdit:
    """Add to or multiply the numbers of a schedule, or replace it."""

    schedule: str
    """Name of the schedule; case does not matter."""
    operation: Literal["add", "multiply", "replace"]
    """What to do."""
    value: Scalar | None = None
    """Summand, factor or constant, in the schedule's unit; None if a file replaces it."""
    file: InputRef | None = None
    """File of the values that replace it; None if a number does."""


@dataclass(frozen=True)
class InsertEdit:
    """Add the objects of a file to the model."""

    file: InputRef
    """IDF or epJSON without a Version."""


Edit = FieldEdit | ScheduleEdit | InsertEdit | CallEdit

FieldKind = Literal["number", "integer", "text", "number or text"]


@dataclass(frozen=True)
class FieldSpec:
    """What EnergyPlus's schema says about one field of one object type."""

    object: str
    """Object type, in the schema's spelling."""
    name: str
    """Field name, in the schema's spelling; ``vertex_z_coordinate_3`` within extensible groups."""
    key: str
    """Where an object keeps the value: the name, or within a group the name without the number."""
    kind: FieldKind
    """What the field holds."""
    group: int = 0
    """Number of the extensible group from 1; 0 for a field outside of groups."""
    groups_key: str = ""
    """Where an object keeps its extensible groups; ``""`` for a field outside of groups."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Case-folded choice -> its spelling; for a number these are Autosize and Autocalculate."""
    allowed_numbers: tuple[float, ...] = ()
    """The only numbers allowed; empty if all within the range are."""
    minimum: float = -math.inf
    """Smallest value allowed, in the field's unit."""
    maximum: float = math.inf
    """Largest value allowed, in the field's unit."""
    is_minimum_excluded: bool = False
    """True if the minimum itself is not allowed."""
    is_maximum_excluded: bool = False
    """True if the maximum itself is not allowed."""
    object_lists: tuple[str, ...] = ()
    """Names of the lists of objects that the field may name."""
    default: Scalar | None = None
    """What EnergyPlus takes for a blank; None if there is no default."""
    units: str = ""
    """EnergyPlus's unit, for example ``W/m2``."""
    is_required: bool = False
    """True if the field cannot be blank."""


def files_of(edits: Iterable[Edit]) -> tuple[InputRef, ...]:
    """Return the files that `edits` need, each once."""
    named = (edit.file for edit in edits if isinstance(edit, (ScheduleEdit, InsertEdit)))
    return tuple(dict.fromkeys(file for file in named if file is not None))


def normalised(edit: FieldEdit, schema: EpJSONSchema) -> FieldEdit:
    """Return `edit` with types, fields, choices and numbers written in the one way that stands for all.

    So 6 and 6.0, ``lights`` and ``Lights``, ``Watts per Floor Area`` and ``watts_per_floor_area`` give the
    same variant. What the schema does not know is left as it is.

    Parameters
    ----------
    edit
        As the user wrote it.
    schema
        Schema of the model's version.
    """
    object_type = schema.resolve_type_name(edit.object)
    if object_type is None:
        return edit
    spec = field_spec(schema, object_type, edit.field)
    where = tuple(
        (field if found is None else found.name, value if found is None else _normalised_value(found, value))
        for field, value in edit.where
        for found in [field_spec(schema, object_type, field)]
    )
    if spec is None:
        return replace(edit, object=object_type, where=where)
    value = _normalised_value(spec, edit.value) if edit.operation == "set" else _as_float(edit.value)
    return replace(edit, object=object_type, field=spec.name, value=value, where=where)


def selected(document: IDFDocument[bool], edit: FieldEdit) -> list[IDFObject]:
    """Return the objects that `edit` is about, in the model's order; a field that does not exist selects none.

    In `where` a blank field counts as its default, as it does for EnergyPlus.
    """
    schema = _schema(document)
    specs = [(field, field_spec(schema, edit.object, field), value) for field, value in edit.where]
    return [
        obj
        for obj in document[edit.object]
        if matches(edit.name, obj.name)
        and all(_has_value(obj, field=field, spec=spec, wanted=value) for field, spec, value in specs)
    ]


def read_field(obj: IDFObject, spec: FieldSpec) -> Any:
    """Return the value that `obj` has in the field, None or ``""`` if it is blank."""
    if not spec.group:
        return obj.data.get(spec.key)
    groups = obj.extensible_items()
    return groups[spec.group - 1].get(spec.key) if spec.group <= len(groups) else None


def is_blank(value: object) -> bool:
    """Return True for what EnergyPlus replaces by a default: ``""`` or nothing."""
    return value is None or value == ""


@lru_cache(maxsize=1024)
def field_labels(schema: EpJSONSchema, object_type: str) -> Mapping[str, str]:
    """Return every way to write a field of `object_type` outside of groups -> its name in the schema."""
    cache = schema.get_parsing_cache(object_type)
    if cache is None:
        return {}
    names = cache.field_names if cache.has_name else cache.all_field_names
    info = cache.obj_schema.get("legacy_idd", {}).get("field_info", {})
    labels = {to_python_name(info.get(name, {}).get("field_name", name)): name for name in names}
    return {**labels, **{to_python_name(name): name for name in names}}


@lru_cache(maxsize=4096)
def field_spec(schema: EpJSONSchema, object_type: str, field: str) -> FieldSpec | None:
    """Return what the schema says about a field, or None if the type has no such field that can be edited.

    Parameters
    ----------
    schema
        Schema of the model's version.
    object_type
        Object type; case does not matter.
    field
        As the schema has it or as EnergyPlus's documentation writes it.
    """
    canonical = schema.resolve_type_name(object_type)
    cache = schema.get_parsing_cache(object_type)
    inner = schema.get_inner_schema(canonical) if canonical else None
    if canonical is None or cache is None or inner is None:
        return None
    written = to_python_name(field)
    name = field_labels(schema, canonical).get(written)
    if name is not None:
        return _spec(canonical, name, inner["properties"].get(name, {}), required=inner.get("required", ()))
    base, group = parse_extensible_index(written, frozenset(cache.ext_field_names))
    if base is None or cache.ext_wrapper_key is None or group < 1:
        return None
    spec = _spec(canonical, base, dict(cache.ext_inner_props[base]), required=())
    return replace(spec, name=f"{base}_{group}", group=group, groups_key=cache.ext_wrapper_key)


def _spec(object_type: str, name: str, schema: dict[str, Any], *, required: Iterable[str]) -> FieldSpec:
    branches = schema.get("anyOf", [schema])
    number = next((branch for branch in branches if branch.get("type") in ("number", "integer")), None)
    text = next((branch for branch in branches if branch.get("type") == "string"), None)
    choices = _choices((text or {}).get("enum", ()), has_number=number is not None)
    kind: FieldKind = "text"
    if number is not None:
        kind = "number or text" if text is not None and "enum" not in text else number["type"]
    return FieldSpec(
        object=object_type,
        name=name,
        key=name,
        kind=kind,
        choices=choices,
        object_lists=tuple(schema.get("object_list", ())),
        default=schema.get("default"),
        units=schema.get("units", ""),
        is_required=name in required,
        **_range(number or {}),
    )


def _choices(members: Iterable[object], *, has_number: bool) -> dict[str, str]:
    choices = {str(member).casefold(): str(member) for member in members if member != ""}
    if has_number and len(choices) == 1 and {"autosize", "autocalculate"} & choices.keys():
        # EnergyPlus takes either word wherever its schema names one of them.
        (spelling,) = choices.values()
        return {"autosize": spelling, "autocalculate": spelling}
    return choices


def _range(number: Mapping[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {"allowed_numbers": tuple(float(value) for value in number.get("enum", ()))}
    for side, excluded in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        bound = number.get(excluded)
        # Up to JSON Schema draft 4 the exclusive bound is a flag beside the bound, later a bound itself.
        is_excluded = bound is True or (bound is not None and not isinstance(bound, bool))
        limit = number.get(side) if isinstance(bound, bool) or bound is None else bound
        if limit is not None:
            limits[side] = float(limit)
            limits[f"is_{side}_excluded"] = is_excluded
    return limits


def _normalised_value(spec: FieldSpec, value: Scalar) -> Scalar:
    if isinstance(value, bool):
        return spec.choices.get("yes" if value else "no", value)
    if isinstance(value, str):
        return spec.choices.get(value.strip().casefold(), value.strip())
    if spec.kind == "text" or not math.isfinite(value):
        return value
    number = _as_float(value)
    return int(number) if spec.kind == "integer" and number.is_integer() else number


def _as_float(value: Scalar) -> Any:
    # Adding zero turns -0.0 into 0.0: they are the same to EnergyPlus.
    return value if isinstance(value, (bool, str)) else float(value) + 0.0


def _has_value(obj: IDFObject, *, field: str, spec: FieldSpec | None, wanted: Scalar) -> bool:
    if spec is None:
        return to_python_name(field) == "name" and matches(str(wanted), obj.name)
    value, wanted = read_field(obj, spec), _normalised_value(spec, wanted)
    if is_blank(wanted):
        return is_blank(value)
    if is_blank(value):
        value = spec.default
    if is_blank(value):
        return False
    if isinstance(value, (int, float)) and not isinstance(wanted, bool):
        try:
            return float(value) == float(wanted)
        except ValueError:
            return False
    return matches(str(wanted), str(value))


def apply_field_edit(document: IDFDocument[bool], edit: FieldEdit) -> None:
    """Change the field of every object that `edit` selects, in place.

    Parameters
    ----------
    document
        The model.
    edit
        What to do.

    Raises
    ------
    ModelError
        It matches nothing in the model, names what the model's version does not have, or computes with
        something that is no number.
    """
    schema = _schema(document)
    edit = normalised(edit, schema)
    if schema.resolve_type_name(edit.object) is None:
        raise ModelError(f"EnergyPlus has no object type {edit.object!r}{nearest(edit.object, schema.object_types)}")
    spec = field_spec(schema, edit.object, edit.field)
    if spec is None:
        raise ModelError(f"{edit.object} has no field {edit.field!r} that can be edited")
    objects = selected(document, edit)
    if not objects:
        raise ModelError(f"the edit of {edit.object}.{edit.field} matches no object of the model")
    for obj in objects:
        _write_field(obj, spec, _new_value(obj, spec, edit))


def _new_value(obj: IDFObject, spec: FieldSpec, edit: FieldEdit) -> Scalar:
    if edit.operation == "set":
        return edit.value
    old = read_field(obj, spec)
    if isinstance(old, bool) or not isinstance(old, (int, float)) or isinstance(edit.value, (bool, str)):
        shown = "blank" if is_blank(old) else repr(old)
        raise ModelError(
            f"cannot {edit.operation} {edit.value!r}: "
            f"{spec.name} of {spec.object} {obj.name!r} is {shown}, not a number"
        )
    result = old * edit.value if edit.operation == "multiply" else old + edit.value
    return _normalised_value(spec, result)


def _write_field(obj: IDFObject, spec: FieldSpec, value: Scalar) -> None:
    if spec.group:
        groups = obj[spec.groups_key]
        if spec.group > len(groups):
            raise ModelError(
                f"{spec.object} {obj.name!r} has {len(groups)} groups of {spec.key}, so there is no {spec.name}"
            )
        groups[spec.group - 1][spec.key] = value
        return
    # By position, since by name idfkit drops the underscore that a few field names end with.
    order = obj.field_order or []
    obj[order.index(spec.key) + 1] = value


def _schema(document: IDFDocument[bool]) -> EpJSONSchema:
    schema: EpJSONSchema | None = document.schema
    if schema is None:
        raise ModelError("the model was loaded without EnergyPlus's schema, so its fields are unknown")
    return schema
