"""What this machine has: how many variants it runs at once if nobody says otherwise, and its processor's name."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

__all__ = ["processor_name", "usable_cores"]

_MODEL = re.compile(r"^model name\s*:\s*(\S.*)$", re.MULTILINE)


def usable_cores() -> int:
    """Return how many cores this process may use, at least 1."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1


def processor_name() -> str:
    """Return what this machine's processor is called, as far as the system tells: ``AMD EPYC 7R13 Processor``."""
    found = None
    with suppress(OSError):  # Linux only
        found = _MODEL.search(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    name = found[1] if found else platform.processor() or platform.machine()
    return "".join(letter for letter in name.strip() if letter.isprintable())[:100]
