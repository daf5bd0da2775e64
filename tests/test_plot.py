"""Pictures: what they show, and that their text can be read at paper size."""

from __future__ import annotations

import builtins
import itertools
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bemsweep as bs
from bemsweep import plot
from bemsweep.errors import BemsweepError

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402
from matplotlib.text import Text  # noqa: E402

PAPER = [(85, 8), (85, 10), (170, 8), (170, 10)]
"""Width in mm and size of type: one and two columns of a journal, small and matplotlib's own."""

USES = [
    "Heating:NaturalGas", "Cooling:Electricity", "InteriorLights:Electricity", "ExteriorLights:Electricity",
    "InteriorEquipment:Electricity", "Fans:Electricity", "Pumps:Electricity", "WaterSystems:NaturalGas",
    "HeatRecoveryForCooling:Electricity",
]  # fmt: skip


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def grid(levels, hours=24 * 365, frequency="h", **outputs):
    """Return results of a reference and a whole grid, a value for each variant and hour."""
    points = [(None,) * len(levels), *itertools.product(*levels.values())]
    rows = len(points)
    columns = {}
    for name, column in zip(levels, zip(*points, strict=True), strict=True):
        is_text = any(isinstance(value, str) for value in column)
        blank = "" if is_text else np.nan
        columns[name] = ("variant", [blank if value is None else value for value in column])
    time = pd.date_range("2017-01-01", periods=hours, freq=frequency)
    shape = np.sin(np.arange(hours) / hours * np.pi) + np.sin(np.arange(hours) % 24 / 24 * np.pi)
    data = {
        name: (("variant", "time"), (10 + np.arange(rows)[:, None] + shape) * 1e6 * scale, dict(attrs))
        for name, (scale, attrs) in outputs.items()
    }
    coords = {**columns, "time": time, "variant_id": ("variant", [f"{row:064x}" for row in range(rows)])}
    return xr.Dataset(data, coords)


ENERGY = {"units": "J", "long_name": "Electricity:Facility", "cell_methods": "time: sum"}
WARMTH = {"units": "degC", "long_name": "Zone Operative Temperature of a Custom Output With a Long Name"}


@pytest.fixture
def hourly():
    """A year of 3 x 2 variants and the reference."""
    levels = {"lighting": [6.0, 8.0, 10.0], "orientation": [0.0, 90.0]}
    ds = grid(levels, electricity=(3.6, ENERGY), temperature=(1e-6, WARMTH))
    ds["lighting"].attrs |= {"units": "W m-2", "baseline_value": 10.76}
    ds["orientation"].attrs |= {"units": "degree", "long_name": "north axis", "baseline_value": 0.0}
    return ds


@pytest.fixture
def annual(hourly):
    return hourly.resample(time="YS").sum(keep_attrs=True)


@pytest.fixture
def crowded():
    """Many parameters, with names and levels as long as people write them."""
    levels = {
        "window_to_wall_ratio": [0.2, 0.4],
        "glazing": ["double clear, air", "triple low-E, argon, warm edge spacer", "quadruple vacuum insulated"],
        "infiltration_of_perimeter": [0.25, 1.0],
        "cooling_setpoint_shift": [-1.5, 0.0, 1.5],
        "supply_air_temperature_reset": ["none", "outdoor air"],
    }
    ds = grid(levels, hours=1, frequency="YS", electricity=(3.6e4, ENERGY), temperature=(1e-6, WARMTH))
    return ds.assign_coords(weather=("variant", ["chicago"] * ds.sizes["variant"]))


@pytest.fixture
def monthly():
    """A year of one variant, by end use."""
    month = np.arange(12)
    values = {
        use.replace(":", "_"): ("time", 1e10 * (place + 1 + np.cos(month)), {"units": "J", "long_name": use})
        for place, use in enumerate(USES)
    }
    values["Electricity_Facility"] = ("time", np.full(12, 1e12), {"units": "J", "long_name": "Electricity:Facility"})
    values["Exterior_Electricity"] = ("time", np.zeros(12), {"units": "J", "long_name": "HeatRejection:Electricity"})
    return xr.Dataset(values, {"time": pd.date_range("2017-01-01", periods=12, freq="MS")})


def axes(width_mm, points, height_mm=80):
    plt.rcParams["font.size"] = points
    return plt.subplots(figsize=(width_mm / 25.4, height_mm / 25.4), layout="constrained")[1]


