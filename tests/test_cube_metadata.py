"""A cube's root metadata, read and rewritten as bytes."""

from __future__ import annotations

import json

import pytest
import xarray as xr
from zarr.storage import LocalStore

from bemsweep.cube import Cube
from bemsweep.cube_metadata import has_same_chunks, renamed, titles
from cube_study import TEN_DAYS, whole_cube


@pytest.fixture
def root(tmp_path):
    """The root's metadata of a cube, in a file."""
    whole_cube(LocalStore(tmp_path / "cube"))
    return tmp_path / "cube" / "zarr.json"


def test_a_cube_that_has_grown_is_cut_the_same_way(root):
    before = root.read_bytes()
    whole_cube(LocalStore(root.parent), rows=300)
    assert root.read_bytes() != before
    assert has_same_chunks(before, root.read_bytes())


def test_one_of_another_number_format_is_not(root):
    before = root.read_bytes()
    whole_cube(LocalStore(root.parent), dtype="float32")
    assert not has_same_chunks(before, root.read_bytes())


def test_no_cube_has_nothing_that_could_differ(root):
    data = root.read_bytes()
    assert has_same_chunks(None, data)
    assert has_same_chunks(data, None)
    for damaged in (b"{", b"[]", b"\xff"):
        assert not has_same_chunks(damaged, data)


def test_a_renamed_cube_tells_its_name_everywhere_and_is_the_same_otherwise(root):
    before = xr.open_datatree(root.parent, engine="zarr").load()
    root.write_bytes(renamed(root.read_bytes(), "new"))
    after = xr.open_datatree(root.parent, engine="zarr").load()
    cube = Cube.open(LocalStore(root.parent))
    assert cube.attributes == titles("new")
    for node in after.subtree:
        assert {name: node.attrs[name] for name in ("title", "study")} == titles("new")
        xr.testing.assert_equal(node.to_dataset(), before[node.path].to_dataset())
    assert b"a-study" not in root.read_bytes()
    old, new = (json.loads(tree.attrs["bemsweep"]) for tree in (before, after))
    assert {**old, "attributes": {}} == {**new, "attributes": {}}
    assert cube.layout.calendar == TEN_DAYS
