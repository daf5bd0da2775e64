"""S3 as bemsweep uses it: s3fs with its traps closed; imported only where a URL asks for S3.

Decides time-outs and what is asked of a server. It never retries for longer than a moment:
`bemsweep.patience` does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError
from botocore.handlers import add_expect_header
from fsspec.asyn import sync_wrapper
from s3fs.core import S3FileSystem
from s3fs.errors import translate_boto_error

from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.redaction import redacted

__all__ = ["S3", "s3_options"]

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_DELETED_AT_ONCE = 1000
"""S3's limit for one request."""


class S3(S3FileSystem):
    """S3 whose every request has a time-out, and which deletes just what it is told to, or raises."""

    retries = 1  # botocore tries again by itself, and we do for longer

    async def set_session(self, refresh: bool = False, kwargs: Any = None) -> Any:
        """Return the client, which waits for no "100 Continue": aiohttp would wait for ever for a silent server's."""
        try:
            client = await super().set_session(refresh=refresh, kwargs=kwargs or {})  # type: ignore[no-untyped-call]
        except (TypeError, AttributeError) as error:  # an option that nobody knows, or one of another form
            said = redacted(str(error), self.storage_options)
            told = f"S3 cannot be opened with these storage_options: {said}"
            raise StoreError(told, fault=Fault.NOT_SERVED) from None
        client.meta.events.unregister("before-call.s3", add_expect_header)
        return client

    @staticmethod
    def close_session(loop: Any, s3: Any) -> None:
        """Close the connections on their own loop; s3fs does it on that of the thread that collects the garbage."""
        if loop is not None and loop.is_running() and _running_loop() not in (None, loop):
            asyncio.run_coroutine_threadsafe(s3.__aexit__(None, None, None), loop)
        else:
            S3FileSystem.close_session(loop, s3)

    async def _region_of(self, path: str) -> str | None:
        """Return the region of Amazon's in which a path's bucket is; None if the server tells none."""
        try:
            answer = await self._call_s3("head_bucket", Bucket=self.split_path(path)[0])  # type: ignore[no-untyped-call]
        except OSError:  # not there, not allowed, or no answer: then nobody tells
            return None
        told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
        return told if _REGION.fullmatch(told) else None

    region_of = sync_wrapper(_region_of)

    async def _rm(self, path: Any, recursive: Any = False, *_: Any, **__: Any) -> None:
        """Delete objects of these names, which s3fs would take for patterns, or all objects below them."""
        paths = [path] if isinstance(path, str) else list(path)
        if recursive:
            paths = [found for folder in paths for found in await self._find(folder)]  # type: ignore[no-untyped-call]
        for first in range(0, len(paths), _DELETED_AT_ONCE):
            await self._bulk_delete(paths[first : first + _DELETED_AT_ONCE])

    async def _bulk_delete(self, pathlist: Sequence[str], **_: Any) -> None:
        """Delete up to a thousand objects; s3fs would pass over those that the server refuses to delete.

        Raises
        ------
        OSError
            One of them is still there.
        """
        bucket = self.split_path(pathlist[0])[0]
        keys = [{"Key": self.split_path(path)[1]} for path in pathlist]
        delete = {"Objects": keys, "Quiet": True}
        answer = await self._call_s3("delete_objects", Bucket=bucket, Delete=delete)  # type: ignore[no-untyped-call]
        for error in answer.get("Errors", ()):
            if error.get("Code") != "NoSuchKey":
                refused = ClientError({"Error": error}, "DeleteObjects")  # type: ignore[no-untyped-call]
                raise translate_boto_error(refused)


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def s3_options(storage_options: dict[str, Any], *, is_patient: bool) -> dict[str, Any]:
    """Return options for `S3`: what is given, over what suits us.

    Parameters
    ----------
    storage_options
        As for s3fs.
    is_patient
        True if a server that is slow to answer is worth waiting for.
    """
    config = {
        "connect_timeout": 5,
        "read_timeout": 60 if is_patient else 10,
        "retries": {"mode": "standard", "total_max_attempts": 2},
        # Checksums beyond Content-MD5 are Amazon's own: several S3 servers answer them with an error.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    return {
        "skip_instance_cache": True,  # a cached one would keep the credentials of an environment that has changed
        "use_listings_cache": False,  # a cached listing hides what others wrote
        "max_concurrency": 1,  # with more s3fs asks for the size before it reads an object
        **storage_options,
        "config_kwargs": {**config, **storage_options.get("config_kwargs", {})},
    }
