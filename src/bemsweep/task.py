"""What a worker does with a variant: run it and write its record.

It works the same wherever it is called; nothing here knows Dask. Decides nothing about a run's outcome
(`bemsweep.outcome` does).
"""

from __future__ import annotations

import datetime as dt
import io
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bemsweep.attempts import MOST_TRIES
from bemsweep.design import LABELS
from bemsweep.design_days import DesignDay
from bemsweep.edits import Edit, InputRef, files_of
from bemsweep.engine import Engine, EngineRun, Job
from bemsweep.engine_files import needs_asking
from bemsweep.errors import (
    BemsweepError,
    EngineDiedError,
    EngineNotFoundError,
    InfrastructureError,
    RecordError,
    UnfitWorkerError,
)
from bemsweep.heartbeat import Running, longest
from bemsweep.host_client import open_engine
from bemsweep.lease import LeaseWatch
from bemsweep.log_lines import of_run, tell, tell_warning
from bemsweep.outcome import count_messages, first_severe, judge
from bemsweep.outputs import Output, RunKind
from bemsweep.parts import Value
from bemsweep.periods import Calendar
from bemsweep.preflight import SAME_EVERYWHERE, own_versions
from bemsweep.provenance import provenance_of
from bemsweep.raw_files import keep_files
from bemsweep.record_file import RecordFile, to_bytes
from bemsweep.records import Record, Status, is_cut_short, outputs_sha256
from bemsweep.run_logs import open_log
from bemsweep.scratch import open_scratch
from bemsweep.simulate import read_run
from bemsweep.store import Store
from bemsweep.units import size_text

__all__ = ["Context", "Finished", "Workplace", "job_of", "run_variant"]

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
"""After the first of several faults in a row, and after many."""
_MESSAGE_LENGTH = 300
"""Of what goes through the scheduler."""


@dataclass(frozen=True)
class Context:
    """All that the variants of a study have in common; reaches each worker once."""

    study: str
    """The study's name."""
    store: Store
    """Where records and the cube live."""
    engine: Engine | str | None
    """The engine to open: None for the default, a path, or an engine object."""
    engine_version: str
    """The string that it must report."""
    run: RunKind
    """Run kind."""
    outputs: tuple[Output, ...]
    """What every variant is asked to report."""
    calendar: Calendar
    """The instants that all variants share."""
    keep_model_outputs: bool
    """True if the models' own outputs are kept beside the study's."""
    timeout_s: float
    """Limit for one engine run, seconds by the clock."""
    names: tuple[str, ...]
    """Columns of a row: baseline, weather, parameters."""
    parameters: tuple[str, ...]
    """The parameters in the order in which their edits are applied."""
    edits: Mapping[tuple[str, str, Value], tuple[Edit, ...]]
    """(baseline, parameter, value) -> edits in order."""
    baselines: Mapping[str, InputRef]
    """By label."""
    files: Mapping[str, Mapping[str, InputRef]]
    """Baseline -> external files as the model spells them."""
    weather: Mapping[str, InputRef]
    """By label."""
    design_days: Mapping[str, tuple[DesignDay, ...]]
    """Weather's label -> what its variants are sized by; empty for the models' own design days."""
    utc_offsets_h: Mapping[str, float]
    """Weather's label -> offset of its local standard time from UTC, hours."""
    calls: Mapping[str, Callable[[Any, Any], object]] = field(default_factory=dict)
    """The Python functions that edits name."""
    keep: Mapping[str, bool] = field(default_factory=dict)
    """Names of the raw files to keep -> True if compressed."""
    max_memory_bytes: int | None = None
    """Limit for the memory of one engine run; None for none."""
    patience_s: float = 0.0
    """How long workers try to reach the store, seconds."""
    log: str = ""
    """Name of the run in the study's logs; ``""`` to keep none."""
    lease: int | None = None
    """Number of the lease under which blocks are packed; None if nothing is packed."""
    looks_first: bool = False
    """True if others may write records of the same variants: workers look for one before they run the engine."""

    def edits_of(self, row: Sequence[Value]) -> tuple[Edit, ...]:
        """Return the edits of a row, in the order of the study's parameters, which its variant_id stands for."""
        values = dict(zip(self.names, row, strict=True))
        baseline = str(values["baseline"])
        return tuple(
            edit
            for name in self.parameters
            if values[name] is not None
            for edit in self.edits[baseline, name, values[name]]
        )


