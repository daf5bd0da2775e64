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
    "size_text",
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


def size_text(size_bytes: float) -> str:
    """Return a size as people read it.

    Examples
    --------
    >>> size_text(999), size_text(2_500_000)
    ('999 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"
