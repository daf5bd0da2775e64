"""The lease of a study: of several one wins, whoever has lost it writes no more, and nobody waits for the dead."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import zarr

from bemsweep import at_work as at_work_module
from bemsweep import lease as module
from bemsweep.at_work import AtWork, after, at_work
from bemsweep.errors import LeaseLostError, StoreError, StudyBusyError
from bemsweep.lease import Announcement, LeaseWatch, Terms, lease_for, take_lease
from bemsweep.store import Store

QUICK = Terms(ttl_s=2.0, renew_s=0.2, poll_s=0.05)
LONG = Terms(ttl_s=120.0, renew_s=0.2, poll_s=0.05)
HOLD = """
import sys, json, os
from bemsweep import lease
from bemsweep.store import Store
lease.TERMS = lease.Terms(ttl_s=float(sys.argv[3]), renew_s=0.2, poll_s=0.05)
store = Store(sys.argv[1], json.loads(sys.argv[2])).patient(30)
held = lease.take_lease(store, "small", tell=lambda who: print("waits", flush=True))
guarded = held.guarded(store)
print("holds", held.number, flush=True)
for line in sys.stdin:
    try:
        guarded.put("studies/small/written", line.encode())
        print("wrote", flush=True)
    except lease.LeaseLostError as error:
        print("lost", error, flush=True)
held.release()
"""


@pytest.fixture(autouse=True)
def frequent(monkeypatch):
    """Renew and look often; nothing expires while a test lasts."""
    monkeypatch.setattr(module, "TERMS", LONG)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "TERMS", QUICK)


def open_store(kind, request):
    if kind == "local":
        return Store(request.getfixturevalue("tmp_path") / "store")
    if kind == "memory":
        return Store(f"memory://lease-{time.monotonic_ns()}")
    server = request.getfixturevalue(kind)
    return Store(f"{server.new_bucket()}/store", server.options)


@pytest.fixture(params=["local", "memory", "s3"])
def store(request):
    return open_store(request.param, request)


@pytest.fixture(params=["local", "memory", "s3", "other_s3"])
def any_store(request):
    return open_store(request.param, request)


@pytest.fixture(params=["local", "s3"])
def shared(request):
    """A store that other processes reach."""
    return open_store(request.param, request)


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


class Other:
    """Another process that takes the lease and writes what it is told to."""

    def __init__(self, store):
        told = [store.url, json.dumps(store.storage_options), str(module.TERMS.ttl_s)]
        command = [sys.executable, "-c", HOLD, *told]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self):
        return self.process.stdout.readline().strip()

    def write(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def stored(store):
    return sorted(one.name.removeprefix("studies/small/lease/") for one in store.objects("studies/small/lease"))


# Taking it


def test_of_many_at_once_one_creates_an_object(any_store):
    check_creates(any_store)


def check_creates(store):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.create("studies/x/one", b"%d" % n * 1000), range(8)))
    assert sum(won) == 1
    assert store.get("studies/x/one") == b"%d" % won.index(True) * 1000
    assert not store.create("studies/x/one", b"other")
    assert store.create("studies/x/one", b"%d" % won.index(True) * 1000), "as if the answer had been lost"
    assert store.names("studies/x") == ["one"]


def test_a_disk_without_links_creates_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    check_creates(Store(tmp_path / "store"))


def test_of_many_at_once_one_has_the_lease(any_store):
    store = any_store
    held, most = [], []

    def work(_):
        with take_lease(store, "small", tell=lambda _: None) as lease:
            held.append(lease.number)
            most.append(len(held))
            lease.check()
            held.remove(lease.number)
        return lease.number

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(work, range(8)))
    assert sorted(numbers) == list(range(1, 9)), "no number comes twice"
    assert set(most) == {1}
    assert stored(store) == ["00000008.json"], "those of before have gone"


def test_who_is_at_work_is_told_and_how_far(store):
    assert at_work(store, "small") == []
    told = []
    with take_lease(store, "small") as lease:
        lease.report = lambda: {"done": 3, "to_do": 5}
        until(lambda: at_work(store, "small")[0].progress)
        (who,) = at_work(store, "small")
        assert f"(pid {os.getpid()})" in str(who)
        assert "3 of 5 done" in str(who)
        with (
            pytest.raises(StudyBusyError, match=rf"at work on the study 'small'.*pid {os.getpid()}"),
            lease_for(store, "small"),
        ):
            pass
        stop = threading.Event()
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(take_lease, store, "small", stop=stop, tell=told.append)
            until(lambda: told)
            stop.set()
            assert waiting.result() is None
    assert told[0].holder == who.holder
    assert at_work(store, "small") == []


@pytest.mark.usefixtures("quick")
def test_a_lease_is_renewed_and_outlives_its_time(store):
    with take_lease(store, "small") as lease:
        end = time.monotonic() + 1.5 * QUICK.ttl_s
        while time.monotonic() < end:
            with pytest.raises(StudyBusyError), lease_for(store, "small"):
                pass
        lease.check()


# Holders that are gone


def test_a_dead_holder_of_this_machine_is_not_waited_for(shared):
    with Other(shared) as other:
        assert other.says() == "holds 1"
        with pytest.raises(StudyBusyError), lease_for(shared, "small"):
            pass
        os.kill(other.process.pid, signal.SIGKILL)  # and nobody has asked for its status yet
        until(lambda: not at_work(shared, "small"))
        began = time.monotonic()
        with lease_for(shared, "small") as lease:
            assert lease.number == 2
        assert time.monotonic() - began < LONG.ttl_s / 4


def elsewhere(store, *, number=1, expires_in_s, is_released=False):
    """Write the lease of a holder on another machine."""
    with take_lease(store, "other") as lease:
        state = lease._state
    holder = replace(state.holder, machine="another", host="far")
    state = replace(state, holder=holder, expires_at=after(expires_in_s), is_released=is_released)
    store.put(f"studies/small/lease/{number:08d}.json", state.to_bytes())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("expires_in_s", "least", "most"), [(-4000, 0, 0.9), (-1, 1, 1.9), (1000, 2, 4)])
def test_a_lease_of_another_machine_is_taken_over_once_it_was_seen_unchanged(tmp_path, expires_in_s, least, most):
    """However wrong that machine's clock is, or ours."""
    store = Store(tmp_path / "store")
    elsewhere(store, expires_in_s=expires_in_s)
    began = time.monotonic()
    with take_lease(store, "small", tell=lambda _: None) as lease:
        assert lease.number == 2
        assert least <= time.monotonic() - began < most


