import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from pyenergyplus.dataset import ref_models

from bemsweep.errors import ModelError
from bemsweep.model import prepare_run, read_model
from bemsweep.outputs import END_USES, FUELS, SUMMARY_NAMES, Output
from bemsweep.tables import (
    SUMMARY_SERIES,
    Cell,
    cell_number,
    cells_meant,
    has_text,
    is_known_in_design_days,
    read_cells,
    read_scalars,
    report_names,
    request_tables,
)
from direct_engine import query
from short_runs import run, short_model

SUMMARY = Output("summary", "summary", "annual", "summary", "")
SIZING, BUILDING, DEMAND = (
    "HVACSizingSummary",
    "AnnualBuildingUtilityPerformanceSummary",
    "DemandEndUseComponentsSummary",
)
FACILITY = "Entire Facility"
CELLS = (
    Cell(SIZING, FACILITY, "Zone Sensible Cooling", "CORE_ZN", "User Design Load", "W", "5510.706305232865"),
    Cell(SIZING, FACILITY, "Zone Sensible Cooling", "CORE_ZN", "Design Day Name", "", "CHICAGO ANN CLG"),
    Cell(SIZING, FACILITY, "Zone Sensible Cooling", "ATTIC", "User Design Load", "W", "     -1.50"),
    Cell(SIZING, FACILITY, "Zone Sensible Heating", "CORE_ZN", "User Design Load", "W", "2e3"),
    Cell("TWICE", "Meter", "Custom Monthly Report", "January", "SITE {AT MAX/MIN}", "C", "1.0"),
    Cell("TWICE", "Meter", "Custom Monthly Report", "January", "SITE {AT MAX/MIN}", "C", "2.0"),
    Cell("AnnualHeatEmissionsReport", FACILITY, "Annual Heat Emissions Summary", "HVAC", "Total", "GJ", ""),
)


def cell(**asked: str) -> Output:
    names = {"report": "name", "for_": "key", "name": "table"}
    given = {names.get(name, name): value for name, value in asked.items()}
    return Output(**{"kind": "table", "frequency": "annual", "array": "x", "key": "", "name": SIZING, **given})


@contextmanager
def database(cells: tuple[Cell, ...]) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as made:
        columns = "ReportName, ReportForString, TableName, RowName, ColumnName, Units, Value"
        made.execute(f"CREATE TABLE TabularDataWithStrings (TabularDataIndex INTEGER PRIMARY KEY, {columns})")
        made.executemany(f"INSERT INTO TabularDataWithStrings ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", cells)
        yield made


def abups(**changed: str) -> tuple[Cell, ...]:
    """What the summary is read from, with a number that tells each cell from the others."""
    cells = []
    for place, fuel in enumerate((*FUELS, "Water")):
        for number, use in enumerate((*END_USES, "", "Total End Uses")):
            text = "" if use == "" else str(100 * place + number + 0.25)
            cells.append(Cell(BUILDING, FACILITY, "End Uses", use, fuel, "GJ", text))
        cells.append(Cell(DEMAND, FACILITY, "End Uses", "Time of Peak", fuel, "W", changed.get(fuel, "-")))
        cells.append(Cell(DEMAND, FACILITY, "End Uses", "Total End Uses", fuel, "W", str(place)))
    cells.append(Cell(BUILDING, FACILITY, "Building Area", "Total Building Area", "Area", "m2", "511.15740000000005"))
    return tuple(cells)


def test_the_summary_has_the_arrays_that_its_names_say():
    assert tuple(one.output for one in SUMMARY_SERIES) == SUMMARY_NAMES


@pytest.mark.parametrize(
    "asked",
    [
        {"for_": FACILITY, "name": "Zone Sensible Cooling", "row": "CORE_ZN", "column": "User Design Load"},
        {"name": "zone sensible cooling", "row": "core_zn", "column": "user design load [w]"},
        {
            "report": "HVAC Sizing Summary",
            "name": "Zone Sensible Cooling",
            "row": "Core_zn ",
            "column": "User Design Load",
        },
    ],
)
def test_a_cell_is_found_whatever_the_case_and_what_is_left_out(asked):
    assert cells_meant(CELLS, cell(**asked)) == ([CELLS[0]], "")


