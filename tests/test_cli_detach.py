"""`bemsweep run --detach`, as a user does it: on a terminal that is then closed, with the real engine."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import termios
from pathlib import Path

import psutil
import pytest

import bemsweep as bs
from bemsweep import cli_detach
from bemsweep.at_work import at_work
from bemsweep.cli_detach import start_detached
from bemsweep.errors import BemsweepError
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import assert_same_cubes, read, small_study
from test_two_drivers import until

STUDY = """\
name: office
baseline: bundled:ref/small_office
weather: {chicago: bundled:usa_il_chicago}
run: design_day
parameters:
  lighting: {object: Lights, field: watts_per_floor_area, values: [null, 9, 8, 7, 6, 5]}
outputs:
  - {meter: "Electricity:Facility", frequency: hourly, as: electricity}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "office.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEMSWEEP_STORE", raising=False)
    return tmp_path


def bemsweep(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bemsweep", *words], capture_output=True, text=True, check=False, timeout=120
    )


def on_terminal(command: str) -> tuple[subprocess.Popen[bytes], int]:
    """Run a shell that leads a session on a terminal of its own; return it and the terminal's other end."""
    ours, its = os.openpty()
    shell = subprocess.Popen(
        ["sh", "-c", command], stdin=its, stdout=its, stderr=its, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it only asks the kernel
    )  # fmt: skip
    os.close(its)
    return shell, ours


def said(terminal: int, until_text: str) -> str:
    """Read what a terminal shows until a text comes."""
    shown = b""
    while until_text.encode() not in shown:
        shown += os.read(terminal, 4096)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.engine
def test_a_run_outlives_its_terminal_and_is_followed_from_elsewhere(here: Path) -> None:
    shell, terminal = on_terminal(f"{sys.executable} -m bemsweep run office.yaml --detach; echo over; cat")
    shown = said(terminal, "over\n")
    pid = int(re.findall(r"starting process (\d+)", shown)[0])
    assert "6: 0 stored, 6 to run" in shown
    assert "it has begun; from anywhere\n  bemsweep status office.yaml --follow\n  bemsweep stop office.yaml\n" in shown
    driver = psutil.Process(pid)
    (busy,) = at_work(Store("bemsweep-store"), "office")
    assert busy.holder.pid == pid
    os.close(terminal)  # the kernel sends SIGHUP to whoever is on it
    assert shell.wait(20) != 0, "the shell has died of it"
    assert driver.is_running()
    followed = bemsweep("status", "office.yaml", "--follow")
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.startswith("at work: ")
    assert followed.stdout.endswith("office: 6 variants\n         6 succeeded\n")
    (log,) = here.glob("bemsweep-office-*.log")
    until(lambda: not psutil.pid_exists(pid) or driver.status() == psutil.STATUS_ZOMBIE)
    assert "6 succeeded; 6 run now" in log.read_text()
    quiet = bemsweep("run", "office.yaml", "--store", "quiet")
    assert quiet.returncode == 0, quiet.stderr
    assert_same_cubes(
        *(read(store, "office", "hourly").drop_attrs() for store in ("bemsweep-store", "quiet"))
    )  # fmt: skip


@pytest.mark.engine
def test_problems_are_told_at_once_and_so_is_a_run_that_ends_at_once(here: Path) -> None:
    bad = bemsweep("run", "office.yaml", "--detach", "--engine", "/nowhere/energyplus")
    assert (bad.returncode, "/nowhere/energyplus" in bad.stderr) == (2, True)
    assert not list(here.glob("*.log"))
    (here / "more").mkdir()
    done = bemsweep("run", "office.yaml", "--detach", "--json", "--limit", "0", "--store", "more/store")
    report = json.loads(done.stdout)
    assert (done.returncode, report["study"]) == (0, "office")
    assert Path(report["log"]).parent == here
    until(lambda: '"pending": 6' in Path(report["log"]).read_text())


def test_a_folder_that_takes_no_log_is_told_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = bs.plan(small_study(), store=tmp_path / "store", engine=FakeEngine())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(cli_detach, "_start", lambda *_: pytest.fail("started all the same"))
    with pytest.raises(BemsweepError, match=r"cannot write .*\.log \(Permission denied\)"):
        start_detached(plan, Path("study.yaml"), is_helper=False, as_json=False)
