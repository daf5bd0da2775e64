"""Every kind of parameter changes the model as meant: the example of measures, its written models and its results."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pyenergyplus import dataset

import bemsweep as bs
from bemsweep.model_file import read_model
from bemsweep.reproduction import reproduce
from bemsweep.resolution import import_functions

STUDY = Path(__file__).parent.parent / "examples" / "measures.yaml"

pytestmark = [pytest.mark.engine, pytest.mark.heavy, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The example's run, in hourly steps: what the measures do to the model is the same in half the time."""
    idf = Path(dataset.ref_models["small_office"]).read_text(encoding="latin-1")
    coarse = tmp_path_factory.mktemp("model") / "small_office.idf"
    coarse.write_text(re.sub(r"Timestep,\s*6;", "Timestep,1;", idf), encoding="latin-1")
    study = bs.Study.from_yaml(STUDY, allow_python=True).model_copy(update={"baseline": {"small_office": str(coarse)}})
    plan = bs.plan(study, store=tmp_path_factory.mktemp("measures") / "store")
    assert plan.warnings == ()
    return bs.run(plan)


@pytest.fixture(scope="module")
def models(run, tmp_path_factory):
    """The written IDF of each measure, read again; "" is the reference."""
    folder = tmp_path_factory.mktemp("models")
    functions = import_functions(run.plan.study)
    found = {}
    for row, variant in enumerate(run.plan.variant_ids):
        reproduce(run.plan.store, variant, to=folder / str(row), functions=functions)
        found[measure_of(run.plan, row)] = read_model(folder / str(row) / "in.idf")
    return found


@pytest.fixture(scope="module")
def answers(run):
    """Difference of each measure from the reference, kWh a year."""
    tree = bs.open_results(run.plan.store, "measures")
    annual, monthly = (tree[group].to_dataset().load() for group in ("annual", "monthly"))
    values = {name: annual[name].values[:, 0] for name in ("electricity", "net_electricity", "gas")}
    values |= {name: monthly[name].values.sum(axis=1) for name in ("cooling", "heating")}
    assert np.isfinite(np.array(list(values.values()))).all()
    return {
        measure_of(run.plan, row): {name: (value[row] - value[0]) / 3.6e6 for name, value in values.items()}
        for row in range(len(run.plan.variant_ids))
    }


def measure_of(plan, row):
    named = [n for n, value in zip(plan.points.names[2:], plan.points.rows[row][2:], strict=True) if value is not None]
    return named[0] if named else ""


def values(document, object_type, field, name=""):
    return [obj.data.get(field) for obj in document[object_type] if obj.name.startswith(name)]


def compact(document, name):
    (schedule,) = [obj for obj in document["Schedule:Compact"] if obj.name == name]
    return [entry["field"] for entry in schedule.extensible_items()]


def test_all_succeed_and_all_matter(run):
    assert set(run.status()["status"]) == {"succeeded"}
    assert len(run.status()) == 13


def test_orientation(models, answers):
    assert values(models[""], "Building", "north_axis") == [0.0]
    assert values(models["orientation"], "Building", "north_axis") == [90.0]
    assert abs(answers["orientation"]["cooling"]) > 50


def test_window_to_wall_ratio(models, answers):
    assert len(models[""]["FenestrationSurface:Detailed"]) == 21
    windows = list(models["wwr"]["FenestrationSurface:Detailed"])
    assert [window.construction_name for window in windows] == ["Window Non-res Fixed"] * 4
    assert answers["wwr"]["cooling"] > 500, "twice the glass"
    assert answers["wwr"]["heating"] > 500


def test_insulation_and_what_is_computed_from_it(models, answers):
    for name, factor in (("Mass NonRes Wall Insulation", 2.0), ("AtticFloor NonRes Insulation", 1.5)):
        (before,), (after,) = (values(models[m], "Material", "thickness", name) for m in ("", "wall_insulation"))
        assert after == before * factor
    assert answers["wall_insulation"]["heating"] < -1000


def test_infiltration_of_the_zones_that_are_named(models, answers):
    field = "flow_rate_per_exterior_surface_area"
    before, after = (values(models[m], "ZoneInfiltration:DesignFlowRate", field) for m in ("", "infiltration"))
    assert after == [before[0], *(value * 0.5 for value in before[1:5]), before[5]]
    assert answers["infiltration"]["heating"] < -500


def test_a_schedule_whose_numbers_change(models, answers):
    before, after = (compact(models[m], "CLGSETP_SCH") for m in ("", "cooling_setpoint"))
    numbers = [(b, a) for b, a in zip(before, after, strict=True) if isinstance(b, float)]
    assert len(numbers) > 5
    assert all(a == b + 1.5 for b, a in numbers)
    assert [b for b in before if isinstance(b, str)] == [a for a in after if isinstance(a, str)]
    assert compact(models["cooling_setpoint"], "HTGSETP_SCH") == compact(models[""], "HTGSETP_SCH")
    assert answers["cooling_setpoint"]["cooling"] < -500
    assert answers["heating_setpoint"]["heating"] < -1000
    assert abs(answers["heating_setpoint"]["cooling"]) < 50


def test_a_schedule_of_hours(models, answers):
    (schedule,) = models["occupancy"]["Schedule:File"]
    assert (schedule.name, schedule.schedule_type_limits_name) == ("BLDG_OCC_SCH", "Fraction")
    assert "BLDG_OCC_SCH" not in [obj.name for obj in models["occupancy"]["Schedule:Compact"]]
    assert answers["occupancy"]["heating"] > 100, "fewer people give off less heat"
    assert answers["occupancy"]["cooling"] < -50


def test_equipment_efficiency(models, answers):
    field = "gross_rated_cooling_cop"
    assert values(models["cooling_cop"], "Coil:Cooling:DX:SingleSpeed", field) == [4.5] * 5
    assert answers["cooling_cop"]["cooling"] < -500
    assert answers["cooling_cop"]["gas"] == 0


def test_one_parameter_for_several_fields(models, answers):
    for object_type in ("Lights", "ElectricEquipment"):
        before, after = (values(models[m], object_type, "watts_per_floor_area") for m in ("", "internal_gains"))
        assert after == [value * 0.7 for value in before]
    assert answers["internal_gains"]["electricity"] < -5000
    assert answers["internal_gains"]["heating"] > 1000


def test_options_with_new_glazing(models, answers):
    windows = values(models["glazing"], "FenestrationSurface:Detailed", "construction_name")
    assert sorted(windows) == ["Triple LowE"] * 20 + ["Window Non-res Fixed"], "all but the glass door"
    assert len(models["glazing"]["WindowMaterial:SimpleGlazingSystem"]) == 2
    assert answers["glazing"]["heating"] < -1000


def test_options_with_a_new_construction(models, answers):
    walls = [
        obj.construction_name
        for obj in models["walls"]["BuildingSurface:Detailed"]
        if (obj.surface_type, obj.outside_boundary_condition) == ("Wall", "Outdoors")
    ]
    assert set(walls) == {"Timber Wall"}
    assert answers["walls"]["heating"] < -500


def test_new_objects_alone(models, answers):
    assert [obj.name for obj in models["solar"]["Generator:PVWatts"]] == ["Roof PV"]
    assert not models[""]["Generator:PVWatts"]
    assert answers["solar"]["electricity"] == 0
    assert answers["solar"]["net_electricity"] < -5000
