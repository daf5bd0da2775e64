"""A Dask cluster of this machine: where variants run if the user brings no client and names no other cluster."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, LocalCluster, Worker, WorkerPlugin, get_client

from bemsweep.cluster_settings import SCHEDULER_SETTINGS
from bemsweep.cores import usable_cores
from bemsweep.scratch import open_scratch

__all__ = ["current_client", "open_local_client"]


def current_client() -> Client | None:
    """Return the Dask client of this process, or None."""
    try:
        return get_client()
    except ValueError:
        return None


class _QuietWorkers:
    """Keeps Dask from printing the traceback of every try that fails: the driver tells what came of it.

    As long as one of several clusters is there; each may end before those that began before it.
    """

    def __init__(self) -> None:
        self._logger = logging.getLogger("distributed.worker")
        self._level, self._count = 0, 0

    def __enter__(self) -> None:
        with _CHANGING:
            if not self._count:
                self._level = self._logger.level
                self._logger.setLevel(logging.CRITICAL)
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with _CHANGING:
            self._count -= 1
            if not self._count:
                self._logger.setLevel(self._level)


_CHANGING = threading.Lock()
"""Held while what the whole process has in common is changed: several runs may begin at once."""
_QUIET = _QuietWorkers()


class _QuietProcess(WorkerPlugin):
    """Does the same in a worker process, and in the one that takes its place."""

    name = "bemsweep-quiet"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - as Dask calls it
        logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)


def _cluster(cores: int, processes: int | None, folder: Path) -> LocalCluster:
    # The settings are read by the constructor, and gone after it: another run may end in any order.
    settings = {**SCHEDULER_SETTINGS, "temporary-directory": str(folder)}
    if processes is None:  # a worker in this process is never lost alone: it has only slept if the whole machine has
        settings["distributed.scheduler.worker-ttl"] = None
    with _CHANGING, dask.config.set(settings):
        return LocalCluster(
            n_workers=processes or 1,
            threads_per_worker=max(1, cores // (processes or 1)),
            processes=processes is not None,
            memory_limit=None,  # Dask would see this process's memory, not the engines'
            host="127.0.0.1" if processes is not None else None,
            dashboard_address="127.0.0.1:0",  # any free port, for nobody but this machine
            worker_dashboard_address="127.0.0.1:0",
        )


@contextmanager
def open_local_client(
    cores: int | None = None, *, processes: int | None = None, set_as_default: bool = False
) -> Iterator[Client]:
    """Give a client of a cluster on this machine, which ends with the block.

    Without `processes` scheduler and worker are threads of this process: it starts at once and needs no
    ``if __name__ == "__main__"`` in a script. Engines are processes of their own all the same.

    Parameters
    ----------
    cores
        How many engines run at once; None for all cores that this process may use.
    processes
        How many worker processes share them; None for this one.
    set_as_default
        True for the client to be this process's current one.
    """
    with (
        _QUIET,
        open_scratch() as folder,  # Dask leaves its own behind
        _cluster(cores or usable_cores(), processes, folder) as cluster,
        Client(cluster, set_as_default=set_as_default) as client,
    ):
        if processes is not None:
            client.register_plugin(_QuietProcess())
        yield client
