"""One variant again, from its record alone: the exact model, weather and files, in a folder of one's own.

Proves that the model is the one of the record by its hash, and on request that the engine gives the same
numbers to the last bit. Never changes the store, and never runs anything that came out of it but the engine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bemsweep.edits import CallEdit
from bemsweep.engine import Engine, EngineRun, Job
from bemsweep.errors import BemsweepError, RecordError
from bemsweep.host_client import open_engine
from bemsweep.model import model_problems
from bemsweep.object_names import is_variant_id
from bemsweep.outcome import judge
from bemsweep.provenance import edits_from, job_from
from bemsweep.record_file import from_bytes
from bemsweep.records import Record, Series
from bemsweep.redaction import redacted
from bemsweep.simulate import MODEL_NAME, write_job_model
from bemsweep.store import Store

__all__ = ["Reproduced", "reproduce"]

WEATHER_NAME = "in.epw"
COMMAND_NAME = "run.py"

_SCRIPT = """\
# Runs EnergyPlus on variant {variant} once more, in this folder and without bemsweep.
# Its record was made by {engine!a}.
# With an installed EnergyPlus the same is: energyplus -w {weather} -d . {model}

from pathlib import Path

from pyenergyplus.api import EnergyPlusAPI

folder = Path(__file__).parent
api = EnergyPlusAPI()
state = api.state_manager.new_state()
arguments = ["-w", str(folder / "{weather}"), "-d", str(folder), str(folder / "{model}")]
raise SystemExit(api.runtime.run_energyplus(state, arguments))
"""


@dataclass(frozen=True)
class Reproduced:
    """What was written, and what came of running it."""

    record: Record
    """The variant's record."""
    folder: Path
    """Where its model, weather, files and command are."""
    model_sha256: str
    """Of the model as written; equal to the record's."""
    run: EngineRun | None = None
    """The engine's run; None if it was not asked for."""
    differences: tuple[str, ...] = ()
    """Outputs, with their keys, of which the run gave other bits than the record; none if it was reproduced."""


def reproduce(
    store: Store,
    variant: str,
    *,
    to: Path,
    functions: Mapping[str, Callable[[Any, Any], object]] | None = None,
    engine: Engine | str | None = None,
    run: bool = False,
) -> Reproduced:
    """Write the exact model, weather and command of one variant, and run it if asked.

    Parameters
    ----------
    store
        Where the record is.
    variant
        The variant_id or the beginning of it, at least four digits.
    to
        A folder that is empty or does not exist yet.
    functions
        The Python functions that the variant's edits call, by ``module:name``.
    engine
        For `run`: an engine, or the path of an installed EnergyPlus; None for the default.
    run
        True to run it in that folder and to compare every bit with the record.

    Raises
    ------
    BemsweepError
        There is no such record, or more than one; the folder is not empty; a function is missing or has
        changed; the model written is not that of the record; the engine is another build.
    InfrastructureError
        The machine's fault.

    Side effects
    ------------
    Writes to the folder only.
    """
    record = _find_record(store, variant)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise BemsweepError(f"{to} is not an empty folder: name one that does not exist yet")
    calls = _functions(record, functions or {})
    if not run:
        _, digest = _write(store, record, calls, to)
        return Reproduced(record, to, digest)
    with _opened(engine, record.engine) as opened:
        job, digest = _write(store, record, calls, to)
        work = to / "engine"
        work.mkdir()
        result = opened.run(job, work, timeout_s=record.timeout_s or float("inf"))
    return Reproduced(record, to, digest, result, _differences(record, result))


