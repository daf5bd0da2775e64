"""Jobs for the tests that run real EnergyPlus, and a way to count processes."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from pyenergyplus.dataset import ref_models, weather_files

from bemsweep.edits import CallEdit
from bemsweep.energyplus import find_builds
from bemsweep.engine import Job
from bemsweep.outputs import Output
from bemsweep.periods import Calendar, Period

DESIGN_DAYS = Calendar(design_days=2, steps_per_hour=6)
YEAR = Calendar(periods=(Period("year", dt.date(2017, 1, 1), dt.date(2017, 12, 31)),), steps_per_hour=6)
TEMPERATURE = Output("variable", "Zone Mean Air Temperature", "hourly", "temperature")
ELECTRICITY = Output("meter", "Electricity:Facility", "hourly", "electricity")


_LAUNCHER = """#!{python}
import ctypes, sys
library = ctypes.CDLL({library!r})
library.energyPlusVersion.restype = library.stateNew.restype = ctypes.c_void_p
library.energyplus.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
if "--version" in sys.argv:
    print(ctypes.string_at(library.energyPlusVersion()).decode())
    sys.exit()
arguments = [argument.encode() for argument in sys.argv]
sys.exit(library.energyplus(library.stateNew(), len(arguments), (ctypes.c_char_p * len(arguments))(*arguments)))
"""


def job(run_id: str = "run", **changes) -> Job:
    """Return a short run of the small office: its two design days."""
    settings = {
        "run_id": run_id,
        "baseline": Path(ref_models["small_office"]),
        "weather": Path(weather_files["usa_il_chicago"]),
        "run": "design_day",
        "outputs": (TEMPERATURE, ELECTRICITY),
        "calendar": DESIGN_DAYS,
    }
    return Job(**(settings | changes))


def calling(function: Callable[[object, object], object], value: object = 0, **changes) -> Job:
    """Return a job whose only edit calls `function`."""
    return job(edits=(CallEdit("test:function", value),), calls={"test:function": function}, **changes)


def descendants() -> set[int]:
    """Return the living processes below this one, but for Python's own tracker, which stays for good."""
    return {process.pid for process in psutil.Process().children(recursive=True) if not _is_gone_or_tracker(process)}


def _is_gone_or_tracker(process: psutil.Process) -> bool:
    try:
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return is_zombie or any("resource_tracker" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return True


def wait_until(is_true: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Poll until `is_true` returns True; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def write_launcher(folder: Path) -> Path:
    """Write an ``energyplus`` executable, which calls the wheel's library, and return it."""
    library = next(build.path for build in find_builds() if build.kind == "library")
    path = folder / "energyplus"
    path.write_text(_LAUNCHER.format(python=sys.executable, library=str(library)))
    path.chmod(0o755)
    return path
