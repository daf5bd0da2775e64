"""Taking results elsewhere: a study's results as netCDF, Parquet or CSV files.

Writes a few variants at a time, so that memory does not grow with the study. Decides which file holds what,
but not how tables look (`bemsweep.table_shapes` does). Never changes a value, and never leaves half a file
under a name that was asked for.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import xarray as xr

from bemsweep.errors import BemsweepError, nearest
from bemsweep.table_shapes import long_table, tiles, variants_table, wide_table

__all__ = ["Shape", "to_csv", "to_netcdf", "to_parquet"]

Shape = Literal["wide", "long"]
"""``wide``: a column per variable and key; ``long``: a row per value."""

_SUFFIXES = frozenset({".nc", ".parquet", ".csv"})

_VARIANTS = "variants"
"""Name of the file with the table of variants."""


def to_netcdf(
    tree: xr.DataTree,
    path: str | Path,
    *,
    group: str | None = None,
    variables: Sequence[str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write results as one netCDF-4 file with CF conventions.

    Parameters
    ----------
    tree
        What `bemsweep.open_results` returns.
    path
        The file.
    group
        One group, for example ``hourly``, which then stands at the root of the file; None for all of them
        as groups of the file, with the table of variants at its root.
    variables
        Names of the variables; None for all.
    overwrite
        True to replace a file of that name.

    Returns
    -------
    list
        The file, when it is whole.

    Raises
    ------
    BemsweepError
        h5netcdf is missing, there is no such group or variable, or the file exists.

    Side effects
    ------------
    Writes the file, at first under a hidden name beside it.
    """
    if importlib.util.find_spec("h5netcdf") is None:
        raise BemsweepError("netCDF needs h5netcdf: pip install 'bemsweep[netcdf]', or export Parquet or CSV")
    groups = _chosen(tree, group, variables)
    target = _local(path)
    if target.suffix.lower() in _SUFFIXES - {".nc"}:
        raise BemsweepError(f"{target} is named as {target.suffix} but would hold netCDF: name a file ending in .nc")
    _check_free([target], overwrite=overwrite)
    if group is not None:
        whole: xr.Dataset | xr.DataTree = _streamed(groups[group])
    else:
        root = tree.to_dataset(inherit=False)
        root.attrs.pop("bemsweep", None)  # what only the next packing needs is no part of the results
        parts = {f"/{name}": _streamed(dataset) for name, dataset in groups.items()}
        whole = xr.DataTree.from_dict({"/": _streamed(root), **parts})
    import dask  # noqa: PLC0415 - only here

    # One piece after the other, whatever cluster is at hand: HDF5 takes one at a time, and memory stays small.
    with _whole_file(target) as temporary, dask.config.set(scheduler="synchronous"):
        whole.to_netcdf(temporary, engine="h5netcdf")
    return [target]


def to_parquet(
    tree: xr.DataTree,
    path: str | Path,
    *,
    group: str | None = None,
    variables: Sequence[str] | None = None,
    shape: Shape = "wide",
    overwrite: bool = False,
) -> list[Path]:
    """Write results as Parquet: a file for a group, or a folder with a file for each and ``variants.parquet``.

    Parameters
    ----------
    tree
        What `bemsweep.open_results` returns.
    path
        A file that ends in ``.parquet``, for one group; anything else is a folder.
    group, variables, overwrite
        As for `to_netcdf`.
    shape
        ``wide``: a row per variant and time, a column per variable and key, named as in EnergyPlus's own CSV,
        ``Core_ZN:temperature [degC]``. ``long``: a row per value, with the columns ``variable``, ``units``, one
        for each kind of key, and ``value``. Both begin with ``variant``, the parameters and ``status``.

    Returns
    -------
    list
        The files, when they are whole.

    Raises
    ------
    BemsweepError
        There is no such group or variable, a file exists, or two columns would have one name.

    Side effects
    ------------
    Writes each file, at first under a hidden name beside it.
    """
    return _write_tables(
        tree, path, _parquet_writer, ".parquet", group=group, variables=variables, shape=shape, overwrite=overwrite
    )


def to_csv(
    tree: xr.DataTree,
    path: str | Path,
    *,
    group: str | None = None,
    variables: Sequence[str] | None = None,
    shape: Shape = "wide",
    overwrite: bool = False,
) -> list[Path]:
    """Write results as CSV: a file for a group, or a folder with a file for each and ``variants.csv``.

    Parameters
    ----------
    tree
        What `bemsweep.open_results` returns.
    path
        A file that ends in ``.csv``, for one group; anything else is a folder.
    group, variables, overwrite
        As for `to_netcdf`.
    shape
        As for `to_parquet`.

    Returns
    -------
    list
        The files, when they are whole.

    Raises
    ------
    BemsweepError
        There is no such group or variable, a file exists, or two columns would have one name.

    Side effects
    ------------
    Writes each file, at first under a hidden name beside it. Numbers have as many digits as it takes to read
    them back exactly; what is missing is an empty cell.
    """
    return _write_tables(
        tree, path, _csv_writer, ".csv", group=group, variables=variables, shape=shape, overwrite=overwrite
    )


# What is asked for, and where it goes


