"""Designs: the points of a study, in a fixed order.

Decides which rows the variant table has and in which order. Never opens a model.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bemsweep.errors import InputError, Problem, StudyError, nearest
from bemsweep.expressions import compile_condition, compile_value
from bemsweep.options import Options
from bemsweep.parts import Value, read_level
from bemsweep.study import Study
from bemsweep.studyfile import has_no_place, shown

__all__ = ["LABELS", "Points", "design_points"]

LABELS = ("baseline", "weather")
"""Columns that every study has before its parameters: which model, which climate."""


_SHOWN = 5
"""How many broken rows of a table are told."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True)
class Points:
    """Rows of the variant table before the engine is known."""

    names: tuple[str, ...]
    """Columns: baseline, weather, then the parameters."""
    rows: tuple[tuple[Value, ...], ...]
    """One value per column; baseline and weather are labels, None is "as in the baseline"."""


def design_points(
    study: Study,
    labels: Mapping[str, Sequence[str]],
    *,
    most: int | None,
    local: Callable[[str], Path] | None = None,
) -> Points:
    """Return the points that `study` asks for, references first, without repetitions.

    Parameters
    ----------
    study
        The study.
    labels
        Labels of the baselines and of the weather files.
    most
        Largest number of points that is all right; None for any.
    local
        Finds the local file of a table that the study names; None where that is a path.

    Raises
    ------
    StudyError
        The table or a condition is wrong, the design is empty, or it has more than `most` points.
    """
    names = (*LABELS, *study.parameters)
    problems: list[Problem] = []
    conditions = [*_conditions(study, names, problems)]
    computed = dict(_computed(study, problems))
    try:
        columns, count, points = _grid(study, labels) if study.design == "grid" else _table(study, labels, local)
    except StudyError as error:
        raise StudyError([*error.problems, *problems]) from None
    if most is not None and count > most:
        told = f"the design has {count:,} points: pass --yes (yes=True in Python) if more than {most:,} are meant"
        problems.append(study.problem(told, "design"))
    if problems:
        raise StudyError(problems)
    order = [columns.index(name) if name in columns else None for name in names]
    wanted = (tuple(None if position is None else point[position] for position in order) for point in points)
    if computed:
        wanted = (_with_computed(study, row, names, computed) for row in wanted)
    if conditions:
        wanted = (row for row in wanted if not any(is_met(dict(zip(names, row, strict=True))) for is_met in conditions))
    rows = dict.fromkeys(wanted)
    if not rows:
        left = "no point is left by `exclude`" if count else "it has no point"
        raise StudyError([study.problem(f"the design is empty: {left}", "design")])
    told = "'' cannot be told from null in the results: give null, or an option whose edit sets a field to ''"
    if nameless := [name for position, name in enumerate(names) if any(row[position] == "" for row in rows)]:
        raise StudyError([study.problem(told, "parameters", name) for name in nameless])
    if study.reference:
        blank = (None,) * len(study.parameters)
        rows = dict.fromkeys([*((*pair, *blank) for pair in itertools.product(*(labels[n] for n in LABELS))), *rows])
    if unwritable := list(_unwritable(study, names, rows)):
        raise StudyError(unwritable)
    return Points(names, tuple(rows))


def _unwritable(study: Study, names: Sequence[str], rows: Collection[tuple[Value, ...]]) -> Iterator[Problem]:
    for position, name in enumerate(names):
        where = (name,) if name in LABELS else ("parameters", name)
        for text in dict.fromkeys(row[position] for row in rows):
            if isinstance(text, str) and has_no_place(text):
                yield study.problem(f"{shown(text)} holds a character that results cannot: NUL, or half of one", *where)


def _conditions(
    study: Study, names: tuple[str, ...], problems: list[Problem]
) -> Iterator[Callable[[Mapping[str, Any]], bool]]:
    for number, text in enumerate(study.exclude):
        try:
            yield compile_condition(text, names)
        except ValueError as error:
            problems.append(study.problem(str(error), "exclude", number))


_Compute = Callable[[Mapping[str, Any]], Any]
_Local = Callable[[str], Path]


def _computed(study: Study, problems: list[Problem]) -> Iterator[tuple[str, _Compute]]:
    """Yield how each parameter is computed that others decide: those that do not, and what is computed before it."""
    known = [*LABELS, *(name for name, parameter in study.parameters.items() if parameter.expression is None)]
    for name, parameter in study.parameters.items():
        if parameter.expression is None:
            continue
        try:
            yield name, compile_value(parameter.expression, known)
        except ValueError as error:
            problems.append(study.problem(str(error), "parameters", name))
        known.append(name)


def _with_computed(
    study: Study, row: tuple[Value, ...], names: tuple[str, ...], computed: Mapping[str, _Compute]
) -> tuple[Value, ...]:
    values = dict(zip(names, row, strict=True))
    for name, compute in computed.items():
        try:
            values[name] = read_level(compute(values))
        except ValueError as error:
            raise StudyError([study.problem(f"{error}, as computed from {values}", "parameters", name)]) from None
    return tuple(values.values())


_Columns = tuple[tuple[str, ...], int, Iterator[tuple[Value, ...]]]


def _grid(study: Study, labels: Mapping[str, Sequence[str]]) -> _Columns:
    levels: list[Sequence[Value]] = [labels[name] for name in LABELS]
    free = {name: parameter for name, parameter in study.parameters.items() if parameter.expression is None}
    levels += [parameter.levels or (None,) for parameter in free.values()]
    return (*LABELS, *free), math.prod(map(len, levels)), itertools.product(*levels)