def _write(
    store: Store, record: Record, calls: Mapping[str, Callable[[Any, Any], object]], to: Path
) -> tuple[Job, str]:
    """Write everything to the folder and return the job and the sha256 of its model."""
    job = job_from(
        record.provenance,
        run_id=record.variant_id,
        local=lambda ref: store.local_copy(ref.sha256, ref.suffix),
        calls=calls,
    )
    to.mkdir(parents=True, exist_ok=True)
    try:
        written = write_job_model(job, to)
    except BemsweepError:
        raise
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {error}"
        raise BemsweepError(
            f"a function that the variant calls raised {told}; its record says: {record.message}"
        ) from error
    if problems := model_problems(written.document, can_expand=True):
        raise BemsweepError(f"no study writes a model like that of the record: {'; '.join(problems)}")
    digest = written.model_sha256
    expected = record.provenance.get("model_sha256")
    if expected and digest != expected:
        raise BemsweepError(
            f"the model written to {to} is not that of the record: its sha256 is {digest[:12]} instead of "
            f"{expected[:12]}. Has a function that it calls changed, or was the record made with another version "
            f"(bemsweep {record.provenance.get('bemsweep', 'unknown')})?"
        )
    for path in to.iterdir():  # links into the store become files of their own
        if path.is_symlink():
            target = path.resolve()
            path.unlink()
            shutil.copyfile(target, path)
    shutil.copyfile(job.weather, to / WEATHER_NAME)
    script = _SCRIPT.format(variant=record.variant_id, engine=record.engine, weather=WEATHER_NAME, model=MODEL_NAME)
    (to / COMMAND_NAME).write_text(script, encoding="utf-8")
    return job, digest


def _find_record(store: Store, prefix: str) -> Record:
    prefix = prefix.strip().lower()
    if len(prefix) < 4 or set(prefix) - set("0123456789abcdef"):
        raise BemsweepError(f"{prefix!r} is no variant_id: give at least its first four hexadecimal digits")
    stems = [name.partition(".")[0] for name in store.names(f"records/{prefix[:2]}")]
    found = [stem for stem in stems if stem.startswith(prefix) and is_variant_id(stem)]  # it goes into a script
    if len(found) != 1:
        told = f"{len(found)} records begin so: {', '.join(name[:12] for name in found[:5])}" if found else "none does"
        raise BemsweepError(f"no single record in {store.url} begins with {prefix}: {told}")
    data = store.get(Store.record_name(found[0]))
    if data is None:
        raise RecordError(f"the record {found[0]} has just been deleted")
    try:
        return from_bytes(data, found[0])
    except RecordError as error:
        where = redacted(store.url_of(Store.record_name(found[0])))
        told = f"{where} cannot be read: {error}. `bemsweep run STUDY --verify` finds such records and runs them again"
        raise RecordError(told) from error


def _functions(
    record: Record, functions: Mapping[str, Callable[[Any, Any], object]]
) -> dict[str, Callable[[Any, Any], object]]:
    needed = [edit for edit in edits_from(record.provenance) if isinstance(edit, CallEdit)]
    if missing := sorted({edit.function for edit in needed} - functions.keys()):
        raise BemsweepError(
            f"the variant calls {', '.join(missing)}, and no code is taken from a store: name the study file that "
            "it belongs to (--study FILE), or pass `functions`"
        )
    return {edit.function: functions[edit.function] for edit in needed}


@contextmanager
def _opened(choice: Engine | str | None, version: str) -> Iterator[Engine]:
    engine: Engine = open_engine(choice) if choice is None or isinstance(choice, str) else choice
    try:
        if engine.version != version:
            raise BemsweepError(f"the record was made by {version!r}, this engine is {engine.version!r}")
        yield engine
    finally:
        if engine is not choice:
            engine.close()


def _differences(record: Record, run: EngineRun) -> tuple[str, ...]:
    """Return what differs between a record and a run, by name."""
    status, message = judge(run)
    if (status, message if status == "failed" else "") != (record.status, record.message if status == "failed" else ""):
        return (f"status: {status} {message} instead of {record.status} {record.message}",)
    reported = {_place(series): series.values for series in run.series}
    expected = {_place(series): series.values for series in record.series}
    return tuple(
        " ".join(place)
        for place in dict.fromkeys((*expected, *reported))
        if place not in reported
        or place not in expected
        or not np.array_equal(expected[place].view(np.uint64), reported[place].view(np.uint64))
    )


def _place(series: Series) -> tuple[str, str, str]:
    return series.output, series.frequency, series.key
