"""The processes of one storm: scheduler, workers with their nannies, driver; each can be killed and started again.

All of them carry a mark of their own in their environment, by which they and whatever they start are found; nothing
else is ever killed. Decides no faults (`chaos.storm` does).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from chaos.studies import STARTS, Work
from s3_servers import die_with_parent, free_ports

__all__ = ["THREADS", "Cluster", "Driver", "Home", "lines_of", "wait_until"]

THREADS = 2
"""Of each worker."""
_MARK = "CHAOS_STORM"
_HOST = "bemsweep.host"
_TESTS = str(Path(__file__).parents[1])


class Home:
    """A storm's folder, its mark, and what its processes have in their environment.

    Parameters
    ----------
    folder
        Empty; everything local of the storm is in it.
    environment
        Variables beside the usual ones, such as how to reach the S3 server.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.scratch, self.starts = folder, folder / "scratch", folder / "starts"
        self.closings = folder / "closings"
        """Where a cluster that grows and shrinks tells what it hears of its workers, and which it closes."""
        self.scratch.mkdir(parents=True)
        self._mark = uuid.uuid4().hex
        paths = [_TESTS, os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            _MARK: self._mark,
            STARTS: str(self.starts),
            "BEMSWEEP_SCRATCH": str(self.scratch),
            "TMPDIR": str(self.scratch),
            "BEMSWEEP_CACHE_DIR": str(folder / "cache"),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            **environment,
        }

    def start(self, *arguments: str, log: str) -> subprocess.Popen[bytes]:
        """Start Python with these arguments; what it prints goes to a file of the folder."""
        with (self.folder / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                process_group=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the kernel
            )

    def processes(self) -> list[psutil.Process]:
        """Return the living processes that carry the mark, wherever they hang in the tree by now."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def hosts(self) -> list[psutil.Process]:
        """Return the processes that keep an engine warm."""
        return [process for process in self.processes() if _is_host(process) and not _is_host(process.parent())]

    def runs(self) -> list[psutil.Process]:
        """Return the processes in which an engine runs, forks of a host."""
        return [process for process in self.processes() if _is_host(process) and _is_host(process.parent())]

    def variants_at(self, process: psutil.Process) -> set[str] | None:
        """Return the variants that a run, or a host's runs, are at; None if one of them has not told yet."""
        told = {int(pid): number for number, pid in (line.split() for line in lines_of(self.starts))}
        runs = [run for run in self.runs() if process.pid in (run.pid, run.ppid())]
        return {told[run.pid] for run in runs} if all(run.pid in told for run in runs) else None

    def end(self) -> None:
        """Kill what is left, so that no storm disturbs the next."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def count_starts(self) -> int:
        """Return how many runs were started so far."""
        return len(lines_of(self.starts))


class Cluster:
    """A Dask cluster of processes: the user's own, with Dask's default settings.

    Parameters
    ----------
    home
        The storm's.
    workers
        How many, each with a nanny of its own.
    """

    def __init__(self, home: Home, workers: int) -> None:
        self._home, self._workers = home, workers
        (self._port,) = free_ports(1)
        self.address = f"tcp://127.0.0.1:{self._port}"
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._nannies: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.tend()
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._nannies, *filter(None, [self._scheduler])]:
            process.terminate()
        for process in [*self._nannies, *filter(None, [self._scheduler])]:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def threads(self) -> int:
        """Variants that it runs at once."""
        return self._workers * THREADS

    def tend(self) -> None:
        """Start what is missing, as whoever keeps a cluster would."""
        if self._scheduler is None or self._scheduler.poll() is not None:
            place = ["--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard"]
            self._scheduler = self._home.start("distributed.cli.dask_scheduler", *place, log="scheduler")
        self._nannies = [nanny for nanny in self._nannies if nanny.poll() is None]
        while len(self._nannies) < self._workers:
            size = ["--nworkers", "1", "--nthreads", str(THREADS), "--memory-limit", "0", "--no-dashboard"]
            place = ["--host", "127.0.0.1", "--local-directory", str(self._home.folder / "dask")]
            command = ["distributed.cli.dask_worker", self.address, *size, *place]
            self._nannies.append(self._home.start(*command, log="workers"))

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes, which nannies have started."""
        found = []
        for nanny in self._nannies:
            with suppress(psutil.Error):
                children = psutil.Process(nanny.pid).children()
                found += [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        return found

    def nannies(self) -> list[psutil.Process]:
        """Return the nannies."""
        with suppress(psutil.Error):
            return [psutil.Process(nanny.pid) for nanny in self._nannies if nanny.poll() is None]
        return []

    def scheduler(self) -> list[psutil.Process]:
        """Return the scheduler, if it is alive."""
        assert self._scheduler is not None
        return [psutil.Process(self._scheduler.pid)] if self._scheduler.poll() is None else []


class Driver:
    """The process that plans and runs the study; started again with the same command until it is done.

    Parameters
    ----------
    home
        The storm's.
    store
        URL of the store.
    work
        The study.
    scheduler
        Address of the user's cluster; "" for bemsweep's own.
    is_adaptive
        True for a cluster in the driver's process that grows and shrinks.
    """

    def __init__(self, home: Home, *, store: str, work: Work, scheduler: str = "", is_adaptive: bool = False) -> None:
        self._home = home
        self._settings = home.folder / "run.json"
        settings = {"store": store, "work": work.to_json(), "scheduler": scheduler, "is_adaptive": is_adaptive}
        settings["closings"] = str(home.closings)
        self._settings.write_text(json.dumps(settings))
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        """How often it was started."""
        self.gave_up = 0
        """How often it ended by itself, to be run again."""
        self.status: int | None = None
        """Exit status of the last one that was not killed and did not ask to be run again."""

    def tend(self) -> bool:
        """Start it unless it is alive or done; return True while there is something to do."""
        ended = None if self._process is None else self._process.poll()
        if self._process is not None and ended is None:
            return True
        if ended == 3:
            self.gave_up += 1
        elif ended is not None and ended != -signal.SIGKILL:
            self.status = ended
            return False
        self.starts += 1
        self._process = self._home.start("chaos.run_study", str(self._settings), log="driver")
        return True

    def process(self) -> list[psutil.Process]:
        """Return it, if it is alive."""
        return [psutil.Process(self._process.pid)] if self._process is not None and self._process.poll() is None else []

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _is_host(process: psutil.Process | None) -> bool:
    with suppress(psutil.Error):
        return process is not None and _HOST in process.cmdline()
    return False


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file, which need not be there."""
    return path.read_text().splitlines() if path.exists() else []


def wait_until(is_true: Callable[[], object], *, timeout_s: float) -> bool:
    """Poll until `is_true`; return False if it is not after so many seconds."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
