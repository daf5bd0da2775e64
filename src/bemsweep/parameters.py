"""Parameters that change one thing: a field, a schedule, inserted objects, what a function does.

Defines `Field`, `Schedule`, `Insert` and `Call`, and which edits each of their values stands for. Never
opens a model or any other file.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from pydantic import StrictStr, field_serializer, field_validator, model_validator

from bemsweep.edits import CallEdit, FieldEdit, InputRef, InsertEdit, Operation, Scalar, ScheduleEdit
from bemsweep.parts import Files, Levels, Numbers, NumbersOrFiles, Part, Value, Wanted, called_by_people

__all__ = ["Call", "Field", "Insert", "Schedule", "Target", "Varied"]


class Varied(Part):
    """What all kinds of parameters share."""

    @property
    def given(self) -> tuple[Value, ...] | str | None:
        """The levels, or the expression that computes the value, as the user gave them."""
        raise NotImplementedError

    @property
    def levels(self) -> tuple[Value, ...] | None:
        """The levels for a grid; None if a table gives them or they are computed."""
        return None if isinstance(self.given, str) else self.given

    @property
    def expression(self) -> str | None:
        """The expression of other parameters that computes the value; None if it is chosen freely."""
        return self.given if isinstance(self.given, str) else None

    @property
    def title(self) -> str:
        """What it varies, for people."""
        raise NotImplementedError

    def file_names(self, value: Scalar) -> tuple[str, ...]:
        """Return the files that `value` names, as the study spells them."""
        del value
        return ()

    def edited_types(self) -> tuple[str, ...]:
        """Return the object types of which it edits fields."""
        return ()


def _operation_of(data: Any, words: Mapping[str, str]) -> Any:
    """Return the settings of a part with the operation that goes with the one list of levels given."""
    if not isinstance(data, dict):
        return data
    listed = [word for word in words if data.get(word) is not None]
    if len(listed) > 1:
        *others, last = words
        raise ValueError(f"give one of {', '.join(others)} and {last}, not {' and '.join(listed)}")
    if not listed:
        return data
    operation = words[listed[0]]
    if data.get("operation", operation) != operation:
        raise ValueError(f"{listed[0]} and operation: {data['operation']} contradict each other")
    return {**data, "operation": operation}


class Target(Part):
    """A further field that gets what a `Field` gets; what is left out is as there."""

    object: StrictStr | None = None
    """Object type."""
    field: StrictStr | None = None
    """Field name."""
    name: StrictStr = "*"
    """Pattern of object names."""
    where: dict[str, Wanted] = {}
    """Further fields and their values (or patterns) that an object must have."""


class Field(Varied):
    """A parameter that edits one field of some objects, or several fields alike.

    Exactly one of `values`, `multiply` and `add` lists the levels for a grid, or computes them from other
    parameters (a text such as ``"insulation * 1.5"``); for a table, the levels stand there and `operation`
    says what they mean.

    Parameters
    ----------
    object
        Object type, for example ``Lights``; case does not matter.
    field
        Field name as in the schema (``watts_per_floor_area``) or in the IDD ("Watts per Floor Area").

    Examples
    --------
    >>> Field("Lights", "watts_per_floor_area", values=[None, 6, 8]).levels
    (None, 6, 8)
    """

    object: StrictStr
    """Object type."""
    field: StrictStr
    """Field name."""
    name: StrictStr = "*"
    """Pattern of object names."""
    where: dict[str, Wanted] = {}
    """Further fields and their values (or patterns) that an object must have."""
    values: Levels | None = None
    """Values to set, in the field's own unit; None for "as in the baseline"."""
    multiply: Numbers | None = None
    """Factors."""
    add: Numbers | None = None
    """Summands, in the field's own unit."""
    operation: Operation = "set"
    """What a table's values mean."""
    also: tuple[Target, ...] = ()
    """Further fields that get the same."""

    @called_by_people
    def __init__(self, object: str | None = None, field: str | None = None, /, **settings: Any) -> None:
        positional = {"object": object, "field": field}
        super().__init__(**{name: value for name, value in positional.items() if value is not None}, **settings)

    @model_validator(mode="before")
    @classmethod
    def _read_operation(cls, data: Any) -> Any:
        return _operation_of(data, {"values": "set", "multiply": "multiply", "add": "add"})

    @property
    def title(self) -> str:
        """What it varies, for people."""
        return f"{self.object}: {self.field}"

    @property
    def given(self) -> tuple[Value, ...] | str | None:
        """The levels, or the expression that computes the value, as the user gave them."""
        return self.values or self.multiply or self.add

    def edited_types(self) -> tuple[str, ...]:
        """Return the object types of which it edits fields."""
        return (self.object, *(target.object for target in self.also if target.object))

    def edits(self, value: Scalar, files: Mapping[str, InputRef]) -> tuple[FieldEdit, ...]:
        """Return the edits that `value` stands for, one per target."""
        del files
        targets = (Target(name=self.name, where=self.where), *self.also)
        return tuple(
            FieldEdit(
                target.object or self.object, target.field or self.field, self.operation, value,
                target.name, tuple(sorted(target.where.items())),
            )
            for target in targets
        )  # fmt: skip

    def definition(self) -> dict[str, Any]:
        """Return what makes two parameters of one name the same, without the levels; case does not matter."""
        spelled = self.model_dump(mode="json", exclude={"values", "multiply", "add", "also"})
        where = {_folded(name): value for name, value in self.where.items()}
        also = [
            {
                "object": (target.object or self.object).casefold(),
                "field": _folded(target.field or self.field),
                "name": target.name,
                "where": {_folded(name): value for name, value in target.where.items()},
            }
            for target in self.also
        ]
        found = {**spelled, "object": self.object.casefold(), "field": _folded(self.field), "where": where}
        return {**found, **({"also": also} if also else {})}


