"""What a benchmark ran on, and how its repetitions are told."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

__all__ = ["describe", "told"]


def describe() -> str:
    """Return the machine in a line."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return (
        f"{os.cpu_count()} cores of {found[1] if found else platform.processor() or 'unknown'}, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, bemsweep {version('bemsweep')}"
    )


def told(values: Sequence[float], unit: str = "") -> str:
    """Return the median of some values, and between which they lie."""
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f} to {max(values):.2f})"
