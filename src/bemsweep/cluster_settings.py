"""What a cluster file becomes: the very keyword arguments by which Coiled and dask-jobqueue are called.

Decides every one of them, so that a dry run shows what a start submits. Never imports either, and starts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bemsweep.cluster_file import Coiled, Slurm

__all__ = ["SCHEDULER_SETTINGS", "coiled_arguments", "run_tags", "slurm_arguments"]

SCHEDULER_SETTINGS: Mapping[str, Any] = {
    "distributed.scheduler.worker-saturation": 1.0,  # 1.1 puts a neighbour's variant under suspicion
    "distributed.scheduler.allowed-failures": 10,  # the driver counts tries, and condemns no innocent
    "distributed.worker.profile.enabled": False,  # see bemsweep.worker_tasks.PROFILERS
    "distributed.admin.system-monitor.gil.enabled": False,  # coiled brings what looks every ms, and warns if it cannot
}
"""Dask's configuration while a cluster of bemsweep's own is made."""

_SPOT: Mapping[bool | str, str] = {False: "on-demand", True: "spot", "with_fallback": "spot_with_fallback"}
_NO_TAG = re.compile(r"[^\w .:/=+@-]")


def run_tags(study: str, began: str) -> dict[str, str]:
    """Return the tags that say whose machines these are.

    Parameters
    ----------
    study
        The study's name.
    began
        When its run began, which tells it from other runs.
    """
    return {"bemsweep-study": _NO_TAG.sub("_", study), "bemsweep-run": began}


def coiled_arguments(
    config: Coiled, *, region: str | None = None, tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the keyword arguments of ``coiled.Cluster``.

    Parameters
    ----------
    config
        What the file says.
    region
        Of the store's bucket, for a file that names none.
    tags
        Those of the run; the file's own win.

    Examples
    --------
    >>> config = Coiled(workers={"min": 2, "max": 40}, vm_types=["c7a.xlarge"])
    >>> made = coiled_arguments(config, region="eu-west-1")
    >>> made["n_workers"], made["worker_options"], made["region"]
    ([2, 40], {'nthreads': 4}, 'eu-west-1')
    """
    workers = config.workers
    optional = {
        "region": config.region or region,
        "workspace": config.workspace,
        "cluster_timeout": config.cluster_timeout,
    }
    return {
        "n_workers": workers.max if workers.min == workers.max else [workers.min, workers.max],
        "worker_vm_types": list(config.vm_types),
        "worker_options": {"nthreads": config.threads_each},
        "spot_policy": _SPOT[config.spot],
        "allow_cross_zone": True,  # hardly anything travels between workers, and more zones have more machines
        "arm": False,  # the engine's wheel is for x86-64
        "idle_timeout": config.idle_timeout,
        "no_client_timeout": config.no_client_timeout,
        "shutdown_on_close": True,
        "wait_for_workers": min(1, workers.min),  # a run begins with the first
        "show_widget": False,
        "tags": {**(tags or {}), **config.tags},
        **{name: value for name, value in optional.items() if value is not None},
    }


def slurm_arguments(config: Slurm, *, study: str = "") -> dict[str, Any]:
    """Return the keyword arguments of ``dask_jobqueue.SLURMCluster``, but for the certificates of its connections.

    Parameters
    ----------
    config
        What the file says.
    study
        The study's name, for the jobs' own.

    Examples
    --------
    >>> config = Slurm(jobs=4, cores=8, memory="8 GiB", walltime="02:00:00", scratch="$TMPDIR")
    >>> made = slurm_arguments(config, study="office")
    >>> made["job_name"], made["job_script_prologue"]
    ('bemsweep-office', ['export BEMSWEEP_SCRATCH=$TMPDIR', 'mkdir -p $BEMSWEEP_SCRATCH'])
    """
    scratch = []
    if config.scratch is not None:
        scratch = [f"export BEMSWEEP_SCRATCH={config.scratch}", "mkdir -p $BEMSWEEP_SCRATCH"]
    optional = {
        "queue": config.partition,
        "account": config.account,
        "interface": config.interface,
        "local_directory": config.scratch,
    }
    return {
        "cores": config.cores,
        "processes": 1,  # one worker for each job: its engines share a host
        "memory": config.memory,
        "walltime": config.walltime,
        "job_name": re.sub(r"[^\w.-]", "_", f"bemsweep-{study}".rstrip("-")),
        "job_script_prologue": [*config.setup, *scratch],
        "nanny": False,  # it would start a lost worker again and hide the loss; a new job replaces it
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},  # for nobody but this machine
        **{name: value for name, value in optional.items() if value is not None},
    }
