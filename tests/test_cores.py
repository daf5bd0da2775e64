from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bemsweep import cores
from bemsweep.cores import processor_name, usable_cores


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such limit")
def test_only_cores_that_this_process_may_use_count() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_cores() == len(allowed)


def test_there_is_always_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_the_processor_has_a_name_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processor_name()
    facts = tmp_path / "cpuinfo"
    monkeypatch.setattr(cores, "Path", lambda _: facts)
    assert processor_name(), "a system that does not tell so"
    facts.write_text("processor\t: 0\nmodel name\t: AMD EPYC 9R14\x1b[2J " + 200 * "x" + "\nmodel name\t: other\n")
    assert processor_name().startswith("AMD EPYC 9R14[2J xxx")
    assert len(processor_name()) == 100
