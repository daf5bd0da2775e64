"""Names of arrays and patterns of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bemsweep.outputs import FREQUENCIES, Output, array_name


def output(key):
    return Output("variable", "Zone Mean Air Temperature", "hourly", "t", key)


@given(st.text())
def test_array_names_hold_no_character_that_a_store_or_a_file_cannot(text):
    name = array_name(text)
    assert not set(name) & set(':/\\*?"<>|')
    assert len(name) == len(text)
    assert array_name(name) == name


@pytest.mark.parametrize(
    ("pattern", "key", "is_wanted"),
    [
        ("*", "CORE_ZN", True),
        ("core_zn", "CORE_ZN", True),
        ("*_ZN*", "Perimeter_ZN_1", True),
        ("Perimeter_ZN_?", "PERIMETER_ZN_1", True),
        ("Perimeter_ZN_?", "PERIMETER_ZN_12", False),
        ("CORE", "CORE_ZN", False),
        ("Zone [1]", "ZONE [1]", True),
        ("Zone [1]", "ZONE 1", False),
        ("Zone [*", "ZONE [1]", True),
        ("a.c", "abc", False),
    ],
)
def test_keys_match_whole_without_regard_to_case(pattern, key, is_wanted):
    assert output(pattern).is_wanted(key) is is_wanted


@given(st.text(st.characters(exclude_characters="*?", codec="ascii")))
def test_a_pattern_without_wildcards_matches_itself(key):
    assert output(key).is_wanted(key.lower())


def test_frequencies_are_the_groups_of_the_cube_finest_first():
    assert FREQUENCIES == ("timestep", "hourly", "daily", "monthly", "annual")
