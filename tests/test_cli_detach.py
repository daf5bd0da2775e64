"""`bemsweep run --detach`, as a user does it: on a terminal that is then closed, with the real engine."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

import bemsweep as bs
from bemsweep import cli_detach
from bemsweep.at_work import at_work
from bemsweep.cli_detach import start_detached
from bemsweep.errors import BemsweepError
from bemsweep.holder import Holder
from bemsweep.lease import lease_for
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import small_study
from test_two_drivers import until

STUDY = """\
name: office
baseline: bundled:ref/small_office
weather: {chicago: bundled:usa_il_chicago}
run: design_day
parameters:
  lighting: {object: Lights, field: watts_per_floor_area, values: [null, 8, 6]}
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


@contextmanager
def on_terminal(command: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a shell that leads a session on a terminal of its own; give it and the terminal's other end."""
    ours, its = os.openpty()
    shell = subprocess.Popen(
        ["sh", "-c", command], stdin=its, stdout=its, stderr=its, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it only asks the kernel
    )  # fmt: skip
    os.close(its)
    try:
        yield shell, ours
    finally:
        shell.kill()
        shell.wait()


def said(terminal: int, until_text: str) -> str:
    """Read what a terminal shows until a text comes."""
    shown = b""
    while until_text not in (text := shown.decode(errors="replace").replace("\r\n", "\n")):
        shown += os.read(terminal, 4096)
    return text


@pytest.mark.engine
def test_a_run_outlives_its_terminal_and_is_followed_from_elsewhere(here: Path) -> None:
    with on_terminal(f"{sys.executable} -m bemsweep run office.yaml --detach; echo over; cat") as (shell, terminal):
        shown = said(terminal, "over\n")
        pid = int(re.findall(r"starting process (\d+)", shown)[0])
        driver = psutil.Process(pid)
        assert "3: 0 stored, 3 to run" in shown
        assert "it has begun; from anywhere\n  bemsweep status office.yaml --follow\n  bemsweep stop office" in shown
        (busy,) = at_work(Store("bemsweep-store"), "office")
        assert busy.holder.pid == pid
        os.close(terminal)  # the kernel sends SIGHUP to whoever is on it
        assert shell.wait(20) != 0, "the shell has died of it"
    followed = bemsweep("status", "office.yaml", "--follow")
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.startswith("at work: ")
    assert followed.stdout.endswith("office: 3 variants\n         3 succeeded\n")
    (log,) = here.glob("bemsweep-office-*.log")
    until(lambda: not driver.is_running() or driver.status() == psutil.STATUS_ZOMBIE)
    assert "3 succeeded; 3 run now" in log.read_text()


def test_problems_are_told_at_once_and_nothing_is_started(here: Path) -> None:
    bad = bemsweep("run", "office.yaml", "--detach", "--engine", "/nowhere/energyplus")
    assert (bad.returncode, "/nowhere/energyplus" in bad.stderr) == (2, True)
    assert not list(here.glob("*.log"))


@pytest.fixture
def started(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Detach a study of the fake engine, in whose place a few words of Python run."""
    processes: list[subprocess.Popen[bytes]] = []

    def start_python(script: str, **how: Any) -> int:
        def start(_: object, output: IO[bytes]) -> subprocess.Popen[bytes]:
            processes.append(subprocess.Popen([sys.executable, "-c", script], stdout=output))
            return processes[-1]

        monkeypatch.setattr(cli_detach, "_start", start)
        plan = bs.plan(small_study(), store="bemsweep-store", engine=FakeEngine())
        return start_detached(plan, Path("study.yaml"), **{"is_helper": False, "as_json": False, **how})

    yield start_python
    for process in processes:
        process.kill()
        process.wait()


def test_what_has_ended_at_once_is_told_with_its_last_words(
    started: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert started("print('no disk'); raise SystemExit(3)") == 3
    assert capsys.readouterr().out.endswith("no disk\nit has ended already, with exit status 3\n")
    assert started("raise SystemExit(3)", as_json=True) == 3
    assert json.loads(capsys.readouterr().out)["exit_status"] == 3


def test_what_waits_for_another_run_is_told_and_who_helps_waits_for_nobody(
    started: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with lease_for(Store("bemsweep-store"), "small"):
        assert started("import time; time.sleep(60)") == 0
        assert f"it waits for another run of the study: {Holder.here()}, since" in capsys.readouterr().out
        assert started("raise SystemExit(0)", is_helper=True) == 0
        assert "it has ended already, with exit status 0" in capsys.readouterr().out


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
