"""Running one variant on one EnergyPlus build.

Defines what an engine is asked (`Job`) and what it answers (`EngineRun`). Who answers lives in
`bemsweep.host_client`; what an answer means is decided by `bemsweep.outcome`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bemsweep.design_days import DesignDay
from bemsweep.edits import Edit
from bemsweep.outputs import Output, RunKind
from bemsweep.periods import Calendar
from bemsweep.records import Series
from bemsweep.tables import Cell

__all__ = ["COMPLETED", "EXIT_UNWRITABLE", "Engine", "EngineRun", "Job"]

COMPLETED = "EnergyPlus Completed Successfully"
"""How ``eplusout.end`` begins after a run that went well."""

EXIT_UNWRITABLE = 74
"""Exit code of a run that could not write to its own folder (EX_IOERR of sysexits.h)."""


@dataclass(frozen=True)
class Job:
    """One model to edit and simulate; all paths are local."""

    run_id: str
    """Names the run for `Engine.kill`."""
    baseline: Path
    """IDF or epJSON, told apart by the suffix."""
    weather: Path
    """EPW file."""
    run: RunKind
    """Which environments are simulated."""
    outputs: tuple[Output, ...]
    """What the engine is asked to report."""
    calendar: Calendar | None
    """What the engine must report; None for a probe: one day, names of outputs only, no values."""
    edits: tuple[Edit, ...] = ()
    """What is changed in the baseline, in order."""
    calls: Mapping[str, Callable[[Any, Any], object]] = field(default_factory=dict)
    """The functions that `CallEdit.function` names."""
    design_days: tuple[DesignDay, ...] = ()
    """What replaces the baseline's design days before it is edited; empty to keep them."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """External files: as the model spells them -> local copy."""
    edit_files: Mapping[str, Path] = field(default_factory=dict)
    """Files that edits need: sha256 -> local copy."""
    probe_day: tuple[int, int] = (1, 1)
    """Month and day that a probe simulates; the weather file must have it."""
    keep_model_outputs: bool = False
    """True to keep the model's own Output objects."""
    raw_files: tuple[str, ...] = ()
    """Files that EnergyPlus is to write besides those that it writes for every job, sorted."""
    max_memory_bytes: int | None = None
    """Resident memory above which the run and all that it started are killed; None for no limit."""


@dataclass(frozen=True)
class EngineRun:
    """What happened, before anybody judges it."""

    returncode: int
    """Exit code of the run's process; negative for the signal that ended it."""
    stage: str
    """Last stage reached: ``start``, ``edit``, ``engine``, ``read`` or ``done``."""
    is_timed_out: bool = False
    """True if the run was killed at its time-out."""
    is_cancelled: bool = False
    """True if `Engine.kill` ended the run."""
    memory_limit_bytes: int = 0
    """The limit of memory that the run was killed for; 0 if it was not."""
    error: str = ""
    """Python's error of the stage that failed, one line with its type."""
    end: str = ""
    """Text of ``eplusout.end``."""
    err: str = ""
    """Text of ``eplusout.err``, cut in the middle if longer than 64 kB."""
    sqlite_err: str = ""
    """Text of ``sqlite.err``."""
    series: tuple[Series, ...] = ()
    """What was reported; empty unless the run was read to its end."""
    design_day_names: tuple[str, ...] = ()
    """Names of the design days in the order of the series."""
    design_day_dates: tuple[str, ...] = ()
    """Their dates as ``MM-DD``."""
    model_sha256: str = ""
    """Of the IDF as written for the engine."""
    engine_s: float = 0.0
    """Seconds in the engine."""
    read_s: float = 0.0
    """Seconds of reading what it wrote."""
    memory_bytes: int = 0
    """Peak resident memory of the run's largest process; of a run killed for its memory, what all of them held."""
    cpu_s: float | None = None
    """Processor seconds of the run's processes; None if nobody has told."""
    dictionary: Mapping[str, list[str]] = field(default_factory=dict)
    """Of a probe: ``{"variable": [...], "meter": [...], "report": [...]}``, every name that this model can report."""
    cells: tuple[Cell, ...] = ()
    """Of a probe: all cells of the tabular reports asked for."""


class Engine(Protocol):
    """An EnergyPlus build that can run jobs, from several threads at once."""

    @property
    def version(self) -> str:
        """The string that the engine reports itself."""

    @property
    def can_expand(self) -> bool:
        """True if it expands HVACTemplate objects."""

    def run(self, job: Job, scratch: Path, *, timeout_s: float) -> EngineRun:
        """Simulate `job` in the empty folder `scratch`, which the caller deletes afterwards.

        What EnergyPlus wrote lies there under its own names, the model as ``in.idf``, however the run ended.

        Raises
        ------
        InfrastructureError
            The engine's host cannot be started or has died.
        """

    def kill(self, run_id: str) -> None:
        """End a run that another thread waits for; unknown ids are ignored."""

    def running(self) -> Mapping[str, str]:
        """Return what each run under way is at, by its id: a simulated date as ``07/21``, or words.

        It costs little and may be asked from any thread; a run that has just begun or ended may be missing.
        """

    def close(self) -> None:
        """End the engine and all of its runs."""
