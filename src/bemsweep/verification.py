"""Verification: whether a study's records, inputs and cube are what was written.

Reads everything in full and tells what is cut, altered, of an unknown schema or of another variant than its name
says; of a block of the cube, whether it holds the records' values to the last bit. Never changes anything: what is
deleted, run and packed again is the driver's affair.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pandas as pd
from zarr.abc.store import Store as ZarrStore

from bemsweep.errors import RecordError
from bemsweep.layout import BLOCK_ROWS, TABLE_COLUMNS
from bemsweep.local_files import sha256_of
from bemsweep.packing import compare
from bemsweep.record_file import RecordFile
from bemsweep.records import outputs_sha256
from bemsweep.scratch import open_scratch
from bemsweep.sealed_json import digest
from bemsweep.store import Store

__all__ = ["Verification", "Verified", "facts_digest", "verify_block", "why_input_bad", "why_record_bad"]

_log = logging.getLogger(__name__)

_MOST_TOLD = 10
"""Reasons that a task tells; its answer stays under 2 kB."""

_WHY_LENGTH = 90


@dataclass(frozen=True)
class Verified:
    """What a task tells of its block."""

    block: int
    """Number of the block."""
    records: int
    """How many records were read in full."""
    bad: str
    """Rows, counted from the block's first, whose record is bad: a number in hexadecimal digits, a bit for each."""
    whys: Mapping[int, str]
    """What is wrong with the first of them."""
    why_block: str
    """What is wrong with the cube's block; ``""`` if it holds what the records do."""
    facts_sha256: str
    """Of what the variant table must tell of the block's rows; see `facts_digest`."""

    def bad_rows(self) -> dict[int, str]:
        """Return the rows of the study's table whose record is bad, and why."""
        bits, first = int(self.bad, 16), self.block * BLOCK_ROWS
        offsets = [offset for offset in range(BLOCK_ROWS) if bits >> offset & 1]
        return {first + offset: self.whys.get(offset, "cut or altered") for offset in offsets}


@dataclass
class Verification:
    """What the verification of a study has found."""

    records: int = 0
    """How many records were read in full."""
    blocks: int = 0
    """How many blocks of the cube were compared with their records."""
    inputs: int = 0
    """How many inputs were hashed."""
    bad: dict[str, str] = field(default_factory=dict)
    """Name of each bad object, or of a part of the cube -> what is wrong with it."""

    def note(self, name: str, why: str) -> None:
        """Enter a bad object and say so in the log."""
        _log.warning("%s is bad: %s", name, why)
        self.bad[name] = why

    def take(self, verified: Verified, rows: pd.DataFrame, cube: str) -> tuple[set[str], bool]:
        """Enter what a block's verification has found.

        Parameters
        ----------
        verified
            What it found.
        rows
            The block's rows of the variant table as the cube tells them.
        cube
            The cube's name in the store.

        Returns
        -------
        tuple
            Variants whose record is bad, and True if the block must be packed again.
        """
        self.records += verified.records
        self.blocks += verified.facts_sha256 != ""
        variants = {str(rows["variant_id"].loc[row]): why for row, why in verified.bad_rows().items()}
        for variant, why in variants.items():
            self.note(Store.record_name(variant), why)
        why_block = verified.why_block
        if not why_block and not variants and verified.facts_sha256 not in ("", facts_digest(rows)):
            why_block = "its variant table tells something else than the records"
        if why_block:
            self.note(f"{cube}, rows {rows.index[0]} to {rows.index[-1]}", why_block)
        return set(variants), why_block != ""

    def __str__(self) -> str:
        blocks = f"{self.blocks:,} block{'' if self.blocks == 1 else 's'} of the results"
        told = f"verified {self.records:,} records, {blocks} and {self.inputs:,} inputs"
        if not self.bad:
            return f"{told}: all are as they were written"
        return f"{told}: {len(self.bad):,} bad: {', '.join(f'{name} ({why})' for name, why in self.bad.items())}"


def verify_block(
    block: int, files: Sequence[Path | None], variant_ids: Sequence[str], *, cube: ZarrStore | None
) -> Verified:
    """Read the records of a block in full and compare the cube with them.

    Parameters
    ----------
    block
        Number of the block.
    files
        Of each row the record's file; None for a variant that is not finished.
    variant_ids
        Of each row.
    cube
        Where the block is packed; None if it is to be packed anyway.

    Raises
    ------
    StoreError
        The cube cannot be reached.
    """
    whys: dict[int, str] = {}
    for offset, (file, variant_id) in enumerate(zip(files, variant_ids, strict=True)):
        if file is not None and (why := why_record_bad(file, variant_id)):
            whys[offset] = why
    why_block, facts = "", ""
    if cube is not None:
        openers = [None if file is None or n in whys else partial(_open, file) for n, file in enumerate(files)]
        why_block, frame = compare(cube, block * BLOCK_ROWS, openers, variant_ids=variant_ids)
        facts = facts_digest(frame)
    return Verified(
        block=block,
        records=sum(file is not None for file in files),
        bad=f"{sum(1 << offset for offset in whys):x}",
        whys=dict(itertools.islice(whys.items(), _MOST_TOLD)),
        why_block="" if whys else why_block,
        facts_sha256=facts,
    )


def why_record_bad(path: Path, variant_id: str) -> str:
    """Return why a file is not the sound record of a variant; ``""`` if it is, to the last value.

    Parameters
    ----------
    path
        The file.
    variant_id
        Whose record its name says it is.
    """
    try:
        with path.open("rb") as file:
            reader = RecordFile(file, variant_id)
            record = reader.header()
            values = reader.values(range(len(record.series)))
            found_sha256 = outputs_sha256(replace(record.series[position], values=part) for position, part in values)
    except RecordError as error:
        return str(error).partition("\n")[0].partition(". ")[0][:_WHY_LENGTH]
    return "altered: its values do not match their checksum" if found_sha256 != record.outputs_sha256 != "" else ""


def facts_digest(facts: pd.DataFrame) -> str:
    """Return the sha256 of what the variant table tells of finished rows, given as columns of `TABLE_COLUMNS`."""
    kinds = {"text": str, "number": float, "count": int}
    finished = facts[facts["status"] != "pending"]
    return digest({name: [kinds[kind](value) for value in finished[name]] for name, kind in TABLE_COLUMNS.items()})


def why_input_bad(store: Store, sha256: str, suffix: str) -> str:
    """Return why an input in the store is not what its name says; ``""`` if it is, or is not there.

    Parameters
    ----------
    store
        Where it is.
    sha256, suffix
        Its name.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    with open_scratch() as scratch:
        path = store.as_file(Store.input_name(sha256, suffix), scratch)
        return "altered" if path is not None and sha256_of(path) != sha256 else ""


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
