from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bemsweep as bs
from bemsweep.outputs import END_USES, FUELS, SUMMARY_NAMES
from bemsweep.testing import FakeEngine
from small_studies import CHICAGO, run_study, small_study

TOLERANCE = 1e-12
GOLDEN = {"chicago": "bundled:usa_il_chicago", "golden": "bundled:usa_co_golden"}


@pytest.fixture
def fake() -> FakeEngine:
    return FakeEngine()


def made_up(*, rows: int = 2, **changes: object) -> xr.Dataset:
    """A summary whose numbers are easy to follow: 10 GJ of heating by gas and 20 of fans, 30 in the next row."""
    uses = np.zeros((rows, len(FUELS), len(END_USES)))
    uses[:, FUELS.index("Natural Gas"), END_USES.index("Heating")] = 10.0
    uses[:, FUELS.index("Electricity"), END_USES.index("Fans")] = 20.0 + 10.0 * np.arange(rows)
    uses[:, FUELS.index("Electricity"), END_USES.index("Pumps")] = 1e-12
    peaks = np.zeros((rows, len(FUELS)))
    peaks[:, FUELS.index("Electricity")] = 1000.0
    times = np.full((rows, len(FUELS)), "NaT", "datetime64[ns]")
    times[:, FUELS.index("Electricity")] = np.datetime64("2017-07-03T15:10")
    site = uses.sum(axis=(1, 2))
    numbers = dict.fromkeys(SUMMARY_NAMES, np.ones(rows)) | {
        "building_area": np.full(rows, 100.0),
        "site_energy": site,
        "net_site_energy": site * (1 + 1e-15),
        "site_energy_per_area": 10 * site,
    }
    arrays = {name: ("variant", values) for name, values in numbers.items()} | {
        "end_uses": (("variant", "fuel", "end_use"), uses),
        "peak_demand": (("variant", "fuel"), peaks),
        "peak_demand_time": (("variant", "fuel"), times),
    }
    coordinates = {
        "fuel": list(FUELS),
        "end_use": list(END_USES),
        "lighting": ("variant", [np.nan, *map(float, range(1, rows))]),
        "weather": ("variant", ["chicago"] * rows),
        "baseline": ("variant", ["office"] * rows),
        "variant_id": ("variant", [str(row) for row in range(rows)]),
        "status": ("variant", ["succeeded"] * rows),
        "utc_offset": ("variant", np.zeros(rows)),
    }
    return xr.Dataset(arrays, coordinates).assign(**changes)


def test_a_row_per_variant_with_parameters_first_and_differences_beside():
    table = bs.summary(made_up())
    assert list(table.columns.get_level_values("quantity").unique()) == [
        *("baseline", "weather", "lighting", "status", "building_area", "conditioned_area", "site_energy"),
        *("source_energy", "site_energy_per_area", "Heating, Natural Gas", "Fans, Electricity"),
        *("peak_demand, Electricity", "unmet_heating_hours", "unmet_cooling_hours"),
    ]
    assert table.index.name == "variant"
    assert list(table["site_energy", "GJ"]) == pytest.approx([30.0, 40.0])
    assert list(table["site_energy", "difference"]) == pytest.approx([0.0, 10.0])
    assert list(table["Heating, Natural Gas", "difference"]) == [0.0, 0.0]
    assert list(table["site_energy_per_area", "MJ/m2"]) == pytest.approx([300.0, 400.0])
    assert table["peak_demand, Electricity", "time"][1] == pd.Timestamp("2017-07-03 15:10")
    assert isinstance(table["lighting"], pd.Series)


@pytest.mark.parametrize(
    ("units", "number"),
    [
        ("GJ", 30.0),
        ("MJ", 30e3),
        ("kWh", 30e6 / 3600),
        ("MWh", 30e3 / 3600),
        ("kBtu", 30e6 / 1055.05585262),
        ("kWh/m2", 30e6 / 3600 / 100),
        ("MJ/m2", 300.0),
        ("kBtu/ft2", 30e6 / 1055.05585262 / 100 * 0.09290304),
    ],
)
def test_units(units, number):
    table = bs.summary(made_up(), units=units)
    assert table["site_energy", units][0] == pytest.approx(number, rel=TOLERANCE)
    assert table["site_energy", "difference"][1] == pytest.approx(number / 3, rel=TOLERANCE)
    has_intensity = "site_energy_per_area" in table.columns.get_level_values(0)
    assert has_intensity is ("/" not in units)
    if units == "kWh":
        assert table["site_energy_per_area", "kWh/m2"][0] == pytest.approx(number / 100, rel=TOLERANCE)


