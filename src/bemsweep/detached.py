"""A run whose driver is on the cluster's own side, so that whoever began it can go: a laptop is closed.

Decides what is put into the store from here, and which ends of a run are worth another try. The driver is a task of
the cluster, which the scheduler keeps; it never counts as one of a worker's threads for longer than a moment.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import time
from dataclasses import dataclass
from typing import Any

import cloudpickle
from distributed import Client, fire_and_forget, get_client, secede

from bemsweep.at_work import at_work
from bemsweep.errors import BemsweepError, InfrastructureError, LeaseLostError, Problem, StudyError
from bemsweep.planning import Plan
from bemsweep.redaction import redacted
from bemsweep.run_context import put_inputs
from bemsweep.runner import run
from bemsweep.store import Store, patience_s

__all__ = ["detach"]

_log = logging.getLogger(__name__)
_RETRIES = 2
_LOOK_S = 0.5


def detach(plan: Plan, *, client: Client, **how: Any) -> None:
    """Have a cluster run a plan by itself, and return once it has begun; the client is not needed any more.

    If the worker that drives the run is lost, Dask has another one drive it, which carries on from the store; if the
    scheduler is lost, the run ends: the same call carries on. ``bemsweep status STUDY --follow`` and ``bemsweep stop
    STUDY`` work from anywhere.

    Parameters
    ----------
    plan
        What `bemsweep.plan` returned.
    client
        Of a cluster that stays when this process ends: its scheduler runs elsewhere.
    how
        As for `bemsweep.run`, without `wait` and `verify`. A driver that takes over from a lost one begins anew with
        `limit`, and runs once more what `again` asks for.

    Raises
    ------
    ValueError
        The cluster ends with this process, or something of `how` means nothing here.
    StudyError
        The workers do not share the store.
    BemsweepError
        The run has ended at once, for a reason that `bemsweep.run` raises.

    Side effects
    ------------
    Writes the study's inputs to the store, which workers may not reach where they are.
    """
    if refused := {"wait", "verify"} & how.keys():
        raise ValueError(f"a detached run has no {refused.pop()}: use bemsweep.run")
    if client.run_on_scheduler(lambda: (platform.node(), os.getpid())) == (platform.node(), os.getpid()):
        raise ValueError(
            "the scheduler of this client is in this process and ends with it: give a client of one that runs "
            "elsewhere, or use `bemsweep run STUDY --detach`"
        )
    put_inputs(plan, plan.store)
    name = plan.study.name
    before = at_work(plan.store, name)
    work = _Work(name, cloudpickle.dumps((plan, how)))
    key = f"bemsweep-driver-{name}-{time.time_ns()}"
    future = client.submit(_drive, work, key=key, pure=False, retries=_RETRIES, priority=10)
    fire_and_forget(future)
    known = {one.holder.id for one in before}
    while not future.done():
        now = at_work(plan.store, name)
        # It has begun, or waits for whom it finds at work.
        if any(one.holder.id not in known for one in now) or any(one.number for one in before):
            return
        time.sleep(_LOOK_S)
    if (error := future.result()) is not None:
        raise error


@dataclass(frozen=True, repr=False)
class _Work:
    """What a driver is to do; its text, which Dask logs when a task fails, shows nothing of the store's options."""

    study: str
    pickled: bytes

    def __repr__(self) -> str:
        return f"<the run of {self.study}>"


def _drive(work: _Work) -> BemsweepError | None:
    """Run a plan from a task; an end that another try would not change is returned, so that Dask tries no more."""
    client = get_client()
    secede()  # the thread is not a variant's for as long as the run lasts
    plan, how = pickle.loads(work.pickled)  # noqa: S301 - from the client, as all that Dask brings
    store: Store = plan.store.patient(patience_s())
    if not all(store.has(store.input_name(source.sha256, source.suffix)) for source in plan.inputs):
        told = f"the workers do not share the store {redacted(store.url)}: what was put there cannot be read here"
        return StudyError([Problem(f"{told}; give a store that all machines reach", "store")])
    try:
        run(plan, client=client, **how)
    except BemsweepError as error:
        if isinstance(error, InfrastructureError) and not isinstance(error, LeaseLostError):
            raise
        _log.warning("the run of %s has ended: %s", work.study, error)
        return error
    return None
