"""The lease of a study: the right to write its variant table, blocks and root, which one run has at a time.

Decides who has it, when it is free, and whether it is still ours. Leases are numbered objects below
``studies/<name>/lease``; the highest number is in force, and taking the lease is creating the next one, which of
several only one can. So a number is never given twice, and whoever finds a higher one than its own has lost.

Nothing depends on clocks that agree. A holder writes only within a third of the lease's time since it began its last
renewal; another takes over only what it has itself seen unchanged for half of that time. It never touches what the
lease is for: records and inputs need none.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

from bemsweep.at_work import (
    HELPER,
    STOP,
    TTL_S,
    AtWork,
    after,
    helper_name,
    in_force,
    lease_folder,
    lease_name,
    number_of,
    read_at_work,
    stop_name,
)
from bemsweep.errors import LeaseLostError, StoreError, StudyBusyError
from bemsweep.holder import AT_WORK, Holder
from bemsweep.redaction import visible
from bemsweep.store import Store

__all__ = ["Announcement", "Lease", "LeaseWatch", "Terms", "lease_for", "take_lease"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """How long a lease lasts and how it is kept, seconds."""

    ttl_s: float = TTL_S
    """Without a renewal it expires after so long."""
    renew_s: float = 5.0
    """How often it is renewed, which also is how late others see how far the work is, and a request to stop is seen."""
    poll_s: float = 3.0
    """How often who waits looks, and how often a renewal that failed is tried again."""

    @property
    def fresh_s(self) -> float:
        """So long after a renewal was begun its holder writes without asking."""
        return self.ttl_s / 3


TERMS = Terms()

_GRACE_S = 5.0
"""So long the end of the work waits for a server that is silent."""


class _Renewed:
    """An object of the lease's folder that a thread of its own keeps from expiring."""

    def __init__(self, store: Store, study: str, state: AtWork, terms: Terms) -> None:
        self._store, self._study, self._state, self._terms = store, study, state, terms
        self._once = Store(store.url, store.storage_options)  # without patience: the next try comes anyway
        self.report: Callable[[], Mapping[str, Any]] = dict
        """Asked with every renewal, in another thread, how far the work is."""
        self.on_stop: Callable[[str], None] | None = None
        """Called with who asks, in another thread, when the work is to be stopped; None for who does not listen yet."""
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
        self.on_stop = None  # what has ended is not stopped any more
        self._ended.set()
        self._thread.join(_GRACE_S)
        AT_WORK.discard(self._state.holder.id)

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
        self._state = replace(self._state, expires_at=after(self._terms.ttl_s), progress=dict(self.report()))
        store.put(self._name, self._state.to_bytes())

    def _obey(self, store: Store, names: Collection[str]) -> None:
        """Have the work stopped if the folder holds a request for it, which is deleted."""
        request = stop_name(self._study, self._state.holder)
        if self.on_stop is not None and request.rpartition("/")[2] in names:
            self.on_stop(_asked_by(store.get(request)))
            store.delete(request)


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
        super().__init__(store, study, AtWork(Holder.here(), since=after(0)), TERMS)

    @property
    def _name(self) -> str:
        return helper_name(self._study, self._state.holder)

    def _renew(self, store: Store) -> None:
        self._put(store)
        self._obey(store, store.names(lease_folder(self._study)))

    def __enter__(self) -> Self:
        AT_WORK.add(self._state.holder.id)
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
        return lease_name(self._study, self.number)

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
            self._store.delete_folder(lease_folder(self._study))

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
            own = read_at_work(store, self._name, self.number)
            if own is None or own.holder.id != self._state.holder.id:
                self._lose(store, own)
            self._put(store)
            names = store.names(lease_folder(self._study))
            if max(map(number_of, names), default=0) > self.number:
                self._lose(store, own)
            self.has_helpers = any(name.startswith(HELPER) for name in names)
            self._begun = begun
            self._obey(store, names)

    def _lose(self, store: Store, own: AtWork | None) -> None:
        other = in_force(store, self._study) or own
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
        names = self._store.names(lease_folder(self._study))
        if max(map(number_of, names), default=0) != self._number:
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
        now = in_force(store, study)
        if now is None or now != seen:
            since = time.monotonic()
            if now is not None and tell is not None and not now.is_takeable(0):
                tell(now)
        seen = now
        if now is None or now.is_takeable(time.monotonic() - since):
            if (lease := _take(store, study, now, terms)) is not None:
                with ExitStack() as unless_returned:
                    unless_returned.callback(lease.start().release)
                    _settle(lease, store, now, stop)
                    if not stop.is_set():
                        unless_returned.pop_all()
                        return lease
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
    state = AtWork(Holder.here(), number, since=after(0), expires_at=after(terms.ttl_s), ttl_s=terms.ttl_s)
    lease = Lease(store, study, state, terms)
    AT_WORK.add(state.holder.id)  # before anybody sees it
    is_ours = False
    try:
        is_ours = store.create(lease_name(study, number), state.to_bytes())
        now = in_force(store, study) if is_ours else None
        is_ours = now is not None and now.holder == state.holder
    except BaseException:
        lease.start().release()  # if it is there, nobody is to wait for it
        raise
    finally:
        if not is_ours:
            AT_WORK.discard(state.holder.id)
    if is_ours:
        return lease
    if now is not None and now.number > number:  # others had it meanwhile and have cleared it away
        store.delete(lease_name(study, number))
    return None  # or the filesystem lets several create one object


def _settle(lease: Lease, store: Store, before: AtWork | None, stop: threading.Event) -> None:
    """Wait for a holder that has renewed just when it was overtaken, and clear away what is left of others."""
    study = lease._study  # noqa: SLF001 - of this module
    names = store.names(lease_folder(study))
    if before is not None and not before.is_over:
        again = read_at_work(store, lease_name(study, before.number), before.number)
        if again is not None and again != before:
            stop.wait(lease._terms.fresh_s)  # noqa: SLF001
    meant = {name.replace(HELPER, STOP, 1) for name in names if name.startswith(HELPER)}
    meant.add(stop_name(study, lease._state.holder).rpartition("/")[2])  # noqa: SLF001
    for name in names:
        path = f"{lease_folder(study)}/{name}"
        if name.startswith(STOP) and name not in meant:
            store.delete(path)
        elif name.startswith(HELPER):
            helper = read_at_work(store, path)
            lease.has_helpers |= helper is not None and not helper.is_over and helper.expired_s() < 0
            if helper is not None and (helper.is_over or helper.is_forgotten):
                store.delete(path)
        elif 0 < number_of(name) < lease.number:
            store.delete(path)


def _asked_by(request: bytes | None) -> str:
    """Return who has asked to stop."""
    try:
        return visible(str(Holder.from_dict(json.loads(request or b"{}"))))
    except (ValueError, KeyError, TypeError, RecursionError):
        return "somebody"


def _now() -> tuple[float, float]:
    """Return this moment by two clocks: one that nobody sets, and one that goes on while the machine sleeps."""
    return time.monotonic(), time.time()


def _since(begun: tuple[float, float]) -> float:
    """Return at least how long ago a moment was, seconds: a clock that is set or stands still makes it longer only."""
    return max(now - then for now, then in zip(_now(), begun, strict=True))
