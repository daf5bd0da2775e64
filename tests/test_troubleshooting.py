"""docs/troubleshooting.md quotes messages as bemsweep says them: each still stands in the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"
_ROW = re.compile(r"^\| `([^|]+?)` \|", re.MULTILINE)
_GAP = "…"
"""What the page writes for a value, and for words that it leaves out."""


def literals(source: str) -> list[str]:
    """Return the texts of a module but for docstrings, with `_GAP` for each value that is filled in."""
    tree = ast.parse(source)
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else _GAP for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            found.append(re.sub(r"%[sdr]|%\.\df", _GAP, node.value))  # of logging
    return found


SAID = [text for path in sorted((ROOT / "src").rglob("*.py")) for text in literals(path.read_text())]
MESSAGES = _ROW.findall(PAGE.read_text())


def is_said(message: str) -> bool:
    """Return True if one text of the source says so."""
    pattern = re.compile(".+".join(re.escape(part.strip()) for part in message.split(_GAP) if part.strip()))
    return any(pattern.search(text) for text in SAID)


def test_there_are_messages_to_look_for() -> None:
    assert len(MESSAGES) > 60
    assert len(set(MESSAGES)) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_is_still_said(message: str) -> None:
    assert is_said(message)


def test_what_nobody_says_is_seen() -> None:
    assert is_said("the cluster has no workers")
    assert not is_said("the cluster has … no workers at all")
    assert not is_said("one text of the source says so")  # not even this docstring
