from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bemsweep import host_client, warm_host
from bemsweep import host_process as host_process_module
from bemsweep.edits import FieldEdit
from bemsweep.errors import EngineDiedError, EngineNotFoundError, InfrastructureError, RunCancelledError
from bemsweep.host_client import FreshEngine, HostEngine, find_engines, kept_warm, open_engine
from bemsweep.host_process import HostProcess
from bemsweep.outcome import judge
from bemsweep.outputs import Output
from direct_engine import memory_of_energyplus, query, run_energyplus
from engine_jobs import ELECTRICITY, TEMPERATURE, YEAR, calling, descendants, job, wait_until, write_launcher
from s3_servers import is_server

pytestmark = [pytest.mark.engine, pytest.mark.skipif(sys.platform != "linux", reason="counts processes as Linux does")]

VERSION = "EnergyPlus, Version 25.2.0-cf7368216c (No OpenGL)"


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    """Return an ``energyplus`` executable, which calls the wheel's library."""
    return write_launcher(tmp_path_factory.mktemp("EnergyPlus-25-2-0"))


@pytest.fixture(scope="module", params=["host", "fresh", "executable"])
def engine(request, launcher):
    """Return each kind of engine in turn."""
    with open_engine(launcher if request.param == "executable" else None, can_fork=request.param != "fresh") as opened:
        yield opened


@pytest.fixture(scope="module")
def host():
    with open_engine(can_fork=True) as opened:
        yield opened


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left():
    before = descendants()
    yield
    assert descendants() <= before


STRANGERS: set[int] = set()
"""What other tests have left running below this process."""


@pytest.fixture(autouse=True)
def _no_run_is_left():
    STRANGERS.clear()
    STRANGERS.update(runs())
    yield
    wait_until(lambda: not runs())


def runs() -> set[int]:
    """Return the processes below this one, but for hosts, which wait for their next run, and servers of tests."""
    others = {child.pid for child in psutil.Process().children() if _is_host_or_server(child)}
    return descendants() - others - STRANGERS


