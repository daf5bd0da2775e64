from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import xarray as xr

import bemsweep as bs
from bemsweep.errors import ConflictError, StoreError
from bemsweep.progress import Progress
from bemsweep.testing import FakeEngine
from small_studies import grid_of, read, small_study


def test_a_run_in_the_background_tells_its_progress(tmp_path: Path) -> None:
    engine = FakeEngine(longest_s=0.1)
    plan = bs.plan(small_study(parameters=grid_of(5, 10)), store=tmp_path / "store", engine=engine)
    run = bs.run(plan, wait=False)
    assert isinstance(run, bs.Run)
    seen: list[Progress] = []
    deadline = time.monotonic() + 60
    while not run.is_done:
        assert time.monotonic() < deadline
        seen.append(run.progress)
        time.sleep(0.02)
    run.wait()
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert any(0 < count < 51 for count in done)
    last = run.progress
    assert (last.total, last.done, last.to_do, last.failed, last.cached, last.stage) == (51, 51, 51, 0, 0, "done")
    assert last.rate > 0
    assert any(progress.eta_s for progress in seen)
    assert "51 of 51 done" in repr(run)


def test_waiting_has_a_limit_and_errors_come_through(tmp_path: Path) -> None:
    engine = FakeEngine(faults=lambda job, attempt: "hang" if job.calendar else None)
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=engine)
    run = bs.run(plan, wait=False)
    with pytest.raises(TimeoutError, match="still under way"):
        run.wait(timeout_s=0.3)
    assert not run.is_cancelled
    run.cancel()
    assert run.is_cancelled
    run.wait(timeout_s=30)
    assert set(read(tmp_path / "store").status.values) == {"pending"}


def test_a_broken_store_ends_the_run_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())

    def refuse(*_: object) -> None:
        raise StoreError("scripted")

    monkeypatch.setattr("bemsweep.store.Store.put", refuse)
    with pytest.raises(StoreError, match="scripted"):
        bs.run(plan)


def test_plans_studies_and_runs_show_themselves_in_jupyter(tmp_path: Path) -> None:
    study = small_study()
    assert "<table" in study._repr_html_()
    plan = bs.plan(study, store=tmp_path / "store", engine=FakeEngine())
    assert "<table" in plan._repr_html_()
    assert "<td" + ' style="text-align: left">6: 0 stored, 6 to run' in plan._repr_html_()
    html = bs.run(plan)._repr_html_()
    assert "<table" in html
    assert "engine_s" in html
    assert "memory_bytes" not in html
    assert "6 succeeded" in html


def test_the_same_plan_runs_nothing_twice(tmp_path: Path) -> None:
    engine = FakeEngine(counter=tmp_path / "starts")
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=engine)
    bs.run(plan)
    starts = engine.starts
    assert bs.run(plan).progress.done == 0
    assert engine.starts == starts


def test_a_plan_that_another_run_has_overtaken_is_refused(tmp_path: Path) -> None:
    engine = FakeEngine()
    level = {"lighting": bs.Field("Lights", "watts_per_floor_area", values=[8])}
    old = bs.plan(small_study(parameters=level), store=tmp_path / "store", engine=engine)
    bs.run(bs.plan(small_study(), store=tmp_path / "store", engine=engine))
    before = read(tmp_path / "store")
    with pytest.raises(ConflictError, match="plan it again"):
        bs.run(old)
    xr.testing.assert_identical(before, read(tmp_path / "store"))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"again": "faild"}, "no status 'faild'"),
        ({"again": ["failed", "pending"]}, "no status 'pending'"),
        ({"limit": -1}, "limit is a number"),
        ({"limit": 1.5}, "limit is a number"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, how: dict[str, object], told: str) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    with pytest.raises(ValueError, match=told):
        bs.run(plan, **how)  # type: ignore[arg-type]


def test_what_is_no_study_or_plan_is_told() -> None:
    with pytest.raises(TypeError, match="plan takes a Study"):
        bs.plan("study.yaml")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="run takes what"):
        bs.run(small_study())  # type: ignore[arg-type]


def test_ctrl_c_waits_for_the_commit(tmp_path: Path) -> None:
    """In a script, where `bs.run` is called as it stands; SIGINT twice."""
    script = textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        import threading
        from pathlib import Path
        from small_studies import *
        engine = FakeEngine(longest_s=0.3, counter=Path({str(tmp_path / "starts")!r}))
        plan = bs.plan(small_study(parameters=grid_of(20, 30)), store={str(tmp_path / "store")!r}, engine=engine)
        print("planned", flush=True)
        try:
            bs.run(plan)
        except KeyboardInterrupt:
            print([thread.name for thread in threading.enumerate() if thread.name.startswith("bemsweep-")])
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, process_group=0)
    assert process.stdout is not None
    assert process.stdout.readline() == "planned\n"
    deadline = time.monotonic() + 60
    while not (tmp_path / "starts").exists() or len((tmp_path / "starts").read_text().splitlines()) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out == "[]\n", "the driver's thread has ended"
    cube = read(tmp_path / "store")
    assert cube.sizes["variant"] == 601
    assert (cube.status == "succeeded").sum() >= 10
