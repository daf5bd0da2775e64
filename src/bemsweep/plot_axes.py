"""Axes that fit a journal's column: labels with units, ticks and legends that leave each other room.

Decides how text on a picture reads and where it stands. Never draws values, and never changes them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bemsweep.errors import BemsweepError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "MONTHS",
    "axes_or_new",
    "characters",
    "day_ticks",
    "few_ticks",
    "label",
    "legend_above",
    "readable_units",
    "shortened",
]

MONTHS = "JFMAMJJASOND"
"""First letters of the months, which fit below a column's bars."""

_EM = 0.55
"""Mean width of a character, as a part of the type's size."""

_MM = 1 / 25.4

_SPELLED = {"degC": "°C", "degree": "°", "ohm": "Ω"}
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_TOKEN = re.compile(r"(?P<name>[^\s\d-]+)(?P<power>-?\d+)?")
_WATT_HOURS = re.compile(r"W h(?=$| )")
_BREAKS = re.compile(r"(?<=[:_])(?=\w)|(?<=[a-z])(?=[A-Z])")
"""Where a long name may go on in the next line, as in ``Interior|Lights:|Electricity``."""

_NO_BREAK = "\N{NO-BREAK SPACE}"
_NONE = "–"  # noqa: RUF001 - an en dash is how tables show that there is no unit


def readable_units(units: str) -> str:
    """Return units as people write them, from the spelling of UDUNITS.

    Parameters
    ----------
    units
        As in the ``units`` attribute; what is no product of powers stays as it is.

    Examples
    --------
    >>> readable_units("W m-2 K-1"), readable_units("kW h m-2"), readable_units("degC"), readable_units("1")
    ('W/(m² K)', 'kWh/m²', '°C', '–')
    """  # noqa: RUF002
    if units in ("", "1"):
        return _NONE
    tokens = [_TOKEN.fullmatch(token) for token in _WATT_HOURS.sub("Wh", units).split()]
    above: list[str] = []
    below: list[str] = []
    for token in tokens:
        if token is None:
            return units
        name, power = _SPELLED.get(token["name"], token["name"]), int(token["power"] or 1)
        (above if power > 0 else below).append(name + (str(abs(power)).translate(_RAISED) if abs(power) > 1 else ""))
    numerator = " ".join(above) or "1"
    if not below:
        return numerator
    return f"{numerator}/{below[0]}" if len(below) == 1 else f"{numerator}/({' '.join(below)})"


def label(output: xr.DataArray, *, width: int, lines: int = 4, prefix: str = "") -> str:
    """Return a name with its unit, such as ``Electricity:Facility [kWh]``, in lines of `width` characters.

    Parameters
    ----------
    output
        An output: its ``long_name``, else its name, and its ``units``; or a parameter: its name in the study, and
        its ``units`` if they are known.
    width
        Most characters in a line, but for words longer than that.
    lines
        About how many lines there may be: a longer name is shortened, its unit never.
    prefix
        What the values are of the output, such as ``mean of``.
    """
    is_parameter = output.name in output.coords
    name = str(output.name if is_parameter else output.attrs.get("long_name", output.name))
    unit = readable_units(str(output.attrs.get("units", "1"))).replace(" ", _NO_BREAK)
    bracket = "" if is_parameter and "units" not in output.attrs else f"[{unit}]"
    told = [""]
    name = shortened(name, width=max(lines * width - len(prefix) - len(unit) - width // 4, width))
    for word in f"{prefix} {name} {bracket}".strip().split(" "):
        pieces = [word] if len(word) <= width else _BREAKS.split(word)
        for number, piece in enumerate(pieces):
            gap = " " if told[-1] and not number else ""
            if told[-1] and len(told[-1] + gap + piece) > width:
                told.append(piece)
            else:
                told[-1] += gap + piece
    return "\n".join(told)


def shortened(text: str, *, width: int) -> str:
    """Return `text` if it has at most `width` characters, else its beginning and an ellipsis; never a formula.

    Examples
    --------
    >>> shortened("triple glazing", width=20), shortened("triple glazing", width=8)
    ('triple glazing', 'triple …')
    """
    cut = text if len(text) <= width else f"{text[: max(width - 1, 1)]}…"
    return cut.replace("$", r"\$")  # else matplotlib takes what stands between two of them for one


def axes_or_new(ax: Axes | None, *, height_mm: float) -> Axes:
    """Return `ax`, or those of a new figure as wide as a page if it is None.

    Raises
    ------
    BemsweepError
        matplotlib is not there.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot as plt  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise BemsweepError("pictures need matplotlib; install it with: pip install 'bemsweep[plot]'") from None
    return plt.subplots(figsize=(170 * _MM, height_mm * _MM), layout="constrained")[1]


def day_ticks(ax: Axes, days: pd.DatetimeIndex) -> None:
    """Mark months by their first letter, or, of a shorter time, some days."""
    if len(days) > 62:
        starts = np.flatnonzero(days.day == 1).tolist()
        middles = [(place, days[place].month) for place in (start + 14 for start in starts) if place < len(days)]
        ax.set_xticks(starts, [""] * len(starts))
        ax.set_xticks([place for place, _ in middles], [MONTHS[month - 1] for _, month in middles], minor=True)
        ax.tick_params(axis="x", which="minor", length=0)
        ax.set_xlabel("time [month]")
    else:
        places = range(0, len(days), -(-len(days) // max(characters(ax, "x") // 8, 2)))
        ax.set_xticks(places, [f"{days[place].month:02}-{days[place].day:02}" for place in places])
        ax.set_xlabel("date [month-day]")


def few_ticks(ax: Axes) -> None:
    """Leave only as many numbers below the axis as have room."""
    ax.locator_params(axis="x", nbins=max(characters(ax, "x") // 7, 2))


def characters(ax: Axes, direction: str) -> int:
    """Return about how many characters fit along a side of the Axes, as it is laid out with what it has so far."""
    ax.figure.canvas.figure.draw_without_rendering()
    box = ax.get_window_extent()
    points = (box.width if direction == "x" else box.height) * 72 / ax.figure.dpi
    return int(points / (_EM * ax.xaxis.label.get_fontproperties().get_size_in_points()))


def legend_above(ax: Axes, *, title: str | None = None) -> None:
    """Put the legend above the Axes, each entry once, in as many columns as the figure has room for."""
    by_label = {text: handle for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    if not by_label:
        return
    texts = [shortened(text, width=characters(ax, "x") - 6) for text in by_label]
    place: Any = {"loc": "lower left", "bbox_to_anchor": (0, 1.01), "borderaxespad": 0, "alignment": "left"}
    looks: Any = {"frameon": False, "fontsize": "small", "title_fontsize": "small", "columnspacing": 1}
    looks |= {"handlelength": 1.6, "handletextpad": 0.5}
    room = ax.figure.bbox.x1 - ax.get_window_extent().x0
    for columns in range(len(texts), 0, -1):
        legend = ax.legend(list(by_label.values()), texts, title=title, ncols=columns, **place, **looks)
        if legend.get_window_extent().width <= room:
            return
