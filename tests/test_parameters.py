"""Parameters: their shape, their levels and the edits that these stand for."""

from __future__ import annotations

import math
import pickle
import statistics
from functools import partial

import numpy as np
import pytest

from bemsweep.edits import CallEdit, FieldEdit, InputRef, InsertEdit, ScheduleEdit
from bemsweep.errors import StudyError
from bemsweep.parameters import Call, Field, Insert, Schedule
from bemsweep.parts import read_level


def set_wwr(document, value):
    """A function that edits a model."""


def made_by_a_factory(factor):
    def edit(document, value):
        return factor

    return edit


def told(make):
    with pytest.raises(StudyError) as caught:
        make()
    return [str(problem) for problem in caught.value.problems]


def test_a_field_in_short():
    lighting = Field("Lights", "watts_per_floor_area", values=[None, 6, 8.5, "Autosize", True])
    assert lighting.levels == (None, 6, 8.5, "Autosize", True)
    assert lighting.name == "*"
    assert lighting.edits(6, {}) == (FieldEdit("Lights", "watts_per_floor_area", "set", 6),)


@pytest.mark.parametrize(("kind", "operation"), [("values", "set"), ("multiply", "multiply"), ("add", "add")])
def test_the_kind_of_levels_is_the_operation(kind, operation):
    parameter = Field("Lights", "watts_per_floor_area", **{kind: [None, 2]})
    assert parameter.operation == operation
    assert parameter.edits(2, {})[0].operation == operation


def test_levels_false_and_zero_are_levels():
    assert Field("L", "f", values=[0]).levels == (0,)
    assert Field("L", "f", values=[False]).levels == (False,)
    assert Field("L", "f", values=[""]).levels == ("",)
    assert Field("L", "f", values=[None]).levels == (None,)


def test_a_table_says_what_its_values_mean():
    parameter = Field("Lights", "watts_per_floor_area", operation="multiply")
    assert parameter.levels is None
    assert parameter.edits(0.5, {})[0].operation == "multiply"


def test_where_does_not_depend_on_the_order_of_its_keys():
    one = Field("L", "f", values=[1], where={"a": 1, "b": "x"}).edits(1, {})
    other = Field("L", "f", values=[1], where={"b": "x", "a": 1}).edits(1, {})
    assert one == other
    assert one[0].where == (("a", 1), ("b", "x"))


def test_numbers_of_numpy_are_numbers():
    assert Field("L", "f", values=np.linspace(0, 1, 3)).levels == (0.0, 0.5, 1.0)
    levels = Field("L", "f", values=[np.int64(3), np.float64(0.5), np.bool_(True)]).levels
    assert levels == (3, 0.5, True)
    assert [type(level) for level in levels] == [int, float, bool]
    assert Field("L", "f", multiply=range(1, 3)).levels == (1, 2)


@pytest.mark.parametrize(
    "level", [math.nan, math.inf, -math.inf, 10**400, np.float64("nan"), [1], {"a": 1}, object(), 1j, b"x"]
)
def test_what_is_no_level_is_refused(level):
    with pytest.raises(ValueError, match="is no number"):
        read_level(level)


def test_all_bad_levels_are_told_at_once_each_at_its_place():
    problems = told(lambda: Field("L", "f", values=[1, math.nan, [2], math.inf]))
    assert [problem.partition(" @ ")[2] for problem in problems] == ["values.1", "values.2", "values.3"]
    assert "nan is no number" in problems[0]


@pytest.mark.parametrize("kind", ["multiply", "add"])
def test_texts_cannot_be_calculated_with(kind):
    problems = told(lambda: Field("L", "f", **{kind: ["a", 2, True, None, "3"]}))
    assert [problem.partition(" @ ")[2] for problem in problems] == [f"{kind}.0", f"{kind}.2", f"{kind}.4"]
    assert "'a' is not a number" in problems[0]


@pytest.mark.parametrize(
    ("levels", "repeated"),
    [
        ([6, 8, 6], "6"),
        ([6, 6.0], "6.0"),
        ([1, True], "True"),
        ([None, None], "None"),
        (["a", "a", "a"], "'a'"),
        ([0.0, -0.0], "-0.0"),
    ],
)
def test_a_level_is_given_once(levels, repeated):
    assert told(lambda: Field("L", "f", values=levels)) == [f"given twice: {repeated} @ values"]


def test_a_text_is_not_the_number_it_spells():
    assert Field("L", "f", values=["6", 6]).levels == ("6", 6)


def test_no_level_is_refused():
    assert told(lambda: Field("L", "f", values=[])) == ["there is no level @ values"]


@pytest.mark.parametrize("levels", [6, {"a": 1}, None])
def test_levels_are_a_list(levels):
    if levels is None:
        assert Field("L", "f", values=None).levels is None
    else:
        assert told(lambda: Field("L", "f", values=levels)) == [f"this takes a list, not {levels!r} @ values"]


def test_two_kinds_of_levels_are_refused():
    assert told(lambda: Field("L", "f", values=[1], add=[2])) == [
        "give one of values, multiply and add, not values and add"
    ]
    problems = told(lambda: Field("L", "f", values=[1], operation="add"))
    assert problems == ["values and operation: add contradict each other"]


def test_what_is_missing_or_unknown_is_told_at_once():
    problems = told(lambda: Field("Lights", valeus=[1], feild="x"))
    assert problems == [
        "'field' is missing @ field",
        "unknown key 'valeus' (did you mean 'values'?) @ valeus",
        "unknown key 'feild' (did you mean 'field'?) @ feild",
    ]


def test_nan_is_nothing_to_look_for():
    problems = told(lambda: Field("L", "f", values=[1], where={"a": math.nan, "b": None, "c": [1]}))
    assert [problem.partition(" @ ")[2] for problem in problems] == ["where.a", "where.b", "where.c"]


