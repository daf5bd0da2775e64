"""What the store knows of a study, and how a study grows."""

from __future__ import annotations

import uuid
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bemsweep as bs
from bemsweep.design import Points
from bemsweep.errors import ConflictError, StoreError
from bemsweep.sealed_json import unsealed
from bemsweep.store import Store
from bemsweep.studystate import StudyState

ENGINE = "EnergyPlus, Version 25.2.0-fake"
BASELINES = {"m": "a" * 64}
MIXED = (None, 1, 1.5, -0.25, True, False, "text", "1", "", "Büro 🏢", "a\nb", "null", 10**15)


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return Store(tmp_path / "store" if request.param == "local" else f"memory://{uuid.uuid4()}")


def study(**changes):
    given = {
        "name": "s",
        "baseline": "m.idf",
        "weather": "w.epw",
        "parameters": {"x": bs.Field("Lights", "watts_per_floor_area", values=[1])},
        "outputs": [bs.Meter("Electricity:Facility")],
    }
    return bs.Study(**{**given, **changes})


def points(*rows, names=("x",)):
    return Points(("baseline", "weather", *names), tuple(("m", "w", *row) for row in rows))


def ids(*names):
    return tuple(sha256(name.encode()).hexdigest() for name in names)


def save(store, state, some_points, variant_ids, a_study=None, **changes):
    """Merge and save as the driver does, and return the state read back."""
    a_study = a_study or study()
    merged, merged_ids, _ = state.merge(some_points, variant_ids)
    facts = {"outputs": state.merged_outputs(a_study), "baselines": BASELINES, "engine": ENGINE, **changes}
    state.save(store, a_study, points=merged, variant_ids=merged_ids, **facts)
    return StudyState.load(store, state.name)


def written(store, monkeypatch):
    """Return a list that the names of later puts and creations are added to."""
    names = []
    for method in ("put", "create"):
        real = getattr(store, method)

        def write(name, data, real=real):
            names.append(name)
            return real(name, data)

        monkeypatch.setattr(store, method, write)
    return names


def parts(store):
    return store.names("studies/s/variants")


# Saving and loading


def test_a_new_study_is_unknown(store):
    state = StudyState.load(store, "s")
    assert state == StudyState("s")
    assert state.is_new
    state.check_compatible(study(), BASELINES)
    assert state.merged_outputs(study()) == study().resolved_outputs()


def test_rows_of_mixed_kinds_come_back_as_they_were(store):
    rows = points(*((value,) for value in MIXED))
    variants = ids(*(f"v{n}" for n in range(len(MIXED))))
    state = save(store, StudyState("s"), rows, variants)
    assert not state.is_new
    assert (state.names, state.rows, state.variant_ids) == (rows.names, rows.rows, variants)
    assert [type(row[2]) for row in state.rows] == [type(value) for value in MIXED]


values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5)


@settings(max_examples=30)
@given(st.lists(st.lists(st.tuples(values, values), max_size=4), min_size=1, max_size=4))
def test_whatever_grows_keeps_its_place_and_comes_back(amendments):
    store = Store(f"memory://{uuid.uuid4()}")
    state, expected = StudyState("s"), []
    for number, rows in enumerate(amendments):
        some = points(*rows, names=("x", "y"))
        variants = ids(*(f"{number}-{n}" for n in range(len(rows))))
        state = save(store, state, some, variants)
        before, expected = expected, list(state.rows)
        assert expected[: len(before)] == before
        kinds = {tuple((isinstance(value, bool), value) for value in row) for row in some.rows}
        assert kinds <= {tuple((isinstance(value, bool), value) for value in row) for row in state.rows}
        assert len(state.rows) == len(state.variant_ids)


def test_a_new_study_without_rows(store):
    assert save(store, StudyState("s"), points(), ()).rows == ()


def test_the_definition_says_what_was_run(store):
    state = save(store, StudyState("s"), points((1,)), ids("v1"), study(timeout_s=5))
    (amendment,) = state.definition["amendments"]
    assert amendment["definition"] == study(timeout_s=5).to_dict()
    assert amendment["engine"] == ENGINE
    assert {"bemsweep", "python", "idfkit"} <= amendment["versions"].keys()
    assert unsealed(store.get("studies/s/study.json")) == state.definition


