"""Where variants run when the user brings no Dask client: all cores of this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster, get_client

from bemsweep.scratch import open_scratch

__all__ = ["current_client", "open_local_client"]

_SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,  # 1.1 puts a neighbour's variant under suspicion
    "distributed.scheduler.allowed-failures": 10,  # the driver counts tries, and condemns no innocent
    "distributed.worker.profile.enabled": False,  # see bemsweep.submission.PROFILERS
}


def current_client() -> Client | None:
    """Return the Dask client of this process, or None."""
    try:
        return get_client()
    except ValueError:
        return None


@contextmanager
def _quiet_worker() -> Iterator[None]:
    """Keep Dask from printing the traceback of every try that fails: the driver tells what came of it."""
    logger = logging.getLogger("distributed.worker")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def open_local_client(cores: int | None = None) -> Iterator[Client]:
    """Give a client of a cluster on this machine, which ends with the block.

    Scheduler and worker are threads of this process: it starts at once and needs no
    ``if __name__ == "__main__"`` in a script. Engines are processes of their own all the same.

    Parameters
    ----------
    cores
        How many engines run at once; None for all cores that this process may use.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with (
        _quiet_worker(),
        open_scratch() as folder,  # Dask leaves its own behind
        dask.config.set({**_SETTINGS, "temporary-directory": str(folder)}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=cores or usable or 1,
            processes=False,
            memory_limit=None,  # Dask would see this process's memory, not the engines'
            dashboard_address="127.0.0.1:0",  # any free port, for nobody but this machine
            worker_dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
