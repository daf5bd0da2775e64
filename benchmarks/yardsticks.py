"""A whole study, from `bemsweep.run` on a running cluster to the committed cube, beside the bare engine run by hand.

The yardsticks do the same variants on the same cores, and leave their results on disk:

- ``own``: the bare engine, a process of its own for each run, two at a time, on the models as they came;
- ``same``: the same with just the outputs that the study asks for;
- ``idfkit``: its `simulate_batch`, two at a time, on the models as they came, all series read.

Each repetition runs all of them one after the other, each time another one first. Printed are the medians of the
ratios within a repetition, never a time alone. ``python benchmarks/yardsticks.py short medium small``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from distributed import Client
from idfkit import load_idf, write_idf
from idfkit.simulation import EnergyPlusConfig, SimulationJob, simulate_batch
from machine import describe, told
from pyenergyplus import dataset

import bemsweep as bs
from bemsweep.cluster import open_local_client
from bemsweep.energyplus import build_at
from bemsweep.outputs import RunKind
from bemsweep.run_context import context_of
from bemsweep.simulate import write_job_model
from bemsweep.store import Store
from bemsweep.task import Workplace, job_of

AT_ONCE = 2
CHICAGO = Path(dataset.weather_files["usa_il_chicago"])

BARE = """
#include <dlfcn.h>
int main(int argc, char **argv) {
    void *api = dlopen(LIBRARY, RTLD_NOW);
    void *state = ((void *(*)(void))dlsym(api, "stateNew"))();
    ((void (*)(void *, int))dlsym(api, "setConsoleOutputState"))(state, 0);
    return ((int (*)(void *, int, char **))dlsym(api, "energyplus"))(state, argc, argv);
}
"""
"""What the executable of an installed EnergyPlus does."""


@dataclass(frozen=True)
class Case:
    """What is run."""

    title: str
    """For people."""
    baseline: str
    """As a study names it."""
    model: Path
    """The same as a file."""
    run: RunKind
    """Run kind."""
    flags: tuple[str, ...]
    """The engine's own word for that."""
    lightings: int
    """Values of one parameter."""
    norths: int
    """Values of another."""


CASES = {
    "short": Case(
        "64 small offices, design days", "bundled:ref/small_office", Path(dataset.ref_models["small_office"]),
        "design_day", ("-D",), 8, 8,
    ),
    "medium": Case(
        "16 ASHRAE medium offices, a year", "bundled:ashrae/office_medium",
        Path(dataset.ashrae_models["office_medium"]), "annual", ("-a",), 4, 4,
    ),
    "small": Case(
        "16 small offices, a year", "bundled:ref/small_office", Path(dataset.ref_models["small_office"]),
        "annual", ("-a",), 4, 4,
    ),
}  # fmt: skip


def study(case: Case) -> bs.Study:
    """Return the study of a case."""
    return bs.Study(
        name="yardstick",
        baseline=case.baseline,
        weather={"chicago": "bundled:usa_il_chicago"},
        run=case.run,
        parameters={
            "lighting": bs.Field("Lights", "watts_per_floor_area", values=[6.0 + n for n in range(case.lightings)]),
            "north": bs.Field("Building", "north_axis", values=[10.0 * n for n in range(case.norths)]),
        },
        outputs=[
            bs.Meter("Electricity:Facility", frequency="hourly", as_="electricity"),
            bs.Meter("NaturalGas:Facility", frequency="hourly", as_="gas"),
            bs.Variable("Zone Mean Air Temperature", frequency="hourly", as_="temperature"),
        ],
        reference=False,
    )


