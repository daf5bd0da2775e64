"""Where each value of a study has its place in the cube."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bemsweep.errors import ConflictError, StudyError
from bemsweep.layout import (
    BLOCK_ROWS,
    CHUNK_BYTES,
    RESERVED_NAMES,
    SHARD_BYTES,
    Array,
    Layout,
    Parameter,
    Place,
    chunks,
)
from bemsweep.periods import Calendar, Period
from bemsweep.records import Series

YEAR = Calendar(periods=(Period("year", dt.date(2017, 1, 1), dt.date(2017, 12, 31)),))
EMPTY = Layout(YEAR)


def series(output, key="", kind="", *, frequency="hourly", name=None, units="C", method="mean"):
    return Series(output, frequency, key, kind, name or output, units, method, np.empty(0))


def test_arrays_and_keys_are_appended_never_sorted():
    first = EMPTY.grow([series("t", "South", "zone"), series("t", "Core", "zone"), series("meter")])
    grown = first.grow([series("a"), series("t", "Attic", "zone"), series("t", "CORE", "zone")])
    assert [array.name for array in grown.arrays] == ["t", "meter", "a"]
    assert grown.keys == {("hourly", "zone"): ("South", "Core", "Attic")}
    assert first.keys == {("hourly", "zone"): ("South", "Core")}
    assert grown.find(series("t", "sOUTH", "zone")) == Place(grown.arrays[0], 0)
    assert grown.find(series("t", "attic", "zone")) == Place(grown.arrays[0], 2)
    assert grown.find(series("a")) == Place(grown.arrays[2], None)


def test_what_has_no_place_is_not_found():
    layout = EMPTY.grow([series("t", "Core", "zone")])
    assert layout.find(series("t", "Attic", "zone")) is None
    assert layout.find(series("u", "Core", "zone")) is None
    assert layout.find(series("t", "Core", "zone", frequency="daily")) is None


@pytest.mark.parametrize("kind", ["zone", "space", "surface", "node", "schedule"])
def test_a_kind_of_key_is_a_dim_that_arrays_share(kind):
    layout = EMPTY.grow([series("t", "A", kind), series("u", "B", kind)])
    assert [layout.dims(array) for array in layout.arrays] == [("variant", kind, "time")] * 2
    assert [layout.shape(array) for array in layout.arrays] == [(2, 8760)] * 2
    assert layout.key_axes_of("hourly") == {kind: ("A", "B")}


@pytest.mark.parametrize("kinds", [("other", "other"), ("zone", "space"), ("", "zone")])
def test_keys_of_no_or_mixed_kind_have_an_axis_of_their_own(kinds):
    layout = EMPTY.grow([series("t", f"K{number}", kind) for number, kind in enumerate(kinds)])
    assert layout.dims(layout.arrays[0]) == ("variant", "t_key", "time")
    assert layout.keys == {("hourly", "t_key"): ("K0", "K1")}


def test_the_dim_is_settled_when_an_array_first_appears():
    layout = EMPTY.grow([series("t", "Core", "zone")]).grow([series("t", "Lobby", "space")])
    assert layout.keys == {("hourly", "zone"): ("Core", "Lobby")}


def test_frequencies_have_axes_of_their_own():
    layout = EMPTY.grow([series("t", "B", "zone", frequency="monthly"), series("t", "A", "zone")])
    assert layout.frequencies == ("hourly", "monthly")
    assert layout.shape(layout.arrays_of("monthly")[0]) == (1, 12)
    assert layout.key_axes_of("monthly") == {"zone": ("B",)}


def test_design_days_are_a_dim():
    layout = Layout(Calendar(design_days=2)).grow([series("t", "A", "zone"), series("m")])
    assert layout.dims(layout.arrays[0]) == ("variant", "zone", "design_day", "time")
    assert layout.shape(layout.arrays[1]) == (2, 24)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (series("t", "B", "zone", name="Zone Air Temperature"), "holds 't' .* reports 'Zone Air Temperature'"),
        (series("t", "B", "zone", units="W"), r"\[C\].*\[W\]"),
        (series("t", "B", "zone", method="sum"), "mean.*sum"),
    ],
)
def test_two_things_under_one_name_conflict(other, message):
    layout = EMPTY.grow([series("t", "A", "zone")])
    with pytest.raises(ConflictError, match=message):
        layout.grow([other])
    with pytest.raises(ConflictError, match=message):
        layout.find(other)
    with pytest.raises(ConflictError):
        EMPTY.grow([series("t", "A", "zone"), other])


def test_a_key_where_there_is_no_axis_conflicts():
    with pytest.raises(ConflictError, match=r"has no key axis.*'Core'"):
        EMPTY.grow([series("t")]).grow([series("t", "Core", "zone")])


@pytest.mark.parametrize("name", [*sorted(RESERVED_NAMES), "Time", "a/b", "a:b", "", "..", "__x", "cooling setpoint"])
def test_names_that_no_parameter_can_have(name):
    with pytest.raises(StudyError, match="name"):
        EMPTY.grow_parameters([Parameter(name, "number")])


def test_names_of_one_group_differ_whatever_their_case():
    layout = EMPTY.grow_parameters([Parameter("lighting", "number")])
    for bad in (series("Lighting"), series("zone"), series("status")):
        with pytest.raises(StudyError, match="something else"):
            layout.grow([bad])
    with pytest.raises(StudyError, match="'U'"):
        layout.grow([series("u"), series("U")])
    with pytest.raises(StudyError, match="key axis 't_key'"):
        layout.grow([series("t_key"), series("t", "a", "other")])
    assert len(layout.grow([series("u"), series("U", frequency="daily")]).arrays) == 2


def test_all_bad_names_are_told_at_once():
    with pytest.raises(StudyError) as caught:
        EMPTY.grow_parameters([Parameter("time", "number"), Parameter("a b", "text"), Parameter("good", "text")])
    assert len(caught.value.problems) == 2


def test_parameters_grow_at_the_end_and_keep_their_kind():
    layout = EMPTY.grow_parameters([Parameter("b", "number")]).grow_parameters(
        [Parameter("a", "text"), Parameter("b", "number")]
    )
    assert [parameter.name for parameter in layout.parameters] == ["b", "a"]
    with pytest.raises(ConflictError, match=r"'b' holds text .* number"):
        layout.grow_parameters([Parameter("b", "text")])


KINDS = st.sampled_from(["zone", "space", "node", "other"])
MANY_SERIES = st.lists(
    st.builds(
        series,
        st.sampled_from(["t", "u", "v"]),
        st.sampled_from(["A", "a", "B", "ß", "Ü"]),
        KINDS,
        frequency=st.sampled_from(["hourly", "annual"]),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(MANY_SERIES, MANY_SERIES)
def test_growth_gives_everything_a_place_and_moves_nothing(first, second):
    layout = EMPTY.grow(first).grow_parameters([Parameter("p", "text")])
    grown = layout.grow(second)
    assert all(grown.find(one) is not None for one in [*first, *second])
    assert all(grown.find(one) == layout.find(one) for one in first)
    assert grown.grow([*second, *first]) == grown
    assert Layout.from_dict(json.loads(json.dumps(grown.to_dict()))) == grown
    assert grown.arrays[: len(layout.arrays)] == layout.arrays
    for axis, labels in layout.keys.items():
        assert grown.keys[axis][: len(labels)] == labels


@pytest.mark.parametrize(
    ("time", "keys", "itemsize", "shard", "inner"),
    [
        ((8760,), 119, 8, (256, 8, 8760), (16, 1, 8760)),
        ((8760,), 1, 8, (256, 8, 8760), (16, 1, 8760)),
        ((8760,), 119, 4, (256, 16, 8760), (32, 1, 8760)),
        ((8760,), None, 8, (256, 8760), (16, 8760)),
        ((52560,), 20, 8, (256, 2, 52560), (4, 1, 52560)),
        ((525600,), 3, 8, (256, 1, 105120), (2, 1, 105120)),
        ((365,), 119, 8, (256, 128, 365), (256, 2, 365)),
        ((12,), 119, 8, (256, 128, 12), (256, 64, 12)),
        ((1,), 5, 8, (256, 8, 1), (256, 8, 1)),
        ((1,), None, 8, (256, 1), (256, 1)),
        ((2, 24), 5, 8, (256, 8, 2, 24), (256, 8, 2, 24)),
    ],
)
def test_chunks(time, keys, itemsize, shard, inner):
    assert chunks(time, keys, itemsize=itemsize) == (shard, inner)


@settings(deadline=None)
@given(
    time=st.tuples(st.integers(1, 600_000)) | st.tuples(st.integers(1, 100), st.integers(1, 1440)),
    keys=st.none() | st.integers(0, 3000),
    itemsize=st.sampled_from([4, 8]),
)
def test_chunks_stay_in_bounds(time, keys, itemsize):
    shard, inner = chunks(time, keys, itemsize=itemsize)
    assert math.prod(shard) * itemsize <= SHARD_BYTES <= 256_000_000
    assert math.prod(inner) * itemsize <= CHUNK_BYTES <= 4_000_000
    assert all(whole % part == 0 for whole, part in zip(shard, inner, strict=True))
    assert shard[0] == BLOCK_ROWS
    assert shard[-len(time) :] == inner[-len(time) :]
    if BLOCK_ROWS * math.prod(time) * itemsize <= SHARD_BYTES:
        assert shard[-len(time) :] == time


def test_arrays_can_be_looked_up_by_key_axis():
    array = Array("t", "hourly", "t", "C", "mean", "zone")
    layout = Layout(YEAR, arrays=(array,), keys={("hourly", "zone"): ("A",)})
    assert layout.key_labels(array) == ("A",)


SCALARS = (
    series("site_energy", frequency="annual", units="GJ", method="scalar"),
    series("end_uses", kind="fuel end_use", frequency="annual", units="GJ", method="scalar"),
    series("peak_demand_time", kind="fuel", frequency="annual", units="min", method="moment"),
)


@pytest.mark.parametrize("calendar", [YEAR, Calendar(design_days=2)], ids=["year", "design_days"])
def test_what_has_no_time_has_fixed_dims_or_none(calendar):
    layout = Layout(calendar, dtype="float32").grow([*SCALARS, series("q", frequency="annual")])
    site, uses, time, timed = layout.arrays
    assert [layout.dims(array) for array in (site, uses, time)] == [
        ("variant",), ("variant", "fuel", "end_use"), ("variant", "fuel")
    ]  # fmt: skip
    assert [layout.shape(array) for array in (site, uses, time)] == [(), (13, 14), (13,)]
    assert layout.dims(timed)[-1] == "time"
    assert [layout.dtype_of(array) for array in layout.arrays] == ["float32", "float32", "float64", "float32"]
    assert layout.key_axes_of("annual") == {}
    assert layout.find(SCALARS[1]) == Place(uses, None)
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_a_number_and_a_series_cannot_share_a_name():
    layout = EMPTY.grow(SCALARS)
    with pytest.raises(ConflictError, match="site_energy"):
        layout.find(series("site_energy", frequency="annual", units="GJ", method="sum"))


def test_chunks_of_what_has_no_time():
    assert chunks((), None, itemsize=8) == ((256,), (256,))
    assert chunks((), 5, itemsize=8) == ((256, 8), (256, 8))
    assert chunks((13, 14), None, itemsize=8) == ((256, 13, 14), (256, 13, 14))


REDUCED = [
    series("t_max", "B", "zone", frequency="annual", name="t, maximum of hourly values", method="run max"),
    series("coil_max", "X", "other", frequency="annual", method="run max"),
    series("coil_p99_6", "Y", "other", frequency="annual", method="run p99.6"),
    series("e_sum", frequency="annual", units="J", method="run sum"),
]


@pytest.mark.parametrize("days", [0, 2])
def test_what_is_reduced_has_its_series_keys_and_design_days_but_no_time(days):
    calendar = Calendar(design_days=days) if days else YEAR
    layout = Layout(calendar).grow([series("q", "A", "zone", frequency="annual"), *REDUCED])
    inner = ("design_day",) * bool(days)
    assert [layout.dims(array) for array in layout.arrays[1:]] == [
        ("variant", "zone", *inner),
        ("variant", "coil_key", *inner),
        ("variant", "coil_key", *inner),
        ("variant", *inner),
    ]
    assert layout.key_axes_of("annual") == {"zone": ("A", "B"), "coil_key": ("X", "Y")}
    assert [layout.shape(array) for array in layout.arrays[1:]] == [
        (2, 2)[: 1 + bool(days)], (2, 2)[: 1 + bool(days)], (2, 2)[: 1 + bool(days)], (2,) * bool(days)
    ]  # fmt: skip
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_reductions_of_two_frequencies_cannot_share_a_name():
    layout = EMPTY.grow(REDUCED)
    with pytest.raises(ConflictError, match="t_max"):
        layout.grow([replace(REDUCED[0], name="t, maximum of daily values")])
