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
    from bemsweep.store import Store
    from bemsweep.study import Study

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
    "StudyArgument",
    "StudyFile",
    "YesOption",
    "err",
    "explained",
    "name_of",
    "out",
    "planned",
    "print_json",
    "store_of",
    "write_any_character",
]


class _PlainConsole(Console):
    """A console that prints texts as they are: ``[red]`` and ``:smile:`` mean nothing, nor do control characters."""

    @property
    def is_terminal(self) -> bool:
        """Whether it is one: a pipe is none, though FORCE_COLOR, which notebooks set, makes rich say so."""
        return bool(self.file.isatty())

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
StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or a study's name in the store.")]
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


def name_of(study: str) -> str:
    """Return the name of a study given as a file or by name."""
    return _read(study).name if _is_file(study) else study


def store_of(study: str, url: str) -> Store:
    """Return the store, opened as the study says if that is given as a file."""
    from bemsweep.places import options_for  # noqa: PLC0415 - with what follows
    from bemsweep.store import Store  # noqa: PLC0415 - fsspec and zarr take a second to import

    return Store(url, options_for(url, _read(study).storage_options) if _is_file(study) else None)


def _is_file(study: str) -> bool:
    return study.endswith((".yaml", ".yml"))


def _read(study: str) -> Study:
    """Return a study for its name and storage options, which need no code of its to run."""
    from bemsweep.study import Study  # noqa: PLC0415 - pydantic

    return Study.from_yaml(study, allow_python=True)


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
