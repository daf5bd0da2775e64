"""Two real runs of one study at once: nothing is lost, nothing is written by two, and the cube is the quiet one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bemsweep as bs
from bemsweep.at_work import at_work
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import assert_same_cubes, contents, grid_of, read, run_study, small_study

SCRIPT = """
import sys, json
from pathlib import Path
import bemsweep as bs
from bemsweep import driver, lease
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import grid_of, small_study

url, options, counter, levels, ttl_s, how = json.loads(sys.argv[1])
driver.COMMIT_INTERVAL_S = 0.3
lease.TERMS = lease.Terms(ttl_s=ttl_s, renew_s=0.2, poll_s=0.1)
engine = FakeEngine(longest_s=0.1, counter=Path(counter))
plan = bs.plan(small_study(parameters=grid_of(*levels)), store=Store(url, options), engine=engine)
print("planned", flush=True)
sys.stdin.readline()
try:
    run = bs.run(plan, **how)
    print(json.dumps(["done", run.progress.done, run.progress.cached]), flush=True)
except bs.BemsweepError as error:
    print(json.dumps([type(error).__name__, str(error), 0]), flush=True)
"""
LEVELS = (10, 12)
VARIANTS = 121


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    if request.param == "local":
        return Store(tmp_path / "store")
    server = request.getfixturevalue("s3")
    return Store(f"{server.new_bucket()}/store", server.options)


class Driver:
    """A run in a process of its own, which starts when it is told to."""

    def __init__(self, store, folder, *, levels=LEVELS, ttl_s=60.0, **how):
        self.counter = folder / "starts"
        told = [store.url, store.storage_options, str(self.counter), levels, ttl_s, how]
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(told)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path, "BEMSWEEP_SCRATCH": str(folder), "TMPDIR": str(folder)},
        )  # fmt: skip

    def planned(self):
        assert self.process.stdout.readline() == "planned\n"
        return self

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self

    def end(self):
        return json.loads(self.process.communicate(timeout=120)[0])

    def signal(self, number):
        os.kill(self.process.pid, number)


@pytest.fixture
def drivers(tmp_path):
    """Make drivers that end with the test."""
    made = []

    def make(store, **how):
        made.append(Driver(store, tmp_path, **how))
        return made[-1]

    yield make
    for driver in made:
        driver.process.kill()
        driver.process.communicate()


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def check_quiet(tmp_path_factory):
    """Compare the cube with that of a run by itself, which is the same for all tests."""
    made = {}

    def check(store, levels=LEVELS, *, by_variant=False):
        if levels not in made:
            folder = tmp_path_factory.mktemp("quiet")
            run_study(small_study(parameters=grid_of(*levels)), folder, FakeEngine(longest_s=0.001))
            made[levels] = quietly(read(folder))
        assert_same_cubes(quietly(read(store)), made[levels], by_variant=by_variant)

    return check


def quietly(cube):
    return cube.drop_attrs()


def starts(tmp_path):
    return len((tmp_path / "starts").read_text().splitlines())


def holder(store, pid):
    """Return True if that process holds the study and has finished some variants."""
    return any(
        one.number and one.holder.pid == pid and one.progress.get("done", 0) > 5 for one in at_work(store, "small")
    )


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_the_second_driver_waits_and_has_nothing_left_to_do(store, tmp_path, drivers, check_quiet):
    both = [drivers(store), drivers(store)]
    for driver in both:
        driver.planned()
    for driver in both:
        driver.go()
    assert sorted(driver.end() for driver in both) == [["done", 0, VARIANTS], ["done", VARIANTS, 0]]
    assert starts(tmp_path) <= VARIANTS + 2, "each plan may have looked at the baseline"
    assert at_work(store, "small") == []
    check_quiet(store)


def test_a_driver_whose_study_has_grown_while_it_waited_must_plan_again(tmp_path, drivers, check_quiet):
    store = Store(tmp_path / "store")
    first, second = drivers(store).planned(), drivers(store, levels=(10, 13)).planned()
    first.go()
    until(lambda: at_work(store, "small"))
    second.go()
    assert first.end() == ["done", VARIANTS, 0]
    kind, message, _ = second.end()
    assert kind == "ConflictError"
    assert "has grown since it was planned: plan it again" in message
    assert drivers(store, levels=(10, 13)).planned().go().end() == ["done", 10, VARIANTS]
    check_quiet(store, (10, 13), by_variant=True)


@pytest.mark.parametrize("store", ["local"], indirect=True)
def test_a_driver_that_only_adds_records_halves_the_work(store, tmp_path, drivers, check_quiet):
    first, second = drivers(store).planned(), drivers(store, records_only=True).planned()
    first.go()
    until(lambda: at_work(store, "small"))
    second.go()
    (_, done, found), (_, helped, _) = first.end(), second.end()
    assert done + found == VARIANTS
    assert helped >= found > 10
    assert starts(tmp_path) <= VARIANTS + 2 + 8, "what both had begun"
    assert not store.names("studies/small/lease")[1:], "who only helped has gone"
    check_quiet(store)


def test_records_that_were_added_before_the_study_was_are_gathered(tmp_path, drivers, check_quiet):
    store = Store(tmp_path / "store")
    assert drivers(store, records_only=True, limit=40).planned().go().end() == ["done", 40, 0]
    assert store.get("studies/small/study.json") is None
    assert drivers(store).planned().go().end() == ["done", VARIANTS - 40, 40]
    check_quiet(store)


def test_who_waits_carries_on_at_once_when_the_holder_is_killed(tmp_path, drivers, check_quiet):
    store = Store(tmp_path / "store")
    first, second = drivers(store).planned(), drivers(store).planned()
    first.go()
    until(lambda: holder(store, first.process.pid))
    second.go()
    first.signal(signal.SIGKILL)
    word, done, found = second.end()
    assert (word, done + found) == ("done", VARIANTS)
    assert 0 < done < VARIANTS
    assert starts(tmp_path) <= VARIANTS + 2 + 8
    check_quiet(store)


def test_a_paused_driver_writes_nothing_after_it_was_overtaken(store, tmp_path, drivers, check_quiet):
    first, second = drivers(store, ttl_s=3).planned(), drivers(store, ttl_s=3).planned()
    first.go()
    until(lambda: holder(store, first.process.pid))
    first.signal(signal.SIGSTOP)
    second.go()
    word, done, found = second.end()
    assert (word, done + found) == ("done", VARIANTS)
    before = {name: data for name, data in contents(store).items() if name.startswith("studies/")}
    first.signal(signal.SIGCONT)
    kind, message, _ = first.end()
    assert kind == "LeaseLostError"
    assert f"(pid {second.process.pid}), has taken over the study 'small': what is finished is kept" in message
    assert {name: data for name, data in contents(store).items() if name.startswith("studies/")} == before
    check_quiet(store)


def test_nothing_runs_again_with_records_only(tmp_path):
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())
    with pytest.raises(ValueError, match="records_only adds records and deletes none"):
        bs.run(plan, records_only=True, again="failed")
