"""Copying a store, or one study with all that belongs to it, to another store.

Decides what is copied, in which order, and what is there already. Inputs, records and raw files never change
under their name: one of that name and size is the same. Everything else is the same only if its content's
sha256 is. Whatever is written is read back and compared.

A study's definition and the root of its cube are read first and written last, one after the other, so that
whoever reads the target meanwhile sees a whole study or the one before. Never copies over a study that is
not an earlier state of the same one, and never deletes anything but what an earlier state has left over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TypeVar

from bemsweep.at_work import at_work
from bemsweep.cube_metadata import has_same_chunks
from bemsweep.errors import BemsweepError, ConflictError, StoreError, StudyBusyError, nearest
from bemsweep.lease import lease_for
from bemsweep.local_files import sha256_of
from bemsweep.object_names import kind_of, study_of, variant_of
from bemsweep.scratch import open_scratch
from bemsweep.store import Store, patience_s
from bemsweep.studystate import StudyState

__all__ = ["Copied", "copy_object", "in_threads", "sync"]

_T = TypeVar("_T")
_R = TypeVar("_R")

_THREADS = 8
_UNCHANGING = ("input", "record", "raw")
_ORDER = ("other", "input", "probe", "cost", "raw", "record")
"""Kinds that several studies share, each after what it points to; studies come last."""


@dataclass(frozen=True)
class Copied:
    """What a sync has done so far."""

    total: int = 0
    """Objects to look at."""
    copied: int = 0
    """Objects written."""
    copied_bytes: int = 0
    """Their size."""
    skipped: int = 0
    """Objects that were there and the same."""
    skipped_bytes: int = 0
    """Their size."""
    deleted: int = 0
    """Objects of earlier states of the studies that are no more."""
    changed: tuple[str, ...] = ()
    """Studies that were written in the source meanwhile: the target has them as they were before."""


@dataclass(frozen=True)
class _Head:
    """What makes a study and its cube visible."""

    definition: bytes
    """``study.json``."""
    cube: bytes | None
    """The cube's root ``zarr.json``; None if there is no cube."""

    @classmethod
    def read(cls, store: Store, study: str) -> _Head | None:
        cube = store.get(_root_name(study))  # first: a definition may have rows that the cube lacks, never fewer
        definition = store.get(_definition_name(study))
        return None if definition is None else cls(definition, cube)


def sync(
    source: Store, target: Store, *, study: str | None = None, tell: Callable[[Copied], None] | None = None
) -> Copied:
    """Copy a store, or one study with all that belongs to it; what is there and the same is skipped.

    Parameters
    ----------
    source, target
        From where to where.
    study
        A study's name, for it alone with its inputs, records, raw files, probes and costs; None for the whole store.
    tell
        Called after every object with what has been done so far.

    Returns
    -------
    Copied
        Counts and bytes.

    Raises
    ------
    BemsweepError
        There is no such study, nothing at all, or one store is the other or lies in it.
    ConflictError
        The target has a study of that name that is no earlier state of it; nothing was written.
    StudyBusyError
        Somebody is at work on the study in the target.
    StoreError
        A store cannot be read or written, an input in the source is altered, or something arrived altered. What
        was copied stays: the same call carries on.

    Side effects
    ------------
    Once both stores have answered, what passes is tried again for ``$BEMSWEEP_PATIENCE`` seconds.
    Writes to the target; deletes there what a copied study no longer has.
    """
    _check_apart(source, target)
    heads = _heads(source, study)
    for name, head in heads.items():
        _check_grows(source, target, name, head.definition)
        _check_free(target, name)
    is_wanted = _belonging(source, study) if study is not None else lambda _: True
    found = {
        one.name: one.size_bytes
        for one in source.objects()
        if (study_of(one.name) in heads if kind_of(one.name) == "study" else is_wanted(one.name))
        and kind_of(one.name) not in ("leftover", "lease")
    }
    there = {one.name: one.size_bytes for one in target.objects()}
    if not found:
        raise BemsweepError(f"there is nothing to copy in {source.url}: check its name")
    # Both have answered: from now on a fault that passes is waited for.
    source, target = (store.patient(patience_s()) for store in (source, target))
    work = _Sync(source, target, found, there, tell or (lambda _: None))
    for kind in _ORDER:
        work.copy(name for name in found if kind_of(name) == kind)
    for name, head in heads.items():
        with lease_for(target, name):
            _check_grows(source, target, name, head.definition)
            work.copy_study(name, head)
    changed = tuple(name for name, head in heads.items() if _Head.read(source, name) != head)
    return replace(work.done, changed=changed)


