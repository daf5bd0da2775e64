from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

import bemsweep as bs
from bemsweep import submission
from bemsweep.cluster import open_local_client
from bemsweep.errors import InfrastructureError, WorkerLostError
from bemsweep.run_context import context_of
from bemsweep.submission import Flight, plugged_in
from bemsweep.task import Finished
from bemsweep.testing import FakeEngine
from bemsweep.worker_tasks import PROFILERS, ContextPlugin
from engine_jobs import wait_until
from small_studies import local_client, small_study


def collect(flight: Flight, *, count: int) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline
        found += flight.finished()
        time.sleep(0.01)
    return found


def test_a_worker_that_does_not_know_the_run_is_the_machines_fault() -> None:
    with local_client() as client, Flight(client, "unknown-run") as flight:
        flight.run([("a" * 64, ("base", "here"), 0)])
        flight.pack(0, "")
        assert flight.count == 2
        found = dict(collect(flight, count=2))
        assert isinstance(found["a" * 64], InfrastructureError)
        assert isinstance(found[0], InfrastructureError)
        assert flight.count == 0


def test_each_variant_of_a_task_has_an_answer_of_its_own_and_goes_alone_the_next_time() -> None:
    variants = [(f"{number:064}", ("base", "here"), 0) for number in range(7)]
    with local_client() as client, Flight(client, "unknown-run") as flight:
        flight.run(variants, together=3)
        assert flight.count == 7
        assert len(flight._futures) == 3
        found = dict(collect(flight, count=7))
        assert found.keys() == {variant for variant, _, _ in variants}
        assert all(isinstance(error, InfrastructureError) for error in found.values())
        assert flight.count == 0
        flight.run(variants, together=3)
        assert len(flight._items) == 7
        assert sorted(flight.cancel_runs()) == sorted(found)
        assert flight.count == 0


