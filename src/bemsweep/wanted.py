"""What a study asks to be reported: variables, meters, cells of tabular reports and the summary; and raw files.

Decides what an output may be called, what its run kind has, and which files a pattern means. Never opens a model:
whether it can report what is asked for is the plan's work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Discriminator,
    StrictBool,
    StrictStr,
    Tag,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic import Field as Setting

from bemsweep.engine_files import files_fitting, unknown_file
from bemsweep.errors import nearest
from bemsweep.layout import RESERVED_NAMES
from bemsweep.model_file import NOT_IN_IDF
from bemsweep.object_names import is_device
from bemsweep.outputs import FREQUENCIES, SUMMARY_NAMES, Frequency, Output, array_name
from bemsweep.parts import Part, called_by_people
from bemsweep.reductions import read_reductions
from bemsweep.studyfile import shown
from bemsweep.tables import is_known_in_design_days

__all__ = [
    "TAKEN_NAMES",
    "CellOfTable",
    "Keep",
    "Meter",
    "Summary",
    "Table",
    "Variable",
    "Wanted",
    "check_names_are_free",
    "check_run_has_it",
    "kept_files",
]

TAKEN_NAMES = RESERVED_NAMES | {"baseline", "weather"}
"""What neither a parameter nor an output can be called, in small letters."""


_LONGEST = 200
"""Bytes of an array's name, which names folders and files."""


def _read_engine_name(name: str) -> str:
    if not name.strip() or set(name) & set(NOT_IN_IDF):
        raise ValueError(f"{name!r} is no name that EnergyPlus can have")
    return name


def _read_array_name(name: str) -> str:
    is_of_system = name != name.strip() or name.endswith(".") or is_device(name)
    if not name or is_of_system or name.startswith("__") or not name.isprintable() or array_name(name) != name:
        raise ValueError(f"{name!r} cannot name an array: use letters, digits and '_'")
    if (length := len(name.encode())) > _LONGEST:
        raise ValueError(f"{shown(name)} cannot name an array: it has {length} bytes, the most is {_LONGEST}")
    return name


def _read_heading(text: str) -> str:
    if not text.strip():
        raise ValueError("a blank text names nothing: leave it out where only one fits")
    return text.strip()


_EngineName = Annotated[StrictStr, AfterValidator(_read_engine_name)]
_ArrayName = Annotated[StrictStr, AfterValidator(_read_array_name)]
_Heading = Annotated[StrictStr, AfterValidator(_read_heading)]


class _Wanted(Part):
    frequency: Frequency = "hourly"
    """Reporting frequency: timestep, hourly, daily, monthly or annual."""
    as_: _ArrayName | None = Setting(default=None, alias="as")
    """Name of the array, if not EnergyPlus's own."""
    optional: StrictBool = False
    """True if variants that do not report it are all right."""
    reduce: tuple[str, ...] = ()
    """What is kept of its series, one number each for the whole run; empty to keep the series itself."""

    @field_validator("frequency", mode="before")
    @classmethod
    def _read_frequency(cls, frequency: Any) -> Any:
        if isinstance(frequency, str):
            word = frequency.casefold()
            if word in ("detailed", "each call"):
                raise ValueError("`detailed` has no common time axis across variants: ask for `timestep`")
            if word in ("runperiod", "run period", "environment"):
                raise ValueError("ask for `annual`: it holds one value for each run period")
            if word not in FREQUENCIES:
                known = f"; known: {', '.join(FREQUENCIES)}"
                raise ValueError(f"no reporting frequency {frequency!r}{nearest(word, FREQUENCIES)}{known}")
            return word
        return frequency

    @field_validator("reduce", mode="before")
    @classmethod
    def _read_reduce(cls, reduce: Any, info: ValidationInfo) -> tuple[str, ...]:
        words = read_reductions(reduce)
        if info.data.get("frequency") == "annual":
            raise ValueError("`annual` has one value for each run period: reduce a finer frequency, or do not reduce")
        return words


class Meter(_Wanted):
    """An output meter to keep, for example ``Meter("Electricity:Facility", frequency="hourly")``."""

    meter: _EngineName
    """EnergyPlus's name of the meter."""

    @called_by_people
    def __init__(self, meter: str | None = None, /, **settings: Any) -> None:
        super().__init__(**(settings if meter is None else {"meter": meter, **settings}))

    def output(self) -> Output:
        """Return the output as plain values."""
        name = self.meter
        return Output(
            "meter", name, self.frequency, self.as_ or array_name(name), "", self.optional, reduce=self.reduce
        )


class Variable(_Wanted):
    """An output variable to keep, for example ``Variable("Zone Mean Air Temperature", key="*_ZN*")``."""

    variable: _EngineName
    """EnergyPlus's name of the variable."""
    key: _EngineName = "*"
    """Key values to keep, as a pattern with ``*`` and ``?``."""

    @called_by_people
    def __init__(self, variable: str | None = None, /, **settings: Any) -> None:
        super().__init__(**(settings if variable is None else {"variable": variable, **settings}))

    def output(self) -> Output:
        """Return the output as plain values."""
        name = self.variable
        return Output(
            "variable", name, self.frequency, self.as_ or array_name(name), self.key, self.optional, reduce=self.reduce
        )


class CellOfTable(Part):
    """Which cell of EnergyPlus's tabular reports is meant; what only one fits may be left out."""

    report: _Heading
    """Name of the report, as in Output:Table:SummaryReports, or of a table that the model defines."""
    for_: _Heading | None = Setting(default=None, alias="for")
    """What the report is for: ``Entire Facility``, a zone, a meter."""
    name: _Heading | None = None
    """Name of the table."""
    row: _Heading | None = None
    """Heading of the row."""
    column: _Heading | None = None
    """Heading of the column, with or without its unit in brackets."""


