from __future__ import annotations

from pathlib import Path

import pytest

from bemsweep.heartbeat import CONSOLE_NAME, MOST_TOLD, STAGE_NAME, Running, longest, where

SIZING = "Performing Zone Sizing Simulation\n...for Sizing Period: #1 CHICAGO\nWarming up\nWarming up {5}\n"
JULY = "Starting Simulation at 01/01/2017 for ANNUAL\nContinuing Simulation at 07/16/2017 for ANNUAL\n"


@pytest.mark.parametrize(
    ("stage", "console", "told"),
    [
        (None, None, "starting"),
        ("edit", None, "editing"),
        ("engine", None, "starting"),
        ("engine", "EnergyPlus Starting\nInitializing HVAC\n", "starting"),
        ("engine", SIZING, "sizing"),
        ("engine", SIZING + JULY, "07/16"),
        ("engine", "Starting Simulation at 01/21 for CHICAGO ANN HTG 99.6% CONDNS DB\n", "01/21"),
        ("engine", JULY + "Updating Shadowing Calculations, Start Date=07/22/2017\n", "07/16"),
        ("engine", JULY + "Continuing Simulation at 07", "07/16"),
        ("engine", "printed by a function\n" * 10_000 + JULY + "x" * 3000, "07/16"),
        ("engine", JULY + "Writing tabular output file results using HTML format.\n", "writing results"),
        ("read", JULY, "reading results"),
        ("done", JULY, "reading results"),
    ],
)
def test_a_run_is_where_its_console_says(tmp_path: Path, stage: str | None, console: str | None, told: str) -> None:
    for name, text in ((STAGE_NAME, stage), (CONSOLE_NAME, console)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert where(tmp_path) == told


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert where(tmp_path / "gone") == "starting"


def test_only_the_longest_are_told_the_longest_first() -> None:
    running = [Running(f"{number:064x}", "07/21", float(number * 7 % 20)) for number in range(20)]
    assert [one.seconds for one in longest(running)] == [float(19 - rank) for rank in range(MOST_TOLD)]


def test_what_is_told_is_short_and_survives_json() -> None:
    one = Running("ab" * 32, "07/21", 754.04, "tcp://127.0.0.1:1")
    assert str(one) == "abababab at 07/21, 12 min"
    assert str(Running("ab" * 32, "sizing", 59.9)) == "abababab at sizing, 59 s"
    assert Running.from_dict(one.to_dict()) == Running("ab" * 32, "07/21", 754.0, "tcp://127.0.0.1:1")