def _is_host_or_server(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return True
    return ("bemsweep.host" in command and "--once" not in command) or is_server(command)


def host_process(engine: HostEngine) -> psutil.Process:
    assert engine.version
    return psutil.Process(engine._host._child._process.pid)


def assert_usable(engine, scratch: Path) -> None:
    """Check with a run that ends before EnergyPlus begins."""
    scratch.mkdir()
    run = engine.run(calling(leave, 3), scratch, timeout_s=60)
    assert (run.stage, run.returncode) == ("edit", 3)


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    """Return the hourly temperatures of a direct run of the untouched model, which reports them itself."""
    folder = tmp_path_factory.mktemp("direct")
    run_energyplus(job().baseline, folder, "-D", weather=job().weather)
    rows = query(
        folder,
        "SELECT KeyValue, Value FROM ReportData JOIN ReportDataDictionary USING (ReportDataDictionaryIndex)"
        " WHERE Name = 'Zone Mean Air Temperature' AND ReportingFrequency = 'Hourly' ORDER BY ReportDataIndex",
    )
    return {key: [value for its_key, value in rows if its_key == key] for key in {key for key, _ in rows}}


def test_values_are_those_of_a_direct_run_to_the_last_bit(engine, direct, tmp_path):
    assert engine.version == VERSION
    run = engine.run(job(), tmp_path, timeout_s=60)
    assert judge(run) == ("succeeded", "")
    got = {series.key.upper(): series.values.tolist() for series in run.series if series.output == "temperature"}
    assert got == direct
    assert [len(values) for values in got.values()] == [48] * 6
    assert "Core_ZN" in {series.key for series in run.series}
    assert run.memory_bytes > 50e6
    assert 0 < run.engine_s < 60
    assert 0.1 * run.engine_s < run.cpu_s < 60
    assert run.design_day_dates == ("01-21", "07-21")
    assert not runs()


def test_edit_changes_the_run_and_only_it(host, tmp_path):
    values = []
    for number, watts in enumerate([None, 100.0, None]):
        edits = () if watts is None else (FieldEdit("Lights", "watts_per_floor_area", "set", watts),)
        scratch = tmp_path / str(number)
        scratch.mkdir()
        run = host.run(job(edits=edits, outputs=(ELECTRICITY,)), scratch, timeout_s=60)
        values.append(run.series[0].values.sum())
    assert values[0] == values[2] < values[1]


def test_overlapping_patterns_give_each_series_once(host, tmp_path):
    patterns = [replace(TEMPERATURE, key=key, array=key) for key in ("core*", "*", "CORE_ZN")]
    run = host.run(job(outputs=tuple(patterns)), tmp_path, timeout_s=60)
    assert sorted((series.output, series.key.upper()) for series in run.series) == [
        ("*", "ATTIC"),
        *(("*", f"PERIMETER_ZN_{number}") for number in range(1, 5)),
        ("core*", "CORE_ZN"),
    ]


def test_probe_lists_what_can_be_asked_for(host, tmp_path):
    absent = Output("variable", "No Such Thing", "hourly", "x")
    run = host.run(job(outputs=(TEMPERATURE, absent), calendar=None), tmp_path, timeout_s=60)
    assert judge(run) == ("succeeded", "")
    assert len(run.dictionary["variable"]) > 500
    assert len(run.dictionary["meter"]) > 100
    assert TEMPERATURE.name in run.dictionary["variable"]
    assert ELECTRICITY.name in run.dictionary["meter"]
    assert {series.output for series in run.series} == {"temperature"}


def test_threads_share_one_host(host, tmp_path):
    def one(number: int):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        run = host.run(calling(set_north, 10.0 * number, run_id=str(number)), scratch, timeout_s=120)
        return judge(run)[0], run.model_sha256

    def set_north(document, value):
        document["Building"].first().north_axis = value

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(one, range(4)))
    assert {status for status, _ in ends} == {"succeeded"}
    assert len({sha256 for _, sha256 in ends}) == 4
    assert not runs()


def test_model_that_energyplus_rejects(engine, tmp_path):
    def make_negative(document, value):
        document["Lights"].first().data["watts_per_floor_area"] = value

    run = engine.run(calling(make_negative, -5.0), tmp_path, timeout_s=60)
    status, message = judge(run)
    assert status == "failed"
    assert "watts_per_floor_area" in message
    assert not runs()


def die(document, value):
    os.kill(os.getpid(), value)


def leave(document, value):
    os._exit(value)


def leave_behind(document, value):
    Path("left").write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    if value:
        os._exit(value)
    raise ValueError("left something behind")


def sleep_forever(document, value):
    Path("asleep").touch()
    while True:
        signal.pause()


def scream(document, value):
    sys.stdout.write("to standard output\n")
    os.write(1, b"\0" * 100)
    raise ValueError(os.read(0, 1))


@pytest.mark.parametrize(
    ("function", "value", "message"),
    [(die, signal.SIGSEGV, "SIGSEGV"), (die, signal.SIGABRT, "SIGABRT"), (leave, 3, "exit code 3")],
)
def test_crash_costs_its_own_run_only(engine, tmp_path, function, value, message):
    status, told = judge(engine.run(calling(function, int(value)), tmp_path, timeout_s=60))
    assert status == "failed"
    assert message in told
    assert_usable(engine, tmp_path / "again")


def test_death_by_a_foreign_kill_is_the_machines_fault(host, tmp_path):
    with pytest.raises(EngineDiedError, match="SIGKILL"):
        judge(host.run(calling(die, int(signal.SIGKILL)), tmp_path, timeout_s=60))


