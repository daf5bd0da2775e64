"""The storms that ``make chaos`` runs, one after the other, and how one is run and judged.

Each is a study, a place for it to run and to keep its results, and what falls on it. Its results are compared with
those of a quiet run of the same study at the same kind of place, whose time tells what the storm cost; what a cluster
leaves that grows and shrinks, with those of a run on bemsweep's own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import xarray as xr

from chaos.faulty_proxy import FaultPlan, FaultyProxy
from chaos.invariant import (
    Found,
    check,
    check_abandoned,
    check_fallen,
    check_left,
    check_needless,
    count_closed,
    groups_of,
)
from chaos.processes import Cluster, Driver, Home, lines_of, wait_until
from chaos.storm import Blow, Stage, let_fall
from chaos.studies import Work
from s3_servers import SeaweedServer

__all__ = ["MATRIX", "SHORT", "Harness", "Outcome", "Place", "Scenario"]

_MOST_TRIES = 8
"""How often what kills its engine or host may be run."""


@dataclass(frozen=True)
class Place:
    """Where a study runs and keeps its results."""

    store: Literal["local", "s3"] = "local"
    """A folder, or a SeaweedFS of the storm's own behind a proxy."""
    cluster: Literal["own", "workers", "adaptive"] = "own"
    """bemsweep's own in the driver's process, a user's of processes, or one that grows and shrinks."""
    workers: int = 4
    """Of a user's cluster."""


@dataclass(frozen=True)
class Scenario:
    """One storm."""

    name: str
    """By which it can be run alone."""
    work: Work
    """The study."""
    place: Place = Place()
    """Where it runs."""
    blows: tuple[Blow, ...] = ()
    """What falls on processes."""
    share: float = 0.0
    """Of the requests to the S3 server that fail."""
    timeout_s: float = 600.0
    """When a run is taken for hanging."""


@dataclass
class Outcome:
    """What came of a storm."""

    scenario: Scenario
    """Which."""
    injected: Counter[str] = field(default_factory=Counter)
    """How often each fault was injected."""
    found: Found = field(default_factory=Found)
    """What does not hold."""
    extra_runs: int = 0
    """Runs beyond one for each variant; the probe is one of them."""
    most_extra_runs: int = 0
    """How many the faults explain."""
    seconds: float = 0.0
    """How long it took."""
    lost_s: float = 0.0
    """How much longer than the quiet run; of a cluster that grows and shrinks, than with bemsweep's own."""
    drivers: int = 0
    """How often the same command was given."""


_VOLUME = Work(300, longest_s=1.0)
_TRUTH = Work(40, engine="real")
_WORKERS = Place(cluster="workers")

MATRIX = (
    Scenario(
        "thousand", Work(1000, longest_s=0.6), _WORKERS,
        (Blow("worker", every_s=2.0, needs_starts=4), Blow("driver", every_s=12.0, most=3, least=3)),
        timeout_s=900.0,
    ),
    Scenario("failing-requests", _TRUTH, Place("s3"), share=0.1, timeout_s=900.0),
    Scenario("spot", _VOLUME, _WORKERS, (Blow("worker", every_s=3.0, needs_starts=4),)),
    Scenario("nannies", _VOLUME, _WORKERS, (Blow("nanny", every_s=4.0, needs_starts=8),)),
    Scenario("retired", _VOLUME, _WORKERS, (Blow("retired", every_s=3.0, needs_starts=4),)),
    Scenario("adaptive", _VOLUME, Place(cluster="adaptive")),
    Scenario("schedulers", _VOLUME, _WORKERS, (Blow("scheduler", every_s=8.0, most=3),)),
    Scenario("drivers", _VOLUME, blows=(Blow("driver", every_s=10.0, most=4),)),
    Scenario("engine-runs", _TRUTH, blows=(Blow("run", every_s=1.5),)),
    Scenario("engine-hosts", _TRUTH, blows=(Blow("host", every_s=4.0),)),
    Scenario(
        "real-workers", _TRUTH, Place(cluster="workers", workers=2),
        (Blow("worker", every_s=6.0), Blow("driver", every_s=9.0, most=2)),
    ),
    Scenario("poison-engine", replace(_TRUTH, variants=20, poison="engine"), Place(cluster="workers", workers=1)),
    Scenario("poison-host", replace(_TRUTH, variants=20, poison="host"), Place(cluster="workers", workers=1)),
    Scenario("server-killed", _VOLUME, Place("s3"), (Blow("server", every_s=10.0, most=3),)),
    Scenario("server-paused", _VOLUME, Place("s3"), (Blow("server pause", every_s=10.0, most=3, lasts_s=8.0),)),
    Scenario(
        "everything", _VOLUME, Place("s3", "workers"),
        (
            Blow("worker", every_s=4.0, needs_starts=8), Blow("nanny", every_s=13.0),
            Blow("driver", every_s=15.0, most=2),
            Blow("scheduler", every_s=17.0, most=2), Blow("server", every_s=19.0, most=2, lasts_s=3.0),
        ),
        share=0.05, timeout_s=900.0,
    ),
)  # fmt: skip

SHORT = (
    Scenario(
        "short-workers", Work(40, longest_s=1.0), Place(cluster="workers", workers=2),
        (Blow("worker", every_s=2.0, needs_starts=8), Blow("driver", every_s=5.0, most=1)), timeout_s=300.0,
    ),
    Scenario(
        "short-requests", Work(20, longest_s=0.3), Place("s3"), share=0.1, timeout_s=300.0,
    ),
)  # fmt: skip
"""The part that ``make test`` runs."""


