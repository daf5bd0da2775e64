"""idfkit's filesystem protocol on memory, a local disk and a real S3 server, as idfkit itself uses it."""

from __future__ import annotations

import errno
import inspect
import os
import pickle
import socket
import subprocess
import sys
import tracemalloc
import uuid
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from idfkit import load_idf
from idfkit.simulation import EnergyPlusConfig, SimulationJob, SimulationResult, simulate, simulate_batch
from idfkit.simulation.fs import FileSystem, LocalFileSystem
from pyenergyplus.dataset import ref_models

import bemsweep as bs
from bemsweep import idfkit_files
from bemsweep.errors import BemsweepError, StoreError
from bemsweep.store import Store
from direct_engine import CHICAGO, install_energyplus, query, run_energyplus

METHODS = [name for name, _ in inspect.getmembers(FileSystem, inspect.isfunction) if not name.startswith("_")]


@pytest.fixture(params=["local", "memory", "s3"])
def place(request, tmp_path):
    """A URL to write below, and the options that it needs."""
    if request.param == "local":
        return str(tmp_path / "files"), {}
    if request.param == "memory":
        return f"memory://{uuid.uuid4()}/files", {}
    server = request.getfixturevalue("s3")
    return f"{server.new_bucket()}/files", server.options


@pytest.fixture
def fs(place):
    url, options = place
    return bs.FsspecFileSystem(url, **options)


# The protocol


def test_it_is_idfkits_protocol(fs):
    assert isinstance(fs, FileSystem)
    assert len(METHODS) == 9


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_what_idfkits_takes(name):
    theirs = inspect.signature(getattr(LocalFileSystem, name)).parameters
    ours = inspect.signature(getattr(bs.FsspecFileSystem, name)).parameters
    assert [(one.name, one.kind, one.default) for one in ours.values()] == [
        (one.name, one.kind, one.default) for one in theirs.values()
    ]


def test_bytes_and_texts_come_back(fs):
    fs.write_bytes("run/a.sql", b"\x00one")
    fs.write_bytes(Path("run") / "a.sql", b"\x00two")
    assert fs.read_bytes("run/a.sql") == b"\x00two"
    fs.write_text("run/a.err", "é\r\n", encoding="latin-1")
    assert fs.read_bytes("run/a.err") == b"\xe9\r\n"
    assert fs.read_text(Path("run/a.err"), encoding="latin-1") == "é\r\n"
    fs.write_bytes("empty", b"")
    assert fs.read_bytes("empty") == b""


def test_what_is_missing_is_a_file_not_found(fs, place):
    fs.write_bytes("other/x", b"x")
    for act in (
        lambda: fs.read_bytes("run/a"),
        lambda: fs.read_text("run/a"),
        lambda: fs.copy("run/a", "run/b"),
        lambda: fs.remove("run/a"),
        lambda: fs.open("run/a").__enter__(),
    ):
        with pytest.raises(FileNotFoundError) as raised:
            act()
        assert (raised.value.errno, raised.value.filename) == (errno.ENOENT, f"{place[0]}/run/a")
    assert not fs.exists("run/a")
    assert not fs.exists("run/b")
    assert fs.glob("run", "*") == []


def test_folders_exist_and_are_no_files(fs):
    fs.makedirs("made/deep")
    fs.makedirs("made/deep", exist_ok=True)
    fs.write_bytes("made/deep/x", b"x")
    assert fs.exists("made/deep/x")
    assert fs.exists("made/deep")
    with pytest.raises(FileExistsError):
        fs.makedirs("made/deep")
    for act in (lambda: fs.read_bytes(""), lambda: fs.write_bytes(".", b"")):
        with pytest.raises(IsADirectoryError):
            act()


def test_copies_and_removals(fs):
    fs.write_bytes("a/x", b"x")
    fs.write_bytes("b/y", b"y")
    fs.copy("a/x", "b/y")
    fs.copy(Path("a/x"), Path("c/new"))
    assert (fs.read_bytes("b/y"), fs.read_bytes("c/new"), fs.read_bytes("a/x")) == (b"x", b"x", b"x")
    fs.remove("a/x")
    assert not fs.exists("a/x")


