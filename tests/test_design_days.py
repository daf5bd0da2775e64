"""Design days: made from a header, chosen from a .ddy, put into a model, and what they do to sizing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyenergyplus.dataset import ref_models, weather_files

import bemsweep as bs
from bemsweep.design_days import (
    DESIGN_DAY,
    DesignDay,
    days_of_ddy,
    days_of_header,
    distance_km,
    has_conditions,
    replace_design_days,
)
from bemsweep.inputs import read_weather
from bemsweep.model_file import read_ddy, read_model
from bemsweep.model_text import write_model
from direct_engine import run_energyplus, values
from weather_files import ddy_day

CLEAR, NIGHT = "ASHRAEClearSky, , , , , 1.0", "ASHRAEClearSky, , , , , 0.00"

# Month, dry bulb, range, wet bulb, pressure, wind speed and direction of "Ann Htg 99.6% Condns DB" and "Ann Clg 1%
# Condns DB=>MWB" as published in weather/USA_*_TMY3.ddy of github.com/NREL/EnergyPlus. They are of ASHRAE's handbook
# of 2009, as the bundled EPW files' headers are.
PUBLISHED = {
    "usa_il_chicago": (
        "Chicago Ohare Intl Ap", (1, -20, 0, -20, 98934, 4.9, 270), (7, 31.6, 10.5, 23, 98934, 5.2, 230)
    ),
    "usa_az_phoenix": (
        "Phoenix Sky Harbor Intl Ap", (12, 3.7, 0, 3.7, 97342, 1.7, 100), (7, 42.3, 12, 21, 97342, 4.1, 260)
    ),
    "usa_co_golden": (None, (12, -18.8, 0, -18.8, 81198, 3, 340), (7, 32, 15.2, 15.5, 81198, 4.9, 0)),
    "usa_fl_miami": ("Miami Intl Ap", (1, 8.7, 0, 8.7, 101193, 3.8, 340), (7, 32.6, 6.7, 25.3, 101193, 4.5, 140)),
    "usa_ca_san_francisco": (
        "San Francisco Intl Ap", (1, 3.8, 0, 3.8, 101301, 2.2, 150), (8, 25.7, 8.5, 16.7, 101301, 5.9, 310)
    ),
}  # fmt: skip
HEADER = (
    "1,Climate Design Data 2009 ASHRAE Handbook,,"
    "Heating,1,-20,-16.6,-25.7,0.4,-19.2,-22.1,0.5,-15.7,12.4,-3.5,11.4,-3.2,4.9,270,"
    "Cooling,7,10.5,33.3,23.7,31.6,23,30.1,22.1,25.5,31.2,24.5,29.6,23.5,28.1,5.2,230,23.8,19.2,28.9"
)


def of_bundled(name: str) -> tuple[DesignDay, DesignDay]:
    facts = read_weather(Path(weather_files[name]))
    return days_of_header(facts.design_conditions, facts.city, facts.elevation_m)


@pytest.fixture
def ddy(tmp_path):
    def write(*days: str, name: str = "city.ddy", before: str = "") -> Path:
        path = tmp_path / name
        path.write_text(before + "".join(days), encoding="latin-1")
        return path

    return write


def published_days(city: str = "usa_il_chicago") -> list[str]:
    name, winter, summer = PUBLISHED[city]
    return [
        ddy_day(f"{name} Ann Htg 99.6% Condns DB", winter, solar=NIGHT, kind="WinterDesignDay"),
        ddy_day(f"{name} Ann Htg 99% Condns DB", (1, -16.6, *winter[2:]), solar=NIGHT, kind="WinterDesignDay"),
        ddy_day(f"{name} Ann Hum_n 99.6% Condns DP=>MCDB", winter, solar=NIGHT, kind="WinterDesignDay"),
        ddy_day(f"{name} Ann Htg Wind 99.6% Condns WS=>MCDB", winter, solar=NIGHT, kind="WinterDesignDay"),
        ddy_day(f"{name} Ann Clg .4% Condns DB=>MWB", (7, 33.3, *summer[2:]), solar=CLEAR, kind="SummerDesignDay"),
        ddy_day(f"{name} Ann Clg 1% Condns DB=>MWB", summer, solar=CLEAR, kind="SummerDesignDay"),
        ddy_day(f"{name} Ann Clg 2% Condns DB=>MWB", (7, 30.1, *summer[2:]), solar=CLEAR, kind="SummerDesignDay"),
        ddy_day(f"{name} Ann Clg 1% Condns WB=>MDB", summer, solar=CLEAR, kind="SummerDesignDay"),
        ddy_day(f"{name} July 1% Condns DB=>MCWB", summer, solar=CLEAR, kind="SummerDesignDay"),
    ]


# The EPW's header


@pytest.mark.parametrize("city", list(PUBLISHED))
def test_a_header_gives_what_the_published_ddy_has(city):
    name, *numbers = PUBLISHED[city]
    for day, published, kind in zip(of_bundled(city), numbers, ("Winter", "Summer"), strict=True):
        fields = dict(day.fields)
        wanted = (
            "month", "maximum_dry_bulb_temperature", "daily_dry_bulb_temperature_range",
            "wetbulb_or_dewpoint_at_maximum_dry_bulb", "barometric_pressure", "wind_speed", "wind_direction",
        )  # fmt: skip
        assert tuple(fields.pop(field) for field in wanted) == published
        # The published cooling days have the optical depths of the sky, which no header tells.
        assert fields == {
            "day_of_month": 21,
            "day_type": f"{kind}DesignDay",
            "dry_bulb_temperature_range_modifier_type": "DefaultMultipliers",
            "humidity_condition_type": "WetBulb",
            "rain_indicator": "No",
            "snow_indicator": "No",
            "daylight_saving_time_indicator": "No",
            "solar_model_indicator": "ASHRAEClearSky",
            "sky_clearness": 0.0 if kind == "Winter" else 1.0,
        }
    if name is not None:  # published with a cut name
        assert [day.name for day in of_bundled(city)] == [
            f"{name} Ann Htg 99.6% Condns DB", f"{name} Ann Clg 1% Condns DB=>MWB"
        ]  # fmt: skip


def test_all_bundled_headers_but_one_tell_design_days():
    facts = {name: read_weather(Path(path)) for name, path in weather_files.items()}
    silent = [name for name, fact in facts.items() if not has_conditions(fact.design_conditions)]
    assert silent == ["usa_co_boulder"]
    with pytest.raises(ValueError, match=r"no DESIGN CONDITIONS .* name a \.ddy"):
        of_bundled("usa_co_boulder")


def test_later_editions_of_the_handbook_have_a_number_more():
    later = HEADER.replace("4.9,270,", "4.9,270,0.487,")
    assert days_of_header(later, "City", 201.0) == days_of_header(HEADER, "City", 201.0)


@pytest.mark.parametrize(
    "conditions",
    [
        "1,Handbook,,Cooling,7,10.5",
        HEADER.replace("Cooling", "Warming"),
        HEADER.replace("31.6", "hot"),
        HEADER.replace("-20,", "nan,"),
        HEADER[: HEADER.index("23.5,28.1")],
        "1,Heating 99.6% Condns DB,-5.0,-999.9,-999.9,101325",
    ],
)
def test_a_header_of_another_form_is_refused(conditions):
    with pytest.raises(ValueError, match=r"have no (Heating|Cooling) part .* name a \.ddy"):
        days_of_header(conditions, "City", 0.0)


def test_a_city_cannot_break_the_model():
    assert days_of_header(HEADER, "A;B!\n", 0.0)[0].name == "A B Ann Htg 99.6% Condns DB"
    assert days_of_header(HEADER, "", 0.0)[0].name == "EPW Ann Htg 99.6% Condns DB"


# The .ddy


@pytest.mark.parametrize(("heating", "cold"), [(99.6, -20.0), (99.0, -16.6)])
@pytest.mark.parametrize(("cooling", "hot"), [(0.4, 33.3), (1.0, 31.6), (2.0, 30.1)])
def test_the_days_asked_for_are_taken(ddy, heating, cold, cooling, hot):
    days = days_of_ddy(read_ddy(ddy(*published_days())), heating, cooling)
    assert [dict(day.fields)["maximum_dry_bulb_temperature"] for day in days] == [cold, hot]


def test_content_counts_and_not_how_it_is_written(ddy):
    plain = days_of_ddy(read_ddy(ddy(*published_days())), 99.6, 1.0)
    other = [day.replace("Wetbulb", "WETBULB").replace("98934", "9.89340e4") for day in reversed(published_days())]
    other = [day.replace("\n ", " ! \xb0C\n\n  ").replace("DesignDay,", "designday,") for day in other]
    assert days_of_ddy(read_ddy(ddy(*other, before="! \xb0\nVersion, 25.2;\n")), 99.6, 1.0) == plain
    assert plain == of_bundled("usa_il_chicago"), "a .ddy with these numbers means the same as the header"


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ([], "is empty|holds no object|is no IDF"),
        (published_days()[1:], r"no design day 'Ann Htg 99.6% Condns DB'; it has 'Chicago .* and others"),
        (published_days()[:5], r"no design day 'Ann Clg 1% Condns DB=>MWB'"),
        (published_days() + published_days("usa_fl_miami")[:1], "has 2 design days 'Ann Htg"),
        ([day.replace("23,", "N,", 1) for day in published_days()], "has 'N' for wetbulb"),
        ([day.replace(" 31.6,", " ,") for day in published_days()], "has no maximum_dry_bulb_temperature"),
        (
            [day.replace("DefaultMultipliers, ,", "MultiplierSchedule, Hot,") for day in published_days()],
            "the schedule",
        ),
    ],
)
def test_a_ddy_without_whole_days_is_refused(ddy, days, message):
    with pytest.raises((ValueError, bs.BemsweepError), match=message):
        days_of_ddy(read_ddy(ddy(*days)), 99.6, 1.0)


def test_a_ddy_for_an_old_energyplus_is_refused(ddy):
    rest = "-20.6, 0.0, -20.6, 99063., 4.9, 270, 0.00, 0, 0, 21, 1"
    winter = f"SizingPeriod:DesignDay, Ann Htg 99.6% Condns DB, {rest}, WinterDesignDay, 0, Wet-Bulb;"
    summer = f"SizingPeriod:DesignDay, Ann Clg 1% Condns DB=>MWB, {rest}, SummerDesignDay, 0, Wet-Bulb;"
    with pytest.raises(ValueError, match=r"has -20.6 for month: .* EnergyPlus before 8\.0"):
        days_of_ddy(read_ddy(ddy(winter, summer)), 99.6, 1.0)


# In a model


def test_chosen_days_replace_all_that_a_model_is_sized_by():
    document = read_model(Path(ref_models["small_office"]))
    document.add("SizingPeriod:WeatherFileDays", "Week", {"begin_month": 1, "begin_day_of_month": 1}, validate=False)
    document.add("SizingPeriod:WeatherFileConditionType", "Extreme", {}, validate=False)
    replace_design_days(document, of_bundled("usa_az_phoenix"))
    assert [day.name for day in document[DESIGN_DAY]] == [day.name for day in of_bundled("usa_az_phoenix")]
    assert not document["SizingPeriod:WeatherFileDays"]
    assert not document["SizingPeriod:WeatherFileConditionType"]


def test_distances():
    assert distance_km((41.98, -87.92), (41.98, -87.92)) == 0
    assert distance_km((0.0, 179.0), (0.0, -179.0)) == pytest.approx(222.4, abs=0.1)
    assert distance_km((90.0, 0.0), (-90.0, 0.0)) == pytest.approx(20015, abs=1)


# What they do


def sized_by(way: str, store: Path, **settings) -> dict[str, float]:
    """Return the fan's power and a variant's id of the small office in Phoenix's first days of July."""
    model = store / "july.idf"
    store.mkdir(exist_ok=True)
    if not model.exists():
        document = read_model(Path(ref_models["small_office"]))
        document["SimulationControl"].first()["run_simulation_for_weather_file_run_periods"] = "Yes"
        period = document["RunPeriod"].first()
        period["begin_month"], period["end_month"], period["end_day_of_month"] = 7, 7, 2
        write_model(document, model)
    study = bs.Study(
        name=f"by-{way}",
        baseline=str(model),
        weather={"phoenix": {"epw": "bundled:usa_az_phoenix", "design_days": settings.pop("own", None)}},
        design_days=way,
        run="run_period",
        outputs=[bs.Variable("Fan Electricity Rate", as_="fan"), bs.Meter("Cooling:Electricity", as_="cooling")],
    )
    run = bs.run(bs.plan(study, store=store))
    ds = bs.open_results(run.plan.store, study.name)["hourly"].to_dataset().load()
    return {"fan": float(ds.fan.max("time").sum()), "id": str(ds.variant_id.item()), "status": str(ds.status.item())}