@pytest.fixture(params=PAPER, ids=lambda size: f"{size[0]}mm-{size[1]}pt")
def paper(request):
    with matplotlib.rc_context():
        yield lambda height_mm=80: axes(*request.param, height_mm)


def texts_of(figure):
    """Return the texts that are drawn, without ticks outside the axes."""
    figure.draw_without_rendering()
    ticks, drawn = set(), set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            ticks |= {text for tick in (*axis.majorTicks, *axis.minorTicks) for text in (tick.label1, tick.label2)}
            drawn |= {text for tick in axis._update_ticks() for text in (tick.label1, tick.label2)}
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in found if text not in ticks or text in drawn]


def assert_readable(ax):
    """No text lies on another or leaves the figure, and every axis that has numbers says their unit."""
    figure = ax.figure
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure)]
    for (one, box), (other, its) in itertools.combinations(boxes, 2):
        across = min(box.x1, its.x1) - max(box.x0, its.x0)
        down = min(box.y1, its.y1) - max(box.y0, its.y0)
        assert across <= 0.5 or down <= 0.5, f"{one!r} lies on {other!r}"
    for text, box in boxes:
        assert min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1) >= -1, f"{text!r} is cut"
    for each in figure.axes:
        for axis in (each.xaxis, each.yaxis):
            if axis.get_ticklabels() and any(tick.get_text() for tick in axis.get_ticklabels()):
                told = [axis.get_label_text(), *(tick.get_text() for tick in axis.get_ticklabels())]
                assert any(re.search(r"\[[^\[\]]+\]", text) for text in told), told
    for legend in filter(None, (each.get_legend() for each in figure.axes)):
        assert legend.get_window_extent().y0 >= ax.get_window_extent().y1, "the legend lies on the data"
    assert min(ax.get_window_extent().width, ax.get_window_extent().height) > 60, "no room is left for the data"


# Text that can be read


def test_end_uses_can_be_read(monthly, paper):
    assert_readable(plot.end_uses_by_month(monthly, ax=paper()))


def test_main_effects_can_be_read(annual, crowded, paper):
    assert_readable(plot.main_effects(annual, "electricity", ax=paper()))
    assert_readable(plot.main_effects(crowded, "temperature", ax=paper(120)))


def test_load_duration_can_be_read(hourly, paper):
    assert_readable(plot.load_duration(hourly, "electricity", ax=paper()))
    assert_readable(plot.load_duration(hourly, "temperature", ax=paper()))


def test_a_heat_map_can_be_read(hourly, paper):
    assert_readable(plot.heat_map(hourly.isel(variant=0), "electricity", ax=paper()))
    some_days = hourly.isel(variant=0, time=slice(24 * 40))
    assert_readable(plot.heat_map(some_days, "temperature", ax=paper()))


def test_parallel_coordinates_can_be_read(annual, crowded, paper):
    assert_readable(plot.parallel_coordinates(annual, "electricity", ax=paper()))
    assert_readable(plot.parallel_coordinates(crowded, ["temperature", "electricity"], ax=paper()))


def test_a_distribution_can_be_read(annual, crowded, paper):
    assert_readable(plot.distribution(annual, "electricity", ax=paper()))
    assert_readable(plot.distribution(crowded, "temperature", ax=paper()))


def test_text_that_overlaps_is_seen(paper):
    ax = paper()
    ax.set(xlabel="x [m]", ylabel="y [m]")
    assert_readable(ax)
    ax.text(0.5, 0.5, "one")
    ax.text(0.51, 0.5, "other")
    with pytest.raises(AssertionError, match="lies on"):
        assert_readable(ax)


# What is shown


def test_end_uses_stack_up_to_the_sum_of_the_meters(monthly):
    ax = plot.end_uses_by_month(monthly)
    assert ax.get_ylabel() == "energy [MWh]"
    tops = np.max([[bar.get_y() + bar.get_height() for bar in bars] for bars in ax.containers], axis=0)
    whole = sum(monthly[use.replace(":", "_")] for use in USES)
    np.testing.assert_allclose(tops, whole / 3.6e9)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "Heating (gas)" in names
    assert "Interior lights" in names
    assert not {"Heat rejection", "Electricity"} & set(names)
    assert len(ax.containers) == len(USES)


