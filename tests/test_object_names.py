"""What names of objects say."""

from __future__ import annotations

import pytest

from bemsweep.object_names import kind_of, study_of, variant_of
from bemsweep.store import Store

ID = "0a" * 32


@pytest.mark.parametrize(
    ("name", "kind", "variant", "study"),
    [
        (Store.input_name(ID, ".idf"), "input", None, None),
        (Store.record_name(ID), "record", ID, None),
        (Store.raw_name(ID, "eplusout.err"), "raw", ID, None),
        (Store.raw_name(ID, "folder/eplusout.err.gz"), "raw", ID, None),
        (f"probes/0a/{ID}.json", "probe", None, None),
        (f"costs/0a/{ID}.json", "cost", None, None),
        (Store.study_name("a.b", "study.json"), "study", None, "a.b"),
        (Store.study_name("a", "results.zarr", "x", "zarr.json"), "study", None, "a"),
        ("studies/a/variants/.0.parquet-1-ab.tmp", "leftover", None, "a"),
        ("studies/a/lease/00000001.json", "lease", None, "a"),
        (".x-1-ab.tmp", "leftover", None, None),
        ("probe-1-ab", "leftover", None, None),
        ("probe-1-ab/x", "other", None, None),
        (f"records/0a/{ID}.txt", "other", None, None),
        ("records/notes.txt", "other", None, None),
        ("raw/notes.txt", "other", None, None),
        ("weather/x.epw", "other", None, None),
        ("inputs", "other", None, None),
    ],
)
def test_names(name, kind, variant, study):
    assert (kind_of(name), variant_of(name), study_of(name)) == (kind, variant, study)
