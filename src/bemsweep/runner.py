"""Running a plan: the public face of the driver.

Starts the driver in a thread and tells how far it is. Decides nothing about the work itself
(`bemsweep.driver` does). It can be killed at any time: the same call carries on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from distributed import Client

from bemsweep.account import Account
from bemsweep.driver import Driver
from bemsweep.effects import without_effect
from bemsweep.layout import TABLE_COLUMNS
from bemsweep.live_view import ProgressView, notebook_display
from bemsweep.markup import variant_table
from bemsweep.performance_report import check_report
from bemsweep.planning import Plan
from bemsweep.progress import Progress
from bemsweep.records import Status
from bemsweep.records_only import RecordsOnlyDriver
from bemsweep.results import failed_rows, failures
from bemsweep.shard import ShardDriver
from bemsweep.shares import Share
from bemsweep.spending import Spending
from bemsweep.stop_rule import StopRule
from bemsweep.verification import Verification

__all__ = ["AGAIN", "Run", "run"]

AGAIN: tuple[Status, ...] = ("failed", "timed_out", "out_of_memory")
"""Statuses whose variants can be asked to run again."""

_SHOW_INTERVAL_S = 0.5
"""How often a notebook shows how far a run is; one that is over before shows nothing."""

_SHOWN = ("variant_id", "status", "message", "warnings", "severe_errors", "engine_s")
"""Columns of the variant table that have room on a page, beside the parameters."""


def run(
    plan: Plan,
    *,
    client: Client | None = None,
    wait: bool = True,
    limit: int | None = None,
    again: Status | Iterable[Status] = (),
    max_failures: int | str | None = None,
    max_cost: float | None = None,
    verify: bool = False,
    records_only: bool = False,
    shard: tuple[int, int] | None = None,
    performance_report: str | Path | None = None,
) -> Run:
    """Run what a plan has left to run and gather the results.

    Parameters
    ----------
    plan
        What `bemsweep.plan` returned.
    client
        A Dask client; None for the current one, else all local cores.
    wait
        False to return at once; the run goes on in a thread of this process.
    limit
        Run at most so many variants, to try a few first.
    again
        ``"failed"``, ``"timed_out"`` or ``"out_of_memory"``, or several, whose variants are run again.
    max_failures
        How many variants may fail before the run is ended, or which share of those that are to run, such as
        ``"5%"``; None to end it when the first 20 that finish have all failed.
    max_cost
        USD that the run may cost, where the plan knows a price: its `cluster` has one. What is spent are all workers'
        hours, at work or not; once another round of variants could exceed it, no more are begun. None for no limit.
    verify
        First read all that the study has in the store in full: records, inputs and results. Whatever is cut, altered
        or of an unknown schema is run, put or packed again; `Run.verification` tells what it was.
    records_only
        True to help another run of the study, on this machine or another: variants are run from the end and their
        records written, and that run gathers them, or the next one. Otherwise a second run waits for the first.
    shard
        ``(2, 8)`` to run the second of eight shares of the study, for places where no Dask cluster can be made: eight
        such calls, wherever they are, run it all. Each writes records, as with `records_only`; whoever finds at its
        end that all variants have one gathers them.

    performance_report
        File for Dask's performance report (HTML): what each task took and where, and what scheduler and workers did
        meanwhile. It is written at the end, also of a run that fails, if there is something to run.

    Returns
    -------
    Run
        With ``wait()``, ``cancel()``, ``progress`` and the results.

    Raises
    ------
    RunCancelledError
        The run was stopped from elsewhere, by ``bemsweep stop``; what is finished is kept.
    TypeError, ValueError
        `plan` is no plan, or `limit`, `again`, `max_failures`, `max_cost` or `shard` mean nothing, or `again` with
        `records_only`, or `max_cost` without a price.
    BemsweepError
        There is no place for the performance report, or nothing to draw it with.
    ClusterError
        No worker of the cluster can run the study as they are; nothing was run.
    TooManyFailuresError
        More variants failed than `max_failures` allows; what is finished is kept.
    CostLimitError
        What the run may cost is spent, and variants are left; what is finished is kept.
    ConflictError
        The study has changed in the store since it was planned: plan it again.
    InfrastructureError
        Some variants could not be run by the machine's fault; run again to carry on.
    LeaseLostError
        This run was cut off or paused for so long that another has taken over the study, and carries on.
    StoreError
        The store cannot be read or written.

    Side effects
    ------------
    Writes inputs, records and the cube to the plan's store.
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"run takes what bemsweep.plan(study) returns, not {type(plan).__name__}")
    again = [again] if isinstance(again, str) else list(again)
    if unknown := [status for status in again if status not in AGAIN]:
        raise ValueError(f"no status {unknown[0]!r} can run again: {', '.join(AGAIN)}")
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise ValueError(f"limit is a number of variants, not {limit!r}")
    if (records_only or shard) and (again or verify):
        told = "records_only adds" if records_only else "a shard adds"
        raise ValueError(f"{told} records and deletes none: run again without it what has one")
    if records_only and shard:
        raise ValueError("a shard gathers what it can in the end, which records_only does not: give one of them")
    report = None if performance_report is None else Path(performance_report)
    if report is not None:
        check_report(report)
    how: dict[str, Any] = {
        "client": client,
        "limit": limit,
        "rule": StopRule(max_failures),
        "spending": Spending(plan.rate, max_cost=max_cost),
        "performance_report": report,
    }
    driver: Driver
    if shard is not None:
        driver = ShardDriver(plan, Share(*shard), **how)
    elif records_only:
        driver = RecordsOnlyDriver(plan, **how)
    else:
        driver = Driver(plan, again=frozenset(again), verify=verify, **how)
    started = Run(plan, driver).start()
    return started.wait() if wait else started


