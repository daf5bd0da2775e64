"""From the values of a study's parameters to checked edits for each baseline.

Decides which edits each value stands for, whether they can be done to every baseline, and which files and
functions they need. Reads the files that parameters name; starts no engine and touches no store.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from bemsweep.design import Points
from bemsweep.edit_checks import StudyEdits, edit_problems
from bemsweep.editing import apply_edits
from bemsweep.edits import (
    CallEdit,
    Edit,
    FieldEdit,
    InputRef,
    InsertEdit,
    ScheduleEdit,
    field_spec,
    files_of,
    is_blank,
    normalised,
    read_field,
    selected,
)
from bemsweep.errors import InputError, ModelError, Problem, StudyError, nearest
from bemsweep.input_files import EDITS, Input, InputFiles
from bemsweep.model import external_files, is_file_field, model_problems
from bemsweep.options import Options, Parameter
from bemsweep.parameters import Call, Field, Schedule
from bemsweep.parts import Value
from bemsweep.schedule_values import SUFFIXES, read_schedule_values
from bemsweep.schedules import ScheduleOperation, schedule_problems, schedule_units
from bemsweep.snippets import read_snippet, snippet_problems
from bemsweep.study import Study
from bemsweep.units import udunits

if TYPE_CHECKING:
    from idfkit import IDFDocument

__all__ = ["Resolved", "import_functions", "overruling", "resolve_edits"]


@dataclass(frozen=True)
class Resolved:
    """What the parameters of a study do to its baselines."""

    edits: Mapping[tuple[str, str, Value], tuple[Edit, ...]]
    """(baseline, parameter, value) -> edits in order, normalised."""
    files: Mapping[str, Input]
    """sha256 -> file that edits need."""
    functions: Mapping[str, Callable[[Any, Any], object]]
    """``module:name`` -> function that edits call."""
    attributes: Mapping[str, Mapping[str, Any]]
    """Parameter -> what the results tell of it: ``long_name``, ``operation``, ``expression``, ``units`` as UDUNITS
    spells them, and ``baseline_value``, the number that null stands for, if there is one."""


def resolve_edits(
    study: Study,
    documents: Mapping[str, IDFDocument[bool]],
    points: Points | None,
    *,
    can_expand: bool = True,
    files: InputFiles,
) -> Resolved:
    """Return the edits of every value that occurs in the design, checked against each baseline.

    Parameters
    ----------
    study
        The study.
    documents
        The baselines by label.
    points
        Rows of the variant table; None to check the levels alone, if the design is wrong.
    can_expand
        True if the engine comes with ExpandObjects.
    files
        Finds the files that parameters name.

    Raises
    ------
    StudyError
        Edits that cannot be done, files that cannot be read, functions that cannot be imported; all of them.

    Side effects
    ------------
    Imports the modules of the functions that the study names, its own folder included.
    """
    resolver = _Resolver(study, files, can_expand=can_expand)
    found = {
        name: resolver.edits_of(name, parameter, _values(points, name, parameter))
        for name, parameter in study.parameters.items()
    }
    everything = [edit for by_value in found.values() for edits in by_value.values() for edit in edits]
    fields = [edit for edit in everything if isinstance(edit, FieldEdit)]
    study_edits = {label: StudyEdits(fields, document.schema) for label, document in documents.items()}
    edits: dict[tuple[str, str, Value], tuple[Edit, ...]] = {}
    for (label, document), (name, by_value) in itertools.product(documents.items(), found.items()):
        where = f" (baseline {label})" if len(documents) > 1 else ""
        is_sequence = isinstance(study.parameters[name], Options)
        wrong = list(resolver.problems(document, by_value, study_edits[label], is_sequence=is_sequence))
        wrong += _calculated_twice(document, study.parameters[name])
        for message in wrong:
            resolver.tell(message + where, name)
        if not wrong:
            edits |= {(label, name, value): _normalised(mine, document) for value, mine in by_value.items()}
    if resolver.told:
        raise StudyError(dict.fromkeys(resolver.told))
    attributes = {name: _attributes(parameter, documents.values()) for name, parameter in study.parameters.items()}
    return Resolved(edits, resolver.files, resolver.functions, attributes)


_Place = tuple[str, str, int]
"""Baseline, what people call it, and the object if it is a field."""


def overruling(resolved: Resolved, documents: Mapping[str, IDFDocument[bool]], points: Points) -> Iterator[str]:
    """Yield which parameters set what others before them change: in rows with both, the last one stands.

    Parameters
    ----------
    resolved
        The edits of every value.
    documents
        The baselines by label.
    points
        Rows of the variant table.
    """
    changed: dict[str, dict[_Place, None]] = {}
    fixed: dict[str, dict[_Place, None]] = {}
    seen: set[tuple[str, str, Edit]] = set()
    for (label, name, _), edits in resolved.edits.items():
        for edit in edits:
            is_setting = getattr(edit, "operation", None) in ("set", "replace")
            alike = replace(edit, value=0) if isinstance(edit, FieldEdit | ScheduleEdit) else edit
            if (label, name, alike) not in seen:
                seen.add((label, name, alike))
                places = dict.fromkeys((label, *place) for place in _places(documents[label], edit))
                changed.setdefault(name, {}).update(places)
                fixed.setdefault(name, {}).update(places if is_setting else {})
    for before, after in itertools.combinations([name for name in points.names if name in changed], 2):
        place = next((place for place in fixed[after] if place in changed[before]), None)
        columns = [points.names.index(name) for name in (before, after)]
        if place and any(all(row[column] is not None for column in columns) for row in points.rows):
            yield (
                f"{after} sets {place[1]}, which {before} changes too: where both have a value, what {before} "
                "does to it is lost"
            )


def _places(document: IDFDocument[bool], edit: Edit) -> Iterator[tuple[str, int]]:
    """Yield what an edit changes."""
    if isinstance(edit, ScheduleEdit):
        yield f"schedule {edit.schedule!r}", 0
    elif isinstance(edit, FieldEdit):
        yield from ((f"{edit.field} of {edit.object}", id(obj)) for obj in selected(document, edit))


def import_functions(study: Study) -> dict[str, Callable[[Any, Any], object]]:
    """Return the functions that a study's parameters call, by ``module:name``.

    Raises
    ------
    StudyError
        One cannot be imported.

    Side effects
    ------------
    Imports their modules, those beside the study file included.
    """
    resolver = _Resolver(study, InputFiles(study.folder))
    for name, parameter in study.parameters.items():
        for value in parameter.levels or (True,):
            if value is not None:
                resolver.are_callable(name, _calls(parameter, value))
    if resolver.told:
        raise StudyError(dict.fromkeys(resolver.told))
    return resolver.functions


def _calls(parameter: Parameter, value: Any) -> list[Call]:
    parts = parameter.changes(value) if isinstance(parameter, Options) else [parameter]
    return [part for part in parts if isinstance(part, Call)]


def _values(points: Points | None, name: str, parameter: Parameter) -> list[Any]:
    """Return the values of a parameter that occur, without null."""
    values: Iterable[Value] = parameter.levels or ()
    if points is not None:
        position = points.names.index(name)
        values = (row[position] for row in points.rows)
    return [value for value in dict.fromkeys(values) if value is not None]


def _normalised(edits: Sequence[Edit], document: IDFDocument[bool]) -> tuple[Edit, ...]:
    return tuple(_written_one_way(edit, document) for edit in edits)


def _written_one_way(edit: Edit, document: IDFDocument[bool]) -> Edit:
    if isinstance(edit, FieldEdit):
        return normalised(edit, document.schema)
    if isinstance(edit, ScheduleEdit):
        value = None if edit.value is None else float(edit.value) + 0.0
        return replace(edit, schedule=edit.schedule.casefold(), value=value)
    return edit


def _calculated_twice(document: IDFDocument[bool], parameter: Parameter) -> Iterator[str]:
    """Yield which fields would be multiplied, or added to, by two targets of one parameter."""
    parts: list[Any] = [parameter]
    if isinstance(parameter, Options):
        parts = [change for changes in parameter.options.values() for change in changes]
    for part in (part for part in parts if isinstance(part, Field) and part.operation != "set"):
        seen: set[tuple[str, int]] = set()
        for edit in (normalised(edit, document.schema) for edit in part.edits(0, {})):
            is_known = field_spec(document.schema, edit.object, edit.field) is not None
            chosen = {(edit.field, id(obj)): obj.name for obj in selected(document, edit)} if is_known else {}
            if twice := [name for place, name in chosen.items() if place in seen]:
                yield (
                    f"{edit.field} of {edit.object} {twice[0]!r} would be changed twice, by two targets of the same "
                    "parameter: let `name` and `where` of each in `also` choose others."
                )
            seen |= chosen.keys()


def _attributes(parameter: Parameter, documents: Collection[IDFDocument[bool]]) -> dict[str, Any]:
    """Return what the results tell of a parameter."""
    found: dict[str, Any] = {"long_name": parameter.title}
    if parameter.expression is not None:
        found["expression"] = parameter.expression
    if not isinstance(parameter, Field | Schedule):
        return found
    found["operation"] = parameter.operation
    if parameter.operation == "multiply":
        return {**found, "units": "1", "baseline_value": 1.0}
    units = {_units(parameter, document) for document in documents}
    unit = units.pop() if len(units) == 1 else None
    if parameter.operation == "add":
        found["baseline_value"] = 0.0
        unit = "deltaC" if unit == "C" else unit
    elif isinstance(parameter, Field) and (value := _baseline_value(parameter, documents)) is not None:
        found["baseline_value"] = value
    return found if unit is None else {**found, "units": udunits(unit)}


def _units(parameter: Field | Schedule, document: IDFDocument[bool]) -> str | None:
    """Return EnergyPlus's unit of what the parameter sets; None if nothing tells it."""
    if isinstance(parameter, Schedule):
        return schedule_units(document, parameter.schedule)
    spec = field_spec(document.schema, parameter.object, parameter.field)
    return spec.units or None if spec is not None else None


