from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import dask
import pytest

import bemsweep as bs
from bemsweep import attempts, preflight, roll_call, submission
from bemsweep.cluster_settings import SCHEDULER_SETTINGS
from bemsweep.engine import Job
from bemsweep.errors import ClusterError, InfrastructureError
from bemsweep.preflight import Facts, Workers, look, memory_warning, own_versions, why_other_versions
from engine_jobs import wait_until
from small_studies import ENGINE_VARIABLE, VersionedEngine, grid_of, local_client, read, small_study, worker_process

GB = 10**9


def facts(**changes: object) -> Facts:
    """What a worker tells that can run everything; `changes` replace some of it."""
    told = {"versions": own_versions(), "machine": "here", "pid": 1, "memory_bytes": 8 * GB, "why_no_scratch": ""}
    return {**told, **changes}


def versions(**changes: str) -> dict[str, object]:
    return {"versions": {**own_versions(), **changes}}


def test_this_process_can_run_its_own_studies() -> None:
    told = look()
    assert told["memory_bytes"] > GB
    assert Workers().take({"a": told}) == []


def test_a_scratch_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(tmp_path / "gone"))
    with pytest.raises(InfrastructureError, match=r"no worker can run the study: 1 worker \(a\) runs nothing: .*gone"):
        Workers().take({"a": look()})


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ({}, ""),
        ({"Python": "3.8"}, f"Python 3.8 instead of {own_versions()['Python']}; install the same packages everywhere"),
        ({"bemsweep": "0", "Python": "3.8"}, "bemsweep 0 instead of"),
    ],
    ids=["same", "python", "both"],
)
def test_other_versions_are_told(theirs: dict[str, str], why: str) -> None:
    found = why_other_versions({**own_versions(), **theirs}, instead_of=own_versions())
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_what_tells_no_versions_is_unfit() -> None:
    assert "bemsweep of an unknown version" in why_other_versions(None, instead_of=own_versions())


def test_some_that_are_unfit_are_named_and_the_others_work() -> None:
    workers = Workers()
    told = {f"tcp://{n}": facts(**versions(bemsweep="0.0.1")) for n in range(5)}
    told["tcp://x"] = ModuleNotFoundError("No module named 'bemsweep'")
    assert workers.take({**told, "tcp://fit": facts()}) == list(told)
    assert str(workers).startswith("5 workers (tcp://0, tcp://1, tcp://2 and 2 more) run nothing: bemsweep 0.0.1 ")
    assert "1 worker (tcp://x) runs nothing: ModuleNotFoundError: No module named 'bemsweep'; install" in str(workers)
    assert not workers.note("tcp://0", "again")


def test_all_that_are_unfit_run_nothing() -> None:
    with pytest.raises(ClusterError, match="no worker can run the study: 1 worker"):
        Workers().take({"a": facts(**versions(bemsweep="0.0.1"))})
    with pytest.raises(InfrastructureError):
        Workers().take({"a": facts(why_no_scratch="no room"), "b": facts(why_no_scratch="no room")})


def test_a_cluster_that_brings_unfit_workers_for_ever_is_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    workers = Workers()
    workers.note_all({**{f"tcp://first-{number}": "another engine" for number in range(8)}, "tcp://fit": ""})
    assert not workers.why_hopeless(is_deserted=False, longest_s=0), "one is fit"
    for number in range(8):
        now[0] += 10
        assert not workers.why_hopeless(is_deserted=False, longest_s=0)
        workers.note(f"tcp://{number}", "another engine")
    assert "another engine" in workers.why_hopeless(is_deserted=False, longest_s=3)
    assert not workers.why_hopeless(is_deserted=False, longest_s=60), "that one works"
    workers.finish()
    assert not workers.why_hopeless(is_deserted=False, longest_s=0)
    assert workers.why_hopeless(is_deserted=True, longest_s=0)
    assert not Workers().why_hopeless(is_deserted=True, longest_s=0)


def test_machines_are_told_that_have_too_little_memory() -> None:
    told = {"a": facts(), "b": facts(), "c": facts(machine="large", memory_bytes=64 * GB)}
    threads = {"a": 4, "b": 4, "c": 16}
    assert not memory_warning(told, threads, GB)
    warning = memory_warning(told, {**threads, "b": 5}, GB)
    assert warning.startswith("1 machine (here) may run out of memory: here has 8.0 GB and runs 9 engines at once")
    assert not memory_warning({}, {}, GB)


def told_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if "nothing" in one.getMessage()]


def until(path: Path) -> Callable[[Job, int], None]:
    """Have a `FakeEngine` finish no variant before there is a file."""

    def wait(job: Job, attempt: int) -> None:
        if job.calendar is not None:
            wait_until(path.exists, timeout_s=60)

    return wait


def test_a_worker_with_another_engine_that_comes_late_runs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MOST_TRIES", 1)  # a try that counted would be the last
    counter, go = tmp_path / "starts", tmp_path / "go"
    engine = VersionedEngine(faults=until(go), counter=counter)
    plan = bs.plan(small_study(parameters=grid_of(3, 4)), store=tmp_path / "store", engine=engine)
    with local_client(n_workers=1, threads_per_worker=1, processes=True) as client:
        run = bs.run(plan, client=client, wait=False)
        wait_until(lambda: run.progress.stage in ("trying", "running"), timeout_s=60)
        with worker_process(client, "late", **{ENGINE_VARIABLE: "another engine"}):
            wait_until(lambda: run.progress.unfit, timeout_s=60)
            wait_until(lambda: len(client.nthreads()) == 1, timeout_s=60)
            go.touch()
            run.wait(timeout_s=120)
    assert run.progress.statuses == {"succeeded": 13}
    assert len(counter.read_text().splitlines()) == 14, "each variant once, and the probe"
    (told,) = told_of(caplog)
    assert "runs nothing: the engine 'another engine' instead of 'EnergyPlus, Version 25.2.0-fake'" in told
    assert told in repr(run)
    assert {name.rpartition("/")[2] for name in run.status()["worker"]} == {"0"}
    assert set(read(tmp_path / "store").status.values) == {"succeeded"}


