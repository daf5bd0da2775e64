from __future__ import annotations

import logging
import os
import threading
from contextlib import ExitStack
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, LocalCluster, get_client

from bemsweep.cluster import current_client, open_local_client
from small_studies import local_client


def test_a_local_client_uses_the_cores_and_ends_with_its_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_local_client(3) as client:
        assert sum(client.nthreads().values()) == 3
        assert client.submit(lambda: 7).result() == 7
        assert client.scheduler_info()["address"].startswith("inproc://")
        assert list(tmp_path.iterdir())
    assert client.status == "closed"
    assert not list(tmp_path.iterdir())
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("Dask-Default-Threads")]


@pytest.mark.parametrize("processes", [None, 1])
def test_a_worker_of_this_process_is_not_given_up_when_the_machine_has_slept(processes: int | None) -> None:
    with open_local_client(1, processes=processes) as client:
        ttl = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.worker_ttl)
    assert (ttl is None) == (processes is None)


def test_a_local_client_does_not_become_everybodys() -> None:
    with open_local_client(1):
        assert current_client() is None
        with pytest.raises(ValueError, match="No global client"):
            get_client()


def test_the_users_client_is_found() -> None:
    assert current_client() is None
    with local_client(set_as_default=True) as client:
        assert current_client() is client
    assert current_client() is None


def test_clusters_that_end_in_any_order_leave_nothing_changed() -> None:
    """A folder of a run that has ended must not become where Dask works from then on."""
    before, logger = dask.config.get("temporary-directory"), logging.getLogger("distributed.worker")
    level = logger.level
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(open_local_client(1))
        client = second.enter_context(open_local_client(1))
        first.close()
        assert client.submit(lambda: 7).result() == 7
        assert logger.level == logging.CRITICAL
    assert dask.config.get("temporary-directory") == before
    assert logger.level == level


def test_worker_processes_share_the_cores_and_end_with_the_block() -> None:
    with open_local_client(5, processes=2) as client:
        assert sorted(client.nthreads().values()) == [2, 2]
        assert all(address.startswith("tcp://127.0.0.1:") for address in client.nthreads())
        pids = set(client.run(os.getpid).values())
        level = client.run(lambda: logging.getLogger("distributed.worker").getEffectiveLevel())
        assert set(level.values()) == {logging.CRITICAL}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_worker_processes_of_later_clusters_log_as_ever() -> None:
    """Dask leaves in this process's environment what a worker process is to find in its own."""
    with open_local_client(1, processes=1):
        pass
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as theirs,
        Client(theirs, set_as_default=False) as client,
    ):
        assert any("Start worker at" in text for logs in client.get_worker_logs().values() for _, text in logs)


def test_nobody_looks_every_millisecond_who_holds_the_gil() -> None:
    with dask.config.set({"distributed.admin.system-monitor.gil.enabled": True}), open_local_client(1) as client:
        assert not client.cluster.scheduler.monitor.monitor_gil_contention
