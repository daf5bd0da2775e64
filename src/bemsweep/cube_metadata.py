"""A cube's root metadata as the bytes that stand in the store, for who moves a cube without opening it.

Decides whether the chunks of one cube can stand under the metadata of another, and what a cube under another
name says of itself. Only turns bytes into others: it never touches a store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bemsweep.sealed_json import digest

__all__ = ["CUBE_SCHEMA", "ROOT", "SEAL", "STATE", "has_same_chunks", "renamed", "seal_of", "titles", "why_unsound"]

CUBE_SCHEMA = 1
"""Version of how a cube is made."""

ROOT = "zarr.json"
"""The object whose content is the commit."""

STATE = "bemsweep"
"""Name of the root attribute, JSON, that holds the layout and the packed blocks; plain readers need it not."""

SEAL = "bemsweep_sha256"
"""Name of the root attribute that holds the checksum of all else in the root's metadata."""

_FORM = ("node_type", "data_type", "chunk_grid", "chunk_key_encoding", "codecs")
"""What decides how the bytes of a chunk are read."""


def titles(name: str) -> dict[str, str]:
    """Return the attributes with which the cube of the study `name` tells what it is."""
    return {"title": f"bemsweep study {name}", "study": name}


def seal_of(root: Mapping[str, Any]) -> str:
    """Return the checksum of the root's metadata, of all that it consolidates too."""
    attributes = {name: value for name, value in root.get("attributes", {}).items() if name != SEAL}
    return digest({**root, "attributes": attributes})


def why_unsound(root: bytes) -> str:
    """Return what is wrong with the root's ``zarr.json``; ``""`` if it is as it was written.

    Parameters
    ----------
    root
        Its bytes.
    """
    try:
        document = json.loads(root)
        attributes = document["attributes"]
        if attributes[SEAL] != seal_of(document):
            return "its metadata do not match their checksum"
        schema = json.loads(attributes[STATE])["schema"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "its metadata are cut or altered"
    return "" if schema == CUBE_SCHEMA else f"it has schema {schema!r}, and this bemsweep reads schema {CUBE_SCHEMA}"


def has_same_chunks(old: bytes | None, new: bytes | None) -> bool:
    """Return True if what both roots call by one name is cut and coded the same way.

    Then chunks written for the `new` cube do no harm to readers of the `old` one.

    Parameters
    ----------
    old, new
        The roots' ``zarr.json``; None if there is none.
    """
    try:
        before, after = _nodes(json.loads(old or b"{}")), _nodes(json.loads(new or b"{}"))
    except (ValueError, AttributeError, TypeError):
        return False
    common = before.keys() & after.keys()
    return all(before[path].get(key) == after[path].get(key) for path in common for key in _FORM)


def renamed(metadata: bytes, name: str) -> bytes:
    """Return the metadata of a group, and of all that it consolidates, as that of the cube of a study `name`.

    Parameters
    ----------
    metadata
        A ``zarr.json``.
    name
        What the study is called from now on.

    Raises
    ------
    ValueError
        It is no JSON.
    """
    node: dict[str, Any] = json.loads(metadata)
    for one in (node, *_nodes(node).values()):
        attributes = one.get("attributes", {})
        _retell(attributes, name)
        if isinstance(state := attributes.get(STATE), str):
            attributes[STATE] = _changed(state, lambda told: _retell(told["attributes"], name))
    if SEAL in node.get("attributes", {}):
        node["attributes"][SEAL] = seal_of(node)
    return json.dumps(node, indent=2).encode()


def _nodes(root: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return dict((root.get("consolidated_metadata") or {}).get("metadata") or {})


def _retell(attributes: dict[str, Any], name: str) -> None:
    if "study" in attributes:
        attributes |= titles(name)


def _changed(text: str, change: Callable[[dict[str, Any]], None]) -> str:
    state = json.loads(text)
    change(state)
    return json.dumps(state, separators=(",", ":"))
