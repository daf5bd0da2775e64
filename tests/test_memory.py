from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bemsweep.memory import resident_bytes
from engine_jobs import wait_until

SCRIPT = """
import os, sys, time
held = b"x" * int(sys.argv[1])
if os.fork():
    open(sys.argv[2], "w").close()
else:
    own = b"y" * int(sys.argv[1])
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no groups and no fork")
def test_a_group_is_counted_with_all_its_processes(tmp_path: Path) -> None:
    size = 40_000_000
    ready = tmp_path / "ready"
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(size), str(ready)], process_group=0) as process:
        try:
            wait_until(ready.exists)
            # The child holds what it inherited and its own.
            wait_until(lambda: resident_bytes([process.pid])[process.pid] > 3 * size)
            assert resident_bytes([process.pid])[process.pid] < 3 * size + 100_000_000
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: not resident_bytes([process.pid]).get(process.pid, 0))


def test_looking_costs_little() -> None:
    begin = time.thread_time()
    for _ in range(10):
        resident_bytes([1_000_000_000])
    assert time.thread_time() - begin < 1.0, "5 looks a second must be next to nothing"


def test_a_peak_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    script = "from bemsweep.memory import peak_bytes; held = b'x' * int(80e6); del held; print(peak_bytes())"
    size = 400_000_000
    held = bytearray(b"x") * size
    peak = int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert len(held) == size
    assert 80e6 < peak < 300e6
