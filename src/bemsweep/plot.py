"""Pictures of results: functions that take a Dataset, draw on matplotlib's Axes and return them.

Decides how results look: units on every axis, colours that survive colour blindness and grey printing, text that
fits a column of a journal. Never reads a store, never changes matplotlib's settings, never shows or saves a
figure.

``pip install 'bemsweep[plot]'`` brings matplotlib. Without `ax` a new figure is as wide as a page, 170 mm;
for another one make the Axes with ``plt.subplots(figsize=..., layout="constrained")``, which keeps legends and
labels inside the figure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from bemsweep.errors import BemsweepError
from bemsweep.levels import (
    BASELINE,
    Column,
    coded_levels,
    design_rows,
    group_dataset,
    level_text,
    read_columns,
    reference_rows,
)
from bemsweep.plot_axes import (
    MONTHS,
    axes_or_new,
    characters,
    day_ticks,
    few_ticks,
    label,
    legend_above,
    readable_units,
    shortened,
)
from bemsweep.plot_values import as_power, by_month, output_of, per_variant, scaled, step_hours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "distribution",
    "end_uses_by_month",
    "heat_map",
    "load_duration",
    "main_effects",
    "parallel_coordinates",
]

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#999999")
"""Okabe and Ito's colours, apart from each other also for the colour-blind; black is the reference's."""

_DASHES = ("-", "--", "-.", ":")
_REFERENCE: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}
_MUTED = "#AAAAAA"

_FUELS = {
    "Electricity": "", "NaturalGas": "////", "DistrictCooling": "....", "DistrictHeatingWater": "xxxx",
    "DistrictHeatingSteam": "++++", "Propane": "----", "FuelOilNo1": "oooo", "FuelOilNo2": "OOOO", "Coal": "||||",
    "Diesel": "\\\\\\\\", "Gasoline": "****", "OtherFuel1": "/\\/\\", "OtherFuel2": "+-+-",
}  # fmt: skip
"""Fuels of end-use meters, and the hatch that tells one from another."""

_MOST_LINES = 8
"""More variants than that are no longer told apart by colour."""


def end_uses_by_month(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw one variant's energy by end use as stacked bars, a bar a month.

    Parameters
    ----------
    ds
        Results of one variant with meters of end uses, such as ``Heating:NaturalGas``, monthly or finer.
    ax
        Where to draw; a new figure if None.

    Returns
    -------
    matplotlib.axes.Axes
        Colours tell end uses, hatches fuels. End uses that are 0 all year are left out.

    Raises
    ------
    BemsweepError
        There are several variants, or no meters of end uses, or no values, or matplotlib is not there.

    Units
    -----
    kWh, MWh or GWh.
    """
    meters = {str(name): _end_use(output) for name, output in ds.data_vars.items()}
    uses = {name: use for name, use in meters.items() if use is not None}
    if not uses:
        raise BemsweepError(
            "there are no meters of end uses, such as 'Heating:NaturalGas' or 'Cooling:Electricity', in J; "
            "add them to the study's outputs, monthly"
        )
    monthly = [by_month(output_of(ds, name), frequency=ds.attrs.get("frequency", "")) for name in uses]
    energy = scaled(xr.concat(monthly, "use", coords="minimal", compat="override", combine_attrs="override"))
    if energy.isnull().all():
        raise BemsweepError("this variant has no values; its `status` says why")
    every = [(*use, values) for use, values in zip(uses.values(), np.nan_to_num(energy.values), strict=True)]
    shown = [(use, fuel, values) for use, fuel, values in every if values.any()]
    colours = dict(zip(sorted({use for use, _, _ in shown}), itertools.cycle(_COLOURS), strict=False))
    ax = axes_or_new(ax, height_mm=80)
    months = energy["time"].dt.month.values
    above, below = np.zeros(len(months)), np.zeros(len(months))
    for use, fuel, values in shown:
        named = "" if fuel == "Electricity" else f" ({'gas' if fuel == 'NaturalGas' else _words(fuel).lower()})"
        told = f"{_words(use)}{named}"
        style: Any = {"color": colours[use], "hatch": _FUELS[fuel], "edgecolor": "white", "linewidth": 0.4}
        ax.bar(range(len(months)), values, bottom=np.where(values >= 0, above, below), label=told, **style)
        above, below = above + np.maximum(values, 0), below + np.minimum(values, 0)
    ax.set_xticks(range(len(months)), [MONTHS[month - 1] for month in months])
    ax.set_xlabel("time [month]")
    ax.set_ylabel(f"energy [{readable_units(energy.attrs['units'])}]")
    legend_above(ax, title="electricity, unless a fuel is named")
    return ax


