"""What all parts of the command line share: consoles, common options and how a report looks.

Holds no command, and decides nothing but how things are printed.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

__all__ = [
    "BAD_INPUT",
    "DEFAULT_STORE",
    "GAVE_UP",
    "JsonOption",
    "StoreOption",
    "err",
    "out",
    "print_json",
]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

BAD_INPUT, GAVE_UP = 2, 3
DEFAULT_STORE = "bemsweep-store"

StoreOption = Annotated[
    str, typer.Option("--store", envvar="BEMSWEEP_STORE", help="URL or path of the store.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Report as JSON.")]


def print_json(value: Any) -> None:
    """Print `value` for programs."""
    out.print_json(json.dumps(value))
