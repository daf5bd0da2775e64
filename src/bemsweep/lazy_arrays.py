"""Arrays of which only what is asked for is computed, so that selecting comes before reading.

Gives xarray's lazy indexing a function to call instead of a file to read. Decides nothing about values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["Pick", "Read", "lazy_variable", "pick_outer"]

Pick = int | slice | npt.NDArray[np.intp]
"""What is wanted along one dim: an int takes the dim away."""

Read = Callable[[tuple[Pick, ...]], npt.NDArray[Any]]
"""Returns what is wanted of an array, dim by dim."""


class _Computed(BackendArray):
    """An array that `read` computes part by part."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, read: Read) -> None:
        self.shape = shape
        self.dtype = dtype
        self.read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self.read)


def lazy_variable(sizes: Mapping[Any, int], dtype: Any, read: Read, *, attrs: Mapping[Any, Any]) -> xr.Variable:
    """Return a variable that calls `read` for the part that is used; what was read whole is kept.

    Parameters
    ----------
    sizes
        Length of each dim, in order.
    dtype
        Type of the values.
    read
        What computes a part; it must be picklable if the variable is to be.
    attrs
        Attributes.
    """
    array = indexing.LazilyIndexedArray(_Computed(tuple(sizes.values()), np.dtype(dtype), read))
    return xr.Variable(tuple(sizes), indexing.MemoryCachedArray(array), attrs)  # type: ignore[no-untyped-call]


def pick_outer(array: npt.NDArray[Any], picks: tuple[Pick, ...]) -> npt.NDArray[Any]:
    """Return what `picks` want of an array, each along its own dim."""
    for axis in reversed(range(len(picks))):  # from the last, for an int takes its axis away
        array = array[(slice(None),) * axis + (picks[axis],)]
    return array