def test_a_use_has_one_colour_and_a_fuel_one_hatch(monthly):
    monthly["electric"] = monthly.Cooling_Electricity.assign_attrs(units="J", long_name="Heating:Electricity")
    bars = {group.get_label(): group[0] for group in plot.end_uses_by_month(monthly).containers}
    assert bars["Heating"].get_facecolor() == bars["Heating (gas)"].get_facecolor()
    assert bars["Heating"].get_hatch() != bars["Heating (gas)"].get_hatch()


def test_end_uses_of_hours_are_added_up_by_month():
    hours = grid({"x": [1.0]}, Heating=(1, {"units": "J", "long_name": "Heating:Electricity"})).isel(variant=0)
    (bars,) = plot.end_uses_by_month(hours).containers
    by_hand = hours.Heating.groupby("time.month").sum()
    np.testing.assert_allclose([bar.get_height() for bar in bars], by_hand / 3.6e6)


def test_end_uses_of_two_run_periods_are_bars_of_the_months_that_they_have():
    use = {"Heating": (1, {"units": "J", "long_name": "Heating:Electricity"})}
    days = grid({"x": [1.0]}, 72, **use).isel(variant=0)
    earlier = days.assign_coords(time=days.time - np.timedelta64(3650, "D"))
    (bars,) = plot.end_uses_by_month(xr.concat([days, earlier], "time")).containers
    np.testing.assert_allclose([bar.get_height() for bar in bars], [float(days.Heating.sum()) / 3.6e6] * 2)


def test_a_month_by_itself_is_a_bar(monthly):
    one = monthly.isel(time=[0]).assign_attrs(frequency="monthly")
    assert [tick.get_text() for tick in plot.end_uses_by_month(one).get_xticklabels()] == ["J"]


def test_main_effects_are_means_over_the_grid_without_the_reference(annual):
    ax = plot.main_effects(annual, "electricity")
    rest = annual.electricity.isel(time=0, variant=slice(1, None)) / 3.6e9
    lighting, orientation = ax.get_lines()[:2]
    np.testing.assert_allclose(lighting.get_xdata(), rest.groupby(rest.lighting).mean())
    np.testing.assert_allclose(orientation.get_xdata(), rest.groupby(rest.orientation).mean())
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.get_lines()}
    assert lines["mean of all"] == pytest.approx(float(rest.mean()))
    assert lines["reference"] == pytest.approx(float(annual.electricity[0, 0]) / 3.6e9)
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert rows == ["lighting [W/m²]", "6", "8", "10", "orientation [°]", "0", "90"]
    assert ax.get_xlabel() == "mean of Electricity:Facility [MWh]"


def test_a_load_duration_falls_and_keeps_the_energy(hourly):
    ax = plot.load_duration(hourly, "electricity")
    assert ax.get_ylabel() == "Electricity:Facility [kW]"
    assert len(ax.get_lines()) == 7
    for line, output in zip(ax.get_lines(), hourly.electricity, strict=True):
        assert (np.diff(line.get_ydata()) <= 0).all()
        assert line.get_ydata().sum() == pytest.approx(float(output.sum()) / 3.6e6)
        assert line.get_xdata()[-1] == 8760
    assert [line.get_label() for line in ax.get_lines()][:2] == ["reference", "lighting 6, orientation 0"]


def test_a_load_duration_knows_the_length_of_its_intervals(hourly):
    quarter = hourly.isel(time=slice(96)).assign_coords(time=pd.date_range("2017-01-01", periods=96, freq="15min"))
    line = plot.load_duration(quarter, "electricity").get_lines()[0]
    assert line.get_xdata()[-1] == 24
    assert line.get_ydata()[0] == pytest.approx(float(quarter.electricity[0].max()) * 4 / 3.6e6)


def test_of_many_variants_the_reference_stands_out():
    many = grid({"x": [float(n) for n in range(20)]}, hours=48, electricity=(1, ENERGY))
    ax = plot.load_duration(many, "electricity")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["reference"]
    assert len({to_hex(line.get_color()) for line in ax.get_lines()}) == 2


