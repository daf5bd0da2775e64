"""Where files are, as texts: paths, URLs and members of archives; and which options open which URL.

Decides what is beside a file, what a file is called, which text carries a secret and which storage options
count. Never opens, lists or looks for anything.
"""

from __future__ import annotations

import glob
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from bemsweep.errors import nearest
from bemsweep.redaction import is_secret

__all__ = [
    "beside",
    "check_no_secret",
    "file_name",
    "is_pattern",
    "is_url",
    "label_of",
    "member_of",
    "options_for",
    "protocol_of",
    "read_storage_options",
    "secret_in",
    "secret_options",
    "unknown_protocols",
    "zip_url",
]

_ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az", "local": "file"}
"""Protocol -> the one of the same meaning by which it is known here."""

_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_PASSWORD = re.compile(r"[\w+.-]+://(?!arn:)[^/?#:@]*:(?!\d+(?:/|$))[^?#]*@")
"""``user:password@`` in front of a host or bucket; a port is none, nor is the colon of an Amazon resource name."""

_WORDS_FOR_TOKENS = frozenset({"anon", "cloud", "google_default", "browser", "cache"})
"""What gcsfs's `token` may say of where credentials come from, which is no secret."""

_INSTEAD = (
    "give it by the environment (such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), by a profile of the SDK, or in "
    "code by bemsweep.Study(storage_options=…)"
)


def protocol_of(place: str) -> str:
    """Return the protocol of a URL, of aliases always the same one; ``""`` for a path of this machine.

    Examples
    --------
    >>> protocol_of("s3a://bucket/model.idf"), protocol_of("models/office.idf")
    ('s3', '')
    """
    head, mark, _ = place.partition("://")
    if not mark or not _PROTOCOL.fullmatch(head):
        return ""
    protocol = _ALIASES.get(head.lower(), head.lower())
    return "" if protocol == "file" else protocol


def is_url(place: str) -> bool:
    """Return True for a URL, of a member of an archive too; False for a path or ``file://``."""
    return bool(protocol_of(place))


def is_pattern(place: str) -> bool:
    """Return True if a name stands for all files that match it; in an http URL a ``?`` begins a query."""
    member, outer = member_of(place)
    if member:
        return glob.has_magic(member) or is_pattern(outer)
    return "*" in place if protocol_of(place) in ("http", "https") else glob.has_magic(place)


def member_of(place: str) -> tuple[str, str]:
    """Return the name in an archive and the archive of ``zip://NAME::ARCHIVE``; ``""`` and `place` for any other.

    Examples
    --------
    >>> member_of("zip://a/chicago.epw::s3://bucket/weather.zip")
    ('a/chicago.epw', 's3://bucket/weather.zip')
    """
    if place.lower().startswith("zip://") and "::" in place:
        member, _, archive = place[len("zip://") :].partition("::")
        return member.strip("/"), archive
    return "", place


def zip_url(member: str, archive: str) -> str:
    """Return what fsspec calls a member of an archive."""
    return f"zip://{member}::{archive}"


def file_name(place: str) -> str:
    """Return a file's own name, without folder, query and percent signs.

    Examples
    --------
    >>> file_name("https://host/USA%20IL.epw.gz?raw=1"), file_name("zip://a/b.epw::c.zip")
    ('USA IL.epw.gz', 'b.epw')
    """
    member, outer = member_of(place)
    if member:
        return PurePosixPath(member).name
    if protocol_of(place) in ("http", "https"):
        return PurePosixPath(unquote(urlsplit(place).path)).name
    return PurePosixPath(outer.removeprefix("bundled:")).name


def label_of(place: str) -> str:
    """Return how the results call a file that has no label of its own: its name without suffixes.

    Examples
    --------
    >>> label_of("s3://bucket/chicago.epw.gz"), label_of("bundled:ref/small_office")
    ('chicago', 'small_office')
    """
    name = file_name(place)
    return PurePosixPath(name[:-3] if name.lower().endswith(".gz") else name).stem


def beside(place: str, name: str) -> str:
    """Return where `name` is, as something in the folder of `place` names it.

    Parameters
    ----------
    place
        A URL, or a member of an archive.
    name
        A relative path; ``..`` leads no higher than the host, the bucket or the archive.

    Examples
    --------
    >>> beside("s3://bucket/models/office.idf", "../schedules/x.csv")
    's3://bucket/schedules/x.csv'
    >>> beside("zip://a/office.idf::s3://bucket/a.zip", "x.csv")
    'zip://a/x.csv::s3://bucket/a.zip'
    """
    member, archive = member_of(place)
    if member:
        return zip_url(_joined(f"/{member}", name).lstrip("/"), archive)
    head, mark, rest = place.partition("://")
    query = ""
    if head.lower() in ("http", "https"):
        parts = urlsplit(place)
        rest, query, name = f"{parts.netloc}{parts.path}", f"?{parts.query}" if parts.query else "", quote(name)
    host, _, path = rest.partition("/")
    return f"{head}{mark}{host}{_joined(f'/{path}', name)}{query}"


def _joined(path: str, name: str) -> str:
    return "/" + posixpath.normpath(posixpath.join(posixpath.dirname(path), name.lstrip("/"))).lstrip("/")


# Storage options


