"""What a folder's disk lacks: space, inodes, the right to write, or the folder itself.

Looks and tries to write a little; never decides what follows from it, and leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["DISK_FAULTS", "free_told", "why_unwritable"]

DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ENOENT, errno.EACCES})
"""What a system says of a disk that takes nothing more, or is gone."""

_PROBE_BYTES = 1_000_000
"""No run of an engine needs less."""

_LEAST_INODES = 32
"""No run makes fewer files."""

_WHYS = {
    errno.ENOSPC: "has no space left",
    errno.EDQUOT: "has no space left within its quota",
    errno.EROFS: "is read-only",
    errno.EACCES: "may not be written",
    errno.EPERM: "may not be written",
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "is no folder",
}


def why_unwritable(folder: Path) -> str:
    """Return why not even a megabyte can be written to a folder, with what is free; ``""`` if it can.

    Parameters
    ----------
    folder
        Any.

    Side effects
    ------------
    Writes a file without a name there, or one that is deleted at once.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        why = _WHYS.get(error.errno or 0, f"cannot be written ({error.strerror or error})")
        return f"{why}{free_told(folder)}" if error.errno in (errno.ENOSPC, errno.EDQUOT) else why
    with suppress(OSError, AttributeError):  # as below
        facts = os.statvfs(folder)
        if facts.f_files and facts.f_favail < _LEAST_INODES:
            return f"has no room for more files{free_told(folder)}"
    return ""


def free_told(folder: Path) -> str:
    """Return what is free on the disk of a folder, in brackets; ``""`` where the system does not tell.

    The folder need not exist.
    """
    existing = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    with suppress(OSError, AttributeError):  # there is no statvfs on Windows
        facts = os.statvfs(existing)
        inodes = f", {facts.f_favail:,} inodes" if facts.f_files else ""
        return f" ({facts.f_bavail * facts.f_frsize:,} bytes{inodes} free)"
    return ""