@pytest.mark.parametrize("value", [0, 3])
def test_what_a_run_leaves_behind_is_killed_with_it(engine, tmp_path, value):
    assert engine.run(calling(leave_behind, value), tmp_path, timeout_s=60).stage == "edit"
    pid = int((tmp_path / "left").read_text())
    # Not `runs`: without its parent it is nobody's descendant.
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_prints_of_a_function_do_not_reach_the_protocol(engine, tmp_path):
    run = engine.run(calling(scream), tmp_path, timeout_s=60)
    assert run.error.startswith("ValueError: b''")
    assert "to standard output" in (tmp_path / "bemsweep.console").read_text()
    assert_usable(engine, tmp_path / "again")


def test_sleeping_function_is_ended_by_the_clock(engine, tmp_path):
    begin = time.monotonic()
    run = engine.run(calling(sleep_forever), tmp_path, timeout_s=2.0)
    assert judge(run)[0] == "timed_out"
    assert run.stage == "edit"
    assert 2.0 <= time.monotonic() - begin < 10
    assert not runs()


def test_engine_is_ended_by_the_clock(engine, tmp_path):
    assert engine.version
    run = engine.run(job(run="annual", calendar=YEAR), tmp_path, timeout_s=4.0)  # a year takes 7.5 s, or more
    assert judge(run)[0] == "timed_out"
    assert run.stage == "engine"
    assert not runs()


def stopped(process: psutil.Process) -> psutil.Process:
    process.suspend()
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
    return process


def test_a_silent_engine_is_ended_by_the_clock(engine, tmp_path):
    """It is stopped in the middle, with all that it started, and says nothing any more."""
    assert engine.version
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.run, job(run="annual", calendar=YEAR), tmp_path, timeout_s=3.0)
        wait_until(lambda: (tmp_path / "bemsweep.stage").exists() and engine.running()["run"] != "editing")
        for pid in runs():
            stopped(psutil.Process(pid))
        run = future.result(timeout=30)
    assert judge(run)[0] == "timed_out"
    assert engine.running() == {}
    assert not runs()


def ignore_signals(document, value):
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    sleep_forever(document, value)


def test_a_run_that_ignores_signals_is_ended_by_the_clock(host, tmp_path):
    assert judge(host.run(calling(ignore_signals), tmp_path, timeout_s=1.0))[0] == "timed_out"
    assert not runs()


def has_begun(at: str) -> bool:
    return re.fullmatch(r"\d\d/\d\d", at) is not None and at > "01/20"


def test_a_run_tells_its_simulated_date(engine, tmp_path):
    assert engine.running() == {}
    seen = []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.run, job("a run", run="annual", calendar=YEAR), tmp_path, timeout_s=600)
        wait_until(lambda: seen.append(engine.running().get("a run", "")) or has_begun(seen[-1]), timeout_s=60)
        engine.kill("a run")
        assert future.result(timeout=10).is_cancelled
    dates = [at for at in seen if re.fullmatch(r"\d\d/\d\d", at)]
    assert dates == sorted(dates)
    assert len(set(dates)) > 1
    assert {"starting", "editing", "sizing"} & set(seen)


def test_a_host_that_hangs_is_noticed_and_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(host_client, "_ASK_INTERVAL_S", 0.5)
    with open_engine(can_fork=True) as host, ThreadPoolExecutor(2) as pool:
        folders = [tmp_path / name for name in "ab"]
        for folder in folders:
            folder.mkdir()
        futures = [pool.submit(host.run, calling(sleep_forever), folder, timeout_s=600) for folder in folders]
        for folder in folders:
            wait_until((folder / "asleep").exists, timeout_s=30)
        hung = stopped(host_process(host))
        for future in futures:
            with pytest.raises(InfrastructureError, match="does not answer"):
                future.result(timeout=30)
        wait_until(lambda: not runs())
        monkeypatch.undo()
        assert_usable(host, tmp_path / "again")
        assert host_process(host).pid != hung.pid


