"""How much memory processes hold, told by process group.

Only looks: what is done about a group that holds too much is the affair of whoever started it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress

import psutil

__all__ = ["WATCH_INTERVAL_S", "resident_bytes"]

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
