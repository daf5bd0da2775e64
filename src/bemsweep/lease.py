"""The lease of a study: the right to write its variant table, blocks and root, which one run has at a time.

Decides who has it, when it is free, and whether it is still ours. Leases are numbered objects below
``studies/<name>/lease``; the highest number is in force, and taking the lease is creating the next one, which of
several only one can. So a number is never given twice, and whoever finds a higher one than its own has lost.

Nothing depends on clocks that agree. A holder writes only within a third of the lease's time since it began its last
renewal; another takes over only what it has itself seen unchanged for half of that time. It never touches what the
lease is for: records and inputs need none.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from bemsweep.errors import LeaseLostError, StoreError, StudyBusyError
from bemsweep.holder import Holder
from bemsweep.store import Store

__all__ = ["Announcement", "AtWork", "Lease", "LeaseWatch", "Terms", "at_work", "lease_for", "take_lease"]

_log = logging.getLogger(__name__)

_FOLDER, _HELPER, _SUFFIX = "lease", "helper-", ".json"
_LONG_S = 3600.0
"""What expired so long ago has, whatever the clocks say: servers refuse requests of clocks that are half an hour off."""


@dataclass(frozen=True)
class Terms:
    """How long a lease lasts and how it is kept, seconds."""

    ttl_s: float = 120.0
    """Without a renewal it expires after so long."""
    renew_s: float = 20.0
    """How often it is renewed."""
    poll_s: float = 3.0
    """How often who waits looks, and how often a renewal that failed is tried again."""

    @property
    def fresh_s(self) -> float:
        """So long after a renewal was begun its holder writes without asking."""
        return self.ttl_s / 3


TERMS = Terms()

_GRACE_S = 5.0
"""So long the end of the work waits for a server that is silent."""

_OURS: set[str] = set()
"""Holders of this process that are at work: others of it have ended, though the process lives on."""


@dataclass(frozen=True)
class AtWork:
    """What an object of the lease's folder says: who is at work on a study, and how far."""

    holder: Holder
    """Who."""
    number: int = 0
    """Of the lease; 0 for one who only runs variants."""
    since: str = ""
    """When the work began, UTC, ISO 8601."""
    expires_at: str = ""
    """When it is over if nothing more is heard, by the holder's clock, UTC, ISO 8601."""
    ttl_s: float = TERMS.ttl_s
    """How long it lasts without a renewal, seconds."""
    is_released: bool = False
    """True if the holder has ended its work."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """How far the holder is, as it says."""

    @classmethod
    def from_bytes(cls, data: bytes, number: int) -> AtWork:
        """Return what an object says; one that cannot be read has a holder whom nobody knows."""
        try:
            told = json.loads(data)
            dt.datetime.fromisoformat(told["expires_at"]).astimezone(dt.UTC)
            if not 0 < told["ttl_s"] <= _LONG_S:
                raise ValueError(told["ttl_s"])
            return cls(
                holder=Holder.from_dict(told["holder"]),
                number=number,
                since=str(told["since"]),
                expires_at=str(told["expires_at"]),
                ttl_s=float(told["ttl_s"]),
                is_released=told["is_released"] is True,
                progress=dict(told["progress"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            return cls(Holder("", "somebody", "an unknown machine", 0, "", ""), number, ttl_s=TERMS.ttl_s)

    def to_bytes(self) -> bytes:
        """Return the object's content."""
        told = {
            "holder": self.holder.to_dict(),
            "since": self.since,
            "expires_at": self.expires_at,
            "ttl_s": self.ttl_s,
            "is_released": self.is_released,
            "progress": dict(self.progress),
        }
        return json.dumps(told, ensure_ascii=False).encode()

    @property
    def is_over(self) -> bool:
        """True if the holder has ended, or is known to be dead."""
        has_ended = self.holder.id not in _OURS and self.holder.is_here
        return self.is_released or has_ended or self.holder.is_dead

    def expired_s(self) -> float:
        """Return how long ago it expired by this machine's clock, seconds; negative if it has not."""
        if not self.expires_at:
            return 0.0
        expires_at = dt.datetime.fromisoformat(self.expires_at).astimezone(dt.UTC)
        return (dt.datetime.now(dt.UTC) - expires_at).total_seconds()

    def is_takeable(self, unchanged_s: float) -> bool:
        """Return True if the lease can be taken over.

        Parameters
        ----------
        unchanged_s
            For how long who wants it has seen it unchanged, seconds by a clock that nobody sets.
        """
        expired_s = self.expired_s()
        is_expired = unchanged_s >= self.ttl_s or (expired_s >= 0 and unchanged_s >= self.ttl_s / 2)
        return self.is_over or is_expired or expired_s > _LONG_S

    def __str__(self) -> str:
        told = f"{self.holder}, since {self.since[:16].replace('T', ' ')} UTC" if self.since else str(self.holder)
        if "to_do" in self.progress:
            told += f", {self.progress.get('done', 0):,} of {self.progress['to_do']:,} done"
        return told


