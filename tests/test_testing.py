from __future__ import annotations

import math
import pickle
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bemsweep.edits import FieldEdit
from bemsweep.errors import InfrastructureError, RunCancelledError
from bemsweep.outcome import judge
from bemsweep.outputs import Output
from bemsweep.testing import FakeEngine
from engine_jobs import DESIGN_DAYS, ELECTRICITY, TEMPERATURE, YEAR, job, wait_until

NOWHERE = Path("nowhere")


def edit(value):
    return FieldEdit("Lights", "watts_per_floor_area", "set", value)


def run(engine, a_job, timeout_s=10.0):
    return engine.run(a_job, NOWHERE, timeout_s=timeout_s)


def test_same_variant_agrees_and_others_differ():
    one, two = FakeEngine(), FakeEngine()
    first = run(one, job(edits=(edit(6),)))
    again = run(two, job("another run", edits=(edit(6),)))
    other = run(two, job(edits=(edit(8),)))
    for a, b, c in zip(first.series, again.series, other.series, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
        assert not np.array_equal(a.values, c.values)
    assert judge(first) == ("succeeded", "")


def test_a_copy_of_the_baseline_is_the_same_baseline(tmp_path):
    paths = [tmp_path / name for name in ("a.idf", "b.idf", "c.idf")]
    for path in paths:
        path.write_text("Version,25.2;" + "!" * (path.name == "c.idf"))
    a, b, c = (run(FakeEngine(), job(baseline=path)).series[0].values for path in paths)
    assert a.tolist() == b.tolist() != c.tolist()


def test_follows_calendar_outputs_and_keys():
    report = run(FakeEngine(keys=["CORE", "ATTIC"]), job(run="annual", calendar=YEAR))
    assert [(s.output, s.key, s.key_kind, len(s.values)) for s in report.series] == [
        ("temperature", "CORE", "zone", 8760),
        ("temperature", "ATTIC", "zone", 8760),
        ("electricity", "", "", 8760),
    ]
    days = run(FakeEngine(keys=lambda one: [one.run_id]), job("ZONE X", outputs=(TEMPERATURE,), calendar=DESIGN_DAYS))
    assert [(s.key, len(s.values)) for s in days.series] == [("ZONE X", 48)]
    assert len(days.design_day_names) == len(days.design_day_dates) == 2


def test_reduces_the_very_series_that_it_reports():
    asked = (ELECTRICITY, replace(ELECTRICITY, reduce=("sum", "max")))
    whole, total, most = run(FakeEngine(), job(outputs=asked, run="annual", calendar=YEAR)).series
    assert (total.output, most.output) == ("electricity_sum", "electricity_max")
    assert (total.values.tolist(), most.values.tolist()) == ([math.fsum(whole.values)], [whole.values.max()])
    days = run(FakeEngine(), job(outputs=asked, calendar=DESIGN_DAYS)).series
    assert days[2].values.tolist() == days[0].values.reshape(2, 24).max(axis=1).tolist()


def test_raw_files_come_as_from_energyplus(tmp_path):
    engine = FakeEngine(raw_files={"eplusout.sql": 2_500_000, "eplustbl.htm": 3, "eplusout.eso": 4})
    asked = job(raw_files=("eplustbl.htm",))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        engine.run(asked, tmp_path / folder, timeout_s=10)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "a").iterdir()}
    assert sizes == {"eplusout.sql": 2_500_000, "eplustbl.htm": 3}, "what is not asked for stays away"
    assert (tmp_path / "a" / "eplusout.sql").read_bytes() == (tmp_path / "b" / "eplusout.sql").read_bytes()


def test_probe_tells_names_only():
    asked = (TEMPERATURE, ELECTRICITY, Output("variable", "No Such Thing", "hourly", "x"))
    engine = FakeEngine(reports=["Zone Mean Air Temperature", "Electricity:Facility", "Gas:Facility"])
    probe = run(engine, job(outputs=asked, calendar=None))
    assert probe.dictionary == {
        "variable": ["Zone Mean Air Temperature"],
        "meter": ["Electricity:Facility", "Gas:Facility"],
        "report": [],
    }
    assert [(s.output, s.values.size) for s in probe.series] == [("temperature", 0)] * 2 + [("electricity", 0)]


