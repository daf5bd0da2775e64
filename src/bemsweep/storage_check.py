"""What can be done at a URL, found out by doing it: write, read, list, overwrite and delete a probe.

Tries each by itself, so that a key that may only read is told as one, and measures how long small requests take
and how fast bytes move. Never touches an object that is not its own, but for reading one where it may not write,
and leaves nothing behind, however it ends. Never tells a value of the configuration that could be a secret.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.places import protocol_of
from bemsweep.store import Store

__all__ = ["Attempt", "StorageCheck", "check_storage"]

What = Literal["write", "read", "list", "overwrite", "delete"]

_FAULTS_OF_ONE = ("", Fault.FORBIDDEN, Fault.MISSING, Fault.THROTTLED, Fault.NO_SPACE, Fault.OTHER)
"""Kinds of faults of one request, after which others may work."""
_REQUESTS = 5
_PROBE_BYTES = 4_000_000
_SMALL_BYTES = 1000
_MOST_LISTED = 1000

_SOURCES: Mapping[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "s3": (
        ("AWS_", "FSSPEC_S3"),
        (("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")),
    ),
    "gs": (("GOOGLE_", "FSSPEC_GCS"), (("CLOUDSDK_CONFIG", "~/.config/gcloud"),)),
    "az": (("AZURE_", "FSSPEC_ABFS"), ()),
}
"""Protocol -> prefixes of the variables and files that its filesystem may be configured by."""


@dataclass(frozen=True)
class Attempt:
    """One thing that was tried."""

    what: What
    """What was tried."""
    is_allowed: bool | None
    """True if it worked; None if it could not be tried."""
    fault: str = ""
    """Kind of the fault, such as ``forbidden``; ``""`` if there was none."""
    message: str = ""
    """What went wrong and what to do."""


@dataclass(frozen=True)
class StorageCheck:
    """What can be done at a URL."""

    url: str
    """Of the store."""
    filesystem: str
    """Class that serves it."""
    endpoint: str
    """Address of the server; ``""`` for the provider's own, and where there is none."""
    configuration: tuple[str, ...]
    """Names of what may have configured it: options, variables, files."""
    attempts: tuple[Attempt, ...]
    """All five, in the order in which they were tried."""
    latency_ms: float | None
    """Median of a few small requests; None if none worked."""
    upload_mb_s: float | None
    """MB per second of a probe of a few MB; None if it could not be written."""
    download_mb_s: float | None
    """The same of reading it."""
    left: tuple[str, ...] = ()
    """Probes that could be written but not deleted."""

    @property
    def is_allowed(self) -> bool:
        """True if everything worked."""
        return all(attempt.is_allowed for attempt in self.attempts)


def check_storage(
    url: str | Path, *, storage_options: Mapping[str, Any] | None = None, size_bytes: int = _PROBE_BYTES
) -> StorageCheck:
    """Try out what can be done at a URL.

    Parameters
    ----------
    url
        Of a store, which may be empty.
    storage_options
        Passed to its filesystem.
    size_bytes
        Size of the probe that is timed.

    Returns
    -------
    StorageCheck
        What worked, what did not, and how fast.

    Raises
    ------
    StoreError
        The URL names no filesystem at hand.

    Side effects
    ------------
    Writes and deletes two objects called ``probe-…``.
    """
    store = Store(url, storage_options)
    kind = type(store.fs).__name__
    probe = _Probe(store)
    with probe.leaving_nothing():
        probe.try_all()
        probe.measure(size_bytes)
    return StorageCheck(
        url=store.url,
        filesystem=kind,
        endpoint=_endpoint(store),
        configuration=tuple(_configuration(store)),
        attempts=tuple(probe.attempts.values()),
        latency_ms=probe.latency_ms,
        upload_mb_s=probe.upload_mb_s,
        download_mb_s=probe.download_mb_s,
        left=tuple(store.url_of(name) for name in probe.left),
    )


