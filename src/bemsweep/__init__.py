"""Parametric studies of EnergyPlus models on a Dask cluster, gathered in one labelled xarray dataset.

The names below are the public face; the rest is in submodules (`bemsweep.errors`, `bemsweep.plot`,
`bemsweep.results`, `bemsweep.testing`). They are imported when first used, so that ``import bemsweep`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bemsweep.clusters import open_cluster
    from bemsweep.contrasts import contrast
    from bemsweep.description import describe
    from bemsweep.errors import BemsweepError
    from bemsweep.gridding import to_grid
    from bemsweep.idfkit_files import FsspecFileSystem
    from bemsweep.options import Options
    from bemsweep.parameters import Call, Field, Schedule
    from bemsweep.planning import Plan, plan
    from bemsweep.results import open_results
    from bemsweep.runner import Run, run
    from bemsweep.study import Study
    from bemsweep.summaries import summary
    from bemsweep.wanted import Meter, Table, Variable

__version__ = "0.1.0"

__all__ = [
    "BemsweepError",
    "Call",
    "Field",
    "FsspecFileSystem",
    "Meter",
    "Options",
    "Plan",
    "Run",
    "Schedule",
    "Study",
    "Table",
    "Variable",
    "contrast",
    "describe",
    "open_cluster",
    "open_results",
    "plan",
    "run",
    "summary",
    "to_grid",
]

_HOME = {
    "BemsweepError": "errors",
    "Call": "parameters",
    "Field": "parameters",
    "FsspecFileSystem": "idfkit_files",
    "Meter": "wanted",
    "Options": "options",
    "Plan": "planning",
    "Run": "runner",
    "Schedule": "parameters",
    "Study": "study",
    "Table": "wanted",
    "Variable": "wanted",
    "contrast": "contrasts",
    "describe": "description",
    "open_cluster": "clusters",
    "open_results": "results",
    "plan": "planning",
    "run": "runner",
    "summary": "summaries",
    "to_grid": "gridding",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bemsweep' has no attribute {name!r}")
    value = getattr(import_module(f"bemsweep.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
