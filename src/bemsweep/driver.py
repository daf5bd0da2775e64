"""The driver: brings a plan's variants to a Dask cluster and their records into the cube.

Decides what is submitted when, what is tried again, and when blocks are packed and committed. It never
runs an engine or reads a series. Killed at any time, it carries on from records and the last commit.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from distributed import Client

from bemsweep.cluster import current_client, open_local_client
from bemsweep.cube import Cube
from bemsweep.cube_metadata import titles
from bemsweep.edits import InputRef
from bemsweep.errors import ConflictError, InfrastructureError, Problem, StoreError, StudyError
from bemsweep.input_files import Input
from bemsweep.layout import BLOCK_ROWS, TABLE_COLUMNS, Layout
from bemsweep.planning import Plan
from bemsweep.record_file import RecordFile
from bemsweep.records import Series, Status
from bemsweep.store import Store, patience_s
from bemsweep.studystate import StudyState
from bemsweep.submission import ContextPlugin, Flight
from bemsweep.task import Context, Finished, Packed, read_facts

__all__ = ["Driver", "Progress", "context_of"]

_log = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 60.0
"""How often readers are shown what has been packed."""

MOST_TRIES = 4
"""How often a variant or a block is tried that fails by the machine's fault."""

_POLL_S = 0.02


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    total: int
    """Variants that the study asks for, each counted once."""
    cached: int
    """Of these, those that had a record before this run."""
    to_do: int = 0
    """Variants that this run is to finish."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """How many variants of this run ended how."""
    gave_up: int = 0
    """Variants that could not be run by the machine's fault."""
    elapsed_s: float = 0.0
    """Seconds since the run began."""
    stage: str = "starting"
    """``starting``, ``running``, ``packing`` or ``done``."""

    @property
    def done(self) -> int:
        """Variants that this run finished."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Variants of this run that did not succeed."""
        return sum(count for status, count in self.statuses.items() if status != "succeeded")

    @property
    def rate(self) -> float:
        """Variants finished per second."""
        return self.done / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds to go at this rate; None before the first variant is done."""
        return (self.to_do - self.done) / self.rate if self.done else None


class Driver:
    """One run of a plan; everything but `progress`, `table` and `stop` belongs to the thread of `execute`."""

    def __init__(self, plan: Plan, *, client: Client | None, limit: int | None, again: frozenset[Status]) -> None:
        self.stop = threading.Event()
        """Set it to end the run: engines are killed, what is finished is kept and committed."""
        self._plan, self._name = plan, plan.study.name
        self._store = plan.store.patient(patience_s(), self.stop)
        self._client, self._limit, self._again = client, limit, again
        self._run_id = f"bemsweep-{self._name}-{time.time_ns()}"
        self._rows_of: dict[str, list[int]] = {}
        """Rows that each variant fills."""
        for row, variant in enumerate(plan.variant_ids):
            self._rows_of.setdefault(variant, []).append(row)
        self._row_to_run: dict[str, int] = {}
        """Of each variant that the study asks for, the first row that it asks for: older rows of the same variant
        may stand for names and edits that the study no longer has."""
        for row, (variant, is_wanted) in enumerate(zip(plan.variant_ids, plan.is_wanted, strict=True)):
            if is_wanted:
                self._row_to_run.setdefault(variant, row)
        self._table = _blank_table(plan)
        self._stored: set[str] = set()
        self._queue: deque[str] = deque()
        self._open: Counter[int] = Counter()
        """Per block, how many of its rows wait for a variant of this run."""
        self._tries: Counter[str | int] = Counter()
        self._gave_up: dict[str, str] = {}
        self._dirty: set[int] = set()
        """Blocks with records that the cube does not show yet."""
        self._digests: dict[int, str] = {}
        """Content of the blocks that are packed."""
        self._has_grown = False
        self._progress = Progress(total=len(self._row_to_run), cached=0)
        self._statuses: Counter[str] = Counter()
        self._began, self._ended = time.monotonic(), 0.0

    def progress(self) -> Progress:
        """Return how far the run is; safe from any thread."""
        elapsed = (self._ended or time.monotonic()) - self._began
        return replace(self._progress, statuses=dict(self._statuses), gave_up=len(self._gave_up), elapsed_s=elapsed)

    def table(self) -> pd.DataFrame:
        """Return the variant table as far as blocks are packed."""
        return self._table.rename_axis("variant")

    def execute(self) -> None:
        """Do the whole run.

        Raises
        ------
        InfrastructureError
            Some variants could not be run by the machine's fault, or the scheduler was lost; everything
            finished is kept.
        StoreError
            The store was lost for longer than patience lasts; the same holds.
        """
        try:
            self._prepare()
            if self._queue or self._dirty:
                with self._connected() as client:
                    flight = Flight(client, self._run_id)
                    flight.check_shared(self._store, self.stop)
                    self._work(flight)
            self._commit_at_end()
        except StoreError as error:
            told = f"{error}. What is finished is kept: run again to carry on"
            raise StoreError(told, fault=error.fault) from error
        finally:
            self._ended = time.monotonic()
            self._tell_stage("done")
        if self._gave_up:
            variant, reason = next(iter(self._gave_up.items()))
            raise InfrastructureError(
                f"{len(self._gave_up)} variants could not be run, by the machine's fault, such as {variant[:12]}: "
                f"{reason}. Everything else is kept: run again to carry on"
            )

    def _tell_stage(self, stage: str) -> None:
        self._progress = replace(self._progress, stage=stage)

    # Before the first task

    def _prepare(self) -> None:
        """Write what workers need, open the cube and find out what is left to do."""
        plan = self._plan
        self._check_current()
        # What the plan found is taken as it is: a record that has gone since is missed when its block is packed.
        self._stored = set(plan.stored) | self._store.stored(plan.to_run)
        inputs = [baseline.input for baseline in plan.baselines.values()]
        inputs += [file for baseline in plan.baselines.values() for file in baseline.files.values()]
        inputs += [*(weather.input for weather in plan.weather.values()), *plan.resolved.files.values()]
        for source in inputs:
            self._put_input(source)
        self._state.save(
            self._store,
            plan.study,
            points=plan.points,
            variant_ids=plan.variant_ids,
            outputs=plan.outputs,
            baselines={label: baseline.input.sha256 for label, baseline in plan.baselines.items()},
            engine=plan.engine_version,
            uses=[*(Store.input_name(source.sha256, source.suffix) for source in inputs), *plan.probes],
        )
        self._cube = self._open_cube()
        self._take_committed()
        self._forget(self._stale())
        to_do = [variant for variant in plan.wanted_variants if variant not in self._stored]
        self._enqueue(to_do[: self._limit])
        for variant in self._stored & self._rows_of.keys():
            self._dirty |= self._blocks_of(variant) - self._digests.keys()
        cached = len(self._row_to_run) - len(to_do)
        self._progress = replace(self._progress, cached=cached, to_do=len(self._queue))

    def _check_current(self) -> None:
        """Refuse a plan that another run has overtaken: it would take the study back.

        Raises
        ------
        ConflictError
            The study in the store is neither what the plan was made from nor what it makes of it.
        """
        now = StudyState.load(self._plan.store, self._name)  # at the start a fault is told at once
        is_as_planned = (now.names, now.rows, now.variant_ids) == (
            self._plan.state.names, self._plan.state.rows, self._plan.state.variant_ids
        )  # fmt: skip
        is_done = (now.names, now.rows, now.variant_ids) == (
            self._plan.points.names, self._plan.points.rows, self._plan.variant_ids
        )  # fmt: skip
        if not (is_as_planned or is_done):
            raise ConflictError(f"the study {self._name!r} has grown since it was planned: plan it again")
        self._state = now

    def _put_input(self, source: Input) -> None:
        name = Store.input_name(source.sha256, source.suffix)
        if self._store.has(name):
            return
        data = source.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != source.sha256:
            raise StudyError([Problem(f"{source.path} has changed since the study was planned: plan it again")])
        self._store.put(name, data)

    def _open_cube(self) -> Cube:
        """Return the cube with a place for all that the plan expects; one that cannot grow so is made anew."""
        plan, zarr_store = self._plan, self._store.zarr(self._name)
        attributes = {**titles(self._name), "source": plan.engine_version}
        cube = Cube.open(zarr_store)
        if cube is not None:
            try:
                layout = _grown(cube.layout, plan)
            except ConflictError as error:
                _log.warning("the cube of %s is packed anew: %s", self._name, error)
            else:
                if (layout, attributes) != (cube.layout, cube.attributes):
                    cube.grow(layout, attributes=attributes)
                    self._has_grown = True
                return cube
        return Cube.create(zarr_store, plan.layout, attributes=attributes)

    def _take_committed(self) -> None:
        """Enter what the cube tells of those blocks whose variants are as they were when they were packed."""
        packed = {
            block: digest for block, digest in self._cube.blocks.items() if digest == self._digest(block, self._stored)
        }
        if not packed:
            return
        committed = self._cube.table()
        for block, digest in packed.items():
            rows = self._rows_in(block)
            if len(rows) and rows[-1] < len(committed):
                for column in TABLE_COLUMNS:
                    self._table.loc[rows, column] = committed[column].loc[rows]
                self._digests[block] = digest

    def _stale(self) -> set[str]:
        """Return variants to run again: of a status asked for, or timed out by a shorter limit than this study's."""
        again = self._table["status"].isin(list(self._again)) | self._is_short(self._table)
        return set(self._table["variant_id"][again]) & self._stored & self._row_to_run.keys()

    def _is_short(self, table: pd.DataFrame) -> pd.Series[bool]:
        return (table["status"] == "timed_out") & (table["timeout_s"] < self._plan.study.timeout_s)

    def _forget(self, variants: set[str]) -> None:
        """Delete the records of `variants`, so that they are pending again."""
        if not variants:
            return
        for block in set().union(*(self._blocks_of(variant) for variant in variants)):
            self._digests.pop(block, None)
            self._dirty.add(block)
        # The cube forgets first: if we were killed in between, it must not take these blocks for packed.
        self._cube.commit(self._table.iloc[: self._cube.rows], self._digests)
        for variant in variants:
            self._delete_record(variant)

    def _delete_record(self, variant: str) -> None:
        self._store.delete(Store.record_name(variant))
        self._stored.discard(variant)
        rows = self._rows_of[variant]
        blank = _blank_table(self._plan, rows)
        for column in TABLE_COLUMNS:
            self._table.loc[rows, column] = blank[column].to_numpy()

    # While tasks are under way

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        """Give a client whose workers know this run; afterwards they have forgotten it."""
        with ExitStack() as stack:
            client = self._client or current_client() or stack.enter_context(open_local_client())
            client.register_plugin(ContextPlugin(self._run_id, context_of(self._plan)))
            stack.callback(client.unregister_worker_plugin, self._run_id)
            yield client

    def _work(self, flight: Flight) -> None:
        """Keep the cluster busy until everything is run and packed, or the run is stopped."""
        self._tell_stage("running")
        self._began = time.monotonic()
        next_commit = self._began + COMMIT_INTERVAL_S
        awaited: set[str | int] | None = None  # packings that the commit which is due waits for
        while (self._queue or flight.count or self._dirty) and not self.stop.is_set():
            self._submit(flight)
            self._take_finished(flight)
            is_due = time.monotonic() > next_commit
            ready = {block for block in self._dirty if is_due or not self._open[block]} - flight.packings
            for block in ready:
                self._pack(block, flight)
            if is_due:
                awaited, next_commit = set(flight.packings), time.monotonic() + COMMIT_INTERVAL_S
            if awaited is not None and not awaited & flight.packings:
                self._cube.commit(self._table.iloc[: self._cube.rows], self._digests)
                awaited = None
            self.stop.wait(_POLL_S)
        self._tell_stage("packing")
        if self.stop.is_set():
            self._store.check_writable()  # else workers would wait for a store that is away with all their patience
        for variant in self._store.stored(flight.cancel_runs()):  # ended, but not yet heard of
            self._stored.add(variant)
            self._dirty |= self._blocks_of(variant)
        while self._dirty or flight.packings:
            for block in self._dirty - flight.packings:
                self._pack(block, flight)
            self._take_finished(flight)
            time.sleep(_POLL_S)

    def _submit(self, flight: Flight) -> None:
        batch = [self._queue.popleft() for _ in range(min(flight.room(), len(self._queue)))]
        flight.run([(variant, self._plan.points.rows[self._row_to_run[variant]]) for variant in batch], self._tries)

    def _take_finished(self, flight: Flight) -> None:
        for item, outcome in flight.finished():
            if isinstance(outcome, Finished):
                self._statuses[outcome.status] += 1
                self._stored.add(outcome.variant_id)
                self._close(outcome.variant_id)
                self._dirty |= self._blocks_of(outcome.variant_id)
            elif isinstance(outcome, Packed):
                self._take_packed(outcome)
            else:
                self._take_error(item, outcome)

    def _take_error(self, item: str | int, error: BaseException) -> None:
        self._tries[item] += 1
        _log.info("try %d of %s failed: %r", self._tries[item], item, error)
        if isinstance(error, StoreError):
            self._plan.store.check_writable()  # if it is lost here too, every other variant would only wait in vain
        is_last = self._tries[item] >= MOST_TRIES
        if isinstance(item, int):
            if is_last:
                raise StoreError(
                    f"block {item} of {self._name} could not be packed into {self._store.url}: {error}"
                ) from error
            self._dirty.add(item)
        elif is_last:
            self._gave_up[item] = f"{type(error).__name__}: {error}"
            self._close(item)
        else:
            self._queue.append(item)

    def _take_packed(self, packed: Packed) -> None:
        if packed.unknown:
            self._cube.grow(self._cube.layout.grow(self._series_of(packed.unknown)))
            self._dirty.add(packed.block)
            return
        facts = self._take_facts(packed.block)
        if facts is None:
            raise StoreError(f"the store has lost what became of block {packed.block} of {self._name}")
        self._digests[packed.block] = self._digest(packed.block, set(facts["variant_id"]))
        short = set(facts["variant_id"][self._is_short(facts)]) & self._row_to_run.keys()
        # Records that have gone since they were listed; in a block that is dirty they may be newer than its packing.
        known = set() if packed.block in self._dirty else self._stored & set(self._ids_of(packed.block))
        gone = known - set(facts["variant_id"])
        for variant in {*packed.unreadable, *short, *gone} & self._stored:
            self._delete_record(variant)
            self._tries[variant] += 1
            if variant not in self._row_to_run or self.stop.is_set():
                continue
            if self._tries[variant] >= MOST_TRIES:
                self._gave_up[variant] = "its record could not be read, however often it was written"
            else:
                self._enqueue([variant])
                self._progress = replace(self._progress, to_do=self._progress.to_do + 1)

    def _series_of(self, variants: Iterable[str]) -> Iterator[Series]:
        for variant in variants:
            data = self._store.get(Store.record_name(variant))
            if data is not None:
                yield from RecordFile(io.BytesIO(data)).header().series

    def _pack(self, block: int, flight: Flight) -> None:
        if self._cube.rows < len(self._table):
            self._cube.resize(len(self._table))  # once for all blocks: it touches every array
        self._dirty.discard(block)
        flight.pack(block)

    def _commit_at_end(self) -> None:
        """Show readers every row of the study, those that are pending too."""
        rows = len(self._table)
        if self._has_grown or self._digests != self._cube.blocks or self._cube.rows != rows:
            self._cube.resize(rows)
            self._cube.commit(self._table, self._digests)

    # Bookkeeping

    def _blocks_of(self, variant: str) -> set[int]:
        return {row // BLOCK_ROWS for row in self._rows_of[variant]}

    def _rows_in(self, block: int) -> list[int]:
        return list(range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(self._table))))

    def _ids_of(self, block: int) -> tuple[str, ...]:
        return self._plan.variant_ids[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]

    def _enqueue(self, variants: Iterable[str]) -> None:
        for variant in variants:
            self._queue.append(variant)
            self._open.update(self._blocks_of(variant))

    def _close(self, variant: str) -> None:
        self._open.subtract(self._blocks_of(variant))

    def _digest(self, block: int, finished: set[str]) -> str:
        """Return what decides a block's content: its variants, and which of them are finished."""
        text = "".join(f"{variant}{'+' if variant in finished else '-'}" for variant in self._ids_of(block))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _take_facts(self, block: int) -> pd.DataFrame | None:
        """Enter a packed block's facts into the variant table, and return them if they are there."""
        facts = read_facts(self._store, self._name, block)
        if facts is None:
            return None
        facts = facts.set_index("row")
        blank = _blank_table(self._plan, self._rows_in(block))
        for column in TABLE_COLUMNS:
            blank.loc[facts.index, column] = facts[column]
            self._table.loc[blank.index, column] = blank[column]
        return facts


