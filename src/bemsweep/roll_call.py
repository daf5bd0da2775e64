"""What a cluster's workers are asked before a run: who is there, what each has, and whether all share the store.

A worker that does not answer what it has holds up no run; what is made of the answers is said elsewhere
(`bemsweep.preflight`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from distributed import Client, KilledWorker, get_worker

from bemsweep.errors import Problem, StudyError, UnfitWorkerError
from bemsweep.preflight import Facts, look
from bemsweep.redaction import redacted
from bemsweep.schedulers import check_scheduler, reaching_scheduler
from bemsweep.store import Store
from bemsweep.worker_tasks import workplace_of

__all__ = ["ALONE_S", "RollCall"]

_log = logging.getLogger(__name__)

ALONE_S = 30.0
"""So long without workers is worth a word."""
_ALONE_POLL_S = 0.2
_ASKING_S = 60.0
"""So long workers may take to answer before the run: an engine starts in half a second."""
_POLL_S = 0.02


class RollCall:
    """The questions that the workers of a cluster are asked before a run.

    Parameters
    ----------
    client
        Of the cluster.
    run_id
        The run's.
    stop
        Set if the run is to end, maybe before there is any worker; then nothing is waited for any more.
    """

    def __init__(self, client: Client, run_id: str, stop: threading.Event) -> None:
        self._client, self._run_id, self._stop = client, run_id, stop

    def wait_for_workers(self) -> Mapping[str, int]:
        """Return the threads of each worker, once there is one; none if the run is to end before.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        told_at = -ALONE_S
        while not self._stop.is_set():
            check_scheduler(self._client)
            if threads := self._threads_now():
                return threads
            if time.monotonic() > told_at + ALONE_S:
                _log.warning("the cluster has no workers; waiting for some")
                told_at = time.monotonic()
            self._stop.wait(_ALONE_POLL_S)
        return {}

    def _threads_now(self) -> Mapping[str, int]:
        """Return the threads of each worker that is there."""
        with reaching_scheduler():
            threads: Mapping[str, int] = self._client.nthreads()
        return threads

    def look(self) -> Mapping[str, Facts | BaseException]:
        """Return what each worker tells of itself (`bemsweep.preflight.look`), or why it cannot.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        return self._ask(_look)

    def open_engines(self) -> Mapping[str, str]:
        """Have the engine opened on each worker; return why that worker is unfit, ``""`` if it is not.

        One that cannot say for another reason is left to the tasks.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        answers = self._ask(_open_engine, self._run_id)
        return {worker: answer if isinstance(answer, str) else "" for worker, answer in answers.items()}

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Run a function on all workers at once; return answers and errors, but none of workers that are lost.

        One that does not answer must hold up neither the run nor its end.
        """
        answers: dict[str, Any] = {}
        workers = list(self._threads_now())

        async def ask_one(worker: str) -> None:  # in the client's loop, where its methods are coroutines
            with suppress(OSError, ValueError, RuntimeError, TimeoutError, CancelledError):
                answers.update(await self._client.run(function, *arguments, workers=[worker], on_error="return"))

        async def ask_all() -> None:
            await asyncio.gather(*map(ask_one, workers))

        def ask() -> None:
            with suppress(OSError, ValueError, RuntimeError, TimeoutError, CancelledError):
                self._client.sync(ask_all)

        thread = threading.Thread(target=ask, name=f"{self._run_id}-asking", daemon=True)
        thread.start()
        until = time.monotonic() + _ASKING_S
        while thread.is_alive() and not self._stop.is_set() and time.monotonic() < until:
            check_scheduler(self._client)
            thread.join(_POLL_S)
        silent = [worker for worker in workers if worker not in answers]
        if silent and thread.is_alive() and not self._stop.is_set():
            told = "%d of %d workers, such as %s, have not answered for %.0f s: the run begins without a check of them"
            _log.warning(told, len(silent), len(workers), silent[0], _ASKING_S)
        return {worker: one for worker, one in answers.copy().items() if not isinstance(one, (OSError, TimeoutError))}

    def check_shared(self, store: Store) -> None:
        """Have a worker write a probe and read it here: a store that they do not share would lose every record.

        Parameters
        ----------
        store
            As this process sees it.

        Raises
        ------
        StudyError
            The probe did not arrive.
        StoreError
            The worker or this process cannot reach the store.
        """
        name = f"probe-{self._run_id}"
        while (worker := self._probed(name)) is None:
            if self._stop.is_set():
                return
        if store.get(name) is None:
            self._client.run(_delete_probe, name, self._run_id, workers=[worker])
            told = f"the workers do not share the store {redacted(store.url)}: what one wrote there cannot be read here"
            raise StudyError([Problem(f"{told}; give a store that all machines and processes reach", "store")])
        store.delete(name)

    def _probed(self, name: str) -> str | None:
        """Return the worker that has written a probe; None if it was lost meanwhile, or the run is to end."""
        key = f"{name}-{time.monotonic_ns()}"
        future = self._client.submit(_write_probe, name, self._run_id, key=key, pure=False, retries=0)
        while not future.done() and not self._stop.is_set():
            check_scheduler(self._client)
            self._stop.wait(_POLL_S)
        if self._stop.is_set():
            future.cancel()
            return None
        try:
            return str(future.result())
        except (KilledWorker, CancelledError):
            return None


async def _look(dask_worker: Any) -> Facts:  # noqa: ARG001 - Dask's signature
    return await asyncio.to_thread(look)  # a disk may be slow, and the worker has other things to do


async def _open_engine(run_id: str, dask_worker: Any) -> str:
    """Open the worker's engine, which stays warm; return why the worker is unfit, ``""`` if it is not."""

    def opened() -> str:
        try:
            with workplace_of(run_id, dask_worker).engine():
                return ""
        except UnfitWorkerError as error:
            return str(error)

    return await asyncio.to_thread(opened)


def _write_probe(name: str, run_id: str) -> str:
    workplace_of(run_id).context.store.put(name, b"bemsweep")  # without patience: at the start a fault is told at once
    return str(get_worker().address)


def _delete_probe(name: str, run_id: str, dask_worker: Any) -> None:
    workplace_of(run_id, dask_worker).store.delete(name)