def _table(study: Study, labels: Mapping[str, Sequence[str]], local: _Local | None) -> _Columns:
    """Return the listed points, each for every baseline and weather that the table does not choose itself."""
    names, rows = _read_table(study, local)
    known = (*LABELS, *(name for name, parameter in study.parameters.items() if parameter.expression is None))
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    problems = [study.problem(f"column {name!r} is no parameter{nearest(name, known)}", "design") for name in unknown]
    repeated = sorted({name for name in names if names.count(name) > 1})
    problems += [study.problem(f"the table has two columns {name!r}", "design") for name in repeated]
    missing = [name for name in known[len(LABELS) :] if name not in names]
    problems += [study.problem(f"the table has no column for parameter {name!r}", "design") for name in missing]
    for label in LABELS:
        if label in names and label not in unknown:
            column = {row[names.index(label)] for row in rows}
            problems += [
                study.problem(f"the table names a {label} {value!r}{nearest(str(value), labels[label])}", "design")
                for value in sorted(column - set(labels[label]), key=str)
            ]
    for position, name in enumerate(names):
        problems += [study.problem(text, "design") for text in _column_problems(name, [row[position] for row in rows])]
    if problems:
        raise StudyError(problems)
    chosen = [label for label in LABELS if label not in names]
    others = list(itertools.product(*(labels[label] for label in chosen)))
    points = ((*other, *row) for other in others for row in rows)
    return (*chosen, *names), len(others) * len(rows), points


def _column_problems(name: str, values: Sequence[Value]) -> Iterator[str]:
    kinds = {type(value) for value in values}
    if bool in kinds and kinds & {int, float}:
        yield f"column {name!r} of the table mixes numbers with true and false, which count as 1 and 0"
    for row, value in enumerate(values, 1):
        try:
            read_level(value)
        except ValueError as error:
            yield f"column {name!r} of the table, row {row}: {error}"
            return


def _read_table(study: Study, local: _Local | None) -> tuple[list[str], list[tuple[Value, ...]]]:
    assert study.design != "grid"  # noqa: S101 - narrows the type
    table = study.design.table
    texts = _columns_of_labels(study)
    if isinstance(table, pd.DataFrame):
        names = [str(name) for name in table.columns]
        columns = [_plain_column(table.iloc[:, n], is_text=name in texts) for n, name in enumerate(names)]
    elif isinstance(table, dict):
        names = list(table)
        columns = [_plain_column(column, is_text=name in texts) for name, column in table.items()]
    else:
        return _read_csv(study, str(table), local or (lambda path: study.folder / Path(path).expanduser()))
    return names, list(zip(*columns, strict=True))


def _columns_of_labels(study: Study) -> set[str]:
    """Return the columns of a table that hold labels, which are texts even if they look like numbers."""
    return {*LABELS, *(name for name, parameter in study.parameters.items() if isinstance(parameter, Options))}


def _plain_column(column: Iterable[Any], *, is_text: bool) -> list[Value]:
    values = [_plain(value) for value in column]
    return [value if value is None else str(value) for value in values] if is_text else values


def _plain(value: Any) -> Value:
    """Return a Python value for one of numpy or pandas; what is missing there is null."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    plain: Any = value.item() if hasattr(value, "item") else value
    return plain if isinstance(plain, (bool, int, float, str)) else str(plain)


def _read_csv(study: Study, table: str, local: _Local) -> tuple[list[str], list[tuple[Value, ...]]]:
    try:
        content = local(table).read_bytes()
        lines = [(line, cells) for line, cells in _csv_lines(content) if any(cell.strip() for cell in cells)]
    except InputError as error:
        raise StudyError([study.problem(f"cannot read the table {error}", "design", "table")]) from None
    except (OSError, ValueError) as error:
        raise StudyError([study.problem(f"cannot read the table {table}: {error}", "design", "table")]) from None
    if not lines:
        raise StudyError([study.problem(f"the table {table} is empty", "design", "table")])
    names, texts = [name.strip() for name in lines[0][1]], _columns_of_labels(study)
    problems = [
        study.problem(f"{table}, line {line}: {len(cells)} cells, the header has {len(names)}", "design", "table")
        for line, cells in lines[1:]
        if len(cells) != len(names)
    ]
    if problems:
        more = len(problems) - _SHOWN
        told = study.problem(f"{table}: {more} more lines have other numbers of cells", "design", "table")
        raise StudyError([*problems[:_SHOWN], *([told] if more > 0 else [])])
    columns = [
        [cell.strip() or None for cell in column] if name in texts else _read_column(column)
        for name, column in zip(names, zip(*(cells for _, cells in lines[1:]), strict=True), strict=False)
    ]
    return names, list(zip(*columns, strict=True))


def _csv_lines(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row and the line in which it begins; what is wrong is a ValueError with its line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not encoded as UTF-8") from None
    reader, read = csv.reader(io.StringIO(text, newline=""), strict=True), 0
    try:
        for cells in reader:
            yield read + 1, cells
            read = reader.line_num
    except csv.Error as error:
        told = "a quotation mark is never closed" if "end of data" in str(error) else error
        raise ValueError(f"line {read + 1}: {told}") from None


def _read_column(cells: Sequence[str]) -> list[Value]:
    """Return numbers if every cell that is not blank is a finite one, else texts; a blank cell is null."""
    texts = [cell.strip() or None for cell in cells]
    try:
        numbers = [None if text is None else _number(text) for text in texts]
    except ValueError:
        return list(texts)
    return list(numbers)


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):  # Python would also take "1_000", "nan" and other alphabets' digits
        raise ValueError(text)
    return float(text) if set(text) & set(".eE") else int(text)
