"""What a study asks to be reported: cells and the summary; variables and meters are tried in test_study."""

from __future__ import annotations

import pytest

import bemsweep as bs
from bemsweep.errors import StudyError
from bemsweep.outputs import Output
from bemsweep.study import Study

SETTINGS = {
    "name": "s",
    "baseline": "bundled:ref/small_office",
    "weather": "bundled:usa_il_chicago",
    "outputs": [{"meter": "m"}],
}


def study(**changes):
    return Study(**{**SETTINGS, **changes})


def problems_of(make, *args, **settings):
    with pytest.raises(StudyError) as caught:
        make(*args, **settings)
    return [str(problem) for problem in caught.value.problems]


LOAD = {"report": "HVACSizingSummary", "for": "Entire Facility", "name": "Zone Sensible Cooling", "row": "CORE_ZN"}


def test_summary_and_cells_are_the_same_from_a_file_and_from_python(tmp_path):
    path = tmp_path / "study.yaml"
    head = "name: s\nbaseline: bundled:ref/small_office\nweather: bundled:usa_il_chicago\n"
    cell = ", ".join(f"{key}: {text}" for key, text in LOAD.items())
    path.write_text(f"{head}outputs: [summary, {{table: {{{cell}, column: User Design Load}}, as: load}}]\n")
    load = {("for_" if key == "for" else key): text for key, text in LOAD.items()}
    outputs = ["summary", bs.Table(**load, column="User Design Load", as_="load")]
    from_file = Study.from_yaml(path)
    assert from_file.resolved_outputs() == study(outputs=outputs).resolved_outputs()
    assert from_file.resolved_outputs() == (
        Output("summary", "summary", "annual", "summary", ""),
        Output(
            "table", "HVACSizingSummary", "annual", "load", "Entire Facility",
            table="Zone Sensible Cooling", row="CORE_ZN", column="User Design Load",
        ),
    )  # fmt: skip
    assert from_file.to_dict()["outputs"] == [
        "summary", {"table": {**LOAD, "column": "User Design Load"}, "as": "load"}
    ]  # fmt: skip
    assert Study(**from_file.to_dict()).resolved_outputs() == from_file.resolved_outputs()


def test_what_only_one_fits_may_be_left_out_but_not_report_and_name():
    assert bs.Table(report="R", as_="x").output() == Output("table", "R", "annual", "x", "")
    assert problems_of(bs.Table, report="R") == ["'as' is missing @ as"]
    assert problems_of(bs.Table, row="R", as_="x") == ["'report' is missing @ report"]
    assert problems_of(bs.Table, report="R", rows="x", as_="x") == ["unknown key 'rows' (did you mean 'row'?) @ rows"]
    assert problems_of(bs.Table, report="R", row=2, as_="x") == ["this takes a text, not 2 @ row"]
    assert problems_of(bs.Table, table={"report": "R"}, row="x", as_="x") == ["unknown key 'row' @ row"]
    assert "names nothing" in problems_of(bs.Table, report=" ", as_="x")[0]


def test_problems_of_a_cell_are_told_where_they_stand(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: s\nbaseline: bundled:ref/small_office\nweather: bundled:usa_il_chicago\noutputs:\n"
        "  - table:\n      report: R\n      colum: C\n    as: x\n  - {table: {report: R}}\n"
    )
    assert problems_of(Study.from_yaml, path) == [
        "unknown key 'colum' (did you mean 'column'?) @ outputs.0.table.colum, line 7",
        "'as' is missing @ outputs.1.as, line 9",
    ]


@pytest.mark.parametrize("name", ["site_energy", "End_Uses", "peak_demand_time"])
def test_the_summarys_names_are_its_own(name):
    taken = f"{name!r} is the name of something else in the results: give another one with `as` @ outputs.0"
    assert problems_of(study, outputs=[bs.Table(report="R", as_=name)]) == [taken]
    assert problems_of(study, outputs=[bs.Meter("m", frequency="annual", as_=name)]) == [taken]
    assert study(outputs=[bs.Meter("m", frequency="hourly", as_=name)]).resolved_outputs()
    parameters = {name: bs.Field("Lights", "watts_per_floor_area", values=[6])}
    (told,) = problems_of(study, parameters=parameters, outputs=["summary"])
    assert told.startswith(f"the summary has an array {name.casefold()!r}: give the parameter")
    assert study(parameters=parameters).parameters


@pytest.mark.parametrize("name", ["fuel", "END_USE"])
def test_the_summarys_dims_are_reserved(name):
    assert "is a name that the results use" in problems_of(
        study, parameters={name: bs.Field("Lights", "watts_per_floor_area", values=[6])}
    )[0]  # fmt: skip


def test_design_days_have_sizing_but_no_summary():
    outputs = ["summary", bs.Table(report="AnnualBuildingUtilityPerformanceSummary", as_="x"), bs.Table(**SIZED)]
    summary, table = problems_of(study, run="design_day", outputs=outputs)
    assert "no summary" in summary
    assert "run: annual" in summary
    assert "HVACSizingSummary" in table
    assert study(run="design_day", outputs=[bs.Table(**SIZED)]).resolved_outputs()
    assert len(study(run="run_period", outputs=outputs).resolved_outputs()) == 3


SIZED = {"report": "HVACSizingSummary", "row": "CORE_ZN", "column": "User Design Load", "as_": "load"}


def test_two_cells_need_two_names_and_one_cell_one():
    two = [bs.Table(report="R", row="A", as_="x"), bs.Table(report="R", row="B", as_="x")]
    assert problems_of(study, outputs=two) == ["'R' and 'R' have one name, 'x': use `as` @ outputs"]
    again = [bs.Table(report="R", row="A", as_="x"), bs.Table(report="r", row="a", as_="y")]
    assert problems_of(study, outputs=again) == [
        "'r' is asked for twice, with another `as` or `optional` @ outputs"
    ]  # fmt: skip
