"""The store: one fsspec URL under which a study's inputs, records and cube live.

The one place that names objects and reads or writes them. Every object is written whole or not at all; what
passes is tried again for as long as the store is patient. It never decides what an object means.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from fsspec.implementations.local import LocalFileSystem
from zarr.abc.store import Store as ZarrStore

from bemsweep.cache import cache_folder, cached, touch
from bemsweep.disks import free_told
from bemsweep.errors import BemsweepError, StoreError
from bemsweep.faults import Fault, fault_of, is_passing, told
from bemsweep.filesystems import create_object, open_filesystem
from bemsweep.local_files import TEMPORARY_SUFFIX, replace_by_copy, replace_file, sha256_of, temporary_beside
from bemsweep.object_names import check_study_name, is_inside, study_of
from bemsweep.patience import DEFAULT_PATIENCE_S, Patience
from bemsweep.places import protocol_of, secret_in
from bemsweep.redaction import redacted
from bemsweep.zarr_stores import LocalCubeStore, PatientStore

__all__ = ["DEFAULT_URL", "Store", "StoredObject", "default_url", "patience_s"]

DEFAULT_URL = "bemsweep-store"
RECORD_SUFFIX = "parquet"

_PART_BYTES = 8 * 2**20
"""Large files go up in parts of this size, one after the other: a worker has little memory to spare."""
_REMOTE = ("s3", "gs", "az", "http", "https", "ftp")
_DIGITS = "0123456789abcdef"
_FOLDERS = len(_DIGITS) ** 2
"""So many folders hold the records."""
_LISTED = 1000
"""So many names come with one request."""
_AT_ONCE = 8
"""Requests side by side, where there are many."""
_CREATIONS = 3
"""How often an object is created that is refused as if it were there, but is not."""
_T = TypeVar("_T")


def default_url() -> str:
    """Return the store where none is named: ``$BEMSWEEP_STORE``, else a folder here."""
    return os.environ.get("BEMSWEEP_STORE") or DEFAULT_URL


def patience_s() -> float:
    """Return how long a run tries to reach its store, seconds: ``$BEMSWEEP_PATIENCE``, else five minutes.

    Raises
    ------
    StoreError
        The variable holds no number of seconds.
    """
    text = os.environ.get("BEMSWEEP_PATIENCE")
    try:
        seconds = float(text) if text else DEFAULT_PATIENCE_S
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        told = f"BEMSWEEP_PATIENCE is {text!r} and must be a number of seconds, such as 300"
        raise StoreError(told, fault=Fault.NOT_SERVED)
    return seconds


@dataclass(frozen=True)
class StoredObject:
    """An object of a store, as a listing tells it."""

    name: str
    """Its name below the store's URL."""
    size_bytes: int
    """Its size."""
    modified: dt.datetime | None
    """When it was written, UTC; None where the filesystem does not tell."""


