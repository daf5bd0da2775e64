"""What is left on disk of a year of the reference medium office: the bare engine's files, and our record and cube.

The study has twenty hourly series, all digits kept. Prints the ratio of bytes. The cube is that of eight variants, for
it holds 256 of them in one object, and one alone would say nothing of how that is compressed.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from machine import describe
from pyenergyplus import dataset
from yardsticks import CHICAGO, compiled

import bemsweep as bs

VARIANTS = 8
METERS = ("Electricity:Facility", "NaturalGas:Facility")


def study() -> bs.Study:
    """Return the study: two meters and the temperatures of the eighteen zones."""
    return bs.Study(
        name="bytes",
        baseline="bundled:ref/medium_office",
        weather={"chicago": "bundled:usa_il_chicago"},
        parameters={"lighting": bs.Field("Lights", "watts_per_floor_area", values=[6.0 + n for n in range(VARIANTS)])},
        outputs=[
            *(bs.Meter(name, frequency="hourly", as_=f"meter_{number}") for number, name in enumerate(METERS)),
            bs.Variable("Zone Mean Air Temperature", frequency="hourly", as_="temperature"),
        ],
        reference=False,
    )


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Print the bytes and their ratio."""
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        left = folder / "left"
        left.mkdir()
        model = dataset.ref_models["medium_office"]
        command: list[str | Path] = [compiled(folder), "-a", "-d", left, "-w", CHICAGO, model]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        run = bs.run(bs.plan(study(), store=folder / "store"))
        if run.progress.statuses != {"succeeded": VARIANTS}:
            raise SystemExit(f"not all succeeded: {run!r}")
        hourly = bs.open_results(folder / "store", "bytes")["hourly"].to_dataset()
        series = sum(array.size for array in hourly.data_vars.values()) // (
            hourly.sizes["variant"] * hourly.sizes["time"]
        )
        bare = size_of(left)
        records, cube = (size_of(folder / "store" / part) / VARIANTS for part in ("records", "studies"))
    print(f"a year of the reference medium office, {series} hourly series:")
    print(f"  the bare engine leaves {bare / 1e6:.1f} MB, a record has {records / 1e6:.2f} MB, ", end="")
    print(f"its part of the cube {cube / 1e6:.2f} MB")
    print(f"  record and cube / bare engine: {(records + cube) / bare:.3f}")


if __name__ == "__main__":
    main()
