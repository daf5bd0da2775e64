"""Running EnergyPlus without bemsweep, to compare with."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyenergyplus
from pyenergyplus.dataset import weather_files

CHICAGO = Path(weather_files["usa_il_chicago"])

_LIBRARY = Path(pyenergyplus.__file__).parent.parent / "libenergyplusapi.so"
_RUN = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.stateNew.restype = ctypes.c_void_p
library.setConsoleOutputState.argtypes = [ctypes.c_void_p, ctypes.c_int]
library.energyplus.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
state = library.stateNew()
library.setConsoleOutputState(state, 0)
words = [word.encode() for word in ["energyplus", *sys.argv[2:]]]
sys.exit(library.energyplus(state, len(words), (ctypes.c_char_p * len(words))(*words)))
"""

_VALUES = """
    SELECT d.Name, d.KeyValue, d.ReportingFrequency, e.EnvironmentName,
        t.Month, t.Day, t.Hour, t.Minute, t.IntervalType, r.Value
    FROM ReportData r JOIN ReportDataDictionary d USING (ReportDataDictionaryIndex)
    JOIN Time t USING (TimeIndex) JOIN EnvironmentPeriods e USING (EnvironmentPeriodIndex)
    WHERE coalesce(t.WarmupFlag, 0) = 0
"""


def run_energyplus(
    model: Path, folder: Path, *flags: str, weather: Path = CHICAGO, timeout_s: float | None = None
) -> str:
    """Run `model` in `folder` and return the text of its .end file."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _RUN, str(_LIBRARY), *flags, "-d", str(folder), "-w", str(weather), str(model)]
    subprocess.run(command, check=False, capture_output=True, timeout=timeout_s)
    return (folder / "eplusout.end").read_text()


def memory_of_energyplus(model: Path, folder: Path, *flags: str, weather: Path = CHICAGO) -> int:
    """Run `model` in `folder` and return the peak resident memory of that process, bytes."""
    folder.mkdir()
    command = [sys.executable, "-c", _RUN, str(_LIBRARY), *flags, "-d", str(folder), "-w", str(weather), str(model)]
    # From a small process: Linux counts what the one that starts a program holds as that program's peak.
    script = "import os, subprocess, sys; quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}; "
    script += "print(os.wait4(subprocess.Popen(sys.argv[1:], **quiet).pid, 0)[2].ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024


def install_energyplus(folder: Path) -> Path:
    """Write what looks like an installed EnergyPlus to others: the wheel's library behind a program, and a dictionary.

    It takes no notice of ``-x``, for which the wheel has no ExpandObjects.
    """
    folder.mkdir()
    (folder / "Energy+.idd").write_text("!IDD_Version 25.2.0\n")
    (folder / "run.py").write_text(_RUN)
    program = folder / "energyplus"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\nwords = [word for word in sys.argv[1:] if word != '-x']\n"
        f"os.execv(sys.executable, [sys.executable, {str(folder / 'run.py')!r}, {str(_LIBRARY)!r}, *words])\n"
    )
    program.chmod(0o755)
    return program


def query(folder: Path, statement: str) -> list[tuple]:
    """Return the rows that a run's SQLite has for `statement`."""
    with closing(sqlite3.connect(folder / "eplusout.sql")) as database:
        return database.execute(statement).fetchall()


def values(folder: Path) -> dict[tuple, float]:
    """Return all values of a run: what, of what, when -> value."""
    return {tuple(row[:-1]): row[-1] for row in query(folder, _VALUES)}