def test_a_released_lease_of_another_machine_is_free(store):
    elsewhere(store, number=7, expires_in_s=1000, is_released=True)
    with lease_for(store, "small") as lease:
        assert lease.number == 8


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"expires_at": "9999-12-31T23:59:59-12:00"}'])
def test_a_lease_that_cannot_be_read_is_waited_for_and_taken_over(tmp_path, content, monkeypatch):
    monkeypatch.setattr(at_work_module, "TTL_S", QUICK.ttl_s)
    store = Store(tmp_path / "store")
    store.put("studies/small/lease/00000003.json", content)
    assert at_work(store, "small") == []
    with lease_for(store, "small") as lease:
        assert lease.number == 4


def test_a_run_of_this_process_that_has_ended_is_not_waited_for(tmp_path):
    store = Store(tmp_path / "store")
    lease = take_lease(store, "small")
    data = store.get("studies/small/lease/00000001.json")
    lease.release()
    store.put("studies/small/lease/00000001.json", data)  # as if its release had not arrived
    with lease_for(store, "small") as again:
        assert again.number == 2


# Holders that have lost it


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fails", [2, 3], ids=["while-taken", "once-taken"])
def test_a_lease_whose_taking_fails_is_not_kept(tmp_path, monkeypatch, fails):
    """Its process lives on, in a notebook: nobody could tell that it is not at work."""
    store, listed, names = Store(tmp_path / "store"), itertools.count(1), Store.names

    def list_names(self, folder):
        if next(listed) == fails:
            raise StoreError("the store is away for a moment")
        return names(self, folder)

    monkeypatch.setattr(Store, "names", list_names)
    with pytest.raises(StoreError, match="for a moment"):
        take_lease(store, "small")
    assert at_work(store, "small") == []
    with lease_for(store, "small"):
        pass


@pytest.mark.usefixtures("quick")
def test_a_paused_holder_writes_nothing_after_it_was_overtaken(shared):
    with Other(shared) as other:
        assert other.says() == "holds 1"
        other.write("before")
        assert other.says() == "wrote"
        os.kill(other.process.pid, signal.SIGSTOP)
        lease = take_lease(shared, "small", tell=lambda _: None)
        shared.put("studies/small/written", b"ours")
        other.write("after")
        os.kill(other.process.pid, signal.SIGCONT)
        told = other.says()
        assert told.startswith("lost another run")
        assert f"pid {os.getpid()}" in told
        assert shared.get("studies/small/written") == b"ours"
        lease.check()
        lease.release()


