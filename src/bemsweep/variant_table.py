"""The driver's picture of a study's rows: what became of each, and which blocks are to be packed.

Decides when a block can be packed and which variants are to run again. It never touches the store, the
cluster or the cube: the driver tells it what happened and asks what follows.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
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
        # Arrays, because entering a block into a frame's column of texts would copy all of the column.
        self._columns = _parameters(plan) | _blank(plan.variant_ids)
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

    @property
    def frame(self) -> pd.DataFrame:
        """The variant table: parameters and `TABLE_COLUMNS`, by row; ``pending`` where nothing is known yet."""
        return pd.DataFrame(self._columns)

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
                self._enter(rows, committed.iloc[rows.start : rows.stop])
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
        self._enter(rows, _blank([variant] * len(rows)))

    def unpack(self, variants: Iterable[str]) -> None:
        """Take the blocks of `variants` for not packed."""
        for variant in variants:
            for block in self._blocks_of(variant):
                self.digests.pop(block, None)
                self.dirty.add(block)

    def take_facts(self, block: int, facts: pd.DataFrame) -> None:
        """Enter what a packed block's finished rows are: ``row`` and the columns of `TABLE_COLUMNS`."""
        self._enter(self._rows_in(block), _blank(self.ids_of(block)))
        self._enter(facts["row"].tolist(), facts)
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
        is_asked = np.isin(self._columns["status"], list(again))
        found = {self._plan.variant_ids[row] for row in np.flatnonzero(is_asked | self._is_short(self._columns))}
        return {variant for variant in found & self.stored if self.is_wanted(variant)}

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

    def _is_short(self, table: Mapping[str, Any] | pd.DataFrame) -> npt.NDArray[np.bool_]:
        study, facts = self._plan.study, (table["status"], table["timeout_s"], table["memory_bytes"])
        return np.asarray(is_cut_short(*facts, limit_s=study.timeout_s, limit_bytes=study.max_memory))

    def _enter(self, rows: Sequence[int], facts: Mapping[str, Any] | pd.DataFrame) -> None:
        """Enter what is known of some rows; the variant that stands in a row is the plan's affair."""
        for column in TABLE_COLUMNS:
            if column in ("status", "worker"):  # one text for all rows that say it
                self._columns[column][rows] = [sys.intern(text) for text in facts[column]]
            elif column != "variant_id":
                self._columns[column][rows] = list(facts[column])

    def _rows_of(self, variant: str) -> list[int]:
        return [self._first_row[variant], *self._later_rows.get(variant, ())]

    def _blocks_of(self, variant: str) -> set[int]:
        return {row // BLOCK_ROWS for row in self._rows_of(variant)}

    def _rows_in(self, block: int) -> range:
        return range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(self._plan.variant_ids)))

    def ids_of(self, block: int) -> tuple[str, ...]:
        """Return the variants of a block's rows."""
        return self._plan.variant_ids[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]

    def _digest(self, block: int, finished: set[str]) -> str:
        """Return what decides a block's content: its variants, and which of them are finished."""
        text = "".join(f"{variant}{'+' if variant in finished else '-'}" for variant in self.ids_of(block))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parameters(plan: Plan) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the parameters."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for position, parameter in enumerate(plan.layout.parameters):
        values = [row[position] for row in plan.points.rows]
        if parameter.kind == "number":
            columns[parameter.name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        else:
            columns[parameter.name] = np.array(["" if v is None else str(v) for v in values], dtype=object)
    return columns


def _blank(variant_ids: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of `TABLE_COLUMNS` as they are before their variants have run."""
    blanks: dict[str, tuple[Any, Any]] = {"text": ("", object), "number": (np.nan, np.float64), "count": (0, np.int64)}
    columns = {}
    for column, kind in TABLE_COLUMNS.items():
        value, dtype = blanks[kind]
        columns[column] = np.full(len(variant_ids), value, dtype)
    columns["variant_id"][:] = variant_ids
    columns["status"][:] = "pending"
    return columns
