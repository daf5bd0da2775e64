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
            client = stack.enter_context(_breathing_cluster(Path(settings["closed"])))
        plan = bs.plan(study_of(work), store=settings["store"], engine=work.opened_engine())
        run = bs.run(plan, client=client)
    return 1 if run.progress.failed else 0


@contextmanager
def _breathing_cluster(closed: Path) -> Iterator[Client]:
    """Give a client of a cluster that is told again and again to have one worker at most, then four.

    How many workers that closes is written to `closed`, for each of them had a run that is done again elsewhere.
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
                if most == 1:
                    with closed.open("a") as file:
                        file.write(f"{max(0, len(cluster.workers) - 1)}\n")
                cluster.adapt(minimum=1, maximum=most, interval="200ms", wait_count=1)

        cluster.adapt(minimum=1, maximum=4, interval="200ms", wait_count=1)
        thread = threading.Thread(target=breathe)
        thread.start()
        try:
            yield client
        finally:
            ended.set()
            thread.join()


if __name__ == "__main__":
    try:
        status = main(sys.argv[1])
    except InfrastructureError as error:
        logging.getLogger("chaos").warning("gave up: %s", error)
        status = 3
    sys.exit(status)