def at_work(store: Store, study: str) -> list[AtWork]:
    """Return who is at work on a study: first the holder of its lease, if there is one, then those who only run variants.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    names = store.names(Store.study_name(study, _FOLDER))
    number = max(map(_number, names), default=0)
    wanted = [(_lease_name(study, number), number)] if number else []
    wanted += [(Store.study_name(study, _FOLDER, name), 0) for name in names if name.startswith(_HELPER)]
    found = (_read(store, name, number) for name, number in wanted)
    return [one for one in found if one is not None and not one.is_over and one.expired_s() < 0]


class _Renewed:
    """An object of the lease's folder that a thread of its own keeps from expiring."""

    def __init__(self, store: Store, study: str, state: AtWork, terms: Terms) -> None:
        self._store, self._study, self._state, self._terms = store, study, state, terms
        self._once = Store(store.url, store.storage_options)  # without patience: the next try comes anyway
        self.report: Callable[[], Mapping[str, Any]] = dict
        """Asked with every renewal, in another thread, how far the work is."""
        self._begun = _now()
        """When the last renewal began that worked."""
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"bemsweep-lease-{study}", daemon=True)

    def start(self) -> Self:
        """Begin to renew."""
        self._thread.start()
        return self

    def _end(self) -> None:
        """End the work; a silent server is waited for only for a moment."""
        self._ended.set()
        self._thread.join(_GRACE_S)
        _OURS.discard(self._state.holder.id)

    def _keep(self) -> None:
        wait_s = self._terms.renew_s
        while not self._ended.wait(wait_s):
            try:
                self._renew(self._once)
                wait_s = self._terms.renew_s
            except LeaseLostError:
                return
            except StoreError as error:
                _log.info("%s could not be renewed: %s", self._name, error)
                wait_s = self._terms.poll_s
        try:
            self._give_up()
        except (StoreError, LeaseLostError) as error:
            _log.info("%s stays until it expires: %s", self._name, error)

    @property
    def _name(self) -> str:
        raise NotImplementedError

    def _renew(self, store: Store) -> None:
        raise NotImplementedError

    def _give_up(self) -> None:
        raise NotImplementedError

    def _put(self, store: Store) -> None:
        self._state = replace(self._state, expires_at=_after(self._terms.ttl_s), progress=dict(self.report()))
        store.put(self._name, self._state.to_bytes())


class Announcement(_Renewed):
    """Says that a run helps with a study's variants without holding its lease; whoever holds it then looks first
    whether a record has come.

    Parameters
    ----------
    store
        Where the study lives, as patient as the run is.
    study
        Its name.
    """

    def __init__(self, store: Store, study: str) -> None:
        super().__init__(store, study, AtWork(Holder.here(), since=_after(0)), TERMS)

    @property
    def _name(self) -> str:
        return Store.study_name(self._study, _FOLDER, f"{_HELPER}{self._state.holder.id}{_SUFFIX}")

    def _renew(self, store: Store) -> None:
        self._put(store)

    def __enter__(self) -> Self:
        _OURS.add(self._state.holder.id)
        self._put(self._store)
        return self.start()

    def __exit__(self, *_: object) -> None:
        self._end()

    def _give_up(self) -> None:
        self._once.delete(self._name)