def test_nothing_is_written_when_nothing_has_changed(store, monkeypatch):
    for parameters in (
        {"x": bs.Field("Lights", "f", values=[1], where={"a": 6.0})},
        {"x": bs.Call("a:b", values=[None, 1])},
    ):
        a_study = study(name="s", parameters=parameters, exclude=["x == 5"], timeout_s=7)
        state = save(store, StudyState("s"), points((1,), (None,)), ids("v1", "v2"), a_study)
        names = written(store, monkeypatch)
        save(store, state, points((1,), (None,)), ids("v1", "v2"), a_study)
        assert names == []
        monkeypatch.undo()


def test_a_part_is_never_rewritten_and_the_definition_comes_last(store, monkeypatch):
    state = save(store, StudyState("s"), points((1,)), ids("v1"))
    first = store.get("studies/s/variants/000000.parquet")
    names = written(store, monkeypatch)
    save(store, state, points((1,), (2,)), ids("v1", "v2"))
    assert names == ["studies/s/variants/000001.parquet", "studies/s/study.json"]
    assert store.get("studies/s/variants/000000.parquet") == first


def test_a_part_that_another_run_has_written_is_left_alone(store):
    state = save(store, StudyState("s"), points((1,)), ids("v1"))
    save(store, state, points((1,), (2,)), ids("v1", "v2"))
    before = {one.name: store.get(one.name) for one in store.objects()}
    with pytest.raises(ConflictError, match="has grown since it was planned"):
        save(store, state, points((1,), (3,)), ids("v1", "v3"))
    assert {one.name: store.get(one.name) for one in store.objects()} == before


def test_a_part_of_a_first_run_that_was_cut_short_is_replaced(store):
    save(store, StudyState("s"), points((1,)), ids("v1"))
    store.delete("studies/s/study.json")
    assert save(store, StudyState.load(store, "s"), points((2,)), ids("v2")).variant_ids == ids("v2")


def test_another_setting_is_an_amendment_without_a_part(store):
    state = save(store, StudyState("s"), points((1,)), ids("v1"))
    state = save(store, state, points((1,)), ids("v1"), study(timeout_s=5))
    assert len(state.definition["amendments"]) == 2
    assert parts(store) == ["000000.parquet"]


def test_a_save_that_was_cut_short_is_carried_on(store, monkeypatch):
    state = save(store, StudyState("s"), points((1,)), ids("v1"))
    definition = store.get("studies/s/study.json")
    save(store, state, points((1,), (2,)), ids("v1", "v2"))
    store.put("studies/s/study.json", definition)
    again = StudyState.load(store, "s")
    assert again.variant_ids == ids("v1", "v2")
    assert save(store, again, points((1,), (2,), (3,)), ids("v1", "v2", "v3")).variant_ids == ids("v1", "v2", "v3")


def test_a_first_save_that_was_cut_short_is_done_again(store):
    save(store, StudyState("s"), points((1,)), ids("v1"))
    store.delete("studies/s/study.json")
    state = StudyState.load(store, "s")
    assert state.is_new
    assert save(store, state, points((5,)), ids("v5")).variant_ids == ids("v5")


def test_what_a_killed_writer_left_does_no_harm(tmp_path):
    store = Store(tmp_path)
    save(store, StudyState("s"), points((1,)), ids("v1"))
    (tmp_path / "studies/s/variants/.000001.parquet-1-ab.tmp").write_bytes(b"half")
    assert StudyState.load(store, "s").variant_ids == ids("v1")


# Lost and damaged parts


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_part_is_told_wherever_it_was(store, lost):
    state = StudyState("s")
    for variants in (("v1", "v2"), ("w1", "v2"), ("w1", "w2")):
        state = save(store, state, points((1,), (2,)), ids(*variants))
    assert len(parts(store)) == 3
    store.delete(f"studies/s/variants/00000{lost}.parquet")
    with pytest.raises(StoreError, match=r"studies/s/variants has lost a part"):
        StudyState.load(store, "s")


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"x" * 1000])
def test_a_damaged_part_is_told(store, damage):
    save(store, StudyState("s"), points((1,)), ids("v1"))
    store.put("studies/s/variants/000000.parquet", damage)
    with pytest.raises(StoreError, match=r"000000\.parquet cannot be read"):
        StudyState.load(store, "s")


def test_a_damaged_definition_is_told(store):
    save(store, StudyState("s"), points((1,)), ids("v1"))
    store.put("studies/s/study.json", b'{"name": "s", ')
    with pytest.raises(StoreError, match=r"studies/s/study\.json cannot be read"):
        StudyState.load(store, "s")


# Growing


