"""Files of this machine are whole or not there, and their hash is that of their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bemsweep.local_files import replace_by_copy, replace_file, sha256_of, temporary_beside


def names_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_hash_is_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()


@pytest.mark.parametrize("write", ["bytes", "copy"])
def test_a_file_takes_the_place_of_another_and_leaves_nothing(tmp_path, write):
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "a").write_bytes(b"old and longer")
    if write == "bytes":
        replace_file(tmp_path / "a", b"new")
    else:
        replace_by_copy(tmp_path / "source", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names_in(tmp_path) == ["a", "source"]


def test_folders_are_made(tmp_path):
    replace_file(tmp_path / "b" / "c" / "a", b"x")
    assert (tmp_path / "b" / "c" / "a").read_bytes() == b"x"


def test_nothing_is_left_of_what_fails(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names_in(tmp_path) == ["a"]


def test_writers_of_one_file_have_names_of_their_own(tmp_path):
    with temporary_beside(tmp_path / "a") as one, temporary_beside(tmp_path / "a") as other:
        assert one != other
        assert one.parent == other.parent == tmp_path
