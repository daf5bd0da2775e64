"""A short part of ``make fuzz``, and what it rests on: the same cases each time, and an oracle that says no."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import fuzz_runner
import pytest
from fuzz_cases import COUNT, FOUND, SEED, Case, case
from fuzz_readings import expected_schedule, expected_study, expected_table
from fuzz_runner import LIMIT_S, judge, judge_number
from fuzz_seeds import KINDS, seeds_of
from run_fuzz import main, table


def test_a_case_is_always_the_same_bytes():
    digest = hashlib.sha256()
    for number in range(COUNT):
        one = case(SEED, number)
        digest.update(f"{one.label} {one.kind} {one.command} {one.how} ".encode() + one.content)
    assert COUNT == 500
    assert digest.hexdigest() == "c637f7f2725e3d54a8693b48c0c916759ebd042e3530ae31911e682370dde1c6"


def test_every_case_is_mutated_and_every_kind_has_its_share():
    cases = [case(SEED, number) for number in range(COUNT)]
    assert all(one.content != one.valid.content for one in cases)
    assert {kind: sum(one.kind == kind for one in cases) for kind in KINDS} == KINDS
    assert {one.kind for one in cases[:30]} == set(KINDS)


@pytest.mark.engine
@pytest.mark.parametrize("number", range(12))
def test_no_mutated_input_ends_in_a_traceback_a_hang_or_a_false_success(number):
    """Other cases than those of ``make fuzz``, some of each kind."""
    assert_no_defect(SEED + 1, number)


@pytest.mark.engine
@pytest.mark.parametrize(("seed", "number"), [pytest.param(*found[:2], id=f"{found[1]}") for found in FOUND])
def test_what_found_a_defect_once_finds_none(seed, number):
    assert_no_defect(seed, number)


def assert_no_defect(seed, number):
    one = judge_number(seed, number)
    assert not one.defect, f"{one.label} {one.kind} {one.command} {one.how}: {one.outcome}, {one.defect}: {one.told}"


@dataclass(frozen=True)
class Altered(Case):
    """A case whose files are not what the oracle is told: as if bemsweep had read something else."""

    @property
    def files(self):
        return self.valid.files


@pytest.mark.engine
@pytest.mark.parametrize(
    ("kind", "old", "new", "told"),
    [
        ("idf", b"Watts/Area, , 10,", b"Watts/Area, , 11,", "Electricity:Facility of all has other values"),
        ("table", b"6.5,90", b"6.25,90", "variant 2 has lighting 6.5 and not 6.25"),
        ("yaml", b"[null, 1.5]", b"[null, 1.25]", "has wall 1.5 and not 1.25"),
    ],
)
def test_the_oracle_tells_a_false_success(kind, old, new, told):
    valid = seeds_of(kind)[0]
    assert old in valid.content
    found = judge(Altered(0, 0, kind, "run", valid, valid.content.replace(old, new), ()))
    assert (found.outcome, found.defect) == ("succeeded", "false success")
    assert told in found.told


def test_ends_are_told_apart():
    ended = fuzz_runner._Ended(0, "{}", "", ("run", "--json"))
    wrong = {
        "hang": replace(ended, status=None),
        "the machine's fault": replace(ended, status=3, err="run again"),
        "traceback": replace(ended, err="Traceback (most recent call last)"),
        "": ended,
    }
    assert {fuzz_runner._wrong_end(one): one for one in wrong.values()} == wrong
    for status, out in ((70, "{}"), (1, "cut {"), (-11, "{}")):
        assert fuzz_runner._wrong_end(replace(ended, status=status, out=out)) == "traceback"


def test_a_command_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(fuzz_runner, "LIMIT_S", 0.5)
    assert LIMIT_S > 0.5
    assert fuzz_runner._in_process(_wait_for_ever) is None


def _wait_for_ever():
    import threading

    threading.Event().wait()


def test_other_readings():
    rows = expected_table("lighting,north,wall\n8,,thin\n,,\n8.0,,thin\n").rows
    assert rows == [dict.fromkeys(("lighting", "north", "wall")), {"lighting": 8.0, "north": None, "wall": "thin"}]
    with pytest.raises(ValueError, match="no number"):
        expected_table("lighting,north,wall\n1_000,,thin\n")
    with pytest.raises(ValueError, match="8759 rows"):
        expected_schedule(b"x\n" + b"1\n" * 8759)


def test_another_reading_of_a_study(tmp_path):
    (tmp_path / "room.idf").touch()
    grid, listed = (expected_study(seed.content.decode(), tmp_path) for seed in seeds_of("yaml"))
    assert (grid.name, len(grid.rows)) == ("grid", 13)
    assert [row["lighting"] for row in listed.rows] == [None, 8, None, 10.0]


def test_the_table_counts_and_the_exit_status_tells(monkeypatch, capsys):
    found = [
        fuzz_runner.Judged("1:1", "idf", "run", (), "refused"),
        fuzz_runner.Judged("1:2", "epw", "run", (), "succeeded", "false success"),
    ]
    assert table(found).splitlines()[-1].split() == ["all", "2", "1", "0", "0", "0", "0", "1", "0", "0"]
    monkeypatch.setattr("run_fuzz.judge_number", lambda _, number: found[number])
    monkeypatch.setattr("sys.argv", ["run_fuzz.py", "--count", "2"])
    assert main() == 1
    assert "1:2 epw run" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["run_fuzz.py", "--count", "1"])
    assert main() == 0
