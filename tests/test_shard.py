"""A study in shares: each runs what is its own, whoever ends last gathers it, and the cube is that of one run."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import bemsweep as bs
from bemsweep import lease as lease_module
from bemsweep.at_work import at_work
from bemsweep.errors import BemsweepError
from bemsweep.lease import Terms
from bemsweep.shares import Share
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import assert_same_cubes, grid_of, read, run_study, small_study
from test_two_drivers import LEVELS, VARIANTS, check_quiet, drivers, until  # noqa: F401 - two are fixtures

GRID = grid_of(5, 6)
COUNT = 31


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for the lease looks often."""
    monkeypatch.setattr(lease_module, "TERMS", Terms(renew_s=0.1, poll_s=0.05))


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(longest_s=0.02, counter=tmp_path / "starts")


def planned(store: Path, engine: FakeEngine, **changes: Any) -> bs.Plan:
    return bs.plan(small_study(**{"parameters": GRID, **changes}), store=store, engine=engine)


def check_undisturbed(store: Path, folder: Path) -> None:
    """Compare the cube with that of one run, bit for bit."""
    run_study(small_study(parameters=GRID), folder, FakeEngine())
    assert_same_cubes(read(store).drop_attrs(), read(folder).drop_attrs())


def test_one_after_the_other_they_are_one_run_and_the_last_gathers(tmp_path: Path, engine: FakeEngine) -> None:
    store = tmp_path / "store"
    plans = [planned(store, engine) for _ in range(3)]
    probes = engine.starts
    done = []
    for number in (3, 1, 2):
        run = bs.run(plans[number - 1], shard=(number, 3))
        done.append(run.progress.done)
        assert run.progress.total == run.progress.done == len(list(Share(number, 3).of(run.plan.wanted_variants)))
        assert run.is_gathered == (number == 2)
        assert (Store(store).get("studies/small/study.json") is None) == (number != 2)
    assert sum(done) == COUNT
    assert engine.starts == probes + COUNT
    assert set(run.status()["status"]) == {"succeeded"}
    assert at_work(Store(store), "small") == []
    check_undisturbed(store, tmp_path / "quiet")
    again = bs.run(planned(store, engine), shard=(1, 3))
    assert (again.progress.done, again.is_gathered, engine.starts) == (0, True, probes + COUNT)


def test_at_once_each_variant_is_run_by_one_and_the_lease_decides_who_gathers(
    tmp_path: Path, engine: FakeEngine
) -> None:
    store = tmp_path / "store"
    plans = [planned(store, engine) for _ in range(3)]
    probes = engine.starts
    runs = [bs.run(plan, shard=(number, 3), wait=False) for number, plan in enumerate(plans, 1)]
    told = until(lambda: {one.progress.get("share", "") for one in at_work(Store(store), "small")} - {""})
    assert told <= {"1/3", "2/3", "3/3"}
    for run in runs:
        run.wait(60)
    assert sum(run.progress.done for run in runs) == COUNT
    assert engine.starts == probes + COUNT
    assert any(run.is_gathered for run in runs)
    check_undisturbed(store, tmp_path / "quiet")


def test_a_shard_that_was_killed_is_made_up_for(
    tmp_path: Path, drivers: Any, check_quiet: Any  # noqa: F811
) -> None:  # fmt: skip
    """By the same shard again, or by a run of the whole."""
    store = Store(tmp_path / "store")
    killed = drivers(store, shard=[2, 3]).planned().go()
    until(lambda: any(one.progress.get("done", 0) > 3 for one in at_work(store, "small")))
    killed.signal(signal.SIGKILL)
    killed.process.wait()
    kept = len(list(store.objects("records")))
    engine = FakeEngine(longest_s=0.001, counter=tmp_path / "later")
    study = small_study(parameters=grid_of(*LEVELS))
    for number in (1, 3):
        assert not run_study(study, store, engine, shard=(number, 3)).is_gathered
    missing = len(list(Share(2, 3).of(bs.plan(study, store=store, engine=engine).wanted_variants))) - kept
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    for where, how in ((tmp_path / "store", {"shard": (2, 3)}), (tmp_path / "copy", {})):
        run = run_study(study, where, engine, **how)
        assert (run.progress.done, run.is_gathered) == (missing, True)
        check_quiet(where)
    assert engine.starts == VARIANTS - kept + missing, "what it had finished is kept"


def test_failed_variants_are_finished_too(tmp_path: Path) -> None:
    engine = FakeEngine(faults=lambda job, _: "fail" if len(job.edits) == 2 else None)
    store = tmp_path / "store"
    for number in (1, 2):
        run = run_study(small_study(), store, engine, shard=(number, 2))
    assert run.is_gathered
    assert dict(run.status()["status"].value_counts()) == {"succeeded": 4, "failed": 2}


def test_what_others_have_planned_more_is_left_to_them(tmp_path: Path, engine: FakeEngine) -> None:
    """A shard whose study has grown meanwhile has done its work all the same."""
    store = tmp_path / "store"
    old = planned(store, engine)
    bs.run(planned(store, engine, parameters=grid_of(5, 7)))
    run = bs.run(old, shard=(1, 1))
    assert not run.is_gathered
    assert read(store).sizes["variant"] == 36


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"shard": (0, 3)}, "there is no share 0/3"),
        ({"shard": (4, 3)}, "there is no share 4/3"),
        ({"shard": (1, 3), "again": "failed"}, "a shard adds records and deletes none"),
        ({"shard": (1, 3), "verify": True}, "a shard adds records and deletes none"),
        ({"shard": (1, 3), "records_only": True}, "give one of them"),
    ],
)
def test_what_means_nothing_with_a_shard_is_refused(
    how: dict[str, Any], told: str, tmp_path: Path, engine: FakeEngine
) -> None:
    with pytest.raises(ValueError, match=told):
        bs.run(planned(tmp_path / "store", engine), **how)


def test_a_shard_that_fails_early_gathers_nothing(tmp_path: Path) -> None:
    engine = FakeEngine(faults=lambda job, _: "fail" if job.calendar else None)
    with pytest.raises(BemsweepError, match="more than the 2 that may"):
        run_study(small_study(), tmp_path / "store", engine, shard=(1, 1), max_failures=2)
    assert Store(tmp_path / "store").get("studies/small/study.json") is None
