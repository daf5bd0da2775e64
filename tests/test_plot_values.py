from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bemsweep.errors import BemsweepError
from bemsweep.plot_values import as_power, by_month, output_of, per_variant, scaled, step_hours


def array(values, units, **attrs):
    return xr.DataArray(np.asarray(values, dtype=float), dims="time", attrs={"units": units, **attrs}, name="gas")


@pytest.mark.parametrize(
    ("units", "largest", "drawn", "factor"),
    [
        ("J", 3.6e6, "kW h", 3.6e6),
        ("J", 3.5e10, "kW h", 3.6e6),
        ("J", 3.6e10, "MW h", 3.6e9),
        ("J", 3.6e13, "GW h", 3.6e12),
        ("J m-2", 1e9, "kW h m-2", 3.6e6),
        ("W", 9999.0, "W", 1),
        ("W", 1e4, "kW", 1e3),
        ("degC", 1e9, "degC", 1),
    ],
)
def test_energies_and_powers_are_drawn_in_the_units_people_use(units, largest, drawn, factor):
    found = scaled(array([np.nan, -1.0, largest], units))
    assert found.attrs["units"] == drawn
    assert float(found[2]) == largest / factor


def test_energy_of_an_interval_is_its_mean_power():
    assert as_power(array([3.6e6], "J"), 0.5).item() == 2000
    assert as_power(array([3.6e6], "J"), 1).attrs["units"] == "W"
    assert as_power(array([20], "degC"), 1).item() == 20


def test_sums_are_added_up_and_means_averaged_but_nothing_is_filled_in():
    time = pd.date_range("2017-01-01", periods=2)
    ds = xr.Dataset(
        {
            "gas": (("variant", "time"), [[1.0, 2.0], [1.0, np.nan]], {"cell_methods": "time: sum"}),
            "warmth": (("variant", "zone", "time"), [[[1.0, 2.0]], [[3.0, 4.0]]], {"cell_methods": "time: mean"}),
            "area": ("variant", [1.0, 2.0]),
        },
        {"time": time},
    )
    np.testing.assert_array_equal(per_variant(ds, "gas"), [3, np.nan])
    np.testing.assert_array_equal(per_variant(ds, "warmth"), [1.5, 3.5])
    np.testing.assert_array_equal(per_variant(ds, "area"), [1, 2])
    with pytest.raises(BemsweepError, match=r"'warmth' still has the dims variant \(2\)"):
        output_of(ds, "warmth")


@pytest.mark.parametrize(
    ("values", "kind"), [(np.array(["2017-07-03T15:10"], "datetime64[ns]"), "times"), (["Core"], "texts")]
)
def test_what_is_no_number_is_not_drawn(values, kind):
    with pytest.raises(BemsweepError, match=f"'peak' holds no numbers but {kind}"):
        per_variant(xr.Dataset({"peak": ("variant", values)}), "peak")


def test_a_month_with_a_missing_value_is_missing():
    days = array(np.ones(59), "J").assign_coords(time=pd.date_range("2017-01-01", periods=59))
    days[0] = np.nan
    np.testing.assert_array_equal(by_month(days), [np.nan, 28])


def test_the_length_of_intervals_is_that_of_the_bounds():
    time = pd.date_range("2017-01-01", periods=3, freq="D")
    ds = xr.Dataset(coords={"time": time})
    assert step_hours(ds) == 24
    bounds = np.stack([time, time + pd.Timedelta("15min")], axis=1)
    assert step_hours(ds.assign_coords(time_bounds=(("time", "bounds"), bounds))) == 0.25
    with pytest.raises(BemsweepError, match="different or unknown length"):
        step_hours(ds.isel(time=[0]))
    with pytest.raises(BemsweepError, match="there is no dim 'time'; pass a group"):
        step_hours(ds.isel(time=0))
    with pytest.raises(BemsweepError, match="there is no dim 'time'; pass a group"):
        step_hours(xr.DataTree.from_dict({"/hourly": ds}))
