"""A run of one share of a study, for places where no Dask cluster can be made: a batch array, a locked-down cluster.

Decides what the last to end does: it finds that every variant has a record and goes on as a run of the whole study,
which packs and commits under the study's lease. Until then it only adds records, and needs no lease.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bemsweep.driver import Driver
from bemsweep.errors import ConflictError
from bemsweep.planning import Plan
from bemsweep.progress import Progress
from bemsweep.records_only import RecordsOnlyDriver
from bemsweep.shares import Share
from bemsweep.stop_rule import StopRule

__all__ = ["ShardDriver"]

_log = logging.getLogger(__name__)


class ShardDriver(RecordsOnlyDriver):
    """One run of a share of a plan.

    Parameters
    ----------
    plan
        Of the whole study.
    share
        Which part of it.
    how
        As for `Driver`.
    """

    def __init__(self, plan: Plan, share: Share, **how: Any) -> None:
        super().__init__(plan, **how)
        self._share = share
        self._progress = replace(self._progress, share=str(share))
        self._gathering: Driver | None = None
        """The run of the whole study with which this one ends, if it does."""

    def progress(self) -> Progress:
        """Return how far the run is, with what it gathers in the end; safe from any thread."""
        own = super().progress()
        if self._gathering is None:
            return own
        rest = self._gathering.progress()
        words = {**own.statuses, **rest.statuses}
        statuses = {word: own.statuses.get(word, 0) + rest.statuses.get(word, 0) for word in words}
        stage = own.stage if own.stage == "done" else rest.stage
        return replace(
            own, stage=stage, waits_for=rest.waits_for, to_do=own.to_do + rest.to_do, statuses=statuses,
            running=rest.running,
        )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """Return the variant table as far as this run has packed blocks."""
        return super().table() if self._gathering is None else self._gathering.table()

    def _add_records(self, variants: Sequence[str]) -> None:
        super()._add_records(list(self._share.of(variants)))
        self._leave_cost()
        if not (self._is_ending or self._gave_up) and self._store.stored(variants) == set(variants):
            self._gather()

    def _gather(self) -> None:
        """Go on as a run of the whole study."""
        self._gathering = Driver(
            self._plan,
            client=self._client,
            limit=None,
            rule=StopRule("100%"),
            spending=self._spending,
            stop=self.stop,
        )
        try:
            self._gathering._carry_out()  # noqa: SLF001 - the same run's second part
        except ConflictError as error:  # others have planned more since
            _log.warning("%s is left for another run to gather: %s", self._name, error)
        else:
            self._verdict = self._verdict or self._gathering._verdict  # noqa: SLF001
            self._gave_up = self._gathering._gave_up  # noqa: SLF001
            self.is_gathered = self._gathering.is_gathered
