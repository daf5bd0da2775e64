from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import bemsweep as bs
from bemsweep import performance_report
from bemsweep.errors import BemsweepError, TooManyFailuresError
from bemsweep.testing import FakeEngine
from small_studies import local_client, small_study


def planned(tmp_path: Path, **settings: object) -> bs.Plan:
    return bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine(**settings))


def tasks_told(page: Path) -> int:
    """Return how many tasks a report tells of."""
    (found,) = set(re.findall(r"number of tasks: (\d+)", page.read_text()))
    return int(found)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    pytest.importorskip("bokeh")
    return tmp_path / "report.html"


def test_a_report_tells_of_the_tasks(tmp_path: Path, page: Path) -> None:
    bs.run(planned(tmp_path), performance_report=page)
    assert "Dask Performance Report" in page.read_text()
    assert tasks_told(page) >= 7, "a probe of the store, six variants, packing"


def test_it_is_of_the_client_used_and_written_of_a_run_that_fails_too(tmp_path: Path, page: Path) -> None:
    plan = planned(tmp_path, faults=lambda job, _: "fail" if job.calendar else None)
    with local_client(set_as_default=True), local_client() as client, pytest.raises(TooManyFailuresError):
        bs.run(plan, client=client, performance_report=page, max_failures=0)
    assert tasks_told(page) >= 2


def test_a_report_that_cannot_be_made_does_not_hide_how_the_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def __init__(self, filename: str) -> None:
            self.filename = filename

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            raise OSError("scripted")

    monkeypatch.setattr(performance_report, "performance_report", Failing)
    monkeypatch.setattr(performance_report, "find_spec", lambda name: name)
    assert bs.run(planned(tmp_path), performance_report=tmp_path / "report.html").is_done
    assert "could not be written: OSError('scripted')" in caplog.text


@pytest.mark.parametrize("name", ["gone/report.html", "."])
def test_where_no_file_can_be_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(performance_report, "find_spec", lambda name: name)
    engine = FakeEngine()
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=engine)
    starts = engine.starts
    with pytest.raises(BemsweepError, match="cannot be a performance report"):
        bs.run(plan, performance_report=tmp_path / name)
    assert engine.starts == starts


def test_without_what_draws_it_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bokeh", None)
    monkeypatch.setattr(performance_report, "find_spec", lambda name: None)
    with pytest.raises(BemsweepError, match="bemsweep\\[dashboard\\]"):
        bs.run(planned(tmp_path), performance_report=tmp_path / "report.html")