def test_workers_that_are_all_unfit_from_the_start_end_the_run_at_once(tmp_path: Path) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=VersionedEngine(counter=tmp_path / "starts"))
    with (
        local_client(n_workers=0, processes=True) as client,
        worker_process(client, "one", **{ENGINE_VARIABLE: "another engine"}),
        pytest.raises(ClusterError, match=r"no worker can run the study: 1 worker .* 'another engine' instead of"),
    ):
        bs.run(plan, client=client)
    assert len((tmp_path / "starts").read_text().splitlines()) == 1, "the probe"


def test_a_run_whose_last_fit_worker_goes_ends_and_carries_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "_THREADS_STAY_S", 0.3)
    go, study = tmp_path / "go", small_study(parameters=grid_of(3, 4))
    engine = VersionedEngine(faults=until(go))
    plan = bs.plan(study, store=tmp_path / "store", engine=engine)
    with local_client(n_workers=1, threads_per_worker=1, processes=True) as client:
        run = bs.run(plan, client=client, wait=False)
        wait_until(lambda: run.progress.stage in ("trying", "running"), timeout_s=60)
        with worker_process(client, "late", **{ENGINE_VARIABLE: "another engine"}):
            wait_until(lambda: run.progress.unfit, timeout_s=60)
            client.cluster.scale(0)
            with pytest.raises(InfrastructureError, match="no worker is left that can run the study: 1 worker"):
                run.wait(timeout_s=60)
    go.touch()
    assert bs.run(bs.plan(study, store=tmp_path / "store", engine=engine)).progress.done == 13


def test_a_cluster_without_workers_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=VersionedEngine())
    with local_client(n_workers=0) as client:
        run = bs.run(plan, client=client, wait=False)
        wait_until(lambda: any("waiting for some" in one.getMessage() for one in caplog.records), timeout_s=30)
        client.cluster.scale(1)
        run.wait(timeout_s=60)
    assert run.progress.statuses == {"succeeded": 6}


def test_a_worker_that_does_not_answer_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll_call, "_ASKING_S", 0.3)
    over = threading.Event()
    monkeypatch.setattr(roll_call, "look", lambda: over.wait(30))
    with local_client(n_workers=1) as client:
        began = time.monotonic()
        assert roll_call.RollCall(client, "run", threading.Event()).look() == {}
        assert time.monotonic() - began < 10
        over.set()


def test_a_worker_that_does_not_answer_leaves_the_others_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(roll_call, "_ASKING_S", 1.0)
    silent, over = [], threading.Event()

    def look_or_hang() -> dict[str, str]:
        with lock:
            is_first = not silent
            silent.append(1)
        if is_first:
            over.wait(30)
        return {"machine": "here"}

    lock = threading.Lock()
    monkeypatch.setattr(roll_call, "look", look_or_hang)
    with local_client(n_workers=3) as client:
        assert list(roll_call.RollCall(client, "run", threading.Event()).look().values()) == [{"machine": "here"}] * 2
        assert "1 of 3 workers, such as " in caplog.text
        over.set()


def test_workers_that_have_all_answered_at_the_last_moment_are_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(roll_call, "_ASKING_S", 0.5)
    over = threading.Event()
    with local_client(n_workers=2) as client:
        sync = client.sync

        def lingering(function: Callable[..., object], *arguments: object, **how: object) -> object:
            answer = sync(function, *arguments, **how)
            if threading.current_thread().name == "run-asking":
                over.wait(30)
            return answer

        monkeypatch.setattr(client, "sync", lingering)
        assert len(roll_call.RollCall(client, "run", threading.Event()).look()) == 2
        assert "have not answered" not in caplog.text
        over.set()


def test_a_run_tells_that_engines_may_outgrow_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(preflight, "MEMORY_LIMIT", 400_000_000)
    with local_client(n_workers=2, threads_per_worker=1) as client:
        bs.run(bs.plan(small_study(), store=tmp_path / "store", engine=VersionedEngine()), client=client)
    assert "may run out of memory" in caplog.text
    assert "has 400.0 MB and runs 2 engines at once" in caplog.text


def test_settings_of_a_scheduler_that_cost_more_than_losses_need_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=VersionedEngine())
    settings = {"distributed.scheduler.allowed-failures": 3, "distributed.scheduler.worker-saturation": 1.1}
    with dask.config.set(settings), local_client(n_workers=1) as client:
        bs.run(plan, client=client)
    assert "allowed-failures is 3: where workers come and go, variants come back after 4 losses" in caplog.text
    assert "worker-saturation is 1.1: a lost worker puts variants that only waited" in caplog.text
    caplog.clear()
    with dask.config.set(SCHEDULER_SETTINGS), local_client(n_workers=1) as client:
        bs.run(plan, client=client)
    assert "of the cluster's scheduler" not in caplog.text
