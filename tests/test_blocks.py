"""What workers do with a block of the variant table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bemsweep as bs
from bemsweep.blocks import pack_block, put_rows, read_facts, verify_block
from bemsweep.errors import LeaseLostError, StoreError
from bemsweep.lease import lease_for
from bemsweep.run_context import context_of
from bemsweep.store import Store
from bemsweep.task import Workplace
from bemsweep.testing import FakeEngine
from small_studies import contents, small_study


def packed(tmp_path: Path) -> tuple[bs.Plan, Workplace, str]:
    """A study that has run, a worker's side of it, and what tells the worker the rows of its only block."""
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    bs.run(plan)
    return plan, Workplace(context_of(plan)), put_rows(plan.store, "small", 0, plan.variant_ids)


def test_packing_tells_what_it_met(tmp_path: Path) -> None:
    plan, workplace, rows = packed(tmp_path)
    store = plan.store
    victim = plan.variant_ids[2]
    data = store.get(Store.record_name(victim))
    assert data is not None
    store.put(Store.record_name(victim), data[: len(data) // 2])
    told = pack_block(0, rows, workplace)
    assert told.unreadable.keys() == {victim}
    assert told.unknown == ()
    facts = read_facts(store, "small", told)
    assert len(facts) == 5
    np.testing.assert_array_equal(sorted(facts.row), [0, 1, 3, 4, 5])


def test_nothing_is_packed_by_the_rows_of_another(tmp_path: Path) -> None:
    plan, workplace, rows = packed(tmp_path)
    put_rows(plan.store, "small", 0, plan.variant_ids[::-1])
    before = contents(plan.store)
    with pytest.raises(StoreError, match=r"000000\.variants is not what this run has written"):
        pack_block(0, rows, workplace)
    with pytest.raises(StoreError, match=r"000000\.variants is not what this run has written"):
        verify_block(0, rows, True, workplace)
    assert contents(plan.store) == before


def test_a_block_is_not_packed_under_a_lease_that_another_has(tmp_path: Path) -> None:
    plan, workplace, rows = packed(tmp_path)
    before = contents(plan.store)
    with lease_for(plan.store, "small") as lease:
        pack_block(0, rows, Workplace(replace(workplace.context, lease=lease.number)))
    with lease_for(plan.store, "small"), pytest.raises(LeaseLostError):
        pack_block(0, rows, Workplace(replace(workplace.context, lease=lease.number)))
    assert contents(plan.store).keys() == before.keys()
