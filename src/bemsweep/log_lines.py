"""Lines that bemsweep's processes tell of a run while they work, and whose they are.

Decides which run and variant a line belongs to: those of the thread that tells it. Where lines go is the affair of
whoever collects them (`bemsweep.run_logs`); what nobody collects is dropped at once. Warnings of bemsweep's loggers are
lines, too, and go on to wherever they go otherwise.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["Line", "collect", "end_collecting", "of_run", "tell", "tell_warning"]


class Line(NamedTuple):
    """One line."""

    at: float
    """Seconds since 1970, UTC."""
    level: int
    """As of `logging`."""
    variant: str
    """Whose it is; ``""`` if it is none's."""
    text: str
    """What happened."""


_whose: ContextVar[tuple[str, str]] = ContextVar("bemsweep-line", default=("", ""))
"""Run and variant of what a thread does."""

_sinks: dict[str, Callable[[Line], object]] = {}
"""By run, what takes its lines in this process."""
_changing = threading.Lock()


class _Handler(logging.Handler):
    """Takes what bemsweep's loggers say for lines."""

    def emit(self, record: logging.LogRecord) -> None:
        _tell(record.levelno, record.getMessage(), "")
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not _has_other_handlers(record.name):
            last.handle(record)  # which `logging` itself does only where there is no handler at all


_handler = _Handler()


def _has_other_handlers(name: str) -> bool:
    """Return True if what a logger says goes anywhere but to us."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(handler is not _handler for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def collect(run: str, sink: Callable[[Line], object]) -> None:
    """Have the lines of a run taken, and those that are no run's, until `end_collecting`.

    Parameters
    ----------
    run
        Its name.
    sink
        Called with each line, by any thread; it must return at once.
    """
    with _changing:
        _sinks[run] = sink
        logging.getLogger("bemsweep").addHandler(_handler)  # a second time changes nothing


def end_collecting(run: str) -> None:
    """Have no lines of a run taken any more."""
    with _changing:
        _sinks.pop(run, None)
        if not _sinks:
            logging.getLogger("bemsweep").removeHandler(_handler)


@contextmanager
def of_run(run: str, variant: str = "") -> Iterator[None]:
    """Have what this thread does in the block be a run's, or a variant's."""
    token = _whose.set((run, variant))
    try:
        yield
    finally:
        _whose.reset(token)


def tell(text: str, *, variant: str = "") -> None:
    """Tell what happened, of the thread's variant if no other is named."""
    if _sinks:
        _tell(logging.INFO, text, variant)


def tell_warning(text: str, *, variant: str = "") -> None:
    """Tell of what should not happen."""
    if _sinks:
        _tell(logging.WARNING, text, variant)


def _tell(level: int, text: str, variant: str) -> None:
    run, mine = _whose.get()
    line = Line(time.time(), level, variant or mine, text)
    for name, sink in _sinks.copy().items():
        if run in ("", name):
            sink(line)
