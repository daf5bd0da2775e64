"""Paths and URLs as texts: names, what is beside what, options and secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bemsweep.places import (
    beside,
    check_no_secret,
    file_name,
    is_pattern,
    is_url,
    label_of,
    member_of,
    options_for,
    protocol_of,
    read_storage_options,
    secret_in,
    secret_options,
    unknown_protocols,
    zip_url,
)


@pytest.mark.parametrize(
    ("place", "protocol"),
    [
        ("s3://b/x", "s3"), ("s3a://b/x", "s3"), ("S3://b/x", "s3"), ("gcs://b", "gs"), ("gs://b", "gs"),
        ("abfs://c@a.dfs.core.windows.net/x", "az"), ("abfss://c", "az"), ("adl://c", "az"), ("az://c", "az"),
        ("https://h/x", "https"), ("http://h/x", "http"), ("memory://x", "memory"),
        ("zip://a.epw::s3://b/x.zip", "zip"),
        ("file:///x", ""), ("local:///x", ""), ("models/a.idf", ""), ("/a b/c.idf", ""), ("bundled:ref/x", ""),
        ("a folder://x", ""), ("C:\\models\\a.idf", ""),
    ],
)  # fmt: skip
def test_protocols_and_their_aliases(place, protocol):
    assert protocol_of(place) == protocol
    assert is_url(place) == bool(protocol)


@pytest.mark.parametrize(
    ("place", "name", "label"),
    [
        ("s3://b/m/office.idf", "office.idf", "office"),
        ("s3://b/USA_IL [TMY3].epw.gz", "USA_IL [TMY3].epw.gz", "USA_IL [TMY3]"),
        ("https://h/a/USA%20IL.epw?raw=1#top", "USA IL.epw", "USA IL"),
        ("zip://a/b.epw::https://h/c.zip", "b.epw", "b"),
        ("weather/USA_IL.725300.zip", "USA_IL.725300.zip", "USA_IL.725300"),
        ("bundled:ref/small_office", "small_office", "small_office"),
        ("x.EPW.GZ", "x.EPW.GZ", "x"),
    ],
)
def test_names_and_labels(place, name, label):
    assert file_name(place) == name
    assert label_of(place) == label


@pytest.mark.parametrize(
    ("place", "is_one"),
    [
        ("s3://b/*.idf", True), ("s3://b/[ab].idf", True), ("s3://b/a?.idf", True), ("models/*.idf", True),
        ("https://h/x.epw?raw=1", False), ("https://h/x[1].epw", False), ("https://h/*.epw", True),
        ("zip://*.epw::a.zip", True), ("zip://a.epw::*.zip", True), ("zip://a.epw::b.zip", False), ("a.idf", False),
    ],
)  # fmt: skip
def test_patterns(place, is_one):
    assert is_pattern(place) is is_one


@pytest.mark.parametrize(
    ("place", "name", "expected"),
    [
        ("s3://b/m/office.idf", "x.csv", "s3://b/m/x.csv"),
        ("s3://b/m/office.idf", "./a/../x.csv", "s3://b/m/x.csv"),
        ("s3://b/m/office.idf", "../../../../x.csv", "s3://b/x.csv"),
        ("s3://b/office.idf", "a/x 1.csv", "s3://b/a/x 1.csv"),
        ("abfs://c@a.dfs.core.windows.net/m/o.idf", "x.csv", "abfs://c@a.dfs.core.windows.net/m/x.csv"),
        ("https://h:8000/m/office.idf?raw=1#top", "a b#1.csv", "https://h:8000/m/a%20b%231.csv?raw=1"),
        ("zip://m/o.idf::s3://b/a.zip", "../x.csv", "zip://x.csv::s3://b/a.zip"),
        ("zip://o.idf::a.zip", "../../x.csv", "zip://x.csv::a.zip"),
    ],
)
def test_what_is_beside(place, name, expected):
    assert beside(place, name) == expected


@given(name=st.text(st.sampled_from("./ab"), min_size=1))
def test_nothing_beside_leads_out_of_a_bucket_or_an_archive(name):
    assert beside("s3://bucket/m/office.idf", name).startswith("s3://bucket/")
    member, archive = member_of(beside("zip://m/o.idf::s3://b/a.zip", f"{name}x"))
    assert archive == "s3://b/a.zip"
    assert ".." not in member.split("/")


def test_members_of_archives():
    assert member_of(zip_url("a/b.epw", "s3://b/c.zip")) == ("a/b.epw", "s3://b/c.zip")
    assert member_of("ZIP:///a.epw::c.zip") == ("a.epw", "c.zip")
    assert member_of("zip://a.epw") == ("", "zip://a.epw")


# Storage options

OPTIONS = {
    "s3": {"profile": "work"},
    "s3://lab": {"anon": True},
    "s3://lab/private/": {"profile": "lab"},
    "https": {"block_size": 0},
    "abfss": {"account_name": "a"},
}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://other/x", {"profile": "work"}),
        ("s3a://other/x", {"profile": "work"}),
        ("s3://lab/x", {"anon": True}),
        ("s3a://lab", {"anon": True}),
        ("s3://lab/private/x", {"profile": "lab"}),
        ("s3://lab/private", {"profile": "lab"}),
        ("s3://lab/private2/x", {"anon": True}),
        ("s3://laboratory/x", {"profile": "work"}),
        ("http://h/x", {}),
        ("az://c/x", {"account_name": "a"}),
        ("models/s3/x", {}),
        ("memory://x", {}),
    ],
)
def test_the_longest_prefix_wins(url, expected):
    assert options_for(url, OPTIONS) == expected


def test_the_stores_options_count_for_its_protocol_if_the_study_has_none():
    store = ("s3a://runs/store", {"key": "k"})
    assert options_for("s3://data/x", {}, store=store) == {"key": "k"}
    assert options_for("s3://data/x", {"s3": {}}, store=store) == {}
    assert options_for("gs://data/x", {}, store=store) == {}
    assert options_for("x.idf", {}, store=("stores/x", {"auto_mkdir": True})) == {}


def test_the_exact_one_of_two_aliases_wins():
    both = {"s3": {"a": 1}, "s3a": {"b": 2}}
    assert options_for("s3a://b/x", both) == {"b": 2}
    assert options_for("s3://b/x", both) == {"a": 1}


@pytest.mark.parametrize(
    "given",
    ["hunter2", {"s3": "hunter2"}, {"key": "hunter2"}, {"s3": {1: "hunter2"}}, {1: {}}, ["hunter2"], {"a b": {}},
     {"client_kwargs": {"x": "hunter2"}}, {"s3://k:hunter2@b": {}}],
)  # fmt: skip
def test_options_of_another_form_are_refused_without_a_value(given):
    with pytest.raises(ValueError, match=r"storage_options|password") as caught:
        read_storage_options(given)
    assert "hunter2" not in str(caught.value)


def test_protocols_that_do_not_exist_are_told():
    found = dict(unknown_protocols({"s3": {}, "htps": {}, "https://h/x": {}, "s4://b": {}}, ["s3", "https"]))
    assert list(found) == ["htps", "s4://b"]
    assert found["htps"] == "there is no protocol 'htps' (did you mean 'https'?)"


# Secrets

SIGNED = "https://b.s3.amazonaws.com/x.epw?X-Amz-Credential=AK&X-Amz-Signature=hunter2"


@pytest.mark.parametrize(
    "url",
    [
        SIGNED, "ftp://me:hunter2@h/x.epw", "s3://AKIA:hun/ter2@b/x", "https://h/x?sv=1&sig=hunter2", "https://h/x?a=1&token=hunter2",
        "https://h/x?X-Goog-Signature=hunter2", "https://h/x?api_key=hunter2", "https://h/x#access_token=hunter2",
        "https://me:12345@h/x", "zip://a.epw::https://h/x.zip?sig=hunter2", "https://h/[x].epw?sig=hunter2",
    ],
)  # fmt: skip
def test_urls_that_carry_a_secret_are_refused_without_showing_it(url):
    told = secret_in(url)
    assert "carries a" in told
    assert "storage_options" in told
    assert not any(secret in told for secret in ("hunter2", "ter2", "12345", "AKIA"))
    with pytest.raises(ValueError, match="carries a"):
        check_no_secret(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/x.epw", "s3://arn:aws:s3:us-west-2:123456789012:accesspoint/p/x@y.idf", "http://h:8000/a@b/x.epw", "memory://a/b",
        "abfs://c@a.dfs.core.windows.net/x", "ftp://anonymous@h/x", "https://h/x?raw=true&id=3", "https://h/x?sig=", "s3://b/a:b@c",
        "a@b:c/x?token=1.idf", "https://[::1]:8000/x.epw",
    ],
)  # fmt: skip
def test_urls_without_a_secret(url):
    assert secret_in(url) == ""
    assert check_no_secret(url) == url


@pytest.mark.parametrize(
    "name",
    [
        "key", "secret", "token", "password", "account_key", "sas_token", "connection_string", "client_secret",
        "credential", "credentials", "session_token", "aws_secret_access_key", "aws_access_key_id", "Authorization",
        "x-api-key", "SSECustomerKey",
    ],
)  # fmt: skip
def test_names_of_secrets_are_refused_at_any_depth(name):
    given = {"s3": {"client_kwargs": {"headers": [{name: "hunter2"}]}}}
    ((path, message),) = secret_options(given, ("storage_options",))
    assert path == ("storage_options", "s3", "client_kwargs", "headers", 0, name)
    assert repr(name) in message
    assert "hunter2" not in message


def test_what_is_no_secret_may_stand_in_a_study_file():
    given = {
        "s3": {
            "profile": "lab", "anon": False, "endpoint_url": "http://127.0.0.1:9000", "requester_pays": True,
            "key": None, "config_kwargs": {"signature_version": "s3v4"},
            "client_kwargs": {"region_name": "eu-central-1"},
        },
        "gs": {"token": "anon", "project": "p"}, "az": {"account_name": "a"}, "s3://my-token-bucket": {"anon": True},
    }  # fmt: skip
    assert list(secret_options(given, ("storage_options",))) == []
    assert read_storage_options(given) == given


def test_a_secret_in_a_value_is_refused():
    given = {"s3": {"endpoint_url": "http://me:hunter2@h"}, "gs": {"token": "hunter2"}}
    found = dict(secret_options(given, ()))
    assert list(found) == [("s3", "endpoint_url"), ("gs", "token")]
    assert "hunter2" not in str(found.values())
