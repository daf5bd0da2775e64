"""What the name of an object in a store says: its kind, and the variant or the study that it belongs to.

The way back from the names that `bemsweep.store.Store` gives. Only reads names: it never looks at an object.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Kind", "kind_of", "study_of", "variant_of"]

Kind = Literal["input", "record", "raw", "probe", "study", "lease", "leftover", "other"]
"""``leftover`` is what a killed process left: temporary files, and probes of whether a store can be written.

``lease`` says who is at work on a study: it belongs to runs, and never to what is copied or counted.

``other`` is what bemsweep did not put there.
"""

_VARIANT = re.compile(r"records/[0-9a-f]{2}/([0-9a-f]{64})\.parquet|raw/([0-9a-f]{64})/.+")
_STUDY = re.compile(r"studies/([^/]+)/.+")
_LEASE = re.compile(r"studies/[^/]+/lease/.+")
_LEFTOVER = re.compile(r"probe-[^/]*|(.*/)?[^/]*\.tmp")
_KINDS: dict[str, Kind] = {"inputs": "input", "records": "record", "raw": "raw", "probes": "probe", "studies": "study"}


def kind_of(name: str) -> Kind:
    """Return the kind of the object called `name`.

    Examples
    --------
    >>> kind_of("probes/0a/0a12.json"), kind_of("probe-12-ab"), kind_of("notes.txt")
    ('probe', 'leftover', 'other')
    """
    if _LEFTOVER.fullmatch(name):
        return "leftover"
    if _LEASE.fullmatch(name):
        return "lease"
    kind = _KINDS.get(name.partition("/")[0], "other") if "/" in name else "other"
    return "other" if kind in ("record", "raw") and variant_of(name) is None else kind


def variant_of(name: str) -> str | None:
    """Return the variant whose record or raw file is called `name`; None for anything else."""
    match = _VARIANT.fullmatch(name)
    return (match[1] or match[2]) if match else None


def study_of(name: str) -> str | None:
    """Return the study that the object called `name` is one of; None for what no single study has."""
    match = _STUDY.fullmatch(name)
    return match[1] if match else None
