"""Options: labels that stand for several edits; and with them all that a study can vary.

Defines `Options` and `Parameter`, the union of all kinds. Never opens a model or any other file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Tag, field_validator

from bemsweep.edits import Edit, InputRef, Scalar
from bemsweep.parameters import Call, Field, Insert, Schedule, Varied
from bemsweep.parts import Value, called_by_people

__all__ = ["Change", "Options", "Parameter"]


def _kind_of_parameter(data: Any) -> str | None:
    if isinstance(data, Varied):
        return type(data).__name__
    if isinstance(data, dict):
        keys = {"call": "Call", "schedule": "Schedule", "options": "Options", "insert": "Insert", "object": "Field"}
        return next((kind for key, kind in keys.items() if key in data), "Field" if "field" in data else None)
    return None


def _with_one_level(edit: Any) -> Any:
    """Return an option's edit as the parameter with one level that it is."""
    if not isinstance(edit, Mapping):
        return edit
    # A schedule is not set but replaced, and a file inserted: their unknown keys are told as they were written.
    words = () if "schedule" in edit or "insert" in edit else ("set", "value")
    if len(given := [word for word in (*words, "values") if word in edit]) > 1:
        raise ValueError(f"an edit of an option has one value, not {' and '.join(given)}")
    lists = ("values", "multiply", "add", "replace", "insert")
    named = {"values" if key in words else key: setting for key, setting in edit.items()}
    return {
        key: [setting] if key in lists and not isinstance(setting, (list, tuple)) else setting
        for key, setting in named.items()
    }


def _check_one_level(change: Change) -> Change:
    if change.levels is None or len(change.levels) != 1 or change.levels[0] is None:
        raise ValueError("an edit of an option has one value: `set`, `multiply`, `add`, `replace`, `insert` or `value`")
    return change


def _only_level(change: Change) -> Scalar:
    (level,) = change.levels or ()
    return level  # type: ignore[return-value]  # checked: not None


# The tags are capitalised, so that none is also a key of a study file: error paths drop them.
Change = Field | Schedule | Insert | Call
"""What one edit of an option is: a parameter with a single level."""

_Change = Annotated[
    Annotated[Field, Tag("Field")]
    | Annotated[Schedule, Tag("Schedule")]
    | Annotated[Insert, Tag("Insert")]
    | Annotated[Call, Tag("Call")],
    Discriminator(_kind_of_parameter),
]


class Options(Varied):
    """A parameter whose values are labels, each of which stands for several edits.

    Parameters
    ----------
    options
        Label -> list of edits in order: mappings as in a study file, such as ``{"object": "Lights", "field":
        "watts_per_floor_area", "set": 6}``, ``{"schedule": NAME, "multiply": 0.5}``, ``{"insert": FILE}`` and
        ``{"call": FUNCTION, "value": 3}``, or parameters with one level.

    Examples
    --------
    >>> lights = {"object": "Lights", "field": "watts_per_floor_area", "set": 4}
    >>> Options({"as built": [], "led": [lights]}).levels
    ('as built', 'led')
    """

    options: dict[str, list[Annotated[_Change, AfterValidator(_check_one_level)]]]
    """Label -> edits, in order."""

    @called_by_people
    def __init__(self, options: Mapping[str, Any] | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if options is None else {"options": options}), **settings)

    @field_validator("options", mode="before")
    @classmethod
    def _read_options(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not given:
            raise ValueError("options are a mapping of labels to lists of edits")
        labels = {str(label) if type(label) is int else label: edits for label, edits in given.items()}
        if wrong := [label for label in labels if not isinstance(label, str) or not label.strip()]:
            raise ValueError(f"{wrong[0]!r} is no label: give it as a text")
        return {
            label: [_with_one_level(edit) for edit in edits] if isinstance(edits, (list, tuple)) else edits
            for label, edits in labels.items()
        }

    @property
    def title(self) -> str:
        """What it varies, for people."""
        return "options"

    @property
    def given(self) -> tuple[Value, ...] | str | None:
        """The labels."""
        return tuple(self.options)

    def changes(self, value: Scalar) -> tuple[Change, ...]:
        """Return the parts, each with one level, that the label `value` stands for."""
        return tuple(self.options[str(value)])

    def file_names(self, value: Scalar) -> tuple[str, ...]:
        """Return the files that `value` names, as the study spells them."""
        return tuple(name for change in self.changes(value) for name in change.file_names(_only_level(change)))

    def edited_types(self) -> tuple[str, ...]:
        """Return the object types of which it edits fields."""
        return tuple(name for changes in self.options.values() for change in changes for name in change.edited_types())

    def edits(self, value: Scalar, files: Mapping[str, InputRef]) -> tuple[Edit, ...]:
        """Return the edits that `value` stands for, in order."""
        return tuple(edit for change in self.changes(value) for edit in change.edits(_only_level(change), files))

    def definition(self) -> dict[str, Any]:
        """Return what makes two parameters of one name the same: the edits of each label."""
        return {
            "options": {
                label: [{**change.definition(), "value": _only_level(change)} for change in changes]
                for label, changes in self.options.items()
            }
        }


Parameter = Annotated[
    Annotated[Field, Tag("Field")]
    | Annotated[Schedule, Tag("Schedule")]
    | Annotated[Options, Tag("Options")]
    | Annotated[Insert, Tag("Insert")]
    | Annotated[Call, Tag("Call")],
    Discriminator(_kind_of_parameter),
]
"""What a study varies."""
