"""What every engine promises, pretended or real."""

from __future__ import annotations

import sys

import pytest

from bemsweep.edits import FieldEdit
from bemsweep.engine import Engine
from bemsweep.host_client import open_engine
from bemsweep.outcome import judge
from bemsweep.testing import FakeEngine
from engine_jobs import ELECTRICITY, TEMPERATURE, calling, descendants, job


@pytest.fixture(
    params=[
        "fake",
        pytest.param("host", marks=[pytest.mark.engine, pytest.mark.skipif(sys.platform != "linux", reason="forks")]),
        pytest.param("fresh", marks=pytest.mark.engine),
    ]
)
def engine(request):
    before = descendants()
    if request.param == "fake":
        opened = FakeEngine(keys=["Attic", "Core_ZN", *(f"Perimeter_ZN_{number}" for number in range(1, 5))])
    else:
        opened = open_engine(can_fork=request.param == "host")
    yield opened
    opened.close()
    assert descendants() <= before


def sorted_series(run):
    return sorted((s.output, s.key, s.key_kind, s.units, s.method, len(s.values)) for s in run.series)


def test_same_question_same_form_of_answer(engine: Engine, tmp_path):
    assert engine.version.startswith("EnergyPlus, Version 25.2.0")
    engine.kill("unknown")
    run = engine.run(job(), tmp_path, timeout_s=60)
    assert judge(run) == ("succeeded", "")
    keys = ["Attic", "Core_ZN", *(f"Perimeter_ZN_{number}" for number in range(1, 5))]
    assert sorted_series(run) == [
        ("electricity", "", "", "J", "sum", 48),
        *(("temperature", key, "zone", "C", "mean", 48) for key in keys),
    ]
    assert len(run.design_day_names) == len(run.design_day_dates) == 2


def test_runs_repeat_to_the_last_bit_and_edits_tell(engine: Engine, tmp_path):
    totals = []
    for number, watts in enumerate((6.0, 60.0, 6.0)):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        edit = FieldEdit("Lights", "watts_per_floor_area", "set", watts)
        run = engine.run(job(edits=(edit,), outputs=(ELECTRICITY,)), scratch, timeout_s=60)
        totals.append(run.series[0].values.tobytes())
    assert totals[0] == totals[2] != totals[1]


def test_probe_names_what_there_is(engine: Engine, tmp_path):
    run = engine.run(job(calendar=None), tmp_path, timeout_s=60)
    assert judge(run) == ("succeeded", "")
    assert TEMPERATURE.name in run.dictionary["variable"]
    assert ELECTRICITY.name in run.dictionary["meter"]
    assert {s.values.size for s in run.series} == {0}


def test_job_with_a_function_of_a_notebook(engine: Engine, tmp_path):
    north = 30.0

    def turn(document, value):
        document["Building"].first().north_axis = north + value

    assert judge(engine.run(calling(turn, 5.0), tmp_path, timeout_s=60)) == ("succeeded", "")
