"""What a baseline can report: one short engine run, kept by content.

Decides whether each output that a study asks for exists and which keys match, so that a typo costs
nothing. The answer is kept in the store under a hash of all that it depends on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bemsweep.engine import Engine, Job
from bemsweep.errors import ModelError, nearest
from bemsweep.input_files import Input
from bemsweep.inputs import WeatherInput
from bemsweep.outcome import judge
from bemsweep.outputs import Output
from bemsweep.records import Series
from bemsweep.reductions import reduced_series, why_not_reducible
from bemsweep.scratch import open_scratch
from bemsweep.sealed_json import sealed, unsealed
from bemsweep.store import Store
from bemsweep.tables import SUMMARY_SERIES, Cell, cell_series, cells_meant, has_text
from bemsweep.variant_id import MODEL_WRITING_VERSION

__all__ = ["Probe", "output_problems", "probe_model"]

_TIMEOUT_S = 1800.0
_KEYS_SHOWN = 8


@dataclass(frozen=True)
class Probe:
    """What one model can report."""

    series: tuple[Series, ...]
    """Of every variable and meter asked for, each key that the model has; without values."""
    dictionary: Mapping[str, Sequence[str]]
    """``variable``, ``meter`` and ``report`` -> every name that this model can report."""
    cells: tuple[Cell, ...] = ()
    """All of every tabular report asked for."""
    name: str = ""
    """Of the object in which the store keeps it."""

    def series_of(self, output: Output) -> tuple[Series, ...]:
        """Return what is kept of what the model reports of `output`, keys that do not match left out."""
        if output.kind == "summary":
            return SUMMARY_SERIES
        if output.kind == "table":
            meant, problem = cells_meant(self.cells, output)
            return () if problem else (cell_series(output, meant[0]),)
        whole = self.whole_series_of(output)
        return tuple(reduced_series(one, word) if word else one for one in whole for word in output.words)

    def whole_series_of(self, output: Output) -> tuple[Series, ...]:
        """Return what the model reports of a variable or meter, not reduced, keys that do not match left out."""
        return tuple(
            series
            for series in self.series
            if (series.output, series.frequency) == (output.array, output.frequency)
            and (output.kind == "meter" or output.is_wanted(series.key))
        )


def probe_model(
    store: Store,
    engine: Engine,
    baseline: Input,
    weather: WeatherInput,
    outputs: Sequence[Output],
    *,
    files: Mapping[str, Input],
) -> Probe:
    """Return what a baseline reports of `outputs`, from the store or by one short run.

    Parameters
    ----------
    store
        Where the answer is kept.
    engine
        Who is asked.
    baseline
        The model.
    weather
        Any EPW: the run needs one. Its design days replace the model's if it has any.
    outputs
        What a study asks for; patterns of keys do not matter.
    files
        External files: as the model spells them -> the file.

    Raises
    ------
    ModelError
        The engine rejects the baseline; carries its first severe message.
    InfrastructureError
        The machine's fault.

    Side effects
    ------------
    Keeps the answer in the store.
    """
    # Every model has the summary.
    general = {_with_every_key(output) for output in outputs if output.kind != "summary"}
    asked = sorted(general, key=lambda output: json.dumps(output.to_dict()))
    identity = {
        "baseline": baseline.sha256,
        "files": {name: file.sha256 for name, file in files.items()},
        "engine": engine.version,
        "outputs": [output.to_dict() for output in asked],
        "model_writing": MODEL_WRITING_VERSION,
        **({"design_days": [asdict(day) for day in weather.design_days]} if weather.design_days else {}),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    name = f"probes/{digest[:2]}/{digest}.json"
    kept = store.get(name)
    if kept is not None:
        with suppress(ValueError, KeyError, TypeError):  # what cannot be read is asked again
            return replace(_from_json(unsealed(kept)), name=name)
    job = Job(
        run_id=f"probe-{digest[:16]}",
        baseline=baseline.path,
        weather=weather.input.path,
        probe_day=weather.facts.first_day,
        run="run_period",
        outputs=tuple(asked),
        calendar=None,
        design_days=weather.design_days,
        files={name: file.path for name, file in files.items()},
    )
    with open_scratch() as scratch:
        run = engine.run(job, scratch, timeout_s=_TIMEOUT_S)
    status, message = judge(run)
    if status != "succeeded":
        raise ModelError(message or status)
    probe = Probe(run.series, {kind: list(names) for kind, names in run.dictionary.items()}, run.cells, name)
    store.put(name, sealed(_to_json(probe)))
    return probe


def output_problems(outputs: Sequence[Output], probe: Probe) -> Iterator[tuple[Output, str]]:
    """Tell each output that the model does not report, with the nearest right name, or that cannot be reduced.

    Parameters
    ----------
    outputs
        What is asked for; optional ones may be missing.
    probe
        What the model can report.
    """
    for output in outputs:
        if output.kind == "table":
            problem = _cell_problem(output, probe)
        elif output.kind == "summary":
            problem = ""
        elif whole := probe.whole_series_of(output):
            problem = why_not_reducible(whole[0], output.reduce)
        else:
            problem = "" if output.optional else _why_not_reported(output, probe)
        if problem:
            yield output, problem


def _why_not_reported(output: Output, probe: Probe) -> str:
    names = probe.dictionary.get(output.kind, ())
    other_kind = "variable" if output.kind == "meter" else "meter"
    reported = [series.key for series in probe.whole_series_of(_with_every_key(output))]
    if reported:
        shown = ", ".join(reported[:_KEYS_SHOWN]) + (", …" if len(reported) > _KEYS_SHOWN else "")
        hint = nearest(output.key, reported)
        return f"no key of {output.name!r} matches {output.key!r}{hint}; the model has {shown}"
    if output.name.casefold() in (known.casefold() for known in names):
        return f"{output.name!r} is known but nothing in this model reports it {output.frequency}"
    if output.name.casefold() in (known.casefold() for known in probe.dictionary.get(other_kind, ())):
        return f"{output.name!r} is a {other_kind}: ask for {{{other_kind}: {output.name}}}"
    hint = nearest(output.name, names)
    told = "if only some variants report it, say `optional: true`"
    return f"this model has no {output.kind} {output.name!r}{hint}; {told}"


def _cell_problem(output: Output, probe: Probe) -> str:
    meant, problem = cells_meant(probe.cells, output)
    if len(meant) == 1 and has_text(meant[0]):
        problem = f"this cell holds no number but {meant[0].text.strip()!r}"
    elif not meant and output.name.casefold() not in map(str.casefold, names := probe.dictionary.get("report", ())):
        problem = f"{problem}{nearest(output.name, names)}"
    is_allowed = output.optional and len(meant) <= 1
    return "" if is_allowed else problem


def _with_every_key(output: Output) -> Output:
    if output.kind == "table":
        return Output("table", output.name, "annual", "", "")
    return replace(output, key="*" if output.kind == "variable" else "", optional=False, reduce=())


def _to_json(probe: Probe) -> dict[str, Any]:
    series = [{k: v for k, v in vars(one).items() if k != "values"} for one in probe.series]
    return {"series": series, "dictionary": dict(probe.dictionary), "cells": probe.cells}


def _from_json(data: Mapping[str, Any]) -> Probe:
    empty = np.empty(0, dtype=np.float64)
    series = tuple(Series(**one, values=empty) for one in data["series"])
    return Probe(series, data["dictionary"], tuple(Cell(*cell) for cell in data["cells"]))
