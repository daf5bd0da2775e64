from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import pytest

from bemsweep.design_days import DesignDay
from bemsweep.edits import CallEdit, FieldEdit, InputRef, InsertEdit, ScheduleEdit
from bemsweep.engine import Job
from bemsweep.errors import RecordError
from bemsweep.outputs import Output
from bemsweep.periods import Calendar, Period
from bemsweep.provenance import edits_from, job_from, provenance_of

MODEL, WEATHER, HOURS = InputRef("a" * 64, ".idf"), InputRef("b" * 64, ".epw"), InputRef("c" * 64, ".csv")
JOB = Job(
    run_id="some",
    baseline=Path("/cache") / MODEL.name,
    weather=Path("/cache") / WEATHER.name,
    run="annual",
    outputs=(
        Output("variable", "Zone Mean Air Temperature", "hourly", "temperature", "*_ZN*", optional=True),
        Output("meter", "Electricity:Facility", "hourly", "electricity", "", reduce=("max", "p95")),
    ),
    calendar=Calendar((Period("year", dt.date(2017, 1, 1), dt.date(2017, 12, 31)),), steps_per_hour=4),
    edits=(
        FieldEdit("Lights", "watts_per_floor_area", "multiply", 0.5, "core*", (("fraction_visible", 0.2),)),
        ScheduleEdit("OCC", "replace", file=HOURS),
        ScheduleEdit("CLG", "add", 1.5),
        InsertEdit(MODEL),
        CallEdit("mine:dim", 3, "def dim(): ...", "2"),
    ),
    calls={"mine:dim": print},
    files={"../hours.csv": Path("/cache") / HOURS.name},
    design_days=(DesignDay("Cold", (("day_of_month", 21), ("day_type", "WinterDesignDay"))),),
    edit_files={ref.sha256: Path("/cache") / ref.name for ref in (HOURS, MODEL)},
    keep_model_outputs=True,
    raw_files=("eplusout.eso", "eplustbl.htm"),
)


def told(job: Job = JOB):
    return provenance_of(job, baseline=MODEL, weather=WEATHER, files={"../hours.csv": HOURS})


def back(provenance):
    return job_from(provenance, run_id="some", local=lambda ref: Path("/cache") / ref.name, calls={"mine:dim": print})


def test_the_way_there_and_back():
    assert back(json.loads(json.dumps(told()))) == JOB


def test_every_setting_of_a_job_is_told():
    """A new field of Job must be told, too, or a reproduction would be of something else."""
    is_told = {"run_id", "probe_day"}  # names the run; of probes only
    changed = {
        "run": "run_period",
        "keep_model_outputs": False,
        "outputs": (),
        "edits": (),
        "files": {},
        "design_days": (),
        "raw_files": (),
        "max_memory_bytes": 1,
    }
    for field in dataclasses.fields(Job):
        if field.name in changed:
            other = dataclasses.replace(JOB, **{field.name: changed[field.name]})
            assert provenance_of(other, baseline=MODEL, weather=WEATHER, files={}) != told()
            is_told.add(field.name)
    is_told |= {"baseline", "weather", "calendar", "calls", "edit_files"}
    assert is_told == {field.name for field in dataclasses.fields(Job)}


@pytest.mark.parametrize(
    "broken",
    [
        {"edits": [{"kind": "ShellEdit", "command": "rm"}]},
        {"edits": [{"kind": "FieldEdit"}]},
        {"edits": None},
        {"outputs": [{"name": 1}]},
        {"outputs": [{**JOB.outputs[1].to_dict(), "reduce": 1}]},
        {"calendar": {}},
        {"baseline": {"sha256": "a"}},
        {"baseline": {"sha256": "../" + "a" * 61, "suffix": ".idf"}},
        {"weather": {"sha256": "a" * 64, "suffix": "/../../../mine.epw"}},
        {"files": {"a.csv": {"sha256": "a" * 64, "suffix": "..\\mine.csv"}}},
        {"edits": [{"kind": "InsertEdit", "file": {"sha256": "a" * 64, "suffix": "/../mine.idf"}}]},
        {"raw_files": ["../eplusout.eso"]},
    ],
    ids=[
        "unknown kind",
        "fields missing",
        "no edits",
        "outputs",
        "reductions",
        "calendar",
        "baseline",
        "path as sha256",
        "path as suffix",
        "path of Windows",
        "path in an edit",
        "raw file",
    ],
)
def test_what_is_not_ours_is_refused(broken):
    with pytest.raises(RecordError, match="does not tell"):
        back({**told(), **broken})


def test_records_without_raw_files_do_not_tell_of_any():
    """As those of before there were any, which still tell all of their job."""
    job = dataclasses.replace(JOB, raw_files=())
    assert "raw_files" not in told(job)
    assert back(told(job)) == job


def test_edits_alone():
    assert edits_from(told()) == JOB.edits
