"""What a check finds out at a URL, and that it leaves nothing there."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict

import pytest

from bemsweep.errors import StoreError
from bemsweep.storage_check import check_storage
from bemsweep.store import Store

ALL = ["write", "read", "list", "overwrite", "delete"]


@pytest.fixture(params=["local", "memory", "s3"])
def place(request, tmp_path):
    """Return URL and options of a store that is not there yet."""
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        return f"{s3.new_bucket()}/store", s3.options
    return str(tmp_path / "a" / "store") if request.param == "local" else f"memory://{uuid.uuid4()}", {}


def answers(found):
    return {attempt.what: attempt.is_allowed for attempt in found.attempts}


def test_everything_is_allowed_and_nothing_stays(place, tmp_path):
    url, options = place
    found = check_storage(url, storage_options=options, size_bytes=100_000)
    assert answers(found) == dict.fromkeys(ALL, True)
    assert found.is_allowed
    assert found.latency_ms > 0
    assert found.upload_mb_s > 0
    assert found.download_mb_s > 0
    assert list(Store(url, options).objects()) == []
    assert list(tmp_path.iterdir()) == [], "no folder either"


def test_what_is_there_is_not_touched(place):
    url, options = place
    store = Store(url, options)
    store.put("a/b", b"mine")
    assert check_storage(url, storage_options=options, size_bytes=1000).is_allowed
    assert {one.name: store.get(one.name) for one in store.objects()} == {"a/b": b"mine"}


@pytest.mark.parametrize("has_object", [True, False])
def test_a_key_that_may_only_read_is_told_as_one(s3, has_object):
    url = s3.new_bucket()
    if has_object:
        Store(url, s3.options).put("records/x", b"data")
    found = check_storage(url, storage_options=s3.read_only_options)
    expected = {"write": False, "read": True if has_object else None, "list": True, "overwrite": None, "delete": False}
    assert answers(found) == expected
    faults = {attempt.what: attempt.fault for attempt in found.attempts}
    assert (faults["write"], faults["delete"], faults["read"]) == ("forbidden", "forbidden", "")
    assert "may not do that" in found.attempts[0].message
    assert found.latency_ms > 0
    assert found.upload_mb_s is None
    assert not found.is_allowed
    assert found.left == (), "nothing was written"
    assert [one.name for one in Store(url, s3.options).objects()] == (["records/x"] if has_object else [])


def test_after_a_fault_that_none_escapes_the_rest_is_not_tried(s3):
    for url, changes, fault in (
        (s3.new_bucket(), {"secret": "wrong-secret"}, "bad secret"),
        (s3.new_bucket(), {"key": "wrong-key"}, "bad key"),
        ("s3://there-is-no-such-bucket", {}, "no bucket"),
    ):
        found = check_storage(url, storage_options={**s3.options, **changes})
        assert answers(found) == dict.fromkeys(ALL, False)
        faults = [attempt.fault for attempt in found.attempts]
        assert faults[1:] == [fault] * 4
        assert faults[0] in (fault, "forbidden"), "some servers say so of writing to a bucket that is not there"
        assert len({attempt.message for attempt in found.attempts[1:]}) == 1


def test_no_secret_is_told(s3, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-environment")
    found = check_storage(s3.new_bucket(), storage_options=s3.options, size_bytes=1000)
    assert "environment: AWS_SECRET_ACCESS_KEY" in found.configuration
    assert {"storage_options: endpoint_url", "storage_options: key"} <= set(found.configuration)
    assert found.endpoint == s3.endpoint_url
    assert found.filesystem.startswith("S3")
    text = json.dumps(asdict(found))
    for secret in (s3.options["secret"], s3.options["key"], "secret-of-the-environment"):
        assert secret not in text


def test_the_endpoint_of_the_environment_is_told(monkeypatch, s3):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint_url)
    options = {name: value for name, value in s3.options.items() if name != "endpoint_url"}
    found = check_storage(s3.new_bucket(), storage_options=options, size_bytes=1000)
    assert (found.endpoint, found.is_allowed) == (s3.endpoint_url, True)


@pytest.mark.parametrize("method", ["put", "get", "names", "delete"])
@pytest.mark.parametrize("calls", range(4))
def test_an_interrupted_check_leaves_nothing(monkeypatch, method, calls, tmp_path):
    url, options = tmp_path / "a" / "store", {}
    real, left = getattr(Store, method), [calls]

    def act(self, *given):
        left[0] -= 1
        if left[0] == -1:
            if method == "put":
                real(self, *given)  # it arrived, but we never heard
            raise KeyboardInterrupt
        return real(self, *given)

    monkeypatch.setattr(Store, method, act)
    try:
        check_storage(url, storage_options=options, size_bytes=1000)
    except KeyboardInterrupt:
        pass
    else:
        assert left[0] >= 0
    monkeypatch.undo()
    assert list(Store(url, options).objects()) == []
    assert list(tmp_path.iterdir()) == []


def lose(monkeypatch, method, answer):
    real = getattr(Store, method)
    monkeypatch.setattr(Store, method, lambda self, *given: answer(real, self, *given))


def test_a_place_that_does_not_keep_its_word_is_no_store(monkeypatch):
    url = f"memory://{uuid.uuid4()}"
    with monkeypatch.context() as patch:
        lose(patch, "names", lambda real, self, folder: [])
        found = check_storage(url, size_bytes=1000)
    assert answers(found) == dict.fromkeys(ALL, True) | {"list": False}
    assert "does not list what was just written" in found.attempts[2].message
    with monkeypatch.context() as patch:
        lose(patch, "get", lambda real, self, name: b"stale" if real(self, name) is not None else None)
        found = check_storage(url, size_bytes=1000)
    assert answers(found)["read"] is False
    with monkeypatch.context() as patch:
        lose(patch, "delete", lambda real, self, name: None)
        found = check_storage(url, size_bytes=1000)
    assert answers(found)["delete"] is False
    assert "still has what was just deleted" in found.attempts[4].message


def test_what_cannot_be_deleted_is_named(monkeypatch):
    def refuse(real, self, name):
        raise StoreError("no", fault="forbidden")

    url = f"memory://{uuid.uuid4()}"
    lose(monkeypatch, "delete", refuse)
    found = check_storage(url, size_bytes=1000)
    assert answers(found) == dict.fromkeys(ALL, True) | {"delete": False}
    assert found.left == tuple(f"{url}/{one.name}" for one in Store(url).objects())
    assert len(found.left) == 1
    assert found.upload_mb_s is None


def test_a_url_of_no_filesystem_is_refused():
    with pytest.raises(StoreError, match=r"no store at nosuch://x: Protocol not known: nosuch"):
        check_storage("nosuch://x")
