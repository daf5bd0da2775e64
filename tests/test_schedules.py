from __future__ import annotations

import copy
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idfkit import new_document
from pyenergyplus.dataset import ashrae_models, ref_models

from bemsweep.errors import ModelError
from bemsweep.model_file import read_model
from bemsweep.model_text import write_model
from bemsweep.schedule_values import ScheduleValues
from bemsweep.schedules import (
    change_schedule,
    find_schedule,
    replace_schedule,
    replace_schedule_by_file,
    schedule_problems,
    schedule_users,
)
from short_runs import is_fatal, run, series, short_model

SMALL_OFFICE = ref_models["small_office"]
WAREHOUSE = ashrae_models["warehouse"]
SCHEDULE_VALUE = ("Schedule Value", "Timestep")
YEAR = {"start_month": 1, "start_day": 1, "end_month": 12, "end_day": 31}
BUNDLED = [Path(path) for path in (*ref_models.values(), *ashrae_models.values())]


@pytest.fixture
def office():
    return read_model(Path(SMALL_OFFICE))


@pytest.fixture
def document():
    return new_document((25, 2, 0))


def compact(document, *fields, name="s", limits=""):
    groups = [{"field": field} for field in fields]
    data = {"schedule_type_limits_name": limits, "data": groups}
    return document.add("Schedule:Compact", name, data, validate=False)


def fields_of(schedule):
    return [group["field"] for group in schedule.extensible_items()]


def problems(document, name, operation, *values):
    return schedule_problems(document, name, operation=operation, values=values)


def years(document):
    """Three years: two share their weeks, and the third week's day is also a design day's."""
    for name, value in (("work", 0.5), ("rest", 0.25), ("moist", 0.75)):
        document.add("Schedule:Day:Hourly", name, {f"hour_{hour}": value for hour in range(1, 25)})
    names = {f"{day}day_schedule_day_name": "work" for day in ("mon", "tues", "wednes", "thurs", "fri")}
    names |= {f"{day}_schedule_day_name": "rest" for day in ("sunday", "saturday", "holiday")}
    names |= {f"{day}_schedule_day_name": "rest" for day in ("summerdesignday", "winterdesignday")}
    names |= {f"customday{number}_schedule_day_name": "rest" for number in (1, 2)}
    document.add("Schedule:Week:Daily", "shared", names)
    document.add("Schedule:Week:Compact", "own", {"data": [{"daytype_list": "AllDays", "schedule_day_name": "moist"}]})
    first = {"schedule_week_name": "shared", **YEAR, "end_month": 6, "end_day": 30}
    second = {"schedule_week_name": "OWN", **YEAR, "start_month": 7}
    document.add("Schedule:Year", "a", {"schedule_weeks": [first, second]})
    document.add("Schedule:Year", "b", {"schedule_weeks": [{"schedule_week_name": "Shared", **YEAR}]})
    document.add("SizingPeriod:DesignDay", "day", {"humidity_condition_day_schedule_name": "moist"}, validate=False)
    return document


def hours(document, name):
    return {document["Schedule:Day:Hourly"][name].data[f"hour_{hour}"] for hour in range(1, 25)}


@pytest.mark.parametrize("name", ["CLGSETP_SCH", "clgsetp_sch"])
def test_a_schedule_is_found_in_any_case(office, name):
    assert find_schedule(office, name).name == "CLGSETP_SCH"


def test_no_schedule_of_that_name_tells_the_nearest(office):
    with pytest.raises(ModelError, match=r"no schedule 'CLGSET_SCH' \(did you mean 'CLGSETP_SCH'\?\)$"):
        find_schedule(office, "CLGSET_SCH")


def test_a_day_or_a_week_is_no_schedule_but_its_year_is_told(document):
    years(document)
    with pytest.raises(ModelError, match=r"Day:Hourly 'work' is a part of schedules .*: name 'a' or 'b' instead"):
        find_schedule(document, "Work")
    with pytest.raises(ModelError, match=r"Week:Compact 'own' .*: name 'a' instead"):
        find_schedule(document, "own")


def test_a_day_may_have_the_name_of_its_schedule(document):
    years(document)
    document.add("Schedule:Day:Hourly", "b", {"hour_1": 1.0})
    assert find_schedule(document, "b").obj_type == "Schedule:Year"


