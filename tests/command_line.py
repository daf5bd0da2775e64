"""The command line as a test calls it: in this process, which has everything imported, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from unittest import mock

from bemsweep.cli import main

__all__ = ["bemsweep", "bemsweep_process"]


def bemsweep_process(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "bemsweep", *map(str, words)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=300,
    )  # fmt: skip


def bemsweep(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the same here, which spares two seconds of imports, and say what came of it in the same form."""
    argv = ["bemsweep", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            mock.patch.object(sys, "argv", argv),
            mock.patch.dict(os.environ, environment),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
        status: object = 0
    except SystemExit as ended:
        status = ended.code or 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert isinstance(status, int)
    return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())