class Yardsticks:
    """All ways to run one case, in one folder."""

    def __init__(self, case: Case, folder: Path, client: Client) -> None:
        self._case, self._folder, self._client = case, folder, client
        self._bare = compiled(folder)
        self._config = EnergyPlusConfig(self._bare, (25, 2, 0), folder, folder / "Energy+.idd")
        (folder / "Energy+.idd").touch()
        self._rounds = 0
        self.account = ""
        """Where the time of the last study went."""
        plan = bs.plan(study(case), store=folder / "planned")
        self._own = [self._edited(lighting, north) for lighting, north in (row[2:] for row in plan.points.rows)]
        self._same = [folder / "same" / f"{number}.idf" for number in range(len(self._own))]
        self._write_same(plan)

    def _edited(self, lighting: object, north: object) -> Path:
        """Write a variant as a person would: the model as it came, and the edits."""
        model = load_idf(str(self._case.model))
        for lights in model["Lights"]:
            lights.watts_per_floor_area = lighting
        for building in model["Building"]:
            building.north_axis = north
        path = self._folder / "own" / f"{lighting}-{north}.idf"
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(write_idf(model)), encoding="utf-8")
        return path

    def _write_same(self, plan: bs.Plan) -> None:
        for source in (*(one.input for one in plan.baselines.values()), *(one.input for one in plan.weather.values())):
            plan.store.put(Store.input_name(source.sha256, source.suffix), source.path.read_bytes())
        place = Workplace(context_of(plan))
        for variant, row, path in zip(plan.variant_ids, plan.points.rows, self._same, strict=True):
            scratch = self._folder / "scratch"
            scratch.mkdir()
            write_job_model(job_of(variant, row, place.context, place.store), scratch)
            path.parent.mkdir(exist_ok=True)
            shutil.copy(scratch / "in.idf", path)
            shutil.rmtree(scratch)

    def own(self) -> None:
        """Run the bare engine on the models as they came."""
        self._run_bare(self._own, self._case.flags)

    def same(self) -> None:
        """Run the bare engine with the study's outputs."""
        self._run_bare(self._same, ())

    def _run_bare(self, models: Sequence[Path], flags: Sequence[str]) -> None:
        def run(numbered: tuple[int, Path]) -> None:
            folder = self._new_folder(f"bare-{numbered[0]}")
            command: list[str | Path] = [self._bare, *flags, "-d", folder, "-w", CHICAGO, numbered[1]]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(run, enumerate(models)))

    def idfkit(self) -> None:
        """Run idfkit's batch on the models as they came, and read all series."""
        is_annual = self._case.run == "annual"
        # The models have no templates, for which the wheel has no ExpandObjects.
        jobs = [
            SimulationJob(
                load_idf(str(path)),
                CHICAGO,
                annual=is_annual,
                design_day=not is_annual,
                expand_objects=False,
                output_dir=self._new_folder(f"idfkit-{number}"),
            )
            for number, path in enumerate(self._own)
        ]
        batch = simulate_batch(jobs, energyplus=self._config, max_workers=AT_ONCE)
        if not batch.all_succeeded:
            raise SystemExit("idfkit's batch has failed")
        for result in batch:
            if (sql := result.sql) is None:
                raise SystemExit("idfkit's batch has left no SQLite")
            for variable in sql.list_variables():
                key = "*" if variable.is_meter else variable.key_value
                sql.get_timeseries(variable.name, key, frequency=variable.frequency)

    def ours(self) -> None:
        """Run the study."""
        plan = self._plan
        run = bs.run(plan, client=self._client)
        if run.progress.statuses != {"succeeded": len(self._own)}:
            raise SystemExit(f"not all succeeded: {run!r}")
        self.account = str(run.account)

    def prepare(self) -> None:
        """Make a plan for an empty store, which is not timed, and forget the results of before."""
        shutil.rmtree(self._folder / f"results-{self._rounds}", ignore_errors=True)
        self._rounds += 1
        self._plan = bs.plan(study(self._case), store=self._folder / f"results-{self._rounds}" / "store")

    def _new_folder(self, name: str) -> Path:
        folder = self._folder / f"results-{self._rounds}" / f"{name}-{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        return folder


def compiled(folder: Path) -> Path:
    """Return the bare engine as a program."""
    (folder / "bare.c").write_text(BARE)
    library = f'-DLIBRARY="{build_at().path}"'
    subprocess.run(["cc", "-O2", library, "-o", folder / "bare", folder / "bare.c", "-ldl"], check=True)
    return folder / "bare"


def measure(case: Case, repetitions: int, kinds: Sequence[str]) -> None:
    """Print the ratios of a case."""
    print(f"{case.title}, {AT_ONCE} at a time, {repetitions} repetitions")
    with tempfile.TemporaryDirectory() as name, open_local_client(AT_ONCE) as client:
        yardsticks = Yardsticks(case, Path(name), client)
        ways: dict[str, Callable[[], None]] = {kind: getattr(yardsticks, kind) for kind in (*kinds, "ours")}
        seconds: dict[str, list[float]] = {kind: [] for kind in ways}
        for repetition in range(repetitions):
            yardsticks.prepare()
            order = list(ways)
            for kind in (*order[repetition % len(order) :], *order[: repetition % len(order)]):
                began = time.perf_counter()
                ways[kind]()
                seconds[kind].append(time.perf_counter() - began)
                print(f"    {kind} {seconds[kind][-1]:.2f}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
    for kind in kinds:
        print(f"  ours / {kind:7}{told([a / b for a, b in zip(seconds['ours'], seconds[kind], strict=True)])}")
    each = statistics.median(seconds[kinds[0]]) * AT_ONCE / (case.lightings * case.norths)
    print(f"  a run of {kinds[0]!r} took {each:.2f} s; our last study's account:")
    print(yardsticks.account)


def main() -> None:
    """Print a paragraph for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=["short"])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--beside", nargs="*", choices=["own", "same", "idfkit"], default=["own", "same", "idfkit"])
    options = parser.parse_args()
    print(describe())
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in options.cases:
        measure(CASES[name], options.repetitions, options.beside)


if __name__ == "__main__":
    main()