def test_a_line_is_named_by_what_differs_from_the_baseline(hourly):
    lines = plot.load_duration(hourly.isel(variant=[0, 1, 2]), "electricity").get_lines()
    assert next(line.get_label() for line in lines) == "reference"
    alone = xr.Dataset({"heat": (("variant", "time"), hourly.electricity.values[:2])}, {"time": hourly.time})
    alone = alone.assign_coords(lighting=("variant", [np.nan, 6.0]), glazing=("variant", ["triple", "triple"]))
    names = [line.get_label() for line in plot.load_duration(alone, "heat").get_lines()]
    assert names == ["baseline", "lighting 6"]


def test_cells_of_reports_have_the_name_that_they_were_given():
    annual = xr.Dataset(
        {"site_energy": ("variant", [360.0, 180.0], {"long_name": "Report, Table, Row, Column", "units": "GJ"})},
        {"lighting": ("variant", [8.0, 6.0])},
    )
    ax = plot.main_effects(annual, "site_energy")
    assert ax.get_xlabel() == "mean of site energy [MWh]"
    assert list(ax.get_lines()[0].get_xdata()) == [50, 100]
    assert ax.get_yticklabels()[0].get_text() == "lighting"
    per_area = annual.assign(site_energy=annual.site_energy.assign_attrs(units="MJ m-2"))
    assert list(plot.main_effects(per_area, "site_energy").get_lines()[0].get_xdata()) == [50, 100]


def test_a_variant_without_values_is_left_out(hourly):
    failed = hourly.where(hourly.variant_id != f"{3:064x}")
    assert len(plot.load_duration(failed, "electricity").get_lines()) == 6
    with pytest.raises(BemsweepError, match="no variant has values of 'electricity'"):
        plot.load_duration(hourly.isel(variant=[3]).where(False), "electricity")


def test_a_heat_map_has_each_hour_at_its_place(hourly):
    one = hourly.isel(variant=2)
    ax = plot.heat_map(one, "electricity")
    mesh = ax.collections[0].get_array().reshape(24, 365)
    noon = one.electricity.sel(time="2017-05-03T12") / 3.6e6
    assert mesh[12, 31 + 28 + 31 + 30 + 2] == pytest.approx(float(noon))
    assert ax.figure.axes[1].get_ylabel().replace("\n", " ") == "Electricity:Facility [kW]"


def test_lines_of_parallel_coordinates_pass_through_their_levels(annual):
    ax = plot.parallel_coordinates(annual, "electricity")
    assert [tick.get_text().split("[")[1] for tick in ax.get_xticklabels()] == ["W/m²]", "°]", "MWh]"]
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    assert len(lines) == 7
    assert lines[0].get_label() == "reference"
    assert lines[1].get_ydata()[0] == 0  # 6 W/m2 of 6 to 10.76
    assert lines[-1].get_ydata()[0] == pytest.approx((10 - 6) / (10.76 - 6))
    assert [line.get_ydata()[1] for line in lines] == [0, 0, 1, 0, 1, 0, 1]


def test_a_distribution_counts_all_but_the_reference(annual):
    ax = plot.distribution(annual, "electricity")
    assert sum(bar.get_height() for bar in ax.patches) == 6
    (line,) = [line for line in ax.get_lines() if line.get_label() == "reference"]
    assert line.get_xdata()[0] == pytest.approx(float(annual.electricity[0, 0]) / 3.6e9)


def test_references_of_several_climates_are_named(annual):
    two = xr.concat([annual, annual * 1.1], "variant", combine_attrs="override", coords="minimal", compat="override")
    two = two.assign_coords(annual.isel(variant=[*range(7), *range(7)]).coords)
    two = two.assign_coords(weather=("variant", ["chicago"] * 7 + ["denver"] * 7))
    names = [line.get_label() for line in plot.distribution(two, "electricity").get_lines()]
    assert names[1:] == ["reference, chicago", "reference, denver"]


def test_means_over_time_are_averaged(hourly):
    ax = plot.distribution(hourly, "temperature")
    (line,) = [line for line in ax.get_lines() if line.get_label() == "reference"]
    assert line.get_xdata()[0] == pytest.approx(float(hourly.temperature[0].mean()))


@pytest.mark.parametrize("name", sorted(set(plot.__all__)))
def test_every_picture_returns_the_axes_it_was_given(name, annual, hourly, monthly):
    arguments = {
        "end_uses_by_month": (monthly,),
        "heat_map": (hourly.isel(variant=0), "electricity"),
        "load_duration": (hourly, "electricity"),
    }.get(name, (annual, "electricity"))
    ax = plt.subplots(layout="constrained")[1]
    assert getattr(plot, name)(*arguments, ax=ax) is ax
    before = dict(matplotlib.rcParams)
    own = getattr(plot, name)(*arguments)
    assert own.figure is not ax.figure
    assert own.figure.get_figwidth() == pytest.approx(170 / 25.4)
    assert dict(matplotlib.rcParams) == before