def test_a_report_goes_by_the_name_that_asks_for_it_and_the_name_it_is_printed_under():
    for name in ("HeatEmissionsSummary", "AnnualHeatEmissionsReport"):
        assert cells_meant(CELLS, cell(report=name)) == ([CELLS[-1]], "")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"report": "EnvelopeSummary"}, "prints nothing in the report 'EnvelopeSummary'"),
        ({"for_": "Whole Facility"}, "has no for 'Whole Facility' (did you mean 'Entire Facility'?)"),
        ({"name": "Zone Sensible Coling"}, "no name 'Zone Sensible Coling' (did you mean 'Zone Sensible Cooling'?)"),
        (
            {"name": "Zone Sensible Cooling", "row": "COER_ZN"},
            "'COER_ZN' (did you mean 'CORE_ZN'?); it has 'CORE_ZN', 'ATTIC'",
        ),
        ({"row": "CORE_ZN", "column": "User Load"}, "has no column 'User Load' (did you mean 'User Design Load'?)"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_right_one(asked, told):
    meant, problem = cells_meant(CELLS, cell(**asked))
    assert meant == []
    assert told in problem


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"row": "CORE_ZN", "column": "User Design Load"},
            "the `name`, which is 'Zone Sensible Cooling', 'Zone Sensible H",
        ),
        ({"name": "Zone Sensible Cooling", "column": "User Design Load"}, "say the `row`, which is 'CORE_ZN', 'ATTIC'"),
        (
            {"name": "Zone Sensible Cooling", "row": "CORE_ZN"},
            "the `column`, which is 'User Design Load [W]', 'Design Day Name []'",
        ),
        ({"report": "TWICE"}, "2 cells that nothing tells apart"),
    ],
)
def test_an_ambiguous_cell_is_told_with_what_tells_apart(asked, told):
    meant, problem = cells_meant(CELLS, cell(**asked))
    assert len(meant) > 1
    assert told in problem


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5510.706305232865", 5510.706305232865),
        ("     -1.50", -1.5),
        ("2e3", 2000.0),
        ("1.5e-12", 1.5e-12),
        ("", None),
        ("-", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("03-JUL-15:10", None),
        ("Yes", None),
    ],
)
def test_a_number_is_the_engines_text_and_nothing_else_is_one(text, number):
    assert cell_number(CELLS[0]._replace(text=text)) == number
    assert has_text(CELLS[0]._replace(text=text)) == (number is None and text not in ("", "-"))


def test_cells_are_read_of_the_wanted_reports_only():
    with database(CELLS) as made:
        assert read_cells(made, [cell()]) == CELLS[:4]
        assert read_cells(made, [cell(report="Heat Emissions Summary")]) == CELLS[-1:]
        assert read_cells(made, [Output("meter", SIZING, "annual", "x", "")]) == ()
    with closing(sqlite3.connect(":memory:")) as nothing:
        assert read_cells(nothing, [cell()]) == ()


def test_a_cell_becomes_a_number_with_its_unit_and_names():
    asked = cell(name="Zone Sensible Cooling", row="ATTIC", column="User Design Load")
    with database(CELLS) as made:
        (found,) = read_scalars(made, [asked])
    assert (found.output, found.frequency, found.method, found.units) == ("x", "annual", "scalar", "W")
    assert found.name == "HVACSizingSummary, Zone Sensible Cooling, ATTIC, User Design Load"
    np.testing.assert_array_equal(found.values, [-1.5])


@pytest.mark.parametrize(
    ("asked", "told", "is_ambiguous"),
    [
        ({"row": "NONE"}, "no row 'NONE'", False),
        ({"row": "CORE_ZN", "column": "Design Day Name"}, "holds 'CHICAGO ANN CLG', which is no number", False),
        ({"report": "HeatEmissionsSummary"}, "holds '', which is no number", False),
        ({"row": "CORE_ZN"}, "say the `name`", True),
    ],
)
def test_a_run_without_the_cell_is_the_models_fault_unless_it_is_optional(asked, told, is_ambiguous):
    with database(CELLS) as made:
        with pytest.raises(ModelError, match="output 'x'") as error:
            read_scalars(made, [cell(**asked)])
        assert told in str(error.value)
        assert ("optional: true" in str(error.value)) is not is_ambiguous
        lenient = Output(**vars(cell(**asked)) | {"optional": True})
        if is_ambiguous:
            with pytest.raises(ModelError, match="say the `name`"):
                read_scalars(made, [lenient])
        else:
            assert read_scalars(made, [lenient]) == ()


def test_the_summary_takes_each_cell_to_its_place():
    with database(abups(Electricity="03-JUL-15:10", Coal="29-FEB-24:00")) as made:
        found = {series.output: series.values for series in read_scalars(made, [SUMMARY])}
    np.testing.assert_array_equal(found["building_area"], [511.15740000000005])
    np.testing.assert_array_equal(found["site_energy"], [np.nan])
    uses = found["end_uses"].reshape(len(FUELS), len(END_USES))
    assert uses[FUELS.index("Coal"), END_USES.index("Fans")] == 406.25
    np.testing.assert_array_equal(found["peak_demand"], range(len(FUELS)))
    minutes = dict(zip(FUELS, found["peak_demand_time"], strict=True))
    assert minutes["Electricity"] == (31 + 29 + 31 + 30 + 31 + 30 + 2) * 1440 + 15 * 60 + 10
    assert minutes["Coal"] == 60 * 1440
    assert np.isnan(minutes["Propane"])


