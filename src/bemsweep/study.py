"""The study: what the user wants, as pure data.

Defines `Study` and its parts and checks their shape. Never opens a model, a weather file or a store:
that is the plan's work.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    PlainValidator,
    PrivateAttr,
    StrictBool,
    StrictStr,
    Tag,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic import Field as Setting

from bemsweep.errors import Problem, StudyError, nearest
from bemsweep.layout import RESERVED_NAMES
from bemsweep.model_file import NOT_IN_IDF
from bemsweep.outputs import FREQUENCIES, SUMMARY_NAMES, Frequency, Output, RunKind, array_name
from bemsweep.parameters import Call, Field, Parameter, Part, Value, called_by_people, read_level
from bemsweep.studyfile import Lines, parse_yaml, shown, study_problems
from bemsweep.tables import is_known_in_design_days

__all__ = ["ListedDesign", "Meter", "Study", "Table", "Variable", "Weather"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_RESERVED = RESERVED_NAMES | {"baseline", "weather"}


def _read_engine_name(name: str) -> str:
    if not name.strip() or set(name) & set(NOT_IN_IDF):
        raise ValueError(f"{name!r} is no name that EnergyPlus can have")
    return name


def _read_array_name(name: str) -> str:
    if not name.strip(" .") or name.startswith("__") or not name.isprintable() or array_name(name) != name:
        raise ValueError(f"{name!r} cannot name an array: use letters, digits and '_'")
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
        return Output("meter", name, self.frequency, self.as_ or array_name(name), "", self.optional)


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
        return Output("variable", name, self.frequency, self.as_ or array_name(name), self.key, self.optional)


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
        super().__init__(**({"table": cell, **rest} if cell else rest))

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


class Weather(Part):
    """One weather file."""

    epw: StrictStr
    """Path, URL or ``bundled:`` name of the EPW."""


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


class ListedDesign(Part):
    """A design whose points are listed: ``{table: points.csv}``."""

    table: Any
    """Path of a CSV, a mapping of columns, or a `pandas.DataFrame`."""

    @field_validator("table")
    @classmethod
    def _read_table(cls, table: Any) -> Any:
        if isinstance(table, Mapping):
            columns = {str(name): _read_column(str(name), column) for name, column in table.items()}
            lengths = {name: len(column) for name, column in columns.items()}
            if len(set(lengths.values())) > 1:
                told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
                raise ValueError(f"the columns are of unequal length: {told}")
            return columns
        if isinstance(table, (str, Path, pd.DataFrame)):
            return table
        raise ValueError("a table is the path of a CSV, a mapping of columns or a DataFrame")

    @field_serializer("table")
    def _write_table(self, table: Any) -> Any:
        if isinstance(table, pd.DataFrame):
            return f"DataFrame of {len(table)} points"
        return str(table) if isinstance(table, Path) else table


def _read_column(name: str, column: Any) -> list[Value]:
    if isinstance(column, (str, bytes, Mapping)) or not isinstance(column, Iterable):
        raise ValueError(f"column {name!r} is no list of values: {shown(column)}")
    try:
        return [read_level(value) for value in column]
    except ValueError as error:
        raise ValueError(f"column {name!r}: {error}") from None


def _read_parameter_name(name: Any) -> str:
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} is no parameter name: letters, digits and '_', not beginning with a digit")
    if name.casefold() in _RESERVED:
        raise ValueError(f"{name!r} is a name that the results use: take another")
    return name


def _check_levels_fit_the_design(parameter: Field | Call, info: ValidationInfo) -> Field | Call:
    design = info.data.get("design")
    if design == "grid" and parameter.levels is None:
        kinds = "values" if isinstance(parameter, Call) else "values, multiply or add"
        raise ValueError(f"there are no levels: a grid needs {kinds}")
    if isinstance(design, ListedDesign) and parameter.levels is not None:
        raise ValueError("there are levels: with a table they stand in its column")
    return parameter


def _check_names_are_free(wanted: Wanted, info: ValidationInfo) -> Wanted:
    output = wanted.output()
    parameters = {name.casefold() for name in info.data.get("parameters", ())}
    if output.kind == "summary":
        if taken := sorted(parameters & set(SUMMARY_NAMES)):
            raise ValueError(f"the summary has an array {taken[0]!r}: give the parameter of that name another one")
        return wanted
    # The summary may come later.
    reserved = {*_RESERVED, *parameters, *(SUMMARY_NAMES if output.frequency == "annual" else ())}
    if output.array.casefold() in reserved:
        raise ValueError(f"{output.array!r} is the name of something else in the results: give another one with `as`")
    return wanted


def _check_run_has_it(wanted: Wanted, info: ValidationInfo) -> Wanted:
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


class Study(Part):
    """Everything that is wanted: baselines, weather, parameters, a design and outputs.

    Parameters
    ----------
    name
        Names the study in a store: letters, digits, ``.``, ``_`` and ``-``.
    baseline
        The model, or several: a path, URL or ``bundled:`` name, a glob, a list, or a mapping of labels.
    weather
        The EPW, or several: as for `baseline`; the label becomes the coordinate.
    parameters
        Name -> `Field` or `Call`.
    outputs
        List of `Meter`, `Variable` and `Table`, and the word ``"summary"``.
    run
        ``annual``, ``design_day`` or ``run_period``.
    design
        ``"grid"``, or ``{"table": ...}`` with a CSV, a mapping of columns or a DataFrame, or just a DataFrame.
    exclude
        Conditions; points that meet one are left out.
    reference
        True to begin with a variant of each baseline and weather in which every parameter is null.
    dtype
        ``float64`` or ``float32``: of the cube; records are always exact.
    timeout_s
        Limit for one variant's engine run, seconds by the clock.
    keep_model_outputs
        True to keep the model's own Output objects beside the study's.

    Raises
    ------
    StudyError
        Anything is wrong with the shape; all of it is told at once.

    Examples
    --------
    >>> study = Study(
    ...     name="demo",
    ...     baseline="bundled:ref/small_office",
    ...     weather="bundled:usa_il_chicago",
    ...     parameters={"lighting": Field("Lights", "watts_per_floor_area", values=[None, 6])},
    ...     outputs=[Meter("Electricity:Facility", frequency="annual")],
    ... )
    >>> study.run
    'annual'
    """

    name: StrictStr
    baseline: dict[StrictStr, StrictStr]
    weather: dict[StrictStr, Weather]
    design: ListedDesign | Literal["grid"] = "grid"
    parameters: dict[
        Annotated[str, PlainValidator(_read_parameter_name)],
        Annotated[Parameter, AfterValidator(_check_levels_fit_the_design)],
    ] = {}
    run: RunKind = "annual"
    outputs: list[Annotated[Wanted, AfterValidator(_check_names_are_free), AfterValidator(_check_run_has_it)]]
    exclude: list[StrictStr] = []
    reference: StrictBool = True
    dtype: Literal["float64", "float32"] = "float64"
    timeout_s: float = Setting(default=3600.0, gt=0, allow_inf_nan=False, strict=True)
    keep_model_outputs: StrictBool = False

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _lines: Lines = PrivateAttr(default_factory=dict)

    def __init__(self, **settings: Any) -> None:
        self._validate(settings, {}, Path.cwd())

    def _validate(self, settings: dict[str, Any], lines: Lines, folder: Path) -> None:
        try:
            BaseModel.__init__(self, **settings)
        except ValidationError as error:
            raise StudyError(study_problems(error, settings, lines, parts=_PARTS)) from None
        self._lines, self._folder = lines, folder

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a study file.

        Parameters
        ----------
        path
            A YAML 1.2 file; relative paths in it start from its folder.

        Returns
        -------
        Study
            Its shape is right; whether it can run is for `bemsweep.plan` to say.

        Raises
        ------
        StudyError
            The file cannot be read or is no study; every problem with its line.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError([Problem(f"cannot read the study file {path}: {error}")]) from None
        data, lines = parse_yaml(text)
        if not isinstance(data, dict):
            raise StudyError([Problem(f"{path} holds no mapping of name, baseline, weather, outputs …", line=1)])
        study = cls.__new__(cls)
        # What `Study(**data)` does, with the lines at hand for the messages.
        Study._validate(study, {str(key): value for key, value in data.items()}, lines, path.resolve().parent)
        return study

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain values for JSON."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def problem(self, message: str, *path: str | int) -> Problem:
        """Return a problem at `path` of this study, with its line if it came from a file."""
        line = next((self._lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._lines), None)
        return Problem(message, ".".join(map(str, path)), line)

    @property
    def folder(self) -> Path:
        """Where relative paths start from."""
        return self._folder

    def resolved_outputs(self) -> tuple[Output, ...]:
        """Return the outputs as plain values, without repetitions."""
        return tuple(dict.fromkeys(wanted.output() for wanted in self.outputs))

    @field_validator("name")
    @classmethod
    def _read_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no study name: up to 100 letters, digits, '.', '_' and '-'")
        return name

    @field_validator("baseline", "weather", mode="before")
    @classmethod
    def _read_labels(cls, given: Any, info: ValidationInfo) -> Any:
        """Give every input a label: its own, or the stem of its name."""
        is_weather = info.field_name == "weather"
        if isinstance(given, (str, Path, Weather)) or (is_weather and isinstance(given, dict) and "epw" in given):
            given = [given]
        if isinstance(given, (list, tuple)):
            labels = [_label(entry) for entry in given]
            if repeated := sorted({label for label in labels if labels.count(label) > 1}):
                told = ", ".join(map(repr, repeated))
                raise ValueError(f"two inputs are called {told}: give them labels, as in {{label: file}}")
            given = dict(zip(labels, given, strict=True))
        if not isinstance(given, dict) or not given:
            raise ValueError(f"no {info.field_name} is given: a file, a list, or a mapping of labels to files")
        given = {str(label) if type(label) is int else label: entry for label, entry in given.items()}  # years
        if is_weather:
            return {
                label: {"epw": _text(entry)} if isinstance(entry, (str, Path)) else entry
                for label, entry in given.items()
            }
        return {label: _text(entry) for label, entry in given.items()}

    @field_validator("design", mode="before")
    @classmethod
    def _read_design(cls, design: Any) -> Any:
        if isinstance(design, pd.DataFrame):
            return {"table": design}
        if isinstance(design, (dict, ListedDesign)) or (isinstance(design, str) and design == "grid"):
            return design
        hint = nearest(design, ["grid", "table"]) if isinstance(design, str) else ""
        raise ValueError(f"no design {design!r}{hint}: grid, or {{table: points.csv}}")

    @field_validator("outputs")
    @classmethod
    def _read_outputs(cls, outputs: list[Wanted]) -> list[Wanted]:
        problems = [] if outputs else ["no output is asked for"]
        by_array: dict[tuple[str, str], Output] = {}
        by_name: dict[tuple[str, ...], Output] = {}
        for output in dict.fromkeys(wanted.output() for wanted in outputs):
            other = by_array.setdefault((output.frequency, output.array.casefold()), output)
            if output.what != other.what:
                problems.append(f"{other.name!r} and {output.name!r} have one name, {output.array!r}: use `as`")
            other = by_name.setdefault(output.what, output)
            if (other.array, other.optional) != (output.array, output.optional):
                problems.append(f"{output.name!r} is asked for twice, with another `as` or `optional`")
        if problems:
            raise ValueError("; ".join(problems))
        return outputs

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(notebook=True)

    def to_frame(self) -> pd.DataFrame:
        """Return the study's parts as a table with the columns part, name and setting."""
        return pd.DataFrame(list(self._described()), columns=["part", "name", "setting"])

    def _described(self) -> Iterator[tuple[str, str, str]]:
        yield "study", self.name, f"{self.run}, {self.design if self.design == 'grid' else 'table'}"
        for part in ("baseline", "weather"):
            entries: dict[str, Any] = getattr(self, part)
            for label, entry in entries.items():
                yield part, label, entry.epw if isinstance(entry, Weather) else entry
        for name, parameter in self.parameters.items():
            what = parameter.function_name if isinstance(parameter, Call) else f"{parameter.object}: {parameter.field}"
            yield "parameter", name, f"{what} {list(parameter.levels) if parameter.levels else ''}".rstrip()
        for output in self.resolved_outputs():
            yield "output", output.array, output.described


def _text(entry: Any) -> Any:
    return str(entry) if isinstance(entry, Path) else entry


def _label(entry: Any) -> str:
    spec = entry.epw if isinstance(entry, Weather) else entry.get("epw", "") if isinstance(entry, dict) else entry
    text = str(spec)
    # A glob's files bring their own labels.
    is_glob = glob.has_magic(text) and "://" not in text
    return text if is_glob else PurePosixPath(text.removeprefix("bundled:")).stem


_PARTS: Mapping[str, type[BaseModel]] = {
    "": Study,
    "Field": Field,
    "Call": Call,
    "Meter": Meter,
    "Variable": Variable,
    "Table": Table,
    "Summary": Summary,
    "table": CellOfTable,
    "weather": Weather,
    "design": ListedDesign,
}
