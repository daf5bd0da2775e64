"""What `bemsweep status --follow` and `bemsweep stop` say, and how they end."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import bemsweep as bs
from bemsweep import cli_status, following, stopping
from bemsweep import lease as lease_module
from bemsweep.at_work import AtWork, after, at_work, lease_name
from bemsweep.cli import app
from bemsweep.cli_status import _parts
from bemsweep.errors import RunCancelledError
from bemsweep.holder import Holder
from bemsweep.lease import Terms
from bemsweep.progress import Progress
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import grid_of, run_study, small_study
from test_two_drivers import until


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.05)
    monkeypatch.setattr(following, "GONE_S", 0.3)
    monkeypatch.setattr(stopping, "_LOOK_S", 0.05)
    monkeypatch.setattr(lease_module, "TERMS", Terms(renew_s=0.1, poll_s=0.05))


def begun(store: Path, *, longest_s: float = 0.1, **how: Any) -> bs.Run:
    """Begin a run of 31 variants, of which 5 fail, that is seen at work."""
    engine = FakeEngine(longest_s=longest_s, faults=lambda job, _: "fail" if len(job.edits) == 1 else None)
    plan = bs.plan(small_study(parameters=grid_of(5, 6)), store=store, engine=FakeEngine())
    run = bs.run(replace(plan, engine=engine), wait=False, **how)
    until(lambda: any(one.progress for one in at_work(Store(store), "small")))
    return run


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_run_is_followed_line_by_line_to_its_end(tmp_path: Path) -> None:
    run = begun(tmp_path)
    told = command("status", "small", "--follow", "--store", tmp_path)
    assert told.exit_code == 0, told.exception or told.output
    run.wait(10)
    lines = told.stdout.splitlines()
    assert lines[0] == f"at work: {Holder.here()}"
    assert len([line for line in lines if line.startswith("running")]) > 2
    assert "31/31 done" in told.stdout
    assert lines[-2:] == ["small: 31 variants", "        31 succeeded"]


def test_programs_get_a_line_for_each_change(tmp_path: Path) -> None:
    begun(tmp_path)
    told = command("status", "small", "--follow", "--json", "--store", tmp_path)
    assert told.exit_code == 0, told.exception
    moments = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(moments) > 3
    assert all(moment["at_work"] for moment in moments[:-1])
    assert moments[-1] == {"study": "small", "variants": 31, "statuses": {"succeeded": 31}, "at_work": []}
    done = [moment["at_work"][0].get("done", 0) for moment in moments[:-1]]
    assert done == sorted(done)


def test_on_a_terminal_it_is_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=30)
    monkeypatch.setattr(cli_status, "out", console)
    begun(tmp_path)
    told = command("status", "small", "--follow", "--store", tmp_path)
    assert told.exit_code == 0
    assert "31/31 done" in file.getvalue()
    assert "\x1b[2K" in file.getvalue(), "what was there is drawn over"


@pytest.mark.parametrize(
    ("how", "faults", "status"),
    [({"limit": 3}, None, 3), ({}, {3: "fail"}, 1), ({}, None, 0)],
    ids=["variants-are-left", "some-failed", "all-well"],
)
def test_its_exit_status_is_that_of_a_run(tmp_path: Path, how: dict[str, Any], faults: Any, status: int) -> None:
    run_study(small_study(), tmp_path, FakeEngine(faults=faults), **how)
    assert command("status", "small", "--follow", "--store", tmp_path).exit_code == status
    assert command("status", "small", "--store", tmp_path).exit_code == 0


def test_shards_that_have_gathered_nothing_yet_are_followed(tmp_path: Path) -> None:
    run = begun(tmp_path, shard=(1, 2))
    told = command("status", "small", "--store", tmp_path)
    assert told.stdout.startswith("small: nothing is gathered yet\nhelping: ")
    assert ", share 1/2" in told.stdout
    told = command("status", "small", "--follow", "--store", tmp_path)
    run.wait(10)
    assert told.stdout.endswith("small: nothing is gathered yet\n"), told.stdout
    assert told.exit_code == 3


def test_many_shards_are_one_line() -> None:
    def shard(number: int, **changes: Any) -> AtWork:
        now = Progress(total=10, cached=0, to_do=10, statuses={"succeeded": number}, share=f"{number}/3")
        return AtWork(Holder.here(), progress=now.to_dict(), **changes)

    busy = [AtWork(Holder.here(), 1, progress={"of": "another version"}), *map(shard, (1, 2, 3)), AtWork(Holder.here())]
    (whole, nothing), (helping, nobody_knows), (shards, now) = _parts(busy)
    assert (whole, helping) == (f"at work: {Holder.here()}", f"helping: {Holder.here()}")
    assert nothing is nobody_knows is None
    assert (shards, now and now.total, now and now.done) == ("3 shards at work", 30, 6)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    told = command("status", "nothing", "--follow", "--store", tmp_path)
    assert isinstance(told.exception, bs.BemsweepError)
    assert "no results of a study 'nothing'" in str(told.exception)


def test_a_run_is_stopped(tmp_path: Path) -> None:
    run = begun(tmp_path, longest_s=20)
    until(lambda: run.progress.running or run.progress.stage in ("trying", "running"))
    told = command("stop", "small", "--store", tmp_path)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(f"asked to stop: {Holder.here()}, since ")
    assert "small: 31 variants\n" in told.stdout
    assert " pending\n" in told.stdout
    with pytest.raises(
        RunCancelledError, match=f"was stopped by {Holder.here()}".replace("(", r"\(").replace(")", r"\)")
    ):
        run.wait(30)
    assert run.is_cancelled
    again = command("stop", "small", "--store", tmp_path)
    assert (again.exit_code, again.stdout) == (0, "nobody is at work on small\n")


def test_who_does_not_stop_is_told(tmp_path: Path) -> None:
    far = replace(Holder.here(), machine="another", host="far")
    Store(tmp_path).put(lease_name("small", 1), AtWork(far, 1, since=after(0), expires_at=after(60)).to_bytes())
    told = command("stop", "small", "--store", tmp_path, "--wait", "0.2")
    assert told.exit_code == 3
    assert "still at work after 0.2 s:" in told.stdout
    assert "@far (pid" in told.stdout
    told = command("stop", "small", "--store", tmp_path, "--wait", "0", "--json")
    assert json.loads(told.stdout) == {
        "study": "small", "statuses": {}, "asked": [str(far)], "left": [str(far)], "others": []
    }  # fmt: skip
