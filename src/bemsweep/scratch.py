"""Scratch folders: where engines work.

Decides where they are made and sees to it that nothing of them is left; never looks at what is in them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bemsweep.disks import DISK_FAULTS, why_unwritable
from bemsweep.errors import InfrastructureError, StoreError

__all__ = ["open_scratch"]

_ADVICE = "set BEMSWEEP_SCRATCH to a folder with room for it"


def _told(folder: str, why: str) -> str:
    return f"the scratch folder {folder} {why}: make room there, or {_ADVICE}"


@contextmanager
def open_scratch() -> Iterator[Path]:
    """Give a folder of its own, in ``$BEMSWEEP_SCRATCH`` or the system's, that is gone afterwards.

    Raises
    ------
    InfrastructureError
        It cannot be made, or the disk is full: tells the folder, what it lacks and what to do. The machine's fault
        that ends its use tells the same if that may be why.
    """
    folder, scratch = _make()
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


def _make() -> tuple[str, Path]:
    try:
        folder = os.environ.get("BEMSWEEP_SCRATCH") or tempfile.gettempdir()
        scratch = Path(tempfile.mkdtemp(prefix="bemsweep-", dir=folder))
    except OSError as error:  # where no folder is named there may be none that is usable
        folder = os.environ.get("BEMSWEEP_SCRATCH") or "the system's folder for temporary files"
        raise InfrastructureError(_told(folder, why_unwritable(Path(folder)) or str(error))) from error
    if why := why_unwritable(scratch):
        shutil.rmtree(scratch, ignore_errors=True)
        raise InfrastructureError(_told(folder, why))
    return folder, scratch
