"""What a filesystem's error means: which fault it is, what to do about it, and whether it passes by itself.

Filesystems raise what their libraries raise: OSError, botocore's, aiohttp's, Azure's and Google's exceptions.
This is the one place that sorts them, by names and codes, so that none of those libraries is imported. It
never touches a filesystem. A fault that cannot be told from "not there" is never taken for it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from bemsweep.redaction import redacted

__all__ = ["LASTING", "PASSING", "Fault", "fault_of", "is_passing", "told"]


class Fault(StrEnum):
    """What went wrong between this machine and a store."""

    MISSING = "missing"
    NO_BUCKET = "no bucket"
    FORBIDDEN = "forbidden"
    BAD_KEY = "bad key"
    BAD_SECRET = "bad secret"  # noqa: S105 - the fault's name
    EXPIRED = "expired"
    CLOCK_SKEW = "clock skew"
    WRONG_REGION = "wrong region"
    WRONG_ENDPOINT = "wrong endpoint"
    NO_CREDENTIALS = "no credentials"
    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    SERVER = "server"
    NO_SPACE = "no space"
    READ_ONLY = "read-only"
    ALTERED = "altered"
    RUINED = "ruined"
    NOT_SERVED = "not served"
    OTHER = "other"


PASSING = (Fault.THROTTLED, Fault.UNREACHABLE, Fault.SERVER)
"""Faults after which another try may succeed."""

LASTING = (
    Fault.NO_BUCKET, Fault.FORBIDDEN, Fault.BAD_KEY, Fault.BAD_SECRET, Fault.EXPIRED, Fault.CLOCK_SKEW,
    Fault.WRONG_REGION, Fault.WRONG_ENDPOINT, Fault.NO_CREDENTIALS, Fault.NOT_SERVED, Fault.READ_ONLY, Fault.RUINED,
)  # fmt: skip
"""Faults that every try meets again, until somebody mends what was given."""

_CODES = {
    Fault.MISSING: ("NoSuchKey", "404", "BlobNotFound"),
    Fault.NO_BUCKET: ("NoSuchBucket", "InvalidBucketName", "ContainerNotFound"),
    Fault.FORBIDDEN: (
        "AccessDenied", "AllAccessDisabled", "403", "AccountProblem", "AuthorizationPermissionMismatch",
        "AuthorizationFailure",
    ),
    Fault.BAD_KEY: ("InvalidAccessKeyId", "InvalidClientTokenId"),
    Fault.BAD_SECRET: ("SignatureDoesNotMatch", "401", "AuthenticationFailed"),
    Fault.EXPIRED: ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "InvalidToken"),
    Fault.CLOCK_SKEW: ("RequestTimeTooSkewed",),
    Fault.WRONG_REGION: (
        "PermanentRedirect", "Redirect", "TemporaryRedirect", "301", "307", "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    ),
    Fault.THROTTLED: (
        "SlowDown", "ServiceUnavailable", "503", "429", "Throttling", "ThrottlingException", "RequestLimitExceeded",
        "TooManyRequests", "ServerBusy", "OperationAborted", "ConditionalRequestConflict", "RequestTimeout", "408",
    ),
    Fault.SERVER: ("InternalError", "500", "502", "504", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"),
}  # fmt: skip
_FAULT_OF_CODE = {code: fault for fault, codes in _CODES.items() for code in codes}

_TELLING_STATUSES = ("401", "403", "408", "429", "500", "502", "503", "504")

_TYPES = {
    "NoCredentialsError": Fault.NO_CREDENTIALS,
    "PartialCredentialsError": Fault.NO_CREDENTIALS,
    "CredentialRetrievalError": Fault.NO_CREDENTIALS,
    "ProfileNotFound": Fault.NO_CREDENTIALS,
    "TokenRetrievalError": Fault.EXPIRED,
    "SSOTokenLoadError": Fault.EXPIRED,
    "UnauthorizedSSOTokenError": Fault.EXPIRED,
    "RefreshError": Fault.EXPIRED,
    "DefaultCredentialsError": Fault.NO_CREDENTIALS,
    "ClientAuthenticationError": Fault.BAD_SECRET,
    "ResponseParserError": Fault.WRONG_ENDPOINT,  # what answers is no S3 server
    "ParamValidationError": Fault.NO_BUCKET,  # botocore refuses the bucket's name
    "SSLError": Fault.WRONG_ENDPOINT,
    "ClientSSLError": Fault.WRONG_ENDPOINT,
    "ClientConnectorSSLError": Fault.WRONG_ENDPOINT,
    "HTTPClientError": Fault.UNREACHABLE,  # botocore's time-outs and cut connections
    "EndpointConnectionError": Fault.UNREACHABLE,
    "IncompleteReadError": Fault.UNREACHABLE,
    "ServiceRequestError": Fault.UNREACHABLE,  # azure
    "ServiceResponseError": Fault.UNREACHABLE,
    "TransportError": Fault.UNREACHABLE,  # google.auth
    "ClientPayloadError": Fault.UNREACHABLE,  # aiohttp
    "ClientConnectionError": Fault.UNREACHABLE,
    "ConnectionError": Fault.UNREACHABLE,
    "TimeoutError": Fault.UNREACHABLE,
    "FileNotFoundError": Fault.MISSING,
    "PermissionError": Fault.FORBIDDEN,
}
_FAMILIES = ("OSError", "BotoCoreError", "ClientError", "AzureError", "GoogleAuthError", "HttpError")
"""Bases of what filesystems raise; anything else is a bug, and not theirs."""

_ADVICE = {
    Fault.MISSING: "there is nothing of that name",
    Fault.NO_BUCKET: "there is no such bucket: make it, or mend the URL",
    Fault.FORBIDDEN: "these credentials may not do that: ask the bucket's owner for read, write, list and delete",
    Fault.BAD_KEY: "the server does not know this access key: set AWS_ACCESS_KEY_ID or AWS_PROFILE to one of this"
    " server's, and AWS_ENDPOINT_URL if it is not Amazon's",
    Fault.BAD_SECRET: "the secret does not fit the access key: set AWS_SECRET_ACCESS_KEY again, without blanks",
    Fault.EXPIRED: "the credentials have expired: log in again (such as aws sso login), then run again to carry on",
    Fault.CLOCK_SKEW: "this machine's clock is wrong, so the server refuses its signatures: set the time",
    Fault.WRONG_REGION: "the bucket is in another region: set AWS_DEFAULT_REGION to the bucket's",
    Fault.WRONG_ENDPOINT: "what answers there is no such server: check AWS_ENDPOINT_URL, and http against https",
    Fault.NO_CREDENTIALS: "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE,"
    " or give storage_options={'anon': True} for a public bucket",
    Fault.THROTTLED: "the server asks for fewer requests: try again later, or with fewer workers",
    Fault.UNREACHABLE: "no answer from the server: check the network, the address (AWS_ENDPOINT_URL) and that it runs",
    Fault.SERVER: "the server has a fault of its own: try again later",
    Fault.NO_SPACE: "there is no space left: make room there, or have its quota raised",
    Fault.READ_ONLY: "it is read-only, or not this user's: have it made writable",
    Fault.ALTERED: "what is stored is cut or altered",
    Fault.RUINED: "what is stored is cut or altered, and nothing else can make it again",
    Fault.NOT_SERVED: "its filesystem takes no such option: check storage_options",
    Fault.OTHER: "",
}

_GOOGLES = (
    "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS to a key file, or give"
    " storage_options={'token': 'anon'} for a public bucket"
)
_AZURES = "run az login and set AZURE_STORAGE_ACCOUNT_NAME, or set AZURE_STORAGE_CONNECTION_STRING"
_ADVICE_ELSEWHERE = {
    ("google", Fault.NO_CREDENTIALS): f"Google's storage finds no credentials: {_GOOGLES}",
    ("google", Fault.EXPIRED): f"the credentials for Google's storage have expired: {_GOOGLES}",
    ("gcsfs", Fault.BAD_SECRET): f"Google's storage does not take these credentials: {_GOOGLES}",
    ("azure", Fault.BAD_SECRET): f"Azure's storage does not take these credentials, or there are none: {_AZURES}",
}
"""(Package of the error, fault) -> advice, where that on S3 would mislead."""


def fault_of(error: BaseException) -> Fault | None:
    """Return what an error of a filesystem means; None if no filesystem raises such a thing.

    Parameters
    ----------
    error
        As it was caught; what caused it is looked at too.
    """
    for one in _chain(error):
        if (code := _code(one)) in _FAULT_OF_CODE:
            return _FAULT_OF_CODE[code]
        if (fault := _fault_of_status(one)) is not None:
            return fault
    return _fault_of_type(error)


def _fault_of_type(error: BaseException) -> Fault | None:
    """Return what an error means that no server sent."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Fault.NO_SPACE
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and error.filename:
        return Fault.READ_ONLY  # of a disk, which names the file
    if isinstance(error, ValueError) and "checksum do not match" in str(error):  # zarr's, of a chunk
        return Fault.ALTERED
    if isinstance(error, ValueError) and "endpoint" in str(error).casefold():  # botocore's, of a malformed URL
        return Fault.WRONG_ENDPOINT
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):  # told only when it is first used
        return Fault.NOT_SERVED
    names = [base.__name__ for base in type(error).__mro__]
    known = next((_TYPES[name] for name in names if name in _TYPES), None)
    return known or (Fault.OTHER if any(name in _FAMILIES for name in names) else None)


