"""The command ``bemsweep cluster check``: what a cluster file means, what it would submit, whether a worker comes.

Decides only how that is told. Starts nothing unless it is asked to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bemsweep.console import AllowPythonOption, JsonOption, err, out, print_json
from bemsweep.units import size_text

if TYPE_CHECKING:
    from bemsweep.cluster_file import Cluster

__all__ = ["cluster_app"]

cluster_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Where variants run: cluster files.")


@cluster_app.callback()
def cluster_command() -> None:
    """Where variants run: cluster files."""


@cluster_app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A cluster file, such as those of cluster-configs.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print exactly what would be submitted.")] = False,
    start: Annotated[bool, typer.Option("--start", help="Start one worker, look at it, and close.")] = False,
    within: Annotated[
        float, typer.Option("--within", metavar="SECONDS", min=0, help="How long to wait for the worker.")
    ] = 600.0,
    allow_python: AllowPythonOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a cluster file and say what it means; starts nothing without --start."""
    from bemsweep.cluster_file import read_cluster  # noqa: PLC0415 - pydantic takes a moment to import

    config = read_cluster(file, allow_python=allow_python)
    told: dict[str, Any] = {"cluster": config.cluster, "means": _meaning(config)}
    if dry_run:
        told["submits"] = _submitted(config)
    if not as_json:
        out.print(told["means"])
        _print_submitted(told.get("submits"))
    if start:
        told["worker"] = _look(config, within)
        if not as_json:
            _print_worker(told["worker"])
    if as_json:
        print_json(told)


def _meaning(config: Cluster) -> str:
    """Return a sentence of what a cluster is and how many engines run at once on it."""
    at_once = config.threads_at_once
    engines = f"{at_once} engines at once" if at_once is not None else "as many engines at once as its workers' threads"
    if config.cluster == "local":
        where = f"{config.processes} processes" if config.processes else "threads of one process"
        return f"this machine, {where}: {engines}"
    if config.cluster == "scheduler":
        return f"the Dask scheduler at {config.address}{', over TLS' if config.tls else ''}: {engines}"
    if config.cluster == "slurm":
        return f"{config.jobs} jobs of Slurm, {config.cores} cores each for {config.walltime}: {engines}"
    price = {False: "on demand", True: "spot", "with_fallback": "spot, on demand while there are none"}[config.spot]
    region = config.region or "the region of the store's bucket"
    return f"{config.workers} virtual machines {' or '.join(config.vm_types)} in {region}, {price}: {engines}"


def _submitted(config: Cluster) -> Any:
    """Return what would be submitted: keyword arguments, or a script."""
    from bemsweep.cluster_file import Coiled, Slurm  # noqa: PLC0415 - pydantic takes a moment to import

    if not isinstance(config, (Coiled, Slurm)):
        return None
    from bemsweep.clusters import job_script, submission  # noqa: PLC0415 - Dask takes a second to import

    arguments = submission(config)
    return arguments if isinstance(config, Coiled) else job_script(arguments)


def _print_submitted(submitted: Any) -> None:
    if isinstance(submitted, str):
        out.print(f"{submitted}\n# a run adds its study's name to that of the job")
    elif submitted is not None:
        out.print("coiled.Cluster(")
        for name, value in submitted.items():
            out.print(f"    {name}={value!r},")
        out.print(")  # a run adds its study and its start to the tags and, unless one is named, its bucket's region")


def _print_worker(told: dict[str, Any]) -> None:
    """Print what a worker says of itself, and what to heed."""
    rows = {name: told[name] for name in ("worker", "machine", "threads")} | told["versions"]
    rows |= {"engine": told["engine"], "memory": size_text(told["memory_bytes"]), "scratch": "can be written"}
    for name, value in rows.items():
        out.print(f"{name:<9} {value}")
    if told["warning"]:
        err.print(told["warning"])


def _look(config: Cluster, within_s: float) -> dict[str, Any]:
    """Start one worker, check it as before a run, and return what it says of itself."""
    from bemsweep.cluster_file import Range  # noqa: PLC0415 - as above
    from bemsweep.clusters import dashboard, first_worker, open_configured  # noqa: PLC0415

    one = Range(min=1, max=1)
    if config.cluster == "coiled":
        config = config.model_copy(update={"workers": one})
    elif config.cluster == "slurm":
        config = config.model_copy(update={"jobs": one})
    with open_configured(config) as client:
        err.print(f"dashboard: {dashboard(client, config)}")
        return first_worker(client, within_s=within_s)
