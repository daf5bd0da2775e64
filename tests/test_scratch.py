from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bemsweep.errors import InfrastructureError
from bemsweep.scratch import delete_abandoned, open_scratch

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


def test_a_folder_in_use_is_left_alone(home: Path) -> None:
    script = "from bemsweep.scratch import *; from pathlib import Path; import os; "
    script += "delete_abandoned(Path(os.environ['BEMSWEEP_SCRATCH']))"
    with open_scratch() as mine:
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        assert mine.exists()


def test_only_scratch_folders_are_deleted(home: Path) -> None:
    _open_and_die()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (home / "bemsweep-run-link").symlink_to(elsewhere)
    (home / "bemsweep-run-file").touch()
    delete_abandoned(home)
    assert sorted(path.name for path in home.iterdir()) == ["bemsweep-run-file", "bemsweep-run-link", "elsewhere"]
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


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(tmp_path / "missing"))
    with pytest.raises(InfrastructureError, match=r"no scratch folder in .*missing"), open_scratch():
        pass