class Run:
    """A run under way or finished."""

    def __init__(self, plan: Plan, driver: Driver) -> None:
        self.plan = plan
        self._driver = driver
        self._error: BaseException | None = None
        # Not the thread's own end: before Python 3.13 a join that Ctrl-C interrupts takes a living thread for dead.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"bemsweep-{plan.study.name}", daemon=True)

    def start(self) -> Run:
        """Begin; `bemsweep.run` has done it."""
        self._thread.start()
        return self

    def _work(self) -> None:
        try:
            self._driver.execute()
        except BaseException as error:  # noqa: BLE001 - raised again by `wait`, in the caller's thread
            self._error = error
        finally:
            self._ended.set()

    @property
    def progress(self) -> Progress:
        """How far the run is, now."""
        return self._driver.progress()

    @property
    def account(self) -> Account:
        """Where time and money went, so far if the run is under way: engine, overhead by stage, efficiency, cost."""
        return self._driver.account()

    @property
    def is_done(self) -> bool:
        """True if nothing is under way any more."""
        return self._ended.is_set()

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait for the end; Ctrl-C cancels the run and keeps what is finished.

        Raises
        ------
        InfrastructureError
            Some variants could not be run by the machine's fault.
        RunCancelledError
            The run was stopped from elsewhere, by ``bemsweep stop``.
        TooManyFailuresError
            The run was ended because so many variants failed.
        CostLimitError
            It was ended because what it may cost is spent.
        TimeoutError
            The run is still under way after `timeout_s`.
        """
        try:
            has_ended = self._wait_showing(timeout_s)
        except KeyboardInterrupt:
            self.cancel()
            self._ended.wait()
            raise
        if not has_ended:
            raise TimeoutError(f"the run is still under way after {timeout_s} s")
        if self._error is not None:
            raise self._error
        return self

    def _wait_showing(self, timeout_s: float | None) -> bool:
        """Wait, and in a notebook show meanwhile how far the run is; return False if it is still under way."""
        if (show := notebook_display()) is None:
            return self._ended.wait(timeout_s)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        is_shown = False
        while not (has_ended := self._ended.wait(_left(until))) and (until is None or time.monotonic() < until):
            show(ProgressView(self.progress))
            is_shown = True
        if is_shown:
            show(ProgressView(self.progress, is_done=has_ended))
        return has_ended

    def cancel(self) -> None:
        """Stop: engines are killed, what is finished is kept and committed. Returns at once; see `wait`."""
        self._driver.stop.set()

    @property
    def is_cancelled(self) -> bool:
        """True if the run was told to stop."""
        return self._driver.stop.is_set()

    @property
    def is_gathered(self) -> bool:
        """True if the results show what the run did; False before its end, and of one that only added records."""
        return self._driver.is_gathered

    def status(self) -> pd.DataFrame:
        """Return the variant table: parameters, status, messages and timings, a row per variant."""
        return self._driver.table()

    @property
    def failed(self) -> pd.DataFrame:
        """Failed variants among what the study asks for: parameters, status and first severe message."""
        return failed_rows(self._wanted())

    def errors(self) -> pd.DataFrame:
        """Return the failures among what the study asks for, as `bemsweep.results.errors` does."""
        return failures(self._wanted(), self.plan.store)

    def _wanted(self) -> pd.DataFrame:
        return self.status()[list(self.plan.is_wanted)]

    @property
    def verification(self) -> Verification | None:
        """What the verification has found, so far if it is under way; None if none was asked for."""
        return self._driver.verification

    @property
    def without_effect(self) -> tuple[str, ...]:
        """Parameters whose levels leave every output the same to the last bit, as far as variants are finished."""
        parameters = self.plan.study.parameters
        computed = [name for name, parameter in parameters.items() if parameter.expression is not None]
        return without_effect(self.status(), parameters, computed=computed)

    def __repr__(self) -> str:
        progress = self.progress
        told = ", ".join(f"{count} {status}" for status, count in sorted(progress.statuses.items()))
        left = progress.eta_s if progress.stage == "running" else None
        account = self.account
        spent = f", {account.efficiency:.0%} of core time in engines" if self.is_done and account.variants else ""
        waits = f" for {progress.waits_for}" if progress.waits_for else ""
        return (
            f"Run of {self.plan.study.name}: {progress.stage}{waits}, {progress.done} of {progress.to_do} done"
            f"{f' ({told})' if told else ''}, {progress.cached} cached, {progress.elapsed_s:.0f} s"
            f"{f', about {left:.0f} s to go' if left is not None else ''}{spent}"
            f"{f'; {progress.unfit}' if progress.unfit else ''}"
        )

    def _repr_html_(self) -> str:
        table = self.status()
        shown = table[[name for name in table if name not in TABLE_COLUMNS or name in _SHOWN]]
        return f"<p>{escape(repr(self))}</p>{variant_table(shown.round({'engine_s': 1}))}"


def _left(until: float | None) -> float:
    """Return how long to wait before a notebook is shown how far a run is, at most until then, monotonic."""
    return _SHOW_INTERVAL_S if until is None else max(0.0, min(_SHOW_INTERVAL_S, until - time.monotonic()))