def test_a_host_that_lives_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(host_client, "_ASK_INTERVAL_S", 0.3)
    with open_engine(can_fork=True) as host:
        run = host.run(calling(sleep_forever), tmp_path, timeout_s=3.0)
        assert judge(run)[0] == "timed_out"
        assert host._host.answers > 2


def test_a_host_that_does_not_read_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setattr(host_process_module, "_READ_TIMEOUT_S", 0.5)
    with open_engine(can_fork=True) as host:
        stopped(host_process(host))
        with pytest.raises(InfrastructureError, match="does not answer"):
            host.run(calling(sleep_forever, b"more than the pipe holds" * 100_000), tmp_path, timeout_s=600)
        monkeypatch.undo()
        assert_usable(host, tmp_path / "again")


def test_a_host_that_is_stopped_while_it_starts_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(host_client, "_START_TIMEOUT_S", 1.0)
    with open_engine(can_fork=True) as host:
        stopped(psutil.Process(host._living_host()._child._process.pid))
        with pytest.raises(InfrastructureError, match="did not start within 1 s"):
            host.run(job(), tmp_path, timeout_s=60)
        monkeypatch.undo()
        assert_usable(host, tmp_path / "again")


def test_what_cannot_be_killed_holds_nobody_up(tmp_path, monkeypatch):
    """As when the kernel waits for a disk that is gone: no signal ends the process. Here none is sent."""
    monkeypatch.setattr(host_client, "_ASK_INTERVAL_S", 0.1)
    monkeypatch.setattr(host_client, "KILL_TIMEOUT_S", 0.5)
    monkeypatch.setattr(host_process_module, "KILL_TIMEOUT_S", 0.5)
    host = open_engine(can_fork=True)
    hung = stopped(host_process(host))
    listener = host._host._listener
    try:
        with monkeypatch.context() as patch:
            patch.setattr(HostProcess, "kill_group", lambda _: None)
            with pytest.raises(InfrastructureError, match="does not answer"):
                host.run(job(), tmp_path, timeout_s=600)
        monkeypatch.undo()
        assert_usable(host, tmp_path / "again")
        assert host_process(host).pid != hung.pid
    finally:
        hung.kill()
        listener.join()
        host.close()


def test_closing_does_not_wait_for_what_cannot_be_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(warm_host, "KILL_TIMEOUT_S", 0.3)
    monkeypatch.setattr(host_process_module, "KILL_TIMEOUT_S", 0.3)
    engine = open_engine(can_fork=True)
    hung = stopped(host_process(engine))
    listener = engine._host._listener
    with monkeypatch.context() as patch:
        patch.setattr(HostProcess, "kill_group", lambda _: None)
        begin = time.monotonic()
        engine.close()
        assert time.monotonic() - begin < 10
    hung.kill()
    listener.join()


def test_a_fresh_run_that_cannot_be_killed_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setattr(host_client, "KILL_TIMEOUT_S", 0.3)
    monkeypatch.setattr(host_process_module, "KILL_TIMEOUT_S", 0.3)
    children = []
    with open_engine(can_fork=False) as engine, ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(HostProcess, "kill_group", lambda child: children.append(child))  # noqa: PLW0108 - it is bound
            future = pool.submit(engine.run, calling(sleep_forever), tmp_path, timeout_s=5.0)
            wait_until((tmp_path / "asleep").exists)
            with pytest.raises(InfrastructureError, match="does not end"):
                future.result(timeout=20)
        children[0].kill_group()
        assert children[0].wait(10) is not None


def grow(document, value):
    kept = []
    while True:
        kept.append(b"x" * value)
        Path("grown").touch()
        time.sleep(0.01)


def start_what_grows(document, value):
    subprocess.run([sys.executable, "-c", "kept = b'x' * 10**9; import time; time.sleep(600)"], check=True)


