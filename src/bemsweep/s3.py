"""S3 as bemsweep uses it: s3fs with its traps closed; imported only where a URL asks for S3.

Decides time-outs and what is asked of a server. It never retries for longer than a moment:
`bemsweep.patience` does.
"""

from __future__ import annotations

from typing import Any

from botocore.handlers import add_expect_header
from s3fs.core import S3FileSystem

__all__ = ["S3", "s3_options"]


class S3(S3FileSystem):
    """S3 whose every request has a time-out."""

    retries = 1  # botocore tries again by itself, and we do for longer

    async def set_session(self, refresh: bool = False, kwargs: Any = None) -> Any:
        """Return the client, which waits for no "100 Continue": aiohttp would wait for ever for a silent server's."""
        client = await super().set_session(refresh=refresh, kwargs=kwargs or {})  # type: ignore[no-untyped-call]
        client.meta.events.unregister("before-call.s3", add_expect_header)
        return client


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
