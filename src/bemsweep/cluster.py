"""Where variants run when the user brings no Dask client: all cores of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster, get_client

__all__ = ["current_client", "open_local_client"]

_THREADS_PER_WORKER = 8
"""A worker's own Python work is small beside the engine's; beyond this its interpreter lock would tell."""

_SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,  # 1.1 puts a neighbour's variant under suspicion
    "distributed.scheduler.allowed-failures": 10,  # a lost worker condemns no variant; the driver counts tries
    "distributed.worker.daemon": False,
}


def current_client() -> Client | None:
    """Return the Dask client of this process, or None."""
    try:
        return get_client()
    except ValueError:
        return None


@contextmanager
def open_local_client(cores: int | None = None) -> Iterator[Client]:
    """Give a client of a cluster on this machine, which ends with the block.

    Parameters
    ----------
    cores
        How many engines run at once; None for all cores that this process may use.
    """
    cores = cores or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores or os.cpu_count() or 1
    workers = -(-cores // _THREADS_PER_WORKER)
    with (
        dask.config.set(_SETTINGS),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=-(-cores // workers),
            memory_limit=None,  # Dask sees the worker's memory, not the engine's
            dashboard_address=None,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
