"""The cube holds exactly the engine's numbers: promise 1, on every bundled model."""

from __future__ import annotations

import random
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
@pytest.mark.matrix
@pytest.mark.timeout(900)
def test_design_days_of_every_bundled_model(tmp_path: Path) -> None:
    compare_design_days(sorted(MODELS), tmp_path)


@pytest.mark.engine
@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_design_days_of_some_bundled_models(tmp_path: Path) -> None:
    """Others each time, by the seed that pytest-randomly prints."""
    compare_design_days(random.sample(sorted(MODELS), 2), tmp_path)


def compare_design_days(models: list[str], tmp_path: Path) -> None:
    tree = run_cli(
        {
            "name": "all",
            "baseline": {label: MODELS[label][0] for label in models},
            "weather": {"chicago": "bundled:usa_il_chicago"},
            "run": "design_day",
            "outputs": OUTPUTS,
        },
        tmp_path,
    )
    labels = [str(label) for label in tree["baseline"].values]
    assert sorted(labels) == sorted(models)

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
        pytest.param("ref_warehouse", marks=pytest.mark.matrix),
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


SUMMARY_CELLS = {
    "building_area": ("Building Area", "Total Building Area", "Area"),
    "conditioned_area": ("Building Area", "Net Conditioned Building Area", "Area"),
    "site_energy": ("Site and Source Energy", "Total Site Energy", "Total Energy"),
    "net_site_energy": ("Site and Source Energy", "Net Site Energy", "Total Energy"),
    "source_energy": ("Site and Source Energy", "Total Source Energy", "Total Energy"),
    "site_energy_per_area": ("Site and Source Energy", "Total Site Energy", "Energy Per Total Building Area"),
    "unmet_heating_hours": (
        "Comfort and Setpoint Not Met Summary", "Time Setpoint Not Met During Occupied Heating", "Facility",
    ),
    "unmet_cooling_hours": (
        "Comfort and Setpoint Not Met Summary", "Time Setpoint Not Met During Occupied Cooling", "Facility",
    ),
}  # fmt: skip


def shortened(path: Path, target: Path, *, days: int | None) -> Path:
    """Write the model with its first RunPeriod alone, of some days in January or a year, and as a baseline may be."""
    text = re.sub(r"!.*", "", path.read_text(encoding="latin-1"))
    text = re.sub(r"(?i)(SimulationControl,(?:[^,;]*,){4}\s*)\w+", r"\1Yes", text, count=1)
    first, *others = re.findall(r"^\s*RunPeriod\s*,[^;]*;", text, re.MULTILINE | re.IGNORECASE)
    for other in others:
        text = text.replace(other, "")
    head, name, *fields = first.rstrip("; \n").split(",")
    fields[:6] = ["1", "1", "", "1", str(days), ""] if days else ["1", "1", "", "12", "31", ""]
    target.write_text(text.replace(first, ",".join([head, name, *fields]) + ";"), encoding="latin-1")
    return target


def print_tables(model: Path, folder: Path) -> dict[tuple[str, str, str, str], str]:
    """Run the model with the tables as EnergyPlus prints them when nobody asks for more digits."""
    text = model.read_text(encoding="latin-1")
    for replaced in ("Output:Table:SummaryReports", "Output:SQLite", "OutputControl:Table:Style"):
        text = re.sub(rf"^\s*{replaced}\s*,[^;]*;", "", text, flags=re.MULTILINE | re.IGNORECASE)
    reports = "AnnualBuildingUtilityPerformanceSummary,DemandEndUseComponentsSummary"
    direct = folder / "direct.idf"
    direct.write_text(
        f"{text}\nOutput:Table:SummaryReports,{reports};\nOutput:SQLite,SimpleAndTabular;\n", encoding="latin-1"
    )
    assert "Completed Successfully" in run_energyplus(direct, folder / "direct")
    with closing(sqlite3.connect(folder / "direct" / "eplusout.sql")) as database:
        rows = database.execute(
            "SELECT ReportName, TableName, RowName, ColumnName, trim(Value) FROM TabularDataWithStrings"
        ).fetchall()
    return {row[:4]: row[4] for row in rows}


def assert_printed(annual: xr.Dataset, printed: dict[tuple[str, str, str, str], str]) -> None:
    """Compare one variant's summary with the engine's tables, to their printed digits."""
    building, demand = "AnnualBuildingUtilityPerformanceSummary", "DemandEndUseComponentsSummary"
    for name, cell in SUMMARY_CELLS.items():
        assert f"{annual[name].item():.2f}" == printed[building, *cell], name
    uses = annual["end_uses"]
    for fuel in uses["fuel"].values:
        for end_use in uses["end_use"].values:
            mine = uses.sel(fuel=fuel, end_use=end_use).item()
            assert f"{mine:.2f}" == printed[building, "End Uses", end_use, fuel], (end_use, fuel)
        total = uses.sel(fuel=fuel).sum().item()
        assert f"{total:.2f}" == printed[building, "End Uses", "Total End Uses", fuel], fuel
        peak = annual["peak_demand"].sel(fuel=fuel).item()
        assert f"{peak:.2f}" == printed[demand, "End Uses", "Total End Uses", fuel], fuel
        time = annual["peak_demand_time"].sel(fuel=fuel).values
        # The end of an interval: midnight is 24:00 of the day before.
        day = time - np.timedelta64(1, "m")
        spelled = "-"
        if not np.isnat(time):
            minute = int((time - day.astype("datetime64[D]")) / np.timedelta64(1, "m"))
            date = day.astype("datetime64[s]").item()
            spelled = f"{date:%d}-{date:%b}-".upper() + f"{minute // 60:02}:{minute % 60:02}"
        assert spelled == printed[demand, "End Uses", "Time of Peak", fuel], fuel
    assert {*uses["fuel"].values} == {
        column for report, table, _, column in printed if (report, table) == (building, "End Uses")
    } - {"Water"}
    assert {*uses["end_use"].values} == {
        row for report, table, row, _ in printed if (report, table) == (building, "End Uses")
    } - {"", "Total End Uses"}
    np.testing.assert_allclose(uses.sum(), annual["site_energy"], rtol=1e-12)
    assert uses.sum() > 0


