"""A run that a cluster of processes drives itself, after whoever began it has gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from distributed import Client

import bemsweep as bs
from bemsweep import detached
from bemsweep.at_work import at_work
from bemsweep.detached import _Work, detach
from bemsweep.errors import (
    BemsweepError,
    InfrastructureError,
    LeaseLostError,
    RunCancelledError,
    StudyError,
    TooManyFailuresError,
)
from bemsweep.run_context import put_inputs
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from chaos.processes import Cluster, Home
from small_studies import assert_same_cubes, grid_of, local_client, read, run_study, small_study
from test_two_drivers import until

LEVELS = (10, 6)
VARIANTS = 61


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers, each a process of its own."""
    home = Home(tmp_path_factory.mktemp("cluster"), {})
    with Cluster(home, 2) as cluster:
        try:
            yield cluster
        finally:
            home.end()  # not one after the other, each with its time to end


def planned(folder: Path, **engine: Any) -> bs.Plan:
    made = FakeEngine(counter=folder / "starts", **engine)
    return bs.plan(small_study(parameters=grid_of(*LEVELS)), store=folder / "store", engine=made)


def begin(cluster: Cluster, plan: bs.Plan, **how: Any) -> None:
    """Hand a plan over and go."""
    with Client(cluster.address, timeout="60s", set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        detach(plan, client=client, **how)


def check_finished(folder: Path) -> None:
    """Wait for the end of the run and compare its cube with that of an undisturbed one."""
    until(lambda: has_ended(Store(folder / "store")))
    run_study(small_study(parameters=grid_of(*LEVELS)), folder / "quiet", FakeEngine())
    assert_same_cubes(read(folder / "store").drop_attrs(), read(folder / "quiet").drop_attrs())


def has_ended(store: Store) -> bool:
    """Return True if everything is finished and nobody is at work."""
    return not at_work(store, "small") and set(read(store).status.values) == {"succeeded"}


def test_the_run_goes_on_when_the_client_has_gone(tmp_path: Path, cluster: Cluster) -> None:
    plan = planned(tmp_path, longest_s=0.2)
    for source in plan.inputs:
        assert not Store(tmp_path / "store").has(Store.input_name(source.sha256, source.suffix))
    begin(cluster, plan)
    (one,) = at_work(plan.store, "small")
    assert one.holder.pid in {worker.pid for worker in cluster.workers()}
    assert one.progress.get("done", 0) < VARIANTS
    check_finished(tmp_path)
    assert len((tmp_path / "starts").read_text().splitlines()) == VARIANTS + 1


def test_the_loss_of_its_worker_moves_the_driver_to_another(tmp_path: Path, cluster: Cluster) -> None:
    plan = planned(tmp_path, longest_s=0.3)
    begin(cluster, plan)
    (one,) = at_work(plan.store, "small")
    until(lambda: len((tmp_path / "starts").read_text().splitlines()) > 10)
    os.kill(one.holder.pid, signal.SIGKILL)
    until(lambda: {two.holder.pid for two in at_work(plan.store, "small")} - {one.holder.pid})
    check_finished(tmp_path)
    starts = len((tmp_path / "starts").read_text().splitlines())
    assert starts <= VARIANTS + 1 + cluster.threads, "what ran when the driver was lost"


def test_what_ends_a_run_at_once_is_told(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(tmp_path)
    with pytest.raises(ValueError, match="no status 'pending'"):
        begin(cluster, plan, again="pending")
    monkeypatch.setattr(detached, "put_inputs", lambda *_: None)  # as if that went where workers do not look
    other = bs.plan(plan.study, store=tmp_path / "other", engine=FakeEngine())
    with pytest.raises(StudyError, match="workers do not share the store"):
        begin(cluster, other)


@pytest.mark.parametrize("how", [{"wait": False}, {"verify": True}])
def test_what_a_detached_run_has_not_is_refused(tmp_path: Path, how: dict[str, Any]) -> None:
    with local_client() as client, pytest.raises(ValueError, match="a detached run has no"):
        detach(planned(tmp_path), client=client, **how)


def test_a_scheduler_that_would_end_with_this_process_is_refused(tmp_path: Path) -> None:
    with local_client() as client, pytest.raises(ValueError, match="ends with it"):
        detach(planned(tmp_path), client=client)


@pytest.mark.parametrize(
    ("error", "is_tried_again"),
    [
        (InfrastructureError("a disk"), True),
        (LeaseLostError("to another"), False),
        (RunCancelledError("by somebody"), False),
        (TooManyFailuresError("all"), False),
    ],
)
def test_the_driver_leaves_its_thread_and_only_what_may_pass_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BemsweepError, is_tried_again: bool
) -> None:
    steps: list[str] = []

    def run(plan: bs.Plan, **how: Any) -> None:
        steps.append(f"run {how}")
        raise error

    monkeypatch.setattr(detached, "get_client", lambda: "the worker's")
    monkeypatch.setattr(detached, "secede", lambda: steps.append("secede"))
    monkeypatch.setattr(detached, "run", run)
    plan = planned(tmp_path)
    put_inputs(plan, plan.store)
    work = _Work("small", cloudpickle.dumps((plan, {"max_failures": 3})))
    if is_tried_again:
        with pytest.raises(InfrastructureError):
            detached._drive(work)
    else:
        assert detached._drive(work) is error
    assert steps == ["secede", "run {'client': \"the worker's\", 'max_failures': 3}"]


def test_what_dask_logs_of_it_shows_no_options_of_the_store() -> None:
    assert repr(_Work("small", b"secret")) == "<the run of small>"
