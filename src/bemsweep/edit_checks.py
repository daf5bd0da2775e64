"""What is wrong with edits, told before any run.

EnergyPlus accepts many an edit that changes nothing, and stops at others only after minutes. Decides by
the schema of the model's version and by what stands in the model. Never changes a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from idfkit import IDFDocument, IDFObject
from idfkit.objects import to_python_name
from idfkit.schema import EpJSONSchema

from bemsweep.edits import (
    FieldEdit,
    FieldSpec,
    Scalar,
    field_labels,
    field_spec,
    is_blank,
    normalised,
    read_field,
    selected,
)
from bemsweep.errors import nearest
from bemsweep.methods import Method, methods_of
from bemsweep.model_file import NOT_IN_IDF
from bemsweep.patterns import matches
from bemsweep.references import names_listed

__all__ = ["StudyEdits", "edit_problems"]

_SHOWN = 3


def edit_problems(
    document: IDFDocument[bool], edits: Sequence[FieldEdit], *, all_edits: StudyEdits | None = None
) -> list[str]:
    """Return everything that is wrong with `edits` for this model, each as a full sentence, each once.

    Parameters
    ----------
    document
        The baseline.
    edits
        The edits to check, for example those of all values of one parameter.
    all_edits
        All edits of the study, `edits` too: one of them may set the method, or fill the blank, that another one
        needs. None if there are no others.

    Returns
    -------
    list of str
        Empty if the edits can be applied to the baseline.
    """
    schema: EpJSONSchema = document.schema
    others = all_edits or StudyEdits(edits, schema)
    alike: dict[FieldEdit, list[Scalar]] = {}
    for edit in (normalised(edit, schema) for edit in edits):
        alike.setdefault(replace(edit, value=""), []).append(edit.value)
    told = (message for edit, values in alike.items() for message in _problems(document, edit, values, others=others))
    return list(dict.fromkeys(told))


class StudyEdits:
    """What the edits of a study set, found by object type and field.

    Parameters
    ----------
    edits
        All of them.
    schema
        Schema of the model's version.
    """

    def __init__(self, edits: Iterable[FieldEdit], schema: EpJSONSchema) -> None:
        self._sets: dict[tuple[str, str], dict[FieldEdit, None]] = {}
        for edit in (normalised(edit, schema) for edit in edits):
            if edit.operation == "set":
                self._sets.setdefault((edit.object, edit.field), {})[edit] = None

    def setting(self, object_type: str, field: str) -> Iterable[FieldEdit]:
        """Return the edits that set `field` of some objects of the type."""
        return self._sets.get((object_type, field), ())


def _problems(
    document: IDFDocument[bool], edit: FieldEdit, values: Sequence[Scalar], *, others: StudyEdits
) -> Iterator[str]:
    """Yield what is wrong with an edit that is done with each of `values`."""
    schema: EpJSONSchema = document.schema
    if schema.resolve_type_name(edit.object) is None:
        yield f"EnergyPlus has no object type {edit.object!r}{nearest(edit.object, schema.object_types)}."
        return
    spec = field_spec(schema, edit.object, edit.field)
    if spec is None:
        yield _unknown_field(schema, edit.object, edit.field)
    unknown = [field for field, _ in edit.where if not _is_condition(schema, edit.object, field)]
    yield from (_unknown_field(schema, edit.object, field) for field in unknown)
    if not document[edit.object]:
        yield _no_object(document, edit.object)
        return
    objects = [] if unknown else selected(document, edit)
    if not unknown and not objects:
        yield _no_match(document, edit)
    if spec is None:
        return
    check = _set_problem if edit.operation == "set" else _operand_problem
    wrong = [check(spec, replace(edit, value=value)) for value in values]
    yield from (message for message in wrong if message)
    if objects:
        right = [value for value, message in zip(values, wrong, strict=True) if not message]
        yield from _object_problems(document, objects, spec=spec, edit=edit, values=right, others=others)


def _is_condition(schema: EpJSONSchema, object_type: str, field: str) -> bool:
    return to_python_name(field) == "name" or field_spec(schema, object_type, field) is not None


def _unknown_field(schema: EpJSONSchema, object_type: str, field: str) -> str:
    if to_python_name(field) == "name" and schema.has_name(object_type):
        return f"The name of {object_type} cannot be edited: other objects refer to it."
    cache = schema.get_parsing_cache(object_type)
    names = [*field_labels(schema, object_type).values(), *(cache.ext_field_names if cache else ())]
    known = names if len(names) <= 2 * _SHOWN else []
    hint = nearest(to_python_name(field), names) or (f"; it has {_listed(known)}" if known else "")
    return f"{object_type} has no field {field!r}{hint}."


def _no_object(document: IDFDocument[bool], object_type: str) -> str:
    present = [name for name, objects in document.collections.items() if objects]
    return f"The model has no object of type {object_type}{nearest(object_type, present)}."


def _no_match(document: IDFDocument[bool], edit: FieldEdit) -> str:
    named = [obj for obj in document[edit.object] if matches(edit.name, obj.name)]
    if named:
        conditions = " and ".join(f"{field} = {value!r}" for field, value in edit.where)
        which = "" if edit.name == "*" else f" named {edit.name!r}"
        return f"No {edit.object}{which} has {conditions}{_present(document, named, edit)}."
    names = [obj.name for obj in document[edit.object] if obj.name]
    if not names:
        first = next(iter(field_labels(document.schema, edit.object).values()), "")
        return f"Objects of type {edit.object} have no name; choose among them with where: {{{first}: ...}}."
    hint = nearest(edit.name, names) or f"; there are {_listed(repr(name) for name in names)}"
    return f"No {edit.object} of the model is named {edit.name!r}{hint}."


def _present(document: IDFDocument[bool], objects: Sequence[IDFObject], edit: FieldEdit) -> str:
    """Return a hint at the values that the one field of the condition has."""
    if len(edit.where) != 1:
        return ""
    field, wanted = edit.where[0]
    found = list(dict.fromkeys(_condition(document, obj, field) for obj in objects))
    likely = nearest(wanted, [value for value in found if isinstance(value, str)]) if isinstance(wanted, str) else ""
    return likely or f"; there it is {_listed(map(_shown, found))}"


def _condition(document: IDFDocument[bool], obj: IDFObject, field: str) -> Any:
    spec = field_spec(document.schema, obj.obj_type, field)
    return obj.name if spec is None else read_field(obj, spec)


def _operand_problem(spec: FieldSpec, edit: FieldEdit) -> str | None:
    """Return what is wrong with a factor or a summand, whatever the model holds."""
    value, field = edit.value, f"{spec.name} of {spec.object}"
    if spec.kind == "text":
        return f"{field} holds text, so there is nothing to {edit.operation}: set it instead."
    if isinstance(value, (bool, str)) or not math.isfinite(value):
        return f"Cannot {edit.operation} {field} by {value!r}: that is not a number."
    return None


def _set_problem(spec: FieldSpec, edit: FieldEdit) -> str | None:
    """Return what is wrong with a new value, whatever the model holds."""
    value, field = edit.value, f"{spec.name} of {spec.object}"
    if is_blank(value):
        return f"{field} is required and cannot be left blank." if spec.is_required else None
    if isinstance(value, str):
        return _text_problem(spec, value)
    if spec.kind == "text":
        hint = f"one of {_listed(spec.choices.values(), shown=20)}" if spec.choices else "text"
        return f"{field} takes {hint}, not {value!r}."
    if isinstance(value, bool) or not math.isfinite(value):
        return f"{field} takes a number, not {value!r}."
    return _number_problem(spec, value)


def _text_problem(spec: FieldSpec, value: str) -> str | None:
    field = f"{spec.name} of {spec.object}"
    unsafe = sorted(set(value) & set(NOT_IN_IDF))
    if unsafe:
        return f"{field} cannot be {value!r}: a field cannot hold {_listed(repr(char) for char in unsafe)}."
    if value.casefold() in spec.choices or spec.kind == "number or text" or (spec.kind == "text" and not spec.choices):
        return None
    if spec.kind == "text":
        choices = list(spec.choices.values())
        return f"{field} cannot be {value!r}{nearest(value, choices)}; it takes {_listed(choices, shown=20)}."
    if value.casefold() in ("autosize", "autocalculate"):
        return f"{field} cannot be {value}: EnergyPlus does not size it, give a number."
    words = f", or {_listed(dict.fromkeys(spec.choices.values()))}" if spec.choices else ""
    return f"{field} takes a number{words}, not the text {value!r}."


def _number_problem(spec: FieldSpec, value: float) -> str | None:
    field, units = f"{spec.name} of {spec.object}", f" {spec.units}" if spec.units else ""
    if spec.kind == "integer" and not float(value).is_integer():
        return f"{field} takes a whole number, not {value!r}."
    if spec.allowed_numbers and value not in spec.allowed_numbers:
        return f"{field} cannot be {value:g}; it takes {_listed(f'{number:g}' for number in spec.allowed_numbers)}."
    if value < spec.minimum or (spec.is_minimum_excluded and value == spec.minimum):
        limit = "greater than" if spec.is_minimum_excluded else "at least"
        return f"{field} cannot be {value:g}{units}: it must be {limit} {spec.minimum:g}."
    if value > spec.maximum or (spec.is_maximum_excluded and value == spec.maximum):
        limit = "less than" if spec.is_maximum_excluded else "at most"
        return f"{field} cannot be {value:g}{units}: it must be {limit} {spec.maximum:g}."
    return None


def _object_problems(
    document: IDFDocument[bool],
    objects: Sequence[IDFObject],
    *,
    spec: FieldSpec,
    edit: FieldEdit,
    values: Sequence[Scalar],
    others: StudyEdits,
) -> Iterator[str]:
    """Yield what is wrong with the edit for the objects that it selects."""
    if spec.group:
        short = [obj for obj in objects if len(obj.extensible_items()) < spec.group]
        if short:
            count = len(short[0].extensible_items())
            yield f"{_named(short)} has {count} groups of {spec.key}, so there is no {spec.name}."
            return
    if edit.operation == "set":
        yield from _reference_problems(document, spec, values)
    elif not any(selected(document, other) for other in others.setting(spec.object, spec.name)):
        yield from _arithmetic_problems(objects, spec, edit=edit, values=values)
    for method in methods_of(spec.object, spec.name):
        yield from _method_problems(document, objects, spec=spec, method=method, others=others)


def _reference_problems(document: IDFDocument[bool], spec: FieldSpec, values: Sequence[Scalar]) -> Iterator[str]:
    names = names_listed([document], spec.object_lists)
    if names is None:
        return
    known = {name.casefold() for name in names}
    for value in values:
        if isinstance(value, str) and value and value.casefold() not in known:
            hint = nearest(value, names)
            yield f"{spec.name} of {spec.object} cannot be {value!r}: the model has no such object{hint}."


def _arithmetic_problems(
    objects: Sequence[IDFObject], spec: FieldSpec, *, edit: FieldEdit, values: Sequence[Scalar]
) -> Iterator[str]:
    verb, field = edit.operation, f"{spec.name} of"
    found = [(read_field(obj, spec), obj) for obj in objects]
    blank = [obj for value, obj in found if is_blank(value)]
    if blank:
        default = "" if is_blank(spec.default) else f" and EnergyPlus uses its default {spec.default!r}"
        yield f"Cannot {verb} {field} {_named(blank)}: it is blank{default}; set it, or leave it out with `where`."
    words = [obj for value, obj in found if isinstance(value, str) and value]
    if words:
        word = read_field(words[0], spec)
        yield f"Cannot {verb} {field} {_named(words)}: it is {word}, not a number; set it instead."
    numbers = sorted((item for item in found if isinstance(item[0], (int, float))), key=lambda item: item[0])
    for operand in map(float, values):
        # The smallest and the largest stand for all: both operations are monotonic.
        for number, obj in (numbers[:1] + numbers[-1:]) if spec.kind != "integer" else numbers:
            result = number * operand if verb == "multiply" else number + operand
            wrong = _number_problem(spec, result) if math.isfinite(result) else f"{spec.name} is too large."
            if wrong:
                yield f"{wrong[:-1]}, and that is what {verb} {operand:g} makes of {number:g} in {_named([obj])}."
                break


def _method_problems(
    document: IDFDocument[bool],
    objects: Sequence[IDFObject],
    *,
    spec: FieldSpec,
    method: Method,
    others: StudyEdits,
) -> Iterator[str]:
    choice = field_spec(document.schema, spec.object, method.field)
    if choice is None:
        return
    wanted = method.values_using(spec.name)
    set_elsewhere = {
        id(obj)
        for other in others.setting(spec.object, method.field)
        if other.value in wanted
        for obj in selected(document, other)
    }
    ignoring: dict[str, list[IDFObject]] = {}
    for obj in objects:
        value = read_field(obj, choice)
        value = choice.default if is_blank(value) else value
        used = None if is_blank(value) else method.fields_used(str(value))
        if used is not None and spec.name not in used and id(obj) not in set_elsewhere:
            ignoring.setdefault(str(value), []).append(obj)
    for value, found in ignoring.items():
        used = method.fields_used(value) or ()
        instead = f"edit {' and '.join(used)}, or " if used else ""
        yield (
            f"{spec.name} of {_named(found)} would change nothing, because {method.field} is {value}: "
            f"{instead}also set {method.field} to {' or '.join(wanted)}."
        )


def _named(objects: Sequence[IDFObject]) -> str:
    first = objects[0]
    # An object without a name is known by what it belongs to, the first of its fields.
    label = first.name or next((value for value in first.data.values() if isinstance(value, str) and value), "")
    name = f"{first.obj_type} {label!r}" if label else first.obj_type
    rest = len(objects) - 1
    return f"{name} and {rest} more" if rest else name


def _shown(value: object) -> str:
    return "blank" if is_blank(value) else repr(value)


def _listed(words: Iterable[str], *, shown: int = _SHOWN) -> str:
    known = list(words)
    text = ", ".join(known[:shown])
    return f"{text} and {len(known) - shown} more" if len(known) > shown else text
