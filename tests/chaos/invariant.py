"""What must hold after every storm: nothing lost, nothing twice, the same values, nothing left, no needless run.

Compares a store with what an undisturbed run of the same study left in another. It mends nothing, but folders of the
killed are deleted as by the next process that works there, before those that are left are told.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

import bemsweep as bs
from bemsweep.errors import RecordError
from bemsweep.record_file import from_bytes
from bemsweep.scratch import delete_abandoned
from bemsweep.store import Store
from bemsweep.studystate import StudyState
from chaos.processes import Home, wait_until
from small_studies import assert_same_cubes

__all__ = [
    "Closed",
    "Found",
    "check",
    "check_abandoned",
    "check_fallen",
    "check_left",
    "check_needless",
    "count_closed",
    "groups_of",
]

NAME = "small"
"""Of the study of all storms."""

_RUN_OF_ITS_OWN = ("engine_s", "cpu_s", "total_s", "memory_bytes", "moved_bytes", "worker")
"""What no two runs of one variant have in common."""
_ENDING_S = 30.0
"""How long processes may take to end after the run."""
_MOST_UNHEARD = 2
"""Runs of a worker with one thread of whose end its scheduler has not heard: the one under way, and one that has ended
just now. With Dask's own settings it is given no more than these two at once."""


@dataclass
class Found:
    """What is there after a storm."""

    lost: int = 0
    """Variants without a record, or without an outcome in the cube."""
    duplicated: int = 0
    """Rows, in the cube or in the variant table, beyond one for each variant."""
    broken: list[str] = field(default_factory=list)
    """All that does not hold, in words."""


def groups_of(store: Store) -> dict[str, xr.Dataset]:
    """Return all groups of the cube, loaded, without what no two runs of a variant have in common."""
    groups = {
        node.path: node.to_dataset(inherit=False).load().drop_vars(_RUN_OF_ITS_OWN, errors="ignore")
        for node in bs.open_results(store, NAME).subtree
    }
    attributes = groups["/"].attrs
    own: dict[str, Any] = attributes["bemsweep"]
    attributes["bemsweep"] = json.loads(own) if isinstance(own, str) else dict(own)
    del attributes["bemsweep"]["table"], attributes["bemsweep_sha256"]  # hashes of the table, timings included
    return groups


def check(store: Store, quiet: Mapping[str, xr.Dataset], *, is_poisoned: bool = False) -> Found:
    """Compare the store after a storm with what an undisturbed run made.

    Parameters
    ----------
    store
        After the storm.
    quiet
        `groups_of` the store of the undisturbed run.
    is_poisoned
        True if the last variant kills what runs it, which it does not in the quiet run: it must have failed by that.
    """
    found = Found()
    wanted = [str(variant) for variant in quiet["/"].variant_id.values]
    try:
        groups = groups_of(store)
        root = groups["/"]
        if is_poisoned:
            wanted[-1] = str(root.variant_id.values[-1])
            _check_poison(found, str(root.status.values[-1]), str(root.message.values[-1]))
        _check_outcomes(found, root, wanted)
        _check_records(found, store, set(wanted))
        table = StudyState.load(store, NAME).variant_ids
        if list(table) != wanted:
            found.broken.append(f"the variant table has {len(table)} rows that are not the design's {len(wanted)}")
            found.duplicated += len(table) - len(set(table))
        assert groups.keys() == quiet.keys(), f"groups {sorted(groups)} instead of {sorted(quiet)}"
        for name, expected in quiet.items():
            assert_same_cubes(*(_unpoisoned(one) if is_poisoned else one for one in (groups[name], expected)))
    except (AssertionError, bs.BemsweepError) as error:
        found.broken.append(f"{type(error).__name__}: {str(error)[:1000]}")
    return found


def _unpoisoned(group: xr.Dataset) -> xr.Dataset:
    """Return a group without its last variant, which is another in the quiet run, and without digests of blocks."""
    own = {name: value for name, value in group.attrs.items() if not name.startswith("bemsweep")}
    return group.isel(variant=slice(-1)).drop_attrs(deep=False).assign_attrs(own)


def _check_poison(found: Found, status: str, message: str) -> None:
    if status != "failed" or "SIGKILL" not in message:
        found.broken.append(f"what kills is {status!r} with the message {message!r} instead of failed by SIGKILL")


