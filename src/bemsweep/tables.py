"""Tabular reports: asking the engine for them, and finding cells in what it printed.

Decides which of the model's own tables a run keeps, which cell is meant by a report, table, row and column, and
which cells make up the output ``summary``. A number is the engine's own text, read as a float; nothing here
converts, rounds or adds up.

Source: EnergyPlus Output Details and Examples, "eplusout.sql", TabularDataWithStrings; Input Output
Reference, "Output:Table:SummaryReports".
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from idfkit import IDFDocument

from bemsweep.errors import ModelError, nearest
from bemsweep.outputs import END_USES, FIXED_LABELS, FUELS, Output
from bemsweep.records import KeyKind, Method, Series

__all__ = [
    "SUMMARY_SERIES",
    "Cell",
    "cell_number",
    "cell_series",
    "cells_meant",
    "has_text",
    "is_known_in_design_days",
    "read_cells",
    "read_scalars",
    "report_names",
    "request_tables",
]


class Cell(NamedTuple):
    """One cell of a tabular report, as it stands in the engine's SQLite."""

    report: str
    """Name of the report."""
    report_for: str
    """``Entire Facility``, or the zone, meter or other thing that the report is for."""
    table: str
    """Name of the table."""
    row: str
    """Heading of the row."""
    column: str
    """Heading of the column, without its unit."""
    units: str
    """EnergyPlus's own unit."""
    text: str
    """What is printed."""


_BUILDING = "AnnualBuildingUtilityPerformanceSummary"
_DEMAND = "DemandEndUseComponentsSummary"
_FACILITY = "Entire Facility"
_NUMBERS: Mapping[str, tuple[str, str, str, str]] = {
    "building_area": ("Building Area", "Total Building Area", "Area", "m2"),
    "conditioned_area": ("Building Area", "Net Conditioned Building Area", "Area", "m2"),
    "site_energy": ("Site and Source Energy", "Total Site Energy", "Total Energy", "GJ"),
    "net_site_energy": ("Site and Source Energy", "Net Site Energy", "Total Energy", "GJ"),
    "source_energy": ("Site and Source Energy", "Total Source Energy", "Total Energy", "GJ"),
    "site_energy_per_area": (
        "Site and Source Energy", "Total Site Energy", "Energy Per Total Building Area", "MJ/m2",
    ),
    "unmet_heating_hours": (
        "Comfort and Setpoint Not Met Summary", "Time Setpoint Not Met During Occupied Heating", "Facility", "Hours",
    ),
    "unmet_cooling_hours": (
        "Comfort and Setpoint Not Met Summary", "Time Setpoint Not Met During Occupied Cooling", "Facility", "Hours",
    ),
}  # fmt: skip
"""Array -> table, row, column and unit of its cell in the report `_BUILDING`."""

_TABLE, _TOTAL, _TIME = "End Uses", "Total End Uses", "Time of Peak"
_NO_VALUES = np.empty(0, dtype=np.float64)


def _number_series(
    array: str, names: Sequence[str], units: str, kind: KeyKind = "", method: Method = "scalar"
) -> Series:
    return Series(
        output=array,
        frequency="annual",
        key="",
        key_kind=kind,
        name=", ".join(filter(None, names)),
        units=units,
        method=method,
        values=_NO_VALUES,
    )


SUMMARY_SERIES: tuple[Series, ...] = (
    *(_number_series(array, [_BUILDING, *names], units) for array, (*names, units) in _NUMBERS.items()),
    _number_series("end_uses", [_BUILDING, _TABLE], "GJ", "fuel end_use"),
    _number_series("peak_demand", [_DEMAND, _TABLE, _TOTAL], "W", "fuel"),
    _number_series("peak_demand_time", [_DEMAND, _TABLE, _TIME], "min", "fuel", "moment"),
)
"""What every run reports of the output ``summary``; without values."""

