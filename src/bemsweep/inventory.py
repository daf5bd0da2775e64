"""What a model can report, in full: every output variable with its keys, every meter, every table cell.

Two short runs of one day tell it, for a person who is looking, not for a study: plans ask `bemsweep.probe`.
The answer is kept in the user's cache folder, by content, and never in a store.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from idfkit import IDFDocument

from bemsweep.cache import cache_folder
from bemsweep.engine import Engine, EngineRun, Job
from bemsweep.errors import EngineNotFoundError, InfrastructureError, InputError, ModelError, Problem, StoreError
from bemsweep.host_client import open_engine
from bemsweep.input_files import EPW, MODEL, Input, InputFiles
from bemsweep.inputs import WeatherInput, weather_facts
from bemsweep.model import external_files, model_problems, version_problem
from bemsweep.model_file import read_model
from bemsweep.model_text import write_model
from bemsweep.outcome import judge
from bemsweep.outputs import Output
from bemsweep.scratch import open_scratch
from bemsweep.store import Store
from bemsweep.variant_id import MODEL_WRITING_VERSION

__all__ = ["Cell", "Examined", "Inventory", "MeterUnits", "VariableKey", "examine"]

ANY_WEATHER = "bundled:usa_il_chicago"
"""What is run with if the user names none: which outputs there are does not depend on it."""

_SCHEMA = 1
"""Version of how an inventory is taken and kept."""

_TIMEOUT_S = 1800.0


class VariableKey(NamedTuple):
    """One output variable of one key."""

    variable: str
    """EnergyPlus's name."""
    key: str
    """Key value in the model's spelling; ``""`` for the environment's own variables."""
    key_kind: str
    """What the key names: ``zone``, ``surface``, …"""
    units: str
    """EnergyPlus's own unit."""


class MeterUnits(NamedTuple):
    """One output meter."""

    meter: str
    """EnergyPlus's name."""
    units: str
    """EnergyPlus's own unit."""


class Cell(NamedTuple):
    """One cell of a summary table."""

    report: str
    """Name of the report, for example ``AnnualBuildingUtilityPerformanceSummary``."""
    for_: str
    """What it reports on, for example ``Entire Facility``."""
    name: str
    """Name of the table."""
    row: str
    """Name of the row."""
    column: str
    """Name of the column."""
    units: str
    """EnergyPlus's own unit."""


@dataclass(frozen=True)
class Inventory:
    """Everything that one model can report."""

    variables: tuple[VariableKey, ...] = ()
    """In the engine's order."""
    meters: tuple[MeterUnits, ...] = ()
    """In the engine's order."""
    cells: tuple[Cell, ...] = ()
    """Of all summary reports, and of the tables that the model asks for itself."""


@dataclass(frozen=True)
class Examined:
    """A model that was looked into."""

    source: Input
    """Its file."""
    document: IDFDocument[bool]
    """What the file holds."""
    weather: WeatherInput
    """What it was run with."""
    inventory: Inventory
    """Empty if there are problems."""
    problems: tuple[Problem, ...] = ()
    """Why it could not be run as it stands."""


def examine(model: str, *, weather: str | None, folder: Path, engine: Engine | str | None) -> Examined:
    """Look into a model: read it, and find out by two short runs what it can report.

    Parameters
    ----------
    model
        Path, URL or ``bundled:`` name, as in a study.
    weather
        The same of an EPW; None for any.
    folder
        Where relative paths start from.
    engine
        Path of an installed EnergyPlus, an engine, or None for the one that was installed with bemsweep.

    Raises
    ------
    InputError
        A file is not there, or cannot be had.
    ModelError
        A file is no model or no EPW.
    InfrastructureError
        The machine's fault.

    Side effects
    ------------
    Keeps what the runs tell in the user's cache folder.
    """
    files = InputFiles(folder)
    source = files.find_one(model, suffixes=MODEL)
    epw = files.find_one(weather or ANY_WEATHER, suffixes=EPW)
    try:
        climate = WeatherInput(epw, weather_facts(epw))
    except (ValueError, OSError) as error:
        raise ModelError(f"{epw.source} is no whole EPW: {error}") from error
    document = read_model(source.path)
    try:
        opened = open_engine(engine) if engine is None or isinstance(engine, str) else engine
    except EngineNotFoundError as error:
        return Examined(source, document, climate, Inventory(), (Problem(str(error)),))
    try:
        named, problems = _external_files(files, source, document)
        obstacles = [Problem(f"{source.source}: {text}", "baseline") for text in _obstacles(document, opened)]
        problems = [*obstacles, *problems]
        inventory = Inventory()
        if not problems:
            try:
                inventory = _kept(opened, source, document, climate, named)
            except ModelError as error:
                problems = [Problem(f"{source.source} does not run as it stands: {error}", "baseline")]
    finally:
        if opened is not engine:
            opened.close()
    return Examined(source, document, climate, inventory, tuple(problems))


