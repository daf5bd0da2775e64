from __future__ import annotations

from pathlib import Path

import pytest
from idfkit import new_document
from pyenergyplus.dataset import ashrae_models, ref_models

from bemsweep.model_file import read_model
from bemsweep.references import names_listed, references_of, types_listed

BUNDLED = [Path(path) for path in (*ref_models.values(), *ashrae_models.values())]


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_every_model_has_what_it_names(path):
    document = read_model(path)
    found = [reference for obj in document.all_objects for reference in references_of(obj, document.schema)]
    listed = {lists: names_listed([document], lists) for lists in {reference.object_lists for reference in found}}
    missing = set()
    for reference in found:
        names = listed[reference.object_lists]
        if names is not None and reference.name.casefold() not in {name.casefold() for name in names}:
            missing.add((reference.user.obj_type, reference.field, reference.name))
    # The one model that names type limits which it does not have; EnergyPlus warns.
    known = {("Schedule:Compact", "schedule_type_limits_name", "Control Type")}
    assert missing == (known if "ApartmentMidRise_STD" in path.stem else set())
    assert len(found) > 100


def test_groups_are_numbered_from_one():
    document = new_document((25, 2, 0))
    groups = [{"daytype_list": "Weekdays", "schedule_day_name": "a"}, {"schedule_day_name": "b"}]
    week = document.add("Schedule:Week:Compact", "w", {"data": groups}, validate=False)
    found = [(one.field, one.group, one.name, one.object_lists) for one in references_of(week, document.schema)]
    assert found == [
        ("schedule_day_name", number, name, ("DayScheduleNames",)) for number, name in ((1, "a"), (2, "b"))
    ]


def test_names_of_several_documents_count_together():
    documents = [new_document((25, 2, 0)), new_document((25, 2, 0))]
    for document, name in zip(documents, ("a", "b"), strict=True):
        document.add("Schedule:Constant", name)
    assert names_listed(documents, ["ScheduleNames"]) == ["a", "b"]
    assert names_listed(documents, ["no such list"]) is None
    assert ("Schedule:Year", "name") in types_listed(documents[0].schema)["ScheduleNames"]
