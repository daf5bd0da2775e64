"""Changing a model: the one place that applies edits of every kind, in order, in place.

Used by the run of a variant and by the checks before it. Knows no study and no store; the files that
edits need are local here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from idfkit import IDFDocument

from bemsweep.edits import CallEdit, Edit, FieldEdit, InsertEdit, ScheduleEdit, apply_field_edit
from bemsweep.errors import ModelError
from bemsweep.schedule_values import read_schedule_values
from bemsweep.schedules import change_schedule, replace_schedule, replace_schedule_by_file
from bemsweep.snippets import insert_snippet, read_snippet

__all__ = ["apply_edits"]


def apply_edits(
    document: IDFDocument[bool],
    edits: Iterable[Edit],
    calls: Mapping[str, Callable[[Any, Any], object]],
    *,
    files: Mapping[str, Path] | None = None,
) -> None:
    """Change `document` in place, edit by edit.

    Parameters
    ----------
    document
        The model.
    edits
        What to do, in order.
    calls
        The functions that `CallEdit.function` names.
    files
        sha256 -> local copy of a file that edits need. A schedule's values are named in the model as a
        file beside it, under the name of its `InputRef`.

    Raises
    ------
    ModelError
        An edit matches nothing in the model as the edits before it left it, names what the model's version
        does not have, or computes with something that is no number.
    """
    local = files or {}
    for edit in edits:
        match edit:
            case FieldEdit():
                apply_field_edit(document, edit)
            case CallEdit():
                _call(document, edit, calls)
            case InsertEdit():
                insert_snippet(document, read_snippet(local[edit.file.sha256], document.version))
            case ScheduleEdit():
                _edit_schedule(document, edit, local)


def _edit_schedule(document: IDFDocument[bool], edit: ScheduleEdit, files: Mapping[str, Path]) -> None:
    if edit.file is not None:
        values = read_schedule_values(files[edit.file.sha256].read_bytes())
        replace_schedule_by_file(
            document, edit.schedule, file_name=edit.file.name, rows=len(values.values), has_heading=values.has_heading
        )
    elif isinstance(edit.value, bool) or not isinstance(edit.value, (int, float)):
        raise ModelError(f"cannot {edit.operation} schedule {edit.schedule!r} by {edit.value!r}: that is not a number")
    elif edit.operation == "replace":
        replace_schedule(document, edit.schedule, edit.value)
    else:
        change_schedule(document, edit.schedule, operation=edit.operation, number=edit.value)


def _call(document: IDFDocument[bool], edit: CallEdit, calls: Mapping[str, Callable[[Any, Any], object]]) -> None:
    function = calls.get(edit.function)
    if function is None:
        raise ModelError(f"the function {edit.function!r} of a call edit is not at hand")
    answer = function(document, edit.value)
    if isinstance(answer, IDFDocument) and answer is not document:
        raise ModelError(
            f"{edit.function} returned another model; a call edit must change the model that it is given in place"
        )
