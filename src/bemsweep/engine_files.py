"""The files that EnergyPlus writes: what they are called, and what makes it write those that it leaves out.

Decides which raw files of a run can be kept and what a model must hold for that. Changes outputs only, never what is
simulated; never looks into a folder.

Source: EnergyPlus Input Output Reference, "OutputControl:Files"; Output Details and Examples.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from bemsweep.errors import nearest
from bemsweep.patterns import matches

if TYPE_CHECKING:
    from idfkit import IDFDocument

__all__ = ["RAW_FILES", "ask_for_files", "files_fitting", "needs_asking", "unknown_file"]


@dataclass(frozen=True)
class _Asked:
    """What makes EnergyPlus write a file."""

    switch: str
    """Field of OutputControl:Files."""
    requests: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Objects, by type and fields, without which it stays empty or away."""


_UNASKED = (
    "in.idf",
    "eplusout.sql",
    "eplusout.err",
    "eplusout.end",
    "eplusout.expidf",
    "eplusmap.csv",
    "eplusmap.tab",
    "eplusmap.txt",
)
"""What every run leaves, or every run of a model with templates (``.expidf``) or illuminance maps."""

_TABLES = {".csv": "Comma", ".tab": "Tab", ".txt": "Fixed", ".htm": "HTML", ".xml": "XML"}
"""Suffix of the file of tables -> Column Separator of OutputControl:Table:Style."""

_FREQUENT = "eplusout.sql, eplusout.err, eplustbl.htm, eplusout.eso, in.idf"

_STYLES = {
    frozenset({".csv", ".htm"}): "CommaAndHTML",
    frozenset({".csv", ".xml"}): "CommaAndXML",
    frozenset({".tab", ".htm"}): "TabAndHTML",
    frozenset({".xml", ".htm"}): "XMLandHTML",
    **{frozenset({suffix}): style for suffix, style in _TABLES.items()},
}
_ALL_STYLES = "All"
_ALL_REPORTS = "AllSummary"

_DICTIONARY = (("Output:VariableDictionary", {"key_field": "regular"}),)
_ACTUATORS = {
    "actuator_availability_dictionary_reporting": "Verbose",
    "internal_variable_availability_dictionary_reporting": "Verbose",
}
_SIZINGS = {
    "epluszsz": "output_zone_sizing",
    "eplusssz": "output_system_sizing",
    "eplusspsz": "output_space_sizing",
    "epluspsz": "output_plant_component_sizing",
}

_ASKED: Mapping[str, _Asked] = {
    **{f"eplustbl{suffix}": _Asked("output_tabular") for suffix in _TABLES},
    "eplusout.csv": _Asked("output_csv"),
    "eplusmtr.csv": _Asked("output_csv"),
    **{f"eplusout.{name}": _Asked(f"output_{name}") for name in ("eso", "mtr", "eio", "audit", "bnd", "shd", "mtd")},
    "eplusout.rdd": _Asked("output_rdd", _DICTIONARY),
    "eplusout.mdd": _Asked("output_mdd", _DICTIONARY),
    "eplusout.edd": _Asked("output_edd", (("Output:EnergyManagementSystem", _ACTUATORS),)),
    "eplusout.dxf": _Asked("output_dxf", (("Output:Surfaces:Drawing", {"report_type": "DXF"}),)),
    "eplusout.wrl": _Asked("output_wrl", (("Output:Surfaces:Drawing", {"report_type": "VRML"}),)),
    "eplusout.sln": _Asked("output_sln", (("Output:Surfaces:List", {"report_type": "Lines"}),)),
    "eplusout.sci": _Asked("output_sci", (("Output:Surfaces:List", {"report_type": "CostInfo"}),)),
    **{
        f"{stem}{suffix}": _Asked(switch)
        for stem, switch in _SIZINGS.items()
        for suffix in (".csv", ".tab", ".txt")  # as the model's OutputControl:Sizing:Style says
    },
    "eplusout.dfs": _Asked("output_dfs"),
    "eplusout.glhe": _Asked("output_glhe"),
    "eplusscreen.csv": _Asked("output_screen"),
    "eplusshading.csv": _Asked("output_extshd"),
    "eplusout_perflog.csv": _Asked("output_perflog"),
}

RAW_FILES: tuple[str, ...] = (*_UNASKED, *_ASKED)
"""Names of the files of a run that can be kept, as EnergyPlus writes them."""


def files_fitting(pattern: str) -> tuple[str, ...]:
    """Return the names of the raw files that fit a pattern.

    Examples
    --------
    >>> files_fitting("*.sql"), files_fitting("*.htm")
    (('eplusout.sql',), ('eplustbl.htm',))
    """
    return tuple(name for name in RAW_FILES if matches(pattern, name))


def unknown_file(pattern: str) -> str:
    """Return what to say of a pattern that no raw file fits."""
    suffix = PurePosixPath(pattern).suffix.casefold()
    alike = [name for name in RAW_FILES if suffix and name.endswith(suffix)]
    known = (*RAW_FILES, *(f"*{PurePosixPath(name).suffix}" for name in RAW_FILES))
    hint = nearest(pattern, alike) or nearest(pattern, known)
    return f"no file of a run fits {pattern!r}{hint}; there are {_FREQUENT} and those that docs/study-file.md lists"


def needs_asking(name: str) -> bool:
    """Return True if EnergyPlus leaves this raw file out unless its model asks for it."""
    return name in _ASKED


def ask_for_files(document: IDFDocument[bool], names: Collection[str]) -> None:
    """Make `document` write these files too, in place; nothing of what is simulated changes.

    Files of tables hold every summary report. A file for which the model has nothing to tell, such as daylight
    factors, stays away.

    Parameters
    ----------
    document
        The model, with its outputs and its OutputControl:Files.
    names
        Of raw files.

    Raises
    ------
    KeyError
        One of them is none that has to be asked for.
    """
    asked = [_ASKED[name] for name in sorted(names)]
    switches = document["OutputControl:Files"].first()
    # Versions that lack a switch do not write the file, and versions without any write them all.
    known = () if switches is None else document.schema.get_all_field_names("OutputControl:Files")
    for switch in (one.switch for one in asked if one.switch in known):
        switches[switch] = "Yes"
    for object_type, fields in _distinct(asked):
        if not any(fields.items() <= obj.data.items() for obj in document[object_type]):
            document.add(object_type, fields=dict(fields), validate=False)
    if tables := {PurePosixPath(name).suffix for name in names if name.startswith("eplustbl.")}:
        _ask_for_tables(document, tables)


def _distinct(asked: Collection[_Asked]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    seen: list[tuple[str, Mapping[str, Any]]] = []
    for request in (request for one in asked for request in one.requests):
        if request not in seen:
            seen.append(request)
            yield request


def _ask_for_tables(document: IDFDocument[bool], suffixes: set[str]) -> None:
    """Print every summary report, in as many styles as there are suffixes; numbers in SQLite stay as they are."""
    summary = document["Output:Table:SummaryReports"].first()
    if summary is None:
        summary = document.add("Output:Table:SummaryReports", fields={"reports": []}, validate=False)
    given = list(summary.data.get("reports", ()))
    summary["reports"] = [*given, {"report_name": _ALL_REPORTS}]
    style = document["OutputControl:Table:Style"].first()
    if style is None:
        style = document.add("OutputControl:Table:Style", fields={"unit_conversion": "None"}, validate=False)
    style["column_separator"] = _STYLES.get(frozenset(suffixes), _ALL_STYLES)
