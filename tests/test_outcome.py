from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bemsweep.engine import EXIT_UNWRITABLE, EngineRun
from bemsweep.errors import InfrastructureError, RunCancelledError
from bemsweep.outcome import count_messages, judge
from bemsweep.record_file import from_bytes, to_bytes
from bemsweep.records import Record
from bemsweep.simulate import read_run

COMPLETED = "EnergyPlus Completed Successfully-- 2 Warning; 0 Severe Errors; Elapsed Time=00hr 00min  0.49sec\n"
TERMINATED = "EnergyPlus Terminated--Fatal Error Detected. 0 Warning; 2 Severe Errors; Elapsed Time=00hr\n"
OPENED = "SQLite3 message, /scratch/sqlite.err open for processing!\n"
WARNING = "   ** Warning ** Check input. Pump nominal power is 0\n"
SEVERE = (
    "   ** Severe  ** GetSurfaceData: Construction not found\n"
    "   **   ~~~   ** in surface WALL 1,\n"
    "   **   ~~~   ** named   NO SUCH WALL\n"
)
SECOND = "   ** Severe  ** another one\n"
FATAL = "   **  Fatal  ** GetSurfaceData: Errors discovered, program terminates.\n"

GOOD = EngineRun(0, "done", end=COMPLETED, err=WARNING, sqlite_err=OPENED)
CRASHED = EngineRun(-11, "engine", err=WARNING, sqlite_err=OPENED)
MALFORMED = OPENED + "SQLite3 message, sqlite3_step message: database disk image is malformed\n"

FAILED = {
    "fatal": (
        EngineRun(1, "engine", end=TERMINATED, err=WARNING + SEVERE + SECOND + FATAL),
        "GetSurfaceData: Construction not found in surface WALL 1, named NO SUCH WALL",
    ),
    "fatal alone": (
        EngineRun(1, "engine", end=TERMINATED, err=FATAL),
        "GetSurfaceData: Errors discovered, program terminates.",
    ),
    "fatal line cut out of the .err": (EngineRun(1, "engine", end=TERMINATED, err=SECOND), "another one"),
    "segmentation fault": (CRASHED, "EnergyPlus died of SIGSEGV (signal 11)"),
    "crash after a severe": (
        replace(CRASHED, returncode=-6, err=SECOND),
        "EnergyPlus died of SIGABRT (signal 6) after: another one",
    ),
    "floating point": (replace(CRASHED, returncode=-8), "EnergyPlus died of SIGFPE (signal 8)"),
    "refused by our own edit": (EngineRun(1, "edit", error="ModelError: no field 'x'"), "no field 'x'"),
    "raised by a user's function": (EngineRun(1, "edit", error="KeyError: 'x' (e.py)"), "KeyError: 'x' (e.py)"),
    "crash of a user's function": (
        EngineRun(-11, "edit"),
        "an edit ended the run's process: died of SIGSEGV (signal 11)",
    ),
    "exit of a user's function": (EngineRun(3, "edit"), "an edit ended the run's process: exit code 3"),
    "another time axis": (
        replace(GOOD, returncode=1, stage="read", error="ModelError: time axis differs from the study's: x"),
        "time axis differs from the study's: x",
    ),
}

MACHINE = {
    "disk full, empty .end": (EngineRun(0, "engine", err=WARNING), "without a word"),
    "disk full, malformed SQLite": (replace(GOOD, sqlite_err=MALFORMED), "malformed"),
    "disk full and a fatal that follows from it": (
        EngineRun(1, "engine", end=TERMINATED, err=FATAL, sqlite_err=MALFORMED),
        "malformed",
    ),
    "disk full and a crash that follows from it": (replace(CRASHED, sqlite_err=MALFORMED), "malformed"),
    "scratch unwritable while editing": (EngineRun(EXIT_UNWRITABLE, "edit"), "scratch"),
    "model cannot be written": (EngineRun(1, "edit", error="InfrastructureError: the model"), "the model"),
    "missing weather": (EngineRun(1, "engine"), "missing input"),
    "killed by the system": (EngineRun(-9, "engine", err=SEVERE), "SIGKILL"),
    "killed while editing": (EngineRun(-9, "edit"), "SIGKILL"),
    "terminated from outside": (EngineRun(-15, "engine"), "SIGTERM"),
    "over a limit of file size": (EngineRun(-25, "engine"), "SIGXFSZ"),
    "fewer rows": (replace(GOOD, returncode=1, stage="read", error="InfrastructureError: 5 of 24"), "5 of 24"),
    "reader broke": (replace(GOOD, returncode=1, stage="read", error="KeyError: 1"), "KeyError"),
    "reader never ended": (replace(GOOD, returncode=0, stage="read"), "exit code 0"),
    "never began": (EngineRun(1, "start"), "'start'"),
}


