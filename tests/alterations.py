"""What disks and networks do to objects: cut, flipped, replaced; and reading all of a study."""

from __future__ import annotations

import numpy as np

import bemsweep as bs
from bemsweep import results
from bemsweep.store import Store


def cuts(data: bytes) -> dict[str, bytes]:
    """Return an object cut to nothing, to its half and by its last byte."""
    return {"empty": b"", "half": data[: len(data) // 2], "last byte": data[:-1]}


def flips(data: bytes, name: str, count: int) -> dict[str, bytes]:
    """Return an object with one bit flipped, at places that its name decides."""
    places = np.random.default_rng(list(name.encode())).integers(0, len(data) * 8, count)
    return {f"bit {place}": flipped(data, int(place)) for place in places} if data else {}


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def read_all(store: Store, name: str = "small"):
    """Return all that a study's results hold, by the path of each group."""
    tree = bs.open_results(store, name)
    return {path: node.to_dataset(inherit=False).load() for path, node in tree.subtree_with_keys}


def read_plainly(store: Store, name: str = "small"):
    """Read the same as anybody would, without bemsweep."""
    import xarray as xr

    url = store.url_of(store.study_name(name, "results.zarr"))
    tree = xr.open_datatree(url, engine="zarr", chunks=None)
    return {path: node.to_dataset(inherit=False).load() for path, node in tree.subtree_with_keys}


def same(one, other) -> bool:
    """Return True if two results of `read_all` agree to the last bit, with all that they tell of themselves."""
    return one.keys() == other.keys() and all(one[path].identical(other[path]) for path in one)


def statuses(store: Store, name: str = "small"):
    """Return what `status` tells of each variant."""
    return results.status(store, name)["status"].tolist()
