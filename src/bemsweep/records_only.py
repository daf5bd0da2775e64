"""A run that only adds records, beside whichever run holds the study: for more machines on one study.

Decides the order in which it takes variants: from the end, so that it meets the other run late. It never writes the
variant table, the blocks or the cube; whoever holds the study's lease, now or later, gathers the records.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from bemsweep.driver import Driver
from bemsweep.lease import Announcement
from bemsweep.run_context import put_inputs
from bemsweep.submission import Flight
from bemsweep.task import Context

__all__ = ["RecordsOnlyDriver"]

_POLL_S = 0.02


class RecordsOnlyDriver(Driver):
    """One run of a plan that writes inputs and records only; many may be under way at once."""

    def _carry_out(self) -> None:
        self._plan.store.names("studies")  # at the start a fault is told at once
        self._accounting.begin()
        with Announcement(self._store, self._name) as announcement:
            announcement.report, announcement.on_stop = lambda: self.progress().to_dict(), self.obey
            self._add_records(self._plan.wanted_variants)

    def _add_records(self, variants: Sequence[str]) -> None:
        """Run those of these variants that have no record, the last first."""
        put_inputs(self._plan, self._store)
        stored = set(self._plan.stored) | self._store.stored(self._plan.to_run)
        to_do = [variant for variant in variants if variant not in stored]
        self._queue.extend(to_do[::-1][: self._limit])
        cached = len(variants) - len(to_do)
        self._progress = replace(self._progress, total=len(variants), cached=cached, to_do=len(self._queue))
        if self._queue:
            self._run_on_cluster()
        self._tick()

    def _context(self) -> Context:
        return replace(super()._context(), looks_first=True)

    def _begin(self, flight: Flight) -> None:  # noqa: ARG002 - the other run begins with the design's corners
        self._tell_stage("running")

    def _work(self, flight: Flight) -> None:
        self._began = time.monotonic()
        while (self._queue or flight.count) and not self._is_ending:
            self._submit(flight)
            self._take_finished(flight)
            self._progress = replace(self._progress, running=flight.running())
            self.stop.wait(_POLL_S)

    def _end(self, flight: Flight) -> None:
        flight.cancel_runs()