class Harness:
    """Runs scenarios below one folder, and keeps what their quiet runs left.

    Parameters
    ----------
    folder
        Empty.
    silence_s
        How long a silent connection stays open, seconds.
    """

    def __init__(self, folder: Path, *, silence_s: float = 30.0) -> None:
        self._folder, self._silence_s = folder, silence_s
        self._quiet: dict[tuple[Work, Place], tuple[dict[str, xr.Dataset], float]] = {}
        self._runs = 0

    def run(self, scenario: Scenario, *, seed: int) -> Outcome:
        """Run one scenario, and first its study without a storm, unless that is known.

        Parameters
        ----------
        scenario
            Which.
        seed
            Of all that is left to chance.
        """
        work, place = scenario.work, scenario.place
        calm = replace(place, cluster="own") if place.cluster == "adaptive" else place  # what breathes is never quiet
        quiet, quiet_s = self._quiet_run(replace(work, poison=""), calm)
        own_seed = int.from_bytes(hashlib.sha256(f"{seed} {scenario.name}".encode()).digest()[:4])
        with self._stage(work, place, FaultPlan(own_seed, scenario.share, silence_s=self._silence_s)) as stage:
            try:
                fallen = let_fall(stage, scenario.blows, seed=own_seed, timeout_s=scenario.timeout_s)
            except TimeoutError as error:
                return Outcome(scenario, found=Found(broken=[str(error)]), seconds=scenario.timeout_s)
            gentle = check_fallen(fallen.hits, {blow.kind: blow.least for blow in scenario.blows})
            if stage.proxy is not None:
                stage.proxy.is_on = False
                fallen.hits.update(stage.proxy.injected)
                gentle += check_fallen({"request": stage.proxy.injected.total()}, {"request": int(scenario.share > 0)})
            closed = count_closed(starts=lines_of(stage.home.starts), told=lines_of(stage.home.closings))
            if closed.workers:
                fallen.hits["worker closed"] = closed.workers
            gentle += check_fallen(fallen.hits, {"worker closed": int(place.cluster == "adaptive")})
            engines_left = check_left(stage.home, is_cluster_alive=True) if stage.cluster else []
            found = check(stage.open_store(), quiet, is_poisoned=bool(work.poison))
        found.broken += gentle + engines_left + stage.left
        if not scenario.blows and not work.poison:  # what is not killed has the time to tidy up
            found.broken += stage.abandoned
        extra, most = stage.home.count_starts() - work.variants, fallen.most_extra_runs
        most += closed.runs_in_vain
        most += _MOST_TRIES * stage.threads if work.poison else 0
        is_exact = place.cluster == "adaptive"
        found.broken += check_needless(extra_runs=extra, most=most, what="runs of variants", is_exact=is_exact)
        if place.store == "local":  # a server that fails before the run is told at once
            killed = fallen.hits["driver"] + fallen.hits["scheduler"]
            found.broken += check_needless(extra_runs=stage.driver.starts - 1, most=killed, what="starts of the driver")
        if stage.driver.status != (1 if work.poison else 0):
            found.broken.append(f"the driver ended with {stage.driver.status}: see {stage.home.folder / 'driver.log'}")
        return Outcome(
            scenario, fallen.hits, found, extra, most, fallen.seconds, fallen.seconds - quiet_s, stage.driver.starts
        )

    def _quiet_run(self, work: Work, place: Place) -> tuple[dict[str, xr.Dataset], float]:
        """Return what an undisturbed run of this work at this place makes, and its seconds."""
        if (work, place) not in self._quiet:
            with self._stage(work, place, FaultPlan(0, 0.0)) as stage:
                fallen = let_fall(stage, (), seed=0, timeout_s=600.0)
                assert stage.driver.status == 0, (stage.home.folder / "driver.log").read_text()[-3000:]
                self._quiet[work, place] = groups_of(stage.open_store()), fallen.seconds
            assert not stage.left + stage.abandoned, "an undisturbed run leaves nothing"
        return self._quiet[work, place]

    @contextmanager
    def _stage(self, work: Work, place: Place, plan: FaultPlan) -> Iterator[Stage]:
        """Give all that a run needs, in a folder of its own; afterwards its processes are told to end."""
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        with ExitStack() as stack:
            server, proxy, environment, store = None, None, {}, str(folder / "store")
            if place.store == "s3":
                server = SeaweedServer(folder / "seaweed").start()
                stack.callback(server.stop)
                proxy = stack.enter_context(FaultyProxy(server.port, plan))
                environment = {**server.environment, "AWS_ENDPOINT_URL": proxy.endpoint_url}
                store = server.new_bucket()
            home = Home(folder, environment)
            left: list[str] = []
            abandoned: list[str] = []

            def look() -> None:
                abandoned.extend(check_abandoned(home))
                left.extend(check_left(home, is_cluster_alive=False))
                home.end()

            stack.callback(look)
            cluster = stack.enter_context(Cluster(home, place.workers)) if place.cluster == "workers" else None
            is_adaptive = place.cluster == "adaptive"
            address = cluster.address if cluster else ""
            driver = Driver(home, store=store, work=work, scheduler=address, is_adaptive=is_adaptive)
            if cluster is not None:
                assert wait_until(lambda: len(cluster.workers()) == place.workers, timeout_s=60)
            if proxy is not None:
                proxy.is_on = True
            yield Stage(home, driver, store, cluster, server, proxy, left, abandoned)
