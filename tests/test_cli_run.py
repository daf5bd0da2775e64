from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from bemsweep import cli_run
from bemsweep.heartbeat import Running
from bemsweep.progress import Progress


@pytest.mark.parametrize("width", [80, 200])
def test_the_bar_keeps_to_one_line(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    file = io.StringIO()
    monkeypatch.setattr(cli_run, "err", Console(file=file, width=width))
    now = Progress(
        total=9999, cached=1234, to_do=8765, statuses={"succeeded": 4000, "failed": 12}, elapsed_s=4000,
        stage="running", running=(Running("890f541aabcd", "07/21", 61),),
    )  # fmt: skip
    cli_run._watch(cast("Any", SimpleNamespace(is_done=True, progress=now)), is_quiet=False)
    (line,) = file.getvalue().splitlines()
    assert "5246/9999 done 12 failed  1234 cached 1.0/s longest: 890" in line
    assert ("at 07/21, 1 min" in line) == (width == 200)
