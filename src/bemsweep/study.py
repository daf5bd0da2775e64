"""The study: what the user wants, as pure data.

Defines `Study` and its parts and checks their shape. Never opens a model, a weather file or a store:
that is the plan's work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pandas as pd
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainValidator,
    PrivateAttr,
    StrictBool,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
)
from pydantic import Field as Setting

from bemsweep.design_days import COOLING_PERCENTS, HEATING_PERCENTS
from bemsweep.errors import Problem, StudyError, nearest
from bemsweep.markup import text_table
from bemsweep.object_names import check_study_name
from bemsweep.options import Options, Parameter
from bemsweep.outputs import Output, RunKind
from bemsweep.parameters import Call, Field, Insert, Schedule, Target
from bemsweep.parts import Part, Value, read_level
from bemsweep.places import check_no_secret, is_pattern, label_of, read_storage_options, secret_options
from bemsweep.studyfile import Lines, parse_yaml, runs_code, shown, study_problems
from bemsweep.units import read_size
from bemsweep.wanted import (
    TAKEN_NAMES,
    CellOfTable,
    Keep,
    Meter,
    Summary,
    Table,
    Variable,
    Wanted,
    check_names_are_free,
    check_run_has_it,
    kept_files,
)

__all__ = ["DdyDays", "DesignDaySource", "ListedDesign", "Study", "Weather"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


_LEAST_MEMORY = 64 * 2**20
"""Bytes; the library of EnergyPlus alone takes as many."""

_Spec = Annotated[StrictStr, AfterValidator(check_no_secret)]

DesignDaySource = Literal["model", "epw", "ddy"]
"""Where design days come from: the model, the EPW's header, or the .ddy beside the EPW."""


class DdyDays(Part):
    """Design days from a .ddy: ``{ddy: denver.ddy, heating: 99.6%, cooling: 1%}``."""

    ddy: _Spec
    """Path or URL of the .ddy."""
    heating: float = HEATING_PERCENTS[0]
    """How much of a year is warmer than the heating day, percent."""
    cooling: float = COOLING_PERCENTS[0]
    """How much of a year is warmer than the cooling day, percent."""

    @field_validator("heating", "cooling", mode="before")
    @classmethod
    def _read_percent(cls, given: Any, info: ValidationInfo) -> float:
        known = HEATING_PERCENTS if info.field_name == "heating" else COOLING_PERCENTS
        text = given.strip().removesuffix("%") if isinstance(given, str) else given
        with suppress(ValueError, TypeError):
            if not isinstance(given, bool) and float(text) in known:
                return float(text)
        told = ", ".join(f"{percent:g}%" for percent in known)
        raise ValueError(f"a .ddy has no {info.field_name} days at {shown(given)}: {told}")


class Weather(Part):
    """One weather file."""

    epw: _Spec
    """Path, URL or ``bundled:`` name of the EPW."""
    design_days: DesignDaySource | DdyDays | None = None
    """Where this weather's design days come from; None for what the study says."""

    @field_validator("design_days", mode="before")
    @classmethod
    def _read_design_days(cls, given: Any) -> Any:
        known = get_args(DesignDaySource)
        if given in (None, *known) or isinstance(given, (dict, DdyDays)):
            return given
        hint = nearest(given, known) if isinstance(given, str) else ""
        raise ValueError(f"no design days {shown(given)}{hint}: model, epw, ddy or {{ddy: FILE, heating: 99.6%}}")


class ListedDesign(Part):
    """A design whose points are listed: ``{table: points.csv}``."""

    table: Any
    """Path or URL of a CSV, a mapping of columns, or a `pandas.DataFrame`."""

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
        if isinstance(table, (Path, pd.DataFrame)):
            return table
        if isinstance(table, str):
            return check_no_secret(table)
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


def _read_memory(given: object) -> object:
    if given is None:
        return None
    size = read_size(given)
    if size < _LEAST_MEMORY:
        raise ValueError(f"no run of EnergyPlus fits into {shown(given)}, which is {size:,} bytes: write 2 GiB, say")
    return size


def _read_path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError(f"{text!r} is no path")
    try:
        Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text!r} is no path: {error}") from None
    return text


def _text(entry: Any) -> Any:
    return str(entry) if isinstance(entry, Path) else entry


def _read_parameter_name(name: Any) -> str:
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} is no parameter name: letters, digits and '_', not beginning with a digit")
    if name.casefold() in TAKEN_NAMES:
        raise ValueError(f"{name!r} is a name that the results use: take another")
    return name


