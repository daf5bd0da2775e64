from __future__ import annotations

import errno
import os

import pytest

from bemsweep import disks
from bemsweep.disks import free_told, why_unwritable
from small_disks import mounted, remount


def test_a_good_folder_lacks_nothing(tmp_path):
    assert why_unwritable(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_what_is_free(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        assert why_unwritable(disk).startswith("has no space left (65,536 bytes")
        remount(disk, "size=4m")
        assert why_unwritable(disk) == ""


def test_a_disk_without_inodes(tmp_path):
    with mounted(tmp_path / "disk", "size=8m,nr_inodes=8") as disk:
        assert "has no room for more files (8,388,608 bytes, 7 inodes free)" in why_unwritable(disk)


def test_a_read_only_disk(tmp_path):
    with mounted(tmp_path / "disk", "size=8m,ro") as disk:
        assert why_unwritable(disk) == "is read-only"


@pytest.mark.parametrize("is_file", [True, False])
def test_no_folder_at_all(tmp_path, is_file):
    path = tmp_path / "none"
    if is_file:
        path.write_text("")
    assert why_unwritable(path) == ("is no folder" if is_file else "does not exist")
    assert "bytes" in free_told(path / "deeper")


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EIO], ids=["EDQUOT", "EIO"])
def test_what_no_disk_here_can_be_made_to_say(tmp_path, monkeypatch, number):
    def refuse(**_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disks.tempfile, "TemporaryFile", refuse)
    told = why_unwritable(tmp_path)
    assert ("quota" in told and "bytes" in told) if number == errno.EDQUOT else "Input/output error" in told
