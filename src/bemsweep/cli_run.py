"""The command ``bemsweep run``: its options, what it shows meanwhile, what it says in the end and its exit status.

Decides nothing about the work (`bemsweep.runner` does) but how Ctrl-C ends it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live

from bemsweep.console import (
    DEFAULT_STORE,
    FAILED,
    GAVE_UP,
    STOPPED,
    AllowPythonOption,
    EngineOption,
    JsonOption,
    StoreOption,
    StudyFile,
    YesOption,
    err,
    explained,
    out,
    planned,
    print_json,
)
from bemsweep.errors import CostLimitError, StoreError, TooManyFailuresError
from bemsweep.live_view import ProgressView

if TYPE_CHECKING:
    from distributed import Client

    from bemsweep.cluster_file import Cluster
    from bemsweep.planning import Plan
    from bemsweep.runner import Run

__all__ = ["run_command"]


def run_command(
    study: StudyFile,
    store: StoreOption = DEFAULT_STORE,
    engine: EngineOption = None,
    *,
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Run at most so many, to try a few.")] = None,
    again: Annotated[
        list[str] | None, typer.Option("--again", help="Run these again: failed, timed_out, out_of_memory.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First read all that is stored; run what is cut or altered again.")
    ] = False,
    records_only: Annotated[
        bool, typer.Option("--records-only", help="Help another run of it: write records, which that run gathers.")
    ] = False,
    max_failures: Annotated[
        str | None,
        typer.Option("--max-failures", metavar="N", help="So many may fail, or 5%; else the first 20 may not all."),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", metavar="USD", help="It may cost so much, on a cluster whose price is known."),
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", metavar="FILE", help="Where to run: a cluster file; else this machine.")
    ] = None,
    performance_report: Annotated[
        Path | None,
        typer.Option("--performance-report", metavar="FILE", help="Write Dask's report of the run there, as HTML."),
    ] = None,
    yes: YesOption = False,
    allow_python: AllowPythonOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run what is missing of a study and gather the results; a second run waits for the first."""
    from bemsweep.cluster_file import read_cluster  # noqa: PLC0415 - with what follows
    from bemsweep.runner import AGAIN, run  # noqa: PLC0415 - Dask takes a second to import
    from bemsweep.spending import Spending  # noqa: PLC0415 - with its prices
    from bemsweep.stop_rule import StopRule  # noqa: PLC0415 - with what it explains

    statuses = {word for words in again or [] for word in words.split(",")}
    if unknown := statuses - set(AGAIN):
        raise typer.BadParameter(f"no status {', '.join(sorted(unknown))}: {', '.join(AGAIN)}")
    if records_only and (statuses or verify):
        told = f"{'--again' if statuses else '--verify'} deletes records, which --records-only does not"
        raise typer.BadParameter(f"{told}: give one of them")
    try:
        StopRule(max_failures)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-failures") from None
    where = None if cluster is None else read_cluster(cluster, allow_python=allow_python)
    made = planned(study, store, engine, cluster=where, yes=yes, allow_python=allow_python)
    try:
        Spending(made.rate, max_cost=max_cost)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-cost") from None
    if not as_json:
        out.print(str(made))
    how: dict[str, Any] = {"limit": limit, "again": statuses, "max_failures": max_failures, "verify": verify}
    how["performance_report"] = performance_report
    is_spent = False
    with _opened(where if made.to_run or statuses or verify else None, made) as client:
        started, ended = run(made, client=client, wait=False, records_only=records_only, max_cost=max_cost, **how), ""
        try:
            _watch(started, is_quiet=as_json)
            started.wait()
        except KeyboardInterrupt:
            _stop(started, made)
            sys.exit(STOPPED)
        except (TooManyFailuresError, CostLimitError) as error:
            ended, is_spent = str(error), isinstance(error, CostLimitError)
            err.print(ended)
        except StoreError as error:  # whatever it was, such as expired credentials: what is finished is kept
            err.print(str(error))
            sys.exit(GAVE_UP)
    has_failed = (_report_records if records_only else _report)(started, made, as_json=as_json, ended=ended)
    if is_spent or has_failed:
        sys.exit(GAVE_UP if is_spent else FAILED)