@dataclass(frozen=True)
class Finished:
    """What a task tells of its variant; the rest is in the record."""

    variant_id: str
    """Which variant."""
    status: Status
    """How it ended."""
    engine_s: float
    """Seconds in the engine."""
    total_s: float = 0.0
    """Seconds from the start of the task to the stored record, those below among them; what is left went into
    preparing the run."""
    start_s: float = 0.0
    """Seconds of waiting for the engine to start."""
    read_s: float = 0.0
    """Seconds of reading what the engine wrote."""
    store_s: float = 0.0
    """Seconds of making and storing the record and the raw files."""
    memory_bytes: int = 0
    """Peak resident memory of the engine's process."""
    record_bytes: int = 0
    """Size of the record."""
    message: str = ""
    """First severe message, cut; that of a variant that succeeded all the same, too."""
    is_found: bool = False
    """True if its record was there already, from another run."""


class Workplace:
    """A worker's side of a run: its context and the engine, opened when first needed.

    One serves all threads of a worker process.

    Parameters
    ----------
    context
        The run's.
    worker
        The worker's name, if it has one.
    """

    def __init__(self, context: Context, worker: str = "") -> None:
        self.context = context
        self.worker = f"{platform.node()}/{worker}" if worker else platform.node()
        """Where it is: the machine, and what the worker is called there."""
        self._closing = threading.Event()
        self.store = context.store.patient(context.patience_s, self._closing)
        """The context's store, which tries again until this workplace is closed."""
        guard = None if context.lease is None else LeaseWatch(self.store, context.study, context.lease).check
        self.packing_store = context.store.patient(context.patience_s, self._closing, guard)
        """The same, where nothing is done once another run has taken over the study."""
        self.looks_first = context.looks_first
        """As in the context, until the driver says otherwise."""
        self._shared: Engine | None = None
        self._alone: list[Engine] = []
        """Engines that each serve one run, whose engine has died before."""
        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[float, str]] = {}
        """Of each variant under way the begin, monotonic, and what it is at when the engine does not say."""
        self._faults = 0
        self._log = open_log(context.store, context.study, context.log, worker) if context.log else None

    @contextmanager
    def engine(self, *, alone: bool = False) -> Iterator[Engine]:
        """Give the engine, which must be the build that the plan was made with.

        Parameters
        ----------
        alone
            True for one that no other run shares, so that it is clear whose fault its death is.

        Raises
        ------
        UnfitWorkerError
            This worker has another build, or none.
        """
        is_object = not (self.context.engine is None or isinstance(self.context.engine, str))
        if is_object or not alone:
            with self._lock:
                if self._shared is None:
                    self._shared = self._open()
            yield self._shared
            return
        engine = self._open()
        with self._lock:
            self._alone.append(engine)
        try:
            yield engine
        finally:
            with self._lock:
                self._alone.remove(engine)
            engine.close()

    def kill(self, variant_id: str) -> None:
        """End a variant's run, if it is running here."""
        with self._lock:
            engines = self._engines()
        for engine in engines:
            engine.kill(variant_id)

    @contextmanager
    def under_way(self, variant_id: str) -> Iterator[None]:
        """Tell of a variant as long as it is here."""
        self._under_way[variant_id] = time.monotonic(), "reading inputs"
        try:
            with of_run(self.context.log, variant_id):
                yield
        finally:
            self._under_way.pop(variant_id, None)

    def tell(self, variant_id: str, at: str) -> None:
        """Note what a variant under way is at, outside of the engine."""
        self._under_way[variant_id] = self._under_way[variant_id][0], at

    def running(self) -> tuple[Running, ...]:
        """Return the variants that have been under way here for the longest; takes no lock, so it never waits."""
        under_way, now = self._under_way.copy(), time.monotonic()
        told = longest(Running(variant, at, now - begun) for variant, (begun, at) in under_way.items())
        in_engine: dict[str, str] = {}
        for engine in self._engines() if told else []:
            in_engine |= engine.running()
        return tuple(replace(one, at=in_engine.get(one.variant_id, one.at)) for one in told)

    def close(self) -> None:
        """End the engine and all of its runs, and whatever waits for the store."""
        self._closing.set()
        with self._lock:
            engines = self._engines()
            self._shared = None
        for engine in engines:
            engine.close()
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def note(self, *, is_fault: bool) -> None:
        """Note how a variant ended; after faults in a row wait, else a broken machine would take all the others' work.

        Parameters
        ----------
        is_fault
            True if it was the machine's fault.
        """
        with self._lock:
            self._faults = self._faults + 1 if is_fault else 0
            wait_s = min(_FIRST_WAIT_S * 2 ** min(self._faults - 1, 30), _LONGEST_WAIT_S) if is_fault else 0.0
        self._closing.wait(wait_s)

    def _engines(self) -> list[Engine]:
        return [*self._alone, *([] if self._shared is None else [self._shared])]

    def _open(self) -> Engine:
        choice = self.context.engine
        instead = f"instead of {self.context.engine_version!r}; {SAME_EVERYWHERE}"
        try:
            engine: Engine = open_engine(choice) if choice is None or isinstance(choice, str) else choice
            found = engine.version
        except EngineNotFoundError as error:
            raise UnfitWorkerError(f"no engine ({error}) {instead}") from error
        if found != self.context.engine_version:
            engine.close()
            raise UnfitWorkerError(f"the engine {found!r} {instead}")
        tell(f"engine opened: {found}")
        return engine