def test_what_failed_on_a_worker_is_tried_on_others_unless_these_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or one broken machine, which fails at once and is idle again, takes all tries."""
    monkeypatch.setattr(submission, "_THREADS_STAY_S", 0.0)
    with local_client(n_workers=2, threads_per_worker=1) as client, Flight(client, "unknown-run") as flight:
        assert flight.threads() == 2
        for number in range(10):
            variant = f"{number:064}"
            failed = []
            for _ in range(2):
                flight.run([(variant, ("base", "here"), 0)])
                ((_, error),) = collect(flight, count=1)
                failed.append(error.bemsweep_worker)
            assert len(set(failed)) == 2
        flight.run([("a" * 64, ("base", "here"), 0)])
        ((_, error),) = collect(flight, count=1)
        (other,) = client.nthreads().keys() - {error.bemsweep_worker}
        client.retire_workers([other])
        wait_until(lambda: other not in client.nthreads(), timeout_s=30)
        flight.run([("a" * 64, ("base", "here"), 0)])
        assert list(flight.finished()) == []
        assert flight.threads() == 1
        ((_, error),) = flight.finished()
        assert isinstance(error, WorkerLostError)
        flight.run([("a" * 64, ("base", "here"), 0)])
        assert not isinstance(collect(flight, count=1)[0][1], WorkerLostError)


def test_a_scheduler_that_is_gone_is_told() -> None:
    client = local_client()
    with Flight(client, "run") as flight:
        assert flight.room() >= 500
        client.close()
        with pytest.raises(InfrastructureError, match="lost the Dask scheduler"):
            flight.room()


def test_cancelling_kills_what_runs_and_forgets_the_rest(tmp_path: Path) -> None:
    engine = FakeEngine(faults=lambda job, attempt: "hang" if job.calendar else None, counter=tmp_path / "starts")
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=engine)
    for source in (plan.baselines["small_office"].input, plan.weather["chicago"].input):
        plan.store.put(plan.store.input_name(source.sha256, source.suffix), source.path.read_bytes())
    with local_client(threads_per_worker=2) as client:
        client.register_plugin(ContextPlugin("run", context_of(plan)))
        with Flight(client, "run") as flight:
            flight.run([(variant, row, 0) for variant, row in zip(plan.variant_ids, plan.points.rows, strict=True)])
            deadline = time.monotonic() + 30
            while engine.starts < 3:  # the probe and one for each thread
                assert time.monotonic() < deadline
                time.sleep(0.01)
            flight.cancel_runs()
            assert flight.count == 0
            worker = next(iter(client.cluster.workers.values()))
            while worker.state.executing_count or worker.state.in_flight_tasks_count or worker.state.tasks:
                assert time.monotonic() < deadline, "the killed runs never ended"
                time.sleep(0.01)
            client.unregister_worker_plugin("run")
    assert engine.starts == 3
    assert not plan.store.names("records")


def test_an_answer_comes_once(tmp_path: Path) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    for source in (plan.baselines["small_office"].input, plan.weather["chicago"].input):
        plan.store.put(plan.store.input_name(source.sha256, source.suffix), source.path.read_bytes())
    with local_client() as client:
        client.register_plugin(ContextPlugin("run", context_of(plan)))
        with Flight(client, "run") as flight:
            flight.run([(plan.variant_ids[0], plan.points.rows[0], 0)])
            (answer,) = collect(flight, count=1)
            assert answer[0] == plan.variant_ids[0]
            assert isinstance(answer[1], Finished)
            assert list(flight.finished()) == []
            client.unregister_worker_plugin("run")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CPython 3.12 and later do not lock themselves up")
def test_a_worker_of_python_3_11_stops_looking_at_its_threads(tmp_path: Path) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    with (
        dask.config.set({"distributed.worker.profile.enabled": True}),
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        (worker,) = cluster.workers.values()
        assert worker.periodic_callbacks.keys() >= PROFILERS
        client.register_plugin(ContextPlugin("run", context_of(plan)))
        assert not any(worker.periodic_callbacks[name].is_running() for name in PROFILERS)


def test_our_own_cluster_looks_at_no_threads() -> None:
    with open_local_client(1) as client:
        (worker,) = client.cluster.workers.values()
        assert not PROFILERS & worker.periodic_callbacks.keys()


def test_variants_wait_on_the_scheduler_and_not_on_workers(tmp_path: Path) -> None:
    """Else a worker that dies takes along all that only waited there."""
    engine = FakeEngine(faults=lambda job, attempt: "hang" if job.calendar else None)
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=engine)
    with (
        local_client(n_workers=2, threads_per_worker=1) as client,
        plugged_in(client, ContextPlugin("run", context_of(plan))),
        Flight(client, "run") as flight,
    ):
        flight.run([(f"{number:064x}", plan.points.rows[0], 0) for number in range(60)])

        def counted(dask_scheduler: Any = None) -> tuple[int, list[int]]:
            return len(dask_scheduler.queued), [len(one.processing) for one in dask_scheduler.workers.values()]

        deadline = time.monotonic() + 20
        while not client.run_on_scheduler(counted)[0]:
            assert time.monotonic() < deadline, client.run_on_scheduler(counted)
            time.sleep(0.05)
        assert max(client.run_on_scheduler(counted)[1]) <= 2
        flight.cancel_runs()


def test_a_run_whose_driver_was_killed_is_forgotten(tmp_path: Path) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())

    def names(dask_worker: Any) -> set[str]:
        return {name for name in dask_worker.plugins if name.startswith("bemsweep-")}

    with local_client() as client:
        with Client(client.scheduler.address, set_as_default=False) as killed:
            abandoned = plugged_in(killed, ContextPlugin("bemsweep-killed", context_of(plan)))
            abandoned.__enter__()
            with plugged_in(client, ContextPlugin("bemsweep-living", context_of(plan))):
                (known,) = client.run(names).values()
                assert known == {"bemsweep-killed", "bemsweep-living"}
        with plugged_in(client, ContextPlugin("bemsweep-next", context_of(plan))):
            (known,) = client.run(names).values()
            assert known == {"bemsweep-next"}


def test_an_answer_counts_though_its_worker_has_died_since(tmp_path: Path) -> None:
    """Answers are taken as they come: what Dask still holds when a worker dies, it runs again."""
    engine = FakeEngine(counter=tmp_path / "starts")
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=engine)
    for source in (plan.baselines["small_office"].input, plan.weather["chicago"].input):
        plan.store.put(plan.store.input_name(source.sha256, source.suffix), source.path.read_bytes())

    def held(dask_scheduler: Any = None) -> int:
        return sum(task.state != "released" for task in dask_scheduler.tasks.values())

    with (
        local_client() as client,
        plugged_in(client, ContextPlugin("run", context_of(plan))),
        Flight(client, "run") as flight,
    ):
        flight.run([(variant, row, 0) for variant, row in zip(plan.variant_ids, plan.points.rows, strict=True)])
        deadline = time.monotonic() + 20
        while engine.starts < 7 or client.run_on_scheduler(held):
            assert time.monotonic() < deadline, "what has ended is held although nobody has asked for it"
            time.sleep(0.02)
        assert flight.count == 6, "nobody has heard of it yet"
        client.cluster.scale(0)
        found = collect(flight, count=6)
    assert all(isinstance(outcome, Finished) for _, outcome in found)
    assert engine.starts == 7
