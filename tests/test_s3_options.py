"""The options that docs/aws.md gives: s3fs takes them, and they reach the requests."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import boto3
import pytest
from ruamel.yaml import YAML

from bemsweep.filesystems import open_filesystem
from bemsweep.places import options_for, read_storage_options, secret_options
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from s3_servers import REGION
from small_studies import FEW, read, run_study, small_study
from store_uses import LARGE_BYTES, OUTPUTS

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^<!-- options -->\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENCRYPTED, OTHERS = (
    YAML(typ="safe", pure=True).load(text)["storage_options"]
    for text in _BLOCK.findall((ROOT / "docs" / "aws.md").read_text())
)


@pytest.fixture(autouse=True)
def profile(tmp_path, monkeypatch):
    (tmp_path / "config").write_text("[profile lab]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def test_a_study_file_may_hold_them():
    for options in (ENCRYPTED, OTHERS):
        assert read_storage_options(options) == options
        assert list(secret_options(options, ())) == []


def opened(url):
    fs, _ = open_filesystem(url, options_for(url, OTHERS))
    fs.connect()
    return fs


def test_each_is_taken_and_counts():
    assert opened("s3://mine/x").s3.meta.region_name == "eu-central-1"
    assert opened("s3://in-another-region/x").s3.meta.region_name == "us-west-2"
    assert opened("s3://a-public-bucket/x").anon
    assert opened("s3://results-of-others/x").req_kw == {"RequestPayer": "requester"}
    assert "vpce" in opened("s3://by-a-private-endpoint/x").s3.meta.endpoint_url


def test_the_key_of_encryption_reaches_every_object_that_is_written(other_s3, tmp_path):
    url = other_s3.new_bucket()
    bucket = url.removeprefix("s3://")
    asked = ENCRYPTED["s3://my-bucket"]
    store = Store(f"{url}/store", {**other_s3.options, **asked})
    run_study(small_study(name="few", parameters=FEW, outputs=OUTPUTS), store, FakeEngine(faults={3: "fail"}))
    (tmp_path / "large").write_bytes(b"x" * LARGE_BYTES)
    store.upload(tmp_path / "large", "raw/a/eplusout.sql")
    credentials = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": REGION}
    s3 = boto3.client("s3", endpoint_url=other_s3.options["endpoint_url"], **credentials)
    told = {}
    for found in store.objects():
        head = s3.head_object(Bucket=bucket, Key=f"store/{found.name}")
        told[found.name] = {
            "ServerSideEncryption": head.get("ServerSideEncryption"),
            "SSEKMSKeyId": head.get("SSEKMSKeyId"),
        }
    assert {name.partition("/")[0] for name in told} >= {"inputs", "records", "raw", "studies"}
    assert {name: how for name, how in told.items() if how != asked["s3_additional_kwargs"]} == {}
    assert read(store, "few").sizes["variant"] == 2


def test_the_lifecycle_is_one_that_a_server_takes(other_s3):
    text = (ROOT / "examples" / "storage" / "aws-lifecycle.json").read_text()
    rules = json.loads(text.replace("MY-PREFIX", "bemsweep"))
    credentials = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": REGION}
    s3 = boto3.client("s3", endpoint_url=other_s3.options["endpoint_url"], **credentials)
    bucket = f"b-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)
    kept = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [rule["ID"] for rule in kept] == ["uploads-that-never-ended", "old-raw-files"]
    assert kept[1]["Filter"] == {"Prefix": "bemsweep/raw/"}
    raw = Store.raw_name("a", "eplusout.sql")
    assert raw.startswith("raw/"), "and nothing else lies there"
