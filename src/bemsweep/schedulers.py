"""The scheduler of a Dask cluster: losing it in our own words, and what of its settings is dangerous.

Decides which settings are worth a word. Never changes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client
from distributed.client import ClosedClientError

from bemsweep.errors import SchedulerLostError

__all__ = ["check_scheduler", "dangerous_settings", "reaching_scheduler"]

_ALLOWED_FAILURES = 10


@contextmanager
def reaching_scheduler() -> Iterator[None]:
    """Tell in our own words that the scheduler is gone.

    Raises
    ------
    SchedulerLostError
        What is done in the block did not reach it.
    """
    try:
        yield
    except (OSError, TimeoutError, ClosedClientError) as error:
        raise SchedulerLostError(f"lost the Dask scheduler ({error!r}): run again to carry on") from error


def check_scheduler(client: Client) -> None:
    """Make sure that the scheduler is there.

    Raises
    ------
    SchedulerLostError
        It is gone.
    """
    if client.status != "running":
        raise SchedulerLostError(f"lost the Dask scheduler ({client.status}): run again to carry on")


def dangerous_settings(client: Client) -> list[str]:
    """Return what of a scheduler's settings makes worker losses worse than they need be, as sentences.

    Parameters
    ----------
    client
        Of any cluster; its scheduler is asked.

    Raises
    ------
    SchedulerLostError
        The scheduler does not answer.
    """

    def ask(dask_scheduler: Any = None) -> tuple[float, float]:  # defined here, so that it travels by value
        return float(dask_scheduler.allowed_failures), float(dask_scheduler.WORKER_SATURATION)

    with reaching_scheduler():
        allowed, saturation = client.run_on_scheduler(ask)
    found = []
    if allowed < _ALLOWED_FAILURES:
        found.append(
            f"distributed.scheduler.allowed-failures is {allowed:g}: where workers come and go, variants come back "
            f"after {allowed + 1:g} losses and are submitted again; set it to {_ALLOWED_FAILURES} before it starts"
        )
    if saturation > 1:
        found.append(
            f"distributed.scheduler.worker-saturation is {saturation:g}: a lost worker puts variants that only waited "
            "there under suspicion; set it to 1.0 before it starts"
        )
    return found
