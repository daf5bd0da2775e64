"""The commands ``bemsweep storage check|sync|gc`` and ``bemsweep studies list|delete|rename``.

Says what the modules of the same names found or did, for people or as JSON. Decides nothing about a store.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bemsweep.console import BAD_INPUT, DEFAULT_STORE, GAVE_UP, JsonOption, StoreOption, err, out, print_json
from bemsweep.errors import BemsweepError, StoreError
from bemsweep.faults import PASSING
from bemsweep.redaction import visible
from bemsweep.units import size_text

if TYPE_CHECKING:
    from bemsweep.storage_check import StorageCheck
    from bemsweep.studies import Deletion, StudySummary
    from bemsweep.sync import Copied
    from bemsweep.unused import Unused

__all__ = ["storage_app", "studies_app"]

storage_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Stores: check, copy, clean up.")
studies_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The studies of a store.")

UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="URL or path of a store.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A study's name in the store.")]


@storage_app.command("check")
def check_command(url: UrlArgument, *, as_json: JsonOption = False) -> None:
    """Try out what can be done at a URL, and how fast; leaves nothing behind."""
    from bemsweep.storage_check import check_storage  # noqa: PLC0415 - fsspec

    try:
        found = check_storage(url)
    except StoreError as error:
        err.print(str(error))
        sys.exit(BAD_INPUT)
    if as_json:
        print_json({**asdict(found), "is_allowed": found.is_allowed})
    else:
        _show_check(found)
    if not found.is_allowed:
        sys.exit(GAVE_UP if any(attempt.fault in PASSING for attempt in found.attempts) else BAD_INPUT)


def _show_check(found: StorageCheck) -> None:
    out.print(found.url)
    out.print(f"  {found.filesystem}{f' at {found.endpoint}' if found.endpoint else ''}")
    out.print(f"  configured by {', '.join(found.configuration) or 'nothing but the URL'}")
    words = {True: "yes", False: "NO", None: "not known"}
    for attempt in found.attempts:
        out.print(f"  {attempt.what:<10}{words[attempt.is_allowed]:<10}{attempt.fault}".rstrip())
    for message in dict.fromkeys(attempt.message for attempt in found.attempts if attempt.message):
        out.print(f"  {message}")
    if found.latency_ms is not None:
        out.print(f"  {found.latency_ms:.1f} ms for a small request")
    if found.upload_mb_s is not None and found.download_mb_s is not None:
        out.print(f"  {found.upload_mb_s:.1f} MB/s up, {found.download_mb_s:.1f} MB/s down")
    for name in found.left:
        out.print(f"  left behind, for it may not be deleted: {name}")


@storage_app.command("sync")
def sync_command(
    source: Annotated[str, typer.Argument(metavar="SRC", help="URL or path of the store to copy.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="URL or path to copy it to.")],
    *,
    study: Annotated[str | None, typer.Option("--study", help="This study only, with all that belongs to it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a store or one study; what is there and the same is skipped, the same command carries on."""
    from bemsweep.store import Store  # noqa: PLC0415 - fsspec
    from bemsweep.sync import sync  # noqa: PLC0415 - pyarrow

    with _copying(is_quiet=as_json) as tell:
        done = sync(Store(source), Store(target), study=study, tell=tell)
    if as_json:
        print_json(asdict(done))
    else:
        out.print(f"copied {done.copied:,} objects, {size_text(done.copied_bytes)}")
        out.print(f"skipped {done.skipped:,} that were there, {size_text(done.skipped_bytes)}")
        if done.deleted:
            out.print(f"deleted {done.deleted:,} that their studies no longer have")
    for name in done.changed:
        err.print(f"{name} was written meanwhile: what was copied is as it was before, sync again for the rest")


