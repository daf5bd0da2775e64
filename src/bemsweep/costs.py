"""What variants have cost, kept in the store by the runs that have ended, and what others like them will cost.

Decides which variants are alike: those of the same baselines, run kind and engine that simulate as many hours. Of all
of them a store has one small object, which runs write and plans read; a plan never looks at records for it. What it
says is only told: one that is damaged or strange is as good as none, and none stops a plan or a run.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bemsweep.errors import StoreError
from bemsweep.object_names import check_study_name
from bemsweep.outputs import Output, RunKind
from bemsweep.progress import Estimate
from bemsweep.sealed_json import digest, sealed, unsealed
from bemsweep.store import Store

__all__ = ["Cost", "costs_name", "estimate", "leave_cost", "outputs_digest"]

_log = logging.getLogger(__name__)

_ENOUGH = 4
"""So many variants tell as much as more of them: what fewer have cost takes no place of what more have."""
_KEPT = 8
"""Sets of outputs of which the cost is kept."""

# Bounds keep what is made of them finite, whatever a store says.
_Count = Annotated[int, Field(ge=0, le=10**12)]
_Seconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
_Bytes = Annotated[int, Field(ge=0, le=10**18)]


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("what acts on a terminal is no name of a machine")
    return text


class Cost(BaseModel):
    """What the variants of one run have cost."""

    model_config = ConfigDict(frozen=True, strict=True)

    study: Annotated[str, AfterValidator(check_study_name)]
    """Whose run it was."""
    outputs: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """`outputs_digest` of what they reported."""
    date: Annotated[str, Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] = Field(
        default_factory=lambda: dt.datetime.now(dt.UTC).date().isoformat()
    )
    """When, UTC."""
    variants: Annotated[int, Field(ge=1, le=10**12)]
    """How many were run."""
    failed: _Count
    """Those of them that did not succeed."""
    threads: Annotated[int, Field(ge=1, le=10**9)]
    """Variants that ran at once."""
    engine_s: _Seconds
    """Mean seconds of one in the engine."""
    least_s: _Seconds
    """Least seconds of one, from its task's start to its record, without the engine's own start."""
    mean_s: _Seconds
    """Mean of the same."""
    most_s: _Seconds
    """Most of the same."""
    memory_bytes: _Bytes
    """Most resident memory of an engine."""
    record_bytes: _Bytes
    """Mean size of a record."""
    aside_s: _Seconds
    """Seconds by the clock before the first and after the last of them, the engine's start included."""
    where: Annotated[str, Field(max_length=200), AfterValidator(_check_printable)] = ""
    """What they ran on, in words: a processor or a cluster; ``""`` if that is not known."""


class _Costs(BaseModel):
    """What the object holds."""

    runs: Annotated[list[Cost], Field(max_length=_KEPT)]
    """The latest run for each set of outputs, the latest of all first."""


def costs_name(baselines: Iterable[str], *, run: RunKind, engine: str, hours: int) -> str:
    """Return the name of the object that tells what variants have cost.

    Parameters
    ----------
    baselines
        Hashes of the baselines' content.
    run
        Run kind.
    engine
        The string that the engine reports itself.
    hours
        Simulated hours of each variant.
    """
    key = digest({"baselines": sorted(baselines), "run": run, "engine": engine, "hours": hours})
    return f"costs/{key[:2]}/{key}.json"


def outputs_digest(outputs: Iterable[Output]) -> str:
    """Return a hash of what variants report, whatever the order."""
    return digest(sorted((asdict(output) for output in outputs), key=digest))


def leave_cost(store: Store, name: str, cost: Cost) -> None:
    """Keep what a run's variants have cost for later plans, unless more variants have told already.

    Parameters
    ----------
    store
        Where.
    name
        What `costs_name` returned.
    cost
        The run's.

    Side effects
    ------------
    One read and at most one write; if they fail, that is logged and nothing is raised.
    """
    try:
        before = _costs(store, name)
        if any(one.outputs == cost.outputs and cost.variants < min(_ENOUGH, one.variants) for one in before):
            return
        others = [one for one in before if one.outputs != cost.outputs]
        store.put(name, sealed(_Costs(runs=[cost, *others][:_KEPT]).model_dump()))
    except StoreError as error:
        _log.warning("what the run has cost is not kept for later plans: %s", error)


def estimate(store: Store, name: str, *, outputs: Iterable[Output], to_do: int, threads: int) -> Estimate | None:
    """Return what variants will cost, judged by those of an earlier run; None if there was none.

    Parameters
    ----------
    store
        Where to look; one read.
    name
        What `costs_name` returned.
    outputs
        What the variants report. If none of the same outputs have run, others tell, but not of the records' size.
    to_do
        How many variants.
    threads
        How many of them at once.
    """
    try:
        costs = _costs(store, name)
    except StoreError as error:
        _log.info("what earlier runs have cost cannot be read: %s", error)
        return None
    asked = outputs_digest(outputs)
    found = next((one for one in costs if one.outputs == asked), costs[0] if costs else None)
    if found is None:
        return None
    is_same = found.outputs == asked
    other = "" if is_same else " with other outputs"
    variants = f"{found.variants:,} variant{'s' if found.variants != 1 else ''}"
    where = f", {found.where}" if found.where else ""
    return Estimate(
        tried=found.variants,
        failed=found.failed,
        seconds=(found.least_s, found.mean_s, found.most_s),
        memory_bytes=found.memory_bytes,
        record_bytes=found.record_bytes if is_same else None,
        severe=(),
        to_do=to_do,
        threads=threads,
        engine_s=found.engine_s,
        aside_s=found.aside_s,
        judged_by=f"{variants} of {found.study}{other}, {found.threads} at once, {found.date}{where}",
    )


def _costs(store: Store, name: str) -> list[Cost]:
    """Return what the object says; nothing if there is none, or what is there is not what `leave_cost` writes."""
    data = store.get(name)
    try:
        return [] if data is None else _Costs.model_validate(unsealed(data)).runs
    except (ValueError, RecursionError):
        return []
