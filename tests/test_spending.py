from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bemsweep import spending
from bemsweep.prices import Rate
from bemsweep.spending import Spending

Wait = Callable[[float], None]
DOLLAR_A_SECOND = Rate("c7a.large spot", 3600.0)


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """What lets time pass."""
    now = [100.0]
    monkeypatch.setattr(spending.time, "monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def test_workers_cost_at_work_or_not(wait: Wait) -> None:
    spent = Spending(DOLLAR_A_SECOND)
    wait(10.0)
    assert spent.cost_usd == 0
    spent.tick(2)
    assert spent.cost_usd == pytest.approx(20.0), "those found first were there from the start"
    wait(5.0)
    spent.tick(3)
    assert spent.cost_usd == pytest.approx(20 + 15)
    wait(5.0)
    spent.tick()
    assert spent.cost_usd == pytest.approx(20 + 15 + 15)
    spent.tick(0)
    wait(1000.0)
    spent.tick(0)
    assert spent.cost_usd == pytest.approx(50.0), "nobody is paid any more"
    assert spent.told() == "about $50.00: 0 to 3 x c7a.large spot, 0.014 h of them"


def test_a_start_is_paid_by_each_worker_that_comes(wait: Wait) -> None:
    spent = Spending(Rate("c7a.large", 3600.0, start_s=60.0))
    for workers, cost in ((2, 120), (2, 120), (1, 120), (3, 240)):
        spent.tick(workers)
        assert spent.cost_usd == pytest.approx(cost)
    wait(1.0)
    spent.tick()
    assert spent.cost_usd == pytest.approx(243.0)


def test_a_steady_cluster_is_told_by_its_number(wait: Wait) -> None:
    spent = Spending(Rate("c7a.large spot", 0.15))
    assert spent.told() == ""
    spent.tick(20)
    wait(5 * 3600.0)
    spent.tick(20)
    assert spent.told() == "about $15.00: 20 x c7a.large spot, 100 h of them"


def test_without_a_price_nothing_is_told(wait: Wait) -> None:
    spent = Spending(None)
    wait(10.0)
    spent.tick(5)
    assert spent.cost_usd is None
    assert spent.told() == ""
    assert spent.room(8, 1.0) is None
    assert not spent.is_over


def test_whole_rounds_are_afforded_on_all_workers(wait: Wait) -> None:
    spent = Spending(DOLLAR_A_SECOND, max_cost=100)
    spent.tick(2)
    assert spent.room(8, None) == 8, "one round, before any has told how long it takes"
    assert spent.room(8, 26.0) == 8, "a round of 8 threads on 2 workers costs 52 dollars"
    assert spent.room(8, 24.0) == 2 * 8
    assert spent.room(8, 1.0) == 2 * 8, "more would only wait where it cannot be kept back"
    wait(40.5)
    spent.tick(2)
    assert spent.room(8, 10.0) == 0
    assert spent.room(8, 9.0) == 8
    assert spent.room(8, None) == 8
    assert not spent.is_over
    wait(9.5)
    spent.tick(2)
    assert spent.is_over
    assert spent.room(8, None) == spent.room(8, 0.001) == 0
    assert "the $100 that it may cost, of which $100 are spent" in spent.why_over()


def test_a_cluster_that_has_no_worker_yet_is_asked_for_some(wait: Wait) -> None:
    spent = Spending(DOLLAR_A_SECOND, max_cost=100)
    spent.tick(0)
    assert spent.room(0, None) == 1, "else one that follows the work would never begin"
    assert spent.room(0, 90.0) == 1


def test_without_a_limit_any_number_may_run() -> None:
    assert Spending(DOLLAR_A_SECOND).room(8, 10.0) is None


@pytest.mark.parametrize("most", [0, -1, float("nan"), float("inf"), "10", True])
def test_what_is_no_sum_of_money_is_refused(most: Any) -> None:
    with pytest.raises(ValueError, match="max_cost is a sum of money"):
        Spending(DOLLAR_A_SECOND, max_cost=most)


def test_a_limit_without_a_price_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_cost needs a price.*price_per_hour"):
        Spending(None, max_cost=10)
