"""How long it takes until something happens: the command's help, the import, and a study of one variant, end to end.

Prints medians in seconds. Run with ``make bench`` or ``python benchmarks/startup.py``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from machine import describe

REPETITIONS = 5
STUDY = """
name: one
baseline: bundled:ref/small_office
weather: {chicago: bundled:usa_il_chicago}
run: design_day
outputs:
  - {meter: "Electricity:Facility", frequency: hourly, as: electricity}
"""


def main() -> None:
    """Print a line for each."""
    print(describe())
    bemsweep = Path(sys.executable).with_name("bemsweep")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "one.yaml")
        file.write_text(STUDY)
        print(f"import bemsweep            {median_s(lambda: [sys.executable, '-c', 'import bemsweep']):.2f} s")
        print(f"bemsweep --help            {median_s(lambda: [bemsweep, '--help']):.2f} s")
        stores = iter(range(100))
        run = median_s(lambda: [bemsweep, "run", file, "--store", f"{folder}/{next(stores)}"])
        print(f"a study of one design day  {run:.2f} s, with plan, probe, engine, record and cube, in a new store")


def median_s(command: Callable[[], Sequence[str | Path]]) -> float:
    """Return the median of the seconds that a command takes, after one that is not counted."""
    seconds = []
    for _ in range(REPETITIONS + 1):
        words = command()
        began = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
