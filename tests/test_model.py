from __future__ import annotations

import datetime as dt
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idfkit import new_document
from idfkit.schema import get_schema
from pyenergyplus.dataset import ashrae_models, ref_models

from bemsweep.errors import ModelError
from bemsweep.model import (
    external_files,
    model_calendar,
    model_problems,
    prepare_run,
    read_model,
    version_problem,
    write_model,
)
from bemsweep.outputs import Output
from direct_engine import query, run_energyplus, values

SCHEMA = get_schema((25, 2, 0))
SMALL_OFFICE = Path(ref_models["small_office"])
ASHRAE_OFFICE = Path(ashrae_models["office_small"])
BUNDLED = [Path(path) for path in (*ref_models.values(), *ashrae_models.values())]
ENGINE = "EnergyPlus, Version 25.2.0-cf7368216c (No OpenGL)"
TEMPERATURE = Output("variable", "Zone Mean Air Temperature", "hourly", "temperature")
ELECTRICITY = Output("meter", "Electricity:Facility", "annual", "electricity")


@pytest.fixture
def office():
    return read_model(SMALL_OFFICE)


def calendar(document, run, *, is_leap=False, has_timestep=False):
    return model_calendar(document, run, is_leap=is_leap, has_timestep=has_timestep)


def empty_model():
    document = new_document((25, 2, 0))
    for name in document.keys():  # noqa: SIM118 - a document is no mapping
        for obj in document[name].to_list():
            document.removeidfobject(obj)
    return document


def with_periods(*periods: dict):
    document = empty_model()
    for number, fields in enumerate(periods):
        months = {"begin_month": 1, "begin_day_of_month": 1, "end_month": 1, "end_day_of_month": 2}
        document.add("RunPeriod", f"period {number}", months | fields, validate=False)
    return document


def test_the_right_version_is_no_problem(office):
    assert version_problem(office, [ENGINE]) is None
    assert version_problem(SMALL_OFFICE, ["EnergyPlus, Version 24.1.0", ENGINE]) is None


INSTALL = "install EnergyPlus {0} and name its folder with `engine:` in the study file or in ENERGYPLUS_DIR"
WHEEL = (
    "get the engine of that version from PyPI, `pip install --target FOLDER 'pyenergyplus-lbnl=={0}.*'` "
    "and name FOLDER with `engine:`; or "
)
CONVERT = (
    "; or bring the model to 25.2 with IDFVersionUpdater or idfkit.migrate, which need an installed EnergyPlus 25.2"
)


@pytest.mark.parametrize(
    ("version", "ways"),
    [
        ("8.9", INSTALL + CONVERT),
        ("9.6", INSTALL + CONVERT),
        ("22.1", INSTALL + CONVERT),
        ("23.1", INSTALL + CONVERT),
        ("23.2", WHEEL + INSTALL + CONVERT),
        ("24.1", INSTALL + CONVERT),
        ("25.1", WHEEL + INSTALL + CONVERT),
        ("26.1", INSTALL),
    ],
)
def test_another_version_says_what_to_get(tmp_path, version, ways):
    path = tmp_path / "model.idf"
    path.write_text(f"Version,{version};\n")
    told = f"the model is of EnergyPlus {version}, but the engine at hand is {ENGINE}: {ways.format(version)}"
    assert version_problem(path, [ENGINE]) == told
    assert version_problem(new_document((*map(int, version.split(".")), 0)), [ENGINE]) == told


def test_a_version_that_idfkit_does_not_know_is_for_energyplus_to_convert(tmp_path):
    path = tmp_path / "model.idf"
    path.write_text("Version,8.5;\n")
    told = version_problem(path, [ENGINE])
    assert "bring the model to 25.2 with IDFVersionUpdater, which need" in told
    assert "idfkit" not in told


def test_no_engine_at_hand_says_what_to_get():
    told = version_problem(new_document((9, 6, 0)), [])
    assert told == "the model is of EnergyPlus 9.6, but there is no engine at hand: " + INSTALL.format("9.6")


def test_a_model_newer_than_the_engine_is_not_to_be_converted(office):
    assert "bring the model" not in version_problem(office, ["EnergyPlus, Version 24.1.0-9d7789a3ac"])


def test_the_bundled_models_can_run():
    for path in BUNDLED:
        document = read_model(path)
        assert model_problems(document, can_expand=False) == []
        assert external_files(document) == ()


