"""What a store holds that no study refers to, and deleting it.

Decides by the names of objects and by what the studies tell of themselves: their variant tables name the
records, their definitions the inputs, probes and costs. Never touches what is younger than a day, which a run may just
be writing, and never what bemsweep did not put there. One study that cannot be read stops everything, because
all of its records would be taken for unused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bemsweep.object_names import kind_of, study_of, variant_of
from bemsweep.store import Store, StoredObject
from bemsweep.studystate import StudyState

__all__ = ["YOUNGEST_H", "Unused", "UnusedKind", "delete_unused", "find_unused"]

YOUNGEST_H = 24.0
"""Hours for which nothing is ever taken for unused."""

_NAMES = {
    "raw": "raw files",
    "record": "records",
    "probe": "probes",
    "cost": "costs",
    "input": "inputs",
    "study": "parts of no study",
    "lease": "leases of no study",
    "leftover": "leftovers",
}
"""Kinds in the order in which they are deleted: whatever points to another thing goes first."""


@dataclass(frozen=True)
class UnusedKind:
    """What is unused of one kind."""

    kind: str
    """``raw files``, ``records``, ``probes``, ``costs``, ``inputs``, ``parts of no study``, ``leases of no study`` or
    ``leftovers``."""
    names: tuple[str, ...]
    """Of the objects."""
    size_bytes: int
    """All together."""


@dataclass(frozen=True)
class Unused:
    """What no study refers to."""

    kinds: tuple[UnusedKind, ...]
    """In the order in which they can be deleted; kinds of which there is nothing are left out."""
    older_than_h: float
    """Hours since an object was written, below which it was left alone."""
    young: int
    """Objects that no study refers to and that are younger than that."""
    notes: tuple[str, ...]
    """Why more was kept than need be."""

    @property
    def count(self) -> int:
        """Number of objects."""
        return sum(len(kind.names) for kind in self.kinds)

    @property
    def size_bytes(self) -> int:
        """Of all objects."""
        return sum(kind.size_bytes for kind in self.kinds)


def find_unused(store: Store, *, older_than_h: float = YOUNGEST_H, now: dt.datetime | None = None) -> Unused:
    """Find what no study of a store refers to.

    Parameters
    ----------
    store
        Where to look; nothing is changed.
    older_than_h
        Hours that an object must be old; at least a day.
    now
        What the age is counted from; None for the clock.

    Returns
    -------
    Unused
        For `delete_unused`.

    Raises
    ------
    ValueError
        Less than a day.
    StoreError
        The store cannot be listed, or a study in it not be read.
    """
    if not older_than_h >= YOUNGEST_H:
        raise ValueError(f"what is younger than {YOUNGEST_H:g} h may be in use: {older_than_h:g} is too little")
    # Listed first: a study that is saved after that is still seen.
    objects = list(store.objects())
    # Also by their folders: on a disk, what is in one that may not be read is passed over above.
    names = sorted({study for one in objects if (study := study_of(one.name)) is not None} | {*store.studies()})
    states = [state for state in (StudyState.load(store, name) for name in names) if not state.is_new]
    suspects = list(_without_owner(objects, states))
    limit = (now or dt.datetime.now(dt.UTC)) - dt.timedelta(hours=older_than_h)
    # Parts of a study that is just being saved or copied: one of them that is young keeps all of them.
    young = {one.name for one in suspects if one.modified is None or one.modified > limit}
    busy = {study_of(name) for name in young} - {None}
    old = [one for one in suspects if one.name not in young and study_of(one.name) not in busy]
    kinds = []
    for kind, told in _NAMES.items():
        here = [one for one in old if kind_of(one.name) == kind]
        if here:
            kinds.append(UnusedKind(told, tuple(one.name for one in here), sum(one.size_bytes for one in here)))
    silent = [state.name for state in states if state.uses is None]
    notes = []
    if silent:
        told = ", ".join(silent)
        why = f"because the definitions of these studies name none: {told}"
        notes.append(f"all inputs, probes and costs are kept, {why}")
    return Unused(tuple(kinds), older_than_h, len(suspects) - len(old), tuple(notes))


def delete_unused(store: Store, unused: Unused) -> None:
    """Delete what `find_unused` found, records after their raw files and inputs last.

    Side effects
    ------------
    Deletes these objects; killed on the way, what is left is found again.

    Raises
    ------
    StoreError
        Something cannot be deleted.
    """
    for kind in unused.kinds:
        store.delete_all(kind.names)


def _without_owner(objects: Iterable[StoredObject], states: Iterable[StudyState]) -> Iterator[StoredObject]:
    """Yield what none of the studies refers to, young or old."""
    states = list(states)
    studies = {state.name for state in states}
    variants = {variant for state in states for variant in state.variant_ids}
    uses: frozenset[str] | None = frozenset()
    for state in states:
        uses = None if uses is None or state.uses is None else uses | state.uses
    for one in objects:
        match kind_of(one.name):
            case "record" | "raw":
                is_unused = variant_of(one.name) not in variants
            case "input" | "probe" | "cost":
                is_unused = uses is not None and one.name not in uses
            case "study" | "lease":
                is_unused = study_of(one.name) not in studies
            case "leftover":
                is_unused = True
            case _:
                is_unused = False
        if is_unused:
            yield one