_OTHER_NAMES = {
    "economicsresultssummaryreport": "economicresultsummary",
    "annualheatemissionsreport": "heatemissionssummary",
    "annualthermalresiliencesummary": "thermalresiliencesummary",
}
"""Reports that the engine prints under another name than the one that asks for them."""

_NEEDS = {
    "facilitycomponentloadsummary": "AirLoopComponentLoadSummary",
    "tariffreport": "EconomicResultSummary",
}
"""Reports that EnergyPlus 25.2 dies of, or leaves out, unless it prints another one, too."""

_OF_SIZING = frozenset(
    {
        "airloopcomponentloadsummary",
        "climaticdatasummary",
        "coilsizingdetails",
        "componentsizingsummary",
        "envelopesummary",
        "equipmentsummary",
        "facilitycomponentloadsummary",
        "hvacsizingsummary",
        "objectcountsummary",
        "standard621summary",
        "zonecomponentloadsummary",
    }
)
"""Reports about the model and its sizing, which do not need weather."""

_OWN_TABLES = ("Output:Table:Monthly", "Output:Table:Annual")
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_PEAK = re.compile(r"\s*(\d\d)-([A-Z]{3})-(\d\d):(\d\d)\s*")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LEAP_YEAR = 2000
_SHOWN = 12


def report_names(document: IDFDocument[bool]) -> list[str]:
    """Return every report that this model can print: EnergyPlus's own and the tables it defines, sorted."""
    return sorted({*_predefined(document).values(), *(obj.name for obj in _own_tables(document))})


def is_known_in_design_days(report: str) -> bool:
    """Return True if `report` tells the same in a run of design days as in one of weather."""
    return _plain(report) in _OF_SIZING


def request_tables(document: IDFDocument[bool], outputs: Iterable[Output]) -> None:
    """Make `document` print the reports that `outputs` need to SQLite, in full digits and SI units, in place.

    Nothing is done if they need none. The model's own tables that are to stay must still be there, and a
    summary report that nobody can print is left out.

    Parameters
    ----------
    document
        The model, with its Output:SQLite.
    outputs
        What the study asks for.
    """
    wanted = _reports(outputs)
    if not wanted:
        return
    known = _predefined(document)
    names = [known[name] for name in wanted if name in known]
    names += [_NEEDS[name] for name in wanted if name in _NEEDS]
    if names:
        summary = document["Output:Table:SummaryReports"].first()
        given = [] if summary is None else list(summary.data.get("reports", ()))
        given += [{"report_name": name} for name in dict.fromkeys(names)]
        if summary is None:
            document.add("Output:Table:SummaryReports", fields={"reports": given}, validate=False)
        else:
            summary["reports"] = given
    settings = {
        "option_type": "SimpleAndTabular",
        "unit_conversion_for_tabular_data": "None",
        "format_numeric_values_for_tabular_data": "No",  # or two digits are left of a small building's energy
    }
    for field in document.schema.get_all_field_names("Output:SQLite"):  # older versions have fewer
        document["Output:SQLite"].first()[field] = settings[field]


def own_tables_wanted(document: IDFDocument[bool], outputs: Iterable[Output]) -> set[str]:
    """Return the names, in small letters, of the tables defined in the model that hold a wanted cell."""
    wanted = _reports(outputs)
    return {obj.name.casefold() for obj in _own_tables(document) if _plain(obj.name) in wanted}


def read_cells(database: sqlite3.Connection, outputs: Iterable[Output]) -> tuple[Cell, ...]:
    """Return all cells of the reports that `outputs` need, in the engine's order.

    Parameters
    ----------
    database
        The run's ``eplusout.sql``.
    outputs
        What the study asks for.
    """
    wanted = _reports(outputs)
    has_tables = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'TabularDataWithStrings'").fetchone()
    if not wanted or not has_tables:
        return ()
    printed = [name for (name,) in database.execute("SELECT DISTINCT ReportName FROM TabularDataWithStrings")]
    rows = database.execute(
        "SELECT ReportName, ReportForString, TableName, RowName, ColumnName, Units, Value"
        " FROM TabularDataWithStrings WHERE ReportName IN (SELECT value FROM json_each(?)) ORDER BY TabularDataIndex",
        [json.dumps([name for name in printed if _plain(name) in wanted])],
    )
    return tuple(Cell(*("" if part is None else str(part) for part in row)) for row in rows)