# What is refused


def test_what_cannot_be_drawn_is_told(annual, hourly, monthly):
    with pytest.raises(BemsweepError, match=r"no output 'electrcity' \(did you mean 'electricity'\?\)"):
        plot.main_effects(annual, "electrcity")
    with pytest.raises(BemsweepError, match=r"still has the dims variant \(7\); .* ds.isel\(variant=0\)"):
        plot.heat_map(hourly, "electricity")
    with pytest.raises(BemsweepError, match=r"still has the dims zone \(2\)"):
        plot.main_effects(annual.expand_dims(zone=["a", "b"]), "electricity")
    with pytest.raises(BemsweepError, match="no meters of end uses"):
        plot.end_uses_by_month(hourly)
    with pytest.raises(BemsweepError, match="no months; take the group 'monthly'"):
        plot.end_uses_by_month(monthly.isel(time=[0]))
    with pytest.raises(BemsweepError, match="intervals of different or unknown length"):
        plot.load_duration(annual, "electricity")
    with pytest.raises(BemsweepError, match="has no value for each hour"):
        plot.heat_map(hourly.isel(variant=0).resample(time="D").sum(keep_attrs=True), "electricity")
    periods = ("time", np.where(np.arange(hourly.sizes["time"]) < 100, "winter", "summer"))
    with pytest.raises(BemsweepError, match=r"is of the run periods summer, winter: choose one, ds.isel"):
        plot.heat_map(hourly.isel(variant=0).assign_coords(run_period=periods), "electricity")
    with pytest.raises(BemsweepError, match="this variant has no values; its `status` says why"):
        plot.end_uses_by_month(monthly.where(False))
    with pytest.raises(BemsweepError, match="no variant has values of 'electricity'"):
        plot.main_effects(annual.where(False), "electricity")
    with pytest.raises(BemsweepError, match="no parameter has two levels"):
        plot.main_effects(annual.isel(variant=[1]), "electricity")
    with pytest.raises(BemsweepError, match="no variant has values of 'electricity'"):
        plot.parallel_coordinates(annual.where(False), "electricity")
    with pytest.raises(BemsweepError, match="no variant but references has values of 'electricity'"):
        plot.distribution(annual.isel(variant=[0]), "electricity")


def test_without_matplotlib_the_extra_is_named(annual, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BemsweepError, match=re.escape("pip install 'bemsweep[plot]'")):
        plot.distribution(annual, "electricity")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Results of a year of a small office, two levels and the reference."""
    store = tmp_path_factory.mktemp("drawn")
    study = bs.Study(
        name="drawn",
        baseline="bundled:ref/small_office",
        weather={"chicago": "bundled:usa_il_chicago"},
        parameters={"lighting": bs.Field("Lights", "watts_per_floor_area", values=[10, 6])},
        outputs=[
            *(bs.Meter(use, frequency="monthly") for use in ("Heating:NaturalGas", "Cooling:Electricity")),
            bs.Meter("Electricity:Facility", frequency="hourly", as_="electricity"),
        ],
    )
    bs.run(bs.plan(study, store=store))
    return bs.open_results(store, "drawn")


@pytest.mark.engine
@pytest.mark.heavy
def test_a_real_study_can_be_drawn(real):  # one test, so that the study is run once
    hourly, monthly = real["hourly"].to_dataset(), real["monthly"].to_dataset()
    for size in PAPER:
        with matplotlib.rc_context():
            assert_readable(plot.end_uses_by_month(monthly.isel(variant=0), ax=axes(*size)))
            assert_readable(plot.main_effects(hourly, "electricity", ax=axes(*size)))
            assert_readable(plot.load_duration(hourly, "electricity", ax=axes(*size)))
            assert_readable(plot.heat_map(hourly.isel(variant=0), "electricity", ax=axes(*size)))
            assert_readable(plot.parallel_coordinates(hourly, "electricity", ax=axes(*size)))
            assert_readable(plot.distribution(hourly, "electricity", ax=axes(*size)))
        plt.close("all")
