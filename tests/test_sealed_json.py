from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alterations import cuts, flipped
from bemsweep.sealed_json import digest, sealed, unsealed

DOCUMENT = {"name": "büro", "parts": 2, "rows": [1.5, None, "x"], "deep": {"b": 1, "a": (1, 2)}}


def test_a_document_comes_back_without_its_checksum():
    assert unsealed(sealed(DOCUMENT, indent=1)) == {**DOCUMENT, "deep": {"b": 1, "a": [1, 2]}}


def test_order_and_blanks_do_not_count():
    document = json.loads(sealed(DOCUMENT))
    assert unsealed(json.dumps(dict(reversed(document.items())), indent=3).encode()) == unsealed(sealed(DOCUMENT))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


@pytest.mark.parametrize("data", [b"{}", b"[]", b"null", b'{"parts": 1}', b'{"sha256": 1}', b"\xff"])
def test_what_was_never_sealed_is_refused(data):
    with pytest.raises(ValueError, match=r"checksum|Expecting|utf-8|value"):
        unsealed(data)


@given(place=st.integers(0, 8 * len(sealed(DOCUMENT)) - 1))
def test_a_flipped_bit_is_refused_or_changes_nothing(place):
    try:
        found = unsealed(flipped(sealed(DOCUMENT), place))
    except ValueError:
        return
    assert found == unsealed(sealed(DOCUMENT))


@pytest.mark.parametrize("cut", cuts(sealed(DOCUMENT)).values(), ids=list(cuts(b"x")))
def test_a_cut_document_is_refused(cut):
    with pytest.raises(ValueError, match=r"checksum|Expecting|utf-8|value"):
        unsealed(cut)
