from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster, get_worker
from pyenergyplus.dataset import weather_files

import bemsweep as bs
from bemsweep import attempts, driver, pace, record_file, results, submission, task
from bemsweep.attempts import MOST_TRIES
from bemsweep.cluster_file import Local, Scheduler
from bemsweep.engine import EngineRun, Job
from bemsweep.errors import CostLimitError, InfrastructureError, StudyError, TooManyFailuresError
from bemsweep.layout import TABLE_COLUMNS
from bemsweep.record_file import from_bytes, to_bytes
from bemsweep.run_context import context_of
from bemsweep.spending import Spending
from bemsweep.stop_rule import StopRule
from bemsweep.store import Store
from bemsweep.submission import Flight
from bemsweep.testing import FakeEngine, Fault
from engine_jobs import wait_until
from small_studies import CHICAGO, assert_same_cubes, grid_of, local_client, read, run_study, small_study


@pytest.fixture
def fake(tmp_path: Path) -> FakeEngine:
    return FakeEngine(longest_s=0.02, counter=tmp_path / "starts")


def test_a_grid_becomes_a_labelled_cube(tmp_path: Path, fake: FakeEngine) -> None:
    run = run_study(small_study(), tmp_path / "store", fake)
    assert run.progress.statuses == {"succeeded": 6}
    cube = read(tmp_path / "store")
    assert cube.sizes == {"variant": 6, "time": 12, "zone": 2, "bounds": 2}
    assert set(cube.status.values) == {"succeeded"}
    np.testing.assert_array_equal(cube.lighting, [np.nan, np.nan, 8, 8, 6, 6])
    np.testing.assert_array_equal(cube.north, [np.nan, 90] * 3)
    assert set(cube.weather.values) == {"chicago"}
    assert np.isfinite(cube.electricity).all()
    assert len(np.unique(cube.electricity.values, axis=0)) == 6
    assert set(cube.utc_offset.values) == {-6.0}


def test_the_same_study_again_starts_no_engine(tmp_path: Path, fake: FakeEngine) -> None:
    study = small_study(parameters=grid_of(20, 30))
    run_study(study, tmp_path / "store", fake)
    before, starts = read(tmp_path / "store"), fake.starts
    began = time.perf_counter()
    run = run_study(study, tmp_path / "store", fake)
    seconds = time.perf_counter() - began
    assert fake.starts == starts
    assert run.progress.done == 0
    assert seconds / 601 < 0.005, f"{1000 * seconds / 601:.2f} ms a variant"
    assert_same_cubes(before, read(tmp_path / "store"))


