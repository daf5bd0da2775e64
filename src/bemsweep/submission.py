"""Tasks under way on a Dask cluster: what is submitted, to which workers, and what comes back.

Knows Dask and nothing of studies: which variant is run and what its end means is the driver's affair. A task's
arguments and return stay under 2 kB; all that variants share travels once, in a plugin (`bemsweep.worker_tasks`).
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Self

from distributed import Client, Future, KilledWorker, as_completed
from distributed.client import ClosedClientError

from bemsweep.blocks import Packed
from bemsweep.errors import UnfitWorkerError, WorkerLostError
from bemsweep.heartbeat import Running, longest
from bemsweep.roll_call import ALONE_S
from bemsweep.schedulers import check_scheduler, reaching_scheduler
from bemsweep.task import Finished
from bemsweep.verification import Verified
from bemsweep.worker_tasks import ContextPlugin, Submitted, look_first, pack, run_variants, verify, worker_of

__all__ = ["Flight", "plugged_in"]

_log = logging.getLogger(__name__)

LEAST_WINDOW = 500
"""Variants that the scheduler holds at once: enough to keep workers busy, few enough to cost it little."""

_VERIFY_RETRIES = 3
_THREADS_STAY_S = 10.0

_RUNNING_STAYS_S = 2.0
"""How long what the workers told of their runs is taken for new, at least."""

_PAUSES_PER_ASKING = 50
"""How many times as long as asking the scheduler took the next asking waits: it tells of every worker."""

_POLL_S = 0.02
_CLOSE_AGAIN_S = 1.0


@contextmanager
def plugged_in(client: Client, plugin: ContextPlugin) -> Iterator[None]:
    """Have all workers of a cluster, and those that come, know a run while the block lasts.

    Raises
    ------
    SchedulerLostError
        The scheduler does not answer.

    Side effects
    ------------
    Runs whose driver was killed are forgotten, and their engines end.
    """

    def take(run_id: str, owner: str, dask_scheduler: Any = None) -> list[str]:  # defined here to travel by value
        owners = dask_scheduler.task_metadata.setdefault("bemsweep-runs", {})
        dead = [name for name, its_owner in owners.items() if its_owner not in dask_scheduler.clients]
        for name in dead:
            del owners[name]
        owners[run_id] = owner
        return dead

    with reaching_scheduler():
        for dead in client.run_on_scheduler(take, plugin.name, client.id):
            with suppress(ValueError):  # it had ended, but not yet gone
                client.unregister_worker_plugin(dead)
        client.register_plugin(plugin)
    try:
        yield
    finally:
        if client.status == "running":  # else there is nobody left who knows it
            with suppress(OSError, TimeoutError, ClosedClientError):
                client.unregister_worker_plugin(plugin.name)


class Flight:
    """The tasks that are under way: runs of variants, by variant_id, and packings, by number of the block."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._completed = as_completed([], loop=client.loop, with_results=True, raise_errors=False)
        self._answers: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        """Keys that have ended, and how."""
        self._futures: dict[Any, Future[Any]] = {}
        """By key; while a future is held and its worker dies, Dask does its task again."""
        self._keys: dict[str | int, Any] = {}
        self._items: dict[Any, tuple[str | int, ...]] = {}
        """Of each key what its task is to do."""
        self._is_over = threading.Event()
        self._serials = itertools.count()
        """Part of each key, because a key that erred keeps its error."""
        self._tried: set[str] = set()
        """Variants that have failed by the machine's fault."""
        self._faulty: dict[str, set[str]] = {}
        """Of variants the workers on which they failed by the machine's fault."""
        self._bound: dict[Any, frozenset[str]] = {}
        """Of keys the workers, if not all, that may run them."""
        self._workers: frozenset[str] = frozenset()
        self._unfit: set[str] = set()
        """Of them those that can do nothing for the run, until they are closed."""
        self._threads, self._threads_until = 0, 0.0
        self._alone_since = self._alone_told = 0.0
        self._running: tuple[Running, ...] = ()
        self._running_until = time.monotonic() + _RUNNING_STAYS_S
        self.runs: set[str | int] = set()
        """Variants under way."""
        self.packings: set[str | int] = set()
        """Blocks under way."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, name=f"{self._run_id}-answers", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()

    def close_workers(self, workers: Sequence[str]) -> None:
        """Have workers closed that are unfit, and count on them no more; returns at once.

        What they have been given hands itself back, or is run elsewhere. The scheduler keeps a worker that holds a
        result which no other can take, for as long as it does.
        """

        def close() -> None:
            left = set(workers)
            while left:
                with suppress(OSError, ValueError, RuntimeError, TimeoutError, CancelledError):
                    self._client.retire_workers(sorted(left))
                    gone = left - self._client.nthreads().keys()
                    self._unfit -= gone  # another may come to that address
                    left -= gone
                if self._is_over.wait(_CLOSE_AGAIN_S):
                    return

        self._unfit |= set(workers)
        threading.Thread(target=close, name=f"{self._run_id}-closing", daemon=True).start()

    @property
    def count(self) -> int:
        """Number of variants and blocks under way, those included whose answer nobody has taken yet."""
        return len(self._keys)

    def threads(self) -> int:
        """Return how many variants the cluster runs at once, as of the last seconds; workers that are unfit run none.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        check_scheduler(self._client)
        if time.monotonic() > self._threads_until:
            with reaching_scheduler():
                threads = self._client.nthreads()
            self._threads = sum(count for worker, count in threads.items() if worker not in self._unfit)
            self._workers = frozenset(threads)
            for key in [key for key, workers in self._bound.items() if workers.isdisjoint(self._workers)]:
                self._answers.put((key, CancelledError("the workers that were to run it are gone")))
                self._futures.pop(key, None)
                del self._bound[key]
            self._threads_until = time.monotonic() + _THREADS_STAY_S
            self._tell_if_alone()
        return self._threads

    @property
    def workers(self) -> int:
        """Number of workers, as of when `threads` was last asked for."""
        return len(self._workers)

    def _tell_if_alone(self) -> None:
        if self._threads:
            self._alone_since = 0.0
        elif not self._alone_since:
            self._alone_since = self._alone_told = time.monotonic()
        elif time.monotonic() > self._alone_told + ALONE_S:
            _log.warning("the cluster has no workers; waiting for some")
            self._alone_told = time.monotonic()

    def is_deserted(self) -> bool:
        """Return True if the cluster has had no fit worker for some seconds, more than a lost one takes to come back.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        return self.threads() == 0 and time.monotonic() > self._alone_since + _THREADS_STAY_S

    def room(self, together: int = 1) -> int:
        """Return how many variants the scheduler should be given now, if so many go into one task.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        return max(0, max(LEAST_WINDOW, 3 * self.threads()) * together - len(self.runs))

    def running(self) -> tuple[Running, ...]:
        """Return the variants that have been under way for the longest, the longest first.

        What workers told with their last heartbeat, asked for every two seconds, and less often where that costs
        more: the scheduler tells of all its workers at once, 2 kB each.

        Raises
        ------
        InfrastructureError
            The scheduler is gone.
        """
        begin = time.monotonic()
        if self.runs and begin > self._running_until:
            with reaching_scheduler():
                workers = self._client.scheduler_info(n_workers=-1).get("workers", {})
            self._running = longest(
                Running(str(variant), str(at), float(seconds), address)
                for address, worker in workers.items()
                for variant, at, seconds in worker.get("metrics", {}).get(self._run_id, ())
            )
            took = time.monotonic() - begin
            self._running_until = begin + max(_RUNNING_STAYS_S, took * _PAUSES_PER_ASKING)
        return tuple(one for one in self._running if one.variant_id in self.runs)

    def run(self, variants: Sequence[Submitted], *, together: int = 1) -> None:
        """Submit variants, each to workers on which it has not failed by the machine's fault, if there are any.

        Parameters
        ----------
        variants
            What to run.
        together
            How many go into one task; those that have failed before go alone, so that none suffers by another.
        """
        fresh = [one for one in variants if one[0] not in self._tried]
        tried = [one for one in variants if one[0] in self._tried]
        self._submit([fresh[first : first + together] for first in range(0, len(fresh), together)], None)
        self._submit([[one] for one in tried if one[0] not in self._faulty], None)
        for one in (one for one in tried if one[0] in self._faulty):
            self._submit([[one]], sorted(self._workers - self._unfit - self._faulty[one[0]]) or None)

    def _submit(self, tasks: Sequence[Sequence[Submitted]], workers: list[str] | None) -> None:
        if not tasks:
            return
        # A tuple's first part names its group: only of a group do tasks wait on the scheduler. Others are given to
        # workers at once, hundreds to each, and a worker that dies puts all of them under suspicion.
        keys = [(self._run_id, task[0][0], next(self._serials)) for task in tasks]
        with reaching_scheduler():
            futures = self._client.map(
                run_variants,
                tasks,
                run_id=self._run_id,
                key=keys,
                pure=False,
                retries=0,
                workers=workers,  # not preferably: others that are idle would steal them
            )
        for task, future in zip(tasks, futures, strict=True):
            if workers is not None:
                self._bound[future.key] = frozenset(workers)
            variants = tuple(variant for variant, _, _ in task)
            self.runs.update(variants)
            self._follow(variants, future)

    def pack(self, block: int, rows_sha256: str) -> None:
        """Submit the packing of a block, ahead of the variants; see `put_rows`."""
        key = f"pack-{block}:{time.monotonic_ns()}:{self._run_id}"
        with reaching_scheduler():
            future = self._client.submit(pack, block, rows_sha256, self._run_id, key=key, pure=False, priority=10)
        self.packings.add(block)
        self._follow((block,), future)

    def verify(self, blocks: Mapping[int, str], packed: Collection[int], stop: threading.Event) -> Iterator[Verified]:
        """Have workers verify blocks, and yield what they find as it comes.

        Parameters
        ----------
        blocks
            Which, and what `put_rows` returned for each.
        packed
            Those of them that the cube shows.
        stop
            Set it to end early.

        Raises
        ------
        InfrastructureError
            A block could not be verified however often it was tried, or the scheduler is gone.
        """
        futures = self._client.map(
            verify,
            list(blocks),
            list(blocks.values()),
            [block in packed for block in blocks],
            run_id=self._run_id,
            key=[f"verify-{block}:{self._run_id}" for block in blocks],
            pure=False,
            retries=_VERIFY_RETRIES,
        )
        completed = as_completed(futures, loop=self._client.loop, with_results=True, raise_errors=False)
        try:
            while not completed.is_empty() and not stop.is_set():
                check_scheduler(self._client)
                for future, outcome in completed.next_batch(block=False) if completed.has_ready() else ():
                    if future.status != "finished":
                        raise _error(outcome)
                    yield outcome
                stop.wait(_POLL_S)
        finally:
            self._client.cancel(futures)

    def finished(self) -> Iterator[tuple[str | int, Finished | Packed | BaseException]]:
        """Yield what has ended since the last call: a variant or a block, and its answer or its error."""
        while not self._answers.empty():
            key, answer = self._answers.get()
            items = self._items.pop(key, ())
            self._bound.pop(key, None)
            if not items:
                continue  # cancelled meanwhile
            # Not by the future's status: if the answer's worker has died meanwhile, Dask runs the task again.
            for item, outcome in zip(items, _outcomes(answer, len(items)), strict=True):
                self._forget(item)
                if isinstance(item, str) and _is_try(outcome):
                    self._tried.add(item)
                    if worker := worker_of(outcome):
                        self._faulty.setdefault(item, set()).add(worker)
                yield item, outcome

    def _listen(self) -> None:
        """Take answers as they come, whatever the run is at: what is held is done again when its worker dies."""
        while not self._is_over.wait(_POLL_S):
            if self._completed.has_ready():
                self._take_answers()

    def _take_answers(self) -> None:
        for future, outcome in self._completed.next_batch(block=False):
            self._answers.put((future.key, outcome))
            self._futures.pop(future.key, None)

    def look_first(self) -> None:
        """Have the workers look for a variant's record before they run it, from about now on.

        Returns at once: a worker that does not answer must not hold up the run.
        """

        def ask() -> None:
            with suppress(OSError, ValueError, RuntimeError, TimeoutError, CancelledError):  # it only saves work
                self._client.run(look_first, self._run_id, on_error="ignore")

        threading.Thread(target=ask, name=f"{self._run_id}-look-first", daemon=True).start()

    def cancel_runs(self) -> list[str]:
        """Cancel all variants under way and return them; those that run are killed by the plugin."""
        variants = [str(variant) for variant in self.runs]
        held = [self._futures.pop(self._keys[variant], None) for variant in variants]
        with reaching_scheduler():
            self._client.cancel([future for future in held if future is not None], force=True)
        for variant in variants:
            self._items.pop(self._keys[variant], None)
        for variant in variants:
            self._forget(variant)
        return variants

    def _follow(self, items: tuple[str | int, ...], future: Future[Any]) -> None:
        self._items[future.key] = items
        self._keys.update(dict.fromkeys(items, future.key))
        self._futures[future.key] = future
        self._completed.add(future)

    def _forget(self, item: str | int) -> None:
        self._keys.pop(item, None)
        self.runs.discard(item)
        self.packings.discard(item)


def _is_try(outcome: Any) -> bool:
    """Return True if a variant has failed by the machine's fault, and not for its worker being unfit."""
    return isinstance(outcome, BaseException) and not isinstance(outcome, UnfitWorkerError)


def _outcomes(answer: Any, count: int) -> Sequence[Finished | Packed | BaseException]:
    """Return what a task's answer says of each of its items."""
    if isinstance(answer, list):
        return answer
    return [answer if isinstance(answer, Packed) else _error(answer)] * count


def _error(outcome: Any) -> BaseException:
    """Return the exception of what `as_completed` hands out for a failed future."""
    if isinstance(outcome, tuple) and len(outcome) == 3:
        outcome = outcome[1]
    if isinstance(outcome, (KilledWorker, CancelledError)):
        return WorkerLostError(" ".join(str(outcome).split()) or "the worker was lost")
    return outcome if isinstance(outcome, BaseException) else WorkerLostError(f"the task was lost: {outcome!r}")
