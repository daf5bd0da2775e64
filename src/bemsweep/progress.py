"""How far a run is, as plain data.

Decides only what follows from its own numbers, such as the time to go; who counts is `bemsweep.driver`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bemsweep.heartbeat import Running
from bemsweep.units import duration_text, size_text

__all__ = ["Estimate", "Progress"]


@dataclass(frozen=True)
class Estimate:
    """What the rest of a run will cost, judged by the variants that it began with."""

    tried: int
    """Variants that it began with and that have finished."""
    failed: int
    """Those of them that did not succeed."""
    seconds: tuple[float, float, float]
    """Least, mean and most seconds of one of them, from its task's start to its record."""
    memory_bytes: int
    """Most resident memory of an engine."""
    record_bytes: int
    """Mean size of a record."""
    severe: tuple[str, ...]
    """Their severe messages, of those that differ in numbers only the first."""
    to_do: int
    """Variants that are left."""
    threads: int
    """Variants that run at once."""

    @property
    def wall_s(self) -> float:
        """Seconds that the rest will take."""
        return self.seconds[1] * self.to_do / max(1, self.threads)

    def lines(self) -> list[tuple[str, str]]:
        """Return what is told of it: a word and a text each, like a plan's."""
        least, mean, most = self.seconds
        rest, size = duration_text(self.wall_s), size_text(self.record_bytes * self.to_do)
        failed = f", {self.failed} of which failed" if self.failed else ""
        return [
            ("tried", f"{self.tried} variants at the corners of the design{failed}"),
            ("each", f"{mean:.1f} s ({least:.1f} to {most:.1f}), up to {size_text(self.memory_bytes)} of memory"),
            *(("severe", message) for message in self.severe),
            ("to go", f"{self.to_do:,}: about {rest} with {self.threads} at once, {size} of records"),
        ]

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
    estimate: Estimate | None = None
    """What the rest will cost; None until the first variants have finished."""
    running: tuple[Running, ...] = ()
    """Those variants that have been under way for the longest, as their workers told lately; the longest first."""

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
        return (self.to_do - self.done) / self.rate if self.done else None

    @property
    def longest(self) -> str:
        """The variant that has been under way for the longest, in a few words; ``""`` if none is known."""
        return f"longest: {self.running[0]}" if self.running else ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, for whoever looks from another process."""
        values = asdict(self) | {"statuses": dict(self.statuses), "elapsed_s": round(self.elapsed_s, 1)}
        if self.estimate is not None:
            values["estimate"] = {**asdict(self.estimate), "seconds": list(self.estimate.seconds)}
        return values | {"done": self.done, "failed": self.failed, "running": [one.to_dict() for one in self.running]}
