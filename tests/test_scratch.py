from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bemsweep import scratch
from bemsweep.errors import InfrastructureError, StoreError
from bemsweep.host_client import open_engine
from bemsweep.outcome import judge
from bemsweep.scratch import delete_abandoned, open_scratch
from engine_jobs import TEMPERATURE, job
from small_disks import mounted

_OPEN_AND_DIE = """
import os, signal
from bemsweep.scratch import open_scratch
with open_scratch() as folder:
    (folder / "eplusout.sql").write_bytes(b"left")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(tmp_path))
    return tmp_path


def _open_and_die() -> None:
    subprocess.run([sys.executable, "-c", _OPEN_AND_DIE], check=False, timeout=60)


def test_a_folder_is_empty_and_gone_afterwards(home: Path) -> None:
    with open_scratch() as one, open_scratch() as other:
        assert one != other
        assert not list(one.iterdir())
        (one / "file").touch()
    assert not list(home.iterdir())


def test_what_a_killed_process_left_is_deleted_by_the_next(home: Path) -> None:
    _open_and_die()
    (left,) = home.iterdir()
    assert (left / "eplusout.sql").exists()
    with open_scratch() as mine:
        assert list(home.iterdir()) == [mine]


def test_what_was_killed_before_it_was_locked_is_deleted_when_it_is_no_more_new(home: Path) -> None:
    for name, age_s in (("old", 60.0), ("new", 0.0)):
        folder = home / f"{scratch._NEW}{name}"
        folder.mkdir()
        os.utime(folder, (time.time() - age_s,) * 2)
    delete_abandoned(home)
    assert [path.name for path in home.iterdir()] == [f"{scratch._NEW}new"]


def test_what_cannot_be_locked_is_left_alone_however_old(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(scratch.fcntl, "flock", refuse)
    with open_scratch() as mine:
        os.utime(mine, (0, 0))
        delete_abandoned(home)
        assert mine.exists()


def test_a_folder_in_use_is_left_alone(home: Path) -> None:
    script = "from bemsweep.scratch import *; from pathlib import Path; import os; "
    script += "delete_abandoned(Path(os.environ['BEMSWEEP_SCRATCH']))"
    with open_scratch() as mine:
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        assert mine.exists()


def test_a_folder_of_another_machine_is_left_alone(home: Path) -> None:
    """Lustre with `localflock` and NFS with `local_lock` lock against processes of one machine only."""
    script = "import platform; platform.node = lambda: 'other'\n"
    script += "from bemsweep import scratch; from pathlib import Path; import os\n"
    script += "scratch.fcntl.flock = lambda *_: None  # it sees no lock of ours\n"
    script += "scratch.delete_abandoned(Path(os.environ['BEMSWEEP_SCRATCH']))"
    with open_scratch() as mine:
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        assert mine.exists()


def test_only_scratch_folders_are_deleted(home: Path) -> None:
    _open_and_die()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    link, file = (home / f"{scratch._LOCKED}{name}" for name in ("link", "file"))
    link.symlink_to(elsewhere)
    file.touch()
    delete_abandoned(home)
    assert set(home.iterdir()) == {link, file, elsewhere}
    assert (elsewhere / "file").exists()


@pytest.mark.skipif(os.name != "posix", reason="there are no locks to miss")
def test_a_folder_that_cannot_be_locked_is_used_and_never_taken_for_abandoned(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks on this drive")

    monkeypatch.setattr("fcntl.flock", refuse)
    with open_scratch() as mine:
        monkeypatch.undo()
        delete_abandoned(home)
        assert mine.exists()
    assert not list(home.iterdir())


@pytest.fixture(scope="module")
def engine():
    with open_engine() as opened:
        yield opened


@pytest.mark.parametrize(
    ("options", "why"),
    {
        "too small": ("size=200k", r"has no space left \(204,800 bytes.*: make room there, or"),
        "no inodes": ("size=8m,nr_inodes=9", "has no room for more files.*: make room there, or"),
        "read-only": ("size=8m,ro", "is read-only:"),
    }.values(),
    ids=["too small", "no inodes", "read-only"],
)
def test_what_a_scratch_folder_lacks_is_told_before_a_run(tmp_path, monkeypatch, options, why):
    with mounted(tmp_path / "disk", options) as disk:
        monkeypatch.setenv("BEMSWEEP_SCRATCH", str(disk))
        with pytest.raises(InfrastructureError, match=f"{disk} {why} set BEMSWEEP_SCRATCH"), open_scratch():
            pass
        assert list(disk.iterdir()) == []


@pytest.mark.engine
def test_an_engine_that_cannot_start_for_want_of_room_is_the_machines_fault(tmp_path, monkeypatch):
    with mounted(tmp_path / "disk", "size=200k") as disk:
        monkeypatch.setenv("BEMSWEEP_SCRATCH", str(disk))
        with open_engine() as engine, pytest.raises(InfrastructureError, match=f"{disk} has no space left"):
            _ = engine.version
    monkeypatch.delenv("BEMSWEEP_SCRATCH")
    with open_engine() as engine:
        assert engine.version.startswith("EnergyPlus")


def test_a_missing_scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(tmp_path / "none"))
    with pytest.raises(InfrastructureError, match="none does not exist: set BEMSWEEP_SCRATCH"):
        open_scratch().__enter__()


@pytest.mark.engine
@pytest.mark.parametrize("left", [90_000, 450_000], ids=["while writing the model", "while the engine runs"])
def test_a_disk_that_fills_up_in_a_run_is_told_with_its_folder(engine, tmp_path, monkeypatch, left):
    outputs = tuple(replace(TEMPERATURE, frequency=frequency, array=frequency) for frequency in ("timestep", "hourly"))

    def run_beside(others: bytes) -> tuple[str, str]:
        with open_scratch() as scratch:
            (scratch / "others").write_bytes(others)
            return judge(engine.run(job(outputs=outputs), scratch, timeout_s=60))

    with mounted(tmp_path / "disk", "size=2m") as disk:
        monkeypatch.setenv("BEMSWEEP_SCRATCH", str(disk))
        told = f"scratch folder {disk} has no space left.*bytes.*BEMSWEEP_SCRATCH"
        with pytest.raises(InfrastructureError, match=told):
            run_beside(bytes(2 * 2**20 - 8192 - left))
        assert list(disk.iterdir()) == []
        assert run_beside(b"") == ("succeeded", "")


def test_a_fault_that_is_not_the_disks_stays_as_it_is(tmp_path, monkeypatch):
    for error in (InfrastructureError("killed"), StoreError("away"), KeyError("x"), FileNotFoundError(2, "none", "x")):
        with pytest.raises(type(error)) as caught, open_scratch():
            raise error
        assert caught.value is error