@contextmanager
def _opened(cluster: Cluster | None, plan: Plan) -> Iterator[Client | None]:
    """Give a client of a cluster, and say where its dashboard is; None without a cluster."""
    if cluster is None:
        yield None
        return
    from bemsweep.clusters import dashboard, open_configured  # noqa: PLC0415 - Dask takes a second to import

    err.print(f"opening the cluster: {cluster.cluster}")
    with open_configured(cluster, plan=plan) as client:
        err.print(f"dashboard: {dashboard(client, cluster)}")
        yield client


_PER_SECOND = 4
"""How often what a terminal shows is drawn anew: as often as people read, and no more, so that it does not flicker."""


def _watch(run: Run, *, is_quiet: bool) -> None:
    """Show how far the run is until it ends."""

    def view() -> ProgressView:
        return ProgressView(run.progress, is_done=run.is_done)

    with ExitStack() as stack:
        is_told = is_quiet  # the estimate
        if not is_quiet:
            stack.enter_context(Live(console=err, get_renderable=view, refresh_per_second=_PER_SECOND))
        while True:
            is_done, estimate = run.is_done, run.progress.estimate
            if estimate is not None and not is_told:
                err.print(str(estimate))
                is_told = True
            if is_done:
                return
            time.sleep(0.1)


def _stop(run: Run, plan: Plan) -> None:
    """End a run that the user interrupted, and say how to carry on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the commit
    err.print("stopping: engines are ended, what is finished is kept …")
    run.cancel()
    run.wait()
    left = run.progress.to_do - run.progress.done
    err.print(f"stopped with {left:,} variants to go. Results so far: {_where(plan)}\nThe same command carries on.")


def _report(run: Run, plan: Plan, *, as_json: bool, ended: str) -> bool:
    """Say what came of the run and where it is; return True if some variants failed."""
    table = run.status()
    counts = table["status"].value_counts().to_dict()
    groups = run.errors()
    if as_json:
        report = {"study": plan.study.name, "results": _where(plan), "statuses": counts}
        report["without_effect"] = list(run.without_effect)
        report["ended"] = ended
        if run.verification is not None:
            report["verified"] = vars(run.verification)
        report["account"] = run.account.to_dict()
        print_json({**report, "ran": run.progress.done, "elapsed_s": round(run.progress.elapsed_s, 3)})
    else:
        if run.verification is not None:
            out.print(f"{run.verification}{'; run or packed again' if run.verification.bad else ''}")
        told = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        out.print(f"{told}; {run.progress.done:,} run now in {run.progress.elapsed_s:.1f} s")
        _tell_account(run)
        if not groups.empty:
            out.print(explained(groups, plan.store.url))
        if idle := run.without_effect:
            told = f"{len(idle)} of {len(plan.study.parameters)} parameters change nothing: {', '.join(idle)}"
            out.print(f"{told} (all outputs are the same to the last bit at each of their levels)")
        out.print(f"results are in {_where(plan)}; open them with")
        out.print(f'  xr.open_datatree("{_where(plan)}", engine="zarr")')
    return not groups.empty


def _report_records(run: Run, plan: Plan, *, as_json: bool, ended: str) -> bool:
    """Say what came of a run that only wrote records; return True if some variants failed."""
    now = run.progress
    if as_json:
        told = {"study": plan.study.name, "ran": now.done, "statuses": dict(now.statuses)}
        told["account"] = run.account.to_dict()
        print_json({**told, "elapsed_s": round(now.elapsed_s, 3), "ended": ended})
    else:
        counts = ", ".join(f"{count:,} {status}" for status, count in now.statuses.items()) or "nothing left to run"
        out.print(f"{counts}; {now.done:,} run now in {now.elapsed_s:.1f} s")
        _tell_account(run)
        out.print("only records were written: the run that holds the study gathers them, or the next one")
    return now.failed > 0


def _tell_account(run: Run) -> None:
    if run.account.lines():
        out.print(str(run.account))


def _where(plan: Plan) -> str:
    return plan.store.url_of(plan.store.study_name(plan.study.name, "results.zarr"))
