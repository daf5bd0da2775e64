"""The local cache: what was downloaded stays on this machine's disk, for all its processes, up to a limit.

A file appears whole or not at all, is downloaded by one process while the others wait for it, and goes when it was
not used for longest. Locks only save downloads: without them everything is right all the same. Never decides what
is worth keeping or whether a copy is good, and never touches a file that it cannot have made.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bemsweep.errors import BemsweepError
from bemsweep.local_files import TEMPORARY_SUFFIX, temporary_beside

__all__ = ["cache_folder", "cache_limit_bytes", "cached", "keep", "kept", "make_room", "touch", "trim"]

DEFAULT_LIMIT = "10GB"

_GRACE_S = 3600.0
"""What was used within this time stays: an engine may be reading it."""

_TOUCH_S = 600.0
"""How far a file's time of use may lag behind."""

_LEFTOVER_S = 86_400.0
"""Age at which a half-written file has no writer any more, and a lock no user."""

_WAIT_S = 300.0
"""How long to wait for the download of another process before downloading too."""

_STEPS = 20
"""The files are counted again when this process has added this part of the limit."""

_FOLDERS = ("downloads", "inputs", "inventories", "results")
_LOCKS = "locks"
_OURS = re.compile(r"[0-9a-f]{64}")
"""In the name of everything that is kept, or of its folder: nobody's own file is ever evicted."""

_DIGEST_BYTES = 32

_log = logging.getLogger(__name__)


class _Growth:
    """Bytes that this process has added since it last looked at the whole cache."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._added = 0
        self._has_looked = False

    def is_due(self, added: int) -> bool:
        """Count `added` bytes and return True if it is time to look at the whole cache."""
        with self._lock:
            self._added += added
            if self._has_looked and self._added * _STEPS < cache_limit_bytes():
                return False
            self._added, self._has_looked = 0, True
            return True


_growth = _Growth()


def cache_folder() -> Path:
    """Return the folder of the local cache: ``$BEMSWEEP_CACHE_DIR`` or one in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = os.environ.get("BEMSWEEP_CACHE_DIR") or Path(home) / "bemsweep"
    # Engines work in folders of their own, and nobody expands the tilde of a variable that a file sets.
    return Path(os.path.expanduser(folder)).absolute()  # noqa: PTH111 - pathlib's raises where there is no such user


def cache_limit_bytes() -> int:
    """Return the size that the cache is kept to: ``$BEMSWEEP_CACHE_SIZE``, or 10 GB.

    Raises
    ------
    BemsweepError
        The variable holds no size.
    """
    from dask.utils import parse_bytes  # noqa: PLC0415 - only who downloads needs it

    text = os.environ.get("BEMSWEEP_CACHE_SIZE", "").strip() or DEFAULT_LIMIT
    with suppress(ValueError):
        if text[0].isdigit():  # "GB" would be taken for one, and "-1" for what it says
            return parse_bytes(text)
    raise BemsweepError(
        f"BEMSWEEP_CACHE_SIZE={text!r} is no size: give bytes or a number with a unit, such as 10GB, 500 MB or 2GiB"
    )


def cached(name: str, fetch: Callable[[Path], None], is_good: Callable[[Path], bool]) -> Path:
    """Return a file of the cache, fetched if it is not there yet.

    Parameters
    ----------
    name
        The file's name below the cache folder, ``/`` between its parts; the last or last but one begins with a
        sha256.
    fetch
        Writes the file to the path it is given, or raises.
    is_good
        Tells whether a copy that is there already is what it should be.

    Returns
    -------
    Path
        Stays for at least an hour; `touch` it before any later use.

    Raises
    ------
    BemsweepError
        ``BEMSWEEP_CACHE_SIZE`` holds no size.
    OSError
        The file cannot be kept.

    Side effects
    ------------
    Whoever asks first on this machine fetches, the others wait. What has been unused for longest makes room.
    """
    cache_limit_bytes()  # a wrong setting is told before the download
    path = cache_folder() / name
    if _is_kept(path, is_good):
        return path
    with _alone(name):
        if _is_kept(path, is_good):  # fetched by another meanwhile
            return path
        with _whole(path) as temporary:
            fetch(temporary)
    make_room(path)
    return path


def keep(name: str, data: bytes) -> None:
    """Keep bytes in the cache, for `kept`.

    Parameters
    ----------
    name
        As for `cached`.
    data
        Kept with its digest.

    Raises
    ------
    OSError
        They cannot be kept.

    Side effects
    ------------
    What has been unused for longest makes room.
    """
    path = cache_folder() / name
    with _whole(path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(data).digest())
        file.write(data)
    make_room(path)


