"""A variant's identity depends on all that decides its result, and on nothing else."""

from __future__ import annotations

import string
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bemsweep import variant_id as module
from bemsweep.design_days import DesignDay
from bemsweep.edits import CallEdit, FieldEdit
from bemsweep.outputs import FREQUENCIES, Output
from bemsweep.variant_id import variant_id

FIELD = FieldEdit("Lights", "watts_per_floor_area", "set", 6.0, "Core*", (("design_level_calculation_method", "x"),))
CALL = CallEdit("mine:set_wwr", 0.4, "def set_wwr(document, value): ...", "1")
METER = Output("meter", "Electricity:Facility", "hourly", "electricity", "")
TEMPERATURE = Output("variable", "Zone Mean Air Temperature", "hourly", "temperature", "*")
BASE = {
    "edits": [FIELD, CALL],
    "baseline": "b" * 64,
    "weather": "c" * 64,
    "files": {"schedules.csv": "d" * 64, "other.csv": "e" * 64},
    "engine": "EnergyPlus, Version 25.2.0",
    "run": "annual",
    "outputs": [METER, TEMPERATURE],
    "keep_model_outputs": False,
}

texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(numbers, st.integers(-(2**70), 2**70), st.booleans(), texts)
field_edits = st.builds(
    FieldEdit,
    texts,
    texts,
    st.sampled_from(["set", "multiply", "add"]),
    values,
    texts,
    st.lists(st.tuples(texts, values), max_size=2).map(tuple),
)
call_edits = st.builds(CallEdit, texts, values, texts, texts)
edits = st.lists(field_edits | call_edits, max_size=4)
outputs = st.builds(
    Output, st.sampled_from(["variable", "meter"]), texts, st.sampled_from(FREQUENCIES), texts, texts, st.booleans()
)


def identity(**changes):
    return variant_id(**{**BASE, **changes})


def spelled(edit):
    return [(type(edit).__name__, [repr(getattr(edit, field.name)) for field in fields(edit)])]


def test_it_is_a_sha256_and_stays_the_same():
    assert len(identity()) == 64
    assert set(identity()) <= set(string.hexdigits.lower())
    # A change here makes every user's store run everything again: raise MODEL_WRITING_VERSION on purpose instead.
    assert identity() == "01448a0cc8b01d3f693c2e848c6446e3d7cdd1dc73da5bf9155b9e0f5d19e307"


def test_design_days_count_by_their_content_and_the_models_own_add_nothing():
    day = DesignDay("Winter", (("maximum_dry_bulb_temperature", -20.0), ("month", 1)))
    assert identity(design_days=()) == identity(design_days=[]) == identity()
    others = [
        replace(day, name="Other"),
        replace(day, fields=day.fields[:1]),
        replace(day, fields=(("maximum_dry_bulb_temperature", -20.5), ("month", 1))),
    ]
    ids = {identity(design_days=days) for days in ([day], [day, day], *([other] for other in others))}
    assert len(ids | {identity()}) == 6
    assert identity(design_days=iter([day])) == identity(design_days=[day])


@given(edits, st.dictionaries(texts, texts, max_size=4), st.lists(outputs, max_size=4), st.randoms())
def test_order_of_outputs_and_files_does_not_matter(some_edits, files, some_outputs, random):
    shuffled_outputs, shuffled_files = list(some_outputs), list(files.items())
    random.shuffle(shuffled_outputs)
    random.shuffle(shuffled_files)
    one = identity(edits=some_edits, files=files, outputs=some_outputs)
    assert one == identity(edits=iter(some_edits), files=dict(shuffled_files), outputs=iter(shuffled_outputs))
    assert one == identity(edits=some_edits, files=files, outputs=some_outputs * 2)


@given(edits, edits)
def test_different_edits_have_different_identities(one, other):
    is_same = [spelled(edit) for edit in one] == [spelled(edit) for edit in other]
    assert (identity(edits=one) == identity(edits=other)) is is_same


@given(st.lists(outputs, max_size=3), st.lists(outputs, max_size=3))
def test_different_outputs_have_different_identities(one, other):
    assert (identity(outputs=one) == identity(outputs=other)) is (set(one) == set(other))


