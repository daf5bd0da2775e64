from __future__ import annotations

import pytest

from bemsweep import attempts as module
from bemsweep.attempts import MOST_LOSSES, MOST_TRIES, Attempts
from bemsweep.errors import EngineDiedError, InfrastructureError, RecordError, WorkerLostError

FAULT, DEATH, LOSS = InfrastructureError("disk"), EngineDiedError("SIGKILL"), WorkerLostError("gone")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still."""
    moment = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: moment[0])
    return moment


def test_what_fails_by_the_machines_fault_is_given_up_with_its_last_reason() -> None:
    attempts = Attempts()
    assert [attempts.fail("a", FAULT) for _ in range(MOST_TRIES)] == ["", "", "", "InfrastructureError: disk"]
    assert attempts.fail("b", FAULT) == "", "each is counted by itself"


def test_a_lost_worker_is_held_against_nobody_for_long() -> None:
    attempts = Attempts()
    told = [attempts.fail("a", LOSS) for _ in range(MOST_LOSSES)]
    assert told == [""] * (MOST_LOSSES - 1) + ["WorkerLostError: gone"]
    assert attempts.deaths("a") == 0
    assert attempts.fail("b", FAULT) == ""
    assert [attempts.fail("b", LOSS) for _ in range(MOST_TRIES)] == [""] * MOST_TRIES


def test_deaths_are_counted_for_the_worker_to_judge() -> None:
    attempts = Attempts()
    attempts.fail("a", DEATH)
    attempts.fail("a", FAULT)
    attempts.fail("a", DEATH)
    assert (attempts.deaths("a"), attempts.deaths("b")) == (2, 0)


@pytest.mark.parametrize(("threads", "faults"), [(1, 8), (2, 8), (16, 32)])
def test_faults_in_a_row_and_nothing_else_are_hopeless(threads: int, faults: int, now: list[float]) -> None:
    attempts = Attempts()
    for number in range(faults - 1):
        attempts.fail(number, FAULT)
    attempts.finish()
    for number in range(faults - 1):
        attempts.fail(number, FAULT)
    assert attempts.why_hopeless(threads) == ""
    attempts.fail(faults, FAULT)
    assert attempts.why_hopeless(threads) == "", "what runs elsewhere may not have been told yet"
    now[0] += 10
    assert attempts.why_hopeless(threads).endswith("the last by InfrastructureError: disk")
    assert attempts.why_hopeless(threads, longest_s=4.0)
    assert attempts.why_hopeless(threads, longest_s=8.0) == "", "it began with the faults: it is on another machine"


@pytest.mark.parametrize("error", [DEATH, LOSS], ids=["deaths", "losses"])
def test_deaths_and_losses_do_not_make_a_machine_hopeless(error: InfrastructureError, now: list[float]) -> None:
    attempts = Attempts()
    for number in range(100):
        attempts.fail(number, error)
    now[0] += 3600
    assert attempts.why_hopeless(1) == ""


def test_records_that_cannot_be_used_do_not_make_a_machine_hopeless(now: list[float]) -> None:
    attempts = Attempts()
    for number in range(100):
        attempts.fail(str(number), RecordError("cut"))
    now[0] += 3600
    assert attempts.why_hopeless(1) == ""
    assert [attempts.fail("0", RecordError("cut")) for _ in range(MOST_TRIES - 1)][-1] == "RecordError: cut"
