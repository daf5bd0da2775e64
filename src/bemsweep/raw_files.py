"""Raw files: those that EnergyPlus wrote and a study asks to keep, from a run to the store and from there to a folder.

Nothing here holds a file in memory. Never decides which files are kept (`bemsweep.study` does), and never looks
into one.
"""

from __future__ import annotations

import gzip
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from bemsweep.engine_files import RAW_FILES, files_fitting, unknown_file
from bemsweep.errors import BemsweepError, InfrastructureError, StoreError
from bemsweep.local_files import TEMPORARY_SUFFIX
from bemsweep.patterns import matches
from bemsweep.store import Store, StoredObject, patience_s

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLE_NAME", "Fetched", "fetch", "keep_files"]

COMPRESSED_SUFFIX = ".gz"
TABLE_NAME = "variants.csv"
"""The file that tells whose the folders are."""

_THREADS = 16
_CHUNK_BYTES = 1_000_000
_DIGITS = 12
_LEAST_DIGITS = 4
_SHOWN = 5


def keep_files(store: Store, variant_id: str, scratch: Path, keep: Mapping[str, bool]) -> int:
    """Upload those files of a run that are to be kept and that it has written; return how many bytes these are.

    Parameters
    ----------
    store
        Where to.
    variant_id
        Whose they are.
    scratch
        The folder of the run.
    keep
        Names of files -> True if compressed.

    Raises
    ------
    InfrastructureError
        A file cannot be compressed or uploaded.

    Side effects
    ------------
    Writes compressed files beside the others in `scratch`.
    """
    size_bytes = 0
    for name, is_compressed in keep.items():
        path = scratch / name
        if path.is_file():
            path = _compressed(path) if is_compressed else path
            store.upload(path, store.raw_name(variant_id, path.name))
            size_bytes += path.stat().st_size
    return size_bytes


def _compressed(path: Path) -> Path:
    """Write a file beside `path`, the same for the same content."""
    target = path.with_name(path.name + COMPRESSED_SUFFIX)
    try:
        with path.open("rb") as source, target.open("wb") as sink, gzip.GzipFile("", "wb", fileobj=sink, mtime=0) as to:
            shutil.copyfileobj(source, to, _CHUNK_BYTES)
    except OSError as error:
        raise InfrastructureError(f"{path.name} of a run cannot be compressed: {error}") from error
    return target


@dataclass(frozen=True)
class Fetched:
    """What was brought to a folder."""

    folder: Path
    """Where a folder for each variant and the table of them are."""
    brought: tuple[Path, ...]
    """Files that were brought now."""
    there: tuple[Path, ...]
    """Files that were there already."""
    size_bytes: int
    """What was brought, as it lies in the store."""
    without: tuple[str, ...]
    """Variants that have run and have no such file in the store."""
    pending: tuple[str, ...]
    """Variants that have not run yet."""


@dataclass(frozen=True)
class _Wanted:
    """An object of the store and the file that it becomes."""

    variant_id: str
    stored: StoredObject
    path: Path

    @property
    def is_compressed(self) -> bool:
        return self.stored.name.endswith(COMPRESSED_SUFFIX)

    def is_there(self) -> bool:
        """Return True if the file has been brought before; it was whole then."""
        if not self.path.is_file():
            return False
        found = self.path.stat()
        if self.is_compressed:  # its size is not told by the object's; `_bring` leaves the object's time
            written_s = _seconds(self.stored)
            return written_s is None or int(found.st_mtime) == int(written_s)
        return found.st_size == self.stored.size_bytes


