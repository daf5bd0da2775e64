"""The policies of examples/storage allow all that a store needs, and nothing that it does not."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

import bemsweep as bs
from bemsweep.errors import BemsweepError, StoreError
from bemsweep.faults import Fault
from bemsweep.storage_check import check_storage
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from iam_users import IamUser, actions_of, without
from request_counts import counted_requests
from small_studies import FEW, contents, filled, run_study, small_study
from store_uses import LARGE_BYTES, RAW, look, use

EXAMPLES = Path(__file__).parent.parent / "examples" / "storage"
FULL, READ_ONLY = "aws-policy.json", "aws-policy-read-only.json"
PREFIX = "bemsweep"
REFUSED = "these credentials may not do that"
ACTION_OF = {
    "GetObject": "s3:GetObject", "HeadObject": "s3:GetObject", "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject", "UploadPart": "s3:PutObject", "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload", "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject", "ListObjectsV2": "s3:ListBucket",
}  # fmt: skip
"""Operation -> the right that Amazon asks for. Source: Service Authorization Reference, Amazon S3."""


def policy_of(name, bucket):
    """Return a policy of the examples for a bucket."""
    text = (EXAMPLES / name).read_text()
    return json.loads(text.replace("MY-BUCKET", bucket).replace("MY-PREFIX", PREFIX))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def user(other_s3):
    return IamUser(other_s3, f"user-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def url(other_s3):
    return f"{other_s3.new_bucket()}/{PREFIX}"


def bucket_of(url):
    return url.removeprefix("s3://").partition("/")[0]


def test_a_store_needs_no_more_than_the_policy_allows(user, url, tmp_path):
    policy = policy_of(FULL, bucket_of(url))
    with user.enforced(policy) as options, counted_requests() as requests:
        use(Store(f"{url}/store", options), tmp_path)
        with pytest.raises(StoreError, match=REFUSED):
            Store(f"s3://{bucket_of(url)}/elsewhere", options).put("x", b"")
        with pytest.raises(StoreError, match=REFUSED):
            Store(f"{url}-of-others", options).put("x", b"")
    operations = {operation for operation, _ in requests}
    assert {ACTION_OF[operation] for operation in operations} <= actions_of(policy)
    assert {"CompleteMultipartUpload", "DeleteObjects"} <= operations, "large files and many deletions are among it"
    places = {key.partition("/")[0] for operation, key in requests if operation != "DeleteObjects"}
    assert places == {PREFIX, "elsewhere", f"{PREFIX}-of-others"}, "nothing is asked for above the store"


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"])
def test_without_any_action_of_it_a_study_is_refused(user, url, tmp_path, action):
    policy = policy_of(FULL, bucket_of(url))
    with user.enforced(without(policy, action)) as options, pytest.raises(BemsweepError, match=REFUSED):
        run_study(small_study(parameters=FEW), Store(url, options), FakeEngine())


def test_what_was_cut_off_goes_up_again_only_if_it_may_be_given_up(user, url, tmp_path, monkeypatch):
    """s3fs gives up the parts that are there; if it may not, that is what it tells of."""
    (tmp_path / "large").write_bytes(b"x" * LARGE_BYTES)
    policy = policy_of(FULL, bucket_of(url))
    for allowed, succeeds in ((policy, True), (without(policy, "s3:AbortMultipartUpload"), False)):
        with user.enforced(allowed) as options:
            store = Store(url, options).patient(30)
            upload, cuts = store.fs._upload_file_part_concurrent, [True]

            async def cut_once(*given, _upload=upload, _cuts=cuts, **how):
                if _cuts.pop() if _cuts else False:
                    raise ConnectionResetError("cut off")
                return await _upload(*given, **how)

            monkeypatch.setattr(store.fs, "_upload_file_part_concurrent", cut_once)
            if succeeds:
                store.upload(tmp_path / "large", "raw/a/eplusout.sql")
                assert store.get("raw/a/eplusout.sql") == (tmp_path / "large").read_bytes()
            else:
                with pytest.raises(StoreError, match=REFUSED) as told:
                    store.upload(tmp_path / "large", "raw/a/eplusout.sql")
                assert told.value.fault == Fault.FORBIDDEN


def test_every_action_of_the_policy_is_tried():
    tried = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:AbortMultipartUpload"}
    assert actions_of(policy_of(FULL, "b")) == tried
    assert actions_of(policy_of(READ_ONLY, "b")) == {"s3:GetObject", "s3:ListBucket"}


def test_who_may_only_read_opens_everything_and_changes_nothing(other_s3, user, url, tmp_path):
    made, engine = Store(tmp_path / "made"), FakeEngine(raw_files=RAW, faults={4: "fail"})
    run_study(small_study(name="few", parameters=FEW, keep=["*.sql"]), made, engine)
    run_study(small_study(name="few", keep=["*.err"]), made, engine)
    filled(Store(url, other_s3.options), contents(made))
    policy = policy_of(READ_ONLY, bucket_of(url))
    with user.enforced(policy) as options:
        look(Store(url, options), tmp_path)
        found = check_storage(url, storage_options=options)
        allowed = {attempt.what: attempt.is_allowed for attempt in found.attempts}
        assert allowed == {"write": False, "read": True, "list": True, "overwrite": None, "delete": False}
        with pytest.raises(BemsweepError, match=REFUSED):
            bs.plan(small_study(), store=url, storage_options=options, engine=FakeEngine())
    for action in sorted(actions_of(policy)):
        with user.enforced(without(policy, action)) as options, pytest.raises(BemsweepError, match=REFUSED):
            look(Store(url, options), tmp_path / action)