def test_a_killed_driver_is_resumed(tmp_path: Path) -> None:
    """600 variants in random order over block borders; SIGKILL in the middle; then the same call."""
    counter = tmp_path / "starts"
    script = textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from bemsweep import driver
        from bemsweep.testing import FakeEngine
        from small_studies import *
        driver.COMMIT_INTERVAL_S = 0.3
        engine = FakeEngine(longest_s=0.05, counter=Path({str(counter)!r}))
        with local_client() as client:
            run_study(small_study(parameters=grid_of(20, 30)), {str(tmp_path / "killed")!r}, engine, client=client)
    """)
    # What a killed process leaves goes with the test's folder.
    environment = {**os.environ, "TMPDIR": str(tmp_path), "BEMSWEEP_SCRATCH": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", script], process_group=0, env=environment)
    deadline = time.monotonic() + 120
    while not counter.exists() or len(counter.read_text().splitlines()) < 330:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    study = small_study(parameters=grid_of(20, 30))
    engine = FakeEngine(longest_s=0.02, counter=counter)
    killed_at = engine.starts
    plan = bs.plan(study, store=tmp_path / "killed", engine=engine)
    assert 0 < len(plan.to_run) < 601
    bs.run(plan)
    assert engine.starts == killed_at + len(plan.to_run)
    assert engine.starts <= 601 + 1 + 4 + 1, "only what was in flight is run twice, and the probe"

    quiet = FakeEngine(counter=tmp_path / "quiet-starts")
    run_study(study, tmp_path / "quiet", quiet)
    resumed, undisturbed = read(tmp_path / "killed"), read(tmp_path / "quiet")
    assert resumed.sizes["variant"] == 601
    assert_same_cubes(resumed, undisturbed)


GROWTHS = {
    "a level": (
        {
            "parameters": {
                **small_study().parameters,
                "north": bs.Field("Building", "north_axis", values=[None, 90, 45]),
            }
        },
        3,
    ),
    "a parameter": (
        {
            "parameters": {
                **small_study().parameters,
                "people": bs.Field("People", "activity_level_schedule_name", values=[None, "ACTIVITY_SCH"]),
            }
        },
        6,
    ),
    "a weather file": ({"weather": {**CHICAGO, "denver": "bundled:usa_co_denver"}}, 6),
    "an output": (
        {"outputs": [*small_study().outputs, bs.Meter("NaturalGas:Facility", frequency="monthly", as_="gas")]},
        6,
    ),
    "an output at another frequency": (
        {"outputs": [*small_study().outputs, bs.Meter("NaturalGas:Facility", frequency="timestep", as_="gas")]},
        6,
    ),
}


@pytest.mark.parametrize("what", GROWTHS)
def test_growing_a_study_runs_only_what_is_new(tmp_path: Path, fake: FakeEngine, what: str) -> None:
    changes, new = GROWTHS[what]
    run_study(small_study(), tmp_path / "store", fake)
    small = read(tmp_path / "store")
    plan = bs.plan(small_study(**changes), store=tmp_path / "store", engine=fake)
    assert len(plan.to_run) == new
    starts = fake.starts
    bs.run(plan)
    assert fake.starts - starts == new
    grown = read(tmp_path / "store")
    assert set(grown.status.values) == {"succeeded"}
    assert grown.sizes["variant"] == len(plan.variant_ids)
    if "output" not in what:  # the fake engine's values depend on the outputs asked for no more than the real one's
        np.testing.assert_array_equal(grown.variant_id[:6], small.variant_id)
    np.testing.assert_array_equal(grown.electricity[:6], small.electricity)
    fresh = FakeEngine(counter=tmp_path / "fresh-starts")
    run_study(small_study(**changes), tmp_path / "fresh", fresh)
    other = read(tmp_path / "fresh")
    assert sorted(grown.variant_id.values) == sorted(other.variant_id.values)
    by_id = {variant: number for number, variant in enumerate(other.variant_id.values)}
    for number, variant in enumerate(grown.variant_id.values):
        np.testing.assert_array_equal(grown.temperature[number], other.temperature[by_id[variant]])


def test_leaving_an_output_out_runs_nothing(tmp_path: Path, fake: FakeEngine) -> None:
    run_study(small_study(), tmp_path / "store", fake)
    assert bs.plan(small_study(outputs=small_study().outputs[:1]), store=tmp_path / "store", engine=fake).to_run == ()


def test_a_timestep_output_that_is_left_out_keeps_its_time_axis(tmp_path: Path, fake: FakeEngine) -> None:
    """Outputs of before are still asked for, so the calendar must still know the timestep."""
    steps = bs.Meter("NaturalGas:Facility", frequency="timestep", as_="gas")
    fewer = {**small_study().parameters, "north": bs.Field("Building", "north_axis", values=[None])}
    run_study(small_study(outputs=[*small_study().outputs, steps], parameters=fewer), tmp_path / "store", fake)
    run_study(small_study(), tmp_path / "store", fake)
    gas = read(tmp_path / "store", group="timestep").gas
    assert gas.sizes == {"variant": 6, "time": 52_560}
    assert np.isfinite(gas).all()


def test_a_zone_that_only_some_variants_have_is_added(tmp_path: Path) -> None:
    """The layout is fixed from the baseline; a variant that brings another zone makes it grow while packing."""

    def zones(job: object) -> list[str]:
        is_split = any(edit.value == 6 for edit in job.edits)  # type: ignore[attr-defined]
        return ["Zone 1", "Zone 2", *(["Zone 3"] if is_split else [])]

    engine = FakeEngine(keys=zones, counter=tmp_path / "starts")
    run_study(small_study(), tmp_path / "store", engine)
    cube = read(tmp_path / "store")
    assert list(cube.zone.values) == ["Zone 1", "Zone 2", "Zone 3"]
    has_it = np.isfinite(cube.temperature.sel(zone="Zone 3")).all("time")
    np.testing.assert_array_equal(has_it, cube.lighting == 6)


def test_a_zone_that_comes_with_an_amendment_is_added(tmp_path: Path) -> None:
    def zones(job: Job) -> list[str]:
        is_split = any(getattr(edit, "value", None) == 6 for edit in job.edits)
        return ["Zone 2", "Zone 1", *(["Annex"] if is_split else [])]

    engine = FakeEngine(keys=zones, counter=tmp_path / "starts")
    fewer = {**small_study().parameters, "lighting": bs.Field("Lights", "watts_per_floor_area", values=[None, 8])}
    run_study(small_study(parameters=fewer), tmp_path / "store", engine)
    small, starts = read(tmp_path / "store"), engine.starts
    assert list(small.zone.values) == ["Zone 2", "Zone 1"]
    run_study(small_study(), tmp_path / "store", engine)
    assert engine.starts == starts + 2, "only what is new is run"
    grown = read(tmp_path / "store")
    assert list(grown.zone.values) == ["Zone 2", "Zone 1", "Annex"], "key axes grow at their end"
    np.testing.assert_array_equal(grown.temperature[:4, :2], small.temperature)
    assert np.isnan(grown.temperature.sel(zone="Annex")[:4]).all()
    assert np.isfinite(grown.temperature[4:]).all()


def test_results_are_committed_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "COMMIT_INTERVAL_S", 0.2)
    engine = FakeEngine(longest_s=0.2, counter=tmp_path / "starts")
    plan = bs.plan(small_study(parameters=grid_of(20, 15)), store=tmp_path / "store", engine=engine)
    run = bs.run(plan, wait=False)
    seen: set[int] = set()
    deadline = time.monotonic() + 120
    while not run.is_done:
        assert time.monotonic() < deadline
        if run.progress.done:
            try:
                cube = read(tmp_path / "store")
            except Exception:  # noqa: BLE001 - a block that is being rewritten can be read half once
                continue
            finished = cube.status == "succeeded"
            assert np.isfinite(cube.electricity.values[finished.values]).all()
            seen.add(int(finished.sum()))
        time.sleep(0.1)
    run.wait()
    assert len(seen) >= 3, seen
    assert (read(tmp_path / "store").status == "succeeded").sum() == 301


def test_cancelling_keeps_and_commits_what_is_finished(tmp_path: Path) -> None:
    engine = FakeEngine(longest_s=0.2, counter=tmp_path / "starts")
    plan = bs.plan(small_study(parameters=grid_of(20, 20)), store=tmp_path / "store", engine=engine)
    run = bs.run(plan, wait=False)
    deadline = time.monotonic() + 60
    while run.progress.done < 20:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.cancel()
    run.wait(timeout_s=30)
    cube = read(tmp_path / "store")
    assert cube.sizes["variant"] == 401
    assert 20 <= (cube.status == "succeeded").sum() < 401
    assert set(cube.status.values) == {"succeeded", "pending"}
    again = bs.plan(small_study(parameters=grid_of(20, 20)), store=tmp_path / "store", engine=engine)
    assert 0 <= (cube.status == "pending").sum() - len(again.to_run) <= 2, "a record may come at the last moment"
    assert len(again.to_run) + len(again.stored) == 401


def test_cancelling_ends_where_no_worker_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "_THREADS_STAY_S", 0.2)
    engine = FakeEngine(longest_s=0.1, counter=tmp_path / "starts")
    with local_client() as client:
        plan = bs.plan(small_study(parameters=grid_of(5, 10)), store=tmp_path / "store", engine=engine)
        run = bs.run(plan, client=client, wait=False)
        wait_until(lambda: run.progress.done >= 5, timeout_s=30)
        client.cluster.scale(0)
        wait_until(lambda: not client.nthreads(), timeout_s=30)
        run.cancel()
        run.wait(timeout_s=10)
    finished = engine.starts
    again = run_study(small_study(parameters=grid_of(5, 10)), tmp_path / "store", engine)
    assert again.progress.cached >= 5, "what was finished is kept"
    assert engine.starts - finished == again.progress.done
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}


def test_a_limit_tries_a_few_first(tmp_path: Path, fake: FakeEngine) -> None:
    run = run_study(small_study(), tmp_path / "store", fake, limit=2)
    assert run.progress.done == 2
    assert list(read(tmp_path / "store").status.values) == ["succeeded"] * 2 + ["pending"] * 4
    run_study(small_study(), tmp_path / "store", fake)
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}
    assert fake.starts == 6 + 1  # and the probe


def test_a_bad_variant_costs_itself_only(tmp_path: Path) -> None:
    engine = FakeEngine(faults={3: "fail", 5: "crash"}, counter=tmp_path / "starts")
    with local_client(threads_per_worker=1) as client:
        run = run_study(small_study(), tmp_path / "store", engine, client=client)
    assert run.progress.statuses == {"succeeded": 4, "failed": 2}
    cube = read(tmp_path / "store")
    failed = (cube.status == "failed").values
    assert failed.sum() == 2
    assert np.isnan(cube.temperature.values[failed]).all()
    assert np.isfinite(cube.temperature.values[~failed]).all()
    groups = run.errors()
    assert list(groups["count"]) == [1, 1]
    assert any("design_level" in message for message in groups["message"])
    assert any("SIGSEGV" in message for message in groups["message"])
    store = Store(tmp_path / "store")
    raw = store.names("raw")
    assert len(raw) == 1, "the .err of what failed with one"


def test_failed_variants_run_again_on_request(tmp_path: Path) -> None:
    engine = FakeEngine(faults={2: "fail"}, counter=tmp_path / "starts")
    run_study(small_study(), tmp_path / "store", engine)
    assert (read(tmp_path / "store").status == "failed").sum() == 1
    assert run_study(small_study(), tmp_path / "store", engine).progress.done == 0
    starts = engine.starts
    run_study(small_study(), tmp_path / "store", engine, again=["failed"])
    assert engine.starts == starts + 1
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}


def test_a_time_out_stands_only_for_time_outs_up_to_its_own(tmp_path: Path) -> None:
    engine = FakeEngine(faults={2: "hang"}, counter=tmp_path / "starts")
    run_study(small_study(timeout_s=0.5), tmp_path / "store", engine)
    assert (read(tmp_path / "store").status == "timed_out").sum() == 1
    starts = engine.starts
    run_study(small_study(timeout_s=0.3), tmp_path / "store", engine)
    assert engine.starts == starts, "a shorter limit would end the same way"
    run_study(small_study(timeout_s=5), tmp_path / "store", engine)
    assert engine.starts == starts + 1
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}


def test_out_of_memory_stands_only_for_limits_up_to_what_it_needed(tmp_path: Path) -> None:
    def needs_a_gigabyte(job: Job, attempt: int) -> Fault | None:
        limit = job.max_memory_bytes
        return "out_of_memory" if len(job.edits) == 2 and limit is not None and limit < 10**9 else None

    engine = FakeEngine(faults=needs_a_gigabyte, counter=tmp_path / "starts")
    run = run_study(small_study(max_memory="500 MB"), tmp_path / "store", engine)
    assert run.progress.failed == 2
    cube = read(tmp_path / "store")
    outgrown = cube.status == "out_of_memory"
    assert outgrown.sum() == 2
    assert (run.status().memory_bytes[outgrown.values] > 500e6).all()
    groups = run.errors()
    assert list(groups["count"]) == [2]
    assert "max_memory of 477 MiB" in groups.message[0]
    assert "raise it" in groups.advice[0]
    assert np.isnan(cube.electricity[outgrown].values).all()
    starts = engine.starts
    run_study(small_study(max_memory="400 MB"), tmp_path / "store", engine)
    assert engine.starts == starts, "a narrower limit would end the same way"
    run_study(small_study(max_memory="400 MB"), tmp_path / "store", engine, again="out_of_memory")
    assert engine.starts == starts + 2
    run_study(small_study(name="other", max_memory="600 MB"), tmp_path / "store", engine)
    assert engine.starts == starts + 4, "another study with a wider limit tries, too"
    run_study(small_study(), tmp_path / "store", engine)
    assert engine.starts == starts + 6
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}


@pytest.mark.parametrize("how", [{}, {"shard": (1, 1)}, {"records_only": True}], ids=["run", "shard", "helper"])
def test_what_has_been_running_for_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    monkeypatch.setattr(submission, "_RUNNING_STAYS_S", 0.1)
    engine = FakeEngine(faults=lambda job, attempt: "hang" if job.calendar and not job.edits else None)
    run = run_study(small_study(), tmp_path / "store", engine, wait=False, **how)
    wait_until(lambda: len(run.progress.running) == 1, timeout_s=30)
    (told,) = run.progress.running
    assert told.variant_id == run.plan.variant_ids[0]
    assert told.at == "01/01"
    assert told.seconds > 0
    assert told.worker
    run.cancel()
    run.wait(timeout_s=30)
    assert run.progress.running == ()


def test_what_was_simulated_elsewhere_is_gathered_here(tmp_path: Path, fake: FakeEngine) -> None:
    run_study(small_study(), tmp_path / "store", fake, records_only=True)
    starts = fake.starts
    assert run_study(small_study(), tmp_path / "store", fake).progress.cached == 6
    assert fake.starts == starts
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}


def test_a_short_time_out_of_another_study_is_replaced(tmp_path: Path) -> None:
    """Its record is met only when it is packed."""
    engine = FakeEngine(faults={2: "hang"}, counter=tmp_path / "starts")
    run_study(small_study(timeout_s=0.5), tmp_path / "store", engine)
    starts = engine.starts
    run_study(small_study(name="other", timeout_s=5), tmp_path / "store", engine)
    assert engine.starts == starts + 1
    assert set(read(tmp_path / "store", "other").status.values) == {"succeeded"}


def test_many_time_outs_that_are_met_when_they_are_packed_do_not_end_the_run(tmp_path: Path) -> None:
    short, long = (small_study(parameters=grid_of(4, 5), timeout_s=seconds) for seconds in (0.2, 30.0))
    engine = FakeEngine(faults=lambda job, attempt: "hang" if job.edits and attempt == 1 else None)
    with local_client(threads_per_worker=8) as client:
        how = {"client": client, "max_failures": "100%"}
        assert run_study(short, tmp_path / "store", engine, records_only=True, **how).progress.failed == 20
        run = run_study(long, tmp_path / "store", FakeEngine())
    assert run.progress.statuses == {"succeeded": 20}
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}


@pytest.mark.parametrize("fault", ["infrastructure", "killed", "full_disk"])
def test_the_machines_faults_are_tried_again(tmp_path: Path, fault: str) -> None:
    engine = FakeEngine(faults={2: fault, 4: fault}, counter=tmp_path / "starts")
    run_study(small_study(), tmp_path / "store", engine)
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}
    assert engine.starts == 1 + 6 + 2


def test_what_fails_by_the_machines_fault_for_good_stays_pending(tmp_path: Path) -> None:
    def faults(job: object, attempt: int) -> str | None:
        return "infrastructure" if any(edit.value == 6 for edit in job.edits) else None  # type: ignore[attr-defined]

    engine = FakeEngine(faults=faults, counter=tmp_path / "starts")
    with pytest.raises(InfrastructureError, match="2 variants could not be run"):
        run_study(small_study(), tmp_path / "store", engine)
    cube = read(tmp_path / "store")
    np.testing.assert_array_equal(cube.status == "pending", cube.lighting == 6)
    assert engine.starts == 1 + 4 + 2 * MOST_TRIES
    healthy = FakeEngine(counter=tmp_path / "healthy")
    run_study(small_study(), tmp_path / "store", healthy)
    assert healthy.starts == 2
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}


def test_a_variant_that_its_engine_dies_of_each_time_fails_in_the_end(tmp_path: Path) -> None:
    def faults(job: Job, attempt: int) -> Fault | None:
        return "killed" if any(getattr(edit, "value", None) == 6 for edit in job.edits) else None

    engine = FakeEngine(faults=faults, counter=tmp_path / "starts")
    run = run_study(small_study(), tmp_path / "store", engine)
    assert run.progress.statuses == {"succeeded": 4, "failed": 2}
    assert engine.starts == 1 + 4 + 2 * MOST_TRIES
    messages = set(run.failed["message"])
    assert len(messages) == 1
    assert "SIGKILL (signal 9)" in messages.pop()
    cube = read(tmp_path / "store")
    np.testing.assert_array_equal(cube.status == "failed", cube.lighting == 6)


def test_an_engine_that_dies_now_and_then_condemns_nobody(tmp_path: Path) -> None:
    engine = FakeEngine(faults=lambda job, attempt: "killed" if job.calendar and attempt < MOST_TRIES else None)
    run = run_study(small_study(), tmp_path / "store", engine)
    assert run.progress.statuses == {"succeeded": 6}


def test_a_machine_that_can_run_nothing_ends_the_run_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_LEAST_S", 0.5)
    monkeypatch.setattr(task, "_LONGEST_WAIT_S", 0.1)
    faults: dict[int, Fault] = dict.fromkeys(range(2, 2000), "infrastructure")  # all but the probe
    engine = FakeEngine(faults=faults, counter=tmp_path / "starts")
    with local_client(threads_per_worker=4) as client, pytest.raises(InfrastructureError, match="variants in a row"):
        run_study(small_study(parameters=grid_of(20, 15)), tmp_path / "store", engine, client=client)
    assert engine.starts <= 1 + 4 * MOST_TRIES + 8 + 4 * 2
    assert set(read(tmp_path / "store").status.values) == {"pending"}


def test_one_machine_that_can_run_nothing_costs_no_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails again and again while the others are at their first variants."""
    monkeypatch.setattr(attempts, "_LEAST_S", 1.5)
    monkeypatch.setattr(submission, "_RUNNING_STAYS_S", 0.1)
    monkeypatch.setattr(task, "_LONGEST_WAIT_S", 0.1)
    with local_client(n_workers=2, threads_per_worker=2) as client:
        bad = next(iter(client.scheduler_info()["workers"]))

        def faults(job: Job, attempt: int) -> Fault | None:
            if not job.calendar:  # the probe
                return None
            if get_worker().address == bad:
                return "infrastructure"
            time.sleep(2.0)
            return None

        engine = FakeEngine(faults=faults)
        run = run_study(small_study(parameters=grid_of(2, 4)), tmp_path / "store", engine, client=client)
    assert run.progress.statuses == {"succeeded": 9}


