"""What a stranger's lease says can be shown and does nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bemsweep.at_work import AtWork, after
from bemsweep.holder import Holder


def told(**changed: Any) -> bytes:
    good = AtWork(replace(Holder.here(), machine="another"), 7, since=after(0), expires_at=after(60))
    return json.dumps({**json.loads(good.to_bytes()), **changed}).encode()


def test_it_says_who_and_how_far() -> None:
    who = AtWork.from_bytes(told(progress={"done": 1200, "to_do": 5000}), 7)
    assert str(who).endswith("UTC, 1,200 of 5,000 done")
    assert who == AtWork.from_bytes(who.to_bytes(), 7)


@pytest.mark.parametrize(
    "progress",
    [
        {"to_do": "many"},
        {"to_do": 5, "done": [1]},
        {"to_do": None},
        {"running": 3},
        {"running": [{"variant_id": "a", "at": "b", "seconds": 10**400, "worker": ""}]},
        {"running": [{"variant_id": "a", "at": "b", "seconds": float("inf"), "worker": ""}]},
        {"elapsed_s": float("nan")},
    ],
    ids=["text", "list", "null", "running", "huge", "infinite", "nan"],
)
def test_progress_of_any_kind_is_shown(progress: dict[str, Any]) -> None:
    who = AtWork.from_bytes(told(progress=progress), 7)
    assert "done" not in str(who)
    assert [str(one) for one in who.running] == []
    json.dumps(dict(who.progress), allow_nan=False)


def test_it_is_not_nested_endlessly() -> None:
    assert AtWork.from_bytes(b"[" * 100_000, 7).holder.user == "somebody"


def test_no_escape_sequence_of_a_holder_is_shown() -> None:
    holder = {**Holder.here().to_dict(), "host": "\x1b]0;x\x07"}
    assert "\x1b" not in str(AtWork.from_bytes(told(holder=holder), 7))
