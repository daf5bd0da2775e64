"""``bemsweep run --detach``: the same command in a process of its own, which needs no terminal.

Decides when that has begun, and what is said of it. The study was planned before, in the foreground; the other process
plans it again and does the work.
"""

from __future__ import annotations

import datetime as dt
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bemsweep.console import DEFAULT_STORE, STOPPED, err, out, print_json
from bemsweep.errors import BemsweepError

if TYPE_CHECKING:
    from bemsweep.at_work import AtWork
    from bemsweep.planning import Plan

__all__ = ["start_detached"]

_LOOK_S = 0.2
_TAIL = 20
"""Lines of its log that are shown of one that has ended at once."""


def start_detached(plan: Plan, study: Path, *, is_helper: bool, as_json: bool) -> int:
    """Run this command again without ``--detach``, apart from the terminal, and return once that has begun.

    Parameters
    ----------
    plan
        The study, checked.
    study
        Its file.
    is_helper
        True if the run needs no lease, and so waits for nobody.
    as_json
        As the option says.

    Returns
    -------
    int
        The exit status: 0 if it has begun, else that with which it has ended.

    Raises
    ------
    BemsweepError
        The log file cannot be written.

    Side effects
    ------------
    A process that stays, and a log file in the current folder.
    """
    log = Path(f"bemsweep-{plan.study.name}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.log").absolute()
    try:
        output = log.open("ab")
    except OSError as error:
        told = f"cannot write {log} ({error.strerror}): a detached run writes what it prints into the current folder"
        raise BemsweepError(told) from error
    with output:
        process = _start([word for word in sys.argv[1:] if word != "--detach"], output)
    where = "" if plan.store.url == str(Path(DEFAULT_STORE).absolute()) else f" --store {shlex.quote(plan.store.url)}"
    if not as_json:
        out.print(f"starting process {process.pid}, whose output goes to\n  {log}")
    try:
        waits_for = _wait_for_begin(process, plan, is_helper=is_helper)
    except KeyboardInterrupt:
        err.print(
            f"process {process.pid} goes on all the same: `bemsweep stop {shlex.quote(str(study))}{where}` ends it"
        )
        return STOPPED
    if as_json:
        report = {"study": plan.study.name, "pid": process.pid, "log": str(log), "exit_status": process.returncode}
        print_json({**report, "waits_for": waits_for})
    elif process.returncode is not None:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL:]
        out.print("\n".join([*lines, f"it has ended already, with exit status {process.returncode}"]))
    else:
        out.print(f"it waits for another run of the study: {waits_for}" if waits_for else "it has begun; from anywhere")
        for command in ("status", "stop"):
            follow = " --follow" if command == "status" else ""
            out.print(f"  bemsweep {command} {shlex.quote(str(study))}{follow}{where}")
    return process.returncode or 0


def _start(words: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start bemsweep where no closing terminal reaches it."""
    # -P: like the command itself, it imports no modules of the folder where it is run.
    command = [sys.executable, "-P", "-m", "bemsweep", *words]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
    if sys.platform == "win32":
        streams["creationflags"] = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        streams["start_new_session"] = True
    process: subprocess.Popen[bytes] = subprocess.Popen(command, **streams)
    return process


def _wait_for_begin(process: subprocess.Popen[bytes], plan: Plan, *, is_helper: bool) -> str:
    """Wait until a run has begun, has ended, or must wait; return for whom it waits."""
    from bemsweep.at_work import at_work  # noqa: PLC0415 - fsspec
    from bemsweep.holder import Holder  # noqa: PLC0415 - psutil

    machine = Holder.here().machine

    def is_its(one: AtWork) -> bool:
        return one.holder.pid == process.pid and one.holder.machine == machine

    while process.poll() is None:
        busy = at_work(plan.store, plan.study.name)
        if any(is_its(one) for one in busy):
            return ""
        if not is_helper and (others := [one for one in busy if one.number]):
            return str(others[0])
        time.sleep(_LOOK_S)
    return ""
