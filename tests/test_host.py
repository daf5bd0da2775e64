from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import cloudpickle
import psutil
import pytest

from bemsweep.energyplus import build_at
from bemsweep.messages import receive, send
from engine_jobs import calling, wait_until
from test_host_client import sleep_forever

pytestmark = [pytest.mark.engine, pytest.mark.skipif(sys.platform != "linux", reason="the host forks")]


@contextmanager
def started(*arguments: str):
    """Start a host and speak to it as nothing but two pipes."""
    command = [sys.executable, "-m", "bemsweep.host", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            yield process, process.stdin.fileno(), process.stdout.fileno()
        finally:
            process.kill()


def library(*options: str):
    return started("library", str(build_at().path), *options)


def request(serial: int, scratch):
    job = calling(sleep_forever)
    return "run", serial, str(job.baseline), cloudpickle.dumps(job), str(scratch), sys.path, None


def test_says_its_version_first():
    with library() as (_, _, reports):
        kind, version = receive(reports)
    assert kind == "ready"
    assert version.startswith("EnergyPlus, Version 25.2.0")


def test_version_alone():
    with library("--version") as (process, _, reports):
        assert receive(reports)[0] == "ready"
        assert process.wait(10) == 0


def test_broken_build_is_told(tmp_path):
    (tmp_path / "lib.so").write_text("none")
    with started("library", str(tmp_path / "lib.so")) as (process, _, reports):
        kind, message = receive(reports)
        assert process.wait(10) == 1
    assert kind == "broken"
    assert "lib.so" in message


def test_end_of_input_ends_the_host_and_its_runs(tmp_path):
    with library() as (process, requests, reports):
        receive(reports)
        for serial in range(2):
            scratch = tmp_path / str(serial)
            scratch.mkdir()
            send(requests, request(serial, scratch))
            wait_until((scratch / "asleep").exists)
        runs = psutil.Process(process.pid).children(recursive=True)
        process.stdin.close()
        assert process.wait(10) == 0
        assert len(runs) == 2
        assert not any(run.is_running() for run in runs)


@pytest.mark.parametrize("is_closed", [False, True])
def test_folders_of_a_client_that_was_killed_are_deleted_ended_runs_too(tmp_path, is_closed):
    """Between the end of a run and the reading of it the folder is the client's, if there is one still."""
    with library() as (process, requests, reports):
        receive(reports)
        for serial in range(2):
            scratch = tmp_path / str(serial)
            scratch.mkdir()
            send(requests, request(serial, scratch))
            wait_until((scratch / "asleep").exists)
        send(requests, ("kill", 0))
        assert receive(reports)[:2] == ("ended", 0)
        if is_closed:
            send(requests, ("close",))
        process.stdin.close()
        assert process.wait(10) == 0
    assert [path.name for path in sorted(tmp_path.iterdir())] == (["0", "1"] if is_closed else [])


def test_kill_ends_the_run_that_is_meant(tmp_path):
    with library() as (_, requests, reports):
        receive(reports)
        for serial in range(2):
            scratch = tmp_path / str(serial)
            scratch.mkdir()
            send(requests, request(serial, scratch))
            wait_until((scratch / "asleep").exists)
        send(requests, ("kill", 7))
        for serial in (1, 0):
            send(requests, ("kill", serial))
            kind, ended, returncode, memory_bytes, cpu_s, _ = receive(reports)
            assert (kind, ended, returncode) == ("ended", serial, -9)
            assert memory_bytes > 50e6
            assert 0 < cpu_s < 60


def test_runs_die_with_a_host_that_is_killed(tmp_path):
    with library() as (process, requests, reports):
        receive(reports)
        send(requests, request(0, tmp_path))
        wait_until((tmp_path / "asleep").exists)
        (run,) = psutil.Process(process.pid).children()
        process.kill()
        wait_until(lambda: not run.is_running() or run.status() == psutil.STATUS_ZOMBIE)


def test_scratch_that_is_not_there_costs_its_own_run_only(tmp_path):
    with library() as (_, requests, reports):
        receive(reports)
        send(requests, request(0, tmp_path / "gone"))
        assert receive(reports)[:3] == ("ended", 0, 1)
        send(requests, request(1, tmp_path))
        wait_until((tmp_path / "asleep").exists)
