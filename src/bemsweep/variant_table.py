"""The driver's picture of a study's rows: what became of each, and which blocks are to be packed.

Decides when a block can be packed and which variants are to run again. It never touches the store, the
cluster or the cube: the driver tells it what happened and asks what follows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd

from bemsweep.layout import BLOCK_ROWS, TABLE_COLUMNS
from bemsweep.parts import Value
from bemsweep.planning import Plan
from bemsweep.records import Status, is_cut_short

__all__ = ["VariantTable"]


class VariantTable:
    """The rows of a plan and what is known of them; one thread's.

    Parameters
    ----------
    plan
        Whose rows.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.frame = _blank(plan, range(len(plan.variant_ids)))
        """The variant table: parameters and `TABLE_COLUMNS`, by row; ``pending`` where nothing is known yet."""
        self.stored: set[str] = set()
        """Variants that have a record."""
        self.dirty: set[int] = set()
        """Blocks with records that the cube does not show yet."""
        self.digests: dict[int, str] = {}
        """Content of the blocks that are packed."""
        self._awaited: Counter[int] = Counter()
        """Per block, how many of its rows wait for a variant of this run."""
        self._first_row: dict[str, int] = {}
        self._later_rows: dict[str, list[int]] = {}
        """Of the few variants that have several rows."""
        for row, variant in enumerate(plan.variant_ids):
            if self._first_row.setdefault(variant, row) != row:
                self._later_rows.setdefault(variant, []).append(row)

    def is_wanted(self, variant: str) -> bool:
        """Return True if the study asks for a variant."""
        return any(self._plan.is_wanted[row] for row in self._rows_of(variant))

    def values(self, variant: str) -> tuple[Value, ...]:
        """Return the values that a variant is run with, one per column of the plan's points.

        Those of the first row that is asked for: older rows of the same variant may stand for names and edits that
        the study no longer has.
        """
        return self._plan.points.rows[next(row for row in self._rows_of(variant) if self._plan.is_wanted[row])]

    # What happened

    def start_from(self, stored: Iterable[str]) -> None:
        """Take over which variants have a record before anything is run."""
        self.stored = set(stored)

    def take_committed(self, blocks: Mapping[int, str], committed: pd.DataFrame) -> None:
        """Enter what the cube tells of blocks that are packed as their records are now.

        Parameters
        ----------
        blocks
            What `unchanged` returned.
        committed
            The columns of `TABLE_COLUMNS` as of the last commit.
        """
        for block, digest in blocks.items():
            rows = self._rows_in(block)
            if len(rows) and rows[-1] < len(committed):
                for column in TABLE_COLUMNS:
                    self.frame.loc[rows, column] = committed[column].loc[rows]
                self.digests[block] = digest

    def look_through(self) -> None:
        """Take every block for dirty that has records and is not packed."""
        for variant in self.stored & self._first_row.keys():
            self.dirty |= self._blocks_of(variant) - self.digests.keys()

    def wait_for(self, variants: Iterable[str]) -> None:
        """Have the blocks of `variants` wait until each of these is closed."""
        for variant in variants:
            self._awaited.update(self._blocks_of(variant))

    def close(self, variant: str) -> None:
        """Have no block wait for a variant any more."""
        self._awaited.subtract(self._blocks_of(variant))

    def record(self, variant: str) -> None:
        """Note that a variant has a record now."""
        self.stored.add(variant)
        self.dirty |= self._blocks_of(variant)

    def drop(self, variant: str) -> None:
        """Note that a variant's record is gone: its rows are pending again."""
        self.stored.discard(variant)
        rows = self._rows_of(variant)
        blank = _blank(self._plan, rows)
        for column in TABLE_COLUMNS:
            self.frame.loc[rows, column] = blank[column].to_numpy()

    def unpack(self, variants: Iterable[str]) -> None:
        """Take the blocks of `variants` for not packed."""
        for variant in variants:
            for block in self._blocks_of(variant):
                self.digests.pop(block, None)
                self.dirty.add(block)

    def take_facts(self, block: int, facts: pd.DataFrame) -> None:
        """Enter what a packed block's finished rows are: ``row`` and the columns of `TABLE_COLUMNS`."""
        facts = facts.set_index("row")
        blank = _blank(self._plan, self._rows_in(block))
        for column in TABLE_COLUMNS:
            blank.loc[facts.index, column] = facts[column]
            self.frame.loc[blank.index, column] = blank[column]
        self.digests[block] = self._digest(block, set(facts["variant_id"]))

    # What follows

    def unchanged(self, blocks: Mapping[int, str]) -> dict[int, str]:
        """Return those of the cube's blocks whose variants are as they were when they were packed."""
        return {block: digest for block, digest in blocks.items() if digest == self._digest(block, self.stored)}

    def ready(self, *, is_due: bool) -> set[int]:
        """Return the dirty blocks that wait for nothing; all dirty ones if a commit is due."""
        return {block for block in self.dirty if is_due or not self._awaited[block]}

    def stale(self, again: Collection[Status]) -> set[str]:
        """Return variants to run again: of a status asked for, or stopped by a narrower limit than this study's."""
        is_asked = self.frame["status"].isin(list(again))
        found = set(self.frame["variant_id"][is_asked | self._is_short(self.frame)]) & self.stored
        return {variant for variant in found if self.is_wanted(variant)}

    def to_mend(self, block: int, facts: pd.DataFrame, unreadable: Iterable[str]) -> set[str]:
        """Return variants whose records are of no use although they were listed.

        Parameters
        ----------
        block
            That was packed.
        facts
            Its finished rows.
        unreadable
            Variants whose record could not be read.
        """
        short = {variant for variant in facts["variant_id"][self._is_short(facts)] if self.is_wanted(variant)}
        # Records that have gone since they were listed; in a block that is dirty they may be newer than its packing.
        known = set() if block in self.dirty else self.stored & set(self.ids_of(block))
        return {*unreadable, *short, *(known - set(facts["variant_id"]))} & self.stored

    def _is_short(self, table: pd.DataFrame) -> pd.Series[bool]:
        study, facts = self._plan.study, (table["status"], table["timeout_s"], table["memory_bytes"])
        short: pd.Series[bool] = is_cut_short(*facts, limit_s=study.timeout_s, limit_bytes=study.max_memory)
        return short

    def _rows_of(self, variant: str) -> list[int]:
        return [self._first_row[variant], *self._later_rows.get(variant, ())]

    def _blocks_of(self, variant: str) -> set[int]:
        return {row // BLOCK_ROWS for row in self._rows_of(variant)}

    def _rows_in(self, block: int) -> list[int]:
        return list(range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(self.frame))))

    def ids_of(self, block: int) -> tuple[str, ...]:
        """Return the variants of a block's rows."""
        return self._plan.variant_ids[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]

    def _digest(self, block: int, finished: set[str]) -> str:
        """Return what decides a block's content: its variants, and which of them are finished."""
        text = "".join(f"{variant}{'+' if variant in finished else '-'}" for variant in self.ids_of(block))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _blank(plan: Plan, rows: Iterable[int]) -> pd.DataFrame:
    """Return rows of the variant table as they are before their variant has run."""
    numbers = list(rows)
    columns: dict[str, object] = {}
    for position, parameter in enumerate(plan.layout.parameters):
        values = [plan.points.rows[row][position] for row in numbers]
        if parameter.kind == "number":
            columns[parameter.name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        else:
            columns[parameter.name] = np.array(["" if v is None else str(v) for v in values], dtype=object)
    blanks = {"text": "", "number": np.nan, "count": 0}
    for column, kind in TABLE_COLUMNS.items():
        columns[column] = [blanks[kind]] * len(numbers)
    columns["variant_id"] = [plan.variant_ids[row] for row in numbers]
    columns["status"] = ["pending"] * len(numbers)
    return pd.DataFrame(columns, index=numbers)