@pytest.mark.usefixtures("quick")
def test_a_paused_holder_goes_on_if_nobody_has_overtaken_it(shared):
    with Other(shared) as other:
        assert other.says() == "holds 1"
        os.kill(other.process.pid, signal.SIGSTOP)
        time.sleep(1.2 * QUICK.ttl_s)  # the pause itself
        other.write("after")
        os.kill(other.process.pid, signal.SIGCONT)
        assert other.says() == "wrote"
        assert at_work(shared, "small")


def test_a_holder_notices_by_itself_that_it_was_overtaken(store):
    with take_lease(store, "small") as lease:
        elsewhere(store, number=lease.number + 1, expires_in_s=1000)
        until(lambda: lease._lost)
        with pytest.raises(LeaseLostError, match=r"another run, .*@far \(pid \d+\), has taken over the study 'small'"):
            lease.check()
        with pytest.raises(LeaseLostError):
            lease.guarded(store).put("studies/small/written", b"x")
        with pytest.raises(LeaseLostError):
            zarr.create_group(lease.guarded(store).zarr("small"))
    assert not AtWork.from_bytes(store.get("studies/small/lease/00000002.json"), 2).is_released
    assert store.get("studies/small/written") is None
    assert not list(store.objects("studies/small/results.zarr"))


def test_who_writes_after_a_pause_looks_first_itself(tmp_path, monkeypatch):
    """The thread that renews may wake later than the one that writes."""
    monkeypatch.setattr(module, "TERMS", Terms(ttl_s=0.3, renew_s=1000, poll_s=0.05))
    store = Store(tmp_path / "store")
    with take_lease(store, "small") as lease:
        elsewhere(store, number=lease.number + 1, expires_in_s=1000)
        lease.guarded(store).put("studies/small/written", b"fresh")
        until(lambda: module._since(lease._begun) > lease._terms.fresh_s)
        with pytest.raises(LeaseLostError):
            lease.guarded(store).put("studies/small/written", b"stale")
    assert store.get("studies/small/written") == b"fresh"


@pytest.mark.parametrize("what", ["gone", "another's"])
def test_a_lease_whose_object_is_not_ours_is_lost(tmp_path, what):
    store = Store(tmp_path / "store")
    with take_lease(store, "small") as lease:
        if what == "gone":
            store.delete(lease._name)
        else:
            elsewhere(store, number=1, expires_in_s=1000)
        until(lambda: lease._lost)
    assert (store.get(lease._name) is None) == (what == "gone")


@pytest.mark.usefixtures("quick")
def test_who_overtakes_a_holder_that_renews_just_then_lets_it_finish(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    elsewhere(store, expires_in_s=-1)
    create = store.create

    def renewed_meanwhile(name, data):
        if "/small/" in name:
            elsewhere(store, expires_in_s=1000)
        return create(name, data)

    monkeypatch.setattr(store, "create", renewed_meanwhile)
    began = time.monotonic()
    with take_lease(store, "small", tell=lambda _: None):
        assert time.monotonic() - began >= QUICK.ttl_s / 2 + QUICK.fresh_s


@pytest.mark.usefixtures("quick")
def test_a_lease_is_kept_through_an_outage(own_s3):
    store = Store(f"{own_s3.new_bucket()}/store", own_s3.options).patient(60)
    with take_lease(store, "small") as lease:
        own_s3.stop()
        end = time.monotonic() + 1.5 * QUICK.ttl_s
        with ThreadPoolExecutor() as pool:
            written = pool.submit(lease.guarded(store).put, "studies/small/written", b"x")
            while time.monotonic() < end:
                assert not written.done()
                time.sleep(0.05)
            own_s3.start()
            written.result(60)
        lease.check()
        assert at_work(store, "small")


# Workers, and those who only run variants


def test_a_worker_sees_that_the_lease_is_no_longer_its_drivers(store):
    with take_lease(store, "small") as lease:
        watch = LeaseWatch(store, "small", lease.number)
        watch.check()
    with take_lease(store, "small"), pytest.raises(LeaseLostError):
        LeaseWatch(store, "small", lease.number).check()


def test_those_who_only_run_variants_are_seen(store):
    with take_lease(store, "small") as lease:
        assert not lease.has_helpers
        with Announcement(store, "small"), Announcement(store, "small"):
            until(lambda: lease.has_helpers)
            assert [one.number for one in at_work(store, "small")] == [1, 0, 0]
        until(lambda: not lease.has_helpers)
    assert stored(store) == ["00000001.json"]


def test_a_helper_of_before_is_known_at_once(tmp_path):
    store = Store(tmp_path / "store")
    with Announcement(store, "small"), take_lease(store, "small") as lease:
        assert lease.has_helpers
