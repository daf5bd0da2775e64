"""Studies that take no engine time, for tests of everything around the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
from distributed import Client

import bemsweep as bs
from bemsweep.object_names import kind_of
from bemsweep.store import Store
from bemsweep.testing import FakeEngine

CHICAGO = {"chicago": "bundled:usa_il_chicago"}


ENGINE_VARIABLE = "BEMSWEEP_TEST_ENGINE"
"""What a `VersionedEngine` reports in a process that has it."""


class VersionedEngine(FakeEngine):
    """One that reports another string where the environment says so, as on a machine with other packages."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.version = os.environ.get(ENGINE_VARIABLE, self.version)

    def __reduce__(self) -> Any:
        return _rebuilt, (self._settings,)


def _rebuilt(settings: dict[str, Any]) -> VersionedEngine:
    return VersionedEngine(**settings)


@contextmanager
def worker_process(client: Client, name: str, **environment: str) -> Iterator[None]:
    """Have one more worker, a process of its own with one thread, which ends with the block if it has not before."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(bs.__file__).parent.parent)])
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", client.scheduler.address, "--nthreads", "1", "--no-nanny",
         "--no-dashboard", "--name", name, "--host", "127.0.0.1", "--death-timeout", "30"],
        env={**os.environ, "PYTHONPATH": paths, **environment}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.kill()
        process.wait(30)


def small_study(**changes: Any) -> bs.Study:
    """A grid of 3 x 2 over the small office, monthly outputs; `changes` replace its settings."""
    settings: dict[str, Any] = {
        "name": "small",
        "baseline": "bundled:ref/small_office",
        "weather": CHICAGO,
        "parameters": {
            "lighting": bs.Field("Lights", "watts_per_floor_area", values=[None, 8, 6]),
            "north": bs.Field("Building", "north_axis", values=[None, 90]),
        },
        "outputs": [
            bs.Meter("Electricity:Facility", frequency="monthly", as_="electricity"),
            bs.Variable("Zone Mean Air Temperature", frequency="monthly", as_="temperature"),
        ],
        "timeout_s": 60.0,
    }
    return bs.Study(**{**settings, **changes})


def grid_of(lightings: int, norths: int) -> dict[str, Any]:
    """Parameters of a grid with that many levels each."""
    return {
        "lighting": bs.Field("Lights", "watts_per_floor_area", values=[float(n) for n in range(1, lightings + 1)]),
        "north": bs.Field("Building", "north_axis", values=[float(n) for n in range(norths)]),
    }


def run_study(study: bs.Study, store: str | Path | Store, engine: FakeEngine, **how: Any) -> bs.Run:
    """Plan and run."""
    plan_settings = {name: how.pop(name) for name in ("yes",) if name in how}
    return bs.run(bs.plan(study, store=store, engine=engine, **plan_settings), **how)


def read(store: str | Path | Store, name: str = "small", group: str = "monthly") -> xr.Dataset:
    """Load one group of a study's results."""
    return bs.open_results(store, name)[group].to_dataset().load()


def assert_same_cubes(one: xr.Dataset, other: xr.Dataset, *, by_variant: bool = False) -> None:
    """Compare values, labels and statuses to the last bit; by variant where the rows' order may differ."""
    if by_variant:
        one, other = (ds.isel(variant=np.argsort(ds.variant_id.values)) for ds in (one, other))
    xr.testing.assert_identical(one, other)


def local_client(**settings: Any) -> Client:
    """A Dask client with a cluster in this process."""
    defaults = {"n_workers": 1, "threads_per_worker": 4, "processes": False, "dashboard_address": "127.0.0.1:0"}
    # As in bemsweep's own clusters: in a cluster within this process CPython 3.11 could lock itself up.
    with dask.config.set({"distributed.worker.profile.enabled": False}):
        return Client(**{**defaults, "set_as_default": False, **settings})


FEW = {"lighting": bs.Field("Lights", "watts_per_floor_area", values=[None, 8])}


def two_studies(store: Store) -> dict[str, bytes]:
    """Run ``small``, of whose 6 variants 2 fail, and ``few`` with 2 of them; return all objects of the store."""
    failing = FakeEngine(faults=lambda job, _: "fail" if len(job.edits) == 2 else None)
    run_study(small_study(), store, failing)
    run_study(small_study(name="few", parameters=FEW), store, failing)
    return contents(store)


def contents(store: Store) -> dict[str, bytes]:
    """Return all objects of a store by name, but for those that say who was at work, and logs."""
    names = [one.name for one in store.objects() if kind_of(one.name) != "lease" and "/logs/" not in one.name]
    return {name: store.get(name) or b"" for name in names}


def filled(store: Store, objects: dict[str, bytes]) -> Store:
    """Write all these objects and return the store."""
    for name, data in objects.items():
        store.put(name, data)
    return store
