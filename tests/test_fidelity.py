"""The cube holds exactly the engine's numbers: promise 1, on every bundled model."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from pyenergyplus.dataset import ashrae_models, ref_models, weather_files
from typer.testing import CliRunner

import bemsweep as bs
from bemsweep.cli import app
from direct_engine import run_energyplus

MODELS = {
    **{f"ref_{name}": (f"bundled:ref/{name}", Path(path)) for name, path in ref_models.items()},
    **{f"ashrae_{name}": (f"bundled:ashrae/{name}", Path(path)) for name, path in ashrae_models.items()},
}
CHICAGO = Path(weather_files["usa_il_chicago"])
FREQUENCIES = {
    "timestep": "Zone Timestep", "hourly": "Hourly", "daily": "Daily", "monthly": "Monthly", "annual": "Run Period"
}  # fmt: skip
OUTPUTS = [
    {"meter": "Electricity:Facility", "frequency": "hourly"},
    {"meter": "NaturalGas:Facility", "frequency": "monthly", "optional": True},
    {"meter": "Cooling:EnergyTransfer", "frequency": "daily", "optional": True},
    {"meter": "Electricity:Facility", "frequency": "annual"},
    {"variable": "Site Outdoor Air Drybulb Temperature", "frequency": "hourly"},
    {"variable": "Zone Mean Air Temperature", "frequency": "hourly"},
    {"variable": "Zone Lights Electricity Energy", "frequency": "annual", "optional": True},
    {"variable": "Surface Inside Face Temperature", "frequency": "daily"},
    {"variable": "System Node Temperature", "frequency": "annual"},
    {"variable": "Schedule Value", "frequency": "monthly"},
]

Values = dict[tuple[str, str, str], np.ndarray]
"""(name, key in capitals, frequency) -> one environment's values after the other."""


def add_outputs(model: Path, outputs: list[dict], target: Path) -> Path:
    """Write the untouched model with the outputs asked for at its end, as a person would."""
    lines = []
    for output in outputs:
        frequency = {"annual": "RunPeriod"}.get(output["frequency"], output["frequency"])
        if "meter" in output:
            lines.append(f"Output:Meter,{output['meter']},{frequency};")
        else:
            lines.append(f"Output:Variable,*,{output['variable']},{frequency};")
    text = model.read_text(encoding="latin-1")
    if not re.search(r"^\s*Output:SQLite\s*,", text, re.MULTILINE | re.IGNORECASE):
        lines.append("Output:SQLite,Simple;")
    target.write_text("\n".join([text, *lines]), encoding="latin-1")
    return target


def read_sqlite(folder: Path, kind: int, *, first_only: bool = False) -> Values:
    """Read all values of the environments of one kind, straight from EnergyPlus's SQLite."""
    with closing(sqlite3.connect(folder / "eplusout.sql")) as database:
        wanted = [n for (n,) in database.execute(
            "SELECT EnvironmentPeriodIndex FROM EnvironmentPeriods WHERE EnvironmentType = ? ORDER BY 1", (kind,)
        )]  # fmt: skip
        marks = ",".join(map(str, wanted[:1] if first_only else wanted))
        rows = database.execute(
            "SELECT Name, upper(KeyValue), ReportingFrequency, Value FROM ReportData"
            " JOIN ReportDataDictionary USING (ReportDataDictionaryIndex) JOIN Time USING (TimeIndex)"
            f" WHERE EnvironmentPeriodIndex IN ({marks}) AND coalesce(WarmupFlag, 0) = 0"
            " ORDER BY ReportDataDictionaryIndex, TimeIndex"
        ).fetchall()
    found: dict[tuple[str, str, str], list[float]] = {}
    for name, key, frequency, value in rows:
        found.setdefault((name, key or "", frequency), []).append(value)
    return {place: np.array(values) for place, values in found.items()}


def series_of(tree: xr.DataTree, variant: int) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
    """Yield each series of one row of the cube as EnergyPlus names it."""
    for group, node in tree.children.items():
        for array in node.to_dataset().isel(variant=variant).data_vars.values():
            times = [dim for dim in array.dims if dim in ("design_day", "time")]
            key_dim = next((dim for dim in array.dims if dim not in times), None)
            keys = [""] if key_dim is None else [str(key) for key in array[key_dim].values]
            values = array.values if key_dim else array.values[None]
            for key, one in zip(keys, values, strict=True):
                yield (array.attrs["long_name"], key.upper(), FREQUENCIES[group]), one.reshape(-1)