def test_glob_finds_what_is_in_the_folder(fs):
    for name in ("run[1]/eplusout.sql", "run[1]/eplusout.err", "run[1]/below/b.sql", "run1/other.sql", "top.sql"):
        fs.write_bytes(name, b"x")
    assert fs.glob("run[1]", "*.sql") == ["run[1]/eplusout.sql"]
    assert fs.glob(Path("run[1]"), "*out.???") == ["run[1]/eplusout.err", "run[1]/eplusout.sql"]
    assert fs.glob("run[1]", "**/*.sql") == ["run[1]/below/b.sql", "run[1]/eplusout.sql"]
    assert fs.glob("run[1]", "*/*.sql") == ["run[1]/below/b.sql"]
    assert fs.glob("", "*.sql") == fs.glob(".", "*.sql") == ["top.sql"]
    assert fs.glob("", "*/b*.sql") == []
    assert [fs.read_bytes(name) for name in fs.glob("run1", "*")] == [b"x"]


def test_glob_passes_over_what_a_killed_process_left(tmp_path):
    fs = bs.FsspecFileSystem(tmp_path)
    (tmp_path / ".eplusout.sql-17-0a1b.tmp").write_bytes(b"half")
    fs.write_bytes("own.tmp", b"x")
    assert fs.glob("", "*") == ["own.tmp"]


def test_glob_agrees_with_idfkits_own(tmp_path):
    fs, theirs = bs.FsspecFileSystem(tmp_path), LocalFileSystem()
    for name in ("run/eplusout.sql", "run/eplustbl.htm", "run/.hidden", "run/below/b.sql"):
        fs.write_bytes(name, b"x")
    for pattern in ("*", "*.sql", "*tbl.htm", "**/*.sql", "e*[lm]"):
        found = [Path(path) for path in theirs.glob(tmp_path / "run", pattern) if Path(path).is_file()]
        assert [tmp_path / name for name in fs.glob("run", pattern)] == sorted(found), pattern


# Paths


def test_paths_below_the_url_mean_the_same_however_they_are_spelled(fs, place):
    url, _ = place
    fs.write_bytes("run/x", b"x")
    spelled = ["run/x", "./run//x", f"{url}/run/x", Path(url) / "run" / "x", Path(f"{url}/run/x"), Path("run/x")]
    for path in spelled if Path(url).is_absolute() else [*spelled, "/run/x", Path("/run/x")]:
        assert fs.read_bytes(path) == b"x", path
    assert fs.glob(Path(url) / "run", "*") == fs.glob(f"{url}/run/", "*") == ["run/x"]


def test_paths_elsewhere_are_refused(fs, place):
    url, _ = place
    elsewhere = ["../x", f"{url}/../x", "s3://some-other-bucket/x", Path("gs://b/x"), f"{url}-2/x", "run/../../x"]
    for path in [*elsewhere, "/etc/x"] if Path(url).is_absolute() else elsewhere:
        for act in (fs.read_bytes, fs.exists, fs.remove, lambda path: fs.write_bytes(path, b"")):
            with pytest.raises(BemsweepError, match=r"not below|goes up"):
                act(path)


# What travels, what shows


def test_it_pickles_without_an_open_filesystem(fs, place):
    fs.write_bytes("run/x", b"x")
    data = pickle.dumps(fs)
    assert len(data) < 1000
    assert pickle.loads(data).read_bytes("run/x") == b"x"


def test_options_never_show(place):
    url, _ = place
    fs = bs.FsspecFileSystem(url, key="AKIAVISIBLE", secret="s3cr3t")
    assert repr(fs) == f"FsspecFileSystem({url!r})"
    assert "s3cr3t" not in str(vars(fs))


def test_another_process_reads_with_what_was_pickled(s3):
    fs = bs.FsspecFileSystem(f"{s3.new_bucket()}/x", **s3.options)
    fs.write_text("a", "from here")
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).read_text('a'))"
    made = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(fs), capture_output=True, check=True)
    assert made.stdout == b"from here\n"


# Streams


def test_files_are_read_and_written_piece_by_piece(fs):
    piece = os.urandom(1_000_003)
    with fs.open("run/a.eso", "wb") as file:
        for _ in range(3):
            file.write(piece)
        assert not fs.exists("run/a.eso"), "whole, or not at all"
    with fs.open(Path("run/a.eso")) as file:
        assert file.read(10) == piece[:10]
        assert file.seek(-7, os.SEEK_END) == 3 * len(piece) - 7
        assert file.read() == piece[-7:]
        file.seek(0)
        assert sum(line.count(b"\n") for line in file) == 3 * piece.count(b"\n")