def test_rows_keep_their_place_and_new_ones_come_at_the_end(store):
    state = save(store, StudyState("s"), points((1,), (2,), (3,)), ids("v1", "v2", "v3"))
    merged, variants, is_wanted = state.merge(points((4,), (2,), (0,)), ids("v4", "v2", "v0"))
    assert merged.rows == points((1,), (2,), (3,), (4,), (0,)).rows
    assert variants == ids("v1", "v2", "v3", "v4", "v0")
    assert is_wanted == (False, True, False, True, True)


def test_a_new_parameter_is_null_in_the_rows_of_before(store):
    state = save(store, StudyState("s"), points((1,), (2,)), ids("v1", "v2"))
    grown = points((9, 1), (None, 2), names=("y", "x"))
    merged, variants, is_wanted = state.merge(grown, ids("w1", "v2"))
    assert merged.names == ("baseline", "weather", "x", "y")
    assert merged.rows == (("m", "w", 1, None), ("m", "w", 2, None), ("m", "w", 1, 9))
    assert variants == ids("v1", "v2", "w1")
    assert is_wanted == (False, True, True)
    again = save(store, state, grown, ids("w1", "v2"))
    assert (again.names, again.rows, again.variant_ids) == (merged.names, merged.rows, variants)


def test_a_parameter_that_is_left_out_is_null_in_new_rows():
    state = StudyState("s", names=("baseline", "weather", "x", "y"), rows=(("m", "w", 1, 2),), variant_ids=ids("v"))
    merged, _, is_wanted = state.merge(points((1,)), ids("n"))
    assert merged.rows == (("m", "w", 1, 2), ("m", "w", 1, None))
    assert is_wanted == (False, True)


def test_a_changed_variant_is_told_anew_in_a_new_part(store):
    state = save(store, StudyState("s"), points((1,), (2,)), ids("v1", "v2"))
    state = save(store, state, points((1,), (2,)), ids("v1", "changed"))
    assert state.variant_ids == ids("v1", "changed")
    assert parts(store) == ["000000.parquet", "000001.parquet"]
    state = save(store, state, points((1,), (2,)), ids("v1", "v2"))
    assert state.variant_ids == ids("v1", "v2")


def test_true_is_not_one_but_six_is_six_point_zero():
    state = StudyState(
        "s", names=("baseline", "weather", "x"), rows=(("m", "w", 1), ("m", "w", 6)), variant_ids=ids("a", "b")
    )
    merged, _, is_wanted = state.merge(points((True,), (6.0,), ("6",), (None,)), ids("c", "d", "e", "f"))
    assert len(merged.rows) == 5
    assert is_wanted == (False, True, True, True, True)


def test_a_table_of_parameters_named_like_its_own_columns(store):
    rows = points((1, 2), names=("row", "variant"))
    assert save(store, StudyState("s"), rows, ids("v")).rows == rows.rows


# Conflicts


def conflict(state, a_study, baselines=BASELINES):
    with pytest.raises(ConflictError) as caught:
        state.check_compatible(a_study, baselines)
    return str(caught.value)


def test_all_conflicts_are_told_at_once(store):
    state = save(store, StudyState("s"), points((1,)), ids("v1"))
    other = study(run="design_day", keep_model_outputs=True, parameters={"x": bs.Field("People", "f", multiply=[2])})
    told = conflict(state, other, {"m": "b" * 64})
    assert "run was 'annual' and is now 'design_day'" in told
    assert "keep_model_outputs was False and is now True" in told
    assert "baseline 'm' has another content" in told
    assert "parameter 'x' was" in told
    assert "'lights'" in told
    assert "'people'" in told
    assert "Give this one another name" in told


@pytest.mark.parametrize(
    "field",
    [
        bs.Field("Lights", "watts_per_floor_area", multiply=[1]),
        bs.Field("Lights", "watts_per_floor_area", values=[1], name="Core*"),
        bs.Field("Lights", "watts_per_floor_area", values=[1], where={"a": 1}),
        bs.Field("Lights", "lighting_level", values=[1]),
        bs.Call("a:b", values=[1]),
    ],
)
def test_another_edit_under_an_old_name_conflicts(store, field):
    state = save(store, StudyState("s"), points((1,)), ids("v1"))
    assert "parameter 'x' was" in conflict(state, study(parameters={"x": field}))


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"x": bs.Field("Lights", "watts_per_floor_area", values=[5, 6])}},
        {"parameters": {"x": bs.Field("LIGHTS", "Watts per Floor Area", values=[1])}},
        {"parameters": {"y": bs.Field("People", "f", values=[1])}},
        {"parameters": {}},
        {"outputs": [bs.Meter("Gas:Facility")]},
        {"weather": ["w.epw", "v.epw"]},
        {"design": {"table": {"x": [1]}}, "parameters": {"x": bs.Field("Lights", "watts_per_floor_area")}},
        {"timeout_s": 5, "dtype": "float32", "reference": False, "exclude": ["true"]},
    ],
)
def test_growing_is_no_conflict(store, changes):
    state = save(store, StudyState("s"), points((1,)), ids("v1"))
    state.check_compatible(study(**changes), {**BASELINES, "another": "c" * 64})