def _check_outcomes(found: Found, root: xr.Dataset, wanted: Sequence[str]) -> None:
    rows = Counter(str(variant) for variant in root.variant_id.values)
    pending = {
        str(variant)
        for variant, status in zip(root.variant_id.values, root.status.values, strict=True)
        if status == "pending"
    }
    missing = set(wanted) - rows.keys() | pending & set(wanted)
    found.lost = len(missing)
    found.duplicated = rows.total() - len(rows)
    if missing:
        found.broken.append(f"{len(missing)} variants have no outcome in the cube, such as {min(missing)[:12]}")
    if found.duplicated:
        found.broken.append(f"{found.duplicated} rows of the cube are there twice")
    if strange := rows.keys() - set(wanted):
        found.broken.append(f"{len(strange)} rows of the cube are no variant of the design")


def _check_records(found: Found, store: Store, wanted: set[str]) -> None:
    names = [one.name for one in store.objects("records") if not one.name.endswith(".tmp")]
    stored = {name.rpartition("/")[2].partition(".")[0]: name for name in names}
    if missing := wanted - stored.keys():
        found.lost = max(found.lost, len(missing))
        found.broken.append(f"{len(missing)} variants have no record")
    if strange := stored.keys() - wanted:
        found.broken.append(f"{len(strange)} records are of no variant of the design")
    for variant, name in stored.items():
        try:
            if (named := from_bytes(store.get(name) or b"").variant_id) != variant:
                found.broken.append(f"the record {name} is of {named[:12]}")
        except RecordError as error:
            found.broken.append(f"the record {name} cannot be read: {error}")


@dataclass(frozen=True)
class Closed:
    """What a cluster has closed that grows and shrinks."""

    workers: int
    """How many."""
    runs_in_vain: int
    """Of their runs, how many must be done once more."""


def count_closed(*, starts: Sequence[str], told: Sequence[str]) -> Closed:
    """Return what the closing of workers explains, where each task is one variant.

    Parameters
    ----------
    starts
        A line for each run, whose last word is its process.
    told
        Lines of a word and a process: ``heard`` that a run of it has ended, ``again`` if that run is to be done once
        more, ``closed``.
    """
    started, words = Counter(line.split()[-1] for line in starts), Counter(told)
    closed = [process for word, process in map(str.split, words) if word == "closed"]
    unheard = [min(max(0, started[process] - words[f"heard {process}"]), _MOST_UNHEARD) for process in closed]
    again = sum(words[f"again {process}"] for process in closed)
    return Closed(len(closed), sum(unheard) + again)


def check_needless(*, extra_runs: int, most: int, what: str, is_exact: bool = False) -> list[str]:
    """Return what was done more often than faults explain, or, if what they explain is exact, less often."""
    is_wrong = extra_runs != most if is_exact else extra_runs > most
    return [f"{extra_runs} extra {what}, of which faults explain {most}"] if is_wrong else []


def check_fallen(hits: Mapping[str, int], least: Mapping[str, int]) -> list[str]:
    """Return which faults have fallen less often than a storm needs that shows anything."""
    few = {kind: number for kind, number in least.items() if hits.get(kind, 0) < number}
    return [f"it was no storm: {kind} fell {hits.get(kind, 0)} times, not {number}" for kind, number in few.items()]


def check_abandoned(home: Home) -> list[str]:
    """Return the scratch folders that are there once all processes have ended, before another one tidies up."""
    wait_until(lambda: not home.processes(), timeout_s=_ENDING_S)
    return [f"a folder is left to the next process: {name}" for name in _names(home)]


def check_left(home: Home, *, is_cluster_alive: bool) -> list[str]:
    """Return what a finished run has left that it should not.

    Parameters
    ----------
    home
        The storm's.
    is_cluster_alive
        True if the user's cluster is still there: then only engines must be gone.
    """
    if is_cluster_alive:
        wait_until(lambda: not home.hosts() + home.runs(), timeout_s=_ENDING_S)
        return [f"an engine is left: {process}" for process in home.hosts() + home.runs()]
    wait_until(lambda: not home.processes(), timeout_s=_ENDING_S)
    left = [f"a process is left: {process.pid} {process.cmdline()}" for process in home.processes()]
    wait_until(lambda: not _folders(home), timeout_s=_ENDING_S)
    return left + [f"a folder is left: {name}" for name in _folders(home)]


def _folders(home: Home) -> list[str]:
    """Return the scratch folders that the next process would leave that works there."""
    delete_abandoned(home.scratch)
    return _names(home)


def _names(home: Home) -> list[str]:
    return [path.name for path in home.scratch.iterdir() if path.name.startswith("bemsweep")]
