"""What a baseline can report, asked once and kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bemsweep.errors import InfrastructureError, ModelError
from bemsweep.input_files import Input
from bemsweep.inputs import WeatherFacts, WeatherInput
from bemsweep.outputs import SUMMARY_NAMES, Output
from bemsweep.probe import Probe, output_problems, probe_model
from bemsweep.store import Store
from bemsweep.tables import Cell
from bemsweep.testing import FakeEngine

ELECTRICITY = Output("meter", "Electricity:Facility", "hourly", "electricity", "")
TEMPERATURE = Output("variable", "Zone Mean Air Temperature", "hourly", "temperature", "*")
OUTDOOR = Output("variable", "Site Outdoor Air Drybulb Temperature", "hourly", "outdoor", "*")
ZONES = ["CORE_ZN", "Perimeter_ZN_1", "Perimeter_ZN_2"]
REPORTS = [output.name for output in (ELECTRICITY, TEMPERATURE, OUTDOOR)]


WEATHER = WeatherInput(Input(Path("w.epw"), "0" * 64, "w.epw"), WeatherFacts(-6.0, is_leap=False, is_whole_year=True))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def ask(store, tmp_path):
    """Return a function that probes the one baseline there is."""
    path = tmp_path / "m.idf"
    path.write_text("Version,25.2;")
    baseline = Input.of(path, "m.idf")

    def probe(engine, *outputs, **changes):
        settings = {"store": store, "baseline": baseline, "weather": WEATHER, "files": {}, **changes}
        return probe_model(engine=engine, outputs=outputs, **settings)

    return probe


def engine(**changes):
    return FakeEngine(**{"keys": ZONES, "reports": REPORTS, **changes})


def told(probe, *outputs):
    return [message for _, message in output_problems(outputs, probe)]


# Asking


def test_it_tells_every_key_that_the_model_has(ask):
    probe = ask(engine(), replace(TEMPERATURE, key="core_zn"), ELECTRICITY)
    assert [series.key for series in probe.series_of(TEMPERATURE)] == ZONES
    assert [series.key for series in probe.series_of(replace(TEMPERATURE, key="perimeter*"))] == ZONES[1:]
    assert [series.key for series in probe.series_of(ELECTRICITY)] == [""]
    assert probe.series_of(OUTDOOR) == ()
    assert probe.series_of(replace(TEMPERATURE, frequency="daily")) == ()
    assert all(series.values.size == 0 for series in probe.series)
    assert set(probe.dictionary) == {"variable", "meter", "report"}


def test_the_answer_is_kept_and_the_same(ask):
    fake = engine()
    first = ask(fake, TEMPERATURE, ELECTRICITY)
    again = ask(fake, TEMPERATURE, ELECTRICITY)
    assert fake.starts == 1
    assert again.dictionary == first.dictionary
    assert [replace(series, values=None) for series in again.series] == [replace(s, values=None) for s in first.series]
    assert {series.values.dtype.str for series in again.series} == {"<f8"}


@pytest.mark.parametrize(
    "outputs",
    [
        (ELECTRICITY, TEMPERATURE),
        (TEMPERATURE, ELECTRICITY, TEMPERATURE),
        (replace(TEMPERATURE, key="CORE*"), ELECTRICITY),
        (replace(TEMPERATURE, optional=True), replace(ELECTRICITY, optional=True)),
        (replace(TEMPERATURE, reduce=("max",)), replace(ELECTRICITY, reduce=("sum",)), ELECTRICITY),
    ],
)
def test_order_keys_optional_and_reductions_need_no_new_run(ask, outputs):
    fake = engine()
    ask(fake, TEMPERATURE, ELECTRICITY)
    ask(fake, *outputs)
    assert fake.starts == 1


def test_what_the_answer_depends_on_needs_a_new_run(ask, tmp_path):
    counter = tmp_path / "starts"
    other = tmp_path / "other.idf"
    other.write_text("Version,25.1;")
    file = Input.of(other, "other.csv")
    asks = [
        lambda: ask(engine(counter=counter), TEMPERATURE),
        lambda: ask(engine(counter=counter, version="another"), TEMPERATURE),
        lambda: ask(engine(counter=counter), ELECTRICITY),
        lambda: ask(engine(counter=counter), replace(TEMPERATURE, frequency="daily")),
        lambda: ask(engine(counter=counter), TEMPERATURE, baseline=file),
        lambda: ask(engine(counter=counter), TEMPERATURE, files={"a.csv": file}),
    ]
    for number, one in enumerate(asks, 1):
        one()
        one()
        assert len(counter.read_text().splitlines()) == number


def test_an_answer_that_cannot_be_read_is_asked_again(ask, store, tmp_path):
    fake = engine()
    first = ask(fake, TEMPERATURE)
    (path,) = (tmp_path / "store" / "probes").rglob("*.json")
    for damage in ("", "{", "[]", '{"series": [{"x": 1}], "dictionary": {}}', '{"dictionary": {}}'):
        path.write_text(damage)
        assert ask(fake, TEMPERATURE).dictionary == first.dictionary
    assert fake.starts == 6


def test_it_asks_for_names_only_and_leaves_no_scratch(ask, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    fake, jobs = engine(), []
    monkeypatch.setattr(
        fake,
        "run",
        lambda job, scratch, **how: (jobs.append((job, scratch)), FakeEngine.run(fake, job, scratch, **how))[1],
    )
    ask(fake, TEMPERATURE, replace(TEMPERATURE, key="CORE*", optional=True))
    ((job, scratch),) = jobs
    assert job.calendar is None
    assert job.outputs == (TEMPERATURE,)
    assert scratch.parent == tmp_path / "scratch"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_model_that_does_not_run_is_told_and_not_kept(ask):
    fake = engine(faults={1: "fail", 2: "crash"})
    with pytest.raises(ModelError, match="Expected number greater than or equal to 0"):
        ask(fake, TEMPERATURE)
    with pytest.raises(ModelError, match=r"SIGSEGV|signal"):
        ask(fake, TEMPERATURE)
    assert ask(fake, TEMPERATURE).series
    assert fake.starts == 3


@pytest.mark.parametrize("fault", ["infrastructure", "killed", "full_disk"])
def test_a_machines_fault_is_never_the_models(ask, fault):
    fake = engine(faults={1: fault})
    with pytest.raises(InfrastructureError):
        ask(fake, TEMPERATURE)
    assert ask(fake, TEMPERATURE).series


# Judging


@pytest.fixture
def probe(ask):
    return ask(engine(), ELECTRICITY, TEMPERATURE, OUTDOOR)


def test_outputs_that_are_there_are_all_right(probe):
    outputs = [ELECTRICITY, TEMPERATURE, OUTDOOR, replace(TEMPERATURE, key="core_zn"), replace(TEMPERATURE, key="*_?")]
    assert told(probe, *outputs) == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Zone Mean Air Temprature", "Zone Mean Air Temperature"),
        ("site outdoor air drybulb", "Site Outdoor Air Drybulb Temperature"),
    ],
)
def test_a_typo_is_told_with_the_nearest_name(probe, name, nearest):
    message = f"this model has no variable {name!r} (did you mean {nearest!r}?); "
    assert told(probe, replace(TEMPERATURE, name=name, array="x")) == [
        message + "if only some variants report it, say `optional: true`"
    ]


def test_what_is_like_nothing_is_told_without_a_guess(probe):
    assert "did you mean" not in told(probe, replace(ELECTRICITY, name="xyz", array="x"))[0]


def test_a_meter_that_is_asked_for_as_a_variable_and_the_reverse(probe):
    meter = Output("variable", "electricity:FACILITY", "hourly", "x")
    variable = Output("meter", "Zone Mean Air Temperature", "hourly", "y", "")
    assert told(probe, meter, variable) == [
        "'electricity:FACILITY' is a meter: ask for {meter: electricity:FACILITY}",
        "'Zone Mean Air Temperature' is a variable: ask for {variable: Zone Mean Air Temperature}",
    ]


def test_a_key_that_matches_nothing_is_told_with_those_that_exist(probe):
    assert told(probe, replace(TEMPERATURE, key="Core_ZM")) == [
        (
            "no key of 'Zone Mean Air Temperature' matches 'Core_ZM' (did you mean 'CORE_ZN'?); "
            "the model has CORE_ZN, Perimeter_ZN_1, Perimeter_ZN_2"
        )
    ]


def test_of_many_keys_a_few_are_shown(ask):
    probe = ask(engine(keys=[f"Zone {n}" for n in range(100)]), TEMPERATURE)
    (message,) = told(probe, replace(TEMPERATURE, key="attic"))
    assert message.endswith("Zone 6, Zone 7, …")


def test_a_known_name_that_nothing_reports(probe):
    silent = Probe((), {"variable": [TEMPERATURE.name], "meter": []})
    assert told(silent, replace(TEMPERATURE, name="zone mean air temperature")) == [
        "'zone mean air temperature' is known but nothing in this model reports it hourly"
    ]


def test_an_optional_output_may_be_missing(probe):
    assert (
        told(probe, replace(TEMPERATURE, name="x", optional=True), replace(TEMPERATURE, key="x", optional=True)) == []
    )


def test_every_problem_names_its_output(probe):
    wrong = [replace(TEMPERATURE, name="x", array="x"), replace(TEMPERATURE, key="y")]
    assert [output for output, _ in output_problems([ELECTRICITY, *wrong], probe)] == wrong


# Cells of tabular reports

SIZING = "HVACSizingSummary"
CELLS = (
    Cell(SIZING, "Entire Facility", "Zone Sensible Cooling", "CORE_ZN", "User Design Load", "W", "5510.7"),
    Cell(SIZING, "Entire Facility", "Zone Sensible Cooling", "CORE_ZN", "Design Day Name", "", "CHICAGO"),
    Cell(SIZING, "Entire Facility", "Zone Sensible Heating", "CORE_ZN", "User Design Load", "W", "-"),
)
LOAD = Output("table", SIZING, "annual", "load", "", table="Zone Sensible Cooling", column="User Design Load")
SUMMARY = Output("summary", "summary", "annual", "summary", "")


def test_a_typo_in_a_cell_or_a_summary_asks_nothing_anew(ask):
    fake = engine(cells=CELLS)
    probe = ask(fake, LOAD, TEMPERATURE)
    assert probe.cells == CELLS
    (series,) = probe.series_of(LOAD)
    assert (series.output, series.units, series.method) == ("load", "W", "scalar")
    again = ask(fake, replace(LOAD, column="User Load", array="other"), TEMPERATURE, SUMMARY)
    assert again.cells == CELLS
    assert fake.starts == 1
    assert {one.output for one in again.series_of(SUMMARY)} == set(SUMMARY_NAMES)
    assert told(again, SUMMARY) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"table": "Zone Sensible Heating"}, ""),  # "-" may be a number in a longer run
        ({"column": "Design Day Name"}, "no number but 'CHICAGO'"),
        ({"table": "Zone Latent Cooling"}, "did you mean 'Zone Sensible Cooling'"),
        ({"name": "HVACSizingSumary"}, "did you mean 'HVACSizingSummary'"),
        ({"column": ""}, "say the `column`"),
    ],
)
def test_a_wrong_cell_is_told_before_any_run(ask, changes, message):
    probe = ask(engine(cells=CELLS), LOAD)
    output = replace(LOAD, **changes)
    found = told(probe, output)
    assert len(found) == bool(message)
    assert message in "".join(found)
    is_ambiguous = changes == {"column": ""}
    assert len(told(probe, replace(output, optional=True))) == is_ambiguous
