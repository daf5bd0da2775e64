"""Texts lose their secrets and nothing else."""

from __future__ import annotations

import pytest

from bemsweep.redaction import is_secret, redacted

SECRETS = (
    "key", "secret", "token", "password", "account_key", "sas_token", "connection_string", "aws_secret_access_key",
    "Authorization", "x-api-key", "sig", "X-Amz-Signature", "X-Amz-Credential", "SSECustomerKey",
    "passphrase", "X-Auth",
)  # fmt: skip
OTHERS = ("endpoint_url", "region_name", "anon", "profile", "signature_version", "key_path_style", "account_name")


@pytest.mark.parametrize("name", SECRETS)
def test_names_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_no_secrets(name):
    assert not is_secret(name)


def test_secrets_of_the_environment_go_and_paths_stay(monkeypatch):
    monkeypatch.setenv("LAB_API_TOKEN", "0123456789abcdef")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/home/me/key.json")
    monkeypatch.setenv("NOT_A_TOKEN_BUT_A_SWITCH_TOKEN", "true")
    text = "true: 0123456789abcdef of /home/me/key.json"
    assert redacted(text) == "true: *** of /home/me/key.json"


def test_a_longer_secret_goes_before_a_part_of_it():
    assert redacted("hunter22 hunter", {"secret": "hunter", "token": "hunter22"}) == "*** ***"


def test_a_text_without_secrets_stays():
    text = "cannot read s3://b/x?versionId=3 in the store s3://b: OSError: [Errno 5] no"
    assert redacted(text, {"endpoint_url": "http://127.0.0.1:9", "anon": True}) == text