def read_scalars(database: sqlite3.Connection, outputs: Sequence[Output]) -> tuple[Series, ...]:
    """Return the summary and the cells that `outputs` ask for.

    Parameters
    ----------
    database
        The run's ``eplusout.sql``.
    outputs
        What the study asks for.

    Raises
    ------
    ModelError
        A cell is not there, is ambiguous or holds no number, or a fuel or end use is none of the cube's.
    """
    cells = read_cells(database, outputs)
    found: list[Series] = []
    for output in outputs:
        if output.kind == "summary":
            found += _read_summary(cells)
        if output.kind != "table":
            continue
        meant, problem = cells_meant(cells, output)
        number = cell_number(meant[0]) if len(meant) == 1 else None
        if number is not None:
            found.append(cell_series(output, meant[0], np.array([number])))
        elif len(meant) > 1 or not output.optional:
            problem = problem or f"the cell holds {meant[0].text.strip()!r}, which is no number"
            told = "" if len(meant) > 1 else ": if only some variants have it, give that output `optional: true`"
            raise ModelError(f"output {output.array!r}: {problem}{told}")
    return tuple(found)


def cells_meant(cells: Iterable[Cell], output: Output) -> tuple[list[Cell], str]:
    """Return the cells that `output` can mean, and what is wrong if that is not just one.

    Parameters
    ----------
    cells
        Of its report, or of more.
    output
        Asks for a cell. Case does not matter; what it leaves out fits everything.

    Returns
    -------
    tuple
        The cells, none or several if the second part says something, with the nearest right names.
    """
    found = [cell for cell in cells if _plain(cell.report) == _plain(output.name)]
    if not found:
        return [], f"EnergyPlus prints nothing in the report {output.name!r} for this model"
    levels = (
        ("for", output.key, lambda cell: (cell.report_for,)),
        ("name", output.table, lambda cell: (cell.table,)),
        ("row", output.row, lambda cell: (cell.row,)),
        ("column", output.column, lambda cell: (cell.column, f"{cell.column} [{cell.units}]")),
    )
    where = f"the report {output.name!r}"
    for level, asked, names in levels:
        fitting = [cell for cell in found if not asked or _folded(asked) in map(_folded, names(cell))]
        if not fitting:
            known = list(dict.fromkeys(names(cell)[0].strip() for cell in found))
            return [], f"{where} has no {level} {asked!r}{nearest(asked, known)}; it has {_listed(known)}"
        found = fitting
        where += f", {level} {asked!r}" if asked else ""
    if len(found) == 1:
        return found, ""
    for level, asked, names in levels:
        known = list(dict.fromkeys(names(cell)[-1] for cell in found))
        if not asked and len(known) > 1:
            return found, f"{where} has {len(found)} such cells: say the `{level}`, which is {_listed(known)}"
    return found, f"{where} has {len(found)} cells that nothing tells apart: take another one"


def cell_number(cell: Cell) -> float | None:
    """Return what is printed as a number, or None if it is blank or a text."""
    return float(cell.text) if _NUMBER.fullmatch(cell.text) else None


def has_text(cell: Cell) -> bool:
    """Return True if the cell holds a text; a blank one or ``-`` may be a number in a longer run."""
    return cell_number(cell) is None and cell.text.strip() not in ("", "-")


def cell_series(output: Output, cell: Cell, values: npt.NDArray[np.float64] = _NO_VALUES) -> Series:
    """Return the series of a cell that `output` asks for."""
    # Named as it was asked for, so that it is the same for all variants.
    names = [output.name, output.key, output.table, output.row, output.column]
    series = _number_series(output.array, names, cell.units.strip())
    return Series(**vars(series) | {"values": values})


