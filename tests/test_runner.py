from __future__ import annotations

import time
from pathlib import Path

import pytest

import bemsweep as bs
from bemsweep.driver import Progress
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
        raise bs.BemsweepError("scripted")

    monkeypatch.setattr("bemsweep.store.Store.put", refuse)
    with pytest.raises(bs.BemsweepError, match="scripted"):
        bs.run(plan)


def test_plans_studies_and_runs_show_themselves_in_jupyter(tmp_path: Path) -> None:
    study = small_study()
    assert "<table" in study._repr_html_()
    plan = bs.plan(study, store=tmp_path / "store", engine=FakeEngine())
    assert "<table" in plan._repr_html_()
    html = bs.run(plan)._repr_html_()
    assert "<table" in html
    assert "6 succeeded" in html