def fetch(
    store: str | Path | Store,
    study: str,
    *,
    to: str | Path,
    variants: Iterable[str] = (),
    files: Iterable[str] = (),
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fetched:
    """Bring raw files of a study to a folder, several at a time; carries on where it was stopped.

    Parameters
    ----------
    store
        URL or path of the store.
    study
        The study's name.
    to
        The folder: made if needed. In it, a folder for each variant, called by the first twelve digits of its
        variant_id, holds files under EnergyPlus's own names, and ``variants.csv`` tells whose folder is which.
    variants
        Only these: each a variant_id or the beginning of one, at least four digits.
    files
        Only what fits one of these patterns, such as ``"*.sql"``; compressed or not.
    storage_options
        Passed to the store's filesystem.
    progress
        Called after each file with the bytes brought so far and those to bring in all.

    Returns
    -------
    Fetched
        What was brought, and who has nothing.

    Raises
    ------
    BemsweepError
        There is no such study or variant, or a pattern fits no raw file.
    StoreError
        The store cannot be read, or the folder cannot be written.

    Side effects
    ------------
    Writes to the folder: each file whole or not at all, those that were compressed without their ``.gz``.
    """
    from bemsweep.results import status  # noqa: PLC0415 - xarray, which workers that keep files do not need

    patterns = tuple(files)
    if wrong := [unknown_file(pattern) for pattern in patterns if not files_fitting(pattern)]:
        raise BemsweepError("; ".join(wrong))
    home = store if isinstance(store, Store) else Store(store, storage_options)
    table = status(home, study)
    folder = Path(to)
    folders = _folders(dict.fromkeys(table["variant_id"]), folder)
    prefixes = tuple(variants)
    asked = _whole_ids(prefixes, folders, study) if prefixes else folders.keys()
    wanted = [
        _Wanted(variant, stored, folders[variant] / name)
        for variant, stored in _stored_files(home, asked, is_few=bool(prefixes))
        if _is_asked(name := _plain_name(stored), patterns)
    ]
    missing = [one for one in wanted if not one.is_there()]
    _write_table(folder, folders, table)
    _bring_all(home, missing, progress)
    bare = asked - {one.variant_id for one in wanted}
    has_run = dict(zip(table["variant_id"], table["status"] != "pending", strict=True))
    there = {one.path for one in wanted} - {one.path for one in missing}
    return Fetched(
        folder=folder,
        brought=tuple(sorted(one.path for one in missing)),
        there=tuple(sorted(there)),
        size_bytes=sum(one.stored.size_bytes for one in missing),
        without=tuple(variant for variant in folders if variant in bare and has_run[variant]),
        pending=tuple(variant for variant in folders if variant in bare and not has_run[variant]),
    )


def _whole_ids(prefixes: Iterable[str], known: Iterable[str], study: str) -> set[str]:
    """Return the variants that begin so, one for each prefix."""
    ids = sorted(known)
    found = set()
    for prefix in prefixes:
        meant = [one for one in ids if one.startswith(prefix.strip().lower())]
        if len(prefix.strip()) < _LEAST_DIGITS or len(meant) != 1:
            told = ", ".join(one[:_DIGITS] for one in meant[:_SHOWN]) or "none does"
            raise BemsweepError(
                f"no single variant of {study!r} begins with {prefix!r}: {told}; give at least {_LEAST_DIGITS} digits"
            )
        found.add(meant[0])
    return found


def _folders(ids: Iterable[str], folder: Path) -> dict[str, Path]:
    """Return a folder of its own for each variant."""
    ids = list(ids)
    digits = _DIGITS if len({one[:_DIGITS] for one in ids}) == len(ids) else None
    return {one: folder / one[:digits] for one in ids}


def _stored_files(store: Store, ids: Iterable[str], *, is_few: bool) -> Iterator[tuple[str, StoredObject]]:
    """Yield the raw files of some variants: by a listing of each, or by one of all raw files for many."""
    wanted = set(ids)
    folders = [store.raw_name(one, "").rstrip("/") for one in sorted(wanted)] if is_few else ["raw"]
    for folder in folders:
        for stored in store.objects(folder):
            variant = PurePosixPath(stored.name).parent.name
            if variant in wanted:
                yield variant, stored


def _plain_name(stored: StoredObject) -> str:
    return PurePosixPath(stored.name).name.removesuffix(COMPRESSED_SUFFIX)


def _is_asked(name: str, patterns: Iterable[str]) -> bool:
    # Names come from the store and become parts of paths.
    return name in RAW_FILES and (not patterns or any(matches(pattern, name) for pattern in patterns))


def _bring_all(store: Store, wanted: Sequence[_Wanted], progress: Callable[[int, int], None] | None) -> None:
    total, done = sum(one.stored.size_bytes for one in wanted), 0
    stop = threading.Event()
    patient = store.patient(patience_s(), stop)
    with ThreadPoolExecutor(_THREADS) as pool:
        bringing = {pool.submit(_bring, patient, one): one for one in wanted}
        try:
            for future in as_completed(bringing):
                future.result()
                done += bringing[future].stored.size_bytes
                if progress is not None:
                    progress(done, total)
        except BaseException:  # Ctrl-C too: what is not under way is not begun
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _bring(store: Store, wanted: _Wanted) -> None:
    """Download one file, whole or not at all."""
    name, path = wanted.stored.name, wanted.path
    is_compressed = wanted.is_compressed
    arrived = path.with_name(f".{path.name}{COMPRESSED_SUFFIX}") if is_compressed else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not store.download(name, arrived):
            raise StoreError(f"{store.url_of(name)} has just been deleted: fetch again")
        if is_compressed:
            _decompress(arrived, path, _seconds(wanted.stored))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise StoreError(f"{store.url_of(name)} is altered or cut short: {error}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}; fetch again to carry on") from error


def _decompress(arrived: Path, path: Path, modified_s: float | None) -> None:
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    try:
        with gzip.open(arrived) as source, temporary.open("wb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK_BYTES)
        if modified_s is not None:
            os.utime(temporary, (modified_s, modified_s))
        temporary.replace(path)
    finally:
        arrived.unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)


def _seconds(stored: StoredObject) -> float | None:
    return None if stored.modified is None else stored.modified.timestamp()


def _write_table(folder: Path, folders: Mapping[str, Path], table: pd.DataFrame) -> None:
    """Write whose folder is which: the whole variant table, whatever is brought now."""
    told = table.copy()
    told.insert(0, "folder", [folders[variant].name for variant in table["variant_id"]], allow_duplicates=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told.to_csv(folder / TABLE_NAME)
    except OSError as error:
        raise StoreError(f"{folder / TABLE_NAME} cannot be written: {error}") from error