def test_a_hopeless_study_is_ended_and_what_is_done_is_kept(tmp_path: Path) -> None:
    engine = FakeEngine(
        faults=lambda job, _: "fail" if job.calendar else None, longest_s=0.05, counter=tmp_path / "starts"
    )
    study = small_study(parameters=grid_of(20, 15))
    with local_client(threads_per_worker=2) as client:
        with pytest.raises(TooManyFailuresError, match=r"the first 2\d variants have all failed.*design_level"):
            run_study(study, tmp_path / "store", engine, client=client)
        assert engine.starts < 150
        statuses = read(tmp_path / "store").status.values
        assert 20 <= (statuses == "failed").sum() < 150
        assert len(statuses) == 301
        run_study(study, tmp_path / "store", engine, client=client, max_failures="100%")
    assert set(read(tmp_path / "store").status.values) == {"failed"}
    assert engine.starts <= 302 + 2, "what was stopped has run again"


@pytest.mark.parametrize("most", [3, 2])
def test_so_many_may_fail_as_the_user_says(tmp_path: Path, most: int) -> None:
    faults: dict[int, Fault] = dict.fromkeys((5, 9, 12), "fail")
    engine, store = FakeEngine(faults=faults, longest_s=0.02, counter=tmp_path / "starts"), tmp_path / "store"
    study = small_study(parameters=grid_of(10, 30))
    if most == 2:
        with pytest.raises(TooManyFailuresError, match="3 of 301 variants have failed, more than the 2 that may"):
            run_study(study, store, engine, max_failures=most)
    else:
        run_study(study, store, engine, max_failures=most)
    assert (read(store).status == "failed").sum() == 3
    assert ("pending" in read(store).status) == (most == 2)


