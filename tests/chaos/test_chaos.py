"""A short part of the matrix, with a fixed seed: what ``make chaos`` does, here for a minute or so."""

from __future__ import annotations

from pathlib import Path

import pytest

from bemsweep.attempts import MOST_TRIES
from chaos.__main__ import table, told
from chaos.matrix import MATRIX, SHORT, Harness, Outcome, Scenario
from chaos.processes import Home
from chaos.storm import Stage

SEED = 5


@pytest.mark.engine
@pytest.mark.heavy
@pytest.mark.timeout(900)  # it says by itself, and how, if a run hangs
@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
def test_a_short_storm_leaves_everything_as_a_quiet_run_does(tmp_path: Path, scenario: Scenario) -> None:
    outcome = Harness(tmp_path, silence_s=1.0).run(scenario, seed=SEED)
    assert not outcome.found.broken, told(outcome)
    assert {blow.kind for blow in scenario.blows} <= outcome.injected.keys()


def test_every_storm_can_be_told_by_its_name() -> None:
    names = [scenario.name for scenario in MATRIX]
    assert len(set(names)) == len(names)
    assert {"thousand", "failing-requests"} <= set(names), "what must be shown can be run alone"


def test_the_table_has_a_line_for_each_storm() -> None:
    lines = table([Outcome(MATRIX[0]), Outcome(MATRIX[1])]).splitlines()
    assert [line.split()[0] for line in lines] == ["storm", "thousand", "failing-requests"]


def test_no_variants_engine_is_hit_in_every_try(tmp_path: Path) -> None:
    stage = Stage(Home(tmp_path, {}), driver=None, store="")  # type: ignore[arg-type]
    assert not stage.may_hit(None), "one that has not told which variant it runs"
    assert not stage.may_hit(set()), "a host without a run"
    assert MOST_TRIES > 2
    stage.hit.update(["1"] * (MOST_TRIES - 3) + ["2"] * (MOST_TRIES - 2))
    assert stage.may_hit({"1"})
    assert not stage.may_hit({"1", "2"})
