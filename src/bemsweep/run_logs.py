"""Logs of runs: what each process of a run tells, an object per process and run in the store, and reading them.

Decides how much is kept. A process keeps its latest lines, warnings and others apart, so that neither many short
variants nor many failures push out the rest, and writes them once a minute and at its end: what is killed loses a
minute at most. Only the logs of the last runs stay. Nothing depends on a log: one that cannot be written is tried again
later, and what in one cannot be read is passed over.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import platform
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from bemsweep.errors import BemsweepError, StoreError
from bemsweep.log_lines import Line, collect, end_collecting
from bemsweep.redaction import redacted
from bemsweep.store import Store

__all__ = ["RUNS_KEPT", "LoggedLine", "RunLog", "forget_logs", "log_name", "open_log", "read_logs", "runs_logged"]

RUNS_KEPT = 5
"""Runs of a study whose logs stay."""

_LINES_KEPT = 1000
"""Warnings that a process keeps of a run, and as many other lines."""

_TEXT_LENGTH = 1000
_WRITE_INTERVAL_S = 60.0
_END_S = 5.0
"""So long the end of a run waits for its log."""
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class LoggedLine(NamedTuple):
    """One line of a log."""

    at: str
    """When, UTC, ISO 8601."""
    run: str
    """Name of the run."""
    worker: str
    """Which process: the driver's, or a worker's."""
    level: str
    """``INFO``, ``WARNING`` and so on."""
    variant: str
    """Whose it is; ``""`` if it is none's."""
    text: str
    """What happened."""


def log_name() -> str:
    """Return the name of a run that begins now, for its logs; they sort by time."""
    return dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")


class RunLog:
    """What one process tells of a run, for as long as somebody there uses it; see `open_log`."""

    def __init__(self, store: Store, study: str, run: str, who: str) -> None:
        self._store = Store(store.url, store.storage_options)  # without patience: the next minute comes anyway
        self._run, self._who = run, f"{who}-{os.getpid()}"
        self._name = _object_name(study, run, self._who)
        self._new: tuple[deque[Line], deque[Line]] = (deque(maxlen=_LINES_KEPT), deque(maxlen=_LINES_KEPT))
        """Warnings, and what is none, that are not written yet."""
        self._kept: tuple[deque[bytes], deque[bytes]] = (deque(maxlen=_LINES_KEPT), deque(maxlen=_LINES_KEPT))
        self._is_written = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"bemsweep-log-{run}", daemon=True)
        self.users = 0
        """How many in this process have opened it and not closed it."""

    def start(self) -> None:
        """Begin to take lines and to write them."""
        collect(self._run, self._take)
        self._thread.start()

    def close(self) -> None:
        """Say that one of the users needs it no more; the last one writes what is left."""
        with _opening:
            self.users -= 1
            if self.users:
                return
            _open.pop(self._run, None)
            end_collecting(self._run)
        self._over.set()
        self._thread.join(_END_S)

    def _take(self, line: Line) -> None:
        self._new[line.level < logging.WARNING].append(line)

    def _keep(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._over.wait(_WRITE_INTERVAL_S)
            self._write()

    def _write(self) -> None:
        """Write the log whole, if there is something new."""
        for new, kept in zip(self._new, self._kept, strict=True):
            while new:
                kept.append(self._encoded(new.popleft()))
                self._is_written = False
        if self._is_written:
            return
        lines = sorted([*self._kept[0], *self._kept[1]])  # each begins with the time
        with suppress(StoreError):
            self._store.put(self._name, b"\n".join(lines))
            self._is_written = True

    def _encoded(self, line: Line) -> bytes:
        at = dt.datetime.fromtimestamp(line.at, dt.UTC).isoformat(timespec="milliseconds")
        text = redacted(line.text, self._store.storage_options)
        text = text if len(text) <= _TEXT_LENGTH else f"{text[:_TEXT_LENGTH]}…"
        told = {"at": at, "level": logging.getLevelName(line.level), "variant": line.variant, "text": text}
        return json.dumps(told, ensure_ascii=True).encode()


_open: dict[str, RunLog] = {}
"""By run."""
_opening = threading.Lock()


def open_log(store: Store, study: str, run: str, who: str) -> RunLog:
    """Return this process's log of a run, opened if it is not yet; to be closed by everybody who opens it.

    Parameters
    ----------
    store, study
        Where it goes.
    run
        What `log_name` returned when the run began.
    who
        What the process is called, if nobody here has opened it before.
    """
    with _opening:
        if (log := _open.get(run)) is None:
            log = _open[run] = RunLog(store, study, run, who)
            log.start()
        log.users += 1
        return log


def forget_logs(store: Store, study: str) -> None:
    """Delete the logs of all but the last runs of a study, so that one more has a place.

    Raises
    ------
    StoreError
        The store cannot be read or written.
    """
    for run in runs_logged(store, study)[: -(RUNS_KEPT - 1)]:
        store.delete_folder(_folder(study, run))


def runs_logged(store: Store, study: str) -> list[str]:
    """Return the runs of a study that have logs, the latest last.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    return store.names(Store.study_name(study, "logs"))


def read_logs(store: Store, study: str, *, run: str | None = None, variant: str = "") -> list[LoggedLine]:
    """Return the lines of a study's logs in the order of time.

    Parameters
    ----------
    store, study
        Where they are.
    run
        The run's name, or how it begins; None for the latest, or for all that are kept if a variant is named.
    variant
        How the variant_id begins whose lines are wanted; ``""`` for all lines.

    Raises
    ------
    BemsweepError
        There are no logs of such a run.
    StoreError
        The store cannot be read.
    """
    runs = runs_logged(store, study)
    wanted = [one for one in runs if one.startswith(run)] if run else runs if variant else runs[-1:]
    if not wanted:
        kept = f"; kept are {', '.join(runs)}" if runs else ""
        raise BemsweepError(f"there are no logs of {f'a run {run} of ' if run else ''}{study!r} in {store.url}{kept}")
    lines = [
        line
        for one in wanted
        for name in store.names(_folder(study, one))
        for line in _read(store.get(f"{_folder(study, one)}/{name}") or b"", one, name.removesuffix(_SUFFIX))
        if line.variant.startswith(variant)
    ]
    return sorted(lines)


def _read(data: bytes, run: str, worker: str) -> Iterator[LoggedLine]:
    for text in data.splitlines():
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            told: dict[str, Any] = json.loads(text)
            at = dt.datetime.fromisoformat(told["at"]).astimezone(dt.UTC).isoformat(timespec="milliseconds")
            yield LoggedLine(at, run, worker, *(str(told[name]) for name in ("level", "variant", "text")))


_SUFFIX = ".jsonl"


def _folder(study: str, run: str) -> str:
    return Store.study_name(study, "logs", run)


def _object_name(study: str, run: str, who: str) -> str:
    return f"{_folder(study, run)}/{_NOT_IN_A_NAME.sub('-', f'{platform.node()}-{who}').strip('.-')}{_SUFFIX}"
