"""Filesystems: the one place that makes an fsspec filesystem of a URL and its options.

Decides which class serves a protocol and what it is told, and how each writes what must not be there yet. It never
reads an object.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.local_files import create_file
from bemsweep.places import protocol_of
from bemsweep.redaction import redacted

__all__ = ["create_object", "open_filesystem"]

_WRAPPERS = frozenset(
    {
        "asynclocal", "async_wrapper", "asyncwrapper", "blockcache", "cached", "dask", "dir", "filecache", "generic",
        "libarchive", "pyscript", "reference", "simplecache", "tar", "zip",
    }
)  # fmt: skip
"""Protocols whose filesystems open another one by what their options say: some unpickle what they find there, or fill
in templates. Nothing needs them: the other URL can be named itself."""
_LISTING = frozenset({"gs", "az"})
"""Protocols whose filesystems keep listings unless told not to: a kept one hides what others wrote, such as a lease."""
_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure", "http": "http", "https": "http"}
_creating = threading.Lock()
"""Several of fsspec's filesystems look first and write then."""


def open_filesystem(
    url: str, storage_options: Mapping[str, Any] | None = None, *, is_patient: bool = False
) -> tuple[Any, str]:
    """Return the filesystem of a URL, and the URL's path in it.

    Parameters
    ----------
    url
        Any fsspec URL, or a local path.
    storage_options
        Passed to the filesystem, over what suits us.
    is_patient
        True if a server that is slow to answer is worth waiting for.

    Raises
    ------
    StoreError
        No filesystem knows the URL, its package is not installed (says how to), or the options are wrong.
    """
    protocol, options = protocol_of(url), dict(storage_options or {})
    if protocol in _WRAPPERS:
        told = f"{redacted(url)}: {protocol}:// stands for another place: name the URL or file of that place itself"
        raise StoreError(f"no store at {told}", fault=Fault.NOT_SERVED)
    try:
        if protocol == "s3" and "::" not in url:
            from bemsweep.s3 import S3, s3_options  # noqa: PLC0415 - s3fs is an extra

            return S3(**s3_options(options, is_patient=is_patient)), url.partition("://")[2].rstrip("/")
        suited = {"use_listings_cache": False} if protocol in _LISTING else {}
        fs, path = fsspec.core.url_to_fs(url, **{**suited, **options})
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        hint = f"pip install 'bemsweep[{extra}]'" if extra else str(error)
        raise StoreError(
            f"{redacted(url)} needs a package that is not installed: {hint}", fault=Fault.NOT_SERVED
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        told = f"no store at {redacted(url)}: {redacted(str(error), options)}"
        raise StoreError(told, fault=Fault.NOT_SERVED) from None
    return fs, path


def create_object(fs: Any, path: str, data: bytes) -> None:
    """Write an object whole that must not be there yet; of several at once one succeeds, where the filesystem can.

    Parameters
    ----------
    fs, path
        The filesystem, and the object's path in it.
    data
        What to write.

    Raises
    ------
    OSError
        It is there, or cannot be written; filesystems have many names for the first.
    """
    if isinstance(fs, LocalFileSystem):
        create_file(Path(path), data)
    elif fs.async_impl:  # S3, Google Cloud Storage and Azure, whose servers decide
        fs.pipe_file(path, data, mode="create")
    else:
        with _creating:
            fs.pipe_file(path, data, mode="create")