def test_a_run_that_outgrows_its_memory_is_ended_and_costs_itself_only(host, tmp_path):
    folders = [tmp_path / name for name in ("one", "neighbour")]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(host.run, job(max_memory_bytes=2**31), folders[1], timeout_s=60)
        begin = time.monotonic()
        run = host.run(calling(grow, 10_000_000, max_memory_bytes=600_000_000), folders[0], timeout_s=60)
        assert time.monotonic() - begin < 10
        assert judge(neighbour.result()) == ("succeeded", "")
    status, message = judge(run)
    assert status == "out_of_memory"
    assert "at stage 'edit', by the study's max_memory of 572 MiB" in message
    assert 600_000_000 < run.memory_bytes < 1_200_000_000


def test_what_a_run_starts_is_counted_with_it(engine, tmp_path):
    run = engine.run(calling(start_what_grows, max_memory_bytes=600_000_000), tmp_path, timeout_s=60)
    assert judge(run)[0] == "out_of_memory"
    assert not runs()
    assert_usable(engine, tmp_path / "again")


def test_energyplus_that_outgrows_its_memory_is_ended(engine, tmp_path):
    assert engine.version
    run = engine.run(job(run="annual", calendar=YEAR, max_memory_bytes=100_000_000), tmp_path, timeout_s=60)
    assert judge(run)[0] == "out_of_memory"
    assert not runs()


def allocate(document, value):
    Path("before").write_text(str(psutil.Process().memory_info().rss))
    assert len(b"x" * value)


def test_memory_is_what_the_run_took(host, tmp_path):
    """A run of EnergyPlus alone takes less by what Python holds that edits the model in the same process."""
    for name in ("run", "large"):
        (tmp_path / name).mkdir()
    run = host.run(job(), tmp_path / "run", timeout_s=60)
    bare = memory_of_energyplus(tmp_path / "run" / "in.idf", tmp_path / "bare")
    assert 0.9 * bare < run.memory_bytes < 1.1 * bare + 50e6
    run = host.run(calling(allocate, 400_000_000), tmp_path / "large", timeout_s=60)
    before = int((tmp_path / "large" / "before").read_text())
    assert run.memory_bytes == pytest.approx(before + 400_000_000, rel=0.1)


def test_kill_ends_a_run_of_another_thread_quickly(engine, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.run, calling(sleep_forever, run_id="victim"), tmp_path, timeout_s=600)
        wait_until((tmp_path / "asleep").exists)
        engine.kill("somebody else")
        begin = time.monotonic()
        engine.kill("victim")
        run = future.result(timeout=10)
    assert time.monotonic() - begin < 1.0
    with pytest.raises(RunCancelledError):
        judge(run)
    assert not runs()


@pytest.mark.parametrize("can_fork", [True, False])
def test_close_cancels_what_runs(tmp_path, can_fork):
    before = descendants()
    engine = open_engine(can_fork=can_fork)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.run, calling(sleep_forever), tmp_path, timeout_s=600)
        wait_until((tmp_path / "asleep").exists)
        engine.close()
        assert descendants() <= before
        assert future.result(timeout=10).is_cancelled
    with pytest.raises(InfrastructureError, match="closed"):
        engine.run(job(), tmp_path, timeout_s=60)


def test_closing_twice_or_unused_is_nothing():
    before = descendants()
    engine = open_engine()
    engine.close()
    engine.close()
    assert descendants() <= before


