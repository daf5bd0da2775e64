"""One number for a whole run in the place of a series: its sum, mean, extremes and percentiles over time.

Decides which words there are, how each is computed to the last bit, and what the reduced series is called. Never
decides what a study asks for, and never reads a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bemsweep.errors import nearest
from bemsweep.outputs import reduced_array
from bemsweep.records import Method, Series

__all__ = [
    "cell_method",
    "is_reduced",
    "read_reductions",
    "reduced_series",
    "source_array",
    "why_not_reducible",
]

_LONG = {"sum": "sum", "mean": "mean", "max": "maximum", "min": "minimum"}
"""Words that are no percentile -> what CF calls them."""

_MEANT = {"average": "mean", "avg": "mean", "total": "sum", "median": "p50", "p0": "min", "p100": "max"}
"""What people write -> the word."""

_PERCENTILE = re.compile(r"p(?P<percent>[0-9]{1,2}(?:\.[0-9]{1,3})?)")
_RUN = "run "
"""Begins the method of a reduced series, since its word alone may be that of one with time."""


def read_reductions(given: Any) -> tuple[str, ...]:
    """Return the words of a study's ``reduce`` as they are used, in an order of their own.

    Parameters
    ----------
    given
        One word or a list of them: ``sum``, ``mean``, ``max``, ``min``, or a percentile between 0 and 100 with at
        most three decimals, such as ``p95`` or ``p99.6``. Case does not matter.

    Raises
    ------
    ValueError
        There is no word, one is unknown or one comes twice; tells all of it.

    Examples
    --------
    >>> read_reductions(["p95", "MAX", "p5.0"])
    ('max', 'p5', 'p95')
    """
    entries = [given] if isinstance(given, str) else list(given) if isinstance(given, (list, tuple)) else []
    known = f"known: {', '.join(_LONG)}, and percentiles such as p95"
    if not entries:
        raise ValueError(f"`reduce` takes a word or a list of them, not {given!r}; {known}")
    words = [_word(entry) for entry in entries]
    problems = [f"no reduction {entry!r}{_hint(entry)}" for entry, word in zip(entries, words, strict=True) if not word]
    if problems:
        problems[-1] += f"; {known}"
    found = [word for word in words if word]
    problems += [f"{word!r} is given twice" for word in dict.fromkeys(found) if found.count(word) > 1]
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(sorted(found, key=_rank))


def _word(entry: Any) -> str:
    """Return the word as it is used, or ``""`` if it is none."""
    text = entry.strip().casefold() if isinstance(entry, str) else ""
    match = _PERCENTILE.fullmatch(text)
    if match and float(match["percent"]) > 0:
        return f"p{float(match['percent']):g}"
    return text if text in _LONG else ""


def _hint(entry: Any) -> str:
    if not isinstance(entry, str):
        return ""
    meant = _MEANT.get(entry.strip().casefold())
    return f" (did you mean {meant!r}?)" if meant else nearest(entry, _LONG)


def _rank(word: str) -> tuple[int, float]:
    return (list(_LONG).index(word), 0.0) if word in _LONG else (len(_LONG), float(word[1:]))


def why_not_reducible(series: Series, words: Iterable[str]) -> str:
    """Return why a series cannot be reduced to `words`, or ``""`` if it can.

    Parameters
    ----------
    series
        As the engine reports it, with or without values.
    words
        As `read_reductions` returns them.
    """
    if series.method == "mean" and "sum" in words:
        return (
            f"{series.name!r} [{series.units}] is a mean over each interval: a sum of means depends on how many "
            "intervals there are and means nothing; reduce it to `mean`"
        )
    return ""


def reduced_series(series: Series, word: str, *, design_days: int = 0) -> Series:
    """Return what is kept of a series.

    Parameters
    ----------
    series
        As the engine reports it, with or without values.
    word
        As `read_reductions` returns it.
    design_days
        How many design days follow each other in its values; 0 for run periods, which are taken together.

    Returns
    -------
    Series
        Of the group ``annual``, without time; named ``<array>_<word>``.

    Shape
    -----
    One value, or one for each design day; none if `series` has none. NaN where a value is NaN.

    Notes
    -----
    A sum is the exact one, rounded once, whatever the order of the values; a mean is that sum divided by their
    number. Percentiles are numpy's, linear between the two nearest values.
    """
    rows = series.values.reshape(max(1, design_days), -1) if len(series.values) else ()
    return replace(
        series,
        output=reduced_array(series.output, word),
        frequency="annual",
        name=f"{series.name}, {_spelled(word)} of {series.frequency} values",
        method=f"{_RUN}{word}",
        values=np.array([_reduced(row, word) for row in rows], dtype=np.float64),
    )


def is_reduced(method: Method) -> bool:
    """Return True if a value stands for the whole run because its series was reduced."""
    return method.startswith(_RUN)


def cell_method(method: Method) -> str:
    """Return what CF calls a reduction; ``""`` for a percentile, of which it knows only the median.

    Examples
    --------
    >>> cell_method("run max"), cell_method("run p50"), cell_method("run p95")
    ('maximum', 'median', '')
    """
    word = method.removeprefix(_RUN)
    return "median" if word == "p50" else _LONG.get(word, "")


def source_array(name: str, method: Method) -> str:
    """Return the name of the array that was reduced to one called `name`.

    Examples
    --------
    >>> source_array("power_p99_6", "run p99.6"), source_array("power", "sum")
    ('power', 'power')
    """
    return name.removesuffix(reduced_array("", method.removeprefix(_RUN))) if is_reduced(method) else name


def _spelled(word: str) -> str:
    return _LONG.get(word) or f"percentile {word[1:]}"


def _reduced(values: npt.NDArray[np.float64], word: str) -> float:
    if word == "sum":
        return _sum(values)
    if word == "mean":
        return _sum(values) / len(values)
    if word == "max":
        return float(values.max())
    if word == "min":
        return float(values.min())
    with np.errstate(invalid="ignore"):  # between two infinite values there is none
        return float(np.percentile(values, float(word[1:])))


def _sum(values: npt.NDArray[np.float64]) -> float:
    try:
        return math.fsum(values.tolist())
    except (OverflowError, ValueError):  # beyond what a float holds, or infinities of both signs
        with np.errstate(over="ignore", invalid="ignore"):
            return float(values.sum())
