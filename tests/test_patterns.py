from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bemsweep.patterns import matches


@given(st.text(max_size=20))
def test_a_text_matches_itself_and_a_star_all(text):
    assert matches("*", text)
    assert matches(text.replace("*", "?"), text)


def test_brackets_are_no_wildcards():
    assert matches("Zone [1-2]", "zone [1-2]")
    assert not matches("Zone [1-2]", "Zone 1")