class _Sync:
    """One sync on its way."""

    def __init__(
        self,
        source: Store,
        target: Store,
        found: Mapping[str, int],
        there: Mapping[str, int],
        tell: Callable[[Copied], None],
    ) -> None:
        self.source, self.target, self.found, self.there, self.tell = source, target, found, there, tell
        self.done = Copied(total=len(found))

    def copy(self, names: Iterable[str]) -> None:
        for is_new, size in in_threads(self._copy_one, names):
            self._count(size, is_new=is_new)

    def copy_study(self, study: str, head: _Head) -> None:
        """Copy what one study has for itself, and last what makes it visible."""
        root, definition = _root_name(study), _definition_name(study)
        own = {name for name in self.found if study_of(name) == study}
        left = {name for name in self.there if study_of(name) == study and kind_of(name) == "study"} - own
        has_stale_chunks = any(name.startswith(root.removesuffix("zarr.json")) for name in left)
        if has_stale_chunks or not has_same_chunks(self.target.get(root), head.cube):
            self.target.delete(root)  # no cube is better than one whose chunks are another's
        self.copy(sorted(own - {root, definition}))
        self.target.delete_all(sorted(left))
        self.done = replace(self.done, deleted=self.done.deleted + len(left))
        for name, data in ((root, head.cube), (definition, head.definition)):
            if data is not None:
                self._count(len(data), is_new=self._put(name, data))

    def _copy_one(self, name: str) -> tuple[bool, int]:
        is_unchanging = kind_of(name) in _UNCHANGING
        if is_unchanging and self.there.get(name) == self.found[name]:
            return False, self.found[name]
        return copy_object(self.source, self.target, name, is_there=not is_unchanging and name in self.there)

    def _put(self, name: str, data: bytes) -> bool:
        if self.target.get(name) == data:
            return False
        self.target.put(name, data)
        if self.target.get(name) != data:
            raise _altered(self.target, name)
        return True

    def _count(self, size: int, *, is_new: bool) -> None:
        done = self.done
        if is_new:
            self.done = replace(done, copied=done.copied + 1, copied_bytes=done.copied_bytes + size)
        else:
            self.done = replace(done, skipped=done.skipped + 1, skipped_bytes=done.skipped_bytes + size)
        self.tell(self.done)


def copy_object(
    source: Store, target: Store, name: str, *, to: str | None = None, is_there: bool = False
) -> tuple[bool, int]:
    """Copy one object through a temporary file, read it back and compare.

    Parameters
    ----------
    source, target
        From where to where; one may be the other.
    name
        Of the object in the source.
    to
        Its name in the target; None for the same.
    is_there
        True if the target has one of that name, which may be the same already.

    Returns
    -------
    tuple
        True if it was written, and its size in bytes: ``(False, 0)`` if the source has it no more.

    Raises
    ------
    StoreError
        A store cannot be read or written, or what is read is not what it should be.
    """
    to = to or name
    with open_scratch() as folder:
        path, copy = folder / "read", folder / "read-back"
        if not source.download(name, path):
            return False, 0
        size, digest = path.stat().st_size, sha256_of(path)
        if kind_of(name) == "input" and PurePosixPath(name).name.partition(".")[0] != digest:
            raise StoreError(f"{source.url_of(name)} is altered: delete it and run its study again from its files")
        if is_there and target.download(to, copy) and sha256_of(copy) == digest:
            return False, size
        target.upload(path, to)
        if not target.download(to, copy) or sha256_of(copy) != digest:
            raise _altered(target, to)
    return True, size