def test_energy_that_the_cube_has_no_place_for_is_the_models_fault():
    other = Cell(BUILDING, FACILITY, "End Uses", "Heating", "District Heating", "GJ", "1.5")
    with database((*abups(), other._replace(text="0.00"))) as made:
        read_scalars(made, [SUMMARY])
    with database((*abups(), other)) as made, pytest.raises(ModelError, match=r"1\.5 GJ of 'District Heating'"):
        read_scalars(made, [SUMMARY])


def test_a_run_without_the_summarys_report_is_told():
    with database(CELLS) as made, pytest.raises(ModelError, match=BUILDING):
        read_scalars(made, [SUMMARY])


def test_reports_of_sizing_are_known_without_weather():
    assert is_known_in_design_days("HVACSizingSummary")
    assert is_known_in_design_days("Standard62.1Summary")
    assert not is_known_in_design_days(BUILDING)


class TestWhatARunIsAskedFor:
    @pytest.fixture
    def document(self):
        made = read_model(Path(ref_models["small_office"]))
        fields = {"digits_after_decimal": 2, "variable_details": [{"variable_or_meter_name": "Electricity:Facility"}]}
        for name in ("My Meters", "Other Meters"):
            made.add("Output:Table:Monthly", name, fields, validate=False)
        return made

    def test_nothing_without_tables(self, document):
        prepare_run(document, "annual", [Output("meter", "Electricity:Facility", "annual", "x", "")])
        assert document["Output:SQLite"].first().option_type == "Simple"
        assert not document["Output:Table:SummaryReports"]
        assert not document["Output:Table:Monthly"]

    @pytest.mark.parametrize("keep", [False, True])
    def test_the_reports_in_full_digits(self, document, keep):
        prepare_run(document, "annual", [SUMMARY, cell(report="HVAC sizing summary")], keep_model_outputs=keep)
        (sqlite,) = document["Output:SQLite"]
        assert sqlite.option_type == "SimpleAndTabular"
        assert sqlite.unit_conversion_for_tabular_data == "None"
        assert sqlite.format_numeric_values_for_tabular_data == "No"
        (reports,) = document["Output:Table:SummaryReports"]
        names = [entry["report_name"] for entry in reports.data["reports"]]
        assert names[-3:] == [BUILDING, DEMAND, SIZING]
        assert (len(names) > 3) is keep
        assert bool(document["Output:Table:Monthly"]) is keep

    def test_the_models_own_table_stays_if_it_holds_a_cell(self, document):
        prepare_run(document, "annual", [cell(report="my meters")])
        assert [table.name for table in document["Output:Table:Monthly"]] == ["My Meters"]
        assert not document["Output:Table:SummaryReports"]
        assert document["Output:SQLite"].first().option_type == "SimpleAndTabular"

    def test_a_report_that_the_engine_dies_of_alone_brings_what_it_needs(self, document):
        prepare_run(document, "annual", [cell(report="FacilityComponentLoadSummary")])
        names = [entry["report_name"] for entry in document["Output:Table:SummaryReports"].first().data["reports"]]
        assert names == ["FacilityComponentLoadSummary", "AirLoopComponentLoadSummary"]

    def test_the_names_that_can_be_asked_for(self, document):
        names = report_names(document)
        assert {"My Meters", SIZING, "EnvelopeSummary"} <= set(names)
        assert not any(name.startswith("All") for name in names)


@pytest.mark.engine
def test_the_engine_prints_the_time_of_a_peak_a_timestep_late_or_an_hour_early(tmp_path):
    """What the documents say of `peak_demand_time`; if a newer EnergyPlus does better, they can say less."""
    document = short_model(ref_models["small_office"], days=((1, 14), (1, 14)), outputs=())
    for fuel, begin, end in (("Diesel", "14:30", "14:40"), ("Propane", "14:50", "15:00")):
        hours = ["Through: 12/31", "For: AllDays", f"Until: {begin}", 0, f"Until: {end}", 1, "Until: 24:00", 0]
        document.add("Schedule:Compact", fuel, {"data": [{"field": field} for field in hours]}, validate=False)
        load = {"fuel_type": fuel, "schedule_name": fuel, "design_level": 100.0}
        load |= {"zone_or_zonelist_or_space_or_spacelist_name": "Core_ZN"}
        document.add("OtherEquipment", fuel, load, validate=False)
    request_tables(document, [SUMMARY])
    folder = run(document, tmp_path / "run")
    printed = dict(query(folder, "SELECT ColumnName, Value FROM TabularDataWithStrings WHERE RowName = 'Time of Peak'"))
    assert (printed["Diesel"], printed["Propane"]) == ("14-JAN-14:49", "14-JAN-14:09")
