from __future__ import annotations

import datetime as dt
import sqlite3
import struct
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bemsweep.eplusout import read_dictionary, read_report, read_text
from bemsweep.errors import InfrastructureError, ModelError
from bemsweep.outputs import Output
from bemsweep.periods import Calendar, Period

NAMES = {
    "timestep": "Zone Timestep",
    "hourly": "Hourly",
    "daily": "Daily",
    "monthly": "Monthly",
    "annual": "Run Period",
}
SCHEMA = """
CREATE TABLE EnvironmentPeriods (EnvironmentPeriodIndex INTEGER PRIMARY KEY, EnvironmentName TEXT,
  EnvironmentType INTEGER);
CREATE TABLE Time (TimeIndex INTEGER PRIMARY KEY, Month INTEGER, Day INTEGER, Hour INTEGER, Minute INTEGER,
  Interval INTEGER, EnvironmentPeriodIndex INTEGER, WarmupFlag INTEGER);
CREATE TABLE ReportDataDictionary (ReportDataDictionaryIndex INTEGER PRIMARY KEY, IsMeter INTEGER, Type TEXT,
  KeyValue TEXT, Name TEXT, ReportingFrequency TEXT, Units TEXT);
CREATE TABLE ReportData (ReportDataIndex INTEGER PRIMARY KEY, TimeIndex INTEGER, ReportDataDictionaryIndex INTEGER,
  Value REAL);
"""
TEMPERATURE = Output("variable", "Zone Mean Air Temperature", "hourly", "temperature")
TWO_DAYS = Calendar(design_days=2, steps_per_hour=4)
WEEK = Calendar(periods=(Period("week", dt.date(2017, 2, 26), dt.date(2017, 3, 4)),), steps_per_hour=2)
YEAR = Calendar(periods=(Period("year", dt.date(2017, 1, 1), dt.date(2017, 12, 31)),), steps_per_hour=6)


