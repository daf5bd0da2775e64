"""Following a study's runs from anywhere, by what they leave in the store.

Decides when there is something new to tell, and when nobody is at work any more. It never writes, and knows no more
than the runs tell with each renewal of what says that they are at work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bemsweep.at_work import AtWork, at_work
from bemsweep.heartbeat import longest
from bemsweep.progress import Progress
from bemsweep.store import Store

__all__ = ["follow", "progress_of", "together"]

LOOK_S = 2.0
"""How often the store is asked, seconds."""
GONE_S = 6.0
"""So long nobody must have been at work: who has waited for another begins a few seconds after that one's end."""

_MOST_FAILURES = 3


def follow(store: Store, study: str) -> Iterator[list[AtWork]]:
    """Yield who is at work on a study, at first and whenever that has changed, until nobody is.

    Parameters
    ----------
    store, study
        Where the study lives, and its name.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    before: list[AtWork] = []
    gone_at: float | None = None
    while (now := at_work(store, study)) or before:
        if now:
            gone_at = None
            if now != before:
                yield now
                before = now
        elif gone_at is None:
            gone_at = time.monotonic()
        elif time.monotonic() - gone_at >= GONE_S:
            return
        time.sleep(LOOK_S)


def progress_of(one: AtWork) -> Progress | None:
    """Return how far one is who is at work; None before it has said so, or if another version says it."""
    try:
        return Progress.from_dict(one.progress)
    except ValueError:
        return None


def together(parts: Sequence[Progress]) -> Progress:
    """Return how far several runs are in all, each of which has a share of its own; at least one.

    Examples
    --------
    >>> halves = Progress(total=6, cached=1, to_do=5), Progress(total=4, cached=0, to_do=4, statuses={"failed": 2})
    >>> whole = together(halves)
    >>> whole.total, whole.cached, whole.to_do, whole.done, whole.failed
    (10, 1, 9, 2, 2)
    """
    statuses: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    costs = [part.cost_usd for part in parts if part.cost_usd is not None]
    for part in parts:
        statuses.update(part.statuses)
        failures.update(dict(part.failures))
    return replace(
        parts[0],
        total=sum(part.total for part in parts),
        cached=sum(part.cached for part in parts),
        to_do=sum(part.to_do for part in parts),
        statuses=dict(statuses),
        gave_up=sum(part.gave_up for part in parts),
        elapsed_s=max(part.elapsed_s for part in parts),
        stage=Counter(part.stage for part in parts).most_common(1)[0][0],
        share="",
        estimate=None,
        cost_usd=sum(costs) if costs else None,
        running=longest(one for part in parts for one in part.running),
        failures=tuple(failures.most_common(_MOST_FAILURES)),
    )
