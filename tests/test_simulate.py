from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from bemsweep.edits import FieldEdit
from bemsweep.engine import COMPLETED, EXIT_UNWRITABLE
from bemsweep.outcome import judge
from bemsweep.simulate import read_run, simulate
from engine_jobs import calling, job


class Stub:
    """Stands for EnergyPlus: notes what it is asked and leaves what it is told to."""

    version = "stub"

    def __init__(self, returncode: int = 0, files: dict[str, str] | None = None) -> None:
        self.returncode = returncode
        self.files = files or {}
        self.asked = []

    def warm_up(self) -> None:
        pass

    def simulate(self, model: Path, weather: Path, *, has_templates: bool = False) -> int:
        self.asked.append((model, weather, has_templates, model.read_text()))
        for name, text in self.files.items():
            (model.parent / name).write_text(text)
        return self.returncode


def do(a_job, scratch: Path, engine: Stub | None = None):
    code = simulate(lambda: a_job, scratch, engine or Stub())
    return read_run(scratch, code, memory_bytes=7)


def test_edits_reach_the_model_that_the_engine_gets(tmp_path):
    engine = Stub(1, {"eplusout.err": "some text", "sqlite.err": "opened"})
    edit = FieldEdit("Building", "north_axis", "set", 33.5)
    run = do(job(edits=(edit,)), tmp_path, engine)
    ((model, weather, has_templates, text),) = engine.asked
    assert model == tmp_path / "in.idf"
    assert weather == job().weather
    assert not has_templates
    assert "33.5" in text
    assert len(run.model_sha256) == 64
    assert (run.returncode, run.stage, run.memory_bytes) == (1, "engine", 7)
    assert (run.err, run.sqlite_err) == ("some text", "opened")


def test_output_is_not_read_unless_the_engine_says_it_completed(tmp_path):
    run = do(job(), tmp_path, Stub(0, {"eplusout.end": "EnergyPlus Terminated--Fatal Error Detected."}))
    assert (run.stage, run.error) == ("engine", "")


def test_missing_output_of_a_completed_run_is_told(tmp_path):
    run = do(job(), tmp_path, Stub(0, {"eplusout.end": COMPLETED}))
    assert run.stage == "read"
    assert run.error.startswith("InfrastructureError: eplusout.sql")


def test_signal_of_the_executable_is_handed_on(tmp_path):
    run = do(job(), tmp_path, Stub(-11))
    assert run.returncode == -11
    assert judge(run) == ("failed", "EnergyPlus died of SIGSEGV (signal 11)")


@pytest.mark.parametrize("what", ["baseline", "weather", "file"])
def test_missing_input_is_the_machines_fault(tmp_path, what):
    gone = tmp_path / "gone"
    changes = {"files": {"schedule.csv": gone}} if what == "file" else {what: gone.with_suffix(".idf")}
    engine = Stub()
    run = do(job(**changes), tmp_path, engine)
    assert run.stage == "edit"
    assert run.error.startswith("InfrastructureError: an input of the run is missing")
    assert not engine.asked


def raising(error):
    def function(document, value):
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (KeyError("no\nsuch"), "KeyError: "),
        (FileNotFoundError(errno.ENOENT, "no such file"), "FileNotFoundError: "),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (MemoryError(), "InfrastructureError: the run is out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "InfrastructureError: OSError: "),
    ],
)
def test_what_a_users_function_raises_is_one_line_with_its_type(tmp_path, error, wanted):
    run = do(calling(raising(error)), tmp_path)
    assert run.stage == "edit"
    assert run.returncode == 1
    assert run.error.startswith(wanted)
    assert "\n" not in run.error


def test_place_of_the_error_is_told(tmp_path):
    assert "test_simulate.py, line" in do(calling(raising(KeyError("x"))), tmp_path).error


def test_job_that_cannot_be_unpickled_is_a_failed_edit(tmp_path):
    def load():
        raise ModuleNotFoundError("No module named 'mine'")

    run = read_run(tmp_path, simulate(load, tmp_path, Stub()))
    assert (run.stage, run.error.partition(" (")[0]) == ("edit", "ModuleNotFoundError: No module named 'mine'")


def test_broken_baseline_is_the_models_fault(tmp_path):
    broken = tmp_path / "broken.epJSON"
    broken.write_text("{")
    run = do(job(baseline=broken), tmp_path)
    assert judge(run)[0] == "failed"


def test_unwritable_scratch_is_the_machines_fault(tmp_path):
    scratch = tmp_path / "scratch"
    code = simulate(job, scratch, Stub())
    assert code == EXIT_UNWRITABLE


def test_result_of_a_process_that_died_is_what_its_files_tell(tmp_path):
    do(job(), tmp_path, Stub(0, {"eplusout.err": "text"}))
    run = read_run(tmp_path, -9, is_timed_out=True)
    assert (run.returncode, run.stage, run.is_timed_out, run.err, run.series) == (-9, "engine", True, "text", ())


def test_nothing_left_by_a_run_reads_as_never_begun(tmp_path):
    assert read_run(tmp_path, 1).stage == "start"


def test_templates_are_seen(tmp_path):
    model = tmp_path / "templates.idf"
    shutil.copy(job().baseline, model)
    with model.open("a") as file:
        file.write("\nHVACTemplate:Thermostat,All Zones,,20,,26;\n")
    engine = Stub(1)
    do(job(baseline=model), tmp_path, engine)
    assert engine.asked[0][2]


def test_big_results_travel_whole(tmp_path, monkeypatch):
    from bemsweep import simulate as module
    from bemsweep.eplusout import Report
    from bemsweep.records import Series

    rng = np.random.default_rng(1)
    series = tuple(
        Series("t", "hourly", f"ZONE {n}", "zone", "Zone Mean Air Temperature", "C", "mean", rng.random(n))
        for n in range(4)
    )
    report = Report(series, ("CHICAGO ANN HTG 99.6% CONDNS DB", "CHICAGO ANN CLG .4% CONDNS WB=>MDB"), ("01-22", ""))
    monkeypatch.setattr(module, "read_report", lambda *_, **__: report)
    run = do(job(), tmp_path, Stub(0, {"eplusout.end": COMPLETED}))
    assert run.stage == "done"
    assert run.design_day_names == ("CHICAGO Ann Htg 99.6% Condns DB", "CHICAGO Ann Clg .4% Condns WB=>MDB")
    assert run.design_day_dates == ("01-22", "07-21")
    for got, wanted in zip(run.series, series, strict=True):
        assert vars(got) | {"values": None} == vars(wanted) | {"values": None}
        assert got.values.tobytes() == wanted.values.tobytes()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_scratch_is_the_machines_fault(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert simulate(job, tmp_path, Stub()) == EXIT_UNWRITABLE
    finally:
        tmp_path.chmod(0o700)
