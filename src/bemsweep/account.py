"""What a run has cost: where the time of its cores went, and what the workers cost where that is known.

Decides how core time is shared out: what tasks tell of themselves goes to their stages, what the driver does while no
variant can run to all cores, and what is left is waiting. It keeps sums only, and never times a task itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from bemsweep.blocks import Packed
from bemsweep.costs import Cost
from bemsweep.task import Finished
from bemsweep.units import duration_text

__all__ = ["Account", "Accounting"]

Stage = Literal["starting", "verifying", "running", "packing"]
"""What the driver is at: no variant runs before or after ``running``."""


@dataclass(frozen=True)
class Account:
    """Where the time of a run went; ``print(account)`` tells it.

    Core time is the clock's, for each variant that the cluster can run at once. `engine_s` and the six kinds of
    overhead add up to it.
    """

    variants: int
    """Variants that the run finished."""
    record_bytes: int
    """Size of their records, bytes."""
    wall_s: float
    """Seconds by the clock, from when the study was the run's to its end."""
    threads: int
    """Variants that ran at once, as of last."""
    core_s: float
    """Seconds of core time."""
    engine_s: float
    """Seconds in engines."""
    starting_s: float
    """Core seconds until the first variant was run: finding out what is to do, starting a cluster, verifying; and
    tasks' waiting for the engine to start."""
    preparing_s: float
    """Seconds of getting inputs, editing models and writing them, starting and ending the engine's processes."""
    reading_s: float
    """Seconds of reading what engines wrote."""
    storing_s: float
    """Seconds of making and storing records and raw files."""
    packing_s: float
    """Seconds of packing, and core seconds of the packing and the commit at the end."""
    waiting_s: float
    """Core seconds in which nothing was run: the last variants are awaited, the driver or the scheduler is, or a try
    was lost."""
    cost_usd: float | None = None
    """What the workers have cost, idle or not, USD; None without a price."""
    paid_for: str = ""
    """That in words; ``""`` without a price or workers."""

    @property
    def efficiency(self) -> float:
        """Engine seconds over core seconds; 0 if there were none."""
        return self.engine_s / self.core_s if self.core_s else 0.0

    @property
    def overhead(self) -> Mapping[str, float]:
        """Stage -> core seconds that were not the engine's."""
        stages = ("starting", "preparing", "reading", "storing", "packing", "waiting")
        return {stage: getattr(self, f"{stage}_s") for stage in stages}

    def lines(self) -> list[tuple[str, str]]:
        """Return what is told of it: a word and a text each, like a plan's; no times if no variant was run."""
        cost = [("cost", self.paid_for)] if self.paid_for else []
        if not self.variants:
            return cost
        engine, core, wall = map(_told, (self.engine_s, self.core_s, self.wall_s))
        told = ", ".join(f"{stage} {_told(seconds)}" for stage, seconds in self.overhead.items())
        return [
            ("engine", f"{engine} of {core} of core time ({wall} with {self.threads} at once): {self.efficiency:.0%}"),
            ("overhead", told),
            *cost,
        ]

    def __str__(self) -> str:
        return "\n".join(f"{word:<10}{text}" for word, text in self.lines()) or "no variant was run"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}
        values["cost_usd"] = None if self.cost_usd is None else round(self.cost_usd, 6)
        return {**values, "efficiency": round(self.efficiency, 4)}


class Accounting:
    """The sums of one run, kept by the driver; `account` may be called from any thread."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Count from now on; what was before, waiting for another run, say, is none of this one."""
        self._began = self._at = time.monotonic()
        self._stage: Stage = "starting"
        self._threads = 0
        self._clock_s: dict[Stage, float] = dict.fromkeys(get_args(Stage), 0.0)
        self._core_s = self._clock_s.copy()
        self._variants = self._failed = self._record_bytes = self._memory_bytes = 0
        self._engine_s = self._total_s = self._start_s = self._read_s = self._store_s = self._pack_s = 0.0
        self._least_s, self._most_s, self._longest_start_s = float("inf"), 0.0, 0.0

    def tick(self, threads: int | None = None) -> None:
        """Book the time since the last call on the stage.

        Parameters
        ----------
        threads
            Variants that the cluster can run at once; None for as many as last.
        """
        now = time.monotonic()
        self._threads = self._threads if threads is None else threads
        self._clock_s[self._stage] += now - self._at
        self._core_s[self._stage] += (now - self._at) * self._threads
        self._at = now

    def enter(self, stage: Stage, threads: int | None = None) -> None:
        """Book the time since the last call, and go on to the next stage."""
        self.tick(threads)
        self._stage = stage

    def take(self, finished: Finished) -> None:
        """Note what a variant has cost."""
        seconds = finished.total_s - finished.start_s
        self._variants += 1
        self._failed += finished.status != "succeeded"
        self._record_bytes += finished.record_bytes
        self._memory_bytes = max(self._memory_bytes, finished.memory_bytes)
        self._engine_s += finished.engine_s
        self._total_s += finished.total_s
        self._start_s += finished.start_s
        self._read_s += finished.read_s
        self._store_s += finished.store_s
        self._least_s, self._most_s = min(self._least_s, seconds), max(self._most_s, seconds)
        self._longest_start_s = max(self._longest_start_s, finished.start_s)

    def take_packed(self, packed: Packed) -> None:
        """Note what the packing of a block has cost; that at the end is in all cores' time."""
        if self._stage == "running":
            self._pack_s += packed.seconds

    def account(self) -> Account:
        """Return where the time went, as of the last booking."""
        in_tasks = self._engine_s + self._start_s + self._read_s + self._store_s
        return Account(
            variants=self._variants,
            record_bytes=self._record_bytes,
            wall_s=self._at - self._began,
            threads=self._threads,
            core_s=sum(self._core_s.values()),
            engine_s=self._engine_s,
            starting_s=self._core_s["starting"] + self._core_s["verifying"] + self._start_s,
            preparing_s=max(0.0, self._total_s - in_tasks),
            reading_s=self._read_s,
            storing_s=self._store_s,
            packing_s=self._core_s["packing"] + self._pack_s,
            waiting_s=max(0.0, self._core_s["running"] - self._total_s - self._pack_s),
        )

    def cost(self, study: str, outputs: str, *, where: str = "") -> Cost | None:
        """Return what later plans can judge by; None as long as no variant has finished.

        Parameters
        ----------
        study
            The study's name.
        outputs
            `bemsweep.costs.outputs_digest` of what it reports.
        where
            What its variants ran on, in words.
        """
        if not self._variants:
            return None
        return Cost(
            study=study,
            outputs=outputs,
            where=where,
            variants=self._variants,
            failed=self._failed,
            threads=max(1, self._threads),
            engine_s=self._engine_s / self._variants,
            least_s=self._least_s,
            mean_s=(self._total_s - self._start_s) / self._variants,
            most_s=self._most_s,
            memory_bytes=self._memory_bytes,
            record_bytes=round(self._record_bytes / self._variants),
            aside_s=self._clock_s["starting"] + self._clock_s["packing"] + self._longest_start_s,
        )


def _told(seconds: float) -> str:
    """Return a duration with the digits that let durations be compared."""
    if seconds < 1000:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return duration_text(seconds)
