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

from bemsweep.errors import InfrastructureError

__all__ = ["open_scratch"]


@contextmanager
def open_scratch() -> Iterator[Path]:
    """Give a folder of its own, in ``$BEMSWEEP_SCRATCH`` or the system's, that is gone afterwards.

    Raises
    ------
    InfrastructureError
        It cannot be made.
    """
    folder = os.environ.get("BEMSWEEP_SCRATCH")
    try:
        scratch = Path(tempfile.mkdtemp(prefix="bemsweep-", dir=folder))
    except OSError as error:
        raise InfrastructureError(f"no scratch folder in {folder or tempfile.gettempdir()}: {error}") from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