def test_a_field_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Field("L", "f", values=[1]).name = "x"


def test_a_definition_ignores_levels_and_spelling_and_nothing_else():
    one = Field("Lights", "Watts per Floor Area", values=[1, 2], where={"Zone Name": "A"}).definition()
    assert one == Field("LIGHTS", "watts_per_floor_area", values=[3], where={"zone_name": "A"}).definition()
    others = [
        Field("People", "watts_per_floor_area", values=[1], where={"zone_name": "A"}),
        Field("Lights", "watts_per_person", values=[1], where={"zone_name": "A"}),
        Field("Lights", "watts_per_floor_area", multiply=[1], where={"zone_name": "A"}),
        Field("Lights", "watts_per_floor_area", values=[1], where={"zone_name": "B"}),
        Field("Lights", "watts_per_floor_area", values=[1]),
        Field("Lights", "watts_per_floor_area", values=[1], where={"zone_name": "A"}, name="Core*"),
    ]
    assert all(other.definition() != one for other in others)


def test_a_call_knows_its_function_its_name_and_its_source():
    call = Call(set_wwr, values=[None, 0.4], version="2")
    assert call.function() is set_wwr
    assert call.function_name == f"{__name__}:set_wwr"
    (edit,) = call.edits(0.4, {})
    assert edit == CallEdit(f"{__name__}:set_wwr", 0.4, edit.source, "2")
    assert edit.source.startswith("def set_wwr(document, value):")


def test_a_call_by_name_is_imported_when_needed():
    call = Call("statistics:NormalDist.pdf", values=[1])
    assert call.function() is statistics.NormalDist.pdf
    assert call.function_name == "statistics:NormalDist.pdf"
    assert "def pdf" in call.source()


@pytest.mark.parametrize(
    ("name", "error"),
    [("no_such_module_here:f", ImportError), ("math:no_such_function", AttributeError), ("math:pi", ImportError)],
)
def test_a_function_that_does_not_exist_is_told_when_it_is_needed(name, error):
    call = Call(name, values=[1])
    with pytest.raises(error):
        call.function()


def test_a_function_of_which_python_has_no_source():
    assert Call("math:sin", values=[1]).source() == ""


@pytest.mark.parametrize("name", ["no_colon", "a:b:c", "a b:c", ":f", "a:", "", "os.system('x'):y"])
def test_a_name_is_a_module_and_a_function(name):
    assert "is not of the form 'module:function'" in told(lambda: Call(name, values=[1]))[0]


@pytest.mark.parametrize(
    "function", [lambda document, value: None, partial(set_wwr, 1), made_by_a_factory(2), print, 5]
)
def test_only_functions_that_their_source_tells_whole_are_called(function):
    """Two lambdas, or two closures of one factory, have one name and would share their records."""
    assert "is no function made with `def`" in told(lambda: Call(function, values=[1]))[0]


def test_levels_of_a_call_are_checked_too():
    assert told(lambda: Call(set_wwr, values=[math.nan]))[0].endswith("@ values.0")
    assert Call(set_wwr, values=["text", None]).levels == ("text", None)


def test_parameters_can_be_pickled():
    for parameter in (Field("L", "f", values=[1], where={"a": 1}), Call(set_wwr, values=[1])):
        assert pickle.loads(pickle.dumps(parameter)) == parameter


# Schedules and inserted files


def test_a_schedule_takes_one_operation():
    assert Schedule("S", add=[0, 1]).operation == "add"
    assert Schedule("S").operation == "replace"
    assert told(lambda: Schedule("S", add=[1], multiply=[2])) == [
        "give one of add, multiply and replace, not add and multiply"
    ]
    assert told(lambda: Schedule("S", add=["x"])) == ["'x' is not a number to calculate with @ add.0"]
    assert told(lambda: Schedule("S", replace=[True])) == ["True is no number and no file @ replace.0"]
    assert Schedule("S", replace=[None, 0.5, "a.csv"]).levels == (None, 0.5, "a.csv")


def test_a_schedule_names_its_files():
    parameter = Schedule("S", replace=[0.5, "a.csv"])
    assert (parameter.file_names("a.csv"), parameter.file_names(0.5)) == (("a.csv",), ())
    ref = InputRef("0" * 64, ".csv")
    assert parameter.edits("a.csv", {"a.csv": ref}) == (ScheduleEdit("S", "replace", file=ref),)
    assert parameter.edits(0.5, {}) == (ScheduleEdit("S", "replace", 0.5),)


def test_inserted_files():
    parameter = Insert([None, "a.idf"])
    ref = InputRef("1" * 64, ".idf")
    assert parameter.levels == (None, "a.idf")
    assert parameter.edits("a.idf", {"a.idf": ref}) == (InsertEdit(ref),)
    assert told(lambda: Insert([5])) == ["5 is no file @ insert.0"]


def test_computed_levels():
    parameter = Field("L", "f", multiply="2 * wall")
    assert (parameter.levels, parameter.expression, parameter.operation) == (None, "2 * wall", "multiply")
    assert Field("L", "f", values=[1]).expression is None
    assert Schedule("S", add="wall").expression == "wall"


def test_definitions_tell_meanings_apart():
    assert Field("L", "f", values=[1]).definition() == Field("l", "F", values=[2]).definition()
    assert "also" not in Field("L", "f").definition()
    assert Field("L", "f", also=[{"object": "M"}]).definition() != Field("L", "f").definition()
    assert Schedule("S", add=[1]).definition() != Schedule("S", multiply=[1]).definition()
    assert Schedule("s", add=[1]).definition() == Schedule("S", add=[2]).definition()