def run_variant(variant_id: str, row: Sequence[Value], workplace: Workplace, *, deaths: int = 0) -> Finished:
    """Simulate one variant and write its record.

    Parameters
    ----------
    variant_id
        Names the record.
    row
        One value per column of the variant table.
    workplace
        The worker's context and engine.
    deaths
        How often the engine has died under this variant before; then it has one for itself, and the last time
        it is the variant's own fault.

    Raises
    ------
    EngineDiedError
        The engine died, not for the last time.
    UnfitWorkerError
        This worker has not the engine that the run needs; nothing was tried.
    InfrastructureError
        The machine's fault; nothing was written and another try may succeed.
    RunCancelledError
        The run was stopped on request; nothing was written.

    Side effects
    ------------
    One record in the store, and before it, under ``raw/``, the files to keep and the .err of a failed variant.
    Scratch is deleted.
    """
    try:
        with workplace.under_way(variant_id):
            finished = _logged(lambda: _run_and_record(variant_id, row, workplace, deaths=deaths))
    except EngineDiedError:
        raise
    except InfrastructureError:
        workplace.note(is_fault=True)
        raise
    workplace.note(is_fault=False)
    return finished


def _logged(run: Callable[[], Finished]) -> Finished:
    """Return what a run returns, with a line in the log for its begin and for its end."""
    tell("begun")
    try:
        finished = run()
    except BemsweepError as error:
        tell_warning(f"not finished: {type(error).__name__}: {error}")
        raise
    if finished.is_found:
        tell("found: another run has finished it")
        return finished
    memory = size_text(finished.memory_bytes)
    took = f"in {finished.total_s:.2f} s, {finished.engine_s:.2f} s of them in the engine, with {memory}"
    if finished.status == "succeeded":
        tell(f"succeeded {took}")
    else:
        tell_warning(f"{finished.status} {took}: {finished.message}")
    return finished


