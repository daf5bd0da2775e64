"""Scratch folders: where engines work.

Decides where they are made and sees to it that nothing of them is left: each is locked by the process it belongs to,
and what a killed one left behind is deleted by the next that works there. Never looks at what is in them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from bemsweep.errors import InfrastructureError

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where what a killed process left stays
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

__all__ = ["delete_abandoned", "open_scratch"]

_NEW = "bemsweep-new-"
"""Of folders that are not locked yet, or cannot be, as on some network drives."""
_LOCKED = "bemsweep-run-"
"""Of folders that are abandoned if they are not locked."""


@contextmanager
def open_scratch() -> Iterator[Path]:
    """Give a folder of its own, in ``$BEMSWEEP_SCRATCH`` or the system's, that is gone afterwards.

    Raises
    ------
    InfrastructureError
        It cannot be made.

    Side effects
    ------------
    The first time in a process, deletes what processes that were killed have left there.
    """
    folder = os.environ.get("BEMSWEEP_SCRATCH") or tempfile.gettempdir()
    _delete_abandoned_once(folder)
    try:
        scratch = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
    except OSError as error:
        raise InfrastructureError(f"no scratch folder in {folder}: {error}") from error
    lock = _locked(scratch)
    if lock is not None:  # only now it takes the name under which others look at its lock
        scratch = scratch.rename(scratch.with_name(scratch.name.replace(_NEW, _LOCKED, 1)))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def delete_abandoned(folder: Path) -> None:
    """Delete the scratch folders in `folder` whose process is gone; others' are left alone, as are files.

    Parameters
    ----------
    folder
        Where scratch folders are made.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_LOCKED) and (lock := _locked(Path(entry.path))) is not None:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(lock)


@cache
def _delete_abandoned_once(folder: str) -> None:
    delete_abandoned(Path(folder))


def _locked(folder: Path) -> int | None:
    """Return a descriptor that locks the folder until it is closed, or its process ends; None if that cannot be."""
    if not _HAS_LOCKS:
        return None
    descriptor = -1
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        return None
    return descriptor
