from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bemsweep as bs
from bemsweep import results
from bemsweep.errors import BemsweepError
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


def test_failures_are_grouped_the_most_frequent_first() -> None:
    table = pd.DataFrame(
        {
            "status": ["succeeded", "failed", "failed", "timed_out", "failed", "failed", "failed", "pending"],
            "message": ["", "b", "a", "slow", "a", "a", "a", ""],
            "variant_id": [f"{n}" * 64 for n in range(8)],
        }
    )
    groups = results.failures(table)
    assert groups.to_dict(orient="list") == {
        "status": ["failed", "failed", "timed_out"],
        "message": ["a", "b", "slow"],
        "count": [4, 1, 1],
        "examples": [["2" * 12, "4" * 12, "5" * 12], ["1" * 12], ["3" * 12]],
    }
    assert results.failures(table.iloc[:1]).empty
    assert list(results.failures(table.iloc[:1]).columns) == ["status", "message", "count", "examples"]


def test_errors_of_a_stored_study(tmp_path: Path) -> None:
    run = run_study(small_study(), tmp_path / "store", FakeEngine(faults={3: "fail"}))
    groups = results.errors(tmp_path / "store", "small")
    assert list(groups["count"]) == [1]
    pd.testing.assert_frame_equal(groups, run.errors())
    assert (read(tmp_path / "store").status == "failed").sum() == 1