def test_no_more_than_a_round_begins_once_too_many_have_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(longest_s=0.3, counter=tmp_path / "starts", faults=lambda job, _: "fail" if job.edits else None)
    why_hopeless, check_writable = StopRule.why_hopeless, Store.check_writable
    struck: list[int] = []

    def judge(rule: StopRule, to_do: int) -> str:
        if why := why_hopeless(rule, to_do):
            struck.append(engine.starts)
        return why

    def check_late(store: Store) -> None:
        time.sleep(0.5 if struck else 0.0)  # a server that is slow to answer
        check_writable(store)

    monkeypatch.setattr(StopRule, "why_hopeless", judge)
    monkeypatch.setattr(Store, "check_writable", check_late)
    with local_client(threads_per_worker=4) as client, pytest.raises(TooManyFailuresError):
        run_study(small_study(parameters=grid_of(15, 20)), tmp_path / "store", engine, client=client, max_failures=3)
    assert struck[0] <= engine.starts <= struck[0] + 4


DOLLAR_A_SECOND = Local(price_per_hour=3600.0)


def test_a_run_ends_within_what_it_may_cost_and_carries_on(tmp_path: Path) -> None:
    engine, study = FakeEngine(longest_s=0.2, counter=tmp_path / "starts"), small_study(parameters=grid_of(15, 20))
    with local_client(threads_per_worker=4) as client:
        plan = bs.plan(study, store=tmp_path / "store", engine=engine, cluster=DOLLAR_A_SECOND)
        run = bs.run(plan, client=client, max_cost=3, wait=False)
        with pytest.raises(CostLimitError, match=r"could exceed the \$3.00 that it may cost") as raised:
            run.wait()
        spent = float(re.search(r"of which \$([\d.]+) are spent", str(raised.value))[1])  # type: ignore[index]
        done = run.progress.done
        assert 0 < done < 301
        assert 2 < spent < 3.5, "a round takes 0.2 s at most"
        assert engine.starts - 1 - done <= 4, "at most a round is ended halfway"
        assert f"It has finished {done} of 301 variants" in str(raised.value)
        assert (read(tmp_path / "store").status == "succeeded").sum() >= done
        assert run.progress.cost_usd == run.account.cost_usd >= spent
        assert run.account.cost_usd < 2 * run.account.wall_s
        assert "1 x worker" in str(run.account)
        bs.run(bs.plan(study, store=tmp_path / "store", engine=engine, cluster=DOLLAR_A_SECOND), client=client)
    assert (read(tmp_path / "store").status == "succeeded").all()
    assert engine.starts <= 1 + 301 + 4, "what was kept is not run again"


