"""Axes and attributes as CF conventions want them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from bemsweep.coordinates import array_attributes, axes, column_attributes, group_attributes, row_coordinates
from bemsweep.layout import TABLE_COLUMNS, Layout
from bemsweep.outputs import END_USES, FUELS
from bemsweep.periods import Calendar, Period
from bemsweep.reductions import reduced_series
from bemsweep.tables import SUMMARY_SERIES
from cube_study import DESIGN_DAYS, PARAMETERS, TEN_DAYS, electricity, layout_of


def by_name(layout, frequency):
    return {variable.name: variable for variable in axes(layout, frequency)}


@pytest.mark.parametrize("calendar", [TEN_DAYS, DESIGN_DAYS], ids=["weather", "design_day"])
def test_every_dim_of_an_array_has_an_axis_but_variant(calendar):
    layout = layout_of(calendar)
    for array in layout.arrays:
        dims, lengths = layout.dims(array), layout.shape(array)
        assert dims[0] == "variant"
        for dim, length in zip(dims[1:], lengths, strict=True):
            assert by_name(layout, array.frequency)[dim].values.shape == (length,)


@pytest.mark.parametrize("calendar", [TEN_DAYS, DESIGN_DAYS], ids=["weather", "design_day"])
def test_bounds_enclose_the_interval_that_starts_at_time(calendar):
    found = by_name(layout_of(calendar), "hourly")
    bounds = found[found["time"].attributes["bounds"]]
    np.testing.assert_array_equal(bounds.values[:, 0], found["time"].values)
    assert set(bounds.values[:, 1] - bounds.values[:, 0]) == {60}


def test_coordinates_name_what_runs_along_an_arrays_dims():
    layout = layout_of(DESIGN_DAYS)
    named = array_attributes(layout, layout.arrays[0])["coordinates"].split()
    assert named == [*row_coordinates(layout), "design_day_name", "design_day_date"]
    assert group_attributes(layout, {}, "hourly")["coordinates"].split() == ["time_bounds", *named[-2:]]


def test_columns_of_the_root_that_are_no_coordinates_name_those_that_are():
    layout = layout_of(TEN_DAYS)
    assert "coordinates" not in column_attributes(layout, "status", is_root=True)
    assert "coordinates" not in column_attributes(layout, "status", is_root=False)
    assert column_attributes(layout, "message", is_root=True)["coordinates"].split() == list(row_coordinates(layout))
    assert all(column_attributes(layout, name, is_root=True)["long_name"] for name in TABLE_COLUMNS)


def test_what_has_no_time_names_no_coordinates_along_time():
    periods = tuple(
        Period(str(month), dt.date(2017, month, 1), dt.date(2017, month, 2)) for month in (1, 4)
    )  # fmt: skip
    layout = Layout(Calendar(periods)).grow(SUMMARY_SERIES)
    found = by_name(layout, "annual")
    assert tuple(found["fuel"].values) == FUELS
    assert tuple(found["end_use"].values) == END_USES
    assert group_attributes(layout, {}, "annual")["coordinates"] == "time_bounds run_period"
    attributes = {array.name: array_attributes(layout, array) for array in layout.arrays}
    assert all(one["coordinates"].split() == list(row_coordinates(layout)) for one in attributes.values())
    assert not any("cell_methods" in one for one in attributes.values())
    assert attributes["site_energy"]["units"] == "GJ"
    assert attributes["site_energy_per_area"]["units"] == "MJ m-2"
    assert attributes["unmet_heating_hours"]["units"] == "h"
    assert attributes["peak_demand_time"]["units"] == found["time"].attributes["units"]
    assert attributes["peak_demand_time"]["calendar"] == found["time"].attributes["calendar"]


@pytest.mark.parametrize("calendar", [TEN_DAYS, DESIGN_DAYS], ids=["weather", "design_day"])
def test_what_is_reduced_names_the_design_days_and_how(calendar):
    kept = [reduced_series(electricity(calendar, 0), word) for word in ("max", "p95")]
    layout = Layout(calendar).grow(kept).grow_parameters(PARAMETERS)
    most, share = (array_attributes(layout, array) for array in layout.arrays)
    days = ["design_day_name", "design_day_date"] if calendar is DESIGN_DAYS else []
    assert most["coordinates"].split() == [*row_coordinates(layout), *days]
    assert (most["long_name"], most["units"]) == ("Electricity:Facility, maximum of monthly values", "J")
    assert most["cell_methods"] == "time: maximum"
    assert "cell_methods" not in share
