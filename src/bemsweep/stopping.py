"""Ending the runs of a study from anywhere: those who are at work are asked, by an object in the lease's folder.

Decides who is asked and when that is over. It never ends a process, and what is asked of one run is not asked of the
next: each request names the one it is for, who deletes it when it is seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bemsweep.at_work import AtWork, at_work, stop_name
from bemsweep.holder import Holder
from bemsweep.store import Store

__all__ = ["Stopped", "stop"]

_LOOK_S = 1.0


@dataclass(frozen=True)
class Stopped:
    """What came of a request to stop."""

    asked: tuple[AtWork, ...]
    """Who was at work and was asked; nobody if nobody was."""
    left: tuple[AtWork, ...]
    """Those of them who were still at work when the time was over."""
    others: tuple[AtWork, ...]
    """Who has begun since, and was not asked, such as a run that had waited."""


def stop(
    store: Store, study: str, *, limit_s: float = 120.0, tell: Callable[[Sequence[AtWork]], None] = lambda _: None
) -> Stopped:
    """Ask everybody who is at work on a study to stop, and wait until they have.

    Engines are ended; what is finished is kept and committed, as after Ctrl-C.

    Parameters
    ----------
    store
        Where the study lives.
    study
        Its name.
    limit_s
        How long to wait, seconds.
    tell
        Called with those who were asked, before the waiting.

    Returns
    -------
    Stopped
        Who was asked, and who is still there.

    Raises
    ------
    StoreError
        The store cannot be read or written.

    Side effects
    ------------
    An object for each who is asked, which goes when it is seen, or when its holder is gone.
    """
    # One that cannot be read has no name to ask it by.
    asked = {one.holder.id: one for one in at_work(store, study) if one.holder.id.isalnum()}
    request = json.dumps(Holder.here().to_dict()).encode()
    for one in asked.values():
        store.put(stop_name(study, one.holder), request)
    if asked:
        tell(tuple(asked.values()))
    left, end = dict(asked), time.monotonic() + limit_s
    while left and time.monotonic() < end:
        time.sleep(min(_LOOK_S, max(0.0, end - time.monotonic())))
        there = {one.holder.id for one in at_work(store, study)}
        for gone in left.keys() - there:
            store.delete(stop_name(study, left.pop(gone).holder))
    others = [one for one in at_work(store, study) if one.holder.id not in asked] if asked else []
    return Stopped(tuple(asked.values()), tuple(left.values()), tuple(others))
