"""What one variant changes in its baseline, as plain values.

An edit says which objects, which field and what to do; it never holds a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CallEdit", "Edit", "FieldEdit", "Operation", "Scalar"]

Scalar = float | int | str | bool
"""A value that a field of a model, or a parameter of a study, can take."""

Operation = Literal["set", "multiply", "add"]


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


Edit = FieldEdit | CallEdit
