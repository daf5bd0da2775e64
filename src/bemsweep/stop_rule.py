"""When a run is hopeless: too many of its variants have failed.

Decides by the outcomes it is told. By default a run ends when the first 20 variants that finished have all failed;
`max_failures` replaces that by a count or a share. Never stops anything itself.
"""

from __future__ import annotations

import re
from collections import Counter

from bemsweep.explanations import message_kind
from bemsweep.records import Status

__all__ = ["FIRST", "StopRule"]

FIRST = 20
"""So many variants that all failed are enough, unless `max_failures` says otherwise."""

_SHARE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*")
_COUNT = re.compile(r"\s*(\d+)\s*")


class StopRule:
    """What a run's failures add up to.

    Parameters
    ----------
    max_failures
        How many variants may fail, or which share of those that the run is to finish, such as ``"5%"``; None to
        end when the first 20 have all failed. ``"100%"`` never ends a run.

    Raises
    ------
    ValueError
        `max_failures` is neither.

    Examples
    --------
    >>> rule = StopRule(max_failures="50%")
    >>> for status in ("failed", "succeeded", "failed", "failed"):
    ...     rule.take(status, "Severe: no")
    >>> rule.why_hopeless(to_do=4)
    '3 of 4 variants have failed, more than the 50% that may, 3 with: Severe: no'
    """

    def __init__(self, max_failures: int | str | None = None) -> None:
        text = "" if max_failures is None else str(max_failures)
        share, count = _SHARE.fullmatch(text), _COUNT.fullmatch(text)
        is_wrong = max_failures is not None and not (share or count)
        if isinstance(max_failures, bool) or is_wrong or (share and float(share[1]) > 100):
            raise ValueError(f"max_failures is a number of variants or a share such as 5%, not {max_failures!r}")
        self._text = text.strip()
        self._share = None if share is None else float(share[1]) / 100
        self._count = None if count is None else int(count[1])
        self._finished = self.failed = 0
        """Variants, and those of them that did not succeed."""
        self._first: dict[str, str] = {}
        self._kinds: Counter[str] = Counter()

    def take(self, status: Status, message: str) -> None:
        """Note how a variant ended."""
        self._finished += 1
        if status != "succeeded":
            self.failed += 1
            kind = message_kind(message)
            self._kinds[kind] += 1
            self._first.setdefault(kind, message)

    def failures(self) -> tuple[tuple[str, int], ...]:
        """Return what most variants have failed by: the first message of its kind and how many, at most three."""
        return tuple((self._first[kind], count) for kind, count in self._kinds.most_common(3))

    def why_hopeless(self, to_do: int) -> str:
        """Return why a run that is to finish `to_do` variants should end, and what they failed by; ``""`` if not."""
        if self._count is None and self._share is None:
            if self._finished < FIRST or self.failed < self._finished:
                return ""
            told = f"the first {self._finished} variants have all failed"
        else:
            most = self._count if self._count is not None else (self._share or 0.0) * to_do
            if self.failed <= most:
                return ""
            told = f"{self.failed} of {to_do} variants have failed, more than the {self._text} that may"
        kind, count = self._kinds.most_common(1)[0]
        return f"{told}, {count} with: {self._first[kind]}"
