"""What all parts of the command line share: consoles, common options and how a report looks.

Holds no command, and decides nothing but how things are printed: what comes from models, stores and study files
never acts on the terminal.
"""

from __future__ import annotations

import json
import shlex
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from bemsweep.redaction import visible

if TYPE_CHECKING:
    import pandas as pd

    from bemsweep.cluster_file import Cluster
    from bemsweep.planning import Plan

__all__ = [
    "BAD_INPUT",
    "BUG",
    "DEFAULT_STORE",
    "FAILED",
    "GAVE_UP",
    "STOPPED",
    "AllowPythonOption",
    "EngineOption",
    "JsonOption",
    "StoreOption",
    "StudyFile",
    "YesOption",
    "err",
    "explained",
    "out",
    "planned",
    "print_json",
    "write_any_character",
]


class _PlainConsole(Console):
    """A console that prints texts as they are: ``[red]`` and ``:smile:`` mean nothing, nor do control characters."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*(Text(visible(str(one))) if isinstance(one, (str, Text)) else one for one in objects), **how)


out = _PlainConsole(highlight=False, soft_wrap=True)
err = _PlainConsole(stderr=True, highlight=False, soft_wrap=True)

FAILED, BAD_INPUT, GAVE_UP, BUG, STOPPED = 1, 2, 3, 70, 130
DEFAULT_STORE = "bemsweep-store"

StoreOption = Annotated[
    str, typer.Option("--store", envvar="BEMSWEEP_STORE", help="URL or path of the store.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Report as JSON.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file.")]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help="Path of an installed EnergyPlus, instead of the one that came along.")
]
AllowPythonOption = Annotated[
    bool,
    typer.Option(
        "--allow-python",
        help="The study file may run code: functions that it calls, its `engine`; so may a cluster file.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="More than a million variants are meant.")]


def print_json(value: Any) -> None:
    """Print `value` for programs, in ASCII."""
    out.print_json(json.dumps(value), ensure_ascii=True)


def write_any_character() -> None:
    """Let a terminal that lacks a character get its number instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def planned(
    path: Path, store: str, engine: str | None, *, cluster: Cluster | None = None, yes: bool, allow_python: bool
) -> Plan:
    """Return the plan of a study file.

    Parameters
    ----------
    path
        The file.
    cluster
        What the cluster file says; None for this machine.
    store, engine, yes, allow_python
        As the options of those names say.
    """
    from bemsweep.planning import plan  # noqa: PLC0415 - idfkit and zarr take a second to import
    from bemsweep.study import Study  # noqa: PLC0415 - pydantic

    study = Study.from_yaml(path, allow_python=allow_python, engine=engine)
    return plan(study, store=store, engine=engine, cluster=cluster, yes=yes)


def explained(groups: pd.DataFrame, store: str) -> str:
    """Return each group of failures with what it means, where its .err is, and how to look at one by oneself."""
    where = "" if store == DEFAULT_STORE else f" --store {shlex.quote(store)}"
    lines = []
    for line in groups.to_dict(orient="records"):
        told = {
            "means": line["advice"],
            "examples": ", ".join(line["examples"]),
            ".err": line["err"],
            "try it": f"bemsweep reproduce {line['examples'][0]} --to DIR{where}",
        }
        lines.append(f"{line['count']:,} {line['status']}: {line['message']}")
        lines += [f"    {word:<9} {text}" for word, text in told.items() if text]
    return "\n".join(lines)