@pytest.mark.engine
def test_phoenix_needs_more_than_chicagos_days_give(tmp_path):
    by_model, by_header = (sized_by(way, tmp_path / "store") for way in ("model", "epw"))
    assert {by_model["status"], by_header["status"]} == {"succeeded"}
    assert 1.10 < by_header["fan"] / by_model["fan"] < 1.40
    own = sized_by("epw", tmp_path / "store", own="model")
    assert own == by_model, "what a weather file says wins, and `model` is what a study without design days has"


@pytest.mark.engine
def test_a_design_day_run_is_that_of_the_model_with_these_days(tmp_path):
    study = bs.Study(
        name="days",
        baseline="bundled:ref/small_office",
        weather="bundled:usa_az_phoenix",
        design_days="epw",
        run="design_day",
        outputs=[bs.Meter("Electricity:Facility", as_="electricity")],
    )
    plan = bs.plan(study, store=tmp_path / "store")
    bs.run(plan)
    ds = bs.open_results(plan.store, "days")["hourly"].to_dataset().load()
    assert ds.design_day_name.values.tolist() == [[day.name for day in of_bundled("usa_az_phoenix")]]
    assert ds.design_day_date.values.tolist() == [["12-21", "07-21"]]

    document = read_model(Path(ref_models["small_office"]))
    for day in document[DESIGN_DAY].to_list():
        document.removeidfobject(day)
    text = "".join(published_days("usa_az_phoenix")[i] for i in (0, 5))
    location = document["Site:Location"].first()  # the weather file's counts anyway
    location["latitude"], location["longitude"], location["elevation"] = 33.45, -111.98, 337.0
    control = document["SimulationControl"].first()
    control["run_simulation_for_sizing_periods"], control["run_simulation_for_weather_file_run_periods"] = "Yes", "No"
    model = tmp_path / "own.idf"
    write_model(document, model)
    model.write_text(model.read_text() + text + "Output:Meter, Electricity:Facility, Hourly;\n")
    folder = tmp_path / "direct"
    assert run_energyplus(model, folder, weather=Path(weather_files["usa_az_phoenix"])).startswith(
        "EnergyPlus Completed"
    )
    direct = [value for key, value in values(folder).items() if key[0] == "Electricity:Facility" and key[2] == "Hourly"]
    assert ds.electricity.values.ravel().tolist() == direct


@pytest.mark.engine
def test_a_model_without_design_days_can_take_the_weathers(tmp_path):
    document = read_model(Path(ref_models["small_office"]))
    for day in document[DESIGN_DAY].to_list():
        document.removeidfobject(day)
    write_model(document, tmp_path / "dayless.idf")
    settings = {
        "name": "dayless",
        "baseline": str(tmp_path / "dayless.idf"),
        "weather": "bundled:usa_il_chicago",
        "outputs": [bs.Meter("Electricity:Facility")],
    }
    assert bs.plan(bs.Study(**settings, design_days="epw"), store=tmp_path / "store").to_run
    with pytest.raises(bs.BemsweepError, match="does not run as it stands"):  # asked anew, though the other was kept
        bs.plan(bs.Study(**settings), store=tmp_path / "store")
