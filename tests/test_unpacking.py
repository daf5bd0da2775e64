"""One file out of a .gz or .zip, and nothing anywhere else."""

from __future__ import annotations

import gzip
import zipfile

import pytest

from bemsweep import unpacking
from bemsweep.errors import InputError
from bemsweep.unpacking import members, unpack_gz, unpack_member


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "weather.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.mkdir("a folder")
        for name in ("USA IL [TMY3].epw", "b/USA.DDY", "__MACOSX/._x.epw", "._y.epw", "../evil.stat"):
            opened.writestr(name, f"content of {name}")
    return path


def test_members_are_listed_without_what_macos_adds(archive):
    assert members(archive) == ["../evil.stat", "USA IL [TMY3].epw", "b/USA.DDY"]
    assert members(archive, (".epw", ".ddy")) == ["USA IL [TMY3].epw", "b/USA.DDY"]


def test_a_member_is_written_where_it_is_asked_for_only(archive, tmp_path):
    to = tmp_path / "to" / "file"
    to.parent.mkdir()
    before = set(tmp_path.rglob("*"))
    unpack_member(archive, "../evil.stat", to)
    assert to.read_text() == "content of ../evil.stat"
    assert set(tmp_path.rglob("*")) - before == {to}
    with pytest.raises(InputError, match="no such file"):
        unpack_member(archive, "c.epw", to)


def test_a_gz_is_unpacked_and_what_is_none_copied(tmp_path):
    packed, to = tmp_path / "x.gz", tmp_path / "x"
    packed.write_bytes(gzip.compress(b"whole"))
    unpack_gz(packed, to)
    assert to.read_bytes() == b"whole"
    packed.write_bytes(b"unpacked by a server")
    unpack_gz(packed, to)
    assert to.read_bytes() == b"unpacked by a server"


def test_what_unpacks_to_too_much_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1 << 20)
    packed, archive, to = tmp_path / "x.gz", tmp_path / "x.zip", tmp_path / "x"
    bomb = bytes((1 << 20) + 1)
    packed.write_bytes(gzip.compress(bomb))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("x.epw", bomb)
        opened.writestr("y.epw", bomb[1:])
    with pytest.raises(InputError, match="more than 1 MB"):
        unpack_gz(packed, to)
    with pytest.raises(InputError, match="more than 1 MB"):
        unpack_member(archive, "x.epw", to)
    unpack_member(archive, "y.epw", to)


def test_an_archive_of_too_many_files_is_none_of_inputs(archive, monkeypatch):
    monkeypatch.setattr(unpacking, "_MOST_MEMBERS", 3)
    with pytest.raises(InputError, match="holds 6 files"):
        members(archive)


@pytest.mark.parametrize("cut", [0, 100, -30])
def test_a_broken_archive_is_told(archive, cut):
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"is broken, or no \.zip"):
        members(archive)


def test_a_member_that_is_damaged_is_told(tmp_path):
    archive = tmp_path / "stored.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("x.epw", b"8760 hours")
    archive.write_bytes(archive.read_bytes().replace(b"8760", b"8761"))
    with pytest.raises(InputError, match="is broken"):
        unpack_member(archive, "x.epw", tmp_path / "x")


@pytest.mark.parametrize("cut", [5, 30, -4])
def test_a_broken_gz_is_told(tmp_path, cut):
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(bytes(range(256)))[:cut])
    with pytest.raises(InputError, match=r"is broken, or no \.gz"):
        unpack_gz(packed, tmp_path / "x")


def test_a_password_is_told(tmp_path, archive):
    data = bytearray(archive.read_bytes())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(b"USA IL [TMY3].epw", 0 if header == b"PK\3\4" else data.find(b"PK\1\2"))
        data[data.rfind(header, 0, at) + flags] |= 1
    archive.write_bytes(data)
    with pytest.raises(InputError, match=r"cannot be unpacked: .*password"):
        unpack_member(archive, "USA IL [TMY3].epw", tmp_path / "x")
