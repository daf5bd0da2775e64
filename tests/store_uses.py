"""All that bemsweep does with a store, a use after the other: what rights it needs, and which servers will do."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import bemsweep as bs
from bemsweep.raw_files import fetch
from bemsweep.storage_check import check_storage
from bemsweep.store import Store
from bemsweep.studies import delete_study, find_deletion, list_studies, rename_study
from bemsweep.sync import sync
from bemsweep.testing import FakeEngine
from bemsweep.unused import delete_unused, find_unused
from small_studies import FEW, read, run_study, small_study

RAW = {"eplusout.sql": 1000, "eplusout.err": 100}
LARGE_BYTES = 17_000_000
"""Of a file that goes up in parts."""
OUTPUTS = [bs.Meter("Electricity:Facility", frequency="monthly", as_="electricity")]
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)


def use(store: Store, folder: Path) -> None:
    """Do all of it: with a study of four variants, of which one fails, that grows."""
    checked = check_storage(store.url, storage_options=store.storage_options, size_bytes=1000)
    assert checked.is_allowed, checked.attempts
    engine = FakeEngine(raw_files=RAW, faults={4: "fail"}, counter=folder / "starts")
    few = small_study(name="few", parameters=FEW, outputs=OUTPUTS, keep=["*.sql"])
    run_study(few, store, engine)
    assert engine.starts == 3, "two variants, and what the baseline can report"
    run_study(few, store, engine)
    assert engine.starts == 3
    run_study(small_study(name="few", outputs=OUTPUTS, keep=["*.err"]), store, engine, verify=True)
    assert sorted(read(store, "few").status.values) == ["failed"] + ["succeeded"] * 5
    (folder / "large").write_bytes(b"x" * LARGE_BYTES)
    store.upload(folder / "large", "raw/of-nobody/eplusout.eso")
    other = Store(f"{store.url}-copied", store.storage_options)
    sync(store, other, study="few")
    look(store, folder)
    rename_study(store, "few", "many")
    assert [study.name for study in list_studies(store)] == ["many"]
    delete_study(store, find_deletion(store, "many", records=True))
    unused = find_unused(store, now=LATER)
    assert unused.count > 0
    delete_unused(store, unused)
    assert read(other, "few").sizes["variant"] == 6


def look(store: Store, folder: Path) -> None:
    """Do what asks for no more than reading: results, their cached form, statuses, errors, raw files, sizes."""
    assert bs.open_results(store, "few", cache=True)["monthly"].electricity.load().sizes["variant"] == 6
    assert len(bs.results.status(store, "few")) == 6
    assert len(bs.results.errors(store, "few")) == 1
    fetched = fetch(store, "few", to=folder / "raw")
    assert {path.name for path in fetched.brought} == {"eplusout.sql", "eplusout.err"}
    assert [study.name for study in list_studies(store)] == ["few"]
    assert store.get("records/no-such") is None
