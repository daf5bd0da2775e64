"""The options that docs/gcp.md and docs/azure.md give are those of the installed packages; no server is asked."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from adlfs import AzureBlobFileSystem
from gcsfs.core import GCSFileSystem
from ruamel.yaml import YAML

from bemsweep.filesystems import open_filesystem
from bemsweep.places import options_for, read_storage_options, secret_options

DOCS = Path(__file__).parent.parent / "docs"
_BLOCK = re.compile(r"^<!-- options -->\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", re.MULTILINE)
_VARIABLE = re.compile(r"\bAZURE_\w+")


def options_of(page):
    (text,) = _BLOCK.findall((DOCS / page).read_text())
    return YAML(typ="safe", pure=True).load(text)["storage_options"]


@pytest.mark.parametrize(("page", "filesystem"), [("gcp.md", GCSFileSystem), ("azure.md", AzureBlobFileSystem)])
def test_options_are_known_and_no_secrets(page, filesystem):
    given = options_of(page)
    assert read_storage_options(given) == given
    assert list(secret_options(given, ())) == []
    known = set(inspect.signature(filesystem.__init__).parameters)
    assert {name for options in given.values() for name in options} <= known
    in_code = {name for row in _ROW.findall((DOCS / page).read_text()) for name in re.findall(r"\w+", row)}
    assert in_code <= known
    assert bool(in_code) == (page == "azure.md")


@pytest.mark.parametrize("prefix", [*options_of("azure.md"), "gs://a-public-bucket"])
def test_what_they_open_keeps_no_listings(prefix, monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    url = f"{prefix}/x" if "://" in prefix else f"{prefix}://box/x"
    options = options_for(url, options_of("gcp.md" if url.startswith("gs") else "azure.md"))
    fs, _ = open_filesystem(url, options)
    assert not fs.dircache.use_listings_cache
    assert open_filesystem(url, {**options, "use_listings_cache": True})[0].dircache.use_listings_cache


def test_variables_of_azure_are_those_that_its_filesystem_reads(monkeypatch):
    source = inspect.getsource(inspect.getmodule(AzureBlobFileSystem))
    told = set(_VARIABLE.findall((DOCS / "azure.md").read_text()))
    assert len(told) > 6
    assert {name for name in told if f'"{name}"' not in source} == set()
