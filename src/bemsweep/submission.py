"""Tasks on a Dask cluster: what reaches the workers, and what comes back.

Knows Dask and nothing of studies: which variant is run and what its end means is the driver's affair.
A task's arguments and return stay under 2 kB; all that variants share travels once, in a plugin.
"""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

import cloudpickle
from distributed import Client, Future, WorkerPlugin, as_completed, get_worker

from bemsweep.errors import InfrastructureError, Problem, StudyError
from bemsweep.parts import Value
from bemsweep.redaction import redacted
from bemsweep.store import Store
from bemsweep.task import Context, Finished, Packed, Workplace, pack_block, run_variant

__all__ = ["ContextPlugin", "Flight"]

PROFILERS = frozenset({"profile", "profile-cycle"})
"""What makes a worker look at all threads' frames every 10 ms, in which CPython 3.11 can lock itself up for good
(python/cpython#106883): the run would hang."""

LEAST_WINDOW = 500
"""Variants that the scheduler holds at once: enough to keep workers busy, few enough to cost it little."""

_THREADS_STAY_S = 10.0
_POLL_S = 0.02


class ContextPlugin(WorkerPlugin):
    """Brings a run's context to each worker once, and ends its engine with the run."""

    def __init__(self, run_id: str, context: Context) -> None:
        self.name = run_id
        self.workplace: Workplace | None = None
        self._context = context

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions of modules beside the study travel by value, which Dask's own pickling would not do.
        return _plugin, (cloudpickle.dumps((self.name, self._context)),)

    def setup(self, worker: Any) -> None:
        """Make the worker's side of the run; the engine is opened by the first variant.

        Side effects
        ------------
        On Python 3.11 the worker's statistical profiler is off from now on.
        """
        self.workplace = Workplace(self._context)
        if sys.version_info < (3, 12):
            for name in PROFILERS & worker.periodic_callbacks.keys():
                worker.periodic_callbacks[name].stop()

    def teardown(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """End the engine and its runs."""
        if self.workplace is not None:
            self.workplace.close()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Kill the run of a task that was cancelled while it ran: Dask leaves it running."""
        if start == "executing" and finish in ("cancelled", "released") and self.workplace is not None:
            self.workplace.kill(str(key).partition(":")[0])


def _plugin(pickled: bytes) -> ContextPlugin:
    return ContextPlugin(*pickle.loads(pickled))  # noqa: S301 - from the client, as all that Dask brings


def _workplace(run_id: str) -> Workplace:
    plugin = get_worker().plugins.get(run_id)
    if not isinstance(plugin, ContextPlugin) or plugin.workplace is None:
        raise InfrastructureError("this worker does not know the run: it has ended")
    return plugin.workplace


def _run_variant(variant_id: str, row: Sequence[Value], run_id: str) -> Finished:
    return run_variant(variant_id, row, _workplace(run_id))


def _pack_block(block: int, run_id: str) -> Packed:
    return pack_block(block, _workplace(run_id))


def _write_probe(name: str, run_id: str) -> str:
    _workplace(run_id).context.store.put(name, b"bemsweep")  # without patience: at the start a fault is told at once
    return str(get_worker().address)


def _look_first(run_id: str, dask_worker: Any) -> None:
    dask_worker.plugins[run_id].workplace.looks_first = True


def _delete_probe(name: str, run_id: str, dask_worker: Any) -> None:
    dask_worker.plugins[run_id].workplace.store.delete(name)


class Flight:
    """The tasks that are under way: runs of variants, by variant_id, and packings, by number of the block."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._completed = as_completed([], loop=client.loop, with_results=True, raise_errors=False)
        self._items: dict[Any, str | int] = {}
        self._futures: dict[str | int, Future[Any]] = {}
        self._window, self._window_until = 0, 0.0
        self.runs: set[str | int] = set()
        """Variants under way."""
        self.packings: set[str | int] = set()
        """Blocks under way."""

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
        future = self._client.submit(_write_probe, name, self._run_id, key=name, pure=False, retries=0)
        while not future.done() and not stop.is_set():
            stop.wait(_POLL_S)
        if stop.is_set():
            future.cancel()
            return
        worker = future.result()
        if store.get(name) is None:
            self._client.run(_delete_probe, name, self._run_id, workers=[worker])
            told = f"the workers do not share the store {redacted(store.url)}: what one wrote there cannot be read here"
            raise StudyError([Problem(f"{told}; give a store that all machines and processes reach", "store")])
        store.delete(name)

    @property
    def count(self) -> int:
        """Number of tasks under way."""
        return len(self._futures)

    def room(self) -> int:
        """Return how many variants the scheduler should be given now.

        Raises
        ------
        InfrastructureError
            The scheduler is gone.
        """
        if self._client.status != "running":
            raise InfrastructureError(f"lost the Dask scheduler ({self._client.status}): run again to carry on")
        if time.monotonic() > self._window_until:
            threads = sum(self._client.nthreads().values())
            self._window = max(LEAST_WINDOW, 3 * threads)
            self._window_until = time.monotonic() + _THREADS_STAY_S
        return max(0, self._window - len(self.runs))

    def run(self, variants: Sequence[tuple[str, Sequence[Value]]], tries: Mapping[str | int, int]) -> None:
        """Submit variants with their rows.

        Parameters
        ----------
        variants
            variant_id and row of each.
        tries
            How often each was tried; part of the key, because a key that erred keeps its error.
        """
        if not variants:
            return
        keys = [f"{variant}:{tries.get(variant, 0)}:{self._run_id}" for variant, _ in variants]
        futures = self._client.map(
            _run_variant,
            [variant for variant, _ in variants],
            [row for _, row in variants],
            run_id=self._run_id,
            key=keys,
            pure=False,
            retries=0,
        )
        for (variant, _), future in zip(variants, futures, strict=True):
            self.runs.add(variant)
            self._follow(variant, future)

    def pack(self, block: int) -> None:
        """Submit the packing of a block, ahead of the variants."""
        key = f"pack-{block}:{time.monotonic_ns()}:{self._run_id}"
        future = self._client.submit(_pack_block, block, self._run_id, key=key, pure=False, priority=10)
        self.packings.add(block)
        self._follow(block, future)

    def finished(self) -> Iterator[tuple[str | int, Finished | Packed | BaseException]]:
        """Yield what has ended since the last call: a variant or a block, and its answer or its error."""
        if not self._completed.has_ready():
            return
        batch: list[tuple[Future[Any], Any]] = self._completed.next_batch(block=False)
        for future, outcome in batch:
            item = self._items.pop(future.key, None)
            if item is None or self._futures.get(item) is not future:
                continue  # cancelled meanwhile
            self._forget(item)
            yield item, _error(outcome) if future.status != "finished" else outcome

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
        self._client.cancel([self._futures[variant] for variant in variants], force=True)
        for variant in variants:
            self._forget(variant)
        return variants

    def _follow(self, item: str | int, future: Future[Any]) -> None:
        self._items[future.key] = item
        self._futures[item] = future
        self._completed.add(future)

    def _forget(self, item: str | int) -> None:
        self._futures.pop(item, None)
        self.runs.discard(item)
        self.packings.discard(item)


def _error(outcome: Any) -> BaseException:
    """Return the exception of what `as_completed` hands out for a failed future."""
    if isinstance(outcome, tuple) and len(outcome) == 3 and isinstance(outcome[1], BaseException):
        return outcome[1]
    return outcome if isinstance(outcome, BaseException) else InfrastructureError(f"the task was lost: {outcome!r}")
