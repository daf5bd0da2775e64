"""Study files: YAML 1.2 with lines, and messages that say where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bemsweep.errors import StudyError
from bemsweep.studyfile import parse_yaml, shown


def told(text):
    with pytest.raises(StudyError) as caught:
        parse_yaml(text)
    return [str(problem) for problem in caught.value.problems]


def test_yaml_is_1_2():
    data, _ = parse_yaml("a: Yes\nb: 22:00\nc: 1e-3\nd: no\ne: true\nf: null\ng: 010\n")
    assert data == {"a": "Yes", "b": "22:00", "c": 0.001, "d": "no", "e": True, "f": None, "g": 10}


def test_every_value_has_its_line():
    _, lines = parse_yaml("a: 1\nb:\n  c: [1,\n      2]\nd:\n- x\n- y: 1\n")
    assert lines["a",] == 1
    assert lines["b",] == 2
    assert lines["b", "c"] == 3
    assert lines["b", "c", 1] == 4
    assert lines["d", 1] == 7
    assert lines["d", 1, "y"] == 7


def test_all_duplicate_keys_are_told_with_both_lines():
    assert told("a: 1\nb: {c: 1, c: 2}\na: 2\nd:\n- {e: 1,\n   e: 2}\na: 3\n") == [
        "'c' is given twice, first on line 2 @ b, line 2",
        "'a' is given twice, first on line 1 @ line 3",
        "'e' is given twice, first on line 5 @ d.0, line 6",
        "'a' is given twice, first on line 1 @ line 7",
    ]


@pytest.mark.parametrize("character", ["\0", "\a", "\x0c", "\ufffe"])
def test_a_character_that_yaml_does_not_know_is_told_with_its_line(character):
    assert told(f"a: 1\r\nb: {character}2\n") == [f"not YAML: the character {character!r} cannot stand in it @ line 2"]


def test_an_anchor_may_be_given_again():
    assert parse_yaml("a: &x 1\nb: *x\nc: &x 2\nd: *x\n")[0] == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_equal_keys_at_different_places_are_no_duplicates():
    data, _ = parse_yaml("a: {x: 1}\nb: {x: 1}\n")
    assert data == {"a": {"x": 1}, "b": {"x": 1}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1\nc: 2", 3),
        ("a: 1\n\tb: 2", 2),
        ("a: 1\n---\nb: 2", 2),
        ("a: !!python/object/apply:os.system ['x']", 1),
        ("a: *nowhere", 1),
        ("a: 'x", 1),
        ("{", 1),
        ("a: b: c", 1),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text, line):
    problems = told(text)
    assert len(problems) == 1
    assert problems[0].startswith("not YAML: ")
    assert problems[0].endswith(f"line {line}")


def test_characters_that_no_text_has_are_told():
    assert told("a: \x00")[0].startswith("not YAML: ")


@pytest.mark.parametrize("text", ["? [a, b]\n: c", "? {a: b}\n: c"])
def test_a_key_is_a_text(text):
    assert told(text) == ["a key is a text, not a list or a mapping @ line 1"]


def test_an_alias_that_holds_itself_is_refused():
    assert told("a: &x {b: *x}") == ["an alias that holds itself @ a.b, line 1"]


def test_aliases_are_read_like_what_they_stand_for():
    data, lines = parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: &m {k: 1}, l: 2}\n")
    assert data == {"a": [1, 2], "b": [1, 2], "c": {"k": 1, "l": 2}}
    assert lines["b",] == 2


def test_a_bomb_of_aliases_is_refused_at_once():
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert told("\n".join(["l0: &l0 [boom]", *levels]))[0].startswith("a study file of more than 300,000 values")


def test_deep_nesting_is_refused():
    assert told("[" * 5000 + "]" * 5000) == ["not a study: nested too deeply"]


def test_nothing_is_nothing():
    assert parse_yaml("") == (None, {})
    assert parse_yaml("# a comment\n") == (None, {})


def test_a_byte_order_mark_is_no_part_of_the_first_key():
    assert parse_yaml("\ufeffname: x\n")[0] == {"name": "x"}


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_or_refused_with_our_error(text):
    try:
        _, lines = parse_yaml(text)
        places = list(lines.values())
    except StudyError as error:
        places = [problem.line or 1 for problem in error.problems]
    assert all(line >= 1 for line in places)


def test_a_message_shows_a_line_of_a_value_at_most():
    assert shown("short") == "'short'"
    assert len(shown(["x"] * 1000)) <= 101


@pytest.mark.parametrize("text", ["a: 2020-99-99", "a: !!int abc", "a: !!float abc", "a: !!bool abc"])
def test_values_that_are_not_what_they_look_like(text):
    with pytest.raises(StudyError, match="not YAML"):
        parse_yaml(text)