@pytest.mark.parametrize("fault", ["fail", "crash", "bad_edit", "other_axis"])
def test_faults_of_the_model(fault):
    status, message = judge(run(FakeEngine(faults={1: fault}), job()))
    assert status == "failed"
    assert message


@pytest.mark.parametrize("fault", ["infrastructure", "killed", "full_disk"])
def test_faults_of_the_machine(fault):
    with pytest.raises(InfrastructureError):
        judge(run(FakeEngine(faults={1: fault}), job()))


def test_hang_ends_with_the_time_out():
    status, _ = judge(run(FakeEngine(faults={1: "hang"}), job(), timeout_s=0.01))
    assert status == "timed_out"


def test_a_run_outgrows_the_memory_it_may_take():
    engine = FakeEngine(faults=lambda job, attempt: "out_of_memory")
    assert judge(run(engine, job()))[0] == "succeeded", "there is no limit"
    ended = run(engine, job(max_memory_bytes=2**30))
    assert judge(ended)[0] == "out_of_memory"
    assert ended.memory_bytes > 2**30


def test_what_runs_is_told():
    engine = FakeEngine(faults={1: "hang"})
    assert engine.running() == {}
    thread = threading.Thread(target=lambda: run(engine, job("a"), timeout_s=60))
    thread.start()
    wait_until(lambda: "a" in engine.running())
    assert re.fullmatch(r"\d\d/01", engine.running()["a"])
    engine.kill("a")
    thread.join()
    assert engine.running() == {}


def test_kill_ends_a_hanging_run():
    engine = FakeEngine(faults={1: "hang"})
    ends = []
    thread = threading.Thread(target=lambda: ends.append(run(engine, job("a"), timeout_s=60)))
    thread.start()
    wait_until(lambda: engine.kill("a") or not thread.is_alive())
    with pytest.raises(RunCancelledError):
        judge(ends[0])


def test_fault_once_for_each_variant():
    engine = FakeEngine(faults=lambda _, attempt: "crash" if attempt == 1 else None)
    outcomes = [judge(run(engine, job(edits=(edit(value),))))[0] for value in (1, 2, 1, 2)]
    assert outcomes == ["failed", "failed", "succeeded", "succeeded"]


def test_mapping_counts_runs():
    engine = FakeEngine(faults={2: "fail"})
    assert [judge(run(engine, job()))[0] for _ in range(3)] == ["succeeded", "failed", "succeeded"]
    assert engine.starts == 3


def test_counter_is_shared_by_copies(tmp_path):
    engine = FakeEngine(counter=tmp_path / "starts", faults={2: "fail"})
    copy = pickle.loads(pickle.dumps(engine))
    assert engine.starts == 0
    run(engine, job())
    assert judge(run(copy, job()))[0] == "failed"
    assert engine.starts == copy.starts == 2


def test_numbers_are_given_once_across_processes(tmp_path):
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from test_testing import FakeEngine, job, run\n"
        "engine = FakeEngine(counter=Path(sys.argv[1]), faults={n: 'fail' for n in range(1, 121, 2)})\n"
        "print(sum(run(engine, job()).returncode for _ in range(40)))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "starts"), *sys.path]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(other.communicate()[0]) for other in others) == 60
    assert FakeEngine(counter=tmp_path / "starts").starts == 120


def test_durations_put_ends_out_of_order():
    engine = FakeEngine(longest_s=0.1, seed=3)
    ends = []
    threads = [
        threading.Thread(target=lambda n=n: (run(engine, job(str(n), edits=(edit(n),))), ends.append(n)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == list(range(8)) != ends


def test_runs_in_threads_of_dask():
    from distributed import Client, LocalCluster

    engine = FakeEngine(longest_s=0.02)
    jobs = [replace(job(str(n)), edits=(edit(n),)) for n in range(6)]
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="inproc://"
        ) as cluster,
        Client(cluster) as client,
    ):
        futures = client.map(lambda one: judge(engine.run(one, NOWHERE, timeout_s=10))[0], jobs, pure=False)
        assert client.gather(futures) == ["succeeded"] * 6


def test_run_takes_no_longer_than_its_limit():
    begin = time.monotonic()
    report = run(FakeEngine(longest_s=1000.0), job(), timeout_s=0.05)
    assert report.is_timed_out
    assert time.monotonic() - begin < 5
