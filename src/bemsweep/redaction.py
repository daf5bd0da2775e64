"""Which names are names of secrets, and texts without what must not be shown: secrets, and what acts on a terminal.

Decides what must not be in a message, a log line or a report. Never looks for secrets where none was given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["is_secret", "redacted", "visible"]

_PARTS = (
    "secret", "password", "passwd", "passphrase", "token", "credential", "signature", "connectionstring", "accesskey",
    "accountkey", "privatekey", "apikey", "customerkey", "authorization", "cookie",
)  # fmt: skip
"""Parts of names, without what is no letter, that only names of secrets have."""
_NAMES = frozenset({"key", "sig", "auth", "xauth", "pw", "pwd", "sas", "subscriptionkey"})
_NO_SECRETS = frozenset({"signatureversion"})
_LEAST_LENGTH, _LEAST_OF_ENVIRONMENT = 4, 8
"""Shorter texts are words such as ``true``, which a message may well have."""
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+:[^/@\s]+@")
_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, marks that turn the direction of writing, and halves of characters."""
_QUERY = re.compile(r"(?<=[?&])([\w.-]+)=([^&\s'\")]+)")


def is_secret(name: str) -> bool:
    """Return True if an option, header or variable of that name holds a secret, or is half of one.

    Examples
    --------
    >>> [name for name in ("key", "AWS_SESSION_TOKEN", "x-api-key", "endpoint_url", "anon") if is_secret(name)]
    ['key', 'AWS_SESSION_TOKEN', 'x-api-key']
    """
    letters = re.sub(r"[^a-z]", "", name.lower())
    if letters in _NO_SECRETS:
        return False
    return letters in _NAMES or any(part in letters for part in _PARTS)


def redacted(text: str, storage_options: Mapping[str, Any] | None = None) -> str:
    """Return a text without the secrets of the options, of the environment, and of URLs in it.

    Examples
    --------
    >>> redacted("ftp://me:hunter2@host/x?sig=abc&page=2 by hunter3", {"password": "hunter3"})
    'ftp://***@host/x?sig=***&page=2 by ***'
    """
    secrets = {one for one in _values(storage_options or {}) if len(one) >= _LEAST_LENGTH}
    secrets |= {one for one in _values(os.environ) if len(one) >= _LEAST_OF_ENVIRONMENT}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _QUERY.sub(
        lambda found: f"{found[1]}=***" if is_secret(found[1]) else found[0], _USER_INFO.sub("***@", text)
    )


def visible(text: str) -> str:
    r"""Return a text with what acts on a terminal, such as an escape sequence, shown by its number.

    Examples
    --------
    >>> print(visible("zone\x1b[2J\r\u202e"))
    zone\x1b[2J\r\u202e
    """
    return _ACTS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _values(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secrets among options, at any depth."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _values(value)
        elif isinstance(value, str) and is_secret(name) and not value.startswith(("/", "~")):  # the path of a file
            yield value
