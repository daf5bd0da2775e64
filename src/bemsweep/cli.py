"""The command line: the same verbs as in Python, with messages for people or JSON for programs.

Exit status: 0 all succeeded; 1 some variants failed; 2 bad input; 3 the machine gave up or the money is
spent, run again to carry on; 70 a bug in bemsweep; 130 stopped by Ctrl-C, SIGTERM, a closed terminal or
`bemsweep stop`.
"""

from __future__ import annotations

import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from dotenv import load_dotenv
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from bemsweep import __version__
from bemsweep.cli_cluster import cluster_app
from bemsweep.cli_run import run_command
from bemsweep.cli_status import status_command, stop_command
from bemsweep.cli_storage import storage_app, studies_app
from bemsweep.cli_weather import weather_app
from bemsweep.console import (
    BAD_INPUT,
    BUG,
    DEFAULT_STORE,
    GAVE_UP,
    STOPPED,
    AllowPythonOption,
    EngineOption,
    JsonOption,
    StoreOption,
    StudyArgument,
    StudyFile,
    YesOption,
    err,
    explained,
    name_of,
    out,
    planned,
    print_json,
    store_of,
    write_any_character,
)
from bemsweep.errors import BemsweepError, InfrastructureError, StoreError, shortened
from bemsweep.faults import LASTING, Fault, fault_of

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Parametric studies of EnergyPlus models, gathered in one labelled xarray dataset.",
)
engine_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="EnergyPlus builds of this machine.")
app.add_typer(engine_app, name="engine")
app.add_typer(cluster_app, name="cluster")
app.add_typer(weather_app, name="weather")
app.add_typer(storage_app, name="storage")
app.add_typer(studies_app, name="studies")

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Path or URL of an IDF or epJSON, or bundled:ref/small_office.")
]


def main() -> None:
    """Run the command line; every expected error becomes a message and an exit status."""
    write_any_character()
    for ending in ("SIGTERM", "SIGHUP"):  # a stopped job and a closed terminal end as cleanly as Ctrl-C
        if hasattr(signal, ending):
            signal.signal(getattr(signal, ending), signal.default_int_handler)
    try:
        app()
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(STOPPED)
    except BemsweepError as error:
        err.print(shortened(str(error)))
        needs_mending = isinstance(error, StoreError) and error.fault in LASTING
        sys.exit(GAVE_UP if isinstance(error, InfrastructureError) and not needs_mending else BAD_INPUT)
    except OSError as error:
        err.print(f"the machine gave up: {type(error).__name__}: {error}; run again to carry on")
        sys.exit(GAVE_UP)
    except Exception as error:  # noqa: BLE001 - status 1 would say that some variants failed
        if fault_of(error) is Fault.ALTERED:  # a chunk of the results, which zarr has refused
            told = "the results are cut or altered: `bemsweep run STUDY --verify` finds what is, and mends it"
            err.print(f"{told} ({error})")
            sys.exit(GAVE_UP)
        err.print(traceback.format_exc())
        err.print("this is a bug in bemsweep: please report it with the study file")
        sys.exit(BUG)


