"""The command ``bemsweep run``: its options, what it shows meanwhile, what it says in the end and its exit status.

Decides nothing about the work (`bemsweep.runner` does) but how Ctrl-C ends it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live

from bemsweep.cli_detach import start_detached
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
from bemsweep.errors import CostLimitError, RunCancelledError, StoreError, TooManyFailuresError
from bemsweep.live_view import ProgressView

if TYPE_CHECKING:
    from distributed import Client

    from bemsweep.cluster_file import Cluster
    from bemsweep.planning import Plan
    from bemsweep.runner import Run

__all__ = ["run_command"]


def run_command(
    typer_context: typer.Context,
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
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="The Ith of N shares, on cores of its own: for batch systems."),
    ] = None,
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
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once it has begun; it goes on when the terminal closes.")
    ] = False,
    yes: YesOption = False,
    allow_python: AllowPythonOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run what is missing of a study and gather the results; a second run waits for the first."""
    if cluster is None:  # the engine starts while all the rest is imported
        from bemsweep.host_client import kept_warm  # noqa: PLC0415 - with what follows

        typer_context.with_resource(kept_warm(engine))
    from bemsweep.cluster_file import read_cluster  # noqa: PLC0415 - with what follows
    from bemsweep.runner import AGAIN, run  # noqa: PLC0415 - Dask takes a second to import
    from bemsweep.spending import Spending  # noqa: PLC0415 - with its prices
    from bemsweep.stop_rule import StopRule  # noqa: PLC0415 - with what it explains

    statuses = {word for words in again or [] for word in words.split(",")}
    if unknown := statuses - set(AGAIN):
        raise typer.BadParameter(f"no status {', '.join(sorted(unknown))}: {', '.join(AGAIN)}")
    try:
        StopRule(max_failures)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-failures") from None
    where = None if cluster is None else read_cluster(cluster, allow_python=allow_python)
    deleting = "--again" if statuses else "--verify" if verify else ""
    share = _share(shard, records_only=records_only, deleting=deleting)
    made = planned(study, store, engine, cluster=where, yes=yes, allow_python=allow_python)
    try:
        Spending(made.rate, max_cost=max_cost)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-cost") from None
    if not as_json:
        out.print(str(made))
    if detach:
        sys.exit(start_detached(made, study, is_helper=bool(records_only or share), as_json=as_json))
    how: dict[str, Any] = {"limit": limit, "again": statuses, "max_failures": max_failures, "verify": verify}
    how |= {"records_only": records_only, "shard": share, "max_cost": max_cost}
    how["performance_report"] = performance_report
    with _opened(where if made.to_run or statuses or verify else None, made) as client:
        started = run(made, client=client, wait=False, **how)
        ended, status = _wait(started, made, is_quiet=as_json)
    has_failed = (_report if started.is_gathered else _report_records)(started, made, as_json=as_json, ended=ended)
    if status or has_failed:
        sys.exit(status or FAILED)


def _wait(run: Run, plan: Plan, *, is_quiet: bool) -> tuple[str, int]:
    """Show how far a run is until its end; return why it was ended early, if it was, and what status that asks for."""
    try:
        _watch(run, is_quiet=is_quiet)
        run.wait()
    except KeyboardInterrupt:
        _stop(run, plan)
        sys.exit(STOPPED)
    except RunCancelledError as error:
        err.print(f"{error}\n{_left(run, plan)}")
        sys.exit(STOPPED)
    except (TooManyFailuresError, CostLimitError) as error:
        err.print(str(error))
        return str(error), GAVE_UP if isinstance(error, CostLimitError) else 0
    except StoreError as error:  # whatever it was, such as expired credentials: what is finished is kept
        err.print(str(error))
        sys.exit(GAVE_UP)
    return "", 0


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


def _share(shard: str | None, *, records_only: bool, deleting: str) -> tuple[int, int] | None:
    """Return which share of how many is meant; refuse what does not go with one, or with `records_only`.

    Parameters
    ----------
    shard, records_only
        As the options say.
    deleting
        An option that is given and deletes records, if any.
    """
    from bemsweep.shares import Share  # noqa: PLC0415 - with the runner

    adding = "--records-only" if records_only else "--shard"
    if (records_only or shard) and deleting:
        raise typer.BadParameter(f"{deleting} deletes records, which {adding} does not: give one of them")
    if records_only and shard:
        raise typer.BadParameter("a shard gathers what it can in the end, which --records-only does not: give one")
    try:
        share = None if shard is None else Share.from_text(shard)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shard") from None
    return None if share is None else (share.number, share.count)


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
    with suppress(RunCancelledError):  # from elsewhere, too
        run.wait()
    err.print(f"stopped with {_left(run, plan)}\nThe same command carries on.")


def _left(run: Run, plan: Plan) -> str:
    return f"{run.progress.to_do - run.progress.done:,} variants to go. Results so far: {_where(plan)}"


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