def _external_files(
    files: InputFiles, source: Input, document: IDFDocument[bool]
) -> tuple[dict[str, Input], list[Problem]]:
    """Return the files that the model names, and what is wrong with those left out."""
    found, problems = {}, []
    for name in external_files(document):
        try:
            found[name] = files.find_one(name, origin=source)
        except InputError as error:
            problems.append(Problem(f"{source.source} names the file {error}", "baseline"))
    return found, problems


def _obstacles(document: IDFDocument[bool], engine: Engine) -> Iterator[str]:
    """Yield everything that stands against running the model, as a plan would."""
    if wrong := version_problem(document, [engine.version]):
        yield wrong
        return
    yield from model_problems(document, can_expand=engine.can_expand)


def _kept(
    engine: Engine, source: Input, document: IDFDocument[bool], weather: WeatherInput, files: Mapping[str, Input]
) -> Inventory:
    """Return the inventory from the cache, or take and keep it."""
    identity = {
        "baseline": source.sha256,
        "files": {name: file.sha256 for name, file in files.items()},
        "engine": engine.version,
        "schema": [_SCHEMA, MODEL_WRITING_VERSION],
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    cache, name = Store(cache_folder()), f"inventories/{digest[:2]}/{digest}.json.gz"
    # What cannot be read is asked again, and what cannot be kept is told all the same.
    with suppress(StoreError, ValueError, KeyError, TypeError, OSError, EOFError):
        kept = cache.get(name)
        if kept is not None:
            return _from_json(json.loads(gzip.decompress(kept)))
    inventory = _take(engine, source, document, weather, {name: file.path for name, file in files.items()})
    with suppress(StoreError):
        cache.put(name, gzip.compress(json.dumps(vars(inventory)).encode(), mtime=0))
    return inventory


def _take(
    engine: Engine, source: Input, document: IDFDocument[bool], weather: WeatherInput, files: Mapping[str, Path]
) -> Inventory:
    """Run once to learn the names of all outputs, and once more to learn keys, units and cells."""
    settings: dict[str, Any] = {
        "weather": weather.input.path, "probe_day": weather.facts.first_day, "run": "run_period", "calendar": None,
        "files": files,
    }  # fmt: skip
    with open_scratch() as scratch:
        run = engine.run(
            Job(run_id=f"names-{source.sha256[:16]}", baseline=source.path, outputs=(), **settings),
            scratch, timeout_s=_TIMEOUT_S,
        )  # fmt: skip
    names = _succeeded(run).dictionary
    variables = [Output("variable", name, "annual", f"variable {name}") for name in names["variable"]]
    meters = [Output("meter", name, "annual", f"meter {name}", "") for name in names["meter"]]
    with open_scratch() as folder, open_scratch() as scratch:
        asking = folder / "all.idf"
        write_model(_asking_for_all_tables(document), asking)
        job = Job(
            run_id=f"keys-{source.sha256[:16]}", baseline=asking, outputs=(*variables, *meters),
            keep_model_outputs=True, **settings,
        )  # fmt: skip
        series = _succeeded(engine.run(job, scratch, timeout_s=_TIMEOUT_S)).series
        cells = _read_cells(scratch / "eplusout.sql")
    return Inventory(
        tuple(
            VariableKey(one.name, one.key, one.key_kind, one.units)
            for one in series
            if one.output.startswith("variable ")
        ),
        tuple(MeterUnits(one.name, one.units) for one in series if one.output.startswith("meter ")),
        cells,
    )


def _succeeded(run: EngineRun) -> EngineRun:
    status, message = judge(run)
    if status != "succeeded":
        raise ModelError(message or status)
    return run


def _asking_for_all_tables(document: IDFDocument[bool]) -> IDFDocument[bool]:
    """Return a copy that asks for every summary report, keeps its own tables, and for no series."""
    asking = document.copy()
    for object_type in ("Output:Variable", "Output:Meter", "Output:SQLite", "Output:Table:SummaryReports"):
        for obj in asking[object_type].to_list():
            asking.removeidfobject(obj)
    for style in asking["OutputControl:Table:Style"]:
        style["unit_conversion"] = "None"
    asking.add("Output:SQLite", fields={"option_type": "SimpleAndTabular"}, validate=False)
    asking.add("Output:Table:SummaryReports", fields={"reports": [{"report_name": "AllSummary"}]}, validate=False)
    return asking


def _read_cells(path: Path) -> tuple[Cell, ...]:
    """Return the cells that have a row and a column, each once."""
    if not path.is_file():
        return ()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT ReportName, ReportForString, TableName, RowName, ColumnName, coalesce(Units, '')"
                " FROM TabularDataWithStrings WHERE RowName <> '' AND ColumnName <> ''"
            ).fetchall()
    except sqlite3.Error as error:
        raise InfrastructureError(f"{path.name} of the run cannot be read, is the disk full? {error}") from error
    return tuple(dict.fromkeys(Cell(*row) for row in rows))


def _from_json(data: Mapping[str, Any]) -> Inventory:
    return Inventory(
        tuple(VariableKey(*row) for row in data["variables"]),
        tuple(MeterUnits(*row) for row in data["meters"]),
        tuple(Cell(*row) for row in data["cells"]),
    )