def _check_levels_fit_the_design(parameter: Parameter, info: ValidationInfo) -> Parameter:
    design = info.data.get("design")
    if parameter.expression is not None:
        return parameter
    if design == "grid" and parameter.levels is None:
        words = {Field: "values, multiply or add", Schedule: "add, multiply or replace", Insert: "insert: [null, FILE]"}
        raise ValueError(f"there are no levels: a grid needs {words.get(type(parameter), 'values')}")
    if isinstance(design, ListedDesign) and parameter.levels is not None and not isinstance(parameter, Options):
        raise ValueError("there are levels: with a table they stand in its column")
    return parameter


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
    design_days
        What equipment is sized by: the ``model``'s own design days, those that each ``epw``'s header describes, or
        those of the ``ddy`` beside each EPW. What a weather file says for itself wins.
    parameters
        Name -> `Field`, `Schedule`, `Options` or `Call`, or a mapping as in a study file.
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
    keep
        Raw files of each run to keep in the store: patterns such as ``"*.sql"``, or ``{"files": "*.sql", "compress":
        True}``.
    timeout_s
        Limit for one variant's engine run, seconds by the clock.
    max_memory
        Limit for the memory of one variant's engine run: bytes, or a text such as ``"2 GiB"``; None for no limit.
    keep_model_outputs
        True to keep the model's own Output objects beside the study's.
    engine
        Path of an installed EnergyPlus, its program or its folder; None for the one that came with bemsweep.
    storage_options
        Protocol or URL prefix -> what its filesystem is opened with, such as ``{"s3": {"profile": "lab"}}``; the
        longest prefix counts. Nothing of it is ever stored or shown; a study file holds no secrets in it.

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
    baseline: dict[StrictStr, _Spec]
    weather: dict[StrictStr, Weather]
    design_days: DesignDaySource = "model"
    design: ListedDesign | Literal["grid"] = "grid"
    parameters: dict[
        Annotated[str, PlainValidator(_read_parameter_name)],
        Annotated[Parameter, AfterValidator(_check_levels_fit_the_design)],
    ] = {}
    run: RunKind = "annual"
    outputs: list[Annotated[Wanted, AfterValidator(check_names_are_free), AfterValidator(check_run_has_it)]]
    exclude: list[StrictStr] = []
    reference: StrictBool = True
    dtype: Literal["float64", "float32"] = "float64"
    keep: list[Keep] = []
    timeout_s: float = Setting(default=3600.0, gt=0, allow_inf_nan=False, strict=True)
    max_memory: Annotated[int, BeforeValidator(_read_memory)] | None = None
    keep_model_outputs: StrictBool = False
    engine: Annotated[StrictStr, BeforeValidator(_text), AfterValidator(_read_path)] | None = None
    storage_options: Annotated[dict[str, dict[str, Any]], PlainValidator(read_storage_options)] = Setting(
        default={}, exclude=True, repr=False
    )

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _lines: Lines = PrivateAttr(default_factory=dict)
    _engine_instead: Path | None = PrivateAttr(default=None)

    def __init__(self, **settings: Any) -> None:
        self._validate(settings, {}, Path.cwd())

    def _validate(
        self,
        settings: dict[str, Any],
        lines: Lines,
        folder: Path,
        *,
        refused: Iterable[Problem] = (),
        engine: Path | None = None,
    ) -> None:
        refused = [*refused, *(_secret_problems(settings, lines) if lines else ())]
        try:
            BaseModel.__init__(self, **settings)
        except ValidationError as error:
            refused += study_problems(error, settings, lines, parts=_PARTS)
        if refused:
            raise StudyError(sorted(refused, key=lambda problem: problem.line or 0))
        self._lines, self._folder, self._engine_instead = lines, folder, engine

    @classmethod
    def from_yaml(cls, path: str | Path, *, allow_python: bool = False, engine: str | Path | None = None) -> Self:
        """Read a study file; nothing that it names is opened, imported or run.

        Parameters
        ----------
        path
            A YAML 1.2 file; relative paths in it start from its folder.
        allow_python
            True for a file whose code may run here: the Python functions that its parameters call, and the
            program that its `engine` names. A file that names any is refused otherwise.
        engine
            Path of an installed EnergyPlus to run instead of the file's own `engine`.

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
        except OSError as error:
            raise StudyError([Problem(f"cannot read the study file {path}: {error}")]) from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            told = f"cannot read the study file {path}: it is not encoded as UTF-8: {error.reason}"
            raise StudyError([Problem(told, line=line)]) from None
        data, lines = parse_yaml(text)
        if not isinstance(data, dict):
            raise StudyError([Problem(f"{path} holds no mapping of name, baseline, weather, outputs …", line=1)])
        settings = {str(key): value for key, value in data.items()}
        if engine is not None:
            settings.pop("engine", None)
        refused = [] if allow_python else [_problem(*found, lines) for found in runs_code(settings)]
        study = cls.__new__(cls)
        # What `Study(**data)` does, with the lines at hand for the messages.
        instead = None if engine is None else Path(engine).expanduser().absolute()
        Study._validate(study, settings, lines, path.resolve().parent, refused=refused, engine=instead)
        return study

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain values for JSON."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def problem(self, message: str, *path: str | int) -> Problem:
        """Return a problem at `path` of this study, with its line if it came from a file."""
        return _problem(message, path, self._lines)

    @property
    def folder(self) -> Path:
        """Where relative paths start from."""
        return self._folder

    @property
    def engine_path(self) -> str | None:
        """Where the engine is that the study was given, or names; None if it names none.

        Relative paths start from `folder`.
        """
        if self.engine is None:
            return None if self._engine_instead is None else str(self._engine_instead)
        return str(self._folder / Path(self.engine).expanduser())

    def resolved_outputs(self) -> tuple[Output, ...]:
        """Return the outputs as plain values, without repetitions."""
        return tuple(dict.fromkeys(wanted.output() for wanted in self.outputs))

    def kept_files(self) -> dict[str, bool]:
        """Return the names of the raw files to keep -> True if compressed."""
        return kept_files(self.keep)

    @field_validator("name")
    @classmethod
    def _read_name(cls, name: str) -> str:
        return check_study_name(name)

    @field_validator("baseline", "weather", mode="before")
    @classmethod
    def _read_labels(cls, given: Any, info: ValidationInfo) -> Any:
        """Give every input a label: its own, or the stem of its name."""
        is_weather = info.field_name == "weather"
        if isinstance(given, (str, Path, Weather)) or (is_weather and isinstance(given, dict) and "epw" in given):
            given = [given]
        if isinstance(given, (list, tuple)):
            labels = [_label(check_no_secret(_spec(entry))) for entry in given]
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

    @field_validator("parameters")
    @classmethod
    def _read_parameters(cls, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
        first: dict[str, str] = {}
        for name in parameters:  # arrays of the results, which are folders: some disks know no case
            if (other := first.setdefault(name.casefold(), name)) != name:
                raise ValueError(f"{other!r} and {name!r} differ only in case: give one another name")
        return parameters

    @field_validator("outputs")
    @classmethod
    def _read_outputs(cls, outputs: list[Wanted]) -> list[Wanted]:
        problems = [] if outputs else ["no output is asked for"]
        by_array: dict[tuple[str, str], tuple[Output, tuple[str, ...]]] = {}
        by_name: dict[tuple[str, ...], Output] = {}
        for output in dict.fromkeys(wanted.output() for wanted in outputs):
            for word in output.words:
                group, array = output.place(word)
                other, what = by_array.setdefault((group, array.casefold()), (output, (*output.what, word)))
                if what != (*output.what, word):
                    problems.append(f"{other.name!r} and {output.name!r} have one name, {array!r}: use `as`")
            other = by_name.setdefault(output.what, output)
            if (other.array, other.optional) != (output.array, output.optional):
                problems.append(f"{output.name!r} is asked for twice, with another `as` or `optional`")
        if problems:
            raise ValueError("; ".join(problems))
        return outputs

    def _repr_html_(self) -> str:
        return text_table(self.to_frame())

    def to_frame(self) -> pd.DataFrame:
        """Return the study's parts as a table with the columns part, name and setting."""
        return pd.DataFrame(list(self._described()), columns=["part", "name", "setting"])

    def _described(self) -> Iterator[tuple[str, str, str]]:
        yield "study", self.name, f"{self.run}, {self.design if self.design == 'grid' else 'table'}"
        if self.engine is not None:
            yield "engine", "", self.engine
        for part in ("baseline", "weather"):
            entries: dict[str, Any] = getattr(self, part)
            for label, entry in entries.items():
                yield part, label, entry.epw if isinstance(entry, Weather) else entry
        for name, parameter in self.parameters.items():
            levels = parameter.expression or (list(parameter.levels) if parameter.levels else "")
            yield "parameter", name, f"{parameter.title} {levels}".rstrip()
        for output in self.resolved_outputs():
            yield "output", output.array, output.described


def _problem(message: str, path: tuple[str | int, ...], lines: Lines) -> Problem:
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    return Problem(message, ".".join(map(str, path)), line)


def _secret_problems(settings: Mapping[str, Any], lines: Lines) -> Iterator[Problem]:
    for path, message in secret_options(settings.get("storage_options"), ("storage_options",)):
        yield _problem(message, path, lines)


def _spec(entry: Any) -> str:
    return str(entry.epw if isinstance(entry, Weather) else entry.get("epw", "") if isinstance(entry, dict) else entry)


def _label(spec: str) -> str:
    return spec if is_pattern(spec) else label_of(spec)  # the files of a pattern bring their own labels


_PARTS: Mapping[str, type[BaseModel]] = {
    "": Study,
    "Field": Field,
    "also": Target,
    "Schedule": Schedule,
    "Options": Options,
    "Insert": Insert,
    "Call": Call,
    "Meter": Meter,
    "Variable": Variable,
    "Table": Table,
    "Summary": Summary,
    "table": CellOfTable,
    "keep": Keep,
    "weather": Weather,
    "DdyDays": DdyDays,
    "design": ListedDesign,
}