def test_order_of_edits_matters():
    assert identity(edits=[FIELD, CALL]) != identity(edits=[CALL, FIELD])
    assert identity(edits=[FIELD]) != identity(edits=[FIELD, FIELD])


@pytest.mark.parametrize(
    "edit",
    [
        replace(FIELD, object="People"),
        replace(FIELD, field="watts_per_person"),
        replace(FIELD, operation="multiply"),
        replace(FIELD, value=6.5),
        replace(FIELD, value="6.0"),
        replace(FIELD, name="Core"),
        replace(FIELD, where=()),
        replace(FIELD, where=(("design_level_calculation_method", "y"),)),
        replace(FIELD, where=(("another_field", "x"),)),
    ],
)
def test_every_field_of_a_field_edit_counts(edit):
    assert identity(edits=[edit]) != identity(edits=[FIELD])
    assert len({field.name for field in fields(FIELD)}) == 6  # one more: add it above


@pytest.mark.parametrize(
    "edit",
    [
        replace(CALL, function="mine:other"),
        replace(CALL, value=0.5),
        replace(CALL, source="def set_wwr(document, value): pass"),
        replace(CALL, version="2"),
    ],
)
def test_every_field_of_a_call_counts(edit):
    assert identity(edits=[edit]) != identity(edits=[CALL])
    assert len({field.name for field in fields(CALL)}) == 4  # one more: add it above


@pytest.mark.parametrize(
    "change",
    [
        {"edits": []},
        {"baseline": "0" * 64},
        {"weather": "0" * 64},
        {"files": {}},
        {"files": {"schedules.csv": "0" * 64, "other.csv": "e" * 64}},
        {"files": {"renamed.csv": "d" * 64, "other.csv": "e" * 64}},
        {"files": {"schedules.csv": "e" * 64, "other.csv": "d" * 64}},
        {"engine": "EnergyPlus, Version 25.1.0"},
        {"run": "design_day"},
        {"outputs": [METER]},
        {"outputs": [METER, replace(TEMPERATURE, key="Core*")]},
        {"outputs": [METER, replace(TEMPERATURE, array="t")]},
        {"outputs": [METER, replace(TEMPERATURE, frequency="daily")]},
        {"keep_model_outputs": True},
        {"baseline": BASE["weather"], "weather": BASE["baseline"]},
    ],
)
def test_every_other_input_counts(change):
    assert identity(**change) != identity()


def test_a_new_way_of_writing_models_is_another_identity(monkeypatch):
    before = identity()
    monkeypatch.setattr(module, "MODEL_WRITING_VERSION", module.MODEL_WRITING_VERSION + 1)
    assert identity() != before


def test_numbers_count_as_written():
    """That 6 and 6.0 are the same is for `edits.normalised` to say, which knows the field."""
    six, six_point, text, yes = (identity(edits=[replace(FIELD, value=value)]) for value in (6, 6.0, "6", True))
    assert len({six, six_point, text, yes}) == 4
    assert identity(edits=[replace(FIELD, value=0.0)]) != identity(edits=[replace(FIELD, value=-0.0)])


def test_texts_of_any_language_have_an_identity():
    assert identity(edits=[replace(FIELD, value="Büro-Wärme 办公室 🏢")]) != identity(edits=[replace(FIELD, value="?")])
    composed, combined = "\u00e9", "e\u0301"
    assert identity(edits=[replace(FIELD, name=composed)]) != identity(edits=[replace(FIELD, name=combined)])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_has_no_identity(value):
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        identity(edits=[replace(FIELD, value=value)])


def test_what_a_series_is_reduced_to_counts_and_a_whole_one_is_as_ever():
    words = [(), ("max",), ("mean",), ("max", "mean")]
    assert len({identity(outputs=[replace(METER, reduce=reduce)]) for reduce in words}) == 4
    assert "reduce" not in METER.to_dict(), "or every variant of before would run again"


def test_what_only_a_cell_has_counts_for_cells_alone():
    cell = Output("table", "HVACSizingSummary", "annual", "load", "", row="CORE_ZN")
    others = [replace(cell, **{part: "x"}) for part in ("key", "table", "row", "column", "name", "array")]
    assert len({identity(outputs=[one]) for one in (cell, *others)}) == 7
