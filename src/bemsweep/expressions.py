"""Conditions on parameters, as in ``exclude: ["wwr == 0.4 and glazing == 'double'"]``.

Decides which Python a condition may hold: comparisons, ``and``, ``or``, ``not``, ``in``, arithmetic,
names of parameters and constants. Nothing else is compiled, so a stranger's study file runs no code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bemsweep.errors import nearest

__all__ = ["compile_condition"]

_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.Eq, ast.NotEq,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.BinOp, ast.Add, ast.Sub, ast.Mult,
    ast.Div, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple,
)  # fmt: skip


def compile_condition(text: str, names: Collection[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Return a function that tells whether a point's values meet the condition.

    An ordering that involves null is never met: test for null with ``lighting == null``.

    Parameters
    ----------
    text
        The condition, for example ``"lighting > 6 and weather == 'denver'"``.
    names
        Parameters that it may name.

    Raises
    ------
    ValueError
        The text is no condition, or it names something else.

    Examples
    --------
    >>> is_met = compile_condition("lighting > 6 and city != 'denver'", ["lighting", "city"])
    >>> is_met({"lighting": 8, "city": "chicago"}), is_met({"lighting": None, "city": "chicago"})
    (True, False)
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} is no condition") from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ValueError(f"{text!r}: {type(node).__name__} is not allowed in a condition")
        if isinstance(node, ast.Name) and node.id not in names and node.id != "null":
            raise ValueError(f"{text!r}: no parameter {node.id!r}{nearest(node.id, names)}")
    code = compile(tree, "<condition>", "eval")

    def is_met(values: Mapping[str, Any]) -> bool:
        try:
            return bool(eval(code, {"__builtins__": {}}, {"null": None, **values}))  # noqa: S307 - checked above
        except (TypeError, ZeroDivisionError, OverflowError):
            return False

    return is_met
