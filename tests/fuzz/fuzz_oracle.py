"""Whether a success is true: what EnergyPlus itself, or another reading of the text, makes of a mutated input.

Reads nothing through bemsweep but the results that it is to judge. Never runs bemsweep's engine.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from fuzz_cases import Case
from fuzz_readings import expected_schedule, expected_study, expected_table
from fuzz_variants import differences_of_variants
from ruamel.yaml.error import YAMLError

import bemsweep as bs
from bemsweep.errors import BemsweepError
from bemsweep.results import errors
from bemsweep.store import Store
from direct_engine import run_energyplus
from short_runs import series

__all__ = ["ORACLE_FAULTS", "false_about"]

ORACLE_FAULTS = (
    ValueError,
    KeyError,
    IndexError,
    OSError,
    TypeError,
    AttributeError,
    BemsweepError,
    sqlite3.Error,
    YAMLError,
    csv.Error,
    SyntaxError,
    NameError,
)
"""What may happen to an oracle that meets what it does not know: then a success is not believed."""

_LIMIT_S = 60.0
_ZONES = [("temperature", "Zone Mean Air Temperature")]
_METERS = [("electricity", "Electricity:Facility")]
_OUTPUTS = """
Output:SQLite, Simple;
Output:Variable, *, Zone Mean Air Temperature, Hourly;
Output:Meter, Electricity:Facility, Hourly;
"""
_CLIMATE = {
    "drybulb": "Site Outdoor Air Drybulb Temperature",
    "wetbulb": "Site Outdoor Air Wetbulb Temperature",
    "wind": "Site Wind Speed",
    "direct": "Site Direct Solar Radiation Rate per Area",
    "diffuse": "Site Diffuse Solar Radiation Rate per Area",
}


def false_about(one: Case, folder: Path, out: str) -> list[str]:  # noqa: PLR0911 - one for each kind
    """Return what is false about a case that ended well, or vague about one whose variants failed.

    Parameters
    ----------
    one
        The case.
    folder
        Where it ran.
    out
        What the command printed.
    """
    if one.command == "describe":
        return list(_false_about_description(one, folder, json.loads(out)))
    report = json.loads(out)
    if set(report["statuses"]) - {"succeeded"}:
        return list(_vague_failures(folder, report["study"]))
    tree = bs.open_results(folder / "store", report["study"])
    match one.kind:
        case "idf" | "epjson":
            return list(_false_about_model(one, folder, tree))
        case "epw":
            return list(_false_about_weather(one, folder, tree))
        case "ddy":
            return list(_false_about_days(one, folder, tree))
        case "schedule":
            return list(_false_about_schedule(one, tree))
        case "table":
            wanted = expected_table(one.content.decode("utf-8-sig"))
        case _:
            wanted = expected_study(one.content.decode(), folder)
            if wanted.name != report["study"]:
                return [f"the study is called {report['study']!r} and not {wanted.name!r}"]
    return list(differences_of_variants(wanted, folder, tree))


def _vague_failures(folder: Path, study: str) -> Iterator[str]:
    for group in errors(Store(folder / "store"), study).to_dict(orient="records"):
        if len(str(group["message"])) < 15:
            yield f"{group['status']}: {group['message']!r} says too little"


# Models and weather: EnergyPlus itself.


def _run(model: bytes, folder: Path, *flags: str, suffix: str = ".idf", weather: Path) -> str:
    """Run EnergyPlus directly in `folder` and return why it did not complete, or ``""``."""
    folder.mkdir()
    path = folder / f"in{suffix}"
    path.write_bytes(model)
    try:
        end = run_energyplus(path, folder, *flags, weather=weather, timeout_s=_LIMIT_S)
    except subprocess.TimeoutExpired:
        return "EnergyPlus itself hangs"
    except FileNotFoundError:
        return "EnergyPlus itself dies"
    if "Completed Successfully" in end:
        return ""
    messages = re.findall(r"\*\* Severe.*|\*\*  Fatal.*", (folder / "eplusout.err").read_text(errors="replace"))
    return f"EnergyPlus itself refuses it: {' '.join(messages[:2])}"


def _with_outputs(one: Case) -> bytes:
    content = one.content.removeprefix(b"\xef\xbb\xbf")
    if one.kind == "idf":
        return content + _OUTPUTS.encode()
    data = json.loads(content)
    data["Output:SQLite"] = {"s": {"option_type": "Simple"}}
    data["Output:Variable"] = {
        "v": {"key_value": "*", "variable_name": "Zone Mean Air Temperature", "reporting_frequency": "Hourly"}
    }
    data["Output:Meter"] = {"m": {"key_name": "Electricity:Facility", "reporting_frequency": "Hourly"}}
    return json.dumps(data).encode()


def _false_about_model(one: Case, folder: Path, tree: xr.DataTree) -> Iterator[str]:
    suffix = Path(one.valid.target).suffix
    if reason := _run(_with_outputs(one), folder / "direct", "-D", suffix=suffix, weather=folder / "days.epw"):
        yield reason
        return
    yield from _different_values(folder / "direct", tree)


def _different_values(direct: Path, tree: xr.DataTree) -> Iterator[str]:
    hourly = tree["hourly"].to_dataset().isel(variant=0) if "hourly" in tree.children else xr.Dataset()
    for array, name in (*_ZONES, *_METERS):
        truth = series(direct, name)
        if array not in hourly:
            if truth:
                yield f"{name} is missing, and EnergyPlus itself has it for {', '.join(truth)}"
            continue
        found = hourly[array]
        if "zone" in found.dims:
            values = {str(zone.item()).upper(): found.sel(zone=zone).values for zone in found["zone"]}
        else:
            values = {next(iter(truth), ""): found.values}
        if set(values) != set(truth):
            yield f"{name} is there for {sorted(values)} and not for {sorted(truth)}"
            continue
        yield from (
            f"{name} of {key or 'all'} has other values than EnergyPlus itself gives"
            for key, one in values.items()
            if not _is_same(one, truth[key])
        )


def _is_same(values: np.ndarray, truth: list[float]) -> bool:
    return np.array_equal(values.ravel().view(np.uint64), np.array(truth).view(np.uint64))


def _false_about_weather(one: Case, folder: Path, tree: xr.DataTree) -> Iterator[str]:
    model = one.files["box.idf"].decode()
    text = one.content.decode("latin-1")
    if re.search(r"^[^,\n]*, *0?2, *29,", text, re.MULTILINE):  # 2012 began on a Sunday, as the model says
        model = model.replace("1, 1, , 12, 31, ,", "1, 1, 2012, 12, 31, 2012,")
    asked = "".join(f"Output:Variable, *, {name}, Hourly;\n" for name in _CLIMATE.values())
    weather = folder / "weather.epw"
    if reason := _run(f"{model}\nOutput:SQLite, Simple;\n{asked}".encode(), folder / "direct", weather=weather):
        yield reason
        return
    hourly = tree["hourly"].to_dataset().isel(variant=0)
    for array, name in _CLIMATE.items():
        (truth,) = series(folder / "direct", name).values()
        if not _is_same(hourly[array].values, truth):
            yield f"{name} has other values than EnergyPlus itself gives"


def _false_about_days(one: Case, folder: Path, tree: xr.DataTree) -> Iterator[str]:
    """Compare with a model in which the two days stand as the .ddy spells them."""
    text = re.sub(rb"![^\n]*", b"", one.content.removeprefix(b"\xef\xbb\xbf"))
    titles = (rb"Ann\s+Htg\s+99\.6%\s+Condns\s+DB\s*,", rb"Ann\s+Clg\s+0?\.4%\s+Condns\s+DB=>MC?WB\s*,")
    days = [
        statement
        for title in titles
        for statement in text.split(b";")
        if re.match(rb"\s*SizingPeriod:DesignDay\s*,\s*[^,]*?" + title, statement, re.IGNORECASE)
    ]
    if len(days) != 2:
        yield f"the .ddy has {len(days)} such days and not two"
        return
    room = re.sub(rb"![^\n]*", b"", one.files["room.idf"])
    kept = [part for part in room.split(b";") if b"SizingPeriod:DesignDay" not in part]
    if reason := _run(
        b";".join([*days, *kept]) + _OUTPUTS.encode(), folder / "direct", "-D", weather=folder / "days.epw"
    ):
        yield reason
        return
    yield from _different_values(folder / "direct", tree)


# What was read: the same text, read otherwise.


def _false_about_schedule(one: Case, tree: xr.DataTree) -> Iterator[str]:
    truth = expected_schedule(one.content)
    found = tree["hourly"].to_dataset()["value"].values
    if not np.array_equal(found.ravel(), truth):
        yield "the schedule has other values than the file"


def _false_about_description(one: Case, folder: Path, told: dict) -> Iterator[str]:
    counts: dict[str, int] = {}
    if one.kind == "idf":
        text = re.sub(r"![^\n]*", "", one.content.removeprefix(b"\xef\xbb\xbf").decode("latin-1"))
        for statement in text.split(";"):
            if words := statement.split(",")[0].strip():
                counts[words.casefold()] = counts.get(words.casefold(), 0) + 1
    else:
        data = json.loads(one.content.decode("utf-8-sig"))
        counts = {name.casefold(): len(objects) for name, objects in data.items() if objects}
    found = {row["object"].casefold(): row["count"] for row in told["objects"]}
    for name in (counts.keys() | found.keys()) - {"version"}:
        if counts.get(name, 0) != found.get(name, 0):
            yield f"{found.get(name, 0)} {name} are told of, and the file has {counts.get(name, 0)}"
    suffix = Path(one.valid.target).suffix
    if not told["note"] and (
        reason := _run(_with_outputs(one), folder / "direct", "-D", suffix=suffix, weather=folder / "days.epw")
    ):
        yield reason
