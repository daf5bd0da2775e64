"""The points of a study and their order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bemsweep as bs
from bemsweep.design import design_points
from bemsweep.errors import StudyError

LABELS = {"baseline": ["asbuilt", "code"], "weather": ["chicago", "denver"]}
ONE = {"baseline": ["m"], "weather": ["w"]}


def study(levels=None, **changes):
    """A study whose parameters have the given levels, or none for a table."""
    settings = {
        "name": "s",
        "baseline": "m.idf",
        "weather": "w.epw",
        "outputs": [bs.Meter("Electricity:Facility")],
        "parameters": {
            name: bs.Field("Lights", name, values=values) if values else bs.Field("Lights", name)
            for name, values in (levels or {}).items()
        },
    }
    return bs.Study(**{**settings, **changes})


def points(a_study, labels=ONE, *, most=None):
    return design_points(a_study, labels, most=most)


def rows(a_study, labels=ONE):
    """Return the rows without baseline and weather."""
    return [row[2:] for row in points(a_study, labels).rows]


def problems_of(a_study, labels=ONE, *, most=None):
    with pytest.raises(StudyError) as caught:
        points(a_study, labels, most=most)
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def table(tmp_path):
    """Return a study whose table is a CSV of the given text, in a folder of its own."""

    def make(text, parameters=("x", "y"), **changes):
        path = tmp_path / "points.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return study(dict.fromkeys(parameters), design={"table": path}, **changes)

    return make


# Grid


def test_a_grid_varies_the_last_parameter_fastest_after_the_reference():
    found = points(study({"a": [1, 2], "b": ["x", "y"]}))
    assert found.names == ("baseline", "weather", "a", "b")
    assert found.rows == (
        ("m", "w", None, None),
        ("m", "w", 1, "x"),
        ("m", "w", 1, "y"),
        ("m", "w", 2, "x"),
        ("m", "w", 2, "y"),
    )


def test_there_is_one_reference_for_each_baseline_and_weather_and_all_come_first():
    found = points(study({"a": [1]}), LABELS).rows
    pairs = list(itertools.product(LABELS["baseline"], LABELS["weather"]))
    assert found[:4] == tuple((*pair, None) for pair in pairs)
    assert found[4:] == tuple((*pair, 1) for pair in pairs)


def test_a_reference_that_the_grid_has_too_is_not_repeated():
    assert rows(study({"a": [1, None], "b": [None, 5]})) == [(None, None), (1, None), (1, 5), (None, 5)]


def test_without_reference():
    assert rows(study({"a": [1, None]}, reference=False)) == [(1,), (None,)]


def test_a_study_without_parameters_is_its_references():
    assert points(study(), LABELS).rows == tuple(itertools.product(LABELS["baseline"], LABELS["weather"]))
    assert len(points(study(reference=False), LABELS).rows) == 4


def test_false_and_zero_are_levels():
    assert rows(study({"a": [0], "c": [False]}, reference=False)) == [(0, False)]


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True), min_size=1, max_size=3), st.booleans()
)
def test_a_grid_has_every_combination_once(levels, reference):
    found = rows(study({f"p{n}": values for n, values in enumerate(levels)}, reference=reference))
    assert len(found) == math.prod(map(len, levels)) + reference
    assert len(set(found)) == len(found)


# Exclude


def test_excluded_points_are_left_out_and_the_reference_stays():
    one = study({"a": [1, 2], "b": [1, 2]}, exclude=["a == 2 and b == 1", "b == 2 and a == 1"])
    assert rows(one) == [(None, None), (1, 1), (2, 2)]
    assert rows(study({"a": [None, 1]}, exclude=["a == null"])) == [(None,), (1,)]
    assert rows(study({"a": [None, 1]}, exclude=["a == null"], reference=False)) == [(1,)]


def test_exclude_knows_baseline_and_weather():
    found = points(study({"a": [1]}, exclude=["weather == 'denver'", "baseline != 'code'"], reference=False), LABELS)
    assert found.rows == (("code", "chicago", 1),)


def test_all_bad_conditions_are_told_at_their_places():
    one = study({"a": [1]}, exclude=["a == 1", "__import__('os')", "b == 1", "a =="])
    assert problems_of(one) == [
        "\"__import__('os')\": Call is not allowed in an expression @ exclude.1",
        "'b == 1': no parameter 'b' @ exclude.2",
        "'a ==' is no condition @ exclude.3",
    ]


def test_an_empty_design_is_refused():
    assert problems_of(study({"a": [1]}, exclude=["true"])) == [
        "the design is empty: no point is left by `exclude` @ design"
    ]
    nothing = study({"x": None}, design={"table": {"x": []}})
    assert problems_of(nothing) == ["the design is empty: it has no point @ design"]


# Size


def test_a_design_that_is_too_large_is_refused_before_it_is_made():
    huge = study({f"p{n}": list(range(1000)) for n in range(5)})
    assert problems_of(huge, most=1_000_000) == [
        (
            "the design has 1,000,000,000,000,000 points: pass --yes (yes=True in Python) "
            "if more than 1,000,000 are meant @ design"
        )
    ]


def test_the_limit_itself_is_all_right_and_no_limit_is_none():
    one = study({"a": list(range(10))})
    assert len(points(one, most=10).rows) == 11
    assert len(problems_of(one, most=9)) == 1
    assert len(points(one, LABELS, most=40).rows) == 44
    assert len(points(one, most=None).rows) == 11


def test_size_and_conditions_are_told_together():
    assert len(problems_of(study({"a": [1, 2]}, exclude=["b == 1"]), most=1)) == 2


# Tables


def test_a_table_is_listed_for_every_baseline_and_weather_that_it_does_not_choose():
    mapping = {"x": [1, 2], "y": ["a", None]}
    found = points(study({"x": None, "y": None}, design={"table": mapping}, reference=False), LABELS).rows
    assert found[:3] == (("asbuilt", "chicago", 1, "a"), ("asbuilt", "chicago", 2, None), ("asbuilt", "denver", 1, "a"))
    assert len(found) == 8


def test_a_table_may_choose_weather_and_baseline():
    mapping = {"weather": ["denver", "chicago"], "x": [1, 2]}
    found = points(study({"x": None}, design={"table": mapping}, reference=False), LABELS).rows
    assert found == (
        ("asbuilt", "denver", 1),
        ("asbuilt", "chicago", 2),
        ("code", "denver", 1),
        ("code", "chicago", 2),
    )


def test_labels_that_look_like_numbers(table):
    labels = {"baseline": ["m"], "weather": ["2004", "2010"]}
    for one in (
        table("weather,x\n2004,1\n", ["x"], reference=False),
        study({"x": None}, design={"table": {"weather": [2004], "x": [1]}}, reference=False),
        study({"x": None}, design={"table": pd.DataFrame({"weather": [2004], "x": [1]})}, reference=False),
    ):
        assert points(one, labels).rows == (("m", "2004", 1),)


def test_labels_of_options_that_look_like_numbers(tmp_path):
    (tmp_path / "points.csv").write_text("x,y\n2004,1\n,2\n")
    parameters = {"x": bs.Options({"2004": [], "2010": []}), "y": bs.Field("Lights", "f")}
    for listed in (tmp_path / "points.csv", {"x": [2004, None], "y": [1, 2]}):
        one = study(parameters=parameters, design={"table": listed}, reference=False)
        assert rows(one) == [("2004", 1), (None, 2)]


def test_repeated_points_of_a_table_are_one_and_order_is_the_tables():
    mapping = {"x": [3, 1, 3, 1.0, 2]}
    assert rows(study({"x": None}, design={"table": mapping}, reference=False)) == [(3,), (1,), (2,)]


def test_columns_may_stand_in_any_order(table):
    assert rows(table("y,x\na,1\n", reference=False)) == [(1, "a")]


def test_tables_of_all_kinds_are_one(table):
    expected = [(1, "a"), (2.5, None), (None, "b")]
    frame = pd.DataFrame({"x": [1, 2.5, None], "y": ["a", None, "b"]})
    assert rows(study({"x": None, "y": None}, design={"table": frame}, reference=False)) == expected
    mapping = {"x": [1, 2.5, None], "y": ["a", None, "b"]}
    assert rows(study({"x": None, "y": None}, design={"table": mapping}, reference=False)) == expected
    assert rows(table("x,y\n1,a\n2.5,\n,b\n", reference=False)) == expected


def test_values_of_a_frame_are_pythons_own():
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "f": np.array([0.5, np.nan]),
            "b": [True, False],
            "s": pd.Series(["a", pd.NA], dtype="string"),
            "c": pd.Categorical(["u", None]),
            "d": pd.to_datetime(["2024-01-01", None]),
        }
    )
    found = rows(study(dict.fromkeys(frame.columns), design={"table": frame}, reference=False))
    assert found[0] == (1, 0.5, True, "a", "u", "2024-01-01 00:00:00")
    assert found[1] == (None, None, False, None, None, None)
    assert {type(value) for row in found for value in row} == {int, float, bool, str, type(None)}


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.5"], [1, 2.5]),
        ([" 1 ", "-2e-3", "+.5", "3."], [1, -0.002, 0.5, 3.0]),
        (["1", "", "3"], [1, None, 3]),
        (["1", "two"], ["1", "two"]),
        (["nan", "1"], ["nan", "1"]),
        (["inf", "1"], ["inf", "1"]),
        (["1e999", "1"], ["1e999", "1"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["\u0661", "2"], ["\u0661", "2"]),
        (["0x10", "2"], ["0x10", "2"]),
        (["NA", "1"], ["NA", "1"]),
        (["true", "false"], ["true", "false"]),
        (["  a b ", "c"], ["a b", "c"]),
    ],
)
def test_columns_of_a_csv_are_numbers_or_texts(table, cells, values):
    one = table("x,y\n" + "".join(f"{cell},{n}\n" for n, cell in enumerate(cells)), reference=False)
    assert [row[0] for row in rows(one)] == values


def test_a_csv_of_excel_and_blank_lines(table):
    one = table('\ufeff"x", y \r\n\r\n1,"a, b"\r\n , \r\n2,"c ""d"""\r\n\r\n', reference=False)
    assert rows(one) == [(1, "a, b"), (2, 'c "d"')]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("x,y\n1\n2,3\n4,5,6\n", "line 2: 1 cells, the header has 2"),
        ("x,x,y\n1,2,3\n", "the table has two columns 'x'"),
        ("x\n1\n", "the table has no column for parameter 'y'"),
        ("x,y,z\n1,2,3\n", "column 'z' is no parameter"),
        ("x;y\n1;2\n", "column 'x;y' is no parameter"),
        ("x,y\n", "the design is empty: it has no point"),
        ('x,y\n3,4\n"1,2\n5,6\n', "points.csv: line 3: a quotation mark is never closed"),
        ('x,y\n"1"2,3\n', "points.csv: line 2: ',' expected after '\"'"),
        (b"x,y\n\xff\xfe,1\n", "points.csv: line 2 is not encoded as UTF-8"),
        (f"x,y\n{'9' * 400},1\n", "column 'x' of the table, row 1: 999"),
        ("x,y,weather\n1,2,wx\n", "the table names a weather 'wx' (did you mean 'w'?)"),
        ("x,y,weather\n1,2,\n", "the table names a weather None"),
    ],
)
def test_a_csv_that_is_wrong(table, text, message):
    told = problems_of(table(text))
    assert any(message in problem for problem in told), told