def test_the_users_of_a_schedule_are_told(office):
    users = {(found.user.obj_type, found.field) for found in schedule_users(office, "clgsetp_sch")}
    assert users == {("ThermostatSetpoint:DualSetpoint", "cooling_setpoint_temperature_schedule_name")}


def test_only_what_follows_until_is_a_number(document):
    schedule = compact(
        document,
        *("Through: 6/30", "For Weekdays SummerDesignDay", "Interpolate: Average", "Until: 07:00", 15.6),
        *("UNTIL 24:00", " 21 ", "for: AllOtherDays", "no", "until:24:00", "1.5D1", "through:12/31", "For: AllDays"),
        *("Until: 24:00", 1),
    )
    before = fields_of(schedule)
    change_schedule(document, "S", operation="add", number=0.5)
    expected = {4: 15.6 + 0.5, 6: 21.5, 10: 15.5, 14: 1.5}
    assert fields_of(schedule) == [expected.get(number, field) for number, field in enumerate(before)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("Through: 12/31", "For: AllDays", "Until: 24:00"), "ends after 'Until: 24:00', without a number"),
        (("Through: 12/31", "For: AllDays", "Until: 24:00", "high"), "has 'high' where a number must be"),
        (("Through: 12/31", "For: AllDays", "Until: 12:00", "Until: 24:00", 1.0), "has 'Until: 24:00' where a number"),
        (("Through: 12/31", "For: AllDays", "Until: 24:00", "1_0"), "has '1_0' where a number must be"),
        (("Through: 12/31", "For: AllDays", "Until: 24:00", True), "has True where a number must be"),
    ],
)
def test_a_compact_schedule_that_is_broken_is_told(document, fields, message):
    compact(document, *fields)
    with pytest.raises(ModelError, match=message):
        change_schedule(document, "s", operation="add", number=1)
    (problem,) = problems(document, "s", "add", 1)
    assert message in problem


_TEXTS = st.sampled_from(["Until: 07:30", "until:24:00", "UNTIL 12:00"])
_NUMBERS = st.floats(-1e6, 1e6)
_DAYS = st.lists(st.tuples(_TEXTS, st.one_of(_NUMBERS, _NUMBERS.map(repr), st.integers(-99, 99))), min_size=1)
_BLOCKS = st.tuples(
    st.sampled_from(["Through: 12/31", "THROUGH 6/30"]),
    st.sampled_from(["For: AllDays", "For AllOtherDays", "for:Weekdays SummerDesignDay"]),
    st.sampled_from([None, "Interpolate: Average", "Interpolate:No", "Linear"]),
    _DAYS,
)


_OPERATIONS = st.sampled_from(["add", "multiply"])


@given(blocks=st.lists(_BLOCKS, min_size=1, max_size=4), number=_NUMBERS, operation=_OPERATIONS)
def test_only_numbers_of_a_compact_schedule_change(blocks, number, operation, tmp_path_factory):
    document = new_document((25, 2, 0))
    texts, numbers = [], []
    for through, days, interpolate, pairs in blocks:
        texts += [(through, None), (days, None)] + ([(interpolate, None)] if interpolate else [])
        for until, value in pairs:
            texts += [(until, None), (None, len(numbers))]
            numbers.append(value)
    compact(document, *(text if place is None else numbers[place] for text, place in texts))
    change_schedule(document, "s", operation=operation, number=number)
    results = [float(value) + number if operation == "add" else float(value) * number for value in numbers]
    expected = [text if place is None else results[place] for text, place in texts]
    assert fields_of(document["Schedule:Compact"]["s"]) == expected
    path = tmp_path_factory.mktemp("model") / "in.idf"
    write_model(document, path)
    assert fields_of(read_model(path)["Schedule:Compact"]["s"]) == expected