class Schedule(Varied):
    """A parameter that changes the numbers of one schedule, or replaces it.

    Exactly one of `add`, `multiply` and `replace` lists the levels for a grid; the first two may compute them.

    Parameters
    ----------
    schedule
        The schedule's name; case does not matter.

    Examples
    --------
    >>> Schedule("CLGSETP_SCH", add=[0, 1.5]).levels
    (0, 1.5)
    """

    schedule: StrictStr
    """Name of the schedule."""
    add: Numbers | None = None
    """Summands for each of its numbers, in the schedule's unit."""
    multiply: Numbers | None = None
    """Factors for each of its numbers."""
    replace: NumbersOrFiles | None = None
    """What stands for it instead: a constant, or the path of a CSV with a number for each hour of the year."""
    operation: Literal["add", "multiply", "replace"] = "replace"
    """What a table's values mean."""

    @called_by_people
    def __init__(self, schedule: str | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if schedule is None else {"schedule": schedule}), **settings)

    @model_validator(mode="before")
    @classmethod
    def _read_operation(cls, data: Any) -> Any:
        return _operation_of(data, {word: word for word in ("add", "multiply", "replace")})

    @property
    def title(self) -> str:
        """What it varies, for people."""
        return f"schedule {self.schedule}"

    @property
    def given(self) -> tuple[Value, ...] | str | None:
        """The levels, or the expression that computes the value, as the user gave them."""
        return self.add or self.multiply or self.replace

    def file_names(self, value: Scalar) -> tuple[str, ...]:
        """Return the files that `value` names, as the study spells them."""
        return (value,) if self.operation == "replace" and isinstance(value, str) else ()

    def edits(self, value: Scalar, files: Mapping[str, InputRef]) -> tuple[ScheduleEdit, ...]:
        """Return the edit that `value` stands for."""
        if isinstance(value, str) and self.operation == "replace":
            return (ScheduleEdit(self.schedule, "replace", file=files[value]),)
        return (ScheduleEdit(self.schedule, self.operation, value),)

    def definition(self) -> dict[str, Any]:
        """Return what makes two parameters of one name the same, without the levels."""
        return {"schedule": self.schedule.casefold(), "operation": self.operation}


