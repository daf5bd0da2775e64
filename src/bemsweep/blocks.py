"""What a worker does with a block of the variant table: pack its records into the cube, or verify them.

Decides what passes between driver and worker: which variants the block has, there, and what its rows are, back, both
as objects of the store. Nothing here knows Dask, nor the cube's form (`bemsweep.layout` does).
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from bemsweep import verification
from bemsweep.errors import StoreError
from bemsweep.layout import BLOCK_ROWS
from bemsweep.packing import pack
from bemsweep.redaction import redacted
from bemsweep.scratch import open_scratch
from bemsweep.store import Store
from bemsweep.task import Workplace
from bemsweep.verification import Verified

__all__ = ["Packed", "pack_block", "put_rows", "read_facts", "verify_block"]


@dataclass(frozen=True)
class Packed:
    """What a task tells of its block; the rest is in the cube and in the block's facts."""

    block: int
    """Number of the block."""
    unknown: tuple[str, ...] = ()
    """Variants that report something the cube has no place for yet; nothing was written."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Variants whose record cannot be read, and why."""
    facts_sha256: str = ""
    """Of the block's facts."""
    seconds: float = 0.0
    """How long it took."""


def pack_block(block: int, rows_sha256: str, workplace: Workplace) -> Packed:
    """Pack the records of one block of the variant table into the cube.

    Parameters
    ----------
    block
        Number of the block; it holds the rows ``block * 256`` to ``block * 256 + 255``.
    rows_sha256
        What `put_rows` returned for it.
    workplace
        The worker's context.

    Raises
    ------
    LeaseLostError
        Another run has taken over the study.
    StoreError
        The store cannot be read or written.

    Side effects
    ------------
    Writes the block's part of every array, and its facts for the driver.
    """
    began = time.perf_counter()
    context, store = workplace.context, workplace.packing_store
    first = block * BLOCK_ROWS
    ids = _read_rows(store, context.study, block, rows_sha256)
    with open_scratch() as scratch:
        files = store.as_files(map(store.record_name, ids), scratch)
        openers = [None if file is None else partial(_open, file) for file in files]
        result = pack(store.zarr(context.study), first, openers, variant_ids=ids)
    if result.unknown:
        return Packed(block, result.unknown)
    sink = io.BytesIO()
    result.facts.to_parquet(sink)
    facts = sink.getvalue()
    store.put(_facts_name(context.study, block), facts)
    unreadable = {ids[row - first]: why for row, why in result.unreadable.items()}
    return Packed(block, (), unreadable, hashlib.sha256(facts).hexdigest(), time.perf_counter() - began)


def verify_block(block: int, rows_sha256: str, is_packed: bool, workplace: Workplace) -> Verified:
    """Read the records of one block in full, and compare the cube with them.

    Parameters
    ----------
    block
        Number of the block.
    rows_sha256
        What `put_rows` returned for it.
    is_packed
        False if it is to be packed anyway.
    workplace
        The worker's context.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    context, store = workplace.context, workplace.store
    ids = _read_rows(store, context.study, block, rows_sha256)
    with open_scratch() as scratch:
        files = store.as_files(map(store.record_name, ids), scratch)
        return verification.verify_block(block, files, ids, cube=store.zarr(context.study) if is_packed else None)


def put_rows(store: Store, study: str, block: int, variant_ids: Sequence[str]) -> str:
    """Write which variants stand in the rows of a block, for the worker that packs it; return the sha256 of that.

    Names are too many to travel with a task, and the variant table is too long to be read for each block.

    Parameters
    ----------
    store, study
        Where, and whose table.
    block
        Number of the block.
    variant_ids
        Of its rows, in order.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    data = "\n".join(variant_ids).encode()
    store.put(_rows_name(study, block), data)
    return hashlib.sha256(data).hexdigest()


def _read_rows(store: Store, study: str, block: int, sha256: str) -> list[str]:
    name = _rows_name(study, block)
    data = store.get(name)
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(f"{redacted(store.url_of(name))} is not what this run has written there: run again")
    return data.decode().split("\n")


def _rows_name(study: str, block: int) -> str:
    return Store.study_name(study, "blocks", f"{block:06d}.variants")


def _facts_name(study: str, block: int) -> str:
    """Return the name of the object in which a pack task tells the driver what its rows are."""
    return Store.study_name(study, "blocks", f"{block:06d}.parquet")


def read_facts(store: Store, study: str, packed: Packed) -> pd.DataFrame | None:
    """Return the facts of a packed block, one row per finished row; None if they are not there as written."""
    data = store.get(_facts_name(study, packed.block))
    if data is None or hashlib.sha256(data).hexdigest() != packed.facts_sha256:
        return None
    return pd.read_parquet(io.BytesIO(data))


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
