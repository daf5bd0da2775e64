from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bemsweep.schedule_values import read_schedule_values


def read(text):
    return read_schedule_values(text.encode())


ROWS = ["0.5"] * 8760


def text(rows):
    return "\n".join(rows) + "\n"


def with_row(number, row):
    return text([*ROWS[: number - 1], row, *ROWS[number:]])


@given(
    cycle=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    hours=st.sampled_from([8760, 8784]),
    heading=st.sampled_from(["", "value\n", "occupancy, or so [-]\r\n", '"a b"\n', "\ufeff", "\ufeffvalue\n"]),
    end=st.sampled_from(["\n", "\r\n", " \n"]),
    close=st.sampled_from(["", "\n", "\n\r\n  \n"]),
)
def test_the_numbers_are_those_of_the_file(cycle, hours, heading, end, close):
    values = tuple(cycle[row % len(cycle)] for row in range(hours))
    found = read(heading + end.join(map(repr, values)) + close)
    assert found.values == values
    assert found.has_heading is heading.endswith("\n")
    assert found.extremes == (min(values), max(values))


@pytest.mark.parametrize("per_hour", [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60])
def test_as_many_rows_an_hour_as_divide_it(per_hour):
    found = read(text(ROWS * per_hour))
    assert len(found.values) == 8760 * per_hour
    assert not found.has_heading


@pytest.mark.parametrize("row", ["5", "+5.", " .5e1", "5E0 ", "0005"])
def test_numbers_as_energyplus_reads_them(row):
    assert read(with_row(7, row)).values[6] == 5.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1 is blank"),
        (with_row(7, ""), "line 7 is blank"),
        (with_row(7, "high"), "line 7: 'high' is no number"),
        (with_row(7, "nan"), "line 7: 'nan' is no number"),
        (with_row(7, "inf"), "line 7: 'inf' is no number"),
        (with_row(7, "1e999"), "line 7: '1e999' is too large"),
        (with_row(7, "1D3"), "line 7: '1D3' is no number"),
        (with_row(7, "1_000"), "line 7: '1_000' is no number"),
        (with_row(7, '"0.5"'), "line 7: '\"0.5\"' is no number"),
        (with_row(7, "0,5"), "line 7: '0,5' is more than one column, or a number with a decimal comma"),
        (with_row(7, "0.5;"), "line 7: '0.5;' is more than one column"),
        (with_row(7, "0.5\t1"), "is more than one column"),
        (with_row(7, "x" * 80), f"line 7: '{'x' * 40}…' is no number"),
        (with_row(1, "0,5"), "line 1: '0,5' is more than one column"),
        (text(["2019-01-01 00:00,0.5"] * 8760), "line 1: '2019-01-01 00:00,0.5' is more than one column"),
        (text(["value", *ROWS[1:]]), "it has 8759 values below the heading 'value': give one for each hour"),
        (text(["value", "unit", *ROWS]), "line 2: 'unit' is no number"),
        (text(ROWS[1:]), "it has 8759 values without a heading: give one for each hour of a year, 8760, or 8784"),
        (text(ROWS * 7), "it has 61320 values"),
        (text(ROWS * 120), "it has 1051200 values"),
        ("value\n", "it has 0 values below the heading 'value'"),
        ("\r".join(ROWS), "its lines end in a single carriage return"),
    ],
    ids=lambda value: value[:20].strip() if len(value) < 100 else "",
)
def test_what_is_wrong_is_told_with_its_line(content, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(content)


def test_values_are_shown_short():
    assert repr(read(text(ROWS))) == "ScheduleValues(has_heading=False)"


def test_bytes_that_are_no_text_are_told_with_their_line():
    with pytest.raises(ValueError, match="line 3 is not encoded as UTF-8"):
        read_schedule_values(b"x\r\n1\r\n2 \xb0C\r\n")
