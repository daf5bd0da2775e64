from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bemsweep import following
from bemsweep import lease as lease_module
from bemsweep.at_work import AtWork
from bemsweep.following import follow, progress_of, together
from bemsweep.heartbeat import Running
from bemsweep.holder import Holder
from bemsweep.lease import Announcement, Terms, take_lease
from bemsweep.progress import Progress
from bemsweep.store import Store
from test_two_drivers import until


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.02)
    monkeypatch.setattr(following, "GONE_S", 0.6)
    monkeypatch.setattr(lease_module, "TERMS", Terms(renew_s=0.1, poll_s=0.05))


def test_every_change_is_told_until_nobody_is_at_work(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    told: list[list[AtWork]] = []
    watcher = threading.Thread(target=lambda: told.extend(follow(store, "small")))
    lease = take_lease(store, "small")
    assert lease is not None
    lease.report = Progress(total=6, cached=1, to_do=5).to_dict
    with lease:
        watcher.start()
        for done in range(1, 4):
            lease.report = Progress(total=6, cached=1, to_do=5, statuses={"succeeded": done}).to_dict
            until(lambda wanted=done: told and told[-1][0].progress.get("done") == wanted)
    with Announcement(store, "small"):  # who has waited begins a moment later
        until(lambda: not told[-1][0].number)
    watcher.join(10)
    assert not watcher.is_alive()
    assert sorted({one.progress.get("done", 0) for (one,) in told if one.number}) == [0, 1, 2, 3]


def test_where_nobody_is_at_work_nothing_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "GONE_S", 1e9)
    assert list(follow(Store(tmp_path / "store"), "small")) == []


def test_what_another_version_says_is_no_progress() -> None:
    one = AtWork(Holder.here(), 1, progress={"done": 5})
    assert progress_of(one) is None
    assert progress_of(AtWork(Holder.here(), 1, progress=Progress(total=6, cached=1).to_dict())) == Progress(6, 1)


def test_shards_are_told_together() -> None:
    one = Progress(
        total=5, cached=1, to_do=4, statuses={"succeeded": 1, "failed": 2}, elapsed_s=10, stage="running", share="1/2",
        cost_usd=0.25,
        failures=(("no", 2),), running=(Running("a", "07/21", 5.0),),
    )  # fmt: skip
    other = Progress(
        total=6, cached=0, to_do=6, statuses={"failed": 1}, elapsed_s=20, stage="running", share="2/2",
        cost_usd=0.5,
        failures=(("no", 1), ("never", 1)), running=(Running("b", "01/21", 9.0),),
    )  # fmt: skip
    whole = together([one, other])
    assert (whole.total, whole.cached, whole.to_do, whole.done, whole.failed) == (11, 1, 10, 4, 3)
    assert (whole.stage, whole.share, whole.elapsed_s) == ("running", "", 20)
    assert whole.cost_usd == 0.75
    assert together([replace(one, cost_usd=None)]).cost_usd is None
    assert whole.failures == (("no", 3), ("never", 1))
    assert [each.variant_id for each in whole.running] == ["b", "a"]
