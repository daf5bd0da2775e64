"""Promise: no process, scratch folder or temporary file is left, however a variant ends."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import bemsweep as bs
from bemsweep.host_client import HostEngine, open_engine
from engine_jobs import descendants
from small_studies import CHICAGO, local_client, read


def misbehave(document: Any, value: str) -> None:
    """What users' edits, broken models and engines do; runs in the fork that runs the engine."""
    if value == "rejected":
        next(iter(document["Lights"])).watts_per_floor_area = -1.0  # Fatal
    elif value == "raises":
        raise ValueError("the edit gave up")
    elif value == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif value == "hang":
        # A child of the run's own must go with it.
        if os.fork() == 0:
            signal.pause()
        time.sleep(600)


ENDS = {
    "fine": "succeeded", "rejected": "failed", "raises": "failed", "crash": "failed", "hang": "timed_out"
}  # fmt: skip


def study(**changes: Any) -> bs.Study:
    settings: dict[str, Any] = {
        "name": "small",
        "baseline": "bundled:ref/small_office",
        "weather": CHICAGO,
        "run": "design_day",
        "parameters": {"ending": bs.Call(misbehave, values=list(ENDS))},
        "outputs": [bs.Variable("Zone Mean Air Temperature", frequency="hourly", as_="temperature")],
        "reference": False,
        "timeout_s": 15.0,  # a design day takes a second, but machines can be busy
    }
    return bs.Study(**{**settings, **changes})


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for everything temporary; nothing may be left in it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    tempfile.tempdir = None


@pytest.mark.engine
@pytest.mark.parametrize("workers", ["here", "elsewhere"])
def test_nothing_is_left_however_a_variant_ends(tmp_path: Path, scratch: Path, workers: str) -> None:
    before = descendants()
    plan = bs.plan(study(), store=tmp_path / "store")
    if workers == "here":
        run = bs.run(plan)
    else:
        with local_client(n_workers=1, threads_per_worker=2, processes=True, local_directory=str(tmp_path)) as client:
            run = bs.run(plan, client=client)
    assert dict(zip(run.status()["ending"], run.status()["status"], strict=True)) == ENDS
    messages = dict(zip(run.status()["ending"], run.status()["message"], strict=True))
    assert "watts_per_floor_area" in messages["rejected"]
    assert "the edit gave up" in messages["raises"]
    assert "SIGSEGV" in messages["crash"]
    assert "time-out" in messages["hang"]
    cube = read(tmp_path / "store", group="hourly")
    np.testing.assert_array_equal(
        np.isfinite(cube.temperature).all(["zone", "design_day", "time"]), cube.ending == "fine"
    )
    deadline = time.monotonic() + 20
    while descendants() - before:
        assert time.monotonic() < deadline, [psutil.Process(pid).cmdline() for pid in descendants() - before]
        time.sleep(0.05)
    assert not [path for path in scratch.iterdir() if path.name != "dask-scratch-space"]
    assert not list((tmp_path / "store").rglob("*.tmp"))


@pytest.mark.engine
def test_the_path_without_fork(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Windows does: a fresh child per run, the same results to the last bit."""
    forked = bs.run(bs.plan(study(parameters={}, reference=True), store=tmp_path / "forked"))
    opened: list[Any] = []

    def fresh(spec: str | None = None) -> Any:
        opened.append(open_engine(spec, can_fork=False))
        return opened[-1]

    monkeypatch.setattr("bemsweep.task.open_engine", fresh)
    bs.run(bs.plan(study(), store=tmp_path / "fresh"))
    assert opened
    assert not isinstance(opened[0], HostEngine)
    cube = read(tmp_path / "fresh", group="hourly")
    assert dict(zip(cube.ending.values, cube.status.values, strict=True)) == ENDS
    reference = read(tmp_path / "forked", group="hourly").temperature.values[0]
    np.testing.assert_array_equal(cube.temperature.values[cube.ending.values == "fine"][0], reference)
    assert forked.progress.failed == 0
    assert not list(scratch.iterdir())
