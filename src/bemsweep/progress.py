"""How far a run is, as plain data.

Decides only what follows from its own numbers, such as the time to go; who counts is `bemsweep.driver`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from bemsweep.heartbeat import Running
from bemsweep.units import duration_text, money_text, size_text

__all__ = ["Estimate", "Progress"]


@dataclass(frozen=True)
class Estimate:
    """What variants will cost, judged by others: the rest of a run by those that it began with, a run that has not
    begun by those of an earlier one.
    """

    tried: int
    """Variants that it is judged by."""
    failed: int
    """Those of them that did not succeed."""
    seconds: tuple[float, float, float]
    """Least, mean and most seconds of one of them, from its task's start to its record; the engine's own start, which
    only the first ones wait for, is left out if they are of an earlier run."""
    memory_bytes: int
    """Most resident memory of an engine."""
    record_bytes: int | None
    """Mean size of a record; None if theirs tell nothing of it, because they had other outputs."""
    severe: tuple[str, ...]
    """Their severe messages, of those that differ in numbers only the first."""
    to_do: int
    """Variants that are left."""
    threads: int
    """Variants that run at once."""
    engine_s: float = 0.0
    """Mean seconds of one of them in the engine."""
    aside_s: float = 0.0
    """Seconds by the clock in which no variant runs: the start and the end of a run."""
    judged_by: str = ""
    """Which earlier variants these were, in words; ``""`` for those that the run began with."""
    cluster: str = ""
    """The cluster that it is for, in words; ``""`` for what the run has, or all cores of this machine."""
    start_s: float = 0.0
    """Seconds that are allowed for the cluster's start."""
    usd_per_hour: float | None = None
    """What the cluster costs, USD for an hour of all its workers; None without a price."""
    notes: tuple[str, ...] = ()
    """What it takes for granted, as sentences."""

    @property
    def wall_s(self) -> float:
        """Seconds that what is left will take by the clock."""
        return self.start_s + self.aside_s + self.seconds[1] * math.ceil(self.to_do / max(1, self.threads))

    @property
    def cost_usd(self) -> float | None:
        """What the cluster will cost for that long, USD; None without a price."""
        return None if self.usd_per_hour is None else self.usd_per_hour * self.wall_s / 3600

    @property
    def total_engine_s(self) -> float:
        """Seconds that what is left will take in engines, all together."""
        return self.engine_s * self.to_do

    @property
    def total_record_bytes(self) -> int | None:
        """Size of the records of what is left; None if it is not known."""
        return None if self.record_bytes is None else self.record_bytes * self.to_do

    def lines(self) -> list[tuple[str, str]]:
        """Return what is told of it: a word and a text each, like a plan's."""
        least, mean, most = self.seconds
        failed = f", {self.failed:,} of which failed" if self.failed else ""
        where = f"on {self.cluster}, {self.threads:,} at once" if self.cluster else f"with {self.threads} at once"
        rest = [f"about {duration_text(self.wall_s)} {where}"]
        if self.cost_usd is not None:
            rest.append(f"about {money_text(self.cost_usd)}")
        if self.judged_by:
            rest.append(f"{duration_text(self.total_engine_s)} of engine")
        if self.total_record_bytes is not None:
            rest.append(f"{size_text(self.total_record_bytes)} of records")
        return [
            ("judged by", f"{self.judged_by}{failed}")
            if self.judged_by
            else ("tried", f"{self.tried} variants at the corners of the design{failed}"),
            ("each", f"{mean:.1f} s ({least:.1f} to {most:.1f}), up to {size_text(self.memory_bytes)} of memory"),
            *(("severe", message) for message in self.severe),
            ("to go", f"{self.to_do:,}: {', '.join(rest)}"),
            *(("note", note) for note in self.notes),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, what follows from them included."""
        totals = {name: getattr(self, name) for name in ("wall_s", "cost_usd", "total_engine_s", "total_record_bytes")}
        lists = {name: list(getattr(self, name)) for name in ("seconds", "severe", "notes")}
        return {**asdict(self), **lists, **totals}

    def __str__(self) -> str:
        return "\n".join(f"{word:<10}{text}" for word, text in self.lines())


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    total: int
    """Variants that the study asks for, each counted once."""
    cached: int
    """Of these, those that had a record before this run."""
    to_do: int = 0
    """Variants that this run is to finish."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """How many variants of this run ended how."""
    gave_up: int = 0
    """Variants that could not be run by the machine's fault."""
    elapsed_s: float = 0.0
    """Seconds since the run began."""
    stage: str = "starting"
    """``starting``, ``waiting``, ``verifying``, ``trying`` (the first variants, at the design's corners), ``running``,
    ``packing`` or ``done``."""
    waits_for: str = ""
    """Who else is at work on the study, since when and how far, while the run waits for that; else ``""``."""
    share: str = ""
    """Which share of the study the run takes, such as ``2/8``, of which alone these numbers are; ``""`` for all."""
    estimate: Estimate | None = None
    """What the rest will cost; None until the first variants have finished."""
    cost_usd: float | None = None
    """What the workers have cost so far, USD; None without a price."""
    running: tuple[Running, ...] = ()
    """Those variants that have been under way for the longest, as their workers told lately; the longest first."""
    unfit: str = ""
    """Which workers of the cluster run nothing, and why; ``""`` if all are fit."""
    failures: tuple[tuple[str, int], ...] = ()
    """What most variants of this run failed by: the message and how many, at most three; those that differ in numbers
    are one."""

    @property
    def done(self) -> int:
        """Variants that this run finished."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Variants of this run that did not succeed."""
        return sum(count for status, count in self.statuses.items() if status != "succeeded")

    @property
    def rate(self) -> float:
        """Variants finished per second."""
        return self.done / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds to go at this rate; None before the first variant is done."""
        return (self.to_do - self.done) / self.rate if self.rate else None

    @property
    def longest(self) -> str:
        """The variant that has been under way for the longest, in a few words; ``""`` if none is known."""
        return f"longest: {self.running[0]}" if self.running else ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, for whoever looks from another process."""
        values = asdict(self) | {"statuses": dict(self.statuses), "elapsed_s": round(self.elapsed_s, 1)}
        if self.estimate is not None:
            values["estimate"] = self.estimate.to_dict()
        return values | {"done": self.done, "failed": self.failed, "running": [one.to_dict() for one in self.running]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Progress:
        """Return what `to_dict` told, maybe in another process and by another version.

        Raises
        ------
        ValueError
            It is not what that makes.
        """
        progress: Progress = _reader().validate_python(dict(values))
        return progress


@cache  # it takes milliseconds to make
def _reader() -> TypeAdapter[Progress]:
    return TypeAdapter(Progress)