@app.callback(invoke_without_command=True)
def version_option(
    env_file: Annotated[
        Path | None, typer.Option("--env-file", help="Read variables such as AWS_PROFILE from it; set ones stay.")
    ] = None,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Parametric studies of EnergyPlus models, gathered in one labelled xarray dataset."""
    if env_file is not None:
        if env_file.is_dir() or not env_file.exists():  # it may be a pipe
            raise typer.BadParameter(f"there is no file {env_file}", param_hint="--env-file")
        try:
            load_dotenv(env_file)
        except (OSError, ValueError) as error:  # whose text could show a line of the file
            told = f"{env_file} cannot be read as lines NAME=value in UTF-8 ({type(error).__name__})"
            raise typer.BadParameter(told, param_hint="--env-file") from None
    if version:
        out.print(f"bemsweep {__version__}")
        raise typer.Exit


@app.command("describe")
def describe_command(
    model: ModelArgument,
    weather: Annotated[str | None, typer.Option("--weather", help="EPW to look at it with; any will do.")] = None,
    engine: EngineOption = None,
    *,
    find: Annotated[str | None, typer.Option("--find", metavar="WORDS", help="Tell only what has these words.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a model has that can be varied, and what it can report, spelled as a study file wants it."""
    from bemsweep.description import describe  # noqa: PLC0415 - pandas and idfkit take a second to import

    told = describe(model, find=find, weather=weather, engine=engine)
    if as_json:
        print_json(told.to_dict())
    else:
        out.print(str(told))


@app.command("init")
def init_command(
    model: ModelArgument,
    epw: Annotated[str, typer.Argument(metavar="EPW", help="The same of a weather file.")],
    file: Annotated[Path, typer.Option("--out", help="The study file to write.")] = Path("study.yaml"),
    engine: EngineOption = None,
) -> None:
    """Write a study file that runs as it stands, with suggestions found in the model."""
    from bemsweep.starter import write_study  # noqa: PLC0415 - pandas and idfkit take a second to import

    _check_can_be_written(file)
    text = write_study(model, epw, file=file, engine=engine)
    try:
        with file.open("x", encoding="utf-8") as study:
            study.write(text)
    except FileExistsError:  # since it was looked at
        _check_can_be_written(file)
    run = f"bemsweep run {shlex.quote(str(file))}"
    out.print(f"wrote {file}; look at it, then\n  {run} --limit 2\n  {run}")


def _check_can_be_written(file: Path) -> None:
    if file.is_dir():
        raise BemsweepError(f"{file} is a folder: name the study file with --out, such as {file / 'study.yaml'}")
    if file.exists():
        raise BemsweepError(f"{file} is there already: give another name with --out, or delete it")
    if not file.parent.is_dir():
        raise BemsweepError(f"there is no folder {file.parent}: make it, or give another name with --out")


@app.command("plan")
def plan_command(
    study: StudyFile,
    store: StoreOption = DEFAULT_STORE,
    engine: EngineOption = None,
    *,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", metavar="FILE", help="Say what it takes and costs on that cluster.")
    ] = None,
    yes: YesOption = False,
    allow_python: AllowPythonOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a study and say what there is to run; runs nothing but a short look at each baseline."""
    from bemsweep.cluster_file import read_cluster  # noqa: PLC0415 - pydantic takes a moment to import

    where = None if cluster is None else read_cluster(cluster, allow_python=allow_python)
    made = planned(study, store, engine, cluster=where, yes=yes, allow_python=allow_python)
    if as_json:
        print_json(made.counts())
    else:
        out.print(str(made))


app.command("run")(run_command)
app.command("status")(status_command)
app.command("stop")(stop_command)


@app.command("logs")
def logs_command(
    study: StudyArgument,
    variant: Annotated[
        str, typer.Argument(metavar="[ID]", help="Only lines of this variant: its variant_id, or how that begins.")
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    *,
    run: Annotated[
        str | None, typer.Option("--run", help="Of this run, or how its name begins; else of the latest.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a run's driver and workers have told, in order of time; of a variant, in all runs that are kept."""
    from bemsweep.run_logs import read_logs  # noqa: PLC0415 - fsspec

    lines = read_logs(store_of(study, store), name_of(study), run=run, variant=variant)
    if as_json:
        print_json([line._asdict() for line in lines])
        return
    for line in lines:
        out.print(f"{line.at[:-6]} {line.level:<7} {line.variant[:8]:<8} {line.worker}: {line.text}")


@app.command("errors")
def errors_command(study: StudyArgument, store: StoreOption = DEFAULT_STORE, *, as_json: JsonOption = False) -> None:
    """Group a study's failures by their first severe message, and say what they mean and where to look."""
    from bemsweep import results  # noqa: PLC0415 - xarray takes a second to import

    groups = results.errors(store_of(study, store), name_of(study))
    if as_json:
        print_json(groups.to_dict(orient="records"))
    elif groups.empty:
        out.print("no variant has failed")
    else:
        out.print(explained(groups, store))


@app.command("export")
def export_command(
    study: StudyArgument,
    to: Annotated[
        Path,
        typer.Option("--to", metavar="FILE_OR_FOLDER", help="A file ending in .nc, .parquet or .csv, or a folder."),
    ],
    store: StoreOption = DEFAULT_STORE,
    *,
    as_format: Annotated[
        Literal["netcdf", "parquet", "csv"] | None,
        typer.Option("--format", help="netcdf, parquet or csv; else told by the file's suffix."),
    ] = None,
    group: Annotated[str | None, typer.Option("--group", help="One group only, for example hourly.")] = None,
    shape: Annotated[Literal["wide", "long"], typer.Option("--shape", help="Of tables: wide or long.")] = "wide",
    variables: Annotated[
        list[str] | None, typer.Option("--variables", help="These variables only: electricity,temperature.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a study's results as netCDF, Parquet or CSV, however large they are."""
    from bemsweep import export, results  # noqa: PLC0415 - xarray takes a second to import

    chosen = as_format or {".nc": "netcdf", ".parquet": "parquet", ".csv": "csv"}.get(to.suffix.lower())
    if chosen is None:
        raise typer.BadParameter(f"{to} does not tell the format: give --format netcdf, parquet or csv")
    what: dict[str, Any] = {"group": group, "overwrite": overwrite}
    what["variables"] = [name.strip() for names in variables for name in names.split(",")] if variables else None
    tree = results.open_results(store_of(study, store), name_of(study))
    if chosen == "netcdf":
        files = export.to_netcdf(tree, to, **what)
    else:
        files = (export.to_parquet if chosen == "parquet" else export.to_csv)(tree, to, shape=shape, **what)
    if as_json:
        print_json([str(file) for file in files])
    for file in () if as_json else files:
        out.print(str(file))


@app.command("reproduce")
def reproduce_command(
    variant: Annotated[str, typer.Argument(metavar="ID", help="A variant_id, or its first four digits or more.")],
    to: Annotated[Path, typer.Option("--to", help="A folder that does not exist yet.")],
    store: StoreOption = DEFAULT_STORE,
    engine: EngineOption = None,
    *,
    study: Annotated[
        Path | None, typer.Option("--study", help="The study file, if the variant calls a Python function.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run it too, and compare every bit with the record.")] = False,
    allow_python: AllowPythonOption = False,
) -> None:
    """Write the exact model, weather and command of one variant, to look into it."""
    from bemsweep.reproduction import reproduce  # noqa: PLC0415 - idfkit takes a second to import

    functions = {} if study is None else _functions_of(study, engine, allow_python=allow_python)
    done = reproduce(store_of(str(study or ""), store), variant, to=to, functions=functions, engine=engine, run=run)
    out.print(f"{done.record.variant_id}: {done.record.status} {done.record.message}".rstrip())
    out.print(f"model, weather and run.py are in {to}; the model's sha256 is the record's: {done.model_sha256}")
    if done.differences:
        raise BemsweepError(f"the run differs from the record in: {', '.join(done.differences)}")
    if done.run is not None:
        told = f"all {len(done.record.series)} series are" if done.record.series else "the outcome is"
        out.print(f"run again in {to / 'engine'}: {told} the same as the record's, to the last bit")


@app.command("fetch")
def fetch_command(
    study: StudyArgument,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="The folder, made if needed; else STUDY-raw.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    *,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", metavar="ID", help="Only this; may be given several times.")
    ] = None,
    files: Annotated[
        list[str] | None, typer.Option("--files", metavar="PATTERN", help="Only files that fit: '*.sql,*.err'.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the raw files that a study keeps to a folder; the same command carries on where it was stopped."""
    from bemsweep import raw_files  # noqa: PLC0415 - fsspec and Zarr take a second to import

    name = name_of(study)
    home = store_of(study, store)
    patterns = [pattern.strip() for patterns in files or [] for pattern in patterns.split(",")]
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=err, disable=as_json) as bar:
        task = bar.add_task("fetching", total=None)
        done = raw_files.fetch(
            home, name, to=to or Path(f"{name}-raw"), variants=variant or [], files=patterns,
            progress=lambda brought, total: bar.update(task, completed=brought, total=total),
        )  # fmt: skip
    if as_json:
        told = {"folder": str(done.folder), "brought": len(done.brought), "there": len(done.there)}
        print_json({**told, "bytes": done.size_bytes, "without": list(done.without), "pending": list(done.pending)})
        return
    out.print(f"{len(done.brought):,} files brought to {done.folder}, {len(done.there):,} were there already")
    out.print(f"{done.folder / raw_files.TABLE_NAME} tells whose folder is which")
    if done.without:
        why = "have none: they ran before `keep` asked for such files, or had nothing to write into them"
        again = f"`bemsweep reproduce {done.without[0][:12]} --to DIR --run` runs one again"
        out.print(f"{len(done.without):,} variants {why}; {again}")
    if done.pending:
        out.print(f"{len(done.pending):,} variants have not run yet")


@engine_app.command("list")
def engine_list_command(*, as_json: JsonOption = False) -> None:
    """List the EnergyPlus builds of this machine, the preferred one first."""
    from bemsweep.host_client import find_engines  # noqa: PLC0415 - starts a process

    engines = {version: str(path) for version, path in find_engines().items()}
    if as_json:
        print_json(engines)
    for version, path in () if as_json else engines.items():
        out.print(f"{version}\n  {path}")


def _functions_of(path: Path, engine: str | None, *, allow_python: bool) -> dict[str, Any]:
    from bemsweep.resolution import import_functions  # noqa: PLC0415 - idfkit takes a second to import
    from bemsweep.study import Study  # noqa: PLC0415 - pydantic

    return import_functions(Study.from_yaml(path, allow_python=allow_python, engine=engine))