class Insert(Varied):
    """A parameter that adds the objects of a file to the model.

    Parameters
    ----------
    insert
        Paths of IDF or epJSON files without a Version; None leaves the model as in the baseline.
    """

    insert: Files | None = None
    """Levels for a grid; None if a table gives them."""

    @called_by_people
    def __init__(self, insert: Iterable[str | None] | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if insert is None else {"insert": insert}), **settings)

    @property
    def title(self) -> str:
        """What it varies, for people."""
        return "inserted objects"

    @property
    def given(self) -> tuple[Value, ...] | str | None:
        """The levels, as the user gave them."""
        return self.insert

    def file_names(self, value: Scalar) -> tuple[str, ...]:
        """Return the files that `value` names, as the study spells them."""
        return (str(value),)

    def edits(self, value: Scalar, files: Mapping[str, InputRef]) -> tuple[InsertEdit, ...]:
        """Return the edit that `value` stands for."""
        return (InsertEdit(files[str(value)]),)

    def definition(self) -> dict[str, Any]:
        """Return what makes two parameters of one name the same, without the levels."""
        return {"insert": True}


class Call(Varied):
    """A parameter that calls a Python function with the model.

    Parameters
    ----------
    call
        A function that takes ``(document, value)`` and edits the `idfkit.IDFDocument` in place, or
        ``"module:name"`` of one.
    values
        What to call it with; None leaves the model as in the baseline.
    version
        Part of the variant's identity beside the function's source text: change it when something that
        the function calls has changed.
    """

    call: Any
    """The function, or ``module:name``."""
    values: Levels | None = None
    """Levels for a grid; None if a table gives them."""
    version: StrictStr = ""
    """Version that the author declares."""

    @called_by_people
    def __init__(self, call: str | Callable[[Any, Any], object] | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if call is None else {"call": call}), **settings)

    @field_validator("call")
    @classmethod
    def _read_call(cls, call: Any) -> Any:
        if isinstance(call, str):
            if not re.fullmatch(r"[\w.]+:[\w.]+", call):
                raise ValueError(f"{call!r} is not of the form 'module:function'")
            return call
        # Two of one name cannot be told apart, and what a closure holds is in no source text.
        if not inspect.isfunction(call) or call.__name__ == "<lambda>" or call.__closure__:
            raise ValueError(f"{call!r} is no function made with `def` that gets all it needs as its arguments")
        return call

    @field_serializer("call")
    def _write_call(self, _call: Any) -> str:
        return self.function_name

    @property
    def title(self) -> str:
        """What it varies, for people."""
        return self.function_name

    @property
    def given(self) -> tuple[Value, ...] | str | None:
        """The levels, or the expression that computes the value, as the user gave them."""
        return self.values

    @property
    def function_name(self) -> str:
        """``module:qualified_name`` of the function."""
        return self.call if isinstance(self.call, str) else f"{self.call.__module__}:{self.call.__qualname__}"

    def function(self) -> Callable[[Any, Any], object]:
        """Return the function, imported if it was named.

        Raises
        ------
        ImportError, AttributeError
            The module or the function does not exist.
        """
        if not isinstance(self.call, str):
            return self.call  # type: ignore[no-any-return]
        import importlib  # noqa: PLC0415 - only for studies that name a function

        module, _, name = self.call.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        if not callable(found):
            raise ImportError(f"{self.call} is not a function")
        return found  # type: ignore[no-any-return]

    def source(self) -> str:
        """Return the function's source text, or "" where Python cannot tell it."""
        try:
            return inspect.getsource(self.function())
        except (OSError, TypeError):
            return ""

    def edits(self, value: Scalar, files: Mapping[str, InputRef]) -> tuple[CallEdit, ...]:
        """Return the edit that `value` stands for."""
        del files
        return (CallEdit(self.function_name, value, self.source(), self.version),)

    def definition(self) -> dict[str, Any]:
        """Return what makes two parameters of one name the same, without the levels."""
        return {"call": self.function_name}


def _folded(field: str) -> str:
    """Return one spelling for "Watts per Floor Area" and ``watts_per_floor_area``."""
    return re.sub(r"\W+", "_", field).casefold()
