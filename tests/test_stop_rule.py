from __future__ import annotations

from typing import Any

import pytest

from bemsweep.stop_rule import FIRST, StopRule


def told(rule: StopRule, statuses: str, *, to_do: int = 1000) -> str:
    """Take a letter per variant, f for failed; return what the rule says at last."""
    for number, letter in enumerate(statuses):
        message = f"Lights L{number}: value -{number} is less than 0" if letter == "f" else ""
        rule.take("failed" if letter == "f" else "succeeded", message)
    return rule.why_hopeless(to_do)


def test_by_default_the_first_twenty_that_all_failed_are_enough() -> None:
    assert told(StopRule(), "f" * (FIRST - 1)) == ""
    assert told(StopRule(), "f" * FIRST).startswith(f"the first {FIRST} variants have all failed")
    assert told(StopRule(), "s" + "f" * 500) == "", "something works"


@pytest.mark.parametrize(
    ("max_failures", "allowed"),
    [(0, 0), (3, 3), ("3", 3), ("30%", 3), (" 25.5 % ", 2), ("0%", 0)],
    ids=["0", "3", "text", "share", "part", "none"],
)
def test_a_count_or_a_share_may_fail(max_failures: Any, allowed: int) -> None:
    assert told(StopRule(max_failures), "s" + "f" * allowed, to_do=10) == ""
    assert "more than the" in told(StopRule(max_failures), "s" + "f" * (allowed + 1), to_do=10)


@pytest.mark.parametrize("max_failures", ["100%", 10], ids=["all", "count"])
def test_all_may_fail_on_request(max_failures: Any) -> None:
    assert told(StopRule(max_failures), "f" * 10, to_do=10) == ""


def test_the_message_that_most_share_is_told_as_it_came_first() -> None:
    rule = StopRule(2)
    rule.take("timed_out", "stopped after 60 s")
    for number in (1, 2):
        rule.take("failed", f"Lights: -{number}.5 is less than 0")
    assert (
        rule.why_hopeless(9)
        == "3 of 9 variants have failed, more than the 2 that may, 2 with: Lights: -1.5 is less than 0"
    )


@pytest.mark.parametrize("max_failures", ["many", "-1", -1, "5 %%", "101%", 0.5, "", True, "1e3"])
def test_nonsense_is_refused(max_failures: Any) -> None:
    with pytest.raises(ValueError, match="a number of variants or a share"):
        StopRule(max_failures)