def test_all_ragged_lines_are_told(table):
    told = problems_of(table("x,y\n1\n2,3\n4,5,6\n"))
    assert [problem.partition(", line ")[2][:12] for problem in told] == ["2: 1 cells, ", "4: 3 cells, "]


def test_many_ragged_lines_do_not_fill_the_screen(table):
    told = problems_of(table("x,y\n" + "1\n" * 200))
    assert len(told) == 6
    assert "195 more lines have other numbers of cells" in told[-1]


def test_all_that_is_wrong_with_a_table_is_told_at_once(table):
    told = problems_of(table("xx,weather,weather\n1,den,w\n", exclude=["x =="]))
    assert [problem.partition(" @ ")[0] for problem in told] == [
        "column 'xx' is no parameter (did you mean 'x'?)",
        "the table has two columns 'weather'",
        "the table has no column for parameter 'x'",
        "the table has no column for parameter 'y'",
        "the table names a weather 'den'",
        "'x ==' is no condition",
    ]


def test_a_csv_that_does_not_exist(tmp_path):
    one = study({"x": None}, design={"table": str(tmp_path / "none.csv")})
    assert "cannot read the table" in problems_of(one)[0]
    assert "cannot read the table" in problems_of(study({"x": None}, design={"table": str(tmp_path)}))[0]


