"""Unpacking: one file out of a .gz or .zip, and what a .zip holds.

Decides which members count. Writes only to the path it is given, never under a name that an archive tells,
and never more than a limit.
"""

from __future__ import annotations

import gzip
import shutil
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from bemsweep.errors import InputError

__all__ = ["MOST_BYTES", "members", "unpack_gz", "unpack_member"]

MOST_BYTES = 2 * 2**30
"""What a file may grow to by unpacking; a schedule for each minute of a year takes a hundredth of it."""

_MOST_MEMBERS = 100_000
_PIECE_BYTES = 1 << 20
_GZIP_BEGINS = b"\x1f\x8b"


def members(archive: Path, suffixes: Collection[str] = ()) -> list[str]:
    """Return the files in a .zip, sorted, without what macOS adds to one.

    Parameters
    ----------
    archive
        The .zip.
    suffixes
        Only files that end so, in lower case; none for all.

    Raises
    ------
    InputError
        It is no .zip, or a broken one.
    """
    with _told(archive), zipfile.ZipFile(archive) as opened:
        listed = opened.infolist()
        if len(listed) > _MOST_MEMBERS:
            raise InputError(f"holds {len(listed):,} files, which is no archive of inputs")
        names = [entry.filename for entry in listed if not entry.is_dir()]
    wanted = tuple(suffixes)
    return sorted(
        name
        for name in names
        if not name.startswith("__MACOSX/")
        and not PurePosixPath(name).name.startswith("._")
        and (not wanted or name.lower().endswith(wanted))
    )


def unpack_member(archive: Path, member: str, to: Path) -> None:
    """Write one file of a .zip to `to`.

    Raises
    ------
    InputError
        It is not there, needs a password, is broken or too large.
    """
    with _told(archive), zipfile.ZipFile(archive) as opened, opened.open(member) as packed:
        _copy(packed, to)


def unpack_gz(packed: Path, to: Path) -> None:
    """Write what a .gz holds to `to`; what is no gzip was unpacked on its way, as some servers do, and is copied.

    Raises
    ------
    InputError
        It is broken, or too large.
    """
    with packed.open("rb") as file:
        is_packed = file.read(len(_GZIP_BEGINS)) == _GZIP_BEGINS
    if not is_packed:
        shutil.copyfile(packed, to)
        return
    with _told(packed), gzip.open(packed) as opened:
        _copy(opened, to)


def _copy(packed: IO[bytes] | gzip.GzipFile, to: Path) -> None:
    size = 0
    with to.open("wb") as file:
        while piece := packed.read(_PIECE_BYTES):
            size += len(piece)
            if size > MOST_BYTES:  # counted, as what an archive says of itself may be wrong
                raise InputError(f"unpacks to more than {MOST_BYTES >> 20:,} MB: unpack it yourself if that is meant")
            file.write(piece)


@contextmanager
def _told(archive: Path) -> Iterator[None]:
    """Turn what the libraries raise for a broken file into `InputError`."""
    try:
        yield
    except KeyError:
        raise InputError("has no such file") from None
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"is broken, or no {archive.suffix.lower()}: {error}") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or a compression that Python does not know
        raise InputError(f"cannot be unpacked: {error}") from error
