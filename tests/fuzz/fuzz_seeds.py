"""Valid inputs of every kind, each with a study that uses it: what mutations start from.

Decides nothing about what mutations do. Each study takes the engine a moment; all files are small enough to read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyenergyplus.dataset import ref_models, weather_files

from weather_files import BOX, ddy_day

__all__ = ["KINDS", "OUTPUTS", "Seed", "seeds_of"]

_FOLDER = Path(__file__).parent / "seeds"

OUTPUTS = """\
outputs:
  - {variable: "Zone Mean Air Temperature", frequency: hourly, as: temperature, optional: true}
  - {meter: "Electricity:Facility", frequency: hourly, as: electricity, optional: true}
"""
"""What studies of models ask for; optional, since a mutated model may have neither."""

_MODEL_STUDY = """\
name: model
baseline: {file}
weather: days.epw
run: design_day
timeout_s: 20
"""

_EPW_STUDY = """\
name: weather
baseline: box.idf
weather: {here: weather.epw}
run: annual
timeout_s: 20
outputs:
  - {variable: "Site Outdoor Air Drybulb Temperature", frequency: hourly, as: drybulb}
  - {variable: "Site Outdoor Air Wetbulb Temperature", frequency: hourly, as: wetbulb}
  - {variable: "Site Wind Speed", frequency: hourly, as: wind}
  - {variable: "Site Direct Solar Radiation Rate per Area", frequency: hourly, as: direct}
  - {variable: "Site Diffuse Solar Radiation Rate per Area", frequency: hourly, as: diffuse}
"""

_DDY_STUDY = """\
name: days
baseline: room.idf
weather: {here: {epw: days.epw, design_days: {ddy: days.ddy, heating: 99.6%, cooling: 0.4%}}}
run: design_day
timeout_s: 20
"""

_TABLE_STUDY = """\
name: points
baseline: room.idf
weather: {chicago: days.epw}
run: design_day
timeout_s: 20
design: {table: points.csv}
parameters:
  lighting: {object: Lights, field: watts_per_floor_area}
  north: {object: Building, field: north_axis}
  wall:
    options:
      thin: [{object: Material, name: Brick, field: thickness, set: 0.1}]
      thick: [{object: Material, name: Brick, field: thickness, set: 0.3}]
"""

_POINTS = """\
lighting,north,wall
8,0,thin
6.5,90,thick
,45,
7,,thin
10,180,thick
"""

_SCHEDULE_STUDY = """\
name: schedule
baseline: box.idf
weather: {chicago: "bundled:usa_il_chicago"}
run: annual
timeout_s: 20
parameters:
  lamp: {schedule: "On", replace: [values.csv]}
outputs:
  - {variable: "Schedule Value", key: "On", frequency: hourly, as: value}
reference: false
"""

_GRID_STUDY = """\
# Twelve variants of a room.
name: grid
baseline: {room: room.idf}
weather: {chicago: days.epw}
run: design_day
timeout_s: 20
parameters:
  lighting: {object: Lights, field: watts_per_floor_area, values: [null, 6, 8.5]}
  wall: {object: Material, name: Brick, field: thickness, multiply: [null, 1.5]}
  north:
    object: Building
    field: north_axis
    add:
      - 0
      - 90
reference: true
"""

_LISTED_STUDY = """\
name: listed
baseline: room.idf
weather: days.epw
run: design_day
timeout_s: 20
design:
  table:
    lighting: [8, 6, null, 1e1]
    leaks: [0.5, 2, 0.25, 1]
parameters:
  lighting:
    object: Lights
    field: Watts per Floor Area
  leaks: {object: "ZoneInfiltration:DesignFlowRate", name: "L*", field: air_changes_per_hour, operation: multiply}
exclude:
  - lighting == 6 and leaks > 1
