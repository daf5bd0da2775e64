from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bemsweep as bs
from bemsweep import account
from bemsweep.account import Accounting
from bemsweep.blocks import Packed
from bemsweep.driver import Driver
from bemsweep.lease import Lease, take_lease
from bemsweep.task import Finished
from bemsweep.testing import FakeEngine
from small_studies import grid_of, local_client, small_study

Wait = Callable[[float], None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """What lets time pass."""
    now = [100.0]
    monkeypatch.setattr(account.time, "monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def finished(total_s: float, engine_s: float, **told: float) -> Finished:
    return Finished("ab" * 32, "succeeded", engine_s, total_s=total_s, record_bytes=1000, memory_bytes=10**8, **told)


def a_run(wait: Wait) -> Accounting:
    """Two variants on two cores: 2 s of starting, 10 s in which they run, 1 s of packing."""
    accounting = Accounting()
    wait(50.0)  # for another run of the study
    accounting.begin()
    wait(2.0)
    accounting.enter("running", 2)
    wait(4.0)
    accounting.tick(2)
    wait(6.0)
    accounting.take(finished(8.0, 6.0, start_s=0.5, read_s=0.25, store_s=0.25))
    accounting.take(finished(9.0, 8.0, start_s=0.0, read_s=0.25, store_s=0.25))
    accounting.take_packed(Packed(0, seconds=1.0))
    accounting.enter("packing")
    accounting.take_packed(Packed(1, seconds=0.7))
    wait(1.0)
    accounting.tick()
    return accounting


def test_core_time_is_shared_out_to_the_last_second(wait: Wait) -> None:
    told = a_run(wait).account()
    assert (told.variants, told.threads, told.record_bytes) == (2, 2, 2000)
    assert told.wall_s == pytest.approx(13.0)
    assert told.core_s == pytest.approx(26.0)
    assert told.engine_s == pytest.approx(14.0)
    assert told.overhead == pytest.approx(
        {"starting": 4.5, "preparing": 1.5, "reading": 0.5, "storing": 0.5, "packing": 3.0, "waiting": 2.0}
    )
    assert told.engine_s + sum(told.overhead.values()) == pytest.approx(told.core_s)
    assert told.efficiency == pytest.approx(14 / 26)


def test_it_is_told_in_two_lines(wait: Wait) -> None:
    told = a_run(wait).account()
    assert str(told).splitlines() == [
        "engine    14 s of 26 s of core time (13 s with 2 at once): 54%",
        "overhead  starting 4.5 s, preparing 1.5 s, reading 0.5 s, storing 0.5 s, packing 3.0 s, waiting 2.0 s",
    ]
    values = json.loads(json.dumps(told.to_dict()))
    assert values["efficiency"] == pytest.approx(14 / 26, abs=1e-4)
    assert values["engine_s"] == pytest.approx(14.0)


def test_a_run_of_nothing_has_no_account() -> None:
    told = Accounting().account()
    assert told.lines() == []
    assert str(told) == "no variant was run"
    assert told.efficiency == 0
    assert Accounting().cost("small", "0" * 64) is None


def test_cores_that_come_later_count_from_then_on(wait: Wait) -> None:
    accounting = Accounting()
    accounting.enter("running", 1)
    wait(10.0)
    accounting.tick(1)
    wait(10.0)
    accounting.tick(4)
    assert accounting.account().core_s == pytest.approx(10 + 40)


def test_verifying_is_part_of_the_start_but_not_of_what_later_runs_cost(wait: Wait) -> None:
    accounting = Accounting()
    wait(1.0)
    accounting.enter("verifying", 2)
    wait(100.0)
    accounting.enter("running", 2)
    wait(2.0)
    accounting.take(finished(2.0, 2.0))
    accounting.tick()
    assert accounting.account().starting_s == pytest.approx(202.0)
    cost = accounting.cost("small", "0" * 64)
    assert cost is not None
    assert cost.aside_s == pytest.approx(1.0)


def test_what_later_plans_judge_by_leaves_the_engines_start_to_the_run(wait: Wait) -> None:
    cost = a_run(wait).cost("small", "0" * 64)
    assert cost is not None
    assert (cost.least_s, cost.mean_s, cost.most_s) == pytest.approx((7.5, 8.25, 9.0))
    assert cost.aside_s == pytest.approx(2.0 + 1.0 + 0.5)
    assert (cost.variants, cost.failed, cost.threads, cost.engine_s, cost.record_bytes) == (2, 0, 2, 7.0, 1000)


def test_a_real_runs_account_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Driver._commit_at_end
    monkeypatch.setattr(Driver, "_commit_at_end", lambda driver: (time.sleep(0.5), commit(driver)))
    engine = FakeEngine(longest_s=0.3, faults={3: "fail"})
    plan = bs.plan(small_study(parameters=grid_of(4, 5)), store=tmp_path / "store", engine=engine)
    began = time.monotonic()
    with local_client() as client:
        run = bs.run(plan, client=client)
    seconds = time.monotonic() - began
    told = run.account
    assert (told.variants, told.threads) == (21, 4)
    assert told.engine_s == pytest.approx(run.status()["engine_s"].sum())
    assert seconds / 2 < told.wall_s < seconds
    assert told.core_s == pytest.approx(4 * told.wall_s, rel=1e-6)
    assert told.engine_s + sum(told.overhead.values()) == pytest.approx(told.core_s, rel=0.02)
    assert min(told.starting_s, told.preparing_s, told.storing_s, told.waiting_s) > 0
    assert told.packing_s > 4 * 0.5
    records = sum(one.size_bytes for one in plan.store.objects("records"))
    assert told.record_bytes == records
    assert f"{told.efficiency:.0%} of core time in engines" in repr(run)


def test_waiting_for_another_run_is_none_of_this_ones_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())

    def take_late(*words: Any, **how: Any) -> Lease | None:
        time.sleep(3.0)
        return take_lease(*words, **how)

    monkeypatch.setattr("bemsweep.driver.take_lease", take_late)
    began = time.monotonic()
    told = bs.run(plan).account
    assert told.wall_s < time.monotonic() - began - 2.9


def test_packings_are_told_by_their_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Packed] = []
    monkeypatch.setattr(Accounting, "take_packed", lambda _, packed: told.append(packed))
    bs.run(bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine()))
    (packed,) = told
    assert 0 < packed.seconds < 60


def test_a_helpers_account_adds_up(tmp_path: Path) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine(longest_s=0.1))
    told = bs.run(plan, records_only=True).account
    assert told.variants == 6
    assert told.engine_s + sum(told.overhead.values()) == pytest.approx(told.core_s, rel=0.02)


def test_what_runs_again_from_the_store_costs_nothing(tmp_path: Path) -> None:
    for expected in (6, 0):
        plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
        run = bs.run(plan)
        assert run.account.variants == expected
    assert "core time" not in repr(run)


def test_keeping_it_takes_microseconds_a_variant() -> None:
    accounting, one = Accounting(), finished(8.0, 6.0)
    fastest = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(1000):
            accounting.take(one)
        fastest = min(fastest, time.perf_counter() - began)
    assert fastest / 1000 < 20e-6, "it takes 1 on a quiet machine"
