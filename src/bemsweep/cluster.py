"""Where variants run when the user brings no Dask client: all cores of this machine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, LocalCluster, get_client

from bemsweep.cores import usable_cores
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


def _cluster(cores: int, folder: Path) -> LocalCluster:
    # The settings are read by the constructor, and gone after it: another run may end in any order.
    with _CHANGING, dask.config.set({**_SETTINGS, "temporary-directory": str(folder)}):
        return LocalCluster(
            n_workers=1,
            threads_per_worker=cores,
            processes=False,
            memory_limit=None,  # Dask would see this process's memory, not the engines'
            dashboard_address="127.0.0.1:0",  # any free port, for nobody but this machine
            worker_dashboard_address="127.0.0.1:0",
        )


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
    with (
        _QUIET,
        open_scratch() as folder,  # Dask leaves its own behind
        _cluster(cores or usable_cores(), folder) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
