"""Patterns of names, of objects as of key values.

Decides what a pattern means: ``*`` and ``?`` are wild, everything else is literal, case does not matter. Never
reads a model.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["matches"]


def matches(pattern: str, text: str) -> bool:
    """Return True if the whole of `text` fits `pattern`.

    Examples
    --------
    >>> matches("perimeter*", "Perimeter_ZN_1"), matches("Zone [1]", "ZONE [1]")
    (True, True)
    """
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(char) or re.escape(char) for char in pattern), re.IGNORECASE | re.DOTALL)
