"""Files of this machine: written whole or not at all, and hashed without holding them in memory.

Decides under which name a file is written before it takes its own. Never knows what a file is for.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

__all__ = ["TEMPORARY_SUFFIX", "create_file", "replace_by_copy", "replace_file", "sha256_of", "temporary_beside"]

TEMPORARY_SUFFIX = ".tmp"
"""Of what is not whole yet; a process that is killed leaves such files behind."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
"""What a filesystem says that has no hard links."""


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal digits.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; what a failure leaves there is deleted.

    Raises
    ------
    OSError
        The folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name[:16]}-{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def create_file(path: Path, data: bytes) -> None:
    """Write a file that must not be there yet; of several at once one succeeds, and nobody ever sees half of it.

    Raises
    ------
    FileExistsError
        It is there.
    OSError
        It cannot be written.
    """
    with temporary_beside(path) as temporary:
        temporary.write_bytes(data)
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Such as on a memory stick, and some shares.
            with FileLock(path.with_name(f".{path.name}.lock{TEMPORARY_SUFFIX}")):
                if path.exists():
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
                temporary.replace(path)
        temporary.unlink(missing_ok=True)


def replace_by_copy(source: Path, path: Path) -> None:
    """Copy a file so that nobody ever sees half of it.

    Raises
    ------
    OSError
        It cannot be read or written.
    """
    with temporary_beside(path) as temporary:
        shutil.copyfile(source, temporary)
        temporary.replace(path)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with temporary_beside(path) as temporary:
        temporary.write_bytes(data)
        temporary.replace(path)