def _read_summary(cells: Sequence[Cell]) -> list[Series]:
    printed: dict[tuple[str, ...], Cell] = {
        (cell.report, cell.table, cell.row, cell.column): cell for cell in cells if cell.report_for == _FACILITY
    }
    if not any(cell.report == _BUILDING for cell in cells):
        raise ModelError(f"EnergyPlus printed no {_BUILDING}, which the output summary is read from")
    _refuse_other_labels(cells)
    values = {
        **{array: [_value(printed.get((_BUILDING, *heads)))] for array, (*heads, _) in _NUMBERS.items()},
        "end_uses": [_value(printed.get((_BUILDING, _TABLE, use, fuel))) for fuel in FUELS for use in END_USES],
        "peak_demand": [_value(printed.get((_DEMAND, _TABLE, _TOTAL, fuel))) for fuel in FUELS],
        "peak_demand_time": [_moment(printed.get((_DEMAND, _TABLE, _TIME, fuel))) for fuel in FUELS],
    }
    return [Series(**vars(one) | {"values": np.array(values[one.output])}) for one in SUMMARY_SERIES]


def _refuse_other_labels(cells: Iterable[Cell]) -> None:
    """Raise if a version of EnergyPlus reports energy under a heading that the cube has no place for."""
    rows = {*FIXED_LABELS["end_use"], _TOTAL}
    for cell in cells:
        is_end_use = (cell.report, cell.table) == (_BUILDING, _TABLE) and cell.column != "Water"
        if is_end_use and cell_number(cell) and not (cell.row in rows and cell.column in FIXED_LABELS["fuel"]):
            raise ModelError(
                f"this EnergyPlus reports {cell.text.strip()} {cell.units} of {cell.column!r} for {cell.row!r}, which "
                "the output summary does not know: take a newer EnergyPlus, or table cells instead"
            )


def _value(cell: Cell | None) -> float:
    number = None if cell is None else cell_number(cell)
    return np.nan if number is None else number


def _moment(cell: Cell | None) -> float:
    """Return a text such as ``03-JUL-15:10`` as minutes since the begin of a leap year."""
    match = _PEAK.fullmatch(cell.text) if cell is not None else None
    if match is None:
        return np.nan
    date = dt.date(_LEAP_YEAR, _MONTHS.index(match[2]) + 1, int(match[1]))
    return float((date - dt.date(_LEAP_YEAR, 1, 1)).days * 1440 + int(match[3]) * 60 + int(match[4]))


def _reports(outputs: Iterable[Output]) -> dict[str, None]:
    """Return the reports that `outputs` need, in plain letters and in order."""
    wanted: dict[str, None] = {}
    for output in outputs:
        names = (_BUILDING, _DEMAND) if output.kind == "summary" else (output.name,) if output.kind == "table" else ()
        wanted |= dict.fromkeys(map(_plain, names))
    return wanted


def _predefined(document: IDFDocument[bool]) -> dict[str, str]:
    """Return the reports that this version of EnergyPlus can print by itself, by their plain letters."""
    schema: Any = document.schema.get_object_schema("Output:Table:SummaryReports")
    items = schema["patternProperties"][".*"]["properties"]["reports"]["items"]
    names = items["properties"]["report_name"]["enum"]
    return {_plain(name): name for name in names if name and not name.startswith("All")}


def _own_tables(document: IDFDocument[bool]) -> list[Any]:
    return [obj for object_type in _OWN_TABLES for obj in document[object_type]]


def _plain(report: str) -> str:
    """Return a report's name as both the one who asks and the engine spell it."""
    letters = "".join(char for char in report.casefold() if char.isalnum())
    return _OTHER_NAMES.get(letters, letters)


def _folded(text: str) -> str:
    return text.strip().casefold()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")
