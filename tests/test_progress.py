from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bemsweep.heartbeat import Running
from bemsweep.progress import Estimate, Progress


def test_rates_follow_from_what_is_done() -> None:
    progress = Progress(total=12, cached=2, to_do=10, statuses={"succeeded": 3, "failed": 2}, elapsed_s=10.0)
    assert (progress.done, progress.failed) == (5, 2)
    assert progress.rate == pytest.approx(0.5)
    assert progress.eta_s == pytest.approx(10.0)


def test_nothing_is_said_of_the_time_to_go_before_anything_is_done() -> None:
    assert Progress(total=12, cached=0, to_do=12, elapsed_s=5.0).eta_s is None


def test_nothing_is_said_of_the_time_to_go_where_none_has_passed() -> None:
    assert Progress(total=3, cached=0, to_do=3, statuses={"succeeded": 1}, elapsed_s=0.0).eta_s is None


def test_it_survives_json() -> None:
    progress = Progress(
        total=12, cached=2, to_do=10, statuses={"succeeded": 3}, elapsed_s=10.04, stage="running",
        failures=(("no", 2),), running=(Running("ab" * 32, "07/21", 5.0, "tcp://127.0.0.1:1"),),
        estimate=Estimate(
            tried=3, failed=1, seconds=(1.0, 2.0, 3.0), memory_bytes=5, record_bytes=7, severe=("a",), to_do=9,
            threads=2,
        ),
    )  # fmt: skip
    told = json.loads(json.dumps(progress.to_dict()))
    assert (told["done"], told["failed"], told["stage"]) == (progress.done, progress.failed, progress.stage)
    assert tuple(map(Running.from_dict, told["running"])) == progress.running
    assert replace(Progress.from_dict(told), elapsed_s=10.04) == progress


def test_the_longest_is_told() -> None:
    one = Running("ab" * 32, "07/21", 754.0, "tcp://127.0.0.1:1")
    assert Progress(total=1, cached=0, running=(one,)).longest == "longest: abababab at 07/21, 12 min"
    assert not Progress(total=1, cached=0).longest


@pytest.mark.parametrize(
    "told", [{}, {"total": 1}, {"total": 1, "cached": 0, "running": 3}, {"total": [], "cached": 0}]
)
def test_what_is_no_progress_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Progress.from_dict(told)
