"""How many variants go into one task."""

from __future__ import annotations

import pytest

from bemsweep.pace import MOST_TOGETHER, Pace


def pace_of(seconds: float) -> Pace:
    pace = Pace()
    pace.take(seconds)
    return pace


def test_one_variant_is_a_task_until_something_is_known() -> None:
    assert Pace().together(10_000) == 1


@pytest.mark.parametrize(
    ("seconds", "threads", "together"),
    [(0.5, 2, 1), (0.5, 500, 1), (0.5, 501, 2), (0.01, 100, 10), (1e-9, 1, MOST_TOGETHER), (0.0, 2, MOST_TOGETHER)],
)
def test_the_scheduler_has_a_thousand_tasks_a_second(seconds: float, threads: int, together: int) -> None:
    assert pace_of(seconds).together(threads) == together


def test_it_follows_what_variants_take_lately() -> None:
    pace = pace_of(10.0)
    for _ in range(500):
        pace.take(0.01)
    assert pace.together(100) == 10
