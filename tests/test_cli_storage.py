"""The commands of stores and studies: what they print, and with which status they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from typer.testing import CliRunner

import bemsweep as bs
from bemsweep.cli import app
from bemsweep.store import Store
from s3_servers import free_ports
from small_studies import filled, two_studies

DAY_S = 25 * 3600


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return two_studies(Store(tmp_path_factory.mktemp("made")))


@pytest.fixture
def store(made, tmp_path):
    """A store with the studies small and few."""
    return filled(Store(tmp_path / "store"), made)


def call(*words, **how):
    """Return status, what was printed and what was told as an error."""
    done = CliRunner().invoke(app, [str(word) for word in words], **how)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def make_old(store):
    for one in store.objects():
        os.utime(store.path(one.name), (time.time() - DAY_S,) * 2)


# storage check


def test_check(tmp_path):
    status, text, _ = call("storage", "check", tmp_path / "new")
    assert status == 0
    for word in ("LocalFileSystem", "write     yes", "delete    yes", "ms for a small request", "MB/s up"):
        assert word in text
    status, text, _ = call("storage", "check", tmp_path / "new", "--json")
    found = json.loads(text)
    assert (status, found["is_allowed"], len(found["attempts"])) == (0, True, 5)


def in_a_process(environment, *words):
    return subprocess.run(
        [sys.executable, "-m", "bemsweep", *words],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_check_tells_a_key_that_may_only_read_and_a_server_that_is_not_there(s3):
    keys = {
        "AWS_ACCESS_KEY_ID": s3.read_only_options["key"],
        "AWS_SECRET_ACCESS_KEY": s3.read_only_options["secret"],
        "AWS_ENDPOINT_URL": s3.endpoint_url,
    }
    url = s3.new_bucket()
    Store(url, s3.options).put("records/x", b"data")
    done = in_a_process(keys, "storage", "check", url)
    assert done.returncode == 2, done.stderr
    for line in ("  write     NO        forbidden", "  read      yes", "  list      yes", "  overwrite not known"):
        assert line in done.stdout.splitlines()
    assert "ask the bucket's owner" in done.stdout
    assert s3.endpoint_url in done.stdout
    assert keys["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
    done = in_a_process(keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"}, "storage", "check", url)
    assert done.returncode == 3, done.stderr
    assert done.stdout.count("no answer from the server") == 1


def test_check_refuses_what_is_no_store():
    status, _, told = call("storage", "check", "nosuch://x")
    assert (status, "nosuch://x" in told) == (2, True)


def test_what_the_same_command_would_meet_again_is_bad_input(s3):
    list_ = ("studies", "list", "--store")
    wrong = {"AWS_ACCESS_KEY_ID": "nobodys-key"}, {"AWS_SECRET_ACCESS_KEY": "not-its-secret"}
    ended = [in_a_process({**s3.environment, **one}, *list_, s3.new_bucket()) for one in wrong]
    ended.append(in_a_process(s3.environment, *list_, "s3://nobodys-bucket/x"))
    ended.append(in_a_process({}, *list_, "nosuch://x"))
    assert [done.returncode for done in ended] == [2, 2, 2, 2], [done.stderr for done in ended]


ENV_FILES = {"utf16": "A_B=hunter2".encode("utf-16"), "latin1": b"A_B=hunter2\xff", "nul": b"A_B=hunter2\0"}


@pytest.mark.parametrize("content", ENV_FILES.values(), ids=ENV_FILES)
def test_an_env_file_that_is_none_is_told_without_what_is_in_it(tmp_path, content):
    (tmp_path / "lab.env").write_bytes(content)
    status, _, told = call("--env-file", tmp_path / "lab.env", "studies", "list")
    assert status == 2
    assert "lab.env" in told
    assert "hunter" not in told


def test_an_env_file_may_be_a_pipe(tmp_path, monkeypatch):
    """As the shell makes one of ``<(pass show lab)``."""
    monkeypatch.delenv("OF_THE_PIPE", raising=False)
    os.mkfifo(tmp_path / "lab.env")
    writer = threading.Thread(target=(tmp_path / "lab.env").write_text, args=("OF_THE_PIPE=1\n",), daemon=True)
    writer.start()
    status, _, told = call("--env-file", tmp_path / "lab.env", "studies", "list", "--store", tmp_path)
    assert status == 0, told
    assert os.environ.pop("OF_THE_PIPE") == "1"


def test_fetch_opens_the_store_as_the_study_file_says(s3, made, tmp_path, monkeypatch):
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    url = s3.new_bucket()
    filled(Store(url, s3.options), made)
    study = tmp_path / "small.yaml"
    options = f"storage_options: {{s3: {{endpoint_url: '{s3.endpoint_url}'}}}}"
    study.write_text(f"name: small\nbaseline: a.idf\nweather: b.epw\n{options}\noutputs: [summary]\n")
    status, text, told = call("fetch", study, "--store", url, "--to", tmp_path / "raw")
    assert (status, "brought" in text) == (0, True), told


# storage sync


def test_sync(store, tmp_path):
    status, text, _ = call("storage", "sync", store.url, tmp_path / "other")
    assert status == 0
    assert "copied" in text
    status, text, _ = call("storage", "sync", store.url, tmp_path / "other", "--study", "few", "--json")
    done = json.loads(text)
    assert (done["copied"], done["skipped"], done["changed"]) == (0, done["total"], [])
    with pytest.raises(bs.BemsweepError, match="did you mean 'few'"):
        call("storage", "sync", store.url, tmp_path / "other", "--study", "fex")


# storage gc


def test_gc_is_a_dry_run_unless_told_otherwise(store):
    store.put(f"records/00/{'0' * 64}.parquet", b"x" * 2000)
    store.put("probe-1-ab", b"x")
    status, text, _ = call("storage", "gc", "--store", store.url)
    assert status == 0
    assert "2 more are younger than 24 h and left alone: a run may be writing them" in text
    assert "nothing is unused" in text
    make_old(store)
    status, text, _ = call("storage", "gc", "--store", store.url)
    assert "         1 records                 2.0 kB\n" in text
    assert "no study refers to these 2.0 kB; nothing was deleted: --delete does it" in text
    status, text, _ = call("storage", "gc", "--store", store.url, "--older-than", "48")
    assert "nothing is unused" in text
    assert store.has("probe-1-ab")
    status, text, _ = call("storage", "gc", "--store", store.url, "--delete", "--json")
    found = json.loads(text)
    assert found["kinds"] == {"records": {"objects": 1, "bytes": 2000}, "leftovers": {"objects": 1, "bytes": 1}}
    assert found["deleted"] is True
    assert not store.has("probe-1-ab")
    assert call("storage", "gc", "--store", store.url, "--older-than", "23")[0] == 2


# studies


def test_studies_are_listed(store, tmp_path):
    status, text, _ = call("studies", "list", "--store", store.url)
    assert status == 0
    few, small = (line.split() for line in text.splitlines() if line.startswith(("few", "small")))
    assert few[:4] == ["few", "2", "2", "0"]
    assert small[:4] == ["small", "6", "6", "2"]
    found = json.loads(call("studies", "list", "--store", store.url, "--json")[1])
    assert [(one["name"], one["records"]["objects"], one["shared"]["objects"]) for one in found] == [
        ("few", 2, 2), ("small", 6, 2),
    ]  # fmt: skip
    assert "no studies" in call("studies", "list", "--store", tmp_path / "empty")[1]
    store.put("studies/bad/study.json", b"{")
    assert "bad cannot be read" in call("studies", "list", "--store", store.url)[2]


def test_names_of_studies_are_told_whole(store):
    """They are there to be copied into the next command, also from a pipe, which rich takes for 80 columns."""
    name = "a-name-of-a-study-that-is-as-long-as-names-of-studies-are"
    assert call("studies", "rename", "small", name, "--store", store.url)[0] == 0
    _, text, _ = call("studies", "list", "--store", store.url)
    assert name in text
    assert len(text.splitlines()) == 3, "a line for each"


def test_deleting_asks_or_wants_to_be_told(store):
    with pytest.raises(bs.BemsweepError, match="say --yes"):
        call("studies", "delete", "few", "--store", store.url)
    assert store.has("studies/few/study.json")
    status, text, _ = call("studies", "delete", "few", "--store", store.url, "--yes")
    assert status == 0
    assert "its records stay until `bemsweep storage gc`" in text
    assert store.names("studies") == ["small"]
    assert (
        "0 records and raw files"
        not in call("studies", "delete", "small", "--records", "--yes", "--store", store.url)[1]
    )
    assert {one.name.partition("/")[0] for one in store.objects()} == {"costs", "inputs", "probes"}


@pytest.mark.parametrize(("answer", "is_deleted"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_the_answer_counts(store, monkeypatch, answer, is_deleted):
    monkeypatch.setattr("bemsweep.cli_storage._is_asked", lambda: True)
    call("studies", "delete", "few", "--store", store.url, input=f"{answer}\n")
    assert store.has("studies/few/study.json") != is_deleted


def test_renaming(store):
    status, text, _ = call("studies", "rename", "few", "less", "--store", store.url)
    assert (status, text) == (0, "few is less now: write `name: less` in its study file\n")
    assert store.names("studies") == ["less", "small"]
    with pytest.raises(bs.BemsweepError, match="has a study 'small'"):
        call("studies", "rename", "less", "small", "--store", store.url)
