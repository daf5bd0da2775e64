"""Options: their shape, and the edits that their labels stand for."""

from __future__ import annotations

import pytest

import bemsweep as bs
from bemsweep.edits import FieldEdit, InputRef, InsertEdit, ScheduleEdit
from bemsweep.errors import StudyError
from bemsweep.options import Options
from bemsweep.parameters import Field


def told(make):
    with pytest.raises(StudyError) as caught:
        make()
    return [str(problem) for problem in caught.value.problems]


def test_the_edits_of_an_option_in_order():
    options = Options(
        {
            "none": [],
            "all": [
                {"insert": "a.idf"},
                {"object": "Lights", "field": "f", "multiply": 2, "name": "core*"},
                Field("Lights", "g", values=[3]),
                {"schedule": "S", "replace": "b.csv"},
                {"call": "os:getcwd", "value": "x"},
            ],
        }
    )
    refs = {name: InputRef(name * 8, ".x") for name in ("a.idf", "b.csv")}
    assert options.levels == ("none", "all")
    assert options.file_names("all") == ("a.idf", "b.csv")
    assert options.edits("none", refs) == ()
    insert, lights, other, schedule, call = options.edits("all", refs)
    assert insert == InsertEdit(refs["a.idf"])
    assert lights == FieldEdit("Lights", "f", "multiply", 2, "core*")
    assert other == FieldEdit("Lights", "g", "set", 3)
    assert schedule == ScheduleEdit("S", "replace", file=refs["b.csv"])
    assert (call.function, call.value) == ("os:getcwd", "x")
    assert options.edited_types() == ("Lights", "Lights")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "options are a mapping of labels to lists of edits @ options"),
        ([1], "options are a mapping of labels to lists of edits @ options"),
        ({"a": 5}, "this takes a list, not 5 @ options.a"),
        ({"a": [{"object": "L", "field": "f"}]}, "an edit of an option has one value"),
        ({"a": [{"object": "L", "field": "f", "values": [1, 2]}]}, "an edit of an option has one value"),
        ({"a": [{"object": "L", "field": "f", "set": None}]}, "an edit of an option has one value"),
        ({"a": [{"object": "L", "field": "f", "set": 1, "value": 2}]}, "one value, not set and value"),
        ({"a": [{"object": "L", "field": "f", "set": 1, "values": [2]}]}, "one value, not set and values"),
        ({"a": [{"object": "L", "feild": "f", "set": 1}]}, "unknown key 'feild'"),
        ({"a": [{"object": "L", "field": "f", "sett": 1}]}, "unknown key 'sett'"),
        ({"a": [{"schedule": "S", "set": 1}]}, "unknown key 'set' @ options.a.0.set"),
        ({"a": [{"insert": "a.idf", "value": 1}]}, "unknown key 'value' @ options.a.0.value"),
        ({"a": [{"options": {}}]}, "an edit is {object: …, field: …, set: …}"),
        ({"a": ["glass.idf"]}, "an edit is {object: …, field: …, set: …}, {schedule: …}, {insert: …}"),
        ({" ": []}, "' ' is no label"),
    ],
)
def test_options_of_another_shape_are_told(options, message):
    problems = told(lambda: Options(options))
    assert any(message in problem for problem in problems), problems


def test_the_words_of_an_edit_are_known_to_hints():
    edits = [{"object": "L", "field": "f", "sett": 1}, {"call": "a:b", "valu": 1}]
    with pytest.raises(StudyError) as caught:
        bs.Study(name="s", baseline="a", weather="b", outputs=["summary"], parameters={"g": {"options": {"a": edits}}})
    told_of = [str(problem) for problem in caught.value.problems]
    assert "unknown key 'sett' (did you mean 'set'?) @ parameters.g.options.a.0.sett" in told_of
    assert "unknown key 'valu' (did you mean 'value'?) @ parameters.g.options.a.1.valu" in told_of