def test_blanks_of_a_constant_and_of_hours_count_as_zero(document):
    constant = document.add("Schedule:Constant", "c")
    document.add("Schedule:Day:Hourly", "d", {"hour_1": 0.5})
    week = {"data": [{"daytype_list": "AllDays", "schedule_day_name": "d"}]}
    document.add("Schedule:Week:Compact", "w", week)
    document.add("Schedule:Year", "y", {"schedule_weeks": [{"schedule_week_name": "w", **YEAR}]})
    change_schedule(document, "c", operation="add", number=2)
    change_schedule(document, "y", operation="add", number=2)
    assert constant.data["hourly_value"] == 2.0
    assert [document["Schedule:Day:Hourly"]["d"].data[f"hour_{hour}"] for hour in (1, 2, 24)] == [2.5, 2.0, 2.0]


@pytest.mark.parametrize(
    ("object_type", "fields", "read"),
    [
        (
            "Schedule:Day:Interval",
            {"data": [{"time": "12:00", "value_until_time": 1.0}, {"time": "24:00", "value_until_time": 2.0}]},
            lambda day: [group["value_until_time"] for group in day.extensible_items()],
        ),
        (
            "Schedule:Day:List",
            {"minutes_per_item": 60, "extensions": [{"value": 1.0}, {"value": 2.0}]},
            lambda day: [group["value"] for group in day.extensible_items()],
        ),
    ],
)
def test_days_of_intervals_and_of_lists(document, object_type, fields, read):
    document.add(object_type, "d", fields)
    document.add("Schedule:Week:Compact", "w", {"data": [{"daytype_list": "AllDays", "schedule_day_name": "d"}]})
    document.add("Schedule:Year", "y", {"schedule_weeks": [{"schedule_week_name": "w", **YEAR}]})
    before = {key: value for key, value in document[object_type]["d"].data.items() if not isinstance(value, list)}
    change_schedule(document, "y", operation="multiply", number=1.5)
    assert read(document[object_type]["d"]) == [1.5, 3.0]
    assert before.items() <= document[object_type]["d"].data.items()


def test_days_and_weeks_that_others_use_are_copied(document):
    years(document)
    change_schedule(document, "A", operation="add", number=1)
    assert [hours(document, name) for name in ("work", "rest", "moist")] == [{0.5}, {0.25}, {0.75}]
    assert [hours(document, f"{name} of a") for name in ("work", "rest", "moist")] == [{1.5}, {1.25}, {1.75}]
    first, second = document["Schedule:Year"]["a"].extensible_items()
    assert (first["schedule_week_name"], second["schedule_week_name"]) == ("shared of a", "own")
    assert document["Schedule:Week:Daily"]["shared"].data["monday_schedule_day_name"] == "work"
    assert document["Schedule:Week:Daily"]["shared of a"].data["monday_schedule_day_name"] == "work of a"
    change_schedule(document, "a", operation="add", number=1)
    assert len(document["Schedule:Day:Hourly"]) == 6
    assert hours(document, "work of a") == {2.5}


def test_days_and_weeks_of_its_own_are_changed_where_they_are(document):
    years(document)
    document.removeidfobject(document["Schedule:Year"]["a"])
    change_schedule(document, "b", operation="multiply", number=2)
    assert [hours(document, name) for name in ("work", "rest", "moist")] == [{1.0}, {0.5}, {0.75}]
    assert len(document["Schedule:Day:Hourly"]) == 3


def test_a_year_that_names_what_is_not_there_is_told(document):
    document.add("Schedule:Year", "y", {"schedule_weeks": [{"schedule_week_name": "w", **YEAR}]})
    with pytest.raises(ModelError, match="Schedule:Year 'y' names 'w', which the model does not have"):
        change_schedule(document, "y", operation="add", number=1)


def test_a_constant_keeps_name_limits_and_users(office):
    before = {(found.user.name, found.field) for found in schedule_users(office, "CLGSETP_SCH")}
    replace_schedule(office, "clgsetp_sch", 25)
    schedule = find_schedule(office, "CLGSETP_SCH")
    assert (schedule.obj_type, schedule.name) == ("Schedule:Constant", "CLGSETP_SCH")
    assert schedule.data == {"schedule_type_limits_name": "Temperature", "hourly_value": 25.0}
    assert {(found.user.name, found.field) for found in schedule_users(office, "CLGSETP_SCH")} == before
    assert {obj.name for obj in office.get_referencing("CLGSETP_SCH")} == {name for name, _ in before}