@pytest.mark.parametrize("helping", [{"records_only": True}, {"shard": (1, 2)}])
def test_a_run_that_only_adds_records_ends_within_what_it_may_cost(tmp_path: Path, helping: dict[str, object]) -> None:
    engine, study = FakeEngine(longest_s=0.2, counter=tmp_path / "starts"), small_study(parameters=grid_of(15, 20))
    with local_client(threads_per_worker=4) as client:
        plan = bs.plan(study, store=tmp_path / "store", engine=engine, cluster=DOLLAR_A_SECOND)
        with pytest.raises(CostLimitError, match="finished"):
            bs.run(plan, client=client, max_cost=1, **helping)
    stored = len(Store(tmp_path / "store").stored(plan.variant_ids))
    assert 4 <= stored < 100, "1 s of four at once, 0.1 s each, is some 40"
    assert engine.starts - 1 - stored <= 4, "at most a round is ended halfway"


def test_variants_that_take_longer_than_thought_are_ended_when_the_money_is_spent(tmp_path: Path) -> None:
    engine = FakeEngine(counter=tmp_path / "starts", faults=lambda job, _: "hang" if job.calendar else None)
    with local_client(threads_per_worker=4) as client:
        plan = bs.plan(
            small_study(parameters=grid_of(15, 20)), store=tmp_path / "store", engine=engine, cluster=DOLLAR_A_SECOND
        )
        began = time.monotonic()
        with pytest.raises(CostLimitError, match="finished 0 of 301"):
            bs.run(plan, client=client, max_cost=2)
    assert time.monotonic() - began < 30
    assert engine.starts == 1 + 4, "before any has told how long it takes, one round is begun"


