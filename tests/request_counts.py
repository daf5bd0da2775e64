"""Counts the requests that this process sends to an S3 server, by what they ask for."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

from aiobotocore.client import AioBaseClient


@contextmanager
def counted_requests():
    """Give a counter of (operation, key) that fills while the block runs."""
    counts: Counter[tuple[str, str]] = Counter()
    original = AioBaseClient._make_api_call

    async def counting(self, operation_name, api_params):
        counts[operation_name, str(api_params.get("Key") or api_params.get("Prefix") or "")] += 1
        return await original(self, operation_name, api_params)

    AioBaseClient._make_api_call = counting
    try:
        yield counts
    finally:
        AioBaseClient._make_api_call = original


def below(counts, folder, operations=()):
    """Return how many requests were for objects below a folder of the store; of `operations` only, if any are given."""
    return sum(
        count
        for (operation, key), count in counts.items()
        if f"/{folder}" in key and (not operations or operation in operations)
    )
