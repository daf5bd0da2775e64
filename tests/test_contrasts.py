"""Contrasts: differences equal those by hand to the last bit, and what has no partner is named."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr

import bemsweep as bs
from bemsweep.errors import BemsweepError
from bemsweep.lazy_arrays import lazy_variable


@pytest.fixture
def ds():
    """Return a grid of 2 x 3 without a corner, a reference and random values."""
    points = [(None, None), *itertools.product((8.0, 6.0), ("double", "triple", "lowe"))]
    points.remove((6.0, "triple"))
    rows = len(points)
    rng = np.random.default_rng(7)
    lighting = np.array([np.nan if light is None else light for light, _ in points])
    return xr.Dataset(
        {
            "gas": (("variant", "time"), rng.random((rows, 5)), {"units": "J", "long_name": "NaturalGas:Facility"}),
            "temperature": (("variant", "zone", "time"), rng.random((rows, 2, 5)), {"units": "degC"}),
            "day": ("variant", ["07-21"] * rows),
            "engine_s": ("variant", rng.random(rows)),
            "area": ("zone", [10.0, 20.0], {"units": "m2"}),
        },
        {
            "lighting": ("variant", lighting, {"units": "W m-2"}),
            "glazing": ("variant", [glass or "" for _, glass in points]),
            "installed": ("variant", lighting * 100, {"expression": "lighting * 100"}),
            "shading": ("variant", [f"of {glass}" for _, glass in points], {"expression": "glazing"}),
            "weather": ("variant", ["chicago"] * rows),
            "status": ("variant", ["succeeded"] * rows),
            "variant_id": ("variant", [f"{row}" * 64 for row in range(rows)]),
            "utc_offset": ("variant", np.full(rows, -6.0)),
            "zone": ["Core", "South"],
        },
        {"title": "a study"},
    )


def test_differences_are_those_by_hand_to_the_last_bit(ds):
    found = bs.contrast(ds, "glazing", "double", "lowe")
    assert found.gas.dims == ("pair", "time")
    assert found.temperature.dims == ("pair", "zone", "time")
    assert found.lighting.values.tolist() == [8, 6]
    by_hand = ds.isel(variant=[3, 5]).drop_vars("glazing"), ds.isel(variant=[1, 4]).drop_vars("glazing")
    for name in ("gas", "temperature"):
        np.testing.assert_array_equal(found[name].values, by_hand[0][name].values - by_hand[1][name].values)
    assert found.unpaired == ""


def test_pairs_are_described(ds):
    found = bs.contrast(ds, "glazing", "double", "lowe")
    assert found.variant_id_first.values.tolist() == ["1" * 64, "4" * 64]
    assert found.variant_id_second.values.tolist() == ["3" * 64, "5" * 64]
    assert set(found.coords) == {
        *("lighting", "installed", "weather", "utc_offset", "zone"),
        *("status_first", "status_second", "variant_id_first", "variant_id_second"),
    }
    assert set(found.data_vars) == {"gas", "temperature", "area"}
    assert found.gas.attrs == {"units": "J", "long_name": "NaturalGas:Facility, lowe minus double"}
    assert found.temperature.attrs["units"] == "K"
    assert found.lighting.attrs == {"units": "W m-2"}
    assert found.title == "a study"
    assert (found.contrast_column, found.contrast_values) == ("glazing", ["double", "lowe"])


def test_what_has_no_partner_is_named(ds):
    found = bs.contrast(ds, "glazing", "double", "triple")
    assert found.sizes["pair"] == 1
    assert found.unpaired == "glazing=double, lighting=6 (444444444444)"
    assert bs.contrast(ds, "glazing", "triple", "double").unpaired == found.unpaired
    found = bs.contrast(ds, "lighting", 8, 6)
    assert found.glazing.values.tolist() == ["double", "lowe"]
    assert found.unpaired == "lighting=8, glazing=triple (222222222222)"


def test_none_is_the_level_of_the_baseline(ds):
    ds["lighting"] = ds.lighting.where(ds.lighting != 8)
    ds["lighting"].attrs["baseline_value"] = 10.76
    by_none = bs.contrast(ds, "lighting", None, 6)
    np.testing.assert_array_equal(by_none.gas, ds.gas.values[[4, 5]] - ds.gas.values[[1, 3]])
    assert by_none.contrast_values == ["baseline", "6"]
    assert by_none.unpaired.splitlines() == [
        "lighting=baseline, glazing=baseline (000000000000)",
        "lighting=baseline, glazing=triple (222222222222)",
    ]
    for same in (np.nan, 10.76, "baseline"):
        np.testing.assert_array_equal(bs.contrast(ds, "lighting", same, 6).gas, by_none.gas)


def test_climates_are_contrasted_too(ds):
    ds = ds.isel(variant=[1, 2, 3, 1, 2, 3]).assign_coords(weather=("variant", ["chicago"] * 3 + ["denver"] * 3))
    ds["gas"] = ds.gas + xr.DataArray(np.arange(6.0), dims="variant")
    found = bs.contrast(ds, "weather", "chicago", "denver")
    assert found.sizes["pair"] == 3
    np.testing.assert_allclose(found.gas, 3)


def test_a_failed_variant_stays_missing(ds):
    ds["gas"] = ds.gas.where(ds.variant_id != "3" * 64)
    ds["status"] = ds.status.where(ds.variant_id != "3" * 64, "failed")
    found = bs.contrast(ds, "glazing", "double", "lowe")
    assert found.gas.isnull().all("time").values.tolist() == [True, False]
    assert found.status_second.values.tolist() == ["failed", "succeeded"]
    assert found.status_first.values.tolist() == ["succeeded", "succeeded"]


def test_a_tree_is_contrasted_group_by_group(ds):
    table = ds.drop_vars(["gas", "temperature", "area"]).assign_attrs(bemsweep="{}")
    tree = xr.DataTree.from_dict({"/": table.drop_vars("zone"), "/hourly": ds, "/monthly": ds.isel(time=[0])})
    found = bs.contrast(tree, "glazing", "double", "lowe")
    assert set(found.children) == {"hourly", "monthly"}
    xr.testing.assert_identical(found["hourly"].to_dataset(), bs.contrast(ds, "glazing", "double", "lowe"))
    assert not found.to_dataset().data_vars
    assert found.variant_id_first.values.tolist() == ["1" * 64, "4" * 64]
    assert "bemsweep" not in found.attrs
    assert isinstance(bs.contrast(tree["hourly"], "glazing", "double", "lowe"), xr.DataTree)


def test_only_the_pairs_that_are_used_are_read(ds):
    reads = []

    def read(picks):
        reads.append(picks)
        return np.arange(30.0).reshape(6, 5)[picks[0]][..., picks[1]]

    lazy = ds.assign(gas=lazy_variable(dict(ds.gas.sizes), float, read, attrs={}))
    found = bs.contrast(lazy, "glazing", "double", "lowe")
    assert reads == []
    assert found.gas.isel(pair=1, time=2).item() == 27 - 22
    assert [(int(row), int(time)) for row, time in reads] == [(4, 2), (5, 2)]


def test_dask_arrays_stay_dask_arrays(ds):
    chunked = bs.contrast(ds.chunk(variant=2), "glazing", "double", "lowe")
    assert chunked.gas.chunks is not None
    xr.testing.assert_identical(chunked.load(), bs.contrast(ds, "glazing", "double", "lowe").load())


def test_what_cannot_be_contrasted_is_told(ds):
    with pytest.raises(BemsweepError, match=r"no parameter 'glasing' \(did you mean 'glazing'\?\); there are: weath"):
        bs.contrast(ds, "glasing", "double", "triple")
    with pytest.raises(BemsweepError, match=r"glazing=tripel \(did you mean 'triple'\?\); its levels: baseline, "):
        bs.contrast(ds, "glazing", "double", "tripel")
    with pytest.raises(BemsweepError, match="no variant has lighting=7; its levels: baseline, 6, 8"):
        bs.contrast(ds, "lighting", 7, 8)
    with pytest.raises(BemsweepError, match="no variant has lighting=double"):
        bs.contrast(ds, "lighting", "double", 8)
    with pytest.raises(BemsweepError, match="double and double are the same level of 'glazing'"):
        bs.contrast(ds, "glazing", "double", "double")
    with pytest.raises(
        BemsweepError, match=r"no two variants differ in nothing but lighting, baseline and 8; .*\n  li"
    ):
        bs.contrast(ds, "lighting", None, 8)
    with pytest.raises(BemsweepError, match="variants 1 and 6, weather=chicago, lighting=8, have the same level"):
        bs.contrast(ds.isel(variant=[*range(6), 1]), "glazing", "double", "triple")
    with pytest.raises(BemsweepError, match="no group has a dim 'variant'"):
        bs.contrast(xr.DataTree.from_dict({"/a": xr.Dataset()}), "glazing", "double", "triple")


@pytest.mark.engine
def test_a_contrast_of_a_real_study(tmp_path):
    study = bs.Study(
        name="contrasted",
        baseline="bundled:ref/small_office",
        weather="bundled:usa_il_chicago",
        run="design_day",
        parameters={
            "lighting": bs.Field("Lights", "watts_per_floor_area", values=[None, 6]),
            "orientation": bs.Field("Building", "north_axis", values=[None, 90]),
        },
        outputs=[
            bs.Meter("Electricity:Facility", frequency="hourly", as_="electricity"),
            bs.Variable("Zone Mean Air Temperature", key="*_ZN*", frequency="hourly", as_="temperature"),
        ],
    )
    bs.run(bs.plan(study, store=tmp_path))
    tree = bs.open_results(tmp_path, "contrasted")
    found = bs.contrast(tree, "lighting", None, 6)["hourly"].to_dataset()
    ds = tree["hourly"].to_dataset()
    assert found.sizes["pair"] == 2
    for pair in range(2):
        first, second = (
            ds.isel(variant=int(np.flatnonzero(ds.variant_id.values == found[f"variant_id_{side}"].values[pair])[0]))
            for side in ("first", "second")
        )
        assert np.isnan(first.lighting)
        assert second.lighting == 6
        for name in ("electricity", "temperature"):
            np.testing.assert_array_equal(found[name].values[pair], second[name].values - first[name].values)
    assert (found.electricity.sum("time") < 0).all()