def test_a_run_that_can_be_paid_ends_like_any_other(tmp_path: Path, fake: FakeEngine) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=fake, cluster=DOLLAR_A_SECOND)
    run = bs.run(plan, max_cost=10_000)
    assert run.progress.statuses == {"succeeded": 6}
    assert run.account.cost_usd is not None
    assert run.account.to_dict()["cost_usd"] == pytest.approx(run.account.cost_usd, abs=1e-3)
    unpriced = bs.plan(small_study(name="other"), store=tmp_path / "store", engine=fake)
    assert bs.run(unpriced).account.cost_usd is None
    with pytest.raises(ValueError, match="max_cost needs a price"):
        bs.run(unpriced, max_cost=10)


def test_this_machine_has_no_price_of_another(
    tmp_path: Path, fake: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = Scheduler(address="tcp://127.0.0.1:8786", price_per_hour=1e9)
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=fake, cluster=elsewhere)
    run = bs.run(plan, max_cost=1)
    assert run.progress.statuses == {"succeeded": 6}
    assert run.account.cost_usd is None
    assert "the run takes this machine, which has no price" in caplog.text


def test_what_runs_first_tells_what_the_rest_costs(tmp_path: Path) -> None:
    engine = FakeEngine(longest_s=0.5, counter=tmp_path / "starts")
    with local_client(threads_per_worker=2) as client:
        plan = bs.plan(small_study(parameters=grid_of(8, 10)), store=tmp_path / "store", engine=engine)
        run = bs.run(plan, client=client, wait=False)
        deadline = time.monotonic() + 60
        while run.progress.stage != "trying":
            assert time.monotonic() < deadline
            time.sleep(0.001)
        while run.progress.stage == "trying":
            assert engine.starts <= 1 + 4, "nothing but the first ones runs before they have told"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        run.wait()
    estimate = run.progress.estimate
    assert estimate is not None
    assert (estimate.failed, estimate.threads, estimate.tried + estimate.to_do) == (0, 2, 81)
    assert estimate.tried >= 2, "they last between 0 and 0.5 s: the slowest may be left behind"
    assert estimate.record_bytes > 1000
    assert run.progress.statuses == {"succeeded": 81}


def test_workers_that_are_killed_condemn_nobody_even_where_one_loss_is_too_many(tmp_path: Path) -> None:
    """Dask gives back with an error what it was told to give up after one loss; the driver submits it again."""
    engine = FakeEngine(longest_s=0.2, counter=tmp_path / "starts")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        plan = bs.plan(small_study(parameters=grid_of(10, 6)), store=tmp_path / "store", engine=engine)
        run = bs.run(plan, client=client, wait=False)
        for done in (5, 20, 35):
            deadline = time.monotonic() + 60
            while run.progress.done < done:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            nannies = [nanny for nanny in cluster.workers.values() if nanny.process is not None]
            os.kill(nannies[0].process.pid, signal.SIGKILL)
        run.wait(timeout_s=120)
    assert run.progress.statuses == {"succeeded": 61}
    assert engine.starts <= 1 + 61 + 3 * 2 * 2


def test_a_record_that_cannot_be_read_is_run_again(tmp_path: Path, fake: FakeEngine) -> None:
    run_study(small_study(), tmp_path / "store", fake)
    before, starts = read(tmp_path / "store"), fake.starts
    store = Store(tmp_path / "store")
    victim = str(before.variant_id.values[3])
    path = Path(store.path(store.record_name(victim)))
    path.write_bytes(path.read_bytes()[:-40])
    store.delete_folder(store.study_name("small", "results.zarr"))  # a view: packed again from the records
    run_study(small_study(), tmp_path / "store", fake)
    assert fake.starts == starts + 1
    assert_same_cubes(before, read(tmp_path / "store"))


def test_identical_variants_run_once_and_fill_every_row(tmp_path: Path, fake: FakeEngine) -> None:
    twice = {"one": "bundled:usa_il_chicago", "two": "bundled:usa_il_chicago"}
    run_study(small_study(weather=twice), tmp_path / "store", fake)
    cube = read(tmp_path / "store")
    assert cube.sizes["variant"] == 12
    assert fake.starts == 6 + 1
    one, two = (cube.isel(variant=cube.weather.values == label) for label in ("one", "two"))
    order_one, order_two = np.argsort(one.variant_id.values), np.argsort(two.variant_id.values)
    np.testing.assert_array_equal(one.temperature.values[order_one], two.temperature.values[order_two])


def test_two_studies_in_one_store_share_records(tmp_path: Path, fake: FakeEngine) -> None:
    run_study(small_study(), tmp_path / "store", fake)
    starts = fake.starts
    renamed = {"light": small_study().parameters["lighting"], "axis": small_study().parameters["north"]}
    run_study(small_study(name="other", parameters=renamed), tmp_path / "store", fake)
    assert fake.starts == starts
    np.testing.assert_array_equal(read(tmp_path / "store").electricity, read(tmp_path / "store", "other").electricity)


def test_a_store_in_memory(fake: FakeEngine) -> None:
    url = f"memory://driver-{os.getpid()}-{time.monotonic_ns()}"
    run_study(small_study(), url, fake)
    assert set(read(url).status.values) == {"succeeded"}
    starts = fake.starts
    run_study(small_study(), url, fake)
    assert fake.starts == starts


def test_workers_in_other_processes(tmp_path: Path, fake: FakeEngine) -> None:
    with local_client(n_workers=2, threads_per_worker=2, processes=True) as client:
        run_study(small_study(parameters=grid_of(10, 30)), tmp_path / "store", fake, client=client)
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}
    assert fake.starts == 301 + 1


class Other(FakeEngine):
    """Changes its version when it travels."""

    def __reduce__(self) -> tuple[object, tuple[dict[str, str]]]:  # type: ignore[override]
        return _other_engine, ({"version": "EnergyPlus, Version 9.9"},)


