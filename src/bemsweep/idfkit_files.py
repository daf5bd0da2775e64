"""`FsspecFileSystem`: idfkit's own filesystem protocol on any fsspec URL, for what idfkit writes and reads itself.

Decides which object a path means and which of Python's errors a fault is. It never reads more than it is asked for,
never shows storage options, and never takes a fault for a file that is not there.
"""

from __future__ import annotations

import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from errno import EACCES, EEXIST, EISDIR, ENOENT
from functools import partial
from os import strerror
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO, Literal, cast

from fsspec.utils import glob_translate

from bemsweep.errors import BemsweepError, StoreError
from bemsweep.faults import Fault, fault_of, told
from bemsweep.local_files import TEMPORARY_SUFFIX
from bemsweep.patience import Patience
from bemsweep.redaction import redacted
from bemsweep.store import Store

__all__ = ["FsspecFileSystem"]

_PATIENCE_S = 20.0
"""How long a server that does not answer is asked again: an upload that fails would lose a whole simulation."""
_READ_BYTES = 2**22
_WHOLE_BYTES = 2**25
_DENIED = (Fault.FORBIDDEN, Fault.BAD_KEY, Fault.BAD_SECRET, Fault.EXPIRED, Fault.NO_CREDENTIALS)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class FsspecFileSystem:
    """Files below an fsspec URL, as ``fs=`` of idfkit's `simulate`, `simulate_batch` and `SimulationResult`.

    Paths are relative to `url`. One that begins with `url` means the same as without it, also as `pathlib` spells it
    (``s3:/bucket/x``). A leading slash means nothing, as for idfkit's ``S3FileSystem``; on a local disk an absolute
    path must lie below `url`. Whatever lies elsewhere is refused.

    What is written appears whole or not at all. What is missing raises `FileNotFoundError`, what is not allowed
    `PermissionError`, every other fault `bemsweep.errors.StoreError`. Objects of this class can be pickled: only the
    URL and the options travel.

    Parameters
    ----------
    url
        Where the paths start from: ``s3://bucket/study``, a folder, or any other fsspec URL.
    **storage_options
        Passed to the filesystem; never shown.

    Examples
    --------
    >>> fs = FsspecFileSystem("memory://example")
    >>> fs.write_text("run-1/notes.txt", "done")
    >>> fs.glob("run-1", "*.txt")
    ['run-1/notes.txt']
    >>> fs.exists("run-2/notes.txt")
    False
    """

    def __init__(self, url: str | Path, **storage_options: Any) -> None:
        self._store = Store(url, storage_options, patience=Patience(_PATIENCE_S))

    def __repr__(self) -> str:
        return f"FsspecFileSystem({redacted(self._store.url)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._store.storage_options), (self._store.url,)

    def read_bytes(self, path: str | Path) -> bytes:
        """Return a file's bytes.

        Raises
        ------
        FileNotFoundError, PermissionError, StoreError
            As told by the class.
        """
        name = self._file(path)
        with self._told(name):
            data = self._store.get(name)
        if data is None:
            raise self._missing(name)
        return data

    def write_bytes(self, path: str | Path, data: bytes) -> None:
        """Write a file whole, in place of any other of that name; folders need not exist.

        Raises
        ------
        PermissionError, StoreError
            As told by the class.
        """
        name = self._file(path)
        if len(data) > _WHOLE_BYTES and not self._store.is_local:  # s3fs would hold many parts of it in memory
            with self.open(path, "wb") as file:
                file.write(data)
            return
        with self._writing_told(name):
            self._store.put(name, data)

    def read_text(self, path: str | Path, encoding: str = "utf-8") -> str:
        """Return a file's text; line ends are left as they are.

        Raises
        ------
        FileNotFoundError, PermissionError, StoreError
            As told by the class.
        """
        return self.read_bytes(path).decode(encoding)

    def write_text(self, path: str | Path, text: str, encoding: str = "utf-8") -> None:
        """Write a text; line ends are left as they are.

        Raises
        ------
        PermissionError, StoreError
            As told by the class.
        """
        self.write_bytes(path, text.encode(encoding))

    def open(self, path: str | Path, mode: Literal["rb", "wb"] = "rb") -> AbstractContextManager[BinaryIO]:
        """Open a file to read or write it piece by piece, in a ``with`` block; memory does not grow with its size.

        Parameters
        ----------
        path
            Which file.
        mode
            ``rb`` to read; ``wb`` to write: the file appears when the block ends, and not at all if it raises.

        Raises
        ------
        BemsweepError
            Another mode.
        FileNotFoundError, PermissionError, StoreError
            As told by the class.
        """
        if mode not in ("rb", "wb"):
            raise BemsweepError(f"no mode {mode!r}: 'rb' or 'wb'; wrap the file in io.TextIOWrapper for text")
        return self._reading(self._file(path)) if mode == "rb" else self._writing(self._file(path))

    def exists(self, path: str | Path) -> bool:
        """Return True if there is a file, or a folder with files in it; a fault is raised and is no False.

        Raises
        ------
        PermissionError, StoreError
            As told by the class.
        """
        name = self._name(path)
        with self._told(name):
            return self._store.has(name)

    def makedirs(self, path: str | Path, *, exist_ok: bool = False) -> None:
        """Make a folder on a local disk; elsewhere folders come with their files, and there is nothing to make.

        Raises
        ------
        FileExistsError
            There is one, and `exist_ok` is False.
        PermissionError, StoreError
            As told by the class.
        """
        name = self._name(path)
        if not exist_ok and self.exists(name):
            raise FileExistsError(EEXIST, strerror(EEXIST), self._store.url_of(name))
        if self._store.is_local:
            with self._told(name):
                Path(self._store.path(name)).mkdir(parents=True, exist_ok=True)

    def copy(self, src: str | Path, dst: str | Path) -> None:
        """Copy a file below the URL; an object store does it by itself, without sending the bytes here.

        Raises
        ------
        FileNotFoundError, PermissionError, StoreError
            As told by the class.
        """
        source, target = self._file(src), self._file(dst)
        if self._store.is_local:
            with self.open(source) as read, self.open(target, "wb") as written:
                shutil.copyfileobj(read, written)
            return
        paths = self._store.path(source), self._store.path(target)
        with self._told(source):
            self._store.patience.call(lambda: self._store.fs.cp_file(*paths))

    def glob(self, path: str | Path, pattern: str) -> list[str]:
        """Return the files in a folder whose names match a pattern, sorted; none if there is no such folder.

        Parameters
        ----------
        path
            The folder; it is taken as it is written, whatever brackets and stars it has.
        pattern
            As `pathlib.Path.glob` takes it: ``*`` stays in the folder, ``**/*`` goes below.

        Returns
        -------
        list of str
            Relative to the URL, as all methods take them.

        Raises
        ------
        PermissionError, StoreError
            As told by the class.
        """
        folder = self._name(path)
        matches = re.compile(glob_translate(pattern)).match
        with self._told(folder):
            names = [found.name for found in self._store.objects(folder)]
        prefix = f"{folder}/" if folder else ""
        return sorted(name for name in names if matches(name.removeprefix(prefix)) and not _is_temporary(name))

    def remove(self, path: str | Path) -> None:
        """Remove a file.

        Raises
        ------
        FileNotFoundError, PermissionError, StoreError
            As told by the class; an object store is asked first whether there is one.
        """
        name = self._file(path)
        if not self.exists(name):
            raise self._missing(name)
        with self._told(name):
            self._store.delete(name)

    # Paths and faults

    def _name(self, path: str | Path) -> str:
        """Return a path relative to the URL, as the store names objects; empty for the URL itself."""
        given = PurePath(path)
        text = given.as_posix()  # pathlib makes s3:/bucket/x of s3://bucket/x, so the URL is compared as it spells it
        root = PurePath(self._store.url).as_posix()
        below = text.removeprefix(root)
        is_below = below != text and below[:1] in ("", "/")
        if not is_below and (_SCHEME.match(text) or (self._store.is_local and given.is_absolute())):
            raise BemsweepError(f"{path} is not below {self._store.url}: paths are relative to it")
        parts = [part for part in (below if is_below else text).split("/") if part not in ("", ".")]
        if ".." in parts:
            raise BemsweepError(f"{path} goes up with '..': paths are relative to {self._store.url} and stay below it")
        return "/".join(parts)

    def _file(self, path: str | Path) -> str:
        name = self._name(path)
        if not name:
            raise IsADirectoryError(EISDIR, strerror(EISDIR), self._store.url)
        return name

    def _missing(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(ENOENT, strerror(ENOENT), self._store.url_of(name))

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Turn what the store or its filesystem raises into the errors that the class tells."""
        try:
            yield
        except Exception as error:
            fault = error.fault if isinstance(error, StoreError) else fault_of(error)
            if fault is None:
                raise
            if fault == Fault.MISSING:
                raise self._missing(name) from None
            said = str(error)
            if not isinstance(error, StoreError):
                said = f"{redacted(self._store.url_of(name))}: {told(error, self._store.storage_options)}"
            raise (PermissionError(EACCES, said) if fault in _DENIED else StoreError(said, fault=fault)) from None

    @contextmanager
    def _writing_told(self, name: str) -> Iterator[None]:
        try:
            with self._told(name):
                yield
        except PermissionError:
            self.exists(name)  # some servers say so of a bucket that does not exist: looking tells
            raise

    @contextmanager
    def _reading(self, name: str) -> Iterator[BinaryIO]:
        path = self._store.path(name)
        with self._told(name):
            file = self._store.patience.call(lambda: self._store.fs.open(path, "rb", block_size=_READ_BYTES))
        with io.BufferedReader(_Pieces(file, lambda: self._told(name))) as reader:
            yield cast("BinaryIO", reader)

    @contextmanager
    def _writing(self, name: str) -> Iterator[BinaryIO]:
        # Over a file of this machine, because fsspec's own files upload on leaving the block, even if it raised.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / PurePosixPath(name).name
            with path.open("wb") as file:
                yield file
            with self._writing_told(name):
                self._store.upload(path, name)


class _Pieces(io.RawIOBase):
    """A file of fsspec, whose faults are told as all others are."""

    def __init__(self, file: Any, told: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._told = told

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._told():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


def _is_temporary(name: str) -> bool:
    """Return True for what a killed process left of a file that it wrote."""
    return PurePosixPath(name).name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)
