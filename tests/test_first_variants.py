from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bemsweep import first_variants
from bemsweep.first_variants import FirstVariants, corners
from bemsweep.parts import Value
from bemsweep.task import Finished

GRID = list(itertools.product(["base"], [None, 4.0, 6.0, 8.0], [0, 45, 90], ["single", "triple"]))


def test_corners_of_a_grid_lie_at_its_ends() -> None:
    chosen = [GRID[position] for position in corners(GRID, 4)]
    assert chosen[0] == GRID[0]
    assert len(set(chosen)) == 4
    assert {row[2] for row in chosen} == {0, 90}, "none lies in the middle of a range"
    assert {row[3] for row in chosen} == {"single", "triple"}


values = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-1e300, 1e300), st.text(max_size=2))


@given(st.lists(st.tuples(values, values), max_size=12), st.integers(0, 6))
def test_corners_are_different_rows(rows: Sequence[tuple[Value, ...]], count: int) -> None:
    chosen = corners(rows, count)
    different = {tuple((isinstance(value, bool), value) for value in rows[position]) for position in chosen}
    assert len(different) == len(chosen) <= count


def many(count: int, *, threads: int = 2) -> FirstVariants:
    return FirstVariants([str(n) for n in range(count)], [(float(n),) for n in range(count)], threads=threads)


def finished(variant: str, seconds: float = 1.0, message: str = "") -> Finished:
    status = "failed" if message else "succeeded"
    return Finished(variant, status, seconds, total_s=seconds, memory_bytes=10**8, record_bytes=1000, message=message)


def test_others_wait_for_the_first_and_then_cost_what_these_did() -> None:
    first = many(100)
    assert len(first.variants) == 4
    for number, variant in enumerate(first.variants):
        assert first.hold_back
        assert first.estimate(96, 2) is None
        first.take(finished(variant, 1.0 + number, "Severe: no" if number == 3 else ""))
    assert not first.hold_back
    estimate = first.estimate(96, 2)
    assert estimate is not None
    assert (estimate.tried, estimate.failed, estimate.seconds, estimate.to_do) == (4, 1, (1.0, 2.5, 4.0), 96)
    assert estimate.wall_s == pytest.approx(2.5 * 96 / 2)
    assert estimate.severe == ("Severe: no",)
    assert str(estimate).splitlines() == [
        "tried     4 variants at the corners of the design, 1 of which failed",
        "each      2.5 s (1.0 to 4.0), up to 100.0 MB of memory",
        "severe    Severe: no",
        "to go     96: about 2 min with 2 at once, 96.0 kB of records",
    ]


def test_messages_that_differ_in_numbers_are_told_once() -> None:
    first = many(100)
    for number, variant in enumerate(first.variants):
        first.take(finished(variant, message=f"stopped at {200 + number} MiB" if number else "Severe: no"))
    estimate = first.estimate(96, 2)
    assert estimate is not None
    assert estimate.severe == ("Severe: no", "stopped at 201 MiB")


def test_a_straggler_among_the_first_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    first = many(100)
    now = [first_variants.time.monotonic()]
    monkeypatch.setattr(first_variants.time, "monotonic", lambda: now[0])
    for variant in first.variants[:3]:
        first.take(finished(variant, 2.0))
    now[0] += 11.0
    assert first.hold_back
    now[0] += 2.0
    assert not first.hold_back
    assert first.estimate(97, 2).tried == 3


def test_what_will_not_finish_is_not_waited_for() -> None:
    first = many(100)
    for variant in first.variants:
        first.drop(variant)
    assert not first.hold_back
    assert first.estimate(96, 2) is None


def test_few_variants_for_each_thread_do_not_wait() -> None:
    assert many(39).hold_back is False
    assert many(40).hold_back is True
    assert many(7).variants == []
    assert len(many(1000, threads=100).variants) == 32
    assert many(1000, threads=100).hold_back is False


def test_an_outcome_of_another_is_passed_over() -> None:
    first = many(100)
    first.take(finished("50"))
    assert first.estimate(96, 2) is None
