"""Parameters: the things of a study that vary.

Defines `Field` and `Call` and what each of their values does to a model. Never opens a model.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    PlainValidator,
    StrictStr,
    Tag,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from bemsweep.edits import CallEdit, FieldEdit, Operation, Scalar
from bemsweep.errors import StudyError
from bemsweep.studyfile import shown, study_problems

__all__ = ["Call", "Field", "Parameter", "Part", "Value", "called_by_people", "read_level"]

_LARGEST = sys.float_info.max

Value = bool | int | float | str | None
"""A parameter's value for one variant; None is "as in the baseline"."""


_Init = TypeVar("_Init", bound=Callable[..., None])


def called_by_people(init: _Init) -> _Init:
    """Mark an ``__init__`` as one that pydantic passes by when it makes the parts of a study file.

    There pydantic collects what is wrong itself; a part made in Python raises it as `StudyError` at once.
    """
    init.__pydantic_base_init__ = True  # type: ignore[attr-defined]
    return init


class Part(BaseModel):
    """Base of a study's parts: frozen, and no unknown key passes.

    Raises
    ------
    StudyError
        Anything is wrong with the part; all of it is told at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)

    @called_by_people
    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise StudyError(study_problems(error, settings, {}, parts={"": type(self)})) from None


def read_level(level: Any) -> Value:
    """Return a level as Python's own value.

    Parameters
    ----------
    level
        A number, a text, a truth value, None, or numpy's kind of one of them.

    Raises
    ------
    ValueError
        It is none of these, or a number that is not finite.
    """
    plain = level.item() if hasattr(level, "item") else level
    if isinstance(plain, (int, float)) and not abs(plain) <= _LARGEST:  # nan is not
        raise ValueError(f"{shown(plain)} is no number to work with; null means as in the baseline")
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    raise ValueError(f"{shown(plain)} is no number, text, true, false or null")


def _read_number(level: Any) -> Value:
    number = read_level(level)
    if isinstance(number, (bool, str)):
        raise ValueError(f"{number!r} is not a number to calculate with")
    return number


def _read_wanted(level: Any) -> Value:
    value = read_level(level)
    if value is None:
        raise ValueError("null is no value to look for")
    return value


def _check_levels(levels: tuple[Value, ...]) -> tuple[Value, ...]:
    if not levels:
        raise ValueError("there is no level")
    repeated = [repr(level) for number, level in enumerate(levels) if level in levels[:number]]  # also 6 and 6.0
    if repeated:
        raise ValueError(f"given twice: {', '.join(dict.fromkeys(repeated))}")
    return levels


Levels = Annotated[tuple[Annotated[Value, PlainValidator(read_level)], ...], AfterValidator(_check_levels)]
Numbers = Annotated[tuple[Annotated[Value, PlainValidator(_read_number)], ...], AfterValidator(_check_levels)]


class Field(Part):
    """A parameter that edits one field of some objects.

    Exactly one of `values`, `multiply` and `add` lists the levels for a grid; for a table, the
    levels stand there and `operation` says what they mean.

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
    where: dict[str, Annotated[Scalar, PlainValidator(_read_wanted)]] = {}
    """Further fields and their values (or patterns) that an object must have."""
    values: Levels | None = None
    """Values to set, in the field's own unit; None for "as in the baseline"."""
    multiply: Numbers | None = None
    """Factors."""
    add: Numbers | None = None
    """Summands, in the field's own unit."""
    operation: Operation = "set"
    """What a table's values mean."""

    @called_by_people
    def __init__(self, object: str | None = None, field: str | None = None, /, **settings: Any) -> None:
        positional = {"object": object, "field": field}
        super().__init__(**{name: value for name, value in positional.items() if value is not None}, **settings)

    @model_validator(mode="before")
    @classmethod
    def _read_operation(cls, data: Any) -> Any:
        if isinstance(data, dict):
            listed = [name for name in ("values", "multiply", "add") if data.get(name) is not None]
            if len(listed) > 1:
                raise ValueError(f"give one of values, multiply and add, not {' and '.join(listed)}")
            if listed:
                operation = "set" if listed[0] == "values" else listed[0]
                if data.get("operation", operation) != operation:
                    raise ValueError(f"{listed[0]} and operation: {data['operation']} contradict each other")
                data = {**data, "operation": operation}
        return data

    @property
    def levels(self) -> tuple[Value, ...] | None:
        """The levels for a grid, or None if a table gives them."""
        return self.values or self.multiply or self.add

    def edit(self, value: Scalar) -> FieldEdit:
        """Return the edit that `value` stands for."""
        where = tuple(sorted(self.where.items()))
        return FieldEdit(self.object, self.field, self.operation, value, self.name, where)

    def definition(self) -> dict[str, Any]:
        """Return what makes two parameters of one name the same, without the levels; case does not matter."""
        spelled = self.model_dump(mode="json", exclude={"values", "multiply", "add"})
        where = {_folded(name): value for name, value in self.where.items()}
        return {**spelled, "object": self.object.casefold(), "field": _folded(self.field), "where": where}


class Call(Part):
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
    def levels(self) -> tuple[Value, ...] | None:
        """The levels for a grid, or None if a table gives them."""
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

    def edit(self, value: Scalar) -> CallEdit:
        """Return the edit that `value` stands for."""
        return CallEdit(self.function_name, value, self.source(), self.version)

    def definition(self) -> dict[str, Any]:
        """Return what makes two parameters of one name the same, without the levels."""
        return {"call": self.function_name}


def _folded(field: str) -> str:
    """Return one spelling for "Watts per Floor Area" and ``watts_per_floor_area``."""
    return re.sub(r"\W+", "_", field).casefold()


def _kind_of_parameter(data: Any) -> str | None:
    if isinstance(data, (Field, Call)):
        return type(data).__name__
    if isinstance(data, dict):
        return "Call" if "call" in data else "Field" if "object" in data or "field" in data else None
    return None


# The tags are capitalised, so that none is also a key of a study file: error paths drop them.
Parameter = Annotated[
    Annotated[Field, Tag("Field")] | Annotated[Call, Tag("Call")],
    Discriminator(_kind_of_parameter),
]