def test_death_of_the_host_is_the_machines_fault_and_the_next_run_has_a_new_one(host, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        folders = [tmp_path / name for name in "ab"]
        for folder in folders:
            folder.mkdir()
        futures = [pool.submit(host.run, calling(sleep_forever), folder, timeout_s=600) for folder in folders]
        for folder in folders:
            wait_until((folder / "asleep").exists)
        old = host_process(host)
        old.kill()
        for future in futures:
            with pytest.raises(EngineDiedError, match="host was killed by SIGKILL"):
                future.result(timeout=10)
    wait_until(lambda: not runs())
    assert_usable(host, tmp_path / "again")
    assert host_process(host).pid != old.pid


def test_worker_killed_leaves_no_process(tmp_path):
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from engine_jobs import calling\n"
        "from test_host_client import sleep_forever\n"
        "from bemsweep.host_client import open_engine\n"
        "open_engine(can_fork=sys.argv[1] == 'host').run(calling(sleep_forever), Path.cwd(), timeout_s=600)\n"
    )
    for kind in ("host", "fresh"):
        scratch = tmp_path / kind
        scratch.mkdir()
        arguments = [sys.executable, "-c", script, kind, *sys.path]
        with subprocess.Popen(arguments, cwd=scratch) as worker:
            wait_until((scratch / "asleep").exists)
            below = psutil.Process(worker.pid).children(recursive=True)
            assert len(below) == (2 if kind == "host" else 1)
            worker.kill()
        wait_until(lambda below=below: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in below))


def test_interrupt_of_the_waiting_thread_ends_its_run(host, tmp_path):
    assert host.version
    main = threading.main_thread().ident

    def interrupt():
        wait_until((tmp_path / "asleep").exists)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            host.run(calling(sleep_forever), tmp_path, timeout_s=600)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, usual)
    assert not runs()


def test_host_starts_no_thread_and_imports_nothing_that_would(host, tmp_path):
    def report(document, value):
        import json
        import sys
        from pathlib import Path

        Path("modules.json").write_text(json.dumps(sorted(sys.modules)))
        Path("threads").write_text(str(len(list(Path("/proc/self/task").iterdir()))))

    assert judge(host.run(calling(report), tmp_path, timeout_s=60))[0] == "succeeded"
    modules = set(json.loads((tmp_path / "modules.json").read_text()))
    assert not {"pyarrow", "zarr", "pandas", "dask", "distributed", "xarray"} & modules
    assert "numpy" in modules
    assert (tmp_path / "threads").read_text() == "1"
    assert len(list(Path(f"/proc/{host_process(host).pid}/task").iterdir())) == 1
    assert host_process(host).environ()["OPENBLAS_NUM_THREADS"] == "1"


def test_changed_baseline_is_parsed_again(host, tmp_path):
    model = tmp_path / "model.idf"
    text = job().baseline.read_text()
    seen = []
    for number in range(2):
        model.write_text(text + "!" * number)
        scratch = tmp_path / str(number)
        scratch.mkdir()
        run = host.run(job(baseline=model, outputs=(ELECTRICITY,)), scratch, timeout_s=60)
        seen.append(run.model_sha256)
        text = text.replace("Ref Bldg Small Office New2004_v1.3_5.0", "Another Building")
    assert seen[0] != seen[1]


def test_broken_baseline_costs_its_own_runs_only(host, tmp_path):
    broken = tmp_path / "broken.idf"
    broken.write_text("this is no model")
    status, message = judge(host.run(job(baseline=broken), tmp_path, timeout_s=60))
    assert status == "failed"
    assert "broken.idf" in message
    with pytest.raises(InfrastructureError, match="missing"):
        judge(host.run(job(baseline=tmp_path / "gone.idf"), tmp_path, timeout_s=60))
    assert judge(host.run(job(), tmp_path, timeout_s=60)) == ("succeeded", "")


def test_more_baselines_than_the_host_keeps(host, tmp_path):
    text = job().baseline.read_text()
    for number in range(6):
        model = tmp_path / f"{number % 5}.idf"
        model.write_text(text)
        run = host.run(calling(leave, 3, baseline=model), tmp_path, timeout_s=60)
        assert (run.stage, run.returncode) == ("edit", 3)


