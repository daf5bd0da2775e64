"""What all parts of the command line share: consoles, common options and how a report looks.

Holds no command, and decides nothing but how things are printed: what comes from models, stores and study files
never acts on the terminal.
"""

from __future__ import annotations

import json
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from bemsweep.redaction import visible

__all__ = [
    "BAD_INPUT",
    "DEFAULT_STORE",
    "GAVE_UP",
    "JsonOption",
    "StoreOption",
    "err",
    "out",
    "print_json",
    "write_any_character",
]


class _PlainConsole(Console):
    """A console that prints texts as they are: ``[red]`` and ``:smile:`` mean nothing, nor do control characters."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*(Text(visible(str(one))) if isinstance(one, (str, Text)) else one for one in objects), **how)


out = _PlainConsole(highlight=False, soft_wrap=True)
err = _PlainConsole(stderr=True, highlight=False, soft_wrap=True)

BAD_INPUT, GAVE_UP = 2, 3
DEFAULT_STORE = "bemsweep-store"

StoreOption = Annotated[
    str, typer.Option("--store", envvar="BEMSWEEP_STORE", help="URL or path of the store.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Report as JSON.")]


def print_json(value: Any) -> None:
    """Print `value` for programs, in ASCII."""
    out.print_json(json.dumps(value), ensure_ascii=True)


def write_any_character() -> None:
    """Let a terminal that lacks a character get its number instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