class Table(Part):
    """One cell of a tabular report to keep: a number of the whole run, without time.

    Parameters
    ----------
    report
        Name of the report, for example ``HVACSizingSummary``, or of an Output:Table:Monthly or
        Output:Table:Annual of the model.
    for_
        What the report is for, mostly ``Entire Facility``.
    name, row, column
        Name of the table and headings of the cell. They and `for_` may be left out where only one fits.
    as_
        Name of the array.
    optional
        True if variants without this cell are all right.

    Examples
    --------
    >>> Table(
    ...     report="HVACSizingSummary", name="Zone Sensible Cooling", row="CORE_ZN", column="User Design Load",
    ...     as_="core_load",
    ... ).output().array
    'core_load'
    """

    table: CellOfTable
    """Which cell."""
    as_: _ArrayName = Setting(alias="as")
    """Name of the array."""
    optional: StrictBool = False
    """True if variants without this cell are all right."""

    @called_by_people
    def __init__(self, **settings: Any) -> None:
        own = {"table", "as", "as_", "optional"}
        cell = {name: value for name, value in settings.items() if name not in own}
        rest = {name: value for name, value in settings.items() if name in own}
        super().__init__(**(rest | cell if "table" in rest else {"table": CellOfTable(**cell), **rest}))

    def output(self) -> Output:
        """Return the output as plain values."""
        cell = self.table
        return Output(
            "table",
            cell.report,
            "annual",
            self.as_,
            cell.for_ or "",
            self.optional,
            table=cell.name or "",
            row=cell.row or "",
            column=cell.column or "",
        )


class Keep(Part):
    """Raw files of each run to keep in the store: ``"*.htm"``, or ``{files: "*.sql", compress: true}``."""

    files: StrictStr
    """Names of files as EnergyPlus writes them, as a pattern with ``*`` and ``?``."""
    compress: StrictBool = False
    """True to keep them compressed by gzip, with ``.gz`` behind their names."""

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, given: Any) -> Any:
        return {"files": given} if isinstance(given, str) else given

    @field_validator("files")
    @classmethod
    def _check_files(cls, pattern: str) -> str:
        if not files_fitting(pattern):
            raise ValueError(unknown_file(pattern))
        return pattern


def kept_files(keep: Iterable[Keep]) -> dict[str, bool]:
    """Return the names of the raw files to keep -> True if compressed, whichever of several entries says so."""
    kept: dict[str, bool] = {}
    for entry in keep:
        kept |= {name: entry.compress or kept.get(name, False) for name in files_fitting(entry.files)}
    return kept


class Summary(Part):
    """The output ``summary``: areas, energy by fuel and end use, peak demand, unmet hours; one word in a study."""

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, given: Any) -> Any:
        return {} if isinstance(given, str) else given

    @model_serializer
    def _write_word(self) -> str:
        return "summary"

    def output(self) -> Output:
        """Return the output as plain values."""
        return Output("summary", "summary", "annual", "summary", "")


def _kind_of_output(data: Any) -> str | None:
    if isinstance(data, (Meter, Variable, Table, Summary)):
        return type(data).__name__
    if isinstance(data, dict):
        return next((word.capitalize() for word in ("meter", "variable", "table") if word in data), None)
    return "Summary" if isinstance(data, str) and data == "summary" else None


Wanted = Annotated[
    Annotated[Meter, Tag("Meter")]
    | Annotated[Variable, Tag("Variable")]
    | Annotated[Table, Tag("Table")]
    | Annotated[Summary, Tag("Summary")],
    Discriminator(_kind_of_output),
]
"""One output of a study."""


def check_names_are_free(wanted: Wanted, info: ValidationInfo) -> Wanted:
    """Refuse an output whose arrays have the name of something else; for pydantic.

    Parameters
    ----------
    wanted
        One output of a study.
    info
        The study's parts before it: its parameters.

    Returns
    -------
    Meter, Variable, Table or Summary
        The same.

    Raises
    ------
    ValueError
        A name is taken.
    """
    output = wanted.output()
    parameters = {name.casefold() for name in info.data.get("parameters", ())}
    if output.kind == "summary":
        if taken := sorted(parameters & set(SUMMARY_NAMES)):
            raise ValueError(f"the summary has an array {taken[0]!r}: give the parameter of that name another one")
        return wanted
    # The summary may come later.
    reserved = TAKEN_NAMES | parameters
    taken_arrays = [
        name
        for group, name in map(output.place, output.words)
        if name.casefold() in reserved or (group == "annual" and name.casefold() in SUMMARY_NAMES)
    ]
    if taken_arrays:
        told = ", ".join(map(repr, taken_arrays))
        raise ValueError(f"{told} is the name of something else in the results: give another one with `as`")
    return wanted


def check_run_has_it(wanted: Wanted, info: ValidationInfo) -> Wanted:
    """Refuse what only a run of weather tells in a study of design days; for pydantic.

    Parameters
    ----------
    wanted
        One output of a study.
    info
        The study's parts before it: its run kind.

    Returns
    -------
    Meter, Variable, Table or Summary
        The same.

    Raises
    ------
    ValueError
        Design days do not have it.
    """
    output = wanted.output()
    if info.data.get("run") == "design_day":
        if output.kind == "summary":
            raise ValueError("design days have no summary, which counts weather: use run: annual, or name table cells")
        if output.kind == "table" and not is_known_in_design_days(output.name):
            raise ValueError(
                f"the report {output.name!r} counts weather, of which design days have none: use run: annual, or a "
                "report of sizing, such as HVACSizingSummary"
            )
    return wanted
