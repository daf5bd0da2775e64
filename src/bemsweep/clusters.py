"""Opening what a cluster file describes, and closing it again: local processes, a scheduler, Coiled, Slurm.

Decides nothing about how a cluster is asked for (`bemsweep.cluster_settings` does). Never leaves what it opened, unless
its own process is killed; a scheduler that it found running stays.
"""

from __future__ import annotations

import datetime as dt
import importlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.security import Security

from bemsweep.cluster import open_local_client
from bemsweep.cluster_file import Cluster, Coiled, Local, Scheduler, Slurm, read_cluster
from bemsweep.cluster_settings import SCHEDULER_SETTINGS, coiled_arguments, run_tags, slurm_arguments
from bemsweep.errors import BemsweepError, ClusterError, InfrastructureError
from bemsweep.host_client import open_engine
from bemsweep.planning import Plan
from bemsweep.preflight import SAME_EVERYWHERE, UNKNOWN_ENGINE_BYTES, Workers, look, memory_warning
from bemsweep.redaction import redacted

__all__ = ["dashboard", "first_worker", "job_script", "open_cluster", "open_configured", "submission"]

_SCHEDULER_HERE = "tls://<scheduler>:<port>"
_ROLES = ("scheduler", "worker", "client")
_POLL_S = 0.1


@contextmanager
def open_cluster(file: str | Path, *, plan: Plan | None = None, allow_python: bool = False) -> Iterator[Client]:
    """Open the cluster that a file describes; it ends with the block.

    The client becomes Dask's current one, which `bemsweep.run` takes.

    Parameters
    ----------
    file
        A cluster file, such as those of ``cluster-configs``.
    plan
        What is going to run: the study's name is shown on the cloud's bill, and machines are started in the region of
        the store's bucket.
    allow_python
        True for a file that may make code run: lines of `setup`, a scheduler on another machine.

    Returns
    -------
    context manager of distributed.Client
        Workers may still be starting.

    Raises
    ------
    ClusterFileError
        The file cannot be read or is no cluster file; every problem with its line.
    BemsweepError
        The package or the command that the cluster needs is missing; says which. Slurm refuses the jobs.
    InfrastructureError
        Nobody answers at the scheduler's address, or Coiled starts no machines.
    """
    with open_configured(read_cluster(file, allow_python=allow_python), plan=plan) as client:
        yield client


@contextmanager
def open_configured(config: Cluster, *, plan: Plan | None = None) -> Iterator[Client]:
    """Open a cluster as `open_cluster` does.

    Parameters
    ----------
    config
        What a cluster file says.
    plan
        What is going to run.

    Raises
    ------
    BemsweepError
        As `open_cluster` does.
    """
    if isinstance(config, Local):
        opened = open_local_client(config.threads, processes=config.processes, set_as_default=True)
    elif isinstance(config, Scheduler):
        opened = _connected(config)
    elif isinstance(config, Coiled):
        opened = _started_by_coiled(config, submission(config, plan=plan))
    else:
        opened = _started_by_slurm(config, submission(config, plan=plan))
    with opened as client:
        yield client


def submission(config: Coiled | Slurm, *, plan: Plan | None = None) -> dict[str, Any]:
    """Return the keyword arguments by which a cluster is asked for.

    Parameters
    ----------
    config
        What a cluster file says.
    plan
        What is going to run.

    Side effects
    ------------
    Asks the store for its bucket's region if the file names none.
    """
    study = "" if plan is None else plan.study.name
    if isinstance(config, Slurm):
        return slurm_arguments(config, study=study)
    region = plan.store.region() if plan is not None and config.region is None else None
    began = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return coiled_arguments(config, region=region, tags=None if plan is None else run_tags(study, began))


def dashboard(client: Client, config: Cluster) -> str:
    """Return where Dask's dashboard is.

    Parameters
    ----------
    client, config
        Of an open cluster.
    """
    link = str(client.dashboard_link)
    # Ours are for nobody but this machine; Dask names the address at which workers reach it.
    return re.sub(r"//[^/]*:", "//127.0.0.1:", link) if isinstance(config, (Local, Slurm)) else link


# A scheduler that is running


@contextmanager
def _connected(config: Scheduler) -> Iterator[Client]:
    security = None
    if (tls := config.tls) is not None:
        if missing := [str(path) for path in (tls.ca, tls.cert, tls.key) if not path.is_file()]:
            raise BemsweepError(f"there is no file {', '.join(missing)}, which the cluster file names under tls")
        named = {"tls_ca_file": tls.ca, "tls_client_cert": tls.cert, "tls_client_key": tls.key}
        security = Security(require_encryption=True, **{name: str(path) for name, path in named.items()})
    try:
        client = Client(config.address, security=security)
    except (OSError, ValueError) as error:
        reason = redacted(" ".join(str(error).split()))
        told = (
            f"no Dask scheduler answers at {config.address} ({reason}): is it running, and are its certificates these?"
        )
        raise InfrastructureError(told) from error
    with client:
        yield client


# Coiled