def test_a_file_keeps_name_and_limits(office):
    replace_schedule_by_file(office, "bldg_occ_sch", file_name="a/occ.csv", rows=8784 * 4, has_heading=True)
    schedule = find_schedule(office, "BLDG_OCC_SCH")
    assert (schedule.obj_type, schedule.name) == ("Schedule:File", "BLDG_OCC_SCH")
    assert schedule.data == {
        "schedule_type_limits_name": "Fraction",
        "file_name": "a/occ.csv",
        "column_number": 1,
        "rows_to_skip_at_top": 1,
        "number_of_hours_of_data": 8784.0,
        "minutes_per_item": 15,
    }


def test_what_cannot_replace_a_schedule_is_told(office):
    with pytest.raises(ModelError, match="that is not a number"):
        replace_schedule(office, "CLGSETP_SCH", float("nan"))
    with pytest.raises(ModelError, match=r"occ.csv has 8761 values: give one for each hour"):
        replace_schedule_by_file(office, "BLDG_OCC_SCH", file_name="occ.csv", rows=8761, has_heading=False)
    with pytest.raises(ModelError, match=r"does not read schedules from 'occ.dat'"):
        replace_schedule_by_file(office, "BLDG_OCC_SCH", file_name="occ.dat", rows=8760, has_heading=False)


def test_the_numbers_of_a_file_are_not_the_models(office):
    replace_schedule_by_file(office, "BLDG_OCC_SCH", file_name="occ.csv", rows=8760, has_heading=False)
    with pytest.raises(ModelError, match=r"has its numbers in the file 'occ.csv': write the changed numbers"):
        change_schedule(office, "BLDG_OCC_SCH", operation="add", number=0.1)
    assert "replace the schedule by it." in problems(office, "BLDG_OCC_SCH", "add", 0.1)[0]
    assert problems(office, "BLDG_OCC_SCH", "replace", 0.1) == []


@pytest.mark.parametrize(
    ("name", "operation", "value", "message"),
    [
        ("CLGSET_SCH", "add", 1, "The model has no schedule 'CLGSET_SCH' (did you mean 'CLGSETP_SCH'?)."),
        ("CLGSETP_SCH", "add", float("nan"), "Cannot add Schedule:Compact 'CLGSETP_SCH' by nan: that is not a number."),
        ("CLGSETP_SCH", "multiply", "warm", "by 'warm': that is not a number."),
        ("CLGSETP_SCH", "add", True, "by True: that is not a number."),
        ("CLGSETP_SCH", "replace", "warm", "by 'warm': that is not a number."),
        ("CLGSETP_SCH", "multiply", 1e308, "a number becomes too large."),
        (
            "CLGSETP_SCH",
            "add",
            300,
            "cannot be 326.7: its ScheduleTypeLimits 'Temperature' go from -60 to 200, and that is what add 300 makes",
        ),
        ("BLDG_LIGHT_SCH", "multiply", -1, "cannot be -1: its ScheduleTypeLimits 'Fraction' go from 0 to 1"),
        ("BLDG_LIGHT_SCH", "replace", 1.1, "cannot be 1.1: its ScheduleTypeLimits 'Fraction' go from 0 to 1."),
        ("BLDG_LIGHT_SCH", "replace", ScheduleValues((0.5, 2.0) * 4380, has_heading=False), "cannot be 2: its"),
        ("HVACOperationSchd", "multiply", 0.5, "cannot be 0.5: its ScheduleTypeLimits 'On/Off' are discrete"),
        ("HVACOperationSchd", "replace", ScheduleValues((0.0, 0.5) * 4380, has_heading=False), "are discrete"),
        ("WORK_EFF_SCH", "multiply", 2, "Multiply 2 would change nothing: all numbers of Schedule:Compact 'WORK_EFF"),
    ],
)
def test_what_is_wrong_is_told(office, name, operation, value, message):
    (problem,) = problems(office, name, operation, value)
    assert message in problem
    assert problem.endswith(".")


