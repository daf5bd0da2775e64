"""How far a run is, as plain data.

Decides only what follows from its own numbers, such as the time to go; who counts is `bemsweep.driver`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Progress"]


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
    """``starting``, ``waiting``, ``running``, ``packing`` or ``done``."""
    waits_for: str = ""
    """Who else is at work on the study, since when and how far, while the run waits for that; else ``""``."""

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
