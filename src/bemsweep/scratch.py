"""Scratch folders: where engines work.

Decides where they are made and sees to it that nothing of them is left: each is locked by the process it belongs to,
and what a killed one left behind is deleted by the next that works there. Never looks at what is in them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from bemsweep.disks import DISK_FAULTS, why_unwritable
from bemsweep.errors import InfrastructureError, StoreError

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where what a killed process left stays
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

__all__ = ["delete_abandoned", "open_scratch"]

_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Only its own folders does a machine take for abandoned: some network drives lock against processes of the same
machine and say nothing of others'."""
_NEW = f"bemsweep-new-{_MACHINE}-"
"""Of folders that are not locked yet, or cannot be, as on some network drives."""
_LOCKED = f"bemsweep-run-{_MACHINE}-"
"""Of folders that are abandoned if they are not locked."""
_NEW_S = 5.0
"""So long after a folder was made it is locked, if it can be; its process was killed in between else."""

_LOOK_AGAIN_S = 5.0
"""So long a disk is taken to have the room that it had: a run that finds none is told why all the same."""
_looked: dict[str, float] = {}
"""Where there was room, and when, monotonic."""

_ADVICE = "set BEMSWEEP_SCRATCH to a folder with room for it"


def _told(folder: str, why: str) -> str:
    what = "make room there, or " if "no space" in why or "no room" in why else ""
    return f"the scratch folder {folder} {why}: {what}{_ADVICE}"


@contextmanager
def open_scratch() -> Iterator[Path]:
    """Give a folder of its own, in ``$BEMSWEEP_SCRATCH`` or the system's, that is gone afterwards.

    Raises
    ------
    InfrastructureError
        It cannot be made, or the disk is full: tells the folder, what it lacks and what to do. The machine's fault
        that ends its use tells the same if that may be why.

    Side effects
    ------------
    The first time in a process, deletes what processes that were killed have left there.
    """
    folder, scratch, lock = _make()
    try:
        yield scratch
    except StoreError:
        raise
    except InfrastructureError as error:
        if (why := why_unwritable(scratch)) and _ADVICE not in str(error):
            raise InfrastructureError(f"{error}; {_told(folder, why)}") from error
        raise
    except OSError as error:
        if error.errno not in DISK_FAULTS or not (why := why_unwritable(scratch)):
            raise
        raise InfrastructureError(_told(folder, why)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _make() -> tuple[str, Path, int | None]:
    """Return where scratch folders are made, a new one, and a descriptor that locks it."""
    try:
        folder = os.environ.get("BEMSWEEP_SCRATCH") or tempfile.gettempdir()
        _delete_abandoned_once(folder)
        scratch = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
    except OSError as error:  # where no folder is named there may be none that is usable
        folder = os.environ.get("BEMSWEEP_SCRATCH") or "the system's folder for temporary files"
        raise InfrastructureError(_told(folder, why_unwritable(Path(folder)) or str(error))) from error
    if time.monotonic() > _looked.get(folder, -_LOOK_AGAIN_S) + _LOOK_AGAIN_S:
        if why := why_unwritable(scratch):
            shutil.rmtree(scratch, ignore_errors=True)
            raise InfrastructureError(_told(folder, why))
        _looked[folder] = time.monotonic()
    lock = _locked(scratch)
    if lock is not None:  # only now it takes the name under which others look at its lock
        scratch = scratch.rename(scratch.with_name(scratch.name.replace(_NEW, _LOCKED, 1)))
    return folder, scratch, lock


def delete_abandoned(folder: Path) -> None:
    """Delete the scratch folders in `folder` whose process is gone; others' are left alone, as are files.

    Parameters
    ----------
    folder
        Where scratch folders are made.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _may_be_abandoned(entry) and (lock := _locked(Path(entry.path))) is not None:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(lock)


def _may_be_abandoned(entry: os.DirEntry[str]) -> bool:
    """Return True if nobody works in a folder that is not locked."""
    return entry.name.startswith(_LOCKED) or (
        entry.name.startswith(_NEW) and time.time() > entry.stat(follow_symlinks=False).st_mtime + _NEW_S
    )


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
