"""JSON documents that carry a checksum of themselves, so that one that was altered is not believed.

Decides what the checksum covers: every value, but neither blanks nor the order of keys. It guards against what
disks, networks and editors do, not against people who mean harm. Never touches a store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["digest", "sealed", "unsealed"]

_SEAL = "sha256"


def digest(document: object) -> str:
    """Return the sha256 of a JSON document's values."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(document: Mapping[str, Any], *, indent: int | None = None) -> bytes:
    """Return a document as JSON, with its checksum under ``sha256``.

    Parameters
    ----------
    document
        JSON values only.
    indent
        Blanks before each level; None for one line.
    """
    content = json.loads(json.dumps(document))  # tuples become lists, as they will be read
    return json.dumps({**document, _SEAL: digest(content)}, indent=indent, ensure_ascii=False).encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """Return a document that `sealed` has written, without its checksum.

    Raises
    ------
    ValueError
        It is cut or altered, or was never sealed.
    """
    document = json.loads(data)
    if not isinstance(document, dict) or _SEAL not in document:
        raise ValueError("it has no checksum")
    seal = document.pop(_SEAL)
    if seal != digest(document):
        raise ValueError("its content does not match its checksum")
    return document
