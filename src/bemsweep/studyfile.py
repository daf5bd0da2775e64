"""Reading a study file: YAML 1.2 to plain values, and what is wrong with them to messages with lines.

Decides which values would make code run, and nothing else about what they mean. Never runs any.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from bemsweep.errors import Problem, StudyError, nearest

__all__ = ["Lines", "has_no_place", "parse_yaml", "runs_code", "shown", "study_problems"]

_TAGS = frozenset(
    {
        "Field", "Schedule", "Options", "Insert", "Call", "Levels", "Expression",
        "Meter", "Variable", "Table", "Summary", "ListedDesign",
    }
)  # fmt: skip
_SHOWN = 100
_MOST_VALUES = 300_000
_TAKES = {
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "string_type": "a text",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "invalid_key": "a text for a key",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_too_short": "a text that is not blank",
    "too_short": "at least one entry",
}
"""pydantic's kind of finding -> what the place takes."""

Lines = Mapping[tuple[str | int, ...], int]
"""Path of keys and list positions -> line in the file, counted from 1."""


def parse_yaml(text: str) -> tuple[Any, Lines]:
    """Return the values of a YAML 1.2 document and the line of each.

    Parameters
    ----------
    text
        The document.

    Raises
    ------
    StudyError
        The text is no YAML, or a mapping holds a key twice (every such key is told).
    """
    try:
        with warnings.catch_warnings(action="ignore", category=ReusedAnchorWarning):  # YAML allows it
            node = _loader().compose(text)
        if node is None:
            return None, {}
        problems = list(_key_problems(node, (), set()))
        if problems:
            raise StudyError(problems)
        places = _lines(node, ())
        lines = dict(itertools.islice(places, _MOST_VALUES))
        if (beyond := next(places, None)) is not None:  # a few lines of aliases of aliases stand for billions
            told = f"a study file of more than {_MOST_VALUES:,} values: put them into a table"
            raise StudyError([Problem(told, str(next(iter(beyond[0]), "")), beyond[1])])
        with warnings.catch_warnings(action="ignore", category=ReusedAnchorWarning):
            return _loader().load(text), lines
    except RecursionError:
        rows = text.splitlines() or [""]
        deepest = max(range(len(rows)), key=lambda row: rows[row].count("[") + rows[row].count("{"))
        raise StudyError([Problem("not a study: nested too deeply", line=deepest + 1)]) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        told = f"not YAML: the character {text[error.position : error.position + 1]!r} cannot stand in it"
        raise StudyError([Problem(told, line=line)]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise StudyError([Problem(f"not YAML: {error.problem}", line=mark.line + 1 if mark else None)]) from None
    except (YAMLError, ValueError, KeyError) as error:  # ruamel's own for a date or a number that is none
        raise StudyError([Problem(f"not YAML: {error}")]) from None


def _loader() -> Any:
    # The pure-Python loader follows YAML 1.2 (`Yes` and `22:00` are text); the C one follows 1.1.
    loader = YAML(typ="safe", pure=True)
    loader.allow_duplicate_keys = True  # found by `_key_problems`, all of them at once
    return loader


def _key_problems(
    node: Node, path: tuple[str | int, ...], seen: set[int], above: tuple[Node, ...] = ()
) -> Iterator[Problem]:
    if any(node is ancestor for ancestor in above):
        yield Problem("an alias that holds itself", ".".join(map(str, path)), node.start_mark.line + 1)
    if id(node) in seen:
        return
    seen.add(id(node))
    above = (*above, node)
    if isinstance(node, ScalarNode) and has_no_place(node.value):
        told = f"{shown(node.value)} holds a character that no file can: NUL, or half of one"
        yield Problem(told, ".".join(map(str, path)), node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line, where = key.start_mark.line + 1, ".".join(map(str, path))
            if not isinstance(key, ScalarNode):
                yield Problem("a key is a text, not a list or a mapping", where, line)
                continue
            if key.value in first:
                yield Problem(f"{key.value!r} is given twice, first on line {first[key.value]}", where, line)
            first.setdefault(key.value, line)
            yield from _key_problems(value, (*path, key.value), seen, above)
    elif isinstance(node, SequenceNode):
        for number, value in enumerate(node.value):
            yield from _key_problems(value, (*path, number), seen, above)


def _lines(node: Node, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    yield path, node.start_mark.line + 1
    children: Sequence[tuple[Any, Any, Any]] = ()
    if isinstance(node, MappingNode):
        children = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, SequenceNode):
        children = [(number, value, value) for number, value in enumerate(node.value)]
    for name, key, value in children:
        yield from _lines(value, (*path, name))
        yield (*path, name), key.start_mark.line + 1


def runs_code(settings: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Yield what a study file has that would make code of its author's choice run, and where.

    Parameters
    ----------
    settings
        The file's values, of whatever shape they are.

    Returns
    -------
    iterator of tuple
        What to tell, and the path of keys and list positions.

    Examples
    --------
    >>> [path for _, path in runs_code({"parameters": {"wwr": {"call": "edits:set_wwr"}}, "engine": "bin/energyplus"})]
    [('engine',), ('parameters', 'wwr', 'call')]
    """
    allowing = "look at it, then give --allow-python (in Python: allow_python=True)"
    if (engine := settings.get("engine")) is not None:
        other = "or name another one by --engine PATH (in Python: engine=PATH)"
        yield f"{shown(engine)} is a program, which runs code: {allowing}; {other}", ("engine",)
    for name, parameter in _items(settings.get("parameters")):
        edits: list[tuple[tuple[Any, ...], Any]] = [((), parameter)]
        for label, listed in _items(parameter.get("options") if isinstance(parameter, Mapping) else None):
            edits += [(("options", label, number), edit) for number, edit in _items(listed)]
        for where, edit in edits:
            if isinstance(edit, Mapping) and "call" in edit:
                yield f"{shown(edit['call'])} runs code: {allowing}", ("parameters", name, *where, "call")


def _items(values: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(values, Mapping):
        return values.items()
    return enumerate(values) if isinstance(values, (list, tuple)) else ()


def study_problems(
    error: ValidationError, data: Any, lines: Lines, *, parts: Mapping[str, type[BaseModel]]
) -> list[Problem]:
    """Turn pydantic's findings into ours: the path as the user wrote it, its line, the nearest right name.

    Parameters
    ----------
    error
        What pydantic found.
    data
        What was validated.
    lines
        Lines of the file, empty for a study made in Python.
    parts
        The models of a study by the name that stands in pydantic's paths; ``""`` is the study itself.
    """
    problems = []
    for finding in error.errors():
        if any(str(step).startswith("literal[") for step in finding["loc"]):
            continue  # the other alternative of the union tells it better
        path = _path_in(data, [step for step in finding["loc"] if step != "[key]"])
        line = next((lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in lines), None)
        problems.append(Problem(_message(finding, parts), ".".join(map(str, path)), line))
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)


def has_no_place(text: str) -> bool:
    """Return True if a text holds what cannot be written as UTF-8, or a NUL, at which other programs cut it."""
    return "\0" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text))


def shown(value: object) -> str:
    """Return how a message shows a value: never more than a line of it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _message(finding: Any, parts: Mapping[str, type[BaseModel]]) -> str:
    kind, given, last = finding["type"], finding["input"], finding["loc"][-1] if finding["loc"] else ""
    if kind == "extra_forbidden":
        return f"unknown key {last!r}{nearest(str(last), _known_keys(finding['loc'], parts))}"
    if kind == "missing":
        return f"{last!r} is missing"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _what_it_could_be(finding)
    if kind == "literal_error":
        expected = finding["ctx"]["expected"]
        hint = nearest(given, re.findall(r"'(.*?)'", expected)) if isinstance(given, str) else ""
        return f"{shown(given)} is none of {expected}{hint}"
    if kind in _TAKES:
        return f"this takes {_TAKES[kind]}, not {shown(given)}"
    message = str(finding["msg"]).removeprefix("Value error, ")
    return message if kind == "value_error" else f"{message}, not {shown(given)}"


def _what_it_could_be(finding: Any) -> str:
    known = ["object", "schedule", "options", "insert", "call"]
    if "options" in finding["loc"][:-1]:
        known = ["object", "schedule", "insert", "call"]
        what = "an edit is {object: …, field: …, set: …}, {schedule: …}, {insert: …} or {call: …, value: …}"
    elif finding["loc"][0] == "parameters":
        what = (
            "a parameter is {object: …, field: …, values: […]}, {schedule: …}, {options: …}, {insert: …} or {call: …}"
        )
    else:
        what = "an output is {meter: NAME}, {variable: NAME}, {table: {report: …}, as: NAME} or summary"
        known = ["meter", "variable", "table", "summary"]
    given = finding["input"]
    words = given if isinstance(given, Mapping) else [given] if isinstance(given, str) else []
    hints = [nearest(str(word), known) for word in words]
    return f"{what}, not {shown(given)}{next(filter(None, hints), '')}"


def _path_in(data: Any, location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Return `location` without pydantic's names of alternatives, which are in nobody's file."""
    path: list[str | int] = []
    for position, step in enumerate(location):
        is_key = position == len(location) - 1 and isinstance(step, str) and step not in _TAGS
        if isinstance(data, Mapping) and (step in data or is_key):
            data = data.get(step)
        elif isinstance(data, (list, tuple)) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _known_keys(location: Sequence[str | int], parts: Mapping[str, type[BaseModel]]) -> list[str]:
    owner = next((step for step in reversed(location[:-1]) if isinstance(step, str) and step in parts), "")
    # The one value of an option's edit has a word of its own.
    further = {"Field": ["set"], "Call": ["value"]}.get(owner, []) if "options" in location else []
    return [*(info.alias or name for name, info in parts[owner].model_fields.items()), *further]