def in_threads(work: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Yield what `work` returns for each of `items`, in the order in which they end; a few are under way at a time."""
    with ThreadPoolExecutor(_THREADS) as pool:
        pending: set[Future[_R]] = set()
        try:
            for item in items:
                pending.add(pool.submit(work, item))
                if len(pending) >= 2 * _THREADS:
                    ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in ended)
            while pending:
                ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        finally:
            for future in pending:
                future.cancel()


def _heads(source: Store, study: str | None) -> dict[str, _Head]:
    known = source.studies()
    heads = {name: _Head.read(source, name) for name in (known if study is None else [study])}
    if study is not None and heads[study] is None:
        told = f"studies there: {', '.join(known) or 'none'}"
        raise BemsweepError(f"no study {study!r} in {source.url}{nearest(study, known)}; {told}")
    return {name: head for name, head in heads.items() if head is not None}


def _belonging(source: Store, study: str) -> Callable[[str], bool]:
    """Return what tells whether an object that studies share is one of this study's."""
    state = StudyState.load(source, study)
    variants = set(state.variant_ids)

    def is_wanted(name: str) -> bool:
        if kind_of(name) in ("input", "probe", "cost"):
            return state.uses is None or name in state.uses
        return variant_of(name) in variants

    return is_wanted


def _check_grows(source: Store, target: Store, study: str, definition: bytes) -> None:
    """Refuse to copy over a study that is not an earlier state of the one to copy.

    Raises
    ------
    ConflictError
        It is another one, or has grown further.
    """
    before = target.get(_definition_name(study))
    if before is None or before == definition:
        return
    try:
        old, new = json.loads(before), json.loads(definition)
        histories = [[(one["definition"], one["engine"]) for one in told["amendments"]] for told in (old, new)]
        is_earlier = histories[1][: len(histories[0])] == histories[0] and all(
            new["baselines"].get(label) == digest for label, digest in old["baselines"].items()
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{target.url_of(_definition_name(study))} cannot be read: {error!r}") from error
    parts = target.names(Store.study_name(study, "variants"))
    names = [Store.study_name(study, "variants", part) for part in parts]
    if not is_earlier or any(source.get(name) != target.get(name) for name in names):
        raise ConflictError(
            f"{target.url} has a study {study!r} that is no earlier state of the one in {source.url}: it is another "
            f"one, or has grown further. Rename one of them (bemsweep studies rename {study} NEW), or delete that one"
        )


def _check_free(target: Store, study: str) -> None:
    """Refuse to copy over a study on which somebody is at work, before anything is copied.

    Raises
    ------
    StudyBusyError
        Somebody is.
    """
    if busy := [one for one in at_work(target, study) if one.number]:
        raise StudyBusyError(
            f"somebody is at work on the study {study!r} in {target.url}: {busy[0]}. Sync it afterwards"
        )


def _check_apart(source: Store, target: Store) -> None:
    """Refuse to copy a store into itself.

    Raises
    ------
    BemsweepError
        One is the other, or lies in it.
    """
    (kind, one), (other_kind, other) = (_place(store) for store in (source, target))
    if kind == other_kind and (one.startswith(other) or other.startswith(one)):
        raise BemsweepError(f"{source.url} and {target.url} are one store, or one lies in the other: copy it elsewhere")


def _place(store: Store) -> tuple[tuple[str, str], str]:
    """Return which filesystem a store is on and where there, ending with ``/``."""
    root = os.path.realpath(store.path()) if store.is_local else store.path()
    endpoint = getattr(store.fs, "endpoint_url", None) or os.environ.get("AWS_ENDPOINT_URL") or ""
    return (type(store.fs).__name__, endpoint), f"{root.rstrip('/')}/"


def _altered(store: Store, name: str) -> StoreError:
    return StoreError(f"{store.url_of(name)} does not hold what was written to it: check the disk, then sync again")


def _definition_name(study: str) -> str:
    return Store.study_name(study, "study.json")


def _root_name(study: str) -> str:
    return Store.study_name(study, "results.zarr", "zarr.json")
