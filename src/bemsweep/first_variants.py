"""What a run begins with: a few variants that span the corners of its design.

Decides which they are, how long the others wait for them, and what they tell of the rest: its time, its memory and
its size. A far corner that breaks is seen before days are spent. Never submits anything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from bemsweep.explanations import message_kind
from bemsweep.parts import Value
from bemsweep.progress import Estimate
from bemsweep.task import Finished

__all__ = ["FirstVariants", "corners"]

_LEAST, _MOST = 4, 32
_ROUNDS = 20
"""Others wait only if each thread has so many to run: the wait costs at most the share of one of them."""
_PATIENCE = 3.0
"""So many times as long as it should take by the slowest that has finished, the others wait for those that have not."""


class FirstVariants:
    """The variants that a run begins with.

    Parameters
    ----------
    variants
        All that the run is to finish.
    rows
        Their values.
    threads
        How many run at once.
    """

    def __init__(self, variants: Sequence[str], rows: Sequence[Sequence[Value]], *, threads: int) -> None:
        count = min(max(_LEAST, threads), _MOST)
        chosen = corners(rows, count) if len(variants) >= 2 * count else []
        self.variants = [variants[position] for position in chosen]
        """Those that span the design's corners; none if there are few variants anyway."""
        self._turns = -(-len(chosen) // max(1, threads))
        self._is_awaited = len(variants) >= _ROUNDS * threads
        self._waiting = set(self.variants)
        self._finished: list[Finished] = []
        self._began = time.monotonic()

    def take(self, finished: Finished) -> None:
        """Note that a variant has finished; others than the first are passed over."""
        if finished.variant_id in self._waiting:
            self._waiting.remove(finished.variant_id)
            self._finished.append(finished)

    def drop(self, variant: str) -> None:
        """Note that a variant will not finish."""
        self._waiting.discard(variant)

    @property
    def hold_back(self) -> bool:
        """True while the other variants wait."""
        return self._is_awaited and not self._is_over

    @property
    def _is_over(self) -> bool:
        """True if they have finished, but for stragglers."""
        if not self._waiting or len(self._finished) < len(self._waiting):
            return not self._waiting
        slowest = max(one.total_s for one in self._finished)
        return time.monotonic() > self._began + _PATIENCE * self._turns * slowest

    def estimate(self, to_do: int, threads: int) -> Estimate | None:
        """Return what `to_do` more variants will cost; None before these have told."""
        if not self._is_over or not self._finished:
            return None
        seconds = [one.total_s for one in self._finished]
        messages = [one.message for one in self._finished if one.message]
        return Estimate(
            tried=len(self._finished),
            failed=sum(one.status != "succeeded" for one in self._finished),
            seconds=(min(seconds), fmean(seconds), max(seconds)),
            memory_bytes=max(one.memory_bytes for one in self._finished),
            record_bytes=round(fmean(one.record_bytes for one in self._finished)),
            severe=tuple({message_kind(message): message for message in messages[::-1]}.values())[::-1],
            to_do=to_do,
            threads=threads,
            engine_s=fmean(one.engine_s for one in self._finished),
        )


def corners(rows: Sequence[Sequence[Value]], count: int) -> list[int]:
    """Return the positions of `count` rows that lie far from each other, the first row among them.

    Each next one is as far as can be from those before it. Between numbers of one parameter the distance is their
    difference as a share of the parameter's range, between anything else it is 1.

    Parameters
    ----------
    rows
        Points of a design, all of one length.
    count
        How many; fewer if there are not so many different ones.

    Examples
    --------
    >>> corners([(None, 0.0), (6.0, 0.0), (8.0, 0.0), (6.0, 90.0), (8.0, 90.0)], 3)
    [0, 3, 1]
    """
    if not rows or count < 1:
        return []
    columns = [_Column(values) for values in zip(*rows, strict=True)]
    chosen = [0]
    nearest = _distances(columns, 0)
    while len(chosen) < count and nearest.max() > 0:
        farthest = int(nearest.argmax())
        chosen.append(farthest)
        nearest = np.minimum(nearest, _distances(columns, farthest))
    return chosen


class _Column:
    """One parameter's values: numbers on a scale from 0 to 1, and a code for each different value."""

    def __init__(self, values: Sequence[Value]) -> None:
        codes: dict[tuple[bool, Value], int] = {}
        self.codes = np.array([codes.setdefault((isinstance(value, bool), value), len(codes)) for value in values])
        is_number = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in values]
        self.numbers = np.array([value if is_one else np.nan for value, is_one in zip(values, is_number, strict=True)])
        if any(is_number):
            with np.errstate(over="ignore"):  # a range wider than floats makes its numbers alike
                span = np.nanmax(self.numbers) - np.nanmin(self.numbers)
            self.numbers = self.numbers / (span or 1.0)


def _distances(columns: Sequence[_Column], to: int) -> npt.NDArray[np.float64]:
    """Return the distance of each row to one of them."""
    total = np.zeros(len(columns[0].codes))
    for column in columns:
        apart = np.abs(column.numbers - column.numbers[to])  # NaN if either is no number
        total += np.where(np.isnan(apart), column.codes != column.codes[to], apart)
    return total