class Store:
    """Where everything of one or many studies lives.

    Parameters
    ----------
    url
        An fsspec URL or a local path, made absolute; None for ``$BEMSWEEP_STORE``, else ``./bemsweep-store``.
    storage_options
        Passed to the filesystem; they never enter an object, a log line or a task's arguments.
    patience
        How long what passes is tried again; None to tell a fault at once.
    """

    def __init__(
        self,
        url: str | Path | None = None,
        storage_options: Mapping[str, Any] | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        text = default_url() if url is None else str(url)
        protocol = protocol_of(text)
        if why := _why_no_store(text, protocol):
            raise StoreError(f"no store at {why}", fault=Fault.NOT_SERVED)
        path = _without_tilde(text.partition("://")[2] or text).absolute()
        self.url = str(path) if not protocol else text if text.endswith("://") else text.rstrip("/")
        self.storage_options = dict(storage_options or {})
        self.patience = patience or Patience()
        self._checked: set[Path] = set()

    def __repr__(self) -> str:
        return f"Store({redacted(self.url)!r})"

    def __reduce__(self) -> tuple[type[Store], tuple[str, dict[str, Any]]]:
        return Store, (self.url, self.storage_options)  # an open filesystem stays where it is

    def patient(
        self, seconds: float, stop: threading.Event | None = None, guard: Callable[[], object] | None = None
    ) -> Store:
        """Return the same store, which tries again for so long; `stop` ends waits, `guard` comes before each try."""
        return Store(self.url, self.storage_options, patience=Patience(seconds, stop, guard))

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        fs, root = open_filesystem(self.url, self.storage_options, is_patient=self.patience.limit_s > 0)
        return fs, root.rstrip("/")

    @property
    def fs(self) -> Any:
        """The fsspec filesystem."""
        return self._opened[0]

    @property
    def is_local(self) -> bool:
        """True if objects are files of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def region(self) -> str | None:
        """Return the cloud's region of the store's bucket, which S3 tells; None where nobody does."""
        ask = getattr(self.fs, "region_of", None)  # of `bemsweep.s3` only
        return None if ask is None else ask(self.path())

    def path(self, *parts: str) -> str:
        """Return the filesystem's path of an object.

        Raises
        ------
        StoreError
            The name leads out of the store: nothing that bemsweep wrote is called so.
        """
        if wrong := [part for part in parts if not is_inside(part)]:
            told = f"{wrong[0]!r} is no name of an object in {redacted(self.url)}: it would lead out of it"
            raise StoreError(told, fault=Fault.NOT_SERVED)
        return "/".join((self._opened[1], *parts))

    def url_of(self, *parts: str) -> str:
        """Return the URL of an object, for people and for xarray."""
        return self.url + ("" if self.url.endswith("/") else "/") + "/".join(parts)

    # Names of objects

    @staticmethod
    def input_name(sha256: str, suffix: str) -> str:
        """Return the name of an input by its content."""
        return f"inputs/{sha256[:2]}/{sha256}{suffix}"

    @staticmethod
    def record_name(variant_id: str) -> str:
        """Return the name of a variant's record."""
        return f"records/{variant_id[:2]}/{variant_id}.{RECORD_SUFFIX}"

    @staticmethod
    def raw_name(variant_id: str, file: str) -> str:
        """Return the name of a raw file kept of a variant."""
        return f"raw/{variant_id}/{file}"

    @staticmethod
    def weather_name(file: str) -> str:
        """Return the name of a file of a weather station."""
        return f"weather/{file}"

    @staticmethod
    def study_name(study: str, *parts: str) -> str:
        """Return the name of one of a study's own objects.

        Raises
        ------
        BemsweepError
            No study can be called so.
        """
        try:
            return "/".join(("studies", check_study_name(study), *parts))
        except ValueError as error:
            raise BemsweepError(str(error)) from None

    # Objects

    def put(self, name: str, data: bytes) -> None:
        """Write an object whole, in place of any other of that name.

        Raises
        ------
        StoreError
            It cannot be written; says where and why.
        """
        if self.is_local:
            self._do(f"cannot write {name}", lambda: replace_file(Path(self.path(name)), data))
        else:
            self._do(f"cannot write {name}", lambda: self.fs.pipe_file(self.path(name), data))

    def create(self, name: str, data: bytes) -> bool:
        """Write an object that must not be there yet; return False if there is one with another content.

        Of several at once one succeeds: on this machine's disks, S3, Google Cloud Storage and Azure; of other
        filesystems nobody knows.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        with self._told(f"cannot write {name}"):
            for tries_left in reversed(range(_CREATIONS)):
                try:
                    self._call(lambda: create_object(self.fs, self.path(name), data))
                except Exception as error:
                    if is_passing(error):
                        raise
                    # Whatever a server calls it, an object that is there tells more; one may have gone since.
                    if (there := self.get(name)) is not None:
                        return there == data  # also if the answer to our own first try was lost
                    if not tries_left:
                        raise
                else:
                    break
        return True

    def get(self, name: str) -> bytes | None:
        """Return an object, or None if there is none of that name.

        Raises
        ------
        StoreError
            It cannot be read, which is not the same as its absence.
        """
        return self._find(f"cannot read {name}", lambda: bytes(self.fs.cat_file(self.path(name))))

    def has(self, name: str) -> bool:
        """Return True if there is an object of that name."""
        # Not `exists`, which takes some faults for absence.
        return self._find(f"cannot look for {name}", lambda: self.fs.info(self.path(name))) is not None

    def upload(self, path: Path, name: str) -> None:
        """Write a file as an object, whole, a part of it in memory at a time.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        StoreError
            It cannot be written.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        what, target = f"cannot write {name}", self.path(name)
        if self.is_local:
            self._do(what, lambda: replace_by_copy(path, Path(target)))
        elif protocol_of(self.url) == "s3":
            parts = {"chunksize": _PART_BYTES, "max_concurrency": 1}
            self._do(what, lambda: self.fs.put_file(str(path), target, **parts))
        else:
            self._do(what, lambda: self.fs.put_file(str(path), target))

    def download(self, name: str, path: Path) -> bool:
        """Write an object to a file, whole or not at all, a piece of it in memory; return False if there is none.

        Raises
        ------
        StoreError
            It cannot be read, or the file cannot be written.
        """
        # Else s3fs holds ten parts of 50 MB in memory.
        parts = {"max_concurrency": 1} if protocol_of(self.url) == "s3" else {}
        what = f"cannot fetch {name} to {path}"
        with self._told(what), temporary_beside(path) as temporary:  # this thread's, not one's that patience leaves

            def fetch() -> bool:
                self.fs.get_file(self.path(name), str(temporary), **parts)
                return True

            if found := self._find(what, fetch):
                temporary.replace(path)
            temporary.unlink(missing_ok=True)
        return bool(found)

    def as_file(self, name: str, folder: Path) -> Path | None:
        """Return an object as a local file: itself if local, else fetched whole into `folder`; None if absent.

        Raises
        ------
        StoreError
            It cannot be read.
        """
        if self.is_local:
            path = Path(self.path(name))
            return path if path.exists() else None
        data = self.get(name)
        if data is None:
            return None
        path = folder / PurePosixPath(name).name
        path.write_bytes(data)
        return path

    def as_files(self, names: Iterable[str], folder: Path) -> list[Path | None]:
        """Return `as_file` of many objects, fetched side by side."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda name: self.as_file(name, folder), names))

    def delete(self, name: str) -> None:
        """Delete an object; nothing happens if there is none."""
        self._find(f"cannot delete {name}", lambda: self.fs.rm_file(self.path(name)))

    def delete_all(self, names: Iterable[str]) -> None:
        """Delete many objects; what is not there is passed over."""
        if self.is_local or protocol_of(self.url) != "s3":
            for name in names:
                self.delete(name)
        elif paths := [self.path(name) for name in names]:  # a request for every thousand
            self._do(f"cannot delete {paths[0]} and others", lambda: self.fs.rm(paths))

    def delete_folder(self, name: str) -> None:
        """Delete all objects below a name."""
        if self.is_local:
            self._find(f"cannot delete {name}", lambda: self.fs.rm(self.path(name), recursive=True))
        else:
            self.delete_all(found.name for found in self.objects(name))

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects directly in a folder, sorted."""
        found = self._find(f"cannot list {folder}", lambda: self.fs.ls(self.path(folder), detail=False))
        names = [PurePosixPath(path).name for path in found or ()]
        # What a killed process left behind is no object.
        return sorted(name for name in names if not name.endswith(TEMPORARY_SUFFIX))

    def studies(self) -> list[str]:
        """Return the names of the studies, sorted; what no study can be called is passed over."""
        return [name for name in self.names("studies") if study_of(f"studies/{name}/study.json") == name]

    def objects(self, folder: str = "", *, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects below a folder, with their sizes; on object stores a request per thousand.

        Links to folders are not followed, and names that would lead out of the store are passed over.

        Parameters
        ----------
        folder
            A name, or ``""`` for the whole store.
        prefix
            Of the names below the folder, to list fewer; object stores use it, others yield all.
        """
        root, narrowed = self.path(), {"prefix": prefix} if prefix else {}
        where = self.path(folder) if folder else root
        what = f"cannot list {folder}".rstrip()
        found = self._find(what, lambda: self.fs.find(where, detail=True, **narrowed))
        for path, info in (found or {}).items():
            name = path.removeprefix(root).lstrip("/")
            if name and not name.endswith("/") and info.get("type") != "directory" and is_inside(name):
                yield StoredObject(name, int(info.get("size") or 0), _modified(info))

    def stored(self, variant_ids: Iterable[str]) -> set[str]:
        """Return those variants that have a record; never one request for each.

        The first folder of records tells how many there are in all; so either all folders are listed together, a
        request per thousand records, or each of the others by itself, whichever takes fewer.
        """
        wanted: dict[str, set[str]] = {}
        for variant_id in variant_ids:
            wanted.setdefault(variant_id[:2], set()).add(variant_id)
        listings = self._listings(list(wanted))
        present = {name.removesuffix(f".{RECORD_SUFFIX}") for names in listings for name in names}
        return {variant_id for ids in wanted.values() for variant_id in ids & present}

    def _listings(self, folders: Sequence[str]) -> Iterator[list[str]]:
        """Yield names of records that are in these folders, and maybe of others."""
        if not folders:
            return
        first, *others = folders
        yield (names := self.names(f"records/{first}"))
        requests_of_all = len(names) * _FOLDERS / _LISTED
        requests_of_each = len(others) * max(1.0, len(names) / _LISTED)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            if self.is_local or requests_of_each <= max(1.0, requests_of_all):
                yield from pool.map(lambda folder: self.names(f"records/{folder}"), others)
            else:
                has_prefixes = protocol_of(self.url) in ("s3", "gs", "az") and requests_of_all > len(_DIGITS)
                yield from pool.map(self._record_names, _DIGITS if has_prefixes else [""])

    def _record_names(self, prefix: str) -> list[str]:
        return [found.name.rpartition("/")[2] for found in self.objects("records", prefix=prefix)]

    def local_copy(self, sha256: str, suffix: str, *, tell: Callable[[int], object] | None = None) -> Path:
        """Return an input as a local file: the object itself if local, else a checked copy in the cache.

        Parameters
        ----------
        sha256, suffix
            Its name.
        tell
            Called with its size if it is fetched.

        Raises
        ------
        StoreError
            The input is missing, cannot be read, or is not what its name says.
        """
        name = self.input_name(sha256, suffix)
        path = Path(self.path(name)) if self.is_local else cache_folder() / name
        if path in self._checked and (path.exists() if self.is_local else touch(path)):
            return path
        with self._told(f"cannot keep {path}, a copy of {name}"):
            if self.is_local:
                self._check_input(path, name, sha256)
            else:
                cached(name, partial(self._fetch_input, name, sha256, tell), lambda copy: sha256_of(copy) == sha256)
        self._checked.add(path)
        return path

    def _fetch_input(self, name: str, sha256: str, tell: Callable[[int], object] | None, path: Path) -> None:
        self.download(name, path)
        self._check_input(path, name, sha256)
        if tell is not None:
            tell(path.stat().st_size)

    def _check_input(self, path: Path, name: str, sha256: str) -> None:
        if not path.exists():
            raise StoreError(f"the store {redacted(self.url)} has lost {name}: run the study again from its files")
        if sha256_of(path) != sha256:
            raise StoreError(
                f"{redacted(self.url_of(name))} is altered: delete it and run the study again from its files"
            )

    def zarr(self, study: str) -> ZarrStore:
        """Return the study's cube as a Zarr store."""
        name = self.study_name(study, "results.zarr")
        path = self.path(name)
        if self.is_local:
            return LocalCubeStore(path, guard=self.patience.guard)
        fs = self.fs
        if not fs.async_impl:
            from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper  # noqa: PLC0415 - not for local stores

            fs = AsyncFileSystemWrapper(fs, asynchronous=True)
        url, options = self.url_of(name), self.storage_options
        return PatientStore.of(fs, path, url, storage_options=options, patience=self.patience)

    def check_writable(self) -> None:
        """Write a probe, read it back and delete it.

        Raises
        ------
        StoreError
            The store cannot be written or read; says where and why.
        """
        name, probe = f"probe-{os.getpid()}-{os.urandom(4).hex()}", b"bemsweep"
        try:
            self.put(name, probe)
        except StoreError as error:
            if error.fault == Fault.FORBIDDEN:
                self.has(name)  # some servers say so of a bucket that does not exist: reading tells
            raise
        is_store = self.get(name) == probe  # a web page answers everything with 200
        self.delete(name)
        if not is_store:
            told = f"{redacted(self.url)} gives back something else than was written there: no such server answers"
            raise StoreError(f"{told}; check AWS_ENDPOINT_URL and its port", fault=Fault.WRONG_ENDPOINT)

    # Faults

    def _call(self, action: Callable[[], _T]) -> _T:
        return self.patience.call(action, can_hang=not self.is_local)

    def _do(self, what: str, action: Callable[[], _T]) -> _T:
        """Do something, tried again while its fault passes and patience lasts."""
        with self._told(what):
            return self._call(action)

    def _find(self, what: str, action: Callable[[], _T]) -> _T | None:
        """Do something with an object; None if it is not there, which a missing bucket is not."""
        with self._told(what):
            try:
                return self._call(action)
            except FileNotFoundError as error:
                if fault_of(error) is not Fault.MISSING:
                    raise
                return None

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn what a filesystem raises into `StoreError`."""
        try:
            _ = self.fs  # opened here, once, and not by the threads in which patience lets it act
            yield
        except StoreError:
            raise
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            said = told(error, self.storage_options)
            room = free_told(Path(self.path())) if fault == Fault.NO_SPACE and self.is_local else ""
            raise StoreError(f"{what} in the store {redacted(self.url)}{room}: {said}", fault=fault) from None


def _why_no_store(text: str, protocol: str) -> str:
    """Return what is wrong with the URL of a store, without a secret; ``""`` if nothing can be told before trying."""
    shown = redacted(text)
    if protocol in ("http", "https", "ftp"):
        return f"{shown}: {protocol} can be read only; it will do for inputs"
    if "::" in text and "://" in text:  # fsspec's chains, of which it would take the first for a folder
        return f"{shown}: name the URL alone, without what stands before ::"
    if text.count("://") > 1:  # s3fs takes what follows the first for a bucket here, and for a folder there
        return f"{shown}: there is one URL within another; name that of the store alone"
    meant = re.sub("^([^:/]+):/*", r"\1://", text)
    if not protocol and protocol_of(meant) in _REMOTE:
        return f"{shown}: did you mean {redacted(meant)!r}?"
    return secret_in(text)  # it would be shown, and travel with every task


def _without_tilde(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise StoreError(f"no store {text}: {error}") from error


def _modified(info: Mapping[str, Any]) -> dt.datetime | None:
    """Return when an object was written, however its filesystem calls it."""
    for name in ("LastModified", "last_modified", "mtime", "updated", "created"):
        value = info.get(name)
        if isinstance(value, (int, float)):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        if isinstance(value, dt.datetime):
            return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return None