@pytest.mark.parametrize(
    ("object_type", "advice"),
    [
        ("PythonPlugin:Instance", "EnergyManagementSystem"),
        ("ExternalInterface:FunctionalMockupUnitImport", "FMUs"),
        ("Parametric:RunControl", "parameters of the study"),
        ("GroundHeatTransfer:Slab:Materials", "Slab or Basement"),
        ("HVACTemplate:Zone:IdealLoadsAirSystem", "ExpandObjects"),
    ],
)
def test_what_cannot_run_says_what_to_do(object_type, advice):
    document = new_document((25, 2, 0))
    document.add(object_type, "x" if SCHEMA.has_name(object_type) else "", validate=False)
    (problem,) = model_problems(document, can_expand=False)
    assert object_type in problem
    assert advice in problem
    assert len(model_problems(document, can_expand=True)) == (not object_type.startswith("HVACTemplate"))


def test_every_file_that_the_schema_knows_is_found():
    fields = {
        (object_type, field)
        for object_type in SCHEMA.object_types
        for field in SCHEMA.get_all_field_names(object_type)
        if re.search(r"(^|_)file_name$", field) and not object_type.startswith("ExternalInterface")
    }
    document = new_document((25, 2, 0))
    for object_type, field in fields:
        fields_set = {field: f"{object_type}.csv"}
        document.add(object_type, "x" if SCHEMA.has_name(object_type) else "", fields_set, validate=False)
    assert set(external_files(document)) == {f"{object_type}.csv" for object_type, _ in fields}
    assert len(fields) == 7


def test_files_are_named_as_they_lie_beside_the_model(office):
    for name in ("a", "b"):
        office.add("Schedule:File", name, {"file_name": "../hours.csv"}, validate=False)
    office.add("Construction:WindowDataFile", "w", validate=False)
    assert external_files(office) == ("../hours.csv", "Window5DataFile.dat")
    prepare_run(office, "annual", [], files={"../hours.csv": "file-1.csv", "Window5DataFile.dat": "file-2.dat"})
    assert external_files(office) == ("file-1.csv", "file-2.dat")
    with pytest.raises(ModelError, match="its suffix holds a comma"):
        prepare_run(office, "annual", [], files={"file-1.csv": "file-1.a,b"})


def test_a_year_is_one_period_in_step_with_the_models_weekday(office):
    found = calendar(office, "annual", has_timestep=True)
    assert found.shape("hourly") == (8760,)
    assert found.steps_per_hour == 6
    (period,) = calendar(with_periods({"day_of_week_for_start_day": "Monday"}), "annual").periods
    assert (period.begin, period.end) == (dt.date(2007, 1, 1), dt.date(2007, 12, 31))


def test_a_year_of_its_own_decides_the_weekday():
    document = with_periods({"begin_year": 2013.0, "day_of_week_for_start_day": "Friday", "end_year": 2013.0})
    (period,) = calendar(document, "annual").periods
    assert period.begin == dt.date(2013, 1, 1)
    prepare_run(document, "annual", [])
    assert document["RunPeriod"][0].data["day_of_week_for_start_day"] == "Tuesday"
    assert document["RunPeriod"][0].data.get("begin_year") is None


@pytest.mark.parametrize(("weekday", "year"), [("", 2012), ("Sunday", 2012), ("friday", 2016), ("Tuesday", 2008)])
def test_a_leap_year_begins_on_the_models_weekday(weekday, year):
    document = with_periods({"day_of_week_for_start_day": weekday, "begin_year": ""})
    leap = calendar(document, "annual", is_leap=True)
    assert leap.shape("daily") == (366,)
    assert leap.periods[0].begin == dt.date(year, 1, 1)
    prepare_run(document, "annual", [], is_leap=True)
    assert document["RunPeriod"][0].data["begin_year"] == year
    assert document["RunPeriod"][0].data["day_of_week_for_start_day"] == weekday


def test_a_probe_under_leap_weather_needs_no_year():
    document = with_periods({"begin_year": 2011.0})
    prepare_run(document, None, [], is_leap=True)
    assert document["RunPeriod"][0].data.get("begin_year") is None


def test_chosen_design_days_count_instead_of_the_models():
    document = empty_model()
    with pytest.raises(ModelError, match="design_days: epw"):
        model_calendar(document, "design_day", is_leap=False, has_timestep=False)
    document.add("SizingPeriod:WeatherFileDays", "Week", {}, validate=False)
    assert model_calendar(document, "design_day", is_leap=False, has_timestep=False, design_days=2).design_days == 2
    assert model_calendar(document, "annual", is_leap=False, has_timestep=False, design_days=2).design_days == 0


