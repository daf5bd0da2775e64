"""Grids: every value at its place, nothing read before it is used."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr

import bemsweep as bs
from bemsweep.errors import BemsweepError
from bemsweep.lazy_arrays import lazy_variable
from bemsweep.results import open_results
from bemsweep.store import Store
from cube_study import TEN_DAYS, whole_cube

GLAZINGS = ("double", "triple", "lowe")


def results(points, names=("lighting", "glazing", "orientation"), *, attrs=None, **more):
    """Return results with a row for each point, None for null, and values that tell their row."""
    rows = len(points)
    coords = {}
    for name, column in zip(names, zip(*points, strict=True), strict=True):
        is_text = any(isinstance(value, str) for value in column)
        values = ["" if value is None else value for value in column] if is_text else np.array(column, dtype=float)
        coords[name] = ("variant", np.array(values, dtype=np.dtypes.StringDType()) if is_text else values)
    coords |= {
        "variant_id": ("variant", np.array([f"{row:064x}" for row in range(rows)], dtype=np.dtypes.StringDType())),
        "status": ("variant", np.array(["succeeded"] * rows, dtype=np.dtypes.StringDType())),
        "utc_offset": ("variant", np.full(rows, -6.0)),
        "zone": ["Core", "South"],
        **more,
    }
    values = np.arange(rows)[:, None, None] * 100.0 + np.arange(2)[:, None] * 10 + np.arange(3)
    data = {"gas": (("variant", "zone", "time"), values, {"units": "J"}), "degree_days": ("time", [1.0, 2.0, 3.0])}
    ds = xr.Dataset(data, coords, {"title": "a study"})
    for name, told in (attrs or {}).items():
        ds[name].attrs.update(told)
    return ds


def two_by_three_by_two(*excluded):
    """Return the points of a grid of 2 x 3 x 2 and its reference."""
    points = itertools.product((8.0, 6.0), GLAZINGS, (0.0, 90.0))
    return [(None, None, None), *(point for point in points if point not in excluded)]


def assert_all_in_place(ds, grid, rows):
    """Every one of `rows` is at its point, and all else is missing."""
    for row in rows:
        point = {
            name: ds[name].values[row].item() if ds[name].dtype.kind == "f" else str(ds[name].values[row])
            for name in ("lighting", "glazing", "orientation")
        }
        xr.testing.assert_equal(
            grid.gas.sel(point).drop_vars(grid.coords), ds.gas.isel(variant=row).drop_vars(ds.coords)
        )
        assert grid.variant_id.sel(point).item() == ds.variant_id.values[row]
        assert grid.status.sel(point).item() == "succeeded"
    assert int(grid.gas.notnull().sum()) == len(rows) * 6
    assert int((grid.variant_id != "").sum()) == len(rows)


def test_a_grid_with_a_reference_and_an_excluded_corner():
    ds = results(two_by_three_by_two((6.0, "lowe", 90.0)))
    grid = bs.to_grid(ds)
    assert grid.sizes == {"lighting": 2, "glazing": 3, "orientation": 2, "zone": 2, "time": 3}
    assert grid.gas.dims == ("lighting", "glazing", "orientation", "zone", "time")
    assert grid.lighting.values.tolist() == [6, 8]
    assert grid.glazing.values.tolist() == list(GLAZINGS)
    assert_all_in_place(ds, grid, range(1, 12))
    hole = grid.sel(lighting=6, glazing="lowe", orientation=90)
    assert hole.gas.isnull().all()
    assert hole.status.item() == ""
    assert np.isnan(hole.utc_offset)
    assert grid.gas.attrs == {"units": "J"}
    assert grid.attrs == {"title": "a study"}
    xr.testing.assert_identical(grid.degree_days, ds.degree_days)


def test_a_group_of_a_tree_and_a_dataset_without_outputs_are_gridded_too():
    ds = results(two_by_three_by_two())
    tree = xr.DataTree.from_dict({"/annual": ds, "/hourly": ds})
    xr.testing.assert_identical(bs.to_grid(tree["annual"]), bs.to_grid(ds))
    bare = bs.to_grid(ds.drop_vars(["gas", "degree_days"]))
    assert bare.status.sizes == {"lighting": 2, "glazing": 3, "orientation": 2}
    with pytest.raises(BemsweepError, match=r"choose one: tree\['annual'\], tree\['hourly'\]"):
        bs.to_grid(tree)


# Null levels


def test_null_is_the_value_of_the_baseline():
    points = list(itertools.product((None, 6.0), (None, 90.0)))
    known = {"lighting": {"baseline_value": 10.76}, "orientation": {"baseline_value": 0}}
    grid = bs.to_grid(results(points, ("lighting", "orientation"), attrs=known))
    assert grid.lighting.values.tolist() == [6, 10.76]
    assert grid.orientation.values.tolist() == [0, 90]
    assert grid.gas.sel(lighting=10.76, orientation=90).values[0, 0] == 100
    assert grid.gas.notnull().all()


def test_null_is_one_as_a_factor_and_zero_as_a_summand():
    told = {"lighting": {"operation": "multiply", "baseline_value": 10.76}, "orientation": {"operation": "add"}}
    points = list(itertools.product((None, 0.5), (None, 90.0)))
    grid = bs.to_grid(results(points, ("lighting", "orientation"), attrs=told))
    assert grid.lighting.values.tolist() == [0.5, 1]
    assert grid.orientation.values.tolist() == [0, 90]


def test_without_a_known_value_levels_are_texts():
    points = list(itertools.product((None, 10.0, 6.5), (None, "triple")))
    grid = bs.to_grid(results(points, ("lighting", "glazing")))
    assert grid.lighting.values.tolist() == ["baseline", "6.5", "10"]
    assert grid.glazing.values.tolist() == ["baseline", "triple"]
    assert grid.gas.sel(lighting="6.5", glazing="triple").values[0, 0] == 500


def test_a_level_called_baseline_is_not_null():
    points = [(None, 1.0), ("baseline", 1.0), (None, 2.0), ("baseline", 2.0)]
    grid = bs.to_grid(results(points, ("glazing", "x")))
    assert grid.glazing.values.tolist() == ["baseline (null)", "baseline"]
    assert grid.gas.notnull().all()


def test_a_row_with_the_baselines_value_stands_before_one_with_null():
    points = [(None, None), *itertools.product((10.76, 6.0), (0.0, 90.0)), (None, 90.0)]
    known = {"lighting": {"baseline_value": 10.76}, "orientation": {"baseline_value": 0.0}}
    grid = bs.to_grid(results(points, ("lighting", "orientation"), attrs=known))
    assert grid.gas.isel(zone=0, time=0).values.tolist() == [[300, 400], [100, 200]]


def test_a_reference_fills_the_hole_at_its_own_place():
    points = [(None, None), *itertools.product((10.76, 6.0), (0.0, 90.0))]
    points.remove((10.76, 0.0))
    known = {"lighting": {"baseline_value": 10.76}, "orientation": {"baseline_value": 0.0}}
    grid = bs.to_grid(results(points, ("lighting", "orientation"), attrs=known))
    assert grid.gas.sel(lighting=10.76, orientation=0).values[0, 0] == 0


def test_a_reference_is_a_level_of_the_only_parameter():
    grid = bs.to_grid(results([(None,), (8.0,), (6.0,)], ("lighting",), attrs={"lighting": {"baseline_value": 10.0}}))
    assert grid.lighting.values.tolist() == [6, 8, 10]


# Labels, amendments, computed parameters


def test_several_climates_are_a_dim_and_one_baseline_is_none():
    points = [(w, "office", *rest) for w in ("denver", "chicago") for rest in two_by_three_by_two()]
    grid = bs.to_grid(results(points, ("weather", "baseline", "lighting", "glazing", "orientation")))
    assert grid.gas.dims[:2] == ("weather", "lighting")
    assert grid.weather.values.tolist() == ["denver", "chicago"]
    assert grid.baseline.item() == "office"
    assert grid.gas.sel(weather="chicago", lighting=8, glazing="double", orientation=0).values[0, 0] == 1400


def test_a_level_that_came_later_leaves_holes():
    ds = results([*two_by_three_by_two(), (4.0, "double", 0.0)])
    grid = bs.to_grid(ds)
    assert grid.lighting.values.tolist() == [4, 6, 8]
    assert_all_in_place(ds, grid, range(1, 14))


def test_a_computed_parameter_lies_along_what_it_depends_on():
    points = two_by_three_by_two((6.0, "lowe", 90.0))
    of_one = [np.nan if light is None else light * 1.5 for light, _, _ in points]
    of_two = [np.nan if light is None else light + north for light, _, north in points]
    grid = bs.to_grid(
        results(
            points,
            one=("variant", of_one, {"expression": "lighting * 1.5", "units": "W"}),
            two=("variant", of_two, {"expression": "lighting + orientation"}),
            none=("variant", np.ones(len(points)), {"expression": "1"}),
        )
    )
    assert grid.one.dims == ("lighting",)
    assert grid.one.values.tolist() == [9, 12]
    assert grid.one.attrs["units"] == "W"
    assert grid.two.dims == ("lighting", "orientation")
    assert grid.two.values.tolist() == [[6, 96], [8, 98]]
    assert grid.none.dims == ()


# What is refused


def test_the_same_point_twice_is_refused():
    points = two_by_three_by_two()
    with pytest.raises(BemsweepError, match=r"variants 3, 13 \(0+3?, 0+\) are the same point: lighting=8, glaz"):
        bs.to_grid(results([*points, points[3]]))


def test_a_table_of_samples_is_no_grid():
    rng = np.random.default_rng(1)
    points = [tuple(point) for point in rng.random((40, 3))]
    with pytest.raises(BemsweepError, match=r"40 variants are no grid: .* 64,000 places \(40 a x 40 b x 40 c\)"):
        bs.to_grid(results(points, ("a", "b", "c")))


def test_what_has_no_variants_is_refused():
    ds = results(two_by_three_by_two())
    with pytest.raises(BemsweepError, match=r"there is no dim 'variant' .* the dims are: "):
        bs.to_grid(ds.isel(variant=0))
    with pytest.raises(BemsweepError, match="there are no variants"):
        bs.to_grid(ds.isel(variant=[]))
    with pytest.raises(BemsweepError, match="no parameter along 'variant'"):
        bs.to_grid(ds.drop_vars(["lighting", "glazing", "orientation"]))


# Laziness


def counting(ds):
    """Return `ds` with an output that tells what was read of it."""
    reads = []
    values = ds.gas.values

    def read(picks):
        reads.append(picks)
        out = values
        for axis in reversed(range(3)):
            out = out[(slice(None),) * axis + (picks[axis],)]
        return out

    return ds.assign(gas=lazy_variable(dict(ds.gas.sizes), float, read, attrs={"units": "J"})), reads


def test_only_what_is_selected_is_read():
    ds = results(two_by_three_by_two((6.0, "lowe", 90.0)))
    lazy, reads = counting(ds)
    grid = bs.to_grid(lazy)
    assert reads == []
    row = grid.gas.sel(lighting=8, glazing="triple", orientation=90, zone="South")
    assert reads == []
    assert row.values.tolist() == [410, 411, 412]
    ((rows, zone, _),) = reads
    assert (rows.start, rows.stop, zone) == (4, 5, 1)
    xr.testing.assert_identical(grid.load(), bs.to_grid(ds).load())


def test_dask_arrays_stay_dask_arrays():
    ds = results(two_by_three_by_two((6.0, "lowe", 90.0)))
    chunked = bs.to_grid(ds.chunk(variant=4))
    assert chunked.gas.chunks is not None
    xr.testing.assert_identical(chunked.load(), bs.to_grid(ds).load())


def test_a_selection_by_arrays_and_a_transposed_output():
    ds = results(two_by_three_by_two())
    grid = bs.to_grid(ds.transpose("time", ...))
    assert grid.gas.dims == ("lighting", "glazing", "orientation", "time", "zone")
    key = {"lighting": [1, 0], "orientation": xr.DataArray([0, 1], dims="point"), "glazing": slice(None, None, 2)}
    loaded = bs.to_grid(ds).gas.load().transpose(*grid.gas.dims)
    xr.testing.assert_equal(grid.gas.isel(key), loaded.isel(key))


def test_whole_numbers_and_dates_have_holes_too():
    ds = results(two_by_three_by_two((6.0, "lowe", 90.0)))
    rows = ds.sizes["variant"]
    ds["count"] = ("variant", np.arange(rows))
    ds["day"] = ("variant", np.arange(rows).astype("M8[D]").astype("M8[ns]"))
    hole = bs.to_grid(ds).sel(lighting=6, glazing="lowe", orientation=90)
    assert np.isnan(hole["count"])
    assert np.isnat(hole.day.values)
    whole = bs.to_grid(ds.isel(variant=slice(1, 7)))
    assert whole["count"].dtype == int


def test_a_cube_is_gridded_lazily(tmp_path):
    store = Store(str(tmp_path))
    cube = whole_cube(store.zarr("cube"), TEN_DAYS, rows=3)
    tree = open_results(store, "cube")
    grid = bs.to_grid(tree["hourly"])
    assert not grid.temperature._in_memory
    ds = tree["hourly"].to_dataset()
    assert cube.rows == 3
    for row in (1, 2):
        at = grid.temperature.sel(lighting=float(row), glazing=f"glass {row}")
        np.testing.assert_array_equal(at.values, ds.temperature.isel(variant=row).values)
    assert not grid.temperature._in_memory


@pytest.mark.engine
@pytest.mark.heavy
def test_a_grid_of_a_real_study(tmp_path):
    study = bs.Study(
        name="gridded",
        baseline="bundled:ref/small_office",
        weather="bundled:usa_il_chicago",
        run="design_day",
        parameters={
            "lighting": bs.Field("Lights", "watts_per_floor_area", values=[8, 6]),
            "orientation": bs.Field("Building", "north_axis", values=[0, 45, 90]),
            "equipment": bs.Field("ElectricEquipment", "watts_per_floor_area", values=[10, 5]),
        },
        exclude=["lighting == 6 and orientation == 90 and equipment == 5"],
        outputs=[bs.Meter("Electricity:Facility", frequency="hourly", as_="electricity")],
    )
    bs.run(bs.plan(study, store=tmp_path))
    ds = bs.open_results(tmp_path, "gridded")["hourly"].to_dataset()
    assert ds.sizes["variant"] == 12
    grid = bs.to_grid(ds)
    assert {name: grid.sizes[name] for name in study.parameters} == {"lighting": 2, "orientation": 3, "equipment": 2}
    assert grid.electricity.sel(lighting=6, orientation=90, equipment=5).isnull().all()
    for row in range(1, 12):
        point = {name: ds[name].values[row] for name in study.parameters}
        at = grid.electricity.sel(point)
        assert at.variant_id.item() == ds.variant_id.values[row]
        np.testing.assert_array_equal(at.values, ds.electricity.isel(variant=row).values)
    warm = grid.electricity.isel(design_day=-1).sum("time")
    assert (warm.sel(lighting=8) > warm.sel(lighting=6)).where(warm.sel(lighting=6).notnull(), True).all()
