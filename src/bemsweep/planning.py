"""The plan: what a study means, checked against its files, the engine and the store.

Decides which variants there are, what identifies each, and which have no record yet. Everything that
can be refused before the first run is refused here, all problems at once. Nothing of a study is
simulated here but one short run per baseline that tells what it can report.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bemsweep.cluster_costs import bucket_region, distance_warning, on_cluster, rate_of
from bemsweep.cluster_file import Cluster, read_cluster
from bemsweep.cores import usable_cores
from bemsweep.costs import costs_name, estimate
from bemsweep.design import Points, design_points
from bemsweep.engine import Engine
from bemsweep.errors import EngineNotFoundError, InputError, ModelError, Problem, StoreError, StudyError
from bemsweep.faults import PASSING
from bemsweep.host_client import open_engine
from bemsweep.input_files import CSV, Input, InputFiles
from bemsweep.inputs import WeatherInput, read_all_weather, resolve_baselines, resolve_weather
from bemsweep.layout import Layout, Parameter
from bemsweep.markup import text_table, variant_table
from bemsweep.model import external_files, model_calendar, model_problems, version_problem
from bemsweep.model_file import read_model
from bemsweep.outputs import Output
from bemsweep.periods import Calendar
from bemsweep.places import options_for
from bemsweep.prices import Rate
from bemsweep.probe import output_problems, probe_model
from bemsweep.progress import Estimate
from bemsweep.records import Series
from bemsweep.resolution import Resolved, overruling, resolve_edits
from bemsweep.store import Store, default_url
from bemsweep.study import Study
from bemsweep.studystate import StudyState
from bemsweep.units import size_text
from bemsweep.variant_id import variant_id
from bemsweep.weather_checks import design_day_counts, edited_days_problems, weather_warnings

if TYPE_CHECKING:
    from idfkit import IDFDocument

__all__ = ["MOST_VARIANTS", "Baseline", "Plan", "plan", "store_of"]

MOST_VARIANTS = 1_000_000
"""A design with more points than this is taken for a mistake unless the user says otherwise."""


@dataclass(frozen=True)
class Baseline:
    """A baseline as the workers need it."""

    input: Input
    """The model."""
    files: Mapping[str, Input]
    """External files: as the model spells them -> the file."""


@dataclass(frozen=True)
class Plan:
    """A study that was checked: its variants, and which of them are still to run.

    Shows itself as a table in Jupyter; ``print(plan)`` gives the counts.
    """

    study: Study
    """The study as asked for now."""
    store: Store
    """Where its records and results live."""
    engine: Engine | str | None
    """The engine to open on each worker: None for the default, a path, or an engine object."""
    engine_version: str
    """The string that the engine reports itself."""
    baselines: Mapping[str, Baseline]
    """By label."""
    weather: Mapping[str, WeatherInput]
    """By label."""
    outputs: tuple[Output, ...]
    """The outputs asked for, with those of earlier amendments."""
    series: tuple[Series, ...]
    """What the baselines report of the outputs; without values."""
    layout: Layout
    """The cube's layout for these, with a column per parameter."""
    points: Points
    """Rows of the variant table, those of earlier amendments first."""
    variant_ids: tuple[str, ...]
    """Of each row."""
    is_wanted: tuple[bool, ...]
    """False for rows of earlier amendments that the study no longer asks for."""
    stored: frozenset[str]
    """Variants that have a record."""
    state: StudyState
    """What the store knows of the study."""
    resolved: Resolved
    """What the values of the parameters do to each baseline."""
    warnings: tuple[str, ...] = ()
    """What is allowed but deserves a look."""
    probes: tuple[str, ...] = ()
    """Names of the objects that tell what the baselines report."""
    costs: str = ""
    """Name of the object that tells what variants like these have cost."""
    estimate: Estimate | None = None
    """What is to run will cost, on `cluster`, else on all cores of this machine; None if nothing is to, or nothing like
    it has run."""
    cluster: Cluster | None = None
    """What the cluster file says; it prices estimate and run, and opens nothing."""

    @property
    def rate(self) -> Rate | None:
        """What a worker of the cluster costs; None if that is not known."""
        return None if self.cluster is None else rate_of(self.cluster, region=_region_of(self.store))

    @cached_property
    def wanted_variants(self) -> tuple[str, ...]:
        """Variants that the study asks for, each once, in the order of the rows."""
        rows = zip(self.variant_ids, self.is_wanted, strict=True)
        return tuple(dict.fromkeys(variant for variant, is_wanted in rows if is_wanted))

    @property
    def to_run(self) -> tuple[str, ...]:
        """Those of them that have no record."""
        return tuple(variant for variant in self.wanted_variants if variant not in self.stored)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The files that workers read: baselines and what they name, weather, files that edits need."""
        baselines = self.baselines.values()
        files = (file for baseline in baselines for file in baseline.files.values())
        weather = (one.input for one in self.weather.values())
        return (*(baseline.input for baseline in baselines), *files, *weather, *self.resolved.files.values())

    @property
    def bytes_per_variant(self) -> int:
        """Size of one variant's series in the cube before compression, bytes."""
        size = 8 if self.layout.dtype == "float64" else 4
        return size * sum(math.prod(self.layout.shape(array)) for array in self.layout.arrays)

    def to_frame(self) -> pd.DataFrame:
        """Return the variant table: parameters, variant_id and whether a record is stored."""
        frame = pd.DataFrame(list(self.points.rows), columns=list(self.points.names))
        frame["variant_id"] = list(self.variant_ids)
        frame["is_stored"] = [variant in self.stored for variant in self.variant_ids]
        frame.index.name = "variant"
        return frame

    def counts(self) -> dict[str, Any]:
        """Return what `print` shows, for programs."""
        return {
            "study": self.study.name,
            "store": self.store.url,
            "engine": self.engine_version,
            "variants": len(self.variant_ids),
            "stored": sum(variant in self.stored for variant in self.variant_ids),
            "to_run": len(self.to_run),
            "hours_per_variant": self.layout.calendar.hours,
            "bytes": self.bytes_per_variant * len(self.variant_ids),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
            "warnings": list(self.warnings),
        }

    def _lines(self) -> list[tuple[str, str]]:
        """Return what is told of it: a word and a text each."""
        counts = self.counts()
        each, every = size_text(self.bytes_per_variant), size_text(counts["bytes"])
        return [
            ("study", f"{counts['study']} in {counts['store']}"),
            ("engine", counts["engine"]),
            ("variants", f"{counts['variants']:,}: {counts['stored']:,} stored, {counts['to_run']:,} to run"),
            ("hours", f"{counts['hours_per_variant']:,} simulated in each"),
            ("results", f"{each} each, {every} in all, before compression"),
            *self._estimate_lines(),
            *(("warning", warning) for warning in self.warnings),
        ]

    def _estimate_lines(self) -> list[tuple[str, str]]:
        if self.estimate is not None:
            return self.estimate.lines()
        told = "not known before a few have run: `bemsweep run --limit 4` (`limit=4` in Python) tells"
        return [("cost", told)] if self.to_run else []

    def __str__(self) -> str:
        return "\n".join(f"{word:<10}{text}" for word, text in self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return text_table(pd.DataFrame(self._lines()), has_heads=False) + variant_table(self.to_frame())


def plan(
    study: Study,
    *,
    store: str | Path | Store | None = None,
    storage_options: Mapping[str, Any] | None = None,
    engine: Engine | str | None = None,
    cluster: Cluster | str | Path | None = None,
    yes: bool = False,
) -> Plan:
    """Check a study and work out what is to run.

    Parameters
    ----------
    study
        What is wanted.
    store
        URL or path of the store; None for ``$BEMSWEEP_STORE``, else ``./bemsweep-store``.
    storage_options
        Passed to the store's filesystem; None for those of the study that fit its URL, else the environment's.
    engine
        Path of an installed EnergyPlus; None for the study's own `engine`, else the one that was installed
        with bemsweep.
    cluster
        A cluster file, or what `bemsweep.cluster_file.read_cluster` made of one: the estimate is of that cluster, and
        of what it costs. It is read and not opened; a run on it takes its client all the same.
    yes
        True if more than a million variants are meant.

    Returns
    -------
    Plan
        Frozen; pass it to `bemsweep.run`.

    Raises
    ------
    TypeError
        `study` is no `Study`.
    StudyError
        The study cannot run as written; carries every problem found.
    ClusterFileError
        The cluster file cannot be used as written.
    ConflictError
        A study of this name is in the store and its definition conflicts.
    EngineNotFoundError
        There is no EnergyPlus.
    StoreError
        The store was lost on the way.

    Side effects
    ------------
    One short engine run for each baseline that the store does not know yet; what it tells is kept there.
    """
    if not isinstance(study, Study):
        raise TypeError(f"plan takes a Study, such as Study.from_yaml(file) returns, not {type(study).__name__}")
    where = read_cluster(cluster) if isinstance(cluster, (str, Path)) else cluster
    home = store if isinstance(store, Store) else store_of(study, store, storage_options)
    try:
        home.check_writable()
    except StoreError as error:
        if error.fault in PASSING:
            raise
        raise StudyError([Problem(str(error), "store")]) from error
    choice = study.engine_path if engine is None else engine
    try:
        opened = open_engine(choice) if choice is None or isinstance(choice, str) else choice
        try:
            return _Planner(study, home, opened, choice, where).plan(most=None if yes else MOST_VARIANTS)
        finally:
            if opened is not choice:
                opened.close()
    except EngineNotFoundError as error:
        if choice is engine:
            raise
        raise StudyError([study.problem(str(error), "engine")]) from error


def store_of(study: Study, url: str | Path | None, storage_options: Mapping[str, Any] | None = None) -> Store:
    """Return a store for a study, opened with the options given, else with the study's own for that URL.

    Parameters
    ----------
    study
        Whose `storage_options` may fit.
    url, storage_options
        As for `plan`.
    """
    place = str(url or default_url())
    return Store(place, options_for(place, study.storage_options) if storage_options is None else storage_options)


def _region_of(store: Store) -> str | None:
    """Return where a store's bucket is, as far as settings tell it."""
    return bucket_region(store.url, store.storage_options, os.environ)


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    """Keep what a step finds wrong, so that the next steps can look too."""
    try:
        yield
    except StudyError as error:
        problems += error.problems


class _Planner:
    """The steps of `plan`, which share the list of problems."""

    def __init__(
        self, study: Study, store: Store, engine: Engine, choice: Engine | str | None, cluster: Cluster | None
    ) -> None:
        self.study, self.store, self.engine, self.engine_choice = study, store, engine, choice
        self.cluster = cluster
        self.files = InputFiles(study.folder, study.storage_options, store=store)
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.probes: list[str] = []
        self.documents: dict[str, IDFDocument[bool]] = {}
        self.labels: dict[str, list[str]] = {"baseline": list(study.baseline), "weather": list(study.weather)}

    def plan(self, *, most: int | None) -> Plan:
        study = self.study
        for prefix, message in self.files.unknown_protocols():
            self._tell(message, "storage_options", prefix)
        baselines = self._baselines()
        weather = self._weather()
        points: Points | None = None
        with _collected(self.problems):
            points = design_points(
                study, self.labels, most=most, local=lambda table: self.files.find_one(table, suffixes=CSV).path
            )
        resolved: Resolved | None = None
        with _collected(self.problems):
            resolved = resolve_edits(study, self.documents, points, can_expand=self.engine.can_expand, files=self.files)
        state = StudyState.load(self.store, study.name)
        if state.engine not in (None, self.engine.version):
            now = f"{self.engine.version} runs all variants again"
            self.warnings.append(f"the study has been run with {state.engine}: {now}")
        outputs = state.merged_outputs(study)
        if whole := state.whole_beside_reduced(study):
            self.warnings.append(
                f"the study has {', '.join(map(repr, whole))} whole and keeps that beside its reductions: a study "
                "grows, it does not change. Give it another name to have the reductions only"
            )
        calendar = self._calendar(weather, outputs)
        self._stop_if_wrong()
        assert points is not None  # noqa: S101 - or a problem was told
        assert resolved is not None  # noqa: S101 - or a problem was told
        assert calendar is not None  # noqa: S101 - or a problem was told

        inputs = {label: baseline.input.sha256 for label, baseline in baselines.items()}
        state.check_compatible(study, inputs)
        self.warnings += overruling(resolved, self.documents, points)
        self.warnings += weather_warnings(self.documents.values(), weather, calendar)
        probes = self._probes(baselines, weather, outputs)
        self._stop_if_wrong()

        series = tuple(one for found in probes.values() for one in found)
        ids = self._ids(points, resolved, baselines, weather, outputs)
        rows, variant_ids, is_wanted = state.merge(points, ids)
        self.warnings += state.growth_warnings(variant_ids, is_wanted, outputs)
        if self.cluster is not None:
            told = distance_warning(self.cluster, self.store.url, _region_of(self.store))
            self.warnings += [told] if told else []
        layout = Layout(calendar=calendar, dtype=study.dtype)
        with _collected(self.problems):
            layout = layout.grow(series).grow_parameters(_columns(rows, resolved.attributes))
        self._stop_if_wrong()
        stored = frozenset(self.store.stored(set(variant_ids)))
        if stored and (names := state.new_raw_files(study)):
            self.warnings.append(
                f"`keep` asks for {', '.join(names)} now: variants that have run keep what they have, and are not run "
                "again for it"
            )
        hours = layout.calendar.hours
        costs = costs_name(inputs.values(), run=study.run, engine=self.engine.version, hours=hours)
        to_do = len({variant for variant, is_one in zip(variant_ids, is_wanted, strict=True) if is_one} - stored)
        return Plan(
            study=study,
            store=self.store,
            engine=self.engine_choice,
            engine_version=self.engine.version,
            baselines=baselines,
            weather=weather,
            outputs=outputs,
            series=series,
            layout=layout,
            points=rows,
            variant_ids=variant_ids,
            is_wanted=is_wanted,
            stored=stored,
            state=state,
            resolved=resolved,
            warnings=tuple(self.warnings),
            probes=tuple(self.probes),
            costs=costs,
            estimate=self._estimate(costs, outputs, to_do),
            cluster=self.cluster,
        )

    def _estimate(self, costs: str, outputs: Sequence[Output], to_do: int) -> Estimate | None:
        """Return what so many variants will cost; None if there are none, or nothing tells it."""
        here = estimate(self.store, costs, outputs=outputs, to_do=to_do, threads=usable_cores()) if to_do else None
        if here is None or self.cluster is None:
            return here
        return on_cluster(here, self.cluster, region=_region_of(self.store))

    def _stop_if_wrong(self) -> None:
        if self.problems:
            raise StudyError(dict.fromkeys(self.problems))

    def _tell(self, message: str, *path: str | int) -> None:
        self.problems.append(self.study.problem(message, *path))

    def _baselines(self) -> dict[str, Baseline]:
        found: dict[str, Input] = {}
        with _collected(self.problems):
            found = resolve_baselines(self.study, self.files)
            self.labels["baseline"] = list(found)
        baselines = {}
        for label, source in found.items():
            try:
                if wrong := version_problem(source.path, [self.engine.version]):
                    self._tell(f"{source.source}: {wrong}", "baseline", label)
                    continue
                document = read_model(source.path)
            except ModelError as error:
                self._tell(str(error), "baseline", label)
                continue
            for message in model_problems(document, can_expand=self.engine.can_expand):
                self._tell(f"{source.source}: {message}", "baseline", label)
            self.documents[label] = document
            baselines[label] = Baseline(source, self._external_files(label, source, document))
        return baselines

    def _external_files(self, label: str, source: Input, document: IDFDocument[bool]) -> dict[str, Input]:
        files = {}
        for name in external_files(document):
            try:
                files[name] = self.files.find_one(name, origin=source)
            except InputError as error:
                self._tell(f"{source.source} names the file {error}", "baseline", label)
        return files

    def _weather(self) -> dict[str, WeatherInput]:
        with _collected(self.problems):
            self.labels["weather"] = list(found := resolve_weather(self.study, self.files))
            weather, problems = read_all_weather(self.study, found, files=self.files)
            self.problems += problems
            return weather
        return {}

    def _calendar(self, weather: Mapping[str, WeatherInput], outputs: Sequence[Output]) -> Calendar | None:
        """Return the one calendar that all variants share."""
        study = self.study
        has_timestep = any(output.frequency == "timestep" for output in outputs)
        calendars = self._calendars(weather, has_timestep=has_timestep)
        if not calendars:
            return None
        first_label, first = next(iter(calendars.items()))
        for label, calendar in calendars.items():
            if not first.has_same_days(calendar):
                self._tell(
                    f"{label} and {first_label} have no common time axis: other run periods, design days or timestep",
                    "baseline", label,
                )  # fmt: skip
            elif calendar != first:
                self.warnings.append(
                    f"{label} and {first_label} begin on different weekdays: dates are {first_label}'s"
                )
        moves_axis = {"timestep": has_timestep, "runperiod": study.run == "run_period"}
        for name, parameter in study.parameters.items():
            for edited in parameter.edited_types():
                self.problems += edited_days_problems(study, name, edited, weather)
                if moves_axis.get(edited.casefold(), False):
                    self._tell(f"editing {edited} gives variants different time axes", "parameters", name)
        return first

    def _calendars(self, weather: Mapping[str, WeatherInput], *, has_timestep: bool) -> dict[str, Calendar]:
        """Return the calendar of each baseline, which must not depend on the weather."""
        is_leap = self.study.run != "design_day" and any(entry.facts.is_leap for entry in weather.values())
        calendars: dict[str, Calendar] = {}
        for (label, document), count in itertools.product(
            self.documents.items(), design_day_counts(self.study, weather)
        ):
            try:
                calendar = model_calendar(
                    document, self.study.run, is_leap=is_leap, has_timestep=has_timestep, design_days=count
                )
            except ModelError as error:
                self._tell(str(error), "baseline", label)
                continue
            days = calendars.setdefault(label, calendar).design_days
            if days != calendar.design_days:
                self._tell(
                    f"{label} has {days} design days under some weather and {calendar.design_days} under other, so"
                    " there is no common time axis: let `design_days` say the same for all weather", "weather",
                )  # fmt: skip
        return calendars

    def _probes(
        self, baselines: Mapping[str, Baseline], weather: Mapping[str, WeatherInput], outputs: Sequence[Output]
    ) -> dict[str, tuple[Series, ...]]:
        """Return what each baseline reports of the outputs, and tell those that it does not."""
        epw = next(iter(weather.values()))
        found: dict[str, tuple[Series, ...]] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            asked = {
                label: pool.submit(
                    probe_model, self.store, self.engine, baseline.input, epw, outputs, files=baseline.files
                )
                for label, baseline in baselines.items()
            }
            try:
                wait(asked.values())
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                self.engine.close()  # ends what runs, whose threads then clean up
                wait(asked.values())
                raise
        for label, baseline in baselines.items():
            try:
                probe = asked[label].result()
            except ModelError as error:
                self._tell(f"{baseline.input.source} does not run as it stands: {error}", "baseline", label)
                continue
            self.probes.append(probe.name)
            found[label] = tuple(series for output in outputs for series in probe.series_of(output))
            known = {output: number for number, output in enumerate(wanted.output() for wanted in self.study.outputs)}
            where = f" (baseline {label})" if len(baselines) > 1 else ""
            for output, message in output_problems(outputs, probe):
                self._tell(message + where, "outputs", *([known[output]] if output in known else []))
        return found

    def _ids(
        self,
        points: Points,
        resolved: Resolved,
        baselines: Mapping[str, Baseline],
        weather: Mapping[str, WeatherInput],
        outputs: tuple[Output, ...],
    ) -> tuple[str, ...]:
        ids = []
        for row in points.rows:
            baseline, climate = str(row[0]), str(row[1])
            ids.append(
                variant_id(
                    [
                        edit
                        for name, value in zip(points.names[2:], row[2:], strict=True)
                        if value is not None
                        for edit in resolved.edits[baseline, name, value]
                    ],
                    baseline=baselines[baseline].input.sha256,
                    weather=weather[climate].input.sha256,
                    files={name: source.sha256 for name, source in baselines[baseline].files.items()},
                    engine=self.engine.version,
                    run=self.study.run,
                    outputs=outputs,
                    keep_model_outputs=self.study.keep_model_outputs,
                    design_days=weather[climate].design_days,
                )
            )
        return tuple(ids)


def _columns(points: Points, attributes: Mapping[str, Mapping[str, Any]]) -> Iterator[Parameter]:
    """Return the variant table's columns: numbers where every value is one, else texts."""
    for position, name in enumerate(points.names):
        values = (row[position] for row in points.rows)
        is_text = any(isinstance(value, (str, bool)) for value in values)
        yield Parameter(name, "text" if is_text else "number", attributes.get(name, {}))