@pytest.mark.parametrize(
    ("name", "operation", "values"),
    [
        ("CLGSETP_SCH", "add", [0, 1.5, -1.5]),
        ("CLGSETP_SCH", "replace", [25, ScheduleValues((25.0,) * 8760, has_heading=False)]),
        ("BLDG_LIGHT_SCH", "multiply", [1, 0.5, 0, 1 + 1e-8]),
        ("HVACOperationSchd", "multiply", [1, 0]),
        ("WORK_EFF_SCH", "multiply", [1]),
        ("WORK_EFF_SCH", "add", [0, 0.5]),
    ],
)
def test_what_is_right_passes(office, name, operation, values):
    before = [obj.to_dict() for obj in office.all_objects]
    assert problems(office, name, operation, *values) == []
    assert [obj.to_dict() for obj in office.all_objects] == before


def test_only_a_range_with_two_ends_counts(document):
    document.add("ScheduleTypeLimits", "half", {"lower_limit_value": 0.0, "numeric_type": "Continuous"})
    compact(document, "Through: 12/31", "For: AllDays", "Until: 24:00", 1.0, limits="half")
    assert problems(document, "s", "multiply", -1) == []


def test_a_problem_of_a_schedule_of_a_year_is_found_in_its_days(document):
    years(document)
    document.add("ScheduleTypeLimits", "limits", {"lower_limit_value": 0, "upper_limit_value": 1})
    document["Schedule:Year"]["a"].schedule_type_limits_name = "Limits"
    assert "makes of 0.75" in problems(document, "a", "add", 0.5)[0]
    assert problems(document, "b", "add", 0.5) == []


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_what_stands_in_a_model_that_runs_is_never_refused(path):
    document = read_model(path)
    for object_type in ("Schedule:Compact", "Schedule:Constant", "Schedule:Year"):
        for schedule in document[object_type]:
            assert problems(document, schedule.name, "add", 0) == []
            assert problems(document, schedule.name, "multiply", 1) == []


def test_many_values_are_checked_in_little_time():
    document = read_model(Path(ashrae_models["hospital"]))
    begin = time.perf_counter()
    assert problems(document, "ALWAYS_ON", "multiply", 1, 0, *(1 + number for number in range(5_000))) != []
    assert time.perf_counter() - begin < 5


def switch_model(days=((1, 2), (1, 3)), outputs=()):
    """A model with an availability schedule that nothing else uses, of a type that may be fractional."""
    document = short_model(SMALL_OFFICE, days=days, outputs=outputs)
    for manager in document["AvailabilityManager:NightCycle"]:
        manager.fan_schedule_name = "ALWAYS_ON"
    document["Schedule:Compact"]["HVACOperationSchd"].schedule_type_limits_name = "Fraction"
    return document


def test_a_change_of_an_availability_that_stays_above_zero_is_refused():
    document = switch_model()
    (problem,) = problems(document, "HVACOperationSchd", "multiply", 1, 0, 0.5)
    assert problem == (
        "Multiply 0.5 would change nothing: Schedule:Compact 'HVACOperationSchd' is availability_schedule_name of "
        "Fan:SystemModel 'PSZ-AC:1_Fan', which only asks whether it is above 0."
    )
    sensor = {"output_variable_or_output_meter_index_key_name": "hvacoperationschd"}
    document.add("EnergyManagementSystem:Sensor", "sensor", sensor, validate=False)
    assert problems(document, "HVACOperationSchd", "multiply", 0.5) == []


@pytest.mark.engine
def test_energyplus_only_asks_whether_an_availability_is_above_zero(tmp_path):
    outputs = [("Fan Electricity Rate", "Timestep"), ("Zone Mean Air Temperature", "Timestep")]
    before = run(switch_model(outputs=outputs), tmp_path / "before")
    for factor, is_same in ((0.5, True), (0, False)):
        document = switch_model(outputs=outputs)
        change_schedule(document, "HVACOperationSchd", operation="multiply", number=factor)
        after = run(document, tmp_path / str(factor))
        assert (series(after, "Fan Electricity Rate") == series(before, "Fan Electricity Rate")) is is_same
        name = "Zone Mean Air Temperature"
        assert (series(after, name) == series(before, name)) is is_same