def main_effects(ds: xr.Dataset, output: str, *, ax: Axes | None = None) -> Axes:
    """Draw the mean of an output at each level of each parameter, a row for each level.

    Parameters
    ----------
    ds
        A group of results, with variants along ``variant``.
    output
        Name of an output of one value per variant and instant; sums of intervals are added up over time,
        other values averaged.
    ax
        Where to draw; a new figure if None.

    Returns
    -------
    matplotlib.axes.Axes
        A dot is the mean over all variants of the design with that level; the dotted line is the mean of all,
        the dashed one the reference.

    Raises
    ------
    BemsweepError
        There is no such output, it has other dims or no values, no parameter has two levels, or matplotlib is not
        there.

    Units
    -----
    The output's; energy in kWh, MWh or GWh, power in W, kW or MW.

    Notes
    -----
    Means compare like with like only if the design is a whole grid: holes of ``exclude`` and failed variants
    shift them.
    """
    ds = group_dataset(ds)
    values = scaled(per_variant(ds, output))
    if values.isnull().all():
        raise BemsweepError(f"no variant has values of {output!r}; its `status` says why")
    columns = read_columns(ds)
    rows = design_rows(columns)
    coded = [(column, *coded_levels(column, rows)) for column in columns]
    shown = [(column, levels, codes) for column, levels, codes in coded if len(levels) > 1]
    if not shown:
        raise BemsweepError("no parameter has two levels in these variants, so there is no effect to draw")
    count = sum(1 + len(levels) for _, levels, _ in shown)
    ax = axes_or_new(ax, height_mm=22 + 5 * count)
    width = characters(ax, "x")
    ticks: list[str] = []
    for (column, levels, codes), colour in zip(shown, itertools.cycle(_COLOURS), strict=False):
        ticks.append(label(ds[column.name], width=width // 2, lines=1).replace("\n", " "))
        means = pd.Series(values.values[rows]).groupby(codes).mean()
        places = np.arange(len(ticks), len(ticks) + len(levels))
        ax.plot(means.to_numpy(), places, color=colour, marker="o", markersize=4, linewidth=1)
        ticks += [shortened(level_text(level), width=width // 3) for level in levels.tolist()]
    ax.axvline(float(values[rows].mean()), color=_MUTED, linestyle=":", linewidth=1.2, label="mean of all", zorder=0)
    _reference_lines(ax, values, columns)
    ax.set_yticks(range(count), ticks)
    heads = np.cumsum([0, *(1 + len(levels) for _, levels, _ in shown[:-1])])
    for head in heads:
        ax.get_yticklabels()[head].set_fontweight("bold")
        ax.yaxis.get_major_ticks()[head].tick1line.set_visible(False)
    ax.set_ylim(count - 0.5, -0.5)
    ax.set_ylabel("parameter [unit], level")
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.6)
    ax.set_axisbelow(True)
    few_ticks(ax)
    legend_above(ax)
    ax.set_xlabel(label(values, width=characters(ax, "x"), prefix="mean of"))
    return ax


def load_duration(ds: xr.Dataset, output: str, *, ax: Axes | None = None) -> Axes:
    """Draw for how many hours an output is at least as high as a value, a line for each variant.

    Parameters
    ----------
    ds
        Results of one or more variants at a fixed interval: hourly, timestep or daily.
    output
        Name of the output, of one key.
    ax
        Where to draw; a new figure if None.

    Returns
    -------
    matplotlib.axes.Axes
        Up to eight variants have colours and a legend; of more, the reference stands out. Variants without
        values are left out.

    Raises
    ------
    BemsweepError
        There is no such output, it has other dims, no variant has values, or matplotlib is not there.

    Units
    -----
    The output's; energy as the mean power of its interval, in W, kW or MW.
    """
    hours = step_hours(ds)
    power = scaled(as_power(output_of(ds, output, kept=["variant"]), hours))
    power = (power if "variant" in power.dims else power.expand_dims("variant")).transpose("variant", "time")
    power = power.isel(variant=np.flatnonzero(power.notnull().any("time").values))
    if not power.sizes["variant"]:
        raise BemsweepError(f"no variant has values of {output!r}; its `status` says why")
    power.encoding = dict(ds[output].encoding)  # has the study's order of parameters
    names = _variant_names(power)
    ax = axes_or_new(ax, height_mm=80)
    for name, style, values in zip(names, _line_styles(names), power.values, strict=True):
        descending = np.sort(values[~np.isnan(values)])[::-1]
        ax.plot(np.arange(1, len(descending) + 1) * hours, descending, **{"label": name, **style})
    ax.set_xlim(0, None)
    if power.attrs.get("units") in ("W", "kW", "MW") and power.min() >= 0:
        ax.set_ylim(0, None)
    ax.set_xlabel("time exceeded [h]")
    ax.set_ylabel(label(power, width=characters(ax, "y") // 2))
    few_ticks(ax)
    legend_above(ax)
    ax.set_ylabel(label(power, width=characters(ax, "y")))
    return ax


def heat_map(ds: xr.Dataset, output: str, *, ax: Axes | None = None) -> Axes:
    """Draw an output of one variant by day and time of day.

    Parameters
    ----------
    ds
        Results of one variant, hourly or timestep.
    output
        Name of the output, of one key.
    ax
        Where to draw; a new figure if None.

    Returns
    -------
    matplotlib.axes.Axes
        What is missing is white.

    Raises
    ------
    BemsweepError
        There is no such output, it has other dims, is no hourly or timestep one or of several run periods, or
        matplotlib is not there.

    Units
    -----
    The output's; energy as the mean power of its interval, in W, kW or MW. Local standard time.
    """
    hours = step_hours(ds)
    values = scaled(as_power(output_of(ds, output), hours))
    if hours > 1 or values["time"].dtype.kind != "M":
        raise BemsweepError(f"{output!r} has no value for each hour of a date; take the group 'hourly' of weather runs")
    if "run_period" in values.coords and len(periods := np.unique(values["run_period"].values)) > 1:
        told = ", ".join(map(str, periods))
        raise BemsweepError(f"{output!r} is of the run periods {told}: choose one, ds.isel(time=ds.run_period == NAME)")
    time = pd.DatetimeIndex(values["time"].values)
    days = (time.normalize() - time[0].normalize()).days
    table = pd.Series(values.values).groupby([time.hour + time.minute / 60, days]).first().unstack()
    table = table.reindex(columns=range(int(days.max()) + 1))
    ax = axes_or_new(ax, height_mm=65)
    day_edges = np.arange(len(table.columns) + 1)
    mesh = ax.pcolormesh(
        day_edges, np.arange(len(table) + 1) * hours, table.to_numpy(), cmap="cividis", rasterized=True
    )
    day_ticks(ax, pd.date_range(time[0].normalize(), periods=len(table.columns)))
    ax.set_yticks(range(0, 25, 6))
    ax.set_ylabel("time of day [h]")
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
    bar.set_label(label(values, width=characters(ax, "y")))
    return ax


def parallel_coordinates(ds: xr.Dataset, outputs: str | Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw each variant as a line through its parameters' levels and its outputs.

    Parameters
    ----------
    ds
        A group of results, with variants along ``variant``.
    outputs
        Names of outputs of one value per variant and instant, added up or averaged over time as in
        `main_effects`. The last one gives the lines their colours, dark for low.
    ax
        Where to draw; a new figure if None.

    Returns
    -------
    matplotlib.axes.Axes
        Parameters with one level are left out, and variants with a missing output. The reference is dashed.

    Raises
    ------
    BemsweepError
        There is no such output, it has other dims, no variant has all of them, or matplotlib is not there.

    Units
    -----
    Of each axis below it; energy in kWh, MWh or GWh, power in W, kW or MW.
    """
    ds = group_dataset(ds)
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    found = [scaled(per_variant(ds, name)) for name in names]
    rows = np.flatnonzero(np.all([np.isfinite(output.values) for output in found], axis=0))
    if not len(rows):
        raise BemsweepError(f"no variant has values of {' and '.join(map(repr, names))}; its `status` says why")
    columns = read_columns(ds)
    scales = [scale for column in columns if (scale := _scale_of_levels(column, rows)) is not None]
    varied = [column.name for column in columns if _scale_of_levels(column, rows) is not None]
    heads = [ds[name] for name in varied] + found
    scales += [_scale_of_values(output.values[rows]) for output in found]
    ax = axes_or_new(ax, height_mm=80)
    width = max(characters(ax, "x") // len(scales) - 1, 4)
    _draw_lines(ax, np.array([heights for heights, _ in scales]), np.isin(rows, reference_rows(columns)))
    for place, (_, ticks) in enumerate(scales):
        ax.axvline(place, color="black", linewidth=0.8, zorder=3)
        for height, text in ticks:
            ax.annotate(
                shortened(text, width=width),
                (place, height),
                xytext=(-2, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                zorder=4,
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )
    names = [label(head, width=width) for head in heads]
    is_narrow = any(len(line) > width + 2 for name in names for line in name.splitlines())
    if is_narrow:
        names = [label(head, width=characters(ax, "y") // 2, lines=max(width // 3, 1)) for head in heads]
    ax.set_xticks(range(len(scales)), names, rotation=90 if is_narrow else 0)
    ax.tick_params(axis="x", length=0)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    legend_above(ax)
    return ax


def distribution(ds: xr.Dataset, output: str, *, ax: Axes | None = None) -> Axes:
    """Draw how many variants have which value of an output, and where the reference stands.

    Parameters
    ----------
    ds
        A group of results, with variants along ``variant``.
    output
        Name of an output of one value per variant and instant, added up or averaged over time as in
        `main_effects`.
    ax
        Where to draw; a new figure if None.

    Returns
    -------
    matplotlib.axes.Axes
        A histogram with a tick for each variant below; references are dashed lines.

    Raises
    ------
    BemsweepError
        There is no such output, it has other dims, no variant has values, or matplotlib is not there.

    Units
    -----
    The output's; energy in kWh, MWh or GWh, power in W, kW or MW.
    """
    ds = group_dataset(ds)
    values = scaled(per_variant(ds, output))
    columns = read_columns(ds)
    others = np.delete(values.values, reference_rows(columns))
    others = others[np.isfinite(others)]
    if not others.size:
        raise BemsweepError(f"no variant but references has values of {output!r}; its `status` says why")
    ax = axes_or_new(ax, height_mm=70)
    ax.hist(others, bins="auto", color=_COLOURS[4], edgecolor="white", linewidth=0.6)
    ax.plot(others, np.zeros(len(others)), "|", color="black", markersize=8, label="a variant")
    _reference_lines(ax, values, columns)
    ax.locator_params(axis="y", integer=True)
    ax.set_ylabel("variants [–]")  # noqa: RUF001
    few_ticks(ax)
    legend_above(ax)
    ax.set_xlabel(label(values, width=characters(ax, "x")))
    return ax


def _end_use(output: xr.DataArray) -> tuple[str, str] | None:
    """Return end use and fuel of a meter, such as ``("Heating", "NaturalGas")``; None of any other output."""
    use, _, fuel = str(output.attrs.get("long_name", "")).partition(":")
    return (use, fuel) if use and fuel in _FUELS and output.attrs.get("units") == "J" else None


def _words(name: str) -> str:
    """Return ``Interior lights`` for ``InteriorLights``."""
    return "".join(f" {letter.lower()}" if letter.isupper() and place else letter for place, letter in enumerate(name))


def _variant_names(output: xr.DataArray) -> list[str]:
    """Return what each variant has that neither all have nor its baseline; the only reference is called so."""
    columns = read_columns(output.to_dataset(name="output"))
    references = set(reference_rows(columns).tolist())
    varied = [column for column in columns if len(set(map(level_text, column.values.tolist()))) > 1]
    rows = range(output.sizes["variant"])
    told = ([f"{one.name} {level_text(one.values[row])}" for one in varied if not one.is_null[row]] for row in rows)
    names = [", ".join(parts) or (BASELINE if varied else "") for parts in told]
    if len(references) == 1:
        names = ["reference" if row in references else name for row, name in enumerate(names)]
    return [name or "_nolegend_" for name in names]


def _line_styles(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    cycle = zip(itertools.cycle(_COLOURS), itertools.cycle(_DASHES), strict=False)
    for name in names:
        if name == "reference":
            yield {**_REFERENCE, "linestyle": "-", "zorder": 3}
        elif len(names) > _MOST_LINES:
            yield {"color": _MUTED, "linewidth": 0.5, "label": "_nolegend_"}
        else:
            colour, dashes = next(cycle)
            yield {"color": colour, "linestyle": dashes, "linewidth": 1.2}


def _reference_lines(ax: Axes, values: xr.DataArray, columns: Sequence[Column]) -> None:
    """Draw a line at each reference, named by its baseline and weather if there are several."""
    rows = reference_rows(columns)
    labels = [column for column in columns if column.name in ("baseline", "weather") and len(set(column.values)) > 1]
    for row, dash in zip(rows, itertools.cycle(("--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))), strict=False):
        value = float(values[row])
        if np.isfinite(value):
            told = ", ".join(["reference", *(str(column.values[row]) for column in labels)])
            ax.axvline(value, label=told, **{**_REFERENCE, "linestyle": dash})


_Scale = tuple[npt.NDArray[np.float64], list[tuple[float, str]]]
"""A height between 0 and 1 for each variant, and the texts along the axis by height."""


def _scale_of_levels(column: Column, rows: npt.NDArray[np.intp]) -> _Scale | None:
    levels, codes = coded_levels(column, rows)
    if len(levels) < 2:
        return None
    if levels.dtype.kind == "f":
        return _scale_of_values(levels[codes], given=levels)
    heights = np.linspace(0, 1, len(levels))
    return heights[codes], [(height, level_text(level)) for height, level in zip(heights, levels, strict=True)]


def _scale_of_values(values: npt.NDArray[Any], *, given: npt.NDArray[Any] | None = None) -> _Scale:
    """Return the scale of numbers; its texts are the levels `given`, if they are few, else round numbers."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - an optional extra

    low, high = float(values.min()), float(values.max())
    ticks = np.asarray(given if given is not None and len(given) <= 6 else MaxNLocator(5).tick_values(low, high))
    low, high = min(low, float(ticks[0])), max(high, float(ticks[-1]))
    span = high - low or 1.0
    texts: list[tuple[float, str]] = []
    for tick in ticks.tolist():
        height = (tick - low) / span
        if not texts or height - texts[-1][0] >= 0.09:  # nearer ones would overlap
            texts.append((height, f"{tick:.4g}"))
    return (values - low) / span, texts


def _draw_lines(ax: Axes, heights: npt.NDArray[np.float64], is_reference: npt.NDArray[np.bool_]) -> None:
    """Draw a line per column of `heights`, coloured by its last height."""
    from matplotlib import colormaps  # noqa: PLC0415 - an optional extra

    colours = colormaps["viridis"](0.95 * heights[-1])
    places = np.arange(len(heights))
    width = 1.2 if heights.shape[1] <= 50 else 0.6
    for line, colour, is_one in zip(heights.T, colours, is_reference, strict=True):
        if is_one:
            ax.plot(places, line, label="reference", zorder=2.5, **{**_REFERENCE, "linewidth": 1.6})
        else:
            ax.plot(places, line, color=colour, linewidth=width, zorder=2)