def test_baselines_and_parameters_of_all_amendments_are_remembered(store):
    state = save(store, StudyState("s"), points((1,)), ids("v1"))
    other = study(parameters={"y": bs.Field("People", "f", values=[1])})
    state = save(store, state, points((1,), names=("y",)), ids("v2"), other, baselines={"n": "b" * 64})
    assert "parameter 'x'" in conflict(state, study(parameters={"x": bs.Call("a:b", values=[1])}), {})
    assert "baseline 'm' has another content" in conflict(state, study(), {"m": "0" * 64})


# Outputs


def grown_outputs(store, before, now):
    state = save(store, StudyState("s"), points((1,)), ids("v1"), study(outputs=before))
    return [(o.name, o.array, o.key, o.optional) for o in state.merged_outputs(study(outputs=now))]


def warnings(state, some_points, variant_ids, a_study=None):
    _, merged_ids, is_wanted = state.merge(some_points, variant_ids)
    return list(state.growth_warnings(merged_ids, is_wanted, state.merged_outputs(a_study or study())))


def test_rows_that_are_kept_beside_others_whose_names_mean_something_else_now(store):
    """Such as another weather file under the same label: the table would mix the two without a word."""
    state = save(store, StudyState("s"), points((None,), (1,)), ids("v0", "v1"))
    assert warnings(state, points((None,), (1,)), ids("w0", "w1")) == []
    assert warnings(state, points((None,), (2,)), ids("v0", "v2")) == [
        "1 rows of earlier amendments are kept as they are"
    ]
    kept, mixed = warnings(state, points((None,), (2,)), ids("w0", "w2"))
    assert mixed.startswith("1 rows stand for other variants than before, as something has changed")
    more = study(outputs=[bs.Meter("Electricity:Facility"), bs.Meter("Gas:Facility")])
    assert warnings(state, points((None,), (2,)), ids("w0", "w2"), more) == [kept], "what is asked for explains it"


def test_outputs_of_before_are_kept_so_that_leaving_one_out_runs_nothing_again(store):
    one, other = bs.Meter("A"), bs.Variable("B")
    assert grown_outputs(store, [one, other], [other]) == [("A", "A", "", False), ("B", "B", "*", False)]


def test_a_new_output_comes_at_the_end(store):
    assert grown_outputs(store, [bs.Meter("B")], [bs.Meter("A"), bs.Meter("B")])[0][0] == "B"


def test_an_output_that_becomes_optional_or_gets_another_name_replaces_the_old_one(store):
    before = [bs.Variable("A", key="x"), bs.Meter("B"), bs.Meter("C", frequency="daily")]
    now = [bs.Variable("a", key="y", optional=True), bs.Meter("B", as_="b"), bs.Meter("C", frequency="hourly", as_="c")]
    assert grown_outputs(store, before, now) == [
        ("C", "C", "", False),
        ("a", "a", "y", True),
        ("B", "b", "", False),
        ("C", "c", "", False),
    ]


def test_options_grow_by_labels_and_keep_their_meaning(store):
    dark, bright = ({"object": "Lights", "field": "watts_per_floor_area", "set": number} for number in (4, 12))

    def options(**labels):
        return study(parameters={"x": bs.Options(labels)})

    state = save(store, StudyState("s"), points(("dark",)), ids("1"), options(dark=[dark]))
    state.check_compatible(options(dark=[dark], bright=[bright]), BASELINES)
    state = save(store, state, points(("bright",)), ids("2"), options(bright=[bright]))
    state.check_compatible(options(dark=[dark]), BASELINES)
    told = conflict(state, options(dark=[bright]))
    assert "parameter 'x' was" in told
    assert "parameter 'x'" in conflict(state, study(parameters={"x": bs.Field("Lights", "a", values=[1])}))