@contextmanager
def _started_by_coiled(config: Coiled, arguments: dict[str, Any]) -> Iterator[Client]:
    coiled = _needed("coiled", "coiled")
    if missing := [name for name in config.send_env if name not in os.environ]:
        raise BemsweepError(f"send_env names {', '.join(missing)}, which the environment here does not have")
    if not dask.config.get("coiled.token", None):
        raise BemsweepError("there is no login to Coiled on this machine: `coiled login` makes one")
    faults = (
        coiled.exceptions.CoiledException, coiled.errors.ServerError, coiled.errors.ClusterCreationError,
        coiled.errors.DoesNotExist, OSError, ValueError,
    )  # fmt: skip
    try:
        with dask.config.set(SCHEDULER_SETTINGS):  # Coiled sends a copy of Dask's configuration along
            cluster = coiled.Cluster(**arguments)
    except faults as error:
        raise InfrastructureError(f"Coiled has started no cluster: {redacted(str(error))}") from error
    with cluster:
        if config.send_env:
            # Not `environ`, which passes through Coiled's servers.
            cluster.send_private_envs({name: os.environ[name] for name in config.send_env}, raise_on_error=True)
        with Client(cluster) as client:
            yield client


# Slurm


_ADAPTING = {"interval": "2s", "wait_count": 30, "target_duration": "1m"}
"""A worker is given up after a minute without work: ending one sooner ends runs that have to be done again."""


@contextmanager
def _started_by_slurm(config: Slurm, arguments: dict[str, Any]) -> Iterator[Client]:
    jobqueue = _needed("dask_jobqueue", "slurm")
    if shutil.which("sbatch") is None:
        raise BemsweepError("there is no sbatch here: start bemsweep where Slurm's commands are, such as a login node")
    with _certificates() as security:
        with dask.config.set(SCHEDULER_SETTINGS):
            cluster = jobqueue.SLURMCluster(**arguments, protocol="tls://", security=security)
        with cluster:
            _check_accepted(cluster.job_script())
            jobs = config.jobs
            # A fixed number of jobs, too: only so does Dask start another for one that has ended.
            cluster.adapt(minimum_jobs=jobs.min, maximum_jobs=jobs.max, **_ADAPTING)
            with Client(cluster) as client:
                yield client


def job_script(arguments: dict[str, Any]) -> str:
    """Return the script of each job, as dask-jobqueue writes it; needs no Slurm.

    Parameters
    ----------
    arguments
        What `submission` returned.

    Raises
    ------
    BemsweepError
        dask-jobqueue is not installed.
    """
    slurm = _needed("dask_jobqueue.slurm", "slurm")
    options = {name: value for name, value in arguments.items() if name != "scheduler_options"}
    placeholders = {"tls_ca_file": "<ca>", "tls_worker_cert": "<certificate>", "tls_worker_key": "<key>"}
    security = Security(require_encryption=True, **placeholders)
    job = slurm.SLURMJob(_SCHEDULER_HERE, name="<worker>", protocol="tls://", security=security, **options)
    return str(job.job_script())


def _check_accepted(script: str) -> None:
    """Let Slurm say at once what it has against the jobs: later dask-jobqueue would only log it."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(["sbatch", "--test-only", file.name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BemsweepError(f"Slurm refuses the jobs: {' '.join(done.stderr.split())}")


@contextmanager
def _certificates() -> Iterator[Security]:
    """Make certificates for this cluster alone: else whoever has an account there could run code as its owner."""
    try:
        made = Security.temporary()
    except ImportError:
        raise BemsweepError("connections need a package that is not installed: pip install 'bemsweep[slurm]'") from None
    shared = Path.home() / ".cache" / "bemsweep-tls"  # the nodes read them there
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        files = {}
        worker = made.get_tls_config_for_role("worker")
        for name in ("ca_file", "cert", "key"):
            files[name] = str(Path(folder) / f"{name}.pem")
            Path(files[name]).write_text(worker[name])
        of_roles = {f"tls_{role}_{part}": files[part] for role in _ROLES for part in ("cert", "key")}
        yield Security(require_encryption=True, tls_ca_file=files["ca_file"], **of_roles)


def _needed(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        told = f"such a cluster needs a package that is not installed: pip install 'bemsweep[{extra}]' ({error})"
        raise BemsweepError(told) from None


# A look at a worker


def first_worker(client: Client, *, within_s: float) -> dict[str, Any]:
    """Wait for a worker, check that it can run studies as a run does before its first variant, and return what it says.

    Parameters
    ----------
    client
        Of the cluster.
    within_s
        How long to wait for it.

    Returns
    -------
    dict
        Its address, threads, engine version, what `bemsweep.preflight.look` tells, and a warning if it has less memory
        than engines take that nobody has measured.

    Raises
    ------
    InfrastructureError
        None has come, or it has no scratch to work in.
    ClusterError
        It has another bemsweep, Python or EnergyPlus than this process, or none.
    """
    until = time.monotonic() + within_s
    while not (threads := client.nthreads()):
        if time.monotonic() > until:
            raise InfrastructureError(f"no worker has come within {within_s:g} s")
        time.sleep(_POLL_S)
    worker = next(iter(threads))
    facts = client.run(look, workers=[worker], on_error="return")
    Workers().take(facts)
    engine, mine = client.run(_engine_version, workers=[worker])[worker], _engine_version()
    if engine != mine:
        raise ClusterError(f"the worker {worker} has {engine} instead of {mine}; {SAME_EVERYWHERE}")
    warning = memory_warning({worker: facts[worker]}, threads, UNKNOWN_ENGINE_BYTES)
    return {"worker": worker, "threads": threads[worker], "engine": engine, **facts[worker], "warning": warning}


def _engine_version() -> str:
    with open_engine() as engine:
        return engine.version
