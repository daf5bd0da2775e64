"""What is kept of a series: its words, its exact values, and studies that ask for it."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyenergyplus.dataset import ref_models

import bemsweep as bs
from bemsweep import export, plot
from bemsweep.errors import ConflictError, StudyError
from bemsweep.model_file import read_model
from bemsweep.model_text import write_model
from bemsweep.records import Series
from bemsweep.reductions import read_reductions, reduced_series
from bemsweep.study import Study
from bemsweep.testing import FakeEngine
from small_studies import read, run_study, small_study

WORDS = ("sum", "mean", "max", "min", "p1", "p50", "p95", "p99.6")


def series(values, frequency="hourly", method="sum"):
    return Series("e", frequency, "A", "zone", "Electricity", "J", method, np.array(values, dtype=np.float64))


def reduced(values, word, **how):
    return reduced_series(series(values), word, **how).values


def problems_of(make, *args, **settings):
    with pytest.raises(StudyError) as caught:
        make(*args, **settings)
    return [str(problem) for problem in caught.value.problems]


# Words


def test_words_have_one_spelling_and_one_order():
    assert read_reductions("Max") == ("max",)
    assert read_reductions(["p99.60", "P5", "min", "sum", "p95", "mean", "max"]) == (
        "sum", "mean", "max", "min", "p5", "p95", "p99.6"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("maximum", "no reduction 'maximum' (did you mean 'max'?); known: sum, mean, max, min, and percentiles"),
        ("median", "did you mean 'p50'?"),
        ("average", "did you mean 'mean'?"),
        ("p100", "did you mean 'max'?"),
        ("p0", "did you mean 'min'?"),
        ("p0.0", "no reduction 'p0.0'"),
        ("p-5", "no reduction 'p-5'"),
        ("p٣", "no reduction 'p٣'"),
        (["max", 95], "no reduction 95;"),
        (["max", "MAX", "p95.0", "p95"], "'max' is given twice; 'p95' is given twice"),
        (["mac", "max", "max"], "percentiles such as p95; 'max' is given twice"),
        ([], "takes a word or a list of them, not []"),
        (None, "takes a word or a list of them, not None"),
        ({"max": 1}, "takes a word or a list of them"),
    ],
)  # fmt: skip
def test_what_is_no_reduction_is_told_all_at_once(given, told):
    (problem,) = problems_of(bs.Meter, "m", reduce=given)
    assert told in problem
    assert problem.endswith("@ reduce")


# Values

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(st.lists(FINITE, min_size=1, max_size=50), st.randoms())
def test_sum_and_mean_are_exact_in_any_order(values, shuffle):
    exact = float(sum(map(Fraction, values)))
    assert reduced(values, "sum").tolist() == [exact]
    assert reduced(values, "mean").tolist() == [exact / len(values)]
    shuffle.shuffle(values)
    assert reduced(values, "sum").tolist() == [exact]


@given(st.lists(FINITE, min_size=1, max_size=50))
def test_extremes_and_percentiles_are_numpys(values):
    assert reduced(values, "max").tolist() == [max(values)]
    assert reduced(values, "min").tolist() == [min(values)]
    for word, percent in (("p1", 1), ("p50", 50), ("p99.6", 99.6)):
        assert reduced(values, word).tolist() == [np.percentile(values, percent, method="linear")]


@pytest.mark.parametrize("word", WORDS)
def test_what_is_not_finite_is_not_hidden(word):
    assert np.isnan(reduced([1.0, math.nan, 3.0], word)).all()
    both = reduced([math.inf, -math.inf, math.inf], word)[0]
    assert not np.isfinite(both)
    assert reduced([1e308] * 3, word).tolist() == [math.inf if word in ("sum", "mean") else 1e308]


def test_each_design_day_has_a_value_and_run_periods_have_one():
    assert reduced([1, 2, 5, 7], "max", design_days=2).tolist() == [2, 7]
    assert reduced([1, 2, 5, 7], "max").tolist() == [7]
    assert reduced([], "max", design_days=2).size == 0


def test_what_was_reduced_is_told():
    one = reduced_series(series([1, 2], "daily"), "p99.6")
    assert (one.output, one.frequency, one.key, one.key_kind) == ("e_p99_6", "annual", "A", "zone")
    assert (one.name, one.units, one.method) == ("Electricity, percentile 99.6 of daily values", "J", "run p99.6")
    assert reduced_series(series([1]), "min").name == "Electricity, minimum of hourly values"


# In a study


def test_a_file_and_python_say_the_same(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: s\nbaseline: bundled:ref/small_office\nweather: bundled:usa_il_chicago\noutputs:\n"
        "  - {meter: 'Electricity:Facility', as: e, reduce: [p95, max]}\n  - {variable: T, reduce: mean}\n"
    )
    study = Study.from_yaml(path)
    meter = bs.Meter("Electricity:Facility", as_="e", reduce=("max", "p95"))
    assert study.resolved_outputs() == (meter.output(), bs.Variable("T", reduce="mean").output())
    assert study.to_dict()["outputs"][0] == {"meter": "Electricity:Facility", "as": "e", "reduce": ["max", "p95"]}
    assert Study(**study.to_dict()).resolved_outputs() == study.resolved_outputs()
    assert study.to_frame().setting.iloc[-2] == "Electricity:Facility (hourly, max, p95)"
    path.write_text(path.read_text().replace("mean", "meen"))
    (told,) = problems_of(Study.from_yaml, path)
    assert told.startswith("no reduction 'meen' (did you mean 'mean'?); known: sum, mean, max, min, and percentiles")
    assert told.endswith("@ outputs.1.reduce, line 6")


def test_what_has_nothing_to_reduce_is_refused():
    assert "`annual` has one value" in problems_of(bs.Meter, "m", frequency="annual", reduce="max")[0]
    assert "unknown key 'reduce'" in problems_of(bs.Table, report="R", as_="x", reduce="max")[0]


def test_all_names_that_clash_are_told():
    lights = bs.Field("Lights", "watts_per_floor_area", values=[6])
    told = problems_of(
        small_study,
        parameters={"e_max": lights, "e_p95": lights},
        outputs=[
            bs.Meter("A", as_="e", reduce=["max", "mean", "p95"]),
            bs.Meter("B", as_="design", reduce="max"),
            bs.Meter("C", as_="site", reduce="max"),
            bs.Meter("D", as_="peak", reduce="p99.6"),
        ],
    )
    assert told == [
        "'e_max', 'e_p95' is the name of something else in the results: give another one with `as` @ outputs.0"
    ]
    told = problems_of(
        small_study,
        outputs=[
            bs.Meter("A", as_="e", reduce=["max", "mean"]),
            bs.Meter("B", as_="E_MAX", frequency="annual"),
            bs.Meter("A", as_="e", frequency="daily", reduce="mean"),
            bs.Meter("C", as_="c", reduce="max"),
            bs.Meter("c", as_="d"),
        ],
    )
    assert told == [
        (
            "'A' and 'B' have one name, 'E_MAX': use `as`; 'A' and 'A' have one name, 'e_mean': use `as`; "
            "'c' is asked for twice, with another `as` or `optional` @ outputs"
        )
    ]


ELECTRICITY = bs.Meter("Electricity:Facility", as_="electricity")
TEMPERATURE = bs.Variable("Zone Mean Air Temperature", as_="temperature")


def only(output, *words):
    return output.model_copy(update={"reduce": words})


def assert_reduced(annual: xr.Dataset, whole: xr.Dataset, name: str, words, frequency="hourly") -> None:
    """Compare reductions with those of the full series, to the last bit."""
    values = whole[name].values
    for word in words:
        array = annual[f"{name}_{word.replace('.', '_')}"]
        flat = values.reshape(-1, values.shape[-1])
        expected = {
            "sum": math.fsum,
            "mean": lambda row: math.fsum(row) / len(row),
            "max": max,
            "min": min,
        }.get(word, lambda row, word=word: np.percentile(row, float(word[1:])))
        expected = np.array([expected(row) for row in flat]).reshape(values.shape[:-1])
        assert array.dims == whole[name].dims[:-1], word
        assert array.values.tobytes() == expected.tobytes(), word
        assert array.attrs["units"] == whole[name].attrs["units"]
        assert array.attrs["long_name"].startswith(f"{whole[name].attrs['long_name']}, ")
        assert array.attrs["long_name"].endswith(f" of {frequency} values")


@pytest.mark.parametrize("run", ["annual", "design_day"])
def test_only_the_reductions_of_a_series_are_in_record_and_cube(tmp_path, run):
    how = {"run": run, "outputs": [ELECTRICITY, TEMPERATURE]}
    run_study(small_study(name="whole", **how), tmp_path, FakeEngine())
    asked = [only(ELECTRICITY, *WORDS), only(TEMPERATURE, *WORDS[1:])]
    plan = bs.plan(small_study(run=run, outputs=asked), store=tmp_path, engine=FakeEngine())
    days = 2 if run == "design_day" else 1
    assert plan.bytes_per_variant == 8 * days * (len(WORDS) + 2 * (len(WORDS) - 1))
    assert len(plan.to_run) == 6, "what is kept is part of the identity"
    bs.run(plan)
    tree = bs.open_results(tmp_path, "small")
    assert list(tree.children) == ["annual"]
    annual, whole = tree["annual"].to_dataset().load(), read(tmp_path, "whole", "hourly")
    assert_reduced(annual, whole, "electricity", WORDS)
    assert_reduced(annual, whole, "temperature", WORDS[1:])
    methods = {word: annual[f"electricity_{word}"].attrs.get("cell_methods") for word in WORDS[:-1]}
    assert methods == {
        "sum": "time: sum", "mean": "time: mean", "max": "time: maximum", "min": "time: minimum",
        "p1": None, "p50": "time: median", "p95": None,
    }  # fmt: skip
    if run == "design_day":
        assert annual.electricity_max.dims == ("variant", "design_day")
        assert "design_day_name" in annual.electricity_max.coords
    again = bs.plan(small_study(run=run, outputs=asked), store=tmp_path, engine=FakeEngine())
    assert again.to_run == ()
    assert bs.run(again, verify=True).verification.bad == {}


def test_results_of_reductions_are_read_drawn_and_exported_like_others(tmp_path):
    study = small_study(outputs=[only(ELECTRICITY, "max", "p95"), only(TEMPERATURE, "mean")], dtype="float32")
    run_study(study, tmp_path / "store", FakeEngine())
    tree = bs.open_results(tmp_path / "store", "small")
    annual = tree["annual"].to_dataset()
    assert annual.electricity_max.dtype == np.float32
    grid = bs.to_grid(annual)
    assert grid.temperature_mean.dims == ("lighting", "north", "zone")
    assert bs.contrast(annual, "north", None, 90).electricity_max.sizes == {"pair": 3}
    pytest.importorskip("matplotlib")
    for name in ("electricity_max", "electricity_p95"):
        plot.main_effects(annual, name)
    (path,) = export.to_csv(tree, tmp_path / "annual.csv", group="annual")
    head, *lines = path.read_text().splitlines()
    assert "electricity_max [J]" in head
    assert "Zone 1:temperature_mean [degC]" in head
    assert len(lines) == 6


def test_a_sum_of_means_is_refused_with_its_line_before_anything_runs(tmp_path):
    engine = FakeEngine()
    outputs = [only(ELECTRICITY, "sum"), only(TEMPERATURE, "sum", "mean")]
    told = problems_of(bs.plan, small_study(outputs=outputs), store=tmp_path, engine=engine)
    assert told == [
        (
            "'Zone Mean Air Temperature' [C] is a mean over each interval: a sum of means depends on how many "
            "intervals there are and means nothing; reduce it to `mean` @ outputs.1"
        )
    ]
    assert engine.starts == 1, "the probe"


# Growth


def grown(tmp_path, before, now):
    run_study(small_study(outputs=before), tmp_path, FakeEngine())
    return bs.plan(small_study(outputs=now), store=tmp_path, engine=FakeEngine())


def test_a_whole_series_stays_beside_its_reductions(tmp_path):
    plan = grown(tmp_path, [ELECTRICITY], [only(ELECTRICITY, "max")])
    (warning,) = plan.warnings
    assert "has 'electricity' whole and keeps that beside its reductions" in warning
    bs.run(plan)
    tree = bs.open_results(tmp_path, "small")
    assert_reduced(tree["annual"].to_dataset(), tree["hourly"].to_dataset(), "electricity", ["max"])
    both = bs.plan(small_study(outputs=[ELECTRICITY, only(ELECTRICITY, "max")]), store=tmp_path, engine=FakeEngine())
    assert (both.to_run, both.warnings) == ((), ())


def test_words_are_added_and_stay(tmp_path, monkeypatch):
    plan = grown(tmp_path, [only(ELECTRICITY, "max")], [only(ELECTRICITY, "mean")])
    assert plan.warnings == ()
    bs.run(plan)
    annual = bs.open_results(tmp_path, "small")["annual"].to_dataset()
    assert set(annual.data_vars) == {"electricity_max", "electricity_mean"}
    assert np.isfinite(annual.electricity_max).all()
    again = small_study(outputs=[only(ELECTRICITY, "max")])
    study_file = tmp_path / "studies" / "small" / "study.json"
    bs.run(bs.plan(again, store=tmp_path, engine=FakeEngine()))
    before = study_file.read_bytes()
    engine = FakeEngine()
    run_study(again, tmp_path, engine)
    assert engine.starts == 0
    assert study_file.read_bytes() == before, "the definition is as it was"


def test_one_output_monthly_and_reduced_hourly_need_no_second_name(tmp_path):
    monthly = bs.Meter("Electricity:Facility", as_="electricity", frequency="monthly")
    run_study(small_study(outputs=[monthly, only(ELECTRICITY, "max")]), tmp_path, FakeEngine())
    tree = bs.open_results(tmp_path, "small")
    assert list(tree["monthly"].data_vars) == ["electricity"]
    assert list(tree["annual"].data_vars) == ["electricity_max"]


def test_another_meaning_of_a_reduced_name_conflicts(tmp_path):
    with pytest.raises(ConflictError, match="electricity_max"):
        grown(tmp_path, [only(ELECTRICITY, "max")], [bs.Meter("Gas", frequency="annual", as_="electricity_max")])


# On the real engine


@pytest.mark.engine
@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", ["run_period", "design_day"])
def test_reductions_are_those_of_the_engines_own_series(tmp_path, run):
    own = small_days(tmp_path / "own.idf")
    settings = {"baseline": str(own), "run": run, "parameters": {}}
    outputs = [
        ELECTRICITY,
        bs.Variable("Zone Mean Air Temperature", frequency="timestep", key="*_ZN*", as_="temperature"),
        bs.Variable("Zone Lights Electricity Energy", frequency="daily", as_="lights"),
        bs.Variable("Fan Electricity Rate", as_="fan"),
    ]
    bs.run(bs.plan(small_study(name="whole", outputs=outputs, **settings), store=tmp_path / "store"))
    kept = [only(one, *WORDS[one.as_ in ("temperature", "fan") :]) for one in outputs]
    bs.run(bs.plan(small_study(outputs=kept, **settings), store=tmp_path / "store"))
    tree = bs.open_results(tmp_path / "store", "small")
    assert list(tree.children) == ["annual"]
    annual = tree["annual"].to_dataset().load()
    for one in outputs:
        whole = read(tmp_path / "store", "whole", one.frequency)
        assert np.ptp(whole[one.as_].values) > 0
        assert_reduced(annual, whole, one.as_, WORDS[one.as_ in ("temperature", "fan") :], one.frequency)
    assert annual.temperature_max.dims[1] == "zone"
    assert {annual.fan_max.dims[1], annual.fan_min.dims[1]} == {"fan_key"}


def small_days(path):
    """Write the small office with two run periods of three days, in winter and in summer."""
    model = read_model(Path(ref_models["small_office"]))
    for obj in model["RunPeriod"].to_list():
        model.removeidfobject(obj)
    for name, month in (("winter", 1), ("summer", 7)):
        days = {"begin_month": month, "begin_day_of_month": 9, "end_month": month, "end_day_of_month": 11}
        model.add("RunPeriod", name, days)
    control = model["SimulationControl"].first()
    control["run_simulation_for_weather_file_run_periods"] = "Yes"
    control["run_simulation_for_sizing_periods"] = "No"
    write_model(model, path)
    return path
