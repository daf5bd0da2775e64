"""What filesystems raise is sorted by what it means."""

from __future__ import annotations

import errno
import pickle

import aiohttp
import pytest
from azure.core import exceptions as azure
from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError
from gcsfs.retry import HttpError
from google.auth import exceptions as google
from s3fs.errors import translate_boto_error

from bemsweep.errors import ModelError, StoreError
from bemsweep.faults import Fault, fault_of, is_passing, told


def s3(code, message="said the server", status=400):
    """Return what s3fs raises when a server answers with this code."""
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate_boto_error(botocore.ClientError(answer, "PutObject"))


def azures(code):
    """Return what Azure's library raises when a server answers with this code."""
    error = azure.HttpResponseError("said the server")
    error.error_code = code
    return error


CASES = {
    "missing": (s3("NoSuchKey"), Fault.MISSING),
    "missing_by_type": (FileNotFoundError("b/x"), Fault.MISSING),
    "no_bucket": (s3("NoSuchBucket"), Fault.NO_BUCKET),
    "bucket_name": (botocore.ParamValidationError(report="Invalid bucket name"), Fault.NO_BUCKET),
    "forbidden": (s3("AccessDenied"), Fault.FORBIDDEN),
    "forbidden_head": (s3("403"), Fault.FORBIDDEN),
    "key": (s3("InvalidAccessKeyId"), Fault.BAD_KEY),
    "secret": (s3("SignatureDoesNotMatch"), Fault.BAD_SECRET),
    "expired": (s3("ExpiredToken"), Fault.EXPIRED),
    "expired_login": (botocore.UnauthorizedSSOTokenError(), Fault.EXPIRED),
    "clock": (s3("RequestTimeTooSkewed"), Fault.CLOCK_SKEW),
    "region": (s3("PermanentRedirect"), Fault.WRONG_REGION),
    "region_signed": (s3("AuthorizationHeaderMalformed"), Fault.WRONG_REGION),
    "endpoint": (ValueError("Invalid endpoint: 127.0.0.1:9"), Fault.WRONG_ENDPOINT),
    "no_s3_server": (ResponseParserError("not well-formed"), Fault.WRONG_ENDPOINT),
    "tls": (botocore.SSLError(endpoint_url="https://x", error="WRONG_VERSION_NUMBER"), Fault.WRONG_ENDPOINT),
    "no_credentials": (botocore.NoCredentialsError(), Fault.NO_CREDENTIALS),
    "no_profile": (botocore.ProfileNotFound(profile="lab"), Fault.NO_CREDENTIALS),
    "slow_down": (s3("SlowDown"), Fault.THROTTLED),
    "unavailable": (s3("ServiceUnavailable"), Fault.THROTTLED),
    "internal": (s3("InternalError"), Fault.SERVER),
    "minio_starting": (s3("XMinioServerNotInitialized", status=503), Fault.THROTTLED),
    "minio_busy": (s3("SlowDownWrite", status=503), Fault.THROTTLED),
    "proxy_late": (s3("", status=408), Fault.THROTTLED),
    "proxy_forbidden": (s3("", status=403), Fault.FORBIDDEN),
    "proxy_missing": (s3("", status=404), Fault.OTHER),
    "refused": (botocore.EndpointConnectionError(endpoint_url="http://x"), Fault.UNREACHABLE),
    "connect_timeout": (botocore.ConnectTimeoutError(endpoint_url="http://x"), Fault.UNREACHABLE),
    "read_timeout": (botocore.ReadTimeoutError(endpoint_url="http://x"), Fault.UNREACHABLE),
    "cut": (botocore.ConnectionClosedError(endpoint_url="http://x"), Fault.UNREACHABLE),
    "cut_body": (aiohttp.ClientPayloadError("not completed"), Fault.UNREACHABLE),
    "disconnected": (aiohttp.ServerDisconnectedError(), Fault.UNREACHABLE),
    "reset": (ConnectionResetError("reset by peer"), Fault.UNREACHABLE),
    "timeout": (TimeoutError(), Fault.UNREACHABLE),
    "option": (TypeError("AioSession.__init__() got an unexpected keyword argument 'profil'"), Fault.NOT_SERVED),
    "full": (OSError(errno.ENOSPC, "No space left on device"), Fault.NO_SPACE),
    "google_forbidden": (HttpError({"code": 403, "message": "no"}), Fault.FORBIDDEN),
    "google_busy": (HttpError({"code": 503, "message": "busy"}), Fault.THROTTLED),
    "google_login": (google.RefreshError("expired"), Fault.EXPIRED),
    "google_none": (google.DefaultCredentialsError("none"), Fault.NO_CREDENTIALS),
    "azure_login": (azure.ClientAuthenticationError("no"), Fault.BAD_SECRET),
    "azure_firewall": (azures("AuthorizationFailure"), Fault.FORBIDDEN),
    "azure_container": (azures("ContainerNotFound"), Fault.NO_BUCKET),
    "azure_away": (azure.ServiceRequestError("no"), Fault.UNREACHABLE),
    "other": (OSError(errno.EIO, "input/output error"), Fault.OTHER),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_what_the_server_meant(case):
    error, fault = CASES[case]
    assert fault_of(error) is fault


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("a bug"), ModelError("x")], ids=lambda error: type(error).__name__
)
def test_what_no_filesystem_raises_is_none(error):
    assert fault_of(error) is None
    assert not is_passing(error)


def test_what_caused_it_counts():
    error = OSError("cannot write")
    error.__cause__ = s3("SlowDown")
    assert fault_of(error) is Fault.THROTTLED


def test_only_what_passes_is_worth_another_try():
    passing = {case for case, (error, _) in CASES.items() if is_passing(error)}
    assert passing == {
        "slow_down", "unavailable", "internal", "minio_starting", "minio_busy", "proxy_late",
        "refused", "connect_timeout", "read_timeout", "cut", "cut_body",
        "disconnected", "reset", "timeout", "google_busy", "azure_away",
    }  # fmt: skip


def test_every_fault_but_unknown_ones_says_what_to_do():
    for error, fault in CASES.values():
        text = told(error)
        assert type(error).__name__ in text
        assert fault is Fault.OTHER or text.index("(") > 10


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (google.DefaultCredentialsError("x"), "gcloud auth application-default login"),
        (google.RefreshError("x"), "gcloud auth application-default login"),
        (HttpError({"code": 401, "message": "x"}), "gcloud auth application-default login"),
        (azure.ClientAuthenticationError("x"), "az login"),
    ],
)
def test_who_is_at_google_or_azure_is_not_sent_to_amazon(error, advice):
    assert advice in told(error)
    assert "AWS" not in told(error)


def test_a_message_shows_no_secret(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    error = OSError("https://me:hunter2@host/?X-Amz-Signature=abcdef with of-the-options and of-the-environment")
    text = told(error, {"client_kwargs": {"aws_secret_access_key": "of-the-options"}})
    assert not any(secret in text for secret in ("hunter2", "abcdef", "of-the-options", "of-the-environment"))


def test_store_errors_keep_their_fault_across_processes():
    error = StoreError("no answer", fault=Fault.UNREACHABLE)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.fault) == ("no answer", "unreachable")
