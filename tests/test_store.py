"""The store keeps one contract on every filesystem."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
import pickle
import threading
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from bemsweep import store as module
from bemsweep.errors import StoreError
from bemsweep.faults import Fault
from bemsweep.local_files import replace_file
from bemsweep.store import Store, patience_s
from bemsweep.testing import FakeEngine
from small_disks import mounted, remount
from small_studies import assert_same_cubes, local_client, read, run_study, small_study

IDS = [f"{prefix}{n:062d}" for prefix in ("0a", "0b", "ff") for n in range(3)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(folder))
    return folder


def remote():
    """Return a store that is no folder; `memory://` is one for the whole process, so its name is unique."""
    return Store(f"memory://{uuid.uuid4()}/store")


@pytest.fixture(params=["local", "memory", "s3", "other_s3"])
def store(request, tmp_path):
    if request.param == "local":
        return Store(tmp_path / "store")
    if request.param == "memory":
        return remote()
    server = request.getfixturevalue(request.param)
    return Store(f"{server.new_bucket()}/store", server.options)


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def put_input(store, data=b"Version,25.2;", suffix=".idf"):
    digest = hashlib.sha256(data).hexdigest()
    store.put(store.input_name(digest, suffix), data)
    return digest


# The contract


def test_what_was_put_is_there_until_it_is_deleted(store):
    assert store.get("a/b") is None
    assert not store.has("a/b")
    store.put("a/b", b"one")
    store.put("a/b", b"two")
    assert store.get("a/b") == b"two"
    assert store.has("a/b")
    store.delete("a/b")
    assert store.get("a/b") is None
    assert not store.has("a/b")
    store.delete("a/b")


def test_an_empty_object_is_not_a_missing_one(store):
    store.put("empty", b"")
    assert store.get("empty") == b""
    assert store.has("empty")


def test_names_are_sorted_and_of_one_folder_only(store):
    assert store.names("f") == []
    for name in ("f/b", "f/a", "f/c/d", "g/e"):
        store.put(name, b"x")
    assert store.names("f") == ["a", "b", "c"]


def test_a_folder_is_deleted_whole_and_alone(store):
    for name in ("f/a", "f/c/d", "g/e"):
        store.put(name, b"x")
    store.delete_folder("f")
    store.delete_folder("f")
    assert [one.name for one in store.objects("f")] == []
    assert store.get("g/e") == b"x"


def test_stored_tells_the_variants_that_have_a_record(store):
    for variant in IDS[::2]:
        store.put(store.record_name(variant), b"record")
    store.put("records/0a/notes.txt", b"not a record")
    assert store.stored(IDS) == set(IDS[::2])
    assert store.stored(iter(IDS[:1])) == set(IDS[:1])
    assert store.stored([]) == set()


@pytest.mark.parametrize("in_each", [0, 40, 4000], ids=["empty", "small", "large"])
def test_stored_lists_what_takes_fewer_requests(store, monkeypatch, in_each):
    """Three folders of a store that holds so many records in each."""
    asked = []
    monkeypatch.setattr(Store, "names", lambda self, folder: asked.append(folder) or ["x.parquet"] * in_each)
    monkeypatch.setattr(Store, "objects", lambda self, folder, prefix="": asked.append(folder + prefix) or [])
    store.stored(IDS)
    by_folder = ["records/0a", "records/0b", "records/ff"]
    all_at_once = ["records", "records/0a"]
    assert sorted(asked) == (by_folder if store.is_local or in_each else all_at_once)


def test_many_records_of_an_object_store_are_listed_side_by_side(monkeypatch):
    ids = [f"{number:02x}{'0' * 62}" for number in range(256)]
    for in_each, expected in ((39, ["records"]), (390, [f"records{digit}" for digit in "0123456789abcdef"])):
        asked = []
        monkeypatch.setattr(Store, "names", lambda self, folder, n=in_each: ["x.parquet"] * n)
        monkeypatch.setattr(
            Store, "objects", lambda self, folder, prefix="", asked=asked: asked.append(folder + prefix) or []
        )
        Store("s3://bucket/x").stored(ids)
        assert sorted(asked) == expected


def test_as_file_gives_a_local_file_or_nothing(store, tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    assert store.as_file("a/b.bin", folder) is None
    store.put("a/b.bin", b"data")
    path = store.as_file("a/b.bin", folder)
    assert path.read_bytes() == b"data"
    assert path.name == "b.bin"
    assert files_below(folder) == ([] if store.is_local else ["b.bin"])


def test_a_cube_can_be_written_and_read(store):
    root = zarr.open_group(store.zarr("study"), mode="a")
    root.create_array("x", shape=(4,), chunks=(2,), dtype="f8")[:] = np.arange(4.0)
    again = zarr.open_group(pickle.loads(pickle.dumps(store)).zarr("study"), mode="r")
    np.testing.assert_array_equal(again["x"][:], np.arange(4.0))
    assert store.has("studies/study/results.zarr/zarr.json")


def test_check_writable_leaves_nothing(store):
    store.put("a", b"x")
    store.check_writable()
    assert store.names("") == ["a"]


def test_urls_lead_to_the_objects(store):
    store.put("a/b", b"x")
    assert fsspec.open(store.url_of("a", "b"), **store.storage_options).open().read() == b"x"


def test_objects_tell_size_and_time_of_all_that_is_below(store):
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)
    for name in ("f/a", "f/c/d", "g/e"):
        store.put(name, b"123")
    found = {one.name: one for one in store.objects("f")}
    assert sorted(found) == ["f/a", "f/c/d"]
    assert {one.size_bytes for one in found.values()} == {3}
    assert all(one.modified > before for one in found.values())
    assert sorted(one.name for one in store.objects()) == ["f/a", "f/c/d", "g/e"]
    assert list(store.objects("nothing")) == []


def test_a_file_goes_up_and_comes_down_whole(store, tmp_path):
    data = os.urandom(20_000_000)  # some parts of a multipart upload
    (tmp_path / "file").write_bytes(data)
    store.upload(tmp_path / "file", "raw/x/file")
    assert [one.size_bytes for one in store.objects("raw")] == [len(data)]
    assert store.download("raw/x/file", tmp_path / "there" / "again")
    assert (tmp_path / "there" / "again").read_bytes() == data
    assert not store.download("raw/x/none", tmp_path / "there" / "none")
    assert files_below(tmp_path / "there") == ["again"]
    with pytest.raises(FileNotFoundError, match="no file"):
        store.upload(tmp_path / "none", "raw/x/none")


def test_many_are_deleted_and_what_is_not_there_is_passed_over(store):
    for name in ("f/a", "f/b", "g/e"):
        store.put(name, b"x")
    store.delete_all(["f/a", "f/none", "f/b"])
    store.delete_all([])
    assert [one.name for one in store.objects()] == ["g/e"]


@pytest.mark.parametrize("url", ["simplecache::s3://bucket/x", "zip://x::s3://bucket/x.zip"])
def test_what_is_within_another_url_is_no_store(url):
    with pytest.raises(StoreError, match="name the URL alone"):
        Store(url)


def test_a_url_that_was_pasted_behind_another_is_no_store():
    with pytest.raises(StoreError, match="name that of the store alone"):
        Store("s3://s3://bucket/x")


@pytest.mark.parametrize("url", ["s3:bucket/x", "s3:/bucket/x", "S3A:bucket/x", "gs:bucket"])
def test_half_a_url_is_no_folder(url):
    with pytest.raises(StoreError, match=r"did you mean '.*://bucket"):
        Store(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "https://127.0.0.1:9/x", "ftp://127.0.0.1:9/x"])
def test_what_can_be_read_only_is_no_store(url):
    with pytest.raises(StoreError, match="can be read only"):
        Store(url)


@pytest.mark.parametrize("url", ["simplecache::s3://bucket/x", "sftp://me:hunter2@host/x", "az://box/x?sig=hunter2"])
def test_a_url_that_is_not_alone_is_no_store(url):
    with pytest.raises(StoreError) as told:
        Store(url)
    assert told.value.fault == Fault.NOT_SERVED
    assert "hunter2" not in str(told.value)


def test_patience_is_told_by_the_environment(monkeypatch):
    assert patience_s() == 300
    monkeypatch.setenv("BEMSWEEP_PATIENCE", "12.5")
    assert patience_s() == 12.5
    for wrong in ("long", "-1", "nan", "inf"):
        monkeypatch.setenv("BEMSWEEP_PATIENCE", wrong)
        with pytest.raises(StoreError, match="BEMSWEEP_PATIENCE"):
            patience_s()


def test_a_patient_store_tries_again_and_an_impatient_one_does_not(monkeypatch):
    store = remote()
    tries = []

    def fail_twice(*_, **__):
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionResetError("connection reset by peer")
        return b"data"

    monkeypatch.setattr(store.fs, "cat_file", fail_twice)
    with pytest.raises(StoreError) as told:
        store.get("a")
    assert (told.value.fault, len(tries)) == ("unreachable", 1)
    assert store.patient(30).get("a") == b"data"


def test_a_download_that_is_stopped_leaves_nothing(tmp_path, monkeypatch):
    stop, silent = threading.Event(), threading.Event()
    store = remote().patient(1e6, stop)

    def cut_short(_, path):
        Path(path).write_bytes(b"da")
        stop.set()
        silent.wait(30)

    monkeypatch.setattr(store.fs, "get_file", cut_short)
    monkeypatch.setattr("bemsweep.patience._GRACE_S", 0.2)
    with pytest.raises(StoreError, match="stopped"):
        store.download("a", tmp_path / "x" / "a")
    assert not list((tmp_path / "x").iterdir())
    silent.set()


@settings(max_examples=30)
@given(st.binary(max_size=200))
def test_bytes_come_back_as_they_were(data):
    store = Store("memory://bytes-come-back")
    store.put("x", data)
    assert store.get("x") == data


# Names


def test_names_of_objects():
    digest = "ab" + "0" * 62
    assert Store.input_name(digest, ".idf") == f"inputs/ab/{digest}.idf"
    assert Store.record_name(digest) == f"records/ab/{digest}.parquet"
    assert Store.raw_name(digest, "eplusout.err") == f"raw/{digest}/eplusout.err"
    assert Store.study_name("office", "study.json") == "studies/office/study.json"


# URLs


def test_a_file_url_is_a_path(tmp_path):
    by_path, by_url, by_text = Store(tmp_path / "s"), Store(f"file://{tmp_path}/s"), Store(f"{tmp_path}/s/")
    assert by_path.url == by_url.url == by_text.url == str(tmp_path / "s")
    by_url.put("a", b"x")
    assert by_path.get("a") == b"x"
    assert (tmp_path / "s" / "a").read_bytes() == b"x"


def test_a_relative_path_stays_where_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("here")
    monkeypatch.chdir("/")
    store.put("a", b"x")
    assert (tmp_path / "here" / "a").exists()
    assert Store().url.endswith("/bemsweep-store")


def test_a_tilde_is_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/s").url == str(tmp_path / "s")


@pytest.mark.parametrize("url", ["memory://", "memory://x", "memory://x/y/"])
def test_the_memory_store_is_no_folder(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, name = Store(url), uuid.uuid4().hex
    store.put(name, b"x")
    assert not store.is_local
    assert Store(url).get(name) == b"x"
    assert files_below(tmp_path) == []
    assert fsspec.open(store.url_of(name)).open().read() == b"x"
    store.delete(name)


@pytest.mark.parametrize("name", ["check_writable", "put", "get", "names"])
def test_a_url_that_no_filesystem_knows_is_told(name):
    arguments = {"check_writable": (), "put": ("a", b""), "get": ("a",), "names": ("a",)}[name]
    with pytest.raises(StoreError, match=r"no store at nonsense://x: Protocol not known"):
        getattr(Store("nonsense://x"), name)(*arguments)


# Pickling


def test_a_store_travels_without_its_open_filesystem(store):
    secret = {**store.storage_options, "skip_instance_cache": True}
    opened = Store(store.url, secret)
    opened.put("a", b"x")
    body = pickle.dumps(opened)
    assert len(body) < 500
    again = pickle.loads(body)
    assert (again.url, again.storage_options) == (opened.url, secret)
    assert "_opened" not in vars(again)
    assert again.get("a") == b"x"


def test_storage_options_are_not_shown(store):
    assert "hidden" not in repr(Store(store.url, {"token": "hidden"}))


# Writing whole or not at all


def test_nothing_is_left_of_a_write_that_fails(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    store.put("a/b", b"old")

    def fail(path, data):
        with Path(path).open("wb") as file:
            file.write(data[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(StoreError, match=r"cannot write a/b in the store .*/store \(.*free\): there is no space left"):
        store.put("a/b", b"new")
    assert store.get("a/b") == b"old"
    assert files_below(tmp_path) == ["store/a/b"]


def test_nothing_is_left_if_a_write_is_interrupted(tmp_path, monkeypatch):
    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "a" / "b", b"new")
    assert files_below(tmp_path) == []


def test_readers_see_the_old_object_until_the_new_one_is_whole(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put("a", b"old")
    seen = []
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (seen.append(store.get("a")), real(self, target))[1])
    store.put("a", b"new")
    assert seen == [b"old"]
    assert store.get("a") == b"new"


def test_what_a_killed_writer_left_is_no_object(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put("f/000000.parquet", b"x")
    monkeypatch.setattr(Path, "replace", lambda self, target: None)
    store.put("f/000001.parquet", b"half")
    assert len(files_below(tmp_path / "f")) == 2
    assert store.names("f") == ["000000.parquet"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_store_error(tmp_path, monkeypatch):
    real = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: real(Path("/dev/full"), data))
    with pytest.raises(StoreError, match="no space left"):
        Store(tmp_path).put("a", b"x" * 10_000)


# What cannot be read or written


def test_a_store_below_a_file_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    store = Store(tmp_path / "file" / "store")
    with pytest.raises(StoreError, match=r"cannot write .* in the store .*/file/store"):
        store.check_writable()
    for action in (lambda: store.get("a"), lambda: store.names("a")):
        with pytest.raises(StoreError, match=r"in the store .*/file/store: NotADirectoryError"):
            action()


def test_a_bucket_that_does_not_exist_is_a_store_error(monkeypatch):
    def fail(*_):
        raise FileNotFoundError("The specified bucket does not exist")

    store = remote()
    monkeypatch.setattr(store.fs, "pipe_file", fail)
    with pytest.raises(StoreError, match="bucket does not exist"):
        store.check_writable()


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("cat_file", lambda store: store.get("a")),
        ("info", lambda store: store.has("a")),
        ("ls", lambda store: store.names("a")),
        ("rm_file", lambda store: store.delete("a")),
        ("find", lambda store: store.delete_folder("a")),
        ("find", lambda store: list(store.objects("a"))),
        ("pipe_file", lambda store: store.put("a", b"")),
    ],
)
def test_a_network_that_fails_is_never_an_absence(method, call, monkeypatch):
    def fail(*_, **__):
        raise ConnectionResetError("connection reset by peer")

    store = remote()
    monkeypatch.setattr(store.fs, method, fail)
    with pytest.raises(StoreError, match="ConnectionResetError: connection reset"):
        call(store)


# Local copies of inputs


def test_an_input_is_a_local_file_with_its_suffix(store, cache):
    digest = put_input(store)
    path = store.local_copy(digest, ".idf")
    assert path.read_bytes() == b"Version,25.2;"
    assert path.name == f"{digest}.idf"
    assert (cache in path.parents) is not store.is_local


def test_an_input_is_fetched_once(monkeypatch):
    store = remote()
    digest = put_input(store)
    first = store.local_copy(digest, ".idf")
    store.delete(store.input_name(digest, ".idf"))
    assert store.local_copy(digest, ".idf") == first
    assert Store(store.url).local_copy(digest, ".idf") == first


def test_a_lost_input_is_told(store):
    with pytest.raises(StoreError, match=r"has lost inputs/00/0+\.idf: run the study again from its files"):
        store.local_copy("0" * 64, ".idf")


def test_an_altered_input_is_told_and_never_used(store, cache):
    digest = put_input(store)
    store.put(store.input_name(digest, ".idf"), b"Version,1.0;")
    for one in (store, Store(store.url, store.storage_options)):
        with pytest.raises(StoreError, match="is altered"):
            one.local_copy(digest, ".idf")
    assert not [*cache.glob("inputs/*/*")]


def test_a_damaged_copy_is_fetched_again(cache):
    store = remote()
    digest = put_input(store)
    path = store.local_copy(digest, ".idf")
    path.write_bytes(b"Vers")
    assert Store(store.url).local_copy(digest, ".idf").read_bytes() == b"Version,25.2;"
    path.write_bytes(b"Vers")
    store.delete(store.input_name(digest, ".idf"))
    with pytest.raises(StoreError, match="has lost"):
        Store(store.url).local_copy(digest, ".idf")


def test_a_copy_that_was_swept_away_is_fetched_again():
    store = remote()
    digest = put_input(store)
    store.local_copy(digest, ".idf").unlink()
    assert store.local_copy(digest, ".idf").read_bytes() == b"Version,25.2;"


def test_an_input_is_hashed_once_and_not_for_every_variant(store, monkeypatch):
    digest = put_input(store)
    store.local_copy(digest, ".idf")
    monkeypatch.setattr(module, "sha256_of", None)
    store.local_copy(digest, ".idf")


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "file"))
    store = remote()
    digest = put_input(store)
    with pytest.raises(StoreError, match=r"cannot keep .*/file/inputs"):
        store.local_copy(digest, ".idf")


def test_an_input_in_use_is_not_evicted(store, cache):
    digest = put_input(store)
    path = store.local_copy(digest, ".idf")
    long_ago = path.stat().st_mtime - 86_400
    os.utime(path, (long_ago, long_ago))
    store.local_copy(digest, ".idf")
    assert (path.stat().st_mtime > long_ago) is not store.is_local, "what lies in a store is left as it is"


def test_a_full_disk_is_told_with_its_folder_and_what_is_free(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        store = Store(disk / "store")
        with pytest.raises(
            StoreError, match=rf"cannot write big in the store {disk}/store \([\d,]+ bytes.*free\)"
        ) as full:
            store.put("big", bytes(100_000))
        assert full.value.fault == Fault.NO_SPACE
        assert store.get("big") is None
        assert list((disk / "store").iterdir()) == []
        remount(disk, "size=1m")
        store.put("big", bytes(100_000))
        remount(disk, "ro")
        with pytest.raises(StoreError, match=r"cannot write big in the store .*it is read-only"):
            store.put("big", b"")


@pytest.mark.parametrize("options", ["size=8m,nr_inodes=40", "size=2100k"], ids=["inodes", "space"])
def test_a_study_whose_disk_fills_up_is_finished_once_there_is_room(tmp_path, options):
    with mounted(tmp_path / "disk", options) as disk, local_client() as client:
        store = Store(disk / "store")
        with pytest.raises(
            StoreError, match=rf"cannot write .*{disk}/store.*free\).*no space left.*run again to carry on"
        ):
            run_study(small_study(), store, FakeEngine(), client=client)
        remount(disk, "size=20m,nr_inodes=2000")
        run_study(small_study(), store, FakeEngine(), client=client)
        found = read(store)
    run_study(small_study(), tmp_path / "quiet", FakeEngine())
    assert_same_cubes(found, read(tmp_path / "quiet"))
