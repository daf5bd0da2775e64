"""What a Dask worker is given for a run: the plugin that brings it the run's context, and the tasks.

Knows how a worker finds its side of a run; what is done with a variant or a block is said elsewhere (`bemsweep.task`,
`bemsweep.blocks`).
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import cloudpickle
from distributed import WorkerPlugin, get_worker

from bemsweep.blocks import Packed, pack_block, verify_block
from bemsweep.errors import InfrastructureError, UnfitWorkerError
from bemsweep.parts import Value
from bemsweep.preflight import own_versions, why_other_versions
from bemsweep.task import Context, Finished, Workplace, run_variant
from bemsweep.verification import Verified

__all__ = [
    "PROFILERS",
    "ContextPlugin",
    "Submitted",
    "look_first",
    "pack",
    "run_variants",
    "verify",
    "worker_of",
    "workplace_of",
]

PROFILERS = frozenset({"profile", "profile-cycle"})
"""What makes a worker look at all threads' frames every 10 ms, in which CPython 3.11 can lock itself up for good
(python/cpython#106883): the run would hang."""

_WORKER = "bemsweep_worker"
"""Attribute of a machine's fault: whose it is."""

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


def workplace_of(run_id: str, worker: Any = None) -> Workplace:
    """Return a worker's side of a run.

    Parameters
    ----------
    run_id
        The run's.
    worker
        The Dask worker; None for the one that does the task in which this is called.

    Raises
    ------
    UnfitWorkerError
        It has other versions than the run's client.
    InfrastructureError
        It does not know the run.
    """
    worker = worker or get_worker()
    plugin = worker.plugins.get(run_id)
    if isinstance(plugin, ContextPlugin) and plugin.workplace is not None:
        return plugin.workplace
    if isinstance(plugin, _UnfitPlugin):
        raise _with_worker(UnfitWorkerError(plugin.why), worker)
    raise InfrastructureError("this worker does not know the run: it has ended")


def _with_worker(error: InfrastructureError, worker: Any) -> InfrastructureError:
    """Return an error with the worker's address, which travels with it."""
    setattr(error, _WORKER, str(worker.address))
    return error


def worker_of(error: object) -> str:
    """Return the address of the worker that an error tells of; ``""`` if it tells of none."""
    return str(getattr(error, _WORKER, ""))


def run_variants(variants: Sequence[Submitted], run_id: str) -> list[Finished | InfrastructureError]:
    """Run the variants of a task one after the other; a fault of one is its answer, and the others follow."""
    answers: list[Finished | InfrastructureError] = []
    for variant_id, row, deaths in variants:
        try:
            answers.append(run_variant(variant_id, row, workplace_of(run_id), deaths=deaths))
        except InfrastructureError as error:
            answers.append(_with_worker(error, get_worker()))
    return answers


def pack(block: int, rows_sha256: str, run_id: str) -> Packed:
    """Pack a block; see `bemsweep.blocks.pack_block`."""
    return pack_block(block, rows_sha256, workplace_of(run_id))


def verify(block: int, rows_sha256: str, is_packed: bool, run_id: str) -> Verified:
    """Verify a block.

    Parameters
    ----------
    block, rows_sha256, is_packed
        As for `bemsweep.blocks.verify_block`.
    run_id
        The run's.
    """
    return verify_block(block, rows_sha256, is_packed, workplace_of(run_id))


def look_first(run_id: str, dask_worker: Any) -> None:
    """Have the worker look for a variant's record before it runs it, from now on."""
    workplace_of(run_id, dask_worker).looks_first = True
