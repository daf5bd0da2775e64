"""What the workers of a run need of its plan: inputs in the store, and what all its variants have in common.

Decides nothing that the plan has not decided. Never runs a variant or knows Dask.
"""

from __future__ import annotations

import hashlib

from bemsweep.edits import InputRef
from bemsweep.errors import Problem, StudyError
from bemsweep.input_files import Input
from bemsweep.planning import Plan
from bemsweep.store import Store, patience_s
from bemsweep.task import Context
from bemsweep.verification import Verification, why_input_bad

__all__ = ["context_of", "put_inputs"]


def put_inputs(plan: Plan, store: Store, verification: Verification | None = None) -> None:
    """Write what workers read into the store, unless it is there.

    Parameters
    ----------
    plan
        Whose inputs are meant.
    store
        Where they go.
    verification
        What is told of those that are there; None if they are not to be looked at.

    Raises
    ------
    StudyError
        A file has changed since the plan was made.
    StoreError
        The store cannot be read or written.
    """
    for source in plan.inputs:
        name = Store.input_name(source.sha256, source.suffix)
        if store.has(name):
            if verification is None:
                continue
            verification.inputs += 1
            if not (why := why_input_bad(store, source.sha256, source.suffix)):
                continue
            verification.note(name, why)
        data = source.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != source.sha256:
            raise StudyError([Problem(f"{source.path} has changed since the study was planned: plan it again")])
        store.put(name, data)


def context_of(plan: Plan) -> Context:
    """Return what the variants of a plan have in common, for the workers."""

    def ref(source: Input) -> InputRef:
        return InputRef(source.sha256, source.suffix)

    return Context(
        study=plan.study.name,
        store=plan.store,
        engine=plan.engine,
        engine_version=plan.engine_version,
        run=plan.study.run,
        outputs=plan.outputs,
        calendar=plan.layout.calendar,
        keep_model_outputs=plan.study.keep_model_outputs,
        timeout_s=plan.study.timeout_s,
        names=plan.points.names,
        parameters=tuple(plan.study.parameters),
        edits=plan.resolved.edits,
        baselines={label: ref(baseline.input) for label, baseline in plan.baselines.items()},
        files={
            label: {name: ref(file) for name, file in baseline.files.items()}
            for label, baseline in plan.baselines.items()
        },
        weather={label: ref(weather.input) for label, weather in plan.weather.items()},
        design_days={label: weather.design_days for label, weather in plan.weather.items()},
        utc_offsets_h={label: weather.facts.utc_offset_h for label, weather in plan.weather.items()},
        calls=plan.resolved.functions,
        keep=plan.study.kept_files(),
        max_memory_bytes=plan.study.max_memory,
        patience_s=patience_s(),
    )