def break_off(fs, name):
    with fs.open(name, "wb") as file:
        file.write(b"half")
        raise ZeroDivisionError


def test_a_block_that_raises_leaves_no_file(fs):
    fs.write_bytes("run/old", b"old")
    for name in ("run/new", "run/old"):
        with pytest.raises(ZeroDivisionError):
            break_off(fs, name)
    assert fs.glob("run", "*") == ["run/old"]
    assert fs.read_bytes("run/old") == b"old"


def test_streams_hold_a_few_megabytes_only(s3):
    fs = bs.FsspecFileSystem(s3.new_bucket(), **s3.options)
    piece, count = os.urandom(2**20), 100
    fs.exists("warm")
    tracemalloc.start()
    try:
        with fs.open("big", "wb") as file:
            for _ in range(count):
                file.write(piece)
        with fs.open("big") as file:
            read = sum(len(data) for data in iter(lambda: file.read(2**20), b""))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == count * 2**20
    assert peak < 64 * 2**20, "100 MiB went through, up in three parts of 8 MiB at a time"


def test_a_large_result_is_written_as_a_stream(s3, monkeypatch):
    """Not in one request, which s3fs would cut into parts in memory."""
    fs = bs.FsspecFileSystem(s3.new_bucket(), **s3.options)
    data = os.urandom(40 * 2**20)
    monkeypatch.setattr(Store, "put", None)
    fs.write_bytes("big", data)
    assert fs.read_bytes("big") == data


def test_other_modes_are_refused(fs):
    with pytest.raises(BemsweepError, match=r"no mode 'a': 'rb' or 'wb'"):
        fs.open("x", "a")


# Faults


def test_forbidden_is_not_missing(s3):
    bucket = s3.new_bucket()
    bs.FsspecFileSystem(bucket, **s3.options).write_bytes("x", b"x")
    reader = bs.FsspecFileSystem(bucket, **s3.read_only_options)
    assert reader.read_bytes("x") == b"x"
    for act in (lambda: reader.write_bytes("y", b"y"), lambda: reader.remove("x"), lambda: reader.copy("x", "y")):
        with pytest.raises(PermissionError, match="may not do that"):
            act()
    with pytest.raises(PermissionError, match="may not do that"), reader.open("y", "wb") as file:
        file.write(b"y")
    assert reader.glob("", "*") == ["x"]


def everything_asked(fs):
    return (
        lambda: fs.exists("x"),
        lambda: fs.write_bytes("x", b"x"),
        lambda: fs.read_bytes("x"),
        lambda: fs.glob("", "*"),
        lambda: fs.makedirs("x"),
        lambda: fs.remove("x"),
        lambda: fs.copy("x", "y"),
        lambda: fs.open("x").__enter__(),
    )


@pytest.mark.parametrize("change", [{"secret": "wrong-secret-0"}, {"key": "nobody"}], ids=["secret", "key"])
def test_wrong_credentials_are_never_taken_for_missing(s3, change):
    options = {**s3.options, **change}
    for act in everything_asked(bs.FsspecFileSystem(s3.new_bucket(), **options)):
        with pytest.raises(PermissionError) as raised:
            act()
        assert options["secret"] not in str(raised.value)


def test_a_missing_bucket_is_a_fault(s3):
    for act in everything_asked(bs.FsspecFileSystem(f"s3://no-{uuid.uuid4()}/x", **s3.options)):
        with pytest.raises(StoreError, match="no such bucket"):
            act()


