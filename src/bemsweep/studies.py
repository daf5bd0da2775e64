"""The studies of a store: what there is and how large, deleting one, renaming one.

Decides the order in which a study's objects go and come, so that whatever is killed in between leaves a study
that can be deleted, renamed or run again, and never one that reads wrong: the cube's root goes first and comes
last but one, the definition goes and comes last. Records belong to whoever has them in the variant table and are
never copied or renamed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from bemsweep.cube_metadata import renamed
from bemsweep.errors import BemsweepError, ConflictError, StoreError, nearest
from bemsweep.faults import Fault
from bemsweep.lease import lease_for
from bemsweep.object_names import kind_of, study_of, variant_of
from bemsweep.results import open_results
from bemsweep.store import Store, StoredObject
from bemsweep.studystate import StudyState, definition_bytes, read_definition
from bemsweep.sync import copy_object, in_threads

__all__ = ["Deletion", "Size", "StudySummary", "delete_study", "find_deletion", "list_studies", "rename_study"]

_CUBE = "results.zarr/"


@dataclass(frozen=True)
class Size:
    """How much there is of something."""

    objects: int = 0
    """Number of objects."""
    size_bytes: int = 0
    """All together."""

    @classmethod
    def of(cls, objects: Iterable[StoredObject]) -> Size:
        """Return the size of these objects together."""
        sizes = [one.size_bytes for one in objects]
        return cls(len(sizes), sum(sizes))


@dataclass(frozen=True)
class StudySummary:
    """One study of a store."""

    name: str
    """What it is called."""
    variants: int = 0
    """Rows of its variant table."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """Status -> rows, as of the last commit; empty if there is no cube."""
    changed: dt.datetime | None = None
    """When an object of its own was written last, UTC; None if the filesystem does not tell."""
    records: Size = Size()
    """Records of its variants."""
    shared: Size = Size()
    """Those of them that other studies have, too."""
    raw: Size = Size()
    """Raw files kept of its variants."""
    cube: Size = Size()
    """Its packed results."""
    problem: str = ""
    """Why it cannot be read; ``""`` if it can."""


@dataclass(frozen=True)
class Deletion:
    """What goes with a study."""

    study: str
    """Its name."""
    own: tuple[str, ...]
    """Objects of the study itself."""
    records: tuple[str, ...] = ()
    """Raw files and records that no other study has, if they are to go too."""
    size_bytes: int = 0
    """All together."""


def list_studies(store: Store) -> list[StudySummary]:
    """Return the studies of a store by name, with their sizes; one listing, and a few reads for each study.

    Parameters
    ----------
    store
        Where to look.

    Returns
    -------
    list of StudySummary
        One that cannot be read tells why in `problem`.

    Raises
    ------
    StoreError
        The store cannot be listed.
    """
    own: dict[str, list[StoredObject]] = {}
    kept: dict[str, dict[str, list[StoredObject]]] = {"record": {}, "raw": {}}
    for one in store.objects():
        if kind_of(one.name) == "lease":
            continue
        if (study := study_of(one.name)) is not None:
            own.setdefault(study, []).append(one)
        elif (variant := variant_of(one.name)) is not None:
            kept[kind_of(one.name)].setdefault(variant, []).append(one)
    states: dict[str, StudyState | StoreError] = {}
    for name in sorted(own):
        try:
            states[name] = StudyState.load(store, name)
        except StoreError as error:
            states[name] = error
    users = Counter(
        variant for state in states.values() if isinstance(state, StudyState) for variant in set(state.variant_ids)
    )
    summaries = []
    for name, state in states.items():
        told = partial(
            StudySummary,
            name,
            changed=max((one.modified for one in own[name] if one.modified is not None), default=None),
            cube=Size.of(one for one in own[name] if one.name.startswith(_cube(name))),
        )
        if not isinstance(state, StudyState):
            summaries.append(told(problem=str(state)))
            continue
        if state.is_new:
            summaries.append(told(problem="it has no study.json: its first run, or its copying, was cut short"))
            continue
        variants = set(state.variant_ids)
        sizes = {kind: Size.of(one for variant in variants for one in kept[kind].get(variant, ())) for kind in kept}
        shared = (one for variant in variants if users[variant] > 1 for one in kept["record"].get(variant, ()))
        summaries.append(
            told(
                variants=len(state.variant_ids),
                statuses=_statuses(store, name) if _root(name) in {one.name for one in own[name]} else {},
                records=sizes["record"],
                shared=Size.of(shared),
                raw=sizes["raw"],
            )
        )
    return summaries


def find_deletion(store: Store, name: str, *, records: bool = False) -> Deletion:
    """Return what would go with a study.

    Parameters
    ----------
    store
        Where it is.
    name
        What it is called.
    records
        True if the records and raw files that no other study has are to go, too; they cost engine time.

    Raises
    ------
    BemsweepError
        There is no such study.
    StoreError
        The store cannot be read; if records are to go, a study of it.
    """
    folder = Store.study_name(name)
    objects = list(store.objects()) if records else list(store.objects(folder))
    own = [one for one in objects if study_of(one.name) == name and kind_of(one.name) != "lease"]
    if not own:
        raise _unknown(store, name)
    gone: list[StoredObject] = []
    if records:
        names = {study for one in objects if (study := study_of(one.name)) is not None}
        names = (names | {*store.studies()}) - {name}  # also folders that may not be read
        others = {variant for other in names for variant in StudyState.load(store, other).variant_ids}
        mine = set(StudyState.load(store, name).variant_ids) - others
        gone = [one for one in objects if variant_of(one.name) in mine]
    return Deletion(
        study=name,
        own=tuple(sorted(one.name for one in own)),
        records=tuple(sorted(one.name for one in gone)),
        size_bytes=Size.of([*own, *gone]).size_bytes,
    )


def delete_study(store: Store, deletion: Deletion) -> None:
    """Delete a study; the same call after a kill deletes what is left.

    Parameters
    ----------
    store
        Where it is.
    deletion
        What `find_deletion` returned.

    Raises
    ------
    StudyBusyError
        Somebody is at work on it.
    StoreError
        Something cannot be deleted.

    Side effects
    ------------
    The cube goes first, so that nobody reads half of it; then records, if they are to go; then the variant table and
    last the definition, which keeps `plan` from taking the rest of the table for that of a new study.
    """
    with lease_for(store, deletion.study) as lease:
        _delete(store, deletion)
        lease.remove()
    store.delete_folder(Store.study_name(deletion.study))  # of a local store, which has folders


def _delete(store: Store, deletion: Deletion) -> None:
    root, definition = _root(deletion.study), Store.study_name(deletion.study, "study.json")
    cube = [path for path in deletion.own if path.startswith(_cube(deletion.study))]
    store.delete_all(path for path in deletion.own if path == root)
    store.delete_all(cube)
    for kind in ("raw", "record"):
        store.delete_all(path for path in deletion.records if kind_of(path) == kind)
    store.delete_all(path for path in deletion.own if path not in {definition, *cube})
    store.delete(definition)


def rename_study(store: Store, old: str, new: str) -> None:
    """Give a study another name; its variants keep their records, and a file with the new name runs nothing again.

    Parameters
    ----------
    store
        Where it is.
    old, new
        What it is called, and what it is to be called.

    Raises
    ------
    BemsweepError
        There is no such study, or nothing can be called `new`.
    ConflictError
        There is a study `new`.
    StudyBusyError
        Somebody is at work on the study, or on one called `new`.
    StoreError
        The store cannot be read or written, or the study not be read.

    Side effects
    ------------
    Copies the study, its cube's root and its definition last, then deletes it under the old name. The same call
    after a kill carries on.
    """
    definition = read_definition(store, old)
    if definition is None or old == new:
        raise _unknown(store, old) if definition is None else BemsweepError(f"the study is called {old!r} already")
    told = definition_bytes({**definition, "name": new})
    is_copied = store.get(Store.study_name(new, "study.json"))
    if is_copied not in (None, told):
        raise ConflictError(f"{store.url} has a study {new!r}: take another name, or delete that one")
    with lease_for(store, old) as lease, lease_for(store, new):
        if read_definition(store, old) != definition:
            raise ConflictError(f"the study {old!r} has changed just now: rename it again")
        own, there = (
            {one.name for one in store.objects(Store.study_name(name)) if kind_of(one.name) != "lease"}
            for name in (old, new)
        )
        if is_copied is None:
            StudyState.load(store, old)  # one that has lost a part is not worth copying
            _copy_as(store, old, new, own, there)
            store.put(Store.study_name(new, "study.json"), told)
        _delete(store, Deletion(old, tuple(sorted(own))))
        lease.remove()
    store.delete_folder(Store.study_name(old))  # of a local store, which has folders


def _copy_as(store: Store, old: str, new: str, own: set[str], there: set[str]) -> None:
    """Copy everything of a study but its definition, the cube's root last."""
    names = {
        name: Store.study_name(new, name.removeprefix(Store.study_name(old, "")))
        for name in own
        if kind_of(name) == "study" and name != Store.study_name(old, "study.json")
    }
    store.delete_all(there & {_root(new)})
    store.delete_all(there - set(names.values()))  # of a copy that was cut short

    def copy(name: str) -> None:
        if not name.endswith("/zarr.json"):
            copy_object(store, store, name, to=names[name], is_there=names[name] in there)
        elif (metadata := store.get(name)) is not None:
            store.put(names[name], renamed(metadata, new))

    for _ in in_threads(copy, sorted(names.keys() - {_root(old)})):
        pass
    if _root(old) in names:
        copy(_root(old))


def _statuses(store: Store, name: str) -> dict[str, int]:
    """Return how many rows have which status, as of the last commit; nothing if the cube is damaged."""
    try:
        return dict(Counter(open_results(store, name).to_dataset(inherit=False)["status"].values.tolist()))
    except (KeyError, ValueError):  # a view, which the next run packs again
        return {}
    except StoreError as error:
        if error.fault != Fault.ALTERED:
            raise
        return {}


def _unknown(store: Store, name: str) -> BemsweepError:
    known = store.studies()
    return BemsweepError(
        f"no study {name!r} in {store.url}{nearest(name, known)}; studies there: {', '.join(known) or 'none'}"
    )


def _cube(study: str) -> str:
    return Store.study_name(study, _CUBE)


def _root(study: str) -> str:
    return Store.study_name(study, _CUBE) + "zarr.json"
