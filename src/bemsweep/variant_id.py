"""The identity of a variant: a hash of all that decides its result, and of nothing else.

Not in it: names of parameters, studies and files, the order of keys, time-outs, what to keep,
machine and platform. So studies in one store share records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from bemsweep.design_days import DesignDay
from bemsweep.edits import Edit
from bemsweep.outputs import Output, RunKind
from bemsweep.records import RECORD_SCHEMA

__all__ = ["MODEL_WRITING_VERSION", "variant_id"]

MODEL_WRITING_VERSION = 2
"""To be raised when the same edits would write another model."""


def variant_id(
    edits: Iterable[Edit],
    *,
    baseline: str,
    weather: str,
    files: Mapping[str, str],
    engine: str,
    run: RunKind,
    outputs: Iterable[Output],
    keep_model_outputs: bool = False,
    design_days: Iterable[DesignDay] = (),
) -> str:
    """Return the sha256 that names a variant's record.

    Parameters
    ----------
    edits
        Resolved and normalised edits, in the order in which they are applied.
    baseline, weather
        sha256 of the model's and of the weather file's content.
    files
        External files: as the model spells them -> sha256 of their content.
    engine
        The string that the engine reports itself.
    run
        Run kind.
    outputs
        The outputs asked for, in any order; repetitions do not count.
    keep_model_outputs
        True if the model's own outputs are kept beside them.
    design_days
        What was chosen instead of the model's own design days, in the order of simulation.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> same = {"baseline": "ab", "weather": "cd", "files": {}, "engine": "E", "run": "annual", "outputs": []}
    >>> variant_id([], **same) == variant_id([], **same)
    True
    """
    identity: dict[str, Any] = {
        "edits": [{"kind": type(edit).__name__, **asdict(edit)} for edit in edits],
        "baseline": baseline,
        "weather": weather,
        "files": dict(files),
        "engine": engine,
        "run": run,
        "outputs": sorted(map(_asked, set(outputs)), key=lambda output: json.dumps(output, sort_keys=True)),
        "keep_model_outputs": keep_model_outputs,
        "model_writing": MODEL_WRITING_VERSION,
        "record_schema": RECORD_SCHEMA,
    }
    if days := [asdict(day) for day in design_days]:
        identity["design_days"] = days
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _asked(output: Output) -> dict[str, Any]:
    """Return the output as plain values; only a cell has a table, a row and a column."""
    return {name: value for name, value in output.to_dict().items() if value or name not in ("table", "row", "column")}
