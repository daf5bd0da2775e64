"""The commands ``bemsweep status`` and ``bemsweep stop``: what a study's runs are at, wherever they are, and their end.

Takes all of it from the store. Decides nothing but how it is shown, and what is told again when it changes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from bemsweep.console import (
    DEFAULT_STORE,
    FAILED,
    GAVE_UP,
    STOPPED,
    JsonOption,
    StoreOption,
    StudyArgument,
    err,
    name_of,
    out,
    print_json,
    store_of,
)
from bemsweep.errors import StoreError
from bemsweep.live_view import ProgressView

if TYPE_CHECKING:
    from bemsweep.at_work import AtWork
    from bemsweep.progress import Progress
    from bemsweep.store import Store

__all__ = ["status_command", "stop_command"]

_COUNT_AGAIN_S = 60.0
"""How often runs show readers what they have finished."""


def status_command(
    study: StudyArgument,
    store: StoreOption = DEFAULT_STORE,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show what runs are at until nobody is at work on it any more.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say how many variants of a study are in which state, and who is at work on it."""
    from bemsweep.at_work import at_work  # noqa: PLC0415 - fsspec

    home, name = store_of(study, store), name_of(study)
    is_new = follow and _follow(home, name, as_json=as_json)
    busy = [] if follow else at_work(home, name)
    counts = _counts(home, name, is_new=is_new or bool(busy))
    if as_json:
        (_print_line if follow else print_json)(_report(name, counts, busy))
    else:
        _tell_counts(name, counts)
    for one in () if as_json else busy:
        out.print(f"{'at work' if one.number else 'helping'}: {one}")
        if unfit := one.progress.get("unfit"):
            out.print(f"  {unfit}")
        for variant in one.running:
            out.print(f"  {variant}")
    if follow:
        sys.exit(_exit_status(counts))


def _exit_status(counts: dict[str, int]) -> int:
    """Return what a run that ended so would: to be run again, some failed, all well."""
    if counts.get("pending") or not counts:
        return GAVE_UP
    return FAILED if counts.keys() - {"succeeded"} else 0


def _counts(home: Store, name: str, *, is_new: bool) -> dict[str, int]:
    """Return how many variants have which status, as of the last commit; none if nothing has been gathered yet.

    Raises
    ------
    BemsweepError
        There are no results, and nobody is or was at work who would make some.
    """
    from bemsweep import results  # noqa: PLC0415 - xarray takes a second to import
    from bemsweep.cube_metadata import ROOT  # noqa: PLC0415 - numpy

    if is_new and not home.has(home.study_name(name, "results.zarr", ROOT)):
        return {}
    return {str(status): int(count) for status, count in results.status(home, name)["status"].value_counts().items()}


def _tell_counts(name: str, counts: dict[str, int]) -> None:
    out.print(f"{name}: {f'{sum(counts.values()):,} variants' if counts else 'nothing is gathered yet'}")
    for status, count in counts.items():
        out.print(f"  {count:>8,} {status}")


def _report(name: str, counts: dict[str, int], busy: Sequence[AtWork]) -> dict[str, Any]:
    told = [{**one.progress, "who": str(one.holder), "since": one.since} for one in busy]
    return {"study": name, "variants": sum(counts.values()), "statuses": counts, "at_work": told}


def _print_line(value: dict[str, Any]) -> None:
    """Print a value for programs that read line by line."""
    out.file.write(f"{json.dumps(value)}\n")
    out.file.flush()


# Following


def _follow(home: Store, name: str, *, as_json: bool) -> bool:
    """Show who is at work on a study until nobody is; return False if nobody was."""
    from bemsweep.following import follow  # noqa: PLC0415 - fsspec
    from bemsweep.store import patience_s  # noqa: PLC0415 - fsspec

    later = follow(home.patient(patience_s()), name)
    if (first := next(later, None)) is None:
        return False
    moments = chain([first], later)
    try:
        if as_json:
            _print_moments(home, name, moments)
        elif out.is_terminal:
            with Live(console=out, transient=True) as live:
                for busy in moments:
                    live.update(Group(*_views(busy)), refresh=True)
        else:
            _print_changes(moments)
    except KeyboardInterrupt:
        err.print("followed no longer; who is at work goes on")
        sys.exit(STOPPED)
    return True


def _print_moments(home: Store, name: str, moments: Iterable[list[AtWork]]) -> None:
    counts, counted_at = dict[str, int](), float("-inf")
    for busy in moments:
        if time.monotonic() > counted_at + _COUNT_AGAIN_S:
            with suppress(StoreError):  # such as results that are just being made
                counts, counted_at = _counts(home, name, is_new=True), time.monotonic()
        _print_line(_report(name, counts, busy))


def _print_changes(moments: Iterable[list[AtWork]]) -> None:
    """Print a line for each who has got further."""
    told: dict[str, tuple[object, ...]] = {}
    for busy in moments:
        for who, now in _parts(busy):
            state = () if now is None else (now.stage, now.done, now.failed, now.cached, now.waits_for)
            if who not in told:
                out.print(who)
            if told.get(who) != state and now is not None:
                out.print(ProgressView(now))
            told[who] = state


def _views(busy: Sequence[AtWork]) -> Iterator[RenderableType]:
    for who, now in _parts(busy):
        yield Text(who, no_wrap=True, overflow="ellipsis")
        if now is not None:
            yield ProgressView(now)


def _parts(busy: Sequence[AtWork]) -> list[tuple[str, Progress | None]]:
    """Return who is at work, in words, and how far; shards are told together, as there may be hundreds."""
    from bemsweep.following import progress_of, together  # noqa: PLC0415 - fsspec

    told = [(one, progress_of(one)) for one in busy]
    shards = [now for one, now in told if now is not None and now.share and not one.number]
    if len(shards) < 2:
        return [(f"{'at work' if one.number else 'helping'}: {_who(one)}", now) for one, now in told]
    whole = [(f"at work: {_who(one)}", now) for one, now in told if one.number]
    rest = [(f"helping: {_who(one)}", now) for one, now in told if not one.number and (now is None or not now.share)]
    return [*whole, *rest, (f"{len(shards):,} shards at work", together(shards))]


def _who(one: AtWork) -> str:
    from bemsweep.redaction import visible  # noqa: PLC0415 - beside fsspec

    return visible(str(one.holder))


# Stopping


def stop_command(
    study: StudyArgument,
    store: StoreOption = DEFAULT_STORE,
    *,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for the end.")
    ] = 120,
    as_json: JsonOption = False,
) -> None:
    """End whoever is at work on a study, wherever that is; what is finished is kept, and `run` carries on."""
    from bemsweep.stopping import stop  # noqa: PLC0415 - fsspec

    home, name = store_of(study, store), name_of(study)

    def tell(asked: Sequence[AtWork]) -> None:
        for one in () if as_json else asked:
            out.print(f"asked to stop: {one}")

    done = stop(home, name, limit_s=wait, tell=tell)
    counts = _counts(home, name, is_new=True)
    if as_json:
        told = {word: [str(one.holder) for one in getattr(done, word)] for word in ("asked", "left", "others")}
        print_json({"study": name, "statuses": counts, **told})
    elif not done.asked:
        out.print(f"nobody is at work on {name}")
    else:
        for one in done.left:
            out.print(f"still at work after {wait:g} s: {one}; it stops when it next reaches the store, if it lives")
        for one in done.others:
            out.print(f"at work since, and not asked: {one}")
        _tell_counts(name, counts)
    if done.left:
        sys.exit(GAVE_UP)
