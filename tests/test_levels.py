from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bemsweep.errors import BemsweepError
from bemsweep.levels import (
    coded_levels,
    computed_names,
    design_rows,
    group_dataset,
    level_text,
    read_columns,
    reference_rows,
)


def columns(**values):
    return read_columns(xr.Dataset(coords={name: ("variant", value) for name, value in values.items()}))


def test_parameters_are_coordinates_along_variant_that_are_no_columns_of_the_table():
    ds = xr.Dataset(
        {"gas": ("variant", [1.0, 2.0])},
        {
            "lighting": ("variant", [np.nan, 8.0]),
            "weather": ("variant", ["a", "b"]),
            "baseline": ("variant", ["m", "m"]),
            "double": ("variant", [np.nan, 16.0], {"expression": "2 * lighting"}),
            "status": ("variant", ["failed", "failed"]),
            "day": (("variant", "design_day"), [["a"], ["b"]]),
            "time": [1, 2],
        },
    )
    assert [column.name for column in read_columns(ds)] == ["baseline", "weather", "lighting"]
    assert computed_names(ds) == ["double"]
    assert reference_rows(read_columns(ds)).tolist() == [0]


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ({"a": [np.nan, 1, 2]}, [0, 1, 2]),
        ({"a": [np.nan, 1, 1, 2, 2], "b": [np.nan, 5, 6, 5, 6]}, [1, 2, 3, 4]),
        ({"a": [np.nan, np.nan, 1, 1], "b": [np.nan, 5, np.nan, 5]}, [0, 1, 2, 3]),
        ({"a": [np.nan, np.nan, 1, 1], "b": [np.nan, 5, 6, 5]}, [1, 2, 3]),
        ({"a": [np.nan, 1, 1], "b": [np.nan, np.nan, np.nan]}, [0, 1, 2]),
        ({"a": [np.nan], "b": [np.nan]}, [0]),
        ({"a": ["", "x", "x"], "b": [np.nan, 5, 6], "weather": ["d"] * 3}, [1, 2]),
        ({"weather": ["c", "d"]}, [0, 1]),
    ],
    ids=["one", "explicit", "null in both", "null in one", "other always null", "alone", "texts", "no parameter"],
)
def test_references_are_left_out_unless_they_are_a_point_of_the_design(values, rows):
    assert design_rows(columns(**values)).tolist() == rows


def test_levels_are_numbered():
    light, glass = columns(light=[8.0, np.nan, 6.0, 8.0], glass=["b", "a", "", "b"])
    every = np.arange(4)
    assert [part.tolist() for part in coded_levels(light, every)] == [["baseline", "6", "8"], [2, 0, 1, 2]]
    assert [part.tolist() for part in coded_levels(light, every[[0, 2]])] == [[6, 8], [1, 0]]
    assert [part.tolist() for part in coded_levels(glass, every)] == [["b", "a", "baseline"], [0, 1, 2, 0]]


@pytest.mark.parametrize(
    ("level", "text"),
    [(8, "8"), (8.0, "8"), (0.1 + 0.2, "0.30000000000000004"), ("x", "x"), (None, "baseline"), (np.nan, "baseline")],
)
def test_levels_in_words_are_exact(level, text):
    assert level_text(level) == text


def test_an_index_along_variant_is_no_parameter():
    ds = xr.Dataset({"gas": ("variant", [1.0, 2.0])}, {"lighting": ("variant", [1.0, 2.0]), "variant": ["a", "b"]})
    assert "variant" not in group_dataset(ds).coords
    assert [column.name for column in read_columns(group_dataset(ds))] == ["lighting"]


def test_a_coordinate_that_became_the_index_is_itself_again():
    ds = xr.Dataset(
        {"gas": ("variant", [1.0, 2.0])},
        {"lighting": ("variant", [np.nan, 2.0]), "orientation": ("variant", [0.0, 1.0])},
    )
    ds.gas.encoding["coordinates"] = "lighting orientation"
    indexed = ds.set_index(variant="lighting")
    assert [column.name for column in read_columns(group_dataset(indexed))] == ["lighting", "orientation"]
    both = ds.set_index(variant=["lighting", "orientation"])
    assert [column.name for column in read_columns(group_dataset(both))] == ["lighting", "orientation"]


@pytest.mark.parametrize(
    ("texts", "level", "row"),
    [
        (["autosize", "5"], 5, 1),
        (["autosize", "5"], 5.0, 1),
        (["autosize", "5.0"], 5, 1),
        (["1", "True"], True, 1),
        (["1", "True"], 1, 0),
        (["0.5", "x"], np.float64(0.5), 0),
    ],
)
def test_a_level_among_words_is_found_as_the_study_gives_it(texts, level, row):
    (column,) = columns(flow=texts)
    assert np.flatnonzero(column.rows_at(level)).tolist() == [row]


def test_the_writers_state_is_no_attribute_of_what_is_made_from_a_cube():
    ds = xr.Dataset({"gas": ("variant", [1.0], {"units": "J"})}, attrs={"bemsweep": "{}", "title": "t"})
    assert group_dataset(ds).attrs == {"title": "t"}
    assert group_dataset(ds).gas.attrs == {"units": "J"}
    assert ds.attrs["bemsweep"] == "{}"
    with pytest.raises(BemsweepError, match="no dim 'variant'"):
        group_dataset(xr.Dataset())


def test_parameters_have_the_studys_order_where_an_output_knows_it():
    ds = xr.Dataset(
        {"gas": ("variant", [1.0])},
        {name: ("variant", [8.0]) for name in ("cooling", "lighting", "weather")},
    )
    assert [column.name for column in read_columns(ds)] == ["weather", "cooling", "lighting"]
    ds.gas.encoding["coordinates"] = "variant_id status lighting cooling"
    assert [column.name for column in read_columns(ds)] == ["weather", "lighting", "cooling"]