class _Probe:
    """The probe of one check, and what came of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.attempts: dict[str, Attempt] = {}
        self.latency_ms: float | None = None
        self.upload_mb_s: float | None = None
        self.download_mb_s: float | None = None
        self.left: tuple[str, ...] = ()
        name = f"probe-{os.getpid()}-{os.urandom(4).hex()}"
        self._small, self._large = f"{name}-small", f"{name}-large"
        self._tried: set[str] = set()
        self._written: set[str] = set()
        self._content = os.urandom(_SMALL_BYTES)

    @contextmanager
    def leaving_nothing(self) -> Iterator[None]:
        """Delete the probes in the end, and the folders of a local store that was not there before."""
        missing = _missing_folders(self.store)
        try:
            yield
        finally:
            try:
                self._clean_up(missing)
            except KeyboardInterrupt:  # which may have come for the first time while cleaning up
                self._clean_up(missing)
                raise

    def try_all(self) -> None:
        """Try each in turn; after a fault that none can escape, such as no server, the rest is not tried."""
        self._try("write", self._write)
        self._try("read", self._read_own if self.attempts["write"].is_allowed else self._read_other)
        self._try("list", self._list)
        self._try("overwrite", self._overwrite)
        self._try("delete", self._delete)

    def measure(self, size_bytes: int) -> None:
        """Time a few small requests and a large one each way, as far as they are allowed."""
        allowed = {what for what, attempt in self.attempts.items() if attempt.is_allowed}
        with suppress(StoreError):
            if allowed >= {"write", "read", "delete"}:
                self._put(self._small, self._content)
                self.latency_ms = _median_ms(lambda: self.store.get(self._small))
                data = os.urandom(size_bytes)
                self.upload_mb_s = _mb_per_s(size_bytes, lambda: self._put(self._large, data))
                self.download_mb_s = _mb_per_s(size_bytes, lambda: self.store.get(self._large))
            elif "list" in allowed:
                self.latency_ms = _median_ms(lambda: self.store.names(""))

    def _try(self, what: What, work: Callable[[], str]) -> None:
        """Do `work`, which returns why nothing can be said, or ``""``, and keep what came of it."""
        if hopeless := next((one for one in self.attempts.values() if one.fault not in _FAULTS_OF_ONE), None):
            self.attempts[what] = replace(hopeless, what=what)
            return
        try:
            doubt = work()
        except StoreError as error:
            self.attempts[what] = Attempt(what, False, error.fault or Fault.OTHER, str(error))
        else:
            self.attempts[what] = Attempt(what, None if doubt else True, "", doubt)

    def _clean_up(self, folders: Iterable[Path]) -> None:
        left = []
        for name in sorted(self._tried):
            try:
                self.store.delete(name)
            except StoreError:
                left += [name] if name in self._written else []
        self.left = tuple(left)
        with suppress(OSError):  # something else has come to be there
            for folder in folders:
                folder.rmdir()

    def _put(self, name: str, data: bytes) -> None:
        self._tried.add(name)  # first: it may arrive although we were interrupted
        self.store.put(name, data)
        self._written.add(name)

    def _write(self) -> str:
        self._put(self._small, self._content)
        return ""

    def _read_own(self) -> str:
        return self._read(self._content)

    def _read_other(self) -> str:
        objects = list(islice(self.store.objects(), _MOST_LISTED))
        if not objects:
            return "there is nothing to read"
        self.store.get(min(objects, key=lambda one: one.size_bytes).name)
        return ""

    def _list(self) -> str:
        names = self.store.names("")
        if self.attempts["write"].is_allowed and self._small not in names:
            raise StoreError(f"{self.store.url} does not list what was just written: runs would take it for missing")
        return ""

    def _overwrite(self) -> str:
        if not self.attempts["write"].is_allowed:
            return "there is nothing of its own to overwrite"
        other = self._content[::-1]
        self._put(self._small, other)
        return self._read(other) if self.attempts["read"].is_allowed else ""

    def _delete(self) -> str:
        self.store.delete(self._small)  # if it was never written, this still tells who may not
        if not self.attempts["write"].is_allowed:
            return "there is nothing of its own to delete"
        if self.attempts["read"].is_allowed and self.store.get(self._small) is not None:
            raise StoreError(f"{self.store.url} still has what was just deleted: runs would take it for there")
        return ""

    def _read(self, expected: bytes) -> str:
        if self.store.get(self._small) != expected:
            raise StoreError(f"{self.store.url} does not hold what was just written: it is no store to rely on")
        return ""


def _endpoint(store: Store) -> str:
    """Return the address of the server, without anything that could be a secret."""
    options = {**store.storage_options, **dict(store.storage_options.get("client_kwargs", {}))}
    protocol = protocol_of(store.url)
    own = options.get("endpoint_url")
    if protocol == "s3":
        own = own or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    parts = urlsplit(str(own or ""))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


def _configuration(store: Store) -> Iterator[str]:
    """Yield the names of what may have configured a store's filesystem, never a value."""
    for name in sorted(store.storage_options):
        yield f"storage_options: {name}"
    prefixes, files = _SOURCES.get(protocol_of(store.url), ((), ()))
    for name in sorted(os.environ):
        if name.startswith(prefixes):
            yield f"environment: {name}"
    for variable, usual in files:
        path = os.environ.get(variable) or usual
        if Path(path).expanduser().exists():
            yield f"file: {path}"


def _missing_folders(store: Store) -> tuple[Path, ...]:
    """Return the folders that writing to a local store would make, the innermost first."""
    if not store.is_local:
        return ()
    root = Path(store.path())
    return tuple(folder for folder in (root, *root.parents) if not os.path.exists(folder))  # noqa: PTH110 - False, too, where it may not look


def _median_ms(request: Callable[[], object]) -> float:
    return statistics.median(_seconds(request) for _ in range(_REQUESTS)) * 1000


def _mb_per_s(size_bytes: int, transfer: Callable[[], object]) -> float:
    return size_bytes / 1e6 / max(_seconds(transfer), 1e-6)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