def assert_identical(tree: xr.DataTree, variant: int, engine: Values, label: str) -> int:
    """Compare one row with the engine's own values, to the last bit; return how many were compared."""
    asked = {(place[0], place[2]) for place, _ in series_of(tree, variant)}
    seen = 0
    mine = {place: values for place, values in series_of(tree, variant) if np.isfinite(values).any()}
    theirs = {
        # the environment's own variables and meters have no key in the cube
        (name, "" if key == "ENVIRONMENT" else key, frequency): values
        for (name, key, frequency), values in engine.items()
        if (name, frequency) in asked
    }
    assert mine.keys() == theirs.keys(), f"{label}: {sorted(mine.keys() ^ theirs.keys())[:5]}"
    for place, values in theirs.items():
        assert values.tobytes() == mine[place].tobytes(), f"{label}: {place}"
        seen += len(values)
    return seen


def run_cli(study: dict, folder: Path) -> xr.DataTree:
    """Run a study through the command line and open its results."""
    file = folder / f"{study['name']}.yaml"
    file.write_text(yaml.safe_dump(study))
    result = CliRunner().invoke(app, ["run", str(file), "--store", str(folder / "store")])
    assert result.exit_code == 0, result.output
    tree = bs.open_results(folder / "store", study["name"])
    assert set(tree["status"].values) == {"succeeded"}
    return tree


@pytest.mark.engine
@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_design_days_of_every_bundled_model(tmp_path: Path) -> None:
    tree = run_cli(
        {
            "name": "all",
            "baseline": {label: source for label, (source, _) in MODELS.items()},
            "weather": {"chicago": "bundled:usa_il_chicago"},
            "run": "design_day",
            "outputs": OUTPUTS,
        },
        tmp_path,
    )
    labels = [str(label) for label in tree["baseline"].values]
    assert sorted(labels) == sorted(MODELS)

    def direct(label: str) -> Values:
        folder = tmp_path / label
        model = add_outputs(MODELS[label][1], OUTPUTS, tmp_path / f"{label}.idf")
        assert "Completed Successfully" in run_energyplus(model, folder, "-D")
        return read_sqlite(folder, kind=1)

    with ThreadPoolExecutor(2) as pool:
        compared = [
            assert_identical(tree, variant, engine, label)
            for variant, (label, engine) in enumerate(zip(labels, pool.map(direct, labels), strict=True))
        ]
    assert min(compared) > 400


@pytest.mark.engine
@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "label",
    [
        "ref_small_office",  # weather runs are off
        "ashrae_office_small",  # three run periods
        "ref_warehouse",
    ],
)
def test_a_year(tmp_path: Path, label: str) -> None:
    source, path = MODELS[label]
    outputs = [*OUTPUTS, {"meter": "Electricity:Facility", "frequency": "timestep"}]
    tree = run_cli(
        {"name": "year", "baseline": source, "weather": {"chicago": "bundled:usa_il_chicago"}, "outputs": outputs},
        tmp_path,
    )
    text = re.sub(r"!.*", "", path.read_text(encoding="latin-1"))
    has_weather_runs_off = re.search(r"SimulationControl,(\s*\w+,){4}\s*NO\s*,", text, re.IGNORECASE) is not None
    run_periods = len(re.findall(r"^\s*RunPeriod,", text, re.MULTILINE | re.IGNORECASE))
    assert {"ref_small_office": has_weather_runs_off, "ashrae_office_small": run_periods == 3}.get(label, True)
    model = add_outputs(path, outputs, tmp_path / "direct.idf")
    # EnergyPlus's own -a stretches the first RunPeriod to a year and runs the others after it.
    assert "Completed Successfully" in run_energyplus(model, tmp_path / "direct", "-a")
    assert assert_identical(tree, 0, read_sqlite(tmp_path / "direct", kind=3, first_only=True), label) > 50_000
    hourly = tree["hourly"].to_dataset()
    assert hourly.sizes["time"] == 8760
    assert str(hourly.time.values[0])[:16] == "2017-01-01T00:00"


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_run_periods_of_the_model(tmp_path: Path) -> None:
    """Three run periods follow each other along time; the model's own switches stay as they are."""
    source, path = MODELS["ashrae_restaurant_fast_food"]
    outputs = [{"meter": "Electricity:Facility", "frequency": f} for f in ("hourly", "daily", "monthly", "annual")]
    text = path.read_text(encoding="latin-1")
    switched = re.sub(r"(?i)(SimulationControl,(?:[^,;]*,){4}[^\w;]*)\bNo\b", r"\1Yes", text, count=1)
    own = tmp_path / "own.idf"
    own.write_text(switched, encoding="latin-1")
    tree = run_cli(
        {"name": "periods", "baseline": str(own), "weather": {"chicago": str(CHICAGO)}, "run": "run_period",
         "outputs": outputs},
        tmp_path,
    )  # fmt: skip
    assert source
    model = add_outputs(own, outputs, tmp_path / "direct.idf")
    assert "Completed Successfully" in run_energyplus(model, tmp_path / "direct")
    assert_identical(tree, 0, read_sqlite(tmp_path / "direct", kind=3), "run periods")
    hourly = tree["hourly"].to_dataset()
    assert len(np.unique(hourly.run_period)) == 3
    assert tree["annual"].to_dataset().sizes["time"] == 3
