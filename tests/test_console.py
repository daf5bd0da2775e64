from __future__ import annotations

import io
import sys

import pytest
from rich.progress import Progress

from bemsweep.console import err, out, print_json, write_any_character


def test_texts_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    out.print("[red]x[/] :smile: \x1b[2J\r\nsecond")
    assert capsys.readouterr().out == "[red]x[/] :smile: \\x1b[2J\\r\nsecond\n"


def test_json_is_ascii_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"zone": "é\x9b\ud800[red]"})
    assert capsys.readouterr().out == '{\n  "zone": "\\u00e9\\u009b\\ud800[red]"\n}\n'


def test_a_terminal_without_a_character_gets_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    write_any_character()
    out.print("Zürich")
    sys.stdout.flush()
    assert sys.stdout.buffer.getvalue() == b"Z\\xfcrich\n"  # type: ignore[attr-defined]


def test_a_pipe_is_no_terminal_though_colours_are_forced_as_in_notebooks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress(console=err) as bar:
        bar.advance(bar.add_task("copying", total=2))
        assert capsys.readouterr().err == ""
    assert "\x1b" not in capsys.readouterr().err
