"""The local cache: one download per machine, whole files only, a limit, and nobody's files but its own."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import filelock
import pytest

import bemsweep.cache as module
from bemsweep.cache import cache_folder, cache_limit_bytes, cached, keep, kept, touch, trim
from bemsweep.errors import BemsweepError

HOUR, DAY = 3600, 86_400


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("BEMSWEEP_CACHE_SIZE", raising=False)
    monkeypatch.setattr(module, "_growth", module._Growth())
    return tmp_path / "cache"


def name_of(number, suffix=".epw"):
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return f"inputs/{digest[:2]}/{digest}{suffix}"


def put(number, *, age_s, size=100):
    """Put a file into the cache that was used some time ago."""
    path = cache_folder() / name_of(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return aged(path, age_s)


def aged(path, age_s):
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def writer(data=b"data"):
    """Return a fetch, and the list of what it was asked to write."""
    asked = []

    def fetch(path):
        asked.append(path)
        path.write_bytes(data)

    return fetch, asked


def is_data(path):
    return path.read_bytes() == b"data"


def wait_for(condition, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Settings


def test_the_cache_is_where_the_environment_says(cache, monkeypatch, tmp_path):
    assert cache_folder() == cache
    monkeypatch.delenv("BEMSWEEP_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "bemsweep"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "bemsweep"


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10**10), ("500 MB", 5 * 10**8), ("2GiB", 2**31), ("1.5 kB", 1500), ("123", 123), ("0", 0), (" ", 10**10)],
)
def test_the_limit_is_a_size_in_the_environment(text, size, monkeypatch):
    assert cache_limit_bytes() == 10**10
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", text)
    assert cache_limit_bytes() == size


@pytest.mark.parametrize("text", ["GB", "-1", "-5MB", "ten", "10 gigs", "nan"])
def test_a_limit_that_is_no_size_is_told_before_any_download(text, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", text)
    fetch, asked = writer()
    with pytest.raises(BemsweepError, match=f"BEMSWEEP_CACHE_SIZE='{text}' is no size: .* such as 10GB"):
        cached(name_of(1), fetch, is_data)
    assert not asked


# One download


def test_a_file_is_fetched_once():
    fetch, asked = writer()
    path = cached(name_of(1), fetch, is_data)
    assert path == cache_folder() / name_of(1)
    assert cached(name_of(1), fetch, is_data) == path
    assert is_data(path)
    assert len(asked) == 1


def test_a_damaged_copy_is_fetched_again():
    fetch, asked = writer()
    cached(name_of(1), fetch, is_data).write_bytes(b"dat")
    assert is_data(cached(name_of(1), fetch, is_data))
    assert len(asked) == 2


def test_a_fetch_that_fails_leaves_nothing():
    def fetch(path):
        path.write_bytes(b"da")
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        cached(name_of(1), fetch, is_data)
    assert not [*cache_folder().glob("inputs/*/*")]
    assert is_data(cached(name_of(1), writer()[0], is_data))


def test_a_copy_evicted_while_it_is_looked_at_is_fetched_again():
    def is_good(path):
        path.unlink()
        return is_data(path)

    fetch, asked = writer()
    cached(name_of(1), fetch, is_data)
    cached(name_of(1), fetch, is_good)
    assert len(asked) == 2


def test_threads_share_one_download(monkeypatch):
    """Nobody has found the file when the download ends."""
    started, go_on = threading.Semaphore(0), threading.Event()
    asked = []
    real = module._alone
    monkeypatch.setattr(module, "_alone", lambda name: (started.release(), real(name))[1])

    def fetch(path):
        asked.append(path)
        assert go_on.wait(60)
        path.write_bytes(b"data")

    def ask():
        assert is_data(cached(name_of(1), fetch, is_data))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert started.acquire(timeout=60)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert len(asked) == 1


class _Slow(BaseHTTPRequestHandler):
    """Counts downloads, and answers when everybody has asked."""

    asked, everybody = [], None

    def do_GET(self):
        self.asked.append(self.path)
        wait_for(self.everybody)
        self.send_response(200)
        self.send_header("Content-Length", "13")
        self.end_headers()
        self.wfile.write(b"Version,25.2;")

    def log_message(self, *args):
        pass


def test_processes_share_one_download(tmp_path):
    _Slow.asked.clear()
    _Slow.everybody = staticmethod(lambda: len([*tmp_path.glob("*.asks")]) == 3)
    script = (
        "import pathlib, sys, urllib.request; from bemsweep import cache\n"
        "real = cache._alone; cache._alone = lambda name: (pathlib.Path(sys.argv[2]).touch(), real(name))[1]\n"
        "fetch = lambda path: path.write_bytes(urllib.request.urlopen(sys.argv[1]).read())\n"
        "print(cache.cached(sys.argv[3], fetch, bool).read_text())"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), _Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/some.epw"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, url, str(tmp_path / f"{number}.asks"), name_of(1)],
                stdout=subprocess.PIPE, text=True,
            )
            for number in range(3)
        ]  # fmt: skip
        said = [process.communicate(timeout=100)[0] for process in processes]
        server.shutdown()
    assert said == ["Version,25.2;\n"] * 3
    assert len(_Slow.asked) == 1


def test_a_killed_download_keeps_nobody_waiting(cache):
    script = (
        "import sys, time; from bemsweep.cache import cached\n"
        "def fetch(path):\n    path.write_bytes(b'da'); print('half', flush=True); sys.stdin.read()\n"
        "cached(sys.argv[1], fetch, bool)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, name_of(1)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "half\n"
        process.kill()
    began = time.monotonic()
    assert is_data(cached(name_of(1), writer()[0], is_data))
    assert time.monotonic() - began < 20, "it does not wait for the dead"
    (left,) = cache.glob("inputs/*/.*.tmp")
    trim()
    assert left.exists(), "somebody may be writing it"
    aged(left, 2 * DAY)
    trim()
    assert not left.exists()


@pytest.mark.parametrize("reason", [errno.ENOSYS, errno.ENOLCK], ids=["none", "no server"])
def test_a_filesystem_without_locks_is_good_enough(reason, monkeypatch, caplog):
    caplog.set_level("INFO", "bemsweep.cache")

    def refuse(*args):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", refuse)
    fetch, asked = writer()
    assert is_data(cached(name_of(1), fetch, is_data))
    assert is_data(cached(name_of(1), fetch, is_data))
    assert len(asked) == 1
    assert f"downloading {name_of(1)} without a lock" in caplog.text


def test_who_waits_too_long_downloads_too(monkeypatch):
    monkeypatch.setattr(module, "_WAIT_S", 0.1)
    held, release = threading.Event(), threading.Event()

    def hold():
        with module._alone(name_of(1)):
            held.set()
            assert release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    assert is_data(cached(name_of(1), writer()[0], is_data))
    release.set()
    thread.join(60)


def test_an_error_of_a_download_is_not_taken_for_one_of_the_lock():
    with pytest.raises(PermissionError), module._alone(name_of(1)):
        raise PermissionError


# The limit


def test_what_was_used_least_recently_goes_first(monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "250")
    ages = {1: 5 * HOUR, 2: 2 * HOUR, 3: 4 * HOUR, 4: 3 * HOUR}
    paths = {number: put(number, age_s=age) for number, age in ages.items()}
    trim()
    assert [number for number, path in paths.items() if path.exists()] == [2, 4]


def test_what_is_in_use_stays_even_if_the_cache_remains_too_large(monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "0")
    recent, old = put(1, age_s=HOUR - 60), put(2, age_s=HOUR + 60)
    trim()
    assert recent.exists()
    assert not old.exists()


def test_whoever_asks_for_a_file_uses_it(monkeypatch):
    path, other = put(1, age_s=5 * HOUR), put(2, age_s=4 * HOUR)
    assert touch(path)
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "100")
    trim()
    assert path.exists()
    assert not other.exists()
    assert not touch(other)


def test_use_is_noted_at_most_every_ten_minutes():
    path = put(1, age_s=500)
    before = path.stat().st_mtime
    assert touch(path)
    assert path.stat().st_mtime == before
    aged(path, 700)
    assert touch(path)
    assert time.time() - path.stat().st_mtime < 60


def test_a_download_makes_room(monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "250")
    old = [put(number, age_s=2 * HOUR) for number in (1, 2)]
    path = cached(name_of(3), writer(b"x" * 100)[0], is_data)
    assert path.exists()
    assert sum(one.exists() for one in old) == 1
    keep("results/" + "a" * 64 + "/" + "b" * 64, b"x" * 100)
    assert sum(one.exists() for one in old) == 0


def test_a_file_larger_than_the_limit_is_served_and_goes_later(monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "10")
    path = cached(name_of(1), writer(b"x" * 100)[0], is_data)
    assert path.exists()
    aged(path, 2 * HOUR)
    trim()
    assert not path.exists()


def test_the_cache_is_looked_through_once_in_a_twentieth_of_the_limit(monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "4000")
    looked = []
    monkeypatch.setattr(module, "trim", lambda: looked.append(True))
    for number in range(9):
        cached(name_of(number), writer(b"x" * 100)[0], is_data)
    assert len(looked) == 5, "the first, and every second of a hundred bytes"


def test_what_was_used_meanwhile_stays():
    path = put(1, age_s=5 * HOUR)
    used = path.stat().st_mtime
    os.utime(path)
    assert not module._delete(path, used=used)
    assert path.exists()


def test_several_may_evict_at_once(monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "5000")
    for number in range(300):
        put(number, age_s=2 * HOUR + number)
    faults = []

    def evict():
        try:
            trim()
        except OSError as error:
            faults.append(error)

    threads = [threading.Thread(target=evict) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert {path.name for path in cache_folder().glob("inputs/*/*")} == {
        name_of(number).rpartition("/")[2] for number in range(50)
    }


def test_a_file_that_cannot_be_deleted_is_left(monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "100")
    stuck, other = put(1, age_s=5 * HOUR), put(2, age_s=4 * HOUR)

    real = Path.unlink

    def unlink(path, **options):
        if path == stuck:
            raise PermissionError
        real(path, **options)

    monkeypatch.setattr(Path, "unlink", unlink)
    trim()
    assert stuck.exists()
    assert not other.exists()


def test_nobodys_own_files_are_touched(cache, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "0")
    own = [cache / name for name in ("thesis.txt", "inputs/model.idf", "results/2024/plot.png", "locks/mine.txt")]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        aged(path, 9 * DAY)
    trim()
    assert all(path.exists() for path in own)


def test_idle_locks_and_empty_folders_go(cache, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "0")
    paths = [cached(name_of(number), writer()[0], is_data) for number in (1, 2)]
    idle, held = sorted(cache.glob("locks/*"))
    for path in (idle, held, paths[0]):
        aged(path, 2 * DAY)
    with filelock.FileLock(held):
        trim()
    assert not idle.exists()
    assert held.exists()
    assert not paths[0].exists()
    assert paths[0].parent.exists(), "somebody may be about to write there"
    aged(paths[0].parent, 2 * DAY)
    trim()
    assert not paths[0].parent.exists()
    assert paths[1].exists()


# Bytes


NAME = "results/" + "a" * 64 + "/" + "b" * 64


def test_bytes_are_kept():
    assert kept(NAME) is None
    keep(NAME, b"chunk")
    assert kept(NAME) == b"chunk"
    keep(NAME, b"")
    assert kept(NAME) == b""


@pytest.mark.parametrize("cut", [0, 10, -1], ids=["empty", "in the digest", "in the data"])
def test_cut_bytes_are_not_kept(cut, cache):
    keep(NAME, b"chunk")
    (cache / NAME).write_bytes((cache / NAME).read_bytes()[:cut])
    assert kept(NAME) is None


def test_altered_bytes_are_not_kept(cache):
    keep(NAME, b"chunk")
    (cache / NAME).write_bytes((cache / NAME).read_bytes()[:-1] + b"X")
    assert kept(NAME) is None


def test_kept_bytes_are_evicted_like_files(cache, monkeypatch):
    monkeypatch.setenv("BEMSWEEP_CACHE_SIZE", "0")
    keep(NAME, b"chunk")
    aged(cache / NAME, 2 * HOUR)
    trim()
    assert kept(NAME) is None


@pytest.mark.parametrize("folder", ["relative/cache", "~/cache"])
def test_the_folder_is_the_same_from_wherever_an_engine_works(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BEMSWEEP_CACHE_DIR", folder)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == tmp_path / folder.removeprefix("~/")