class Sql:
    """Writes an ``eplusout.sql`` as the engine would, row by row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = sqlite3.connect(path)
        self.database.executescript(f"PRAGMA synchronous = OFF; {SCHEMA}")
        self.times = 0
        self.entries = 0

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.database.commit()
        self.database.close()

    def environment(self, number: int, kind: int, name: str = "") -> None:
        self.database.execute("INSERT INTO EnvironmentPeriods VALUES (?, ?, ?)", (number, name, kind))

    def entry(self, key: str | None, name: str, frequency: str, *, is_meter: bool = False, kind: str = "Avg") -> int:
        self.entries += 1
        row = (self.entries, int(is_meter), kind, key, name, NAMES.get(frequency, frequency), "J" if is_meter else "C")
        self.database.execute("INSERT INTO ReportDataDictionary VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return self.entries

    def row(self, label, environment: int, values: dict[int, float | None], *, warmup: int = 0) -> None:
        """Add an instant; `label` is (month, day, end minute of the day, interval), None where blank."""
        month, day, minute, interval = label
        hour, rest = (None, None) if minute is None else divmod(minute, 60)
        self.times += 1
        self.database.execute(
            "INSERT INTO Time VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self.times, month, day, hour, rest, interval, environment, warmup),
        )
        self.database.executemany(
            "INSERT INTO ReportData (TimeIndex, ReportDataDictionaryIndex, Value) VALUES (?, ?, ?)",
            [(self.times, entry, value) for entry, value in values.items()],
        )


def hours(dates: list[tuple[int, int]], step: int = 60):
    return [(month, day, minute, step) for month, day in dates for minute in range(step, 1441, step)]


def label(name: str, key: str):
    return key.title(), "zone"


def read(path: Path, outputs=(TEMPERATURE,), run="design_day", calendar=TWO_DAYS):
    return read_report(path, outputs, run, calendar, label=label)


@pytest.fixture
def sql(tmp_path):
    return tmp_path / "eplusout.sql"


def write_two_days(path: Path, *, missing: int = 0, labels=None) -> None:
    with Sql(path) as sql:
        sql.environment(1, 1, "WINTER")
        sql.environment(2, 1, "SUMMER")
        sql.environment(3, 3, "RUN PERIOD 1")
        core, attic = (sql.entry(key, "Zone Mean Air Temperature", "hourly") for key in ("CORE_ZN", "ATTIC"))
        meter = sql.entry(None, "Electricity:Facility", "hourly", is_meter=True, kind="Sum")
        sql.row((1, 21, 60, 60), 1, {core: -99.0, attic: -99.0, meter: -99.0}, warmup=1)
        rows = labels or [(1, row) for row in hours([(1, 21)])] + [(2, row) for row in hours([(7, 21)])]
        for number, (environment, row) in enumerate(rows[: len(rows) - missing]):
            sql.row(row, environment, {core: number + 0.25, attic: -number / 3, meter: 1e9 * number})
        sql.row((1, 1, 60, 60), 3, {core: -98.0, attic: -98.0, meter: -98.0})


def test_only_the_runs_own_environments_without_warm_up(sql):
    write_two_days(sql)
    meter = Output("meter", "ELECTRICITY:facility", "hourly", "electricity")
    report = read(sql, (meter, TEMPERATURE))
    assert [(s.output, s.key, s.key_kind, s.units, s.method) for s in report.series] == [
        ("electricity", "", "", "J", "sum"),
        ("temperature", "Core_Zn", "zone", "C", "mean"),
        ("temperature", "Attic", "zone", "C", "mean"),
    ]
    np.testing.assert_array_equal(report.series[1].values, np.arange(48) + 0.25)
    np.testing.assert_array_equal(report.series[2].values, -np.arange(48) / 3)
    assert report.design_day_names == ("WINTER", "SUMMER")
    assert report.design_day_dates == ("01-21", "07-21")


def test_key_pattern_chooses_and_no_series_comes_twice(sql):
    write_two_days(sql)
    core = Output("variable", "zone mean air temperature", "hourly", "core", key="*_zn")
    report = read(sql, (core, TEMPERATURE))
    assert [(s.output, s.key) for s in report.series] == [("core", "Core_Zn"), ("temperature", "Attic")]


def test_a_series_is_kept_whole_or_reduced_or_both_by_its_key(sql):
    write_two_days(sql)
    core, every = replace(TEMPERATURE, key="*_zn"), replace(TEMPERATURE, reduce=("mean", "max"))
    report = read(sql, (core, every, replace(every, key="core*", reduce=("max", "p50"))))
    assert [(s.output, s.frequency, s.key, s.key_kind, s.values.tolist()[-2:]) for s in report.series] == [
        ("temperature", "hourly", "Core_Zn", "zone", [46.25, 47.25]),
        ("temperature_mean", "annual", "Core_Zn", "zone", [11.75, 35.75]),
        ("temperature_max", "annual", "Core_Zn", "zone", [23.25, 47.25]),
        ("temperature_p50", "annual", "Core_Zn", "zone", [11.75, 35.75]),
        ("temperature_mean", "annual", "Attic", "zone", [-11.5 / 3, -35.5 / 3]),
        ("temperature_max", "annual", "Attic", "zone", [0.0, -24 / 3]),
    ]


def test_run_periods_are_reduced_together(tmp_path):
    path = tmp_path / "a.sql"
    with Sql(path) as sql:
        entry = sql.entry("CORE_ZN", "Zone Mean Air Temperature", "daily")
        for environment, day in ((1, 5), (2, 9)):
            sql.environment(environment, 3)
            sql.row((1, day, 1440, 1440), environment, {entry: float(day)})
    two = Calendar(tuple(Period(str(day), dt.date(2017, 1, day), dt.date(2017, 1, day)) for day in (5, 9)))
    daily = replace(TEMPERATURE, frequency="daily", reduce=("mean", "min"))
    report = read(path, (daily,), run="run_period", calendar=two)
    assert [(s.output, s.values.tolist()) for s in report.series] == [
        ("temperature_mean", [7.0]), ("temperature_min", [5.0])
    ]  # fmt: skip


def test_a_sum_of_means_that_no_plan_could_know_of_is_the_models_fault(sql):
    write_two_days(sql)
    with pytest.raises(ModelError, match="is a mean over each interval"):
        read(sql, (replace(TEMPERATURE, optional=True, reduce=("sum",)),))


def test_output_that_the_model_lacks(sql):
    write_two_days(sql)
    gone = Output("variable", "Zone Mean Air Temperature", "hourly", "t", key="NO SUCH*")
    with pytest.raises(ModelError, match=r"'Zone Mean Air Temperature' of 'NO SUCH\*' \(hourly\).*optional"):
        read(sql, (gone,))
    optional = Output("variable", "Zone Mean Air Temperature", "hourly", "t", key="NO SUCH*", optional=True)
    assert read(sql, (optional,)).series == ()


def test_probe_reads_names_without_values(sql):
    write_two_days(sql, missing=48)
    gone = Output("meter", "Gas:Facility", "hourly", "gas")
    report = read(sql, (TEMPERATURE, gone), calendar=None)
    assert [(s.key, s.values.size) for s in report.series] == [("Core_Zn", 0), ("Attic", 0)]


def test_fewer_rows_are_a_cut_run(sql):
    write_two_days(sql, missing=1)
    with pytest.raises(InfrastructureError, match="47 hourly values instead of 48"):
        read(sql)


def test_more_rows_are_another_axis(sql):
    write_two_days(sql)
    with pytest.raises(ModelError, match="2 design days were simulated instead of 1"):
        read(sql, calendar=Calendar(design_days=1))


def test_another_timestep_is_the_models_fault_though_it_has_fewer_rows(tmp_path):
    path = tmp_path / "a.sql"
    with Sql(path) as sql:
        sql.environment(1, 1, "WINTER")
        entry = sql.entry("CORE_ZN", "Zone Mean Air Temperature", "timestep")
        for row in hours([(1, 21)], step=30):
            sql.row(row, 1, {entry: 1.0})
    output = Output("variable", "Zone Mean Air Temperature", "timestep", "t")
    with pytest.raises(ModelError, match=r"time axis differs.*interval 1 ends at 01-21 00:30 instead of 00:15"):
        read(path, (output,), calendar=Calendar(design_days=1, steps_per_hour=4))


def test_one_series_that_lags_behind_is_found(sql):
    write_two_days(sql)
    with closing(sqlite3.connect(sql)) as database, database:
        database.execute("DELETE FROM ReportData WHERE ReportDataDictionaryIndex = 2 AND TimeIndex = 49")
    with pytest.raises(InfrastructureError, match="47 hourly values"):
        read(sql)


def write_week(path: Path, dates) -> None:
    with Sql(path) as sql:
        sql.environment(1, 3, "RUN PERIOD 1")
        entries = {frequency: sql.entry("ZONE", "Zone Mean Air Temperature", frequency) for frequency in NAMES}
        for number, (month, day) in enumerate(dates):
            for row in hours([(month, day)], step=30):
                sql.row(row, 1, {entries["timestep"]: number + row[2] / 10000})
                if row[2] % 60 == 0:
                    sql.row((*row[:3], 60), 1, {entries["hourly"]: row[2] / 10000})
            sql.row((month, day, 1440, 1440), 1, {entries["daily"]: float(day)})
            if (month, day) == (2, 28) or number == len(dates) - 1:
                sql.row((month, 28 if month == 2 else 31, 1440, 44640), 1, {entries["monthly"]: float(month)})
        sql.row((None, None, None, 10080), 1, {entries["annual"]: 7.0})


FEBRUARY_TO_MARCH = [(2, 26), (2, 27), (2, 28), (3, 1), (3, 2), (3, 3), (3, 4)]


def test_each_frequency_has_its_axis(sql):
    write_week(sql, FEBRUARY_TO_MARCH)
    outputs = tuple(Output("variable", "Zone Mean Air Temperature", f, f) for f in NAMES)
    report = read(sql, outputs, "run_period", WEEK)
    assert {s.frequency: len(s.values) for s in report.series} == {
        "timestep": 336,
        "hourly": 168,
        "daily": 7,
        "monthly": 2,
        "annual": 1,
    }
    assert report.series[2].values.tolist() == [26, 27, 28, 1, 2, 3, 4]
    assert report.design_day_names == ()


@pytest.mark.parametrize("frequency", ["timestep", "hourly", "daily", "monthly"])
def test_another_period_is_the_models_fault(sql, frequency):
    write_week(sql, [(3, day) for day in range(1, 8)])
    output = Output("variable", "Zone Mean Air Temperature", frequency, "t")
    with pytest.raises(ModelError, match="time axis differs from the study's"):
        read(sql, (output,), "annual", WEEK)


def test_a_leap_day_that_the_study_lacks_is_the_models_fault(sql):
    write_week(sql, [(2, 26), (2, 27), (2, 28), (2, 29), (3, 1), (3, 2), (3, 3)])
    with pytest.raises(ModelError, match="interval 73 ends at 02-29 01:00 instead of 03-01 01:00"):
        read(sql, (TEMPERATURE,), "annual", WEEK)


def test_no_environment_is_the_models_fault(sql):
    write_two_days(sql)
    with closing(sqlite3.connect(sql)) as database, database:
        database.execute("DELETE FROM EnvironmentPeriods WHERE EnvironmentType = 3")
    with pytest.raises(ModelError, match="0 run periods were simulated instead of 1"):
        read(sql, (TEMPERATURE,), "annual", WEEK)


def test_date_of_a_design_day_is_unknown_if_only_months_are_reported(sql):
    with Sql(sql) as file:
        file.environment(1, 1, "WINTER")
        entry = file.entry("ZONE", "Zone Mean Air Temperature", "monthly")
        file.row((1, 31, 1440, 44640), 1, {entry: 1.0})
    output = Output("variable", "Zone Mean Air Temperature", "monthly", "t")
    assert read(sql, (output,), calendar=Calendar(design_days=1)).design_day_dates == ("",)


@settings(deadline=None, max_examples=30)
@given(values=st.lists(st.floats(), min_size=24, max_size=24))
def test_values_are_the_very_bits(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("bits") / "eplusout.sql"
    with Sql(path) as sql:
        sql.environment(1, 1)
        entry = sql.entry("ZONE", "Zone Mean Air Temperature", "hourly")
        for row, value in zip(hours([(1, 21)]), values, strict=True):
            sql.row(row, 1, {entry: value})
    (series,) = read(path, calendar=Calendar(design_days=1)).series
    for got, wanted in zip(series.values.tolist(), values, strict=True):
        # SQLite has neither NaN nor -0.0: they are NULL, which is NaN again, and 0.0.
        assert struct.pack("d", got) == struct.pack("d", wanted + 0.0) or (np.isnan(got) and np.isnan(wanted))


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "no tables"])
def test_damaged_file_is_the_machines_fault(sql, damage):
    if damage == "cut":
        write_two_days(sql)
        sql.write_bytes(sql.read_bytes()[:9000])
    elif damage == "no tables":
        with closing(sqlite3.connect(sql)) as database, database:
            database.execute("CREATE TABLE Simulations (x)")
    elif damage == "empty":
        sql.touch()
    with pytest.raises(InfrastructureError, match="cannot be read"):
        read(sql)


def test_650000_rows_take_no_longer_than_a_few_plain_reads(sql):
    zones = 74
    with Sql(sql) as file:
        file.environment(1, 3)
        for zone in range(zones):
            file.entry(f"ZONE {zone}", "Zone Mean Air Temperature", "hourly")
        instants = [
            (date.month, date.day, hour * 60, 60)
            for date in (dt.date(2017, 1, 1) + dt.timedelta(days=n) for n in range(365))
            for hour in range(1, 25)
        ]
        for row in instants:
            file.row(row, 1, dict.fromkeys(range(1, zones + 1), 20.5))
    plain_s, ours_s = [], []
    for _ in range(3):
        begin = time.perf_counter()
        with closing(sqlite3.connect(sql)) as database:
            for _ in database.execute("SELECT ReportDataDictionaryIndex, TimeIndex, Value FROM ReportData"):
                pass
        plain_s.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        report = read(sql, (TEMPERATURE,), "annual", YEAR)
        ours_s.append(time.perf_counter() - begin)
    assert sum(len(s.values) for s in report.series) == 648_240
    assert min(ours_s) < 4 * min(plain_s)


def test_dictionary_lists_variables_and_meters(tmp_path):
    heading = "Program Version,EnergyPlus, Version 25.2.0,\nVar Type,Var Report Type,Variable Name [Units]\n"
    (tmp_path / "eplusout.rdd").write_text(
        heading + "Zone,Average,Site Outdoor Air Drybulb Temperature [C]\nHVAC,Sum,Fan Electricity Energy [J]\n"
    )
    (tmp_path / "eplusout.mdd").write_text(heading + "Zone,Meter,Electricity:Facility [J]\n")
    assert read_dictionary(tmp_path) == {
        "variable": ["Fan Electricity Energy", "Site Outdoor Air Drybulb Temperature"],
        "meter": ["Electricity:Facility"],
    }


def test_long_text_is_cut_in_the_middle(tmp_path):
    path = tmp_path / "eplusout.err"
    assert read_text(path) == ""
    path.write_text("short\n")
    assert read_text(path) == "short\n"
    path.write_text("a" * 100_000 + "b" * 100_000)
    text = read_text(path, limit_bytes=1000)
    assert text.startswith("a" * 500 + "\n... 199000 bytes left out")
    assert text.endswith("b" * 500)


def test_dictionary_of_a_run_without_one(tmp_path):
    assert read_dictionary(tmp_path) == {"variable": [], "meter": []}
