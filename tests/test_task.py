"""The worker's path, called in this process, with the real engine."""

from __future__ import annotations

import json
import pickle
import platform
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bemsweep as bs
from bemsweep.errors import InfrastructureError, RunCancelledError, StoreError
from bemsweep.record_file import from_bytes
from bemsweep.records import Record
from bemsweep.run_context import context_of
from bemsweep.store import Store
from bemsweep.task import Workplace, run_variant
from bemsweep.testing import FakeEngine
from direct_engine import run_energyplus, values
from small_studies import CHICAGO, small_study


def planned(tmp_path: Path, engine: Any = None, **changes: Any) -> tuple[bs.Plan, Workplace]:
    """A plan whose inputs are in the store, and a worker's side of it."""
    plan = bs.plan(small_study(**changes), store=tmp_path / "store", engine=engine)
    store = plan.store
    for source in [plan.baselines["small_office"].input, plan.weather["chicago"].input]:
        store.put(Store.input_name(source.sha256, source.suffix), source.path.read_bytes())
    return plan, Workplace(context_of(plan))


def record_of(plan: bs.Plan, variant: str) -> Record:
    data = plan.store.get(Store.record_name(variant))
    assert data is not None
    return from_bytes(data)


@pytest.mark.engine
def test_a_record_holds_what_the_engine_reported(tmp_path: Path) -> None:
    plan, workplace = planned(
        tmp_path,
        run="design_day",
        parameters={"lighting": bs.Field("Lights", "watts_per_floor_area", values=[6])},
        outputs=[bs.Meter("Electricity:Facility", frequency="hourly"), bs.Variable("Zone Mean Air Temperature")],
    )
    try:
        variant, row = plan.variant_ids[1], plan.points.rows[1]
        finished = run_variant(variant, row, workplace)
    finally:
        workplace.close()
    assert (finished.variant_id, finished.status) == (variant, "succeeded")
    record = record_of(plan, variant)
    assert record.engine == plan.engine_version
    assert record.design_day_dates == ("01-21", "07-21")
    assert record.utc_offset_h == -6
    assert record.memory_bytes > 50e6
    assert 0 < record.engine_s <= record.total_s <= finished.total_s
    assert record.cpu_s is not None
    assert record.cpu_s > 0.1 * record.engine_s
    assert record.moved_bytes == 0, "the store is on this disk"
    assert record.worker == platform.node()
    assert min(finished.start_s, finished.read_s, finished.store_s) > 0
    assert finished.start_s + finished.engine_s + finished.read_s + finished.store_s < finished.total_s
    assert record.provenance["edits"][0]["value"] == 6
    assert json.dumps(record.provenance)

    # The same model made by hand, run by the bare engine.
    text = plan.baselines["small_office"].input.path.read_text()
    text = re.sub(r"(?m)^  Lights,[^;]*;", lambda lights: lights[0].replace("10.76,", "6,"), text)
    text += "Output:Meter,Electricity:Facility,hourly;Output:Variable,*,Zone Mean Air Temperature,hourly;"
    model = tmp_path / "by_hand.idf"
    model.write_text(text)
    run_energyplus(model, tmp_path / "direct", "-D")
    direct: dict[tuple[str, str], list[float]] = {}
    for (name, key, frequency, *_), value in values(tmp_path / "direct").items():
        if frequency == "Hourly":
            direct.setdefault((name, key or ""), []).append(value)
    assert len(record.series) == 7
    for series in record.series:
        assert series.values.tolist() == direct[series.name, series.key.upper()], series


def test_nothing_is_written_when_the_machine_is_at_fault(tmp_path: Path) -> None:
    plan, workplace = planned(tmp_path, FakeEngine())
    object.__setattr__(workplace.context, "engine", FakeEngine(faults={1: "killed"}))
    with pytest.raises(InfrastructureError, match="killed"):
        run_variant(plan.variant_ids[0], plan.points.rows[0], workplace)
    assert not plan.store.names("records")


def test_a_lost_input_is_the_machines_fault(tmp_path: Path) -> None:
    plan, workplace = planned(tmp_path, FakeEngine())
    plan.store.delete_folder("inputs")
    with pytest.raises(StoreError, match="has lost inputs"):
        run_variant(plan.variant_ids[0], plan.points.rows[0], workplace)