@contextmanager
def _copying(*, is_quiet: bool) -> Iterator[Callable[[Copied], None]]:
    size = TextColumn("{task.fields[size]}")
    columns = (
        TextColumn("copying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("objects"),
        size,
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, disable=is_quiet) as bar:
        task = bar.add_task("copying", total=None, size="")

        def tell(done: Copied) -> None:
            size = size_text(done.copied_bytes + done.skipped_bytes)
            bar.update(task, total=done.total, completed=done.copied + done.skipped, size=size)

        yield tell


@storage_app.command("gc")
def gc_command(
    store: StoreOption = DEFAULT_STORE,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; else nothing is changed.")] = False,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="HOURS", min=24.0, help="Leave alone what is younger.")
    ] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Find what no study refers to; delete it only if told to."""
    from bemsweep.store import Store  # noqa: PLC0415 - fsspec
    from bemsweep.unused import delete_unused, find_unused  # noqa: PLC0415 - pyarrow

    home = Store(store)
    found = find_unused(home, older_than_h=older_than)
    if delete:
        delete_unused(home, found)
    if as_json:
        print_json(
            {
                "store": home.url,
                "kinds": {kind.kind: {"objects": len(kind.names), "bytes": kind.size_bytes} for kind in found.kinds},
                "young": found.young,
                "notes": found.notes,
                "deleted": delete,
            }
        )
    else:
        _show_unused(found, is_deleted=delete)


def _show_unused(found: Unused, *, is_deleted: bool) -> None:
    for kind in found.kinds:
        out.print(f"{len(kind.names):>10,} {kind.kind:<20}{size_text(kind.size_bytes):>10}")
    for note in found.notes:
        out.print(note)
    if found.young:
        told = (
            f"{found.young:,} more are younger than {found.older_than_h:g} h and left alone: a run may be writing them"
        )
        out.print(told)
    if not found.kinds:
        out.print("nothing is unused")
    elif is_deleted:
        out.print(f"deleted {found.count:,} objects, {size_text(found.size_bytes)}")
    else:
        out.print(f"no study refers to these {size_text(found.size_bytes)}; nothing was deleted: --delete does it")


@studies_app.command("list")
def list_command(store: StoreOption = DEFAULT_STORE, *, as_json: JsonOption = False) -> None:
    """List the studies of a store, with their sizes."""
    from bemsweep.store import Store  # noqa: PLC0415 - fsspec
    from bemsweep.studies import list_studies  # noqa: PLC0415 - xarray

    found = list_studies(Store(store))
    if as_json:
        print_json([{**asdict(one), "changed": one.changed.isoformat() if one.changed else None} for one in found])
    elif found:
        table = _study_table(found)  # as wide as it is: names are there to be copied
        width = Measurement.get(out, out.options.update(width=10_000), table).maximum
        Console(highlight=False, width=width).print(table)
    else:
        out.print("there are no studies")
    for one in () if as_json else found:
        if one.problem:
            err.print(f"{one.name} cannot be read: {one.problem}")


def _study_table(found: list[StudySummary]) -> Table:
    table = Table("study", box=None, pad_edge=False)
    for head in ("variants", "finished", "failed", "records", "of them shared", "raw files", "cube"):
        table.add_column(head, justify="right")
    table.add_column("changed")
    for one in found:
        finished = sum(count for status, count in one.statuses.items() if status != "pending")
        failed = finished - one.statuses.get("succeeded", 0)
        counts = (f"{finished:,}", f"{failed:,}") if one.statuses else ("?", "?")
        sizes = (size_text(size.size_bytes) for size in (one.records, one.shared, one.raw, one.cube))
        changed = f"{one.changed:%Y-%m-%d %H:%M} UTC" if one.changed else ""
        table.add_row(Text(visible(one.name)), f"{one.variants:,}", *counts, *sizes, changed)
    return table


@studies_app.command("delete")
def delete_command(
    name: NameArgument,
    store: StoreOption = DEFAULT_STORE,
    *,
    records: Annotated[
        bool, typer.Option("--records", help="Its records and raw files too, but for what other studies have.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a study's definition, variant table and results; its records stay unless told otherwise."""
    from bemsweep.store import Store  # noqa: PLC0415 - fsspec
    from bemsweep.studies import delete_study, find_deletion  # noqa: PLC0415 - xarray

    home = Store(store)
    found = find_deletion(home, name, records=records)
    out.print(_told(found, home.url, has_records=records))
    if not yes:
        if not _is_asked():
            raise BemsweepError("nothing was deleted: nobody can be asked here, so say --yes")
        if not typer.confirm("delete it?"):
            err.print("nothing was deleted")
            return
    delete_study(home, found)
    out.print("deleted")


def _is_asked() -> bool:
    return sys.stdin.isatty()


def _told(found: Deletion, url: str, *, has_records: bool) -> str:
    kept = (
        f"{len(found.records):,} records and raw files that no other study has"
        if has_records
        else "its records stay until `bemsweep storage gc`"
    )
    return f"{found.study} in {url}: {len(found.own):,} objects of its own, {kept}; {size_text(found.size_bytes)}"


@studies_app.command("rename")
def rename_command(
    old: Annotated[str, typer.Argument(metavar="OLD", help="What the study is called.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it is to be called.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Give a study another name; its variants keep their records."""
    from bemsweep.store import Store  # noqa: PLC0415 - fsspec
    from bemsweep.studies import rename_study  # noqa: PLC0415 - xarray

    home = Store(store)
    rename_study(home, old, new)
    out.print(f"{old} is {new} now: write `name: {new}` in its study file")