def test_a_model_without_a_run_period_can_run_a_year():
    assert calendar(empty_model(), "annual").shape("hourly") == (8760,)
    with pytest.raises(ModelError, match="no RunPeriod"):
        calendar(empty_model(), "run_period")


def test_design_days_are_counted(office):
    assert calendar(office, "design_day").shape("hourly") == (2, 24)
    with pytest.raises(ModelError, match="no SizingPeriod:DesignDay"):
        calendar(empty_model(), "design_day")
    office.add("SizingPeriod:WeatherFileDays", "week", validate=False)
    with pytest.raises(ModelError, match="SizingPeriod:WeatherFileDays"):
        calendar(office, "design_day")


def test_run_periods_come_in_the_order_of_the_file():
    found = calendar(read_model(ASHRAE_OFFICE), "run_period")
    assert [(period.begin.month, period.end.day) for period in found.periods] == [(1, 31), (4, 30), (7, 31)]
    assert found.shape("hourly") == (2208,)


@pytest.mark.parametrize(
    ("fields", "begin", "end"),
    [
        ({}, dt.date(2017, 1, 1), dt.date(2017, 1, 2)),
        ({"begin_month": 12, "begin_day_of_month": 30}, dt.date(2017, 12, 30), dt.date(2018, 1, 2)),
        ({"begin_month": 12, "begin_year": 2011.0}, dt.date(2011, 12, 1), dt.date(2012, 1, 2)),
        ({"begin_year": 2011.0, "end_year": 2013.0}, dt.date(2011, 1, 1), dt.date(2013, 1, 2)),
        ({"begin_year": 2012.0, "begin_month": 2, "begin_day_of_month": 29, "end_month": 3}, dt.date(2012, 2, 29),
         dt.date(2012, 3, 2)),
    ],
)  # fmt: skip
def test_the_days_of_a_run_period(fields, begin, end):
    (period,) = calendar(with_periods(fields), "run_period").periods
    assert (period.begin, period.end) == (begin, end)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"end_month": 2, "end_day_of_month": 29}, "on 29 February: give it a begin year"),
        ({"end_year": 2013}, "give it a begin year"),
        ({"end_month": 2, "end_day_of_month": 30}, "no valid begin and end: day is out of range"),
        ({"begin_month": ""}, "no valid begin and end"),
        ({"begin_year": 2013, "end_year": 2012}, "ends on 2012-01-02, before it begins"),
    ],
)
def test_a_run_period_that_is_none_is_told(fields, message):
    with pytest.raises(ModelError, match=message):
        calendar(with_periods(fields), "run_period")


def test_run_periods_that_overlap_are_refused():
    with pytest.raises(ModelError, match="'period 0' and 'period 1' both have 02 January"):
        calendar(with_periods({}, {"begin_day_of_month": 2}), "run_period")
    with pytest.raises(ModelError, match="both have 01 January"):
        calendar(with_periods({"begin_year": 2013}, {}), "run_period")
    assert len(calendar(with_periods({"begin_year": 2013}, {"begin_year": 2014}), "run_period").periods) == 2


def test_a_model_without_weather_runs_says_what_to_do(office):
    with pytest.raises(ModelError, match="use run: annual"):
        calendar(office, "run_period")


@pytest.mark.parametrize(
    ("value", "steps"), [(None, 4), ("", 6), (6, 6), (7, 6), (8, 10), (45, 60), (60, 60), (1, 1), (25, 30)]
)
def test_steps_per_hour_are_those_of_the_engine(value, steps):
    document = with_periods({})
    if value is not None:
        document.add("Timestep", fields={"number_of_timesteps_per_hour": value}, validate=False)
    assert calendar(document, "run_period", has_timestep=True).steps_per_hour == steps
    assert calendar(document, "run_period").steps_per_hour is None


@given(st.text(st.characters(codec="ascii", exclude_characters=",;!\n\r"), min_size=1, max_size=12))
def test_an_exact_key_is_a_regular_expression_that_means_itself(key):
    document = empty_model()
    prepare_run(document, "annual", [Output("variable", "Zone Mean Air Temperature", "hourly", "t", key=key)])
    written = document["Output:Variable"][0].data["key_value"]
    if "*" in key or "?" in key:
        return
    assert re.fullmatch(written, key) if written != key else not set(key) & set(r"\.+()|[]{}^$")


