"""The engine host: a child process that keeps EnergyPlus warm and forks once for each run.

``python -m bemsweep.host KIND PATH`` serves runs until its standard input ends; then it kills what
still runs and ends. ``--once`` does a single run in the process itself, for systems without fork;
``--version`` only reports the engine. It has one thread, since it forks, and imports nothing that
would start another. It never judges a run and never touches a store.

What travels, each a tuple: to the host ``("run", serial, baseline, job, scratch, sys_path, max_memory_bytes)``,
``("kill", serial)``, ``("ask",)`` and at last ``("close",)``; back ``("ready", version)``, ``("broken", message)`` of a
build or ``("unable", message)`` of a machine once, ``("alive",)`` for each ask, and ``("ended", serial, returncode,
memory_bytes, cpu_s, exceeded_bytes)`` for each run, the last being what a run held that was killed for its memory, else
0. Under ``--once`` there is neither serial nor ``exceeded_bytes``. A client that is gone without ``("close",)`` was
killed: its runs' folders are deleted for it.
"""

from __future__ import annotations

import argparse
import os
import pickle
import selectors
import shutil
import signal
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bemsweep.energyplus import Build, EnergyPlus, die_with_parent, load
from bemsweep.errors import BemsweepError, InfrastructureError
from bemsweep.heartbeat import CONSOLE_NAME
from bemsweep.memory import WATCH_INTERVAL_S, peak_bytes, resident_bytes
from bemsweep.messages import receive, send

if TYPE_CHECKING:
    from bemsweep.engine import Job
    from bemsweep.model_text import ParsedModel

__all__ = ["main"]