def is_passing(error: BaseException) -> bool:
    """Return True if another try may succeed: throttled, unreachable, or the server's own fault."""
    return fault_of(error) in PASSING


def told(error: BaseException, storage_options: Mapping[str, Any] | None = None) -> str:
    """Return what an error means, what to do, and what the filesystem said; without secrets.

    Parameters
    ----------
    error
        As it was caught.
    storage_options
        Of the filesystem: their secrets are left out.
    """
    fault = fault_of(error) or Fault.OTHER
    package = type(error).__module__.partition(".")[0]
    advice = _ADVICE_ELSEWHERE.get((package, fault), _ADVICE[fault])
    said = redacted(f"{type(error).__name__}: {error}", storage_options)
    return f"{advice} ({said})" if advice else said


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and what it was raised from."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__


def _code(error: BaseException) -> str:
    """Return the code that a server gave: S3's word, else the HTTP status."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return str(response.get("Error", {}).get("Code", ""))
    for name in ("error_code", "status", "status_code", "code"):
        code = getattr(error, name, None)
        if isinstance(code, (int, str)) and not isinstance(code, bool):
            return str(getattr(code, "value", code))
    return ""


def _fault_of_status(error: BaseException) -> Fault | None:
    """Return what the HTTP status of an S3 server's answer means, whose code tells nothing: a server of another make
    has words of its own, and a proxy before it none. Never that something is missing.
    """
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return None
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    return _FAULT_OF_CODE[status] if status in _TELLING_STATUSES else None