@pytest.mark.engine
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "label", ["ref_small_office", "ref_quick_service_restaurant", "ashrae_warehouse", "ashrae_retail_strip_mall"]
)
def test_the_summary_is_what_the_engine_prints(tmp_path: Path, label: str) -> None:
    own = shortened(MODELS[label][1], tmp_path / "own.idf", days=3)
    study = {"baseline": str(own), "weather": {"chicago": str(CHICAGO)}, "run": "run_period", "outputs": ["summary"]}
    tree = run_cli({"name": "summary", **study}, tmp_path)
    annual = tree["annual"].to_dataset().isel(variant=0)
    assert_printed(annual, print_tables(own, tmp_path))
    assert annual["end_uses"].sel(fuel="Natural Gas").sum() > 0


@pytest.mark.engine
@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_the_summary_of_a_year_is_what_the_engine_prints(tmp_path: Path) -> None:
    own = shortened(MODELS["ref_small_office"][1], tmp_path / "own.idf", days=None)
    study = {"baseline": str(own), "weather": {"chicago": str(CHICAGO)}, "outputs": ["summary"]}
    meter = {"meter": "Electricity:Facility", "frequency": "annual", "as": "electricity"}
    tree = run_cli({"name": "summary", **study, "outputs": ["summary", meter]}, tmp_path)
    annual = tree["annual"].to_dataset().isel(variant=0)
    assert_printed(annual, print_tables(own, tmp_path))
    used = annual["end_uses"].sel(fuel="Electricity").sum().item()
    assert used == pytest.approx(annual["electricity"].item() / 1e9, rel=1e-9)


@pytest.mark.engine
@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_the_summary_counts_all_run_periods_and_cells_hold_the_engines_text(tmp_path: Path) -> None:
    """Three run periods have one summary; cells of sizing and of the model's own monthly table stand beside it."""
    text = MODELS["ashrae_warehouse"][1].read_text(encoding="latin-1")
    text = re.sub(r"(?i)(SimulationControl,(?:[^,;]*,){4}[^\w;]*)\bNo\b", r"\1Yes", text, count=1)
    own = tmp_path / "own.idf"
    monthly = "Output:Table:Monthly,Own Meters,2,Electricity:Facility,SumOrAverage;"
    own.write_text(f"{text}\n{monthly}\n", encoding="latin-1")
    sizing = {"report": "HVACSizingSummary", "for": "Entire Facility", "name": "Zone Sensible Heating"}
    tree = run_cli(
        {
            "name": "cells", "baseline": str(own), "weather": {"chicago": str(CHICAGO)}, "run": "run_period",
            "outputs": [
                "summary",
                {"meter": "Electricity:Facility", "frequency": "annual", "as": "electricity"},
                {"table": {"report": "Own Meters", "row": "April", "column": "ELECTRICITY:FACILITY"}, "as": "april"},
                {"table": {**sizing, "row": "ZONE1 OFFICE", "column": "User Design Load [W]"}, "as": "load"},
            ],
        },
        tmp_path,
    )  # fmt: skip
    annual = tree["annual"].to_dataset().isel(variant=0)
    electricity = annual["electricity"].values
    assert len(electricity) == 3
    used = annual["end_uses"].sel(fuel="Electricity").sum().item()
    assert used == pytest.approx(electricity.sum() / 1e9, rel=1e-9)
    assert annual["april"].item() == pytest.approx(electricity[1], rel=1e-9)
    assert annual["april"].attrs["units"] == "J"
    assert annual["load"].attrs["units"] == "W"
    direct = add_outputs(own, [], tmp_path / "direct.idf")
    direct.write_text(
        re.sub(r"(?im)^\s*Output:(SQLite|Table:SummaryReports)\s*,[^;]*;", "", direct.read_text(encoding="latin-1"))
        + "\nOutput:SQLite,SimpleAndTabular,None,No;\nOutput:Table:SummaryReports,HVACSizingSummary;\n",
        encoding="latin-1",
    )
    run_energyplus(direct, tmp_path / "direct")
    with closing(sqlite3.connect(tmp_path / "direct" / "eplusout.sql")) as database:
        (printed,) = database.execute(
            "SELECT Value FROM TabularDataWithStrings WHERE TableName = 'Zone Sensible Heating'"
            " AND RowName = 'ZONE1 OFFICE' AND ColumnName = 'User Design Load'"
        ).fetchone()
    assert annual["load"].item() == float(printed)
