"""The driver of a storm: ``python -m chaos.run_study SETTINGS`` plans and runs a study, and can be called again.

Ends with the exit status of the command line: 0 all succeeded, 1 some variants failed, 2 bad input, 3 run again to
carry on. It never retries by itself.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

import bemsweep as bs
from bemsweep import driver
from bemsweep.errors import InfrastructureError
from chaos.studies import Work, study_of

_COMMIT_INTERVAL_S = 5.0
"""Short, so that a storm of seconds meets commits."""
_SCALED_EVERY_S = 3.0


def main(path: str) -> int:
    """Plan and run what the settings at `path` say."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("distributed").setLevel(logging.ERROR)
    settings: dict[str, Any] = json.loads(Path(path).read_text())
    work = Work(**settings["work"])
    driver.COMMIT_INTERVAL_S = _COMMIT_INTERVAL_S
    with ExitStack() as stack:
        client = None
        if settings["scheduler"]:
            client = stack.enter_context(Client(settings["scheduler"], timeout="60s", set_as_default=False))
        elif settings["is_adaptive"]:
            client = stack.enter_context(_breathing_cluster(Path(settings["closings"])))
        plan = bs.plan(study_of(work), store=settings["store"], engine=work.opened_engine())
        run = bs.run(plan, client=client)
    return 1 if run.progress.failed else 0


class _Closings(SchedulerPlugin):
    """Writes what the scheduler hears of its workers, a line for each, with the worker's process.

    ``heard`` that a run of it has ended, ``again`` where that run is to be done once more, ``closed``.
    """

    name = "closings"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._processes = dict[str, int]()
        """By the worker's address."""
        self._ended = dict[Any, int]()
        """Keys of variants -> the process that told of it."""

    def add_worker(self, scheduler: Any, worker: str) -> None:
        self._processes[worker] = scheduler.workers[worker].pid

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        if not isinstance(key, tuple):  # as the keys of variants are
            return
        if finish == "memory":
            self._ended[key] = self._processes[kwargs["worker"]]
            self._note("heard", self._ended[key])
        elif finish == "processing" and key in self._ended:
            self._note("again", self._ended.pop(key))

    def remove_worker(self, scheduler: Any, worker: str, **kwargs: Any) -> None:
        self._note("closed", self._processes[worker])

    def _note(self, word: str, process: int) -> None:
        with self._path.open("a") as file:
            file.write(f"{word} {process}\n")


@contextmanager
def _breathing_cluster(closings: Path) -> Iterator[Client]:
    """Give a client of a cluster that is told again and again to have one worker at most, then four.

    Which of its workers close is its own affair; what that costs is written to `closings`.
    """
    ended = threading.Event()
    with (
        LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):

        def breathe() -> None:
            most = 4
            while not ended.wait(_SCALED_EVERY_S):
                most = 5 - most
                cluster.adapt(minimum=1, maximum=most, interval="200ms", wait_count=1)

        client.register_plugin(_Closings(closings))
        cluster.adapt(minimum=1, maximum=4, interval="200ms", wait_count=1)
        thread = threading.Thread(target=breathe)
        thread.start()
        try:
            yield client
        finally:
            ended.set()
            thread.join()
            client.unregister_scheduler_plugin(_Closings.name)  # those that end with the run are not taken away


if __name__ == "__main__":
    try:
        status = main(sys.argv[1])
    except InfrastructureError as error:
        logging.getLogger("chaos").warning("gave up: %s", error)
        status = 3
    sys.exit(status)
