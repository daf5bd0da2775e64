"""What the parts of a study share: they are frozen, they know no other keys, and levels are plain values.

Decides which values a parameter can take. Knows no kind of parameter, and never opens a file.
"""

from __future__ import annotations

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
)

from bemsweep.edits import Scalar
from bemsweep.errors import StudyError
from bemsweep.places import check_no_secret
from bemsweep.studyfile import shown, study_problems

__all__ = ["Files", "Levels", "Numbers", "NumbersOrFiles", "Part", "Value", "Wanted", "called_by_people", "read_level"]

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


def _read_file_or_number(level: Any) -> Value:
    value = read_level(level)
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no number and no file")
    return check_no_secret(value) if isinstance(value, str) else value


def _read_file(level: Any) -> Value:
    value = read_level(level)
    if value is None or isinstance(value, str):
        return value if value is None else check_no_secret(value)
    raise ValueError(f"{value!r} is no file")


def _is_expression(given: Any) -> str:
    return "Expression" if isinstance(given, str) else "Levels"


_Expression = Annotated[StrictStr, Tag("Expression")]
_Levels = Annotated[tuple[Annotated[Value, PlainValidator(read_level)], ...], AfterValidator(_check_levels)]
_Numbers = Annotated[tuple[Annotated[Value, PlainValidator(_read_number)], ...], AfterValidator(_check_levels)]

Levels = Annotated[Annotated[_Levels, Tag("Levels")] | _Expression, Discriminator(_is_expression)]
Numbers = Annotated[Annotated[_Numbers, Tag("Levels")] | _Expression, Discriminator(_is_expression)]

NumbersOrFiles = Annotated[
    tuple[Annotated[Value, PlainValidator(_read_file_or_number)], ...], AfterValidator(_check_levels)
]
Files = Annotated[tuple[Annotated[Value, PlainValidator(_read_file)], ...], AfterValidator(_check_levels)]
Wanted = Annotated[Scalar, PlainValidator(_read_wanted)]
"""A value to look for."""