def test_a_server_that_is_not_there_is_a_fault(s3, monkeypatch):
    monkeypatch.setattr(idfkit_files, "_PATIENCE_S", 0.0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        options = {**s3.options, "endpoint_url": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        for act in everything_asked(bs.FsspecFileSystem("s3://bucket/x", **options)):
            with pytest.raises(StoreError, match="no answer from the server"):
                act()


def test_what_passes_is_tried_again(monkeypatch):
    """An upload that fails would lose a whole simulation."""
    fs = bs.FsspecFileSystem(f"memory://{uuid.uuid4()}")
    failed = []

    def flaky(method):
        def call(self, *words, **options):
            if method.__name__ not in failed:
                failed.append(method.__name__)
                raise ConnectionResetError("for a moment")
            return method(self, *words, **options)

        return call

    for name in ("pipe_file", "cp_file", "open"):
        monkeypatch.setattr(MemoryFileSystem, name, flaky(getattr(MemoryFileSystem, name)))
    fs.write_bytes("x", b"x")
    fs.copy("x", "y")
    with fs.open("y") as file:
        assert file.read() == b"x"
    assert sorted(failed) == ["cp_file", "open", "pipe_file"]


# idfkit


@pytest.fixture(scope="module")
def energyplus(tmp_path_factory):
    return EnergyPlusConfig.from_path(install_energyplus(tmp_path_factory.mktemp("installed") / "energyplus"))


@pytest.fixture(scope="module")
def office():
    return load_idf(ref_models["small_office"])


@pytest.fixture(scope="module")
def at_home(office, energyplus, tmp_path_factory):
    """The same run in a folder, which idfkit reads itself."""
    folder = tmp_path_factory.mktemp("at_home")
    with simulate(office, CHICAGO, output_dir=folder, design_day=True, energyplus=energyplus) as result:
        assert result.success, result.stderr
        yield result


VALUES = "SELECT ReportDataDictionaryIndex, TimeIndex, Value FROM ReportData"


def values(result):
    return result.sql.query(VALUES)


@pytest.mark.engine
def test_simulate_puts_its_results_there(fs, office, energyplus, at_home):
    result = simulate(office, CHICAGO, output_dir="run-001", design_day=True, energyplus=energyplus, fs=fs)
    assert result.success, result.stderr
    assert fs.glob("run-001", "*") == sorted(f"run-001/{path.name}" for path in at_home.run_dir.iterdir())
    with SimulationResult.from_directory("run-001", fs=pickle.loads(pickle.dumps(fs))) as again:
        assert values(again) == values(at_home) != []
        assert again.errors.simulation_complete
        assert again.errors.severe == at_home.errors.severe
        assert again.html_path == Path("run-001/eplusTable.htm") == result.html_path, "found by glob"


@pytest.mark.engine
def test_simulate_batch_puts_its_results_there(s3, office, energyplus, at_home):
    bright = office.copy()
    for lights in bright["Lights"]:
        lights.watts_per_floor_area = 50
    fs = bs.FsspecFileSystem(f"{s3.new_bucket()}/batch", **s3.options)
    jobs = [
        SimulationJob(model, CHICAGO, label=name, output_dir=name, design_day=True)
        for name, model in (("as-is", office), ("bright", bright))
    ]
    batch = simulate_batch(jobs, energyplus=energyplus, max_workers=2, fs=fs)
    assert batch.all_succeeded, [result.stderr for result in batch]
    found = [SimulationResult.from_directory(job.output_dir, fs=fs) for job in jobs]
    assert [values(result) == values(at_home) for result in found] == [True, False]
    for result in (*batch, *found):
        result.close()


@pytest.mark.engine
def test_a_batch_tells_what_it_may_not_write(s3, office, energyplus):
    fs = bs.FsspecFileSystem(s3.new_bucket(), **s3.read_only_options)
    job = SimulationJob(office, CHICAGO, output_dir="run", design_day=True)
    (failed,) = simulate_batch([job], energyplus=energyplus, fs=fs)
    assert not failed.success
    assert "may not do that" in failed.stderr


@pytest.mark.engine
def test_raw_files_of_a_store_are_opened_one_by_one(s3, tmp_path, monkeypatch):
    """Only the file that is asked for is downloaded, when it is asked for."""
    run_energyplus(Path(ref_models["small_office"]), tmp_path, "-D")
    store = Store(f"{s3.new_bucket()}/store", s3.options)
    variant = "ab" * 32
    for path in tmp_path.glob("eplusout.*"):
        store.upload(path, store.raw_name(variant, path.name))
    read = []
    get = Store.get
    monkeypatch.setattr(Store, "get", lambda self, name: read.append(name) or get(self, name))
    fs = bs.FsspecFileSystem(store.url, **store.storage_options)
    with SimulationResult.from_directory(f"raw/{variant}", fs=fs) as result:
        assert read == []
        assert result.sql_path == Path("raw") / variant / "eplusout.sql"
        assert read == []
        assert result.errors.simulation_complete
        assert read == [f"raw/{variant}/eplusout.err"]
        assert values(result) == query(tmp_path, VALUES)
        assert result.sql is result.sql
        assert read == [f"raw/{variant}/eplusout.err", f"raw/{variant}/eplusout.sql"]
