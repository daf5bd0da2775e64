"""Parameters: the things of a study that vary.

Defines `Field` and `Call` and what each of their values does to a model. Never opens a model.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic import Field as Setting

from bemsweep.edits import CallEdit, FieldEdit, Operation, Scalar

__all__ = ["Call", "Field", "Parameter", "Part", "Value"]

Value = StrictBool | StrictInt | StrictFloat | StrictStr | None
"""A parameter's value for one variant; None is "as in the baseline"."""


class Part(BaseModel):
    """Base of a study's parts: frozen, and no unknown key passes."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)


def _check_levels(levels: Sequence[Value]) -> Sequence[Value]:
    for number, level in enumerate(levels):
        if isinstance(level, float) and not math.isfinite(level):
            raise ValueError(f"{level} is not a number to set")
        if any(level == other and type(level) is type(other) for other in levels[:number]):
            raise ValueError(f"{level!r} is given twice")
    return levels


Levels = Annotated[tuple[Value, ...], Setting(min_length=1)]


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
    where: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] = {}
    """Further fields and their values (or patterns) that an object must have."""
    values: Levels | None = None
    """Values to set, in the field's own unit; None for "as in the baseline"."""
    multiply: Levels | None = None
    """Factors."""
    add: Levels | None = None
    """Summands, in the field's own unit."""
    operation: Operation = "set"
    """What a table's values mean."""

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
            if listed and "operation" in data:
                raise ValueError(f"operation is for tables; {listed[0]} says it already")
            if listed:
                data = {**data, "operation": "set" if listed[0] == "values" else listed[0]}
        return data

    @field_validator("values", "multiply", "add")
    @classmethod
    def _read_levels(cls, levels: Sequence[Value] | None) -> Sequence[Value] | None:
        return levels if levels is None else _check_levels(levels)

    @model_validator(mode="after")
    def _numbers_for_arithmetic(self) -> Self:
        for level in (*(self.multiply or ()), *(self.add or ())):
            if isinstance(level, (str, bool)):
                raise ValueError(f"{level!r} is not a number to {self.operation}")  # noqa: TRY004 - pydantic's way
        return self

    @property
    def levels(self) -> tuple[Value, ...] | None:
        """The levels for a grid, or None if a table gives them."""
        return self.values or self.multiply or self.add

    def edit(self, value: Scalar) -> FieldEdit:
        """Return the edit that `value` stands for."""
        where = tuple(sorted(self.where.items()))
        return FieldEdit(self.object, self.field, self.operation, value, self.name, where)

    def definition(self) -> dict[str, Any]:
        """Return what makes two parameters of one name the same, without the levels."""
        return self.model_dump(mode="json", exclude={"values", "multiply", "add"})


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

    def __init__(self, call: str | Callable[[Any, Any], object] | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if call is None else {"call": call}), **settings)

    @field_validator("call")
    @classmethod
    def _read_call(cls, call: Any) -> Any:
        if isinstance(call, str):
            if not re.fullmatch(r"[\w.]+:[\w.]+", call):
                raise ValueError(f"{call!r} is not of the form 'module:function'")
            return call
        if not callable(call):
            raise ValueError(f"{call!r} is not a function")  # noqa: TRY004 - pydantic's way
        return call

    @field_validator("values")
    @classmethod
    def _read_levels(cls, levels: Sequence[Value] | None) -> Sequence[Value] | None:
        return levels if levels is None else _check_levels(levels)

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
