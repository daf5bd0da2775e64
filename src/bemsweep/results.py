"""Reading results: the cube, opened lazily, and what its variant table says.

Reads what any xarray user could read without bemsweep; never writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from bemsweep.errors import BemsweepError
from bemsweep.layout import TABLE_COLUMNS
from bemsweep.store import Store

__all__ = ["errors", "failures", "open_results", "status"]

_EXAMPLES = 3


def open_results(
    store: str | Path | Store, name: str, *, storage_options: Mapping[str, Any] | None = None
) -> xr.DataTree:
    """Open a study's results lazily.

    Parameters
    ----------
    store
        URL or path of the store.
    name
        The study's name.
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
    try:
        # A Zarr store instead of a URL: the same for every filesystem, with this store's options.
        return xr.open_datatree(home.zarr(name), engine="zarr", chunks=None)  # type: ignore[arg-type]
    except FileNotFoundError:
        known = ", ".join(home.names("studies")) or "none"
        raise BemsweepError(f"no results of a study {name!r} in {home.url}; studies there: {known}") from None


def status(store: str | Path | Store, name: str, *, storage_options: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the variant table as of the last commit: parameters, status, messages and timings.

    Parameters
    ----------
    store, name, storage_options
        As for `open_results`.

    Returns
    -------
    pandas.DataFrame
        A row per variant, indexed by its place along ``variant``. ``engine_s`` and ``total_s`` are
        seconds, ``memory_bytes`` is the engine's peak.

    Raises
    ------
    BemsweepError
        There are no results of that name.
    """
    root = open_results(store, name, storage_options=storage_options).to_dataset(inherit=False)
    held = [str(key) for key, variable in root.variables.items() if variable.dims == ("variant",)]
    columns = [*(name for name in held if name not in TABLE_COLUMNS), *TABLE_COLUMNS]
    return pd.DataFrame({column: root[column].values for column in columns}).rename_axis("variant")


def errors(store: str | Path | Store, name: str, *, storage_options: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a study's failures grouped by their first severe message.

    Parameters
    ----------
    store, name, storage_options
        As for `open_results`.

    Returns
    -------
    pandas.DataFrame
        Columns ``status``, ``message``, ``count`` and ``examples`` (short ids), the most frequent first.

    Raises
    ------
    BemsweepError
        There are no results of that name.
    """
    return failures(status(store, name, storage_options=storage_options))


def failures(table: pd.DataFrame) -> pd.DataFrame:
    """Group the failures of a variant table by status and message; see `errors`."""
    failed = table[~table["status"].isin(["succeeded", "pending"])]
    groups = failed.groupby(["status", "message"], sort=False)["variant_id"]
    lines = [
        {
            "status": group[0],
            "message": group[1],
            "count": len(ids),
            "examples": [variant[:12] for variant in dict.fromkeys(ids)][:_EXAMPLES],
        }
        for group, ids in groups
    ]
    frame = pd.DataFrame(lines, columns=["status", "message", "count", "examples"])
    return frame.sort_values("count", ascending=False, kind="stable", ignore_index=True)