def test_outputs_replace_the_models_own(office):
    diagnostics = office.add("Output:Diagnostics", fields={"diagnostics": [{"key": "DisplayExtraWarnings"}]})
    custom = office.add("Meter:Custom", "mine", {"resource_type": "Electricity"}, validate=False)
    prepare_run(office, "annual", [TEMPERATURE, ELECTRICITY, TEMPERATURE])
    (variable,) = office["Output:Variable"]
    assert variable.data == {
        "key_value": "*",
        "variable_name": "Zone Mean Air Temperature",
        "reporting_frequency": "Hourly",
    }
    (meter,) = office["Output:Meter"]
    assert meter.data == {"key_name": "Electricity:Facility", "reporting_frequency": "RunPeriod"}
    present = {name for name in office.keys() if name.startswith(("Output", "Meter"))}  # noqa: SIM118
    assert present == {
        "Meter:Custom",
        "Output:Diagnostics",
        "Output:EnvironmentalImpactFactors",
        "Output:Meter",
        "Output:SQLite",
        "Output:Variable",
        "OutputControl:Files",
        "OutputControl:ReportingTolerances",
        "OutputControl:Table:Style",
    }
    assert office["OutputControl:Table:Style"][0].data["unit_conversion"] == "None"
    assert diagnostics in office["Output:Diagnostics"]
    assert custom in office["Meter:Custom"]
    switches = office["OutputControl:Files"][0].data
    assert {name for name, value in switches.items() if value == "Yes"} == {"output_sqlite", "output_end"}
    assert set(switches) == set(SCHEMA.get_all_field_names("OutputControl:Files"))


def test_the_models_own_outputs_can_be_kept(office):
    before = len(office["Output:Variable"])
    office.add("OutputControl:Files", fields={"output_sqlite": "No", "output_csv": "Yes"})
    prepare_run(office, "annual", [TEMPERATURE], keep_model_outputs=True)
    assert len(office["Output:Variable"]) == before + 1
    assert len(office["Output:SQLite"]) == 1
    assert office["Output:Table:SummaryReports"]
    switches = office["OutputControl:Files"][0].data
    assert (switches["output_sqlite"], switches["output_csv"]) == ("Yes", "Yes")


def test_a_year_replaces_the_run_periods_and_keeps_their_settings():
    document = read_model(ASHRAE_OFFICE)
    document["RunPeriod"][0].use_weather_file_rain_indicators = "No"
    document["RunPeriod"][0].treat_weather_as_actual = "Yes"
    prepare_run(document, "annual", [])
    (period,) = document["RunPeriod"]
    assert period.name == "RUNPERIOD 1"
    assert [period.data[field] for field in ("begin_month", "begin_day_of_month", "end_month", "end_day_of_month")] == [
        1, 1, 12, 31,
    ]  # fmt: skip
    assert period.data["use_weather_file_rain_indicators"] == "No"
    assert period.data.get("treat_weather_as_actual") is None


@pytest.mark.parametrize(
    ("run", "weather", "sizing"),
    [("annual", "Yes", "No"), ("design_day", "No", "Yes"), ("run_period", "NO", "YES"), (None, "Yes", "No")],
)
def test_what_is_simulated(office, run, weather, sizing):
    prepare_run(office, run, [])
    control = office["SimulationControl"][0].data
    assert control["run_simulation_for_weather_file_run_periods"] == weather
    assert control["run_simulation_for_sizing_periods"] == sizing
    assert control["do_zone_sizing_calculation"] == "YES"


@pytest.mark.matrix
def test_every_bundled_model_can_be_prepared_for_a_year(tmp_path):
    prepare_for_a_year(BUNDLED, tmp_path)


def test_some_bundled_models_can_be_prepared_for_a_year(tmp_path):
    """Others each time, by the seed that pytest-randomly prints."""
    prepare_for_a_year(random.sample(BUNDLED, 6), tmp_path)


def prepare_for_a_year(paths, folder):
    for path in paths:
        document = read_model(path)
        prepare_run(document, "annual", [TEMPERATURE, ELECTRICITY])
        write_model(document, folder / "in.idf")
        assert calendar(read_model(folder / "in.idf"), "run_period").shape("hourly") == (8760,)


