"""Each check of a storm's end sees what it is there for: the harness would go red."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bemsweep as bs
from bemsweep.record_file import from_bytes, to_bytes
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from chaos.invariant import (
    Closed,
    check,
    check_abandoned,
    check_fallen,
    check_left,
    check_needless,
    count_closed,
    groups_of,
)
from chaos.processes import Home, wait_until
from chaos.studies import Work, study_of
from small_studies import run_study

STUDY = study_of(Work(20))


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("quiet"))
    run_study(STUDY, store, FakeEngine())
    return store


@pytest.fixture
def store(tmp_path: Path, quiet: Store) -> Store:
    shutil.copytree(quiet.url, tmp_path / "store")
    return Store(tmp_path / "store")


def broken(store: Store, quiet: Store, **how: Any) -> str:
    return "\n".join(check(store, groups_of(quiet), **how).broken)


def first_variant(store: Store) -> str:
    return str(bs.open_results(store, "small").variant_id.values[0])


def test_an_undisturbed_run_holds(tmp_path: Path, quiet: Store) -> None:
    run_study(STUDY, tmp_path / "again", FakeEngine())
    found = check(Store(tmp_path / "again"), groups_of(quiet))
    assert not found.broken
    assert (found.lost, found.duplicated) == (0, 0)


def test_a_lost_record_is_seen(store: Store, quiet: Store) -> None:
    store.delete(Store.record_name(first_variant(store)))
    assert "1 variants have no record" in broken(store, quiet)
    assert check(store, groups_of(quiet)).lost == 1


def test_a_variant_that_is_pending_in_the_cube_is_seen(tmp_path: Path, quiet: Store) -> None:
    run_study(STUDY, tmp_path / "part", FakeEngine(), limit=19)
    found = check(Store(tmp_path / "part"), groups_of(quiet))
    assert found.lost == 1
    assert "1 variants have no outcome in the cube" in found.broken[0]


def test_a_row_that_is_there_twice_is_seen(tmp_path: Path, quiet: Store) -> None:
    plan = bs.plan(STUDY, store=tmp_path / "twice", engine=FakeEngine())
    object.__setattr__(plan, "variant_ids", (plan.variant_ids[0], *plan.variant_ids[:-1]))
    bs.run(plan)
    found = check(Store(tmp_path / "twice"), groups_of(quiet))
    assert found.duplicated
    assert "rows of the cube are there twice" in "\n".join(found.broken)


def test_a_record_of_another_variant_is_seen(store: Store, quiet: Store) -> None:
    variant = first_variant(store)
    name = Store.record_name(variant)
    record = from_bytes(store.get(name) or b"")
    store.put(name, to_bytes(replace(record, variant_id="f" * 64)))
    assert "is of ffffffffffff" in broken(store, quiet)


def test_a_record_that_is_cut_is_seen(store: Store, quiet: Store) -> None:
    name = Store.record_name(first_variant(store))
    store.put(name, (store.get(name) or b"")[:-100])
    assert "cannot be read" in broken(store, quiet)


def test_a_value_that_differs_in_its_last_bit_is_seen(store: Store, quiet: Store) -> None:
    import zarr

    root = zarr.open_group(store.zarr("small"), mode="r+")
    values = root["monthly/electricity"]
    numbers = values[:]
    numbers[3, 5] *= 1 + 2.3e-16
    values[:] = numbers
    assert "not identical" in broken(store, quiet)


def test_poison_that_was_not_told_is_seen(store: Store, quiet: Store) -> None:
    assert "what kills is 'succeeded'" in broken(store, quiet, is_poisoned=True)


def test_what_was_done_more_often_than_faults_explain_is_seen() -> None:
    assert not check_needless(extra_runs=4, most=4, what="runs")
    assert check_needless(extra_runs=5, most=4, what="runs") == ["5 extra runs, of which faults explain 4"]
    assert not check_needless(extra_runs=4, most=4, what="runs", is_exact=True)
    assert check_needless(extra_runs=3, most=4, what="runs", is_exact=True), "what explains too much hides something"


def test_closing_a_worker_explains_the_runs_of_which_nothing_was_heard() -> None:
    starts = ["a 11", "b 11", "c 12", "d 12", "e 12", "f 13"]
    heard = ["heard 11", "heard 12"]
    assert count_closed(starts=starts, told=heard) == Closed(0, 0), "workers that stay run nothing in vain"
    assert count_closed(starts=starts, told=[*heard, "closed 11"]) == Closed(1, 1)
    assert count_closed(starts=starts, told=[*heard, "closed 12"]) == Closed(1, 2)
    assert count_closed(starts=starts, told=[*heard, "again 11", "closed 11"]) == Closed(1, 2), "its answer was lost"
    assert count_closed(starts=starts, told=[*heard, "heard 13", "closed 13"]) == Closed(1, 0), "it had done its work"
    assert count_closed(starts=[*starts, "g 12"], told=[*heard, "closed 12"]) == Closed(1, 2), "more than it is given"
    found = [*heard, "heard 13", "heard 13", "closed 13", "closed 11"]
    assert count_closed(starts=starts, told=found) == Closed(2, 1), "an end without a start makes up for no other's"
    assert count_closed(starts=[], told=[]) == Closed(0, 0)


def test_a_storm_that_was_none_is_seen() -> None:
    assert not check_fallen({"driver": 3, "worker": 9}, {"driver": 3, "worker": 1})
    assert check_fallen({"driver": 2}, {"driver": 3}) == ["it was no storm: driver fell 2 times, not 3"]
    assert check_fallen({}, {"request": 1})
    assert not check_fallen({}, {"request": 0})


def test_folders_that_the_next_process_would_delete_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home", {})
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(home.scratch))
    killed = (
        "import os, signal; from bemsweep.scratch import open_scratch; "
        "scratch = open_scratch(); scratch.__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", killed], check=False)
    assert len(check_abandoned(home)) == 1
    assert not check_left(home, is_cluster_alive=False)
    assert not check_abandoned(home)


def test_processes_and_folders_that_are_left_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.invariant._ENDING_S", 0.5)
    home = Home(tmp_path / "home", {})
    assert not check_left(home, is_cluster_alive=False)
    (home.scratch / "bemsweep-new-1").mkdir()
    sleeping = home.start("timeit", "-n", "1", "-r", "1", "import time; time.sleep(60)", log="sleeping")
    try:
        assert wait_until(home.processes, timeout_s=10)
        told = check_left(home, is_cluster_alive=False)
        assert len(told) == 2
        assert str(sleeping.pid) in told[0]
        assert "bemsweep-new-1" in told[1]
    finally:
        os.kill(sleeping.pid, signal.SIGKILL)
        sleeping.wait()
