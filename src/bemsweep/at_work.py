"""Who is at work on a study, and how far, as the objects below ``studies/<name>/lease`` say.

Reads them and decides whether what one says is still so. It never writes one: `bemsweep.lease` does.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bemsweep.heartbeat import Running
from bemsweep.holder import Holder
from bemsweep.redaction import visible
from bemsweep.store import Store

__all__ = [
    "HELPER",
    "STOP",
    "AtWork",
    "after",
    "at_work",
    "helper_name",
    "in_force",
    "lease_folder",
    "lease_name",
    "number_of",
    "read_at_work",
    "stop_name",
]

HELPER = "helper-"
"""What the names begin with of those who only run variants."""

STOP = "stop-"
"""What the names begin with of requests to stop."""

TTL_S = 120.0
"""How long a lease lasts without a renewal, and one that cannot be read, seconds."""

_SUFFIX = ".json"
_LONG_S = 3600.0
"""What expired so long ago has, whatever the clocks say: servers refuse requests of clocks that are far off."""


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
    ttl_s: float = TTL_S
    """How long it lasts without a renewal, seconds."""
    is_released: bool = False
    """True if the holder has ended its work."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """How far the holder is, as it says; see `bemsweep.progress.Progress.to_dict`."""

    @classmethod
    def from_bytes(cls, data: bytes, number: int) -> AtWork:
        """Return what an object says; one that cannot be read has a holder whom nobody knows."""
        try:
            told = json.loads(data)
            json.dumps(told, allow_nan=False)  # no numbers that programs which read a report would not know
            dt.datetime.fromisoformat(told["expires_at"]).astimezone(dt.UTC)
            return cls(
                holder=Holder.from_dict(told["holder"]),
                number=number,
                since=str(told["since"]),
                expires_at=str(told["expires_at"]),
                ttl_s=min(max(float(told["ttl_s"]), 0.0), _LONG_S),
                is_released=told["is_released"] is True,
                progress=dict(told["progress"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return cls(Holder("", "somebody", "an unknown machine", 0, "", ""), number, ttl_s=TTL_S)

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
    def running(self) -> tuple[Running, ...]:
        """The variants that have been under way for the longest, as the holder says."""
        try:
            return tuple(Running.from_dict(one) for one in self.progress.get("running", ()))
        except (KeyError, TypeError, ValueError, OverflowError):  # of another version
            return ()

    @property
    def is_over(self) -> bool:
        """True if the holder has ended, or is known to be dead."""
        return self.is_released or self.holder.has_ended

    def expired_s(self) -> float:
        """Return how long ago it expired by this machine's clock, seconds; negative if it has not."""
        if not self.expires_at:
            return 0.0
        expires_at = dt.datetime.fromisoformat(self.expires_at).astimezone(dt.UTC)
        return (dt.datetime.now(dt.UTC) - expires_at).total_seconds()

    @property
    def is_forgotten(self) -> bool:
        """True if it expired so long ago that no two clocks differ about it."""
        return self.expired_s() > _LONG_S

    def is_takeable(self, unchanged_s: float) -> bool:
        """Return True if the lease can be taken over.

        Parameters
        ----------
        unchanged_s
            For how long who wants it has seen it unchanged, seconds by a clock that nobody sets.
        """
        expired_s = self.expired_s()
        is_expired = unchanged_s >= self.ttl_s or (expired_s >= 0 and unchanged_s >= self.ttl_s / 2)
        return self.is_over or is_expired or self.is_forgotten

    def __str__(self) -> str:
        told = f"{self.holder}, since {self.since[:16].replace('T', ' ')} UTC" if self.since else str(self.holder)
        if share := self.progress.get("share"):
            told += f", share {share}"
        done, to_do = self.progress.get("done", 0), self.progress.get("to_do")
        if isinstance(done, int) and isinstance(to_do, int):
            told += f", {done:,} of {to_do:,} done"
        return visible(told)


def at_work(store: Store, study: str) -> list[AtWork]:
    """Return who is at work on a study: first the holder of its lease, if any, then those who only run variants.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    names = store.names(lease_folder(study))
    number = max(map(number_of, names), default=0)
    wanted = [(lease_name(study, number), number)] if number else []
    wanted += [(f"{lease_folder(study)}/{name}", 0) for name in names if name.startswith(HELPER)]
    found = (read_at_work(store, name, number) for name, number in wanted)
    return [one for one in found if one is not None and not one.is_over and one.expired_s() < 0]


def in_force(store: Store, study: str) -> AtWork | None:
    """Return the lease with the highest number; None if there is none.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    while True:
        number = max(map(number_of, store.names(lease_folder(study))), default=0)
        if not number:
            return None
        if (found := read_at_work(store, lease_name(study, number), number)) is not None:
            return found  # else it has gone since: there is a later one, or none


def read_at_work(store: Store, name: str, number: int = 0) -> AtWork | None:
    """Return what an object says; None if it is not there.

    Parameters
    ----------
    store, name
        Where it is.
    number
        Of the lease; 0 for one who only runs variants.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    data = store.get(name)
    return None if data is None else AtWork.from_bytes(data, number)


def lease_folder(study: str) -> str:
    """Return the name below which everybody says that they are at work on a study."""
    return Store.study_name(study, "lease")


def helper_name(study: str, holder: Holder) -> str:
    """Return the name of the object of one who only runs variants."""
    return f"{lease_folder(study)}/{HELPER}{holder.id}{_SUFFIX}"


def stop_name(study: str, holder: Holder) -> str:
    """Return the name of the object that asks one who is at work to stop."""
    return f"{lease_folder(study)}/{STOP}{holder.id}{_SUFFIX}"


def lease_name(study: str, number: int) -> str:
    """Return the name of a lease."""
    return f"{lease_folder(study)}/{number:08d}{_SUFFIX}"


def number_of(name: str) -> int:
    """Return the number of the lease in a file of that name; 0 if it is none."""
    text = name.removesuffix(_SUFFIX)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 and name != text else 0


def after(seconds: float) -> str:
    """Return the time of day in so many seconds, UTC, ISO 8601."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
