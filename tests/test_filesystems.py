"""Which filesystem serves a URL, and what a person is told if none does."""

from __future__ import annotations

import sys

import pytest

from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.filesystems import open_filesystem


@pytest.mark.parametrize(
    ("url", "package", "path"),
    [
        ("s3://bucket/x", "bemsweep", "bucket/x"),
        ("s3a://bucket/x/", "bemsweep", "bucket/x"),
        ("gs://bucket/x", "gcsfs", "bucket/x"),
        ("gcs://bucket/x", "gcsfs", "bucket/x"),
        ("memory://x", "fsspec", "/x"),
        ("https://host/x", "fsspec", "https://host/x"),
    ],
)
def test_a_url_has_its_filesystem_by_any_of_its_names(url, package, path):
    options = {"token": "anon"} if url.startswith("g") else {"anon": True} if url.startswith("s3") else {}
    fs, root = open_filesystem(url, options)
    assert type(fs).__module__.partition(".")[0] == package
    assert root == path


@pytest.mark.parametrize("protocol", ["az", "abfs", "abfss"])
def test_azure_has_one_filesystem_by_all_of_its_names(protocol):
    fs, root = open_filesystem(f"{protocol}://box/x", {"account_name": "me", "anon": True})
    assert type(fs).__name__ == "AzureBlobFileSystem"
    assert root == "box/x"


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://b/x", "s3fs", "s3"), ("s3a://b/x", "s3fs", "s3"), ("gs://b/x", "gcsfs", "gcs"),
        ("gcs://b/x", "gcsfs", "gcs"), ("az://b/x", "adlfs", "azure"), ("abfs://b/x", "adlfs", "azure"),
        ("https://host/x", "aiohttp", "http"),
    ],
)  # fmt: skip
def test_a_package_that_is_missing_is_told_with_its_install_command(url, package, extra, monkeypatch):
    gone = [name for name in sys.modules if name.partition(".")[0] == package or name == "bemsweep.s3"]
    gone += ["fsspec.implementations.http"] if package == "aiohttp" else []
    for name in gone:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # an import of it fails
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url.partition("://")[0], raising=False)
    with pytest.raises(StoreError) as told:
        open_filesystem(url)
    assert f"pip install 'bemsweep[{extra}]'" in str(told.value)


def test_a_wrong_option_is_told_without_its_value():
    with pytest.raises(StoreError, match="no store at s3://b/x") as told:
        open_filesystem("s3://b/x", {"secret": "hunter22", "password": "hunter23"})
    assert "hunter" not in str(told.value)


def test_an_unknown_protocol_is_told():
    with pytest.raises(StoreError, match="no store at nonsense://x: Protocol not known"):
        open_filesystem("nonsense://x")


def test_what_nothing_serves_is_no_passing_fault():
    for url, options in (("nonsense://x", {}), ("s3://b/x", {"secret": "x", "password": "y"})):
        with pytest.raises(StoreError) as told:
            open_filesystem(url, options)
        assert told.value.fault == Fault.NOT_SERVED