ASKED = [
    TEMPERATURE,
    ELECTRICITY,
    Output("variable", "Zone Mean Air Temperature", "timestep", "t", key="*_zn_?"),
    Output("variable", "System Node Temperature", "daily", "n"),
    Output("variable", "Surface Inside Face Temperature", "monthly", "s"),
]


@pytest.mark.engine
def test_a_prepared_run_gives_the_values_of_the_untouched_model(tmp_path):
    document = read_model(SMALL_OFFICE)
    prepare_run(document, "design_day", ASKED)
    write_model(document, tmp_path / "ours.idf")
    added = "".join(
        f"Output:{'Variable' if obj.obj_type == 'Output:Variable' else 'Meter'},{','.join(obj.data.values())};\n"
        for name in ("Output:Variable", "Output:Meter")
        for obj in document[name]
    )
    (tmp_path / "theirs.idf").write_text(SMALL_OFFICE.read_text("latin-1") + added, "latin-1")
    assert "Completed" in run_energyplus(tmp_path / "ours.idf", tmp_path / "ours")
    assert "Completed" in run_energyplus(tmp_path / "theirs.idf", tmp_path / "theirs", "-D")
    ours, theirs = values(tmp_path / "ours"), values(tmp_path / "theirs")
    assert {key[:3] for key in ours} >= {("Zone Mean Air Temperature", "CORE_ZN", "Hourly")}
    assert len({key[1] for key in ours if key[2] == "Zone Timestep"}) == 4
    environmental = {key for key in ours if key[1] is None and key[0] != "Electricity:Facility"}
    ours = {key: value for key, value in ours.items() if key not in environmental}
    assert ours == {key: theirs[key] for key in ours}
    files = {path.name for path in (tmp_path / "ours").iterdir()}
    assert files == {"eplusout.end", "eplusout.err", "eplusout.sql", "sqlite.err"}


@pytest.mark.engine
def test_a_probe_lists_what_can_be_asked_for(tmp_path):
    document = read_model(ASHRAE_OFFICE)
    prepare_run(document, None, [TEMPERATURE])
    write_model(document, tmp_path / "in.idf")
    assert "Completed" in run_energyplus(tmp_path / "in.idf", tmp_path)
    assert "Zone Mean Air Temperature" in (tmp_path / "eplusout.rdd").read_text()
    assert "Electricity:Facility" in (tmp_path / "eplusout.mdd").read_text()
    assert query(tmp_path, "SELECT count(*) FROM ReportData") == [(24 * len(document["Zone"]),)]


@pytest.mark.engine
def test_run_periods_and_hostile_keys_in_the_engine(tmp_path):
    document = read_model(SMALL_OFFICE)
    document.rename("Zone", "Core_ZN", "Zone (1)")
    document.rename("Zone", "Attic", "Zone [a-b] $2")
    document["SimulationControl"][0].run_simulation_for_weather_file_run_periods = "Yes"
    document["SimulationControl"][0].run_simulation_for_sizing_periods = "No"
    document.removeidfobject(document["RunPeriod"][0])
    for name, month, day, weekday in (("z", 7, 1, "Monday"), ("a", 12, 31, ""), ("m", 4, 1, "Sunday")):
        dates = {"begin_month": month, "begin_day_of_month": day, "end_month": month % 12 + 1, "end_day_of_month": 1}
        document.add("RunPeriod", name, dates | {"day_of_week_for_start_day": weekday}, validate=False)
    keys = ("zone (1)", "Zone [a-b] $2", "*_1")
    name = "Zone Mean Air Temperature"
    prepare_run(document, "run_period", [Output("variable", name, "daily", key, key=key) for key in keys])
    write_model(document, tmp_path / "in.idf")
    assert "Completed" in run_energyplus(tmp_path / "in.idf", tmp_path)
    reported = {key for (key,) in query(tmp_path, "SELECT KeyValue FROM ReportDataDictionary WHERE IsMeter = 0")}
    assert reported == {"ZONE (1)", "ZONE [A-B] $2", "PERIMETER_ZN_1"}
    days = query(tmp_path, "SELECT DISTINCT Year, Month, Day FROM Time WHERE Interval = 1440 ORDER BY TimeIndex")
    expected = [
        (day.year, day.month, day.day)
        for period in calendar(document, "run_period").periods
        for day in (period.begin + dt.timedelta(n) for n in range((period.end - period.begin).days + 1))
    ]
    assert days == expected
