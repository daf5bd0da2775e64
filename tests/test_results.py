from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bemsweep as bs
from bemsweep import results
from bemsweep.errors import BemsweepError
from bemsweep.store import Store
from bemsweep.testing import FakeEngine
from small_studies import read, run_study, small_study


def test_results_open_lazily_by_name(tmp_path: Path) -> None:
    run_study(small_study(), tmp_path / "store", FakeEngine())
    tree = bs.open_results(tmp_path / "store", "small")
    assert set(tree.children) == {"monthly"}
    assert not tree["monthly"].to_dataset().temperature._in_memory
    chosen = tree["monthly"].to_dataset().pipe(lambda ds: ds.isel(variant=(ds.lighting == 6).values))
    assert chosen.sizes["variant"] == 2


def test_a_study_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    run_study(small_study(), tmp_path / "store", FakeEngine())
    with pytest.raises(BemsweepError, match=r"no results of a study 'smal' in .*; studies there: small"):
        bs.open_results(tmp_path / "store", "smal")
    with pytest.raises(BemsweepError, match="studies there: none"):
        results.status(tmp_path / "nothing", "small")
    assert not (tmp_path / "nothing").exists()


def test_status_is_the_variant_table(tmp_path: Path) -> None:
    run = run_study(small_study(), tmp_path / "store", FakeEngine(), limit=4)
    table = results.status(tmp_path / "store", "small")
    assert list(table["status"]) == ["succeeded"] * 4 + ["pending"] * 2
    assert {"lighting", "north", "baseline", "weather", "variant_id", "engine_s", "message"} <= set(table.columns)
    mine = run.status()[table.columns]
    for column in table.columns:
        np.testing.assert_array_equal(table[column].to_numpy(), mine[column].to_numpy(), err_msg=column)


def test_parameters_stand_in_the_order_of_the_study(tmp_path: Path) -> None:
    parameters = {
        "turned": bs.Field("Building", "north_axis", values=[None, 90]),
        "dimmed": bs.Field("Lights", "watts_per_floor_area", values=[None, 6]),
    }
    run = run_study(small_study(parameters=parameters), tmp_path, FakeEngine(faults={2: "fail"}))
    in_order = ["baseline", "weather", "turned", "dimmed"]
    assert list(run.status().columns[:4]) == in_order
    assert list(results.status(tmp_path, "small").columns[:4]) == in_order
    assert list(results.failed(tmp_path, "small").columns) == [*in_order, "status", "message", "variant_id"]


RAN_AWAY = 'The temperature of {} C for zone="ZN_1" ..is very far out of bounds during warmup.'
TABLE = pd.DataFrame(
    {
        "lighting": range(8),
        "status": ["succeeded", "failed", "failed", "timed_out", "failed", "failed", "failed", "pending"],
        "message": ["", "b", RAN_AWAY.format(200.1), "slow", *(RAN_AWAY.format(t) for t in (-8, "1e4", 7)), ""],
        "variant_id": [f"{n}" * 64 for n in range(8)],
    }
)


def test_failures_are_grouped_the_most_frequent_first(tmp_path: Path) -> None:
    """Those that differ in numbers only are one; names with numbers in them tell messages apart."""
    store = Store(tmp_path)
    store.put(Store.raw_name("2" * 64, "eplusout.err"), b"text")
    groups = results.failures(TABLE, store)
    assert groups.drop(columns="advice").to_dict(orient="list") == {
        "status": ["failed", "failed", "timed_out"],
        "message": [RAN_AWAY.format(200.1), "b", "slow"],
        "count": [4, 1, 1],
        "examples": [["2" * 12, "4" * 12, "5" * 12], ["1" * 12], ["3" * 12]],
        "err": [store.url_of("raw", "2" * 64, "eplusout.err"), "", ""],
    }
    assert Path(groups.err[0]).read_text() == "text"
    assert ["ran away" in groups.advice[0], groups.advice[1], "timeout_s" in groups.advice[2]] == [True, "", True]
    other = TABLE.assign(message=TABLE.message.str.replace('7 C for zone="ZN_1', '7 C for zone="ZN_2'))
    assert list(results.failures(other, store)["count"]) == [3, 1, 1, 1]
    nothing = results.failures(TABLE.iloc[:1], store)
    assert nothing.empty
    assert list(nothing.columns) == ["status", "message", "count", "examples", "advice", "err"]


def test_failed_rows_keep_their_order_and_place() -> None:
    rows = results.failed_rows(TABLE)
    assert list(rows.columns) == ["lighting", "status", "message", "variant_id"]
    assert list(rows.index) == list(rows.lighting) == [1, 2, 3, 4, 5, 6]


def test_errors_of_a_stored_study(tmp_path: Path) -> None:
    run = run_study(small_study(), tmp_path / "store", FakeEngine(faults={3: "fail"}))
    groups = results.errors(tmp_path / "store", "small")
    assert list(groups["count"]) == [1]
    assert "out of the range" in groups.advice[0]
    pd.testing.assert_frame_equal(groups, run.errors())
    assert (read(tmp_path / "store").status == "failed").sum() == 1
    failed = results.failed(tmp_path / "store", "small")
    (row,) = np.flatnonzero(read(tmp_path / "store").status == "failed")
    assert list(failed.index) == [row]
    assert failed.message[row] == groups.message[0]
    pd.testing.assert_frame_equal(failed, run.failed[failed.columns], check_dtype=False)
    assert failed.north.equals(read(tmp_path / "store").north.to_series()[[row]])
    assert (Path(groups.err[0]).parent.name, Path(groups.err[0]).name) == (failed.variant_id[row], "eplusout.err")
