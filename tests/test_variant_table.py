from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import bemsweep as bs
from bemsweep.layout import BLOCK_ROWS
from bemsweep.testing import FakeEngine
from bemsweep.variant_table import VariantTable
from small_studies import grid_of, small_study


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> bs.Plan:
    """301 rows: a block of 256 and the start of another."""
    store = tmp_path_factory.mktemp("store")
    return bs.plan(small_study(parameters=grid_of(20, 15)), store=store, engine=FakeEngine())


@pytest.fixture
def table(plan: bs.Plan) -> VariantTable:
    return VariantTable(plan)


def facts_of(plan: bs.Plan, rows: range, **changes: object) -> pd.DataFrame:
    """Return what a pack task tells of these rows."""
    known = {
        "status": "succeeded", "message": "", "outputs_sha256": "a", "warnings": 0, "severe_errors": 0,
        "engine_s": 1.0, "cpu_s": 1.0, "total_s": 1.0, "memory_bytes": 1, "moved_bytes": 1, "worker": "here/0",
        "timeout_s": 60.0, "utc_offset": -6.0, **changes,
    }  # fmt: skip
    return pd.DataFrame([{"row": row, "variant_id": plan.variant_ids[row], **known} for row in rows])


def test_a_block_is_ready_when_no_row_waits(plan: bs.Plan, table: VariantTable) -> None:
    first, second = plan.variant_ids[0], plan.variant_ids[1]
    table.wait_for([first, second])
    table.record(first)
    table.close(first)
    assert table.dirty == {0}
    assert table.ready(is_due=False) == set()
    assert table.ready(is_due=True) == {0}
    table.close(second)
    assert table.ready(is_due=False) == {0}


def test_what_is_packed_is_found_again_until_a_record_comes_or_goes(plan: bs.Plan, table: VariantTable) -> None:
    rows = range(BLOCK_ROWS, len(plan.variant_ids))
    for row in rows:
        table.record(plan.variant_ids[row])
    table.take_facts(1, facts_of(plan, rows))
    committed, digests = table.frame.copy(), dict(table.digests)
    assert set(table.frame["status"][BLOCK_ROWS:]) == {"succeeded"}

    later = VariantTable(plan)
    later.start_from(plan.variant_ids[BLOCK_ROWS:])
    later.take_committed(later.unchanged(digests), committed)
    later.look_through()
    assert later.dirty == set()
    assert set(later.frame["status"][:BLOCK_ROWS]) == {"pending"}

    for stored in (plan.variant_ids, plan.variant_ids[BLOCK_ROWS + 1 :]):
        changed = VariantTable(plan)
        changed.start_from(stored)
        changed.take_committed(changed.unchanged(digests), committed)
        changed.look_through()
        assert (1 in changed.dirty) == (stored != plan.variant_ids), "a block that lost a record is packed again"


def test_a_row_whose_record_is_dropped_is_pending(plan: bs.Plan, table: VariantTable) -> None:
    variant = plan.variant_ids[3]
    table.record(variant)
    table.take_facts(0, facts_of(plan, range(4)))
    table.drop(variant)
    assert table.frame["status"][3] == "pending"
    assert table.frame["memory_bytes"][3] == 0
    assert table.frame["lighting"][3] == plan.points.rows[3][plan.points.names.index("lighting")]
    assert variant not in table.stored
    table.unpack([variant])
    assert table.digests == {}
    assert 0 in table.dirty


def test_what_failed_is_stale_on_request_and_what_had_less_time_always(plan: bs.Plan, table: VariantTable) -> None:
    for row in range(4):
        table.record(plan.variant_ids[row])
    facts = facts_of(plan, range(4))
    facts.loc[1, "status"] = "failed"
    facts.loc[2, ["status", "timeout_s"]] = "timed_out", 30.0
    facts.loc[3, ["status", "timeout_s"]] = "timed_out", 60.0
    table.take_facts(0, facts)
    assert table.stale(frozenset()) == {plan.variant_ids[2]}
    assert table.stale({"failed"}) == {plan.variant_ids[1], plan.variant_ids[2]}
    assert table.stale({"timed_out"}) == {plan.variant_ids[2], plan.variant_ids[3]}


@pytest.mark.parametrize(
    ("max_memory", "stale"), [(None, [0, 1]), (2**30, []), (2**30 + 1, [0]), ("2 GiB", [0]), ("3 GiB", [0, 1])]
)
def test_what_outgrew_its_memory_is_stale_where_it_may_hold_more(
    tmp_path: Path, max_memory: object, stale: list[int]
) -> None:
    plan = bs.plan(small_study(max_memory=max_memory), store=tmp_path, engine=FakeEngine())
    table = VariantTable(plan)
    for row in range(3):
        table.record(plan.variant_ids[row])
    facts = facts_of(plan, range(3))
    facts.loc[0, ["status", "memory_bytes"]] = "out_of_memory", 2**30
    facts.loc[1, ["status", "memory_bytes"]] = "out_of_memory", 2**31
    table.take_facts(0, facts)
    assert table.stale(frozenset()) == {plan.variant_ids[row] for row in stale}
    assert table.stale({"out_of_memory"}) == set(plan.variant_ids[:2])


def test_records_that_are_of_no_use_are_to_mend(plan: bs.Plan, table: VariantTable) -> None:
    short, cut, gone, sound = plan.variant_ids[:4]
    for variant in (short, cut, gone, sound):
        table.record(variant)
    table.dirty.clear()
    facts = facts_of(plan, range(4)).drop(index=[1, 2])
    facts.loc[0, ["status", "timeout_s"]] = "timed_out", 30.0
    assert table.to_mend(0, facts, [cut]) == {short, cut, gone}
    table.record(gone)
    assert table.to_mend(0, facts, [cut]) == {short, cut}, "its block is dirty: it may have come after the packing"