def test_the_path_of_a_csv_starts_from_the_study_files_folder(tmp_path):
    (tmp_path / "points.csv").write_text("x\n5\n")
    (tmp_path / "study.yaml").write_text(
        "name: s\nbaseline: m.idf\nweather: w.epw\noutputs: [{meter: m}]\nreference: false\n"
        "design: {table: points.csv}\nparameters: {x: {object: Lights, field: f}}\n"
    )
    assert rows(bs.Study.from_yaml(tmp_path / "study.yaml")) == [(5,)]


def test_frames_that_are_wrong():
    repeated = pd.DataFrame([[1, 2]], columns=["x", "x"])
    assert problems_of(study({"x": None}, design={"table": repeated})) == ["the table has two columns 'x' @ design"]
    infinite = pd.DataFrame({"x": [1.0, math.inf]})
    told = problems_of(study({"x": None}, design={"table": infinite}))
    assert told[0].startswith("column 'x' of the table, row 2: inf is no number to work with")
    mixed = pd.DataFrame({"x": [1, True]}, dtype=object)
    assert "mixes numbers with true and false" in problems_of(study({"x": None}, design={"table": mixed}))[0]
    assert "it has no point" in problems_of(study({"x": None}, design={"table": pd.DataFrame({"x": []})}))[0]