def test_full_scratch_is_the_machines_fault_and_costs_its_own_run_only(engine, tmp_path):
    def allow_little(document, value):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (value, value))

    full = tmp_path / "full"
    full.mkdir()
    # Enough for the model, too little for what the engine writes.
    names = ("Surface Inside Face Temperature", "Surface Outside Face Temperature")
    outputs = tuple(Output("variable", name, "timestep", name) for name in names)
    run = engine.run(calling(allow_little, 450_000, outputs=outputs), full, timeout_s=60)
    assert run.stage in {"engine", "read"}
    with pytest.raises(InfrastructureError, match=r"SQLite failed|without a word|SIGXFSZ|cannot be read"):
        judge(run)
    assert judge(engine.run(job(), tmp_path, timeout_s=60)) == ("succeeded", "")


def test_function_that_cannot_be_sent_is_a_failed_edit(engine, tmp_path):
    lock = threading.Lock()
    status, message = judge(engine.run(calling(lambda document, value: lock.locked()), tmp_path, timeout_s=60))
    assert status == "failed"
    assert "cannot be sent" in message


def test_engine_is_opened_not_pickled(host):
    with pytest.raises(TypeError, match="open one in each process"):
        pickle.dumps(host)


@pytest.mark.parametrize("can_fork", [True, False])
def test_build_that_is_no_energyplus(tmp_path, can_fork):
    script = tmp_path / "energyplus"
    script.write_text("#!/bin/sh\necho something else\n")
    script.chmod(0o755)
    with open_engine(script, can_fork=can_fork) as engine:
        with pytest.raises(EngineNotFoundError, match="is not EnergyPlus"):
            _ = engine.version
        with pytest.raises(EngineNotFoundError, match="is not EnergyPlus"):
            engine.run(job(), tmp_path, timeout_s=10)


def test_engines_are_named_by_what_they_report(monkeypatch, launcher, tmp_path):
    broken = tmp_path / "energyplus"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("ENERGYPLUS_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{launcher.parent}{os.pathsep}{os.environ['PATH']}")
    engines = find_engines()
    assert list(engines) == [VERSION], "the broken one is left out, and two that report the same are one"
    assert engines[VERSION].name.startswith("libenergyplusapi"), "the preferred one of the two"


def test_kind_of_engine_follows_the_system():
    assert isinstance(open_engine(), HostEngine)
    assert isinstance(open_engine(can_fork=False), FreshEngine)


@pytest.fixture
def new_hosts():
    """Return what tells the hosts that this test has started."""

    def hosts() -> set[int]:
        found = set()
        for child in psutil.Process().children():
            with suppress(psutil.Error):  # it has just ended
                found |= {child.pid} if "bemsweep.host" in child.cmdline() else set()
        return found

    before = hosts()
    return lambda: hosts() - before


def test_engines_share_a_host_while_it_is_kept_warm(new_hosts):
    with kept_warm():
        waiting = new_hosts()
        assert len(waiting) == 1
        with open_engine() as engine:
            assert engine.version
            assert new_hosts() == waiting
            with open_engine() as other:
                assert other.version
                assert len(new_hosts()) == 2, "one that is taken serves nobody else"
        assert len(new_hosts()) == 1
        with open_engine() as engine:
            assert engine.version
            assert len(new_hosts()) == 1
    assert not new_hosts()
    with open_engine() as engine:
        assert engine.version
    assert not new_hosts()


def test_a_host_that_has_died_is_not_kept(new_hosts):
    with kept_warm():
        with open_engine() as engine:
            host_process(engine).kill()
            wait_until(lambda: not new_hosts())
        with open_engine() as engine:
            assert engine.version
    assert not new_hosts()


def test_a_host_with_a_run_under_way_is_not_kept(new_hosts, tmp_path):
    with kept_warm(), ThreadPoolExecutor(1) as pool:
        engine = open_engine()
        future = pool.submit(engine.run, job(run="annual", calendar=YEAR), tmp_path, timeout_s=60.0)
        wait_until(lambda: bool(runs()))
        engine.close()
        assert future.result(timeout=30).is_cancelled
        assert not new_hosts()


def test_what_is_no_engine_is_not_kept_warm(new_hosts, tmp_path):
    with kept_warm(tmp_path / "energyplus"):
        assert not new_hosts()