dtype: float64
"""


@dataclass(frozen=True)
class Seed:
    """A set of valid files, one of which is to be mutated."""

    name: str
    """Of the seed."""
    target: str
    """Name of the file to mutate."""
    files: dict[str, bytes]
    """Name -> content; ``study.yaml`` is the study."""

    @property
    def content(self) -> bytes:
        """What is to be mutated."""
        return self.files[self.target]


KINDS = {"idf": 130, "epjson": 75, "epw": 70, "ddy": 30, "table": 60, "schedule": 45, "yaml": 90}
"""Kind of input -> its share of 500 cases."""


@cache
def seeds_of(kind: str) -> tuple[Seed, ...]:  # noqa: PLR0911 - one for each kind
    """Return the valid inputs of one of `KINDS`."""
    room = {"room.idf": (_FOLDER / "room.idf").read_bytes(), "days.epw": _ten_days()}
    box = {"box.idf": BOX.encode()}
    match kind:
        case "idf":
            return _of_model("room.idf", room["room.idf"]), _of_model("office.idf", _office())
        case "epjson":
            return (_of_model("room.epJSON", (_FOLDER / "room.epJSON").read_bytes()),)
        case "epw":
            short = {"box.idf": BOX.replace("12, 31, ,", "1, 10, ,").encode(), "weather.epw": _ten_days()}
            return (
                Seed("year", "weather.epw", {**_study(_EPW_STUDY), **box, "weather.epw": _chicago()}),
                Seed("ten days", "weather.epw", {**_study(_EPW_STUDY.replace("annual", "run_period")), **short}),
            )
        case "ddy":
            return (Seed("ddy", "days.ddy", {**_study(_DDY_STUDY + OUTPUTS), **room, "days.ddy": _ddy()}),)
        case "table":
            files = {**_study(_TABLE_STUDY + OUTPUTS), **room, "points.csv": _POINTS.encode()}
            return (Seed("table", "points.csv", files),)
        case "schedule":
            return (Seed("schedule", "values.csv", {**_study(_SCHEDULE_STUDY), **box, "values.csv": _values()}),)
        case _:
            return tuple(
                Seed(name, "study.yaml", {**_study(text + OUTPUTS), **room})
                for name, text in (("grid", _GRID_STUDY), ("listed", _LISTED_STUDY))
            )


def _study(text: str) -> dict[str, bytes]:
    return {"study.yaml": text.encode()}


def _of_model(name: str, content: bytes) -> Seed:
    study = _study(_MODEL_STUDY.replace("{file}", name) + OUTPUTS)
    return Seed(name, name, {**study, "days.epw": _ten_days(), name: content})


def _office() -> bytes:
    """Return the small office without outputs, which those who compare add themselves."""
    text = Path(ref_models["small_office"]).read_text(encoding="latin-1")
    text = re.sub(r"![^\n]*", "", text)
    kept = [
        statement.strip()
        for statement in text.split(";")
        if statement.strip() and not re.match(r"\s*Output", statement, re.IGNORECASE)
    ]
    return "".join(f"{statement};\n\n" for statement in kept).encode("latin-1")


@cache
def _ten_days() -> bytes:
    """Return the beginning of a year's weather, which is read in no time."""
    lines = _chicago().splitlines(keepends=True)
    lines[7] = lines[7].replace(b"12/31", b" 1/10")
    return b"".join(lines[: 8 + 240])


@cache
def _chicago() -> bytes:
    return Path(weather_files["usa_il_chicago"]).read_bytes()


def _ddy() -> bytes:
    winter = ddy_day("Chicago Ann Htg 99.6% Condns DB", (1, -20, 0, -20, 98934, 4.9, 270), solar="ASHRAEClearSky, , , , , 0", kind="WinterDesignDay")  # fmt: skip  # noqa: E501
    other = ddy_day("Chicago Ann Htg 99% Condns DB", (1, -16.6, 0, -16.6, 98934, 4.9, 270), solar="ASHRAEClearSky, , , , , 0", kind="WinterDesignDay")  # fmt: skip  # noqa: E501
    summer = ddy_day("Chicago Ann Clg .4% Condns DB=>MWB", (7, 33.3, 10.5, 23.7, 98934, 5.2, 230), solar="ASHRAETau, , , 0.455, 2.05", kind="SummerDesignDay")  # fmt: skip  # noqa: E501
    place = "Site:Location,\n Chicago,\n 41.98, -87.92, -6, 201;\n"
    return f"! Design days of a handbook\n{place}\n{winter}\n{other}\n{summer}".replace(", ", ",\n ").encode()


def _values() -> bytes:
    rows = (f"{(hour % 24) / 24 + hour / 8760:.4f}" for hour in range(8760))
    return ("fraction\n" + "\n".join(rows) + "\n").encode()