def _run_and_record(variant_id: str, row: Sequence[Value], workplace: Workplace, *, deaths: int) -> Finished:
    started = time.perf_counter()
    context, store = workplace.context, workplace.store
    if workplace.looks_first and (found := _found(variant_id, workplace)) is not None:
        return found
    baseline, climate = (str(row[context.names.index(name)]) for name in LABELS)
    fetched: list[int] = []
    job = job_of(variant_id, row, context, store, tell_fetched=fetched.append)
    asked = time.perf_counter()
    with workplace.engine(alone=deaths > 0) as engine, open_scratch() as scratch:
        run: EngineRun | None = None
        start_s = time.perf_counter() - asked
        try:
            run = engine.run(job, scratch, timeout_s=context.timeout_s)
            status, message = judge(run)
        except EngineDiedError as error:
            if deaths + 1 < MOST_TRIES:
                raise
            run = run or read_run(scratch, returncode=-1)
            status, message = "failed", f"died in each of {MOST_TRIES} tries, of which all but the first alone: {error}"
        workplace.tell(variant_id, "storing results")
        ended = time.perf_counter()
        err = run.err.encode() if status != "succeeded" else b""
        if err:
            store.put(store.raw_name(variant_id, "eplusout.err"), err)
        kept_bytes = keep_files(store, variant_id, scratch, context.keep)
        warnings, severe_errors = count_messages(run.err)
        record = Record(
            variant_id=variant_id,
            status=status,
            message=message,
            warnings=warnings,
            severe_errors=severe_errors,
            engine=context.engine_version,
            engine_s=run.engine_s,
            cpu_s=run.cpu_s,
            total_s=time.perf_counter() - started,
            memory_bytes=run.memory_bytes,
            moved_bytes=sum(fetched) + len(err) + kept_bytes,
            worker=workplace.worker,
            timeout_s=context.timeout_s,
            utc_offset_h=context.utc_offsets_h[climate],
            design_day_names=run.design_day_names,
            design_day_dates=run.design_day_dates,
            outputs_sha256=outputs_sha256(run.series) if status == "succeeded" else "",
            provenance={
                **provenance_of(
                    job,
                    baseline=context.baselines[baseline],
                    weather=context.weather[climate],
                    files=context.files[baseline],
                ),
                "model_sha256": run.model_sha256,
                "bemsweep": own_versions()["bemsweep"],
                "finished_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            },
            series=run.series if status == "succeeded" else (),
        )
        data = to_bytes(record)
        store.put(store.record_name(variant_id), data)
    stored = time.perf_counter()
    return Finished(
        variant_id,
        status,
        run.engine_s,
        total_s=stored - started,
        start_s=start_s,
        read_s=run.read_s,
        store_s=stored - ended,
        memory_bytes=run.memory_bytes,
        record_bytes=len(data),
        message=(message or first_severe(run.err))[:_MESSAGE_LENGTH],
    )


def job_of(
    variant_id: str,
    row: Sequence[Value],
    context: Context,
    store: Store,
    *,
    tell_fetched: Callable[[int], object] | None = None,
) -> Job:
    """Return what the engine is asked for a variant, its inputs fetched.

    Parameters
    ----------
    variant_id
        Names the run.
    row
        One value per column of the variant table.
    context, store
        The study's, and where its inputs are.
    tell_fetched
        Called with the size of each input that is fetched.

    Raises
    ------
    StoreError
        An input cannot be fetched, or is altered.
    """

    def local(ref: InputRef) -> Path:
        return store.local_copy(ref.sha256, ref.suffix, tell=tell_fetched)

    baseline, climate = (str(row[context.names.index(name)]) for name in LABELS)
    edits = context.edits_of(row)
    return Job(
        run_id=variant_id,
        baseline=local(context.baselines[baseline]),
        weather=local(context.weather[climate]),
        run=context.run,
        outputs=context.outputs,
        calendar=context.calendar,
        edits=edits,
        calls=context.calls,
        design_days=context.design_days[climate],
        files={name: local(ref) for name, ref in context.files[baseline].items()},
        edit_files={ref.sha256: local(ref) for ref in files_of(edits)},
        keep_model_outputs=context.keep_model_outputs,
        raw_files=tuple(sorted(name for name in context.keep if needs_asking(name))),
        max_memory_bytes=context.max_memory_bytes,
    )


def _found(variant_id: str, workplace: Workplace) -> Finished | None:
    """Return what the record of a variant says that another run has written; None if there is none of use."""
    data = workplace.store.get(Store.record_name(variant_id))
    if data is None:
        return None
    try:
        record = RecordFile(io.BytesIO(data), variant_id).header()
    except RecordError:
        return None
    context, facts = workplace.context, (record.status, record.timeout_s or 0.0, record.memory_bytes)
    if is_cut_short(*facts, limit_s=context.timeout_s, limit_bytes=context.max_memory_bytes):
        return None
    return Finished(variant_id, record.status, record.engine_s, is_found=True)
