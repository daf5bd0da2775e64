"""One run, inside a process of its own: edit the model, run EnergyPlus, read its output, leave the result.

Knows every file of a run's folder. Never decides what a result means (`bemsweep.outcome` does), and
never keeps anything for the next run.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bemsweep.design_days import replace_design_days
from bemsweep.editing import apply_edits
from bemsweep.edits import files_of
from bemsweep.engine import COMPLETED, EXIT_UNWRITABLE, EngineRun, Job
from bemsweep.eplusout import Report, read_dictionary, read_report, read_text
from bemsweep.errors import InfrastructureError, ModelError
from bemsweep.heartbeat import STAGE_NAME
from bemsweep.key_labels import KeyLabels
from bemsweep.model import prepare_run
from bemsweep.model_file import read_model
from bemsweep.model_text import ParsedModel, write_model
from bemsweep.records import Series
from bemsweep.tables import Cell, report_names

if TYPE_CHECKING:
    from idfkit import IDFDocument

    from bemsweep.energyplus import EnergyPlus

__all__ = ["MODEL_NAME", "WrittenModel", "read_run", "simulate", "write_job_model"]

_MACHINE_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE}
MODEL_NAME = "in.idf"
"""What the model is called in the folder of a run."""

_RESULT = "bemsweep.json"
_VALUES = "bemsweep.npy"


@dataclass
class _Result:
    """What a run knows of itself; grows stage by stage."""

    returncode: int = 0
    error: str = ""
    engine_s: float = 0.0
    read_s: float = 0.0
    model_sha256: str = ""
    dictionary: dict[str, list[str]] = field(default_factory=dict)
    report: Report = field(default_factory=lambda: Report(()))


def simulate(
    load: Callable[[], Job], scratch: Path, energyplus: EnergyPlus, *, baseline: ParsedModel | None = None
) -> int:
    """Do the run that `load` returns in the folder `scratch` and return the exit code for the process.

    Parameters
    ----------
    load
        Returns the job; called here because what a user's function needs to be unpickled may fail.
    scratch
        An empty folder.
    energyplus
        The build to run.
    baseline
        The job's baseline, already parsed; it is edited in place. None to parse it here.

    Side effects
    ------------
    Whatever happens is written to `scratch`, for `read_run`; nothing is raised.
    """
    result = _Result()
    try:
        try:
            _do(load, scratch, energyplus, baseline, result)
        except BaseException as error:  # noqa: BLE001 - a user's function may raise anything, SystemExit too
            result.returncode = result.returncode or 1
            result.error = _describe(error)
        _write(scratch, result)
    except OSError:
        return EXIT_UNWRITABLE
    return 0 if result.returncode == 0 else 1


def _do(
    load: Callable[[], Job], scratch: Path, energyplus: EnergyPlus, baseline: ParsedModel | None, result: _Result
) -> None:
    _enter(scratch, "edit")
    job = load()
    for path in (job.baseline, job.weather, *job.files.values(), *job.edit_files.values()):
        if not path.is_file():
            raise InfrastructureError(f"an input of the run is missing: {path}")
    written = write_job_model(job, scratch, baseline=baseline)
    document, result.model_sha256 = written.document, written.model_sha256
    _enter(scratch, "engine")
    has_templates = any(name.upper().startswith("HVACTEMPLATE:") for name in document)
    begin = time.perf_counter()
    result.returncode = energyplus.simulate(scratch / MODEL_NAME, job.weather, has_templates=has_templates)
    result.engine_s = time.perf_counter() - begin
    if result.returncode != 0 or not read_text(scratch / "eplusout.end").startswith(COMPLETED):
        return
    _enter(scratch, "read")
    begin = time.perf_counter()
    report = read_report(scratch / "eplusout.sql", job.outputs, job.run, job.calendar, label=KeyLabels(document))
    result.report = _with_days_of_model(report, document)
    if job.calendar is None:
        result.dictionary = read_dictionary(scratch) | {"report": written.reports}
    result.read_s = time.perf_counter() - begin
    _enter(scratch, "done")


@dataclass(frozen=True)
class WrittenModel:
    """A model as it was written for the engine."""

    document: IDFDocument[bool]
    """The model, edited and prepared."""
    model_sha256: str
    """Of the IDF, which is the same on every machine."""
    reports: list[str]
    """Reports that the model can print, those included that the study does not ask for."""


def write_job_model(job: Job, scratch: Path, *, baseline: ParsedModel | None = None) -> WrittenModel:
    """Write the model that `job` simulates to `scratch`, and beside it every file that the model reads.

    Parameters
    ----------
    job
        What is to be simulated.
    scratch
        Where.
    baseline
        The job's baseline, already parsed; it is edited in place. None to parse it here.

    Raises
    ------
    ModelError
        An edit cannot be done, or the model cannot be written.
    InfrastructureError
        A file cannot be read or written.
    """
    try:
        document = read_model(job.baseline) if baseline is None else baseline.document
    except OSError as error:
        raise InfrastructureError(f"the baseline cannot be read: {error}") from error
    names = _place_files(job, scratch)
    if job.design_days:
        replace_design_days(document, job.design_days)
    apply_edits(document, job.edits, job.calls, files=job.edit_files)
    reports = report_names(document)
    prepare_run(
        document,
        None if job.calendar is None else job.run,
        job.outputs,
        keep_model_outputs=job.keep_model_outputs,
        files=names,
        probe_day=job.probe_day,
        is_leap=job.calendar is not None and job.calendar.is_leap,
        raw_files=job.raw_files,
    )
    try:
        return WrittenModel(document, write_model(document, scratch / MODEL_NAME, baseline=baseline), reports)
    except OSError as error:
        raise InfrastructureError(f"the model cannot be written: {error}") from error


def _place_files(job: Job, scratch: Path) -> dict[str, str]:
    """Put every file that the model reads beside it and return what the model calls it -> its name there.

    So the model as written, and its hash, are the same on every machine.
    """
    names = {name: f"file-{number}{path.suffix}" for number, (name, path) in enumerate(job.files.items(), 1)}
    placed = {names[name]: path for name, path in job.files.items()}
    placed |= {ref.name: job.edit_files[ref.sha256] for ref in files_of(job.edits)}
    for name, path in placed.items():
        try:
            (scratch / name).symlink_to(path.absolute())
        except OSError:  # Windows, without the right to do so
            shutil.copyfile(path, scratch / name)
    return names


def _with_days_of_model(report: Report, document: IDFDocument[bool]) -> Report:
    """Spell the design days as the model does, and take from it the dates that no output tells."""
    by_name = {day.name.upper(): day for day in document["SizingPeriod:DesignDay"]}
    days = [by_name[name.upper()] for name in report.design_day_names]
    dates = [
        date or f"{int(day.month):02}-{int(day.day_of_month):02}"
        for day, date in zip(days, report.design_day_dates, strict=True)
    ]
    return replace(report, design_day_names=tuple(day.name for day in days), design_day_dates=tuple(dates))


def _enter(scratch: Path, stage: str) -> None:
    (scratch / STAGE_NAME).write_text(stage, encoding="ascii")


def _describe(error: BaseException) -> str:
    """Return `error` as one line that begins with its type; `bemsweep.outcome` relies on the type."""
    text = " ".join(str(error).split())
    if isinstance(error, InfrastructureError):
        return f"InfrastructureError: {text}"
    if isinstance(error, OSError) and error.errno in _MACHINE_FAULTS:
        return f"InfrastructureError: {type(error).__name__}: {text}"
    if isinstance(error, MemoryError):
        return "InfrastructureError: the run is out of memory"
    if isinstance(error, ModelError):
        return f"ModelError: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {text}{place}"


def _write(scratch: Path, result: _Result) -> None:
    series = result.report.series
    descriptions = [
        {name: value for name, value in vars(one).items() if name != "values"} | {"length": len(one.values)}
        for one in series
    ]
    content = vars(result) | {"report": vars(result.report) | {"series": descriptions}}
    np.save(scratch / _VALUES, np.concatenate([one.values for one in series]) if series else np.empty(0))
    # Last, and by a rename: a result that is there is whole.
    partial = scratch / f"{_RESULT}.partial"
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(scratch / _RESULT)


def read_run(
    scratch: Path,
    returncode: int,
    *,
    memory_bytes: int = 0,
    cpu_s: float | None = None,
    is_timed_out: bool = False,
    is_cancelled: bool = False,
    memory_limit_bytes: int = 0,
) -> EngineRun:
    """Return what the run in `scratch` left, however it ended.

    Parameters
    ----------
    scratch
        The folder that `simulate` worked in.
    returncode
        How the run's process ended; negative for a signal.
    memory_bytes
        Its peak resident memory.
    cpu_s
        Its processor seconds; None if nobody has told.
    is_timed_out, is_cancelled, memory_limit_bytes
        Why it was killed, if it was.
    """
    stage = read_text(scratch / STAGE_NAME) or "start"
    result: dict[str, Any] = {}
    series: tuple[Series, ...] = ()
    report: dict[str, Any] = {}
    if returncode >= 0 and (scratch / _RESULT).is_file():
        result = json.loads((scratch / _RESULT).read_text(encoding="utf-8"))
        report = result["report"]
        series = _series(report["series"], np.load(scratch / _VALUES))
    return EngineRun(
        returncode=result.get("returncode", returncode),
        stage=stage,
        is_timed_out=is_timed_out,
        is_cancelled=is_cancelled,
        memory_limit_bytes=memory_limit_bytes,
        error=result.get("error", ""),
        end=read_text(scratch / "eplusout.end"),
        err=read_text(scratch / "eplusout.err"),
        sqlite_err=read_text(scratch / "sqlite.err"),
        series=series,
        design_day_names=tuple(report.get("design_day_names", ())),
        design_day_dates=tuple(report.get("design_day_dates", ())),
        model_sha256=result.get("model_sha256", ""),
        engine_s=result.get("engine_s", 0.0),
        read_s=result.get("read_s", 0.0),
        memory_bytes=memory_bytes,
        cpu_s=cpu_s,
        dictionary=result.get("dictionary", {}),
        cells=tuple(Cell(*cell) for cell in report.get("cells", ())),
    )


def _series(descriptions: list[dict[str, Any]], values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Series, ...]:
    series, begin = [], 0
    for description in descriptions:
        length = description.pop("length")
        series.append(Series(**description, values=values[begin : begin + length]))
        begin += length
    return tuple(series)