def _grown(layout: Layout, plan: Plan) -> Layout:
    """Return the cube's layout with a place for all that the plan expects.

    Raises
    ------
    ConflictError
        The cube cannot grow to that: another calendar, number format, or kind of parameter.
    """
    wanted = plan.layout
    calendar = layout.calendar
    if calendar.steps_per_hour is None or wanted.calendar.steps_per_hour is None:
        steps = calendar.steps_per_hour or wanted.calendar.steps_per_hour
        calendar = replace(calendar, steps_per_hour=steps)
        wanted = replace(wanted, calendar=replace(wanted.calendar, steps_per_hour=steps))
    if calendar != wanted.calendar or layout.dtype != wanted.dtype:
        raise ConflictError("it has another calendar or number format")
    return replace(layout, calendar=calendar).grow(plan.series).grow_parameters(wanted.parameters)


def _blank_table(plan: Plan, rows: Iterable[int] | None = None) -> pd.DataFrame:
    """Return rows of the variant table as they are before their variant has run; all rows if None."""
    numbers = list(range(len(plan.variant_ids)) if rows is None else rows)
    columns: dict[str, object] = {}
    for position, parameter in enumerate(plan.layout.parameters):
        values = [plan.points.rows[row][position] for row in numbers]
        if parameter.kind == "number":
            columns[parameter.name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        else:
            columns[parameter.name] = np.array(["" if v is None else str(v) for v in values], dtype=object)
    blanks = {"text": "", "number": np.nan, "count": 0}
    for column, kind in TABLE_COLUMNS.items():
        columns[column] = [blanks[kind]] * len(numbers)
    columns["variant_id"] = [plan.variant_ids[row] for row in numbers]
    columns["status"] = ["pending"] * len(numbers)
    return pd.DataFrame(columns, index=numbers)


def context_of(plan: Plan) -> Context:
    """Return what the variants of a plan have in common, for the workers."""

    def ref(source: Input) -> InputRef:
        return InputRef(source.sha256, source.suffix)

    return Context(
        study=plan.study.name,
        store=plan.store,
        engine=plan.engine,
        engine_version=plan.engine_version,
        run=plan.study.run,
        outputs=plan.outputs,
        calendar=plan.layout.calendar,
        keep_model_outputs=plan.study.keep_model_outputs,
        timeout_s=plan.study.timeout_s,
        names=plan.points.names,
        parameters=tuple(plan.study.parameters),
        edits=plan.resolved.edits,
        baselines={label: ref(baseline.input) for label, baseline in plan.baselines.items()},
        files={
            label: {name: ref(file) for name, file in baseline.files.items()}
            for label, baseline in plan.baselines.items()
        },
        weather={label: ref(weather.input) for label, weather in plan.weather.items()},
        design_days={label: weather.design_days for label, weather in plan.weather.items()},
        utc_offsets_h={label: weather.facts.utc_offset_h for label, weather in plan.weather.items()},
        calls=plan.resolved.functions,
        keep=plan.study.kept_files(),
        patience_s=patience_s(),
    )
