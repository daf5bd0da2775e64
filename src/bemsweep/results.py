"""Reading results: the cube, opened lazily, and what its variant table says.

Reads what any xarray user could read without bemsweep, with fewer requests; never writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from zarr.abc.store import Store as ZarrStore

from bemsweep.cache import cache_limit_bytes
from bemsweep.cube_metadata import ROOT, why_unsound
from bemsweep.errors import BemsweepError, StoreError
from bemsweep.explanations import explain, message_kind
from bemsweep.faults import Fault
from bemsweep.layout import TABLE_COLUMNS
from bemsweep.levels import parameter_names
from bemsweep.object_names import is_variant_id
from bemsweep.redaction import redacted
from bemsweep.results_cache import CommittedStore
from bemsweep.store import Store

__all__ = ["errors", "failed", "failed_rows", "failures", "open_results", "status"]

_EXAMPLES = 3
_NO_FAILURES = ("succeeded", "pending")


def open_results(
    store: str | Path | Store, name: str, *, cache: bool = False, storage_options: Mapping[str, Any] | None = None
) -> xr.DataTree:
    """Open a study's results lazily.

    Parameters
    ----------
    store
        URL or path of the store.
    name
        The study's name.
    cache
        Keep what is read from a remote store in the local cache, so that it is downloaded once; what a later commit
        shows is downloaded anew. Nothing is kept of a local store.
    storage_options
        Passed to the store's filesystem.

    Returns
    -------
    xarray.DataTree
        A group per reporting frequency, the variant table at the root.

    Raises
    ------
    BemsweepError
        There are no results of that name.
    StoreError
        Their metadata are cut or altered. What is read later has checksums of its own, which zarr compares.

    Shape
    -----
    ``(variant, time)`` or ``(variant, <kind of key>, time)``; with design days ``(…, design_day, time)``.

    Units
    -----
    In each variable's ``units``, as UDUNITS spells them.

    Examples
    --------
    >>> hourly = open_results("bemsweep-store", "office")["hourly"].to_dataset()  # doctest: +SKIP
    """
    home = store if isinstance(store, Store) else Store(store, storage_options)
    cube: ZarrStore = home.zarr(name)
    try:
        key = home.study_name(name, "results.zarr", ROOT)
        root = home.get(key)
        if root is not None and (why := why_unsound(root)):
            told = f"{redacted(home.url_of(key))} cannot be read, {why}: run the study again, which packs it anew"
            raise StoreError(told, fault=Fault.ALTERED)
        # A Zarr store instead of a URL: the same for every filesystem, with this store's options.
        if root is not None and home.is_local:
            return xr.open_datatree(cube, engine="zarr", chunks=None, zarr_format=3)  # type: ignore[arg-type]
        if root is not None:
            if cache:
                cache_limit_bytes()  # a wrong setting is told before any download
            commit = CommittedStore(cube, root, url=home.url_of("studies", name) if cache else "")
            with commit.opening():
                return xr.open_datatree(commit, engine="zarr", chunks=None, zarr_format=3)  # type: ignore[arg-type]
    except FileNotFoundError:
        pass
    known = ", ".join(home.studies()) or "none"
    raise BemsweepError(f"no results of a study {name!r} in {home.url}; studies there: {known}")


def status(store: str | Path | Store, name: str, *, storage_options: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the variant table as of the last commit: parameters, status, messages and timings.

    Parameters
    ----------
    store, name, storage_options
        As for `open_results`.

    Returns
    -------
    pandas.DataFrame
        A row per variant, indexed by its place along ``variant``. ``engine_s``, ``cpu_s`` and ``total_s`` are
        seconds, ``memory_bytes`` is the engine's peak. What earlier versions did not tell is null, or has no column.

    Raises
    ------
    BemsweepError
        There are no results of that name.
    StoreError
        They are altered: a variant_id is none.
    """
    root = open_results(store, name, storage_options=storage_options).to_dataset(inherit=False)
    columns = [*parameter_names(root), *(column for column in TABLE_COLUMNS if column in root)]
    table = pd.DataFrame({column: root[column].values for column in columns}).rename_axis("variant")
    if not table["variant_id"].map(is_variant_id).all():  # they name objects and folders
        raise StoreError(f"the results of {name!r} are altered: they hold what is no variant_id; run the study again")
    return table


def failed(store: str | Path | Store, name: str, *, storage_options: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the variants that have failed: their parameters, status and first severe message.

    Parameters
    ----------
    store, name, storage_options
        As for `open_results`.

    Returns
    -------
    pandas.DataFrame
        A row per failed variant, in the order of the rows of the results, indexed by its place along ``variant``.

    Raises
    ------
    BemsweepError
        There are no results of that name.
    """
    return failed_rows(status(store, name, storage_options=storage_options))


def failed_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the failed rows of a variant table, parameters first; see `failed`."""
    parameters = [column for column in table.columns if column not in TABLE_COLUMNS]
    return table[~table["status"].isin(_NO_FAILURES)][[*parameters, "status", "message", "variant_id"]]


def errors(store: str | Path | Store, name: str, *, storage_options: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a study's failures, grouped, with what they mean and where to look.

    Messages that differ only in numbers are one group, which shows the first of them.

    Parameters
    ----------
    store, name, storage_options
        As for `open_results`.

    Returns
    -------
    pandas.DataFrame
        Columns ``status``, ``message``, ``count``, ``examples`` (short ids), ``advice`` (what it means and what to
        try, ``""`` if nothing is known) and ``err`` (URL of the first example's ``eplusout.err``, ``""`` if it has
        none), the most frequent first.

    Raises
    ------
    BemsweepError
        There are no results of that name.
    """
    home = store if isinstance(store, Store) else Store(store, storage_options)
    return failures(status(home, name), home)


def failures(table: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Group the failures of a variant table, whose raw files are in `store`; see `errors`."""
    rows = failed_rows(table)
    kinds = rows["message"].map(message_kind)
    lines = []
    for _, group in rows.groupby([rows["status"], kinds], sort=False):
        first, ids = group.iloc[0], list(dict.fromkeys(group["variant_id"]))
        err = Store.raw_name(ids[0], "eplusout.err")
        lines.append(
            {
                "status": first["status"],
                "message": first["message"],
                "count": len(group),
                "examples": [variant[:12] for variant in ids[:_EXAMPLES]],
                "advice": explain(first["status"], first["message"]),
                "err": store.url_of(err) if store.has(err) else "",
            }
        )
    frame = pd.DataFrame(lines, columns=["status", "message", "count", "examples", "advice", "err"])
    return frame.sort_values("count", ascending=False, kind="stable", ignore_index=True)
