"""Promise: what `keep` names is in the store before the record is, whole, and comes back from there to a folder."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from idfkit.simulation import SimulationResult

import bemsweep as bs
from bemsweep import raw_files
from bemsweep.engine import Job
from bemsweep.engine_files import RAW_FILES
from bemsweep.errors import BemsweepError, StoreError
from bemsweep.raw_files import fetch, keep_files
from bemsweep.record_file import from_bytes
from bemsweep.reproduction import reproduce
from bemsweep.run_context import context_of
from bemsweep.store import Store
from bemsweep.task import Workplace, run_variant
from bemsweep.testing import FakeEngine, Fault
from small_studies import grid_of, small_study

SIZES = {"in.idf": 900, "eplusout.sql": 3_000_000, "eplusout.err": 70_000, "eplustbl.htm": 5_000, "eplusout.eso": 10}
MIXED: list[Any] = ["eplusout.err", "*.htm", {"files": "*.sql", "compress": True}]


def engine(**script: Any) -> FakeEngine:
    return FakeEngine(raw_files=SIZES, **script)


def failing(job: Job, attempt: int) -> Fault | None:
    """Every variant fails, and no probe does."""
    return "fail" if job.calendar else None


def raw(store: Store, variant: str) -> list[str]:
    return store.names(f"raw/{variant}")


def kept_study(store: Path, fake: FakeEngine, **changes: Any) -> bs.Plan:
    """Run a small study and return its plan."""
    plan = bs.plan(small_study(**{"keep": MIXED, **changes}), store=store, engine=fake)
    bs.run(plan)
    return plan


def run_here(store: Path, fake: FakeEngine, keep: list[Any], row: int = 0) -> tuple[Store, str]:
    """Run one variant of a small study in this process."""
    plan = bs.plan(small_study(keep=keep), store=store, engine=fake)
    for source in [plan.baselines["small_office"].input, plan.weather["chicago"].input]:
        plan.store.put(Store.input_name(source.sha256, source.suffix), source.path.read_bytes())
    run_variant(plan.variant_ids[row], plan.points.rows[row], Workplace(context_of(plan)))
    return plan.store, plan.variant_ids[row]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> bs.Plan:
    """A study that has run and kept three files of each of its six variants."""
    return kept_study(tmp_path_factory.mktemp("finished"), engine())


@pytest.fixture
def altered(finished: bs.Plan, tmp_path: Path) -> Store:
    """A copy of its store, to be spoilt."""
    shutil.copytree(finished.store.url, tmp_path / "altered")
    return Store(tmp_path / "altered")


# From a run to the store


def test_what_fits_is_kept_and_nothing_else(tmp_path: Path) -> None:
    store, one = run_here(tmp_path, engine(), MIXED)
    _, two = run_here(tmp_path, engine(), MIXED, row=1)
    for variant in (one, two):
        assert raw(store, variant) == ["eplusout.err", "eplusout.sql.gz", "eplustbl.htm"]
    packed = [store.get(Store.raw_name(variant, "eplusout.sql.gz")) or b"" for variant in (one, two)]
    assert [len(gzip.decompress(data)) for data in packed] == [SIZES["eplusout.sql"]] * 2
    assert packed[0] != packed[1]
    assert packed[0][4:8] == bytes(4), "no time of the machine: a variant that runs twice writes the same"


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    store, _ = run_here(tmp_path, engine(), [])
    assert store.names("raw") == []


def test_compressing_holds_no_file_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "eplusout.sql"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    tracemalloc.start()
    keep_files(Store(tmp_path / "store"), "a" * 64, tmp_path, {"eplusout.sql": True})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_every_raw_file_can_be_kept(tmp_path: Path) -> None:
    store, variant = run_here(tmp_path, FakeEngine(raw_files=dict.fromkeys(RAW_FILES, 1)), ["*"])
    assert raw(store, variant) == sorted(RAW_FILES)


def test_the_record_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put, upload = Store.put, Store.upload

    def noting_put(self: Store, name: str, data: bytes) -> None:
        put(self, name, data)
        written.append(name)

    def noting_upload(self: Store, path: Path, name: str) -> None:
        upload(self, path, name)
        written.append(name)

    monkeypatch.setattr(Store, "put", noting_put)
    monkeypatch.setattr(Store, "upload", noting_upload)
    _, variant = run_here(tmp_path, engine(), MIXED)
    names = ["eplusout.err", "eplustbl.htm", "eplusout.sql.gz"]
    assert written[-4:] == [*(f"raw/{variant}/{name}" for name in names), Store.record_name(variant)]


def test_no_record_without_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Store, path: Path, name: str) -> None:
        raise StoreError(f"cannot write {name}")

    monkeypatch.setattr(Store, "upload", broken)
    with pytest.raises(StoreError, match=r"eplusout\.sql"):
        run_here(tmp_path, engine(), ["*.sql"])
    assert Store(tmp_path).names("records") == []


def test_files_of_a_failed_variant_are_kept_too_and_its_err_is_whole(tmp_path: Path) -> None:
    store, variant = run_here(tmp_path, engine(faults=failing), ["*.err", "in.idf"])
    assert raw(store, variant) == ["eplusout.err", "in.idf"]
    assert len(store.get(Store.raw_name(variant, "eplusout.err")) or b"") == SIZES["eplusout.err"]


def test_a_failed_variant_has_its_err_without_being_asked(tmp_path: Path) -> None:
    store, variant = run_here(tmp_path, engine(faults=failing), [{"files": "*.err", "compress": True}])
    assert raw(store, variant) == ["eplusout.err", "eplusout.err.gz"], "plain for people, and as asked for"


def test_what_to_keep_changes_no_variant_and_growing_it_runs_nothing_again(tmp_path: Path) -> None:
    fake = engine(counter=tmp_path / "starts")
    plan = kept_study(tmp_path / "store", fake, keep=["*.err"])
    assert not plan.warnings
    starts = fake.starts
    assert starts == 7, "six variants and a probe"
    grown = bs.plan(small_study(keep=["*.err", "*.sql"]), store=tmp_path / "store", engine=fake)
    assert grown.variant_ids == plan.variant_ids
    assert grown.to_run == ()
    (warning,) = grown.warnings
    assert warning.startswith("`keep` asks for eplusout.sql now: variants that have run keep what they have")
    bs.run(grown)
    assert fake.starts == starts
    assert not bs.plan(grown.study, store=tmp_path / "store", engine=fake).warnings, "told once, when it changes"
    less = bs.plan(small_study(keep=["*.sql"]), store=tmp_path / "store", engine=fake)
    assert not less.warnings, "less is no reason to warn"


# From the store to a folder


def test_the_raw_files_of_a_study_come_to_a_folder(finished: bs.Plan, tmp_path: Path) -> None:
    plan = finished
    seen: list[tuple[int, int]] = []
    done = fetch(plan.store.url, "small", to=tmp_path / "here", progress=lambda *told: seen.append(told))
    assert (len(done.brought), done.there, done.without, done.pending) == (18, (), (), ())
    assert seen[-1] == (done.size_bytes, done.size_bytes)
    for variant in plan.variant_ids:
        folder = tmp_path / "here" / variant[:12]
        assert {path.name: path.stat().st_size for path in folder.iterdir()} == {
            name: SIZES[name] for name in ("eplusout.err", "eplusout.sql", "eplustbl.htm")
        }
        packed = plan.store.get(Store.raw_name(variant, "eplusout.sql.gz"))
        assert gzip.decompress(packed or b"") == (folder / "eplusout.sql").read_bytes()
    table = pd.read_csv(tmp_path / "here" / raw_files.TABLE_NAME)
    assert list(table["folder"]) == [variant[:12] for variant in plan.variant_ids]
    assert list(table["variant_id"]) == list(plan.variant_ids)
    assert table["lighting"].tolist()[4:] == [6, 6]


def test_a_fetch_carries_on_where_it_was_stopped(
    finished: bs.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = finished.store
    brought: list[str] = []
    original = Store.download

    def counted(self: Store, name: str, path: Path) -> bool:
        if len(brought) == 7:
            raise StoreError("the network is gone")
        brought.append(name)
        return original(self, name, path)

    monkeypatch.setattr(Store, "download", counted)
    monkeypatch.setattr(raw_files, "_THREADS", 1)
    with pytest.raises(StoreError, match="the network is gone"):
        fetch(store, "small", to=tmp_path / "here")
    monkeypatch.setattr(Store, "download", original)
    done = fetch(store, "small", to=tmp_path / "here")
    assert (len(done.brought), len(done.there)) == (11, 7)
    again = fetch(store, "small", to=tmp_path / "here")
    assert (len(again.brought), len(again.there), again.size_bytes) == (0, 18, 0)
    again.there[0].write_bytes(b"cut short")
    packed = next(path for path in again.there if path.name == "eplusout.sql")
    packed.unlink()
    repaired = fetch(store, "small", to=tmp_path / "here")
    assert set(repaired.brought) == {again.there[0], packed}
    assert not list((tmp_path / "here").rglob(".*")), "nothing half brought is left"


def test_a_compressed_file_that_was_written_anew_is_brought_again(
    finished: bs.Plan, altered: Store, tmp_path: Path
) -> None:
    done = fetch(altered, "small", to=tmp_path / "here", files=["*.sql"])
    changed = finished.variant_ids[2]
    path = Path(altered.path(Store.raw_name(changed, "eplusout.sql.gz")))
    later = path.stat().st_mtime + 10
    path.write_bytes(gzip.compress(b"other"))
    os.utime(path, (later, later))
    (brought,) = fetch(altered, "small", to=tmp_path / "here", files=["*.sql"]).brought
    assert brought in done.brought
    assert brought.parent.name == changed[:12]
    assert brought.read_bytes() == b"other"


def test_some_variants_and_some_files(finished: bs.Plan, tmp_path: Path) -> None:
    ids = [finished.variant_ids[1], finished.variant_ids[4]]
    asked = [ids[0][:6], ids[1].upper()]
    done = fetch(finished.store, "small", to=tmp_path / "here", variants=asked, files=["*.htm", "*.sql"])
    names = {str(path.relative_to(tmp_path / "here")) for path in done.brought}
    assert names == {f"{variant[:12]}/{name}" for variant in ids for name in ("eplustbl.htm", "eplusout.sql")}
    table = pd.read_csv(tmp_path / "here" / raw_files.TABLE_NAME)
    assert len(table) == 6, "of the whole study, so that a later fetch adds to the same folder"


def test_who_has_none_is_told(tmp_path: Path) -> None:
    fake = engine()
    old = kept_study(tmp_path / "store", fake, keep=[], parameters=grid_of(2, 1))
    new = bs.plan(small_study(keep=["*.err"], parameters=grid_of(4, 1)), store=tmp_path / "store", engine=fake)
    bs.run(new, limit=1)
    done = fetch(tmp_path / "store", "small", to=tmp_path / "here")
    assert set(done.without) == set(old.variant_ids)
    (brought,) = done.brought
    assert len(done.pending) == len(new.to_run) - 1
    assert {brought.parent.name, *(variant[:12] for variant in done.pending)} == {one[:12] for one in new.to_run}


def test_one_listing_for_a_study_and_one_each_for_chosen_variants(
    finished: bs.Plan, altered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered.put(Store.raw_name("0" * 64, "eplusout.err"), b"of another study")
    listed: list[str] = []
    objects = Store.objects

    def noting(self: Store, folder: str = "") -> Iterator[Any]:
        listed.append(folder)
        return objects(self, folder)

    monkeypatch.setattr(Store, "objects", noting)
    monkeypatch.setattr(Store, "has", None)
    done = fetch(altered, "small", to=tmp_path / "here")
    assert listed == ["raw"]
    assert {path.parent.name for path in done.brought} == {variant[:12] for variant in finished.variant_ids}
    listed.clear()
    fetch(altered, "small", to=tmp_path / "here", variants=[finished.variant_ids[3]])
    assert listed == [f"raw/{finished.variant_ids[3]}"]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"files": ["*.html"]}, r"no file of a run fits '\*.html' \(did you mean '\*.htm'\?\)"),
        ({"variants": ["zzzz"]}, "no single variant of 'small' begins with 'zzzz': none does"),
        ({"variants": [""]}, "give at least 4 digits"),
        ({"variants": ["abc"]}, "give at least 4 digits"),
    ],
    ids=["files", "nobody", "everybody", "short"],
)
def test_what_there_cannot_be_is_refused(finished: bs.Plan, tmp_path: Path, what: dict[str, Any], told: str) -> None:
    with pytest.raises(BemsweepError, match=told):
        fetch(finished.store, "small", to=tmp_path / "here", **what)


def test_an_unknown_study_is_told(finished: bs.Plan, tmp_path: Path) -> None:
    with pytest.raises(BemsweepError, match=r"no results of a study 'smal'.*small"):
        fetch(finished.store, "smal", to=tmp_path / "here")


def test_names_that_are_no_raw_files_stay_in_the_store(finished: bs.Plan, altered: Store, tmp_path: Path) -> None:
    for name in ("evil.sh", "*", ".gz", "deep/eplusout.sql"):
        altered.put(Store.raw_name(finished.variant_ids[0], name), b"x")
    done = fetch(altered, "small", to=tmp_path / "here")
    assert len(done.brought) == 18
    assert {path.name for path in done.brought} == {"eplusout.err", "eplusout.sql", "eplustbl.htm"}


def test_an_altered_compressed_file_is_told_and_not_taken(finished: bs.Plan, altered: Store, tmp_path: Path) -> None:
    name = Store.raw_name(finished.variant_ids[0], "eplusout.sql.gz")
    altered.put(name, (altered.get(name) or b"")[:1000])
    with pytest.raises(StoreError, match="altered or cut short"):
        fetch(altered, "small", to=tmp_path / "here", variants=[finished.variant_ids[0]], files=["*.sql"])
    assert not list((tmp_path / "here").rglob("*eplusout.sql*"))


# Both, with EnergyPlus


@pytest.mark.engine
def test_energyplus_files_open_with_idfkit_and_change_no_result(tmp_path: Path) -> None:
    days: dict[str, Any] = {
        "run": "design_day",
        "parameters": {},
        "outputs": [bs.Variable("Zone Mean Air Temperature")],
    }
    bare = bs.plan(small_study(**days), store=tmp_path / "bare")
    bs.run(bare)
    kept = bs.plan(small_study(**days, keep=["*.sql", "*.err", "*.htm", "in.idf", "*.eso"]), store=tmp_path / "kept")
    bs.run(kept)
    (variant,) = kept.variant_ids
    assert bare.variant_ids == (variant,)
    one, two = (from_bytes(plan.store.get(Store.record_name(variant)) or b"") for plan in (bare, kept))
    assert one.outputs_sha256 == two.outputs_sha256 != ""
    assert "raw_files" not in one.provenance
    assert two.provenance["raw_files"] == ["eplusout.eso", "eplustbl.htm"]
    names = ["eplusout.err", "eplusout.eso", "eplusout.sql", "eplustbl.htm", "in.idf"]
    assert raw(kept.store, variant) == names

    result = SimulationResult.from_directory(kept.store.path(f"raw/{variant}"))
    assert not result.errors.has_fatal
    with result.sql as sql:
        assert len(sql.get_timeseries("Zone Mean Air Temperature", "CORE_ZN").values) == 48
    assert "Envelope Summary" in {table.report_name for table in result.html.tables}

    # The same model again: what was turned on is part of it.
    again = reproduce(kept.store, variant, to=tmp_path / "again", run=True)
    assert again.differences == ()
    assert (tmp_path / "again" / "in.idf").read_bytes() == kept.store.get(Store.raw_name(variant, "in.idf"))
    assert {"eplustbl.htm", "eplusout.eso"} <= {path.name for path in (tmp_path / "again" / "engine").iterdir()}


# Through a real S3 server

_LARGE = """
import sys
import bemsweep as bs
from bemsweep.memory import peak_bytes
from bemsweep.raw_files import fetch
from bemsweep.testing import FakeEngine
from small_studies import small_study

url, folder = sys.argv[1:]

def there_and_back(name, size, **changes):
    study = small_study(name=name, parameters={}, keep=["*.sql"], **changes)
    bs.run(bs.plan(study, store=url, engine=FakeEngine(raw_files={"eplusout.sql": size})))
    (path,) = fetch(url, name, to=f"{folder}/{name}").brought
    assert path.stat().st_size == size
    return peak_bytes() / 2**20

def outputs(frequency):
    return [bs.Meter("Electricity:Facility", frequency=frequency)]

# Runs take memory too, each a little more than the one before: what a large file adds is told after some of them.
for frequency in ("monthly", "daily"):
    small = there_and_back(frequency, 1, outputs=outputs(frequency))
large = there_and_back("large", 200_000_000, outputs=outputs("annual"))
print(large - small)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts kilobytes, as Linux does")
def test_200_mb_are_kept_and_fetched_without_holding_them_in_memory(s3: Any, s3_env: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LARGE, f"{s3.new_bucket()}/store", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    grown_mb = float(done.stdout.splitlines()[-1])
    assert grown_mb < 64
