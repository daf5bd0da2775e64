"""S3 as s3fs does it, with its traps closed; on a real server."""

from __future__ import annotations

import asyncio
import gc
import pickle

import pytest

from bemsweep.errors import StoreError
from bemsweep.filesystems import open_filesystem
from bemsweep.s3 import s3_options
from bemsweep.store import Store
from request_counts import counted_requests


def test_options_that_are_given_win(s3):
    options = s3_options({"max_concurrency": 4, "config_kwargs": {"read_timeout": 7}}, is_patient=True)
    assert options["max_concurrency"] == 4
    assert options["config_kwargs"]["read_timeout"] == 7
    assert options["config_kwargs"]["connect_timeout"] == 5
    assert options["use_listings_cache"] is False


def test_patience_gives_a_server_more_time():
    slow, quick = (s3_options({}, is_patient=is_patient)["config_kwargs"] for is_patient in (True, False))
    assert slow["read_timeout"] > quick["read_timeout"]


def test_reading_is_one_request(s3):
    fs, root = open_filesystem(s3.new_bucket(), s3.options)
    fs.pipe_file(f"{root}/x", b"data" * 1000)
    with counted_requests() as requests:
        assert fs.cat_file(f"{root}/x") == b"data" * 1000
    assert [operation for operation, _ in requests] == ["GetObject"]


def test_what_others_write_is_seen(s3):
    url = s3.new_bucket()
    (one, root), (other, _) = (open_filesystem(url, s3.options) for _ in range(2))
    one.pipe_file(f"{root}/a", b"")
    assert other.ls(root, detail=False) == [f"{root}/a"]
    one.pipe_file(f"{root}/b", b"")
    assert other.ls(root, detail=False) == [f"{root}/a", f"{root}/b"]


def test_it_travels(s3):
    fs, root = open_filesystem(s3.new_bucket(), s3.options)
    fs.pipe_file(f"{root}/x", b"data")
    again = pickle.loads(pickle.dumps(fs))
    assert type(again) is type(fs)
    assert again.cat_file(f"{root}/x") == b"data"


@pytest.mark.parametrize("prefix", ["what?", "all*", "one[1]"])
def test_only_what_is_named_is_deleted(s3, prefix):
    fs, root = open_filesystem(s3.new_bucket(), s3.options)
    neighbours = [f"{root}/{name}/x" for name in ("what1", "all2", "one1")]
    fs.pipe(dict.fromkeys((f"{root}/{prefix}/x", f"{root}/{prefix}/y/z", *neighbours), b""))
    fs.rm([f"{root}/{prefix}/x", f"{root}/{prefix}/none"])
    fs.rm(f"{root}/{prefix}/y", recursive=True)
    assert sorted(fs.find(root)) == sorted(neighbours)


def test_what_may_not_be_deleted_is_told(s3):
    url = s3.new_bucket()
    fs, root = open_filesystem(url, s3.options)
    fs.pipe_file(f"{root}/x", b"")
    reader, _ = open_filesystem(url, s3.read_only_options)
    with pytest.raises(PermissionError):
        reader.rm([f"{root}/x"])
    assert fs.exists(f"{root}/x")


@pytest.mark.parametrize("wrong", [{"anonymous": True}, {"client_kwargs": {"endpoint": "x"}}], ids=["ours", "nested"])
def test_an_option_that_nobody_knows_is_told(s3, wrong):
    fs, root = open_filesystem(s3.new_bucket(), {**s3.options, **wrong})
    with pytest.raises(StoreError, match=r"storage_options: .*(anonymous|endpoint)"):
        fs.cat_file(f"{root}/x")


def test_it_ends_without_a_word_whoever_collects_it(s3):
    opened = [open_filesystem(s3.new_bucket(), s3.options)]
    opened[0][0].pipe_file(f"{opened[0][1]}/x", b"data")
    gc.collect()  # what others have left, such as s3fs's own filesystems
    told = []

    async def collect():
        asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
        opened.clear()
        gc.collect()
        await asyncio.sleep(0.1)
        gc.collect()

    asyncio.run(collect())
    assert told == []


def test_a_server_that_tells_a_buckets_region_is_believed(other_s3):
    """Moto's is asked as Amazon's is; SeaweedFS's tells none."""
    fs, root = open_filesystem(other_s3.new_bucket(), other_s3.options)
    fs.mkdir("b-elsewhere", create_parents=True, region_name="eu-west-1")
    assert fs.region_of(f"{root}/x/y") == "us-east-1"
    assert fs.region_of("b-elsewhere") == "eu-west-1"
    assert fs.region_of("b-that-is-not-there") is None


def test_a_server_that_tells_no_region_is_not_guessed_at(s3):
    assert Store(s3.new_bucket(), s3.options).region() is None


def test_a_folder_has_no_region(tmp_path):
    assert Store(tmp_path).region() is None
