"""Models under weather of another place or year: what the plan tells."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pyenergyplus.dataset import ashrae_models, ref_models, weather_files

import bemsweep as bs
from bemsweep.design_days import DesignDay
from bemsweep.input_files import Input
from bemsweep.inputs import WeatherInput, read_weather
from bemsweep.model_file import read_model
from bemsweep.periods import Calendar, Period
from bemsweep.testing import FakeEngine
from bemsweep.weather_checks import design_day_counts, weather_warnings
from small_studies import small_study
from weather_files import HOURS, leap_hours, of_year, write_epw

YEAR = Calendar((Period("year", dt.date(2017, 1, 1), dt.date(2017, 12, 31)),))
DAY = DesignDay("Winter", ())


def weather(*labels: str, days: tuple[DesignDay, ...] = ()) -> dict[str, WeatherInput]:
    found = {}
    for label in labels:
        path = Path(weather_files[f"usa_{label}"])
        found[label] = WeatherInput(Input(path, "", label), read_weather(path), days)
    return found


def told(*models: str, under: dict[str, WeatherInput]) -> list[str]:
    paths = {**ref_models, **{f"ashrae {name}": path for name, path in ashrae_models.items()}}
    return list(weather_warnings([read_model(Path(paths[model])) for model in models], under, YEAR))


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("small_office", "il_chicago"),
        ("ashrae office_small", "co_denver"),
        ("ashrae office_small", "co_golden"),
    ],
)
def test_the_models_own_city_is_no_foreign_one(model, label):
    assert told(model, under=weather(label)) == []


@pytest.mark.parametrize("label", ["il_uiw", "az_phoenix"])
def test_another_city_is(label):
    days, ground = told("small_office", under=weather(label))
    assert f"weather '{label}' is " in days
    assert days.endswith("so what is autosized has the wrong size; use design_days: epw")
    assert ground.startswith("Site:GroundTemperature:BuildingSurface and Site:WaterMainsTemperature of the model are")


def test_the_warnings_name_cities_and_distances_once():
    under = weather("az_phoenix", "il_chicago", "co_denver", "fl_miami", "nj_newark", "nv_las_vegas")
    days, _ = told("small_office", "medium_office", under=under)
    assert days == (
        "weather 'az_phoenix', 'co_denver', 'fl_miami' and 2 more are 1,139 to 2,442 km from the city of"
        " the model's design days, USA IL-CHICAGO-OHARE: sizing follows these days, so what is autosized has the wrong"
        " size; use design_days: epw"
    )


def test_models_of_two_cities_are_told_apart():
    found = told("small_office", "ashrae office_small", under=weather("il_chicago", "co_denver"))
    assert [text.split(" under weather ")[-1] for text in found if " under weather " in text] == [
        "'co_denver' too: nothing changes them with the weather but a parameter",
        "'il_chicago' too: nothing changes them with the weather but a parameter",
    ]
    assert len(found) == 4


def test_design_days_of_the_weather_leave_ground_and_water_to_tell():
    (ground,) = told("small_office", under=weather("az_phoenix", days=(DAY,)))
    assert ground.startswith("Site:GroundTemperature")


def test_a_header_without_design_conditions_asks_for_a_ddy():
    assert told("small_office", under=weather("co_boulder"))[0].endswith("use design_days: {ddy: FILE}")


def test_what_follows_the_weather_or_is_not_there_is_not_told():
    document = read_model(Path(ref_models["small_office"]))
    document["Site:WaterMainsTemperature"].first()["calculation_method"] = "CorrelationFromWeatherFile"
    for ground in document["Site:GroundTemperature:BuildingSurface"].to_list():
        document.removeidfobject(ground)
    under = weather("az_phoenix", days=(DAY,))
    assert list(weather_warnings([document], under, YEAR)) == []
    for location in document["Site:Location"].to_list():
        document.removeidfobject(location)
    assert list(weather_warnings([document], weather("az_phoenix"), YEAR)) == []


@pytest.mark.parametrize(("year", "weekday", "is_told"), [(2018, "Monday", True), (2023, "Sunday", False)])
def test_other_weekdays_of_an_actual_year_are_told(tmp_path, year, weekday, is_told):
    path = write_epw(tmp_path / "w.epw", of_year(HOURS, year), weekday=weekday)
    under = {"mine": WeatherInput(Input(path, "", "w"), read_weather(path))}
    message = (
        "weather 'mine' is the year 2018, which began on a Monday, and the model's year begins on a Sunday:"
        " schedules follow the model's (RunPeriod, day_of_week_for_start_day)"
    )
    assert list(weather_warnings([], under, YEAR)) == [message] * is_told
    assert list(weather_warnings([], under, Calendar(design_days=2))) == []


def test_a_leap_year_beside_a_model_that_begins_on_another_weekday(tmp_path):
    path = write_epw(tmp_path / "w.epw", of_year(leap_hours(), 2020), weekday="Wednesday", leap="Yes")
    leap = Calendar((Period("year", dt.date(2012, 1, 1), dt.date(2012, 12, 31)),), is_leap=True)
    (found,) = weather_warnings([], {"w": WeatherInput(Input(path, "", "w"), read_weather(path))}, leap)
    assert "2020, which began on a Wednesday, and the model's year begins on a Sunday" in found


def test_counts_of_design_days():
    assert design_day_counts(small_study(), weather("il_chicago", days=(DAY,))) == [0]
    study = small_study(run="design_day")
    assert design_day_counts(study, {}) == [0]
    assert design_day_counts(study, weather("il_chicago", days=(DAY,)) | weather("az_phoenix")) == [0, 1]


# In a plan


@pytest.fixture
def fake(tmp_path):
    return FakeEngine(counter=tmp_path / "starts")


def test_a_plan_tells_them_once_for_all_variants(tmp_path, fake):
    plan = bs.plan(small_study(weather="bundled:usa_az_phoenix"), store=tmp_path / "store", engine=fake)
    assert len(plan.variant_ids) == 6
    assert sum("km from the city" in text for text in plan.warnings) == 1
    assert sum("Site:WaterMainsTemperature" in text for text in plan.warnings) == 1


def test_ids_follow_the_days_that_were_chosen(tmp_path, fake):
    def ids(**settings):
        phoenix = {"phoenix": {"epw": "bundled:usa_az_phoenix", **settings.pop("own", {})}}
        return bs.plan(small_study(weather=phoenix, **settings), store=tmp_path / "store", engine=fake).variant_ids

    assert ids() == ids(design_days="model") == ids(design_days="epw", own={"design_days": "model"})
    assert ids(design_days="epw") == ids(own={"design_days": "epw"})
    assert not set(ids()) & set(ids(design_days="epw"))


def test_an_edit_of_design_days_that_are_replaced_is_refused(tmp_path, fake):
    parameters = {"cold": bs.Field("sizingperiod:designday", "maximum_dry_bulb_temperature", add=[None, -5])}
    bs.plan(small_study(parameters=parameters), store=tmp_path / "store", engine=fake)
    with pytest.raises(bs.BemsweepError, match="is replaced by `design_days` under weather 'chicago': leave one"):
        bs.plan(small_study(parameters=parameters, design_days="epw"), store=tmp_path / "store", engine=fake)


def test_all_weather_must_have_as_many_design_days(tmp_path, fake):
    document = Path(ref_models["small_office"]).read_text()
    begin = document.index("SizingPeriod:DesignDay,")
    third = document[begin : document.index(";", begin) + 1].replace("CHICAGO Ann Htg", "Third")
    (tmp_path / "three.idf").write_text(document + third)
    days = {"a": {"epw": "bundled:usa_il_chicago", "design_days": "epw"}, "b": "bundled:usa_co_denver"}
    plan = bs.plan(small_study(run="design_day", weather=days), store=tmp_path / "store", engine=fake)
    assert plan.layout.calendar.design_days == 2
    study = small_study(name="three", run="design_day", weather=days, baseline=str(tmp_path / "three.idf"))
    with pytest.raises(bs.BemsweepError, match="three has 3 design days under some weather and 2 under other"):
        bs.plan(study, store=tmp_path / "store", engine=fake)
    bs.plan(small_study(name="annual", weather=days, baseline=study.baseline), store=tmp_path / "store", engine=fake)


def test_a_header_without_design_conditions_is_refused_at_its_place(tmp_path, fake):
    study = small_study(weather=["bundled:usa_co_boulder", "bundled:usa_co_denver"], design_days="epw")
    with pytest.raises(bs.BemsweepError, match=r"no DESIGN CONDITIONS .* @ weather\.usa_co_boulder"):
        bs.plan(study, store=tmp_path / "store", engine=fake)
