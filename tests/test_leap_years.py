"""Years with a 29 February and years as they were, on the real engine, from the EPW to the cube."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bemsweep as bs
from direct_engine import run_energyplus
from weather_files import BOX, HOURS, leap_hours, of_year, write_epw

pytestmark = pytest.mark.engine

DRY_BULB = 6
LAMP_J_PER_DAY = 100.0 * 86400


@pytest.fixture
def year(tmp_path):
    """Run a year of a model without zones and return the groups of its cube."""

    def run(epw: Path, **settings) -> dict[str, xr.Dataset]:
        model = tmp_path / "box.idf"
        model.write_text(settings.pop("model", BOX))
        study = bs.Study(
            name=epw.stem,
            baseline=str(model),
            weather=str(epw),
            outputs=[
                bs.Variable("Site Outdoor Air Drybulb Temperature", as_="outside"),
                bs.Variable("Site Day Type Index", frequency="daily", as_="weekday"),
                bs.Meter("ExteriorLights:Electricity", frequency="monthly", as_="lamp"),
                bs.Meter("ExteriorLights:Electricity", frequency="annual", as_="lamp_year"),
            ],
            **settings,
        )
        done = bs.run(bs.plan(study, store=tmp_path / "store"))
        tree = bs.open_results(done.plan.store, study.name)
        return {
            name: tree[name].to_dataset().load().isel(variant=0) for name in ("hourly", "daily", "monthly", "annual")
        }

    return run


def outside(hours: list[str]) -> list[float]:
    return [float(line.split(",")[DRY_BULB]) for line in hours]


@pytest.mark.parametrize("kind", ["typical", "actual", "actual with dates"])
def test_a_leap_year_has_8784_hours(tmp_path, year, kind):
    hours, settings = leap_hours(), {}
    if kind != "typical":
        hours, settings = of_year(hours, 2020), {"weekday": "Wednesday"}
    if kind == "actual with dates":
        settings["days"] = ("1/1/2020", "12/31/2020")
    found = year(write_epw(tmp_path / "leap.epw", hours, leap="Yes", **settings))
    assert found["hourly"].sizes["time"] == 8784
    assert found["hourly"].outside.values.tolist() == outside(hours)
    time = found["daily"].indexes["time"]
    assert [f"{day:%m-%d}" for day in time[58:61]] == ["02-28", "02-29", "03-01"]
    # The model's year begins on a Sunday, and the axis's weekdays are those that schedules see.
    np.testing.assert_array_equal(found["daily"].weekday, (time.day_of_week + 1) % 7 + 1)
    days = found["monthly"].indexes["time"].days_in_month
    assert days[1] == 29
    np.testing.assert_allclose(found["monthly"].lamp, days * LAMP_J_PER_DAY)
    np.testing.assert_allclose(found["annual"].lamp_year, [366 * LAMP_J_PER_DAY])


@pytest.mark.parametrize(("number", "settings"), [
    (2018, {"weekday": "Monday"}),
    (2018, {"weekday": "Monday", "days": ("1/1/2018", "12/31/2018")}),
    (None, {"weekday": "Monday"}),
], ids=["actual", "actual with dates", "typical"])  # fmt: skip
def test_other_years_have_8760_hours_on_the_models_weekdays(tmp_path, year, number, settings):
    hours = HOURS if number is None else of_year(HOURS, number)
    found = year(write_epw(tmp_path / "plain.epw", hours, **settings))
    assert found["hourly"].outside.values.tolist() == outside(HOURS)
    time = found["daily"].indexes["time"]
    assert len(time) == 365
    np.testing.assert_array_equal(found["daily"].weekday, (time.day_of_week + 1) % 7 + 1)


def test_a_run_period_takes_an_actual_year_as_it_was(tmp_path, year):
    whole, part = (
        "1, 1, , 12, 31, , Sunday, No, No, No, Yes, Yes",
        "2, 27, 2020, 3, 2, 2020, , No, No, No, Yes, Yes, Yes",
    )
    assert whole in BOX
    model = BOX.replace(whole, part)
    dates = ("1/1/2020", "12/31/2020")
    epw = write_epw(tmp_path / "leap.epw", of_year(leap_hours(), 2020), leap="Yes", weekday="Wednesday", days=dates)
    found = year(epw, run="run_period", model=model)
    assert [f"{day:%Y-%m-%d %A}" for day in found["daily"].indexes["time"]] == [
        "2020-02-27 Thursday", "2020-02-28 Friday", "2020-02-29 Saturday", "2020-03-01 Sunday", "2020-03-02 Monday"
    ]  # fmt: skip
    assert found["daily"].weekday.values.tolist() == [5, 6, 7, 1, 2]
    assert found["hourly"].outside.values.tolist() == outside(leap_hours())[24 * 57 : 24 * 62]


@pytest.mark.parametrize(
    ("begin_year", "leap", "day", "hours"),
    [
        ("", "No", "without", 8760),
        ("2017", "No", "without", 8760),
        ("", "Yes", "with", 8760),
        ("2012", "Yes", "with", 8784),
        ("", "No", "with", 8760),
        ("2012", "No", "with", 8760),
        ("", "Yes", "without", 8760),
    ],
)
def test_what_the_engine_makes_of_a_29_february(run_box, begin_year, leap, day, hours):
    # This test and the next one are what docs/decisions/011-leap-years.md rests on.
    rows, total = run_box(begin_year, leap, leap_hours() if day == "with" else HOURS)
    assert rows == hours
    assert total == pytest.approx(sum(outside(leap_hours() if hours == 8784 else HOURS)))


def test_the_engine_misreads_a_header_that_announces_a_missing_day(run_box):
    _, total = run_box("2012", "Yes", HOURS)
    assert all(total != pytest.approx(sum(outside(hours))) for hours in (HOURS, leap_hours()))


@pytest.fixture
def run_box(tmp_path):
    """Run the model without bemsweep; return number and sum of the dry-bulb temperatures that it reports."""

    def run(begin_year: str, leap: str, hours: list[str]) -> tuple[int, float]:
        model = tmp_path / "box.idf"
        wanted = "Output:SQLite, Simple;\nOutput:Variable, *, Site Outdoor Air Drybulb Temperature, Hourly;\n"
        model.write_text(BOX.replace("1, 1, , 12", f"1, 1, {begin_year}, 12") + wanted)
        epw = write_epw(tmp_path / "w.epw", hours, leap=leap)
        assert run_energyplus(model, tmp_path / "run", weather=epw).startswith("EnergyPlus Completed")
        with closing(sqlite3.connect(tmp_path / "run" / "eplusout.sql")) as database:
            return database.execute("SELECT count(*), sum(Value) FROM ReportData").fetchone()

    return run
