"""The driver: brings a plan's variants to a Dask cluster and their records into the cube.

Decides what is submitted when, what is tried again, and when blocks are packed and committed. It never
runs an engine or reads a series. Killed at any time, it carries on from records and the last commit.
"""

from __future__ import annotations

import io
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
from distributed import Client

from bemsweep.account import Account, Accounting
from bemsweep.at_work import AtWork, at_work
from bemsweep.attempts import Attempts
from bemsweep.blocks import Packed, put_rows, read_facts
from bemsweep.cluster import current_client, open_local_client
from bemsweep.cluster_costs import cluster_text
from bemsweep.cluster_file import Local
from bemsweep.cores import processor_name
from bemsweep.costs import leave_cost, outputs_digest
from bemsweep.cube import Cube
from bemsweep.cube_metadata import ROOT, titles
from bemsweep.errors import (
    BemsweepError,
    ConflictError,
    CostLimitError,
    InfrastructureError,
    LeaseLostError,
    RecordError,
    RunCancelledError,
    SchedulerLostError,
    StoreError,
    TooManyFailuresError,
    UnfitWorkerError,
)
from bemsweep.first_variants import FirstVariants
from bemsweep.layout import BLOCK_ROWS
from bemsweep.lease import Lease, take_lease
from bemsweep.log_lines import of_run, tell, tell_warning
from bemsweep.pace import Pace
from bemsweep.performance_report import reported
from bemsweep.planning import Plan
from bemsweep.preflight import UNKNOWN_ENGINE_BYTES, Workers, look, memory_warning
from bemsweep.progress import Progress
from bemsweep.record_file import RecordFile
from bemsweep.records import Series, Status
from bemsweep.roll_call import RollCall
from bemsweep.run_context import context_of, put_inputs
from bemsweep.run_logs import forget_logs, log_name, open_log
from bemsweep.schedulers import dangerous_settings
from bemsweep.spending import Spending
from bemsweep.stop_rule import StopRule
from bemsweep.store import Store, patience_s
from bemsweep.studystate import StudyState
from bemsweep.submission import Flight, plugged_in
from bemsweep.task import Context, Finished
from bemsweep.variant_table import VariantTable
from bemsweep.verification import Verification
from bemsweep.worker_tasks import ContextPlugin, worker_of

__all__ = ["Driver"]

_log = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 60.0
"""How often readers are shown what has been packed."""

LOOK_AGAIN_S = 20.0
"""How often workers, of which some may be new, are told that others help."""

_POLL_S = 0.02