def kept(name: str) -> bytes | None:
    """Return what `keep` has kept under a name, or None if it is gone, cannot be read or is damaged."""
    path = cache_folder() / name
    if not touch(path):
        return None
    try:
        with path.open("rb") as file:
            digest, data = file.read(_DIGEST_BYTES), file.read()
    except OSError:
        return None
    return data if hashlib.sha256(data).digest() == digest else None


def touch(path: Path) -> bool:
    """Return True if a file is there, and note that it is in use.

    Side effects
    ------------
    Sets its modification time, at most once in ten minutes.
    """
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    if age > _TOUCH_S:
        with suppress(OSError):  # gone this moment, or another user's
            os.utime(path)
    return True


def trim() -> None:
    """Bring the cache down to its limit: what was used least recently goes first.

    Files used within the last hour stay, and so do those being written, even if the cache remains too large. Other
    processes may do the same at the same time.

    Raises
    ------
    BemsweepError
        ``BEMSWEEP_CACHE_SIZE`` holds no size.

    Side effects
    ------------
    Deletes files, what writers that were killed have left behind, locks that nobody uses and empty folders.
    """
    folder, now = cache_folder(), time.time()
    excess = -cache_limit_bytes()
    found = []
    for path, facts in _files(folder):
        is_leftover = now - facts.st_mtime > _LEFTOVER_S
        if path.suffix == TEMPORARY_SUFFIX and path.name.startswith("."):
            if is_leftover:
                _delete(path)
        elif _OURS.match(path.name) or _OURS.match(path.parent.name):
            excess += facts.st_size
            found.append((facts.st_mtime, facts.st_size, path))
    for used, size, path in sorted(found):
        if excess <= 0 or now - used < _GRACE_S:
            break
        if _delete(path, used=used):
            excess -= size
    _sweep(folder, now)


def _is_kept(path: Path, is_good: Callable[[Path], bool]) -> bool:
    try:
        return touch(path) and is_good(path)
    except FileNotFoundError:  # evicted this moment
        return False


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Hold the lock of a name among all processes and threads of this machine, if it can be had."""
    from filelock import FileLock  # noqa: PLC0415 - only who downloads needs it

    path = cache_folder() / _LOCKS / f"{hashlib.sha256(name.encode()).hexdigest()}.lock"
    # No lock by mere existence, where the system has no other: whoever is killed would leave it locked.
    lock = FileLock(path, timeout=_WAIT_S, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:  # a time-out is one too
        _log.info("downloading %s without a lock: %s", name, error)
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # what cannot be released ends with the process
            lock.release()


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a temporary file to write, which takes its name at the end."""
    with temporary_beside(path) as temporary:
        yield temporary
        temporary.replace(path)


def make_room(path: Path) -> None:
    """Trim the cache if a file, just added, may have put it over its limit.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    BemsweepError
        ``BEMSWEEP_CACHE_SIZE`` holds no size.
    """
    with suppress(FileNotFoundError):
        if _growth.is_due(path.stat().st_size):
            trim()


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for name in _FOLDERS:
        for parent, _, names in os.walk(folder / name):
            for path in (Path(parent, name) for name in names):
                with suppress(OSError):  # gone this moment
                    yield path, path.lstat()


def _delete(path: Path, *, used: float | None = None) -> bool:
    """Delete a file and return True if it is gone; one that was used since `used` stays."""
    try:
        if used is None or path.stat().st_mtime == used:
            path.unlink()
            return True
    except FileNotFoundError:
        return True
    except OSError:  # another user's, or open on Windows
        return False
    return False


def _sweep(folder: Path, now: float) -> None:
    """Delete old locks that nobody holds, and folders that have long been empty."""
    from filelock import FileLock  # noqa: PLC0415 - only who downloads needs it

    for path in folder.glob(f"{_LOCKS}/*.lock"):
        with suppress(OSError):
            if now - path.stat().st_mtime > _LEFTOVER_S:
                # Whoever waits for a lock that is deleted meanwhile sees that, and starts over.
                with FileLock(path, blocking=False, fallback_to_soft=False):
                    path.unlink()
    for path in folder.glob("*/*/"):
        with suppress(OSError):  # most are not empty
            if path.parent.name in _FOLDERS and now - path.stat().st_mtime > _LEFTOVER_S:
                path.rmdir()
