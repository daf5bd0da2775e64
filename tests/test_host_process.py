from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bemsweep.energyplus import Build
from bemsweep.errors import InfrastructureError
from bemsweep.host_process import HostProcess


def test_ending_twice_is_nothing_and_tells_the_last_words(tmp_path):
    child = HostProcess(Build("library", tmp_path), "--no-such-option")
    with pytest.raises(EOFError):
        child.receive()
    assert "unrecognized arguments: --no-such-option" in child.end()
    assert child.end() == child.end()
    child.send("nobody listens")


def test_waiting_has_an_end(tmp_path):
    child = HostProcess(Build("executable", Path("/bin/cat")), "--once")
    try:
        child.kill_group()
        assert child.wait(10) not in (None, 0)
    finally:
        child.end()


def test_python_that_cannot_be_started_is_the_machines_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(InfrastructureError, match="cannot be started"):
        HostProcess(Build("library", tmp_path))