_BASELINES_KEPT = 4
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main(arguments: list[str] | None = None) -> int:
    """Serve until standard input ends.

    Side effects
    ------------
    Takes over file descriptors 0 and 1, and in the end leaves no process behind.
    """
    parser = argparse.ArgumentParser(prog="python -m bemsweep.host", description=__doc__)
    parser.add_argument("kind", choices=["library", "executable"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--version", action="store_true")
    options = parser.parse_args(arguments)
    requests, reports = _take_over_stdio()
    try:
        energyplus = load(Build(options.kind, options.path))
        if not (options.once or options.version):
            _warm_up(energyplus)
    except BemsweepError as error:
        send(reports, ("unable" if isinstance(error, InfrastructureError) else "broken", str(error)))
        return 1
    if not options.once:
        send(reports, ("ready", energyplus.version))
    if options.version:
        return 0
    if options.once:
        return _run_once(energyplus, requests, reports)
    return _Host(energyplus, requests, reports).serve()


def _warm_up(energyplus: EnergyPlus) -> None:
    """Have the engine parse its schema, and meanwhile read what runs need of Python, which takes as long."""
    with ThreadPoolExecutor(1) as pool:  # its thread ends here: what forks has only one
        warm = pool.submit(energyplus.warm_up)
        import bemsweep.simulate  # noqa: F401, PLC0415

        warm.result()


def _take_over_stdio() -> tuple[int, int]:
    """Move the pipes off 0 and 1, where a print of a library or of a user's function would hit them."""
    requests, reports = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, reports


class _Host:
    """The loop that starts runs, reaps them and kills them on request."""

    def __init__(self, energyplus: EnergyPlus, requests: int, reports: int) -> None:
        self._energyplus = energyplus
        self._requests = requests
        self._reports = reports
        self._baselines: OrderedDict[tuple[str, int, int], ParsedModel] = OrderedDict()
        self._serials: dict[int, int] = {}
        """Process id of each run that is under way -> its serial number."""
        self._limits: dict[int, int] = {}
        """Process id of each run that has a limit of memory -> the limit."""
        self._exceeded: dict[int, int] = {}
        """Process id of each run that was killed for its memory -> what it held."""
        self._next_look = 0.0
        self._scratch: list[str] = []
        """Where runs work, and have worked as long as the client has not deleted the folder."""

    def serve(self) -> int:
        """Answer requests until their pipe ends."""
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._requests, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            try:
                while True:
                    ready = {key.fd for key, _ in selector.select(WATCH_INTERVAL_S if self._limits else None)}
                    self._watch()
                    if woken in ready:
                        with suppress(BlockingIOError):
                            os.read(woken, 4096)
                        self._reap()
                    if self._requests in ready:
                        match receive(self._requests):
                            case "run", *run, max_memory_bytes:
                                pid = self._start(*run)
                                if max_memory_bytes is not None:
                                    self._limits[pid] = max_memory_bytes
                            case "kill", serial:
                                self._kill(serial)
                            case ("ask",):
                                send(self._reports, ("alive",))
                            case _:
                                return 0
            except (EOFError, BrokenPipeError):
                self._end_all()
                for scratch in self._scratch:
                    shutil.rmtree(scratch, ignore_errors=True)
                return 0
            finally:
                self._end_all()

    def _kill(self, killed: int) -> None:
        for pid, serial in self._serials.items():
            if serial == killed:
                _kill_group(pid)

    def _watch(self) -> None:
        """Kill the runs that hold more memory than they may."""
        if not self._limits or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + WATCH_INTERVAL_S / 2
        for pid, held in resident_bytes(self._limits).items():
            if held > self._limits[pid]:
                _kill_group(pid)
                self._exceeded[pid] = max(held, self._exceeded.get(pid, 0))

    def _start(self, serial: int, baseline: str, job: bytes, scratch: str, sys_path: list[str]) -> int:
        """Fork a run and return its process id."""
        parsed = self._parsed(baseline)
        pid = os.fork()
        if pid == 0:
            self._become_run(job, Path(scratch), sys_path, parsed)
        with suppress(OSError):  # in both processes, so that neither can act before the group exists
            os.setpgid(pid, pid)
        self._serials[pid] = serial
        self._scratch = [known for known in self._scratch if Path(known).exists()] + [scratch]
        return pid

    def _parsed(self, baseline: str) -> ParsedModel | None:
        """Return the parsed baseline, or None if it cannot be: then the run parses it again and reports why."""
        from bemsweep.model_file import read_model  # noqa: PLC0415 - see `_warm_up`
        from bemsweep.model_text import ParsedModel  # noqa: PLC0415

        try:
            stat = Path(baseline).stat()
            key = baseline, stat.st_mtime_ns, stat.st_size
            if key not in self._baselines:
                self._baselines[key] = ParsedModel.of(read_model(Path(baseline)))
        except Exception:  # noqa: BLE001 - a model must not take the host of all other runs down
            return None
        self._baselines.move_to_end(key)
        if len(self._baselines) > _BASELINES_KEPT:
            self._baselines.popitem(last=False)
        return self._baselines[key]

    def _become_run(self, job: bytes, scratch: Path, sys_path: list[str], baseline: ParsedModel | None) -> NoReturn:
        returncode = 1
        try:
            host = os.getppid()
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if sys.platform == "linux":
                die_with_parent()
                if os.getppid() != host:
                    os._exit(1)
            os.close(self._requests)
            os.close(self._reports)
            returncode = _run(self._energyplus, job, scratch, sys_path, baseline)
        finally:
            os._exit(returncode)

    def _reap(self) -> None:
        while self._serials:
            # The leader stays a zombie, and its group's number its own, until the group is dead.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            _kill_group(ended.si_pid)
            pid, status, usage = os.wait4(ended.si_pid, 0)
            self._limits.pop(pid, None)
            exceeded = self._exceeded.pop(pid, 0)
            serial = self._serials.pop(pid, None)
            if serial is not None:
                returncode = os.waitstatus_to_exitcode(status)
                took = usage.ru_maxrss * _MAXRSS_UNIT, usage.ru_utime + usage.ru_stime
                send(self._reports, ("ended", serial, returncode, *took, exceeded))

    def _end_all(self) -> None:
        """Kill what runs, and wait until it is gone."""
        for pid in self._serials:
            _kill_group(pid)
        for pid in self._serials:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._serials.clear()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses for a group of zombies
        os.killpg(pid, signal.SIGKILL)


def _run_once(energyplus: EnergyPlus, requests: int, reports: int) -> NoReturn:
    """Do the one run that is asked for; end at once, with everything started, if the client goes away."""
    _, _, _, job, scratch, sys_path, _ = receive(requests)  # the client watches the memory of this process
    threading.Thread(target=_end_with_client, args=[requests], daemon=True).start()
    returncode = _run(energyplus, job, Path(scratch), sys_path, None)
    send(reports, ("ended", returncode, peak_bytes(), sum(os.times()[:4])))
    os._exit(returncode)


def _end_with_client(requests: int) -> None:
    with suppress(EOFError):
        receive(requests)
    if hasattr(os, "killpg"):
        _kill_group(os.getpid())
    os._exit(1)


def _run(energyplus: EnergyPlus, job: bytes, scratch: Path, sys_path: list[str], baseline: ParsedModel | None) -> int:
    from bemsweep.simulate import simulate  # noqa: PLC0415 - see `_warm_up`

    os.chdir(scratch)
    console = os.open(CONSOLE_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(console, 1)
    os.dup2(console, 2)
    os.close(console)
    sys.path.extend(path for path in sys_path if path not in sys.path)

    def unpickle() -> Job:
        loaded: Job = pickle.loads(job)  # noqa: S301 - from the client, through a private pipe
        return loaded

    returncode = simulate(unpickle, scratch, energyplus, baseline=baseline)
    with suppress(OSError, ValueError):  # a full disk, or a user's function that closed it
        sys.stdout.flush()
    return returncode


if __name__ == "__main__":
    sys.exit(main())
