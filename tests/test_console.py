from __future__ import annotations

import io
import sys

import pytest

from bemsweep.console import out, print_json, write_any_character


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
