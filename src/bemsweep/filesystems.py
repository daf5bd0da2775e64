"""Filesystems: the one place that makes an fsspec filesystem of a URL and its options.

Decides which class serves a protocol and what it is told. It never reads or writes an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec
from fsspec.utils import infer_storage_options

from bemsweep.errors import StoreError
from bemsweep.faults import redacted

__all__ = ["open_filesystem", "protocol_of"]

_FAMILIES = {
    "s3": ("s3", "s3a"),
    "gs": ("gs", "gcs"),
    "az": ("az", "abfs", "abfss", "adl"),
    "file": ("file", "local"),
    "http": ("http", "https"),
}
_FAMILY_OF = {protocol: family for family, protocols in _FAMILIES.items() for protocol in protocols}
_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}


def protocol_of(url: str) -> str:
    """Return the protocol of a URL, the same for all of its aliases.

    Examples
    --------
    >>> [protocol_of(url) for url in ("s3a://bucket/x", "gcs://bucket", "abfs://box/x", "models/a.idf")]
    ['s3', 'gs', 'az', 'file']
    """
    protocol = str(infer_storage_options(url)["protocol"])
    return _FAMILY_OF.get(protocol, protocol)


def open_filesystem(
    url: str, storage_options: Mapping[str, Any] | None = None, *, is_patient: bool = False, is_async: bool = False
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
    is_async
        True for use within an event loop.

    Raises
    ------
    StoreError
        No filesystem knows the URL, its package is not installed (says how to), or the options are wrong.
    """
    protocol, options = protocol_of(url), dict(storage_options or {})
    if is_async:
        options["asynchronous"] = True
    try:
        if protocol == "s3" and "::" not in url:
            from bemsweep.s3 import S3, s3_options  # noqa: PLC0415 - s3fs is an extra

            return S3(**s3_options(options, is_patient=is_patient)), url.partition("://")[2].rstrip("/")
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        hint = f"pip install 'bemsweep[{extra}]'" if extra else str(error)
        raise StoreError(f"{redacted(url)} needs a package that is not installed: {hint}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"no store at {redacted(url)}: {redacted(str(error), options)}") from None
    return fs, path