def options_for(
    url: str,
    by_prefix: Mapping[str, Mapping[str, Any]],
    *,
    store: tuple[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the storage options that open a URL: those of the longest prefix, else those of a store like it.

    Parameters
    ----------
    url
        Of an input or of a store.
    by_prefix
        A study's: protocol or URL -> options. A URL stands for itself and all below it.
    store
        URL and options of the store, which also count for inputs of the same protocol.

    Returns
    -------
    dict
        Empty to leave it to the environment.

    Examples
    --------
    >>> options_for("s3a://lab/a.idf", {"s3": {"profile": "work"}, "s3://lab": {"anon": True}})
    {'anon': True}
    """
    protocol = protocol_of(url)
    fitting = [prefix for prefix in by_prefix if _fits(prefix, url)]
    if fitting:
        exact = url.partition("://")[0].lower()
        return dict(by_prefix[max(fitting, key=lambda prefix: (len(_canonical(prefix)), prefix.lower() == exact))])
    if store is not None and protocol and protocol_of(store[0]) == protocol:
        return dict(store[1])
    return {}


def _fits(prefix: str, url: str) -> bool:
    if "://" not in prefix:
        return bool(protocol_of(url)) and protocol_of(f"{prefix}://") == protocol_of(url)
    return f"{_canonical(url)}/".startswith(f"{_canonical(prefix)}/")


def _canonical(place: str) -> str:
    """Return a URL or protocol with the protocol's one name, and without an end that does not count."""
    head, mark, rest = place.partition("://")
    return f"{_ALIASES.get(head.lower(), head.lower())}{mark}{rest}".rstrip("/") if mark else ""


def read_storage_options(given: Any) -> dict[str, dict[str, Any]]:
    """Return a study's storage options, checked in form; no message shows a value.

    Raises
    ------
    ValueError
        They are not a mapping of protocols or URLs to mappings.
    """
    such = "such as {s3: {profile: lab}, 's3://public': {anon: true}}"
    if not isinstance(given, Mapping):
        raise ValueError(f"storage_options are a mapping of protocols or URLs to options, {such}")
    for prefix, options in given.items():
        known = isinstance(prefix, str) and (_PROTOCOL.fullmatch(prefix) or is_url(prefix))
        if not known or not isinstance(options, Mapping):
            name = prefix if isinstance(prefix, str) and not secret_in(prefix) else "one key"
            raise ValueError(f"storage_options are given by protocol or URL, {such}; {name!r} is not of that form")
        if wrong := secret_in(prefix):
            raise ValueError(wrong)
        if any(not isinstance(name, str) for name in options):
            raise ValueError(f"names of storage_options are texts; one of {prefix} is none")
    return {prefix: dict(options) for prefix, options in given.items()}


def unknown_protocols(by_prefix: Mapping[str, Any], known: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the keys of storage options that can never count, and what is wrong with each.

    Parameters
    ----------
    by_prefix
        A study's storage options.
    known
        Every protocol that there is.
    """
    for prefix in by_prefix:
        protocol = prefix.partition("://")[0].lower()
        if protocol not in known:
            yield prefix, f"there is no protocol {protocol!r}{nearest(protocol, known)}"


# Secrets


def secret_in(place: str) -> str:
    """Return what is wrong with a URL that carries a secret, without showing it; ``""`` for any other text."""
    for part in place.split("::"):
        if "://" not in part:
            continue
        shown = re.sub(r"[?#].*", "", part, flags=re.DOTALL)
        if _PASSWORD.match(part):
            shown = f"{part.partition('://')[0]}://…@{shown.rpartition('@')[2]}"
            return f"{shown} carries a password: name it without, and {_INSTEAD}"
        query = urlsplit(part.replace("[", "(").replace("]", ")"))  # which it takes for an address
        names = [name for text in (query.query, query.fragment) for name, _ in parse_qsl(text) if is_secret(name)]
        if names:
            return (
                f"{shown}?… carries a secret, its {names[0]}: a signed URL is for one person and a while; name it "
                f"without, and {_INSTEAD}; or download the file"
            )
    return ""


def check_no_secret(place: str) -> str:
    """Return `place`.

    Raises
    ------
    ValueError
        It is a URL that carries a secret.
    """
    if wrong := secret_in(place):
        raise ValueError(wrong)
    return place


def secret_options(options: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield where storage options hold a secret, at any depth, and what to do instead.

    Parameters
    ----------
    options
        What a study file has under ``storage_options``.
    path
        Where that is.
    """
    if isinstance(options, Mapping):
        for name, value in options.items():
            here = (*path, str(name))
            is_named_so = "://" not in str(name) and is_secret(str(name))
            if is_named_so and value not in (None, "", False) and not _is_word_for_token(name, value):
                yield here, f"{name!r} is a secret, which no study file may hold: {_INSTEAD}"
            else:
                yield from secret_options(value, here)
    elif isinstance(options, (list, tuple)):
        for number, value in enumerate(options):
            yield from secret_options(value, (*path, number))
    elif isinstance(options, str) and (wrong := secret_in(options)):
        yield path, wrong


def _is_word_for_token(name: object, value: object) -> bool:
    return name == "token" and isinstance(value, str) and value in _WORDS_FOR_TOKENS
