"""The files that a study names, found anywhere: on memory, over HTTP, on a real S3 server, in archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import traceback
import uuid
import zipfile
from pathlib import Path

import fsspec
import pytest

from bemsweep import input_files
from bemsweep.errors import InputError
from bemsweep.input_files import CSV, EDITS, EPW, MODEL, Input, InputFiles
from bemsweep.store import Store
from s3_servers import free_ports, silent_port
from web_servers import ftp_server, web_server

NAME = "USA_IL_Chicago-OHare [2009].TMYx"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


@pytest.fixture
def files(folder):
    return InputFiles(folder)


@pytest.fixture
def memory():
    """Put files below a URL of their own."""

    def put(**contents):
        place = f"memory://{uuid.uuid4()}"
        for name, content in contents.items():
            with fsspec.open(f"{place}/{name}", "wb") as file:
                file.write(content)
        return place

    return put


def zipped(**contents):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in contents.items():
            opened.writestr(name, content)
    return target.getvalue()


def put_s3(server, url, contents):
    fs = fsspec.filesystem("s3", **server.options, skip_instance_cache=True)
    for name, content in contents.items():
        fs.pipe_file(f"{url.removeprefix('s3://')}/{name}", content)
    return url


def told(files, spec, **how):
    with pytest.raises(InputError) as caught:
        list(files.find(spec, **how))
    return str(caught.value)


# URLs


def test_a_url_becomes_a_file_named_by_its_content(files, memory, cache):
    place = memory(**{"city.epw": b"weather"})
    found = files.find_one(f"{place}/city.epw")
    digest = hashlib.sha256(b"weather").hexdigest()
    assert found == Input(cache / "downloads" / digest / "city.epw", digest, f"{place}/city.epw", f"{place}/city.epw")
    assert found.path.read_bytes() == b"weather"
    assert InputFiles(cache).find_one(f"{place}/city.epw") == found


def test_each_url_is_downloaded_once(files, memory):
    place = memory(**{"a.zip": zipped(**{"a.epw": b"1", "a.ddy": b"2"})})
    epw = files.find_one(f"{place}/a.zip", suffixes=EPW)
    fsspec.filesystem("memory").rm(place, recursive=True)
    assert files.find_ddy(epw).path.read_bytes() == b"2"


def test_a_copy_that_was_altered_is_made_anew(files, memory):
    place = memory(**{"city.epw": b"weather"})
    path = files.find_one(f"{place}/city.epw").path
    path.write_bytes(b"something else")
    assert InputFiles(path.parent).find_one(f"{place}/city.epw").path.read_bytes() == b"weather"


def test_patterns_on_urls_label_files_by_their_names(files, memory):
    place = memory(**{"m/b.idf": b"b", "m/a.idf": b"a", "m/deep/c.idf": b"c", "m/x.txt": b"x"})
    found = dict(files.find(f"{place}/m/*.idf", label="nobody's"))
    assert list(found) == ["a", "b"]
    assert found["a"].place == f"{place}/m/a.idf"
    assert list(dict(files.find(f"{place}/m/**/*.idf"))) == ["a", "b", "c"]
    assert told(files, f"{place}/m/*.osm") == f"{place}/m/*.osm: no file matches"
    with pytest.raises(InputError, match="2 files match, name one of them"):
        files.find_one(f"{place}/m/*.idf")
    assert "needs a bucket or a folder" in told(files, "memory://*/a.idf")


def test_a_name_with_brackets_is_that_file(files, memory):
    place = memory(**{f"{NAME}.epw": b"weather"})
    assert [(label, found.path.name) for label, found in files.find(f"{place}/{NAME}.epw", label="mine")] == [
        ("mine", f"{NAME}.epw")
    ]


@pytest.mark.parametrize("name", ["a[1].idf", "a?.idf"])
def test_a_name_that_could_be_a_pattern_is_that_file_if_it_is_there(files, memory, name):
    place = memory(**{name: b"this", "a1.idf": b"another"})
    ((label, found),) = files.find(f"{place}/{name}", label="mine")
    assert (label, found.path.read_bytes()) == ("mine", b"this")


def test_a_url_that_is_not_there_is_told_with_the_nearest_name(files, memory):
    place = memory(**{"city.epw": b"weather"})
    assert told(files, f"{place}/cty.epw") == f"{place}/cty.epw: no such file (did you mean 'city.epw'?)"
    assert told(files, f"memory://{uuid.uuid4()}/x.epw").endswith("x.epw: no such file")


def test_a_folder_is_no_file(files, memory):
    place = memory(**{"m/a.idf": b"a"})
    assert (
        told(files, f"{place}/m")
        == f"{place}/m: it is a folder; for all files of one give a pattern such as {place}/m/*"
    )


def test_a_url_with_a_secret_is_never_asked_for(files):
    message = told(files, "https://h.invalid/x.epw?X-Amz-Signature=hunter2")
    assert message.startswith("https://h.invalid/x.epw?… carries a secret")
    assert "hunter2" not in message


def test_what_bemsweep_cannot_open_is_told(files, monkeypatch):
    assert told(files, "nonsense://x.idf") == "nonsense://x.idf: Protocol not known: nonsense"
    assert "only zip://NAME.epw::ARCHIVE" in told(files, "simplecache::s3://b/x.idf")
    assert "only zip://NAME.epw::ARCHIVE" in told(files, "zip://a.idf::zip://b.zip::s3://b/x.zip")
    assert "only zip://NAME.epw::ARCHIVE" in told(files, "zip://a.idf")


@pytest.mark.parametrize(
    ("url", "package", "extra"), [("gs://b/x.idf", "gcsfs", "gcs"), ("abfs://c/x.idf", "adlfs", "azure")]
)
def test_a_missing_extra_is_told_with_its_command(files, monkeypatch, url, package, extra):
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url.partition("://")[0], raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert f"pip install 'bemsweep[{extra}]'" in told(files, url)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("gs://b/x", "GcsFileSystem"), ("gcs://b/x", "GcsFileSystem"), ("az://c/x", "AzureBlobFileSystem"),
        ("abfss://c/x", "AzureBlobFileSystem"), ("s3a://b/x", "S3"), ("https://h/x", "HTTPFileSystem"),
    ],
)  # fmt: skip
def test_the_right_filesystem_is_chosen(folder, url, kind):
    options = {"gs": {"token": "anon"}, "az": {"account_name": "nobody", "anon": True}}
    filesystem, _ = InputFiles(folder, options)._open(url)
    assert type(filesystem).__name__.endswith(kind)


def test_keys_of_options_that_can_never_count_are_told(folder):
    found = InputFiles(folder, {"s3": {}, "gcs": {}, "abfss": {}, "sss": {}, "https://h": {}}).unknown_protocols()
    assert [key for key, _ in found] == ["sss"]


def test_nothing_half_is_left_if_a_download_fails(files, memory, cache, monkeypatch):
    place = memory(**{"city.epw": b"weather"})

    def fail(self, path, to, **_):
        Path(to).write_bytes(b"half")
        raise OSError(5, "the line broke")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", fail)
    assert "the line broke" in told(files, f"{place}/city.epw")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


# HTTP


def test_files_over_http(files):
    served = {"/w/USA IL.epw": b"weather", "/w/USA IL.ddy": b"days", "/m/o.idf": b"model", "/m/x 1.csv": b"1"}
    with web_server(served) as url:
        epw = files.find_one(f"{url}/w/USA%20IL.epw?raw=1")
        assert (epw.path.read_bytes(), epw.path.name) == (b"weather", "USA IL.epw")
        assert files.find_ddy(epw).path.read_bytes() == b"days"
        model = files.find_one(f"{url}/m/o.idf")
        assert files.find_one("x 1.csv", origin=model).path.read_bytes() == b"1"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "the server does not let you read it: download it with your browser and name the file (ClientResponse"),
        (401, "the server wants you to log in"),
        (404, "no such file"),
        (500, "the server has a fault of its own: try again later"),
        (503, "the server asks for fewer requests"),
    ],
)
def test_faults_over_http_are_told_apart(files, cache, status, message):
    with web_server({"/x.epw": b"x"}, statuses={"/x.epw": status}) as url:
        found = told(files, f"{url}/x.epw")
    assert found.startswith(f"{url}/x.epw: {message}")
    assert ("no such file" in found) == (status == 404)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("status", [403, 410, 500])
def test_where_a_server_sends_us_is_not_shown(files, status):
    """Many sites answer with a redirect to a signed URL: whoever has that has the file."""
    redirects = {"/a.idf": "/there?X-Amz-Signature=hunter2"}
    with web_server({}, statuses={"/there": status}, redirects=redirects) as url:
        try:
            list(files.find(f"{url}/a.idf"))
        except InputError:
            shown = traceback.format_exc()
    assert "hunter2" not in shown


def test_half_a_file_over_http_is_none(files, cache):
    with web_server({"/x.epw": bytes(100_000)}, cut=["/x.epw"]) as url:
        assert told(files, f"{url}/x.epw").startswith(f"{url}/x.epw: no whole answer from the server")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_server_that_is_not_there_is_told(files):
    (port,) = free_ports(1)
    message = told(files, f"http://127.0.0.1:{port}/x.epw")
    assert message.startswith(f"http://127.0.0.1:{port}/x.epw: no whole answer from the server: check the address")


def test_a_silent_server_is_told(files, monkeypatch):
    monkeypatch.setattr(input_files, "_SILENCE_S", 0.3)
    with silent_port() as port:
        assert "no whole answer from the server" in told(files, f"http://127.0.0.1:{port}/x.epw")


def test_http_has_no_patterns(files):
    assert "no listing of files" in told(files, "https://h.invalid/*.epw")


def test_files_over_ftp(files, folder):
    (folder / "w").mkdir()
    (folder / "w" / "c 1.epw").write_bytes(b"weather")
    (folder / "w" / "c 1.ddy").write_bytes(b"days")
    with ftp_server(folder) as url:
        epw = files.find_one(f"{url}/w/c 1.epw")
        assert epw.path.read_bytes() == b"weather"
        assert files.find_ddy(epw).path.read_bytes() == b"days"
        assert [(label, one.place) for label, one in files.find(f"{url}/w/*.epw")] == [("c 1", f"{url}/w/c 1.epw")]
        assert "550" in told(files, f"{url}/w/c 2.epw")
    assert told(InputFiles(folder), f"{url}/w/c 1.epw").startswith(f"{url}/w/c 1.epw: no answer from the server")


# S3


def test_files_on_s3(s3, folder):
    contents = {"m/a.idf": b"a", "m/b.idf": b"b", "m/x.csv": b"1", "w/c.epw.gz": gzip.compress(b"c")}
    bucket = put_s3(s3, s3.new_bucket(), contents)
    files = InputFiles(folder, {"s3": s3.options})
    found = dict(files.find(f"{bucket.replace('s3:', 's3a:')}/m/*.idf"))
    assert list(found) == ["a", "b"]
    assert files.find_one("x.csv", origin=found["a"]).path.read_bytes() == b"1"
    assert files.find_one(f"{bucket}/w/c.epw.gz").path.read_bytes() == b"c"
    assert told(files, f"{bucket}/m/aa.idf") == f"{bucket}/m/aa.idf: no such file (did you mean 'a.idf'?)"
    assert told(files, f"{bucket}/m/*.osm") == f"{bucket}/m/*.osm: no file matches"


def test_the_stores_options_open_inputs_beside_it(s3, folder):
    bucket = put_s3(s3, s3.new_bucket(), {"a.idf": b"a"})
    store = Store(f"{bucket}/store", s3.options)
    assert InputFiles(folder, store=store).find_one(f"{bucket}/a.idf").path.read_bytes() == b"a"


def test_the_environment_opens_inputs_if_nothing_else_does(s3_env, folder):
    bucket = put_s3(s3_env, s3_env.new_bucket(), {"a.idf": b"a"})
    assert InputFiles(folder).find_one(f"{bucket}/a.idf").path.read_bytes() == b"a"


def test_faults_on_s3_are_told_apart_and_without_secrets(s3, folder):
    bucket = put_s3(s3, s3.new_bucket(), {"a.idf": b"a"})
    (port,) = free_ports(1)
    faults = {
        "the secret does not fit": {**s3.options, "secret": "hunter2"},
        "does not know this access key": {**s3.options, "key": "hunter2"},
        "no answer from the server": {**s3.options, "endpoint_url": f"http://127.0.0.1:{port}"},
    }
    for message, options in faults.items():
        found = told(InputFiles(folder, {"s3": options}), f"{bucket}/a.idf")
        assert message in found
        assert found.startswith(f"{bucket}/a.idf: ")
        assert "no such file" not in found
        assert "hunter2" not in found
        assert s3.options["secret"] not in found
    for name in ("a.idf", "*.idf", "a[1].idf", "models/*.idf"):
        found = told(InputFiles(folder, {"s3": s3.options}), f"s3://no-such-bucket-of-anyone/{name}")
        assert "no such bucket" in found or "may not do that" in found
    parent, _, name = bucket.rpartition("/")
    assert "it is a folder" in told(InputFiles(folder, {"s3": s3.options}), f"{parent}/{name}")


# What a file names


def test_what_a_model_names_is_looked_for_beside_it(files, memory, folder):
    place = memory(**{"m/o.idf": b"model", "m/x.csv": b"1", "s/y.csv": b"2"})
    other = memory(**{"z.csv": b"3"})
    (folder / "local.csv").write_bytes(b"4")
    model = files.find_one(f"{place}/m/o.idf")
    names = ["x.csv", "../s/y.csv", f"{other}/z.csv", str(folder / "local.csv")]
    assert [files.find_one(name, origin=model).path.read_bytes() for name in names] == [b"1", b"2", b"3", b"4"]
    with pytest.raises(InputError, match=rf"xx.csv: {place}/m/xx.csv: no such file \(did you mean 'x.csv'\?\)"):
        files.find_one("xx.csv", origin=model)


def test_a_local_model_may_name_a_url_and_files_beside_what_it_links_to(files, memory, folder, tmp_path):
    place = memory(**{"z.csv": b"3"})
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "office").write_bytes(b"model")
    (tmp_path / "real" / "x.csv").write_bytes(b"1")
    (folder / "o.idf").symlink_to(tmp_path / "real" / "office")
    model = files.find_one("o.idf")
    assert model.suffix == ".idf"
    assert files.find_one(f"{place}/z.csv", origin=model).path.read_bytes() == b"3"
    assert files.find_one("x.csv", origin=model).path.read_bytes() == b"1"
    with pytest.raises(
        InputError, match=rf"y.csv: no such file \(did you mean.*looked for {folder}/y.csv|y.csv: no such"
    ):
        files.find_one("y.csv", origin=model)


# .gz and .zip


@pytest.mark.parametrize("is_remote", [False, True], ids=["local", "remote"])
def test_a_gz_is_unpacked_and_known_by_what_is_in_it(files, memory, folder, is_remote):
    packed = gzip.compress(b"weather")
    place = memory(**{"c.epw.gz": packed, "c.ddy": b"days"}) if is_remote else str(folder)
    if not is_remote:
        (folder / "c.epw.gz").write_bytes(packed)
        (folder / "c.ddy.gz").write_bytes(gzip.compress(b"days"))
    found = files.find_one(f"{place}/c.epw.gz")
    assert (found.path.name, found.suffix, found.path.read_bytes()) == ("c.epw", ".epw", b"weather")
    assert found.sha256 == hashlib.sha256(b"weather").hexdigest()
    assert files.find_ddy(found).path.read_bytes() == b"days"


@pytest.mark.parametrize("where", ["local", "memory", "http"])
def test_a_weather_archive_gives_its_epw_and_its_ddy(files, memory, folder, where):
    content = zipped(**{f"{NAME}{suffix}": suffix.encode() for suffix in (".epw", ".DDY", ".stat", ".rain")})
    (folder / f"{NAME}.zip").write_bytes(content)
    with web_server({f"/{NAME}.zip": content}) as url:
        place = {"local": ".", "memory": memory(**{f"{NAME}.zip": content}), "http": url}[where]
        ((label, epw),) = files.find(f"{place}/{NAME}.zip", label="chicago", suffixes=EPW)
        ddy = files.find_ddy(epw)
        assert label == "chicago"
        assert (epw.path.read_bytes(), epw.path.name) == (b".epw", f"{NAME}.epw")
        assert ddy.path.read_bytes() == b".DDY"
        inner = files.find_one(f"zip://{NAME}.stat::{place}/{NAME}.zip")
        assert inner.path.read_bytes() == b".stat"


def test_archives_that_match_a_pattern_are_labelled_by_their_names(files, memory):
    place = memory(**{"a.zip": zipped(**{"x.epw": b"1"}), "b.zip": zipped(**{"x.epw": b"2"})})
    assert [(label, one.path.read_bytes()) for label, one in files.find(f"{place}/*.zip", suffixes=EPW)] == [
        ("a", b"1"), ("b", b"2")
    ]  # fmt: skip


def test_several_epw_in_one_archive_are_listed_with_what_to_write(files, folder):
    (folder / "w.zip").write_bytes(zipped(**{"n/a.epw": b"1", "n/b.epw": b"2", "n/b.ddy": b"3"}))
    assert told(files, "w.zip", suffixes=EPW) == (
        "w.zip: holds several .epw, name one, as in zip://n/a.epw::w.zip: n/a.epw, n/b.epw"
    )
    b = files.find_one("zip://n/b.epw::w.zip", suffixes=EPW)
    assert b.path.read_bytes() == b"2"
    assert files.find_ddy(b).path.read_bytes() == b"3"
    assert dict(files.find("zip://n/*.epw::w.zip")).keys() == {"a", "b"}
    assert told(files, "zip://n/c.epw::w.zip").startswith("zip://n/c.epw::w.zip: holds no n/c.epw (did you mean ")
    assert told(files, "w.zip", suffixes=CSV) == "w.zip: holds no .csv, only n/a.epw, n/b.ddy, n/b.epw"
    (folder / "none.zip").write_bytes(zipped(**{"a.epw": b""}))
    with pytest.raises(InputError, match=r"none\.zip: holds no \.ddy, none of them a\.ddy"):
        files.find_ddy(files.find_one("none.zip", suffixes=EPW))


def test_a_model_in_an_archive_has_its_files_beside_it_there(files, memory):
    place = memory(**{"m.zip": zipped(**{"m/o.IDF": b"model", "m/x.csv": b"1", "y.csv": b"2"})})
    model = files.find_one(f"{place}/m.zip", suffixes=MODEL)
    assert model.path.read_bytes() == b"model"
    assert files.find_one("x.csv", origin=model).path.read_bytes() == b"1"
    assert files.find_one("../y.csv", origin=model).path.read_bytes() == b"2"
    with pytest.raises(InputError, match=r"z\.csv: holds no m/z\.csv \(did you mean 'm/x\.csv'\?\)"):
        files.find_one("z.csv", origin=model)


def test_an_archive_never_writes_outside_of_the_cache(files, folder, cache, tmp_path):
    names = ["../../evil.csv", "/etc/evil.csv", "..\\evil.csv", "..", "a/.. /\u2028evil\n.csv"]
    for number, name in enumerate(names):
        path = folder / f"{number}.zip"
        path.write_bytes(zipped(**{name: name.encode()}))
        before = set(tmp_path.rglob("*"))
        found = files.find_one(f"{number}.zip", suffixes=("", *EDITS))
        assert cache in found.path.resolve().parents
        assert not set(found.path.name) & set("/\\:\n\u2028")
        assert found.path.read_bytes() == name.encode()
        assert all(cache in new.parents or new == cache for new in set(tmp_path.rglob("*")) - before)


def test_a_broken_archive_is_told_with_its_name(files, memory):
    place = memory(**{"w.zip": b"<html>not found</html>", "x.epw.gz": b"\x1f\x8b\x08cut"})
    assert told(files, f"{place}/w.zip", suffixes=EPW).startswith(f"{place}/w.zip: is broken, or no .zip")
    assert told(files, f"{place}/x.epw.gz").startswith(f"{place}/x.epw.gz: is broken, or no .gz")


# This machine's files


def test_local_faults_are_told_with_the_name(files, folder):
    (folder / "a.idf").write_bytes(b"a")
    assert told(files, "aa.idf") == f"aa.idf: no such file (did you mean 'a.idf'?): looked for {folder}/aa.idf"
    assert told(files, "~nobody-of-that-name/x.idf").startswith("~nobody-of-that-name/x.idf: ")
    os.mkfifo(folder / "pipe.idf")
    assert "is no file" in told(files, "pipe.idf")


def test_downloads_make_room_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "1000")
    old = tmp_path / "cache" / "downloads" / ("0" * 64) / "old.idf"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"x" * 900)
    os.utime(old, (0, 0))
    fsspec.filesystem("memory").pipe_file("/make-room/new.idf", b"y" * 900)
    found = InputFiles(tmp_path).find_one("memory://make-room/new.idf")
    assert found.path.read_bytes() == b"y" * 900
    assert not old.exists()