def _chosen(tree: xr.DataTree, group: str | None, variables: Sequence[str] | None) -> dict[str, xr.Dataset]:
    """Return the datasets to write by group, with just the variables asked for."""
    if not isinstance(tree, xr.DataTree) or not tree.children:
        raise BemsweepError(
            "there are no groups: pass the tree that open_results returns, and name a group with `group`"
        )
    groups = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    if group is not None and group not in groups:
        told = f"no group {group!r}{nearest(group, groups)}: the study has {', '.join(groups) or 'none'}"
        raise BemsweepError(told)
    if group is not None:
        groups = {group: groups[group]}
    if variables is None:
        return groups
    known = list(dict.fromkeys(str(name) for dataset in groups.values() for name in dataset.data_vars))
    if unknown := [name for name in variables if name not in known]:
        told = f"no variable {unknown[0]!r}{nearest(unknown[0], known)}: there are {', '.join(known)}"
        raise BemsweepError(told)
    wanted = {name: [one for one in variables if one in dataset.data_vars] for name, dataset in groups.items()}
    return {name: groups[name][names] for name, names in wanted.items() if names}


def _local(path: str | Path) -> Path:
    if "://" in str(path):
        raise BemsweepError(f"an export is files of this machine, not {path}: write them here and copy them")
    return Path(path).expanduser()


def _check_free(targets: Iterable[Path], *, overwrite: bool) -> None:
    for target in targets:
        if target.is_dir():
            raise BemsweepError(f"{target} is a folder: name a file")
        if target.exists() and not overwrite:
            raise BemsweepError(f"{target} exists: overwrite it (--overwrite), or write elsewhere")
        if in_the_way := [folder for folder in target.parents if folder.is_file()]:
            raise BemsweepError(f"{in_the_way[0]} is a file, so nothing can be written into it: name another folder")


def _files(path: Path, names: Sequence[str], suffix: str) -> dict[str, Path]:
    """Return the file of each group: `path` itself, or files in the folder `path`."""
    if path.suffix.lower() in _SUFFIXES - {suffix}:
        told = f"{path} is named as {path.suffix} but would hold {suffix}: name a file ending in {suffix}, or a folder"
        raise BemsweepError(told)
    if path.suffix.lower() != suffix:
        return {name: path / f"{name}{suffix}" for name in (*names, _VARIANTS)}
    if len(names) != 1:
        told = f"{path} is one file, but there are the groups {', '.join(names)}: choose one group, or name a folder"
        raise BemsweepError(told)
    return {names[0]: path}


@contextmanager
def _whole_file(target: Path) -> Iterator[Path]:
    """Give a name to write to; only what is whole gets the name `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}-{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _streamed(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset for netCDF: read in pieces when it is written, and without Zarr's own encodings."""
    dataset = dataset.copy()
    for name, variable in dataset.variables.items():
        encoding = {
            key: variable.encoding[key] for key in ("units", "calendar", "coordinates") if key in variable.encoding
        }
        chunks = variable.encoding.get("chunks")
        if name in dataset.data_vars and variable.dtype.kind == "f" and variable.ndim > 1 and variable.size:
            rows = next(end - first for first, end in tiles([variable]))
            dataset[name] = dataset[name].chunk({dim: rows if dim == "variant" else -1 for dim in variable.dims})
            sizes = [min(of_cube, size) for of_cube, size in zip(chunks or variable.shape, variable.shape, strict=True)]
            sizes[0] = min(sizes[0], rows)
            encoding |= {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": tuple(sizes)}
        dataset[name].encoding = encoding
    return dataset


# Tables


def _write_tables(
    tree: xr.DataTree,
    path: str | Path,
    writer: Callable[[Path, pa.Schema], AbstractContextManager[Any]],
    suffix: str,
    *,
    group: str | None,
    variables: Sequence[str] | None,
    shape: Shape,
    overwrite: bool,
) -> list[Path]:
    if shape not in ("wide", "long"):
        raise BemsweepError(f"no shape {shape!r}{nearest(str(shape), ['wide', 'long'])}: wide or long")
    groups = _chosen(tree, group, variables)
    targets = _files(_local(path), list(groups), suffix)
    _check_free(targets.values(), overwrite=overwrite)
    table_of = wide_table if shape == "wide" else long_table
    tables = {name: table_of(dataset) for name, dataset in groups.items()}
    if _VARIANTS in targets:
        tables[_VARIANTS] = variants_table(tree.to_dataset(inherit=False))
    for name, table in tables.items():
        _check_names(table.schema, name)
    for name, table in tables.items():
        with _whole_file(targets[name]) as temporary, writer(temporary, table.schema) as sink:
            for batch in table.batches():
                sink.write_batch(batch)
    return list(targets.values())


def _parquet_writer(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415 - not for CSV

    writer: AbstractContextManager[Any] = ParquetWriter(path, schema, compression="zstd")
    return writer


def _csv_writer(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
    from pyarrow.csv import CSVWriter, WriteOptions  # noqa: PLC0415 - not for Parquet

    writer: AbstractContextManager[Any] = CSVWriter(path, schema, write_options=WriteOptions(quoting_style="needed"))
    return writer


def _check_names(schema: pa.Schema, group: str) -> None:
    if repeated := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        told = f"two columns of {group} would be called {repeated[0]!r}: take the other shape, or netCDF"
        raise BemsweepError(told)
