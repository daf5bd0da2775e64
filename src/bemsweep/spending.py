"""What the workers of a run have cost so far, and whether more of its variants can be afforded.

Decides by a worker's price, by how many there were and for how long, at work or not. It keeps sums and a clock, and
never stops anything itself.
"""

from __future__ import annotations

import math
import time

from bemsweep.prices import Rate
from bemsweep.units import money_text

__all__ = ["Spending"]

_AHEAD = 2
"""So many rounds are under way at most where money is limited: what waits on the scheduler begins whatever it costs."""


class Spending:
    """The money of one run, told by the driver; `cost_usd` and `told` may be read from any thread.

    Parameters
    ----------
    rate
        What a worker costs; None if that is not known.
    max_cost
        USD that the run may cost; None for whatever it will.

    Raises
    ------
    ValueError
        `max_cost` is no sum of money, or there is no price to compare it with.

    Examples
    --------
    >>> Spending(Rate("c7a.large", 0.10264), max_cost=10).room(threads=40, seconds=9.0)
    80
    """

    def __init__(self, rate: Rate | None, *, max_cost: float | None = None) -> None:
        is_number = isinstance(max_cost, (int, float)) and not isinstance(max_cost, bool)
        if max_cost is not None and not (is_number and 0 < max_cost < float("inf")):
            raise ValueError(f"max_cost is a sum of money in USD, more than 0, not {max_cost!r}")
        if max_cost is not None and rate is None:
            raise ValueError(
                "max_cost needs a price, and there is none of what the study would run on: name the cluster file in "
                "the plan (--cluster FILE, or cluster=FILE in bemsweep.plan), with `price_per_hour` in it if its "
                "workers are of no type that is known"
            )
        self._rate, self._most = rate, max_cost
        self._workers = self._least = self._peak = 0
        self._paid_s = 0.0
        self._at = time.monotonic()

    @property
    def rate(self) -> Rate | None:
        """What a worker costs; None if that is not known."""
        return self._rate

    def drop_price(self) -> None:
        """Take it that workers cost nothing: they are not those that the price is of."""
        self._rate = self._most = None

    @property
    def cost_usd(self) -> float | None:
        """What the workers have cost as of the last booking, USD; None without a price."""
        return None if self._rate is None else self._paid_s * self._rate.usd_per_hour / 3600

    def told(self) -> str:
        """Return that in words; ``""`` without a price or workers."""
        if self._rate is None or not self._peak:
            return ""
        count = f"{self._peak:,}" if self._least == self._peak else f"{self._least:,} to {self._peak:,}"
        hours = self._paid_s / 3600
        total = f"{hours:,.0f} h" if hours >= 10 else f"{hours:.2g} h"
        return f"about {money_text(self.cost_usd or 0)}: {count} x {self._rate.worker}, {total} of them"

    def tick(self, workers: int | None = None) -> None:
        """Book the time since the last call.

        Parameters
        ----------
        workers
            How many there are; None for as many as last. Those that are new have been paid since they began to start.
        """
        now = time.monotonic()
        if workers is not None:
            start_s = 0.0 if self._rate is None else self._rate.start_s
            self._paid_s += max(0, workers - self._workers) * start_s
            self._least = min(self._least, workers) if self._peak else workers
            self._workers, self._peak = workers, max(self._peak, workers)
        self._paid_s += (now - self._at) * self._workers
        self._at = now

    @property
    def is_over(self) -> bool:
        """True if what the run may cost is spent."""
        return self._most is not None and (self.cost_usd or 0) >= self._most

    def room(self, threads: int, seconds: float | None) -> int | None:
        """Return how many variants may be under way, so that what they will still take can be afforded.

        That is whole rounds of variants on all workers, for those that have nothing to do are paid as well; and no more
        rounds than keep them busy.

        Parameters
        ----------
        threads
            How many run at once.
        seconds
            How long one takes; None if none has told yet, and then it is one round.

        Returns
        -------
        int or None
            None if any number may.
        """
        if self._most is None or self._rate is None:
            return None
        left_s = (self._most - (self.cost_usd or 0)) * 3600 / self._rate.usd_per_hour
        if seconds is None:
            rounds = int(left_s > 0)
        else:
            rounds = max(0, math.floor(left_s / (max(1, self._workers) * max(seconds, 1e-6))))
        return min(rounds, _AHEAD) * max(1, threads)

    def why_over(self) -> str:
        """Return what it has come to, for the error that ends the run."""
        return (
            f"another round of variants could exceed the {money_text(self._most or 0)} that it may cost, of which "
            f"{money_text(self.cost_usd or 0)} are spent"
        )
