from __future__ import annotations

import itertools

import pandas as pd
import pytest

from bemsweep.effects import without_effect


def table(outputs, **columns):
    """A variant table of the grid of `columns`; `outputs` tells the hash by the row's values."""
    rows = [dict(zip(columns, values, strict=True)) for values in itertools.product(*columns.values())]
    for row in rows:
        row["outputs_sha256"] = outputs(**row)
    return pd.DataFrame(rows).assign(baseline="office", weather="chicago", status="succeeded")


def test_a_parameter_without_effect_is_found_among_others():
    found = table(lambda a, b, c: f"{a}{c}", a=[1.0, 2.0], b=[float("nan"), 6.0, 8.0], c=["", "double"])
    assert without_effect(found, ["a", "b", "c"]) == ("b",)


def test_an_effect_at_one_place_is_an_effect():
    found = table(lambda a, b: f"{a if b == 3 else 0}", a=[1, 2], b=[1, 2, 3])
    assert without_effect(found, ["a", "b"]) == ()


def test_what_has_no_pairs_is_not_judged():
    sampled = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6], "outputs_sha256": ["x", "x", "x"]})
    assert without_effect(sampled.assign(baseline="m", weather="w", status="succeeded"), ["a", "b"]) == ()


def test_models_and_climates_are_not_pairs():
    one = table(lambda a: "x", a=[1])
    other = table(lambda a: "x", a=[2]).assign(weather="denver")
    assert without_effect(pd.concat([one, other]), ["a"]) == ()


def test_a_computed_parameter_moves_with_the_one_that_decides_it():
    found = table(lambda a: "same", a=[1, 2, 3])
    found["twice"] = 2 * found["a"]
    assert without_effect(found, ["a", "twice"], computed=["twice"]) == ("a",)
    assert without_effect(found, ["a", "twice"]) == (), "as if it were chosen freely, nothing differs in it alone"


@pytest.mark.parametrize("status", ["failed", "pending", "timed_out"])
def test_variants_without_outputs_do_not_count(status):
    found = table(lambda a: "x", a=[1, 2])
    found.loc[1, ["status", "outputs_sha256"]] = [status, ""]
    assert without_effect(found, ["a"]) == ()
