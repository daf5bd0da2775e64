"""Shares of a study: which variants each of several machines takes that know nothing of each other.

Decides by variant_id alone, so a variant stays in its share while the study grows, and whoever else has planned it
finds the same. It never looks at what has run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Share"]

_TEXT = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*")
_DIGITS = 16
"""Of a variant_id, a hash: more decide nothing."""


@dataclass(frozen=True)
class Share:
    """One of several shares of about the same size.

    Raises
    ------
    ValueError
        There is no such share.

    Examples
    --------
    >>> shares = [Share(number, 3) for number in (1, 2, 3)]
    >>> [len(list(share.of(f"{n:016x}" for n in range(9)))) for share in shares]
    [3, 3, 3]
    """

    number: int
    """Which, counted from 1."""
    count: int
    """Of how many."""

    def __post_init__(self) -> None:
        numbers = (self.number, self.count)
        if any(not isinstance(one, int) or isinstance(one, bool) for one in numbers) or not (
            1 <= self.number <= self.count
        ):
            raise ValueError(f"there is no share {self.number}/{self.count}: of eight they are 1/8 to 8/8")

    @classmethod
    def from_text(cls, text: str) -> Share:
        """Return the share that a text such as ``2/8`` names.

        Raises
        ------
        ValueError
            It names none.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"a share is a number and how many there are, such as 2/8, not {text!r}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, variant_ids: Iterable[str]) -> Iterable[str]:
        """Yield those variants that are in it, in their order."""
        return (one for one in variant_ids if int(one[:_DIGITS], 16) % self.count == self.number - 1)
