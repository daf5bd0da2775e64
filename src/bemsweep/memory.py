"""How much memory processes hold, told by process group, and have held.

Only looks: what is done about a group that holds too much is the affair of whoever started it.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["WATCH_INTERVAL_S", "peak_bytes", "resident_bytes"]

WATCH_INTERVAL_S = 0.2
"""How often a run that has a limit of memory is looked at."""


def resident_bytes(groups: Collection[int]) -> Mapping[int, int]:
    """Return the resident memory of all processes of each group, bytes; pages that they share count several times.

    Parameters
    ----------
    groups
        Numbers of process groups, which are those of their leaders. Where there are no groups, on Windows, a
        process and all that descends from it.
    """
    held: Counter[int] = Counter()
    if hasattr(os, "getpgid"):
        for pid in psutil.pids():
            with suppress(OSError, psutil.Error):  # it has just ended
                if (group := os.getpgid(pid)) in groups:
                    held[group] += psutil.Process(pid).memory_info().rss
        return held
    for leader in groups:
        with suppress(psutil.Error):
            family = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
            for process in family:
                with suppress(psutil.Error):
                    held[leader] += process.memory_info().rss
    return held


def peak_bytes() -> int:
    """Return the peak resident memory of this process or its largest child that has ended; 0 where nobody tells."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ModuleNotFoundError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    with suppress(OSError):  # Linux counts into `ru_maxrss` what the process held that has started this one
        if told := re.search(
            r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE
        ):
            return max(int(told[1]) * 1024, children)
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, children)
