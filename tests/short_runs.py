"""A few days of a model, simulated without bemsweep's own running, to see what a change of the model does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from idfkit import IDFDocument

from bemsweep.model_file import read_model
from bemsweep.model_text import write_model
from direct_engine import CHICAGO, query, run_energyplus

_ROWS = """
    SELECT d.KeyValue, r.Value FROM ReportData r
    JOIN ReportDataDictionary d USING (ReportDataDictionaryIndex) JOIN Time t USING (TimeIndex)
    WHERE d.Name = '{name}' AND coalesce(t.WarmupFlag, 0) = 0 ORDER BY t.TimeIndex
"""


def short_model(
    path: str | Path, *, days: tuple[tuple[int, int], tuple[int, int]], outputs: Sequence[tuple[str, ...]]
) -> IDFDocument[bool]:
    """Return the model with one RunPeriod that begins on a Sunday and only these outputs.

    Parameters
    ----------
    path
        The model's file.
    days
        Month and day of the first and the last day.
    outputs
        Variable and frequency, or ``("meter", name, frequency)``.
    """
    document = read_model(Path(path))
    for object_type in [name for name in document if name.startswith("Output:")] + ["RunPeriod"]:
        for obj in document[object_type].to_list():
            document.removeidfobject(obj)
    (begin_month, begin_day), (end_month, end_day) = days
    fields = {"begin_month": begin_month, "begin_day_of_month": begin_day, "end_month": end_month}
    fields |= {"end_day_of_month": end_day, "day_of_week_for_start_day": "Sunday"}
    document.add("RunPeriod", "days", fields)
    control = document["SimulationControl"].first()
    control["run_simulation_for_weather_file_run_periods"] = "Yes"
    control["run_simulation_for_sizing_periods"] = "No"
    document.add("Output:SQLite", fields={"option_type": "Simple"})
    for output in outputs:
        if output[0] == "meter":
            document.add("Output:Meter", fields={"key_name": output[1], "reporting_frequency": output[2]})
        else:
            document.add("Output:Variable", fields={"variable_name": output[0], "reporting_frequency": output[1]})
    return document


def run(document: IDFDocument[bool], folder: Path, *, weather: Path = CHICAGO) -> Path:
    """Run the model in `folder`, which may hold its files already, and return the folder."""
    folder.mkdir(exist_ok=True)
    write_model(document, folder / "in.idf")
    end = run_energyplus(folder / "in.idf", folder, weather=weather)
    assert "Completed Successfully" in end, (folder / "eplusout.err").read_text()
    return folder


def is_fatal(document: IDFDocument[bool], folder: Path) -> bool:
    """Return True if EnergyPlus stops at the model."""
    folder.mkdir(exist_ok=True)
    write_model(document, folder / "in.idf")
    return "Completed Successfully" not in run_energyplus(folder / "in.idf", folder)


def series(folder: Path, name: str) -> dict[str, list[float]]:
    """Return the values of a variable or meter, in order of time, by its key value in upper case."""
    found: dict[str, list[float]] = {}
    for key, value in query(folder, _ROWS.format(name=name)):
        found.setdefault(key, []).append(value)
    return found
