"""Tasks on a Dask cluster: what reaches the workers, and what comes back.

Knows Dask and nothing of studies: which variant is run and what its end means is the driver's affair.
A task's arguments and return stay under 2 kB; all that variants share travels once, in a plugin.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Self

import cloudpickle
from distributed import Client, Future, KilledWorker, WorkerPlugin, as_completed, get_worker
from distributed.client import ClosedClientError

from bemsweep.blocks import Packed, pack_block, verify_block
from bemsweep.errors import (
    InfrastructureError,
    Problem,
    SchedulerLostError,
    StudyError,
    UnfitWorkerError,
    WorkerLostError,
)
from bemsweep.heartbeat import Running, longest
from bemsweep.parts import Value
from bemsweep.preflight import Facts, look, own_versions, why_other_versions
from bemsweep.redaction import redacted
from bemsweep.schedulers import reaching_scheduler
from bemsweep.store import Store
from bemsweep.task import Context, Finished, Workplace, run_variant
from bemsweep.verification import Verified

__all__ = ["ContextPlugin", "Flight", "plugged_in", "unfit_worker"]

_log = logging.getLogger(__name__)

PROFILERS = frozenset({"profile", "profile-cycle"})
"""What makes a worker look at all threads' frames every 10 ms, in which CPython 3.11 can lock itself up for good
(python/cpython#106883): the run would hang."""

LEAST_WINDOW = 500
"""Variants that the scheduler holds at once: enough to keep workers busy, few enough to cost it little."""

_VERIFY_RETRIES = 3
_THREADS_STAY_S = 10.0

_RUNNING_STAYS_S = 2.0
"""How long what the workers told of their runs is taken for new, at least."""

_PAUSES_PER_ASKING = 50
"""How many times as long as asking the scheduler took the next asking waits: it tells of every worker."""

_ALONE_S = 30.0
"""So long without workers is worth a word."""
_ALONE_POLL_S = 0.2
_ASKING_S = 60.0
"""So long workers may take to answer before the run: an engine starts in half a second."""
_WORKER = "bemsweep_worker"
"""Attribute of a machine's fault: whose it is."""
_POLL_S = 0.02
_CLOSE_AGAIN_S = 1.0

Submitted = tuple[str, Sequence[Value], int]
"""A variant to run: its variant_id, its row, and how often the engine has died under it."""


class ContextPlugin(WorkerPlugin):
    """Brings a run's context to each worker once, and ends its engine with the run."""

    def __init__(self, run_id: str, context: Context) -> None:
        self.name = run_id
        self.workplace: Workplace | None = None
        self._context = context

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions of modules beside the study travel by value, which Dask's own pickling would not do.
        return _plugin, (self.name, dict(own_versions()), cloudpickle.dumps(self._context))

    def setup(self, worker: Any) -> None:
        """Make the worker's side of the run; the engine is opened by the first variant, or before by a check.

        Side effects
        ------------
        On Python 3.11 the worker's statistical profiler is off from now on.
        """
        self.workplace = Workplace(self._context, str(worker.name))
        worker.metrics[self.name] = self._running
        if sys.version_info < (3, 12):
            for name in PROFILERS & worker.periodic_callbacks.keys():
                worker.periodic_callbacks[name].stop()

    def _running(self, worker: Any) -> list[tuple[str, str, float]]:  # noqa: ARG002 - Dask's signature
        """Return what goes to the scheduler with each of the worker's heartbeats."""
        running = () if self.workplace is None else self.workplace.running()
        return [(one.variant_id, one.at, round(one.seconds, 1)) for one in running]

    def teardown(self, worker: Any) -> None:
        """End the engine and its runs."""
        worker.metrics.pop(self.name, None)
        if self.workplace is not None:
            self.workplace.close()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Kill the run of a task that was cancelled while it ran: Dask leaves it running."""
        if start == "executing" and finish in ("cancelled", "released") and self.workplace is not None:
            # Of several variants of one task those that follow are over in a moment.
            self.workplace.kill(str(key[1]) if isinstance(key, tuple) else "")


class _UnfitPlugin(WorkerPlugin):
    """What a worker with other versions has in place of a run's context, which may mean something else there."""

    def __init__(self, run_id: str, why: str) -> None:
        self.name, self.why = run_id, why


def _plugin(run_id: str, versions: Mapping[str, str], pickled: bytes) -> WorkerPlugin:
    if why := why_other_versions(own_versions(), instead_of=versions):
        return _UnfitPlugin(run_id, why)
    return ContextPlugin(run_id, pickle.loads(pickled))  # noqa: S301 - from the client, as all that Dask brings


def _workplace(run_id: str, worker: Any = None) -> Workplace:
    worker = worker or get_worker()
    plugin = worker.plugins.get(run_id)
    if isinstance(plugin, ContextPlugin) and plugin.workplace is not None:
        return plugin.workplace
    if isinstance(plugin, _UnfitPlugin):
        raise _of_worker(UnfitWorkerError(plugin.why), worker)
    raise InfrastructureError("this worker does not know the run: it has ended")


def _of_worker(error: InfrastructureError, worker: Any) -> InfrastructureError:
    """Return an error with the worker's address, which travels with it."""
    setattr(error, _WORKER, str(worker.address))
    return error


def _run_variants(variants: Sequence[Submitted], run_id: str) -> list[Finished | InfrastructureError]:
    """Run the variants of a task one after the other; a fault of one is its answer, and the others follow."""
    answers: list[Finished | InfrastructureError] = []
    for variant_id, row, deaths in variants:
        try:
            answers.append(run_variant(variant_id, row, _workplace(run_id), deaths=deaths))
        except InfrastructureError as error:
            answers.append(_of_worker(error, get_worker()))
    return answers


def _pack_block(block: int, rows_sha256: str, run_id: str) -> Packed:
    return pack_block(block, rows_sha256, _workplace(run_id))


def _verify_block(block: int, rows_sha256: str, is_packed: bool, run_id: str) -> Verified:
    return verify_block(block, rows_sha256, is_packed, _workplace(run_id))


def _write_probe(name: str, run_id: str) -> str:
    _workplace(run_id).context.store.put(name, b"bemsweep")  # without patience: at the start a fault is told at once
    return str(get_worker().address)


async def _look(dask_worker: Any) -> Facts:  # noqa: ARG001 - Dask's signature
    return await asyncio.to_thread(look)  # a disk may be slow, and the worker has other things to do


async def _open_engine(run_id: str, dask_worker: Any) -> str:
    """Open the worker's engine, which stays warm; return why the worker is unfit, ``""`` if it is not."""

    def opened() -> str:
        try:
            with _workplace(run_id, dask_worker).engine():
                return ""
        except UnfitWorkerError as error:
            return str(error)

    return await asyncio.to_thread(opened)


def _look_first(run_id: str, dask_worker: Any) -> None:
    dask_worker.plugins[run_id].workplace.looks_first = True


def _delete_probe(name: str, run_id: str, dask_worker: Any) -> None:
    dask_worker.plugins[run_id].workplace.store.delete(name)


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

    def wait_for_workers(self, stop: threading.Event) -> Mapping[str, int]:
        """Return the threads of each worker, once there is one; none if the run is to end before.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        told_at = -_ALONE_S
        while not stop.is_set():
            self.check_scheduler()
            if threads := self._threads_now():
                return threads
            if time.monotonic() > told_at + _ALONE_S:
                _log.warning("the cluster has no workers; waiting for some")
                told_at = time.monotonic()
            stop.wait(_ALONE_POLL_S)
        return {}

    def _threads_now(self) -> Mapping[str, int]:
        """Return the threads of each worker that is there."""
        with reaching_scheduler():
            threads: Mapping[str, int] = self._client.nthreads()
        return threads

    def look(self, stop: threading.Event) -> Mapping[str, Facts | BaseException]:
        """Return what each worker tells of itself (`bemsweep.preflight.look`), or why it cannot.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        return self._ask(_look, stop=stop)

    def open_engines(self, stop: threading.Event) -> Mapping[str, str]:
        """Have the engine opened on each worker; return why that worker is unfit, ``""`` if it is not.

        One that cannot say for another reason is left to the tasks.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        answers = self._ask(_open_engine, self._run_id, stop=stop)
        return {worker: answer if isinstance(answer, str) else "" for worker, answer in answers.items()}

    def _ask(self, function: Callable[..., Any], *arguments: Any, stop: threading.Event) -> dict[str, Any]:
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
        while thread.is_alive() and not stop.is_set() and time.monotonic() < until:
            self.check_scheduler()
            thread.join(_POLL_S)
        silent = [worker for worker in workers if worker not in answers]
        if silent and thread.is_alive() and not stop.is_set():
            told = "%d of %d workers, such as %s, have not answered for %.0f s: the run begins without a check of them"
            _log.warning(told, len(silent), len(workers), silent[0], _ASKING_S)
        return {worker: one for worker, one in answers.copy().items() if not isinstance(one, (OSError, TimeoutError))}

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

    def check_shared(self, store: Store, stop: threading.Event) -> None:
        """Have a worker write a probe and read it here: a store that they do not share would lose every record.

        Parameters
        ----------
        store
            As this process sees it.
        stop
            Set if the run is to end, maybe before there is any worker.

        Raises
        ------
        StudyError
            The probe did not arrive.
        StoreError
            The worker or this process cannot reach the store.
        """
        name = f"probe-{self._run_id}"
        while (worker := self._probed(name, stop)) is None:
            if stop.is_set():
                return
        if store.get(name) is None:
            self._client.run(_delete_probe, name, self._run_id, workers=[worker])
            told = f"the workers do not share the store {redacted(store.url)}: what one wrote there cannot be read here"
            raise StudyError([Problem(f"{told}; give a store that all machines and processes reach", "store")])
        store.delete(name)

    def _probed(self, name: str, stop: threading.Event) -> str | None:
        """Return the worker that has written a probe; None if it was lost meanwhile, or the run is to end."""
        key = f"{name}-{time.monotonic_ns()}"
        future = self._client.submit(_write_probe, name, self._run_id, key=key, pure=False, retries=0)
        while not future.done() and not stop.is_set():
            self.check_scheduler()
            stop.wait(_POLL_S)
        if stop.is_set():
            future.cancel()
            return None
        try:
            return str(future.result())
        except (KilledWorker, CancelledError):
            return None

    @property
    def count(self) -> int:
        """Number of variants and blocks under way, those included whose answer nobody has taken yet."""
        return len(self._keys)

    def check_scheduler(self) -> None:
        """Make sure that the scheduler is there.

        Raises
        ------
        SchedulerLostError
            It is gone.
        """
        if self._client.status != "running":
            raise SchedulerLostError(f"lost the Dask scheduler ({self._client.status}): run again to carry on")

    def threads(self) -> int:
        """Return how many variants the cluster runs at once, as of the last seconds; workers that are unfit run none.

        Raises
        ------
        SchedulerLostError
            The scheduler is gone.
        """
        self.check_scheduler()
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
        elif time.monotonic() > self._alone_told + _ALONE_S:
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
                _run_variants,
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
            future = self._client.submit(
                _pack_block, block, rows_sha256, self._run_id, key=key, pure=False, priority=10
            )
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
            _verify_block,
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
                self.check_scheduler()
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
                    if worker := getattr(outcome, _WORKER, ""):
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
                self._client.run(_look_first, self._run_id, on_error="ignore")

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


def unfit_worker(error: UnfitWorkerError) -> str:
    """Return the address of the worker that an error tells of."""
    return str(getattr(error, _WORKER, "an unknown worker"))


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