class Lease(_Renewed):
    """A study's lease, held by this process; made by `take_lease`."""

    def __init__(self, store: Store, study: str, state: AtWork, terms: Terms) -> None:
        super().__init__(store, study, state, terms)
        self.number = state.number
        """The number of the lease: of any two the higher one is in force."""
        self.has_helpers = False
        """True if others run variants of the study, as of the last renewal."""
        self._lost = ""
        """Who has taken over; ``""`` while we hold it."""

    @property
    def _name(self) -> str:
        return _lease_name(self._study, self.number)

    def check(self) -> None:
        """Make sure that the lease is ours, before something is written that needs it.

        Costs nothing while the last renewal is fresh; after a pause, or if the store was away, it is renewed first.

        Raises
        ------
        LeaseLostError
            Another run has taken over.
        StoreError
            The store has not answered for as long as the run is patient.
        """
        if not self._lost and _since(self._begun) < self._terms.fresh_s:
            return
        with self._lock:
            if self._lost:
                raise LeaseLostError(self._told())
            if _since(self._begun) >= self._terms.fresh_s:
                self._renew(self._store)

    def guarded(self, store: Store) -> Store:
        """Return the same store, as patient, where `check` comes before every try of every request."""
        return store.patient(store.patience.limit_s, store.patience.stop, self.check)

    def remove(self) -> None:
        """Delete the lease with those of before, at the end of a study: nobody holds it any more."""
        with self._lock:
            self._lost = "nobody"
            self._store.delete_folder(Store.study_name(self._study, _FOLDER))

    def release(self) -> None:
        """Let others have it; who has lost it has nothing to release."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _give_up(self) -> None:
        if not self._lost:
            self._state = replace(self._state, is_released=True)
            self._renew(self._once)

    def _renew(self, store: Store) -> None:
        """Renew the lease, unless it is another's.

        The folder is listed after the write: who takes over between the two is seen, and who takes over before it
        has seen a lease that was not renewed.
        """
        with self._lock:
            begun = _now()
            own = _read(store, self._name, self.number)
            if own is None or own.holder.id != self._state.holder.id:
                self._lose(store, own)
            self._put(store)
            names = store.names(Store.study_name(self._study, _FOLDER))
            if max(map(_number, names), default=0) > self.number:
                self._lose(store, own)
            self.has_helpers = any(name.startswith(_HELPER) for name in names)
            self._begun = begun

    def _lose(self, store: Store, own: AtWork | None) -> None:
        other = _in_force(store, self._study) or own
        self._lost = "somebody" if other is None else str(other.holder)
        raise LeaseLostError(self._told())

    def _told(self) -> str:
        return (
            f"another run, {self._lost}, has taken over the study {self._study!r}: what is finished is kept, and that "
            "run carries on"
        )


class LeaseWatch:
    """Looks whether a lease is still in force, for workers, which cannot renew it.

    Parameters
    ----------
    store
        Where the study lives.
    study
        Its name.
    number
        Of the lease.
    """

    def __init__(self, store: Store, study: str, number: int) -> None:
        self._store, self._study, self._number = store, study, number
        self._begun: tuple[float, float] | None = None

    def check(self) -> None:
        """Look, unless it is less than a second ago.

        Raises
        ------
        LeaseLostError
            A later lease is in force.
        StoreError
            The store cannot be read.
        """
        if self._begun is not None and _since(self._begun) < 1:
            return
        begun = _now()
        names = self._store.names(Store.study_name(self._study, _FOLDER))
        if max(map(_number, names), default=0) != self._number:
            raise LeaseLostError(f"another run has taken over the study {self._study!r}: this block is packed by it")
        self._begun = begun


def take_lease(
    store: Store, study: str, *, stop: threading.Event | None = None, tell: Callable[[AtWork], None] | None = None
) -> Lease | None:
    """Wait for a study's lease and take it.

    Parameters
    ----------
    store
        Where the study lives, as patient as the run is.
    study
        Its name.
    stop
        Ends the waiting.
    tell
        Called with who is at work, at first and whenever that says how far it is. None for not to wait for who is at
        work, but only until one that may have ended has proved so.

    Returns
    -------
    Lease
        Ours, and renewed from now on; None if `stop` was set before.

    Raises
    ------
    StudyBusyError
        Somebody is at work, and it was not to be waited for.
    StoreError
        The store cannot be read or written.
    """
    terms, stop = TERMS, stop or threading.Event()
    seen: AtWork | None = None
    since = time.monotonic()
    while not stop.is_set():
        now = _in_force(store, study)
        if now is None or now != seen:
            since = time.monotonic()
            if now is not None and tell is not None and not now.is_takeable(0):
                tell(now)
        seen = now
        if now is None or now.is_takeable(time.monotonic() - since):
            if (lease := _take(store, study, now, terms)) is not None:
                _settle(lease, store, now, stop)
                lease.start()
                if not stop.is_set():
                    return lease
                lease.release()
        elif tell is None and now.expired_s() < 0:
            raise StudyBusyError(
                f"somebody is at work on the study {study!r} in {store.url}: {now}. Wait until that has ended, or stop "
                f"it; if it has died, the study is free {now.ttl_s:.0f} s after it was last heard of"
            )
        else:
            stop.wait(terms.poll_s)
    return None


@contextmanager
def lease_for(store: Store, study: str) -> Iterator[Lease]:
    """Hold a study's lease for as long as the block lasts.

    Raises
    ------
    StudyBusyError
        Somebody is at work on the study.
    StoreError
        The store cannot be read or written.
    """
    lease = take_lease(store, study)
    if lease is None:
        raise StudyBusyError(f"the lease of the study {study!r} was not to be had")
    with lease:
        yield lease


def _take(store: Store, study: str, before: AtWork | None, terms: Terms) -> Lease | None:
    """Try to take the lease after `before`; return None if another was faster."""
    number = 1 if before is None else before.number + 1
    state = AtWork(Holder.here(), number, since=_after(0), expires_at=_after(terms.ttl_s), ttl_s=terms.ttl_s)
    lease = Lease(store, study, state, terms)
    _OURS.add(state.holder.id)  # before anybody sees it
    is_ours = False
    try:
        is_ours = store.create(_lease_name(study, number), state.to_bytes())
        now = _in_force(store, study) if is_ours else None
        is_ours = now is not None and now.holder == state.holder
    finally:
        if not is_ours:
            _OURS.discard(state.holder.id)
    if is_ours:
        return lease
    if now is not None and now.number > number:  # others had it meanwhile and have cleared it away
        store.delete(_lease_name(study, number))
    return None  # or the filesystem lets several create one object


def _settle(lease: Lease, store: Store, before: AtWork | None, stop: threading.Event) -> None:
    """Wait for a holder that has renewed just when it was overtaken, and clear away what is left of others."""
    study = lease._study  # noqa: SLF001 - of this module
    names = store.names(Store.study_name(study, _FOLDER))
    if before is not None and not before.is_over:
        again = _read(store, _lease_name(study, before.number), before.number)
        if again is not None and again != before:
            stop.wait(lease._terms.fresh_s)  # noqa: SLF001
    for name in names:
        path = Store.study_name(study, _FOLDER, name)
        if name.startswith(_HELPER):
            helper = _read(store, path, 0)
            lease.has_helpers |= helper is not None and not helper.is_over and helper.expired_s() < 0
            if helper is not None and (helper.is_over or helper.expired_s() > _LONG_S):
                store.delete(path)
        elif 0 < _number(name) < lease.number:
            store.delete(path)


def _in_force(store: Store, study: str) -> AtWork | None:
    """Return the lease with the highest number; None if there is none."""
    while True:
        number = max(map(_number, store.names(Store.study_name(study, _FOLDER))), default=0)
        if not number:
            return None
        if (found := _read(store, _lease_name(study, number), number)) is not None:
            return found  # else it has gone since: there is a later one, or none


def _read(store: Store, name: str, number: int) -> AtWork | None:
    data = store.get(name)
    return None if data is None else AtWork.from_bytes(data, number)


def _lease_name(study: str, number: int) -> str:
    return Store.study_name(study, _FOLDER, f"{number:08d}{_SUFFIX}")


def _number(name: str) -> int:
    """Return the number of the lease in a file of that name; 0 if it is none."""
    text = name.removesuffix(_SUFFIX)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 and name != text else 0


def _now() -> tuple[float, float]:
    """Return this moment by two clocks: one that nobody sets, and one that goes on while the machine sleeps."""
    return time.monotonic(), time.time()


def _since(begun: tuple[float, float]) -> float:
    """Return at least how long ago a moment was, seconds: a clock that is set or stands still makes it longer only."""
    return max(now - then for now, then in zip(_now(), begun, strict=True))


def _after(seconds: float) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