# Values computed from other parameters


def computed(expression, **others):
    parameters = {name: bs.Field("L", name, values=values) for name, values in others.items()}
    return {**parameters, "roof": bs.Field("L", "roof", multiply=expression)}


def test_a_computed_value_is_a_column_and_no_dimension():
    found = rows(study(parameters=computed("wall * 1.5", wall=[None, 1, 2]), reference=False))
    assert found == [(None, None), (1, 1.5), (2, 3.0)]


def test_computed_values_may_stand_before_what_they_are_computed_from_and_use_each_other():
    parameters = {
        "a": bs.Field("L", "a", values="2 * c"),
        "b": bs.Field("L", "b", values="a + c"),
        "c": bs.Field("L", "c", values=[1, 3]),
    }
    assert rows(study(parameters=parameters, reference=False)) == [(2, 3, 1), (6, 9, 3)]


def test_a_computed_value_may_depend_on_model_and_climate():
    found = points(study(parameters=computed("2 if weather == 'denver' else null")), LABELS).rows
    assert {row[1]: row[2] for row in found if row[2] is not None} == {"denver": 2}


def test_the_reference_computes_nothing():
    assert rows(study(parameters=computed("0.5", wall=[1])))[0] == (None, None)


def test_exclude_sees_computed_values():
    assert rows(study(parameters=computed("wall * 2", wall=[1, 2]), exclude=["roof > 3"], reference=False)) == [(1, 2)]


def test_a_table_has_no_column_for_a_computed_value():
    parameters = {"wall": bs.Field("L", "wall"), "roof": bs.Field("L", "roof", values="wall + 1")}
    assert rows(study(parameters=parameters, design={"table": {"wall": [1, None]}}, reference=False)) == [
        (1, 2),
        (None, None),
    ]
    told = problems_of(study(parameters=parameters, design={"table": {"wall": [1], "roof": [2]}}))
    assert told == ["column 'roof' is no parameter @ design"]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("wal * 2", "'wal * 2': no parameter 'wal' (did you mean 'wall'?) @ parameters.roof"),
        ("roof + 1", "'roof + 1': no parameter 'roof' @ parameters.roof"),
        ("wall *", "'wall *' is no expression @ parameters.roof"),
        ("[wall, 2]", "is no number, text, true, false or null"),
        ("wall * 1e308 * 10", "is no number to work with"),
    ],
)
def test_what_cannot_be_computed_is_told(expression, message):
    told = problems_of(study(parameters=computed(expression, wall=[1, 2])))
    assert len(told) == 1
    assert message in told[0]


def test_options_need_no_levels_in_a_table():
    options = {"glass": bs.Options({"double": [], "triple": []})}
    found = rows(study(parameters=options, design={"table": {"glass": ["triple", None]}}, reference=False))
    assert found == [("triple",), (None,)]
    assert rows(study(parameters=options, reference=False)) == [("double",), ("triple",)]


@pytest.mark.parametrize("design", ["grid", "table"])
def test_an_empty_text_is_no_level(design):
    """The cube holds texts, and null is the empty one."""
    one = study({"a": ["x", ""]}) if design == "grid" else study({"a": None}, design={"table": {"a": ["x", ""]}})
    (problem,) = problems_of(one)
    assert problem.startswith("'' cannot be told from null")
    assert problem.endswith("@ parameters.a")