def test_success_needs_all_of_its_signs():
    assert judge(GOOD) == ("succeeded", "")


@pytest.mark.parametrize("case", FAILED)
def test_the_models_fault_is_a_status(case):
    run, message = FAILED[case]
    assert judge(run) == ("failed", message)


@pytest.mark.parametrize("case", MACHINE)
def test_the_machines_fault_is_an_exception(case):
    run, message = MACHINE[case]
    with pytest.raises(InfrastructureError, match=message):
        judge(run)


def test_severes_of_a_run_that_completed_are_no_failure():
    assert judge(replace(GOOD, err=SEVERE)) == ("succeeded", "")


def test_time_out_is_a_status_even_though_the_run_was_killed():
    outgrown = EngineRun(-9, "engine", memory_limit_bytes=2**31, memory_bytes=2_200_000_000)
    assert judge(outgrown) == (
        "out_of_memory",
        "stopped at 2,098 MiB of memory, at stage 'engine', by the study's max_memory of 2,048 MiB",
    )
    status, message = judge(EngineRun(-9, "engine", is_timed_out=True, engine_s=61.2))
    assert status == "timed_out"
    assert "61 s" in message


def test_cancelled_run_has_no_outcome():
    with pytest.raises(RunCancelledError):
        judge(EngineRun(-9, "engine", is_cancelled=True))


def test_message_is_cut():
    long = "   ** Severe  ** " + "x" * 5000 + "\n"
    _, message = judge(EngineRun(1, "engine", end=TERMINATED, err=long + FATAL))
    assert len(message) < 1100


def test_counts_come_from_the_summary_which_survives_a_cut():
    assert count_messages(WARNING + f"   ************* {TERMINATED}") == (0, 2)
    assert count_messages(WARNING + f"   ************* {COMPLETED}") == (2, 0)


def test_counts_of_a_crash_are_those_of_its_lines():
    assert count_messages(WARNING + SEVERE + SECOND + FATAL) == (1, 2)
    assert count_messages("") == (0, 0)


_SEVERE = b"   ** Severe  ** Zone=%s is bad\n   **  Fatal  ** because of it\n"


@pytest.mark.parametrize(
    "err",
    [
        _SEVERE % "Zürich".encode("latin-1"),
        _SEVERE % b"a\0b\0",
        _SEVERE % b"\xed\xa0\x80",
        _SEVERE % (b"x" * 5_000_000),
        (_SEVERE % b"first") * 500_000,
        b"   ** Severe  ** " + b"\xff\0\x1b[31m" * 100_000,
        b"   ** Warning ** w\n" * 1_000_000 + _SEVERE % b"last",
    ],
    ids=["latin-1", "nul", "half", "long_line", "million_lines", "noise", "last_of_many"],
)
def test_whatever_an_err_holds_its_record_is_written_and_short(err: bytes, tmp_path: Path) -> None:
    (tmp_path / "eplusout.err").write_bytes(err)
    (tmp_path / "eplusout.end").write_text("EnergyPlus Terminated--Fatal Error Detected.")
    (tmp_path / "bemsweep.stage").write_text("engine")
    found = read_run(tmp_path, 1)
    status, message = judge(found)
    assert status == "failed"
    assert 0 < len(message) <= 1004
    assert "\0" not in message
    count_messages(found.err)
    assert len(found.err.encode()) < 200_000
    record = Record("0" * 64, "failed", message=message)
    assert from_bytes(to_bytes(record)).message == message


@pytest.mark.parametrize("text", ["half \ud800 of one", "nul \0", "x" * 10_000_000], ids=["half", "nul", "long"])
def test_whatever_a_users_function_raises_its_record_is_short(text: str) -> None:
    status, message = judge(EngineRun(1, "edit", error=f"ValueError: {text} (edits.py, line 1, in edit)"))
    assert (status, len(message) <= 1004) == ("failed", True)
    assert message.encode().decode() == message
    assert "\0" not in message