def test_scratch_is_deleted_and_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    class Watching(FakeEngine):
        def run(self, job: Any, scratch: Path, *, timeout_s: float) -> Any:
            seen.append(scratch)
            (scratch / "eplusout.sql").write_text("x")
            return super().run(job, scratch, timeout_s=timeout_s)

    (tmp_path / "fast").mkdir()
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(tmp_path / "fast"))
    plan, workplace = planned(tmp_path, FakeEngine())
    object.__setattr__(workplace.context, "engine", Watching())
    run_variant(plan.variant_ids[0], plan.points.rows[0], workplace)
    assert seen[0].parent == tmp_path / "fast"
    assert not list((tmp_path / "fast").iterdir())
    monkeypatch.setenv("BEMSWEEP_SCRATCH", str(tmp_path / "missing"))
    with pytest.raises(InfrastructureError, match=r"scratch folder .*missing does not exist"):
        run_variant(plan.variant_ids[0], plan.points.rows[0], workplace)


def test_a_stopped_run_writes_nothing(tmp_path: Path) -> None:
    plan, workplace = planned(tmp_path, FakeEngine())
    object.__setattr__(workplace.context, "engine", FakeEngine(faults={1: "hang"}))
    variant = plan.variant_ids[0]
    stopper = threading.Timer(0.3, workplace.kill, [variant])
    stopper.start()
    with pytest.raises(RunCancelledError):
        run_variant(variant, plan.points.rows[0], workplace)
    stopper.join()
    assert not plan.store.names("records")


def test_task_arguments_and_answers_stay_small(tmp_path: Path) -> None:
    parameters = {
        f"parameter_number_{n}": bs.Field("Lights", "watts_per_floor_area", values=[6.5], name=f"*ZN_{n % 4 + 1}*")
        for n in range(20)
    }
    plan, workplace = planned(tmp_path, FakeEngine(), parameters=parameters)
    row = plan.points.rows[1]
    assert len(pickle.dumps((plan.variant_ids[1], row, "a" * 60))) < 2000
    run_variant(plan.variant_ids[1], row, workplace)
    assert len(pickle.dumps(run_variant(plan.variant_ids[1], row, workplace))) < 2000
    assert CHICAGO


def test_a_record_of_another_run_is_found_if_workers_look_first(tmp_path: Path) -> None:
    engine = FakeEngine(counter=tmp_path / "starts")
    plan, workplace = planned(tmp_path, engine)
    variant, row = plan.variant_ids[0], plan.points.rows[0]
    assert not run_variant(variant, row, workplace).is_found
    starts = engine.starts
    assert not run_variant(variant, row, workplace).is_found, "nobody looks for what nobody else writes"
    assert engine.starts == starts + 1
    workplace.looks_first = True
    found = run_variant(variant, row, workplace)
    assert (found.is_found, found.status) == (True, "succeeded")
    assert engine.starts == starts + 1
    workplace.store.put(Store.record_name(variant), b"altered")
    assert not run_variant(variant, row, workplace).is_found
    assert record_of(plan, variant).status == "succeeded"


@pytest.mark.parametrize(
    ("narrow", "wide"), [(100_000_000, 300_000_000), (100_000_000, None), (100_000_000, 100_000_001)]
)
def test_what_another_run_stopped_at_a_narrower_limit_is_not_found(
    tmp_path: Path, narrow: int, wide: int | None
) -> None:
    plan, workplace = planned(tmp_path, FakeEngine(faults=lambda job, attempt: "out_of_memory"))
    variant, row = plan.variant_ids[0], plan.points.rows[0]
    tight = Workplace(replace(workplace.context, max_memory_bytes=narrow))
    assert run_variant(variant, row, tight).status == "out_of_memory"
    tight.looks_first = True
    assert run_variant(variant, row, tight).is_found, "it needs more than this, and would be stopped again"
    roomy = Workplace(replace(workplace.context, max_memory_bytes=wide, looks_first=True))
    # The engine had taken a byte more than the limit when it was stopped.
    assert run_variant(variant, row, roomy).is_found == (wide == narrow + 1)


def test_the_record_of_another_variant_is_not_found(tmp_path: Path) -> None:
    plan, workplace = planned(tmp_path, FakeEngine())
    one, other = plan.variant_ids[:2]
    run_variant(one, plan.points.rows[0], workplace)
    workplace.store.put(Store.record_name(other), workplace.store.get(Store.record_name(one)) or b"")
    workplace.looks_first = True
    assert not run_variant(other, plan.points.rows[1], workplace).is_found
