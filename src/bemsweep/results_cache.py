"""How a remote cube is read: few requests, and what was read stays on this machine's disk if asked for.

A cube is read as of one commit. Its root's content, which no other commit has, names the folder of what is kept, so
that a new commit never meets old chunks. Never writes a cube, and never keeps that something was missing: a store's
"not there" can pass, and a gap in the results must not outlast it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

from zarr.abc.store import ByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from bemsweep.cache import keep, kept
from bemsweep.cube_metadata import ROOT
from bemsweep.errors import StoreError
from bemsweep.zarr_stores import PlainErrorStore

__all__ = ["CommittedStore"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Index:
    """Where the parts of a shard are, as its reader was last told."""

    shard: tuple[str, str]
    """Folder of the commit, and key."""
    request: SuffixByteRequest
    """What to read to be told again."""
    digest: str
    """Of the index; parts of the shard are kept under it, for they move when the shard is written anew."""
    is_from_disk: bool
    """True if the shard may have been written anew since."""


_told: ContextVar[_Index | None] = ContextVar("_told", default=None)
"""The index that the task at hand was told last: it reads the parts where that index, and no newer one, says."""


class CommittedStore(PlainErrorStore):
    """A study's cube as of one commit, for reading.

    Parameters
    ----------
    store
        The cube's own.
    root
        Content of its root's metadata.
    url
        Names the cube, so that what is read is kept in the local cache; ``""`` to keep nothing.
    """

    def __init__(self, store: Store, root: bytes, *, url: str = "") -> None:
        super().__init__(read_only=True)
        self._store = store.with_read_only(read_only=True)
        self._folder = f"results/{hashlib.sha256(url.encode() + bytes(1) + root).hexdigest()}" if url else ""
        self._seen: dict[str, bytes] | None = {ROOT: root}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CommittedStore) and (self._store, self._folder) == (other._store, other._folder)

    __hash__ = None  # type: ignore[assignment]  # as every Zarr store

    def with_read_only(self, read_only: bool = False) -> CommittedStore:
        """Return this store, which is never written to.

        Raises
        ------
        ValueError
            Another is asked for.
        """
        if not read_only:
            raise ValueError("results are read only: the study's driver writes them")
        return self

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Ask for no whole object twice, while xarray looks at each coordinate several times."""
        try:
            yield
        finally:
            self._seen = None

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return an object or a part of it, or None if there is none."""
        if byte_range is None and self._seen is not None and key in self._seen:
            return prototype.buffer.from_bytes(self._seen[key])
        value = await self._get(key, prototype, byte_range)
        if byte_range is None and self._seen is not None and value is not None:
            self._seen[key] = value.to_bytes()
        return value

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of objects."""
        return await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges))

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    async def exists(self, key: str) -> bool:
        """Return True if there is an object of that key."""
        return await self._store.exists(key)

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002 - zarr's signature
        """Refuse to write."""
        self._check_writable()

    async def delete(self, key: str) -> None:  # noqa: ARG002 - zarr's signature
        """Refuse to delete."""
        self._check_writable()

    def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        return self._store.list()

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin so."""
        return self._store.list_prefix(prefix)

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below a prefix."""
        return self._store.list_dir(prefix)

    async def _get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None) -> Buffer | None:
        name = self._name(key, byte_range)
        if not name:
            return await self._store.get(key, prototype, byte_range)
        data = await asyncio.to_thread(kept, name)
        if data is not None:
            self._note(key, byte_range, data, is_from_disk=True)
            return prototype.buffer.from_bytes(data)
        if byte_range is not None and not isinstance(byte_range, SuffixByteRequest):
            await self._check_index(key, prototype)
        value = await self._store.get(key, prototype, byte_range)
        if value is not None:
            await self._keep(key, byte_range, value.to_bytes())
        return value

    def _name(self, key: str, byte_range: ByteRequest | None) -> str:
        """Return the name to keep something under; ``""`` for what is not kept."""
        if not self._folder or key.rpartition("/")[2] == ROOT:
            return ""
        part = repr(byte_range)
        if byte_range is not None and not isinstance(byte_range, SuffixByteRequest):
            index = self._index(key)
            if index is None:
                return ""
            part += index.digest
        return f"{self._folder}/{hashlib.sha256(f'{key} {part}'.encode()).hexdigest()}"

    def _note(self, key: str, byte_range: ByteRequest | None, data: bytes, *, is_from_disk: bool) -> None:
        if isinstance(byte_range, SuffixByteRequest):
            digest = hashlib.sha256(data).hexdigest()
            _told.set(_Index((self._folder, key), byte_range, digest, is_from_disk))

    def _index(self, key: str) -> _Index | None:
        index = _told.get()
        return index if index is not None and index.shard == (self._folder, key) else None

    async def _keep(self, key: str, byte_range: ByteRequest | None, data: bytes) -> None:
        self._note(key, byte_range, data, is_from_disk=False)
        try:
            await asyncio.to_thread(partial(keep, self._name(key, byte_range), data))
        except OSError as error:
            _log.info("not kept in the local cache: %s", error)

    async def _check_index(self, key: str, prototype: BufferPrototype) -> None:
        """See that a kept index is the shard's own, before a part is read where it says.

        Raises
        ------
        StoreError
            The shard was written anew since.
        """
        index = self._index(key)
        if index is None or not index.is_from_disk:
            return
        value = await self._store.get(key, prototype, index.request)
        data = b"" if value is None else value.to_bytes()
        if data:
            await self._keep(key, index.request, data)
        if hashlib.sha256(data).hexdigest() != index.digest:
            raise StoreError(f"{key} of the results was written anew since it was read first: read or open them again")
