"""What a study costs that has been run before: planning, looking for records, and nothing to do.

Prints milliseconds a variant for studies of two sizes, on local disk, with an engine that only pretends.
Run with ``make bench`` or ``python benchmarks/same_study_again.py``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import bemsweep as bs
from bemsweep.testing import FakeEngine

REPETITIONS = 3


def study(lightings: int, norths: int) -> bs.Study:
    """Return a grid over the small office with three monthly series."""
    return bs.Study(
        name="again",
        baseline="bundled:ref/small_office",
        weather="bundled:usa_il_chicago",
        parameters={
            "lighting": bs.Field("Lights", "watts_per_floor_area", values=[float(n + 1) for n in range(lightings)]),
            "north": bs.Field("Building", "north_axis", values=[float(n) for n in range(norths)]),
        },
        outputs=[
            bs.Meter("Electricity:Facility", frequency="monthly"),
            bs.Variable("Zone Mean Air Temperature", frequency="monthly"),
        ],
    )


def main() -> None:
    """Print a line for each size."""
    for lightings, norths in ((20, 30), (100, 60)):
        with tempfile.TemporaryDirectory() as folder:
            engine = FakeEngine(counter=Path(folder) / "starts")
            bs.run(bs.plan(study(lightings, norths), store=f"{folder}/store", engine=engine))
            starts = engine.starts
            seconds = []
            for _ in range(REPETITIONS):
                began = time.perf_counter()
                plan = bs.plan(study(lightings, norths), store=f"{folder}/store", engine=engine)
                bs.run(plan)
                seconds.append(time.perf_counter() - began)
            count = len(plan.variant_ids)
            median = sorted(seconds)[REPETITIONS // 2]
            print(
                f"{count:6,} variants: {engine.starts - starts} engine starts, "
                f"{median:.2f} s, {1000 * median / count:.2f} ms a variant"
            )


if __name__ == "__main__":
    main()
