"""What a run's end means: the one place that tells a model's fault from a machine's.

A model's fault is data and becomes a status; a machine's fault is an exception and is retried. Pure:
nothing here reads a file or starts anything.
"""

from __future__ import annotations

import re
import signal

from idfkit.simulation.parsers.err import ErrorReport

from bemsweep.engine import COMPLETED, EXIT_UNWRITABLE, EngineRun
from bemsweep.errors import EngineDiedError, InfrastructureError, RunCancelledError
from bemsweep.records import Status
from bemsweep.redaction import redacted

__all__ = ["count_messages", "first_severe", "judge", "signal_name"]

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE}
_SUMMARY = re.compile(r"EnergyPlus (?:Completed|Terminated).*?(\d+) Warning; (\d+) Severe Errors")
_MESSAGE_LENGTH = 1000
_NO_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
"""NUL, at which other programs cut a text, and halves of characters, which UTF-8 does not have."""
_MACHINE, _MODEL = "InfrastructureError: ", "ModelError: "


def judge(run: EngineRun) -> tuple[Status, str]:
    """Return the status of a finished run and the message for its record.

    Parameters
    ----------
    run
        What happened.

    Returns
    -------
    tuple
        ``succeeded`` with ``""``; ``failed`` with the first severe or fatal message, or what the engine died
        of; ``timed_out`` or ``out_of_memory`` with what the limit ended.

    Raises
    ------
    EngineDiedError
        It was killed by a signal that is neither a crash nor ours.
    InfrastructureError
        The machine is at fault, or nothing tells who is: worth another try.
    RunCancelledError
        The run was stopped on request.
    """
    if run.is_cancelled:
        raise RunCancelledError("the run was stopped on request")
    if run.is_timed_out:
        return "timed_out", f"stopped after {run.engine_s:.0f} s, at stage {run.stage!r}, by the study's time-out"
    if run.memory_limit_bytes:
        held, limit = (f"{size / 2**20:,.0f} MiB" for size in (run.memory_bytes, run.memory_limit_bytes))
        told = f"stopped at {held} of memory, at stage {run.stage!r}, by the study's max_memory of {limit}"
        return "out_of_memory", told
    if run.returncode < 0 and -run.returncode not in _CRASHES:
        raise EngineDiedError(
            f"the run was killed by {signal_name(-run.returncode)} from outside: was the machine out of memory?"
        )
    if reason := _machine_fault(run):
        raise InfrastructureError(_for_record(reason))
    if reason := _model_fault(run):
        return "failed", _for_record(reason)
    return "succeeded", ""


def _for_record(text: str) -> str:
    """Return a message that is not too long, that every file of results can hold, and that tells no secret.

    What a function of the user's raises may quote a URL with a token, or a variable of the environment.
    """
    text = _NO_CHARACTERS.sub("\ufffd", redacted(text))
    return text if len(text) <= _MESSAGE_LENGTH else f"{text[:_MESSAGE_LENGTH]} ..."


def _machine_fault(run: EngineRun) -> str:
    """Return why the machine is at fault, or ``""``; comes first, as a full disk can look like a model's fault."""
    reason = ""
    if run.error.startswith(_MACHINE):
        reason = run.error.removeprefix(_MACHINE)
    elif run.returncode == EXIT_UNWRITABLE:
        reason = "the run could not write to its scratch folder"
    elif run.stage != "edit" and len(run.sqlite_err.splitlines()) > 1:
        reason = f"SQLite failed, is the disk full? {run.sqlite_err.splitlines()[1]}"
    elif _model_fault(run):
        pass
    elif not run.end.startswith(COMPLETED):
        reason = (
            f"the run stopped at stage {run.stage!r} with exit code {run.returncode} and without a word in"
            " eplusout.end: a full disk or a missing input"
        )
    elif run.stage != "done" or run.returncode != 0 or run.error:
        cause = run.error or f"exit code {run.returncode}"
        reason = f"the results of the run could not be read, stage {run.stage!r}: {cause}"
    return reason


def _model_fault(run: EngineRun) -> str:
    """Return why the model is at fault, or ``""``."""
    if run.stage == "edit":
        return _why_edit_failed(run)
    if first := _first_error(run):
        return first
    if run.returncode < 0:
        return f"EnergyPlus died of {signal_name(-run.returncode)}"
    return run.error.removeprefix(_MODEL) if run.error.startswith(_MODEL) else ""


def _why_edit_failed(run: EngineRun) -> str:
    if run.error:
        return run.error.removeprefix(_MODEL)
    end = f"died of {signal_name(-run.returncode)}" if run.returncode < 0 else f"exit code {run.returncode}"
    return f"an edit ended the run's process: {end}"


def _first_error(run: EngineRun) -> str:
    """Return the first severe message of a run with a fatal one or a crash, else ``""``."""
    report = ErrorReport.from_string(run.err)
    is_fatal = report.has_fatal or "Fatal Error Detected" in run.end
    if not is_fatal and run.returncode >= 0:
        return ""
    messages = report.severe or report.fatal
    if not messages:
        return "EnergyPlus ended with a fatal error and no message" if is_fatal else ""
    text = " ".join(" ".join([messages[0].message, *messages[0].details]).split())
    if not is_fatal:
        text = f"EnergyPlus died of {signal_name(-run.returncode)} after: {text}"
    return text


def count_messages(err: str) -> tuple[int, int]:
    """Return the numbers of warnings and severe errors in the text of ``eplusout.err``.

    EnergyPlus's own summary counts if it is there, since a long text is cut in the middle.
    """
    if summary := _SUMMARY.search(err):
        return int(summary[1]), int(summary[2])
    report = ErrorReport.from_string(err)
    return len(report.warnings), len(report.severe)


def first_severe(err: str) -> str:
    """Return the first severe message in the text of ``eplusout.err``, ``""`` if there is none."""
    severe = ErrorReport.from_string(err).severe
    return " ".join(severe[0].message.split()) if severe else ""


def signal_name(number: int) -> str:
    """Return what a signal is called, with its number."""
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
