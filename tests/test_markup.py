from __future__ import annotations

import pandas as pd

from bemsweep.markup import text_table, variant_table


def test_texts_are_whole_escaped_and_from_the_left():
    html = text_table(pd.DataFrame({"part": ["<b>"], "setting": ["x" * 200]}))
    assert "&lt;b&gt;" in html
    assert "x" * 200 in html
    assert "<td>" not in html
    assert html.count("text-align: left") == 4
    assert "part" not in text_table(pd.DataFrame({"part": ["a"]}), has_heads=False)


def test_a_variant_table_has_room_on_a_page():
    ids = ["0123456789abcdef" * 4, "f" * 64]
    frame = pd.DataFrame(
        {"baseline": ["m", "m"], "weather": ["a", "b"], "lighting": [None, 1 / 3], "glazing": [None, "triple"]}
    ).assign(variant_id=ids)
    html = variant_table(frame)
    assert "<th>baseline" not in html
    assert "<th>weather" in html
    assert "<td>0.333333</td>" in html
    assert "None" not in html
    assert "NaN" not in html
    assert "<td>0123456789ab</td>" in html
    assert list(frame["variant_id"]) == ids, "what is shown is not changed"


def test_many_variants_are_cut():
    assert variant_table(pd.DataFrame({"lighting": range(100)})).count("<tr") == 1 + 12 + 1


def test_dollars_make_no_formula():
    for html in (text_table(pd.DataFrame({"a": ["$x$"]})), variant_table(pd.DataFrame({"a": ["$x$"]}))):
        assert "mathjax_ignore" in html