class Driver:
    """One run of a plan; everything but `progress`, `table` and `stop` belongs to the thread of `execute`."""

    def __init__(
        self,
        plan: Plan,
        *,
        client: Client | None,
        limit: int | None,
        rule: StopRule,
        again: frozenset[Status] = frozenset(),
        spending: Spending,
        verify: bool = False,
        performance_report: Path | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.stop = stop or threading.Event()
        """Set it to end the run: engines are killed, what is finished is kept and committed."""
        self._plan, self._name = plan, plan.study.name
        self._store = plan.store.patient(patience_s(), self.stop)
        self._client, self._limit, self._again = client, limit, again
        self._where = "" if plan.cluster is None else f"on {cluster_text(plan.cluster)}"
        """What variants run on, in words."""
        self._run_id = f"bemsweep-{self._name}-{time.time_ns()}"
        self._log_name, self._report = log_name(), performance_report
        self.verification = Verification() if verify else None
        """What is bad of what is stored; None if it is not asked for."""
        self._table = VariantTable(plan)
        self._queue: deque[str] = deque()
        self._held: list[str] = []
        """Variants that wait for the first ones."""
        self._first = FirstVariants((), (), threads=0)
        self._attempts, self._rule, self._pace = Attempts(), rule, Pace()
        self._workers = Workers()
        self._verdict: BemsweepError | None = None
        """Why the run ends early."""
        self._gave_up: dict[str, str] = {}
        self._has_grown = False
        self._progress = Progress(total=len(plan.wanted_variants), cached=0)
        self._statuses: Counter[str] = Counter()
        self._accounting, self._spending = Accounting(), spending
        self._told_rows: dict[int, str] = {}
        """What `put_rows` returned, of each block that workers have been asked for."""
        self._lease: Lease | None = None
        self._helpers_told = -LOOK_AGAIN_S
        self._began, self._ended = time.monotonic(), 0.0
        self.is_gathered = False
        """True once the cube shows what is finished."""

    def progress(self) -> Progress:
        """Return how far the run is; safe from any thread."""
        elapsed = (self._ended or time.monotonic()) - self._began
        return replace(
            self._progress,
            statuses=dict(self._statuses),
            gave_up=len(self._gave_up),
            elapsed_s=elapsed,
            cost_usd=self._spending.cost_usd,
        )

    def account(self) -> Account:
        """Return where the time and the money went so far; safe from any thread."""
        spending = self._spending
        return replace(self._accounting.account(), cost_usd=spending.cost_usd, paid_for=spending.told())

    def table(self) -> pd.DataFrame:
        """Return the variant table as far as blocks are packed."""
        return self._table.frame.rename_axis("variant")

    def obey(self, who: str) -> None:
        """End the run because somebody elsewhere has asked for it; safe from any thread."""
        told = f"the run was stopped by {who}: what is finished is kept, and the same command carries on"
        self._verdict = RunCancelledError(told)
        self.stop.set()

    def execute(self) -> None:
        """Do the whole run.

        Raises
        ------
        RunCancelledError
            It was stopped from elsewhere; everything finished is kept.
        TooManyFailuresError
            The stop rule has ended it.
        CostLimitError
            What it may cost is spent.
        InfrastructureError
            Some variants could not be run by the machine's fault, or none could, or the scheduler was lost;
            everything finished is kept.
        LeaseLostError
            Another run has taken over the study; everything finished is kept.
        StoreError
            The store was lost for longer than patience lasts; the same holds.
        """
        try:
            self._carry_out()
        except StoreError as error:
            told = f"{error}. What is finished is kept: run again to carry on"
            raise StoreError(told, fault=error.fault) from error
        finally:
            self._ended = time.monotonic()
            self._tell_stage("done")
        if self._verdict is not None:
            raise self._verdict
        if self._gave_up:
            variant, reason = next(iter(self._gave_up.items()))
            raise InfrastructureError(
                f"{len(self._gave_up)} variants could not be run, by the machine's fault, such as {variant[:12]}: "
                f"{reason}. Everything else is kept: run again to carry on"
            )

    def _carry_out(self) -> None:
        """Run and pack what is left, once the study's lease is ours."""
        at_work(self._plan.store, self._name)  # at the start a fault is told at once
        lease = take_lease(self._store, self._name, stop=self.stop, tell=self._tell_waiting)
        if lease is None:  # stopped before
            return
        self._accounting.begin()
        with lease:
            self._lease, self._guarded = lease, lease.guarded(self._store)
            lease.report, lease.on_stop = lambda: self.progress().to_dict(), self.obey
            self._progress = replace(self._progress, stage="starting", waits_for="")
            self._prepare()
            if self._queue or self._table.dirty or self.verification is not None:
                self._run_on_cluster()
            self._commit_at_end()
            self.is_gathered = True
            self._tick()
            self._leave_cost()

    def _tell_waiting(self, other: AtWork) -> None:
        if not self._progress.waits_for:
            _log.warning("%s waits for another run of it: %s", self._name, other)
        self._progress = replace(self._progress, stage="waiting", waits_for=str(other))

    def _tell_stage(self, stage: str) -> None:
        self._progress = replace(self._progress, stage=stage, running=())

    # Before the first task

    def _prepare(self) -> None:
        """Write what workers need, open the cube and find out what is left to do."""
        plan = self._plan
        self._check_current()
        # What the plan found is taken as it is: a record that has gone since is missed when its block is packed.
        self._table.start_from(set(plan.stored) | self._store.stored(plan.to_run))
        put_inputs(plan, self._store, self.verification)
        self._state.save(
            self._guarded,
            plan.study,
            points=plan.points,
            variant_ids=plan.variant_ids,
            outputs=plan.outputs,
            baselines={label: baseline.input.sha256 for label, baseline in plan.baselines.items()},
            engine=plan.engine_version,
            uses=[
                *(Store.input_name(source.sha256, source.suffix) for source in plan.inputs),
                *plan.probes,
                plan.costs,
            ],
        )
        self._cube = self._open_cube()
        if packed := self._table.unchanged(self._cube.blocks):
            self._table.take_committed(packed, self._cube.table())
        self._forget(self._table.stale(self._again))
        to_do = [variant for variant in plan.wanted_variants if variant not in self._table.stored]
        self._enqueue(to_do[: self._limit])
        self._table.look_through()
        cached = len(plan.wanted_variants) - len(to_do)
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

    def _open_cube(self) -> Cube:
        """Return the cube with a place for all that the plan expects; one that cannot grow so is made anew."""
        plan, zarr_store = self._plan, self._guarded.zarr(self._name)
        attributes = {**titles(self._name), "source": plan.engine_version}
        cube = Cube.open(zarr_store)
        if self.verification is not None:
            why = "cannot be read" if cube is None else cube.why_wrong(self._table.frame)
            if why and self._store.has(root := Store.study_name(self._name, "results.zarr", ROOT)):
                self.verification.note(root.removesuffix(f"/{ROOT}"), why)
                cube = None
        if cube is not None:
            try:
                layout = cube.layout.grow_to(plan.layout, plan.series)
            except ConflictError as error:
                _log.warning("the cube of %s is packed anew: %s", self._name, error)
            else:
                if (layout, attributes) != (cube.layout, cube.attributes) or cube.lacks_columns:
                    cube.grow(layout, attributes=attributes)
                    self._has_grown = True
                return cube
        return Cube.create(zarr_store, plan.layout, attributes=attributes)

    def _forget(self, variants: set[str]) -> None:
        """Delete the records of `variants`, so that they are pending again."""
        if not variants:
            return
        self._table.unpack(variants)
        # The cube forgets first: if we were killed in between, it must not take these blocks for packed.
        self._commit()
        for variant in variants:
            self._delete_record(variant)

    def _delete_record(self, variant: str) -> None:
        self._guarded.delete(Store.record_name(variant))
        self._table.drop(variant)

    # While tasks are under way

    def _run_on_cluster(self) -> None:
        brought = self._client or current_client()
        try:
            with ExitStack() as stack:
                stack.enter_context(self._logging())
                client = brought or stack.enter_context(open_local_client())
                self._note_where(is_here=brought is None)
                if self._report is not None:
                    stack.enter_context(reported(client, self._report))
                flight = stack.enter_context(Flight(client, self._run_id))
                roll_call = RollCall(client, self._run_id, self.stop)
                self._look_at_workers(flight, roll_call, are_elsewhere=brought is not None)
                stack.enter_context(plugged_in(client, ContextPlugin(self._run_id, self._context())))
                for setting in dangerous_settings(client) if brought else ():
                    _log.warning("of the cluster's scheduler, %s", setting)
                roll_call.check_shared(self._store)
                self._tick(flight)
                if brought and self._queue:
                    self._close_unfit(flight, self._workers.note_all(roll_call.open_engines()))
                if self.verification is not None:
                    self._accounting.enter("verifying", flight.threads())
                    self._verify(flight, self.verification)
                self._begin(flight)
                self._accounting.enter("running", flight.threads())
                self._work(flight)
                self._accounting.enter("packing")
                self._end(flight)
        except SchedulerLostError as error:  # what is packed is shown all the same
            self._verdict = error

    def _note_where(self, *, is_here: bool) -> None:
        """Note what variants run on; a price of other machines is none of these."""
        cluster = self._plan.cluster
        if is_here or isinstance(cluster, Local):
            self._where = processor_name()
        if is_here and cluster is not None and not isinstance(cluster, Local):
            _log.warning(
                "the plan is for %s, and without a client of it the run takes this machine, which has no price",
                cluster_text(cluster),
            )
            self._spending.drop_price()

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Keep what this process tells of the run, and of earlier runs no more than the last few."""
        with suppress(StoreError):  # nothing depends on it
            forget_logs(self._store, self._name)
        log = open_log(self._plan.store, self._name, self._log_name, "driver")
        try:
            with of_run(self._log_name):
                if self._queue:
                    tell(f"{len(self._queue):,} variants to run")
                yield
                counts = [f"{count:,} {status}" for status, count in self._statuses.items()]
                counts += [f"{len(self._gave_up):,} not run"] if self._gave_up else []
                if counts:
                    tell(f"{', '.join(counts)}{f'; {self._verdict}' if self._verdict else ''}")
        except BemsweepError as error:
            with of_run(self._log_name):
                tell_warning(f"ended by {type(error).__name__}: {error}")
            raise
        finally:
            log.close()

    def _look_at_workers(self, flight: Flight, roll_call: RollCall, *, are_elsewhere: bool) -> None:
        """Find out what the workers have for the run before anything of it reaches them.

        Parameters
        ----------
        flight, roll_call
            Of the cluster.
        are_elsewhere
            False if they are this process, which has the versions and the engine that the plan was made with.

        Raises
        ------
        ClusterError, InfrastructureError
            None of them can run anything.
        """
        threads = roll_call.wait_for_workers()
        told = roll_call.look() if are_elsewhere else dict.fromkeys(threads, look())
        self._close_unfit(flight, unfit := self._workers.take(told))
        fit = {one: facts for one, facts in told.items() if one not in unfit and not isinstance(facts, BaseException)}
        estimate, limit = self._plan.estimate, self._plan.study.max_memory
        engine_bytes = estimate.memory_bytes if estimate is not None else UNKNOWN_ENGINE_BYTES
        engine_bytes = engine_bytes if limit is None else min(engine_bytes, limit)
        if warning := memory_warning(fit, threads, engine_bytes):
            _log.warning("%s", warning)

    def _close_unfit(self, flight: Flight, workers: Sequence[str]) -> None:
        """Close workers that have turned out to be unfit, and say so."""
        if workers:
            flight.close_workers(workers)
            self._progress = replace(self._progress, unfit=str(self._workers))
            _log.warning("%s", self._workers)

    def _context(self) -> Context:
        lease, context = self._lease, replace(context_of(self._plan), log=self._log_name)
        return context if lease is None else replace(context, lease=lease.number, looks_first=lease.has_helpers)

    def _begin(self, flight: Flight) -> None:
        """Put the variants first that span the design's corners; if there are many, the others wait for them."""
        variants = list(self._queue)
        self._first = FirstVariants(variants, [self._table.values(one) for one in variants], threads=flight.threads())
        chosen = set(self._first.variants)
        self._queue, self._held = deque(self._first.variants), [one for one in variants if one not in chosen]
        self._tell_stage("trying" if self._first.hold_back else "running")

    def _verify(self, flight: Flight, found: Verification) -> None:
        """Have all that is stored read in full; what is bad runs or is packed again."""
        self._tell_stage("verifying")
        table = self._table
        frame = table.frame
        blocks = {block: self._tell_rows(block) for block in range(math.ceil(len(frame) / BLOCK_ROWS))}
        bad: set[str] = set()
        for verified in flight.verify(blocks, set(table.digests), self.stop):
            first = verified.block * BLOCK_ROWS
            rows = frame.iloc[first : first + BLOCK_ROWS]
            variants, is_block_bad = found.take(verified, rows, Store.study_name(self._name, "results.zarr"))
            bad |= variants
            if is_block_bad:
                table.digests.pop(verified.block, None)
                table.dirty.add(verified.block)
        if table.digests != self._cube.blocks:
            self._commit()  # the cube forgets first, as in `_forget`
        self._forget(bad & table.stored)
        again = [variant for variant in self._plan.wanted_variants if variant in bad]
        room = len(again) if self._limit is None else max(0, self._limit - len(self._queue))
        self._enqueue(again[:room])
        self._progress = replace(self._progress, to_do=len(self._queue), cached=self._progress.cached - len(again))

    def _work(self, flight: Flight) -> None:
        """Keep the cluster busy until everything is run and packed, or the run is to end."""
        self._began = time.monotonic()
        next_commit = self._began + COMMIT_INTERVAL_S
        awaited: set[str | int] | None = None  # packings that the commit which is due waits for
        while (self._queue or self._held or flight.count or self._table.dirty) and not self._is_ending:
            self._look_around(flight)
            self._release(flight)
            self._submit(flight)
            self._take_finished(flight)
            self._progress = replace(self._progress, running=flight.running())
            is_due = time.monotonic() > next_commit
            for block in self._table.ready(is_due=is_due) - flight.packings:
                self._pack(block, flight)
            if is_due:
                awaited, next_commit = set(flight.packings), time.monotonic() + COMMIT_INTERVAL_S
            if awaited is not None and not awaited & flight.packings:
                self._commit()
                self._leave_cost()  # now, too: a run may be killed
                awaited = None
            self.stop.wait(_POLL_S)

    def _end(self, flight: Flight) -> None:
        """End what still runs, and pack what is not packed."""
        self._tell_stage("packing")
        cancelled = flight.cancel_runs()  # first of all: what waits on the scheduler begins at any moment
        if self._is_ending:
            self._store.check_writable()  # else workers would wait for a store that is away with all their patience
        for variant in self._store.stored(cancelled):  # ended, but not yet heard of
            self._table.record(variant)
        while self._table.dirty or flight.packings:
            for block in self._table.dirty - flight.packings:
                self._pack(block, flight)
            self._take_finished(flight)
            if self._is_ending and flight.is_deserted():
                _log.warning("the cluster has no workers to pack the last results with: the next run does it")
                return
            time.sleep(_POLL_S)

    @property
    def _is_ending(self) -> bool:
        return self.stop.is_set() or self._verdict is not None

    def _look_around(self, flight: Flight) -> None:
        """End the run if another has taken over the study, and have workers look first if others help."""
        if self._lease is None:
            return
        self._lease.check()
        if self._lease.has_helpers and time.monotonic() > self._helpers_told + LOOK_AGAIN_S:
            flight.look_first()
            self._helpers_told = time.monotonic()

    def _release(self, flight: Flight) -> None:
        """Let the other variants follow once the first ones have told what these will cost."""
        if self._held and not self._first.hold_back:
            self._queue.extend(self._held)
            self._held = []
            self._tell_stage("running")
        if self._progress.estimate is None:
            left = self._progress.to_do - sum(self._statuses.values())
            estimate, rate = self._first.estimate(left, flight.threads()), self._spending.rate
            if estimate is not None and rate is not None:
                estimate = replace(estimate, usd_per_hour=rate.usd_per_hour * flight.workers)
            self._progress = replace(self._progress, estimate=estimate)

    def _submit(self, flight: Flight) -> None:
        threads = self._tick(flight)
        together = self._pace.together(threads)
        room, affordable = flight.room(together), self._spending.room(threads, self._pace.seconds)
        if affordable is not None and affordable - len(flight.runs) < room:
            room, together = max(0, affordable - len(flight.runs)), 1
        batch = [self._queue.popleft() for _ in range(min(room, len(self._queue)))]
        asked = [(variant, self._table.values(variant), self._attempts.deaths(variant)) for variant in batch]
        flight.run(asked, together=together)

    def _tick(self, flight: Flight | None = None) -> int:
        """Book time and money as of now; return how many variants the cluster runs at once."""
        threads = None if flight is None else flight.threads()
        self._accounting.tick(threads)
        self._spending.tick(None if flight is None else flight.workers)
        return threads or 0

    def _take_finished(self, flight: Flight) -> None:
        failed = self._rule.failed
        for item, outcome in flight.finished():
            if isinstance(outcome, Finished):
                self._take_outcome(outcome)
            elif isinstance(outcome, Packed):
                self._take_packed(outcome)
            elif isinstance(outcome, UnfitWorkerError):
                self._take_back(item, outcome, flight)
            else:
                self._take_error(item, outcome)
        if self._rule.failed > failed:
            self._progress = replace(self._progress, failures=self._rule.failures())
        self._judge(flight)

    def _take_outcome(self, finished: Finished) -> None:
        self._table.close(finished.variant_id)
        self._table.record(finished.variant_id)
        self._attempts.finish()
        self._workers.finish()
        if finished.is_found:
            now = self._progress
            self._progress = replace(now, cached=now.cached + 1, to_do=now.to_do - 1)
            self._first.drop(finished.variant_id)
            return
        self._statuses[finished.status] += 1
        self._first.take(finished)
        self._pace.take(finished.total_s)
        self._accounting.take(finished)
        self._rule.take(finished.status, finished.message)

    def _take_back(self, item: str | int, error: UnfitWorkerError, flight: Flight) -> None:
        """Have another worker do what one that is unfit has handed back; it counts as no try."""
        if isinstance(item, int):
            self._table.dirty.add(item)
        else:
            self._queue.appendleft(item)
        worker = worker_of(error) or "an unknown worker"
        if self._workers.note(worker, str(error)):
            self._close_unfit(flight, [worker])

    def _take_error(self, item: str | int, error: BaseException) -> None:
        if isinstance(error, LeaseLostError):
            raise error
        _log.info("a try of %s failed: %r", item, error)
        tell_warning(f"a try failed: {error!r}", variant=item if isinstance(item, str) else "")
        if isinstance(error, StoreError):
            self._plan.store.check_writable()  # if it is lost here too, every other variant would only wait in vain
        reason = self._attempts.fail(item, error)
        if isinstance(item, int):
            if reason:
                raise StoreError(
                    f"block {item} of {self._name} could not be packed into {self._store.url}: {error}"
                ) from error
            self._table.dirty.add(item)
        elif reason:
            self._give_up(item, reason)
        else:
            self._queue.append(item)

    def _give_up(self, variant: str, reason: str) -> None:
        self._gave_up[variant] = reason
        self._table.close(variant)
        self._first.drop(variant)

    def _judge(self, flight: Flight) -> None:
        """End the run early if it is hopeless, or what it may cost is spent."""
        if self._is_ending:
            return
        longest_s = max((one.seconds for one in flight.running()), default=0.0)
        if why := self._rule.why_hopeless(self._progress.to_do):
            self._verdict = TooManyFailuresError(
                f"the run was ended: {why}. What is finished is kept; if the rest is to run all the same, "
                "--max-failures (max_failures in Python) says how many may fail"
            )
        elif why := self._attempts.why_hopeless(flight.threads(), longest_s):
            self._verdict = InfrastructureError(
                f"the run was ended: {why}. What is finished is kept: run again to carry on"
            )
        elif self._workers and (
            why := self._workers.why_hopeless(is_deserted=flight.is_deserted(), longest_s=longest_s)
        ):
            self._verdict = InfrastructureError(
                f"the run was ended, for no worker is left that can run the study: {why}. What is finished is kept"
            )
        elif self._is_spent(flight):
            done = f"{sum(self._statuses.values()):,} of {self._progress.to_do:,} variants"
            self._verdict = CostLimitError(
                f"the run was ended: {self._spending.why_over()}. It has finished {done}, and what is finished is "
                "kept: run again to carry on, with another --max-cost (max_cost in Python) if that was too little"
            )

    def _is_spent(self, flight: Flight) -> bool:
        """Return True if variants are left that cannot be afforded: those under way are ended, too."""
        if not (self._queue or self._held or flight.runs):
            return False
        room = self._spending.room(flight.threads(), self._pace.seconds)
        return self._spending.is_over or (room == 0 and not flight.runs)

    def _take_packed(self, packed: Packed) -> None:
        self._accounting.take_packed(packed)
        if packed.unknown:
            self._cube.grow(self._cube.layout.grow(self._series_of(packed.unknown)))
            self._table.dirty.add(packed.block)
            return
        facts = read_facts(self._store, self._name, packed)
        if facts is None:
            raise StoreError(f"the store has lost what became of block {packed.block} of {self._name}")
        self._table.take_facts(packed.block, facts)
        for variant, why in packed.unreadable.items():
            _log.warning("%s cannot be read, %s: its variant runs again", Store.record_name(variant), why)
        for variant in self._table.to_mend(packed.block, facts, packed.unreadable):
            self._delete_record(variant)
            if not self._table.is_wanted(variant) or self._is_ending:
                continue
            if self._attempts.fail(variant, RecordError("its record cannot be read")):
                self._gave_up[variant] = "its record could not be read, however often it was written"
            else:
                self._enqueue([variant])
                self._progress = replace(self._progress, to_do=self._progress.to_do + 1)

    def _series_of(self, variants: Iterable[str]) -> Iterator[Series]:
        for variant in variants:
            data = self._store.get(Store.record_name(variant))
            if data is None:
                continue
            with suppress(RecordError):  # altered since it was packed: that is told when the block is packed again
                yield from RecordFile(io.BytesIO(data)).header().series

    def _pack(self, block: int, flight: Flight) -> None:
        self._cube.resize(len(self._plan.variant_ids))
        self._table.dirty.discard(block)
        flight.pack(block, self._tell_rows(block))

    def _tell_rows(self, block: int) -> str:
        """Have workers find which variants stand in a block; return the sha256 of that."""
        if block not in self._told_rows:
            self._told_rows[block] = put_rows(self._guarded, self._name, block, self._table.ids_of(block))
        return self._told_rows[block]

    def _commit(self) -> None:
        """Show readers the rows that the cube has a place for."""
        self._cube.commit(self._table.frame.iloc[: self._cube.rows], self._table.digests)

    def _commit_at_end(self) -> None:
        """Show readers every row of the study, those that are pending too."""
        rows = len(self._plan.variant_ids)
        if self._has_grown or self._table.digests != self._cube.blocks or self._cube.rows != rows:
            self._cube.resize(rows)
            self._commit()

    def _leave_cost(self) -> None:
        """Tell later plans what variants like these cost."""
        cost = self._accounting.cost(self._name, outputs_digest(self._plan.outputs), where=self._where)
        if cost is not None:
            leave_cost(self._store, self._plan.costs, cost)

    def _enqueue(self, variants: Sequence[str]) -> None:
        self._queue.extend(variants)
        self._table.wait_for(variants)
