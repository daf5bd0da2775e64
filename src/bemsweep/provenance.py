"""What a record tells of where its numbers come from, and the way back from there to the same run.

Decides which plain values stand for a job. What is read back is data: functions are never restored from
it, only matched by name with those that a person brings along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from bemsweep.design_days import DesignDay
from bemsweep.edits import CallEdit, Edit, FieldEdit, InputRef, InsertEdit, ScheduleEdit, files_of
from bemsweep.engine import Job
from bemsweep.engine_files import needs_asking
from bemsweep.errors import RecordError
from bemsweep.outputs import Output
from bemsweep.periods import Calendar

__all__ = ["edits_from", "job_from", "provenance_of"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"(\.[^./\\:\0]+)?")
"""What `pathlib.PurePath.suffix` can be: nothing that leads to another folder."""

_KINDS = {kind.__name__: kind for kind in (FieldEdit, ScheduleEdit, InsertEdit, CallEdit)}


def provenance_of(job: Job, *, baseline: InputRef, weather: InputRef, files: Mapping[str, InputRef]) -> dict[str, Any]:
    """Return the plain values for JSON that `job_from` makes the same job of.

    Parameters
    ----------
    job
        What was simulated.
    baseline, weather
        Its inputs.
    files
        External files: as the model spells them -> the input.
    """
    return {
        "edits": [{"kind": type(edit).__name__, **asdict(edit)} for edit in job.edits],
        "run": job.run,
        "outputs": _plain_outputs(job.outputs),
        "calendar": None if job.calendar is None else _plain_calendar(job.calendar),
        "design_days": [asdict(day) for day in job.design_days],
        "keep_model_outputs": job.keep_model_outputs,
        "baseline": asdict(baseline),
        "weather": asdict(weather),
        "files": {name: asdict(ref) for name, ref in files.items()},
        # They are part of the model as written; most records have none and do not say so.
        **({"raw_files": list(job.raw_files)} if job.raw_files else {}),
        **({"max_memory_bytes": job.max_memory_bytes} if job.max_memory_bytes is not None else {}),
    }


@lru_cache(maxsize=4)  # the same for all variants of a study
def _plain_outputs(outputs: tuple[Output, ...]) -> tuple[Mapping[str, Any], ...]:
    return tuple(output.to_dict() for output in outputs)


@lru_cache(maxsize=4)
def _plain_calendar(calendar: Calendar) -> Mapping[str, Any]:
    return calendar.to_dict()


def edits_from(provenance: Mapping[str, Any]) -> tuple[Edit, ...]:
    """Return the edits of a record.

    Raises
    ------
    RecordError
        They are not what this version writes.
    """
    try:
        return tuple(_edit(dict(entry)) for entry in provenance["edits"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"the record does not tell its edits: {error!r}") from error


def job_from(
    provenance: Mapping[str, Any],
    *,
    run_id: str,
    local: Callable[[InputRef], Path],
    calls: Mapping[str, Callable[[Any, Any], object]],
) -> Job:
    """Return the job that a record is the result of.

    Parameters
    ----------
    provenance
        Of the record.
    run_id
        Names the run.
    local
        Returns a local copy of an input.
    calls
        The functions that its edits name.

    Raises
    ------
    RecordError
        The provenance is not what this version writes.
    """
    edits = edits_from(provenance)
    try:
        return Job(
            run_id=run_id,
            baseline=local(_input(provenance["baseline"])),
            weather=local(_input(provenance["weather"])),
            run=provenance["run"],
            outputs=tuple(Output.from_dict(output) for output in provenance["outputs"]),
            calendar=Calendar.from_dict(provenance["calendar"]),
            design_days=tuple(_design_day(**day) for day in provenance["design_days"]),
            edits=edits,
            calls=calls,
            files={name: local(_input(ref)) for name, ref in provenance["files"].items()},
            edit_files={ref.sha256: local(ref) for ref in files_of(edits)},
            keep_model_outputs=provenance["keep_model_outputs"],
            raw_files=tuple(_raw_file(name) for name in provenance.get("raw_files", ())),
            max_memory_bytes=None if (limit := provenance.get("max_memory_bytes")) is None else int(limit),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"the record does not tell what was simulated: {error!r}") from error


def _input(entry: Mapping[str, Any]) -> InputRef:
    ref = InputRef(**entry)
    # Both become parts of paths.
    if not _SHA256.fullmatch(ref.sha256) or not _SUFFIX.fullmatch(ref.suffix):
        raise ValueError(f"{ref!r} is no input of a store")
    return ref


def _raw_file(name: str) -> str:
    if not needs_asking(name):
        raise ValueError(f"EnergyPlus is never asked for a file {name!r}")
    return name


def _design_day(name: str, fields: Iterable[Sequence[Any]]) -> DesignDay:
    return DesignDay(name, tuple((field, value) for field, value in fields))


def _edit(entry: dict[str, Any]) -> Edit:
    kind = _KINDS[entry.pop("kind")]
    if entry.get("file") is not None:
        entry["file"] = _input(entry["file"])
    if "where" in entry:
        entry["where"] = tuple((field, value) for field, value in entry["where"])
    made: Edit = kind(**entry)
    return made
