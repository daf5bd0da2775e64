"""A storm: faults that fall on the processes of a run, by a seed, until the run is done.

Decides what is hit when and whom; the same seed falls in the same order on the same kinds of process, as far as
processes are as fast. It never looks at results (`chaos.invariant` does).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import psutil
from distributed import Client

from bemsweep.attempts import MOST_TRIES
from bemsweep.store import Store
from chaos.faulty_proxy import FaultyProxy
from chaos.processes import THREADS, Cluster, Driver, Home
from s3_servers import SeaweedServer

__all__ = ["Blow", "Fallen", "Kind", "Stage", "let_fall"]

Kind = Literal["run", "host", "worker", "nanny", "retired", "scheduler", "driver", "server", "server pause"]
"""What is hit: killed by SIGKILL, but a worker retired by its scheduler, and a server that is stopped or paused."""

_POLL_S = 0.05
_MOST_HITS = MOST_TRIES - 2
"""So often one variant's engine is hit: one whose engine dies in every try has failed, and rightly."""


@dataclass(frozen=True)
class Blow:
    """One kind of fault, again and again."""

    kind: Kind
    """What it hits."""
    every_s: float
    """Mean time between two, seconds; each is between half and one and a half of it."""
    most: int = 10**6
    """How often at most."""
    least: int = 1
    """How often it must have fallen: a storm that was none shows nothing."""
    lasts_s: float = 5.0
    """How long a server is away, seconds."""
    needs_starts: int = 1
    """Falls only after so many more runs have started since the last one, so that each hits a run under way."""


@dataclass
class Stage:
    """The processes that can be hit."""

    home: Home
    """The storm's."""
    driver: Driver
    """The run."""
    store: str
    """URL of the store."""
    cluster: Cluster | None = None
    """The user's cluster; None if the driver has one in its own process."""
    server: SeaweedServer | None = None
    """The storage server, if there is one of the storm's own."""
    proxy: FaultyProxy | None = None
    """What stands before the server."""
    left: list[str] = field(default_factory=list)
    """What the run and its cluster left when they had ended."""
    abandoned: list[str] = field(default_factory=list)
    """Of it what the next process tidies up."""
    hit: Counter[str] = field(default_factory=Counter)
    """How often the engine of each variant was hit."""

    def may_hit(self, variants: set[str] | None) -> bool:
        """Return True if the engines of these variants may be hit once more; False of ones that are not known."""
        return bool(variants) and all(self.hit[variant] < _MOST_HITS for variant in variants)

    @property
    def threads(self) -> int:
        """Variants that run at once."""
        return self.cluster.threads if self.cluster else (psutil.cpu_count() or 1)

    def open_store(self) -> Store:
        """Return the store as it is without faults."""
        return Store(self.store, self.server.options if self.server else None)


@dataclass
class Fallen:
    """What a storm did."""

    hits: Counter[str]
    """How often each kind was hit."""
    most_extra_runs: int
    """How many runs may have been in vain: those under way at what was hit, and a probe of each driver."""
    seconds: float
    """From the first start of the driver to its end."""


def let_fall(stage: Stage, blows: tuple[Blow, ...], *, seed: int, timeout_s: float) -> Fallen:
    """Run the driver to its end, however often it must be started, while faults fall.

    Parameters
    ----------
    stage
        The processes.
    blows
        The faults.
    seed
        Of times and victims.
    timeout_s
        After so many seconds the run hangs.

    Raises
    ------
    TimeoutError
        The run did not end.
    """
    hits: Counter[str] = Counter()
    extra = 0
    began = time.monotonic()
    due = [_due(blow, random.Random(f"{seed}:{number}"), stage) for number, blow in enumerate(blows)]
    chance = random.Random(seed)
    try:
        while stage.driver.tend():
            if stage.cluster is not None:
                stage.cluster.tend()
            for blow, is_due in zip(blows, due, strict=True):
                if hits[blow.kind] < blow.most and next(is_due):
                    lost = _hit(blow, stage, chance)
                    hits[blow.kind] += lost is not None
                    extra += lost or 0
            if time.monotonic() - began > timeout_s:
                raise TimeoutError(f"the run did not end within {timeout_s:.0f} s")
            time.sleep(_POLL_S)
    finally:
        stage.driver.end()
    return Fallen(hits, extra + stage.driver.starts, time.monotonic() - began)


def _due(blow: Blow, chance: random.Random, stage: Stage) -> Iterator[bool]:
    """Yield, each time it is asked, whether the fault falls now."""
    starts = 0
    while True:
        at = time.monotonic() + blow.every_s * chance.uniform(0.5, 1.5)
        while time.monotonic() < at or stage.home.count_starts() < starts + blow.needs_starts:
            yield False
        starts = stage.home.count_starts()
        yield True


def _hit(blow: Blow, stage: Stage, chance: random.Random) -> int | None:
    """Let one fault fall; return how many runs it may have cost, or None if there was nothing to hit."""
    cluster = stage.cluster
    if blow.kind in ("server", "server pause"):
        assert stage.server is not None
        _away(stage.server, blow)
        return 0
    if blow.kind == "retired":
        assert cluster is not None
        return THREADS if _retire(cluster, chance) else None
    found: dict[str, Callable[[], list[psutil.Process]]] = {
        "run": stage.home.runs, "host": stage.home.hosts, "driver": stage.driver.process
    }  # fmt: skip
    if cluster is not None:
        found |= {"worker": cluster.workers, "nanny": cluster.nannies, "scheduler": cluster.scheduler}
    victims = sorted(found[blow.kind](), key=lambda process: process.pid)
    with suppress(psutil.NoSuchProcess):
        variants: dict[psutil.Process, set[str] | None] = {}
        if blow.kind in ("run", "host"):
            variants = {victim: stage.home.variants_at(victim) for victim in victims}
            victims = [victim for victim in victims if stage.may_hit(variants[victim])]
        if not victims:
            return None
        victim = chance.choice(victims)
        victim.kill()
        stage.hit.update(variants.get(victim) or ())
        one_worker = THREADS if cluster else stage.threads
        return {"run": 1, "host": one_worker, "worker": one_worker, "nanny": one_worker}.get(blow.kind, stage.threads)
    return None


def _away(server: SeaweedServer, blow: Blow) -> None:
    """Take the server away for a while: killed and started again with its data, or stopped in its tracks."""
    if blow.kind == "server":
        server.stop()
        time.sleep(blow.lasts_s)
        server.start()
    else:
        server.pause()
        time.sleep(blow.lasts_s)
        server.resume()


def _retire(cluster: Cluster, chance: random.Random) -> bool:
    """Have the scheduler retire one of its workers, as a cluster does that grows smaller."""
    with suppress(OSError, TimeoutError), Client(cluster.address, timeout="5s", set_as_default=False) as client:
        workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
        if len(workers) > 1:
            client.retire_workers([chance.choice(workers)])
            return True
    return False