@pytest.mark.engine
@pytest.mark.parametrize(
    ("model", "name"),
    [
        (SMALL_OFFICE, "CLGSETP_SCH"),
        (SMALL_OFFICE, "CLOTHING_SCH"),
        (WAREHOUSE, "Office Light Schedule"),
        (ashrae_models["retail_strip_mall"], "SZ_system_OA_Max_Frac_SCH"),
    ],
    ids=lambda value: Path(value).stem,
)
@pytest.mark.parametrize(("operation", "number"), [("add", 0.0625 / 3), ("multiply", 1.07)])
def test_the_engine_sees_each_number_changed_and_no_other_schedule(tmp_path, model, name, operation, number):
    days = ((4, 29), (5, 1))
    before = short_model(model, days=days, outputs=[SCHEDULE_VALUE])
    after = copy.deepcopy(before)
    limits = after["ScheduleTypeLimits"][find_schedule(after, name).data["schedule_type_limits_name"]]
    limits.upper_limit_value = 300.0
    change_schedule(after, name, operation=operation, number=number)
    old = series(run(before, tmp_path / "before"), "Schedule Value")
    new = series(run(after, tmp_path / "after"), "Schedule Value")
    calculated = [value + number if operation == "add" else value * number for value in old[name.upper()]]
    assert new.pop(name.upper()) == calculated
    assert len(set(calculated)) > 1 or name in ("CLOTHING_SCH", "SZ_system_OA_Max_Frac_SCH")
    del old[name.upper()]
    assert new == old
    assert old


def values_of_year(rows):
    return [24 + (row % 97) / 7 for row in range(rows)]


@pytest.mark.engine
@pytest.mark.parametrize(("hours", "per_hour"), [(8760, 1), (8784, 1), (8760, 6)])
@pytest.mark.parametrize("heading", ["", "setpoint, or so [C]\r\n"], ids=["bare", "heading"])
def test_the_engine_sees_the_rows_of_a_file(tmp_path, hours, per_hour, heading):
    values = values_of_year(hours * per_hour)
    (tmp_path / "set.csv").write_text(heading + "\n".join(map(repr, values)) + "\n\n")
    document = short_model(SMALL_OFFICE, days=((2, 27), (3, 1)), outputs=[SCHEDULE_VALUE])
    replace_schedule_by_file(document, "CLGSETP_SCH", file_name="set.csv", rows=len(values), has_heading=bool(heading))
    seen = series(run(document, tmp_path), "Schedule Value")["CLGSETP_SCH"]
    days = [57, 58, 59 if hours == 8760 else 60]  # 29 February is left out: the run has none
    rows = [24 * day * per_hour + step * per_hour // 6 for day in days for step in range(24 * 6)]
    assert seen == [values[row] for row in rows]


@pytest.mark.engine
def test_the_engine_sees_a_constant(tmp_path):
    document = short_model(SMALL_OFFICE, days=((1, 1), (1, 2)), outputs=[SCHEDULE_VALUE])
    replace_schedule(document, "CLGSETP_SCH", 25.3)
    assert set(series(run(document, tmp_path), "Schedule Value")["CLGSETP_SCH"]) == {25.3}


@pytest.mark.engine
def test_a_higher_cooling_setpoint_needs_less_cooling(tmp_path):
    used = []
    for number in (0, 1.5):
        outputs = [("meter", "Cooling:Electricity", "RunPeriod")]
        document = short_model(SMALL_OFFICE, days=((7, 1), (7, 7)), outputs=outputs)
        change_schedule(document, "CLGSETP_SCH", operation="add", number=number)
        used += series(run(document, tmp_path / str(number)), "Cooling:Electricity")[None]
    assert 0 < used[1] < used[0]


@pytest.mark.engine
@pytest.mark.parametrize("value", [1 + 1e-8, 1.00001, -1e-8, -0.00001])
@pytest.mark.parametrize("numeric_type", ["Continuous", "Discrete"])
def test_the_engine_stops_where_a_range_is_left_and_only_there(tmp_path, value, numeric_type):
    document = short_model(SMALL_OFFICE, days=((1, 1), (1, 1)), outputs=[])
    limits = {"lower_limit_value": 0.0, "upper_limit_value": 1.0, "numeric_type": numeric_type}
    document.add("ScheduleTypeLimits", "limits", limits)
    document.add("Schedule:Constant", "unused", {"schedule_type_limits_name": "limits"})
    told = problems(document, "unused", "replace", value)
    replace_schedule(document, "unused", value)
    assert is_fatal(document, tmp_path) is any("go from 0 to 1" in problem for problem in told)