def _baseline_value(parameter: Field, documents: Collection[IDFDocument[bool]]) -> float | None:
    """Return the number that all the objects have in all the baselines; None if they differ or have none."""
    values: set[Any] = set()
    for document in documents:
        for edit in parameter.edits(0, {}):
            spec = field_spec(document.schema, edit.object, edit.field)
            if spec is not None:
                found = (read_field(obj, spec) for obj in selected(document, edit))
                values |= {spec.default if is_blank(value) else value for value in found}
    number = values.pop() if len(values) == 1 else None
    return float(number) if isinstance(number, (int, float)) and not isinstance(number, bool) else None


class _Resolver:
    """The files, functions and problems that the parameters of one study share."""

    def __init__(self, study: Study, files: InputFiles, *, can_expand: bool = True) -> None:
        self.study, self._found, self._can_expand = study, files, can_expand
        self.told: list[Problem] = []
        self.files: dict[str, Input] = {}
        self.functions: dict[str, Callable[[Any, Any], object]] = {}
        self._refs: dict[str, InputRef] = {}
        _forget_modules_of_studies()

    def tell(self, message: str, name: str) -> None:
        self.told.append(self.study.problem(message, "parameters", name))

    def edits_of(self, name: str, parameter: Parameter, values: Sequence[Any]) -> dict[Value, tuple[Edit, ...]]:
        """Return the edits of each value; none for a value that is told to be wrong."""
        if isinstance(parameter, Options):
            unknown = [value for value in values if value not in parameter.options]
            for value in unknown:
                self.tell(f"there is no option {value!r}{nearest(str(value), parameter.options)}", name)
            values = [value for value in values if value not in unknown]
        if not self.are_callable(name, [call for value in values for call in _calls(parameter, value)]):
            return {}
        for file in dict.fromkeys(file for value in values for file in parameter.file_names(value)):
            self._read(name, file)
        return {
            value: parameter.edits(value, self._refs)
            for value in values
            if self._refs.keys() >= set(parameter.file_names(value))
        }

    def are_callable(self, name: str, calls: Iterable[Call]) -> bool:
        """Import the functions and tell those that cannot be."""
        wrong = [call for call in dict.fromkeys(calls) if not self._is_callable(name, call)]
        return not wrong

    def _read(self, name: str, file: str) -> None:
        try:
            source = self._found.find_one(file, suffixes=EDITS)
        except InputError as error:
            self.tell(f"cannot read {error}", name)
            return
        source = self.files.setdefault(source.sha256, source)  # one content is one file, also as .csv and .txt
        self._refs[file] = InputRef(source.sha256, source.suffix)

    def _is_callable(self, name: str, call: Call) -> bool:
        wrong = ""
        try:
            with _importing_from(self.study.folder):
                function = call.function()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module can raise anything, or be a script
            wrong = f"cannot import {call.function_name}: {type(error).__name__}: {error}"
        if other := _other_module(call, self.study.folder):
            wrong = f"{call.function_name} would be that of {other}, not of the module beside the study: rename that"
        if wrong:
            self.tell(wrong, name)
            return False
        if self.functions.setdefault(call.function_name, function) is not function:
            self.tell(f"two functions are called {call.function_name}: rename one", name)
        if not call.source() and not call.version:
            self.tell(f"Python cannot tell the source of {call.function_name}: give it a `version`", name)
        return True

    def problems(
        self,
        document: IDFDocument[bool],
        by_value: Mapping[Value, Sequence[Edit]],
        study_edits: StudyEdits,
        *,
        is_sequence: bool,
    ) -> Iterator[str]:
        """Yield what is wrong with one parameter's edits for one baseline."""
        if not is_sequence:
            yield from self._problems(document, [edit for edits in by_value.values() for edit in edits], study_edits)
            return
        for label, edits in by_value.items():
            edited = document.copy() if len(edits) > 1 else document
            for number, edit in enumerate(edits):
                wrong = list(self._problems(edited, [edit], study_edits))
                yield from (f"option {label!r}: {message}" for message in wrong)
                # A call is not tried: what it does may take long. What comes after it is checked by the run.
                if wrong or isinstance(edit, CallEdit):
                    break
                if number + 1 < len(edits):
                    apply_edits(edited, [edit], {}, files=self._paths(edit))

    def _problems(self, document: IDFDocument[bool], edits: Sequence[Edit], study_edits: StudyEdits) -> Iterator[str]:
        """Yield what is wrong with edits that are not done one after the other."""
        of_fields = [edit for edit in edits if isinstance(edit, FieldEdit)]
        yield from edit_problems(document, of_fields, all_edits=study_edits)
        spelled = (normalised(edit, document.schema) for edit in of_fields)
        if any(is_file_field(edit.object, edit.field) for edit in spelled):
            yield "a file cannot vary by its name: make each a baseline of its own"
        yield from self._schedule_problems(document, [edit for edit in edits if isinstance(edit, ScheduleEdit)])
        for edit in edits:
            if isinstance(edit, InsertEdit):
                yield from self._snippet_problems(document, edit)

    def _schedule_problems(self, document: IDFDocument[bool], edits: Sequence[ScheduleEdit]) -> Iterator[str]:
        values: dict[tuple[str, ScheduleOperation], list[Any]] = {}
        for edit in edits:
            value: Any = edit.value
            if edit.file is not None:
                source = self.files[edit.file.sha256]
                if not source.suffix.lower().endswith(SUFFIXES):
                    told = f"EnergyPlus reads schedules from files whose name ends in {' or '.join(SUFFIXES)}"
                    yield f"{source.source} cannot replace schedule {edit.schedule!r}: {told}."
                    continue
                try:
                    value = read_schedule_values(source.path.read_bytes())
                except ValueError as error:
                    yield f"{source.source} cannot replace schedule {edit.schedule!r}: {error}."
                    continue
            values.setdefault((edit.schedule, edit.operation), []).append(value)
        for (schedule, operation), listed in values.items():
            yield from schedule_problems(document, schedule, operation=operation, values=listed)

    def _snippet_problems(self, document: IDFDocument[bool], edit: InsertEdit) -> Iterator[str]:
        source = self.files[edit.file.sha256]
        try:
            snippet = read_snippet(source.path, document.version)
        except ModelError as error:
            yield f"{source.source} cannot be inserted: {error}."
            return
        files = external_files(snippet)
        wrong = [f"It names the file {files[0]}, and only files of a baseline are sent to workers."] if files else []
        wrong += [f"There are {name} objects in it: {why}." for name, why in self._not_inserted(snippet)]
        refused = model_problems(snippet, can_expand=self._can_expand)
        wrong += [f"It {problem.removeprefix('the model ')}." for problem in refused]
        for message in (*wrong, *snippet_problems(document, snippet)):
            yield f"{source.source} cannot be inserted: {message}"

    def _not_inserted(self, snippet: IDFDocument[bool]) -> Iterator[tuple[str, str]]:
        """Yield object types whose objects would be dropped without a word, or give variants another time axis."""
        for name in (name for name, objects in snippet.collections.items() if objects):
            if name.startswith(("Output:Variable", "Output:Meter", "Output:Table:")):
                yield name, "ask for outputs under `outputs` of the study"
            elif name == "RunPeriod" or (name.startswith("SizingPeriod:") and self.study.run == "design_day"):
                yield name, "all variants share one time axis, so put them into the baseline"

    def _paths(self, edit: Edit) -> dict[str, Path]:
        return {ref.sha256: self.files[ref.sha256].path for ref in files_of([edit])}


_STUDIES_MODULES: set[str] = set()
"""Modules beside studies that this process has imported."""


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Import modules beside the study too; workers get their functions by value, as they lack the folder."""
    before, writes_none = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    # Bytecode would hide a change that comes within the same second and leaves the file as long as it was.
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_none
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            module = sys.modules[name]
            path = getattr(module, "__file__", None)
            if path and Path(path).is_relative_to(folder):
                cloudpickle.register_pickle_by_value(module)
                _STUDIES_MODULES.add(name)


def _forget_modules_of_studies() -> None:
    """Let Python read modules beside studies again: one may have changed, or be another study's of that name."""
    while _STUDIES_MODULES:
        sys.modules.pop(_STUDIES_MODULES.pop(), None)


def _other_module(call: Call, folder: Path) -> str | None:
    """Return where the function's module is, if a module of that name beside the study was passed over."""
    if not isinstance(call.call, str):
        return None
    name = call.call.partition(":")[0].partition(".")[0]
    if not ((folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()):
        return None
    if name not in sys.modules:
        return None
    path = getattr(sys.modules[name], "__file__", None)
    return None if path and Path(path).is_relative_to(folder) else path or "Python itself"
