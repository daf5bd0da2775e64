"""Zarr stores on a store's own filesystem: tried again while a fault passes, with errors that say what to do.

Decides nothing about what is read or written; a key that is not there stays "not there". Zarr has an event
loop of its own, but requests run on the filesystem's: so both share its connections, which end with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from bemsweep.disks import free_told
from bemsweep.errors import StoreError
from bemsweep.faults import Fault, fault_of, told
from bemsweep.patience import Patience
from bemsweep.redaction import redacted

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype
    from zarr.core.common import AccessModeLiteral

__all__ = ["LocalCubeStore", "PatientStore", "PlainErrorStore"]

_T = TypeVar("_T")


class _Store(FsspecStore):
    """zarr's own, but for its warning of a filesystem that has a loop of its own."""

    def __init__(self, fs: Any, read_only: bool = False, path: str = "", **_: Any) -> None:
        Store.__init__(self, read_only=read_only)
        self.fs, self.path = fs, path
        self.allowed_exceptions = ()  # `get` looks at them

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return a value, or None if there is none; a bucket that is not there is no missing chunk full of NaN."""
        try:
            return await super().get(key, prototype, byte_range)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if fault_of(error) is Fault.NO_BUCKET:
                raise
            return None

    async def delete_dir(self, prefix: str) -> None:
        """Delete all values below a prefix."""
        with suppress(FileNotFoundError):
            await super().delete_dir(prefix)


class PlainErrorStore(Store):
    """A store whose errors come as they are, where zarr from 3.4 on hands them out in groups."""

    async def get_ranges(self, *what: Any, **how: Any) -> AsyncIterator[Any]:
        """Yield parts of a value, as zarr's own does.

        Raises
        ------
        StoreError
            One of them cannot be read.
        """
        try:
            async for group in super().get_ranges(*what, **how):  # type: ignore[misc]  # not before zarr 3.4
                yield group
        except BaseExceptionGroup as errors:
            told, _ = errors.split(StoreError)
            if told is None:
                raise
            raise _first(told) from None


class LocalCubeStore(LocalStore):
    """zarr's own store of a local folder, which tells the folder and what it lacks if it cannot be written.

    Its writes are whole or not at all: a file gets its name when all of it is there.

    Parameters
    ----------
    root
        The folder.
    guard
        Called before each write; what it raises keeps it from being done. None for nothing.
    """

    def __init__(self, root: Path | str, guard: Callable[[], object] | None = None, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._guard = guard or _nothing

    def with_read_only(self, read_only: bool = False) -> LocalCubeStore:
        """Return the same store, to be read only or not."""
        return LocalCubeStore(self.root, self._guard, read_only=read_only)

    async def set(self, key: str, value: Buffer) -> None:
        """Write a value whole."""
        await self._ask()
        with self._telling(key):
            await super().set(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Do what `set` does, from a thread without a loop."""
        self._guard()
        with self._telling(key):
            super().set_sync(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a value whole, unless there is one."""
        await self._ask()
        with self._telling(key):
            await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        """Delete a value."""
        await self._ask()
        with self._telling(key):
            await super().delete(key)

    def delete_sync(self, key: str) -> None:
        """Do what `delete` does, from a thread without a loop."""
        self._guard()
        with self._telling(key):
            super().delete_sync(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete all values below a prefix."""
        await self._ask()
        with self._telling(prefix):
            await super().delete_dir(prefix)

    async def clear(self) -> None:
        """Delete all values."""
        await self._ask()
        with self._telling("all"):
            await super().clear()

    async def _ask(self) -> None:
        if self._guard is not _nothing:
            await asyncio.to_thread(self._guard)  # it may ask the store itself

    async def _open(self, *, mode: AccessModeLiteral | None = None) -> None:
        with self._telling("all"):
            await super()._open(mode=mode)

    @contextmanager
    def _telling(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            fault = fault_of(error)
            if fault is None or fault is Fault.MISSING:
                raise
            room = free_told(self.root) if fault is Fault.NO_SPACE else ""
            raise StoreError(f"cannot write {key} of {self.root}{room}: {told(error)}", fault=fault) from None


def _nothing() -> None:
    """Keep no write from being done."""


class PatientStore(PlainErrorStore):
    """A Zarr store that tries again what passes.

    No `zarr.storage.WrapperStore`: that hands on whatever later versions of zarr ask for, past all of this.

    Parameters
    ----------
    store
        The store itself; see `of`.
    url, storage_options
        Where it is, for messages, and what must not be in them.
    patience
        How long what passes is tried again.
    """

    @classmethod
    def of(
        cls, fs: Any, path: str, url: str, *, storage_options: Mapping[str, Any], patience: Patience
    ) -> PatientStore:
        """Return the store of a path of a filesystem.

        Parameters
        ----------
        fs
            With coroutines.
        path
            In it.
        url, storage_options, patience
            As for the class.
        """
        return cls(_Store(fs, path=path), url, storage_options, patience)

    def __init__(self, store: FsspecStore, url: str, storage_options: Mapping[str, Any], patience: Patience) -> None:
        super().__init__(read_only=store.read_only)
        self._store, self._url, self._storage_options, self._patience = store, url, storage_options, patience

    def with_read_only(self, read_only: bool = False) -> PatientStore:
        """Return the same store, to be read only or not."""
        store = self._store.with_read_only(read_only)
        return PatientStore(store, self._url, self._storage_options, self._patience)

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PatientStore) and self._store == other._store

    def __hash__(self) -> int:
        return hash(self._url)

    def __repr__(self) -> str:
        return f"PatientStore({redacted(self._url)!r})"

    __str__ = __repr__

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return a value, or None if there is none of that key."""
        return await self._do(key, lambda: self._store.get(key, prototype, byte_range))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of values."""
        return await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges))

    async def exists(self, key: str) -> bool:
        """Return True if there is a value of that key."""
        return await self._do(key, lambda: self._store.exists(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Write a value whole."""
        await self._do(key, lambda: self._store.set(key, value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a value whole, unless there is one."""
        await self._do(key, lambda: self._store.set_if_not_exists(key, value))

    async def delete(self, key: str) -> None:
        """Delete a value."""
        await self._do(key, lambda: self._store.delete(key))

    async def delete_dir(self, prefix: str) -> None:
        """Delete all values below a prefix."""
        await self._do(prefix, lambda: self._store.delete_dir(prefix))

    async def clear(self) -> None:
        """Delete all values."""
        await self._do("all", self._store.clear)

    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        for key in await self._do("", lambda: _listed(self._store.list())):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin so."""
        for key in await self._do(prefix, lambda: _listed(self._store.list_prefix(prefix))):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below a prefix."""
        for key in await self._do(prefix, lambda: _listed(self._store.list_dir(prefix))):
            yield key

    async def _do(self, key: str, action: Callable[[], Awaitable[_T]]) -> _T:
        loop = self._store.fs.loop

        async def attempt() -> _T:
            if loop is None:
                return await action()
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(action), loop))

        try:
            return await self._patience.acall(attempt)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            said = told(error, self._storage_options)
            raise StoreError(f"cannot read or write {key} of {redacted(self._url)}: {said}", fault=fault) from None


async def _listed(keys: AsyncIterator[str]) -> list[str]:
    return [key async for key in keys]


async def _awaited(action: Callable[[], Awaitable[_T]]) -> _T:
    return await action()


def _first(errors: BaseException) -> BaseException:
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