@pytest.mark.parametrize("refused", [1, 10**9])
def test_a_run_ends_though_the_scheduler_keeps_a_worker_that_is_unfit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """One that holds a result which no other can take is not retired, whatever it is asked."""
    monkeypatch.setattr(submission, "_THREADS_STAY_S", 0.3)
    monkeypatch.setattr(submission, "_CLOSE_AGAIN_S", 0.05)
    retire, asked = Client.retire_workers, []

    def retire_later(self: Client, workers: list[str]) -> object:
        asked.append(workers)
        return {} if len(asked) <= refused else retire(self, workers)

    monkeypatch.setattr(Client, "retire_workers", retire_later)
    with pytest.raises(InfrastructureError, match=r"runs nothing: the engine 'EnergyPlus, Version 9\.9'"):
        run_study(small_study(), tmp_path / "store", Other(counter=tmp_path / "starts"))
    assert len(asked) == 2 if refused == 1 else len(asked) > 2, "asked until the worker is gone"


def test_a_worker_with_another_engine_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "_THREADS_STAY_S", 0.3)
    with pytest.raises(InfrastructureError, match=r"runs nothing: the engine 'EnergyPlus, Version 9\.9'"):
        run_study(small_study(), tmp_path / "store", Other(counter=tmp_path / "starts"))
    assert set(read(tmp_path / "store").status.values) == {"pending"}


def _other_engine(settings: dict[str, str]) -> FakeEngine:
    return FakeEngine(**settings)  # type: ignore[arg-type]


def test_plain_xarray_reads_the_cube(tmp_path: Path, fake: FakeEngine) -> None:
    run_study(small_study(), tmp_path / "store", fake)
    url = str(tmp_path / "store" / "studies" / "small" / "results.zarr")
    tree = xr.open_datatree(url, engine="zarr")
    monthly = xr.open_zarr(url, group="monthly")
    assert {"lighting", "north", "status", "variant_id", "weather", "utc_offset"} <= set(monthly.coords)
    assert monthly.temperature.attrs["units"] == "degC"
    assert str(monthly.time.values[0])[:10] == "2017-01-01"
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    monthly.to_netcdf(tmp_path / "monthly.nc", engine="h5netcdf")
    xr.testing.assert_equal(xr.open_dataset(tmp_path / "monthly.nc", engine="h5netcdf"), monthly)


def test_edits_keep_their_order_when_a_parameter_is_added_before_another(tmp_path: Path) -> None:
    """The identity of a variant stands for the order in which its edits are applied."""
    engine = FakeEngine()
    light = ("Lights", "watts_per_floor_area")
    b = bs.Field(*light, multiply=[None, 0.5])
    run_study(small_study(parameters={"b": b}), tmp_path / "store", engine)
    grown = small_study(parameters={"a": bs.Field(*light, values=[None, 6]), "b": b})
    plan = bs.plan(grown, store=tmp_path / "store", engine=engine)
    assert plan.points.names == ("baseline", "weather", "b", "a")
    context = context_of(plan)
    both = [row for row in plan.points.rows if None not in row]
    assert [[edit.operation for edit in context.edits_of(row)] for row in both] == [["set", "multiply"]]


def test_a_renamed_parameter_runs_the_edits_that_its_identity_stands_for(tmp_path: Path, fake: FakeEngine) -> None:
    """Old rows of the same variant may name a parameter that the study no longer has."""
    old = small_study()
    run_study(old, tmp_path / "store", fake, limit=1)
    renamed = {"light": old.parameters["lighting"], "north": old.parameters["north"]}
    run_study(small_study(parameters=renamed), tmp_path / "store", fake)
    undisturbed = FakeEngine(counter=tmp_path / "other")
    run_study(old, tmp_path / "undisturbed", undisturbed)
    store, quiet = Store(tmp_path / "store"), Store(tmp_path / "undisturbed")
    variants = set(read(quiet.url).variant_id.values)
    assert len(variants) == 6
    for variant in variants:
        mine, theirs = (from_bytes(s.get(s.record_name(variant)) or b"") for s in (store, quiet))
        assert mine.provenance["edits"] == theirs.provenance["edits"]
        assert [one.values.tolist() for one in mine.series] == [one.values.tolist() for one in theirs.series]


def test_a_relabelled_weather_file_runs_nothing_twice(tmp_path: Path, fake: FakeEngine) -> None:
    run_study(small_study(), tmp_path / "store", fake, limit=2)
    run_study(small_study(weather={"ohare": CHICAGO["chicago"]}), tmp_path / "store", fake)
    assert fake.starts == 6 + 1
    cube = read(tmp_path / "store")
    assert (cube.status.values[cube.weather.values == "ohare"] == "succeeded").all()


def test_an_input_that_changes_after_the_plan_is_refused(tmp_path: Path, fake: FakeEngine) -> None:
    epw = tmp_path / "own.epw"
    epw.write_bytes(Path(weather_files["usa_il_chicago"]).read_bytes())
    plan = bs.plan(small_study(weather=str(epw)), store=tmp_path / "store", engine=fake)
    epw.write_bytes(epw.read_bytes() + b"\n")
    with pytest.raises(StudyError, match="has changed since the study was planned"):
        bs.run(plan)
    assert not Store(tmp_path / "store").names("records")


def test_lost_facts_of_a_block_are_packed_again(tmp_path: Path, fake: FakeEngine) -> None:
    run_study(small_study(), tmp_path / "store", fake)
    before, starts = read(tmp_path / "store"), fake.starts
    store = Store(tmp_path / "store")
    store.delete_folder(store.study_name("small", "blocks"))
    run = run_study(small_study(), tmp_path / "store", fake)
    assert fake.starts == starts
    assert set(run.status()["status"]) == {"succeeded"}
    assert_same_cubes(before, read(tmp_path / "store"))


