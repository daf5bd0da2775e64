"""What the name of an object in a store says: its kind, and the variant or the study that it belongs to.

The way back from the names that `bemsweep.store.Store` gives. Decides which names nothing in a store can have, as
they would lead out of it. Only reads names: it never looks at an object.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Kind", "check_study_name", "is_device", "is_inside", "is_variant_id", "kind_of", "study_of", "variant_of"]

Kind = Literal["input", "record", "raw", "probe", "cost", "study", "lease", "leftover", "other"]
"""``leftover`` is what a killed process left: temporary files, and probes of whether a store can be written.

``lease`` says who is at work on a study: it belongs to runs, and never to what is copied or counted.

``other`` is what bemsweep did not put there.
"""

_VARIANT = re.compile(r"records/[0-9a-f]{2}/([0-9a-f]{64})\.parquet|raw/([0-9a-f]{64})/.+")
_VARIANT_ID = re.compile(r"[0-9a-f]{64}")
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever its folder and suffix."""
_STUDY = re.compile(r"studies/([^/]+)/.+")
_LEASE = re.compile(r"studies/[^/]+/lease/.+")
_LEFTOVER = re.compile(r"probe-[^/]*|(.*/)?[^/]*\.tmp")
_KINDS: dict[str, Kind] = {
    "inputs": "input",
    "records": "record",
    "raw": "raw",
    "probes": "probe",
    "costs": "cost",
    "studies": "study",
}


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
    owner = {"record": variant_of, "raw": variant_of, "study": study_of}.get(kind)
    return "other" if owner is not None and owner(name) is None else kind


def variant_of(name: str) -> str | None:
    """Return the variant whose record or raw file is called `name`; None for anything else."""
    match = _VARIANT.fullmatch(name)
    return (match[1] or match[2]) if match else None


def study_of(name: str) -> str | None:
    """Return the study that the object called `name` is one of; None for what no single study has."""
    match = _STUDY.fullmatch(name)
    return match[1] if match and not _why_no_study_name(match[1]) else None


def is_inside(name: str) -> bool:
    """Return True if an object called `name` lies in its store, whatever the filesystem makes of dots.

    Examples
    --------
    >>> is_inside("inputs/0a/0a12.epw"), is_inside("inputs/../../.bashrc")
    (True, False)
    """
    return "\0" not in name and not {".", ".."} & set(name.split("/"))


def is_variant_id(text: object) -> bool:
    """Return True if `text` is of the form of a variant_id, of which names of objects and of folders are made."""
    return isinstance(text, str) and _VARIANT_ID.fullmatch(text) is not None


def check_study_name(name: str) -> str:
    """Return `name` if a study can be called so.

    Raises
    ------
    ValueError
        It cannot: stores name folders by it.
    """
    if why := _why_no_study_name(name):
        raise ValueError(f"{name!r} is no study name: {why}")
    return name


def _why_no_study_name(name: str) -> str:
    if not _STUDY_NAME.fullmatch(name):
        return "up to 100 letters, digits, '.', '_' and '-'"
    if name.endswith(".tmp"):
        return "what ends in .tmp is taken for what a killed process left"
    if name.endswith("."):
        return "Windows drops a dot at the end of a name"
    return "Windows takes it for a device" if is_device(name) else ""


def is_device(name: str) -> bool:
    """Return True if Windows takes a file of that name for a device, such as ``con`` and ``NUL.txt``."""
    return _DEVICE.fullmatch(name) is not None