def test_what_generates_on_site_has_a_net_energy_too():
    table = bs.summary(made_up(net_site_energy=("variant", [25.0, 40.0])), units="MJ")
    assert list(table["net_site_energy", "MJ"]) == [25e3, 40e3]


def test_a_variant_without_results_is_missing_and_the_others_are_not():
    whole = made_up(rows=3)
    numbers = [name for name in SUMMARY_NAMES if name != "peak_demand_time"]
    table = bs.summary(whole.assign({name: whole[name].where(whole.variant != 1) for name in numbers}))
    assert list(table["site_energy", "difference"].isna()) == [False, True, False]
    assert list(table["Fans, Electricity", "GJ"].isna()) == [False, True, False]


def test_an_index_along_variant_takes_no_difference_away():
    whole = made_up()
    for name in SUMMARY_NAMES:
        whole[name].encoding["coordinates"] = "variant_id status utc_offset lighting weather baseline"
    for index in ("variant_id", "lighting"):
        table = bs.summary(whole.set_index(variant=index))
        assert list(table["site_energy", "difference"]) == pytest.approx([0, 10]), index
        pd.testing.assert_frame_equal(table, bs.summary(whole))


def test_one_variant_without_its_dim_is_told():
    with pytest.raises(bs.BemsweepError, match=r"no dim 'variant'.*isel\(variant=\[...\]\)"):
        bs.summary(made_up().isel(variant=0))


def test_without_a_reference_there_are_no_differences():
    table = bs.summary(made_up().isel(variant=slice(1, None)))
    assert "difference" not in table.columns.get_level_values("unit")


def test_the_reference_is_that_of_the_same_baseline_and_weather(tmp_path: Path, fake: FakeEngine):
    study = small_study(weather=GOLDEN, outputs=["summary"])
    run_study(study, tmp_path, fake)
    table = bs.summary(bs.open_results(tmp_path, "small"))
    assert list(table.columns.get_level_values(0)[:5]) == ["baseline", "weather", "lighting", "north", "status"]
    for _, rows in table.groupby(table["weather"]):
        reference = rows[rows["lighting"].isna() & rows["north"].isna()]
        assert len(reference) == 1
        expected = rows["site_energy", "GJ"] - reference["site_energy", "GJ"].item()
        np.testing.assert_array_equal(rows["site_energy", "difference"], expected)
    assert table["site_energy", "GJ"].nunique() == len(table) == 12


def test_texts_that_are_null_make_a_reference(tmp_path: Path, fake: FakeEngine):
    field = bs.Field("Lights", "schedule_name", values=[None, "BLDG_LIGHT_SCH", "BLDG_OCC_SCH"])
    run_study(small_study(parameters={"when": field}, outputs=["summary"]), tmp_path, fake)
    assert bs.summary(bs.open_results(tmp_path, "small"))["site_energy", "difference"].notna().all()


def test_results_without_a_summary_say_what_to_do(tmp_path: Path, fake: FakeEngine):
    run_study(small_study(), tmp_path, fake)
    tree = bs.open_results(tmp_path, "small")
    for given in (tree, tree["monthly"].to_dataset()):
        with pytest.raises(bs.BemsweepError, match=r"hold no summary.*add `summary` to the study's outputs"):
            bs.summary(given)
    annual = small_study(outputs=["summary", bs.Meter("Electricity:Facility", frequency="monthly", as_="electricity")])
    run_study(annual, tmp_path, fake)
    assert len(bs.summary(bs.open_results(tmp_path, "small"))) == 6
    assert set(CHICAGO) == set(bs.summary(bs.open_results(tmp_path, "small"))["weather"])


@pytest.mark.parametrize(("units", "hint"), [("kwh/m2", "did you mean 'kWh/m2'"), ("J", "known: GJ, MJ"), (5, "known")])
def test_unknown_units_are_told_with_those_there_are(units, hint):
    with pytest.raises(bs.BemsweepError, match=hint):
        bs.summary(made_up(), units=units)
