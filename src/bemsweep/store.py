"""The store: one fsspec URL under which a study's inputs, records and cube live.

The one place that names objects and touches fsspec. Every object is written whole or not at all. It
never decides what an object means.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import infer_storage_options
from zarr.abc.store import Store as ZarrStore
from zarr.storage import FsspecStore, LocalStore

from bemsweep.errors import StoreError

__all__ = ["DEFAULT_URL", "Store", "cache_folder", "replace_file"]

DEFAULT_URL = "bemsweep-store"
RECORD_SUFFIX = "parquet"
TEMPORARY_SUFFIX = ".tmp"


def cache_folder() -> Path:
    """Return the folder for local copies of inputs: ``$BEMSWEEP_CACHE_DIR`` or the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("BEMSWEEP_CACHE_DIR") or Path(home) / "bemsweep")


class Store:
    """Where everything of one or many studies lives.

    Parameters
    ----------
    url
        An fsspec URL or a local path, made absolute.
    storage_options
        Passed to the filesystem; they never enter an object, a log line or a task's arguments.
    """

    def __init__(self, url: str | Path = DEFAULT_URL, storage_options: Mapping[str, Any] | None = None) -> None:
        text = str(url)
        is_local = infer_storage_options(text)["protocol"] in ("file", "local")
        path = _without_tilde(text.partition("://")[2] or text).absolute()
        self.url = str(path) if is_local else text if text.endswith("://") else text.rstrip("/")
        self.storage_options = dict(storage_options or {})
        self._checked: set[Path] = set()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __reduce__(self) -> tuple[type[Store], tuple[str, dict[str, Any]]]:
        return Store, (self.url, self.storage_options)  # an open filesystem stays where it is

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        options = dict(self.storage_options)
        if infer_storage_options(self.url)["protocol"] in ("s3", "s3a"):
            options.setdefault("use_listings_cache", False)  # a cached listing hides what others wrote
        try:
            fs, root = fsspec.core.url_to_fs(self.url, **options)
        except (ValueError, ImportError) as error:
            raise StoreError(f"no store at {self.url}: {error}") from error
        return fs, root.rstrip("/")

    @property
    def fs(self) -> Any:
        """The fsspec filesystem."""
        return self._opened[0]

    @property
    def is_local(self) -> bool:
        """True if objects are files of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, *parts: str) -> str:
        """Return the filesystem's path of an object."""
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
        """Return the name of one of a study's own objects."""
        return "/".join(("studies", study, *parts))

    # Objects

    def put(self, name: str, data: bytes) -> None:
        """Write an object whole, in place of any other of that name.

        Raises
        ------
        StoreError
            It cannot be written; says where and why.
        """
        with self._told(f"cannot write {name}"):
            if self.is_local:
                replace_file(Path(self.path(name)), data)
            else:
                self.fs.pipe_file(self.path(name), data)

    def get(self, name: str) -> bytes | None:
        """Return an object, or None if there is none of that name.

        Raises
        ------
        StoreError
            It cannot be read, which is not the same as its absence.
        """
        with self._told(f"cannot read {name}"):
            try:
                return bytes(self.fs.cat_file(self.path(name)))
            except FileNotFoundError:
                return None

    def has(self, name: str) -> bool:
        """Return True if there is an object of that name."""
        with self._told(f"cannot look for {name}"):
            return bool(self.fs.exists(self.path(name)))

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

    def delete(self, name: str) -> None:
        """Delete an object; nothing happens if there is none."""
        with self._told(f"cannot delete {name}"):
            try:
                self.fs.rm_file(self.path(name))
            except FileNotFoundError:
                return

    def delete_folder(self, name: str) -> None:
        """Delete all objects below a name."""
        with self._told(f"cannot delete {name}"):
            try:
                self.fs.rm(self.path(name), recursive=True)
            except FileNotFoundError:
                return

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects directly in a folder, sorted."""
        with self._told(f"cannot list {folder}"):
            try:
                names = [PurePosixPath(path).name for path in self.fs.ls(self.path(folder), detail=False)]
            except FileNotFoundError:
                return []
        # What a killed process left behind is no object.
        return sorted(name for name in names if not name.endswith(TEMPORARY_SUFFIX))

    def stored(self, variant_ids: Iterable[str]) -> set[str]:
        """Return those variants that have a record.

        One listing per two leading digits that occur, never one request per variant.
        """
        wanted: dict[str, set[str]] = {}
        for variant_id in variant_ids:
            wanted.setdefault(variant_id[:2], set()).add(variant_id)
        found: set[str] = set()
        for prefix, ids in wanted.items():
            present = {name.removesuffix(f".{RECORD_SUFFIX}") for name in self.names(f"records/{prefix}")}
            found |= ids & present
        return found

    def local_copy(self, sha256: str, suffix: str) -> Path:
        """Return an input as a local file: the object itself if local, else a checked copy in the cache.

        Raises
        ------
        StoreError
            The input is missing, cannot be read, or is not what its name says.
        """
        name = self.input_name(sha256, suffix)
        path = Path(self.path(name)) if self.is_local else cache_folder() / name
        if path in self._checked and path.exists():
            return path
        with self._told(f"cannot keep {path}, a copy of {name}"):
            data = path.read_bytes() if path.exists() else None
            if not self.is_local and not _is_content(data, sha256):
                data = self.get(name)
                if data is not None and _is_content(data, sha256):
                    replace_file(path, data)
        if data is None:
            raise StoreError(f"the store {self.url} has lost {name}: run the study again from its files")
        if not _is_content(data, sha256):
            raise StoreError(f"{self.url_of(name)} is altered: delete it and run the study again from its files")
        self._checked.add(path)
        return path

    def zarr(self, study: str) -> ZarrStore:
        """Return the study's cube as a Zarr store."""
        path = self.path(self.study_name(study, "results.zarr"))
        if self.is_local:
            return LocalStore(path)
        if getattr(self.fs, "async_impl", False):
            return FsspecStore.from_url(
                self.url_of(self.study_name(study, "results.zarr")), storage_options=self.storage_options
            )
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper  # noqa: PLC0415 - not for local stores

        return FsspecStore(AsyncFileSystemWrapper(self.fs, asynchronous=True), path=path)

    def check_writable(self) -> None:
        """Write and delete a probe.

        Raises
        ------
        StoreError
            The store cannot be written; says where and why.
        """
        name = f"probe-{os.getpid()}-{os.urandom(4).hex()}"
        self.put(name, b"bemsweep")
        self.delete(name)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn what a filesystem raises into `StoreError`."""
        try:
            yield
        except OSError as error:
            hint = " (no space left)" if error.errno == errno.ENOSPC else ""
            raise StoreError(f"{what} in the store {self.url}{hint}: {type(error).__name__}: {error}") from error


def _is_content(data: bytes | None, sha256: str) -> bool:
    return data is not None and hashlib.sha256(data).hexdigest() == sha256


def _without_tilde(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise StoreError(f"no store {text}: {error}") from error


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name[:16]}-{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
