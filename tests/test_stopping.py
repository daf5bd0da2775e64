"""Runs are stopped from elsewhere, through the store alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bemsweep as bs
from bemsweep import lease as lease_module
from bemsweep import stopping
from bemsweep.at_work import AtWork, after, at_work, lease_name, stop_name
from bemsweep.holder import Holder
from bemsweep.lease import Announcement, Terms, take_lease
from bemsweep.stopping import stop
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import grid_of, read, run_study, small_study
from test_two_drivers import drivers, until  # noqa: F401 - one is a fixture


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and renew often."""
    monkeypatch.setattr(stopping, "_LOOK_S", 0.1)
    monkeypatch.setattr(lease_module, "TERMS", Terms(renew_s=0.1, poll_s=0.05))


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    if request.param == "local":
        return Store(tmp_path / "store")
    server = request.getfixturevalue("s3")
    return Store(f"{server.new_bucket()}/store", server.options)


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_run_and_who_helps_it_end_and_the_same_call_carries_on(store: Store, drivers: Any) -> None:  # noqa: F811
    levels, variants = (10, 36), 361  # so many that even a busy machine is stopped before it has run them
    both = [drivers(store, levels=levels), drivers(store, levels=levels, shard=[1, 2])]
    for driver in both:
        driver.planned()
    for driver in both:
        driver.go()
    until(lambda: [bool(one.number) for one in at_work(store, "small")] == [True, False])
    until(lambda: all(one.progress.get("done", 0) > 1 for one in at_work(store, "small")))
    told: list[AtWork] = []
    done = stop(store, "small", tell=told.extend)
    assert len(told) == len(done.asked) == 2
    assert (done.left, done.others) == ((), ())
    for driver in both:
        kind, message, _ = driver.end()
        assert kind == "RunCancelledError"
        assert f"the run was stopped by {Holder.here()}: what is finished is kept" in message
    assert not [name for name in store.names("studies/small/lease") if name.startswith("stop-")]
    kept = len(list(store.objects("records")))
    assert 3 < kept < variants
    packed = int((read(store).status == "succeeded").sum())
    assert 1 < packed <= kept, "what the run has gathered is committed"
    plan = bs.plan(small_study(parameters=grid_of(*levels)), store=store, engine=FakeEngine())
    assert len(plan.to_run) == variants - kept


def test_nobody_is_asked_where_nobody_is_at_work(tmp_path: Path) -> None:
    done = stop(Store(tmp_path / "store"), "small", tell=lambda _: pytest.fail("nobody to tell of"))
    assert (done.asked, done.left, done.others) == ((), (), ())
    assert Store(tmp_path / "store").names("studies/small/lease") == []


def test_a_request_for_one_who_is_gone_does_nothing_to_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put(stop_name("small", Holder.here()), b"{}")
    run = run_study(small_study(), store, FakeEngine())
    assert run.progress.done == 6
    assert store.names("studies/small/lease") == ["00000001.json"], "it is cleared away"


def test_who_does_not_answer_is_waited_for_only_so_long(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    far = replace(Holder.here(), machine="another", host="far")
    store.put(lease_name("small", 1), AtWork(far, 1, since=after(0), expires_at=after(60)).to_bytes())
    done = stop(store, "small", limit_s=0.3)
    assert [one.holder for one in done.left] == [far]
    assert json.loads(store.get(stop_name("small", far)) or b"")["pid"] == Holder.here().pid


def test_who_begins_meanwhile_is_told_and_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    plan = replace(bs.plan(small_study(), store=store, engine=FakeEngine()), engine=FakeEngine(longest_s=30))
    first = bs.run(plan, wait=False)
    until(lambda: at_work(store, "small"))
    second = bs.run(plan, wait=False)
    until(lambda: second.progress.waits_for)
    monkeypatch.setattr(stopping, "_LOOK_S", 1.0)  # the second begins before it is looked again
    done = stop(store, "small")
    assert first.is_cancelled
    assert len(done.others) == 1
    assert not second.is_cancelled
    second.cancel()
    second.wait(30)
    with pytest.raises(bs.BemsweepError, match="was stopped by"):
        first.wait(30)


@pytest.mark.parametrize("kind", ["lease", "helper"])
def test_whoever_holds_something_learns_who_asks_and_deletes_the_request(store: Store, kind: str) -> None:
    asked: list[str] = []
    held = take_lease(store, "small") if kind == "lease" else Announcement(store, "small")
    assert held is not None
    held.on_stop = asked.append
    with held:
        (one,) = at_work(store, "small")
        store.put(stop_name("small", one.holder), json.dumps(Holder.here().to_dict()).encode())
        until(lambda: asked)
        until(lambda: store.get(stop_name("small", one.holder)) is None)
        del asked[:]
        store.put(stop_name("small", one.holder), b"\xff{")
        until(lambda: asked)
        assert asked[0] == "somebody"


def test_what_has_ended_is_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "TERMS", Terms(renew_s=1000))
    store = Store(tmp_path / "store")
    asked: list[str] = []
    lease = take_lease(store, "small")
    assert lease is not None
    with lease:
        lease.on_stop = asked.append
        store.put(stop_name("small", at_work(store, "small")[0].holder), b"{}")
    assert (at_work(store, "small"), asked) == ([], [])


def test_a_request_that_comes_as_the_lease_is_taken_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    create = store.create

    def asked_at_once(name: str, data: bytes) -> bool:
        made = create(name, data)
        store.put(stop_name("small", AtWork.from_bytes(data, 1).holder), b"{}")
        return made

    monkeypatch.setattr(store, "create", asked_at_once)
    asked: list[str] = []
    lease = take_lease(store, "small")
    assert lease is not None
    with lease:
        lease.on_stop = asked.append
        until(lambda: asked or not store.names("studies/small/lease")[1:])
        assert asked == ["somebody"]
