"""Expressions of parameters: ``exclude: ["wwr == 0.4 and glazing == 'double'"]``, ``values: "insulation * 1.5"``.

Decides which Python they may hold: comparisons, ``and``, ``or``, ``not``, ``in``, ``x if condition else y``,
arithmetic, names of parameters and constants. They are read as Python and never run as such, so a
stranger's study file runs no code.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bemsweep.errors import nearest

__all__ = ["compile_condition", "compile_value"]

_SHOWN = 200
_WORDS = {"null": None, "true": True, "false": False}
_ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv
}  # fmt: skip
_COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Is: operator.eq, ast.IsNot: operator.ne,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.In: lambda item, group: item in group, ast.NotIn: lambda item, group: item not in group,
}  # fmt: skip

_Values = Mapping[str, Any]
_Part = Callable[[_Values], Any]


def compile_condition(text: str, names: Collection[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Return a function that tells whether a point's values meet the condition.

    Arithmetic with null, or with a text, gives null. A comparison that makes no sense, such as null or a
    text against a number, is false; only ``==``, ``!=`` and ``in`` look at null itself.

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
    >>> is_met = compile_condition("lighting > 6 or city == 'denver'", ["lighting", "city"])
    >>> is_met({"lighting": 8, "city": "chicago"}), is_met({"lighting": None, "city": "denver"})
    (True, True)
    >>> is_met({"lighting": None, "city": "chicago"})
    False
    """
    part = _compile(text, names, what="condition")
    return lambda values: bool(part(values))


def compile_value(text: str, names: Collection[str]) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that computes a value from a point's values.

    Arithmetic with null, or with a text, gives null, and so does a division by zero.

    Parameters
    ----------
    text
        The expression, for example ``"insulation * 1.5"``.
    names
        Parameters that it may name.

    Raises
    ------
    ValueError
        The text is no expression, or it names something else.

    Examples
    --------
    >>> value = compile_value("0.3 if city == 'denver' else 2 * lighting", ["lighting", "city"])
    >>> value({"lighting": 4, "city": "chicago"}), value({"lighting": None, "city": "chicago"})
    (8, None)
    """
    return _compile(text, names, what="expression")


def _compile(text: str, names: Collection[str], *, what: str) -> _Part:
    shown = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on style is not for a study's author
            part = _part(ast.parse(text.strip(), mode="eval").body, names)
    except _NotAllowedError as error:
        raise ValueError(f"{shown}: {error}") from None
    except (SyntaxError, ValueError):
        raise ValueError(f"{shown} is no {what}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{shown} is too long: no {what} needs that") from None
    return part


class _NotAllowedError(Exception):
    pass


def _part(node: ast.expr, names: Collection[str]) -> _Part:  # noqa: PLR0911 - one for each kind of node
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as constant):
            return lambda _: constant
        case ast.Name(id=name):
            return _name(name, names)
        case ast.List(elts=nodes) | ast.Tuple(elts=nodes):
            parts = [_part(one, names) for one in nodes]
            return lambda values: [part(values) for part in parts]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            negated = _part(operand, names)
            return lambda values: not negated(values)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _arithmetic(operator.sub, lambda _: 0, _part(operand, names))
        case ast.BoolOp(op=word, values=nodes):
            quantifier = all if isinstance(word, ast.And) else any
            parts = [_part(one, names) for one in nodes]
            return lambda values: quantifier(part(values) for part in parts)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
            return _arithmetic(_ARITHMETIC[type(sign)], _part(left, names), _part(right, names))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            is_met, then, otherwise = (_part(one, names) for one in (test, body, orelse))
            return lambda values: then(values) if is_met(values) else otherwise(values)
        case ast.Compare(left=left, ops=signs, comparators=nodes):
            parts = [_part(one, names) for one in (left, *nodes)]
            return _comparison([_COMPARISONS[type(sign)] for sign in signs], parts)
    what = type(getattr(node, "op", node)).__name__
    raise _NotAllowedError(f"{what} is not allowed in an expression")


def _name(name: str, names: Collection[str]) -> _Part:
    if name in names:
        return lambda values: values[name]
    if name not in _WORDS:
        raise _NotAllowedError(f"no parameter {name!r}{nearest(name, names)}")
    return lambda _: _WORDS[name]


def _arithmetic(operate: Callable[[Any, Any], Any], left: _Part, right: _Part) -> _Part:
    def compute(values: _Values) -> Any:
        operands = left(values), right(values)
        if not all(isinstance(operand, (int, float)) for operand in operands):
            return None  # also keeps `text * 10**9` from filling the memory
        try:
            return operate(*operands)
        except (ZeroDivisionError, OverflowError):
            return None

    return compute


def _comparison(compares: list[Callable[[Any, Any], Any]], parts: list[_Part]) -> _Part:
    def hold(values: _Values) -> bool:
        found = [part(values) for part in parts]
        try:
            return all(compare(a, b) for compare, a, b in zip(compares, found, found[1:], strict=False))
        except TypeError:
            return False

    return hold