def test_a_time_out_of_a_row_that_is_no_longer_asked_for_stays(tmp_path: Path) -> None:
    def faults(job: Job, attempt: int) -> Fault | None:
        return "hang" if any(getattr(edit, "value", None) == 6 for edit in job.edits) else None

    engine = FakeEngine(faults=faults, counter=tmp_path / "starts")
    run_study(small_study(timeout_s=0.3), tmp_path / "store", engine)
    fewer = {**small_study().parameters, "lighting": bs.Field("Lights", "watts_per_floor_area", values=[None, 8])}
    run = run_study(small_study(timeout_s=5, parameters=fewer), tmp_path / "store", engine)
    assert run.progress.done == 0
    cube = read(tmp_path / "store")
    np.testing.assert_array_equal(cube.status == "timed_out", cube.lighting == 6)
    assert run.errors().empty, "it is no failure of what the study asks for now"


def test_a_record_that_never_becomes_readable_is_given_up(
    tmp_path: Path, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=fake)
    victim = plan.variant_ids[3]
    monkeypatch.setattr(
        "bemsweep.task.to_bytes", lambda record: to_bytes(record)[: 100 if record.variant_id == victim else None]
    )
    with pytest.raises(InfrastructureError, match="could not be read"):
        bs.run(plan)
    assert list(read(tmp_path / "store").status.values).count("pending") == 1


class OddUnits(FakeEngine):
    """Reports another unit for the variants that turn the building by 90 degrees."""

    def __reduce__(self) -> tuple[object, tuple[Path | None]]:  # type: ignore[override]
        return _odd_units, (self._counter,)

    def run(self, job: Job, scratch: Path, *, timeout_s: float) -> EngineRun:
        run = super().run(job, scratch, timeout_s=timeout_s)
        if any(getattr(edit, "value", None) == 90 for edit in job.edits):
            return replace(run, series=tuple(replace(one, units="kWh") for one in run.series))
        return run


def _odd_units(counter: Path | None) -> OddUnits:
    return OddUnits(counter=counter)


def test_a_variant_whose_output_is_something_else_costs_itself_only(tmp_path: Path) -> None:
    """The same array in another unit has no place in the cube."""

    with pytest.raises(InfrastructureError, match="3 variants could not be run"):
        run_study(small_study(), tmp_path / "store", OddUnits(counter=tmp_path / "starts"))
    cube = read(tmp_path / "store")
    np.testing.assert_array_equal(cube.status == "succeeded", np.isnan(cube.north))


def test_the_driver_needs_less_than_2_kb_a_variant(tmp_path: Path) -> None:
    study = small_study(parameters=grid_of(200, 100), outputs=small_study().outputs[:1])
    engine = FakeEngine()
    bs.plan(small_study(), store=tmp_path / "store", engine=engine)  # imports and caches
    tracemalloc.start()
    plan = bs.plan(study, store=tmp_path / "store", engine=engine)
    built = driver.Driver(plan, client=None, limit=None, again=frozenset(), rule=StopRule(), spending=Spending(None))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / len(plan.variant_ids) < 2000, f"{held / len(plan.variant_ids):.0f} bytes a variant"
    assert len(built.table()) == 20_001


def test_short_variants_go_together_and_none_suffers_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "MOST_TASKS_PER_S", 1.0)
    sizes, run = [], Flight.run

    def watched(*given, together):
        sizes.append(together)
        run(*given, together=together)

    def faults(job, attempt):
        has = {1: "fail", 2: "infrastructure" if attempt < 3 else None, 3: "killed" if attempt < 2 else None}
        return has.get(int(job.run_id[-8:], 16) % 10) if job.calendar else None

    monkeypatch.setattr(Flight, "run", watched)
    study = small_study(parameters=grid_of(6, 10))
    quiet = run_study(study, tmp_path / "quiet", FakeEngine()).status()
    assert max(sizes) > 1
    table = run_study(study, tmp_path / "faulty", FakeEngine(faults=faults)).status()
    failed = table["status"] == "failed"
    assert 0 < failed.sum() < 60
    assert list(failed) == [int(variant[-8:], 16) % 10 == 1 for variant in table["variant_id"]]
    assert list(table["outputs_sha256"]) == list(quiet["outputs_sha256"].where(~failed, ""))


NEW_COLUMNS = ("cpu_s", "moved_bytes", "worker")


def test_results_of_a_version_that_told_less_of_runs_are_read_verified_and_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, engine = tmp_path / "store", FakeEngine(counter=tmp_path / "starts")
    with monkeypatch.context() as earlier:
        for name in NEW_COLUMNS:
            earlier.delitem(TABLE_COLUMNS, name)
        names = [name for name in record_file._FACT_NAMES if name not in NEW_COLUMNS]
        earlier.setattr(record_file, "_FACT_NAMES", names)
        run_study(small_study(), store, engine)
        before = bs.open_results(store, "small").load()
    assert not set(NEW_COLUMNS) & set(bs.open_results(store, "small").to_dataset(inherit=False))
    assert not set(NEW_COLUMNS) & set(results.status(store, "small"))
    starts = engine.starts
    verified = run_study(small_study(), store, engine, verify=True)
    assert not verified.verification.bad
    assert engine.starts == starts
    after = bs.open_results(store, "small").load()
    root = after.to_dataset(inherit=False)
    assert set(root["worker"].values) == {""}
    assert root["cpu_s"].isnull().all()
    assert_same_cubes(before["monthly"].to_dataset(), after["monthly"].to_dataset())
    assert_same_cubes(before.to_dataset(inherit=False).drop_attrs(), root.drop_vars(NEW_COLUMNS).drop_attrs())
    level = {"lighting": bs.Field("Lights", "watts_per_floor_area", values=[None, 8, 6, 4])}
    grown = run_study(small_study(parameters={**small_study().parameters, **level}), store, engine)
    assert grown.progress.done == 2
    table = results.status(store, "small").sort_values("worker")
    assert list(table["worker"] != "") == [False] * 6 + [True] * 2
    assert list(table["moved_bytes"] > 0) == [False] * 6 + [True] * 2, "at least the record"
    again = run_study(small_study(parameters={**small_study().parameters, **level}), store, engine, verify=True)
    assert not again.verification.bad
