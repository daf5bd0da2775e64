from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import xarray as xr

from bemsweep.lazy_arrays import lazy_variable, pick_outer

VALUES = np.arange(24.0).reshape(2, 3, 4)


def made(reads=None):
    def read(picks):
        reads.append(picks)
        return pick_outer(VALUES, picks)

    function = partial(pick_outer, VALUES) if reads is None else read
    return xr.DataArray(lazy_variable({"a": 2, "b": 3, "c": 4}, float, function, attrs={"units": "J"}))


@pytest.mark.parametrize(
    "key",
    [
        {"a": 0},
        {"b": [2, 0], "c": slice(1, None, 2)},
        {"a": [1, 0], "b": [2, 2], "c": -1},
        {"a": xr.DataArray([0, 1], dims="p"), "c": xr.DataArray([3, 0], dims="p")},
    ],
    ids=["one", "arrays and slices", "repeated", "points"],
)
def test_a_part_is_what_numpy_gives(key):
    expected = xr.DataArray(VALUES, dims=("a", "b", "c"), attrs={"units": "J"}).isel(key)
    xr.testing.assert_identical(made().isel(key), expected)


def test_nothing_is_read_before_it_is_used_and_the_whole_once():
    reads = []
    array = made(reads)
    part = array.isel(b=1)
    assert reads == []
    assert part.sum() == VALUES[:, 1].sum()
    array.values, array.values  # noqa: B018 - reading is what is tested
    assert len(reads) == 2


def test_it_can_be_sent_elsewhere():
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(made())).values, VALUES)
