from __future__ import annotations

import io
import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from rich.cells import cell_len
from rich.console import Console

import bemsweep
from bemsweep.heartbeat import Running
from bemsweep.live_view import ProgressView, notebook_display
from bemsweep.progress import Progress

RUNNING = tuple(Running(f"{number:08x}abcd", "07/21", 754.0 - number) for number in range(8))
FAILURES = (("** Severe  ** a\x1b[2J\n" + 40 * "漢字 ", 9_000), ("no [red]weather[/red]", 30), ("killed by SIGKILL", 2))
NOW = Progress(
    total=99_999, cached=1234, to_do=87_650, statuses={"succeeded": 40_000, "failed": 9_032}, elapsed_s=40_000,
    stage="running", running=RUNNING, failures=FAILURES,
)  # fmt: skip


def shown(view: ProgressView, *, width: int = 80, height: int = 24, is_terminal: bool = True) -> list[str]:
    file = io.StringIO()
    # As wide and as high as told, and without colours.
    environment = {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(width), "LINES": str(height)}
    console = Console(file=file, force_terminal=is_terminal, soft_wrap=True, no_color=True, _environ=environment)
    console.print(view)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_terminal_shows_what_runs_for_the_longest_and_what_failed_most() -> None:
    bar, *lines = shown(ProgressView(NOW), width=100)
    assert bar.startswith("running")
    assert "50266/99999 done" in bar
    assert "9032 failed  1234 cached 1.2/s ETA 8:45:" in bar
    assert lines[:5] == [f"  {number:08x} at 07/21, 12 min" for number in range(5)]
    assert lines[5].startswith(r"  9,000 failed: ** Severe ** a\x1b[2J 漢字")
    assert lines[6:] == ["  30 failed: no [red]weather[/red]", "  2 failed: killed by SIGKILL"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 5), (80, 2), (80, 1), (40, 24), (300, 50)])
def test_it_stays_within_the_terminal(width: int, height: int) -> None:
    lines = shown(ProgressView(NOW), width=width, height=height)
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= max(1, height - 1)


def test_who_is_waited_for_comes_first() -> None:
    waiting = Progress(total=3, cached=0, stage="waiting", waits_for="me on here, since 2026-11-20 10:00 UTC")
    assert shown(ProgressView(waiting))[1] == "  waits for me on here, since 2026-11-20 10:00 UTC"


@pytest.mark.parametrize(("is_terminal", "is_done"), [(False, False), (False, True), (True, True)])
def test_one_line_stays(is_terminal: bool, is_done: bool) -> None:
    (line,) = shown(ProgressView(NOW, is_done=is_done), width=200, is_terminal=is_terminal)
    assert ("ETA" in line) == (not is_done)
    assert "longest: 00000000 at 07/21, 12 min" in line


def test_it_shows_what_another_process_has_told() -> None:
    told = Progress.from_dict(json.loads(json.dumps(NOW.to_dict())))
    assert shown(ProgressView(told)) == shown(ProgressView(NOW))


def test_a_notebook_shows_it_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"""
import bemsweep as bs
from bemsweep.testing import FakeEngine
from small_studies import grid_of, small_study
study = small_study(parameters=grid_of(5, 4))
bs.run(bs.plan(study, store={str(tmp_path / "store")!r}, engine=FakeEngine(longest_s=0.8)))
quick = bs.run(bs.plan(study, store={str(tmp_path / "store")!r}, engine=FakeEngine()))
"""
    paths = [str(Path(__file__).parent), str(Path(bemsweep.__file__).parent.parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    (shown_once,) = notebook.cells[0].outputs
    assert shown_once.output_type == "display_data"
    assert shown_once.data["text/html"].startswith("<pre>done ")
    assert "21/21 done 0 failed  0 cached" in shown_once.data["text/html"]


def test_nothing_is_shown_where_there_is_no_notebook() -> None:
    assert notebook_display() is None
