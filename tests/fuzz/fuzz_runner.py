"""Running one case as the command line would, and saying what came of it.

Each command has a process of its own, forked from one that has imported bemsweep and done nothing else, so that no
case sees another and one that hangs is killed. Decides what is a defect; `fuzz_oracle` says whether a success is true.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fuzz_oracle
import psutil
from fuzz_cases import Case, case

__all__ = ["LIMIT_S", "Judged", "judge", "judge_number"]

LIMIT_S = 240.0
"""What takes longer by the clock hangs.

A case takes about two seconds; if six variants run into the time-out of 20 s on one core, two minutes.
"""

_PRELOADED = ["bemsweep.cli", "bemsweep.planning", "bemsweep.runner", "bemsweep.starter", "bemsweep.results",
              "bemsweep.description", "bemsweep.reproduction", "dask.distributed", "fuzz_oracle"]  # fmt: skip
_EPW = "bundled:usa_il_chicago"


@dataclass(frozen=True)
class Judged:
    """What came of a case."""

    label: str
    """Seed and number."""
    kind: str
    """Kind of input."""
    command: str
    """Which command it went through."""
    how: tuple[str, ...]
    """Names of the mutators."""
    outcome: str
    """``refused``, ``failed``, ``succeeded`` or ``no outcome``."""
    defect: str = ""
    """``traceback``, ``hang``, ``false success``, ``the machine's fault`` or ``vague message``; ``""`` if none."""
    told: str = ""
    """What the command said, or what is false about its success."""
    seconds: float = 0.0
    """By the clock."""


@dataclass
class _Ended:
    """A command that ended or was ended."""

    status: int | None
    """Exit status; None if it was killed for taking too long."""
    out: str = ""
    err: str = ""
    words: tuple[str, ...] = field(default_factory=tuple)


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _in_process(target: Callable[..., None], *arguments: Any) -> int | None:
    """Return the exit status of `target` in a process of its own, None if it hung."""
    process = _context().Process(target=target, args=arguments)
    process.start()
    process.join(LIMIT_S)
    if process.exitcode is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            one.kill()
        process.join()
        return None
    return int(process.exitcode)


def _become_command(folder: Path, words: tuple[str, ...]) -> None:
    os.chdir(folder)
    for name, number in (("out", 1), ("err", 2)):
        file = os.open(folder.parent / f"{folder.name}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
    os.environ["BEMSWEEP_CACHE_DIR"] = str(folder / "cache")
    sys.argv = ["bemsweep", *words]
    from bemsweep import planning, task
    from bemsweep.cli import main

    planning.open_engine = task.open_engine = cache(_open_engine)
    main()


def _open_engine(choice: str | None = None) -> Any:
    """Open one engine for the plan and the run, whose host ends with the process."""
    from bemsweep.host_client import open_engine

    engine = open_engine(choice)
    engine.close = lambda: None
    return engine


def _command(folder: Path, *words: str) -> _Ended:
    """Run a command in `folder`."""
    status = _in_process(_become_command, folder, words)
    out, err = (
        (folder.parent / f"{folder.name}.{name}").read_text(encoding="utf-8", errors="replace")
        for name in ("out", "err")
    )
    return _Ended(status, out, err, words)


def _write_verdict(one: Case, folder: Path, out: str) -> None:
    try:
        found = fuzz_oracle.false_about(one, folder, out)
    except fuzz_oracle.ORACLE_FAULTS as error:
        found = [f"the oracle cannot read it: {type(error).__name__}: {error}"]
    (folder / "verdict").write_bytes(pickle.dumps(found))


def judge_number(seed: int, number: int) -> Judged:
    """Run case `number` of `seed` and judge it."""
    return judge(case(seed, number))


def judge(one: Case) -> Judged:
    """Run a case and judge it.

    Side effects
    ------------
    Works in a temporary folder, which it deletes.
    """
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="bemsweep-fuzz-"))
    try:
        folder = home / "case"
        folder.mkdir()
        for name, content in one.files.items():
            (folder / name).write_bytes(content)
        outcome, defect, told = _judged(one, folder)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    seconds = time.monotonic() - began
    return Judged(one.label, one.kind, one.command, one.how, outcome, defect, told.strip(), round(seconds, 2))


def _judged(one: Case, folder: Path) -> tuple[str, str, str]:
    """Return the outcome, the defect and what was told."""
    words = {
        "run": ("run", "study.yaml", "--store", "store", "--json"),
        "describe": ("describe", one.valid.target, "--weather", "days.epw", "--json"),
        "init": ("init", one.valid.target, _EPW, "--out", "made.yaml"),
    }[one.command]
    ended = _command(folder, *words)
    if wrong := _wrong_end(ended):
        return "no outcome", wrong, ended.err
    if ended.status == 2:
        return "refused", "" if _says_where(one, ended.err) else "vague message", ended.err
    if one.command == "init":
        planned = _command(folder, "plan", "made.yaml", "--store", "store", "--json")
        defect = _wrong_end(planned) or ("" if planned.status == 0 else "false success")
        return "succeeded", defect, planned.err if defect else ""
    if _in_process(_write_verdict, one, folder, ended.out) is None:
        return "succeeded", "hang", "the oracle hung"
    verdict = folder / "verdict"
    found = pickle.loads(verdict.read_bytes()) if verdict.exists() else ["the oracle died"]
    if ended.status == 0:
        return "succeeded", "false success" if found else "", "; ".join(found)
    return "failed", "vague message" if found else "", "; ".join(found)


def _wrong_end(ended: _Ended) -> str:
    if ended.status is None:
        return "hang"
    if "Traceback" in ended.err or ended.status not in (0, 1, 2, 3):
        return "traceback"
    if ended.status == 3:
        return "the machine's fault"
    if ended.status == 1 and ended.words[0] != "run":
        return "traceback"
    if ended.status != 2 and "--json" in ended.words:
        try:
            json.loads(ended.out)
        except ValueError:
            return "traceback"
    return ""


def _says_where(one: Case, err: str) -> bool:
    """Return True if a message names the file, or a place in the study, and is nothing but a message."""
    says_where = one.valid.target in err or "line " in err
    return bool(err.strip()) and says_where and len(err) < 5_000 and "site-packages" not in err
