"""The first hour of a new user, timed: an own model and weather, a fresh environment, three commands and a plot.

Prints seconds for each step. The model and the weather are made from bundled ones and changed until they are nobody
else's. Nothing is taken from pip's cache. Run with ``make first-hour`` or ``python benchmarks/first_hour.py``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent

OWN_MODEL = """
from pathlib import Path
from idfkit import set_wwr
from pyenergyplus import dataset
from bemsweep.model_file import read_model
from bemsweep.model_text import write_model

model = read_model(Path(dataset.ref_models["small_office"]))
model["Building"].first().north_axis = 17.0
for lights in model["Lights"]:
    lights.watts_per_floor_area = 9.3
set_wwr(model, 0.31, construction="Window Non-res Fixed")
for zone in list(model["Zone"]):
    model.rename("Zone", zone.name, zone.name.replace("Perimeter_ZN", "Office").replace("Core_ZN", "Hall"))
write_model(model, Path("own.idf"))

lines = Path(dataset.weather_files["usa_co_denver"]).read_text(encoding="latin-1").splitlines(keepends=True)
location = lines[0].split(",")
location[1] = "Own Town"
lines[0] = ",".join(location)
for number, line in enumerate(lines[8:], 8):
    cells = line.split(",")
    cells[6] = f"{float(cells[6]) + 0.7:.1f}"  # a warmer place
    lines[number] = ",".join(cells)
Path("own.epw").write_text("".join(lines), encoding="latin-1")
"""

PLOT = """
import bemsweep as bs
from bemsweep import plot

tree = bs.open_results("bemsweep-store", "own")
table = bs.summary(tree, units="kWh/m2")[["lighting", "infiltration", "site_energy"]]
print(table.to_string(float_format="{:.4g}".format))
plot.main_effects(tree["annual"].to_dataset(), "site_energy").figure.savefig("answer.png")
"""


def main() -> None:
    """Print a line for each step."""
    with tempfile.TemporaryDirectory(prefix="first-hour-") as name:
        folder = Path(name)
        python, command = folder / "env/bin/python", folder / "env/bin/bemsweep"
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("BEMSWEEP", "PYTHON"))},
            "PIP_NO_CACHE_DIR": "1", "BEMSWEEP_CACHE_DIR": str(folder / "cache"), "MPLBACKEND": "agg",
        }  # fmt: skip
        total = 0.0

        def step(what: str, *words: str | Path) -> str:
            nonlocal total
            began = time.perf_counter()
            done = subprocess.run(words, cwd=folder, env=environment, check=True, text=True, stdout=subprocess.PIPE)
            seconds = time.perf_counter() - began
            total += seconds
            print(f"{seconds:7.1f} s  {what}", flush=True)
            return done.stdout

        step("python -m venv", sys.executable, "-m", "venv", "env")
        step("pip install bemsweep[plot], nothing cached", python, "-m", "pip", "install", "-q", f"{ROOT}[plot]")
        subprocess.run([python, "-c", OWN_MODEL], cwd=folder, env=environment, check=True)
        step("bemsweep init own.idf own.epw", command, "init", "own.idf", "own.epw")
        ran = step("bemsweep run study.yaml", command, "run", "study.yaml")
        answer = step("a table and a plot", python, "-c", PLOT)
        print(f"{total:7.1f} s  in all\n")
        print(*re.findall(r".*succeeded.*", ran), answer, sep="\n")
        print(f"answer.png has {(folder / 'answer.png').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
