"""Dask's performance report around a run: where its tasks ran and what workers and scheduler did meanwhile.

Decides what is asked for before anything is run, so that a report does not fail at the end of a long one. What the
report tells is Dask's affair.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from distributed import Client, performance_report

from bemsweep.errors import BemsweepError

__all__ = ["check_report", "reported"]

_log = logging.getLogger(__name__)


def check_report(path: Path) -> None:
    """Make sure that a report can be made and written.

    Raises
    ------
    BemsweepError
        A package that draws it is not installed, or there is no such folder.
    """
    if find_spec("bokeh") is None:
        told = "Dask draws its performance report with bokeh, which is not installed"
        raise BemsweepError(f"{told}: pip install 'bemsweep[dashboard]'")
    if path.is_dir() or not path.parent.is_dir():
        raise BemsweepError(f"{path} cannot be a performance report: name a file in a folder that exists")


@contextmanager
def reported(client: Client, path: Path) -> Iterator[None]:
    """Write the report of what a cluster does in the block, also if it ends with an error.

    Parameters
    ----------
    client
        Of the cluster.
    path
        The file, HTML; a report that is there already is replaced.

    Side effects
    ------------
    The scheduler keeps a record of the latest tasks from now on. A report that cannot be made is logged.
    """
    report = performance_report(filename=str(path.absolute()))
    with client.as_current():
        report.__enter__()
    try:
        yield
    finally:
        try:
            with client.as_current():
                report.__exit__(None, None, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not hide how the run ended
            _log.warning("the performance report %s could not be written: %r", path, error)
